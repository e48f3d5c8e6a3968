"""Supervise a submitted notebook: between the grading process and the worker that runs it.

The runner starts ``python -m synfin_analytics.course._supervisor TASK`` with an environment that
contains nothing of the teacher's. The supervisor starts the worker, in separate namespaces where
the system supports them, and ends everything that the worker started. It ends as well when its
standard input is closed, because the grading process has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from synfin_analytics.course import _sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds between two polls.
_POLL_SECONDS = 0.1
#: Seconds that the embedded server has to shut down.
_GRACE_SECONDS = 3.0
#: Maximum attempts to end the remaining processes.
_MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Task:
    """The task of a supervisor.

    Attributes
    ----------
    command
        Command that runs the worker.
    folder
        Working folder of the worker.
    start_pipe
        Descriptor of the open pipe on which the worker reports its start.
    writable
        Folders that may be written to; the others are read-only if possible.
    use_namespaces
        Whether to use namespaces, where the system supports them.
    """

    command: Sequence[str]
    folder: str
    start_pipe: int
    writable: Sequence[str]
    use_namespaces: bool = True


def to_command(task: Task) -> list[str]:
    """Return the command that starts a supervisor."""
    return [sys.executable, "-P", "-m", __name__, json.dumps(asdict(task))]


def main(task: Task) -> None:
    """Run the worker to its end, and print its status as ``wait`` returns it."""
    _sandbox.adopt_orphans()
    writable = [Path(folder) for folder in task.writable]
    isolated = task.use_namespaces and _sandbox.namespaces_available(writable)
    if isolated:
        first_pid = _sandbox.find_free_pids(psutil.pids())
        _sandbox.create_namespaces()
        child = _fork(lambda: _run_as_init(task, writable, first_pid))
    else:
        child = _fork(lambda: _become_worker(task))
    os.close(task.start_pipe)
    status = _wait(child)
    end_descendants(psutil.Process())
    if not isolated:
        _report(status)


def _report(status: int) -> None:
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()


def _wait(child: int) -> int:
    """Wait for a child, and end it if the grading process has ended."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            return status
        if ended:  # an orphan
            continue
        if select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]


def _run_as_init(task: Task, writable: Sequence[Path], first_pid: int) -> int:
    """Be the first process of the namespaces: all others end when it ends."""
    _sandbox.seal_file_system(writable, first_pid)
    worker = _fork(lambda: _become_worker(task))
    os.close(task.start_pipe)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == worker:
            _report(status)  # the first process cannot end by the same signal
            return 0


def _become_worker(task: Task) -> int:
    os.setsid()
    os.chdir(task.folder)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # a notebook may print without end
        os.dup2(null, stream)
    _sandbox.drop_privileges()
    os.execv(task.command[0], [*task.command])  # noqa: S606  # our own worker


def _fork(run: Callable[[], int]) -> int:
    """Run a function in a child process, which never returns from here; return its pid."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = run()
        finally:
            os._exit(code)
    return child


# -- Descendants -----------------------------------------------------------------------------------


def find_descendants(root: psutil.Process) -> set[psutil.Process]:
    """Return the processes below another one, without those that have ended."""
    descendants = set()
    with contextlib.suppress(psutil.Error):
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    descendants.add(process)
    return descendants


def end_descendants(root: psutil.Process) -> None:
    """End all processes below another one, however fast they start new ones.

    PostgreSQL gets a signal first: a killed server leaves a segment of shared memory behind.
    """
    with contextlib.suppress(psutil.Error):
        servers = [process for process in find_descendants(root) if _is_server(process)]
        for server in servers:
            _send_signal(server, signal.SIGQUIT)
        psutil.wait_procs(servers, timeout=_GRACE_SECONDS)
    for _ in range(_MAX_ATTEMPTS):
        stopped: set[psutil.Process] = set()
        while running := find_descendants(root) - stopped:  # a stopped process starts no others
            for process in running:
                _send_signal(process, signal.SIGSTOP)
            stopped |= running
        if not stopped:
            return
        for process in stopped:
            _send_signal(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while root.pid == os.getpid() and os.waitpid(-1, os.WNOHANG)[0]:
                continue
        time.sleep(_POLL_SECONDS / 10)


def _is_server(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "postgres"
    return False


def _send_signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
