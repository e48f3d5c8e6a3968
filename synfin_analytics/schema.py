"""The version of the tables in a database: create them, bring them up to date, take them away.

The steps between versions are Alembic's migrations. They travel with the package, so that
:func:`upgrade` works from a checkout and from an installed wheel, in any folder.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import psycopg2
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.exceptions import (
    ArgumentError,
    NotFoundError,
    SchemaError,
)
from synfin_analytics.log import logger
from synfin_analytics.models import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from sqlalchemy.engine import Connection, Engine

# Any number will do, so long as all versions of this package take the same: it is our key among
# the advisory locks of a database, and keeps two upgrades from running at once.
_LOCK = 0x73796E66696E  # "synfin"
_PAUSE = 0.1  # seconds
_VERSION_TABLE = "alembic_version"
_PACKAGE = Path(__file__).parent

State = Literal["current", "empty", "older", "newer", "foreign"]


class HasEngine(Protocol):
    """An engine, or what has one: a manager, a connection."""

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        ...


@dataclass(frozen=True)
class Revision:
    """One version of the tables."""

    revision: str
    previous: str | None
    summary: str


@dataclass(frozen=True)
class SchemaVersion:
    """Version of the tables in a database, and how it stands to this package.

    Attributes
    ----------
    database
        Name of the database.
    found
        Version of the tables in the database; None where there is none.
    newest
        Version that this package works with.
    state
        ``current``; ``empty`` (no tables yet); ``older`` or ``newer`` than this package;
        ``foreign``: tables of the same names, or a record of a version, that this package did not
        make.
    tables
        Those of our seven tables that exist.
    """

    database: str
    found: str | None
    newest: str
    state: State
    tables: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = _OTHER_PROGRAM if self.found and self.state == "foreign" else _IN_WORDS[self.state]
        return words.format(
            database=self.database,
            found=self.found,
            newest=self.newest,
            tables=", ".join(self.tables),
        )


_IN_WORDS: dict[State, str] = {
    "current": "The tables of database {database!r} are up to date (version {found}).",
    "empty": "Database {database!r} has no tables yet. Create them with `synfin db upgrade` or "
    "get_db_manager().create_all_tables().",
    "older": "The tables of database {database!r} are of version {found}, and this package needs "
    "{newest}. Bring them up to date with `synfin db upgrade`; the rows stay.",
    "newer": "The tables of database {database!r} were made by a newer version of this package "
    "(version {found} of the tables; known here are those up to {newest}). Upgrade it: "
    "pip install --upgrade synfin-analytics",
    "foreign": "Database {database!r} has tables of our names that this package did not make "
    "({tables}): no version is recorded in it. Use another database (DB_NAME), or an empty schema "
    "of this one.",
}
_OTHER_PROGRAM = (
    "Database {database!r} has an alembic_version ({found}) but none of our tables: another "
    "program keeps it. Use another database (DB_NAME), or an empty schema of this one."
)


def upgrade(target: HasEngine, revision: str = "head") -> str | None:
    """Create the tables, or bring them up to date: all of it, or nothing.

    Parameters
    ----------
    target
        A manager or an engine.
    revision
        Version to reach: ``head`` (the newest), a version, or ``+1`` for one step.

    Returns
    -------
    str or None
        Version that the tables have now.

    Raises
    ------
    SchemaError
        If the tables are of a newer package or not ours, or the server refuses; nothing is changed.

    Examples
    --------
    >>> from synfin_analytics.manager import get_db_manager
    >>> upgrade(get_db_manager())
    '0001'
    """
    return _migrate(target, "upgrade", revision)


def downgrade(target: HasEngine, revision: str = "-1") -> str | None:
    """Go back to an older version of the tables; the data that it has no place for are lost.

    Parameters
    ----------
    target
        A manager or an engine.
    revision
        Version to reach: ``-1`` for one step, a version, or ``base`` for no tables at all.

    Returns
    -------
    str or None
        Version that the tables have now; None if there are none left.

    Raises
    ------
    SchemaError
        As for :func:`upgrade`.
    """
    return _migrate(target, "downgrade", revision)


def current(target: HasEngine) -> str | None:
    """Version of the tables in the database; None if there are none."""
    return check_version(target).found


def history() -> list[Revision]:
    """All versions that this package knows, the oldest first.

    Examples
    --------
    >>> history()[0]
    Revision(revision='0001', previous=None, summary='The seven tables, with their rules, ...')
    """
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    newest_first = [
        Revision(one.revision, _one(one.down_revision), one.doc) for one in scripts.walk_revisions()
    ]
    return newest_first[::-1]


def check_version(target: HasEngine) -> SchemaVersion:
    """Compare the tables in the database with what this package needs."""
    with refusals_in_words(), target.engine.connect() as connection:
        return _look(connection)


def require_current(target: HasEngine) -> None:
    """Refuse a database whose tables are not of the version that this package works with.

    Raises
    ------
    SchemaError
        The message says what to run.
    """
    version = check_version(target)
    if version.state != "current":
        raise SchemaError(str(version))


@contextlib.contextmanager
def migrating(target: HasEngine) -> Iterator[Connection]:
    """Open the transaction of a migration; another one waits until it has ended.

    Alembic's own command line comes here as well (``migrations/env.py``).
    """
    with target.engine.connect() as connection:
        # What the other process did while we waited must be seen after the wait.
        connection = connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            _wait_for_others(connection)
            yield connection


def _wait_for_others(connection: Connection) -> None:
    """Take the lock; ask again and again, for a wait in the server cannot be interrupted."""
    query = text("SELECT pg_try_advisory_xact_lock(:key)")
    told = False
    while not connection.execute(query, {"key": _LOCK}).scalar_one():
        if not told:
            logger.info("another process changes the tables; waiting for it")
            told = True
        time.sleep(_PAUSE)


def known_versions() -> list[str]:
    """Versions that this package knows, the oldest first.

    Read from the names of the files, so that a look at the version need not import Alembic.
    """
    return sorted(path.name.split("_")[0] for path in _migrations().glob("versions/[0-9]*_*.py"))


def _migrate(
    target: HasEngine, direction: Literal["upgrade", "downgrade"], revision: str
) -> str | None:
    _check_revision(direction, revision)
    with refusals_in_words(), migrating(target) as connection:
        version = _look(connection)
        if version.state in {"newer", "foreign"}:
            raise SchemaError(str(version))
        if (version.state, revision) in {("current", "head"), ("empty", "base")}:
            return version.found
        _run_alembic(direction, revision, connection, version)
        return _look(connection).found


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
            f"{version.found or 'base'} to {revision!r}: {error}."
        ) from error


def _check_revision(direction: str, revision: str) -> None:
    step, end = (r"\+[0-9]{1,4}", "head") if direction == "upgrade" else (r"-[0-9]{1,4}", "base")
    if revision != end and not re.fullmatch(step, revision):
        known = [*known_versions(), end]
        if revision not in known:
            raise NotFoundError("version of the tables", revision, known)


def _look(connection: Connection) -> SchemaVersion:
    """Find the version; only what the search path leads to counts, as for every query of ours."""
    database = connection.execute(text("SELECT current_database()")).scalar_one()
    tables = tuple(
        connection.execute(
            text(
                "SELECT name FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS t(name, place) "
                "WHERE to_regclass(quote_ident(name)) IS NOT NULL ORDER BY place"
            ),
            {"names": list(TABLES)},
        ).scalars()
    )
    recorded = connection.execute(text(f"SELECT to_regclass('{_VERSION_TABLE}')")).scalar_one()
    found = None
    if recorded is not None:
        query = text(f"SELECT max(version_num) FROM {_VERSION_TABLE}")  # noqa: S608 - a constant
        found = connection.execute(query).scalar_one()
    known = known_versions()
    return SchemaVersion(database, found, known[-1], _state(found, known, tables), tables)


def _state(found: str | None, known: list[str], tables: tuple[str, ...]) -> State:
    if found is None:
        return "foreign" if tables else "empty"
    if found not in known:
        return "newer" if tables else "foreign"
    return "current" if found == known[-1] else "older"


def _migrations() -> Path:
    """Folder of the migrations: in the wheel, else beside the package in a checkout."""
    for folder in (_PACKAGE / "_migrations", _PACKAGE.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise SchemaError(
        f"The migrations are missing from {_PACKAGE}: the installation is incomplete. "
        "Install it again: pip install --force-reinstall synfin-analytics"
    )


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    # ConfigParser reads "%" in a value as the beginning of a reference.
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def refusals_in_words() -> Iterator[None]:
    """Say in words what the server refuses; never with the row that it refused."""
    try:
        yield
    except (DBAPIError, psycopg2.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "pgcode", None)
        # The detail, which may show a row of the table, is left out. What has no code comes from
        # the driver, as a refused connection does, and shows none.
        said = cause.diag.message_primary if code and isinstance(cause, psycopg2.Error) else cause
        raise SchemaError(
            f"The server refused: {' '.join(str(said).split())}. Nothing was changed."
            + _ADVICE.get(code or "", "")
        ) from None


_ADVICE = {
    "42501": " The user of this connection lacks a right: use the owner of the tables for upgrades "
    "(DB_USER), or let an administrator GRANT CREATE ON SCHEMA to it; `synfin db grant` lets a "
    "user read.",
    "25006": " This server only reads: connect to the primary server instead of a replica.",
    "2BP01": " Views or tables of others are built on ours: drop them first, or let them stay.",
    "3F000": " Create the schema that the search_path of this connection names first.",
    "42P07": " It was not made by this package: move it out of the way, or use another database.",
    "42723": " It was not made by this package: drop it, or use another database.",
}


def _one(down_revision: str | tuple[str, ...] | list[str] | None) -> str | None:
    """Narrow Alembic's type: our versions have one predecessor at most."""
    if down_revision is None or isinstance(down_revision, str):
        return down_revision
    raise SchemaError(f"Two versions of the tables were merged: {', '.join(down_revision)}.")
