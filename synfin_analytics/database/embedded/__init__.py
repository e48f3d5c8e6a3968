"""A PostgreSQL server that is part of the package: it starts and stops automatically."""

from __future__ import annotations

from synfin_analytics.database.embedded._control import ServerStatus, status, stop
from synfin_analytics.database.embedded._root import prepare_root_server, root_server_folders
from synfin_analytics.database.embedded._server import EmbeddedPostgres
from synfin_analytics.database.embedded._settings import cluster_settings

__all__ = [
    "EmbeddedPostgres",
    "ServerStatus",
    "cluster_settings",
    "prepare_root_server",
    "root_server_folders",
    "status",
    "stop",
]
