"""A small process that starts the embedded server and stops it after its last user has ended.

It is a separate script that only uses the standard library, so that it needs little memory, and
has no connection to the server. Every process that uses the server holds a shared lock on one file,
which the kernel releases when the process ends, even after SIGKILL. When this process gets the
exclusive lock, no user is left. It sleeps until then, and ends with the server.
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

#: Signals that end PostgreSQL, the mildest first, each with the number of seconds, without any
#: activity of the server and in total, until the next one. The first means "fast shutdown": "smart
#: shutdown" waits for clients, of which there are none, and can hang a PostgreSQL 18 that recovers.
STOP_SIGNALS = (
    (signal.SIGINT, 3.0, 60.0),
    (signal.SIGQUIT, 10.0, 10.0),
    (signal.SIGKILL, 10.0, 10.0),
)
_PAUSE = 0.2  # seconds


def main(job: dict[str, Any]) -> None:
    """Detach from the parent process, then start or adopt the server and wait for its end."""
    if os.fork():
        os._exit(0)
    reset_signals()
    # Opened before anything can remove the directory; the lock in job["watch"] is inherited.
    users = os.open(job["users"], os.O_RDWR | os.O_NOFOLLOW)
    start = os.open(job["start"], os.O_RDWR | os.O_NOFOLLOW)
    stop: queue.SimpleQueue[None] = queue.SimpleQueue()  # unlike an Event, safe in a handler
    signal.signal(signal.SIGTERM, lambda *_: stop.put(None))
    server: subprocess.Popen[bytes] | None = None
    pid = job.get("adopt")
    if pid is None:
        server = start_server(job)
        pid = server.pid
    os.close(job["log"])
    for function, arguments in (
        (stop_on_request, (stop, pid)),
        (request_stop_after_last_user, (users, start, stop)),
    ):
        threading.Thread(target=function, args=arguments, daemon=True).start()
    if server is not None:
        server.wait()
    else:
        wait_for_process(pid)
    shutil.rmtree(job["sockets"], ignore_errors=True)
    os._exit(0)  # which releases the locks


def reset_signals() -> None:
    """Ignore a terminal's signals without making the server ignore them.

    A program inherits ignored and blocked signals, but not handlers. PostgreSQL would lose a signal
    that it inherits as ignored until it has installed its own handlers.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def start_server(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Run ``postgres`` in a separate session, which a terminal's Ctrl-C does not reach."""
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


def request_stop_after_last_user(users: int, start: int, stop: queue.SimpleQueue[None]) -> None:
    """Sleep until no process uses the server, then request its stop; it cannot start meanwhile."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)
        # Another process may be about to start it. With this lock none is: check again.
        fcntl.flock(start, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(start, fcntl.LOCK_UN)
            continue
        stop.put(None)
        return


def stop_on_request(stop: queue.SimpleQueue[None], pid: int) -> None:
    """Stop the server when that is requested."""
    stop.get()
    stop_server(pid)


def stop_server(pid: int, ended: Callable[[], bool] = lambda: False) -> None:
    """Send ever stronger signals until the server has ended, each repeatedly, as one can be lost.

    Parameters
    ----------
    pid
        Its main process.
    ended
        Returns whether it has ended, for a process whose parent may not collect it.
    """
    for number, idle, total in STOP_SIGNALS:
        started = last_active = time.monotonic()
        while (time_now := time.monotonic()) < min(last_active + idle, started + total):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            if ended():
                return
            if is_active(pid):
                last_active = time_now
            time.sleep(_PAUSE)


def is_active(pid: int) -> bool:
    """Return whether a child of ``pid`` is running or waiting for a disk.

    True on systems where this is unknown, such as macOS.
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


def wait_for_process(pid: int) -> None:
    """Wait for the end of a process that is not a child of this one."""
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
