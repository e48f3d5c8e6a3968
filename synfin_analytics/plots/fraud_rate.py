"""Fraud rates by group and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import argument_error, check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_group, format_percent, is_missing, pluralize
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.metrics.fraud_rates import MEASURES
from synfin_analytics.metrics.nowcast import FraudRateNowcast
from synfin_analytics.plots._nowcast import plot_nowcast
from synfin_analytics.plots._style import (
    DASHES,
    MAX_LINES,
    add_legend_right,
    add_volume_panel,
    annotate_above,
    annotate_empty,
    annotate_right,
    create_display,
    date_numbers,
    label_rows,
    line_styles,
    palette,
    percent_formatter,
    set_rows,
    style_axes,
    wrap_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.results import Display
    from synfin_analytics._core.types import Floats, Mask

    Frame = nw.DataFrame[Any]

_REQUIRED = ("labelled", "frauds", "fraud_rate", "fraud_rate_low", "fraud_rate_high")
#: Characters of all group names that fit into a legend of one row, and of a line of a legend at
#: the right.
_LEGEND_ROW, _LEGEND_WIDTH = 70, 24
#: Points of a line that are marked at most; of a longer line without groups none is.
_MAX_MARKERS, _MAX_MARKED_POINTS = 15, 60


def plot_fraud_rate(
    result: IntoDataFrame | FraudRateNowcast,
    ax: Axes | None = None,
    *,
    max_groups: int = 25,
    title: str | None = None,
) -> Display:
    """Draw the result of ``fraud_rate`` or of ``nowcast_fraud_rate``.

    By group: a dot for the rate, a bar for its confidence interval, and to the right the number of
    frauds and transactions. A hollow dot marks an unreliable interval (``reliable`` is false).
    Over time: a line, a band for the interval, and the number of transactions below; with groups,
    one line style for each. A dashed line is the rate of all groups or periods that are shown.
    Of a nowcast, a dashed line is the estimated final rate of the periods that are not mature, with
    a band for its prediction interval, and a dotted line what is known of them.

    Parameters
    ----------
    result
        Result of :func:`synfin_analytics.fraud_rate`, any kind of frame, or of
        :func:`synfin_analytics.nowcast_fraud_rate`.
    ax
        Where to draw; by default a new figure of a suitable size.
    max_groups
        How many groups to draw at most (over time: 5): those with the most transactions.
    title
        Title of the plot; by default one that names the groups, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``result`` that are drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import polars as pl
    >>> from synfin_analytics import fraud_rate
    >>> df = pl.DataFrame({"amount": [9, 8], "is_fraud": [0, 1], "channel": ["pos", "atm"]})
    >>> plot_fraud_rate(fraud_rate(df, by="channel"))
    Display('Fraud rate by channel', 2 rows)
    """
    max_groups = check_integer(max_groups, "max_groups", minimum=1)
    if isinstance(result, FraudRateNowcast):
        return plot_nowcast(result, ax, max_groups, title)
    frame = _check_result(result)
    keys = [name for name in frame.columns if name not in MEASURES]
    time = next((name for name in keys if isinstance(frame.schema[name], nw.Datetime)), None)
    groups = [name for name in keys if name != time]
    drawn = (
        _order_groups(frame, groups, max_groups)
        if time is None
        else _select_largest(frame, groups, time, min(max_groups, MAX_LINES))
    )
    labels = np.array(_group_labels(drawn, groups), dtype=object)
    n_hidden = len(set(_group_labels(frame, groups))) - len(set(labels)) if groups else 0

    def draw(ax: Axes) -> None:
        heading = _default_title(groups, time) if title is None else title
        style_axes(ax, heading, grid="y" if time else "x")
        if time is None:
            _draw_groups(ax, drawn, labels, n_hidden)
        else:
            _draw_time(ax, drawn, labels, time, n_hidden)
            if groups and len(drawn):
                _add_legend(ax)
        if not _to_floats(frame["labelled"]).sum():
            reason = "no labelled transactions" if len(frame) else "no transactions"
            annotate_empty(ax, reason, ticks=len(frame) > 0)

    height = 4.2 if time else 1.5 + 0.36 * max(label_rows(map(wrap_label, labels)), 1)
    return create_display(ax, (8.4, height), nw.maybe_reset_index(drawn).to_pandas(), draw)


def group_names(result: IntoDataFrame) -> list[str]:
    """Return the name of each row's group in a result of ``fraud_rate``; bins by their edges."""
    frame = _check_result(result)
    keys = [name for name in frame.columns if name not in MEASURES]
    return _group_labels(
        frame, [name for name in keys if not isinstance(frame.schema[name], nw.Datetime)]
    )


def _check_result(result: IntoDataFrame) -> Frame:
    try:
        frame: Frame = nw.from_native(result, eager_only=True)
    except TypeError:
        raise argument_error("result", "the result of fraud_rate(...)", result) from None
    for name in _REQUIRED:
        if name not in frame.columns:
            raise NotFoundError("column", name, frame.columns, location="the result of fraud_rate")
    return frame


def _default_title(groups: list[str], time: str | None) -> str:
    title = "Fraud rate over time" if time else "Fraud rate"
    names = [name for name in groups if f"{name.removesuffix('_from')}_to" not in groups]
    names = [name.removesuffix("_to") if _bin_start(name, groups) else name for name in names]
    return f"{title} by {' and '.join(names)}".replace("_", " ") if names else title


def _order_groups(frame: Frame, groups: list[str], max_groups: int) -> Frame:
    """Return the largest groups, in the order in which they are drawn from top to bottom."""
    if len(frame) > max_groups:
        frame = frame.sort("labelled", descending=True).head(max_groups)
    if groups:
        frame = frame.sort(*groups, nulls_last=True)
    dtypes = (frame.schema[name] for name in groups)
    if all(dtype.is_numeric() or isinstance(dtype, nw.Enum) for dtype in dtypes):
        return frame
    # Names have no order of their own: the highest rate comes first, NaN last.
    return _take_rows(frame, np.argsort(-_to_floats(frame["fraud_rate"]), kind="stable"))


def _select_largest(frame: Frame, groups: list[str], time: str, max_groups: int) -> Frame:
    """Return the periods of the largest groups, in the order of time."""
    frame = frame.filter(~nw.col(time).is_null()).sort(time)
    labels = np.array(_group_labels(frame, groups), dtype=object)
    largest = _names_by_size(frame, labels)[:max_groups]
    return _take_rows(frame, np.flatnonzero(np.isin(labels, largest)))


def _take_rows(frame: Frame, positions: NDArray[np.intp]) -> Frame:
    rows: Frame = frame[positions.tolist(), :]
    return rows


def _names_by_size(frame: Frame, labels: NDArray[np.object_]) -> list[str]:
    """Return the names of the groups, the one with the most transactions first."""
    labelled = _to_floats(frame["labelled"])
    return sorted(dict.fromkeys(labels), key=lambda name: -labelled[labels == name].sum())


def _draw_groups(ax: Axes, frame: Frame, labels: NDArray[np.object_], n_hidden: int) -> None:
    colours = palette(ax)
    values = {name: _to_floats(frame[name]) for name in _REQUIRED}
    rates, low, high = (values[f"fraud_rate{end}"] for end in ("", "_low", "_high"))
    rows = set_rows(ax, [wrap_label(label) for label in labels])
    overall = _overall_rate(values)
    if len(frame) > 1 and np.isfinite(overall):
        ax.axvline(overall, color=colours.muted, linewidth=1, linestyle=DASHES, zorder=1)
        annotate_above(ax, f"all shown: {format_percent(overall)}", overall)
    ax.hlines(rows, low, high, color=colours.ink, linewidth=2.4, alpha=0.55, zorder=2)
    look: dict[str, Any] = {"color": colours.ink, "markersize": 6, "clip_on": False}
    ax.plot(rates, rows, "o", zorder=3, **look)
    unreliable = _unreliable(frame)
    ax.plot(
        rates[unreliable], rows[unreliable], "o", zorder=4, markerfacecolor=colours.paper, **look
    )
    for row, frauds, labelled in zip(rows, values["frauds"], values["labelled"], strict=True):
        counts = f"{frauds:,.0f} of {labelled:,.0f}" if labelled else "none labelled"
        annotate_right(ax, counts, row, size="small")
    end = _axis_end(values)
    ax.set_xlim(0, end)
    cut = high > end
    look = {"color": colours.ink, "markersize": 5, "clip_on": False}
    ax.plot(np.full(cut.sum(), end), rows[cut], ">", **look)
    ax.xaxis.set_major_formatter(percent_formatter())
    hollow = " (hollow: unreliable interval)" if unreliable.any() else ""
    caption = f"dot: fraud rate{hollow}; bar: confidence interval\nright: frauds of transactions"
    ax.set_xlabel(_with_hidden(caption, n_hidden))


def _draw_time(
    ax: Axes, frame: Frame, labels: NDArray[np.object_], time: str, n_hidden: int
) -> None:
    colours = palette(ax)
    values = {name: _to_floats(frame[name]) for name in _REQUIRED}
    moments = date_numbers(
        frame[time].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    )
    names = _names_by_size(frame, labels)
    several = len(names) > 1
    for name, (pattern, marker, colour) in zip(names, line_styles(ax), strict=False):
        group = labels == name
        x = moments[group]
        rates, low, high = (values[f"fraud_rate{end}"][group] for end in ("", "_low", "_high"))
        ax.fill_between(
            x,
            low,
            high,
            color=colour if several else colours.band,
            alpha=0.12 if several else 0.8,
            linewidth=0,
        )
        if len(x) == 1:  # a band needs two periods
            ax.vlines(x, low, high, color=colour, alpha=0.55)
        ax.plot(
            x,
            rates,
            linestyle=pattern,
            marker=marker if several or len(x) <= _MAX_MARKED_POINTS else "",
            markersize=3.5,
            markevery=max(len(x) // _MAX_MARKERS, 1) if several else 1,
            linewidth=1.6,
            color=colour,
            label=str(name),
            clip_on=False,
        )
    overall = _overall_rate(values)
    if len(moments) > 1 and np.isfinite(overall):
        ax.axhline(overall, color=colours.muted, linewidth=1, linestyle=DASHES, zorder=1)
        annotate_right(ax, f"all: {format_percent(overall)}", overall)
    ax.set_ylim(0, _axis_end(values))
    ax.yaxis.set_major_formatter(percent_formatter())
    lowest = add_volume_panel(ax, moments, values["labelled"]) if len(moments) else ax
    caption = "line: fraud rate; band: confidence interval; bars: labelled transactions"
    lowest.set_xlabel(_with_hidden(caption, n_hidden))


def _add_legend(ax: Axes) -> None:
    """Name the groups above the lines if there is room, else to the right."""
    handles, names = ax.get_legend_handles_labels()
    if sum(map(len, names)) > _LEGEND_ROW:
        labels = [wrap_label(name, _LEGEND_WIDTH) for name in names]
        add_legend_right(ax, handles, labels=labels)
        return
    ax.set_ylim(0, 1.15 * ax.get_ylim()[1])
    ax.legend(frameon=False, fontsize="small", ncols=MAX_LINES, loc="upper left")


def _unreliable(frame: Frame) -> Mask:
    """Return which rates have an interval that is based on few clusters with fraud."""
    if "reliable" not in frame.columns:
        return np.zeros(len(frame), dtype=bool)
    has_rate = _to_floats(frame["labelled"]) > 0
    unreliable: Mask = has_rate & ~frame["reliable"].to_numpy().astype(bool)
    return unreliable


def _group_labels(frame: Frame, groups: list[str]) -> list[str]:
    """Return the name of each row's group."""
    columns: list[list[str]] = []
    for name in groups:
        start = _bin_start(name, groups)
        if start is None:
            columns.append([format_group(value) for value in frame[name].to_list()])
        else:
            edges = zip(frame[start].to_list(), frame[name].to_list(), strict=True)
            columns[-1] = [_format_bin(low, high) for low, high in edges]
    return [" · ".join(parts) for parts in zip(*columns, strict=True)] or ["all"] * len(frame)


def _bin_start(name: str, groups: list[str]) -> str | None:
    """Return the column of the lower edges, if ``name`` holds the upper edges of bins."""
    start = f"{name.removesuffix('_to')}_from"
    position = groups.index(name)
    is_end = name.endswith("_to") and position and groups[position - 1] == start
    return start if is_end else None


def _format_bin(low: object, high: object) -> str:
    if is_missing(low) or is_missing(high):
        return format_group(None)
    ends = [float(str(low)), float(str(high))]
    if not np.isfinite(ends).any():
        return "all"
    low, high = (f"{end:,.15g}" for end in ends)  # :g alone writes 1,234,567 as 1.23457e+06
    if not np.isfinite(ends[0]):
        return f"below {high}"
    return f"{low} to {high}" if np.isfinite(ends[1]) else f"{low} or more"


def _overall_rate(values: dict[str, Floats]) -> float:
    return float(ratio(values["frauds"].sum(), values["labelled"].sum()))


def _axis_end(values: dict[str, Floats]) -> float:
    """Return where the axis ends: intervals of tiny groups are cut, so that others are visible."""
    high = values["fraud_rate_high"]
    high = high[np.isfinite(high)]
    if not len(high):
        return 0.01
    rates = values["fraud_rate"]
    highest = rates[np.isfinite(rates)].max()
    return float(min(1.06 * high.max(), max(1.5 * highest, 1.3 * np.median(high)), 1.0))


def _with_hidden(caption: str, n_hidden: int) -> str:
    if not n_hidden:
        return caption
    return f"{caption}; {pluralize(n_hidden, 'smaller group')} not shown"


def _to_floats(values: nw.Series[Any]) -> Floats:
    return values.cast(nw.Float64).to_numpy().astype(np.float64)
