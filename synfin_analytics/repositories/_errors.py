"""Errors of PostgreSQL as errors of ours: with the column, without the value."""

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
        return QueryError(f"PostgreSQL rejects the statement: {message_of(cause)}.")
    name = cause.diag.constraint_name or ""
    table = cause.diag.table_name or ""
    columns = _columns_of(table, name) or cause.diag.column_name or name
    match cause.pgcode:
        case errorcodes.UNIQUE_VIOLATION:
            reason = "another row already has this key"
        case errorcodes.NOT_NULL_VIOLATION:
            reason = "is required but missing"
        case errorcodes.CHECK_VIOLATION:
            reason = f"must be {_rule_of(table, columns)}"
        case errorcodes.FOREIGN_KEY_VIOLATION:
            parent = _parent_of(table, name)
            if (cause.diag.message_primary or "").startswith(("update or delete", "delete")):
                return ArgumentError(
                    f"Rows of {table!r} refer to this row of {parent!r}; delete them first."
                )
            reason = f"names no row of {parent!r}; create that row first"
        case _:
            reason = f"is rejected by the database ({cause.pgcode})"
    return InvalidDataError(table, [Problem(columns, reason, 1)])


def _columns_of(table: str, constraint: str) -> str:
    for candidate in _constraints(table):
        if candidate.name == constraint and len(candidate.columns):
            return ", ".join(column.name for column in candidate.columns)
    name = constraint.removeprefix(f"ck_{table}_")
    return name if name in {column.name for column in _columns(table)} else ""


def _rule_of(table: str, column: str) -> str:
    rules = {candidate.name: rule_of(candidate) for candidate in _columns(table)}
    return str(rules.get(column) or "valid for the table's constraint")


def _parent_of(table: str, constraint: str) -> str:
    parents = {
        candidate.name: next(iter(candidate.elements)).column.table.name
        for candidate in _constraints(table)
        if isinstance(candidate, ForeignKeyConstraint)
    }
    return parents.get(constraint, "another table")


def _constraints(table: str) -> list[ColumnCollectionConstraint]:
    mapped = TABLES[table].__table__ if table in TABLES else None
    if not isinstance(mapped, Table):
        return []
    return [
        constraint
        for constraint in mapped.constraints
        if isinstance(constraint, ColumnCollectionConstraint)
    ]


def _columns(table: str) -> list[Column[Any]]:
    mapped = TABLES[table].__table__ if table in TABLES else None
    return list(mapped.columns) if isinstance(mapped, Table) else []
