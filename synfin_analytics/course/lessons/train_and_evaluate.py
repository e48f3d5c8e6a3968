"""Exercises for lesson 04: split by time, predict, store, evaluate."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics.baseline import fit_baseline
from synfin_analytics.course.graders import Number, Numbers, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import (
    average_precision,
    make_world,
    roc_auc,
    wald_interval,
    wilson_interval,
    with_labels_as_of_today,
)

if TYPE_CHECKING:
    from synfin_analytics.baseline import BaselineModel

_TRAIN_DAYS, _LABEL_DELAY, _TEST_DAYS = 28, 7, 14
_DAY = dt.timedelta(days=1)
#: The bank closes its cases early: otherwise most of the test period would have no labels.
_CLOSED_AFTER = 6


@dataclass(frozen=True, eq=False)
class Facts:
    """Customers, merchants, payments with today's labels; a model and its predictions."""

    customers: pl.DataFrame
    merchants: pl.DataFrame
    payments: pl.DataFrame
    model: BaselineModel

    @property
    def labelled_predictions(self) -> pl.DataFrame:
        """Predictions with a known label."""
        return self.model.predictions.drop_nulls("ground_truth")


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    world = make_world(seed, customers=700, days=90)
    payments = with_labels_as_of_today(world.transactions, _CLOSED_AFTER)
    return Facts(world.customers, world.merchants, payments, fit_baseline(payments))


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the payments as a polars DataFrame."""
    return {
        "payments": (
            facts.payments,
            f"{len(facts.payments):,} payments of 90 days (polars), also in the database",
        )
    }


def tables(facts: Facts) -> dict[str, pl.DataFrame]:
    """Return the tables of the lesson's database."""
    return {
        "customers": facts.customers,
        "merchants": facts.merchants,
        "transactions": facts.payments,
    }


LESSON = Lesson(
    "04", "train_and_evaluate", make_facts, student_data, database="exercise_04", tables=tables
)


def _split(
    facts: Facts, label_delay: int = _LABEL_DELAY, *, drop_compromised: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training and test rows; the test period ends with the last day."""
    payments = facts.payments
    test_end = payments["timestamp"].dt.truncate("1d").max() + _DAY  # type: ignore[operator]
    test_start = test_end - _TEST_DAYS * _DAY
    train_start = test_start - (label_delay + _TRAIN_DAYS) * _DAY
    train_end = train_start + _TRAIN_DAYS * _DAY
    time = pl.col("timestamp")
    label_known_at = time + label_delay * _DAY
    train = payments.filter(
        time.is_between(train_start, train_end, closed="left"),
        pl.col("is_fraud").is_not_null(),
        label_known_at <= test_start,
    )
    test = payments.filter(time.is_between(test_start, test_end, closed="left"))
    if drop_compromised:
        known_since = (
            payments.filter(pl.col("is_fraud"), time >= train_start)
            .group_by("customer_id")
            .agg(label_known_at.min().alias("known_since"))
        )
        is_known = pl.col("known_since") <= time.dt.truncate("1d")
        test = test.join(known_since, on="customer_id", how="left").filter(
            is_known.fill_null(False).not_()
        )
    return train, test


@LESSON.add_exercise(
    "04.1",
    "split_sizes",
    "time_split splits by time: train, label_delay and test are durations such as '28d'.",
    "The result has the DataFrames .train and .test; print it to see what was excluded and why.",
    'time_split(payments, train="28d", label_delay="7d", test="14d").',
)
def _grade_split_sizes(facts: Facts) -> Numbers:
    train, test = _split(facts)
    task = (
        "the number of training rows and of test rows: 28 days of training, a label delay of 7 "
        "days, then 14 days of test up to the last day, without cards known to be compromised"
    )

    def sizes(*parts: pl.DataFrame) -> tuple[float, ...]:
        return tuple(float(len(part)) for part in parts)

    n_train, n_test = sizes(train, test)
    return Numbers(
        {
            "train": Number(n_train, task, kind="count"),
            "test": Number(n_test, task, kind="count"),
        },
        task,
        {
            "This ignores the label delay: on the first day of the test, the labels of the "
            "previous week are not known yet.": sizes(*_split(facts, 0)),
            "The test includes cards that were known to be compromised when the day began. They "
            "are blocked, and too easy to detect.": sizes(
                train, _split(facts, drop_compromised=False)[1]
            ),
            "These are the frauds. Count the rows.": (
                float(train["is_fraud"].sum()),
                float(test["is_fraud"].sum()),
            ),
        },
    )


@LESSON.add_exercise(
    "04.2",
    "prediction_counts",
    "fit_baseline(payments) trains and predicts; load .predictions into the table "
    "model_predictions.",
    "count(*) counts rows; sum(prediction::int), or count(*) FILTER (WHERE …), counts the alerts.",
    'load_df(model.predictions, "model_predictions", on_conflict="update").',
)
def _grade_prediction_counts(facts: Facts) -> Numbers:
    predictions = facts.model.predictions
    alert, label = predictions["prediction"], predictions["ground_truth"]
    task = "the number of stored predictions of the model, and how many of them predict fraud"
    n_stored = float(len(predictions))
    return Numbers(
        {
            "stored": Number(n_stored, task, kind="count"),
            "alerts": Number(float(alert.sum()), task, kind="count"),
        },
        task,
        {
            "The first is correct. The second is the number of frauds; count the predictions of "
            "fraud instead.": (n_stored, float(label.sum())),
            "These are only the predictions with a known label. Count all stored predictions.": (
                float(label.count()),
                float((alert & label.is_not_null()).sum()),
            ),
            "The first is correct. The second counts the scores of at least 0.5, but the model has "
            "its own threshold; the column prediction follows it.": (
                n_stored,
                float((predictions["fraud_probability"] >= 0.5).sum()),
            ),
        },
    )


def _confusion(predictions: pl.DataFrame, alert: pl.Series) -> tuple[float, float, float]:
    """Return the number of hits, alerts and frauds."""
    fraud = predictions["ground_truth"].fill_null(False)
    return float((alert & fraud).sum()), float(alert.sum()), float(fraud.sum())


@LESSON.add_exercise(
    "04.3",
    "precision_recall",
    "Precision is the share of the alerts that are fraud, recall the share of the frauds that are "
    "alerts.",
    "ModelPredictionRepository(session).evaluate(name, version, threshold=…) counts labelled "
    "payments in the database.",
    "The model's threshold is model.threshold.",
)
def _grade_precision_recall(facts: Facts) -> Numbers:
    labelled, predictions = facts.labelled_predictions, facts.model.predictions
    hits, alerts, frauds = _confusion(labelled, labelled["prediction"])
    all_hits, all_alerts, _ = _confusion(predictions, predictions["prediction"])
    half_hits, half_alerts, _ = _confusion(labelled, labelled["fraud_probability"] >= 0.5)
    accuracy = float((labelled["prediction"] == labelled["ground_truth"]).sum()) / len(labelled)
    task = "precision and recall at the model's own threshold, on labelled payments"
    return Numbers(
        {"precision": share(hits / alerts, task), "recall": share(hits / frauds, task)},
        task,
        {
            "The recall is correct, but the precision counts unlabelled alerts as false alerts. "
            "They may turn out to be fraud: exclude them.": (all_hits / all_alerts, hits / frauds),
            "This is at the threshold 0.5. Use the model's own threshold.": (
                half_hits / half_alerts if half_alerts else 0.0,
                half_hits / frauds,
            ),
            "The first is the accuracy. Nearly all payments are genuine, so a model that never "
            "predicts fraud is accurate, too. What share of the alerts is fraud?": (
                accuracy,
                hits / frauds,
            ),
        },
    )


@LESSON.add_exercise(
    "04.4",
    "lift",
    "Random alerts are correct as often as fraud occurs.",
    "The average precision of a random score is the share of fraud among the labelled test "
    "payments: the prevalence.",
    'An evaluation has average_precision and baseline("average_precision").',
)
def _grade_lift(facts: Facts) -> Number:
    labelled = facts.labelled_predictions
    fraud = labelled["ground_truth"].to_numpy().astype(bool)
    score = labelled["fraud_probability"].to_numpy()
    precision, prevalence = average_precision(score, fraud), float(fraud.mean())
    all_labels = facts.payments["is_fraud"].drop_nulls()
    return Number(
        precision / prevalence,
        "the ratio of the model's average precision to that of a random score, on the labelled "
        "test payments",
        {
            "This is the average precision. Divide it by that of a random score.": precision,
            "This divides by the share of fraud among all payments. Use the share among the test "
            "payments.": precision / float(all_labels.mean()),  # type: ignore[arg-type]
            "This divides by the share of fraud among all predictions. Exclude payments without a "
            "label from the denominator.": (
                precision * len(facts.model.predictions) / float(fraud.sum())
            ),
            "This is the ratio for the area under the ROC curve, where a random score has "
            "0.5.": roc_auc(score, fraud) / 0.5,
            "This is the inverse: divide the model's average precision by that of the random "
            "score.": prevalence / precision,
        },
    )


@LESSON.add_exercise(
    "04.5",
    "recall_interval",
    "Recall is a share: detected frauds divided by frauds. How many frauds are in the test?",
    'An evaluation has confidence_interval("recall").',
    "Or use proportion_interval(detected, frauds).",
)
def _grade_recall_interval(facts: Facts) -> Numbers:
    labelled = facts.labelled_predictions
    hits, alerts, frauds = _confusion(labelled, labelled["prediction"])
    low, high = wilson_interval(hits, frauds)
    task = "the 95% Wilson interval of the recall at the model's own threshold"
    return Numbers(
        {"low": share(low, task), "high": share(high, task)},
        task,
        {
            "This is the interval of the precision: hits among alerts. Recall is hits among "
            "frauds.": wilson_interval(hits, alerts),
            "This is the interval by normal approximation. For so few frauds use Wilson's.": (
                wald_interval(hits, frauds)
            ),
            "This uses all payments as trials. The trials of recall are the frauds: the fewer "
            "there are, the wider the interval.": wilson_interval(
                hits / frauds * len(labelled), len(labelled)
            ),
        },
    )
