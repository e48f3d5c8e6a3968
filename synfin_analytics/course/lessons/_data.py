"""Data of the lessons, generated from a seed; metrics computed independently of what is taught."""

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

#: Days after which the bank closes a case and assigns a label.
CLOSED_AFTER = 14
_Z = 1.959963984540054


@functools.lru_cache(maxsize=6)
def make_world(
    seed: int, customers: int = 500, days: int = 90, fraud_rate: float = 0.009
) -> Simulation[pl.DataFrame]:
    """Simulate customers, merchants and payments (polars), with all labels known."""
    return simulate(
        customers, max(customers * 2 // 5, 50), days, seed, fraud_rate=fraud_rate, output="polars"
    )


@functools.lru_cache(maxsize=3)
def make_scored_payments(seed: int) -> pl.DataFrame:
    """Return the payments after the training of a simple model, with ``score`` and labels."""
    payments = make_world(seed, customers=700, days=90).transactions
    predictions = fit_baseline(payments, train_fraction=0.4).predictions
    return predictions.select("transaction_id", pl.col("fraud_probability").alias("score")).join(
        payments, on="transaction_id", maintain_order="left"
    )


def with_labels_as_of_today(
    transactions: pl.DataFrame, closed_after: int = CLOSED_AFTER
) -> pl.DataFrame:
    """Return transactions with the labels that the bank has at the end of the last day.

    A case is closed some days after the payment: as fraud if it was reported by the last day, else
    as genuine. Later payments have no label, even if a fraud was reported: if only frauds were
    labelled early, every labelled payment of these days would be a fraud.
    """
    today = transactions["timestamp"].dt.truncate("1d").max() + dt.timedelta(days=1)  # type: ignore[operator]
    closed_at = pl.col("timestamp") + dt.timedelta(days=closed_after)
    reported = pl.col("is_fraud") & (pl.col("label_available_at") <= today)
    closed = closed_at <= today
    return transactions.with_columns(
        pl.when(closed).then(reported.fill_null(False)).alias("is_fraud"),
        pl.when(closed).then(closed_at).alias("label_available_at"),
        *(
            pl.when(closed & reported).then(pl.col(name)).alias(name)
            for name in ("fraud_type", "fraud_reason")
        ),
    )


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Return Wilson's (1927) interval at 95%."""
    share = successes / trials
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half_width = _Z / (1 + _Z**2 / trials)
    half_width *= float(np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)))
    return middle - half_width, middle + half_width


def wald_interval(successes: float, trials: float) -> tuple[float, float]:
    """Return the interval by normal approximation, which is wrong for rare events."""
    share = successes / trials
    half_width = _Z * float(np.sqrt(share * (1 - share) / trials))
    return share - half_width, share + half_width


def rate_with_interval(
    counts: pl.DataFrame,
    name: str,
    successes: str,
    trials: str,
    interval: Callable[[float, float], tuple[float, float]] = wilson_interval,
) -> pl.DataFrame:
    """Add the share of successes among the trials of each row as ``name``, with its interval."""
    ends = [interval(*row) for row in counts.select(successes, trials).iter_rows()]
    return counts.with_columns(
        (pl.col(successes) / pl.col(trials)).alias(name),
        pl.Series(f"{name}_low", [low for low, _ in ends]),
        pl.Series(f"{name}_high", [high for _, high in ends]),
    )


def fraud_rates(
    payments: pl.DataFrame,
    key: str,
    interval: Callable[[float, float], tuple[float, float]] = wilson_interval,
) -> pl.DataFrame:
    """Return labelled payments, frauds, fraud rate and its interval by group."""
    counts = payments.group_by(key).agg(
        pl.len().alias("transactions"),
        pl.col("is_fraud").count().alias("labelled"),
        pl.col("is_fraud").sum().alias("frauds"),
    )
    return rate_with_interval(counts, "fraud_rate", "frauds", "labelled", interval).sort(key)


def average_precision(score: Floats, fraud: Bools) -> float:
    """Return the sum of precision times gain in recall over the distinct scores."""
    return weighted_average_precision(score, fraud)(np.ones(len(score)))


def weighted_average_precision(score: Floats, fraud: Bools) -> Callable[[Floats], float]:
    """Return a function that computes average precision from the weight of each row."""
    order = np.argsort(-score, kind="stable")
    is_last = np.append(np.diff(score[order]) != 0, True)
    frauds = fraud[order]

    def compute(weight: Floats) -> float:
        weights = weight[order]
        alerts, hits = np.cumsum(weights)[is_last], np.cumsum(weights * frauds)[is_last]
        precision = np.divide(hits, alerts, out=np.zeros(len(hits)), where=alerts > 0)
        return float((precision * np.diff(hits, prepend=0.0)).sum() / hits[-1])

    return compute


def roc_auc(score: Floats, fraud: Bools) -> float:
    """Return the share of pairs (fraud, genuine payment) in which the fraud ranks higher."""
    values, position = np.unique(score, return_inverse=True)
    frauds = np.bincount(position, fraud, len(values))
    genuine = np.bincount(position, ~fraud, len(values))
    below = np.cumsum(genuine) - genuine
    return float((frauds * (below + genuine / 2)).sum() / frauds.sum() / genuine.sum())


def card_precision(payments: pl.DataFrame, k: int, *, block: bool = True) -> tuple[float, float]:
    """Return card precision@k and its maximum, as means over the days.

    Each day the k customers with the highest scores of that day are reviewed; with ``block``, a
    detected customer is excluded from all later days.
    """
    by_day = payments.group_by(pl.col("timestamp").dt.date().alias("day"), "customer_id").agg(
        pl.col("score").max(), pl.col("is_fraud").any()
    )
    detected: set[str] = set()
    precisions, maxima = [], []
    for _, customers in sorted(by_day.group_by("day"), key=lambda group: group[0]):
        if block:
            customers = customers.filter(~pl.col("customer_id").is_in(list(detected)))
        first = customers.sort("score", "customer_id", descending=[True, False]).head(k)
        hits = first.filter("is_fraud")["customer_id"].to_list()
        detected |= set(hits)
        precisions.append(len(hits) / k)
        maxima.append(min(int(customers["is_fraud"].sum()), k) / k)
    return float(np.mean(precisions)), float(np.mean(maxima))
