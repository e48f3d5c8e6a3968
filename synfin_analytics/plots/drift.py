"""Whether the scores of a model change with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display

#: Lines of the picture, from the highest, and what each is called.
LINES = {
    "upper_hundredth": "99% are below",
    "upper_tenth": "90% are below",
    "mean_score": "mean",
    "median": "median",
}
_NEEDED = ("timestamp", "scored", *LINES)
#: Weeks that can each have their date.
_FEW = 5


def plot_score_drift(
    weeks: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw the scores of each week: their mean, and what a half, 90% and 99% do not pass.

    Where these lines move, the payments have changed or the model has; the fraud rate of the same
    weeks (:func:`plot_fraud_rate` of the same frame) tells whether there is a reason.

    Parameters
    ----------
    weeks
        A row for each week: ``timestamp``, ``scored``, ``mean_score``, ``median``,
        ``upper_tenth``, ``upper_hundredth``; as ``weeks`` of a model report.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame has the rows of ``weeks``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> weeks = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-05", "2026-01-12"], utc=True)})
    >>> for name in ("scored", "mean_score", "median", "upper_tenth", "upper_hundredth"):
    ...     weeks[name] = [0.2, 0.3]
    >>> plot_score_drift(weeks).ax.get_title(loc="left")
    'Scores by week'
    """
    if not hasattr(weeks, "columns"):
        raise ArgumentError(f"`weeks` must be a frame of weeks; got {type(weeks).__name__}.")
    for name in _NEEDED:
        if name not in weeks:
            raise NotFoundError("column", name, weeks.columns, where="the weeks")
    numbers = weeks.reset_index(drop=True)

    def draw(ax: Axes) -> None:
        style.dress(ax, "Scores by week" if title is None else title)
        if numbers["scored"].sum():
            _lines(ax, numbers)
        else:
            style.say(ax, "no scores")
            ax.set_xticks([])
        ax.set_ylim(bottom=0)
        ax.set_ylabel("score")
        ax.set_xlabel("week, from Monday")

    return style.drawn(ax, (8.4, 3.8), numbers, draw)


def _lines(ax: Axes, numbers: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    moments = numbers["timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    x = style.days(moments)
    highest = 0.0
    handles: list[Any] = []
    for (column, name), (line, mark, colour) in zip(LINES.items(), style.styles(ax), strict=False):
        y = numbers[column].to_numpy(dtype=np.float64)
        highest = max(highest, float(np.nanmax(y)))
        look: dict[str, Any] = {"linestyle": line, "marker": mark, "color": colour}
        look |= {"linewidth": 1.6, "markersize": 4}
        ax.plot(x, y, clip_on=False, **look)
        handles.append(Line2D([], [], label=name, **look))
    ax.set_ylim(0, 1.06 * highest or 1.0)
    style.legend_beside(ax, handles)
    if len(x) > _FEW:
        style.date_ticks(ax)
    else:
        ax.set_xticks(x, [f"{day:%Y-%m-%d}" for day in numbers["timestamp"]])
