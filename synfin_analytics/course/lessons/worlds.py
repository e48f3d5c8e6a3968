"""Data of a lesson, from a seed; and counting done here by hand, apart from what is taught."""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics.baseline import fit_baseline
from synfin_analytics.simulation import Simulation, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

#: Days after which the bank closes a case, and gives a label.
CLOSED_AFTER = 14
_Z = 1.959963984540054


@functools.lru_cache(maxsize=6)
def world(seed: int, customers: int = 500, days: int = 90, fraud_rate: float = 0.009) -> Simulation:
    """Make customers, merchants and payments (polars), all labels known."""
    return simulate(
        customers, max(customers * 2 // 5, 50), days, seed, fraud_rate=fraud_rate, output="polars"
    )


@functools.lru_cache(maxsize=3)
def scored(seed: int) -> pl.DataFrame:
    """Payments after the training of a simple model, each with its ``score``; all labels known."""
    payments = world(seed, customers=700, days=90).transactions
    predictions = fit_baseline(payments, train_fraction=0.4).predictions
    return predictions.select("transaction_id", pl.col("fraud_probability").alias("score")).join(
        payments, on="transaction_id", maintain_order="left"
    )


def as_known_today(transactions: pl.DataFrame, closed_after: int = CLOSED_AFTER) -> pl.DataFrame:
    """Labels as the bank has them at the end of the last day.

    A case is closed some days after the payment: fraud if it was reported by the last day, and
    else genuine. Younger payments have no label, even where a fraud was reported: if only frauds
    were labelled early, every labelled payment of these days would be one.
    """
    today = transactions["timestamp"].dt.truncate("1d").max() + dt.timedelta(days=1)  # type: ignore[operator]
    closing = pl.col("timestamp") + dt.timedelta(days=closed_after)
    reported = pl.col("is_fraud") & (pl.col("label_available_at") <= today)
    closed = closing <= today
    return transactions.with_columns(
        pl.when(closed).then(reported.fill_null(False)).alias("is_fraud"),
        pl.when(closed).then(closing).alias("label_available_at"),
        *(
            pl.when(closed & reported).then(pl.col(name)).alias(name)
            for name in ("fraud_type", "fraud_reason")
        ),
    )


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Interval of Wilson (1927) at 95 %."""
    share = successes / trials
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials)
    half *= float(np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)))
    return middle - half, middle + half


def wald(successes: float, trials: float) -> tuple[float, float]:
    """Interval by the normal distribution, which is wrong where events are rare."""
    share = successes / trials
    half = _Z * float(np.sqrt(share * (1 - share) / trials))
    return share - half, share + half


def rates(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """Labelled payments, frauds, their rate and its interval, by group."""
    counts = frame.group_by(key).agg(
        pl.len().alias("transactions"),
        pl.col("is_fraud").count().alias("labelled"),
        pl.col("is_fraud").sum().alias("frauds"),
    )
    ends = [wilson(row["frauds"], row["labelled"]) for row in counts.iter_rows(named=True)]
    return counts.with_columns(
        (pl.col("frauds") / pl.col("labelled")).alias("fraud_rate"),
        pl.Series("fraud_rate_low", [low for low, _ in ends]),
        pl.Series("fraud_rate_high", [high for _, high in ends]),
    ).sort(key)


def average_precision(score: Floats, fraud: Bools) -> float:
    """Sum over distinct scores of precision · gain in recall."""
    return average_precision_of(score, fraud)(np.ones(len(score)))


def average_precision_of(score: Floats, fraud: Bools) -> Callable[[Floats], float]:
    """Average precision by the weight of each row, as of draws."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    frauds = fraud[order]

    def of(weight: Floats) -> float:
        weights = weight[order]
        seen, hits = np.cumsum(weights)[last], np.cumsum(weights * frauds)[last]
        precision = np.divide(hits, seen, out=np.zeros(len(hits)), where=seen > 0)
        return float((precision * np.diff(hits, prepend=0.0)).sum() / hits[-1])

    return of


def roc_auc(score: Floats, fraud: Bools) -> float:
    """Share of pairs of a fraud and a genuine payment in which the fraud scores higher."""
    values, place = np.unique(score, return_inverse=True)
    frauds = np.bincount(place, fraud, len(values))
    genuine = np.bincount(place, ~fraud, len(values))
    below = np.cumsum(genuine) - genuine
    return float((frauds * (below + genuine / 2)).sum() / frauds.sum() / genuine.sum())


def top_cards(frame: pl.DataFrame, places: int, *, block: bool = True) -> tuple[float, float]:
    """Card precision at so many places a day, and its ceiling; means over the days.

    Each day the customers with the highest scores of that day are looked at; with ``block``, who
    was found is in no later day's pool.
    """
    by_day = frame.group_by(pl.col("timestamp").dt.date().alias("day"), "customer_id").agg(
        pl.col("score").max(), pl.col("is_fraud").any()
    )
    found: set[str] = set()
    shares, ceilings = [], []
    for _, cards in sorted(by_day.group_by("day"), key=lambda one: one[0]):
        pool = cards.filter(~pl.col("customer_id").is_in(list(found))) if block else cards
        first = pool.sort("score", "customer_id", descending=[True, False]).head(places)
        hits = first.filter("is_fraud")["customer_id"].to_list()
        found |= set(hits)
        shares.append(len(hits) / places)
        ceilings.append(min(int(pool["is_fraud"].sum()), places) / places)
    return float(np.mean(shares)), float(np.mean(ceilings))
