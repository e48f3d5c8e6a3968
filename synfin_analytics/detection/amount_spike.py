"""Amount spike: one payment of many times what the customer usually pays, and none of theirs."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number
from synfin_analytics._core.rolling import Runs
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
    """A payment of at least ``times`` the customer's mean, that does not look like the customer.

    It is made from a device that the customer was never seen with for longer, or with the magnetic
    stripe of a card, or a number typed in, and no other such payment is made within ``alone``.
    Where neither devices nor entry modes are known, every such amount counts. The mean is that of
    the customer's other payments; the customer has made ``history`` payments in all, at least.
    """

    name: ClassVar[str] = "amount_spike"
    title: ClassVar[str] = "Amount spike"

    times: float = 10.0
    history: int = 10
    alone: dt.timedelta = dt.timedelta(days=1)

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        which = spikes(ledger, self.times, self.history) & ledger.strange
        if ledger.tells_strangers:
            for at in (ledger.at, -ledger.at):  # before, and after
                runs = Runs(ledger.customer, at, counted=ledger.strange)
                which &= runs.window(self.alone).count() == 1
        found = singles(ledger, which)
        return found.with_columns(strength=grown(pl.col("times_usual"), self.times, 2 * self.times))

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"One payment of {format_number(figures['times_usual'], 1)} times what the customer "
            "usually pays, not in the customer's way"
        )
