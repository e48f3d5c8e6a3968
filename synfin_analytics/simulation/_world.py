"""The world in which payments are made, and how genuine payments look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import (
    CASH,
    CATEGORIES,
    CATEGORY_NAMES,
    HOURS,
    IS_ONLINE,
    LOG_MEDIAN,
    PERSONAS,
    is_category,
)
from synfin_analytics.simulation._customers import MAIN, PARTNER, SECOND
from synfin_analytics.simulation._payments import (
    ATM,
    CHIP,
    COMPLETED,
    CONTACTLESS,
    DAY,
    DECLINED,
    ECOMMERCE,
    FAILED,
    HOUR,
    MAGSTRIPE,
    MANUAL,
    MOBILE,
    ONLINE,
    PHONE,
    POS,
    PURCHASE,
    REVERSED,
    STORED,
    WITHDRAWAL,
    Payments,
    to_cents,
)
from synfin_analytics.simulation._places import CITIES, HOME, NOWHERE, UTC_OFFSET
from synfin_analytics.simulation._random import (
    ChoiceTable,
    RandomStream,
    exp,
    hash_bits,
    hash_share,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._calendar import Calendar
    from synfin_analytics.simulation._customers import Customers
    from synfin_analytics.simulation._merchants import Merchants
    from synfin_analytics.simulation._random import Integers, Mask

#: Types of devices, in the two lowest bits of a device.
DEVICES = ("mobile", "desktop", "tablet", "wearable")
_TYPE_BITS = np.uint64(3)
#: Days within which customers replace their phone, and their computer.
_PHONE_LIFE, _COMPUTER_LIFE = 700, 1500
#: Largest contactless payment, in cents.
CONTACTLESS_LIMIT = 5_000
_CATEGORY = {name: number for number, name in enumerate(CATEGORY_NAMES)}
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
class World:
    """Customers, merchants and days."""

    customers: Customers
    merchants: Merchants
    calendar: Calendar
    #: From 0 (nothing changes) to 1.
    drift: float
    _category_table: ChoiceTable

    @classmethod
    def build(
        cls, customers: Customers, merchants: Merchants, calendar: Calendar, drift: float
    ) -> World:
        """Build the world."""
        return cls(customers, merchants, calendar, drift, _build_category_table(merchants.exists()))

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
        if self.drift and self.merchants.is_online.any():
            sells_online = self.merchants.exists()[-1]
            share = _MOVED_SHARE * self.drift * day / len(self.calendar)
            moves = rng.bernoulli(len(row), share) & is_category(category, *_MOVING_CATEGORIES)
            if sells_online[_CATEGORY["web shop"]]:
                category = np.where(moves, _CATEGORY["web shop"], category)
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
        is_online, is_cash = IS_ONLINE[category], category == _CATEGORY[CASH]
        sold_in = np.where(is_online, NOWHERE, place)
        merchant = self.merchants.draw_usual(rng, customer, sold_in, category)
        if card is None:
            card = self.draw_cards(rng, customer, is_online)
        cents = self._draw_amounts(rng, customer, merchant, category, time)
        has_wallet = self.customers.has_wallet[customer] & ~is_cash & ~is_online
        with_wallet = has_wallet & rng.bernoulli(n, 0.6)
        channel = _draw_channels(rng, category)
        entry = _draw_entries(rng, channel, cents, place >= len(HOME), with_wallet)
        with_phone = (channel == MOBILE) | (with_wallet & (entry == CONTACTLESS))
        has_device = with_phone | (channel == ONLINE)
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
            kind=np.where(is_cash, WITHDRAWAL, PURCHASE),
            channel=channel,
            entry=entry,
            status=_draw_statuses(rng, self.customers.income[customer]),
            place=np.where(is_hidden, rng.integers(n, 0, len(CITIES) - 1), place),
            device=np.where(has_device, device, 0),
        )

    def draw_cards(
        self, rng: RandomStream, customer: Integers, is_online: Mask
    ) -> NDArray[np.int8]:
        """Draw which of the customer's cards is used, and so by whom."""
        n = len(customer)
        by_partner = self.customers.has_partner[customer] & rng.bernoulli(n, 0.35)
        uses_second = rng.bernoulli(n, np.where(is_online, 0.6, 0.2))
        second = self.customers.has_second[customer] & uses_second
        card: NDArray[np.int8] = np.where(
            by_partner, PARTNER, np.where(second, SECOND, MAIN)
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
        return np.where(category == _CATEGORY[CASH], cash, cents)


def _draw_channels(rng: RandomStream, category: Integers) -> Integers:
    """Draw whether a payment is made in a shop, by phone, on a computer or in an app."""
    n = len(category)
    is_online, is_cash = IS_ONLINE[category], category == _CATEGORY[CASH]
    in_app = rng.bernoulli(n, 0.45)
    by_phone = rng.bernoulli(n, np.where(category == _CATEGORY["hotel"], 0.12, 0.002))
    in_person = np.where(is_cash, ATM, np.where(by_phone, PHONE, POS))
    return np.where(is_online, np.where(in_app, MOBILE, ONLINE), in_person)


def _draw_entries(
    rng: RandomStream, channel: Integers, cents: Integers, abroad: Mask, with_wallet: Mask
) -> Integers:
    """Draw how the card is read: by magnetic stripe mostly abroad, and rarely by hand."""
    n = len(channel)
    is_stored, is_manual = rng.bernoulli(n, 0.25), rng.bernoulli(n, 0.003)
    is_contactless = with_wallet | ((cents <= CONTACTLESS_LIMIT) & rng.bernoulli(n, 0.75))
    is_stripe = rng.bernoulli(n, np.where(abroad, 0.06, 0.006))
    at_machine = np.where(is_stripe, MAGSTRIPE, CHIP)
    in_shop = np.where(is_manual, MANUAL, np.where(is_contactless, CONTACTLESS, at_machine))
    online = np.where(is_stored, STORED, ECOMMERCE)
    entry = np.where(channel == POS, in_shop, np.where(channel == ATM, at_machine, online))
    return np.where(channel == PHONE, MANUAL, entry)


def _draw_statuses(rng: RandomStream, income: Integers) -> Integers:
    """Draw the status of payments; those of customers of low income are declined twice as often."""
    share = rng.uniform(len(income))
    decline_rate = np.where(income == 0, 0.03, 0.015)
    other = np.where(share > 0.998, FAILED, np.where(share > 0.997, REVERSED, COMPLETED))
    return np.where(share < decline_rate, DECLINED, other)


def own_device(
    customer: Integers, card: NDArray[np.integer], is_phone: Mask, day: Integers
) -> NDArray[np.uint64]:
    """Return the bits of the payer's phone or computer, which is replaced once."""
    payer = np.where(card == PARTNER, 1, 0)
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
    # Nobody goes where nothing is sold: any weight will do.
    weights[weights.max(axis=-1) == 0] = 1.0
    return ChoiceTable(weights.reshape(-1, len(CATEGORIES)))
