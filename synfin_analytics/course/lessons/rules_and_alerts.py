"""Exercises for lesson 10: write rules, and decide which of them earn their alerts."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.graders import Number, Numbers, Table, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import make_scored_payments

if TYPE_CHECKING:
    from synfin_analytics.course.lessons._data import Bools

COST_PER_ALERT = 8.0
RECOVERY_RATE = 0.6
MIN_AMOUNT = 200
CHANNELS = ("online", "mobile")
OLD_LIMIT, NEW_LIMIT = 50, 100
#: Rules as the student receives them, in SQL.
RULES = {
    "keyed or swiped": "entry_mode IN ('manual', 'magstripe')",
    "keyed or swiped, large": "entry_mode IN ('manual', 'magstripe') AND amount > 100",
    "night": f"EXTRACT(hour FROM timestamp) < 5 AND amount > {OLD_LIMIT}",
    "night abroad": "country <> 'BE' AND EXTRACT(hour FROM timestamp) < 6",
    "large online": "is_online AND amount > 300",
    "four in an hour": "transactions_last_hour >= 4",
}
_COLUMNS = (
    "transaction_id", "customer_id", "timestamp", "amount", "channel", "is_online", "entry_mode",
    "country", "transactions_last_hour", "score", "is_fraud",
)  # fmt: skip
#: Ends of an interval may differ by this share of its width.
_RELATIVE_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments with the score of a model, and its threshold."""

    payments: pl.DataFrame
    threshold: float

    @functools.cached_property
    def fraud(self) -> Bools:
        """Whether each payment is fraud."""
        return self.payments["is_fraud"].to_numpy().astype(bool)

    @functools.cached_property
    def fires(self) -> dict[str, Bools]:
        """Whether each rule fires on each payment, without SQL."""
        hour, amount = pl.col("timestamp").dt.hour(), pl.col("amount")
        read_by_hand = pl.col("entry_mode").is_in(["manual", "magstripe"])
        conditions = [
            read_by_hand,
            read_by_hand & (amount > 100),
            (hour < 5) & (amount > OLD_LIMIT),
            (pl.col("country") != "BE") & (hour < 6),
            pl.col("is_online") & (amount > 300),
            pl.col("transactions_last_hour") >= 4,
        ]
        return {
            name: self.select(condition) for name, condition in zip(RULES, conditions, strict=True)
        }

    def select(self, condition: pl.Expr) -> Bools:
        """Return whether a condition holds for each payment; NULL is false."""
        values: Bools = self.payments.select(condition.fill_null(False)).to_series().to_numpy()
        return values


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student: payments after the training of a simple model."""
    payments = make_scored_payments(seed).select(_COLUMNS)
    return Facts(payments, round(float(payments["score"].quantile(0.985) or 0), 3))


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the payments as a pandas DataFrame, the rules and the threshold."""
    n_days = facts.payments["timestamp"].dt.date().n_unique()
    return {
        "payments": (
            facts.payments.to_pandas(),
            f"{len(facts.payments):,} payments of {n_days} days with scores and labels",
        ),
        "rules": (dict(RULES), "SQL conditions by name"),
        "threshold": (facts.threshold, "scores of the model from here on are alerts"),
    }


LESSON = Lesson("10", "rules_and_alerts", make_facts, student_data)


@LESSON.add_exercise(
    "10.1",
    "own_rule",
    "A rule is a name and a condition: evaluate_rules(payments, {name: condition}).",
    "channel IN (…) selects several channels; AND joins a second condition.",
    "The table .rules of the result has one row per rule, with alerts and frauds.",
)
def _grade_own_rule(facts: Facts) -> Numbers:
    large = pl.col("amount") > MIN_AMOUNT
    channel = pl.col("channel")
    task = (
        f"alerts and frauds of a rule for payments above {MIN_AMOUNT} euros whose channel is "
        "online or mobile"
    )

    def count(condition: pl.Expr) -> tuple[float, float]:
        alert = facts.select(condition)
        return float(alert.sum()), float((alert & facts.fraud).sum())

    alerts, frauds = count(large & channel.is_in(CHANNELS))
    return Numbers(
        {
            "alerts": Number(alerts, task, kind="count"),
            "frauds": Number(frauds, task, kind="count"),
        },
        task,
        {
            "AND binds more tightly than OR: this includes small payments of one channel. Use "
            "parentheses, or IN.": count(
                (channel == CHANNELS[0]) | (channel == CHANNELS[1]) & large
            ),
            "No payment has two channels: both conditions at once never hold.": (0.0, 0.0),
            "This is one of the two channels only.": count(large & (channel == CHANNELS[0])),
            "This includes payments of any amount.": count(channel.is_in(CHANNELS)),
        },
    )


def _table(values: dict[str, float], column: str) -> pl.DataFrame:
    return pl.DataFrame({"rule": [*values], column: [*values.values()]})


def _alone(facts: Facts) -> dict[str, Bools]:
    """Return the payments on which a rule fires and no other does."""
    n_fired = np.sum([*facts.fires.values()], axis=0)
    return {name: fires & (n_fired == 1) for name, fires in facts.fires.items()}


@LESSON.add_exercise(
    "10.2",
    "lost_frauds",
    "Which frauds would be missed if the rule were deleted, and all others kept?",
    "A fraud is lost if no other rule fires on it.",
    "The table .rules has the column lost_frauds.",
)
def _grade_lost_frauds(facts: Facts) -> Table:
    column = "lost_frauds"

    def total(alerts: dict[str, Bools], of: Bools) -> pl.DataFrame:
        return _table({name: float((alert & of).sum()) for name, alert in alerts.items()}, column)

    alone, everything = _alone(facts), np.ones(len(facts.fraud), dtype=bool)
    return Table(
        total(alone, facts.fraud),
        "rule",
        (column,),
        "the frauds that the set would miss without each rule",
        mistakes={
            "These are all frauds of each rule. Count only those that no other rule "
            "catches.": total(facts.fires, facts.fraud),
            "These are the alerts that no other rule raises. Count only the frauds among "
            "them.": total(alone, everything),
            "These are all alerts of each rule.": total(facts.fires, everything),
        },
    )


@LESSON.add_exercise(
    "10.3",
    "shared_alerts",
    "On how many payments do both rules fire, and how many alerts does the rule have?",
    "The table .overlap has a row for each rule and each other one.",
    'share_of_rule, where rule is "night abroad" and other is "night".',
)
def _grade_shared_alerts(facts: Facts) -> Number:
    night, abroad = facts.fires["night"], facts.fires["night abroad"]
    both = night & abroad
    return share(
        float(both.sum() / abroad.sum()),
        'the share of the alerts of "night abroad" that "night" raises as well',
        {
            'This is the share of the alerts of "night". The exercise asks for that of the other '
            "rule.": float(both.sum() / night.sum()),
            "This is the Jaccard index: the share of the alerts of either rule.": float(
                both.sum() / (night | abroad).sum()
            ),
            "This is the share of the frauds. The exercise asks for that of the alerts.": float(
                (both & facts.fraud).sum() / (abroad & facts.fraud).sum()
            ),
        },
    )


def _net_benefit(facts: Facts, alert: Bools, recovery_rate: float = RECOVERY_RATE) -> float:
    amount = facts.payments["amount"].to_numpy()
    return float(recovery_rate * amount[alert & facts.fraud].sum() - COST_PER_ALERT * alert.sum())


def _choose(facts: Facts, recovery_rate: float = RECOVERY_RATE) -> tuple[list[str], float]:
    """Add the rule that adds most net benefit, until none does."""
    chosen: list[str] = []
    alert, benefit = np.zeros(len(facts.fraud), dtype=bool), 0.0
    while left := [name for name in RULES if name not in chosen]:
        benefits = {
            name: _net_benefit(facts, alert | facts.fires[name], recovery_rate) for name in left
        }
        best = max(left, key=benefits.__getitem__)
        if benefits[best] <= benefit:
            break
        chosen.append(best)
        alert, benefit = alert | facts.fires[best], benefits[best]
    return chosen, benefit


@LESSON.add_exercise(
    "10.4",
    "best_benefit",
    "Begin with the rule of the highest net benefit; add the one that adds most to it, and so on.",
    "evaluate_rules takes cost_per_alert and recovery_rate.",
    "The table .greedy has the net benefit of the rules so far. Rules that add nothing have no "
    "position.",
)
def _grade_best_benefit(facts: Facts) -> Number:
    chosen, benefit = _choose(facts)
    alone = [_net_benefit(facts, facts.fires[name]) for name in chosen]
    any_rule = np.any([*facts.fires.values()], axis=0)
    return Number(
        benefit,
        "the net benefit of the rules of the greedy order together",
        {
            "This is the net benefit of all rules. Some of them cost more than they add.": (
                _net_benefit(facts, any_rule)
            ),
            "This adds the net benefits of the rules, and counts payments on which several fire "
            "more than once.": sum(alone),
            "This is the best rule alone. Do others add to it?": alone[0],
            "This counts frauds as recovered in full. Only a share is recovered.": _choose(
                facts, 1.0
            )[1],
        },
    )


def _precision_difference(
    facts: Facts, old: Bools, new: Bools, *, by_customer: bool
) -> tuple[float, float, float]:
    """Return the difference of two precisions, with its linearised interval."""
    from scipy.stats import t

    fraud = facts.fraud.astype(np.float64)
    before, after = fraud[old].mean(), fraud[new].mean()
    added = new * (fraud - after) / new.sum() - old * (fraud - before) / old.sum()
    used = old | new
    codes = np.arange(used.sum())
    if by_customer:
        customers = facts.payments["customer_id"].to_numpy()[used]
        codes = np.unique(customers, return_inverse=True)[1]
    sums = np.bincount(codes, added[used])
    n = len(sums)
    variance = n / (n - 1) * (sums**2).sum()
    half_width = float(t.ppf(0.975, n - 1) * np.sqrt(variance))
    difference = float(after - before)
    return difference, difference - half_width, difference + half_width


@LESSON.add_exercise(
    "10.5",
    "precision_difference",
    "Evaluate both versions at once: a rule is a name and a condition, and so is its new version.",
    'cluster="customer_id" accounts for customers with several alerts.',
    "The result has compare(old, new): a row for each measure, with difference, difference_low and "
    "difference_high.",
)
def _grade_precision_difference(facts: Facts) -> Numbers:
    old = facts.fires["night"]
    new = old & facts.select(pl.col("amount") > NEW_LIMIT)
    difference, low, high = _precision_difference(facts, old, new, by_customer=True)
    total = facts.fraud.sum()
    recall = float((new & facts.fraud).sum() / total - (old & facts.fraud).sum() / total)
    task = "the precision of the new version minus that of the old one, with its interval"
    tolerance = _RELATIVE_TOLERANCE * (high - low)
    return Numbers(
        {
            "difference": Number(difference, task),
            "low": Number(low, task, tolerance=tolerance),
            "high": Number(high, task, tolerance=tolerance),
        },
        task,
        {
            "This is old minus new. The exercise asks for new minus old.": (
                -difference,
                -high,
                -low,
            ),
            "The difference is correct. Its interval takes payments as independent, but one "
            "customer can have several alerts.": _precision_difference(
                facts, old, new, by_customer=False
            ),
            "This is the difference of the recalls, without an interval.": (recall, recall, recall),
        },
    )


@LESSON.add_exercise(
    "10.6",
    "found_by_rule_only",
    "The model at its threshold is one more rule, such as score >= 0.1.",
    "Add it to the rules, and call beside with its name.",
    "The column frauds_only_rule counts frauds on which the rule fires, but not the model.",
)
def _grade_found_by_rule_only(facts: Facts) -> Table:
    column = "frauds_only_rule"
    model = facts.select(pl.col("score") >= facts.threshold)

    def count(masks: dict[str, Bools]) -> pl.DataFrame:
        return _table({name: float(mask.sum()) for name, mask in masks.items()}, column)

    return Table(
        count({name: fires & ~model & facts.fraud for name, fires in facts.fires.items()}),
        "rule",
        (column,),
        "the frauds that each rule catches and the model does not",
        mistakes={
            "These are the frauds that both catch.": count(
                {name: fires & model & facts.fraud for name, fires in facts.fires.items()}
            ),
            "These are the frauds that the model catches and the rule does not. The exercise asks "
            "for the reverse.": count(
                {name: ~fires & model & facts.fraud for name, fires in facts.fires.items()}
            ),
            "These are alerts. Count only the frauds among them.": count(
                {name: fires & ~model for name, fires in facts.fires.items()}
            ),
        },
    )
