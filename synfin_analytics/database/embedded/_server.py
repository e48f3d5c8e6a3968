"""Start, share and stop the embedded server."""

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
from pathlib import Path
from typing import Any

from synfin_analytics.database import _libpq
from synfin_analytics.database.embedded import _locks as locks
from synfin_analytics.database.embedded._binaries import readable_binaries, server_binaries
from synfin_analytics.database.embedded._cluster import (
    PORT,
    Cluster,
    accepts,
    answers,
    explained,
    new_socket_folder,
    server_environment,
    socket_file,
)
from synfin_analytics.database.embedded._owner import (
    ServerUser,
    default_home,
    make_private,
    program_shelf,
    refuse_foreign_path,
    server_user,
)
from synfin_analytics.database.embedded._settings import ROLE, command_line
from synfin_analytics.exceptions import EmbeddedServerError

STARTING = "another process that starts or stops the embedded server"
_START_PATIENCE = 300.0  # seconds; after a crash the server first reads its log again
_PATIENCE_WITHOUT_FILE = 4.0  # seconds; a server writes its postmaster.pid as it starts
_PAUSE_IN_RECOVERY = 0.1  # the server logs each knock that it refuses
_ATTEMPTS = 2  # processes that a kill left behind can end the first
_logger = logging.getLogger("synfin_analytics.database")


class EmbeddedPostgres:
    """A PostgreSQL server in a folder, shared by all processes of one user.

    It starts at first use and stops by itself after the last process that used it has ended,
    however that ended. Several of these objects, in one process or many, share one server.

    Parameters
    ----------
    home
        Folder of the databases (``DB_DATA_DIR``); by default the user's data folder.

    Examples
    --------
    >>> server = EmbeddedPostgres()
    >>> sorted(server.connect_arguments("postgres"))
    ['dbname', 'host', 'port', 'user']
    >>> server.release()
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._named = (Path(home).expanduser() if home else default_home()).absolute()
        self.home = self._named.resolve()
        self._mine = threading.RLock()
        self._users: int | None = None
        self._sockets: Path | None = None
        _living.add(self)

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.home)!r})"

    @property
    def cluster(self) -> Cluster:
        """The folder of the cluster for the installed version of PostgreSQL."""
        return Cluster(self.home / f"postgresql-{server_binaries().major}")

    def user(self) -> ServerUser:
        """Give the user as which the server runs; root refuses a folder that others can change."""
        user = server_user(self.cluster.folder)
        refuse_foreign_path(self._named / self.cluster.folder.name, user)
        return user

    def connect_arguments(self, database: str) -> dict[str, Any]:
        """Arguments for libpq (``psycopg2.connect``) to reach ``database``; starts the server.

        They override libpq's own variables (``PGHOSTADDR``, ...) where those are set.
        """
        sockets = self._sockets or self.start()
        named = {"host": str(sockets), "port": PORT, "user": ROLE, "dbname": database}
        return {**_libpq.overriding(), **named}

    def start(self) -> Path:
        """Make sure that the server runs, and give the folder of its socket.

        Counts this process among the server's users until :meth:`release` or its end.
        """
        with self._mine:
            binaries = server_binaries()
            cluster = self.cluster
            user = self.user()
            make_private(cluster.folder, user)
            self.user()  # nobody has put another folder there meanwhile
            with locks.exclusive(cluster.start_lock, what=STARTING, owner=user):
                self._join(cluster, user)
                if not (locks.is_locked(cluster.watch_lock) and self._running(cluster)):
                    cluster.refuse_other_versions(binaries.major)
                    binaries = readable_binaries(binaries, user, program_shelf())
                    cluster.remove_unfinished()
                    if not cluster.exists():
                        _logger.info("creating the embedded database in %s", cluster.folder)
                        cluster.create(binaries, user)
                    self._launch(cluster, user, binaries.program("postgres"))
            if self._sockets is None:
                raise EmbeddedServerError(f"The server in {cluster.folder} has no socket.")
            return self._sockets

    def restart(self) -> Path:
        """Look again whether the server runs, after a connection failed; start it if not."""
        with self._mine:
            self._sockets = None
            return self.start()

    def release(self) -> None:
        """Stop using the server; it stops when nobody else uses it."""
        with self._mine:
            if self._users is not None:
                # Closing, not unlocking: a forked parent or child may share the lock.
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
        descriptor = locks.open_lock_file(cluster.users_lock, user)
        try:
            locks.lock(descriptor, what=STARTING, shared=True)
        except BaseException:
            os.close(descriptor)
            raise
        self._users = descriptor

    def _running(self, cluster: Cluster) -> bool:
        """Wait for a server that has a watchdog to be ready; False if it ends instead."""
        began = seen = time.monotonic()
        while time.monotonic() < began + _START_PATIENCE:
            said = cluster.postmaster()
            if said is not None and said.ready and answers(said.sockets):
                if accepts(said.sockets):
                    self._sockets = said.sockets
                    return True
                time.sleep(_PAUSE_IN_RECOVERY)
            if not locks.is_locked(cluster.watch_lock):
                return False
            # A server without its file or its socket runs, but cannot be reached any more.
            if said is None:
                lost = time.monotonic() > seen + _PATIENCE_WITHOUT_FILE
            else:
                seen = time.monotonic()
                lost = said.ready and not socket_file(said.sockets).exists()
            if lost and cluster.server_processes():
                _logger.warning("the embedded server lost its socket or its file; it starts again")
                cluster.end_server()
                wait_until_free(cluster)
                return False
            time.sleep(0.005)
        raise EmbeddedServerError(
            explained(
                f"The server in {cluster.folder} is not ready after {_START_PATIENCE:.0f} s",
                cluster.log_tail(),
            )
        )

    def _launch(self, cluster: Cluster, user: ServerUser, program: str) -> None:
        """Start the watchdog, which starts the server; or let it adopt one that lost its own."""
        for _ in range(_ATTEMPTS):
            with locks.passing_lock_file(cluster.watch_lock, user) as watch:
                locks.lock(watch, what="the watchdog of a server that is ending")
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
            explained(
                f"The embedded PostgreSQL in {cluster.folder} did not start", cluster.log_tail()
            )
        )


def _run_watchdog(job: dict[str, Any], *inherited: int) -> None:
    """Run the watchdog's script, which detaches itself; it inherits a lock and the log."""
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
        why = error.strerror if isinstance(error, OSError) else f"exit code {error.returncode}"
        raise EmbeddedServerError(
            f"The embedded server's watchdog cannot be run with {sys.executable!r}: {why}. "
            "sys.executable should be a Python that this user may run."
        ) from error


def wait_until_free(cluster: Cluster) -> None:
    """Wait until the server and its watchdog have ended."""
    with locks.passing_lock_file(cluster.watch_lock) as watch:
        locks.lock(watch, what=f"the server in {cluster.folder} to stop")


_living: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held these."""
    for server in _living:
        server._mine = threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)
