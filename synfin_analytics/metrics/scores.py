"""Scores and labels, counted: all that a metric of ranking or of a threshold needs.

Rows with the same score are told apart by no threshold. So a model is evaluated from one count for
each distinct score, whoever counted: the engine of a frame, PostgreSQL, or NumPy.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.counting import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import narwhals as nw
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SCORE = "__score"
COUNTED = ("__transactions", "__frauds", "__amount", "__fraud_amount")


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Transactions and frauds at each distinct score, the highest score first.

    Parameters
    ----------
    score
        Distinct scores, descending, float64.
    transactions, frauds
        How many labelled transactions have it, and how many of these are fraud; int64.
    amount, fraud_amount
        Their value, where amounts are known; float64.
    unlabelled
        Transactions that are in none of these, for they have no label.

    Examples
    --------
    >>> counts = ScoreCounts.of([0.9, 0.2, 0.9], [True, False, False])
    >>> counts.score, counts.transactions, counts.frauds
    (array([0.9, 0.2]), array([2, 1]), array([1, 0]))
    """

    score: Floats
    transactions: Integers
    frauds: Integers
    amount: Floats | None = None
    fraud_amount: Floats | None = None
    unlabelled: int = 0

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        labels: ArrayLike,
        amounts: ArrayLike | None = None,
        *,
        unlabelled: int = 0,
    ) -> ScoreCounts:
        """Count arrays of scores from 0 to 1 and of labels, all of one length."""
        score = np.asarray(scores, dtype=np.float64) + 0.0  # -0.0 is 0.0
        label = np.asarray(labels, dtype=np.bool_)
        if score.shape != label.shape or score.ndim != 1:
            raise ArgumentError(
                f"Scores and labels must be as many: got {score.shape} and {label.shape}."
            )
        _check_scores(score)
        # From 0 to 1 doubles sort as their bits do, and the upper two are unused: with the label
        # below them, one sort of integers does for both. Upside down, the highest comes first.
        keys = score.view(np.uint64)
        keys <<= np.uint64(1)
        keys |= label
        np.invert(keys, out=keys)
        values: list[Floats] = []
        if amounts is None:
            keys.sort()
        else:
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            value = np.asarray(amounts, dtype=np.float64)[order]
            values = [value, np.where(label[order], value, 0.0)]
        np.invert(keys, out=keys)
        first = np.ones(len(keys), np.bool_)
        spare = np.empty_like(keys)  # one array for both: fresh memory is what takes the time
        np.greater(np.bitwise_xor(keys[1:], keys[:-1], out=spare[1:]), 1, out=first[1:])
        frauds = np.bitwise_and(keys, np.uint64(1), out=spare).view(np.int64)
        keys >>= np.uint64(1)
        if first.all():
            transactions = np.broadcast_to(np.int64(1), len(keys))  # takes no memory
        else:
            starts = np.flatnonzero(first)
            transactions = np.diff(starts, append=len(keys))
            keys = keys[starts]
            # Summed for each score: differences of running sums would round.
            frauds, *values = (np.add.reduceat(one, starts) for one in (frauds, *values))
        amount, fraud_amount = values or (None, None)
        return cls(keys.view(np.float64), transactions, frauds, amount, fraud_amount, unlabelled)

    @classmethod
    def of_frame(cls, counts: nw.DataFrame[Any], *, unlabelled: int = 0) -> ScoreCounts:
        """Sort what an engine has counted: columns :data:`SCORE` and :data:`COUNTED`."""
        score = numbers(counts[SCORE]) + 0.0
        order = np.argsort(-score, kind="stable")
        found = {name: numbers(counts[name])[order] for name in COUNTED if name in counts.columns}
        transactions, frauds, *values = found.values()
        amount, fraud_amount = values or (None, None)
        return cls(
            score[order],
            transactions.astype(np.int64),
            frauds.astype(np.int64),
            amount,
            fraud_amount,
            unlabelled,
        )

    @classmethod
    def merged(cls, parts: Sequence[ScoreCounts]) -> ScoreCounts:
        """Add up the counts of several groups."""
        joined = np.concatenate([np.empty(0), *(one.score for one in parts)])
        score, place = np.unique(-joined, return_inverse=True)

        def total(arrays: list[Any]) -> Floats:
            return np.bincount(
                place, weights=np.concatenate([np.empty(0), *arrays]), minlength=len(score)
            ).astype(np.float64)

        priced = parts and all(one.amount is not None for one in parts)
        return cls(
            -score,
            total([one.transactions for one in parts]).astype(np.int64),
            total([one.frauds for one in parts]).astype(np.int64),
            total([one.amount for one in parts]) if priced else None,
            total([one.fraud_amount for one in parts]) if priced else None,
            sum(one.unlabelled for one in parts),
        )

    @property
    def n(self) -> int:
        """Labelled transactions."""
        return int(self.transactions.sum())

    @property
    def positives(self) -> int:
        """Frauds among them."""
        return int(self.frauds.sum())

    @property
    def fingerprint(self) -> int:
        """Number that is the same for the same counts: says whether two evaluations share rows."""
        whole = 0
        for array in (self.score, self.transactions, self.frauds):
            whole = zlib.crc32(np.ascontiguousarray(array).tobytes(), whole)
        return whole


def _check_scores(score: Floats) -> None:
    if not len(score) or (score.min() >= 0 and score.max() <= 1):  # NaN is in no order
        return
    wrong = ~((score >= 0) & (score <= 1))
    if wrong.any():
        raise ArgumentError(
            f"A score is from 0 to 1: {int(wrong.sum()):,} are not, or are missing (the first is "
            f"number {int(np.flatnonzero(wrong)[0])})."
        )
