"""Logging of the database layer, with the standard :mod:`logging`.

The logger is ``synfin_analytics.database``; each of its records has the attribute
``category == "DATABASE"``. To see connections come and go::

    logging.basicConfig(format="%(asctime)s %(category)s %(message)s")
    logging.getLogger("synfin_analytics.database").setLevel(logging.DEBUG)
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from synfin_analytics._core.sql import without_values

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.connection import Connection as DriverConnection

CATEGORY = "DATABASE"
_SLOW = "synfin_slow_query_ms"


class _CategoryFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.category = CATEGORY
        return True


def _database_logger() -> logging.Logger:
    logging.getLogger("synfin_analytics").addHandler(logging.NullHandler())
    named = logging.getLogger("synfin_analytics.database")
    named.addFilter(_CategoryFilter())
    return named


logger = _database_logger()


def log_if_slow(connection: Connection, began: float, statement: str) -> None:
    """Log a statement that took at least ``slow_query_ms`` of the connection's configuration.

    Parameters
    ----------
    began
        When it was sent, by :func:`time.perf_counter`.
    statement
        Its text; its literals and comments are not logged.
    """
    took = 1000 * (time.perf_counter() - began)
    if took >= connection.info.get(_SLOW, math.inf):  # a user's own engine has no such setting
        logger.warning("slow query, %.0f ms: %s", took, without_values(statement))


def log_connections(engine: Engine, config: DatabaseConfig) -> None:
    """Log the life of an engine's connections, and the statements that are slow."""
    from sqlalchemy import event

    def connected(connection: DriverConnection, record: ConnectionPoolEntry) -> None:
        record.info[_SLOW] = config.slow_query_ms
        logger.debug("connect: %s, backend %s", config.place, connection.info.backend_pid)

    def checked_out(connection: DriverConnection, _record: object, _proxy: object) -> None:
        logger.debug("checkout: backend %s", connection.info.backend_pid)

    def checked_in(connection: DriverConnection | None, _record: object) -> None:
        if connection is not None:  # None: it was found broken, and given up
            logger.debug("checkin: backend %s", connection.info.backend_pid)

    def before(connection: Connection, *_: object) -> None:
        connection.info["synfin_began"] = time.perf_counter()

    def after(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        log_if_slow(connection, connection.info["synfin_began"], statement)

    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", checked_out)
    event.listen(engine, "checkin", checked_in)
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
