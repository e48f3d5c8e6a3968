"""The schema that contains the package's tables, whatever comes first on the search path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import SchemaError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class
    from sqlalchemy.engine import Connection

#: Table in which the migrations record the version of the tables.
VERSION_TABLE = "alembic_version"

_NAMES = ", ".join(f"'{name}'" for name in (VERSION_TABLE, *TABLES))
_SCHEMA = f"""
    SELECT path.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place)
    WHERE left(path.name, 7) <> 'pg_temp' ORDER BY (
        SELECT count(*) FROM unnest(ARRAY[{_NAMES}]) AS ours(name)
        WHERE to_regclass(quote_ident(path.name) || '.' || ours.name) IS NOT NULL
    ) DESC, path.place LIMIT 1
"""  # noqa: S608 - constants
_HIDING_TABLE = f"""
    SELECT expected.name, n.nspname FROM ({_SCHEMA}) AS expected
    JOIN pg_class AS c ON c.oid = to_regclass(:table) JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE n.nspname <> expected.name
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
    if row is not None:
        schema, other_schema = row
        other_schema = "pg_temp" if other_schema.startswith("pg_temp") else other_schema
        raise SchemaError(
            f"{table!r} must be the table of schema {schema!r}; got {other_schema}.{table}, which "
            "comes first on this session's search path. Drop or rename it, or use another session."
        )
