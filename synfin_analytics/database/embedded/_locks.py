"""Advisory file locks, which the kernel releases when their process ends, however it ends.

``flock`` locks belong to an open file. A forked child shares its parent's open files, hence its
locks: a lock that says "I use this server" then lasts until both have ended, which is right; one
that is held for a short while only is closed in the child at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded._files import open_own_file
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from synfin_analytics.database.embedded._owner import ServerUser

_passing: set[int] = set()
_guard = threading.Lock()


def _close_passing_locks() -> None:
    for descriptor in _passing:
        os.close(descriptor)
    _passing.clear()
    _guard.release()


os.register_at_fork(
    before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_passing_locks
)


def open_lock_file(path: Path, owner: ServerUser | None = None) -> int:
    """Open (and create) a lock file; it belongs to ``owner`` when root creates it."""
    return open_own_file(path, os.O_RDWR, owner)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a lock if that is possible at once, and say whether it was."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
            raise
        raise EmbeddedServerError(
            "The file system of the database folder has no file locks, which keep two servers "
            "off the same data. Set DB_DATA_DIR to a folder on a local disk."
        ) from error
    return True


def lock(descriptor: int, *, what: str, shared: bool = False, patience: float = 120.0) -> None:
    """Take a lock, waiting at most ``patience`` seconds for ``what`` to let go of it."""
    deadline = time.monotonic() + patience
    while not try_lock(descriptor, shared=shared):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"Waited {patience:.0f} s for {what}, in vain. Look for a process that hangs "
                "(`synfin db status` shows who uses the server), end it and try again."
            )
        time.sleep(0.01)


@contextmanager
def passing_lock_file(path: Path, owner: ServerUser | None = None) -> Iterator[int]:
    """Open a lock file for a short while; a child that is forked meanwhile does not keep it."""
    with _guard:
        descriptor = open_lock_file(path, owner)
        _passing.add(descriptor)
    try:
        yield descriptor
    finally:
        with _guard:
            _passing.discard(descriptor)
            os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, what: str, owner: ServerUser | None = None) -> Iterator[None]:
    """Hold the lock on ``path`` alone."""
    with passing_lock_file(path, owner) as descriptor:
        lock(descriptor, what=what)
        yield


def is_locked(path: Path) -> bool:
    """Say whether some process holds the lock on ``path``."""
    if not path.exists():
        return False
    with passing_lock_file(path) as descriptor:
        return not try_lock(descriptor)


def processes_sharing(path: Path) -> list[int] | None:
    """Process ids of those that hold a shared lock on ``path``; None where no one can tell.

    Linux lists them; a process appears under the id under which it took the lock.
    """
    try:
        with open("/proc/locks", encoding="ascii") as table:  # noqa: PTH123 - a kernel interface
            rows = [line.split() for line in table]
        inode = path.stat().st_ino
    except OSError:
        return None
    held = [row for row in rows if row[1] == "FLOCK" and row[3] == "READ"]
    return sorted({int(row[4]) for row in held if row[5].rsplit(":", 1)[-1] == str(inode)})
