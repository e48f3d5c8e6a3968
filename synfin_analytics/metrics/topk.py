"""Precision among the few that a team can look at in a day: of transactions, and of cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_decimal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics._scores import Floats, Integers


@dataclass(frozen=True, eq=False)
class TopK:
    """Precision at the ``k`` highest scores of each day.

    Attributes
    ----------
    what
        ``"precision@k"`` or ``"card precision@k"``.
    k
        How many are looked at in a day.
    daily
        A row for each day: ``day``, ``candidates`` (transactions, or cards still in the pool),
        ``compromised`` (those of them with fraud), ``hits`` among the first ``k``, ``precision`` =
        hits / k and its ``max_achievable`` = min(compromised, k) / k.
    """

    what: str
    k: int
    daily: pd.DataFrame

    @property
    def value(self) -> float:
        """Mean of the days' precision; NaN without a day."""
        return float(ratio(self.daily["precision"].sum(), len(self.daily)))

    @property
    def max_achievable(self) -> float:
        """Mean of what a perfect ranking would have reached."""
        return float(ratio(self.daily["max_achievable"].sum(), len(self.daily)))

    def __repr__(self) -> str:
        name = self.what.replace("@k", f"@{self.k}")
        most = format_decimal(self.max_achievable)
        return f"{name} = {format_decimal(self.value)} over {len(self.daily)} days (at most {most})"


def check_k(k: int) -> int:
    """Return the places in a day as an int; refuse what is not a whole number of at least 1."""
    return check_integer(k, "k", minimum=1)


def precision_at_k(
    day: NDArray[Any], score: Floats, transactions: Integers, frauds: Integers, k: int
) -> TopK:
    """Precision of the ``k`` highest transactions of each day.

    Parameters
    ----------
    day, score
        One element for each score of a day.
    transactions, frauds
        How many have that score on that day. Where not all of one score find a place, they share
        what is left: the hits are those expected of a draw among them.
    k
        Places.

    Examples
    --------
    >>> one = np.ones(3, np.int64)
    >>> precision_at_k(np.array([1, 1, 2]), np.array([0.9, 0.4, 0.7]), one, np.array([1, 0, 0]), 1)
    precision@1 = 0.500 over 2 days (at most 0.500)
    """
    k = check_k(k)
    days, which = np.unique(day, return_inverse=True)
    order = np.lexsort((-score, which))
    which, transactions, frauds = which[order], transactions[order], frauds[order]
    before = np.cumsum(transactions) - transactions
    first = np.searchsorted(which, np.arange(len(days)))
    before -= before[first][which] if len(days) else 0
    taken = np.clip(k - before, 0, transactions)
    hits = np.bincount(which, weights=taken * ratio(frauds, transactions), minlength=len(days))
    total = np.bincount(which, weights=transactions, minlength=len(days))
    bad = np.bincount(which, weights=frauds, minlength=len(days))
    return TopK("precision@k", k, _daily(days, total, bad, hits, k))


def card_precision_at_k(
    day: NDArray[Any], card: NDArray[Any], score: Floats, fraud: NDArray[np.bool_], k: int
) -> TopK:
    """Precision of the ``k`` cards with the highest scores of each day.

    A card that was found to be compromised is blocked: it is in no later day's pool (Le Borgne,
    Siblini, Lebichot and Bontempi, 2022). Of cards with one score, the one with the lower number
    or name comes first.

    Parameters
    ----------
    day, card
        One element for each card of a day.
    score
        The highest score of the card on that day.
    fraud
        Whether one of its transactions on that day was fraud.
    k
        Places.
    """
    k = check_k(k)
    ranked = RankedCards.of(day, card, score, fraud)
    hits, candidates, compromised = ranked.detect(np.ones((ranked.cards, 1), np.int64), k)
    daily = _daily(ranked.days, candidates[:, 0], compromised[:, 0], hits[:, 0], k)
    return TopK("card precision@k", k, daily)


def _daily(
    days: NDArray[Any],
    candidates: NDArray[Any],
    compromised: NDArray[Any],
    hits: NDArray[Any],
    k: int,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": days,
            "candidates": candidates.astype(np.int64),
            "compromised": compromised.astype(np.int64),
            "hits": hits.astype(np.float64),
            "precision": hits / k,
            "max_achievable": np.minimum(compromised, k) / k,
        }
    )


@dataclass(frozen=True, eq=False)
class RankedCards:
    """Cards of each day, the highest score first."""

    days: NDArray[Any]
    #: Number of different cards.
    cards: int
    #: For each day: the cards in order of rank, and which of them are compromised.
    ranks: list[tuple[NDArray[np.intp], NDArray[np.bool_]]]

    @classmethod
    def of(
        cls, day: NDArray[Any], card: NDArray[Any], score: Floats, fraud: NDArray[np.bool_]
    ) -> RankedCards:
        """Rank them; cards of one score by their number or name."""
        days, which = np.unique(day, return_inverse=True)
        names, code = np.unique(card, return_inverse=True)
        order = np.lexsort((code, -score, which))
        code, fraud = code[order], fraud[order]
        starts = np.searchsorted(which[order], np.arange(len(days)))
        ranks = list(zip(np.split(code, starts[1:]), np.split(fraud, starts[1:]), strict=True))
        return cls(days, len(names), ranks[: len(days)])

    def detect(
        self, copies: Integers, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Look at ``k`` cards a day, and block those that are found.

        Parameters
        ----------
        copies
            How often each card is there, by card and by draw (for a bootstrap; else all 1).
        k
            Places in a day.

        Returns
        -------
        tuple of numpy.ndarray
            Hits, cards in the pool and compromised ones among them, by day and by draw.
        """
        left = copies.copy()
        hits, pool, bad = (np.zeros((len(self.days), copies.shape[1]), np.int64) for _ in range(3))
        for place, (codes, fraud) in enumerate(self.ranks):
            there = left[codes]
            seen = np.clip(k - (np.cumsum(there, axis=0) - there), 0, there)
            found = np.where(fraud[:, None], seen, 0)
            left[codes] -= found
            hits[place] = found.sum(axis=0)
            pool[place] = there.sum(axis=0)
            bad[place] = there[fraud].sum(axis=0)
        return hits, pool, bad
