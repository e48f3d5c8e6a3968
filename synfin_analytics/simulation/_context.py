"""What a fraudster finds: the genuine payments, and where stolen cards can be used."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import number_of
from synfin_analytics.simulation._payments import DAY, HOUR
from synfin_analytics.simulation._people import MAIN, SECOND
from synfin_analytics.simulation._places import CITIES, NOWHERE
from synfin_analytics.simulation._random import Draws, Table
from synfin_analytics.simulation._world import with_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation._random import Floats, Integers, Mask
    from synfin_analytics.simulation._world import World

#: Share of the addresses on the internet that fraudsters borrow in the victim's own city.
_NEARBY = 0.35


@dataclass(frozen=True)
class Episodes:
    """Frauds to be committed: when, as a share of the period, and how many payments each has."""

    at: Floats
    size: Integers

    def __len__(self) -> int:
        return len(self.size)

    @property
    def of(self) -> Integers:
        """Number of the episode of each payment."""
        return np.repeat(np.arange(len(self)), self.size)

    @property
    def nth(self) -> Integers:
        """Number of each payment within its episode, from 0."""
        begin = np.cumsum(self.size) - self.size
        return np.arange(int(self.size.sum())) - np.repeat(begin, self.size)

    @property
    def first(self) -> Integers:
        """Where the payments of each episode begin."""
        return np.cumsum(self.size) - self.size


@dataclass(frozen=True)
class Scene:
    """The world and its genuine payments, in the order of time."""

    world: World
    paid: Payments
    #: Mean amount of each customer, in cents.
    usual: Floats
    #: Customers that were victims already.
    victims: Mask

    @functools.cached_property
    def in_person(self) -> Integers:
        """Genuine payments at which the card was there, in the order of time."""
        return np.flatnonzero((self.paid.channel <= 1) & (self.paid.kind <= 1))

    @functools.cached_property
    def online_share(self) -> Floats:
        """Share of each customer's payments that are made online."""
        n = len(self.world.people)
        count = np.bincount(self.paid.customer, minlength=n)
        online = np.bincount(self.paid.customer[self.paid.channel > 1], minlength=n)
        return online / np.maximum(count, 1)

    def customers(self, draws: Draws, n: int) -> Integers:
        """Victims by chance; of those who pay at all, if anybody does."""
        pool = self._paying
        return pool[draws.whole(n, 0, len(pool) - 1)]

    def untouched(self, draws: Draws, n: int) -> Integers:
        """Victims by chance, each once and none that was one already, as far as they suffice."""
        fresh = self._paying[~self.victims[self._paying]]
        pool = fresh if len(fresh) else self._paying
        return pool[draws.order(len(pool))[np.arange(n) % len(pool)]]

    @functools.cached_property
    def _paying(self) -> Integers:
        found = np.flatnonzero(np.bincount(self.paid.customer))
        return found if len(found) else np.arange(len(self.world.people))

    def cards(self, draws: Draws, customer: Integers) -> Integers:
        """One of each victim's own cards."""
        second = self.world.people.has_second[customer]
        return np.where(second & draws.chance(len(customer), 0.45), SECOND, MAIN)

    def merchants(
        self, draws: Draws, place: Integers, kinds: Sequence[str], *, even: bool = True
    ) -> Integers:
        """Merchants of some kinds in cities or online; of any kind where there are none of these.

        Fraudsters have no favourites: each merchant of a kind is as likely (``even``), or each as
        it is popular.
        """
        shops = self.world.shops
        open_ = shops.available()
        weights = np.zeros(open_.shape)
        for kind in number_of(*kinds):
            weights[:, kind] += 1.0
        weights *= open_
        none = np.flatnonzero(weights.max(axis=1) == 0)
        weights[none] = open_[none]
        any_ = np.flatnonzero(weights.max(axis=1) > 0)
        place = np.where(np.isin(place, any_), place, any_[0])
        weights[weights.max(axis=1) == 0] = 1.0
        category = Table(weights).at(place, draws.uniform(len(place)))
        if not even:
            return shops.visited(place, category, draws.uniform(len(place)))
        return shops.any_of(place, category, draws.uniform(len(place)))

    def web(self, draws: Draws, n: int, kinds: Sequence[str]) -> Integers:
        """Merchants that sell online."""
        return self.merchants(draws, np.full(n, NOWHERE), kinds)

    def homes(self, customer: Integers) -> Integers:
        """City where each customer lives."""
        return self.world.people.home[customer]

    def hideouts(self, draws: Draws, customer: Integers) -> Integers:
        """City that the address on the internet of whoever attacks each customer points to."""
        n = len(customer)
        anywhere = draws.whole(n, 0, len(CITIES) - 1)
        return np.where(draws.chance(n, _NEARBY), self.homes(customer), anywhere)

    def amounts(self, draws: Draws, customer: Integers, times: tuple[float, float]) -> Integers:
        """Amounts of so many times what each customer usually pays, in cents."""
        n = len(customer)
        cents = np.rint(self.usual[customer] * draws.uniform(n, *times)).astype(np.int64)
        # Goods have prices, stolen or not.
        price = draws.uniform(n)
        cents = np.where(price < 0.4, cents // 100 * 100 + 99, cents)
        return np.where(price > 0.9, np.maximum(cents // 100, 1) * 100, cents)

    def begins(
        self,
        draws: Draws,
        at: Floats,
        span: Floats | float = 0.0,
        hours: tuple[float, float] | None = None,
    ) -> Integers:
        """Second at which each episode begins, so that one of ``span`` seconds still ends in time.

        With ``hours`` it begins between these hours of its day.
        """
        room = np.maximum(self.world.end - np.asarray(span), 1.0)
        begin: Integers = np.floor(at * room).astype(np.int64)
        if hours is not None:
            begin = begin // DAY * DAY
            begin += np.floor(draws.uniform(len(at), *hours) * HOUR).astype(np.int64)
        return begin

    def within(self, episodes: Episodes, time: NDArray[np.number]) -> Integers:
        """Move episodes that would end after the period to its end."""
        seconds: Integers = np.floor(time).astype(np.int64)
        if len(seconds):
            last = np.maximum.reduceat(seconds, episodes.first)
            over = np.maximum(last - (self.world.end - 1), 0)
            seconds = np.maximum(seconds - over[episodes.of], 0)
        return seconds


def in_opening_hours(time: NDArray[np.number]) -> Floats:
    """Move moments to between half past 8 and half past 19 of their day, in the same order."""
    day = np.floor(time / DAY)
    found: Floats = day * DAY + (8.5 + 11 * (time / DAY - day)) * HOUR
    return found


def devices(draws: Draws, n: int) -> NDArray[np.uint64]:
    """Devices that nobody has seen before."""
    return with_type(draws.raw(n), draws.whole(n, 0, 1))


def waits(draws: Draws, episodes: Episodes, shortest: float, longest: float) -> Floats:
    """Time from the first payment of an episode to each of its payments, with gaps by chance."""
    gaps = draws.uniform(int(episodes.size.sum()), shortest, longest)
    gaps[episodes.first] = 0
    total = np.cumsum(gaps)
    return total - total[episodes.first][episodes.of]


def spread(draws: Draws, episodes: Episodes, span: Floats) -> Floats:
    """Moments of an episode that lasts ``span``, in order; the first is at 0."""
    share = draws.uniform(int(episodes.size.sum()))
    share[episodes.first] = 0
    order = np.lexsort((share, episodes.of))
    return share[order] * span[episodes.of]
