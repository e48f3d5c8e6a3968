"""Anomalies, which resemble fraud but are genuine: their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synfin_analytics.simulation.pattern import check_parameters


@dataclass(frozen=True)
class HolidayTravel:
    """A customer travels, and pays far from home for some days.

    Every payment on the trip that is at least ``min_km`` from home is marked.

    Examples
    --------
    >>> HolidayTravel(trips_per_year=3.0).days
    (2, 14)
    """

    name: ClassVar[str] = "holiday_travel"
    #: For an average customer; managers travel more, night workers less.
    trips_per_year: float = 1.4
    #: Shortest and longest duration of a trip.
    days: tuple[int, int] = (2, 14)
    #: Share of the partners who stay at home, and continue to pay there.
    partner_stays_share: float = 0.4
    min_km: float = 250.0

    def __post_init__(self) -> None:
        check_parameters(self, "anomaly")


@dataclass(frozen=True)
class LargePurchase:
    """A customer makes one purchase of many times the usual amount.

    Furniture, a laptop, a ring or a trip: with the customer's own card and device, at home.

    Examples
    --------
    >>> LargePurchase(per_year=0.5).amount_ratio
    (8.0, 25.0)
    """

    name: ClassVar[str] = "large_purchase"
    #: For an average customer.
    per_year: float = 1.2
    #: Smallest and largest multiple of the customer's mean amount.
    amount_ratio: tuple[float, float] = (8.0, 25.0)

    def __post_init__(self) -> None:
        check_parameters(self, "anomaly")


Anomaly = HolidayTravel | LargePurchase
