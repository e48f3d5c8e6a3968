"""The values a database setting may take: as text from the environment, in a URL, or in code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from urllib.parse import SplitResult

# Environment variable of each field of DatabaseConfig.
VARIABLES = {
    "host": "DB_HOST",
    "port": "DB_PORT",
    "database": "DB_NAME",
    "username": "DB_USER",
    "password": "DB_PASSWORD",
    "pool_size": "DB_POOL_SIZE",
    "max_overflow": "DB_MAX_OVERFLOW",
    "pool_timeout": "DB_POOL_TIMEOUT",
    "pool_recycle": "DB_POOL_RECYCLE",
    "echo": "DB_ECHO",
    "sslmode": "DB_SSLMODE",
    "sslrootcert": "DB_SSLROOTCERT",
    "slow_query_ms": "DB_SLOW_QUERY_MS",
    "data_dir": "DB_DATA_DIR",
}
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
URL_FORM = "it should look like postgresql://user:password@host:5432/database"

_URL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_NUMBERS = ("port", "pool_size", "max_overflow", "pool_timeout", "pool_recycle", "slow_query_ms")
# What libpq understands in a connection string beyond the fields of DatabaseConfig.
_LIBPQ_OPTIONS = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
    "load_balance_hosts", "options", "passfile", "require_auth", "ssl_max_protocol_version",
    "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcrl", "sslcrldir", "sslkey",
    "sslnegotiation", "sslsni", "target_session_attrs", "tcp_user_timeout",
})  # fmt: skip


def wrong(called: str, value: object, rule: str) -> ConfigurationError:
    """Make the error for a setting: which one, what it is, what it should be."""
    return ConfigurationError(f"{called} is {value!r}, but should be {rule}.", variable=called)


def wrong_url(why: str) -> ConfigurationError:
    """Make the error for a database URL; it never repeats the URL, which holds the password."""
    return ConfigurationError(f"DATABASE_URL is wrong: {why}.", variable="DATABASE_URL")


def from_text(name: str, text: str, called: str) -> Any:
    """Read the setting ``name`` from text; ``called`` is what messages call it."""
    value: Any = text
    if name == "echo":
        value = _BOOLEANS.get(text.lower(), text)
    elif name in _NUMBERS and re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        value = int(text)
    check(name, value, called)
    return value


def check(name: str, value: object, called: str) -> None:
    """Refuse a value that the setting ``name`` cannot have."""
    accepts, rule = _RULES.get(name, (None, ""))
    if accepts is not None and not accepts(value):
        raise wrong(called, value, rule)
    if isinstance(value, str) and "\0" in value:
        raise ConfigurationError(f"{called} holds a NUL character.", variable=called)


def _number(least: int, most: int) -> tuple[Callable[[object], bool], str]:
    def accepts(value: object) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and least <= int(str(value)) <= most

    return accepts, f"a whole number from {least} to {most}"


def _is_certificate(value: object) -> bool:
    return value in {None, "system"} or Path(str(value)).is_file()


def _is_host(value: object) -> bool:
    return value is None or (isinstance(value, str) and bool(value.strip()) and "," not in value)


# What each setting may be: a test, and the same in words.
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "port": _number(1, 65535),
    "pool_size": _number(1, 10_000),
    "max_overflow": _number(0, 10_000),
    "pool_timeout": _number(1, 86_400),
    "pool_recycle": _number(-1, 10**9),
    "slow_query_ms": _number(0, 10**9),
    "echo": (
        lambda value: isinstance(value, bool),
        f"True or False (in the environment: {', '.join(_BOOLEANS)})",
    ),
    "sslmode": (
        lambda value: value is None or value in SSL_MODES,
        f"one of {', '.join(SSL_MODES)}",
    ),
    "sslrootcert": (_is_certificate, "a file that exists: the certificate of the authority"),
    "host": (_is_host, "the name or address of one server"),
    "database": (
        lambda value: isinstance(value, str) and value != "",
        "the name of a database",
    ),
}


def check_options(options: Iterable[str]) -> None:
    """Refuse connection options that libpq does not have."""
    for name in options:
        if name not in _LIBPQ_OPTIONS:
            near = nearest_names(name, [*_LIBPQ_OPTIONS, "sslmode", "sslrootcert"])
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigurationError(
                f"There is no connection option {name!r}.{hint}", variable="options"
            )


def from_url(url: str) -> dict[str, Any]:
    """Take a database URL apart into fields of DatabaseConfig; only those that it names."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong_url(f"its host or port cannot be read; {URL_FORM}") from None
    _check_url_form(parts)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    found: dict[str, Any] = {
        "host": unquote(parts.hostname or "") or query.pop("host", None),
        "port": port,
        "database": unquote(parts.path.removeprefix("/")) or None,
        "username": unquote(parts.username or "") or None,
        "password": None if parts.password is None else unquote(parts.password),
    }
    for name in ("port", "sslmode", "sslrootcert"):
        if name in query:
            found[name] = from_text(name, query.pop(name), f"DATABASE_URL's {name}")
    try:
        check_options(query)
    except ConfigurationError as error:
        raise wrong_url(f"in its query, t{str(error)[1:].removesuffix('.')}") from None
    if found["host"] is None:
        raise wrong_url(f"it names no host; {URL_FORM}")
    check("host", found["host"], "DATABASE_URL's host")
    if query:
        found["options"] = query
    return {name: value for name, value in found.items() if value is not None}


def _check_url_form(parts: SplitResult) -> None:
    if parts.scheme not in _URL_SCHEMES:
        begins = f"{parts.scheme}://" if parts.scheme else "no scheme"
        raise wrong_url(
            f"it begins with {begins}, but should begin with one of "
            + ", ".join(f"{scheme}://" for scheme in _URL_SCHEMES)
        )
    if parts.fragment:
        raise wrong_url("it has a '#'; in a user name or password, write %23 for it")


def to_url(arguments: Mapping[str, Any]) -> str:
    """Write libpq's connection arguments as a URL for SQLAlchemy.

    Examples
    --------
    >>> to_url({"host": "db.bank", "user": "ana", "password": "a/b", "dbname": "fraud"})
    'postgresql+psycopg2://ana:a%2Fb@db.bank:5432/fraud'
    """
    rest = {name: str(value) for name, value in arguments.items()}
    host, port = rest.pop("host", ""), rest.pop("port", "5432")
    user, password = rest.pop("user", ""), rest.pop("password", None)
    database = quote(rest.pop("dbname", ""), safe="")
    login = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if host.startswith("/"):  # the folder of a socket
        where, rest = "", {"host": host, "port": port, **rest}
    query = f"?{urlencode(rest, quote_via=quote, safe='/')}" if rest else ""
    return f"postgresql+psycopg2://{login}{'@' if login else ''}{where}/{database}{query}"
