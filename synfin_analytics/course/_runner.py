"""Run a submitted notebook in isolation from this process, for a limited time; load its answers.

The supervisor process starts it with its own home folder and embedded database, without database
settings from this environment, and in separate namespaces where the system supports them. The
teaching guide describes what this contains and what it does not.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from synfin_analytics.course import _answers, _sandbox, _worker
from synfin_analytics.course.session import SEED_VARIABLE
from synfin_analytics.database.embedded import prepare_root_server, root_server_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event

    from synfin_analytics.course._answers import PlainAnswer
    from synfin_analytics.course.lessons import Lesson
    from synfin_analytics.exceptions import ArgumentError

#: Seconds between two polls of the notebook.
_POLL_SECONDS = 0.2
#: Seconds until the first cell must start: a busy machine is slow.
_STARTUP_SECONDS = 120.0
_MAX_TEXT_BYTES = 10_000
#: Whether to use namespaces, where the system supports them.
_USE_NAMESPACES = True
#: The answer to an exercise whose variable does not exist.
MISSING = object()
KILLED_SUPERVISOR = (
    "Review: the notebook killed the process that supervises it; processes that it started may "
    "still be running."
)


@dataclass(frozen=True)
class Cell:
    """A code cell, and the exercises that it answers."""

    source: str
    exercises: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Limits of a notebook.

    Attributes
    ----------
    seconds
        Time from its first cell to its last.
    memory
        Total bytes of its processes.
    """

    seconds: float = 180.0
    memory: float = 4e9


@dataclass(frozen=True)
class Run:
    """The answers of a notebook, and how it ended.

    Attributes
    ----------
    answers
        Answers in plain form, by exercise; :data:`MISSING` where the variable does not exist, and
        an error where the answer cannot be read.
    checked
        The last arguments of ``check`` in plain form, for the exercises that were checked.
    errors
        Errors in the cells of exercises, by exercise.
    ending
        Why the notebook did not reach its end, as a sentence.
    suspicion
        What a teacher should review, as a sentence.
    """

    answers: dict[str, object] = field(default_factory=dict)
    checked: dict[str, PlainAnswer | ArgumentError] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    ending: str | None = None
    suspicion: str | None = None


def run_notebook(
    cells: Sequence[Cell],
    lesson: Lesson[Any],
    seed: int,
    limits: Limits,
    stop: Event | None = None,
) -> Run:
    """Run cells on the data of a seed, whatever seed the cells contain.

    Parameters
    ----------
    cells
        Code cells of the notebook, in order.
    lesson, seed
        The lesson that they answer, and the seed of the student.
    limits
        Limits after which the notebook is stopped.
    stop
        Stops the notebook early when it is set.
    """
    variables = {exercise.number: exercise.answer for exercise in lesson.exercises}
    job = {
        "cells": [asdict(cell) for cell in cells],
        "variables": variables,
    }
    with _temporary_folder() as folder, _sandbox.hidden_from_other_processes():
        answer_folder = folder / "answers"
        (answer_folder / _worker.JOB).write_text(json.dumps(job), encoding="utf-8")
        if lesson.database:
            prepare_root_server(folder / "pg")
        ending, suspicion = _run_supervisor(folder, seed, limits, stop)
        checked_names = {number: f"{number}{_worker.CHECKED}" for number in variables}
        answers = _answers.load_answers(answer_folder, [*variables, *checked_names.values()])
        return Run(
            {number: answers.get(number, MISSING) for number in variables},
            {number: answers[name] for number, name in checked_names.items() if name in answers},
            {
                number: error
                for number in variables
                if (error := _read_text(answer_folder / f"{number}{_worker.ERROR}"))
            },
            ending,
            suspicion,
        )


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="synfin-class-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        # If root runs this, the user of the embedded server must reach its data.
        folder.chmod(0o711)
        for part in ("answers", "home", "work"):
            (folder / part).mkdir(mode=0o700)
        yield folder


def _environment(folder: Path, seed: int) -> dict[str, str]:
    home = str(folder / "home")
    return {
        **_sandbox.clean_environment(),
        "HOME": home,
        "IPYTHONDIR": home,
        "MPLBACKEND": "agg",
        "DB_DATA_DIR": str(folder / "pg"),
        SEED_VARIABLE: str(seed),
    }


def _run_supervisor(
    folder: Path, seed: int, limits: Limits, stop: Event | None
) -> tuple[str | None, str | None]:
    """Run the notebook, then end everything it started; return its ending and suspicion."""
    answer_folder = folder / "answers"
    start_reader, start_writer = os.pipe()
    command = [
        sys.executable, "-P", "-m", _worker.__name__, str(answer_folder), str(start_writer)
    ]  # fmt: skip
    writable = [
        str(path) for path in (Path(tempfile.gettempdir()).resolve(), *root_server_folders())
    ]
    task = _sandbox.Task(command, str(folder / "work"), start_writer, writable, _USE_NAMESPACES)
    with open(start_reader, "rb", buffering=0) as pipe:  # noqa: PTH123  # a descriptor, no path
        try:
            process = subprocess.Popen(
                _sandbox.to_command(task),
                cwd=folder / "work",
                env=_environment(folder, seed),
                stdin=subprocess.PIPE,  # closed when this process ends
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(start_writer,),
            )
        finally:
            os.close(start_writer)
        with process:
            try:
                stopped = _wait_until_end_or_limit(process, pipe, limits, stop)
            finally:
                _end_all(process, folder)
            status = _read_stdout(process)
    if stopped:
        stopped = f"{stopped}, in {_last_cell(answer_folder)}."
    suspicion = None if stopped or status.isdigit() else KILLED_SUPERVISOR
    return stopped or _describe_ending(answer_folder, status), suspicion


def _describe_ending(answer_folder: Path, status: str) -> str | None:
    """Return why a notebook did not reach its end; None if it did."""
    if (answer_folder / _worker.END).exists():
        return None
    code = os.waitstatus_to_exitcode(int(status)) if status.isdigit() else -signal.SIGKILL
    event = f"was killed ({signal.Signals(-code).name})" if code < 0 else "ended Python"
    return f"The notebook {event} in {_last_cell(answer_folder)}."


def _last_cell(answer_folder: Path) -> str:
    """Name the cell that ran last."""
    cell = _read_text(answer_folder / _worker.CURRENT_CELL)
    return f"code cell {cell}" if cell.isdigit() else "an unknown cell"


def _wait_until_end_or_limit(
    process: subprocess.Popen[bytes], start: IO[bytes], limits: Limits, stop: Event | None
) -> str | None:
    """Return why the notebook was stopped; None if it ended. It cannot change its limits."""
    deadline = time.monotonic() + _STARTUP_SECONDS + limits.seconds
    started = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return None
        if not started and select.select([start], [], [], 0)[0]:
            started = True
            deadline = time.monotonic() + limits.seconds
        if _total_memory(process.pid) > limits.memory:
            return f"Stopped because it used more than {limits.memory / 1e9:.1f} GB of memory"
        if time.monotonic() > deadline:
            return f"Stopped after {limits.seconds:.0f} seconds"
        if stop is not None and stop.is_set():
            return "Stopped by Ctrl-C"


def _total_memory(pid: int) -> int:
    """Return the bytes of the processes below the supervisor."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += child.memory_info().rss
    return total


def _end_all(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the supervisor and everything that the notebook started."""
    with contextlib.suppress(psutil.Error):
        # While the supervisor is running or stopped, nothing leaves the tree below it (on Linux).
        _sandbox.end_descendants(psutil.Process(process.pid))
    process.kill()
    process.wait()
    for candidate in psutil.process_iter():  # on other systems, or if it killed the supervisor
        with contextlib.suppress(psutil.Error, OSError):
            uses_server = candidate.environ().get("DB_DATA_DIR") == str(folder / "pg")
            if uses_server or folder in Path(candidate.cwd()).parents:
                candidate.kill()


def _read_stdout(process: subprocess.Popen[bytes]) -> str:
    """Return what the supervisor printed."""
    if process.stdout is None:
        return ""
    return process.stdout.read(_MAX_TEXT_BYTES).decode("ascii", errors="replace").strip()


def _read_text(path: Path) -> str:
    """Read a short file that the notebook may have written itself."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_TEXT_BYTES:
            return ""
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return ""
