"""Plots by week and day: the distribution of scores, and the precision of the highest ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import format_percent
from synfin_analytics.plots._inputs import check_frame, check_result
from synfin_analytics.plots._style import (
    DASHES,
    add_legend_right,
    annotate_empty,
    annotate_right,
    create_display,
    date_numbers,
    line_styles,
    palette,
    percent_formatter,
    set_date_ticks,
    style_axes,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics.topk import TopK

#: Columns that are drawn, from the highest line down, and their names.
_LINES = {
    "p99": "99th percentile",
    "p90": "90th percentile",
    "mean_score": "mean",
    "median": "median",
}
_REQUIRED = ("timestamp", "scored", *_LINES)
#: Days whose dots can be distinguished.
_MAX_DOTS = 60


def plot_score_drift(
    weeks: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw the scores of each week: mean, median, 90th and 99th percentile.

    Where these lines move, the transactions or the model have changed; the fraud rate of the same
    weeks (:func:`plot_fraud_rate` of the same frame) shows whether fraud has changed too.

    Parameters
    ----------
    weeks
        A row for each week: ``timestamp``, ``scored``, ``mean_score``, ``median``, ``p90`` and
        ``p99``, as in ``weeks`` of a model report.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``weeks``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> weeks = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-05", "2026-01-12"], utc=True)})
    >>> for name in ("scored", "mean_score", "median", "p90", "p99"):
    ...     weeks[name] = [0.2, 0.3]
    >>> plot_score_drift(weeks)
    Display('Scores by week', 2 rows)
    """
    check_frame(weeks, _REQUIRED, "weeks", "a frame with a row for each week", "the weeks")
    numbers = weeks.reset_index(drop=True)

    def draw(ax: Axes) -> None:
        style_axes(ax, "Scores by week" if title is None else title)
        if numbers["scored"].sum():
            _draw_lines(ax, numbers)
        else:
            annotate_empty(ax, "no scores", ticks=False)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("score")
        ax.set_xlabel("week (from Monday)")

    return create_display(ax, (8.4, 3.8), numbers, draw)


def _draw_lines(ax: Axes, numbers: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    weeks = numbers["timestamp"].dt.tz_localize(None)
    x = date_numbers(weeks.to_numpy())
    highest = 0.0
    handles: list[Any] = []
    for (column, label), (pattern, marker, colour) in zip(
        _LINES.items(), line_styles(ax), strict=False
    ):
        y = numbers[column].to_numpy(dtype=np.float64)
        highest = max(highest, float(np.nanmax(y)))
        look: dict[str, Any] = {"linestyle": pattern, "marker": marker, "color": colour}
        look |= {"linewidth": 1.6, "markersize": 4}
        ax.plot(x, y, clip_on=False, **look)
        handles.append(Line2D([], [], label=label, **look))
    ax.set_ylim(0, 1.06 * highest or 1.0)
    add_legend_right(ax, handles)
    set_date_ticks(ax, weeks)


def plot_topk(topk: TopK, ax: Axes | None = None, *, title: str | None = None) -> Display:
    """Draw the precision@k of each day, and the maximum achievable.

    On a day with fewer than k compromised cards (or frauds), even a perfect ranking has a
    precision below 100%: the area above that maximum is hatched. Dashed lines are means over all
    days.

    Parameters
    ----------
    topk
        Result of ``card_precision_at_k`` or ``precision_at_k`` of an evaluation.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are those of ``topk.daily``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame(
    ...     {
    ...         "timestamp": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-02"], utc=True),
    ...         "customer_id": [1, 2, 2],
    ...         "p": [0.9, 0.8, 0.3],
    ...         "fraud": [1, 0, 1],
    ...     }
    ... )
    >>> display = plot_topk(evaluate(df, "fraud", "p").card_precision_at_k(1))
    >>> display.ax.get_title(loc="left"), display.to_frame()["precision"].tolist()
    ('Card precision@1 by day', [1.0, 1.0])
    """
    from synfin_analytics.metrics.topk import TopK

    check_result(topk, TopK, "topk", "card_precision_at_k(...) of an evaluation")
    name = topk.metric.replace("@k", f"@{topk.k:,}")
    items = "cards" if "card" in topk.metric else "transactions"

    def draw(ax: Axes) -> None:
        style_axes(ax, f"{name[0].upper()}{name[1:]} by day" if title is None else title)
        if len(topk.daily):
            _draw_days(ax, topk)
        else:
            annotate_empty(ax, "no labelled transactions", ticks=False)
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(percent_formatter())
        ax.set_xlabel(
            f"line: precision among the {topk.k:,} highest-scoring {items}; hatched: not achievable"
        )

    return create_display(ax, (8.4, 4.2), topk.daily.reset_index(drop=True), draw)


def _draw_days(ax: Axes, topk: TopK) -> None:
    colours = palette(ax)
    days = date_numbers(topk.daily["day"].to_numpy())
    precision, maximum = (topk.daily[name].to_numpy() for name in ("precision", "max_achievable"))
    top = min(1.12 * max(maximum.max(), 1 / topk.k), 1.0)
    # Days without transactions are not part of the evaluation: a line must not bridge them.
    gaps = np.flatnonzero(np.diff(days) > 1) + 1
    for run in np.split(np.arange(len(days)), gaps):
        x = np.concatenate([[days[run[0]] - 0.5], days[run] + 0.5])
        y = np.append(maximum[run[0]], maximum[run])
        ax.fill_between(
            x,
            y,
            top,
            step="pre",
            facecolor="none",
            edgecolor=colours.band,
            hatch="////",
            linewidth=0,
        )
        ax.plot(x, y, drawstyle="steps-pre", color=colours.muted, linewidth=1)
        ax.plot(
            days[run], precision[run], linestyle="-", marker="o" if len(days) <= _MAX_DOTS else "",
            color=colours.ink, markersize=5, linewidth=0.9, clip_on=False,
        )  # fmt: skip
    ax.set_xlim(days[0] - 0.5, days[-1] + 0.5)
    ax.set_ylim(0, top)
    close = topk.max_achievable - topk.value < 0.06 * top
    means = (("mean", topk.value, "top"), ("mean maximum", topk.max_achievable, "bottom"))
    for name, value, va in means:
        ax.axhline(value, color=colours.muted, linewidth=1, linestyle=DASHES, zorder=1)
        text = f"{name} {format_percent(value)}"
        annotate_right(ax, text, value, va=va if close else "center")
    set_date_ticks(ax, topk.daily["day"])
