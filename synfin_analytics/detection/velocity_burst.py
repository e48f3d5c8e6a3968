"""Velocity burst: a stolen card is used as often as possible before it is blocked."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.detection._bursts import bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class VelocityBurst(Detector):
    """Many payments with one card in a short time.

    At least ``min_count`` payments within ``window``, declined ones included. Payments of up to
    ``tiny_amount`` do not count: these are card testing. Neither do bursts of which a payment is
    made from the customer's own device.
    """

    name: ClassVar[str] = "velocity_burst"
    title: ClassVar[str] = "Velocity burst"

    min_count: int = 6
    window: dt.timedelta = dt.timedelta(minutes=40)
    tiny_amount: float = 5.0

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        counted = (ledger.amount > self.tiny_amount) & ~ledger.paid_back
        episode = bursts(ledger.card, ledger.at, counted, self.window, self.min_count)
        found = hits(episode, own=ledger.own_device)
        found = found.filter(~pl.col("own").any().over("episode")).drop("own")
        return found.with_columns(
            strength=grown(pl.len().over("episode"), self.min_count, 2 * self.min_count)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} with one card, one right after the other"
        )
