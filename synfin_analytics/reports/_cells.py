"""The cells of the columns that a report needs, read part by part and kept in few bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from synfin_analytics._core.dataframes import (
    collect,
    has_utc_session,
    is_lazy_frame,
    open_frame,
)
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.partitions import spark_tables
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.coerce import collect_columns
from synfin_analytics.io.sources import open_source
from synfin_analytics.reports._codes import TextCodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from synfin_analytics._core.validation.columns import Column
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.io.sources import SourceBatch

_BATCH_ROWS = 1_000_000
#: Rows of a lazy frame that are held before they are encoded.
_PART_ROWS = 250_000
_TEXTS = (pl.String, pl.Categorical, pl.Enum)


class Cells:
    """The cells of columns, of which some texts are codes.

    Parameters
    ----------
    names
        The columns.
    encoded
        Those of which texts become codes.
    """

    def __init__(self, names: Sequence[str], encoded: Collection[str]) -> None:
        self._parts: dict[str, list[Column]] = {name: [] for name in names}
        #: By column, the codes of its texts.
        self.codes = {name: TextCodes() for name in names if name in encoded}

    def add(self, batch: SourceBatch, *, copy: bool) -> None:
        """Add a batch, whose memory is free afterwards if its cells are copied."""
        for name, parts in self._parts.items():
            column = batch.columns[name]
            if name in self.codes and not _is_text(column):
                # The types of the batches differ, or it holds no texts: cells stay as they are.
                codes = self.codes.pop(name)
                parts[:] = [codes.texts.gather(part) for part in parts]  # type: ignore[arg-type]
            if name in self.codes:
                column = self.codes[name].encode(column.cast(pl.String))  # type: ignore[union-attr]
            elif copy and isinstance(column, pl.Series):
                column = column.gather(pl.int_range(len(column), eager=True))
            parts.append(column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def pieces(self, name: str) -> list[Any]:
        """Return a column in pieces, each a series or a list of Python objects."""
        pieces: list[Any] = []
        for column in self._parts[name]:
            pieces += column if isinstance(column, tuple) else [column]
        return pieces

    def take_codes(self, name: str) -> pl.Series:
        """Return the codes of a column, and release those of its parts."""
        parts: list[Any] = self._parts[name]
        self._parts[name] = []
        return self.codes[name].finish(parts).alias(name)


def _is_text(column: Column) -> bool:
    return isinstance(column, pl.Series) and column.dtype in _TEXTS


def read_cells(
    data: Any,
    names: Sequence[str],
    encoded: Collection[str],
    options: ReadOptions,
    caller: str,
    *,
    is_path: bool,
) -> Cells:
    """Read columns of a frame or a file.

    Parameters
    ----------
    data
        A frame of any engine, or the path of a file.
    names
        The columns.
    encoded
        Those of which only equality and order matter, so that their texts become codes.
    options
        How texts are written.
    caller
        Name of the public function.
    is_path
        Whether it is a path.
    """
    cells = Cells(names, encoded)
    if is_path:
        source = open_source(data, _BATCH_ROWS, options, names)
        for name in names:
            if name in source.repeated and f"{name}.1" not in names:
                raise ArgumentError(
                    f"The header of {str(data)!r} must name {name!r} once; it repeats the name. "
                    f"Rename the other column in the file, or name it too: it is {name + '.1'!r}."
                )
        for batch in source.batches:
            cells.add(batch, copy=False)
        return cells
    is_lazy = is_lazy_frame(data) and not nw.dependencies.is_dask_dataframe(data)
    # The types of Dask's partitions may differ; those of the whole frame do not.
    parts: Iterable[Any] = (
        _read_parts(data, names, caller)
        if is_lazy
        else [collect_columns(data, names, (), "frame", caller).to_native()]
    )
    for part in parts:
        # What a part holds in memory is one batch, so that its types are those of the frame.
        for batch in open_source(part, max(len(part), 1)).batches:
            cells.add(batch, copy=is_lazy)
    return cells


def _read_parts(df: Any, names: Sequence[str], caller: str) -> Iterator[Any]:
    """Yield the rows of a lazy frame as frames in memory."""
    frame = open_frame(df, caller).select(*names)
    native: Any = frame.to_native()
    with translate_engine_errors():
        if frame.implementation.is_polars():
            yield from native.collect_batches(chunk_size=_PART_ROWS, maintain_order=True)
        elif frame.implementation.is_duckdb():
            for batch in native.to_arrow_reader(_PART_ROWS):
                yield pa.Table.from_batches([batch])
        elif frame.implementation.is_spark_like() and has_utc_session(frame):
            yield from spark_tables(frame, _PART_ROWS, "to be read")
        else:
            yield collect(frame).to_native()
