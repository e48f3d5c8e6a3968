"""Stand between the process that marks and a returned notebook.

``python -m synfin_analytics.course._supervisor JOB`` is started by :mod:`running` with an
environment that holds nothing of the teacher's. It starts the :mod:`worker`, in namespaces of its
own where the system has them, and sees to it that all that the worker started ends with it. It ends
too when its input ends: when the process that marks is gone.
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

from synfin_analytics.course import _sandbox as sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds between two looks.
_LOOK = 0.1
#: Seconds that the embedded server gets to end in order.
_GRACE = 3.0
#: Looks for what is left, at most.
_LOOKS = 100


@dataclass(frozen=True)
class Task:
    """What a supervisor is to do.

    Attributes
    ----------
    command
        The worker and its arguments.
    folder
        Where the worker runs.
    began
        Number of the open pipe on which the worker says that it begins.
    writable
        Folders in which files may be written, where the system can close the others.
    apart
        Whether to use namespaces, where the system has them.
    """

    command: Sequence[str]
    folder: str
    began: int
    writable: Sequence[str]
    apart: bool = True


def arguments(task: Task) -> list[str]:
    """Command that starts a supervisor."""
    return [sys.executable, "-P", "-m", __name__, json.dumps(asdict(task))]


def main(task: Task) -> None:
    """Run the worker to its end, and print how it ended: the status that ``wait`` gives."""
    sandbox.adopt_orphans()
    writable = [Path(one) for one in task.writable]
    apart = task.apart and sandbox.available(writable)
    if apart:
        first = sandbox.free_pids(psutil.pids())
        sandbox.separate()
        child = _fork(lambda: _reign(task, writable, first))
    else:
        child = _fork(lambda: _become_worker(task))
    os.close(task.began)
    status = _wait(child)
    end_descendants(psutil.Process())
    if not apart:
        _report(status)


def _report(status: int) -> None:
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()


def _wait(child: int) -> int:
    """Wait for a child, and for the process that marks; end the child where that is gone."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            return status
        if ended:  # an orphan
            continue
        if select.select([sys.stdin], [], [], _LOOK)[0]:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]


def _reign(task: Task, writable: Sequence[Path], first_pid: int) -> int:
    """Be the first process of the namespaces: all others end when this one does."""
    sandbox.seal(writable, first_pid)
    worker = _fork(lambda: _become_worker(task))
    os.close(task.began)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == worker:
            _report(status)  # the first process cannot end by the same signal
            return 0


def _become_worker(task: Task) -> int:
    os.setsid()
    os.chdir(task.folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # it may print without end
        os.dup2(nothing, stream)
    sandbox.give_up_privileges()
    os.execv(task.command[0], [*task.command])  # noqa: S606  # our own worker


def _fork(then: Callable[[], int]) -> int:
    """Run something in a child that never returns from here."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = then()
        finally:
            os._exit(code)
    return child


# -- Descendants -----------------------------------------------------------------------------------


def descendants(root: psutil.Process) -> set[psutil.Process]:
    """Find the processes below another one, without those that have ended."""
    found = set()
    with contextlib.suppress(psutil.Error):
        for one in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if one.status() != psutil.STATUS_ZOMBIE:
                    found.add(one)
    return found


def end_descendants(root: psutil.Process) -> None:
    """End all processes below another one, however fast they start new ones.

    PostgreSQL is asked first: a server that is killed leaves a segment of shared memory behind.
    """
    with contextlib.suppress(psutil.Error):
        servers = [one for one in descendants(root) if _is_server(one)]
        for one in servers:
            _send(one, signal.SIGQUIT)
        psutil.wait_procs(servers, timeout=_GRACE)
    for _ in range(_LOOKS):
        stopped: set[psutil.Process] = set()
        while new := descendants(root) - stopped:  # what is stopped starts nothing
            for one in new:
                _send(one, signal.SIGSTOP)
            stopped |= new
        if not stopped:
            return
        for one in stopped:
            _send(one, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while root.pid == os.getpid() and os.waitpid(-1, os.WNOHANG)[0]:
                continue
        time.sleep(_LOOK / 10)


def _is_server(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "postgres"
    return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
