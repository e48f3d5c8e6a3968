"""Run a returned notebook in a process of its own, for so long, and take its answers out.

The process has a fresh home, an embedded database of its own and nothing of this environment's
settings of databases. It runs as the same user: docs/teaching.md says what that means.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from synfin_analytics import embedded
from synfin_analytics.exceptions import ArgumentError, SynfinError
from synfin_analytics.exercises import worker
from synfin_analytics.exercises.answers import load
from synfin_analytics.exercises.desk import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event

    from synfin_analytics.exercises.exercise import Lesson
    from synfin_analytics.exercises.returned import Cell

#: What a notebook gets of this environment. No address, user or password of a database is in it.
_KEPT = (
    "PATH", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "JAVA_HOME",
)  # fmt: skip
#: Seconds between two looks at it.
_LOOK = 0.2
_LARGEST_TEXT = 10_000
MISSING = object()


@dataclass(frozen=True)
class Limits:
    """What a notebook may take.

    Attributes
    ----------
    seconds
        From its first cell to its last.
    memory
        Bytes of its processes together.
    """

    seconds: float = 180.0
    memory: float = 4e9


@dataclass(frozen=True)
class Played:
    """What came of a notebook.

    Attributes
    ----------
    answers
        In plain form, by exercise; :data:`MISSING` where there is no such variable.
    errors
        What stopped the cell of an exercise, by exercise.
    ending
        Why the notebook did not reach its end, in words.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    ending: str | None = None


def play(
    cells: Sequence[Cell], lesson: Lesson, seed: int, limits: Limits, stop: Event | None = None
) -> Played:
    """Run the cells on the data of a seed, whatever they say of it.

    Parameters
    ----------
    cells
        Of the notebook, in their order.
    lesson, seed
        What they are an answer to.
    limits
        After which they are stopped.
    stop
        Ends it early where it is set.
    """
    names = {one.number: one.answer for one in lesson.exercises}
    job = {
        "cells": [{"source": one.source, "exercises": list(one.exercises)} for one in cells],
        "names": names,
    }
    with _folder() as folder:
        out = folder / "answers"
        (out / worker.JOB).write_text(json.dumps(job), encoding="utf-8")
        ending = _run(folder, seed, limits, stop)
        return Played(
            {number: _answer(out, number) for number in names},
            {
                number: error
                for number in names
                if (error := _text(out / f"{number}{worker.ERROR}"))
            },
            ending,
        )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="synfin-class-")).resolve()
    try:
        # Where root runs this, the embedded server's own user must get to its data.
        folder.chmod(0o711)
        for name in ("answers", "home", "work"):
            (folder / name).mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path, seed: int) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")
    }
    home = str(folder / "home")
    if site.ENABLE_USER_SITE:
        kept["PYTHONUSERBASE"] = site.getuserbase()
    return {
        **kept,
        "HOME": home,
        "IPYTHONDIR": home,
        "MPLBACKEND": "agg",
        "DB_DATA_DIR": str(folder / "pg"),
        SEED: str(seed),
    }


def _run(folder: Path, seed: int, limits: Limits, stop: Event | None) -> str | None:
    """Start the worker, watch it, and leave nothing of it behind; say how it ended if not well."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", worker.__name__, str(folder / "answers")],
        cwd=folder / "work",
        env=_environment(folder, seed),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # it may print without end
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    began = folder / "answers" / worker.AT
    try:
        why = _watch(process, began, limits, stop)
    finally:
        _end(process, folder / "pg")
    cell = _text(began)
    where = f"its code cell {cell}" if cell.isdigit() else "its beginning"
    if why:
        return f"{why}, in {where}."
    if (folder / "answers" / worker.END).exists():
        return None
    code = process.returncode
    how = f"was killed ({signal.Signals(-code).name})" if code < 0 else "ended Python"
    return f"The notebook {how} in {where}."


def _watch(
    process: subprocess.Popen[bytes], began: Path, limits: Limits, stop: Event | None
) -> str | None:
    until = math.inf
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
            return None
        if math.isinf(until) and began.exists():  # a busy machine takes long to come so far
            until = time.monotonic() + limits.seconds
        if _memory(process.pid) > limits.memory:
            return f"Stopped because it took more than {limits.memory / 1e9:.1f} GB of memory"
        if time.monotonic() > until:
            return f"Stopped after {limits.seconds:.0f} seconds"
        if stop is not None and stop.is_set():
            return "Stopped by Ctrl-C"


def _memory(pid: int) -> int:
    """Bytes of a process and of what it started."""
    taken = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for one in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                taken += one.memory_info().rss
    return taken


def _end(process: subprocess.Popen[bytes], data: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if data.exists():
        with contextlib.suppress(SynfinError, OSError):
            embedded.stop(data, force=True)
    for one in psutil.process_iter():  # what took a session of its own
        with contextlib.suppress(psutil.Error, OSError):
            if one.environ().get("DB_DATA_DIR") == str(data):
                one.kill()


def _answer(folder: Path, number: str) -> Any:
    if not os.path.lexists(folder / f"{number}.json"):
        return MISSING
    try:
        return load(folder, number)
    except ArgumentError as error:
        return error


def _text(path: Path) -> str:
    """Read a short file that the notebook may have written itself."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_TEXT:
            return ""
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return ""
