"""Impossible travel: a card is used in two places between which nobody can travel so fast."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number
from synfin_analytics._core.geography import great_circle_km
from synfin_analytics._core.rolling import HOUR, GroupedRolling
from synfin_analytics.detection._bursts import NONE, spells
from synfin_analytics.detection._context import AXES
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class ImpossibleTravel(Detector):
    """Two payments in person with one card, too far apart to travel in the time.

    They are at least ``min_km`` apart, which takes a speed of more than ``max_speed_kmh``. Where
    entry modes are known, one of the two is read from the magnetic stripe, which can be copied, and
    that one is the copy's. Otherwise the copy's is the one at the place where the card was used
    less within ``usage_window``; if equal, the one farther from where the customer mostly pays.
    Payments within ``near_km`` and ``window`` before or after the copy's belong to the episode.
    """

    name: ClassVar[str] = "impossible_travel"
    title: ClassVar[str] = "Impossible travel"
    needs: ClassVar[tuple[str, ...]] = AXES

    max_speed_kmh: float = 1000.0
    min_km: float = 200.0
    usage_window: dt.timedelta = dt.timedelta(days=3)
    near_km: float = 100.0
    window: dt.timedelta = dt.timedelta(hours=12)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        north, east = (ledger.numbers(axis) for axis in AXES)
        rows = np.flatnonzero(ledger.in_person & ~np.isnan(north) & ~np.isnan(east))
        rows = rows[np.argsort(ledger.card[rows], kind="stable")]
        one, other = rows[:-1], rows[1:]
        km = great_circle_km(north[one], east[one], north[other], east[other])
        hours = (ledger.at[other] - ledger.at[one]) / HOUR
        same = ledger.card[one] == ledger.card[other]
        stays = same & (km <= self.near_km) & (hours <= self.window / dt.timedelta(hours=1))
        jumps = same & (km >= self.min_km) & (km > self.max_speed_kmh * hours)
        stripe = ledger.stripe
        if "entry_mode" in ledger.known:
            jumps &= stripe[one] | stripe[other]
        seen, away = self._seen(ledger, rows, north, east), np.nan_to_num(ledger.from_home)
        # Of two rows the copy is the one that is larger in the first of these that differs.
        signs = ((stripe[other], stripe[one]), (-seen[other], -seen[one]), (away[other], away[one]))
        later = np.select([x != y for x, y in signs], [x > y for x, y in signs], default=True)
        at = np.arange(len(one)) + later
        copies = at[jumps]
        far, least = np.zeros(len(rows)), np.full(len(rows), np.inf)
        np.maximum.at(far, copies, km[jumps])
        np.minimum.at(least, copies, hours[jumps])
        stay = np.cumsum(np.append(True, ~stays))[: len(rows)]
        marked = np.isin(stay, stay[copies])
        order = np.argsort(rows, kind="stable")
        episode = np.full(len(ledger), NONE)
        episode[rows[order]] = spells(
            ledger.card[rows[order]], ledger.at[rows[order]], marked[order], self.window
        )
        figures = np.zeros((2, len(ledger)))
        figures[:, rows] = far, least
        found = hits(episode, km=figures[0], hours=figures[1])
        return found.with_columns(
            pl.col("km").max().over("episode").round(),
            pl.col("hours").min().over("episode").round(2),
        ).with_columns(
            strength=grown(
                pl.col("km") / pl.max_horizontal("hours", 0.05),
                self.max_speed_kmh,
                3 * self.max_speed_kmh,
            )
        )

    def _seen(
        self, ledger: Ledger, rows: NDArray[np.int64], north: NDArray[np.float64],
        east: NDArray[np.float64],
    ) -> NDArray[np.int64]:  # fmt: skip
        """Count payments in person with the card within about 100 km, shortly before or after."""
        grid = np.stack([ledger.card[rows], np.rint(north[rows]), np.rint(east[rows])])
        place = np.unique(grid.astype(np.int64), axis=1, return_inverse=True)[1].ravel()
        counts = np.zeros(len(ledger), np.int64)
        for at in (ledger.at[rows], -ledger.at[rows]):
            counts[rows] += GroupedRolling(place, at).window(self.usage_window).count()
        return counts

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"A card was used {format_number(figures['km'])} km from where it had been "
            f"{format_number(60 * figures['hours'])} minutes before or after"
        )
