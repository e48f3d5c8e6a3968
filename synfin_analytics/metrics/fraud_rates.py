"""Fraud rates of a frame: by group, over time, with intervals, and by value.

The frame's own engine counts; everything after that happens here, once, on the few rows of counts
(:func:`rates_from_counts`), also for counts that PostgreSQL made.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, overload

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import (
    coerce_object_columns,
    column_names,
    rename_for_engine,
    to_float,
    to_numpy_float,
)
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import aggregate_counts
from synfin_analytics.metrics._clusters import (
    AUTO,
    FEW,
    SQUARES,
    Clusters,
    effective_sizes,
    sum_squares,
)
from synfin_analytics.metrics._grouping import Groups
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval, proportion_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoLazyFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics.proportions import Floats

COUNTS = ("labelled", "frauds", "transactions")
AMOUNTS = ("amount", "fraud_amount")
#: Columns of a result that are not groups, in their order: a table that is too wide for the screen
#: is shown without its middle, so counts come first and the rate with its interval last.
MEASURES = (
    "labelled",
    "frauds",
    "reliable",
    "transactions",
    *AMOUNTS,
    "fraud_bps",
    "fraud_bps_low",
    "fraud_bps_high",
    "fraud_clusters",
    "n_effective",
    "fraud_rate",
    "fraud_rate_low",
    "fraud_rate_high",
)

_KINDS = dict.fromkeys((*COUNTS, "fraud_clusters"), nw.Int64) | {"reliable": nw.Boolean}
_INTEGERS = dict.fromkeys((*COUNTS, "fraud_clusters"), np.int64)
_WRONG, _INFINITE = "__wrong_labels", "__infinite_amounts"


@overload
def fraud_rate(
    df: IntoDataFrameT,
    by: str | Sequence[str] | None = ...,
    every: str | None = ...,
    interval_method: IntervalMethod = ...,
    *,
    bins: Mapping[str, Sequence[float]] | None = ...,
    confidence_level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
    cluster: str | Sequence[str] | None = ...,
) -> IntoDataFrameT: ...
@overload
def fraud_rate(
    df: IntoLazyFrame,
    by: str | Sequence[str] | None = ...,
    every: str | None = ...,
    interval_method: IntervalMethod = ...,
    *,
    bins: Mapping[str, Sequence[float]] | None = ...,
    confidence_level: float = ...,
    timestamp: str = ...,
    amount: str | None = ...,
    label: str = ...,
    cluster: str | Sequence[str] | None = ...,
) -> IntoDataFrame: ...
def fraud_rate(
    df: Any,
    by: str | Sequence[str] | None = None,
    every: str | None = None,
    interval_method: IntervalMethod = "wilson",
    *,
    bins: Mapping[str, Sequence[float]] | None = None,
    confidence_level: float = 0.95,
    timestamp: str = "timestamp",
    amount: str | None = "amount",
    label: str = "is_fraud",
    cluster: str | Sequence[str] | None = AUTO,
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
        :func:`proportion_interval`. It is computed on the effective number of transactions.
    bins
        Columns of numbers to group by bands, with the edges between them, as
        ``{"amount": [20, 100, 500]}``. A band holds its lower edge and not its upper.
    level
        Its confidence.
    timestamp, amount, label
        Names of the columns; ``amount=None`` leaves the values out. The label is true or false,
        1 or 0, or missing: such a transaction counts as not labelled. A missing amount counts as
        0, an infinite one is refused.
    cluster
        Column, or two columns, of what makes transactions dependent. By default customers and
        merchants: those of ``customer_id`` and ``merchant_id`` that are in the frame and are not
        groups. None takes all transactions as independent, which they seldom are: the interval
        is then much too narrow.

    Returns
    -------
    DataFrame
        Of the kind that came in (polars of a LazyFrame, pyarrow of DuckDB, pandas of Dask and
        PySpark), ordered by the groups, NULL last:

        - the columns of ``by``; the edges of each band, as ``amount_from`` (the first is -inf) and
          ``amount_to`` (the last is inf), both NULL for what is NULL or NaN; the first moment of
          the period in UTC, under the timestamp's name;
        - how many transactions are ``labelled``, ``frauds`` among them, and all ``transactions``;
        - ``amount`` of the labelled transactions, the ``fraud_amount`` in it, and ``fraud_bps``,
          basis points of fraud: fraud value per 10,000 of value, with its interval from
          ``fraud_bps_low`` to ``fraud_bps_high``;
        - ``fraud_clusters``: how many clusters have a fraud (customers, by default);
          ``n_effective``: as many independent transactions would say as much about the rate;
          ``reliable``: whether at least 10 clusters have a fraud. If not, the interval is rough;
        - ``fraud_rate`` = frauds / labelled, and its interval, ``fraud_rate_low`` to
          ``fraud_rate_high``.

        A rate of nothing (0/0) is NaN. NaN in a column of ``by`` is NULL, on every engine.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message names the nearest.
    ArgumentError
        A label is neither 0 nor 1, an amount is not a finite number, a timestamp not a time; edges
        do not rise; ``cluster`` has more than two columns, or one that is a group.

    Notes
    -----
    The variance of a rate is estimated from the frauds of each cluster; two ways of clustering are
    combined as by Cameron, Gelbach and Miller (2011). It gives the design effect (Rao and Scott,
    1984), and n divided by that the effective number of transactions (Korn and Graubard, 1998).
    With few clusters both are corrected; docs/fraud_rates.md has the formulas, and how often the
    intervals covered the true rate in simulations.

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
    >>> of_a_thief = transactions.with_columns(customer_id=pl.Series(["a", "a", "b", "c"]))
    >>> fraud_rate(of_a_thief)["n_effective"].round(1).to_list()
    [1.8]
    >>> bands = fraud_rate(transactions, bins={"amount": [20]})
    >>> bands.select("amount_from", "amount_to", "transactions", "frauds").rows()
    [(-inf, 20.0, 1, 1), (20.0, inf, 3, 0)]
    """
    check_interval(interval_method, confidence_level)
    check_column_name(timestamp, "timestamp")
    check_column_name(label, "label")
    if amount is not None:
        check_column_name(amount, "amount")
    groups = Groups.parse(by, bins, every, timestamp, measures=MEASURES)
    known = column_names(df, "fraud_rate")
    clusters = Clusters.parse(cluster, groups.needed, known)
    values = [label] if amount is None else [label, amount]
    columns = [*groups.needed, *values, *clusters.columns]
    df, names = rename_for_engine(df, columns, "fraud_rate")
    inside = groups.renamed(names)
    counts = aggregate_counts(
        df,
        [names[name] for name in columns],
        [*inside.keys, *clusters.keys],
        functools.partial(
            _measured,
            groups=inside,
            clusters=Clusters(tuple(names[name] for name in clusters.columns)),
            label=names[label],
            amount=None if amount is None else names[amount],
        ),
        caller="fraud_rate",
        then=functools.partial(sum_squares, keys=inside.keys, clusters=clusters)
        if clusters.columns
        else None,
    )
    counts = counts.rename(dict(zip(inside.keys, groups.keys, strict=True)))
    _refuse(counts, label, amount)
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
    """Put rates and intervals beside counts: the arithmetic of every engine.

    Parameters
    ----------
    counts
        A row for each group: :attr:`Groups.keys`, ``transactions``, ``labelled``, ``frauds``;
        where values are wanted, ``amount``, ``fraud_amount`` and the sums of their squares; and the
        sums over clusters, see :mod:`synfin_analytics.metrics._clusters`.
    groups, clusters
        What the counts are grouped by, and by what transactions cluster.
    interval, level
        See :func:`proportion_interval`.
    """
    counts = groups.finish(counts)
    of: dict[str, NDArray[Any]] = {
        name: to_numpy_float(counts[name]) for name in counts.columns if name not in groups.names
    }
    sizes = effective_sizes(of, clusters, confidence_level)
    of["fraud_rate"] = ratio(of["frauds"], of["labelled"])
    of["fraud_rate_low"], of["fraud_rate_high"] = _interval(
        of["fraud_rate"], sizes.labelled, interval_method, confidence_level
    )
    if sizes.value is not None:
        share = ratio(of["fraud_amount"], of["amount"])
        ends = _interval(share, sizes.value, interval_method, confidence_level)
        for name, each in zip(("", "_low", "_high"), (share, *ends), strict=True):
            of[f"fraud_bps{name}"] = 10_000 * each
    of["fraud_clusters"], of["n_effective"] = sizes.fraud_clusters, sizes.labelled
    of["reliable"] = sizes.fraud_clusters >= FEW
    columns = [
        nw.new_series(
            name,
            of[name].astype(_INTEGERS.get(name, of[name].dtype)),
            _KINDS.get(name, nw.Float64),
            backend=counts.implementation,
        )
        for name in MEASURES
        if name in of
    ]
    if not groups.names:
        return nw.to_native(columns[0].to_frame().with_columns(*columns[1:]))
    return nw.to_native(counts.select(*groups.names).with_columns(*columns))


def _interval(
    rate: Floats, size: Floats, interval_method: IntervalMethod, confidence_level: float
) -> tuple[Floats, Floats]:
    """Interval of a rate of so many effective transactions; NaN where it is not a proportion."""
    known = np.isfinite(size) & (rate >= 0) & (rate <= 1)
    size, rate = np.where(known, size, 0.0), np.where(known, rate, 0.0)
    return proportion_interval(rate * size, size, interval_method, confidence_level)


def _measured(
    frame: Frame, *, groups: Groups, clusters: Clusters, label: str, amount: str | None
) -> Frame:
    """Give each row its groups, its clusters and what it counts for."""
    values = [label, amount, *(band.column for band in groups.bands)]
    frame = coerce_object_columns(frame, [name for name in values if name is not None])
    schema = frame.collect_schema()
    truth = to_float(schema[label], label, "a label: true or false, 1 or 0")
    labelled, fraud = ~truth.is_null(), truth.fill_null(0)
    measures = {
        "transactions": nw.lit(1, nw.Int64),
        "labelled": labelled.cast(nw.Int64),
        "frauds": (fraud == 1).cast(nw.Int64),
        _WRONG: ((fraud != 0) & (fraud != 1)).cast(nw.Int64),
    }
    if amount is not None:
        value = to_float(schema[amount], amount, "a number").fill_null(0)
        known, lost = value * labelled.cast(nw.Float64), value * (fraud == 1).cast(nw.Float64)
        measures |= {"amount": known, "fraud_amount": lost}
        measures |= dict(zip(SQUARES, (known * known, lost * lost), strict=True))
        measures[_INFINITE] = ((value == math.inf) | (value == -math.inf)).cast(nw.Int64)
    counted = (each.alias(name) for name, each in measures.items())
    return frame.select(*groups.expressions(frame), *clusters.expressions(frame), *counted)


def _refuse(counts: nw.DataFrame[Any], label: str, amount: str | None) -> None:
    wrong = int(to_numpy_float(counts[_WRONG]).sum())
    if wrong:
        raise ArgumentError(
            f"Column {label!r} must be a label (true or false, 1 or 0, or missing); "
            f"{wrong:,} rows hold something else."
        )
    infinite = 0 if amount is None else int(to_numpy_float(counts[_INFINITE]).sum())
    if infinite:
        raise ArgumentError(
            f"Column {amount!r} must be a finite number, or missing; in "
            f"{pluralize(infinite, 'row')} it is infinite."
        )
    if amount is not None and not np.isfinite(to_numpy_float(counts["amount"])).all():
        raise ArgumentError(f"Column {amount!r} must have a finite sum; its values are too large.")
