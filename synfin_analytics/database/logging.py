"""Logging of the database layer, with the standard library's :mod:`logging`.

The logger is ``synfin_analytics.database``; every record has the category
:attr:`LogCategory.DATABASE`. To follow the connections of the pool::

    logging.basicConfig(format="%(asctime)s %(category)s %(message)s")
    logging.getLogger("synfin_analytics.database").setLevel(logging.DEBUG)
"""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import event

from synfin_analytics._core.sql import without_values
from synfin_analytics.exceptions import DatabaseWarning

if TYPE_CHECKING:
    from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - a class
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    from synfin_analytics.database.config import DatabaseConfig

#: Keys of `connection.info`.
_THRESHOLD, _STARTED = "synfin_slow_query_ms", "synfin_started"


class LogCategory(StrEnum):
    """Category of a log record, as its attribute ``category``; for filters and formats.

    Examples
    --------
    >>> LogCategory.DATABASE == "DATABASE", f"{LogCategory.DATABASE}"
    (True, 'DATABASE')
    """

    DATABASE = "DATABASE"


def _add_category(record: logging.LogRecord) -> bool:
    record.category = LogCategory.DATABASE
    return True


logging.getLogger("synfin_analytics").addHandler(logging.NullHandler())
logger = logging.getLogger("synfin_analytics.database")
logger.addFilter(_add_category)


def warn(message: str) -> None:
    """Log a warning, and show it to a user who does not read the log.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("The replica db2:5432 cannot be used.")
    >>> caught[0].category.__name__
    'DatabaseWarning'
    """
    logger.warning("%s", message)
    # At the line of the caller's own code: Python shows the same text once for each line.
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_internal(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, DatabaseWarning, stacklevel=level)


def _is_internal(module: str) -> bool:
    return module.partition(".")[0] in {"synfin_analytics", "contextlib", "sqlalchemy"}


def log_if_slow(connection: Connection, started: float, statement: str) -> None:
    """Log a statement that took at least ``slow_query_ms`` of the connection's configuration.

    Parameters
    ----------
    connection
        Connection that the statement ran on.
    started
        When it was sent, by :func:`time.perf_counter`.
    statement
        Its text; literals and comments are not logged.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> with get_db_manager().engine.connect() as connection:
    ...     log_if_slow(connection, time.perf_counter(), "SELECT 1")
    """
    milliseconds = 1000 * (time.perf_counter() - started)
    # A user's own engine has no threshold.
    if milliseconds >= connection.info.get(_THRESHOLD, math.inf):
        logger.warning("slow query, %.0f ms: %s", milliseconds, without_values(statement))


def log_connections(engine: Engine, config: DatabaseConfig) -> None:
    """Log when connections of an engine open, are used and returned, and slow statements.

    Examples
    --------
    >>> from sqlalchemy import create_engine
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> log_connections(create_engine("postgresql+psycopg2://db.bank"), DatabaseConfig())
    """

    def log_connect(connection: DriverConnection, record: ConnectionPoolEntry) -> None:
        record.info[_THRESHOLD] = config.slow_query_ms
        logger.debug("connect: %s, backend %s", config.place, connection.info.backend_pid)

    def log_checkout(connection: DriverConnection, _record: object, _proxy: object) -> None:
        logger.debug("checkout: backend %s", connection.info.backend_pid)

    def log_checkin(connection: DriverConnection | None, _record: object) -> None:
        if connection is not None:  # None: it was broken, and has been discarded
            logger.debug("checkin: backend %s", connection.info.backend_pid)

    def start_timer(connection: Connection, *_: object) -> None:
        connection.info[_STARTED] = time.perf_counter()

    def log_statement(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        log_if_slow(connection, connection.info[_STARTED], statement)

    event.listen(engine, "connect", log_connect)
    event.listen(engine, "checkout", log_checkout)
    event.listen(engine, "checkin", log_checkin)
    event.listen(engine, "before_cursor_execute", start_timer)
    event.listen(engine, "after_cursor_execute", log_statement)
