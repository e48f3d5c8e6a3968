"""The operating-system user that runs the server, and the directories and files that it owns.

PostgreSQL does not run as root. Root therefore gets a system user for the server, and the data are
stored outside of ``/root``. Permissions of existing directories are never changed.

Root writes some of the files, and the server's user, as whom a role of the database can act, could
replace each of them by a link. They are therefore opened and written without following links.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import stat
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from synfin_analytics.exceptions import EmbeddedServerError

APPLICATION = "synfin_analytics"
SERVICE_USER = "synfin-postgres"
_SERVICE_COMMENT = "embedded PostgreSQL of synfin_analytics"
_ROOT_HOME = Path("/var/lib") / APPLICATION
_NOT_AS_ROOT = (
    "Run as a normal user instead of root, or set DB_HOST or DATABASE_URL to use another server."
)
_OWN_DIRECTORY = "Set DB_DATA_DIR to a directory of your own."
_ROOTS_DIRECTORY = (
    "Set DB_DATA_DIR to a directory of root (default: /var/lib/synfin_analytics), or run as the "
    "user who owns the directory."
)
_MAX_LINKS = 40
_NEW = ".new"


@dataclass(frozen=True)
class ServerUser:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def switch(self) -> dict[str, Any]:
        """Arguments with which :class:`subprocess.Popen` changes to this user, if necessary."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def first_closed_folder(self, path: Path) -> Path | None:
        """Return the outermost directory on the way to ``path`` that this user cannot enter."""
        if self.uid == os.geteuid():
            return None
        for folder in [*reversed(path.parents), path]:
            try:
                info = folder.stat()
            except FileNotFoundError:
                return None
            if not stat.S_ISDIR(info.st_mode):
                return None
            bit = stat.S_IXOTH
            if info.st_uid == self.uid:
                bit = stat.S_IXUSR
            elif info.st_gid == self.gid:
                bit = stat.S_IXGRP
            if not info.st_mode & bit:
                return folder
        return None

    def take(self, path: Path) -> None:
        """Make this user the owner of a file or directory."""
        if path.lstat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def default_home() -> Path:
    """Return the default directory: ``DB_DATA_DIR``, or the user's data directory."""
    directory = os.environ.get("DB_DATA_DIR", "").strip()
    if directory:
        return Path(directory).expanduser()
    if os.geteuid() == 0:
        return _ROOT_HOME
    return platformdirs.user_data_path(APPLICATION, appauthor=False)


def program_copies() -> Path:
    """Return the directory for copies of the server's programs, which only root needs."""
    return _ROOT_HOME / "programs"


def server_user(instance: Path) -> ServerUser:
    """Return the user that runs the server of the directory ``instance``.

    For root it is a system user, which is created if necessary.

    Raises
    ------
    EmbeddedServerError
        The directory belongs to another user, or the system user cannot be created.
    """
    uid = os.geteuid()
    user = _service_user() if uid == 0 else _user_of(uid)
    owner = instance.lstat().st_uid if os.path.lexists(instance) else uid
    if owner in {uid, user.uid}:
        return user
    raise EmbeddedServerError(
        f"The database directory {instance} must belong to you (uid {uid}); got a directory of "
        f"another user (uid {owner}). " + (_ROOTS_DIRECTORY if uid == 0 else _OWN_DIRECTORY)
    )


def _user_of(uid: int) -> ServerUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedServerError(
            f"The user id {uid} must have a name on this system (a line in /etc/passwd) for "
            "PostgreSQL to run. In a container, add a user with this id (`useradd --uid ...`), or "
            "set DB_HOST or DATABASE_URL to use another server."
        ) from None
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _service_user() -> ServerUser:
    """Return root's system user for the server; create it the first time."""
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        _create_service_user()
        entry = pwd.getpwnam(SERVICE_USER)
    if entry.pw_uid == 0:
        raise EmbeddedServerError(
            f"The user {SERVICE_USER!r} must not have the user id of root. {_NOT_AS_ROOT}"
        )
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create_service_user() -> None:
    useradd = shutil.which("useradd", path=os.defpath + ":/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedServerError(
            "PostgreSQL does not run as root, and `useradd`, which would create a system user for "
            "it, is missing. Install it (Debian: passwd; Fedora: shadow-utils), or create the user "
            f"{SERVICE_USER!r} yourself. {_NOT_AS_ROOT}"
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/"]
    command += ["--shell", "/bin/false", "--comment", _SERVICE_COMMENT, SERVICE_USER]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    name_taken = 9  # by another process that has just created it
    if result.returncode == 0:
        warnings.warn(
            f"PostgreSQL does not run as root: created the system user {SERVICE_USER!r} "
            "(no password, no login, no home) to run the embedded server. To remove it later: "
            f"userdel {SERVICE_USER}. To avoid it, run as a normal user, or set DB_HOST or "
            "DATABASE_URL to use another server.",
            stacklevel=2,
        )
    elif result.returncode != name_taken:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and the user {SERVICE_USER!r} for it could not be "
            f"created: {result.stderr.strip()}. {_NOT_AS_ROOT}"
        )


# -- Directories -----------------------------------------------------------------------------------


def check_path(path: Path, user: ServerUser) -> None:
    """Check, as root, that no other user can replace a directory or link on a path.

    Raises
    ------
    EmbeddedServerError
        An existing part of it belongs to neither root nor ``user``, or others can write to it (in a
        sticky directory, such as ``/tmp``, they cannot replace what they do not own).
    """
    if os.geteuid() != 0:
        return
    current, remaining, links = Path("/"), list(reversed(path.parts[1:])), 0
    while remaining:
        name = remaining.pop()
        step = current.parent if name == ".." else current / name
        try:
            info = step.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        if info.st_uid not in {0, user.uid}:
            raise _path_error(path, step, f"belongs to another user (uid {info.st_uid})")
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _MAX_LINKS:
                raise _path_error(path, step, "is a link to itself")
            target = step.readlink()
            current = Path("/") if target.is_absolute() else current
            remaining += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        open_to_group = info.st_mode & stat.S_IWGRP and info.st_gid not in {0, user.gid}
        shared = info.st_mode & stat.S_IWOTH or open_to_group
        if shared and not info.st_mode & stat.S_ISVTX:
            raise _path_error(path, step, "can be written to by other users")
        current = step


def _path_error(path: Path, step: Path, problem: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"For root, the database directory must be where only root can replace it; got {path}, but "
        f"{step} {problem}. {_ROOTS_DIRECTORY}"
    )


def make_private(instance: Path, user: ServerUser) -> None:
    """Create the directory ``instance`` for ``user`` only, and missing directories above it."""
    closed = user.first_closed_folder(instance.parent)
    if closed is not None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root; it runs as user {user.name!r}, who cannot enter "
            f"{closed}. Set DB_DATA_DIR to a directory that other users can enter, such as "
            f"{_ROOT_HOME} (the default for root). The data in it remain private."
        )
    try:
        missing = [folder for folder in instance.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700 if user.uid == os.geteuid() else 0o711)
        instance.mkdir(exist_ok=True, mode=0o700)
        user.take(instance)
    except OSError as error:
        raise EmbeddedServerError(
            f"The database directory {instance} cannot be created: {error.strerror}. Set "
            "DB_DATA_DIR to a directory that you can write to."
        ) from error


# -- Files -----------------------------------------------------------------------------------------


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
