"""JSON that PostgreSQL's jsonb takes: a little less than JSON itself."""

from __future__ import annotations

import json
import math
import numbers
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np

HAS_NUL = "has a NUL character, which PostgreSQL cannot store"
NOT_UNICODE = "is not valid Unicode text (a lone surrogate)"
HAS_KEY_TWICE = "has a key twice"

#: PostgreSQL's numeric, of which jsonb makes its numbers, ends here.
_LARGEST_EXPONENT = 131_071
#: Python reads no integer of more digits.
_MOST_DIGITS = 4_300
_DEEPEST_JSON = 200


class UnstorableError(Exception):
    """Why a value, or valid JSON, has no place in jsonb."""


def json_text(value: Any) -> str:
    """Write Python objects as JSON that says exactly the same.

    Parameters
    ----------
    value
        Of dicts with texts as keys, lists, tuples, NumPy arrays, texts, numbers, booleans, None.

    Raises
    ------
    UnstorableError
        Something in it has no equal in JSON, or none that PostgreSQL stores.

    Examples
    --------
    >>> json_text({"a": 1, "b": [0.5, None, True]})
    '{"a": 1, "b": [0.5, null, true]}'
    """
    try:
        return _written(value, 0)
    except RecursionError:
        raise UnstorableError(f"is nested deeper than {_DEEPEST_JSON} levels") from None


def _written(value: Any, depth: int) -> str:
    if depth > _DEEPEST_JSON:
        raise UnstorableError(f"is nested deeper than {_DEEPEST_JSON} levels")
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(value)
    if isinstance(value, dict):
        pairs = (f"{_key(key)}: {_written(inner, depth + 1)}" for key, inner in value.items())
        return "{" + ", ".join(pairs) + "}"
    if type(value) in (list, tuple):  # a named tuple is a type of its own
        return "[" + ", ".join(_written(inner, depth + 1) for inner in value) + "]"
    return _leaf(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise UnstorableError(f"has a key of type {type(key).__name__}, where JSON has texts")
    return _text(key)


def _leaf(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return _text(value)
        case bool() | np.bool_():
            return "true" if value else "false"
        case Decimal():
            return _decimal(value)
        case numbers.Integral():
            return _integer(int(value))
        case float() | np.floating():
            return _float(value)
    raise UnstorableError(f"has a value of type {type(value).__name__}, which JSON does not know")


def _text(text: str) -> str:
    fault = fault_in_text(text)
    if fault is not None:
        raise UnstorableError(fault)
    return json.dumps(str.__str__(text), ensure_ascii=False)


def _integer(number: int) -> str:
    if number.bit_length() > _MOST_DIGITS * 3:  # a digit is a little more than three bits
        raise UnstorableError("has a number out of range")
    return str(number)


def _float(number: Any) -> str:
    double = float(number)
    if not math.isfinite(double):
        raise UnstorableError(f"has {_NAMES.get(str(double), 'NaN')}, which JSON does not know")
    if double != number:  # NumPy's long double
        raise UnstorableError("has a number with more digits than a double can hold")
    text = repr(double)
    # jsonb writes exponents out: with decimals, a double stays one.
    return f"{Decimal(text):f}.0" if "e+" in text else text


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _decimal(number: Decimal) -> str:
    if not number.is_finite():
        raise UnstorableError("has NaN or Infinity, which JSON does not know")
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise UnstorableError("has a number out of range")
    return f"{number:f}"


def fault_in_text(text: str) -> str | None:
    """Why PostgreSQL cannot store a text; None if it can."""
    if "\0" in text:
        return HAS_NUL
    return None if is_unicode(text) else NOT_UNICODE


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which neither Arrow nor PostgreSQL holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fault_in_json(text: str) -> str | None:
    """Why PostgreSQL's jsonb would refuse ``text``, or change it; None if it takes it."""
    try:
        depth = _walk(
            json.loads(
                text,
                parse_constant=_no_constant,
                parse_float=_bounded,
                parse_int=_bounded,
                object_pairs_hook=_unique,
            )
        )
    except RecursionError:
        depth = _DEEPEST_JSON + 1
    except UnstorableError as error:
        return str(error)
    except ValueError:
        return "is not valid JSON"
    return None if depth <= _DEEPEST_JSON else f"is nested deeper than {_DEEPEST_JSON} levels"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # jsonb would keep the last of them
        raise UnstorableError(HAS_KEY_TWICE)
    return found


def _no_constant(name: str) -> NoReturn:
    raise UnstorableError(f"has {name}, which JSON does not know")


def _bounded(text: str) -> None:
    number = Decimal(text)
    whole = "." not in text and "e" not in text.lower()
    most = _MOST_DIGITS if whole else _LARGEST_EXPONENT // 8
    if number and abs(number.adjusted()) >= most:
        raise UnstorableError("has a number out of range")


def _walk(value: object) -> int:
    """Depth of a parsed JSON; refuses texts that PostgreSQL cannot store."""
    match value:
        case str():
            fault = fault_in_text(value)
            if fault is not None:
                raise UnstorableError(fault)
            return 0
        case dict():
            for key in value:
                _walk(key)
            return 1 + max(map(_walk, value.values()), default=0)
        case list():
            return 1 + max(map(_walk, value), default=0)
    return 0
