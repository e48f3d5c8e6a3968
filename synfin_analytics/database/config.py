"""Which database to use, and how: from the environment, or given in code."""

from __future__ import annotations

import functools
import inspect
import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from synfin_analytics.database import _settings
from synfin_analytics.database._settings import VARIABLES, Secret
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_IN_URL = ("host", "port", "database", "username", "password")
_NEEDS_HOST = ("port", "username", "password", "sslmode", "sslrootcert")


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
        the name of the operating system's user. The password is kept as a text that prints as
        ``***``.
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
        File with the certificate of the authority that must have signed the server's;
        ``"system"`` for those that the operating system trusts.
    slow_query_ms
        Statements that take at least so many milliseconds are logged as a warning.
    data_dir
        Folder of the embedded server's databases; by default ``DB_DATA_DIR`` or the user's data
        folder.
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
    password: str | None = None
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
        for name in VARIABLES:
            if name != "password":
                _settings.check(name, getattr(self, name), name)
        _settings.check_password(self.password)
        _settings.check_options(self.options)

    def __repr__(self) -> str:
        # A traceback shows a configuration whose arguments do not fit, which has no fields yet.
        shown = {
            one.name: "***" if one.name == "password" else vars(self)[one.name]
            for one in fields(self)
            if vars(self).get(one.name, one.default) not in (one.default, {})
        }
        return f"DatabaseConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def embedded(self) -> bool:
        """Whether the embedded server is meant."""
        return self.host is None

    @property
    def place(self) -> str:
        """Database, server and user in words, for messages."""
        if self.host is None:
            return f"database {self.database!r} on the embedded server"
        who = f" as user {self.username!r}" if self.username else ""
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
        synfin_analytics.exceptions.ConfigurationError: DB_PORT must be a whole number ...
        """
        texts = _settings.read(os.environ if environ is None else environ)
        del environ  # a traceback would show the passwords in it
        given: dict[str, Any] = {}
        for name, variable in VARIABLES.items():
            text = texts[variable]
            if name == "password":  # its spaces count, and no message repeats it
                given |= {name: text} if text else {}
            elif text.strip():
                given[name] = _settings.from_text(name, text.strip(), variable)
        url = Secret(texts["DATABASE_URL"].strip())
        if url:
            _refuse(given, _IN_URL, "DATABASE_URL, which names the whole database, is set too")
            named = _settings.from_url(url)
            twice = [name for name in given if name in named and given[name] != named[name]]
            _refuse(given, twice, "DATABASE_URL says something else")
            given |= named
        elif "host" not in given:
            _refuse(
                given,
                _NEEDS_HOST,
                "DB_HOST is not, nor DATABASE_URL, and the embedded server does not use it",
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
                "get_db_manager().get_connection_string(), which starts it.",
                variable="host",
            )
        return _settings.to_url(self.connect_arguments())

    def connect_arguments(self) -> dict[str, Any]:
        """Arguments for libpq (``psycopg2.connect``) without those that are not set."""
        return _settings.revealed(self.libpq_arguments())

    def libpq_arguments(self) -> dict[str, Any]:
        """Give the same arguments with a password that does not print."""
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


def _sealed(init: Callable[..., None]) -> Callable[..., None]:
    """Take a password in as a secret before anything can fail with it in a frame."""
    place = list(inspect.signature(init).parameters).index("password") - 1  # self is not counted

    @functools.wraps(init)
    def __init__(self: DatabaseConfig, *arguments: Any, **named: Any) -> None:  # noqa: N807
        arguments = tuple(
            Secret(value) if position == place and isinstance(value, str) else value
            for position, value in enumerate(arguments)
        )
        if isinstance(named.get("password"), str):
            named["password"] = Secret(named["password"])
        init(self, *arguments, **named)

    return __init__


DatabaseConfig.__init__ = _sealed(DatabaseConfig.__init__)  # type: ignore[method-assign]  # wrapped


def _refuse(given: Mapping[str, Any], names: Iterable[str], why: str) -> None:
    """Refuse variables that contradict another."""
    found = [VARIABLES[name] for name in names if name in given]
    if found:
        raise ConfigurationError(
            f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'} set, but {why}. "
            "Set one or the other.",
            variable=found[0],
        )
