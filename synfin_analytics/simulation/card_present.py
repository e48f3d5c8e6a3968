"""Frauds with a card in hand: lost, stolen or copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synfin_analytics.simulation._config import CASH, NAMES, RESALE
from synfin_analytics.simulation._context import in_opening_hours, spread, waits
from synfin_analytics.simulation._pattern import Pattern
from synfin_analytics.simulation._payments import (
    ATM,
    CHIP,
    CONTACTLESS,
    DAY,
    HOUR,
    MAGSTRIPE,
    MANUAL,
    POS,
    PURCHASE,
    WITHDRAWAL,
    Payments,
)
from synfin_analytics.simulation._places import distances

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from synfin_analytics.simulation._context import Episodes, Scene
    from synfin_analytics.simulation._random import Draws, Integers, Mask

_DAYTIME = ("clothing", "household", "electronics", "grocery", "restaurant", "pharmacy")
_NIGHT = (CASH, "fuel", "restaurant", "transport")
_EVERYWHERE = (*RESALE, "restaurant", CASH)
_CONTACTLESS_UP_TO = 5_000


def handed_over(draws: Draws, scene: Scene, merchant: Integers, entry: ArrayLike) -> dict[str, Any]:
    """Columns of payments with a card in hand, in a shop or at a cash machine."""
    cash = scene.world.shops.category[merchant] == NAMES.index(CASH)
    given = np.broadcast_to(np.asarray(entry), merchant.shape)
    at_machine = np.where(given == CONTACTLESS, CHIP, given)
    return {
        "merchant": merchant,
        "terminal": draws.whole(len(merchant), 0, scene.world.shops.terminals[merchant] - 1),
        "kind": np.where(cash, WITHDRAWAL, PURCHASE),
        "channel": np.where(cash, ATM, POS),
        "entry": np.where(cash, np.where(given == MANUAL, MAGSTRIPE, at_machine), given),
    }


def notes(scene: Scene, merchant: Integers, cents: Integers) -> Integers:
    """Amounts as a cash machine gives them: in notes of 20 euros."""
    cash = scene.world.shops.category[merchant] == NAMES.index(CASH)
    return np.where(cash, np.clip(cents // 2_000 * 2_000, 2_000, 60_000), cents)


@dataclass(frozen=True, kw_only=True)
class VelocityBurst(Pattern):
    """A stolen card is used as fast as possible in the victim's city, before it is blocked."""

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
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (0.4, 2.5)

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        customer = scene.customers(draws, k)
        place = scene.homes(customer)[of]
        merchant = scene.merchants(draws, place, _DAYTIME)
        span = draws.uniform(k, *self.minutes) * 60
        begin = scene.begins(draws, episodes.at, DAY, (9, 18.5))
        cents = scene.amounts(draws, customer[of], self.amount_ratio)
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, begin[of] + spread(draws, episodes, span)),
            cents=cents,
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            place=place,
            **handed_over(
                draws, scene, merchant, np.where(cents <= _CONTACTLESS_UP_TO, CONTACTLESS, CHIP)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ImpossibleTravel(Pattern):
    """A copied card is used so far away that its owner, who has just paid, cannot be there.

    The first payment comes after the time that ``speed_kmh`` takes from the owner's last one.
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
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (1.0, 6.0)

    def possible(self, scene: Scene) -> bool:
        """Say whether somebody pays in person, and there are merchants far from there."""
        return len(scene.in_person) > 0 and bool(self._reach(scene)[self._owners(scene)].any())

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        reach = self._reach(scene)
        here = self._owners(scene)
        rows = scene.in_person[reach[here].any(axis=1)]
        seen = scene.paid.time[rows]
        wanted = np.searchsorted(seen, episodes.at * max(scene.world.end - 8 * HOUR, 1))
        owner = rows[np.minimum(wanted, len(rows) - 1)]
        city = scene.paid.place[owner].astype(np.int64)
        weight = reach[city]
        share = draws.uniform(k)[:, None] * weight.sum(axis=1)[:, None]
        place = (share >= weight.cumsum(axis=1)).sum(axis=1)
        km = distances()[city, place]
        speed = np.maximum(draws.uniform(k, *self.speed_kmh), 1.0)
        first = scene.paid.time[owner] + km / speed * HOUR
        time = first[of] + waits(draws, episodes, *(60 * one for one in self.gap_minutes))
        customer = scene.paid.customer[owner]
        merchant = scene.merchants(draws, place[of], _EVERYWHERE)
        cents = scene.amounts(draws, customer[of], self.amount_ratio)
        return self.made(
            draws,
            episodes,
            time=np.minimum(np.floor(time).astype(np.int64), scene.world.end - 1),
            cents=notes(scene, merchant, cents),
            customer=customer[of],
            card=scene.paid.card[owner][of],
            place=place[of],
            **handed_over(draws, scene, merchant, MAGSTRIPE),
        )

    def _reach(self, scene: Scene) -> Mask:
        """Say for each city which cities are far enough, and have merchants."""
        found: Mask = (distances() >= self.min_km) & scene.world.shops.available()[:-1].any(axis=1)
        return found

    def _owners(self, scene: Scene) -> Integers:
        return scene.paid.place[scene.in_person].astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class JustBelowLimit(Pattern):
    """A stolen card pays again and again just less than what would be checked."""

    name: ClassVar[str] = "just_below_limit"
    reasons: ClassVar[tuple[str, ...]] = (
        "a stolen card paid just less than a limit from which payments are checked",
    )

    weight: float = 7.0
    payments: tuple[int, int] = (4, 9)
    label_delay_min: float = 1.0
    label_delay_mean: float = 7.0
    #: In euros; an episode keeps to one of them.
    limits: tuple[float, ...] = (50.0, 100.0, 250.0, 500.0)
    #: How far below the limit an amount is, as a share of it.
    margin: tuple[float, float] = (0.001, 0.03)
    #: From the first payment to the last.
    hours: tuple[float, float] = (2.0, 40.0)

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        customer = scene.customers(draws, k)
        limit = np.array(self.limits)[draws.whole(k, 0, len(self.limits) - 1)] * 100
        span = draws.uniform(k, *self.hours) * HOUR
        time = scene.begins(draws, episodes.at, span)[of] + spread(draws, episodes, span)
        place = scene.homes(customer)[of]
        merchant = scene.merchants(draws, place, _DAYTIME)
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, in_opening_hours(time)),
            cents=np.floor(limit[of] * (1 - draws.uniform(len(of), *self.margin))),
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            place=place,
            **handed_over(
                draws, scene, merchant, np.where(limit <= _CONTACTLESS_UP_TO, CONTACTLESS, CHIP)[of]
            ),
        )


@dataclass(frozen=True, kw_only=True)
class NightSpree(Pattern):
    """A card stolen in the evening is used all night: cash machines, fuel, bars."""

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
    #: Amount against the customer's mean.
    amount_ratio: tuple[float, float] = (0.8, 4.0)

    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""
        of, k = episodes.of, len(episodes)
        customer = scene.customers(draws, k)
        place = scene.homes(customer)[of]
        merchant = scene.merchants(draws, place, _NIGHT)
        low, high = self.night_hours
        night = scene.begins(draws, episodes.at, 0.0, (low, low))
        span = np.full(k, (high - low) * HOUR)
        begin = draws.uniform(len(of)) * span[of]
        cents = notes(scene, merchant, scene.amounts(draws, customer[of], self.amount_ratio))
        return self.made(
            draws,
            episodes,
            time=scene.within(episodes, night[of] + begin),
            cents=cents,
            customer=customer[of],
            card=scene.cards(draws, customer)[of],
            place=place,
            **handed_over(
                draws, scene, merchant, np.where(cents <= _CONTACTLESS_UP_TO, CONTACTLESS, CHIP)
            ),
        )
