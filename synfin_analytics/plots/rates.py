"""Fraud rates: by group, and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import check_integer, format_value
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_group, format_percent, is_missing
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.fraud_rates import MEASURES
from synfin_analytics.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.display import Display
    from synfin_analytics.plots.style import Floats

#: Letters of all groups that a legend in one row has room for, and of a line in one beside.
_SHORT, _NARROW = 70, 24
_NEEDED = ("labelled", "frauds", "fraud_rate", "fraud_rate_low", "fraud_rate_high")


def plot_fraud_rate(
    result: IntoDataFrame,
    ax: Axes | None = None,
    *,
    max_groups: int = 25,
    title: str | None = None,
) -> Display:
    """Draw the result of :func:`synfin_analytics.fraud_rate`.

    By group: a dot for the rate, a bar for its interval, beside it frauds and transactions. The dot
    is hollow where ``reliable`` is false: the interval is a rough one. Intervals are those of the
    result, which by default allow for transactions of one customer or merchant being dependent.
    Over time: a line, a band for the interval, and the volume below; one line style for each group
    if there are groups as well. A dashed line is the rate of all that is shown.

    Parameters
    ----------
    result
        What ``fraud_rate`` returned, of any kind of frame.
    ax
        Where to draw; by default a figure of a size that fits.
    max_groups
        Groups that are drawn at most (over time: 5), those with the most transactions.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import polars as pl
    >>> from synfin_analytics.metrics import fraud_rate
    >>> frame = pl.DataFrame({"amount": [9, 8], "is_fraud": [0, 1], "channel": ["pos", "atm"]})
    >>> plot_fraud_rate(fraud_rate(frame, by="channel")).ax.get_title(loc="left")
    'Fraud rate by channel'
    """
    frame = _checked(result)
    max_groups = check_integer(max_groups, "max_groups", minimum=1)
    keys = [name for name in frame.columns if name not in MEASURES]
    time = next((name for name in keys if isinstance(frame.schema[name], nw.Datetime)), None)
    groups = [name for name in keys if name != time]
    drawn = (
        _ordered_groups(frame, groups, max_groups)
        if time is None
        else _largest_groups(frame, groups, time, min(max_groups, style.MOST_LINES))
    )
    labels = np.array(_labels(drawn, groups), dtype=object)
    left_out = len(set(_labels(frame, groups))) - len(set(labels)) if groups else 0

    def draw(ax: Axes) -> None:
        style.dress(ax, _title(groups, time) if title is None else title, grid="y" if time else "x")
        if time is None:
            _by_group(ax, drawn, labels, left_out)
        else:
            _over_time(ax, drawn, labels, time, left_out)
            if groups and len(drawn):
                _legend(ax)
        if not _floats(frame["labelled"]).sum():
            style.say(ax, "no labelled transactions" if len(frame) else "no transactions")
        if not len(frame):
            ax.set_xticks([])

    rows = style.rows_of(map(style.wrapped, labels))
    size = (8.4, 4.2 if time else 1.5 + 0.36 * max(rows, 1))
    return style.drawn(ax, size, nw.maybe_reset_index(drawn).to_pandas(), draw)


def group_names(result: IntoDataFrame) -> list[str]:
    """Name the group of each row of a fraud rate, as pictures do: bands by their edges."""
    frame = _checked(result)
    keys = [name for name in frame.columns if name not in MEASURES]
    return _labels(
        frame, [name for name in keys if not isinstance(frame.schema[name], nw.Datetime)]
    )


def _checked(result: IntoDataFrame) -> nw.DataFrame[Any]:
    try:
        frame: nw.DataFrame[Any] = nw.from_native(result, eager_only=True)
    except TypeError:
        raise ArgumentError(
            f"`result` must be the frame that fraud_rate returned; got {format_value(result)}."
        ) from None
    for name in _NEEDED:
        if name not in frame.columns:
            raise NotFoundError("column", name, frame.columns, where="the result of fraud_rate")
    return frame


def _title(groups: list[str], time: str | None) -> str:
    what = "Fraud rate over time" if time else "Fraud rate"
    names = [name for name in groups if f"{name.removesuffix('_from')}_to" not in groups]
    names = [name.removesuffix("_to") if _band(name, groups) else name for name in names]
    return " by ".join([what, *[" and ".join(names).replace("_", " ")] * bool(names)])


def _ordered_groups(
    frame: nw.DataFrame[Any], groups: list[str], max_groups: int
) -> nw.DataFrame[Any]:
    """Take the largest groups, in the order in which they are drawn from top to bottom."""
    if len(frame) > max_groups:
        frame = frame.sort("labelled", descending=True).head(max_groups)
    if groups:
        frame = frame.sort(*groups, nulls_last=True)
    if all(_has_order(frame.schema[name]) for name in groups):
        return frame
    # Names have no order of their own: the highest rate comes first, what is NaN last.
    return _rows(frame, np.argsort(-_floats(frame["fraud_rate"]), kind="stable"))


def _largest_groups(
    frame: nw.DataFrame[Any], groups: list[str], time: str, max_groups: int
) -> nw.DataFrame[Any]:
    """Take the periods of the largest groups, in the order of time."""
    frame = frame.filter(~nw.col(time).is_null()).sort(time)
    labels = np.array(_labels(frame, groups), dtype=object)
    return _rows(frame, np.flatnonzero(np.isin(labels, _by_size(frame, labels)[:max_groups])))


def _rows(frame: nw.DataFrame[Any], places: NDArray[np.intp]) -> nw.DataFrame[Any]:
    rows: nw.DataFrame[Any] = frame[places.tolist(), :]
    return rows


def _by_size(frame: nw.DataFrame[Any], labels: NDArray[np.object_]) -> list[str]:
    """Names of the groups, that with the most transactions first."""
    labelled = _floats(frame["labelled"])
    return sorted(dict.fromkeys(labels), key=lambda name: -labelled[labels == name].sum())


def _by_group(
    ax: Axes, frame: nw.DataFrame[Any], labels: NDArray[np.object_], left_out: int
) -> None:
    colours = style.palette(ax)
    of = {name: _floats(frame[name]) for name in _NEEDED}
    rows = np.arange(len(frame))[::-1]
    overall = _overall(of)
    if len(frame) > 1 and np.isfinite(overall):
        ax.axvline(overall, color=colours.grey, linewidth=1, linestyle=style.DASHES, zorder=1)
        style.above(ax, f"all shown: {format_percent(overall)}", overall)
    ax.hlines(
        rows,
        of["fraud_rate_low"],
        of["fraud_rate_high"],
        color=colours.ink,
        linewidth=2.4,
        alpha=0.55,
        zorder=2,
    )
    dots: dict[str, Any] = {"color": colours.ink, "clip_on": False}
    ax.plot(of["fraud_rate"], rows, "o", markersize=6, zorder=3, **dots)
    rough = _rough(frame)
    ax.plot(
        of["fraud_rate"][rough], rows[rough], "o", markersize=6, zorder=4,
        markerfacecolor=colours.paper, **dots,
    )  # fmt: skip
    for row, k, n in zip(rows, of["frauds"], of["labelled"], strict=True):
        style.beside(ax, f"{k:,.0f} of {n:,.0f}" if n else "none labelled", row, size="small")
    ax.set_yticks(rows, [style.wrapped(label) for label in labels])
    ax.set_ylim(-0.6, max(len(frame), 1) - 0.4)
    limit = _limit(of)
    ax.set_xlim(0, limit)
    cut = of["fraud_rate_high"] > limit
    ax.plot(
        np.full(cut.sum(), limit), rows[cut], ">", color=colours.ink, markersize=5, clip_on=False
    )
    ax.xaxis.set_major_formatter(style.percent_ticks())
    hollow = " (hollow: a rough one)" if rough.any() else ""
    words = f"dot: rate, bar: its interval{hollow}, right: frauds of transactions"
    ax.set_xlabel(_caption(words, left_out))
    ax.tick_params(axis="y", pad=8)


def _over_time(
    ax: Axes, frame: nw.DataFrame[Any], labels: NDArray[np.object_], time: str, left_out: int
) -> None:
    colours = style.palette(ax)
    of = {name: _floats(frame[name]) for name in _NEEDED}
    moments = _moments(frame[time])
    names = _by_size(frame, labels)
    several = len(names) > 1
    for name, (line, mark, colour) in zip(names, style.styles(ax), strict=False):
        one = labels == name
        ax.fill_between(
            moments[one],
            of["fraud_rate_low"][one],
            of["fraud_rate_high"][one],
            color=colour if several else colours.soft,
            alpha=0.12 if several else 0.8,
            linewidth=0,
        )
        if one.sum() == 1:  # a band needs two
            ax.vlines(
                moments[one],
                of["fraud_rate_low"][one],
                of["fraud_rate_high"][one],
                color=colour,
                alpha=0.55,
            )
        ax.plot(
            moments[one],
            of["fraud_rate"][one],
            linestyle=line,
            # Of many points only the line is left.
            marker=mark if several or one.sum() <= 60 else "",
            markersize=3.5,
            markevery=max(int(one.sum()) // 15, 1) if several else 1,
            linewidth=1.6,
            color=colour,
            label=str(name),
            clip_on=False,
        )
    overall = _overall(of)
    if len(moments) > 1 and np.isfinite(overall):
        ax.axhline(overall, color=colours.grey, linewidth=1, linestyle=style.DASHES, zorder=1)
        style.beside(ax, f"all: {format_percent(overall)}", overall)
    ax.set_ylim(0, _limit(of))
    ax.yaxis.set_major_formatter(style.percent_ticks())
    below = _volume(ax, moments, of["labelled"]) if len(moments) else ax
    below.set_xlabel(
        _caption("line: rate, band: its interval, bars: labelled transactions", left_out)
    )


def _legend(ax: Axes) -> None:
    """Name the groups: above the lines if there is room, else to the right."""
    handles, names = ax.get_legend_handles_labels()
    if sum(map(len, names)) > _SHORT:
        style.legend_beside(ax, handles, labels=[style.wrapped(name, _NARROW) for name in names])
        return
    ax.set_ylim(0, 1.15 * ax.get_ylim()[1])
    ax.legend(frameon=False, fontsize="small", ncols=style.MOST_LINES, loc="upper left")


def _volume(ax: Axes, moments: Floats, labelled: Floats) -> Axes:
    """Draw how many transactions there were in a strip below ``ax``."""
    from matplotlib.ticker import StrMethodFormatter

    colours = style.palette(ax)
    below = style.strip(ax)
    starts, which = np.unique(moments, return_inverse=True)
    width = float(np.median(np.diff(starts))) if len(starts) > 1 else 1.0
    volume = np.bincount(which, weights=labelled, minlength=len(starts))
    below.bar(starts, volume, width=0.85 * width, color=colours.bar)
    style.date_ticks(below)
    top = max(below.get_ylim()[1], 1.0)
    below.set_yticks([top / 1.05])
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return below


def _rough(frame: nw.DataFrame[Any]) -> NDArray[np.bool_]:
    """Which rates have an interval from fewer than ten customers with a fraud, or merchants."""
    if "reliable" not in frame.columns:
        return np.zeros(len(frame), dtype=bool)
    known = _floats(frame["labelled"]) > 0
    rough: NDArray[np.bool_] = known & ~frame["reliable"].to_numpy().astype(bool)
    return rough


def _has_order(dtype: nw.dtypes.DType) -> bool:
    return dtype.is_numeric() or isinstance(dtype, nw.Enum)


def _labels(frame: nw.DataFrame[Any], groups: list[str]) -> list[str]:
    """Name of each row's group; a value that is missing is called so."""
    columns: list[list[str]] = []
    for name in groups:
        low = _band(name, groups)
        if low is not None:
            highs = frame[name].to_list()
            columns[-1] = [_span(*ends) for ends in zip(frame[low].to_list(), highs, strict=True)]
        else:
            columns.append([format_group(value) for value in frame[name].to_list()])
    return [" · ".join(words) for words in zip(*columns, strict=True)] or ["all"] * len(frame)


def _band(name: str, groups: list[str]) -> str | None:
    """Column in which the bands begin that end in ``name``, if it is of bands."""
    low = f"{name.removesuffix('_to')}_from"
    at = groups.index(name)
    return low if name.endswith("_to") and at and groups[at - 1] == low else None


def _span(low: object, high: object) -> str:
    if is_missing(low) or is_missing(high):
        return format_group(None)
    ends = [float(str(low)), float(str(high))]
    if not np.isfinite(ends).any():
        return "all"
    low, high = (f"{end:,.15g}" for end in ends)  # :g alone writes 1,234,567 as 1.23457e+06
    if not np.isfinite(ends[0]):
        return f"below {high}"
    return f"{low} to {high}" if np.isfinite(ends[1]) else f"from {low}"


def _overall(of: dict[str, Floats]) -> float:
    return float(ratio(of["frauds"].sum(), of["labelled"].sum()))


def _limit(of: dict[str, Floats]) -> float:
    """Where the axis ends: intervals of tiny groups are cut, so that the others can be seen."""
    high = of["fraud_rate_high"][np.isfinite(of["fraud_rate_high"])]
    if not len(high):
        return 0.01
    rates = of["fraud_rate"][np.isfinite(of["fraud_rate"])]
    return float(min(1.06 * high.max(), max(1.5 * rates.max(), 1.3 * np.median(high)), 1.0))


def _caption(text: str, left_out: int) -> str:
    return (
        f"{text}; {left_out:,} smaller group{'s' * (left_out != 1)} not shown" if left_out else text
    )


def _floats(values: nw.Series[Any]) -> Floats:
    return values.cast(nw.Float64).to_numpy().astype(np.float64)


def _moments(values: nw.Series[Any]) -> Floats:
    return style.days(values.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]"))
