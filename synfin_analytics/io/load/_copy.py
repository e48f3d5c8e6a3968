"""Rows to the server: with binary COPY into a table, or by way of a staging table.

A staging table serves to UPDATE rows that exist, and to INSERT where COPY is not allowed.

Loads that write the same keys in the same order cannot deadlock. Shorter texts come first, as
counters run ("T9" before "T10"), so that rows mostly keep the order of their source; texts of one
length are compared byte by byte, whatever the collation of the database.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import pgpq
import polars as pl
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg2 import sql

from synfin_analytics._core.prefetch import prefetch
from synfin_analytics.exceptions import LoadError
from synfin_analytics.io.load._check import ROW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database._interrupt import Cursor

#: Rows that are encoded at a time: few, since the encoder holds the GIL.
_CHUNK_ROWS = 2048


def copy_rows(
    cursor: Cursor,
    table: sql.Identifier,
    frame: pl.DataFrame,
    spec: TableSpec,
    *,
    freeze: bool = False,
) -> None:
    """COPY the columns of ``frame`` into ``table``, except positions in the source.

    Parameters
    ----------
    cursor
        Cursor of the load.
    table
        Table to fill.
    frame
        Rows in the types of the table.
    spec
        The table that is loaded.
    freeze
        The table was truncated in this transaction, so that COPY may write its rows as frozen.
    """
    if frame.is_empty():
        return
    frame = frame.select(pl.exclude(ROW))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE {})").format(
        table, join_names(frame.columns), sql.SQL(str(freeze))
    )
    with contextlib.closing(prefetch(_encode(frame, spec), depth=2)) as chunks:
        stream = _Stream(chunks)
        try:
            cursor.copy_expert(statement, cast("Any", stream), size=1 << 20)
        except Exception:
            if stream.error is not None:
                raise stream.error from None
            raise


def _encode(frame: pl.DataFrame, spec: TableSpec) -> Iterator[bytes]:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    json = {column.name for column in spec.columns.values() if column.kind == "json"}
    encoders = {
        field.name: LargeStringEncoderBuilder.new_with_output(field, Jsonb())
        if field.name in json
        else pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)
        for field in table.schema
    }
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(table.schema, encoders)
    yield encoder.write_header()
    for batch in table.to_batches(max_chunksize=_CHUNK_ROWS):
        yield encoder.write_batch(batch)
    yield encoder.finish()


class _Stream:
    """Encoded rows as a file that psycopg2 reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        #: psycopg2 replaces an error in ``read`` by one of its own.
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes; none at the end."""
        try:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._rest = memoryview(chunk)
        except BaseException as error:
            self.error = error
            raise
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


# -- Order -------------------------------------------------------------------------------------


def sort_by_key(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Sort rows by a key; rows with equal keys keep their order.

    Examples
    --------
    >>> sort_by_key(pl.DataFrame({"id": ["T10", "b", "T9", "a"]}), ["id"])["id"].to_list()
    ['a', 'b', 'T9', 'T10']
    """
    by: list[pl.Expr] = []
    for name in key:
        if rows.schema[name] == pl.String:
            by.append(pl.col(name).str.len_bytes())
        by.append(pl.col(name))
    return rows.sort(by, maintain_order=True)


def _order_by_key(key: Sequence[str], spec: TableSpec) -> sql.Composed:
    """Return the terms of ORDER BY for the same order, with columns of the stage ``s``."""
    return sql.SQL(", ").join(
        order_by_text(sql.Identifier("s", name))
        if spec.columns[name].kind == "text"
        else sql.Identifier("s", name)
        for name in key
    )


def order_by_text(column: sql.Identifier) -> sql.Composed:
    """Return the terms of ORDER BY for a column of texts."""
    return sql.SQL('octet_length({0}), {0} COLLATE "C"').format(column)


# -- By way of a staging table -----------------------------------------------------------------


def create_stage(
    cursor: Cursor, spec: TableSpec, name: str, columns: sql.Composable
) -> sql.Identifier:
    """Create an empty temporary table with columns of the table."""
    stage = sql.Identifier("pg_temp", name)
    drop_table(cursor, stage)
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
            stage, columns, spec.identifier()
        )
    )
    return stage


def drop_table(cursor: Cursor, table: sql.Identifier) -> None:
    """Drop a temporary table, if it exists."""
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def join_names(names: Iterable[str]) -> sql.Composed:
    """Return the quoted names of columns, separated by commas."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def equal_columns(names: Sequence[str]) -> sql.Composed:
    """Return the condition that a row ``t`` of the table and ``s`` of the stage have equal keys."""
    return sql.SQL(" AND ").join(
        sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in names
    )


@contextlib.contextmanager
def _staged(
    cursor: Cursor, spec: TableSpec, rows: pl.DataFrame, names: Sequence[str]
) -> Iterator[sql.Identifier]:
    """Copy columns of rows into a temporary table, which exists within the block."""
    stage = create_stage(cursor, spec, f"synfin_stage_{spec.name}", join_names(names))
    copy_rows(cursor, stage, rows.select(names), spec)
    yield stage
    drop_table(cursor, stage)


def update_rows(
    cursor: Cursor, spec: TableSpec, key: Sequence[str], rows: pl.DataFrame, *, hidden: bool
) -> bool:
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
    hidden
        Whether row-level security may hide rows of the table from this user.
    """
    changed = [name for name in rows.columns if name not in (*key, ROW)]
    if rows.is_empty() or not changed:
        return True
    with _staged(cursor, spec, rows, (*key, *changed)) as stage:
        parts = {
            "table": spec.identifier(),
            "stage": stage,
            "order": _order_by_key(key, spec),
            "lock": sql.SQL(
                "UPDATE"
                if {*changed} & {name for other_key in spec.unique for name in other_key}
                else "NO KEY UPDATE"
            ),
            "changes": sql.SQL(", ").join(
                # NULL in a column with a default leaves the value as it is.
                sql.SQL(
                    "{0} = coalesce(s.{0}, t.{0})" if column.defaulted else "{0} = s.{0}"
                ).format(sql.Identifier(column.name))
                for column in spec.select(changed)
            ),
            "same": equal_columns(key),
        }
        # In the order of the key: two loads that update the same rows cannot deadlock.
        cursor.execute(
            sql.SQL(
                "SELECT count(*) FROM (SELECT FROM {table} AS t JOIN {stage} AS s ON {same} "
                "ORDER BY {order} FOR {lock} OF t) AS locked"
            ).format(**parts)
        )
        cursor.execute(
            sql.SQL("UPDATE {table} AS t SET {changes} FROM {stage} AS s WHERE {same}").format(
                **parts
            )
        )
        n_missing = rows.height - cursor.rowcount
        if n_missing and hidden:
            raise LoadError(
                f"Nothing was loaded into {spec.name!r}: row-level security does not allow this "
                f"user to update {n_missing:,} of the rows. Ask the owner of the table for a "
                "policy, or load as a user who is allowed to."
            )
        # The rows may still be there: a trigger can skip an update.
        return not n_missing or rows.height == cursor.fetch_value(
            sql.SQL("SELECT count(*) FROM {table} AS t, {stage} AS s WHERE {same}").format(**parts)
        )


def insert_rows(cursor: Cursor, spec: TableSpec, rows: pl.DataFrame) -> None:
    """Insert rows where COPY is not allowed: into a table with row-level security."""
    if rows.is_empty():
        return
    names = rows.select(pl.exclude(ROW)).columns
    with _staged(cursor, spec, rows, names) as stage:
        cursor.execute(
            sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM {stage}").format(
                table=spec.identifier(), names=join_names(names), stage=stage
            )
        )


def advance_sequence(cursor: Cursor, spec: TableSpec) -> None:
    """Let the next row without a number get one that is free."""
    cursor.execute(
        sql.SQL(
            "SELECT setval(pg_get_serial_sequence(%(table)s, %(key)s), greatest("
            "(SELECT max({key}) FROM {table}), "
            "nextval(pg_get_serial_sequence(%(table)s, %(key)s)) - 1, 1))"
        ).format(key=sql.Identifier(spec.primary_key), table=spec.identifier()),
        {"table": spec.qualified(), "key": spec.primary_key},
    )
