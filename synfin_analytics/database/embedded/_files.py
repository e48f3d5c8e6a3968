"""Files in the server's folder, opened and written without following anybody's link.

Root writes some of them, and the server's own user, whom a role of the database can act as, may put
a link in the place of each.
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
    """Open (and create) a file of ours; it belongs to ``owner`` when root creates it.

    Raises
    ------
    EmbeddedServerError
        If it is a link, has a second name, or belongs to another user.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait for its other end
    while True:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            _give(descriptor, owner)
            return descriptor
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            continue  # it was removed at this moment
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR}:
                raise _not_ours(path, "a link or no file at all") from error
            raise
        why = _foreign(os.fstat(descriptor), owner)
        if why:
            os.close(descriptor)
            raise _not_ours(path, why)
        return descriptor


def replace_file(path: Path, content: bytes, owner: ServerUser | None = None) -> None:
    """Write a file whole, or not at all, in the place of what has its name now."""
    nofollow = os.O_NOFOLLOW if os.geteuid() == 0 else 0  # their own links harm nobody else
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | nofollow)
    except NotADirectoryError as error:
        raise _not_ours(path.parent, "a link or no folder at all") from error
    new = path.name + _NEW
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            _give(descriptor, owner)
        os.replace(new, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def require_own_folder(path: Path, owner: ServerUser) -> None:
    """Refuse a link, or a folder of another user, in the place of a folder of ours."""
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in {os.geteuid(), owner.uid}:
        raise _not_ours(path, "a link, or a folder of another user")


def _give(descriptor: int, owner: ServerUser | None) -> None:
    if owner is not None and os.fstat(descriptor).st_uid != owner.uid:
        os.fchown(descriptor, owner.uid, owner.gid)


def _foreign(info: os.stat_result, owner: ServerUser | None) -> str:
    if not stat.S_ISREG(info.st_mode):
        return "not a file"
    if info.st_nlink > 1:
        return "a file with a second name (a hard link)"
    own = {os.geteuid()} if owner is None else {os.geteuid(), owner.uid}
    if owner is not None and info.st_uid not in own:
        return f"a file of another user (uid {info.st_uid})"
    return ""


def _not_ours(path: Path, what: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"{path} must be a file or folder of the embedded server's own; got {what}. Remove it, or "
        "set DB_DATA_DIR to another folder."
    )
