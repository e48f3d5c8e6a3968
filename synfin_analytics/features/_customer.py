"""Features of the customer's earlier payments: amounts, pace, habits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.ranks import first_of_each, highest_so_far, lower_before, pairs
from synfin_analytics._core.rolling import DAY, HOUR, Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from synfin_analytics._core.rolling import Window
    from synfin_analytics.features._calendar import Features
    from synfin_analytics.features.payments import Payments

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

VELOCITY = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
MEANS = ("24h", "7d", "30d")
MERCHANTS = ("24h", "7d")
COUNTRIES = "24h"
#: Earlier payments without which nothing is called unusual.
HABIT = 10
#: What makes up less than one in so many of them is unusual.
RARE = 20
#: Standard deviations above the mean from which on an amount is unusual.
FAR = 3
#: Hours of a slot of the day.
SLOT = 3 * HOUR
#: So many payments in so long are a burst.
BURST, BURST_TIME = 3, 10 * 60_000_000
_LIMB = 20  # bits


def customer_parts(payments: Payments) -> list[Callable[[], Features]]:
    """Compare each payment with what its customer did before: in parts, to be done at once."""
    runs = Runs(payments.customer, payments.at, rows=payments.wanted)
    before = runs.window(include_current=False)
    return [
        lambda: _amounts(payments, before),
        lambda: _velocity(payments, runs),
        lambda: _kinds(payments, before),
        lambda: _habits(payments, before),
    ]


def _amounts(payments: Payments, before: Window) -> Features:
    amounts = payments.amount
    amount, earlier = amounts.money(amounts.units[payments.wanted]), before.count()
    total = amounts.money(before.sum(amounts.units))
    mean, deviation = ratio(total, earlier), _deviation(payments, before)
    highest = _of(amounts.money(highest_so_far(payments.customer, amounts.units)), before.last())
    unusual = amount > mean + FAR * deviation
    return {
        "amount_normalized": ratio(amount, mean),
        "amount_zscore": ratio(amount - mean, deviation),
        "amount_deviation_from_mean": amount - mean,
        "amount_percentile": ratio(
            lower_before(payments.customer, amounts.units)[payments.wanted], earlier
        ),
        "amount_to_max_ratio": ratio(amount, highest),
        "unusual_amount": np.where(earlier >= HABIT, unusual, -1),
        "customer_lifetime_value": total,
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": highest,
        "customer_transaction_count": earlier,
    }


def _deviation(payments: Payments, before: Window) -> Floats:
    """Compute the standard deviation of earlier amounts (n - 1), NaN of less than two.

    Of differences to the customer's first amount, so that no digits cancel. Their squares are added
    up in pieces of 20 bits, exactly: in floating point, other rows would show in the last digits.
    """
    amounts, first = payments.amount, first_of_each(payments.customer)
    cents = amounts.units // (amounts.per // 100)
    off = cents - cents[first]
    high, low = np.divmod(np.abs(off), 1 << _LIMB)
    squares = (
        before.sum(high * high) * 2.0 ** (2 * _LIMB)
        + before.sum(high * low) * 2.0 ** (_LIMB + 1)
        + before.sum(low * low)
    )
    deviation = _spread(squares, off, before) / 100
    if amounts.per == 100:
        return deviation
    # Only where an earlier amount is not of whole cents: others' decimals show in no last digit.
    off = amounts.units - amounts.units[first]
    rest, low = np.divmod(np.abs(off), 1 << _LIMB)
    high, middle = np.divmod(rest, 1 << _LIMB)
    squares = (
        before.sum(high * high) * 2.0 ** (4 * _LIMB)
        + before.sum(high * middle) * 2.0 ** (3 * _LIMB + 1)
        + before.sum(2 * high * low + middle * middle) * 2.0 ** (2 * _LIMB)
        + before.sum(middle * low) * 2.0 ** (_LIMB + 1)
        + before.sum(low * low)
    )
    finer = _spread(squares, off, before) / amounts.per
    return np.where(before.sum(amounts.fine) > 0, finer, deviation)


def _spread(squares: Floats | Integers, off: Integers, before: Window) -> Floats:
    """Compute the standard deviation from a sum of squares and the values."""
    count, sums = before.count(), before.sum(off).astype(np.float64)
    spread = squares - ratio(sums * sums, count)
    return np.sqrt(np.maximum(ratio(spread, np.maximum(count - 1, 0)), 0))


def _velocity(payments: Payments, runs: Runs) -> Features:
    found: Features = {"is_burst": runs.window(BURST_TIME).count() >= BURST}
    for name, length in VELOCITY.items():
        window = runs.window(length)
        count, spent = window.count(), window.sum(payments.amount.units)
        found[f"tx_velocity_{name}"] = count
        found[f"amount_velocity_{name}"] = payments.amount.money(spent)
        if name in MEANS:
            found[f"avg_amount_{name}"] = payments.amount.money(spent, count)
        if name in MERCHANTS:
            found[f"distinct_merchants_{name}"] = window.distinct(payments.merchant)
        if name == COUNTRIES:
            countries = window.distinct(payments.country)
            found[f"distinct_countries_{name}"] = np.where(countries > 0, countries, -1)
    return found


def _kinds(payments: Payments, before: Window) -> Features:
    return {
        "unusual_time": _unusual(payments, payments.at % DAY // SLOT, before),
        "unusual_merchant": _unusual(payments, payments.category, before),
        "is_new_country": _new(payments, payments.country),
        "is_new_device": _new(payments, payments.device),
        "customer_prior_fraud_count": _known_frauds(payments),
    }


def _habits(payments: Payments, before: Window) -> Features:
    number = np.arange(len(payments.at))
    pair = pairs(payments.customer, payments.merchant)
    new_merchant = first_of_each(pair) == number
    days = payments.at // DAY
    new_day = first_of_each(pairs(payments.customer, days - days.min(initial=0))) == number
    earlier, at = before.count(), payments.at[payments.wanted]
    last, first = (_of(payments.at, rows) for rows in (before.last(), before.first()))
    since_first = (at - first) / DAY
    since_signup = at.astype("M8[us]") - payments.signup[payments.wanted]
    same = Runs(pair, payments.at, rows=payments.wanted).window(include_current=False)
    return {
        "is_new_merchant": new_merchant[payments.wanted],
        "customer_transaction_frequency": earlier / np.maximum(since_first, 1),
        "customer_active_days": before.sum(new_day),
        "customer_merchant_diversity": ratio(before.sum(new_merchant), earlier),
        "time_since_last_normalized": ratio(
            at - last, ratio(last - first, np.maximum(earlier - 1, 0))
        ),
        "time_since_signup": since_signup / np.timedelta64(DAY, "us"),
        "time_since_first_transaction": since_first,
        "time_since_last_same_merchant": (at - _of(payments.at, same.last())) / DAY,
    }


def _of(values: NDArray[np.int64] | Floats, rows: Integers) -> Floats:
    """Take values of other rows, NaN where there is none."""
    found = np.full(len(rows), np.nan)
    some = rows >= 0
    found[some] = values[rows[some]]
    return found


def _unusual(payments: Payments, kinds: Integers, before: Window) -> Integers:
    """Whether few of the customer's earlier payments were of this kind; -1 where that is open."""
    earlier, alike = before.sum(kinds >= 0), _alike(payments, kinds)
    open_ = (kinds[payments.wanted] < 0) | (earlier < HABIT)
    return np.where(open_, -1, RARE * alike < earlier)


def _new(payments: Payments, kinds: Integers) -> Integers:
    """Whether none of the customer's earlier payments was of this kind; -1 where it has none."""
    return np.where(kinds[payments.wanted] < 0, -1, _alike(payments, kinds) == 0)


def _alike(payments: Payments, kinds: Integers) -> Integers:
    """Count the customer's earlier payments of the same kind."""
    known = kinds >= 0
    if not known.any():
        return np.zeros(int(payments.wanted.sum()), np.int64)
    keys = pairs(payments.customer, kinds)
    runs = Runs(keys, payments.at, counted=known, rows=payments.wanted)
    return runs.window(include_current=False).count()


def _known_frauds(payments: Payments) -> Integers:
    """Count the frauds among the earlier payments whose label is known; -1 if that is of none."""
    runs = Runs(
        payments.customer,
        payments.at,
        known_at=payments.known_at,
        counted=payments.fraud >= 0,
        rows=payments.wanted,
    )
    known = runs.window(include_current=False)
    return np.where(known.count() > 0, known.sum(payments.fraud == 1), -1)
