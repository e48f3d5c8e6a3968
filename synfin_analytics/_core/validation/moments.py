"""Texts of ISO 8601 as moments and days: what is not wholly understood is refused."""

from __future__ import annotations

import datetime as dt
import re

import pandas as pd
import polars as pl
import pyarrow as pa

NOT_A_MOMENT = "is not a date and time of the years 1 to 9999, as 2024-03-01T12:30:00+01:00"
NOT_A_DAY = "is not a date as in 2024-03-01"
HAS_TIME = "has a time of day, where a date is wanted"
OUT_OF_YEARS = "is outside the years 1 to 9999"
TOO_FINE = "is finer than microseconds"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: First moment of year 1 and of year 10000, in microseconds since 1970.
FIRST = (dt.datetime(1, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
END = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND + 86_400_000_000

# The expressions mean the same to Python and to Rust. Libraries accept more by themselves: "now",
# two-digit years, and digits that they cut off.
_DATE = "(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})"
_MINUTES = "(?:[01][0-9]|2[0-3]):?[0-5][0-9]"
_SECONDS = ":?[0-5][0-9]"
_OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)?"
_MOMENT = f"^{_DATE}(?:[T ]{_MINUTES}(?:{_SECONDS}(?:[.][0-9]{{1,6}})?)?{_OFFSET})?$"
#: A moment with more digits of a second than we keep.
_FINER = f"^{_DATE}[T ]{_MINUTES}{_SECONDS}[.][0-9]{{7,}}{_OFFSET}$"
_NOTHING_MORE = "([.][0-9]{6})0+"
#: A day, perhaps with the midnight that programs write behind it.
_DAY = f"^{_DATE}(?:[T ]00:00(?::00(?:[.]0+)?)?)?$"
_BLANKS = " \t\r\n"
_DIGITS = "^([0-9]{4})([0-9]{2})([0-9]{2})"


def moments_of(texts: pl.Series) -> tuple[pl.Series, list[tuple[pl.Series, str]]]:
    """Read texts as moments; without an offset they are UTC.

    Returns
    -------
    tuple
        The moments, NULL where there is none, and masks of the faulty texts with the reason.
    """
    formed = texts.str.contains(_MOMENT)
    finer = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    if not formed.all():
        texts = texts.str.strip_chars(_BLANKS).str.replace(_NOTHING_MORE, "$1")
        formed = texts.str.contains(_MOMENT)
        finer = (~formed & texts.str.contains(_FINER)).fill_null(False)
    usable = texts if formed.all() else texts.set((~formed).fill_null(False), None)
    moments = pd.to_datetime(
        pd.Series(usable.to_list(), dtype=object), format="ISO8601", utc=True, errors="coerce"
    )
    microseconds = pa.Array.from_pandas(moments.astype("datetime64[us, UTC]"))
    values = pl.Series(texts.name, microseconds, dtype=pl.Datetime("us", "UTC"))
    ticks = values.to_physical()
    values = values.set(~((ticks >= FIRST) & (ticks < END)), None)
    wrong = texts.is_not_null() & values.is_null() & ~finer
    return values, [(finer, TOO_FINE), (wrong, NOT_A_MOMENT)]


def moment_of(text: str) -> dt.datetime | str:
    """Read one text as :func:`moments_of` does, or return the reason against it."""
    text = re.sub(_NOTHING_MORE, r"\1", text.strip(_BLANKS))
    if re.search(_FINER, text):
        return TOO_FINE
    if not re.search(_MOMENT, text):
        return NOT_A_MOMENT
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return NOT_A_MOMENT


def days_of(texts: pl.Series) -> pl.Series:
    """Read texts as days: NULL where there is none."""
    texts = texts.str.strip_chars(_BLANKS)
    texts = texts.set((~texts.str.contains(_DAY)).fill_null(False), None)
    dashed = texts.str.replace(_DIGITS, "$1-$2-$3").str.slice(0, 10)
    return dashed.str.to_date("%Y-%m-%d", strict=False)


def day_of(text: str) -> dt.date | None:
    """Read one text as :func:`days_of` does."""
    text = text.strip(_BLANKS)
    if not re.search(_DAY, text):
        return None
    try:
        return dt.date.fromisoformat(re.sub(_DIGITS, r"\1-\2-\3", text)[:10])
    except ValueError:
        return None


def within_years(days: pl.Series) -> pl.Series:
    """Which dates lie in the years that Python knows; NULL counts as inside."""
    first, last = dt.date(1, 1, 1).toordinal(), dt.date(9999, 12, 31).toordinal()
    ordinal = days.to_physical().cast(pl.Int64) + dt.date(1970, 1, 1).toordinal()
    return ((ordinal >= first) & (ordinal <= last)).fill_null(True)
