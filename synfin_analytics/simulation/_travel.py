"""Where each customer is on each day: at home, for a day elsewhere, or on a journey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import PERSONAS
from synfin_analytics.simulation._places import (
    ABROAD,
    CITIES,
    COUNTRIES,
    HOME,
    distances,
    holidays,
)
from synfin_analytics.simulation._random import Draws, chosen

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from synfin_analytics.simulation._anomalies import HolidayTravel
    from synfin_analytics.simulation._people import People
    from synfin_analytics.simulation._random import Floats, Integers, Mask

#: Weight of each weekday from Monday, and of each month, for how much is paid.
_WEEKDAYS = np.array([0.92, 0.94, 0.98, 1.05, 1.2, 1.22, 0.78])
_MONTHS = np.array([0.93, 0.93, 0.97, 1, 1, 1.02, 1, 0.97, 1, 1, 1.05, 1.2])
#: Salaries come at the end of a month.
_PAYDAY, _PAYDAYS = 1.12, (26, 27, 28, 29, 30, 31, 1, 2)
#: Weight of each month for journeys.
_TRAVEL = np.array([0.6, 0.8, 0.7, 1.1, 1.1, 1.2, 2.4, 2.2, 1.0, 0.8, 0.5, 1.0])
_DAY_TRIPS = np.array([0.03, 0.03, 0.03, 0.03, 0.04, 0.1, 0.09])


@dataclass(frozen=True)
class Calendar:
    """Properties of each day of the period."""

    start: dt.date
    #: 0 is Monday.
    weekday: Integers
    #: 1 to 12.
    month: Integers
    day_of_month: Integers
    #: For each country where customers live: whether shops are closed.
    holiday: Mask

    def __len__(self) -> int:
        return len(self.weekday)

    @classmethod
    def of(cls, start: dt.date, days: int) -> Calendar:
        """Days from ``start`` on."""
        day = np.datetime64(start, "D") + np.arange(days)
        month = day.astype("M8[M]")
        return cls(
            start=start,
            weekday=(day.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
            month=month.astype(np.int64) % 12 + 1,
            day_of_month=(day - month.astype("M8[D]")).astype(np.int64) + 1,
            holiday=np.array([holidays(country, start, days) for country in COUNTRIES]),
        )

    def rhythm(self) -> Floats:
        """Weight of each day for how much is paid, in each country; about 1."""
        weight = _WEEKDAYS[self.weekday] * _MONTHS[self.month - 1]
        weight = weight * np.where(np.isin(self.day_of_month, _PAYDAYS), _PAYDAY, 1)
        found: Floats = np.where(self.holiday, 0.75 * weight, weight)
        return found

    def kind(self, country: Integers, day: Integers) -> Integers:
        """0 for a working day, 1 for a Saturday, 2 for a Sunday or a holiday."""
        weekday = self.weekday[day]
        free = (weekday == 6) | self.holiday[country, day]
        return np.where(free, 2, (weekday == 5).astype(np.int64))


@dataclass(frozen=True)
class Whereabouts:
    """City of each customer on each day, and whether that is a journey."""

    city: NDArray[np.int16]
    #: On a journey, or between two places: nothing is bought in shops then.
    away: Mask
    between: Mask


def whereabouts(
    draws: Draws,
    people: People,
    calendar: Calendar,
    travel: HolidayTravel | None,
    open_cities: Mask,
) -> Whereabouts:
    """Send customers on journeys and on trips of a day, to cities that have shops."""
    n, days = len(people), len(calendar)
    city = np.repeat(people.home.astype(np.int16)[:, None], days, axis=1)
    near = np.flatnonzero(open_cities[: len(HOME)])
    trip = draws.chance(n * days, np.tile(_DAY_TRIPS[calendar.weekday], n))
    where = np.flatnonzero(trip)
    if len(near):
        city.ravel()[where] = near[draws.whole(len(where), 0, len(near) - 1)]
    away, between = np.zeros((n, days), np.bool_), np.zeros((n, days), np.bool_)
    weights = np.array([one.weight for one in ABROAD]) * open_cities[len(HOME) : len(CITIES)]
    if travel is not None and weights.any():
        often = np.array([one.journeys for one in PERSONAS])[people.persona]
        season = _TRAVEL[calendar.month - 1]
        mean = often * travel.journeys_per_year * season.cumsum()[-1] / 365 / 1.12
        count = np.minimum(draws.poisson(mean), 8)
        who = np.repeat(np.arange(n), count)
        first = chosen(draws.uniform(len(who)), season)
        length = draws.whole(len(who), *travel.days)
        to = len(HOME) + draws.pick(len(who), weights)
        _travel(city, away, between, (who, first, length, to))
    return Whereabouts(city, away, between)


def _travel(
    city: NDArray[np.int16],
    away: Mask,
    between: Mask,
    journeys: tuple[Integers, Integers, Integers, Integers],
) -> None:
    """Write journeys over what is there; of two that meet the later one gives way."""
    who, first, length, to = journeys
    days = city.shape[1]
    order = np.lexsort((first, who))
    who, first, length, to = (each[order] for each in journeys)
    # Days are counted on from customer to customer, so that one running maximum does for all.
    begin = who * (4 * days) + first
    end = np.maximum.accumulate(begin + np.minimum(length, days) + 2)
    kept = np.append(True, begin[1:] > end[:-1]) if len(who) else np.zeros(0, np.bool_)
    who, first, length, to = who[kept], first[kept], length[kept], to[kept]
    for day in range(-1, int(length.max(initial=0)) + 1):
        on = (day <= length) & (first + day >= 0) & (first + day < days)
        there = on & (day >= 0) & (day < length)
        on_the_way = on & ~there
        city[who[there], first[there] + day] = to[there]
        away[who[there], first[there] + day] = True
        between[who[on_the_way], first[on_the_way] + day] = True


def far(city: Integers, other: Integers, km: float) -> Mask:
    """Say whether cities are at least so far from each other."""
    found: Mask = distances()[city, other] >= km
    return found
