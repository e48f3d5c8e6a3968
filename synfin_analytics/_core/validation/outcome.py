"""The outcome of validation: a column in the type of its table, and the cells that are invalid."""

from __future__ import annotations

import dataclasses
import datetime as dt
import numbers
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics._core.validation.columns import UnsupportedValue, python_objects
from synfin_analytics.exceptions import Problem

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

#: Types of Python and of polars, by name.
_TYPES_BY_NAME: dict[str, tuple[type, ...]] = {
    "text": (str, pl.String, pl.Categorical, pl.Enum),
    "a boolean": (bool, pl.Boolean),
    "a whole number": (int,),
    "a number with decimals": (float, Decimal, pl.Float16, pl.Float32, pl.Float64, pl.Decimal),
    "a date": (dt.date, pl.Date),
    "a date and time": (dt.datetime, pl.Datetime),
    "a time of day": (dt.time, pl.Time),
    "a duration": (dt.timedelta, pl.Duration),
    "binary data": (bytes, pl.Binary),
    "a list": (list, pl.List, pl.Array),
    "a record": (dict, pl.Struct, pl.Map),
}
_TYPE_NAMES = {type_: name for name, types in _TYPES_BY_NAME.items() for type_ in types}

#: Types of polars that hold text.
TEXT_TYPES = (pl.String, pl.Categorical, pl.Enum)


@dataclasses.dataclass
class ValidatedColumn:
    """A column in the type of the table; an invalid cell has become NULL."""

    cells: pl.Series
    #: Masks of the invalid cells, each with a reason; no cell is in two of them.
    errors: list[tuple[pl.Series, str]] = dataclasses.field(default_factory=list)

    def reject(self, mask: pl.Series, reason: str) -> Self:
        """Reject the cells under ``mask``, and return the column; NULL in the mask means valid."""
        mask = mask.fill_null(False)
        if mask.any():
            self.errors.append((mask, reason))
            self.cells = self.cells.set(mask, None)
        return self


class InvalidCellError(Exception):
    """Why a single cell is invalid."""


def validate_objects(
    values: Sequence[Any], spec: ColumnSpec, convert_cell: Callable[[Any, ColumnSpec], Any]
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
        name = _TYPE_NAMES.get(type(value), f"of type {type(value).__name__}")
    return InvalidCellError(f"is {name}, not {KIND_NAMES[spec.kind]}")


def reject_all(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Reject every cell of a column whose type the table's column does not accept."""
    nulls = pl.Series(column.name, [None] * len(column), dtype=spec.dtype)
    fallback = "a whole number" if column.dtype.is_integer() else str(column.dtype)
    name = _TYPE_NAMES.get(column.dtype.base_type(), fallback)
    reason = f"is {name}, not {KIND_NAMES[spec.kind]}"
    return ValidatedColumn(nulls).reject(column.is_not_null(), reason)


# -- Invalid cells -------------------------------------------------------------------------------

HIDDEN = "(personal data, not shown)"
MAX_SAMPLES = 3
#: Values outside a closed set that a message names.
MAX_SAMPLES_OF_SET = 10
MAX_SAMPLE_LENGTH = 40


@dataclasses.dataclass(frozen=True)
class CellErrors:
    """Cells of one column in one batch that are invalid for the same reason."""

    column: str
    reason: str
    #: Positions in the source, ascending.
    rows: pl.Series
    #: The cells as text, as long as ``rows``.
    values: pl.Series
    #: A few distinct values as a message shows them, texts in quotes; none of personal data.
    samples: tuple[str, ...]
    #: The values are texts outside a closed set: a message names all of them, or many.
    closed_set: bool = False

    @classmethod
    def of_cells(
        cls,
        column: str,
        reason: str,
        rows: pl.Series,
        cells: pl.Series | Sequence[Any],
        *,
        personal: bool,
        closed_set: bool = False,
    ) -> CellErrors:
        """Describe the ``cells`` of ``column`` at ``rows`` (of the source), which are invalid."""
        rows = rows.cast(pl.Int64)
        if personal:
            hidden = pl.repeat(HIDDEN, len(rows), dtype=pl.String, eager=True)
            return cls(column, reason, rows, hidden, ())
        values = to_text(cells)
        if closed_set:
            samples = tuple(map(repr, values.unique(maintain_order=True)))
        else:
            samples = tuple(_shorten(cell, quoted=True) for cell in printable(cells[:MAX_SAMPLES]))
        return cls(column, reason, rows, values, samples, closed_set)


def rejected_cells(errors: Iterable[CellErrors]) -> pl.DataFrame:
    """Return one row per invalid cell, by row number: row, column, value, reason."""
    frames = [
        pl.DataFrame({"row": error.rows, "value": error.values}).select(  # noqa: PD011
            "row",
            pl.lit(error.column).alias("column"),
            "value",
            pl.lit(error.reason).alias("reason"),
        )
        for error in errors
    ]
    schema = {"row": pl.Int64, "column": pl.String, "value": pl.String, "reason": pl.String}
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("row", maintain_order=True)


def summarize(errors: Iterable[CellErrors]) -> list[Problem]:
    """Join the errors of all batches by column and reason."""
    groups: dict[tuple[str, str], list[CellErrors]] = {}
    for error in errors:
        groups.setdefault((error.column, error.reason), []).append(error)
    problems = []
    for (column, reason), group in groups.items():
        rows = pl.concat([error.rows for error in group])
        samples = tuple(dict.fromkeys(sample for error in group for sample in error.samples))
        closed_set = group[0].closed_set
        n_shown = MAX_SAMPLES_OF_SET if closed_set else MAX_SAMPLES
        n_others = max(len(samples) - n_shown, 0) if closed_set else 0
        problems.append(
            Problem(column, reason, len(rows), tuple(rows), samples[:n_shown], n_others)
        )
    return problems


def to_text(cells: pl.Series | Sequence[Any]) -> pl.Series:
    """Return cells as short texts to print anywhere: no control characters, no surrogates."""
    if isinstance(cells, pl.Series) and cells.dtype.is_numeric():
        return cells.cast(pl.String).fill_null("NULL")
    return pl.Series([_shorten(cell) for cell in printable(cells)], dtype=pl.String)


def printable(cells: pl.Series | Sequence[Any]) -> Iterable[Any]:
    """Return cells that Python can print: not every timestamp of polars is one of Python's."""
    if not isinstance(cells, pl.Series):
        return cells
    dtype = cells.dtype
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        unit = "D" if isinstance(dtype, pl.Date) else dtype.time_unit
        ticks = cells.to_physical().cast(pl.Int64).fill_null(0).to_numpy()
        texts = np.datetime_as_string(ticks.view(f"datetime64[{unit}]"))
        offset = "+00:00" if getattr(dtype, "time_zone", None) else ""
        return [
            None if missing else _Unquoted(_format_timestamp(text) + offset)
            for text, missing in zip(texts, cells.is_null(), strict=True)
        ]
    if dtype.is_nested() or isinstance(dtype, pl.Duration):
        return python_objects(cells.to_arrow())
    return cells


class _Unquoted(str):
    """A cell that is shown as a text, but is not one."""

    __slots__ = ()


def _format_timestamp(text: str) -> str:
    if text == "NaT":  # the lowest number of all
        return "-infinity"
    seconds, point, fraction = text.replace("T", " ").partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}{point}{fraction}" if fraction else seconds


def _shorten(cell: Any, *, quoted: bool = False) -> str:
    if cell is None:
        return "NULL"
    try:
        is_text = isinstance(cell, str) and not isinstance(cell, _Unquoted)
        text = repr(cell) if quoted and is_text else str(cell)
    # Integers of thousands of digits, deep lists and classes of the user may raise anything.
    except Exception:  # noqa: BLE001  # the message names the type instead
        text = f"<{type(cell).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= MAX_SAMPLE_LENGTH else text[: MAX_SAMPLE_LENGTH - 1] + "…"
