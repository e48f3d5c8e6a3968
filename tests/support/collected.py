"""Count the rows that leave an engine for the client, whatever function asked for them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import dask
import dask.dataframe as dd
import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from pyspark.sql.classic.dataframe import DataFrame as SparkFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Methods by which rows of a relation of DuckDB reach Python.
_DUCKDB_METHODS = (
    "__arrow_c_stream__", "arrow", "df", "fetch_arrow_reader", "fetch_arrow_table",
    "fetch_record_batch", "fetchall", "fetchdf", "fetchnumpy", "iter_rows", "pl", "to_arrow_reader",
    "to_arrow_table", "to_df", "to_dicts",
)  # fmt: skip
#: The same for a frame of Spark.
_SPARK_METHODS = (
    "__arrow_c_stream__", "_collect_as_arrow", "collect", "head", "tail", "take", "toArrow",
    "toLocalIterator", "toPandas",
)  # fmt: skip


@dataclass
class Collected:
    """How many rows left the engine: in all calls together, and at most at once.

    Batches of a stream are limited by their engine, so that they are not counted as rows at once.
    """

    rows: int = 0
    largest: int = 0

    def add(self, result: Any) -> None:
        """Count the rows of a result; a stream hands over nothing at once but a batch."""
        if isinstance(result, _Stream):
            self.rows += sum(map(count_rows, result.items))
        else:
            self.rows += count_rows(result)
            self.largest = max(self.largest, count_rows(result))


@contextlib.contextmanager
def count_collected() -> Iterator[Collected]:
    """Count rows that polars' lazy frames, DuckDB, Dask and Spark hand to Python.

    A frame of polars counts only if its plan scans Parquet: operations on a frame in memory collect
    lazy frames, too. What Dask persists stays where it is. Rows that a method counts are not
    counted again by those that it calls.
    """
    collected = Collected()
    depth = [0]
    persist = dask.base.persist

    def keep(*collections: Any, **options: Any) -> Any:
        with dask.config.set(scheduler="synchronous"):  # a cluster keeps them in its workers
            return persist(*collections, **options)

    def spy(method: Callable[..., Any], counts: Callable[..., bool] = bool) -> Callable[..., Any]:
        def call(frame: Any, *arguments: Any, **options: Any) -> Any:
            is_counted = depth[0] == 0 and counts(frame)
            depth[0] += 1
            try:
                result = method(frame, *arguments, **options)
                if not is_counted:
                    return result
                result = _in_memory(result)
                collected.add(result)
                return result() if isinstance(result, _Stream) else result
            finally:
                depth[0] -= 1

        return call

    def scheduled(graph: Any, keys: Any, **options: Any) -> Any:
        depth[0] += 1
        try:
            results = dask.get(graph, keys, **options)
        finally:
            depth[0] -= 1
        collected.add(results)
        return results

    with contextlib.ExitStack() as stack:
        for owner, names, counts in (
            (pl.LazyFrame, ("collect", "collect_batches"), _scans_parquet),
            (duckdb.DuckDBPyRelation, _DUCKDB_METHODS, lambda _: True),
            (SparkFrame, _SPARK_METHODS, lambda _: True),
        ):
            for name in names:
                method = getattr(owner, name)
                stack.enter_context(patch.object(owner, name, spy(method, counts)))
        stack.enter_context(patch.object(dask.base, "persist", keep))
        stack.enter_context(dask.config.set(scheduler=scheduled))
        yield collected


class _Stream:
    """Batches or rows that an engine hands over one by one, read to be counted."""

    def __init__(
        self, items: list[Any], schema: pa.Schema | None = None, *, is_capsule: bool = False
    ) -> None:
        self.items, self.schema, self.is_capsule = items, schema, is_capsule

    def __call__(self) -> Any:
        if self.schema is None:
            return iter(self.items)
        reader = pa.RecordBatchReader.from_batches(self.schema, self.items)
        return reader.__arrow_c_stream__() if self.is_capsule else reader


def _in_memory(result: Any) -> Any:
    if type(result).__name__ == "PyCapsule":
        reader = pa.RecordBatchReader._import_from_c_capsule(result)
        return _Stream(list(reader), reader.schema, is_capsule=True)
    if isinstance(result, pa.RecordBatchReader):
        return _Stream(list(result), result.schema)
    return _Stream(list(result)) if hasattr(result, "__next__") else result


def _scans_parquet(frame: pl.LazyFrame) -> bool:
    return "PARQUET" in frame.explain(optimized=False).upper()


def count_rows(result: Any) -> int:
    """Return the number of rows of everything in a result that has rows."""
    if isinstance(result, nw.DataFrame):
        return len(result)
    if isinstance(result, pd.DataFrame | pd.Series | pl.DataFrame | pl.Series):
        return len(result)
    if isinstance(result, pa.Table | pa.RecordBatch):
        packed = [
            value
            for name, column in zip(result.schema.names, result.columns, strict=True)
            if pa.types.is_binary(result.schema.field(name).type)
            for value in column.to_pylist()
        ]
        return max(result.num_rows, sum(map(_count_packed, packed)))
    if isinstance(result, np.ndarray):
        return len(result) if result.ndim else 1
    if isinstance(result, dict):
        return max(map(count_rows, result.values()), default=0)
    if isinstance(result, tuple) and hasattr(result, "__fields__"):  # a row of Spark
        return max(1, sum(map(_count_packed, result)))
    if isinstance(result, list | tuple):
        return sum(map(count_rows, result))
    if hasattr(result, "__dataclass_fields__"):
        return max(
            (count_rows(getattr(result, name)) for name in result.__dataclass_fields__), default=0
        )
    return 1


def _count_packed(value: Any) -> int:
    """Return how many rows are in bytes that are a stream of Arrow; 0 for other values."""
    if not isinstance(value, bytes | bytearray) or not value.startswith(b"\xff\xff\xff\xff"):
        return 0
    with pa.ipc.open_stream(bytes(value)) as stream:
        return sum(batch.num_rows for batch in stream)


def is_lazy(result: Any) -> bool:
    """Whether a result is a lazy frame of an engine, or consists of such frames."""
    frame = getattr(result, "train", getattr(result, "transactions", result))
    return isinstance(frame, pl.LazyFrame | duckdb.DuckDBPyRelation | dd.DataFrame | SparkFrame)
