"""An answer as it is, whatever object it came in: numbers, texts, lists, dicts and frames.

What a student hands in may be of NumPy, pandas, polars or pyarrow. Checks see one plain form of
it, which also goes from one process to another without running code of the answer.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Name of the values of a series that has none.
VALUES = "values"
#: Suffixes of the two files of an answer.
VALUE, TABLE = ".json", ".arrow"
_WIDEST = 2**1000
#: Kinds of arrays whose values are plain as they are: truth values, whole numbers, floats.
_PLAIN = "biuf"
_DEEPEST = 8


@dataclass(frozen=True)
class Unknown:
    """An answer that is neither number, text, list, dict nor frame."""

    kind: str


def plain(answer: Any) -> Any:
    """Turn an answer into None, bool, int, float, str, datetime, list, dict or a polars frame.

    What is nothing of that kind becomes :class:`Unknown`; nothing is raised.

    Examples
    --------
    >>> plain(np.float64(0.25)), plain((1, np.int64(2))), plain(...)
    (0.25, [1, 2], None)
    >>> plain(print)
    Unknown(kind='builtin_function_or_method')
    """
    try:
        return _plain(answer, 0)
    except Exception:  # noqa: BLE001  # an answer may be any object, and fail at any touch
        return Unknown(type(answer).__name__)


def _plain(answer: Any, depth: int) -> Any:
    if answer is None or answer is Ellipsis or depth > _DEEPEST:
        return None
    for kinds, made in _SCALARS:
        if isinstance(answer, kinds):
            return made(answer)
    if isinstance(answer, np.ndarray):
        values = answer.tolist()
        return values if answer.dtype.kind in _PLAIN else _plain(values, depth)
    held = _held(answer, depth + 1)
    if held is not None:
        return held
    framed = _frame(answer)
    if framed is not None:
        # In a list or dict a table is a dict of its columns.
        return _flat(framed) if depth == 0 else _plain(framed.to_dict(as_series=False), depth + 1)
    if hasattr(answer, "__float__"):  # also Decimal, and a Threshold
        return float(answer)
    return Unknown(type(answer).__name__)


def _held(answer: Any, depth: int) -> dict[str, Any] | list[Any] | None:
    if callable(named := getattr(answer, "_asdict", None)):  # of a named tuple
        answer = dict(named())
    if isinstance(answer, dict):
        return {_key(key): _plain(value, depth) for key, value in answer.items()}
    if isinstance(answer, set | frozenset):
        answer = sorted(answer, key=str)
    return [_plain(value, depth) for value in answer] if isinstance(answer, list | tuple) else None


def _whole(number: int) -> int | float:
    """Keep a whole number, unless no float reaches as far: checks compute with floats."""
    if abs(number) < _WIDEST:
        return number
    return math.inf if number > 0 else -math.inf


def _key(key: Any) -> str:
    plain_key = _plain(key, 1)
    return plain_key.date().isoformat() if isinstance(plain_key, dt.datetime) else str(plain_key)


def _moment(answer: Any) -> dt.datetime | None:
    moment = pl.Series([answer]).cast(pl.Datetime("us")).item()
    return moment if isinstance(moment, dt.datetime) else None


#: In this order: true and false are whole numbers to Python, and a moment is a date.
_SCALARS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (bool | np.bool_, bool),
    (int | np.integer, lambda answer: _whole(int(answer))),
    (str, str),
    (dt.datetime | dt.date | np.datetime64, _moment),
)


def _frame(answer: Any) -> pl.DataFrame | None:
    """Frames and series of any library; the index of pandas becomes columns if it has names."""
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


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Empty the columns whose cells are lists, structs or Python's objects: none is asked for."""
    nested = [
        name
        for name, kind in frame.schema.items()
        if kind.is_nested() or kind in (pl.Object, pl.Unknown)
    ]
    return frame.with_columns(pl.lit(None, pl.Null).alias(name) for name in nested)


def only_value(answer: Any) -> Any:
    """Take the number, or text, out of a list or frame that holds nothing else."""
    while True:
        if isinstance(answer, pl.DataFrame) and answer.shape == (1, 1):
            answer = plain(answer.item())
        elif isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        elif isinstance(answer, dict) and len(answer) == 1:
            answer = next(iter(answer.values()))
        else:
            return answer


# -- From one process to another -------------------------------------------------------------------


def save(answer: Any, folder: Path, name: str) -> None:
    """Write the plain form of an answer to files: JSON, and Arrow for a frame."""
    given = plain(answer)
    if isinstance(given, pl.DataFrame):
        given.write_ipc(folder / f"{name}{TABLE}", compat_level=pl.CompatLevel.oldest())
        content = {"kind": "frame"}
    else:
        content = {"kind": "value", "value": _encoded(given)}
    # At the end and in one step: a file that is there is complete.
    part = folder / f"{name}.part"
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(folder / f"{name}{VALUE}")


def _encoded(given: Any) -> Any:
    if isinstance(given, dict):
        return {"dict": [[key, _encoded(value)] for key, value in given.items()]}
    if isinstance(given, list):
        return {"list": [_encoded(value) for value in given]}
    if isinstance(given, dt.datetime):
        return {"time": given.isoformat()}
    if isinstance(given, Unknown):
        return {"unknown": given.kind}
    if isinstance(given, float) and not math.isfinite(given):
        return {"float": str(given)}
    return given
