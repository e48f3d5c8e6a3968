"""Files and frames of all formats as one lazy frame, with texts where a file has only texts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import json
import numbers
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
from polars.io.plugins import register_io_source

from synfin_analytics._core.engine_errors import polars_message
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.outcome import is_missing
from synfin_analytics.exceptions import ArgumentError, require_unique_columns
from synfin_analytics.io._formats import (
    CSV,
    EXCEL,
    JSON_LINES,
    check_path,
    is_parquet,
    suffix_of,
    unpack,
)
from synfin_analytics.io._parquet import data_files
from synfin_analytics.io.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from synfin_analytics._core.types import DataSource
    from synfin_analytics._core.validation.columns import Column
    from synfin_analytics.io._source import SourceBatch
    from synfin_analytics.io.layouts.layout import Layout

_BATCH_ROWS = 65_536
#: Types of values that a CSV file could have; NumPy's scalars are numbers, too.
_SCALARS = (str, numbers.Number, np.bool_, dt.date, type(None), type(pd.NA), type(pd.NaT))


@dataclasses.dataclass(frozen=True)
class Scan:
    """Rows of a file or a frame."""

    frame: pl.LazyFrame
    #: Name in messages.
    name: str
    #: Columns of texts to parse, such as all columns of a CSV file.
    texts: frozenset[str] = frozenset()
    #: How a file was read.
    note: str = ""
    #: Names that the header of a file has more than once; the others are numbered: ``x.1``.
    repeated: frozenset[str] = frozenset()
    #: Separator of a CSV file.
    separator: str = ""


def scan(
    source: DataSource | Sequence[str | Path], options: ReadOptions, layouts: Sequence[Layout]
) -> Scan:
    """Open a path, several paths or a frame.

    Parameters
    ----------
    source
        A path, a list of paths, or any frame that :func:`load_df` accepts.
    options
        How to parse its texts.
    layouts
        Layouts whose columns are selected from an eager frame; without any, all are.

    Raises
    ------
    ArgumentError
        It is none of these, does not exist, or cannot be read.
    """
    if isinstance(source, list | tuple) and source and isinstance(source[0], str | Path):
        parts = [_scan_file(path, options) for path in source]
        opened = _combine(parts, layouts)
    elif isinstance(source, str | Path):
        opened = _scan_file(source, options)
    else:
        options.check_no_csv_options(f"a {type(source).__name__}")
        opened = _scan_frame(source, layouts)
    if options.has_text_options:
        schema = schema_of(opened)
        texts = frozenset(name for name, dtype in schema.items() if dtype == pl.String)
        opened = dataclasses.replace(opened, texts=opened.texts | texts)
    return opened


def schema_of(opened: Scan) -> pl.Schema:
    """Return the columns and types of a scan.

    Raises
    ------
    ArgumentError
        The file cannot be read.
    """
    try:
        return opened.frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        message = polars_message(error) if isinstance(error, pl.exceptions.PolarsError) else error
        raise ArgumentError(f"{opened.name} cannot be read: {message}") from None


# -- Several files ---------------------------------------------------------------------------------


def _combine(parts: Sequence[Scan], layouts: Sequence[Layout]) -> Scan:
    """Concatenate files that share columns, and join the others on the key of the layout."""
    if not layouts or layouts[0].join_on is None or len(parts) == 1:
        return _concat_scans(parts)
    layout, key = layouts[0], layouts[0].join_on
    groups: list[list[Scan]] = []
    for part in parts:
        names = schema_of(part).names()
        if key not in names:
            raise ArgumentError(
                f"{part.name} must have the column {key!r}, on which the layout {layout.name!r} "
                f"joins files; its columns are {', '.join(map(repr, names[:12]))}."
            )
        for group in groups:
            if set(names) & set(schema_of(group[0]).names()) - {key}:
                group.append(part)
                break
        else:
            groups.append([part])
    scans = [_concat_scans(group) for group in groups]
    base = max(scans, key=lambda part: len(layout.select(schema_of(part).names())))
    joined = base
    for other in scans:
        if other is not base:
            names = schema_of(other).names()
            used = {key}.union(*(variant.select(names) for variant in layouts))
            joined = _join(joined, other, key, [name for name in names if name in used])
    return joined


def _join(base: Scan, other: Scan, key: str, names: Sequence[str]) -> Scan:
    """Add columns of another file to the rows that have the same key."""
    schema = schema_of(other)
    if schema[key] != schema_of(base)[key]:
        raise ArgumentError(
            f"The column {key!r} must have the same type in all files; got "
            f"{schema_of(base)[key]} in {base.name} and {schema[key]} in {other.name}."
        )

    def check_unique(rows: pl.DataFrame) -> pl.DataFrame:
        repeated = rows[key].drop_nulls().is_duplicated()
        if repeated.any():
            raise ArgumentError(
                f"{other.name} must have each {key} once, because it is joined to {base.name}; "
                f"{repeated.sum():,} rows share theirs with others."
            )
        return rows

    lookup = other.frame.select(names).map_batches(
        check_unique,
        schema=pl.Schema({name: schema[name] for name in names}),
        projection_pushdown=False,
        predicate_pushdown=False,
    )
    frame = base.frame.join(lookup, on=key, how="left", maintain_order="left")
    return dataclasses.replace(
        base,
        frame=frame,
        texts=base.texts | other.texts,
        repeated=base.repeated | other.repeated,
    )


def _concat_scans(parts: Sequence[Scan]) -> Scan:
    """Append the rows of files; a column that a file lacks is NULL there."""
    if len(parts) == 1:
        return parts[0]
    return dataclasses.replace(
        parts[0],
        frame=_concat([part.frame for part in parts]),
        texts=frozenset().union(*(part.texts for part in parts)),
        repeated=frozenset().union(*(part.repeated for part in parts)),
    )


# -- Frames ----------------------------------------------------------------------------------------


def _scan_frame(source: Any, layouts: Sequence[Layout]) -> Scan:
    if isinstance(source, pl.LazyFrame):
        return Scan(source, "The frame")
    if not isinstance(source, list | tuple):
        require_unique_columns(source)
    opened = open_source(source, _BATCH_ROWS)
    used = {name for layout in layouts for name in layout.select(opened.names)}
    if not layouts:
        used = set(opened.names)
    elif not any(set(layout.columns) <= used for layout in layouts):
        # Columns are missing: the message needs the names only.
        return Scan(pl.LazyFrame({name: [] for name in opened.names}), "The frame")
    names = [name for name in opened.names if name in used]
    frame, texts = _collect_batches(names, list(opened.batches))
    return Scan(frame.lazy(), "The frame", texts)


def _collect_batches(
    names: Sequence[str], batches: Sequence[SourceBatch]
) -> tuple[pl.DataFrame, frozenset[str]]:
    """Join batches; a column of mixed types becomes texts to parse."""
    columns, texts = {}, set()
    for name in names:
        parts: list[Column] = [batch.columns[name] for batch in batches]
        series = [part for part in parts if isinstance(part, pl.Series)]
        types = {part.dtype for part in series} - {pl.Null()}
        if len(series) == len(parts) and len(types) <= 1:
            dtype = next(iter(types), pl.Null())
            joined = pl.concat([part.cast(dtype) for part in series]) if series else pl.Series()
            columns[name] = joined
        else:
            texts.add(name)
            cells = [cell for part in parts for cell in flatten(part)]
            unsupported = next((cell for cell in cells if not isinstance(cell, _SCALARS)), None)
            if unsupported is not None:
                raise ArgumentError(
                    f"The column {name!r} must hold texts, numbers or dates for a layout; "
                    f"got {type(unsupported).__name__}."
                )
            columns[name] = pl.Series(name, map(to_text, cells), dtype=pl.String)
    return pl.DataFrame(columns), frozenset(texts)


def flatten(column: Column) -> Iterable[Any]:
    """Return the cells of a column, also of one in several pieces."""
    if isinstance(column, tuple):
        return itertools.chain.from_iterable(column)
    return column


def to_text(cell: Any) -> str | None:
    """Write a value as in a CSV file, with all its digits.

    Examples
    --------
    >>> to_text(9007199254740993), to_text(True), to_text({"a": 1}), to_text(None)
    ('9007199254740993', 'true', '{"a": 1}', None)
    """
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, dict | list):
        with contextlib.suppress(TypeError):  # not JSON: the loader rejects its text
            return json.dumps(cell, ensure_ascii=False)
    return None if is_missing(cell) else str(cell)


# -- Files -----------------------------------------------------------------------------------------


def _scan_file(path: str | Path, options: ReadOptions) -> Scan:
    path = check_path(path)
    name = repr(str(path))
    if is_parquet(path):
        options.check_no_csv_options(name)
        return _scan_parquet(path, name)
    suffix = suffix_of(path)
    opened = open_source(path, _BATCH_ROWS, options)
    if suffix in CSV + JSON_LINES:
        if suffix in JSON_LINES:
            require_unique_columns(opened.names)
        frame = register_io_source(
            _TextReader(path, options), schema=dict.fromkeys(opened.names, pl.String())
        )
        return Scan(
            frame, name, frozenset(opened.names), opened.note, opened.repeated, opened.separator
        )
    eager, texts = _collect_batches(opened.names, list(opened.batches))
    if suffix in EXCEL:
        texts |= {column.name for column in eager if column.dtype == pl.String}
    return Scan(eager.lazy(), name, texts)


class _TextReader:
    """Reads the rows of a file as texts, each time a lazy frame is collected."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = ReadOptions(options.separator, options.encoding)

    def __call__(
        self,
        columns: list[str] | None,
        predicate: pl.Expr | None,
        rows: int | None,
        _size: int | None,
    ) -> Iterator[pl.DataFrame]:
        source = open_source(self._path, _BATCH_ROWS, self._options, columns)
        names = source.names if columns is None else columns
        for batch in source.batches:
            # By name: in a list of series, one without a name would get another name.
            frame = pl.DataFrame({name: _as_texts(batch.columns[name]) for name in names})
            if rows is not None:
                frame = frame.head(rows)
                rows -= frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if rows == 0:
                return


def _as_texts(column: Column) -> pl.Series:
    if isinstance(column, pl.Series) and column.dtype == pl.String:
        return column
    return pl.Series([to_text(cell) for cell in flatten(column)], dtype=pl.String)


def _scan_parquet(path: Path, name: str) -> Scan:
    """Scan Parquet files, each in its own types: columns of different types become texts."""
    parts = data_files(unpack(path))
    partitions = {key for part in parts for key in part.partition}
    frames, schemas = [], []
    for part in parts:
        frame = pl.scan_parquet(part.path, hive_partitioning=False)
        schema = dict(schema_of(Scan(frame, repr(str(part.path)))))
        missing = {key: value for key, value in part.partition.items() if key not in schema}
        frame = frame.with_columns(
            pl.lit(value, pl.String).alias(key) for key, value in missing.items()
        )
        frames.append(frame)
        schemas.append({**schema, **dict.fromkeys(missing, pl.String())})
    if len(frames) == 1:
        return Scan(frames[0], name, frozenset(partitions))
    types: dict[str, set[pl.DataType]] = {}
    for schema in schemas:
        for column, dtype in schema.items():
            types.setdefault(column, set()).add(dtype)
    mixed = {column for column, dtypes in types.items() if len(dtypes - {pl.Null()}) > 1}
    frames = [
        frame.with_columns(
            _cast_to_text(column, schema[column]) for column in mixed & schema.keys()
        )
        for frame, schema in zip(frames, schemas, strict=True)
    ]
    return Scan(_concat(frames), name, frozenset(mixed | partitions))


def _cast_to_text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC")
            return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.f+00:00")
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
    return column.cast(pl.String)


def _concat(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Concatenate frames; a column that a file lacks is NULL there."""
    return pl.concat(frames, how="diagonal_relaxed")
