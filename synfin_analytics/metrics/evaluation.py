"""Evaluation of a model: at a threshold, over all thresholds, by day, by group."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
import pandas as pd
from scipy.special import entr

from synfin_analytics._core.arguments import (
    check_column_name,
    check_integer,
    check_share,
    check_string,
)
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import METRICS as METRIC_NAMES
from synfin_analytics._core.formatting import (
    format_confidence_level,
    format_decimal,
    format_interval,
    format_metric,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.lookup import explore
from synfin_analytics._core.output import from_pandas
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import _row_metrics
from synfin_analytics.metrics._plots import EvaluationPlots
from synfin_analytics.metrics._resampling import resample
from synfin_analytics.metrics.bootstrap import (
    ALL_METRICS,
    CARDS,
    OF_VALUE,
    TOP,
    MetricOptions,
    check_metric,
)
from synfin_analytics.metrics.confusion import SHARES, false_positive_ratio
from synfin_analytics.metrics.curve import (
    NO_AMOUNTS,
    Curve,
    cheapest_threshold,
    cost_at_threshold,
    cost_curve,
)
from synfin_analytics.metrics.gains import gains_table
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    import pyarrow as pa

    from synfin_analytics._core.output import Output
    from synfin_analytics.metrics._resampling import Sample
    from synfin_analytics.metrics._row_metrics import Rows
    from synfin_analytics.metrics._score_counts import ScoreCounts
    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.confusion import Confusion
    from synfin_analytics.metrics.gains import GainsTable
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.plots.explorer.widget import Explorer

    AnyFrame: TypeAlias = pd.DataFrame | pl.DataFrame | pa.Table

#: Metrics of a threshold, then those of the whole ranking, in the order of a summary.
AT_THRESHOLD = (
    "precision",
    "recall",
    "value_detection_rate",
    "f1",
    "specificity",
    "false_positive_rate",
    "false_positive_ratio",
    "alert_rate",
    "accuracy",
    "balanced_accuracy",
    "mcc",
)
_OF_CURVE = ("roc_auc", "gini", "ks", "average_precision", "brier", "log_loss")
METRICS = (*AT_THRESHOLD, *_OF_CURVE, "prevalence")
#: Columns of a summary. A terminal of 80 columns shows the first ones, and the last ones: the
#: value with its interval.
COLUMNS = ("metric", "k", "n", "baseline", "note", "value", "value_low", "value_high")
_NO_WEIGHTS = (
    "Precision@k and card precision@k count what a team reviews in a day, which weights do not "
    "say. Call evaluate without `weight`, on all transactions of these days."
)
_NO_ROWS = (
    "This evaluation was computed from arrays or counts, so days, entities and clusters are "
    "unknown. Evaluate a DataFrame with these columns, or a model of a repository."
)


# -- Threshold -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Threshold(Result):
    """Score from which on a transaction is an alert.

    Wherever a threshold is expected, a number does as well. :meth:`to_frame` has one row with
    ``value`` and ``reason``.

    Attributes
    ----------
    value
        The score; infinite for no alert at all.
    reason
        How it was chosen; empty if it was given.
    fitted_on
        Fingerprint of the counts on which it was chosen: on the same rows its metrics are too
        good, and :meth:`Evaluation.summary` says so.

    Examples
    --------
    >>> threshold = Threshold(0.7, "alert budget")
    >>> float(threshold), str(threshold)
    (0.7, '0.7 (alert budget)')
    """

    value: float
    reason: str = ""
    fitted_on: int | None = field(default=None, repr=False)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g}" + (f" ({self.reason})" if self.reason else "")

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame({"value": [self.value], "reason": [self.reason]})

    def _record(self) -> Mapping[str, Any]:
        return {"value": self.value, "reason": self.reason}

    def _repr_html_(self) -> str:
        return table_html(("threshold", "reason"), [(f"{self.value:.6g}", self.reason)])


def check_threshold(threshold: float | Threshold) -> Threshold:
    """Return a threshold; a number becomes one.

    Raises
    ------
    ArgumentError
        It is neither a score from 0 to 1 nor infinite.
    """
    if isinstance(threshold, Threshold):
        return threshold
    number: Any = threshold
    if isinstance(number, Real) and float(number) == math.inf:
        return Threshold(math.inf)
    return Threshold(check_share(threshold, "threshold", "a score (or infinite, for no alert)"))


# -- Evaluation ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Result):
    """Metrics of a model, at a threshold and over all thresholds; :func:`evaluate` returns it.

    Metrics that are undefined (0/0) are NaN, and :meth:`summary` says why. All numbers are exact:
    they come from counts of the distinct scores. :meth:`to_frame` is the same as :meth:`summary`.

    Parameters
    ----------
    counts
        Labelled transactions and frauds by score.
    threshold
        A score at the threshold or above is an alert.
    interval_method, confidence_level
        Interval of proportions, see :func:`proportion_interval`.
    rows
        The rows, for metrics that need days, entities or clusters.

    Examples
    --------
    >>> from synfin_analytics import evaluate
    >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], threshold=0.7)
    >>> model
    Evaluation(4 transactions, 2 frauds; at 0.7: precision 0.500, recall 0.500; ROC AUC 0.750, \
average precision 0.833)
    >>> model.confusion
    Confusion(tp=1, fp=1, fn=1, tn=1)
    >>> model.baseline("precision"), model.at_threshold(0.2).recall
    (0.5, 1.0)
    """

    counts: ScoreCounts
    threshold: Threshold
    interval_method: IntervalMethod = "wilson"
    confidence_level: float = 0.95
    rows: Rows | None = None

    # -- Counts ---------------------------------------------------------------------------------

    @cached_property
    def _curve(self) -> Curve:
        return Curve(self.counts)

    @cached_property
    def confusion(self) -> Confusion:
        """The four counts at the threshold."""
        return self._curve.at_threshold(self.threshold.value)

    @property
    def n(self) -> int:
        """Labelled transactions; with weights, the sum of theirs."""
        return self._curve.n

    @property
    def n_frauds(self) -> int:
        """Frauds among them."""
        return self._curve.n_frauds

    @property
    def n_unlabelled(self) -> int:
        """Transactions that are left out because they have no label."""
        return self.counts.n_unlabelled

    @property
    def alerts(self) -> int:
        """Transactions at the threshold or above."""
        return self.confusion.alerts

    # -- Metrics at the threshold ---------------------------------------------------------------

    @property
    def precision(self) -> float:
        """Share of the alerts that were fraud: TP / (TP + FP)."""
        return self.confusion.precision

    @property
    def recall(self) -> float:
        """Share of the frauds that were alerted: TP / (TP + FN)."""
        return self.confusion.recall

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.confusion.f1

    @property
    def specificity(self) -> float:
        """Share of the genuine transactions that were not alerted: TN / (TN + FP)."""
        return self.confusion.specificity

    @property
    def value_detection_rate(self) -> float:
        """Share of the value of all fraud that was alerted; NaN without amounts."""
        return self._curve.value_detection_rate(self.threshold.value)

    @property
    def false_positive_rate(self) -> float:
        """Share of the genuine transactions that were alerted: FP / (TN + FP)."""
        return self.confusion.false_positive_rate

    @property
    def false_positive_ratio(self) -> float:
        """False alerts per fraud that was alerted: FP / TP."""
        return self.confusion.false_positive_ratio

    @property
    def alert_rate(self) -> float:
        """Share of the transactions that were alerted."""
        return self.confusion.alert_rate

    @property
    def accuracy(self) -> float:
        """Share of correct predictions; high for rare fraud even if no fraud is alerted."""
        return self.confusion.accuracy

    @property
    def balanced_accuracy(self) -> float:
        """Mean of recall and specificity."""
        return self.confusion.balanced_accuracy

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient of alerts and frauds."""
        return self.confusion.mcc

    @property
    def prevalence(self) -> float:
        """Share of the transactions that were fraud: the precision of random alerts."""
        return self.confusion.prevalence

    # -- Metrics over all thresholds ------------------------------------------------------------

    @property
    def roc_auc(self) -> float:
        """Probability that a fraud scores higher than a genuine transaction; a tie counts half.

        The area under the ROC curve (Mann and Whitney, 1947).
        """
        return self._curve.roc_auc

    @property
    def gini(self) -> float:
        """Gini coefficient of the ranking: 2 * ROC AUC - 1."""
        return self._curve.gini

    @property
    def ks(self) -> float:
        """Largest difference between the shares of frauds and of genuine transactions alerted.

        The two-sided statistic of Kolmogorov and Smirnov, over all thresholds.
        """
        return self._curve.ks

    @property
    def average_precision(self) -> float:
        """Mean precision over the frauds, each at its own score as the threshold.

        The area under the precision-recall curve without interpolation, as in scikit-learn.
        """
        return self._curve.average_precision

    @property
    def brier(self) -> float:
        """Mean squared difference of score and label (Brier, 1950); 0 is best."""
        return self._curve.brier

    @property
    def log_loss(self) -> float:
        """Mean negative log-likelihood of the labels (Good, 1952); 0 is best.

        A score of 0 or 1 is clipped to the precision of a double, as in scikit-learn.
        """
        return self._curve.log_loss

    def confidence_interval(self, metric: str) -> tuple[float, float]:
        """Return the interval of a proportion, for independent transactions.

        :meth:`bootstrap` has intervals of all metrics, and keeps the transactions of a customer
        together.

        Parameters
        ----------
        metric
            ``"precision"``, ``"recall"``, ``"specificity"``, ``"false_positive_rate"``,
            ``"alert_rate"``, ``"accuracy"``, ``"prevalence"``, or ``"false_positive_ratio"``, whose
            interval follows from that of precision.

        Returns
        -------
        tuple of float
            Lower and upper end.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1])
        >>> low, high = model.confidence_interval("recall")
        >>> f"{low:.2f} to {high:.2f}"
        '0.09 to 0.91'
        """
        return self.confusion.confidence_interval(
            metric,
            interval_method=self.interval_method,
            confidence_level=self.confidence_level,
        )

    def baseline(self, metric: str) -> float:
        """Return ``metric`` without a model: the same number of random alerts, a constant score.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> evaluate([1, 0, 0, 0], [0.9, 0.8, 0.3, 0.1]).baseline("average_precision")
        0.25
        """
        prevalence = self.prevalence
        queue = float(ratio(self.alerts, self.n))
        baselines = {
            "precision": prevalence,
            "recall": queue,
            "value_detection_rate": queue,
            "f1": float(ratio(2 * prevalence * queue, prevalence + queue)),
            "specificity": 1 - queue,
            "false_positive_rate": queue,
            "false_positive_ratio": float(ratio(1 - prevalence, prevalence)),
            "alert_rate": queue,
            "accuracy": prevalence * queue + (1 - prevalence) * (1 - queue),
            "balanced_accuracy": 0.5,
            "mcc": 0.0,
            "roc_auc": 0.5,
            "gini": 0.0,
            "ks": 0.0,
            "average_precision": prevalence,
            "brier": prevalence * (1 - prevalence),
            "log_loss": float(entr(prevalence) + entr(1 - prevalence)),
            "prevalence": prevalence,
        }
        if check_string(metric, "metric", example="recall") not in baselines:
            raise NotFoundError("metric", metric, baselines)
        return baselines[metric]

    def _note(self, metric: str) -> str:
        """Return why the value of a metric is undefined or unreliable; otherwise empty."""
        if np.isnan(getattr(self, metric)):
            if not self.n:
                return "there is no labelled transaction"
            if metric == "value_detection_rate" and self.n_frauds:
                return "no fraud has a value"
            if metric in {"precision", "mcc", "false_positive_ratio"} and not self.alerts:
                return "no alerts at this threshold"
            if metric == "false_positive_ratio":
                return "no fraud was alerted"
            return "every transaction was fraud" if self.n_frauds else "no transaction was fraud"
        if self.counts.weighted and (metric in SHARES or metric == "false_positive_ratio"):
            bootstrap = " here: see bootstrap()" if metric in ALL_METRICS else ""
            return f"weights leave no interval{bootstrap}"
        if metric in AT_THRESHOLD and self.threshold.fitted_on == self.counts.fingerprint:
            return "the threshold was chosen on these rows"
        return ""

    # -- Thresholds -----------------------------------------------------------------------------

    def at_threshold(self, threshold: float | Threshold) -> Evaluation:
        """Evaluate the same rows at another threshold.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).at_threshold(0.2).alerts
        3
        """
        return replace(self, threshold=check_threshold(threshold))

    def recall_at_fpr(self, rate: float) -> float:
        """Return the highest recall of a threshold whose false-positive rate is at most ``rate``.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).recall_at_fpr(0.5)
        1.0
        """
        rate = check_share(rate, "rate", "a false-positive rate")
        false_positives = self._curve.alerts - self._curve.tp
        allowed = false_positives <= rate * (self.n - self.n_frauds)
        tp = int(self._curve.tp[allowed].max(initial=0))
        return float(ratio(tp, self.n_frauds))

    def precision_at_prevalence(self, prevalence: float) -> float:
        """Return the precision of the same recall and false-positive rate at another prevalence.

        By Bayes' theorem: p·TPR / (p·TPR + (1 - p)·FPR).

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> round(evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).precision_at_prevalence(0.01), 3)
        0.01
        """
        prevalence = check_share(prevalence, "prevalence")
        hits = prevalence * self.recall
        false_alerts = (1 - prevalence) * self.confusion.false_positive_rate
        return float(ratio(hits, hits + false_alerts))

    def gains_table(self, bands: int | Sequence[float] = 10) -> GainsTable:
        """Return frauds, lift and KS by band of the score, the highest scores first.

        Parameters
        ----------
        bands
            Number of bands with equally many transactions, or the scores between the bands, rising.
            Transactions with the same score are never split: a band ends with the score at which
            its share of the transactions is reached, so with many ties there are fewer bands. Given
            scores belong to the band above them.

        Returns
        -------
        GainsTable
            Intervals are those of independent transactions.

        Raises
        ------
        ArgumentError
            ``bands`` is neither a number of at least 1 nor rising scores from 0 to 1.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1])
        >>> gains = model.gains_table([0.5]).to_frame()
        >>> gains[["score_from", "score_to", "transactions", "lift", "ks"]].values.tolist()
        [[0.5, 1.0, 2.0, 1.0, 0.0], [0.0, 0.5, 2.0, 1.0, 0.0]]
        """
        return gains_table(
            self._curve,
            bands,
            interval_method=self.interval_method,
            confidence_level=self.confidence_level,
        )

    def threshold_for_alerts(self, alerts: int) -> Threshold:
        """Return the lowest threshold that raises at most ``alerts`` alerts on these rows.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).threshold_for_alerts(2).value
        0.8
        """
        alerts = check_integer(alerts, "alerts")
        count = int(np.searchsorted(self._curve.alerts, alerts, side="right"))
        value = float(self.counts.score[count - 1]) if count else np.inf
        return Threshold(value, f"at most {alerts:,} alerts", self.counts.fingerprint)

    def cost(self, cost_per_alert: float, recovery_rate: float = 1.0) -> float:
        """Return the cost at the threshold, see :meth:`cost_curve`.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> model.cost(cost_per_alert=5)
        30.0
        """
        return cost_at_threshold(self._curve, self.threshold.value, cost_per_alert, recovery_rate)

    def best_threshold(self, cost_per_alert: float, recovery_rate: float = 1.0) -> Threshold:
        """Return the threshold of the lowest cost on these rows; report its metrics on others.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> model.best_threshold(cost_per_alert=5).value
        0.3
        """
        value = cheapest_threshold(self._curve, cost_per_alert, recovery_rate)
        reason = f"lowest cost at {cost_per_alert:g} per alert and {recovery_rate:.0%} recovered"
        return Threshold(value, reason, self.counts.fingerprint)

    # -- Tables ---------------------------------------------------------------------------------

    @overload
    def curve(
        self, points: int | None = ..., *, output: Literal["pandas"] = ...
    ) -> pd.DataFrame: ...
    @overload
    def curve(self, points: int | None = ..., *, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def curve(self, points: int | None = ..., *, output: Literal["arrow"]) -> pa.Table: ...
    def curve(self, points: int | None = None, *, output: Output = "pandas") -> AnyFrame:
        """Return counts and rates at each threshold.

        Parameters
        ----------
        points
            Maximum number of rows besides the first, at least 8; by default one for each distinct
            score.
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            From no alerts to alerts for all: ``threshold`` (descending, first infinite),
            ``alerts``, ``queue_rate`` = alerts / n, ``tp``, ``fp``, ``fn``, ``tn``, ``precision``,
            ``recall``, ``false_positive_rate``.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> curve = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).curve()
        >>> curve[["threshold", "alerts", "recall"]].values.tolist()[1]
        [0.9, 1.0, 0.5]
        """
        return self._curve.to_frame(output, points=points)

    @overload
    def cost_curve(
        self,
        cost_per_alert: float,
        recovery_rate: float = ...,
        points: int | None = ...,
        *,
        output: Literal["pandas"] = ...,
    ) -> pd.DataFrame: ...
    @overload
    def cost_curve(
        self,
        cost_per_alert: float,
        recovery_rate: float = ...,
        points: int | None = ...,
        *,
        output: Literal["polars"],
    ) -> pl.DataFrame: ...
    @overload
    def cost_curve(
        self,
        cost_per_alert: float,
        recovery_rate: float = ...,
        points: int | None = ...,
        *,
        output: Literal["arrow"],
    ) -> pa.Table: ...
    def cost_curve(
        self,
        cost_per_alert: float,
        recovery_rate: float = 1.0,
        points: int | None = None,
        *,
        output: Output = "pandas",
    ) -> AnyFrame:
        """Return the cost of each threshold.

        cost = cost_per_alert · alerts + missed fraud value + (1 - recovery_rate) · caught fraud
        value, which without any alert is the value of all fraud.

        Parameters
        ----------
        cost_per_alert
            Cost of reviewing an alert, in the currency of the amounts.
        recovery_rate
            Share of the value of a caught fraud that is saved, from 0 to 1.
        points
            Maximum number of thresholds, as for :meth:`curve`.
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            ``threshold`` (descending, first infinite), ``alerts``, ``queue_rate``,
            ``caught_amount``, ``missed_amount``, ``alert_cost``, ``cost`` and ``saved`` (relative
            to no alert at all).

        Raises
        ------
        ArgumentError
            The rows were evaluated without amounts, or a parameter is out of range.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> model.cost_curve(cost_per_alert=5)["cost"].tolist()
        [100.0, 25.0, 30.0, 15.0, 20.0]
        """
        costs = cost_curve(self._curve, cost_per_alert, recovery_rate, points)
        return costs if output == "pandas" else from_pandas(costs, output)

    @overload
    def calibration(self, bins: int = ..., *, output: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def calibration(self, bins: int = ..., *, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def calibration(self, bins: int = ..., *, output: Literal["arrow"]) -> pa.Table: ...
    def calibration(self, bins: int = 10, *, output: Output = "pandas") -> AnyFrame:
        """Compare scores with the fraud rate among transactions of about the same score.

        Parameters
        ----------
        bins
            Number of equal parts of 0 to 1. A bin includes its lower end; the last one both.
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            One row for each bin: ``score_from``, ``score_to``, ``transactions``, ``frauds``,
            ``mean_score``, ``fraud_rate`` and its interval, ``fraud_rate_low`` to
            ``fraud_rate_high``.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> bins = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).calibration(2)
        >>> bins[["score_from", "score_to", "mean_score", "fraud_rate"]].values.tolist()
        [[0.0, 0.5, 0.2, 0.5], [0.5, 1.0, 0.8500000000000001, 0.5]]
        """
        bins = check_integer(bins, "bins", minimum=1)
        edges = np.arange(bins + 1) / bins  # linspace rounds differently: 3 * 0.1 is above 0.3
        transactions, frauds, scores = self._curve.count_bins(edges)
        low, high = self._curve.fraud_rate_interval(
            frauds, transactions, self.interval_method, self.confidence_level
        )
        frame = pd.DataFrame(
            {
                "score_from": edges[:-1],
                "score_to": edges[1:],
                "transactions": transactions,
                "frauds": frauds,
                "mean_score": ratio(scores, transactions),
                "fraud_rate": ratio(frauds, transactions),
                "fraud_rate_low": low,
                "fraud_rate_high": high,
            }
        )
        return frame if output == "pandas" else from_pandas(frame, output)

    def calibration_error(self, bins: int = 10) -> float:
        """Return the mean difference of scores and fraud rates of the bins of :meth:`calibration`.

        The expected calibration error (Naeini, Cooper and Hauskrecht, 2015): the absolute
        difference of mean score and fraud rate in each bin, weighted by its transactions. It is
        greater than 0 by chance, the more so the more bins there are.

        Parameters
        ----------
        bins
            Number of equal parts of 0 to 1.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> round(evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).calibration_error(2), 3)
        0.325
        """
        table = self.calibration(bins)
        gaps = (table["mean_score"] - table["fraud_rate"]).abs() * table["transactions"]
        return float(ratio(gaps.sum(), table["transactions"].sum()))

    @overload
    def summary(self, output: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def summary(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def summary(self, output: Literal["arrow"]) -> pa.Table: ...
    def summary(self, output: Output = "pandas") -> AnyFrame:
        """Return every metric, with its interval if it is a proportion.

        The value detection rate is among them if amounts were counted.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            ``metric``, ``k`` and ``n`` of a proportion, ``baseline`` (without a model), ``note``:
            why a value is undefined or unreliable; ``value``, ``value_low`` and ``value_high``.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> summary = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).summary()
        >>> summary.set_index("metric").loc["precision", ["k", "n", "value"]].tolist()
        [1.0, 2.0, 0.5]
        """
        return self.to_frame(output)

    # -- Metrics that need the rows -------------------------------------------------------------

    def precision_at_k(self, k: int, *, day: str = "timestamp") -> TopK:
        """Return the precision of the ``k`` transactions of each day with the highest scores.

        Parameters
        ----------
        k
            Transactions that are reviewed in a day.
        day
            Column of timestamps; their days are those of UTC.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {"day": [1, 1, 2], "fraud": [1, 0, 0], "p": [0.9, 0.4, 0.7]}
        ... ).with_columns(pl.date(2026, 3, "day").alias("timestamp"))
        >>> evaluate(df, "fraud", "p").precision_at_k(1)
        precision@1 = 0.500 over 2 days (at most 0.500)
        """
        return _row_metrics.top_transactions(
            self._unweighted_rows, k, check_column_name(day, "day")
        )

    def card_precision_at_k(
        self, k: int, *, day: str = "timestamp", entity: str = "customer_id"
    ) -> TopK:
        """Return the precision of the ``k`` cards of each day with the highest scores.

        A compromised card among them is blocked and is not a candidate on later days (Le Borgne,
        Siblini, Lebichot and Bontempi, 2022).

        Parameters
        ----------
        k
            Cards that are reviewed in a day.
        day
            Column of timestamps; their days are those of UTC.
        entity
            Column of what is ranked and blocked: cards or customers.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {"day": [1, 1, 2], "card": [7, 8, 7], "fraud": [1, 0, 1], "p": [0.9, 0.4, 0.7]}
        ... ).with_columns(pl.date(2026, 3, "day").alias("timestamp"))
        >>> evaluate(df, "fraud", "p").card_precision_at_k(1, entity="card").daily["hits"].tolist()
        [1.0, 0.0]
        """
        day, entity = check_column_name(day, "day"), check_column_name(entity, "entity")
        return _row_metrics.top_entities(self._unweighted_rows, k, day, entity)

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
        score_bins: int | None = 1000,
    ) -> Bootstrap:
        """Return the interval of a metric that keeps the transactions of a cluster together.

        Parameters
        ----------
        metric
            ``"roc_auc"``, ``"gini"``, ``"ks"``, ``"average_precision"``, ``"brier"``,
            ``"log_loss"``, ``"precision"``, ``"recall"``, ``"specificity"``,
            ``"false_positive_rate"``, ``"false_positive_ratio"``, ``"alert_rate"``,
            ``"value_detection_rate"``, ``"recall_at_fpr"``, ``"cost"``, ``"precision_at_k"`` or
            ``"card_precision_at_k"``.
        cluster
            Column whose values are resampled with replacement; of timestamps, days are resampled.
            The default is ``customer_id`` and, for card precision@k, its entities. A few days are
            too few clusters: resample days only of months of data.
        n_resamples, seed
            Number of resamples, and the seed of their generator.
        k, day, entity
            Of precision@k and card precision@k: how many are reviewed in a day, and the columns of
            timestamps and of what is blocked. Card precision@k resamples ``entity`` or ``day``.
        max_fpr
            Of ``"recall_at_fpr"``, see :meth:`recall_at_fpr`.
        cost_per_alert, recovery_rate
            Of ``"cost"``, see :meth:`cost`.
        score_bins
            Of metrics of the ranking (``"roc_auc"``, ``"gini"``, ``"ks"``, ``"average_precision"``
            and ``"recall_at_fpr"``) on polars' LazyFrame, DuckDB, Dask and Spark: the engine counts
            each cluster in at most so many bins of scores. The value is exact, and so are the
            resamples if each bin of frauds has one score; if not, ``binning_error`` and ``note`` of
            the result say by how much they are off at most. None is always exact, but one row for
            each cluster and score leaves the engine. Frames in memory and PostgreSQL have no bins.

        Returns
        -------
        Bootstrap
            Its ``note`` says why there is no interval, for example with one defrauded customer, or
            that it is rough, with fewer than 10, or how far bins of scores move it.

        Raises
        ------
        NotFoundError
            The metric has no bootstrap, or a column is not among the rows.
        ArgumentError
            An argument is out of range, rows have no cluster or timestamp, or the rows have changed
            since they were evaluated.

        See Also
        --------
        compare_models : intervals of the difference of two models.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {
        ...         "customer_id": [customer for customer in range(40) for _ in range(2)],
        ...         "is_fraud": [number % 4 == 0 for number in range(80)],
        ...         "fraud_probability": [number % 7 / 10 for number in range(80)],
        ...     }
        ... )
        >>> bootstrap = evaluate(df).bootstrap("recall", n_resamples=200)
        >>> bootstrap.value, bootstrap.low < bootstrap.value < bootstrap.high
        (0.3, True)
        """
        options = MetricOptions(k, day, entity, max_fpr, cost_per_alert, recovery_rate, score_bins)
        column = options.cluster_column(check_metric(metric), cluster)
        bootstraps = resample(
            prepare_samples(self, [metric], column, options),
            n_resamples=n_resamples,
            seed=seed,
            confidence_level=self.confidence_level,
        )
        return bootstraps[metric]

    # -- Presentation ---------------------------------------------------------------------------

    @property
    def plot(self) -> EvaluationPlots:
        """Plots of this result, such as ``model.plot.roc()``."""
        return EvaluationPlots(self)

    def explore(
        self,
        *,
        cost_per_alert: float = 5.0,
        recovery_rate: float = 1.0,
        alerts_per_day: int | None = None,
        day: str | None = None,
        currency: str = "",
    ) -> Explorer:
        """Explore all thresholds in Jupyter: a slider, the results at once, and four curves.

        It is the explorer of a model report. The threshold that is selected is its ``threshold``.

        Parameters
        ----------
        cost_per_alert, recovery_rate
            Costs to begin with, see :meth:`cost_curve`. They need amounts.
        alerts_per_day
            Alerts that can be reviewed in a day, or without ``day``, in all.
        day
            Column of timestamps, for alerts per day; by default, all alerts are counted.
        currency
            Of the amounts, such as ``"EUR"``.

        Returns
        -------
        Explorer
            A widget. It displays itself if it is the last expression of a cell.

        Raises
        ------
        MissingDependencyError
            anywidget is not installed; the message contains the command that installs it.
        ArgumentError
            An argument is out of range, or ``day`` is given and there are no rows.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> explorer = model.explore(cost_per_alert=2)
        >>> explorer.threshold
        0.5
        >>> explorer.threshold = 0.3  # moves the slider
        >>> model.at_threshold(explorer.threshold).recall
        1.0
        """
        return explore(
            self,
            cost_per_alert=cost_per_alert,
            recovery_rate=recovery_rate,
            alerts_per_day=alerts_per_day,
            day=day,
            currency=currency,
        )

    @property
    def known_rows(self) -> Rows:
        """The rows; an ArgumentError if the evaluation was computed from arrays or counts."""
        if self.rows is None:
            raise ArgumentError(_NO_ROWS)
        return self.rows

    @property
    def _unweighted_rows(self) -> Rows:
        if self.counts.weighted:
            raise ArgumentError(_NO_WEIGHTS)
        return self.known_rows

    def _table(self) -> pd.DataFrame:
        return summarize([self], self.interval_method, self.confidence_level)

    def _record(self) -> Mapping[str, Any]:
        return {
            "n": self.n,
            "n_frauds": self.n_frauds,
            "n_unlabelled": self.n_unlabelled,
            "threshold": self.threshold._record(),
            "confusion": self.confusion._record(),
            "interval_method": self.interval_method,
            "confidence_level": self.confidence_level,
            "metrics": self._table(),
        }

    def __repr__(self) -> str:
        return (
            f"Evaluation({self.counts.size}; at {self.threshold}: precision "
            f"{format_decimal(self.precision)}, recall {format_decimal(self.recall)}; ROC AUC "
            f"{format_decimal(self.roc_auc)}, average precision "
            f"{format_decimal(self.average_precision)})"
        )

    def _repr_html_(self) -> str:
        caption = f"{self.counts.size}; alerts at {self.threshold} or above"
        if self.n_unlabelled:
            caption += f"; {self.n_unlabelled:,} without a label left out"
        level = format_confidence_level(self.confidence_level)
        head = ("metric", "value", f"{level} interval", "counts", "without a model", "note")
        rows = []
        for row in self._table().to_dict("records"):
            metric, proportion = row["metric"], not pd.isna(row["n"])
            ends = row["value_low"], row["value_high"]
            interval = proportion or metric == "false_positive_ratio"
            rows.append(
                (
                    METRIC_NAMES[metric][0],
                    format_metric(metric, row["value"]),
                    format_interval(metric, *ends) if interval else "",
                    f"{row['k']:,} of {row['n']:,}" if proportion else "",
                    format_metric(metric, row["baseline"]),
                    row["note"],
                )
            )
        return table_html(head, rows, caption=caption, text_columns=(0, 5))


def prepare_samples(
    evaluation: Evaluation, metrics: Sequence[str], cluster: str | None, options: MetricOptions
) -> dict[str, Sample]:
    """Prepare metrics of an evaluation for resampling clusters."""
    counts = evaluation.counts
    if OF_VALUE.intersection(metrics) and counts.fraud_amount is None:
        raise ArgumentError(NO_AMOUNTS)
    threshold = counts.cast_threshold(evaluation.threshold.value)
    if counts.weighted and not {TOP, CARDS}.isdisjoint(metrics):
        raise ArgumentError(_NO_WEIGHTS)
    return _row_metrics.prepare_samples(
        evaluation.known_rows, metrics, cluster, threshold, options, weighted=counts.weighted
    )


def prepare_entities(
    evaluation: Evaluation, cluster: str | None, options: MetricOptions
) -> tuple[TopK, Sample]:
    """Compute card precision@k of an evaluation, and prepare it for resampling clusters."""
    return _row_metrics.prepare_entities(evaluation._unweighted_rows, cluster, options)


# -- Summary ---------------------------------------------------------------------------------------


def summarize(
    evaluations: Sequence[Evaluation], interval_method: IntervalMethod, confidence_level: float
) -> pd.DataFrame:
    """Return every metric of each evaluation, one evaluation below the other.

    The intervals of a metric are computed at once, so that thousands of groups take seconds.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, see :meth:`Evaluation.summary`.
    """
    valued = all(evaluation.counts.fraud_amount is not None for evaluation in evaluations)
    metrics = [metric for metric in METRICS if valued or metric not in OF_VALUE]
    cells = [_cells(metric, evaluations, interval_method, confidence_level) for metric in metrics]
    rows = [
        (metric, *row)
        for of_evaluation in zip(*cells, strict=True)
        for metric, row in zip(metrics, of_evaluation, strict=True)
    ]
    types: dict[str, Any] = {"k": "Int64", "n": "Int64", "note": "str"}
    types |= dict.fromkeys(("baseline", "value", "value_low", "value_high"), float)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def _cells(
    metric: str,
    evaluations: Sequence[Evaluation],
    interval_method: IntervalMethod,
    confidence_level: float,
) -> list[tuple[Any, ...]]:
    """Return the row of a metric for each evaluation."""
    values = [float(getattr(evaluation, metric)) for evaluation in evaluations]
    baselines = [evaluation.baseline(metric) for evaluation in evaluations]
    notes = [evaluation._note(metric) for evaluation in evaluations]
    k: Sequence[Any] = [None] * len(values)
    n, low, high = k, *(np.full(len(values), np.nan) for _ in range(2))
    share = "precision" if metric == "false_positive_ratio" else metric
    if share in SHARES and not any(evaluation.counts.weighted for evaluation in evaluations):
        counts = [evaluation.confusion.counts(share) for evaluation in evaluations]
        successes, trials = ([count[part] for count in counts] for part in (0, 1))
        low, high = proportion_interval(
            successes, trials, interval_method=interval_method, confidence_level=confidence_level
        )
        if metric in SHARES:
            k, n = successes, trials
        else:
            low, high = false_positive_ratio(high), false_positive_ratio(low)
    return list(zip(k, n, baselines, notes, values, low, high, strict=True))
