"""Exercises to lesson 02: patterns of fraud, as an investigator sees them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Matching, Names, Number, Numbers, Table
from synfin_analytics.course.lessons.worlds import world

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What one would see if an episode were of this pattern.
SIGNS: Mapping[str, str] = {
    "card_testing": "a tester tries several tiny amounts first. Are there any?",
    "velocity_burst": "a burst has many payments within minutes. How far are these apart?",
    "impossible_travel": "compare distance and hours since the last payment: was that journey "
    "impossible?",
    "amount_spike": "one payment would be many times what the customer usually pays, and all else "
    "as always. Is it so?",
    "account_takeover": "the thief would pay from a device that the customer never had. Is it so?",
    "dormant_card": "the card would have lain unused for a long time before. How long was it here?",
    "just_below_limit": "several amounts would lie just below the same round limit. Do they?",
    "night_spree": "the payments would come in one night, in shops. When do these?",
}
SPEED = 900
FEWEST = 3
_SHOWN_BEFORE = 8
_SHOWN = 14
_LETTERS = "ABCD"
_OTHERS = 1_000_003
#: Hours after which a card counts as asleep, and limits below which stolen cards stay.
_LONG = 14 * 24
_LIMITS = (50, 100, 250, 500)
_COLUMNS = (
    "timestamp", "amount", "merchant_category", "country", "channel", "entry_mode", "device_id",
    "distance_from_last", "hours_since_last",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments with their labels, and some episodes by letter: what they are and their rows."""

    payments: pl.DataFrame
    episodes: dict[str, tuple[str, pl.DataFrame]]


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student."""
    payments = world(seed, customers=700, days=90).transactions
    # Those of others: the labels of the payments that are handed out do not tell.
    theirs = world(seed + _OTHERS, customers=700, days=90).transactions
    found = {name: episode for name in SIGNS if (episode := _episode(theirs, name)) is not None}
    chosen = np.random.default_rng(seed).permutation(sorted(found))[: len(_LETTERS)]
    return Facts(
        payments,
        {letter: (str(n), found[str(n)]) for letter, n in zip(_LETTERS, chosen, strict=False)},
    )


def _episode(payments: pl.DataFrame, name: str) -> pl.DataFrame | None:
    """Payments of a customer who met this fraud and no other, from some before it on."""
    frauds = payments.filter("is_fraud").group_by("customer_id", maintain_order=True)
    alone = frauds.agg(
        (pl.col("fraud_type") == name).all().alias("alone"),
        pl.col("timestamp").min().alias("first"),
        pl.len().alias("frauds"),
    ).filter("alone")
    for customer, first in (
        alone.sort("frauds", "customer_id", descending=[True, False])
        .select("customer_id", "first")
        .iter_rows()
    ):
        rows = payments.filter(pl.col("customer_id") == customer)
        before = rows.filter(pl.col("timestamp") < first).tail(_SHOWN_BEFORE)
        if len(before) < _SHOWN_BEFORE or not _is_clear(name, before, rows):
            continue
        shown = pl.concat([before, rows.filter(pl.col("timestamp") >= first).head(_SHOWN)])
        hours = (pl.col("time_since_last_transaction") / 3600).round(2).alias("hours_since_last")
        return shown.with_columns(hours).select(_COLUMNS)
    return None


def _is_clear(name: str, before: pl.DataFrame, rows: pl.DataFrame) -> bool:
    """Whether an episode looks like its own pattern, and not by chance like another as well."""
    after = rows.filter(pl.col("timestamp") > before["timestamp"].max()).head(4)
    known = set(before["device_id"])
    hours = after["timestamp"].dt.hour()
    first = after.row(0, named=True)
    waited = float(first["time_since_last_transaction"] or 0) / 3600
    if (waited > _LONG) != (name == "dormant_card"):
        return False
    fast = float(first["distance_from_last"] or 0) > SPEED * waited
    if fast != (name == "impossible_travel"):
        return False
    if name == "amount_spike":
        usual = float(before["amount"].max())  # type: ignore[arg-type]
        return first["device_id"] in known and first["amount"] > 2 * usual
    if name == "account_takeover":
        new = [device is not None and device not in known for device in after["device_id"][:2]]
        return all(new) and not bool(((hours < 6) | (hours > 21)).all())
    limits = (after["amount"].is_between(0.95 * limit, limit).sum() for limit in _LIMITS)
    return name != "just_below_limit" or max(limits) >= 3


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give a frame of pandas, and one for each episode."""
    return {
        "payments": (
            known.payments.to_pandas(),
            f"{len(known.payments):,} payments of three months; all cases are closed, each payment "
            "has a label",
        ),
        "episodes": (
            {letter: rows.to_pandas() for letter, (_, rows) in known.episodes.items()},
            f"payments of {len(known.episodes)} customers who met a fraud, by letter",
        ),
    }


def _which(known: Facts) -> Matching:
    return Matching(
        {letter: name for letter, (name, _) in known.episodes.items()}, tuple(SIGNS), SIGNS
    )


def _by_type(known: Facts) -> Table:
    frauds = known.payments.filter("is_fraud")

    def table(frauds_of: pl.Expr, lost: pl.Expr) -> pl.DataFrame:
        return frauds.group_by("fraud_type").agg(frauds_of.alias("frauds"), lost.alias("lost"))

    count, total = pl.len(), pl.col("amount").sum()
    return Table(
        table(count, total),
        "fraud_type",
        ("frauds", "lost"),
        "for each kind of fraud the number of its payments, and their value in all",
        mistakes={
            "lost is the mean of a payment here. What was lost in all is asked for.": table(
                count, pl.col("amount").mean()
            ),
            "frauds counts customers here. Count payments.": table(
                pl.col("customer_id").n_unique(), total
            ),
            "lost is the largest payment here. What was lost in all is asked for.": table(
                count, pl.col("amount").max()
            ),
        },
    )


def _fast(unit: float = 3600.0, speed: float = SPEED) -> pl.Expr:
    reach = speed * pl.col("time_since_last_transaction") / unit
    return (pl.col("distance_from_last") > reach).fill_null(False)


def _journeys(known: Facts) -> Number:
    payments = known.payments

    def count(rule: pl.Expr) -> float:
        return float(payments.select(rule.sum()).item())

    return Number(
        count(_fast()),
        f"how many payments lie farther from the one before than {SPEED} km/h allow",
        {
            "That takes the seconds for minutes: divide them by 3,600 for hours.": count(_fast(60)),
            "That takes the seconds for hours: divide them by 3,600.": count(_fast(1)),
            "That is the number of frauds of this kind. Count what the rule finds, whatever it "
            "is.": count(pl.col("fraud_type").eq_missing(pl.lit("impossible_travel"))),
            "That counts those slower than the speed. The faster ones are asked for.": count(
                pl.col("distance_from_last") < SPEED * pl.col("time_since_last_transaction") / 3600
            ),
        },
        kind="count",
    )


def _share(rows: pl.Series, mark: pl.Series) -> float:
    """Share of the chosen rows that have a mark."""
    return float(mark.filter(rows).mean())  # type: ignore[arg-type]


def _rule(known: Facts) -> Numbers:
    payments = known.payments.with_columns(_fast().alias("found"))
    kind = payments["fraud_type"].eq_missing("impossible_travel")
    found, fraud = payments["found"], payments["is_fraud"]
    precision, recall = _share(found, fraud), _share(kind, found)
    asks = (
        "of the payments that the rule finds the share that is fraud of any kind, and of those of "
        "impossible_travel the share that it finds"
    )
    return Numbers(
        {
            "precision": Number(precision, asks, kind="share"),
            "recall": Number(recall, asks, kind="share"),
        },
        asks,
        {
            "The recall is of all frauds. The rule looks for one kind: of those of "
            "impossible_travel, how many does it find?": (
                precision,
                _share(fraud, found),
            ),
            "For the precision, a fraud of another kind is a hit as well: it was found.": (
                _share(found, kind),
                recall,
            ),
        },
    )


def _source(known: Facts) -> Names:
    payments = known.payments
    kind = pl.col("fraud_type").eq_missing(pl.lit("compromised_merchant"))
    victims = payments.filter(kind)["customer_id"].unique()
    pairs = (
        payments.filter(pl.col("card_present") & ~pl.col("is_fraud"))
        .select("merchant_id", "customer_id")
        .unique()
        .with_columns(pl.col("customer_id").is_in(victims.to_list()).alias("victim"))
    )
    shops = (
        pairs.group_by("merchant_id")
        .agg(pl.col("victim").sum().alias("victims"), pl.col("victim").mean().alias("share"))
        .filter(pl.col("victims") >= FEWEST)
        .sort("share", "victims", "merchant_id", descending=[True, True, False])
    )
    spent = payments.filter(kind).group_by("merchant_id").len().sort("len", "merchant_id")
    many = shops.sort("victims", "merchant_id", descending=[True, False])
    largest = payments.group_by("merchant_id").len().sort("len")
    asks = (
        f"the shop with the largest share of victims among its customers, of those with at least "
        f"{FEWEST} victims"
    )
    return Names(
        frozenset(shops.filter(pl.col("share") == pl.col("share").max())["merchant_id"]),
        tuple(payments["merchant_id"].unique().sort()),
        asks,
        {
            "There most of the copied cards were used. The question is where they were copied: "
            "where had their owners paid before?": frozenset(spent["merchant_id"].tail(1)),
            "There are most victims, but a large shop has many customers of every kind. Take their "
            "share among the shop's customers.": frozenset(many["merchant_id"].head(1)),
            "That is the shop with most payments of all. Take the share of victims among a shop's "
            "customers.": frozenset(largest["merchant_id"].tail(1)),
        },
        any_of=True,
    )


LESSON = Lesson(
    "02",
    "fraud_patterns",
    facts,
    handed_out,
    (
        Exercise(
            "02.1",
            "patterns",
            (
                "Look at one column at a time: the amounts, then the times between payments, then "
                "devices and places. Which one changes?",
                "hours_since_last tells bursts (minutes) and sleeping cards (weeks); amount tells "
                "testing, limits and spikes; device_id tells a takeover.",
                "The first rows are the customer's ordinary life: compare what comes after.",
            ),
            _which,
        ),
        Exercise(
            "02.2",
            "by_type",
            (
                "Only payments with is_fraud have a fraud_type.",
                "group by fraud_type, then count rows and add up amounts.",
                'In pandas: .groupby("fraud_type").agg(frauds=("amount", "size"), …).',
            ),
            _by_type,
        ),
        Exercise(
            "02.3",
            "too_fast",
            (
                "Speed is distance over time; distance_from_last is in kilometres.",
                "time_since_last_transaction is in seconds.",
                "Where one of both is missing, nothing is known, and the rule does not find it.",
            ),
            _journeys,
        ),
        Exercise(
            "02.4",
            "worth",
            (
                "Precision stands on what the rule finds, recall on what it should find.",
                "For precision: among the payments that are too fast, the mean of is_fraud.",
                "For recall: among the frauds of impossible_travel, the share that is too fast. A "
                "journey there has one jump, and often several payments.",
            ),
            _rule,
        ),
        Exercise(
            "02.5",
            "copied_at",
            (
                "Victims are the customers with a fraud of compromised_merchant. Somewhere they "
                "had all paid before.",
                "Take genuine payments with card_present, each pair of merchant and customer once.",
                "For each merchant: how many different customers, and how many of them victims? A "
                "shop with few victims may be chance: leave it out.",
            ),
            _source,
        ),
    ),
)
