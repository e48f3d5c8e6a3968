"""Where people of the simulated world live, and where they travel."""

from __future__ import annotations

import datetime as dt
import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Easter

from synfin_analytics._core.geography import great_circle_km


class City(NamedTuple):
    """A city; ``weight`` is how many live there, or go there."""

    name: str
    state: str
    country: str
    zip_code: str
    latitude: float
    longitude: float
    weight: float


#: Where customers live: Belgium, and what lies around it. The first ones exist in every world.
HOME = (
    City("Brussels", "Brussels", "BE", "1000", 50.85, 4.35, 24),
    City("Antwerp", "Flanders", "BE", "2000", 51.22, 4.40, 16),
    City("Liège", "Wallonia", "BE", "4000", 50.63, 5.57, 9),
    City("Ghent", "Flanders", "BE", "9000", 51.05, 3.72, 10),
    City("Charleroi", "Wallonia", "BE", "6000", 50.41, 4.44, 7),
    City("Lille", "Hauts-de-France", "FR", "59000", 50.63, 3.06, 6),
    City("Leuven", "Flanders", "BE", "3000", 50.88, 4.70, 5),
    City("Bruges", "Flanders", "BE", "8000", 51.21, 3.22, 5),
    City("Namur", "Wallonia", "BE", "5000", 50.47, 4.87, 4),
    City("Maastricht", "Limburg", "NL", "6211", 50.85, 5.69, 3),
    City("Luxembourg", "Luxembourg", "LU", "1009", 49.61, 6.13, 4),
    City("Aachen", "North Rhine-Westphalia", "DE", "52062", 50.78, 6.08, 3),
    City("Eindhoven", "North Brabant", "NL", "5611", 51.44, 5.48, 2),
    City("Cologne", "North Rhine-Westphalia", "DE", "50667", 50.94, 6.96, 2),
)
#: Where they travel.
ABROAD = (
    City("Barcelona", "Catalonia", "ES", "08001", 41.39, 2.17, 12),
    City("New York", "New York", "US", "10001", 40.71, -74.01, 5),
    City("Rome", "Lazio", "IT", "00118", 41.90, 12.50, 9),
    City("London", "England", "GB", "EC1A", 51.51, -0.13, 10),
    City("Palma", "Balearic Islands", "ES", "07001", 39.57, 2.65, 11),
    City("Nice", "Provence-Alpes-Côte d'Azur", "FR", "06000", 43.70, 7.27, 12),
    City("Istanbul", "Istanbul", "TR", "34000", 41.01, 28.98, 6),
    City("Lisbon", "Lisbon", "PT", "1000", 38.72, -9.14, 7),
    City("Marrakesh", "Marrakesh-Safi", "MA", "40000", 31.63, -8.01, 5),
    City("Athens", "Attica", "GR", "10431", 37.98, 23.73, 6),
    City("Vienna", "Vienna", "AT", "1010", 48.21, 16.37, 5),
    City("Bangkok", "Bangkok", "TH", "10100", 13.75, 100.50, 4),
    City("Dubai", "Dubai", "AE", "00000", 25.20, 55.27, 4),
    City("Prague", "Prague", "CZ", "11000", 50.08, 14.44, 5),
    City("Miami", "Florida", "US", "33101", 25.76, -80.19, 3),
    City("Tokyo", "Tokyo", "JP", "100-0001", 35.68, 139.65, 2),
)
CITIES = HOME + ABROAD
#: What is sold online is sold nowhere.
NOWHERE = len(CITIES)

#: Public holidays: month and day, and days after Easter Sunday.
_FIXED = {
    "BE": ((1, 1), (5, 1), (7, 21), (8, 15), (11, 1), (11, 11), (12, 25)),
    "DE": ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26)),
    "FR": ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)),
    "LU": ((1, 1), (5, 1), (5, 9), (6, 23), (8, 15), (11, 1), (12, 25), (12, 26)),
    "NL": ((1, 1), (4, 27), (12, 25), (12, 26)),
}
_AFTER_EASTER = (1, 39, 50)
COUNTRIES = tuple(_FIXED)
#: For each home city, the place of its country in ``COUNTRIES``.
COUNTRY_OF = np.array([COUNTRIES.index(city.country) for city in HOME])

_LATITUDE = np.array([city.latitude for city in CITIES])
_LONGITUDE = np.array([city.longitude for city in CITIES])
#: Hours that clocks are ahead of UTC; of customers at home none (see docs/simulation.md).
CLOCK = np.append(np.rint(_LONGITUDE / 15), 0).astype(np.int64)
CLOCK[: len(HOME)] = 0


@functools.cache
def distances() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Distances between all cities, in whole km."""
    here, there = np.meshgrid(np.arange(len(CITIES)), np.arange(len(CITIES)), indexing="ij")
    return np.rint(
        great_circle_km(_LATITUDE[here], _LONGITUDE[here], _LATITUDE[there], _LONGITUDE[there])
    )


def holidays(country: str, first: dt.date, days: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say of each day from ``first`` on whether it is a public holiday.

    Examples
    --------
    >>> holidays("BE", dt.date(2025, 4, 20), 3)  # Easter Sunday, and Monday
    array([False,  True, False])
    """
    last = first + dt.timedelta(days=days - 1)
    free = set()
    for year in range(first.year, last.year + 1):
        easter = (pd.Timestamp(year, 1, 1) + Easter()).date()
        free |= {easter + dt.timedelta(days=after) for after in _AFTER_EASTER}
        free |= {dt.date(year, month, day) for month, day in _FIXED[country]}
    return np.array([first + dt.timedelta(days=day) in free for day in range(days)])


def coordinates(city: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the middle of each city."""
    return _LATITUDE[city], _LONGITUDE[city]
