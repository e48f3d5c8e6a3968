"""Rows of a folder, without those that the database has: the other half of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._identity import check_identity, read_identity
from synfin_analytics.io.archive._manifest import read_manifest
from synfin_analytics.io.archive._parts import damaged, read_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics.io.archive._manifest import Manifest

#: How often a folder is read again because it changes meanwhile.
_MAX_ATTEMPTS = 10


def read_archived(
    folder: str | Path,
    table: str,
    stored: pa.Table,
    key: str,
    session: Session,
) -> list[pa.Table]:
    """Return the archived rows of a table that the database does not have.

    Rows are in the archive before they leave the database. Read the database first: then no row is
    missing, and one that is in both halves is the database's.

    Parameters
    ----------
    folder
        The archive.
    table
        Name of the table.
    stored
        The rows that the database has, whose columns and types the result gets.
    key
        Primary key of the table, a column of ``stored``.
    session
        Session that has read ``stored``.

    Raises
    ------
    ArchiveError
        The folder is not an archive of this database, or a file is missing or damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_identity(folder, manifest.identity, read_identity(session))
    for _ in range(_MAX_ATTEMPTS):
        manifest = read_manifest(folder)
        error: ArchiveError | None = None
        tables: list[pa.Table] = []
        try:
            tables = _read(folder, manifest, table, stored, key)
        except ArchiveError as raised:
            error = raised
        if read_manifest(folder).paths() == manifest.paths():  # nobody has replaced a file
            if error is not None:
                raise error
            return tables
    raise ArchiveError(f"The folder {str(folder)!r} keeps changing; read it again later.")


def _read(
    folder: Path, manifest: Manifest, table: str, stored: pa.Table, key: str
) -> list[pa.Table]:
    batches = []
    for part in manifest.parts_of(table):
        unknown = set(part.columns) - set(TABLES[table].__table__.columns.keys())
        if unknown:
            column = f"it has the column {min(unknown)!r}, of a newer version of this package"
            raise damaged(folder, part, column)
        n_rows = 0
        for batch in read_part(folder, part, stored.schema.names):
            n_rows += batch.num_rows
            batches.append(_convert(batch, stored.schema))
        if n_rows != part.rows:
            raise damaged(folder, part, f"it has {n_rows:,} rows instead of {part.rows:,}")
    if not batches:
        return []
    archived = pa.Table.from_batches(batches)
    if not stored.num_rows:
        return [archived]
    known = pl.Series(key, pl.from_arrow(stored.column(key)))
    is_new = ~pl.Series(key, pl.from_arrow(archived.column(key))).is_in(known.implode())
    return [archived.filter(is_new.to_arrow())]


def _convert(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of a schema; an older version of the tables may lack some."""
    columns = []
    for field in schema:
        if field.name in batch.schema.names:
            columns.append(_cast(batch.column(field.name), field.type))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(array.type) and pa.types.is_floating(kind):
        return pa.array(_to_float(array), mask=array.is_null().to_numpy(zero_copy_only=False))
    return array.cast(kind)


def _to_float(array: pa.Array) -> Sequence[float]:
    """Convert decimals to the nearest floats, as the reader of the database does."""
    array = pa.concat_arrays([array])  # without an offset
    digits = np.frombuffer(array.buffers()[1], np.int64)[::2][: len(array)]
    floats: Sequence[float] = digits / 10.0**array.type.scale
    return floats
