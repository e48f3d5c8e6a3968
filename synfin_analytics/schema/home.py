"""The schema that our tables are in, whatever else the search path leads to first."""

from __future__ import annotations

from typing import Any

from synfin_analytics.models import TABLES

#: Where the migrations record the version of the tables.
VERSION_TABLE = "alembic_version"

_HOME = """
    SELECT path.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place)
    WHERE path.name NOT LIKE 'pg\\_temp%%' ORDER BY (
        SELECT count(*) FROM unnest(%s::text[]) AS known(name)
        WHERE to_regclass(format('%%I.%%I', path.name, known.name)) IS NOT NULL
    ) DESC, path.place LIMIT 1
"""


def home_schema(cursor: Any) -> str:
    """Find the schema of our tables: on the search path, the one that has most of them.

    A temporary table, or one of another schema, may have the name of one of ours. Where there are
    no tables yet, it is the schema in which they would be created.

    Parameters
    ----------
    cursor
        Of the driver.
    """
    cursor.execute(_HOME, ([VERSION_TABLE, *TABLES],))
    row = cursor.fetchone()
    return str(row[0]) if row else ""
