"""JSON that PostgreSQL's jsonb takes: a little less than JSON itself."""

from __future__ import annotations

import json
from decimal import Decimal

HAS_NUL = "has a NUL character, which PostgreSQL cannot store"
NOT_UNICODE = "is not valid Unicode text (a lone surrogate)"

#: PostgreSQL's numeric, of which jsonb makes its numbers, ends here.
_LARGEST_EXPONENT = 131_071
_DEEPEST_JSON = 200


def fault_in_json(text: str) -> str | None:
    """Why PostgreSQL's jsonb would refuse ``text``; None if it takes it."""
    try:
        depth = _walk(json.loads(text, parse_constant=_no_constant, parse_float=_bounded))
    except RecursionError:
        depth = _DEEPEST_JSON + 1
    except _UnstorableError as error:
        return str(error)
    except ValueError:
        return "is not valid JSON"
    return None if depth <= _DEEPEST_JSON else f"is nested deeper than {_DEEPEST_JSON} levels"


class _UnstorableError(Exception):
    """Valid JSON that jsonb has no place for."""


def _no_constant(name: str) -> None:
    raise _UnstorableError(f"has {name}, which JSON does not know")


def _bounded(text: str) -> float:
    number = Decimal(text)
    if number and abs(number.adjusted()) > _LARGEST_EXPONENT // 8:
        raise _UnstorableError("has a number out of range")
    return float(number)


def _walk(value: object) -> int:
    """Depth of a parsed JSON; refuses texts that PostgreSQL cannot store."""
    match value:
        case str():
            if "\0" in value:
                raise _UnstorableError(HAS_NUL)
            if any("\ud800" <= char <= "\udfff" for char in value):
                raise _UnstorableError(NOT_UNICODE)
            return 0
        case dict():
            for key in value:
                _walk(key)
            return 1 + max(map(_walk, value.values()), default=0)
        case list():
            return 1 + max(map(_walk, value), default=0)
    return 0
