"""Arrays by group: codes, stable orders, and rolling time windows.

A group is the rows with the same key, for example the transactions of one customer. Codes are whole
numbers from 0, and -1 where a value is missing.

Rolling windows (:class:`GroupedRolling`) give counts, exact sums and means, and distinct values.
All groups are computed at once. Rows are sorted by group and time; a window is then a range of
positions, and a sum over it is a difference of two cumulative sums. Sums are of integers (money in
cents), so that no digits cancel in a difference and no other row changes a result. Cost: one sort,
then a few passes for each window; no sort where the rows come by group and time.

Unlike the rolling functions of pandas and polars, a window honours the order of rows with the same
timestamp (a row sees only those before it), may end some time before each row, and may count each
row from the time its label became available.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import ArrayLike, NDArray

    from synfin_analytics._core.types import Floats, Integers, Mask

    #: Microseconds, or a timedelta.
    Duration: TypeAlias = int | dt.timedelta | np.timedelta64


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

    Ids that count up are then in the order of their numbers: "9" comes before "10". Integers are
    ordered as their texts.

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
        ties = pl.DataFrame({"timestamp": timestamps[rows], "id": ids.gather(rows).cast(pl.String)})
        order[tied] = rows[
            ties.select(pl.arg_sort_by("timestamp", pl.col("id").str.len_bytes(), "id")).to_series()
        ]
    return order


# -- Rolling windows -------------------------------------------------------------------------------

Closed = Literal["right", "left", "both", "neither"]


def check_closed(closed: str) -> None:
    """Raise an ArgumentError unless ``closed`` says which ends belong to a window.

    Examples
    --------
    >>> check_closed("left")
    """
    if closed not in get_args(Closed):
        raise ArgumentError(
            f"`closed` must be one of {', '.join(get_args(Closed))}; got {closed!r}."
        )


#: Timestamps and durations are microseconds.
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_LARGEST = 2**62
#: Rows to search at a time.
_SEARCH_BLOCK = 8192
#: Decimals that units of amounts may have: cents first, a millionth at most.
_DECIMALS = (2, 3, 4, 6)
_CENTS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Amounts:
    """Amounts of money as whole numbers of a unit, which add up without rounding.

    Parameters
    ----------
    units
        Each amount in units.
    units_per_one
        How many units make 1: 100 where cents suffice.

    Examples
    --------
    >>> amounts = Amounts.from_floats([19.99, 0.125])
    >>> amounts.units, amounts.units_per_one
    (array([19990,   125]), 1000)
    >>> amounts.to_money(amounts.units.sum())
    array(20.115)
    """

    units: Integers
    units_per_one: int

    @classmethod
    def from_floats(cls, amounts: ArrayLike) -> Amounts:
        """Choose the largest unit, from a cent to a millionth, that represents all amounts exactly.

        Amounts with more than six decimals are rounded to six.
        """
        values = np.asarray(amounts, dtype=np.float64)
        for decimals in _DECIMALS:
            units_per_one = 10**decimals
            scaled = values * units_per_one
            units = np.rint(scaled)
            # A difference in the last digits of a double is the rounding error of sums.
            if np.all(np.abs(scaled - units) <= 16 * np.spacing(np.maximum(np.abs(scaled), 1.0))):
                break
        return cls(units.astype(np.int64), units_per_one)

    def __getitem__(self, rows: Any) -> Amounts:
        return Amounts(self.units[rows], self.units_per_one)

    @property
    def has_fractional_cents(self) -> Mask:
        """Whether each amount has a fraction of a cent."""
        fractional: Mask = self.units % (self.units_per_one // _CENTS) != 0
        return fractional

    def to_money(self, units: ArrayLike, count: ArrayLike = 1) -> Floats:
        """Convert a sum of units into money and divide it by ``count``; NaN where that is 0.

        A sum of whole cents is computed from cents, whatever the unit, so that the decimals of one
        amount change no other result.
        """
        integers = np.asarray(units)
        units_per_cent = self.units_per_one // _CENTS
        from_cents = ratio(integers // units_per_cent, count) / _CENTS
        if units_per_cent == 1:
            return from_cents
        exact = integers % units_per_cent == 0
        return np.where(exact, from_cents, ratio(integers, count) / self.units_per_one)


class GroupedRolling:
    """Rows by group and time, over which windows are computed.

    Rows with the same timestamp keep the order in which they are given: sort them first by what is
    to break such ties. Results have one element for each row, in the order given.

    Parameters
    ----------
    keys
        Group of each row: integers, or anything that NumPy can sort.
    timestamps
        ``datetime64``, or integers in microseconds.
    available_at
        When each row can first be counted, as its label becomes available; immediately by default,
        and never before the row itself. Windows are then over these times.
    counted
        Boolean mask of the rows that windows count; all by default.
    selected
        Boolean mask of the rows to return results for; all by default. The others are history.
    time_order
        Row numbers in the order of time, if known already; rows with the same timestamp then count
        in this order.

    Examples
    --------
    >>> times = np.array(["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-01T11:00"], "M8[us]")
    >>> rolling = GroupedRolling(["a", "a", "a"], times)
    >>> rolling.window(HOUR).count()
    array([1, 2, 2])
    >>> rolling.window(HOUR, closed="both", include_current=False).sum([5, 10, 20])
    array([ 0,  5, 15])
    """

    def __init__(
        self,
        keys: ArrayLike,
        timestamps: ArrayLike,
        *,
        available_at: ArrayLike | None = None,
        counted: ArrayLike | None = None,
        selected: ArrayLike | None = None,
        time_order: Integers | None = None,
    ) -> None:
        codes, times = _codes(keys), _microseconds(timestamps)
        if len(codes) != len(times):
            raise ArgumentError(
                "`keys` and `timestamps` must have the same length; "
                f"got {len(codes):,} keys and {len(times):,} timestamps."
            )
        # From here on, arrays are in the order of groups and time.
        order, codes, times = _by_key_and_time(codes, times, time_order)
        available = times
        if available_at is not None:
            available = np.maximum(_microseconds(available_at)[order], times)
        origin = int(times.min()) if len(times) else 0
        span = int(available.max(initial=origin)) - origin + 2

        #: Positions of the counted rows, in the order in which they become available; None where
        #: these are all rows, immediately.
        self._events: Integers | None = None
        self._event_rows, self._index = order, _SearchIndex(codes, available, origin, span)
        #: The first position whose windows may count each event, apart from its own.
        self._visible_from: Integers | None = None
        if counted is not None or available_at is not None:
            counted_rows = slice(None) if counted is None else np.asarray(counted)[order]
            events = np.arange(len(codes))[counted_rows]
            event_codes, event_times = codes[events], available[events]
            visible = events
            if available_at is not None:
                by_time, event_codes, event_times = _by_key_and_time(event_codes, event_times)
                events = events[by_time]
                rows = _SearchIndex(codes, times, origin, span)
                visible = rows.search(event_codes, rows.offsets(event_codes), event_times, "left")
            self._events, self._event_rows = events, order[events]
            self._index = _SearchIndex(event_codes, event_times, origin, span)
            self._visible_from = np.maximum(visible, events)

        self._positions: Integers | slice = slice(None)
        self._output_order = order
        if selected is not None and not np.all(selected):
            mask = np.asarray(selected, dtype=np.bool_)
            self._positions = np.flatnonzero(mask[order])
            self._output_order = (np.cumsum(mask) - 1)[order[self._positions]]
        self._size = len(codes)
        self._codes, self._times = codes[self._positions], times[self._positions]
        self._offsets = self._index.offsets(self._codes)
        # The last results, for windows of other lengths; threads may replace those of each other.
        self._equal_values: tuple[ArrayLike, Integers, Integers] | None = None
        self._total: tuple[ArrayLike, Integers] | None = None
        self._lagged_end: tuple[int, bool, Integers] | None = None

    def window(
        self,
        length: Duration | None = None,
        *,
        lag: Duration = 0,
        closed: Closed = "right",
        include_current: bool = True,
    ) -> Window:
        """Return the window of ``length`` that ends ``lag`` before each row.

        Parameters
        ----------
        length, lag
            Microseconds or timedeltas; without a length, all rows before.
        closed
            Which ends belong to it: ``"right"`` is (t - lag - length, t - lag].
        include_current
            Whether a window that is closed at t contains the row at t itself. Of other rows with
            that timestamp it contains those that come before.
        """
        check_closed(closed)
        lag = _duration(lag, "lag")
        end_closed, start_closed = closed in ("right", "both"), closed in ("left", "both")
        if lag == 0 and end_closed:
            end = self._end_with_row(include_current=include_current)
        else:
            end = self._end_with_lag(lag, end_closed=end_closed)
        if length is None:
            n_groups = int(self._codes[-1]) + 1 if len(self._codes) else 0
            start = np.searchsorted(self._index.codes, np.arange(n_groups))[self._codes]
        else:
            age = lag + _duration(length, "length")
            start = self._search(age, "left" if start_closed else "right")
        return Window(self, start, np.maximum(start, end))

    def _search(self, age: int, side: Literal["left", "right"]) -> Integers:
        """Return the positions at which the times some age before each row are to be inserted."""
        return self._index.search(self._codes, self._offsets, self._times, side, age)

    def _end_with_lag(self, lag: int, *, end_closed: bool) -> Integers:
        """Return the positions at which the windows end that end some time before each row."""
        known = self._lagged_end  # other threads may replace it
        if known is None or known[:2] != (lag, end_closed):
            known = lag, end_closed, self._search(lag, "right" if end_closed else "left")
            self._lagged_end = known
        return known[2]

    def _end_with_row(self, *, include_current: bool) -> Integers:
        """Return the positions at which the windows end that reach up to each row."""
        visible = self._visible_from
        if visible is None or self._events is None:
            return np.arange(int(include_current), self._size + include_current)[self._positions]
        if not include_current:
            visible = np.maximum(visible, self._events + 1)
        # Events of an earlier group are visible at the end of that group at the latest.
        ends: Integers = np.cumsum(np.bincount(visible, minlength=self._size + 1))
        return ends[: self._size][self._positions]

    def _cumulative_sum(self, values: NDArray[Any]) -> Integers:
        """Return the sums of the values of all events before each position."""
        known = self._total
        if known is None or known[0] is not values:
            total = np.zeros(len(self._event_rows) + 1, np.int64)
            # A total may overflow; differences are right all the same, as they are modulo 2**64.
            np.cumsum(values[self._event_rows], out=total[1:])
            known = self._total = values, total
        return known[1]

    def _pairs_of_equal(self, values: ArrayLike) -> tuple[Integers, Integers]:
        """Return the positions of successive equal values of a group; negative ones are ignored."""
        known = self._equal_values
        if known is None or known[0] is not values:
            codes, group = np.asarray(values)[self._event_rows], self._index.codes
            present = np.flatnonzero(codes >= 0)
            order = present[stable_argsort(codes[present])]
            order = order[stable_argsort(group[order])]
            earlier, later = order[:-1], order[1:]
            equal = (codes[earlier] == codes[later]) & (group[earlier] == group[later])
            known = self._equal_values = values, earlier[equal], later[equal]
        return known[1:]


class _SearchIndex:
    """Timestamps of all groups, one group after the other, as one sorted array."""

    def __init__(self, codes: Integers, times: Integers, origin: int, span: int) -> None:
        self.codes, self._origin, self._span = codes, origin, span
        #: How many groups fit into the range of an integer; further ones are searched separately.
        self._capacity = max(_LARGEST // span, 1)
        self._sorted = self.offsets(codes) + times

    def offsets(self, codes: Integers) -> Integers:
        """Return what to add to timestamps of these groups."""
        slots = codes if self._fits(codes) else codes % self._capacity
        offsets: Integers = slots * self._span - self._origin
        return offsets

    def search(
        self,
        codes: Integers,
        offsets: Integers,
        times: Integers,
        side: Literal["left", "right"],
        age: int = 0,
    ) -> Integers:
        """Return the positions at which timestamps of groups are to be inserted.

        Parameters
        ----------
        codes, offsets, times
            Groups, what :meth:`offsets` returns for them, and timestamps, both ascending.
        side
            As in :func:`numpy.searchsorted`.
        age
            What to subtract from the timestamps.
        """
        if self._fits(codes) and self._fits(self.codes):
            return self._search_blocks(self._sorted, offsets, times, side, age)
        positions = np.zeros(len(codes), np.int64)
        for first in range(0, int(codes.max(initial=-1)) + 1, self._capacity):
            bounds = [first, first + self._capacity]
            start, end = np.searchsorted(self.codes, bounds)
            rows = slice(*np.searchsorted(codes, bounds))
            found = self._search_blocks(
                self._sorted[start:end], offsets[rows], times[rows], side, age
            )
            positions[rows] = start + found
        return positions

    def _search_blocks(
        self,
        values: Integers,
        offsets: Integers,
        times: Integers,
        side: Literal["left", "right"],
        age: int,
    ) -> Integers:
        """Search some rows at a time: what they are compared with then fits into a cache."""
        earliest = self._origin - 1
        first = offsets[::_SEARCH_BLOCK] + np.maximum(times[::_SEARCH_BLOCK] - age, earliest)
        bounds = [*np.searchsorted(values, first, side).tolist(), len(values)]
        positions = np.empty(len(times), np.int64)
        for number, (low, high) in enumerate(itertools.pairwise(bounds)):
            block = slice(number * _SEARCH_BLOCK, (number + 1) * _SEARCH_BLOCK)
            targets = times[block] - age
            np.maximum(targets, earliest, out=targets)
            targets += offsets[block]
            np.add(values[low:high].searchsorted(targets, side), low, out=positions[block])
        return positions

    def _fits(self, codes: Integers) -> bool:
        return not len(codes) or bool(codes[-1] < self._capacity)


class Window:
    """For each row, a range of rows of the same group; made by :meth:`GroupedRolling.window`."""

    def __init__(self, rolling: GroupedRolling, start: Integers, end: Integers) -> None:
        self._rolling, self._start, self._end = rolling, start, end

    def count(self) -> Integers:
        """Count the rows in the window."""
        return self._in_output_order(self._end - self._start)

    def sum(self, values: ArrayLike) -> Integers:
        """Sum integers or booleans, one for each row: exact."""
        return self._in_output_order(self._sum(values))

    def mean(self, values: ArrayLike) -> Floats:
        """Return the mean of integers or booleans; NaN over no rows."""
        with np.errstate(invalid="ignore"):
            return self._in_output_order(self._sum(values) / (self._end - self._start))

    def first_row(self) -> Integers:
        """Return the number of the first row in the window, from 0; -1 where it is empty."""
        return self._row_at(self._start)

    def last_row(self) -> Integers:
        """Return the number of the last row in the window, from 0; -1 where it is empty."""
        return self._row_at(self._end - 1)

    def n_unique(self, codes: ArrayLike) -> Integers:
        """Count the distinct codes in the window; negative ones (missing) do not count."""
        # A code that occurs k times makes k - 1 pairs of successive occurrences. Windows only move
        # forward, so a pair lies within those of consecutive rows.
        earlier, later = self._rolling._pairs_of_equal(codes)
        n_positions = len(self._rolling._event_rows) + 1
        n_ended, n_started = (
            np.cumsum(np.bincount(bounds, minlength=n_positions))
            for bounds in (self._end, self._start)
        )
        enters, leaves = n_ended[later], n_started[earlier]
        occurs = enters < leaves
        size = len(self._start) + 1
        changes = np.bincount(enters[occurs], minlength=size) - np.bincount(
            leaves[occurs], minlength=size
        )
        n_present = self._sum(np.asarray(codes) >= 0)
        return self._in_output_order(n_present - np.cumsum(changes)[:-1])

    def _sum(self, values: ArrayLike) -> Integers:
        array = np.asarray(values)
        if array.dtype.kind not in "biu":
            raise ArgumentError(
                "`values` must be whole numbers, which add up exactly (amounts in cents, other "
                f"numbers in a small enough unit); got {array.dtype}."
            )
        total = self._rolling._cumulative_sum(array)
        sums: Integers = total[self._end] - total[self._start]
        return sums

    def _row_at(self, positions: Integers) -> Integers:
        rows = np.full(len(positions), -1)
        nonempty = self._start < self._end
        rows[nonempty] = self._rolling._event_rows[positions[nonempty]]
        return self._in_output_order(rows)

    def _in_output_order(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return results in the order in which the rows were given."""
        ordered = np.empty_like(values)
        ordered[self._rolling._output_order] = values
        return ordered


def to_microseconds(duration: Duration) -> int:
    """Return a duration as a whole number of microseconds.

    Examples
    --------
    >>> import datetime as dt
    >>> to_microseconds(dt.timedelta(seconds=2))
    2000000
    """
    return int(np.timedelta64(duration, "us").astype(np.int64))


def _by_key_and_time(
    codes: Integers, times: Integers, time_order: Integers | None = None
) -> tuple[Integers, Integers, Integers]:
    """Return the order by group and time, and both in this order.

    Rows with the same timestamp stay in the order in which they are given.
    """
    if time_order is None:
        order = stable_argsort(codes)
        sorted_codes, sorted_times = codes[order], times[order]
        in_order = (sorted_times[1:] >= sorted_times[:-1]) | (sorted_codes[1:] > sorted_codes[:-1])
        if np.all(in_order):
            return order, sorted_codes, sorted_times
        time_order = np.argsort(times, kind="stable")
    order = time_order[stable_argsort(codes[time_order])]
    return order, codes[order], times[order]


def _codes(keys: ArrayLike) -> Integers:
    """Encode keys as whole numbers from 0."""
    array = np.asarray(keys)
    if (
        array.dtype.kind in "iu"
        and len(array)
        and array.min() >= 0
        and array.max() < 2 * len(array)
    ):
        return array.astype(np.int64)  # codes already
    codes: Integers = np.unique(array, return_inverse=True)[1]
    return codes


def _microseconds(timestamps: ArrayLike) -> Integers:
    array = np.asarray(timestamps)
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise ArgumentError(
                "`timestamps` must not have missing values; remove rows without a timestamp."
            )
        array = array.astype("M8[us]")
    elif array.dtype.kind not in "iu":
        raise ArgumentError(
            f"`timestamps` must be datetime64 or whole microseconds; got {array.dtype}."
        )
    return array.astype(np.int64)


def _duration(value: Duration, name: str) -> int:
    duration = to_microseconds(value)
    if duration < 0:
        raise ArgumentError(f"`{name}` must not be negative; got {value!r}.")
    return duration
