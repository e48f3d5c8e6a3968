"""Counts and means over windows of one's own choice, and those of the Fraud Detection Handbook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.frequency import Period, read_delay
from synfin_analytics._core.rolling import Amounts, Runs
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features._calendar import SATURDAY, hour_of, weekday_of
from synfin_analytics.features.payments import codes_of
from synfin_analytics.io.coerce import coerce_columns, collect_columns, make_frame_like

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    import polars as pl
    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoLazyFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.rolling import Closed

HANDBOOK = ("1d", "7d", "30d")
_LAST_HOUR_OF_NIGHT = 6


@overload
def window_features(
    df: IntoDataFrameT,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
) -> IntoDataFrameT: ...
@overload
def window_features(
    df: IntoLazyFrame,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
) -> IntoDataFrame: ...
def window_features(
    df: Any,
    by: str = "customer_id",
    value: str = "amount",
    windows: str | Sequence[str] = HANDBOOK,
    *,
    lag: str | dt.timedelta = "0d",
    closed: Closed = "right",
    include_current: bool = True,
) -> Any:
    """Count the rows of the same customer, merchant or card in windows of time; take means.

    Rows of one moment count in the order of the frame.

    Parameters
    ----------
    df
        Transactions: of pandas, polars (eager or lazy), pyarrow, DuckDB or Dask, in any order.
    by
        Column whose equal values belong together.
    value
        Column to take the mean of: ``amount``, or a truth value as ``is_fraud``, whose mean is a
        share. Missing values are left out of it.
    windows, lag
        Lengths of the windows (or of one), and how long before each row they end: whole numbers and
        m, h, d or w.
    closed
        Which ends belong to a window: ``"right"`` is (t - lag - length, t - lag]; ``"left"``,
        ``"both"``, ``"neither"``.
    include_current
        Whether a window that is closed at t holds the row at t itself.

    Returns
    -------
    DataFrame
        ``count_1d``, ``mean_1d`` and so on for each row, in the order of ``df`` and of
        their kind. A mean over nothing is NULL; so is everything where ``by`` is missing.

    Raises
    ------
    NotFoundError
        A column is not there; the message names the nearest.
    ArgumentError
        A moment is missing; a window is no length of time; the value cannot be added up exactly.

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "customer_id": ["C1", "C1", "C2"],
    ...         "timestamp": ["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-01T11:00"],
    ...         "amount": [10.0, 30.0, 50.0],
    ...     }
    ... )
    >>> window_features(transactions, windows=["1h"]).rows()
    [(1, 10.0), (2, 20.0), (1, 50.0)]
    """
    check_column_name(by, "by")
    check_column_name(value, "value")
    rows = collect_columns(df, (by, value, "timestamp"), (), "transactions", "window_features")
    frame = coerce_columns(rows, Transaction, (by, value, "timestamp"))
    several = isinstance(windows, Iterable) and not isinstance(windows, str)
    names: list[Any] = list(windows) if several else [windows]
    lengths = {name: Period.fixed(name, "windows").duration for name in names}
    wait = read_delay(lag, "lag")
    runs, known = _runs(frame, by)
    whole, unit = _whole(frame[value])
    there = frame[value].is_not_null().to_numpy()
    found: dict[str, pa.Array] = {}
    for name, length in lengths.items():
        window = runs.window(length, lag=wait, closed=closed, include_current=include_current)
        mean = ratio(window.sum(whole) / unit, window.sum(there))
        found[f"count_{name}"] = pa.array(window.count(), mask=~known)
        found[f"mean_{name}"] = pa.array(mean, mask=~known | np.isnan(mean))
    return make_frame_like(rows, found)


def handbook_features(
    df: Any, label_delay: str | dt.timedelta = "7d", *, terminal: str = "merchant_id"
) -> Any:
    """Compute the 14 features of the *Fraud Detection Handbook* (Le Borgne et al., 2022).

    Rows of one moment count in the order of the frame, and moments are taken as they stand.

    Parameters
    ----------
    df
        Transactions, as for :func:`window_features`, with ``customer_id``, ``timestamp``,
        ``amount``, ``is_fraud`` and the column of the terminal.
    label_delay
        How long labels take: as ``lag`` of :func:`window_features`.
    terminal
        Column of the terminal.

    Returns
    -------
    DataFrame
        In the order of ``transactions`` and of their kind: ``weekend``; ``night`` (hour <= 6);
        for windows of 1, 7 and 30 days the ``customer_count`` and ``customer_mean_amount`` over
        (t - w, t], the row itself included, and the ``terminal_count`` and ``terminal_risk``, the
        share of frauds or 0, over (t - label_delay - w, t - label_delay].
    """
    names = (
        "customer_id",
        check_column_name(terminal, "terminal"),
        "timestamp",
        "amount",
        "is_fraud",
    )
    rows = collect_columns(df, names, (), "transactions", "handbook_features")
    frame = coerce_columns(rows, Transaction, names)
    at = frame["timestamp"].to_physical().to_numpy()
    wait = read_delay(label_delay, "label_delay")
    cents, unit = _whole(frame["amount"])
    fraud, _ = _whole(frame["is_fraud"])
    (customers, _), (terminals, _) = _runs(frame, "customer_id"), _runs(frame, terminal)
    found: dict[str, pa.Array] = {
        "weekend": pa.array(weekday_of(at) >= SATURDAY),
        "night": pa.array(hour_of(at) <= _LAST_HOUR_OF_NIGHT),
    }
    for name in HANDBOOK:
        length = Period.fixed(name, "windows").duration
        own, seen = customers.window(length), terminals.window(length, lag=wait)
        count = seen.count()
        found[f"customer_count_{name}"] = pa.array(own.count())
        found[f"customer_mean_amount_{name}"] = pa.array(own.sum(cents) / unit / own.count())
        found[f"terminal_count_{name}"] = pa.array(count)
        found[f"terminal_risk_{name}"] = pa.array(seen.sum(fraud) / np.maximum(count, 1))
    return make_frame_like(rows, found)


def _runs(frame: pl.DataFrame, by: str) -> tuple[Runs, NDArray[np.bool_]]:
    """Rows by key, and which of them have one."""
    codes = codes_of(frame[by])
    return Runs(codes, frame["timestamp"].to_physical().to_numpy()), codes >= 0


def _whole(values: pl.Series) -> tuple[NDArray[np.int64], int]:
    """Values in whole numbers of a unit, 0 where they are missing, and how many units make 1."""
    import polars as pl

    column = spec_of(Transaction).columns[values.name]
    if column.kind not in ("decimal", "boolean", "integer"):
        raise ArgumentError(
            "`value` must name an amount, a whole number or a truth value, which add up exactly; "
            f"got {values.name!r}."
        )
    if values.dtype == pl.Float64:  # an amount, which may be finer than cents
        amounts = Amounts.of(values.fill_null(0).to_numpy())
        return amounts.units, amounts.per
    unit = 10**column.scale
    if column.kind == "decimal":
        values = (values.cast(pl.Float64) * unit).round()
    return values.cast(pl.Int64).fill_null(0).to_numpy(), unit
