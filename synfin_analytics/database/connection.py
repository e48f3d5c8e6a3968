"""One connection to PostgreSQL, or one clear error."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql

from synfin_analytics.database import _libpq
from synfin_analytics.database._settings import revealed
from synfin_analytics.database.logging import logger
from synfin_analytics.exceptions import ArgumentError, DatabaseConnectionError

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.embedded import EmbeddedPostgres

APPLICATION_NAME = "synfin_analytics"
OLDEST_SERVER = 140000
_RESTART_PATIENCE = 15.0  # seconds
_RESTARTING = (
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
)
_UNREACHABLE = ("Connection refused", "No such file or directory", "server closed the connection")

_ADVICE = (
    ("password authentication failed", "The server refused the password or the user: check "
     "DB_USER and DB_PASSWORD."),
    ("no password supplied", "The server asks for a password: set DB_PASSWORD, or keep it in "
     "~/.pgpass."),
    ("no pg_hba.conf entry", "The server has no rule that lets this user in from here: ask its "
     "administrator, and check DB_SSLMODE, for the rule may ask for TLS."),
    ("peer authentication failed", "The server lets only a user of that name of its own system in "
     "through the socket: check DB_USER."),
    ("server does not support SSL", "The server has no TLS, and DB_SSLMODE asks for it: switch it "
     "on there, or set DB_SSLMODE=prefer if the network is trusted."),
    ("certificate verify failed", "The server's certificate is not signed by the authority in "
     "DB_SSLROOTCERT: check that file, and that this is the right server."),
    ("does not match host name", "The server's certificate is for another name: use the name in "
     "it as DB_HOST."),
    ("root certificate file", "DB_SSLMODE asks to verify the server's certificate: set "
     "DB_SSLROOTCERT to its authority's certificate."),
    ("SSL", "The encrypted connection failed: check DB_SSLMODE and DB_SSLROOTCERT."),
    ("could not translate host name", "There is no host of that name: check DB_HOST."),
    ("Connection refused", "Nothing listens there: check DB_HOST and DB_PORT, and that the server "
     "runs."),
    ("No such file or directory", "There is no socket there: check DB_HOST, and that the server "
     "runs."),
    ("timeout expired", "The host did not answer: check DB_HOST, DB_PORT and the firewall."),
    ("No route to host", "The host cannot be reached: check DB_HOST and the network."),
    ("too many", "All connections of the server are taken: close some, or lower DB_POOL_SIZE."),
    ("remaining connection slots", "All connections of the server are taken: close some, or lower "
     "DB_POOL_SIZE."),
)  # fmt: skip


# What DISCARD ALL does, which would need a round trip of its own, and the time zone of `_open`.
_RESET = """
    CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *;
    SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES;
    SET TIME ZONE 'UTC'
"""


class Connection(psycopg2.extensions.connection):
    """A connection that a forked child leaves alone: it belongs to the parent.

    Attributes
    ----------
    through_pooler
        A pooler as pgbouncer is in between: what a session leaves behind is for it to clear.
    """

    through_pooler = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.process = os.getpid()

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        """Open a cursor, in the process that opened the connection only."""
        if self.process != os.getpid():
            raise DatabaseConnectionError(
                "This session was opened before the process forked, and belongs to the parent. "
                "Open a new one here: session_scope() or get_db_session()."
            )
        return super().cursor(*arguments, **named)

    def rollback(self) -> None:
        """Roll back, but never the parent's transaction."""
        if self.process == os.getpid():
            super().rollback()

    def reset_session(self) -> None:
        """Clear what a session leaves behind: settings, its role, locks, temporary tables."""
        if self.closed or self.process != os.getpid():
            return
        self.rollback()
        if self.through_pooler:
            return
        self.autocommit = True
        with self.cursor() as cursor:
            cursor.execute(_RESET)
        if self.encoding != "UTF8":
            self.set_client_encoding("UTF8")
        self.notices.clear()
        self.notifies.clear()

    def reset_transactions(self) -> None:
        """Let the server's and the role's defaults hold for transactions again."""
        if not self.closed and self.process == os.getpid():
            self.autocommit = False  # in this mode, the rest is sent with the next transaction
            self.set_session(isolation_level="DEFAULT", readonly="default", deferrable="default")

    def commit(self) -> None:
        """Commit, but never the parent's transaction."""
        if self.process == os.getpid():
            super().commit()

    def close(self) -> None:
        """Close, but never the parent's connection."""
        if self.process == os.getpid():
            super().close()


def connect(
    config: DatabaseConfig, embedded: EmbeddedPostgres | None, *, known_to_work: bool = False
) -> Connection:
    """Connect to the database of ``config``; times are shown in UTC.

    Parameters
    ----------
    embedded
        The embedded server, if the configuration means it; it is started again if it was killed.
    known_to_work
        Whether there has been a connection before: a refusal then means a server that restarts,
        and is waited out for a short while.

    Raises
    ------
    DatabaseConnectionError
        If there is no connection; it says to what, and what to check.
    """
    deadline = time.monotonic() + _RESTART_PATIENCE
    while True:
        try:
            arguments = (
                embedded.connect_arguments(config.database)
                if embedded is not None
                else {"hostaddr": "", **config.libpq_arguments()}  # PGHOSTADDR leads nowhere
            )
            with _libpq.environment(applies=embedded is None):
                return _open(arguments, config)
        except psycopg2.OperationalError as error:
            said = str(error)
            patient = time.monotonic() < deadline
            if patient and embedded is not None and _repaired(embedded, config, said):
                continue
            restarts = any(sign in said for sign in _RESTARTING) or (
                known_to_work and any(sign in said for sign in _UNREACHABLE)
            )
            if not (restarts and patient):
                raise DatabaseConnectionError(_message(config, said)) from error
            logger.info("%s restarts; waiting for it", config.place)
            time.sleep(0.1)


def _open(arguments: dict[str, Any], config: DatabaseConfig) -> Connection:
    named: dict[str, Any] = {
        "application_name": APPLICATION_NAME,
        "connect_timeout": 10,
        "client_encoding": "utf8",
        **arguments,
    }
    connection = _driver_connection(named)
    try:
        check_version(connection.server_version, config)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'; SELECT pg_backend_pid()")
            (process,) = cursor.fetchone() or (0,)
        connection.through_pooler = process != connection.info.backend_pid
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def _driver_connection(arguments: dict[str, Any]) -> Connection:
    try:
        connection: Connection = psycopg2.connect(
            connection_factory=Connection, **revealed(arguments)
        )
    except psycopg2.Error as error:
        # Without the frames of the driver, where a traceback would show the password.
        raise error.with_traceback(None) from None
    return connection


def check_version(version: int, config: DatabaseConfig) -> None:
    """Refuse a server that is too old.

    Parameters
    ----------
    version
        As PostgreSQL numbers it: 140005 is 14.5.
    """
    if version < OLDEST_SERVER:
        raise DatabaseConnectionError(
            f"The server of {config.place} is PostgreSQL {version // 10000}.{version % 10000}; "
            f"synfin_analytics needs {OLDEST_SERVER // 10000} or newer."
        )


def check_driver(dialect: Dialect) -> None:
    """Refuse a session of another driver, which has neither our COPY nor our errors.

    Raises
    ------
    ArgumentError
        It says what to write.
    """
    if (dialect.name, dialect.driver) != ("postgresql", "psycopg2"):
        raise ArgumentError(
            "`session` must use the driver psycopg2; got "
            f"{dialect.name}+{dialect.driver}. Write postgresql+psycopg2:// in the URL of its "
            "engine: postgresql:// alone means psycopg 3 since SQLAlchemy 2.1."
        )


def message_of(error: psycopg2.Error) -> str:
    """Give what PostgreSQL says of an error in its first line, without values.

    The lines below may quote a row; and an error of data, of class 22, quotes the value.
    """
    message = (error.diag.message_primary or "").strip()
    if (error.pgcode or "").startswith("22"):
        message = re.sub(r'"[^"]*"', '"…"', message)
    return message


def is_lost(error: BaseException | None, connection: psycopg2.extensions.connection) -> bool:
    """Say whether an error means that the connection is gone; if so, it is closed for good.

    The driver does not always know: where it could not send, it has an error without a code and a
    connection that looks open.
    """
    unknown = type(error) in {psycopg2.DatabaseError, psycopg2.OperationalError}
    if not connection.closed and unknown and getattr(error, "pgcode", None) is None:
        connection.close()
    return bool(connection.closed)


def _repaired(embedded: EmbeddedPostgres, config: DatabaseConfig, said: str) -> bool:
    """Mend what can be wrong with the embedded server, and say whether to try again."""
    if f'database "{config.database}" does not exist' in said:
        _create_database(embedded, config)
        return True
    if any(sign in said for sign in _UNREACHABLE):
        logger.info("the embedded server is gone; starting it again")
        embedded.restart()
        return True
    return False


def _create_database(embedded: EmbeddedPostgres, config: DatabaseConfig) -> None:
    with _libpq.environment(applies=False):
        connection = psycopg2.connect(**embedded.connect_arguments("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(config.database)))
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        logger.debug("another process created %s at the same moment", config.place)
    finally:
        connection.close()


def _message(config: DatabaseConfig, said: str) -> str:
    said = " ".join(said.split())
    if config.password:
        said = said.replace(config.password, "***")  # compared as the text that it is
    if f'database "{config.database}" does not exist' in said:
        advice = "There is no such database on that server: check DB_NAME, or create it there."
    else:
        advice = next((hint for sign, hint in _ADVICE if sign in said), "Check the settings.")
    return f"No connection to {config.place}. {advice} (The driver said: {said})"
