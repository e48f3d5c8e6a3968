"""Features of the row alone, its moment and its amount: no history is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.rolling import DAY, HOUR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.features.payments import Payments

    #: By feature, a value for each row that is wanted; unknown ones are NaN, or -1 where values
    #: are counts or truth values.
    Features = dict[str, NDArray[Any]]

SATURDAY = 5
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday; 0 is Monday
#: A round amount is a multiple of this.
ROUND = 10
NIGHT = range(6)
BUSINESS_HOURS = range(9, 17)


def hour_of(at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hour of the day (UTC) of microseconds since 1970."""
    return at % DAY // HOUR


def weekday_of(at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Day of the week (UTC) of microseconds since 1970; 0 is Monday."""
    return (at // DAY + _FIRST_WEEKDAY) % 7


def moment_features(payments: Payments) -> Features:
    """Describe each payment's amount, and where in day, week and year (UTC) it lies."""
    at, amounts = payments.at[payments.wanted], payments.amount[payments.wanted]
    hour, weekday = hour_of(at), weekday_of(at)
    month = at.astype("M8[us]").astype("M8[M]").astype(np.int64) % 12
    weekend = weekday >= SATURDAY
    time = 2 * np.pi * (at % DAY / DAY)
    week, year = (2 * np.pi * np.arange(steps) / steps for steps in (7, 12))
    return {
        "amount_log": np.log1p(amounts.money(amounts.units)),
        "amount_is_round": (amounts.units % (ROUND * amounts.per) == 0) & (amounts.units > 0),
        "hour_sin": np.sin(time),
        "hour_cos": np.cos(time),
        "day_sin": np.sin(week)[weekday],
        "day_cos": np.cos(week)[weekday],
        "month_sin": np.sin(year)[month],
        "month_cos": np.cos(year)[month],
        "is_weekend": weekend,
        "is_night": hour < NIGHT.stop,
        "is_holiday": payments.holiday[payments.wanted],
        "is_business_hours": (hour >= BUSINESS_HOURS.start)
        & (hour < BUSINESS_HOURS.stop)
        & ~weekend,
    }
