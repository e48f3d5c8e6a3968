"""Dates, times, durations and periods as arguments, and the period that contains a timestamp.

Ranges are half-open (:func:`parse_range`): ``start <= timestamp < end``, and a date without a time
is its midnight UTC. Only ``start_date`` and ``end_date`` of the repositories' ``get_*`` methods are
closed at both ends (:func:`parse_closed_range`).

Engines number the periods (:meth:`Period.number`) from the parts of a timestamp, which all of them
can extract; :meth:`Period.start` and :meth:`Period.starts` convert timestamps and numbers to the
first moments of periods.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import argument_error, format_value
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats

Bound = dt.datetime | dt.date | str | None
_DATE_LENGTH = len("2026-01-31")


def parse_range(start: Bound, end: Bound) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Parse a range that includes its start and excludes its end; None leaves a side open.

    Parameters
    ----------
    start, end
        Dates or datetimes, as objects or ISO 8601 strings. A date without a time is its midnight;
        without a time zone, both are UTC.

    Raises
    ------
    ArgumentError
        A bound is neither a date nor a datetime, or ``end`` is not later than ``start``.

    Examples
    --------
    >>> start, end = parse_range(dt.date(2026, 1, 1), "2026-02-01")
    >>> end.isoformat()
    '2026-02-01T00:00:00+00:00'
    """
    first, after = parse_time(start, "start"), parse_time(end, "end")
    if first is not None and after is not None and first >= after:
        raise ArgumentError(
            f"`end` must be later than `start`; got start={_format(start)}, end={_format(end)}."
        )
    return first, after


def parse_known_range(
    start: Bound, end: Bound, as_of: Bound
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Parse a range that ends before ``as_of``, too; otherwise as :func:`parse_range`.

    Raises
    ------
    ArgumentError
        As for :func:`parse_range`, or ``as_of`` is not later than ``start``.

    Examples
    --------
    >>> parse_known_range(None, "2026-01-03", "2026-01-02")[1].isoformat()
    '2026-01-02T00:00:00+00:00'
    """
    first, after = parse_range(start, end)
    known = parse_time(as_of, "as_of")
    if known is not None and first is not None and known <= first:
        raise ArgumentError(
            f"`as_of` must be later than `start`; got as_of={as_of}, start={start}."
        )
    return first, min((time for time in (after, known) if time), default=None)


def parse_closed_range(
    start_date: Bound, end_date: Bound
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Parse a range that includes both its ends, and return it as a half-open one.

    An end without a time includes its whole day; a datetime includes the microsecond it names.

    Parameters
    ----------
    start_date, end_date
        As for :func:`parse_range`.

    Raises
    ------
    ArgumentError
        A bound is neither a date nor a datetime, or ``end_date`` is earlier than ``start_date``.

    Examples
    --------
    >>> for end_date in ("2026-01-31", "2026-01-31T12:00"):
    ...     print(parse_closed_range("2026-01-01", end_date)[1])
    2026-02-01 00:00:00+00:00
    2026-01-31 12:00:00.000001+00:00
    """
    first, last = parse_time(start_date, "start_date"), parse_time(end_date, "end_date")
    if last is None:
        return first, None
    whole_day = isinstance(end_date, str) and len(end_date) <= _DATE_LENGTH
    whole_day = whole_day or not isinstance(end_date, (str, dt.datetime))
    try:
        after = last + (dt.timedelta(days=1) if whole_day else dt.timedelta.resolution)
    except OverflowError:  # the last day of the calendar: nothing is later
        return first, None
    if first is not None and first >= after:
        raise ArgumentError(
            f"`end_date` must not be earlier than `start_date`; "
            f"got start_date={_format(start_date)}, end_date={_format(end_date)}."
        )
    return first, after


@overload
def parse_time(value: dt.date | str, name: str) -> dt.datetime: ...
@overload
def parse_time(value: Bound, name: str) -> dt.datetime | None: ...
def parse_time(value: Bound, name: str) -> dt.datetime | None:
    """Parse a date, which is its midnight, or a datetime; None stays None.

    Parameters
    ----------
    value
        A date or datetime, as an object or an ISO 8601 string; without a time zone it is UTC.
    name
        Name of the caller's argument, for the message.

    Returns
    -------
    datetime.datetime
        In UTC.

    Raises
    ------
    ArgumentError
        ``value`` is neither a date nor a datetime.

    Examples
    --------
    >>> parse_time("2026-01-31T12:00+01:00", "start").isoformat()
    '2026-01-31T11:00:00+00:00'
    """
    if value is None:
        return None
    try:
        time = value
        if isinstance(time, str):
            date_only = len(time) <= _DATE_LENGTH
            time = dt.date.fromisoformat(time) if date_only else dt.datetime.fromisoformat(time)
        if not isinstance(time, dt.datetime):
            time = dt.datetime.combine(time, dt.time())
        if time == time:  # false for NaT, which pandas takes for a datetime
            in_utc = time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time
            return in_utc.astimezone(dt.UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ArgumentError(
        f"`{name}` must be a date or a time, such as '2026-01-31' or '2026-01-31T12:00'; got "
        f"{'NaT' if type(value).__name__ == 'NaTType' else format_value(value)}."
    )


def _format(bound: Bound) -> str:
    return bound.isoformat() if isinstance(bound, dt.date) else str(bound)


# -- Periods and durations -------------------------------------------------------------------------

#: Unit of a period: the unit of NumPy in which it is counted, and how many of these it is.
_UNITS = {
    "m": ("m", 1),
    "h": ("h", 1),
    "d": ("D", 1),
    "w": ("D", 7),
    "mo": ("M", 1),
    "q": ("M", 3),
    "y": ("M", 12),
}
#: The first Monday of Unix time. Weeks are counted from it, other periods from 1970-01-01.
_MONDAY = np.datetime64("1970-01-05", "D")


@dataclass(frozen=True, slots=True)
class Period:
    """A whole number of minutes, hours, days or months, in UTC.

    Examples
    --------
    >>> Period.parse("1w").start(np.array(["2026-01-01T10:00"], "datetime64[us]"))
    array(['2025-12-29T00:00:00.000000'], dtype='datetime64[us]')
    """

    length: int
    numpy_unit: str
    weeks: bool = False

    @classmethod
    def parse(cls, every: str, name: str = "every", *, minimum: int = 1) -> Period:
        """Parse a whole number of at least ``minimum`` and one of m, h, d, w, mo, q, y.

        ``name`` is the name of the caller's argument.

        Raises
        ------
        ArgumentError
            It is not a period.
        """
        match = re.fullmatch(r"(0|[1-9][0-9]{0,5})(m|h|d|w|mo|q|y)", str(every))
        if match is None or int(match[1]) < minimum:
            must_be = (
                f"a whole number of at least {minimum} and a unit of time (m, h, d, w, mo, q, y), "
                "such as '1d' or '3mo'"
            )
            raise argument_error(name, must_be, every)
        numpy_unit, factor = _UNITS[match[2]]
        return cls(int(match[1]) * factor, numpy_unit, weeks=match[2] == "w")

    @classmethod
    def parse_fixed(cls, value: str | dt.timedelta, name: str, *, minimum: int = 1) -> Period:
        """Parse a period of fixed length: a number of m, h, d or w, or a timedelta in minutes.

        Raises
        ------
        ArgumentError
            It is not such a period.

        Examples
        --------
        >>> Period.parse_fixed(dt.timedelta(hours=36), "train")
        Period(length=36, numpy_unit='h', weeks=False)
        """
        if isinstance(value, dt.timedelta):
            for unit, keyword in (("D", "days"), ("h", "hours"), ("m", "minutes")):
                length, remainder = divmod(value, dt.timedelta(**{keyword: 1}))
                if not remainder and length >= minimum:
                    return cls(length, unit)
            value = str(value)
        period = cls.parse(value, name, minimum=minimum)
        if period.numpy_unit == "M":
            must_be = "in m, h, d or w, such as '90d', since months differ in length"
            raise argument_error(name, must_be, value)
        return period

    @property
    def duration(self) -> dt.timedelta:
        """Length of a period of minutes, hours or days (see :meth:`parse_fixed`)."""
        return self.length * dt.timedelta(**{f"{self.unit}s": 1})

    @property
    def unit(self) -> str:
        """Unit to which an engine truncates timestamps: minute, hour, day or month."""
        return {"m": "minute", "h": "hour", "D": "day", "M": "month"}[self.numpy_unit]

    def number(self, timestamp: nw.Expr) -> nw.Expr:
        """Return an expression for the number of the period that contains each timestamp.

        It is a double, which stores whole numbers exactly in all engines; NULL stays NULL.
        """
        parts = timestamp.dt
        year, month = parts.year().cast(nw.Float64), parts.month().cast(nw.Float64)
        if self.numpy_unit == "M":
            units = (year - 1970) * 12 + month - 1
        else:
            units = days_since_epoch(year, month, parts.day().cast(nw.Float64))
            if self.numpy_unit != "D":
                units = units * 24 + parts.hour().cast(nw.Float64)
            if self.numpy_unit == "m":
                units = units * 60 + parts.minute().cast(nw.Float64)
        # polars divides by a constant by multiplying with its reciprocal, which can end just below
        # a whole number; half a unit keeps the quotient of a whole number of units away from it.
        return ((units - self._origin.astype(np.int64).item() + 0.5) / self.length).floor()

    def starts(self, numbers: Floats) -> NDArray[np.datetime64]:
        """Return the first moments of numbered periods; NaT for NaN."""
        valid = np.isfinite(numbers)
        steps = np.where(valid, numbers, 0).astype(np.int64) * self.length
        starts = (self._origin + steps.astype(f"timedelta64[{self.numpy_unit}]")).astype("M8[us]")
        starts[~valid] = np.datetime64("NaT")
        return starts

    def start(self, timestamps: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """Return the first moment of the period that contains each timestamp; NaT stays NaT."""
        return self.starts(self.numbers(timestamps))

    def numbers(self, timestamps: NDArray[np.datetime64]) -> Floats:
        """Return the number of the period that contains each timestamp; NaN for NaT.

        Examples
        --------
        >>> Period.parse("1w").numbers(np.array(["1970-01-04", "1970-01-05"], "datetime64[us]"))
        array([-1.,  0.])
        """
        steps = timestamps.astype(f"datetime64[{self.numpy_unit}]") - self._origin
        numbers = np.floor_divide(steps.astype(np.int64), self.length).astype(np.float64)
        numbers[np.isnat(timestamps)] = np.nan
        return numbers

    @property
    def _origin(self) -> np.datetime64:
        origin = _MONDAY if self.weeks else np.datetime64("1970-01-01", "D")
        first: np.datetime64 = origin.astype(f"datetime64[{self.numpy_unit}]")
        return first


def parse_duration(value: str | dt.timedelta, name: str) -> dt.timedelta:
    """Parse a duration of at least 0: a number of m, h, d or w, or a timedelta.

    ``name`` is the name of the caller's argument.

    Raises
    ------
    ArgumentError
        It is not a duration, or negative.

    Examples
    --------
    >>> parse_duration("7d", "label_delay")
    datetime.timedelta(days=7)
    """
    duration = value
    if isinstance(duration, str) and not duration.startswith("-"):
        duration = Period.parse_fixed(duration, name, minimum=0).duration
    if not isinstance(duration, dt.timedelta) or duration < dt.timedelta():
        raise argument_error(name, "a duration of at least 0, such as '7d'", value)
    return duration


def days_since_epoch(year: nw.Expr, month: nw.Expr, day: nw.Expr) -> nw.Expr:
    """Return days since 1970-01-01; years begin in March, so that the leap day comes last."""
    early = (month <= 2).cast(nw.Float64)
    year, month = year - early, month + 12 * early - 3
    leap_days = (year / 4).floor() - (year / 100).floor() + (year / 400).floor()
    return 365 * year + leap_days + ((153 * month + 2) / 5).floor() + day - 719_469
