"""Genuine payments that come in a row, return, or stand out: what a detector takes for fraud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import CATEGORIES, NAMES, ONLINE, is_one_of, number_of
from synfin_analytics.simulation._payments import (
    COMPLETED,
    DAY,
    HOUR,
    PAYMENT,
    PURCHASE,
    REFUND,
    STORED,
    UNKNOWN,
    Payments,
    money,
)
from synfin_analytics.simulation._payments import ONLINE as WEB
from synfin_analytics.simulation._people import MAIN, SECOND
from synfin_analytics.simulation._places import NOWHERE
from synfin_analytics.simulation._random import hashed_share

if TYPE_CHECKING:
    from synfin_analytics.simulation._anomalies import LargePurchase
    from synfin_analytics.simulation._random import Draws, Floats, Integers
    from synfin_analytics.simulation._world import World

#: Prices of subscriptions, in cents.
_PRICES = np.array([299, 499, 799, 999, 1099, 1299, 1499, 1799, 2499])
#: Prices of things in games.
_IN_GAMES = np.array([99, 99, 199, 299, 499, 999])
_LARGE = ("household", "electronics", "jewellery", "travel agency")
_RETURNED = {"clothing": 0.05, "web shop": 0.06, "electronics": 0.03, "household": 0.02}


def subscriptions(draws: Draws, world: World) -> list[Payments]:
    """Charge some customers once a month, by night, what they have subscribed to."""
    n = len(world.people)
    which = number_of("digital services")[0]
    if not world.shops.available()[NOWHERE, which]:
        return []
    count = draws.poisson(np.where(world.people.persona == 4, 0.5, 1.4))
    customer = np.repeat(np.arange(n), np.minimum(count, 5))
    k = len(customer)
    merchant = world.shops.visited(np.full(k, NOWHERE), np.full(k, which), draws.uniform(k))
    price = _PRICES[draws.whole(k, 0, len(_PRICES) - 1)]
    day, second = draws.whole(k, 1, 28), draws.whole(k, 2 * HOUR, 6 * HOUR)
    card = np.where(world.people.has_second[customer] & draws.chance(k, 0.5), SECOND, MAIN)
    parts = []
    for due in range(1, 29):
        of = np.flatnonzero(day == due)
        for on in np.flatnonzero(world.calendar.day_of_month == due):
            later = draws.whole(len(of), 0, 900)
            parts.append(
                Payments.of(
                    len(of),
                    time=on * DAY + second[of] + later,
                    customer=customer[of],
                    merchant=merchant[of],
                    cents=price[of],
                    card=card[of],
                    kind=PAYMENT,
                    channel=WEB,
                    entry=STORED,
                    place=UNKNOWN,
                )
            )
    return parts


def in_a_row(draws: Draws, world: World, paid: Payments) -> list[Payments]:
    """Let some payments be followed by others soon: in games, while shopping, on a night out."""
    category = world.shops.category[paid.merchant]
    at_home = paid.place >= 0
    hour = paid.time % DAY // HOUR
    weekday = world.calendar.weekday[np.minimum(paid.time // DAY, len(world.calendar) - 1)]
    plays = world.people.plays[paid.customer]
    first = draws.uniform(len(paid))
    games = (category == NAMES.index("digital services")) & plays & (first < 0.12)
    spree = is_one_of(category, "clothing", "household") & (first < 0.02)
    out = is_one_of(category, "restaurant") & (hour >= 20) & (weekday >= 4) & (first < 0.05)
    shops = number_of("clothing", "clothing", "household", "electronics", "restaurant")
    night = number_of("restaurant", "restaurant", "transport", "cash machine", "restaurant")
    return [
        _games(draws, paid.take(games & at_home)),
        _followed(draws, world, paid.take(spree & at_home), shops, (3, 9), 240, 1500),
        _followed(draws, world, paid.take(out & at_home), night, (2, 6), 900, 5400),
    ]


def _games(draws: Draws, first: Payments) -> Payments:
    size = draws.whole(len(first), 2, 7)
    of = np.repeat(np.arange(len(first)), size)
    more = first.take(of)
    later = _waits(draws, size, 30, 400)
    price = _IN_GAMES[draws.whole(len(of), 0, len(_IN_GAMES) - 1)]
    return more.changed(time=more.time + later, cents=price, status=COMPLETED, entry=STORED)


def _followed(
    draws: Draws,
    world: World,
    first: Payments,
    kinds: list[int],
    sizes: tuple[int, int],
    soonest: int,
    latest: int,
) -> Payments:
    size = draws.whole(len(first), *sizes)
    of = np.repeat(np.arange(len(first)), size)
    before = first.take(of)
    place = before.place.astype(np.int64)
    category = np.array(kinds)[draws.whole(len(of), 0, len(kinds) - 1)]
    there = world.shops.available()[place, category]
    # Where there is no such shop one goes on to the same kind.
    same = world.shops.category[before.merchant]
    category = np.where(there, category, same)
    time = before.time + _waits(draws, size, soonest, latest)
    return world.bought(draws, before.customer, place, category, time, card=before.card)


def _waits(draws: Draws, size: Integers, soonest: int, latest: int) -> Integers:
    """Seconds from the first payment to each of the ``size`` that follow it."""
    waits = np.cumsum(draws.whole(int(size.cumsum()[-1]) if len(size) else 0, soonest, latest))
    begin = np.cumsum(size) - size
    base = np.append(0, waits)[begin]
    found: Integers = waits - np.repeat(base, size)
    return found


def returned(draws: Draws, world: World, paid: Payments) -> Payments:
    """Pay back some purchases after some days."""
    share = np.array([_RETURNED.get(one.name, 0.0005) for one in CATEGORIES])
    share[number_of("cash machine")[0]] = 0
    category = world.shops.category[paid.merchant]
    # A few customers send most of it back.
    often = np.where(hashed_share(paid.customer, 71) < 0.03, 8, 1)
    back = draws.chance(len(paid), share[category] * often) & (paid.status == COMPLETED)
    of = paid.take(back & (paid.kind == PURCHASE))
    days = 1 + np.floor(6 * draws.exponential(len(of))).astype(np.int64)
    partly = np.where(draws.chance(len(of), 0.25), draws.uniform(len(of), 0.2, 0.9), 1.0)
    second = draws.whole(len(of), 9 * HOUR, 18 * HOUR)
    return of.changed(
        time=(of.time // DAY + days) * DAY + second,
        cents=money(of.cents * partly / 100),
        kind=REFUND,
        status=COMPLETED,
        # The merchant pays back; nobody taps a card, and nobody's device is seen.
        device=0,
    )


def large_purchases(
    draws: Draws, world: World, usual: Floats, often: LargePurchase
) -> list[Payments]:
    """Let customers buy something once that costs many times what they usually pay."""
    n, days = len(world.people), len(world.calendar)
    customer = np.repeat(np.arange(n), draws.poisson(np.full(n, often.per_year * days / 365)))
    k = len(customer)
    kinds = np.array(number_of(*_LARGE))
    place = world.people.home[customer]
    open_ = world.shops.available()
    found = np.where(ONLINE[kinds], open_[NOWHERE, kinds], open_[place][:, kinds])
    weight = found * np.array([0.4, 0.3, 0.1, 0.2])
    weights = weight.cumsum(axis=1)
    some = weights[:, -1] > 0
    at = (draws.uniform(k)[:, None] * weights[:, -1:] >= weights).sum(axis=1)
    category = kinds[np.minimum(at, len(kinds) - 1)]
    day = np.minimum(np.floor(draws.uniform(k) * days).astype(np.int64), days - 1)
    customer, place, category, day = customer[some], place[some], category[some], day[some]
    time = world.moments(draws, customer, place, day, category)
    bought = world.bought(draws, customer, place, category, time)
    times = draws.uniform(len(customer), *often.amount_ratio)
    cents = money(usual[customer] * times / 100)
    return [
        bought.changed(
            cents=np.where(draws.chance(len(cents), 0.6), cents // 1000 * 1000 + 900, cents),
            status=COMPLETED,
            anomaly=2,
        )
    ]


def usual_amounts(paid: Payments, customers: int) -> Floats:
    """Mean amount of each customer in cents; of all where a customer has paid nothing."""
    total = np.bincount(paid.customer, weights=paid.cents, minlength=customers)
    count = np.bincount(paid.customer, minlength=customers)
    overall = total.cumsum()[-1] / max(len(paid), 1) if len(paid) else 3_000.0
    return np.where(count > 0, total / np.maximum(count, 1), overall)


def asleep(world: World, paid: Payments) -> Payments:
    """Leave out what dormant customers would have paid by habit."""
    people = world.people
    share = paid.time / world.end
    sleeps = (share >= people.sleeps[paid.customer]) & (share < people.wakes[paid.customer])
    return paid.take(~sleeps)
