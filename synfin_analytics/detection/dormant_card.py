"""Dormant card: after weeks without a payment, somebody uses the card a few times in a row."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.rolling import DAY, Runs
from synfin_analytics.detection._bursts import bursts, microseconds
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class DormantCard(Detector):
    """After ``silence`` without a payment of the customer, ``least`` or more within ``within``.

    The silence is at least ``gaps`` times the customer's mean gap between payments. What follows it
    is on average at least ``times`` the mean of the customer's other payments.
    """

    name: ClassVar[str] = "dormant_card"
    title: ClassVar[str] = "Dormant card"

    silence: dt.timedelta = dt.timedelta(days=30)
    gaps: float = 10.0
    within: dt.timedelta = dt.timedelta(days=2)
    least: int = 3
    times: float = 1.3

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        runs = Runs(ledger.customer, ledger.at)
        before = runs.window(itself=False).last()
        silent = np.where(before >= 0, ledger.at - ledger.at[before], 0)
        days = silent / DAY
        mean_gap = ledger.span_days / np.maximum(ledger.payments, 1)
        wakes = (silent >= microseconds(self.silence)) & (days >= self.gaps * mean_gap)
        woken = Runs(ledger.customer, ledger.at, counted=wakes).window(self.within).last()
        after = (woken >= 0) & ~ledger.paid_back
        episode = bursts(ledger.customer, ledger.at, after, self.within, self.least)
        found = hits(
            episode, silent_days=np.round(days[woken], 1), ratio=ledger.times_usual
        ).select(
            "place",
            "episode",
            pl.col("silent_days").max().over("episode"),
            pl.col("ratio").fill_nan(None).mean().over("episode").round(1).alias("times_usual"),
        )
        return found.filter(pl.col("times_usual") >= self.times).with_columns(
            strength=(
                grown(pl.col("silent_days"), self.silence / dt.timedelta(days=1), 90)
                + grown(pl.len().over("episode"), self.least, 2 * self.least)
            )
            / 2
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in a row after "
            f"{format_number(figures['silent_days'])} days without any"
        )
