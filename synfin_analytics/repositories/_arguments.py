"""Arguments of repositories: values of columns, amounts, and limits."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double, Text, cast, func, literal
from sqlalchemy.dialects.postgresql import JSONB

from synfin_analytics._core.arguments import check_integer, format_value
from synfin_analytics._core.validation.outcome import HIDDEN, to_text
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


def convert_row(values: Mapping[str, object], spec: TableSpec, *, complete: bool) -> dict[str, Any]:
    """Validate the values of one row as the loader does, and convert them to the table's types.

    Parameters
    ----------
    values
        Values by column name.
    spec
        The table.
    complete
        Whether it is a new row, which needs every required column.

    Raises
    ------
    NotFoundError
        The table has no such column.
    InvalidDataError
        The table does not accept some values; the error has all of them.
    """
    for name in values:
        if name not in spec.columns:
            raise NotFoundError("column", name, spec.columns, location=repr(spec.name))
    problems = [
        Problem(column.name, "is required but missing", 1)
        for column in spec.columns.values()
        if complete and column.required and column.name not in values
    ]
    row = {}
    for name, value in values.items():
        converted, reason = _convert(value, spec.columns[name])
        if reason is not None:
            problems.append(Problem(name, reason, 1))
        if converted is not None or not spec.columns[name].defaulted:
            row[name] = converted  # otherwise the database sets or keeps it
    if problems:
        raise InvalidDataError(spec.name, problems)
    return row


def convert_value(value: object, column: ColumnSpec) -> Any:
    """Convert a value to compare a column with: 1001 becomes "1001" for a text column.

    Raises
    ------
    ArgumentError
        The column cannot have this value.
    """
    converted, reason = _convert(value, column)
    if reason is not None or converted is None:
        raise ArgumentError(f"{column.name} {reason or 'is NULL, which equals no value'}.")
    return converted


def _convert(value: object, column: ColumnSpec) -> tuple[Any, str | None]:
    """Convert a value to the column's type, or return the reason why that is impossible."""
    validated = validate_column([value], column)
    for _, reason in validated.errors:
        shown = HIDDEN if column.personal else to_text([value])[0]
        return None, f"{reason}; got {shown}"
    converted = validated.cells[0]
    if column.kind == "json" and converted is not None:
        # As text, since JSON numbers may have more digits than Python's floats.
        converted = cast(literal(converted, Text), JSONB)
    return converted, None


def sum_money(column: InstrumentedAttribute[Decimal], where: ColumnElement[bool]) -> Any:
    """Sum of money as a double; 0 for no rows.

    It is exact in any order, and takes half the time of a sum of NUMERIC: a double holds the number
    of cents of any amount, and their sum below 2**53. The cast goes through an integer because
    PostgreSQL converts NUMERIC to double through its text.
    """
    return func.coalesce(func.sum(in_minor_units(column)).filter(where) / minor_units(column), 0.0)


def in_minor_units(column: InstrumentedAttribute[Decimal]) -> ColumnElement[float]:
    """Money in cents, as a double; see :func:`sum_money`."""
    return cast(cast(column * int(minor_units(column)), BigInteger), Double)


def minor_units(column: InstrumentedAttribute[Decimal]) -> float:
    """Return the number of minor units in one unit: 100, for cents."""
    return float(10**column.type.scale)  # of NUMERIC(p, s)


def check_page(limit: object, offset: object) -> tuple[int | None, int]:
    """Check the maximum number of rows and the number of rows to skip."""
    rows = None if limit is None else check_integer(limit, "limit", must_be="a number of rows")
    return rows, check_integer(offset, "offset", must_be="a number of rows")


def check_amount(value: object, name: str) -> Decimal | None:
    """Check an amount to compare a column with."""
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not math.isfinite(amount) or amount < 0:
        raise ArgumentError(f"`{name}` must be an amount of at least 0; got {format_value(value)}.")
    return amount
