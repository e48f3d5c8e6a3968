"""Pictures of results: each is a function of a result, takes ``ax=`` and returns the Axes.

Marks and line styles tell things apart, not colours alone: the pictures read well when printed in
black and white. matplotlib is imported by the first picture, never with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.fraud import MEASURES
from synfin_analytics.metrics.proportions import ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

_INK = "#1b4965"
_SOFT = "#c9d6df"
_GREY = "#6b7280"
_NEEDED = ("labelled", "frauds", "fraud_rate", "low", "high")
#: Lines that are told apart in print.
_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ((0, (1, 1)), "v"))


def plot_fraud_rate(
    result: IntoDataFrame,
    ax: Axes | None = None,
    *,
    most: int = 25,
    title: str | None = None,
) -> Axes:
    """Draw the result of :func:`synfin_analytics.fraud_rate`.

    By group: a dot for the rate, a bar for its interval, beside it frauds and transactions. Over
    time: a line, a band for the interval, and the volume below; one line style for each group if
    there are groups as well. A dashed line is the rate of all that is shown.

    Parameters
    ----------
    result
        What ``fraud_rate`` returned, of any kind of frame.
    ax
        Where to draw; by default a figure of a size that fits.
    most
        Groups that are drawn at most (over time: 5), those with the most transactions.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import polars as pl
    >>> from synfin_analytics.metrics import fraud_rate
    >>> frame = pl.DataFrame({"amount": [9, 8], "is_fraud": [0, 1], "channel": ["pos", "atm"]})
    >>> plot_fraud_rate(fraud_rate(frame, by="channel")).get_title(loc="left")
    'Fraud rate by channel'
    """
    frame: nw.DataFrame[Any] = nw.from_native(result, eager_only=True)
    for name in _NEEDED:
        if name not in frame.columns:
            raise NotFoundError("column", name, frame.columns, where="the result of fraud_rate")
    if most < 1:
        raise ArgumentError(f"most is a number of groups, at least 1; got {most!r}.")
    keys = [name for name in frame.columns if name not in MEASURES]
    time = next((name for name in keys if isinstance(frame.schema[name], nw.Datetime)), None)
    groups = [name for name in keys if name != time]
    words = " and ".join(name.replace("_", " ") for name in groups)

    if time is None:
        what = f"Fraud rate by {words}" if words else "Fraud rate"
        ax = _by_group(frame, groups, ax, most)
    else:
        what = f"Fraud rate over time by {words}" if words else "Fraud rate over time"
        ax = _over_time(frame, groups, time, ax, min(most, len(_STYLES)))
    if not _floats(frame["labelled"]).sum():
        nothing = "no labelled transactions" if len(frame) else "no transactions"
        ax.text(0.5, 0.5, nothing, transform=ax.transAxes, ha="center", color=_GREY)
    if not len(frame):
        ax.set_xticks([])
    ax.set_title(what if title is None else title, loc="left", fontweight="bold", pad=12)
    return ax


def _by_group(frame: nw.DataFrame[Any], groups: list[str], ax: Axes | None, most: int) -> Axes:
    left_out = max(len(frame) - most, 0)
    if left_out:
        frame = frame.sort("labelled", descending=True).head(most)
    if groups:
        frame = frame.sort(*groups, nulls_last=True)
    of = {name: _floats(frame[name]) for name in _NEEDED}
    order = np.arange(len(frame))
    if not all(_ordered(frame.schema[name]) for name in groups):
        # Names have no order of their own: the highest rate comes first, what is NaN last.
        order = np.argsort(-of["fraud_rate"], kind="stable")
    labels = [_labels(frame, groups)[row] for row in order]
    of = {name: values[order] for name, values in of.items()}
    rows = np.arange(len(frame))[::-1]
    if ax is None:
        ax = _axes(8.4, 1.5 + 0.36 * max(len(frame), 1))

    overall = _overall(of)
    if len(frame) > 1 and np.isfinite(overall):
        ax.axvline(overall, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        ax.annotate(
            f"all shown: {overall:.2%}",
            (overall, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize="x-small",
            color=_GREY,
        )
    ax.hlines(rows, of["low"], of["high"], color=_INK, linewidth=2.4, alpha=0.55, zorder=2)
    ax.plot(of["fraud_rate"], rows, "o", color=_INK, markersize=6, zorder=3, clip_on=False)
    for row, k, n in zip(rows, of["frauds"], of["labelled"], strict=True):
        ax.annotate(
            f"{k:,.0f} of {n:,.0f}" if n else "none labelled",
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=_GREY,
        )
    ax.set_yticks(rows, labels)
    ax.set_ylim(-0.6, max(len(frame), 1) - 0.4)
    limit = _limit(of)
    ax.set_xlim(0, limit)
    cut = of["high"] > limit
    ax.plot(np.full(cut.sum(), limit), rows[cut], ">", color=_INK, markersize=5, clip_on=False)
    ax.xaxis.set_major_formatter(_percent())
    ax.set_xlabel(_caption("dot: rate, bar: its interval, right: frauds of transactions", left_out))
    ax.tick_params(axis="y", length=0, pad=8)
    ax.grid(axis="x", color="#e5e7eb", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def _over_time(
    frame: nw.DataFrame[Any], groups: list[str], time: str, ax: Axes | None, most: int
) -> Axes:
    if ax is None:
        ax = _axes(8.4, 4.2)
    frame = frame.filter(~nw.col(time).is_null()).sort(time)
    labels = np.array(_labels(frame, groups), dtype=object)
    labelled = _floats(frame["labelled"])
    names = list(dict.fromkeys(labels))
    names.sort(key=lambda name: -labelled[labels == name].sum())
    left_out = max(len(names) - most, 0)
    shown = np.isin(labels, names[:most])
    of = {name: _floats(frame[name])[shown] for name in _NEEDED}
    moments = _moments(frame[time])[shown]
    labels = labels[shown]

    for name, (line, mark) in zip(names[:most], _STYLES, strict=False):
        one = labels == name
        rate = of["fraud_rate"][one]
        several = len(names) > 1
        ax.fill_between(
            moments[one],
            of["low"][one],
            of["high"][one],
            color=_SOFT,
            alpha=0.45 if several else 0.8,
            linewidth=0,
        )
        if one.sum() == 1:  # a band needs two
            ax.vlines(moments[one], of["low"][one], of["high"][one], color=_INK, alpha=0.55)
        ax.plot(
            moments[one],
            rate,
            linestyle=line,
            # Of many points only the line is left.
            marker=mark if several or one.sum() <= 60 else "",
            markersize=3.5,
            markevery=max(int(one.sum()) // 15, 1) if several else 1,
            linewidth=1.6,
            color=_INK,
            label=str(name),
            clip_on=False,
        )
    overall = _overall(of)
    if len(moments) > 1 and np.isfinite(overall):
        ax.axhline(overall, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        ax.annotate(
            f"all: {overall:.2%}",
            (1, overall),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="x-small",
            color=_GREY,
        )
    limit = _limit(of)
    ax.set_ylim(0, limit * (1.15 if groups else 1))
    ax.yaxis.set_major_formatter(_percent())
    if groups:
        ax.legend(frameon=False, fontsize="small", ncols=len(_STYLES), loc="upper left")
    below = _volume(ax, moments, of["labelled"]) if len(moments) else ax
    below.set_xlabel(
        _caption("line: rate, band: its interval, bars: labelled transactions", left_out)
    )
    ax.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _volume(ax: Axes, moments: NDArray[np.float64], labelled: NDArray[np.float64]) -> Axes:
    """Draw how many transactions there were in a strip below ``ax``."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    below = ax.inset_axes((0, -0.26, 1, 0.2), sharex=ax)
    starts, which = np.unique(moments, return_inverse=True)
    width = float(np.median(np.diff(starts))) if len(starts) > 1 else 1.0
    volume = np.bincount(which, weights=labelled, minlength=len(starts))
    below.bar(starts, volume, width=0.85 * width, color="#9aa5b1")
    # matplotlib.dates has no types
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    below.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    below.xaxis.set_major_formatter(formatter)
    top = max(below.get_ylim()[1], 1.0)
    below.set_yticks([top / 1.05])
    below.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    below.tick_params(axis="y", length=0, labelsize="x-small")
    below.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    return below


def _axes(width: float, height: float) -> Axes:
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _ordered(dtype: nw.dtypes.DType) -> bool:
    return dtype.is_numeric() or isinstance(dtype, nw.Enum)


def _labels(frame: nw.DataFrame[Any], groups: list[str]) -> list[str]:
    """Name of each row's group; a value that is missing is called so."""
    columns = [frame[name].to_list() for name in groups]
    return [
        " · ".join("not known" if _missing(value) else str(value) or "(empty)" for value in values)
        for values in zip(*columns, strict=True)
    ] or ["all"] * len(frame)


def _missing(value: object) -> bool:
    return value is None or value != value  # NaN, NaT


def _overall(of: dict[str, NDArray[np.float64]]) -> float:
    return float(ratio(of["frauds"].sum(), of["labelled"].sum()))


def _limit(of: dict[str, NDArray[np.float64]]) -> float:
    """Where the axis ends: intervals of tiny groups are cut, so that the others can be seen."""
    high = of["high"][np.isfinite(of["high"])]
    if not len(high):
        return 0.01
    rates = of["fraud_rate"][np.isfinite(of["fraud_rate"])]
    return float(min(1.06 * high.max(), max(1.5 * rates.max(), 1.3 * np.median(high)), 1.0))


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0)


def _caption(text: str, left_out: int) -> str:
    return (
        f"{text}; {left_out:,} smaller group{'s' * (left_out != 1)} not shown" if left_out else text
    )


def _floats(values: nw.Series[Any]) -> NDArray[np.float64]:
    return values.cast(nw.Float64).to_numpy().astype(np.float64)


def _moments(values: nw.Series[Any]) -> NDArray[np.float64]:
    """Moments as matplotlib counts them: in days."""
    from matplotlib.dates import date2num

    naive = values.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    days = date2num(naive)  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    return np.asarray(days, dtype=np.float64)
