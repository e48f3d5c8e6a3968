"""Dormant card: after weeks without a payment, somebody uses the card a few times in a row."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.rolling import DAY, GroupedRolling
from synfin_analytics.detection._bursts import bursts, microseconds
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class DormantCard(Detector):
    """Several payments in a row after weeks without any.

    After at least ``inactivity`` without a payment, and ``gap_factor`` times the customer's mean
    gap between payments, there are at least ``min_count`` payments within ``window``. Their mean is
    at least ``amount_ratio`` times the mean of the customer's other payments.
    """

    name: ClassVar[str] = "dormant_card"
    title: ClassVar[str] = "Dormant card"

    inactivity: dt.timedelta = dt.timedelta(days=30)
    gap_factor: float = 10.0
    window: dt.timedelta = dt.timedelta(days=2)
    min_count: int = 3
    amount_ratio: float = 1.3

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        runs = GroupedRolling(ledger.customer, ledger.at)
        before = runs.window(include_current=False).last_row()
        silent = np.where(before >= 0, ledger.at - ledger.at[before], 0)
        days = silent / DAY
        mean_gap = ledger.span_days / np.maximum(ledger.payments, 1)
        wakes = (silent >= microseconds(self.inactivity)) & (days >= self.gap_factor * mean_gap)
        woken = (
            GroupedRolling(ledger.customer, ledger.at, counted=wakes).window(self.window).last_row()
        )
        after = (woken >= 0) & ~ledger.paid_back
        episode = bursts(ledger.customer, ledger.at, after, self.window, self.min_count)
        found = hits(
            episode, silent_days=np.round(days[woken], 1), ratio=ledger.times_usual
        ).select(
            "place",
            "episode",
            pl.col("silent_days").max().over("episode"),
            pl.col("ratio").fill_nan(None).mean().over("episode").round(1).alias("times_usual"),
        )
        return found.filter(pl.col("times_usual") >= self.amount_ratio).with_columns(
            strength=(
                grown(pl.col("silent_days"), self.inactivity / dt.timedelta(days=1), 90)
                + grown(pl.len().over("episode"), self.min_count, 2 * self.min_count)
            )
            / 2
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in a row after "
            f"{format_number(figures['silent_days'])} days without any"
        )
