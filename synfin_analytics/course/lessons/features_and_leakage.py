"""Exercises for lesson 03: compute features, and find those that leak."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.graders import Names, Numbers, PerPayment, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import average_precision, make_world

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from synfin_analytics.course.lessons._data import Floats

    Integers = NDArray[np.int64]

_DAY = 86_400_000_000
LABEL_DELAY = 7
_COLUMNS = (
    "transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "is_online", "is_fraud",
)  # fmt: skip
_FRAUD = pl.col("is_fraud").cast(pl.Float64)
_HOURS_SINCE_LAST = pl.col("timestamp").diff().dt.total_seconds() / 3600
#: Features that use only earlier payments, and features that leak.
_VALID_FEATURES: Mapping[str, pl.Expr] = {
    "log_amount": (1 + pl.col("amount")).log(),
    "earlier": pl.int_range(pl.len()).over("customer_id").cast(pl.Float64),
    "hours_since_last": _HOURS_SINCE_LAST.over("customer_id"),
    "earlier_at_merchant": pl.int_range(pl.len()).over("merchant_id").cast(pl.Float64),
    "hour": pl.col("timestamp").dt.hour().cast(pl.Float64),
    "previous_amount": pl.col("amount").shift().over("customer_id"),
}
_LEAKING_FEATURES: Mapping[str, pl.Expr] = {
    "mean": pl.col("amount").mean().over("customer_id"),
    "risk": _FRAUD.mean().over("merchant_id"),
    "hours_until_next": pl.col("timestamp").diff(-1).dt.total_seconds().neg().over("customer_id")
    / 3600,
    "rank": pl.col("amount").rank() / pl.len(),
    "total": pl.len().over("customer_id").cast(pl.Float64),
}


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments ordered by time, and features: the name and formula of each, whether it leaks."""

    payments: pl.DataFrame
    features: tuple[tuple[str, pl.Expr, bool], ...]

    def column(self, name: str) -> Floats:
        """Return a column as floats."""
        return self.payments[name].cast(pl.Float64).to_numpy()

    def build(self, payments: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of payments, one row for each, in the same order."""
        df = pl.from_pandas(payments[list(_COLUMNS)])
        features = df.select(formula.alias(name) for name, formula, _ in self.features)
        return features.to_pandas().set_index(payments.index)


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    payments = make_world(seed, customers=400, days=75).transactions.select(_COLUMNS)
    random = np.random.default_rng(seed)
    n_leaking = int(random.integers(2, 4))
    valid = random.permutation(list(_VALID_FEATURES))[: 8 - n_leaking]
    leaking = random.permutation(list(_LEAKING_FEATURES))[:n_leaking]
    features = [
        *((_VALID_FEATURES[name], False) for name in valid),
        *((_LEAKING_FEATURES[name], True) for name in leaking),
    ]
    order = random.permutation(len(features))
    return Facts(
        payments,
        tuple(
            (f"feature_{number}", *features[position]) for number, position in enumerate(order, 1)
        ),
    )


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Return the payments as a pandas DataFrame, and the function that computes features."""
    return {
        "payments": (
            facts.payments.to_pandas(),
            f"{len(facts.payments):,} payments ordered by time, all labelled",
        ),
        "build": (facts.build, "a colleague's function, which computes eight features of payments"),
    }


LESSON = Lesson("03", "features_and_leakage", make_facts, student_data)


def _per_payment(
    facts: Facts, truth: Floats, task: str, mistakes: Mapping[str, Floats]
) -> PerPayment:
    return PerPayment(facts.payments["transaction_id"].to_list(), truth, task, mistakes)


def _split_by(column: pl.Series) -> list[Integers]:
    """Return the positions of the rows of each group, in order."""
    _, codes = np.unique(column.to_numpy(), return_inverse=True)
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def _positions(facts: Facts, key: str, hours: float) -> tuple[Integers, Integers]:
    """Return the position of each payment in its group, and the first position within the hours."""
    time = facts.payments["timestamp"].dt.epoch("us").to_numpy()
    positions, first_positions = np.zeros(len(time), np.int64), np.zeros(len(time), np.int64)
    for rows in _split_by(facts.payments[key]):
        start = time[rows] - round(hours * 3.6e9)
        positions[rows] = np.arange(len(rows))
        first_positions[rows] = np.searchsorted(time[rows], start, side="right")
    return positions, first_positions


@LESSON.add_exercise(
    "03.1",
    "count_24h",
    "The window moves with each payment: from 24 hours before it up to and including it.",
    "window_features computes windows by customer; include_current includes the payment itself.",
    'window_features(payments, by="customer_id", windows=["24h"]) returns a column count_24h.',
)
def _grade_count_24h(facts: Facts) -> PerPayment:
    position, first = _positions(facts, "customer_id", 24)
    count = (position - first + 1).astype(np.float64)
    day = pl.col("timestamp").dt.date()
    by_day = facts.payments.select(
        (pl.int_range(pl.len()) + 1).over("customer_id", day).alias("so_far"),
        pl.len().over("customer_id", day).alias("all"),
    )
    merchant_position, merchant_first = _positions(facts, "merchant_id", 24)
    return _per_payment(
        facts,
        count,
        "the number of payments of the customer in the 24 hours up to and including each payment",
        {
            "This excludes the payment itself, which is within the 24 hours as well.": count - 1,
            "This counts from midnight on. The window is the 24 hours before each payment, "
            "regardless of midnight.": by_day["so_far"].cast(pl.Float64).to_numpy(),
            "This counts the whole day, including later payments, which are not known at the time "
            "of the payment.": by_day["all"].cast(pl.Float64).to_numpy(),
            "This counts the payments at the merchant. Count those of the customer.": (
                merchant_position - merchant_first + 1
            ).astype(np.float64),
            "This counts all earlier payments of the customer. Count only the last 24 hours.": (
                position + 1
            ).astype(np.float64),
        },
    )


@LESSON.add_exercise(
    "03.2",
    "amount_ratio",
    "The usual amount follows from the earlier payments, without the payment itself.",
    "For each customer: the cumulative sum minus the amount itself, divided by the number of "
    "earlier payments.",
    'groupby("customer_id")["amount"] has cumsum() and cumcount(); 0/0 is NaN.',
)
def _grade_amount_ratio(facts: Facts) -> PerPayment:
    amount = pl.col("amount")
    n_earlier = pl.int_range(pl.len()).over("customer_id")
    mean_earlier = (amount.cum_sum().over("customer_id") - amount) / n_earlier
    mean_with_current = (mean_earlier * n_earlier + amount) / (n_earlier + 1)
    ratios = facts.payments.select(
        (amount / pl.when(n_earlier > 0).then(mean_earlier)).alias("truth"),
        (amount / mean_with_current).fill_nan(None).alias("with_current"),
        (amount / amount.mean().over("customer_id")).alias("all"),
        (amount / amount.shift().over("customer_id")).alias("last"),
    ).with_columns(pl.col("with_current").fill_null(1.0))
    values = {name: ratios[name].fill_null(np.nan).to_numpy() for name in ratios.columns}
    return _per_payment(
        facts,
        values["truth"],
        "the amount divided by the mean of the customer's earlier amounts; NaN without any",
        {
            "The mean includes the payment itself, so that a large amount masks itself. Use only "
            "earlier payments.": values["with_current"],
            "This is the mean over the whole period, which includes later payments. That is "
            "leakage: use only earlier payments.": values["all"],
            "This divides by the previous amount. Divide by the mean of all earlier ones.": values[
                "last"
            ],
            "The first payment of a customer has no earlier ones: its ratio is NaN, not 1.": (
                np.nan_to_num(values["truth"], nan=1.0)
            ),
            "The first payment of a customer has no earlier ones: its ratio is NaN, not 0.": (
                np.nan_to_num(values["truth"], nan=0.0)
            ),
        },
    )


@LESSON.add_exercise(
    "03.3",
    "leaking",
    "A feature of a payment must not change because of later payments.",
    "Compute the features of all payments, and of the payments of the first weeks only. The first "
    "weeks are in both.",
    "Compare each column on these rows: np.allclose(first, second, equal_nan=True).",
)
def _grade_leaking(facts: Facts) -> Names:
    leaking = frozenset(name for name, _, leaks in facts.features if leaks)
    names = tuple(name for name, _, _ in facts.features)
    feedback = (
        "At least one of them does not change when later payments are removed. Compare the same "
        "rows: those of the first days, computed with and without the later payments."
    )
    return Names(
        leaking,
        names,
        "the features that change when payments of later days are removed",
        {
            "These are the features that do not leak. The exercise asks for the others.": frozenset(
                names
            )
            - leaking,
            "Not all of them leak. Compare the same rows, and treat NaN as equal to NaN: "
            "equal_nan=True.": frozenset(names),
        },
        dict.fromkeys(set(names) - leaking, feedback),
    )


def _merchant_risk(facts: Facts, delay: float, *, include_current: bool = False) -> Floats:
    """Return the fraud share of the merchant's payments that are at least ``delay`` days old."""
    fraud = facts.column("is_fraud")
    time = facts.payments["timestamp"].dt.epoch("us").to_numpy()
    risk = np.full(len(time), np.nan)
    for rows in _split_by(facts.payments["merchant_id"]):
        n_frauds = np.append(0.0, np.cumsum(fraud[rows]))
        n_old = np.searchsorted(time[rows], time[rows] - round(delay * _DAY), side="right")
        position = np.arange(len(rows))
        n_used = position + 1 if include_current else np.minimum(n_old, position)
        risk[rows] = np.divide(
            n_frauds[n_used], n_used, out=np.full(len(rows), np.nan), where=n_used > 0
        )
    return risk


def _leaking_risk(facts: Facts) -> Floats:
    return facts.payments.select(_LEAKING_FEATURES["risk"]).to_series().to_numpy()


@LESSON.add_exercise(
    "03.4",
    "merchant_risk",
    f"At the time of a payment, the labels of the {LABEL_DELAY} days before it are not known.",
    f"Use the merchant's payments up to {LABEL_DELAY} days before, and the frauds among them.",
    "window_features has a parameter lag, and computes means of a boolean column; a window of ten "
    "years contains all earlier payments.",
)
def _grade_merchant_risk(facts: Facts) -> PerPayment:
    truth = _merchant_risk(facts, LABEL_DELAY)
    return _per_payment(
        facts,
        truth,
        f"the fraud share of the merchant's payments that are at least {LABEL_DELAY} days old; NaN "
        "without any",
        {
            "This ignores the label delay: it uses the labels of recent payments, whose frauds "
            "have not been reported yet.": _merchant_risk(facts, 0),
            "This includes the label of the payment itself: it knows the answer.": _merchant_risk(
                facts, 0, include_current=True
            ),
            "This is the share over the whole period, including later payments: it still "
            "leaks.": _leaking_risk(facts),
            "Without any known payment the share is NaN, not 0: no payments is not the same as no "
            "fraud.": np.nan_to_num(truth, nan=0.0),
        },
    )


@LESSON.add_exercise(
    "03.5",
    "average_precisions",
    "A share of fraud is a score: a high share is suspicious.",
    "Where the fixed share is NaN, nothing is known: assign the score 0.",
    'evaluate(late, score="…").average_precision, for both, on the last 30 days.',
)
def _grade_average_precisions(facts: Facts) -> Numbers:
    day = facts.payments["timestamp"].dt.date()
    is_late = (day >= day.unique().sort()[-30]).to_numpy()
    fraud = facts.column("is_fraud") > 0
    scores = (_leaking_risk(facts), np.nan_to_num(_merchant_risk(facts, LABEL_DELAY)))
    leaking, fixed = (average_precision(score[is_late], fraud[is_late]) for score in scores)
    prevalence = float(fraud[is_late].mean())
    task = (
        "the average precision of the leaking share and of the fixed share, as scores of the "
        "payments of the last 30 days"
    )
    return Numbers(
        {"leaking": share(leaking, task), "fixed": share(fixed, task)},
        task,
        {
            "This is over all days. In the first days the fixed share is not defined yet: use the "
            "last 30 days.": [average_precision(score, fraud) for score in scores],
            "The first one is correct; the second ignores the label delay. Use the share of "
            "exercise 4.": (
                leaking,
                average_precision(np.nan_to_num(_merchant_risk(facts, 0))[is_late], fraud[is_late]),
            ),
            "This is the average precision of a random score: the share of fraud among these "
            "payments.": (prevalence, prevalence),
        },
    )
