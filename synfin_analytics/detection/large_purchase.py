"""Large purchase: many times the usual amount, but in the customer's own way; no fraud as such."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from synfin_analytics._core.formatting import format_number
from synfin_analytics.detection.amount_spike import singles, spikes
from synfin_analytics.detection.detector import Detector, grown

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class LargePurchase(Detector):
    """One payment of many times the customer's mean, with the customer's card and device.

    The amount is at least ``amount_ratio`` times the mean of the customer's other payments, of
    which there are at least ``min_history`` (the payment included). It was completed, with the chip
    or from the customer's own device.
    """

    name: ClassVar[str] = "large_purchase"
    title: ClassVar[str] = "Large purchase"

    amount_ratio: float = 10.0
    min_history: int = 10

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        own = ~ledger.strange if ledger.tells_strangers else ledger.spent
        which = spikes(ledger, self.amount_ratio, self.min_history) & own & ledger.spent
        return singles(ledger, which).with_columns(
            strength=grown(pl.col("times_usual"), self.amount_ratio, 2 * self.amount_ratio)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"One payment of {format_number(figures['times_usual'], 1)} times what the customer "
            "usually pays, with the customer's own card or device"
        )
