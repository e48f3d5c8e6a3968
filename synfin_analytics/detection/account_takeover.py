"""Account takeover: somebody shops with a customer's account, from a device of their own."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from synfin_analytics._core.formatting import format_number, format_percent, pluralize
from synfin_analytics.detection._bursts import bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class AccountTakeover(Detector):
    """Several payments from a device that the customer never used before.

    At least ``min_count`` payments within ``window``, whose mean is at least ``amount_ratio`` times
    the customer's usual amount. The smaller the share of the customer's payments that are online,
    the stronger the evidence.
    """

    name: ClassVar[str] = "account_takeover"
    title: ClassVar[str] = "Account takeover"
    needs: ClassVar[tuple[str, ...]] = ("device_id",)

    min_count: int = 3
    window: dt.timedelta = dt.timedelta(days=4)
    amount_ratio: float = 1.2

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        key = ledger.device
        strange = ledger.strange_device & ~ledger.paid_back
        episode = bursts(key, ledger.at, strange, self.window, self.min_count)
        ratio = ledger.times_usual
        online = ledger.of_customer(pl.col("online").mean())
        found = hits(episode, ratio=ratio, online_share=online)
        return (
            found.with_columns(
                pl.col("ratio")
                .fill_nan(None)
                .median()
                .over("episode")
                .round(1)
                .alias("times_usual"),
                pl.col("online_share").mean().over("episode").round(3),
            )
            .filter(pl.col("times_usual") >= self.amount_ratio)
            .with_columns(
                strength=(
                    grown(pl.col("times_usual"), self.amount_ratio, 3 * self.amount_ratio)
                    + grown(pl.len().over("episode"), self.min_count, 2 * self.min_count)
                    + grown(-pl.col("online_share"), -0.5, -0.1)
                )
                / 3
            )
            .drop("ratio")
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} from a device that the customer never "
            f"had, of {format_number(figures['times_usual'], 1)} times the usual amount; the "
            f"customer makes {format_percent(figures['online_share'])} of all payments online"
        )
