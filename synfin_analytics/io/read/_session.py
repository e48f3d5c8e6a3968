"""The session of a query, which stays usable whatever happens to it, and the errors it raises.

No error shows a value of the query or of a row.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, cast

import psycopg2
from psycopg2 import errors, extensions
from sqlalchemy.exc import PendingRollbackError

from synfin_analytics.database._interrupt import cut_if_silent
from synfin_analytics.database._replica_errors import error_of_replica
from synfin_analytics.database.connection import (
    check_driver,
    is_lost,
    message_of,
    reason_of_loss,
)
from synfin_analytics.database.grants import advise_privileges
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
    from collections.abc import Iterator, Sequence

    from psycopg2.extensions import connection as DriverConnection  # noqa: N812
    from sqlalchemy import Connection as BoundConnection
    from sqlalchemy.orm import Session

    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.io.read._sql import BoundSQL

ABORTED = (
    "An earlier error has aborted the session's transaction. Call session.rollback(), then run the "
    "query again."
)
_READ_ONLY = (
    "The session of a single query is read-only. To change data, pass session= and commit it."
)
_LOST = (
    "The connection to the database was lost in the middle of a query. Uncommitted changes are "
    "rolled back. Roll the session back and run it again."
)
_SAVEPOINT = "synfin_read"
#: Errors of functions that a standby does not have, and of unlogged tables.
_ONLY_ON_PRIMARY = ("55000", "0A000")


def connect_session(session: Session) -> BoundConnection:
    """Return the connection of a session, and flush its pending objects if it autoflushes."""
    try:
        if session.autoflush:
            session.flush()
        return session.connection()
    except PendingRollbackError:
        raise QueryError(ABORTED) from None


def driver_connection(bound: BoundConnection) -> DriverConnection:
    """Return the driver's own connection, which COPY needs."""
    check_driver(bound.dialect)
    try:
        connection = cast("DriverConnection", bound.connection.driver_connection)
    except PendingRollbackError:
        raise QueryError(ABORTED) from None
    if connection.encoding != "UTF8":
        raise QueryError(
            f"The session's connection must use UTF-8; got {connection.encoding}. Open it with "
            "client_encoding=utf8."
        )
    return connection


@contextlib.contextmanager
def translate_errors(
    sql: BoundSQL, bound: BoundConnection, unless: tuple[type[psycopg2.Error], ...] = ()
) -> Iterator[None]:
    """Translate driver errors, ``unless`` they are of these; invalidate a lost connection."""
    connection = driver_connection(bound)
    try:
        yield
    except unless:
        raise
    except psycopg2.Error as error:
        reason = reason_of_loss(connection)
        translated = _to_error(error, sql, closed=is_lost(error, connection), reason=reason)
        if isinstance(translated, DatabaseConnectionError):
            bound.invalidate()
        raise _on_replica(translated, error, connection) from None


def _on_replica(
    translated: SynfinError, error: psycopg2.Error, connection: DriverConnection
) -> SynfinError:
    """Mark the error of a query that the primary may answer."""
    replica: str | None = getattr(connection, "replica", None)
    if replica is None:
        return translated
    is_lost = isinstance(translated, DatabaseConnectionError)
    if of_replica := error_of_replica(error, replica, is_lost=is_lost):
        return of_replica
    if error.pgcode in _ONLY_ON_PRIMARY and isinstance(translated, QueryError):
        translated.on_replica = True
    return translated


@contextlib.contextmanager
def transaction(cursor: Cursor) -> Iterator[None]:
    """Run a query of an autocommit connection in a transaction, for which settings are made."""
    cursor.execute("BEGIN")
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if not cursor.connection.closed:
            cursor.execute("COMMIT" if is_done else "ROLLBACK")


def end_if_lost(
    connection: DriverConnection,
    block_errors: Sequence[BaseException],
    _error_type: type[BaseException] | None,
    error: BaseException | None,
    _traceback: object,
) -> None:
    """Raise the error of a lost connection in place of those that cleaning up raises after it.

    Parameters
    ----------
    connection
        The connection of the query.
    block_errors
        The error that the caller's block ended with, which remains.
    """
    is_ours = isinstance(error, (psycopg2.Error, SynfinError))
    cause = error if isinstance(error, psycopg2.Error) else None
    if not is_ours or isinstance(error, DatabaseConnectionError) or not is_lost(cause, connection):
        return
    if block_errors:
        raise block_errors[-1] from None
    lost = DatabaseConnectionError(_LOST)
    raise (lost if cause is None else _on_replica(lost, cause, connection)) from None


def undo(cursor: Cursor, *, to_savepoint: bool) -> None:
    """Make a transaction usable after an error, as it was when the query began."""
    if to_savepoint:
        cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
    else:
        cursor.connection.rollback()


@contextlib.contextmanager
def savepoint(cursor: Cursor) -> Iterator[None]:
    """Undo a query that fails or is interrupted, so that the transaction can continue."""
    cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
    is_done = False
    try:
        yield
        is_done = True
    except KeyboardInterrupt:
        cut_if_silent(cursor.connection)
        raise
    finally:
        if not cursor.connection.closed:
            _end_savepoint(cursor, is_done=is_done)


def _end_savepoint(cursor: Cursor, *, is_done: bool) -> None:
    connection = cursor.connection
    status = connection.info.transaction_status
    try:
        if not is_done or status == extensions.TRANSACTION_STATUS_INERROR:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except psycopg2.Error as error:
        if not is_lost(error, connection):
            raise
        if is_done:  # otherwise the error that ended the query is raised
            raise _on_replica(DatabaseConnectionError(_LOST), error, connection) from None


# -- Errors ------------------------------------------------------------------------------------


def _to_error(error: psycopg2.Error, sql: BoundSQL, *, closed: bool, reason: str) -> SynfinError:
    """Return the error to raise instead of the driver's, whose text may quote values."""
    message = message_of(error)
    if closed:
        return DatabaseConnectionError(_LOST + (reason and f" {reason}"))
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


def _undo_if_possible(error: psycopg2.Error) -> None:
    """Go back to the query's savepoint, if it has one, so that the session can be asked again."""
    if error.cursor is not None:
        with contextlib.suppress(psycopg2.Error), error.cursor.connection.cursor() as cursor:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")


def invalid_value(error: psycopg2.Error, parameter: Parameter) -> QueryError:
    """Return the error for a value that PostgreSQL cannot convert to the type it needs."""
    return QueryError(
        f"PostgreSQL rejects the query: {message_of(error)} at the parameter :{parameter.name}."
    )


def _hint(error: psycopg2.Error, message: str) -> str | SynfinError | None:
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return _READ_ONLY
    if error.diag.message_hint:
        return error.diag.message_hint
    if isinstance(error, errors.InsufficientPrivilege):
        _undo_if_possible(error)
        return advise_privileges(error)
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
