"""Features of the customer's earlier payments: amounts, velocity, habits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.grouped import (
    DAY,
    HOUR,
    MINUTE,
    GroupedRolling,
    count_lower_before,
    cumulative_max,
    first_rows,
    pair_codes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from synfin_analytics._core.grouped import Window
    from synfin_analytics.features._calendar import Features
    from synfin_analytics.features._payments import Payments

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

_VELOCITY = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
_MEAN_WINDOWS = ("24h", "7d", "30d")
_MERCHANT_WINDOWS = ("24h", "7d")
_COUNTRY_WINDOW = "24h"
#: Earlier payments needed to call anything unusual.
_MIN_HISTORY = 10
#: Unusual is what makes up less than one in so many of them.
_RARE = 20
#: An unusual amount is so many standard deviations above the mean.
_DEVIATIONS = 3
#: Slots of the day.
_SLOT = 3 * HOUR
#: So many payments in so long are a burst.
_BURST_COUNT, _BURST_WINDOW = 3, 10 * MINUTE
#: Bits of the digits in which squares are summed.
_DIGIT = 20


def customer_feature_parts(payments: Payments) -> list[Callable[[], Features]]:
    """Compare each payment with its customer's earlier ones: in parts, to be computed in parallel.

    Returns
    -------
    list
        Functions without parameters, each of which returns some of the features.
    """
    rolling = GroupedRolling(payments.customer, payments.timestamp, selected=payments.selected)
    earlier = rolling.window(include_current=False)
    return [
        lambda: _amount_features(payments, earlier),
        lambda: _velocity_features(payments, rolling),
        lambda: _novelty_features(payments, earlier),
        lambda: _habit_features(payments, earlier),
    ]


def _amount_features(payments: Payments, earlier: Window) -> Features:
    amounts = payments.amount
    amount, count = amounts.to_money(amounts.units[payments.selected]), earlier.count()
    total = amounts.to_money(earlier.sum(amounts.units))
    mean, deviation = ratio(total, count), _standard_deviation(payments, earlier)
    highest = _take(
        amounts.to_money(cumulative_max(payments.customer, amounts.units)), earlier.last_row()
    )
    n_lower = count_lower_before(payments.customer, amounts.units)[payments.selected]
    unusual = amount > mean + _DEVIATIONS * deviation
    return {
        "amount_normalized": ratio(amount, mean),
        "amount_zscore": ratio(amount - mean, deviation),
        "amount_deviation_from_mean": amount - mean,
        "amount_percentile": ratio(n_lower, count),
        "amount_to_max_ratio": ratio(amount, highest),
        "unusual_amount": np.where(count >= _MIN_HISTORY, unusual, -1),
        "customer_lifetime_value": total,
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": highest,
        "customer_transaction_count": count,
    }


def _standard_deviation(payments: Payments, earlier: Window) -> Floats:
    """Compute the standard deviation of earlier amounts (n - 1); NaN for fewer than two.

    Amounts are taken relative to the customer's first one, so that no digits cancel. Their squares
    are summed in digits of 20 bits, exactly: in floating point, rows of other customers would
    change the last digits.
    """
    amounts, first = payments.amount, first_rows(payments.customer)
    cents = amounts.units // (amounts.units_per_one // 100)
    difference = cents - cents[first]
    high, low = np.divmod(np.abs(difference), 1 << _DIGIT)
    squares = (
        earlier.sum(high * high) * 2.0 ** (2 * _DIGIT)
        + earlier.sum(high * low) * 2.0 ** (_DIGIT + 1)
        + earlier.sum(low * low)
    )
    deviation = _deviation_from_squares(squares, difference, earlier) / 100
    if amounts.units_per_one == 100:
        return deviation
    # Only where an earlier amount has fractional cents, so that the decimals of one customer do not
    # change the last digits of another.
    difference = amounts.units - amounts.units[first]
    rest, low = np.divmod(np.abs(difference), 1 << _DIGIT)
    high, middle = np.divmod(rest, 1 << _DIGIT)
    squares = (
        earlier.sum(high * high) * 2.0 ** (4 * _DIGIT)
        + earlier.sum(high * middle) * 2.0 ** (3 * _DIGIT + 1)
        + earlier.sum(2 * high * low + middle * middle) * 2.0 ** (2 * _DIGIT)
        + earlier.sum(middle * low) * 2.0 ** (_DIGIT + 1)
        + earlier.sum(low * low)
    )
    exact = _deviation_from_squares(squares, difference, earlier) / amounts.units_per_one
    return np.where(earlier.sum(amounts.has_fractional_cents) > 0, exact, deviation)


def _deviation_from_squares(
    squares: Floats | Integers, values: Integers, earlier: Window
) -> Floats:
    """Compute the standard deviation from the sum of squares and the values."""
    count, sums = earlier.count(), earlier.sum(values).astype(np.float64)
    deviations = squares - ratio(sums * sums, count)
    variance = ratio(deviations, np.maximum(count - 1, 0))
    return np.sqrt(np.maximum(variance, 0))


def _velocity_features(payments: Payments, rolling: GroupedRolling) -> Features:
    features: Features = {"is_burst": rolling.window(_BURST_WINDOW).count() >= _BURST_COUNT}
    for name, length in _VELOCITY.items():
        window = rolling.window(length)
        count, total = window.count(), window.sum(payments.amount.units)
        features[f"tx_velocity_{name}"] = count
        features[f"amount_velocity_{name}"] = payments.amount.to_money(total)
        if name in _MEAN_WINDOWS:
            features[f"avg_amount_{name}"] = payments.amount.to_money(total, count)
        if name in _MERCHANT_WINDOWS:
            features[f"distinct_merchants_{name}"] = window.n_unique(payments.merchant)
        if name == _COUNTRY_WINDOW:
            n_countries = window.n_unique(payments.country)
            features[f"distinct_countries_{name}"] = np.where(n_countries > 0, n_countries, -1)
    return features


def _novelty_features(payments: Payments, earlier: Window) -> Features:
    slot = payments.timestamp % DAY // _SLOT
    return {
        "unusual_time": _is_rare(payments, slot, earlier),
        "unusual_merchant": _is_rare(payments, payments.category, earlier),
        "is_new_country": _is_new(payments, payments.country),
        "is_new_device": _is_new(payments, payments.device),
        "customer_prior_fraud_count": _known_frauds(payments),
    }


def _habit_features(payments: Payments, earlier: Window) -> Features:
    row_number = np.arange(len(payments.timestamp))
    customer_merchant = pair_codes(payments.customer, payments.merchant)
    new_merchant = first_rows(customer_merchant) == row_number
    day = payments.timestamp // DAY
    customer_day = pair_codes(payments.customer, day - day.min(initial=0))
    new_day = first_rows(customer_day) == row_number
    count, timestamp = earlier.count(), payments.timestamp[payments.selected]
    last, first = (
        _take(payments.timestamp, rows) for rows in (earlier.last_row(), earlier.first_row())
    )
    days_since_first = (timestamp - first) / DAY
    since_signup = timestamp.astype("M8[us]") - payments.account_created[payments.selected]
    same_merchant = GroupedRolling(
        customer_merchant, payments.timestamp, selected=payments.selected
    ).window(include_current=False)
    mean_gap = ratio(last - first, np.maximum(count - 1, 0))
    return {
        "is_new_merchant": new_merchant[payments.selected],
        "customer_transaction_frequency": count / np.maximum(days_since_first, 1),
        "customer_active_days": earlier.sum(new_day),
        "customer_merchant_diversity": ratio(earlier.sum(new_merchant), count),
        "time_since_last_normalized": ratio(timestamp - last, mean_gap),
        "time_since_signup": since_signup / np.timedelta64(DAY, "us"),
        "time_since_first_transaction": days_since_first,
        "time_since_last_same_merchant": (
            timestamp - _take(payments.timestamp, same_merchant.last_row())
        )
        / DAY,
    }


def _take(values: Integers | Floats, rows: Integers) -> Floats:
    """Return values of other rows, NaN where there is none."""
    taken = np.full(len(rows), np.nan)
    exists = rows >= 0
    taken[exists] = values[rows[exists]]
    return taken


def _is_rare(payments: Payments, codes: Integers, earlier: Window) -> Integers:
    """Whether few of the customer's earlier payments have the same code; -1 where undefined."""
    count, same = earlier.sum(codes >= 0), _count_same(payments, codes)
    undefined = (codes[payments.selected] < 0) | (count < _MIN_HISTORY)
    return np.where(undefined, -1, _RARE * same < count)


def _is_new(payments: Payments, codes: Integers) -> Integers:
    """Whether none of the customer's earlier payments has the same code; -1 where missing."""
    return np.where(codes[payments.selected] < 0, -1, _count_same(payments, codes) == 0)


def _count_same(payments: Payments, codes: Integers) -> Integers:
    """Count the customer's earlier payments with the same code."""
    present = codes >= 0
    if not present.any():
        return np.zeros(int(payments.selected.sum()), np.int64)
    rolling = GroupedRolling(
        pair_codes(payments.customer, codes),
        payments.timestamp,
        counted=present,
        selected=payments.selected,
    )
    return rolling.window(include_current=False).count()


def _known_frauds(payments: Payments) -> Integers:
    """Count the frauds among the earlier payments with known labels; -1 if no label is known."""
    rolling = GroupedRolling(
        payments.customer,
        payments.timestamp,
        available_at=payments.label_available_at,
        counted=payments.is_fraud >= 0,
        selected=payments.selected,
    )
    known_labels = rolling.window(include_current=False)
    return np.where(known_labels.count() > 0, known_labels.sum(payments.is_fraud == 1), -1)
