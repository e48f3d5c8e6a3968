"""Store answers in files, and load them again although a notebook may have forged them.

No code of an answer runs. Another process with little memory and time decodes the tables, because a
file of a few kilobytes may expand to gigabytes:
``python -m synfin_analytics.course._answer_files FOLDER NAME…`` writes each table to its standard
output, preceded by its length, as uncompressed Arrow: the received size is the size in memory.
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
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl
import psutil

from synfin_analytics.course import _sandbox
from synfin_analytics.course._answers import PlainAnswer, UnsupportedAnswer, to_plain
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def answer_exists(folder: Path, name: str) -> bool:
    """Whether there is an answer of this name, whatever its content."""
    return os.path.lexists(folder / f"{name}{VALUE}")


def load_answers(folder: Path, names: Sequence[str]) -> dict[str, PlainAnswer | ArgumentError]:
    """Load answers that :func:`save_answer` wrote; no code of an answer runs.

    Returns
    -------
    dict
        The answers by name; an :class:`~synfin_analytics.exceptions.ArgumentError` in place of each
        answer that cannot be read.
    """
    answers: dict[str, PlainAnswer | ArgumentError] = {}
    tables = []
    for name in names:
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
