"""PostgreSQL's errors about a query, as errors of ours that show no value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import errors

from synfin_analytics.database.connection import message_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import (
    DatabaseConnectionError,
    QueryError,
    SchemaError,
    SynfinError,
    nearest_names,
)
from synfin_analytics.io.read._sql import Parameter

if TYPE_CHECKING:
    from synfin_analytics.io.read._sql import BoundSQL

ABORTED = (
    "An earlier error has aborted the session's transaction. Call session.rollback(), then run the "
    "query again."
)
_READ_ONLY = (
    "The session of a single query is read-only. To change data, pass session= and commit it."
)
_NO_PRIVILEGE = (
    "If personal data are hidden from this user, name the columns to read, without those of "
    "synfin_analytics.database.grants.personal_columns(); a whole table, and therefore a "
    "repository, includes them"
)


def to_error(error: psycopg2.Error, sql: BoundSQL, *, closed: bool) -> SynfinError:
    """Return the error to raise instead of the driver's, whose text may quote values."""
    message = message_of(error)
    if closed:
        return DatabaseConnectionError(
            "The connection to the database was lost in the middle of a query. Uncommitted changes "
            "are rolled back. Roll the session back and run it again."
        )
    if isinstance(error, errors.InFailedSqlTransaction):
        return QueryError(ABORTED)
    if error.pgcode is None or not message:
        return QueryError(f"The driver cannot run this query ({type(error).__name__}).")
    sentences = [message]
    position = error.diag.statement_position
    place = sql.place(int(position)) if position else None
    if isinstance(place, Parameter):
        sentences = [f"{message.partition(' at or near ')[0]} at the parameter :{place.name}"]
        if isinstance(error, errors.SyntaxError):
            sentences.append("A parameter is a value, never the name of a table or column")
    elif place:
        sentences = [f"{message} ({place})"]
    hint = _hint(error, message)
    if isinstance(hint, SynfinError):
        return hint
    if hint:
        sentences.append(hint)
    text = " ".join(
        sentence if sentence.endswith((".", "?")) else f"{sentence}." for sentence in sentences
    )
    return QueryError(f"PostgreSQL rejects the query: {text}")


def _hint(error: psycopg2.Error, message: str) -> str | SynfinError | None:
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return _READ_ONLY
    if error.diag.message_hint:
        return error.diag.message_hint
    if isinstance(error, errors.InsufficientPrivilege):
        return _NO_PRIVILEGE
    name = (re.findall(r'"([^"]*)"', message) or [message.partition("column ")[2].split(" ")[0]])[0]
    name = name.rpartition(".")[2]
    if isinstance(error, errors.UndefinedTable):
        if name in TABLES:
            return SchemaError(
                f"The database has no table {name!r} yet. Create the tables with "
                "`synfin db upgrade` or get_db_manager().create_all_tables()."
            )
        names = list(TABLES)
    elif isinstance(error, errors.UndefinedColumn):
        names = [column.name for model in TABLES.values() for column in model.__table__.columns]
    else:
        return None
    near = nearest_names(name, names)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else None
