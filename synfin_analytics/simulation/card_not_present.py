"""Fraud with card data or an account, without the card: online."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synfin_analytics.simulation._config import RESALE, RESALE_ONLINE
from synfin_analytics.simulation._context import draw_offsets, new_devices, spread_offsets
from synfin_analytics.simulation._payments import (
    CHIP,
    ECOMMERCE,
    HOUR,
    MAGSTRIPE,
    MOBILE,
    ONLINE,
    POS,
    STORED,
    Payments,
)
from synfin_analytics.simulation.pattern import Pattern

if TYPE_CHECKING:
    from synfin_analytics.simulation._context import Episodes, FraudContext
    from synfin_analytics.simulation._random import RandomStream


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

    def commit(self, rng: RandomStream, context: FraudContext, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        episode, k = episodes.index, len(episodes)
        n = len(episode)
        is_last = episodes.payment_number == episodes.size[episode] - 1
        is_large = is_last & (episodes.size[episode] > 1)
        customer = context.draw_victims(rng, k)
        test_merchant = context.draw_web_merchants(rng, k, ("digital services", "web shop"))
        start = context.start_times(rng, episodes.period_share, 6 * HOUR)[episode]
        time = start + draw_offsets(rng, episodes, self.gap_seconds)
        time = time + is_large * rng.uniform(n, *self.cash_out_minutes) * 60
        tiny_cents = rng.uniform(n, *self.amount) * 100
        large_cents = rng.uniform(n, *self.cash_out_amount) * 100
        return self.build_payments(
            rng,
            episodes,
            time=context.shift_into_period(episodes, time),
            cents=np.where(is_large, large_cents, tiny_cents),
            reason=is_large,
            customer=customer[episode],
            card=context.draw_cards(rng, customer)[episode],
            merchant=np.where(
                is_large,
                context.draw_web_merchants(rng, n, RESALE_ONLINE),
                test_merchant[episode],
            ),
            channel=ONLINE,
            entry=ECOMMERCE,
            place=context.draw_ip_cities(rng, customer)[episode],
            device=new_devices(rng, k)[episode],
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

    def commit(self, rng: RandomStream, context: FraudContext, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        episode, k = episodes.index, len(episodes)
        n = len(episode)
        candidates = np.array([context.draw_victims(rng, k) for _ in range(3)])
        least_online = context.online_share[candidates].argmin(axis=0)
        customer = candidates[least_online, np.arange(k)]
        span = rng.uniform(k, *self.hours) * HOUR
        start = context.start_times(rng, episodes.period_share, span)[episode]
        time = start + spread_offsets(rng, episodes, span)
        return self.build_payments(
            rng,
            episodes,
            time=context.shift_into_period(episodes, time),
            cents=context.draw_amounts(rng, customer[episode], self.amount_ratio),
            customer=customer[episode],
            card=context.draw_cards(rng, customer)[episode],
            merchant=context.draw_web_merchants(rng, n, RESALE_ONLINE),
            channel=np.where(rng.bernoulli(n, 0.6), MOBILE, ONLINE),
            entry=np.where(rng.bernoulli(n, 0.5), STORED, ECOMMERCE),
            place=context.draw_ip_cities(rng, customer)[episode],
            device=new_devices(rng, k)[episode],
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

    def commit(self, rng: RandomStream, context: FraudContext, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        episode = episodes.index
        n = len(episode)
        customer = context.draw_victims(rng, len(episodes))
        is_online = rng.bernoulli(n, self.online_share)
        home = context.home(customer)[episode]
        shop = context.draw_merchants(rng, home, RESALE)
        by_day = context.start_times(rng, episodes.period_share, HOUR, (9, 19.9))[episode]
        anytime = context.start_times(rng, episodes.period_share, HOUR)[episode]
        start = np.where(is_online, anytime, by_day)
        time = start + draw_offsets(rng, episodes, (60, HOUR))
        return self.build_payments(
            rng,
            episodes,
            time=context.shift_into_period(episodes, time),
            cents=context.draw_amounts(rng, customer[episode], self.amount_ratio),
            customer=customer[episode],
            card=context.draw_cards(rng, customer)[episode],
            merchant=np.where(
                is_online,
                context.draw_web_merchants(rng, n, ("web shop", "travel agency")),
                shop,
            ),
            channel=np.where(is_online, ONLINE, POS),
            entry=np.where(is_online, ECOMMERCE, np.where(rng.bernoulli(n, 0.5), MAGSTRIPE, CHIP)),
            place=np.where(is_online, context.draw_ip_cities(rng, customer)[episode], home),
            device=np.where(is_online, new_devices(rng, n), 0),
        )
