"""Windows of time over the rows of one key: counts, exact sums and means, distinct values.

All keys are done at once. The rows are put one key after the other, each in the order of time; a
window is then a range of places, and a sum over it is a difference of two running totals. Totals
are of integers (money in cents), so that nothing is lost in a difference, and no other row changes
a result. Cost: a sort, then a few passes for each window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features.ranks import stable_order

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import ArrayLike, NDArray

    Integers: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    #: How long something lasts: microseconds, or a timedelta.
    Duration: TypeAlias = int | dt.timedelta | np.timedelta64

Closed = Literal["right", "left", "both", "neither"]

HOUR = 3_600_000_000
DAY = 24 * HOUR


def cents(amounts: ArrayLike) -> Integers:
    """Amounts of two decimals as whole numbers, which add up without rounding.

    Examples
    --------
    >>> cents([19.99, 0.1])
    array([1999,   10])
    """
    whole: Integers = np.rint(np.asarray(amounts, dtype=np.float64) * 100).astype(np.int64)
    return whole


class Runs:
    """Rows of each key, one after the other in the order of time, to look back on.

    Rows of one moment count in the order in which they are given: sort them first by what is to
    break such ties. Results have an element for each row, in the order given.

    Parameters
    ----------
    keys
        Key of each row: whole numbers, or anything that NumPy sorts.
    at
        Moment of each row: ``datetime64``, or microseconds as integers.
    known_at
        When what is counted of a row became known, as its label does; at once by default, and
        never before the row itself. Windows are then over these moments.
    counted
        Rows that windows count, as booleans; all by default.
    rows
        Rows that results are wanted for, as booleans; all by default. The others are history.

    Examples
    --------
    >>> at = np.array(["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-01T11:00"], "M8[us]")
    >>> runs = Runs(["a", "a", "a"], at)
    >>> runs.window(HOUR).count()
    array([1, 2, 2])
    >>> runs.window(HOUR, closed="both", itself=False).sum(cents([5, 10, 20]))
    array([   0,  500, 1500])
    """

    def __init__(
        self,
        keys: ArrayLike,
        at: ArrayLike,
        *,
        known_at: ArrayLike | None = None,
        counted: ArrayLike | None = None,
        rows: ArrayLike | None = None,
    ) -> None:
        code, moments = _codes(keys), _microseconds(at)
        if len(code) != len(moments):
            raise ArgumentError(f"{len(code):,} keys do not go with {len(moments):,} moments.")
        number = np.arange(len(moments))
        if np.any(moments[1:] < moments[:-1]):
            number = np.argsort(moments, kind="stable")
            moments, code = moments[number], code[number]

        # What windows count, in the order in which it became known: its place in the order of time,
        # and when it was known.
        self._events, self._known = np.arange(len(moments)), moments
        if counted is not None:
            self._events = np.flatnonzero(np.asarray(counted)[number])
            self._known = moments[self._events]
        if known_at is not None:
            known = np.maximum(_microseconds(known_at)[number][self._events], self._known)
            later = np.argsort(known, kind="stable")
            self._events, self._known = self._events[later], known[later]
        self._all_at_once = counted is None and known_at is None

        in_runs = stable_order(code[self._events])
        self._order = number[self._events[in_runs]]
        self._codes = code[self._events[in_runs]]
        # A number that sorts by key, then by time. Ranks take the place of moments: keys times
        # microseconds would soon be more than an integer holds.
        self._step = len(self._events) + 1
        self._ranked = self._codes * self._step + in_runs

        self._moments = moments
        self._wanted = np.arange(len(moments))
        self._to = number
        if rows is not None and not np.all(rows):
            chosen = np.asarray(rows, dtype=np.bool_)
            self._wanted = np.flatnonzero(chosen[number])
            self._to = (np.cumsum(chosen) - 1)[number[self._wanted]]
        self._until: dict[bool, Integers] = {}
        self._all_of_all = self._all_at_once and len(self._wanted) == len(code)
        self._by_key = in_runs if self._all_of_all else stable_order(code[self._wanted])
        self._base = code[self._wanted][self._by_key] * self._step
        self._to = self._to[self._by_key]

    def window(
        self,
        length: Duration | None = None,
        *,
        delay: Duration = 0,
        closed: Closed = "right",
        itself: bool = True,
    ) -> Window:
        """Window that ends ``delay`` before each row and is so long; without length, all before.

        Parameters
        ----------
        length, delay
            Microseconds or timedeltas.
        closed
            Which ends belong to it: ``"right"`` is (t - delay - length, t - delay].
        itself
            Whether a window that is closed at t holds the row at t itself. Of other rows of that
            moment it holds those that come before.
        """
        if closed not in get_args(Closed):
            raise ArgumentError(f"closed is one of {', '.join(get_args(Closed))}; got {closed!r}.")
        wait = _duration(delay, "delay")
        ends_at = self._moments[self._wanted] - wait
        with_end, with_begin = closed in ("right", "both"), closed in ("left", "both")
        if wait == 0 and with_end:
            end = self._until_row(itself=itself)
        else:
            rank = np.searchsorted(self._known, ends_at, side="right" if with_end else "left")
            end = self._places(rank)
        if length is None:
            begin = np.searchsorted(self._ranked, self._base)
        else:
            oldest = ends_at - _duration(length, "length")
            rank = np.searchsorted(self._known, oldest, side="left" if with_begin else "right")
            begin = self._places(rank)
        return Window(self._order, self._codes, begin, np.maximum(begin, end), self._to)

    def _until_row(self, *, itself: bool) -> Integers:
        """Place at which a window ends with each row: after what it may look at."""
        if self._all_of_all:  # rows are where they stand
            return np.arange(len(self._wanted)) + itself
        if self._all_at_once:
            return self._places(self._wanted + itself)
        if itself not in self._until:
            first = np.searchsorted(self._moments, self._known)
            first = np.maximum(first, self._events + (0 if itself else 1))
            rank = np.searchsorted(first, self._wanted, side="right")
            self._until[itself] = self._places(rank)
        return self._until[itself]

    def _places(self, ranks: Integers) -> Integers:
        """Places in the runs of what has these ranks in the order of time."""
        return np.searchsorted(self._ranked, self._base + ranks[self._by_key])


class Window:
    """For each row a range of rows of the same key; made by :meth:`Runs.window`."""

    def __init__(
        self, order: Integers, codes: Integers, begin: Integers, end: Integers, to: Integers
    ) -> None:
        self._order, self._codes, self._to = order, codes, to
        self._begin, self._end = begin, end

    def count(self) -> Integers:
        """Count the rows in the window."""
        return self._given_back(self._end - self._begin)

    def sum(self, values: ArrayLike) -> Integers:
        """Sum of whole numbers or truth values, of which there is one for each row: exact."""
        return self._given_back(self._sum(values))

    def mean(self, values: ArrayLike) -> Floats:
        """Mean of whole numbers or truth values; NaN over no rows."""
        with np.errstate(invalid="ignore"):
            return self._given_back(self._sum(values) / (self._end - self._begin))

    def first(self) -> Integers:
        """Say which row is the first in the window, by its number from 0; -1 where none is."""
        return self._row(self._begin)

    def last(self) -> Integers:
        """Say which row is the last in the window, by its number from 0; -1 where none is."""
        return self._row(self._end - 1)

    def distinct(self, values: ArrayLike) -> Integers:
        """Count different whole numbers in the window; negative ones, as of NULL, do not count."""
        of = np.asarray(values)[self._order]
        known = np.flatnonzero(of >= 0)
        same = known[stable_order(of[known])]
        same = same[stable_order(self._codes[same])]
        one, other = same[:-1], same[1:]
        pair = (of[one] == of[other]) & (self._codes[one] == self._codes[other])
        # Of a value that is there k times, k - 1 pairs of neighbours are inside. Windows only move
        # on, so a pair is inside of those of consecutive rows.
        one, other = one[pair], other[pair]
        enters = np.searchsorted(self._end, other, side="right")
        leaves = np.searchsorted(self._begin, one, side="right")
        inside = enters < leaves
        size = len(self._begin) + 1
        changes = np.bincount(enters[inside], minlength=size) - np.bincount(
            leaves[inside], minlength=size
        )
        return self._given_back(self._sum(np.asarray(values) >= 0) - np.cumsum(changes)[:-1])

    def _sum(self, values: ArrayLike) -> Integers:
        given = np.asarray(values)
        if given.dtype.kind not in "biu":
            raise ArgumentError(
                "Windows sum whole numbers, which add up exactly: amounts in cents, other numbers "
                f"in a unit small enough; got {given.dtype}."
            )
        total = np.zeros(len(self._order) + 1, np.int64)
        # A total may run over; the differences are right all the same, as they are modulo 2**64.
        np.cumsum(given[self._order], out=total[1:])
        sums: Integers = total[self._end] - total[self._begin]
        return sums

    def _row(self, places: Integers) -> Integers:
        found = np.full(len(places), -1)
        some = self._begin < self._end
        found[some] = self._order[places[some]]
        return self._given_back(found)

    def _given_back(self, values: NDArray[Any]) -> NDArray[Any]:
        """Put results in the order in which the rows were given."""
        back = np.empty_like(values)
        back[self._to] = values
        return back


def _codes(keys: ArrayLike) -> Integers:
    """Turn keys into numbers from 0 on."""
    given = np.asarray(keys)
    if (
        given.dtype.kind in "iu"
        and len(given)
        and given.min() >= 0
        and given.max() < 2 * len(given)
    ):
        return given.astype(np.int64)  # numbered already
    codes: Integers = np.unique(given, return_inverse=True)[1]
    return codes


def _microseconds(moments: ArrayLike) -> Integers:
    given = np.asarray(moments)
    if given.dtype.kind == "M":
        if np.isnat(given).any():
            raise ArgumentError("A row without a moment is in no window: leave such rows out.")
        given = given.astype("M8[us]")
    elif given.dtype.kind not in "iu":
        raise ArgumentError(f"Moments are datetime64 or whole microseconds; got {given.dtype}.")
    return given.astype(np.int64)


def _duration(value: Duration, name: str) -> int:
    duration = int(np.timedelta64(value, "us").astype(np.int64))
    if duration < 0:
        raise ArgumentError(f"{name} is a time to look back, and not negative; got {value!r}.")
    return duration
