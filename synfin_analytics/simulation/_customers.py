"""Customers of the simulated world: who they are, and how they live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import INCOMES, LOG_SPENDING, PERSONAS
from synfin_analytics.simulation._places import COUNTRY_OF, HOME, coordinates
from synfin_analytics.simulation._random import RandomStream, exp, hash_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._random import Floats, Integers, Mask

#: Cards of a customer, by number.
MAIN, SECOND, PARTNER = range(3)
#: Types of cards, by number.
CARD_TYPES = ("debit", "credit", "prepaid")
#: Homes are some kilometres from the centre of their city: standard deviation in degrees.
_HOME_SPREAD = 0.025
#: One customer in so many becomes dormant.
_CUSTOMERS_PER_DORMANT = 25
#: Merchants of a city that has all kinds of shops.
_MERCHANTS_PER_CITY = 12
#: Time, as a share of the period, of what never happens.
_NEVER = 2.0


@dataclass(frozen=True)
class Customers:
    """Traits of each customer, by number."""

    persona: Integers
    home: Integers
    latitude: Floats
    longitude: Floats
    income: Integers
    #: Logarithm of the spending relative to the average; payments on an average day.
    log_spending: Floats
    per_day: Floats
    has_second: Mask
    has_partner: Mask
    has_wallet: Mask
    plays_games: Mask
    #: Share of the period after which the customer becomes dormant; 2 for most, who never do.
    dormant_from: Floats
    #: Share of the period after which a dormant customer pays again.
    dormant_until: Floats

    def __len__(self) -> int:
        return len(self.persona)

    def country(self, customer: Integers) -> Integers:
        """Return the home country of customers, as a number of ``COUNTRIES``."""
        country: Integers = COUNTRY_OF[self.home[customer]]
        return country

    def is_dormant(self, customer: Integers, share: Floats) -> Mask:
        """Whether customers are dormant at these shares of the period."""
        started = share >= self.dormant_from[customer]
        return started & (share < self.dormant_until[customer])

    def card_type(self, customer: Integers, card: NDArray[np.integer]) -> Integers:
        """Return the type of each card, as a number of ``CARD_TYPES``."""
        is_student = self.persona[customer] == 0
        is_prepaid = is_student & (hash_share(customer, 11) < 0.25)
        types = np.where(is_prepaid, CARD_TYPES.index("prepaid"), CARD_TYPES.index("debit"))
        return np.where(card == SECOND, CARD_TYPES.index("credit"), types)


def create_customers(rng: RandomStream, n: int, n_merchants: int) -> Customers:
    """Create customers, who live where there are merchants."""
    persona = rng.choice(n, [kind.share for kind in PERSONAS])
    home = rng.choice(n, [city.weight for city in HOME[: count_home_cities(n_merchants)]])
    income_shares = np.cumsum([kind.income for kind in PERSONAS], axis=1)[persona]
    income = (rng.uniform(n)[:, None] >= income_shares).sum(axis=1)
    income = np.minimum(income, len(INCOMES) - 1)
    latitude, longitude = coordinates(home)
    dormant_from = np.full(n, _NEVER)
    n_dormant = max(n // _CUSTOMERS_PER_DORMANT, min(n // 10, 1))
    dormant = rng.permutation(n)[:n_dormant]
    dormant_from[dormant] = rng.uniform(len(dormant), 0.02, 0.5)
    # Some become active again, the others never.
    returns = rng.bernoulli(n, 0.4)
    dormant_until = np.where(returns, dormant_from + rng.uniform(n, 0.35, 0.6), _NEVER)

    def draw_trait(name: str) -> Mask:
        shares = np.array([getattr(kind, name) for kind in PERSONAS])
        return rng.bernoulli(n, shares[persona])

    return Customers(
        persona=persona,
        home=home,
        latitude=np.round(latitude + _HOME_SPREAD * rng.normal(n), 4),
        longitude=np.round(longitude + 1.5 * _HOME_SPREAD * rng.normal(n), 4),
        income=income,
        log_spending=np.array(LOG_SPENDING)[income] + 0.3 * rng.normal(n),
        per_day=np.array([kind.per_day for kind in PERSONAS])[persona]
        * exp(0.45 * rng.normal(n) - 0.1),
        has_second=rng.bernoulli(n, np.array([0.3, 0.55, 0.85])[income]),
        has_partner=draw_trait("partner"),
        has_wallet=draw_trait("wallet"),
        plays_games=draw_trait("plays"),
        dormant_from=dormant_from,
        dormant_until=dormant_until,
    )


def count_home_cities(n_merchants: int) -> int:
    """Count the cities in which customers live: as many as have all kinds of shops."""
    return int(np.clip(n_merchants * 2 // 3 // _MERCHANTS_PER_CITY, 1, len(HOME)))
