"""Exercises for lesson 05: choose thresholds for a budget or by cost, and report them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.graders import Number
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import card_precision, make_scored_payments

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics.course.lessons._data import Bools, Floats


ALERTS_PER_DAY = 12
COST_PER_ALERT = 6.0
RECOVERY_RATE = 0.5
K = 10
OTHER_PREVALENCE = 0.001
_COLUMNS = ("transaction_id", "customer_id", "timestamp", "amount", "score", "is_fraud")


@dataclass(frozen=True, eq=False)
class Facts:
    """Scored payments of two consecutive periods."""

    validation: pl.DataFrame
    test: pl.DataFrame


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student: a model's scores of the payments after its training."""
    payments = make_scored_payments(seed).select(_COLUMNS)
    day = pl.col("timestamp").dt.date()
    days = payments.select(day.unique().sort()).to_series()
    first, middle = days[1], days[len(days) // 2]
    is_validation = day.is_between(first, middle, closed="left")
    return Facts(payments.filter(is_validation), payments.filter(day >= middle))


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return pandas DataFrames."""

    def describe(payments: pl.DataFrame, purpose: str) -> str:
        n_days = payments["timestamp"].dt.date().n_unique()
        return f"{len(payments):,} payments of {n_days} days with scores and labels, {purpose}"

    validation, test = facts.validation, facts.test
    return {
        "validation": (validation.to_pandas(), describe(validation, "for choosing thresholds")),
        "test": (test.to_pandas(), describe(test, "later, for reporting results")),
    }


LESSON = Lesson("05", "thresholds_and_costs", make_facts, student_data)


def _arrays(payments: pl.DataFrame) -> tuple[Floats, Bools, Floats]:
    return (
        payments["score"].to_numpy(),
        payments["is_fraud"].to_numpy().astype(bool),
        payments["amount"].to_numpy(),
    )


def _normalizer(score: Floats) -> Callable[[float], float]:
    """Return a function that maps thresholds with the same alerts to one score."""
    scores = np.unique(score)

    def normalize(threshold: float) -> float:
        position = int(np.searchsorted(scores, threshold - 1e-12))
        return float(scores[position]) if position < len(scores) else float("inf")

    return normalize


def _threshold_for_alerts(score: Floats, max_alerts: float) -> float:
    """Return the lowest threshold with at most so many alerts."""
    values, counts = np.unique(-score, return_counts=True)
    position = int(np.searchsorted(np.cumsum(counts), max_alerts, side="right"))
    return float(-values[position - 1]) if position else float("inf")


@LESSON.add_exercise(
    "05.1",
    "budget_threshold",
    f"How many alerts are {ALERTS_PER_DAY} per day over all days of validation?",
    'The number of days: validation["timestamp"].dt.date.nunique().',
    'evaluate(validation, score="score") has threshold_for_alerts(number).',
)
def _grade_budget_threshold(facts: Facts) -> Number:
    score, fraud, _ = _arrays(facts.validation)
    test_score = facts.test["score"].to_numpy()
    n_days = facts.validation["timestamp"].dt.date().n_unique()
    n_test_days = facts.test["timestamp"].dt.date().n_unique()
    return Number(
        _threshold_for_alerts(score, ALERTS_PER_DAY * n_days),
        f"the lowest threshold with at most {ALERTS_PER_DAY} alerts per day, on average over the "
        "days of validation",
        {
            f"This raises at most {ALERTS_PER_DAY} alerts in the whole period. The team can review "
            "this number on each day.": _threshold_for_alerts(score, ALERTS_PER_DAY),
            f"This detects {ALERTS_PER_DAY} frauds per day. The budget includes false "
            "alerts.": _threshold_for_alerts(score[fraud], ALERTS_PER_DAY * n_days),
            "This was chosen on test, which is only known afterwards: choose it on "
            "validation.": _threshold_for_alerts(test_score, ALERTS_PER_DAY * n_test_days),
        },
        kind="score",
        normalize=_normalizer(score),
    )


def _cost_curve(
    payments: pl.DataFrame, recovery_rate: float = RECOVERY_RATE
) -> tuple[Floats, Floats]:
    """Return each score as a threshold, the highest first, and its cost."""
    score, fraud, amount = _arrays(payments)
    order = np.argsort(-score, kind="stable")
    is_last = np.append(np.diff(score[order]) != 0, True)
    n_alerts = np.arange(1, len(score) + 1)
    detected = np.cumsum(np.where(fraud, amount, 0.0)[order])
    cost = COST_PER_ALERT * n_alerts + detected[-1] - recovery_rate * detected
    return score[order][is_last], cost[is_last]


def _cheapest_threshold(payments: pl.DataFrame, recovery_rate: float = RECOVERY_RATE) -> float:
    thresholds, costs = _cost_curve(payments, recovery_rate)
    return float(thresholds[np.argmin(costs)])


@LESSON.add_exercise(
    "05.2",
    "cheapest_threshold",
    "Two things cost money: reviewing an alert, and fraud that is not recovered.",
    'evaluate needs the amounts: amount="amount".',
    "best_threshold(cost_per_alert=…, recovery_rate=…) evaluates every score.",
)
def _grade_cheapest_threshold(facts: Facts) -> Number:
    score, fraud, _ = _arrays(facts.validation)
    thresholds, costs = _cost_curve(facts.validation)
    hits = np.array([fraud[score >= threshold].sum() for threshold in thresholds[:400]])
    alerts = np.array([(score >= threshold).sum() for threshold in thresholds[:400]])
    f1 = 2 * hits / (alerts + fraud.sum())
    return Number(
        _cheapest_threshold(facts.validation),
        "the threshold with the lowest cost on validation",
        {
            "This would be the cheapest if detected fraud were recovered in full. Only the given "
            "share is recovered.": _cheapest_threshold(facts.validation, 1.0),
            "This was chosen on test, with hindsight. Choose it on "
            "validation.": _cheapest_threshold(facts.test),
            "This is the threshold with the best F1, which ignores costs.": float(
                thresholds[np.argmax(f1)]
            ),
            "This is the most expensive threshold. The exercise asks for the lowest cost.": float(
                thresholds[np.argmax(costs)]
            ),
        },
        kind="score",
        normalize=_normalizer(score),
    )


def _cost_at(
    payments: pl.DataFrame, threshold: float, recovery_rate: float = RECOVERY_RATE
) -> float:
    score, fraud, amount = _arrays(payments)
    alert = score >= threshold
    return float(
        COST_PER_ALERT * alert.sum()
        + amount[fraud & ~alert].sum()
        + (1 - recovery_rate) * amount[fraud & alert].sum()
    )


@LESSON.add_exercise(
    "05.3",
    "cost_on_test",
    "Keep the threshold that was chosen on validation.",
    "Cost = alerts · cost per alert + missed fraud + unrecovered part of detected fraud.",
    "cost_curve(…) of the test has a row for each score: take the last one whose threshold is at "
    "least yours.",
)
def _grade_cost_on_test(facts: Facts) -> Number:
    threshold = _cheapest_threshold(facts.validation)
    _, fraud, amount = _arrays(facts.test)
    cost = _cost_at(facts.test, threshold)
    return Number(
        cost,
        "the cost on test, in euros, of the threshold that was chosen on validation",
        {
            "This is the cost on validation, where the threshold was chosen: it is optimistic. "
            "Report the cost on test.": _cost_at(facts.validation, threshold),
            "This is the lowest cost on test, of a threshold chosen there. It was not available "
            "in time.": float(_cost_curve(facts.test)[1].min()),
            "This is the saving compared with no alerts. The exercise asks for the cost.": float(
                amount[fraud].sum()
            )
            - cost,
            "This ignores the part of detected fraud that is not recovered.": _cost_at(
                facts.test, threshold, 1.0
            ),
            "This is only the cost of the alerts. Missed fraud costs, too.": COST_PER_ALERT
            * float((facts.test["score"] >= threshold).sum()),
        },
    )


@LESSON.add_exercise(
    "05.4",
    "card_precision",
    "A team calls customers, not payments.",
    "The score of a customer on a day is the highest of their scores of that day.",
    f'card_precision_at_k({K}, entity="customer_id") blocks detected customers; .value '
    "is the mean.",
)
def _grade_card_precision(facts: Facts) -> Number:
    test = facts.test
    daily = [
        float(payments.sort("score", descending=True).head(K)["is_fraud"].sum()) / K
        for _, payments in test.group_by(pl.col("timestamp").dt.date())
    ]
    n_days = len(daily)
    ranked = test.sort("score", descending=True)
    return Number(
        card_precision(test, K)[0],
        f"card precision@{K} on test: the share with fraud among the {K} most suspicious customers "
        "of each day, as a mean over the days; detected customers are blocked",
        {
            "This ranks payments. A customer is called once, however many of their payments are "
            "suspicious: rank customers by their highest score of the day.": float(np.mean(daily)),
            "This detects a customer again on later days. Their card is blocked: exclude detected "
            "customers.": card_precision(test, K, block=False)[0],
            f"This is of the first {K} of the whole period. The team reviews this number on each "
            "day.": float(ranked.head(K)["is_fraud"].sum()) / K,
            "This takes the highest scores of all days together. Each day has its own "
            "ranking.": float(ranked.head(K * n_days)["is_fraud"].sum()) / (K * n_days),
            "This is card precision on validation. Report it on test.": card_precision(
                facts.validation, K
            )[0],
        },
        kind="share",
    )


@LESSON.add_exercise(
    "05.5",
    "precision_elsewhere",
    "Of 1,000 payments there, how many frauds does the threshold detect, and for how many genuine "
    "payments does it raise an alert?",
    "Recall is a share of the frauds and the false positive rate a share of the genuine payments: "
    "both stay the same.",
    "precision_at_prevalence(prevalence) computes it at the evaluation's threshold.",
)
def _grade_precision_elsewhere(facts: Facts) -> Number:
    score, fraud, _ = _arrays(facts.test)
    alert = score >= _cheapest_threshold(facts.validation)
    recall = float(alert[fraud].mean())
    false_positive_rate = float(alert[~fraud].mean())
    precision = float(fraud[alert].mean())
    hits = OTHER_PREVALENCE * recall
    return Number(
        hits / (hits + (1 - OTHER_PREVALENCE) * false_positive_rate),
        "the precision where one payment in 1,000 is fraud, at the same recall and the same "
        "false positive rate",
        {
            "This is the precision here. Where fraud is rarer, there are fewer hits but as many "
            "false alerts.": precision,
            "This scales the precision with the share of fraud. The denominator also contains the "
            "false alerts: use recall and false positive rate.": precision
            * OTHER_PREVALENCE
            / fraud.mean(),
            "This is the recall, which does not depend on the prevalence of fraud.": recall,
            "This weights genuine payments by 1; their share is one minus the prevalence.": hits
            / (hits + false_positive_rate),
        },
        kind="share",
    )
