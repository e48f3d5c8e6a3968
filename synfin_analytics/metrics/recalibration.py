"""Recalibration: scores mapped to probabilities on one set, and checked on another."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import argument_error, check_column_name, check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_decimal, format_signed
from synfin_analytics._core.html import table_html
from synfin_analytics._core.lookup import import_optional
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics._evaluate import check_frame, evaluate
from synfin_analytics.metrics._score_counts import ScoreCounts, count_scores, score_remedy
from synfin_analytics.metrics._weights import parse_weight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame
    from numpy.typing import ArrayLike

    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.metrics._score_counts import Floats
    from synfin_analytics.metrics._weights import Weight
    from synfin_analytics.metrics.evaluation import Evaluation

CalibrationMethod: TypeAlias = Literal["isotonic", "platt"]

_METRICS = {
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    "mean_score": "mean score",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
}


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A rising function, linear between the scores at which it was fitted."""

    scores: Floats
    probabilities: Floats

    def __call__(self, scores: Floats) -> Floats:
        """Return the probabilities of scores; beyond both ends it is constant."""
        return np.interp(scores, self.scores, self.probabilities)


@dataclass(frozen=True)
class Platt:
    """A logistic function of the score."""

    slope: float
    intercept: float

    def __call__(self, scores: Floats) -> Floats:
        """Return the probabilities of scores."""
        from scipy.special import expit

        probabilities: Floats = expit(self.slope * scores + self.intercept)
        return probabilities


@dataclass(frozen=True, eq=False, repr=False)
class Recalibration(Result):
    """Scores recalibrated on one set, before and after on another; :func:`recalibrate` returns it.

    :meth:`to_frame` has one row for each metric of the second set: ``metric``, ``before``,
    ``after`` and ``change``. Metrics are ``brier``, ``log_loss``, ``calibration_error``,
    ``mean_score``, which should be the fraud rate, ``roc_auc`` and ``average_precision``.

    Attributes
    ----------
    method
        ``"isotonic"`` or ``"platt"``.
    before, after
        Evaluations of the second set with the original and the recalibrated scores.
    calibrator
        The function that was fitted; :meth:`transform` applies it.
    bins
        Number of bins of the calibration error.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> generator = np.random.default_rng(0)
    >>> p = generator.random(4000)
    >>> df = pl.DataFrame({"fraud": generator.random(4000) < p**2, "p": p})
    >>> recalibration = recalibrate(df[:2000], df[2000:], "fraud", "p")
    >>> table = recalibration.to_frame().set_index("metric")
    >>> bool(table.loc["brier", "after"] < table.loc["brier", "before"])
    True
    """

    method: CalibrationMethod
    before: Evaluation
    after: Evaluation
    calibrator: Isotonic | Platt
    bins: int = 10

    def transform(self, scores: ArrayLike) -> Floats:
        """Return recalibrated scores.

        Parameters
        ----------
        scores
            Scores from 0 to 1, an array-like.

        Returns
        -------
        numpy.ndarray
            Probabilities, float64, of the same shape; NaN stays NaN.

        Raises
        ------
        ArgumentError
            A score is not a number from 0 to 1.

        Examples
        --------
        >>> import polars as pl
        >>> df = pl.DataFrame({"fraud": [0, 0, 1, 0, 1, 1], "p": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]})
        >>> recalibrate(df, df[1:], "fraud", "p").transform([0.0, 0.3, 0.9])
        array([0. , 0.5, 1. ])
        """
        try:
            array = np.asarray(scores, np.float64)
        except (TypeError, ValueError) as error:
            raise argument_error("scores", "numbers from 0 to 1", scores) from error
        if ((array < 0) | (array > 1)).any():
            remedy = score_remedy(array[np.isfinite(array)])
            raise ArgumentError(
                f"`scores` must be from 0 to 1; got {np.nanmin(array):g} to {np.nanmax(array):g}. "
                f"{remedy}".rstrip()
            )
        return np.where(np.isnan(array), np.nan, self.calibrator(array))

    def _value(self, metric: str, evaluation: Evaluation) -> float:
        if metric == "calibration_error":
            return evaluation.calibration_error(self.bins)
        if metric == "mean_score":
            counts = evaluation.counts
            return float(ratio((counts.score * counts.transactions).sum(), counts.n))
        return float(getattr(evaluation, metric))

    def _table(self) -> pd.DataFrame:
        before, after = (
            np.array([self._value(metric, model) for metric in _METRICS])
            for model in (self.before, self.after)
        )
        return pd.DataFrame(
            {"metric": list(_METRICS), "before": before, "after": after, "change": after - before}
        )

    def _record(self) -> Mapping[str, Any]:
        return {
            "method": self.method,
            "n": self.before.n,
            "n_frauds": self.before.n_frauds,
            "prevalence": self.before.prevalence,
            "bins": self.bins,
            "metrics": self._table(),
        }

    def __repr__(self) -> str:
        changes = [
            f"{_METRICS[metric]} {format_decimal(self._value(metric, self.before))} to "
            f"{format_decimal(self._value(metric, self.after))}"
            for metric in ("brier", "log_loss", "calibration_error")
        ]
        return f"Recalibration({self.method}, {self.before.counts.size}; {', '.join(changes)})"

    def _repr_html_(self) -> str:
        rows = [
            (
                _METRICS[row["metric"]],
                format_decimal(row["before"]),
                format_decimal(row["after"]),
                format_signed(row["change"]),
            )
            for row in self._table().to_dict("records")
        ]
        caption = (
            f"{self.method} recalibration, {self.before.counts.size}; fraud rate "
            f"{format_decimal(self.before.prevalence)}"
        )
        return table_html(("metric", "before", "after", "change"), rows, caption=caption)


def recalibrate(
    df: IntoFrame | TransactionSource,
    test: IntoFrame | TransactionSource,
    label: str = "is_fraud",
    score: str = "fraud_probability",
    *,
    method: CalibrationMethod = "isotonic",
    weight: Weight | None = None,
    bins: int = 10,
) -> Recalibration:
    """Map scores to probabilities on one set of transactions, and compare both on another.

    Parameters
    ----------
    df
        Transactions on which the function is fitted, of any engine: not those on which the model
        was trained, and with the fraud rate of the transactions to be scored.
    test
        Later transactions, on which metrics are compared before and after.
    label, score
        Columns of the labels and the scores, in both frames.
    method
        ``"isotonic"``: a rising step function, for some hundreds of frauds or more;
        ``"platt"``: a logistic function of the score, which has two parameters (Platt, 1999).
    weight
        Column of weights or weights of the labels, as for :func:`evaluate`.
    bins
        Number of bins of the calibration error, see :meth:`Evaluation.calibration_error`.

    Returns
    -------
    Recalibration
        Its :meth:`~Recalibration.transform` recalibrates other scores.

    Raises
    ------
    MissingDependencyError
        scikit-learn is not installed; the message contains the command that installs it.
    NotFoundError
        A column is not in a frame, or there is no such method.
    ArgumentError
        ``df`` has no fraud or no genuine transaction, or as for :func:`evaluate`.

    Warns
    -----
    UserWarning
        ``df`` and ``test`` have the same scores and labels, which makes the comparison optimistic.

    Notes
    -----
    Both functions are fitted by scikit-learn, ``IsotonicRegression`` and ``LogisticRegression``
    (with the targets of Platt, 1999, and no penalty), to one count for each distinct score; the
    result is that of ``CalibratedClassifierCV`` on the rows. Neither changes the order of scores,
    but the isotonic function gives one probability to scores whose order the labels contradict.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame({"fraud": [0, 0, 1, 0, 1, 1], "p": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]})
    >>> recalibrate(df, df[1:], "fraud", "p", method="platt").transform([0.1, 0.6]).round(2)
    array([0.21, 0.79])
    """
    if method not in get_args(CalibrationMethod):
        raise NotFoundError("calibration method", method, get_args(CalibrationMethod))
    bins = check_integer(bins, "bins", minimum=1)
    for name, value in (("label", label), ("score", score)):
        check_column_name(value, name)
    counts = count_scores(check_frame(df, "recalibrate"), label, score, None, parse_weight(weight))
    if not 0 < counts.n_frauds < counts.n:
        missing = "genuine transaction" if counts.n else "labelled transaction"
        raise ArgumentError(
            "`df` must have frauds and genuine transactions to fit a calibration; got no "
            f"{'fraud' if counts.n and not counts.n_frauds else missing}."
        )
    before = evaluate(test, label, score, weight=weight)
    if counts.same_as(before.counts):
        warnings.warn(
            "`df` and `test` have the same scores and labels. On the rows on which it was fitted, "
            "a calibration looks better than it is: pass later transactions as `test`.",
            stacklevel=2,
        )
    calibrator = _fit_isotonic(counts) if method == "isotonic" else _fit_platt(counts)
    after = replace(before, counts=_recalibrate_counts(before.counts, calibrator), rows=None)
    return Recalibration(method, before, after, calibrator, bins)


def _fit_isotonic(counts: ScoreCounts) -> Isotonic:
    isotonic = import_optional("sklearn.isotonic", extra="models", purpose="Recalibration")
    regression = isotonic.IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    rates = counts.frauds / counts.transactions
    regression.fit(counts.score, rates, sample_weight=counts.transactions)
    return Isotonic(regression.X_thresholds_, regression.y_thresholds_)


def _fit_platt(counts: ScoreCounts) -> Platt:
    linear_model = import_optional("sklearn.linear_model", extra="models", purpose="Recalibration")
    frauds, genuine = counts.frauds, counts.transactions - counts.frauds
    # Platt's targets instead of 1 and 0 keep probabilities away from both.
    fraud_target = (frauds.sum() + 1) / (frauds.sum() + 2)
    genuine_target = 1 / (genuine.sum() + 2)
    positive = frauds * fraud_target + genuine * genuine_target
    weights = np.concatenate([positive, counts.transactions - positive])
    labels = np.repeat([1, 0], len(positive))
    regression = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    regression.fit(np.tile(counts.score, 2)[:, None], labels, sample_weight=weights)
    return Platt(float(regression.coef_[0, 0]), float(regression.intercept_[0]))


def _recalibrate_counts(counts: ScoreCounts, calibrator: Isotonic | Platt) -> ScoreCounts:
    """Count by recalibrated score; several scores may become one."""
    amounts = [array for array in (counts.amount, counts.fraud_amount) if array is not None]
    return ScoreCounts.sum_by_score(
        calibrator(counts.score),
        counts.transactions.astype(np.float64),
        counts.frauds.astype(np.float64),
        *amounts,
        n_unlabelled=counts.n_unlabelled,
        weighted=counts.weighted,
    )
