"""Merchants of the simulated world, and which of them a customer goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics.simulation._config import CATEGORIES, NAMES
from synfin_analytics.simulation._people import home_cities, numbered, of_city
from synfin_analytics.simulation._places import ABROAD, HOME, NOWHERE, coordinates
from synfin_analytics.simulation._random import Draws, chosen, exp, hashed_share

if TYPE_CHECKING:
    from synfin_analytics.simulation._random import Floats, Integers, Mask

_ONLINE_SHARE, _ABROAD_SHARE = 0.2, 0.14
_MERCHANTS_OF_A_DESTINATION = 4
#: Where web shops sit: at home half of the time, else in any city.
_AT_HOME = 0.5
_AROUND = 0.02
#: Share of transport merchants whose terminals move, and are reported at the head office.
_MOVING = 0.25
_FAVOURITES = (0.6, 0.3, 0.1)
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Shops:
    """Traits of each merchant, by number, and an index by place and category."""

    category: Integers
    #: Where it is reached: a city, or ``NOWHERE`` if it sells online.
    place: Integers
    #: Where it is registered.
    seat: Integers
    latitude: Floats
    longitude: Floats
    #: Logarithm of its prices against those of its category.
    price: Floats
    popularity: Floats
    terminals: Integers
    #: Merchants in the order of (place, category), where each such group begins, and the sum of
    #: popularities before each merchant in that order.
    _order: Integers
    _begin: Integers
    _before: Floats

    def __len__(self) -> int:
        return len(self.category)

    @property
    def online(self) -> Mask:
        """Those that sell online."""
        found: Mask = self.place == NOWHERE
        return found

    def available(self) -> Mask:
        """Say for each place and category whether there is such a merchant."""
        sizes = np.diff(self._begin).reshape(NOWHERE + 1, len(CATEGORIES))
        found: Mask = sizes > 0
        return found

    def open_cities(self) -> Mask:
        """Say for each city whether there is any merchant."""
        found: Mask = np.asarray(self.available()[:-1].any(axis=1))
        return found

    def visited(self, place: Integers, category: Integers, share: Floats) -> Integers:
        """Merchant of a group at a share of its popularity; the group is not empty."""
        group = place * len(CATEGORIES) + category
        low, high = self._before[self._begin[group]], self._before[self._begin[group + 1]]
        at = np.searchsorted(self._before, low + share * (high - low), side="right") - 1
        # Rounding may lead just out of the group.
        at = np.clip(at, self._begin[group], self._begin[group + 1] - 1)
        found: Integers = self._order[at]
        return found

    def any_of(self, place: Integers, category: Integers, share: Floats) -> Integers:
        """Merchant of a group at a share of their number; the group is not empty."""
        group = place * len(CATEGORIES) + category
        begin, end = self._begin[group], self._begin[group + 1]
        at = begin + np.floor(share * (end - begin)).astype(np.int64)
        found: Integers = self._order[at]
        return found

    def usual(
        self, draws: Draws, customer: Integers, place: Integers, category: Integers
    ) -> Integers:
        """Merchants that customers go to: mostly one of three favourites of theirs."""
        n = len(customer)
        favourite = hashed_share(customer, place, category, draws.pick(n, _FAVOURITES))
        loyal = draws.chance(n, np.array([one.loyalty for one in CATEGORIES])[category])
        return self.visited(place, category, np.where(loyal, favourite, draws.uniform(n)))


def open_shops(draws: Draws, merchants: int) -> Shops:
    """Make merchants: in the cities where customers live, where they travel, and online."""
    n = merchants
    online = int(np.rint(n * _ONLINE_SHARE)) if n > 1 else 0
    abroad = max(int(np.rint(n * _ABROAD_SHARE)), int(n >= 5))
    local = n - online - abroad
    number = np.arange(n)
    cities, destinations = home_cities(n), _destinations(abroad)
    place = np.full(n, NOWHERE)
    # Of a dozen each home city has one; the rest follow its weight.
    weights = [city.weight for city in HOME[:cities]]
    spread = np.arange(local, dtype=np.float64) * _GOLDEN % 1
    place[:local] = np.where(
        number[:local] < local // 2, number[:local] % cities, chosen(spread, weights)
    )
    place[local : local + abroad] = len(HOME) + number[:abroad] % max(destinations, 1)
    category = np.zeros(n, np.int64)
    for where, weight in (
        (
            np.flatnonzero(place < len(HOME)),
            [0 if one.online else one.merchants for one in CATEGORIES],
        ),
        (
            np.flatnonzero((place >= len(HOME)) & (place != NOWHERE)),
            [0 if one.online else one.journey for one in CATEGORIES],
        ),
        (
            np.flatnonzero(place == NOWHERE),
            [one.merchants if one.online else 0 for one in CATEGORIES],
        ),
    ):
        # Evenly, not by chance, so that a small world has a bit of everything too.
        turn = np.argsort(place[where], kind="stable")
        even = (np.arange(len(where), dtype=np.float64) * _GOLDEN + 0.05) % 1
        category[where[turn]] = chosen(even, weight)
    seat = np.where(
        draws.chance(n, _AT_HOME), draws.whole(n, 0, cities - 1), draws.whole(n, 0, NOWHERE - 1)
    )
    seat = np.where(place == NOWHERE, seat, place)
    moving = (category == NAMES.index("transport")) & draws.chance(n, _MOVING) & (cities > 1)
    reported = np.where(moving & (place < len(HOME)), (place + 1) % cities, seat)
    latitude, longitude = coordinates(reported)
    popularity = exp(draws.exponential(n) / 1.6)
    return _indexed(
        category=category,
        place=place,
        seat=reported,
        latitude=np.round(latitude + _AROUND * draws.normal(n), 4),
        longitude=np.round(longitude + 1.5 * _AROUND * draws.normal(n), 4),
        price=0.25 * draws.normal(n),
        popularity=popularity,
        terminals=np.minimum(1 + np.floor(popularity).astype(np.int64) // 2, 8),
    )


def _indexed(
    *,
    category: Integers,
    place: Integers,
    popularity: Floats,
    **traits: Integers | Floats,
) -> Shops:
    group = place * len(CATEGORIES) + category
    order = np.argsort(group, kind="stable")
    begin = np.searchsorted(group[order], np.arange((NOWHERE + 1) * len(CATEGORIES) + 1))
    before = np.append(0.0, np.cumsum(popularity[order]))
    return Shops(
        category=category,
        place=place,
        popularity=popularity,
        _order=order,
        _begin=begin,
        _before=before,
        **traits,  # type: ignore[arg-type]  # each under its own name
    )


def _destinations(abroad: int) -> int:
    return int(np.clip(abroad // _MERCHANTS_OF_A_DESTINATION, min(abroad, 1), len(ABROAD)))


def merchant_columns(shops: Shops) -> pl.DataFrame:
    """Make what the bank knows of merchants."""
    names = pl.Series([name.capitalize() for name in NAMES]).gather(shops.category)
    frame = pl.DataFrame({"merchant_id": merchant_ids(len(shops)), "kind": names})
    number = pl.int_range(1, len(shops) + 1).cast(pl.String)
    return frame.select(
        "merchant_id",
        pl.concat_str("kind", pl.lit(" "), number).alias("name"),
        pl.Series("category", NAMES).gather(shops.category),
        pl.Series("mcc_code", [one.mcc for one in CATEGORIES]).gather(shops.category),
        *(of_city(field).alias(to).gather(shops.seat) for field, to in _FIELDS.items()),
    )


def merchant_ids(n: int) -> pl.Series:
    """Keys of merchants, in the order of their numbers."""
    return numbered("M", n, 6)


_FIELDS = {"name": "city", "state": "state", "country": "country"}
