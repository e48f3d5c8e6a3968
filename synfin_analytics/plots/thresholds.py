"""What a threshold brings: precision, recall and alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import UNDEFINED, format_percent
from synfin_analytics.metrics.proportions import proportion_interval
from synfin_analytics.plots import style
from synfin_analytics.plots._thinning import thinned
from synfin_analytics.plots._validation import (
    at_threshold,
    interval_words,
    missing_class,
    one_evaluation,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.plots.style import Floats

_SIZE = (8.4, 4.8)
#: Powers of ten of a usual axis of alerts.
_DECADES = 5.0
#: Scores that go beyond it are shown on the whole axis.
_HALF = 0.5


def plot_thresholds(
    evaluation: Evaluation, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw precision and recall against the threshold, and below the share that is alerted.

    Bands are the intervals at each threshold by itself. A dashed line stands at the evaluation's
    own threshold; beside the picture is what it reaches there.

    Parameters
    ----------
    evaluation
        What ``evaluate`` returned.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame is ``curve()`` of the evaluation, at the thresholds that are drawn, with
        ``precision_low``, ``precision_high``, ``recall_low`` and ``recall_high``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.evaluation import evaluate
    >>> frame = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_thresholds(evaluate(frame, "fraud", "p", threshold=0.7))
    >>> display.to_frame()[["threshold", "recall", "queue_rate"]].values.tolist()[1]
    [0.9, 0.5, 0.25]
    """
    one = one_evaluation(evaluation)
    numbers = _fewer(one)
    frauds = numbers["tp"] + numbers["fn"]
    for rate, whole in (("precision", numbers["alerts"]), ("recall", frauds)):
        ends = proportion_interval(numbers["tp"], whole, one.interval_method, one.confidence_level)
        numbers[f"{rate}_low"], numbers[f"{rate}_high"] = ends

    def draw(ax: Axes) -> None:
        style.dress(ax, "Precision and recall by threshold" if title is None else title)
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(style.percent_ticks())
        below = _queue(ax, one, numbers)
        below.set_xlabel(f"threshold; bands: {_intervals(one)}, below: share of alerts")
        _rates(ax, one, numbers)
        if not one.n:
            style.say(ax, missing_class(one))

    return style.drawn(ax, _SIZE, numbers, draw)


def _fewer(one: Evaluation) -> pd.DataFrame:
    """Take so many thresholds that the picture is the same, and what holds at the one in use."""
    curve = one.curve()
    in_use = int((curve["threshold"] >= float(one.threshold)).sum()) - 1
    queue = np.log10(np.maximum(curve["queue_rate"].to_numpy(), 1 / max(one.n, 1)))
    lines = [curve[rate].to_numpy() for rate in ("precision", "recall")]
    points = thinned([*lines, queue], [1.0, 1.0, _DECADES], keep=[in_use])
    return curve.loc[points].reset_index(drop=True)


def _intervals(one: Evaluation) -> str:
    return interval_words({"": one})


def _rates(ax: Axes, one: Evaluation, numbers: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    end = limit(numbers, float(one.threshold))
    handles: list[Any] = []
    for rate, (line, _, colour) in zip(("precision", "recall"), style.styles(ax), strict=False):
        x, y, low, high = steps(numbers, end, rate, f"{rate}_low", f"{rate}_high")
        ax.fill_between(x, low, high, step="pre", color=colour, alpha=0.18, linewidth=0)
        look = {"linestyle": line, "color": colour, "linewidth": 1.6}
        ax.plot(x, y, drawstyle="steps-pre", clip_on=False, **look)
        why = one.confusion.undefined_reason(rate)
        value = UNDEFINED if why else format_percent(getattr(one, rate))
        handles.append(Line2D([], [], label=f"{rate}\n{value}", **look))
    line, _, colour = style.styles(ax)[2]
    queue = format_percent(one.alerts / one.n) if one.n else UNDEFINED
    handles.append(
        Line2D([], [], linestyle=line, color=colour, linewidth=1.6,
               label=f"alerts, below\n{queue}: {one.alerts:,} of {one.n:,}")
    )  # fmt: skip
    style.legend_beside(ax, handles, at_threshold(one))
    ax.set_xlim(0, end)


def _queue(ax: Axes, one: Evaluation, numbers: pd.DataFrame) -> Axes:
    """Draw the share that is alerted in a strip below, in powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from synfin_analytics.plots._ticks import share_tick

    colours = style.palette(ax)
    below = style.strip(ax, 0.9)
    x, queue = steps(numbers, limit(numbers, float(one.threshold)), "queue_rate")
    line, _, colour = style.styles(ax)[2]
    below.set_yscale("log")
    below.plot(
        x, np.where(queue > 0, queue, np.nan), linestyle=line, color=colour, linewidth=1.6,
        drawstyle="steps-pre", clip_on=False,
    )  # fmt: skip
    least = 1 / one.n if one.n else 0.01
    below.set_ylim(min(least, 0.1), 1)
    below.yaxis.set_major_locator(LogLocator(numticks=5))
    below.yaxis.set_minor_locator(NullLocator())
    below.yaxis.set_major_formatter(FuncFormatter(share_tick))
    below.grid(axis="y", color=colours.grid, linewidth=0.8)
    mark(ax, below, numbers, float(one.threshold), at_threshold(one))
    return below


def mark(ax: Axes, below: Axes | None, numbers: pd.DataFrame, at: float, words: str) -> None:
    """Let a dashed line stand at a threshold, where the picture shows it."""
    colours = style.palette(ax)
    if not 0 <= at <= limit(numbers, at):
        return
    for axes in (ax, below):
        if axes is not None:
            axes.axvline(at, color=colours.grey, linewidth=1, linestyle=style.DASHES, zorder=1)
    style.above(ax, words, at)


def limit(numbers: pd.DataFrame, at: float) -> float:
    """Where the axis of thresholds ends: a little beyond the highest score."""
    scores = numbers["threshold"][np.isfinite(numbers["threshold"])]
    highest = max(scores.max() if len(scores) else 1.0, at if at <= 1 else 0.0)
    return 1.0 if highest > _HALF else float(1.08 * highest) or 1.0


def steps(numbers: pd.DataFrame, end: float, *columns: str) -> list[Floats]:
    """Thresholds from 0 to ``end``, and what holds up to each: a score at it is an alert."""
    rising = numbers[::-1]
    x = np.minimum(rising["threshold"].to_numpy(dtype=np.float64), end)
    found = [np.append(0.0, x)]
    for name in columns:
        values = rising[name].to_numpy(dtype=np.float64)
        found.append(np.append(values[0], values))
    return found
