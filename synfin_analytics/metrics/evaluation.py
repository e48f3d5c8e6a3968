"""How good a model is: at a threshold, over all thresholds, and among the first of a day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import (
    check_column_name,
    check_integer,
    check_share,
    format_value,
)
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import open_frame
from synfin_analytics._core.formatting import format_decimal, pluralize
from synfin_analytics.exceptions import ArgumentError, refuse_repeated_columns
from synfin_analytics.metrics import _summary as summary
from synfin_analytics.metrics import cost as costs
from synfin_analytics.metrics._at_threshold import AtThreshold
from synfin_analytics.metrics._of_rows import OfRows
from synfin_analytics.metrics._rows import FrameRows, Rows, snapshot
from synfin_analytics.metrics._scored import score_counts
from synfin_analytics.metrics.curve import Curve
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval, proportion_interval
from synfin_analytics.metrics.threshold import Threshold, as_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics.metrics._scores import ScoreCounts
    from synfin_analytics.metrics.by_group import GroupedEvaluation
    from synfin_analytics.metrics.confusion import Confusion


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
    interval_method, confidence_level
        Interval of proportions, see :func:`proportion_interval`.
    rows
        Where the rows are, for what needs days, cards or clusters.
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
        return self._curve.at(self.threshold.value)

    @property
    def n(self) -> int:
        """Labelled transactions."""
        return self._curve.n

    @property
    def n_frauds(self) -> int:
        """Frauds among them."""
        return self._curve.positives

    @property
    def n_unlabelled(self) -> int:
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

    def confidence_interval(self, metric: str) -> tuple[float, float]:
        """Interval of a proportion, as if transactions were independent.

        :meth:`bootstrap` has those of the areas, and lets the transactions of a card belong
        together.
        """
        return self.confusion.confidence_interval(
            metric, self.interval_method, self.confidence_level
        )

    def baseline(self, metric: str) -> float:
        """Value of ``metric`` without a model: as many alerts at random, the same score for all."""
        return summary.baseline(self, metric)

    # -- Thresholds -----------------------------------------------------------------------------

    def at_threshold(self, threshold: float | Threshold) -> Evaluation:
        """Evaluate the same rows at another threshold."""
        return replace(self, threshold=as_threshold(threshold))

    def curve(self, points: int | None = None) -> pd.DataFrame:
        """Return counts and rates for each threshold, see :meth:`Curve.to_frame`."""
        return self._curve.to_frame(points)

    def recall_at_fpr(self, rate: float) -> float:
        """Highest recall of a threshold whose false-positive rate is at most ``rate``."""
        rate = check_share(rate, "rate", "a false-positive rate")
        false = self._curve.alerts - self._curve.tp
        allowed = false <= rate * (self.n - self.n_frauds)
        tp = int(self._curve.tp[allowed].max(initial=0))
        return float(ratio(tp, self.n_frauds))

    def precision_at_prevalence(self, prevalence: float) -> float:
        """Precision that the same recall and false-positive rate give where fraud is as frequent.

        By Bayes: p·TPR / (p·TPR + (1 - p)·FPR).
        """
        prevalence = check_share(prevalence, "prevalence")
        hits = prevalence * self.recall
        false = (1 - prevalence) * self.confusion.false_positive_rate
        return float(ratio(hits, hits + false))

    def threshold_for_alerts(self, alerts: int) -> Threshold:
        """Lowest threshold that raises at most ``alerts`` alerts on these rows."""
        alerts = check_integer(alerts, "alerts")
        place = int(np.searchsorted(self._curve.alerts, alerts, side="right"))
        value = float(self.counts.score[place - 1]) if place else np.inf
        return Threshold(value, f"at most {alerts:,} alerts", self.counts.fingerprint)

    def cost_curve(
        self, cost_per_alert: float, recovery_rate: float = 1.0, points: int | None = None
    ) -> pd.DataFrame:
        """Cost of each threshold, see :func:`synfin_analytics.metrics.cost.cost_curve`."""
        return costs.cost_curve(self._curve, cost_per_alert, recovery_rate, points)

    def cost(self, cost_per_alert: float, recovery_rate: float = 1.0) -> float:
        """Cost at the threshold, see :func:`synfin_analytics.metrics.cost.cost_curve`."""
        return costs.cost_at(self._curve, self.threshold.value, cost_per_alert, recovery_rate)

    def best_threshold(self, cost_per_alert: float, recovery_rate: float = 1.0) -> Threshold:
        """Threshold of the lowest cost on these rows; report it on others."""
        curve = self.cost_curve(cost_per_alert, recovery_rate)
        value = float(curve["threshold"].iloc[int(curve["cost"].argmin())])
        what = f"lowest cost at {cost_per_alert:g} per alert and {recovery_rate:.0%} recovered"
        return Threshold(value, what, self.counts.fingerprint)

    # -- Tables ---------------------------------------------------------------------------------

    def calibration(self, bins: int = 10) -> pd.DataFrame:
        """Compare scores with the fraud rate among transactions of about the same score.

        Returns
        -------
        pandas.DataFrame
            A row for each of ``bins`` equal parts of 0 to 1, of which each holds its lower end and
            the last both: ``score_from``, ``score_to``, ``transactions``, ``frauds``,
            ``mean_score``, ``fraud_rate`` and its interval, ``fraud_rate_low`` to
            ``fraud_rate_high``.
        """
        bins = check_integer(bins, "bins", minimum=1)
        edges = np.arange(bins + 1) / bins  # those of linspace are off: 3 * 0.1 is above 0.3
        transactions, frauds, scores = self._curve.calibration(edges)
        low, high = proportion_interval(
            frauds, transactions, self.interval_method, self.confidence_level
        )
        return pd.DataFrame(
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

    def summary(self) -> pd.DataFrame:
        """Return every metric, with its interval where it is a proportion.

        Returns
        -------
        pandas.DataFrame
            ``metric``, ``k`` and ``n`` of a proportion, ``baseline`` (without a model), ``note``:
            why a value is undefined or unreliable; ``value``, ``value_low`` and ``value_high``.
        """
        return summary.summary(self)

    def __repr__(self) -> str:
        return (
            f"Evaluation({pluralize(self.n, 'transaction')}, "
            f"{pluralize(self.n_frauds, 'fraud')}; at {self.threshold}: "
            f"precision {format_decimal(self.precision)}, recall {format_decimal(self.recall)}; "
            f"ROC AUC {format_decimal(self.roc_auc)}, average precision "
            f"{format_decimal(self.average_precision)})"
        )

    def _repr_html_(self) -> str:
        return summary.html(self)


@overload
def evaluate(
    df: Any,
    label: str = ...,
    score: str = ...,
    threshold: float | Threshold = ...,
    *,
    by: None = ...,
    amount: str | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> Evaluation: ...
@overload
def evaluate(
    df: Any,
    label: str = ...,
    score: str = ...,
    threshold: float | Threshold = ...,
    *,
    by: str | Sequence[str],
    amount: str | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> GroupedEvaluation: ...
def evaluate(
    df: Any,
    label: str = "is_fraud",
    score: str = "fraud_probability",
    threshold: float | Threshold = 0.5,
    *,
    by: str | Sequence[str] | None = None,
    amount: str | None = None,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
) -> Evaluation | GroupedEvaluation:
    """Evaluate the scores of a model against the labels.

    Parameters
    ----------
    frame
        A row for each transaction: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or
        PySpark. A lazy engine counts for itself. What is assigned to the frame later does not
        change the evaluation; if files or tables behind it change, metrics that read the rows
        again, such as :meth:`Evaluation.bootstrap`, raise an error.
    label
        Column that is true or 1 where it was fraud. Missing: not labelled, left out and counted.
    score
        Column of scores from 0 to 1, higher for what looks like fraud. Scores in float32 are
        compared with thresholds in float32, as NumPy does: 0.7 is an alert at 0.7.
    threshold
        A score at the threshold or above is an alert.
    by
        Column or columns to group by: the result is then a :class:`GroupedEvaluation`. Missing
        values and NaN are one group, in order the last.
    amount
        Column of the transactions' value, for costs. A missing amount counts as 0, as in
        :func:`fraud_rate`; an infinite one is refused.
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
        The frame is not a DataFrame; a label is neither 0 nor 1, a score is missing, NaN or not
        from 0 to 1, an amount is infinite; or another argument is out of range.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> model = evaluate(frame, "fraud", "p", threshold=0.7)
    >>> model.precision, model.roc_auc
    (0.5, 0.75)
    >>> model.at_threshold(0.2).recall
    1.0
    """
    check_interval(interval_method, confidence_level)
    df = check_frame(df, "evaluate(df, label='is_fraud', score='p')")
    for name, value in (("label", label), ("score", score)):
        check_column_name(value, name)
    if amount is not None:
        check_column_name(amount, "amount")
    at = as_threshold(threshold)
    if by is not None:
        from synfin_analytics.metrics.by_group import evaluate_groups

        return evaluate_groups(df, by, label, score, at, amount, interval_method, confidence_level)
    counts = score_counts(df, label, score, amount)
    return Evaluation(
        counts, at, interval_method, confidence_level, FrameRows(df, label, score, amount, counts)
    )


def check_frame(frame: Any, call: str) -> Any:
    """Return a frame of any engine as it is now; refuse what is not one, with the right call.

    Raises
    ------
    ArgumentError
        It is not a DataFrame (but an array or a column, as scikit-learn takes them), or has a
        column twice.
    """
    if nw.dependencies.is_dask_dataframe(frame):
        refuse_repeated_columns(frame)
        return snapshot(frame)
    try:
        open_frame(frame, "evaluate")
    except ArgumentError as error:
        if isinstance(error.__context__, TypeError):
            raise ArgumentError(
                "`df` must be a DataFrame of pandas, polars, pyarrow, DuckDB, Dask or PySpark, "
                f"with labels and scores as columns that are named after it: {call}; got "
                f"{format_value(frame)}."
            ) from None
        raise
    return snapshot(frame)
