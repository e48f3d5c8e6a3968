"""Read replicas: which of them can answer a call, and what to do about those that cannot."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from synfin_analytics.database._engine import create_pooled_engine
from synfin_analytics.database._hosts import format_servers
from synfin_analytics.database._positions import WritePosition, ask_position
from synfin_analytics.database.config import name_settings
from synfin_analytics.database.connection import Connection, ask, connect, message_of, role_of
from synfin_analytics.database.logging import logger, warn
from synfin_analytics.database.status import ReplicaPoolStatus, ServerHealth, count_connections
from synfin_analytics.exceptions import ConfigurationError, DatabaseConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection as BoundConnection
    from sqlalchemy import Engine

    from synfin_analytics.database.config import DatabaseConfig

#: Seconds that a read waits until a replica has replayed this manager's last commit.
CATCH_UP_SECONDS = 2.0
#: Seconds that a replica has to answer the question whether it is there.
ANSWER_SECONDS = 2.0
#: Seconds until a replica that failed is tried again: after the first failure, and at most.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 5.0, 60.0
#: Seconds that a replica has to catch up before it is said to lag: one that replays all the time is
#: never exactly where the primary is.
_MEASURING_SECONDS = 0.1
#: Parts of messages of servers that answer, but do not accept the user.
_REJECTIONS = ("authentication failed", "no password supplied", "no pg_hba.conf entry",
               "does not exist")  # fmt: skip
#: What to check then: of a URL, and of a list of hosts.
_CREDENTIALS = {
    "DB_REPLICA_URL": "Check user, password and database in DB_REPLICA_URL, and the replica's "
    "pg_hba.conf",
    "DB_REPLICA_HOSTS": "Check user, password and database of the primary, which apply to "
    "DB_REPLICA_HOSTS, and the replica's pg_hba.conf",
}
_FIRST_PAUSE, _LAST_PAUSE = 0.0003, 0.02

_STATE = """
    SELECT pg_is_in_recovery(), pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint,
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
"""
_IDENTITY = "SELECT system_identifier, pg_is_in_recovery() FROM pg_control_system()"


@dataclass(frozen=True)
class State:
    """What a replica answers.

    Attributes
    ----------
    in_recovery
        Whether it is a standby; if not, it has been promoted.
    replayed
        Position in the WAL up to which it shows the primary's changes; 0 if it is no standby.
    age
        Seconds since the commit of the newest transaction that it shows.
    """

    in_recovery: bool
    replayed: int
    age: float | None


@dataclass(frozen=True)
class Lag:
    """How far a replica is behind its primary."""

    seconds: float | None
    n_bytes: int


class Replica:
    """One read replica, with its pool.

    Parameters
    ----------
    config
        How to reach it.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.name = format_servers(config.host or "", config.port)
        self.engine = create_pooled_engine(config, self._connect, pre_ping=False)
        #: Whether its primary is known to be ours.
        self.is_verified = False
        #: Whether the last read waited for it in vain.
        self.is_behind = False
        #: Whether a warning has said that it cannot be used, or that it cannot be verified.
        self.is_lost = self.is_doubtful = False
        self._failures = 0
        self._retry_at = 0.0

    def _connect(self) -> Connection:
        connection = connect(self.config, None, patient=False)
        connection.replica = self.name
        return connection

    def open(self) -> tuple[BoundConnection, State]:
        """Return a connection whose server has just answered.

        Raises
        ------
        DatabaseConnectionError
            It does not answer, or its pool is exhausted.
        """
        started = time.monotonic()
        try:
            return self._open_pooled()
        except DatabaseConnectionError:
            if time.monotonic() - started >= ANSWER_SECONDS:
                raise
        # The server may have restarted since the pool opened that connection.
        self.engine.dispose()
        return self._open_pooled()

    def _open_pooled(self) -> tuple[BoundConnection, State]:
        try:
            bound = self.engine.connect()
        except DBAPIError as error:
            raise self._error(type(error).__name__) from None
        try:
            return bound, self.ask_state(bound)
        except BaseException:
            bound.close()
            raise

    def ask_state(self, bound: BoundConnection) -> State:
        """Ask for the state of the server, and invalidate the connection if there is no answer."""
        try:
            in_recovery, replayed, age = ask(_driver(bound), _STATE, ANSWER_SECONDS)
        except (psycopg2.Error, TimeoutError) as error:
            bound.invalidate()
            reason = message_of(error) if isinstance(error, psycopg2.Error) else ""
            raise self._error(reason or "it does not answer") from None
        return State(in_recovery, replayed or 0, age)

    def identity(self, bound: BoundConnection) -> str:
        """Return the identifier that it shares with its primary."""
        try:
            return _identity(_driver(bound), self.config)[0]
        except DatabaseConnectionError:
            bound.invalidate()
            raise

    def _error(self, reason: str) -> DatabaseConnectionError:
        return DatabaseConnectionError(f"Cannot read from the replica {self.name}: {reason}.")

    def is_due(self) -> bool:
        """Whether to try it: it has not failed, or long enough ago."""
        return time.monotonic() >= self._retry_at

    def mark_failed(self) -> None:
        """Leave the replica alone for some time, which grows with each failure."""
        delay = min(FIRST_RETRY_SECONDS * 2**self._failures, LAST_RETRY_SECONDS)
        self._failures += 1
        self._retry_at = time.monotonic() + delay
        self.engine.dispose()

    def mark_answering(self) -> None:
        """Use the replica again."""
        if self._failures:
            logger.info("replica %s answers again", self.name)
        self._failures, self._retry_at = 0, 0.0
        self.is_lost = False

    def measure_lag(self, position: int) -> Lag:
        """Measure how far it is behind a position of the primary.

        Raises
        ------
        DatabaseConnectionError
            It does not answer.
        """
        bound, state = self.open()
        with bound:
            deadline = time.monotonic() + _MEASURING_SECONDS
            while state.replayed < position and time.monotonic() < deadline:
                time.sleep(_LAST_PAUSE)
                state = self.ask_state(bound)
        if not state.in_recovery:
            raise self._error("it is not a standby any more, but a primary")
        if state.replayed >= position:
            return Lag(0.0, 0)
        return Lag(state.age, position - state.replayed)


@dataclass(frozen=True, eq=False)
class Choice:
    """A replica, and a connection to it."""

    replica: Replica
    bound: BoundConnection


class Replicas:
    """The read replicas of a primary.

    Parameters
    ----------
    config
        The primary's.
    engine
        The primary's.
    probe
        Opens another connection to the primary, which must answer within seconds.
    """

    def __init__(
        self, config: DatabaseConfig, engine: Engine, probe: Callable[[], Connection]
    ) -> None:
        self.members = [Replica(replica) for replica in config.replicas]
        self.written = WritePosition(engine)
        self._config = config
        self._variable = "DB_REPLICA_HOSTS" if config.replica_url is None else "DB_REPLICA_URL"
        self._probe = probe
        #: Whether the primary is one of several servers, any of which may be a replica later.
        self._may_fail_over = "," in (config.host or "")
        self._next = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def connection(self) -> Iterator[BoundConnection | None]:
        """Yield a connection of a replica that shows all commits of this manager.

        None if no replica does in time: the primary can answer.

        Raises
        ------
        ConfigurationError
            A replica is not one of this primary.
        DatabaseConnectionError
            It is unknown which commits to wait for, because the primary does not answer.
        """
        choice = self._choose()
        if choice is None:
            yield None
            return
        driver = _driver(choice.bound)
        try:
            yield choice.bound
        except BaseException:
            if driver.closed or choice.bound.invalidated:
                self.report_failure(choice.replica, "the connection was lost")
            raise
        finally:
            choice.bound.close()

    def _choose(self) -> Choice | None:
        opened: list[Choice] = []
        choice = None
        try:
            choice = self._first_up_to_date(opened) or self._wait(opened)
        finally:
            for other in opened:
                if other is not choice:
                    other.bound.close()
        return choice

    def _first_up_to_date(self, opened: list[Choice]) -> Choice | None:
        """Open replicas until one of them shows what this manager has written."""
        for replica in self._in_turn():
            bound, state = self._open(replica)
            if bound is None or state is None:
                continue
            opened.append(Choice(replica, bound))
            if state.replayed >= (self.written.get() or 0):
                replica.is_behind = False
                return opened[-1]
        return None

    def _in_turn(self) -> Sequence[Replica]:
        """Return the replicas to try, each call beginning with another one."""
        with self._lock:
            self._next = (self._next + 1) % len(self.members)
            first = self._next
        in_turn = self.members[first:] + self.members[:first]
        return [replica for replica in in_turn if replica.is_due()]

    def _wait(self, opened: Sequence[Choice]) -> Choice | None:
        """Wait until one of the replicas shows what this manager has written."""
        if not opened:
            return None
        position = self.written.get() or 0
        # One that is known to be behind has been asked just now; waiting would cost each read.
        waiting = [choice for choice in opened if not choice.replica.is_behind]
        deadline, pause = time.monotonic() + CATCH_UP_SECONDS, _FIRST_PAUSE
        while waiting and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            for choice in list(waiting):
                try:
                    state = choice.replica.ask_state(choice.bound)
                except DatabaseConnectionError as error:
                    self.report_failure(choice.replica, self._reason(error))
                    waiting.remove(choice)
                    continue
                if state.replayed >= position:
                    return choice
        for choice in waiting:
            choice.replica.is_behind = True
            logger.info(
                "replica %s is behind by more than %s s; reading from the primary",
                choice.replica.name,
                CATCH_UP_SECONDS,
            )
        if waiting:
            # After a failover, the position may be one that the new primary has never reached.
            self.written.forget()
        return None

    def _open(self, replica: Replica) -> tuple[BoundConnection, State] | tuple[None, None]:
        """Open a connection to a replica that answers and is one of this primary."""
        try:
            bound, state = replica.open()
        except DatabaseConnectionError as error:
            if isinstance(error.__cause__, PoolTimeout):
                raise
            self.report_failure(replica, self._reason(error))
            return None, None
        try:
            if not replica.is_verified:
                self._verify_or_warn(replica, bound, state)
        except DatabaseConnectionError as error:
            bound.close()
            self.report_failure(replica, self._reason(error))
            return None, None
        except BaseException:
            bound.close()
            raise
        if not state.in_recovery:
            bound.close()
            if self._may_fail_over:
                replica.mark_failed()
                logger.info("the server %s is the primary; reading elsewhere", replica.name)
            else:
                self.report_failure(replica, "it is not a standby any more, but a primary")
            return None, None
        replica.mark_answering()
        return bound, state

    def _verify_or_warn(self, replica: Replica, bound: BoundConnection, state: State) -> None:
        """Make sure that a replica is one of this primary, if the primary answers."""
        try:
            with contextlib.closing(self._probe()) as primary:
                identity_of_primary = _identity(primary, self._config)
        except DatabaseConnectionError as error:
            with self._lock:
                was_doubtful, replica.is_doubtful = replica.is_doubtful, True
            message = (
                f"Reading from {replica.name} without knowing whether it is a replica of "
                f"{self._config.place}, which does not answer ({_cause(error)})."
            )
            (logger.info if was_doubtful else warn)(message)
            return
        self._verify(replica, state, replica.identity(bound), identity_of_primary)

    def _verify(
        self, replica: Replica, state: State, identity: str, of_primary: tuple[str, bool]
    ) -> None:
        """Make sure that a replica is one of this primary.

        Raises
        ------
        ConfigurationError
            It is not.
        """
        identity_of_primary, in_recovery = of_primary
        if in_recovery:
            raise ConfigurationError(
                f"The server of {self._config.place} must be a primary, since replicas are "
                "configured; it is a standby itself.",
                variable="host",
            )
        if identity != identity_of_primary:
            raise ConfigurationError(
                f"The server {replica.name} is not a replica of {self._config.place}: their system "
                f"identifiers are {identity} and {identity_of_primary}. Correct "
                f"{name_settings(self._config, self._variable)}.",
                variable="replica_hosts",
            )
        if not state.in_recovery and not self._may_fail_over:
            raise ConfigurationError(
                f"The server {replica.name} is not a replica of {self._config.place}: it is not a "
                f"standby, but a primary. Correct {name_settings(self._config, self._variable)}.",
                variable="replica_hosts",
            )
        replica.is_verified = True

    def pool_status(self) -> list[ReplicaPoolStatus]:
        """Count the connections of each pool, and measure the lag of replicas in use."""
        in_use = [replica for replica in self.members if replica.is_verified and replica.is_due()]
        position = self._position() if in_use else None
        members: list[ReplicaPoolStatus] = []
        for replica in self.members:
            counts = count_connections(replica.engine)
            lag = None
            if replica in in_use and position is not None:
                with contextlib.suppress(DatabaseConnectionError):
                    lag = replica.measure_lag(position).seconds
            members.append(
                {
                    "server": replica.name,
                    "size": counts["size"],
                    "checked_in": counts["checked_in"],
                    "checked_out": counts["checked_out"],
                    "overflow": counts["overflow"],
                    "lag_seconds": lag,
                }
            )
        return members

    def _position(self) -> int | None:
        """Where the primary is; None if it does not answer."""
        try:
            with contextlib.closing(self._probe()) as primary:
                return ask_position(primary, of_all_commits=False)
        except DatabaseConnectionError:
            return None

    def check_health(self, primary: Connection | None) -> list[ServerHealth]:
        """Test whether each replica answers, is one of this primary, and how far it is behind.

        Parameters
        ----------
        primary
            A connection to the primary; None if it does not answer.
        """
        return [self._check_health(replica, primary) for replica in self.members]

    def _check_health(self, replica: Replica, primary: Connection | None) -> ServerHealth:
        lag = None
        try:
            bound, state = replica.open()
            with bound:
                if primary is not None:
                    identity = _identity(primary, self._config)
                    self._verify(replica, state, replica.identity(bound), identity)
            if primary is not None:  # otherwise there is nothing to compare with
                lag = replica.measure_lag(ask_position(primary, of_all_commits=False))
        except (DatabaseConnectionError, ConfigurationError) as error:
            reason = str(error)
            if isinstance(error, DatabaseConnectionError):
                reason = self._reason(error)
                replica.mark_failed()
            return ServerHealth("replica", replica.name, healthy=False, reason=reason)
        replica.mark_answering()
        return ServerHealth(
            "replica",
            replica.name,
            healthy=True,
            lag_seconds=None if lag is None else lag.seconds,
            lag_bytes=None if lag is None else lag.n_bytes,
        )

    def report_failure(self, replica: Replica, reason: str) -> None:
        """Leave a replica alone for some time, and warn once for each loss."""
        replica.mark_failed()
        with self._lock:
            was_lost, replica.is_lost = replica.is_lost, True
        message = (
            f"The replica {replica.name} cannot be used: {reason}. Until it answers again, another "
            "replica or the primary does."
        )
        (logger.info if was_lost else warn)(message)

    def _reason(self, error: DatabaseConnectionError) -> str:
        """Return why a replica cannot be used, and what to do if its server rejects the user."""
        reason = _cause(error)
        if any(sign in reason for sign in _REJECTIONS):
            return f"{reason}. {name_settings(self._config, _CREDENTIALS[self._variable])}"
        return reason

    def dispose(self) -> None:
        """Close all connections."""
        for replica in self.members:
            replica.engine.dispose()

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone."""
        self._lock = threading.Lock()
        self.written.reset_after_fork()
        for replica in self.members:
            replica.engine.dispose(close=False)


def _driver(bound: BoundConnection) -> Connection:
    return bound.connection.driver_connection  # type: ignore[return-value]  # ours


def _identity(connection: Connection, config: DatabaseConfig) -> tuple[str, bool]:
    """Return the identifier of a cluster, which it shares with its replicas, and its role."""
    try:
        identity, in_recovery = ask(connection, _IDENTITY, ANSWER_SECONDS)
    except psycopg2.errors.InsufficientPrivilege:
        role = role_of(connection)
        raise ConfigurationError(
            f"The role {role!r} may not read which cluster the server of {config.place} belongs "
            "to, which is needed to check replicas. On the primary, run GRANT EXECUTE ON FUNCTION "
            f'pg_control_system() TO "{role}".',
            variable="replica_hosts",
        ) from None
    except (psycopg2.Error, TimeoutError):
        raise DatabaseConnectionError(f"The server of {config.place} does not answer.") from None
    return str(identity), in_recovery


def _cause(error: DatabaseConnectionError) -> str:
    """Return what the driver says about a connection that failed."""
    cause = " ".join(str(error.__cause__ or error).split())
    return cause.partition(" Is the server running")[0].rstrip(".")
