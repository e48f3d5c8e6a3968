"""Dates, times and intervals that are written in a condition."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

from synfin_analytics.rules._tree import MICROSECONDS_PER_DAY, Kind, Node, Refusal, number

_INTERVALS = {
    "microsecond": 1, "millisecond": 1_000, "second": 1_000_000, "sec": 1_000_000,
    "minute": 60_000_000, "min": 60_000_000, "hour": 3_600_000_000,
    "day": MICROSECONDS_PER_DAY, "week": 7 * MICROSECONDS_PER_DAY,
}  # fmt: skip
_CLOCK = re.compile(r"^(\d{1,3}):(\d{2})(?::(\d{2}(?:\.\d{1,6})?))?$")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]|$)")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_interval(written: str) -> Node:
    """Parse an interval of fixed length, such as ``2 hours`` or ``1 day 02:30``."""
    words = re.sub(r"(\d)([A-Za-z])", r"\1 \2", written).split()
    total = Decimal(0)
    while words:
        clock = _CLOCK.match(words[0])
        if clock:
            hours, minutes, seconds = clock.groups()
            total += (Decimal(hours) * 60 + Decimal(minutes)) * 60_000_000
            total += Decimal(seconds or 0) * 1_000_000
            words = words[1:]
            continue
        unit = words[1].lower().removesuffix("s") if len(words) > 1 else ""
        if unit in {"month", "mon", "year", "quarter", "decade"}:
            raise Refusal(f"an interval in {unit}s has no fixed length; write days")
        if unit not in _INTERVALS or not re.fullmatch(r"[+-]?\d{1,9}(\.\d{1,6})?", words[0]):
            raise Refusal(
                f"{written!r} is not an interval such as '2 hours', '30 minutes' or '7 days'"
            )
        total += Decimal(words[0]) * _INTERVALS[unit]
        words = words[2:]
    if not written.strip():
        raise Refusal("an interval is empty; write for example INTERVAL '2 hours'")
    return number(int(total), "interval")


def parse_moment(written: str, kind: Kind) -> Node:
    """Parse a date or a time of ISO 8601; without a time zone it is in UTC."""
    text = written.strip()
    try:
        moment = dt.datetime.fromisoformat(text if _DATE.match(text) else "")
    except ValueError:
        raise Refusal(
            f"{written!r} is not a date or time; write it as '2026-03-01' or '2026-03-01 14:30'"
        ) from None
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    microseconds = (moment - _EPOCH) // dt.timedelta(microseconds=1)
    if kind == "date":
        microseconds -= microseconds % MICROSECONDS_PER_DAY
    return number(microseconds, kind)
