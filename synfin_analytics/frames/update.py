"""Rows that exist already, changed by one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from synfin_analytics.frames.copy_in import copy_rows
from synfin_analytics.frames.prepare import ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics.frames.spec import TableSpec


def update_rows(cursor: Cursor, spec: TableSpec, key: Sequence[str], rows: pl.DataFrame) -> bool:
    """Update rows that exist; False where another session has deleted some meanwhile.

    Parameters
    ----------
    cursor
        Of the connection of the load.
    spec
        The table.
    key
        Columns that say which row is meant; all others are changed.
    rows
        One for each row to change.
    """
    changed = [name for name in rows.columns if name not in (*key, ROW)]
    if rows.is_empty() or not changed:
        return True
    table = sql.Identifier(spec.name)
    stage = f"synfin_stage_{spec.name}"
    cursor.execute(
        sql.SQL(
            "CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DROP AS "
            "SELECT {columns} FROM {table} LIMIT 0"
        ).format(
            stage=sql.Identifier(stage),
            columns=sql.SQL(", ").join(sql.Identifier(name) for name in (*key, *changed)),
            table=table,
        )
    )
    copy_rows(cursor, stage, rows, spec.sent((*key, *changed)))
    parts = {
        "table": table,
        "stage": sql.Identifier(stage),
        "changes": sql.SQL(", ").join(
            # NULL in a column that the database fills in says nothing: what is there stays.
            sql.SQL("{0} = coalesce(s.{0}, {1}.{0})" if column.defaulted else "{0} = s.{0}").format(
                sql.Identifier(column.name), table
            )
            for column in spec.sent(changed)
        ),
        "same": sql.SQL(" AND ").join(
            sql.SQL("{0}.{1} = s.{1}").format(table, sql.Identifier(name)) for name in key
        ),
    }
    cursor.execute(
        sql.SQL("UPDATE {table} SET {changes} FROM pg_temp.{stage} AS s WHERE {same}").format(
            **parts
        )
    )
    found = cursor.rowcount
    if found < rows.height:
        # A trigger of the user's may have left a row as it was: that is no reason to worry.
        cursor.execute(
            sql.SQL("SELECT count(*) FROM {table}, pg_temp.{stage} AS s WHERE {same}").format(
                **parts
            )
        )
        (found,) = cursor.fetchone() or (0,)
    cursor.execute(sql.SQL("DROP TABLE pg_temp.{stage}").format(**parts))
    return bool(found == rows.height)
