"""Native lazy frames of any engine: columns and rows by themselves, also in partitions of Dask."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.dataframes import open_frame
from synfin_analytics._core.partitions import select_from_partitions
from synfin_analytics._core.worker_functions import DaskFunction

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.dataframes import Frame


def select_columns(df: Any, names: list[str]) -> Any:
    """Select columns of a native frame.

    Examples
    --------
    >>> import polars as pl
    >>> select_columns(pl.LazyFrame({"amount": [1.5], "country": ["FR"]}), ["amount"]).collect()
    shape: (1, 1)
    ┌────────┐
    │ amount │
    │ ---    │
    │ f64    │
    ╞════════╡
    │ 1.5    │
    └────────┘
    """
    if nw.dependencies.is_dask_dataframe(df):
        return select_from_partitions(df, names)
    return nw.from_native(df).select(*names).to_native()


def transform_rows(df: Any, function: Callable[[Frame], Frame]) -> Any:
    """Apply to a native frame a function that treats each row by itself.

    Dask's workers unpickle it. A partition of Dask is a pandas frame, and keeps its index.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.LazyFrame({"amount": [1.5, -2.0]})
    >>> transform_rows(rows, lambda frame: frame.filter(nw.col("amount") > 0)).collect().rows()
    [(1.5,)]
    """
    if nw.dependencies.is_dask_dataframe(df):
        transform = functools.partial(_transform_partition, function=function)
        return select_from_partitions(df).map_partitions(
            DaskFunction(transform), meta=transform(df._meta)
        )
    return function(open_frame(df, "")).to_native()


def _transform_partition(partition: Any, function: Callable[[Frame], Frame]) -> Any:
    return function(nw.from_native(partition, eager_only=True)).to_native()
