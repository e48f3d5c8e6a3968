"""VACUUM of the tables that an erasure has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg2 import sql
from sqlalchemy.exc import DBAPIError

from synfin_analytics.database.schema import schema_of_tables
from synfin_analytics.exceptions import ErasureError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics.database.manager import DatabaseManager

_MAY_NOT = """
    SELECT relname FROM pg_class WHERE oid = ANY(%s::regclass[]) AND NOT (
        pg_has_role(relowner, 'USAGE') OR pg_has_role(
            (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE')
    ) ORDER BY relname
"""


def vacuum_tables(manager: DatabaseManager, tables: Sequence[str]) -> None:
    """Run VACUUM on tables, outside of a transaction.

    Raises
    ------
    ErasureError
        The role owns neither the tables nor the database, or the server refuses.
    """
    try:
        with manager.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = connection.connection.driver_connection
            with driver.cursor() as cursor:
                schema = schema_of_tables(cursor)
                names = [sql.Identifier(schema, table) for table in tables]
                texts = [name.as_string(cursor) for name in names]
                cursor.execute(_MAY_NOT, (texts,))
                skipped = [name for (name,) in cursor.fetchall()]
                if skipped:
                    raise ErasureError(
                        "The customer was erased, but this role may not VACUUM "
                        f"{', '.join(skipped)}: run VACUUM as the owner of the tables."
                    )
                for name in names:
                    cursor.execute(sql.SQL("VACUUM {}").format(name))
    except ErasureError:
        raise
    except (DBAPIError, SynfinError) as error:
        raise ErasureError(
            "The customer was erased, but VACUUM was not completed: run it again."
        ) from error
