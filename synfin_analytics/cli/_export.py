"""Batches of Arrow into files: one Parquet or CSV file, or a folder of Parquet by period."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, dataset, parquet

from synfin_analytics.exceptions import ArgumentError, NotFoundError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from synfin_analytics.io.read._read_df import Batches

#: Column that stands in the names of the folders of a partitioned dataset: ``period=2026-03``.
PERIOD = "period"
_FORMATS = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}
#: Rows that a period gathers before they are written as one group, and at most in one.
_ROW_GROUP = (8_192, 131_072)


def check_target(target: Path, partition_by: str | None, *, overwrite: bool) -> None:
    """Refuse a target that cannot be meant, before anything is read.

    Raises
    ------
    ArgumentError
        Its name does not say what it is, it exists already, or it holds what we did not write.
    """
    if partition_by is None and target.suffix.lower() not in (".parquet", ".csv"):
        raise ArgumentError(
            f"{str(target)!r} ends neither in .parquet nor in .csv; for a folder of Parquet files "
            "say --partition-by month."
        )
    if not target.parent.is_dir():
        raise ArgumentError(f"There is no folder {str(target.parent)!r}.")
    if not target.exists():
        return
    if not overwrite:
        raise ArgumentError(f"{str(target)!r} exists already; --overwrite replaces it.")
    if target.is_dir() == (partition_by is None) or (target.is_dir() and not _ours(target)):
        raise ArgumentError(
            f"{str(target)!r} is not what an export writes: it is left alone. Choose another name."
        )


def _ours(folder: Path) -> bool:
    """Whether a folder holds nothing but partitions."""
    return all(
        one.name.startswith(f"{PERIOD}=") or one.suffix == ".parquet" for one in folder.iterdir()
    )


def write_batches(
    batches: Batches,
    target: Path,
    *,
    partition_by: str | None = None,
    time_column: str = "timestamp",
    escape_formulas: bool = False,
    progress: Callable[[int], object] = lambda rows: None,  # noqa: ARG005 - called with the rows
) -> int:
    """Write all batches to ``target``, and return the number of rows.

    They are written beside it and moved there at the end: a file of that name is always complete.
    ``escape_formulas`` is for CSV files that a spreadsheet opens.
    """
    schema = batches.schema
    if partition_by is not None:
        schema = _with_period(schema, time_column)
    unfinished = target.with_name(f".{target.name}.unfinished")
    counted = _Counted(batches, progress)
    try:
        if partition_by is not None:
            parts = (_by_period(one, schema, time_column, partition_by) for one in counted)
            _write_dataset(parts, schema, unfinished)
        elif target.suffix.lower() == ".csv":
            schema = _as_in_csv(schema)
            with csv.CSVWriter(unfinished, schema) as writer:
                for batch in counted:
                    writer.write_batch(_written(batch, schema, escape_formulas=escape_formulas))
        else:
            with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
                for batch in counted:
                    writer.write_batch(batch)
        _remove(target)
        unfinished.rename(target)
    except SynfinError:
        raise  # a lost connection is an OSError as well
    except OSError as error:
        why = error.strerror or error
        raise ArgumentError(f"{str(target)!r} cannot be written: {why}.") from error
    finally:
        _remove(unfinished)
    return counted.rows


def _as_in_csv(schema: pa.Schema) -> pa.Schema:
    """Types of the columns as CSV has them: a list is a text, in JSON."""
    fields = []
    for field in schema:
        if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            field = pa.field(field.name, pa.string())
        elif pa.types.is_nested(field.type) or pa.types.is_interval(field.type):
            raise ArgumentError(
                f"The column {field.name!r} must be of a type that CSV can hold; got {field.type}. "
                f"Cast it in the query, as {field.name}::text."
            )
        fields.append(field)
    return pa.schema(fields)


def _written(batch: pa.RecordBatch, schema: pa.Schema, *, escape_formulas: bool) -> pa.RecordBatch:
    """Rows as they are written: lists as JSON, formulas of spreadsheets with an apostrophe."""
    arrays = []
    for array, field in zip(batch.columns, schema, strict=True):
        if array.type != field.type:
            texts = [
                None if value is None else json.dumps(value, ensure_ascii=False, default=str)
                for value in array.to_pylist()
            ]
            array = pa.array(texts, field.type)
        if escape_formulas and pa.types.is_string(array.type):
            array = pc.replace_substring_regex(array, r"\A([=+\-@\t\r])", r"'\1")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Counted:
    def __init__(
        self, batches: Iterable[pa.RecordBatch], progress: Callable[[int], object]
    ) -> None:
        self._batches = batches
        self._progress = progress
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            yield batch
            self.rows += batch.num_rows
            self._progress(batch.num_rows)


def _with_period(schema: pa.Schema, time_column: str) -> pa.Schema:
    if time_column not in schema.names:
        raise NotFoundError("column", time_column, schema.names, where="what is exported")
    kind = schema.field(time_column).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise ArgumentError(
            f"Column {time_column!r} holds no times to make periods of: it is {kind}."
        )
    if PERIOD in schema.names:
        raise ArgumentError(f"What is exported has a column {PERIOD!r} already: rename it.")
    return schema.append(pa.field(PERIOD, pa.string()))


def _by_period(
    batch: pa.RecordBatch, schema: pa.Schema, time_column: str, partition_by: str
) -> pa.RecordBatch:
    # Without its zone, which is UTC, a timestamp needs no tables of zones to be written.
    moments = batch.column(time_column).cast(pa.timestamp("us"))
    period = pc.strftime(moments, format=_FORMATS[partition_by])
    return pa.RecordBatch.from_arrays([*batch.columns, period], schema=schema)


def _write_dataset(parts: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path) -> None:
    smallest, largest = _ROW_GROUP
    folder.mkdir()
    dataset.write_dataset(
        pa.RecordBatchReader.from_batches(schema, parts),
        folder,
        format="parquet",
        partitioning=dataset.partitioning(pa.schema([(PERIOD, pa.string())]), flavor="hive"),
        min_rows_per_group=smallest,
        max_rows_per_group=largest,
        file_options=dataset.ParquetFileFormat().make_write_options(compression="zstd"),
    )
    if not any(folder.iterdir()):  # a dataset without rows still has columns
        columns = schema.remove(schema.get_field_index(PERIOD))
        parquet.write_table(columns.empty_table(), folder / "part-0.parquet")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
