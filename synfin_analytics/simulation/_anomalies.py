"""What looks like fraud and is none: the parameters of journeys and of large purchases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synfin_analytics.simulation._parameters import check_parameters


@dataclass(frozen=True)
class HolidayTravel:
    """A customer travels, and pays far from home for some days.

    Every payment made on the journey, ``min_km`` from home, is marked.
    """

    name: ClassVar[str] = "holiday_travel"
    #: Of an average customer; managers travel more, night workers less.
    journeys_per_year: float = 1.4
    #: Fewest and most days of a journey.
    days: tuple[int, int] = (2, 14)
    #: Share of the partners who stay at home, and go on paying there.
    partner_stays_share: float = 0.4
    min_km: float = 250.0

    def __post_init__(self) -> None:
        check_parameters(self, "anomaly")


@dataclass(frozen=True)
class LargePurchase:
    """A customer buys something once that costs many times the usual amount.

    A sofa, a laptop, a ring or a journey: the customer's own card, device and city.
    """

    name: ClassVar[str] = "large_purchase"
    #: Of an average customer.
    per_year: float = 1.2
    #: Smallest and largest multiple of the customer's mean amount.
    amount_ratio: tuple[float, float] = (8.0, 25.0)

    def __post_init__(self) -> None:
        check_parameters(self, "anomaly")


Anomaly = HolidayTravel | LargePurchase
ANOMALIES: tuple[type[Anomaly], ...] = (HolidayTravel, LargePurchase)
