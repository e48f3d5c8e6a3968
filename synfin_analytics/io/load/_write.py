"""Write checked batches to the table, by the fastest way that is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import psycopg2.errors
from psycopg2 import sql

from synfin_analytics.exceptions import ArgumentError, LoadError
from synfin_analytics.io.load._check import REPEATED_KEY, fill_defaults, row_errors
from synfin_analytics.io.load._copy import (
    advance_sequence,
    copy_rows,
    insert_rows,
    sort_by_key,
    update_rows,
)
from synfin_analytics.io.load._indexes import IndexRebuild, is_empty_now
from synfin_analytics.io.load._keys import (
    ExistingKeys,
    ForeignKeyChecker,
    can_skip_checks,
    hides_rows,
    skipped_checks,
)
from synfin_analytics.io.load._partitions import NO_PARTITION, Partitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics._core.validation.outcome import CellErrors
    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.io.load._check import CheckedBatch

#: From this many rows on, building indexes again is cheaper than updating them.
MIN_ROWS_TO_REBUILD = 32_768
#: From this many rows on, locking the foreign keys is cheaper than the server's checks.
MIN_ROWS_TO_SKIP_CHECKS = 1_000
#: How often a batch is written again because another session wrote the same keys meanwhile.
_MAX_ATTEMPTS = 5

EXISTING_KEY = "the table has this key already"


class Writer:
    """Writes batches to one table within one transaction, and counts the rows.

    Batches are copied into an empty table whose indexes are dropped and built again in
    :meth:`finish`; or they are merged with the rows that the table has.

    Parameters
    ----------
    cursor
        Cursor of the transaction.
    spec
        The table.
    columns
        Columns of the table that the data have.
    create_parents
        Create rows of ``customers`` and ``merchants`` that the data refer to.
    on_conflict
        What to do with a row whose key exists.
    rebuild_indexes
        When to drop indexes and build them again.
    """

    def __init__(
        self,
        cursor: Cursor,
        spec: TableSpec,
        columns: Sequence[str],
        *,
        create_parents: bool,
        on_conflict: str,
        rebuild_indexes: str,
    ) -> None:
        self._cursor = cursor
        self._spec = spec
        self._columns = columns
        self._on_conflict = on_conflict
        self._rebuild_indexes = rebuild_indexes
        self.inserted = self.updated = self.skipped = 0
        #: Row-level security may hide rows of the table from this user, and forbids COPY.
        self._hidden = hides_rows(cursor, spec.qualified())
        self._keys = [key for key in spec.unique if set(key) <= set(columns)]
        if on_conflict != "error" and not self._keys:
            keys = " or ".join(", ".join(key) for key in spec.unique)
            raise ArgumentError(
                f'`on_conflict` must be "error" for data without a key ({keys}); '
                f'got "{on_conflict}".'
            )
        self._partitions = Partitions(cursor, spec)
        #: Keys that the server checks only within a partition.
        self._unchecked = not all(map(self._partitions.enforces, self._keys))
        #: Required columns that the data lack: such rows can only update existing ones.
        self._missing = [
            column.name
            for column in spec.columns.values()
            if column.required and column.name not in columns
        ]
        self._foreign_keys = [
            ForeignKeyChecker(cursor, spec, foreign_key, create=create_parents)
            for foreign_key in spec.foreign_keys
            if foreign_key.column in columns
        ]
        self._created_parents = [parent for parent in self._foreign_keys if parent.creates]
        self._existing_keys: dict[tuple[str, ...], ExistingKeys] = {}
        self._rebuild: IndexRebuild | None = None
        self._started = False
        self._rejected_rows: list[pl.Series] = []

    def wait_for_others(self) -> None:
        """Wait until no other session writes to the table or its parents, and make others wait."""
        if self._rebuild_indexes == "never":
            return
        # Parents first, as every load locks them.
        tables = [*(key.table for key in self._spec.foreign_keys), ""]
        self._cursor.execute("SAVEPOINT synfin_queue")
        try:
            self._cursor.execute(
                sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
                    sql.SQL(", ").join(map(self._spec.identifier, tables))
                )
            )
        except psycopg2.errors.InsufficientPrivilege:  # a user with INSERT only cannot lock
            self._cursor.execute("ROLLBACK TO SAVEPOINT synfin_queue")
        self._cursor.execute("RELEASE SAVEPOINT synfin_queue")

    def write(self, batch: CheckedBatch) -> None:
        """Write the accepted rows of a batch, and reject those that the database rules out."""
        if not self._started:
            self._started = True
            self._begin(batch.frame.height)
        for foreign_key in self._foreign_keys:
            foreign_key.check(batch)
        if self._rebuild is not None and self._rebuild.empty:
            self._copy(batch)
        else:
            self._merge(batch)

    def finish(self) -> list[CellErrors]:
        """Build the indexes again; return the errors of rows that repeat keys across batches."""
        errors: list[CellErrors] = []
        if self._rebuild is not None:
            if self._rebuild.empty:
                errors = self._build_keys(self._rebuild)
            self._rebuild.finish()
        for existing_keys in self._existing_keys.values():
            existing_keys.close()
        for parent in self._created_parents:
            parent.close()
        if self._spec.serial and self._spec.primary_key in self._columns and self.inserted:
            advance_sequence(self._cursor, self._spec)
        return errors

    # -- Strategy ------------------------------------------------------------------------------

    def _begin(self, height: int) -> None:
        """Choose how to write, from the height of the first batch."""
        if self._unchecked:
            self._partitions.lock_keys()
        self._rebuild = self._begin_rebuild(height)
        if (
            self._rebuild is None
            and self._foreign_keys
            and height >= MIN_ROWS_TO_SKIP_CHECKS
            and can_skip_checks(self._cursor, self._spec)
        ):
            for foreign_key in self._foreign_keys:
                foreign_key.lock_keys()

    def _begin_rebuild(self, height: int) -> IndexRebuild | None:
        if self._rebuild_indexes == "never":
            return None
        must = self._rebuild_indexes == "always"
        # An exclusive lock is no burden on the embedded server; on another one, users may wait.
        embedded = getattr(self._cursor.connection, "embedded", False)
        if not must and (not embedded or height < MIN_ROWS_TO_REBUILD):
            return None
        empty = is_empty_now(self._cursor, self._spec) and not self._missing
        if not empty and not must:
            return None
        # Another session may fill an empty table while we wait for it.
        for still_empty in (True, False) if empty and must else (empty,):
            rebuild = IndexRebuild(self._cursor, self._spec, empty=still_empty)
            if rebuild.begin(wait=must):
                return rebuild
        if must:
            raise LoadError(
                f'rebuild_indexes="always" requires that you own {self._spec.name!r} and the '
                "tables that it refers to, that they have no row-level security or partitions, "
                "that nothing else depends on their keys, that their indexes and constraints are "
                "unchanged, and that no constraint is deferred. "
                'Use rebuild_indexes="never", or load as the owner.'
            )
        return None

    # -- An empty table ------------------------------------------------------------------------

    def _copy(self, batch: CheckedBatch) -> None:
        """Copy the rows of a batch into a table without keys; :meth:`finish` builds them."""
        rows = fill_defaults(batch.accepted, self._spec)
        self._create_parents(rows)
        copy_rows(self._cursor, self._spec.identifier(), rows, self._spec, freeze=True)
        self.inserted += rows.height
        self._rejected_rows.append(batch.rejected_rows)

    def _build_keys(self, rebuild: IndexRebuild) -> list[CellErrors]:
        """Build the keys; delete rows that repeat one across batches, and return their errors."""
        try:
            rebuild.build_keys()
            return []
        except psycopg2.errors.UniqueViolation:
            pass  # the repeated keys are found below, all of them at once
        errors = []
        for key in self._keys:
            repeated = rebuild.delete_repeated(key)
            if repeated.is_empty():
                continue
            rows = self._source_rows(repeated["position"])
            errors.append(row_errors(self._spec, rows, repeated.select(key), REPEATED_KEY))
            self._rejected_rows.append(rows)
            self.inserted -= len(rows)
        for parent in self._created_parents:
            parent.delete_unused()
        rebuild.build_keys()
        return errors

    def _source_rows(self, positions: pl.Series) -> pl.Series:
        """Return the positions in the source of rows by their positions among the loaded ones."""
        rejected = np.sort(pl.concat(self._rejected_rows).unique().to_numpy())
        loaded = positions.to_numpy()
        n_before = np.searchsorted(rejected - np.arange(len(rejected)), loaded, side="right")
        return pl.Series(loaded + n_before, dtype=pl.Int64)

    # -- A table with rows ---------------------------------------------------------------------

    def _merge(self, batch: CheckedBatch) -> None:
        """Insert, update or skip the rows of a batch in a table that may have some of them."""
        if batch.rejected.any() or self._unchecked:
            # An error should list everything that is wrong with a row.
            self._reject_existing(batch)
        constraint: str | None = None
        deadlocked = False
        for _ in range(_MAX_ATTEMPTS):
            new, existing = self._split(batch)
            new = self._sort(new)
            self._cursor.execute("SAVEPOINT synfin_batch")
            try:
                complete = self._write_rows(new, existing)
            except psycopg2.IntegrityError as error:
                constraint = error.diag.constraint_name
                self._roll_back()
                if not self._reject_refused(error, batch, new, existing):
                    raise
                continue
            except psycopg2.errors.DeadlockDetected:
                # Rolling back lets the other session go on; then the batch is tried once more.
                if deadlocked:
                    raise
                deadlocked = True
                self._roll_back()
                continue
            if complete:
                self._cursor.execute("RELEASE SAVEPOINT synfin_batch")
                self.inserted += new.height
                if self._on_conflict == "update":
                    self.updated += existing.height
                else:
                    self.skipped += existing.height
                return
            self._roll_back()
        raise self._conflict_error(constraint)

    def _reject_refused(
        self,
        error: psycopg2.IntegrityError,
        batch: CheckedBatch,
        new: pl.DataFrame,
        existing: pl.DataFrame,
    ) -> bool:
        """Reject the rows that the server refuses; return False if it is unknown which."""
        if isinstance(error, psycopg2.errors.UniqueViolation):
            self._reject_existing(batch)
            return True
        if isinstance(error, psycopg2.errors.ForeignKeyViolation):
            for foreign_key in self._foreign_keys:
                foreign_key.forget()
                foreign_key.check(batch)
            return True
        if not isinstance(error, psycopg2.errors.CheckViolation) or error.diag.constraint_name:
            return False
        written = new if self._on_conflict == "skip" else pl.concat([new, existing])
        rows = self._partitions.without(fill_defaults(written, self._spec))
        if rows.is_empty():
            return False
        batch.reject_rows(rows, self._partitions.columns, NO_PARTITION)
        return True

    def _split(self, batch: CheckedBatch) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the rows to insert, and those that the table has already."""
        accepted = batch.accepted
        if self._on_conflict == "error" or accepted.is_empty():
            return accepted, accepted.clear()
        key = self._keys[0]
        exists, loaded = self._look_up(key).find(accepted)
        batch.reject_rows(accepted.filter(loaded), key, REPEATED_KEY)
        new, existing = accepted.filter(~exists), accepted.filter(exists & ~loaded)
        if self._missing and new.height:
            missing = ", ".join(self._missing)
            batch.reject_rows(new, key, f"matches no row to update, and a new row needs {missing}")
            new = new.clear()
        return new, existing

    def _reject_existing(self, batch: CheckedBatch) -> None:
        """Reject the rows of a batch whose key the table has, where that is an error."""
        for key in self._keys:
            if key == self._keys[0] and self._on_conflict != "error":
                continue
            complete = batch.frame.filter(pl.all_horizontal(pl.col(list(key)).is_not_null()))
            exists, _ = self._look_up(key).find(complete)
            batch.reject_rows(complete.filter(exists), key, EXISTING_KEY)

    def _look_up(self, key: tuple[str, ...]) -> ExistingKeys:
        if key not in self._existing_keys:
            update = self._on_conflict == "update" and key != self._keys[0]
            self._existing_keys[key] = ExistingKeys(
                self._cursor, self._spec, key, own_key=self._keys[0] if update else ()
            )
        return self._existing_keys[key]

    def _write_rows(self, new: pl.DataFrame, existing: pl.DataFrame) -> bool:
        """Insert and update rows; return False if a row to update was deleted meanwhile."""
        self._create_parents(new)
        if self._on_conflict == "update":
            self._create_parents(existing)
        keys_are_locked = bool(self._foreign_keys) and all(
            foreign_key.locked for foreign_key in self._foreign_keys
        )
        with skipped_checks(self._cursor, enabled=keys_are_locked):
            self._insert(fill_defaults(new, self._spec))
        if self._on_conflict != "update":
            return True
        return update_rows(self._cursor, self._spec, self._keys[0], existing, hidden=self._hidden)

    def _sort(self, new: pl.DataFrame) -> pl.DataFrame:
        """Sort rows to insert.

        Few rows are sorted by their key, so that loads with the same keys cannot deadlock; many by
        the first column of most indexes, so that their pages are written in turn.
        """
        leading = self._spec.leading
        if new.height >= MIN_ROWS_TO_REBUILD and leading in new.columns:
            return new if new[leading].is_sorted() else new.sort(leading, maintain_order=True)
        return sort_by_key(new, self._keys[0]) if self._keys else new

    def _insert(self, new: pl.DataFrame) -> None:
        if self._hidden:
            insert_rows(self._cursor, self._spec, new)
        else:
            copy_rows(self._cursor, self._spec.identifier(), new, self._spec)

    def _create_parents(self, rows: pl.DataFrame) -> None:
        for parent in self._created_parents:
            parent.create_missing(rows)

    def _roll_back(self) -> None:
        """Undo what was written of a batch, and with it the parents that it created."""
        self._cursor.execute("ROLLBACK TO SAVEPOINT synfin_batch")
        for parent in self._created_parents:
            parent.forget()

    def _conflict_error(self, constraint: str | None) -> LoadError:
        causes = ["other sessions keep writing rows with the same keys"]
        if constraint:
            causes.append(f"{constraint!r} is a constraint that you added")
        if self._hidden:
            causes.append("row-level security hides rows with the same keys from this user")
        problem = f"it would violate the constraint {constraint!r}" if constraint else "it failed"
        return LoadError(
            f"Nothing was loaded into {self._spec.name!r}: {problem} {_MAX_ATTEMPTS} times. "
            f"Possible causes: {'; or '.join(causes)}. Load again when other loads have finished."
        )
