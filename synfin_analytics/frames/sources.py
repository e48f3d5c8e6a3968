"""Whatever a user has (a frame, a stream, a file, objects) as a run of small polars frames.

Nothing is converted as a whole: a source larger than memory is read piece by piece.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa

from synfin_analytics.exceptions import ArgumentError, SynfinError, refuse_repeated_columns
from synfin_analytics.frames.options import ReadOptions
from synfin_analytics.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from synfin_analytics.frames.files import FileRows

#: A column whose cells have no one Arrow type: its Python objects, checked one by one.
Objects = list[Any]
Column = pl.Series | Objects


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some consecutive rows of a source."""

    #: Position of the first row in the source.
    start: int
    height: int
    columns: dict[str, Column]


@dataclasses.dataclass(frozen=True)
class Source:
    """Rows to load: column names known, rows read when they are asked for."""

    names: list[str]
    batches: Iterator[Batch]
    #: Number of rows, where it is known without reading them.
    height: int | None = None
    #: How its texts are written, where they have yet to be parsed, as in CSV.
    options: ReadOptions | None = None
    #: How a file was read, for a message when its columns or cells do not fit.
    note: str = ""


def open_source(data: Any, rows: int, options: ReadOptions | None = None) -> Source:
    """Open ``data`` as batches of about ``rows`` rows.

    An error in the midst of the rows, of a stream of the caller's own say, is an ArgumentError too.

    Parameters
    ----------
    data
        A pandas, polars (eager or lazy) or pyarrow frame, anything with an Arrow stream (DuckDB
        relations, record-batch readers), the path of a file, or an iterable of mappings or of ORM
        objects.
    rows
        Rows in a batch.
    options
        How its texts are written.

    Raises
    ------
    ArgumentError
        ``data`` is none of these, or the file is not there or not readable.
    """
    options = options or ReadOptions()
    if isinstance(data, (str, Path)):
        source = _from_file(data, rows, options)
    else:
        options.refuse_csv_options(f"a {type(data).__name__}")
        source = _with_options(_opened(data, rows), options)
    return dataclasses.replace(source, batches=_unbroken(source.batches))


def _unbroken(batches: Iterator[Batch]) -> Iterator[Batch]:
    read = 0
    try:
        for batch in batches:
            yield batch
            read += batch.height
    except (SynfinError, MemoryError):
        raise
    except Exception as error:  # whatever a stream of the caller's raises
        raise ArgumentError(
            f"The data broke off after {read:,} rows, by {type(error).__name__}: see its own "
            "message. Nothing was loaded."
        ) from error


def _opened(data: Any, rows: int) -> Source:
    if isinstance(data, pl.LazyFrame):
        names = data.collect_schema().names()
        stream = data.collect_batches(chunk_size=rows, maintain_order=True)
        return Source(names, _numbered(_resized(stream, rows)))
    if isinstance(data, pl.DataFrame):
        return Source(data.columns, _numbered(data.iter_slices(rows)), data.height)
    if nw.dependencies.is_pandas_dataframe(data):
        return _from_pandas(data, rows)
    if isinstance(data, pa.Table):
        return _from_arrow(data.schema, data.to_batches(max_chunksize=rows), rows, data.num_rows)
    if hasattr(data, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(data)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ArgumentError(f"This Arrow stream cannot be read: {error}") from error
        return _from_arrow(reader.schema, reader, rows)
    if isinstance(data, (list, tuple)) or hasattr(data, "__next__"):
        return _from_objects(list(data), rows)
    raise ArgumentError(
        "Rows must come as a pandas, polars or pyarrow frame, an Arrow stream, the path of a file, "
        f"dicts or ORM objects; got {type(data).__name__}."
    )


def _numbered(frames: Iterable[pl.DataFrame]) -> Iterator[Batch]:
    start = 0
    for frame in frames:
        if frame.height:
            yield Batch(start, frame.height, {name: frame[name] for name in frame.columns})
            start += frame.height


def _resized(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Join small frames and cut large ones, so that every batch but the last has ``rows``."""
    kept: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        kept.append(frame)
        height += frame.height
        while height >= rows:
            joined = pl.concat(kept) if len(kept) > 1 else kept[0]
            yield joined.slice(0, rows)
            kept = [joined.slice(rows)]
            height -= rows
    if height:
        yield pl.concat(kept) if len(kept) > 1 else kept[0]


def _from_arrow(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], rows: int, height: int | None = None
) -> Source:
    refuse_repeated_columns(schema.names)

    def frames() -> Iterator[pl.DataFrame]:
        for batch in batches:
            table = pa.Table.from_batches([_readable(batch)])
            frame = pl.from_arrow(table)
            if isinstance(frame, pl.Series):
                frame = frame.to_frame()
            yield frame

    return Source(list(schema.names), _numbered(_resized(frames(), rows)), height)


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cast the few Arrow types that polars has no counterpart for; refuse broken texts."""
    batch.validate(full=True)
    arrays = []
    for array in batch.columns:
        kind = array.type
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif pa.types.is_decimal256(kind):
            array = pa.array(array.to_pylist(), from_pandas=False)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _from_pandas(frame: pd.DataFrame, rows: int) -> Source:
    names = [str(name) for name in frame.columns]
    refuse_repeated_columns(names)

    def batches() -> Iterator[Batch]:
        for start in range(0, len(frame), rows):
            part = frame.iloc[start : start + rows]
            columns = {
                name: _from_series(part.iloc[:, position]) for position, name in enumerate(names)
            }
            yield Batch(start, len(part), columns)

    return Source(names, batches(), len(frame))


def _from_series(series: pd.Series[Any]) -> Column:
    """One pandas column; its index does not matter.

    NumPy floats have no other way to say "missing" than NaN: there, and in object columns, NaN is
    read as NULL, as pandas does.
    """
    if series.dtype == object:
        return _from_list(series.tolist())
    try:
        array = pa.Array.from_pandas(series)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_decimal256(array.type):
            return series.tolist()
        return pl.Series("", pl.from_arrow(array))
    except (pa.ArrowException, ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
        # Cells of several types, texts that are not Unicode, numbers out of any Arrow type.
        return series.tolist()


def _from_objects(entities: Sequence[Any], rows: int) -> Source:
    records: list[Mapping[str, Any]] = []
    for position, entity in enumerate(entities):
        if isinstance(entity, Base):
            # What was never set is not given: the database has defaults for it.
            records.append({k: v for k, v in entity.to_dict().items() if v is not None})
        elif hasattr(entity, "keys") and hasattr(entity, "__getitem__"):
            records.append(entity)
        else:
            raise ArgumentError(
                f"Entity {position} is neither a mapping nor an ORM object, "
                f"but {type(entity).__name__}."
            )
    names = list(dict.fromkeys(str(key) for record in records for key in record))

    def batches() -> Iterator[Batch]:
        for start in range(0, len(records), rows):
            part = records[start : start + rows]
            columns = {name: _from_list([record.get(name) for record in part]) for name in names}
            yield Batch(start, len(part), columns)

    return Source(names, batches(), len(records))


def _from_list(values: list[Any]) -> Column:
    """Python objects as a series if they are all of one type, else as they are.

    Arrow would make one type of several by itself: a date of a moment, bytes of a text.
    """
    if not _uniform(values):
        return values
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_decimal256(array.type):
            return values
        return pl.Series("", pl.from_arrow(array))
    except (pa.ArrowException, ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
        return values


def _uniform(values: list[Any]) -> bool:
    kinds = {type(value) for value in values} - _MISSING
    if len(kinds) > 1 and kinds - {int, float}:
        return False
    if kinds <= {dt.datetime, pd.Timestamp}:
        return len({value.tzinfo for value in values if type(value) not in _MISSING}) <= 1
    return True


_MISSING = {type(None), type(pd.NA), type(pd.NaT)}


def _from_records(file: FileRows) -> Source:
    def batches() -> Iterator[Batch]:
        start = 0
        for part in file.records or ():
            columns = {name: _from_list([row.get(name) for row in part]) for name in file.names}
            yield Batch(start, len(part), columns)
            start += len(part)

    return Source(file.names, batches(), file.height)


def _from_file(
    path: str | Path, rows: int, options: ReadOptions, columns: Sequence[str] | None = None
) -> Source:
    from synfin_analytics.frames import files

    files.refuse_uri(path)
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"There is no file {str(path)!r}.")
    if files.is_parquet(path):
        from synfin_analytics.frames.parquet import open_parquet

        options.refuse_csv_options(repr(str(path)))
        data = open_parquet(files.unpacked(path), rows)
        return _with_options(_from_arrow(data.schema, data.batches, rows, data.height), options)
    file = files.open_file(path, rows, options, columns)
    if file.schema is None:
        return _with_options(_from_records(file), options)
    source = _from_arrow(file.schema, file.batches, rows, file.height)
    if file.textual:
        return dataclasses.replace(source, options=options, note=file.note)
    return _with_options(source, options)


def _with_options(source: Source, options: ReadOptions) -> Source:
    """Let options about texts hold for a source whose cells have types of their own."""
    return dataclasses.replace(source, options=options) if options.about_texts else source
