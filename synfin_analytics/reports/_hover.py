"""The points of a picture of a page, and what is shown when a reader points at one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from synfin_analytics._core.formatting import (
    format_compact,
    format_date,
    format_decimal,
    format_number,
    format_percent,
    format_signed,
    format_threshold,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

    from synfin_analytics.plots import Display

#: How the numbers of a plot are written, by column.
_FORMATS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(
        ("precision", "recall", "false_positive_rate", "queue_rate", "fraud_rate",
         "max_achievable", "alert_rate"), format_percent,
    ),
    **dict.fromkeys(
        ("alerts", "transactions", "frauds", "labelled", "hits", "compromised"), format_number,
    ),
    **dict.fromkeys(("cost", "saved"), format_compact),
    **dict.fromkeys(("mean_score", "median", "p99"), format_decimal),
}  # fmt: skip
#: Names of columns that do not say what they are.
_NAMES = {
    "queue_rate": "share of transactions alerted",
    "max_achievable": "maximum achievable",
    "hits": "detected",
    "p99": "99th percentile",
    "false_positive_rate": "false-positive rate",
}


@dataclass(frozen=True)
class _Plot:
    """A plot, known by columns that only it has.

    Attributes
    ----------
    columns
        These columns.
    axes
        Columns along x and y.
    shown
        Columns that are shown where a reader points.
    marks
        Where a threshold is: names of results along x and y (None: a line across that axis).
    panel
        The same, in the panels below.
    """

    columns: set[str]
    axes: tuple[str, str]
    shown: tuple[str, ...]
    marks: tuple[tuple[str | None, str | None], ...] = ()
    panel: tuple[tuple[str | None, str | None], ...] = ()


_LINE = ("threshold", None)
#: Plots that are not here have categories as their axes.
_PLOTS = (
    _Plot({"threshold", "cost"}, ("threshold", "cost"), ("alerts", "cost", "saved"),
          (_LINE, ("threshold", "cost"))),
    _Plot({"threshold", "precision_low"}, ("threshold", "recall"),
          ("precision", "recall", "alerts", "queue_rate"),
          (_LINE, ("threshold", "precision"), ("threshold", "recall")),
          (_LINE, ("threshold", "share"))),
    _Plot({"rule", "lost_frauds"}, ("recall", "precision"),
          ("precision", "recall", "alerts", "frauds")),
    _Plot({"threshold", "recall"}, ("recall", "precision"),
          ("precision", "recall", "false_positive_rate"), (("recall", "precision"),)),
    _Plot({"score_from"}, ("mean_score", "fraud_rate"),
          ("mean_score", "fraud_rate", "frauds", "transactions"), (_LINE,), (_LINE,)),
    _Plot({"day", "max_achievable"}, ("day", "precision"),
          ("precision", "hits", "compromised", "max_achievable")),
    _Plot({"timestamp", "mean_score"}, ("timestamp", "mean_score"),
          ("mean_score", "median", "p99", "transactions"), ((None, "threshold"),)),
    _Plot({"timestamp", "fraud_rate"}, ("timestamp", "fraud_rate"),
          ("fraud_rate", "frauds", "labelled")),
)  # fmt: skip

#: Columns of plots whose texts already say what a pointer could.
_WITHOUT_POINTS = ({"rules", "n_rules"}, {"rule", "gained_alerts"}, {"rule", "period"})


#: Place in the units of a picture, and the text.
Point: TypeAlias = "tuple[float, float, str]"
#: Name of a result, place of its 0 in the units of a picture, and length of 1; None: a line across.
Axis: TypeAlias = "tuple[str, float, float] | None"
#: Left, top, right and bottom of the axes of a plot, and where a threshold is along x and y.
Mark: TypeAlias = "tuple[tuple[float, ...], Axis, Axis]"


@dataclass(frozen=True)
class Hover:
    """What is shown where a reader points.

    Attributes
    ----------
    points
        Places and texts, from left to right or from top to bottom.
    by_row
        Whether each point is in a row of its own: the nearest one is that of the row.
    marks
        Where a threshold is, from its results: ``threshold``, ``precision``, ``recall``, ``rate``
        (of false positives), ``cost`` and ``share`` (decimal logarithm of the share of alerts).
    """

    points: list[Point]
    by_row: bool
    marks: list[Mark] = field(default_factory=list)


def read_hover(display: Display) -> Hover:
    """Return the points of a plot that was saved.

    Parameters
    ----------
    display
        The plot. Its layout is that of the file, so it must have been saved.
    """
    ax, frame = display.ax, display.to_frame()
    columns = set(frame.columns)
    for plot in _PLOTS:
        if plot.columns <= columns:
            axes, places = plot.axes, plot.marks
            if axes[0] == "recall" and not ax.get_xlabel().startswith("recall"):
                # The ROC curve has the same columns.
                axes, places = ("false_positive_rate", "recall"), (("rate", "recall"),)
            points = sorted(_frame_points(ax, frame, axes, plot.shown))
            marks = [_mark(ax, *place) for place in places]
            panels: list[Any] = list(ax.child_axes)
            marks += [_mark(panel, *place) for panel in panels for place in plot.panel]
            return Hover(points, by_row=False, marks=marks)
    if any(names <= columns for names in _WITHOUT_POINTS):
        return Hover([], by_row=False)
    return Hover(list(_category_points(ax)), by_row=True)


def _frame_points(
    ax: Axes, frame: pd.DataFrame, axes: tuple[str, str], shown: tuple[str, ...]
) -> Iterator[Point]:
    for row in frame.to_dict("records"):
        x, y = _coordinate(row[axes[0]], ax.get_xlim()), _coordinate(row[axes[1]], ax.get_ylim())
        if np.isnan(x) or np.isnan(y):
            continue
        parts = [
            f"{_NAMES.get(name, name.replace('_', ' '))} {_FORMATS[name](row[name])}"
            for name in shown
            if name in row and not pd.isna(row[name])
        ]
        yield (*_place(ax, x, y), _describe_row(row) + ", ".join(parts))


def _describe_row(row: dict[Any, Any]) -> str:
    """Return what a row is of: a threshold, a bin of scores, a day; and of which group."""
    group = next((str(row[name]) for name in ("model", "group") if name in row), "")
    if "rule" in row:
        name = str(row["rule"])
    elif "threshold" in row:
        value = row["threshold"]
        name = "no alerts" if np.isinf(value) else f"threshold {format_threshold(value)}"
    elif "score_from" in row:
        name = f"score {row['score_from']:.1f} to {row['score_to']:.1f}"
    else:
        moment = row["day"] if "day" in row else row["timestamp"]
        midnight = (moment.hour, moment.minute) == (0, 0)
        name = format_date(moment) if midnight else f"{moment:%Y-%m-%d %H:%M}"
    return f"{group}, {name}: " if group else f"{name}: "


def _coordinate(value: Any, limits: tuple[float, float]) -> float:
    """Return where a value is on an axis; one beyond the axis is at its end."""
    if hasattr(value, "year"):
        from matplotlib.dates import date2num

        moment = pd.Timestamp(value).tz_localize(None).to_datetime64()
        value = date2num(moment)  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    return float(np.clip(float(value), min(limits), max(limits)))


def _category_points(ax: Axes) -> Iterator[Point]:
    """Yield the dots, or the ends of bars, of a plot with a category in each row."""
    names = dict(
        zip(ax.get_yticks(), (label.get_text() for label in ax.get_yticklabels()), strict=True)
    )
    name = re.split(r"[(;\n]", ax.get_xlabel().removeprefix("dot: "))[0].strip()
    dots = {
        float(y): float(x)
        for line in ax.get_lines()
        if line.get_transform() == ax.transData and line.get_marker() not in {"None", ">"}
        for x, y in np.asarray(line.get_xydata())
    }
    bars = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in _bars(ax)}
    write = {"fraud rate": format_percent, "difference": format_signed}.get(name, format_decimal)
    for y, x in sorted({**bars, **dots}.items(), reverse=not ax.yaxis_inverted()):
        near = min(names, key=lambda tick: abs(tick - y), default=None)
        if near is not None and abs(near - y) < 0.5 and np.isfinite(x):
            label = names[near].replace("\n", " ")
            yield (*_place(ax, x, y), f"{label}: {name} {write(x)}")


def _bars(ax: Axes) -> Iterator[Any]:
    for container in ax.containers:
        yield from container


def _place(ax: Axes, x: float, y: float) -> tuple[float, float]:
    """Return a place in the units of an SVG file: points from the top left."""
    figure: Any = ax.get_figure(root=True)
    right, up = ax.transData.transform((x, y)) * 72 / figure.dpi
    return round(float(right), 1), round(72 * figure.get_figheight() - float(up), 1)


def _mark(ax: Axes, x: str | None, y: str | None) -> Mark:
    """Return where the results of a threshold are in a picture, and the frame around it."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    (x_left, y_bottom), (x_right, y_top) = _place(ax, left, bottom), _place(ax, right, top)
    frame = (x_left, y_top, x_right, y_bottom)
    return (
        frame,
        _axis(x, (left, right), (x_left, x_right)),
        _axis(y, (bottom, top), (y_bottom, y_top), log=ax.get_yscale() == "log"),
    )


def _axis(
    name: str | None,
    limits: tuple[float, float],
    places: tuple[float, float],
    *,
    log: bool = False,
) -> Axis:
    if name is None:
        return None
    low, high = np.log10(limits) if log else limits
    unit = float((places[1] - places[0]) / (high - low))
    return name, round(float(places[0] - unit * low), 2), float(f"{unit:.7g}")
