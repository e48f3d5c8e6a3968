"""Pictures for files and pages."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.plots import plot_fraud_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup
    from narwhals.typing import IntoDataFrame

    from synfin_analytics.plots import Display

#: Colours of :mod:`synfin_analytics.plots._style`, and what a page's style sheet calls them: it has
#: one value for each in the light, and another in the dark.
COLOURS = {
    "#000000": "ink",
    "#ffffff": "paper",
    "#1b4965": "p1",
    "#c8553d": "p2",
    "#2a7f62": "p3",
    "#7b5ea7": "p4",
    "#b7791f": "p5",
    "#c9d6df": "band",
    "#9aa5b1": "bar",
    "#6b7280": "grey",
    "#e5e7eb": "grid",
}
#: Text of a page's pictures is text: it can be read, searched for, and is what it says.
_LOOK: dict[str, Any] = {
    "font.size": 11,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
}
_NAMED = re.compile(r'( id="|href="#|url\(#)')
_STYLE = re.compile(r'(?<=style=")[^"]*')


@dataclass(frozen=True)
class Picture:
    """A picture within a page.

    Attributes
    ----------
    svg
        Markup of the image, whose description is ``alt``.
    alt
        What it shows, with its numbers.
    caption
        How to read it.
    """

    svg: Markup
    alt: str
    caption: str


def picture(
    draw: Callable[[], Display],
    *,
    name: str,
    alt: str,
    caption: str = "",
) -> Picture:
    """Draw a picture for a page, in the page's own colours.

    Parameters
    ----------
    draw
        Makes the picture, whatever matplotlib is set to elsewhere.
    name
        Of the picture, other than those of the page's other pictures.
    alt, caption
        See :class:`Picture`.
    """
    from markupsafe import Markup, escape
    from matplotlib import pyplot as plt
    from matplotlib import style

    # Jupyter switches interactive mode on with the first figure: within the context that would not
    # last, and no later picture would be shown.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    with style.context(["default", _LOOK]), warnings.catch_warnings():
        # Text stays text: the reader's own fonts draw it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        svg = image(draw(), "svg").decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    # Within a tag matplotlib escapes what would end it; what stands between tags is not touched.
    svg = re.sub(r"<[^>]*>", lambda tag: _of_page(tag[0], name), svg)
    head = f'<svg role="img" aria-label="{escape(alt)}" '
    svg = re.sub(r'^<svg (.*?)width="[^"]*" height="[^"]*"', lambda old: head + old[1], svg)
    return Picture(Markup(svg), alt, caption)  # noqa: S704 - texts in it are escaped, see above


def _of_page(tag: str, name: str) -> str:
    """Give a tag names that no other picture has, and colours of the page."""
    tag = _NAMED.sub(lambda found: f"{found[1]}{name}-", tag)
    return _STYLE.sub(lambda found: _coloured(found[0]), tag)


def _coloured(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?", "", style)
    return re.sub(
        r"#[0-9a-f]{6}\b",
        lambda one: f"var(--{COLOURS[one[0]]})" if one[0] in COLOURS else one[0],
        style,
    )


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
