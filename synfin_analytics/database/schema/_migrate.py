"""Create the tables, bring them up to date, take them away: all of it, or nothing."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text

from synfin_analytics.database.logging import logger
from synfin_analytics.database.schema._errors import refusals_in_words
from synfin_analytics.database.schema._version import (
    HasEngine,
    SchemaVersion,
    known_versions,
    look,
    migrations_folder,
)
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from sqlalchemy.engine import Connection

# Any number will do, so long as all versions of this package take the same: it is our key among
# the advisory locks of a database, and keeps two upgrades from running at once.
LOCK = 0x73796E66696E  # "synfin"
_PAUSE = 0.1  # seconds


@dataclass(frozen=True)
class Revision:
    """One version of the tables."""

    revision: str
    previous: str | None
    summary: str


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
    >>> from synfin_analytics.database.manager import get_db_manager
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
    while not connection.execute(query, {"key": LOCK}).scalar_one():
        if not told:
            logger.info("another process changes the tables; waiting for it")
            told = True
        time.sleep(_PAUSE)


def _migrate(
    target: HasEngine, direction: Literal["upgrade", "downgrade"], revision: str
) -> str | None:
    _check_revision(direction, revision)
    with refusals_in_words(), migrating(target) as connection:
        version = look(connection)
        if version.state in {"newer", "foreign"}:
            raise SchemaError(str(version))
        if (version.state, revision) in {("current", "head"), ("empty", "base")}:
            return version.found
        _run_alembic(direction, revision, connection, version)
        return look(connection).found


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


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    # ConfigParser reads "%" in a value as the beginning of a reference.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _one(down_revision: str | tuple[str, ...] | list[str] | None) -> str | None:
    """Narrow Alembic's type: our versions have one predecessor at most."""
    if down_revision is None or isinstance(down_revision, str):
        return down_revision
    raise SchemaError(f"Two versions of the tables were merged: {', '.join(down_revision)}.")
