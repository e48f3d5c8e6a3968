"""Fraud with a card: lost, stolen or copied, in hand; or with its data or the account, online."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synfin_analytics.simulation._config import (
    CASH,
    CATEGORY,
    RESALE,
    RESALE_ONLINE,
    distances,
)
from synfin_analytics.simulation._payments import (
    DAY,
    HOUR,
    Channel,
    Entry,
    Kind,
    Payments,
)
from synfin_analytics.simulation._world import CONTACTLESS_LIMIT
from synfin_analytics.simulation.pattern import Pattern, to_opening_hours

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from synfin_analytics.simulation._random import Integers, Mask
    from synfin_analytics.simulation.pattern import Episodes, FraudContext

_DAYTIME = ("clothing", "household", "electronics", "grocery", "restaurant", "pharmacy")
_NIGHT = (CASH, "fuel", "restaurant", "transport")
_ABROAD = (*RESALE, "restaurant", CASH)


def payment_columns(
    episodes: Episodes, merchant: Integers, entry: ArrayLike, *, is_online: Mask | bool = False
) -> dict[str, Any]:
    """Return the columns of payments online, or with a card in a shop or at a cash machine."""
    merchants = episodes.context.world.merchants
    is_cash = merchants.category[merchant] == CATEGORY[CASH]
    in_shop = np.broadcast_to(np.asarray(entry), merchant.shape)
    at_machine = np.where(in_shop == Entry.CONTACTLESS, Entry.CHIP, in_shop)
    at_machine = np.where(in_shop == Entry.MANUAL, Entry.MAGSTRIPE, at_machine)
    in_person = np.where(is_cash, Channel.ATM, Channel.POS)
    return {
        "merchant": merchant,
        "terminal": episodes.rng.integers(len(merchant), 0, merchants.terminals[merchant] - 1),
        "kind": np.where(is_cash, Kind.WITHDRAWAL, Kind.PURCHASE),
        "channel": np.where(is_online, Channel.ONLINE, in_person),
        "entry": np.where(is_online, Entry.ECOMMERCE, np.where(is_cash, at_machine, in_shop)),
    }


def round_cash(context: FraudContext, merchant: Integers, cents: Integers) -> Integers:
    """Round the amounts at cash machines to banknotes of 20 euros."""
    is_cash = context.world.merchants.category[merchant] == CATEGORY[CASH]
    return np.where(is_cash, np.clip(cents // 2_000 * 2_000, 2_000, 60_000), cents)


def _chip_or_contactless(cents: Integers) -> Integers:
    return np.where(cents <= CONTACTLESS_LIMIT, Entry.CONTACTLESS, Entry.CHIP)


@dataclass(frozen=True, kw_only=True)
class VelocityBurst(Pattern):
    """A stolen card is used as fast as possible in the victim's city, before it is blocked.

    Examples
    --------
    >>> VelocityBurst(payments=(8, 10)).minutes
    (20.0, 100.0)
    """

    name: ClassVar[str] = "velocity_burst"
    trend: ClassVar[int] = -1
    reasons: ClassVar[tuple[str, ...]] = (
        "a stolen card was used many times within an hour or two before it was blocked",
    )

    weight: float = 9.0
    payments: tuple[int, int] = (6, 14)
    label_delay_min: float = 0.1
    label_delay_mean: float = 1.1
    decline_rate: float = 0.1
    #: From the first payment to the last.
    minutes: tuple[float, float] = (20.0, 100.0)
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (0.4, 2.5)

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, episode, k = episodes.rng, episodes.index, len(episodes)
        customer = episodes.draw_victims()
        place = episodes.home(customer)[episode]
        merchant = episodes.draw_merchants(place, _DAYTIME)
        span = rng.uniform(k, *self.minutes) * 60
        start = episodes.start_times(DAY, (9, 18.5))
        cents = episodes.draw_amounts(customer[episode], self.amount_ratio)
        time = start[episode] + episodes.spread_offsets(span)
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(time),
            cents=cents,
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            place=place,
            **payment_columns(episodes, merchant, _chip_or_contactless(cents)),
        )


@dataclass(frozen=True, kw_only=True)
class ImpossibleTravel(Pattern):
    """A copied card is used so far away that its owner, who has just paid, cannot be there.

    The first payment is after the time that ``speed_kmh`` takes from the owner's last one.

    Examples
    --------
    >>> ImpossibleTravel(min_km=1000.0).speed_kmh
    (1500.0, 8000.0)
    """

    name: ClassVar[str] = "impossible_travel"
    trend: ClassVar[int] = -1
    reasons: ClassVar[tuple[str, ...]] = (
        "a copied card was used far away shortly after its owner had paid in person",
    )

    weight: float = 6.0
    payments: tuple[int, int] = (1, 3)
    label_delay_min: float = 0.2
    label_delay_mean: float = 1.7
    decline_rate: float = 0.15
    speed_kmh: tuple[float, float] = (1500.0, 8000.0)
    min_km: float = 500.0
    gap_minutes: tuple[float, float] = (3.0, 40.0)
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (1.0, 6.0)

    def is_possible(self, context: FraudContext) -> bool:
        """Whether a customer pays in person, and merchants are far from there."""
        if not len(context.in_person):
            return False
        return bool(self._is_reachable(context)[self._owner_cities(context)].any())

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        payments = context.payments
        is_reachable = self._is_reachable(context)
        rows = context.in_person[is_reachable[self._owner_cities(context)].any(axis=1)]
        targets = episodes.period_share * max(context.world.end - 8 * HOUR, 1)
        position = np.searchsorted(payments.time[rows], targets)
        owner = rows[np.minimum(position, len(rows) - 1)]
        city = payments.place[owner].astype(np.int64)
        weights = is_reachable[city]
        share = rng.uniform(k)[:, None] * weights.sum(axis=1)[:, None]
        place = (share >= weights.cumsum(axis=1)).sum(axis=1)
        km = distances()[city, place]
        speed = np.maximum(rng.uniform(k, *self.speed_kmh), 1.0)
        first = payments.time[owner] + km / speed * HOUR
        low, high = self.gap_minutes
        time = first[episode] + episodes.draw_offsets((60 * low, 60 * high))
        customer = payments.customer[owner]
        merchant = episodes.draw_merchants(place[episode], _ABROAD)
        cents = episodes.draw_amounts(customer[episode], self.amount_ratio)
        return self.build_payments(
            episodes,
            time=np.minimum(np.floor(time).astype(np.int64), context.world.end - 1),
            cents=round_cash(context, merchant, cents),
            customer=customer[episode],
            card=payments.card[owner][episode],
            place=place[episode],
            **payment_columns(episodes, merchant, Entry.MAGSTRIPE),
        )

    def _is_reachable(self, context: FraudContext) -> Mask:
        """Whether each city (column) is far enough from each city (row), and has merchants."""
        mask: Mask = (distances() >= self.min_km) & context.world.merchants.cities_with_merchants()
        return mask

    def _owner_cities(self, context: FraudContext) -> Integers:
        return context.payments.place[context.in_person].astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class JustBelowLimit(Pattern):
    """A stolen card pays repeatedly just below a limit from which payments are checked.

    Examples
    --------
    >>> JustBelowLimit(limits=(30.0, 60.0)).margin
    (0.001, 0.03)
    """

    name: ClassVar[str] = "just_below_limit"
    reasons: ClassVar[tuple[str, ...]] = (
        "a stolen card paid just less than a limit from which payments are checked",
    )

    weight: float = 7.0
    payments: tuple[int, int] = (4, 9)
    label_delay_min: float = 1.0
    label_delay_mean: float = 7.0
    #: In euros; each episode uses one of them.
    limits: tuple[float, ...] = (50.0, 100.0, 250.0, 500.0)
    #: Distance of an amount below the limit, as a share of it.
    margin: tuple[float, float] = (0.001, 0.03)
    #: From the first payment to the last.
    hours: tuple[float, float] = (2.0, 40.0)

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, episode, k = episodes.rng, episodes.index, len(episodes)
        customer = episodes.draw_victims()
        limit = np.array(self.limits)[rng.integers(k, 0, len(self.limits) - 1)] * 100
        span = rng.uniform(k, *self.hours) * HOUR
        start = episodes.start_times(span)[episode]
        time = start + episodes.spread_offsets(span)
        place = episodes.home(customer)[episode]
        merchant = episodes.draw_merchants(place, _DAYTIME)
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(to_opening_hours(time)),
            cents=np.floor(limit[episode] * (1 - rng.uniform(len(episode), *self.margin))),
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            place=place,
            **payment_columns(episodes, merchant, _chip_or_contactless(limit)[episode]),
        )


@dataclass(frozen=True, kw_only=True)
class NightSpree(Pattern):
    """A card stolen in the evening is used all night: cash machines, fuel, bars.

    Examples
    --------
    >>> NightSpree(night_hours=(1.0, 4.0)).amount_ratio
    (0.8, 4.0)
    """

    name: ClassVar[str] = "night_spree"
    trend: ClassVar[int] = -1
    reasons: ClassVar[tuple[str, ...]] = (
        "a card stolen in the evening was used through the night",
    )

    weight: float = 7.0
    payments: tuple[int, int] = (4, 9)
    label_delay_min: float = 0.3
    label_delay_mean: float = 1.0
    decline_rate: float = 0.1
    #: Hours of the night, UTC.
    night_hours: tuple[float, float] = (0.0, 5.0)
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (0.8, 4.0)

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        customer = episodes.draw_victims()
        place = episodes.home(customer)[episode]
        merchant = episodes.draw_merchants(place, _NIGHT)
        low, high = self.night_hours
        night = episodes.start_times(0.0, (low, low))
        span = np.full(k, (high - low) * HOUR)
        offset = rng.uniform(len(episode)) * span[episode]
        amounts = episodes.draw_amounts(customer[episode], self.amount_ratio)
        cents = round_cash(context, merchant, amounts)
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(night[episode] + offset),
            cents=cents,
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            place=place,
            **payment_columns(episodes, merchant, _chip_or_contactless(cents)),
        )


@dataclass(frozen=True, kw_only=True)
class DormantCard(Pattern):
    """A customer's cards are unused for weeks; then a stolen one is used a few times.

    The payments that the customer would make in these weeks, and during the fraud, are left out.

    Examples
    --------
    >>> DormantCard(inactive_days=(60.0, 90.0)).online_share
    0.4
    """

    name: ClassVar[str] = "dormant_card"
    reasons: ClassVar[tuple[str, ...]] = (
        "a card that had lain unused for weeks was stolen and used",
    )

    weight: float = 6.0
    payments: tuple[int, int] = (4, 9)
    label_delay_min: float = 2.0
    label_delay_mean: float = 10.0
    decline_rate: float = 0.1
    #: Days without a payment before; at most a third of the period.
    inactive_days: tuple[float, float] = (40.0, 80.0)
    #: From the first payment to the last.
    hours: tuple[float, float] = (5.0, 60.0)
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (0.8, 4.0)
    #: Share of the payments that are online.
    online_share: float = 0.4

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes; :meth:`is_suppressed` selects those to remove."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        n = len(episode)
        customer = episodes.draw_new_victims()
        span = np.minimum(rng.uniform(k, *self.hours) * HOUR, context.world.end / 10)
        # There are payments before the inactivity.
        earliest = min(self.inactive_days[1] / len(context.world.calendar), 1 / 3) + 0.05
        period_share = earliest + (1 - earliest) * episodes.period_share
        start = episodes.start_times(span, period_share=period_share)[episode]
        time = start + episodes.spread_offsets(span)
        is_online = rng.bernoulli(n, self.online_share)
        time = np.where(is_online, time, to_opening_hours(time))
        home = episodes.home(customer)[episode]
        shop = episodes.draw_merchants(home, RESALE)
        web_merchant = episodes.draw_web_merchants(n, RESALE_ONLINE)
        merchant = np.where(is_online, web_merchant, shop)
        columns = payment_columns(episodes, merchant, Entry.CHIP, is_online=is_online)
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(time),
            cents=episodes.draw_amounts(customer[episode], self.amount_ratio),
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            place=np.where(is_online, episodes.draw_ip_cities(customer)[episode], home),
            device=np.where(is_online, episodes.new_devices(k)[episode], 0),
            **columns,
        )

    def is_suppressed(self, episodes: Episodes, fraud: Payments) -> Mask:
        """Whether each genuine payment would interrupt the inactivity before these frauds."""
        rng, context = episodes.rng, episodes.context
        n = len(context.world.customers)
        first, last = np.full(n, context.world.end), np.full(n, -1)
        np.minimum.at(first, fraud.customer, fraud.time)
        np.maximum.at(last, fraud.customer, fraud.time)
        inactive = rng.uniform(n, *self.inactive_days) * DAY
        inactive_from = first - np.minimum(inactive, context.world.end / 3)
        time, customer = context.payments.time, context.payments.customer
        mask: Mask = (time >= inactive_from[customer]) & (time <= last[customer])
        return mask


@dataclass(frozen=True, kw_only=True)
class CardTesting(Pattern):
    """A stolen card number is tried with tiny payments online, then used for a large one.

    The tiny payments are seconds apart at one merchant, from a device that the customer never used;
    the large one is at another merchant.

    Examples
    --------
    >>> CardTesting(amount=(1.0, 2.0)).cash_out_amount
    (120.0, 900.0)
    """

    name: ClassVar[str] = "card_testing"
    trend: ClassVar[int] = 1
    reasons: ClassVar[tuple[str, ...]] = (
        "a stolen card number was tried with a tiny payment online",
        "a large payment online with a card number that tiny payments had tried",
    )

    weight: float = 14.0
    payments: tuple[int, int] = (5, 13)
    label_delay_min: float = 0.02
    label_delay_mean: float = 0.32
    decline_rate: float = 0.25
    #: Amount of the tiny payments, in euros.
    amount: tuple[float, float] = (0.5, 3.0)
    gap_seconds: tuple[float, float] = (15.0, 150.0)
    #: Amount of the large payment, in euros, and minutes until it.
    cash_out_amount: tuple[float, float] = (120.0, 900.0)
    cash_out_minutes: tuple[float, float] = (5.0, 180.0)

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, episode, k = episodes.rng, episodes.index, len(episodes)
        n = len(episode)
        is_last = np.arange(n) == np.cumsum(episodes.size)[episode] - 1
        is_large = is_last & (episodes.size[episode] > 1)
        customer = episodes.draw_victims()
        test_merchant = episodes.draw_web_merchants(k, ("digital services", "web shop"))
        start = episodes.start_times(6 * HOUR)[episode]
        time = start + episodes.draw_offsets(self.gap_seconds)
        time = time + is_large * rng.uniform(n, *self.cash_out_minutes) * 60
        tiny_cents = rng.uniform(n, *self.amount) * 100
        large_cents = rng.uniform(n, *self.cash_out_amount) * 100
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(time),
            cents=np.where(is_large, large_cents, tiny_cents),
            reason=is_large,
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            merchant=np.where(
                is_large,
                episodes.draw_web_merchants(n, RESALE_ONLINE),
                test_merchant[episode],
            ),
            channel=Channel.ONLINE,
            entry=Entry.ECOMMERCE,
            place=episodes.draw_ip_cities(customer)[episode],
            device=episodes.new_devices(k)[episode],
        )


@dataclass(frozen=True, kw_only=True)
class AccountTakeover(Pattern):
    """A fraudster takes over a customer's account, and shops with it from another device.

    Victims are customers who rarely pay online: of three, the one with the lowest share.

    Examples
    --------
    >>> AccountTakeover(payments=(2, 4)).hours
    (3.0, 72.0)
    """

    name: ClassVar[str] = "account_takeover"
    trend: ClassVar[int] = 1
    reasons: ClassVar[tuple[str, ...]] = (
        "the account was taken over and used from a device that the customer never had",
    )

    weight: float = 14.0
    payments: tuple[int, int] = (3, 9)
    label_delay_min: float = 0.5
    label_delay_mean: float = 3.5
    decline_rate: float = 0.08
    #: From the first payment to the last.
    hours: tuple[float, float] = (3.0, 72.0)
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (1.5, 6.0)

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        n = len(episode)
        candidates = np.array([episodes.draw_victims() for _ in range(3)])
        least_online = context.online_share[candidates].argmin(axis=0)
        customer = candidates[least_online, np.arange(k)]
        span = rng.uniform(k, *self.hours) * HOUR
        start = episodes.start_times(span)[episode]
        time = start + episodes.spread_offsets(span)
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(time),
            cents=episodes.draw_amounts(customer[episode], self.amount_ratio),
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            merchant=episodes.draw_web_merchants(n, RESALE_ONLINE),
            channel=np.where(rng.bernoulli(n, 0.6), Channel.MOBILE, Channel.ONLINE),
            entry=np.where(rng.bernoulli(n, 0.5), Entry.STORED, Entry.ECOMMERCE),
            place=episodes.draw_ip_cities(customer)[episode],
            device=episodes.new_devices(k)[episode],
        )


@dataclass(frozen=True, kw_only=True)
class AmountSpike(Pattern):
    """One payment of many times the customer's usual amount, for goods that can be resold.

    Examples
    --------
    >>> AmountSpike(amount_ratio=(20, 30)).online_share
    0.65
    """

    name: ClassVar[str] = "amount_spike"
    reasons: ClassVar[tuple[str, ...]] = (
        "stolen card data were used for one payment of many times the usual amount",
    )

    weight: float = 8.0
    payments: tuple[int, int] = (1, 1)
    label_delay_min: float = 0.5
    label_delay_mean: float = 5.5
    decline_rate: float = 0.15
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (10.0, 35.0)
    #: Share of the payments that are online; the others are made with a copied card in a shop.
    online_share: float = 0.65

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng = episodes.rng
        episode = episodes.index
        n = len(episode)
        customer = episodes.draw_victims()
        is_online = rng.bernoulli(n, self.online_share)
        home = episodes.home(customer)[episode]
        shop = episodes.draw_merchants(home, RESALE)
        by_day = episodes.start_times(HOUR, (9, 19.9))[episode]
        anytime = episodes.start_times(HOUR)[episode]
        start = np.where(is_online, anytime, by_day)
        time = start + episodes.draw_offsets((60, HOUR))
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(time),
            cents=episodes.draw_amounts(customer[episode], self.amount_ratio),
            customer=customer[episode],
            card=episodes.draw_cards(customer)[episode],
            merchant=np.where(
                is_online,
                episodes.draw_web_merchants(n, ("web shop", "travel agency")),
                shop,
            ),
            channel=np.where(is_online, Channel.ONLINE, Channel.POS),
            entry=np.where(
                is_online,
                Entry.ECOMMERCE,
                np.where(rng.bernoulli(n, 0.5), Entry.MAGSTRIPE, Entry.CHIP),
            ),
            place=np.where(is_online, episodes.draw_ip_cities(customer)[episode], home),
            device=np.where(is_online, episodes.new_devices(n), 0),
        )
