"""Open and write files in the server's directory without following links.

Root writes some of them, and the server's user, as whom a role of the database can act, could
replace each of them by a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

    from synfin_analytics.database.embedded._owner import ServerUser

_NEW = ".new"


def open_own_file(path: Path, flags: int, owner: ServerUser | None = None) -> int:
    """Open, and create if necessary, a file of this package; ``owner`` owns it if root creates it.

    Raises
    ------
    EmbeddedServerError
        It is a link, has a second name, or belongs to another user.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would block
    while True:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            _change_owner(descriptor, owner)
            return descriptor
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            continue  # it has just been removed
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR}:
                raise _foreign_error(path, "a link or something else") from error
            raise
        problem = _foreign_reason(os.fstat(descriptor), owner)
        if problem:
            os.close(descriptor)
            raise _foreign_error(path, problem)
        return descriptor


def replace_file(path: Path, content: bytes, owner: ServerUser | None = None) -> None:
    """Replace a file, completely or not at all."""
    nofollow = os.O_NOFOLLOW if os.geteuid() == 0 else 0  # a user's own links are harmless
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | nofollow)
    except NotADirectoryError as error:
        raise _foreign_error(path.parent, "a link or something else") from error
    new = path.name + _NEW
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            _change_owner(descriptor, owner)
        os.replace(new, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def require_own_folder(path: Path, owner: ServerUser) -> None:
    """Check that a directory of this package is neither a link nor of another user."""
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in {os.geteuid(), owner.uid}:
        raise _foreign_error(path, "a link, or a directory of another user")


def _change_owner(descriptor: int, owner: ServerUser | None) -> None:
    if owner is not None and os.fstat(descriptor).st_uid != owner.uid:
        os.fchown(descriptor, owner.uid, owner.gid)


def _foreign_reason(info: os.stat_result, owner: ServerUser | None) -> str:
    if not stat.S_ISREG(info.st_mode):
        return "not a file"
    if info.st_nlink > 1:
        return "a file with a second name (a hard link)"
    allowed = {os.geteuid()} if owner is None else {os.geteuid(), owner.uid}
    if owner is not None and info.st_uid not in allowed:
        return f"a file of another user (uid {info.st_uid})"
    return ""


def _foreign_error(path: Path, problem: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"{path} must be a file or directory of the embedded server; got {problem}. Remove it, or "
        "set DB_DATA_DIR to another directory."
    )
