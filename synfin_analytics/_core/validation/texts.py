"""Cells that are texts, as those of a CSV file, parsed to what a column of a table holds.

Every number is read from its digits: none passes through a type that holds fewer of them.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd
import polars as pl
import pyarrow as pa

from synfin_analytics._core.validation import cells
from synfin_analytics._core.validation.options import date_part, example_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics._core.validation.spec import ColumnSpec

#: Values in the type of the column, and for each reason which cells are at fault.
Parsed = tuple[pl.Series, list[tuple[pl.Series, str]]]

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,5})?$"
#: Significant digits that every double holds (C's DBL_DIG).
_SURE_DIGITS = 15
_SPACES = "[ \u00a0\u202f]"
#: An offset from UTC after a time of day.
_OFFSET = r"[T ].*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$"


def without_blanks(texts: pl.Series) -> pl.Series:
    """Texts with NULL for the empty ones: a number, a date or a label cannot be empty."""
    return texts.set((texts.str.len_bytes() == 0).fill_null(False), None)


def parse_boolean(texts: pl.Series, spec: ColumnSpec, options: ReadOptions) -> Parsed:
    """Read true and false, however they are written in files."""
    del spec, options
    folded = texts.str.strip_chars().str.to_lowercase()
    values = folded.is_in(["true", "t", "1", "1.0"])
    known = values | folded.is_in(["false", "f", "0", "0.0"])
    faulty = (~known).fill_null(False)
    return values.set(faulty | texts.is_null(), None), [(faulty, cells.NOT_BOOLEAN)]


def parse_number(texts: pl.Series, spec: ColumnSpec, options: ReadOptions) -> Parsed:
    """Read integers, decimals and doubles."""
    plain = plain_numbers(texts, options)
    odd = texts.is_not_null() & plain.is_null()
    values, faults = _NUMBERS[spec.kind](plain, spec)
    return values, [*faults, (odd, f"is not {cells.WANTED[spec.kind]}")]


def plain_numbers(texts: pl.Series, options: ReadOptions) -> pl.Series:
    """Numbers as Python writes them; NULL for what is not a number by these options."""
    texts = texts.str.strip_chars()
    if options.currency:
        texts = _without_currency(texts, options.currency)
    if options.thousands:
        texts = _without_thousands(texts, options.thousands, options.decimal_mark)
    if options.decimal_mark == ",":
        texts = texts.set(texts.str.contains(".", literal=True).fill_null(False), None)
        texts = texts.str.replace(",", ".", literal=True)
    return texts.set((~texts.str.contains(_NUMBER)).fill_null(False), None)


def _without_currency(texts: pl.Series, currency: bool | str) -> pl.Series:
    """Take off one currency sign, before or after the number; parentheses become a minus."""
    sign = re.escape(currency) if isinstance(currency, str) else r"(?:\p{Sc}|[A-Z]{3})"
    texts = texts.str.replace_all("\u2212", "-", literal=True)
    leading = texts.str.replace(rf"^([-+(]?)\s*{sign}\s*", "${1}")
    trailing = texts.str.replace(rf"\s*{sign}\s*([-)]?)$", "${1}")
    texts = leading.zip_with((leading != texts).fill_null(False), trailing)
    texts = texts.str.replace(r"^\(\s*([0-9.,'\u2019_\s]+?)\s*\)$", "-${1}")
    return texts.str.replace(r"^([0-9.][0-9.,'\u2019_\s]*)-$", "-${1}")


def _without_thousands(texts: pl.Series, mark: str, decimal: str) -> pl.Series:
    """Take off separators of thousands; NULL where they are not between groups of three."""
    one = _SPACES if mark in " \u00a0\u202f" else re.escape(mark)
    fraction = f"(?:{re.escape(decimal)}[0-9]*)?$"
    marked = texts.str.contains(one).fill_null(False)
    grouped = texts.str.contains(f"^[+-]?[0-9]{{1,3}}(?:{one}[0-9]{{3}})+{fraction}")
    texts = texts.set(marked & ~grouped.fill_null(False), None)
    return texts.str.replace_all(one, "")


def _integers(plain: pl.Series, spec: ColumnSpec) -> Parsed:
    short = plain.str.contains(r"^[+-]?[0-9]{1,18}$").fill_null(True)
    if not short.all():
        return _by_digits(plain, spec)
    numbers = plain.str.strip_prefix("+").cast(pl.Int64)
    values = numbers.cast(spec.dtype, strict=False)
    return values, [(numbers.is_not_null() & values.is_null(), cells.out_of_range(spec))]


def _doubles(plain: pl.Series, spec: ColumnSpec) -> Parsed:
    del spec
    values = plain.cast(pl.Float64)
    infinite = values.is_infinite().fill_null(False)
    # An identifier or a count with more digits than a double has would become another one.
    long = plain.str.contains(rf"^[+-]?[0-9]{{{_SURE_DIGITS + 1},}}$").fill_null(False)
    inexact = pl.Series(
        [
            hit and Decimal(text) not in (Decimal(value), Decimal(repr(value)))
            for hit, text, value in zip(long, plain, values, strict=True)
        ]
        if long.any()
        else [False] * len(plain),
        dtype=pl.Boolean,
    )
    inexact &= ~infinite
    faults = [(infinite, cells.NOT_FINITE), (inexact, "has more digits than a double can hold")]
    return values.set(infinite | inexact, None), faults


def _decimals(plain: pl.Series, spec: ColumnSpec) -> Parsed:
    whole = max(spec.precision - spec.scale, 1)
    fraction = rf"(?:\.[0-9]{{1,{spec.scale}}})?" if spec.scale else ""
    short = plain.str.contains(rf"^-?[0-9]{{1,{whole}}}{fraction}$").fill_null(True)
    if not short.all():
        return _by_digits(plain, spec)
    return plain.cast(spec.dtype), []


def _by_digits(plain: pl.Series, spec: ColumnSpec) -> Parsed:
    """Read numbers one by one: those that are long, or written with an exponent."""
    exact = [None if text is None else _as_written(text, spec) for text in plain]
    values, reasons = cells.convert(exact, spec)
    return values, [(pl.Series(mask, dtype=pl.Boolean), why) for why, mask in reasons.items()]


def _as_written(text: str, spec: ColumnSpec) -> Decimal:
    """Read a number; a double with all its digits, as 85.64999999999999, is the 85.65 it means."""
    number = Decimal(text)
    if spec.kind == "decimal" and len(number.as_tuple().digits) > _SURE_DIGITS:
        double = float(text)
        if Decimal(repr(double)) == number:
            return Decimal(f"{double:.{_SURE_DIGITS}g}")
    return number


_NUMBERS: dict[str, Callable[[pl.Series, ColumnSpec], Parsed]] = {
    "integer": _integers,
    "number": _doubles,
    "decimal": _decimals,
}


def parse_moment(texts: pl.Series, date_format: str) -> Parsed:
    """Read dates and times in a format; without an offset they count as UTC."""
    times = _in_format(texts, date_format)
    values = times.dt.cast_time_unit("us")
    fine = pl.repeat(False, len(times), dtype=pl.Boolean, eager=True)
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_unit == "ns":
        fine = (times.to_physical() % 1000 != 0).fill_null(False)
    faulty = texts.is_not_null() & times.is_null()
    faults = [
        (faulty, f"is not a date and time as {example_of(date_format)} ({date_format})"),
        (fine, "is finer than microseconds"),
    ]
    return values.dt.replace_time_zone("UTC").set(fine, None), faults


def parse_day(texts: pl.Series, date_format: str) -> Parsed:
    """Read dates in the part of a format that says the day."""
    form = date_part(date_format)
    days = _in_format(texts, form).dt.date()
    faulty = texts.is_not_null() & days.is_null()
    return days, [(faulty, f"is not a date as {example_of(form)} ({form})")]


def _in_format(texts: pl.Series, date_format: str) -> pl.Series:
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


def without_offset(texts: pl.Series) -> pl.Series:
    """Which ISO 8601 texts say no offset from UTC."""
    return (~texts.str.strip_chars().str.contains(_OFFSET)).fill_null(False)


def localised(moments: pl.Series, local: pl.Series, zone: str) -> Parsed:
    """Take moments, read as UTC, for local times of a zone where ``local`` says so.

    A time that the clocks skip, or show twice, is at fault.
    """
    naive = moments.dt.replace_time_zone(None)
    there = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    lost = local & naive.is_not_null() & there.is_null()
    twice = (
        lost
        & naive.set(~lost, None)
        .dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        .is_not_null()
    )
    values = moments.zip_with(~local, there.dt.convert_time_zone("UTC"))
    return values, [
        (lost & ~twice, f"does not exist in {zone}: the clocks were put forward"),
        (twice, f"is shown twice in {zone}, where the clocks were put back: add its offset"),
    ]
