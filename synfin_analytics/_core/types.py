"""For type checkers: what public functions accept as data, and arrays of NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    import pandas as pd
    import polars as pl
    from numpy.typing import NDArray

    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.database.models import Base


class ArrowStream(Protocol):
    """Anything that exports an Arrow stream: pyarrow's tables and readers, DuckDB's relations."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a PyCapsule of the stream."""


class ArrowDataset(Protocol):
    """A dataset of pyarrow."""

    def get_fragments(self, filter: Any = None) -> Iterable[Any]:  # noqa: A002 - pyarrow's name
        """Return the files of the dataset."""


class ArrowScanner(Protocol):
    """A scanner of pyarrow."""

    def to_reader(self) -> Any:
        """Return a reader of record batches."""


class DaskFrame(Protocol):
    """A DataFrame of Dask."""

    def to_delayed(self) -> Any:
        """Return its partitions."""


class SparkFrame(Protocol):
    """A DataFrame of PySpark."""

    def mapInArrow(self, func: Any, schema: Any) -> Any:  # noqa: N802 - PySpark's name
        """Apply a function to its rows as record batches."""


class SupportsArray(Protocol):
    """An array of NumPy, a Series of pandas or polars, a tensor: what NumPy can read."""

    def __array__(self) -> NDArray[Any]:
        """Return it as an array of NumPy."""


#: An array. NumPy's type of the same name has strings, too.
ArrayLike: TypeAlias = "SupportsArray | list[Any] | tuple[Any, ...] | range"
#: A table in memory, or a query or stream that is read in batches.
DataFrameLike: TypeAlias = (
    "pd.DataFrame | pl.DataFrame | pl.LazyFrame | ArrowStream | ArrowDataset | ArrowScanner | "
    "DaskFrame | SparkFrame"
)
#: Rows one by one: dicts or ORM objects.
Records: TypeAlias = "Iterable[Mapping[str, Any] | Base]"
#: What :func:`~synfin_analytics.load_df` accepts: data, or the path of a file.
DataSource: TypeAlias = "DataFrameLike | TransactionSource | Records | str | Path"

#: Arrays of NumPy.
Integers: TypeAlias = "NDArray[np.int64]"
Floats: TypeAlias = "NDArray[np.float64]"
Mask: TypeAlias = "NDArray[np.bool_]"
