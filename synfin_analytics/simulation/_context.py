"""What fraudsters find: the genuine payments, and where stolen cards can be used."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import category_numbers
from synfin_analytics.simulation._customers import MAIN, SECOND
from synfin_analytics.simulation._payments import ATM, DAY, HOUR, WITHDRAWAL
from synfin_analytics.simulation._places import CITIES, NOWHERE
from synfin_analytics.simulation._random import ChoiceTable, RandomStream
from synfin_analytics.simulation._world import set_device_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation._random import Floats, Integers, Mask
    from synfin_analytics.simulation._world import World

#: Share of the IP addresses that fraudsters use in the victim's own city.
_LOCAL_IP_SHARE = 0.35


@dataclass(frozen=True)
class Episodes:
    """Episodes of fraud to commit."""

    #: When each starts, as a share of the period.
    period_share: Floats
    #: Number of payments of each.
    size: Integers

    def __len__(self) -> int:
        return len(self.size)

    @property
    def index(self) -> Integers:
        """Number of the episode of each payment."""
        return np.repeat(np.arange(len(self)), self.size)

    @property
    def payment_number(self) -> Integers:
        """Number of each payment within its episode, from 0."""
        return np.arange(int(self.size.sum())) - np.repeat(self.first_payment, self.size)

    @property
    def first_payment(self) -> Integers:
        """Position of the first payment of each episode."""
        return np.cumsum(self.size) - self.size


@dataclass(frozen=True)
class FraudContext:
    """The world and its genuine payments, in the order of time."""

    world: World
    payments: Payments
    #: Mean amount of each customer, in cents.
    mean_cents: Floats
    #: Whether each customer is a victim already.
    is_victim: Mask

    @functools.cached_property
    def in_person(self) -> Integers:
        """Numbers of the genuine payments with the card present, in the order of time."""
        with_card = self.payments.channel <= ATM
        return np.flatnonzero(with_card & (self.payments.kind <= WITHDRAWAL))

    @functools.cached_property
    def online_share(self) -> Floats:
        """Share of each customer's payments that are online."""
        n = len(self.world.customers)
        count = np.bincount(self.payments.customer, minlength=n)
        is_online = self.payments.channel > ATM
        online = np.bincount(self.payments.customer[is_online], minlength=n)
        return online / np.maximum(count, 1)

    def draw_victims(self, rng: RandomStream, n: int) -> Integers:
        """Draw victims, from those who pay at all, if anybody does."""
        pool = self._paying
        return pool[rng.integers(n, 0, len(pool) - 1)]

    def draw_new_victims(self, rng: RandomStream, n: int) -> Integers:
        """Draw distinct victims who are none yet, as far as there are any."""
        unharmed = self._paying[~self.is_victim[self._paying]]
        pool = unharmed if len(unharmed) else self._paying
        return pool[rng.permutation(len(pool))[np.arange(n) % len(pool)]]

    @functools.cached_property
    def _paying(self) -> Integers:
        customers = np.flatnonzero(np.bincount(self.payments.customer))
        return customers if len(customers) else np.arange(len(self.world.customers))

    def draw_cards(self, rng: RandomStream, customer: Integers) -> Integers:
        """Draw one of each victim's own cards."""
        has_second = self.world.customers.has_second[customer]
        return np.where(has_second & rng.bernoulli(len(customer), 0.45), SECOND, MAIN)

    def draw_merchants(
        self, rng: RandomStream, place: Integers, categories: Sequence[str]
    ) -> Integers:
        """Draw merchants of some categories; of any category where these do not exist.

        Fraudsters have no favourites: all merchants of a category are equally likely.
        """
        merchants = self.world.merchants
        exists = merchants.exists()
        weights = np.zeros(exists.shape)
        for number in category_numbers(*categories):
            weights[:, number] += 1.0
        weights *= exists
        without = np.flatnonzero(weights.max(axis=1) == 0)
        weights[without] = exists[without]
        available = np.flatnonzero(weights.max(axis=1) > 0)
        place = np.where(np.isin(place, available), place, available[0])
        weights[weights.max(axis=1) == 0] = 1.0
        category = ChoiceTable(weights).choose(place, rng.uniform(len(place)))
        return merchants.choose_uniformly(place, category, rng.uniform(len(place)))

    def draw_web_merchants(self, rng: RandomStream, n: int, categories: Sequence[str]) -> Integers:
        """Draw merchants that sell online."""
        return self.draw_merchants(rng, np.full(n, NOWHERE), categories)

    def home(self, customer: Integers) -> Integers:
        """Return the home city of customers."""
        return self.world.customers.home[customer]

    def draw_ip_cities(self, rng: RandomStream, customer: Integers) -> Integers:
        """Draw the city that the IP address of each customer's attacker points to."""
        n = len(customer)
        anywhere = rng.integers(n, 0, len(CITIES) - 1)
        return np.where(rng.bernoulli(n, _LOCAL_IP_SHARE), self.home(customer), anywhere)

    def draw_amounts(
        self, rng: RandomStream, customer: Integers, ratio: tuple[float, float]
    ) -> Integers:
        """Draw amounts in a range of multiples of each customer's mean, in cents."""
        n = len(customer)
        cents = np.rint(self.mean_cents[customer] * rng.uniform(n, *ratio)).astype(np.int64)
        # Prices end in 99 cents, or are in whole euros.
        share = rng.uniform(n)
        cents = np.where(share < 0.4, cents // 100 * 100 + 99, cents)
        return np.where(share > 0.9, np.maximum(cents // 100, 1) * 100, cents)

    def start_times(
        self,
        rng: RandomStream,
        period_share: Floats,
        span: Floats | float = 0.0,
        hours: tuple[float, float] | None = None,
    ) -> Integers:
        """Return the second at which each episode starts, so that ``span`` seconds fit after it.

        With ``hours``, it starts between these hours of its day.
        """
        available = np.maximum(self.world.end - np.asarray(span), 1.0)
        start: Integers = np.floor(period_share * available).astype(np.int64)
        if hours is not None:
            start = start // DAY * DAY
            start += np.floor(rng.uniform(len(period_share), *hours) * HOUR).astype(np.int64)
        return start

    def shift_into_period(self, episodes: Episodes, time: NDArray[np.number]) -> Integers:
        """Shift episodes that would end after the period to its end."""
        seconds: Integers = np.floor(time).astype(np.int64)
        if len(seconds):
            end = np.maximum.reduceat(seconds, episodes.first_payment)
            excess = np.maximum(end - (self.world.end - 1), 0)
            seconds = np.maximum(seconds - excess[episodes.index], 0)
        return seconds


def to_opening_hours(time: NDArray[np.number]) -> Floats:
    """Compress times of day into 8:30 to 19:30, in the same order."""
    day = np.floor(time / DAY)
    times: Floats = day * DAY + (8.5 + 11 * (time / DAY - day)) * HOUR
    return times


def new_devices(rng: RandomStream, n: int) -> NDArray[np.uint64]:
    """Draw devices that nobody used before."""
    return set_device_type(rng.bits(n), rng.integers(n, 0, 1))


def draw_offsets(rng: RandomStream, episodes: Episodes, gap: tuple[float, float]) -> Floats:
    """Draw the seconds from the first payment of an episode to each, with gaps in a range."""
    gaps = rng.uniform(int(episodes.size.sum()), *gap)
    gaps[episodes.first_payment] = 0
    total = np.cumsum(gaps)
    return total - total[episodes.first_payment][episodes.index]


def spread_offsets(rng: RandomStream, episodes: Episodes, span: Floats) -> Floats:
    """Draw the seconds from the first payment of an episode to each, within ``span``."""
    share = rng.uniform(int(episodes.size.sum()))
    share[episodes.first_payment] = 0
    order = np.lexsort((share, episodes.index))
    return share[order] * span[episodes.index]
