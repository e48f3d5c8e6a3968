"""Pictures for files and pages."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Literal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.plots import plot_fraud_rate

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

    from synfin_analytics.plots import Display


def fraud_rate_image(
    result: IntoDataFrame, title: str | None = None, kind: Literal["png", "svg"] = "png"
) -> bytes:
    """Picture of a fraud rate, as the bytes of a file.

    Parameters
    ----------
    result
        What ``fraud_rate`` returned.
    title
        Other than the one that says what is drawn; "" for none.
    kind
        ``"png"``, on white; ``"svg"``, on nothing.
    """
    return image(plot_fraud_rate(result, title=title), kind)


def image(display: Display, kind: Literal["png", "svg"] = "png") -> bytes:
    """Any picture as the bytes of a file; its figure is closed.

    Parameters
    ----------
    display
        What a function of :mod:`synfin_analytics.plots` returned.
    kind
        ``"png"``, on white; ``"svg"``, on nothing.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from synfin_analytics import Confusion
    >>> from synfin_analytics.plots import plot_confusion
    >>> image(plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=94)))[1:4]
    b'PNG'
    """
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    figure = display.ax.get_figure(root=True)
    if figure is None:
        raise ArgumentError("This picture was removed from its figure: draw it again, with plot().")
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    # The same numbers give the same file: no random identifiers in it, and no date.
    with mpl.rc_context({"svg.hashsalt": "synfin"}):
        figure.savefig(buffer, format=kind, dpi=160, transparent=kind == "svg", metadata=metadata)
    plt.close(figure)  # or a notebook would show it, too
    return buffer.getvalue()


def image_address(picture: bytes) -> str:
    """Address of an SVG image that is the image itself, for pages that need no network."""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
