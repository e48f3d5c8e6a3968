"""What PostgreSQL refuses, in words: the constraint becomes its column, the value stays out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy import Column, ForeignKeyConstraint, Table
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from synfin_analytics._core.validation.rules import rule_of
from synfin_analytics.database.connection import message_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import (
    ArgumentError,
    DatabaseConnectionError,
    InvalidDataError,
    Problem,
    QueryError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from synfin_analytics.exceptions import SynfinError


@contextlib.contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """Do all of the block, or nothing of it with one error of ours; the session goes on."""
    with told(), session.begin_nested():
        yield


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Say in words what the database refuses.

    What it says itself has the refused row in it: that is not passed on.
    """
    try:
        yield
    except PendingRollbackError:
        raise QueryError(
            "An error before this broke the session's transaction off: call session.rollback()."
        ) from None
    except DBAPIError as error:
        raise _in_words(error) from None


def _in_words(error: DBAPIError) -> SynfinError:
    cause = error.orig
    if error.connection_invalidated:
        return DatabaseConnectionError(
            "The connection to the database was lost. What was not committed is rolled back. Roll "
            "the session back and run it again."
        )
    if not isinstance(cause, psycopg2.Error) or not message_of(cause):
        return QueryError(f"The driver cannot run this statement ({type(cause).__name__}).")
    if not isinstance(cause, psycopg2.IntegrityError):
        return QueryError(f"PostgreSQL refuses the statement: {message_of(cause)}.")
    name = cause.diag.constraint_name or ""
    table = cause.diag.table_name or ""
    columns = _columns_of(table, name) or cause.diag.column_name or name
    match cause.pgcode:
        case errorcodes.UNIQUE_VIOLATION:
            reason = "another row has this key already"
        case errorcodes.NOT_NULL_VIOLATION:
            reason = "is required but missing"
        case errorcodes.CHECK_VIOLATION:
            reason = f"must be {_rule_of(table, columns)}"
        case errorcodes.FOREIGN_KEY_VIOLATION:
            parent = _parent_of(table, name)
            if (cause.diag.message_primary or "").startswith(("update or delete", "delete")):
                return ArgumentError(
                    f"Rows of {table!r} refer to this row of {parent!r}: delete those first, or "
                    "keep it."
                )
            reason = f"names no row of {parent!r}: create that first"
        case _:
            reason = f"is refused by the database ({cause.pgcode})"
    return InvalidDataError(table, [Problem(columns, reason, 1)])


def _columns_of(table: str, constraint: str) -> str:
    for one in _constraints(table):
        if one.name == constraint and len(one.columns):
            return ", ".join(column.name for column in one.columns)
    column = constraint.removeprefix(f"ck_{table}_")
    return column if column in {one.name for one in _columns(table)} else ""


def _rule_of(table: str, column: str) -> str:
    rules = {one.name: rule_of(one) for one in _columns(table)}
    return str(rules.get(column) or "as the table's rule says")


def _parent_of(table: str, constraint: str) -> str:
    parents = {
        one.name: next(iter(one.elements)).column.table.name
        for one in _constraints(table)
        if isinstance(one, ForeignKeyConstraint)
    }
    return parents.get(constraint, "another table")


def _constraints(table: str) -> list[ColumnCollectionConstraint]:
    mapped = TABLES[table].__table__ if table in TABLES else None
    if not isinstance(mapped, Table):
        return []
    return [one for one in mapped.constraints if isinstance(one, ColumnCollectionConstraint)]


def _columns(table: str) -> list[Column[Any]]:
    mapped = TABLES[table].__table__ if table in TABLES else None
    return list(mapped.columns) if isinstance(mapped, Table) else []
