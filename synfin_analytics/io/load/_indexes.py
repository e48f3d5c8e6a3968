"""Keys and indexes dropped for a load, and built again from all rows of the table at once.

An index is cheaper to build from all rows than to update row by row, and a foreign key is cheaper
to check with one join. Both need an exclusive lock on the table.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import polars as pl
import psycopg2.errors
from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database._interrupt import Cursor

_BUILD_MEMORY_KB = 262_144


@dataclasses.dataclass(frozen=True)
class _Part:
    """A constraint or an index, and how to create it again."""

    #: Quoted, and with its schema where that is needed.
    table: str
    name: str
    definition: str


class IndexRebuild:
    """Drops the indexes of a table before a load, and builds them again after it.

    Parameters
    ----------
    cursor
        Cursor of the load.
    spec
        The table.
    empty
        The table is empty: its keys are dropped too, and its rows may be written as frozen.
    """

    def __init__(self, cursor: Cursor, spec: TableSpec, *, empty: bool) -> None:
        self._cursor = cursor
        self._spec = spec
        self.empty = empty
        self._keys: list[_Part] = []
        self._indexes: list[_Part] = []
        self._foreign_keys: list[_Part] = []

    def begin(self, *, wait: bool) -> bool:
        """Lock the table and drop its indexes; return False if that is not possible.

        Parameters
        ----------
        wait
            Wait for sessions that use the table; otherwise return False at once.
        """
        self._cursor.execute("SAVEPOINT synfin_rebuild")
        try:
            possible = self._drop_parts(wait=wait)
        except (
            psycopg2.errors.InsufficientPrivilege,
            # A view or a rule depends on the key, or the session itself is using the table.
            psycopg2.errors.DependentObjectsStillExist,
            psycopg2.errors.ObjectInUse,
        ):
            possible = False
        except psycopg2.errors.LockNotAvailable:
            if wait:  # the wait was longer than lock_timeout
                raise
            possible = False
        if not possible:
            self._cursor.execute("ROLLBACK TO SAVEPOINT synfin_rebuild")
        self._cursor.execute("RELEASE SAVEPOINT synfin_rebuild")
        if possible and self.empty:
            # Outside of a savepoint, as COPY FREEZE requires.
            self._cursor.execute(sql.SQL("TRUNCATE {}").format(self._spec.identifier()))
        return possible

    def _drop_parts(self, *, wait: bool) -> bool:
        names = ["", *(key.table for key in self._spec.foreign_keys)]
        tables = [self._spec.qualified(name) for name in names]
        if self.empty:
            tables += self._referring_tables()
        if not self._owns_plain(tables) or not self._may_alter(tables):
            return False
        self._cursor.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE{}").format(
                # In one order for all loads, so that two of them cannot deadlock.
                sql.SQL(", ").join(sql.SQL(table) for table in sorted(set(tables))),
                sql.SQL("" if wait else " NOWAIT"),
            )
        )
        if self.empty and not is_empty(self._cursor, self._spec):
            return False
        if not self._read_parts():
            return False
        for part in (*self._foreign_keys, *self._keys):
            self._cursor.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                    sql.SQL(part.table), sql.Identifier(part.name)
                )
            )
        for part in self._indexes:
            self._cursor.execute(sql.SQL("DROP INDEX {}").format(self._spec.identifier(part.name)))
        return True

    def _referring_tables(self) -> list[str]:
        self._cursor.execute(
            "SELECT DISTINCT format('%%I.%%I', nspname, relname) FROM pg_constraint AS k "
            "JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n "
            "ON n.oid = c.relnamespace WHERE contype = 'f' AND confrelid = %s::regclass",
            (self._spec.qualified(),),
        )
        return [name for (name,) in self._cursor.fetchall()]

    def _owns_plain(self, tables: Sequence[str]) -> bool:
        """Whether this user owns the tables and sees all rows, and none has partitions or children.

        Where row-level security hides rows, a full table looks empty. Partitions and children have
        rows and constraints of their own, and a view has neither.
        """
        return bool(
            self._cursor.fetch_value(
                "SELECT bool_and(pg_has_role(relowner, 'USAGE') AND relkind = 'r' "
                "AND NOT relispartition AND NOT row_security_active(oid) "
                "AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhparent, inhrelid))) "
                "FROM pg_class AS c WHERE oid = ANY(%s::regclass[])",
                (list(tables),),
            )
        )

    def _may_alter(self, tables: Sequence[str]) -> bool:
        """Whether the transaction and the deferred checks of the tables allow it.

        A transaction that keeps its first snapshot might see an empty table to which others have
        added rows since. An open cursor rules out frozen rows, and deferred checks rule out
        altering the table after its rows.
        """
        return bool(
            self._cursor.fetch_value(
                "SELECT NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[]) "
                "AND tginitdeferred AND tgenabled <> 'D') AND (NOT %s "
                "OR current_setting('transaction_isolation') = 'read committed' "
                "AND NOT EXISTS (SELECT FROM pg_cursors))",
                (list(tables), self.empty),
            )
        )

    def _read_parts(self) -> bool:
        """Read the definitions of what is dropped; return False if one cannot be restored."""
        self._cursor.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype, "
            "conrelid = %(table)s::regclass, obj_description(oid, 'pg_constraint') IS NOT NULL "
            "FROM pg_constraint WHERE (conrelid = %(table)s::regclass AND contype IN "
            "('f', 'p', 'u')) OR (confrelid = %(table)s::regclass AND contype = 'f') "
            "ORDER BY contype, conname",
            {"table": self._spec.qualified()},
        )
        for table, name, definition, kind, own, has_comment in self._cursor.fetchall():
            if not self.empty and (kind != "f" or not own):
                continue
            if has_comment:
                return False
            parts = self._foreign_keys if kind == "f" else self._keys
            parts.append(_Part(table, name, definition))
        self._cursor.execute(
            "SELECT i.indrelid::regclass::text, c.relname, pg_get_indexdef(c.oid), "
            "i.indisclustered OR i.indisreplident OR NOT i.indisvalid OR c.reltablespace <> 0 "
            "OR obj_description(c.oid, 'pg_class') IS NOT NULL, "
            "EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND contype <> 'f') "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = %s::regclass ORDER BY c.relname",
            (self._spec.qualified(),),
        )
        for table, name, definition, special, of_constraint in self._cursor.fetchall():
            if special:
                return False
            # A unique index that the user added stays: it detects conflicts.
            if not of_constraint and not definition.startswith("CREATE UNIQUE"):
                self._indexes.append(_Part(table, name, definition))
        return True

    def build_keys(self) -> None:
        """Build the primary key and the unique constraints.

        Raises
        ------
        psycopg2.errors.UniqueViolation
            Rows of the load repeat a key: call :meth:`delete_repeated`, then this again.
        """
        self._cursor.execute(
            "SELECT set_config('maintenance_work_mem', %s || 'kB', true) FROM pg_settings "
            "WHERE name = 'maintenance_work_mem' AND setting::bigint < %s",
            (str(_BUILD_MEMORY_KB), _BUILD_MEMORY_KB),
        )
        self._cursor.execute("SAVEPOINT synfin_keys")
        try:
            for part in self._keys:
                self._add_constraint(part)
        except psycopg2.errors.UniqueViolation:
            self._cursor.execute("ROLLBACK TO SAVEPOINT synfin_keys")
            raise
        self._cursor.execute("RELEASE SAVEPOINT synfin_keys")

    def finish(self) -> None:
        """Build the indexes, then the foreign keys."""
        for part in self._indexes:
            self._cursor.execute(part.definition)
        for part in self._foreign_keys:
            self._add_constraint(part)

    def _add_constraint(self, part: _Part) -> None:
        self._cursor.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                sql.SQL(part.table), sql.Identifier(part.name), sql.SQL(part.definition)
            )
        )

    def delete_repeated(self, key: Sequence[str]) -> pl.DataFrame:
        """Delete rows that repeat the key of an earlier one; return their positions and keys.

        A position counts the loaded rows. A table that was truncated in this transaction is only
        appended to, so that its rows are in the order of the load.
        """
        names = [sql.Identifier(name) for name in key]
        self._cursor.execute(
            sql.SQL(
                "WITH numbered AS (SELECT ctid, {key}, row_number() OVER (ORDER BY ctid) - 1 "
                "AS position FROM {table}), ranked AS (SELECT ctid, position, row_number() OVER "
                "(PARTITION BY {key} ORDER BY position) AS nth FROM numbered WHERE {not_null}), "
                "deleted AS (DELETE FROM {table} AS t USING ranked WHERE t.ctid = ranked.ctid "
                "AND nth > 1 RETURNING position, {returned}) "
                "SELECT * FROM deleted ORDER BY position"
            ).format(
                table=self._spec.identifier(),
                key=sql.SQL(", ").join(names),
                not_null=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(n) for n in names),
                returned=sql.SQL(", ").join(sql.SQL("t.{}").format(n) for n in names),
            )
        )
        schema = {"position": pl.Int64} | {name: self._spec.columns[name].dtype for name in key}
        return pl.DataFrame(self._cursor.fetchall(), schema=schema, orient="row")


def is_empty_now(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether the table is empty, without keeping a lock that another load might wait for."""
    cursor.execute("SAVEPOINT synfin_is_empty")
    empty = is_empty(cursor, spec)
    cursor.execute("ROLLBACK TO SAVEPOINT synfin_is_empty")
    cursor.execute("RELEASE SAVEPOINT synfin_is_empty")
    return empty


def is_empty(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether the transaction sees no row in the table."""
    query = sql.SQL("SELECT NOT EXISTS (SELECT FROM {} LIMIT 1)")
    return bool(cursor.fetch_value(query.format(spec.identifier())))
