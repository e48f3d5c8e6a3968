"""Exercises to lesson 05: a threshold for a budget, for a cost, and what it gives elsewhere."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Number
from synfin_analytics.course.lessons.worlds import scored, top_cards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

BUDGET = 12
COST_PER_ALERT = 6.0
RECOVERY_RATE = 0.5
PLACES = 10
ELSEWHERE = 0.001
_COLUMNS = ("transaction_id", "customer_id", "timestamp", "amount", "score", "is_fraud")


@dataclass(frozen=True, eq=False)
class Facts:
    """Scored payments of two periods, one after the other."""

    validation: pl.DataFrame
    test: pl.DataFrame


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student: a simple model's scores on what came after its training."""
    rows = scored(seed).select(_COLUMNS)
    day = pl.col("timestamp").dt.date()
    days = rows.select(day.unique().sort()).to_series()
    first, middle = days[1], days[len(days) // 2]
    return Facts(
        rows.filter(day.is_between(first, middle, closed="left")), rows.filter(day >= middle)
    )


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give frames of pandas."""
    words = "a model's scores of {:,} payments in {} days, and what came true"
    return {
        name: (
            frame.to_pandas(),
            words.format(len(frame), frame["timestamp"].dt.date().n_unique()) + more,
        )
        for name, frame, more in (
            ("validation", known.validation, ": here thresholds are chosen"),
            ("test", known.test, ", later: here they are reported"),
        )
    }


def _arrays(frame: pl.DataFrame) -> tuple[Floats, Bools, Floats]:
    return (
        frame["score"].to_numpy(),
        frame["is_fraud"].to_numpy().astype(bool),
        frame["amount"].to_numpy(),
    )


def _snap(score: Floats) -> Any:
    """Thresholds between the same two scores raise the same alerts: take the upper score."""
    scores = np.unique(score)

    def snapped(threshold: float) -> float:
        place = int(np.searchsorted(scores, threshold - 1e-12))
        return float(scores[place]) if place < len(scores) else float("inf")

    return snapped


def _for_alerts(score: Floats, alerts: float) -> float:
    """Lowest threshold that raises at most so many alerts."""
    values, counts = np.unique(-score, return_counts=True)
    within = int(np.searchsorted(np.cumsum(counts), alerts, side="right"))
    return float(-values[within - 1]) if within else float("inf")


def _budget(known: Facts) -> Number:
    score, fraud, _ = _arrays(known.validation)
    days = known.validation["timestamp"].dt.date().n_unique()
    return Number(
        _for_alerts(score, BUDGET * days),
        f"the lowest threshold with at most {BUDGET} alerts a day, on average over the days of "
        "validation",
        {
            f"That raises at most {BUDGET} alerts in the whole period. The team can look at so "
            "many on each day of it.": _for_alerts(score, BUDGET),
            f"That finds {BUDGET} frauds a day. The budget is of alerts, false ones "
            "included.": _for_alerts(score[fraud], BUDGET * days),
            "That was chosen on test. There it would be known only afterwards: choose on "
            "validation.": _for_alerts(
                known.test["score"].to_numpy(),
                BUDGET * known.test["timestamp"].dt.date().n_unique(),
            ),
        },
        kind="score",
        normalize=_snap(score),
    )


def _costs(frame: pl.DataFrame, recovery: float = RECOVERY_RATE) -> tuple[Floats, Floats]:
    """Each score as a threshold, the highest first, and what it costs."""
    score, fraud, amount = _arrays(frame)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    alerts = np.arange(1, len(score) + 1)
    caught = np.cumsum(np.where(fraud, amount, 0.0)[order])
    cost = COST_PER_ALERT * alerts + caught[-1] - recovery * caught
    return score[order][last], cost[last]


def _best(frame: pl.DataFrame, recovery: float = RECOVERY_RATE) -> float:
    thresholds, costs = _costs(frame, recovery)
    return float(thresholds[np.argmin(costs)])


def _cheapest(known: Facts) -> Number:
    score, fraud, _ = _arrays(known.validation)
    thresholds, costs = _costs(known.validation)
    hits = np.array([fraud[score >= one].sum() for one in thresholds[:400]])
    alerts = np.array([(score >= one).sum() for one in thresholds[:400]])
    f1 = 2 * hits / (alerts + fraud.sum())
    return Number(
        _best(known.validation),
        "the threshold of the lowest cost on validation",
        {
            "That would be the cheapest if all of a caught fraud came back. Only the stated share "
            "of it does.": _best(known.validation, 1.0),
            "That was chosen on test: it is what one would have liked to know. Choose on "
            "validation.": _best(known.test),
            "That is the threshold of the best F1, which knows nothing of money.": float(
                thresholds[np.argmax(f1)]
            ),
            "That is the dearest one. The lowest cost is asked for.": float(
                thresholds[np.argmax(costs)]
            ),
        },
        kind="score",
        normalize=_snap(score),
    )


def _cost_at(frame: pl.DataFrame, threshold: float, recovery: float = RECOVERY_RATE) -> float:
    score, fraud, amount = _arrays(frame)
    alert = score >= threshold
    return float(
        COST_PER_ALERT * alert.sum()
        + amount[fraud & ~alert].sum()
        + (1 - recovery) * amount[fraud & alert].sum()
    )


def _reported(known: Facts) -> Number:
    chosen = _best(known.validation)
    _, fraud, amount = _arrays(known.test)
    return Number(
        _cost_at(known.test, chosen),
        "what the threshold that was chosen on validation costs on test, in euros",
        {
            "That is the cost on validation, where the threshold was chosen: there it flatters. "
            "Report it on test.": _cost_at(known.validation, chosen),
            "That is the lowest cost on test, of a threshold chosen there. Nobody could have "
            "chosen it in time.": float(_costs(known.test)[1].min()),
            "That is what was saved against no alert at all. The cost is asked for.": float(
                amount[fraud].sum()
            )
            - _cost_at(known.test, chosen),
            "That forgets the part of a caught fraud that does not come back.": _cost_at(
                known.test, chosen, 1.0
            ),
            "That is only what the alerts cost. Fraud that was missed costs too.": COST_PER_ALERT
            * float((known.test["score"] >= chosen).sum()),
        },
    )


def _cards(known: Facts) -> Number:
    test = known.test
    daily = [
        float(one.sort("score", descending=True).head(PLACES)["is_fraud"].sum()) / PLACES
        for _, one in test.group_by(pl.col("timestamp").dt.date())
    ]
    days = len(daily)
    pooled = test.sort("score", descending=True)
    return Number(
        top_cards(test, PLACES)[0],
        f"card precision@{PLACES} on test: among the {PLACES} most suspicious customers of each "
        "day, the share with fraud, the mean over the days; found ones are blocked",
        {
            "That ranks payments. A customer is called once, however many of their payments are "
            "suspicious: rank customers by their highest score of the day.": float(np.mean(daily)),
            "That lets a customer who was found be found again on the days after. His card is "
            "blocked: take them out of the pool.": top_cards(test, PLACES, block=False)[0],
            f"That is of the first {PLACES} of the whole period. The team looks at so many each "
            "day.": float(pooled.head(PLACES)["is_fraud"].sum()) / PLACES,
            "That takes the highest scores of all days together. Each day has its own "
            "ranking.": float(pooled.head(PLACES * days)["is_fraud"].sum()) / (PLACES * days),
            "That is card precision on validation. Report it on test.": top_cards(
                known.validation, PLACES
            )[0],
        },
        kind="share",
    )


def _elsewhere(known: Facts) -> Number:
    score, fraud, _ = _arrays(known.test)
    alert = score >= _best(known.validation)
    recall = float(alert[fraud].mean())
    false = float(alert[~fraud].mean())
    precision = float(fraud[alert].mean())
    hits = ELSEWHERE * recall
    return Number(
        hits / (hits + (1 - ELSEWHERE) * false),
        "the precision where one payment in 1,000 is fraud, at the same recall and the same "
        "false-positive rate",
        {
            "That is the precision here. Where fraud is rarer, the false alerts stay and the hits "
            "become fewer.": precision,
            "That scales the precision with the share of fraud. False alerts stand below the line "
            "too: go by recall and false-positive rate.": precision * ELSEWHERE / fraud.mean(),
            "That is the recall, which does not depend on how frequent fraud is.": recall,
            "That gives genuine payments the weight 1; their share is what fraud leaves.": hits
            / (hits + false),
        },
        kind="share",
    )


LESSON = Lesson(
    "05",
    "thresholds_and_costs",
    facts,
    handed_out,
    (
        Exercise(
            "05.1",
            "for_budget",
            (
                f"How many alerts do {BUDGET} a day make over all the days of validation?",
                'The days: validation["timestamp"].dt.date.nunique().',
                'evaluate(validation, score="score") knows threshold_for_alerts(number).',
            ),
            _budget,
        ),
        Exercise(
            "05.2",
            "cheapest",
            (
                "Two things cost: looking at an alert, and fraud that is not saved.",
                'evaluate needs to know the values: amount="amount".',
                "best_threshold(cost_per_alert=…, recovery_rate=…) looks at every score.",
            ),
            _cheapest,
        ),
        Exercise(
            "05.3",
            "cost_on_test",
            (
                "The threshold stays the one that was chosen on validation.",
                "Cost = alerts · cost of one + missed fraud + the lost part of caught fraud.",
                "cost_curve(…) of the test has a row for each score there: take the last one whose "
                "threshold is at least yours.",
            ),
            _reported,
        ),
        Exercise(
            "05.4",
            "hits_a_day",
            (
                "A team calls customers, not payments.",
                "Each customer of a day has the highest of their scores of that day.",
                f'card_precision_at_k({PLACES}, entity="customer_id") blocks found ones; .value is '
                "the mean.",
            ),
            _cards,
        ),
        Exercise(
            "05.5",
            "at_the_other_bank",
            (
                "Of 1,000 payments there, how many frauds does the threshold find, and how many "
                "genuine payments does it alarm for?",
                "Recall and false-positive rate are shares of the frauds and of the genuine "
                "payments: they can be taken along.",
                "precision_at_prevalence(share of fraud) does it, at the evaluation's threshold.",
            ),
            _elsewhere,
        ),
    ),
)
