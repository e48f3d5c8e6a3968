"""The user of the operating system as which the server runs, and the folders that are theirs.

PostgreSQL refuses to run as root. For root there is a user of its own, and the data stay out of
``/root``: no folder that somebody else made ever gets other permissions.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
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
_OWN_FOLDER = "Set DB_DATA_DIR to a folder of your own."
_OTHERS_FOLDER = (
    "Set DB_DATA_DIR to a folder of root's own (the default is /var/lib/synfin_analytics), or run "
    "as the user whose folder it is."
)
_MOST_LINKS = 40


@dataclass(frozen=True)
class ServerUser:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def switch(self) -> dict[str, Any]:
        """Arguments that make :class:`subprocess.Popen` change to this user, if that is needed."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def first_closed_folder(self, path: Path) -> Path | None:
        """Name the outermost existing folder on the way to ``path`` that this user cannot enter."""
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
        """Give a file or folder of ours to this user."""
        if path.lstat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def default_home() -> Path:
    """Folder of the databases where none is named: ``DB_DATA_DIR``, else the user's data folder."""
    named = os.environ.get("DB_DATA_DIR", "").strip()
    if named:
        return Path(named).expanduser()
    if os.geteuid() == 0:
        return _ROOT_HOME
    return platformdirs.user_data_path(APPLICATION, appauthor=False)


def program_shelf() -> Path:
    """Folder for copies of the server's programs (used by root only)."""
    return _ROOT_HOME / "programs"


def server_user(instance: Path) -> ServerUser:
    """Choose the user as which the server of the folder ``instance`` runs.

    Raises
    ------
    EmbeddedServerError
        If the folder belongs to another user, or root has no user to run the server as.
    """
    me = os.geteuid()
    user = _service_user() if me == 0 else _user_of(me)
    owner = instance.lstat().st_uid if os.path.lexists(instance) else me
    if owner in {me, user.uid}:
        return user
    raise EmbeddedServerError(
        f"The database folder {instance} must belong to you (uid {me}); got a folder of another "
        f"user (uid {owner}). " + (_OTHERS_FOLDER if me == 0 else _OWN_FOLDER)
    )


def refuse_foreign_path(path: Path, user: ServerUser) -> None:
    """Refuse, as root, a path on which another user can exchange a folder or a link.

    Raises
    ------
    EmbeddedServerError
        If an existing part of it belongs to neither root nor ``user``, or others may write to it
        (a sticky folder, such as ``/tmp``, keeps them from exchanging what is not theirs).
    """
    if os.geteuid() != 0:
        return
    place, rest, links = Path("/"), list(reversed(path.parts[1:])), 0
    while rest:
        name = rest.pop()
        step = place.parent if name == ".." else place / name
        try:
            info = step.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        if info.st_uid not in {0, user.uid}:
            raise _foreign(path, step, f"belongs to another user (uid {info.st_uid})")
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise _foreign(path, step, "is a link that leads to itself")
            target = step.readlink()
            place = Path("/") if target.is_absolute() else place
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        open_to_group = info.st_mode & stat.S_IWGRP and info.st_gid not in {0, user.gid}
        shared = info.st_mode & stat.S_IWOTH or open_to_group
        if shared and not info.st_mode & stat.S_ISVTX:
            raise _foreign(path, step, "can be written to by other users")
        place = step


def _foreign(path: Path, step: Path, why: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"As root, the database folder must lie where only root can change it; got {path}, and "
        f"{step} {why}. {_OTHERS_FOLDER}"
    )


def make_private(instance: Path, user: ServerUser) -> None:
    """Create the folder ``instance`` for ``user`` alone, and the folders above it if missing."""
    closed = user.first_closed_folder(instance.parent)
    if closed is not None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root; it runs as the user {user.name!r} here, who cannot "
            f"enter {closed}. Set DB_DATA_DIR to a folder that other users can enter, such as "
            f"{_ROOT_HOME} (the default for root): the data in it stay closed to others."
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
            f"The database folder {instance} cannot be created: {error.strerror}. Set DB_DATA_DIR "
            "to a folder that you may write to."
        ) from error


def _user_of(uid: int) -> ServerUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedServerError(
            f"The user id {uid} has no name on this system (no line in /etc/passwd), and "
            "PostgreSQL does not run without one. In a container, add a user with this id "
            "(`useradd --uid ...`), or set DB_HOST or DATABASE_URL to use another server."
        ) from None
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _service_user() -> ServerUser:
    """Give root's user for the server; create it the first time."""
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        _create_service_user()
        entry = pwd.getpwnam(SERVICE_USER)
    if entry.pw_uid == 0:
        raise EmbeddedServerError(
            f"The user {SERVICE_USER!r} has the rights of root. {_NOT_AS_ROOT}"
        )
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create_service_user() -> None:
    useradd = shutil.which("useradd", path=os.defpath + ":/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedServerError(
            "PostgreSQL does not run as root, and there is no `useradd` here to create a user for "
            f"it. Install it (Debian: passwd; Fedora: shadow-utils), or create the user "
            f"{SERVICE_USER!r} yourself. {_NOT_AS_ROOT}"
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/"]
    command += ["--shell", "/bin/false", "--comment", _SERVICE_COMMENT, SERVICE_USER]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    name_taken = 9  # by a process that did the same at the same moment
    if result.returncode not in {0, name_taken}:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and the user {SERVICE_USER!r} for it could not be "
            f"created: {result.stderr.strip()}. {_NOT_AS_ROOT}"
        )
