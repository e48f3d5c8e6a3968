"""What a manager says about its servers: connections of the pools, and health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from sqlalchemy.pool import QueuePool

from synfin_analytics.database._engine import NoPool

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["HealthReport", "PoolStatus", "ReplicaPoolStatus", "ServerHealth"]


class ReplicaPoolStatus(TypedDict, total=False):
    """Connections to a read replica.

    Attributes
    ----------
    server
        Host and port.
    size, checked_in, checked_out, overflow
        As in :class:`PoolStatus`.
    lag_seconds
        Seconds that the replica is behind the primary; None if it does not answer, or has not
        replayed a transaction since it started.

    Examples
    --------
    >>> status = ReplicaPoolStatus(server="db2:5432", checked_out=0, lag_seconds=0.0)
    >>> status["lag_seconds"]
    0.0
    """

    server: str
    size: int
    checked_in: int
    checked_out: int
    overflow: int
    lag_seconds: float | None


class PoolStatus(TypedDict, total=False):
    """Connections of a pool; only ``status`` before the pool exists.

    Attributes
    ----------
    status
        ``"not_initialized"`` or ``"initialized"``.
    size
        Connections that are kept open.
    checked_in, checked_out
        Idle connections, and connections in use.
    overflow
        Connections open beyond ``size``.
    replicas
        The pools of the read replicas, if there are any.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager
    >>> get_db_manager().initialize()
    >>> get_db_manager().get_pool_status()["status"]
    'initialized'
    """

    status: Literal["not_initialized", "initialized"]
    size: int
    checked_in: int
    checked_out: int
    overflow: int
    replicas: list[ReplicaPoolStatus]


@dataclass(frozen=True)
class ServerHealth:
    """Whether a server answers.

    Attributes
    ----------
    role
        ``"primary"`` or ``"replica"``.
    server
        Host and port, or ``"embedded server"``.
    healthy
        Whether it answers; a replica must also be a standby of the primary.
    reason
        Why it is not healthy.
    lag_seconds
        Seconds that a replica is behind the primary: 0 if it shows everything, else the time since
        the commit of the newest transaction that it shows. None if that is unknown.
    lag_bytes
        Bytes of the write-ahead log that a replica has not replayed yet.

    Examples
    --------
    >>> print(ServerHealth("replica", "db2:5432", True, lag_seconds=1.25, lag_bytes=300))
    replica db2:5432: 1.2 s behind
    """

    role: Literal["primary", "replica"]
    server: str
    healthy: bool
    reason: str | None = None
    lag_seconds: float | None = None
    lag_bytes: int | None = None

    def __str__(self) -> str:
        if not self.healthy:
            return f"{self.role} {self.server}: {self.reason}"
        return f"{self.role} {self.server}: {self.condition}"

    @property
    def condition(self) -> str:
        """The state in words.

        Examples
        --------
        >>> ServerHealth("replica", "db2:5432", True, lag_seconds=1.25, lag_bytes=300).condition
        '1.2 s behind'
        """
        if not self.healthy:
            return f"not used: {self.reason}"
        if self.lag_bytes is None:
            return "healthy"
        if not self.lag_bytes:
            return "up to date"
        if self.lag_seconds is None:
            return f"{self.lag_bytes:,} bytes behind"
        return f"{self.lag_seconds:,.1f} s behind"


@dataclass(frozen=True)
class HealthReport:
    """Health of a database; true if its primary answers, which can do everything.

    Attributes
    ----------
    servers
        The primary and the read replicas.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager
    >>> report = get_db_manager().health_check()
    >>> bool(report)
    True
    >>> print(report)
    primary embedded server: healthy
    """

    servers: tuple[ServerHealth, ...]

    def __bool__(self) -> bool:
        return self.primary.healthy

    def __str__(self) -> str:
        return "\n".join(map(str, self.servers))

    @property
    def primary(self) -> ServerHealth:
        """Health of the primary.

        Examples
        --------
        >>> HealthReport((ServerHealth("primary", "db1:5432", True),)).primary.healthy
        True
        """
        return self.servers[0]

    @property
    def replicas(self) -> tuple[ServerHealth, ...]:
        """Health of each read replica.

        Examples
        --------
        >>> HealthReport((ServerHealth("primary", "db1:5432", True),)).replicas
        ()
        """
        return self.servers[1:]


def count_connections(engine: Engine) -> PoolStatus:
    """Count the connections of a pool.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager
    >>> count_connections(get_db_manager().engine)["status"]
    'initialized'
    """
    pool = engine.pool
    if not isinstance(pool, QueuePool | NoPool):
        return {"status": "initialized"}
    return {
        "status": "initialized",
        "size": pool.size(),
        "checked_in": pool.checkedin(),
        "checked_out": pool.checkedout(),
        "overflow": max(0, pool.overflow()),
    }
