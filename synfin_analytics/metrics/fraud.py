"""Fraud rates of a frame: by group, over time, with intervals, and by value.

The frame's own engine counts; everything after that happens here, once, on the few rows of counts
(:func:`rates_from_counts`), also for counts that PostgreSQL made.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, overload

import narwhals as nw
import numpy as np

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.counting import add_up, missing_as_null, numbers, typed
from synfin_analytics.metrics.groups import Groups
from synfin_analytics.metrics.proportions import (
    Interval,
    check_interval,
    proportion_interval,
    ratio,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoLazyFrame

    from synfin_analytics.metrics.counting import Frame

COUNTS = ("transactions", "labelled", "frauds")
AMOUNTS = ("amount", "fraud_amount")
#: Columns of a result that are not groups, in their order.
MEASURES = (*COUNTS, "fraud_rate", "low", "high", *AMOUNTS, "fraud_bps")

_WRONG = "__wrong_labels"


@overload
def fraud_rate(
    frame: IntoDataFrameT,
    by: str | Sequence[str] | None = ...,
    every: str | None = ...,
    interval: Interval = ...,
    *,
    bins: Mapping[str, Sequence[float]] | None = ...,
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
    bins: Mapping[str, Sequence[float]] | None = ...,
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
    bins: Mapping[str, Sequence[float]] | None = None,
    level: float = 0.95,
    timestamp: str = "timestamp",
    amount: str | None = "amount",
    label: str = "is_fraud",
) -> Any:
    """Fraud rate of transactions, with its interval: overall, by group, over time, or both.

    Parameters
    ----------
    frame
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
        A lazy or distributed engine counts for itself; only the counts leave it.
    by
        Column or columns to group by. NULL is a group of its own.
    every
        Length of the periods to cut time into: a whole number and m, h, d, w (from Monday), mo, q
        or y, in UTC. A timestamp without a zone is read as UTC.
    interval
        Interval of the rate: ``"wilson"``, ``"jeffreys"`` or ``"exact"``, see
        :func:`proportion_interval`.
    bins
        Columns of numbers to group by bands, with the edges between them, as
        ``{"amount": [20, 100, 500]}``. A band holds its lower edge and not its upper.
    level
        Its confidence.
    timestamp, amount, label
        Names of the columns; ``amount=None`` leaves the values out. The label is true or false,
        1 or 0, or missing: such a transaction counts as not labelled.

    Returns
    -------
    DataFrame
        Of the kind that came in (polars of a LazyFrame, pyarrow of DuckDB, pandas of Dask and
        PySpark), ordered by the groups, NULL last:

        - the columns of ``by``; the edges of each band, as ``amount_from`` (the first is -inf) and
          ``amount_to`` (the last is inf), both NULL for what is NULL or NaN; the first moment of
          the period, under the timestamp's name;
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
        The label is neither 0 nor 1, the amount is no number, the timestamp no time; edges do not
        rise.

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
    >>> bands = fraud_rate(transactions, bins={"amount": [20]})
    >>> bands.select("amount_from", "amount_to", "transactions", "frauds").rows()
    [(-inf, 20.0, 1, 1), (20.0, inf, 3, 0)]
    """
    check_interval(interval, level)
    groups = Groups.parse(by, bins, every, timestamp, measures=MEASURES)
    values = [label] if amount is None else [label, amount]
    rows_of = functools.partial(_measured, groups=groups, label=label, amount=amount)
    counts = add_up(frame, [*groups.needed, *values], groups.keys, rows_of, caller="fraud_rate")
    _refuse(counts, label, amount)
    return rates_from_counts(counts.drop(_WRONG), groups, interval=interval, level=level)


def rates_from_counts(
    counts: nw.DataFrame[Any],
    groups: Groups,
    *,
    interval: Interval = "wilson",
    level: float = 0.95,
) -> Any:
    """Put rates and intervals beside counts: the arithmetic of every engine.

    Parameters
    ----------
    counts
        A row for each group: :attr:`Groups.keys`, ``transactions``, ``labelled``, ``frauds`` and,
        where values are wanted, ``amount`` and ``fraud_amount``.
    groups
        What the counts are grouped by.
    interval, level
        See :func:`proportion_interval`.
    """
    counts = groups.finish(counts)
    of = {name: numbers(counts[name]) for name in (*COUNTS, *AMOUNTS) if name in counts.columns}
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
    if not groups.names:
        return nw.to_native(columns[0].to_frame().with_columns(*columns[1:]))
    return nw.to_native(counts.select(*groups.names).with_columns(*columns))


def _measured(frame: Frame, *, groups: Groups, label: str, amount: str | None) -> Frame:
    """Give each row its groups and what it counts for."""
    values = [label, amount, *(band.column for band in groups.bands)]
    frame = typed(frame, [name for name in values if name is not None])
    schema = frame.collect_schema()
    truth = missing_as_null(schema[label], label, "a label: true or false, 1 or 0")
    labelled, fraud = ~truth.is_null(), truth.fill_null(0)
    measures = {
        "transactions": nw.lit(1, nw.Int64),
        "labelled": labelled.cast(nw.Int64),
        "frauds": (fraud == 1).cast(nw.Int64),
        _WRONG: ((fraud != 0) & (fraud != 1)).cast(nw.Int64),
    }
    if amount is not None:
        value = missing_as_null(schema[amount], amount, "a number").fill_null(0)
        measures["amount"] = value * labelled.cast(nw.Float64)
        measures["fraud_amount"] = value * (fraud == 1).cast(nw.Float64)
    counted = (each.alias(name) for name, each in measures.items())
    return frame.select(*groups.expressions(frame), *counted)


def _refuse(counts: nw.DataFrame[Any], label: str, amount: str | None) -> None:
    wrong = int(numbers(counts[_WRONG]).sum())
    if wrong:
        raise ArgumentError(
            f"Column {label!r} must be a label (true or false, 1 or 0, or missing): "
            f"{wrong:,} rows hold something else."
        )
    if amount is not None and not np.isfinite(numbers(counts["amount"])).all():
        raise ArgumentError(f"Column {amount!r} holds infinite values, which have no sum.")
