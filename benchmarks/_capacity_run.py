"""One call on one engine in a process of its own, for capacity.py: seconds, CPU time and memory.

    python _capacity_run.py ENGINE CALL WORLD ROWS MEMORY

The last line is JSON. Each call starts at the files and ends with its result: a small one in
memory, rows in Parquet files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _measure import memory_in_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Columns of the transactions that some of the calls read.
COLUMNS = [
    "transaction_id", "customer_id", "merchant_id", "card_id", "terminal_id", "timestamp", "amount",
    "latitude", "longitude", "is_online", "card_present", "country", "channel", "status",
    "transaction_type", "entry_mode", "device_id", "merchant_category", "is_holiday", "is_fraud",
    "label_available_at", "distance_from_home", "distance_from_last", "merchant_risk_score",
]  # fmt: skip
#: Rows of a partition of Dask and Spark.
BUCKET_ROWS = 100_000
_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True)
class Task:
    """Where the rows are, and where results go."""

    engine: str
    transactions: Path
    rows: int
    memory: str
    scratch: Path

    @property
    def n_buckets(self) -> int:
        return max(self.rows // BUCKET_ROWS, 2)

    @property
    def buckets(self) -> dict[str, int]:
        """Arguments for calls that shuffle on a cluster."""
        return {"n_buckets": self.n_buckets} if self.engine in ("dask", "spark") else {}


# -- Engines ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _polars(task: Task) -> Iterator[Callable[[], Any]]:
    import polars as pl

    yield lambda: pl.scan_parquet(task.transactions / "*.parquet").select(COLUMNS).collect()


@contextlib.contextmanager
def _polars_lazy(task: Task) -> Iterator[Callable[[], Any]]:
    import polars as pl

    yield lambda: pl.scan_parquet(task.transactions / "*.parquet").select(COLUMNS)


@contextlib.contextmanager
def _duckdb(task: Task) -> Iterator[Callable[[], Any]]:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    pattern = str(task.transactions / "*.parquet")
    yield lambda: connection.read_parquet(pattern).select(", ".join(COLUMNS))


@contextlib.contextmanager
def _dask(task: Task) -> Iterator[Callable[[], Any]]:
    import dask.dataframe as dd

    yield lambda: dd.read_parquet(task.transactions, columns=COLUMNS)


@contextlib.contextmanager
def _spark(task: Task) -> Iterator[Callable[[], Any]]:
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    from pyspark.sql import SparkSession

    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(task.n_buckets),
        "spark.driver.memory": "2g",
        "spark.local.dir": str(task.scratch),
        "spark.log.level": "OFF",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    try:
        yield lambda: spark.read.parquet(str(task.transactions)).select(*COLUMNS)
    finally:
        spark.stop()


ENGINES = {
    "polars": _polars,
    "polars lazy": _polars_lazy,
    "duckdb": _duckdb,
    "dask": _dask,
    "spark": _spark,
}

# -- Calls -----------------------------------------------------------------------------------------


def _write(frame: Any, folder: Path) -> None:
    """Write the rows of any engine's frame to Parquet."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(frame, pa.Table):
        pq.write_table(frame, folder.with_suffix(".parquet"))
    elif isinstance(frame, pl.DataFrame):
        frame.write_parquet(folder.with_suffix(".parquet"))
    elif isinstance(frame, pl.LazyFrame):
        frame.sink_parquet(folder.with_suffix(".parquet"))
    elif type(frame).__module__.startswith("duckdb") or "DuckDB" in type(frame).__name__:
        frame.write_parquet(str(folder.with_suffix(".parquet")))
    elif hasattr(frame, "to_parquet"):
        frame.to_parquet(folder)
    else:
        frame.write.parquet(str(folder))


def fraud_rate(_: Task, frame: Any) -> None:
    from synfin_analytics import fraud_rate

    fraud_rate(frame, "channel")


def fraud_rate_by_customer(_: Task, frame: Any) -> None:
    from synfin_analytics import fraud_rate

    # By default there is a group for each pair of a customer and a merchant.
    fraud_rate(frame, "channel", cluster="customer_id")


def evaluate(_: Task, frame: Any) -> None:
    from synfin_analytics import evaluate

    # A score with as many distinct values as scores of four digits have.
    evaluate(frame, score="merchant_risk_score").summary()


def engineer_features(task: Task, frame: Any) -> None:
    from synfin_analytics import engineer_features

    if task.engine == "polars lazy":
        engineer_features(frame, output=task.scratch / "features", memory=task.memory)
    else:
        _write(engineer_features(frame, **task.buckets), task.scratch / "features")  # type: ignore[call-overload]


def window_features(task: Task, frame: Any) -> None:
    from synfin_analytics import window_features

    if task.engine == "polars lazy":
        window_features(frame, output=task.scratch / "windows", memory=task.memory)
    else:
        _write(window_features(frame, **task.buckets), task.scratch / "windows")


def time_split(task: Task, frame: Any) -> None:
    from synfin_analytics import time_split

    split = time_split(frame, "28d", "7d", "7d", start="2025-02-01")
    _write(split.train, task.scratch / "train")
    _write(split.test, task.scratch / "test")


def detect_patterns(task: Task, frame: Any) -> None:
    from synfin_analytics import detect_patterns

    detect_patterns(frame, **task.buckets).summary()


CALLS = {
    "fraud_rate": fraud_rate,
    "fraud_rate(cluster='customer_id')": fraud_rate_by_customer,
    "evaluate": evaluate,
    "engineer_features": engineer_features,
    "window_features": window_features,
    "time_split": time_split,
    "detect_patterns": detect_patterns,
}


# -- Measurements ----------------------------------------------------------------------------------


def run_call(engine: str, call: str, world: Path, rows: int, memory: str) -> dict[str, Any]:
    """Measure one call, or return why the engine refuses it."""
    from synfin_analytics.exceptions import SynfinError

    with tempfile.TemporaryDirectory(dir=world.parent) as scratch:
        task = Task(engine, world / "transactions", rows, memory, Path(scratch))
        with ENGINES[engine](task) as open_frame:
            return measured(lambda: CALLS[call](task, open_frame()), SynfinError)


def run_simulation(world: Path, rows: int, days: int, seed: int) -> dict[str, Any]:
    """Measure the simulation of about so many rows, if they are not there yet."""
    from synfin_analytics import simulate
    from synfin_analytics.exceptions import SynfinError

    customers = max(round(rows / days / 1.05), 1)
    merchants = max(customers // 10, 40)
    return measured(lambda: simulate(customers, merchants, days, seed, output=world), SynfinError)


def measured(run: Callable[[], Any], refusal: type[Exception]) -> dict[str, Any]:
    """Return seconds, CPU seconds and peak MB of this process, and of those that it started."""
    cpu_started, started = _cpu_seconds(), time.perf_counter()
    try:
        run()
    except (refusal, TypeError, NotImplementedError) as error:
        message = str(error).partition("\n")[0]
        return {"refused": f"{type(error).__name__}: {message}"[:300]}
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "cpu": _cpu_seconds() - cpu_started,
        "peak": memory_in_mb("VmHWM"),
        "peak of others": sum(map(_peak_of, _descendants())),
    }


def _descendants() -> list[Path]:
    """Folders in /proc of the processes below this one: Spark's JVM and its workers."""
    parents: dict[int, list[int]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, pending = [], [os.getpid()]
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return [_PROC / str(process) for process in found]


def _peak_of(process: Path) -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = (process / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def _cpu_seconds() -> float:
    """CPU time of this process and of all below it, those that have ended included."""
    ticks = 0
    for process in [_PROC / "self", *_descendants()]:
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # own, and of children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "simulate":
        folder, *numbers = arguments
        result = run_simulation(Path(folder), *map(int, numbers))
    else:
        call, folder, n_rows, limit = arguments
        result = run_call(kind, call, Path(folder), int(n_rows), limit)
    print(json.dumps(result))
