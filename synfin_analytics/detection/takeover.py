"""Detectors of accounts and cards in other hands: account takeover, dormant cards."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, format_percent, pluralize
from synfin_analytics._core.grouped import DAY, GroupedRolling, to_microseconds
from synfin_analytics.detection._episodes import episode_rows, evidence_of, find_bursts
from synfin_analytics.detection.detector import Detector

if TYPE_CHECKING:
    from synfin_analytics.detection._context import DetectionContext


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
                evidence=(
                    evidence_of(pl.col("amount_ratio"), self.amount_ratio, 3 * self.amount_ratio)
                    + evidence_of(pl.len().over("episode"), self.min_count, 2 * self.min_count)
                    + evidence_of(-pl.col("online_share"), -0.5, -0.1)
                )
                / 3
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
            evidence=(
                evidence_of(pl.col("inactive_days"), self.inactivity / dt.timedelta(days=1), 90)
                + evidence_of(pl.len().over("episode"), self.min_count, 2 * self.min_count)
            )
            / 2
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in a row after "
            f"{format_number(figures['inactive_days'])} days without any"
        )
