"""Known and estimated fraud rates over time, drawn apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import (
    format_confidence_level,
    format_group,
    format_percent,
    pluralize,
)
from synfin_analytics.plots._style import (
    DASHES,
    MAX_LINES,
    add_legend_right,
    add_volume_panel,
    annotate_empty,
    annotate_right,
    create_display,
    date_numbers,
    line_styles,
    palette,
    percent_formatter,
    style_axes,
    wrap_label,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics._core.types import Floats
    from synfin_analytics.metrics.nowcast import FraudRateNowcast

_ESTIMATE = "estimated_fraud_rate"
_DOTS = (0, (1, 1.6))
#: Characters of a line of a legend at the right.
_LEGEND_WIDTH = 24
#: Points of a line that are marked at most.
_MAX_MARKED_POINTS = 60


def plot_nowcast(
    nowcast: FraudRateNowcast, ax: Axes | None, max_groups: int, title: str | None
) -> Display:
    """Draw a nowcast; see :func:`synfin_analytics.plot_fraud_rate`."""
    frame = nowcast.to_frame()
    columns = [[format_group(value) for value in frame[name]] for name in nowcast.by]
    labels = np.array(
        [" · ".join(parts) for parts in zip(*columns, strict=True)] or ["all"] * len(frame),
        dtype=object,
    )
    sizes = frame["transactions"].groupby(labels).sum().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in sizes.index[: min(max_groups, MAX_LINES)]]
    drawn = np.isin(labels, names)
    frame, labels = frame[drawn].reset_index(drop=True), labels[drawn]
    by = f" by {' and '.join(nowcast.by)}".replace("_", " ") if nowcast.by else ""

    def draw(ax: Axes) -> None:
        style_axes(ax, f"Fraud rate over time{by}" if title is None else title)
        if not len(frame):
            annotate_empty(ax, "no transactions")
            return
        lowest = _draw_lines(ax, frame, labels, names)
        level = format_confidence_level(nowcast.confidence_level)
        hidden = len(sizes) - len(names)
        lowest.set_xlabel(
            "solid: mature; dashed: estimated final rate; dotted: known so far\n"
            f"band: {level} prediction interval; bars: transactions"
            + (f"; {pluralize(hidden, 'smaller group')} not shown" if hidden else "")
        )

    return create_display(ax, (8.4, 4.2), frame, draw)


def _draw_lines(ax: Axes, frame: pd.DataFrame, labels: Any, names: list[str]) -> Axes:
    """Draw the lines of all groups, and below the number of transactions."""
    from matplotlib.lines import Line2D

    colours = palette(ax)
    several = len(names) > 1
    moments = date_numbers(_moments(frame))
    handles: list[Any] = []
    for name, (_, marker, colour) in zip(names, line_styles(ax), strict=False):
        group = labels == name
        x, rows = moments[group], frame[group]
        band = colour if several else colours.band
        look: dict[str, Any] = {"color": colour, "clip_on": False}
        symbol = marker if several else "o"
        _draw_group(ax, x, rows, band, 0.15 if several else 0.8, symbol, look)
        if several:
            label = wrap_label(name, _LEGEND_WIDTH)
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, label=label))
    values = frame[["known_fraud_rate", _ESTIMATE, f"{_ESTIMATE}_high"]].to_numpy(dtype=np.float64)
    top = np.nanmax(values) if np.isfinite(values).any() else 0.0
    # Wide intervals of young cohorts are cut, so that the rates remain visible.
    rates = values[:, :2][np.isfinite(values[:, :2])]
    limit = 2.5 * rates.max() if len(rates) and rates.max() > 0 else 0.01
    ax.set_ylim(0, min(1.06 * top, limit, 1.0) or 0.01)
    ax.yaxis.set_major_formatter(percent_formatter())
    if several:
        add_legend_right(ax, handles)
    else:
        _name_last(ax, frame)
    return add_volume_panel(ax, moments, frame["transactions"].to_numpy(np.float64))


def _draw_group(
    ax: Axes,
    x: Floats,
    rows: pd.DataFrame,
    band: str,
    alpha: float,
    symbol: str,
    look: dict[str, Any],
) -> None:
    known, estimate, low, high = (
        rows[name].to_numpy(dtype=np.float64)
        for name in ("known_fraud_rate", _ESTIMATE, f"{_ESTIMATE}_low", f"{_ESTIMATE}_high")
    )
    mature = rows["mature"].to_numpy(dtype=bool)
    recent = ~mature
    # The lines of recent cohorts begin at the last mature one.
    first = int(recent.argmax()) if recent.any() else len(x)
    recent[max(first - 1, 0) : first] = True
    marker = symbol if len(x) <= _MAX_MARKED_POINTS else ""
    ax.fill_between(x, low, high, where=recent, color=band, alpha=alpha, linewidth=0, zorder=1)
    if len(x) == 1:  # a band needs two periods
        ax.vlines(x, low, high, color=look["color"], alpha=0.55)
    ax.plot(x[mature], estimate[mature], "-", marker=marker, markersize=3.5, linewidth=1.6, **look)
    ax.plot(x[recent], estimate[recent], linestyle=DASHES, linewidth=1.6, **look)
    ax.plot(x[recent], known[recent], linestyle=_DOTS, linewidth=1.3, **look)
    if marker:
        own = recent & ~mature
        paper = palette(ax).paper
        ax.plot(x[own], estimate[own], marker, markersize=4, markerfacecolor=paper, **look)
        ax.plot(x[own], known[own], ".", markersize=4, **look)


def _name_last(ax: Axes, frame: pd.DataFrame) -> None:
    """Write the last rates to the right, if they are far enough from each other to be read."""
    last = frame[~frame["mature"]].tail(1)
    if not len(last):
        return
    known, estimate = (float(last[name].iloc[0]) for name in ("known_fraud_rate", _ESTIMATE))
    far = abs(estimate - known) > 0.08 * ax.get_ylim()[1]
    for name, rate in (("estimated", estimate), ("known", known)):
        if np.isfinite(rate) and (far or name == "estimated" or not np.isfinite(estimate)):
            annotate_right(ax, f"{name}: {format_percent(rate)}", rate)


def _moments(frame: pd.DataFrame) -> Any:
    return frame["cohort"].dt.tz_localize(None).to_numpy().astype("datetime64[us]")
