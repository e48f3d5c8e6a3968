"""Precision, recall, alerts and cost by threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import (
    UNDEFINED,
    format_compact,
    format_number,
    format_percent,
    format_threshold,
)
from synfin_analytics.metrics.curve import lowest_row
from synfin_analytics.metrics.proportions import proportion_interval
from synfin_analytics.plots._inputs import (
    FrameTable,
    check_evaluation,
    check_frame,
    describe_intervals,
    describe_threshold,
    explain_no_curve,
    thin_curve,
    thin_rows,
)
from synfin_analytics.plots._style import (
    DASHES,
    add_count_panel,
    add_legend_right,
    annotate_above,
    annotate_empty,
    create_display,
    line_styles,
    palette,
    percent_formatter,
    style_axes,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from synfin_analytics._core.results import Display
    from synfin_analytics._core.types import Floats
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.plots._inputs import Table

#: An axis that ends beyond this score is drawn in full, from 0 to 1.
_HALF = 0.5
#: Powers of ten that an axis of alerts usually spans.
_DECADES = 5.0
_REQUIRED = ("threshold", "alerts", "alert_cost", "cost", "saved")
#: The axis ends at this multiple of the cost without any alert.
MAX_COST = 2.0


def plot_thresholds(
    evaluation: Evaluation, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw precision and recall against the threshold, and the share of alerts below.

    Bands are pointwise confidence intervals. The dashed line is the threshold of the evaluation;
    the legend shows the values at that threshold.

    Parameters
    ----------
    evaluation
        Result of ``evaluate``.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are those of ``evaluation.curve()`` at the thresholds that are drawn, with
        ``precision_low``, ``precision_high``, ``recall_low`` and ``recall_high``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_thresholds(evaluate(df, "fraud", "p", threshold=0.7))
    >>> display.to_frame()[["threshold", "recall", "queue_rate"]].values.tolist()[1]
    [0.9, 0.5, 0.25]
    """
    evaluation = check_evaluation(evaluation)

    def lines(curve: pd.DataFrame) -> list[Floats]:
        alerts = np.log10(np.maximum(curve["queue_rate"].to_numpy(), 1 / max(evaluation.n, 1)))
        return [*(curve[rate].to_numpy() for rate in ("precision", "recall")), alerts]

    numbers = thin_curve(evaluation, lines, [1.0, 1.0, _DECADES])
    frauds = numbers["tp"] + numbers["fn"]
    method, level = evaluation.interval_method, evaluation.confidence_level
    for rate, totals in (("precision", numbers["alerts"]), ("recall", frauds)):
        low = high = np.full(len(numbers), np.nan)
        if not evaluation.counts.weighted:
            low, high = proportion_interval(
                numbers["tp"], totals, interval_method=method, confidence_level=level
            )
        numbers[f"{rate}_low"], numbers[f"{rate}_high"] = low, high

    def draw(ax: Axes) -> None:
        style_axes(ax, "Precision and recall by threshold" if title is None else title)
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(percent_formatter())
        panel = _add_alerts(ax, evaluation, numbers)
        panel.set_xlabel(
            f"threshold (bands: {describe_intervals(evaluation)}; below: share of transactions "
            "that are alerted, log scale)"
        )
        _draw_rates(ax, evaluation, numbers)
        if not evaluation.n:
            annotate_empty(ax, explain_no_curve(evaluation))

    return create_display(ax, (8.4, 4.8), numbers, draw)


def _draw_rates(ax: Axes, evaluation: Evaluation, numbers: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    end = axis_end(numbers["threshold"].to_numpy(), float(evaluation.threshold))
    handles: list[Any] = []
    for rate, (pattern, _, colour) in zip(("precision", "recall"), line_styles(ax), strict=False):
        x, y, low, high = _step_coordinates(numbers, end, rate, f"{rate}_low", f"{rate}_high")
        ax.fill_between(x, low, high, step="pre", color=colour, alpha=0.18, linewidth=0)
        look: dict[str, Any] = {"linestyle": pattern, "color": colour, "linewidth": 1.6}
        ax.plot(x, y, drawstyle="steps-pre", clip_on=False, **look)
        undefined = evaluation.confusion.undefined_reason(rate)
        value = UNDEFINED if undefined else format_percent(getattr(evaluation, rate))
        handles.append(Line2D([], [], label=f"{rate}\n{value}", **look))
    pattern, _, colour = line_styles(ax)[2]
    share = format_percent(evaluation.alerts / evaluation.n) if evaluation.n else UNDEFINED
    counts = f"{format_number(evaluation.alerts)} of {format_number(evaluation.n)}"
    handles.append(
        Line2D([], [], linestyle=pattern, color=colour, linewidth=1.6,
               label=f"alerts (below)\n{share}: {counts}")
    )  # fmt: skip
    add_legend_right(ax, handles, f"at {describe_threshold(evaluation)}")
    ax.set_xlim(0, end)


def _add_alerts(ax: Axes, evaluation: Evaluation, numbers: pd.DataFrame) -> Axes:
    """Draw the share of alerts in a panel below, on a logarithmic scale."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from synfin_analytics.plots._ticks import PercentFormatter

    panel = add_count_panel(ax, 0.9)
    threshold = float(evaluation.threshold)
    end = axis_end(numbers["threshold"].to_numpy(), threshold)
    x, share = _step_coordinates(numbers, end, "queue_rate")
    pattern, _, colour = line_styles(ax)[2]
    panel.set_yscale("log")
    panel.plot(
        x, np.where(share > 0, share, np.nan), linestyle=pattern, color=colour, linewidth=1.6,
        drawstyle="steps-pre", clip_on=False,
    )  # fmt: skip
    lowest = 1 / evaluation.n if evaluation.n else 0.01
    panel.set_ylim(min(lowest, 0.1), 1)
    panel.yaxis.set_major_locator(LogLocator(numticks=5))
    panel.yaxis.set_minor_locator(NullLocator())
    # One tick at a time: each has the decimals that it needs itself.
    panel.yaxis.set_major_formatter(FuncFormatter(PercentFormatter()))
    panel.grid(axis="y", color=palette(ax).grid, linewidth=0.8)
    if 0 <= threshold <= end:
        for axes in (ax, panel):
            look: dict[str, Any] = {"color": palette(ax).muted, "linestyle": DASHES}
            axes.axvline(threshold, linewidth=1, zorder=1, **look)
        annotate_above(ax, describe_threshold(evaluation), threshold)
    return panel


def plot_cost(costs: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Display:
    """Draw the cost of each threshold, and mark the lowest.

    The lower area is the cost of the alerts, the upper one the fraud that is lost in spite of
    them. The dashed line is the cost without any alert. On the data it was found on, the cost of
    the best threshold is optimistic: report it on other data.

    Parameters
    ----------
    costs
        Result of ``evaluation.cost_curve(...)``.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the thresholds that are drawn, with the columns of the cost curve.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.3], "fraud": [1, 0], "amount": [80.0, 20.0]})
    >>> display = plot_cost(evaluate(df, "fraud", "p", amount="amount").cost_curve(5))
    >>> display.to_frame()[["threshold", "cost"]].values.tolist()
    [[inf, 80.0], [0.9, 5.0], [0.3, 10.0]]
    """
    must_be = "the result of cost_curve(...) of an evaluation"
    check_frame(costs, _REQUIRED, "costs", must_be, "the cost curve")
    numbers = thin_costs(FrameTable(costs))

    def draw(ax: Axes) -> None:
        style_axes(ax, "Cost by threshold" if title is None else title)
        _draw_costs(ax, numbers)
        if len(numbers) == 1:  # only the threshold without alerts
            annotate_empty(ax, "no labelled transactions")

    return create_display(ax, (8.4, 4.2), numbers, draw)


def thin_costs(costs: Table) -> pd.DataFrame:
    """Return as many rows of costs as the plot needs; of these, it needs all."""

    def read(rows: NDArray[np.intp]) -> Floats:
        return costs.read_rows(rows)["cost"].to_numpy(dtype=np.float64)

    best = lowest_row(costs.n_rows, read)
    highest = lowest_row(costs.n_rows, lambda rows: -read(rows))
    no_alerts, most = read(np.array([0, highest])).tolist()
    top = _cost_axis_end(no_alerts, most)

    def lines(costs: pd.DataFrame) -> list[Floats]:
        return [costs[name].to_numpy(dtype=np.float64) for name in ("cost", "alert_cost")]

    return thin_rows(costs, lines, [top, top], keep=[best, highest])


def _cost_axis_end(no_alerts: float, highest: float) -> float:
    """Return where the axis of costs ends: much higher costs are cut off."""
    end = 1.06 * highest
    return (min(end, MAX_COST * no_alerts) if no_alerts > 0 else end) or 1.0


def _draw_costs(ax: Axes, numbers: pd.DataFrame) -> None:
    """Draw the cost of alerts, the fraud that is lost on top of it, and the best threshold."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, StrMethodFormatter

    from synfin_analytics.plots._ticks import compact_tick

    colours = palette(ax)
    end = axis_end(numbers["threshold"].to_numpy(), 0.0)
    x, alerts, cost = _step_coordinates(numbers, end, "alert_cost", "cost")
    ax.fill_between(x, 0, alerts, step="pre", color=colours.bar, linewidth=0)
    ax.fill_between(x, alerts, cost, step="pre", color=colours.band, linewidth=0)
    ax.plot(x, cost, drawstyle="steps-pre", color=colours.ink, linewidth=1.6)
    no_alerts = float(cost[-1])
    ax.axhline(no_alerts, color=colours.muted, linewidth=1, linestyle=DASHES)
    best = numbers.iloc[int(numbers["cost"].argmin())]
    best_x = min(float(best["threshold"]), end)
    ax.plot(best_x, best["cost"], "o", color=colours.ink, markersize=7, clip_on=False, zorder=5)
    label = _describe_best(best, no_alerts)
    add_legend_right(
        ax,
        [
            Line2D([], [], marker="o", linestyle="", color=colours.ink, label=label),
            Line2D([], [], color=colours.muted, linewidth=1, linestyle=DASHES,
                   label=f"no alerts: {format_compact(no_alerts)}"),
            Patch(color=colours.band, label="fraud losses"),
            Patch(color=colours.bar, label="cost of alerts"),
        ],
    )  # fmt: skip
    top = _cost_axis_end(no_alerts, float(numbers["cost"].max()))
    ax.set_ylim(0, top)
    ax.set_xlim(0, end)
    # All ticks in one format: 80,000 below 100,000, not below 100k.
    in_full = 1e3 <= top < 1e7
    ticks = StrMethodFormatter("{x:,.0f}") if in_full else FuncFormatter(compact_tick)
    ax.yaxis.set_major_formatter(ticks)
    ax.set_ylabel("cost")
    ax.set_xlabel("threshold" + (" (higher costs are cut off)" if cost.max() > top else ""))


def _describe_best(best: pd.Series[float], no_alerts: float) -> str:
    if np.isinf(best["threshold"]):
        return "best: no alerts"
    share = f" ({format_percent(best['saved'] / no_alerts)})" if no_alerts > 0 else ""
    return (
        f"best threshold: {format_threshold(best['threshold'])}\n"
        f"cost: {format_compact(best['cost'])}\n"
        f"saved: {format_compact(best['saved'])}{share}"
    )


def axis_end(thresholds: Floats, threshold: float) -> float:
    """Return where the axis of thresholds ends: a little beyond the highest score."""
    scores = thresholds[np.isfinite(thresholds)]
    highest = max(scores.max() if len(scores) else 1.0, threshold if threshold <= 1 else 0.0)
    return 1.0 if highest > _HALF else float(1.08 * highest) or 1.0


def _step_coordinates(numbers: pd.DataFrame, end: float, *columns: str) -> list[Floats]:
    """Return thresholds from 0 to ``end``, and for each column its values up to each of them.

    A score at the threshold is an alert, so a value holds up to and including its threshold.
    """
    ascending = numbers[::-1]
    thresholds = np.minimum(ascending["threshold"].to_numpy(dtype=np.float64), end)
    coordinates = [np.append(0.0, thresholds)]
    for name in columns:
        values = ascending[name].to_numpy(dtype=np.float64)
        coordinates.append(np.append(values[0], values))
    return coordinates
