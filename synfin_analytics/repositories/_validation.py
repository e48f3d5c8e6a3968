"""Validate values before PostgreSQL does, and translate its errors where it rejects them."""

from __future__ import annotations

import contextlib
import math
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.errors
from psycopg2 import errorcodes
from sqlalchemy import (
    Constraint,
    ForeignKeyConstraint,
    MetaData,
    Table,
    Text,
    cast,
    exists,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from synfin_analytics._core.arguments import check_integer, format_value
from synfin_analytics._core.validation.outcome import HIDDEN, to_text
from synfin_analytics._core.validation.rules import rule_of
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.database.connection import message_of
from synfin_analytics.database.grants import advise_privileges
from synfin_analytics.database.models import Base, ModelPrediction
from synfin_analytics.exceptions import (
    ArgumentError,
    DatabaseConnectionError,
    InvalidDataError,
    NotFoundError,
    Problem,
    QueryError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.orm import Session

    from synfin_analytics._core.validation.spec import ColumnSpec, TableSpec
    from synfin_analytics.exceptions import SynfinError


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
        displayed = HIDDEN if column.personal else to_text([value])[0]
        return None, f"{reason}; got {displayed}"
    converted = validated.cells[0]
    if column.kind == "json" and converted is not None:
        # As text, since JSON numbers may have more digits than Python's floats.
        converted = cast(literal(converted, Text), JSONB)
    return converted, None


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


# -- Models ----------------------------------------------------------------------------------------


def is_model(model: object) -> bool:
    """Whether this is a name and a version."""
    return (
        isinstance(model, tuple | list)
        and len(model) == 2
        and all(isinstance(part, str) for part in model)
    )


def check_model_exists(session: Session, model_name: str, model_version: str) -> None:
    """Check that there are predictions of a model."""
    prediction = exists().where(
        ModelPrediction.model_name == model_name, ModelPrediction.model_version == model_version
    )
    if not session.scalar(select(prediction)):
        raise no_predictions(session, model_name, model_version)


def no_predictions(session: Session, model_name: str, model_version: str) -> SynfinError:
    """Return the error if there is no prediction of a model."""
    versions = select(ModelPrediction.model_name, ModelPrediction.model_version).distinct()
    models = [f"{name} {version}" for name, version in session.execute(versions)]
    model = f"{model_name} {model_version}"
    if model in models:
        return ArgumentError(
            f"There is no prediction of {model} within this range of dates (or, where models "
            "are compared, for the same labelled transactions)."
        )
    return NotFoundError("model", model, models or ["none"], location="'model_predictions'")


# -- Errors of PostgreSQL: with the column, without the value --------------------------------------


@contextlib.contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """Run the block completely or not at all, with errors of ours; the session stays usable."""
    with translate_errors(), session.begin_nested():
        yield


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Translate errors of the database, whose own messages contain the rejected row."""
    try:
        yield
    except PendingRollbackError:
        raise QueryError(
            "An earlier error has aborted the session's transaction. Call session.rollback()."
        ) from None
    except DBAPIError as error:
        raise _translate(error) from None


def _translate(error: DBAPIError) -> SynfinError:
    cause = error.orig
    if error.connection_invalidated:
        return DatabaseConnectionError(
            "The connection to the database was lost. Uncommitted changes are rolled back. Roll "
            "the session back and run it again."
        )
    if not isinstance(cause, psycopg2.Error) or not message_of(cause):
        return QueryError(f"The driver cannot run this statement ({type(cause).__name__}).")
    if not isinstance(cause, psycopg2.IntegrityError):
        return QueryError(
            f"PostgreSQL rejects the statement: {message_of(cause)}.{_advice(error, cause)}"
        )
    table, name = cause.diag.table_name or "", cause.diag.constraint_name or ""
    mapped = Base.metadata.tables.get(table, Table(table, MetaData()))
    constraint = next((item for item in mapped.constraints if item.name == name), None)
    columns = _columns_of(mapped, constraint, name) or cause.diag.column_name or name
    match cause.pgcode:
        case errorcodes.UNIQUE_VIOLATION:
            reason = "another row already has this key"
        case errorcodes.NOT_NULL_VIOLATION:
            reason = "is required but missing"
        case errorcodes.CHECK_VIOLATION:
            rule = rule_of(mapped.columns[columns]) if columns in mapped.columns else None
            reason = "must be " + str(rule or "valid for the table's constraint")
        case errorcodes.FOREIGN_KEY_VIOLATION:
            parent = "another table"
            if isinstance(constraint, ForeignKeyConstraint):
                parent = constraint.referred_table.name
            if (cause.diag.message_primary or "").startswith(("update or delete", "delete")):
                return ArgumentError(
                    f"Rows of {table!r} refer to this row of {parent!r}; delete them first."
                )
            reason = f"names no row of {parent!r}; create that row first"
        case _:
            reason = f"is rejected by the database ({cause.pgcode})"
    return InvalidDataError(table, [Problem(columns, reason, 1)])


def _advice(error: DBAPIError, cause: psycopg2.Error) -> str:
    is_query = (error.statement or "").lstrip().startswith(("SELECT", "WITH"))
    if is_query and isinstance(cause, psycopg2.errors.InsufficientPrivilege):
        return f" {advise_privileges(cause)}."
    return ""


def _columns_of(table: Table, constraint: Constraint | None, name: str) -> str:
    """Names of the columns of a constraint; a rule of one column has the name of that column."""
    if isinstance(constraint, ColumnCollectionConstraint) and len(constraint.columns):
        return ", ".join(column.name for column in constraint.columns)
    column = name.removeprefix(f"ck_{table.name}_")
    return column if column in table.columns else ""
