"""The world in which payments are made: its days, and what genuine customers buy."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Easter

from synfin_analytics.simulation._config import (
    CASH,
    CATEGORIES,
    CATEGORY,
    CITIES,
    COUNTRIES,
    HOME,
    HOURS,
    IS_ONLINE,
    LOG_MEDIAN,
    NOWHERE,
    PERSONAS,
    UTC_OFFSET,
    is_category,
)
from synfin_analytics.simulation._payments import (
    DAY,
    HOUR,
    Channel,
    Entry,
    Kind,
    Payments,
    Status,
    to_cents,
)
from synfin_analytics.simulation._population import Card
from synfin_analytics.simulation._random import (
    ChoiceTable,
    RandomStream,
    exp,
    hash_bits,
    hash_share,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._population import Customers, Merchants
    from synfin_analytics.simulation._random import Floats, Integers, Mask

#: Weights of the weekdays, from Monday, and of the months, for the number of payments.
_WEEKDAYS = np.array([0.92, 0.94, 0.98, 1.05, 1.2, 1.22, 0.78])
_MONTHS = np.array([0.93, 0.93, 0.97, 1, 1, 1.02, 1, 0.97, 1, 1, 1.05, 1.2])
#: Salaries are paid at the end of a month.
_PAYDAY, _PAYDAYS = 1.12, (26, 27, 28, 29, 30, 31, 1, 2)
#: Public holidays: month and day, and days after Easter Sunday.
_FIXED = {
    "BE": ((1, 1), (5, 1), (7, 21), (8, 15), (11, 1), (11, 11), (12, 25)),
    "DE": ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26)),
    "FR": ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)),
    "LU": ((1, 1), (5, 1), (5, 9), (6, 23), (8, 15), (11, 1), (12, 25), (12, 26)),
    "NL": ((1, 1), (4, 27), (12, 25), (12, 26)),
}
_AFTER_EASTER = (1, 39, 50)
#: Types of devices, in the two lowest bits of a device.
DEVICES = ("mobile", "desktop", "tablet", "wearable")
_TYPE_BITS = np.uint64(3)
#: Days within which customers replace their phone, and their computer.
_PHONE_LIFE, _COMPUTER_LIFE = 700, 1500
#: Largest contactless payment, in cents.
CONTACTLESS_LIMIT = 5_000
_CURVES = list(HOURS)
_CURVE_OF = np.array([_CURVES.index(category.day) for category in CATEGORIES])
#: Curves that shift with a customer's working hours.
_SHIFTS = np.array([name not in ("shop", "desk") for name in _CURVES])
_HOUR_TABLE = ChoiceTable(
    np.array([HOURS[name][is_free] for name in _CURVES for is_free in (0, 1)])
)
#: At full drift: increase of prices over the period, and share of purchases that move online.
_PRICE_INCREASE, _MOVED_SHARE = 0.2, 0.4
_MOVING_CATEGORIES = ("clothing", "electronics", "household", "grocery")
_AMOUNT_TRAITS = ("spending", "spread", "ends_99", "whole")


@dataclass(frozen=True)
class Calendar:
    """Properties of each day of the period."""

    start: dt.date
    #: 0 is Monday.
    weekday: Integers
    #: 1 to 12.
    month: Integers
    day_of_month: Integers
    #: For each country where customers live: whether it is a public holiday.
    holiday: Mask

    def __len__(self) -> int:
        return len(self.weekday)

    @classmethod
    def build(cls, start: dt.date, days: int) -> Calendar:
        """Build the calendar of a number of days from ``start``."""
        day = np.datetime64(start, "D") + np.arange(days)
        month = day.astype("M8[M]")
        return cls(
            start=start,
            weekday=(day.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
            month=month.astype(np.int64) % 12 + 1,
            day_of_month=(day - month.astype("M8[D]")).astype(np.int64) + 1,
            holiday=np.array([holidays(country, start, days) for country in COUNTRIES]),
        )

    def payment_weights(self) -> Floats:
        """Return the weight of each day for the number of payments, by country; about 1."""
        weight = _WEEKDAYS[self.weekday] * _MONTHS[self.month - 1]
        weight = weight * np.where(np.isin(self.day_of_month, _PAYDAYS), _PAYDAY, 1)
        weights: Floats = np.where(self.holiday, 0.75 * weight, weight)
        return weights

    def day_kind(self, country: Integers, day: Integers) -> Integers:
        """Return 0 for a working day, 1 for a Saturday, 2 for a Sunday or a holiday."""
        weekday = self.weekday[day]
        is_free = (weekday == 6) | self.holiday[country, day]
        return np.where(is_free, 2, (weekday == 5).astype(np.int64))


def holidays(country: str, first: dt.date, days: int) -> NDArray[np.bool_]:
    """Whether each day from ``first`` is a public holiday.

    Examples
    --------
    >>> holidays("BE", dt.date(2025, 4, 20), 3)  # Easter Sunday, and Monday
    array([False,  True, False])
    """
    last = first + dt.timedelta(days=days - 1)
    dates = set()
    for year in range(first.year, last.year + 1):
        easter = (pd.Timestamp(year, 1, 1) + Easter()).date()
        dates |= {easter + dt.timedelta(days=after) for after in _AFTER_EASTER}
        dates |= {dt.date(year, month, day) for month, day in _FIXED[country]}
    return np.array([first + dt.timedelta(days=day) in dates for day in range(days)])


@dataclass(frozen=True)
class World:
    """Customers, merchants and days."""

    customers: Customers
    merchants: Merchants
    calendar: Calendar
    #: From 0 (nothing changes) to 1.
    drift: float

    @functools.cached_property
    def _category_table(self) -> ChoiceTable:
        return _build_category_table(self.merchants.exists())

    @property
    def end(self) -> int:
        """Length of the period in seconds."""
        return len(self.calendar) * DAY

    def draw_categories(
        self, rng: RandomStream, customer: Integers, place: Integers, day: Integers
    ) -> Integers:
        """Draw what customers buy at a place on a day."""
        kind = self.calendar.day_kind(self.customers.country(customer), day)
        row = self.customers.persona[customer] * len(CITIES) + place
        row = (row * 12 + self.calendar.month[day] - 1) * 3 + kind
        category = self._category_table.choose(row, rng.uniform(len(row)))
        if self.drift and (self.merchants.place == NOWHERE).any():
            sells_online = self.merchants.exists()[-1]
            share = _MOVED_SHARE * self.drift * day / len(self.calendar)
            moves = rng.bernoulli(len(row), share) & is_category(category, *_MOVING_CATEGORIES)
            if sells_online[CATEGORY["web shop"]]:
                category = np.where(moves, CATEGORY["web shop"], category)
        return category

    def draw_times(
        self,
        rng: RandomStream,
        customer: Integers,
        place: Integers,
        day: Integers,
        category: Integers,
    ) -> Integers:
        """Draw when on a day something is bought: in seconds of the period, UTC."""
        is_free = self.calendar.day_kind(self.customers.country(customer), day) > 0
        curve = _CURVE_OF[category]
        hour = _HOUR_TABLE.choose(curve * 2 + is_free, rng.uniform(len(day)))
        later = np.array([kind.later for kind in PERSONAS])[self.customers.persona[customer]]
        hour = (hour + later * _SHIFTS[curve]) % 24
        start: Integers = day * DAY + (hour - UTC_OFFSET[place]) * HOUR
        return start + rng.integers(len(day), 0, HOUR - 1)

    def make_purchases(
        self,
        rng: RandomStream,
        customer: Integers,
        place: Integers,
        category: Integers,
        time: Integers,
        *,
        card: NDArray[np.integer] | None = None,
    ) -> Payments:
        """Make genuine payments: to which merchants, how much, with which card and how."""
        n = len(customer)
        is_online, is_cash = IS_ONLINE[category], category == CATEGORY[CASH]
        sold_in = np.where(is_online, NOWHERE, place)
        merchant = self.merchants.draw_usual(rng, customer, sold_in, category)
        if card is None:
            card = self.draw_cards(rng, customer, is_online=is_online)
        cents = self._draw_amounts(rng, customer, merchant, category, time)
        has_wallet = self.customers.has_wallet[customer] & ~is_cash & ~is_online
        with_wallet = has_wallet & rng.bernoulli(n, 0.6)
        channel = _draw_channels(rng, category)
        entry = _draw_entries(rng, channel, cents, place >= len(HOME), with_wallet)
        with_phone = (channel == Channel.MOBILE) | (with_wallet & (entry == Entry.CONTACTLESS))
        has_device = with_phone | (channel == Channel.ONLINE)
        device = own_device(customer, card, with_phone, time // DAY)
        # The IP addresses of some customers point to another city.
        is_hidden = is_online & (hash_share(customer, 31) < 0.04) & rng.bernoulli(n, 0.4)
        return Payments.build(
            n,
            time=time,
            customer=customer,
            merchant=merchant,
            cents=cents,
            card=card,
            terminal=rng.integers(n, 0, self.merchants.terminals[merchant] - 1),
            kind=np.where(is_cash, Kind.WITHDRAWAL, Kind.PURCHASE),
            channel=channel,
            entry=entry,
            status=_draw_statuses(rng, self.customers.income[customer]),
            place=np.where(is_hidden, rng.integers(n, 0, len(CITIES) - 1), place),
            device=np.where(has_device, device, 0),
        )

    def draw_cards(
        self, rng: RandomStream, customer: Integers, *, is_online: bool | Mask
    ) -> NDArray[np.int8]:
        """Draw which of the customer's cards is used, and so by whom."""
        n = len(customer)
        by_partner = self.customers.has_partner[customer] & rng.bernoulli(n, 0.35)
        uses_second = rng.bernoulli(n, np.where(is_online, 0.6, 0.2))
        second = self.customers.has_second[customer] & uses_second
        card: NDArray[np.int8] = np.where(
            by_partner, Card.PARTNER, np.where(second, Card.SECOND, Card.MAIN)
        ).astype(np.int8)
        return card

    def _draw_amounts(
        self,
        rng: RandomStream,
        customer: Integers,
        merchant: Integers,
        category: Integers,
        time: Integers,
    ) -> Integers:
        """Draw amounts in cents: lognormal around the median of the category, with a heavy tail."""
        n = len(customer)
        traits = {
            name: np.array([getattr(kind, name) for kind in CATEGORIES])[category]
            for name in _AMOUNT_TRAITS
        }
        log_amount = LOG_MEDIAN[category] + self.merchants.log_price[merchant]
        log_amount += traits["spending"] * self.customers.log_spending[customer]
        log_amount += traits["spread"] * rng.normal(n)
        # One in forty is more expensive by a Pareto variable with exponent 2.2.
        log_amount += np.where(rng.bernoulli(n, 0.025), rng.exponential(n) / 2.2, 0.0)
        euros = exp(log_amount)
        if self.drift:
            euros *= 1 + _PRICE_INCREASE * self.drift * time / self.end
        cents = to_cents(euros)
        share = rng.uniform(n)
        ends_99 = share < traits["ends_99"]
        is_whole = share > 1 - traits["whole"]
        cents = np.where(ends_99, cents // 100 * 100 + 99, cents)
        cents = np.where(is_whole, np.maximum((cents + 50) // 100, 1) * 100, cents)
        banknote = np.where(cents < 5_000, 1_000, 2_000)
        cash = np.clip((cents + banknote // 2) // banknote * banknote, 1_000, 60_000)
        return np.where(category == CATEGORY[CASH], cash, cents)


def _draw_channels(rng: RandomStream, category: Integers) -> Integers:
    """Draw whether a payment is made in a shop, by phone, on a computer or in an app."""
    n = len(category)
    is_online, is_cash = IS_ONLINE[category], category == CATEGORY[CASH]
    in_app = rng.bernoulli(n, 0.45)
    by_phone = rng.bernoulli(n, np.where(category == CATEGORY["hotel"], 0.12, 0.002))
    in_person = np.where(is_cash, Channel.ATM, np.where(by_phone, Channel.PHONE, Channel.POS))
    return np.where(is_online, np.where(in_app, Channel.MOBILE, Channel.ONLINE), in_person)


def _draw_entries(
    rng: RandomStream, channel: Integers, cents: Integers, abroad: Mask, with_wallet: Mask
) -> Integers:
    """Draw how the card is read: by magnetic stripe mostly abroad, and rarely by hand."""
    n = len(channel)
    is_stored, is_manual = rng.bernoulli(n, 0.25), rng.bernoulli(n, 0.003)
    is_contactless = with_wallet | ((cents <= CONTACTLESS_LIMIT) & rng.bernoulli(n, 0.75))
    is_stripe = rng.bernoulli(n, np.where(abroad, 0.06, 0.006))
    at_machine = np.where(is_stripe, Entry.MAGSTRIPE, Entry.CHIP)
    in_shop = np.where(
        is_manual, Entry.MANUAL, np.where(is_contactless, Entry.CONTACTLESS, at_machine)
    )
    online = np.where(is_stored, Entry.STORED, Entry.ECOMMERCE)
    entry = np.where(
        channel == Channel.POS, in_shop, np.where(channel == Channel.ATM, at_machine, online)
    )
    return np.where(channel == Channel.PHONE, Entry.MANUAL, entry)


def _draw_statuses(rng: RandomStream, income: Integers) -> Integers:
    """Draw the status of payments; those of customers of low income are declined twice as often."""
    share = rng.uniform(len(income))
    decline_rate = np.where(income == 0, 0.03, 0.015)
    undeclined = np.where(
        share > 0.998, Status.FAILED, np.where(share > 0.997, Status.REVERSED, Status.COMPLETED)
    )
    return np.where(share < decline_rate, Status.DECLINED, undeclined)


def own_device(
    customer: Integers, card: NDArray[np.integer], is_phone: Mask, day: Integers
) -> NDArray[np.uint64]:
    """Return the bits of the payer's phone or computer, which is replaced once."""
    payer = np.where(card == Card.PARTNER, 1, 0)
    lifetime = np.where(is_phone, _PHONE_LIFE, _COMPUTER_LIFE)
    replaced_on = hash_share(customer, payer, is_phone, 41) * lifetime
    bits = hash_bits(customer, payer, is_phone, day >= replaced_on, 42)
    kind_share = hash_bits(customer, payer, is_phone, 43) % np.uint64(10)
    phone, computer = np.where(kind_share == 0, 3, 0), np.where(kind_share < 2, 2, 1)
    return set_device_type(bits, np.where(is_phone, phone, computer))


def set_device_type(bits: NDArray[np.uint64], kind: Integers) -> NDArray[np.uint64]:
    """Write the type of a device, a number of ``DEVICES``, into its bits."""
    device: NDArray[np.uint64] = (bits | _TYPE_BITS) - (_TYPE_BITS - kind.astype(np.uint64))
    return device


def _build_category_table(exists: Mask) -> ChoiceTable:
    """Compute the weights of categories for each persona, city, month and kind of day."""
    weights = np.zeros((len(PERSONAS), len(CITIES), 12, 3, len(CATEGORIES)))
    is_home = np.arange(len(CITIES)) < len(HOME)
    for number, category in enumerate(CATEGORIES):
        by_persona = np.array([kind.online if category.online else 1.0 for kind in PERSONAS])
        if category.name in ("restaurant", "transport"):
            by_persona = np.array([kind.leisure for kind in PERSONAS])
        by_city = np.where(is_home, category.payments, category.trip)
        has_merchant = exists[-1, number] if category.online else exists[:-1, number]
        by_month = np.array([category.season.get(month, 1.0) for month in range(1, 13)])
        by_day_kind = np.array([1.0, category.saturday, category.sunday])
        weights[..., number] = (
            by_persona[:, None, None, None]
            * (by_city * has_merchant)[:, None, None]
            * by_month[:, None]
            * by_day_kind
        )
    # No customer goes where nothing is sold: any weight will do.
    weights[weights.max(axis=-1) == 0] = 1.0
    return ChoiceTable(weights.reshape(-1, len(CATEGORIES)))
