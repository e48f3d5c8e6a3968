"""Frauds that take weeks, and more than one card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synfin_analytics.simulation._config import RESALE, RESALE_ONLINE
from synfin_analytics.simulation._context import devices, in_opening_hours, spread
from synfin_analytics.simulation._pattern import Pattern
from synfin_analytics.simulation._payments import (
    CHIP,
    DAY,
    ECOMMERCE,
    HOUR,
    MAGSTRIPE,
    MANUAL,
    ONLINE,
    POS,
    Payments,
)
from synfin_analytics.simulation._people import MAIN
from synfin_analytics.simulation.card_present import handed_over, notes

if TYPE_CHECKING:
    from synfin_analytics.simulation._context import Episodes, Scene
    from synfin_analytics.simulation._random import Draws, Integers, Mask

#: A merchant worth to be attacked has more customers than most: the best of so many.
_CANDIDATES = 6


@dataclass(frozen=True, kw_only=True)
class CompromisedMerchant(Pattern):
    """A terminal copies the cards that pay there; the copies are used there again, and elsewhere.

    Each fraud is with the card of a genuine payment at the terminal within its bad days, between
    ``hours_until_use`` hours later.
    """

    name: ClassVar[str] = "compromised_merchant"
    reasons: ClassVar[tuple[str, ...]] = (
        "a card was copied at a compromised terminal, and charged there again",
        "a card was copied at a compromised terminal, and used elsewhere",
    )

    weight: float = 16.0
    payments: tuple[int, int] = (10, 30)
    label_delay_min: float = 1.0
    label_delay_mean: float = 7.0
    decline_rate: float = 0.08
    #: During which the terminal copies cards.
    days: tuple[float, float] = (6.0, 20.0)
    #: Hours from the copy to the fraud.
    hours_until_use: tuple[float, float] = (4.0, 96.0)
    #: Share of the frauds that are charged by the same terminal.
    same_terminal_share: float = 0.6
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (1.0, 5.0)

    def possible(self, scene: Scene) -> bool:
        """Say whether cards are used in person at all."""
        return len(scene.in_person) > 0

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        world, paid = scene.world, scene.paid
        span = np.minimum(draws.uniform(k, *self.days) * DAY, world.end / 2).astype(np.int64)
        last = (span + self.hours_until_use[1] * HOUR).astype(np.float64)
        begin = scene.begins(draws, episodes.at, last)
        rows, at = _by_terminal(scene)
        step = np.int64(1) << 34
        # Of some terminals, each found by a payment, the one that most cards pass.
        tried = at[draws.whole(k * _CANDIDATES, 0, len(rows) - 1)].reshape(k, _CANDIDATES) // step
        low = np.searchsorted(at, tried * step + begin[:, None])
        high = np.searchsorted(at, tried * step + (begin + span)[:, None])
        best = (high - low).argmax(axis=1)
        low, high = low[np.arange(k), best], high[np.arange(k), best]
        # A quiet shop in a small world: then of all its days.
        terminal = tried[np.arange(k), best]
        empty = low == high
        low = np.where(empty, np.searchsorted(at, terminal * step), low)
        high = np.where(empty, np.searchsorted(at, (terminal + 1) * step), high)
        copied = rows[low[of] + np.floor(draws.uniform(len(of)) * (high - low)[of]).astype(int)]
        time = paid.time[copied] + draws.uniform(len(of), *self.hours_until_use) * HOUR
        customer = paid.customer[copied]
        here = draws.chance(len(of), self.same_terminal_share)
        web = ~here & draws.chance(len(of), 0.6)
        time = np.maximum(np.where(web, time, in_opening_hours(time)), paid.time[copied] + HOUR)
        home = scene.homes(customer)
        shop = np.where(here, paid.merchant[copied], scene.merchants(draws, home, RESALE))
        merchant = np.where(web, scene.web(draws, len(of), RESALE_ONLINE), shop)
        place = np.where(here, paid.place[copied], home)
        by_hand = np.where(draws.chance(len(of), 0.5), MANUAL, MAGSTRIPE)
        hand = handed_over(draws, scene, merchant, np.where(here, by_hand, MAGSTRIPE))
        return self.made(
            draws,
            episodes,
            time=np.minimum(np.floor(time).astype(np.int64), world.end - 1),
            cents=notes(scene, merchant, scene.amounts(draws, customer, self.amount_ratio)),
            one_by_one=True,
            reason=~here,
            customer=customer,
            card=paid.card[copied],
            place=np.where(web, scene.hideouts(draws, customer), place),
            device=np.where(web, devices(draws, len(of)), 0),
            **hand
            | {
                "channel": np.where(web, ONLINE, hand["channel"]),
                "entry": np.where(web, ECOMMERCE, hand["entry"]),
                "terminal": np.where(here, paid.terminal[copied], hand["terminal"]),
            },
        )


def _by_terminal(scene: Scene) -> tuple[Integers, Integers]:
    """Genuine payments in person by terminal and time, and a number that sorts them so."""
    rows = scene.in_person
    terminal = scene.paid.merchant[rows] * 16 + scene.paid.terminal[rows]
    at = (terminal << 34) + scene.paid.time[rows]
    order = np.argsort(at, kind="stable")
    return rows[order], at[order]


@dataclass(frozen=True, kw_only=True)
class CollusionRing(Pattern):
    """Some customers and small merchants of a city pass money on as if for goods.

    Again and again the same cards pay the same merchants about the same amount.
    """

    name: ClassVar[str] = "collusion_ring"
    reasons: ClassVar[tuple[str, ...]] = (
        "customers and merchants who work together passed money on as payments",
    )

    weight: float = 7.0
    payments: tuple[int, int] = (15, 40)
    label_delay_min: float = 15.0
    label_delay_mean: float = 35.0
    decline_rate: float = 0.01
    customers: tuple[int, int] = (3, 6)
    merchants: tuple[int, int] = (2, 3)
    days: tuple[float, float] = (10.0, 35.0)
    #: In euros; each payment differs from its ring's by up to ``amount_variation``, as a share.
    amount: tuple[float, float] = (150.0, 900.0)
    amount_variation: float = 0.12

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        n = len(of)
        people = scene.world.people
        first = scene.customers(draws, k)
        city = people.home[first]
        by_city = np.argsort(people.home, kind="stable")
        begin = np.searchsorted(people.home[by_city], city)
        living = np.searchsorted(people.home[by_city], city, side="right") - begin
        members = _several(draws, k, self.customers, living)
        customer = by_city[begin[of] + _member(draws, members, of)]
        shops = [
            scene.merchants(draws, city, ("restaurant", *RESALE)) for _ in range(self.merchants[1])
        ]
        which = draws.whole(n, 0, draws.whole(k, *self.merchants)[of] - 1)
        span = np.minimum(draws.uniform(k, *self.days) * DAY, scene.world.end * 0.6)
        time = scene.begins(draws, episodes.at, span)[of] + spread(draws, episodes, span)
        amount = draws.uniform(k, *self.amount)[of] * 100
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, in_opening_hours(time)),
            cents=amount * (1 + self.amount_variation * draws.uniform(n, -1, 1)),
            customer=customer,
            card=MAIN,
            merchant=np.array(shops)[which, of],
            channel=POS,
            entry=np.where(draws.chance(n, 0.3), MANUAL, CHIP),
            place=city[of],
        )


def _several(draws: Draws, k: int, sizes: tuple[int, int], living: Integers) -> list[Integers]:
    """For each of ``k`` rings the numbers of its members, among those living in the city."""
    count = np.minimum(draws.whole(k, *sizes), living)
    start = draws.whole(k, 0, living - 1)
    stride = draws.whole(k, 1, np.maximum(living // np.maximum(count, 1), 1))
    return [
        (start[ring] + stride[ring] * np.arange(count[ring])) % living[ring] for ring in range(k)
    ]


def _member(draws: Draws, members: list[Integers], of: Integers) -> Integers:
    """One of the members of the ring of each payment."""
    sizes = np.array([len(each) for each in members])
    begin = np.cumsum(sizes) - sizes
    every = np.concatenate(members) if members else np.zeros(0, np.int64)
    found: Integers = every[begin[of] + draws.whole(len(of), 0, sizes[of] - 1)]
    return found


@dataclass(frozen=True, kw_only=True)
class DormantCard(Pattern):
    """A customer's cards lie unused for weeks; then a stolen one is used a few times.

    What the customer would have paid in these weeks, and during the fraud, is left out.
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
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (0.8, 4.0)
    #: Share of the payments that are made online.
    online_share: float = 0.4

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes; :meth:`silences` tells what to leave out."""
        of, k = episodes.of, len(episodes)
        n = len(of)
        customer = scene.untouched(draws, k)
        span = np.minimum(draws.uniform(k, *self.hours) * HOUR, scene.world.end / 10)
        # There was something to pay before the silence.
        before = min(self.inactive_days[1] / len(scene.world.calendar), 1 / 3) + 0.05
        at = before + (1 - before) * episodes.at
        time = scene.begins(draws, at, span)[of] + spread(draws, episodes, span)
        web = draws.chance(n, self.online_share)
        time = np.where(web, time, in_opening_hours(time))
        home = scene.homes(customer)[of]
        shop = scene.merchants(draws, home, RESALE)
        merchant = np.where(web, scene.web(draws, n, RESALE_ONLINE), shop)
        hand = handed_over(draws, scene, merchant, CHIP)
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, time),
            cents=scene.amounts(draws, customer[of], self.amount_ratio),
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            place=np.where(web, scene.hideouts(draws, customer)[of], home),
            device=np.where(web, devices(draws, k)[of], 0),
            **hand
            | {
                "channel": np.where(web, ONLINE, hand["channel"]),
                "entry": np.where(web, ECOMMERCE, hand["entry"]),
            },
        )

    def silences(self, draws: Draws, scene: Scene, fraud: Payments) -> Mask:
        """Say which genuine payments would break the silence before these frauds."""
        n = len(scene.world.people)
        first, last = np.full(n, scene.world.end), np.full(n, -1)
        np.minimum.at(first, fraud.customer, fraud.time)
        np.maximum.at(last, fraud.customer, fraud.time)
        silent = draws.uniform(n, *self.inactive_days) * DAY
        since = first - np.minimum(silent, scene.world.end / 3)
        time, customer = scene.paid.time, scene.paid.customer
        found: Mask = (time >= since[customer]) & (time <= last[customer])
        return found
