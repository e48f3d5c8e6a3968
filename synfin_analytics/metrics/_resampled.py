"""Metrics as functions of how often each cluster was drawn.

Whatever a draw does not change is computed once: the order of scores, sums by cluster, ranks of a
day. An area under a curve needs the frauds' scores and the number of genuine transactions between
them, by cluster, and every draw is then a product of sparse matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from synfin_analytics._core.arguments import check_column_name, check_integer, check_share
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.cost import NO_AMOUNTS, check_costs
from synfin_analytics.metrics.topk import RankedCards, precision_at_k

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics._rows import Counts
    from synfin_analytics.metrics._scores import Floats, Integers

#: Metrics that need neither days nor parameters; reports show them side by side.
METRICS = ("roc_auc", "average_precision", "precision", "recall", "specificity")
TOP, CARDS = "precision_at_k", "card_precision_at_k"
#: All metrics with a bootstrap.
ALL_METRICS = (*METRICS, "brier", "recall_at_fpr", "cost", TOP, CARDS)
_AREAS = {"roc_auc", "average_precision", "recall_at_fpr"}
#: Distinct scores of a day that are ranked at a time, until no draw has a place left.
_RANKED_AT_ONCE = 512


@dataclass(frozen=True)
class Options:
    """Parameters of the metrics that have some.

    Parameters
    ----------
    k, day, entity
        Of precision@k and card precision@k: places in a day, and the columns of times and cards.
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

    def cluster(self, metric: str, cluster: str | None) -> str:
        """Return the column whose values are drawn: by default cards or customers.

        Raises
        ------
        ArgumentError
            It is not the name of a column; or card precision@k is of cards: nothing but cards or
            days can be drawn.
        """
        if cluster is None:
            return self.entity if metric == CARDS else "customer_id"
        check_column_name(cluster, "cluster")
        if metric == CARDS and cluster not in (self.entity, self.day):
            raise ArgumentError(
                f"`cluster` of {CARDS} must be its cards ({self.entity!r}) or its days "
                f"({self.day!r}); got {cluster!r}."
            )
        return cluster


def check_metric(metric: Any) -> str:
    """Refuse a metric that has no bootstrap, and name those that have one.

    Raises
    ------
    NotFoundError
        There is no bootstrap of it.
    """
    if metric not in ALL_METRICS:
        raise NotFoundError("metric with a bootstrap", metric, ALL_METRICS)
    return str(metric)


class Statistic(Protocol):
    """A metric of one model as a function of the weights of its clusters."""

    @property
    def width(self) -> int:
        """Numbers that a draw needs in memory."""

    def values(self, weights: Floats) -> Floats:
        """Return the metric in each draw; ``weights`` are by cluster and by draw."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of a model by cluster, and its metric.

    Attributes
    ----------
    names
        The clusters, in order.
    transactions, frauds
        Labelled transactions of each cluster, and frauds among them.
    statistic
        The metric.
    carriers, carried_by, by_day
        See :class:`.Bootstrap`.
    """

    names: NDArray[Any]
    transactions: Integers
    frauds: Integers
    statistic: Statistic
    carriers: int
    carried_by: str
    by_day: bool = False

    @property
    def rows(self) -> tuple[int, int]:
        """Labelled transactions and frauds in all."""
        return int(self.transactions.sum()), int(self.frauds.sum())


def count_sample(
    metric: str, clusters: NDArray[Any], counts: Counts, threshold: float, options: Options
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
    """
    if check_metric(metric) in (TOP, CARDS):
        raise ArgumentError(
            f"`metric` must be one that follows from counts by score; got {metric!r}, which needs "
            "the rows of each day."
        )
    names, codes = np.unique(clusters, return_inverse=True)
    statistic: Statistic
    if metric in _AREAS:
        limit = check_share(options.max_fpr, "max_fpr", "a false-positive rate")
        statistic = _Areas.of(metric, codes, len(names), counts, limit)
    elif metric == "cost":
        statistic = _Total(_cost(codes, len(names), counts, threshold, options))
    else:
        statistic = _Shares.of(metric, codes, len(names), counts, threshold)
    return _sample(metric, statistic, names, codes, counts, counts.score >= threshold)


def top_sample(
    days: NDArray[Any],
    clusters: NDArray[Any],
    counts: Counts,
    options: Options,
    *,
    by_day: bool = False,
) -> Sample:
    """Prepare precision@k, of which clusters or whole days are drawn.

    Parameters
    ----------
    days, clusters, counts
        Day and cluster of each count by day, cluster and score, and the counts.
    options
        ``k``.
    by_day
        Draw days, each with the hits that it had.
    """
    k = check_integer(options.k, "k", minimum=1)
    names, codes = np.unique(days if by_day else clusters, return_inverse=True)
    statistic: Statistic
    if by_day:
        daily = precision_at_k(days, counts.score, counts.transactions, counts.frauds, k).daily
        statistic = _Total(daily["hits"].to_numpy() / (k * max(len(names), 1)))
    else:
        statistic = _Places.of(days, codes, counts, k)
    return _sample(TOP, statistic, names, codes, counts, by_day=by_day)


def card_sample(
    days: NDArray[Any],
    cards: NDArray[Any],
    counts: Counts,
    ranked: RankedCards,
    options: Options,
    *,
    by_day: bool = False,
) -> Sample:
    """Prepare card precision@k, of which cards or whole days are drawn.

    Parameters
    ----------
    days, cards, counts
        Day and card of each count by day, card and score, and the counts.
    ranked
        The cards of each day, by rank.
    options
        ``k``.
    by_day
        Draw days, each with the hits that it had. Otherwise cards are drawn: a card that is drawn
        twice counts as two cards, which are found and blocked one by one.
    """
    k = check_integer(options.k, "k", minimum=1)
    names, codes = np.unique(days if by_day else cards, return_inverse=True)
    statistic: Statistic = _Cards(ranked, k)
    if by_day:
        hits, *_ = ranked.detect(np.ones((ranked.cards, 1), np.int64), k)
        statistic = _Total(hits[:, 0] / (k * max(len(names), 1)))
    return _sample(CARDS, statistic, names, codes, counts, by_day=by_day)


def _sample(
    metric: str,
    statistic: Statistic,
    names: NDArray[Any],
    codes: NDArray[np.intp],
    counts: Counts,
    alert: NDArray[np.bool_] | None = None,
    *,
    by_day: bool = False,
) -> Sample:
    def total(values: Any) -> Integers:
        return np.bincount(codes, weights=values, minlength=len(names)).astype(np.int64)

    transactions, frauds = total(counts.transactions), total(counts.frauds)
    carrying = {"have fraud": frauds > 0}
    if metric in {"roc_auc", "recall_at_fpr", "specificity"}:
        carrying["have genuine transactions"] = transactions > frauds
    if metric == "specificity":
        del carrying["have fraud"]
    if metric == "precision" and alert is not None:
        carrying["have alerts"] = total(alert * counts.transactions) > 0
    numbers = {what: int(np.count_nonzero(which)) for what, which in carrying.items()}
    fewest = min(numbers, key=numbers.__getitem__)
    return Sample(names, transactions, frauds, statistic, numbers[fewest], fewest, by_day)


def _cost(
    codes: NDArray[np.intp], clusters: int, counts: Counts, threshold: float, options: Options
) -> Floats:
    """Add up the cost of each cluster at the threshold."""
    if options.cost_per_alert is None:
        raise ArgumentError("The metric 'cost' needs `cost_per_alert`, such as cost_per_alert=5.")
    if counts.fraud_amount is None:
        raise ArgumentError(NO_AMOUNTS)
    each, recovered = check_costs(options.cost_per_alert, options.recovery_rate)
    alert = counts.score >= threshold
    lost = np.where(alert, (1 - recovered) * counts.fraud_amount, counts.fraud_amount)
    cost = each * alert * counts.transactions + lost
    return np.bincount(codes, weights=cost, minlength=clusters).astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Areas:
    """Frauds at each of their distinct scores, and genuine ones at and between these."""

    metric: str
    frauds: sparse.csr_array
    genuine: sparse.csr_array
    max_fpr: float

    @classmethod
    def of(
        cls, metric: str, codes: NDArray[np.intp], clusters: int, counts: Counts, max_fpr: float
    ) -> _Areas:
        marks = np.unique(counts.score[counts.frauds > 0])[::-1]
        place = np.searchsorted(-marks, -counts.score)  # of the first mark at or below
        padded = np.append(marks, -np.inf)
        slot = 2 * place + (padded[place] == counts.score)
        genuine = counts.transactions - counts.frauds
        bad = counts.frauds > 0
        return cls(
            metric,
            sparse.csr_array(
                (counts.frauds[bad].astype(float), (place[bad], codes[bad])),
                shape=(len(marks), clusters),
            ),
            sparse.csr_array(
                (genuine.astype(float), (slot, codes)), shape=(2 * len(marks) + 1, clusters)
            ),
            max_fpr,
        )

    @property
    def width(self) -> int:
        return int(self.genuine.shape[0])

    def values(self, weights: Floats) -> Floats:
        frauds, genuine = self.frauds @ weights, self.genuine @ weights
        positives, negatives = frauds.sum(axis=0), genuine.sum(axis=0)
        above = np.cumsum(genuine, axis=0)[1::2]  # at the mark or higher
        if self.metric == "roc_auc":
            ties = genuine[1::2]
            below = negatives - above + ties / 2
            return ratio((frauds * below).sum(axis=0), positives * negatives)
        tp = np.cumsum(frauds, axis=0)
        if self.metric == "recall_at_fpr":  # recall only rises at a mark
            allowed = above <= self.max_fpr * negatives
            return ratio(np.where(allowed, tp, 0).max(axis=0, initial=0), positives)
        precision = np.nan_to_num(ratio(tp, tp + above))
        return ratio((precision * frauds).sum(axis=0), positives)


@dataclass(frozen=True, eq=False)
class _Shares:
    """Numerator and denominator of a rate or a mean, by cluster."""

    part: Floats
    whole: Floats

    @classmethod
    def of(
        cls,
        metric: str,
        codes: NDArray[np.intp],
        clusters: int,
        counts: Counts,
        threshold: float,
    ) -> _Shares:
        alert = counts.score >= threshold
        genuine = counts.transactions - counts.frauds
        squares = counts.frauds * (1 - counts.score) ** 2 + genuine * counts.score**2
        part, whole = {
            "precision": (alert * counts.frauds, alert * counts.transactions),
            "recall": (alert * counts.frauds, counts.frauds),
            "specificity": (~alert * genuine, genuine),
            "brier": (squares, counts.transactions),
        }[metric]
        return cls(
            *(
                np.bincount(codes, weights=one, minlength=clusters).astype(np.float64)
                for one in (part, whole)
            )
        )

    @property
    def width(self) -> int:
        return len(self.part)

    def values(self, weights: Floats) -> Floats:
        return ratio(self.part @ weights, self.whole @ weights)


@dataclass(frozen=True, eq=False)
class _Total:
    """A sum over clusters: a cost, or the hits of days over all their places."""

    part: Floats

    @property
    def width(self) -> int:
        return len(self.part)

    def values(self, weights: Floats) -> Floats:
        total: Floats = self.part @ weights
        return total


@dataclass(frozen=True, eq=False)
class _Cards:
    """Card precision@k where cards are drawn."""

    ranked: RankedCards
    k: int

    @property
    def width(self) -> int:
        return max((len(codes) for codes, _ in self.ranked.ranks), default=0)

    def values(self, weights: Floats) -> Floats:
        hits, *_ = self.ranked.detect(weights.astype(np.int64), self.k)
        return ratio(hits.sum(axis=0), self.k * len(self.ranked.days))


@dataclass(frozen=True, eq=False)
class _Places:
    """Precision@k where customers or other clusters are drawn.

    Attributes
    ----------
    days
        For each day its counts by score and cluster, the highest score first: the cluster, the
        transactions and the frauds of each, and where a new score begins.
    """

    days: list[tuple[NDArray[np.intp], Floats, Floats, NDArray[np.intp]]]
    k: int

    @classmethod
    def of(cls, day: NDArray[Any], codes: NDArray[np.intp], counts: Counts, k: int) -> _Places:
        order = np.lexsort((-counts.score, day))
        days = []
        for rows in np.split(order, np.flatnonzero(day[order][1:] != day[order][:-1]) + 1):
            if not len(rows):
                continue
            score = counts.score[rows]
            begins = np.flatnonzero(np.append(True, score[1:] != score[:-1]))
            transactions, frauds = (
                one[rows].astype(np.float64) for one in (counts.transactions, counts.frauds)
            )
            days.append((codes[rows], transactions, frauds, begins))
        return cls(days, k)

    @property
    def width(self) -> int:
        return max((len(codes) for codes, *_ in self.days), default=0)

    def values(self, weights: Floats) -> Floats:
        hits = np.zeros(weights.shape[1])
        for codes, transactions, frauds, begins in self.days:
            left = np.full(weights.shape[1], float(self.k))
            for first in range(0, len(begins), _RANKED_AT_ONCE):
                ties = begins[first : first + _RANKED_AT_ONCE + 1]
                end = ties[-1] if len(ties) > _RANKED_AT_ONCE else len(codes)
                starts = ties[:_RANKED_AT_ONCE] - ties[0]
                rows = slice(ties[0], end)
                drawn = weights[codes[rows]]
                total, bad = (
                    np.add.reduceat(drawn * one[rows, None], starts, axis=0)
                    for one in (transactions, frauds)
                )
                taken = np.clip(left - (np.cumsum(total, axis=0) - total), 0, total)
                hits += (taken * np.nan_to_num(ratio(bad, total))).sum(axis=0)
                left -= taken.sum(axis=0)
                if not left.any():
                    break
        return ratio(hits, self.k * len(self.days))
