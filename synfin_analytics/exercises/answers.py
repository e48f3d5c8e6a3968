"""An answer as it is, whatever object it came in: numbers, texts, lists, dicts and frames.

What a student hands in may be of NumPy, pandas, polars or pyarrow. Checks see one plain form of
it, which also goes from one process to another without running code of the answer.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Name of the values of a series that has none.
VALUES = "values"
#: Bytes of a file that is read back.
_LARGEST = 50_000_000
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
        return framed
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
        try:
            given.write_ipc(folder / f"{name}.arrow", compat_level=pl.CompatLevel.oldest())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # of Python's objects
            given = Unknown("table of objects")
    if isinstance(given, pl.DataFrame):
        given = {"kind": "frame"}
    else:
        given = {"kind": "value", "value": _told(given)}
    # At the end and in one step: a file that is there is whole.
    part = folder / f"{name}.part"
    part.write_text(json.dumps(given), encoding="utf-8")
    part.replace(folder / f"{name}.json")


def load(folder: Path, name: str) -> Any:
    """Read an answer that :func:`save` wrote; nothing in it is run.

    Raises
    ------
    ArgumentError
        The files are none of ours, or too large.
    """
    files = [folder / f"{name}.json", folder / f"{name}.arrow"]
    for status in (file.lstat() for file in files if file.exists() or file.is_symlink()):
        if not stat.S_ISREG(status.st_mode):  # a link, or a pipe that never ends
            raise ArgumentError("The answer cannot be read.")
        if status.st_size > _LARGEST:
            raise ArgumentError("The answer is too large to be read.")
    try:
        given = json.loads(files[0].read_text(encoding="utf-8"))
        if given["kind"] == "frame":
            return pl.read_ipc(files[1].read_bytes())
        return _read(given["value"])
    except (
        *(OSError, ValueError, KeyError, TypeError, RecursionError),
        *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    ):
        raise ArgumentError("The answer cannot be read.") from None


def _told(given: Any) -> Any:
    if isinstance(given, dict):
        return {"dict": [[key, _told(value)] for key, value in given.items()]}
    if isinstance(given, list):
        return {"list": [_told(value) for value in given]}
    if isinstance(given, pl.DataFrame):
        return _told({name: plain(given[name].to_list()) for name in given.columns})
    if isinstance(given, dt.datetime):
        return {"time": given.isoformat()}
    if isinstance(given, Unknown):
        return {"unknown": given.kind}
    if isinstance(given, float) and not math.isfinite(given):
        return {"float": str(given)}
    return given


def _read(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    ((kind, value),) = told.items()
    if kind == "dict":
        return {str(key): _read(one) for key, one in value}
    if kind == "list":
        return [_read(one) for one in value]
    if kind == "time":
        return dt.datetime.fromisoformat(value)
    if kind == "unknown":
        return Unknown(str(value))
    if kind != "float":
        raise ValueError(kind)
    return float(value)
