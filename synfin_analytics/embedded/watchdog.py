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
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any


def main(job: dict[str, Any]) -> None:
    """Detach from whoever started us, then start (or adopt) the server and see it to its end."""
    if os.fork():
        os._exit(0)
    for harmless in (signal.SIGINT, signal.SIGHUP):
        signal.signal(harmless, signal.SIG_IGN)
    # Opened before anything can remove the folder; the lock in job["watch"] was taken for us.
    users = os.open(job["users"], os.O_RDWR)
    start = os.open(job["start"], os.O_RDWR)
    server: subprocess.Popen[bytes] | None = None
    pid = job.get("adopt")
    if pid is None:
        server = start_server(job)
        pid = server.pid
    signal.signal(signal.SIGTERM, lambda *_: end_fast(pid))
    threading.Thread(target=stop_after_last_user, args=(users, start, pid), daemon=True).start()
    if server is not None:
        server.wait()
    else:
        wait_for_stranger(pid)
    shutil.rmtree(job["sockets"], ignore_errors=True)
    os._exit(0)  # the locks go with us


def start_server(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Run ``postgres`` in a session of its own, out of reach of a terminal's Ctrl-C."""
    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        return subprocess.Popen(
            job["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=job["environment"],
            start_new_session=True,
            umask=0o077,
            **job["switch"],
        )
    except OSError as error:
        os.write(log, f"The server cannot be started: {error}\n".encode())
        os._exit(1)
    finally:
        os.close(log)


def stop_after_last_user(users: int, start: int, pid: int) -> None:
    """Sleep until nobody uses the server, then stop it."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)
        # Somebody may be about to start: with this lock nobody is, and we look again.
        fcntl.flock(start, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(start, fcntl.LOCK_UN)
            continue
        end_fast(pid)
        return


def end_fast(pid: int) -> None:
    """Ask for PostgreSQL's "fast shutdown": roll back what is open, write all, end."""
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return


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
