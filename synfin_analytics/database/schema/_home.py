"""The schema that our tables are in, whatever else the search path leads to first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import SchemaError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: Where the migrations record the version of the tables.
VERSION_TABLE = "alembic_version"

_KNOWN = ", ".join(f"'{name}'" for name in (VERSION_TABLE, *TABLES))
_HOME = f"""
    SELECT path.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place)
    WHERE left(path.name, 7) <> 'pg_temp' ORDER BY (
        SELECT count(*) FROM unnest(ARRAY[{_KNOWN}]) AS known(name)
        WHERE to_regclass(quote_ident(path.name) || '.' || known.name) IS NOT NULL
    ) DESC, path.place LIMIT 1
"""  # noqa: S608 - constants
_OTHER = f"""
    SELECT home.name, n.nspname FROM ({_HOME}) AS home
    JOIN pg_class AS c ON c.oid = to_regclass(:table) JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE n.nspname <> home.name
"""  # noqa: S608 - constants


def home_schema(cursor: Any) -> str:
    """Find the schema of our tables: on the search path, the one that has most of them.

    A temporary table, or one of another schema, may have the name of one of ours. Where there are
    no tables yet, it is the schema in which they would be created.

    Parameters
    ----------
    cursor
        Of the driver.
    """
    cursor.execute(_HOME)
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def refuse_other_table(connection: Connection, table: str) -> None:
    """Refuse a session in which the name of one of our tables means another table.

    Raises
    ------
    SchemaError
        A temporary table, or one of another schema, comes first on the search path.
    """
    other = connection.execute(text(_OTHER), {"table": table}).one_or_none()
    if other is not None:
        home, hiding = other
        hiding = "pg_temp" if hiding.startswith("pg_temp") else hiding
        raise SchemaError(
            f"{table!r} must be the table of schema {home!r}; got {hiding}.{table}, which comes "
            "first on this session's search path. Drop or rename it, or use another session."
        )
