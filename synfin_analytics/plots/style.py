"""The look that all pictures share, and what each of them returns."""

from __future__ import annotations

import contextlib
import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.display import Display
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Palette:
    """Colours that can be told apart, and read, on a background.

    Attributes
    ----------
    ink, others
        Lines and dots: of the first model or group, and of the others.
    soft, bar
        Bands, and bars of counts.
    grey, grid
        Words and lines beside the data, and the grid.
    text, paper
        Words of the Axes, and the background.
    """

    ink: str
    others: tuple[str, ...]
    soft: str
    bar: str
    grey: str
    grid: str
    text: str = "black"
    paper: Any = "white"


LIGHT = Palette(
    ink="#1b4965", others=("#c8553d", "#2a7f62", "#7b5ea7", "#b7791f"), soft="#c9d6df",
    bar="#9aa5b1", grey="#6b7280", grid="#e5e7eb",
)  # fmt: skip
DARK = Palette(
    ink="#8fc4e2", others=("#f0937c", "#74c9a8", "#bda6e4", "#e2b462"), soft="#34495a",
    bar="#586775", grey="#a5b0bc", grid="#2b333c", text="white", paper="black",
)  # fmt: skip
#: Inches between the Axes and a strip below.
_GAP = 0.16
DASHES = (0, (4, 3))
_UNITS = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
#: Lines that are told apart in print: pattern, marker, and a colour for the screen.
_PATTERNS: tuple[tuple[Any, str], ...] = (
    ("-", "o"),
    ("--", "s"),
    (":", "^"),
    ("-.", "D"),
    ((0, (1, 1)), "v"),
)
#: Lines that one picture can tell apart.
MOST_LINES = len(_PATTERNS)
#: Settings of matplotlib that a user's style may change and that a picture leaves as they are:
#: fonts, colours, files. The others would draw grids through numbers, or dots on lines.
_KEPT = re.compile(
    r"font\.|.*color$|.*(title|label|legend\.font)(size|weight)$|(figure|axes)\.facecolor$|figure\.dpi"
    r"|savefig\.|backend|interactive|toolbar|webagg|svg\.|pdf\.|ps\.|pgf\.|agg\.|tk\.|keymap\."
    r"|animation\.|docstring|timezone|mathtext\.|text\.(latex|hinting|antialiased|kerning)|figure\.hooks"
)
_MATHEMATICS = {"text.parse_math": False, "text.usetex": False}
#: Characters of a line of a label, lines of a label, and characters of a title.
_LINE, _MOST_ROWS, _TITLE = 38, 3, 78
_LARGE = 12  # points: from this size of labels on, figures grow with it


def drawn(
    ax: Axes | None,
    size: tuple[float, float],
    numbers: pd.DataFrame,
    draw: Callable[[Axes], None],
) -> Display:
    """Draw into ``ax``, or into a new figure of that size (inches)."""
    from matplotlib.axes import Axes as MatplotlibAxes

    def again(ax: Axes | None) -> Display:
        return drawn(ax, size, numbers, draw)

    if isinstance(ax, MatplotlibAxes):
        with own_look():
            draw(ax)
        return Display(ax, numbers, again)
    if ax is not None:
        raise ArgumentError(f"`ax` must be one matplotlib Axes; got {type(ax).__name__}.")
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.font_manager import FontProperties

    # Jupyter switches interactive mode on with the first figure: within the context that would not
    # last, and no later picture would be shown.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    letters = FontProperties(size=mpl.rcParams["axes.labelsize"]).get_size_in_points()
    grown = max(letters / _LARGE, 1.0)  # room for large letters
    with own_look():
        figure, new = plt.subplots(figsize=(size[0] * grown, size[1] * grown), layout="constrained")
        try:
            draw(new)
        except BaseException:
            plt.close(figure)  # or a notebook would show half a picture
            raise
    return Display(new, numbers, again)


@contextlib.contextmanager
def own_look() -> Iterator[None]:
    """Draw as matplotlib does by default, but in the user's fonts and colours.

    Names are drawn as they are: a merchant called ``$x$`` is no formula.
    """
    import matplotlib as mpl

    usual: Any = {
        name: value
        for name, value in mpl.rcParamsDefault.items()
        if not _KEPT.match(name) and name in mpl.rcParams
    }
    with mpl.rc_context(usual | _MATHEMATICS):
        yield


def palette(ax: Axes) -> Palette:
    """Colours that suit the background of an Axes."""
    from matplotlib import colors

    background = colors.to_rgba(ax.get_facecolor())
    if background[3] < 1:  # what is behind shines through
        behind = colors.to_rgba(ax.figure.get_facecolor())
        behind = behind if behind[3] else (1.0, 1.0, 1.0, 1.0)
        share = background[3]
        mixed = [share * a + (1 - share) * b for a, b in zip(background, behind, strict=True)]
        background = (mixed[0], mixed[1], mixed[2], 1.0)
    of = DARK if _light(background) < _MIDDLE else LIGHT
    paper = colors.to_hex(background)
    return of if paper == colors.to_hex(of.paper) else replace(of, paper=paper)


def readable(color: Any) -> str:
    """Black or white, whichever is read better on a colour."""
    return "white" if _light(color) < _MIDDLE else "black"


def _light(color: Any) -> float:
    """Relative luminance of WCAG, from 0 to 1."""
    from matplotlib import colors

    channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
                for c in colors.to_rgb(color)]  # fmt: skip
    return float(np.dot((0.2126, 0.7152, 0.0722), channels))


#: Luminance at which black and white have the same contrast.
_MIDDLE = 0.179


def styles(ax: Axes) -> list[tuple[Any, str, str]]:
    """Lines that are told apart in print: pattern, marker, and a colour for the screen."""
    colours = palette(ax)
    return [
        (line, mark, colour)
        for (line, mark), colour in zip(_PATTERNS, (colours.ink, *colours.others), strict=True)
    ]


def wrapped(name: str, line: int = _LINE) -> str:
    r"""Break a long name into lines; of a very long one the middle is left out.

    Examples
    --------
    >>> wrapped("online"), wrapped("Mozilla/5.0 (X11; Linux x86_64)", 20)
    ('online', 'Mozilla/5.0 (X11;\nLinux x86_64)')
    >>> [len(row) for row in wrapped("x" * 500).splitlines()]
    [38, 38, 38]
    """
    rows = textwrap.wrap(name, line) or [name]
    if len(rows) > _MOST_ROWS:  # names often differ in their ends only
        half = (line * _MOST_ROWS - 1) // 2
        short = f"{name[:half]}…{name[half + 1 - line * _MOST_ROWS :]}"
        rows = [short[at : at + line] for at in range(0, len(short), line)]
    return "\n".join(rows)


def rows_of(labels: Iterable[str]) -> float:
    """Rows that labels take below each other, those of one line as the unit."""
    return sum(max(1.0, 0.5 * label.count("\n") + 0.75) for label in labels)


def dress(ax: Axes, title: str, *, grid: str = "y") -> None:
    """Give the Axes its title, a faint grid, and no more lines than it needs."""
    colours = palette(ax)
    words = ax.set_title(textwrap.fill(title, _TITLE), loc="left", fontweight="bold", pad=12)
    ax.grid(visible=False, which="both")  # of a style of the user's
    if grid:
        look: dict[str, Any] = {"color": colours.grid, "linewidth": 0.8, "linestyle": "-"}
        ax.grid(axis=grid, **look)  # type: ignore[arg-type]  # x, y or both
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for text in (words, ax.xaxis.label, ax.yaxis.label):  # of an Axes that the user made
        text.set_usetex(False)
        text.set_parse_math(False)


def say(ax: Axes, words: str) -> None:
    """Write into the middle why there is nothing to be seen."""
    ax.text(
        0.5,
        0.5,
        words,
        transform=ax.transAxes,
        ha="center",
        va="center",
        color=palette(ax).grey,
        bbox={"facecolor": palette(ax).paper, "edgecolor": "none"},
        zorder=6,
    )


def beside(ax: Axes, text: str, y: float, *, size: str = "x-small", va: str = "center") -> None:
    """Write to the right of the Axes, at the height ``y`` of the data."""
    ax.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va=va,
        fontsize=size,
        color=palette(ax).grey,
    )


def above(ax: Axes, text: str, x: float) -> None:
    """Write over the Axes, at ``x`` of the data."""
    ax.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, 2),
        textcoords="offset points",
        fontsize="x-small",
        color=palette(ax).grey,
    )


def strip(ax: Axes, height: float = 0.5) -> Axes:
    """Small Axes below ``ax``, with the same x axis, for how many there were.

    Their height is in inches: a layout cannot settle where sizes depend on each other.
    """
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    figure = ax.figure
    # Any transform does; the stubs name one kind.
    bottom = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]
    inches = blended_transform_factory(ax.transAxes, figure.dpi_scale_trans + bottom)
    below = ax.inset_axes((0, -height - _GAP, 1, height), transform=inches, sharex=ax)
    below.tick_params(axis="y", length=0, labelsize="x-small")
    below.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    if figure.get_layout_engine() is None:  # nobody else makes room for it
        box = ax.get_position()
        taken = min((height + 2 * _GAP) / (figure.bbox.height / figure.dpi), 0.7 * box.height)
        ax.set_position((box.x0, box.y0 + taken, box.width, box.height - taken))
        ax.set_in_layout(True)
    return below


def days(moments: NDArray[Any]) -> Floats:
    """Moments as matplotlib counts them: in days."""
    from matplotlib.dates import date2num

    found = date2num(moments)  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    return np.asarray(found, dtype=np.float64)


def date_ticks(ax: Axes) -> None:
    """Name days, months or years, as few as tell them."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    # matplotlib.dates has no types
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_formatter(formatter)
    ax.xaxis.labelpad = 14  # below the month or year, which stands at the right


def percent_ticks() -> Any:
    """Ticks as percent, all with the decimals that the finest needs."""
    from synfin_analytics.plots._ticks import PercentTicks

    return PercentTicks()


def percent_tick(share: float) -> str:
    """Write one tick as percent, in full.

    Examples
    --------
    >>> percent_tick(0.2), percent_tick(1e-7)
    ('20%', '0.00001%')
    """
    return f"{np.format_float_positional(100 * share, precision=4, fractional=False, trim='-')}%"


def brief(number: float) -> str:
    """Write a count or an amount in few characters.

    Examples
    --------
    >>> brief(9_876), brief(123_456), brief(1_234_567), brief(0.25)
    ('9,876', '123k', '1.23M', '0.25')
    """
    if abs(number) < 1e5:
        whole = abs(number) >= 100 or number == int(number)
        return f"{number:,.0f}" if whole else f"{number:.3g}"
    number = float(f"{number:.3g}")  # first, so that 999,999 is 1M
    unit, letter = next((u, sign) for u, sign in _UNITS if abs(number) >= u)
    return f"{number / unit:.3g}{letter}"


def legend_beside(
    ax: Axes, handles: list[Any], title: str | None = None, labels: list[str] | None = None
) -> None:
    """Put the legend to the right of the Axes, where it covers nothing."""
    names = [handle.get_label() for handle in handles] if labels is None else labels
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
