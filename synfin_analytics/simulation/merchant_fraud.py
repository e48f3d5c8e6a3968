"""Fraud at merchants: compromised terminals, collusion rings, refund abuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synfin_analytics.simulation._config import RESALE, RESALE_ONLINE
from synfin_analytics.simulation._payments import (
    DAY,
    HOUR,
    Channel,
    Entry,
    Kind,
    Payments,
)
from synfin_analytics.simulation._population import Card
from synfin_analytics.simulation.card_fraud import payment_columns, round_cash
from synfin_analytics.simulation.pattern import Pattern, to_opening_hours

if TYPE_CHECKING:
    from synfin_analytics.simulation._random import Integers
    from synfin_analytics.simulation.pattern import Episodes, FraudContext

#: A compromised terminal has more customers than most: it is the busiest of this number.
_CANDIDATES = 6
#: Multiplier of terminals in sort keys; larger than any time in seconds.
_KEY_STEP = np.int64(1) << 34
#: More than the terminals of any merchant.
_TERMINAL_STEP = 16


@dataclass(frozen=True, kw_only=True)
class CompromisedMerchant(Pattern):
    """A terminal copies the cards that pay there; the copies are used there again, and elsewhere.

    Each fraud is with the card of a genuine payment at the terminal while it is compromised,
    between ``hours_until_use`` hours later.

    Examples
    --------
    >>> CompromisedMerchant(days=(3.0, 5.0)).same_terminal_share
    0.6
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
    #: From the copy to the fraud.
    hours_until_use: tuple[float, float] = (4.0, 96.0)
    #: Share of the frauds that are charged by the same terminal.
    same_terminal_share: float = 0.6
    #: Amount relative to the customer's mean.
    amount_ratio: tuple[float, float] = (1.0, 5.0)

    def is_possible(self, context: FraudContext) -> bool:
        """Whether cards are used in person at all."""
        return len(context.in_person) > 0

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, context = episodes.rng, episodes.context
        world, payments = context.world, context.payments
        copied = self._copied_payments(episodes)
        n = len(copied)
        time = payments.time[copied] + rng.uniform(n, *self.hours_until_use) * HOUR
        customer = payments.customer[copied]
        at_terminal = rng.bernoulli(n, self.same_terminal_share)
        is_online = ~at_terminal & rng.bernoulli(n, 0.6)
        time = np.maximum(
            np.where(is_online, time, to_opening_hours(time)), payments.time[copied] + HOUR
        )
        home = episodes.home(customer)
        shop = np.where(
            at_terminal, payments.merchant[copied], episodes.draw_merchants(home, RESALE)
        )
        web_merchant = episodes.draw_web_merchants(n, RESALE_ONLINE)
        merchant = np.where(is_online, web_merchant, shop)
        place = np.where(at_terminal, payments.place[copied], home)
        manual_or_stripe = np.where(rng.bernoulli(n, 0.5), Entry.MANUAL, Entry.MAGSTRIPE)
        entry = np.where(at_terminal, manual_or_stripe, Entry.MAGSTRIPE)
        columns = payment_columns(episodes, merchant, entry, is_online=is_online)
        columns["terminal"] = np.where(at_terminal, payments.terminal[copied], columns["terminal"])
        amounts = episodes.draw_amounts(customer, self.amount_ratio)
        return self.build_payments(
            episodes,
            time=np.minimum(np.floor(time).astype(np.int64), world.end - 1),
            cents=round_cash(context, merchant, amounts),
            labelled_separately=True,
            reason=~at_terminal,
            customer=customer,
            card=payments.card[copied],
            place=np.where(is_online, episodes.draw_ip_cities(customer), place),
            device=np.where(is_online, episodes.new_devices(n), 0),
            **columns,
        )

    def _copied_payments(self, episodes: Episodes) -> Integers:
        """Draw a genuine payment at the compromised terminal for each fraud."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        end = context.world.end
        span = np.minimum(rng.uniform(k, *self.days) * DAY, end / 2).astype(np.int64)
        latest = (span + self.hours_until_use[1] * HOUR).astype(np.float64)
        start_time = episodes.start_times(latest)
        rows, keys = _sort_by_terminal(context)
        # Of some terminals, each drawn by a payment, the one where most cards pay.
        drawn = keys[rng.integers(k * _CANDIDATES, 0, len(rows) - 1)]
        candidates = drawn.reshape(k, _CANDIDATES) // _KEY_STEP
        start = np.searchsorted(keys, candidates * _KEY_STEP + start_time[:, None])
        stop = np.searchsorted(keys, candidates * _KEY_STEP + (start_time + span)[:, None])
        busiest = (np.arange(k), (stop - start).argmax(axis=1))
        terminal, start, stop = candidates[busiest], start[busiest], stop[busiest]
        # Without a payment there in these days, as in a small world, from any day.
        is_empty = start == stop
        start = np.where(is_empty, np.searchsorted(keys, terminal * _KEY_STEP), start)
        stop = np.where(is_empty, np.searchsorted(keys, (terminal + 1) * _KEY_STEP), stop)
        offset = np.floor(rng.uniform(len(episode)) * (stop - start)[episode]).astype(int)
        copied: Integers = rows[start[episode] + offset]
        return copied


def _sort_by_terminal(context: FraudContext) -> tuple[Integers, Integers]:
    """Return the genuine payments in person by terminal and time, and their sort keys."""
    rows = context.in_person
    payments = context.payments
    terminal = payments.merchant[rows] * _TERMINAL_STEP + payments.terminal[rows]
    keys = terminal * _KEY_STEP + payments.time[rows]
    order = np.argsort(keys, kind="stable")
    return rows[order], keys[order]


@dataclass(frozen=True, kw_only=True)
class CollusionRing(Pattern):
    """Some customers and small merchants of a city transfer money as if for goods.

    The same cards repeatedly pay the same merchants about the same amount.

    Examples
    --------
    >>> CollusionRing(customers=(5, 9)).merchants
    (2, 3)
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

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        n = len(episode)
        customers = context.world.customers
        city = customers.home[episodes.draw_victims()]
        by_city = np.argsort(customers.home, kind="stable")
        start = np.searchsorted(customers.home[by_city], city)
        n_living = np.searchsorted(customers.home[by_city], city, side="right") - start
        # The members of a ring are evenly spaced among the customers of the city.
        n_members = np.minimum(rng.integers(k, *self.customers), n_living)
        first = rng.integers(k, 0, n_living - 1)
        stride = rng.integers(k, 1, np.maximum(n_living // np.maximum(n_members, 1), 1))
        member = rng.integers(n, 0, n_members[episode] - 1)
        position = (first[episode] + stride[episode] * member) % n_living[episode]
        customer = by_city[start[episode] + position]
        shops = [
            episodes.draw_merchants(city, ("restaurant", *RESALE)) for _ in range(self.merchants[1])
        ]
        n_shops = rng.integers(k, *self.merchants)
        shop = rng.integers(n, 0, n_shops[episode] - 1)
        span = np.minimum(rng.uniform(k, *self.days) * DAY, context.world.end * 0.6)
        start_time = episodes.start_times(span)[episode]
        time = start_time + episodes.spread_offsets(span)
        amount = rng.uniform(k, *self.amount)[episode] * 100
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(to_opening_hours(time)),
            cents=amount * (1 + self.amount_variation * rng.uniform(n, -1, 1)),
            customer=customer,
            card=Card.MAIN,
            merchant=np.array(shops)[shop, episode],
            channel=Channel.POS,
            entry=np.where(rng.bernoulli(n, 0.3), Entry.MANUAL, Entry.CHIP),
            place=city[episode],
        )


@dataclass(frozen=True, kw_only=True)
class RefundAbuse(Pattern):
    """An employee of a merchant refunds an accomplice for things never bought.

    Examples
    --------
    >>> RefundAbuse(amount=(10.0, 50.0)).days
    (5.0, 30.0)
    """

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

    def commit(self, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""
        rng, context = episodes.rng, episodes.context
        episode, k = episodes.index, len(episodes)
        customer = episodes.draw_victims()
        home = episodes.home(customer)
        merchant = episodes.draw_merchants(home, RESALE)
        span = np.minimum(rng.uniform(k, *self.days) * DAY, context.world.end * 0.5)
        start = episodes.start_times(span)[episode]
        time = start + episodes.spread_offsets(span)
        return self.build_payments(
            episodes,
            time=episodes.shift_into_period(to_opening_hours(time)),
            cents=rng.uniform(len(episode), *self.amount) * 100,
            customer=customer[episode],
            card=Card.MAIN,
            merchant=merchant[episode],
            kind=Kind.REFUND,
            channel=Channel.POS,
            place=home[episode],
        )
