"""The outcome of validating a column, and what the kinds of columns have in common."""

from __future__ import annotations

import dataclasses
import datetime as dt
import numbers
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics._core.validation.columns import UnsupportedValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from synfin_analytics._core.validation.spec import ColumnSpec, Kind

#: What a column of each kind holds.
KIND_NAMES: dict[Kind, str] = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "decimal": "a number",
    "boolean": "true or false",
    "timestamp": "a date and time",
    "date": "a date",
    "json": "JSON",
}

_POLARS_TYPE_NAMES: dict[type[pl.DataType], str] = {
    pl.String: "text",
    pl.Categorical: "text",
    pl.Enum: "text",
    pl.Boolean: "a boolean",
    pl.Float16: "a number with decimals",
    pl.Float32: "a number with decimals",
    pl.Float64: "a number with decimals",
    pl.Decimal: "a number with decimals",
    pl.Date: "a date",
    pl.Datetime: "a date and time",
    pl.Time: "a time of day",
    pl.Duration: "a duration",
    pl.Binary: "binary data",
    pl.List: "a list",
    pl.Array: "a list",
    pl.Struct: "a record",
    pl.Map: "a record",
}
_PYTHON_TYPE_NAMES: dict[type, str] = {
    str: "text",
    bytes: "binary data",
    bool: "a boolean",
    int: "a whole number",
    float: "a number with decimals",
    Decimal: "a number with decimals",
    list: "a list",
    dict: "a record",
    dt.datetime: "a date and time",
    dt.date: "a date",
    dt.time: "a time of day",
    dt.timedelta: "a duration",
}

#: Types of polars that hold text.
TEXT_TYPES = (pl.String, pl.Categorical, pl.Enum)


@dataclasses.dataclass
class ValidatedColumn:
    """A column in the type of the table; an invalid cell has become NULL."""

    cells: pl.Series
    #: Masks of the invalid cells, each with a reason; no cell is in two of them.
    errors: list[tuple[pl.Series, str]] = dataclasses.field(default_factory=list)

    @classmethod
    def build(
        cls, cells: pl.Series, errors: Iterable[tuple[pl.Series, str]] = ()
    ) -> ValidatedColumn:
        """Reject some of ``cells`` for each mask and its reason."""
        column = cls(cells)
        for mask, reason in errors:
            column.reject(mask, reason)
        return column

    def reject(self, mask: pl.Series, reason: str) -> None:
        """Reject the cells under ``mask``; NULL in the mask means valid."""
        mask = mask.fill_null(False)
        if mask.any():
            self.errors.append((mask, reason))
            self.cells = self.cells.set(mask, None)


class InvalidCellError(Exception):
    """Why a single cell is invalid."""


def validate_objects(
    values: Sequence[Any],
    spec: ColumnSpec,
    convert_cell: Callable[[Any, ColumnSpec], Any],
) -> ValidatedColumn:
    """Convert Python objects one by one: the way for columns whose cells have no common type."""
    converted: list[Any] = []
    masks: dict[str, list[bool]] = {}
    for position, value in enumerate(values):
        try:
            converted.append(None if is_missing(value) else convert_cell(value, spec))
        except InvalidCellError as error:
            converted.append(None)
            masks.setdefault(str(error), [False] * len(values))[position] = True
    return ValidatedColumn(
        pl.Series(spec.name, converted, dtype=spec.dtype, strict=True),
        [(pl.Series(mask, dtype=pl.Boolean), reason) for reason, mask in masks.items()],
    )


def is_missing(value: object) -> bool:
    """Whether a Python object means NULL: None, pandas' NA and NaT, a NaN among objects."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))


def is_integer(value: Any) -> bool:
    """Whether a Python or NumPy scalar is of an integer type; a boolean is not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def wrong_type(value: object, spec: ColumnSpec) -> InvalidCellError:
    """Build the error for a cell of a type that the column does not accept."""
    if isinstance(value, UnsupportedValue):
        if value.reason:
            return InvalidCellError(value.reason)
        name = f"of type {value.type_name}"
    else:
        name = _PYTHON_TYPE_NAMES.get(type(value), f"of type {type(value).__name__}")
    return InvalidCellError(f"is {name}, not {KIND_NAMES[spec.kind]}")


def reject_all(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Reject every cell of a column whose type the table's column does not accept."""
    validated = ValidatedColumn(pl.Series(column.name, [None] * len(column), dtype=spec.dtype))
    fallback = "a whole number" if column.dtype.is_integer() else str(column.dtype)
    name = _POLARS_TYPE_NAMES.get(column.dtype.base_type(), fallback)
    validated.reject(column.is_not_null(), f"is {name}, not {KIND_NAMES[spec.kind]}")
    return validated
