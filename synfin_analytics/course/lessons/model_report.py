"""Exercises to lesson 07: read a model report, and say what one may sign."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_percent
from synfin_analytics.baseline import fit_baseline
from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Names, Number, Numbers, Table, share
from synfin_analytics.course.lessons.worlds import (
    as_known_today,
    roc_auc,
    top_cards,
    wilson,
    world,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.simulation import Simulation

MODEL = ("scorecard", "1.0")
PLACES = 10


@dataclass(frozen=True, eq=False)
class Facts:
    """A world, its payments as known today, and what a model said of the last ones."""

    made: Simulation
    payments: pl.DataFrame
    predictions: pl.DataFrame
    statements: dict[str, tuple[str, bool, str]]

    @property
    def scored(self) -> pl.DataFrame:
        """Predicted payments."""
        said = self.predictions.select(
            "transaction_id", "prediction", pl.col("fraud_probability").alias("score")
        )
        return said.join(self.payments, on="transaction_id", maintain_order="left")


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student."""
    made = world(seed, customers=450, days=90)
    payments = as_known_today(made.transactions)
    name, version = MODEL
    predictions = fit_baseline(
        payments, name=name, version=version, train_fraction=0.45
    ).predictions
    without = Facts(made, payments, predictions, {})
    return Facts(made, payments, predictions, _statements(without.scored, seed))


def _statements(scored: pl.DataFrame, seed: int) -> dict[str, tuple[str, bool, str]]:
    """Sentences by letter: their text, whether they are true, and a question about them."""
    random = np.random.default_rng(seed)
    pairs = [*_pairs(scored)]
    true = random.permutation([True] * 3 + [False] * (len(pairs) - 3))
    if random.integers(2):
        true = ~true
    order = random.permutation(len(pairs))
    return {
        letter: (pairs[at][0] if is_true else pairs[at][1], bool(is_true), pairs[at][2])
        for letter, at, is_true in zip("ABCDEFG", order, true, strict=True)
    }


def _pairs(scored: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Write a true and a false sentence of each thing, and a question that tells them apart."""
    rows = scored.filter(pl.col("is_fraud").is_not_null())
    fraud, alert = rows["is_fraud"], rows["prediction"]
    hits, alerts, frauds = (int(one.sum()) for one in (fraud & alert, alert, fraud))
    precision, recall = format_percent(hits / alerts), format_percent(hits / frauds)
    low, high = (format_percent(end) for end in wilson(hits, frauds))
    area = format_percent(roc_auc(rows["score"].to_numpy(), fraud.to_numpy().astype(bool)))
    unlabelled = f"{len(scored) - len(rows):,}"
    yield (
        f"Of the alerts, {precision} are fraud.",
        f"Of the frauds, {precision} are found.",
        "of what is it a share, of the alerts or of the frauds?",
    )
    yield (
        f"Of the frauds, {recall} are found.",
        f"Of the alerts, {recall} are fraud.",
        "of what is it a share, of the frauds or of the alerts?",
    )
    yield (
        f"Alerts at random would be right in {format_percent(frauds / len(rows))} of the cases.",
        "Alerts at random would be right in half of the cases.",
        "how often does chance hit what is that rare?",
    )
    yield (
        f"Of a fraud and a genuine payment, the fraud has the higher score in {area} of the pairs.",
        f"The model judges {area} of the payments right.",
        "does the area under the ROC curve count payments, or pairs?",
    )
    yield (
        f"Recall is {recall}; from other customers of the same kind it could well be anything "
        f"from {low} to {high}.",
        f"Recall is {recall}; for 95 of 100 customers it is from {low} to {high}.",
        "is the interval about single customers, or about how sure the recall is?",
    )
    yield (
        f"{unlabelled} predicted payments have no label, and count neither as fraud nor as "
        "genuine.",
        f"{unlabelled} predicted payments have no label, and count as genuine.",
        "what happens to payments whose case is not closed?",
    )
    yield (
        "The cheapest threshold was chosen on the payments it is reported on; on new ones expect "
        "it to cost more.",
        "The cheapest threshold was chosen on the payments it is reported on; on new ones it costs "
        "the same.",
        "what do the limits of the report say of thresholds that were chosen on its rows?",
    )


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give the name of the model, and the sentences."""
    return {
        "model": (MODEL, "name and version of the model; its predictions are in the database"),
        "statements": (
            {letter: text for letter, (text, _, _) in known.statements.items()},
            "what somebody wrote about it, by letter",
        ),
    }


def prepare(known: Facts) -> None:
    """Load what the database of the lesson has from the beginning."""
    from synfin_analytics.io.load import load_df

    load_df(known.made.customers, "customers", progress=False)
    load_df(known.made.merchants, "merchants", progress=False)
    load_df(known.payments, "transactions", progress=False)
    load_df(known.predictions, "model_predictions", progress=False)


def _labelled(known: Facts) -> pl.DataFrame:
    return known.scored.filter(pl.col("is_fraud").is_not_null())


def _promised(known: Facts) -> Number:
    rows = _labelled(known)
    frauds, promised = float(rows["is_fraud"].sum()), float(rows["score"].sum())
    return Number(
        promised / frauds,
        "how many frauds the scores promise for each that came, on the labelled payments",
        {
            "That adds up the scores of unlabelled payments too, whose frauds nobody has counted "
            "yet.": float(known.scored["score"].sum()) / frauds,
            "That is how many came for each that was promised: take it the other way round.": (
                frauds / promised
            ),
            "Those are alerts for each fraud. A score of 0.02 promises two frauds in a hundred, "
            "alert or not: add the scores up.": float(rows["prediction"].sum()) / frauds,
            "That is how many frauds the scores promise in all. For each that came is asked "
            "for.": promised,
        },
    )


def _weeks(known: Facts) -> Table:
    week = pl.col("timestamp").dt.truncate("1w").dt.date().alias("week")
    labelled = _labelled(known)

    def table(every: pl.DataFrame, rated: pl.DataFrame, rate: pl.Expr) -> pl.DataFrame:
        scores = every.group_by(week).agg(pl.col("score").mean().alias("mean_score"))
        frauds = rated.group_by(week).agg(rate.alias("fraud_rate"))
        weeks = labelled.select(week.unique())
        return weeks.join(scores, on="week").join(frauds, on="week").sort("week")

    fraud = pl.col("is_fraud").cast(pl.Float64)
    return Table(
        table(known.scored, labelled, fraud.mean()),
        "week",
        ("mean_score", "fraud_rate"),
        "for each week with a label, by its Monday, the mean score of all predicted payments and "
        "the fraud rate of the labelled ones",
        shares=("mean_score", "fraud_rate"),
        mistakes={
            "The fraud rate takes unlabelled payments for genuine ones: the last weeks look better "
            "than they are.": table(known.scored, known.scored, fraud.fill_null(0).mean()),
            "The mean score is of labelled payments only. A score needs no label: take all "
            "predicted ones.": table(labelled, labelled, fraud.mean()),
            "That is the number of frauds, not their rate.": table(
                known.scored, labelled, fraud.sum()
            ),
        },
    )


def _reached(known: Facts) -> Numbers:
    rows = _labelled(known)
    value, ceiling = top_cards(rows, PLACES)
    without = top_cards(rows, PLACES, block=False)
    twenty = top_cards(rows, 20)
    asks = (
        f"card precision@{PLACES}, and its ceiling: what a perfect ranking would have reached, "
        "as means over the days"
    )
    return Numbers(
        {"reached": share(value, asks), "ceiling": share(ceiling, asks)},
        asks,
        {
            "That is for 20 customers a day, as the report shows it by itself. The team has time "
            f"for {PLACES}: alerts_per_day={PLACES}.": twenty,
            "That finds the same customers again on later days. Those found are blocked.": without,
            "The first is right. The ceiling is not 1: on most days there are fewer victims than "
            "calls.": (value, 1.0),
            "The second is the share of the ceiling that is reached. The ceiling itself is asked "
            "for.": (value, value / ceiling),
        },
    )


def _signed(known: Facts) -> Names:
    true = frozenset(letter for letter, (_, right, _) in known.statements.items() if right)
    every = frozenset(known.statements)
    return Names(
        true,
        tuple(sorted(every)),
        "the letters of the sentences that follow from the report",
        {
            "Those are the ones that do not follow. Which can be signed?": every - true,
            "Not all of them follow from the report. Ask of each number: of what is it a "
            "share?": every,
        },
        {
            letter: f"{letter} does not follow from the report: {question}"
            for letter, (_, right, question) in known.statements.items()
            if not right
        },
    )


LESSON = Lesson(
    "07",
    "model_report",
    facts,
    handed_out,
    (
        Exercise(
            "07.1",
            "promised",
            (
                "If scores are honest probabilities, their sum is the number of frauds to expect.",
                "read_df gets the predictions: fraud_probability is the score, ground_truth what "
                "came true, NULL where the case is open.",
                "sum(fraud_probability) over count(*) FILTER (WHERE ground_truth), both of rows "
                "whose ground_truth is known.",
            ),
            _promised,
        ),
        Exercise(
            "07.2",
            "by_week",
            (
                "report.weeks has a row for each week, and more columns than are asked for.",
                "Its timestamp is the Monday: call it week.",
                "Weeks without any label have no fraud rate: leave them out.",
            ),
            _weeks,
        ),
        Exercise(
            "07.3",
            "calls",
            (
                "report.cards is what comes of calling the most suspicious customers each day.",
                f"How many are called a day is asked for with alerts_per_day={PLACES}.",
                "It has a value and a ceiling.",
            ),
            _reached,
        ),
        Exercise(
            "07.4",
            "to_sign",
            (
                "Look each number up in the report: what stands above and what below its line?",
                "print(report) has the summary in words; report.caveats what the numbers cannot "
                "tell.",
                "Precision is of the alerts, recall of the frauds, the ROC area of pairs; an "
                "interval is of the metric.",
            ),
            _signed,
        ),
    ),
    database="exercise_07",
    prepare=prepare,
)
