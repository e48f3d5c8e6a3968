"""Card testing: is a stolen number still good? Many tiny payments online, then a large one."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.rolling import Runs
from synfin_analytics.detection._bursts import NONE, bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class CardTesting(Detector):
    """At least ``least`` tiny payments with one card within ``within``, declined ones too.

    Tiny is up to ``tiny``. Payments in person are left out where that is known, and so are those
    from a device that the customer has had for longer, and with a card that the merchant has
    stored. A payment of at least ``times`` the mean of the customer's others, made in the same way
    within ``then`` of the tests, belongs to it.
    """

    name: ClassVar[str] = "card_testing"
    title: ClassVar[str] = "Card testing"

    tiny: float = 5.0
    least: int = 4
    within: dt.timedelta = dt.timedelta(hours=1)
    then: dt.timedelta = dt.timedelta(hours=6)
    times: float = 2.0

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        remote = ledger.online if "is_online" in ledger.known else np.ones(len(ledger), np.bool_)
        remote = remote & ~ledger.own_device & ~ledger.is_one_of("entry_mode", "stored")
        tests = remote & (ledger.amount <= self.tiny)
        episode = bursts(ledger.card, ledger.at, tests, self.within, self.least)
        tested = episode != NONE
        before = Runs(ledger.card, ledger.at, counted=tested).window(self.then).last()
        large = remote & ~tested & (before >= 0) & (ledger.amount >= self.times * ledger.mean)
        episode = np.where(large, episode[before], episode)
        found = hits(episode, large=large, amount=ledger.amount)
        return (
            found.with_columns(
                (~pl.col("large")).sum().over("episode").alias("tiny_payments"),
                pl.col("amount").filter("large").sum().over("episode").alias("large_amount"),
            )
            .with_columns(
                strength=(
                    grown(pl.col("tiny_payments"), self.least, 2 * self.least)
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
