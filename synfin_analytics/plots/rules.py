"""Rules by precision and recall, and the net benefit that each adds in the greedy order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.formatting import (
    UNDEFINED,
    format_amount,
    format_compact,
    format_confidence_level,
    pluralize,
)
from synfin_analytics._core.output import from_polars
from synfin_analytics.plots._inputs import check_result
from synfin_analytics.plots._style import (
    annotate_empty,
    annotate_right,
    create_display,
    palette,
    percent_formatter,
    set_rows,
    style_axes,
    wrap_label,
)
from synfin_analytics.rules.result import RuleEvaluation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics._core.types import Floats

#: Characters of a line of a rule's name, its lines, and inches of a row with one and with more.
_NAME_WIDTH, _NAME_LINES, _ROW, _TALL_ROW = 30, 2, 0.3, 0.37
#: Inches of a line of the names at the right, and lines between two names.
_LINE_HEIGHT, _LINE_GAP = 0.15, 0.4
#: Area of the dot of the rule with the most alerts, and the smallest one, in square points.
_LARGEST, _SMALLEST = 220.0, 12.0


def check_rules(evaluation: object) -> RuleEvaluation:
    """Return the evaluation of rules; raise an ArgumentError for anything else."""
    return check_result(evaluation, RuleEvaluation, "evaluation", "evaluate_rules(...)")


def rule_table(evaluation: RuleEvaluation, name: str) -> Any:
    """Return a table of the evaluation as a pandas frame."""
    return from_polars(evaluation._polars(name), "pandas")


def name_rows(names: Iterable[str]) -> tuple[list[str], float]:
    """Return names of rules as labels of rows, and the height that all rows need (inches)."""
    labels = [wrap_label(name, _NAME_WIDTH, _NAME_LINES) for name in names]
    height = _TALL_ROW if any("\n" in label for label in labels) else _ROW
    return labels, height * max(len(labels), 2)


# -- Precision and recall --------------------------------------------------------------------------


def plot_rules(
    evaluation: RuleEvaluation,
    ax: Axes | None = None,
    *,
    max_rules: int = 20,
    title: str | None = None,
) -> Display:
    """Draw rules by precision and recall.

    Each dot is a rule, with the intervals of both measures; its area is proportional to the number
    of alerts. A line leads from each dot to the name of the rule, at the right. Rules without a
    precision or recall (as those that never fired) are named below.

    Parameters
    ----------
    evaluation
        Result of ``evaluate_rules``.
    ax
        Where to draw; by default a new figure of a suitable size.
    max_rules
        How many rules to draw at most: those with the most alerts.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``evaluation.rules`` that are drawn, by precision.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate_rules
    >>> df = pd.DataFrame(
    ...     {"is_fraud": [True, True, False], "high": [True, False, False], "night": [1, 1, 1]}
    ... )
    >>> plot_rules(evaluate_rules(df, ["high", "night"]))
    Display('Rules by precision and recall', 2 rows)
    """
    evaluation = check_rules(evaluation)
    max_rules = check_integer(max_rules, "max_rules", minimum=1)
    rules = rule_table(evaluation, "rules")
    defined = rules[["precision", "recall"]].notna().all(axis=1)
    undefined = [str(name) for name in rules["rule"][~defined]]
    largest = rules[defined].nlargest(max_rules, "alerts", keep="first")
    numbers = largest.sort_values(["precision", "recall"], ascending=False, kind="stable")
    numbers = numbers.reset_index(drop=True)
    n_hidden = int(defined.sum()) - len(numbers)
    labels = [
        wrap_label(f"{rule} ({format_compact(alerts)})", _NAME_WIDTH)
        for rule, alerts in zip(numbers["rule"], numbers["alerts"], strict=True)
    ]
    level = format_confidence_level(evaluation.confidence_level)
    note = f"recall (lines: {level} CI; area and number: alerts)"
    if n_hidden:
        note += f"\n{pluralize(n_hidden, 'rule')} with fewer alerts not shown"
    if undefined:
        note += f"\n{_name_undefined(undefined)}"

    def draw(ax: Axes) -> None:
        heading = "Rules by precision and recall" if title is None else title
        style_axes(ax, heading, grid="both")
        ax.set_xlabel(note)
        ax.set_ylabel("precision")
        if not len(numbers):
            annotate_empty(ax, "no rule has a precision and a recall")
            return
        _draw_dots(ax, numbers)
        _label_dots(ax, numbers, labels)

    height = 1.5 + 0.17 * note.count("\n") + _LINE_HEIGHT * sum(map(_lines, labels))
    return create_display(ax, (8.4, max(4.4, height)), numbers, draw)


def _name_undefined(names: Sequence[str]) -> str:
    shown = [wrap_label(name, _NAME_WIDTH).split("\n")[0] for name in names[:3]]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"precision or recall {UNDEFINED}: {', '.join(shown)}{more}"


def _lines(label: str) -> float:
    return label.count("\n") + 1 + _LINE_GAP


def _draw_dots(ax: Axes, numbers: pd.DataFrame) -> None:
    colours = palette(ax)
    x, y = (numbers[name].to_numpy(np.float64) for name in ("recall", "precision"))
    ends = [numbers[f"{name}_{end}"].to_numpy(np.float64)
            for name in ("recall", "precision") for end in ("low", "high")]  # fmt: skip
    look: dict[str, Any] = {"color": colours.ink, "linewidth": 1.1, "alpha": 0.45, "zorder": 2}
    ax.hlines(y, ends[0], ends[1], **look)
    ax.vlines(x, ends[2], ends[3], **look)
    alerts = numbers["alerts"].to_numpy(np.float64)
    area = np.maximum(_LARGEST * alerts / max(float(alerts.max()), 1.0), _SMALLEST)
    ax.scatter(
        x, y, s=area, color=colours.ink, alpha=0.8, edgecolor=colours.paper, linewidth=0.8,
        zorder=3, clip_on=False,
    )  # fmt: skip
    for values, set_limits, axis in (
        ([x, *ends[:2]], ax.set_xlim, ax.xaxis),
        ([y, *ends[2:]], ax.set_ylim, ax.yaxis),
    ):
        top = float(np.nanmax(np.concatenate(values)))
        set_limits(-0.02 * top, 1.04 * top or 1.0)
        axis.set_major_formatter(percent_formatter())


def _label_dots(ax: Axes, numbers: pd.DataFrame, labels: Sequence[str]) -> None:
    """Write the names at the right, without overlaps, each with a line to its dot."""
    colours = palette(ax)
    low, high = ax.get_ylim()
    wanted = (numbers["precision"].to_numpy(np.float64) - low) / (high - low)
    figure = ax.figure
    inches = ax.get_position().height * figure.bbox.height / figure.dpi
    sizes = np.array([_lines(label) for label in labels]) * _LINE_HEIGHT / inches
    for x, y, height, label in zip(
        numbers["recall"], numbers["precision"], _spread(wanted, sizes), labels, strict=True
    ):
        place: dict[str, Any] = {"xycoords": "data", "textcoords": "axes fraction"}
        place |= {"va": "center", "ha": "left", "fontsize": "small", "annotation_clip": False}
        line = {"arrowstyle": "-", "color": colours.muted, "linewidth": 0.5, "alpha": 0.7}
        line |= {"shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
        ax.annotate(
            label, (x, y), xytext=(1.03, height), color=colours.text, arrowprops=line, zorder=1.8,
            **place,
        )  # fmt: skip


def _spread(wanted: Floats, sizes: Floats) -> Floats:
    """Return heights (shares of the Axes, falling) near the wanted ones, without overlaps.

    Examples
    --------
    >>> _spread(np.array([0.5, 0.5, 0.1]), np.array([0.1, 0.1, 0.1])).round(2).tolist()
    [0.55, 0.45, 0.1]
    """
    if sizes.sum() > 1:
        sizes = sizes / sizes.sum()
    # Blocks of names that touch: each lies where its names are nearest to the wanted heights.
    blocks: list[tuple[float, float, list[int]]] = []
    for number in range(len(wanted)):
        block = (_clip(float(wanted[number]), float(sizes[number])), float(sizes[number]), [number])
        while blocks and blocks[-1][0] - blocks[-1][1] / 2 < block[0] + block[1] / 2 - 1e-12:
            above = blocks.pop()
            numbers, size = above[2] + block[2], above[1] + block[1]
            tops = np.cumsum([0.0, *sizes[numbers][:-1]]) + sizes[numbers] / 2
            middle = float(np.mean(wanted[numbers] + tops)) - size / 2
            block = (_clip(middle, size), size, numbers)
        blocks.append(block)
    heights = np.empty(len(wanted))
    for middle, size, numbers in blocks:
        tops = np.cumsum([0.0, *sizes[numbers][:-1]]) + sizes[numbers] / 2
        heights[numbers] = middle + size / 2 - tops
    return heights


def _clip(middle: float, size: float) -> float:
    return min(max(middle, size / 2), 1 - size / 2)


# -- Net benefit -----------------------------------------------------------------------------------


def plot_rule_benefit(
    evaluation: RuleEvaluation,
    ax: Axes | None = None,
    *,
    max_rules: int = 30,
    title: str | None = None,
) -> Display:
    """Draw the cumulative net benefit of rules in the greedy order.

    Each bar begins where the rules before it end, and has the length of what its rule adds; the sum
    so far and the frauds that the rule adds are written to the right. Below the line, hatched, are
    the rules that add no net benefit to the chosen ones, with what each would change.

    Parameters
    ----------
    evaluation
        Result of ``evaluate_rules``, with amounts.
    ax
        Where to draw; by default a new figure of a suitable size.
    max_rules
        How many rules to draw at most: the first of the order.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``evaluation.greedy`` that are drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate_rules
    >>> df = pd.DataFrame(
    ...     {"is_fraud": [True, False], "amount": [90.0, 20.0], "high": [1, 0], "all": [1, 1]}
    ... )
    >>> plot_rule_benefit(evaluate_rules(df, ["all", "high"]))
    Display('Net benefit of rules in greedy order', 2 rows)
    """
    evaluation = check_rules(evaluation)
    max_rules = check_integer(max_rules, "max_rules", minimum=1)
    greedy = rule_table(evaluation, "greedy")
    numbers = greedy.head(max_rules) if evaluation.amount is not None else greedy.head(0)
    n_hidden = len(greedy) - len(numbers) if evaluation.amount is not None else 0
    labels, rows_height = name_rows(numbers["rule"])
    note = (
        f"cumulative net benefit at {format_amount(evaluation.cost_per_alert)} per alert\n"
        "right: net benefit so far, and frauds that the rule adds"
    )
    if numbers["position"].isna().any():
        note += "\nhatched: what each other rule would change"
    if n_hidden:
        note += f"\nnot shown: {pluralize(n_hidden, 'rule')} that come later"

    def draw(ax: Axes) -> None:
        heading = "Net benefit of rules in greedy order" if title is None else title
        style_axes(ax, heading, grid="x")
        ax.set_xlabel(note)
        if not len(numbers):
            annotate_empty(ax, "no amounts, and so no net benefit", ticks=False)
            ax.set_yticks([])
            return
        _draw_waterfall(ax, numbers, labels)

    height = 1.1 + 0.17 * note.count("\n") + rows_height
    return create_display(ax, (8.4, height), numbers, draw)


def _draw_waterfall(ax: Axes, numbers: pd.DataFrame, labels: Sequence[str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    from synfin_analytics.plots._ticks import compact_tick

    colours = palette(ax)
    rows = set_rows(ax, labels)
    chosen = numbers["position"].notna().to_numpy()
    gains = numbers["gained_net_benefit"].to_numpy(np.float64)
    total = float(gains[chosen].sum())
    ends = np.where(chosen, np.cumsum(np.where(chosen, gains, 0.0)), total + gains)
    starts = ends - gains
    ax.barh(rows[chosen], gains[chosen], left=starts[chosen], height=0.6, color=colours.ink)
    ax.barh(
        rows[~chosen], gains[~chosen], left=starts[~chosen], height=0.6, color=colours.paper,
        edgecolor=colours.others[0], hatch="////", linewidth=1,
    )  # fmt: skip
    joints = np.flatnonzero(chosen[1:])
    ax.vlines(ends[joints], rows[joints + 1] - 0.3, rows[joints] + 0.3, color=colours.muted,
              linewidth=0.8, zorder=1)  # fmt: skip
    for row, end, gain, frauds, is_chosen in zip(
        rows, ends, gains, numbers["gained_frauds"], chosen, strict=True
    ):
        value = format_compact(round(end if is_chosen else gain, 2))
        annotate_right(ax, f"{value} · {pluralize(int(frauds), 'fraud')}", row, size="small")
    if chosen.any() and not chosen.all():
        ax.axhline(rows[chosen][-1] - 0.5, color=colours.muted, linewidth=0.8)
    ax.axvline(0, color=colours.text, linewidth=1)
    low, high = float(min(0.0, starts.min(), ends.min())), float(max(0.0, starts.max(), ends.max()))
    margin = 0.03 * (high - low) or 1.0
    ax.set_xlim(low - margin * (low < 0), high + margin)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(FuncFormatter(compact_tick))
