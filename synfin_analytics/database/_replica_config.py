"""The settings of the read replicas of a primary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics.database._hosts import parse_servers
from synfin_analytics.database._secret import Secret
from synfin_analytics.database._settings import name_sources
from synfin_analytics.database._url import parse_url
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Options of libpq that concern the primary's list of servers only.
_OPTIONS_OF_LISTS = ("target_session_attrs", "load_balance_hosts")
#: A replica that does not answer must cost little, since the primary can answer instead. Two
#: seconds are the least that libpq waits.
_OPTIONS_OF_REPLICAS = {
    "connect_timeout": "2",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}


def replica_settings(
    hosts: str | None,
    url: str | None,
    *,
    embedded: bool,
    port: int,
    database: str,
    options: Mapping[str, str],
    labels: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return, for each read replica, the settings that differ from those of the primary.

    Parameters
    ----------
    hosts, url
        The settings of the replicas, of which one must be None.
    embedded, port, database, options
        Settings of the primary.
    labels
        As in :func:`~synfin_analytics.database._settings.name_sources`.

    Raises
    ------
    ConfigurationError
        The replicas contradict each other or the primary.

    Examples
    --------
    >>> (replica,) = replica_settings(
    ...     "db2", None, embedded=False, port=5433, database="fraud", options={}, labels={}
    ... )
    >>> replica["host"], replica["port"]
    ('db2', 5433)
    """
    if hosts is None and url is None:
        return []
    if hosts is not None and url is not None:
        raise ConfigurationError(
            name_sources(
                "DB_REPLICA_HOSTS and DB_REPLICA_URL are both set. Set one or the other.", labels
            ),
            variable="replica_hosts",
        )
    variable = "DB_REPLICA_HOSTS" if url is None else "DB_REPLICA_URL"
    label = labels.get(variable, variable)
    if embedded:
        raise ConfigurationError(
            "The embedded server has no read replicas. Set DB_HOST or DATABASE_URL to the primary, "
            f"or remove {label}.",
            variable="replica_hosts" if url is None else "replica_url",
        )
    settings: dict[str, Any] = {"host": hosts, "port": port}
    if url is not None:
        settings = {"port": 5432, **parse_url(Secret(url), label)}
        if "username" in settings:  # the password of another user is of no use
            settings.setdefault("password", None)
        other_database = settings.get("database", database)
        if other_database != database:
            raise ConfigurationError(
                f"{label} must name the primary's database {database!r}; got {other_database!r}.",
                variable="replica_url",
            )
    inherited = {name: text for name, text in options.items() if name not in _OPTIONS_OF_LISTS}
    settings["options"] = {**_OPTIONS_OF_REPLICAS, **inherited, **settings.get("options", {})}
    settings |= {"replica_hosts": None, "replica_url": None}
    servers = parse_servers(settings["host"], settings["port"])
    return [{**settings, **server._asdict()} for server in servers]
