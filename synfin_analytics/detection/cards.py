"""Detectors of cards and accounts in other hands.

Rapid use (card testing, velocity bursts, night-time sprees), account takeover, dormant cards.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, format_percent, pluralize
from synfin_analytics._core.grouped import DAY, HOUR, GroupedRolling, to_microseconds
from synfin_analytics.detection.detector import (
    NO_EPISODE,
    Detector,
    episode_rows,
    evidence_of,
    evidence_of_count,
    find_bursts,
)

if TYPE_CHECKING:
    from synfin_analytics.detection._context import DetectionContext


@dataclasses.dataclass(frozen=True)
class CardTesting(Detector):
    """Many tiny payments with one card in a short time, often followed by a large one.

    At least ``min_count`` payments of up to ``tiny_amount`` within ``window``, declined ones
    included. Payments that are known to be in person, from the customer's own device, or with a
    card that the merchant has stored do not count. A payment of at least ``amount_ratio`` times the
    mean of the customer's others, made in the same way within ``cash_out_window`` after the tests,
    belongs to the episode.

    Parameters
    ----------
    tiny_amount
        Maximum amount of a test.
    min_count
        Minimum number of tests.
    window
        Maximum time from the first test to the last.
    cash_out_window
        Maximum time from the tests to the large payment.
    amount_ratio
        Minimum amount of the large payment, as a multiple of the customer's mean.

    Examples
    --------
    >>> CardTesting(min_count=6).window
    datetime.timedelta(seconds=3600)
    """

    name: ClassVar[str] = "card_testing"
    title: ClassVar[str] = "Card testing"

    tiny_amount: float = 5.0
    min_count: int = 4
    window: dt.timedelta = dt.timedelta(hours=1)
    cash_out_window: dt.timedelta = dt.timedelta(hours=6)
    amount_ratio: float = 2.0

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        is_remote = np.ones(len(context), np.bool_)
        if "is_online" in context.available_columns:
            is_remote = context.is_online
        is_remote = is_remote & ~context.has_own_device & ~context.is_in("entry_mode", "stored")
        is_tiny = is_remote & (context.amount <= self.tiny_amount)
        episodes = find_bursts(
            context.card, context.timestamp, is_tiny, self.window, self.min_count
        )
        is_test = episodes != NO_EPISODE
        tests = GroupedRolling(context.card, context.timestamp, counted=is_test)
        last_test = tests.window(self.cash_out_window).last_row()
        is_cash_out = is_remote & ~is_test & (last_test >= 0)
        is_cash_out &= context.amount >= self.amount_ratio * context.usual_amount
        episodes = np.where(is_cash_out, episodes[last_test], episodes)
        rows = episode_rows(episodes, is_cash_out=is_cash_out, amount=context.amount)
        tiny_payments = (~pl.col("is_cash_out")).sum().over("episode")
        large_amount = pl.col("amount").filter("is_cash_out").sum().over("episode")
        return (
            rows.with_columns(tiny_payments=tiny_payments, large_amount=large_amount)
            .with_columns(
                evidence=pl.mean_horizontal(
                    evidence_of(pl.col("tiny_payments"), self.min_count, 2 * self.min_count),
                    evidence_of(pl.col("large_amount").sign(), 0, 1),
                )
            )
            .drop("is_cash_out", "amount")
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        tests = f"{pluralize(figures['tiny_payments'], 'tiny payment')} in quick succession"
        large_amount = figures["large_amount"]
        return tests + (f", then {format_number(large_amount, 2)}" if large_amount else "")


@dataclasses.dataclass(frozen=True)
class VelocityBurst(Detector):
    """Many payments with one card in a short time.

    At least ``min_count`` payments within ``window``, declined ones included. Payments of up to
    ``tiny_amount`` do not count: these are card testing. Neither do bursts of which a payment is
    made from the customer's own device.

    Parameters
    ----------
    min_count
        Minimum number of payments.
    window
        Maximum time from the first to the last.
    tiny_amount
        Payments up to this amount do not count.

    Examples
    --------
    >>> VelocityBurst().min_count
    6
    """

    name: ClassVar[str] = "velocity_burst"
    title: ClassVar[str] = "Velocity burst"

    min_count: int = 6
    window: dt.timedelta = dt.timedelta(minutes=40)
    tiny_amount: float = 5.0

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        counted = (context.amount > self.tiny_amount) & ~context.is_credit
        episodes = find_bursts(
            context.card, context.timestamp, counted, self.window, self.min_count
        )
        rows = episode_rows(episodes, is_own=context.has_own_device)
        rows = rows.filter(~pl.col("is_own").any().over("episode")).drop("is_own")
        return rows.with_columns(evidence=evidence_of_count(self.min_count))

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return f"{pluralize(figures['payments'], 'payment')} with one card in quick succession"


@dataclasses.dataclass(frozen=True)
class NightSpree(Detector):
    """Several payments in person in one night, by a customer who rarely pays at night.

    At least ``min_count`` payments within ``window``, between midnight and ``night_end`` o'clock:
    by solar time if the longitude is known, otherwise UTC. Their mean is at least ``amount_ratio``
    times the mean of the customer's other payments, of which at most the share ``max_night_share``
    is made at night.

    Parameters
    ----------
    night_end
        Hour at which the night ends.
    min_count
        Minimum number of payments.
    window
        Maximum time from the first to the last.
    amount_ratio
        Minimum mean amount, as a multiple of the mean of the customer's other payments.
    max_night_share
        Maximum share of the customer's other payments that are made at night.

    Examples
    --------
    >>> NightSpree(night_end=5.0).max_night_share
    0.2
    """

    name: ClassVar[str] = "night_spree"
    title: ClassVar[str] = "Night-time spree"

    night_end: float = 6.0
    min_count: int = 4
    window: dt.timedelta = dt.timedelta(hours=6)
    amount_ratio: float = 1.5
    max_night_share: float = 0.2

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        solar_offset = np.rint(np.nan_to_num(context.floats("longitude")) / 15)
        hour = (context.timestamp / HOUR + solar_offset) % 24
        is_night = (hour < self.night_end) & context.is_in_person
        n_nights = np.bincount(context.customer, hour < self.night_end)[context.customer]
        episodes = find_bursts(
            context.card, context.timestamp, is_night, self.window, self.min_count
        )
        rows = episode_rows(
            episodes,
            n_nights=n_nights,
            n_payments=context.customer_count,
            ratio=context.amount_ratio,
        )
        count = pl.len().over("episode")
        night_share = (pl.col("n_nights") - count) / (pl.col("n_payments") - count)
        rows = rows.select(
            "row",
            "episode",
            night_share.alias("night_share").round(4),
            pl.col("ratio").fill_nan(None).mean().over("episode").round(1).alias("amount_ratio"),
        ).filter(
            (pl.col("night_share") <= self.max_night_share)
            & (pl.col("amount_ratio") >= self.amount_ratio)
        )
        return rows.with_columns(
            evidence=pl.mean_horizontal(
                evidence_of_count(self.min_count),
                evidence_of(
                    -pl.col("night_share"), -self.max_night_share, -0.2 * self.max_night_share
                ),
            )
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in one night by a customer who makes "
            f"{format_percent(figures['night_share'])} of all other payments at night"
        )


@dataclasses.dataclass(frozen=True)
class AccountTakeover(Detector):
    """Several payments from a device that the customer never used before.

    At least ``min_count`` payments within ``window``, whose median is at least ``amount_ratio``
    times the customer's usual amount. The smaller the share of the customer's payments that are
    online, the stronger the evidence.

    Parameters
    ----------
    min_count
        Minimum number of payments.
    window
        Maximum time from the first to the last.
    amount_ratio
        Minimum median amount, as a multiple of the customer's usual amount.

    Examples
    --------
    >>> AccountTakeover(min_count=5).amount_ratio
    1.2
    """

    name: ClassVar[str] = "account_takeover"
    title: ClassVar[str] = "Account takeover"
    required_columns: ClassVar[tuple[str, ...]] = ("device_id",)

    min_count: int = 3
    window: dt.timedelta = dt.timedelta(days=4)
    amount_ratio: float = 1.2

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        is_unfamiliar = context.has_unfamiliar_device & ~context.is_credit
        episodes = find_bursts(
            context.device, context.timestamp, is_unfamiliar, self.window, self.min_count
        )
        online_share = context.per_customer(pl.col("is_online").mean())
        rows = episode_rows(episodes, ratio=context.amount_ratio, online_share=online_share)
        amount_ratio = pl.col("ratio").fill_nan(None).median().over("episode").round(1)
        return (
            rows.with_columns(
                amount_ratio.alias("amount_ratio"),
                pl.col("online_share").mean().over("episode").round(3),
            )
            .filter(pl.col("amount_ratio") >= self.amount_ratio)
            .with_columns(
                evidence=pl.mean_horizontal(
                    evidence_of(pl.col("amount_ratio"), self.amount_ratio, 3 * self.amount_ratio),
                    evidence_of_count(self.min_count),
                    evidence_of(-pl.col("online_share"), -0.5, -0.1),
                )
            )
            .drop("ratio")
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} of "
            f"{format_number(figures['amount_ratio'], 1)} times the usual amount, from a device "
            "that the customer never used before; the customer makes "
            f"{format_percent(figures['online_share'])} of all payments online"
        )


@dataclasses.dataclass(frozen=True)
class DormantCard(Detector):
    """Several payments in a row after weeks without any.

    After at least ``inactivity`` without a payment, and ``gap_factor`` times the customer's mean
    gap between payments, there are at least ``min_count`` payments within ``window``. On average
    they are at least ``amount_ratio`` times the mean of the customer's other payments.

    Parameters
    ----------
    inactivity
        Minimum time without a payment.
    gap_factor
        The same as a multiple of the customer's mean gap between payments.
    window
        Maximum time from the first payment to the last.
    min_count
        Minimum number of payments.
    amount_ratio
        Minimum mean amount, as a multiple of the mean of the customer's other payments.

    Examples
    --------
    >>> DormantCard(gap_factor=5.0).inactivity
    datetime.timedelta(days=30)
    """

    name: ClassVar[str] = "dormant_card"
    title: ClassVar[str] = "Dormant card"

    inactivity: dt.timedelta = dt.timedelta(days=30)
    gap_factor: float = 10.0
    window: dt.timedelta = dt.timedelta(days=2)
    min_count: int = 3
    amount_ratio: float = 1.3

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        customers = GroupedRolling(context.customer, context.timestamp)
        previous = customers.window(include_current=False).last_row()
        gap = np.where(previous >= 0, context.timestamp - context.timestamp[previous], 0)
        gap_days = gap / DAY
        mean_gap = context.customer_days / np.maximum(context.customer_count, 1)
        is_first = (gap >= to_microseconds(self.inactivity)) & (
            gap_days >= self.gap_factor * mean_gap
        )
        first_payments = GroupedRolling(context.customer, context.timestamp, counted=is_first)
        first = first_payments.window(self.window).last_row()
        is_after = (first >= 0) & ~context.is_credit
        episodes = find_bursts(
            context.customer, context.timestamp, is_after, self.window, self.min_count
        )
        rows = episode_rows(
            episodes, inactive_days=np.round(gap_days[first], 1), ratio=context.amount_ratio
        ).select(
            "row",
            "episode",
            pl.col("inactive_days").max().over("episode"),
            pl.col("ratio").fill_nan(None).mean().over("episode").round(1).alias("amount_ratio"),
        )
        return rows.filter(pl.col("amount_ratio") >= self.amount_ratio).with_columns(
            evidence=pl.mean_horizontal(
                evidence_of(pl.col("inactive_days"), self.inactivity / dt.timedelta(days=1), 90),
                evidence_of_count(self.min_count),
            )
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in a row after "
            f"{format_number(figures['inactive_days'])} days without any"
        )
