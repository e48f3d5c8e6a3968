"""A PostgreSQL server that is part of the package: it starts and stops automatically."""

from __future__ import annotations

from synfin_analytics.database.embedded._binaries import prepare_root_server, root_server_folders
from synfin_analytics.database.embedded._cluster import cluster_settings
from synfin_analytics.database.embedded._server import EmbeddedPostgres, ServerStatus, status, stop

__all__ = [
    "EmbeddedPostgres",
    "ServerStatus",
    "cluster_settings",
    "prepare_root_server",
    "root_server_folders",
    "status",
    "stop",
]
