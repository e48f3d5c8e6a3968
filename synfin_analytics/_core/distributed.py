"""Frames of PySpark and Dask: rows of one key brought together and computed where they are.

Nothing is collected: each operation returns a lazy frame of the same engine.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.dataframes import open_frame, to_utc
from synfin_analytics._core.output import to_frame
from synfin_analytics.exceptions import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    #: Computes a table from a frame that has all rows of some keys.
    GroupFunction = Callable[[Any], pa.Table]

_BUCKET = "__bucket"


class DistributedFrame(ABC):
    """A frame of an engine that computes in several processes or machines.

    Parameters
    ----------
    native
        The frame of the engine.
    """

    def __init__(self, native: Any) -> None:
        self.native = native

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
    def add_constant(self, name: str, value: bool) -> DistributedFrame:  # a value
        """Add a column of one value."""

    @abstractmethod
    def from_arrow(self, table: pa.Table) -> DistributedFrame:
        """Make a frame of the same engine of a table in memory."""

    @abstractmethod
    def join(self, other: DistributedFrame, key: str, how: str) -> DistributedFrame:
        """Join another frame of the engine."""

    @abstractmethod
    def map_groups(
        self, key: str, function: GroupFunction, schema: pa.Schema, n_buckets: int | None
    ) -> DistributedFrame:
        """Apply a function to tables that have all rows of some keys, each in one of them.

        Parameters
        ----------
        key
            Column whose equal values must come together.
        function
            Called by the workers with a frame of pandas or pyarrow.
        schema
            Columns of its results.
        n_buckets
            Number of tables; as many as the engine's partitions by default.
        """

    @abstractmethod
    def arrow_type(self, name: str) -> pa.DataType:
        """Return the type of a column of numbers or strings."""

    @abstractmethod
    def check_time(self, name: str) -> None:
        """Raise an ArgumentError unless the engine's time zone is UTC and the column has times."""

    def require(self, names: Sequence[str], location: str) -> None:
        """Raise a NotFoundError for a missing column; the message suggests the nearest name."""
        for name in names:
            if name not in self.columns:
                raise NotFoundError("column", name, self.columns, location=location)


def open_distributed(df: Any, caller: str) -> DistributedFrame | None:
    """Open a frame of PySpark or Dask; None for those of other engines.

    Examples
    --------
    >>> import polars as pl
    >>> open_distributed(pl.DataFrame({"amount": [1.5]}), "engineer_features") is None
    True
    """
    if nw.dependencies.is_dask_dataframe(df):
        return _DaskFrame(df)
    if nw.dependencies.is_pyspark_dataframe(df) or nw.dependencies.is_pyspark_connect_dataframe(df):
        open_frame(df, caller)
        return _SparkFrame(df)
    return None


class _SparkFrame(DistributedFrame):
    @property
    def columns(self) -> list[str]:
        return list(self.native.columns)

    def select(self, names: Iterable[str]) -> DistributedFrame:
        return _SparkFrame(self.native.select(*(f"`{name}`" for name in names)))

    def rename(self, names: dict[str, str]) -> DistributedFrame:
        return _SparkFrame(self.native.withColumnsRenamed(names))

    def add_constant(self, name: str, value: bool) -> DistributedFrame:
        from pyspark.sql import functions as sf

        return _SparkFrame(self.native.withColumn(name, sf.lit(value)))

    def from_arrow(self, table: pa.Table) -> DistributedFrame:
        return _SparkFrame(self.native.sparkSession.createDataFrame(table))

    def join(self, other: DistributedFrame, key: str, how: str) -> DistributedFrame:
        return _SparkFrame(self.native.join(other.native, on=key, how=how))

    def map_groups(
        self, key: str, function: GroupFunction, schema: pa.Schema, n_buckets: int | None
    ) -> DistributedFrame:
        from pyspark.sql import functions as sf
        from pyspark.sql.pandas.types import from_arrow_schema

        if n_buckets is None:
            n_buckets = int(self.native.sparkSession.conf.get("spark.sql.shuffle.partitions"))
        bucket = sf.pmod(sf.xxhash64(sf.col(f"`{key}`")), sf.lit(n_buckets))

        call = _ship(function)

        def compute(table: pa.Table) -> pa.Table:
            return call(table.drop_columns(["__bucket"])).select(schema.names).cast(schema)

        rows = self.native.withColumn(_BUCKET, bucket).groupBy(_BUCKET)
        return _SparkFrame(rows.applyInArrow(compute, from_arrow_schema(schema)))

    def arrow_type(self, name: str) -> pa.DataType:
        from pyspark.sql.pandas.types import to_arrow_type

        return to_arrow_type(self.native.schema[name].dataType)

    def check_time(self, name: str) -> None:
        frame: Any = nw.from_native(self.native)
        to_utc(frame, name, "of which features are computed")


class _DaskFrame(DistributedFrame):
    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.native.columns]

    def select(self, names: Iterable[str]) -> DistributedFrame:
        return _DaskFrame(self.native[list(names)])

    def rename(self, names: dict[str, str]) -> DistributedFrame:
        return _DaskFrame(self.native.rename(columns=names))

    def add_constant(self, name: str, value: bool) -> DistributedFrame:
        return _DaskFrame(self.native.assign(**{name: value}))

    def from_arrow(self, table: pa.Table) -> DistributedFrame:
        import dask.dataframe as dd

        frame: Any = dd.from_pandas(_to_pandas(table), npartitions=1)  # type: ignore[no-untyped-call]
        return _DaskFrame(frame)

    def join(self, other: DistributedFrame, key: str, how: str) -> DistributedFrame:
        return _DaskFrame(self.native.merge(other.native, on=key, how=how))

    def map_groups(
        self, key: str, function: GroupFunction, schema: pa.Schema, n_buckets: int | None
    ) -> DistributedFrame:
        shuffled = self.native.shuffle(on=key, npartitions=n_buckets)

        def compute(part: Any) -> Any:
            if not len(part):
                return _to_pandas(schema.empty_table())
            return _to_pandas(function(part).select(schema.names).cast(schema))

        meta = _to_pandas(schema.empty_table())
        return _DaskFrame(shuffled.map_partitions(compute, meta=meta))

    def arrow_type(self, name: str) -> pa.DataType:
        import pyarrow as pa

        dtype = self.native.dtypes[name]
        return pa.from_numpy_dtype(dtype) if dtype.kind in "iu" else pa.large_string()

    def check_time(self, name: str) -> None:
        """Dask's time zones belong to the columns."""


def _ship(function: GroupFunction) -> GroupFunction:
    """Return a function that workers without this package can load, to say what they lack."""
    payload = pickle.dumps(function)

    def call(rows: Any) -> pa.Table:
        import pickle
        import sys

        try:
            loaded = pickle.loads(payload)  # noqa: S301  # of our own process
        except ImportError as error:
            message = (
                f"The Python of a worker ({sys.executable}) cannot import synfin_analytics: "
                f"{error}. Install the package for it, or let the environment variable "
                "PYSPARK_PYTHON name a Python that has it, before Spark starts."
            )
            raise RuntimeError(message) from None
        return loaded(rows)

    return call


def _to_pandas(table: pa.Table) -> Any:
    return to_frame(
        {name: (table[name].type, table[name].chunks) for name in table.column_names}, "pandas"
    )
