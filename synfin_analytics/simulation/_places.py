"""Cities of the simulated world, where customers live and travel."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from synfin_analytics._core.arithmetic import great_circle_km

if TYPE_CHECKING:
    from numpy.typing import NDArray


class City(NamedTuple):
    """A city; ``weight`` is in proportion to the customers who live there, or travel there."""

    name: str
    state: str
    country: str
    zip_code: str
    latitude: float
    longitude: float
    weight: float


#: Where customers live: in and around Belgium. The first cities exist in every world.
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
#: Where customers travel.
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
#: Place of merchants that sell online.
NOWHERE = len(CITIES)

#: Countries where customers live.
COUNTRIES = ("BE", "DE", "FR", "LU", "NL")
#: For each home city, the position of its country in ``COUNTRIES``.
COUNTRY_OF = np.array([COUNTRIES.index(city.country) for city in HOME])

_LATITUDE = np.array([city.latitude for city in CITIES])
_LONGITUDE = np.array([city.longitude for city in CITIES])
#: Hours that local time is ahead of UTC; 0 in home cities.
UTC_OFFSET = np.append(np.rint(_LONGITUDE / 15), 0).astype(np.int64)
UTC_OFFSET[: len(HOME)] = 0


@functools.cache
def distances() -> NDArray[np.float64]:
    """Return the distances between all cities, in whole km."""
    km = great_circle_km(_LATITUDE[:, None], _LONGITUDE[:, None], _LATITUDE, _LONGITUDE)
    return np.rint(km)


def coordinates(city: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the latitude and longitude of the centre of each city."""
    return _LATITUDE[city], _LONGITUDE[city]
