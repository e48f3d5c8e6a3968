"""The cost of each threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.formatting import format_compact, format_percent, format_threshold
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots._style import (
    DASHES,
    add_legend_right,
    annotate_empty,
    create_display,
    palette,
    style_axes,
)
from synfin_analytics.plots._thinning import thin_points
from synfin_analytics.plots._threshold_axis import axis_end, step_coordinates

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from synfin_analytics._core.results import Display

_REQUIRED = ("threshold", "alerts", "alert_cost", "cost", "saved")
#: The axis ends at this multiple of the cost without any alert.
_MAX_COST = 2.0


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
    if not hasattr(costs, "columns"):
        raise ArgumentError(
            "`costs` must be the result of cost_curve(...) of an evaluation; got "
            f"{type(costs).__name__}."
        )
    for name in _REQUIRED:
        if name not in costs:
            raise NotFoundError("column", name, costs.columns, location="the cost curve")
    numbers = _thin_costs(costs)

    def draw(ax: Axes) -> None:
        style_axes(ax, "Cost by threshold" if title is None else title)
        _draw_costs(ax, numbers)
        if len(numbers) == 1:  # only the threshold without alerts
            annotate_empty(ax, "no labelled transactions")

    return create_display(ax, (8.4, 4.2), numbers, draw)


def _thin_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """Return as many thresholds as the plot needs, the best among them."""
    costs = costs.reset_index(drop=True)
    cost = costs["cost"].to_numpy(dtype=np.float64)
    top = _axis_top(cost)
    best = int(cost.argmin())
    points = thin_points([cost, costs["alert_cost"].to_numpy()], [top, top], keep=[best])
    return costs.loc[points].reset_index(drop=True)


def _axis_top(cost: NDArray[np.float64]) -> float:
    """Return where the axis of costs ends: much higher costs are cut off."""
    no_alerts = float(cost[0])
    highest = 1.06 * float(cost.max())
    return (min(highest, _MAX_COST * no_alerts) if no_alerts > 0 else highest) or 1.0


def _draw_costs(ax: Axes, numbers: pd.DataFrame) -> None:
    """Draw the cost of alerts, the fraud that is lost on top of it, and the best threshold."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, StrMethodFormatter

    from synfin_analytics.plots._ticks import compact_tick

    colours = palette(ax)
    end = axis_end(numbers, 0.0)
    x, alerts, cost = step_coordinates(numbers, end, "alert_cost", "cost")
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
    top = _axis_top(numbers["cost"].to_numpy())
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
