"""Any data (a frame, a stream, a file, objects) as batches of rows.

Nothing is converted as a whole: a source larger than memory is read batch by batch.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from synfin_analytics._core.validation.columns import (
    Column,
    check_record_batch,
    from_list,
    from_pandas,
    from_polars,
    from_record_batches,
)
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.models import Base
from synfin_analytics.exceptions import ArgumentError, SynfinError, require_unique_columns
from synfin_analytics.io.files._paths import check_path, is_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from synfin_analytics._core.types import DataSource
    from synfin_analytics.io.files._parquet import Parquet


@dataclasses.dataclass(frozen=True)
class SourceBatch:
    """Consecutive rows of a source, before validation."""

    #: Position of the first row in the source.
    start: int
    height: int
    columns: Mapping[str, Column]
    #: For computed columns, the texts of cells that could not be computed, and the reason.
    failed: Mapping[str, tuple[pl.Series, str]] = dataclasses.field(default_factory=dict)


class _LazyColumns(Mapping[str, Column]):
    """Columns that are converted on access: many are never needed."""

    def __init__(self, names: Sequence[str], convert: Callable[[str], Column]) -> None:
        self._names = dict.fromkeys(names)
        self._convert = convert

    def __getitem__(self, name: str) -> Column:
        if name not in self._names:
            raise KeyError(name)
        return self._convert(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclasses.dataclass(frozen=True)
class Source:
    """Rows to load: the column names are known, the rows are read on demand."""

    names: list[str]
    batches: Iterator[SourceBatch]
    #: Number of rows, where it is known without reading them.
    height: int | None = None
    #: How to parse its texts, for a source whose cells are texts, such as CSV.
    options: ReadOptions | None = None
    #: How a file was read, for a message when its columns or cells are not valid.
    note: str = ""
    #: Columns whose cells are texts to parse, such as those from names of folders.
    texts: frozenset[str] = frozenset()
    #: Names of the index levels of a pandas frame, which are not columns.
    index: tuple[str, ...] = ()
    #: Names that the header of a CSV file has more than once; the others are numbered: ``x.1``.
    repeated: frozenset[str] = frozenset()

    def options_for(self, name: str) -> ReadOptions | None:
        """Return how to parse the texts of a column; None if they are not parsed."""
        if self.options is None and name in self.texts:
            return ReadOptions()
        return self.options


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


def raw_rows_of(frame: pl.LazyFrame) -> RawRows | None:
    """Return the rows that were attached to a lazy frame."""
    rows = getattr(frame, _RAW_ROWS, None)
    return rows if isinstance(rows, RawRows) else None


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
        A pandas, polars (eager or lazy) or pyarrow frame, anything with an Arrow stream (DuckDB
        relations, record-batch readers), the path of a file, or an iterable of mappings or of ORM
        objects.
    batch_rows
        Number of rows in a batch.
    options
        How to parse its texts.
    columns
        The columns to read of a CSV file; all by default.

    Raises
    ------
    ArgumentError
        ``data`` is none of these, or the file does not exist or is not readable.
    """
    options = options or ReadOptions()
    if isinstance(data, (str, Path)):
        source = _from_file(data, batch_rows, options, columns)
    else:
        options.check_no_csv_options(f"a {type(data).__name__}")
        raw_rows = raw_rows_of(data) if isinstance(data, pl.LazyFrame) else None
        if raw_rows is None:
            source = _from_data(data, batch_rows)
        else:
            source = _from_raw_rows(raw_rows, batch_rows)
        source = _with_options(source, options)
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
    if isinstance(data, (str, Path)):
        return Path(data).is_file() or Path(data).is_dir()
    types = (list, tuple, pl.DataFrame, pl.LazyFrame, pa.Table, pa.RecordBatch)
    return isinstance(data, types) or hasattr(data, "iloc")


def _translate_errors(batches: Iterator[SourceBatch]) -> Iterator[SourceBatch]:
    n_read = 0
    try:
        for batch in batches:
            yield batch
            n_read += batch.height
    except (SynfinError, MemoryError):
        raise
    # A stream of the caller may raise anything; polars' panics derive from BaseException.
    except (Exception, pl.exceptions.PanicException) as error:
        raise ArgumentError(
            f"Reading the data failed after {n_read:,} rows with {type(error).__name__}"
            f"{_without_values(error)}. Nothing was loaded."
        ) from error


def _without_values(error: BaseException) -> str:
    """Return polars' message without the values, which may be personal."""
    if not isinstance(error, pl.exceptions.PolarsError):
        return ": see its own message"
    line = str(error).partition("\n")[0]
    return ": " + re.sub(r"(\[|\").*", "", line).rstrip(" :.")


def _from_data(data: Any, batch_rows: int) -> Source:
    if isinstance(data, pl.LazyFrame):
        return _from_lazy(data, batch_rows)
    if isinstance(data, pl.DataFrame):
        return Source(data.columns, _to_batches(data.iter_slices(batch_rows)), data.height)
    if nw.dependencies.is_pandas_dataframe(data):
        return _from_pandas(data, batch_rows)
    if isinstance(data, pa.Table):
        batches = data.to_batches(max_chunksize=batch_rows)
        return _from_arrow(data.schema.names, batches, batch_rows, data.num_rows)
    if hasattr(data, "get_fragments"):  # a dataset of pyarrow
        from synfin_analytics.io.files._parquet import open_dataset

        return _from_parquet(open_dataset(data, batch_rows), batch_rows)
    if hasattr(data, "to_reader"):  # a scanner, whose types the caller has chosen
        data = data.to_reader()
    if hasattr(data, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(data)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ArgumentError(f"This Arrow stream cannot be read: {error}") from error
        return _from_arrow(reader.schema.names, reader, batch_rows)
    if isinstance(data, (list, tuple)) or hasattr(data, "__next__"):
        return _from_objects(list(data), batch_rows)
    cls = type(data)
    name = cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
    raise ArgumentError(
        "The data must be a pandas, polars or pyarrow frame, an Arrow stream, the path of a file, "
        f"dicts or ORM objects; got {name}."
    )


def _from_lazy(frame: pl.LazyFrame, batch_rows: int) -> Source:
    try:
        names = frame.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArgumentError(
            f"Reading this LazyFrame failed with {type(error).__name__}: see its own message."
        ) from error
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
            columns = _LazyColumns(frame.columns, partial(_polars_column, frame))
            yield SourceBatch(start, frame.height, columns)
            start += frame.height


def _polars_column(frame: pl.DataFrame, name: str) -> Column:
    return from_polars(frame[name])


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


def _from_arrow(
    names: list[str], batches: Iterable[pa.RecordBatch], batch_rows: int, height: int | None = None
) -> Source:
    """Open Arrow batches, each of which may lack columns or have them in types of its own."""
    require_unique_columns(names)

    def read_batches() -> Iterator[SourceBatch]:
        start = 0
        for parts in _group_batches(batches, batch_rows):
            height = sum(part.num_rows for part in parts)
            columns = _LazyColumns(names, partial(from_record_batches, parts))
            yield SourceBatch(start, height, columns)
            start += height

    return Source(names, read_batches(), height)


def _group_batches(
    batches: Iterable[pa.RecordBatch], batch_rows: int
) -> Iterator[list[pa.RecordBatch]]:
    """Group small batches and split large ones: all groups but the last have ``batch_rows``."""
    parts: list[pa.RecordBatch] = []
    height = 0
    for batch in batches:
        check_record_batch(batch)
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, batch_rows - height)
            parts.append(part)
            height += part.num_rows
            start += part.num_rows
            if height == batch_rows:
                yield parts
                parts, height = [], 0
    if parts:
        yield parts


def _from_pandas(frame: pd.DataFrame, batch_rows: int) -> Source:
    names = [str(name) for name in frame.columns]
    require_unique_columns(names)
    positions = {name: position for position, name in enumerate(names)}

    def read_batches() -> Iterator[SourceBatch]:
        for start in range(0, len(frame), batch_rows):
            part = frame.iloc[start : start + batch_rows]
            columns = _LazyColumns(names, partial(_pandas_column, part, positions))
            yield SourceBatch(start, len(part), columns)

    index = tuple(str(name) for name in frame.index.names if name is not None)
    return Source(names, read_batches(), len(frame), index=index)


def _pandas_column(frame: pd.DataFrame, positions: Mapping[str, int], name: str) -> Column:
    return from_pandas(frame.iloc[:, positions[name]])


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
                f"Row {position} must be a mapping or an ORM object; got {type(item).__name__}."
            )
    names = list(dict.fromkeys(str(key) for record in records for key in record))
    parts = (records[start : start + batch_rows] for start in range(0, len(records), batch_rows))
    return Source(names, _from_records(names, parts), len(records))


def _from_records(
    names: Sequence[str], parts: Iterable[Sequence[Mapping[str, Any]]]
) -> Iterator[SourceBatch]:
    start = 0
    for part in parts:
        columns = {name: from_list([record.get(name) for record in part]) for name in names}
        yield SourceBatch(start, len(part), columns)
        start += len(part)


def _from_file(
    path: str | Path, batch_rows: int, options: ReadOptions, columns: Sequence[str] | None = None
) -> Source:
    from synfin_analytics.io.files import _open as files

    path = check_path(path)
    if is_parquet(path):
        from synfin_analytics.io.files._parquet import open_parquet

        options.check_no_csv_options(repr(str(path)))
        data = open_parquet(files.unpack(path), batch_rows)
        return _with_options(_from_parquet(data, batch_rows), options)
    file = files.open_file(path, batch_rows, options, columns)
    if file.schema is None:
        batches = _from_records(file.names, file.records or ())
        return _with_options(Source(file.names, batches, file.height), options)
    source = _from_arrow(file.schema.names, file.batches, batch_rows, file.height)
    if file.textual:
        return dataclasses.replace(source, options=options, note=file.note, repeated=file.repeated)
    return _with_options(source, options)


def _from_parquet(data: Parquet, batch_rows: int) -> Source:
    source = _from_arrow(data.names, data.batches, batch_rows, data.height)
    return dataclasses.replace(source, texts=data.texts)


def _with_options(source: Source, options: ReadOptions) -> Source:
    """Apply options about texts to a source whose cells have types of their own."""
    return dataclasses.replace(source, options=options) if options.has_text_options else source
