"""Rows by way of a staging table: UPDATE those that exist, INSERT where COPY is not allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from synfin_analytics.exceptions import LoadError
from synfin_analytics.io.load._check import ROW
from synfin_analytics.io.load._copy import copy_rows
from synfin_analytics.io.load._keys import hides_rows, order_by_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.spec import TableSpec


def update_rows(cursor: Cursor, spec: TableSpec, key: Sequence[str], rows: pl.DataFrame) -> bool:
    """Update rows that exist; return False if another session has deleted some meanwhile.

    Parameters
    ----------
    cursor
        Cursor of the load.
    spec
        The table.
    key
        Columns that identify the rows; all others are updated.
    rows
        The new values, one row for each row to update.
    """
    changed = [name for name in rows.columns if name not in (*key, ROW)]
    if rows.is_empty() or not changed:
        return True
    parts = {
        "table": spec.identifier(),
        "stage": _stage(cursor, spec, (*key, *changed), rows),
        "order": order_by_key(key, spec, "s"),
        "lock": sql.SQL(
            "UPDATE"
            if {*changed} & {name for other_key in spec.unique for name in other_key}
            else "NO KEY UPDATE"
        ),
        "changes": sql.SQL(", ").join(
            # NULL in a column with a default leaves the value as it is.
            sql.SQL("{0} = coalesce(s.{0}, t.{0})" if column.defaulted else "{0} = s.{0}").format(
                sql.Identifier(column.name)
            )
            for column in spec.select(changed)
        ),
        "same": sql.SQL(" AND ").join(
            sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in key
        ),
    }
    # In the order of the key: two loads that update the same rows cannot deadlock.
    cursor.execute(
        sql.SQL(
            "SELECT count(*) FROM (SELECT FROM {table} AS t JOIN {stage} AS s ON {same} "
            "ORDER BY {order} FOR {lock} OF t) AS locked"
        ).format(**parts)
    )
    cursor.execute(
        sql.SQL("UPDATE {table} AS t SET {changes} FROM {stage} AS s WHERE {same}").format(**parts)
    )
    n_updated = cursor.rowcount
    if n_updated < rows.height and hides_rows(cursor, spec.qualified()):
        raise LoadError(
            f"Nothing was loaded into {spec.name!r}: row-level security does not allow this user "
            f"to update {rows.height - n_updated:,} of the rows. Ask the owner of the table for a "
            "policy, or load as a user who is allowed to."
        )
    n_found = n_updated
    if n_updated < rows.height:
        # The rows may still be there: a trigger can skip an update.
        cursor.execute(
            sql.SQL("SELECT count(*) FROM {table} AS t, {stage} AS s WHERE {same}").format(**parts)
        )
        (n_found,) = cursor.fetchone() or (0,)
    cursor.execute(sql.SQL("DROP TABLE {stage}").format(**parts))
    return bool(n_found == rows.height)


def insert_rows(cursor: Cursor, spec: TableSpec, rows: pl.DataFrame) -> None:
    """Insert rows where COPY is not allowed: into a table with row-level security."""
    if rows.is_empty():
        return
    names = [column.name for column in spec.select(rows.columns)]
    stage = _stage(cursor, spec, names, rows)
    cursor.execute(
        sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM {stage}").format(
            table=spec.identifier(),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            stage=stage,
        )
    )
    cursor.execute(sql.SQL("DROP TABLE {}").format(stage))


def _stage(
    cursor: Cursor, spec: TableSpec, names: Sequence[str], rows: pl.DataFrame
) -> sql.Identifier:
    """Copy columns of rows into a temporary table."""
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
    copy_rows(cursor, stage, rows, spec.select(names))
    return stage
