"""What needs the rows: the first of each day, and draws of customers or days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import topk
from synfin_analytics.metrics.rows import Counts, codes, days_of, highest_by_card
from synfin_analytics.metrics.scored import DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.rows import Rows
    from synfin_analytics.metrics.threshold import Threshold
    from synfin_analytics.metrics.topk import TopK


class OfRows:
    """Whatever knows its rows can rank them by day, and draw them by cluster."""

    if TYPE_CHECKING:

        @property
        def rows(self) -> Rows | None:
            """Where the rows are."""

        @property
        def threshold(self) -> Threshold:
            """Score from which on a transaction is an alert."""

        @property
        def level(self) -> float:
            """Confidence of intervals."""

    def precision_at_k(self, k: int, day: str = "timestamp") -> TopK:
        """Precision of the ``k`` transactions of each day (UTC) with the highest scores."""
        counts = self._rows.by_day(day, topk.check_k(k))
        of = Counts.of(counts)
        return topk.precision_at_k(days_of(counts), of.score, of.transactions, of.frauds, k)

    def card_precision_at_k(
        self, k: int, day: str = "timestamp", card: str = "customer_id"
    ) -> TopK:
        """Precision of the ``k`` cards of each day; those found leave the pool of later days."""
        topk.check_k(k)
        return topk.card_precision_at_k(*highest_by_card(self._rows.by_card(day, card), card), k)

    def clustered(self, cluster: str) -> tuple[NDArray[Any], Counts, float]:
        """Cluster of each count by cluster and score, the counts, and the threshold.

        Where ``cluster`` is a time, days are the clusters.
        """
        counts = self._rows.by_cluster(cluster)
        clusters = days_of(counts) if DAY in counts.columns else codes(counts, cluster)
        return clusters, Counts.of(counts), self.threshold.value

    def bootstrap(
        self,
        metric: str = "roc_auc",
        cluster: str = "customer_id",
        *,
        draws: int = 1000,
        seed: int = 0,
        k: int = 100,
        day: str = "timestamp",
        card: str = "customer_id",
    ) -> Bootstrap:
        """Interval of a metric that lets the rows of a cluster belong together.

        Parameters
        ----------
        metric
            ``"roc_auc"``, ``"average_precision"``, ``"precision"``, ``"recall"``,
            ``"specificity"`` or ``"card_precision_at_k"``.
        cluster
            Column of what is drawn with replacement; of times: days are drawn.
        draws, seed
            How many draws, and the seed of their generator.
        k, day, card
            Of card precision@k alone, where ``cluster`` is one of ``day`` and ``card``.
        """
        from synfin_analytics.metrics import bootstrap

        options: Any = {"cluster": cluster, "draws": draws, "seed": seed, "level": self.level}
        if metric == bootstrap.CARDS:
            if cluster not in (day, card):
                raise ArgumentError(
                    f"Of card precision@k, cards ({card!r}) or days ({day!r}) are drawn; got "
                    f"{cluster!r}."
                )
            ranked = topk.RankedCards.of(*highest_by_card(self._rows.by_card(day, card), card))
            return bootstrap.bootstrap_cards(
                ranked, topk.check_k(k), of_days=cluster == day, **options
            )
        models = {"": self.clustered(cluster)}
        return bootstrap.bootstrap_counts(metric, models, **options)[""]

    @property
    def _rows(self) -> Rows:
        if self.rows is None:
            raise ArgumentError(
                "This evaluation is of counts alone: days, cards and clusters are not known. "
                "Evaluate a frame, or a model of a repository."
            )
        return self.rows
