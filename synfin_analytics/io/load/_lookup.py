"""Keys against the database: parents that must exist, rows that exist already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from psycopg2 import sql

from synfin_analytics._core.validation.spec import ColumnSpec
from synfin_analytics.io.load._copy_from import copy_rows
from synfin_analytics.io.load._key_order import text_order
from synfin_analytics.io.load._prepare import ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.faults import Faults
    from synfin_analytics._core.validation.spec import Reference, TableSpec
    from synfin_analytics.io.load._prepare import Prepared

#: Tables whose rows can be made of their key alone.
STUBS = ("customers", "merchants")

_MOST_REMEMBERED = 500_000
_ID = ColumnSpec("id", "text", pl.String())
_IDS = sql.Identifier("pg_temp", "synfin_ids")
_AT = ColumnSpec("at", "integer", pl.Int64())


def hides_rows(cursor: Cursor, table: str) -> bool:
    """Whether row-level security may hide rows of a table from this user."""
    cursor.execute("SELECT coalesce(row_security_active(to_regclass(%s)), false)", (table,))
    (hides,) = cursor.fetchone() or (False,)
    return bool(hides)


class Parents:
    """Foreign keys of the rows: looked up once, missing ones created or refused."""

    def __init__(
        self, cursor: Cursor, spec: TableSpec, reference: Reference, *, create: bool
    ) -> None:
        self._cursor = cursor
        self._reference = reference
        self._names = {
            "parent": spec.identifier(reference.table),
            "key": sql.Identifier(reference.target),
            "ids": _IDS,
            "order": text_order(sql.Identifier("id")),
        }
        #: A parent that is not found may be one that this user does not see.
        self._hidden = hides_rows(cursor, spec.qualified(reference.table))
        #: Missing parents are created rather than refused.
        self.creates = create and reference.table in STUBS
        self._known = pl.Series([], dtype=pl.String)
        self._hold = False
        #: Whether all parents so far are held: they exist until the transaction ends.
        self.held = False
        self._cursor.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (id text) ON COMMIT DROP").format(_IDS)
        )
        self._made = sql.Identifier("pg_temp", f"synfin_made_{reference.table}")
        if self.creates:
            for statement in (
                "DROP TABLE IF EXISTS {}",
                "CREATE TEMP TABLE {} (id text) ON COMMIT DROP",
            ):
                self._cursor.execute(sql.SQL(statement).format(self._made))

    def hold(self) -> None:
        """From now on, lock the keys of the parents, as PostgreSQL's check of a row does."""
        self._hold = self.held = True

    def forget(self) -> None:
        """Look all of them up again: another session has deleted some."""
        self._known = self._known.clear()

    def check(self, prepared: Prepared, faults: Faults, spec: TableSpec) -> None:
        """Refuse the rows of a batch whose parent does not exist, unless it will be created."""
        if self.creates:
            return
        ids = prepared.frame[self._reference.column]
        unseen = self._unseen(ids)
        missing = self._missing(unseen)
        if len(missing):
            prepared.refuse(
                ids.is_in(missing.implode()).fill_null(False),
                [self._reference.column],
                f"names no row of {self._reference.table!r}"
                + (" that this user may see" if self._hidden else "")
                + (
                    ' (load those first, or on_missing_parent="create")'
                    if self._reference.table in STUBS
                    else " (load those first)"
                ),
                faults,
                spec,
            )
        self._remember(unseen.filter(~unseen.is_in(missing.implode())))

    def create(self, rows: pl.DataFrame) -> None:
        """Create the parents that rows name and that do not exist: rows that will be written."""
        unseen = self._unseen(rows[self._reference.column])
        if len(unseen):
            self._stage(unseen)
            # In order: two loads that create the same parents do not wait for each other.
            create = sql.SQL(
                "INSERT INTO {parent} ({key}) SELECT id FROM {ids} "
                "WHERE NOT EXISTS (SELECT FROM {parent} WHERE {key} = id) ORDER BY {order} "
                "ON CONFLICT DO NOTHING"
            ).format(**self._names)
            if not self._hidden:  # what this user may not see, it may not return either
                create = sql.SQL(
                    "WITH made AS ({} RETURNING {}) INSERT INTO {} SELECT * FROM made"
                ).format(create, self._names["key"], self._made)
            self._cursor.execute(create)
        self._remember(unseen)

    def remove_unused(self, spec: TableSpec) -> None:
        """Remove parents that this load created for rows which it then took back."""
        self._cursor.execute(
            sql.SQL(
                "DELETE FROM {parent} AS p USING {made} AS m WHERE p.{key} = m.id "
                "AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.{column} = m.id)"
            ).format(
                made=self._made,
                table=spec.identifier(),
                column=sql.Identifier(self._reference.column),
                **self._names,
            )
        )

    def drop(self) -> None:
        """Remove the list of created parents before the transaction ends."""
        if self.creates:
            self._cursor.execute(sql.SQL("DROP TABLE {}").format(self._made))

    def _unseen(self, ids: pl.Series) -> pl.Series:
        unseen = ids.drop_nulls().unique().sort()
        return unseen.filter(~unseen.is_in(self._known.implode()))

    def _remember(self, found: pl.Series) -> None:
        if self._hold and len(found):
            self.held &= self._lock() == len(found)
        if len(self._known) + len(found) > _MOST_REMEMBERED:
            self.forget()
        self._known = pl.concat([self._known, found.head(_MOST_REMEMBERED)])

    def _stage(self, ids: pl.Series) -> None:
        self._cursor.execute(sql.SQL("TRUNCATE {}").format(_IDS))
        copy_rows(self._cursor, _IDS, ids.alias("id").to_frame(), [_ID])

    def _missing(self, ids: pl.Series) -> pl.Series:
        """Those of ``ids`` that do not exist."""
        if not len(ids):
            return ids
        self._stage(ids)
        self._cursor.execute(
            sql.SQL(
                "SELECT id FROM {ids} WHERE NOT EXISTS (SELECT FROM {parent} WHERE {key} = id)"
            ).format(**self._names)
        )
        return pl.Series([row[0] for row in self._cursor.fetchall()], dtype=pl.String)

    def _lock(self) -> int:
        """Lock the keys of those that were looked up last; say how many there are."""
        self._cursor.execute(
            sql.SQL(
                "SELECT count(*) FROM (SELECT FROM {parent} AS p JOIN {ids} "
                "ON p.{key} = id ORDER BY {order} FOR KEY SHARE OF p) AS held"
            ).format(**self._names)
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
        self._table = spec.identifier()
        self.key = tuple(key)
        self._apart = tuple(apart)
        self._columns = [spec.columns[name] for name in dict.fromkeys((*key, *apart))]
        self._stage = f"synfin_keys_{spec.name}_{key[0]}"
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {stage}").format(stage=self._name))
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
        return sql.Identifier("pg_temp", self._stage)

    def find(self, frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Look the keys of ``frame`` up.

        Returns
        -------
        tuple
            Which rows exist, and which of these an earlier batch of the same load has written.
        """
        names = [column.name for column in self._columns]
        at = frame.select(pl.col(ROW).alias("at"), *names)
        self._cursor.execute(sql.SQL("TRUNCATE {stage}").format(stage=self._name))
        copy_rows(self._cursor, self._name, at, [_AT, *self._columns])
        self._cursor.execute(
            sql.SQL(
                "SELECT k.at, CASE WHEN age(t.xmin) <= age(%s::xid) THEN pg_xact_status("
                "(pg_current_xact_id()::text::bigint - age(t.xmin))::text::xid8) = 'in progress' "
                "ELSE false END FROM {stage} k JOIN {table} t ON {same} AND {other}"
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
        self._cursor.execute(sql.SQL("DROP TABLE IF EXISTS {stage}").format(stage=self._name))
