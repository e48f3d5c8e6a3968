"""Version of the tables in a database, and whether this package can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from sqlalchemy import text

from synfin_analytics._core.lookup import resource_folder
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema._errors import translate_errors
from synfin_analytics.database.schema._search_path import VERSION_TABLE
from synfin_analytics.exceptions import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection, Engine

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
    '0001'
    """
    return check_version(target).version


def check_version(target: HasEngine) -> SchemaVersion:
    """Compare the tables in the database with what this package needs.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> print(check_version(get_db_manager()))
    The tables of database ... are up to date (version 0001).
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


def known_versions() -> list[str]:
    """Versions that this package knows, the oldest first.

    Read from the names of the files, so that a look at the version need not import Alembic.
    """
    return sorted(
        path.name.split("_")[0] for path in migrations_folder().glob("versions/[0-9]*_*.py")
    )


def read_version(connection: Connection) -> SchemaVersion:
    """Read the version of the tables that the search path leads to, as every query does."""
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
    version_table = connection.execute(text(f"SELECT to_regclass('{VERSION_TABLE}')")).scalar_one()
    version = None
    if version_table is not None:
        query = text(f"SELECT max(version_num) FROM {VERSION_TABLE}")  # noqa: S608 - a constant
        version = connection.execute(query).scalar_one()
    versions = known_versions()
    state = _state(version, versions, tables)
    return SchemaVersion(database, version, versions[-1], state, tables)


def _state(version: str | None, versions: list[str], tables: tuple[str, ...]) -> State:
    if version is None:
        return "foreign" if tables else "empty"
    if version not in versions:
        return "newer" if tables else "foreign"
    return "current" if version == versions[-1] else "older"


def migrations_folder() -> Path:
    """Return the directory of the migrations."""
    return resource_folder("migrations", SchemaError)
