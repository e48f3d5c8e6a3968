"""Features of the row alone, its time and its amount: no history is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.grouped import DAY, HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.features._payments import Payments

    #: By feature, a value for each selected row; missing ones are NaN, or -1 where values are
    #: counts or booleans.
    Features = dict[str, NDArray[Any]]

SATURDAY = 5
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday; 0 is Monday
#: A round amount is a multiple of this.
_ROUND = 10
_NIGHT_END = 6
_OPENING, _CLOSING = 9, 17


def hour_of_day(timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the hour of the day (UTC) of microseconds since 1970."""
    return timestamps % DAY // HOUR


def day_of_week(timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the day of the week (UTC) of microseconds since 1970; 0 is Monday."""
    return (timestamps // DAY + _FIRST_WEEKDAY) % 7


def calendar_features(payments: Payments) -> Features:
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
