"""How each of the 69 features is computed: from the row, its customer, its merchant, its place."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synfin_analytics._core.arithmetic import EARTH_RADIUS_KM, great_circle_km, ratio, unit_vectors
from synfin_analytics._core.grouped import (
    DAY,
    HOUR,
    MINUTE,
    GroupedRolling,
    pair_codes,
)
from synfin_analytics._core.running import count_lower_before, cumulative_max, first_rows
from synfin_analytics._core.threads import run_in_threads
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import MLFeatures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.grouped import Window
    from synfin_analytics._core.types import Floats, Integers, Mask
    from synfin_analytics.features._payments import History, Payments

    #: By feature, a value for each selected row; missing ones are NaN, or -1 where values are
    #: counts or booleans.
    Features = dict[str, NDArray[Any]]

#: Names of the features, in the order of the table.
FEATURES = tuple(MLFeatures.feature_names())
_ARROW_TYPES = {"number": pa.float64(), "integer": pa.int32(), "boolean": pa.bool_()}
#: Earlier payments, or places, needed to call one unusual.
_MIN_HISTORY = 10


def compute_features(payments: Payments, order: Integers) -> dict[str, pa.Array]:
    """Compute all features; see :func:`compute_parts`."""
    parts = customer_parts(payments)
    return compute_parts(
        [*parts, lambda: merchant_features(payments, time_order=payments.time_order)], order
    )


def compute_parts(parts: Sequence[Callable[[], Features]], order: Integers) -> dict[str, pa.Array]:
    """Compute parts of the features, several at the same time.

    Parameters
    ----------
    parts
        Functions that return some of the features.
    order
        Positions of the selected payments in the order of the result.

    Returns
    -------
    dict
        Features in the types of the table, NULL where missing.
    """
    results = run_in_threads([partial(_compute_part, part, order) for part in parts])
    return {name: values for result in results for name, values in result.items()}


def _compute_part(part: Callable[[], Features], order: Integers) -> dict[str, pa.Array]:
    return _to_arrow(part(), order)


def _to_arrow(features: Features, order: Integers) -> dict[str, pa.Array]:
    columns, arrays = spec_of(MLFeatures).columns, {}
    for name, values in features.items():
        ordered, kind = values[order], columns[name].kind
        missing = np.isnan(ordered) if kind == "number" else ordered < 0
        if kind == "boolean":
            ordered = ordered == 1
        arrays[name] = pa.array(ordered, _ARROW_TYPES[kind], mask=missing)
    return arrays


#: The features that depend on payments at the same merchant; the others on those of the customer.
MERCHANT_FEATURES = frozenset(
    {
        "amount_to_merchant_avg_ratio",
        "merchant_avg_amount",
        "merchant_transaction_count",
        "merchant_fraud_rate",
        *(
            f"merchant_{name}_{window}"
            for name in ("tx_count", "fraud_rate")
            for window in ("1d", "7d", "30d")
        ),
    }
)


def feature_types() -> dict[str, pa.DataType]:
    """Return the Arrow types of the features."""
    columns = spec_of(MLFeatures).columns
    return {name: _ARROW_TYPES[columns[name].kind] for name in FEATURES}


def customer_parts(payments: Payments) -> list[Callable[[], Features]]:
    """Return functions for the features that depend on payments of the same customer only."""
    rolling = payments.rolling(payments.customer)
    earlier = rolling.window(include_current=False)
    return [
        lambda: _amount_features(payments, earlier),
        lambda: _velocity_features(payments, rolling),
        lambda: _novelty_features(payments, earlier),
        lambda: _habit_features(payments, earlier),
        lambda: _location_features(payments),
        lambda: _calendar_features(payments),
    ]


# -- The row alone: its time and its amount --------------------------------------------------------

SATURDAY = 5
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday; 0 is Monday
#: A round amount is a multiple of this.
_ROUND = 10
_NIGHT_END = 6
_OPENING, _CLOSING = 9, 17


def hour_of_day(timestamps: Integers) -> Integers:
    """Return the hour of the day (UTC) of microseconds since 1970."""
    return timestamps % DAY // HOUR


def day_of_week(timestamps: Integers) -> Integers:
    """Return the day of the week (UTC) of microseconds since 1970; 0 is Monday."""
    return (timestamps // DAY + _FIRST_WEEKDAY) % 7


def _calendar_features(payments: Payments) -> Features:
    """Describe each payment's amount, and its place in day, week and year (UTC)."""
    times = payments.timestamp[payments.selected]
    amounts = payments.amount[payments.selected]
    hour, weekday = hour_of_day(times), day_of_week(times)
    month = times.astype("M8[us]").astype("M8[M]").astype(np.int64) % 12
    weekend = weekday >= SATURDAY
    day_angle = 2 * np.pi * (times % DAY / DAY)
    week_angles, year_angles = (2 * np.pi * np.arange(steps) / steps for steps in (7, 12))
    whole_tens = amounts.units % (_ROUND * amounts.units_per_one) == 0
    return {
        "amount_log": np.log1p(amounts.to_money(amounts.units)),
        "amount_is_round": whole_tens & (amounts.units > 0),
        "hour_sin": np.sin(day_angle),
        "hour_cos": np.cos(day_angle),
        "day_sin": np.sin(week_angles)[weekday],
        "day_cos": np.cos(week_angles)[weekday],
        "month_sin": np.sin(year_angles)[month],
        "month_cos": np.cos(year_angles)[month],
        "is_weekend": weekend,
        "is_night": hour < _NIGHT_END,
        "is_holiday": payments.holiday[payments.selected],
        "is_business_hours": (hour >= _OPENING) & (hour < _CLOSING) & ~weekend,
    }


# -- The customer's earlier payments: amounts, velocity, habits ------------------------------------

_VELOCITY = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
_MEAN_WINDOWS = ("24h", "7d", "30d")
_MERCHANT_WINDOWS = ("24h", "7d")
_COUNTRY_WINDOW = "24h"
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
    upper, low = np.divmod(np.abs(difference), 1 << _DIGIT)
    high, middle = np.divmod(upper, 1 << _DIGIT)
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
    same_merchant = payments.rolling(customer_merchant).window(include_current=False)
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
    result = np.full(len(rows), np.nan)
    exists = rows >= 0
    result[exists] = values[rows[exists]]
    return result


def _is_rare(payments: Payments, codes: Integers, earlier: Window) -> Integers:
    """Whether few of the customer's earlier payments have the same code; -1 where undefined."""
    count, n_same = earlier.sum(codes >= 0), _count_same(payments, codes)
    undefined = (codes[payments.selected] < 0) | (count < _MIN_HISTORY)
    return np.where(undefined, -1, _RARE * n_same < count)


def _is_new(payments: Payments, codes: Integers) -> Integers:
    """Whether none of the customer's earlier payments has the same code; -1 where missing."""
    return np.where(codes[payments.selected] < 0, -1, _count_same(payments, codes) == 0)


def _count_same(payments: Payments, codes: Integers) -> Integers:
    """Count the customer's earlier payments with the same code."""
    present = codes >= 0
    if not present.any():
        return np.zeros(int(payments.selected.sum()), np.int64)
    rolling = payments.rolling(pair_codes(payments.customer, codes), present)
    return rolling.window(include_current=False).count()


def _known_frauds(payments: Payments) -> Integers:
    """Count the frauds among the earlier payments with known labels; -1 if no label is known."""
    known_labels = payments.rolling_labels(payments.customer).window(include_current=False)
    return np.where(known_labels.count() > 0, known_labels.sum(payments.is_fraud == 1), -1)


# -- The merchant's earlier payments, and those of their labels that were known --------------------

_RISK_WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}


def merchant_features(history: History, *, time_order: Integers | None = None) -> Features:
    """Describe the merchant as known at the time of each payment.

    They depend on payments at the same merchant only.

    Parameters
    ----------
    history
        The payments, those of one timestamp in the order in which they count.
    time_order
        Positions in the order of time, unless the payments have that order.
    """
    amounts = history.amount
    amount = amounts.to_money(amounts.units[history.selected])
    rolling = history.rolling(history.merchant, time_order=time_order)
    labels = history.rolling_labels(history.merchant, time_order=time_order)
    earlier = rolling.window(include_current=False)
    known_labels = labels.window(include_current=False)
    mean = amounts.to_money(earlier.sum(amounts.units), earlier.count())
    features: Features = {
        "amount_to_merchant_avg_ratio": ratio(amount, mean),
        "merchant_avg_amount": mean,
        "merchant_transaction_count": earlier.count(),
        "merchant_fraud_rate": known_labels.mean(history.is_fraud == 1),
    }
    for name, length in _RISK_WINDOWS.items():
        features[f"merchant_tx_count_{name}"] = rolling.window(length).count()
        known_labels = labels.window(length, include_current=False)
        features[f"merchant_fraud_rate_{name}"] = known_labels.mean(history.is_fraud == 1)
    return features


# -- The place: distances from home, the last place and the usual area -----------------------------

#: Faster than an airliner, over a distance of more than so many km.
_MAX_SPEED_KMH, _FAR_KM = 900, 50
#: Timestamps may be of the minute: payments closer in time count as one minute apart.
_MIN_TIME = MINUTE
#: A place is unusual from so many times the spread of the earlier ones.
_SPREADS = 3
#: Coordinates on the unit sphere are summed in units of about 6 micrometres.
_ON_SPHERE = 2.0**40
_PLACE_NUMBERS = (
    "distance_normalized",
    "distance_from_last_normalized",
    "travel_speed_kmh",
    "distance_from_usual",
)
_PLACE_BOOLEANS = ("impossible_travel", "unusual_location")
_MILLIMETRES = 1_000_000  # in a km


def _location_features(payments: Payments) -> Features:
    """Compare the place of each payment with the earlier ones."""
    selected, place = payments.selected, (payments.latitude, payments.longitude)
    distances = (payments.distance_from_home, payments.distance_from_last)
    if all(np.isnan(column).all() for column in (*place, *distances)):
        n_rows = int(selected.sum())
        missing = dict.fromkeys(_PLACE_NUMBERS, np.full(n_rows, np.nan))
        return missing | dict.fromkeys(_PLACE_BOOLEANS, -np.ones(n_rows))
    has_place = ~np.isnan(payments.latitude)
    last = (
        GroupedRolling(payments.customer, payments.timestamp, counted=has_place)
        .window(include_current=False)
        .last_row()
    )
    has_last = last >= 0
    moved = np.full(len(last), np.nan)
    last_place = (degrees[last[has_last]] for degrees in place)
    moved[has_last] = great_circle_km(*last_place, *(degrees[has_last] for degrees in place))
    hours = np.maximum(payments.timestamp - payments.timestamp[last], _MIN_TIME) / HOUR
    speed = np.where(has_last, moved / hours, np.nan)[selected]
    home = (payments.home_latitude, payments.home_longitude)
    from_home = _fill_missing(payments.distance_from_home, great_circle_km(*home, *place))
    from_last = _fill_missing(payments.distance_from_last, moved)
    too_fast = (speed > _MAX_SPEED_KMH) & (moved[selected] > _FAR_KM)
    return {
        "distance_normalized": _relative_to_mean(payments, from_home),
        "distance_from_last_normalized": _relative_to_mean(payments, from_last),
        "travel_speed_kmh": speed,
        "impossible_travel": np.where(np.isnan(speed), -1, too_fast),
        **_usual_area(payments, has_place),
    }


def _fill_missing(values: Floats, computed: Floats) -> Floats:
    return np.where(np.isnan(values), computed, values)


def _relative_to_mean(payments: Payments, km: Floats) -> Floats:
    """Divide distances by the mean of the customer's earlier ones plus one km, which is never 0."""
    present = ~np.isnan(km)
    millimetres = np.rint(np.where(present, km, 0) * _MILLIMETRES).astype(np.int64)
    earlier = payments.rolling(payments.customer, present).window(include_current=False)
    mean_km = earlier.mean(millimetres) / _MILLIMETRES
    return km[payments.selected] / (1 + mean_km)


def _usual_area(payments: Payments, has_place: Mask) -> Features:
    """Return the distance from the centre of the customer's earlier places, and if it is unusual.

    The mean of points on the unit sphere lies below its surface, the deeper the wider they are
    spread: 1 - |mean|**2 is their mean squared distance from it.
    """
    earlier = payments.rolling(payments.customer, has_place).window(include_current=False)
    count = earlier.count()
    points = unit_vectors(payments.latitude, payments.longitude)
    units = (np.rint(np.where(has_place, axis, 0) * _ON_SPHERE).astype(np.int64) for axis in points)
    x, y, z = (ratio(earlier.sum(axis), count) / _ON_SPHERE for axis in units)
    centre = np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))
    place = payments.latitude[payments.selected], payments.longitude[payments.selected]
    km = great_circle_km(*centre, *place)
    spread = EARTH_RADIUS_KM * np.sqrt(np.maximum(1 - (x * x + y * y + z * z), 0))
    undefined = np.isnan(km) | (count < _MIN_HISTORY)
    unusual = km > np.maximum(_FAR_KM, _SPREADS * spread)
    return {"distance_from_usual": km, "unusual_location": np.where(undefined, -1, unusual)}
