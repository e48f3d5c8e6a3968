"""Every cell of a column against what the table accepts, a whole column at a time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.validation import cells, moments, texts
from synfin_analytics._core.validation.columns import python_objects
from synfin_analytics._core.validation.json_text import (
    HAS_NUL,
    NOT_UNICODE,
    fault_in_json,
    is_unicode,
)
from synfin_analytics._core.validation.rules import Matches, OneOf, Range

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.validation.columns import Column, Objects
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics._core.validation.spec import ColumnSpec

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


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
    require_thread_pool()
    if isinstance(column, tuple):
        return _joined([check(part, spec, options=options) for part in column])
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
            checked = read_cells(column, spec, options)
        else:
            checked = CONVERTERS[spec.kind](column, spec)
    if spec.required and missing.any():
        checked.faults.append((missing, "is required, but missing"))
    _apply_rule(checked, spec)
    return checked


def _joined(parts: list[Checked]) -> Checked:
    """Pieces of one column, each checked in its own type."""
    height = sum(len(part.values) for part in parts)
    masks: dict[str, pl.Series] = {}
    start = 0
    for part in parts:
        for mask, reason in part.faults:
            placed = _placed(mask, start, height)
            masks[reason] = masks[reason] | placed if reason in masks else placed
        start += len(part.values)
    values = pl.concat([part.values.alias("") for part in parts])
    return Checked(values, [(mask, reason) for reason, mask in masks.items()])


def _placed(mask: pl.Series, start: int, height: int) -> pl.Series:
    before = pl.repeat(False, start, dtype=pl.Boolean, eager=True)
    after = pl.repeat(False, height - start - len(mask), dtype=pl.Boolean, eager=True)
    return pl.concat([before, mask, after])


def _any(masks: list[pl.Series], height: int) -> pl.Series:
    found = pl.repeat(False, height, dtype=pl.Boolean, eager=True)
    for mask in masks:
        found |= mask
    return found


def closed_set(spec: ColumnSpec) -> str | None:
    """Reason against a text outside the closed set of a column; None where it has no such set."""
    return f"must be {spec.rule}" if isinstance(spec.rule, OneOf) else None


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


def _cell_by_cell(objects: Objects, spec: ColumnSpec) -> Checked:
    values, reasons = cells.convert(objects, spec)
    return Checked(values, [(pl.Series(mask), why) for why, mask in reasons.items()])


def _mistyped(column: pl.Series, spec: ColumnSpec) -> Checked:
    """Every cell that is there is of a type that the column never takes."""
    checked = Checked(pl.Series(column.name, [None] * len(column), dtype=spec.dtype))
    whole = "a whole number" if column.dtype.is_integer() else str(column.dtype)
    found = cells.NAMES_OF_TYPES.get(column.dtype.base_type(), whole)
    checked.refuse(column.is_not_null(), f"is {found}, not {cells.WANTED[spec.kind]}")
    return checked


def _text(column: pl.Series, spec: ColumnSpec) -> Checked:
    if not (column.dtype in _TEXTS or column.dtype.is_integer()):
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
        whole, checked = column, Checked(column.cast(spec.dtype, strict=False))
    elif column.dtype.is_decimal():
        units, unit = _units(column)
        odd = (units % unit != 0).fill_null(False)
        whole = (units // unit).set(odd, None)
        checked = Checked(whole.cast(spec.dtype, strict=False))
        checked.refuse(odd, cells.NOT_WHOLE)
    elif column.dtype.is_float():
        # Whole numbers with gaps come as floats from pandas.
        numbers = column.cast(pl.Float64)
        not_finite = (~numbers.is_finite()).fill_null(False)
        odd = (~not_finite & (numbers != numbers.floor())).fill_null(False)
        whole = numbers.set(not_finite | odd, None)
        checked = Checked(whole.cast(spec.dtype, strict=False))
        checked.refuse(not_finite, cells.NOT_FINITE)
        checked.refuse(odd, cells.NOT_WHOLE)
        narrow = column.head(0).to_numpy().dtype.type
        bits = cells.BITS_OF_FLOATS.get(narrow, cells.BITS_OF_DOUBLE)
        large = checked.values.is_not_null() & (whole.abs() >= 2**bits)
        whole = whole.set(large, None)
        checked.refuse(large, cells.too_large_a_float(bits))
    else:
        return _mistyped(column, spec)
    checked.refuse(whole.is_not_null() & checked.values.is_null(), cells.out_of_range(spec))
    return checked


def _units(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Decimals as whole numbers of their smallest unit, and how many of these are 1."""
    scale = column.dtype.scale  # type: ignore[attr-defined]  # of a decimal it is there
    return column.to_physical().cast(pl.Int128), pl.Series([10**scale], dtype=pl.Int128)


def _number(column: pl.Series, spec: ColumnSpec) -> Checked:
    if not column.dtype.is_numeric():
        return _mistyped(column, spec)
    if column.dtype.is_decimal():
        units, unit = _units(column)
        few = (units.abs() <= 2**cells.BITS_OF_DOUBLE).all()
        if not few or unit[0] > LARGEST_EXACT_POWER:
            return _cell_by_cell(column.to_list(), spec)
        # One division, rounded once: polars' own multiplies by a reciprocal, which it rounds too.
        doubles = units.fill_null(0).cast(pl.Int64).to_numpy() / float(unit[0])
        return Checked(pl.Series(column.name, doubles).set(column.is_null(), None))
    checked = Checked(column.cast(pl.Float64))
    checked.refuse(~checked.values.is_finite(), cells.NOT_FINITE)
    if column.dtype.is_integer():
        exact = column.cast(pl.Int128, strict=False) == checked.values.cast(pl.Int128, strict=False)
        checked.refuse(column.is_not_null() & ~exact.fill_null(False), cells.TOO_MANY_DIGITS)
    return checked


#: Powers of ten up to here are doubles.
LARGEST_EXACT_POWER = 10**22


def _decimal(column: pl.Series, spec: ColumnSpec) -> Checked:
    limit = 10 ** (spec.precision - spec.scale)
    if column.dtype.is_float():
        return _decimal_of_floats(column, limit, spec)
    if column.dtype.is_integer():
        number = column.cast(pl.Int128, strict=False)
        inside = ((number < limit) & (number > -limit)).fill_null(False) | column.is_null()
        units = column.set(~inside, None).cast(pl.Int64).fill_null(0).to_numpy() * 10**spec.scale
        checked = Checked(_scaled(units, column.is_not_null(), spec))
        checked.refuse(~inside, cells.out_of_range(spec))
        return checked
    if column.dtype.is_decimal():
        return _decimal_of_decimals(column, limit, spec)
    return _mistyped(column, spec)


def _decimal_of_decimals(column: pl.Series, limit: int, spec: ColumnSpec) -> Checked:
    units, unit = _units(column)
    ours = 10**spec.scale
    if unit[0] <= ours:  # as many decimals or fewer
        outside = units.abs() >= limit * unit[0]
        kept, odd = units * pl.Series([ours // unit[0]], dtype=pl.Int128), outside.clear()
    else:
        coarser = pl.Series([unit[0] // ours], dtype=pl.Int128)
        odd = (units % coarser != 0).fill_null(False)
        kept = units // coarser
        outside = (kept.abs() >= limit * ours).fill_null(False)
    usable = kept.set(outside.fill_null(False), None).cast(pl.Int64, strict=False)
    checked = Checked(_scaled(usable.fill_null(0).to_numpy(), column.is_not_null(), spec))
    checked.refuse(outside, cells.out_of_range(spec))
    if len(odd):
        checked.refuse(odd & ~outside, cells.too_precise(spec))
    return checked


def _decimal_of_floats(column: pl.Series, limit: int, spec: ColumnSpec) -> Checked:
    native = column.fill_null(0.0).to_numpy()
    array = native.astype(np.float64)
    finite = np.isfinite(array)
    small = finite & (np.abs(array) < limit)
    safe = np.where(small, array, 0.0)
    units = np.rint(safe * 10**spec.scale)
    nearest = units / 10**spec.scale
    off = np.abs(nearest - safe)
    unit, near = _last_digit(safe, cells.NARROW.get(native.dtype.type, cells.MOST_DIGITS))
    exact = off <= unit / 2
    # Next to a tie or a power of ten, arithmetic on doubles cannot decide.
    unsure = near | (np.abs(off - unit / 2) <= unit / 1000)
    if native.dtype != np.float64:
        places = 10.0**-spec.scale
        tells_apart = np.spacing(np.abs(np.where(small, native, 0))).astype(np.float64) < places
        shows = nearest.astype(native.dtype) == native
        exact = tells_apart & (shows | (exact & (unit * 10 <= places * (1 + 1e-9))))
        unsure &= ~shows
    exact |= off == 0
    for at in np.flatnonzero(small & unsure & (off > 0)):
        number = cells.decimal_of(native[at], spec)
        exact[at] = number == round(number, spec.scale)
    large = finite & (~small | (exact & (np.abs(units) >= limit * 10**spec.scale)))
    counted = np.where(large, 0.0, units).astype(np.int64)
    checked = Checked(_scaled(counted, column.is_not_null(), spec))
    checked.refuse(pl.Series(~finite), cells.NOT_FINITE)
    checked.refuse(pl.Series(large), cells.out_of_range(spec))
    checked.refuse(pl.Series(finite & ~large & ~exact), cells.too_precise(spec))
    return checked


def _last_digit(numbers: np.ndarray, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit of the last decimal digit that a float of this size holds for sure.

    The second array says where a number is so close to a power of ten that it may be another.
    """
    sizes = np.log10(np.where(numbers == 0, 1.0, np.abs(numbers)))
    unit = 10.0 ** (np.floor(sizes) - digits + 1)
    return unit, np.abs(sizes - np.rint(sizes)) < 1e-6


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
    if column.dtype.is_decimal():
        units, unit = _units(column)
        known, yes = (units == 0) | (units == unit), units == unit
    else:
        known, yes = (column == 0) | (column == 1), column == 1
    checked = Checked(yes)
    checked.refuse(~known, cells.NOT_BOOLEAN)
    return checked


def _moment(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype in _TEXTS:
        values, faults = moments.moments_of(column.cast(pl.String))
        checked = Checked(values)
        for mask, reason in faults:
            checked.refuse(mask, reason)
    elif column.dtype == pl.Date:
        inside = moments.within_years(column)
        checked = Checked(
            column.set(~inside, None).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        )
        checked.refuse(~inside, moments.OUT_OF_YEARS)
    elif isinstance(column.dtype, pl.Datetime):
        inside, ticks = _inside(column)
        kept = column.set(~inside, None).cast(pl.Datetime("us", column.dtype.time_zone))
        naive = column.dtype.time_zone is None
        kept = kept.dt.replace_time_zone("UTC") if naive else kept.dt.convert_time_zone("UTC")
        checked = Checked(kept)
        checked.refuse(~inside, moments.OUT_OF_YEARS)
        if column.dtype.time_unit == "ns":
            checked.refuse(inside & (ticks % 1000 != 0), moments.TOO_FINE)
    else:
        return _mistyped(column, spec)
    return checked


def _inside(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Which moments lie in the years that Python knows, and the numbers that they are."""
    ticks = column.to_physical()
    unit = column.dtype.time_unit  # type: ignore[attr-defined]  # of a datetime it is there
    if unit == "ns":  # no count of nanoseconds leaves these years
        return pl.repeat(True, len(column), dtype=pl.Boolean, eager=True), ticks
    per = {"us": 1, "ms": 1000}[unit]
    inside = (ticks >= moments.FIRST // per) & (ticks < moments.END // per)
    return inside.fill_null(True), ticks


def _day(column: pl.Series, spec: ColumnSpec) -> Checked:
    if column.dtype in _TEXTS:
        days = moments.days_of(column.cast(pl.String))
        checked = Checked(days)
        checked.refuse(column.is_not_null() & days.is_null(), moments.NOT_A_DAY)
    elif column.dtype == pl.Date:
        checked = Checked(column)
    elif isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        inside, ticks = _inside(column)
        kept = column.set(~inside, None)
        checked = Checked(kept.dt.date())
        checked.refuse(~inside, moments.OUT_OF_YEARS)
        checked.refuse(
            inside & (ticks % _TICKS_OF_A_DAY[column.dtype.time_unit] != 0), moments.HAS_TIME
        )
    else:
        return _mistyped(column, spec)
    checked.refuse(~moments.within_years(checked.values), moments.OUT_OF_YEARS)
    return checked


_TICKS_OF_A_DAY = {
    unit: 86_400 * per for unit, per in (("ms", 10**3), ("us", 10**6), ("ns", 10**9))
}


def _json(column: pl.Series, spec: ColumnSpec) -> Checked:
    if isinstance(column.dtype, (pl.Struct, pl.List, pl.Array, pl.Map)):
        return _cell_by_cell(python_objects(column.to_arrow()), spec)
    if column.dtype not in _TEXTS:
        return _mistyped(column, spec)
    texts = column.cast(pl.String)
    reasons = [None if text is None else fault_in_json(text) for text in texts]
    checked = Checked(texts)
    for reason in dict.fromkeys(one for one in reasons if one is not None):
        checked.refuse(pl.Series([one == reason for one in reasons]), reason)
    return checked


def _nulled(column: pl.Series | Objects, spec: ColumnSpec) -> pl.Series | Objects:
    """Cells of which an empty text is NULL, unless the column holds texts."""
    if spec.kind == "text":
        return column
    if isinstance(column, list):
        return [None if isinstance(cell, str) and not cell else cell for cell in column]
    return texts.without_blanks(column) if column.dtype == pl.String else column


def read_cells(column: pl.Series, spec: ColumnSpec, options: ReadOptions) -> Checked:
    """Check and convert a column of which texts are parsed, as a CSV file has them."""
    textual = column.dtype in _TEXTS
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
    if column.dtype in _TEXTS:
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


def _mixed(objects: Objects, spec: ColumnSpec, options: ReadOptions) -> Checked:
    """Check Python objects of which texts are parsed, and naive times belong to a zone."""
    if spec.kind in ("text", "json"):
        return _cell_by_cell(objects, spec)
    is_text = pl.Series([isinstance(cell, str) for cell in objects], dtype=pl.Boolean)
    others = [None if isinstance(cell, str) else cell for cell in objects]
    checked = _cell_by_cell(others, spec)
    written = [cell if isinstance(cell, str) and is_unicode(cell) else None for cell in objects]
    parsed = read_cells(pl.Series(spec.name, written, dtype=pl.String), spec, options)
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
