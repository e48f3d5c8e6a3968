"""Clusters drawn with replacement, and the metrics in each resample.

Davison and Hinkley (1997, section 3.8) describe the bootstrap of clusters. A resample only changes
how often each cluster counts; everything else is computed once (:mod:`._statistics`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._statistics import (
    Block,
    ClusterCounts,
    Gap,
    Statistic,
    Total,
)
from synfin_analytics.metrics.bootstrap import (
    CARDS,
    TOP,
    Bootstrap,
    Comparison,
    MetricOptions,
    check_metric,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_bins import Binning
    from synfin_analytics.metrics._score_counts import Floats, Integers, RowCounts

#: Numbers in a block of resamples: a few megabytes, for any number of frauds.
_BLOCK_SIZE = 4_000_000

Key = TypeVar("Key", bound=Hashable)


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
    samples: Mapping[Key, Sample],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> dict[Key, Bootstrap]:
    """Resample clusters, and compute metrics in each resample.

    Samples with the same number of clusters have the same resamples, so that metrics of several
    models on the same rows can be compared by pairs.

    Parameters
    ----------
    samples
        Metrics of models, by any key.
    n_resamples, seed, confidence_level
        Number of resamples, seed of the generator, and confidence of the interval.

    Raises
    ------
    ArgumentError
        ``n_resamples`` or ``seed`` is not a whole number.
    """
    n_resamples = check_integer(n_resamples, "n_resamples", minimum=1)
    seed = check_integer(seed, "seed")
    distributions: dict[Key, Floats] = {}
    of_rows: dict[Key, float] = {}
    errors: dict[Key, float] = dict.fromkeys(samples, 0.0)
    for n_clusters in {len(sample.clusters) for sample in samples.values()}:
        keys = [key for key, sample in samples.items() if len(sample.clusters) == n_clusters]
        for key in keys:
            distributions[key], of_rows[key] = np.full(n_resamples, np.nan), np.nan
        if not n_clusters:
            continue
        statistics = {key: samples[key].statistic for key in keys}
        block = Block(np.ones((n_clusters, 1)))
        of_rows |= {key: float(statistic.values(block)[0]) for key, statistic in statistics.items()}
        sources = {source for statistic in statistics.values() for source in statistic.sources}
        width = max(n_clusters, sum(source.width for source in sources))
        start = 0
        for weights in draw_weights(n_clusters, n_resamples, seed, max(1, _BLOCK_SIZE // width)):
            block, end = Block(weights), start + weights.shape[1]
            for key, statistic in statistics.items():
                distributions[key][start:end] = statistic.values(block)
                errors[key] = max(errors[key], statistic.error(block))
            start = end
    return {
        key: Bootstrap(
            sample.metric,
            sample.cluster,
            of_rows[key],
            distributions[key],
            confidence_level,
            len(sample.clusters),
            int(np.count_nonzero(sample.frauds)),
            sample.n_informative,
            sample.condition,
            sample.by_day,
            errors[key],
        )
        for key, sample in samples.items()
    }


def check_same_rows(samples: Mapping[str, Sample]) -> None:
    """Raise an ArgumentError unless the samples of models, by name, are of the same rows."""
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


@dataclass(frozen=True, eq=False)
class Clusters:
    """The cluster of each count.

    Attributes
    ----------
    name
        Column of the clusters.
    values
        Its values, or days.
    by_day
        Whether they are days.
    """

    name: str
    values: NDArray[Any]
    by_day: bool = False

    def take(self, rows: NDArray[np.bool_]) -> Clusters:
        """Return the clusters of some of the counts."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of a model by cluster, and a metric of it.

    Attributes
    ----------
    metric, cluster
        Name of the metric, and of the column of the clusters.
    clusters
        The clusters, in order.
    transactions, frauds
        Labelled transactions of each cluster, and frauds among them.
    statistic
        The metric.
    n_informative, condition, by_day
        See :class:`.Bootstrap`.
    """

    metric: str
    cluster: str
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
    metrics: Sequence[str],
    clusters: Clusters,
    counts: RowCounts,
    threshold: float,
    options: MetricOptions,
    *,
    binning: Binning | None = None,
) -> dict[str, Sample]:
    """Prepare metrics that follow from counts by cluster and score.

    Parameters
    ----------
    metrics
        Any but precision@k and card precision@k.
    clusters, counts
        Cluster of each count by cluster and score, and the counts.
    threshold
        A score at the threshold or above is an alert.
    options
        Of ``recall_at_fpr`` and ``cost``.
    binning
        The bins of the counts, if they are by bin instead of by score.

    Raises
    ------
    NotFoundError
        The metric does not exist.
    ArgumentError
        An option is missing or out of range; costs have no amounts.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import RowCounts
    >>> generator = np.random.default_rng(1)
    >>> fraud = generator.random(2000) < 0.1
    >>> score = np.clip(0.3 * generator.random(2000) + 0.2 * fraud, 0, 1)
    >>> counts = RowCounts(score, np.ones(2000, np.int64), fraud.astype(np.int64))
    >>> customers = Clusters("customer_id", generator.integers(300, size=2000))
    >>> samples = sample_counts(["roc_auc"], customers, counts, 0.5, MetricOptions())
    >>> bootstrap = resample(samples)["roc_auc"]
    >>> bootstrap.low < bootstrap.value < bootstrap.high
    True
    """
    for metric in metrics:
        if check_metric(metric) in (TOP, CARDS):
            raise ArgumentError(
                f"`metric` must be one that follows from counts by score; got {metric!r}, which "
                "needs the rows of each day."
            )
    names, codes = np.unique(clusters.values, return_inverse=True)
    cells = ClusterCounts(codes, len(names), counts, threshold, binning)
    return {
        metric: _sample(metric, clusters, names, cells, statistic)
        for metric, statistic in cells.statistics(metrics, options).items()
    }


def sample_groups(
    metrics: Sequence[str],
    clusters: Clusters,
    groups: NDArray[np.intp],
    counts: RowCounts,
    threshold: float,
) -> dict[tuple[str, Comparison], Sample]:
    """Prepare the difference and the ratio of metrics between groups, for resampling clusters.

    Parameters
    ----------
    metrics, clusters, counts, threshold
        As for :func:`sample_counts`.
    groups
        Number of the group of each count.

    Returns
    -------
    dict
        By metric and comparison: ``"difference"`` of the highest and lowest group, or ``"ratio"``
        of the lowest and highest.
    """
    names, codes = np.unique(clusters.values, return_inverse=True)
    cells = []
    for group in np.unique(groups):
        rows = groups == group
        cells.append(ClusterCounts(codes[rows], len(names), counts.take(rows), threshold))
    statistics = [part.statistics(metrics, MetricOptions()) for part in cells]
    samples: dict[tuple[str, Comparison], Sample] = {}
    for metric in metrics:
        of_groups = [
            _sample(metric, clusters, names, part, of_group[metric])
            for part, of_group in zip(cells, statistics, strict=True)
        ]
        fewest = min(of_groups, key=lambda sample: sample.n_informative)
        for comparison in get_args(Comparison):
            samples[metric, comparison] = replace(
                fewest,
                metric=f"{metric}_{comparison}",
                transactions=np.sum([sample.transactions for sample in of_groups], axis=0),
                frauds=np.sum([sample.frauds for sample in of_groups], axis=0),
                statistic=Gap(tuple(sample.statistic for sample in of_groups), comparison),
                condition=f"{fewest.condition} in one group",
            )
    return samples


def sample_top(metric: str, clusters: Clusters, counts: RowCounts, statistic: Statistic) -> Sample:
    """Prepare precision@k or card precision@k, for resampling clusters or whole days.

    Parameters
    ----------
    metric
        One of the two.
    clusters, counts
        Cluster or day of each count, and the counts.
    statistic
        Precision as a function of the weights of the clusters, in order. A card that is drawn twice
        counts as two cards, which are reviewed and blocked one by one.
    """
    names, codes = np.unique(clusters.values, return_inverse=True)
    cells = ClusterCounts(codes, len(names), counts, np.inf)
    return _sample(metric, clusters, names, cells, statistic)


def sum_of_days(hits: Floats | Integers, k: int) -> Total:
    """Return precision as a function of the weights of days: these have the hits that they had."""
    return Total(hits / (k * max(len(hits), 1)))


def _sample(
    metric: str,
    clusters: Clusters,
    names: NDArray[Any],
    cells: ClusterCounts,
    statistic: Statistic,
) -> Sample:
    transactions, frauds = (
        cells.sum(part).astype(cells.counts.frauds.dtype) for part in ("transactions", "frauds")
    )
    informative = {"have fraud": frauds > 0}
    of_genuine = {"specificity", "false_positive_rate"}
    if metric in of_genuine | {"roc_auc", "gini", "ks", "recall_at_fpr"}:
        informative["have genuine transactions"] = transactions > frauds
    if metric in {"precision", "false_positive_ratio", "alert_rate"}:
        informative["have alerts"] = cells.sum("alerts") > 0
    if metric in of_genuine | {"alert_rate"}:
        del informative["have fraud"]
    sizes = {condition: int(np.count_nonzero(mask)) for condition, mask in informative.items()}
    fewest = min(sizes, key=sizes.__getitem__)
    return Sample(
        metric, clusters.name, names, transactions, frauds, statistic, sizes[fewest], fewest,
        clusters.by_day,
    )  # fmt: skip
