"""What a threshold costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.formatting import format_percent, format_threshold
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots import style
from synfin_analytics.plots._thinning import thinned
from synfin_analytics.plots.thresholds import limit, steps

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.plots.style import Floats

_NEEDED = ("threshold", "alerts", "alert_cost", "cost", "saved")
#: The picture ends at so many times what no alert at all costs.
_HIGHEST = 2.0


def plot_cost(costs: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Display:
    """Draw what each threshold costs, and mark the one that costs least.

    Below the line lies what the alerts cost, above that the fraud that is lost in spite of them.
    The dashed line is the cost without any alert. The best threshold flatters on the rows it was
    found on: report its cost on others.

    Parameters
    ----------
    costs
        What ``evaluation.cost_curve(...)`` returned.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame has the thresholds that are drawn, with the columns of the cost curve.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.evaluation import evaluate
    >>> frame = pd.DataFrame({"p": [0.9, 0.3], "fraud": [1, 0], "amount": [80.0, 20.0]})
    >>> display = plot_cost(evaluate(frame, "fraud", "p", amount="amount").cost_curve(5))
    >>> display.to_frame()[["threshold", "cost"]].values.tolist()
    [[inf, 80.0], [0.9, 5.0], [0.3, 10.0]]
    """
    if not hasattr(costs, "columns"):
        raise ArgumentError(
            "`costs` must be what cost_curve(...) of an evaluation returned; got "
            f"{type(costs).__name__}."
        )
    for name in _NEEDED:
        if name not in costs:
            raise NotFoundError("column", name, costs.columns, where="the cost curve")
    numbers = _fewer(costs)

    def draw(ax: Axes) -> None:
        style.dress(ax, "Cost by threshold" if title is None else title)
        _stack(ax, numbers)
        if len(numbers) == 1:  # nothing but "no alert"
            style.say(ax, "no labelled transactions")

    return style.drawn(ax, (8.4, 4.2), numbers, draw)


def _fewer(costs: pd.DataFrame) -> pd.DataFrame:
    """Take so many thresholds that the picture is the same, and the best of them."""
    costs = costs.reset_index(drop=True)
    cost = costs["cost"].to_numpy(dtype=np.float64)
    top = _top(cost)
    best = int(cost.argmin())
    points = thinned([cost, costs["alert_cost"].to_numpy()], [top, top], keep=[best])
    return costs.loc[points].reset_index(drop=True)


def _top(cost: Floats) -> float:
    """Where the axis of costs ends: much dearer thresholds are cut off."""
    none = float(cost[0])
    highest = float(cost.max())
    return (min(1.06 * highest, _HIGHEST * none) if none > 0 else 1.06 * highest) or 1.0


def _stack(ax: Axes, numbers: pd.DataFrame) -> None:
    """Draw the cost of alerts, the fraud that is lost on top of it, and the best threshold."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, StrMethodFormatter

    from synfin_analytics.plots._ticks import brief_tick

    colours = style.palette(ax)
    end = limit(numbers, 0.0)
    x, alerts, cost = steps(numbers, end, "alert_cost", "cost")
    ax.fill_between(x, 0, alerts, step="pre", color=colours.bar, linewidth=0)
    ax.fill_between(x, alerts, cost, step="pre", color=colours.soft, linewidth=0)
    ax.plot(x, cost, drawstyle="steps-pre", color=colours.ink, linewidth=1.6)
    none = float(cost[-1])
    ax.axhline(none, color=colours.grey, linewidth=1, linestyle=style.DASHES)
    best = numbers.iloc[int(numbers["cost"].argmin())]
    at = min(float(best["threshold"]), end)
    ax.plot(at, best["cost"], "o", color=colours.ink, markersize=7, clip_on=False, zorder=5)
    style.legend_beside(
        ax,
        [
            Line2D([], [], marker="o", linestyle="", color=colours.ink, label=_told(best, none)),
            Line2D([], [], color=colours.grey, linewidth=1, linestyle=style.DASHES,
                   label=f"no alert: {style.brief(none)}"),
            Patch(color=colours.soft, label="fraud that is lost"),
            Patch(color=colours.bar, label="cost of the alerts"),
        ],
    )  # fmt: skip
    top = _top(numbers["cost"].to_numpy())
    ax.set_ylim(0, top)
    ax.set_xlim(0, end)
    # All ticks alike: 80,000 below 100,000, and not below 100k.
    whole = 1e3 <= top < 1e7
    ticks = StrMethodFormatter("{x:,.0f}") if whole else FuncFormatter(brief_tick)
    ax.yaxis.set_major_formatter(ticks)
    ax.set_ylabel("cost")
    ax.set_xlabel("threshold" + ("; higher costs are cut off" if cost.max() > top else ""))


def _told(best: pd.Series[float], none: float) -> str:
    """Say what the best threshold is, and what it is worth."""
    if np.isinf(best["threshold"]):
        return "best: no alert at all"
    saved = f"\nsaves {style.brief(best['saved'])}" + (
        f" ({format_percent(best['saved'] / none)})" if none > 0 else ""
    )
    return (
        f"best threshold: {format_threshold(best['threshold'])}\n"
        f"costs {style.brief(best['cost'])}{saved}"
    )
