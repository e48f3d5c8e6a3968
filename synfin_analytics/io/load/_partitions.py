"""Partitioned tables: keys that no index enforces, and rows that no partition takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from psycopg2 import sql

from synfin_analytics.io.load._check import ROW
from synfin_analytics.io.load._copy import copy_rows, create_stage, drop_table, join_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database._interrupt import Cursor

NO_PARTITION = "no partition of the table takes it (create one, or a default partition)"


class Partitions:
    """The partitions of a table; a table without any has nothing to add to the server's checks.

    A unique index of a partitioned table must contain the columns that it is partitioned by. If
    these are no part of a key, the server accepts the same key in two partitions.

    Attributes
    ----------
    columns
        Columns by which the table is partitioned; empty if it is not, or if an expression is used.
    """

    def __init__(self, cursor: Cursor, spec: TableSpec) -> None:
        self._cursor = cursor
        self._spec = spec
        cursor.execute(
            "SELECT coalesce(attname::text, '') FROM pg_partitioned_table "
            "CROSS JOIN unnest(partattrs::smallint[]) WITH ORDINALITY AS k(attnum, position) "
            "LEFT JOIN pg_attribute AS a ON attrelid = partrelid AND a.attnum = k.attnum "
            "AND a.attnum > 0 WHERE partrelid = to_regclass(%s) ORDER BY position",
            (spec.qualified(),),
        )
        names = [name for (name,) in cursor.fetchall()]
        self._exist = bool(names)
        self.columns = names if all(names) else []

    def enforces(self, key: Sequence[str]) -> bool:
        """Whether the server refuses a key that another partition has."""
        return not self._exist or bool(
            self._cursor.fetch_value(
                "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = %s::regclass "
                "AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL "
                "AND (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = indrelid "
                "AND attnum = ANY((indkey::smallint[])[0:indnkeyatts - 1])) <@ %s::text[])",
                (self._spec.qualified(), list(key)),
            )
        )

    def lock_keys(self) -> None:
        """Wait for other loads of the table, whose keys would be seen only after their commit."""
        self._cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            (f"synfin_keys {self._spec.qualified()}",),
        )

    def without(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that no partition takes."""
        if not self.columns or not set(self.columns) <= set(rows.columns):
            return rows.clear()
        self._cursor.execute(
            "SELECT coalesce(pg_get_partition_constraintdef(relid), 'true') "
            "FROM pg_partition_tree(%s::regclass) WHERE isleaf",
            (self._spec.qualified(),),
        )
        conditions = [sql.SQL("({})").format(sql.SQL(part)) for (part,) in self._cursor.fetchall()]
        names = sql.SQL("0::bigint AS position, {}").format(join_names(self.columns))
        stage = create_stage(
            self._cursor, self._spec, f"synfin_partitions_{self._spec.name}", names
        )
        columns = rows.select(pl.col(ROW).alias("position"), *self.columns)
        copy_rows(self._cursor, stage, columns, self._spec)
        self._cursor.execute(
            sql.SQL("SELECT position FROM {} WHERE ({}) IS NOT TRUE").format(
                stage, sql.SQL(" OR ").join(conditions or [sql.SQL("false")])
            )
        )
        positions = pl.Series([row for (row,) in self._cursor.fetchall()], dtype=pl.Int64)
        drop_table(self._cursor, stage)
        return rows.filter(pl.col(ROW).is_in(positions.implode()))
