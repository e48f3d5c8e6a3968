"""The validation of a column: a whole column at a time, or cell by cell where its types differ."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.validation import numeric, temporal, text
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.outcome import (
    TEXT_TYPES,
    ValidatedColumn,
    validate_objects,
)
from synfin_analytics._core.validation.rules import Matches, OneOf, Range
from synfin_analytics._core.validation.text import NOT_UNICODE, is_unicode

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.validation.columns import Column, Objects
    from synfin_analytics._core.validation.spec import ColumnSpec, Kind

    SeriesValidator = Callable[[pl.Series, ColumnSpec], ValidatedColumn]
    CellConverter = Callable[[Any, ColumnSpec], Any]

#: For each kind of column, what validates a series, and what converts one Python object.
_VALIDATORS: dict[Kind, tuple[SeriesValidator, CellConverter]] = {
    "text": (text.validate_texts, text.convert_text),
    "integer": (numeric.validate_integers, numeric.convert_integer),
    "number": (numeric.validate_doubles, numeric.convert_double),
    "decimal": (numeric.validate_decimals, numeric.convert_decimal),
    "boolean": (numeric.validate_booleans, numeric.convert_boolean),
    "timestamp": (temporal.validate_timestamps, temporal.convert_timestamp),
    "date": (temporal.validate_dates, temporal.convert_date),
    "json": (text.validate_json, text.convert_json),
}


def validate_column(
    column: Column, spec: ColumnSpec, *, options: ReadOptions | None = None
) -> ValidatedColumn:
    """Validate one column of a batch, and convert it to the type of the table.

    Parameters
    ----------
    column
        The cells: a series, or Python objects where they have no common type.
    spec
        What the column of the table accepts.
    options
        How to parse texts, such as those of a CSV file; without options a text is not a number.
    """
    require_thread_pool()
    validate_series, convert_cell = _VALIDATORS[spec.kind]
    if isinstance(column, tuple):
        return _join([validate_column(part, spec, options=options) for part in column])
    if options is not None:
        column = _nullify_empty_texts(column, spec)
    if isinstance(column, list):
        has_texts = spec.kind in ("timestamp", "date") and any(
            isinstance(cell, str) for cell in column
        )
        if options is not None or has_texts:
            validated = _parse_objects(column, spec, options or ReadOptions())
        else:
            validated = validate_objects(column, spec, convert_cell)
    elif column.dtype == pl.Null:
        validated = ValidatedColumn(column.cast(spec.dtype))
    elif options is not None:
        validated = parse_series(column, spec, options)
    else:
        validated = validate_series(column, spec)
    if spec.required:
        missing = validated.cells.is_null()
        for mask, _ in validated.errors:
            missing &= ~mask
        if missing.any():
            validated.errors.append((missing, "is required but missing"))
    _apply_rule(validated, spec)
    return validated


def parse_series(column: pl.Series, spec: ColumnSpec, options: ReadOptions) -> ValidatedColumn:
    """Validate a column whose texts are parsed, as those of a CSV file."""
    if spec.kind == "timestamp":
        return temporal.parse_timestamps(column, spec, options)
    if column.dtype in TEXT_TYPES:
        texts = column.cast(pl.String)
        if spec.kind == "boolean":
            return numeric.parse_booleans(texts, spec, options)
        if spec.kind in ("integer", "number", "decimal"):
            return numeric.parse_numbers(texts, spec, options)
        if spec.kind == "date" and options.date_format:
            return temporal.parse_dates(texts, options.date_format)
    return _VALIDATORS[spec.kind][0](column, spec)


def empty_as_null(texts: pl.Series) -> pl.Series:
    """Replace empty texts by NULL: a number, a date or a label cannot be empty."""
    return texts.set((texts.str.len_bytes() == 0).fill_null(False), None)


def closed_set_reason(spec: ColumnSpec) -> str | None:
    """Return the reason against a text outside the closed set of a column, if it has one."""
    return f"must be {spec.rule}" if isinstance(spec.rule, OneOf) else None


def _apply_rule(validated: ValidatedColumn, spec: ColumnSpec) -> None:
    values, reason = validated.cells, f"must be {spec.rule}"
    match spec.rule:
        case OneOf(allowed):
            validated.reject(~values.is_in(list(allowed)), reason)
        case Matches(pattern):
            validated.reject(~values.str.contains(pattern), reason)
        case Range(low, high, above):
            numbers = values.cast(pl.Float64) if spec.kind == "decimal" else values
            outside = numbers < (-math.inf if low is None else low)
            if high is not None:
                outside |= numbers > high
            if above is not None:
                outside |= numbers <= above
            validated.reject(outside, reason)


def _nullify_empty_texts(column: pl.Series | Objects, spec: ColumnSpec) -> pl.Series | Objects:
    """Replace empty texts by NULL, unless the column holds texts."""
    if spec.kind == "text":
        return column
    if isinstance(column, list):
        return [None if isinstance(cell, str) and not cell else cell for cell in column]
    return empty_as_null(column) if column.dtype == pl.String else column


def _parse_objects(objects: Objects, spec: ColumnSpec, options: ReadOptions) -> ValidatedColumn:
    """Validate Python objects of which texts are parsed, and naive timestamps have a time zone."""
    convert_cell = _VALIDATORS[spec.kind][1]
    if spec.kind in ("text", "json"):
        return validate_objects(objects, spec, convert_cell)
    is_text = pl.Series([isinstance(cell, str) for cell in objects], dtype=pl.Boolean)
    typed = [None if isinstance(cell, str) else cell for cell in objects]
    validated = validate_objects(typed, spec, convert_cell)
    texts = [cell if isinstance(cell, str) and is_unicode(cell) else None for cell in objects]
    parsed = parse_series(pl.Series(spec.name, texts, dtype=pl.String), spec, options)
    not_unicode = is_text & pl.Series([cell is None for cell in texts], dtype=pl.Boolean)
    if options.timezone and spec.kind == "timestamp":
        is_naive = [
            isinstance(cell, dt.date) and getattr(cell, "tzinfo", None) is None for cell in typed
        ]
        temporal.localise(validated, pl.Series(is_naive, dtype=pl.Boolean), options.timezone)
    values = parsed.cells.cast(spec.dtype).zip_with(is_text, validated.cells.cast(spec.dtype))
    merged = ValidatedColumn(values, [*validated.errors, *parsed.errors])
    return merged.reject(not_unicode, NOT_UNICODE)


def _join(parts: list[ValidatedColumn]) -> ValidatedColumn:
    """Join pieces of one column, each validated in its own type."""
    cells = pl.concat([part.cells.alias("") for part in parts])
    rows = pl.int_range(len(cells), eager=True)
    invalid: dict[str, list[pl.Series]] = {}
    start = 0
    for part in parts:
        for mask, reason in part.errors:
            invalid.setdefault(reason, []).append(rows.slice(start, len(mask)).filter(mask))
        start += len(part.cells)
    masks = {reason: rows.is_in(pl.concat(groups).implode()) for reason, groups in invalid.items()}
    return ValidatedColumn(cells, [(mask, reason) for reason, mask in masks.items()])
