"""Scores and labels, counted: all that a metric of ranking or of a threshold needs.

Rows with the same score are told apart by no threshold. So a model is evaluated from one count for
each distinct score, whoever counted: the engine of a frame, PostgreSQL, or NumPy.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.dataframes import to_numpy_float
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import narwhals as nw
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SCORE = "__score"
COUNTED = ("__transactions", "__frauds", "__amount", "__fraud_amount")
_SCORE_TYPES: dict[str, type[np.floating[Any]]] = {"float16": np.float16, "float32": np.float32}


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
    score_type
        Type in which the scores came: thresholds are compared with them in it, see :meth:`cut`.

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
    score_type: type[np.floating[Any]] = np.float64

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        labels: ArrayLike,
        amounts: ArrayLike | None = None,
        *,
        unlabelled: int = 0,
        score_type: type[np.floating[Any]] | None = None,
    ) -> ScoreCounts:
        """Count arrays of scores from 0 to 1 and of labels, all of one length."""
        given = np.asarray(scores)
        score = given.astype(np.float64) + 0.0  # -0.0 is 0.0
        score_type = score_type or _SCORE_TYPES.get(given.dtype.name, np.float64)
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
        score = keys.view(np.float64)
        return cls(score, transactions, frauds, amount, fraud_amount, unlabelled, score_type)

    @classmethod
    def of_frame(
        cls,
        counts: nw.DataFrame[Any],
        *,
        unlabelled: int = 0,
        score_type: type[np.floating[Any]] = np.float64,
    ) -> ScoreCounts:
        """Add up by score what an engine has counted: columns :data:`SCORE`, :data:`COUNTED`."""
        score = to_numpy_float(counts[SCORE]) + 0.0
        found = [to_numpy_float(counts[name]) for name in COUNTED if name in counts.columns]
        return cls.summed(score, *found, unlabelled=unlabelled, score_type=score_type)

    @classmethod
    def merged(cls, parts: Sequence[ScoreCounts]) -> ScoreCounts:
        """Add up the counts of several groups."""
        priced = bool(parts) and all(one.amount is not None for one in parts)
        names = ("transactions", "frauds", *(("amount", "fraud_amount") if priced else ()))
        return cls.summed(
            *(
                np.concatenate([np.empty(0), *(getattr(one, name) for one in parts)])
                for name in ("score", *names)
            ),
            unlabelled=sum(one.unlabelled for one in parts),
            score_type=parts[0].score_type if parts else np.float64,
        )

    @classmethod
    def summed(
        cls,
        score: Floats,
        *measures: Floats,
        unlabelled: int = 0,
        score_type: type[np.floating[Any]] = np.float64,
    ) -> ScoreCounts:
        """Add up counts, named by :data:`COUNTED`, that may have the same score."""
        order = np.argsort(-score, kind="stable")
        score = score[order]
        starts = np.flatnonzero(np.append(True, score[1:] != score[:-1])) if len(score) else order
        summed = [
            np.add.reduceat(one[order], starts) if len(starts) < len(order) else one[order]
            for one in measures
        ]
        transactions, frauds, *values = summed
        amount, fraud_amount = values or (None, None)
        return cls(
            score[starts],
            transactions.astype(np.int64),
            frauds.astype(np.int64),
            amount,
            fraud_amount,
            unlabelled,
            score_type,
        )

    def cut(self, threshold: float) -> float:
        """Return the threshold in the type of the scores, as NumPy compares with it.

        A score of 0.7 in float32 is slightly less than 0.7 in double precision, and yet
        ``scores >= 0.7`` holds in NumPy.

        Examples
        --------
        >>> counts = ScoreCounts.of(np.array([0.7], np.float32), [True])
        >>> counts.score[0] >= 0.7, counts.score[0] >= counts.cut(0.7)
        (np.False_, np.True_)
        """
        return float(self.score_type(threshold))

    def same_as(self, other: ScoreCounts) -> bool:
        """Whether both are of the same rows, as far as counts can tell."""
        if self.fingerprint != other.fingerprint:
            return False
        return all(
            one is None or two is None or np.allclose(one, two, rtol=1e-9)
            for one, two in (
                (self.amount, other.amount),
                (self.fraud_amount, other.fraud_amount),
            )
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
