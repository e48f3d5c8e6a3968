"""Metrics as functions of how often each cluster counts.

The order of scores, sums by cluster and ranks of a day do not depend on a resample, so they are
computed once: they are the source of a statistic. Several metrics follow from one source, which is
weighed once for each block of resamples: the areas from a curve (:mod:`._curves`), the shares from
sums by cluster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from scipy import sparse

from synfin_analytics._core.arguments import check_share
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._curves import BinnedCurve, Curve
from synfin_analytics.metrics.curve import NO_AMOUNTS, check_costs, log_losses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_bins import Binning
    from synfin_analytics.metrics._score_counts import Floats, Integers, RowCounts
    from synfin_analytics.metrics.bootstrap import Comparison, MetricOptions
    from synfin_analytics.metrics.topk import RankedEntities

#: Rates and means: numerator and denominator, which are sums by cluster.
_SHARES = {
    "precision": ("tp", "alerts"),
    "recall": ("tp", "frauds"),
    "specificity": ("tn", "genuine"),
    "false_positive_rate": ("fp", "genuine"),
    "false_positive_ratio": ("fp", "tp"),
    "alert_rate": ("alerts", "transactions"),
    "value_detection_rate": ("detected value", "value"),
    "brier": ("squares", "transactions"),
    "log_loss": ("losses", "transactions"),
}
#: Metrics that follow from the curve of all thresholds.
OF_CURVE = {"roc_auc", "gini", "ks", "average_precision", "recall_at_fpr"}
#: Metrics that are sums of functions of single scores.
OF_SCORES = {"brier", "log_loss"}
#: Parts that are those of the alerts.
_OF_ALERTS = {
    "alerts": "transactions",
    "tp": "frauds",
    "fp": "genuine",
    "detected value": "value",
}
#: Distinct scores of a day that are ranked at a time, until no resample has a place left.
_RANKED_AT_ONCE = 512
#: How much deeper ranks are read if a resample needs more.
_DEEPER = 4

Weighed = TypeVar("Weighed", covariant=True)


class Source(Protocol[Weighed]):
    """What metrics are computed from, by cluster."""

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""

    def weigh(self, weights: Floats) -> Weighed:
        """Return it for each resample; ``weights`` are by cluster and resample."""


class Block:
    """A block of resamples; ``weights`` say how often each cluster counts, by resample."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._weighed: dict[Source[Any], Any] = {}

    def weigh(self, source: Source[Weighed]) -> Weighed:
        """Return a source for each resample, computed once for all of its metrics."""
        if source not in self._weighed:
            self._weighed[source] = source.weigh(self._weights)
        weighed: Weighed = self._weighed[source]
        return weighed


class Statistic(Protocol):
    """A metric of one model as a function of the weights of its clusters."""

    @property
    def sources(self) -> tuple[Source[Any], ...]:
        """What it is computed from."""

    def values(self, block: Block) -> Floats:
        """Return the metric in each resample."""

    def error(self, block: Block) -> float:
        """Return how much :meth:`values` may be off at most because scores are in bins."""


@dataclass(frozen=True, eq=False)
class ClusterCounts:
    """Counts by cluster and score, and what several metrics need of them.

    Attributes
    ----------
    codes, n_clusters
        Number of the cluster of each count, and how many clusters there are.
    counts
        The counts.
    threshold
        A score at the threshold or above is an alert.
    binning
        The bins of the counts, if they are by bin instead of by score.
    """

    codes: NDArray[np.intp]
    n_clusters: int
    counts: RowCounts
    threshold: float
    binning: Binning | None = None
    _sums: dict[str, Floats] = field(default_factory=dict, init=False)

    @cached_property
    def alert(self) -> NDArray[np.bool_]:
        """Whether the score of each count is an alert."""
        return self.counts.score >= self.threshold

    @cached_property
    def curve(self) -> Curve | BinnedCurve:
        """The curve of all thresholds."""
        if self.binning is not None:
            return BinnedCurve.from_counts(self.codes, self.n_clusters, self.counts, self.binning)
        return Curve.from_counts(self.codes, self.n_clusters, self.counts)

    def statistics(self, metrics: Sequence[str], options: MetricOptions) -> dict[str, Statistic]:
        """Return metrics that follow from the counts, as functions of weights."""
        statistics: dict[str, Statistic] = {}
        shares = {metric: _SHARES[metric] for metric in metrics if metric in _SHARES}
        sums = Sums({part: self.sum(part) for parts in shares.values() for part in parts})
        for metric in metrics:
            if metric in shares:
                statistics[metric] = _Share(sums, *shares[metric])
            elif metric == "cost":
                statistics[metric] = Total(self._sum_costs(options))
            else:  # OF_CURVE
                max_fpr = check_share(options.max_fpr, "max_fpr", "a false-positive rate")
                statistics[metric] = _Area(metric, self.curve, max_fpr)
        return statistics

    def sum(self, part: str) -> Floats:
        """Sum a part of :data:`_SHARES` by cluster."""
        if part not in self._sums:
            self._sums[part] = self._by_cluster(self._select(part))
        return self._sums[part]

    def _by_cluster(self, values: NDArray[Any]) -> Floats:
        sums = np.bincount(self.codes, weights=values, minlength=self.n_clusters)
        return sums.astype(np.float64, copy=False)  # without a row, integers

    def _select(self, part: str) -> NDArray[Any]:
        if part in _OF_ALERTS:
            of_alerts: NDArray[Any] = self.alert * self._select(_OF_ALERTS[part])
            return of_alerts
        counts = self.counts
        genuine = counts.transactions - counts.frauds
        match part:
            case "transactions":
                return counts.transactions
            case "frauds":
                return counts.frauds
            case "genuine":
                return genuine
            case "tn":
                return ~self.alert * genuine
            case "value":
                return self._fraud_amount
            case "squares":
                if counts.squares is not None:
                    return counts.squares
                return counts.frauds * (1 - counts.score) ** 2 + genuine * counts.score**2
            case _:  # logarithmic losses
                if counts.losses is not None:
                    return counts.losses
                of_fraud, of_genuine = log_losses(counts.score)
                return counts.frauds * of_fraud + genuine * of_genuine

    def _sum_costs(self, options: MetricOptions) -> Floats:
        """Sum the cost of each cluster at the threshold."""
        if options.cost_per_alert is None:
            raise ArgumentError(
                "`cost_per_alert` must be set for the metric 'cost', such as cost_per_alert=5."
            )
        fraud_amount = self._fraud_amount
        cost_per_alert, recovery_rate = check_costs(options.cost_per_alert, options.recovery_rate)
        lost = np.where(self.alert, (1 - recovery_rate) * fraud_amount, fraud_amount)
        return self._by_cluster(cost_per_alert * self.alert * self.counts.transactions + lost)

    @property
    def _fraud_amount(self) -> Floats:
        if self.counts.fraud_amount is None:
            raise ArgumentError(NO_AMOUNTS)
        return self.counts.fraud_amount


@dataclass(frozen=True, eq=False)
class _Area:
    """A metric that follows from the curve of all thresholds."""

    metric: str
    curve: Curve | BinnedCurve
    max_fpr: float

    @property
    def sources(self) -> tuple[Source[Any], ...]:
        return (self.curve,)

    def error(self, block: Block) -> float:
        bins = block.weigh(self.curve).bins
        return 0.0 if bins is None else bins.error(self.metric, self.max_fpr)

    def values(self, block: Block) -> Floats:
        curve = block.weigh(self.curve)
        frauds, ties, tp, above = curve.frauds, curve.ties, curve.tp, curve.above
        positives, negatives = curve.positives, curve.negatives
        if self.metric in {"roc_auc", "gini"}:
            below = negatives - above + ties / 2
            area = ratio((frauds * below).sum(axis=0), positives * negatives)
            return area if self.metric == "roc_auc" else 2 * area - 1
        if self.metric == "ks":  # largest at a mark, or just above it
            gaps = (
                np.abs(of_fraud * negatives - of_genuine * positives).max(axis=0, initial=0)
                for of_fraud, of_genuine in ((tp, above), (tp - frauds, above - ties))
            )
            return ratio(np.maximum(*gaps), positives * negatives)
        if self.metric == "recall_at_fpr":  # recall rises at marks only
            allowed = above <= self.max_fpr * negatives
            return ratio(np.where(allowed, tp, 0).max(axis=0, initial=0), positives)
        precision = np.nan_to_num(ratio(tp, tp + above))
        return ratio((precision * frauds).sum(axis=0), positives)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums by cluster of the parts of rates and means."""

    parts: dict[str, Floats]

    @cached_property
    def _matrix(self) -> sparse.csr_array:
        # Few clusters have a fraud or an alert.
        return sparse.csr_array(np.array(list(self.parts.values())))

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return len(self.parts)

    def weigh(self, weights: Floats) -> dict[str, Floats]:
        """Return the sum of each part in each resample."""
        return dict(zip(self.parts, self._matrix @ weights, strict=True))


@dataclass(frozen=True, eq=False)
class _Share:
    """A rate or a mean."""

    sums: Sums
    numerator: str
    denominator: str

    @property
    def sources(self) -> tuple[Source[Any], ...]:
        return (self.sums,)

    def error(self, block: Block) -> float:  # noqa: ARG002 - sums are exact
        return 0.0

    def values(self, block: Block) -> Floats:
        parts = block.weigh(self.sums)
        return ratio(parts[self.numerator], parts[self.denominator])


@dataclass(frozen=True, eq=False)
class Gap:
    """Difference or ratio of a metric between the groups where it is lowest and highest."""

    groups: tuple[Statistic, ...]
    comparison: Comparison

    @property
    def sources(self) -> tuple[Source[Any], ...]:
        """What it is computed from."""
        return tuple(source for statistic in self.groups for source in statistic.sources)

    def error(self, block: Block) -> float:  # noqa: ARG002 - groups are not in bins
        """Return 0: the scores of groups are not in bins."""
        return 0.0

    def values(self, block: Block) -> Floats:
        """Return the gap in each resample."""
        values = np.array([statistic.values(block) for statistic in self.groups])
        lowest, highest = np.fmin.reduce(values), np.fmax.reduce(values)
        gap = highest - lowest if self.comparison == "difference" else ratio(lowest, highest)
        return np.where(np.isfinite(values).sum(axis=0) > 1, gap, np.nan)


class _Whole(ABC):
    """A statistic that is its own source, of which no other metric is computed."""

    @property
    def sources(self) -> tuple[Source[Any], ...]:
        """The statistic itself."""
        return (self,)

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return 0

    @abstractmethod
    def weigh(self, weights: Floats) -> Floats:
        """Return the metric in each resample."""

    def values(self, block: Block) -> Floats:
        """Return the metric in each resample."""
        return block.weigh(self)

    def error(self, block: Block) -> float:  # noqa: ARG002 - nothing is in bins
        """Return 0: nothing is in bins."""
        return 0.0


@dataclass(frozen=True, eq=False)
class Total(_Whole):
    """A sum over clusters: a cost, or the hits of days as a share of all reviews."""

    parts: Floats

    def weigh(self, weights: Floats) -> Floats:
        """Return the sum of each resample."""
        total: Floats = self.parts @ weights
        return total


@dataclass(eq=False)
class TopEntities(_Whole):
    """Card precision@k for resampled entities.

    Attributes
    ----------
    ranked
        Entities of each day, by rank.
    k
        Entities that are reviewed in a day.
    read
        Reads the ranks down to a depth, if not all of them are in ``ranked``. A resample that
        leaves most of the first entities out needs more.
    depth
        How many entities of each day were read.
    """

    ranked: RankedEntities
    k: int
    read: Callable[[int], RankedEntities] | None = None
    depth: int = 0

    def weigh(self, weights: Floats) -> Floats:
        """Return the precision of each resample."""
        hits, complete = self.ranked.count_hits(weights.astype(np.int64), self.k)
        while not complete and self.read is not None:
            self.depth *= _DEEPER
            self.ranked = self.read(self.depth)
            hits, complete = self.ranked.count_hits(weights.astype(np.int64), self.k)
        return ratio(hits.sum(axis=0), self.k * len(self.ranked.days))


@dataclass(eq=False)
class TopTransactions(_Whole):
    """Precision@k for resampled customers or other clusters.

    Attributes
    ----------
    days
        For each day its counts by score and cluster, the highest score first: cluster, transactions
        and frauds of each, and the places where a new score begins.
    k
        Transactions that are reviewed in a day.
    partial
        Whether only the highest scores of each day are known, not all.
    read
        Reads them down to a depth, as for :class:`TopEntities`.
    depth
        How many transactions of each day were read.
    """

    days: list[tuple[NDArray[np.intp], Floats, Floats, NDArray[np.intp]]]
    k: int
    partial: list[bool]
    read: Callable[[int], TopTransactions] | None = None
    depth: int = 0

    @classmethod
    def from_counts(
        cls,
        day: NDArray[Any],
        codes: NDArray[np.intp],
        counts: RowCounts,
        k: int,
        omitted: Integers | None = None,
    ) -> TopTransactions:
        """Rank the counts of each day by score; ``omitted`` are others of the day of each count."""
        partial = []
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
            partial.append(omitted is not None and omitted[rows[0]] > 0)
        return cls(days, k, partial)

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return min(_RANKED_AT_ONCE, max((len(codes) for codes, *_ in self.days), default=0))

    def weigh(self, weights: Floats) -> Floats:
        """Return the metric in each resample."""
        hits, complete = self._count_hits(weights)
        while not complete and self.read is not None:
            self.depth *= _DEEPER
            deeper = self.read(self.depth)
            self.days, self.partial = deeper.days, deeper.partial
            hits, complete = self._count_hits(weights)
        return ratio(hits, self.k * len(self.days))

    def _count_hits(self, weights: Floats) -> tuple[Floats, bool]:
        """Return the hits of each resample, and whether no place was left that others take."""
        hits, complete = np.zeros(weights.shape[1]), True
        for (codes, transactions, frauds, begins), partial in zip(
            self.days, self.partial, strict=True
        ):
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
            if partial and remaining.any():
                complete = False
        return hits, complete
