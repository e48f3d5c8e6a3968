"""Plots as files, and as figures of a page."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.plots import plot_fraud_rate
from synfin_analytics.reports._hover import Hover, read_hover

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup
    from narwhals.typing import IntoDataFrame

    from synfin_analytics.plots import Display

#: Colours of :mod:`synfin_analytics.plots._style`, and their names in the style sheet of a page,
#: which has a light and a dark value for each.
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
#: Text of figures stays text: it can be read aloud and searched.
_SETTINGS: dict[str, Any] = {
    "font.size": 11,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
}
_REFERENCE = re.compile(r'( id="|href="#|url\(#)')
#: The outline of a path, and numbers in it with more digits than a screen or a printer shows.
_OUTLINE = re.compile(r'(?<= d=")[^"]*')
_FINE = re.compile(r"(\.\d\d)\d+")
_STYLE = re.compile(r'(?<=style=")[^"]*')


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    Attributes
    ----------
    svg
        The image, whose description is ``alt``.
    alt
        What the figure shows, with its numbers.
    caption
        How to read it.
    hover
        What is shown where a reader points.
    """

    svg: Markup
    alt: str
    caption: str
    hover: Hover


def draw_figure(draw: Callable[[], Display], *, name: str, alt: str, caption: str = "") -> Figure:
    """Draw a figure for a page, in the colours of the page.

    Parameters
    ----------
    draw
        Creates the plot; matplotlib's settings elsewhere do not affect it.
    name
        A prefix that no other figure of the page has.
    alt, caption
        See :class:`Figure`.
    """
    from markupsafe import Markup, escape
    from matplotlib import pyplot as plt
    from matplotlib import style

    # Jupyter turns interactive mode on with the first figure. Within the context that would not
    # last, and later plots would not be shown.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    with style.context(["default", _SETTINGS]), warnings.catch_warnings():
        # Text stays text, drawn in the reader's own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        display = draw()
        svg = save_image(display, "svg").decode()
        hover = read_hover(display)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    # Within a tag, matplotlib escapes what would end it; text between tags is not changed.
    svg = re.sub(r"<[^>]*>", lambda tag: _adapt_tag(tag[0], name), svg)
    head = f'<svg role="img" aria-label="{escape(alt)}" '
    svg = re.sub(r'^<svg (.*?)width="[^"]*" height="[^"]*"', lambda match: head + match[1], svg)
    return Figure(Markup(svg), alt, caption, hover)  # noqa: S704 - texts in it are escaped, see above


def _adapt_tag(tag: str, name: str) -> str:
    """Make the identifiers of a tag unique, take the colours of the page, shorten the outline."""
    tag = _REFERENCE.sub(lambda match: f"{match[1]}{name}-", tag)
    tag = _OUTLINE.sub(lambda match: _FINE.sub(r"\1", match[0]), tag)
    return _STYLE.sub(lambda match: _adapt_style(match[0]), tag)


def _adapt_style(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?", "", style)
    return re.sub(
        r"#[0-9a-f]{6}\b",
        lambda match: f"var(--{COLOURS[match[0]]})" if match[0] in COLOURS else match[0],
        style,
    )


def fraud_rate_image(
    result: IntoDataFrame, title: str | None = None, kind: Literal["png", "svg"] = "png"
) -> bytes:
    """Return the plot of a fraud rate as the bytes of a file.

    Parameters
    ----------
    result
        Result of ``fraud_rate``.
    title
        Title of the plot; by default one that names the groups, "" for none.
    kind
        ``"png"``, with a white background; ``"svg"``, with a transparent one.
    """
    return save_image(plot_fraud_rate(result, title=title), kind)


def save_image(display: Display, kind: Literal["png", "svg"] = "png") -> bytes:
    """Return a plot as the bytes of a file, and close its figure.

    Parameters
    ----------
    display
        Result of a function of :mod:`synfin_analytics.plots`.
    kind
        ``"png"``, with a white background; ``"svg"``, with a transparent one.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from synfin_analytics import Confusion, plot_confusion
    >>> save_image(plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=94)))[1:4]
    b'PNG'
    """
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    figure = display.ax.get_figure(root=True)
    if figure is None:
        raise ArgumentError(
            "A plot that was removed from its figure cannot be saved: draw it again with plot()."
        )
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    # Equal numbers give equal files: no random identifiers, and no date.
    with mpl.rc_context({"svg.hashsalt": "synfin"}):
        figure.savefig(buffer, format=kind, dpi=160, transparent=kind == "svg", metadata=metadata)
    plt.close(figure)  # or a notebook would show it, too
    return buffer.getvalue()
