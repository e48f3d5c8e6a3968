"""Aggregation in the engine that holds the rows: the only code that depends on the engine.

A metric defines what each row adds to the counts, with elementary expressions in a function of a
frame (``select``). :func:`aggregate_counts` sums that by group where the rows are, and only the
sums leave the engine. The arithmetic that follows is the same for all engines
(:func:`rates_from_counts` and others).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw

from synfin_analytics._core.dataframes import (
    check_columns,
    collect,
    list_columns,
    normalize_types,
    open_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from synfin_analytics._core.dataframes import Frame

Transform: TypeAlias = "Callable[[Frame], Frame]"


def aggregate_counts(
    df: Any,
    columns: Sequence[str],
    keys: Sequence[str],
    select: Transform,
    *,
    caller: str,
    then: Transform | None = None,
) -> nw.DataFrame[Any]:
    """Sum by group, in the frame's own engine, what each row adds to the counts.

    Parameters
    ----------
    df
        Of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
    columns
        Columns that ``select`` reads; no other is read.
    keys
        Columns of the selection to group by, NULL a group of its own. Without any, all rows are one
        group.
    select
        Selects for each row its groups, and what it adds to the counts. Dask's workers receive it,
        so it must pickle.
    caller
        Name of the public function, for messages.
    then
        Reduces the sums further before they leave the engine; pickles like ``select``.

    Returns
    -------
    narwhals.DataFrame
        A row for each group; a pandas frame for Dask and PySpark.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        ``df`` is not a DataFrame.
    """
    columns = list(dict.fromkeys(columns))
    if nw.dependencies.is_dask_dataframe(df):
        check_columns(columns, list(df.columns))
        return _aggregate_partitions(df[columns], list(keys), select, then or _unchanged)
    frame = open_frame(df, caller)
    check_columns(columns, list_columns(frame))
    if then is not None and frame.implementation.is_polars():
        frame = frame.lazy()  # plans both sums together, in half the time
    sums = sum_by(select(normalize_types(frame.select(*columns))), keys)
    return collect(sums if then is None else then(sums))


def sum_by(rows: Frame, keys: Sequence[str]) -> Frame:
    """Sum all other columns by ``keys``, NULL a group of its own."""
    sums = [nw.col(name).sum() for name in rows.collect_schema().names() if name not in keys]
    if keys:
        return rows.group_by(*keys, drop_null_keys=False).agg(*sums)
    return rows.select(*sums)


# -- Dask ------------------------------------------------------------------------------------------
# A partition is a pandas frame, and sums can be summed. Each partition is therefore counted as any
# pandas frame, and the counts are merged in a tree. narwhals' own support of Dask is moving to a
# package that is not released yet, and supports neither months nor decimals.


def _aggregate_partitions(
    df: Any, keys: list[str], select: Transform, then: Transform
) -> nw.DataFrame[Any]:
    import pandas as pd

    count = functools.partial(_count_partition, keys=keys, select=select)
    merge = functools.partial(_merge_partitions, keys=keys, then=_unchanged)
    finish = functools.partial(_merge_partitions, keys=keys, then=then)
    empty = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in df.dtypes.items()})
    meta = finish(count(empty))
    counts = df.reduction(count, combine=merge, aggregate=finish, meta=meta).compute()
    merged: nw.DataFrame[Any] = nw.from_native(counts, eager_only=True)
    return merged


def _count_partition(partition: pd.DataFrame, keys: list[str], select: Transform) -> pd.DataFrame:
    rows = select(normalize_types(nw.from_native(partition)))
    counts: pd.DataFrame = sum_by(rows, keys).to_native()
    return counts


def _merge_partitions(counts: pd.DataFrame, keys: list[str], then: Transform) -> pd.DataFrame:
    merged: pd.DataFrame = then(sum_by(nw.from_native(counts), keys)).to_native()
    return merged


def _unchanged(counts: Frame) -> Frame:
    return counts
