"""Where a row's value stands among the earlier ones of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


def first_of_each(codes: Integers) -> Integers:
    """Say for each row which row is the first with its code, by number from 0.

    Examples
    --------
    >>> first_of_each(np.array([7, 3, 7]))
    array([0, 1, 0])
    """
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def pairs(one: Integers, other: Integers) -> Integers:
    """Give each pair of numbers (from 0 on) a number of its own; -1 where one is negative."""
    both = one * (other.max(initial=0) + 1) + other
    return np.where((one < 0) | (other < 0), -1, both)


def highest_so_far(keys: Integers, values: Integers) -> Integers:
    """Find the highest value of the same key up to each row, the row itself included."""
    frame = pl.DataFrame({"key": keys, "value": values})
    return frame.select(pl.col("value").cum_max().over("key"))["value"].to_numpy()


def lower_before(keys: Integers, values: Integers) -> Integers:
    """Count for each row the earlier rows of its key that have a lower value.

    Each run of rows is cut in halves, those in halves again, and so on. In every piece, sorted by
    value, a row of the second half has before it the rows of the first half that are lower; each
    earlier row is in the first half of exactly one piece with it. All pieces of a size are done at
    once, by counting: O(n log n).

    Examples
    --------
    >>> lower_before(np.array([0, 0, 1, 0]), np.array([5, 7, 6, 7]))
    array([0, 1, 0, 1])
    """
    size = len(keys)
    order = np.argsort(keys, kind="stable")
    changes = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] - 1))
    lengths = np.diff(changes, append=size)
    start = np.repeat(changes, lengths)
    local = np.arange(size) - start
    found = np.zeros(size, np.int64)
    # By value; of equal ones the later first, since an earlier one is not lower.
    sorted_ = np.lexsort((-local, values[order], start))
    for level in reversed(range(int(lengths.max(initial=1) - 1).bit_length())):
        at, run = local[sorted_], start[sorted_]
        second = (at >> level & 1).astype(np.bool_)
        piece = run + (at >> level + 1 << level + 1)
        firsts: Integers = np.cumsum(~second) - ~second
        # Pieces stand where their rows stood, so this is the number of firsts before the piece.
        before: Integers = firsts - firsts[piece]
        found[order[sorted_[second]]] += before[second]
        place = np.arange(size) - piece
        to = piece + np.where(second, (1 << level) + place - before, before)
        sorted_[to] = sorted_.copy()
    return found
