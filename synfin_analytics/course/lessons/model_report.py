"""Exercises for lesson 07: read a model report, and decide which statements it supports."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_percent
from synfin_analytics.baseline import fit_baseline
from synfin_analytics.course.graders import Names, Number, Numbers, Table, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import (
    card_precision,
    make_world,
    roc_auc,
    wilson_interval,
    with_labels_as_of_today,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.simulation import Simulation

MODEL = ("scorecard", "1.0")
K = 10


@dataclass(frozen=True)
class Statement:
    """A sentence about the model, whether the report supports it, and a question to decide."""

    text: str
    is_supported: bool
    question: str


@dataclass(frozen=True, eq=False)
class Facts:
    """A world, its payments with today's labels, and a model's predictions of the last ones."""

    world: Simulation[pl.DataFrame]
    payments: pl.DataFrame
    predictions: pl.DataFrame
    statements: dict[str, Statement]

    @property
    def scored(self) -> pl.DataFrame:
        """Payments with a prediction."""
        return _join_scores(self.predictions, self.payments)

    @property
    def labelled(self) -> pl.DataFrame:
        """Payments with a prediction and a known label."""
        return self.scored.drop_nulls("is_fraud")


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    world = make_world(seed, customers=450, days=90)
    payments = with_labels_as_of_today(world.transactions)
    name, version = MODEL
    model = fit_baseline(payments, name=name, version=version, train_fraction=0.45)
    statements = _make_statements(_join_scores(model.predictions, payments), seed)
    return Facts(world, payments, model.predictions, statements)


def _join_scores(predictions: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    scores = predictions.select(
        "transaction_id", "prediction", pl.col("fraud_probability").alias("score")
    )
    return scores.join(payments, on="transaction_id", maintain_order="left")


def _make_statements(scored: pl.DataFrame, seed: int) -> dict[str, Statement]:
    """Return statements by letter, of which three or four are supported."""
    random = np.random.default_rng(seed)
    pairs = [*_statement_pairs(scored)]
    is_supported = random.permutation([True] * 3 + [False] * (len(pairs) - 3))
    if random.integers(2):
        is_supported = ~is_supported
    order = random.permutation(len(pairs))
    statements = {}
    for letter, position, supported in zip("ABCDEFG", order, is_supported, strict=True):
        correct, wrong, question = pairs[position]
        statements[letter] = Statement(correct if supported else wrong, bool(supported), question)
    return statements


def _statement_pairs(scored: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield a correct and a wrong statement on each topic, and a question to tell them apart."""
    labelled = scored.drop_nulls("is_fraud")
    fraud, alert = labelled["is_fraud"], labelled["prediction"]
    hits, alerts, frauds = (int(column.sum()) for column in (fraud & alert, alert, fraud))
    precision, recall = format_percent(hits / alerts), format_percent(hits / frauds)
    low, high = (format_percent(end) for end in wilson_interval(hits, frauds))
    auc = format_percent(roc_auc(labelled["score"].to_numpy(), fraud.to_numpy().astype(bool)))
    n_unlabelled = f"{len(scored) - len(labelled):,}"
    yield (
        f"{precision} of the alerts are fraud.",
        f"{precision} of the frauds are detected.",
        "is this a share of the alerts or of the frauds?",
    )
    yield (
        f"{recall} of the frauds are detected.",
        f"{recall} of the alerts are fraud.",
        "is this a share of the frauds or of the alerts?",
    )
    yield (
        f"{format_percent(frauds / len(labelled))} of random alerts would be correct.",
        "Half of random alerts would be correct.",
        "how often is a random alert correct when fraud is this rare?",
    )
    yield (
        f"In {auc} of the pairs of a fraud and a genuine payment, the fraud has the higher score.",
        f"The model classifies {auc} of the payments correctly.",
        "does the area under the ROC curve count payments or pairs?",
    )
    yield (
        f"Recall is {recall}; for other customers of the same kind, any value from {low} to {high} "
        "would be plausible.",
        f"Recall is {recall}; for 95 of 100 customers, it is between {low} and {high}.",
        "does the interval describe single customers, or the uncertainty of the recall?",
    )
    yield (
        f"{n_unlabelled} payments with a prediction have no label; they count neither as fraud nor "
        "as genuine.",
        f"{n_unlabelled} payments with a prediction have no label; they count as genuine.",
        "how does the report treat payments whose case is still open?",
    )
    yield (
        "The cheapest threshold was chosen on the payments it is reported on; expect a higher cost "
        "on new payments.",
        "The cheapest threshold was chosen on the payments it is reported on; expect the same cost "
        "on new payments.",
        "what do the caveats of the report say about thresholds that were chosen on its payments?",
    )


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the name of the model, and the statements."""
    return {
        "model": (MODEL, "name and version of the model; its predictions are in the database"),
        "statements": (
            {letter: statement.text for letter, statement in facts.statements.items()},
            "statements about the model, by letter",
        ),
    }


def tables(facts: Facts) -> dict[str, pl.DataFrame]:
    """Return the tables of the lesson's database."""
    return {
        "customers": facts.world.customers,
        "merchants": facts.world.merchants,
        "transactions": facts.payments,
        "model_predictions": facts.predictions,
    }


LESSON = Lesson(
    "07", "model_report", make_facts, student_data, database="exercise_07", tables=tables
)


@LESSON.add_exercise(
    "07.1",
    "calibration_ratio",
    "If scores are calibrated probabilities, their sum is the expected number of frauds.",
    "read_df reads the predictions: fraud_probability is the score, ground_truth the label, NULL "
    "while the case is open.",
    "sum(fraud_probability) divided by count(*) FILTER (WHERE ground_truth), both for rows with a "
    "known ground_truth.",
)
def _grade_calibration_ratio(facts: Facts) -> Number:
    labelled = facts.labelled
    frauds, expected = float(labelled["is_fraud"].sum()), float(labelled["score"].sum())
    return Number(
        expected / frauds,
        "the number of frauds that the scores predict, divided by the number of actual frauds, on "
        "the labelled payments",
        {
            "This includes the scores of unlabelled payments, whose frauds are not counted "
            "yet.": float(facts.scored["score"].sum()) / frauds,
            "This is the inverse: divide the predicted number by the actual number.": (
                frauds / expected
            ),
            "These are the alerts per fraud. A score of 0.02 predicts two frauds in a hundred "
            "payments, alert or not: sum the scores.": float(labelled["prediction"].sum()) / frauds,
            "This is the number of frauds that the scores predict. Divide it by the actual "
            "number.": expected,
        },
    )


@LESSON.add_exercise(
    "07.2",
    "by_week",
    "report.weeks has a row for each week, and more columns than you need.",
    "Its timestamp is the Monday: name it week.",
    "Weeks without any label have no fraud rate: exclude them.",
)
def _grade_by_week(facts: Facts) -> Table:
    week = pl.col("timestamp").dt.truncate("1w").dt.date().alias("week")
    scored, labelled = facts.scored, facts.labelled

    def aggregate(for_score: pl.DataFrame, for_rate: pl.DataFrame, rate: pl.Expr) -> pl.DataFrame:
        scores = for_score.group_by(week).agg(pl.col("score").mean().alias("mean_score"))
        rates = for_rate.group_by(week).agg(rate.alias("fraud_rate"))
        weeks = labelled.select(week.unique())
        return weeks.join(scores, on="week").join(rates, on="week").sort("week")

    fraud = pl.col("is_fraud").cast(pl.Float64)
    return Table(
        aggregate(scored, labelled, fraud.mean()),
        "week",
        ("mean_score", "fraud_rate"),
        "the mean score of all payments with a prediction and the fraud rate of the labelled ones, "
        "for each week with a label, by its Monday",
        shares=("mean_score", "fraud_rate"),
        mistakes={
            "The fraud rate counts unlabelled payments as genuine, so that the last weeks look "
            "better than they are.": aggregate(scored, scored, fraud.fill_null(0).mean()),
            "The mean score is of labelled payments only. A score needs no label: include all "
            "payments with a prediction.": aggregate(labelled, labelled, fraud.mean()),
            "This is the number of frauds instead of their rate.": aggregate(
                scored, labelled, fraud.sum()
            ),
        },
    )


@LESSON.add_exercise(
    "07.3",
    "card_precision",
    "report.cards is the result of calling the most suspicious customers each day.",
    f"alerts_per_day={K} sets the number of calls.",
    "It has value and max_achievable.",
)
def _grade_card_precision(facts: Facts) -> Numbers:
    labelled = facts.labelled
    value, maximum = card_precision(labelled, K)
    task = (
        f"card precision@{K} and its maximum, which a perfect ranking would achieve, as means over "
        "the days"
    )
    return Numbers(
        {"value": share(value, task), "maximum": share(maximum, task)},
        task,
        {
            "This is for 20 customers per day, the default of the report. The team can call "
            f"{K}: alerts_per_day={K}.": card_precision(labelled, 20),
            "This detects the same customers again on later days. Detected customers are "
            "blocked.": card_precision(labelled, K, block=False),
            "The first is correct. The maximum is not 1: on most days there are fewer victims than "
            "calls.": (value, 1.0),
            "The second is the achieved share of the maximum. The exercise asks for the maximum "
            "itself.": (value, value / maximum),
        },
    )


@LESSON.add_exercise(
    "07.4",
    "supported",
    "Look up each number in the report: what are its numerator and denominator?",
    "print(report) prints the summary; report.caveats lists what the numbers cannot show.",
    "Precision is a share of the alerts, recall of the frauds, the ROC area of pairs; an interval "
    "is of the metric.",
)
def _grade_supported(facts: Facts) -> Names:
    letters = frozenset(facts.statements)
    supported = frozenset(
        letter for letter, statement in facts.statements.items() if statement.is_supported
    )
    return Names(
        supported,
        tuple(sorted(letters)),
        "the letters of the statements that the report supports",
        {
            "These are the statements that the report does not support. The exercise asks for the "
            "others.": letters - supported,
            "The report does not support all of them. Ask of each number: of what is it a "
            "share?": letters,
        },
        {
            letter: f"The report does not support {letter}: {statement.question}"
            for letter, statement in facts.statements.items()
            if not statement.is_supported
        },
    )
