"""Running statistics by group: of each row, and of the rows of its group before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics._core.grouped import stable_argsort

if TYPE_CHECKING:
    from synfin_analytics._core.types import Integers

#: Blocks of 2**5 rows are compared pair by pair.
_SMALLEST_BLOCK = 5


def first_rows(codes: Integers) -> Integers:
    """Return, for each row, the number of the first row with its code.

    Examples
    --------
    >>> first_rows(np.array([7, 3, 7]))
    array([0, 1, 0])
    """
    order = stable_argsort(codes)
    starts = np.diff(codes[order], prepend=codes[order[:1]] - 1) != 0
    first = np.empty_like(order)
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first


def cumulative_max(keys: Integers, values: Integers) -> Integers:
    """Return the highest value of the same key up to each row, the row itself included.

    Examples
    --------
    >>> cumulative_max(np.array([0, 1, 0, 0]), np.array([5, 9, 3, 8]))
    array([5, 9, 5, 8])
    """
    frame = pl.DataFrame({"key": keys, "value": values})
    return frame.select(pl.col("value").cum_max().over("key"))["value"].to_numpy()


def count_lower_before(keys: Integers, values: Integers) -> Integers:
    """Count, for each row, the earlier rows of its key that have a lower value.

    A merge-sort count (inversions), bottom up, for all keys and blocks of a size at once: the rows
    of a key are halved repeatedly. In each block, sorted by value, a row of the second half is
    preceded by the rows of the first half that are lower; each pair of rows is in the two halves of
    exactly one block. O(n log n); in the smallest blocks all pairs are compared.

    Examples
    --------
    >>> count_lower_before(np.array([0, 0, 1, 0]), np.array([5, 7, 6, 7]))
    array([0, 1, 0, 1])
    """
    size = len(keys)
    order = stable_argsort(keys)
    group_starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] - 1))
    lengths = np.diff(group_starts, append=size)
    start = np.repeat(group_starts, lengths)
    position = np.arange(size)
    offset = position - start
    # By value; of equal values the later row first, since an earlier one is not lower.
    by_value = position[::-1][stable_argsort(values[order][::-1])]
    sorted_offsets = offset[by_value[stable_argsort(start[by_value])]]
    counts = np.zeros(size, np.int64)
    levels = int(lengths.max(initial=1) - 1).bit_length()
    for level in reversed(range(_SMALLEST_BLOCK, levels)):
        # A block occupies the positions of its rows, so that its start is known.
        block = start + (offset >> level + 1 << level + 1)
        in_second = (sorted_offsets >> level & 1).astype(np.bool_)
        first_half: Integers = np.cumsum(~in_second) - ~in_second
        lower: Integers = first_half - first_half[block]
        counts[(start + sorted_offsets)[in_second]] += lower[in_second]
        partitioned = np.empty_like(sorted_offsets)
        target = np.where(in_second, position + (1 << level) - lower, block + lower)
        partitioned[target] = sorted_offsets
        sorted_offsets = partitioned
    ordered, inside = values[order], offset & (1 << _SMALLEST_BLOCK) - 1
    for distance in range(1, 1 << min(_SMALLEST_BLOCK, levels)):
        is_lower = ordered[:-distance] < ordered[distance:]
        counts[distance:] += is_lower & (inside[distance:] >= distance)
    result = np.empty_like(counts)
    result[order] = counts
    return result
