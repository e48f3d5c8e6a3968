"""Frauds with the data of a card, or with an account, from afar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synfin_analytics.simulation._config import RESALE, RESALE_ONLINE
from synfin_analytics.simulation._context import devices, in_opening_hours, spread, waits
from synfin_analytics.simulation._pattern import Pattern
from synfin_analytics.simulation._payments import (
    CHIP,
    DAY,
    ECOMMERCE,
    HOUR,
    MAGSTRIPE,
    MOBILE,
    ONLINE,
    POS,
    REFUND,
    STORED,
    Payments,
)
from synfin_analytics.simulation._people import MAIN

if TYPE_CHECKING:
    from synfin_analytics.simulation._context import Episodes, Scene
    from synfin_analytics.simulation._random import Draws


@dataclass(frozen=True, kw_only=True)
class CardTesting(Pattern):
    """A stolen card number is tried with tiny payments online, then used for a large one.

    The tiny ones come seconds apart at one merchant, from a device that the customer never had;
    the large one goes to another merchant.
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
    #: Of the tiny payments, in euros.
    amount: tuple[float, float] = (0.5, 3.0)
    gap_seconds: tuple[float, float] = (15.0, 150.0)
    #: Of the large payment, in euros, and minutes until it comes.
    cash_out_amount: tuple[float, float] = (120.0, 900.0)
    cash_out_minutes: tuple[float, float] = (5.0, 180.0)

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        last = (episodes.nth == episodes.size[of] - 1) & (episodes.size[of] > 1)
        customer = scene.customers(draws, k)
        tried = scene.web(draws, k, ("digital services", "web shop"))
        begin = scene.begins(draws, episodes.at, 6 * HOUR)[of]
        time = begin + waits(draws, episodes, *self.gap_seconds)
        time = time + last * draws.uniform(len(of), *self.cash_out_minutes) * 60
        tiny = draws.uniform(len(of), *self.amount) * 100
        large = draws.uniform(len(of), *self.cash_out_amount) * 100
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, time),
            cents=np.where(last, large, tiny),
            reason=last,
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            merchant=np.where(last, scene.web(draws, len(of), RESALE_ONLINE), tried[of]),
            channel=ONLINE,
            entry=ECOMMERCE,
            place=scene.hideouts(draws, customer)[of],
            device=devices(draws, k)[of],
        )


@dataclass(frozen=True, kw_only=True)
class AccountTakeover(Pattern):
    """Someone takes over a customer's account, and shops with it from a device of their own.

    Victims are those who seldom pay online; of three customers it is the one who does so least.
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
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (1.5, 6.0)

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        three = np.array([scene.customers(draws, k) for _ in range(3)])
        customer = three[scene.online_share[three].argmin(axis=0), np.arange(k)]
        span = draws.uniform(k, *self.hours) * HOUR
        time = scene.begins(draws, episodes.at, span)[of] + spread(draws, episodes, span)
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, time),
            cents=scene.amounts(draws, customer[of], self.amount_ratio),
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            merchant=scene.web(draws, len(of), RESALE_ONLINE),
            channel=np.where(draws.chance(len(of), 0.6), MOBILE, ONLINE),
            entry=np.where(draws.chance(len(of), 0.5), STORED, ECOMMERCE),
            place=scene.hideouts(draws, customer)[of],
            device=devices(draws, k)[of],
        )


@dataclass(frozen=True, kw_only=True)
class AmountSpike(Pattern):
    """One payment of many times what the customer usually pays, for goods that can be sold."""

    name: ClassVar[str] = "amount_spike"
    reasons: ClassVar[tuple[str, ...]] = (
        "stolen card data were used for one payment of many times the usual amount",
    )

    weight: float = 8.0
    payments: tuple[int, int] = (1, 1)
    label_delay_min: float = 0.5
    label_delay_mean: float = 5.5
    decline_rate: float = 0.15
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (10.0, 35.0)
    #: Share of the payments that are made online; the others with a copied card in a shop.
    online_share: float = 0.65

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of = episodes.of
        n = len(of)
        customer = scene.customers(draws, len(episodes))
        web = draws.chance(n, self.online_share)
        home = scene.homes(customer)[of]
        shop = scene.merchants(draws, home, RESALE)
        day = scene.begins(draws, episodes.at, HOUR, (9, 19.9))[of]
        night = scene.begins(draws, episodes.at, HOUR)[of]
        time = np.where(web, night, day) + waits(draws, episodes, 60, HOUR)
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, time),
            cents=scene.amounts(draws, customer[of], self.amount_ratio),
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            merchant=np.where(web, scene.web(draws, n, ("web shop", "travel agency")), shop),
            channel=np.where(web, ONLINE, POS),
            entry=np.where(web, ECOMMERCE, np.where(draws.chance(n, 0.5), MAGSTRIPE, CHIP)),
            place=np.where(web, scene.hideouts(draws, customer)[of], home),
            device=np.where(web, devices(draws, n), 0),
        )


@dataclass(frozen=True, kw_only=True)
class RefundAbuse(Pattern):
    """Someone at a merchant pays refunds to an accomplice's card, for things never bought."""

    name: ClassVar[str] = "refund_abuse"
    reasons: ClassVar[tuple[str, ...]] = ("a refund for something that was never bought",)

    weight: float = 6.0
    payments: tuple[int, int] = (4, 10)
    label_delay_min: float = 20.0
    label_delay_mean: float = 40.0
    decline_rate: float = 0.0
    #: From the first refund to the last.
    days: tuple[float, float] = (5.0, 30.0)
    #: In euros.
    amount: tuple[float, float] = (40.0, 400.0)

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        customer = scene.customers(draws, k)
        home = scene.homes(customer)
        merchant = scene.merchants(draws, home, RESALE)
        span = np.minimum(draws.uniform(k, *self.days) * DAY, scene.world.end * 0.5)
        time = scene.begins(draws, episodes.at, span)[of] + spread(draws, episodes, span)
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, in_opening_hours(time)),
            cents=draws.uniform(len(of), *self.amount) * 100,
            customer=customer[of],
            card=MAIN,
            merchant=merchant[of],
            kind=REFUND,
            channel=POS,
            place=home[of],
        )
