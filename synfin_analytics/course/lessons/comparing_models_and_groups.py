"""Exercises for lesson 06: whether a model is better, and which groups it serves worse."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.graders import Number, Numbers, Table
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import (
    average_precision,
    make_scored_payments,
    rate_with_interval,
    roc_auc,
    wald_interval,
    weighted_average_precision,
    with_labels_as_of_today,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics.course.lessons._data import Bools, Floats


_N_RESAMPLES = 800
#: Tolerance of an end of an interval, as a share of its width: both are estimated by resampling.
_RELATIVE_TOLERANCE = 0.15
#: Groups with fewer frauds are not compared.
_MIN_FRAUDS = 10
_COLUMNS = (
    "transaction_id", "customer_id", "timestamp", "amount", "channel", "old", "new", "is_fraud",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments with the scores of two models, and a threshold of the new model."""

    payments: pl.DataFrame
    threshold: float

    @property
    def labelled(self) -> pl.DataFrame:
        """Payments with a known label."""
        return self.payments.drop_nulls("is_fraud")


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student.

    The new model uses more than the old one: how the card was read, and the distance from home. It
    also has some noise.
    """
    payments = with_labels_as_of_today(make_scored_payments(seed))
    payments = payments.filter(pl.col("channel") != "phone")
    noise = np.random.default_rng(seed).normal(0, 0.35, len(payments))
    probability = pl.col("score").clip(1e-9, 1 - 1e-9)
    log_odds = (probability / (1 - probability)).log()
    added = (
        1.6 * pl.col("entry_mode").is_in(["magstripe", "manual"]).cast(pl.Float64)
        + 1.2 * (pl.col("distance_from_home").fill_null(0) > 300).cast(pl.Float64)
        + pl.Series(noise)
    )
    payments = payments.with_columns(
        pl.col("score").alias("old"), (1 / (1 + (-(log_odds + added)).exp())).alias("new")
    )
    threshold = round(float(payments["new"].quantile(0.985) or 0), 3)
    return Facts(payments.select(_COLUMNS), threshold)


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the payments as a pandas DataFrame, and the threshold."""
    return {
        "payments": (
            facts.payments.to_pandas(),
            f"{len(facts.payments):,} payments with the scores of an old and a new model",
        ),
        "threshold": (facts.threshold, "scores of the new model from here on are alerts"),
    }


LESSON = Lesson("06", "comparing_models_and_groups", make_facts, student_data)


def _arrays(payments: pl.DataFrame) -> tuple[Floats, Floats, Bools]:
    fraud = payments["is_fraud"].fill_null(False).to_numpy().astype(bool)
    return payments["old"].to_numpy(), payments["new"].to_numpy(), fraud


@LESSON.add_exercise(
    "06.1",
    "difference",
    "Evaluate the same payments twice, with different score columns.",
    "average_precision is an attribute of the result of evaluate.",
    'evaluate(payments, score="new").average_precision, minus that of the old model.',
)
def _grade_difference(facts: Facts) -> Number:
    old, new, fraud = _arrays(facts.labelled)
    all_old, all_new, as_genuine = _arrays(facts.payments)
    ap_old, ap_new = average_precision(old, fraud), average_precision(new, fraud)
    return Number(
        ap_new - ap_old,
        "the average precision of the new model minus that of the old model",
        {
            "This is old minus new. The exercise asks for new minus old.": ap_old - ap_new,
            "This is the difference of the areas under the ROC curve, which are close to each "
            "other where fraud is rare. Use average precision.": roc_auc(new, fraud)
            - roc_auc(old, fraud),
            "This is the average precision of the new model alone.": ap_new,
            "This is the relative improvement. The exercise asks for the difference.": ap_new
            / ap_old
            - 1,
            "This counts unlabelled payments as genuine. Exclude them, or let evaluate do "
            "so.": average_precision(all_new, as_genuine) - average_precision(all_old, as_genuine),
        },
    )


@functools.lru_cache(maxsize=3)
def _bootstrap(facts: Facts) -> Floats:
    """Resample customers; return the average precision of both models in two columns."""
    labelled = facts.labelled
    old, new, fraud = _arrays(labelled)
    codes = np.unique(labelled["customer_id"].to_numpy(), return_inverse=True)[1]
    random = np.random.default_rng(20_260)
    n_customers = int(codes.max()) + 1
    uniform = np.full(n_customers, 1 / n_customers)
    resamples = random.multinomial(n_customers, uniform, size=_N_RESAMPLES).astype(np.float64)
    metrics = [weighted_average_precision(score, fraud) for score in (old, new)]
    return np.array([[metric(weights[codes]) for metric in metrics] for weights in resamples])


@LESSON.add_exercise(
    "06.2",
    "difference_interval",
    "With other customers, would the new model still be better? Resample the customers many times, "
    "and compare the models in each resample.",
    'compare_models(payments, {"old": "old", "new": "new"}) does this; the first model '
    "is the reference.",
    "Its to_frame() has difference, difference_low and difference_high in the row of average "
    "precision and the new model.",
)
def _grade_difference_interval(facts: Facts) -> Numbers:
    resamples = _bootstrap(facts)
    old, new, fraud = _arrays(facts.labelled)
    ap_old, ap_new = average_precision(old, fraud), average_precision(new, fraud)
    interval = np.quantile(resamples[:, 1] - resamples[:, 0], [0.025, 0.975])
    low, high = float(interval[0]), float(interval[1])
    lows, highs = np.quantile(resamples, [0.025, 0.975], axis=0)
    tolerance = _RELATIVE_TOLERANCE * (high - low)
    task = (
        "new minus old, with the interval of this difference from resamples of customers that both "
        "models share"
    )
    return Numbers(
        {
            "difference": Number(ap_new - ap_old, task),
            "low": Number(low, task, tolerance=tolerance),
            "high": Number(high, task, tolerance=tolerance),
        },
        task,
        {
            "This subtracts the two models' intervals, as if each model had been tested on other "
            "customers. Both were tested on the same ones: compute the difference in each "
            "resample.": (ap_new - ap_old, lows[1] - highs[0], highs[1] - lows[0]),
            "This is the new model alone, not the difference.": (ap_new, lows[1], highs[1]),
            "This is the old model alone, not the difference.": (ap_old, lows[0], highs[0]),
            "This is old minus new. The exercise asks for new minus old.": (
                ap_old - ap_new,
                -high,
                -low,
            ),
        },
    )


def _counts_by_channel(facts: Facts) -> pl.DataFrame:
    """Return frauds, detected frauds, alerts and payments by channel."""
    alert = pl.col("new") >= facts.threshold
    return (
        facts.labelled.group_by("channel")
        .agg(
            pl.col("is_fraud").sum().alias("frauds"),
            (alert & pl.col("is_fraud")).sum().alias("detected"),
            alert.sum().alias("alerts"),
            pl.len().alias("payments"),
        )
        .sort("channel")
        .with_columns(pl.all().exclude("channel").cast(pl.Float64))
    )


@LESSON.add_exercise(
    "06.3",
    "recall_by_channel",
    "Recall: what share of the frauds of a channel reaches the threshold?",
    'evaluate(…, threshold=threshold, by="channel").to_frame() has a row for each '
    "channel and metric.",
    'Keep the rows whose metric is "recall", and name the columns recall, recall_low '
    "and recall_high.",
)
def _grade_recall_by_channel(facts: Facts) -> Table:
    counts = _counts_by_channel(facts)
    columns = ("recall", "recall_low", "recall_high")
    return Table(
        rate_with_interval(counts, "recall", "detected", "frauds"),
        "channel",
        columns,
        "the share of the frauds of each channel that the new model detects, with its Wilson "
        "interval",
        shares=columns,
        mistakes={
            "This is precision: the share of the alerts that are fraud. Recall is the share of the "
            "frauds that are alerts.": rate_with_interval(counts, "recall", "detected", "alerts"),
            "This is the share of the payments that are alerts. Use only the "
            "frauds.": rate_with_interval(counts, "recall", "alerts", "payments"),
            "The recall is correct, but the intervals use the normal approximation, which fails "
            "for few frauds. Use Wilson's.": rate_with_interval(
                counts, "recall", "detected", "frauds", wald_interval
            ),
        },
    )


def _newcombe_interval(
    best: Mapping[str, float], worst: Mapping[str, float]
) -> tuple[float, float, float]:
    """Return the difference of two recalls, with its interval from their Wilson intervals."""
    difference = best["recall"] - worst["recall"]
    below = np.hypot(best["recall"] - best["recall_low"], worst["recall_high"] - worst["recall"])
    above = np.hypot(best["recall_high"] - best["recall"], worst["recall"] - worst["recall_low"])
    return difference, float(difference - below), float(difference + above)


@LESSON.add_exercise(
    "06.4",
    "recall_gap",
    "Exclude channels with fewer than 10 frauds, where recall is mostly chance.",
    "The recalls of two channels are independent shares; Newcombe's method gives the interval of "
    "their difference.",
    'The result of evaluate with by="channel" has difference("recall").',
)
def _grade_recall_gap(facts: Facts) -> Numbers:
    counts = _counts_by_channel(facts)
    recalls = rate_with_interval(counts, "recall", "detected", "frauds").sort("recall")
    compared = recalls.filter(pl.col("frauds") >= _MIN_FRAUDS)
    best, worst = compared.row(-1, named=True), compared.row(0, named=True)
    totals = counts.select(pl.col("detected", "frauds").sum())
    all_channels = rate_with_interval(totals, "recall", "detected", "frauds").row(0, named=True)
    difference, low, high = _newcombe_interval(best, worst)
    task = (
        "the best minus the worst recall among channels with at least 10 frauds, with Newcombe's "
        "interval"
    )
    return Numbers(
        {
            "value": Number(difference, task),
            "low": Number(low, task),
            "high": Number(high, task),
        },
        task,
        {
            "This is worst minus best. The exercise asks for best minus worst.": (
                -difference,
                -high,
                -low,
            ),
            "The difference is correct. Its interval does not follow from the ends of the two "
            "intervals: both recalls at their ends at once is less likely.": (
                difference,
                best["recall_low"] - worst["recall_high"],
                best["recall_high"] - worst["recall_low"],
            ),
            "This compares a channel with all channels together. Compare the two "
            "channels.": _newcombe_interval(best, all_channels),
        },
    )
