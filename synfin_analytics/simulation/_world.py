"""The world in which payments are made, and what one payment in it is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import (
    CASH,
    CATEGORIES,
    HOURS,
    LOG_MEDIAN,
    NAMES,
    ONLINE,
    PERSONAS,
    is_one_of,
)
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
    PHONE,
    POS,
    PURCHASE,
    REVERSED,
    STORED,
    WITHDRAWAL,
    Payments,
    money,
)
from synfin_analytics.simulation._payments import ONLINE as WEB
from synfin_analytics.simulation._people import MAIN, PARTNER, SECOND
from synfin_analytics.simulation._places import CITIES, CLOCK, HOME, NOWHERE
from synfin_analytics.simulation._random import Draws, Table, exp, hashed, hashed_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._people import People
    from synfin_analytics.simulation._random import Integers, Mask
    from synfin_analytics.simulation._shops import Shops
    from synfin_analytics.simulation._travel import Calendar

#: Kinds of device, in the two lowest bits of what stands for one.
DEVICES = ("mobile", "desktop", "tablet", "wearable")
_TYPE_BITS = np.uint64(3)
#: Days after which everyone has another phone, and another computer.
_PHONE_LASTS, _COMPUTER_LASTS = 700, 1500
#: Amount up to which a card is only held near the terminal, in cents.
_CONTACTLESS_UP_TO = 5_000
_CATEGORY = {name: number for number, name in enumerate(NAMES)}
_CURVES = list(HOURS)
_CURVE_OF = np.array([_CURVES.index(one.day) for one in CATEGORIES])
_LATE = np.array([name not in ("shop", "desk") for name in _CURVES])
_HOUR_TABLE = Table(np.array([HOURS[name][free] for name in _CURVES for free in (0, 1)]))
#: At full drift prices rise so much over the period, and so much moves from shops to the web.
_PRICES_RISE, _MOVES_ONLINE = 0.2, 0.4


@dataclass(frozen=True)
class World:
    """Who is there to pay and to be paid, and when."""

    people: People
    shops: Shops
    calendar: Calendar
    #: From 0 (things stay as they are) to 1.
    drift: float
    _categories: Table

    @classmethod
    def of(cls, people: People, shops: Shops, calendar: Calendar, drift: float) -> World:
        """Put the world together."""
        return cls(people, shops, calendar, drift, _category_table(shops.available()))

    @property
    def end(self) -> int:
        """Seconds that the period has."""
        return len(self.calendar) * DAY

    def categories(
        self, draws: Draws, customer: Integers, place: Integers, day: Integers
    ) -> Integers:
        """Draw what customers buy at a place on a day."""
        kind = self.calendar.kind(self.people.country(customer), day)
        row = self.people.persona[customer] * len(CITIES) + place
        row = (row * 12 + self.calendar.month[day] - 1) * 3 + kind
        category = self._categories.at(row, draws.uniform(len(row)))
        if self.drift and self.shops.online.any():
            web = self.shops.available()[-1]
            share = _MOVES_ONLINE * self.drift * day / len(self.calendar)
            moves = draws.chance(len(row), share) & is_one_of(category, *_MOVED)
            if web[_CATEGORY["web shop"]]:
                category = np.where(moves, _CATEGORY["web shop"], category)
        return category

    def moments(
        self, draws: Draws, customer: Integers, place: Integers, day: Integers, category: Integers
    ) -> Integers:
        """Draw when on a day something is bought: in seconds of the period, UTC."""
        free = self.calendar.kind(self.people.country(customer), day) > 0
        curve = _CURVE_OF[category]
        hour = _HOUR_TABLE.at(curve * 2 + free, draws.uniform(len(day)))
        later = np.array([one.later for one in PERSONAS])[self.people.persona[customer]]
        hour = (hour + later * _LATE[curve]) % 24
        begin: Integers = day * DAY + (hour - CLOCK[place]) * HOUR
        return begin + draws.whole(len(day), 0, HOUR - 1)

    def bought(
        self,
        draws: Draws,
        customer: Integers,
        place: Integers,
        category: Integers,
        time: Integers,
        *,
        card: NDArray[np.integer] | None = None,
    ) -> Payments:
        """Genuine payments: to whom, how much, with which card and how."""
        n = len(customer)
        online, cash = ONLINE[category], category == _CATEGORY[CASH]
        where = np.where(online, NOWHERE, place)
        merchant = self.shops.usual(draws, customer, where, category)
        if card is None:
            card = self.cards(draws, customer, online)
        cents = self.amounts(draws, customer, merchant, category, time)
        wallet = self.people.wallet[customer] & ~cash & ~online & draws.chance(n, 0.6)
        channel = _channels(draws, category)
        entry = _entries(draws, channel, cents, place >= len(HOME), wallet)
        with_phone = (channel == MOBILE) | (wallet & (entry == CONTACTLESS))
        seen = with_phone | (channel == WEB)
        device = own_device(customer, card, with_phone, time // DAY)
        # Some are behind an address that points elsewhere.
        hidden = online & (hashed_share(customer, 31) < 0.04) & draws.chance(n, 0.4)
        return Payments.of(
            n,
            time=time,
            customer=customer,
            merchant=merchant,
            cents=cents,
            card=card,
            terminal=draws.whole(n, 0, self.shops.terminals[merchant] - 1),
            kind=np.where(cash, WITHDRAWAL, PURCHASE),
            channel=channel,
            entry=entry,
            status=_statuses(draws, self.people.income[customer]),
            place=np.where(hidden, draws.whole(n, 0, len(CITIES) - 1), place),
            device=np.where(seen, device, 0),
        )

    def cards(self, draws: Draws, customer: Integers, online: Mask) -> NDArray[np.int8]:
        """Which of the customer's cards is used, and so by whom."""
        n = len(customer)
        partner = self.people.has_partner[customer] & draws.chance(n, 0.35)
        second = self.people.has_second[customer] & draws.chance(n, np.where(online, 0.6, 0.2))
        found: NDArray[np.int8] = np.where(partner, PARTNER, np.where(second, SECOND, MAIN)).astype(
            np.int8
        )
        return found

    def amounts(
        self,
        draws: Draws,
        customer: Integers,
        merchant: Integers,
        category: Integers,
        time: Integers,
    ) -> Integers:
        """Draw amounts in cents: lognormal about what such a thing costs, with a heavy tail."""
        n = len(customer)
        of = {name: np.array([getattr(one, name) for one in CATEGORIES]) for name in _PRICES}
        power = LOG_MEDIAN[category] + self.shops.price[merchant]
        power += of["means"][category] * self.people.level[customer]
        power += of["spread"][category] * draws.normal(n)
        # One in forty is a Pareto variable (of exponent 2.2) more expensive.
        power += np.where(draws.chance(n, 0.025), draws.exponential(n) / 2.2, 0.0)
        euros = exp(power)
        if self.drift:
            euros *= 1 + _PRICES_RISE * self.drift * time / self.end
        cents = money(euros)
        style = draws.uniform(n)
        ends = style < of["ends_99"][category]
        whole = style > 1 - of["whole"][category]
        cents = np.where(ends, cents // 100 * 100 + 99, cents)
        cents = np.where(whole, np.maximum((cents + 50) // 100, 1) * 100, cents)
        notes = np.where(cents < 5_000, 1_000, 2_000)
        cash = np.clip((cents + notes // 2) // notes * notes, 1_000, 60_000)
        return np.where(category == _CATEGORY[CASH], cash, cents)


def _channels(draws: Draws, category: Integers) -> Integers:
    """Draw whether one pays in a shop, by phone, on a computer or in an app."""
    n = len(category)
    online, cash = ONLINE[category], category == _CATEGORY[CASH]
    app = draws.chance(n, 0.45)
    called = draws.chance(n, np.where(category == _CATEGORY["hotel"], 0.12, 0.002))
    in_person = np.where(cash, ATM, np.where(called, PHONE, POS))
    return np.where(online, np.where(app, MOBILE, WEB), in_person)


def _entries(
    draws: Draws, channel: Integers, cents: Integers, abroad: Mask, wallet: Mask
) -> Integers:
    """Draw how the card is read: the stripe mostly abroad, and now and then by hand."""
    n = len(channel)
    saved, typed = draws.chance(n, 0.25), draws.chance(n, 0.003)
    tap = wallet | ((cents <= _CONTACTLESS_UP_TO) & draws.chance(n, 0.75))
    stripe = draws.chance(n, np.where(abroad, 0.06, 0.006))
    at_machine = np.where(stripe, MAGSTRIPE, CHIP)
    in_shop = np.where(typed, MANUAL, np.where(tap, CONTACTLESS, at_machine))
    online = np.where(saved, STORED, ECOMMERCE)
    entry = np.where(channel == POS, in_shop, np.where(channel == ATM, at_machine, online))
    return np.where(channel == PHONE, MANUAL, entry)


def _statuses(draws: Draws, income: Integers) -> Integers:
    """Draw what became of payments; those of low income are declined twice as often."""
    at = draws.uniform(len(income))
    declined = np.where(income == 0, 0.03, 0.015)
    unusual = np.where(at > 0.998, FAILED, np.where(at > 0.997, REVERSED, COMPLETED))
    return np.where(at < declined, DECLINED, unusual)


_PRICES = ("means", "spread", "ends_99", "whole")
_MOVED = ("clothing", "electronics", "household", "grocery")


def own_device(
    customer: Integers, card: NDArray[np.integer], phone: Mask, day: Integers
) -> NDArray[np.uint64]:
    """Bits of the payer's phone or computer; now and then there is a new one."""
    payer = np.where(card == PARTNER, 1, 0)
    lasts = np.where(phone, _PHONE_LASTS, _COMPUTER_LASTS)
    replaced = hashed_share(customer, payer, phone, 41) * lasts
    bits = hashed(customer, payer, phone, day >= replaced, 42)
    of_type = hashed(customer, payer, phone, 43) % np.uint64(10)
    kind = np.where(phone, np.where(of_type == 0, 3, 0), np.where(of_type < 2, 2, 1))
    return with_type(bits, kind)


def with_type(bits: NDArray[np.uint64], kind: Integers) -> NDArray[np.uint64]:
    """Write the kind of a device, a number of ``DEVICES``, into its bits."""
    found: NDArray[np.uint64] = (bits | _TYPE_BITS) - (_TYPE_BITS - kind.astype(np.uint64))
    return found


def _category_table(available: Mask) -> Table:
    """Weights of the categories for each persona, city, month and kind of day."""
    shape = (len(PERSONAS), len(CITIES), 12, 3, len(CATEGORIES))
    weights = np.zeros(shape)
    for number, one in enumerate(CATEGORIES):
        by_persona = np.array([persona.online if one.online else 1.0 for persona in PERSONAS])
        if one.name in ("restaurant", "transport"):
            by_persona = np.array([persona.leisure for persona in PERSONAS])
        by_city = np.where(np.arange(len(CITIES)) < len(HOME), one.payments, one.journey)
        here = available[-1, number] if one.online else available[:-1, number]
        by_month = np.array([one.season.get(month, 1.0) for month in range(1, 13)])
        by_kind = np.array([1.0, one.saturday, one.sunday])
        weights[..., number] = (
            by_persona[:, None, None, None]
            * (by_city * here)[:, None, None]
            * by_month[:, None]
            * by_kind
        )
    # Where nothing is sold nobody goes; any weight will do.
    weights[weights.max(axis=-1) == 0] = 1.0
    return Table(weights.reshape(-1, len(CATEGORIES)))
