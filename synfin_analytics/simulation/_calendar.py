"""The days of the period: weekdays, months, public holidays."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Easter

from synfin_analytics.simulation._places import COUNTRIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._random import Floats, Integers, Mask

#: Weights of the weekdays, from Monday, and of the months, for the number of payments.
_WEEKDAYS = np.array([0.92, 0.94, 0.98, 1.05, 1.2, 1.22, 0.78])
_MONTHS = np.array([0.93, 0.93, 0.97, 1, 1, 1.02, 1, 0.97, 1, 1, 1.05, 1.2])
#: Salaries are paid at the end of a month.
_PAYDAY, _PAYDAYS = 1.12, (26, 27, 28, 29, 30, 31, 1, 2)
#: Public holidays: month and day, and days after Easter Sunday.
_FIXED = {
    "BE": ((1, 1), (5, 1), (7, 21), (8, 15), (11, 1), (11, 11), (12, 25)),
    "DE": ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26)),
    "FR": ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)),
    "LU": ((1, 1), (5, 1), (5, 9), (6, 23), (8, 15), (11, 1), (12, 25), (12, 26)),
    "NL": ((1, 1), (4, 27), (12, 25), (12, 26)),
}
_AFTER_EASTER = (1, 39, 50)


@dataclass(frozen=True)
class Calendar:
    """Properties of each day of the period."""

    start: dt.date
    #: 0 is Monday.
    weekday: Integers
    #: 1 to 12.
    month: Integers
    day_of_month: Integers
    #: For each country where customers live: whether it is a public holiday.
    holiday: Mask

    def __len__(self) -> int:
        return len(self.weekday)

    @classmethod
    def build(cls, start: dt.date, days: int) -> Calendar:
        """Build the calendar of a number of days from ``start``."""
        day = np.datetime64(start, "D") + np.arange(days)
        month = day.astype("M8[M]")
        return cls(
            start=start,
            weekday=(day.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
            month=month.astype(np.int64) % 12 + 1,
            day_of_month=(day - month.astype("M8[D]")).astype(np.int64) + 1,
            holiday=np.array([holidays(country, start, days) for country in COUNTRIES]),
        )

    def payment_weights(self) -> Floats:
        """Return the weight of each day for the number of payments, by country; about 1."""
        weight = _WEEKDAYS[self.weekday] * _MONTHS[self.month - 1]
        weight = weight * np.where(np.isin(self.day_of_month, _PAYDAYS), _PAYDAY, 1)
        weights: Floats = np.where(self.holiday, 0.75 * weight, weight)
        return weights

    def day_kind(self, country: Integers, day: Integers) -> Integers:
        """Return 0 for a working day, 1 for a Saturday, 2 for a Sunday or a holiday."""
        weekday = self.weekday[day]
        is_free = (weekday == 6) | self.holiday[country, day]
        return np.where(is_free, 2, (weekday == 5).astype(np.int64))


def holidays(country: str, first: dt.date, days: int) -> NDArray[np.bool_]:
    """Whether each day from ``first`` is a public holiday.

    Examples
    --------
    >>> holidays("BE", dt.date(2025, 4, 20), 3)  # Easter Sunday, and Monday
    array([False,  True, False])
    """
    last = first + dt.timedelta(days=days - 1)
    dates = set()
    for year in range(first.year, last.year + 1):
        easter = (pd.Timestamp(year, 1, 1) + Easter()).date()
        dates |= {easter + dt.timedelta(days=after) for after in _AFTER_EASTER}
        dates |= {dt.date(year, month, day) for month, day in _FIXED[country]}
    return np.array([first + dt.timedelta(days=day) in dates for day in range(days)])
