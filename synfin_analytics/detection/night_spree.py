"""Night-time spree: a card is used again and again in a night, by someone who sleeps at night."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_percent, pluralize
from synfin_analytics._core.rolling import HOUR
from synfin_analytics.detection._bursts import bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class NightSpree(Detector):
    """Several payments in person in one night, by a customer who rarely pays at night.

    At least ``min_count`` payments within ``window``, between midnight and ``night_end`` o'clock:
    by solar time if the longitude is known, otherwise UTC. Their mean is at least ``amount_ratio``
    times the mean of the customer's other payments, of which at most the share ``max_night_share``
    is made at night.
    """

    name: ClassVar[str] = "night_spree"
    title: ClassVar[str] = "Night-time spree"

    night_end: float = 6.0
    min_count: int = 4
    window: dt.timedelta = dt.timedelta(hours=6)
    amount_ratio: float = 1.5
    max_night_share: float = 0.2

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        ahead = np.rint(np.nan_to_num(ledger.numbers("longitude")) / 15)
        hour = (ledger.at / HOUR + ahead) % 24
        night = (hour < self.night_end) & ledger.in_person
        nights = np.bincount(ledger.customer, hour < self.night_end)[ledger.customer]
        episode = bursts(ledger.card, ledger.at, night, self.window, self.min_count)
        found = hits(episode, nights=nights, every=ledger.payments, ratio=ledger.times_usual)
        others = pl.col("every") - pl.len().over("episode")
        found = found.select(
            "place",
            "episode",
            ((pl.col("nights") - pl.len().over("episode")) / others).alias("night_share").round(4),
            pl.col("ratio").fill_nan(None).mean().over("episode").round(1).alias("times_usual"),
        ).filter(
            (pl.col("night_share") <= self.max_night_share)
            & (pl.col("times_usual") >= self.amount_ratio)
        )
        return found.with_columns(
            strength=(
                grown(pl.len().over("episode"), self.min_count, 2 * self.min_count)
                + grown(-pl.col("night_share"), -self.max_night_share, -0.2 * self.max_night_share)
            )
            / 2
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in one night, of a customer who makes "
            f"{format_percent(figures['night_share'])} of the others at night"
        )
