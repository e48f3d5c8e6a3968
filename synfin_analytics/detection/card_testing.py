"""Card testing: is a stolen number still good? Many tiny payments online, then a large one."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.rolling import GroupedRolling
from synfin_analytics.detection._bursts import NONE, bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class CardTesting(Detector):
    """Many tiny payments with one card in a short time, often followed by a large one.

    At least ``min_count`` payments of up to ``tiny_amount`` within ``window``, declined ones
    included. Payments that are known to be in person, from the customer's own device, or with a
    card that the merchant has stored do not count. A payment of at least ``amount_ratio`` times the
    mean of the customer's others, made in the same way within ``cash_out_window`` after the tests,
    belongs to the episode.
    """

    name: ClassVar[str] = "card_testing"
    title: ClassVar[str] = "Card testing"

    tiny_amount: float = 5.0
    min_count: int = 4
    window: dt.timedelta = dt.timedelta(hours=1)
    cash_out_window: dt.timedelta = dt.timedelta(hours=6)
    amount_ratio: float = 2.0

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        remote = ledger.online if "is_online" in ledger.known else np.ones(len(ledger), np.bool_)
        remote = remote & ~ledger.own_device & ~ledger.is_one_of("entry_mode", "stored")
        tests = remote & (ledger.amount <= self.tiny_amount)
        episode = bursts(ledger.card, ledger.at, tests, self.window, self.min_count)
        tested = episode != NONE
        before = (
            GroupedRolling(ledger.card, ledger.at, counted=tested)
            .window(self.cash_out_window)
            .last_row()
        )
        large = (
            remote & ~tested & (before >= 0) & (ledger.amount >= self.amount_ratio * ledger.mean)
        )
        episode = np.where(large, episode[before], episode)
        found = hits(episode, large=large, amount=ledger.amount)
        return (
            found.with_columns(
                (~pl.col("large")).sum().over("episode").alias("tiny_payments"),
                pl.col("amount").filter("large").sum().over("episode").alias("large_amount"),
            )
            .with_columns(
                strength=(
                    grown(pl.col("tiny_payments"), self.min_count, 2 * self.min_count)
                    + grown(pl.col("large_amount").sign(), 0, 1)
                )
                / 2
            )
            .drop("large", "amount")
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        then = figures["large_amount"]
        return f"{pluralize(figures['tiny_payments'], 'tiny payment')} in short order" + (
            f", then {format_number(then, 2)}" if then else ""
        )
