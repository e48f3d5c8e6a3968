"""Versions of the tables in a database: create, upgrade and drop them.

The steps between versions are Alembic migrations. They are part of the package, so that
:func:`upgrade` works from a checkout and from an installed wheel, in any directory.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

import psycopg2
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics._core.lookup import resource_folder
from synfin_analytics.database.connection import Connection as OwnConnection
from synfin_analytics.database.logging import logger
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.protection import config_of, require_confirmation
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from alembic.config import Config
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class
    from sqlalchemy.engine import Connection, Engine

#: Table in which the migrations record the version of the tables.
VERSION_TABLE = "alembic_version"
# Key of an advisory lock that keeps two upgrades from running at once. Any number will do, as long
# as all versions of this package use the same.
LOCK_KEY = 0x73796E66696E  # "synfin"
_PAUSE = 0.1  # seconds
#: What a downgrade does, as it follows "to" in messages.
DOWNGRADE = "downgrade the tables and lose what the older version cannot store"


# -- The version of the tables ---------------------------------------------------------------------

State = Literal["current", "empty", "older", "newer", "foreign"]


class HasEngine(Protocol):
    """An engine, or an object that has one: a manager or a connection."""

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        ...


@dataclass(frozen=True)
class SchemaVersion:
    """Version of the tables in a database, compared with this package.

    Attributes
    ----------
    database
        Name of the database.
    version
        Version of the tables in the database; None if it has none.
    latest
        Version that this package needs.
    state
        ``current``; ``empty`` (no tables yet); ``older`` or ``newer`` than this package;
        ``foreign``: tables of the same names, or a recorded version, of another program.
    tables
        Those of the seven tables that exist.
    """

    database: str
    version: str | None
    latest: str
    state: State
    tables: tuple[str, ...] = ()

    def __str__(self) -> str:
        template = _MESSAGES[self.state]
        if self.version and self.state == "foreign":
            template = _OTHER_PROGRAM
        return template.format(
            database=self.database,
            version=self.version,
            latest=self.latest,
            tables=", ".join(self.tables),
        )


_MESSAGES: dict[State, str] = {
    "current": "The tables of database {database!r} are up to date (version {version}).",
    "empty": "Database {database!r} has no tables yet. Create them with `synfin db upgrade` or "
    "get_db_manager().create_all_tables().",
    "older": "The tables of database {database!r} have version {version}, and this package needs "
    "{latest}. Run `synfin db upgrade`; the rows are kept.",
    "newer": "The tables of database {database!r} were created by a newer version of this package "
    "(version {version} of the tables; this package knows those up to {latest}). Upgrade it: "
    "pip install --upgrade synfin-analytics",
    "foreign": "Database {database!r} has tables with the package's names that it did not create "
    "({tables}): no version is recorded in it. Use another database (DB_NAME), or an empty schema "
    "of this one.",
}
_OTHER_PROGRAM = (
    "Database {database!r} has an alembic_version ({version}) but none of the package's tables: it "
    "belongs to another program. Use another database (DB_NAME), or an empty schema of this one."
)


def current(target: HasEngine) -> str | None:
    """Return the version of the tables in the database; None if it has none.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> current(get_db_manager())
    '0004'
    """
    return check_version(target).version


def check_version(target: HasEngine) -> SchemaVersion:
    """Compare the tables in the database with what this package needs.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> print(check_version(get_db_manager()))
    The tables of database ... are up to date (version 0004).
    """
    with translate_errors(), target.engine.connect() as connection:
        return read_version(connection)


def require_current(target: HasEngine) -> None:
    """Check that the tables in the database have the version that this package needs.

    Raises
    ------
    SchemaError
        They do not; the message has the command to run.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> require_current(get_db_manager())
    """
    version = check_version(target)
    if version.state != "current":
        raise SchemaError(str(version))


@dataclass(frozen=True)
class Revision:
    """One version of the tables."""

    revision: str
    previous: str | None
    summary: str


def history() -> list[Revision]:
    """Return all versions of the tables that this package knows, oldest first.

    Examples
    --------
    >>> history()[0]
    Revision(revision='0001', previous=None, summary='The seven tables, with their rules, ...')
    """
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    newest_first = [
        # Only a merge of branches, which the package does not have, has several predecessors.
        Revision(script.revision, cast("str | None", script.down_revision), script.doc)
        for script in scripts.walk_revisions()
    ]
    return newest_first[::-1]


def known_versions() -> list[str]:
    """Versions that this package knows, the oldest first.

    Read from the names of the files, so that a look at the version need not import Alembic.
    """
    return sorted(
        path.name.split("_")[0] for path in migrations_folder().glob("versions/[0-9]*_*.py")
    )


_TABLES = text(f"""
    SELECT current_database(), to_regclass('{VERSION_TABLE}') IS NOT NULL, ARRAY(
        SELECT name FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS t(name, place)
        WHERE to_regclass(quote_ident(name)) IS NOT NULL ORDER BY place
    )
""")  # noqa: S608 - a constant
_RECORDED_VERSION = text(f"SELECT max(version_num) FROM {VERSION_TABLE}")  # noqa: S608 - a constant


def read_version(connection: Connection) -> SchemaVersion:
    """Read the version of the tables that the search path leads to, as every query does."""
    database, has_version, tables = connection.execute(_TABLES, {"names": list(TABLES)}).one()
    version = connection.execute(_RECORDED_VERSION).scalar_one() if has_version else None
    versions = known_versions()
    state = _state(version, versions, tables)
    return SchemaVersion(database, version, versions[-1], state, tuple(tables))


def _state(version: str | None, versions: list[str], tables: list[str]) -> State:
    if version is None:
        return "foreign" if tables else "empty"
    if version not in versions:
        return "newer" if tables else "foreign"
    return "current" if version == versions[-1] else "older"


def migrations_folder() -> Path:
    """Return the directory of the migrations."""
    return resource_folder("migrations", SchemaError)


# -- Changes of the tables -------------------------------------------------------------------------


def upgrade(target: HasEngine, revision: str = "head") -> str | None:
    """Create the tables or upgrade them, completely or not at all.

    Parameters
    ----------
    target
        A manager or an engine.
    revision
        Target version: ``head`` (the latest), a version, or ``+1`` for one step.

    Returns
    -------
    str or None
        Version of the tables after the upgrade.

    Raises
    ------
    SchemaError
        The tables belong to a newer package or to another program, or the server refuses. Nothing
        is changed.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> upgrade(get_db_manager())
    '0004'
    """
    return _migrate(target, "upgrade", revision)


def downgrade(target: HasEngine, revision: str = "-1", *, confirm: str | None = None) -> str | None:
    """Return to an older version of the tables; data that it has no column for are lost.

    Parameters
    ----------
    target
        A manager or an engine.
    revision
        Target version: ``-1`` for one step, a version, or ``base`` for no tables at all.
    confirm
        Name of the database, which a protected one requires.

    Returns
    -------
    str or None
        Version of the tables after the downgrade; None if none are left.

    Raises
    ------
    SchemaError
        As for :func:`upgrade`.
    ProtectedDatabaseError
        The database is protected, and ``confirm`` is not its name.

    Examples
    --------
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> from synfin_analytics.database.manager import DatabaseManager
    >>> manager = DatabaseManager(DatabaseConfig(database="to_downgrade"))
    >>> upgrade(manager), downgrade(manager, "base")
    ('0004', None)
    >>> manager.close()
    """
    return _migrate(target, "downgrade", revision, confirm)


@contextlib.contextmanager
def migration_transaction(target: HasEngine) -> Iterator[Connection]:
    """Open the transaction of a migration; other migrations wait until it has ended.

    Alembic's own command line uses it too (``migrations/env.py``).

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> with migration_transaction(get_db_manager()) as connection:
    ...     connection.execute(text("SELECT 1")).scalar_one()
    1
    """
    with target.engine.connect() as connection:
        # After the wait, changes of the other process must be visible.
        connection = connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            _lock_migrations(connection)
            yield connection


def _lock_migrations(connection: Connection) -> None:
    """Take the lock by polling: a wait in the server could not be interrupted."""
    query = text("SELECT pg_try_advisory_xact_lock(:key)")
    logged = False
    while not connection.execute(query, {"key": LOCK_KEY}).scalar_one():
        if not logged:
            logger.info("another process is changing the tables; waiting for it")
            logged = True
        time.sleep(_PAUSE)


def _migrate(
    target: HasEngine,
    direction: Literal["upgrade", "downgrade"],
    revision: str,
    confirm: str | None = None,
) -> str | None:
    _check_revision(direction, revision)
    with translate_errors(), migration_transaction(target) as connection:
        if direction == "downgrade":
            require_confirmation(config_of(connection), DOWNGRADE, confirm)
        version = read_version(connection)
        if version.state in {"newer", "foreign"}:
            raise SchemaError(str(version))
        if (version.state, revision) in {("current", "head"), ("empty", "base")}:
            return version.version
        _run_alembic(direction, revision, connection, version)
        return read_version(connection).version


def _run_alembic(
    direction: str, revision: str, connection: Connection, version: SchemaVersion
) -> None:
    from alembic import command
    from alembic.util import CommandError

    config = _alembic_config()
    config.attributes["connection"] = connection
    run: Callable[[Config, str], None] = getattr(command, direction)
    try:
        run(config, revision)
    except CommandError as error:
        raise ArgumentError(
            f"Cannot {direction} database {version.database!r} from version "
            f"{version.version or 'base'} to {revision!r}: {error}."
        ) from error


def _check_revision(direction: str, revision: str) -> None:
    step, end = (r"\+[0-9]{1,4}", "head") if direction == "upgrade" else (r"-[0-9]{1,4}", "base")
    if revision != end and not re.fullmatch(step, revision):
        revisions = [*known_versions(), end]
        if revision not in revisions:
            raise NotFoundError("version of the tables", revision, revisions)


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    # ConfigParser reads "%" in a value as the beginning of a reference.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def pattern_lock(table: str) -> str:
    """Return the name of the advisory lock of all that changes a table of patterns.

    Parameters
    ----------
    table
        Name of the table.

    Examples
    --------
    >>> pattern_lock("fraud_patterns")
    'synfin_analytics.fraud_patterns'
    """
    return f"synfin_analytics.{table}"


# -- The search path -------------------------------------------------------------------------------

_NAMES = ", ".join(f"'{name}'" for name in (VERSION_TABLE, *TABLES))
_SCHEMA = f"""
    SELECT path.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place)
    WHERE left(path.name, 7) <> 'pg_temp' ORDER BY (
        SELECT count(*) FROM unnest(ARRAY[{_NAMES}]) AS ours(name)
        WHERE to_regclass(quote_ident(path.name) || '.' || ours.name) IS NOT NULL
    ) DESC, path.place LIMIT 1
"""  # noqa: S608 - constants
_HIDING_TABLE = f"""
    SELECT current_user, expected.name, n.nspname FROM ({_SCHEMA}) AS expected
    LEFT JOIN pg_class AS c ON c.oid = to_regclass(:table)
    LEFT JOIN pg_namespace AS n ON n.oid = relnamespace
"""  # noqa: S608 - constants


def schema_of_tables(cursor: Cursor) -> str:
    """Find the schema of the package's tables: of the search path, the one with most of them.

    A temporary table, or one of another schema, may have the same name. Before the tables exist, it
    is the schema in which they would be created.

    Parameters
    ----------
    cursor
        Cursor of the driver.
    """
    cursor.execute(_SCHEMA)
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def check_table_is_visible(connection: Connection, table: str) -> None:
    """Check that in this session the name of a table means the package's table.

    Raises
    ------
    SchemaError
        A temporary table, or one of another schema, comes first on the search path.
    """
    row = connection.execute(text(_HIDING_TABLE), {"table": table}).one_or_none()
    if row is None:  # there is no schema
        return
    role, schema, other_schema = row
    if isinstance(driver := connection.connection.driver_connection, OwnConnection):
        driver.role = role
    if other_schema not in {None, schema}:
        other_schema = "pg_temp" if other_schema.startswith("pg_temp") else other_schema
        raise SchemaError(
            f"{table!r} must be the table of schema {schema!r}; got {other_schema}.{table}, which "
            "comes first on this session's search path. Drop or rename it, or use another session."
        )


# -- Errors ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the server's errors, without the row that it rejected."""
    try:
        yield
    except (DBAPIError, psycopg2.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "pgcode", None)
        # The detail, which may show a row of the table, is left out. Errors without a code are the
        # driver's, such as a refused connection, and show no row.
        message = (
            cause.diag.message_primary if code and isinstance(cause, psycopg2.Error) else cause
        )
        raise SchemaError(
            f"The server refused: {' '.join(str(message).split())}. Nothing was changed."
            + _ADVICE.get(code or "", "")
        ) from None


_ADVICE = {
    "42501": " The user of this connection lacks a privilege: use the owner of the tables for "
    "upgrades (DB_USER), or have an administrator GRANT CREATE ON SCHEMA to it; `synfin db grant` "
    "lets a user read.",
    "25006": " This server is read-only: connect to the primary server instead of a replica.",
    "2BP01": " Views or tables of others depend on the package's tables: drop them first.",
    "3F000": " First create the schema that the search_path of this connection names.",
    "42P07": " This package did not create it: rename it, or use another database.",
    "42723": " This package did not create it: drop it, or use another database.",
}
