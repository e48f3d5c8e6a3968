"""Texts and JSON: Python objects and series; what PostgreSQL's text and jsonb accept."""

from __future__ import annotations

import json
import math
import numbers
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import polars as pl

from synfin_analytics._core.validation.columns import python_objects
from synfin_analytics._core.validation.outcome import (
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
    texts = column.cast(pl.String)
    validated = ValidatedColumn(texts).reject(texts.str.contains("\0", literal=True), HAS_NUL)
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
        validated.reject(pl.Series([row_reason == reason for row_reason in reasons]), reason)
    return validated


# -- JSON ----------------------------------------------------------------------------------------

HAS_NUL = "contains a NUL character, which PostgreSQL cannot store"
NOT_UNICODE = "is not valid Unicode text (a lone surrogate)"
REPEATED_KEY = "has a repeated key"

#: Digits before the point in PostgreSQL's numeric, the type of numbers in jsonb.
_MAX_NUMERIC_DIGITS = 131_071
#: Digits of the longest integer that Python parses.
_MAX_DIGITS = 4_300
_MAX_DEPTH = 200


class UnstorableError(Exception):
    """Why jsonb cannot store a value or a valid JSON text."""


def to_json(value: Any) -> str:
    """Write Python objects as JSON with exactly the same values.

    Parameters
    ----------
    value
        Dicts with strings as keys, lists, tuples, NumPy arrays, strings, numbers, booleans, None.

    Raises
    ------
    UnstorableError
        JSON cannot represent some part of it, or PostgreSQL cannot store it.

    Examples
    --------
    >>> to_json({"a": 1, "b": [0.5, None, True]})
    '{"a": 1, "b": [0.5, null, true]}'
    """
    try:
        return _write(value, 0)
    except RecursionError:
        raise UnstorableError(f"is nested deeper than {_MAX_DEPTH} levels") from None


def _write(value: Any, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise UnstorableError(f"is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(value)
    if isinstance(value, dict):
        pairs = (f"{_key(key)}: {_write(inner, depth + 1)}" for key, inner in value.items())
        return "{" + ", ".join(pairs) + "}"
    if type(value) in (list, tuple):  # a named tuple is a type of its own
        return "[" + ", ".join(_write(inner, depth + 1) for inner in value) + "]"
    return _write_scalar(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise UnstorableError(f"has a key of type {type(key).__name__}; JSON keys are strings")
    return _write_text(key)


def _write_scalar(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return _write_text(value)
        case bool() | np.bool_():
            return "true" if value else "false"
        case Decimal():
            return _write_decimal(value)
        case numbers.Integral():
            return _write_integer(int(value))
        case float() | np.floating():
            return _write_float(value)
    raise UnstorableError(
        f"has a value of type {type(value).__name__}, which JSON cannot represent"
    )


def _write_text(text: str) -> str:
    reason = text_error(text)
    if reason is not None:
        raise UnstorableError(reason)
    return json.dumps(str.__str__(text), ensure_ascii=False)


def _write_integer(number: int) -> str:
    if number.bit_length() > _MAX_DIGITS * 3:  # a digit is a little more than three bits
        raise UnstorableError("has a number out of range")
    return str(number)


def _write_float(number: Any) -> str:
    double = float(number)
    if not math.isfinite(double):
        raise UnstorableError(f"has {_NAMES.get(str(double), 'NaN')}, which JSON cannot represent")
    if double != number:  # NumPy's long double
        raise UnstorableError("has a number with more digits than a double can hold")
    text = repr(double)
    # jsonb writes exponents out: with decimals, a double stays one.
    return f"{Decimal(text):f}.0" if "e+" in text else text


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _write_decimal(number: Decimal) -> str:
    if not number.is_finite():
        raise UnstorableError("has NaN or Infinity, which JSON cannot represent")
    if abs(number.adjusted()) > _MAX_DIGITS:
        raise UnstorableError("has a number out of range")
    return f"{number:f}"


def text_error(text: str) -> str | None:
    """Return why PostgreSQL cannot store a text; None if it can."""
    if "\0" in text:
        return HAS_NUL
    return None if is_unicode(text) else NOT_UNICODE


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogate, which neither Arrow nor PostgreSQL can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_error(text: str) -> str | None:
    """Return why PostgreSQL's jsonb would reject or change ``text``; None if it would not."""
    try:
        depth = _walk(
            json.loads(
                text,
                parse_constant=_reject_constant,
                parse_float=_check_range,
                parse_int=_check_range,
                object_pairs_hook=_reject_repeated_keys,
            )
        )
    except RecursionError:
        depth = _MAX_DEPTH + 1
    except UnstorableError as error:
        return str(error)
    except ValueError:
        return "is not valid JSON"
    return None if depth <= _MAX_DEPTH else f"is nested deeper than {_MAX_DEPTH} levels"


def _reject_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):  # jsonb would keep the last of them
        raise UnstorableError(REPEATED_KEY)
    return record


def _reject_constant(name: str) -> NoReturn:
    raise UnstorableError(f"has {name}, which JSON cannot represent")


def _check_range(text: str) -> None:
    number = Decimal(text)
    is_integer = "." not in text and "e" not in text.lower()
    limit = _MAX_DIGITS if is_integer else _MAX_NUMERIC_DIGITS // 8
    if number and abs(number.adjusted()) >= limit:
        raise UnstorableError("has a number out of range")


def _walk(value: object) -> int:
    """Return the depth of parsed JSON; reject texts that PostgreSQL cannot store."""
    match value:
        case str():
            reason = text_error(value)
            if reason is not None:
                raise UnstorableError(reason)
            return 0
        case dict():
            for key in value:
                _walk(key)
            return 1 + max(map(_walk, value.values()), default=0)
        case list():
            return 1 + max(map(_walk, value), default=0)
    return 0
