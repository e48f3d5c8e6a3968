"""Values from Python into columns, by the checks of the loader; and what queries are limited to."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double, Text, cast, func, literal
from sqlalchemy.dialects.postgresql import JSONB

from synfin_analytics._core.arguments import check_integer, format_value
from synfin_analytics._core.validation.errors import HIDDEN, to_text
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    NotFoundError,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute

    from synfin_analytics._core.validation.spec import ColumnSpec, TableSpec


def row_of(values: Mapping[str, Any], spec: TableSpec, *, whole: bool) -> dict[str, Any]:
    """Values of one row in the types of the table.

    Parameters
    ----------
    values
        By column name.
    spec
        The table.
    whole
        It is a new row: what the table requires must be there.

    Raises
    ------
    NotFoundError
        The table has no such column.
    InvalidDataError
        Values that the table does not accept, all of them.
    """
    for name in values:
        if name not in spec.columns:
            raise NotFoundError("column", name, spec.columns, where=repr(spec.name))
    problems = [
        Problem(column.name, "is required but missing", 1)
        for column in spec.columns.values()
        if whole and column.required and column.name not in values
    ]
    row = {}
    for name, value in values.items():
        converted, reason = _converted(value, spec.columns[name])
        if reason is not None:
            problems.append(Problem(name, reason, 1))
        if converted is not None or not spec.columns[name].defaulted:
            row[name] = converted  # else the database fills it in, or leaves it as it is
    if problems:
        raise InvalidDataError(spec.name, problems)
    return row


def value_of(value: Any, column: ColumnSpec) -> Any:
    """Value that a column is compared with, in the column's type (1001 for a text is "1001")."""
    converted, reason = _converted(value, column)
    if reason is not None or converted is None:
        raise ArgumentError(f"{column.name} {reason or 'is NULL, which nothing equals'}.")
    return converted


def _converted(value: Any, column: ColumnSpec) -> tuple[Any, str | None]:
    """Return the value in the column's type, or why it is none."""
    validated = validate_column([value], column)
    for _, reason in validated.errors:
        shown = HIDDEN if column.personal else to_text([value])[0]
        return None, f"{reason}; it is {shown}"
    converted = validated.cells[0]
    if column.kind == "json" and converted is not None:
        # As text: Python's numbers have fewer digits than those of JSON may have.
        converted = cast(literal(converted, Text), JSONB)
    return converted, None


def total(column: InstrumentedAttribute[Decimal], where: ColumnElement[bool]) -> Any:
    """Sum of money as a double, 0 of no rows; exact, and in half the time of a sum of NUMERIC.

    A double holds the count of cents of any amount, and their sum below 2**53, in any order. On
    the way there is an integer, for PostgreSQL makes a double of NUMERIC by writing its text.
    """
    return func.coalesce(func.sum(units(column)).filter(where) / unit(column), 0.0)


def units(column: InstrumentedAttribute[Decimal]) -> ColumnElement[float]:
    """Money in its smallest unit, cents, as a double; see :func:`total`."""
    return cast(cast(column * int(unit(column)), BigInteger), Double)


def unit(column: InstrumentedAttribute[Decimal]) -> float:
    """How many smallest units 1 is, 100 for cents."""
    return float(10**column.type.scale)  # of NUMERIC(p, s)


def window(limit: Any, offset: Any) -> tuple[int | None, int]:
    """Check how many rows are wanted, from which on."""
    rows = None if limit is None else check_integer(limit, "limit", must_be="a number of rows")
    return rows, check_integer(offset, "offset", must_be="a number of rows")


def money(value: Any, name: str) -> Decimal | None:
    """Check an amount that others are compared with."""
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not math.isfinite(amount) or amount < 0:
        raise ArgumentError(f"`{name}` must be an amount of at least 0; got {format_value(value)}.")
    return amount
