"""What a query returns, column by column, and how each one travels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from synfin_analytics.exceptions import QueryError
from synfin_analytics.io.read._decode_types import (
    DECODERS,
    DIGITS_OF_DOUBLE,
    DIGITS_OF_INT64,
    decimal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import Column as Description

    from synfin_analytics.io.read._decode import Decoder

NUMERIC = 1700
_TEXT, _DOUBLE, _INET, _DOUBLE_ARRAY, _NUMERIC_ARRAY = 25, 701, 869, 1022, 1231
_DIGITS_OF_DECIMAL128 = 38
_MOST_DIGITS = 76  # of decimal256


@dataclass(frozen=True, slots=True)
class Plan:
    """How one column of the result is sent and decoded."""

    name: str
    decoder: Decoder
    #: SQL around the column when the server is to convert it; empty when it need not.
    cast: str = ""
    #: An exact number that comes as text, for its digits are not known beforehand.
    exact_text: bool = False
    #: Precision and scale, where the text is of a numeric(p, s).
    digits: tuple[int, int] | None = None


def plans_of(description: Sequence[Description], *, use_decimal: bool) -> list[Plan]:
    """Plan of each column that the server describes."""
    if not description:
        raise QueryError("The query returns no columns, and a frame has at least one.")
    names = Counter(column.name for column in description)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise QueryError(
            f"The query returns several columns of the name {', '.join(map(repr, twice))}, and a "
            "frame has each name once: name the columns that you need, with AS."
        )
    return [_plan(column, use_decimal=use_decimal) for column in description]


def _plan(column: Description, *, use_decimal: bool) -> Plan:
    name = column.name
    if column.type_code == NUMERIC:
        return _numeric_plan(column, use_decimal=use_decimal)
    if column.type_code in DECODERS:
        return Plan(name, DECODERS[column.type_code])
    if column.type_code == _NUMERIC_ARRAY and not use_decimal:
        return Plan(name, DECODERS[_DOUBLE_ARRAY], "{}::double precision[]")
    # The text form that PostgreSQL shows, also of enums, ranges, rows and types of extensions.
    cast = "abbrev({})" if column.type_code == _INET else "{}::text"
    return Plan(name, DECODERS[_TEXT], cast)


def _numeric_plan(column: Description, *, use_decimal: bool) -> Plan:
    precision, scale = column.precision, column.scale
    # Since PostgreSQL 15 a scale may be negative or above the precision; those are rare.
    known = precision is not None and scale is not None and 0 <= scale <= precision
    if known and precision <= (DIGITS_OF_INT64 if use_decimal else DIGITS_OF_DOUBLE):
        return Plan(column.name, decimal(precision, scale, use_decimal=use_decimal))
    if not use_decimal:
        return Plan(column.name, DECODERS[_DOUBLE], "{}::double precision")
    digits = (precision, scale) if known and precision <= _MOST_DIGITS else None
    return Plan(column.name, DECODERS[_TEXT], "{}::text", exact_text=True, digits=digits)


def exact_type(plan: Plan, pieces: list[pa.Array]) -> pa.DataType:
    """Decimal type that holds all of these numbers, which are texts."""
    if any(pc.any(pc.match_substring_regex(piece, "[a-zA-Z]")).as_py() for piece in pieces):
        raise QueryError(
            f"Column {plan.name!r} has NaN or infinity, which an exact Decimal column cannot "
            "hold. Read it with use_decimal=False, or replace it with NULLIF(…, 'NaN')."
        )
    if plan.digits is not None:
        precision, scale = plan.digits
        kind = pa.decimal128 if precision <= _DIGITS_OF_DECIMAL128 else pa.decimal256
        return kind(precision, scale)
    whole = scale = 0
    for piece in pieces:
        numbers = pc.extract_regex(piece, r"^-?(?P<whole>\d+)\.?(?P<fraction>\d*)$")
        whole = max(whole, _longest(pc.struct_field(numbers, "whole")))
        scale = max(scale, _longest(pc.struct_field(numbers, "fraction")))
    if whole + scale <= _DIGITS_OF_DECIMAL128:
        return pa.decimal128(_DIGITS_OF_DECIMAL128, scale)
    if whole + scale <= _MOST_DIGITS:
        return pa.decimal256(_MOST_DIGITS, scale)
    raise QueryError(
        f"Column {plan.name!r} has numbers that need {whole + scale} digits, more than the "
        f"{_MOST_DIGITS} of a decimal column. Round them, as with {plan.name}::numeric(30, 8), "
        "or cast them to text."
    )


def _longest(texts: pa.Array) -> int:
    return pc.max(pc.utf8_length(texts)).as_py() or 0
