"""Windows of time over the rows of one key: counts, exact sums and means, distinct values.

All keys are done at once. The rows are put one key after the other, each in the order of time; a
window is then a range of places, and a sum over it is a difference of two running totals. Totals
are of integers (money in cents), so that nothing is lost in a difference, and no other row changes
a result. Cost: a sort, then a few passes for each window; no sort where rows come by key and time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.ranks import stable_order
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import ArrayLike, NDArray

    Integers: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    #: How long something lasts: microseconds, or a timedelta.
    Duration: TypeAlias = int | dt.timedelta | np.timedelta64

Closed = Literal["right", "left", "both", "neither"]

_LONGEST = 2**62
HOUR = 3_600_000_000
DAY = 24 * HOUR


#: Decimals of the units that amounts may need: cents first, a millionth at most.
_DECIMALS = (2, 3, 4, 6)
_CENTS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Amounts:
    """Amounts of money as whole numbers of a unit, which add up without rounding.

    Parameters
    ----------
    units
        Each amount in units.
    per
        How many units make 1: 100 where whole cents are enough.

    Examples
    --------
    >>> amounts = Amounts.of([19.99, 0.125])
    >>> amounts.units, amounts.per
    (array([19990,   125]), 1000)
    >>> amounts.money(amounts.units.sum())
    array(20.115)
    """

    units: Integers
    per: int

    @classmethod
    def of(cls, amounts: ArrayLike) -> Amounts:
        """Choose the largest unit, from a cent to a millionth, that holds all amounts exactly.

        More decimals than six are rounded to six.
        """
        values = np.asarray(amounts, dtype=np.float64)
        for decimals in _DECIMALS:
            per = 10**decimals
            scaled = values * per
            units = np.rint(scaled)
            # What lies within the last digits of a double is the noise of sums and products.
            if np.all(np.abs(scaled - units) <= 16 * np.spacing(np.maximum(np.abs(scaled), 1.0))):
                break
        return cls(units.astype(np.int64), per)

    def __getitem__(self, rows: Any) -> Amounts:
        return Amounts(self.units[rows], self.per)

    @property
    def fine(self) -> NDArray[np.bool_]:
        """Which amounts are not in whole cents."""
        whole: NDArray[np.bool_] = self.units % (self.per // _CENTS) != 0
        return whole

    def money(self, units: ArrayLike, count: ArrayLike = 1) -> Floats:
        """Convert a sum of units into money; divide it by ``count``, NaN where that is 0.

        A sum of whole cents is computed from cents, whatever the unit, so that the decimals of one
        amount show in no other result.
        """
        whole = np.asarray(units)
        step = self.per // _CENTS
        of_cents = ratio(whole // step, count) / _CENTS
        if step == 1:
            return of_cents
        return np.where(whole % step == 0, of_cents, ratio(whole, count) / self.per)


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
    by_time
        The rows in the order of time, by their numbers from 0, where that is known already; rows of
        one moment then count in this order.

    Examples
    --------
    >>> at = np.array(["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-01T11:00"], "M8[us]")
    >>> runs = Runs(["a", "a", "a"], at)
    >>> runs.window(HOUR).count()
    array([1, 2, 2])
    >>> runs.window(HOUR, closed="both", include_current=False).sum([5, 10, 20])
    array([ 0,  5, 15])
    """

    def __init__(
        self,
        keys: ArrayLike,
        at: ArrayLike,
        *,
        known_at: ArrayLike | None = None,
        counted: ArrayLike | None = None,
        rows: ArrayLike | None = None,
        by_time: Integers | None = None,
    ) -> None:
        code, moments = _codes(keys), _microseconds(at)
        if len(code) != len(moments):
            raise ArgumentError(
                "`keys` and `at` must have the same length; "
                f"got {len(code):,} keys and {len(moments):,} moments."
            )
        order = _by_key_and_time(code, moments, by_time)
        # From here on all is in the order of the runs.
        code, moments = code[order], moments[order]
        known = moments if known_at is None else _microseconds(known_at)[order]
        known = np.maximum(known, moments)
        self._origin = int(moments.min(initial=0))
        self._span = int(known.max(initial=self._origin)) - self._origin + 2

        #: What windows count: the places of its rows, in the order in which it became known.
        events = np.arange(len(code))[
            slice(None) if counted is None else np.asarray(counted)[order]
        ]
        if known_at is not None:
            events = events[_by_key_and_time(code[events], known[events], None)]
        self._events, self._rows = events, order[events]
        self._known = _Line(code[events], known[events], self._origin, self._span)
        # The first place that may look at each, its own set aside.
        self._opens = events
        if known_at is not None:
            line = _Line(code, moments, self._origin, self._span)
            base = line.base(code[events])
            opens = line.search(code[events], base, known[events], "left")
            self._opens = np.maximum(opens, events)

        self._wanted: Integers | slice = slice(None)
        self._to = order
        if rows is not None and not np.all(rows):
            chosen = np.asarray(rows, dtype=np.bool_)
            self._wanted = np.flatnonzero(chosen[order])
            self._to = (np.cumsum(chosen) - 1)[order[self._wanted]]
        self._size = len(code)
        self._code, self._at = code[self._wanted], moments[self._wanted]
        self._base = self._known.base(self._code)
        self._links: tuple[ArrayLike, Integers, Integers] | None = None

    def window(
        self,
        length: Duration | None = None,
        *,
        lag: Duration = 0,
        closed: Closed = "right",
        include_current: bool = True,
    ) -> Window:
        """Window that ends ``lag`` before each row and is so long; without length, all before.

        Parameters
        ----------
        length, lag
            Microseconds or timedeltas.
        closed
            Which ends belong to it: ``"right"`` is (t - lag - length, t - lag].
        include_current
            Whether a window that is closed at t holds the row at t itself. Of other rows of that
            moment it holds those that come before.
        """
        if closed not in get_args(Closed):
            raise ArgumentError(
                f"`closed` must be one of {', '.join(get_args(Closed))}; got {closed!r}."
            )
        wait = _duration(lag, "lag")
        with_end, with_begin = closed in ("right", "both"), closed in ("left", "both")
        if wait == 0 and with_end:
            end = self._until_row(include_current=include_current)
        else:
            end = self._search(self._at - wait, "right" if with_end else "left")
        if length is None:
            begin = np.searchsorted(self._known.code, self._code)
        else:
            oldest = self._at - wait - _duration(length, "length")
            begin = self._search(oldest, "left" if with_begin else "right")
        return Window(self, begin, np.maximum(begin, end))

    def _search(self, moments: Integers, side: Literal["left", "right"]) -> Integers:
        return self._known.search(self._code, self._base, moments, side)

    def _until_row(self, *, include_current: bool) -> Integers:
        """Places at which windows end with each row: after what it may look at."""
        opens = self._opens if include_current else np.maximum(self._opens, self._events + 1)
        # What is of an earlier key opens at the end of its run at the latest.
        seen: Integers = np.cumsum(np.bincount(opens, minlength=self._size + 1))
        return seen[: self._size][self._wanted]

    def _neighbours(self, values: ArrayLike) -> tuple[Integers, Integers]:
        """Places of equal values of one key that follow each other, negative ones left out."""
        if self._links is None or self._links[0] is not values:
            of, code = np.asarray(values)[self._rows], self._known.code
            known = np.flatnonzero(of >= 0)
            same = known[stable_order(of[known])]
            same = same[stable_order(code[same])]
            one, other = same[:-1], same[1:]
            pair = (of[one] == of[other]) & (code[one] == code[other])
            self._links = values, one[pair], other[pair]
        return self._links[1:]


class _Line:
    """Moments of one key after the other on one line, to find places in."""

    def __init__(self, code: Integers, moments: Integers, origin: int, span: int) -> None:
        self.code, self._origin, self._span = code, origin, span
        #: Of more keys than an integer has room for, some are searched after the others.
        self._together = max(_LONGEST // span, 1)
        self._line = self.base(code) + moments

    def base(self, code: Integers) -> Integers:
        """Compute what to add to moments of these keys."""
        turns = code if self._has_room(code) else code % self._together
        base: Integers = turns * self._span - self._origin
        return base

    def search(
        self, code: Integers, base: Integers, moments: Integers, side: Literal["left", "right"]
    ) -> Integers:
        """Places at which moments of keys would stand; the keys ascend."""
        wanted = base + np.maximum(moments, self._origin - 1)
        if self._has_room(code) and self._has_room(self.code):
            return np.searchsorted(self._line, wanted, side=side)
        found = np.zeros(len(code), np.int64)
        for first in range(0, int(code.max(initial=-1)) + 1, self._together):
            keys = [first, first + self._together]
            begin, end = np.searchsorted(self.code, keys)
            of = slice(*np.searchsorted(code, keys))
            found[of] = begin + np.searchsorted(self._line[begin:end], wanted[of], side=side)
        return found

    def _has_room(self, code: Integers) -> bool:
        return not len(code) or bool(code[-1] < self._together)


class Window:
    """For each row a range of rows of the same key; made by :meth:`Runs.window`."""

    def __init__(self, runs: Runs, begin: Integers, end: Integers) -> None:
        self._runs, self._begin, self._end = runs, begin, end

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
        # Of a value that is there k times, k - 1 pairs of neighbours are inside. Windows only move
        # on, so a pair is inside of those of consecutive rows.
        one, other = self._runs._neighbours(values)
        places = len(self._runs._rows) + 1
        ended, begun = (
            np.cumsum(np.bincount(ends, minlength=places)) for ends in (self._end, self._begin)
        )
        enters, leaves = ended[other], begun[one]
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
                "`values` must be whole numbers, which add up exactly (amounts in cents, other "
                f"numbers in a small enough unit); got {given.dtype}."
            )
        total = np.zeros(len(self._runs._rows) + 1, np.int64)
        # A total may run over; the differences are right all the same, as they are modulo 2**64.
        np.cumsum(given[self._runs._rows], out=total[1:])
        sums: Integers = total[self._end] - total[self._begin]
        return sums

    def _row(self, places: Integers) -> Integers:
        found = np.full(len(places), -1)
        some = self._begin < self._end
        found[some] = self._runs._rows[places[some]]
        return self._given_back(found)

    def _given_back(self, values: NDArray[Any]) -> NDArray[Any]:
        """Put results in the order in which the rows were given."""
        back = np.empty_like(values)
        back[self._runs._to] = values
        return back


def _by_key_and_time(code: Integers, moments: Integers, by_time: Integers | None) -> Integers:
    """Order rows by key, then time; those of one moment as they are given."""
    if by_time is not None:
        return by_time[stable_order(code[by_time])]
    order = stable_order(code)
    sorted_code, sorted_at = code[order], moments[order]
    if np.all((sorted_at[1:] >= sorted_at[:-1]) | (sorted_code[1:] > sorted_code[:-1])):
        return order
    by_time = np.argsort(moments, kind="stable")
    return by_time[stable_order(code[by_time])]


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
            raise ArgumentError("`at` must have a moment in every row; remove rows without one.")
        given = given.astype("M8[us]")
    elif given.dtype.kind not in "iu":
        raise ArgumentError(f"`at` must be datetime64 or whole microseconds; got {given.dtype}.")
    return given.astype(np.int64)


def _duration(value: Duration, name: str) -> int:
    duration = int(np.timedelta64(value, "us").astype(np.int64))
    if duration < 0:
        raise ArgumentError(f"`{name}` must not be negative; got {value!r}.")
    return duration
