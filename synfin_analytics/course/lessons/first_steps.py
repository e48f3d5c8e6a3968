"""Exercises for lesson 01: load tables, query them, compute fraud rates."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics.course.graders import Number, Table
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import (
    fraud_rates,
    make_world,
    wald_interval,
    with_labels_as_of_today,
)
from synfin_analytics.metrics import fraud_rate

if TYPE_CHECKING:
    from typing import TypeAlias

#: Customers, merchants and payments, with the labels that are known on the last day.
Facts: TypeAlias = "tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]"
MIN_AMOUNT = 20


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    world = make_world(seed, customers=300, days=60)
    return world.customers, world.merchants, with_labels_as_of_today(world.transactions)


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return pandas DataFrames."""
    customers, merchants, payments = facts
    return {
        "customers": (customers.to_pandas(), f"{len(customers):,} customers"),
        "merchants": (merchants.to_pandas(), f"{len(merchants):,} merchants"),
        "payments": (payments.to_pandas(), f"{len(payments):,} payments of two months"),
    }


LESSON = Lesson("01", "first_steps", make_facts, student_data, database="exercise_01")


@LESSON.add_exercise(
    "01.1",
    "n_unlabelled",
    "First load the three tables with load_df(df, table): customers, merchants, then transactions.",
    "read_df takes a query. count(*) counts the rows that WHERE selects.",
    "In SQL, test for NULL with IS NULL, not with the equals sign.",
)
def _grade_n_unlabelled(facts: Facts) -> Number:
    label = facts[2]["is_fraud"]
    return Number(
        float(label.null_count()),
        "the number of payments in the table that have no label",
        {
            "NULL is not equal to anything, not even to NULL: is_fraud = NULL matches no row. SQL "
            "has another operator to test for NULL.": 0.0,
            "This counts all payments. Count only those without a label.": float(len(label)),
            "This counts the payments that have a label. Count the others.": float(label.count()),
            "This counts the frauds. A payment without a label is neither fraud nor "
            "genuine.": float(label.sum()),
            "This counts the genuine payments. A payment without a label is neither fraud nor "
            "genuine.": float((~label).sum()),
            "This counts all payments that are not labelled as fraud: genuine and unlabelled ones. "
            "Count only the unlabelled ones.": float((~label).sum() + label.null_count()),
        },
        kind="count",
    )


@LESSON.add_exercise(
    "01.2",
    "top_five",
    "WHERE selects payments, GROUP BY customer_id groups them by customer.",
    "sum(amount) AS spent computes the sums; ORDER BY spent DESC LIMIT 5 keeps the largest.",
    'Pass the limit as a parameter: read_df("… amount > :limit …", {"limit": 20}).',
)
def _grade_top_five(facts: Facts) -> Table:
    payments = facts[2]

    def top_five(rows: pl.DataFrame) -> pl.DataFrame:
        totals = rows.group_by("customer_id").agg(pl.col("amount").sum().alias("spent"))
        return totals.sort("spent", "customer_id", descending=[True, False]).head(5)

    large_payments = payments.filter(pl.col("amount") > MIN_AMOUNT)
    truth = top_five(large_payments)
    customers = truth.select("customer_id")
    large = large_payments.join(customers, on="customer_id")
    return Table(
        truth,
        "customer_id",
        ("spent",),
        f"the five customers who spent most in payments above {MIN_AMOUNT} euros, and the sum of "
        "each",
        mistakes={
            "The customers are correct, but the sums include all of their payments. Include only "
            f"those above {MIN_AMOUNT} euros.": top_five(
                payments.join(customers, on="customer_id")
            ),
            "The customers are correct, but this is the mean of their payments. The exercise asks "
            "for the sum.": large.group_by("customer_id").agg(
                pl.col("amount").mean().alias("spent")
            ),
            "The customers are correct, but this is the number of their payments. The exercise "
            "asks for the sum.": large.group_by("customer_id").agg(pl.len().alias("spent")),
        },
    )


@LESSON.add_exercise(
    "01.3",
    "rate",
    "The numerator is the number of frauds. Which payments belong in the denominator?",
    "A payment without a label may or may not be fraud. Count only labelled payments.",
    "fraud_rate(df) returns one row with a column of this name: extract the number.",
)
def _grade_rate(facts: Facts) -> Number:
    payments = facts[2]
    label = payments["is_fraud"]
    n_frauds, amount = int(label.sum()), payments["amount"]
    fraud_amount = float(payments.filter(pl.col("is_fraud"))["amount"].sum())
    labelled_amount = float(payments.filter(label.is_not_null())["amount"].sum())
    return Number(
        n_frauds / label.count(),
        "the share of the labelled payments that are fraud",
        {
            "This divides by all payments. It is not yet known whether the unlabelled ones are "
            "fraud: exclude them from the denominator.": n_frauds / len(label),
            "This is the number of frauds. A rate is a share: divide by the number of labelled "
            "payments.": float(n_frauds),
            "This divides frauds by genuine payments: these are the odds. The denominator of a "
            "rate is all labelled payments.": n_frauds / float((~label).sum()),
            "This is the share by value: how much of the money was fraud. Count payments "
            "instead.": fraud_amount / labelled_amount,
            "This is the share by value, and it includes unlabelled payments. Count labelled "
            "payments instead.": fraud_amount / float(amount.sum()),
        },
        kind="share",
    )


@LESSON.add_exercise(
    "01.4",
    "by_channel",
    "First exclude the payments by phone: there are too few of them.",
    "fraud_rate has a parameter for the grouping column.",
    'Its intervals account for customers and merchants: fraud_rate(df, by="channel").',
)
def _grade_by_channel(facts: Facts) -> Table:
    payments = facts[2].filter(pl.col("channel") != "phone")
    columns = ("fraud_rate", "fraud_rate_low", "fraud_rate_high")
    return Table(
        fraud_rate(payments, "channel"),
        "channel",
        columns,
        "the fraud rate of each channel except phone, with the interval that accounts for clusters "
        "of customers and merchants",
        shares=columns,
        mistakes={
            "These rates count unlabelled payments as genuine. Exclude them from both numerator "
            "and denominator, or let fraud_rate() do so.": fraud_rate(
                payments.with_columns(pl.col("is_fraud").fill_null(False)), "channel"
            ),
            "The rates are correct, but the intervals assume independent payments. One stolen card "
            "causes a dozen frauds, so these intervals are too narrow: keep the clusters of "
            "fraud_rate().": fraud_rates(payments, "channel"),
            "The rates are correct, but the intervals use the normal approximation. For events as "
            "rare as fraud these are too narrow and extend below 0. Use those of "
            "fraud_rate().": fraud_rates(payments, "channel", wald_interval),
        },
    )


@LESSON.add_exercise(
    "01.5",
    "fraud_bps",
    "A payment of 500 euros counts 50 times as much as one of 10 euros.",
    "Divide the value of the frauds by the value of the labelled payments.",
    "fraud_rate has a column for this: bps stands for basis points.",
)
def _grade_fraud_bps(facts: Facts) -> Number:
    payments = facts[2]
    labelled = payments.drop_nulls("is_fraud")
    fraud_amount = float(labelled.filter(pl.col("is_fraud"))["amount"].sum())
    share = fraud_amount / float(labelled["amount"].sum())
    rate = float(labelled["is_fraud"].mean())  # type: ignore[arg-type]
    return Number(
        10_000 * share,
        "the euros lost to fraud per 10,000 euros of labelled payments",
        {
            "This is the share of the value. How much is that per 10,000 euros?": share,
            "This is in percent of the value: per 100 euros. The exercise asks for the amount per "
            "10,000 euros.": 100 * share,
            "This counts payments instead of their value: it is 10,000 times the fraud "
            "rate.": 10_000 * rate,
            "This divides by the value of all payments. It is not yet known whether the unlabelled "
            "ones are fraud: exclude their value.": (
                10_000 * fraud_amount / float(payments["amount"].sum())
            ),
            "This is the total amount of fraud. How much is it per 10,000 euros "
            "paid?": fraud_amount,
        },
    )
