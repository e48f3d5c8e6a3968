"""The interface of all fraud patterns: what a pattern knows, draws and returns.

A pattern commits its :class:`Episodes` in a :class:`FraudContext`: the genuine payments, and the
places where stolen cards can be used.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.simulation._config import CITIES, NOWHERE, category_numbers
from synfin_analytics.simulation._payments import (
    DAY,
    HOUR,
    MAX_CENTS,
    MIN_CENTS,
    Channel,
    Kind,
    Payments,
    Status,
)
from synfin_analytics.simulation._population import Card
from synfin_analytics.simulation._random import ChoiceTable, RandomStream
from synfin_analytics.simulation._world import set_device_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from synfin_analytics.simulation._random import Floats, Integers, Mask, RandomStream
    from synfin_analytics.simulation._world import World

#: Share of the IP addresses that fraudsters use in the victim's own city.
_LOCAL_IP_SHARE = 0.35
#: Parameters that are a share, and so at most 1.
_SHARES = (
    "amount_variation",
    "decline_rate",
    "online_share",
    "partner_stays_share",
    "same_terminal_share",
)
#: Upper limit of all numbers: days of centuries, and amounts beyond any card's limit.
_MAX = 100_000


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
        with_card = self.payments.channel <= Channel.ATM
        return np.flatnonzero(with_card & (self.payments.kind <= Kind.WITHDRAWAL))

    @functools.cached_property
    def online_share(self) -> Floats:
        """Share of each customer's payments that are online."""
        n = len(self.world.customers)
        count = np.bincount(self.payments.customer, minlength=n)
        is_online = self.payments.channel > Channel.ATM
        online = np.bincount(self.payments.customer[is_online], minlength=n)
        return online / np.maximum(count, 1)

    @functools.cached_property
    def paying(self) -> Integers:
        """Numbers of the customers who pay at all; of all customers if there are none."""
        customers = np.flatnonzero(np.bincount(self.payments.customer))
        return customers if len(customers) else np.arange(len(self.world.customers))


@dataclass(frozen=True)
class Episodes:
    """Episodes of fraud to commit, and what is drawn at random for them."""

    context: FraudContext
    rng: RandomStream
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
    def first_payment(self) -> Integers:
        """Position of the first payment of each episode."""
        return np.cumsum(self.size) - self.size

    def draw_victims(self) -> Integers:
        """Draw the victim of each episode: a customer who pays at all, if there are any."""
        pool = self.context.paying
        return pool[self.rng.integers(len(self), 0, len(pool) - 1)]

    def draw_new_victims(self) -> Integers:
        """Draw distinct victims, who were not victims before as far as there are such customers."""
        paying = self.context.paying
        unharmed = paying[~self.context.is_victim[paying]]
        pool = unharmed if len(unharmed) else paying
        return pool[self.rng.permutation(len(pool))[np.arange(len(self)) % len(pool)]]

    def draw_cards(self, customer: Integers) -> Integers:
        """Draw one of the own cards of each victim."""
        has_second = self.context.world.customers.has_second[customer]
        return np.where(
            has_second & self.rng.bernoulli(len(customer), 0.45), Card.SECOND, Card.MAIN
        )

    def draw_merchants(self, place: Integers, categories: Sequence[str]) -> Integers:
        """Draw merchants of some categories; of any category where these do not exist.

        Fraudsters have no favourites: all merchants of a category are equally likely.
        """
        merchants = self.context.world.merchants
        exists = merchants.exists()
        is_wanted = exists & np.isin(np.arange(exists.shape[1]), category_numbers(*categories))
        weights = np.where(is_wanted.any(axis=1, keepdims=True), is_wanted, exists).astype(
            np.float64
        )
        available = np.asarray(exists.any(axis=1))
        place = np.where(available[place], place, available.argmax())
        weights[~available] = 1.0  # of places that are never drawn
        category = ChoiceTable(weights).choose(place, self.rng.uniform(len(place)))
        return merchants.choose_uniformly(place, category, self.rng.uniform(len(place)))

    def draw_web_merchants(self, n: int, categories: Sequence[str]) -> Integers:
        """Draw merchants that sell online."""
        return self.draw_merchants(np.full(n, NOWHERE), categories)

    def home(self, customer: Integers) -> Integers:
        """Return the home city of customers."""
        return self.context.world.customers.home[customer]

    def draw_ip_cities(self, customer: Integers) -> Integers:
        """Draw the city that the IP address of each customer's attacker points to."""
        n = len(customer)
        anywhere = self.rng.integers(n, 0, len(CITIES) - 1)
        return np.where(self.rng.bernoulli(n, _LOCAL_IP_SHARE), self.home(customer), anywhere)

    def draw_amounts(self, customer: Integers, ratio: tuple[float, float]) -> Integers:
        """Draw amounts in a range of multiples of each customer's mean, in cents."""
        n = len(customer)
        cents = np.rint(self.context.mean_cents[customer] * self.rng.uniform(n, *ratio)).astype(
            np.int64
        )
        # Prices end in 99 cents, or are in whole euros.
        share = self.rng.uniform(n)
        cents = np.where(share < 0.4, cents // 100 * 100 + 99, cents)
        return np.where(share > 0.9, np.maximum(cents // 100, 1) * 100, cents)

    def start_times(
        self,
        span: Floats | float,
        hours: tuple[float, float] | None = None,
        *,
        period_share: Floats | None = None,
    ) -> Integers:
        """Return the second at which each episode starts, so that ``span`` seconds fit after it.

        With ``hours``, it starts between these hours of its day.
        """
        if period_share is None:
            period_share = self.period_share
        available = np.maximum(self.context.world.end - np.asarray(span), 1.0)
        start: Integers = np.floor(period_share * available).astype(np.int64)
        if hours is not None:
            start = start // DAY * DAY
            start += np.floor(self.rng.uniform(len(period_share), *hours) * HOUR).astype(np.int64)
        return start

    def shift_into_period(self, time: NDArray[np.number]) -> Integers:
        """Shift episodes that would end after the period to its end."""
        seconds: Integers = np.floor(time).astype(np.int64)
        if len(seconds):
            end = np.maximum.reduceat(seconds, self.first_payment)
            excess = np.maximum(end - (self.context.world.end - 1), 0)
            seconds = np.maximum(seconds - excess[self.index], 0)
        return seconds

    def new_devices(self, n: int) -> NDArray[np.uint64]:
        """Draw devices that were never used before."""
        return set_device_type(self.rng.bits(n), self.rng.integers(n, 0, 1))

    def draw_offsets(self, gap: tuple[float, float]) -> Floats:
        """Draw the seconds from the first payment of an episode to each, with gaps in a range."""
        gaps = self.rng.uniform(int(self.size.sum()), *gap)
        gaps[self.first_payment] = 0
        total = np.cumsum(gaps)
        return total - total[self.first_payment][self.index]

    def spread_offsets(self, span: Floats) -> Floats:
        """Draw the seconds from the first payment of an episode to each, within ``span``."""
        share = self.rng.uniform(int(self.size.sum()))
        share[self.first_payment] = 0
        order = np.lexsort((share, self.index))
        return share[order] * span[self.index]


def to_opening_hours(time: NDArray[np.number]) -> Floats:
    """Compress times of day into 8:30 to 19:30, in the same order."""
    day = np.floor(time / DAY)
    times: Floats = day * DAY + (8.5 + 11 * (time / DAY - day)) * HOUR
    return times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pattern(ABC):
    """A way to commit fraud, with its parameters; a pair of numbers is a range with both ends.

    Raises
    ------
    ArgumentError
        A parameter does not have the form of its default, or ``label_delay_mean`` is less than
        ``label_delay_min``.

    Examples
    --------
    >>> from synfin_analytics.simulation import CardTesting
    >>> CardTesting(payments=(4, 6)).label_delay_mean
    0.32
    """

    #: Value of ``fraud_type``, and values of ``fraud_reason``.
    name: ClassVar[str]
    reasons: ClassVar[tuple[str, ...]]
    #: With drift, it becomes more (1) or less (-1) frequent during the period.
    trend: ClassVar[int] = 0

    #: Weight among all fraudulent transactions.
    weight: float = 1.0
    #: Fraudulent transactions of an episode.
    payments: tuple[int, int] = (1, 1)
    #: Days until the bank learns of it, at least and on average.
    label_delay_min: float = 0.5
    label_delay_mean: float = 3.5
    #: Share of the transactions that are declined.
    decline_rate: float = 0.05

    def __post_init__(self) -> None:
        check_parameters(self, "pattern")
        if self.label_delay_mean < self.label_delay_min:
            raise ArgumentError(
                f"The parameter 'label_delay_mean' of the pattern {self.name!r} must be at least "
                f"'label_delay_min'; got {self.label_delay_mean} and {self.label_delay_min}."
            )

    def is_possible(self, context: FraudContext) -> bool:
        """Whether the world has what the pattern needs."""
        return len(context.payments) > 0

    @abstractmethod
    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""

    def build_payments(
        self,
        episodes: Episodes,
        *,
        time: Integers,
        cents: NDArray[np.number],
        labelled_separately: bool = False,
        reason: ArrayLike = 0,
        **columns: ArrayLike,
    ) -> Payments:
        """Build the payments of these episodes, with their labels and statuses.

        The bank learns of all payments of an episode at once, some time after its end; or, if
        ``labelled_separately``, of each payment by itself.
        """
        end = time if labelled_separately else np.maximum.reduceat(time, episodes.first_payment)
        beyond_min = self.label_delay_mean - self.label_delay_min
        days = self.label_delay_min + beyond_min * episodes.rng.exponential(len(end))
        label_time = end + days * DAY
        if not labelled_separately:
            label_time = label_time[episodes.index]
        is_declined: Mask = episodes.rng.bernoulli(len(time), self.decline_rate)
        return Payments.build(
            len(time),
            time=time,
            cents=np.clip(np.rint(cents), MIN_CENTS, MAX_CENTS),
            status=np.where(is_declined, Status.DECLINED, 0),
            label_time=np.maximum(np.ceil(label_time), time + 60),
            reason=reason,
            **columns,
        )


def check_parameters(instance: Any, kind: str) -> None:
    """Raise if a parameter of a dataclass does not have the form of its default.

    Numbers are not negative and at most 100,000, integers at least 1. Pairs are ranges, the smaller
    number first.

    Raises
    ------
    ArgumentError
        The message has the parameter, its form and an example.
    """
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        is_share = field.name in _SHARES
        if not _is_valid(value, field.default) or (is_share and value > 1):
            form = "a share from 0 to 1" if is_share else _describe_form(field.default)
            raise ArgumentError(
                f"The parameter {field.name!r} of the {kind} {instance.name!r} must be {form}, "
                f"such as {field.default!r}; got {value!r}."
            )


def _is_valid(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        if not isinstance(value, tuple | list) or not value:
            return False
        if not all(_is_valid(element, default[0]) for element in value):
            return False
        return len(default) != 2 or (len(value) == 2 and value[0] <= value[1])
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) <= _MAX:
        return False
    is_count = isinstance(value, Integral) and int(value) >= 1
    return float(value) >= 0 if isinstance(default, float) else is_count


def _describe_form(default: Any) -> str:
    element = default[0] if isinstance(default, tuple) else default
    is_float = isinstance(element, float)
    if not isinstance(default, tuple):
        return "a number of at least 0" if is_float else "an integer of at least 1"
    limit = "numbers of at least 0" if is_float else "integers of at least 1"
    if len(default) == 2:
        return f"a pair of {limit}, the smaller one first"
    return f"one or more {limit}"
