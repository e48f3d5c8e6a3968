"""Dates and times as arguments: one parser for the bounds of every range.

Ranges are half-open (:func:`parse_range`): ``start <= timestamp < end``, and a date without a time
is its midnight UTC. Only ``start_date`` and ``end_date`` of the repositories' ``get_*`` methods are
closed at both ends (:func:`parse_closed_range`).
"""

from __future__ import annotations

import datetime as dt
from typing import overload

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import ArgumentError

Bound = dt.datetime | dt.date | str | None
_DATE_LENGTH = len("2026-01-31")


def parse_range(
    start: Bound, end: Bound, names: tuple[str, str] = ("start", "end")
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Parse a range that includes its start and excludes its end; None leaves a side open.

    Parameters
    ----------
    start, end
        Dates or datetimes, as objects or ISO 8601 strings. A date without a time is its midnight;
        without a time zone, both are UTC.
    names
        Names of the caller's two arguments, for messages.

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
    first, after = parse_time(start, names[0]), parse_time(end, names[1])
    if first is not None and after is not None and first >= after:
        raise ArgumentError(
            f"`{names[1]}` must be later than `{names[0]}`; "
            f"got {names[0]}={_format(start)}, {names[1]}={_format(end)}."
        )
    return first, after


def parse_closed_range(
    start_date: Bound, end_date: Bound, names: tuple[str, str] = ("start_date", "end_date")
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Parse a range that includes both its ends, and return it as a half-open one.

    An end without a time includes its whole day; a datetime includes the microsecond it names.

    Parameters
    ----------
    start_date, end_date, names
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
    first, last = parse_time(start_date, names[0]), parse_time(end_date, names[1])
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
            f"`{names[1]}` must not be earlier than `{names[0]}`; "
            f"got {names[0]}={_format(start_date)}, {names[1]}={_format(end_date)}."
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
