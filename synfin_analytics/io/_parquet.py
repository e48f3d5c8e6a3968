"""Parquet files, one or a folder of them, in little memory however large they are.

The files of a folder may come from several days and programs: each is read in its own types, and
the columns are those of all files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.dataset import HivePartitioning

from synfin_analytics.exceptions import ArgumentError, require_unique_columns
from synfin_analytics.io._source import Source, from_arrow
from synfin_analytics.io.archive._manifest import MONTH_COLUMN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: Value in a folder's name that means NULL.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"

#: Key in the metadata of a file of an export: the column that only the names of its folders have.
EXPORTED_PARTITION = b"synfin_partition"

#: Folders of table formats, some of whose files hold no current rows.
_TABLE_LOGS = {
    "_delta_log": ("Delta", "polars.scan_delta(folder)"),
    ".hoodie": ("Hudi", "a query of an engine that knows Hudi"),
}


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A file of a folder."""

    path: Path
    #: Values from the names of its folders, by column.
    partition: Mapping[str, str | None]
    #: Of a dataset, whose files may be remote.
    fragment: Any = None

    def open(self, **options: Any) -> pq.ParquetFile:
        """Open the file without reading ahead."""
        source = self.path if self.fragment is None else self.fragment.open()
        return pq.ParquetFile(source, pre_buffer=False, **options)


def open_parquet(path: Path, batch_rows: int, columns: Sequence[str] | None = None) -> Source:
    """Open a file, or a folder of files whose folder names may hold columns (``country=DE``).

    Each batch has the columns and types of its own file. A value in a folder's name is a text.

    Parameters
    ----------
    path
        The file or the folder. Names that begin with a dot or an underscore are ignored.
    batch_rows
        Maximum number of rows in a batch.
    columns
        The columns to read, where a file has them; all by default.

    Raises
    ------
    ArgumentError
        There is no Parquet file, or a file is not Parquet or broken; also while rows are read.
    """
    return _open_files(data_files(path), batch_rows, columns)


def open_dataset(dataset: Any, batch_rows: int) -> Source:
    """Open the files of a pyarrow dataset, whose own schema is that of the first file only.

    Parameters
    ----------
    dataset
        A dataset of Parquet files, on any file system.
    batch_rows
        Maximum number of rows in a batch.

    Raises
    ------
    ArgumentError
        Its files are not Parquet, or its folders do not name their columns; or as for a folder.
    """
    format_name = getattr(
        getattr(dataset, "format", None), "default_extname", type(dataset).__name__
    )
    partitioning = getattr(dataset, "partitioning", None)
    names = [] if partitioning is None else partitioning.schema.names
    if format_name != "parquet" or (names and not isinstance(partitioning, HivePartitioning)):
        raise ArgumentError(
            "A dataset must consist of Parquet files, in folders that name their columns "
            f"(country=DE) if it is partitioned; got {format_name}, {type(partitioning).__name__}. "
            "Pass dataset.scanner().to_reader() to let pyarrow choose the types."
        )
    files = []
    for fragment in dataset.get_fragments():
        path = Path(fragment.path)
        values = _partition_values(Path(*(part for part in path.parent.parts if "=" in part)))
        partition = {name: value for name, value in values.items() if name in names}
        files.append(DataFile(path, partition, fragment))
    return _open_files(files, batch_rows)


def _open_files(
    files: list[DataFile], batch_rows: int, selected: Sequence[str] | None = None
) -> Source:
    names: dict[str, None] = {}
    redundant: set[str] = set()
    height = 0
    for file in files:
        try:
            with file.open() as parquet:
                columns = parquet.schema_arrow.names
                metadata = parquet.schema_arrow.metadata or {}
                height += parquet.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise _read_error(file.path, error) from error
        require_unique_columns(columns)
        names.update(dict.fromkeys(columns))
        if EXPORTED_PARTITION in metadata:
            redundant.add(metadata[EXPORTED_PARTITION].decode("utf-8", "replace"))
    keys = dict.fromkeys(key for file in files for key in file.partition if key not in names)
    all_names = [name for name in (*names, *keys) if selected is None or name in selected]
    batches = from_arrow(all_names, _read_batches(files, batch_rows, selected), batch_rows)
    of_folders = frozenset(keys) & set(all_names)
    return Source(all_names, batches, height, texts=of_folders, redundant=of_folders & redundant)


def data_files(path: Path) -> list[DataFile]:
    """Return a file, or the files in a folder and its subfolders, by name.

    Raises
    ------
    ArgumentError
        The folder has no file, or is a table some of whose files hold no current rows.
    """
    files = _find_files(path) if path.is_dir() else [DataFile(path, {})]
    if not files:
        raise ArgumentError(f"{str(path)!r} must contain Parquet files; it has no file to read.")
    return files


def _find_files(root: Path) -> list[DataFile]:
    files = []
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        for log, (format_name, alternative) in _TABLE_LOGS.items():
            if log in subfolders:
                raise ArgumentError(
                    f"{folder!r} is a {format_name} table, some of whose files hold no current "
                    f"rows: pass {alternative} instead of the folder."
                )
        real_path = os.path.realpath(folder)
        if real_path in visited:  # a link back to a folder above
            subfolders.clear()
            continue
        visited.add(real_path)
        subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name))
        path = Path(folder)
        partition = _partition_values(path.relative_to(root))
        files += [DataFile(path / name, partition) for name in names if not _is_hidden(name)]
    return sorted(files, key=lambda file: file.path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _partition_values(path: Path) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for part in path.parts:
        key, sign, value = part.partition("=")
        if not sign:
            continue
        try:
            name, text = unquote(key, errors="strict"), unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ArgumentError(f"The folder name {part!r} must be UTF-8, URL-encoded.") from None
        if name in values:
            raise ArgumentError(f"The folders of {str(path)!r} name {name!r} more than once.")
        if name == MONTH_COLUMN:  # of an archive; the timestamp says the same
            continue
        values[name] = None if value == NULL_PARTITION else text
    return values


def _read_batches(
    files: list[DataFile], batch_rows: int, selected: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Read one file after the other, each as its rows are needed.

    A scan of a dataset would read many row groups ahead of a slow consumer such as a database,
    even with readahead turned off.
    """
    for file in files:
        try:
            for batch in _read_file(file, batch_rows, selected):
                yield _add_partition(batch, file)
        except (pa.ArrowException, OSError) as error:
            raise _read_error(file.path, error) from error


def _read_file(
    file: DataFile, batch_rows: int, selected: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    with contextlib.ExitStack() as stack:

        def open_with(unit: str) -> pq.ParquetFile:
            return stack.enter_context(file.open(coerce_int96_timestamp_unit=unit))

        coarse = open_with("us")
        columns = [
            name for name in coarse.schema_arrow.names if selected is None or name in selected
        ]
        legacy = [name for name in _int96_columns(coarse) if name in columns]
        if not legacy:
            yield from coarse.iter_batches(batch_rows, columns=columns)
            return
        fine = open_with("ns").iter_batches(batch_rows, columns=legacy)
        for batch, nanoseconds in zip(
            coarse.iter_batches(batch_rows, columns=columns), fine, strict=True
        ):
            yield from _merge_int96(batch, nanoseconds)


def _int96_columns(file: pq.ParquetFile) -> list[str]:
    columns = (file.schema.column(n) for n in range(file.metadata.num_columns))
    return [
        column.name
        for column in columns
        if column.physical_type == "INT96" and column.path == column.name
    ]


def _merge_int96(batch: pa.RecordBatch, fine: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Read timestamps of Spark's and Impala's old type neither truncated nor wrapped around.

    As nanoseconds, those outside the years 1677 to 2262 wrap around; as microseconds, all others
    lose their last three digits. Rows that need one unit are in other batches than the others.
    """
    finer = np.zeros(batch.num_rows, dtype=bool)
    for name in fine.schema.names:
        nanoseconds = fine.column(name).cast(pa.int64()).fill_null(0).to_numpy()
        microseconds = batch.column(name).cast(pa.int64()).fill_null(0).to_numpy()
        finer |= (nanoseconds // 1000 == microseconds) & (nanoseconds % 1000 != 0)
    ends = [*(np.flatnonzero(np.diff(finer)) + 1), batch.num_rows]
    start = 0
    for end in map(int, ends):
        part = batch.slice(start, end - start)
        if end > start and finer[start]:
            for name in fine.schema.names:
                exact = fine.column(name).slice(start, end - start)
                position = part.schema.get_field_index(name)
                part = part.set_column(position, pa.field(name, exact.type), exact)
        yield part
        start = end


def _add_partition(batch: pa.RecordBatch, file: DataFile) -> pa.RecordBatch:
    for name, value in file.partition.items():
        position = batch.schema.get_field_index(name)
        if position < 0:
            array = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
            batch = batch.append_column(name, array)
        elif not _all_equal(batch.column(position), value):
            raise ArgumentError(
                f"{str(file.path)!r}: the column {name!r} must have the value of its folder's "
                f"name; got values other than {value!r}."
            )
    return batch


def _all_equal(array: pa.Array, value: str | None) -> bool:
    """Whether all values of a column, in its own type, equal the one in the folder's name."""
    try:
        texts = pc.unique(array).cast(pa.string()).to_pylist()
    except pa.ArrowException:
        return False  # a type that cannot be in the name of a folder
    parse: Callable[[str], object] = str
    if pa.types.is_temporal(array.type):
        parse = dt.datetime.fromisoformat
    elif pa.types.is_boolean(array.type):
        parse = str.lower
    elif any(test(array.type) for test in _IS_NUMBER):
        parse = Decimal
    return {_try(parse, text) for text in texts} <= {_try(parse, value)}


_IS_NUMBER = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_floating)


def _try(parse: Callable[[str], object], text: str | None) -> object:
    """Parse a text; return it as it is if that is not possible."""
    try:
        return text and parse(text)
    except (ValueError, InvalidOperation):
        return text


def _read_error(path: Path, error: Exception) -> ArgumentError:
    return ArgumentError(f"{str(path)!r} cannot be read as Parquet: {error}")
