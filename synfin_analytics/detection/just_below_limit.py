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
    """Several payments with one card just below the same limit.

    At least ``min_count`` payments within ``window``, each below the limit by at most ``margin``,
    as a share of it. Set ``limits`` to those of your bank: amounts from which it asks for a PIN, or
    reviews a payment.
    """

    name: ClassVar[str] = "just_below_limit"
    title: ClassVar[str] = "Just below a limit"

    limits: tuple[float, ...] = (25.0, 50.0, 100.0, 150.0, 200.0, 250.0, 500.0, 1000.0, 5000.0)
    margin: float = 0.04
    min_count: int = 4
    window: dt.timedelta = dt.timedelta(days=2)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        limits = np.sort(np.asarray(self.limits))
        above = np.searchsorted(limits, ledger.amount, side="right")
        limit = np.append(limits, np.inf)[above]
        near = (ledger.amount >= limit * (1 - self.margin)) & np.isfinite(limit) & ~ledger.paid_back
        key = ledger.card * (len(limits) + 1) + above
        episode = bursts(key, ledger.at, near, self.window, self.min_count)
        found = hits(episode, limit=limit)
        return found.with_columns(
            strength=grown(pl.len().over("episode"), self.min_count, 2 * self.min_count)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} with one card, each just below "
            f"{format_number(figures['limit'])}"
        )
