"""Compromised merchant: where were the cards that are misused now? The common point of purchase."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import poisson

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.rolling import GroupedRolling
from synfin_analytics.detection._bursts import NONE, microseconds
from synfin_analytics.detection.detector import Detector, grown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from synfin_analytics.detection._context import Ledger

    Integers = NDArray[np.int64]


class _Terminal(NamedTuple):
    """A terminal that is under suspicion."""

    #: Place of the last visit in the days that are looked at.
    visit: int
    #: Places of the payments with cards that were there.
    misused: Integers
    cards: int
    #: How many cards would be misused by chance.
    by_chance: float


@dataclasses.dataclass(frozen=True)
class CompromisedMerchant(Detector):
    """Cards that paid at one terminal are misused soon after, far more than elsewhere.

    A misuse is a payment that is not made the customer's usual way (an unknown device, the magnetic
    stripe, a number typed in), at the terminal itself or elsewhere, within ``misuse_window`` after
    the card was at the terminal in person. A terminal is suspicious if at least ``min_cards`` of
    the cards of the last ``window`` are misused, and if so many would occur by chance (at the rate
    of all terminals, Poisson) with a probability of at most ``max_p_value``. Each misuse counts
    against the terminal with the strongest evidence only: the common point of purchase.
    """

    name: ClassVar[str] = "compromised_merchant"
    title: ClassVar[str] = "Compromised merchant"
    about: ClassVar[str] = "merchants"
    needs: ClassVar[tuple[str, ...]] = ("entry_mode",)

    misuse_window: dt.timedelta = dt.timedelta(days=4)
    window: dt.timedelta = dt.timedelta(days=14)
    min_cards: int = 5
    max_p_value: float = 1e-4

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        misused = ledger.strange & ~ledger.paid_back
        visits = np.flatnonzero(ledger.in_person & ~misused)
        if not len(visits) or not misused.any():
            return self._rows(ledger, [])
        visit, misuse = self._followed(ledger, visits, np.flatnonzero(misused))
        flagged = np.zeros(len(ledger), np.bool_)
        flagged[visit] = True
        rate = flagged[visits].mean()
        runs = GroupedRolling(ledger.terminal[visits], ledger.at[visits]).window(self.window)
        cards = runs.n_unique(np.where(flagged, ledger.card, NONE)[visits])
        expected = rate * runs.count()
        chance = poisson.sf(cards - 1, expected)
        found = (cards >= self.min_cards) & (chance <= self.max_p_value)
        # From the strongest evidence on: what one terminal explains is no evidence against others.
        strongest = np.flatnonzero(found)[np.argsort(chance[found], kind="stable")]
        claimed = self._claimed(ledger, visit, misuse, visits[strongest], expected[strongest])
        return self._rows(ledger, list(claimed))

    def _followed(
        self, ledger: Ledger, visits: Integers, misused: Integers
    ) -> tuple[Integers, Integers]:
        """Pair each misuse with every visit of the card within ``misuse_window`` before it."""
        order = visits[np.argsort(ledger.card[visits], kind="stable")]
        # Places in the ledger take the place of moments, which times cards would be too much.
        n = len(ledger)
        card, placed = ledger.card[misused] * n, ledger.card[order] * n + order
        oldest = np.searchsorted(ledger.at, ledger.at[misused] - microseconds(self.misuse_window))
        begin, end = np.searchsorted(placed, card + oldest), np.searchsorted(placed, card + misused)
        lengths = end - begin
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return order[np.repeat(begin, lengths) + within], np.repeat(misused, lengths)

    def _claimed(
        self, ledger: Ledger, visit: Integers, misuse: Integers, ends: Integers,
        expected: NDArray[np.float64],
    ) -> Iterator[_Terminal]:  # fmt: skip
        """Terminals from the strongest evidence on, each with the misuse that none before has."""
        days = microseconds(self.window)
        free = np.ones(len(ledger), np.bool_)
        by_terminal = np.argsort(ledger.terminal[visit], kind="stable")
        terminals = ledger.terminal[visit][by_terminal]
        for end, by_chance in zip(ends.tolist(), expected.tolist(), strict=True):
            low, high = np.searchsorted(terminals, (ledger.terminal[end], ledger.terminal[end] + 1))
            pairs = by_terminal[low:high]
            at = ledger.at[visit[pairs]]
            within = (at <= ledger.at[end]) & (at > ledger.at[end] - days) & free[misuse[pairs]]
            rows = np.unique(misuse[pairs[within]])
            cards = len(np.unique(ledger.card[rows]))
            if cards >= self.min_cards and poisson.sf(cards - 1, by_chance) <= self.max_p_value:
                free[rows] = False
                yield _Terminal(end, rows, cards, by_chance)

    def _rows(self, ledger: Ledger, terminals: list[_Terminal]) -> pl.DataFrame:
        """Rows of all terminals, with their figures."""
        sizes = [len(one.misused) for one in terminals]
        of = ledger.frame[[one.visit for one in terminals]]
        found = pl.DataFrame(
            {
                "place": np.concatenate(
                    [np.zeros(0, np.int64), *(one.misused for one in terminals)]
                ),
                "episode": np.repeat(np.arange(len(terminals)), sizes),
            }
        )
        figures = of.select(
            pl.col("merchant_id").alias("subject"),
            pl.col("terminal_id").alias("terminal"),
            pl.Series("cards", [one.cards for one in terminals], pl.Int64),
            pl.Series("by_chance", [round(one.by_chance, 2) for one in terminals], pl.Float64),
        )
        return pl.concat([found, figures[found["episode"]]], how="horizontal").with_columns(
            strength=grown(pl.col("cards") / pl.col("by_chance").clip(0.1), 2, 20)
        )

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        return (
            f"{pluralize(figures['cards'], 'card')} that had paid at one terminal were misused "
            f"soon after, where {format_number(figures['by_chance'], 1)} would be by chance"
        )
