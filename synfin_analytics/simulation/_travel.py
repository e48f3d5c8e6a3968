"""Where each customer is on each day: at home, in another city, or on a trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import PERSONAS
from synfin_analytics.simulation._places import ABROAD, CITIES, HOME, distances
from synfin_analytics.simulation._random import RandomStream, choose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._calendar import Calendar
    from synfin_analytics.simulation._customers import Customers
    from synfin_analytics.simulation._random import Integers, Mask
    from synfin_analytics.simulation.anomalies import HolidayTravel

#: Weights of the months for trips.
_TRIP_MONTHS = np.array([0.6, 0.8, 0.7, 1.1, 1.1, 1.2, 2.4, 2.2, 1.0, 0.8, 0.5, 1.0])
#: Share of the customers who spend a weekday in another city.
_DAY_TRIPS = np.array([0.03, 0.03, 0.03, 0.03, 0.04, 0.1, 0.09])
_MAX_TRIPS = 8


@dataclass(frozen=True)
class Whereabouts:
    """City of each customer (row) on each day (column)."""

    city: NDArray[np.int16]
    #: Whether it is a day of a trip, or one between two places, on which nobody is in a shop.
    away: Mask
    between: Mask


def draw_whereabouts(
    rng: RandomStream,
    customers: Customers,
    calendar: Calendar,
    travel: HolidayTravel | None,
    has_merchants: Mask,
) -> Whereabouts:
    """Send customers on trips and day trips, to cities that have merchants."""
    n, days = len(customers), len(calendar)
    city = np.repeat(customers.home.astype(np.int16)[:, None], days, axis=1)
    nearby = np.flatnonzero(has_merchants[: len(HOME)])
    day_trips = np.flatnonzero(rng.bernoulli(n * days, np.tile(_DAY_TRIPS[calendar.weekday], n)))
    if len(nearby):
        city.ravel()[day_trips] = nearby[rng.integers(len(day_trips), 0, len(nearby) - 1)]
    away, between = np.zeros((n, days), np.bool_), np.zeros((n, days), np.bool_)
    weights = np.array([city.weight for city in ABROAD]) * has_merchants[len(HOME) : len(CITIES)]
    if travel is not None and weights.any():
        trips_of_persona = np.array([kind.trips for kind in PERSONAS])[customers.persona]
        season = _TRIP_MONTHS[calendar.month - 1]
        mean = trips_of_persona * travel.trips_per_year * season.cumsum()[-1] / 365 / 1.12
        count = np.minimum(rng.poisson(mean), _MAX_TRIPS)
        traveller = np.repeat(np.arange(n), count)
        first = choose(rng.uniform(len(traveller)), season)
        length = rng.integers(len(traveller), *travel.days)
        destination = len(HOME) + rng.choice(len(traveller), weights)
        _add_trips(city, away, between, (traveller, first, length, destination))
    return Whereabouts(city, away, between)


def _add_trips(
    city: NDArray[np.int16],
    away: Mask,
    between: Mask,
    trips: tuple[Integers, Integers, Integers, Integers],
) -> None:
    """Write trips into the arrays; of two that overlap, the later one is dropped."""
    traveller, first, length, destination = trips
    days = city.shape[1]
    order = np.lexsort((first, traveller))
    traveller, first, length, destination = (column[order] for column in trips)
    # Days are numbered across customers, so that one running maximum serves all of them.
    start = traveller * (4 * days) + first
    end = np.maximum.accumulate(start + np.minimum(length, days) + 2)
    kept = np.append(True, start[1:] > end[:-1]) if len(start) else np.zeros(0, np.bool_)
    traveller, first, length, destination = (
        column[kept] for column in (traveller, first, length, destination)
    )
    for day in range(-1, int(length.max(initial=0)) + 1):
        in_period = (day <= length) & (first + day >= 0) & (first + day < days)
        arrived = in_period & (day >= 0) & (day < length)
        on_the_way = in_period & ~arrived
        city[traveller[arrived], first[arrived] + day] = destination[arrived]
        away[traveller[arrived], first[arrived] + day] = True
        between[traveller[on_the_way], first[on_the_way] + day] = True


def is_far(city: Integers, other: Integers, km: float) -> Mask:
    """Whether cities are at least so many km from each other."""
    mask: Mask = distances()[city, other] >= km
    return mask
