"""Bootstrap intervals that keep the transactions of a customer, a card or a day together.

Clusters are drawn with replacement (Davison and Hinkley, 1997, section 3.8). A resample only
changes how often each cluster counts. Everything else is computed once: the order of scores, sums
by cluster, ranks of a day. The area under a curve needs the frauds' scores and the number of
genuine transactions between them, by cluster; a block of resamples is then a product of sparse
matrices.

The ends are quantiles of the resamples, moved outwards as Hesterberg (2015, section 4.3) proposes:
the expanded percentile interval, which has the width of Student's t where the plain one is too
narrow. Its degrees of freedom are those of the informative clusters, for most metrics the clusters
with fraud. With 8 defrauded customers of 2,000, the plain percentiles of a 95% interval covered the
true value in 86 to 91 of 100 samples and the expanded ones in 92 to 96
(tests/metrics/test_bootstrap.py simulates both few and many defrauded customers).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd
from scipy import sparse, special

from synfin_analytics._core.arguments import check_column_name, check_integer, check_share
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import (
    format_confidence_level,
    format_interval,
    format_metric,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.curve import NO_AMOUNTS, check_costs, log_losses
from synfin_analytics.metrics.topk import RankedEntities, precision_at_k

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_counts import Floats, Integers, RowCounts

#: Metrics that need neither days nor parameters; reports show them together.
METRICS = ("roc_auc", "average_precision", "precision", "recall", "specificity")
TOP, CARDS = "precision_at_k", "card_precision_at_k"
#: All metrics with a bootstrap.
ALL_METRICS = (
    *METRICS,
    "gini",
    "ks",
    "brier",
    "log_loss",
    "false_positive_rate",
    "false_positive_ratio",
    "alert_rate",
    "value_detection_rate",
    "recall_at_fpr",
    "cost",
    TOP,
    CARDS,
)
#: How a metric of several groups is compared.
Comparison = Literal["difference", "ratio"]
#: Metrics that need the amounts.
OF_VALUE = {"cost", "value_detection_rate"}
_AREAS = {"roc_auc", "gini", "ks", "average_precision", "recall_at_fpr"}
#: Fewer informative clusters than this make an interval unreliable.
MIN_RELIABLE = 10
#: Fewer informative clusters than this give no interval.
_MIN_INFORMATIVE = 2
#: Numbers in a block of resamples: a few megabytes, for any number of frauds.
_BLOCK_SIZE = 4_000_000
#: Distinct scores of a day that are ranked at a time, until no resample has a place left.
_RANKED_AT_ONCE = 512


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Result):
    """Bootstrap distribution of a metric over resampled clusters, and its interval.

    :meth:`Evaluation.bootstrap` returns it. :meth:`to_frame` has one row: ``metric``, ``cluster``,
    ``n_clusters``, ``value``, ``value_low``, ``value_high``, ``n_resamples``, ``n_undefined`` and
    ``note``.

    Attributes
    ----------
    metric, cluster
        Name of the metric, and the column whose values are resampled; of timestamps, their days.
    value
        The metric on the rows themselves.
    distribution
        The metric in each resample; NaN where it is undefined.
    confidence_level
        Confidence of :attr:`low` and :attr:`high`.
    n_clusters, n_fraud_clusters
        Number of clusters, and of those with a fraud.
    n_informative, condition
        Number of the clusters on which the metric depends most, and the condition that they meet:
        most metrics vary with the clusters that have fraud, however many others there are.
    by_day
        Whether days were resampled.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from synfin_analytics import evaluate
    >>> generator = np.random.default_rng(1)
    >>> fraud = generator.random(2000) < 0.1
    >>> df = pl.DataFrame(
    ...     {
    ...         "customer_id": generator.integers(300, size=2000),
    ...         "is_fraud": fraud,
    ...         "fraud_probability": 0.6 * generator.random(2000) + 0.2 * fraud,
    ...     }
    ... )
    >>> bootstrap = evaluate(df).bootstrap("roc_auc", n_resamples=200)
    >>> bootstrap.low < bootstrap.value < bootstrap.high
    True
    """

    metric: str
    cluster: str
    value: float
    distribution: Floats
    confidence_level: float
    n_clusters: int
    n_fraud_clusters: int
    n_informative: int
    condition: str = "have fraud"
    by_day: bool = False

    @cached_property
    def values(self) -> Floats:
        """The resamples in which the metric is defined."""
        return self.distribution[np.isfinite(self.distribution)]

    @property
    def n_resamples(self) -> int:
        """Number of resamples."""
        return len(self.distribution)

    @property
    def n_undefined(self) -> int:
        """Resamples in which the metric is undefined: no fraud, no genuine row or no alert."""
        return self.n_resamples - len(self.values)

    @property
    def low(self) -> float:
        """Lower end of the interval; NaN if there is none, see :attr:`note`."""
        return self._quantile((1 - self.confidence_level) / 2)

    @property
    def high(self) -> float:
        """Upper end of the interval; NaN if there is none, see :attr:`note`."""
        return self._quantile((1 + self.confidence_level) / 2)

    @property
    def reliable(self) -> bool:
        """Whether at least 10 clusters are informative; if not, the interval is rough."""
        return self.n_informative >= MIN_RELIABLE

    @property
    def note(self) -> str:
        """Why there is no interval, or why it is unreliable; otherwise empty."""
        if not self.n_clusters:
            return "there is no labelled transaction"
        if np.isnan(self.value):
            return "the metric is not defined on these rows"
        clusters = "days" if self.by_day else f"values of {self.cluster}"
        few = f"only {self.n_informative:,} of {self.n_clusters:,} {clusters} {self.condition}"
        notes = []
        if self.n_informative < _MIN_INFORMATIVE:
            notes.append(f"{few}, but an interval needs {_MIN_INFORMATIVE}")
        elif self._constant:
            notes.append("all resamples have the same value, which gives no interval")
        elif not self.reliable:
            notes.append(f"{few}, so the interval is rough")
        if self.n_undefined:
            notes.append(
                f"{self.n_undefined:,} of {self.n_resamples:,} resamples, in which the metric is "
                "not defined, were dropped"
            )
        return "; ".join(notes)

    @property
    def _constant(self) -> bool:
        return not len(self.values) or bool(np.all(self.values == self.values[0]))

    def _quantile(self, share: float) -> float:
        if np.isnan(self.value) or self.n_informative < _MIN_INFORMATIVE or self._constant:
            return float("nan")
        freedom = self.n_informative - 1
        expanded = np.sqrt(self.n_informative / freedom) * special.stdtrit(freedom, share)
        return float(np.quantile(self.values, special.ndtr(expanded)))

    def difference(self, reference: Bootstrap) -> Bootstrap:
        """Return the paired difference to the metric of another model in the same resamples.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import compare_models
        >>> df = pd.DataFrame(
        ...     {
        ...         "is_fraud": [True, True, False, False] * 20,
        ...         "poor": [0.6, 0.2, 0.5, 0.3] * 20,
        ...         "good": [0.9, 0.7, 0.6, 0.1] * 20,
        ...         "customer_id": range(80),
        ...     }
        ... )
        >>> comparison = compare_models(df, ["poor", "good"], metrics=["roc_auc"], n_resamples=50)
        >>> poor, good = comparison.bootstraps["roc_auc"].values()
        >>> good.difference(poor).value
        0.5
        """
        limiting = self if self.n_informative <= reference.n_informative else reference
        return _Difference(
            self.metric,
            self.cluster,
            self.value - reference.value,
            self.distribution - reference.distribution,
            self.confidence_level,
            self.n_clusters,
            self.n_fraud_clusters,
            limiting.n_informative,
            limiting.condition,
            self.by_day,
            minuend=self,
        )

    def _record(self) -> Mapping[str, Any]:
        return {
            "metric": self.metric,
            "cluster": self.cluster,
            "n_clusters": self.n_clusters,
            "value": self.value,
            "value_low": self.low,
            "value_high": self.high,
            "n_resamples": self.n_resamples,
            "n_undefined": self.n_undefined,
            "note": self.note,
        }

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame([self._record()])

    def __repr__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return (
            f"{self.metric} = {self.value:.4f}, {format_confidence_level(self.confidence_level)} "
            f"interval {self.low:.4f} to {self.high:.4f} ({self.n_resamples:,} resamples of "
            f"{self.cluster}{note})"
        )

    def _repr_html_(self) -> str:
        interval = f"{format_confidence_level(self.confidence_level)} interval"
        head = ("metric", "value", interval, "resamples", "note")
        row = (
            self.metric,
            format_metric(self.metric, self.value),
            format_interval(self.metric, self.low, self.high),
            f"{self.n_resamples:,} of {self.cluster}",
            self.note,
        )
        return table_html(head, [row], text_columns=(0, 4))


@dataclass(frozen=True, eq=False, repr=False)
class _Difference(Bootstrap):
    """Difference of two models.

    It has an interval also where the models vary, but always together, so that it is always 0.
    """

    minuend: Bootstrap | None = None

    @property
    def _constant(self) -> bool:
        return super()._constant and (self.minuend is None or self.minuend._constant)


# -- Metrics and their parameters ------------------------------------------------------------------


@dataclass(frozen=True)
class MetricOptions:
    """Parameters of the metrics that have some.

    Parameters
    ----------
    k, day, entity
        Of precision@k and card precision@k: how many are reviewed in a day, and the columns of
        timestamps and of what is blocked.
    max_fpr
        Of ``recall_at_fpr``: the highest false-positive rate.
    cost_per_alert, recovery_rate
        Of ``cost``, as for :meth:`Evaluation.cost`.
    """

    k: int = 100
    day: str = "timestamp"
    entity: str = "customer_id"
    max_fpr: float = 0.01
    cost_per_alert: float | None = None
    recovery_rate: float = 1.0

    def __post_init__(self) -> None:
        check_column_name(self.day, "day")
        check_column_name(self.entity, "entity")

    def cluster_column(self, metric: str, cluster: str | None) -> str:
        """Return the column whose values are resampled: by default entities or customers.

        Raises
        ------
        ArgumentError
            ``cluster`` is not a column name; or the metric is card precision@k, and ``cluster`` is
            neither its entities nor its days.
        """
        if cluster is None:
            return self.entity if metric == CARDS else "customer_id"
        check_column_name(cluster, "cluster")
        if metric == CARDS and cluster not in (self.entity, self.day):
            raise ArgumentError(
                f"`cluster` of {CARDS} must be its entities ({self.entity!r}) or its days "
                f"({self.day!r}); got {cluster!r}."
            )
        return cluster


def check_metric(metric: Any) -> str:
    """Return the name of a metric that has a bootstrap.

    Raises
    ------
    NotFoundError
        There is no bootstrap of it; the message lists the metrics that have one.
    """
    if metric not in ALL_METRICS:
        raise NotFoundError("metric with a bootstrap", metric, ALL_METRICS)
    return str(metric)


# -- Resampling ------------------------------------------------------------------------------------


def draw_weights(
    n_clusters: int, n_resamples: int, seed: int, block: int
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each cluster is drawn, ``block`` resamples at a time: (cluster, resample)."""
    generator = np.random.default_rng(seed)
    for start in range(0, n_resamples, block):
        weights = np.empty((n_clusters, min(block, n_resamples - start)))
        for column in weights.T:  # one by one, so that the size of a block changes nothing
            drawn = generator.integers(n_clusters, size=n_clusters)
            column[:] = np.bincount(drawn, minlength=n_clusters)
        yield weights


def resample(
    metric: str,
    samples: Mapping[str, Sample],
    *,
    cluster: str,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> dict[str, Bootstrap]:
    """Resample clusters, the same for all models, and compute a metric in each resample.

    Parameters
    ----------
    metric
        Its name.
    samples
        By model; all of the same rows.
    cluster
        Name of the clusters.
    n_resamples, seed, confidence_level
        Number of resamples, seed of the generator, and confidence of the interval.

    Raises
    ------
    ArgumentError
        The models are not of the same rows; ``n_resamples`` or ``seed`` is not a whole number.
    """
    n_resamples = check_integer(n_resamples, "n_resamples", minimum=1)
    seed = check_integer(seed, "seed")
    _check_same_rows(samples)
    n_clusters = len(next(iter(samples.values())).clusters)
    parts: dict[str, list[Floats]] = {model: [] for model in samples}
    if n_clusters:
        width = max(n_clusters, *(sample.statistic.width for sample in samples.values()))
        for weights in draw_weights(n_clusters, n_resamples, seed, max(1, _BLOCK_SIZE // width)):
            for model, sample in samples.items():
                parts[model].append(sample.statistic.values(weights))
    results = {}
    for model, sample in samples.items():
        value, distribution = np.nan, np.full(n_resamples, np.nan)
        if n_clusters:
            value = float(sample.statistic.values(np.ones((n_clusters, 1)))[0])
            distribution = np.concatenate(parts[model])
        results[model] = Bootstrap(
            metric,
            cluster,
            value,
            distribution,
            confidence_level,
            n_clusters,
            int(np.count_nonzero(sample.frauds)),
            sample.n_informative,
            sample.condition,
            sample.by_day,
        )
    return results


def _check_same_rows(samples: Mapping[str, Sample]) -> None:
    (first_model, first), *remaining = samples.items()
    for model, sample in remaining:
        if first.size != sample.size:
            raise ArgumentError(
                f"All models must be evaluated on the same rows; got {first_model} with "
                f"{_format_size(first)} and {model} with {_format_size(sample)}."
            )
        if not np.array_equal(first.clusters, sample.clusters) or not all(
            np.allclose(getattr(first, name), getattr(sample, name), rtol=1e-9)
            for name in ("transactions", "frauds")
        ):
            raise ArgumentError(
                f"All models must be evaluated on the same rows; got {first_model} and {model} "
                "with the same number of rows, but of different clusters."
            )


def _format_size(sample: Sample) -> str:
    transactions, frauds = sample.size
    return f"{transactions:,} labelled transactions, {frauds:,} of them fraud"


# -- Samples: the rows of a model by cluster -------------------------------------------------------


class Statistic(Protocol):
    """A metric of one model as a function of the weights of its clusters."""

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each resample; ``weights`` are by cluster and resample."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of a model by cluster, and its metric.

    Attributes
    ----------
    clusters
        The clusters, in order.
    transactions, frauds
        Labelled transactions of each cluster, and frauds among them.
    statistic
        The metric.
    n_informative, condition, by_day
        See :class:`.Bootstrap`.
    """

    clusters: NDArray[Any]
    transactions: Integers
    frauds: Integers
    statistic: Statistic
    n_informative: int
    condition: str
    by_day: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Labelled transactions and frauds in all."""
        return round(self.transactions.sum()), round(self.frauds.sum())


def sample_counts(
    metric: str, clusters: NDArray[Any], counts: RowCounts, threshold: float, options: MetricOptions
) -> Sample:
    """Prepare a metric that follows from counts by cluster and score.

    Parameters
    ----------
    metric
        Any but precision@k and card precision@k.
    clusters, counts
        Cluster of each count by cluster and score, and the counts.
    threshold
        A score at the threshold or above is an alert.
    options
        Of ``recall_at_fpr`` and ``cost``.

    Raises
    ------
    NotFoundError
        There is no such metric.
    ArgumentError
        An option is missing or out of range; costs have no amounts.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import RowCounts
    >>> generator = np.random.default_rng(1)
    >>> fraud = generator.random(2000) < 0.1
    >>> score = np.clip(0.3 * generator.random(2000) + 0.2 * fraud, 0, 1)
    >>> counts = RowCounts(score, np.ones(2000, np.int64), fraud.astype(np.int64))
    >>> customers = generator.integers(300, size=2000)
    >>> sample = sample_counts("roc_auc", customers, counts, 0.5, MetricOptions())
    >>> bootstrap = resample("roc_auc", {"": sample}, cluster="customer_id")[""]
    >>> bootstrap.low < bootstrap.value < bootstrap.high
    True
    """
    if check_metric(metric) in (TOP, CARDS):
        raise ArgumentError(
            f"`metric` must be one that follows from counts by score; got {metric!r}, which needs "
            "the rows of each day."
        )
    names, codes = np.unique(clusters, return_inverse=True)
    statistic = _statistic(metric, codes, len(names), counts, threshold, options)
    return _sample(metric, statistic, names, codes, counts, counts.score >= threshold)


def sample_groups(
    metric: str,
    comparison: Comparison,
    clusters: NDArray[Any],
    groups: NDArray[np.intp],
    counts: RowCounts,
    threshold: float,
) -> Sample:
    """Prepare the difference or ratio of a metric between groups, for resampling clusters.

    Parameters
    ----------
    metric, clusters, counts, threshold
        As for :func:`sample_counts`.
    comparison
        ``"difference"`` of the highest and lowest group, or ``"ratio"`` of the lowest and highest.
    groups
        Number of the group of each count.
    """
    names, codes = np.unique(clusters, return_inverse=True)
    samples = []
    for group in np.unique(groups):
        rows = groups == group
        part = counts.take(rows)
        statistic = _statistic(metric, codes[rows], len(names), part, threshold, MetricOptions())
        alert = part.score >= threshold
        samples.append(_sample(metric, statistic, names, codes[rows], part, alert))
    fewest = min(samples, key=lambda sample: sample.n_informative)
    return replace(
        fewest,
        transactions=np.sum([sample.transactions for sample in samples], axis=0),
        frauds=np.sum([sample.frauds for sample in samples], axis=0),
        statistic=_Gap(tuple(sample.statistic for sample in samples), comparison),
        condition=f"{fewest.condition} in one group",
    )


def _statistic(
    metric: str,
    codes: NDArray[np.intp],
    n_clusters: int,
    counts: RowCounts,
    threshold: float,
    options: MetricOptions,
) -> Statistic:
    if metric in _AREAS:
        max_fpr = check_share(options.max_fpr, "max_fpr", "a false-positive rate")
        return _Areas.from_counts(metric, codes, n_clusters, counts, max_fpr)
    if metric == "cost":
        return _Total(_sum_costs(codes, n_clusters, counts, threshold, options))
    return _Shares.from_counts(metric, codes, n_clusters, counts, threshold)


def sample_transactions(
    days: NDArray[Any],
    clusters: NDArray[Any],
    counts: RowCounts,
    options: MetricOptions,
    *,
    by_day: bool = False,
) -> Sample:
    """Prepare precision@k, for resampling clusters or whole days.

    Parameters
    ----------
    days, clusters, counts
        Day and cluster of each count by day, cluster and score, and the counts.
    options
        ``k``.
    by_day
        Resample days, each with the hits that it had.
    """
    k = check_integer(options.k, "k", minimum=1)
    names, codes = np.unique(days if by_day else clusters, return_inverse=True)
    statistic: Statistic
    if by_day:
        daily = precision_at_k(days, counts.score, counts.transactions, counts.frauds, k).daily
        statistic = _Total(daily["hits"].to_numpy() / (k * max(len(names), 1)))
    else:
        statistic = _TopTransactions.from_counts(days, codes, counts, k)
    return _sample(TOP, statistic, names, codes, counts, by_day=by_day)


def sample_entities(
    days: NDArray[Any],
    entities: NDArray[Any],
    counts: RowCounts,
    ranked: RankedEntities,
    options: MetricOptions,
    *,
    by_day: bool = False,
) -> Sample:
    """Prepare card precision@k, for resampling entities or whole days.

    Parameters
    ----------
    days, entities, counts
        Day and entity of each count by day, entity and score, and the counts.
    ranked
        The entities of each day, by rank.
    options
        ``k``.
    by_day
        Resample days, each with the hits that it had. Otherwise entities are resampled: a card that
        is drawn twice counts as two cards, which are reviewed and blocked one by one.
    """
    k = check_integer(options.k, "k", minimum=1)
    names, codes = np.unique(days if by_day else entities, return_inverse=True)
    statistic: Statistic = _TopEntities(ranked, k)
    if by_day:
        hits, *_ = ranked.review(np.ones((ranked.n_entities, 1), np.int64), k)
        statistic = _Total(hits[:, 0] / (k * max(len(names), 1)))
    return _sample(CARDS, statistic, names, codes, counts, by_day=by_day)


def _sample(
    metric: str,
    statistic: Statistic,
    names: NDArray[Any],
    codes: NDArray[np.intp],
    counts: RowCounts,
    alert: NDArray[np.bool_] | None = None,
    *,
    by_day: bool = False,
) -> Sample:
    def sum_by_cluster(values: Any) -> Integers:
        return np.bincount(codes, weights=values, minlength=len(names)).astype(counts.frauds.dtype)

    transactions, frauds = sum_by_cluster(counts.transactions), sum_by_cluster(counts.frauds)
    informative = {"have fraud": frauds > 0}
    of_genuine = {"specificity", "false_positive_rate"}
    if metric in of_genuine | {"roc_auc", "gini", "ks", "recall_at_fpr"}:
        informative["have genuine transactions"] = transactions > frauds
    if metric in {"precision", "false_positive_ratio", "alert_rate"} and alert is not None:
        informative["have alerts"] = sum_by_cluster(alert * counts.transactions) > 0
    if metric in of_genuine | {"alert_rate"}:
        del informative["have fraud"]
    sizes = {condition: int(np.count_nonzero(mask)) for condition, mask in informative.items()}
    fewest = min(sizes, key=sizes.__getitem__)
    return Sample(names, transactions, frauds, statistic, sizes[fewest], fewest, by_day)


# -- Statistics: metrics as functions of weights ---------------------------------------------------


def _sum_costs(
    codes: NDArray[np.intp],
    n_clusters: int,
    counts: RowCounts,
    threshold: float,
    options: MetricOptions,
) -> Floats:
    """Sum the cost of each cluster at the threshold."""
    if options.cost_per_alert is None:
        raise ArgumentError(
            "`cost_per_alert` must be set for the metric 'cost', such as cost_per_alert=5."
        )
    fraud_amount = _fraud_amount(counts)
    cost_per_alert, recovery_rate = check_costs(options.cost_per_alert, options.recovery_rate)
    alert = counts.score >= threshold
    lost = np.where(alert, (1 - recovery_rate) * fraud_amount, fraud_amount)
    cost = cost_per_alert * alert * counts.transactions + lost
    return np.bincount(codes, weights=cost, minlength=n_clusters).astype(np.float64)


def _fraud_amount(counts: RowCounts) -> Floats:
    if counts.fraud_amount is None:
        raise ArgumentError(NO_AMOUNTS)
    return counts.fraud_amount


@dataclass(frozen=True, eq=False)
class _Areas:
    """Frauds at each of their distinct scores, and genuine transactions at and between these."""

    metric: str
    frauds: sparse.csr_array
    genuine: sparse.csr_array
    max_fpr: float

    @classmethod
    def from_counts(
        cls,
        metric: str,
        codes: NDArray[np.intp],
        n_clusters: int,
        counts: RowCounts,
        max_fpr: float,
    ) -> _Areas:
        marks = np.unique(counts.score[counts.frauds > 0])[::-1]
        place = np.searchsorted(-marks, -counts.score)  # of the first mark at or below the score
        padded = np.append(marks, -np.inf)
        slot = 2 * place + (padded[place] == counts.score)
        genuine = counts.transactions - counts.frauds
        bad = counts.frauds > 0
        return cls(
            metric,
            sparse.csr_array(
                (counts.frauds[bad].astype(float), (place[bad], codes[bad])),
                shape=(len(marks), n_clusters),
            ),
            sparse.csr_array(
                (genuine.astype(float), (slot, codes)), shape=(2 * len(marks) + 1, n_clusters)
            ),
            max_fpr,
        )

    @property
    def width(self) -> int:
        return int(self.genuine.shape[0])

    def values(self, weights: Floats) -> Floats:
        frauds, genuine = self.frauds @ weights, self.genuine @ weights
        positives, negatives = frauds.sum(axis=0), genuine.sum(axis=0)
        above = np.cumsum(genuine, axis=0)[1::2]  # genuine at the mark or above
        ties = genuine[1::2]
        if self.metric in {"roc_auc", "gini"}:
            below = negatives - above + ties / 2
            area = ratio((frauds * below).sum(axis=0), positives * negatives)
            return area if self.metric == "roc_auc" else 2 * area - 1
        tp = np.cumsum(frauds, axis=0)
        if self.metric == "ks":  # largest at a mark, or just above it
            gaps = (
                tp * negatives - above * positives,
                (tp - frauds) * negatives - (above - ties) * positives,
            )
            largest = np.abs(np.concatenate(gaps)).max(axis=0, initial=0)
            return ratio(largest, positives * negatives)
        if self.metric == "recall_at_fpr":  # recall rises at marks only
            allowed = above <= self.max_fpr * negatives
            return ratio(np.where(allowed, tp, 0).max(axis=0, initial=0), positives)
        precision = np.nan_to_num(ratio(tp, tp + above))
        return ratio((precision * frauds).sum(axis=0), positives)


@dataclass(frozen=True, eq=False)
class _Shares:
    """Numerator and denominator of a rate or a mean, by cluster."""

    numerator: Floats
    denominator: Floats

    @classmethod
    def from_counts(
        cls,
        metric: str,
        codes: NDArray[np.intp],
        n_clusters: int,
        counts: RowCounts,
        threshold: float,
    ) -> _Shares:
        alert = counts.score >= threshold
        genuine = counts.transactions - counts.frauds
        numerator: NDArray[Any]
        denominator: NDArray[Any]
        match metric:
            case "precision":
                numerator, denominator = alert * counts.frauds, alert * counts.transactions
            case "recall":
                numerator, denominator = alert * counts.frauds, counts.frauds
            case "specificity":
                numerator, denominator = ~alert * genuine, genuine
            case "false_positive_rate":
                numerator, denominator = alert * genuine, genuine
            case "false_positive_ratio":
                numerator, denominator = alert * genuine, alert * counts.frauds
            case "alert_rate":
                numerator, denominator = alert * counts.transactions, counts.transactions
            case "value_detection_rate":
                denominator = _fraud_amount(counts)
                numerator = alert * denominator
            case "log_loss":
                of_fraud, of_genuine = log_losses(counts.score)
                numerator = counts.frauds * of_fraud + genuine * of_genuine
                denominator = counts.transactions
            case _:  # the Brier score
                numerator = counts.frauds * (1 - counts.score) ** 2 + genuine * counts.score**2
                denominator = counts.transactions
        return cls(
            *(
                np.bincount(codes, weights=values, minlength=n_clusters).astype(np.float64)
                for values in (numerator, denominator)
            )
        )

    @property
    def width(self) -> int:
        return len(self.numerator)

    def values(self, weights: Floats) -> Floats:
        return ratio(self.numerator @ weights, self.denominator @ weights)


@dataclass(frozen=True, eq=False)
class _Gap:
    """Difference or ratio of a metric between the groups where it is lowest and highest."""

    groups: tuple[Statistic, ...]
    comparison: Comparison

    @property
    def width(self) -> int:
        return sum(statistic.width for statistic in self.groups)

    def values(self, weights: Floats) -> Floats:
        values = np.array([statistic.values(weights) for statistic in self.groups])
        lowest, highest = np.fmin.reduce(values), np.fmax.reduce(values)
        gap = highest - lowest if self.comparison == "difference" else ratio(lowest, highest)
        return np.where(np.isfinite(values).sum(axis=0) > 1, gap, np.nan)


@dataclass(frozen=True, eq=False)
class _Total:
    """A sum over clusters: a cost, or the hits of days as a share of all reviews."""

    parts: Floats

    @property
    def width(self) -> int:
        return len(self.parts)

    def values(self, weights: Floats) -> Floats:
        total: Floats = self.parts @ weights
        return total


@dataclass(frozen=True, eq=False)
class _TopEntities:
    """Card precision@k for resampled entities."""

    ranked: RankedEntities
    k: int

    @property
    def width(self) -> int:
        return max((len(codes) for codes, _ in self.ranked.ranks), default=0)

    def values(self, weights: Floats) -> Floats:
        hits, *_ = self.ranked.review(weights.astype(np.int64), self.k)
        return ratio(hits.sum(axis=0), self.k * len(self.ranked.days))


@dataclass(frozen=True, eq=False)
class _TopTransactions:
    """Precision@k for resampled customers or other clusters.

    Attributes
    ----------
    days
        For each day its counts by score and cluster, the highest score first: cluster, transactions
        and frauds of each, and the places where a new score begins.
    k
        Transactions that are reviewed in a day.
    """

    days: list[tuple[NDArray[np.intp], Floats, Floats, NDArray[np.intp]]]
    k: int

    @classmethod
    def from_counts(
        cls, day: NDArray[Any], codes: NDArray[np.intp], counts: RowCounts, k: int
    ) -> _TopTransactions:
        order = np.lexsort((-counts.score, day))
        days = []
        for rows in np.split(order, np.flatnonzero(day[order][1:] != day[order][:-1]) + 1):
            if not len(rows):
                continue
            score = counts.score[rows]
            begins = np.flatnonzero(np.append(True, score[1:] != score[:-1]))
            transactions, frauds = (
                values[rows].astype(np.float64) for values in (counts.transactions, counts.frauds)
            )
            days.append((codes[rows], transactions, frauds, begins))
        return cls(days, k)

    @property
    def width(self) -> int:
        return max((len(codes) for codes, *_ in self.days), default=0)

    def values(self, weights: Floats) -> Floats:
        hits = np.zeros(weights.shape[1])
        for codes, transactions, frauds, begins in self.days:
            remaining = np.full(weights.shape[1], float(self.k))
            for first in range(0, len(begins), _RANKED_AT_ONCE):
                ties = begins[first : first + _RANKED_AT_ONCE + 1]
                end = ties[-1] if len(ties) > _RANKED_AT_ONCE else len(codes)
                starts = ties[:_RANKED_AT_ONCE] - ties[0]
                rows = slice(ties[0], end)
                drawn = weights[codes[rows]]
                total, bad = (
                    np.add.reduceat(drawn * values[rows, None], starts, axis=0)
                    for values in (transactions, frauds)
                )
                reviewed = np.clip(remaining - (np.cumsum(total, axis=0) - total), 0, total)
                hits += (reviewed * np.nan_to_num(ratio(bad, total))).sum(axis=0)
                remaining -= reviewed.sum(axis=0)
                if not remaining.any():
                    break
        return ratio(hits, self.k * len(self.days))
