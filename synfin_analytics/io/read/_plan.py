"""How each column of a query's result is sent and decoded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from synfin_analytics.exceptions import QueryError
from synfin_analytics.io.read._decode import (
    DECODERS,
    DOUBLE_DIGITS,
    INT64_DIGITS,
    numeric_decoder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import Column as Description

    from synfin_analytics.io.read._decode import Decoder

NUMERIC = 1700
_TEXT, _DOUBLE, _INET, _DOUBLE_ARRAY, _NUMERIC_ARRAY = 25, 701, 869, 1022, 1231
_DECIMAL128_DIGITS = 38
_DECIMAL256_DIGITS = 76


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of one column of the result."""

    name: str
    decoder: Decoder
    #: SQL around the column if the server converts it, else empty.
    cast: str = ""
    #: Whether it is a decimal that is sent as text, since its number of digits is not known.
    decimal_as_text: bool = False
    #: Precision and scale, if the text is of a numeric(p, s).
    digits: tuple[int, int] | None = None


def plan_columns(description: Sequence[Description], *, use_decimal: bool) -> list[Plan]:
    """Plan each column that the server describes.

    Raises
    ------
    QueryError
        There is no column, or several have the same name.
    """
    if not description:
        raise QueryError("The query returns no columns; a DataFrame needs at least one.")
    names = Counter(column.name for column in description)
    duplicates = [name for name, count in names.items() if count > 1]
    if duplicates:
        raise QueryError(
            f"The query returns several columns named {', '.join(map(repr, duplicates))}; the "
            "names in a DataFrame are unique. Select the columns that you need, and rename them "
            "with AS."
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
    # PostgreSQL's text form, also of enums, ranges, rows and types of extensions.
    cast = "abbrev({})" if column.type_code == _INET else "{}::text"
    return Plan(name, DECODERS[_TEXT], cast)


def _numeric_plan(column: Description, *, use_decimal: bool) -> Plan:
    precision, scale = column.precision, column.scale
    # Since PostgreSQL 15 a scale may be negative or greater than the precision; this is rare.
    is_usual = precision is not None and scale is not None and 0 <= scale <= precision
    if is_usual and precision <= (INT64_DIGITS if use_decimal else DOUBLE_DIGITS):
        return Plan(column.name, numeric_decoder(precision, scale, use_decimal=use_decimal))
    if not use_decimal:
        return Plan(column.name, DECODERS[_DOUBLE], "{}::double precision")
    digits = (precision, scale) if is_usual and precision <= _DECIMAL256_DIGITS else None
    return Plan(column.name, DECODERS[_TEXT], "{}::text", decimal_as_text=True, digits=digits)


def decimal_type(plan: Plan, pieces: list[pa.Array]) -> pa.DataType:
    """Return the decimal type that can represent all of these numbers, which are texts.

    Raises
    ------
    QueryError
        A number is NaN or infinity, or needs too many digits.
    """
    if any(pc.any(pc.match_substring_regex(piece, "[a-zA-Z]")).as_py() for piece in pieces):
        raise QueryError(
            f"Column {plan.name!r} has NaN or infinity, which a decimal cannot represent. Read it "
            "with use_decimal=False, or replace it with NULLIF(…, 'NaN')."
        )
    if plan.digits is not None:
        precision, scale = plan.digits
        make_type = pa.decimal128 if precision <= _DECIMAL128_DIGITS else pa.decimal256
        return make_type(precision, scale)
    integral = scale = 0
    for piece in pieces:
        numbers = pc.extract_regex(piece, r"^-?(?P<integral>\d+)\.?(?P<fraction>\d*)$")
        integral = max(integral, _max_length(pc.struct_field(numbers, "integral")))
        scale = max(scale, _max_length(pc.struct_field(numbers, "fraction")))
    if integral + scale <= _DECIMAL128_DIGITS:
        return pa.decimal128(_DECIMAL128_DIGITS, scale)
    if integral + scale <= _DECIMAL256_DIGITS:
        return pa.decimal256(_DECIMAL256_DIGITS, scale)
    raise QueryError(
        f"Column {plan.name!r} has numbers that need {integral + scale} digits; a decimal has at "
        f"most {_DECIMAL256_DIGITS}. Round them, for example with {plan.name}::numeric(30, 8), or "
        "cast them to text."
    )


def _max_length(texts: pa.Array) -> int:
    return pc.max(pc.utf8_length(texts)).as_py() or 0
