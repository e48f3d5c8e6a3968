"""Which rules fire together: bars of combinations over a matrix of dots (UpSet)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.formatting import format_compact, format_percent, pluralize
from synfin_analytics.plots._style import (
    annotate_empty,
    create_display,
    palette,
    set_rows,
    style_axes,
)
from synfin_analytics.plots.rules import check_rules, name_rows, rule_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics._core.types import Floats, Mask
    from synfin_analytics.rules.result import RuleEvaluation

#: Inches of the bars above, of the bars at the left, and between them.
_BARS, _SIZES, _GAP = 1.7, 1.1, 0.12


def plot_rule_overlap(
    evaluation: RuleEvaluation,
    ax: Axes | None = None,
    *,
    max_combinations: int = 15,
    title: str | None = None,
) -> Display:
    """Draw which rules fire together, as an UpSet plot.

    Each column is a set of rules that fire on the same transactions, and no other rule does: solid
    dots are its rules, the bar above its alerts, the dark part of it frauds. The bars at the left
    are all alerts of each rule.

    Parameters
    ----------
    evaluation
        Result of ``evaluate_rules``.
    ax
        Where to draw the bars of combinations; the matrix is below them. By default a new figure of
        a suitable size.
    max_combinations
        How many combinations to draw at most: those with the most alerts. The axis tells what is
        left out.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``evaluation.combinations`` that are drawn.

    References
    ----------
    Lex, Gehlenborg, Strobelt, Vuillemot and Pfister: UpSet: Visualization of intersecting sets.
    IEEE Transactions on Visualization and Computer Graphics 20 (2014).

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate_rules
    >>> df = pd.DataFrame(
    ...     {"is_fraud": [True, True, False], "high": [True, False, False], "night": [1, 1, 1]}
    ... )
    >>> plot_rule_overlap(evaluate_rules(df, ["high", "night"]))
    Display('Rules that fire together', 2 rows)
    """
    evaluation = check_rules(evaluation)
    n_drawn = check_integer(max_combinations, "max_combinations", minimum=1)
    combinations, sizes = rule_table(evaluation, "combinations"), rule_table(evaluation, "rules")
    numbers = combinations.head(n_drawn)
    fires = evaluation._statistics.fires_together()[: len(numbers)]
    drawn = np.flatnonzero(fires.any(axis=0))
    drawn = drawn[np.argsort(-sizes["alerts"].to_numpy()[drawn], kind="stable")]
    labels, matrix_height = name_rows(evaluation.names[rule] for rule in drawn)
    alerts = sizes["alerts"].to_numpy(np.float64)[drawn]
    note = _describe_hidden(combinations, len(numbers), len(evaluation.names) - len(drawn))

    def draw(ax: Axes) -> None:
        style_axes(ax, "Rules that fire together" if title is None else title)
        if not len(numbers):
            annotate_empty(ax, "no rule fired", ticks=False)
            ax.set_yticks([])
            return
        _draw_bars(ax, numbers)
        _draw_matrix(ax, fires[:, drawn], labels, alerts, matrix_height, note)

    height = _BARS + matrix_height + 1.1 + 0.17 * note.count("\n")
    return create_display(ax, (8.4, height), numbers, draw)


def _describe_hidden(combinations: pd.DataFrame, n_drawn: int, n_rules: int) -> str:
    """Return what the axis says: what is drawn, and what is not."""
    hidden = combinations.iloc[n_drawn:]
    text = "columns: rules that fire together, and no other; dark: frauds"
    if len(hidden):
        n_alerts = int(hidden["alerts"].sum())
        share = n_alerts / int(combinations["alerts"].sum())
        text += (
            f"\nnot shown: {pluralize(len(hidden), 'combination')} with "
            f"{pluralize(n_alerts, 'alert')} ({format_percent(share)})"
        )
    if n_rules:
        where = "in no combination that is shown" if len(hidden) else "that never fired"
        text += f"\nnot shown: {pluralize(n_rules, 'rule')} {where}"
    return text


def _draw_bars(ax: Axes, numbers: pd.DataFrame) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    from synfin_analytics.plots._ticks import compact_tick

    colours = palette(ax)
    alerts, frauds = (numbers[name].to_numpy(np.float64) for name in ("alerts", "frauds"))
    x = np.arange(len(numbers))
    ax.bar(x, alerts, width=0.62, color=colours.bar)
    ax.bar(x, frauds, width=0.62, color=colours.ink)
    for column, value in zip(x, alerts, strict=True):
        place: dict[str, Any] = {"xytext": (0, 2), "textcoords": "offset points"}
        place |= {"ha": "center", "va": "bottom", "fontsize": "x-small"}
        ax.annotate(format_compact(value), (column, value), color=colours.muted, **place)
    ax.set_xlim(-0.6, max(len(numbers), 4) - 0.4)
    ax.set_ylim(0, 1.12 * float(alerts.max()))
    ax.set_ylabel("alerts")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(compact_tick))


def _draw_matrix(
    ax: Axes, fires: Mask, labels: Sequence[str], alerts: Floats, height: float, note: str
) -> None:
    from matplotlib.ticker import NullLocator

    colours = palette(ax)
    matrix, bars = _add_panels(ax, height)
    rows = set_rows(matrix, labels)
    matrix.set_yticks([])
    for row in rows[1::2]:
        for panel in (matrix, bars):
            panel.axhspan(row - 0.5, row + 0.5, color=colours.grid, alpha=0.5, zorder=0)
    column, rule = np.nonzero(~fires)
    look: dict[str, Any] = {"s": 26, "linewidth": 0}
    matrix.scatter(column, rows[rule], color=colours.band, zorder=2, **look)
    column, rule = np.nonzero(fires)
    matrix.scatter(column, rows[rule], color=colours.ink, zorder=3, **look)
    for number, together in enumerate(fires):
        ends = rows[np.flatnonzero(together)]
        matrix.vlines(number, ends.min(), ends.max(), color=colours.ink, linewidth=1.6, zorder=3)
    matrix.xaxis.set_major_locator(NullLocator())
    matrix.set_xlabel(note)

    set_rows(bars, labels)
    bars.tick_params(axis="y", labelsize="small")
    bars.barh(rows, alerts, height=0.6, color=colours.bar)
    largest = float(alerts.max())
    bars.set_xlim(1.5 * largest, 0)  # room for the numbers
    bars.set_xticks([])
    bars.set_xlabel("all alerts", fontsize="small")
    for row, value in zip(rows, alerts, strict=True):
        place: dict[str, Any] = {"xytext": (-3, 0), "textcoords": "offset points"}
        place |= {"ha": "right", "va": "center", "fontsize": "x-small"}
        bars.annotate(format_compact(value), (value, row), color=colours.muted, **place)


def _add_panels(ax: Axes, height: float) -> tuple[Axes, Axes]:
    """Add Axes below ``ax`` for the matrix, and at its left for the sizes (inches)."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    figure = ax.figure
    # Any transform does; the stubs name one kind.
    corner = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]
    inches = figure.dpi_scale_trans + corner
    below = blended_transform_factory(ax.transAxes, inches)
    matrix = ax.inset_axes((0, -height - _GAP, 1, height), transform=below, sharex=ax)
    bars = ax.inset_axes((-_SIZES - _GAP, -height - _GAP, _SIZES, height), transform=inches)
    for panel in (matrix, bars):
        panel.spines[["top", "right", "left", "bottom"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.patch.set_visible(False)
        panel.grid(visible=False)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    if figure.get_layout_engine() is None:  # no layout makes room for them
        box = ax.get_position()
        size = figure.bbox.height / figure.dpi
        used = min((height + 2 * _GAP) / size, 0.7 * box.height)
        left = min(2 * _SIZES / (figure.bbox.width / figure.dpi), 0.5 * box.width)
        ax.set_position((box.x0 + left, box.y0 + used, box.width - left, box.height - used))
        ax.set_in_layout(True)
    return matrix, bars
