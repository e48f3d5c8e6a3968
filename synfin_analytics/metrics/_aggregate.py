"""Counting in the engine that holds the rows: the only code that knows one engine from another.

A metric says with elementary expressions what each row counts for (a function of a frame, its
``rows_of``); :func:`add_up` sums that by group wherever the rows are, and only the sums leave the
engine. The arithmetic that follows is the same for all (:func:`rates_from_counts` and others).
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

RowsOf: TypeAlias = "Callable[[Frame], Frame]"


def aggregate_counts(
    frame: Any,
    columns: Sequence[str],
    keys: Sequence[str],
    rows_of: RowsOf,
    *,
    caller: str,
    then: RowsOf | None = None,
) -> nw.DataFrame[Any]:
    """Sum by group, in the frame's own engine, what each of its rows counts for.

    Parameters
    ----------
    frame
        Of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
    columns
        Columns that ``rows_of`` reads; no other is touched.
    keys
        Columns of ``rows_of`` to group by, NULL a group of its own. Without any, all is one sum.
    rows_of
        Gives each row its groups and what it counts for. Dask's workers get it: it must pickle.
    caller
        Name of the public function, for messages.
    then
        Turns the sums into smaller ones before they leave the engine; pickles like ``rows_of``.

    Returns
    -------
    narwhals.DataFrame
        A row for each group. Of Dask and PySpark it is a pandas frame.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message names the nearest.
    ArgumentError
        It is no frame.
    """
    columns = list(dict.fromkeys(columns))
    if nw.dependencies.is_dask_dataframe(frame):
        check_columns(columns, list(frame.columns))
        return _add_up_partitions(frame[columns], list(keys), rows_of, then or _unchanged)
    found = open_frame(frame, caller)
    check_columns(columns, list_columns(found))
    if then is not None and found.implementation.is_polars():
        found = found.lazy()  # which plans both sums together, in half the time
    sums = sum_by(rows_of(normalize_types(found.select(*columns))), keys)
    return collect(sums if then is None else then(sums))


def sum_by(rows: Frame, keys: Sequence[str]) -> Frame:
    """Sum all other columns by ``keys``, NULL a group of its own."""
    sums = [nw.col(name).sum() for name in rows.collect_schema().names() if name not in keys]
    if keys:
        return rows.group_by(*keys, drop_null_keys=False).agg(*sums)
    return rows.select(*sums)


# -- Dask ------------------------------------------------------------------------------------------
# A partition is a pandas frame and sums add up, so each is counted as any pandas frame, and the
# counts go up a tree. narwhals' own way to Dask is moving into a package that is not there yet, and
# knows neither months nor decimals.


def _add_up_partitions(
    frame: Any, keys: list[str], rows_of: RowsOf, then: RowsOf
) -> nw.DataFrame[Any]:
    import pandas as pd

    count = functools.partial(_count_partition, keys=keys, rows_of=rows_of)
    merge = functools.partial(_merge_partitions, keys=keys, then=_unchanged)
    finish = functools.partial(_merge_partitions, keys=keys, then=then)
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in frame.dtypes.items()})
    meta = finish(count(empty))
    counts = frame.reduction(count, combine=merge, aggregate=finish, meta=meta).compute()
    merged: nw.DataFrame[Any] = nw.from_native(counts, eager_only=True)
    return merged


def _count_partition(partition: pd.DataFrame, keys: list[str], rows_of: RowsOf) -> pd.DataFrame:
    counted: pd.DataFrame = sum_by(
        rows_of(normalize_types(nw.from_native(partition))), keys
    ).to_native()
    return counted


def _merge_partitions(counts: pd.DataFrame, keys: list[str], then: RowsOf) -> pd.DataFrame:
    merged: pd.DataFrame = then(sum_by(nw.from_native(counts), keys)).to_native()
    return merged


def _unchanged(counts: Frame) -> Frame:
    return counts
