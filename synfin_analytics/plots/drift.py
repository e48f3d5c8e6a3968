"""The distribution of scores over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots._style import (
    add_legend_right,
    annotate_empty,
    create_display,
    date_numbers,
    line_styles,
    set_date_ticks,
    style_axes,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display

#: Columns that are drawn, from the highest line down, and their names.
_LINES = {
    "p99": "99th percentile",
    "p90": "90th percentile",
    "mean_score": "mean",
    "median": "median",
}
_REQUIRED = ("timestamp", "scored", *_LINES)
#: Weeks that can each have a date as their tick.
_MAX_DATES = 5


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
    if not hasattr(weeks, "columns"):
        raise ArgumentError(
            f"`weeks` must be a frame with a row for each week; got {type(weeks).__name__}."
        )
    for name in _REQUIRED:
        if name not in weeks:
            raise NotFoundError("column", name, weeks.columns, location="the weeks")
    numbers = weeks.reset_index(drop=True)

    def draw(ax: Axes) -> None:
        style_axes(ax, "Scores by week" if title is None else title)
        if numbers["scored"].sum():
            _draw_lines(ax, numbers)
        else:
            annotate_empty(ax, "no scores")
            ax.set_xticks([])
        ax.set_ylim(bottom=0)
        ax.set_ylabel("score")
        ax.set_xlabel("week (from Monday)")

    return create_display(ax, (8.4, 3.8), numbers, draw)


def _draw_lines(ax: Axes, numbers: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    moments = numbers["timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    x = date_numbers(moments)
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
    if len(x) > _MAX_DATES:
        set_date_ticks(ax)
    else:
        ax.set_xticks(x, [f"{day:%Y-%m-%d}" for day in numbers["timestamp"]])
