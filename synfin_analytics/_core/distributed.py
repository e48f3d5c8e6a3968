"""Frames of PySpark and Dask: rows computed where they are, by partition or by key.

Nothing is collected, except by :meth:`DistributedFrame.to_arrow`: every other operation returns a
lazy frame of the same engine.
"""

from __future__ import annotations

import contextlib
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.dataframes import open_frame, to_utc
from synfin_analytics._core.engine_errors import translate_dask_errors, translate_engine_errors
from synfin_analytics._core.output import to_frame
from synfin_analytics._core.partitions import (
    check_arrow_types,
    ignore_pandas_warning,
    is_spark_frame,
    select_from_partitions,
)
from synfin_analytics._core.worker_functions import DaskFunction, ship_to_spark
from synfin_analytics.exceptions import NotFoundError, require_unique_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    #: Computes a table, or columns, from a frame that has all rows of some keys.
    GroupFunction = Callable[[Any], pa.Table]
    ColumnsFunction = Callable[[Any], Mapping[str, pa.Array]]

_BUCKET, _HASH = "__bucket", "__hash"


class DistributedFrame(ABC):
    """A frame of an engine that computes in several processes or machines.

    Parameters
    ----------
    native
        The frame of the engine.
    n_buckets
        In how many parts the rows are brought together; as many as the engine's partitions if None.
    """

    def __init__(self, native: Any, n_buckets: int | None) -> None:
        self.native, self.n_buckets = native, n_buckets

    def _replace(self, native: Any) -> DistributedFrame:
        return type(self)(native, self.n_buckets)

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the columns."""

    @abstractmethod
    def select(self, names: Iterable[str]) -> DistributedFrame:
        """Select columns."""

    @abstractmethod
    def rename(self, names: dict[str, str]) -> DistributedFrame:
        """Rename columns."""

    @abstractmethod
    def add_constant(self, name: str, value: bool) -> DistributedFrame:
        """Add a column of one value."""

    @abstractmethod
    def from_arrow(self, table: pa.Table) -> DistributedFrame:
        """Make a frame of the same engine of a table in memory."""

    @abstractmethod
    def join(self, other: DistributedFrame, key: str, how: str) -> DistributedFrame:
        """Join another frame of the engine."""

    @abstractmethod
    def first_rows(self, key: str, count: str) -> DistributedFrame:
        """Select one row for each key, and add the column ``count``: how many rows have the key."""

    @abstractmethod
    def map_groups(self, key: str, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        """Apply a function to tables that have all rows of some keys, each in one of them.

        Parameters
        ----------
        key
            Column whose equal values must come together.
        function
            Called by the workers with a frame of pandas or pyarrow.
        schema
            Columns of its results.
        """

    @abstractmethod
    def append_columns(
        self,
        key: str,
        function: ColumnsFunction,
        types: Mapping[str, pa.DataType],
    ) -> DistributedFrame:
        """Append columns that are computed from all rows of a key.

        Parameters
        ----------
        key
            As for :meth:`map_groups`.
        function
            Called by the workers with a frame of pandas or pyarrow; returns the new columns.
        types
            Names and types of the new columns.
        """

    @abstractmethod
    def map_partitions(self, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        """Apply a function to the rows of each partition, without moving any.

        Parameters
        ----------
        function
            Called by the workers with a frame of pandas or pyarrow, which has some rows of a
            partition: its result must not depend on which.
        schema
            Columns of its results, which may have any number of rows.
        """

    @abstractmethod
    def append_by_partition(
        self, function: ColumnsFunction, types: Mapping[str, pa.DataType]
    ) -> DistributedFrame:
        """Append columns, each cell of which is computed from its row.

        Parameters
        ----------
        function
            As for :meth:`map_partitions`; returns the new columns.
        types
            Names and types of the new columns.
        """

    @abstractmethod
    def to_arrow(self) -> pa.Table:
        """Collect the rows, which should be few.

        Raises
        ------
        ConfigurationError
            The Python of Spark's workers lacks a package.
        """

    @abstractmethod
    def sum(self, by: str | None = None) -> pa.Table:
        """Collect the sum of each column, for each value of a column or in one row."""

    @abstractmethod
    def persisted(self) -> AbstractContextManager[DistributedFrame]:
        """Keep the rows on the workers once they are computed, until the end of the context."""

    @abstractmethod
    def where(self, name: str) -> DistributedFrame:
        """Select the rows in which a boolean column is true, without this column."""

    @abstractmethod
    def arrow_type(self, name: str) -> pa.DataType:
        """Return the type of a column of numbers or strings."""

    @abstractmethod
    def check_time(self, name: str, purpose: str = "of which features are computed") -> None:
        """Raise an ArgumentError unless the engine's time zone is UTC and the column has times.

        ``purpose`` is what the times are needed for, in messages.
        """

    def require(self, names: Sequence[str], location: str) -> None:
        """Raise a NotFoundError for a missing column; the message suggests the nearest name."""
        for name in names:
            if name not in self.columns:
                raise NotFoundError("column", name, self.columns, location=location)


def open_distributed(df: Any, caller: str, n_buckets: int | None = None) -> DistributedFrame | None:
    """Open a frame of PySpark or Dask; None for those of other engines.

    Raises
    ------
    ArgumentError
        ``n_buckets`` is neither None nor a positive whole number, or a column name is repeated.

    Examples
    --------
    >>> import polars as pl
    >>> open_distributed(pl.DataFrame({"amount": [1.5]}), "engineer_features") is None
    True
    """
    if n_buckets is not None:
        check_integer(n_buckets, "n_buckets", minimum=1)
    if nw.dependencies.is_dask_dataframe(df):
        require_unique_columns(df)
        return _DaskFrame(df, n_buckets)
    if is_spark_frame(df):
        open_frame(df, caller)
        return _SparkFrame(df, n_buckets)
    return None


class _SparkFrame(DistributedFrame):
    @property
    def columns(self) -> list[str]:
        return list(self.native.columns)

    def select(self, names: Iterable[str]) -> DistributedFrame:
        return self._replace(self.native.select(*(f"`{name}`" for name in names)))

    def rename(self, names: dict[str, str]) -> DistributedFrame:
        return self._replace(self.native.withColumnsRenamed(names))

    def add_constant(self, name: str, value: bool) -> DistributedFrame:
        from pyspark.sql import functions as sf

        return self._replace(self.native.withColumn(name, sf.lit(value)))

    def from_arrow(self, table: pa.Table) -> DistributedFrame:
        return self._replace(self.native.sparkSession.createDataFrame(table))

    def join(self, other: DistributedFrame, key: str, how: str) -> DistributedFrame:
        return self._replace(self.native.join(other.native, on=key, how=how))

    def first_rows(self, key: str, count: str) -> DistributedFrame:
        from pyspark.sql import functions as sf

        others = [sf.first(f"`{name}`").alias(name) for name in self.columns if name != key]
        rows = self.native.groupBy(f"`{key}`").agg(*others, sf.count("*").alias(count))
        return self._replace(rows)

    def map_groups(self, key: str, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        return self._apply(key, function, schema)

    def _apply(self, key: str, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        from pyspark.sql import functions as sf

        partitions = self.native.sparkSession.conf.get("spark.sql.shuffle.partitions")
        n_buckets = self.n_buckets or int(partitions)
        # Spark refers to each column by its name, but not to one with a dot or a backtick.
        names = self.columns
        numbered = self.native.toDF(*map(str, range(len(names))))
        bucket = sf.pmod(sf.xxhash64(sf.col(str(names.index(key)))), sf.lit(n_buckets))

        spark_schema, arrow_schema = _exchanged_as(schema)

        def compute(table: pa.Table) -> pa.Table:
            result = function(table.drop_columns([_BUCKET]).rename_columns(names))
            return result.select(arrow_schema.names).cast(arrow_schema)

        rows = numbered.withColumn(_BUCKET, bucket).groupBy(_BUCKET)
        with ignore_pandas_warning():
            return self._replace(rows.applyInArrow(ship_to_spark(compute), spark_schema))

    def append_columns(
        self,
        key: str,
        function: ColumnsFunction,
        types: Mapping[str, pa.DataType],
    ) -> DistributedFrame:
        from pyspark.sql.pandas.types import to_arrow_schema

        check_arrow_types(self.native)
        own = to_arrow_schema(self.native.schema, timezone="UTC")

        def append(table: pa.Table) -> pa.Table:
            own_columns = zip(table.column_names, table.columns, strict=True)
            return pa.table({**dict(own_columns), **function(table)})

        return self._apply(key, append, pa.schema([*own, *types.items()]))

    def map_partitions(self, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        spark_schema, arrow_schema = _exchanged_as(schema)

        def compute(batch: pa.RecordBatch) -> pa.Table:
            result = function(pa.Table.from_batches([batch]))
            return result.select(arrow_schema.names).cast(arrow_schema)

        return self._map_batches(compute, spark_schema)

    def append_by_partition(
        self, function: ColumnsFunction, types: Mapping[str, pa.DataType]
    ) -> DistributedFrame:
        from pyspark.sql.pandas.types import from_arrow_schema
        from pyspark.sql.types import StructType

        check_arrow_types(self.native)
        schema = pa.schema(types)

        def append(batch: pa.RecordBatch) -> pa.Table:
            rows = pa.Table.from_batches([batch])
            for name, column in function(rows).items():
                rows = rows.append_column(schema.field(name), column)
            return rows

        own_fields, new_fields = self.native.schema.fields, from_arrow_schema(schema).fields
        return self._map_batches(append, StructType([*own_fields, *new_fields]))

    def _map_batches(self, function: Callable[[Any], pa.Table], schema: Any) -> DistributedFrame:
        compute_batch = ship_to_spark(function)

        def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                if batch.num_rows:
                    yield from compute_batch(batch).to_batches()

        with ignore_pandas_warning():
            return self._replace(self.native.mapInArrow(compute, schema))

    def to_arrow(self) -> pa.Table:
        with translate_engine_errors():
            return self.native.toArrow()

    def sum(self, by: str | None = None) -> pa.Table:
        from pyspark.sql import functions as sf

        rows = self.native.groupBy(*([] if by is None else [by]))
        sums = [sf.sum(f"`{name}`").alias(name) for name in self.columns if name != by]
        return self._replace(rows.agg(*sums)).to_arrow()

    @contextlib.contextmanager
    def persisted(self) -> Iterator[DistributedFrame]:
        with translate_engine_errors():
            native = self.native.persist()
        try:
            yield self._replace(native)
        finally:
            native.unpersist()

    def where(self, name: str) -> DistributedFrame:
        return self._replace(self.native.where(f"`{name}`").drop(name))

    def arrow_type(self, name: str) -> pa.DataType:
        from pyspark.sql.pandas.types import to_arrow_type

        return to_arrow_type(self.native.schema[name].dataType)

    def check_time(self, name: str, purpose: str = "of which features are computed") -> None:
        frame: Any = nw.from_native(self.native)
        to_utc(frame, name, purpose)


class _DaskFrame(DistributedFrame):
    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.native.columns]

    def select(self, names: Iterable[str]) -> DistributedFrame:
        return self._replace(select_from_partitions(self.native, list(names)))

    def rename(self, names: dict[str, str]) -> DistributedFrame:
        return self._replace(self.native.rename(columns=names))

    def add_constant(self, name: str, value: bool) -> DistributedFrame:
        return self._replace(self.native.assign(**{name: value}))

    def from_arrow(self, table: pa.Table) -> DistributedFrame:
        import dask.dataframe as dd

        frame: Any = dd.from_pandas(_to_pandas(table), npartitions=1)  # type: ignore[no-untyped-call]
        return self._replace(frame)

    def join(self, other: DistributedFrame, key: str, how: str) -> DistributedFrame:
        # Dask warns where one key consists of Python's strings and the other of Arrow's.
        same_type = other.native.astype({key: self.native.dtypes[key]})
        return self._replace(self.native.merge(same_type, on=key, how=how))

    def first_rows(self, key: str, count: str) -> DistributedFrame:
        statistics = {name: "first" for name in self.columns if name != key} | {count: "sum"}
        groups = self.native.assign(**{count: 1}).groupby(key)
        return self._replace(groups.agg(statistics).reset_index())

    def map_groups(self, key: str, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        return self._map(self._shuffle(key), function, schema)

    def _shuffle(self, key: str) -> Any:
        """Bring the rows of each key together.

        Dask's own hash of a key depends on the type that it has in its partition.
        """
        meta = self.native._meta.assign(**{_HASH: np.empty(0, np.uint64)})
        rows = select_from_partitions(self.native)
        hashed = rows.map_partitions(DaskFunction(_add_hashes), key, meta=meta)
        return hashed.shuffle(on=_HASH, npartitions=self.n_buckets).drop(columns=_HASH)

    def append_columns(
        self,
        key: str,
        function: ColumnsFunction,
        types: Mapping[str, pa.DataType],
    ) -> DistributedFrame:
        return self._append(self._shuffle(key), function, types)

    def map_partitions(self, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        return self._map(select_from_partitions(self.native), function, schema)

    def _map(self, native: Any, function: GroupFunction, schema: pa.Schema) -> DistributedFrame:
        empty = _to_pandas(schema.empty_table())

        def compute(part: Any) -> Any:
            if not len(part):
                return empty
            return _to_pandas(function(part).select(schema.names).cast(schema))

        return self._replace(native.map_partitions(DaskFunction(compute), meta=empty))

    def append_by_partition(
        self, function: ColumnsFunction, types: Mapping[str, pa.DataType]
    ) -> DistributedFrame:
        return self._append(select_from_partitions(self.native), function, types)

    def _append(
        self, native: Any, function: ColumnsFunction, types: Mapping[str, pa.DataType]
    ) -> DistributedFrame:
        empty = _to_pandas(pa.schema(types).empty_table())

        def append(part: Any) -> Any:
            columns = function(part) if len(part) else {}
            new = (
                _to_pandas(pa.table({name: columns[name] for name in types})) if columns else empty
            )
            return part.assign(**{name: new[name].array for name in types})

        meta = native._meta.assign(**{name: empty[name].array for name in types})
        return self._replace(native.map_partitions(DaskFunction(append), meta=meta))

    def to_arrow(self) -> pa.Table:
        with translate_dask_errors(self.columns):
            return pa.Table.from_pandas(self.native.compute(), preserve_index=False)

    def sum(self, by: str | None = None) -> pa.Table:
        with translate_dask_errors(self.columns):
            if by is None:
                return pa.Table.from_pandas(self.native.sum().compute().to_frame().T)
            return pa.Table.from_pandas(self.native.groupby(by).sum().compute().reset_index())

    @contextlib.contextmanager
    def persisted(self) -> Iterator[DistributedFrame]:
        with translate_dask_errors(self.columns):
            native = self.native.persist()
        try:
            yield self._replace(native)
        finally:
            _release(native)

    def where(self, name: str) -> DistributedFrame:
        return self._replace(self.native[self.native[name]].drop(columns=name))

    def arrow_type(self, name: str) -> pa.DataType:
        arrow_type = pa.array(self.native._meta[name], from_pandas=True).type
        return arrow_type if pa.types.is_integer(arrow_type) else pa.large_string()

    def check_time(self, name: str, purpose: str = "of which features are computed") -> None:
        """Dask's time zones belong to the columns."""


def _add_hashes(part: Any, key: str) -> Any:
    """Append a hash of a key's text: 97, 97.0 and "97" are one key, and NULL is another."""
    import pandas as pd

    codes, values = pd.factorize(part[key])
    texts = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in values
    ]
    hashes = np.zeros(len(texts) + 1, np.uint64)  # the last is that of NULL, whose code is -1
    if texts:
        hashes[:-1] = pd.util.hash_array(np.array(texts, dtype=object), categorize=False)
    return part.assign(**{_HASH: hashes[codes]})


def _release(native: Any) -> None:
    """Release the rows that a cluster of Dask keeps; those of threads end with the frame."""
    if "distributed" in sys.modules:
        from distributed import futures_of

        for future in futures_of(native):  # type: ignore[no-untyped-call]
            future.release()


def _exchanged_as(schema: pa.Schema) -> tuple[Any, pa.Schema]:
    """Return a schema as Spark's, and in the Arrow types in which Spark exchanges it."""
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    spark_schema = from_arrow_schema(schema)
    return spark_schema, to_arrow_schema(spark_schema, timezone="UTC")


def _to_pandas(table: pa.Table) -> Any:
    return to_frame(
        {name: (table[name].type, table[name].chunks) for name in table.column_names}, "pandas"
    )
