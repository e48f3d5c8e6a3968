"""Answers: convert one of any type to a plain form, store it in files, and load it again.

Students submit objects of NumPy, pandas, polars or pyarrow. Graders see one plain form of them:
numbers, strings, lists, dicts and tables. Files bring it from the process of a notebook to that of
the graders. A notebook may forge these files, so loading them runs no code of an answer. Another
process with little memory and time decodes the tables, because a file of a few kilobytes may expand
to gigabytes: ``python -m synfin_analytics.course._answers FOLDER NAME…`` writes each table to its
standard output, preceded by its length, as uncompressed Arrow: the received size is the size in
memory.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import math
import os
import stat
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
import psutil

from synfin_analytics.course import _sandbox
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Name of the values of a series that has none.
VALUES = "values"
_LARGEST_INTEGER = 2**1000
#: Kinds of NumPy arrays whose elements are plain: booleans, integers, floats.
_PLAIN_KINDS = "biuf"
_MAX_DEPTH = 8
UNREADABLE = "The answer cannot be read."
TOO_LARGE = "The answer is too large."
#: Suffixes of the two files of an answer.
VALUE, TABLE = ".json", ".arrow"
#: Maximum bytes of a value: as Python objects it takes about thirty times as much.
MAX_VALUE_BYTES = 5_000_000
#: Maximum bytes of a table, in its file and decoded, and maximum rows.
MAX_TABLE_BYTES, MAX_TABLE_ROWS = 50_000_000, 1_000_000
#: Bytes that decoding may take, and seconds for all tables of a notebook.
DECODER_MEMORY, DECODER_SECONDS = 500_000_000, 60
_LENGTH = struct.Struct(">q")
#: Sent in place of the length of a table that cannot be read, or is too large.
_UNREADABLE, _TOO_LARGE = -1, -2
_POLL_SECONDS = 0.02


# -- Plain form ------------------------------------------------------------------------------------


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


# -- Save ------------------------------------------------------------------------------------------


def save_answer(answer: object, folder: Path, name: str) -> None:
    """Write the plain form of an answer to files: JSON, and Arrow for a table."""
    plain = to_plain(answer)
    if isinstance(plain, pl.DataFrame):
        plain.write_ipc(folder / f"{name}{TABLE}", compat_level=pl.CompatLevel.oldest())
        content = {"kind": "frame"}
    else:
        content = {"kind": "value", "value": _encode(plain)}
    # Renamed at the end: an existing file is complete.
    partial = folder / f"{name}.part"
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(folder / f"{name}{VALUE}")


def _encode(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {"dict": [[key, _encode(value)] for key, value in plain.items()]}
    if isinstance(plain, list):
        return {"list": [_encode(value) for value in plain]}
    if isinstance(plain, dt.datetime):
        return {"time": plain.isoformat()}
    if isinstance(plain, UnsupportedAnswer):
        return {"unknown": plain.type_name}
    if isinstance(plain, float) and not math.isfinite(plain):
        return {"float": str(plain)}
    return plain


# -- Load ------------------------------------------------------------------------------------------


def load_answers(folder: Path, names: Sequence[str]) -> dict[str, PlainAnswer | ArgumentError]:
    """Load answers that :func:`save_answer` wrote; no code of an answer runs.

    Returns
    -------
    dict
        The answers that exist, by name; an :class:`~synfin_analytics.exceptions.ArgumentError` in
        place of each that cannot be read.
    """
    answers: dict[str, PlainAnswer | ArgumentError] = {}
    tables = []
    for name in names:
        if not os.path.lexists(folder / f"{name}{VALUE}"):
            continue
        try:
            content = json.loads(_read_bytes(folder / f"{name}{VALUE}", MAX_VALUE_BYTES))
            if content["kind"] == "frame":
                tables.append(name)
            else:
                answers[name] = _decode(content["value"])
        except ArgumentError as error:
            answers[name] = error
        except (ValueError, KeyError, TypeError, RecursionError):
            answers[name] = ArgumentError(UNREADABLE)
    if tables:
        answers |= _load_tables(folder, tables)
    return answers


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file that the notebook may have created itself.

    Raises
    ------
    ArgumentError
        It is too large or not a regular file, such as a link or a pipe that never ends.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ArgumentError(UNREADABLE)
        if status.st_size > max_bytes:
            raise ArgumentError(TOO_LARGE)
        return path.read_bytes()
    except OSError:
        raise ArgumentError(UNREADABLE) from None


def _decode(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    ((kind, value),) = content.items()
    if kind == "dict":
        return {str(key): _decode(item) for key, item in value}
    if kind == "list":
        return [_decode(item) for item in value]
    if kind == "time":
        return dt.datetime.fromisoformat(value)
    if kind == "unknown":
        return UnsupportedAnswer(str(value))
    if kind != "float":
        raise ValueError(kind)
    return float(value)


# -- Load tables, in a separate process ------------------------------------------------------------


def _load_tables(folder: Path, names: Sequence[str]) -> dict[str, pl.DataFrame | ArgumentError]:
    """Load tables by name; an :class:`ArgumentError` in place of each that cannot be read.

    A table that ends the process affects no other table.
    """
    answers: dict[str, pl.DataFrame | ArgumentError] = {}
    remaining = list(names)
    while remaining:
        answers |= dict(zip(remaining, _run_decoder(folder, remaining), strict=False))
        remaining = [name for name in remaining if name not in answers]
        if remaining:  # the process ended at this table
            answers[remaining.pop(0)] = ArgumentError(TOO_LARGE)
    return answers


def _run_decoder(folder: Path, names: Sequence[str]) -> list[pl.DataFrame | ArgumentError]:
    command = [sys.executable, "-P", "-m", __name__, str(folder), *names]
    answers: list[pl.DataFrame | ArgumentError] = []
    with subprocess.Popen(
        command,
        env=_sandbox.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = threading.Timer(DECODER_SECONDS, process.kill)
        deadline.start()
        try:
            for _ in names:
                answer = _receive(process.stdout)
                if answer is None:
                    break
                answers.append(answer)
        finally:
            deadline.cancel()
            process.kill()
    return answers


def _receive(stream: IO[bytes] | None) -> pl.DataFrame | ArgumentError | None:
    """Receive a table, or the error in place of it; None at the end of the stream."""
    if stream is None or len(head := stream.read(_LENGTH.size)) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length == _UNREADABLE:
        return ArgumentError(UNREADABLE)
    if length == _TOO_LARGE:
        return ArgumentError(TOO_LARGE)
    content = stream.read(length)
    return pl.read_ipc(content) if len(content) == length else None


def main(folder: Path, names: Sequence[str]) -> None:
    """Decode tables one after the other, in the separate process."""
    _limit_memory()
    for name in names:
        content = _uncompressed(folder / f"{name}{TABLE}")
        if isinstance(content, int):
            sys.stdout.buffer.write(_LENGTH.pack(content))
        else:
            sys.stdout.buffer.write(_LENGTH.pack(len(content)))
            sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _uncompressed(path: Path) -> bytes | int:
    """Return the table as uncompressed Arrow, or the code that is sent in place of its length."""
    try:
        table = pl.read_ipc(_read_bytes(path, MAX_TABLE_BYTES))
        if table.height > MAX_TABLE_ROWS or table.estimated_size() > MAX_TABLE_BYTES:
            return _TOO_LARGE
        content = io.BytesIO()
        table.write_ipc(content, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
    except ArgumentError as error:
        return _TOO_LARGE if str(error) == TOO_LARGE else _UNREADABLE
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):
        return _UNREADABLE
    return content.getvalue() if content.tell() <= 2 * MAX_TABLE_BYTES else _TOO_LARGE


def _limit_memory() -> None:
    """End this process if it takes too much memory; on Linux the system's limit acts first."""
    import resource  # not on Windows

    process = psutil.Process()
    max_rss = process.memory_info().rss + DECODER_MEMORY
    with contextlib.suppress(OSError, ValueError, AttributeError, psutil.Error):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        data = process.memory_info().data  # private writable pages, Linux only
        resource.setrlimit(resource.RLIMIT_DATA, (data + DECODER_MEMORY, data + DECODER_MEMORY))

    def watch() -> None:
        while process.memory_info().rss < max_rss:
            threading.Event().wait(_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
