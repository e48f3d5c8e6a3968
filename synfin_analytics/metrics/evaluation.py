"""How good a model is: at a threshold, over all thresholds, and among the first of a day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import cost, summary
from synfin_analytics.metrics.at_threshold import AtThreshold
from synfin_analytics.metrics.curve import Curve
from synfin_analytics.metrics.of_rows import OfRows
from synfin_analytics.metrics.proportions import (
    Interval,
    check_interval,
    proportion_interval,
    ratio,
)
from synfin_analytics.metrics.rows import FrameRows, Rows
from synfin_analytics.metrics.scored import score_counts
from synfin_analytics.metrics.threshold import Threshold, as_threshold
from synfin_analytics.wording import decimal, plural

if TYPE_CHECKING:
    from synfin_analytics.metrics.confusion import Confusion
    from synfin_analytics.metrics.scores import ScoreCounts


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(AtThreshold, OfRows):
    """What a model got right, at a threshold and over all of them; :func:`evaluate` makes it.

    Whatever is not defined (0/0) is NaN, and :meth:`summary` says why in words. All numbers are
    exact: they come from counts of the distinct scores.

    Parameters
    ----------
    counts
        Labelled transactions and frauds by score.
    threshold
        A score at the threshold or above is an alert.
    interval_kind, level
        Interval of proportions, see :func:`proportion_interval`.
    rows
        Where the rows are, for what needs days, cards or clusters.
    """

    counts: ScoreCounts
    threshold: Threshold
    interval_kind: Interval = "wilson"
    level: float = 0.95
    rows: Rows | None = None

    # -- Counts ---------------------------------------------------------------------------------

    @cached_property
    def _curve(self) -> Curve:
        return Curve(self.counts)

    @cached_property
    def confusion(self) -> Confusion:
        """The four counts at the threshold."""
        return self._curve.at(self.threshold.value)

    @property
    def n(self) -> int:
        """Labelled transactions."""
        return self._curve.n

    @property
    def frauds(self) -> int:
        """Frauds among them."""
        return self._curve.positives

    @property
    def unlabelled(self) -> int:
        """Transactions that were left out, for they have no label."""
        return self.counts.unlabelled

    # -- Metrics --------------------------------------------------------------------------------

    @property
    def roc_auc(self) -> float:
        """Chance that a fraud scores higher than a genuine transaction; a tie counts half."""
        return self._curve.roc_auc

    @property
    def average_precision(self) -> float:
        """Mean precision over the frauds, each at its own score as the threshold."""
        return self._curve.average_precision

    @property
    def brier(self) -> float:
        """Mean squared difference of score and truth; 0 is best."""
        return self._curve.brier

    def interval(self, metric: str) -> tuple[float, float]:
        """Interval of a proportion, as if transactions were independent.

        :meth:`bootstrap` has those of the areas, and lets the transactions of a card belong
        together.
        """
        return self.confusion.interval(metric, self.interval_kind, self.level)

    def baseline(self, metric: str) -> float:
        """Value of ``metric`` without a model: as many alerts at random, the same score for all."""
        return summary.baseline(self, metric)

    # -- Thresholds -----------------------------------------------------------------------------

    def at(self, threshold: float | Threshold) -> Evaluation:
        """Evaluate the same rows at another threshold."""
        return replace(self, threshold=as_threshold(threshold))

    def curve(self, points: int | None = None) -> pd.DataFrame:
        """Draw up counts and rates for each threshold, see :meth:`Curve.frame`."""
        return self._curve.frame(points)

    def recall_at_fpr(self, rate: float) -> float:
        """Highest recall of a threshold whose false-positive rate is at most ``rate``."""
        if not 0 <= rate <= 1:
            raise ArgumentError(f"rate is a false-positive rate from 0 to 1; got {rate!r}.")
        false = self._curve.alerts - self._curve.tp
        allowed = false <= rate * (self.n - self.frauds)
        tp = int(self._curve.tp[allowed].max(initial=0))
        return float(ratio(tp, self.frauds))

    def precision_at_prevalence(self, prevalence: float) -> float:
        """Precision that the same recall and false-positive rate give where fraud is as frequent.

        By Bayes: p·TPR / (p·TPR + (1 - p)·FPR).
        """
        if not 0 <= prevalence <= 1:
            raise ArgumentError(f"prevalence is a share from 0 to 1; got {prevalence!r}.")
        hits = prevalence * self.recall
        false = (1 - prevalence) * self.confusion.false_positive_rate
        return float(ratio(hits, hits + false))

    def threshold_for_alerts(self, alerts: int) -> Threshold:
        """Lowest threshold that raises at most so many alerts on these rows."""
        if isinstance(alerts, bool) or not isinstance(alerts, int) or alerts < 0:
            raise ArgumentError(f"alerts is a number of them, at least 0; got {alerts!r}.")
        place = int(np.searchsorted(self._curve.alerts, alerts, side="right"))
        value = float(self.counts.score[place - 1]) if place else np.inf
        return Threshold(value, f"at most {alerts:,} alerts", self.counts.fingerprint)

    def cost_curve(
        self, cost_per_alert: float, recovery_rate: float = 1.0, points: int | None = None
    ) -> pd.DataFrame:
        """Cost of each threshold, see :func:`synfin_analytics.metrics.cost.cost_curve`."""
        return cost.cost_curve(self._curve, cost_per_alert, recovery_rate, points)

    def best_threshold(self, cost_per_alert: float, recovery_rate: float = 1.0) -> Threshold:
        """Threshold of the lowest cost on these rows; report it on others."""
        costs = self.cost_curve(cost_per_alert, recovery_rate)
        value = float(costs["threshold"].iloc[int(costs["cost"].argmin())])
        what = f"lowest cost at {cost_per_alert:g} per alert and {recovery_rate:.0%} recovered"
        return Threshold(value, what, self.counts.fingerprint)

    # -- Told -----------------------------------------------------------------------------------

    def calibration(self, bins: int = 10) -> pd.DataFrame:
        """Draw up how many were fraud among transactions of about the same score.

        Returns
        -------
        pandas.DataFrame
            A row for each of ``bins`` equal parts of 0 to 1: ``low_score``, ``high_score``,
            ``transactions``, ``frauds``, ``mean_score``, ``fraud_rate`` and its interval ``low``
            to ``high``.
        """
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
            raise ArgumentError(f"bins is a number of parts, at least 1; got {bins!r}.")
        edges = np.linspace(0, 1, bins + 1)
        transactions, frauds, scores = self._curve.calibration(edges)
        low, high = proportion_interval(frauds, transactions, self.interval_kind, self.level)
        return pd.DataFrame(
            {
                "low_score": edges[:-1],
                "high_score": edges[1:],
                "transactions": transactions,
                "frauds": frauds,
                "mean_score": ratio(scores, transactions),
                "fraud_rate": ratio(frauds, transactions),
                "low": low,
                "high": high,
            }
        )

    def summary(self) -> pd.DataFrame:
        """Draw up every metric, with its interval where it is a proportion.

        Returns
        -------
        pandas.DataFrame
            ``metric``, ``value``, ``low``, ``high``, ``k`` and ``n`` of a proportion, ``baseline``
            (without a model) and ``note``: why a value is not defined, or not to be trusted.
        """
        return summary.summary(self)

    def __repr__(self) -> str:
        return (
            f"Evaluation({plural(self.n, 'transaction')}, {plural(self.frauds, 'fraud')}; at "
            f"{self.threshold}: "
            f"precision {decimal(self.precision)}, recall {decimal(self.recall)}; ROC AUC "
            f"{decimal(self.roc_auc)}, average precision {decimal(self.average_precision)})"
        )

    def _repr_html_(self) -> str:
        return summary.html(self)


def evaluate(
    frame: Any,
    label: str = "is_fraud",
    score: str = "fraud_probability",
    threshold: float | Threshold = 0.5,
    *,
    by: Any = None,
    amount: str | None = None,
    interval: Interval = "wilson",
    level: float = 0.95,
) -> Any:
    """Evaluate the scores of a model against what came true.

    Parameters
    ----------
    frame
        A row for each transaction: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or
        PySpark. A lazy engine counts for itself.
    label
        Column that is true or 1 where it was fraud. Missing: not labelled, left out and counted.
    score
        Column of scores from 0 to 1, higher for what looks like fraud.
    threshold
        A score at the threshold or above is an alert.
    by
        Column or columns to group by: the result is then a :class:`GroupedEvaluation`.
    amount
        Column of the transactions' value, for costs.
    interval, level
        Interval of proportions.

    Returns
    -------
    Evaluation or GroupedEvaluation

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message names the nearest.
    ArgumentError
        A label is neither 0 nor 1, or a score is missing, NaN or not from 0 to 1.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> model = evaluate(frame, "fraud", "p", threshold=0.7)
    >>> model.precision, model.roc_auc
    (0.5, 0.75)
    >>> model.at(0.2).recall
    1.0
    """
    check_interval(interval, level)
    at = as_threshold(threshold)
    if by is not None:
        from synfin_analytics.metrics.by_group import evaluate_groups

        return evaluate_groups(frame, by, label, score, at, amount, interval, level)
    counts = score_counts(frame, label, score, amount)
    return Evaluation(counts, at, interval, level, FrameRows(frame, label, score))
