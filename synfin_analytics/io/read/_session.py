"""The session that a query runs in, and how it stays usable whatever becomes of the query."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import psycopg2
from psycopg2 import extensions
from sqlalchemy.exc import PendingRollbackError

from synfin_analytics.database.connection import check_driver, is_lost
from synfin_analytics.exceptions import DatabaseConnectionError, QueryError
from synfin_analytics.io._interrupt import cut_if_silent
from synfin_analytics.io.read._errors import ABORTED, in_words

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
def reading_session(manager: DatabaseManager | None) -> Iterator[Session]:
    """Open a session that only reads, of the process's manager unless told otherwise."""
    if manager is None:
        from synfin_analytics.database.manager import get_db_manager

        manager = get_db_manager()
    with manager.session_scope() as session:
        session.connection(execution_options={"postgresql_readonly": True})
        yield session


def connection_of(session: Session) -> BoundConnection:
    """Give the connection of a session, with its pending objects sent if it autoflushes."""
    try:
        if session.autoflush:
            session.flush()
        return session.connection()
    except PendingRollbackError:
        raise QueryError(ABORTED) from None


def driver_connection(bound: BoundConnection) -> DriverConnection:
    """Give the driver's own connection, which COPY needs."""
    check_driver(bound.dialect)
    try:
        connection = cast("DriverConnection", bound.connection.driver_connection)
    except PendingRollbackError:
        raise QueryError(ABORTED) from None
    if connection.encoding != "UTF8":
        raise QueryError(
            "The session's connection does not speak UTF-8: open it with client_encoding=utf8."
        )
    return connection


@contextlib.contextmanager
def told(sql: BoundSQL, bound: BoundConnection) -> Iterator[None]:
    """Tell the driver's errors in our words, and give up a connection that was lost."""
    connection = driver_connection(bound)
    try:
        yield
    except psycopg2.Error as error:
        error_of_ours = in_words(error, sql, closed=is_lost(error, connection))
        if isinstance(error_of_ours, DatabaseConnectionError):
            bound.invalidate()
        raise error_of_ours from None


@contextlib.contextmanager
def savepoint(cursor: Cursor) -> Iterator[None]:
    """Undo what a failed or stopped query did, and let the transaction go on."""
    cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
    done = False
    try:
        yield
        done = True
    except KeyboardInterrupt:
        cut_if_silent(cursor.connection)
        raise
    finally:
        connection = cursor.connection
        if not connection.closed:
            status = connection.info.transaction_status
            if not done or status == extensions.TRANSACTION_STATUS_INERROR:
                cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
