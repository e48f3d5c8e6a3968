"""Every cell of a column against what the table accepts, a whole column at a time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics.frames import cells, texts
from synfin_analytics.frames.json_text import HAS_NUL, NOT_UNICODE, fault_in_json
from synfin_analytics.models.rules import Matches, OneOf, Range

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics.frames.options import ReadOptions
    from synfin_analytics.frames.sources import Column
    from synfin_analytics.frames.spec import ColumnSpec

INT64 = np.iinfo(np.int64)


@dataclasses.dataclass
class Checked:
    """A column in the type of the table; a cell at fault has become NULL."""

    values: pl.Series
    #: Which cells are at fault, and why; no cell twice.
    faults: list[tuple[pl.Series, str]] = dataclasses.field(default_factory=list)

    def refuse(self, mask: pl.Series, reason: str) -> None:
        """Take the cells under ``mask`` out."""
        mask = mask.fill_null(False)
        if mask.any():
            self.faults.append((mask, reason))
            self.values = self.values.set(mask, None)


def check(column: Column, spec: ColumnSpec, *, options: ReadOptions | None = None) -> Checked:
    """Check and convert one column of a batch.

    Parameters
    ----------
    column
        The cells: a series, or Python objects where they have no common type.
    spec
        What the column of the table accepts.
    options
        How texts are written that are to be parsed, as those of a CSV file; without them a text is
        no number.
    """
    if options is not None:
        column = _nulled(column, spec)
    if isinstance(column, list):
        checked = _cell_by_cell(column, spec) if options is None else _mixed(column, spec, options)
        values = checked.values
        missing = values.is_null() & ~_any([mask for mask, _ in checked.faults], len(values))
    else:
        missing = column.is_null()
        if column.dtype == pl.Null:
            checked = Checked(pl.Series(column.name, [None] * len(column), dtype=spec.dtype))
        elif options is not None:
            checked = _read(column, spec, options)
        else:
            checked = CONVERTERS[spec.kind](column, spec)
    if spec.required and missing.any():
        checked.faults.append((missing, "is required, but missing"))
    _apply_rule(checked, spec)
    return checked


def _any(masks: list[pl.Series], height: int) -> pl.Series:
    found = pl.repeat(False, height, dtype=pl.Boolean, eager=True)
    for mask in masks:
        found |= mask
    return found


def _apply_rule(checked: Checked, spec: ColumnSpec) -> None:
    values = checked.values
    match spec.rule:
        case OneOf(allowed):
            checked.refuse(~values.is_in(list(allowed)), f"must be {spec.rule}")
        case Matches(pattern):
            checked.refuse(~values.str.contains(pattern), f"must be {spec.rule}")
        case Range(low, high, above):
            numbers = values.cast(pl.Float64) if spec.kind == "decimal" else values
            outside = pl.repeat(False, len(values), dtype=pl.Boolean, eager=True)
            if low is not None:
                outside |= (numbers < low).fill_null(False)
            if high is not None:
                outside |= (numbers > high).fill_null(False)
            if above is not None:
                outside |= (numbers <= above).fill_null(False)
            checked.refuse(outside, f"must be {spec.rule}")


def _cell_by_cell(objects: list[Any], spec: ColumnSpec) -> Checked:
    values, reasons = cells.convert(objects, spec)
    return Checked(values, [(pl.Series(mask), why) for why, mask in reasons.items()])


def _mistyped(column: pl.Series, spec: ColumnSpec) -> Checked:
    """Every cell that is there is of a type that the column never takes."""
    checked = Checked(pl.Series(column.name, [None] * len(column), dtype=spec.dtype))
    found = cells.NAMES_OF_TYPES.get(column.dtype.base_type(), str(column.dtype))
    checked.refuse(column.is_not_null(), f"is {found}, not {cells.WANTED[spec.kind]}")
    return checked


def _text(column: pl.Series, spec: ColumnSpec) -> Checked:
    if not (column.dtype in (pl.String, pl.Categorical, pl.Enum) or column.dtype.is_integer()):
        return _mistyped(column, spec)
    checked = Checked(column.cast(pl.String))
    checked.refuse(checked.values.str.contains("\0", literal=True), HAS_NUL)
    if spec.length is not None:
        longest = checked.values.str.len_bytes().max()
        if isinstance(longest, int) and longest > spec.length:
            checked.refuse(checked.values.str.len_chars() > spec.length, cells.too_long(spec))
    return checked


def _integer(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype.is_integer():
        checked = Checked(column.cast(spec.dtype, strict=False))
        checked.refuse(column.is_not_null() & checked.values.is_null(), cells.out_of_range(spec))
        return checked
    if column.dtype.is_float() or column.dtype.is_decimal():
        # Whole numbers with gaps come as floats from pandas.
        numbers = column.cast(pl.Float64)
        not_finite = (~numbers.is_finite()).fill_null(False)
        odd = (~not_finite & (numbers != numbers.floor())).fill_null(False)
        usable = numbers.set(not_finite | odd, None)
        checked = Checked(usable.cast(spec.dtype, strict=False))
        checked.refuse(not_finite, cells.NOT_FINITE)
        checked.refuse(odd, cells.NOT_WHOLE)
        checked.refuse(usable.is_not_null() & checked.values.is_null(), cells.out_of_range(spec))
        return checked
    return _mistyped(column, spec)


def _number(column: pl.Series, spec: ColumnSpec) -> Checked:
    if not column.dtype.is_numeric():
        return _mistyped(column, spec)
    checked = Checked(column.cast(pl.Float64))
    checked.refuse(~checked.values.is_finite(), cells.NOT_FINITE)
    if column.dtype.is_integer():
        inexact = (column.cast(pl.Int128) != checked.values.cast(pl.Int128)).fill_null(False)
        checked.refuse(inexact, "has more digits than a double can hold")
    return checked


def _decimal(column: pl.Series, spec: ColumnSpec) -> Checked:
    limit = 10 ** (spec.precision - spec.scale)
    if column.dtype.is_float():
        single = column.dtype == pl.Float32
        numbers = column.cast(pl.Float64)
        array = numbers.fill_null(0.0).to_numpy()
        finite = np.isfinite(array)
        small = finite & (np.abs(array) < limit)
        safe = np.where(small, array, 0.0)
        units = np.rint(safe * 10**spec.scale)
        exact = np.abs(units / 10**spec.scale - safe) <= _noise(safe, single=single)
        checked = Checked(_scaled(units.astype(np.int64), numbers.is_not_null(), spec))
        checked.refuse(pl.Series(~finite), cells.NOT_FINITE)
        checked.refuse(pl.Series(finite & ~small), cells.out_of_range(spec))
        checked.refuse(pl.Series(small & ~exact), cells.too_precise(spec))
        return checked
    if column.dtype.is_integer():
        inside = (column.cast(pl.Int128).abs() < limit).fill_null(True)
        units = column.set(~inside, None).cast(pl.Int64).fill_null(0).to_numpy() * 10**spec.scale
        checked = Checked(_scaled(units, column.is_not_null(), spec))
        checked.refuse(~inside, cells.out_of_range(spec))
        return checked
    if column.dtype.is_decimal():
        checked = Checked(column)
        inside = (column.cast(pl.Float64).abs() < limit).fill_null(True)
        # Just below the limit, the double of a number with many digits may round up to it.
        checked.refuse(~inside, cells.out_of_range(spec))
        rounded = checked.values.round(spec.scale)
        checked.refuse((rounded != checked.values).fill_null(False), cells.too_precise(spec))
        checked.values = checked.values.cast(spec.dtype, strict=False)
        return checked
    return _mistyped(column, spec)


def _noise(numbers: np.ndarray, *, single: bool) -> np.ndarray:
    """Half a unit in the last decimal digit that a float of this size holds for sure.

    That is the 15th significant digit of a double (C's DBL_DIG), the 6th of a single: sums and
    products of amounts are off by less, as 85.64999999999999 for 85.65.
    """
    digits = 6 if single else 15
    sizes = np.floor(np.log10(np.where(numbers == 0, 1.0, np.abs(numbers))))
    return np.asarray(0.5 * 10.0 ** (sizes - digits + 1))


def _scaled(units: np.ndarray, valid: pl.Series, spec: ColumnSpec) -> pl.Series:
    """Decimals from whole numbers of their smallest unit, without a detour through texts."""
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63  # two's complement: the sign fills the upper half
    packed = np.packbits(valid.to_numpy(), bitorder="little")
    array = pa.Array.from_buffers(
        pa.decimal128(spec.precision, spec.scale),
        len(units),
        [pa.py_buffer(packed), pa.py_buffer(words)],
    )
    return pl.Series(spec.name, array)


def _boolean(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype == pl.Boolean:
        return Checked(column)
    if not column.dtype.is_numeric():
        return _mistyped(column, spec)
    numbers = column.cast(pl.Float64)
    known = numbers.is_in([0.0, 1.0])
    checked = Checked((numbers == 1.0).set((~known).fill_null(False), None))
    checked.refuse(~known, cells.NOT_BOOLEAN)
    return checked


def _moment(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        values, faulty = cells.parse_moments(column.cast(pl.String))
        checked = Checked(values)
        checked.refuse(faulty, cells.NOT_A_MOMENT)
    elif column.dtype == pl.Date:
        inside = cells.within_years(column)
        checked = Checked(
            column.set(~inside, None).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        )
        checked.refuse(~inside, cells.OUT_OF_YEARS)
    elif isinstance(column.dtype, pl.Datetime):
        naive = column.dtype.time_zone is None
        ticks = column.to_physical()
        per = {"ns": 1, "us": 1000, "ms": 1_000_000}[column.dtype.time_unit]
        first, end = max(cells.FIRST_NS // per, INT64.min), min(cells.END_NS // per, INT64.max)
        inside = ((ticks >= first) & (ticks < end)).fill_null(True)
        kept = column.set(~inside, None).cast(pl.Datetime("us", column.dtype.time_zone))
        kept = kept.dt.replace_time_zone("UTC") if naive else kept.dt.convert_time_zone("UTC")
        checked = Checked(kept)
        checked.refuse(~inside, cells.OUT_OF_YEARS)
        if column.dtype.time_unit == "ns":
            checked.refuse(ticks % 1000 != 0, "is finer than microseconds")
    else:
        return _mistyped(column, spec)
    return checked


def _day(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        days = column.cast(pl.String).str.to_date("%Y-%m-%d", strict=False)
        checked = Checked(days)
        checked.refuse(column.is_not_null() & days.is_null(), cells.NOT_A_DAY)
    elif column.dtype == pl.Date:
        checked = Checked(column)
    elif isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        checked = Checked(column.dt.date())
        midnight = checked.values.cast(pl.Datetime(column.dtype.time_unit)) == column
        checked.refuse(~midnight, "has a time of day, where a date is wanted")
    else:
        return _mistyped(column, spec)
    checked.refuse(~cells.within_years(checked.values), cells.OUT_OF_YEARS)
    return checked


def _json(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        texts = column.cast(pl.String)
        reasons = [None if text is None else fault_in_json(text) for text in texts]
    elif isinstance(column.dtype, (pl.Struct, pl.List, pl.Array)):
        return _cell_by_cell(column.to_list(), spec)
    else:
        return _mistyped(column, spec)
    checked = Checked(texts)
    for reason in dict.fromkeys(one for one in reasons if one is not None):
        checked.refuse(pl.Series([one == reason for one in reasons]), reason)
    return checked


def _nulled(column: Column, spec: ColumnSpec) -> Column:
    """Cells of which an empty text is NULL, unless the column holds texts."""
    if spec.kind == "text":
        return column
    if isinstance(column, list):
        return [None if isinstance(cell, str) and not cell else cell for cell in column]
    return texts.without_blanks(column) if column.dtype == pl.String else column


def _read(column: pl.Series, spec: ColumnSpec, options: ReadOptions) -> Checked:
    """Check and convert a column of which texts are parsed, as a CSV file has them."""
    textual = column.dtype in (pl.String, pl.Categorical, pl.Enum)
    if textual and spec.kind == "boolean":
        return _parsed(texts.parse_boolean(column.cast(pl.String), spec, options))
    if textual and spec.kind in ("integer", "number", "decimal"):
        return _parsed(texts.parse_number(column.cast(pl.String), spec, options))
    if textual and spec.kind == "day" and options.date_format:
        return _parsed(texts.parse_day(column.cast(pl.String), options.date_format))
    if spec.kind == "moment":
        return _read_moments(column, spec, options)
    return CONVERTERS[spec.kind](column, spec)


def _read_moments(column: pl.Series, spec: ColumnSpec, options: ReadOptions) -> Checked:
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        written = column.cast(pl.String)
        local = texts.without_offset(written)
        if options.date_format:
            checked = _parsed(texts.parse_moment(written, options.date_format))
            local = pl.repeat("%z" not in options.date_format, len(column), eager=True)
        else:
            checked = _moment(written, spec)
    else:
        checked = _moment(column, spec)
        naive = column.dtype == pl.Date or getattr(column.dtype, "time_zone", None) is None
        local = pl.repeat(naive, len(column), eager=True)
    if options.timezone:
        placed = _parsed(texts.localised(checked.values, local, options.timezone))
        checked.values = placed.values
        checked.faults += placed.faults
    return checked


def _parsed(parsed: texts.Parsed) -> Checked:
    checked = Checked(parsed[0])
    for mask, reason in parsed[1]:
        checked.refuse(mask, reason)
    return checked


def _mixed(objects: list[Any], spec: ColumnSpec, options: ReadOptions) -> Checked:
    """Check Python objects of which texts are parsed, and naive times belong to a zone."""
    if spec.kind in ("text", "json"):
        return _cell_by_cell(objects, spec)
    is_text = pl.Series([isinstance(cell, str) for cell in objects], dtype=pl.Boolean)
    others = [None if isinstance(cell, str) else cell for cell in objects]
    checked = _cell_by_cell(others, spec)
    written = [
        cell if isinstance(cell, str) and cells.is_unicode(cell) else None for cell in objects
    ]
    parsed = _read(pl.Series(spec.name, written, dtype=pl.String), spec, options)
    broken = is_text & pl.Series([cell is None for cell in written], dtype=pl.Boolean)
    naive = pl.Series(
        [isinstance(cell, dt.date) and getattr(cell, "tzinfo", None) is None for cell in others],
        dtype=pl.Boolean,
    )
    if options.timezone and spec.kind == "moment":
        placed = _parsed(texts.localised(checked.values, naive, options.timezone))
        checked = Checked(placed.values, [*checked.faults, *placed.faults])
    values = parsed.values.cast(spec.dtype).zip_with(is_text, checked.values.cast(spec.dtype))
    merged = Checked(values, [*checked.faults, *parsed.faults])
    merged.refuse(broken, NOT_UNICODE)
    return merged


CONVERTERS: dict[str, Callable[[pl.Series, ColumnSpec], Checked]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "decimal": _decimal,
    "boolean": _boolean,
    "moment": _moment,
    "day": _day,
    "json": _json,
}
