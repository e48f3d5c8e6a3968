"""Start, share, inspect and stop the embedded server."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synfin_analytics.database._libpq_environment import libpq_overrides
from synfin_analytics.database.embedded import _locks as locks
from synfin_analytics.database.embedded._binaries import readable_binaries, server_binaries
from synfin_analytics.database.embedded._cluster import (
    PORT,
    ROLE,
    Answer,
    Cluster,
    ask,
    command_line,
    explain,
    new_socket_folder,
    server_environment,
    socket_file,
)
from synfin_analytics.database.embedded._owner import (
    ServerUser,
    check_path,
    default_home,
    make_private,
    open_own_file,
    program_copies,
    server_user,
)
from synfin_analytics.exceptions import EmbeddedServerError

_STARTING = "another process that starts or stops the embedded server"
_START_TIMEOUT = 300.0  # seconds; after a crash the server first recovers
_FILE_TIMEOUT = 4.0  # seconds; a server writes its postmaster.pid when it starts
_RECOVERY_PAUSE = 0.1  # seconds; the server logs each connection that it refuses
_ATTEMPTS = 2  # processes that survived a kill can end the first attempt
_logger = logging.getLogger("synfin_analytics.database")


class EmbeddedPostgres:
    """A PostgreSQL server in a directory, shared by all processes of one user.

    It starts at first use and stops after the last process that used it has ended for whatever
    reason. Several of these objects, in one process or many, share one server.

    Parameters
    ----------
    home
        Directory of the databases; by default ``DB_DATA_DIR`` or the user's data directory.

    Examples
    --------
    >>> server = EmbeddedPostgres()
    >>> sorted(server.connect_arguments("postgres"))
    ['dbname', 'host', 'port', 'user']
    >>> server.release()
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._path = (Path(home).expanduser() if home else default_home()).absolute()
        self.home = self._path.resolve()
        self._lock = threading.RLock()
        self._users: int | None = None
        self._sockets: Path | None = None
        _servers.add(self)

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.home)!r})"

    @cached_property
    def cluster(self) -> Cluster:
        """Directory of the cluster for the installed version of PostgreSQL."""
        return Cluster(self.home / f"postgresql-{server_binaries().major}")

    def user(self) -> ServerUser:
        """Return the user that runs the server; as root, check that the path is safe."""
        user = server_user(self.cluster.folder)
        check_path(self._path / self.cluster.folder.name, user)
        return user

    def connect_arguments(self, database: str) -> dict[str, Any]:
        """Return the arguments of ``psycopg2.connect`` for ``database``; start the server.

        They override libpq's environment variables (``PGHOSTADDR``, ...) if these are set.

        Examples
        --------
        >>> EmbeddedPostgres().connect_arguments("postgres")["user"]
        'synfin'
        """
        sockets = self._sockets or self.start()
        arguments = {"host": str(sockets), "port": PORT, "user": ROLE, "dbname": database}
        return {**libpq_overrides(), **arguments}

    def start(self) -> Path:
        """Start the server unless it is running, and return the directory of its socket.

        This process counts as a user of the server until :meth:`release` or its end.

        Raises
        ------
        EmbeddedServerError
            The server cannot be installed, created or started.

        Examples
        --------
        >>> server = EmbeddedPostgres()
        >>> (server.start() / ".s.PGSQL.5432").exists()
        True
        >>> server.release()
        """
        with self._lock:
            cluster = self.cluster
            user = self.user()
            make_private(cluster.folder, user)
            self.user()  # check again: another user may have replaced the directory meanwhile
            with locks.exclusive(cluster.start_lock, holder=_STARTING, owner=user):
                self._join(cluster, user)
                if not (locks.is_locked(cluster.watch_lock) and self._running(cluster)):
                    binaries = server_binaries()
                    cluster.check_version(binaries.major)
                    binaries = readable_binaries(binaries, user, program_copies())
                    cluster.remove_unfinished()
                    if not cluster.exists():
                        _logger.info("creating the embedded database in %s", cluster.folder)
                        cluster.create(binaries, user)
                    self._launch(cluster, user, binaries.program("postgres"))
            if self._sockets is None:
                raise EmbeddedServerError(f"The server in {cluster.folder} has no socket.")
            return self._sockets

    def restart(self) -> Path:
        """Check after a failed connection whether the server is running; start it if not."""
        with self._lock:
            self._sockets = None
            return self.start()

    def release(self) -> None:
        """Stop using the server, which stops when no other process uses it."""
        with self._lock:
            if self._users is not None:
                # Close instead of unlock, since a forked parent or child may share the lock.
                os.close(self._users)
            self._users = self._sockets = None

    close = release

    def _join(self, cluster: Cluster, user: ServerUser) -> None:
        """Take this process's share of the users' lock, on the file that exists now."""
        if self._users is not None:
            current = cluster.users_lock
            if current.exists() and os.path.samestat(os.fstat(self._users), current.stat()):
                return
            os.close(self._users)
            self._users = None
        descriptor = open_own_file(cluster.users_lock, os.O_RDWR, user)
        try:
            locks.lock(descriptor, holder=_STARTING, shared=True)
        except BaseException:
            os.close(descriptor)
            raise
        self._users = descriptor

    def _running(self, cluster: Cluster) -> bool:
        """Wait until a server with a watchdog is ready; return False if it ends instead."""
        started = last_seen = time.monotonic()
        while time.monotonic() < started + _START_TIMEOUT:
            server = cluster.postmaster()
            if server is not None and server.ready:
                # Each question makes the server start a process.
                answer = ask(server.sockets)
                if answer is Answer.ACCEPTS:
                    self._sockets = server.sockets
                    return True
                if answer is Answer.REFUSES:
                    time.sleep(_RECOVERY_PAUSE)
            if not locks.is_locked(cluster.watch_lock):
                return False
            # A server that lost its file or its socket is running, but cannot be reached.
            if server is None:
                is_lost = time.monotonic() > last_seen + _FILE_TIMEOUT
            else:
                last_seen = time.monotonic()
                is_lost = server.ready and not socket_file(server.sockets).exists()
            if is_lost and cluster.server_processes():
                _logger.warning("the embedded server lost its socket or its file; restarting it")
                _end_server(cluster)
                return False
            time.sleep(0.005)
        raise EmbeddedServerError(
            explain(
                f"The server in {cluster.folder} is not ready after {_START_TIMEOUT:.0f} s",
                cluster.log_tail(),
            )
        )

    def _launch(self, cluster: Cluster, user: ServerUser, program: str) -> None:
        """Start the watchdog, which starts the server, or adopts one that lost its watchdog."""
        for _ in range(_ATTEMPTS):
            with locks.brief_lock_file(cluster.watch_lock, user) as watch:
                locks.lock(watch, holder="the watchdog of a server that is ending")
                adopted = cluster.running_server()
                sockets = adopted.sockets if adopted else new_socket_folder(user)
                cluster.write_configuration(user)
                job: dict[str, Any] = {
                    "users": str(cluster.users_lock),
                    "start": str(cluster.start_lock),
                    "sockets": str(sockets),
                    "adopt": adopted.pid if adopted else None,
                    "switch": user.switch,
                    "environment": server_environment(),
                    "command": [program, *command_line(cluster.data, cluster.folder, sockets)],
                }
                log = cluster.open_log(user)
                try:
                    _run_watchdog({**job, "log": log}, watch, log)
                finally:
                    os.close(log)
            if self._running(cluster):
                return
            shutil.rmtree(sockets, ignore_errors=True)
        raise EmbeddedServerError(
            explain(
                f"The embedded PostgreSQL in {cluster.folder} did not start", cluster.log_tail()
            )
        )


def _run_watchdog(job: dict[str, Any], *inherited: int) -> None:
    """Run the script of the watchdog, which detaches itself and inherits a lock and the log."""
    script = str(Path(__file__).with_name("_watchdog.py"))
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", script, json.dumps(job)],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=inherited,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"exit code {error.returncode}"
        raise EmbeddedServerError(
            f"The embedded server's watchdog cannot be run with {sys.executable!r}: {reason}. "
            "sys.executable must be a Python that this user can run."
        ) from error


def _end_server(cluster: Cluster) -> None:
    """Stop the server, and wait until it and its watchdog have ended."""
    cluster.end_server()
    with locks.brief_lock_file(cluster.watch_lock) as watch:
        locks.lock(watch, holder=f"the server in {cluster.folder} to stop")


@dataclass(frozen=True)
class ServerStatus:
    """Result of :func:`status`.

    Attributes
    ----------
    running
        Whether the server is running.
    pid
        Its process id, if it is running.
    data_dir
        PostgreSQL's data directory, which exists after the first start.
    version
        Version of the installed server.
    socket_dir
        Directory of its socket, if it is running (``psql -h <socket_dir> -U synfin``).
    users
        Ids of the processes that use it; None on systems that do not list them.
    size
        Bytes on disk.
    """

    running: bool
    pid: int | None
    data_dir: Path
    version: str
    socket_dir: Path | None
    users: list[int] | None
    size: int


def status(home: str | os.PathLike[str] | None = None) -> ServerStatus:
    """Inspect the embedded server without starting it.

    Parameters
    ----------
    home
        Directory of the databases; by default ``DB_DATA_DIR`` or the user's data directory.

    Examples
    --------
    >>> status().version >= "14"
    True
    """
    cluster = EmbeddedPostgres(home).cluster
    server = cluster.postmaster() if cluster.folder.exists() else None
    running = server is not None and server.ready and ask(server.sockets) is not Answer.NONE
    return ServerStatus(
        running=running,
        pid=server.pid if running and server else None,
        data_dir=cluster.data,
        version=server_binaries().version,
        socket_dir=server.sockets if running and server else None,
        users=locks.processes_sharing(cluster.users_lock) if running else [],
        size=_size(cluster.folder),
    )


def stop(home: str | os.PathLike[str] | None = None, *, force: bool = False) -> bool:
    """Stop the embedded server; return False if it was not running.

    Parameters
    ----------
    home
        Directory of the databases; by default ``DB_DATA_DIR`` or the user's data directory.
    force
        Stop it even if processes use it. Their open transactions are rolled back; their next query
        starts it again.

    Raises
    ------
    EmbeddedServerError
        Another process uses the server, and ``force`` is False.

    Examples
    --------
    >>> stop("/no/such/directory")
    False
    """
    server = EmbeddedPostgres(home)
    cluster = server.cluster
    if not cluster.folder.exists():
        return False
    owner = server.user()
    with locks.exclusive(cluster.start_lock, holder=_STARTING, owner=owner):
        if not cluster.server_processes():
            return False
        if not force and locks.is_locked(cluster.users_lock):
            users = locks.processes_sharing(cluster.users_lock)
            names = f"processes {', '.join(map(str, users))}" if users else "another process"
            raise EmbeddedServerError(
                f"The server in {cluster.folder} is in use by {names}. It stops when they end; "
                "`synfin db stop --force` stops it now and rolls back open transactions."
            )
        _end_server(cluster)
    return True


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118 - many files
            except FileNotFoundError:
                continue  # the server has removed it
    return total


_servers: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


def _renew_locks() -> None:
    """Replace locks in a forked child, as another thread of the parent may have held them."""
    for server in _servers:
        server._lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)
