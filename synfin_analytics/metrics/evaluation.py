"""Evaluation of a model: at a threshold, over all thresholds, by day, by group."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import (
    check_column_name,
    check_integer,
    check_names,
    check_share,
    check_string,
    format_value,
)
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import ENGINES, is_frame, open_frame
from synfin_analytics._core.formatting import METRICS as METRIC_NAMES
from synfin_analytics._core.formatting import (
    format_confidence_level,
    format_decimal,
    format_group,
    format_interval,
    format_metric,
    pluralize,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.output import from_pandas
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, NotFoundError, require_unique_columns
from synfin_analytics.metrics import _row_metrics, cost
from synfin_analytics.metrics._arrays import AMOUNT, LABEL, SCORE, check_order, frame_of_arrays
from synfin_analytics.metrics._plots import EvaluationPlots, GroupedPlots
from synfin_analytics.metrics._row_metrics import FrameRows, Rows, snapshot
from synfin_analytics.metrics._score_counts import (
    INTERNAL,
    GroupKey,
    ScoreCounts,
    count_scores,
    count_scores_by_group,
)
from synfin_analytics.metrics._summary import COLUMNS, METRICS, MetricSource, summarize
from synfin_analytics.metrics.bootstrap import MetricOptions, check_metric, resample
from synfin_analytics.metrics.confusion import SHARES
from synfin_analytics.metrics.curve import Curve
from synfin_analytics.metrics.proportions import (
    IntervalMethod,
    check_interval,
    proportion_interval,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import polars as pl
    import pyarrow as pa
    from narwhals.typing import IntoFrame

    from synfin_analytics._core.output import Output
    from synfin_analytics.metrics._arrays import ArrayLike
    from synfin_analytics.metrics.bootstrap import Bootstrap, Sample
    from synfin_analytics.metrics.confusion import Confusion
    from synfin_analytics.metrics.topk import TopK

    AnyFrame: TypeAlias = pd.DataFrame | pl.DataFrame | pa.Table

#: A group with fewer frauds, or fewer genuine transactions, is marked as small.
_MIN_CLASS_SIZE = 10
#: Columns of :meth:`GroupedEvaluation.to_frame` besides the groups.
_GROUP_COLUMNS = (
    "transactions", "frauds", "small", *(name for name in COLUMNS if name != "baseline"),
)  # fmt: skip
#: Groups that a notebook shows at most.
_MAX_GROUPS = 30
_DEFAULT_SCORE = "fraud_probability"
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
        """Labelled transactions."""
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
    def average_precision(self) -> float:
        """Mean precision over the frauds, each at its own score as the threshold.

        The area under the precision-recall curve without interpolation, as in scikit-learn.
        """
        return self._curve.average_precision

    @property
    def brier(self) -> float:
        """Mean squared difference of score and label (Brier, 1950); 0 is best."""
        return self._curve.brier

    def confidence_interval(self, metric: str) -> tuple[float, float]:
        """Return the interval of a proportion, for independent transactions.

        :meth:`bootstrap` has intervals of all metrics, and keeps the transactions of a customer
        together.

        Parameters
        ----------
        metric
            ``"precision"``, ``"recall"``, ``"specificity"``, ``"false_positive_rate"``,
            ``"accuracy"`` or ``"prevalence"``.

        Returns
        -------
        tuple of float
            Lower and upper end.

        Examples
        --------
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
        >>> evaluate([1, 0, 0, 0], [0.9, 0.8, 0.3, 0.1]).baseline("average_precision")
        0.25
        """
        return self._source.baseline(metric)

    # -- Thresholds -----------------------------------------------------------------------------

    def at_threshold(self, threshold: float | Threshold) -> Evaluation:
        """Evaluate the same rows at another threshold.

        Examples
        --------
        >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).at_threshold(0.2).alerts
        3
        """
        return replace(self, threshold=check_threshold(threshold))

    def recall_at_fpr(self, rate: float) -> float:
        """Return the highest recall of a threshold whose false-positive rate is at most ``rate``.

        Examples
        --------
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
        >>> round(evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).precision_at_prevalence(0.01), 3)
        0.01
        """
        prevalence = check_share(prevalence, "prevalence")
        hits = prevalence * self.recall
        false_alerts = (1 - prevalence) * self.confusion.false_positive_rate
        return float(ratio(hits, hits + false_alerts))

    def threshold_for_alerts(self, alerts: int) -> Threshold:
        """Return the lowest threshold that raises at most ``alerts`` alerts on these rows.

        Examples
        --------
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
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> model.cost(cost_per_alert=5)
        30.0
        """
        return cost.cost_at_threshold(
            self._curve, self.threshold.value, cost_per_alert, recovery_rate
        )

    def best_threshold(self, cost_per_alert: float, recovery_rate: float = 1.0) -> Threshold:
        """Return the threshold of the lowest cost on these rows; report its metrics on others.

        Examples
        --------
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> model.best_threshold(cost_per_alert=5).value
        0.3
        """
        costs = self.cost_curve(cost_per_alert, recovery_rate)
        value = float(costs["threshold"].iloc[int(costs["cost"].argmin())])
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
        >>> model = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], amount=[80, 10, 20, 30])
        >>> model.cost_curve(cost_per_alert=5)["cost"].tolist()
        [100.0, 25.0, 30.0, 15.0, 20.0]
        """
        costs = cost.cost_curve(self._curve, cost_per_alert, recovery_rate, points)
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
        >>> bins = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).calibration(2)
        >>> bins[["score_from", "score_to", "mean_score", "fraud_rate"]].values.tolist()
        [[0.0, 0.5, 0.2, 0.5], [0.5, 1.0, 0.8500000000000001, 0.5]]
        """
        bins = check_integer(bins, "bins", minimum=1)
        edges = np.arange(bins + 1) / bins  # linspace rounds differently: 3 * 0.1 is above 0.3
        transactions, frauds, scores = self._curve.count_bins(edges)
        low, high = proportion_interval(
            frauds,
            transactions,
            interval_method=self.interval_method,
            confidence_level=self.confidence_level,
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

    @overload
    def summary(self, output: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def summary(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def summary(self, output: Literal["arrow"]) -> pa.Table: ...
    def summary(self, output: Output = "pandas") -> AnyFrame:
        """Return every metric, with its interval if it is a proportion.

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
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {"day": [1, 1, 2], "fraud": [1, 0, 0], "p": [0.9, 0.4, 0.7]}
        ... ).with_columns(pl.date(2026, 3, "day").alias("timestamp"))
        >>> evaluate(df, "fraud", "p").precision_at_k(1)
        precision@1 = 0.500 over 2 days (at most 0.500)
        """
        return _row_metrics.top_transactions(self._rows, k, check_column_name(day, "day"))

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
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {"day": [1, 1, 2], "card": [7, 8, 7], "fraud": [1, 0, 1], "p": [0.9, 0.4, 0.7]}
        ... ).with_columns(pl.date(2026, 3, "day").alias("timestamp"))
        >>> evaluate(df, "fraud", "p").card_precision_at_k(1, entity="card").daily["hits"].tolist()
        [1.0, 0.0]
        """
        day, entity = check_column_name(day, "day"), check_column_name(entity, "entity")
        return _row_metrics.top_entities(self._rows, k, day, entity)

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
        """Return the interval of a metric that keeps the transactions of a cluster together.

        Parameters
        ----------
        metric
            ``"roc_auc"``, ``"average_precision"``, ``"precision"``, ``"recall"``,
            ``"specificity"``, ``"brier"``, ``"recall_at_fpr"``, ``"cost"``,
            ``"precision_at_k"`` or ``"card_precision_at_k"``.
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

        Returns
        -------
        Bootstrap
            Its ``note`` says why there is no interval, for example with one defrauded customer, or
            that it is rough, with fewer than 10.

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
        options = MetricOptions(k, day, entity, max_fpr, cost_per_alert, recovery_rate)
        column = options.cluster_column(check_metric(metric), cluster)
        samples = {"": prepare_samples(self, [metric], column, options)[metric]}
        bootstraps = resample(
            metric,
            samples,
            cluster=column,
            n_resamples=n_resamples,
            seed=seed,
            confidence_level=self.confidence_level,
        )
        return bootstraps[""]

    # -- Presentation ---------------------------------------------------------------------------

    @property
    def plot(self) -> EvaluationPlots:
        """Plots of this result, such as ``model.plot.roc()``."""
        return EvaluationPlots(self)

    @property
    def _rows(self) -> Rows:
        if self.rows is None:
            raise ArgumentError(_NO_ROWS)
        return self.rows

    @property
    def _source(self) -> MetricSource:
        fitted_here = self.threshold.fitted_on == self.counts.fingerprint
        return MetricSource(self.confusion, self._curve, fitted_here)

    def _table(self) -> pd.DataFrame:
        return summarize([self._source], self.interval_method, self.confidence_level)

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
            f"Evaluation({pluralize(self.n, 'transaction')}, {pluralize(self.n_frauds, 'fraud')}; "
            f"at {self.threshold}: precision {format_decimal(self.precision)}, recall "
            f"{format_decimal(self.recall)}; ROC AUC {format_decimal(self.roc_auc)}, average "
            f"precision {format_decimal(self.average_precision)})"
        )

    def _repr_html_(self) -> str:
        caption = (
            f"{pluralize(self.n, 'transaction')}, {pluralize(self.n_frauds, 'fraud')}; alerts at "
            f"{self.threshold} or above"
        )
        if self.n_unlabelled:
            caption += f"; {self.n_unlabelled:,} without a label left out"
        interval = f"{format_confidence_level(self.confidence_level)} interval"
        head = ("metric", "value", interval, "counts", "without a model", "note")
        rows = []
        for row in self._table().to_dict("records"):
            metric, proportion = row["metric"], not pd.isna(row["n"])
            ends = row["value_low"], row["value_high"]
            rows.append(
                (
                    METRIC_NAMES[metric][0],
                    format_metric(metric, row["value"]),
                    format_interval(metric, *ends) if proportion else "",
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
    if "cost" in metrics and counts.fraud_amount is None:
        raise ArgumentError(cost.NO_AMOUNTS)
    if evaluation.rows is None:
        raise ArgumentError(_NO_ROWS)
    threshold = counts.cast_threshold(evaluation.threshold.value)
    return _row_metrics.prepare_samples(evaluation.rows, metrics, cluster, threshold, options)


# -- Groups ----------------------------------------------------------------------------------------


class GroupValue(NamedTuple):
    """A group and the value of a metric in it; None and NaN if no group has a defined value."""

    group: GroupKey | None
    value: float


class GroupComparison(NamedTuple):
    """Difference or ratio of a metric between two groups, with its interval."""

    value: float
    low: float
    high: float


_UNDEFINED_COMPARISON = GroupComparison(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False, repr=False)
class GroupedEvaluation(Result):
    """One model, evaluated on each group of the rows; :func:`evaluate` with ``by`` returns it.

    The names are those of fairlearn's ``MetricFrame``. :meth:`to_frame` has one row for each group
    and metric: the columns of the group, ``transactions`` and ``frauds`` of the group, ``small``
    (fewer than 10 frauds or genuine transactions), and ``metric``, ``k``, ``n``, ``note``,
    ``value``, ``value_low`` and ``value_high`` as in :meth:`Evaluation.summary`.

    Attributes
    ----------
    by
        The columns that make the groups.
    groups
        Values of these columns, and the evaluation of the group, in order; NULL is a group.
    overall
        Evaluation of all rows.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "channel": ["online", "online", "atm", "atm"],
    ...         "is_fraud": [1, 0, 1, 0],
    ...         "fraud_probability": [0.9, 0.8, 0.3, 0.1],
    ...     }
    ... )
    >>> by_channel = evaluate(df, by="channel")
    >>> by_channel.group_min("recall", include_small=True)
    GroupValue(group=('atm',), value=0.0)
    >>> by_channel.difference("recall", include_small=True).value
    1.0
    """

    by: tuple[str, ...]
    groups: tuple[tuple[GroupKey, Evaluation], ...]
    overall: Evaluation

    @property
    def by_group(self) -> pd.DataFrame:
        """Same as ``to_frame()``."""
        return self._table()

    def group_min(self, metric: str = "recall", *, include_small: bool = False) -> GroupValue:
        """Return the group with the lowest value of ``metric``, and the value.

        Parameters
        ----------
        metric
            A metric of :meth:`Evaluation.summary`.
        include_small
            Whether to include small groups, whose values are often due to chance.

        Returns
        -------
        GroupValue
            ``group`` and ``value``; None and NaN if no group has a defined value.

        Examples
        --------
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.group_min("recall", include_small=True).group
        ('atm',)
        """
        return self._extreme(min, metric, include_small)

    def group_max(self, metric: str = "recall", *, include_small: bool = False) -> GroupValue:
        """Return the group with the highest value of ``metric``, and the value.

        Parameters and result are those of :meth:`group_min`.

        Examples
        --------
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.group_max("recall", include_small=True).value
        1.0
        """
        return self._extreme(max, metric, include_small)

    def difference(self, metric: str = "recall", *, include_small: bool = False) -> GroupComparison:
        """Return the difference of ``metric`` between the highest and the lowest group.

        The interval is that of Newcombe (1998) for two independent proportions, from their Wilson
        intervals; NaN if the metric is not a proportion. It does not account for the two groups
        having been selected for their difference, and is therefore too narrow.

        Parameters
        ----------
        metric, include_small
            As for :meth:`group_min`.

        Returns
        -------
        GroupComparison
            ``value``, ``low`` and ``high``; NaN with fewer than two groups.

        Examples
        --------
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.difference("recall", include_small=True).value
        1.0
        """
        ends = self._ends(metric, include_small)
        if ends is None:
            return _UNDEFINED_COMPARISON
        (_, low, lowest), (_, high, highest) = ends
        interval = self._interval(metric, highest, lowest, compare="diff", method="newcomb")
        return GroupComparison(high - low, *interval)

    def ratio(self, metric: str = "recall", *, include_small: bool = False) -> GroupComparison:
        """Return the ratio of ``metric`` between the lowest and the highest group, from 0 to 1.

        The interval is the score interval of Miettinen and Nurminen (1985) for two independent
        proportions; NaN if the metric is not a proportion. Like that of :meth:`difference`, it is
        too narrow.

        Parameters
        ----------
        metric, include_small
            As for :meth:`group_min`.

        Returns
        -------
        GroupComparison
            ``value``, ``low`` and ``high``; NaN with fewer than two groups.

        Examples
        --------
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.ratio("accuracy", include_small=True).value
        1.0
        """
        ends = self._ends(metric, include_small)
        if ends is None:
            return _UNDEFINED_COMPARISON
        (_, low, lowest), (_, high, highest) = ends
        interval = self._interval(metric, lowest, highest, compare="ratio", method="score")
        return GroupComparison(float(ratio(low, high)), *interval)

    def _extreme(
        self, choose: Callable[..., _Value], metric: str, include_small: bool
    ) -> GroupValue:
        values = self._values(metric, include_small)
        if not values:
            return GroupValue(None, float("nan"))
        group, value, _ = choose(values, key=lambda entry: entry[1])
        return GroupValue(group, value)

    def _ends(self, metric: str, include_small: bool) -> tuple[_Value, _Value] | None:
        """Return the groups with the lowest and the highest value; None for fewer than two."""
        values = self._values(metric, include_small)
        if len(values) < 2:
            return None
        lowest, highest = (choose(values, key=lambda entry: entry[1]) for choose in (min, max))
        return lowest, highest

    def _values(self, metric: str, include_small: bool) -> list[_Value]:
        if check_string(metric, "metric", example="recall") not in METRICS:
            raise NotFoundError("metric", metric, METRICS)
        values = [
            (group, float(getattr(evaluation, metric)), evaluation)
            for group, evaluation in self.groups
            if include_small or not is_small(evaluation)
        ]
        return [entry for entry in values if np.isfinite(entry[1])]

    def _interval(
        self, metric: str, first: Evaluation, second: Evaluation, *, compare: str, method: str
    ) -> tuple[float, float]:
        if metric not in SHARES:
            return float("nan"), float("nan")
        from statsmodels.stats.proportion import confint_proportions_2indep

        low, high = confint_proportions_2indep(
            *first.confusion.counts(metric),
            *second.confusion.counts(metric),
            compare=compare,
            method=method,
            alpha=1 - self.overall.confidence_level,
        )
        return float(low), float(high)

    @property
    def plot(self) -> GroupedPlots:
        """Plots of the largest groups, such as ``by_channel.plot.roc()``."""
        largest = sorted(self.groups, key=lambda group: group[1].n, reverse=True)
        return GroupedPlots({format_group_key(group): model for group, model in largest})

    def _table(self) -> pd.DataFrame:
        evaluations = [evaluation for _, evaluation in self.groups]
        overall = self.overall
        frame = summarize(
            [evaluation._source for evaluation in evaluations],
            overall.interval_method,
            overall.confidence_level,
        ).drop(columns="baseline")
        repeated = np.repeat(np.arange(len(evaluations)), len(METRICS))
        for position, name in enumerate(self.by):
            values = pd.Series([group[position] for group, _ in self.groups])
            frame.insert(position, name, values.take(repeated).reset_index(drop=True))
        n = np.array([evaluation.n for evaluation in evaluations], np.int64)
        n_frauds = np.array([evaluation.n_frauds for evaluation in evaluations], np.int64)
        small = np.array([is_small(evaluation) for evaluation in evaluations], np.bool_)
        frame = frame.assign(
            transactions=n[repeated], frauds=n_frauds[repeated], small=small[repeated]
        )
        return frame[[*self.by, *_GROUP_COLUMNS]]

    def _record(self) -> Mapping[str, Any]:
        return {
            "by": self.by,
            "overall": self.overall._record(),
            "groups": [
                {"group": dict(zip(self.by, group, strict=True)), **evaluation._record()}
                for group, evaluation in self.groups
            ],
        }

    def __repr__(self) -> str:
        n_small = sum(is_small(evaluation) for _, evaluation in self.groups)
        return (
            f"GroupedEvaluation({len(self.groups)} groups by {', '.join(self.by)}, {n_small} of "
            f"them small; overall: {self.overall!r})"
        )

    def _repr_html_(self) -> str:
        metrics = ("recall", "precision", "average_precision", "roc_auc")
        head = (
            ", ".join(self.by),
            "transactions",
            "frauds",
            *(METRIC_NAMES[metric][0] for metric in metrics),
        )
        rows = [
            (
                f"{format_group_key(group)}{' (small)' if is_small(evaluation) else ''}",
                f"{evaluation.n:,}",
                f"{evaluation.n_frauds:,}",
                *(format_metric(metric, getattr(evaluation, metric)) for metric in metrics),
            )
            for group, evaluation in self.groups[:_MAX_GROUPS]
        ]
        hidden = len(self.groups) - len(rows)
        caption = f"{pluralize(len(self.groups), 'group')} by {', '.join(self.by)}" + (
            f"; {hidden:,} more: see .to_frame()" if hidden else ""
        )
        return table_html(head, rows, caption=caption) + self.overall._repr_html_()


_Value: TypeAlias = "tuple[GroupKey, float, Evaluation]"


def format_group_key(group: GroupKey) -> str:
    """Format a group for display."""
    return " · ".join(map(format_group, group))


def is_small(evaluation: Evaluation) -> bool:
    """Whether a group has too few frauds or genuine transactions for reliable metrics."""
    return min(evaluation.n_frauds, evaluation.n - evaluation.n_frauds) < _MIN_CLASS_SIZE


def check_group_columns(by: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns to group by.

    Raises
    ------
    ArgumentError
        There is no column, a name is not a string or is repeated, or is a column of the result.
    """
    names = check_names(by, "by")
    if taken := [name for name in names if name in _GROUP_COLUMNS or name in INTERNAL]:
        raise ArgumentError(
            f"`by` must be columns with other names than those of the result; got {taken[0]!r}. "
            "Rename the column."
        )
    return names


def group_evaluations(
    by: Sequence[str],
    groups: Iterable[tuple[GroupKey, ScoreCounts]],
    threshold: Threshold,
    interval_method: IntervalMethod,
    confidence_level: float,
    rows: Rows | None = None,
) -> GroupedEvaluation:
    """Evaluate the counts of groups, and all of them together."""
    counted = list(groups)
    merged = ScoreCounts.merge([counts for _, counts in counted])
    fitted_here = threshold.fitted_on == merged.fingerprint

    def threshold_of(counts: ScoreCounts) -> Threshold:
        # A threshold that was chosen on all rows was chosen on those of each group.
        return replace(threshold, fitted_on=counts.fingerprint) if fitted_here else threshold

    evaluations = tuple(
        (group, Evaluation(counts, threshold_of(counts), interval_method, confidence_level))
        for group, counts in counted
    )
    overall = Evaluation(merged, threshold, interval_method, confidence_level, rows)
    return GroupedEvaluation(tuple(by), evaluations, overall)


# -- evaluate --------------------------------------------------------------------------------------


@overload
def evaluate(
    df: IntoFrame,
    label: str = ...,
    score: str = ...,
    *,
    threshold: float | Threshold = ...,
    by: None = ...,
    amount: str | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> Evaluation: ...
@overload
def evaluate(
    df: IntoFrame,
    label: str = ...,
    score: str = ...,
    *,
    threshold: float | Threshold = ...,
    by: str | Sequence[str],
    amount: str | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> GroupedEvaluation: ...
@overload
def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    /,
    *,
    threshold: float | Threshold = ...,
    by: None = ...,
    amount: ArrayLike | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> Evaluation: ...
@overload
def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    /,
    *,
    threshold: float | Threshold = ...,
    by: ArrayLike | Mapping[str, ArrayLike],
    amount: ArrayLike | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> GroupedEvaluation: ...
@overload
def evaluate(
    *,
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float | Threshold = ...,
    by: None = ...,
    amount: ArrayLike | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> Evaluation: ...
@overload
def evaluate(
    *,
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float | Threshold = ...,
    by: ArrayLike | Mapping[str, ArrayLike],
    amount: ArrayLike | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> GroupedEvaluation: ...
def evaluate(
    df: Any = None,
    label: Any = "is_fraud",
    score: str = _DEFAULT_SCORE,
    *,
    threshold: float | Threshold = 0.5,
    by: Any = None,
    amount: Any = None,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
    y_true: Any = None,
    y_score: Any = None,
) -> Evaluation | GroupedEvaluation:
    """Evaluate the scores of a model against the labels.

    Call it with a frame, ``evaluate(df, label="is_fraud", score="p")``, or with arrays as in
    scikit-learn, ``evaluate(y_true, y_score)``. Metrics that need days, entities or clusters, such
    as :meth:`Evaluation.bootstrap`, need a frame.

    Parameters
    ----------
    df
        A row for each transaction: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or
        PySpark. A lazy engine counts for itself. Later assignments to the frame do not change the
        evaluation; if files or tables behind it change, metrics that read the rows again raise an
        error.
    label
        Column that is true or 1 for fraud. Rows without a label are left out and counted.
    score
        Column of scores from 0 to 1, higher for likely fraud. Scores in float32 are compared with
        thresholds in float32, as in NumPy: 0.7 is an alert at 0.7.
    threshold
        A score at the threshold or above is an alert.
    by
        Column or columns to group by; of arrays, an array or a dict of arrays. The result is then a
        :class:`GroupedEvaluation`. Missing values and NaN are one group, the last.
    amount
        Column (of arrays, an array) of the transactions' value, for costs. A missing amount counts
        as 0, as in :func:`fraud_rate`; an infinite one raises an error.
    interval_method, confidence_level
        Interval of proportions, see :func:`proportion_interval`.
    y_true, y_score
        Labels and scores as arrays: NumPy, lists, Series of pandas or polars. They may be passed by
        position in place of ``df`` and ``label``.

    Returns
    -------
    Evaluation or GroupedEvaluation

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        ``df`` is not a DataFrame; arrays differ in length; a label is neither 0 nor 1, a score is
        missing, NaN or not from 0 to 1, an amount is infinite; or another argument is out of range.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> model = evaluate(df, "fraud", "p", threshold=0.7)
    >>> model.precision, model.roc_auc
    (0.5, 0.75)
    >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).roc_auc
    0.75
    """
    check_interval(interval_method, confidence_level)
    threshold = check_threshold(threshold)
    settings = (threshold, interval_method, confidence_level)
    if df is None:
        return _evaluate_arrays(y_true, y_score, by, amount, settings)
    if y_true is not None or y_score is not None:
        raise ArgumentError("`df` must not be passed together with `y_true` and `y_score`.")
    if not is_frame(df):
        _check_positions(df, label, score)
        return _evaluate_arrays(df, label, by, amount, settings)
    df = check_frame(df, "evaluate")
    for name, value in (("label", label), ("score", score)):
        check_column_name(value, name)
    if amount is not None:
        check_column_name(amount, "amount")
    if by is not None:
        return _evaluate_groups(df, by, label, score, amount, settings)
    counts = count_scores(df, label, score, amount)
    return Evaluation(counts, *settings, FrameRows(df, label, score, amount, counts))


_Settings: TypeAlias = "tuple[Threshold, IntervalMethod, float]"


def _evaluate_groups(
    df: Any,
    by: str | Sequence[str],
    label: str,
    score: str,
    amount: str | None,
    settings: _Settings,
) -> GroupedEvaluation:
    names = check_group_columns(by)
    if taken := [name for name in (label, score) if name in names]:
        raise ArgumentError(
            f"`by` must be columns other than the label and the score; got {taken[0]!r}."
        )
    groups = count_scores_by_group(df, names, label, score, amount)
    grouped = group_evaluations(names, groups, *settings)
    rows = FrameRows(df, label, score, amount, grouped.overall.counts)
    return replace(grouped, overall=replace(grouped.overall, rows=rows))


def _check_positions(y_true: Any, y_score: Any, third: Any) -> None:
    """Raise an ArgumentError unless the positional arguments are two arrays."""
    if isinstance(y_score, str):
        raise ArgumentError(
            f"`df` must be a DataFrame of {ENGINES}, or an array of labels that is followed by an "
            "array of scores: evaluate(df, label='is_fraud', score='p') or evaluate(y_true, "
            f"y_score); got {format_value(y_true)}."
        )
    if third != _DEFAULT_SCORE:
        raise ArgumentError(
            "evaluate(y_true, y_score) takes two arrays by position; pass others by name, such as "
            f"threshold=0.5; got a third, {format_value(third)}."
        )


def _evaluate_arrays(
    y_true: Any, y_score: Any, by: Any, amount: Any, settings: _Settings
) -> Evaluation | GroupedEvaluation:
    frame, names = frame_of_arrays(y_true, y_score, amount, by)
    column = None if amount is None else AMOUNT
    try:
        counts = count_scores(frame, LABEL, SCORE, column, described="`{}`")
    except ArgumentError:
        check_order(frame)
        raise
    if by is None:
        return Evaluation(counts, *settings)
    groups = count_scores_by_group(frame, check_group_columns(names), LABEL, SCORE, column)
    return group_evaluations(names, groups, *settings)


def check_frame(df: Any, caller: str) -> Any:
    """Return a snapshot of a frame of any engine.

    Raises
    ------
    ArgumentError
        It is not a DataFrame, or has a column name twice.
    """
    if not is_frame(df):
        raise ArgumentError(f"`df` must be a DataFrame of {ENGINES}; got {format_value(df)}.")
    if nw.dependencies.is_dask_dataframe(df):
        require_unique_columns(df)
    else:
        open_frame(df, caller)
    return snapshot(df)
