"""Connections to PostgreSQL, and clear errors when there is none."""

from __future__ import annotations

import contextlib
import os
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import extensions, sql

from synfin_analytics.database._interrupt import finish_by
from synfin_analytics.database._libpq_environment import libpq_environment
from synfin_analytics.database._pooler import (
    PROBE_TIMEOUT,
    explain_pooler_error,
    explain_silent_login,
    is_restarting,
    is_stale,
    read_limits,
)
from synfin_analytics.database._secret import reveal_secrets
from synfin_analytics.database.config import name_settings
from synfin_analytics.database.logging import logger, warn
from synfin_analytics.exceptions import ArgumentError, DatabaseConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Dialect

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.embedded import EmbeddedPostgres

APPLICATION_NAME = "synfin_analytics"
OLDEST_SERVER = 140000
_RESTART_PATIENCE = 15.0  # seconds
#: pgbouncer connects to a server that was away after its server_login_retry, 15 s by default.
_POOLER_PATIENCE = 20.0
#: Seconds for a login and the first query where nothing waits for this server.
_IMPATIENCE = 4
#: Seconds in which a host must then show that it has accepted a login without answering it.
_IMPATIENT_PROBE = 0.5
_RESTARTING = (
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
)
_UNREACHABLE = ("Connection refused", "No such file or directory", "server closed the connection")

#: By a part of the driver's message: what it means and what to do.
_ADVICE = (
    ("password authentication failed", "The server rejected the password or the user: check "
     "DB_USER and DB_PASSWORD."),
    ("no password supplied", "The server requires a password: set DB_PASSWORD, or store it in "
     "~/.pgpass."),
    ("no pg_hba.conf entry", "The server's pg_hba.conf does not allow this user to connect from "
     "here: ask its administrator, and check DB_SSLMODE, since the entry may require TLS."),
    ("peer authentication failed", "Through its socket, the server only allows a user of its own "
     "operating system with that name: check DB_USER."),
    ("server does not support SSL", "The server does not support TLS, which DB_SSLMODE requires: "
     "enable it there, or set DB_SSLMODE=prefer if the network is trusted."),
    ("certificate verify failed", "The server's certificate is not signed by the authority in "
     "DB_SSLROOTCERT: check that file, and that this is the right server."),
    ("does not match host name", "The server's certificate is for another name: use the name in "
     "it as DB_HOST."),
    ("root certificate file", "DB_SSLMODE requires the server's certificate to be verified: set "
     "DB_SSLROOTCERT to the certificate of its authority."),
    ("SSL", "The encrypted connection failed: check DB_SSLMODE and DB_SSLROOTCERT."),
    ("could not translate host name", "There is no host with that name: check DB_HOST."),
    ("Connection refused", "No server listens there: check DB_HOST and DB_PORT, and that the "
     "server is running."),
    ("No such file or directory", "There is no socket there: check DB_HOST, and that the server "
     "is running."),
    ("timeout expired", "The host did not answer: check DB_HOST, DB_PORT and the firewall."),
    ("No route to host", "The host cannot be reached: check DB_HOST and the network."),
    ("too many", "All connections of the server are in use: close some, or lower DB_POOL_SIZE."),
    ("remaining connection slots", "All connections of the server are in use: close some, or lower "
     "DB_POOL_SIZE."),
)  # fmt: skip


# DISCARD ALL must be a statement of its own, hence a round trip more: this does the same, and sets
# the time zone as `prepare_session` does.
_RESET = """
    CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *;
    SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES;
    SET TIME ZONE 'UTC'
"""


class Connection(psycopg2.extensions.connection):
    """A connection of the driver that a forked child process leaves to its parent.

    Attributes
    ----------
    through_pooler : bool
        Whether a connection pooler such as pgbouncer is in between, which resets sessions itself.
    process : int
        Id of the process that opened the connection.
    embedded : bool
        Whether the server is the embedded one.
    replica : str or None
        Name of the server if it is a read replica.
    role : str or None
        Role of the session (``SET ROLE``), as far as it was asked for before the last query: an
        aborted transaction cannot be asked.
    on_commit : callable or None
        Called after each commit that may have written something.
    """

    through_pooler = False
    embedded = False
    replica: str | None = None
    role: str | None = None
    on_commit: Callable[[], None] | None = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.process = os.getpid()

    def cursor(self, *arguments: Any, **keywords: Any) -> Any:
        """Open a cursor; only in the process that opened the connection."""
        if self.process != os.getpid():
            raise DatabaseConnectionError(
                "This session was opened before the process forked and belongs to the parent. "
                "Open a new one here: session_scope() or get_db_session()."
            )
        return super().cursor(*arguments, **keywords)

    def rollback(self) -> None:
        """Roll back, unless the transaction is the parent's."""
        if self.process == os.getpid():
            if self.may_have_committed:
                self._note_commit()
            super().rollback()

    def commit(self) -> None:
        """Commit, unless the transaction is the parent's."""
        if self.process != os.getpid():
            return
        is_idle = self.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE
        try:
            super().commit()
        finally:  # a connection that is lost meanwhile may have committed
            if not (is_idle or self.readonly):
                self._note_commit()

    @property
    def may_have_committed(self) -> bool:
        """Whether statements were committed without ``commit``: by themselves, or as SQL."""
        return self.autocommit or (
            self.status == extensions.STATUS_IN_TRANSACTION
            and self.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE
        )

    def _note_commit(self) -> None:
        if self.on_commit is not None:
            self.on_commit()

    def close(self) -> None:
        """Close, unless the connection is the parent's."""
        if self.process == os.getpid():
            if self.may_have_committed:
                self._note_commit()
            super().close()

    def prepare_session(self, *, known_to_work: bool) -> None:
        """Set the time zone, and find out whether a pooler is in between, and has transactions."""
        with self.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'; SELECT pg_backend_pid()")
            (process,) = cursor.fetchone() or (0,)
            # A pooler invents the number that a client needs to cancel.
            self.through_pooler = process != self.info.backend_pid
            if self.through_pooler and not known_to_work:
                cursor.execute("BEGIN")  # pgbouncer's statement mode has no transactions
                cursor.execute("COMMIT")

    def reset_session(self) -> None:
        """Reset what a session changes: settings, role, locks, temporary tables."""
        if self.closed or self.process != os.getpid():
            return
        self.role = None
        self.rollback()
        if self.through_pooler:
            return
        self.autocommit = True
        with self.cursor() as cursor:
            cursor.execute(_RESET)
        self.autocommit = False  # with it, the driver would send each later setting to the server
        if self.encoding != "UTF8":
            self.set_client_encoding("UTF8")
        self.notices.clear()
        self.notifies.clear()

    def reset_transactions(self) -> None:
        """Restore the server's and the role's defaults for transactions."""
        if not self.closed and self.process == os.getpid():
            self.autocommit = False  # the other settings are then sent with the next transaction
            self.set_session(isolation_level="DEFAULT", readonly="default", deferrable="default")


def connect(
    config: DatabaseConfig,
    embedded: EmbeddedPostgres | None,
    *,
    known_to_work: bool = False,
    patient: bool = True,
) -> Connection:
    """Connect to the database of ``config``, with UTC as the session's time zone.

    Parameters
    ----------
    config
        Database to connect to.
    embedded
        The embedded server if the configuration selects it; it is restarted if it was killed.
    known_to_work
        Whether a connection has succeeded before: a refused one then means that the server is
        restarting, and is retried.
    patient
        Whether to wait for a server that restarts, or a pooler that is busy. Otherwise the call
        ends after a few seconds: another server can answer instead, or the state is asked for.

    Raises
    ------
    DatabaseConnectionError
        The connection failed; the message has the place and what to check.

    Examples
    --------
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> connect(DatabaseConfig(host="/no/such/directory"), None)
    Traceback (most recent call last):
    synfin_analytics.exceptions.DatabaseConnectionError: Cannot connect to database ...
    """
    started = time.monotonic()
    state = ""
    while True:
        try:
            arguments = (
                embedded.connect_arguments(config.database)
                if embedded is not None
                # An empty `hostaddr` overrides PGHOSTADDR, which would lead to another server.
                else {"hostaddr": "", **config.libpq_arguments()}
            )
            with libpq_environment(applies=embedded is None):
                connection = _open(
                    arguments, config, started, known_to_work=known_to_work, patient=patient
                )
            connection.embedded = embedded is not None
            if state:
                logger.info("%s answers again", config.place)
            return connection
        except psycopg2.OperationalError as error:
            message = str(error)
            explanation = explain_pooler_error(message)
            if not explanation:
                probe_timeout = PROBE_TIMEOUT if patient else _IMPATIENT_PROBE
                explanation = explain_silent_login(message, probe_timeout)
            patience = _POOLER_PATIENCE if explanation else _RESTART_PATIENCE
            may_retry = patient and time.monotonic() < started + patience
            if may_retry and embedded is not None and _repair(embedded, config, message):
                continue
            restarting = is_stale(message) or any(sign in message for sign in _RESTARTING)
            if known_to_work and explanation:
                restarting |= is_restarting(message)
            elif known_to_work:
                restarting |= any(sign in message for sign in _UNREACHABLE)
            if not (restarting and may_retry):
                raise DatabaseConnectionError(_explain(config, message, explanation)) from error
            if state != (state := _one_line(message, config)):
                logger.info("waiting for %s: %s", config.place, state)
            time.sleep(0.1)


def _open(
    arguments: dict[str, str | int],
    config: DatabaseConfig,
    started: float,
    *,
    known_to_work: bool,
    patient: bool,
) -> Connection:
    arguments = {
        "application_name": APPLICATION_NAME,
        "connect_timeout": 10,
        "client_encoding": "utf8",
        **arguments,
    }
    seconds, limit = (config.pool_timeout, " (DB_POOL_TIMEOUT)") if patient else (_IMPATIENCE, "")
    if not patient:
        arguments["connect_timeout"] = _shorter_timeout(arguments["connect_timeout"])
    connection = _driver_connection(arguments)
    try:
        check_version(connection.server_version, config)
        connection.autocommit = True
        # A pooler answers the login by itself, and lets the first query wait for its server.
        prepare = partial(connection.prepare_session, known_to_work=known_to_work)
        finish_by(connection, prepare, started + seconds)
        connection.autocommit = False
    except TimeoutError:
        raise DatabaseConnectionError(
            f"Cannot connect to {config.place}. The login succeeded, but there was no connection to"
            f" the server within {seconds} s{limit}: the connection pooler's are all in use, or its"
            " server is down or paused. Close sessions after use, let fewer programs connect at "
            "once, or ask the pooler's administrator."
        ) from None
    except psycopg2.OperationalError as error:
        # The driver's error only says that the connection was closed.
        reason = connection.info.error_message
        connection.close()
        raise psycopg2.OperationalError(reason or str(error)) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _shorter_timeout(text: int | str) -> int | str:
    """Return a ``connect_timeout`` of at most a few seconds; libpq reports one that is invalid."""
    try:
        return int(text) if 0 < int(text) <= _IMPATIENCE else _IMPATIENCE
    except ValueError:
        return text


def _driver_connection(arguments: dict[str, str | int]) -> Connection:
    try:
        # No variable may hold the password as text: a traceback would show it.
        connection: Connection = psycopg2.connect(
            connection_factory=Connection, **cast("dict[str, Any]", reveal_secrets(arguments))
        )
    except psycopg2.Error as error:
        # Without the frames of the driver, where a traceback would show the password.
        raise error.with_traceback(None) from None
    return connection


def ask(connection: Connection, query: str, seconds: float) -> tuple[Any, ...]:
    """Run a query that returns one row, outside of a transaction.

    Parameters
    ----------
    connection
        A connection that is not in a transaction.
    query
        The query.
    seconds
        Time that the server has to answer; then the connection is cut.

    Raises
    ------
    psycopg2.Error, TimeoutError
        The server did not answer.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> with get_db_manager().engine.connect() as bound:
    ...     ask(bound.connection.driver_connection, "SELECT 1, 2", seconds=5)
    (1, 2)
    """
    row: tuple[Any, ...] = ()

    def run() -> None:
        nonlocal row
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone() or ()

    connection.autocommit = True
    finish_by(connection, run, time.monotonic() + seconds)
    connection.autocommit = False
    return row


def check_version(version: int, config: DatabaseConfig) -> None:
    """Raise an error if the server is too old.

    Parameters
    ----------
    version
        PostgreSQL's number: 140005 is 14.5.
    config
        Its database, for the message.

    Raises
    ------
    DatabaseConnectionError
        The server is older than PostgreSQL 14.

    Examples
    --------
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> check_version(180006, DatabaseConfig(host="db.bank"))
    """
    if version < OLDEST_SERVER:
        raise DatabaseConnectionError(
            f"The server of {config.place} is PostgreSQL {version // 10000}.{version % 10000}; "
            f"synfin_analytics requires {OLDEST_SERVER // 10000} or newer."
        )


def check_driver(dialect: Dialect) -> None:
    """Raise an error about a session that does not use psycopg2, whose COPY and errors are needed.

    Raises
    ------
    ArgumentError
        The driver is another one; the message has the URL to use.

    Examples
    --------
    >>> from sqlalchemy import create_engine
    >>> check_driver(create_engine("postgresql+psycopg2://db.bank/fraud").dialect)
    """
    if (dialect.name, dialect.driver) != ("postgresql", "psycopg2"):
        raise ArgumentError(
            "`session` must use the driver psycopg2; got "
            f"{dialect.name}+{dialect.driver}. Write postgresql+psycopg2:// in the URL of its "
            "engine: postgresql:// alone means psycopg 3 since SQLAlchemy 2.1."
        )


def message_of(error: psycopg2.Error) -> str:
    """Return the first line of PostgreSQL's message, without values.

    The lines below it may quote a row, and errors of class 22 (data exceptions) quote the value.

    Examples
    --------
    >>> message_of(psycopg2.OperationalError("refused"))  # the driver's message, not the server's
    ''
    """
    message = (error.diag.message_primary or "").strip()
    if (error.pgcode or "").startswith("22"):
        message = re.sub(r'"[^"]*"', '"…"', message)
    return message


def role_of(connection: psycopg2.extensions.connection) -> str:
    """Return the role whose privileges apply in a session, as messages name it.

    In an aborted transaction that is the role that was asked for before, or else the user.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> with get_db_manager().engine.connect() as bound:
    ...     driver = bound.connection.driver_connection
    ...     role_of(driver) == driver.info.user
    True
    """
    usable = {extensions.TRANSACTION_STATUS_IDLE, extensions.TRANSACTION_STATUS_INTRANS}
    if connection.info.transaction_status in usable:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            (role,) = cursor.fetchone() or ("",)
            return str(role)
    return getattr(connection, "role", None) or connection.info.user


def is_lost(error: BaseException | None, connection: psycopg2.extensions.connection) -> bool:
    """Test whether an error means that the connection is lost; if so, the connection is closed.

    The driver does not always notice: if it could not send, its error has no code and the
    connection still looks open.
    """
    without_code = type(error) in {psycopg2.DatabaseError, psycopg2.OperationalError} and (
        getattr(error, "pgcode", None) is None
    )
    if not connection.closed and without_code:
        connection.close()
    return bool(connection.closed)


def reason_of_loss(connection: psycopg2.extensions.connection) -> str:
    """Return a pooler's reason for the end of a connection, with advice; "" if there is none.

    To be called before :func:`is_lost`, which closes the connection.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> with get_db_manager().engine.connect() as connection:
    ...     reason_of_loss(connection.connection.driver_connection)
    ''
    """
    return explain_pooler_error(connection.info.error_message or "")


def warn_of_pool_size(config: DatabaseConfig, connection: Connection) -> None:
    """Warn if a pooler opens fewer connections than the pool of this configuration.

    Only pgbouncer's console knows, and it only lets in the users of its ``stats_users``: for any
    other, and for other poolers, nothing happens.

    Parameters
    ----------
    config
        Database of the connection.
    connection
        A connection through the pooler.

    Examples
    --------
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> warn_of_pool_size(DatabaseConfig(pool="none"), connection=None)  # it has no size
    """
    if config.pool == "none":
        return
    arguments = {
        name: value
        for name, value in config.libpq_arguments().items()
        if name not in {"options", "target_session_attrs", "load_balance_hosts"}
    }
    arguments |= {
        "hostaddr": "",
        "host": connection.info.host,
        "port": connection.info.port,
        "dbname": "pgbouncer",
        "application_name": APPLICATION_NAME,
        "connect_timeout": PROBE_TIMEOUT,
    }
    try:
        with (
            libpq_environment(applies=True),
            contextlib.closing(_driver_connection(arguments)) as console,
        ):
            console.autocommit = True  # the console knows no transactions
            limits = read_limits(console, config.database)
    except psycopg2.Error as error:
        logger.debug("the limits of the connection pooler are unknown: %s", type(error).__name__)
        return
    if limits and (warning := limits.warning(config.pool_size, config.max_overflow)):
        warn(name_settings(config, warning))


def _repair(embedded: EmbeddedPostgres, config: DatabaseConfig, message: str) -> bool:
    """Repair the embedded server if possible; return whether to retry."""
    if f'database "{config.database}" does not exist' in message:
        _create_database(embedded, config)
        return True
    if any(sign in message for sign in _UNREACHABLE):
        logger.info("the embedded server is not running any more; restarting it")
        embedded.restart()
        return True
    return False


def _create_database(embedded: EmbeddedPostgres, config: DatabaseConfig) -> None:
    with libpq_environment(applies=False):
        connection = psycopg2.connect(**embedded.connect_arguments("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(config.database)))
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        logger.debug("another process created %s at the same time", config.place)
    finally:
        connection.close()


def _explain(config: DatabaseConfig, message: str, explanation: str = "") -> str:
    """Error message for the driver's message about a failed connection."""
    message = _one_line(message, config)
    if f'database "{config.database}" does not exist' in message:
        advice = "The server has no such database: check DB_NAME, or create it there."
    elif explanation:
        advice = explanation
        message = message.partition(" server closed the connection")[0]
    else:
        advice = next((hint for sign, hint in _ADVICE if sign in message), "Check the settings.")
    advice = name_settings(config, advice)
    return f"Cannot connect to {config.place}. {advice} (The driver reported: {message})"


def _one_line(message: str, config: DatabaseConfig) -> str:
    message = " ".join(message.split())
    if config.password:
        message = message.replace(config.password, "***")  # compared as the text that it is
    return message
