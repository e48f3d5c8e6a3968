"""A PostgreSQL server that comes with the package: it starts by itself and stops by itself."""

from __future__ import annotations

from synfin_analytics.embedded.control import ServerStatus, status, stop
from synfin_analytics.embedded.server import EmbeddedPostgres
from synfin_analytics.embedded.settings import cluster_settings

__all__ = ["EmbeddedPostgres", "ServerStatus", "cluster_settings", "status", "stop"]
