"""Refund abuse: a merchant pays back again and again what was never bought there."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.rolling import Amounts, GroupedRolling
from synfin_analytics.detection._bursts import bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class RefundAbuse(Detector):
    """Several refunds of a merchant to a customer who had not paid as much there.

    At least ``min_count`` refunds within ``window``. A refund counts if it and the earlier refunds
    of the merchant to that customer exceed all that the customer had paid there.
    """

    name: ClassVar[str] = "refund_abuse"
    title: ClassVar[str] = "Refund abuse"
    needs: ClassVar[tuple[str, ...]] = ("transaction_type",)

    min_count: int = 3
    window: dt.timedelta = dt.timedelta(days=30)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        pair = ledger.customer * (ledger.merchant.max(initial=0) + 1) + ledger.merchant
        money = Amounts.from_floats(ledger.amount)
        refund = ledger.is_one_of("transaction_type", "refund")
        so_far = GroupedRolling(pair, ledger.at).window()
        bought = so_far.sum(np.where(ledger.spent, money.units, 0))
        unbought = refund & (so_far.sum(np.where(refund, money.units, 0)) > bought)
        episode = bursts(pair, ledger.at, unbought, self.window, self.min_count)
        found = hits(episode, refunded=ledger.amount, bought=money.to_money(bought))
        return found.with_columns(
            pl.col("refunded").sum().over("episode").round(2),
            pl.col("bought").max().over("episode").round(2),
        ).with_columns(
            strength=(
                grown(pl.len().over("episode"), self.min_count, 2 * self.min_count)
                + grown(-pl.col("bought") / pl.col("refunded"), -1, 0)
            )
            / 2
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'refund')} of "
            f"{format_number(figures['refunded'], 2)} in all from a merchant where "
            f"{format_number(figures['bought'], 2)} had been spent"
        )
