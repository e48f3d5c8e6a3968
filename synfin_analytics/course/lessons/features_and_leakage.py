"""Exercises to lesson 03: features by hand, and those that know too much."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Names, Numbers, PerPayment, share
from synfin_analytics.course.lessons.worlds import average_precision, world

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DAY = 86_400_000_000
DELAY = 7
_COLUMNS = (
    "transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "is_online", "is_fraud",
)  # fmt: skip
_FRAUD, _WHO, _SHOP = pl.col("is_fraud").cast(pl.Float64), "customer_id", "merchant_id"
_SINCE = pl.col("timestamp").diff().dt.total_seconds() / 3600
#: Features that keep to what was known, and features that do not.
_HONEST: Mapping[str, pl.Expr] = {
    "size": (1 + pl.col("amount")).log(),
    "earlier": pl.int_range(pl.len()).over(_WHO).cast(pl.Float64),
    "waited": _SINCE.over(_WHO),
    "of_shop": pl.int_range(pl.len()).over(_SHOP).cast(pl.Float64),
    "hour": pl.col("timestamp").dt.hour().cast(pl.Float64),
    "before": pl.col("amount").shift().over(_WHO),
}
_LEAKING: Mapping[str, pl.Expr] = {
    "mean": pl.col("amount").mean().over(_WHO),
    "risk": _FRAUD.mean().over(_SHOP),
    "until_next": pl.col("timestamp").diff(-1).dt.total_seconds().neg().over(_WHO) / 3600,
    "rank": pl.col("amount").rank() / pl.len(),
    "total": pl.len().over(_WHO).cast(pl.Float64),
}


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments in the order of time, and features of unknown kind: name, formula, leaking."""

    payments: pl.DataFrame
    features: tuple[tuple[str, pl.Expr, bool], ...]

    def column(self, name: str) -> Floats:
        """Column as numbers."""
        return self.payments[name].cast(pl.Float64).to_numpy()

    def build(self, payments: pd.DataFrame) -> pd.DataFrame:
        """Compute the features of payments, a row for each in their order."""
        frame = pl.from_pandas(payments[list(_COLUMNS)])
        made = frame.select(formula.alias(name) for name, formula, _ in self.features)
        return made.to_pandas().set_index(payments.index)


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student."""
    payments = world(seed, customers=400, days=75).transactions.select(_COLUMNS)
    random = np.random.default_rng(seed)
    leaks = int(random.integers(2, 4))
    chosen = [
        *((_HONEST[name], False) for name in random.permutation(list(_HONEST))[: 8 - leaks]),
        *((_LEAKING[name], True) for name in random.permutation(list(_LEAKING))[:leaks]),
    ]
    places = random.permutation(len(chosen))
    features = [(f"feature_{n + 1}", *chosen[place]) for n, place in enumerate(places)]
    return Facts(payments, tuple(features))


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give a frame of pandas, and the function that makes features."""
    return {
        "payments": (
            known.payments.to_pandas(),
            f"{len(known.payments):,} payments in the order of time, all labelled",
        ),
        "build": (known.build, "a colleague's function: eight features of the payments it gets"),
    }


def _per_payment(known: Facts, *args: Any) -> PerPayment:
    return PerPayment(known.payments["transaction_id"].to_list(), *args)


def _within(known: Facts, key: str, hours: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each payment its place among those of the key, and the first place within the hours."""
    at = known.payments["timestamp"].dt.epoch("us").to_numpy()
    places, firsts = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    _, codes = np.unique(known.payments[key].to_numpy(), return_inverse=True)
    for rows in np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]):
        places[rows] = np.arange(len(rows))
        firsts[rows] = np.searchsorted(at[rows], at[rows] - round(hours * 3.6e9), side="right")
    return places, firsts


def _count(known: Facts) -> PerPayment:
    place, first = _within(known, "customer_id", 24)
    count = (place - first + 1).astype(np.float64)
    day = pl.col("timestamp").dt.date()
    of_day = known.payments.select(
        (pl.int_range(pl.len()) + 1).over("customer_id", day).alias("so_far"),
        pl.len().over("customer_id", day).alias("all"),
    )
    shop_place, shop_first = _within(known, "merchant_id", 24)
    return _per_payment(
        known,
        count,
        "the number of the customer's payments in the 24 hours up to this one, and with it",
        {
            "You left the payment itself out: it happens within these 24 hours too.": count - 1,
            "That counts since midnight. The window is the 24 hours before each payment, wherever "
            "midnight lies.": of_day["so_far"].cast(pl.Float64).to_numpy(),
            "That counts the whole day, with payments that come later. Nobody knew of them "
            "yet.": of_day["all"].cast(pl.Float64).to_numpy(),
            "That counts the payments at the merchant. Those of the customer are asked for.": (
                shop_place - shop_first + 1
            ).astype(np.float64),
            "That counts all earlier payments of the customer. Only the last 24 hours are asked "
            "for.": place + 1.0,
        },
    )


def _ratio(known: Facts) -> PerPayment:
    amount = pl.col("amount")
    earlier = pl.int_range(pl.len()).over("customer_id")
    before = (amount.cum_sum().over("customer_id") - amount) / earlier
    mine = known.payments.select(
        (amount / pl.when(earlier > 0).then(before)).alias("right"),
        (amount / ((before * earlier + amount) / (earlier + 1))).fill_nan(None).alias("with"),
        (amount / amount.mean().over("customer_id")).alias("all"),
        (amount / amount.shift().over("customer_id")).alias("last"),
    ).with_columns(pl.col("with").fill_null(1.0))
    values = {name: mine[name].fill_null(np.nan).to_numpy() for name in mine.columns}
    return _per_payment(
        known,
        values["right"],
        "the amount, divided by the mean of the customer's earlier amounts; NaN without any",
        {
            "The payment itself is in the mean: a large one then hides itself. Take the earlier "
            "ones only.": values["with"],
            "That is the mean over all time: it knows what the customer will pay later. That is "
            "leakage. Take the earlier ones only.": values["all"],
            "That divides by the last amount. The mean of all earlier ones is asked for.": values[
                "last"
            ],
            "The first payment of a customer has nothing before it: that is NaN, not 1.": (
                np.nan_to_num(values["right"], nan=1.0)
            ),
            "The first payment of a customer has nothing before it: that is NaN, not 0.": (
                np.nan_to_num(values["right"], nan=0.0)
            ),
        },
    )


def _leaks(known: Facts) -> Names:
    leaking = frozenset(name for name, _, leaks in known.features if leaks)
    names = tuple(name for name, _, _ in known.features)
    asks = "the features that change when payments of later days are taken away"
    honest = (
        "One of them does not change when later payments are taken away. Compare the same rows: "
        "those of the first days, computed with and without what comes after."
    )
    return Names(
        leaking,
        names,
        asks,
        {
            "Those are the ones that do not leak. The others are asked for.": frozenset(names)
            - leaking,
            "Not all of them leak. Compare the same rows, and let NaN be equal to NaN: "
            "equal_nan=True.": frozenset(names),
        },
        dict.fromkeys(set(names) - leaking, honest),
    )


def _risk(known: Facts, delay: float, *, own: bool = False) -> Floats:
    """Fraud share of the merchant's payments that are at least so many days back."""
    fraud = known.column("is_fraud")
    at = known.payments["timestamp"].dt.epoch("us").to_numpy()
    _, codes = np.unique(known.payments["merchant_id"].to_numpy(), return_inverse=True)
    share_of = np.full(len(at), np.nan)
    for rows in np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]):
        sums = np.append(0.0, np.cumsum(fraud[rows]))
        back = np.searchsorted(at[rows], at[rows] - round(delay * _DAY), side="right")
        until = np.arange(len(rows)) + 1 if own else np.minimum(back, np.arange(len(rows)))
        share_of[rows] = np.divide(
            sums[until], until, out=np.full(len(rows), np.nan), where=until > 0
        )
    return share_of


def _over_all(known: Facts) -> Floats:
    return known.payments.select(_LEAKING["risk"]).to_series().to_numpy()


def _mended(known: Facts) -> PerPayment:
    right = _risk(known, DELAY)
    return _per_payment(
        known,
        right,
        f"the fraud share among the merchant's payments that are at least {DELAY} days back; NaN "
        "without any",
        {
            "You forgot the delay: that takes labels of yesterday's payments. Nobody has reported "
            "these frauds yet.": _risk(known, 0),
            "That has the label of the payment itself in it: it knows the answer.": _risk(
                known, 0, own=True
            ),
            "That is the share over all time, of later payments too: the leak is still there.": (
                _over_all(known)
            ),
            "Where nothing is known yet the share is NaN, not 0: no payment is not the same as no "
            "fraud.": np.nan_to_num(right, nan=0.0),
        },
    )


def _flattered(known: Facts) -> Numbers:
    day = known.payments["timestamp"].dt.date()
    late = (day >= day.unique().sort()[-30]).to_numpy()
    fraud = known.column("is_fraud") > 0
    leaking, mended = _over_all(known), np.nan_to_num(_risk(known, DELAY))
    both = [average_precision(score[late], fraud[late]) for score in (leaking, mended)]
    everywhere = [average_precision(score, fraud) for score in (leaking, mended)]
    asks = (
        "the average precision of the leaking share and of the mended one, as scores of the "
        "payments of the last 30 days"
    )
    return Numbers(
        {"leaking": share(both[0], asks), "mended": share(both[1], asks)},
        asks,
        {
            "That is over all days. In the first ones the mended share knows nothing yet: take the "
            "last 30 days.": everywhere,
            "The first one is right; the second has no delay. Take the share of exercise 4.": (
                both[0],
                average_precision(np.nan_to_num(_risk(known, 0))[late], fraud[late]),
            ),
            "That is what chance gives: the share of fraud among these payments.": (
                float(fraud[late].mean()),
                float(fraud[late].mean()),
            ),
        },
    )


LESSON = Lesson(
    "03",
    "features_and_leakage",
    facts,
    handed_out,
    (
        Exercise(
            "03.1",
            "in_24_hours",
            (
                "The window moves with each payment: from 24 hours before it up to itself.",
                "window_features knows windows by customer, and whether the row itself counts.",
                'window_features(payments, by="customer_id", windows=["24h"]) has a column '
                "count_24h.",
            ),
            _count,
        ),
        Exercise(
            "03.2",
            "against_usual",
            (
                "What is usual follows from what came before, without the payment itself.",
                "Within a customer: sum so far minus the amount itself, divided by the number of "
                "earlier payments.",
                'groupby("customer_id")["amount"] has cumsum() and cumcount(); 0/0 is NaN.',
            ),
            _ratio,
        ),
        Exercise(
            "03.3",
            "leaking",
            (
                "A feature of a payment must not change because of what happens later.",
                "Build the features of all payments, and of those of the first weeks alone. The "
                "first weeks are in both.",
                "Compare each column on these rows: np.allclose(one, other, equal_nan=True).",
            ),
            _leaks,
        ),
        Exercise(
            "03.4",
            "known_risk",
            (
                f"At a payment, the labels of the {DELAY} days before it are not known yet.",
                f"It needs the merchant's payments up to {DELAY} days before, and the frauds among "
                "them.",
                "window_features has a `lag`, and takes means of a truth value; a window of ten "
                "years holds all that was before.",
            ),
            _mended,
        ),
        Exercise(
            "03.5",
            "flattery",
            (
                "A share of fraud is a score: a high one is suspicious.",
                "Where the mended share is NaN, nothing is known: give it the score 0.",
                'evaluate(late, score="…").average_precision, for both, on the last 30 days.',
            ),
            _flattered,
        ),
    ),
)
