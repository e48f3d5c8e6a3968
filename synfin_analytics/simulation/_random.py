"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy guarantees the bits of PCG64, but neither its distributions nor the last digit of its ``exp``
and ``log``. So distributions are computed here from the bits, with additions, multiplications and
tables of rounded quantiles only, which IEEE 754 defines to the last digit.
"""

from __future__ import annotations

import functools
import math
import statistics
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

_UNIT = 2.0**-53
#: Intervals of the tables of quantiles, between which a quantile is interpolated.
_KNOTS = 1 << 14
#: The C library may be off by one in the sixteenth digit, never in the ninth.
_DIGITS = 9
_LOG_2 = 0.6931471805599453
#: Terms of the series of exp for numbers up to log(2) / 2: as many as a double can hold.
_TERMS = 12


class RandomStream:
    """Independent stream of random numbers for one purpose.

    Separate streams keep the draws for one purpose from changing those for another.

    Examples
    --------
    >>> RandomStream(1, "docs").uniform(2).round(3)
    array([0.619, 0.521])
    """

    def __init__(self, seed: int, *purpose: str) -> None:
        entropy = [seed, *(zlib.crc32(word.encode()) for word in purpose)]
        self._generator = np.random.PCG64(np.random.SeedSequence(entropy))

    def bits(self, n: int) -> NDArray[np.uint64]:
        """Draw 64 bits, ``n`` times."""
        bits: NDArray[np.uint64] = self._generator.random_raw(n)
        return bits

    def uniform(self, n: int, low: ArrayLike = 0.0, high: ArrayLike = 1.0) -> Floats:
        """Draw numbers from ``low`` (included) to ``high`` (excluded)."""
        shares = (self.bits(n) >> np.uint64(11)) * _UNIT
        numbers: Floats = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * shares
        return numbers

    def integers(self, n: int, low: ArrayLike, high: ArrayLike) -> Integers:
        """Draw integers from ``low`` to ``high``, both included."""
        return np.floor(self.uniform(n, low, np.asarray(high) + 1.0)).astype(np.int64)

    def bernoulli(self, n: int, probability: ArrayLike) -> Mask:
        """Draw booleans that are True with a probability."""
        mask: Mask = self.uniform(n) < np.asarray(probability)
        return mask

    def normal(self, n: int) -> Floats:
        """Draw from the standard normal distribution, at most 4 from 0."""
        return interpolate_quantiles(self.uniform(n), _normal_table())

    def exponential(self, n: int) -> Floats:
        """Draw from the exponential distribution with mean 1, up to 10.4."""
        return interpolate_quantiles(self.uniform(n), _exponential_table())

    def poisson(self, mean: ArrayLike) -> Integers:
        """Draw a count for each mean, by inversion."""
        means = np.asarray(mean, dtype=np.float64)
        remaining = self.uniform(len(means))
        term = exp(-means)
        counts = np.zeros(len(means), np.int64)
        pending = np.flatnonzero(remaining >= term)
        remaining, term, means = remaining[pending] - term[pending], term[pending], means[pending]
        count = 0
        while len(pending):
            count += 1
            counts[pending] += 1
            term = term * means / count
            is_pending = (remaining >= term) & (term > 0)
            remaining = (remaining - term)[is_pending]
            term, means, pending = term[is_pending], means[is_pending], pending[is_pending]
        return counts

    def permutation(self, n: int) -> Integers:
        """Draw a permutation."""
        order: Integers = np.argsort(self.bits(n), kind="stable")
        return order

    def choice(self, n: int, weights: ArrayLike) -> Integers:
        """Draw positions in ``weights``, with probabilities in proportion to the weights."""
        return choose(self.uniform(n), weights)


def choose(shares: Floats, weights: ArrayLike) -> Integers:
    """Return the positions in ``weights`` at which these shares of their sum lie.

    Examples
    --------
    >>> choose(np.array([0.1, 0.5, 0.9]), [1, 0, 3])
    array([0, 2, 2])
    """
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    positions = np.searchsorted(total, shares * total[-1], side="right")
    chosen: Integers = np.minimum(positions, len(total) - 1).astype(np.int64)
    return chosen


class ChoiceTable:
    """Rows of weights, to draw positions by.

    Examples
    --------
    >>> table = ChoiceTable(np.array([[1.0, 1.0], [0.0, 3.0]]))
    >>> table.choose(np.array([0, 0, 1]), np.array([0.2, 0.7, 0.0]))
    array([0, 1, 1])
    """

    def __init__(self, weights: Floats) -> None:
        n_rows, self._width = weights.shape
        sums = np.cumsum(weights, axis=1)
        self._sums = ((sums / sums[:, -1:]) + np.arange(n_rows)[:, None]).ravel()

    def choose(self, rows: Integers, shares: Floats) -> Integers:
        """Return the positions at these shares of the sums of these rows."""
        # A share that rounds to 1 would lead into the next row.
        targets = rows + shares * (1 - 1e-9)
        positions: Integers = np.searchsorted(self._sums, targets, side="right")
        chosen: Integers = positions - rows * self._width
        return chosen


def interpolate_quantiles(shares: Floats, table: Floats) -> Floats:
    """Interpolate in a table of the quantiles at the middles of ``len(table)`` equal shares."""
    position = np.clip(shares * len(table) - 0.5, 0, len(table) - 1.0)
    below = np.minimum(position.astype(np.int64), len(table) - 2)
    low = table[below]
    quantiles: Floats = low + (table[below + 1] - low) * (position - below)
    return quantiles


def exp(power: ArrayLike) -> Floats:
    """Return the exponential of numbers up to 40 or so, from exact operations only: to 13 digits.

    Examples
    --------
    >>> exp([0.0, 1.0, -2.5])
    array([1.        , 2.71828183, 0.082085  ])
    """
    powers = np.asarray(power, dtype=np.float64)
    halvings = np.rint(powers / _LOG_2)
    remainder = powers - halvings * _LOG_2
    series = np.ones_like(remainder)
    for term in range(_TERMS, 0, -1):
        series *= remainder
        series /= term
        series += 1.0
    exponentials: Floats = np.ldexp(series, halvings.astype(np.int32))
    return exponentials


def hash_bits(*keys: ArrayLike) -> NDArray[np.uint64]:
    """Return bits that depend on integers only (splitmix64; S. Vigna, 2015)."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(key)) for key in keys))
    bits = np.zeros(arrays[0].shape, np.uint64)
    for array in arrays:
        bits = (bits ^ array.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
    return bits


def hash_share(*keys: ArrayLike) -> Floats:
    """Return numbers from 0 to 1 that depend on integers only."""
    shares: Floats = (hash_bits(*keys) >> np.uint64(11)).astype(np.float64) * _UNIT
    return shares


def rounded_logs(numbers: Sequence[float]) -> Floats:
    """Return logarithms, rounded so that they are the same everywhere."""
    return np.array([round(math.log(number), _DIGITS) for number in numbers])


@functools.cache
def _normal_table() -> Floats:
    return _quantile_table(statistics.NormalDist().inv_cdf)


@functools.cache
def _exponential_table() -> Floats:
    return _quantile_table(lambda share: -math.log(1 - share))


def _quantile_table(inverse: Callable[[float], float]) -> Floats:
    middles = ((knot + 0.5) / _KNOTS for knot in range(_KNOTS))
    return np.array([round(inverse(middle), _DIGITS) for middle in middles])
