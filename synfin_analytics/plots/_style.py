"""The look that all plots share."""

from __future__ import annotations

import contextlib
import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.results import Display
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter
    from matplotlib.typing import ColorType, LineStyleType
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats


@dataclass(frozen=True)
class Palette:
    """Colours that can be distinguished, and read, on a background.

    Attributes
    ----------
    ink, others
        Lines and dots: of the first model or group, and of the others.
    band, bar
        Bands, and bars of counts.
    muted, grid
        Annotations and reference lines, and the grid.
    text, paper
        Text of the Axes, and the background.
    """

    ink: str
    others: tuple[str, ...]
    band: str
    bar: str
    muted: str
    grid: str
    text: str = "black"
    paper: str = "white"


LIGHT = Palette(
    ink="#1b4965", others=("#c8553d", "#2a7f62", "#7b5ea7", "#b7791f"), band="#c9d6df",
    bar="#9aa5b1", muted="#6b7280", grid="#e5e7eb",
)  # fmt: skip
DARK = Palette(
    ink="#8fc4e2", others=("#f0937c", "#74c9a8", "#bda6e4", "#e2b462"), band="#34495a",
    bar="#586775", muted="#a5b0bc", grid="#2b333c", text="white", paper="black",
)  # fmt: skip
#: Dashes of reference lines.
DASHES = (0, (4, 3))
#: Lines that can be distinguished in print: pattern and marker.
_PATTERNS: tuple[tuple[Any, str], ...] = (
    ("-", "o"),
    ("--", "s"),
    (":", "^"),
    ("-.", "D"),
    ((0, (1, 1)), "v"),
)
#: Lines that one plot can distinguish.
MAX_LINES = len(_PATTERNS)
#: Dates that can each be a tick.
_MAX_DATES = 5
#: Inches between the Axes and a panel below.
_GAP = 0.16
#: Settings of matplotlib that a user's style may change and that a plot respects: fonts, colours,
#: files. The others would draw grids through numbers, or dots on lines.
_RESPECTED = re.compile(
    r"font\.|.*color$|.*(title|label|legend\.font)(size|weight)$|(figure|axes)\.facecolor$|figure\.dpi"
    r"|savefig\.|backend|interactive|toolbar|webagg|svg\.|pdf\.|ps\.|pgf\.|agg\.|tk\.|keymap\."
    r"|animation\.|docstring|timezone|mathtext\.|text\.(latex|hinting|antialiased|kerning)|figure\.hooks"
)
_NO_FORMULAS = {"text.parse_math": False, "text.usetex": False}
#: Characters of a line of a label, lines of a label, and characters of a line of a title.
_LABEL_WIDTH, _MAX_LABEL_LINES, _TITLE_WIDTH = 38, 3, 78
#: Size of labels, in points, from which figures grow with it.
_LARGE_LABELS = 12
#: Luminance at which black and white have the same contrast.
_MIDDLE_LUMINANCE = 0.179


def create_display(
    ax: Axes | None, size: tuple[float, float], numbers: pd.DataFrame, draw: Callable[[Axes], None]
) -> Display:
    """Draw into ``ax``, or into a new figure of that size (inches).

    Parameters
    ----------
    ax
        Where to draw; None for a new figure.
    size
        Width and height of a new figure.
    numbers
        What ``Display.to_frame`` returns.
    draw
        Draws into the Axes that it is called with.
    """
    from matplotlib.axes import Axes as MatplotlibAxes

    def redraw(ax: Axes | None) -> Display:
        return create_display(ax, size, numbers, draw)

    if isinstance(ax, MatplotlibAxes):
        with plot_settings():
            draw(ax)
        return Display(ax, numbers, redraw)
    if ax is not None:
        raise ArgumentError(f"`ax` must be one matplotlib Axes; got {type(ax).__name__}.")
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.font_manager import FontProperties

    # Jupyter turns interactive mode on with the first figure. Within the context that would not
    # last, and later plots would not be shown.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    label_size = FontProperties(size=mpl.rcParams["axes.labelsize"]).get_size_in_points()
    scale = max(label_size / _LARGE_LABELS, 1.0)
    with plot_settings():
        figure, new_ax = plt.subplots(
            figsize=(size[0] * scale, size[1] * scale), layout="constrained"
        )
        try:
            draw(new_ax)
        except BaseException:
            plt.close(figure)  # or a notebook would show half a plot
            raise
    return Display(new_ax, numbers, redraw)


@contextlib.contextmanager
def plot_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults, but in the user's fonts and colours.

    Text is drawn literally: a merchant called ``$x$`` is not a formula.
    """
    import matplotlib as mpl

    defaults: Any = {
        name: value
        for name, value in mpl.rcParamsDefault.items()
        if not _RESPECTED.match(name) and name in mpl.rcParams
    }
    with mpl.rc_context(defaults | _NO_FORMULAS):
        yield


def palette(ax: Axes) -> Palette:
    """Return the colours that suit the background of an Axes."""
    from matplotlib import colors

    background = colors.to_rgba(ax.get_facecolor())
    if background[3] < 1:  # what is behind shines through
        behind = colors.to_rgba(ax.figure.get_facecolor())
        behind = behind if behind[3] else (1.0, 1.0, 1.0, 1.0)
        opacity = background[3]
        mixed = [opacity * a + (1 - opacity) * b for a, b in zip(background, behind, strict=True)]
        background = (mixed[0], mixed[1], mixed[2], 1.0)
    colours = DARK if _luminance(background) < _MIDDLE_LUMINANCE else LIGHT
    paper = colors.to_hex(background)
    return colours if paper == colors.to_hex(colours.paper) else replace(colours, paper=paper)


def text_color(background: ColorType) -> str:
    """Return black or white, whichever is more legible on a background."""
    return "white" if _luminance(background) < _MIDDLE_LUMINANCE else "black"


def _luminance(color: ColorType) -> float:
    """Relative luminance of WCAG, from 0 to 1."""
    from matplotlib import colors

    channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
                for c in colors.to_rgb(color)]  # fmt: skip
    return float(np.dot((0.2126, 0.7152, 0.0722), channels))


def line_styles(ax: Axes) -> list[tuple[LineStyleType, str, str]]:
    """Return lines that can be distinguished in print: pattern, marker, and a colour."""
    colours = palette(ax)
    return [
        (pattern, marker, colour)
        for (pattern, marker), colour in zip(_PATTERNS, (colours.ink, *colours.others), strict=True)
    ]


def wrap_label(label: str, width: int = _LABEL_WIDTH, max_lines: int = _MAX_LABEL_LINES) -> str:
    r"""Break a long label into lines; of a very long one the middle is left out.

    Examples
    --------
    >>> wrap_label("online"), wrap_label("Mozilla/5.0 (X11; Linux x86_64)", 20)
    ('online', 'Mozilla/5.0 (X11;\nLinux x86_64)')
    >>> [len(line) for line in wrap_label("x" * 500).splitlines()]
    [38, 38, 38]
    """
    lines = textwrap.wrap(label, width) or [label]
    if len(lines) > max_lines:  # names often differ in their ends only
        n_start = (width * max_lines - 1) // 2
        short = f"{label[:n_start]}…{label[n_start + 1 - width * max_lines :]}"
        lines = [short[start : start + width] for start in range(0, len(short), width)]
    return "\n".join(lines)


def label_rows(labels: Iterable[str]) -> float:
    """Return the height of labels below each other, in labels of one line."""
    return sum(max(1.0, 0.5 * label.count("\n") + 0.75) for label in labels)


def style_axes(ax: Axes, title: str, *, grid: str = "y") -> None:
    """Give the Axes its title, a faint grid, and no unnecessary lines."""
    colours = palette(ax)
    heading = ax.set_title(
        textwrap.fill(title, _TITLE_WIDTH), loc="left", fontweight="bold", pad=12
    )
    ax.grid(visible=False, which="both")  # one of the user's style
    if grid:
        look: dict[str, Any] = {"color": colours.grid, "linewidth": 0.8, "linestyle": "-"}
        ax.grid(axis=grid, **look)  # type: ignore[arg-type]  # x, y or both
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for text in (heading, ax.xaxis.label, ax.yaxis.label):  # of Axes that the user made
        text.set_usetex(False)
        text.set_parse_math(False)


def set_rows(ax: Axes, labels: Sequence[str]) -> NDArray[np.intp]:
    """Label rows below each other, and return their positions from top to bottom."""
    rows = np.arange(len(labels))[::-1]
    ax.set_yticks(rows, labels)
    ax.set_ylim(-0.6, max(len(labels), 1) - 0.4)
    ax.tick_params(axis="y", pad=8)
    return rows


def annotate_empty(ax: Axes, reason: str, *, ticks: bool = True) -> None:
    """Write into the middle of the Axes why there is nothing to draw."""
    colours = palette(ax)
    box = {"facecolor": colours.paper, "edgecolor": "none"}
    look: dict[str, Any] = {"color": colours.muted, "bbox": box, "zorder": 6}
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", **look)
    if not ticks:
        ax.set_xticks([])


def annotate_right(
    ax: Axes, text: str, y: float, *, size: str = "x-small", va: str = "center"
) -> None:
    """Write to the right of the Axes, at the height ``y`` of the data."""
    look: dict[str, Any] = {"va": va, "fontsize": size, "color": palette(ax).muted}
    place: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points"}
    ax.annotate(text, (1, y), xycoords=("axes fraction", "data"), **place, **look)


def annotate_above(ax: Axes, text: str, x: float) -> None:
    """Write above the Axes, at ``x`` of the data."""
    look: dict[str, Any] = {"fontsize": "x-small", "color": palette(ax).muted}
    place: dict[str, Any] = {"xytext": (4, 2), "textcoords": "offset points"}
    ax.annotate(text, (x, 1), xycoords=("data", "axes fraction"), **place, **look)


def add_count_panel(ax: Axes, height: float = 0.5) -> Axes:
    """Add small Axes below ``ax``, with the same x axis, for counts.

    Their height is in inches: a layout cannot settle where sizes depend on each other.
    """
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    figure = ax.figure
    # Any transform does; the stubs name one kind.
    bottom = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]
    inches = blended_transform_factory(ax.transAxes, figure.dpi_scale_trans + bottom)
    panel = ax.inset_axes((0, -height - _GAP, 1, height), transform=inches, sharex=ax)
    panel.tick_params(axis="y", length=0, labelsize="x-small")
    panel.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    if figure.get_layout_engine() is None:  # no layout makes room for it
        box = ax.get_position()
        used_height = min((height + 2 * _GAP) / (figure.bbox.height / figure.dpi), 0.7 * box.height)
        ax.set_position((box.x0, box.y0 + used_height, box.width, box.height - used_height))
        ax.set_in_layout(True)
    return panel


def add_legend_right(
    ax: Axes,
    handles: Sequence[Artist],
    title: str | None = None,
    labels: Sequence[str] | None = None,
) -> None:
    """Put the legend to the right of the Axes, where it covers nothing."""
    names = [str(handle.get_label()) for handle in handles] if labels is None else labels
    ax.legend(
        handles,
        names,
        title=title,
        title_fontsize="small",
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        frameon=False,
        fontsize="small",
        handlelength=2.8,
        labelspacing=0.9,
    )


def date_numbers(moments: NDArray[np.datetime64]) -> Floats:
    """Convert moments to matplotlib's numbers, which count days."""
    from matplotlib.dates import date2num

    numbers = date2num(moments)  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    return np.asarray(numbers, dtype=np.float64)


def add_volume_panel(ax: Axes, moments: Floats, counts: Floats) -> Axes:
    """Add bars of transactions by date below ``ax``; counts of the same moment are added."""
    from matplotlib.ticker import StrMethodFormatter

    panel = add_count_panel(ax)
    starts, periods = np.unique(moments, return_inverse=True)
    width = float(np.median(np.diff(starts))) if len(starts) > 1 else 1.0
    volume = np.bincount(periods, weights=counts, minlength=len(starts))
    panel.bar(starts, volume, width=0.85 * width, color=palette(ax).bar)
    set_date_ticks(panel)
    top = max(panel.get_ylim()[1], 1.0)
    panel.set_yticks([top / 1.05])
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return panel


def set_date_ticks(ax: Axes, dates: pd.Series[Any] | None = None) -> None:
    """Label days, months or years, as few as needed; a few ``dates`` are all labelled."""
    if dates is not None and len(dates) <= _MAX_DATES:
        ax.set_xticks(date_numbers(dates.to_numpy()), [f"{date:%Y-%m-%d}" for date in dates])
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    # matplotlib.dates has no types
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_formatter(formatter)
    ax.xaxis.labelpad = 14  # below the month or year, at the right


def percent_formatter() -> Formatter:
    """Return a formatter of shares in percent; matplotlib is imported here and not before."""
    from synfin_analytics.plots._ticks import PercentFormatter

    return PercentFormatter()
