"""Features of more rows than memory: a pass over buckets of rows for each key, joined by row.

A pass computes the features that depend on the rows of one key (a customer, a merchant), from all
rows of some keys at a time. The last pass also has the ids: the features of the others come back in
its buckets, row by row.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from synfin_analytics._core.dataframes import list_columns, native_frame, open_frame
from synfin_analytics._core.new_folder import new_folder, scan_parts
from synfin_analytics._core.release import release_memory
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.features._payments import ROW
from synfin_analytics.features._spill import Spill, find_groups
from synfin_analytics.io.sources import open_source, read_column_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from synfin_analytics._core.types import Integers
    from synfin_analytics.features._spill import Group, Hashes
    from synfin_analytics.io.sources import Source, SourceBatch

ID = "transaction_id"
#: Hash of the key of the last pass.
_HASH = "__hash"
#: Bytes of a row while it is read, checked and divided.
_READ_BYTES = 2_000
_MIN_BATCH = 10_000
#: Of the memory, what one group may use: its rows, and what is computed from them.
_GROUP_SHARE = 1 / 2
#: Of the memory, the rows that a spill collects. Writing them copies them, while others collect.
_BUFFER_SHARE = 1 / 12
#: Bytes of the columns of a row, before the first one is read.
_TYPICAL_BYTES = 200
#: Copies of its rows that are in memory while a group is read.
_COPIES = 2
#: A bucket is small enough for some of them to fill a group, though keys differ in size.
_BUCKETS_OF_A_GROUP = 3.3
#: Buckets where the number of rows is not known: larger ones are divided again.
_DEFAULT_BUCKETS, _MAX_BUCKETS = 512, np.iinfo(np.uint16).max


def batch_rows(memory: int) -> int:
    """Return how many rows to read at a time.

    Examples
    --------
    >>> batch_rows(2 * 10**9)
    250000
    """
    return max(memory // 4 // _READ_BYTES, _MIN_BATCH)


@dataclasses.dataclass(frozen=True)
class Pass:
    """Features that depend on the rows of one key.

    Parameters
    ----------
    key
        Column of the key. Rows without it depend on no others.
    columns
        What the features are computed from.
    compute
        From all rows of some keys, in any order: the positions of those whose features are wanted,
        in the order of ``ROW``, and their features.
    row_bytes
        Memory that a row needs meanwhile, in addition to its own columns.
    """

    key: str
    columns: tuple[str, ...]
    compute: Callable[[pl.DataFrame], tuple[Integers, Mapping[str, pa.Array]]]
    row_bytes: int

    def hash_rows(self, frame: pl.DataFrame) -> Hashes:
        """Return the hash of each row's key, or of the row where it has none."""
        hashes = pl.when(pl.col(self.key).is_null()).then(pl.col(ROW).hash())
        return frame.select(hashes.otherwise(pl.col(self.key).hash())).to_series().to_numpy()


class BucketedRows:
    """Rows on disk, by the key of each pass.

    Parameters
    ----------
    passes
        The passes.
    scratch
        An empty folder for temporary files.
    memory
        Bytes to use.
    n_rows
        About how many rows there will be, if that is known.
    """

    def __init__(
        self, passes: Sequence[Pass], scratch: Path, memory: int, n_rows: int | None = None
    ) -> None:
        *self._earlier, self._last = passes
        self._memory = memory
        buffer = int(memory * _BUFFER_SHARE)
        *self._earlier_rows, self._last_rows = (
            Spill(scratch / f"rows {number}", self._n_buckets(part, n_rows), part.hash_rows, buffer)
            for number, part in enumerate(passes)
        )
        self._results = [
            Spill(scratch / f"results {number}", self._last_rows.n_buckets, _read_hash, buffer)
            for number in range(len(self._earlier))
        ]

    def _n_buckets(self, part: Pass, n_rows: int | None) -> int:
        if n_rows is None or n_rows <= 0:
            return _DEFAULT_BUCKETS
        n_groups = n_rows / self._max_rows(part, _TYPICAL_BYTES)
        return min(math.ceil(n_groups * _BUCKETS_OF_A_GROUP), _MAX_BUCKETS)

    def _max_rows(self, part: Pass, row_bytes: int) -> int:
        """Return how many rows a group may have whose columns take some bytes a row."""
        share = int(self._memory * _GROUP_SHARE)
        return max(share // (part.row_bytes + _COPIES * row_bytes), 1)

    def append(self, frame: pl.DataFrame) -> None:
        """Write rows, which have the column ``ROW``, to their buckets."""
        self._last_rows.append(frame.select(list(dict.fromkeys((ROW, ID, *self._last.columns)))))
        if self._earlier:
            frame = frame.with_columns(pl.Series(_HASH, self._last.hash_rows(frame)))
        for part, spill in zip(self._earlier, self._earlier_rows, strict=True):
            spill.append(frame.select(ROW, _HASH, *part.columns))

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of the last pass in groups."""
        for group in self._groups(self._last, [self._last_rows]):
            yield group.read()

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield ``transaction_id`` and the features for groups of rows, or one empty table."""
        release_memory()
        for part, spill, results in zip(
            self._earlier, self._earlier_rows, self._results, strict=True
        ):
            for group in self._groups(part, [spill]):
                _add_results(part, group, results)
                release_memory()
            spill.remove()
        is_empty = True
        for group in self._groups(self._last, [self._last_rows, *self._results]):
            is_empty = False
            yield self._compute_last(group).select(schema.names).cast(schema)
            release_memory()
        if is_empty:
            yield schema.empty_table()

    def _groups(self, part: Pass, spills: Sequence[Spill]) -> Iterator[Group]:
        spills[0].flush()
        return find_groups(spills, self._max_rows(part, spills[0].row_bytes))

    def _compute_last(self, group: Group) -> pa.Table:
        """Return the features of a group; when it returns, its rows are not in memory any more."""
        frame = group.read()
        positions, columns = self._last.compute(frame)
        features = {ID: frame[ID][positions].to_arrow(), **columns}
        del frame
        for number in range(1, len(group.spills)):
            earlier = group.read(number).sort(ROW).drop(ROW, _HASH)
            features |= {name: earlier[name].to_arrow() for name in earlier.columns}
        return pa.table(features)


def _add_results(part: Pass, group: Group, results: Spill) -> None:
    """Compute the features of a group of an earlier pass, and write them."""
    frame = group.read()
    positions, columns = part.compute(frame)
    features = (pl.Series(name, values) for name, values in columns.items())
    results.append(frame.select(ROW, _HASH)[positions].with_columns(features))


def _read_hash(frame: pl.DataFrame) -> Hashes:
    return frame[_HASH].to_numpy()


class IdTypes:
    """Types of the ids that were read: integers become integers again."""

    def __init__(self) -> None:
        self._types: set[pl.DataType] = set()

    def watch(self, batches: Iterable[SourceBatch]) -> Iterator[SourceBatch]:
        """Yield batches, and remember the types of their ids."""
        for batch in batches:
            ids = batch.columns[ID]
            self._types.add(ids.dtype if isinstance(ids, pl.Series) else pl.String())
            yield batch

    @property
    def common(self) -> pa.DataType:
        """The integer type of all ids, or that of texts."""
        if len(self._types) == 1:
            (dtype,) = self._types
            if dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128):  # which Arrow lacks
                return pl.Series([], dtype=dtype).to_arrow().type
        return pa.large_string()


def open_rows(
    df: Any, required: Sequence[str], optional: Sequence[str], caller: str, memory: int
) -> Source:
    """Open columns of a frame, or of a Parquet file or folder, in batches.

    Raises
    ------
    NotFoundError
        A required column does not exist; the message names the nearest.
    """
    columns = (*required, *optional)
    data = native_frame(df)
    is_path = isinstance(data, str | Path)
    frame = None if is_path else open_frame(data, caller)
    names = read_column_names(data) if frame is None else list_columns(frame)
    for name in required:
        if name not in names:
            raise NotFoundError("column", name, names, location="the transactions")
    if frame is None:
        return open_source(data, batch_rows(memory), columns=columns)
    selected = [name for name in columns if name in names]
    return open_source(frame.select(*selected).to_native(), batch_rows(memory))


def write_folder(folder: Path, compute: Callable[[Path], Iterator[pa.Table]]) -> pl.LazyFrame:
    """Write tables to a new folder of Parquet files, and return a scan of it.

    Parameters
    ----------
    folder
        A folder of :func:`check_new_folder`.
    compute
        Yields the tables; gets a folder for temporary files.
    """
    with new_folder(folder) as partial, tempfile.TemporaryDirectory(dir=partial) as scratch:
        paths = (partial / f"part-{number:05}.parquet" for number in itertools.count())
        for table in compute(Path(scratch)):
            pq.write_table(table, next(paths), compression="zstd")
            del table  # before the next one is computed
    return scan_parts(folder)
