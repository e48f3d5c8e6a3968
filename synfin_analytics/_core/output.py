"""Convert Arrow columns to the requested kind of DataFrame: pandas, polars or pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synfin_analytics._core.arguments import argument_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

Output: TypeAlias = Literal["pandas", "polars", "arrow"]

_PANDAS: dict[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.large_string(): pd.StringDtype(storage="pyarrow", na_value=pd.NA),
}
#: Type of strings in each kind of DataFrame. Short ones are decoded as views.
_STRING_TYPES = {"pandas": pa.large_string(), "polars": pa.string_view(), "arrow": pa.string()}
#: Memory pool of columns. Arrow's default allocator returns memory to the system between batches,
#: and getting it again takes as long as decoding; jemalloc, which is in its wheels for Linux, does
#: not return it.
_JEMALLOC = "jemalloc" in pa.supported_memory_backends()
_POOL = pa.jemalloc_memory_pool() if _JEMALLOC else pa.default_memory_pool()
_IS_NUMPY_TYPE = (pa.types.is_floating, pa.types.is_timestamp, pa.types.is_duration)


def in_numpy(arrow_type: pa.DataType) -> bool:
    """Whether pandas stores this type in NumPy arrays, with NaN or NaT for NULL."""
    return any(check(arrow_type) for check in _IS_NUMPY_TYPE)


def check_output(output: object) -> None:
    """Raise unless `output` is one of the three kinds."""
    if output not in get_args(Output):
        raise argument_error("output", '"pandas", "polars" or "arrow"', output)


@overload
def from_pandas(frame: pd.DataFrame, output: Literal["pandas"]) -> pd.DataFrame: ...
@overload
def from_pandas(frame: pd.DataFrame, output: Literal["polars"]) -> pl.DataFrame: ...
@overload
def from_pandas(frame: pd.DataFrame, output: Literal["arrow"]) -> pa.Table: ...
@overload
def from_pandas(frame: pd.DataFrame, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
def from_pandas(frame: pd.DataFrame, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Convert a result to the requested kind of frame; NaN stays NaN.

    Examples
    --------
    >>> from_pandas(pd.DataFrame({"rate": [0.5, float("nan")]}), "polars")["rate"].to_list()
    [0.5, nan]
    """
    check_output(output)
    if output == "pandas":
        return frame
    columns = {
        str(name): pa.array(column.to_numpy(), from_pandas=False)
        if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
        else pa.Array.from_pandas(column)
        for name, column in frame.items()
    }
    table = pa.table(columns)
    if output == "arrow":
        return table
    import polars as pl

    return pl.DataFrame(table)


def concat_arrays(arrays: Sequence[pa.Array], output: Output) -> pa.Array:
    """Concatenate the pieces of a column; strings get the type they have in ``output``."""
    if len({array.type for array in arrays}) > 1:
        arrays = [_cast(array, pa.string_view()) for array in arrays]
        array = pa.concat_arrays(arrays, memory_pool=_POOL)
    elif arrays[0].type == pa.string_view():
        array = _concat_views(arrays)
    else:
        array = pa.concat_arrays(arrays, memory_pool=_POOL)
    return _cast(array, _STRING_TYPES[output]) if _is_string(array.type) else array


def _concat_views(arrays: Sequence[pa.Array]) -> pa.Array:
    """Concatenate views of short strings, which point nowhere; Arrow would check each of them."""
    views = np.concatenate([np.frombuffer(array.buffers()[1], "V16") for array in arrays])
    validity = None
    if any(array.null_count for array in arrays):
        validity = pa.concat_arrays([array.is_valid() for array in arrays]).buffers()[1]
    return pa.Array.from_buffers(pa.string_view(), len(views), [validity, pa.py_buffer(views)])


def _cast(array: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    return pc.cast(array, arrow_type, memory_pool=_POOL)


def _is_string(arrow_type: pa.DataType) -> bool:
    return arrow_type in (pa.string(), pa.string_view())


def to_frame(
    columns: dict[str, tuple[pa.DataType, list[pa.Array]]], output: Output
) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Build a DataFrame of columns, each a type and its pieces, which are not used any more."""
    return build_frame(
        {name: build_column(*column, output) for name, column in columns.items()}, output
    )


def from_polars(frame: pl.DataFrame, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Convert a polars DataFrame to the kind of ``output``.

    Raises
    ------
    ArgumentError
        ``output`` is none of the three kinds.

    Examples
    --------
    >>> import polars as pl
    >>> from_polars(pl.DataFrame({"n": [1, 2]}), "arrow").to_pydict()
    {'n': [1, 2]}
    """
    check_output(output)
    if output == "polars":
        return frame
    table = frame.to_arrow()
    return to_frame(
        {name: (table[name].type, table[name].chunks) for name in frame.columns}, output
    )


def build_column(arrow_type: pa.DataType, pieces: list[pa.Array], output: Output) -> Any:
    """Build a column of its pieces, which are not used any more."""
    column = pa.chunked_array(
        pieces, _STRING_TYPES[output] if _is_string(arrow_type) else arrow_type
    )
    pieces.clear()
    if output == "arrow":
        return column
    if output == "polars":
        import polars as pl

        return pl.from_arrow(column)
    dtype = _PANDAS.get(column.type)
    if dtype is not None:
        return dtype.__from_arrow__(column)
    return column.to_pandas() if in_numpy(column.type) else pd.arrays.ArrowExtensionArray(column)


def build_frame(columns: dict[str, Any], output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Build a DataFrame of its columns."""
    if output == "arrow":
        return pa.table(columns)
    if output == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    return pd.DataFrame(columns, copy=False)
