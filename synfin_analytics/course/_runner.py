"""Run a returned notebook apart from this process, for a limited time, and read its answers.

The :mod:`supervisor` starts it with a home and an embedded database of its own, without this
environment's settings of databases, and in namespaces of its own where the system has them.
docs/teaching.md says what that contains, and what it does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from synfin_analytics.course import _reading as reading
from synfin_analytics.course import _sandbox as sandbox
from synfin_analytics.course import _supervisor as supervisor
from synfin_analytics.course import _worker as worker
from synfin_analytics.course.session import SEED
from synfin_analytics.database.embedded._binaries import readable_binaries, server_binaries
from synfin_analytics.database.embedded._owner import program_shelf, server_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event

    from synfin_analytics.course._exercise import Lesson
    from synfin_analytics.course._submissions import Cell

#: Seconds between two looks at it.
_LOOK = 0.2
#: Seconds that may pass until the first cell begins: a busy machine takes long.
_STARTING = 120.0
_LARGEST_TEXT = 10_000
#: Whether to use namespaces, where the system has them.
_APART = True
MISSING = object()
KILLED_SUPERVISOR = (
    "The notebook killed the process that supervises it; processes that it started may still run: "
    "look at it."
)


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
    """What a notebook answered, and how it ended.

    Attributes
    ----------
    answers
        In plain form, by exercise; :data:`MISSING` where there is no such variable.
    checked
        What ``check`` got last, in plain form, by exercise; without those that it did not get.
    errors
        What stopped the cell of an exercise, by exercise.
    ending
        Why the notebook did not reach its end, in words.
    suspicion
        What in its run a teacher should look at, in words.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    checked: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    ending: str | None = None
    suspicion: str | None = None


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
    with _folder() as folder, sandbox.closed_to_others():
        out = folder / "answers"
        (out / worker.JOB).write_text(json.dumps(job), encoding="utf-8")
        if lesson.database:
            _prepare_server(folder)
        ending, suspicion = _run(folder, seed, limits, stop)
        files = [*names, *(f"{number}{worker.CHECKED}" for number in names)]
        read = reading.load(out, [one for one in files if reading.exists(out, one)])
        return Played(
            {number: read.get(number, MISSING) for number in names},
            {
                number: read[f"{number}{worker.CHECKED}"]
                for number in names
                if f"{number}{worker.CHECKED}" in read
            },
            {
                number: error
                for number in names
                if (error := _text(out / f"{number}{worker.ERROR}"))
            },
            ending,
            suspicion,
        )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="synfin-class-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        # Where root runs this, the embedded server's own user must get to its data.
        folder.chmod(0o711)
        for part in ("answers", "home", "work"):
            (folder / part).mkdir(mode=0o700)
        yield folder


def _environment(folder: Path, seed: int) -> dict[str, str]:
    home = str(folder / "home")
    return {
        **sandbox.environment(),
        "HOME": home,
        "IPYTHONDIR": home,
        "MPLBACKEND": "agg",
        "DB_DATA_DIR": str(folder / "pg"),
        SEED: str(seed),
    }


def _prepare_server(folder: Path) -> None:
    """Make what root's embedded server needs outside of the folder: a user, copies of programs."""
    if os.geteuid() == 0:
        user = server_user(folder / "pg")
        readable_binaries(server_binaries(), user, program_shelf())


def _writable() -> list[str]:
    """Folders in which a notebook may write, where the system can close the others."""
    folders = [Path(tempfile.gettempdir()).resolve()]
    if os.geteuid() == 0 and program_shelf().exists():
        folders.append(program_shelf())
    return [str(one) for one in folders]


def _run(
    folder: Path, seed: int, limits: Limits, stop: Event | None
) -> tuple[str | None, str | None]:
    """Run the worker, watch it, and end what it started; say how it ended, and what is odd."""
    out = folder / "answers"
    begins, began = os.pipe()
    command = [sys.executable, "-P", "-m", worker.__name__, str(out), str(began)]
    task = supervisor.Task(command, str(folder / "work"), began, _writable(), _APART)
    with open(begins, "rb", buffering=0) as pipe:  # noqa: PTH123  # a number, and no path
        try:
            process = subprocess.Popen(
                supervisor.arguments(task),
                cwd=folder / "work",
                env=_environment(folder, seed),
                stdin=subprocess.PIPE,  # whose end is that of this process
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(began,),
            )
        finally:
            os.close(began)
        with process:
            try:
                why = _watch(process, pipe, limits, stop)
            finally:
                _end(process, folder)
            status = _text_of(process)
    if why:
        why = f"{why}, in {_place(out)}."
    suspicion = None if why or status.isdigit() else KILLED_SUPERVISOR
    return why or _ending(out, status), suspicion


def _ending(out: Path, status: str) -> str | None:
    """Say why a notebook did not reach its end; None if it did."""
    if (out / worker.END).exists():
        return None
    code = os.waitstatus_to_exitcode(int(status)) if status.isdigit() else -signal.SIGKILL
    how = f"was killed ({signal.Signals(-code).name})" if code < 0 else "ended Python"
    return f"The notebook {how} in {_place(out)}."


def _place(out: Path) -> str:
    """Name the cell that ran last."""
    cell = _text(out / worker.AT)
    return f"its code cell {cell}" if cell.isdigit() else "its beginning"


def _watch(
    process: subprocess.Popen[bytes], begins: IO[bytes], limits: Limits, stop: Event | None
) -> str | None:
    """Wait for the end; say why where it does not come. Nothing that a notebook does moves it."""
    until = time.monotonic() + _STARTING + limits.seconds
    begun = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
            return None
        if not begun and select.select([begins], [], [], 0)[0]:
            begun = True
            until = time.monotonic() + limits.seconds
        if _memory(process.pid) > limits.memory:
            return f"Stopped because it took more than {limits.memory / 1e9:.1f} GB of memory"
        if time.monotonic() > until:
            return f"Stopped after {limits.seconds:.0f} seconds"
        if stop is not None and stop.is_set():
            return "Stopped by Ctrl-C"


def _memory(pid: int) -> int:
    """Bytes of the processes below the supervisor."""
    taken = 0
    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                taken += one.memory_info().rss
    return taken


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the supervisor, and all that the notebook started."""
    with contextlib.suppress(psutil.Error):
        # While the supervisor lives, or is stopped, nothing leaves the tree below it (on Linux).
        supervisor.end_descendants(psutil.Process(process.pid))
    process.kill()
    process.wait()
    for one in psutil.process_iter():  # on other systems, or where it killed the supervisor
        with contextlib.suppress(psutil.Error, OSError):
            mine = one.environ().get("DB_DATA_DIR") == str(folder / "pg")
            if mine or folder in Path(one.cwd()).parents:
                one.kill()


def _text_of(process: subprocess.Popen[bytes]) -> str:
    """Read what the supervisor printed."""
    if process.stdout is None:
        return ""
    return process.stdout.read(_LARGEST_TEXT).decode("ascii", errors="replace").strip()


def _text(path: Path) -> str:
    """Read a short file that the notebook may have written itself."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_TEXT:
            return ""
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return ""
