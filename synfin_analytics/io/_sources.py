"""Whatever a user has (a frame, a stream, a file, objects) as a run of small polars frames.

Nothing is converted as a whole: a source larger than memory is read piece by piece.
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
    from_list,
    from_pandas,
    from_polars,
    from_record_batches,
    validate,
)
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.models import Base
from synfin_analytics.exceptions import ArgumentError, SynfinError, refuse_repeated_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from synfin_analytics.io.files._files import FileRows
    from synfin_analytics.io.files._parquet import Parquet


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some consecutive rows of a source."""

    #: Position of the first row in the source.
    start: int
    height: int
    columns: Mapping[str, Column]
    #: Of computed columns, the texts of cells that could not be computed, and why.
    faulty: Mapping[str, tuple[pl.Series, str]] = dataclasses.field(default_factory=dict)


class _Columns(Mapping[str, Column]):
    """Columns that are converted when they are asked for: many are never wanted."""

    def __init__(self, names: Sequence[str], make: Callable[[str], Column]) -> None:
        self._names = dict.fromkeys(names)
        self._make = make

    def __getitem__(self, name: str) -> Column:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
    #: Columns whose cells are texts that have yet to be parsed, as in names of folders.
    texts: frozenset[str] = frozenset()
    #: Names of the index of a pandas frame, which does not count as columns.
    index: tuple[str, ...] = ()

    def options_of(self, name: str) -> ReadOptions | None:
        """How the texts of a column are written, where they have yet to be parsed."""
        if self.options is None and name in self.texts:
            return ReadOptions()
        return self.options


#: Before the name of a column: texts of its cells that could not be computed.
FAULTY = "__faulty__"
_UNREAD = "_synfin_unread"


@dataclasses.dataclass(frozen=True)
class Unread:
    """The rows of a lazy frame before their cells are read, so that each can be refused alone."""

    frame: pl.LazyFrame
    options: ReadOptions | None
    #: Columns of texts that have yet to be parsed.
    texts: frozenset[str]
    #: Reasons why cells of computed columns could not be computed.
    reasons: Mapping[str, str]
    note: str = ""


def attach_unread(frame: pl.LazyFrame, unread: Unread) -> None:
    """Let ``load_df`` read the rows behind this very frame; what is derived from it has none."""
    setattr(frame, _UNREAD, unread)


def unread_of(frame: pl.LazyFrame) -> Unread | None:
    """Return the rows behind a lazy frame."""
    unread = getattr(frame, _UNREAD, None)
    return unread if isinstance(unread, Unread) else None


def open_source(
    data: Any,
    rows: int,
    options: ReadOptions | None = None,
    columns: Sequence[str] | None = None,
) -> Source:
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
    columns
        Of a CSV file, the columns that are wanted; all by default.

    Raises
    ------
    ArgumentError
        ``data`` is none of these, or the file is not there or not readable.
    """
    options = options or ReadOptions()
    if isinstance(data, (str, Path)):
        source = _from_file(data, rows, options, columns)
    else:
        options.refuse_csv_options(f"a {type(data).__name__}")
        unread = unread_of(data) if isinstance(data, pl.LazyFrame) else None
        source = _opened(data, rows) if unread is None else _from_unread(unread, rows)
        source = _with_options(source, options)
    return dataclasses.replace(source, batches=_unbroken(source.batches))


def can_be_read_again(data: Any) -> bool:
    """Whether a second reading of ``data`` gives the same rows: not of a stream, nor of a pipe."""
    if isinstance(data, (str, Path)):
        return Path(data).is_file() or Path(data).is_dir()
    kinds = (list, tuple, pl.DataFrame, pl.LazyFrame, pa.Table, pa.RecordBatch)
    return isinstance(data, kinds) or hasattr(data, "iloc")


def _unbroken(batches: Iterator[Batch]) -> Iterator[Batch]:
    read = 0
    try:
        for batch in batches:
            yield batch
            read += batch.height
    except (SynfinError, MemoryError):
        raise
    # Whatever a stream of the caller's raises; polars' panics derive from BaseException.
    except (Exception, pl.exceptions.PanicException) as error:
        raise ArgumentError(
            f"The data broke off after {read:,} rows, by {type(error).__name__}"
            f"{_without_values(error)}. Nothing was loaded."
        ) from error


def _without_values(error: BaseException) -> str:
    """Say what polars says of an error, without the values, which may be personal."""
    if not isinstance(error, pl.exceptions.PolarsError):
        return ": see its own message"
    line = str(error).partition("\n")[0]
    return ": " + re.sub(r"(\[|\").*", "", line).rstrip(" :.")


def _opened(data: Any, rows: int) -> Source:
    if isinstance(data, pl.LazyFrame):
        return _from_lazy(data, rows)
    if isinstance(data, pl.DataFrame):
        return Source(data.columns, _numbered(data.iter_slices(rows)), data.height)
    if nw.dependencies.is_pandas_dataframe(data):
        return _from_pandas(data, rows)
    if isinstance(data, pa.Table):
        batches = data.to_batches(max_chunksize=rows)
        return _from_arrow(data.schema.names, batches, rows, data.num_rows)
    if hasattr(data, "get_fragments"):  # a dataset of pyarrow
        from synfin_analytics.io.files._parquet import open_dataset

        return _from_parquet(open_dataset(data, rows), rows)
    if hasattr(data, "to_reader"):  # a scanner, whose types the caller has chosen
        data = data.to_reader()
    if hasattr(data, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(data)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ArgumentError(f"This Arrow stream cannot be read: {error}") from error
        return _from_arrow(reader.schema.names, reader, rows)
    if isinstance(data, (list, tuple)) or hasattr(data, "__next__"):
        return _from_objects(list(data), rows)
    kind = type(data)
    got = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    raise ArgumentError(
        "Rows must come as a pandas, polars or pyarrow frame, an Arrow stream, the path of a file, "
        f"dicts or ORM objects; got {got}."
    )


def _from_lazy(data: pl.LazyFrame, rows: int) -> Source:
    try:
        names = data.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArgumentError(
            f"This LazyFrame cannot be read, by {type(error).__name__}: see its own message."
        ) from error
    stream = data.collect_batches(chunk_size=rows, maintain_order=True)
    return Source(names, _numbered(_resized(stream, rows)))


def _from_unread(unread: Unread, rows: int) -> Source:
    names = [name for name in unread.frame.collect_schema().names() if not name.startswith(FAULTY)]
    stream = unread.frame.collect_batches(chunk_size=rows, maintain_order=True)

    def batches() -> Iterator[Batch]:
        for batch in _numbered(_resized(stream, rows)):
            faulty = {
                name: (texts, reason)
                for name, reason in unread.reasons.items()
                if isinstance(texts := batch.columns[FAULTY + name], pl.Series)
                and texts.null_count() < len(texts)
            }
            yield dataclasses.replace(batch, faulty=faulty)

    return Source(names, batches(), options=unread.options, note=unread.note, texts=unread.texts)


def _numbered(frames: Iterable[pl.DataFrame]) -> Iterator[Batch]:
    start = 0
    for frame in frames:
        if frame.height:
            columns = _Columns(frame.columns, partial(_of_polars, frame))
            yield Batch(start, frame.height, columns)
            start += frame.height


def _of_polars(frame: pl.DataFrame, name: str) -> Column:
    return from_polars(frame[name])


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
    names: list[str], batches: Iterable[pa.RecordBatch], rows: int, height: int | None = None
) -> Source:
    """Rows of Arrow batches, each of which may lack columns or have them in types of its own."""
    refuse_repeated_columns(names)

    def joined() -> Iterator[Batch]:
        start = 0
        for parts in _gathered(batches, rows):
            count = sum(part.num_rows for part in parts)
            yield Batch(start, count, _Columns(names, partial(from_record_batches, parts)))
            start += count

    return Source(names, joined(), height)


def _gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Gather small batches and cut large ones, so that all but the last have ``rows``."""
    kept: list[pa.RecordBatch] = []
    height = 0
    for batch in batches:
        validate(batch)
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, rows - height)
            kept.append(part)
            height += part.num_rows
            start += part.num_rows
            if height == rows:
                yield kept
                kept, height = [], 0
    if kept:
        yield kept


def _from_pandas(frame: pd.DataFrame, rows: int) -> Source:
    names = [str(name) for name in frame.columns]
    refuse_repeated_columns(names)

    positions = {name: position for position, name in enumerate(names)}

    def batches() -> Iterator[Batch]:
        for start in range(0, len(frame), rows):
            part = frame.iloc[start : start + rows]

            yield Batch(start, len(part), _Columns(names, partial(_of_pandas, part, positions)))

    index = tuple(str(name) for name in frame.index.names if name is not None)
    return Source(names, batches(), len(frame), index=index)


def _of_pandas(frame: pd.DataFrame, positions: Mapping[str, int], name: str) -> Column:
    return from_pandas(frame.iloc[:, positions[name]])


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
            columns = {name: from_list([record.get(name) for record in part]) for name in names}
            yield Batch(start, len(part), columns)

    return Source(names, batches(), len(records))


def _from_records(file: FileRows) -> Source:
    def batches() -> Iterator[Batch]:
        start = 0
        for part in file.records or ():
            columns = {name: from_list([row.get(name) for row in part]) for name in file.names}
            yield Batch(start, len(part), columns)
            start += len(part)

    return Source(file.names, batches(), file.height)


def _from_file(
    path: str | Path, rows: int, options: ReadOptions, columns: Sequence[str] | None = None
) -> Source:
    from synfin_analytics.io.files import _files as files

    files.refuse_uri(path)
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"There is no file {str(path)!r}.")
    if files.is_parquet(path):
        from synfin_analytics.io.files._parquet import open_parquet

        options.refuse_csv_options(repr(str(path)))
        data = open_parquet(files.unpacked(path), rows)
        return _with_options(_from_parquet(data, rows), options)
    file = files.open_file(path, rows, options, columns)
    if file.schema is None:
        return _with_options(_from_records(file), options)
    source = _from_arrow(file.schema.names, file.batches, rows, file.height)
    if file.textual:
        return dataclasses.replace(source, options=options, note=file.note)
    return _with_options(source, options)


def _from_parquet(data: Parquet, rows: int) -> Source:
    source = _from_arrow(data.names, data.batches, rows, data.height)
    return dataclasses.replace(source, texts=data.texts)


def _with_options(source: Source, options: ReadOptions) -> Source:
    """Let options about texts hold for a source whose cells have types of their own."""
    return dataclasses.replace(source, options=options) if options.about_texts else source
