"""The database manager: a connection pool and its sessions."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Unpack, overload

from sqlalchemy.orm import Session, scoped_session, sessionmaker

from synfin_analytics._core.lookup import dataframe_function
from synfin_analytics.database._engine import create_pooled_engine
from synfin_analytics.database._hosts import format_servers
from synfin_analytics.database._replicas import Replicas
from synfin_analytics.database._url import format_url
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.connection import Connection, connect, warn_of_pool_size
from synfin_analytics.database.logging import logger
from synfin_analytics.database.protection import require_confirmation
from synfin_analytics.database.status import HealthReport, ServerHealth, count_connections
from synfin_analytics.exceptions import ArgumentError, ConfigurationError, QueryError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy.engine import Connection as BoundConnection
    from sqlalchemy.engine import Engine

    from synfin_analytics._core.output import Output
    from synfin_analytics._core.types import DataFrameLike, Records
    from synfin_analytics.database.embedded import EmbeddedPostgres
    from synfin_analytics.database.models import Base
    from synfin_analytics.database.status import PoolStatus
    from synfin_analytics.io.load.types import LoadOptions, LoadReport
    from synfin_analytics.io.read._sql import Query

__all__ = ["DatabaseManager", "get_db_manager", "get_db_session", "session_scope"]


@dataclass(frozen=True)
class _Resources:
    """What an initialized manager holds."""

    engine: Engine
    session_factory: sessionmaker[Session]
    scoped_sessions: scoped_session[Session]
    replicas: Replicas | None


class DatabaseManager:
    """Connections and sessions to one database.

    Nothing is opened before it is needed. Threads may share a manager; a forked process gets
    connections of its own. If read replicas are configured, sessions that only read use one of
    them, which shows all that this manager has committed; every other session uses the primary.

    Parameters
    ----------
    config
        Database to use; by default from the environment (:meth:`DatabaseConfig.from_env`).

    Attributes
    ----------
    config : DatabaseConfig
        Database in use.
    closed : bool
        Whether the manager has been closed and not used since.

    Examples
    --------
    >>> from sqlalchemy import text
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
        self._resources: _Resources | None = None
        self._embedded: EmbeddedPostgres | None = None
        self._has_connected = False
        self.closed = False
        _managers.add(self)

    def __repr__(self) -> str:
        status = "not_initialized" if self._resources is None else "initialized"
        return f"DatabaseManager({self.config!r}, {status})"

    # -- Engine -----------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Create the engine and the session factory; the first use does so automatically.

        Examples
        --------
        >>> manager = DatabaseManager()
        >>> manager.initialize()
        >>> manager.get_pool_status()["status"]
        'initialized'
        >>> manager.close()
        """
        self._open()

    def _open(self) -> _Resources:
        with self._lock:
            if self._resources is None:
                if self.config.embedded:
                    # Here, as it takes a while to import and a server elsewhere does not need it.
                    from synfin_analytics.database.embedded import EmbeddedPostgres

                    self._embedded = EmbeddedPostgres(self.config.data_dir)
                engine = create_pooled_engine(self.config, self._connect_for_pool)
                factory = sessionmaker(engine, autoflush=False, expire_on_commit=False)
                replicas = None
                if self.config.replicas:
                    replicas = Replicas(self.config, engine, partial(self._connect, patient=False))
                self._resources = _Resources(engine, factory, scoped_session(factory), replicas)
                self.closed = False
            return self._resources

    @property
    def engine(self) -> Engine:
        """SQLAlchemy engine.

        Examples
        --------
        >>> DatabaseManager().engine.dialect.driver
        'psycopg2'
        """
        return self._open().engine

    def get_connection_string(self) -> str:
        """URL of the database for SQLAlchemy, including the password.

        Connects first, which starts the embedded server; its URL is valid until it stops.

        Examples
        --------
        >>> get_db_manager().get_connection_string()
        'postgresql+psycopg2://...'
        """
        self.engine.connect().close()  # the server runs now, and the database exists
        if self._embedded is None:
            return self.config.get_connection_string()
        return format_url(self._embedded.connect_arguments(self.config.database))

    def _connect(self, *, patient: bool = True) -> Connection:
        connection = connect(
            self.config, self._embedded, known_to_work=self._has_connected, patient=patient
        )
        is_first, self._has_connected = not self._has_connected, True
        if is_first and connection.through_pooler:
            warn_of_pool_size(self.config, connection)
        return connection

    def _connect_for_pool(self) -> Connection:
        connection = self._connect()
        if self._resources is not None and self._resources.replicas is not None:
            self._resources.replicas.written.watch(connection)
        return connection

    # -- Tables -----------------------------------------------------------------------------------

    def create_all_tables(self) -> None:
        """Create the tables with their indexes and triggers, or upgrade them.

        Raises
        ------
        SchemaError
            The tables belong to a newer package or to another program, or the server refuses.

        Examples
        --------
        >>> get_db_manager().create_all_tables()
        """
        from synfin_analytics.database import schema

        schema.upgrade(self)

    def drop_all_tables(self, *, confirm: str | None = None) -> None:
        """Drop the tables and all data in them.

        Parameters
        ----------
        confirm
            Name of the database, which a protected one requires.

        Raises
        ------
        SchemaError
            As for :meth:`create_all_tables`.
        ProtectedDatabaseError
            The database is protected, and ``confirm`` is not its name.

        Examples
        --------
        >>> manager = DatabaseManager(DatabaseConfig(database="to_drop"))
        >>> manager.create_all_tables()
        >>> manager.drop_all_tables()
        >>> manager.close()
        """
        from synfin_analytics.database import schema

        require_confirmation(self.config, "drop all tables", confirm)
        schema.downgrade(self, "base", confirm=confirm)

    # -- Sessions ---------------------------------------------------------------------------------

    def get_session(self) -> Session:
        """Open a new session, to be closed after use.

        Examples
        --------
        >>> from sqlalchemy import text
        >>> with get_db_manager().get_session() as session:
        ...     session.execute(text("SELECT 1")).scalar_one()
        1
        """
        return self._open().session_factory()

    def get_scoped_session(self) -> Session:
        """Return the session of this thread: the same one at each call, until :meth:`close`.

        Examples
        --------
        >>> manager = DatabaseManager()
        >>> manager.get_scoped_session() is manager.get_scoped_session()
        True
        >>> manager.close()
        """
        return self._open().scoped_sessions()

    @contextlib.contextmanager
    def session_scope(self, read_only: bool = False) -> Iterator[Session]:
        """Open a session that is committed at the end, or rolled back after an error.

        Parameters
        ----------
        read_only
            Whether the transaction only reads: PostgreSQL then rejects whatever would write, and a
            read replica is used if there is one.

        Raises
        ------
        ConfigurationError
            A server that is configured as a read replica is not one of this primary.

        Examples
        --------
        >>> from sqlalchemy import text
        >>> with DatabaseManager().session_scope(read_only=True) as session:
        ...     session.execute(text("SHOW transaction_read_only")).scalar_one()
        'on'
        """
        if read_only:
            with self._read_scope() as session:
                yield session
            return
        with self.get_session() as session, session.begin():
            yield session
            if not session.is_active:  # SQLAlchemy would close it without an error
                raise QueryError(
                    "An error while objects were written has rolled the session back, and the "
                    "block went on: nothing is committed. Let the error end the block, or write "
                    "in session.begin_nested(), which rolls back nothing else."
                )

    @contextlib.contextmanager
    def _read_scope(self, *, on_primary: bool = False) -> Iterator[Session]:
        """Open the session of a call that only reads: all such sessions are opened here.

        Parameters
        ----------
        on_primary
            Whether not to use a read replica, since one has failed in this call.
        """
        resources = self._open()
        with contextlib.ExitStack() as stack:
            bind: BoundConnection | Engine | None = None
            if resources.replicas is not None and not on_primary:
                bind = stack.enter_context(resources.replicas.connection())
            bind = resources.engine if bind is None else bind
            session = resources.session_factory(
                bind=bind.execution_options(postgresql_readonly=True)
            )
            with session, session.begin():
                yield session

    # -- DataFrames -------------------------------------------------------------------------------

    def bulk_insert(
        self,
        objects: DataFrameLike | Records,
        batch_size: int | None = None,
        *,
        table: str | type[Base] | None = None,
        **options: Unpack[LoadOptions],
    ) -> LoadReport:
        """Load many rows into one table, with COPY and in one transaction.

        Parameters
        ----------
        objects
            ORM objects, dicts or a DataFrame.
        batch_size
            Number of rows that are validated and copied at a time; by default 65,536. Smaller
            batches need less memory and more time (1,000 rows: two to three times as long); all of
            them are one transaction.
        table
            Table or model; ORM objects know it themselves.
        **options
            Options of :func:`synfin_analytics.load_df`.

        Returns
        -------
        LoadReport
            Counts, duration and rejected cells.

        Raises
        ------
        ArgumentError
            The table is missing, the objects belong to several, or ``batch_size`` is below 1.
        InvalidDataError
            A row is invalid; nothing was loaded.

        Examples
        --------
        >>> from synfin_analytics.database.models import Merchant
        >>> manager = get_db_manager()
        >>> manager.create_all_tables()
        >>> manager.bulk_insert([Merchant(merchant_id="M9")], on_conflict="skip").table
        'merchants'
        """
        load_df = dataframe_function("load_df")
        model = table if table is not None else _model_of(objects)
        report: LoadReport = load_df(objects, model, manager=self, batch_size=batch_size, **options)
        return report

    @overload
    def execute_query(
        self,
        query: Query,
        params: Mapping[str, object] | None = ...,
        *,
        output: Literal["pandas"] = ...,
        use_decimal: bool = ...,
    ) -> pd.DataFrame: ...
    @overload
    def execute_query(
        self,
        query: Query,
        params: Mapping[str, object] | None = ...,
        *,
        output: Literal["polars"],
        use_decimal: bool = ...,
    ) -> pl.DataFrame: ...
    @overload
    def execute_query(
        self,
        query: Query,
        params: Mapping[str, object] | None = ...,
        *,
        output: Literal["arrow"],
        use_decimal: bool = ...,
    ) -> pa.Table: ...
    @overload
    def execute_query(
        self,
        query: Query,
        params: Mapping[str, object] | None = ...,
        *,
        output: Output,
        use_decimal: bool = ...,
    ) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def execute_query(
        self,
        query: Query,
        params: Mapping[str, object] | None = None,
        *,
        output: Output = "pandas",
        use_decimal: bool = False,
    ) -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Run a query in a read-only session and return its rows as a DataFrame.

        Parameters
        ----------
        query
            A SELECT as SQL text or of SQLAlchemy, a table name, or a model.
        params
            Values of the query's parameters (``:name`` in SQL text), sent apart from it, so that a
            value cannot change the query.
        output, use_decimal
            Kind of DataFrame, and whether NUMERIC columns are decimals; see
            :func:`synfin_analytics.read_df`.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            The rows.

        Raises
        ------
        QueryError
            PostgreSQL rejects the query.

        Examples
        --------
        >>> DatabaseManager().execute_query("SELECT :amount * 2 AS doubled", {"amount": 21})
           doubled
        0       42
        """
        read_df = dataframe_function("read_df")
        rows: pd.DataFrame = read_df(
            query, params, manager=self, output=output, use_decimal=use_decimal
        )
        return rows

    # -- Status -----------------------------------------------------------------------------------

    def get_pool_status(self) -> PoolStatus:
        """Count the connections of the pools, and ask replicas in use how far they are behind.

        Examples
        --------
        >>> manager = DatabaseManager()
        >>> manager.initialize()
        >>> manager.get_pool_status()["checked_out"]
        0
        """
        if self._resources is None:
            return {"status": "not_initialized"}
        status = count_connections(self._resources.engine)
        if self._resources.replicas is not None:
            status["replicas"] = self._resources.replicas.pool_status()
        return status

    def health_check(self) -> HealthReport:
        """Test whether the servers answer; the report and the log have the reason if one does not.

        Opens a new connection to each server, and waits a few seconds at most for one that does
        not answer; the embedded server is started if it does not run.

        Returns
        -------
        HealthReport
            True if the primary answers; with the state of each read replica, and its lag.

        Examples
        --------
        >>> bool(get_db_manager().health_check())
        True
        """
        replicas = self._open().replicas
        place = "embedded server"
        if self.config.host is not None:
            place = format_servers(self.config.host, self.config.port)
        with contextlib.ExitStack() as stack:
            connection, reason = None, None
            try:
                connection = self._connect(patient=self.config.embedded)
                stack.callback(connection.close)
            except SynfinError as error:
                reason = str(error)
            primary = ServerHealth("primary", place, healthy=reason is None, reason=reason)
            members = () if replicas is None else replicas.check_health(connection)
        report = HealthReport((primary, *members))
        for server in report.servers:
            if not server.healthy:
                subject = "" if server is primary else f"replica {server.server}: "
                logger.warning("health check failed: %s%s", subject, server.reason)
        return report

    def close(self) -> None:
        """Close all connections and stop using the embedded server.

        Using the manager again opens it again.

        Examples
        --------
        >>> manager = DatabaseManager()
        >>> manager.close()
        >>> manager.closed
        True
        """
        with self._lock:
            if self._resources is not None:
                self._resources.scoped_sessions.remove()
                self._resources.engine.dispose()
                if self._resources.replicas is not None:
                    self._resources.replicas.dispose()
            if self._embedded is not None:
                self._embedded.release()
            self._resources = self._embedded = None
            self.closed = True

    def _reset_after_fork(self) -> None:
        """Leave the parent's connections alone, and begin with an empty pool."""
        self._lock = threading.RLock()
        if self._resources is not None:
            self._resources.engine.dispose(close=False)
            if self._resources.replicas is not None:
                self._resources.replicas.reset_after_fork()
            self._resources = replace(
                self._resources, scoped_sessions=scoped_session(self._resources.session_factory)
            )


def _model_of(objects: object) -> type[Base]:
    """Model of a list of ORM objects."""
    from synfin_analytics.database.models import Base

    models = {type(item) for item in objects} if isinstance(objects, (list, tuple)) else set()
    if len(models) == 1 and issubclass(model := models.pop(), Base):
        return model
    raise ArgumentError(
        "`table` must be the name of a table or a model, unless `objects` is a list of ORM objects "
        'of one model; got neither. Pass table="transactions", for example.'
    )


# -- The manager of the process -------------------------------------------------------------------

_managers: weakref.WeakSet[DatabaseManager] = weakref.WeakSet()
_default_manager: DatabaseManager | None = None
_default_manager_lock = threading.RLock()


def get_db_manager(config: DatabaseConfig | None = None) -> DatabaseManager:
    """Return the manager of this process; the first call creates it.

    Parameters
    ----------
    config
        Database to use; by default from the environment, at the first call.

    Returns
    -------
    DatabaseManager
        The same object for every call, until it is closed.

    Raises
    ------
    ConfigurationError
        The process has a manager with another configuration; close that one first.

    Examples
    --------
    >>> get_db_manager() is get_db_manager()
    True
    """
    global _default_manager
    with _default_manager_lock:
        if _default_manager is None or _default_manager.closed:
            _default_manager = DatabaseManager(config)
        elif config is not None and config != _default_manager.config:
            raise ConfigurationError(
                f"This process already uses {_default_manager.config.place}. To change to "
                f"{config.place}, call get_db_manager().close() first; to use both, create a "
                "separate DatabaseManager(config)."
            )
        return _default_manager


def get_db_session() -> Session:
    """Open a new session of the process's manager, to be closed after use.

    Returns
    -------
    Session
        A session of SQLAlchemy; it does not commit by itself.

    Examples
    --------
    >>> from sqlalchemy import text
    >>> with get_db_session() as session:
    ...     session.execute(text("SELECT 1")).scalar_one()
    1
    """
    return get_db_manager().get_session()


def session_scope(read_only: bool = False) -> contextlib.AbstractContextManager[Session]:
    """Open a session of the process's manager that is committed at the end.

    An error rolls it back.

    Parameters
    ----------
    read_only
        Whether the transaction only reads, as for :meth:`DatabaseManager.session_scope`.

    Returns
    -------
    context manager of Session
        A session of SQLAlchemy for the ``with`` block.

    Examples
    --------
    >>> from sqlalchemy import text
    >>> with session_scope() as session:
    ...     session.execute(text("SELECT 1")).scalar_one()
    1
    """
    return get_db_manager().session_scope(read_only)


def _after_fork() -> None:
    global _default_manager_lock
    _default_manager_lock = threading.RLock()  # another thread of the parent may have held it
    for manager in list(_managers):
        manager._reset_after_fork()


os.register_at_fork(after_in_child=_after_fork)
