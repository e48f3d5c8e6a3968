"""The same rows in every engine that `fraud_rate` and `evaluate` support."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import sys
import tempfile
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dask
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest
from frames_of import in_pieces
from hypothesis import Phase
from hypothesis import strategies as st

from synfin_analytics.metrics.fraud_rates import MEASURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import SparkSession

# Starting a scheduler's threads takes longer than counting these frames.
dask.config.set(scheduler="synchronous")

#: Environment of Spark: no network, workers with this Python, and only the quick compiler, since
#: tests are short.
SPARK = {
    "PYSPARK_PYTHON": sys.executable,
    "SPARK_LOCAL_IP": "127.0.0.1",
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
#: Phases of a test on all engines, without shrinking, which would take minutes.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
SCHEMA = {
    "channel": pl.String,
    "merchant": pl.Int64,
    "timestamp": pl.Datetime("us", "UTC"),
    "amount": pl.Decimal(12, 2),
    "is_fraud": pl.Boolean,
    "customer_id": pl.String,
    "merchant_id": pl.String,
    "card_id": pl.String,
}
EDGES = [20, 100, 500]
#: Varied transactions: NULL in any column, amounts on the edges of bins, dates before 1970.
ROWS = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(["online", "pos", "", None]),
        "merchant": st.sampled_from([1, 2, None]),
        "timestamp": st.none()
        | st.datetimes(
            dt.datetime.fromisoformat("1969-12-01"),
            dt.datetime.fromisoformat("2026-03-01"),
            timezones=st.just(dt.UTC),
        ),
        "amount": st.one_of(
            st.sampled_from([None, *map(Decimal, EDGES)]),
            st.decimals("0.01", "9999999.99", places=2),
        ),
        "is_fraud": st.sampled_from([True, False, False, None]),
        "customer_id": st.sampled_from(["C1", "C2", "C3", "C4"]),
        "merchant_id": st.sampled_from(["M1", "M2", "M3"]),
        "card_id": st.sampled_from(["K1", "K2", None]),
    }
)
#: Groupings and clusters for `fraud_rate`.
GROUPS = st.fixed_dictionaries(
    {
        "by": st.sampled_from([[], ["channel"], ["merchant"], ["channel", "merchant"]]),
        "every": st.sampled_from([None, "90m", "6h", "1d", "3d", "1w", "1mo", "1q", "1y"]),
        "bins": st.sampled_from(
            [
                None,
                None,
                {"amount": EDGES},
                {"merchant": [1, 1.5]},
                {"amount": [1], "merchant": [2]},
            ]
        ),
        "cluster": st.sampled_from(
            ["auto", "auto", None, "card_id", ["card_id", "merchant_id"], ["customer_id"]]
        ),
    }
)


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
    with np.errstate(invalid="ignore"):  # pandas casts infinities as well
        nullable = frame.to_pandas().convert_dtypes()
    return nullable.set_index(pd.Index([7] * len(frame)))


def _partitioned(convert: Callable[[pl.DataFrame], pd.DataFrame]) -> Callable[[pl.DataFrame], Any]:
    def partitioned(frame: pl.DataFrame) -> dd.DataFrame:
        with dask.config.set({"dataframe.convert-string": convert is not _objects}):
            return dd.from_pandas(convert(frame), npartitions=3, sort=False).persist()

    return partitioned


#: Converters to every kind of frame that needs no server.
ENGINES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "polars lazy": lambda frame: frame.lazy(),
    "pyarrow": lambda frame: frame.to_arrow(),
    "pandas with objects": _objects,
    "pandas with numpy": _numpy,
    "pandas with arrow": _arrow,
    "pandas in pieces": in_pieces,
    "pandas nullable, odd index": _nullable,
    "duckdb": _duckdb,
    "dask with numpy": _partitioned(_numpy),
    "dask with arrow": _partitioned(_arrow),
    "dask with objects": _partitioned(_objects),
}


def engines_for(frame: pl.DataFrame, engines: Iterable[str] = ENGINES) -> dict[str, Any]:
    """Convert ``frame`` to each engine; skip untyped empty columns of objects."""
    return {
        name: ENGINES[name](frame)
        for name in engines
        if len(frame) or not name.endswith("with objects")
    }


#: Run a test on a third of the engines at a time, one kind of Dask in each, with examples of its
#: own: each engine gets a third of the examples, because each takes up to a quarter of a second.
a_third_of_engines = pytest.mark.parametrize(
    "engines",
    [list(ENGINES)[first::3] for first in range(3)],
    ids=lambda names: ", ".join(names),
)


@contextlib.contextmanager
def spark_session(zone: str = "UTC") -> Iterator[SparkSession]:
    """Start Spark with two threads in this process's JVM, which takes some seconds."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.fail("Spark needs Java: apt-get install default-jre-headless (Debian, Ubuntu)")
    os.environ.update(SPARK)
    with without_pandas_warning():
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


def in_order_of(frame: Any, key: str) -> pl.DataFrame:
    """Collect a frame of any engine as polars, in the order of a key."""
    if isinstance(frame, dd.DataFrame):
        frame = frame.compute()
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pd.DataFrame):
        frame = pl.from_pandas(frame).fill_nan(None)
    elif hasattr(frame, "toArrow"):
        frame = frame.toArrow()
    return pl.DataFrame(frame).sort(key)


def to_spark(spark: SparkSession, frame: pl.DataFrame) -> Any:
    """Convert ``frame`` to Spark."""
    with without_pandas_warning():
        return spark.createDataFrame(frame.to_arrow())


@contextlib.contextmanager
def without_pandas_warning() -> Iterator[None]:
    """Ignore PySpark's warning about pandas 3: data are exchanged as Arrow here."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"PySpark does not yet fully support pandas >= 3\.0\.0", FutureWarning
        )
        yield


def as_polars(result: Any) -> pl.DataFrame:
    """Convert a result of ``fraud_rate`` to polars, to compare it.

    Numeric columns of NumPy have NaN instead of NULL, so NaN among the groups means NULL.
    """
    if not isinstance(result, pd.DataFrame):
        return pl.DataFrame(result)
    result = pl.from_pandas(result, nan_to_null=False)
    groups = result.select(cs.float() - cs.by_name(*MEASURES, require_all=False)).columns
    return result.with_columns(pl.col(groups).fill_nan(None))
