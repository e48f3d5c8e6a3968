"""Look at the embedded server, and stop it, from outside."""

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
    """What :func:`status` finds.

    Attributes
    ----------
    running
        Whether the server runs now.
    pid
        Its process id, if it runs.
    data_dir
        PostgreSQL's data folder; it exists after the first start.
    version
        Version of the server that is installed.
    socket_dir
        Folder of its socket, if it runs (``psql -h <socket_dir> -U synfin``).
    users
        Process ids of those that use it; None on systems that do not tell.
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
    """Look at the embedded server without starting it."""
    cluster = EmbeddedPostgres(home).cluster
    said = cluster.postmaster() if cluster.folder.exists() else None
    running = said is not None and said.ready and answers(said.sockets)
    return ServerStatus(
        running=running,
        pid=said.pid if running and said else None,
        data_dir=cluster.data,
        version=server_binaries().version,
        socket_dir=said.sockets if running and said else None,
        users=locks.processes_sharing(cluster.users_lock) if running else [],
        size=_size(cluster.folder),
    )


def stop(home: str | os.PathLike[str] | None = None, *, force: bool = False) -> bool:
    """Stop the embedded server; give False if it did not run.

    Parameters
    ----------
    home
        Folder of the databases; by default that of the configuration's default.
    force
        Stop it under the feet of processes that use it. Their open transactions are rolled back;
        their next query starts it again.
    """
    server = EmbeddedPostgres(home)
    cluster = server.cluster
    if not cluster.folder.exists():
        return False
    owner = server.user()
    with locks.exclusive(cluster.start_lock, what=STARTING, owner=owner):
        if not cluster.server_processes():
            return False
        if not force and locks.is_locked(cluster.users_lock):
            users = locks.processes_sharing(cluster.users_lock)
            who = f"processes {', '.join(map(str, users))}" if users else "another process"
            raise EmbeddedServerError(
                f"The server in {cluster.folder} is in use by {who}. It stops by itself when they "
                "end; `synfin db stop --force` stops it now and rolls back what is open."
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
                continue  # the server removed it meanwhile
    return total
