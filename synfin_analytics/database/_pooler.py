"""Connection poolers such as pgbouncer: what their errors mean, and how many connections they open.

A pooler reports its own errors in the form of the server's, but without a code. When it ends a
session, the driver only reports that the connection was closed; libpq has the pooler's reason.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - a class

#: By a part of the message of pgbouncer 1.18 or newer: what happened and what to do.
_EXPLANATIONS = (
    ("query_wait_timeout", "The connection pooler had no free connection to the server within its "
     "query_wait_timeout: all are in use, or the server is down. Close sessions after use, let "
     "fewer programs connect at once, or have its default_pool_size raised."),
    ("unsupported startup parameter in options: {}", "The connection pooler does not accept the "
     "setting {!r} among the connection options: remove it there and set it in the database (ALTER "
     "ROLE … SET …), or have it added to the pooler's ignore_startup_parameters, which ignores "
     "its value."),
    ("unsupported startup parameter: {}", "The connection pooler does not accept the connection "
     "option {!r}: remove it from the URL or DatabaseConfig.options (or PGOPTIONS) and set its "
     "values in the database (ALTER ROLE … SET …), or have it added to the pooler's "
     "ignore_startup_parameters, which ignores its value."),
    ("unsupported options startup parameter", "The connection pooler does not accept the form of "
     "the connection option 'options': write each setting as -c name=value."),
    ("no more connections allowed", "The connection pooler accepts no more clients: close other "
     "sessions, lower DB_POOL_SIZE and DB_MAX_OVERFLOW, or have its max_client_conn raised."),
    ("client connections exceeded", "The connection pooler accepts no more clients of this user or "
     "database: close other sessions, lower DB_POOL_SIZE and DB_MAX_OVERFLOW, or have its "
     "max_user_client_connections or max_db_client_connections raised."),
    ("server login has been failing", "The connection pooler cannot log in to the server, and does "
     "not try again before its server_login_retry (15 s by default) has passed: check that the "
     "server is running; the pooler's log has the reason."),
    ("cannot connect to server", "The connection pooler cannot connect to the server: check that "
     "the server is running; the pooler's log has the reason."),
    ("client_login_timeout", "The connection pooler did not finish the login within its "
     "client_login_timeout: its server may be down, or all connections to it in use."),
    ("no such database", "The connection pooler has no such database: check DB_NAME, or have it "
     "added to the section [databases] of its configuration."),
    ("bouncer config error", "The connection pooler is not configured for this database and user: "
     "check DB_NAME and DB_USER; its log has the reason."),
    ("no such user", "The connection pooler does not know the user: check DB_USER, or have it "
     "added to the pooler's auth_file."),
    ("SASL authentication failed", "The connection pooler rejected the password or the user: check "
     "DB_USER and DB_PASSWORD, and that the user is in its auth_file."),
    ("SSL required", "The connection pooler requires TLS: set DB_SSLMODE=require."),
    ("is disabled", "The administrator of the connection pooler has disabled this database."),
    ("client_idle_timeout", "The connection pooler closed the session, which was idle for longer "
     "than its client_idle_timeout: close sessions after use."),
    ("idle transaction timeout", "The connection pooler ended the transaction, which was idle for "
     "longer than its idle_transaction_timeout: commit before long work that needs no database."),
    ("transaction timeout", "The connection pooler ended the transaction, which took longer than "
     "its transaction_timeout: do less in one transaction, or have that setting raised."),
    ("query timeout", "The connection pooler ended the query, which took longer than its "
     "query_timeout: select less, or have that setting raised."),
    ("cancel_wait_timeout", "The connection pooler could not cancel the query within its "
     "cancel_wait_timeout: try again later."),
    ("in statement pooling mode", "The connection pooler uses pool_mode = statement, which has no "
     "transactions: have it set to transaction or session."),
    ("server conn crashed", "The connection pooler lost its connection to the server, which was "
     "stopped or ended it."),
    ("admin forced disconnect", "The administrator of the connection pooler ended the session."),
    ("pooler is shutting down", "The connection pooler is being stopped."),
)  # fmt: skip
#: Seconds within which a host, or a pooler's console, must answer.
PROBE_TIMEOUT = 2
#: At the first query: the pooler still had a connection to a server that was restarted since.
_STALE = "server conn crashed"
#: Messages after which the server may be back when the pooler connects the next time.
_RESTARTING = ("server login has been failing", "cannot connect to server", "(server down)")
#: Parts of the messages above that newer versions write with underscores.
_SPELLING = re.compile("(query|transaction)_timeout")
_REQUEST_FOR_TLS = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
_TIMEOUT = re.compile(r'at "([^"]+)"(?: \(([^)]+)\))?, port (\d+) failed: timeout expired')
_SILENT = (
    "The host accepts connections, but the login had no answer. If it is a connection pooler such "
    "as pgbouncer, its server is down, all connections to that are in use, or the database is "
    "paused: ask its administrator, or try again later."
)


def explain_pooler_error(message: str) -> str:
    """Explain a pooler's error in a sentence with advice; return "" for any other error.

    Parameters
    ----------
    message
        Error message of libpq.

    Examples
    --------
    >>> explain_pooler_error("FATAL:  no such database: fraud")
    'The connection pooler has no such database: check DB_NAME, ...'
    >>> explain_pooler_error('ERROR:  column "query_timeout" does not exist')
    ''
    """
    for line in re.findall(r"FATAL:\s+(.*)", message):
        text = _SPELLING.sub(r"\1 timeout", line)
        for sign, explanation in _EXPLANATIONS:
            before, parameter, _ = sign.partition("{}")
            if before in text:
                value = text.partition(before)[2].strip() if parameter else ""
                return explanation.replace("{!r}", repr(value))
    return ""


def explain_silent_login(message: str, timeout: float = PROBE_TIMEOUT) -> str:
    """Explain a login that timed out on a host that answers; return "" for any other error.

    A pooler accepts clients even while it cannot reach its server. The answer to a request for TLS
    shows that a program with PostgreSQL's protocol listens there.

    Parameters
    ----------
    message
        Error message of libpq.
    timeout
        Seconds that the host has to accept another connection, and to answer on it.

    Examples
    --------
    >>> explain_silent_login('connection to server at "db", port 5432 failed: Connection refused')
    ''
    """
    for host, address, port in _TIMEOUT.findall(message):
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address or host, int(port)), timeout=timeout) as probe,
        ):
            probe.sendall(_REQUEST_FOR_TLS)
            if probe.recv(1) in {b"S", b"N"}:
                return _SILENT
    return ""


def is_stale(message: str) -> bool:
    """Test whether a pooler had a connection to the server that no longer works.

    Examples
    --------
    >>> is_stale("FATAL:  server conn crashed?")
    True
    """
    return _STALE in message


def is_restarting(message: str) -> bool:
    """Test whether a pooler's error may mean that its server is restarting.

    Examples
    --------
    >>> is_restarting("FATAL:  server login has been failing, try again later (server_login_retry)")
    True
    """
    return _TIMEOUT.search(message) is not None or any(sign in message for sign in _RESTARTING)


# -- Limits ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolerLimits:
    """Limits that pgbouncer has for one database, as its console shows them.

    Attributes
    ----------
    pool_mode
        When a connection to the server becomes free for others.
    n_connections
        Maximum number of connections to the server.
    n_clients
        Maximum number of clients, of all databases.
    query_wait_timeout
        Seconds that a query may wait for a connection to the server; 0 for no limit.
    """

    pool_mode: str
    n_connections: int
    n_clients: int
    query_wait_timeout: float

    def warning(self, pool_size: int, max_overflow: int) -> str | None:
        """Compare the limits with the size of our pool.

        Examples
        --------
        >>> PoolerLimits("transaction", 20, 100, 120.0).warning(10, 10)
        >>> PoolerLimits("transaction", 20, 100, 120.0).warning(10, 20)
        'The connection pooler opens at most 20 connections ...'
        """
        total = pool_size + max_overflow
        ours = f"DB_POOL_SIZE + DB_MAX_OVERFLOW ({pool_size} + {max_overflow} = {total})"
        advice = f"Set them to at most {min(self.n_clients, self.n_connections)} in total, or set "
        advice += "DB_POOL=none, which leaves the limit to the pooler."
        if total > self.n_clients:
            return (
                f"The connection pooler accepts at most {self.n_clients} clients (max_client_conn),"
                f" fewer than {ours}; it would refuse the others. {advice}"
            )
        if total > self.n_connections:
            limit = f" up to {self.query_wait_timeout:g} s" if self.query_wait_timeout else ""
            return (
                f"The connection pooler opens at most {self.n_connections} connections to the "
                f"server for this database (pool_mode {self.pool_mode}), fewer than {ours}; "
                f"sessions beyond that would wait in the pooler{limit}. {advice}"
            )
        return None


def read_limits(console: DriverConnection, database: str) -> PoolerLimits | None:
    """Read pgbouncer's limits from its console.

    Parameters
    ----------
    console
        Connection to the database ``pgbouncer`` of the pooler, in autocommit mode.
    database
        Name of the database at the pooler.

    Returns
    -------
    PoolerLimits or None
        None if the pooler's answer is not pgbouncer's.
    """
    databases = {row["name"]: row for row in _show(console, "DATABASES")}
    settings = {row["key"]: row["value"] for row in _show(console, "CONFIG")}
    try:
        row = databases[database]
        n_connections = int(row["pool_size"])
        n_connections += int(row.get("reserve_pool_size") or row.get("reserve_pool") or 0)
        if limit := int(row["max_connections"] or 0):
            n_connections = min(n_connections, limit)
        return PoolerLimits(
            row["pool_mode"] or settings["pool_mode"],
            n_connections,
            int(settings["max_client_conn"]),
            float(settings["query_wait_timeout"]),
        )
    except (KeyError, ValueError):
        return None


def _show(console: DriverConnection, what: str) -> list[dict[str, Any]]:
    with console.cursor() as cursor:
        cursor.execute(f"SHOW {what}")
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
