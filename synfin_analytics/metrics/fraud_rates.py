"""Fraud rates: by group, over time, by value, with intervals.

The engine of the frame aggregates counts. Everything after that is computed here, once, from the
few rows of counts (:func:`rates_from_counts`), also from counts of PostgreSQL.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import (
    check_n_invalid_labels,
    coerce_object_columns,
    column_names,
    is_invalid_label,
    label_to_float,
    rename_for_engine,
    to_float,
    to_numpy_float,
)
from synfin_analytics.metrics._aggregate import Groups, aggregate_counts, check_amounts
from synfin_analytics.metrics._clusters import (
    AUTO,
    MIN_RELIABLE,
    SQUARES,
    Clusters,
    effective_sizes,
    sum_squares,
)
from synfin_analytics.metrics._known import KnownLabels
from synfin_analytics.metrics.proportions import (
    IntervalMethod,
    check_interval,
    proportion_interval,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from narwhals.typing import IntoDataFrame, IntoLazyFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.metrics.proportions import Floats

EagerT = TypeVar("EagerT", bound="IntoDataFrame")

COUNTS = ("labelled", "frauds", "transactions")
#: Columns of a result that are not groups, in their order. A table that is too wide for the screen
#: is shown without its middle, so counts come first and the rate with its interval last.
MEASURES = (
    "labelled",
    "frauds",
    "reliable",
    "transactions",
    "amount",
    "fraud_amount",
    "fraud_bps",
    "fraud_bps_low",
    "fraud_bps_high",
    "fraud_clusters",
    "n_effective",
    "fraud_rate",
    "fraud_rate_low",
    "fraud_rate_high",
)

_TYPES = dict.fromkeys((*COUNTS, "fraud_clusters"), nw.Int64) | {"reliable": nw.Boolean}
_NUMPY_TYPES = dict.fromkeys((*COUNTS, "fraud_clusters"), np.int64)
_INVALID_LABEL, _INFINITE = "__invalid_label", "__infinite_amount"


class DuckDBRelation(Protocol):
    """A relation of DuckDB, for type checkers."""

    def fetchnumpy(self) -> Any:
        """Return its rows as NumPy arrays."""


@overload
def fraud_rate(
    df: pl.LazyFrame | TransactionSource,
    by: str | Sequence[str] | None = ...,
    *,
    every: str | None = ...,
    bins: Mapping[str, Sequence[float]] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
    cluster: str | Sequence[str] | None = ...,
    as_of: Bound = ...,
    label_available_at: str = ...,
) -> pl.DataFrame: ...
@overload
def fraud_rate(
    df: DuckDBRelation,
    by: str | Sequence[str] | None = ...,
    *,
    every: str | None = ...,
    bins: Mapping[str, Sequence[float]] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
    cluster: str | Sequence[str] | None = ...,
    as_of: Bound = ...,
    label_available_at: str = ...,
) -> pa.Table: ...
@overload
def fraud_rate(
    df: EagerT,
    by: str | Sequence[str] | None = ...,
    *,
    every: str | None = ...,
    bins: Mapping[str, Sequence[float]] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
    cluster: str | Sequence[str] | None = ...,
    as_of: Bound = ...,
    label_available_at: str = ...,
) -> EagerT: ...
@overload
def fraud_rate(
    df: IntoLazyFrame,
    by: str | Sequence[str] | None = ...,
    *,
    every: str | None = ...,
    bins: Mapping[str, Sequence[float]] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
    cluster: str | Sequence[str] | None = ...,
    as_of: Bound = ...,
    label_available_at: str = ...,
) -> pd.DataFrame: ...
def fraud_rate(
    df: Any,
    by: str | Sequence[str] | None = None,
    *,
    every: str | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
    timestamp: str = "timestamp",
    amount: str | None = "amount",
    label: str = "is_fraud",
    cluster: str | Sequence[str] | None = AUTO,
    as_of: Bound = None,
    label_available_at: str = "label_available_at",
) -> Any:
    """Compute the fraud rate of transactions with its interval: overall, by group, over time.

    Parameters
    ----------
    df
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
        A lazy or distributed engine counts for itself; only the counts leave it.
    by
        Column or columns to group by. NULL is a group of its own.
    every
        Length of the periods to group by: a whole number and m, h, d, w (from Monday), mo, q or y,
        in UTC. A timestamp without a time zone is taken as UTC.
    bins
        Numeric columns to group into bins, with the edges between them, such as
        ``{"amount": [20, 100, 500]}``. A bin includes its lower edge and excludes its upper one.
    interval_method
        Interval of the rate: ``"wilson"``, ``"jeffreys"`` or ``"exact"``, see
        :func:`proportion_interval`. It is computed for the effective number of transactions.
    confidence_level
        Confidence of the interval.
    timestamp, amount, label
        Column names; ``amount=None`` leaves the values out. The label is true or false, 1 or 0, or
        missing: such a transaction counts as unlabelled. A missing amount counts as 0, an infinite
        one raises an error.
    cluster
        Column, or two columns, of what makes transactions dependent. By default customers and
        merchants: those of ``customer_id`` and ``merchant_id`` that are in the frame and are not
        groups. None treats all transactions as independent, which they rarely are: the interval is
        then much too narrow.
    as_of
        Compute the rate that was known at this date (its midnight) or time, in UTC by default.
        Transactions from then on, or without a timestamp, are left out. A label that became known
        later does not count, whether fraud or genuine: its transaction is unlabelled, in
        ``transactions`` but not in ``labelled``. By default, every label counts.
    label_available_at
        Column of the times at which labels became known, read only with ``as_of``. A missing time,
        or one before the transaction, means: known immediately.

    Returns
    -------
    DataFrame
        Of the same kind as ``df`` (polars for a LazyFrame, pyarrow for DuckDB, pandas for Dask and
        PySpark), sorted by the groups, NULL last:

        - the columns of ``by``; the edges of each bin, such as ``amount_from`` (the first is -inf)
          and ``amount_to`` (the last is inf), both NULL for NULL or NaN; the first moment of the
          period in UTC, under the name of the timestamp;
        - the number of ``labelled`` transactions, of ``frauds`` among them, and of all
          ``transactions``; ``reliable``: whether at least 10 clusters have a fraud. If not, the
          interval is rough;
        - ``amount`` of the labelled transactions, the ``fraud_amount`` in it, and ``fraud_bps``,
          basis points of fraud: fraud value per 10,000 of value, with its interval from
          ``fraud_bps_low`` to ``fraud_bps_high``;
        - ``fraud_clusters``: the number of clusters with a fraud (customers, by default);
          ``n_effective``: the number of independent transactions with the same information;
        - ``fraud_rate`` = frauds / labelled, and its interval, ``fraud_rate_low`` to
          ``fraud_rate_high``.

        A rate of no transactions (0/0) is NaN. NaN in a column of ``by`` is NULL in every engine.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        A label is neither 0 nor 1, an amount is not a finite number, a timestamp not a time; edges
        do not rise; ``cluster`` has more than two columns, or one that is a group; ``as_of`` is no
        date or time, or the frame has no ``label_available_at``.

    Notes
    -----
    The variance of a rate is estimated from the frauds of each cluster; two ways of clustering are
    combined as in Cameron, Gelbach and Miller (2011). It gives the design effect (Rao and Scott,
    1984), and n divided by it the effective number of transactions (Korn and Graubard, 1998). With
    few clusters both are corrected. docs/explanation/intervals.md has the formulas, and how often
    the intervals covered the true rate in simulations.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "channel": ["online", "online", "pos", "pos"],
    ...         "amount": [10.0, 30.0, 20.0, 20.0],
    ...         "is_fraud": [True, False, False, None],
    ...     }
    ... )
    >>> rates = fraud_rate(df, by="channel")
    >>> rates.select("channel", "transactions", "labelled", "frauds", "fraud_rate").rows()
    [('online', 2, 2, 1, 0.5), ('pos', 2, 1, 0, 0.0)]
    >>> bins = fraud_rate(df, bins={"amount": [20]})
    >>> bins.select("amount_from", "amount_to", "transactions", "frauds").rows()
    [(-inf, 20.0, 1, 1), (20.0, inf, 3, 0)]

    Transactions of one customer count less than independent ones:

    >>> with_customers = df.with_columns(customer_id=pl.Series(["a", "a", "b", "c"]))
    >>> fraud_rate(with_customers)["n_effective"].round(1).to_list()
    [1.8]

    The fraud was reported on 5 March, so that it was not known on the 3rd:

    >>> from datetime import date
    >>> dated = df.with_columns(
    ...     timestamp=date(2026, 3, 1),
    ...     label_available_at=pl.Series([date(2026, 3, 5), None, None, None]),
    ... )
    >>> known = fraud_rate(dated, as_of="2026-03-03")
    >>> known.select("transactions", "labelled", "frauds", "fraud_rate").rows()
    [(4, 2, 0, 0.0)]
    """
    check_interval(interval_method, confidence_level)
    check_column_name(timestamp, "timestamp")
    check_column_name(label, "label")
    if amount is not None:
        check_column_name(amount, "amount")
    groups = Groups.parse(by, bins, every, timestamp, measures=MEASURES)
    available = column_names(df, "fraud_rate")
    clusters = Clusters.parse(cluster, groups.source_columns, available)
    values = [label] if amount is None else [label, amount]
    columns = [*groups.source_columns, *values, *clusters.columns]
    known = KnownLabels.parse(as_of, df, label, timestamp, label_available_at, "fraud_rate")
    if known is not None:
        columns += known.columns
    df, names = rename_for_engine(df, columns, "fraud_rate")
    renamed = groups.rename(names)
    counts = aggregate_counts(
        df,
        [names[name] for name in columns],
        [*renamed.keys, *clusters.keys],
        functools.partial(
            _select_counts,
            groups=renamed,
            clusters=Clusters(tuple(names[name] for name in clusters.columns)),
            label=names[label],
            amount=None if amount is None else names[amount],
            known=None if known is None else known.rename(names),
        ),
        caller="fraud_rate",
        then=functools.partial(sum_squares, keys=renamed.keys, clusters=clusters)
        if clusters.columns
        else None,
    )
    counts = counts.rename(dict(zip(renamed.keys, groups.keys, strict=True)))
    check_n_invalid_labels(int(to_numpy_float(counts[_INVALID_LABEL]).sum()), label)
    if amount is not None:
        infinite = int(to_numpy_float(counts[_INFINITE]).sum())
        check_amounts(amount, infinite, to_numpy_float(counts["amount"]))
    return rates_from_counts(
        counts, groups, clusters, interval_method=interval_method, confidence_level=confidence_level
    )


def rates_from_counts(
    counts: nw.DataFrame[Any],
    groups: Groups,
    clusters: Clusters,
    *,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
) -> Any:
    """Compute rates and intervals from counts: the arithmetic of every engine.

    Parameters
    ----------
    counts
        A row for each group: :attr:`Groups.keys`, ``transactions``, ``labelled``, ``frauds``; with
        values also ``amount``, ``fraud_amount`` and the sums of their squares; and the sums over
        clusters, see :mod:`synfin_analytics.metrics._clusters`.
    groups, clusters
        The groups of the counts, and the ways of clustering.
    interval_method, confidence_level
        See :func:`proportion_interval`.
    """
    counts = groups.finish(counts)
    columns: dict[str, NDArray[Any]] = {
        name: to_numpy_float(counts[name]) for name in counts.columns if name not in groups.names
    }
    sizes = effective_sizes(columns, clusters, confidence_level)

    def add_rate(name: str, rate: Floats, size: Floats, factor: float = 1) -> None:
        low, high = effective_interval(rate, size, interval_method, confidence_level)
        for suffix, values in (("", rate), ("_low", low), ("_high", high)):
            columns[name + suffix] = factor * values

    add_rate("fraud_rate", ratio(columns["frauds"], columns["labelled"]), sizes.labelled)
    if sizes.value is not None:
        by_value = ratio(columns["fraud_amount"], columns["amount"])
        add_rate("fraud_bps", by_value, sizes.value, factor=10_000)
    columns["fraud_clusters"], columns["n_effective"] = sizes.fraud_clusters, sizes.labelled
    columns["reliable"] = sizes.fraud_clusters >= MIN_RELIABLE
    series = [
        nw.new_series(
            name,
            columns[name].astype(_NUMPY_TYPES.get(name, columns[name].dtype)),
            _TYPES.get(name, nw.Float64),
            backend=counts.implementation,
        )
        for name in MEASURES
        if name in columns
    ]
    if not groups.names:
        return nw.to_native(series[0].to_frame().with_columns(*series[1:]))
    return nw.to_native(counts.select(*groups.names).with_columns(*series))


def effective_interval(
    rate: Floats, size: Floats, interval_method: IntervalMethod, confidence_level: float
) -> tuple[Floats, Floats]:
    """Return the interval of a rate for an effective size; NaN if it is not a proportion."""
    valid = np.isfinite(size) & (rate >= 0) & (rate <= 1)
    size, rate = np.where(valid, size, 0.0), np.where(valid, rate, 0.0)
    return proportion_interval(
        rate * size, size, interval_method=interval_method, confidence_level=confidence_level
    )


def _select_counts(
    frame: Frame,
    *,
    groups: Groups,
    clusters: Clusters,
    label: str,
    amount: str | None,
    known: KnownLabels | None,
) -> Frame:
    """Select for each row its groups, its clusters, and what it adds to the counts."""
    if known is not None:
        frame = known.select(frame)
    values = [label, amount, *(bins.column for bins in groups.bins), *groups.time]
    frame = coerce_object_columns(frame, [name for name in values if name is not None])
    schema = frame.collect_schema()
    labels = label_to_float(schema[label], label)
    labelled, fraud = ~labels.is_null(), labels.fill_null(0)
    measures = {
        "transactions": nw.lit(1, nw.Int64),
        "labelled": labelled.cast(nw.Int64),
        "frauds": (fraud == 1).cast(nw.Int64),
        _INVALID_LABEL: is_invalid_label(labels).cast(nw.Int64),
    }
    if amount is not None:
        value = to_float(schema[amount], amount, "a number").fill_null(0)
        total, lost = value * labelled.cast(nw.Float64), value * (fraud == 1).cast(nw.Float64)
        measures |= {"amount": total, "fraud_amount": lost}
        measures |= dict(zip(SQUARES, (total * total, lost * lost), strict=True))
        measures[_INFINITE] = ((value == math.inf) | (value == -math.inf)).cast(nw.Int64)
    return frame.select(
        *groups.expressions(frame),
        *clusters.expressions(frame),
        *(expression.alias(name) for name, expression in measures.items()),
    )
