"""Dates and moments as arguments: one rule for the bounds of every range."""

from __future__ import annotations

import datetime as dt

from synfin_analytics.exceptions import ArgumentError

Bound = dt.datetime | dt.date | str | None


def span(
    start: Bound, end: Bound, names: tuple[str, str] = ("start_date", "end_date")
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Read a range: moments from ``start`` on and before ``end``, in UTC.

    A date without a time is a whole day, so that an ``end`` of ``"2026-01-31"`` includes the 31st.
    A moment is taken as it is: ``"2026-01-31T00:00"`` excludes that day. None leaves a side open.

    Parameters
    ----------
    start, end
        Dates or moments, as objects or ISO 8601 texts; without a zone in UTC.
    names
        Names of the caller's two arguments, for messages.

    Raises
    ------
    ArgumentError
        A bound is neither a date nor a moment, or ``end`` is earlier than ``start``.

    Examples
    --------
    >>> first, after = span(dt.date(2026, 1, 1), dt.date(2026, 1, 31))
    >>> after.isoformat()
    '2026-02-01T00:00:00+00:00'
    """
    first = moment_of(start, names[0])
    after = moment_of(end, names[1], day=1)
    if first is None or after is None or first < after:
        return first, after
    if first > after or after != moment_of(end, names[1]):  # a date before the first moment
        raise ArgumentError(
            f"`{names[1]}` must not be earlier than `{names[0]}`; "
            f"got {names[0]}={_text(start)}, {names[1]}={_text(end)}."
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
                dt.date.fromisoformat(text) if len(text) <= 10 else dt.datetime.fromisoformat(text)
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
