"""Exercises to lesson 01: into the database, out of it, and a fraud rate."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Number, Table
from synfin_analytics.course.lessons.worlds import as_known_today, rates, wald, world
from synfin_analytics.metrics import fraud_rate

if TYPE_CHECKING:
    from typing import TypeAlias

#: Customers, merchants and payments, labels as known on the last day.
Facts: TypeAlias = "tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]"
LEAST = 20


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student."""
    made = world(seed, customers=300, days=60)
    return made.customers, made.merchants, as_known_today(made.transactions)


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give frames of pandas."""
    customers, merchants, payments = known
    return {
        "customers": (customers.to_pandas(), f"{len(customers):,} customers"),
        "merchants": (merchants.to_pandas(), f"{len(merchants):,} merchants"),
        "payments": (payments.to_pandas(), f"{len(payments):,} payments of two months"),
    }


def _unlabelled(known: Facts) -> Number:
    label = known[2]["is_fraud"]
    return Number(
        float(label.null_count()),
        "how many payments in the table have no label",
        {
            "NULL is equal to nothing, not even to NULL: is_fraud = NULL finds no row. There is "
            "another way to ask whether something is NULL.": 0.0,
            "Those are all payments. Only those without a label are asked for.": float(len(label)),
            "Those are the payments that have a label. The others are asked for.": float(
                label.count()
            ),
            "Those are the frauds. A payment without a label is neither fraud nor genuine.": float(
                label.sum()
            ),
            "Those are the genuine payments. A payment without a label is neither fraud nor "
            "genuine.": float((~label).sum()),
            "That is what is not known to be fraud: genuine payments and unlabelled ones together. "
            "Only the latter are asked for.": float((~label).sum() + label.null_count()),
        },
        kind="count",
    )


def _spent(known: Facts) -> Table:
    payments = known[2]

    def top(frame: pl.DataFrame) -> pl.DataFrame:
        sums = frame.group_by("customer_id").agg(pl.col("amount").sum().alias("spent"))
        return sums.sort("spent", "customer_id", descending=[True, False]).head(5)

    large = payments.filter(pl.col("amount") > LEAST)
    right = top(large)
    theirs = right.select("customer_id")
    large, everything = (rows.join(theirs, on="customer_id") for rows in (large, payments))
    return Table(
        right,
        "customer_id",
        ("spent",),
        f"the five customers who spent most in payments above {LEAST}, and how much",
        mistakes={
            f"The customers are right, but all their payments were added up: only those above "
            f"{LEAST} count.": top(everything),
            "The customers are right, but this is the mean of their payments. What they spent in "
            "all is asked for.": large.group_by("customer_id").agg(
                pl.col("amount").mean().alias("spent")
            ),
            "The customers are right, but these are numbers of payments. Their sum is asked "
            "for.": large.group_by("customer_id").agg(pl.len().alias("spent")),
        },
    )


def _rate(known: Facts) -> Number:
    payments = known[2]
    label = payments["is_fraud"]
    frauds, amount = int(label.sum()), payments["amount"]
    lost = float(payments.filter(pl.col("is_fraud"))["amount"].sum())
    return Number(
        frauds / label.count(),
        "the share of the labelled payments that are fraud",
        {
            "That divides by all payments. Of the unlabelled ones nobody knows yet whether they "
            "are fraud: they do not belong below the line.": frauds / len(label),
            "That is the number of frauds. A rate is a share: divide it by the number of payments "
            "whose label is known.": float(frauds),
            "That divides frauds by genuine payments: those are odds. Below the line of a rate "
            "stand all labelled payments.": frauds / float((~label).sum()),
            "That is the share by value: how much of the money was fraud. Count payments here.": (
                lost / float(payments.filter(label.is_not_null())["amount"].sum())
            ),
            "That is the share by value, and even of all payments. Count payments here.": (
                lost / float(amount.sum())
            ),
        },
        kind="share",
    )


def _by_channel(known: Facts) -> Table:
    payments = known[2].filter(pl.col("channel") != "phone")
    right = fraud_rate(payments, "channel")
    independent = rates(payments, "channel")
    counts = [(row["frauds"], row["labelled"]) for row in independent.iter_rows(named=True)]
    normal = [wald(*one) for one in counts]
    unlabelled_too = payments.with_columns(pl.col("is_fraud").fill_null(False))
    return Table(
        right,
        "channel",
        ("fraud_rate", "fraud_rate_low", "fraud_rate_high"),
        "for each channel but phone its fraud rate and the interval of it, from fraud_rate_low to "
        "fraud_rate_high, that lets the payments of a customer or a merchant belong together",
        shares=("fraud_rate", "fraud_rate_low", "fraud_rate_high"),
        mistakes={
            "These rates take unlabelled payments for genuine ones. They belong neither above nor "
            "below the line: leave them out, or let fraud_rate() do so.": (
                fraud_rate(unlabelled_too, "channel")
            ),
            "The rates are right; the interval takes payments as independent. One stolen card "
            "makes a dozen frauds, so it is too narrow: keep the clusters of fraud_rate().": (
                independent
            ),
            "The rates are right; the interval is the one by the normal distribution. Where events "
            "are as rare as fraud, it is too narrow and reaches below 0. Take fraud_rate()'s.": (
                independent.with_columns(
                    pl.Series("fraud_rate_low", [low for low, _ in normal]),
                    pl.Series("fraud_rate_high", [high for _, high in normal]),
                )
            ),
        },
    )


def _by_value(known: Facts) -> Number:
    payments = known[2]
    labelled = payments.filter(pl.col("is_fraud").is_not_null())
    lost = float(labelled.filter(pl.col("is_fraud"))["amount"].sum())
    share = lost / float(labelled["amount"].sum())
    rate = float(labelled["is_fraud"].mean())  # type: ignore[arg-type]
    return Number(
        10_000 * share,
        "of 10,000 euros paid in labelled payments, how many were stolen",
        {
            "That is the share of the value. Of 10,000 euros, how many is that?": share,
            "That is in percent of the value: of 100 euros. Of 10,000 is asked for.": 100 * share,
            "That counts payments, not their value: 10,000 times the fraud rate.": 10_000 * rate,
            "That divides by the value of all payments. In the unlabelled ones the fraud is not "
            "known yet: leave their value out as well.": (
                10_000 * lost / float(payments["amount"].sum())
            ),
            "That is what was stolen in all. How much is it of 10,000 euros paid?": lost,
        },
    )


LESSON = Lesson(
    "01",
    "first_steps",
    facts,
    handed_out,
    (
        Exercise(
            "01.1",
            "unlabelled",
            (
                "First the three tables go in, each with load_df(frame, name): customers, "
                "merchants, and transactions after them.",
                "read_df takes a query. count(*) counts the rows that WHERE leaves.",
                "In SQL, a NULL is found with IS NULL, never with the equals sign.",
            ),
            _unlabelled,
        ),
        Exercise(
            "01.2",
            "top_five",
            (
                "WHERE chooses payments, GROUP BY customer_id puts those of a customer together.",
                "sum(amount) AS spent adds up; ORDER BY spent DESC LIMIT 5 keeps the largest.",
                'The limit goes into params: read_df("… amount > :least …", {"least": 20}).',
            ),
            _spent,
        ),
        Exercise(
            "01.3",
            "rate",
            (
                "Above the line stand the frauds. Which payments stand below it?",
                "A payment without a label may be fraud or not. Count only what is known.",
                "fraud_rate(frame) has a row with a column of that name: take the number out.",
            ),
            _rate,
        ),
        Exercise(
            "01.4",
            "by_channel",
            (
                "Leave the payments by phone out first: they are too few to say anything.",
                "fraud_rate has a parameter for the column that makes the groups.",
                'Its intervals know customers and merchants: fraud_rate(frame, by="channel").',
            ),
            _by_channel,
        ),
        Exercise(
            "01.5",
            "stolen",
            (
                "A payment of 500 euros weighs 50 times as much as one of 10.",
                "Divide the value of the frauds by the value of the labelled payments.",
                "fraud_rate has this in a column of its own: bps stands for basis points.",
            ),
            _by_value,
        ),
    ),
    database="exercise_01",
)
