"""Which database to use, and how: from the environment, or given in code."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Mapping

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_URL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")

# What libpq understands in a connection string beyond the fields of DatabaseConfig.
_LIBPQ_OPTIONS = frozenset(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "options",
        "passfile",
        "require_auth",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslnegotiation",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
    ]
)

# Environment variable of each field.
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
_NEEDS_HOST = ("port", "username", "password", "sslmode", "sslrootcert")
_IN_URL = ("host", "port", "database", "username", "password")
_LEAST = {
    "pool_size": 1,
    "max_overflow": 0,
    "pool_timeout": 1,
    "pool_recycle": -1,
    "slow_query_ms": 0,
}


@dataclass(frozen=True, repr=False)
class DatabaseConfig:
    """Where the database is, and how many connections to keep.

    Parameters
    ----------
    host
        Name or address of the server, or the folder of its socket. None means the embedded
        server, which starts by itself.
    port
        Port of the server.
    database
        Name of the database.
    username, password
        Who connects. Without a password, libpq looks into ``~/.pgpass``; without a user, it takes
        the name of the operating system's user.
    pool_size
        Connections that stay open.
    max_overflow
        Connections that may be opened beyond these for a short while.
    pool_timeout
        Seconds to wait for a free connection.
    pool_recycle
        Seconds after which a connection is replaced; -1 for never.
    echo
        Log every statement (never its parameters).
    sslmode
        One of ``disable, allow, prefer, require, verify-ca, verify-full``.
    sslrootcert
        File with the certificate authority's certificate that the server's must be signed by.
    slow_query_ms
        Statements that take longer are logged as a warning.
    data_dir
        Folder of the embedded server's databases.
    options
        Further connection options of libpq, such as ``connect_timeout``.

    Examples
    --------
    >>> config = DatabaseConfig(host="db.bank", username="ana", password="s3cr3t/")
    >>> config
    DatabaseConfig(host='db.bank', username='ana', password='***')
    >>> config.get_connection_string()
    'postgresql+psycopg2://ana:s3cr3t%2F@db.bank:5432/synfinance'
    """

    host: str | None = None
    port: int = 5432
    database: str = "synfinance"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    pool_size: int = 10
    max_overflow: int = 20
    pool_timeout: int = 30
    pool_recycle: int = 3600
    echo: bool = False
    sslmode: str | None = None
    sslrootcert: str | None = None
    slow_query_ms: int = 1000
    data_dir: str | os.PathLike[str] | None = None
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("port", *_LEAST):
            _check_number(name, getattr(self, name))
        if not isinstance(self.echo, bool):
            raise _wrong("echo", self.echo, "True or False")
        if not isinstance(self.database, str) or not self.database or "\0" in self.database:
            raise _wrong("database", self.database, "the name of a database")
        if self.sslmode is not None and self.sslmode not in SSL_MODES:
            raise _wrong("sslmode", self.sslmode, f"one of {', '.join(SSL_MODES)}")
        if self.sslrootcert not in {None, "system"} and not Path(str(self.sslrootcert)).is_file():
            raise _wrong("sslrootcert", self.sslrootcert, "a file with a certificate that exists")
        for name in self.options:
            if name not in _LIBPQ_OPTIONS:
                near = nearest_names(name, [*_LIBPQ_OPTIONS, *VARIABLES])
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                raise ConfigurationError(
                    f"There is no connection option {name!r}{hint}", variable="options"
                )

    def __repr__(self) -> str:
        shown = []
        for one in fields(self):
            value = getattr(self, one.name)
            if value != one.default and not (one.name == "options" and not value):
                shown.append(f"{one.name}={'***' if one.name == 'password' else value!r}")
        if "password='***'" not in shown and "password=***" in shown:
            shown[shown.index("password=***")] = "password='***'"
        return f"DatabaseConfig({', '.join(shown)})"

    @property
    def embedded(self) -> bool:
        """Whether the embedded server is meant."""
        return self.host is None

    @property
    def place(self) -> str:
        """Server, port, database and user in words, for messages."""
        who = f" as user {self.username!r}" if self.username else ""
        if self.host is None:
            return f"database {self.database!r} on the embedded server"
        return f"database {self.database!r} on {self.host}:{self.port}{who}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> DatabaseConfig:
        """Read the configuration from the environment.

        ``DATABASE_URL`` names the database in one piece; ``DB_HOST, DB_PORT, DB_NAME, DB_USER,
        DB_PASSWORD`` in several. Both together contradict each other. With neither ``DB_HOST`` nor
        ``DATABASE_URL``, the embedded server is used. An empty variable counts as not set.

        Raises
        ------
        ConfigurationError
            If a variable is malformed, or contradicts another. The message names it and says what
            it should be.

        Examples
        --------
        >>> DatabaseConfig.from_env({"DATABASE_URL": "postgresql://ana@db.bank/fraud"})
        DatabaseConfig(host='db.bank', database='fraud', username='ana')
        >>> DatabaseConfig.from_env({"DB_HOST": "db.bank", "DB_PORT": "many"})
        Traceback (most recent call last):
        ...
        synfin_analytics.exceptions.ConfigurationError: DB_PORT is 'many', but should be ...
        """
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for name, variable in VARIABLES.items():
            text = environ.get(variable, "")
            if name != "password":
                text = text.strip()
            if text:
                given[name] = _parsed(name, text)
        url = environ.get("DATABASE_URL", "").strip()
        if url:
            _refuse(given, _IN_URL, "DATABASE_URL is set as well, and names the whole database")
            from_url = _parse_url(url)
            twice = [name for name in given if name in from_url and given[name] != from_url[name]]
            _refuse(given, twice, "DATABASE_URL says something else")
            given = {**given, **from_url}
        elif "host" not in given:
            _refuse(
                given,
                _NEEDS_HOST,
                "neither DB_HOST nor DATABASE_URL is, and the embedded server does not use it",
            )
        return cls(**given)

    def get_connection_string(self) -> str:
        """URL of the database for SQLAlchemy, with the password in it (URL-encoded).

        Raises
        ------
        ConfigurationError
            For the embedded server, which has no address of its own before it runs.
        """
        if self.host is None:
            raise ConfigurationError(
                "The embedded server has no fixed address. Use get_db_manager().engine, or "
                "get_db_manager().get_connection_string() while it runs.",
                variable="host",
            )
        return connection_url(self.connect_arguments())

    def connect_arguments(self) -> dict[str, Any]:
        """Arguments for libpq (``psycopg2.connect``) without those that are not set."""
        arguments = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.username,
            "password": self.password,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            **self.options,
        }
        return {name: value for name, value in arguments.items() if value is not None}


def connection_url(arguments: Mapping[str, Any]) -> str:
    """Write libpq's arguments as a URL for SQLAlchemy."""
    rest = {name: str(value) for name, value in arguments.items()}
    host, port = rest.pop("host", ""), rest.pop("port", "5432")
    user, password = rest.pop("user", ""), rest.pop("password", None)
    database = quote(rest.pop("dbname", ""), safe="")
    login = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    if host.startswith("/"):  # the folder of a socket
        rest = {"host": host, "port": port, **rest}
        where = ""
    else:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    query = f"?{urlencode(rest, quote_via=quote, safe='/')}" if rest else ""
    return f"postgresql+psycopg2://{login}{'@' if login else ''}{where}/{database}{query}"


def _parsed(name: str, text: str) -> Any:
    if name == "echo":
        if text.lower() not in _TRUE + _FALSE:
            raise _wrong(name, text, f"one of {', '.join(_TRUE + _FALSE)}", of_environment=True)
        return text.lower() in _TRUE
    if name == "port" or name in _LEAST:
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
            raise _wrong(name, text, _number_rule(name), of_environment=True)
        _check_number(name, int(text), of_environment=True)
        return int(text)
    if name == "sslmode" and text not in SSL_MODES:
        raise _wrong(name, text, f"one of {', '.join(SSL_MODES)}", of_environment=True)
    if name == "sslrootcert" and text != "system" and not Path(text).is_file():
        raise _wrong(name, text, "a file with a certificate that exists", of_environment=True)
    return text


def _parse_url(url: str) -> dict[str, Any]:
    """Take a database URL apart; no message repeats it, for the password is in it."""
    form = "it should look like postgresql://user:password@host:5432/database"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong_url(f"the host or port cannot be read; {form}") from None
    if parts.scheme not in _URL_SCHEMES:
        raise _wrong_url(
            f"it begins with {parts.scheme + '://' if parts.scheme else 'no scheme'!r}, but should "
            f"begin with one of {', '.join(s + '://' for s in _URL_SCHEMES)}"
        )
    if parts.fragment:
        raise _wrong_url("a '#' in a password must be written %23")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    host = unquote(parts.hostname or "") or query.pop("host", "")
    if not host or "," in host:
        raise _wrong_url(f"it names {'more than one' if host else 'no'} host; {form}")
    if "port" in query:
        text = query.pop("port")
        port = int(text) if text.isdigit() else -1
    if port is not None and not 0 < port < 2**16:
        raise _wrong_url("the port should be a whole number from 1 to 65535")
    found: dict[str, Any] = {
        "host": host,
        "port": port,
        "database": unquote(parts.path.removeprefix("/")) or None,
        "username": unquote(parts.username) if parts.username else None,
        "password": None if parts.password is None else unquote(parts.password),
    }
    for name in ("sslmode", "sslrootcert"):
        if name in query:
            try:
                found[name] = _parsed(name, query.pop(name))
            except ConfigurationError as error:
                raise _wrong_url(f"in its query, {str(error).partition('_')[2]}") from None
    for name in query:
        if name not in _LIBPQ_OPTIONS:
            near = nearest_names(name, [*_LIBPQ_OPTIONS, "sslmode", "sslrootcert"])
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise _wrong_url(f"its query has an option {name!r} that does not exist{hint}")
    if query:
        found["options"] = query
    return {name: value for name, value in found.items() if value is not None}


def _refuse(given: Mapping[str, Any], names: tuple[str, ...] | list[str], why: str) -> None:
    wrong = [VARIABLES[name] for name in names if name in given]
    if wrong:
        raise ConfigurationError(
            f"{' and '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} set, but {why}. "
            "Unset one or the other.",
            variable=wrong[0],
        )


def _number_rule(name: str) -> str:
    if name == "port":
        return "a whole number from 1 to 65535"
    return f"a whole number, at least {_LEAST[name]}"


def _check_number(name: str, value: object, *, of_environment: bool = False) -> None:
    least, most = (1, 65535) if name == "port" else (_LEAST[name], 10**9)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= int(str(value)) <= most:
        raise _wrong(name, value, _number_rule(name), of_environment=of_environment)


def _wrong(
    name: str, value: object, rule: str, *, of_environment: bool = False
) -> ConfigurationError:
    called = VARIABLES[name] if of_environment else name
    return ConfigurationError(f"{called} is {value!r}, but should be {rule}.", variable=called)


def _wrong_url(why: str) -> ConfigurationError:
    return ConfigurationError(f"DATABASE_URL is wrong: {why}.", variable="DATABASE_URL")
