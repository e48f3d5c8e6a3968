"""The database manager: a pool of connections, and sessions."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

from synfin_analytics.database._engine import make_engine
from synfin_analytics.database._settings import to_url
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.logging import logger
from synfin_analytics.exceptions import (
    ArgumentError,
    SynfinError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy.engine import Engine

    from synfin_analytics.database.connection import Connection as DriverConnection
    from synfin_analytics.database.embedded import EmbeddedPostgres
    from synfin_analytics.database.models import Base
    from synfin_analytics.io.load.report import LoadReport


@dataclass(frozen=True)
class _Opened:
    """What an initialised manager works with."""

    engine: Engine
    factory: sessionmaker[Session]
    scoped: scoped_session[Session]


class DatabaseManager:
    """Connections and sessions to one database.

    Nothing is opened before it is needed. A manager may be shared by threads; a process that is
    forked from this one gets connections of its own.

    Parameters
    ----------
    config
        Which database; by default what the environment says (:meth:`DatabaseConfig.from_env`).

    Attributes
    ----------
    closed
        Whether it was closed, and not used since.

    Examples
    --------
    >>> manager = DatabaseManager()
    >>> manager.get_pool_status()
    {'status': 'not_initialized'}
    >>> with manager.session_scope() as session:
    ...     session.execute(text("SELECT 'ready'")).scalar_one()
    'ready'
    >>> manager.close()
    """

    def __init__(self, config: DatabaseConfig | None = None) -> None:
        self.config = config if config is not None else DatabaseConfig.from_env()
        self._lock = threading.RLock()
        self._opened: _Opened | None = None
        self._embedded: EmbeddedPostgres | None = None
        self._connected_before = False
        self.closed = False
        _managers.add(self)

    def __repr__(self) -> str:
        return f"DatabaseManager({self.config!r}, {self.get_pool_status()['status']})"

    # -- Engine -------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Create the engine and the session factory; the first use does it by itself."""
        self._open()

    def _open(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                if self.config.embedded:
                    from synfin_analytics.database.embedded import EmbeddedPostgres

                    self._embedded = EmbeddedPostgres(self.config.data_dir)
                engine = make_engine(self.config, self._connect)
                factory = sessionmaker(engine, autoflush=False, expire_on_commit=False)
                self._opened = _Opened(engine, factory, scoped_session(factory))
                self.closed = False
            return self._opened

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self._open().engine

    def get_connection_string(self) -> str:
        """URL of the database for SQLAlchemy, with the password in it.

        The database is connected to first. The URL of an embedded one holds until it stops.
        """
        self.engine.connect().close()  # the server runs now, and the database exists
        if self._embedded is None:
            return self.config.get_connection_string()
        return to_url(self._embedded.connect_arguments(self.config.database))

    def _connect(self) -> DriverConnection:
        from synfin_analytics.database.connection import connect

        connection = connect(self.config, self._embedded, known_to_work=self._connected_before)
        self._connected_before = True
        return connection

    # -- Tables -------------------------------------------------------------------------------

    def create_all_tables(self) -> None:
        """Create the tables, with their indexes and triggers, or bring them up to date."""
        from synfin_analytics.database import schema

        schema.upgrade(self)

    def drop_all_tables(self) -> None:
        """Drop the tables, and the data in them."""
        from synfin_analytics.database import schema

        schema.downgrade(self, "base")

    # -- Sessions -----------------------------------------------------------------------------

    def get_session(self) -> Session:
        """Open a new session; close it after use (``with manager.get_session() as session``)."""
        return self._open().factory()

    def get_scoped_session(self) -> Session:
        """Give this thread's session: the same one at each call, until :meth:`close`."""
        return self._open().scoped()

    @contextlib.contextmanager
    def session_scope(self) -> Iterator[Session]:
        """Open a session that commits at the end, or rolls back if an error leaves it.

        Examples
        --------
        >>> with DatabaseManager().session_scope() as session:
        ...     session.execute(text("SELECT 1")).scalar_one()
        1
        """
        with self.get_session() as session, session.begin():
            yield session

    # -- Data ---------------------------------------------------------------------------------

    def bulk_insert(
        self,
        objects: Any,
        batch_size: int = 1000,
        *,
        table: str | type[Base] | None = None,
        **options: Any,
    ) -> LoadReport:
        """Load many rows of one table at once, by COPY and in one transaction.

        Parameters
        ----------
        objects
            ORM objects, dicts or a DataFrame.
        batch_size
            Accepted for the sake of callers that think in batches; rows are streamed, and any
            number of them is one transaction.
        table
            Their table; ORM objects know it themselves.
        **options
            As for :func:`synfin_analytics.load_df`.

        Raises
        ------
        ArgumentError
            If the table is not known, or the objects are of several.
        """
        from synfin_analytics.io.load import load_df

        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}, but should be at least 1.")
        return load_df(objects, table or _table_of(objects), manager=self, **options)

    def execute_query(
        self, query: Any, params: Mapping[str, object] | None = None, **options: Any
    ) -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Run a query in a session that only reads, and return its rows as a DataFrame.

        Parameters
        ----------
        query
            A SELECT, as text or of SQLAlchemy, or a table.
        params
            Values for the query's parameters (``:name`` in text). They are bound, never formatted
            into it.
        **options
            As for :func:`synfin_analytics.read_df`.

        Examples
        --------
        >>> DatabaseManager().execute_query("SELECT :amount * 2 AS doubled", {"amount": 21})
           doubled
        0       42
        """
        from synfin_analytics.io.read import read_df

        return read_df(query, params, manager=self, **options)

    # -- State --------------------------------------------------------------------------------

    def get_pool_status(self) -> dict[str, Any]:
        """Count the pool's connections.

        Returns
        -------
        dict
            ``status``; once initialised also ``size`` (connections kept), ``checked_in`` (idle),
            ``checked_out`` (in use) and ``overflow`` (open beyond ``size``).
        """
        pool = self._opened.engine.pool if self._opened else None
        if not isinstance(pool, QueuePool):
            return {"status": "not_initialized"}
        return {
            "status": "initialized",
            "size": pool.size(),
            "checked_in": pool.checkedin(),
            "checked_out": pool.checkedout(),
            "overflow": max(0, pool.overflow()),
        }

    def health_check(self) -> bool:
        """Say whether the database answers; why it does not is in the log."""
        try:
            with self.engine.connect() as connection:
                return bool(connection.execute(text("SELECT 1")).scalar_one() == 1)
        except (SQLAlchemyError, SynfinError) as error:
            logger.warning("health check failed: %s", error)
            return False

    def close(self) -> None:
        """Close all connections, and stop using the embedded server.

        The manager opens again by itself when it is used again.
        """
        with self._lock:
            if self._opened is not None:
                self._opened.scoped.remove()
                self._opened.engine.dispose()
            if self._embedded is not None:
                self._embedded.release()
            self._opened = self._embedded = None
            self.closed = True

    def _after_fork(self) -> None:
        """In the child: leave the parent's connections alone, and begin with an empty pool."""
        self._lock = threading.RLock()
        if self._opened is not None:
            self._opened.engine.dispose(close=False)
            self._opened = replace(self._opened, scoped=scoped_session(self._opened.factory))


def _table_of(objects: Any) -> type[Base]:
    """Find the one model of some ORM objects."""
    from synfin_analytics.database.models import Base

    models = {type(one) for one in objects} if isinstance(objects, (list, tuple)) else set()
    if len(models) == 1 and issubclass(model := models.pop(), Base):
        return model
    raise ArgumentError(
        "bulk_insert does not know the table. Give ORM objects of one model in a list, or say "
        'table="transactions".'
    )


_managers: weakref.WeakSet[DatabaseManager] = weakref.WeakSet()


def _after_fork() -> None:
    for manager in list(_managers):
        manager._after_fork()


os.register_at_fork(after_in_child=_after_fork)
