"""libpq's own environment variables, which must not lead to another server.

The embedded server is the one that this package started: none of these variables (PGHOSTADDR,
PGSERVICE, ...) may lead to another server or change the session. For a user's own server, those
that the documentation lists apply.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from psycopg2.extensions import libpq_version

if TYPE_CHECKING:
    from collections.abc import Iterator

# Variable, parameter that overrides it, neutral value on a socket, oldest libpq with the parameter.
_OVERRIDES = (
    ("PGHOSTADDR", "hostaddr", "", 0),
    ("PGPASSWORD", "password", "", 0),
    ("PGPASSFILE", "passfile", "", 100000),
    ("PGREQUIREAUTH", "require_auth", "", 160000),
    ("PGCHANNELBINDING", "channel_binding", "disable", 130000),
    ("PGOPTIONS", "options", "", 0),
    ("PGSSLMODE", "sslmode", "disable", 0),
    ("PGREQUIRESSL", "sslmode", "disable", 0),
    ("PGSSLNEGOTIATION", "sslnegotiation", "postgres", 170000),
    ("PGSSLCOMPRESSION", "sslcompression", "0", 0),
    ("PGSSLCERT", "sslcert", "", 0),
    ("PGSSLKEY", "sslkey", "", 0),
    ("PGSSLCERTMODE", "sslcertmode", "disable", 160000),
    ("PGSSLROOTCERT", "sslrootcert", "", 0),
    ("PGSSLCRL", "sslcrl", "", 0),
    ("PGSSLCRLDIR", "sslcrldir", "", 140000),
    ("PGSSLSNI", "sslsni", "1", 140000),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version", "", 130000),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version", "", 130000),
    ("PGREQUIREPEER", "requirepeer", "", 0),
    ("PGGSSENCMODE", "gssencmode", "disable", 120000),
    ("PGGSSDELEGATION", "gssdelegation", "0", 160000),
    ("PGKRBSRVNAME", "krbsrvname", "postgres", 0),
    ("PGCONNECT_TIMEOUT", "connect_timeout", "10", 0),
    ("PGCLIENTENCODING", "client_encoding", "utf8", 0),
    ("PGTARGETSESSIONATTRS", "target_session_attrs", "any", 100000),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts", "disable", 160000),
    ("PGMINPROTOCOLVERSION", "min_protocol_version", "3.0", 180000),
    ("PGMAXPROTOCOLVERSION", "max_protocol_version", "3.0", 180000),
)
# No parameter overrides these.
_WITHOUT_PARAMETER = ("PGSERVICE", "PGDATESTYLE", "PGTZ", "PGGEQO")
_environment_lock = threading.RLock()


def libpq_overrides() -> dict[str, str]:
    """Return parameters that override the variables set now, except those without a parameter."""
    version = libpq_version()
    return {
        parameter: neutral
        for variable, parameter, neutral, oldest in _OVERRIDES
        if variable in os.environ and version >= oldest
    }


@contextmanager
def libpq_environment(*, applies: bool) -> Iterator[None]:
    """Remove the variables that no parameter overrides while a connection opens, or protect them.

    The lock is held only if one of these variables is set.

    Parameters
    ----------
    applies
        Whether ``PGSERVICE``, ``PGDATESTYLE``, ``PGTZ`` and ``PGGEQO`` apply to this connection.
    """
    with ExitStack() as stack:
        stack.enter_context(_environment_lock)
        variables = {name: os.environ[name] for name in _WITHOUT_PARAMETER if name in os.environ}
        if not variables:
            stack.close()
        elif not applies:
            stack.callback(os.environ.update, variables)
            for name in variables:
                del os.environ[name]
        yield


def _after_fork() -> None:
    global _environment_lock
    _environment_lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
