"""The values a database setting may take: as text from the environment, in a URL, or in code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
URL_FORM = "postgresql://user:password@host:5432/database"

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


class Secret(str):
    """A text that is never printed, as a password: neither by ``repr``, ``str`` nor a format.

    A traceback that shows local variables, as IPython's verbose one, shows ``'***'``. It compares,
    encodes and pickles as the text that it is: a pickle of a configuration holds the password.

    Examples
    --------
    >>> password = Secret("s3cr3t")
    >>> password, f"{password}", password == "s3cr3t"
    ('***', '***', True)
    >>> len(password.reveal())
    6
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Secret:
        return text if isinstance(text, cls) else super().__new__(cls, text)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """Give the text itself, for the driver only."""
        return str.__str__(self)


def revealed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of a call with its secrets as plain texts."""
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in arguments.items()
    }


def wrong(called: str, value: object, rule: str) -> ConfigurationError:
    """Make the error for a setting: which one, what it must be, what it is."""
    return ConfigurationError(f"{called} must be {rule}; got {value!r}.", variable=called)


def wrong_url(why: str) -> ConfigurationError:
    """Make the error for a database URL; it never repeats the URL, which holds the password."""
    return ConfigurationError(f"DATABASE_URL {why}.", variable="DATABASE_URL")


def read(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the settings that the environment has, by variable; the secret ones as secrets."""
    secret = (VARIABLES["password"], "DATABASE_URL")
    texts = {name: environ.get(name, "") for name in (*VARIABLES.values(), "DATABASE_URL")}
    return {name: Secret(text) if name in secret else text for name, text in texts.items()}


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
    if name in {"host", "database"} and "://" in str(value):
        # A URL in the wrong place may hold a password.
        raise ConfigurationError(
            f"{called} must be a name; got a URL. Set DATABASE_URL instead.", variable=called
        )
    accepts, rule = _RULES.get(name, (None, ""))
    if accepts is not None and not accepts(value):
        raise wrong(called, value, rule)
    if isinstance(value, str) and "\0" in value:
        raise ConfigurationError(f"{called} must not contain a NUL character.", variable=called)


def check_password(value: object) -> None:
    """Refuse a password that cannot be one; the message does not show it."""
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(
            f"password must be a text; got a {type(value).__name__}.", variable="password"
        )
    if value and "\0" in value:
        raise ConfigurationError("password must not contain a NUL character.", variable="password")


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


@dataclass(frozen=True)
class _Parts:
    """A URL taken apart; its password prints as ``'***'``."""

    scheme: str
    host: str | None
    port: int | None
    database: str | None
    username: str | None
    password: Secret | None
    query: dict[str, str]


def from_url(url: Secret) -> dict[str, Any]:
    """Take a database URL apart into fields of DatabaseConfig; only those that it names."""
    parts = _parts_of(url)
    if isinstance(parts, str):
        raise wrong_url(parts)
    if parts.scheme not in _URL_SCHEMES:
        begins = f"{parts.scheme}://" if parts.scheme else "no scheme"
        raise wrong_url(
            "must begin with one of "
            + ", ".join(f"{scheme}://" for scheme in _URL_SCHEMES)
            + f"; got {begins}"
        )
    query = dict(parts.query)
    found: dict[str, Any] = {
        "host": parts.host or query.pop("host", None),
        "port": parts.port,
        "database": parts.database,
        "username": parts.username,
        "password": parts.password,
    }
    for name in ("port", "sslmode", "sslrootcert"):
        if name in query:
            found[name] = from_text(name, query.pop(name), f"DATABASE_URL's {name}")
    try:
        check_options(query)
    except ConfigurationError as error:
        raise wrong_url(f"has a wrong query: t{str(error)[1:].removesuffix('.')}") from None
    if found["host"] is None:
        raise wrong_url(f"must name a host, as in {URL_FORM}")
    check("host", found["host"], "DATABASE_URL's host")
    if query:
        found["options"] = query
    return {name: value for name, value in found.items() if value is not None}


def _parts_of(url: Secret) -> _Parts | str:
    """Parts of a URL, or what is wrong with it: an error in here would show it in its frames."""
    escaped = "in a user name or password, write %2F for '/', %3F for '?', %23 for '#', %40 for '@'"
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
    except ValueError:
        return f"must have a host and port that can be read, as in {URL_FORM}; {escaped}"
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" or parts.fragment:
        return f"must not have '#', nor '/' or '?' before '@'; {escaped}"
    return _Parts(
        scheme=parts.scheme,
        host=unquote(parts.hostname or "") or None,
        port=port,
        database=unquote(parts.path.removeprefix("/")) or None,
        username=unquote(parts.username or "") or None,
        password=None if parts.password is None else Secret(unquote(parts.password)),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
    )


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
