"""Advisory file locks, which the kernel releases when their process ends for whatever reason.

``flock`` locks belong to an open file. A forked child shares its parent's open files and therefore
its locks. A lock that marks a user of the server should indeed last until both have ended; a lock
that is held briefly is closed in the child immediately.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded._owner import open_own_file
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from synfin_analytics.database.embedded._owner import ServerUser

_brief_locks: set[int] = set()
_guard = threading.Lock()


def _close_brief_locks() -> None:
    for descriptor in _brief_locks:
        os.close(descriptor)
    _brief_locks.clear()
    _guard.release()


os.register_at_fork(
    before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_brief_locks
)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Acquire a lock without waiting; return whether that was possible."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
            raise
        raise EmbeddedServerError(
            "The file system of the database directory has no file locks, which protect the data "
            "from a second server. Set DB_DATA_DIR to a directory on a local disk."
        ) from error
    return True


def lock(descriptor: int, *, holder: str, shared: bool = False, timeout: float = 120.0) -> None:
    """Acquire a lock, waiting at most ``timeout`` seconds for ``holder`` to release it."""
    deadline = time.monotonic() + timeout
    while not try_lock(descriptor, shared=shared):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"Timed out after {timeout:.0f} s, waiting for {holder}. Find a process that hangs "
                "(`synfin db status` lists those that use the server), end it and try again."
            )
        time.sleep(0.01)


@contextmanager
def brief_lock_file(path: Path, owner: ServerUser | None = None) -> Iterator[int]:
    """Open a lock file briefly; a child that is forked meanwhile does not keep it."""
    with _guard:
        descriptor = open_own_file(path, os.O_RDWR, owner)
        _brief_locks.add(descriptor)
    try:
        yield descriptor
    finally:
        with _guard:
            _brief_locks.discard(descriptor)
            os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, holder: str, owner: ServerUser | None = None) -> Iterator[None]:
    """Hold the exclusive lock on ``path``."""
    with brief_lock_file(path, owner) as descriptor:
        lock(descriptor, holder=holder)
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock on ``path``."""
    if not path.exists():
        return False
    with brief_lock_file(path) as descriptor:
        return not try_lock(descriptor)


def processes_sharing(path: Path) -> list[int] | None:
    """Return the ids of the processes that share the lock on ``path``; None if unknown.

    Only Linux lists them, with the id that a process had when it acquired the lock.
    """
    try:
        with open("/proc/locks", encoding="ascii") as table:  # noqa: PTH123 - a kernel interface
            rows = [line.split() for line in table]
        inode = path.stat().st_ino
    except OSError:
        return None
    shared = [row for row in rows if row[1] == "FLOCK" and row[3] == "READ"]
    return sorted({int(row[4]) for row in shared if row[5].rsplit(":", 1)[-1] == str(inode)})
