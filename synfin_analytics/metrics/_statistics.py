"""Metrics as functions of how often each cluster counts.

The order of scores, sums by cluster and ranks of a day do not depend on a resample, so they are
computed once. The area under a curve needs the frauds' scores and the number of genuine
transactions between them, by cluster; a block of resamples is then a product of sparse matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from synfin_analytics._core.arguments import check_share
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.curve import NO_AMOUNTS, check_costs, log_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_counts import Floats, RowCounts
    from synfin_analytics.metrics.bootstrap import Comparison, MetricOptions
    from synfin_analytics.metrics.topk import RankedEntities

_AREAS = {"roc_auc", "gini", "ks", "average_precision", "recall_at_fpr"}
#: Distinct scores of a day that are ranked at a time, until no resample has a place left.
_RANKED_AT_ONCE = 512


class Statistic(Protocol):
    """A metric of one model as a function of the weights of its clusters."""

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each resample; ``weights`` are by cluster and resample."""


def statistic_of(
    metric: str,
    codes: NDArray[np.intp],
    n_clusters: int,
    counts: RowCounts,
    threshold: float,
    options: MetricOptions,
) -> Statistic:
    """Return a metric that follows from counts by cluster and score, as a function of weights."""
    if metric in _AREAS:
        max_fpr = check_share(options.max_fpr, "max_fpr", "a false-positive rate")
        return _Areas.from_counts(metric, codes, n_clusters, counts, max_fpr)
    if metric == "cost":
        return Total(_sum_costs(codes, n_clusters, counts, threshold, options))
    return _Shares.from_counts(metric, codes, n_clusters, counts, threshold)


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
class Gap:
    """Difference or ratio of a metric between the groups where it is lowest and highest."""

    groups: tuple[Statistic, ...]
    comparison: Comparison

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return sum(statistic.width for statistic in self.groups)

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each resample."""
        values = np.array([statistic.values(weights) for statistic in self.groups])
        lowest, highest = np.fmin.reduce(values), np.fmax.reduce(values)
        gap = highest - lowest if self.comparison == "difference" else ratio(lowest, highest)
        return np.where(np.isfinite(values).sum(axis=0) > 1, gap, np.nan)


@dataclass(frozen=True, eq=False)
class Total:
    """A sum over clusters: a cost, or the hits of days as a share of all reviews."""

    parts: Floats

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return len(self.parts)

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each resample."""
        total: Floats = self.parts @ weights
        return total


@dataclass(frozen=True, eq=False)
class TopEntities:
    """Card precision@k for resampled entities."""

    ranked: RankedEntities
    k: int

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return max((len(codes) for codes, _ in self.ranked.ranks), default=0)

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each resample."""
        hits, *_ = self.ranked.review(weights.astype(np.int64), self.k)
        return ratio(hits.sum(axis=0), self.k * len(self.ranked.days))


@dataclass(frozen=True, eq=False)
class TopTransactions:
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
    ) -> TopTransactions:
        """Rank the counts of each day by score."""
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
        """Numbers that a resample holds in memory."""
        return max((len(codes) for codes, *_ in self.days), default=0)

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each resample."""
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
