"""Keys against the database: parents that must exist, rows that exist already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from psycopg2 import sql

from synfin_analytics.frames.copy_in import copy_rows
from synfin_analytics.frames.prepare import ROW
from synfin_analytics.frames.spec import ColumnSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics.frames.faults import Faults
    from synfin_analytics.frames.prepare import Prepared
    from synfin_analytics.frames.spec import Reference, TableSpec

#: Tables whose rows can be made of their key alone.
STUBS = ("customers", "merchants")

_MOST_REMEMBERED = 500_000
_ID = ColumnSpec("id", "text", pl.String())
_AT = ColumnSpec("at", "integer", pl.Int64())


class Parents:
    """Foreign keys of the rows: looked up once, missing ones created or refused."""

    def __init__(self, cursor: Cursor, reference: Reference, *, create: bool) -> None:
        self._cursor = cursor
        self._reference = reference
        self._create = create and reference.table in STUBS
        self._known = pl.Series([], dtype=pl.String)
        self._hold = False
        #: Whether all parents so far are held: they exist until the transaction ends.
        self.held = False
        self._cursor.execute("CREATE TEMP TABLE IF NOT EXISTS synfin_ids (id text) ON COMMIT DROP")

    def hold(self) -> None:
        """From now on, lock the keys of the parents, as PostgreSQL's check of a row does."""
        self._hold = self.held = True

    def forget(self) -> None:
        """Look all of them up again: another session has deleted some."""
        self._known = self._known.clear()

    def check(self, prepared: Prepared, faults: Faults, spec: TableSpec) -> None:
        """Refuse the rows of a batch whose parent does not exist, or create it."""
        ids = prepared.frame[self._reference.column]
        wanted = (prepared.good[self._reference.column] if self._create else ids).drop_nulls()
        unseen = wanted.unique().sort()
        unseen = unseen.filter(~unseen.is_in(self._known.implode()))
        missing = self._look_up(unseen)
        if len(missing):
            prepared.refuse(
                ids.is_in(missing.implode()).fill_null(False),
                [self._reference.column],
                f"names no row of {self._reference.table!r}"
                + (
                    ' (load those first, or on_missing_parent="create")'
                    if self._reference.table in STUBS
                    else " (load those first)"
                ),
                faults,
                spec,
            )
        found = unseen.filter(~unseen.is_in(missing.implode()))
        if self._hold and len(found):
            self.held &= self._lock() == len(found)
        if len(self._known) + len(found) > _MOST_REMEMBERED:
            self.forget()
        self._known = pl.concat([self._known, found.head(_MOST_REMEMBERED)])

    def _look_up(self, ids: pl.Series) -> pl.Series:
        """Those of ``ids`` that do not exist; none of them where they are created."""
        if not len(ids):
            return ids
        names = {
            "parent": sql.Identifier(self._reference.table),
            "key": sql.Identifier(self._reference.target),
        }
        self._cursor.execute("TRUNCATE pg_temp.synfin_ids")
        copy_rows(self._cursor, "synfin_ids", ids.alias("id").to_frame(), [_ID])
        if self._create:
            self._cursor.execute(
                sql.SQL(
                    "INSERT INTO {parent} ({key}) SELECT id FROM pg_temp.synfin_ids "
                    "WHERE NOT EXISTS (SELECT FROM {parent} WHERE {key} = id) "
                    "ON CONFLICT DO NOTHING"
                ).format(**names)
            )
            return ids.clear()
        self._cursor.execute(
            sql.SQL(
                "SELECT id FROM pg_temp.synfin_ids "
                "WHERE NOT EXISTS (SELECT FROM {parent} WHERE {key} = id)"
            ).format(**names)
        )
        return pl.Series([row[0] for row in self._cursor.fetchall()], dtype=pl.String)

    def _lock(self) -> int:
        """Lock the keys of those that were looked up last; say how many there are."""
        self._cursor.execute(
            sql.SQL(
                "SELECT count(*) FROM (SELECT FROM {parent} AS p JOIN pg_temp.synfin_ids "
                "ON p.{key} = id FOR KEY SHARE OF p) AS held"
            ).format(
                parent=sql.Identifier(self._reference.table),
                key=sql.Identifier(self._reference.target),
            )
        )
        (count,) = self._cursor.fetchone() or (0,)
        return int(count)


class Existing:
    """Which rows of a batch have a key that the table has already."""

    def __init__(
        self, cursor: Cursor, spec: TableSpec, key: Sequence[str], *, apart: Sequence[str] = ()
    ) -> None:
        """Prepare the look-up.

        Parameters
        ----------
        cursor
            Of the connection of the load.
        spec
            The table.
        key
            Columns that are compared.
        apart
            Columns of the row's own key: what it finds there is the row itself, and does not count.
        """
        self._cursor = cursor
        self._table = sql.Identifier(spec.name)
        self.key = tuple(key)
        self._apart = tuple(apart)
        self._columns = [spec.columns[name] for name in dict.fromkeys((*key, *apart))]
        self._stage = f"synfin_keys_{spec.name}_{key[0]}"
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{stage}").format(stage=self._name))
        cursor.execute(
            sql.SQL(
                "CREATE TEMP TABLE {stage} ON COMMIT DROP AS "
                "SELECT 0::bigint AS at, {columns} FROM {table} LIMIT 0"
            ).format(
                stage=self._name,
                table=self._table,
                columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in self._columns),
            )
        )
        # Rows that this load wrote carry this transaction number or a later one.
        cursor.execute(
            "SELECT xmin::text FROM pg_class WHERE relname = %s "
            "AND relnamespace = pg_my_temp_schema()",
            (self._stage,),
        )
        (self._start,) = cursor.fetchone() or ("0",)

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(self._stage)

    def find(self, frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Look the keys of ``frame`` up.

        Returns
        -------
        tuple
            Which rows exist, and which of these an earlier batch of the same load has written.
        """
        names = [column.name for column in self._columns]
        at = frame.select(pl.col(ROW).alias("at"), *names)
        self._cursor.execute(sql.SQL("TRUNCATE pg_temp.{stage}").format(stage=self._name))
        copy_rows(self._cursor, self._stage, at, [_AT, *self._columns])
        self._cursor.execute(
            sql.SQL(
                "SELECT k.at, CASE WHEN age(t.xmin) <= age(%s::xid) THEN pg_xact_status("
                "(pg_current_xact_id()::text::bigint - age(t.xmin))::text::xid8) = 'in progress' "
                "ELSE false END FROM pg_temp.{stage} k JOIN {table} t ON {same} AND {other}"
            ).format(
                stage=self._name,
                table=self._table,
                same=self._same(self.key),
                other=sql.SQL("NOT ({})").format(self._same(self._apart))
                if self._apart
                else sql.SQL("true"),
            ),
            (self._start,),
        )
        hits = self._cursor.fetchall()
        rows = frame[ROW]
        found = pl.Series([hit[0] for hit in hits], dtype=pl.Int64)
        ours = pl.Series([hit[0] for hit in hits if hit[1]], dtype=pl.Int64)
        return rows.is_in(found.implode()), rows.is_in(ours.implode())

    @staticmethod
    def _same(names: Sequence[str]) -> sql.Composed:
        return sql.SQL(" AND ").join(
            sql.SQL("t.{0} = k.{0}").format(sql.Identifier(name)) for name in names
        )

    def drop(self) -> None:
        """Remove the staging table before the transaction ends: the session may go on."""
        self._cursor.execute(
            sql.SQL("DROP TABLE IF EXISTS pg_temp.{stage}").format(stage=self._name)
        )
