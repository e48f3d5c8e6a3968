"""Engines: the connection pool, what a connection is reset to, and the errors of SQLAlchemy."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, cast

import psycopg2
from sqlalchemy import create_engine, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from synfin_analytics.database._replica_errors import error_of_replica
from synfin_analytics.database.cache import attach_cache
from synfin_analytics.database.connection import message_of, reason_of_loss
from synfin_analytics.database.logging import log_connections
from synfin_analytics.database.protection import register_engine
from synfin_analytics.exceptions import DatabaseConnectionError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection as BoundConnection
    from sqlalchemy.engine import Engine, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.connection import Connection

_NO_OUTCOME = (
    "in the middle of a transaction. Uncommitted changes are rolled back. Roll the session back "
    "and run it again."
)
_UNKNOWN_OUTCOME = (
    "during a commit: it is unknown whether the changes are stored. Roll the session back, and "
    "check before you make them again."
)
_LOST_BEFORE = (
    "was lost earlier in this transaction, whose changes are rolled back. Roll the session back "
    "(session.rollback()), and run it again from its beginning."
)


def create_pooled_engine(
    config: DatabaseConfig, creator: Callable[[], Connection], *, pre_ping: bool = True
) -> Engine:
    """Create an engine with the package's pool, log and errors.

    Parameters
    ----------
    config
        Settings of the pool.
    creator
        Opens a connection.
    pre_ping
        Test each pooled connection before it is used.
    """
    # From a COMMIT to the next transaction. Not in `connection.info`: a connection that is closed,
    # or with which SQLAlchemy first looks at the server, does not have it.
    committing: weakref.WeakSet[BoundConnection | None] = weakref.WeakSet()

    def translate_error(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, SynfinError):
            raise context.original_exception
        # After Ctrl-C, SQLAlchemy gives the connection up as well.
        is_lost = context.is_disconnect and isinstance(context.original_exception, Exception)
        replica = _replica_of(context)
        if replica is not None and not context.is_pre_ping:
            error = error_of_replica(context.original_exception, replica, is_lost=is_lost)
            if error is not None:
                raise error from context.original_exception
        if is_lost and not context.is_pre_ping:
            outcome = _UNKNOWN_OUTCOME if context.connection in committing else _NO_OUTCOME
            reason = _reason_of_loss(context)
            raise DatabaseConnectionError(
                f"The connection to {config.place} was lost {outcome}{reason and ' ' + reason}"
            ) from context.original_exception
        _hide_values(context)

    pool: dict[str, Any] = {"poolclass": NoPool}
    if config.pool == "queue":
        pool = {
            "poolclass": _Pool,
            "pool_size": config.pool_size,
            "max_overflow": config.max_overflow,
            "pool_timeout": config.pool_timeout,
            "pool_recycle": config.pool_recycle,
            "pool_pre_ping": pre_ping,
        }
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=creator,
        **pool,
        pool_reset_on_return=None,  # `_reset_session` does more than a rollback
        echo=config.echo,
        hide_parameters=True,  # they may be card holders' data
    )
    event.listen(engine, "handle_error", translate_error)

    def refuse_lost(connection: BoundConnection, *_: object) -> None:
        # SQLAlchemy's own error says that it cannot reconnect, and not why.
        if connection.invalidated and connection.get_transaction() is not None:
            raise DatabaseConnectionError(f"The connection to {config.place} {_LOST_BEFORE}")

    for name in ("before_execute", "savepoint", "commit"):
        event.listen(engine, name, refuse_lost)
    event.listen(engine, "begin", committing.discard)
    event.listen(engine, "commit", committing.add)
    event.listen(engine, "reset", _reset_session)
    event.listen(engine, "checkin", _reset_transactions)
    log_connections(engine, config)
    register_engine(engine, config)
    attach_cache(engine, config.cache_url)
    return engine


def _reason_of_loss(context: ExceptionContext) -> str:
    """Return a pooler's reason for a lost connection."""
    connection = _driver_connection(context)
    return "" if connection is None else reason_of_loss(connection)


def _replica_of(context: ExceptionContext) -> str | None:
    """Return the read replica on which a statement failed."""
    connection = _driver_connection(context)
    return None if connection is None else connection.replica


def _driver_connection(context: ExceptionContext) -> Connection | None:
    connection = context.connection
    if connection is None or connection.closed or connection.invalidated:
        return None
    return cast("Connection", connection.connection.driver_connection)


def _hide_values(context: ExceptionContext) -> None:
    """Remove the row from an error that reaches the user as the driver and SQLAlchemy raise it."""
    error, outer_error = context.original_exception, context.sqlalchemy_exception
    if isinstance(error, psycopg2.Error) and (message := message_of(error)):
        error.args = (message,)
        if outer_error is not None:
            outer_error.args = (f"({type(error).__module__}.{type(error).__name__}) {message}",)


def _reset_session(connection: Connection, _record: object, state: PoolResetState) -> None:
    """Undo what a session has set, so that the next one does not run with it."""
    if not state.terminate_only:
        connection.reset_session()


def _reset_transactions(connection: Connection | None, record: ConnectionPoolEntry) -> None:
    if connection is None:  # it was broken, and has been discarded
        return
    connection.reset_transactions()  # not earlier, since SQLAlchemy sets its own defaults before
    if connection.through_pooler:
        # In transaction mode there is no session to reset, and in session mode the pooler resets it
        # when we disconnect. Connecting to a pooler is cheap.
        record.invalidate()


class _Pool(QueuePool):
    """SQLAlchemy's pool with an error of ours when it is exhausted."""

    # SQLAlchemy names the pool's own logger by its module: under our name, it would be in our log.
    __module__ = QueuePool.__module__

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except PoolTimeout as error:
            raise DatabaseConnectionError(
                f"All {self.checkedout()} connections are in use, and none was returned within "
                f"{self.timeout():.0f} s. Close sessions after use (session_scope() does), or "
                "raise DB_POOL_SIZE or DB_MAX_OVERFLOW."
            ) from error


class NoPool(NullPool):
    """No pool: every session opens a connection and closes it; they are only counted."""

    __module__ = NullPool.__module__

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._n_open = 0
        self._count_lock = threading.Lock()

    def _do_get(self) -> ConnectionPoolEntry:
        entry = super()._do_get()
        with self._count_lock:
            self._n_open += 1
        return entry

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        with self._count_lock:
            self._n_open -= 1
        super()._do_return_conn(record)

    def size(self) -> int:
        """Return the number of connections that are kept open."""
        return 0

    def checkedin(self) -> int:
        """Return the number of idle connections."""
        return 0

    def checkedout(self) -> int:
        """Return the number of connections in use."""
        return self._n_open

    def overflow(self) -> int:
        """Return the number of connections that are open beyond :meth:`size`."""
        return self._n_open
