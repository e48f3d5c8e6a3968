"""The database of an archive: its identity, what must hold before rows are archived, its errors."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.database.connection import message_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema import read_version, schema_of_tables
from synfin_analytics.exceptions import ArchiveError, DatabaseConnectionError, SchemaError
from synfin_analytics.io.archive._manifest import ARCHIVED, CHILDREN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

#: Tables whose rows are deleted.
DELETED = (*CHILDREN, "transactions")
# Key of the advisory lock of an archiving process. Any number will do, as long as all versions of
# this package use the same.
_LOCK_KEY = 0x73796E61726368  # "synarch"


def schema_of(session: Session) -> str:
    """Return the schema of the package's tables."""
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor:
        return schema_of_tables(cursor)


def check_database(session: Session, schema: str) -> str:
    """Check that rows of transactions can be archived without losing anything.

    Parameters
    ----------
    session
        Session on the primary.
    schema
        Schema of the tables.

    Returns
    -------
    str
        Version of the tables.

    Raises
    ------
    SchemaError
        The tables do not have the version of this package.
    ArchiveError
        The server is read-only, the user lacks a privilege, the tables have columns that the
        package does not know, or other tables refer to them.
    """
    version = read_version(session.connection())
    if version.state != "current" or version.version is None:
        raise SchemaError(f"{version} Nothing was changed.")
    if session.execute(text("SELECT current_setting('transaction_read_only')")).scalar() == "on":
        raise ArchiveError(
            "The server or the session is read-only: connect to the primary server, as a user who "
            "may write. Nothing was changed."
        )
    _check_privileges(session, schema)
    _check_columns(session, schema)
    _check_references(session, schema)
    return version.version


def _check_privileges(session: Session, schema: str) -> None:
    query = text("SELECT has_table_privilege(format('%I.%I', :schema, :table), :privilege)")
    missing: dict[str, list[str]] = {}
    for table in ARCHIVED:
        for privilege in ("SELECT", "DELETE") if table in DELETED else ("SELECT",):
            values = {"schema": schema, "table": table, "privilege": privilege}
            if not session.execute(query, values).scalar():
                missing.setdefault(privilege, []).append(table)
    if missing:
        user = session.execute(text("SELECT quote_ident(current_user)")).scalar()
        grants = "; ".join(
            f"GRANT {privilege} ON {', '.join(tables)} TO {user}"
            for privilege, tables in missing.items()
        )
        raise ArchiveError(
            f"This user lacks privileges. Ask the owner of the tables for: {grants}. "
            "Nothing was changed."
        )


def _check_columns(session: Session, schema: str) -> None:
    query = text(
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = format('%I.%I', :schema, :table)::regclass "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    for table in DELETED:
        values = {"schema": schema, "table": table}
        names = set(TABLES[table].__table__.columns.keys())
        unknown = [name for name in session.execute(query, values).scalars() if name not in names]
        if unknown:
            raise ArchiveError(
                f"The table {table!r} must have only columns of this package, or their values "
                f"would be lost; got {', '.join(map(repr, unknown))}. Move them to a table of "
                "their own. Nothing was changed."
            )


def _check_references(session: Session, schema: str) -> None:
    query = text(
        "SELECT DISTINCT conrelid::regclass::text FROM pg_constraint c "
        "WHERE contype = 'f' AND conparentid = 0 "
        "AND confrelid IN (SELECT format('%I.%I', :schema, name)::regclass FROM unnest(:deleted) "
        "AS names(name)) AND conrelid NOT IN "
        "(SELECT format('%I.%I', :schema, name)::regclass FROM unnest(:children) AS names(name))"
    )
    values = {"schema": schema, "deleted": list(DELETED), "children": list(CHILDREN)}
    tables = session.execute(query, values).scalars().all()
    if tables:
        raise ArchiveError(
            f"No other tables may refer to the rows that are archived; {', '.join(tables)} does. "
            "Drop its foreign key first. Nothing was changed."
        )


@contextlib.contextmanager
def archive_lock(manager: DatabaseManager) -> Iterator[Session]:
    """Keep other processes from archiving rows of this database.

    The lock belongs to a transaction, which a pooler leaves on its connection; it ends with this
    process, and holds back no vacuum.

    Raises
    ------
    ArchiveError
        Another process archives rows at the moment.
    """
    with manager.get_session() as session:
        connection = session.connection(execution_options={"isolation_level": "READ COMMITTED"})
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if (connection.dialect.server_version_info or (0,)) >= (17,):
            session.execute(text("SET LOCAL transaction_timeout = 0"))
        query = text("SELECT pg_try_advisory_xact_lock(:key)")
        if not session.execute(query, {"key": _LOCK_KEY}).scalar_one():
            raise ArchiveError(
                "Another process is archiving transactions of this database; wait until it has "
                "ended. Nothing was changed."
            )
        yield session
        session.rollback()


def check_lock(session: Session) -> None:
    """Raise if the connection that holds the lock was lost."""
    session.execute(text("SELECT 1"))


@contextlib.contextmanager
def translate_database_errors(outcome: str) -> Iterator[None]:
    """Translate the server's errors, without the values that they quote, and add the outcome."""
    try:
        yield
    except (DBAPIError, psycopg2.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise ArchiveError(f"{_cause(cause)}. {outcome}") from None
    except DatabaseConnectionError as error:
        if str(error).endswith(UNCHANGED):  # translated already
            raise
        raise DatabaseConnectionError(f"{error} {outcome}") from error


#: What holds after an error before the first file.
UNCHANGED = "Nothing was changed."
#: What holds after every error: files and rows are consistent at each moment.
AGAIN = "No row was lost; archive again to go on where this call ended."


def _cause(error: BaseException | None) -> str:
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return "The server is read-only: connect to the primary server"
    if isinstance(error, errors.QueryCanceled):
        return "A statement was cancelled, or exceeded a timeout of the server"
    if isinstance(error, errors.LockNotAvailable):
        return "Another session kept rows locked for longer than lock_timeout"
    if isinstance(error, errors.InsufficientPrivilege):
        return (
            "This user lacks a privilege, or row-level security hides rows from it: archive as the "
            "owner of the tables, or ask the owner to GRANT SELECT, DELETE on transactions, "
            "ml_features, model_predictions"
        )
    message = message_of(error) if isinstance(error, psycopg2.Error) else ""
    return f"PostgreSQL reported an error: {message or type(error).__name__}"
