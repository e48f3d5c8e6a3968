"""Precision among the few that a team looks at in a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.formatting import format_percent
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.metrics.topk import TopK

#: Days whose dots can be told apart.
_MOST_DOTS = 60
#: Days that can each have their date.
_FEW = 5


def plot_topk(topk: TopK, ax: Axes | None = None, *, title: str | None = None) -> Display:
    """Draw the precision of each day, and the ceiling that nobody can pass.

    Where a day has fewer compromised cards (or frauds) than places, not even a perfect ranking
    fills them all: what lies above its ceiling is hatched. Dashed lines are the means of all
    days.

    Parameters
    ----------
    topk
        What ``card_precision_at_k`` or ``precision_at_k`` of an evaluation returned.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame is ``topk.daily``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.evaluation import evaluate
    >>> frame = pd.DataFrame(
    ...     {
    ...         "timestamp": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-02"], utc=True),
    ...         "customer_id": [1, 2, 2],
    ...         "p": [0.9, 0.8, 0.3],
    ...         "fraud": [1, 0, 1],
    ...     }
    ... )
    >>> display = plot_topk(evaluate(frame, "fraud", "p").card_precision_at_k(1))
    >>> display.ax.get_title(loc="left"), display.to_frame()["precision"].tolist()
    ('Card precision@1 by day', [1.0, 1.0])
    """
    from synfin_analytics.metrics.topk import TopK

    if not isinstance(topk, TopK):
        raise ArgumentError(
            "`topk` must be what card_precision_at_k(...) of an evaluation returned; got "
            f"{type(topk).__name__}."
        )
    what = topk.what.replace("@k", f"@{topk.k:,}")

    def draw(ax: Axes) -> None:
        style.dress(ax, f"{what[0].upper()}{what[1:]} by day" if title is None else title)
        if len(topk.daily):
            _days(ax, topk)
        else:
            style.say(ax, "no labelled transactions")
            ax.set_xticks([])
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(style.percent_ticks())
        places = "cards" if "card" in topk.what else "transactions"
        ax.set_xlabel(f"line: found among the first {topk.k:,} {places}; hatched: out of reach")

    return style.drawn(ax, (8.4, 4.2), topk.daily.reset_index(drop=True), draw)


def _days(ax: Axes, topk: TopK) -> None:
    colours = style.palette(ax)
    days = style.days(topk.daily["day"].to_numpy())
    precision, ceiling = (topk.daily[name].to_numpy() for name in ("precision", "max_achievable"))
    top = min(1.12 * max(ceiling.max(), 1 / topk.k), 1.0)
    # Days without a transaction are no days of the evaluation: a line would bridge them.
    gaps = np.flatnonzero(np.diff(days) > 1) + 1
    for run in np.split(np.arange(len(days)), gaps):
        x = np.concatenate([[days[run[0]] - 0.5], days[run] + 0.5])
        y = np.append(ceiling[run[0]], ceiling[run])
        ax.fill_between(
            x,
            y,
            top,
            step="pre",
            facecolor="none",
            edgecolor=colours.soft,
            hatch="////",
            linewidth=0,
        )
        ax.plot(x, y, drawstyle="steps-pre", color=colours.grey, linewidth=1)
        ax.plot(
            days[run], precision[run], linestyle="-", marker="o" if len(days) <= _MOST_DOTS else "",
            color=colours.ink, markersize=5, linewidth=0.9, clip_on=False,
        )  # fmt: skip
    ax.set_xlim(days[0] - 0.5, days[-1] + 0.5)
    ax.set_ylim(0, top)
    close = topk.max_achievable - topk.value < 0.06 * top
    for name, value, va in (
        ("mean", topk.value, "top"),
        ("mean ceiling", topk.max_achievable, "bottom"),
    ):
        ax.axhline(value, color=colours.grey, linewidth=1, linestyle=style.DASHES, zorder=1)
        style.beside(ax, f"{name} {format_percent(value)}", value, va=va if close else "center")
    if len(days) > _FEW:
        style.date_ticks(ax)
    else:
        ax.set_xticks(days, [f"{day:%Y-%m-%d}" for day in topk.daily["day"]])
