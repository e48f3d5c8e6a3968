"""Precision, recall and alerts by threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import UNDEFINED, format_percent
from synfin_analytics.metrics.proportions import proportion_interval
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
from synfin_analytics.plots._thinning import thin_points
from synfin_analytics.plots._threshold_axis import axis_end, step_coordinates
from synfin_analytics.plots._validation import (
    check_evaluation,
    describe_intervals,
    describe_threshold,
    explain_no_curve,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics.evaluation import Evaluation

#: Powers of ten that an axis of alerts usually spans.
_DECADES = 5.0


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
    numbers = _thin_curve(evaluation)
    frauds = numbers["tp"] + numbers["fn"]
    method, level = evaluation.interval_method, evaluation.confidence_level
    for rate, totals in (("precision", numbers["alerts"]), ("recall", frauds)):
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


def _thin_curve(evaluation: Evaluation) -> pd.DataFrame:
    """Return as many thresholds as the plot needs, the one in use among them."""
    curve = evaluation.curve()
    in_use = int((curve["threshold"] >= float(evaluation.threshold)).sum()) - 1
    alerts = np.log10(np.maximum(curve["queue_rate"].to_numpy(), 1 / max(evaluation.n, 1)))
    rates = [curve[rate].to_numpy() for rate in ("precision", "recall")]
    points = thin_points([*rates, alerts], [1.0, 1.0, _DECADES], keep=[in_use])
    return curve.loc[points].reset_index(drop=True)


def _draw_rates(ax: Axes, evaluation: Evaluation, numbers: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    end = axis_end(numbers, float(evaluation.threshold))
    handles: list[Any] = []
    for rate, (pattern, _, colour) in zip(("precision", "recall"), line_styles(ax), strict=False):
        x, y, low, high = step_coordinates(numbers, end, rate, f"{rate}_low", f"{rate}_high")
        ax.fill_between(x, low, high, step="pre", color=colour, alpha=0.18, linewidth=0)
        look: dict[str, Any] = {"linestyle": pattern, "color": colour, "linewidth": 1.6}
        ax.plot(x, y, drawstyle="steps-pre", clip_on=False, **look)
        undefined = evaluation.confusion.undefined_reason(rate)
        value = UNDEFINED if undefined else format_percent(getattr(evaluation, rate))
        handles.append(Line2D([], [], label=f"{rate}\n{value}", **look))
    pattern, _, colour = line_styles(ax)[2]
    share = format_percent(evaluation.alerts / evaluation.n) if evaluation.n else UNDEFINED
    counts = f"{evaluation.alerts:,} of {evaluation.n:,}"
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
    x, share = step_coordinates(numbers, axis_end(numbers, threshold), "queue_rate")
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
    if 0 <= threshold <= axis_end(numbers, threshold):
        for axes in (ax, panel):
            look: dict[str, Any] = {"color": palette(ax).muted, "linestyle": DASHES}
            axes.axvline(threshold, linewidth=1, zorder=1, **look)
        annotate_above(ax, describe_threshold(evaluation), threshold)
    return panel
