"""Rows of a frame of PySpark or Dask, one partition after the other, in bounded memory."""

from __future__ import annotations

import functools
import pickle
import tempfile
import warnings
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import pyarrow as pa

from synfin_analytics._core.dataframes import collect, to_utc
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.prefetch import prefetch
from synfin_analytics._core.worker_functions import DaskFunction
from synfin_analytics.exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from synfin_analytics._core.dataframes import Frame


def is_spark_frame(df: Any) -> bool:
    """Whether a value is a DataFrame of PySpark, classic or Connect.

    Examples
    --------
    >>> is_spark_frame([1.5])
    False
    """
    return nw.dependencies.is_pyspark_dataframe(df) or nw.dependencies.is_pyspark_connect_dataframe(
        df
    )


# -- Spark -----------------------------------------------------------------------------------------


def spark_batches(df: Any, purpose: str) -> Iterator[pa.RecordBatch]:
    """Return the rows of a PySpark DataFrame as Arrow batches, which are computed on demand.

    At most two partitions are outside the executors: one is read, the next one computed.

    Parameters
    ----------
    df
        The DataFrame.
    purpose
        What its timestamps are needed for, in a message.

    Raises
    ------
    ArgumentError
        The time zone of the session is not UTC and the frame has timestamps, which may depend on
        it; or Arrow has no type for a column.
    """
    _check_spark_types(df, purpose)
    with ignore_pandas_warning():
        serialized = df.mapInArrow(_serializer(), "batch binary")

    def read() -> Iterator[pa.RecordBatch]:
        for row in serialized.toLocalIterator(prefetchPartitions=True):
            with pa.ipc.open_stream(row.batch) as stream:
                yield from stream

    return read()


def spark_tables(frame: Frame, n_rows: int, purpose: str) -> Iterator[pa.Table]:
    """Yield the rows of a wrapped frame of PySpark in tables of at least ``n_rows`` but the last.

    All rows are one table if Spark's workers lack pyarrow.
    """
    tables = _join_batches(spark_batches(frame.to_native(), purpose), n_rows)
    try:
        with translate_engine_errors():
            first = next(tables, None)
    except ConfigurationError:  # another package that workers lack is named by this, too
        first = collect(frame).to_arrow()
    if first is not None:
        yield first
    yield from tables


def _join_batches(batches: Iterator[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """Join small batches, so that work for each part is done rarely."""
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        parts.append(batch)
        if sum(part.num_rows for part in parts) >= n_rows:
            yield pa.Table.from_batches(parts).combine_chunks()
            parts = []
    if parts:
        yield pa.Table.from_batches(parts).combine_chunks()


@contextmanager
def ignore_pandas_warning() -> Iterator[None]:
    """Ignore PySpark's warning about pandas 3, which takes no part where rows are Arrow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        yield


def _check_spark_types(df: Any, purpose: str) -> None:
    for field in df.schema:
        if field.dataType.typeName() == "timestamp":
            frame: Any = nw.from_native(df.select(df[f"`{field.name}`"]))
            to_utc(frame, field.name, purpose)
            break
    check_arrow_types(df)


def check_arrow_types(df: Any) -> None:
    """Raise an ArgumentError if Arrow has no type for a column of a PySpark DataFrame."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    for field in df.schema:
        try:
            to_arrow_type(field.dataType, timezone="UTC")
        except PySparkException:
            raise ArgumentError(
                f"Column {field.name!r} of the Spark DataFrame is {field.dataType.simpleString()}, "
                "which Arrow cannot represent. Cast it, or drop it."
            ) from None


def _serializer() -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return a function for workers, which need pyarrow only: Spark pickles it with its code."""

    def serialize(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(compression="lz4")
        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
                writer.write_batch(batch)
            content = pa.array([sink.getvalue().to_pybytes()], pa.binary())
            yield pa.RecordBatch.from_arrays([content], ["batch"])

    return serialize


# -- Dask ------------------------------------------------------------------------------------------


def dask_partitions(df: Any) -> Iterator[pd.DataFrame]:
    """Yield the partitions of a Dask DataFrame; the next one is computed meanwhile.

    If partitions have work in common, such as a shuffle, that is done once: a cluster keeps the
    results until they are read, and the schedulers of one machine write them to temporary files.

    Raises
    ------
    ArgumentError
        A partition has other columns than the frame.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask import dataframe as dd
    >>> df = dd.from_pandas(pd.DataFrame({"amount": [1.5, 2.5, 3.5]}), npartitions=2)
    >>> [len(part) for part in dask_partitions(df)]
    [2, 1]
    """
    with ExitStack() as stack:
        compute = _shared_work(df, stack) if _has_shared_work(df) else _separate_work(df)
        expected = [str(name) for name in df.columns]
        # Closed first, so that its thread has ended when temporary files are removed.
        parts = stack.enter_context(closing(prefetch(compute, depth=1)))
        for number, part in enumerate(parts):
            _check_partition(part, f"Partition {number:,}", expected)
            yield part


def select_from_partitions(df: Any, names: Sequence[str] | None = None) -> Any:
    """Select columns of a Dask DataFrame, or all; an ArgumentError names what a partition lacks.

    The error of pandas in a partition would be a KeyError. Where Dask can leave out what is not
    selected, such as columns of Parquet or computed ones, it does, and nothing is checked.

    Parameters
    ----------
    df
        The frame.
    names
        What to select. If None, partitions must not have other columns than the frame, either.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask import dataframe as dd
    >>> parts = [pd.DataFrame({"amount": [1.5], "country": "FR"}), pd.DataFrame({"amount": [2.5]})]
    >>> df = dd.from_map(lambda number: parts[number], [0, 1], meta=parts[0])
    >>> select_from_partitions(df, ["country"]).compute()
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: A partition of the Dask DataFrame must have the \
columns of the frame; it lacks 'country'. Give all its partitions the same columns.
    """
    try:
        from dask._collections import new_collection as make_collection
        from dask.dataframe.dask_expr._expr import MapPartitions, Projection
        from dask.dataframe.dask_expr.io.io import IO
    except ImportError:  # Dask's own modules: in a version with others, the error is Dask's
        return df if names is None else df[list(names)]
    new_collection: Callable[[Any], Any] = make_collection  # which has no types

    def select(rows: Any, columns: list[Any], exact: bool) -> Any:
        function = functools.partial(_select_from_partition, names=columns, exact=exact)
        return rows.map_partitions(DaskFunction(function), meta=rows._meta[columns])

    selected = list(df.columns if names is None else names)
    if len(selected) == len(df.columns):
        return select(df, selected, names is None)
    planned = df[selected].simplify().expr
    for projection in list(planned.find_operations(Projection)):
        if projection.ndim == 2 and isinstance(projection.frame, IO | MapPartitions):
            source = new_collection(projection.frame)
            rows = select(source, list(projection.columns), exact=False)
            planned = planned.substitute(projection, rows.expr)
    return new_collection(planned)


def _select_from_partition(part: pd.DataFrame, names: list[Any], exact: bool) -> pd.DataFrame:
    if not len(part):
        return part  # Dask replaces it with an empty one of the right columns
    _check_partition(part, "A partition", [str(name) for name in names], exact)
    return part[names]


def _check_partition(part: Any, described: str, expected: list[str], exact: bool = True) -> None:
    names = [str(name) for name in getattr(part, "columns", ())]
    rule = f"{described} of the Dask DataFrame must have the columns of the frame; it"
    for name in expected:
        if name not in names:
            raise ArgumentError(f"{rule} lacks {name!r}. Give all its partitions the same columns.")
    for name in names if exact else ():
        if name not in expected:
            raise ArgumentError(
                f"{rule} has {name!r} as well. Give all its partitions the same columns."
            )


def _has_shared_work(df: Any) -> bool:
    """Whether several partitions need the result of the same task."""
    from dask.core import get_dependencies
    from dask.utils import ensure_dict

    optimized = df.optimize()
    graph = ensure_dict(optimized.__dask_graph__())
    owners: dict[Any, int] = {}
    for number, key in enumerate(optimized.__dask_keys__()):
        pending = [key]
        while pending:
            for task in get_dependencies(graph, pending.pop()):
                if owners.get(task, number) != number:
                    return True
                if task not in owners:
                    owners[task] = number
                    pending.append(task)
    return False


def _separate_work(df: Any) -> Iterator[Any]:
    for delayed in df.to_delayed():
        yield delayed.compute()


def _shared_work(df: Any, stack: ExitStack) -> Iterator[Any]:
    import dask.base

    engine: Any = dask
    parts = df.to_delayed()
    scheduler = engine.base.get_scheduler()
    if hasattr(getattr(scheduler, "__self__", None), "scheduler_info"):  # a Client of a cluster
        parts = list(engine.persist(*parts))
        while parts:
            yield parts.pop(0).compute()
        return
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synfin-")))
    paths = [folder / str(number) for number in range(len(parts))]
    engine.compute(*map(engine.delayed(_write), parts, paths))
    for path in paths:
        yield pickle.loads(path.read_bytes())  # noqa: S301  # of our own process
        path.unlink()


def _write(part: Any, path: Path) -> None:
    """Write a partition exactly as it is: a file format would convert its types."""
    path.write_bytes(pickle.dumps(part, protocol=5))
