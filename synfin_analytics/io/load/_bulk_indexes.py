"""Keys and indexes taken off a table for a load, and built again from all of its rows at once.

An index is cheaper to build from sorted rows than to keep up row by row, and a foreign key to
check with one join. It needs the table to ourselves, hence only an empty table is treated so,
unless the caller asks for the lock.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import polars as pl
import psycopg2.errors
from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.spec import TableSpec

_BUILD_MEMORY_KB = 262_144


@dataclasses.dataclass(frozen=True)
class _Part:
    """A constraint or an index, and how to make it again."""

    #: As PostgreSQL writes it: quoted, and with its schema where that is needed.
    table: str
    name: str
    definition: str
    kind: str


class Rebuild:
    """The taking off and building again, around one load in one transaction."""

    def __init__(self, cursor: Cursor, spec: TableSpec, *, empty: bool) -> None:
        self._cursor = cursor
        self._spec = spec
        #: The table is empty: its keys go too, and its rows may be written as old ones.
        self.empty = empty
        self._keys: list[_Part] = []
        self._indexes: list[_Part] = []
        self._references: list[_Part] = []

    def begin(self, *, wait: bool) -> bool:
        """Lock the table and take its parts off; False where that is not possible.

        Parameters
        ----------
        wait
            Wait for sessions that use the table; else another way is taken at once.
        """
        self._cursor.execute("SAVEPOINT synfin_rebuild")
        try:
            possible = self._take_off(wait=wait)
        except (
            psycopg2.errors.InsufficientPrivilege,
            # A view or a rule of the user's needs the key; or the session is using the table.
            psycopg2.errors.DependentObjectsStillExist,
            psycopg2.errors.ObjectInUse,
        ):
            possible = False
        except psycopg2.errors.LockNotAvailable:
            if wait:  # for longer than lock_timeout allows
                raise
            possible = False
        if not possible:
            self._cursor.execute("ROLLBACK TO SAVEPOINT synfin_rebuild")
        self._cursor.execute("RELEASE SAVEPOINT synfin_rebuild")
        if possible and self.empty:
            # In the transaction itself, not in a savepoint of it: COPY FREEZE wants that.
            self._cursor.execute(sql.SQL("TRUNCATE {}").format(self._spec.identifier()))
        return possible

    def _take_off(self, *, wait: bool) -> bool:
        names = ["", *(one.table for one in self._spec.references)]
        tables = [self._spec.qualified(name) for name in names]
        if self.empty:
            tables += self._referring_tables()
        if not self._owns(tables) or not self._may_alter(tables) or not self._sees_all(tables):
            return False
        self._cursor.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE{}").format(
                # In the same order for whichever table: two loads cannot wait for each other.
                sql.SQL(", ").join(sql.SQL(table) for table in sorted(set(tables))),
                sql.SQL("" if wait else " NOWAIT"),
            )
        )
        if self.empty and not is_empty(self._cursor, self._spec):
            return False
        if not self._read_parts():
            return False
        for part in self._references:
            self._drop_constraint(part)
        for part in self._keys:
            self._drop_constraint(part)
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

    def _owns(self, tables: Sequence[str]) -> bool:
        self._cursor.execute(
            "SELECT coalesce(bool_and(pg_has_role(relowner, 'USAGE')), false) "
            "FROM pg_class WHERE oid = ANY(%s::regclass[])",
            (list(tables),),
        )
        row = self._cursor.fetchone()
        return bool(row and row[0])

    def _may_alter(self, tables: Sequence[str]) -> bool:
        """Whether nothing in this transaction or on these tables is in the way.

        A transaction that goes on seeing its first snapshot might take a table for empty to which
        others have added rows since. An open cursor forbids rows that are written as old ones, and
        checks that are put off to the commit forbid to alter the table after the rows.
        """
        self._cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[]) "
            "AND tginitdeferred AND tgenabled <> 'D') AND (NOT %s "
            "OR current_setting('transaction_isolation') = 'read committed' "
            "AND NOT EXISTS (SELECT FROM pg_cursors))",
            (list(tables), self.empty),
        )
        row = self._cursor.fetchone()
        return bool(row and row[0])

    def _sees_all(self, tables: Sequence[str]) -> bool:
        """Whether no row of these tables can be hidden from this user, or be elsewhere.

        Where row-level security hides rows, a full table looks empty. Partitions and children have
        rows and constraints of their own, and a view has neither.
        """
        self._cursor.execute(
            "SELECT bool_and(relkind = 'r' AND NOT relispartition AND NOT row_security_active(oid) "
            "AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhparent, inhrelid))) "
            "FROM pg_class AS c WHERE oid = ANY(%s::regclass[])",
            (list(tables),),
        )
        row = self._cursor.fetchone()
        return bool(row and row[0])

    def _read_parts(self) -> bool:
        """Definitions of what is taken off; False where one could not be made again as it was."""
        self._cursor.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype, "
            "conrelid = %(table)s::regclass, obj_description(oid, 'pg_constraint') IS NOT NULL "
            "FROM pg_constraint WHERE (conrelid = %(table)s::regclass AND contype IN "
            "('f', 'p', 'u')) OR (confrelid = %(table)s::regclass AND contype = 'f') "
            "ORDER BY contype, conname",
            {"table": self._spec.qualified()},
        )
        for *facts, own, special in self._cursor.fetchall():
            part = _Part(*facts)
            if not self.empty and (part.kind != "f" or not own):
                continue
            if special:
                return False
            (self._references if part.kind == "f" else self._keys).append(part)
        self._cursor.execute(
            "SELECT i.indrelid::regclass::text, c.relname, pg_get_indexdef(c.oid), 'i', "
            "i.indisclustered OR i.indisreplident OR NOT i.indisvalid OR c.reltablespace <> 0 "
            "OR obj_description(c.oid, 'pg_class') IS NOT NULL, "
            "EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND contype <> 'f') "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = %s::regclass ORDER BY c.relname",
            (self._spec.qualified(),),
        )
        for table, name, definition, kind, special, of_constraint in self._cursor.fetchall():
            if special:
                return False
            # A unique index of the user's own stays: conflicts are found by it.
            if not of_constraint and not definition.startswith("CREATE UNIQUE"):
                self._indexes.append(_Part(table, name, definition, kind))
        return True

    def _drop_constraint(self, part: _Part) -> None:
        self._cursor.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                sql.SQL(part.table), sql.Identifier(part.name)
            )
        )

    def build_keys(self) -> None:
        """Build the primary key and the unique constraints again.

        Raises
        ------
        psycopg2.errors.UniqueViolation
            Rows of the load repeat a key: :meth:`repeated` says which; then call again.
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
        """Build the indexes again, then the foreign keys."""
        for part in self._indexes:
            self._cursor.execute(part.definition)
        for part in self._references:
            self._add_constraint(part)

    def _add_constraint(self, part: _Part) -> None:
        self._cursor.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                sql.SQL(part.table), sql.Identifier(part.name), sql.SQL(part.definition)
            )
        )

    def repeated(self, key: Sequence[str]) -> pl.DataFrame:
        """Rows whose key an earlier one of the load has: place among the loaded rows, and key.

        They are deleted. A table that was truncated in this transaction is only appended to, so
        that the physical order of its rows is that of the load.
        """
        names = [sql.Identifier(name) for name in key]
        self._cursor.execute(
            sql.SQL(
                "WITH placed AS (SELECT ctid, {key}, row_number() OVER (ORDER BY ctid) - 1 AS at "
                "FROM {table}), later AS (SELECT ctid, at, row_number() OVER "
                "(PARTITION BY {key} ORDER BY at) AS nth FROM placed WHERE {given}), "
                "gone AS (DELETE FROM {table} AS t USING later WHERE t.ctid = later.ctid "
                "AND nth > 1 RETURNING at, {returned}) SELECT * FROM gone ORDER BY at"
            ).format(
                table=self._spec.identifier(),
                key=sql.SQL(", ").join(names),
                given=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(n) for n in names),
                returned=sql.SQL(", ").join(sql.SQL("t.{}").format(n) for n in names),
            )
        )
        schema = {"at": pl.Int64} | {name: self._spec.columns[name].dtype for name in key}
        return pl.DataFrame(self._cursor.fetchall(), schema=schema, orient="row")


def looks_empty(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether the table is empty, for now: no lock remains that another load might wait for."""
    cursor.execute("SAVEPOINT synfin_look")
    empty = is_empty(cursor, spec)
    cursor.execute("ROLLBACK TO SAVEPOINT synfin_look")
    cursor.execute("RELEASE SAVEPOINT synfin_look")
    return empty


def is_empty(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether the transaction sees no row in the table."""
    cursor.execute(sql.SQL("SELECT NOT EXISTS (SELECT FROM {} LIMIT 1)").format(spec.identifier()))
    row = cursor.fetchone()
    return bool(row and row[0])
