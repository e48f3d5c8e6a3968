"""Timestamps and dates: Python objects, series and texts.

Texts are ISO 8601 unless a format is given; what is not wholly understood is rejected. A timestamp
without an offset is UTC unless a time zone is given.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from synfin_analytics._core.validation.options import date_part, format_example
from synfin_analytics._core.validation.outcome import (
    TEXT_TYPES,
    InvalidCellError,
    ValidatedColumn,
    reject_all,
    wrong_type,
)

if TYPE_CHECKING:
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics._core.validation.spec import ColumnSpec

NOT_A_TIMESTAMP = "is not a date and time in the years 1 to 9999, such as 2024-03-01T12:30:00+01:00"
NOT_A_DATE = "is not a date such as 2024-03-01"
HAS_TIME = "has a time of day, but must be a date"
OUT_OF_YEARS = "is outside the years 1 to 9999"
TOO_PRECISE = "is more precise than microseconds"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: First moment of year 1 and of year 10000, in microseconds since 1970.
_FIRST_TICK = (dt.datetime(1, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_END_TICK = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND + 86_400_000_000
_TICKS_PER_DAY = {
    unit: 86_400 * per_second for unit, per_second in (("ms", 10**3), ("us", 10**6), ("ns", 10**9))
}

# The expressions mean the same to Python and to Rust. Libraries accept more by themselves: "now",
# two-digit years, and digits that they cut off.
_DATE = "(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})"
_MINUTES = "(?:[01][0-9]|2[0-3]):?[0-5][0-9]"
_SECONDS = ":?[0-5][0-9]"
_OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)?"
_TIMESTAMP = f"^{_DATE}(?:[T ]{_MINUTES}(?:{_SECONDS}(?:[.][0-9]{{1,6}})?)?{_OFFSET})?$"
#: A timestamp with more than six digits of a second.
_PRECISE_TIMESTAMP = f"^{_DATE}[T ]{_MINUTES}{_SECONDS}[.][0-9]{{7,}}{_OFFSET}$"
_TRAILING_ZEROS = "([.][0-9]{6})0+"
#: A date, perhaps with the midnight that programs write after it.
_DATE_ONLY = f"^{_DATE}(?:[T ]00:00(?::00(?:[.]0+)?)?)?$"
_BLANKS = " \t\r\n"
_DIGITS = "^([0-9]{4})([0-9]{2})([0-9]{2})"
#: A time of day with an offset from UTC after it.
_WITH_OFFSET = r"[T ].*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$"


# -- Python objects ----------------------------------------------------------------------------


def convert_timestamp(value: Any, spec: ColumnSpec) -> dt.datetime:
    """Convert an object other than a text to a timestamp in UTC."""
    timestamp = _to_datetime(value)
    if isinstance(timestamp, dt.date) and not isinstance(timestamp, dt.datetime):
        timestamp = dt.datetime.combine(timestamp, dt.time())
    if not isinstance(timestamp, dt.datetime):
        raise wrong_type(value, spec)
    if timestamp.tzinfo is None:
        return timestamp.replace(tzinfo=dt.UTC)
    try:
        return timestamp.astimezone(dt.UTC)
    except OverflowError:
        raise InvalidCellError(OUT_OF_YEARS) from None


def convert_date(value: Any, spec: ColumnSpec) -> dt.date:
    """Convert an object other than a text to a date."""
    if isinstance(value, pd.Timestamp) and value.nanosecond:
        raise InvalidCellError(HAS_TIME)
    value = _to_datetime(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None or value.time() != dt.time():
            raise InvalidCellError(HAS_TIME)
        return value.date()
    if not isinstance(value, dt.date):
        raise wrong_type(value, spec)
    return value


def _to_datetime(value: Any) -> Any:
    """Return Python's own datetime of what represents one, anything else as it is."""
    if isinstance(value, np.datetime64):
        try:
            value = pd.Timestamp(value)
        except ValueError:  # pandas' OutOfBoundsDatetime
            raise InvalidCellError(OUT_OF_YEARS) from None
    if isinstance(value, pd.Timestamp):
        if value.nanosecond:
            raise InvalidCellError(TOO_PRECISE)
        if not 1 <= value.year <= dt.MAXYEAR:
            raise InvalidCellError(OUT_OF_YEARS)
        return value.to_pydatetime()
    return value


# -- Series ------------------------------------------------------------------------------------


def validate_timestamps(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as timestamps in UTC."""
    if column.dtype in TEXT_TYPES:
        return _parse_iso_timestamps(column.cast(pl.String))
    if column.dtype == pl.Date:
        inside = _within_years(column)
        timestamps = column.set(~inside, None).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return ValidatedColumn(timestamps).reject(~inside, OUT_OF_YEARS)
    if isinstance(column.dtype, pl.Datetime):
        inside, ticks = _inside_years(column)
        timestamps = column.set(~inside, None).cast(pl.Datetime("us", column.dtype.time_zone))
        timestamps = (
            timestamps.dt.replace_time_zone("UTC")
            if column.dtype.time_zone is None
            else timestamps.dt.convert_time_zone("UTC")
        )
        validated = ValidatedColumn(timestamps).reject(~inside, OUT_OF_YEARS)
        if column.dtype.time_unit == "ns":
            validated.reject(inside & (ticks % 1000 != 0), TOO_PRECISE)
        return validated
    return reject_all(column, spec)


def validate_dates(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as dates."""
    if column.dtype in TEXT_TYPES:
        dates = _parse_iso_dates(column.cast(pl.String))
        invalid = column.is_not_null() & dates.is_null()
        validated = ValidatedColumn(dates).reject(invalid, NOT_A_DATE)
    elif column.dtype == pl.Date:
        validated = ValidatedColumn(column)
    elif isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        inside, ticks = _inside_years(column)
        dates = column.set(~inside, None).dt.date()
        validated = ValidatedColumn(dates).reject(~inside, OUT_OF_YEARS)
        validated.reject(inside & (ticks % _TICKS_PER_DAY[column.dtype.time_unit] != 0), HAS_TIME)
    else:
        return reject_all(column, spec)
    return validated.reject(~_within_years(validated.cells), OUT_OF_YEARS)


def _inside_years(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return which timestamps lie in the years that Python has, and their ticks."""
    ticks = column.to_physical()
    unit = column.dtype.time_unit  # type: ignore[attr-defined]  # a datetime has it
    if unit == "ns":  # no count of nanoseconds leaves these years
        return pl.repeat(True, len(column), dtype=pl.Boolean, eager=True), ticks
    microseconds = {"us": 1, "ms": 1000}[unit]
    inside = (ticks >= _FIRST_TICK // microseconds) & (ticks < _END_TICK // microseconds)
    return inside.fill_null(True), ticks


def _within_years(dates: pl.Series) -> pl.Series:
    """Return which dates lie in the years that Python has; NULL counts as inside."""
    first, last = dt.date(1, 1, 1).toordinal(), dt.date(9999, 12, 31).toordinal()
    ordinal = dates.to_physical().cast(pl.Int64) + dt.date(1970, 1, 1).toordinal()
    return ((ordinal >= first) & (ordinal <= last)).fill_null(True)


# -- Texts -------------------------------------------------------------------------------------


def parse_timestamps(column: pl.Series, spec: ColumnSpec, options: ReadOptions) -> ValidatedColumn:
    """Parse texts as timestamps, and place naive timestamps of any type in a time zone."""
    is_text = column.dtype in TEXT_TYPES
    if is_text and options.date_format:
        validated = _parse_formatted_timestamps(column.cast(pl.String), options.date_format)
    else:
        validated = validate_timestamps(column, spec)
    if options.timezone:
        is_naive = _naive_cells(column, options.date_format)
        localise(validated, is_naive, options.timezone)
    return validated


def _naive_cells(column: pl.Series, date_format: str | None) -> pl.Series:
    """Return which timestamps have no offset from UTC."""
    if column.dtype in TEXT_TYPES and date_format is None:
        texts = column.cast(pl.String).str.strip_chars()
        return (~texts.str.contains(_WITH_OFFSET)).fill_null(False)
    if column.dtype in TEXT_TYPES:
        is_naive = "%z" not in (date_format or "")
    else:
        is_naive = getattr(column.dtype, "time_zone", None) is None
    return pl.repeat(is_naive, len(column), dtype=pl.Boolean, eager=True)


def parse_dates(texts: pl.Series, date_format: str) -> ValidatedColumn:
    """Parse texts by the part of a format that contains the date."""
    date_format = date_part(date_format)
    dates = _parse_formatted(texts, date_format).dt.date()
    invalid = texts.is_not_null() & dates.is_null()
    reason = f"is not a date such as {format_example(date_format)} ({date_format})"
    return ValidatedColumn(dates).reject(invalid, reason)


def localise(validated: ValidatedColumn, is_naive: pl.Series, timezone: str) -> None:
    """Take timestamps that were read as UTC for local times, where they are naive.

    A time that the clocks skip, or show twice, is rejected.
    """
    times = validated.cells.dt.replace_time_zone(None)
    local = times.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    lost = is_naive & times.is_not_null() & local.is_null()
    ambiguous = (
        lost
        & times.set(~lost, None)
        .dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
        .is_not_null()
    )
    validated.cells = validated.cells.zip_with(~is_naive, local.dt.convert_time_zone("UTC"))
    skipped = f"does not exist in {timezone}, where the clocks went forward"
    repeated = f"is ambiguous in {timezone}, where the clocks went back: add its offset"
    validated.reject(lost & ~ambiguous, skipped).reject(ambiguous, repeated)
    inside, _ = _inside_years(validated.cells)  # the offset may have moved it out of them
    validated.reject(~inside, OUT_OF_YEARS)


def _parse_iso_timestamps(texts: pl.Series) -> ValidatedColumn:
    """Parse texts as timestamps; without an offset they are UTC."""
    well_formed = texts.str.contains(_TIMESTAMP)
    too_precise = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    if not well_formed.all():
        texts = texts.str.strip_chars(_BLANKS).str.replace(_TRAILING_ZEROS, "$1")
        well_formed = texts.str.contains(_TIMESTAMP)
        too_precise = (~well_formed & texts.str.contains(_PRECISE_TIMESTAMP)).fill_null(False)
    usable = texts if well_formed.all() else texts.set((~well_formed).fill_null(False), None)
    timestamps = pd.to_datetime(
        pd.Series(usable.to_list(), dtype=object), format="ISO8601", utc=True, errors="coerce"
    )
    microseconds = pa.Array.from_pandas(timestamps.astype("datetime64[us, UTC]"))
    values = pl.Series(texts.name, microseconds, dtype=pl.Datetime("us", "UTC"))
    ticks = values.to_physical()
    values = values.set(~((ticks >= _FIRST_TICK) & (ticks < _END_TICK)), None)
    invalid = texts.is_not_null() & values.is_null() & ~too_precise
    validated = ValidatedColumn(values).reject(too_precise, TOO_PRECISE)
    return validated.reject(invalid, NOT_A_TIMESTAMP)


def _parse_iso_dates(texts: pl.Series) -> pl.Series:
    """Parse texts as dates: NULL where there is none."""
    texts = texts.str.strip_chars(_BLANKS)
    texts = texts.set((~texts.str.contains(_DATE_ONLY)).fill_null(False), None)
    dashed = texts.str.replace(_DIGITS, "$1-$2-$3").str.slice(0, 10)
    return dashed.str.to_date("%Y-%m-%d", strict=False)


def _parse_formatted_timestamps(texts: pl.Series, date_format: str) -> ValidatedColumn:
    times = _parse_formatted(texts, date_format)
    values = times.dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    invalid = texts.is_not_null() & times.is_null()
    reason = f"is not a date and time such as {format_example(date_format)} ({date_format})"
    validated = ValidatedColumn(values).reject(invalid, reason)
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_unit == "ns":
        validated.reject(times.to_physical() % 1000 != 0, TOO_PRECISE)
    return validated


def _parse_formatted(texts: pl.Series, date_format: str) -> pl.Series:
    texts = texts.str.strip_chars()
    # Whatever the format, pandas reads "now" and "today".
    usable = texts.set((~texts.str.contains("[0-9]")).fill_null(False), None)
    times = pd.to_datetime(
        pd.Series(usable.to_list(), dtype=object),
        format=date_format,
        errors="coerce",
        utc="%z" in date_format,
    )
    if times.dtype == object:  # all are missing
        times = times.astype("datetime64[us]")
    series = pl.Series(texts.name, pa.Array.from_pandas(times))
    return series.dt.replace_time_zone(None)
