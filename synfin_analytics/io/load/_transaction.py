"""The transaction of a load, its own or a session's, and the errors that end it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.database._interrupt import Cursor, cut_if_silent
from synfin_analytics.database.connection import check_driver, is_lost, reason_of_loss
from synfin_analytics.database.logging import logger
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.exceptions import (
    DatabaseConnectionError,
    LoadError,
    SchemaError,
    SynfinError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

_NOTHING = "Nothing was loaded"
#: How long a process of the server may take to end.
_PATIENCE_MS = 10_000


@contextlib.contextmanager
def load_transaction(
    session: Session | None, manager: DatabaseManager | None, table: str
) -> Iterator[Cursor]:
    """Yield a cursor of the driver, in a transaction that is committed at the end of the block.

    Parameters
    ----------
    session
        Session to join: the block is a savepoint of its transaction. Without one, the block is a
        transaction of its own.
    manager
        Database for a transaction of its own; the default manager's if there is none.
    table
        Table that is loaded, for messages.
    """
    if session is not None:
        check_driver(session.connection().dialect)
        # begin_nested flushes: pending objects of the session can be parents of the rows.
        with session.begin_nested(), _driver_cursor(session, table) as cursor:
            yield cursor
        return
    manager = manager or get_db_manager()
    own_session = manager.get_session()
    try:
        with _driver_cursor(own_session, table) as cursor:
            yield cursor
            transaction_id = cursor.fetch_value("SELECT pg_current_xact_id()::text")
        _commit(own_session, manager, transaction_id, table)
    finally:
        try:
            own_session.close()
        except DatabaseConnectionError:
            # The error that ended the load is raised; the server rolls back by itself.
            logger.debug("the connection was lost before the load was rolled back")


@contextlib.contextmanager
def _driver_cursor(session: Session, table: str) -> Iterator[Cursor]:
    """Yield a cursor whose errors are translated."""
    connection = session.connection()
    driver = _driver_connection(session)
    cursor = driver.cursor(cursor_factory=Cursor)
    role = "ROLE"
    try:
        role = cursor.fetch_value("SELECT quote_ident(current_user)")
        yield cursor
    except KeyboardInterrupt:
        cut_if_silent(driver)
        raise
    except (psycopg2.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        # Without the cause: the lines of PostgreSQL's message after the first may quote the data.
        reason = reason_of_loss(driver)
        lost = is_lost(cause, driver)
        raise _to_error(cause, table, role, lost=lost, reason=reason) from None
    finally:
        if driver.closed:  # the owner of the session must roll back before using it again
            connection.invalidate()
        else:
            cursor.close()


def _driver_connection(session: Session) -> PgConnection:
    return session.connection().connection.driver_connection  # type: ignore[return-value]  # psycopg2's


def _commit(session: Session, manager: DatabaseManager, transaction_id: str, table: str) -> None:
    """Commit; if the connection is lost meanwhile, ask the server for the outcome."""
    driver = _driver_connection(session)
    try:
        session.commit()
    except (psycopg2.Error, DBAPIError, DatabaseConnectionError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not is_lost(cause, driver):  # for example a deferred constraint
            raise _to_error(cause, table, lost=False) from None
        session.invalidate()
        outcome = _outcome(manager, transaction_id)
        if outcome is None:
            raise LoadError(
                "The connection was lost during the commit, and the server does not answer: it is "
                f"unknown whether the rows are in {table!r}. Count its rows before loading again."
            ) from None
        if outcome != "committed":
            raise LoadError(
                f"The connection was lost during the commit. {_NOTHING} into {table!r}; load again."
            ) from None
        logger.warning("the connection was lost during a commit, which succeeded on the server")


def _outcome(manager: DatabaseManager, transaction_id: str) -> str | None:
    """Return ``committed`` or ``aborted``; None if the server does not answer."""
    try:
        with manager.session_scope() as session:
            # The commit may still be running: it must end before its status is final.
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid, :patience) FROM pg_stat_activity "
                    "WHERE backend_xid = CAST(CAST(:id AS xid8) AS xid)"
                ),
                {"id": transaction_id, "patience": _PATIENCE_MS},
            )
            status = session.scalar(
                text("SELECT pg_xact_status(CAST(:id AS xid8))"), {"id": transaction_id}
            )
    except DBAPIError as error:
        # A server that crashed may not know the transaction: nothing of it was written.
        return "aborted" if isinstance(error.orig, psycopg2.errors.InvalidParameterValue) else None
    except SynfinError:
        return None
    return status if status in {"committed", "aborted"} else None


def _to_error(
    error: BaseException | None, table: str, role: str = "ROLE", *, lost: bool, reason: str = ""
) -> SynfinError:
    """Translate an error of the database: its cause, without any data."""
    into = f"{_NOTHING} into {table!r}"
    # Only the first line of the message: those that follow may quote the data.
    diagnosis = getattr(error, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or type(error).__name__
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        if "row-level security" in message:
            return LoadError(
                f"{into}: row-level security rejects the rows ({message}). Ask the owner of the "
                "table which rows this user may write."
            )
        denied = re.search(r"permission denied for (?:table|view) (\S+)", message)
        grant = f"GRANT SELECT, INSERT, UPDATE ON {denied[1] if denied else table} TO {role}"
        return LoadError(
            f"{into}: the role {role} lacks a privilege ({message}). Ask the owner of the tables "
            f"to run {grant}."
        )
    for cause, explanation in _EXPLANATIONS.items():
        if isinstance(error, cause):
            error_type = SchemaError if cause in _SCHEMA_CAUSES else LoadError
            return error_type(f"{into}: {explanation}")
    if (
        isinstance(error, psycopg2.errors.InternalError_)
        and error.diag.source_function in _EXTENDING_FUNCTIONS
    ):
        return LoadError(f"{into}: {_DISK_FULL}")
    if isinstance(error, psycopg2.errors.DeadlockDetected):
        load_error = LoadError(
            f"{into}: deadlock with another session. Load again when that session has finished."
        )
        load_error.deadlock = True
        return load_error
    if lost and reason:
        return LoadError(f"{into}, and the transaction is rolled back. {reason}")
    if lost:
        return LoadError(
            f"{into}: the connection to the server was lost; the server rolls back what was not "
            "committed. Load again once it answers. If that happens again, see its log: the disk "
            "may be full."
        )
    if constraint := getattr(diagnosis, "constraint_name", None):
        return LoadError(f"{into}: it would violate the constraint {constraint!r}.")
    return LoadError(f"{into}: error of PostgreSQL: {message}.")


_DISK_FULL = (
    "the disk of the server is full, or its quota is exhausted. Free some space, then load again."
)
#: Functions of PostgreSQL that extend a file: it has no error code for a quota or a limit on sizes.
_EXTENDING_FUNCTIONS = ("mdextend", "mdzeroextend", "BufFileDumpBuffer")
_SCHEMA_CAUSES = (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)
_EXPLANATIONS: dict[type[psycopg2.Error], str] = {
    psycopg2.errors.UndefinedTable: (
        "the table does not exist yet. Create the tables with `synfin db upgrade` or "
        "get_db_manager().create_all_tables()."
    ),
    psycopg2.errors.UndefinedColumn: (
        "the database schema does not match this package version; run `synfin db upgrade`."
    ),
    psycopg2.errors.ReadOnlySqlTransaction: "the session or the server is read-only.",
    psycopg2.errors.QueryCanceled: "the load was cancelled, or exceeded a timeout of the server.",
    psycopg2.errors.LockNotAvailable: (
        "another session kept the table locked for longer than lock_timeout."
    ),
    psycopg2.errors.DiskFull: _DISK_FULL,
}
