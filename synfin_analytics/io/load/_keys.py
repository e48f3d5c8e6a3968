"""Keys of the rows against those in the database: of parents, and of the table itself.

Parents are locked until the transaction ends, as PostgreSQL's own check of each row would lock
them. A superuser, as on the embedded server, can then turn the triggers of the rows off, which are
these checks. It is done only where no other trigger would be skipped with them. CONTRIBUTING has
the measurement.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import polars as pl
from psycopg2 import sql

from synfin_analytics.io.load._check import ROW
from synfin_analytics.io.load._copy import (
    copy_rows,
    create_stage,
    drop_table,
    equal_columns,
    join_names,
    order_by_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from synfin_analytics._core.validation.spec import ForeignKey, TableSpec
    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.io.load._check import CheckedBatch

#: Tables whose rows can be created from their key alone.
CREATABLE = ("customers", "merchants")

_MAX_CACHED_KEYS = 500_000
_IDS = sql.Identifier("pg_temp", "synfin_ids")


# -- Foreign keys ------------------------------------------------------------------------------


def hides_rows(cursor: Cursor, table: str) -> bool:
    """Whether row-level security may hide rows of a table from this user."""
    return bool(cursor.fetch_value("SELECT row_security_active(to_regclass(%s))", (table,)))


class ForeignKeyChecker:
    """One foreign key of the rows: each key is looked up once, missing ones are created or not."""

    def __init__(
        self, cursor: Cursor, spec: TableSpec, foreign_key: ForeignKey, *, create: bool
    ) -> None:
        self._cursor = cursor
        self._spec = spec
        self._foreign_key = foreign_key
        self._names = {
            "parent": spec.identifier(foreign_key.table),
            "key": sql.Identifier(foreign_key.target),
            "ids": _IDS,
            "order": order_by_text(sql.Identifier("id")),
        }
        #: A key that is not found may belong to a row that this user cannot see.
        self._hidden = hides_rows(cursor, spec.qualified(foreign_key.table))
        #: Missing rows are created rather than rejected.
        self.creates = create and foreign_key.table in CREATABLE
        self._found = pl.Series([], dtype=pl.String)
        self._locks = False
        #: Whether all keys so far are locked: their rows exist until the transaction ends.
        self.locked = False
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (id text) ON COMMIT DROP").format(_IDS)
        )
        self._created = sql.Identifier("pg_temp", f"synfin_created_{foreign_key.table}")
        if self.creates:
            drop_table(cursor, self._created)
            cursor.execute(
                sql.SQL("CREATE TEMP TABLE {} (id text) ON COMMIT DROP").format(self._created)
            )

    def lock_keys(self) -> None:
        """From now on, lock the keys that are found, as PostgreSQL's check of a row does."""
        self._locks = self.locked = True

    def forget(self) -> None:
        """Look all keys up again: another session has deleted some."""
        self._found = self._found.clear()

    def check(self, batch: CheckedBatch) -> None:
        """Reject the rows of a batch whose key does not exist, unless it will be created."""
        if self.creates:
            return
        ids = batch.frame[self._foreign_key.column]
        new_ids = self._new_ids(ids)
        missing = self._missing_ids(new_ids)
        if len(missing):
            table = self._foreign_key.table
            reason = (
                f"refers to no row of {table!r} that this user can see"
                if self._hidden
                else f"does not exist in {table!r}"
            )
            hint = ', or pass on_missing_parent="create"' if table in CREATABLE else ""
            batch.reject(
                ids.is_in(missing.implode()).fill_null(False),
                [self._foreign_key.column],
                f"{reason} (load those rows first{hint})",
            )
        self._remember(new_ids.filter(~new_ids.is_in(missing.implode())))

    def create_missing(self, rows: pl.DataFrame) -> None:
        """Create the rows of the parent table that ``rows``, which will be written, refer to."""
        new_ids = self._new_ids(rows[self._foreign_key.column])
        if len(new_ids):
            self._stage(new_ids)
            # In order: two loads that create the same keys do not wait for each other.
            create = sql.SQL(
                "INSERT INTO {parent} ({key}) SELECT id FROM {ids} "
                "WHERE NOT EXISTS (SELECT FROM {parent} WHERE {key} = id) ORDER BY {order} "
                "ON CONFLICT DO NOTHING"
            ).format(**self._names)
            if not self._hidden:  # what this user may not see, it may not return either
                create = sql.SQL(
                    "WITH created AS ({} RETURNING {}) INSERT INTO {} SELECT * FROM created"
                ).format(create, self._names["key"], self._created)
            self._cursor.execute(create)
        self._remember(new_ids)

    def delete_unused(self) -> None:
        """Delete rows that this load created for rows which were then rejected."""
        self._cursor.execute(
            sql.SQL(
                "DELETE FROM {parent} AS p USING {created} AS c WHERE p.{key} = c.id "
                "AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.{column} = c.id)"
            ).format(
                created=self._created,
                table=self._spec.identifier(),
                column=sql.Identifier(self._foreign_key.column),
                **self._names,
            )
        )

    def close(self) -> None:
        """Drop the list of created keys before the transaction ends."""
        drop_table(self._cursor, self._created)

    def _new_ids(self, ids: pl.Series) -> pl.Series:
        """Return the keys that were not looked up yet."""
        distinct = ids.drop_nulls().unique().sort()
        return distinct.filter(~distinct.is_in(self._found.implode()))

    def _remember(self, ids: pl.Series) -> None:
        if self._locks and len(ids):
            self.locked &= self._lock_staged() == len(ids)
        if len(self._found) + len(ids) > _MAX_CACHED_KEYS:
            self.forget()
        self._found = pl.concat([self._found, ids.head(_MAX_CACHED_KEYS)])

    def _stage(self, ids: pl.Series) -> None:
        self._cursor.execute(sql.SQL("TRUNCATE {}").format(_IDS))
        copy_rows(self._cursor, _IDS, ids.alias("id").to_frame(), self._spec)

    def _missing_ids(self, ids: pl.Series) -> pl.Series:
        """Return those of ``ids`` that do not exist."""
        if not len(ids):
            return ids
        self._stage(ids)
        self._cursor.execute(
            sql.SQL(
                "SELECT id FROM {ids} WHERE NOT EXISTS (SELECT FROM {parent} WHERE {key} = id)"
            ).format(**self._names)
        )
        return pl.Series([row[0] for row in self._cursor.fetchall()], dtype=pl.String)

    def _lock_staged(self) -> int:
        """Lock the keys that were looked up last, and return how many there are."""
        count: int = self._cursor.fetch_value(
            sql.SQL(
                "SELECT count(*) FROM (SELECT FROM {parent} AS p JOIN {ids} "
                "ON p.{key} = id ORDER BY {order} FOR KEY SHARE OF p) AS locked"
            ).format(**self._names)
        )
        return count


_CAN_SKIP_CHECKS = """
    SELECT current_setting('is_superuser') = 'on'
        AND current_setting('session_replication_role') = 'origin'
        AND NOT EXISTS (
            SELECT FROM pg_trigger AS t LEFT JOIN pg_constraint AS c ON c.oid = t.tgconstraint
            WHERE t.tgrelid = %(table)s::regclass AND t.tgtype & 4 <> 0 AND t.tgenabled = 'O'
            AND NOT coalesce(c.contype = 'f' AND cardinality(c.conkey) = 1 AND EXISTS (
                SELECT FROM pg_attribute AS a
                JOIN unnest(%(columns)s::text[], %(parents)s::text[]) AS r(name, parent)
                    ON r.name = a.attname AND r.parent::regclass = c.confrelid
                WHERE a.attrelid = t.tgrelid AND a.attnum = c.conkey[1]
            ), false)
            AND t.tgname <> 'tr_' || %(name)s || '_derive_insert'
        )
"""


def can_skip_checks(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether this user can turn triggers off, and a row of the table fires known ones only.

    Those are the foreign keys of the model, and the trigger that derives columns, which the load
    has derived already.
    """
    can_skip: bool = cursor.fetch_value(
        _CAN_SKIP_CHECKS,
        {
            "table": spec.qualified(),
            "name": spec.name,
            "columns": [key.column for key in spec.foreign_keys],
            "parents": [spec.qualified(key.table) for key in spec.foreign_keys],
        },
    )
    return can_skip


@contextlib.contextmanager
def skipped_checks(cursor: Cursor, *, enabled: bool) -> Iterator[None]:
    """Turn the triggers of rows off within the block, if ``enabled``.

    An error leaves the setting as it is: the caller rolls back to a savepoint before it.
    """
    if enabled:
        cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    if enabled:
        cursor.execute("SET LOCAL session_replication_role = origin")


# -- Keys of the table itself ------------------------------------------------------------------


class ExistingKeys:
    """Which rows of a batch have a key that the table has already.

    Parameters
    ----------
    cursor
        Cursor of the load.
    spec
        The table.
    key
        Columns that are compared.
    own_key
        Columns of another key, by which a row is recognised: a match with the row itself does not
        count.
    """

    def __init__(
        self, cursor: Cursor, spec: TableSpec, key: Sequence[str], *, own_key: Sequence[str] = ()
    ) -> None:
        self._cursor = cursor
        self._spec = spec
        self._key = tuple(key)
        self._own_key = tuple(own_key)
        self._names = list(dict.fromkeys((*key, *own_key)))
        name = f"synfin_keys_{spec.name}_{key[0]}"
        columns = sql.SQL("0::bigint AS position, {}").format(join_names(self._names))
        self._stage = create_stage(cursor, spec, name, columns)
        # Rows that this load wrote have this transaction number or a later one.
        self._first_transaction = cursor.fetch_value(
            "SELECT xmin::text FROM pg_class WHERE relname = %s "
            "AND relnamespace = pg_my_temp_schema()",
            (name,),
        )

    def find(self, frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Look the keys of ``frame`` up.

        Returns
        -------
        tuple
            Which rows exist, and which of these an earlier batch of the same load has written.
        """
        keys = frame.select(pl.col(ROW).alias("position"), *self._names)
        self._cursor.execute(sql.SQL("TRUNCATE {stage}").format(stage=self._stage))
        copy_rows(self._cursor, self._stage, keys, self._spec)
        self._cursor.execute(
            sql.SQL(
                "SELECT s.position, CASE WHEN age(t.xmin) <= age(%s::xid) THEN pg_xact_status("
                "(pg_current_xact_id()::text::bigint - age(t.xmin))::text::xid8) = 'in progress' "
                "ELSE false END FROM {stage} s JOIN {table} t ON {same} AND {other}"
            ).format(
                stage=self._stage,
                table=self._spec.identifier(),
                same=equal_columns(self._key),
                other=sql.SQL("NOT ({})").format(equal_columns(self._own_key))
                if self._own_key
                else sql.SQL("true"),
            ),
            (self._first_transaction,),
        )
        matches = self._cursor.fetchall()
        existing = pl.Series([position for position, _ in matches], dtype=pl.Int64)
        loaded = pl.Series([position for position, own in matches if own], dtype=pl.Int64)
        rows = frame[ROW]
        return rows.is_in(existing.implode()), rows.is_in(loaded.implode())

    def close(self) -> None:
        """Drop the staging table before the transaction ends: the session may go on."""
        drop_table(self._cursor, self._stage)
