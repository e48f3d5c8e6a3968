"""Counts of an engine as they arrive, in the smallest types that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import polars.selectors as cs
import pyarrow as pa

from synfin_analytics._core.dataframes import collect, has_utc_session
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.partitions import spark_tables
from synfin_analytics._core.release import release_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics._core.dataframes import Frame

#: Rows that are converted at a time.
_PART_ROWS = 250_000


def collect_compact(frame: Frame) -> nw.DataFrame[Any]:
    """Compute a lazy frame as a frame of polars whose integers have the smallest types.

    Most counts by score are 0 or 1, for which a byte is enough. DuckDB and Spark hand their rows
    over in parts, so that only one part is in memory in the types of the engine.

    Examples
    --------
    >>> frame = nw.from_native(pl.LazyFrame({"score": [0.5, 0.25], "count": [1, 300]}))
    >>> collect_compact(frame)["count"].dtype
    Int16
    """
    parts = [_shrink(part) for part in _read(frame)]
    compact: nw.DataFrame[Any] = nw.from_native(
        parts[0] if len(parts) == 1 else pl.concat(parts, how="vertical_relaxed"), eager_only=True
    )
    # What the parts took in the types of the engine would stay with this process otherwise.
    release_memory()
    return compact


def _shrink(part: pl.DataFrame) -> pl.DataFrame:
    """Return the same rows, with integers in the smallest type."""
    # DuckDB adds whole numbers to numbers of 128 bits.
    wide = [name for name, dtype in part.schema.items() if dtype == pl.Decimal(38, 0)]
    if wide:
        whole = part.with_columns(pl.col(wide).cast(pl.Int64, strict=False))
        part = whole if whole[wide].null_count().equals(part[wide].null_count()) else part
    return part.with_columns(
        part[name].shrink_dtype() for name in part.select(cs.integer()).columns if len(part)
    )


def _read(frame: Frame) -> Iterator[pl.DataFrame]:
    """Yield the rows of a frame, at least one part."""
    native: Any = frame.to_native()
    is_streamed = isinstance(frame, nw.LazyFrame)
    if is_streamed and frame.implementation.is_duckdb():
        with translate_engine_errors():
            reader = native.to_arrow_reader(_PART_ROWS)
            batches = iter(reader)
            first = next(batches, None)
            table = reader.schema.empty_table() if first is None else pa.Table.from_batches([first])
            yield _to_polars(table)
            for batch in batches:
                yield _to_polars(pa.Table.from_batches([batch]))
    elif is_streamed and frame.implementation.is_spark_like() and has_utc_session(frame):
        tables = spark_tables(frame, _PART_ROWS, "to be counted")
        first = next(tables, None)
        yield _to_polars(collect(frame).to_arrow() if first is None else first)  # types of no row
        with translate_engine_errors():
            yield from map(_to_polars, tables)
    else:
        yield _to_polars(collect(frame).to_arrow())


def _to_polars(table: pa.Table) -> pl.DataFrame:
    frame: pl.DataFrame = pl.from_arrow(table)  # type: ignore[assignment]
    return frame
