"""The gradient-boosted model of ``synfin demo``: all features, trained on the same period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.formatting import (
    format_date,
    format_threshold,
    pluralize,
)
from synfin_analytics._core.lookup import import_optional
from synfin_analytics.baseline import prediction_rows
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features import FEATURES
from synfin_analytics.io import read_df
from synfin_analytics.metrics import evaluate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics.baseline import BaselineModel
    from synfin_analytics.metrics import Threshold

NAME, VERSION = "gradient boosting", "1.0"
#: As the model report assumes by default: so many alerts can be reviewed in a day.
ALERTS_PER_DAY = 20
#: The last part of the training period, which chooses the threshold.
_VALIDATION_FRACTION = 0.2
_QUERY = """
SELECT f.*, t.timestamp, t.is_fraud
FROM ml_features f JOIN transactions t USING (transaction_id)
WHERE t.timestamp < :train_end AND t.is_fraud IS NOT NULL OR t.timestamp >= :test_start
ORDER BY t.timestamp, f.transaction_id
"""


@dataclass(frozen=True)
class BoostedModel:
    """A trained model: its predictions, ready for ``model_predictions``, and how it was trained."""

    predictions: pl.DataFrame
    notes: tuple[str, ...]


def train_boosted_model(session: Session, baseline: BaselineModel) -> BoostedModel:
    """Train on the payments that the baseline was trained on, and predict those that it predicts.

    Parameters
    ----------
    session
        Of the database, in which the features of all transactions are stored.
    baseline
        Determines both periods.

    Raises
    ------
    MissingDependencyError
        scikit-learn is not installed.
    ArgumentError
        The part of the training period that the model learns from has only one class.
    """
    ensemble, threadpoolctl = (
        import_optional(name, extra="models", purpose="The gradient-boosted model")
        for name in ("sklearn.ensemble", "threadpoolctl")
    )
    period = {"train_end": baseline.train_end, "test_start": baseline.test_start}
    rows = read_df(_QUERY, period, session=session, output="polars")
    train = rows.filter(pl.col("timestamp") < baseline.train_end)
    test = rows.filter(pl.col("timestamp") >= baseline.test_start)
    start: dt.datetime = train["timestamp"][0]
    cut = start + (1 - _VALIDATION_FRACTION) * (baseline.train_end - start)
    learning, validation = (
        train.filter(pl.col("timestamp") < cut), train.filter(pl.col("timestamp") >= cut)
    )  # fmt: skip
    n_frauds = int(learning["is_fraud"].sum())
    if not 0 < n_frauds < len(learning) or validation.is_empty():
        raise ArgumentError(
            "the first part of the training period must have both frauds and genuine payments, and "
            f"its last part labelled payments; got {pluralize(n_frauds, 'fraud')}"
            f" of {pluralize(len(learning), 'payment')}, and {len(validation):,} in the last part."
        )
    # The file may lack the columns that a feature is computed from; scikit-learn must not see it.
    features = [name for name in FEATURES if learning[name].count()]
    classifier = ensemble.HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    # Threads of OpenMP wait for each other by spinning: beside other work, one is faster.
    with threadpoolctl.threadpool_limits(limits=1, user_api="openmp"):
        classifier.fit(_values(learning, features), learning["is_fraud"].to_numpy())
        threshold = _threshold(
            classifier, validation, features, (baseline.train_end - cut).total_seconds()
        )
        scores = classifier.predict_proba(_values(test, features))[:, 1]
    return BoostedModel(
        prediction_rows(test, NAME, VERSION, scores, threshold.value),
        notes=(
            f"{NAME} {VERSION} is scikit-learn's HistGradientBoostingClassifier on the "
            f"{len(features)} features of ml_features, each computed from what was known at the "
            "time of the payment.",
            f"It was trained on {pluralize(len(learning), 'payment')} before {format_date(cut)}, "
            f"including {pluralize(n_frauds, 'fraud')}. A score of at least "
            f"{format_threshold(threshold.value)} raises an alert: the threshold that gives "
            f"{ALERTS_PER_DAY} alerts a day on the payments from then until "
            f"{format_date(baseline.train_end)}, which were not used for training. The payments "
            f"from {format_date(baseline.test_start)} on were used for neither.",
        ),
    )


def _values(rows: pl.DataFrame, features: Sequence[str]) -> Any:
    return rows.select(pl.col(features).cast(pl.Float32)).to_numpy()


def _threshold(
    classifier: Any, validation: pl.DataFrame, features: Sequence[str], seconds: float
) -> Threshold:
    """Return the lowest threshold that keeps to the alert budget on the validation payments."""
    scored = validation.with_columns(
        score=pl.Series(classifier.predict_proba(_values(validation, features))[:, 1])
    )
    budget = max(1, round(ALERTS_PER_DAY * seconds / 86_400))
    return evaluate(scored, label="is_fraud", score="score").threshold_for_alerts(budget)
