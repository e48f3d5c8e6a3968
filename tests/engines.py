"""The same rows in every engine that counts: what `fraud_rate` and `evaluate` are tried on."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import dask
import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

# Threads of a scheduler take longer to start than these frames to count.
dask.config.set(scheduler="synchronous")


def _duckdb(frame: pl.DataFrame) -> duckdb.DuckDBPyRelation:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.from_arrow(frame.to_arrow())


def _numpy(frame: pl.DataFrame) -> pd.DataFrame:
    return frame.with_columns(
        cs.boolean().cast(pl.Float64), cs.decimal().cast(pl.Float64)
    ).to_pandas()


def _objects(frame: pl.DataFrame) -> pd.DataFrame:
    times = dict.fromkeys(frame.select(cs.datetime()).columns, "datetime64[us, UTC]")
    objects = pd.DataFrame(frame.to_dict(as_series=False), dtype=object, columns=frame.columns)
    return objects.astype(times)


def _arrow(frame: pl.DataFrame) -> pd.DataFrame:
    return frame.to_pandas(use_pyarrow_extension_array=True)


def _nullable(frame: pl.DataFrame) -> pd.DataFrame:
    frame = frame.with_columns(cs.decimal().cast(pl.Float64))
    return frame.to_pandas().convert_dtypes().set_index(pd.Index([7] * len(frame)))


def _partitioned(of: Callable[[pl.DataFrame], pd.DataFrame]) -> Callable[[pl.DataFrame], Any]:
    def partitioned(frame: pl.DataFrame) -> dd.DataFrame:
        with dask.config.set({"dataframe.convert-string": of is not _objects}):
            return dd.from_pandas(of(frame), npartitions=3, sort=False).persist()

    return partitioned


#: Kinds of frames that need no server; the same transactions as each of them.
ENGINES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "polars lazy": lambda frame: frame.lazy(),
    "pyarrow": lambda frame: frame.to_arrow(),
    "pandas with objects": _objects,
    "pandas with numpy": _numpy,
    "pandas with arrow": _arrow,
    "pandas nullable, odd index": _nullable,
    "duckdb": _duckdb,
    "dask with numpy": _partitioned(_numpy),
    "dask with arrow": _partitioned(_arrow),
    "dask with objects": _partitioned(_objects),
}


def engines_for(frame: pl.DataFrame) -> dict[str, Any]:
    """``frame`` as each kind; without rows a column of objects has no type at all."""
    return {
        name: of(frame)
        for name, of in ENGINES.items()
        if len(frame) or not name.endswith("with objects")
    }


@contextlib.contextmanager
def spark_session(zone: str = "UTC") -> Iterator[SparkSession]:
    """A Spark of two workers in this process's own JVM; it takes some seconds to start."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.fail("Spark needs Java: apt-get install default-jre-headless (Debian, Ubuntu)")
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory() as folder:
        spark = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.log.level", "ERROR")
            .config("spark.local.dir", folder)
            .config("spark.sql.warehouse.dir", folder)
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.session.timeZone", zone)
            .getOrCreate()
        )
        try:
            yield spark
        finally:
            spark.stop()


def to_spark(spark: SparkSession, frame: pl.DataFrame) -> Any:
    """``frame`` in Spark."""
    with warnings.catch_warnings():
        # Said at each look at pandas; what we use of it is Arrow.
        warnings.filterwarnings(
            "ignore", "PySpark does not yet fully support pandas >= 3", FutureWarning
        )
        return spark.createDataFrame(frame.to_arrow())


def as_polars(result: Any, groups: list[str]) -> pl.DataFrame:
    """A result of any engine as polars, to compare.

    NumPy's columns of numbers know NaN only: among the groups it means NULL.
    """
    if not isinstance(result, pd.DataFrame):
        return pl.DataFrame(result)
    result = pl.from_pandas(result, nan_to_null=False)
    return result.with_columns((cs.by_name(groups, require_all=False) & cs.float()).fill_nan(None))
