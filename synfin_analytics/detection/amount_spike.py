"""Amount spike: one payment of many times what the customer usually pays, and none of theirs."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number
from synfin_analytics._core.rolling import GroupedRolling
from synfin_analytics.detection._bursts import NONE
from synfin_analytics.detection.detector import Detector, grown, hits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.detection._context import Ledger


def spikes(ledger: Ledger, times: float, least_history: int) -> NDArray[np.bool_]:
    """Say which amounts stand out: so many times the customer's mean, of enough payments."""
    return (
        ~ledger.paid_back
        & (ledger.amount >= times * ledger.mean)
        & (ledger.mean > 0)  # after amounts of 0 alone, nothing is usual
        & (ledger.payments >= least_history)
    )


def singles(ledger: Ledger, which: NDArray[np.bool_]) -> pl.DataFrame:
    """Give each of these rows an episode of its own, with its figures."""
    episode = np.where(which, np.arange(len(ledger)), NONE)
    return hits(episode, times_usual=np.round(ledger.times_usual, 1))


@dataclasses.dataclass(frozen=True)
class AmountSpike(Detector):
    """One payment of many times the customer's mean, not made the customer's usual way.

    The amount is at least ``amount_ratio`` times the mean of the customer's other payments, of
    which there are at least ``min_history`` (the payment included). It is made from a device that
    is not the customer's own, with the magnetic stripe, or with a card number typed in by hand, and
    no other such payment falls within ``isolation``. Where neither devices nor entry modes are
    known, every such amount counts.
    """

    name: ClassVar[str] = "amount_spike"
    title: ClassVar[str] = "Amount spike"

    amount_ratio: float = 10.0
    min_history: int = 10
    isolation: dt.timedelta = dt.timedelta(days=1)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        which = spikes(ledger, self.amount_ratio, self.min_history) & ledger.strange
        if ledger.tells_strangers:
            for at in (ledger.at, -ledger.at):  # before, and after
                runs = GroupedRolling(ledger.customer, at, counted=ledger.strange)
                which &= runs.window(self.isolation).count() == 1
        found = singles(ledger, which)
        return found.with_columns(
            strength=grown(pl.col("times_usual"), self.amount_ratio, 2 * self.amount_ratio)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"One payment of {format_number(figures['times_usual'], 1)} times what the customer "
            "usually pays, not in the customer's way"
        )
