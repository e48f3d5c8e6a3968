"""Checked batches into the table, on whichever way is fastest and safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import psycopg2.errors
from psycopg2 import sql

from synfin_analytics.exceptions import ArgumentError, LoadError
from synfin_analytics.io.load._bulk_indexes import Rebuild, looks_empty
from synfin_analytics.io.load._copy_from import copy_rows
from synfin_analytics.io.load._key_order import in_key_order
from synfin_analytics.io.load._lookup import Existing, Parents, hides_rows
from synfin_analytics.io.load._prepare import ROW, with_defaults
from synfin_analytics.io.load._skip_fk_checks import may_vouch, unchecked
from synfin_analytics.io.load._update import insert_rows, update_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.faults import Faults
    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.io.load._prepare import Prepared

#: From so many rows on, building indexes anew is cheaper than keeping them up.
ROWS_WORTH_A_REBUILD = 32_768
#: From so many rows on, locking the keys of their parents is cheaper than the server's checks.
ROWS_WORTH_VOUCHING = 1_000
#: How often a batch is tried again because another session wrote the same keys meanwhile.
MOST_TRIES = 5

EXISTS = "the table has this key already"
REPEATS = "repeats the key of another row of the data"


def wait_for_writers(cursor: Cursor, spec: TableSpec) -> None:
    """Wait until no other session writes the table or its parents, and keep others waiting."""
    # Parents first, as every load locks them.
    tables = [*(one.table for one in spec.references), ""]
    cursor.execute("SAVEPOINT synfin_queue")
    try:
        cursor.execute(
            sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
                sql.SQL(", ").join(spec.identifier(table) for table in tables)
            )
        )
    except psycopg2.errors.InsufficientPrivilege:  # with INSERT alone: then without the lock
        cursor.execute("ROLLBACK TO SAVEPOINT synfin_queue")
    cursor.execute("RELEASE SAVEPOINT synfin_queue")


class Writer:
    """Rows into one table within one transaction; counts what it does."""

    def __init__(
        self,
        cursor: Cursor,
        spec: TableSpec,
        given: Sequence[str],
        faults: Faults,
        *,
        create_parents: bool,
        on_conflict: str,
        rebuild_indexes: str,
    ) -> None:
        self._cursor = cursor
        self._spec = spec
        self._given = given
        self._faults = faults
        self._on_conflict = on_conflict
        self._rebuild_indexes = rebuild_indexes
        #: Rows of the table may be hidden from this user, and COPY is refused.
        self._hidden = hides_rows(cursor, spec.qualified())
        self.inserted = self.updated = self.skipped = 0
        self._keys = [key for key in spec.unique if set(key) <= set(given)]
        if on_conflict != "error" and not self._keys:
            raise ArgumentError(
                f"on_conflict={on_conflict!r} needs a key in the data: "
                f"{' or '.join(', '.join(key) for key in spec.unique)}."
            )
        #: Required columns that the data lack: only rows that exist can be updated with them.
        self._lacking = [
            name for name, one in spec.columns.items() if one.required and name not in given
        ]
        self._parents = [
            Parents(cursor, spec, reference, create=create_parents)
            for reference in spec.references
            if reference.column in given
        ]
        self._finders: dict[tuple[str, ...], Existing] = {}
        self._rebuild: Rebuild | None = None
        self._started = False
        self._bad_rows: list[pl.Series] = []

    def write(self, batch: Prepared) -> None:
        """Send the good rows of a batch; put those that the database shows to be bad aside."""
        if not self._started:
            self._start(batch.frame.height)
        for parents in self._parents:
            parents.check(batch, self._faults, self._spec)
        if self._rebuild is not None and self._rebuild.empty:
            good = with_defaults(batch.good, self._spec)
            self._create_parents(good)
            columns = self._spec.sent(good.columns)
            copy_rows(self._cursor, self._spec.identifier(), good, columns, freeze=True)
            self.inserted += good.height
            self._bad_rows.append(batch.frame.filter(batch.bad)[ROW])
        else:
            self._merge(batch)

    def finish(self) -> None:
        """Build again what was taken off, and leave the session as it was."""
        if self._rebuild is not None:
            if self._rebuild.empty:
                self._build_keys(self._rebuild)
            self._rebuild.finish()
        for finder in self._finders.values():
            finder.drop()
        for parents in self._parents:
            parents.drop()
        if self._spec.serial and self._spec.primary_key in self._given and self.inserted:
            self._move_sequence()

    def _start(self, height: int) -> None:
        self._started = True
        self._choose_way(height)
        worth = self._rebuild is None and self._parents and height >= ROWS_WORTH_VOUCHING
        if worth and may_vouch(self._cursor, self._spec):
            for parents in self._parents:
                parents.hold()

    def _choose_way(self, height: int) -> None:
        if self._rebuild_indexes == "never" or (
            self._rebuild_indexes == "auto" and height < ROWS_WORTH_A_REBUILD
        ):
            return
        wait = self._rebuild_indexes == "always"
        empty = looks_empty(self._cursor, self._spec) and not self._lacking
        if not empty and not wait:
            return
        # Another session may fill an empty table while we wait for it.
        for still_empty in (True, False) if empty and wait else (empty,):
            rebuild = Rebuild(self._cursor, self._spec, empty=still_empty)
            if rebuild.begin(wait=wait):
                self._rebuild = rebuild
                return
        if wait:
            raise LoadError(
                f'rebuild_indexes="always" needs {self._spec.name!r} and its parents to be your '
                "own tables, without row-level security or partitions, with nothing else that "
                "depends on their keys, with indexes and constraints that were not changed, and "
                "none that are checked at the commit."
            )

    def _vouched(self) -> bool:
        return bool(self._parents) and all(parents.held for parents in self._parents)

    def _finder(self, key: tuple[str, ...]) -> Existing:
        if key not in self._finders:
            apart = () if key == self._keys[0] else self._keys[0]
            self._finders[key] = Existing(
                self._cursor,
                self._spec,
                key,
                apart=apart if self._on_conflict == "update" else (),
            )
        return self._finders[key]

    def _merge(self, batch: Prepared) -> None:
        """Insert, update or skip the rows of a batch in a table that may have some of them."""
        if batch.bad.any():
            # The user shall read all that is wrong with a row at once.
            self._refuse_existing(batch)
        broken: str | None = None
        deadlocked = False
        for _ in range(MOST_TRIES):
            new, old = self._split(batch)
            new = self._in_order(new)
            self._cursor.execute("SAVEPOINT synfin_batch")
            try:
                done = self._write(new, old)
            except psycopg2.errors.UniqueViolation as error:
                broken = error.diag.constraint_name
                self._take_back()
                self._refuse_existing(batch)
                continue
            except psycopg2.errors.DeadlockDetected:
                # The others go on with what this batch had locked; then it is tried once more.
                if deadlocked:
                    raise
                deadlocked = True
                self._take_back()
                continue
            except psycopg2.errors.ForeignKeyViolation as error:
                broken = error.diag.constraint_name
                self._take_back()
                for parents in self._parents:
                    parents.forget()
                    parents.check(batch, self._faults, self._spec)
                continue
            if done:
                self._cursor.execute("RELEASE SAVEPOINT synfin_batch")
                self.inserted += new.height
                if self._on_conflict == "update":
                    self.updated += old.height
                else:
                    self.skipped += old.height
                return
            self._take_back()
        raise LoadError(
            f"Nothing was loaded into {self._spec.name!r}: "
            + (
                f"it would break the constraint {broken!r}. Either that is one of your own, or "
                if broken
                else ""
            )
            + (
                "row-level security hides rows with the same keys from this user, or "
                if self._hidden
                else ""
            )
            + "other sessions keep writing rows with the same keys: load again when they are done."
        )

    def _write(self, new: pl.DataFrame, old: pl.DataFrame) -> bool:
        """Insert and update rows; False where a row to update was deleted meanwhile."""
        updates = self._on_conflict == "update"
        self._create_parents(new)
        if updates:
            self._create_parents(old)
        with unchecked(self._cursor, vouched=self._vouched()):
            self._insert(with_defaults(new, self._spec))
        return not updates or update_rows(self._cursor, self._spec, self._keys[0], old)

    def _in_order(self, new: pl.DataFrame) -> pl.DataFrame:
        """Sort rows to insert."""
        # Few rows by their key: loads with the same keys do not wait for each other crosswise. Many
        # so that the pages of the indexes are met in turn, rather than at random.
        many = new.height >= ROWS_WORTH_A_REBUILD and self._spec.leading in new.columns
        if not many:
            return in_key_order(new, self._keys[0]) if self._keys else new
        leading = self._spec.leading
        return new if new[leading].is_sorted() else new.sort(leading, maintain_order=True)

    def _insert(self, new: pl.DataFrame) -> None:
        if self._hidden:
            insert_rows(self._cursor, self._spec, new)
        else:
            columns = self._spec.sent(new.columns)
            copy_rows(self._cursor, self._spec.identifier(), new, columns)

    def _create_parents(self, written: pl.DataFrame) -> None:
        for parents in self._parents:
            if parents.creates:
                parents.create(written)

    def _take_back(self) -> None:
        """Undo what was written of a batch, and with it the parents that it created."""
        self._cursor.execute("ROLLBACK TO SAVEPOINT synfin_batch")
        for parents in self._parents:
            if parents.creates:
                parents.forget()

    def _split(self, batch: Prepared) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows to insert, and rows that the table has."""
        good = batch.good
        if self._on_conflict == "error" or good.is_empty():
            return good, good.clear()
        key = self._keys[0]
        exists, ours = self._finder(key).find(good)
        rows = batch.frame[ROW]
        if ours.any():
            batch.refuse(
                rows.is_in(good.filter(ours)[ROW].implode()), key, REPEATS, self._faults, self._spec
            )
        new, old = good.filter(~exists), good.filter(exists & ~ours)
        if self._lacking and new.height:
            batch.refuse(
                rows.is_in(new[ROW].implode()),
                key,
                "names no row to update, and a new one needs " + ", ".join(self._lacking),
                self._faults,
                self._spec,
            )
            new = new.clear()
        return new, old

    def _refuse_existing(self, batch: Prepared) -> None:
        """Refuse every row of a batch whose key the table has, as far as that is a fault."""
        for key in self._keys:
            if key == self._keys[0] and self._on_conflict != "error":
                continue
            given = batch.frame.filter(pl.all_horizontal(pl.col(list(key)).is_not_null()))
            exists, _ = self._finder(key).find(given)
            hit = batch.frame[ROW].is_in(given.filter(exists)[ROW].implode())
            batch.refuse(hit, key, EXISTS, self._faults, self._spec)

    def _build_keys(self, rebuild: Rebuild) -> None:
        """Build the keys; rows that repeat one across batches come to light here."""
        try:
            rebuild.build_keys()
            return
        except psycopg2.errors.UniqueViolation:
            pass  # found and refused below, all of them at once
        for key in self._keys:
            repeated = rebuild.repeated(key)
            if repeated.is_empty():
                continue
            rows = self._source_rows(repeated["at"])
            cells = repeated.select(key).rows() if len(key) > 1 else repeated[key[0]]
            personal = any(self._spec.columns[name].personal for name in key)
            self._faults.add(", ".join(key), REPEATS, rows, cells, personal=personal)
            self._bad_rows.append(rows)
            self.inserted -= len(rows)
        for parents in self._parents:
            if parents.creates:
                parents.remove_unused(self._spec)
        rebuild.build_keys()

    def _source_rows(self, places: pl.Series) -> pl.Series:
        """Positions in the source of the rows that were loaded at ``places``."""
        bad = np.sort(pl.concat(self._bad_rows).unique().to_numpy())
        at = places.to_numpy()
        before = np.searchsorted(bad - np.arange(len(bad)), at, side="right")
        return pl.Series(at + before, dtype=pl.Int64)

    def _move_sequence(self) -> None:
        """Let the next row that is not given a number have one that is free."""
        self._cursor.execute(
            sql.SQL(
                "SELECT setval(pg_get_serial_sequence(%(table)s, %(key)s), greatest("
                "(SELECT max({key}) FROM {table}), "
                "nextval(pg_get_serial_sequence(%(table)s, %(key)s)) - 1, 1))"
            ).format(key=sql.Identifier(self._spec.primary_key), table=self._spec.identifier()),
            {"table": self._spec.qualified(), "key": self._spec.primary_key},
        )
