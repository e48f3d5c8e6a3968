"""Write batches of Arrow to one Parquet or CSV file, or to a folder of Parquet files."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from synfin_analytics._core.new_folder import check_new_folder, new_folder
from synfin_analytics.cli._dataset import (
    ByBucket,
    ByPeriod,
    DatasetWriter,
    Partition,
    parquet_options,
)
from synfin_analytics.exceptions import ArgumentError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from synfin_analytics.io import Batches


def check_target(target: Path, *, is_folder: bool, overwrite: bool) -> None:
    """Raise unless the target can be written, before anything is read.

    Raises
    ------
    ArgumentError
        The target is a file instead of a folder or has no known suffix, exists, or is not an
        earlier export.
    """
    if not is_folder and target.suffix.lower() not in (".parquet", ".csv"):
        raise ArgumentError(
            f"The target must end with .parquet or .csv; got {str(target)!r}. For a folder of "
            "Parquet files use --partition-by month or --buckets 64."
        )
    if is_folder and target.suffix.lower() in (".parquet", ".csv") and not target.is_dir():
        raise ArgumentError(
            "The target must be a folder with --partition-by or --buckets; got "
            f"{str(target)!r}, the name of a file. Omit {target.suffix!r}, or the option."
        )
    if not target.parent.is_dir():
        raise ArgumentError(f"The folder of the target must exist; got {str(target.parent)!r}.")
    if not target.exists():
        return
    if is_folder and target.is_dir() and not any(target.iterdir()):
        check_new_folder(target, "TARGET")
        return
    if not overwrite:
        raise ArgumentError(f"{str(target)!r} exists; use --overwrite to replace it.")
    if target.is_dir() != is_folder or (is_folder and not _is_export(target)):
        raise ArgumentError(
            f"{str(target)!r} was not written by an export and is not replaced. Choose another "
            "target."
        )


def _is_export(folder: Path) -> bool:
    """Whether a folder contains only partitions."""
    beginnings = tuple(f"{partition.name}=" for partition in (ByPeriod, ByBucket))
    return all(
        path.name.startswith(beginnings) or path.suffix == ".parquet" for path in folder.iterdir()
    )


def write_batches(
    batches: Batches,
    target: Path,
    *,
    partition: Partition | None = None,
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
    partition
        How the rows of a dataset are divided; None for a file.
    escape_formulas
        Whether to escape texts of a CSV file that a spreadsheet would run as formulas.
    progress
        Called with the number of rows of each batch.
    """
    n_rows = 0

    def count() -> Iterator[pa.RecordBatch]:
        nonlocal n_rows
        for batch in batches:
            yield batch
            n_rows += batch.num_rows
            progress(batch.num_rows)

    if partition is not None:
        partition.check(batches.schema)
        with new_folder(target.absolute()) as folder:
            with DatasetWriter(folder, batches.schema, partition) as writer:
                for batch in count():
                    writer.write(batch)
            _remove(target)
    else:
        _write_file(count(), batches.schema, target, escape_formulas=escape_formulas)
    return n_rows


def _write_file(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, target: Path, *, escape_formulas: bool
) -> None:
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        if target.suffix.lower() == ".csv":
            schema = _to_csv_schema(schema)
            with csv.CSVWriter(unfinished, schema) as writer:
                for batch in batches:
                    writer.write_batch(
                        _to_csv_batch(batch, schema, escape_formulas=escape_formulas)
                    )
        else:
            with parquet.ParquetWriter(unfinished, schema, **parquet_options(schema)) as writer:
                for batch in batches:
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


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
