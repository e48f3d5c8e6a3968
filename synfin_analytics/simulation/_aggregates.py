"""What the bank knew at each payment of those before it, and knows of everyone at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics._core.geography import great_circle_km
from synfin_analytics._core.rolling import DAY as DAY_US
from synfin_analytics._core.rolling import HOUR as HOUR_US
from synfin_analytics._core.rolling import GroupedRolling
from synfin_analytics.database.models.base import RISK_CATEGORIES
from synfin_analytics.simulation._payments import ATM, COMPLETED, DAY, REFUND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation._random import Floats, Integers, Mask
    from synfin_analytics.simulation._world import World

_SECOND = 1_000_000
#: A risk score is the share of known frauds, as if so many payments more had had so many frauds.
_PRIOR, _PRIOR_FRAUDS = 20, 0.1
#: From which score on a risk is medium, high and critical.
_RISKS = (0.02, 0.05, 0.2)
#: Days without a payment after which an account is called dormant, or half of the period.
_DORMANT_DAYS = 60


def history(paid: Payments, world: World) -> dict[str, pl.Series]:
    """Columns that look back; the payments are in the order of time."""
    at = paid.time * _SECOND
    runs = GroupedRolling(paid.customer, at)
    columns: dict[str, NDArray[np.generic]] = {}
    for name, length in (("hour", HOUR_US), ("day", DAY_US)):
        window = runs.window(length, include_current=False)
        columns[f"transactions_last_{name}"] = window.count().astype(np.int32)
        columns[f"amount_last_{name}"] = window.sum(paid.cents) / 100
    last = runs.window(include_current=False).last_row()
    since = np.where(last < 0, np.nan, (paid.time - paid.time[last]).astype(np.float64))
    columns |= _distances(paid, world, at) | {
        "time_since_last_transaction": since,
        "merchant_risk_score": _risk_so_far(paid.merchant, paid),
        "customer_risk_score": _risk_so_far(paid.customer, paid),
    }
    return {name: pl.Series(values, nan_to_null=True) for name, values in columns.items()}


def _distances(paid: Payments, world: World, at: Integers) -> dict[str, Floats]:
    """Distances in km, to 10 m, of payments in person: from home, and from the one before."""
    people, shops = world.people, world.shops
    rows = np.flatnonzero(paid.channel <= ATM)
    merchant, customer = paid.merchant[rows], paid.customer[rows]
    here = shops.latitude[merchant], shops.longitude[merchant]
    home = people.latitude[customer], people.longitude[customer]
    before = GroupedRolling(customer, at[rows]).window(include_current=False).last_row()
    there = tuple(np.where(before < 0, np.nan, each[before]) for each in here)
    found = {}
    for name, place in (("home", home), ("last", there)):
        distance = np.full(len(paid), np.nan)
        distance[rows] = np.round(great_circle_km(*here, *place), 2)
        found[f"distance_from_{name}"] = distance
    return found


def _risk_so_far(key: Integers, paid: Payments) -> Floats:
    """Share of frauds among the earlier payments of each key, of those known at the moment."""
    at = paid.time * _SECOND
    known = np.maximum(paid.known, paid.time) * _SECOND
    earlier = GroupedRolling(key, at).window(include_current=False).count()
    fraud = paid.fraud > 0
    frauds = (
        GroupedRolling(key, at, available_at=known, counted=fraud)
        .window(include_current=False)
        .count()
    )
    return _risk(frauds, earlier)


def _risk(frauds: Integers, payments: Integers) -> Floats:
    found: Floats = np.round((frauds + _PRIOR_FRAUDS) / (payments + _PRIOR), 4)
    return found


def of_customers(paid: Payments, world: World) -> dict[str, pl.Series]:
    """Statistics of customers at the end of the period."""
    n = len(world.people)
    count, total, mean, frauds, risk, category = _statistics(paid.customer, n, paid, world.end)
    last = np.full(n, -1)
    np.maximum.at(last, paid.customer, paid.time)
    asleep = last < world.end - min(_DORMANT_DAYS * DAY, world.end // 2)
    return {
        "account_status": pl.Series(["active", "dormant"]).gather(asleep.astype(np.int64)),
        "avg_transaction_amount": mean,
        "transaction_count": count,
        "total_spent": total,
        "fraud_history_count": frauds,
        "risk_score": risk,
        "risk_category": category,
    }


def of_merchants(paid: Payments, world: World) -> dict[str, pl.Series]:
    """Statistics of merchants at the end of the period."""
    n = len(world.shops)
    count, total, mean, frauds, risk, category = _statistics(paid.merchant, n, paid, world.end)
    return {
        "risk_score": risk,
        "risk_category": category,
        "fraud_report_count": frauds,
        "total_transactions": count,
        "total_revenue": total,
        "avg_transaction_amount": mean,
    }


def _statistics(key: Integers, n: int, paid: Payments, end: int) -> list[pl.Series]:
    """Count and sum what was spent, as the repositories do, and frauds that are known."""

    def counted(rows: Mask) -> Integers:
        return np.bincount(key[rows], minlength=n)

    spent = (paid.status == COMPLETED) & (paid.kind != REFUND)
    count = counted(spent)
    # Sums of whole cents are exact.
    cents = np.bincount(key[spent], weights=paid.cents[spent], minlength=n)
    mean = np.where(count > 0, np.round(cents / np.maximum(count, 1) / 100, 4), np.nan)
    frauds = counted((paid.fraud > 0) & (paid.known < end))
    risk = _risk(frauds, np.bincount(key, minlength=n))
    category = pl.Series(RISK_CATEGORIES).gather(np.searchsorted(_RISKS, risk, side="right"))
    return [
        pl.Series(count.astype(np.int32)),
        pl.Series(cents / 100),
        pl.Series(mean, nan_to_null=True),
        pl.Series(frauds.astype(np.int32)),
        pl.Series(risk),
        category,
    ]
