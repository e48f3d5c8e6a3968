"""The session of a query, which stays usable whatever happens to the query."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import psycopg2
from psycopg2 import extensions
from sqlalchemy.exc import PendingRollbackError

from synfin_analytics.database.connection import check_driver, is_lost
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.exceptions import DatabaseConnectionError, QueryError
from synfin_analytics.io._interrupt import cut_if_silent
from synfin_analytics.io.read._errors import ABORTED, to_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as DriverConnection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812
    from sqlalchemy import Connection as BoundConnection
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.read._sql import BoundSQL

_SAVEPOINT = "synfin_read"


@contextlib.contextmanager
def read_only_session(manager: DatabaseManager | None) -> Iterator[Session]:
    """Open a read-only session of a manager; by default of the process's."""
    with (manager or get_db_manager()).session_scope() as session:
        session.connection(execution_options={"postgresql_readonly": True})
        yield session


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
def translate_errors(sql: BoundSQL, bound: BoundConnection) -> Iterator[None]:
    """Translate driver errors; invalidate a lost connection."""
    connection = driver_connection(bound)
    try:
        yield
    except psycopg2.Error as error:
        translated = to_error(error, sql, closed=is_lost(error, connection))
        if isinstance(translated, DatabaseConnectionError):
            bound.invalidate()
        raise translated from None


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
        connection = cursor.connection
        if not connection.closed:
            status = connection.info.transaction_status
            if not is_done or status == extensions.TRANSACTION_STATUS_INERROR:
                cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
