"""A small process beside the embedded server: starts it, waits, stops it after its last user.

Runs as a script of its own with nothing but the standard library, so that it is light. It holds
no connection. Every process that uses the server holds a shared lock on one file; the kernel lets
go of it when such a process ends, even by SIGKILL. When this process gets that lock alone, nobody
is left. It sleeps until then, and ends with the server.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Each signal that ends PostgreSQL, from the mildest: how many seconds without any work of the
#: server, and how many in all, until the next. The first is "fast shutdown", for "smart" waits for
#: clients, and there are none; one that comes while PostgreSQL 18 recovers can hang it for good.
STOP_SIGNALS = (
    (signal.SIGINT, 3.0, 60.0),
    (signal.SIGQUIT, 10.0, 10.0),
    (signal.SIGKILL, 10.0, 10.0),
)
_PAUSE = 0.2  # seconds


def main(job: dict[str, Any]) -> None:
    """Detach from whoever started us, then start (or adopt) the server and see it to its end."""
    if os.fork():
        os._exit(0)
    reset_signals()
    # Opened before anything can remove the folder; the lock in job["watch"] was taken for us.
    users = os.open(job["users"], os.O_RDWR | os.O_NOFOLLOW)
    start = os.open(job["start"], os.O_RDWR | os.O_NOFOLLOW)
    told: queue.SimpleQueue[None] = queue.SimpleQueue()  # unlike an Event, safe in a handler
    signal.signal(signal.SIGTERM, lambda *_: told.put(None))
    server: subprocess.Popen[bytes] | None = None
    pid = job.get("adopt")
    if pid is None:
        server = start_server(job)
        pid = server.pid
    os.close(job["log"])
    for work in ((stop_when_told, told, pid), (tell_after_last_user, users, start, told)):
        threading.Thread(target=work[0], args=work[1:], daemon=True).start()
    if server is not None:
        server.wait()
    else:
        wait_for_stranger(pid)
    shutil.rmtree(job["sockets"], ignore_errors=True)
    os._exit(0)  # the locks go with us


def reset_signals() -> None:
    """Survive a terminal's signals, and hand none of this to the server.

    A program inherits signals that are ignored or blocked, but not handlers. PostgreSQL loses a
    signal that it inherits as ignored until it has installed its own handlers.
    """
    for harmless in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(harmless, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def start_server(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Run ``postgres`` in a session of its own, out of reach of a terminal's Ctrl-C."""
    try:
        return subprocess.Popen(
            job["command"],
            stdin=subprocess.DEVNULL,
            stdout=job["log"],
            stderr=job["log"],
            cwd="/",
            env=job["environment"],
            start_new_session=True,
            umask=0o077,
            **job["switch"],
        )
    except OSError as error:
        os.write(job["log"], f"The server cannot be started: {error}\n".encode())
        os._exit(1)


def tell_after_last_user(users: int, start: int, told: queue.SimpleQueue[None]) -> None:
    """Sleep until nobody uses the server, then have it stopped; nobody can start it meanwhile."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)
        # Another process may be about to start: with this lock none is, and we look again.
        fcntl.flock(start, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(start, fcntl.LOCK_UN)
            continue
        told.put(None)
        return


def stop_when_told(told: queue.SimpleQueue[None], pid: int) -> None:
    """Stop the server once that is asked for."""
    told.get()
    stop_server(pid)


def stop_server(pid: int, ended: Callable[[], bool] = lambda: False) -> None:
    """Signal the server until it has ended, ever more firmly: one signal alone can be lost.

    Parameters
    ----------
    pid
        The process at its head.
    ended
        Says whether it has ended, of a process that nobody may collect.
    """
    for number, idle, most in STOP_SIGNALS:
        began = worked = time.monotonic()
        while (now := time.monotonic()) < min(worked + idle, began + most):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            if ended():
                return
            if works(pid):
                worked = now
            time.sleep(_PAUSE)


def works(pid: int) -> bool:
    """Say whether a process below ``pid`` computes, or waits for a disk, at this moment.

    True where the system does not tell, as macOS.
    """
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return True
    for child in children:
        try:
            line = Path(f"/proc/{child}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has just ended
        if line.rpartition(")")[2].split()[0] in {"R", "D"}:
            return True
    return False


def wait_for_stranger(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError:
            descriptor = -1  # an old kernel, or one that forbids it
        if descriptor >= 0:
            select.select([descriptor], [], [])
            return
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
