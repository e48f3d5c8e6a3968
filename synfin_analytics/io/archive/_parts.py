"""One Parquet file of a folder: written, read back, and compared with its entry in the manifest."""

from __future__ import annotations

import contextlib
import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._checksums import ColumnDigests
from synfin_analytics.io.archive._folder import translate_os_errors, write_atomically
from synfin_analytics.io.archive._manifest import ColumnSummary, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: Rows of a row group: filters by time skip whole groups.
_GROUP_ROWS = 131_072
_READ_ROWS = 65_536


@dataclasses.dataclass
class _Summary:
    """Counts, sum and checksums of rows as they pass."""

    rows: int = 0
    amount: Decimal | None = None
    digests: ColumnDigests | None = dataclasses.field(default_factory=ColumnDigests)

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        if self.digests is not None:
            self.digests.add(batch)
        if "amount" in batch.schema.names:
            total = pc.sum(batch.column("amount")).as_py() or Decimal()
            self.amount = (self.amount or Decimal()) + total

    def columns(self) -> dict[str, ColumnSummary]:
        return {} if self.digests is None else self.digests.finish()


def write_part(
    folder: Path,
    path: str,
    *,
    table: str,
    month: str | None,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    has_checksums: bool = True,
) -> Part:
    """Write rows to a new file of a folder, which exists completely or not at all.

    Parameters
    ----------
    folder
        The archive or snapshot.
    path
        Path of the file below the folder, of ``Manifest.next_path``.
    table, month
        Table of the rows, and month of their transactions.
    schema
        Columns and their types.
    batches
        The rows.
    has_checksums
        Whether to compute the checksums of the columns; otherwise the caller adds them.

    Returns
    -------
    Part
        The entry for the manifest, computed from the rows that were to be written.

    Raises
    ------
    ArchiveError
        The folder cannot be written to; the file does not exist then.
    """
    summary = _Summary() if has_checksums else _Summary(digests=None)
    summary.add(pa.RecordBatch.from_pylist([], schema=schema))  # a file without rows has columns
    with translate_os_errors(folder), write_atomically(folder / path) as partial:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for batch in batches:
                summary.add(batch)
                writer.write_batch(batch, row_group_size=_GROUP_ROWS)
        size = partial.stat().st_size
    amount = None if summary.amount is None else str(summary.amount)
    return Part(table, month, path, summary.rows, size, amount, summary.columns())


def read_part(
    folder: Path, part: Part, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file, some at a time; of all columns, or of those that it has of some.

    Raises
    ------
    ArchiveError
        The file is missing or is not readable.
    """
    try:
        with contextlib.closing(pq.ParquetFile(folder / part.path, pre_buffer=False)) as file:
            names = [name for name in file.schema_arrow.names if columns is None or name in columns]
            yield from file.iter_batches(_READ_ROWS, columns=names)
    except FileNotFoundError as error:
        raise damaged(folder, part, "it is missing") from error
    except PermissionError as error:
        raise damaged(folder, part, "this user may not read it") from error
    except (pa.ArrowException, OSError) as error:
        raise damaged(folder, part, "it is not a complete Parquet file") from error


def check_part(folder: Path, part: Part) -> list[str]:
    """Read a file and compare it with its entry in the manifest.

    Returns
    -------
    list of str
        One sentence for each difference, with the file and the column; empty if there is none.
    """
    summary = _Summary()
    try:
        for batch in read_part(folder, part):
            summary.add(batch)
    except ArchiveError as error:
        return [str(error)]
    return [f"{part.path}: {difference}" for difference in _differences(part, summary)]


def _differences(part: Part, summary: _Summary) -> Iterator[str]:
    if summary.rows != part.rows:
        yield f"it has {summary.rows:,} rows instead of {part.rows:,}"
    amount = None if summary.amount is None else str(summary.amount)
    if summary.rows and amount != part.amount:
        yield f"the amounts add up to {amount} instead of {part.amount}"
    yield from _compare_columns(part.columns, summary.columns())


def _compare_columns(
    expected: dict[str, ColumnSummary], actual: dict[str, ColumnSummary]
) -> Iterator[str]:
    """Yield a clause for each column that differs."""
    for name, summary in expected.items():
        other = actual.get(name)
        if other is None:
            if actual:
                yield f"the column {name!r} is missing"
        elif other.count != summary.count:
            yield f"the column {name!r} has {other.count:,} values instead of {summary.count:,}"
        elif other.checksum != summary.checksum:
            yield f"the values of the column {name!r} have changed"
    for name in actual:
        if name not in expected:
            yield f"the column {name!r} is not in the manifest"


def damaged(folder: Path, part: Part, cause: str) -> ArchiveError:
    """Return the error of a file that cannot be used."""
    return ArchiveError(
        f"The file {part.path!r} of {str(folder)!r} cannot be used: {cause}. Restore it from a "
        "backup, then run `synfin db archive --verify`."
    )
