"""Which version the tables in a database have, and whether this package can work with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from sqlalchemy import text

from synfin_analytics._core.resources import resource_folder
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema._errors import refusals_in_words
from synfin_analytics.database.schema._home import VERSION_TABLE
from synfin_analytics.exceptions import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection, Engine

State = Literal["current", "empty", "older", "newer", "foreign"]


class HasEngine(Protocol):
    """An engine, or what has one: a manager, a connection."""

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        ...


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


def current(target: HasEngine) -> str | None:
    """Version of the tables in the database; None if there are none."""
    return check_version(target).found


def check_version(target: HasEngine) -> SchemaVersion:
    """Compare the tables in the database with what this package needs."""
    with refusals_in_words(), target.engine.connect() as connection:
        return look(connection)


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


def known_versions() -> list[str]:
    """Versions that this package knows, the oldest first.

    Read from the names of the files, so that a look at the version need not import Alembic.
    """
    return sorted(
        path.name.split("_")[0] for path in migrations_folder().glob("versions/[0-9]*_*.py")
    )


def look(connection: Connection) -> SchemaVersion:
    """Find the version. Only what the search path leads to counts, as for every query of ours."""
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
    recorded = connection.execute(text(f"SELECT to_regclass('{VERSION_TABLE}')")).scalar_one()
    found = None
    if recorded is not None:
        query = text(f"SELECT max(version_num) FROM {VERSION_TABLE}")  # noqa: S608 - a constant
        found = connection.execute(query).scalar_one()
    known = known_versions()
    return SchemaVersion(database, found, known[-1], _state(found, known, tables), tables)


def _state(found: str | None, known: list[str], tables: tuple[str, ...]) -> State:
    if found is None:
        return "foreign" if tables else "empty"
    if found not in known:
        return "newer" if tables else "foreign"
    return "current" if found == known[-1] else "older"


def migrations_folder() -> Path:
    """Folder of the migrations."""
    return resource_folder("migrations", SchemaError)
