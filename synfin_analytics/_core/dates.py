"""Dates and times as arguments: one parser for the bounds of every range.

Ranges are half-open (:func:`half_open`): ``start <= timestamp < end``, and a date without a time is
its midnight UTC. Only ``start_date`` and ``end_date`` of the repositories' ``get_*`` methods are
closed at both ends (:func:`closed`).
"""

from __future__ import annotations

import datetime as dt

from synfin_analytics.exceptions import ArgumentError

Bound = dt.datetime | dt.date | str | None
_DATE_LENGTH = len("2026-01-31")


def half_open(
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
    >>> start, end = half_open(dt.date(2026, 1, 1), "2026-02-01")
    >>> end.isoformat()
    '2026-02-01T00:00:00+00:00'
    """
    first, after = moment_of(start, names[0]), moment_of(end, names[1])
    if first is not None and after is not None and first >= after:
        raise ArgumentError(
            f"`{names[1]}` must be later than `{names[0]}`; "
            f"got {names[0]}={_text(start)}, {names[1]}={_text(end)}."
        )
    return first, after


def closed(
    start_date: Bound, end_date: Bound, names: tuple[str, str] = ("start_date", "end_date")
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Parse a range that includes both its ends, and return it as a half-open one.

    An end without a time includes its whole day; a datetime includes the microsecond it names.

    Parameters
    ----------
    start_date, end_date, names
        As for :func:`half_open`.

    Raises
    ------
    ArgumentError
        A bound is neither a date nor a datetime, or ``end_date`` is earlier than ``start_date``.

    Examples
    --------
    >>> for end_date in ("2026-01-31", "2026-01-31T12:00"):
    ...     print(closed("2026-01-01", end_date)[1])
    2026-02-01 00:00:00+00:00
    2026-01-31 12:00:00.000001+00:00
    """
    first, last = moment_of(start_date, names[0]), moment_of(end_date, names[1])
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
            f"got {names[0]}={_text(start_date)}, {names[1]}={_text(end_date)}."
        )
    return first, after


def moment_of(bound: Bound, name: str, *, day: int = 0) -> dt.datetime | None:
    """Return the moment of a bound in UTC; for a date without a time, ``day`` days later.

    ``name`` is the name of the caller's argument. The last day of the calendar has no day after
    it: such an end is None, an open one.
    """
    if isinstance(bound, str):
        text = bound
        try:
            bound = (
                dt.date.fromisoformat(text)
                if len(text) <= _DATE_LENGTH
                else dt.datetime.fromisoformat(text)
            )
        except ValueError:
            raise ArgumentError(
                f"`{name}` must be a date or a time, as '2026-01-31' or '2026-01-31T12:00'; "
                f"got {text!r}."
            ) from None
    if bound is None:
        return None
    if isinstance(bound, dt.datetime):
        if bound != bound:  # pandas' NaT is a datetime
            raise ArgumentError(
                f"`{name}` must be a date or a time; got NaT. Leave it out for no limit."
            )
        return bound.replace(tzinfo=dt.UTC) if bound.tzinfo is None else bound
    if not isinstance(bound, dt.date):
        raise ArgumentError(f"`{name}` must be a date or a datetime; got {type(bound).__name__}.")
    if day and bound > dt.date.max - dt.timedelta(days=day):
        return None
    return dt.datetime.combine(bound + dt.timedelta(days=day), dt.time(), dt.UTC)


def _text(bound: Bound) -> str:
    return bound.isoformat() if isinstance(bound, dt.date) else str(bound)
