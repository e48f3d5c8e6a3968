"""Intervals of rates whose transactions depend on each other: those of a customer, or a merchant.

A stolen card produces a dozen frauds and a compromised merchant many more, so that transactions
carry less information about a rate than the same number of independent ones. How much less is the
design effect (Kish, 1965; Rao and Scott, 1984): the variance of the rate with clusters, divided by
the variance without. Any interval of a proportion is then computed on the *effective* number of
transactions, n divided by the design effect (Korn and Graubard, 1998).

With y the label, p the rate and n the number of transactions of a group, the variance of n p is the
sum over clusters of (sum of y - p over the cluster) squared. An engine therefore only counts: first
by group and cluster, then the squares of these counts by group (:func:`sum_squares`). With
customers and merchants, V = V_customer + V_merchant - V_both (Cameron, Gelbach and Miller, 2011),
but at least each of the first two, and at least that of independent transactions, since a
difference of estimates may be smaller. The rate by value is a ratio of sums, and its residual is
fraud amount - ratio * amount.

Corrections for few clusters:

- The factor G / (G - 1), where G is the number of clusters with a fraud (or with a genuine
  transaction, if these are fewer), since the others contribute almost nothing to the variance of a
  rare event. With two ways of clustering, the smaller G is used.
- The quantile of Student's t in place of the normal one (Korn and Graubard). Its degrees of freedom
  are those of Satterthwaite (1946) for the variances of the two ways, each with the number of its
  clusters minus 1.
- If fewer than two clusters of a group have a fraud, the group has no information on how frauds
  cluster, and the design effect of all groups together is used if it is larger. If fewer than two
  have one in all groups together, a cluster counts like one transaction.

Transactions whose cluster is unknown are clusters of their own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics._core import arguments
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import group_key, sum_by

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics.proportions import Floats

#: The default, and the columns that it uses.
AUTO, USUAL = "auto", ("customer_id", "merchant_id")
#: Fewer clusters with a fraud than this make an interval unreliable.
MIN_RELIABLE = 10
#: Columns of counts: sums of the squares of amounts, and of those of frauds.
SQUARES = ("__amount_squares", "__fraud_squares")
#: Sums over clusters: squares and products of the frauds and labelled transactions of each, ...
_COUNTED = ("frauds_squared", "frauds_labelled", "labelled_squared")
#: ... how many clusters there are, with a fraud, and with a genuine transaction, ...
_CLUSTERS = ("clusters", "with_fraud", "with_genuine")
#: ... and squares and products of the value of frauds and of all.
VALUED = ("fraud_squared", "fraud_amount", "amount_squared")


@dataclasses.dataclass(frozen=True, slots=True)
class Clusters:
    """Columns that make transactions dependent: none, one or two.

    Examples
    --------
    >>> Clusters.parse("auto", ["merchant_id"], ["customer_id", "merchant_id", "amount"])
    Clusters(columns=('customer_id',))
    >>> Clusters(("customer_id", "merchant_id")).ways
    (('__cluster_0',), ('__cluster_1',), ('__cluster_0', '__cluster_1'))
    """

    columns: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls,
        cluster: str | Sequence[str] | None,
        groups: Collection[str],
        available: Collection[str],
    ) -> Clusters:
        """Parse the argument of a caller.

        Parameters
        ----------
        cluster
            As for :func:`synfin_analytics.fraud_rate`.
        groups
            Columns of the rows that are groups.
        available
            All columns of the rows.
        """
        if cluster is None:
            return cls()
        if isinstance(cluster, str) and cluster == AUTO:
            return cls(tuple(name for name in USUAL if name in available and name not in groups))
        columns = arguments.check_names(cluster, "cluster")
        if len(columns) > len(USUAL):
            raise ArgumentError(
                f"`cluster` must be at most {len(USUAL)} columns; got "
                f"{arguments.format_value(cluster)}."
            )
        if grouped := [name for name in columns if name in groups]:
            raise ArgumentError(
                f"`cluster` must not be a group, which would have only one cluster; got "
                f"{grouped[0]!r}."
            )
        return cls(columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns of counts that hold the clusters."""
        return tuple(f"__cluster_{number}" for number in range(len(self.columns)))

    @property
    def ways(self) -> tuple[tuple[str, ...], ...]:
        """Keys of each way of clustering, and last of both ways together."""
        both = (self.keys,) if len(self.columns) > 1 else ()
        return (*((key,) for key in self.keys), *both)

    def expressions(self, frame: Frame) -> list[nw.Expr]:
        """Return expressions for the clusters of each row, named by :attr:`keys`."""
        schema = frame.collect_schema()
        pairs = zip(self.columns, self.keys, strict=True)
        return [group_key(schema[name], name).alias(key) for name, key in pairs]


def way_column(way: int, name: str) -> str:
    """Return the column of counts with a sum over the clusters of a way."""
    return f"__way_{way}_{name}"


def sums_over_clusters(value: bool) -> tuple[str, ...]:
    """Return the names of the sums over clusters."""
    return (*_COUNTED, *_CLUSTERS, *(VALUED if value else ()))


def sum_squares(cells: Frame, *, keys: Sequence[str], clusters: Clusters) -> Frame:
    """Sum by group the counts by group and cluster, and their squares for each way.

    Parameters
    ----------
    cells
        A row for each group and :attr:`Clusters.keys`, with the counts.
    keys
        Columns that make the groups.
    clusters
        The ways of clustering.
    """
    counted = [
        name for name in cells.collect_schema().names() if name not in {*keys, *clusters.keys}
    ]
    value = SQUARES[0] in counted
    names = [
        way_column(way, name)
        for way in range(len(clusters.ways))
        for name in sums_over_clusters(value)
    ]
    parts: list[Any] = []  # all eager or all lazy
    for number, way in enumerate(clusters.ways):
        by_way = sum_by(cells.select(*keys, *way, *counted), [*keys, *way])
        sums = _sums_over(way, value=value)
        columns = [nw.col(name).cast(nw.Float64) * float(number == 0) for name in counted]
        for name in names:
            suffix = name.removeprefix(way_column(number, ""))
            columns.append(sums.get(suffix, nw.lit(0.0)).cast(nw.Float64).alias(name))
        parts.append(by_way.select(*keys, *columns))
    return sum_by(nw.concat(parts), keys)


def _sums_over(way: Sequence[str], *, value: bool) -> dict[str, nw.Expr]:
    """Return what a cluster adds to the sums of its way, or its transactions if it is unknown."""
    labelled, frauds = (nw.col(name).cast(nw.Float64) for name in ("labelled", "frauds"))
    of_cluster = {
        "frauds_squared": frauds * frauds,
        "frauds_labelled": frauds * labelled,
        "labelled_squared": labelled * labelled,
        "clusters": (labelled > 0).cast(nw.Float64),
        "with_fraud": (frauds > 0).cast(nw.Float64),
        "with_genuine": (labelled > frauds).cast(nw.Float64),
    }
    of_transactions = {
        "frauds_squared": frauds,
        "frauds_labelled": frauds,
        "labelled_squared": labelled,
        "clusters": labelled,
        "with_fraud": frauds,
        "with_genuine": labelled - frauds,
    }
    if value:
        amount, fraud = nw.col("amount"), nw.col("fraud_amount")
        products = (fraud * fraud, fraud * amount, amount * amount)
        of_cluster |= dict(zip(VALUED, products, strict=True))
        amounts, fraud_amounts = (nw.col(name) for name in SQUARES)
        # The amount of a fraud is its fraud amount.
        of_transactions |= dict(zip(VALUED, (fraud_amounts, fraud_amounts, amounts), strict=True))
    unknown = nw.col(way[0]).is_null()
    for key in way[1:]:
        unknown = unknown | nw.col(key).is_null()
    return {
        name: nw.when(unknown).then(of_transactions[name]).otherwise(of_cluster[name])
        for name in of_cluster
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Effective:
    """Effective sizes of groups.

    Attributes
    ----------
    labelled
        Effective number of labelled transactions.
    value
        The same for the rate by value; None without amounts.
    fraud_clusters
        Clusters with a fraud, of the first way.
    """

    labelled: Floats
    value: Floats | None
    fraud_clusters: Floats


def effective_sizes(
    counts: Mapping[str, Floats], clusters: Clusters, confidence_level: float
) -> Effective:
    """Compute the effective size of each group from its counts and sums over clusters.

    Parameters
    ----------
    counts
        One element for each group: ``labelled``, ``frauds``, with values also ``amount``,
        ``fraud_amount`` and :data:`SQUARES`, and the sums over clusters (:func:`sum_squares`).
    clusters
        The ways of clustering.
    confidence_level
        Confidence of the interval.
    """
    n, frauds = counts["labelled"], counts["frauds"]
    with_value = SQUARES[0] in counts
    ways = [
        {name: counts[way_column(way, name)] for name in sums_over_clusters(with_value)}
        for way in range(len(clusters.ways))
    ]
    one_way = ways[: len(clusters.columns)]
    with_fraud = [way["with_fraud"] for way in one_way] or [frauds]
    with_genuine = [way["with_genuine"] for way in one_way] or [n - frauds]
    n_informative = np.min([*with_fraud, *with_genuine], axis=0)
    n_clusters = [way["clusters"] for way in one_way]

    rate = np.nan_to_num(ratio(frauds, n))
    independent = n * rate * (1 - rate)
    size = n
    if ways:
        size = _effective_size(
            n,
            rate,
            [_residual_squares(rate, *(way[name] for name in _COUNTED)) for way in ways],
            independent,
            n_informative,
            n_clusters,
            np.max([ratio(way["labelled_squared"], n) for way in one_way], axis=0),
            confidence_level,
        )
    value = None
    if with_value:
        amount, fraud_amount = counts["amount"], counts["fraud_amount"]
        share = ratio(fraud_amount, amount)
        share = np.where((share >= 0) & (share <= 1), share, np.nan)
        scale = ratio(n, amount) ** 2  # from money to transactions
        amounts_squared, fraud_amounts_squared = (counts[name] for name in SQUARES)
        largest = [way["amount_squared"] for way in one_way] or [amounts_squared]
        with np.errstate(over="ignore", invalid="ignore"):
            value = _effective_size(
                n,
                share,
                [scale * _residual_squares(share, *(way[name] for name in VALUED)) for way in ways],
                scale
                * _residual_squares(
                    share, fraud_amounts_squared, fraud_amounts_squared, amounts_squared
                ),
                n_informative,
                n_clusters,
                n * ratio(np.max(largest, axis=0), amount**2),
                confidence_level,
            )
        # Amounts of more than 150 digits have squares beyond the range of a double.
        value = np.where(np.isfinite(np.max([amounts_squared, *largest], axis=0)), value, np.nan)
    return Effective(size, value, with_fraud[0])


def _residual_squares(rate: Floats, part: Floats, product: Floats, whole: Floats) -> Floats:
    """Sum the squares of (part - rate * whole), from the sums of their squares and products."""
    return np.maximum(part - 2 * rate * product + rate**2 * whole, 0.0)


def _effective_size(
    n: Floats,
    rate: Floats,
    variances: Sequence[Floats],
    independent: Floats,
    n_informative: Floats,
    n_clusters: Sequence[Floats],
    max_design: Floats,
    confidence_level: float,
) -> Floats:
    """Return the effective number of transactions of each group.

    Parameters
    ----------
    n, rate
        Transactions of each group, and the rate.
    variances
        Of n times the rate: for each way, and last for both ways together, if there are two.
    independent
        The same for independent transactions.
    n_informative
        Clusters with a fraud, or with a genuine transaction, if these are fewer.
    n_clusters
        Clusters of each way.
    max_design
        Design effect if the transactions of each cluster were all the same.
    confidence_level
        Confidence of the interval.
    """
    from scipy.stats import t

    one_way = variances[: len(n_clusters)]
    variance = np.max([independent, *one_way], axis=0)
    if len(one_way) > 1:
        variance = np.maximum(variance, one_way[0] + one_way[1] - variances[-1])
    simple = n * rate * (1 - rate)
    estimable = (n_informative > 1) & (simple > 0)
    observed = ratio(variance, np.where(simple > 0, simple, 0))
    defined = np.isfinite(observed)
    pooled = max_design
    if n_informative.sum() > 1 and defined.any():
        pooled = np.full(len(n), variance[defined].sum() / simple[defined].sum())
    corrected = observed * n_informative / np.maximum(n_informative - 1, 1)
    design = np.where(estimable, corrected, np.fmax(observed, pooled))
    design = np.where(np.isfinite(design), design, 1.0)

    squares = [
        ratio(variance_of_way**2, np.maximum(count - 1, 0))
        for variance_of_way, count in zip(one_way, n_clusters, strict=True)
    ]
    sum_of_squares = np.nansum(squares, axis=0) if squares else np.zeros(len(n))
    max_freedom = np.maximum(n - 1, 1.0)
    freedom = np.where(
        sum_of_squares > 0,
        variance**2 / np.where(sum_of_squares > 0, sum_of_squares, 1.0),
        max_freedom,
    )
    quantile = (1 + confidence_level) / 2
    widening = t.ppf(quantile, np.clip(freedom, 1.0, max_freedom)) / t.ppf(quantile, max_freedom)
    size: Floats = n / (design * np.where(estimable, widening**2, 1.0))
    return size
