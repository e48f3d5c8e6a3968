"""Cities, kinds of goods and kinds of customers in the simulated world.

The figures are plausible, not measured. Hours are local time where the payment is made.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from synfin_analytics._core.arithmetic import great_circle_km
from synfin_analytics.simulation._random import rounded_logs

if TYPE_CHECKING:
    from numpy.typing import NDArray


# -- Cities ----------------------------------------------------------------------------------------


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


# -- Goods -----------------------------------------------------------------------------------------


class Category(NamedTuple):
    """Category of merchants, and of what customers buy there."""

    name: str
    mcc: str
    budget: str
    #: Weight among the payments of an average customer, and among the merchants of a city.
    payments: float
    merchants: float
    #: Median amount, standard deviation of its logarithm, and effect of the customer's spending.
    median: float
    spread: float
    spending: float
    #: Share of the payments that go to one of three favourite merchants.
    loyalty: float
    #: Shares of the prices that end in 99 cents, and that are in whole euros.
    ends_99: float
    whole: float
    #: Daily curve (``HOURS``); weights of Saturday and of Sunday (a working day has 1).
    day: str
    saturday: float
    sunday: float
    #: Factors of the months that differ from the average.
    season: dict[int, float]
    #: Sold online only; weight on a trip.
    online: bool = False
    trip: float = 0.0


_GIFTS = {11: 1.35, 12: 1.6, 1: 0.8, 2: 0.85}
_SUMMER = {6: 1.2, 7: 1.6, 8: 1.6, 12: 1.1, 1: 0.8, 2: 0.8, 11: 0.75}
CATEGORIES = (
    Category("grocery", "5411", "household", 26, 26, 24, 0.65, 0.4, 0.85, 0, 0.02, "shop", 1.5, 0.4,
             {12: 1.1}, trip=14),
    Category("restaurant", "5812", "leisure", 17, 24, 19, 0.6, 0.6, 0.5, 0, 0.2, "meal", 1.4, 1.2,
             {7: 1.1, 8: 1.1, 1: 0.9}, trip=34),
    Category("fuel", "5541", "mobility", 7, 7, 48, 0.4, 0.3, 0.8, 0, 0.15, "road", 1.1, 0.8,
             {7: 1.15, 8: 1.15}, trip=3),
    Category("clothing", "5651", "shopping", 5, 9, 42, 0.65, 0.7, 0.4, 0.5, 0.05, "shop", 2.2, 0.3,
             {1: 1.3, 7: 1.3, 2: 0.8, 12: 1.2}, trip=8),
    Category("pharmacy", "5912", "health", 5, 6, 17, 0.7, 0.2, 0.85, 0, 0, "shop", 1.0, 0.2,
             {1: 1.2, 2: 1.2, 7: 0.85, 8: 0.85}, trip=3),
    Category("transport", "4111", "mobility", 9, 4, 5.5, 0.75, 0.3, 0.9, 0, 0.1, "ride", 0.7, 0.6,
             {7: 0.8, 8: 0.8}, trip=14),
    Category("household", "5712", "shopping", 3, 5, 55, 0.9, 0.8, 0.3, 0.45, 0.05, "shop", 2.2, 0.4,
             {4: 1.2, 5: 1.2, 12: 1.1}),
    Category("electronics", "5732", "shopping", 1.6, 4, 95, 1.0, 0.8, 0.3, 0.6, 0.05, "shop", 1.8,
             0.3, _GIFTS, trip=1),
    Category("jewellery", "5944", "shopping", 0.35, 2, 130, 0.9, 1.0, 0.2, 0.3, 0.2, "shop", 2.0,
             0.2, _GIFTS, trip=0.7),
    Category("hotel", "7011", "travel", 0.3, 3, 115, 0.6, 0.9, 0.1, 0, 0.2, "desk", 1.2, 1.0,
             _SUMMER, trip=9),
    Category("cash machine", "6011", "cash", 6, 7, 60, 0.65, 0.4, 0.85, 0, 0, "cash", 1.2, 0.7,
             {7: 1.1, 12: 1.1}, trip=12),
    Category("web shop", "5969", "shopping", 11, 45, 34, 0.8, 0.7, 0.45, 0.5, 0.03, "web", 1.0, 1.2,
             _GIFTS, online=True, trip=2),
    Category("digital services", "5816", "leisure", 4, 30, 7.5, 0.7, 0.2, 0.8, 0.75, 0, "web", 1.2,
             1.3, {12: 1.15}, online=True, trip=2),
    Category("travel agency", "4722", "travel", 1.2, 25, 210, 0.85, 0.9, 0.3, 0.1, 0.05, "web", 0.9,
             1.0, {1: 1.5, 2: 1.3, 5: 1.2, 6: 1.3, 10: 0.8, 11: 0.7}, online=True),
)  # fmt: skip
#: The position of each category by its name.
CATEGORY = {category.name: number for number, category in enumerate(CATEGORIES)}
IS_ONLINE = np.array([category.online for category in CATEGORIES])
LOG_MEDIAN = rounded_logs([category.median for category in CATEGORIES])
#: What fraudsters buy: goods that can be resold.
RESALE = ("electronics", "jewellery", "clothing", "household")
RESALE_ONLINE = ("web shop", "digital services", "travel agency")
CASH = "cash machine"


def category_numbers(*names: str) -> list[int]:
    """Return the positions of these categories in ``CATEGORIES``."""
    return [CATEGORY[name] for name in names]


def is_category(category: NDArray[np.int64], *names: str) -> NDArray[np.bool_]:
    """Whether each category is one of these."""
    return np.isin(category, category_numbers(*names))


#: Weight of each hour of the day, on working days and on days off.
HOURS = {
    "shop": (
        (0, 0, 0, 0, 0, 0, 0.3, 1, 4, 7, 9, 9, 9, 7, 7, 8, 10, 13, 11, 6, 2, 0.5, 0.2, 0.1),
        (0, 0, 0, 0, 0, 0, 0.1, 0.5, 3, 7, 11, 12, 11, 9, 11, 11, 10, 7, 3, 1.5, 0.7, 0.3, 0.1, 0),
    ),
    "meal": (
        (0.6, 0.25, 0.1, 0.05, 0.05, 0.3, 1, 4, 4, 3, 3, 8,
         18, 12, 4, 3, 3, 5, 9, 12, 10, 6, 3, 1.4),
        (2.2, 1.4, 0.8, 0.3, 0.1, 0.2, 0.4, 1, 3, 5, 5, 7,
         13, 11, 6, 5, 4, 6, 10, 14, 12, 8, 5, 3.4),
    ),
    "road": (
        (0.5, 0.3, 0.3, 0.3, 0.6, 2, 5, 9, 7, 4, 4, 4, 5, 4, 4, 5, 8, 11, 9, 6, 4, 2.5, 1.5, 0.9),
        (0.9, 0.7, 0.5, 0.3, 0.3, 0.7, 1.5, 3, 5, 8, 10, 10,
         8, 7, 7, 7, 8, 8, 7, 5, 3.5, 2.5, 1.8, 1.2),
    ),
    "ride": (
        (0.7, 0.4, 0.3, 0.2, 0.5, 2, 7, 14, 10, 4, 3, 3, 4, 4, 4, 6, 10, 13, 8, 4, 3, 2.5, 2, 1.3),
        (2.8, 2.2, 1.4, 0.8, 0.5, 0.6, 1.5, 3, 5, 7, 8, 8, 7, 7, 8, 8, 8, 8, 7, 5, 4, 4, 4, 3.6),
    ),
    "cash": (
        (0.5, 0.3, 0.2, 0.15, 0.15, 0.4, 2, 5, 8, 9, 9, 9,
         10, 8, 7, 8, 10, 10, 7, 4, 3, 2, 1.4, 0.8),
        (1.5, 1.0, 0.6, 0.3, 0.2, 0.3, 0.8, 2, 6, 11, 13, 12,
         9, 7, 7, 7, 7, 7, 6, 4, 3.5, 3, 2.6, 2),
    ),
    "desk": (
        (0.3, 0.2, 0.1, 0.1, 0.2, 0.6, 3, 8, 11, 11, 8, 5, 3, 4, 6, 7, 7, 7, 6, 5, 4, 3, 2, 0.8),
        (0.4, 0.2, 0.2, 0.1, 0.2, 0.4, 2, 6, 11, 13, 12, 6, 3, 5, 7, 7, 6, 5, 5, 4, 3, 2.5, 2, 0.9),
    ),
    "web": (
        (1.8, 0.9, 0.5, 0.35, 0.35, 0.5, 1.2, 2.5, 4, 5, 5.5, 5,
         6, 5.5, 4.5, 4.5, 5, 5.5, 6.5, 9, 11, 10.5, 7, 3.7),
        (2.6, 1.5, 0.8, 0.5, 0.3, 0.4, 0.7, 1.5, 3, 5.5, 7, 7,
         6.5, 6.5, 6.5, 6.5, 6.5, 6.5, 6.5, 8, 9.5, 9, 6.5, 4),
    ),
}  # fmt: skip


# -- Customers -------------------------------------------------------------------------------------


class Persona(NamedTuple):
    """Kind of customer."""

    name: str
    share: float
    ages: tuple[int, int]
    occupations: tuple[str, ...]
    #: Weights of low, medium and high income.
    income: tuple[float, float, float]
    #: Payments on an average day.
    per_day: float
    #: Weights of online purchases, and of evenings out.
    online: float
    leisure: float
    #: Trips a year relative to the average.
    trips: float
    #: Shares that pay with the phone, have a card for a partner, and play games.
    wallet: float
    partner: float
    plays: float
    #: Hours by which the day starts later, for night shifts.
    later: int = 0


PERSONAS = (
    Persona("student", 0.14, (18, 27), ("student",), (0.8, 0.2, 0),
            1.0, 1.6, 1.5, 0.9, 0.7, 0.02, 0.3),
    Persona("employee", 0.34, (22, 64), ("clerk", "teacher", "technician", "salesperson", "nurse"),
            (0.2, 0.65, 0.15), 1.0, 1.1, 1.0, 1.0, 0.45, 0.3, 0.1),
    Persona("parent", 0.22, (28, 52), ("engineer", "civil servant", "electrician", "driver"),
            (0.15, 0.6, 0.25), 1.25, 1.1, 0.8, 0.9, 0.4, 0.6, 0.12),
    Persona("manager", 0.08, (30, 65), ("manager", "physician", "lawyer", "consultant"),
            (0, 0.2, 0.8), 1.25, 1.2, 1.4, 2.6, 0.55, 0.4, 0.05),
    Persona("retiree", 0.18, (62, 90), ("retired",), (0.35, 0.5, 0.15),
            0.7, 0.4, 0.8, 0.8, 0.08, 0.35, 0.01),
    Persona("night worker", 0.04, (20, 60), ("security guard", "baker", "night nurse"),
            (0.35, 0.6, 0.05), 0.9, 1.0, 0.9, 0.6, 0.4, 0.2, 0.1, later=9),
)  # fmt: skip
INCOMES = ("low", "medium", "high")
#: Logarithm of the spending at each income level, relative to the average.
LOG_SPENDING = (-0.3, 0.0, 0.5)
