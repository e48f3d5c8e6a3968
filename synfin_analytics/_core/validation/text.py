"""Texts and JSON: Python objects and series."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.validation.columns import python_objects
from synfin_analytics._core.validation.json_text import (
    HAS_NUL,
    UnstorableError,
    json_error,
    text_error,
    to_json,
)
from synfin_analytics._core.validation.validated import (
    TEXT_TYPES,
    InvalidCellError,
    ValidatedColumn,
    is_integer,
    reject_all,
    validate_objects,
    wrong_type,
)

if TYPE_CHECKING:
    from synfin_analytics._core.validation.spec import ColumnSpec


def too_long(spec: ColumnSpec) -> str:
    """Reason: more characters than the column holds."""
    return f"is longer than {spec.length} characters"


def convert_text(value: Any, spec: ColumnSpec) -> str:
    """Convert one object to a text; an integer or a UUID is one, as an identifier."""
    if is_integer(value):
        value = _integer_to_text(int(value), spec)
    elif isinstance(value, uuid.UUID):
        value = str(value)
    if not isinstance(value, str):
        raise wrong_type(value, spec)
    # NumPy's texts and members of enumerations have their own __str__.
    text: str = str.__str__(value)
    reason = text_error(text)
    if reason is not None:
        raise InvalidCellError(reason)
    if spec.length is not None and len(text) > spec.length:
        raise InvalidCellError(too_long(spec))
    return text


def _integer_to_text(number: int, spec: ColumnSpec) -> str:
    try:
        return str(number)
    except ValueError:  # Python writes no more than some thousand digits
        reason = "has too many digits" if spec.length is None else too_long(spec)
        raise InvalidCellError(reason) from None


def convert_json(value: Any, spec: ColumnSpec) -> str:
    """Convert one object to JSON."""
    if isinstance(value, str):
        text = str.__str__(value)
        reason = text_error(text) or json_error(text)
    elif isinstance(value, (dict, list, tuple, np.ndarray)):
        try:
            text, reason = to_json(value), None
        except UnstorableError as error:
            reason = str(error)
    else:
        raise wrong_type(value, spec)
    if reason is not None:
        raise InvalidCellError(reason)
    return text


def validate_texts(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as texts."""
    if not (column.dtype in TEXT_TYPES or column.dtype.is_integer()):
        return reject_all(column, spec)
    validated = ValidatedColumn(column.cast(pl.String))
    validated.reject(validated.cells.str.contains("\0", literal=True), HAS_NUL)
    if spec.length is not None:
        longest = validated.cells.str.len_bytes().max()
        if isinstance(longest, int) and longest > spec.length:
            validated.reject(validated.cells.str.len_chars() > spec.length, too_long(spec))
    return validated


def validate_json(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as JSON."""
    if isinstance(column.dtype, (pl.Struct, pl.List, pl.Array, pl.Map)):
        return validate_objects(python_objects(column.to_arrow()), spec, convert_json)
    if column.dtype not in TEXT_TYPES:
        return reject_all(column, spec)
    texts = column.cast(pl.String)
    reasons = [None if text is None else json_error(text) for text in texts]
    validated = ValidatedColumn(texts)
    for reason in dict.fromkeys(reason for reason in reasons if reason is not None):
        validated.reject(pl.Series([other == reason for other in reasons]), reason)
    return validated
