"""Files that a crash leaves complete or absent: written under another name, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from synfin_analytics.exceptions import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Our files below the folder of a table; a user's own files are left alone.
_OUR_FILE = re.compile(r"part-\d+\.parquet|\.part-\d+\.parquet\.partial(-keys)?")
_LOCK = ".lock"


@contextlib.contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Translate errors of the file system into one sentence."""
    try:
        yield
    except OSError as error:
        cause = _CAUSES.get(error.errno or 0, f"{error.strerror or error}")
        # The last complete state of the folder stays valid, whatever was being written.
        raise ArchiveError(f"Cannot use the folder {str(folder)!r}: {cause}.") from error


_FULL = "the disk is full, or its quota is exhausted; free some space and try again"
_CAUSES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "its file system is read-only",
    errno.EACCES: "this user may not read or write it",
    errno.EPERM: "this user may not read or write it",
    errno.ENOTDIR: "it is not a folder",
}


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a name to write to; the file gets its own name when it is complete and on the disk.

    After an error or a crash, ``path`` is what it was before.
    """
    make_folders(path.parent)
    partial = partial_name(path)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def partial_name(path: Path, suffix: str = "") -> Path:
    """Return the name of a file while it is written; readers of a folder ignore hidden files."""
    return path.with_name(f".{path.name}.partial{suffix}")


def make_folders(path: Path) -> None:
    """Create a folder and those above it, so that they survive a crash."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)  # it holds card holders' data
        sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the folder; the lock ends with this process.

    Raises
    ------
    ArchiveError
        Another process changes it at the moment.
    """
    make_folders(folder)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(
                f"Another process is changing the folder {str(folder)!r}; wait until it has ended. "
                "Nothing was changed."
            ) from None
        yield
    finally:
        os.close(descriptor)


def remove_unlisted(folder: Path, tables: Iterable[str], listed: set[str]) -> None:
    """Remove our files that the manifest does not list: an interrupted call has left them.

    Parameters
    ----------
    folder
        The archive, locked.
    tables
        Tables whose folders to look at.
    listed
        Paths that the manifest lists.
    """
    for table in tables:
        for path in sorted((folder / table).rglob("*part-*")):
            name = path.relative_to(folder).as_posix()
            if _OUR_FILE.fullmatch(path.name) and name not in listed:
                path.unlink()


def has_other_content(folder: Path) -> bool:
    """Whether a folder holds anything but what a call leaves that ended before its manifest."""
    ours = {_LOCK, partial_name(Path("manifest.json")).name}
    return folder.is_dir() and any(path.name not in ours for path in folder.iterdir())
