"""Rows of one key that come close upon one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.rolling import GroupedRolling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.rolling import Duration

#: Of a row that is in no episode.
NONE = -1


def microseconds(length: Duration) -> int:
    """Length of time as a whole number, as moments are.

    Examples
    --------
    >>> import datetime as dt
    >>> microseconds(dt.timedelta(seconds=2))
    2000000
    """
    return int(np.timedelta64(length, "us").astype(np.int64))


def bursts(
    keys: NDArray[np.int64],
    at: NDArray[np.int64],
    among: NDArray[np.bool_],
    within: Duration,
    least: int,
) -> NDArray[np.int64]:
    """Give each burst of a key a number: at least so many rows within so long.

    Windows that share a row are one burst, which may so last longer than one window.

    Parameters
    ----------
    keys, at
        Key and moment of each row, in the order of time.
    among
        Rows that count; the others are in no burst.
    within, least
        How long a window is, both ends included, and how many rows of a key it holds at least.

    Returns
    -------
    array
        Number of the burst of each row, -1 where it is in none.

    Examples
    --------
    >>> at = np.array([0, 1, 2, 9, 10])
    >>> bursts(np.zeros(5, int), at, np.ones(5, bool), within=2, least=3)
    array([ 0,  0,  0, -1, -1])
    """
    found = np.full(len(keys), NONE)
    rows = np.flatnonzero(among)
    if not len(rows):
        return found
    counts = GroupedRolling(keys[rows], at[rows]).window(within, closed="both").count()
    # Key after key, each in the order of time, a window is a range of places.
    order = np.argsort(keys[rows], kind="stable")
    ends = np.flatnonzero(counts[order] >= least)
    begins = ends - counts[order][ends] + 1
    inside = _covered(begins, ends + 1, len(rows))
    joined = _covered(begins + 1, ends + 1, len(rows))  # with the place before
    number = np.cumsum(inside & ~joined) - 1
    found[rows[order[inside]]] = number[inside]
    return found


def spells(
    keys: NDArray[np.int64],
    at: NDArray[np.int64],
    among: NDArray[np.bool_],
    gap: Duration,
) -> NDArray[np.int64]:
    """Give rows of a key that follow one another within ``gap`` a number; -1 is in none.

    Examples
    --------
    >>> spells(np.zeros(4, int), np.array([0, 2, 9, 10]), np.ones(4, bool), gap=3)
    array([0, 0, 1, 1])
    """
    found = np.full(len(keys), NONE)
    rows = np.flatnonzero(among)
    rows = rows[np.argsort(keys[rows], kind="stable")]
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (np.diff(keys[rows]) != 0) | (np.diff(at[rows]) > microseconds(gap))
    found[rows] = np.cumsum(begins) - 1
    return found


def _covered(begins: NDArray[np.int64], ends: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Places in at least one of the ranges."""
    changes = np.bincount(begins, minlength=n + 1) - np.bincount(ends, minlength=n + 1)
    covered: NDArray[np.bool_] = np.cumsum(changes)[:n] > 0
    return covered
