"""Any data (a frame, a stream, a file, objects) as batches of rows.

Nothing is converted as a whole: a source larger than memory is read batch by batch.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.partitions import dask_partitions, is_spark_frame, spark_batches
from synfin_analytics._core.validation.columns import Column, from_pandas, from_polars
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.models import Base
from synfin_analytics.exceptions import ArgumentError, SynfinError
from synfin_analytics.io._formats import open_file
from synfin_analytics.io._parquet import EXPORTED_PARTITION, NULL_PARTITION, open_dataset
from synfin_analytics.io._source import LazyColumns, Source, SourceBatch, from_arrow, from_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from synfin_analytics._core.types import DataSource

__all__ = [
    "EXPORTED_PARTITION",
    "FAILED",
    "NULL_PARTITION",
    "RawRows",
    "Source",
    "SourceBatch",
    "attach_raw_rows",
    "is_rereadable",
    "open_source",
    "read_column_names",
]

#: Before the name of a column: texts of its cells that could not be computed.
FAILED = "__failed__"
_RAW_ROWS = "_synfin_raw_rows"


@dataclasses.dataclass(frozen=True)
class RawRows:
    """The rows of a lazy frame before their cells are parsed: each can be rejected alone."""

    frame: pl.LazyFrame
    options: ReadOptions | None
    #: Columns of texts to parse.
    texts: frozenset[str]
    #: Reasons why cells of computed columns could not be computed.
    reasons: Mapping[str, str]
    note: str = ""


def attach_raw_rows(frame: pl.LazyFrame, rows: RawRows) -> None:
    """Let ``load_df`` read these rows instead of the frame; frames derived from it have none."""
    setattr(frame, _RAW_ROWS, rows)


def open_source(
    data: DataSource,
    batch_rows: int,
    options: ReadOptions | None = None,
    columns: Sequence[str] | None = None,
) -> Source:
    """Open ``data`` as batches of about ``batch_rows`` rows.

    An error while the rows are read, for example in a stream of the caller, is an ArgumentError
    too.

    Parameters
    ----------
    data
        A pandas, polars (eager or lazy), pyarrow, Dask or PySpark frame, anything with an Arrow
        stream (DuckDB relations, record-batch readers), the path of a file, or an iterable of
        mappings or of ORM objects. Frames of Dask and Spark are read partition by partition.
    batch_rows
        Number of rows in a batch.
    options
        How to parse its texts.
    columns
        The columns to read of a CSV or Parquet file; all by default.

    Raises
    ------
    ArgumentError
        ``data`` is none of these, or the file does not exist or is not readable.
    """
    options = options or ReadOptions()
    data = native_frame(data)
    if isinstance(data, (str, Path)):
        source = open_file(data, batch_rows, options, columns)
    else:
        options.check_no_csv_options(f"a {type(data).__name__}")
        source = _from_data(data, batch_rows)
    if options.has_text_options:  # its cells have types of their own, and some may be texts
        source = dataclasses.replace(source, options=options)
    return dataclasses.replace(source, batches=_translate_errors(source.batches))


def read_column_names(data: DataSource, options: ReadOptions | None = None) -> list[str]:
    """Return the names of the columns of a file or frame, reading as little of it as possible.

    Raises
    ------
    ArgumentError
        The file does not exist or is not readable.

    Examples
    --------
    >>> read_column_names(pl.DataFrame({"amount": [1.5], "timestamp": ["2026-03-01"]}))
    ['amount', 'timestamp']
    """
    return list(open_source(data, 1, options).names)


def is_rereadable(data: DataSource) -> bool:
    """Whether a second reading of ``data`` gives the same rows: not of a stream or a pipe."""
    data = native_frame(data)
    if isinstance(data, (str, Path)):
        return Path(data).is_file() or Path(data).is_dir()
    types = (list, tuple, pl.DataFrame, pl.LazyFrame, pa.Table, pa.RecordBatch)
    return isinstance(data, types) or hasattr(data, "iloc") or is_spark_frame(data)


def _translate_errors(batches: Iterator[SourceBatch]) -> Iterator[SourceBatch]:
    n_read = 0
    try:
        while True:
            with translate_engine_errors():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
            n_read += batch.height
    except (SynfinError, MemoryError):
        raise
    # A stream of the caller may raise anything; polars' panics derive from BaseException.
    except (Exception, pl.exceptions.PanicException) as error:
        raise ArgumentError(
            f"Reading the data failed after {n_read:,} rows with {type(error).__name__}"
            ": see its own message. Nothing was loaded."
        ) from error


def _from_data(data: Any, batch_rows: int) -> Source:
    if isinstance(data, pl.LazyFrame):
        return _from_lazy(data, batch_rows)
    if isinstance(data, pl.DataFrame):
        return Source(data.columns, _to_batches(data.iter_slices(batch_rows)), data.height)
    if nw.dependencies.is_pandas_dataframe(data):
        return _from_pandas(data, [data], batch_rows, len(data))
    if nw.dependencies.is_dask_dataframe(data) or is_spark_frame(data):
        return _from_partitions(data, batch_rows)
    if hasattr(data, "get_fragments"):  # a dataset of pyarrow
        return open_dataset(data, batch_rows)
    height = data.num_rows if isinstance(data, pa.Table) else None
    if hasattr(data, "to_reader"):  # a table, or a scanner, whose types the caller has chosen
        data = data.to_reader()
    if hasattr(data, "__arrow_c_stream__"):
        reader = _open_stream(data)
        names = reader.schema.names
        return Source(names, from_arrow(names, reader, batch_rows), height)
    if isinstance(data, (list, tuple)) or hasattr(data, "__next__"):
        return _from_objects(list(data), batch_rows)
    cls = type(data)
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    raise ArgumentError(
        "The data must be a pandas, polars, pyarrow, Dask or PySpark frame, an Arrow stream, the "
        "path of a file, dicts of columns and values, or objects of a table such as "
        f"Transaction(...); got {module}{cls.__name__}."
    )


def _open_stream(data: Any) -> pa.RecordBatchReader:
    try:
        with translate_engine_errors():
            return pa.RecordBatchReader.from_stream(data)
    except SynfinError:
        raise
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ArgumentError(f"This Arrow stream cannot be read: {error}") from error


def _from_lazy(frame: pl.LazyFrame, batch_rows: int) -> Source:
    raw_rows = getattr(frame, _RAW_ROWS, None)
    if isinstance(raw_rows, RawRows):
        return _from_raw_rows(raw_rows, batch_rows)
    with translate_engine_errors():
        names = frame.collect_schema().names()
    stream = frame.collect_batches(chunk_size=batch_rows, maintain_order=True)
    return Source(names, _to_batches(_resize(stream, batch_rows)))


def _from_raw_rows(rows: RawRows, batch_rows: int) -> Source:
    names = [name for name in rows.frame.collect_schema().names() if not name.startswith(FAILED)]
    stream = rows.frame.collect_batches(chunk_size=batch_rows, maintain_order=True)

    def read_batches() -> Iterator[SourceBatch]:
        for batch in _to_batches(_resize(stream, batch_rows)):
            failed = {
                name: (texts, reason)
                for name, reason in rows.reasons.items()
                if isinstance(texts := batch.columns[FAILED + name], pl.Series)
                and texts.null_count() < len(texts)
            }
            yield dataclasses.replace(batch, failed=failed)

    return Source(names, read_batches(), options=rows.options, note=rows.note, texts=rows.texts)


def _to_batches(frames: Iterable[pl.DataFrame]) -> Iterator[SourceBatch]:
    start = 0
    for frame in frames:
        if frame.height:
            columns = LazyColumns(frame.columns, partial(_read_column, from_polars, frame))
            yield SourceBatch(start, frame.height, columns)
            start += frame.height


def _read_column(convert: Callable[[Any], Column], frame: Any, name: str) -> Column:
    return convert(frame[name])


def _resize(frames: Iterable[pl.DataFrame], batch_rows: int) -> Iterator[pl.DataFrame]:
    """Join small frames and split large ones: all but the last have ``batch_rows`` rows."""
    parts: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        parts.append(frame)
        height += frame.height
        while height >= batch_rows:
            joined = pl.concat(parts) if len(parts) > 1 else parts[0]
            yield joined.slice(0, batch_rows)
            parts = [joined.slice(batch_rows)]
            height -= batch_rows
    if height:
        yield pl.concat(parts) if len(parts) > 1 else parts[0]


def _from_partitions(frame: Any, batch_rows: int) -> Source:
    if not is_spark_frame(frame):
        return _from_pandas(frame, dask_partitions(frame), batch_rows)
    names = list(frame.columns)
    return Source(names, from_arrow(names, spark_batches(frame, "to be loaded"), batch_rows))


def _from_pandas(
    frame: Any, parts: Iterable[pd.DataFrame], batch_rows: int, height: int | None = None
) -> Source:
    """Read the parts of a frame of pandas, which has one, or of Dask."""
    names = [str(name) for name in frame.columns]

    def read_batches() -> Iterator[SourceBatch]:
        start = 0
        for group in _group_frames(parts, batch_rows):
            n_rows = sum(map(len, group))
            yield SourceBatch(start, n_rows, LazyColumns(names, partial(_read_pandas, group)))
            start += n_rows

    index = tuple(str(name) for name in _index_names(frame) if name is not None)
    return Source(names, read_batches(), height, index=index)


def _index_names(frame: Any) -> Sequence[Any]:
    return getattr(frame.index, "names", None) or [frame.index.name]  # Dask has no index of levels


def _group_frames(parts: Iterable[pd.DataFrame], batch_rows: int) -> Iterator[list[pd.DataFrame]]:
    """Group small frames and split large ones: all groups but the last have ``batch_rows``."""
    group: list[pd.DataFrame] = []
    missing = batch_rows
    for part in parts:
        named = part.set_axis([str(name) for name in part.columns], axis="columns")
        start = 0
        while start < len(named):
            group.append(named.iloc[start : start + missing])
            start += missing
            missing -= len(group[-1])
            if not missing:
                yield group
                group, missing = [], batch_rows
    if group:
        yield group


def _read_pandas(group: Sequence[pd.DataFrame], name: str) -> Column:
    cells = tuple(from_pandas(part[name]) for part in group)
    return cells[0] if len(cells) == 1 else cells


def _from_objects(objects: Sequence[Any], batch_rows: int) -> Source:
    records: list[Mapping[str, Any]] = []
    for position, item in enumerate(objects):
        if isinstance(item, Base):
            # An attribute that was never set is left out: the database has a default for it.
            records.append({k: v for k, v in item.to_dict().items() if v is not None})
        elif hasattr(item, "keys") and hasattr(item, "__getitem__"):
            records.append(item)
        else:
            raise ArgumentError(
                f"Row {position} must be a dict of columns and values, or an object of a table "
                f"such as Transaction(...); got {type(item).__name__}."
            )
    names = list(dict.fromkeys(str(key) for record in records for key in record))
    parts = (records[start : start + batch_rows] for start in range(0, len(records), batch_rows))
    return Source(names, from_records(names, parts), len(records))
