"""Genuine payments: everyday ones, series, subscriptions, refunds and large purchases.

Among them are the anomalies, which resemble fraud: trips, and purchases of many times the usual
amount.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synfin_analytics.simulation._config import (
    ABROAD,
    CASH,
    CATEGORIES,
    CATEGORY,
    CITIES,
    COUNTRY_OF,
    HOME,
    IS_ONLINE,
    NOWHERE,
    PERSONAS,
    category_numbers,
    distances,
    is_category,
)
from synfin_analytics.simulation._payments import (
    DAY,
    HOLIDAY_TRAVEL,
    HOUR,
    LARGE_PURCHASE,
    UNKNOWN_PLACE,
    Channel,
    Entry,
    Kind,
    Payments,
    Status,
    concatenate,
    sort_by_time,
    to_cents,
)
from synfin_analytics.simulation._population import Card
from synfin_analytics.simulation._random import RandomStream, choose, exp, hash_share
from synfin_analytics.simulation.pattern import check_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from synfin_analytics.simulation._random import Floats, Integers, Mask
    from synfin_analytics.simulation._world import World

#: Weights of the months for trips.
_TRIP_MONTHS = np.array([0.6, 0.8, 0.7, 1.1, 1.1, 1.2, 2.4, 2.2, 1.0, 0.8, 0.5, 1.0])
#: Share of the customers who spend a weekday in another city.
_DAY_TRIPS = np.array([0.03, 0.03, 0.03, 0.03, 0.04, 0.1, 0.09])
_MAX_TRIPS = 8
#: Standard deviation of the logarithm of the number of payments of a day.
_DAILY_SPREAD = 0.55
#: Factor of the number of payments on trips.
_TRIP_FACTOR = 1.3
#: Prices of subscriptions, and of purchases in games, in cents.
_SUBSCRIPTION_PRICES = np.array([299, 499, 799, 999, 1099, 1299, 1499, 1799, 2499])
_GAME_PRICES = np.array([99, 99, 199, 299, 499, 999])
_LARGE_CATEGORIES = ("household", "electronics", "jewellery", "travel agency")
_LARGE_WEIGHTS = np.array([0.4, 0.3, 0.1, 0.2])
#: Share of the purchases that are returned.
_RETURN_RATES = {"clothing": 0.05, "web shop": 0.06, "electronics": 0.03, "household": 0.02}
_OTHER_RETURN_RATE = 0.0005
_RETIREE = 4


@dataclass(frozen=True)
class HolidayTravel:
    """A customer travels, and pays far from home for some days.

    Every payment on the trip that is at least ``min_km`` from home is labelled as this anomaly.

    Examples
    --------
    >>> HolidayTravel(trips_per_year=3.0).days
    (2, 14)
    """

    name: ClassVar[str] = "holiday_travel"
    #: For an average customer; managers travel more, night workers less.
    trips_per_year: float = 1.4
    #: Shortest and longest duration of a trip.
    days: tuple[int, int] = (2, 14)
    #: Share of the partners who stay at home, and continue to pay there.
    partner_stays_share: float = 0.4
    min_km: float = 250.0

    def __post_init__(self) -> None:
        check_parameters(self, "anomaly")


@dataclass(frozen=True)
class LargePurchase:
    """A customer makes one purchase of many times the usual amount.

    Furniture, a laptop, a ring or a trip: with the customer's own card and device, at home.

    Examples
    --------
    >>> LargePurchase(per_year=0.5).amount_ratio
    (8.0, 25.0)
    """

    name: ClassVar[str] = "large_purchase"
    #: For an average customer.
    per_year: float = 1.2
    #: Smallest and largest multiple of the customer's mean amount.
    amount_ratio: tuple[float, float] = (8.0, 25.0)

    def __post_init__(self) -> None:
        check_parameters(self, "anomaly")


Anomaly = HolidayTravel | LargePurchase


@dataclass(frozen=True)
class Whereabouts:
    """City of each customer (row) on each day (column)."""

    city: NDArray[np.int16]
    #: Whether it is a day of a trip; or a day between two places, without purchases in shops.
    away: Mask
    between: Mask

    def add_trips(
        self, traveller: Integers, first: Integers, length: Integers, destination: Integers
    ) -> None:
        """Add trips; of two that overlap, the later one is dropped."""
        days = self.city.shape[1]
        order = np.lexsort((first, traveller))
        traveller, first, length, destination = (
            column[order] for column in (traveller, first, length, destination)
        )
        # Days are numbered across customers, so that one running maximum serves all of them.
        start = traveller * (4 * days) + first
        end = np.maximum.accumulate(start + np.minimum(length, days) + 2)
        is_kept = np.append(True, start[1:] > end[:-1]) if len(start) else np.zeros(0, np.bool_)
        traveller, first, length, destination = (
            column[is_kept] for column in (traveller, first, length, destination)
        )
        for day in range(-1, int(length.max(initial=0)) + 1):
            in_period = (day <= length) & (first + day >= 0) & (first + day < days)
            arrived = in_period & (day >= 0) & (day < length)
            on_the_way = in_period & ~arrived
            self.city[traveller[arrived], first[arrived] + day] = destination[arrived]
            self.away[traveller[arrived], first[arrived] + day] = True
            self.between[traveller[on_the_way], first[on_the_way] + day] = True


def _draw_whereabouts(rng: RandomStream, world: World, travel: HolidayTravel | None) -> Whereabouts:
    """Send customers on trips and day trips, to cities that have merchants."""
    customers, calendar = world.customers, world.calendar
    n, days = len(customers), len(calendar)
    has_merchants = world.merchants.cities_with_merchants()
    city = np.repeat(customers.home.astype(np.int16)[:, None], days, axis=1)
    nearby = np.flatnonzero(has_merchants[: len(HOME)])
    day_trips = np.flatnonzero(rng.bernoulli(n * days, np.tile(_DAY_TRIPS[calendar.weekday], n)))
    if len(nearby):
        city.ravel()[day_trips] = nearby[rng.integers(len(day_trips), 0, len(nearby) - 1)]
    whereabouts = Whereabouts(city, np.zeros((n, days), np.bool_), np.zeros((n, days), np.bool_))
    weights = np.array([city.weight for city in ABROAD]) * has_merchants[len(HOME) : len(CITIES)]
    if travel is not None and weights.any():
        trips_of_persona = np.array([kind.trips for kind in PERSONAS])[customers.persona]
        season = _TRIP_MONTHS[calendar.month - 1]
        mean = trips_of_persona * travel.trips_per_year * season.cumsum()[-1] / 365 / 1.12
        count = np.minimum(rng.poisson(mean), _MAX_TRIPS)
        traveller = np.repeat(np.arange(n), count)
        first = choose(rng.uniform(len(traveller)), season)
        length = rng.integers(len(traveller), *travel.days)
        destination = len(HOME) + rng.choice(len(traveller), weights)
        whereabouts.add_trips(traveller, first, length, destination)
    return whereabouts


def simulate_genuine(seed: int, world: World, anomalies: Mapping[str, Anomaly]) -> Payments:
    """Simulate payments without fraud, in the order of time."""
    travel, large = anomalies.get("holiday_travel"), anomalies.get("large_purchase")
    travel = travel if isinstance(travel, HolidayTravel) else None
    whereabouts = _draw_whereabouts(RandomStream(seed, "journeys"), world, travel)
    everyday = _everyday_payments(RandomStream(seed, "everyday"), world, whereabouts, travel)
    rng = RandomStream(seed, "habits")
    payments = concatenate([everyday, *_series(rng, world, everyday)])
    payments = concatenate([payments, _refunds(rng, world, payments)])
    payments = concatenate([payments, _subscriptions(rng, world)])
    # By habit, dormant customers would continue to pay.
    is_dormant = world.customers.is_dormant(payments.customer, payments.time / world.end)
    payments = payments.take(~is_dormant)
    if isinstance(large, LargePurchase):
        mean_cents = mean_amounts(payments, len(world.customers))
        rng = RandomStream(seed, "large purchases")
        payments = concatenate([payments, _large_purchases(rng, world, mean_cents, large)])
    payments = sort_by_time(payments, len(world.calendar))
    if travel is None:
        return payments
    on_trip = _is_on_trip(world, whereabouts, payments, travel)
    return payments.replace(anomaly=np.where(on_trip, HOLIDAY_TRAVEL, payments.anomaly))


def _is_on_trip(
    world: World, whereabouts: Whereabouts, payments: Payments, travel: HolidayTravel
) -> Mask:
    """Whether each payment is made at the destination of a trip, far enough from home."""
    day = payments.time // DAY
    home = world.customers.home[payments.customer]
    city = whereabouts.city[payments.customer, day].astype(np.int64)
    is_away = whereabouts.away[payments.customer, day] & (payments.place == city)
    is_far = distances()[home, city] >= travel.min_km
    mask: Mask = is_away & is_far & (payments.anomaly == 0)
    return mask


def _everyday_payments(
    rng: RandomStream, world: World, whereabouts: Whereabouts, travel: HolidayTravel | None
) -> Payments:
    """Draw how many payments each customer makes on each day, and what they are."""
    customers = world.customers
    days = len(world.calendar)
    counts = rng.poisson(_expected_counts(rng, world, whereabouts).ravel())
    cell = np.repeat(np.arange(len(counts)), counts)
    customer, day = cell // days, cell % days
    card = world.draw_cards(rng, customer, is_online=False)
    place = whereabouts.city.ravel()[cell].astype(np.int64)
    home = customers.home[customer]
    if travel is not None:
        stays = (card == Card.PARTNER) & (hash_share(customer, 51) < travel.partner_stays_share)
        place = np.where(stays & whereabouts.away.ravel()[cell], home, place)
    category = world.draw_categories(rng, customer, place, day)
    # Online purchases are made with the card that the customer prefers for them.
    is_online = IS_ONLINE[category]
    card[is_online] = world.draw_cards(rng, customer[is_online], is_online=True)
    time = world.draw_times(rng, customer, place, day, category)
    # A customer between two places enters no shop.
    is_made = is_online | ~whereabouts.between.ravel()[cell]
    return world.make_purchases(
        rng, customer[is_made], place[is_made], category[is_made], time[is_made], card=card[is_made]
    )


def _expected_counts(rng: RandomStream, world: World, whereabouts: Whereabouts) -> Floats:
    """Return the expected number of payments of each customer on each day."""
    customers, days = world.customers, len(world.calendar)
    n = len(customers)
    day_weights = world.calendar.payment_weights()[COUNTRY_OF[customers.home]]
    mean: Floats = day_weights * customers.per_day[:, None]
    factor = exp(_DAILY_SPREAD * rng.normal(n * days) - _DAILY_SPREAD**2 / 2)
    mean *= factor.reshape(n, days)
    mean[whereabouts.away] *= _TRIP_FACTOR
    share = (np.arange(days) + 0.5) / days
    mean[customers.is_dormant(np.arange(n)[:, None], share)] = 0
    return mean


def _subscriptions(rng: RandomStream, world: World) -> Payments:
    """Charge the subscriptions of some customers once a month, in the early morning."""
    n_customers = len(world.customers)
    category = CATEGORY["digital services"]
    if not world.merchants.exists()[NOWHERE, category]:
        return Payments.build(0)
    count = rng.poisson(np.where(world.customers.persona == _RETIREE, 0.5, 1.4))
    customer = np.repeat(np.arange(n_customers), np.minimum(count, 5))
    n = len(customer)
    merchant = world.merchants.choose_by_popularity(
        np.full(n, NOWHERE), np.full(n, category), rng.uniform(n)
    )
    price = _SUBSCRIPTION_PRICES[rng.integers(n, 0, len(_SUBSCRIPTION_PRICES) - 1)]
    due_day, second = rng.integers(n, 1, 28), rng.integers(n, 2 * HOUR, 6 * HOUR)
    has_second = world.customers.has_second[customer]
    card = np.where(has_second & rng.bernoulli(n, 0.5), Card.SECOND, Card.MAIN)
    row, day = np.nonzero(due_day[:, None] == world.calendar.day_of_month)
    order = np.lexsort((row, day, due_day[row]))
    row, day = row[order], day[order]
    return Payments.build(
        len(row),
        time=day * DAY + second[row] + rng.integers(len(row), 0, 900),
        customer=customer[row],
        merchant=merchant[row],
        cents=price[row],
        card=card[row],
        kind=Kind.PAYMENT,
        channel=Channel.ONLINE,
        entry=Entry.STORED,
        place=UNKNOWN_PLACE,
    )


def _series(rng: RandomStream, world: World, payments: Payments) -> list[Payments]:
    """Let some payments be followed by others soon: in games, while shopping, on an evening out."""
    category = world.merchants.category[payments.merchant]
    has_place = payments.place >= 0
    hour = payments.time % DAY // HOUR
    day = np.minimum(payments.time // DAY, len(world.calendar) - 1)
    weekday = world.calendar.weekday[day]
    plays_games = world.customers.plays_games[payments.customer]
    share = rng.uniform(len(payments))
    is_game = (category == CATEGORY["digital services"]) & plays_games & (share < 0.12)
    is_shopping = is_category(category, "clothing", "household") & (share < 0.02)
    is_evening = is_category(category, "restaurant") & (hour >= 20) & (weekday >= 4)
    is_evening &= share < 0.05
    shops = category_numbers("clothing", "clothing", "household", "electronics", "restaurant")
    bars = category_numbers("restaurant", "restaurant", "transport", "cash machine", "restaurant")
    return [
        _game_purchases(rng, payments.take(is_game & has_place)),
        _follow_ups(rng, world, payments.take(is_shopping & has_place), shops, (3, 9), (240, 1500)),
        _follow_ups(rng, world, payments.take(is_evening & has_place), bars, (2, 6), (900, 5400)),
    ]


def _game_purchases(rng: RandomStream, first: Payments) -> Payments:
    """Follow purchases in games with others at the same merchant."""
    size = rng.integers(len(first), 2, 7)
    previous = first.take(np.repeat(np.arange(len(first)), size))
    delay = _cumulative_delays(rng, size, (30, 400))
    price = _GAME_PRICES[rng.integers(len(previous), 0, len(_GAME_PRICES) - 1)]
    return previous.replace(
        time=previous.time + delay, cents=price, status=Status.COMPLETED, entry=Entry.STORED
    )


def _follow_ups(
    rng: RandomStream,
    world: World,
    first: Payments,
    categories: list[int],
    sizes: tuple[int, int],
    gap: tuple[int, int],
) -> Payments:
    """Follow payments with others nearby, in some categories."""
    size = rng.integers(len(first), *sizes)
    previous = first.take(np.repeat(np.arange(len(first)), size))
    place = previous.place.astype(np.int64)
    category = np.array(categories)[rng.integers(len(previous), 0, len(categories) - 1)]
    exists = world.merchants.exists()[place, category]
    # Where there is no such merchant, the customer goes to another one of the same category.
    category = np.where(exists, category, world.merchants.category[previous.merchant])
    time = previous.time + _cumulative_delays(rng, size, gap)
    return world.make_purchases(rng, previous.customer, place, category, time, card=previous.card)


def _cumulative_delays(rng: RandomStream, size: Integers, gap: tuple[int, int]) -> Integers:
    """Draw the seconds from a first payment to each of the ``size`` that follow it."""
    n = int(size.cumsum()[-1]) if len(size) else 0
    elapsed = np.cumsum(rng.integers(n, *gap))
    start = np.append(0, elapsed)[np.cumsum(size) - size]
    delays: Integers = elapsed - np.repeat(start, size)
    return delays


def _refunds(rng: RandomStream, world: World, payments: Payments) -> Payments:
    """Refund some purchases after some days."""
    rates = np.array([_RETURN_RATES.get(kind.name, _OTHER_RETURN_RATE) for kind in CATEGORIES])
    rates[CATEGORY[CASH]] = 0
    category = world.merchants.category[payments.merchant]
    # A few customers return most of their purchases.
    factor = np.where(hash_share(payments.customer, 71) < 0.03, 8, 1)
    is_returned = rng.bernoulli(len(payments), rates[category] * factor)
    is_returned &= (payments.status == Status.COMPLETED) & (payments.kind == Kind.PURCHASE)
    purchases = payments.take(is_returned)
    n = len(purchases)
    days = 1 + np.floor(6 * rng.exponential(n)).astype(np.int64)
    share = np.where(rng.bernoulli(n, 0.25), rng.uniform(n, 0.2, 0.9), 1.0)
    second = rng.integers(n, 9 * HOUR, 18 * HOUR)
    return purchases.replace(
        time=(purchases.time // DAY + days) * DAY + second,
        cents=to_cents(purchases.cents * share / 100),
        kind=Kind.REFUND,
        status=Status.COMPLETED,
        # The merchant refunds, without the customer's card or device.
        device=0,
    )


def _large_purchases(
    rng: RandomStream, world: World, mean_cents: Floats, large: LargePurchase
) -> Payments:
    """Let customers make single purchases of many times their usual amount."""
    n_customers, days = len(world.customers), len(world.calendar)
    counts = rng.poisson(np.full(n_customers, large.per_year * days / 365))
    customer = np.repeat(np.arange(n_customers), counts)
    n = len(customer)
    categories = np.array(category_numbers(*_LARGE_CATEGORIES))
    place = world.customers.home[customer]
    exists = world.merchants.exists()
    is_available = np.where(
        IS_ONLINE[categories], exists[NOWHERE, categories], exists[place][:, categories]
    )
    weights = (is_available * _LARGE_WEIGHTS).cumsum(axis=1)
    has_any = weights[:, -1] > 0
    choice = (rng.uniform(n)[:, None] * weights[:, -1:] >= weights).sum(axis=1)
    category = categories[np.minimum(choice, len(categories) - 1)]
    day = np.minimum(np.floor(rng.uniform(n) * days).astype(np.int64), days - 1)
    customer, place, category, day = (
        column[has_any] for column in (customer, place, category, day)
    )
    time = world.draw_times(rng, customer, place, day, category)
    purchases = world.make_purchases(rng, customer, place, category, time)
    amount_ratio = rng.uniform(len(customer), *large.amount_ratio)
    cents = to_cents(mean_cents[customer] * amount_ratio / 100)
    ends_900 = rng.bernoulli(len(cents), 0.6)
    return purchases.replace(
        cents=np.where(ends_900, cents // 1000 * 1000 + 900, cents),
        status=Status.COMPLETED,
        anomaly=LARGE_PURCHASE,
    )


def mean_amounts(payments: Payments, n_customers: int) -> Floats:
    """Return the mean amount of each customer in cents; of all where a customer has no payment."""
    total = np.bincount(payments.customer, weights=payments.cents, minlength=n_customers)
    count = np.bincount(payments.customer, minlength=n_customers)
    overall = total.cumsum()[-1] / max(len(payments), 1) if len(payments) else 3_000.0
    return np.where(count > 0, total / np.maximum(count, 1), overall)
