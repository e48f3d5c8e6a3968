"""Columns of pandas, Arrow and Python as cells that hold exactly the same values.

A type that polars represents faithfully becomes a series. All others become Python objects, which
are validated one by one: a library without such a type would convert them silently.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Hashable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Cells without a common type that polars represents: Python objects, validated one by one.
Objects: TypeAlias = list[Any]
#: Consecutive parts of a column that come in different types, each validated in its own.
Pieces: TypeAlias = tuple["pl.Series | Objects", ...]
Column: TypeAlias = pl.Series | Objects | Pieces

#: Python types with an Arrow type that keeps every value, with its type and its digits.
_EXACT_TYPES = (str, int, float, bool, dt.datetime, dt.date, bytes, Decimal)
_MISSING = {type(None), type(pd.NA), type(pd.NaT)}

#: Beyond all years that a table accepts, in seconds, and still in range in milliseconds.
_FAR_SECONDS = 10**15
_EXTENSION = b"ARROW:extension:name"


@dataclasses.dataclass(frozen=True)
class UnsupportedValue:
    """A cell of a type that no column accepts, or a value that Python cannot represent."""

    type_name: str
    reason: str | None = None

    def __str__(self) -> str:
        return f"<{self.type_name}>"


def select_cells(column: Column, mask: pl.Series) -> pl.Series | Objects:
    """Return the cells of a column under a mask."""
    if isinstance(column, pl.Series):
        return column.filter(mask)
    if isinstance(column, list):
        return [cell for cell, selected in zip(column, mask, strict=True) if selected]
    cells: Objects = []
    start = 0
    for part in column:
        cells.extend(select_cells(part, mask.slice(start, len(part))))
        start += len(part)
    return cells


# -- Arrow ------------------------------------------------------------------------------------


def check_record_batch(batch: pa.RecordBatch) -> None:
    """Refuse a broken batch, which would crash its reader.

    Single invalid cells are left to the validation of their column: texts that are not Unicode,
    dates with a time, decimals of too many digits.

    Raises
    ------
    pyarrow.ArrowInvalid
        The batch is broken.
    """
    batch.validate()
    for array in batch.columns:
        dtype = array.type
        by_cell = _is_text(dtype) or pa.types.is_date64(dtype) or pa.types.is_decimal(dtype)
        array.validate(full=not by_cell)


def from_record_batches(batches: Sequence[pa.RecordBatch], name: str) -> Column:
    """Join a column of consecutive batches; some may lack it or have it in another type.

    Parameters
    ----------
    batches
        At least one batch.
    name
        Name of the column.
    """
    runs: list[tuple[pa.Field, list[pa.Array]]] = []
    for batch in batches:
        position = batch.schema.get_field_index(name)
        if position < 0:
            field, array = pa.field(name, pa.null()), pa.nulls(batch.num_rows)
        else:
            field, array = batch.schema.field(position), batch.column(position)
        if runs and runs[-1][0].equals(field, check_metadata=True):
            runs[-1][1].append(array)
        else:
            runs.append((field, [array]))
    parts = []
    for field, arrays in runs:
        chunks = pa.chunked_array(arrays, field.type) if len(arrays) > 1 else arrays[0]
        parts.append(from_arrow(chunks, field))
    return parts[0] if len(parts) == 1 else tuple(parts)


def from_arrow(
    array: pa.Array | pa.ChunkedArray, field: pa.Field | None = None
) -> pl.Series | Objects:
    """Return the cells of an Arrow array.

    Parameters
    ----------
    array
        An array of any type.
    field
        Its field, whose metadata may name an extension type that is not registered here.
    """
    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks > 1 and pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        array = array.chunk(0) if array.num_chunks == 1 else pa.concat_arrays(array.chunks)
    dtype = array.type
    extension = ((field.metadata if field is not None else None) or {}).get(_EXTENSION)
    if isinstance(dtype, pa.BaseExtensionType):
        return _from_extension(array)
    if extension is not None:
        return _unsupported(array, extension.decode("utf-8", "replace"))
    for test, convert in _CONVERSIONS:
        if test(dtype):
            return convert(array)
    return _unsupported(array, str(dtype))


def _is_text(dtype: pa.DataType) -> bool:
    types = pa.types
    return any(
        test(dtype) for test in (types.is_string, types.is_large_string, types.is_string_view)
    )


def _from_texts(array: pa.Array) -> pl.Series | Objects:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return [_decode(raw) for raw in array.cast(pa.binary()).to_pylist()]
    return _from_native(array)


def _decode(raw: bytes | None) -> str | UnsupportedValue | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return UnsupportedValue("text", "is not valid Unicode text (UTF-8)")


def _is_native(dtype: pa.DataType) -> bool:
    """Whether polars has a type that holds the same values."""
    types = pa.types
    return any(
        test(dtype)
        for test in (
            types.is_null, types.is_boolean, types.is_integer, types.is_floating,
            types.is_binary, types.is_large_binary, types.is_binary_view,
            types.is_fixed_size_binary, types.is_date, types.is_time, types.is_duration,
        )
    )  # fmt: skip


def _has_unsupported(dtype: pa.DataType) -> bool:
    """Whether some type within a nested one has no Python value of its own."""
    if isinstance(dtype, pa.BaseExtensionType):
        return dtype.extension_name not in ("arrow.uuid", "arrow.bool8")
    if pa.types.is_interval(dtype):
        return True
    if pa.types.is_dictionary(dtype):
        return _has_unsupported(dtype.value_type)
    return any(_has_unsupported(dtype.field(n).type) for n in range(dtype.num_fields))


def _from_extension(array: pa.ExtensionArray) -> pl.Series | Objects:
    match array.type.extension_name:
        case "arrow.uuid":
            return list(array.to_pylist())
        case "arrow.json":
            return from_arrow(array.storage)
        case "arrow.bool8":
            return from_arrow(array.cast(pa.bool_()))
        case name:
            return _unsupported(array, name)


def _unsupported(array: pa.Array, type_name: str) -> Objects:
    cell = UnsupportedValue(type_name)
    return [cell if valid else None for valid in array.is_valid().to_pylist()]


def _from_timestamps(array: pa.TimestampArray) -> pl.Series:
    """Return timestamps of any zone, which Arrow counts in UTC; seconds become milliseconds."""
    zone = None if array.type.tz is None else "UTC"
    ticks = pl.Series("", pl.from_arrow(array.cast(pa.int64())))
    unit = array.type.unit
    if unit == "s":
        # Clipped, since the product could come out within the years that are accepted.
        ticks, unit = ticks.clip(-_FAR_SECONDS, _FAR_SECONDS) * 1000, "ms"
    return ticks.cast(pl.Datetime(unit, zone))


def _from_decimals(array: pa.Array) -> pl.Series | Objects:
    dtype = array.type
    if not 0 <= dtype.scale <= min(dtype.precision, 38):
        return list(array.to_pylist())
    try:
        array.validate(full=True)  # DuckDB sends more digits than it declares
        if pa.types.is_decimal256(dtype):
            array = array.cast(pa.decimal128(38, dtype.scale))
    except pa.ArrowInvalid:  # digits beyond the 38 that polars has
        return list(array.to_pylist())
    return _from_native(array)


def _from_native(array: pa.Array) -> pl.Series:
    return pl.Series("", pl.from_arrow(array))


def python_objects(array: pa.Array) -> Objects:
    """Return the cells of a nested Arrow array as Python objects.

    A map with a repeated key, or a timestamp outside Python's years, stays a cell that is rejected.
    """
    try:
        return list(array.to_pylist(maps_as_pydicts="strict"))
    except (KeyError, ValueError, OverflowError, pa.ArrowException):
        return [_python_object(scalar) for scalar in array]


def _python_object(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py(maps_as_pydicts="strict")
    except KeyError:
        return UnsupportedValue(str(scalar.type), "has a repeated key")
    except (ValueError, OverflowError, pa.ArrowException):
        return UnsupportedValue(str(scalar.type), "has a value that Python cannot represent")


_CONVERSIONS: tuple[
    tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pl.Series | Objects]], ...
] = (
    (_is_text, _from_texts),
    (_is_native, _from_native),
    (pa.types.is_timestamp, _from_timestamps),
    (pa.types.is_decimal, _from_decimals),
    (pa.types.is_dictionary, lambda array: from_arrow(array.dictionary_decode())),
    (pa.types.is_run_end_encoded, lambda array: from_arrow(pc.run_end_decode(array))),
    (lambda dtype: pa.types.is_nested(dtype) and not _has_unsupported(dtype), python_objects),
)

# -- polars -----------------------------------------------------------------------------------


def from_polars(series: pl.Series) -> pl.Series | Objects:
    """Return the cells of a polars series; extension types become what they mean."""
    dtype = series.dtype
    if dtype == pl.Object:
        return series.to_list()
    if not dtype.is_extension():
        return series
    name = dtype.ext_name()  # type: ignore[attr-defined]  # an extension type has it
    if name == "arrow.json":
        return series.ext.storage()
    if name == "arrow.bool8":
        return series.ext.storage() != 0
    cell = UnsupportedValue(name)
    return [cell if valid else None for valid in series.is_not_null()]


# -- pandas -----------------------------------------------------------------------------------


def from_pandas(series: pd.Series[Any]) -> pl.Series | Objects:
    """Return the cells of a pandas column; its index does not matter.

    NumPy floats can represent "missing" only as NaN: there, and in object columns, NaN is read as
    NULL, as pandas does.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype) and any(
        type(category) is not str for category in dtype.categories
    ):
        return from_list(series.tolist())
    if isinstance(dtype, pd.SparseDtype):
        return from_pandas(pd.Series(series.to_numpy(), dtype=dtype.subtype))
    if isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype)) or pd.api.types.is_object_dtype(dtype):
        return from_list(series.tolist())
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        # Numbers out of any Arrow type, texts that are not Unicode, types of other packages.
        return series.tolist()
    return from_arrow(array)


# -- Python -----------------------------------------------------------------------------------


def from_list(values: list[Any]) -> pl.Series | Objects:
    """Return Python objects as a series if they are all of one exact type, else as they are.

    Arrow itself would unify types: a timestamp becomes a date, an integer a double, all dicts one
    record.
    """
    types = {type(value) for value in values} - _MISSING
    if len(types) != 1:
        return values if types else pl.Series("", [None] * len(values), dtype=pl.Null)
    (common_type,) = types
    if common_type not in _EXACT_TYPES:
        return values
    if common_type is dt.datetime and len(_time_zones(values)) > 1:
        return values
    try:
        # Like pandas, Arrow would read a decimal NaN as missing.
        array = pa.array(values, from_pandas=common_type is not Decimal)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        # Numbers out of any Arrow type, texts that are not Unicode.
        return values
    return from_arrow(array)


def _time_zones(values: Iterable[Any]) -> set[Hashable]:
    """Return the time zones of timestamps; dateutil's cannot be hashed, so their ids count."""
    zones = (value.tzinfo for value in values if type(value) not in _MISSING)
    return {zone if isinstance(zone, Hashable) else id(zone) for zone in zones}
