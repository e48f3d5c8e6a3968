"""Clusters drawn with replacement, and the metrics in each resample.

Davison and Hinkley (1997, section 3.8) describe the bootstrap of clusters. A resample only changes
how often each cluster counts; everything else is computed once (:mod:`._statistics`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._statistics import (
    Gap,
    Statistic,
    TopEntities,
    TopTransactions,
    Total,
    statistic_of,
)
from synfin_analytics.metrics.bootstrap import (
    CARDS,
    TOP,
    Bootstrap,
    Comparison,
    MetricOptions,
    check_metric,
)
from synfin_analytics.metrics.topk import RankedEntities, precision_at_k

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_counts import Floats, Integers, RowCounts

#: Numbers in a block of resamples: a few megabytes, for any number of frauds.
_BLOCK_SIZE = 4_000_000


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
    statistic = statistic_of(metric, codes, len(names), counts, threshold, options)
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
        statistic = statistic_of(metric, codes[rows], len(names), part, threshold, MetricOptions())
        alert = part.score >= threshold
        samples.append(_sample(metric, statistic, names, codes[rows], part, alert))
    fewest = min(samples, key=lambda sample: sample.n_informative)
    return replace(
        fewest,
        transactions=np.sum([sample.transactions for sample in samples], axis=0),
        frauds=np.sum([sample.frauds for sample in samples], axis=0),
        statistic=Gap(tuple(sample.statistic for sample in samples), comparison),
        condition=f"{fewest.condition} in one group",
    )


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
        statistic = Total(daily["hits"].to_numpy() / (k * max(len(names), 1)))
    else:
        statistic = TopTransactions.from_counts(days, codes, counts, k)
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
    statistic: Statistic = TopEntities(ranked, k)
    if by_day:
        hits, *_ = ranked.review(np.ones((ranked.n_entities, 1), np.int64), k)
        statistic = Total(hits[:, 0] / (k * max(len(names), 1)))
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
