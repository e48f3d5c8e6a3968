"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy guarantees the bits of PCG64, but neither its distributions nor the last digit of its ``exp``
and ``log``. So distributions are made here from the bits, by additions, multiplications and tables
of rounded quantiles alone, which IEEE 754 defines to the last digit.
"""

from __future__ import annotations

import functools
import math
import statistics
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

_BITS = 2.0**-53
#: Intervals of the tables of quantiles; between two of them a quantile is interpolated.
_KNOTS = 1 << 14
#: A libm may be off by one in the sixteenth digit, never in the ninth.
_DIGITS = 9
_LOG_2 = 0.6931471805599453
_TERMS = 12  # of the series of exp, of numbers up to log(2) / 2: all that a double holds


class Draws:
    """Independent streams of random numbers, one for each purpose.

    Streams by purpose keep what is drawn for one thing from changing another.

    Examples
    --------
    >>> Draws(1, "docs").uniform(2).round(3)
    array([0.619, 0.521])
    """

    def __init__(self, seed: int, *purpose: str) -> None:
        words = [seed, *(zlib.crc32(one.encode()) for one in purpose)]
        self._bits = np.random.PCG64(np.random.SeedSequence(words))

    def raw(self, n: int) -> NDArray[np.uint64]:
        """Draw 64 bits, ``n`` times."""
        bits: NDArray[np.uint64] = self._bits.random_raw(n)
        return bits

    def uniform(self, n: int, low: ArrayLike = 0.0, high: ArrayLike = 1.0) -> Floats:
        """Draw numbers from ``low`` up to, but without, ``high``."""
        shares = (self.raw(n) >> np.uint64(11)) * _BITS
        found: Floats = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * shares
        return found

    def whole(self, n: int, low: ArrayLike, high: ArrayLike) -> Integers:
        """Draw whole numbers from ``low`` to ``high``, both of which are among them."""
        return np.floor(self.uniform(n, low, np.asarray(high) + 1.0)).astype(np.int64)

    def chance(self, n: int, share: ArrayLike) -> Mask:
        """Draw truths, of which so large a share is true."""
        found: Mask = self.uniform(n) < np.asarray(share)
        return found

    def normal(self, n: int) -> Floats:
        """Draw from the standard normal distribution, up to 4 on either side."""
        return quantile(self.uniform(n), _normal_table())

    def exponential(self, n: int) -> Floats:
        """Draw from the exponential distribution of mean 1, up to 10.4."""
        return quantile(self.uniform(n), _exponential_table())

    def poisson(self, mean: ArrayLike) -> Integers:
        """Draw a count for each mean, by inversion."""
        means = np.asarray(mean, dtype=np.float64)
        left = self.uniform(len(means))
        term = exp(-means)
        counts = np.zeros(len(means), np.int64)
        open_ = np.flatnonzero(left >= term)
        left, term, means = left[open_] - term[open_], term[open_], means[open_]
        k = 0
        while len(open_):
            k += 1
            counts[open_] += 1
            term = term * means / k
            more = (left >= term) & (term > 0)
            left, term, means, open_ = (
                (left - term)[more], term[more], means[more], open_[more],
            )  # fmt: skip
        return counts

    def order(self, n: int) -> Integers:
        """Draw a permutation."""
        order: Integers = np.argsort(self.raw(n), kind="stable")
        return order

    def pick(self, n: int, weights: ArrayLike) -> Integers:
        """Draw places in ``weights``, each with a chance in proportion to its weight."""
        return chosen(self.uniform(n), weights)


def chosen(shares: Floats, weights: ArrayLike) -> Integers:
    """Places in ``weights`` at which these shares of their sum lie."""
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    found = np.searchsorted(total, shares * total[-1], side="right")
    places: Integers = np.minimum(found, len(total) - 1).astype(np.int64)
    return places


class Table:
    """Rows of weights, to draw places in a row by.

    Examples
    --------
    >>> Table(np.array([[1.0, 1.0], [0.0, 3.0]])).at(np.array([0, 0, 1]), np.array([0.2, 0.7, 0.0]))
    array([0, 1, 1])
    """

    def __init__(self, weights: Floats) -> None:
        rows, self._width = weights.shape
        sums = np.cumsum(weights, axis=1)
        self._sums = ((sums / sums[:, -1:]) + np.arange(rows)[:, None]).ravel()

    def at(self, row: Integers, shares: Floats) -> Integers:
        """Places at these shares of the sums of these rows."""
        # A share that rounds to 1 would lead into the next row.
        found = np.searchsorted(self._sums, row + shares * (1 - 1e-9), side="right")
        places: Integers = found - row * self._width
        return places


def quantile(shares: Floats, table: Floats) -> Floats:
    """Quantiles of a table that holds those of the middles of ``len(table)`` equal shares."""
    at = np.clip(shares * len(table) - 0.5, 0, len(table) - 1.0)
    below = np.minimum(at.astype(np.int64), len(table) - 2)
    low = table[below]
    found: Floats = low + (table[below + 1] - low) * (at - below)
    return found


def exp(power: ArrayLike) -> Floats:
    """Exponential of numbers up to 40 or so, from exact operations only: to 13 digits.

    Examples
    --------
    >>> exp([0.0, 1.0, -2.5])
    array([1.        , 2.71828183, 0.082085  ])
    """
    powers = np.asarray(power, dtype=np.float64)
    halvings = np.rint(powers / _LOG_2)
    rest = powers - halvings * _LOG_2
    series = np.ones_like(rest)
    for term in range(_TERMS, 0, -1):
        series *= rest
        series /= term
        series += 1.0
    found: Floats = np.ldexp(series, halvings.astype(np.int32))
    return found


def hashed(*keys: ArrayLike) -> NDArray[np.uint64]:
    """Bits that follow from whole numbers: always the same for the same ones (splitmix64)."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(key)) for key in keys))
    bits = np.zeros(arrays[0].shape, np.uint64)
    for keys_of in arrays:
        bits = (bits ^ keys_of.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
    return bits


def hashed_share(*keys: ArrayLike) -> Floats:
    """Numbers from 0 to 1 that follow from whole numbers."""
    found: Floats = (hashed(*keys) >> np.uint64(11)).astype(np.float64) * _BITS
    return found


def logs(numbers: Sequence[float]) -> Floats:
    """Logarithms, rounded so that they are the same everywhere."""
    return np.array([round(math.log(number), _DIGITS) for number in numbers])


@functools.cache
def _normal_table() -> Floats:
    return _table(statistics.NormalDist().inv_cdf)


@functools.cache
def _exponential_table() -> Floats:
    return _table(lambda share: -math.log(1 - share))


def _table(inverse: Any) -> Floats:
    middles = ((place + 0.5) / _KNOTS for place in range(_KNOTS))
    return np.array([round(inverse(middle), _DIGITS) for middle in middles])
