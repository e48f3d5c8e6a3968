"""Exercises to lesson 04: split by time, predict, store, evaluate."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics.baseline import fit_baseline
from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Number, Numbers, share
from synfin_analytics.course.lessons.worlds import (
    as_known_today,
    average_precision,
    roc_auc,
    wald,
    wilson,
    world,
)

if TYPE_CHECKING:
    from synfin_analytics.baseline import BaselineModel

_TRAIN, _DELAY, _TEST = 28, 7, 14
_DAY = dt.timedelta(days=1)
#: A bank that closes its cases early: else most of the test would have no label.
_CLOSED_AFTER = 6


@dataclass(frozen=True, eq=False)
class Facts:
    """Customers, merchants, payments with labels as known today; a model and what it predicted."""

    customers: pl.DataFrame
    merchants: pl.DataFrame
    payments: pl.DataFrame
    model: BaselineModel

    @property
    def predicted(self) -> pl.DataFrame:
        """Predictions whose label is known."""
        return self.model.predictions.filter(pl.col("ground_truth").is_not_null())


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student."""
    made = world(seed, customers=700, days=90)
    payments = as_known_today(made.transactions, _CLOSED_AFTER)
    return Facts(made.customers, made.merchants, payments, fit_baseline(payments))


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give the payments, as a frame of polars."""
    return {
        "payments": (
            known.payments,
            f"{len(known.payments):,} payments of 90 days (polars); they are in the database too",
        )
    }


def prepare(known: Facts) -> None:
    """Load what the database of the lesson has from the beginning."""
    from synfin_analytics.io.load import load_df

    load_df(known.customers, "customers", progress=False)
    load_df(known.merchants, "merchants", progress=False)
    load_df(known.payments, "transactions", progress=False)


def _split_rows(
    known: Facts, delay: int = _DELAY, *, drop: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows to train and to test on; the test ends with the last day."""
    payments = known.payments
    end = payments["timestamp"].dt.truncate("1d").max() + _DAY  # type: ignore[operator]
    begin = end - _TEST * _DAY
    start = begin - (delay + _TRAIN) * _DAY
    at, reported = pl.col("timestamp"), pl.col("timestamp") + delay * _DAY
    training = payments.filter(
        at.is_between(start, start + _TRAIN * _DAY, closed="left"),
        pl.col("is_fraud").is_not_null(),
        reported <= begin,
    )
    test = payments.filter(at.is_between(begin, end, closed="left"))
    if drop:
        known_since = (
            payments.filter(pl.col("is_fraud"), at >= start)
            .group_by("customer_id")
            .agg(reported.min().alias("since"))
        )
        test = test.join(known_since, on="customer_id", how="left").filter(
            (pl.col("since") <= at.dt.truncate("1d")).fill_null(False).not_()
        )
    return training, test


def _split(known: Facts) -> Numbers:
    training, test = _split_rows(known)
    asks = (
        "the number of rows to train on and to test on: 28 days, a delay of 7, then 14 days of "
        "test up to the last one, without cards that are known to be compromised"
    )

    def rows(*parts: pl.DataFrame) -> tuple[float, ...]:
        return tuple(float(len(part)) for part in parts)

    without = _split_rows(known, 0)
    return Numbers(
        {
            "train": Number(float(len(training)), asks, kind="count"),
            "test": Number(float(len(test)), asks, kind="count"),
        },
        asks,
        {
            "You forgot the delay: on the first day of the test, the labels of the week before are "
            "not known yet.": rows(*without),
            "The test has cards that were known to be compromised when its day began. They are "
            "blocked, and too easy to find.": rows(training, _split_rows(known, drop=False)[1]),
            "These are frauds. Rows are asked for.": (
                float(training["is_fraud"].sum()),
                float(test["is_fraud"].sum()),
            ),
        },
    )


def _stored(known: Facts) -> Numbers:
    predictions = known.model.predictions
    alerts, truth = predictions["prediction"], predictions["ground_truth"]
    asks = (
        "how many predictions of the model are stored, and how many of them call the payment fraud"
    )
    stored = float(len(predictions))
    return Numbers(
        {
            "stored": Number(stored, asks, kind="count"),
            "alerts": Number(float(alerts.sum()), asks, kind="count"),
        },
        asks,
        {
            "The first is right. The second are the frauds; how often the model says fraud is "
            "asked for.": (stored, float(truth.sum())),
            "Those are predictions with a known label only. All that are stored are asked for.": (
                float(truth.count()),
                float((alerts & truth.is_not_null()).sum()),
            ),
            "The first is right. The second counts the scores from 0.5 on; the model has a "
            "threshold of its own, and stores what it says: prediction.": (
                stored,
                float((predictions["fraud_probability"] >= 0.5).sum()),
            ),
        },
    )


def _counts(frame: pl.DataFrame, alert: pl.Series) -> tuple[float, float, float]:
    fraud = frame["ground_truth"].fill_null(False)
    return float((alert & fraud).sum()), float(alert.sum()), float(fraud.sum())


def _quality(known: Facts) -> Numbers:
    rows = known.predicted
    hits, alerts, frauds = _counts(rows, rows["prediction"])
    everything = known.model.predictions
    all_hits, all_alerts, _ = _counts(everything, everything["prediction"])
    half_hits, half_alerts, _ = _counts(rows, rows["fraud_probability"] >= 0.5)
    right = float((rows["prediction"] == rows["ground_truth"]).sum()) / len(rows)
    asks = "precision and recall at the model's own threshold, on labelled payments"
    return Numbers(
        {"precision": share(hits / alerts, asks), "recall": share(hits / frauds, asks)},
        asks,
        {
            "The recall is right; the precision takes unlabelled alerts for false ones. They may "
            "turn out to be fraud: leave them out.": (all_hits / all_alerts, hits / frauds),
            "That is at the threshold 0.5. The model has one of its own: where its predictions "
            "turn.": (half_hits / half_alerts if half_alerts else 0.0, half_hits / frauds),
            "The first is the accuracy. Nearly all payments are genuine, so that saying never "
            "fraud is accurate too. Of the alerts, how many are fraud?": (right, hits / frauds),
        },
    )


def _lift(known: Facts) -> Number:
    rows = known.predicted
    fraud = rows["ground_truth"].to_numpy().astype(bool)
    score = rows["fraud_probability"].to_numpy()
    precision = average_precision(score, fraud)
    labelled = known.payments["is_fraud"].drop_nulls()
    return Number(
        precision / float(fraud.mean()),
        "how many times the average precision is that of chance, on the labelled test payments",
        {
            "That is the average precision. How many times that of chance is it?": precision,
            "That compares with the share of fraud in all payments. Chance meets the fraud that is "
            "in the test: take the share there.": precision / float(labelled.mean()),  # type: ignore[arg-type]
            "That divides by the share among all predictions, labelled or not. Below that line "
            "stand payments that nobody has judged.": (
                precision * len(known.model.predictions) / float(fraud.sum())
            ),
            "That is for the area under the ROC curve, whose chance is one half.": roc_auc(
                score, fraud
            )
            / 0.5,
            "That is chance over model: take it the other way round.": float(fraud.mean())
            / precision,
        },
    )


def _sure(known: Facts) -> Numbers:
    rows = known.predicted
    hits, alerts, frauds = _counts(rows, rows["prediction"])
    low, high = wilson(hits, frauds)
    asks = "the Wilson interval of the recall at the model's own threshold, at 95 %"
    return Numbers(
        {"low": share(low, asks), "high": share(high, asks)},
        asks,
        {
            "That is the interval of the precision: hits among alerts. Recall is hits among "
            "frauds.": wilson(hits, alerts),
            "That is the interval by the normal distribution. Of so few frauds, take Wilson's.": (
                wald(hits, frauds)
            ),
            "That takes all payments for the trials. Recall knows only the frauds: its interval "
            "is as wide as they are few.": wilson(hits / frauds * len(rows), len(rows)),
        },
    )


LESSON = Lesson(
    "04",
    "train_and_evaluate",
    facts,
    handed_out,
    (
        Exercise(
            "04.1",
            "rows",
            (
                "time_split cuts by time: train, delay and test are lengths, as '28d'.",
                "What it returns has the frames .train and .test; print it to see what was left "
                "out, and why.",
                'time_split(payments, train="28d", label_delay="7d", test="14d").',
            ),
            _split,
        ),
        Exercise(
            "04.2",
            "counted",
            (
                "fit_baseline(payments) learns and predicts; .predictions goes into the "
                "table model_predictions.",
                "count(*) counts rows; sum(prediction::int), or count(*) FILTER (WHERE …), those "
                "that are alerts.",
                'load_df(model.predictions, "model_predictions", on_conflict="update").',
            ),
            _stored,
        ),
        Exercise(
            "04.3",
            "quality",
            (
                "Precision asks of the alerts how many are fraud, recall of the frauds how many "
                "are alerts.",
                "ModelPredictionRepository(session).evaluate(name, version, threshold=…) counts in "
                "the database, labelled payments only.",
                "The model's threshold is model.threshold.",
            ),
            _quality,
        ),
        Exercise(
            "04.4",
            "times_chance",
            (
                "Without any model, alerts at random hit as often as fraud is frequent.",
                "Average precision of chance is the share of fraud among the labelled test "
                "payments: the prevalence.",
                'An evaluation knows average_precision, and baseline("average_precision").',
            ),
            _lift,
        ),
        Exercise(
            "04.5",
            "how_sure",
            (
                "Recall is a share: frauds found out of frauds. How many frauds are in the test?",
                'An evaluation knows interval("recall").',
                "Or proportion_interval(found, frauds).",
            ),
            _sure,
        ),
    ),
    database="exercise_04",
    prepare=prepare,
)
