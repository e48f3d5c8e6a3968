"""Arrow columns into the frame that was asked for: pandas, polars or pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
#: What texts are in each kind of frame. They come as views where they are short.
_TEXTS = {"pandas": pa.large_string(), "polars": pa.string_view(), "arrow": pa.string()}
#: Where columns are built. Arrow's usual allocator gives memory back to the system between batches,
#: and getting it again takes as long as decoding does; jemalloc, in its wheels for Linux, keeps it.
_JEMALLOC = "jemalloc" in pa.supported_memory_backends()
_POOL = pa.jemalloc_memory_pool() if _JEMALLOC else pa.default_memory_pool()
_NUMPY = (pa.types.is_floating, pa.types.is_timestamp, pa.types.is_duration)


def in_numpy(kind: pa.DataType) -> bool:
    """Whether pandas has NumPy's own arrays of this type: NULL is NaN or NaT there."""
    return any(check(kind) for check in _NUMPY)


def check_output(output: object) -> None:
    """Raise unless `output` is one of the three kinds."""
    if output not in get_args(Output):
        raise ArgumentError(
            f'`output` must be "pandas", "polars" or "arrow"; got {format_value(output)}.'
        )


@overload
def from_pandas(frame: pd.DataFrame, output: Literal["pandas"]) -> pd.DataFrame: ...
@overload
def from_pandas(frame: pd.DataFrame, output: Literal["polars"]) -> pl.DataFrame: ...
@overload
def from_pandas(frame: pd.DataFrame, output: Literal["arrow"]) -> pa.Table: ...
@overload
def from_pandas(frame: pd.DataFrame, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
def from_pandas(frame: pd.DataFrame, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Return a copy of a result as the requested kind of frame; NaN stays NaN.

    Examples
    --------
    >>> from_pandas(pd.DataFrame({"rate": [0.5, float("nan")]}), "polars")["rate"].to_list()
    [0.5, nan]
    """
    check_output(output)
    if output == "pandas":
        return frame.copy()
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


def joined(arrays: Sequence[pa.Array], output: Output) -> pa.Array:
    """Make one array of a column's pieces, texts as ``output`` holds them."""
    if len({array.type for array in arrays}) > 1:
        arrays = [_cast(array, pa.string_view()) for array in arrays]
        whole = pa.concat_arrays(arrays, memory_pool=_POOL)
    elif arrays[0].type == pa.string_view():
        whole = _joined_views(arrays)
    else:
        whole = pa.concat_arrays(arrays, memory_pool=_POOL)
    return _cast(whole, _TEXTS[output]) if _is_text(whole.type) else whole


def _joined_views(arrays: Sequence[pa.Array]) -> pa.Array:
    """Join views of short texts, which are whole in themselves; Arrow would look at each again."""
    views = np.concatenate([np.frombuffer(array.buffers()[1], "V16") for array in arrays])
    validity = None
    if any(array.null_count for array in arrays):
        validity = pa.concat_arrays([array.is_valid() for array in arrays]).buffers()[1]
    return pa.Array.from_buffers(pa.string_view(), len(views), [validity, pa.py_buffer(views)])


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return pc.cast(array, kind, memory_pool=_POOL)


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.string_view())


def to_frame(
    columns: dict[str, tuple[pa.DataType, list[pa.Array]]], output: Output
) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Build the frame of these columns, each given in prepared pieces, and give the pieces up."""
    return frame_of({name: of_pieces(*given, output) for name, given in columns.items()}, output)


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


def of_pieces(kind: pa.DataType, pieces: list[pa.Array], output: Output) -> Any:
    """Make the column of these prepared pieces, and give them up."""
    column = pa.chunked_array(pieces, _TEXTS[output] if _is_text(kind) else kind)
    pieces.clear()
    return _CONVERSIONS[output](column)


def frame_of(columns: dict[str, Any], output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Build the frame of its columns."""
    if output == "arrow":
        return pa.table(columns)
    if output == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    return pd.DataFrame(columns, copy=False)


def _pandas(column: pa.ChunkedArray) -> Any:
    dtype = _PANDAS.get(column.type)
    if dtype is not None:
        return dtype.__from_arrow__(column)
    if in_numpy(column.type):
        return column.to_pandas()
    return pd.arrays.ArrowExtensionArray(column)


def _polars(column: pa.ChunkedArray) -> Any:
    import polars as pl

    return pl.from_arrow(column)


_CONVERSIONS: dict[str, Callable[[pa.ChunkedArray], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "arrow": lambda column: column,
}
