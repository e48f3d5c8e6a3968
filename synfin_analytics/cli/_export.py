"""Write batches of Arrow to one Parquet or CSV file, or to a partitioned Parquet dataset."""

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

    from synfin_analytics.io import Batches

#: Partition column: the folders of a dataset are named ``period=2026-03``.
PERIOD = "period"
_PERIOD_FORMATS = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}
#: Minimum and maximum rows of a row group.
_ROW_GROUP = (8_192, 131_072)


def check_target(target: Path, partition_by: str | None, *, overwrite: bool) -> None:
    """Raise unless the target can be written, before anything is read.

    Raises
    ------
    ArgumentError
        The target has no known suffix, exists, or is not an earlier export.
    """
    if partition_by is None and target.suffix.lower() not in (".parquet", ".csv"):
        raise ArgumentError(
            f"The target must end with .parquet or .csv; got {str(target)!r}. For a folder of "
            "Parquet files use --partition-by month."
        )
    if not target.parent.is_dir():
        raise ArgumentError(f"The folder of the target must exist; got {str(target.parent)!r}.")
    if not target.exists():
        return
    if not overwrite:
        raise ArgumentError(f"{str(target)!r} exists; use --overwrite to replace it.")
    if target.is_dir() == (partition_by is None) or (target.is_dir() and not _is_export(target)):
        raise ArgumentError(
            f"{str(target)!r} was not written by an export and is not replaced. Choose another "
            "target."
        )


def _is_export(folder: Path) -> bool:
    """Whether a folder contains only partitions."""
    return all(
        path.name.startswith(f"{PERIOD}=") or path.suffix == ".parquet" for path in folder.iterdir()
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
    """Write all batches to the target, and return the number of rows.

    They are written next to the target and moved at the end: an existing target is complete.

    Parameters
    ----------
    batches
        The rows.
    target
        File, or folder of a partitioned dataset.
    partition_by
        "year", "month" or "day" for a partitioned dataset.
    time_column
        Column that determines the period.
    escape_formulas
        Whether to escape texts of a CSV file that a spreadsheet would run as formulas.
    progress
        Called with the number of rows of each batch.
    """
    schema = batches.schema
    if partition_by is not None:
        schema = _add_period_field(schema, time_column)
    unfinished = target.with_name(f".{target.name}.unfinished")
    n_rows = 0

    def count() -> Iterator[pa.RecordBatch]:
        nonlocal n_rows
        for batch in batches:
            yield batch
            n_rows += batch.num_rows
            progress(batch.num_rows)

    try:
        if partition_by is not None:
            parts = (_add_period(batch, schema, time_column, partition_by) for batch in count())
            _write_dataset(parts, schema, unfinished)
        elif target.suffix.lower() == ".csv":
            schema = _to_csv_schema(schema)
            with csv.CSVWriter(unfinished, schema) as writer:
                for batch in count():
                    writer.write_batch(
                        _to_csv_batch(batch, schema, escape_formulas=escape_formulas)
                    )
        else:
            with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
                for batch in count():
                    writer.write_batch(batch)
        _remove(target)
        unfinished.rename(target)
    except SynfinError:
        raise  # a lost connection is an OSError as well
    except OSError as error:
        reason = error.strerror or error
        raise ArgumentError(f"{str(target)!r} cannot be written: {reason}.") from error
    finally:
        _remove(unfinished)
    return n_rows


def _to_csv_schema(schema: pa.Schema) -> pa.Schema:
    """Return the types of the columns in CSV: a list becomes a string, as JSON."""
    fields = []
    for field in schema:
        if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            field = pa.field(field.name, pa.string())
        elif pa.types.is_nested(field.type) or pa.types.is_interval(field.type):
            raise ArgumentError(
                f"The type of column {field.name!r} must be one that CSV supports; got "
                f"{field.type}. Cast it in the query: {field.name}::text."
            )
        fields.append(field)
    return pa.schema(fields)


def _to_csv_batch(
    batch: pa.RecordBatch, schema: pa.Schema, *, escape_formulas: bool
) -> pa.RecordBatch:
    """Convert lists to JSON, and prefix formulas of spreadsheets with an apostrophe."""
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


def _add_period_field(schema: pa.Schema, time_column: str) -> pa.Schema:
    if time_column not in schema.names:
        raise NotFoundError("column", time_column, schema.names, location="the exported data")
    dtype = schema.field(time_column).type
    if not (pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)):
        raise ArgumentError(
            f"--time-column must be a column of timestamps or dates; {time_column!r} is {dtype}."
        )
    if PERIOD in schema.names:
        raise ArgumentError(
            f"The exported data must not have a column {PERIOD!r}, which the partitions use: "
            "rename it."
        )
    return schema.append(pa.field(PERIOD, pa.string()))


def _add_period(
    batch: pa.RecordBatch, schema: pa.Schema, time_column: str, partition_by: str
) -> pa.RecordBatch:
    # Formatting a timestamp with a time zone would need the time zone database; it is UTC.
    timestamps = batch.column(time_column).cast(pa.timestamp("us"))
    period = pc.strftime(timestamps, format=_PERIOD_FORMATS[partition_by])
    return pa.RecordBatch.from_arrays([*batch.columns, period], schema=schema)


def _write_dataset(parts: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path) -> None:
    min_rows, max_rows = _ROW_GROUP
    folder.mkdir()
    dataset.write_dataset(
        pa.RecordBatchReader.from_batches(schema, parts),
        folder,
        format="parquet",
        partitioning=dataset.partitioning(pa.schema([(PERIOD, pa.string())]), flavor="hive"),
        min_rows_per_group=min_rows,
        max_rows_per_group=max_rows,
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
