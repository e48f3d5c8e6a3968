"""Counts and means over windows of your choice, and those of the Fraud Detection Handbook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, refuse_spelling
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import Period, parse_duration
from synfin_analytics._core.grouped import Amounts, GroupedRolling, factorize
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features._compute import SATURDAY, day_of_week, hour_of_day
from synfin_analytics.io.coerce import coerce_columns, collect_columns, make_frame_like

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoFrame, IntoLazyFrame

    from synfin_analytics._core.grouped import Closed
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Integers, Mask

_HANDBOOK_WINDOWS = ("1d", "7d", "30d")
_LAST_HOUR_OF_NIGHT = 6


@overload
def window_features(
    df: pl.LazyFrame | TransactionSource,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
) -> pl.DataFrame: ...
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
    df: IntoFrame | TransactionSource,
    by: str = "customer_id",
    value: str = "amount",
    windows: str | Sequence[str] = _HANDBOOK_WINDOWS,
    *,
    lag: str | dt.timedelta = "0d",
    closed: Closed = "right",
    include_current: bool = True,
) -> Any:
    """Count rows and average a value over time windows, by customer, merchant or card.

    Rows with the same timestamp count in the order of the frame: each sees only those before it,
    unlike in the rolling functions of pandas and polars.

    Parameters
    ----------
    df
        Transactions: pandas, polars (eager or lazy), pyarrow, DuckDB or Dask, in any order.
    by
        Column to group by.
    value
        Column to average: ``amount``, an integer, or a boolean such as ``is_fraud``, whose mean is
        a share. Missing values are ignored.
    windows
        Length of the windows, or of one: a number and a unit (m, h, d or w), as ``"7d"``.
    lag
        How long before each row the windows end: as ``windows``, or a timedelta.
    closed
        Which ends belong to a window: ``"right"`` is (t - lag - length, t - lag]; ``"left"``,
        ``"both"`` or ``"neither"``.
    include_current
        Whether a window that is closed at t contains the row at t itself.

    Returns
    -------
    DataFrame
        ``count_1d``, ``mean_1d`` and so on for each row, in the order of ``df`` and of the same
        kind. A mean over no rows is NULL; so is everything where ``by`` is missing.

    Raises
    ------
    NotFoundError
        A column is missing; the message suggests the closest name.
    ArgumentError
        A timestamp is missing, a window is not a duration, or the value cannot be summed exactly.

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
    names = (by, value, "timestamp")
    rows = collect_columns(df, names, (), "transactions", "window_features")
    frame = coerce_columns(rows, Transaction, names)
    several = isinstance(windows, Iterable) and not isinstance(windows, str)
    labels: list[Any] = list(windows) if several else [windows]
    lengths = {label: Period.parse_fixed(label, "windows").duration for label in labels}
    window_lag = parse_duration(lag, "lag")
    rolling, has_key = _rolling(frame, by)
    integers, units_per_one = _as_integers(frame[value])
    present = frame[value].is_not_null().to_numpy()
    columns: dict[str, pa.Array] = {}
    for label, length in lengths.items():
        window = rolling.window(
            length, lag=window_lag, closed=closed, include_current=include_current
        )
        mean = ratio(window.sum(integers) / units_per_one, window.sum(present))
        columns[f"count_{label}"] = pa.array(window.count(), mask=~has_key)
        columns[f"mean_{label}"] = pa.array(mean, mask=~has_key | np.isnan(mean))
    return make_frame_like(rows, columns)


@overload
def handbook_features(
    df: pl.LazyFrame | TransactionSource,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
) -> pl.DataFrame: ...
@overload
def handbook_features(
    df: IntoDataFrameT, *, label_delay: str | dt.timedelta = ..., terminal: str = ...
) -> IntoDataFrameT: ...
@overload
def handbook_features(
    df: IntoLazyFrame, *, label_delay: str | dt.timedelta = ..., terminal: str = ...
) -> IntoDataFrame: ...
@refuse_spelling(delay="label_delay")
def handbook_features(
    df: IntoFrame | TransactionSource,
    *,
    label_delay: str | dt.timedelta = "7d",
    terminal: str = "merchant_id",
) -> Any:
    """Compute the 14 features of the *Fraud Detection Handbook*.

    Rows with the same timestamp count in the order of the frame.

    Parameters
    ----------
    df
        Transactions, as for :func:`window_features`, with ``customer_id``, ``timestamp``,
        ``amount``, ``is_fraud`` and the column of the terminal.
    label_delay
        How long labels take: a number and a unit (m, h, d or w), or a timedelta.
    terminal
        Column of the terminal.

    Returns
    -------
    DataFrame
        In the order of ``df`` and of the same kind: ``weekend``; ``night`` (hour <= 6); for windows
        w of 1, 7 and 30 days the ``customer_count`` and ``customer_mean_amount`` over (t - w, t],
        which includes the row itself, and the ``terminal_count`` and ``terminal_risk`` (the share
        of frauds, 0 over no rows) over (t - label_delay - w, t - label_delay].

    Raises
    ------
    NotFoundError
        A column is missing; the message suggests the closest name.
    ArgumentError
        A timestamp is missing, or ``label_delay`` is not a duration.

    References
    ----------
    Y.-A. Le Borgne, W. Siblini, B. Lebichot, G. Bontempi, *Reproducible Machine Learning for Credit
    Card Fraud Detection - Practical Handbook*, 2022, section 3.3, "Baseline feature
    transformation".

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "customer_id": ["C1", "C1", "C2"],
    ...         "merchant_id": "M1",
    ...         "timestamp": ["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-09T10:00"],
    ...         "amount": [10.0, 30.0, 50.0],
    ...         "is_fraud": [True, False, False],
    ...     }
    ... )
    >>> features = handbook_features(transactions)
    >>> features.select("customer_count_1d", "terminal_count_7d", "terminal_risk_7d").rows()
    [(1, 0, 0.0), (2, 0, 0.0), (1, 2, 0.5)]
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
    timestamps = frame["timestamp"].to_physical().to_numpy()
    delay = parse_duration(label_delay, "label_delay")
    units, units_per_one = _as_integers(frame["amount"])
    is_fraud, _ = _as_integers(frame["is_fraud"])
    (customers, _), (terminals, _) = _rolling(frame, "customer_id"), _rolling(frame, terminal)
    columns: dict[str, pa.Array] = {
        "weekend": pa.array(day_of_week(timestamps) >= SATURDAY),
        "night": pa.array(hour_of_day(timestamps) <= _LAST_HOUR_OF_NIGHT),
    }
    for label in _HANDBOOK_WINDOWS:
        length = Period.parse_fixed(label, "windows").duration
        own, seen = customers.window(length), terminals.window(length, lag=delay)
        count = seen.count()
        columns[f"customer_count_{label}"] = pa.array(own.count())
        mean_amount = own.sum(units) / units_per_one / own.count()
        columns[f"customer_mean_amount_{label}"] = pa.array(mean_amount)
        columns[f"terminal_count_{label}"] = pa.array(count)
        columns[f"terminal_risk_{label}"] = pa.array(seen.sum(is_fraud) / np.maximum(count, 1))
    return make_frame_like(rows, columns)


def _rolling(frame: pl.DataFrame, by: str) -> tuple[GroupedRolling, Mask]:
    """Return the rows grouped by a column, and which of them have a key."""
    codes = factorize(frame[by])
    return GroupedRolling(codes, frame["timestamp"].to_physical().to_numpy()), codes >= 0


def _as_integers(values: pl.Series) -> tuple[Integers, int]:
    """Return values as integers of a unit, 0 where missing, and how many units make 1."""
    spec = spec_of(Transaction).columns[values.name]
    if spec.kind not in ("decimal", "boolean", "integer"):
        raise ArgumentError(
            "`value` must be a column of amounts, integers or booleans, which add up exactly; "
            f"got {values.name!r}."
        )
    if values.dtype == pl.Float64:  # an amount, which may be finer than cents
        amounts = Amounts.from_floats(values.fill_null(0).to_numpy())
        return amounts.units, amounts.units_per_one
    units_per_one = 10**spec.scale
    if spec.kind == "decimal":
        values = (values.cast(pl.Float64) * units_per_one).round()
    return values.cast(pl.Int64).fill_null(0).to_numpy(), units_per_one
