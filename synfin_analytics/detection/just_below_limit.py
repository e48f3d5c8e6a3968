"""Just below a limit: amounts that stay under what would be checked, again and again."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics.detection._bursts import bursts
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class JustBelowLimit(Detector):
    """At least ``least`` payments with one card within ``within``, all just below one limit.

    Just below is less than the limit by up to ``below`` of it. ``limits`` are those of your bank:
    amounts from which a PIN is asked for, or a payment is looked at.
    """

    name: ClassVar[str] = "just_below_limit"
    title: ClassVar[str] = "Just below a limit"

    limits: tuple[float, ...] = (25.0, 50.0, 100.0, 150.0, 200.0, 250.0, 500.0, 1000.0, 5000.0)
    below: float = 0.04
    least: int = 4
    within: dt.timedelta = dt.timedelta(days=2)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        limits = np.sort(np.asarray(self.limits))
        above = np.searchsorted(limits, ledger.amount, side="right")
        limit = np.append(limits, np.inf)[above]
        near = (ledger.amount >= limit * (1 - self.below)) & np.isfinite(limit) & ~ledger.paid_back
        key = ledger.card * (len(limits) + 1) + above
        episode = bursts(key, ledger.at, near, self.within, self.least)
        found = hits(episode, limit=limit)
        return found.with_columns(
            strength=grown(pl.len().over("episode"), self.least, 2 * self.least)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} with one card, each just below "
            f"{format_number(figures['limit'])}"
        )
