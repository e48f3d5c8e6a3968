"""Rows by way of a temporary table: those that exist are changed, and new ones inserted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from synfin_analytics.exceptions import LoadError
from synfin_analytics.io.load._copy_from import copy_rows
from synfin_analytics.io.load._key_order import key_order
from synfin_analytics.io.load._lookup import hides_rows
from synfin_analytics.io.load._prepare import ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.spec import TableSpec


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
    parts = {
        "table": spec.identifier(),
        "stage": _staged(cursor, spec, (*key, *changed), rows),
        "order": key_order(key, spec, "s"),
        "lock": sql.SQL(
            "UPDATE"
            if {*changed} & {name for one in spec.unique for name in one}
            else "NO KEY UPDATE"
        ),
        "changes": sql.SQL(", ").join(
            # NULL in a column that the database fills in says nothing: what is there stays.
            sql.SQL("{0} = coalesce(s.{0}, t.{0})" if column.defaulted else "{0} = s.{0}").format(
                sql.Identifier(column.name)
            )
            for column in spec.sent(changed)
        ),
        "same": sql.SQL(" AND ").join(
            sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in key
        ),
    }
    # In the order of the key: two loads that change the same rows do not wait for each other.
    cursor.execute(
        sql.SQL(
            "SELECT count(*) FROM (SELECT FROM {table} AS t JOIN {stage} AS s ON {same} "
            "ORDER BY {order} FOR {lock} OF t) AS locked"
        ).format(**parts)
    )
    cursor.execute(
        sql.SQL("UPDATE {table} AS t SET {changes} FROM {stage} AS s WHERE {same}").format(**parts)
    )
    found = cursor.rowcount
    if found < rows.height and hides_rows(cursor, spec.qualified()):
        raise LoadError(
            f"Nothing was loaded into {spec.name!r}: row-level security keeps this user from "
            f"changing {rows.height - found:,} of the rows. Ask the owner of the table for a "
            "policy, or load as a user who may."
        )
    if found < rows.height:
        # A trigger of the user's may have left a row as it was: that is no reason to worry.
        cursor.execute(
            sql.SQL("SELECT count(*) FROM {table} AS t, {stage} AS s WHERE {same}").format(**parts)
        )
        (found,) = cursor.fetchone() or (0,)
    cursor.execute(sql.SQL("DROP TABLE {stage}").format(**parts))
    return bool(found == rows.height)


def insert_rows(cursor: Cursor, spec: TableSpec, rows: pl.DataFrame) -> None:
    """Insert rows where COPY may not: into a table whose rows have a policy."""
    if rows.is_empty():
        return
    names = [column.name for column in spec.sent(rows.columns)]
    stage = _staged(cursor, spec, names, rows)
    cursor.execute(
        sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM {stage}").format(
            table=spec.identifier(),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            stage=stage,
        )
    )
    cursor.execute(sql.SQL("DROP TABLE {}").format(stage))


def _staged(
    cursor: Cursor, spec: TableSpec, names: Sequence[str], rows: pl.DataFrame
) -> sql.Identifier:
    """Fill a temporary table with these columns of rows."""
    stage = sql.Identifier("pg_temp", f"synfin_stage_{spec.name}")
    cursor.execute(
        sql.SQL(
            "CREATE TEMP TABLE {stage} ON COMMIT DROP AS SELECT {columns} FROM {table} LIMIT 0"
        ).format(
            stage=stage,
            columns=sql.SQL(", ").join(sql.Identifier(name) for name in names),
            table=spec.identifier(),
        )
    )
    copy_rows(cursor, stage, rows, spec.sent(names))
    return stage
