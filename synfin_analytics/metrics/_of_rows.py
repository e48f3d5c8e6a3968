"""Metrics that need the rows: precision@k by day, and bootstraps of customers or days."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import topk
from synfin_analytics.metrics._resampled import (
    CARDS,
    TOP,
    Options,
    card_sample,
    check_metric,
    count_sample,
    top_sample,
)
from synfin_analytics.metrics._rows import Counts, codes, days_of, highest_by_entity
from synfin_analytics.metrics._scored import DAY
from synfin_analytics.metrics.cost import NO_AMOUNTS
from synfin_analytics.metrics.topk import RankedCards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from synfin_analytics.metrics._resampled import Sample
    from synfin_analytics.metrics._rows import Rows
    from synfin_analytics.metrics._scores import ScoreCounts
    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.threshold import Threshold
    from synfin_analytics.metrics.topk import TopK


class OfRows:
    """Mixin for row-level metrics: precision@k and the cluster bootstrap."""

    if TYPE_CHECKING:

        @property
        def counts(self) -> ScoreCounts:
            """Labelled transactions and frauds by score."""

        @property
        def rows(self) -> Rows | None:
            """Where the rows are."""

        @property
        def threshold(self) -> Threshold:
            """Score from which on a transaction is an alert."""

        @property
        def confidence_level(self) -> float:
            """Confidence of intervals."""

    def precision_at_k(self, k: int, day: str = "timestamp") -> TopK:
        """Precision of the ``k`` transactions of each day (UTC) with the highest scores."""
        counts = self._rows.by_day(check_column_name(day, "day"), topk.check_k(k))
        of = Counts.of(counts)
        return topk.precision_at_k(days_of(counts), of.score, of.transactions, of.frauds, k)

    def card_precision_at_k(
        self, k: int, day: str = "timestamp", entity: str = "customer_id"
    ) -> TopK:
        """Precision of the ``k`` cards of each day; those found leave the pool of later days."""
        topk.check_k(k)
        highest = self._rows.by_entity(
            check_column_name(day, "day"), check_column_name(entity, "entity")
        )
        return topk.card_precision_at_k(*highest_by_entity(highest, entity), k)

    def samples(
        self, metrics: Sequence[str], cluster: str | None, options: Options
    ) -> dict[str, Sample]:
        """Prepare metrics for draws of clusters; rows are read once for all that share them."""
        costly = "cost" in metrics
        if costly and self.counts.fraud_amount is None:
            raise ArgumentError(NO_AMOUNTS)
        threshold = self.counts.cut(self.threshold.value)
        read: dict[str, tuple[NDArray[Any], Counts, bool]] = {}
        found = {}
        for metric in map(check_metric, metrics):
            unit = options.cluster(metric, cluster)
            by_day = unit == options.day
            if metric == CARDS:
                counts = self._rows.by_entity(options.day, options.entity)
                ranked = RankedCards.of(*highest_by_entity(counts, options.entity))
                found[metric] = card_sample(
                    days_of(counts),
                    codes(counts, options.entity),
                    Counts.of(counts),
                    ranked,
                    options,
                    by_day=by_day,
                )
            elif metric == TOP:
                counts = self._rows.by_cluster(unit, None if by_day else options.day)
                days = days_of(counts)
                clusters = days if by_day else codes(counts, unit)
                of = Counts.of(counts)
                found[metric] = top_sample(days, clusters, of, options, by_day=by_day)
            else:
                if unit not in read:
                    counts = self._rows.by_cluster(unit, amount=costly)
                    timed = DAY in counts.columns
                    clusters = days_of(counts) if timed else codes(counts, unit)
                    read[unit] = clusters, Counts.of(counts), timed
                clusters, of, timed = read[unit]
                sample = count_sample(metric, clusters, of, threshold, options)
                found[metric] = replace(sample, by_day=timed)
        return found

    def bootstrap(
        self,
        metric: str = "roc_auc",
        cluster: str | None = None,
        *,
        n_resamples: int = 1000,
        seed: int = 0,
        k: int = 100,
        day: str = "timestamp",
        entity: str = "customer_id",
        max_fpr: float = 0.01,
        cost_per_alert: float | None = None,
        recovery_rate: float = 1.0,
    ) -> Bootstrap:
        """Interval of a metric that keeps the transactions of a cluster together.

        Parameters
        ----------
        metric
            ``"roc_auc"``, ``"average_precision"``, ``"precision"``, ``"recall"``,
            ``"specificity"``, ``"brier"``, ``"recall_at_fpr"``, ``"cost"``,
            ``"precision_at_k"`` or ``"card_precision_at_k"``.
        cluster
            Column whose values are drawn with replacement; of a column of times, days are drawn.
            The default fits the metric: ``customer_id``, and of card precision@k its cards. A few
            days are too few clusters: draw days only of months.
        n_resamples, seed
            Number of draws, and the seed of their generator.
        k, day, entity
            Of precision@k and card precision@k: places in a day, and the columns of times and
            cards. Cards or days (``entity`` or ``day``) are drawn of card precision@k.
        max_fpr
            Of ``"recall_at_fpr"``, see :meth:`Evaluation.recall_at_fpr`.
        cost_per_alert, recovery_rate
            Of ``"cost"``, see :meth:`Evaluation.cost`.

        Returns
        -------
        Bootstrap
            Its ``note`` says why there is no interval, for example of one defrauded customer, or
            that it is rough, with fewer than 10.

        Raises
        ------
        NotFoundError
            The metric has no bootstrap, or a column is not among the rows.
        ArgumentError
            An argument is out of range, rows have no cluster or time, or the rows have changed
            since they were evaluated.
        """
        from synfin_analytics.metrics import bootstrap

        options = Options(k, day, entity, max_fpr, cost_per_alert, recovery_rate)
        unit = options.cluster(check_metric(metric), cluster)
        samples = {"": self.samples([metric], unit, options)[metric]}
        found = bootstrap.resample(
            metric,
            samples,
            cluster=unit,
            n_resamples=n_resamples,
            seed=seed,
            confidence_level=self.confidence_level,
        )
        return found[""]

    @property
    def _rows(self) -> Rows:
        if self.rows is None:
            raise ArgumentError(
                "This evaluation has counts alone: days, cards and clusters are not known. "
                "Evaluate a frame, or a model of a repository."
            )
        return self.rows
