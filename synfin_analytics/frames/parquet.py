"""Parquet files, one or a folder of them, in little memory however large they are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import dataset

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Parquet:
    """What is in the files, and their rows once they are asked for."""

    schema: pa.Schema
    height: int
    batches: Iterator[pa.RecordBatch]


def open_parquet(path: Path, rows: int) -> Parquet:
    """Open a file, or a folder whose names may tell columns (``country=DE``).

    Parameters
    ----------
    path
        The file or the folder.
    rows
        Most rows of a batch.

    Raises
    ------
    ArgumentError
        It is not Parquet, or is broken; in the midst of the rows too.
    """
    try:
        data = dataset.dataset(path, format="parquet", partitioning="hive")
        height = data.count_rows()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    return Parquet(data.schema, height, _batches(data, path, rows))


def _batches(data: Any, path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Read one file after the other, each as its rows are wanted.

    A scan of the dataset would read many row groups ahead of a slow consumer, even when told not
    to: a database is one.
    """
    try:
        for fragment in data.get_fragments():
            told = dataset.get_partition_keys(fragment.partition_expression)
            with fragment.open() as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
                for batch in file.iter_batches(rows):
                    yield _conformed(batch, data.schema, told)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _conformed(batch: pa.RecordBatch, schema: pa.Schema, told: Mapping[str, Any]) -> pa.RecordBatch:
    """Give a batch the columns of all files: those that its folder tells, those that it lacks."""
    arrays = []
    for field in schema:
        if field.name in told:
            array = pa.repeat(pa.scalar(told[field.name], field.type), batch.num_rows)
        elif field.name in batch.schema.names:
            array = batch.column(field.name)
            if array.type != field.type:
                array = array.cast(field.type)
        else:
            array = pa.nulls(batch.num_rows, field.type)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _unreadable(path: Path, error: Exception) -> ArgumentError:
    return ArgumentError(f"{str(path)!r} cannot be read as Parquet: {error}")
