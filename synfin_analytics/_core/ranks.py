"""Where a row's value stands among the earlier ones of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

#: Pieces of 2**5 rows are not cut any more.
_SMALLEST = 5


def stable_order(numbers: Integers) -> Integers:
    """Order whole numbers, equal ones as they are given: 16 bits at a time, by counting.

    Examples
    --------
    >>> stable_order(np.array([70_000, -5, 70_000, 3]))
    array([1, 3, 0, 2])
    """
    numbers = numbers - numbers.min(initial=0)
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    highest, done = int(numbers.max(initial=0)), 16
    while highest >> done:
        piece = (numbers[order] >> done).astype(np.uint16)
        order = order[np.argsort(piece, kind="stable")]
        done += 16
    return order


def first_of_each(codes: Integers) -> Integers:
    """Say for each row which row is the first with its code, by number from 0.

    Examples
    --------
    >>> first_of_each(np.array([7, 3, 7]))
    array([0, 1, 0])
    """
    order = stable_order(codes)
    begins = np.diff(codes[order], prepend=codes[order[:1]] - 1) != 0
    found = np.empty_like(order)
    found[order] = order[begins][np.cumsum(begins) - 1]
    return found


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
    once, by counting: O(n log n). In the smallest pieces all pairs are compared.

    Examples
    --------
    >>> lower_before(np.array([0, 0, 1, 0]), np.array([5, 7, 6, 7]))
    array([0, 1, 0, 1])
    """
    size = len(keys)
    order = stable_order(keys)
    changes = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] - 1))
    lengths = np.diff(changes, append=size)
    start = np.repeat(changes, lengths)
    place = np.arange(size)
    local = place - start
    # By value; of equal ones the later first, since an earlier one is not lower.
    by_value = place[::-1][stable_order(values[order][::-1])]
    at = local[by_value[stable_order(start[by_value])]]
    found = np.zeros(size, np.int64)
    levels = int(lengths.max(initial=1) - 1).bit_length()
    for level in reversed(range(_SMALLEST, levels)):
        # A piece fills the places of its rows, so that it is known where it begins.
        piece = start + (local >> level + 1 << level + 1)
        second = (at >> level & 1).astype(np.bool_)
        firsts: Integers = np.cumsum(~second) - ~second
        before: Integers = firsts - firsts[piece]
        found[(start + at)[second]] += before[second]
        moved = np.empty_like(at)
        moved[np.where(second, place + (1 << level) - before, piece + before)] = at
        at = moved
    ordered, inside = values[order], local & (1 << _SMALLEST) - 1
    for back in range(1, 1 << min(_SMALLEST, levels)):
        found[back:] += (ordered[:-back] < ordered[back:]) & (inside[back:] >= back)
    counts = np.empty_like(found)
    counts[order] = found
    return counts
