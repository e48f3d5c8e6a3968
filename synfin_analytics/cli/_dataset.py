"""A folder of Parquet files whose subfolders hold the rows of a month, or of a bucket of keys."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from synfin_analytics._core.hashing import stable_buckets
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.sources import EXPORTED_PARTITION, NULL_PARTITION

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from synfin_analytics._core.types import Integers

#: Bytes of rows that are divided and written together: more rows give longer row groups.
_BUFFER = 128 << 20
_MAX_ROW_GROUP = 131_072
#: Files that are open at a time, if the system allows twice as many.
_MAX_OPEN = 512


class Partition(ABC):
    """How rows are divided.

    Parameters
    ----------
    column
        The column that decides.
    """

    #: Name of the partition column, which begins the names of the folders.
    name: str

    def __init__(self, column: str) -> None:
        self.column = column

    def check(self, schema: pa.Schema) -> None:
        """Raise unless rows of this schema can be divided.

        Raises
        ------
        NotFoundError, ArgumentError
            The column is missing or has another type, or the name of the partition is taken.
        """
        if self.column not in schema.names:
            raise NotFoundError("column", self.column, schema.names, location="the exported data")
        self._check_type(schema.field(self.column).type)
        if self.name in schema.names:
            raise ArgumentError(
                f"The exported data must not have a column {self.name!r}, which the partitions "
                "use: rename it."
            )

    @abstractmethod
    def _check_type(self, dtype: pa.DataType) -> None: ...

    @abstractmethod
    def codes(self, batch: pa.RecordBatch) -> Integers:
        """Return a number for each row: rows with the same number belong together."""

    @abstractmethod
    def value(self, code: int) -> str:
        """Return what follows ``name=`` in the name of the folder."""


class ByPeriod(Partition):
    """Rows of a year, month or day in UTC belong together.

    Parameters
    ----------
    column
        A column of timestamps or dates.
    unit
        "year", "month" or "day".
    """

    name = "period"

    def __init__(self, column: str, unit: str) -> None:
        super().__init__(column)
        self._unit = unit[0].upper()

    def _check_type(self, dtype: pa.DataType) -> None:
        if not (pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)):
            raise ArgumentError(
                f"--time-column must be a column of timestamps or dates; {self.column!r} is "
                f"{dtype}."
            )

    def codes(self, batch: pa.RecordBatch) -> Integers:
        """Return the number of the period; NULL is NumPy's NaT."""
        # An array with a time zone would be converted one value at a time; it is UTC.
        times = batch.column(self.column).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
        codes: Integers = times.astype(f"M8[{self._unit}]").view(np.int64)
        return codes

    def value(self, code: int) -> str:
        """Return the period, such as 2026-03."""
        period = np.int64(code).view(f"M8[{self._unit}]")
        return NULL_PARTITION if np.isnat(period) else str(period)


class ByBucket(Partition):
    """Rows whose keys have the same hash belong together, so all rows of a key do.

    Parameters
    ----------
    column
        A column of texts or whole numbers.
    n_buckets
        Number of buckets.
    """

    name = "bucket"

    def __init__(self, column: str, n_buckets: int) -> None:
        super().__init__(column)
        self._n_buckets = n_buckets

    def _check_type(self, dtype: pa.DataType) -> None:
        types = pa.types
        if not (types.is_string(dtype) or types.is_large_string(dtype) or types.is_integer(dtype)):
            raise ArgumentError(
                f"--bucket-by must be a column of texts or whole numbers; {self.column!r} is "
                f"{dtype}."
            )

    def codes(self, batch: pa.RecordBatch) -> Integers:
        """Return the bucket."""
        return stable_buckets(batch.column(self.column), self._n_buckets)

    def value(self, code: int) -> str:
        """Return the bucket with as many digits as the last one has."""
        return f"{code:0{len(str(self._n_buckets - 1))}}"


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Return options of a Parquet writer that save half of its time.

    A dictionary makes texts smaller and numbers larger. Least and greatest texts take long, and
    hardly ever let a reader skip rows.
    """
    texts = [
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    others = [name for name in schema.names if name not in texts]
    return {
        "compression": "zstd",
        "use_dictionary": texts or False,
        "write_statistics": others or False,
    }


class DatasetWriter:
    """Writes batches into the folders of their rows, in bounded memory; close it at the end.

    Parameters
    ----------
    folder
        An empty folder.
    schema
        Columns of the batches.
    partition
        How rows are divided.
    """

    def __init__(self, folder: Path, schema: pa.Schema, partition: Partition) -> None:
        self._folder, self._partition = folder, partition
        # The reader of a folder recognizes the column that only the names of folders have.
        self._schema = schema.with_metadata({EXPORTED_PARTITION: partition.name})
        self._waiting: dict[int, list[pa.RecordBatch]] = defaultdict(list)
        self._n_bytes = 0
        self._open: OrderedDict[int, parquet.ParquetWriter] = OrderedDict()
        self._n_parts: dict[int, int] = {}
        # Writing takes turns with reading only if the rows of two buffers are there.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="synfin-export")
        self._written: Future[None] | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows; they are written when there are enough. Rows of a folder keep their order."""
        codes, positions = np.unique(self._partition.codes(batch), return_inverse=True)
        if (positions[1:] < positions[:-1]).any():
            positions = positions.astype(
                np.uint32 if len(codes) >> 16 else np.uint16
            )  # sorted fast
            batch = batch.take(pa.array(np.argsort(positions, kind="stable")))
        start = 0
        for code, count in zip(codes.tolist(), np.bincount(positions).tolist(), strict=True):
            self._waiting[code].append(batch.slice(start, count))
            start += count
        self._n_bytes += batch.nbytes
        if self._n_bytes >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        if self._written is not None:
            self._written.result()
        self._written = self._pool.submit(self._write, self._waiting)
        self._waiting, self._n_bytes = defaultdict(list), 0

    def _write(self, parts: dict[int, list[pa.RecordBatch]]) -> None:
        for code in sorted(parts):
            table = pa.Table.from_batches(parts[code], self._schema)
            self._writer(code).write_table(table, _MAX_ROW_GROUP)

    def _writer(self, code: int) -> parquet.ParquetWriter:
        """Return the writer of a folder's newest file; too many open files are closed."""
        if code not in self._open:
            if len(self._open) >= _max_open():
                _, oldest = self._open.popitem(last=False)
                oldest.close()
            folder = self._folder / f"{self._partition.name}={self._partition.value(code)}"
            folder.mkdir(exist_ok=True)
            number = self._n_parts.get(code, 0)
            self._n_parts[code] = number + 1
            path = folder / f"part-{number}.parquet"
            options = parquet_options(self._schema)
            self._open[code] = parquet.ParquetWriter(path, self._schema, **options)
        self._open.move_to_end(code)
        return self._open[code]

    def close(self) -> None:
        """Write the remaining rows and complete all files."""
        if self._waiting:
            self._flush()
        if self._written is not None:
            self._written.result()
        if not self._n_parts:  # a dataset without rows still has columns
            parquet.write_table(self._schema.empty_table(), self._folder / "part-0.parquet")
        for writer in self._open.values():
            writer.close()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._pool.shutdown()
            for writer in self._open.values():  # after an error, only to close the files
                with contextlib.suppress(OSError, pa.ArrowException):
                    writer.close()


def _max_open() -> int:
    try:
        import resource
    except ImportError:  # on Windows
        return _MAX_OPEN // 2
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(_MAX_OPEN, soft_limit // 2), 1)
