"""Read the answers that a notebook wrote, which may be forged or made to do harm.

No code of an answer runs. Tables are decoded in another process, which has little memory and time,
since a file of some kilobytes may hold gigabytes:
``python -m synfin_analytics.course._reading FOLDER NAME…`` writes each table to its output, with
the length before it, as Arrow without compression: what arrives is as large as what it holds.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
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

from synfin_analytics.course import _sandbox as sandbox
from synfin_analytics.course._answers import TABLE, VALUE, Unknown
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

UNREADABLE = "The answer cannot be read."
TOO_LARGE = "The answer is too large to be read."
#: Bytes of a value: as Python's objects it takes some thirty times as much.
LARGEST_VALUE = 5_000_000
#: Bytes of a table, in its file and decoded, and its rows.
LARGEST, MOST_ROWS = 50_000_000, 1_000_000
#: Bytes that decoding may take, and seconds for all tables of a notebook.
MEMORY, SECONDS = 500_000_000, 60
_LENGTH = struct.Struct(">q")
#: Lengths that stand for a table that cannot be read, and for one that is too large.
_UNREADABLE, _TOO_LARGE = -1, -2
_LOOK = 0.02


def exists(folder: Path, name: str) -> bool:
    """Whether there is an answer of this name, of whatever content."""
    return os.path.lexists(folder / f"{name}{VALUE}")


def load(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read answers that :func:`save` wrote; no code of an answer runs.

    Returns
    -------
    dict
        The answers by name; an :class:`~synfin_analytics.exceptions.ArgumentError` in place of
        those that cannot be read.
    """
    answers: dict[str, Any] = {}
    tables = []
    for name in names:
        try:
            content = json.loads(_content(folder / f"{name}{VALUE}", LARGEST_VALUE))
            if content["kind"] == "frame":
                tables.append(name)
            else:
                answers[name] = _decoded(content["value"])
        except ArgumentError as error:
            answers[name] = error
        except (ValueError, KeyError, TypeError, RecursionError):
            answers[name] = ArgumentError(UNREADABLE)
    if tables:
        answers |= _read_tables(folder, tables)
    return answers


def _content(path: Path, largest: int) -> bytes:
    """Read a file that the notebook may have made itself.

    Raises
    ------
    ArgumentError
        It is no regular file, as a link or a pipe that never ends, or is too large.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ArgumentError(UNREADABLE)
        if status.st_size > largest:
            raise ArgumentError(TOO_LARGE)
        return path.read_bytes()
    except OSError:
        raise ArgumentError(UNREADABLE) from None


def _decoded(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    ((kind, value),) = content.items()
    if kind == "dict":
        return {str(key): _decoded(each) for key, each in value}
    if kind == "list":
        return [_decoded(each) for each in value]
    if kind == "time":
        return dt.datetime.fromisoformat(value)
    if kind == "unknown":
        return Unknown(str(value))
    if kind != "float":
        raise ValueError(kind)
    return float(value)


# -- Tables, in a process of their own -------------------------------------------------------------


def _read_tables(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read tables by name; an :class:`ArgumentError` in place of those that cannot be read.

    A table at which the process ends costs only itself.
    """
    answers: dict[str, Any] = {}
    left = list(names)
    while left:
        answers |= dict(zip(left, _read_some(folder, left), strict=False))
        left = [name for name in left if name not in answers]
        if left:  # the process ended at this one
            answers[left.pop(0)] = ArgumentError(TOO_LARGE)
    return answers


def _read_some(folder: Path, names: Sequence[str]) -> list[Any]:
    command = [sys.executable, "-P", "-m", __name__, str(folder), *names]
    answers: list[Any] = []
    with subprocess.Popen(
        command,
        env=sandbox.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        late = threading.Timer(SECONDS, process.kill)
        late.start()
        try:
            for _ in names:
                answer = _receive(process.stdout)
                if answer is None:
                    break
                answers.append(answer)
        finally:
            late.cancel()
            process.kill()
    return answers


def _receive(stream: IO[bytes] | None) -> Any:
    """Take a table from the stream, or what is wrong with it; None at the end of the stream."""
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
    """Decode tables, one after the other."""
    _bound_memory()
    for name in names:
        content = _rewritten(folder / f"{name}{TABLE}")
        if isinstance(content, int):
            sys.stdout.buffer.write(_LENGTH.pack(content))
        else:
            sys.stdout.buffer.write(_LENGTH.pack(len(content)))
            sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _rewritten(path: Path) -> bytes | int:
    try:
        table = pl.read_ipc(_content(path, LARGEST))
        if table.height > MOST_ROWS or table.estimated_size() > LARGEST:
            return _TOO_LARGE
        plain_table = io.BytesIO()
        table.write_ipc(
            plain_table, compression="uncompressed", compat_level=pl.CompatLevel.oldest()
        )
    except ArgumentError as error:
        return _TOO_LARGE if str(error) == TOO_LARGE else _UNREADABLE
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):
        return _UNREADABLE
    return plain_table.getvalue() if plain_table.tell() <= 2 * LARGEST else _TOO_LARGE


def _bound_memory() -> None:
    """End this process where it takes too much memory; the system's limit acts first, on Linux."""
    import resource  # not on Windows

    process = psutil.Process()
    most = process.memory_info().rss + MEMORY
    with contextlib.suppress(OSError, ValueError, AttributeError, psutil.Error):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        data = process.memory_info().data  # private pages that may be written, of Linux
        resource.setrlimit(resource.RLIMIT_DATA, (data + MEMORY, data + MEMORY))

    def watch() -> None:
        while process.memory_info().rss < most:
            threading.Event().wait(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
