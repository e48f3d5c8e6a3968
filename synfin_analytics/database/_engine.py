"""SQLAlchemy's engine, as the manager wants it: its pool, its log and its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
from sqlalchemy import create_engine, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from synfin_analytics.database.connection import message_of
from synfin_analytics.database.logging import log_connections
from synfin_analytics.exceptions import DatabaseConnectionError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.connection import Connection


def make_engine(config: DatabaseConfig, creator: Callable[[], Connection]) -> Engine:
    """Make the engine for a configuration; ``creator`` opens its connections."""

    def failed(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, SynfinError):
            raise context.original_exception
        if context.is_disconnect and not context.is_pre_ping:
            raise DatabaseConnectionError(
                f"The connection to {config.place} was lost in the middle of a transaction. "
                "What was not committed is rolled back. Roll the session back and run it again."
            ) from context.original_exception
        _hide_values(context)

    engine = create_engine(
        "postgresql+psycopg2://",
        creator=creator,
        poolclass=_Pool,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout,
        pool_recycle=config.pool_recycle,
        pool_pre_ping=True,
        pool_reset_on_return=None,  # `_returned` does more than a rollback
        echo=config.echo,
        hide_parameters=True,  # they may be card holders' data
    )
    event.listen(engine, "handle_error", failed)
    event.listen(engine, "reset", _returned)
    event.listen(engine, "checkin", _checked_in)
    log_connections(engine, config)
    return engine


def _hide_values(context: ExceptionContext) -> None:
    """Leave the row out of an error that goes to the user as the driver and SQLAlchemy raise it."""
    error, outer = context.original_exception, context.sqlalchemy_exception
    if isinstance(error, psycopg2.Error) and (message := message_of(error)):
        error.args = (message,)
        if outer is not None:
            outer.args = (f"({type(error).__module__}.{type(error).__name__}) {message}",)


def _returned(connection: Connection, _record: object, state: PoolResetState) -> None:
    """Give a connection back as it was: the next session must not run in what this one has set."""
    if not state.terminate_only:
        connection.reset_session()


def _checked_in(connection: Connection | None, record: ConnectionPoolEntry) -> None:
    if connection is None:  # it was found broken, and given up
        return
    connection.reset_transactions()  # here, since SQLAlchemy sets its own defaults before
    if connection.through_pooler:
        # In transaction mode there is no session to clear, and in session mode the pooler clears
        # it when we leave. To connect to a pooler is cheap.
        record.invalidate()


class _Pool(QueuePool):
    """SQLAlchemy's pool, which says in our words that it is exhausted."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except PoolTimeout as error:
            raise DatabaseConnectionError(
                f"All {self.checkedout()} connections are in use, and none came back within "
                f"{self.timeout():.0f} s. Close sessions after use (session_scope() does), or "
                "raise DB_POOL_SIZE or DB_MAX_OVERFLOW."
            ) from error
