"""Exercises for lesson 09: what recent weeks look like once all of their frauds are known."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics.course.graders import Number, Numbers, Table, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import make_world
from synfin_analytics.metrics.nowcast import nowcast_fraud_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

#: A Monday, four weeks before the end of the data.
TODAY = dt.datetime(2025, 6, 2, tzinfo=dt.UTC)
NEW_RULE = dt.datetime(2025, 5, 5, tzinfo=dt.UTC)
MATURE_AGE = 8
#: Ages of the curve: the end of age 0 is one week after the cohort began.
_WEEKS = {"after_1": 0, "after_2": 1, "after_4": 3, "after_8": 7}
_WEEK = dt.timedelta(weeks=1)
_COLUMNS = (
    "transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "channel", "is_fraud",
    "label_available_at",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments with all labels, and when each label became known."""

    payments: pl.DataFrame

    def rate(
        self, start: dt.datetime, end: dt.datetime, as_of: dt.datetime | None
    ) -> tuple[int, int, int]:
        """Return payments, labels and frauds of a period, as known at a time (None: all)."""
        rows = self.payments.filter(pl.col("timestamp").is_between(start, end, closed="left"))
        known = rows
        if as_of is not None:  # genuine payments have no time: they are labelled at once
            known = rows.filter(pl.col("label_available_at").fill_null(as_of) <= as_of)
        return len(rows), len(known), int(known["is_fraud"].sum())

    @functools.cached_property
    def frauds(self) -> pl.DataFrame:
        """Frauds before today: weeks since their cohort began, and the age of the label."""
        monday = pl.col("timestamp").dt.truncate("1w")
        known = pl.col("label_available_at").dt.truncate("1w")
        return self.payments.filter("is_fraud", pl.col("timestamp") < TODAY).select(
            "channel",
            "amount",
            ((pl.lit(TODAY) - monday).dt.total_days() // 7).alias("weeks"),
            ((known - monday).dt.total_days() // 7).alias("age"),
        )

    def known(self, max_age: int, min_weeks: int = MATURE_AGE + 1, value: str = "") -> float:
        """Return frauds, or their value, of cohorts at least so old, known by the end of an age."""
        frauds = self.frauds.filter(
            pl.col("weeks") >= min_weeks,
            pl.col("age") <= max_age,
            pl.col("age") < pl.col("weeks"),  # known today
        )
        return float(frauds[value].sum() if value else len(frauds))


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    payments = make_world(seed, customers=600, days=180).transactions.select(_COLUMNS)
    return Facts(payments.filter(pl.col("channel") != "phone"))


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the payments as a pandas DataFrame, and the two days."""
    return {
        "payments": (
            facts.payments.to_pandas(),
            f"{len(facts.payments):,} payments of 180 days, with the time of each label",
        ),
        "today": (pd.Timestamp(TODAY), "a Monday; later labels are not known yet"),
        "new_rule": (pd.Timestamp(NEW_RULE), "the Monday on which a rule was changed"),
    }


LESSON = Lesson("09", "label_maturity", make_facts, student_data)


@LESSON.add_exercise(
    "09.1",
    "known_rate",
    "Which payments are in the four weeks, and which of their labels were known?",
    "as_of=today leaves out the payments from today on, and later labels.",
    "Filter the payments from today - pd.Timedelta(weeks=4) on; fraud_rate(…, as_of=today) has one "
    "row.",
)
def _grade_known_rate(facts: Facts) -> Number:
    start = TODAY - 4 * _WEEK
    n_payments, labelled, frauds = facts.rate(start, TODAY, TODAY)
    _, n_later, frauds_later = facts.rate(start, TODAY, None)
    _, n_last, frauds_last = facts.rate(TODAY - _WEEK, TODAY, TODAY)
    _, n_all, frauds_all = facts.rate(start - 52 * _WEEK, TODAY, TODAY)
    return share(
        frauds / labelled,
        "the fraud rate of the last four weeks before today, with the labels known today",
        {
            "This uses all labels, including those that became known after today: pass "
            "as_of.": frauds_later / n_later,
            "This is the last week only. The exercise asks for four weeks.": frauds_last / n_last,
            "This is the rate of all payments before today. Use those of the last four "
            "weeks.": frauds_all / n_all,
            "This divides by all payments. A payment whose label is not known yet is not "
            "labelled.": frauds / n_payments,
        },
    )


@LESSON.add_exercise(
    "09.2",
    "known_shares",
    "Only for mature weeks is the final number known.",
    f"label_maturity(payments, as_of=today, mature_age={MATURE_AGE}).curve has a row for each age.",
    "The end of age 0 is one week after the beginning of the week of the payment: the ages are 0, "
    "1, 3 and 7.",
)
def _grade_known_shares(facts: Facts) -> Numbers:
    def shares(shift: int = 0, min_weeks: int = MATURE_AGE + 1, value: str = "") -> list[float]:
        final = facts.known(MATURE_AGE, min_weeks, value)
        return [facts.known(age + shift, min_weeks, value) / final for age in _WEEKS.values()]

    task = (
        "the share of the final frauds of mature weeks that is known after 1, 2, 4 and 8 weeks "
        f"(mature age {MATURE_AGE})"
    )
    truth = shares()
    new = list(np.diff(truth, prepend=0.0))
    return Numbers(
        {name: share(value, task) for name, value in zip(_WEEKS, truth, strict=True)},
        task,
        {
            "These are the ages 1, 2, 4 and 8. Age 1 ends two weeks after the week of the payment "
            "began.": shares(shift=1),
            "This includes weeks that are not mature, as if what is known of them were "
            "final.": shares(min_weeks=1),
            "These are shares of the value. The exercise asks for the number of frauds.": shares(
                value="amount"
            ),
            "These are the shares that were added since the number before. The exercise asks for "
            "what is known in total.": new,
        },
    )


@LESSON.add_exercise(
    "09.3",
    "share_by_channel",
    "The same as in exercise 2, for the groups of a column.",
    f'label_maturity(…, by="channel", mature_age={MATURE_AGE}).curve has rows of all channels.',
    'Keep the rows of age 1, and the columns "channel" and "share".',
)
def _grade_share_by_channel(facts: Facts) -> Table:
    mature = facts.frauds.filter(
        pl.col("weeks") > MATURE_AGE, pl.col("age") <= MATURE_AGE
    ).with_columns(pl.col("age").cast(pl.Float64))
    known = pl.col("age") <= 1

    def by_channel(value: pl.Expr) -> pl.DataFrame:
        return mature.group_by("channel").agg(value.alias("share")).sort("channel")

    recent = facts.frauds.filter(pl.col("age") < pl.col("weeks"), pl.col("age") <= MATURE_AGE)
    amount = pl.col("amount")
    return Table(
        by_channel(known.mean()),
        "channel",
        ("share",),
        "the share of the final frauds of mature weeks that is known after two weeks, by channel",
        shares=("share",),
        mistakes={
            "This is the share after one week. Two weeks end with age 1.": by_channel(
                (pl.col("age") <= 0).mean()
            ),
            "This is the share after three weeks. Two weeks end with age 1.": by_channel(
                (pl.col("age") <= 2).mean()
            ),
            "This is by value. The exercise asks for the number of frauds.": by_channel(
                amount.filter(known).sum() / amount.sum()
            ),
            "This includes weeks that are not mature.": recent.group_by("channel")
            .agg(known.mean().alias("share"))
            .sort("channel"),
        },
    )


def _triangle(facts: Facts) -> Integers:
    """Return the frauds of each cohort, oldest first, known by the end of each age."""
    oldest = int(facts.frauds["weeks"].max())  # type: ignore[arg-type]
    weeks, ages = facts.frauds["weeks"].to_numpy(), facts.frauds["age"].to_numpy()
    known = np.zeros((oldest, oldest), np.int64)
    is_known = ages < weeks
    np.add.at(known, (oldest - weeks[is_known], ages[is_known]), 1)
    return known.cumsum(axis=1)


def _chain_ladder(triangle: Integers, position: int = -1) -> float:
    """Return the final frauds of a cohort, by ratios of consecutive ages."""
    n = len(triangle)
    row = range(n)[position]
    estimate = float(triangle[row, n - 1 - row])
    for age in range(n - row, n):
        complete = triangle[: n - age]  # at this age
        estimate *= complete[:, age].sum() / complete[:, age - 1].sum()
    return estimate


@LESSON.add_exercise(
    "09.4",
    "final_frauds",
    "The known frauds of the week, divided by the share that is known at its age.",
    "The share comes from all weeks: the ratio of what is known at consecutive ages, over the "
    "weeks that have reached both.",
    "nowcast_fraud_rate(payments, as_of=today) has the column chain_ladder_frauds; the last row is "
    "the last week.",
)
def _grade_final_frauds(facts: Facts) -> Number:
    triangle = _triangle(facts)
    final = facts.known(MATURE_AGE)
    mature_share = facts.known(0) / final
    last = float(triangle[-1, 0])
    _, _, later = facts.rate(TODAY - _WEEK, TODAY, None)
    return Number(
        _chain_ladder(triangle),
        "the chain ladder's estimate of the final number of frauds of the last week before today",
        {
            "This is what is known today.": last,
            "This is what became known in the end. It was not available today: estimate it.": float(
                later
            ),
            "This is the week before the last one.": _chain_ladder(triangle, -2),
            "This divides by the share of the mature weeks. The chain ladder uses all weeks that "
            "have reached an age.": last / mature_share,
            "This is the nowcast, which combines the chain ladder with the level of the other "
            "weeks.": float(_nowcast(facts)["estimated_frauds"].iloc[-1]),
        },
    )


@functools.lru_cache(maxsize=3)
def _nowcast(facts: Facts) -> pd.DataFrame:
    """Return the nowcast of today; its distribution has no second implementation."""
    return nowcast_fraud_rate(facts.payments, as_of=TODAY).to_frame()


@LESSON.add_exercise(
    "09.5",
    "errors",
    "Compare the sums over the last four weeks: known, estimated, final.",
    "The final number is the sum of is_fraud, of all labels, over these weeks.",
    'nowcast_fraud_rate(payments, as_of=today).to_frame().tail(4) has "known_frauds" and '
    '"estimated_frauds".',
)
def _grade_errors(facts: Facts) -> Numbers:
    recent = _nowcast(facts).tail(4)
    known, estimated = recent["known_frauds"].sum(), recent["estimated_frauds"].sum()
    _, _, final = facts.rate(TODAY - 4 * _WEEK, TODAY, None)
    _, _, later = facts.rate(TODAY - 4 * _WEEK, TODAY, TODAY + 4 * _WEEK)
    last = _nowcast(facts).tail(1)
    _, _, last_final = facts.rate(TODAY - _WEEK, TODAY, None)
    task = (
        "the relative error of the known number and of the nowcast for the last four weeks "
        "together: divided by the final number, minus 1"
    )
    return Numbers(
        {"known": Number(known / final - 1, task), "nowcast": Number(estimated / final - 1, task)},
        task,
        {
            "The sign is wrong: a number that is too low has a negative error.": (
                1 - known / final,
                1 - estimated / final,
            ),
            "These are errors in frauds. Divide by the final number.": (
                float(known - final),
                float(estimated - final),
            ),
            "This compares with what was known a month later. Use all labels.": (
                known / later - 1,
                estimated / later - 1,
            ),
            "This is the last week only.": (
                float(last["known_frauds"].iloc[0] / last_final - 1),
                float(last["estimated_frauds"].iloc[0] / last_final - 1),
            ),
        },
    )


@LESSON.add_exercise(
    "09.6",
    "change",
    "Labels of the four weeks before the rule had much more time to arrive. When were those weeks "
    "as old as the last four weeks are today?",
    "The four weeks before the rule, as of the day of the rule.",
    "fraud_rate(before, as_of=new_rule) and fraud_rate(after, as_of=today); the change is the "
    "second divided by the first, minus 1.",
)
def _grade_change(facts: Facts) -> Number:
    def rate(start: dt.datetime, as_of: dt.datetime | None) -> float:
        _, labelled, frauds = facts.rate(start, start + 4 * _WEEK, as_of)
        return frauds / labelled

    start = NEW_RULE - 4 * _WEEK
    before, after = rate(start, NEW_RULE), rate(NEW_RULE, TODAY)
    return Number(
        after / before - 1,
        "the relative change of the fraud rate from the four weeks before the rule to the four "
        "weeks after it, compared at the same age",
        {
            "This compares both periods as known today: the labels of the first had four more "
            "weeks to arrive.": after / rate(start, TODAY) - 1,
            "This uses all labels, which were not known today.": rate(NEW_RULE, None)
            / rate(start, None)
            - 1,
            "This is the change from after to before.": before / after - 1,
            "This is the difference of the rates. Divide it by the first rate.": after - before,
            "This is the ratio. The change is the ratio minus 1.": after / before,
        },
    )
