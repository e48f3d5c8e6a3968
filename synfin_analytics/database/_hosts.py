"""Lists of servers, such as ``db1:5433,db2,[::1]:5434,/var/run/postgresql``."""

from __future__ import annotations

import re
from typing import NamedTuple

from psycopg2.extensions import libpq_version

_FIRST_LIBPQ_WITH_PRIMARY = 140000


class Server(NamedTuple):
    """Name, address or socket directory of a server, and its port."""

    host: str
    port: int | str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def parse_servers(text: str, default_port: int = 5432) -> tuple[Server, ...]:
    """Parse a list of servers.

    Parameters
    ----------
    text
        Names, addresses or socket directories, separated by commas, each with ``:port`` if it is
        not the default. An IPv6 address with a port is in brackets.
    default_port
        Port of those without one.

    Raises
    ------
    ValueError
        One of them cannot be read.

    Examples
    --------
    >>> [str(server) for server in parse_servers("db1:5433, [::1]:5434, /run/postgresql")]
    ['db1:5433', '[::1]:5434', '/run/postgresql:5432']
    """
    return tuple(_parse_server(item.strip(), default_port) for item in text.split(","))


def _parse_server(text: str, default_port: int) -> Server:
    match = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\](?::(\d{1,5}))?", text)
    if match is None and text.count(":") > 1 and not text.startswith(("/", "[")):
        return Server(text, default_port)  # an IPv6 address
    match = match or re.fullmatch(r"(/[^:]*|[^:\[\]/\s]+)(?::(\d{1,5}))?", text)
    port = default_port if match is None or match[2] is None else int(match[2])
    if match is None or not 1 <= port <= 65535:
        raise ValueError(text)
    return Server(match[1], port)


def is_list_of_servers(value: object) -> bool:
    """Test whether a setting can be read as a list of servers.

    Examples
    --------
    >>> is_list_of_servers("db1:5433,db2"), is_list_of_servers("db1,,db2")
    (True, False)
    """
    try:
        return isinstance(value, str) and bool(parse_servers(value))
    except ValueError:
        return False


def format_servers(host: str, port: int) -> str:
    """Return the servers of the settings ``host`` and ``port``, as messages name them.

    Examples
    --------
    >>> format_servers("db1:5433,db2", 5432)
    'db1:5433, db2:5432'
    """
    return ", ".join(map(str, parse_servers(host, port)))


def server_arguments(host: str, port: int) -> dict[str, str | int]:
    """Arguments of libpq for a list of servers; of several, the primary is connected to.

    Examples
    --------
    >>> server_arguments("db1:5433,db2", 5432)["port"]
    '5433,5432'
    """
    servers = parse_servers(host, port)
    if len(servers) == 1:
        return servers[0]._asdict()
    # "read-write" would refuse a role with default_transaction_read_only, which is on the primary.
    has_primary = libpq_version() >= _FIRST_LIBPQ_WITH_PRIMARY
    return {
        "host": ",".join(server.host for server in servers),
        "port": ",".join(str(server.port) for server in servers),
        "target_session_attrs": "primary" if has_primary else "read-write",
    }
