"""Label maturity: the share of the frauds known at each age, as curves and as a heat map."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from synfin_analytics._core.arguments import argument_error
from synfin_analytics._core.formatting import (
    format_compact,
    format_confidence_level,
    format_group,
    pluralize,
)
from synfin_analytics.metrics.maturity import LabelMaturity, MaturityPlot
from synfin_analytics.plots._inputs import check_result
from synfin_analytics.plots._style import (
    DASHES,
    MAX_LINES,
    add_legend_right,
    annotate_empty,
    annotate_right,
    create_display,
    line_styles,
    palette,
    percent_formatter,
    style_axes,
    text_color,
    wrap_label,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display

_UNITS = {"m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "q": "quarter",
          "y": "year"}  # fmt: skip
#: Dashed lines of the curves.
_LEVELS = (0.5, 0.9)
#: Characters of a line of a legend at the right.
_LEGEND_WIDTH = 24
#: Cohorts and ages whose counts can be read in a heat map, and cohorts whose dates can.
_MAX_READABLE, _MAX_DATES = (30, 16), 30
#: Cohorts that are drawn at most: more are thinner than a pixel.
_MAX_COHORTS = 400


def plot_label_maturity(
    maturity: LabelMaturity,
    ax: Axes | None = None,
    *,
    kind: MaturityPlot = "curves",
    title: str | None = None,
) -> Display:
    """Draw the result of :func:`synfin_analytics.label_maturity`.

    ``"curves"``: the share of the frauds that is known by the end of each age, a line with a band
    for its pointwise interval. With groups one line each, of at most 5 groups with the most frauds;
    without groups thin lines behind it are those of the mature cohorts. ``"heatmap"``: a row for
    each cohort, all groups together, and a column for each age; the colour is the share of the
    frauds that is known, the number that of known frauds. Cohorts that are not mature, whose share
    is not known yet, are grey.

    Parameters
    ----------
    maturity
        Result of ``label_maturity``.
    ax
        Where to draw; by default a new figure.
    kind
        ``"curves"`` or ``"heatmap"``.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``maturity.curve`` that are drawn, or the cells of the triangle.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import label_maturity
    >>> df = pd.DataFrame(
    ...     {
    ...         "timestamp": pd.to_datetime(["2026-01-05", "2026-01-06", "2026-01-12"]),
    ...         "label_available_at": pd.to_datetime(["2026-01-06", "2026-01-14", "2026-01-13"]),
    ...         "is_fraud": [True, True, True],
    ...     }
    ... )
    >>> maturity = label_maturity(df, as_of="2026-01-26", amount=None)
    >>> plot_label_maturity(maturity)
    Display('Label maturity', 2 rows)
    >>> plot_label_maturity(maturity, kind="heatmap")
    Display('Known frauds by week and age of the label', 4 rows)
    """
    check_result(maturity, LabelMaturity, "maturity", "label_maturity(...)")
    if kind not in get_args(MaturityPlot):
        raise argument_error("kind", '"curves" or "heatmap"', kind)
    if kind == "curves":
        return _plot_curves(maturity, ax, title)
    return _plot_heatmap(maturity, ax, title)


# -- Curves ----------------------------------------------------------------------------------------


def _plot_curves(maturity: LabelMaturity, ax: Axes | None, title: str | None) -> Display:
    curve = maturity.curve
    labels = _group_labels(curve, maturity.by)
    sizes = dict(zip(labels, curve["final_frauds"], strict=True))  # the same for all ages
    names = sorted((name for name in sizes if sizes[name]), key=lambda name: -sizes[name])
    names = names[:MAX_LINES]
    drawn = np.isin(labels, names)
    curve, labels = curve[drawn].reset_index(drop=True), labels[drawn]
    n_hidden = len(sizes) - len(names)
    by = f" by {' and '.join(maturity.by)}".replace("_", " ") if maturity.by else ""

    def draw(ax: Axes) -> None:
        style_axes(ax, f"Label maturity{by}" if title is None else title)
        if curve["share"].notna().any():
            if not maturity.by:
                _draw_cohorts(ax, maturity)
            _draw_curves(ax, curve, labels, names)
        else:
            annotate_empty(ax, _explain_empty(maturity), ticks=False)
        ax.set_ylim(0, 1.0)
        ax.yaxis.set_major_formatter(percent_formatter())
        level = format_confidence_level(maturity.confidence_level)
        lines = "" if maturity.by else "; thin lines: cohorts"
        hidden = f"; {pluralize(n_hidden, 'group')} with fewer frauds not shown" if n_hidden else ""
        ax.set_xlabel(
            f"age of the label in {_ages(maturity.every)}\n"
            f"line: share of the frauds known by its end; band: {level} CI{lines}{hidden}"
        )

    return create_display(ax, (8.4, 4.2), curve, draw)


def _draw_curves(ax: Axes, curve: pd.DataFrame, labels: Any, names: list[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    colours = palette(ax)
    several = len(names) > 1
    handles: list[Any] = []
    for name, (pattern, marker, colour) in zip(names, line_styles(ax), strict=False):
        rows = curve[labels == name]
        x, share, low, high = (
            rows[column].to_numpy(dtype=np.float64)
            for column in ("age", "share", "share_low", "share_high")
        )
        ax.fill_between(
            x, low, high, color=colour if several else colours.band,
            alpha=0.12 if several else 0.8, linewidth=0, zorder=1.5,
        )  # fmt: skip
        look: dict[str, Any] = {"linestyle": pattern, "marker": marker, "color": colour}
        look |= {"linewidth": 1.6, "markersize": 4}
        ax.plot(x, share, clip_on=False, zorder=3, **look)
        handles.append(Line2D([], [], label=wrap_label(name, _LEGEND_WIDTH), **look))
    if several:
        add_legend_right(ax, handles)
    for level in _LEVELS:
        ax.axhline(level, color=colours.muted, linewidth=1, linestyle=DASHES, zorder=1)
        reached = curve["share"].to_numpy() >= level
        if not several and reached.any():
            age = int(curve["age"].to_numpy()[reached.argmax()])
            annotate_right(ax, f"{level:.0%} by age {age}", level)
    ax.set_xlim(0, max(curve["age"].max(), 1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_cohorts(ax: Axes, maturity: LabelMaturity) -> None:
    """Draw the share of each mature cohort as a thin line."""
    from matplotlib.collections import LineCollection

    cells = maturity.to_frame().dropna(subset="share")
    lines = [cohort[["age", "share"]].to_numpy() for _, cohort in cells.groupby("cohort")]
    look: dict[str, Any] = {"colors": palette(ax).bar, "linewidths": 0.7, "zorder": 2}
    ax.add_collection(LineCollection(lines[-_MAX_COHORTS:], alpha=0.8, **look))


# -- Heat map --------------------------------------------------------------------------------------


def _plot_heatmap(maturity: LabelMaturity, ax: Axes | None, title: str | None) -> Display:
    cells = maturity.overall.to_frame()
    if maturity.mature_age is not None:
        cells = cells[cells["age"] <= maturity.mature_age]
    n_ages = int(cells["age"].max()) + 1 if len(cells) else 0
    cohorts = np.sort(cells["cohort"].unique())[-_MAX_COHORTS:]
    cells = cells[cells["cohort"].isin(cohorts)].reset_index(drop=True)
    unit = _unit(maturity.every)
    heading = f"Known frauds by {unit} and age of the label"

    def draw(ax: Axes) -> None:
        style_axes(ax, heading if title is None else title, grid="")
        if len(cells):
            _draw_cells(ax, cells)
        else:
            annotate_empty(ax, _explain_empty(maturity), ticks=False)
            ax.set_yticks([])
        numbers = "number: known frauds; " if _is_readable(len(cohorts), n_ages) else ""
        ax.set_xlabel(
            f"age of the label in {_ages(maturity.every)}\n"
            f"{numbers}colour: share of those known in the last column; grey: not mature"
        )
        ax.set_ylabel(f"{unit} of the transaction")

    height = 2.0 + 0.24 * min(max(len(cohorts), 6), 30)
    return create_display(ax, (8.4, height), cells, draw)


def _draw_cells(ax: Axes, cells: pd.DataFrame) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    colours = palette(ax)
    cohorts = np.sort(cells["cohort"].unique())
    rows = np.searchsorted(cohorts, cells["cohort"])
    ages = cells["age"].to_numpy()
    shape = len(cohorts), int(ages.max()) + 1
    shares, frauds = np.full(shape, np.nan), np.full(shape, np.nan)
    shares[rows, ages], frauds[rows, ages] = cells["share"], cells["frauds"]
    colormap = LinearSegmentedColormap.from_list("maturity", [colours.paper, colours.ink])
    extent = (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5)
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "extent": extent}
    pending = np.isfinite(frauds) & np.isnan(shares)
    grey = LinearSegmentedColormap.from_list("pending", [colours.grid, colours.grid])
    ax.imshow(np.where(pending, 1.0, np.nan), cmap=grey, vmin=0, vmax=1, **look)
    image = ax.imshow(shares, cmap=colormap, vmin=0, vmax=1, **look)
    if _is_readable(*shape):
        for row, age in zip(*np.nonzero(np.isfinite(frauds)), strict=True):
            background = colours.grid if pending[row, age] else colormap(shares[row, age])
            ax.text(
                age, row, format_compact(frauds[row, age]), ha="center", va="center",
                fontsize="x-small", color=text_color(background),
            )  # fmt: skip
    step = -(-shape[0] // _MAX_DATES)
    ticks = np.arange(0, shape[0], step)
    ax.set_yticks(ticks, [_format_cohort(cohorts[row]) for row in ticks], fontsize="x-small")
    ax.tick_params(axis="x", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines["bottom"].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, pad=0.02, format=percent_formatter())
    bar.outline.set_visible(False)
    bar.set_label("share known")


def _is_readable(n_cohorts: int, n_ages: int) -> bool:
    """Whether the cells of a heat map are large enough for their counts."""
    return n_cohorts <= _MAX_READABLE[0] and n_ages <= _MAX_READABLE[1]


# -- Texts -----------------------------------------------------------------------------------------


def _unit(every: str) -> str:
    """Return the name of a cohort: week, or the length of a longer period."""
    number, unit = re.fullmatch(r"([0-9]+)([a-z]+)", every).groups()  # type: ignore[union-attr]
    return _UNITS[unit] if number == "1" else f"period of {pluralize(int(number), _UNITS[unit])}"


def _ages(every: str) -> str:
    unit = _unit(every)
    return f"{unit}s" if " " not in unit else unit.replace("period", "periods", 1)


def _explain_empty(maturity: LabelMaturity) -> str:
    """Return why there is nothing to draw."""
    if maturity.as_of is None:
        return "no transactions"
    mature = maturity.cohorts["mature"]
    return "no fraud in a mature cohort" if mature.any() else "no mature cohort"


def _format_cohort(cohort: Any) -> str:
    text = f"{cohort:%Y-%m-%d %H:%M}"
    return text.removesuffix(" 00:00")


def _group_labels(curve: pd.DataFrame, by: tuple[str, ...]) -> Any:
    """Return the name of the group of each row."""
    columns = [[format_group(value) for value in curve[name]] for name in by]
    labels = [" · ".join(parts) for parts in zip(*columns, strict=True)] or ["all"] * len(curve)
    return np.array(labels, dtype=object)
