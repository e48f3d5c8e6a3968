"""Inspect and stop the embedded server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded import _locks as locks
from synfin_analytics.database.embedded._binaries import server_binaries
from synfin_analytics.database.embedded._cluster import answers
from synfin_analytics.database.embedded._server import STARTING, EmbeddedPostgres, wait_until_free
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path


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
    running = server is not None and server.ready and answers(server.sockets)
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
    with locks.exclusive(cluster.start_lock, holder=STARTING, owner=owner):
        if not cluster.server_processes():
            return False
        if not force and locks.is_locked(cluster.users_lock):
            users = locks.processes_sharing(cluster.users_lock)
            names = f"processes {', '.join(map(str, users))}" if users else "another process"
            raise EmbeddedServerError(
                f"The server in {cluster.folder} is in use by {names}. It stops when they end; "
                "`synfin db stop --force` stops it now and rolls back open transactions."
            )
        cluster.end_server()
        wait_until_free(cluster)
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
