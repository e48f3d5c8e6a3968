"""The settings of a database: variables, how their texts are parsed, and the accepted values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfin_analytics.database._cache_url import is_cache_url
from synfin_analytics.database._hosts import is_list_of_servers
from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Environment variable of each field of DatabaseConfig.
VARIABLES = {
    "host": "DB_HOST",
    "port": "DB_PORT",
    "database": "DB_NAME",
    "username": "DB_USER",
    "password": "DB_PASSWORD",
    "pool": "DB_POOL",
    "pool_size": "DB_POOL_SIZE",
    "max_overflow": "DB_MAX_OVERFLOW",
    "pool_timeout": "DB_POOL_TIMEOUT",
    "pool_recycle": "DB_POOL_RECYCLE",
    "echo": "DB_ECHO",
    "sslmode": "DB_SSLMODE",
    "sslrootcert": "DB_SSLROOTCERT",
    "slow_query_ms": "DB_SLOW_QUERY_MS",
    "data_dir": "DB_DATA_DIR",
    "replica_hosts": "DB_REPLICA_HOSTS",
    "replica_url": "DB_REPLICA_URL",
    "cache_url": "DB_CACHE_URL",
}
#: Settings that may hold a password.
SECRETS = ("password", "replica_url", "cache_url")
POOLS = ("queue", "none")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
URL_VARIABLE = "DATABASE_URL"
FIELDS_IN_URL = ("host", "port", "database", "username", "password")
#: Selects a section of ``synfin.toml``.
ENVIRONMENT_VARIABLE = "DB_ENV"

#: Connection options of libpq that may be set beyond these. Those that change which server is
#: reached, or take settings from elsewhere (hostaddr, service), are left out on purpose.
LIBPQ_OPTIONS = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
    "load_balance_hosts", "options", "passfile", "require_auth", "ssl_max_protocol_version",
    "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcrl", "sslcrldir", "sslkey",
    "sslnegotiation", "sslsni", "target_session_attrs", "tcp_user_timeout",
})  # fmt: skip
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_INTEGERS = ("port", "pool_size", "max_overflow", "pool_timeout", "pool_recycle", "slow_query_ms")


def parse_setting(name: str, text: str, label: str) -> Any:
    """Convert the text of a setting; ``label`` is its name in messages."""
    value: Any = text
    if name == "echo":
        value = _BOOLEANS.get(text.lower(), text)
    elif name in _INTEGERS and re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        value = int(text)
    validate_setting(name, value, label)
    return value


def validate_setting(name: str, value: object, label: str) -> None:
    """Raise an error if the setting ``name`` cannot have this value."""
    if name in {"host", "database", "replica_hosts"} and "://" in str(value):
        # A URL in the wrong place may hold a password.
        variable = "DB_REPLICA_URL" if name == "replica_hosts" else URL_VARIABLE
        raise ConfigurationError(
            f"{label} must be a name; got a URL. Set {variable} instead.", variable=label
        )
    is_valid, description = _RULES.get(name, (None, ""))
    if is_valid is not None and not is_valid(value):
        raise ConfigurationError(f"{label} must be {description}; got {value!r}.", variable=label)
    if isinstance(value, str) and "\0" in value:
        raise ConfigurationError(f"{label} must not contain a NUL character.", variable=label)


def validate_options(options: Iterable[str], prefix: str = "") -> None:
    """Raise an error if there is no connection option of such a name."""
    for name in options:
        if name not in LIBPQ_OPTIONS:
            raise ConfigurationError(
                f"{prefix}{unknown_option(name, capital=not prefix)}.",
                variable=prefix.partition(" ")[0] or "options",
            )


def name_sources(message: str, labels: Mapping[str, str]) -> str:
    """Replace variables in a message by the labels of the settings that are made elsewhere.

    Parameters
    ----------
    message
        The message, in which settings are named by their variables.
    labels
        Label of each variable whose setting is that of a file: key, section, file and line.
    """
    for variable, label in labels.items():
        # What follows as `=value` is a proposal.
        message = re.sub(rf"\b{variable}\b(?!=)", label.replace("\\", r"\\"), message)
    for label in set(labels.values()):  # `url` sets both of "DB_HOST and DB_PORT"
        message = message.replace(f"{label} and {label}", label)
    return message


def unknown_option(name: str, *, capital: bool = False) -> str:
    """Clause that says that there is no such connection option, with similar names."""
    near = nearest_names(name, [*LIBPQ_OPTIONS, "sslmode", "sslrootcert"])
    hint = f". Did you mean {' or '.join(near)}?" if near else ""
    return f"{'T' if capital else 't'}here is no connection option {name!r}{hint}"


def _integer(lowest: int, highest: int) -> tuple[Callable[[object], bool], str]:
    def is_valid(value: object) -> bool:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and lowest <= int(str(value)) <= highest

    return is_valid, f"a whole number from {lowest} to {highest}"


#: Test of the values of a setting, and its description in messages.
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "port": _integer(1, 65535),
    "pool": (lambda value: value in POOLS, f"one of {', '.join(POOLS)}"),
    "pool_size": _integer(1, 10_000),
    "max_overflow": _integer(0, 10_000),
    "pool_timeout": _integer(1, 86_400),
    "pool_recycle": _integer(-1, 10**9),
    "slow_query_ms": _integer(0, 10**9),
    "echo": (
        lambda value: isinstance(value, bool),
        f"True or False (in the environment: {', '.join(_BOOLEANS)})",
    ),
    "sslmode": (
        lambda value: value is None or value in SSL_MODES,
        f"one of {', '.join(SSL_MODES)}",
    ),
    "sslrootcert": (
        lambda value: value in {None, "system"} or Path(str(value)).is_file(),
        "an existing file with the certificate of the authority",
    ),
    "host": (
        lambda value: value is None or is_list_of_servers(value),
        "the name or address of a server, or several such as db1:5432,db2:5432",
    ),
    "replica_hosts": (
        lambda value: value is None or is_list_of_servers(value),
        "names or addresses of servers, such as db2:5432,db3:5432",
    ),
    "cache_url": (
        lambda value: value is None or is_cache_url(value),
        "memory://, redis://host:port/0 or memcached://host:port",
    ),
    "environment": (
        lambda value: value is None or (isinstance(value, str) and bool(value.strip())),
        "the name of an environment",
    ),
    "protected": (lambda value: isinstance(value, bool), "True or False"),
    "database": (
        lambda value: isinstance(value, str) and value != "",
        "the name of a database",
    ),
}
