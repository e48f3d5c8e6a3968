"""The transaction of a load: of its own or a session's, and what is told when it breaks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.database.connection import check_driver, is_lost
from synfin_analytics.database.logging import logger
from synfin_analytics.exceptions import (
    DatabaseConnectionError,
    LoadError,
    SchemaError,
    SynfinError,
)
from synfin_analytics.io._interrupt import InterruptibleCursor, cut_if_silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

_NOTHING = "Nothing was loaded"
#: How long a process of the server may take to end.
_PATIENCE_MS = 10_000


@contextlib.contextmanager
def load_transaction(
    session: Session | None, manager: DatabaseManager | None, table: str
) -> Iterator[Cursor]:
    """Cursor of the driver, in a transaction that ends with the block: all of it or nothing.

    Parameters
    ----------
    session
        Session to join: the block is a savepoint of its transaction. None: a transaction of its
        own, which is committed.
    manager
        Database for a transaction of its own; the global one by default.
    table
        Table that is loaded, for messages.
    """
    if session is not None:
        check_driver(session.connection().dialect)
        # begin_nested flushes: objects that wait in the session can be parents of the rows.
        with session.begin_nested(), _translated(session, table) as cursor:
            yield cursor
        return
    if manager is None:
        from synfin_analytics.database.manager import get_db_manager

        manager = get_db_manager()
    own = manager.get_session()
    try:
        with _translated(own, table) as cursor:
            yield cursor
            cursor.execute("SELECT pg_current_xact_id()::text")
            number = str((cursor.fetchone() or ("",))[0])
        _commit(own, manager, number, table)
    finally:
        try:
            own.close()
        except DatabaseConnectionError:
            # What is raised is why the load ended; the server takes it back by itself.
            logger.debug("the connection was lost before the load was rolled back")


@contextlib.contextmanager
def _translated(session: Session, table: str) -> Iterator[Cursor]:
    connection = session.connection()
    driver = _driver(session)
    cursor = driver.cursor(cursor_factory=InterruptibleCursor)
    try:
        yield cursor
    except KeyboardInterrupt:
        cut_if_silent(driver)
        raise
    except (psycopg2.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        # Without the cause: what PostgreSQL says below its first line may quote the data.
        raise told(cause, table, lost=is_lost(cause, driver)) from None
    finally:
        if driver.closed:  # a session's owner must roll back before it goes on
            connection.invalidate()
        else:
            cursor.close()


def _driver(session: Session) -> PgConnection:
    return session.connection().connection.driver_connection  # type: ignore[return-value]  # psycopg2's


def _commit(session: Session, manager: DatabaseManager, number: str, table: str) -> None:
    """Commit; if the connection breaks just then, ask the server what has become of it."""
    driver = _driver(session)
    try:
        session.commit()
    except (psycopg2.Error, DBAPIError, DatabaseConnectionError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not is_lost(cause, driver):  # a constraint that is checked at the end, say
            raise told(cause, table, lost=False) from None
        session.invalidate()
        outcome = _outcome(manager, number)
        if outcome is None:
            raise LoadError(
                f"The connection was lost at the moment of the commit, and the server does not "
                f"answer: whether {table!r} holds the load is not known. Count its rows before "
                "you load again."
            ) from None
        if outcome != "committed":
            raise LoadError(
                f"The connection was lost at the moment of the commit. {_NOTHING} into {table!r}; "
                "load again."
            ) from None
        logger.warning("the connection was lost at a commit, which the server has carried out")


def _outcome(manager: DatabaseManager, number: str) -> str | None:
    """Ask for ``committed`` or ``aborted``; None where the server does not say."""
    try:
        with manager.session_scope() as session:
            # It may be at it still: then it must end, one way or the other, before it is asked.
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid, :patience) FROM pg_stat_activity "
                    "WHERE backend_xid = CAST(CAST(:number AS xid8) AS xid)"
                ),
                {"number": number, "patience": _PATIENCE_MS},
            )
            status = session.scalar(
                text("SELECT pg_xact_status(CAST(:number AS xid8))"), {"number": number}
            )
    except DBAPIError as error:
        # A server that crashed may not have heard of the number: nothing of it was written.
        return "aborted" if isinstance(error.orig, psycopg2.errors.InvalidParameterValue) else None
    except SynfinError:
        return None
    return status if status in {"committed", "aborted"} else None


def told(error: BaseException | None, table: str, *, lost: bool) -> SynfinError:
    """Error of ours for one of the database's: its cause in words, none of the data."""
    into = f"{_NOTHING} into {table!r}"
    for missing, words in _SCHEMA:
        if isinstance(error, missing):
            return SchemaError(f"{into}: {words}")
    if _no_space(error):
        return LoadError(f"{into}: {_FULL}")
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        if "row-level security" in (error.diag.message_primary or ""):
            return LoadError(
                f"{into}: a policy refuses its rows ({error.diag.message_primary}). Ask the owner "
                "of the table which rows its row-level security lets this user write."
            )
        return LoadError(
            f"{into}: this user lacks a right ({error.diag.message_primary}). Ask the owner of the "
            "tables to GRANT SELECT, INSERT and UPDATE on it."
        )
    for broken, words in _BROKEN:
        if isinstance(error, broken):
            refusal = LoadError(f"{into}: {words}")
            refusal.deadlock = isinstance(error, psycopg2.errors.DeadlockDetected)
            return refusal
    if lost:
        return LoadError(f"{into}: {_LOST}")
    diagnosis = getattr(error, "diag", None)
    constraint = getattr(diagnosis, "constraint_name", None)
    if constraint:
        return LoadError(f"{into}: it would break the constraint {constraint!r}.")
    # The first line alone: what PostgreSQL adds below may quote the data.
    words = getattr(diagnosis, "message_primary", None) or type(error).__name__
    return LoadError(f"{into}: PostgreSQL says: {words}.")


_SCHEMA = (
    (
        psycopg2.errors.UndefinedTable,
        "the database has no such table yet. Create the tables with `synfin db upgrade` or "
        "get_db_manager().create_all_tables().",
    ),
    (
        psycopg2.errors.UndefinedColumn,
        "the table is that of another version. Bring it up with `synfin db upgrade`.",
    ),
)
_BROKEN = (
    (psycopg2.errors.ReadOnlySqlTransaction, "the session or the server is read-only."),
    (
        psycopg2.errors.QueryCanceled,
        "the load was cancelled, or took longer than the server allows.",
    ),
    (
        psycopg2.errors.DeadlockDetected,
        "it and another session waited for each other's rows. Load again when that one is done.",
    ),
    (
        psycopg2.errors.LockNotAvailable,
        "another session kept it locked for longer than lock_timeout allows to wait.",
    ),
)
_FULL = "the disk of the server is full, or its quota used up. Make room, then load again."
_LOST = (
    "the connection to the server was lost, and the server takes back what was not committed. Load "
    "again once it answers; if that happens again, see its log: the disk may be full."
)
#: Functions of PostgreSQL that make a file larger.
_EXTENDING = ("mdextend", "mdzeroextend", "BufFileDumpBuffer")


def _no_space(error: BaseException | None) -> bool:
    if isinstance(error, psycopg2.errors.DiskFull):
        return True
    # PostgreSQL has no code for a quota or a limit to a file's size.
    return (
        isinstance(error, psycopg2.errors.InternalError_)
        and error.diag.source_function in _EXTENDING
    )
