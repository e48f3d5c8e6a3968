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
    """At least ``least`` payments with one card within ``within``, declined ones too.

    Tiny payments, up to ``tiny``, do not count: these are card testing. If one of them is made with
    a device that the customer has had for longer, it is the customer who is busy.
    """

    name: ClassVar[str] = "velocity_burst"
    title: ClassVar[str] = "Velocity burst"

    least: int = 6
    within: dt.timedelta = dt.timedelta(minutes=40)
    tiny: float = 5.0

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        counted = (ledger.amount > self.tiny) & ~ledger.paid_back
        episode = bursts(ledger.card, ledger.at, counted, self.within, self.least)
        found = hits(episode, own=ledger.own_device)
        found = found.filter(~pl.col("own").any().over("episode")).drop("own")
        return found.with_columns(
            strength=grown(pl.len().over("episode"), self.least, 2 * self.least)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} with one card, one right after the other"
        )
