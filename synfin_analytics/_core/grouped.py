"""Arrays by group: codes of groups, stable orders, and running statistics within each group.

A group is the rows with the same key, for example the transactions of one customer. Codes are whole
numbers from 0, and -1 where a value is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

#: Blocks of 2**5 rows are compared pair by pair.
_SMALLEST_BLOCK = 5


def factorize(values: pl.Series) -> Integers:
    """Encode values as codes, equal values as the same code.

    Examples
    --------
    >>> factorize(pl.Series(["b", None, "a", "b"]))
    array([ 0, -1,  1,  0])
    """
    if values.null_count() == len(values):
        return np.full(len(values), -1)
    codes = values.to_arrow().dictionary_encode().indices.fill_null(-1).cast(pa.int64())
    integers: Integers = codes.to_numpy(zero_copy_only=False)
    return integers


def pair_codes(left: Integers, right: Integers) -> Integers:
    """Encode pairs of codes; -1 where either is missing.

    Examples
    --------
    >>> pair_codes(np.array([0, 1, 0]), np.array([2, 0, -1]))
    array([ 2,  3, -1])
    """
    codes = left * (right.max(initial=0) + 1) + right
    return np.where((left < 0) | (right < 0), -1, codes)


def stable_argsort(integers: Integers) -> Integers:
    """Return the order that sorts whole numbers, equal ones in their order of appearance.

    A radix sort of 16 bits at a time, which NumPy's stable argsort does for 16-bit integers only.

    Examples
    --------
    >>> stable_argsort(np.array([70_000, -5, 70_000, 3]))
    array([1, 3, 0, 2])
    """
    integers = integers - integers.min(initial=0)
    order = np.argsort(integers.astype(np.uint16), kind="stable")
    highest, bits = int(integers.max(initial=0)), 16
    while highest >> bits:
        digits = (integers[order] >> bits).astype(np.uint16)
        order = order[np.argsort(digits, kind="stable")]
        bits += 16
    return order


def order_by_time(timestamps: Integers, ids: pl.Series) -> Integers:
    """Return the order by time; rows of one timestamp by id, shorter ids first.

    Ids that count up are then in the order of their numbers: "9" comes before "10".

    Examples
    --------
    >>> order_by_time(np.array([5, 5, 3]), pl.Series(["T10", "T9", "T11"]))
    array([2, 1, 0])
    """
    order = np.argsort(timestamps, kind="stable")
    same_time = timestamps[order[1:]] == timestamps[order[:-1]]
    tied = np.append(False, same_time) | np.append(same_time, False)
    if tied.any():
        rows = order[tied]
        ties = pl.DataFrame({"timestamp": timestamps[rows], "id": ids.gather(rows)})
        order[tied] = rows[
            ties.select(pl.arg_sort_by("timestamp", pl.col("id").str.len_bytes(), "id")).to_series()
        ]
    return order


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
