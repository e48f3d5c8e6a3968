"""Exercises for lesson 02: fraud patterns, as an investigator sees them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.graders import Matching, Names, Number, Numbers, Table, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import make_world

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the data would show if an episode had this pattern.
SIGNS: Mapping[str, str] = {
    "card_testing": "card testing starts with several tiny amounts. Are there any?",
    "velocity_burst": "a burst has many payments within minutes. How long are these intervals?",
    "impossible_travel": "compare the distance with the hours since the previous payment: was the "
    "journey impossible?",
    "amount_spike": "one payment would be many times the customer's usual amount, and everything "
    "else as usual. Is it?",
    "account_takeover": "the fraudster would pay from a device that is new for the customer. Is "
    "there one?",
    "dormant_card": "the card would have been unused for a long time before. How long was it here?",
    "just_below_limit": "several amounts would be just below the same round limit. Are they?",
    "night_spree": "the payments would be made in one night, in shops. When were these made?",
}
MAX_SPEED = 900
MIN_VICTIMS = 3
_N_BEFORE = 8
_N_AFTER = 14
_LETTERS = "ABCD"
_OTHER_SEED = 1_000_003
#: Hours after which a card counts as dormant, and limits below which stolen cards stay.
_DORMANT_HOURS = 14 * 24
_LIMITS = (50, 100, 250, 500)
_COLUMNS = (
    "timestamp", "amount", "merchant_category", "country", "channel", "entry_mode", "device_id",
    "distance_from_last", "hours_since_last",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Facts:
    """Labelled payments, and episodes by letter: each with its pattern and its payments."""

    payments: pl.DataFrame
    episodes: dict[str, tuple[str, pl.DataFrame]]


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    payments = make_world(seed, customers=700, days=90).transactions
    # The episodes are from another world: the labels of the student's payments do not reveal them.
    other_payments = make_world(seed + _OTHER_SEED, customers=700, days=90).transactions
    episodes = {
        name: episode
        for name in SIGNS
        if (episode := _find_episode(other_payments, name)) is not None
    }
    names = np.random.default_rng(seed).permutation(sorted(episodes))[: len(_LETTERS)]
    return Facts(
        payments,
        {
            letter: (str(name), episodes[str(name)])
            for letter, name in zip(_LETTERS, names, strict=False)
        },
    )


def _find_episode(payments: pl.DataFrame, pattern: str) -> pl.DataFrame | None:
    """Return the payments of a customer with frauds of this pattern only, from some before on."""
    customers = (
        payments.filter("is_fraud")
        .group_by("customer_id", maintain_order=True)
        .agg(
            (pl.col("fraud_type") == pattern).all().alias("has_only_pattern"),
            pl.col("timestamp").min().alias("first_fraud"),
            pl.len().alias("frauds"),
        )
        .filter("has_only_pattern")
        .sort("frauds", "customer_id", descending=[True, False])
    )
    for customer, first_fraud in customers.select("customer_id", "first_fraud").iter_rows():
        rows = payments.filter(pl.col("customer_id") == customer)
        before = rows.filter(pl.col("timestamp") < first_fraud).tail(_N_BEFORE)
        if len(before) < _N_BEFORE or not _is_unambiguous(pattern, before, rows):
            continue
        after = rows.filter(pl.col("timestamp") >= first_fraud).head(_N_AFTER)
        hours = (pl.col("time_since_last_transaction") / 3600).round(2).alias("hours_since_last")
        return pl.concat([before, after]).with_columns(hours).select(_COLUMNS)
    return None


def _is_unambiguous(pattern: str, before: pl.DataFrame, rows: pl.DataFrame) -> bool:
    """Whether an episode shows its own pattern, and no other one by chance."""
    after = rows.filter(pl.col("timestamp") > before["timestamp"].max()).head(4)
    devices = set(before["device_id"])
    hours = after["timestamp"].dt.hour()
    first = after.row(0, named=True)
    hours_since_last = float(first["time_since_last_transaction"] or 0) / 3600
    if (hours_since_last > _DORMANT_HOURS) != (pattern == "dormant_card"):
        return False
    is_too_fast = float(first["distance_from_last"] or 0) > MAX_SPEED * hours_since_last
    if is_too_fast != (pattern == "impossible_travel"):
        return False
    if pattern == "amount_spike":
        max_amount = float(before["amount"].max())  # type: ignore[arg-type]
        return first["device_id"] in devices and first["amount"] > 2 * max_amount
    if pattern == "account_takeover":
        is_new = [device is not None and device not in devices for device in after["device_id"][:2]]
        return all(is_new) and not bool(((hours < 6) | (hours > 21)).all())
    n_below = (after["amount"].is_between(0.95 * limit, limit).sum() for limit in _LIMITS)
    return pattern != "just_below_limit" or max(n_below) >= 3


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the payments as a pandas DataFrame, and one for each episode."""
    return {
        "payments": (
            facts.payments.to_pandas(),
            f"{len(facts.payments):,} payments of three months; all cases are closed, so every "
            "payment has a label",
        ),
        "episodes": (
            {letter: rows.to_pandas() for letter, (_, rows) in facts.episodes.items()},
            f"payments of {len(facts.episodes)} customers who were victims of a fraud, by letter",
        ),
    }


LESSON = Lesson("02", "fraud_patterns", make_facts, student_data)


@LESSON.add_exercise(
    "02.1",
    "patterns",
    "Look at one column at a time: first the amounts, then the times between payments, then "
    "devices and places. Which one changes?",
    "hours_since_last reveals bursts (minutes) and dormant cards (weeks); amount reveals testing, "
    "limits and spikes; device_id reveals a takeover.",
    "The first rows are the customer's usual behaviour: compare the later rows with them.",
)
def _grade_patterns(facts: Facts) -> Matching:
    return Matching(
        {letter: name for letter, (name, _) in facts.episodes.items()}, tuple(SIGNS), SIGNS
    )


@LESSON.add_exercise(
    "02.2",
    "by_type",
    "Only payments with is_fraud have a fraud_type.",
    "Group by fraud_type, then count the rows and sum the amounts.",
    'In pandas: .groupby("fraud_type").agg(frauds=("amount", "size"), …).',
)
def _grade_by_type(facts: Facts) -> Table:
    frauds = facts.payments.filter("is_fraud")

    def aggregate(n_frauds: pl.Expr, lost: pl.Expr) -> pl.DataFrame:
        return frauds.group_by("fraud_type").agg(n_frauds.alias("frauds"), lost.alias("lost"))

    count, total = pl.len(), pl.col("amount").sum()
    return Table(
        aggregate(count, total),
        "fraud_type",
        ("frauds", "lost"),
        "the number of payments of each fraud type, and the sum of their amounts",
        mistakes={
            "lost is the mean of the amounts. The exercise asks for the sum.": aggregate(
                count, pl.col("amount").mean()
            ),
            "frauds counts customers. The exercise asks for payments.": aggregate(
                pl.col("customer_id").n_unique(), total
            ),
            "lost is the largest amount. The exercise asks for the sum.": aggregate(
                count, pl.col("amount").max()
            ),
        },
    )


def _is_too_fast(seconds_per_unit: float = 3600.0) -> pl.Expr:
    max_distance = MAX_SPEED * pl.col("time_since_last_transaction") / seconds_per_unit
    return (pl.col("distance_from_last") > max_distance).fill_null(False)


@LESSON.add_exercise(
    "02.3",
    "n_too_fast",
    "Speed is distance divided by time; distance_from_last is in kilometres.",
    "time_since_last_transaction is in seconds.",
    "If one of the two is missing, the speed is unknown and the rule does not select the payment.",
)
def _grade_n_too_fast(facts: Facts) -> Number:
    def count(rule: pl.Expr) -> float:
        return float(facts.payments.select(rule.sum()).item())

    return Number(
        count(_is_too_fast()),
        "the number of payments that are farther from the previous payment than a speed of "
        f"{MAX_SPEED} km/h allows",
        {
            "This treats the seconds as minutes: divide them by 3,600 to get hours.": count(
                _is_too_fast(60)
            ),
            "This treats the seconds as hours: divide them by 3,600.": count(_is_too_fast(1)),
            "This is the number of frauds of this type. Count the payments that the rule selects, "
            "whatever they are.": count(
                pl.col("fraud_type").eq_missing(pl.lit("impossible_travel"))
            ),
            "This counts the payments below the speed limit. Count those above it.": count(
                pl.col("distance_from_last")
                < MAX_SPEED * pl.col("time_since_last_transaction") / 3600
            ),
        },
        kind="count",
    )


def _share_of(rows: pl.Series, condition: pl.Series) -> float:
    """Return the share of the selected rows that satisfy a condition."""
    return float(condition.filter(rows).mean())  # type: ignore[arg-type]


@LESSON.add_exercise(
    "02.4",
    "precision_recall",
    "The denominator of precision is what the rule selects; that of recall is what it should "
    "select.",
    "For precision: the mean of is_fraud among the payments that are too fast.",
    "For recall: the share of the impossible_travel frauds that are too fast. Such a journey has "
    "one jump and often several payments.",
)
def _grade_rule(facts: Facts) -> Numbers:
    payments = facts.payments.with_columns(_is_too_fast().alias("detected"))
    is_type = payments["fraud_type"].eq_missing("impossible_travel")
    detected, fraud = payments["detected"], payments["is_fraud"]
    precision, recall = _share_of(detected, fraud), _share_of(is_type, detected)
    task = (
        "the share of the payments selected by the rule that are fraud of any type, and the share "
        "of the impossible_travel frauds that the rule selects"
    )
    return Numbers(
        {"precision": share(precision, task), "recall": share(recall, task)},
        task,
        {
            "This recall is of all frauds. The rule targets one type: what share of the "
            "impossible_travel frauds does it select?": (precision, _share_of(fraud, detected)),
            "For the precision, a fraud of another type is a hit as well.": (
                _share_of(detected, is_type),
                recall,
            ),
        },
    )


@LESSON.add_exercise(
    "02.5",
    "compromised_merchant",
    "Victims are the customers with a fraud of type compromised_merchant. All of them had paid at "
    "the same merchant before.",
    "Select the genuine payments with card_present, and count each pair of merchant and customer "
    "once.",
    "For each merchant: how many different customers does it have, and how many of them are "
    "victims? Exclude merchants with few victims, which may be due to chance.",
)
def _grade_compromised_merchant(facts: Facts) -> Names:
    payments = facts.payments
    is_type = pl.col("fraud_type").eq_missing(pl.lit("compromised_merchant"))
    victims = payments.filter(is_type)["customer_id"].unique()
    pairs = (
        payments.filter(pl.col("card_present") & ~pl.col("is_fraud"))
        .select("merchant_id", "customer_id")
        .unique()
        .with_columns(pl.col("customer_id").is_in(victims.to_list()).alias("is_victim"))
    )
    merchants = (
        pairs.group_by("merchant_id")
        .agg(
            pl.col("is_victim").sum().alias("victims"),
            pl.col("is_victim").mean().alias("share"),
        )
        .filter(pl.col("victims") >= MIN_VICTIMS)
        .sort("share", "victims", "merchant_id", descending=[True, True, False])
    )
    n_frauds = payments.filter(is_type).group_by("merchant_id").len().sort("len", "merchant_id")
    by_victims = merchants.sort("victims", "merchant_id", descending=[True, False])
    by_size = payments.group_by("merchant_id").len().sort("len")
    is_highest = pl.col("share") == pl.col("share").max()
    return Names(
        frozenset(merchants.filter(is_highest)["merchant_id"]),
        tuple(payments["merchant_id"].unique().sort()),
        "the merchant with the highest share of victims among its customers, of those with at "
        f"least {MIN_VICTIMS} victims",
        {
            "Most of the copied cards were used there. The question is where they were copied: "
            "where had their owners paid before?": frozenset(n_frauds["merchant_id"].tail(1)),
            "This merchant has the most victims, but a large merchant has many customers of every "
            "kind. Use the share of victims among its customers.": frozenset(
                by_victims["merchant_id"].head(1)
            ),
            "This merchant has the most payments. Use the share of victims among the customers of "
            "a merchant.": frozenset(by_size["merchant_id"].tail(1)),
        },
        any_of=True,
    )
