"""Parquet files, one or a folder of them, in little memory however large they are.

The files of a folder are the work of several days and programs: each is read in its own types, and
the columns of all of them count.
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

from synfin_analytics.exceptions import ArgumentError, refuse_repeated_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Value of a folder's name that stands for NULL.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"

#: What a table format keeps beside its files: they are not all rows of the table.
_LOGS = {
    "_delta_log": ("Delta", "polars.scan_delta(folder)"),
    ".hoodie": ("Hudi", "a query of an engine that knows Hudi"),
}


@dataclasses.dataclass(frozen=True)
class Parquet:
    """What is in the files, and their rows once they are asked for."""

    #: Columns of all files, in the order in which they come up; those of folder names last.
    names: list[str]
    #: Columns that only names of folders have: their cells are texts.
    texts: frozenset[str]
    height: int
    batches: Iterator[pa.RecordBatch]


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A file of a folder."""

    path: Path
    #: What the names of its folders say, by column.
    partition: Mapping[str, str | None]
    #: Of a dataset, whose files may be on another machine.
    fragment: Any = None

    def open(self, **options: Any) -> pq.ParquetFile:
        """Open the file without reading ahead."""
        source = self.path if self.fragment is None else self.fragment.open()
        return pq.ParquetFile(source, pre_buffer=False, **options)


def open_parquet(path: Path, rows: int) -> Parquet:
    """Open a file, or a folder of files whose names may tell columns (``country=DE``).

    Each batch has the columns and types of its own file. A value in a folder's name is a text.

    Parameters
    ----------
    path
        The file or the folder. Names that begin with a dot or an underscore are left out.
    rows
        Most rows of a batch.

    Raises
    ------
    ArgumentError
        There is no Parquet file, or one of them is not Parquet or broken; in the midst of the rows
        too.
    """
    return _opened(data_files(path), rows)


def open_dataset(data: Any, rows: int) -> Parquet:
    """Open a dataset of pyarrow as its files are: its own schema is that of the first of them.

    Parameters
    ----------
    data
        A dataset of Parquet files, on any file system.
    rows
        Most rows of a batch.

    Raises
    ------
    ArgumentError
        Its files are not Parquet, or its folders do not name their columns; or as for a folder.
    """
    kind = getattr(getattr(data, "format", None), "default_extname", type(data).__name__)
    folders = getattr(data, "partitioning", None)
    known = [] if folders is None else folders.schema.names
    if kind != "parquet" or (known and not isinstance(folders, HivePartitioning)):
        raise ArgumentError(
            "A dataset must consist of Parquet files, in folders that name their columns "
            f"(country=DE) if in any; got {kind}, {type(folders).__name__}. "
            "Give dataset.scanner().to_reader() to have pyarrow choose the types."
        )
    files = []
    for fragment in data.get_fragments():
        path = Path(fragment.path)
        told = _partition(Path(*(part for part in path.parent.parts if "=" in part)))
        partition = {name: value for name, value in told.items() if name in known}
        files.append(DataFile(path, partition, fragment))
    return _opened(files, rows)


def _opened(files: list[DataFile], rows: int) -> Parquet:
    names: dict[str, None] = {}
    height = 0
    for file in files:
        try:
            with file.open() as opened:
                columns = opened.schema_arrow.names
                height += opened.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file.path, error) from error
        refuse_repeated_columns(columns)
        names.update(dict.fromkeys(columns))
    keys = dict.fromkeys(key for file in files for key in file.partition if key not in names)
    return Parquet([*names, *keys], frozenset(keys), height, _batches(files, rows))


def data_files(path: Path) -> list[DataFile]:
    """Return a file, or those within a folder and its subfolders, by name.

    Raises
    ------
    ArgumentError
        The folder has no file, or is a table of which not every file counts.
    """
    files = _files(path) if path.is_dir() else [DataFile(path, {})]
    if not files:
        raise ArgumentError(f"{str(path)!r} must contain Parquet files; it has no file to read.")
    return files


def _files(folder: Path) -> list[DataFile]:
    found = []
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        for log, (name, instead) in _LOGS.items():
            if log in folders:
                raise ArgumentError(
                    f"{place!r} is a {name} table, in which not every file counts: "
                    f"pass {instead} instead of the folder."
                )
        real = os.path.realpath(place)
        if real in seen:  # a link back to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        here = Path(place)
        partition = _partition(here.relative_to(folder))
        found += [DataFile(here / name, partition) for name in files if not _is_hidden(name)]
    return sorted(found, key=lambda file: file.path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _partition(place: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for part in place.parts:
        key, sign, value = part.partition("=")
        if not sign:
            continue
        try:
            name, text = unquote(key, errors="strict"), unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ArgumentError(f"The folder name {part!r} must be UTF-8, URL-encoded.") from None
        if name in found:
            raise ArgumentError(f"The folders of {str(place)!r} name {name!r} more than once.")
        found[name] = None if value == NULL_PARTITION else text
    return found


def _batches(files: list[DataFile], rows: int) -> Iterator[pa.RecordBatch]:
    """Read one file after the other, each as its rows are wanted.

    A scan of a dataset would read many row groups ahead of a slow consumer, even when told not to:
    a database is one.
    """
    for file in files:
        try:
            for batch in _rows_of(file, rows):
                yield _with_partition(batch, file)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file.path, error) from error


def _rows_of(file: DataFile, rows: int) -> Iterator[pa.RecordBatch]:
    with contextlib.ExitStack() as stack:

        def opened(unit: str) -> pq.ParquetFile:
            return stack.enter_context(file.open(coerce_int96_timestamp_unit=unit))

        coarse = opened("us")
        legacy = _int96_columns(coarse)
        if not legacy:
            yield from coarse.iter_batches(rows)
            return
        fine = opened("ns").iter_batches(rows, columns=legacy)
        for batch, nanoseconds in zip(coarse.iter_batches(rows), fine, strict=True):
            yield from _int96_merged(batch, nanoseconds)


def _int96_columns(file: pq.ParquetFile) -> list[str]:
    columns = (file.schema.column(n) for n in range(file.metadata.num_columns))
    return [
        column.name
        for column in columns
        if column.physical_type == "INT96" and column.path == column.name
    ]


def _int96_merged(batch: pa.RecordBatch, fine: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Moments of Spark's and Impala's old type, neither cut off nor wrapped around.

    As nanoseconds those outside the years 1677 to 2262 wrap around; as microseconds all others
    lose their last three digits. Rows that need the one go apart from rows that need the other.
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


def _with_partition(batch: pa.RecordBatch, file: DataFile) -> pa.RecordBatch:
    for name, value in file.partition.items():
        position = batch.schema.get_field_index(name)
        if position < 0:
            array = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
            batch = batch.append_column(name, array)
        elif not _agrees(batch.column(position), value):
            raise ArgumentError(
                f"{str(file.path)!r}: the column {name!r} must have the value that the name of "
                f"its folder has; got others than {value!r}."
            )
    return batch


def _agrees(array: pa.Array, value: str | None) -> bool:
    """Whether a column of a file, in its own type, says what the folder's name says."""
    try:
        texts = pc.unique(array).cast(pa.string()).to_pylist()
    except pa.ArrowException:
        return False  # a type that is never the name of a folder
    if pa.types.is_temporal(array.type):
        return all(_moment(text) == _moment(value) for text in texts)
    if any(
        test(array.type)
        for test in (pa.types.is_integer, pa.types.is_decimal, pa.types.is_floating)
    ):
        return all(_number(text) == _number(value) for text in texts)
    if pa.types.is_boolean(array.type) and value is not None:
        value = value.lower()
    return all(text == value for text in texts)


def _moment(text: str | None) -> dt.datetime | str | None:
    try:
        return text and dt.datetime.fromisoformat(text)
    except ValueError:
        return text


def _number(text: str | None) -> Decimal | str | None:
    try:
        return text and Decimal(text)
    except InvalidOperation:
        return text


def _unreadable(path: Path, error: Exception) -> ArgumentError:
    return ArgumentError(f"{str(path)!r} cannot be read as Parquet: {error}")
