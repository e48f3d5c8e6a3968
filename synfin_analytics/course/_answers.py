"""Convert an answer of any type to one plain form: numbers, strings, lists, dicts and tables.

Students submit objects of NumPy, pandas, polars or pyarrow. Graders see one plain form of them,
which can also be sent from one process to another without running code of the answer.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

#: Name of the values of a series that has none.
VALUES = "values"
_LARGEST_INTEGER = 2**1000
#: Kinds of NumPy arrays whose elements are plain: booleans, integers, floats.
_PLAIN_KINDS = "biuf"
_MAX_DEPTH = 8


@dataclass(frozen=True)
class UnsupportedAnswer:
    """An answer that is not a number, string, list, dict or table."""

    type_name: str


#: An answer in plain form. Lists and dicts contain plain answers, but no tables.
PlainAnswer: TypeAlias = (
    bool
    | int
    | float
    | str
    | dt.datetime
    | list[Any]
    | dict[str, Any]
    | pl.DataFrame
    | UnsupportedAnswer
    | None
)


def to_plain(answer: object) -> PlainAnswer:
    """Convert an answer to plain form; never raises.

    Returns
    -------
    PlainAnswer
        :class:`UnsupportedAnswer` for an object that has no plain form.

    Examples
    --------
    >>> to_plain(np.float64(0.25)), to_plain((1, np.int64(2))), to_plain(...)
    (0.25, [1, 2], None)
    >>> to_plain(print)
    UnsupportedAnswer(type_name='builtin_function_or_method')
    """
    try:
        return _to_plain(answer, 0)
    except Exception:  # noqa: BLE001  # an answer may be any object, and fail on any access
        return UnsupportedAnswer(type(answer).__name__)


def _to_plain(answer: Any, depth: int) -> PlainAnswer:
    if answer is None or answer is Ellipsis or depth > _MAX_DEPTH:
        return None
    for types, convert in _SCALARS:
        if isinstance(answer, types):
            return convert(answer)
    if isinstance(answer, np.ndarray):
        values: PlainAnswer = answer.tolist()
        return values if answer.dtype.kind in _PLAIN_KINDS else _to_plain(values, depth)
    container = _container(answer, depth + 1)
    if container is not None:
        return container
    table = _table(answer)
    if table is not None:
        # Within a list or dict, a table becomes a dict of its columns.
        if depth == 0:
            return _without_nested(table)
        return _to_plain(table.to_dict(as_series=False), depth + 1)
    if hasattr(answer, "__float__"):  # Decimal or Threshold, for example
        return float(answer)
    return UnsupportedAnswer(type(answer).__name__)


def _container(answer: Any, depth: int) -> dict[str, Any] | list[Any] | None:
    if callable(as_dict := getattr(answer, "_asdict", None)):  # a named tuple
        answer = dict(as_dict())
    if isinstance(answer, dict):
        return {_key(key): _to_plain(value, depth) for key, value in answer.items()}
    if isinstance(answer, set | frozenset):
        answer = sorted(answer, key=str)
    if isinstance(answer, list | tuple):
        return [_to_plain(value, depth) for value in answer]
    return None


def _integer(number: int) -> int | float:
    """Return an integer; infinity if it is too large for a float, with which graders compute."""
    if abs(number) < _LARGEST_INTEGER:
        return number
    return math.inf if number > 0 else -math.inf


def _key(key: object) -> str:
    plain_key = _to_plain(key, 1)
    return plain_key.date().isoformat() if isinstance(plain_key, dt.datetime) else str(plain_key)


def _timestamp(answer: object) -> dt.datetime | None:
    timestamp = pl.Series([answer]).cast(pl.Datetime("us")).item()
    return timestamp if isinstance(timestamp, dt.datetime) else None


#: The order matters: a bool is an int, and a datetime is a date.
_SCALARS: tuple[tuple[Any, Callable[[Any], PlainAnswer]], ...] = (
    (bool | np.bool_, bool),
    (int | np.integer, lambda answer: _integer(int(answer))),
    (str, str),
    (dt.datetime | dt.date | np.datetime64, _timestamp),
)


def _table(answer: Any) -> pl.DataFrame | None:
    """Convert a DataFrame or series of any library; a named pandas index becomes columns."""
    if isinstance(answer, pl.LazyFrame):
        return answer.collect()
    if isinstance(answer, pl.DataFrame):
        return answer
    if isinstance(answer, pl.Series):
        return answer.to_frame(answer.name or VALUES)
    import pandas as pd

    if isinstance(answer, pd.Index):
        answer = answer.to_series().reset_index(drop=True)
    if isinstance(answer, pd.Series):
        answer = answer.to_frame(answer.name if answer.name is not None else VALUES)
    if isinstance(answer, pd.DataFrame):
        if any(name is not None for name in answer.index.names):
            answer = answer.reset_index()
        answer = pl.from_pandas(answer.set_axis([str(name) for name in answer.columns], axis=1))
    return pl.DataFrame(answer) if hasattr(answer, "__arrow_c_stream__") else None


def _without_nested(table: pl.DataFrame) -> pl.DataFrame:
    """Set columns of lists, structs or Python objects to null; no exercise asks for them."""
    nested = [
        name
        for name, dtype in table.schema.items()
        if dtype.is_nested() or dtype in (pl.Object, pl.Unknown)
    ]
    return table.with_columns(pl.lit(None, pl.Null).alias(name) for name in nested)


def single_value(answer: PlainAnswer) -> PlainAnswer:
    """Extract the only element of a list, dict or table; return other answers unchanged.

    Examples
    --------
    >>> single_value([[5]]), single_value({"rate": 0.5}), single_value([1, 2])
    (5, 0.5, [1, 2])
    """
    while True:
        if isinstance(answer, pl.DataFrame) and answer.shape == (1, 1):
            answer = to_plain(answer.item())
        elif isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        elif isinstance(answer, dict) and len(answer) == 1:
            answer = next(iter(answer.values()))
        else:
            return answer
