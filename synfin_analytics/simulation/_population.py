"""The customers and merchants of the simulated world: who pays, and where they usually pay."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import (
    ABROAD,
    CATEGORIES,
    CATEGORY,
    COUNTRY_OF,
    HOME,
    INCOMES,
    LOG_SPENDING,
    NOWHERE,
    PERSONAS,
    coordinates,
)
from synfin_analytics.simulation._random import RandomStream, choose, exp, hash_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._random import Floats, Integers, Mask

#: Cards of a customer.
Card = IntEnum("Card", "MAIN SECOND PARTNER", start=0)
#: Types of cards, by number.
CARD_TYPES = ("debit", "credit", "prepaid")
#: Homes are some kilometres from the centre of their city: standard deviation in degrees.
_HOME_SPREAD = 0.025
#: Number of customers of whom one becomes dormant.
_CUSTOMERS_PER_DORMANT = 25
#: Merchants of a city that has all kinds of shops.
_MERCHANTS_PER_CITY = 12
#: Time, as a share of the period, of what never happens.
_NEVER = 2.0
_ONLINE_SHARE, _ABROAD_SHARE = 0.2, 0.14
_MERCHANTS_PER_DESTINATION = 4
#: Share of the web shops that are registered in a home city; the others are anywhere.
_REGISTERED_AT_HOME = 0.5
_SPREAD = 0.02
#: Share of transport merchants whose terminals move, and are registered at the head office.
_MOVING = 0.25
#: Weights of the three favourites.
_FAVOURITES = (0.6, 0.3, 0.1)
_GOLDEN_RATIO = 0.6180339887498949


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
        return np.where(card == Card.SECOND, CARD_TYPES.index("credit"), types)


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


@dataclass(frozen=True)
class Merchants:
    """Traits of each merchant, by number, and an index by place and category."""

    category: Integers
    #: City, or ``NOWHERE`` for merchants that sell online.
    place: Integers
    #: City where it is registered.
    registered_in: Integers
    latitude: Floats
    longitude: Floats
    #: Logarithm of the prices relative to those of the category.
    log_price: Floats
    popularity: Floats
    terminals: Integers
    #: Merchants in the order of (place, category), where each such group starts, and the sum of
    #: popularities before each merchant in that order.
    _order: Integers
    _start: Integers
    _popularity_before: Floats

    def __len__(self) -> int:
        return len(self.category)

    def exists(self) -> Mask:
        """Whether each place (row) has a merchant of each category (column)."""
        sizes = np.diff(self._start).reshape(NOWHERE + 1, len(CATEGORIES))
        exists: Mask = sizes > 0
        return exists

    def cities_with_merchants(self) -> Mask:
        """Whether each city has a merchant."""
        mask: Mask = np.asarray(self.exists()[:-1].any(axis=1))
        return mask

    def choose_by_popularity(self, place: Integers, category: Integers, share: Floats) -> Integers:
        """Return the merchant at a share of the popularity of a group, which must not be empty."""
        group = place * len(CATEGORIES) + category
        start, end = self._start[group], self._start[group + 1]
        low, high = self._popularity_before[start], self._popularity_before[end]
        target = low + share * (high - low)
        position = np.searchsorted(self._popularity_before, target, side="right") - 1
        # Rounding may lead just outside the group.
        position = np.clip(position, start, end - 1)
        merchant: Integers = self._order[position]
        return merchant

    def choose_uniformly(self, place: Integers, category: Integers, share: Floats) -> Integers:
        """Return the merchant at a share of the number in a group, which must not be empty."""
        group = place * len(CATEGORIES) + category
        start, end = self._start[group], self._start[group + 1]
        position = start + np.floor(share * (end - start)).astype(np.int64)
        merchant: Integers = self._order[position]
        return merchant

    def draw_usual(
        self, rng: RandomStream, customer: Integers, place: Integers, category: Integers
    ) -> Integers:
        """Draw merchants that customers go to: mostly one of their three favourites."""
        n = len(customer)
        favourite = hash_share(customer, place, category, rng.choice(n, _FAVOURITES))
        loyalty = np.array([kind.loyalty for kind in CATEGORIES])[category]
        is_loyal = rng.bernoulli(n, loyalty)
        share = np.where(is_loyal, favourite, rng.uniform(n))
        return self.choose_by_popularity(place, category, share)


def create_merchants(rng: RandomStream, n: int) -> Merchants:
    """Create merchants: in the cities where customers live, where they travel, and online."""
    n_online = int(np.rint(n * _ONLINE_SHARE)) if n > 1 else 0
    n_abroad = max(int(np.rint(n * _ABROAD_SHARE)), int(n >= 5))
    n_local = n - n_online - n_abroad
    n_cities = count_home_cities(n)
    place = _places(n, n_local, n_abroad, n_cities)
    category = _categories(place)
    registered_in = np.where(
        rng.bernoulli(n, _REGISTERED_AT_HOME),
        rng.integers(n, 0, n_cities - 1),
        rng.integers(n, 0, NOWHERE - 1),
    )
    registered_in = np.where(place == NOWHERE, registered_in, place)
    moves = category == CATEGORY["transport"]
    moves = moves & rng.bernoulli(n, _MOVING) & (n_cities > 1)
    registered_in = np.where(moves & (place < len(HOME)), (place + 1) % n_cities, registered_in)
    latitude, longitude = coordinates(registered_in)
    popularity = exp(rng.exponential(n) / 1.6)
    group = place * len(CATEGORIES) + category
    order = np.argsort(group, kind="stable")
    return Merchants(
        category=category,
        place=place,
        registered_in=registered_in,
        latitude=np.round(latitude + _SPREAD * rng.normal(n), 4),
        longitude=np.round(longitude + 1.5 * _SPREAD * rng.normal(n), 4),
        log_price=0.25 * rng.normal(n),
        popularity=popularity,
        terminals=np.minimum(1 + np.floor(popularity).astype(np.int64) // 2, 8),
        _order=order,
        _start=np.searchsorted(group[order], np.arange((NOWHERE + 1) * len(CATEGORIES) + 1)),
        _popularity_before=np.append(0.0, np.cumsum(popularity[order])),
    )


def _places(n: int, n_local: int, n_abroad: int, n_cities: int) -> Integers:
    """Distribute merchants over home cities, destinations and the web."""
    number = np.arange(n)
    n_destinations = int(
        np.clip(n_abroad // _MERCHANTS_PER_DESTINATION, min(n_abroad, 1), len(ABROAD))
    )
    place = np.full(n, NOWHERE)
    # The first half evenly, so that each home city has some; the rest by weight.
    weights = [city.weight for city in HOME[:n_cities]]
    spread = np.arange(n_local, dtype=np.float64) * _GOLDEN_RATIO % 1
    place[:n_local] = np.where(
        number[:n_local] < n_local // 2, number[:n_local] % n_cities, choose(spread, weights)
    )
    place[n_local : n_local + n_abroad] = len(HOME) + number[:n_abroad] % max(n_destinations, 1)
    return place


def _categories(place: Integers) -> Integers:
    """Assign categories evenly, not by chance, so that a small world has some of each."""
    category = np.zeros(len(place), np.int64)
    local = [0 if kind.online else kind.merchants for kind in CATEGORIES]
    abroad = [0 if kind.online else kind.trip for kind in CATEGORIES]
    online = [kind.merchants if kind.online else 0 for kind in CATEGORIES]
    for mask, weights in (
        (place < len(HOME), local),
        ((place >= len(HOME)) & (place != NOWHERE), abroad),
        (place == NOWHERE, online),
    ):
        rows = np.flatnonzero(mask)
        order = np.argsort(place[rows], kind="stable")
        spread = (np.arange(len(rows), dtype=np.float64) * _GOLDEN_RATIO + 0.05) % 1
        category[rows[order]] = choose(spread, weights)
    return category
