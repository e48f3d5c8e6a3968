"""Create, upgrade and drop the tables; each step is one transaction."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text

from synfin_analytics.database.logging import logger
from synfin_analytics.database.schema._errors import translate_errors
from synfin_analytics.database.schema._version import (
    HasEngine,
    SchemaVersion,
    known_versions,
    migrations_folder,
    read_version,
)
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from sqlalchemy.engine import Connection

# Key of an advisory lock that keeps two upgrades from running at once. Any number will do, as long
# as all versions of this package use the same.
LOCK_KEY = 0x73796E66696E  # "synfin"
_PAUSE = 0.1  # seconds


@dataclass(frozen=True)
class Revision:
    """One version of the tables."""

    revision: str
    previous: str | None
    summary: str


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
    '0001'
    """
    return _migrate(target, "upgrade", revision)


def downgrade(target: HasEngine, revision: str = "-1") -> str | None:
    """Return to an older version of the tables; data that it has no column for are lost.

    Parameters
    ----------
    target
        A manager or an engine.
    revision
        Target version: ``-1`` for one step, a version, or ``base`` for no tables at all.

    Returns
    -------
    str or None
        Version of the tables after the downgrade; None if none are left.

    Raises
    ------
    SchemaError
        As for :func:`upgrade`.

    Examples
    --------
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> from synfin_analytics.database.manager import DatabaseManager
    >>> manager = DatabaseManager(DatabaseConfig(database="to_downgrade"))
    >>> upgrade(manager), downgrade(manager, "base")
    ('0001', None)
    >>> manager.close()
    """
    return _migrate(target, "downgrade", revision)


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
        Revision(script.revision, _single(script.down_revision), script.doc)
        for script in scripts.walk_revisions()
    ]
    return newest_first[::-1]


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
    target: HasEngine, direction: Literal["upgrade", "downgrade"], revision: str
) -> str | None:
    _check_revision(direction, revision)
    with translate_errors(), migration_transaction(target) as connection:
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


def _single(down_revision: str | tuple[str, ...] | list[str] | None) -> str | None:
    """Narrow Alembic's type: the package's versions have at most one predecessor."""
    if down_revision is None or isinstance(down_revision, str):
        return down_revision
    raise SchemaError(
        f"A version must have at most one predecessor; got {', '.join(down_revision)}."
    )
