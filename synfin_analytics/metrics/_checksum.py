"""Checksums of scores: whether rows are still those that were evaluated, from sums by any group.

The hash of a score is a whole number below 2**24. Each step is exact in double precision, so that
all engines and NumPy compute the same one, and its sums do not depend on their order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics.metrics._score_counts import CHECKSUMS, COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics._score_counts import Floats, ScoreCounts

#: Rounding of sums: of whole numbers, beyond 2**53; of amounts and weights.
_TOLERANCE, _TOLERANCE_OF_SUMS = 1e-12, 1e-9
_HALF = 2.0**26
_PRIME = 2.0**24 - 3


def _hash(score: Any, floor: Callable[[Any], Any]) -> Any:
    def remainder(value: Any) -> Any:
        return value - floor(value / _PRIME) * _PRIME

    high = floor(score * _HALF)
    low = floor((score * _HALF - high) * _HALF)
    mixed = remainder(high * 40_503 + low * 30_011 + 7_919)
    return remainder(mixed * mixed)  # sums of a linear function would not notice a swap


def hash_scores(score: Floats) -> Floats:
    """Return the hash of each score.

    Examples
    --------
    >>> hash_scores(np.array([0.25, 0.5])).tolist()
    [7948610.0, 4497580.0]
    """
    hashes: Floats = _hash(score, np.floor)
    return hashes


def add_checksums(rows: Frame, score: str, counted: tuple[str, str]) -> Frame:
    """Add the columns :data:`CHECKSUMS` to the transactions and frauds of scores."""
    hashed = _hash(nw.col(score), lambda value: value.floor())
    return rows.with_columns(
        (nw.col(name).cast(nw.Float64) * hashed).alias(checksum)
        for name, checksum in zip(counted, CHECKSUMS, strict=True)
    )


def same_sums(counts: ScoreCounts, sums: Mapping[str, float]) -> bool:
    """Whether sums of rows, by :data:`COUNTED` and :data:`CHECKSUMS`, are those of the counts."""
    hashed = hash_scores(counts.score)
    rows = counts.transactions, counts.frauds
    parts = (*rows, counts.amount, counts.fraud_amount, *(part * hashed for part in rows))
    expected = {
        name: float(part.sum())
        for name, part in zip((*COUNTED, *CHECKSUMS), parts, strict=True)
        if part is not None
    }
    exact = () if counts.weighted else (*COUNTED[:2], *CHECKSUMS)
    return all(
        math.isclose(
            total,
            expected[name],
            rel_tol=_TOLERANCE if name in exact else _TOLERANCE_OF_SUMS,
            abs_tol=0 if name in exact else _TOLERANCE_OF_SUMS,
        )
        for name, total in sums.items()
    )
