"""Fraud rates of a frame: by group, over time, with intervals, and by value.

The frame's own engine counts; everything after that happens here, once, on the few rows of counts
(:func:`rates_from_counts`), also for counts that PostgreSQL made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import narwhals as nw
import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.periods import Period
from synfin_analytics.metrics.proportions import (
    Interval,
    check_interval,
    proportion_interval,
    ratio,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoLazyFrame
    from numpy.typing import NDArray

COUNTS = ("transactions", "labelled", "frauds")
AMOUNTS = ("amount", "fraud_amount")
#: Columns of a result that are not groups, in their order.
MEASURES = (*COUNTS, "fraud_rate", "low", "high", *AMOUNTS, "fraud_bps")

_CUT = {"minute": "1m", "hour": "1h", "day": "1d", "month": "1mo"}
_WRONG = "__wrong_labels"


@overload
def fraud_rate(
    frame: IntoDataFrameT,
    by: str | Sequence[str] | None = ...,
    every: str | None = ...,
    interval: Interval = ...,
    *,
    level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
) -> IntoDataFrameT: ...
@overload
def fraud_rate(
    frame: IntoLazyFrame,
    by: str | Sequence[str] | None = ...,
    every: str | None = ...,
    interval: Interval = ...,
    *,
    level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
) -> IntoDataFrame: ...
def fraud_rate(
    frame: Any,
    by: str | Sequence[str] | None = None,
    every: str | None = None,
    interval: Interval = "wilson",
    *,
    level: float = 0.95,
    timestamp: str = "timestamp",
    amount: str | None = "amount",
    label: str = "is_fraud",
) -> Any:
    """Fraud rate of transactions, with its interval: overall, by group, over time, or both.

    Parameters
    ----------
    frame
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow or DuckDB. A lazy engine
        counts for itself; only the counts leave it.
    by
        Column or columns to group by. NULL is a group of its own.
    every
        Length of the periods to cut time into: a whole number and m, h, d, w (from Monday), mo, q
        or y, in UTC. A timestamp without a zone is read as UTC.
    interval
        Interval of the rate: ``"wilson"``, ``"jeffreys"`` or ``"exact"``, see
        :func:`proportion_interval`.
    level
        Its confidence.
    timestamp, amount, label
        Names of the columns; ``amount=None`` leaves the values out. The label is true or false,
        1 or 0, or missing: such a transaction counts as not labelled.

    Returns
    -------
    DataFrame
        Of the kind that came in (what a lazy engine collects to), ordered by the groups, NULL last:

        - the groups, and the first moment of the period under the timestamp's name;
        - ``transactions``, and how many of them are ``labelled``;
        - ``frauds``, ``fraud_rate`` = frauds / labelled, its interval from ``low`` to ``high``;
        - ``amount`` of the labelled transactions, the ``fraud_amount`` in it, and ``fraud_bps``,
          basis points of fraud: fraud value per 10,000 of value.

        A rate of which nothing is known (0/0) is NaN. Rows are taken as independent.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message names the nearest.
    ArgumentError
        The label is neither 0 nor 1, the amount is no number, the timestamp no time.

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "channel": ["online", "online", "pos", "pos"],
    ...         "amount": [10.0, 30.0, 20.0, 20.0],
    ...         "is_fraud": [True, False, False, None],
    ...     }
    ... )
    >>> result = fraud_rate(transactions, by="channel")
    >>> result.select("channel", "transactions", "labelled", "frauds", "fraud_rate").rows()
    [('online', 2, 2, 1, 0.5), ('pos', 2, 1, 0, 0.0)]
    """
    check_interval(interval, level)
    try:
        narwhal = nw.from_native(frame)
    except TypeError:
        raise ArgumentError(
            "fraud_rate takes a DataFrame of pandas, polars, pyarrow or DuckDB; "
            f"got {type(frame).__name__}."
        ) from None
    period = None if every is None else Period.parse(every)
    keys = group_names(by, None if period is None else timestamp)
    schema = narwhal.collect_schema()
    for name in (*keys, label, *([] if amount is None else [amount])):
        if name not in schema:
            raise NotFoundError("column", name, schema.names(), where="the frame")
    counts = _count(narwhal, keys, period, timestamp, amount, label)
    return rates_from_counts(
        counts, keys, period=period, timestamp=timestamp, interval=interval, level=level
    )


def group_names(by: str | Sequence[str] | None, timestamp: str | None) -> list[str]:
    """Columns to group by, in the order of the result; ``timestamp`` is the one that is cut."""
    names = [] if by is None else [by] if isinstance(by, str) else list(by)
    if timestamp is not None:
        names.append(timestamp)
    for name in names:
        if not isinstance(name, str):
            raise ArgumentError(f"by names columns by texts; got {type(name).__name__}.")
        if name in MEASURES:
            raise ArgumentError(
                f"The result has a measure called {name!r}: rename the group column."
            )
        if names.count(name) > 1:
            raise ArgumentError(f"{name!r} stands twice among the groups.")
    return names


def rates_from_counts(
    counts: nw.DataFrame[Any],
    keys: Sequence[str],
    *,
    period: Period | None = None,
    timestamp: str = "timestamp",
    interval: Interval = "wilson",
    level: float = 0.95,
) -> Any:
    """Put rates and intervals beside counts: the arithmetic of every engine.

    Parameters
    ----------
    counts
        A row for each group: ``transactions``, ``labelled``, ``frauds`` and, where values are
        wanted, ``amount`` and ``fraud_amount``. Timestamps are cut to the unit of ``period``.
    keys
        The group columns.
    period, timestamp
        Periods to put together, and the column in which they begin.
    interval, level
        See :func:`proportion_interval`.
    """
    measures = [name for name in (*COUNTS, *AMOUNTS) if name in counts.columns]
    if period is not None:
        starts = period.start(_utc(counts[timestamp]))
        counts = (
            counts.with_columns(
                nw.new_series(timestamp, starts, backend=counts.implementation)
                .cast(nw.Datetime("us"))
                .dt.replace_time_zone("UTC")
            )
            .group_by(*keys, drop_null_keys=False)
            .agg(*(nw.col(name).sum() for name in measures))
        )
    if keys:
        counts = counts.sort(*keys, nulls_last=True)
        counts = nw.maybe_reset_index(counts)  # that of pandas tells in what order groups came

    of = {name: _numbers(counts[name]) for name in measures}
    of["fraud_rate"] = ratio(of["frauds"], of["labelled"])
    of["low"], of["high"] = proportion_interval(of["frauds"], of["labelled"], interval, level)
    if "amount" in of:
        of["fraud_bps"] = 10_000 * ratio(of["fraud_amount"], of["amount"])
    columns = [
        nw.new_series(
            name,
            of[name].astype(np.int64) if name in COUNTS else of[name],
            nw.Int64 if name in COUNTS else nw.Float64,
            backend=counts.implementation,
        )
        for name in MEASURES
        if name in of
    ]
    return nw.to_native(counts.select(*keys).with_columns(*columns) if keys else _row(columns))


def _row(columns: list[nw.Series[Any]]) -> nw.DataFrame[Any]:
    return columns[0].to_frame().with_columns(*columns[1:])


def _count(
    frame: nw.DataFrame[Any] | nw.LazyFrame[Any],
    keys: list[str],
    period: Period | None,
    timestamp: str,
    amount: str | None,
    label: str,
) -> nw.DataFrame[Any]:
    """Count in the frame's engine; only elementary expressions, which every engine has."""
    values = [label] if amount is None else [label, amount]
    frame = _typed(frame.select(*dict.fromkeys([*keys, *values])), values)
    schema = frame.collect_schema()
    groups = [nw.col(name) for name in keys]
    if period is not None:
        groups[-1] = _cut(schema[timestamp], frame.implementation, timestamp, period)

    marked = _missing_as_null(schema[label], label, "a label: true or false, 1 or 0")
    fraud = marked.fill_null(0)
    measures = {
        "transactions": nw.lit(1, nw.Int64),
        "labelled": (~marked.is_null()).cast(nw.Int64),
        "frauds": (fraud == 1).cast(nw.Int64),
        _WRONG: ((fraud != 0) & (fraud != 1)).cast(nw.Int64),
    }
    if amount is not None:
        value = _missing_as_null(schema[amount], amount, "a number").fill_null(0)
        measures["amount"] = value * (~marked.is_null()).cast(nw.Float64)
        measures["fraud_amount"] = value * (fraud == 1).cast(nw.Float64)

    rows = frame.select(*groups, *(each.alias(name) for name, each in measures.items()))
    sums = [nw.col(name).sum() for name in measures]
    counted = rows.group_by(*keys, drop_null_keys=False).agg(*sums) if keys else rows.select(*sums)
    counts = counted.collect() if isinstance(counted, nw.LazyFrame) else counted

    wrong = int(_numbers(counts[_WRONG]).sum())
    if wrong:
        raise ArgumentError(
            f"Column {label!r} must be a label (true or false, 1 or 0, or missing): "
            f"{wrong:,} rows hold something else."
        )
    if amount is not None and not np.isfinite(_numbers(counts["amount"])).all():
        raise ArgumentError(f"Column {amount!r} holds infinite values, which have no sum.")
    return counts.drop(_WRONG)


def _cut(
    dtype: nw.dtypes.DType, implementation: nw.Implementation, timestamp: str, period: Period
) -> nw.Expr:
    moment = nw.col(timestamp)
    if dtype == nw.Date:
        moment = moment.cast(nw.Datetime("us"))
    elif not isinstance(dtype, nw.Datetime):
        raise ArgumentError(
            f"Column {timestamp!r} must hold timestamps to be cut into periods; it is {dtype}."
        )
    elif dtype.time_zone is not None:
        if dtype.time_zone != "UTC":
            if implementation.is_duckdb():  # keeps one zone for a connection, not for a column
                raise ArgumentError(
                    "Periods are counted in UTC: run SET TimeZone = 'UTC' on DuckDB's connection "
                    f"(it is {dtype.time_zone!r})."
                )
            moment = moment.dt.convert_time_zone("UTC")
        moment = moment.dt.replace_time_zone(None)
    return moment.dt.truncate(_CUT[period.unit]).alias(timestamp)


def _missing_as_null(dtype: nw.dtypes.DType, name: str, meaning: str) -> nw.Expr:
    """Column as a double, NaN as NULL, so that it is missing for every engine alike."""
    column = nw.col(name)
    if dtype == nw.Boolean:
        return column.cast(nw.Int64).cast(nw.Float64)
    if dtype == nw.Unknown:  # the type of a column in which nothing stands
        return column.cast(nw.Float64)
    if not dtype.is_numeric():
        raise ArgumentError(f"Column {name!r} must be {meaning}; it is {dtype}.")
    return column.cast(nw.Float64).fill_nan(None)


def _typed(
    frame: nw.DataFrame[Any] | nw.LazyFrame[Any], values: Sequence[str]
) -> nw.DataFrame[Any] | nw.LazyFrame[Any]:
    """Give the ``object`` columns of pandas the type of what is in them, as of Decimal.

    Group columns of texts stay as they are: their type is part of the result.
    """
    if not frame.implementation.is_pandas():
        return frame
    import pandas as pd
    import pyarrow as pa

    native = frame.to_native().copy(deep=False)
    for name, dtype in frame.collect_schema().items():
        if native[name].dtype != object or (dtype == nw.String and name not in values):
            continue
        try:
            typed = pa.array(native[name], from_pandas=True)
        except pa.ArrowException:
            raise ArgumentError(
                f"Column {name!r} mixes values of several types: give it one."
            ) from None
        native[name] = pd.Series(pd.arrays.ArrowExtensionArray(typed), index=native.index)
    typed_frame: nw.DataFrame[Any] = nw.from_native(native, eager_only=True)
    return typed_frame


def _utc(moments: nw.Series[Any]) -> NDArray[np.datetime64]:
    """Moments without their zone, which is UTC where there is one."""
    if getattr(moments.dtype, "time_zone", None) is not None:
        moments = moments.dt.replace_time_zone(None)
    return moments.to_numpy().astype("datetime64[us]")


def _numbers(values: nw.Series[Any]) -> NDArray[np.float64]:
    """Measures as doubles; the sum of no rows is 0 even where an engine calls it NULL."""
    return values.cast(nw.Float64).fill_null(0).to_numpy().astype(np.float64)
