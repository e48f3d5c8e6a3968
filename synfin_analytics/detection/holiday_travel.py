"""Holiday travel: a customer pays far from home for some days; unusual, and no fraud by itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics.detection._bursts import NONE, microseconds, spells
from synfin_analytics.detection._context import AXES
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class HolidayTravel(Detector):
    """Payments in person far from home for a day or more.

    At least ``min_count`` payments with one card, each at least ``min_km`` from home and at most
    ``max_gap`` after the one before, with none near home between them; from the first to the last
    there are at least ``min_duration``.
    """

    name: ClassVar[str] = "holiday_travel"
    title: ClassVar[str] = "Holiday travel"
    needs: ClassVar[tuple[str, ...]] = AXES

    min_km: float = 200.0
    min_count: int = 2
    max_gap: dt.timedelta = dt.timedelta(days=5)
    min_duration: dt.timedelta = dt.timedelta(days=1)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        km = ledger.from_home
        seen = np.flatnonzero(ledger.in_person & ~np.isnan(km))
        away = km[seen] >= self.min_km
        # A stay ends with the first payment near home: that number is the same all through it.
        order = np.argsort(ledger.card[seen], kind="stable")
        stay = np.empty(len(seen), np.int64)
        stay[order] = np.cumsum(~away[order])
        key = np.full(len(ledger), NONE)
        key[seen] = stay * (ledger.card.max(initial=0) + 1) + ledger.card[seen]
        marked = np.zeros(len(ledger), np.bool_)
        marked[seen] = away
        episode = spells(key, ledger.at, marked, self.max_gap)
        found = hits(episode, at=ledger.at, km=km)
        lasts = (pl.col("at").max() - pl.col("at").min()).over("episode")
        least = microseconds(self.min_duration)
        return (
            found.with_columns(
                (lasts / 86_400_000_000).round(1).alias("days"),
                pl.col("km").max().over("episode").round(),
            )
            .filter((pl.len().over("episode") >= self.min_count) & (lasts >= pl.lit(least)))
            .with_columns(
                strength=(
                    grown(pl.len().over("episode"), self.min_count, 4 * self.min_count)
                    + grown(pl.col("days"), 1, 4)
                )
                / 2
            )
            .drop("at")
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in person on "
            f"{format_number(figures['days'], 1)} days up to {format_number(figures['km'])} km "
            "from home"
        )
