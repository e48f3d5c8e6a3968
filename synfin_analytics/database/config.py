"""Database settings: from code, from environment variables, or from an environment's section."""

from __future__ import annotations

import functools
import inspect
import os
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from synfin_analytics.database._environments import find_section, protecting_section
from synfin_analytics.database._from_env import configured_settings, hide_variables
from synfin_analytics.database._hosts import format_servers, server_arguments
from synfin_analytics.database._replica_config import replica_settings
from synfin_analytics.database._secret import Secret, reveal_secrets
from synfin_analytics.database._settings import (
    SECRETS,
    VARIABLES,
    name_sources,
    validate_options,
    validate_setting,
)
from synfin_analytics.database._url import LIBPQ_NAMES, format_url
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: Attribute of a configuration: the labels of settings that come from a file. It is no field,
#: because it is about this object, and not about the database.
_LABELS = "_labels"


@dataclass(frozen=True, repr=False)
class DatabaseConfig:
    """The database to connect to and the size of the connection pool.

    Parameters
    ----------
    host
        Name or address of the server, or the directory of its socket. None selects the embedded
        server, which starts automatically. Of several, ``"db1:5432,db2:5432"``, connections go to
        the one that is the primary.
    port
        Port of the servers whose port is not with their host.
    database
        Name of the database.
    username, password
        Credentials. Without a password, libpq looks in ``~/.pgpass``; without a user name, it uses
        the name of the operating-system user. The password is stored as a :class:`Secret`.
    pool_size
        Number of connections to keep open; without effect if ``pool`` is ``"none"``, as are
        ``max_overflow`` and ``pool_recycle``.
    max_overflow
        Number of connections that may be opened temporarily beyond ``pool_size``.
    pool_timeout
        Seconds to wait for a free connection, of the pool or of a connection pooler such as
        pgbouncer.
    pool_recycle
        Seconds after which a connection is replaced; -1 for never.
    echo
        Log every statement (without its parameters).
    sslmode
        One of ``disable, allow, prefer, require, verify-ca, verify-full``.
    sslrootcert
        File with the certificate of the authority that must have signed the server's certificate;
        ``"system"`` for the authorities that the operating system trusts.
    slow_query_ms
        Statements that take at least this many milliseconds are logged as a warning.
    data_dir
        Directory of the embedded server's databases; by default ``DB_DATA_DIR`` or the user's data
        directory.
    options
        Further connection options of libpq, such as ``connect_timeout``.
    replica_hosts
        Read replicas, as ``"db2,db3:5433"``: calls that only read go there. User, password,
        database and options are those of the primary.
    replica_url
        URL of the read replicas instead, with a user or options of their own.
    pool
        ``"queue"`` keeps connections open for later sessions; ``"none"`` opens one for each session
        and closes it after use, for a server behind a connection pooler such as pgbouncer.
    cache_url
        Cache that processes share for the results of aggregates: ``memory://``,
        ``redis://cache:6379/0`` or ``memcached://cache:11211``; none by default.
    environment
        Name of the environment, such as ``"production"``; messages name it.
    protected
        Whether calls that destroy data must confirm the name of the database.

    Raises
    ------
    ConfigurationError
        A value is invalid; the message names the field and the accepted values.

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
    replica_hosts: str | None = None
    replica_url: str | None = None
    pool: Literal["queue", "none"] = "queue"
    cache_url: str | None = None
    environment: str | None = None
    protected: bool = False

    def __post_init__(self) -> None:
        for name in SECRETS:  # a message must not show it
            if not isinstance(getattr(self, name), str | None):
                raise ConfigurationError(
                    f"{name} must be a string; got {type(getattr(self, name)).__name__}.",
                    variable=name,
                )
        for name in (*VARIABLES, "environment", "protected"):
            validate_setting(name, getattr(self, name), name)
        validate_options(self.options)
        _replica_settings(vars(self), {})

    def __repr__(self) -> str:
        # A traceback also shows a configuration whose __init__ failed and that has no fields yet.
        values = {
            item.name: "***" if item.name in SECRETS else vars(self)[item.name]
            for item in fields(self)
            if vars(self).get(item.name, item.default) not in (item.default, {})
        }
        return f"DatabaseConfig({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def embedded(self) -> bool:
        """Whether the embedded server is used.

        Examples
        --------
        >>> DatabaseConfig().embedded, DatabaseConfig(host="db.bank").embedded
        (True, False)
        """
        return self.host is None

    @property
    def place(self) -> str:
        """Database, server, user and environment, as messages name them.

        Examples
        --------
        >>> DatabaseConfig(host="db.bank", username="ana").place
        "database 'synfinance' on db.bank:5432 as user 'ana'"
        """
        environment = f" (environment {self.environment!r})" if self.environment else ""
        if self.host is None:
            return f"database {self.database!r} on the embedded server{environment}"
        user = f" as user {self.username!r}" if self.username else ""
        servers = format_servers(self.host, self.port)
        return f"database {self.database!r} on {servers}{user}{environment}"

    @property
    def replicas(self) -> tuple[DatabaseConfig, ...]:
        """Configuration of each read replica.

        Examples
        --------
        >>> DatabaseConfig(host="db1", replica_hosts="db2,db3").replicas[1].place
        "database 'synfinance' on db3:5432"
        """
        return tuple(replace(self, **settings) for settings in _replica_settings(vars(self), {}))

    @classmethod
    def from_env(
        cls, environment: str | None = None, *, environ: Mapping[str, str] | None = None
    ) -> DatabaseConfig:
        """Read the configuration from an environment of ``synfin.toml``, and from variables.

        ``DATABASE_URL`` holds the whole address; ``DB_HOST, DB_PORT, DB_NAME, DB_USER,
        DB_PASSWORD`` hold its parts; setting both is an error. Default, with neither ``DB_HOST``
        nor ``DATABASE_URL``: the embedded server. An empty variable counts as not set.

        An environment is a section of ``synfin.toml``, in the folder of the project or in the
        user's configuration folder. Variables override it, except that a protected environment
        remains protected. A database that a protected environment names is protected in any case.

        Parameters
        ----------
        environment
            Name of the environment; by default that in ``DB_ENV``, if it is set.
        environ
            The variables; ``os.environ`` by default.

        Raises
        ------
        ConfigurationError
            A setting is invalid or contradicts another; the message names it, the accepted values,
            and for a file the line. Or there is no such environment.

        Examples
        --------
        >>> DatabaseConfig.from_env(environ={"DATABASE_URL": "postgresql://ana@db.bank/fraud"})
        DatabaseConfig(host='db.bank', database='fraud', username='ana')
        >>> DatabaseConfig.from_env(environ={"DB_HOST": "db.bank", "DB_PORT": "many"})
        Traceback (most recent call last):
        ...
        synfin_analytics.exceptions.ConfigurationError: DB_PORT must be a whole number ...
        """
        variables = hide_variables(os.environ if environ is None else environ)
        del environ  # a traceback would show the passwords in it
        argument: object = environment
        if not isinstance(argument, str | None):  # such as the variables, with passwords
            kind = type(argument).__name__
            del argument, environment
            raise ConfigurationError(
                f"environment must be the name of an environment; got a value of type {kind}. Pass "
                "variables as environ=.",
                variable="environment",
            )
        settings, labels = configured_settings(environment, variables, _types())
        _replica_settings({"options": {}, **_defaults(), **settings}, labels)
        config = cls(**settings)
        config = replace(config, protected=find_protection(config) is not None)
        vars(config)[_LABELS] = labels
        return config

    def get_connection_string(self) -> str:
        """URL of the database for SQLAlchemy, including the password (URL-encoded).

        Raises
        ------
        ConfigurationError
            The configuration is for the embedded server, which has no fixed address.

        Examples
        --------
        >>> DatabaseConfig(host="/var/run/postgresql", username="ana").get_connection_string()
        'postgresql+psycopg2://ana@/synfinance?host=/var/run/postgresql&port=5432'
        """
        if self.host is None:
            raise ConfigurationError(
                "The embedded server has no fixed address. Use get_db_manager().engine, or "
                "get_db_manager().get_connection_string(), which starts it.",
                variable="host",
            )
        return format_url(self.connect_arguments())

    def connect_arguments(self) -> dict[str, str | int]:
        """Arguments of ``psycopg2.connect``, without those that are not set.

        Examples
        --------
        >>> DatabaseConfig(host="db.bank").connect_arguments()
        {'host': 'db.bank', 'port': 5432, 'dbname': 'synfinance'}
        """
        return reveal_secrets(self.libpq_arguments())

    def libpq_arguments(self) -> dict[str, str | int]:
        """Arguments of ``psycopg2.connect`` with the password still hidden.

        Examples
        --------
        >>> DatabaseConfig(host="db.bank", password="s3cr3t").libpq_arguments()["password"]
        '***'
        """
        arguments = {libpq_name: getattr(self, name) for libpq_name, name in LIBPQ_NAMES.items()}
        if self.host is not None:
            arguments |= server_arguments(self.host, self.port)
        arguments |= self.options
        return {name: value for name, value in arguments.items() if value is not None}


def find_protection(config: DatabaseConfig) -> str | None:
    """Return what protects a database, as messages name it; None if it is not protected.

    Examples
    --------
    >>> find_protection(DatabaseConfig(host="db.bank")) is None
    True
    """
    section = protecting_section(vars(config), _types(), _defaults())
    if section is not None:
        return section.place
    own = "its environment" if config.environment else "its configuration"
    return own if config.protected else None


def find_environment_file(environment: str) -> Path:
    """Return the file ``synfin.toml`` in which an environment is defined.

    Raises
    ------
    ConfigurationError
        There is no such environment.

    Examples
    --------
    >>> find_environment_file("no such environment")
    Traceback (most recent call last):
    ...
    synfin_analytics.exceptions.ConfigurationError: There is no environment 'no such environment'...
    """
    return find_section(environment).file


def name_settings(config: DatabaseConfig, message: str) -> str:
    """Name settings that come from a file by their key and place in it, not by their variable.

    Examples
    --------
    >>> name_settings(DatabaseConfig(host="db.bank"), "Check DB_HOST.")
    'Check DB_HOST.'
    """
    return name_sources(message, vars(config).get(_LABELS, {}))


def _replica_settings(values: Mapping[str, Any], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    return replica_settings(
        values["replica_hosts"],
        values["replica_url"],
        embedded=values["host"] is None,
        port=values["port"],
        database=values["database"],
        options=values["options"],
        labels=labels,
    )


def _defaults() -> dict[str, Any]:
    return {
        item.name: item.default for item in fields(DatabaseConfig) if item.default is not MISSING
    }


def _types() -> dict[str, str]:
    return {item.name: str(item.type) for item in fields(DatabaseConfig)}


def _hide_secrets(init: Callable[..., None]) -> Callable[..., None]:
    """Turn passwords into secrets before any frame of ``__init__`` can fail with them."""
    names = list(inspect.signature(init).parameters)
    positions = [names.index(name) - 1 for name in SECRETS]  # `self` is not counted

    @functools.wraps(init)
    def __init__(self: DatabaseConfig, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        arguments = tuple(
            Secret(value) if position in positions and isinstance(value, str) else value
            for position, value in enumerate(arguments)
        )
        for name in SECRETS:
            if isinstance(keywords.get(name), str):
                keywords[name] = Secret(keywords[name])
        init(self, *arguments, **keywords)

    return __init__


DatabaseConfig.__init__ = _hide_secrets(DatabaseConfig.__init__)  # type: ignore[method-assign]  # wrapped
