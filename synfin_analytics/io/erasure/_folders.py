"""The rows of customers in archives and snapshots: files are written again without them.

New files are complete before the database commits; afterwards the manifest is replaced, which is
one step, and the old files are removed. A call that is killed before leaves the folder as it was;
one that is killed after the commit leaves rows for the next call, or files that it removes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArchiveError, ArgumentError, ErasureError
from synfin_analytics.io.archive._folder import lock_folder, remove_unlisted, translate_os_errors
from synfin_analytics.io.archive._identity import check_identity
from synfin_analytics.io.archive._manifest import read_manifest, write_manifest
from synfin_analytics.io.archive._parts import check_part, damaged, read_part, write_part
from synfin_analytics.io.erasure._identifiers import (
    CONTACTS,
    IDENTIFIERS,
    PATTERN_TABLES,
    cleared_columns,
    reveal,
)
from synfin_analytics.io.erasure._json import format_json, parse_json
from synfin_analytics.io.erasure._patterns import Pattern, rewrite_pattern
from synfin_analytics.io.erasure.report import Changed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from synfin_analytics.io.archive._manifest import Identity, Manifest, Part
    from synfin_analytics.io.erasure._identifiers import Identifiers


def check_folders(archive: object) -> list[Path]:
    """Return the folders of an argument: none, one, or several.

    Raises
    ------
    ArgumentError
        It is neither a path nor a sequence of paths.
    """
    if archive is None:
        return []
    paths: list[Any]
    try:
        paths = [archive] if isinstance(archive, str | Path) else list(archive)  # type: ignore[call-overload]  # the error is caught
    except TypeError:
        paths = [None]
    if not all(isinstance(path, str | Path) for path in paths):
        raise ArgumentError("`archive` must be the path of a folder, or a list of paths.")
    return [Path(path) for path in dict.fromkeys(paths)]


@contextlib.contextmanager
def open_folder(
    path: Path, identity: Identity, customer_ids: Sequence[str], *, change: bool
) -> Iterator[FolderRows]:
    """Open a folder, locked if it is to be changed.

    Parameters
    ----------
    path
        The folder.
    identity
        Identity of the database, from which the folder must be.
    customer_ids
        Ids of the customers.
    change
        Whether to change the folder.

    Raises
    ------
    ArchiveError
        It is not a folder of this database, or files of it are missing or damaged.
    """
    require_thread_pool()
    check_identity(path, read_manifest(path).identity, identity)
    with lock_folder(path) if change else contextlib.nullcontext():
        manifest = read_manifest(path)
        unfinished = [month for month, state in manifest.months.items() if state != "archived"]
        if unfinished:
            raise ArchiveError(
                f"The archiving of {', '.join(sorted(unfinished))} to {str(path)!r} must be "
                "completed first: run `synfin db archive` again. Nothing was changed."
            )
        rows = FolderRows(path, manifest, [reveal(key) for key in customer_ids])
        if change:
            rows.remove_leftovers()
        try:
            yield rows
        finally:
            rows.discard()


class FolderRows:
    """The rows of some customers in one folder.

    Parameters
    ----------
    folder, manifest
        The folder.
    customer_ids
        Ids of the customers.
    """

    def __init__(self, folder: Path, manifest: Manifest, customer_ids: Sequence[str]) -> None:
        self.folder = folder
        self._manifest = manifest
        self._new_manifest = manifest
        self._customers = pl.Series("customer_id", customer_ids, pl.String).implode()
        #: Number of files of an interrupted call that were removed.
        self.n_leftovers = 0
        columns = ["transaction_id", "customer_id", *IDENTIFIERS]
        own = pl.col("customer_id").is_in(self._customers)
        self._own = self._read("transactions", columns, own)
        self._own_contacts = self._read("customers", ["customer_id", *CONTACTS], own)
        self.found = {*self._own["customer_id"], *self._own_contacts["customer_id"]}

    def __repr__(self) -> str:
        return f"FolderRows({str(self.folder)!r})"

    # -- Which rows ----------------------------------------------------------------------------

    def transactions(self) -> list[str]:
        """Return the ids of the transactions of the customers."""
        return self._own["transaction_id"].to_list()

    def identifiers(self) -> list[tuple[str, str]]:
        """Return pairs of a column and an identifier of the customers."""
        return [
            (name, value)
            for frame, names in ((self._own, IDENTIFIERS), (self._own_contacts, CONTACTS))
            for name in names
            for value in frame[name].drop_nulls().unique().to_list()
        ]

    def shared(self, by_column: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """Return the identifiers among these that rows of other customers have too.

        Parameters
        ----------
        by_column
            Identifiers of the customers, by column.
        """
        return [
            *self._shared("transactions", {name: by_column[name] for name in IDENTIFIERS}),
            *self._shared("customers", {name: by_column[name] for name in CONTACTS}),
        ]

    def _shared(self, table: str, by_column: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        sets = {name: pl.Series(name, values, pl.String) for name, values in by_column.items()}
        matches = pl.any_horizontal(
            pl.col(name).is_in(values.implode()) for name, values in sets.items()
        )
        others = self._read(
            table, list(sets), matches & ~pl.col("customer_id").is_in(self._customers)
        )
        return [
            (name, value)
            for name, values in sets.items()
            for value in others[name].filter(others[name].is_in(values.implode())).unique()
        ]

    def _read(self, table: str, columns: Sequence[str], condition: pl.Expr) -> pl.DataFrame:
        frames = [pl.DataFrame(schema=dict.fromkeys(columns, pl.String))]
        for part in self._manifest.parts_of(table):
            frame = pl.scan_parquet(self.folder / part.path, hive_partitioning=False)
            try:
                frames.append(frame.filter(condition).select(columns).collect())
            except (pl.exceptions.PolarsError, OSError) as error:
                raise damaged(self.folder, part, "it is missing or incomplete") from error
        return pl.concat(frames)

    # -- Change --------------------------------------------------------------------------------

    def remove_leftovers(self) -> None:
        """Remove files that an interrupted call has left: rows may be in them."""
        before = self._n_files()
        with translate_os_errors(self.folder):
            remove_unlisted(self.folder, iter(TABLES), self._manifest.paths())
        self.n_leftovers = before - self._n_files()

    def _n_files(self) -> int:
        return sum(1 for table in TABLES for _ in (self.folder / table).rglob("part-*"))

    def prepare(self, identifiers: Identifiers, *, change: bool) -> Iterator[Changed]:
        """Write the new files next to the old ones, or only count.

        Parameters
        ----------
        identifiers
            What to remove or replace.
        change
            Whether to write.
        """
        for part in self._manifest.parts:
            rewriter = _Rewriter(identifiers, part)
            if not any(map(rewriter.changes, read_part(self.folder, part, rewriter.columns))):
                continue
            if change:
                self._rewrite(part, rewriter)
            else:
                for batch in read_part(self.folder, part):
                    rewriter.rewrite(batch)
            yield Changed(
                str(self.folder / part.path), part.table, rewriter.deleted, rewriter.updated
            )

    def _rewrite(self, part: Part, rewriter: _Rewriter) -> None:
        self._require_sound(part)  # a damaged file must not get valid checksums
        with translate_os_errors(self.folder):
            schema = pq.read_schema(self.folder / part.path)
        new = write_part(
            self.folder,
            self._new_manifest.next_path(part.table, part.month),
            table=part.table,
            month=part.month,
            schema=schema,
            batches=map(rewriter.rewrite, read_part(self.folder, part)),
        )
        others = tuple(other for other in self._new_manifest.parts if other != part)
        # A snapshot has a file of each table, even without rows.
        kept = (new,) if new.rows or self._manifest.kind == "snapshot" else ()
        self._new_manifest = dataclasses.replace(self._new_manifest, parts=(*others, *kept))
        self._require_sound(new)
        if new.rows != part.rows - rewriter.deleted:
            raise ArchiveError(f"A row of {part.path!r} was lost. Nothing was changed.")

    def _require_sound(self, part: Part) -> None:
        problems = check_part(self.folder, part)
        if problems:
            raise ArchiveError(
                f"The folder {str(self.folder)!r} is damaged: {problems[0]}. Restore the file from "
                "a backup. Nothing was changed."
            )

    def switch(self) -> None:
        """Replace the manifest, and remove the old files.

        Raises
        ------
        ErasureError
            The folder cannot be written; the database is changed already.
        """
        if self._new_manifest is self._manifest:
            return
        try:
            with translate_os_errors(self.folder):
                self._manifest = self._new_manifest = write_manifest(
                    self.folder, self._new_manifest
                )
                remove_unlisted(self.folder, iter(TABLES), self._manifest.paths())
        except ArchiveError as error:
            raise ErasureError(
                f"The rows of the database were changed, but not those of the folder: {error} Run "
                "the call again, which completes it."
            ) from error

    def discard(self) -> None:
        """Remove new files that no manifest lists, after an error."""
        for path in self._new_manifest.paths() - self._manifest.paths():
            (self.folder / path).unlink(missing_ok=True)


#: Columns of a pattern that may name somebody.
_PATTERN = ("characteristics", "name", "description", "detection_count")


class _Rewriter:
    """Rewrite the rows of one file, and count them."""

    def __init__(self, identifiers: Identifiers, part: Part) -> None:
        self._identifiers = identifiers
        self._table = part.table
        self._keys = {
            name: pl.Series(name, list(keys), dtype=pl.String).implode()
            for name, keys in _keys_of_rows(identifiers).items()
            if keys and name in part.columns
        }
        #: Columns that tell which rows change.
        self.columns = [*_PATTERN] if part.table in PATTERN_TABLES else [*self._keys]
        self.deleted = self.updated = 0

    def changes(self, batch: pa.RecordBatch) -> bool:
        """Whether rows of a batch belong to the customers, or have their identifiers."""
        if self._table in PATTERN_TABLES:
            return any(old != new for old, new in self._patterns(batch))
        return bool(self._own(batch).any())

    def rewrite(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows that stay, with the replacements."""
        if self._table in PATTERN_TABLES:
            return self._rewrite_patterns(batch)
        own = self._own(batch)
        if self._identifiers.erases:
            self.deleted += int(own.sum())
            return batch.filter((~own).to_arrow())
        self.updated += int(own.sum())
        return self._replace(batch)

    def _own(self, batch: pa.RecordBatch) -> pl.Series:
        own = pl.repeat(False, batch.num_rows, eager=True)
        for column, keys in self._keys.items():
            own |= _series(batch, column).is_in(keys).fill_null(value=False)
        return own

    def _replace(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        customers = self._identifiers.customers
        replacements = {"customer_id": customers, **self._identifiers.by_column}
        if self._table == "customers":  # a pseudonym may have a row of an earlier call
            keys = _series(batch, "customer_id")
            present = keys.filter(keys.is_in(self._keys["customer_id"]))
            earlier = keys.is_in(_replaced(present, customers).implode())
            self.deleted += int(earlier.sum())
            batch = batch.filter((~earlier).to_arrow())
        is_own = _series(batch, "customer_id").is_in(self._keys["customer_id"])
        cleared = cleared_columns(TABLES[self._table])
        for position, field in enumerate(batch.schema):
            values = None
            if field.name in self._keys:
                series = _series(batch, field.name)
                values = _replaced(series, replacements[field.name]).to_arrow().cast(field.type)
            elif field.name in cleared:
                kept = (~is_own.fill_null(value=False)).to_arrow()
                values = pc.if_else(kept, batch.column(position), pa.scalar(None, field.type))
            if values is not None:
                batch = batch.set_column(position, field, values)
        return batch

    def _patterns(self, batch: pa.RecordBatch) -> Iterator[tuple[Pattern, Pattern | None]]:
        cells = (batch.column(name).to_pylist() for name in _PATTERN)
        for text, *columns in zip(*cells, strict=True):
            pattern = Pattern(None if text is None else parse_json(text), *columns)
            yield pattern, rewrite_pattern(pattern, self._identifiers)

    def _rewrite_patterns(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        pairs = list(self._patterns(batch))
        self.deleted += sum(new is None for _, new in pairs)
        self.updated += sum(new is not None and old != new for old, new in pairs)
        texts = [
            text if text is None or new is None or old == new else format_json(new.characteristics)
            for text, (old, new) in zip(
                batch.column("characteristics").to_pylist(), pairs, strict=True
            )
        ]
        values: dict[str, list[Any]] = {"characteristics": texts}
        get: Callable[[Pattern | None, str], Any] = lambda new, name: getattr(new, name, None)  # noqa: E731
        for name in ("name", "description", "detection_count"):
            values[name] = [get(new, name) for _, new in pairs]
        for name, column in values.items():
            field = batch.schema.field(name)
            position = batch.schema.get_field_index(name)
            batch = batch.set_column(position, field, pa.array(column, field.type))
        return batch.filter(pa.array([new is not None for _, new in pairs]))


def _keys_of_rows(identifiers: Identifiers) -> dict[str, Collection[str]]:
    """Return the values of rows that change, by column."""
    if identifiers.erases:
        return {
            "customer_id": identifiers.customers,
            "transaction_id": identifiers.transactions,
        }
    others = {name: identifiers.by_column.get(name, {}) for name in IDENTIFIERS}
    return {"customer_id": identifiers.customers, **others}


def _replaced(series: pl.Series, replacements: Mapping[str, str | None]) -> pl.Series:
    return series.replace(list(replacements), list(replacements.values()))


def _series(batch: pa.RecordBatch, name: str) -> pl.Series:
    return pl.Series(name, pl.from_arrow(batch.column(name))).cast(pl.String)
