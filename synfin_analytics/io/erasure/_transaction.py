"""The transaction of an erasure, its own or a session's, and the errors that end it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
from sqlalchemy.exc import DBAPIError

from synfin_analytics.database._interrupt import Cursor, cut_if_silent
from synfin_analytics.database.connection import check_driver, is_lost, message_of
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.protection import config_of, require_confirmation
from synfin_analytics.database.schema import read_version, schema_of_tables
from synfin_analytics.exceptions import (
    ArgumentError,
    DatabaseConnectionError,
    ErasureError,
    SchemaError,
)
from synfin_analytics.io.erasure._identifiers import PATTERN_TABLES, linked_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

_NOTHING = "Nothing was changed in the database"


def open_target(
    session: Session | None,
    manager: DatabaseManager | None,
    action: str,
    confirm: str | None,
    *,
    dry_run: bool,
) -> DatabaseManager:
    """Return the manager of a call, if it may do what it is about to do.

    Raises
    ------
    ArgumentError
        Both a session and a manager are given, or ``confirm`` names another database.
    ProtectedDatabaseError
        The database is protected, and ``confirm`` is not its name.
    """
    if session is not None and manager is not None:
        raise ArgumentError("Pass either `session` or `manager`; got both.")
    if manager is None:
        manager = get_db_manager()
    if not dry_run:
        config = manager.config if session is None else config_of(session.connection())
        require_confirmation(config, action, confirm)
    return manager


@contextlib.contextmanager
def erasure_transaction(
    session: Session | None, manager: DatabaseManager, privileges: Sequence[str]
) -> Iterator[Cursor]:
    """Yield a cursor of the driver, in a transaction that is committed at the end of the block.

    Parameters
    ----------
    session
        Session to join: the block is a savepoint of its transaction. Without one, the block is a
        transaction of its own.
    manager
        Database for a transaction of its own.
    privileges
        Privileges that the block needs on the tables.
    """
    if session is not None:
        check_driver(session.connection().dialect)
        with session.begin_nested(), _cursor(session, privileges) as cursor:
            yield cursor
        session.expire_all()  # what it has read may have changed
        return
    own_session = manager.get_session()
    try:
        with _cursor(own_session, privileges) as cursor:
            yield cursor
        _commit(own_session)
    finally:
        # If the connection was lost, its error is raised; the server rolls back by itself.
        with contextlib.suppress(DatabaseConnectionError):
            own_session.close()


@contextlib.contextmanager
def _cursor(session: Session, privileges: Sequence[str]) -> Iterator[Cursor]:
    connection = session.connection()
    version = read_version(connection)
    if version.state != "current":
        raise SchemaError(str(version))
    driver = connection.connection.driver_connection
    cursor: Cursor = driver.cursor(cursor_factory=Cursor)  # type: ignore[union-attr]  # psycopg2's
    try:
        _check_privileges(cursor, privileges)
        yield cursor
    except KeyboardInterrupt:
        cut_if_silent(driver)  # type: ignore[arg-type]  # psycopg2's
        raise
    except psycopg2.Error as error:
        # The lines of PostgreSQL's message after the first may quote the data.
        error.args = (message_of(error),)
        raise _to_error(error, lost=is_lost(error, driver)) from None  # type: ignore[arg-type]
    finally:
        if driver.closed:  # type: ignore[union-attr]
            connection.invalidate()
        else:
            cursor.close()


def _commit(session: Session) -> None:
    try:
        session.commit()
    except DatabaseConnectionError:
        raise ErasureError(
            "The connection was lost during the commit: whether the rows of the database were "
            "changed is unknown. Run the call again: what is done already is not done twice."
        ) from None
    except DBAPIError as error:
        cause = error.orig if isinstance(error.orig, psycopg2.Error) else psycopg2.Error()
        raise _to_error(cause, lost=False) from None


def _to_error(error: psycopg2.Error, *, lost: bool) -> ErasureError:
    """Translate an error of the database: its cause, without any data."""
    if lost:
        return ErasureError(
            f"{_NOTHING}: the connection to the server was lost. Run the call again."
        )
    for cause, explanation in _EXPLANATIONS.items():
        if isinstance(error, cause):
            return ErasureError(f"{_NOTHING}: {explanation}")
    if isinstance(error, psycopg2.errors.ForeignKeyViolation):
        return ErasureError(
            f"{_NOTHING}: rows of table {error.diag.table_name!r} refer to rows of the customer "
            f"(constraint {error.diag.constraint_name!r}). Delete them first."
        )
    return ErasureError(f"{_NOTHING}: PostgreSQL reports: {message_of(error)}.")


_EXPLANATIONS: dict[type[psycopg2.Error], str] = {
    psycopg2.errors.DeadlockDetected: (
        "deadlock with another session. Run the call again when that session has finished."
    ),
    psycopg2.errors.LockNotAvailable: (
        "another session kept rows of the customer locked for longer than lock_timeout. Run the "
        "call again."
    ),
    psycopg2.errors.QueryCanceled: (
        "the statement was cancelled, or exceeded a timeout of the server."
    ),
    psycopg2.errors.ReadOnlySqlTransaction: (
        "the session or the server is read-only. Use the primary server and a user that may write."
    ),
}


# -- Privileges ------------------------------------------------------------------------------------

_MISSING = """
    SELECT t.name, p.privilege
    FROM unnest(%(tables)s) WITH ORDINALITY AS t(name, place),
        unnest(%(privileges)s) WITH ORDINALITY AS p(privilege, place)
    WHERE NOT has_table_privilege(
        to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(t.name)), p.privilege
    ) ORDER BY t.place, p.place
"""
_ROW_SECURITY = """
    SELECT name FROM unnest(%(tables)s) AS name
    WHERE row_security_active(quote_ident(%(schema)s) || '.' || quote_ident(name))
"""
_IDENTITY = """
    SELECT quote_ident(current_user), quote_ident(current_database()),
        has_database_privilege(current_database(), 'TEMPORARY')
"""


def changed_tables() -> list[str]:
    """Return the tables with rows of customers, in the order of the models."""
    linked = linked_tables()
    return [name for name in TABLES if name in linked or name in PATTERN_TABLES]


def _check_privileges(cursor: Cursor, privileges: Sequence[str]) -> None:
    """Raise an error that has the GRANT if the role may not do all of it."""
    values = {
        "tables": changed_tables(),
        "privileges": list(privileges),
        "schema": schema_of_tables(cursor),
    }
    cursor.execute(_IDENTITY)
    row = cursor.fetchone()
    role, database, has_temporary = row or ("", "", False)
    cursor.execute(_MISSING, values)
    missing: dict[str, list[str]] = {}
    for table, privilege in cursor.fetchall():
        missing.setdefault(table, []).append(privilege)
    by_privileges: dict[str, list[str]] = {}
    for table, names in missing.items():
        by_privileges.setdefault(", ".join(names), []).append(table)
    grants = [
        f"GRANT {names} ON {', '.join(tables)} TO {role};"
        for names, tables in by_privileges.items()
    ]
    if not has_temporary:
        grants.append(f"GRANT TEMPORARY ON DATABASE {database} TO {role};")
    if grants:
        raise ErasureError(
            f"{_NOTHING}: the role {role} lacks privileges. As the owner of the tables, run: "
            f"{' '.join(grants)}"
        )
    cursor.execute(_ROW_SECURITY, values)
    hidden = [name for (name,) in cursor.fetchall()]
    if hidden:
        raise ErasureError(
            f"{_NOTHING}: row-level security can hide rows of {', '.join(hidden)} from the role "
            f"{role}, which would then be left. Use the owner of the tables, or a role with "
            "BYPASSRLS."
        )
