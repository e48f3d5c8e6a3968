"""Kinds of people in the simulated world, and what they buy, when, and for how much.

Figures are plausible, not measured. Hours are those of the clock where the payment is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from synfin_analytics.simulation._random import logs

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Category(NamedTuple):
    """Kind of merchant, and of what is bought there."""

    name: str
    mcc: str
    budget: str
    #: Weight among the payments of an average customer, and among merchants of its place.
    payments: float
    merchants: float
    #: Median amount, spread of its logarithm, and how much the customer's means matter.
    median: float
    spread: float
    means: float
    #: Share of the payments that go to one of three favourites.
    loyalty: float
    #: Share of the prices that end in 99 cents, and share that are in whole euros.
    ends_99: float
    whole: float
    #: Curve of the day (``HOURS``); weights of Saturday and of Sunday (a working day has 1).
    day: str
    saturday: float
    sunday: float
    #: Months of more and of less than usual: month -> factor.
    season: dict[int, float]
    #: Sold online only; needed on a journey.
    online: bool = False
    journey: float = 0.0


_GIFTS = {11: 1.35, 12: 1.6, 1: 0.8, 2: 0.85}
_SUMMER = {6: 1.2, 7: 1.6, 8: 1.6, 12: 1.1, 1: 0.8, 2: 0.8, 11: 0.75}
CATEGORIES = (
    Category("grocery", "5411", "household", 26, 26, 24, 0.65, 0.4, 0.85, 0, 0.02, "shop", 1.5, 0.4,
             {12: 1.1}, journey=14),
    Category("restaurant", "5812", "leisure", 17, 24, 19, 0.6, 0.6, 0.5, 0, 0.2, "meal", 1.4, 1.2,
             {7: 1.1, 8: 1.1, 1: 0.9}, journey=34),
    Category("fuel", "5541", "mobility", 7, 7, 48, 0.4, 0.3, 0.8, 0, 0.15, "road", 1.1, 0.8,
             {7: 1.15, 8: 1.15}, journey=3),
    Category("clothing", "5651", "shopping", 5, 9, 42, 0.65, 0.7, 0.4, 0.5, 0.05, "shop", 2.2, 0.3,
             {1: 1.3, 7: 1.3, 2: 0.8, 12: 1.2}, journey=8),
    Category("pharmacy", "5912", "health", 5, 6, 17, 0.7, 0.2, 0.85, 0, 0, "shop", 1.0, 0.2,
             {1: 1.2, 2: 1.2, 7: 0.85, 8: 0.85}, journey=3),
    Category("transport", "4111", "mobility", 9, 4, 5.5, 0.75, 0.3, 0.9, 0, 0.1, "ride", 0.7, 0.6,
             {7: 0.8, 8: 0.8}, journey=14),
    Category("household", "5712", "shopping", 3, 5, 55, 0.9, 0.8, 0.3, 0.45, 0.05, "shop", 2.2, 0.4,
             {4: 1.2, 5: 1.2, 12: 1.1}),
    Category("electronics", "5732", "shopping", 1.6, 4, 95, 1.0, 0.8, 0.3, 0.6, 0.05, "shop", 1.8,
             0.3, _GIFTS, journey=1),
    Category("jewellery", "5944", "shopping", 0.35, 2, 130, 0.9, 1.0, 0.2, 0.3, 0.2, "shop", 2.0,
             0.2, _GIFTS, journey=0.7),
    Category("hotel", "7011", "travel", 0.3, 3, 115, 0.6, 0.9, 0.1, 0, 0.2, "desk", 1.2, 1.0,
             _SUMMER, journey=9),
    Category("cash machine", "6011", "cash", 6, 7, 60, 0.65, 0.4, 0.85, 0, 0, "cash", 1.2, 0.7,
             {7: 1.1, 12: 1.1}, journey=12),
    Category("web shop", "5969", "shopping", 11, 45, 34, 0.8, 0.7, 0.45, 0.5, 0.03, "web", 1.0, 1.2,
             _GIFTS, online=True, journey=2),
    Category("digital services", "5816", "leisure", 4, 30, 7.5, 0.7, 0.2, 0.8, 0.75, 0, "web", 1.2,
             1.3, {12: 1.15}, online=True, journey=2),
    Category("travel agency", "4722", "travel", 1.2, 25, 210, 0.85, 0.9, 0.3, 0.1, 0.05, "web", 0.9,
             1.0, {1: 1.5, 2: 1.3, 5: 1.2, 6: 1.3, 10: 0.8, 11: 0.7}, online=True),
)  # fmt: skip
NAMES = tuple(one.name for one in CATEGORIES)
ONLINE = np.array([one.online for one in CATEGORIES])
LOG_MEDIAN = logs([one.median for one in CATEGORIES])
#: What cards that do not belong to the payer are used for: goods that can be sold.
RESALE = ("electronics", "jewellery", "clothing", "household")
RESALE_ONLINE = ("web shop", "digital services", "travel agency")
SUBSCRIPTION = "digital services"
CASH = "cash machine"


def number_of(*names: str) -> list[int]:
    """Places of these categories in ``CATEGORIES``."""
    return [NAMES.index(name) for name in names]


def is_one_of(category: NDArray[np.int64], *names: str) -> NDArray[np.bool_]:
    """Say of each category whether it is one of these."""
    wanted = np.zeros(len(CATEGORIES), np.bool_)
    wanted[number_of(*names)] = True
    return wanted[category]


#: Weight of each hour of the day, on working days and on free ones.
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
    #: Weight of what is bought online, and of what is bought on an evening out.
    online: float
    leisure: float
    #: Journeys a year against the average.
    journeys: float
    #: Share that pays with the phone; that has a second card for a partner; that plays games.
    wallet: float
    partner: float
    plays: float
    #: Hours that the day begins later: people on night shifts.
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
#: Logarithm of what is spent at each income, against the average.
LOG_MEANS = (-0.3, 0.0, 0.5)
