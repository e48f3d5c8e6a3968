"""Database settings: from environment variables (ours and libpq's), from a URL, or from code."""

from __future__ import annotations

import functools
import inspect
import os
import re
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import libpq_version, parse_dsn

from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: Environment variable of each field of DatabaseConfig.
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

_URL = "DATABASE_URL"
_URL_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg2://")
_FIELDS_IN_URL = ("host", "port", "database", "username", "password")
_FIELDS_OF_SERVER = ("port", "username", "password", "sslmode", "sslrootcert")
#: libpq's names of the fields that a URL may set.
_LIBPQ_NAMES = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "username",
    "password": "password",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
}
#: Connection options of libpq that may be set beyond these. Those that change which server is
#: reached, or take settings from elsewhere (hostaddr, service), are left out on purpose.
_LIBPQ_OPTIONS = frozenset({
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


class Secret(str):
    """A string that hides its text in ``repr``, ``str`` and formatting; for passwords.

    A traceback with local variables, such as IPython's verbose mode, shows ``'***'``. Comparing,
    encoding and pickling use the text itself: a pickled configuration contains the password.

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
        """Hide ``text``; a secret stays the same object."""
        return text if isinstance(text, cls) else super().__new__(cls, text)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """Return the text; only the driver may have it.

        Examples
        --------
        >>> Secret("a").reveal()
        'a'
        """
        return str.__str__(self)


@dataclass(frozen=True, repr=False)
class DatabaseConfig:
    """The database to connect to and the size of the connection pool.

    Parameters
    ----------
    host
        Name or address of the server, or the directory of its socket. None selects the embedded
        server, which starts automatically.
    port
        Port of the server.
    database
        Name of the database.
    username, password
        Credentials. Without a password, libpq looks in ``~/.pgpass``; without a user name, it uses
        the name of the operating-system user. The password is stored as a :class:`Secret`.
    pool_size
        Number of connections to keep open.
    max_overflow
        Number of connections that may be opened temporarily beyond ``pool_size``.
    pool_timeout
        Seconds to wait for a free connection.
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

    def __post_init__(self) -> None:
        if not isinstance(self.password, str | None):  # a message must not show it
            raise ConfigurationError(
                f"password must be a string; got {type(self.password).__name__}.",
                variable="password",
            )
        for name in VARIABLES:
            _validate_setting(name, getattr(self, name), name)
        _validate_options(self.options)

    def __repr__(self) -> str:
        # A traceback also shows a configuration whose __init__ failed and that has no fields yet.
        values = {
            item.name: "***" if item.name == "password" else vars(self)[item.name]
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
        """Database, server and user, as messages name them.

        Examples
        --------
        >>> DatabaseConfig(host="db.bank", username="ana").place
        "database 'synfinance' on db.bank:5432 as user 'ana'"
        """
        if self.host is None:
            return f"database {self.database!r} on the embedded server"
        user = f" as user {self.username!r}" if self.username else ""
        return f"database {self.database!r} on {self.host}:{self.port}{user}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> DatabaseConfig:
        """Read the configuration from environment variables.

        ``DATABASE_URL`` holds the whole address; ``DB_HOST, DB_PORT, DB_NAME, DB_USER,
        DB_PASSWORD`` hold its parts; setting both is an error. Default, with neither ``DB_HOST``
        nor ``DATABASE_URL``: the embedded server. An empty variable counts as not set.

        Parameters
        ----------
        environ
            The variables; ``os.environ`` by default.

        Raises
        ------
        ConfigurationError
            A variable is invalid or contradicts another; the message names it and the accepted
            values.

        Examples
        --------
        >>> DatabaseConfig.from_env({"DATABASE_URL": "postgresql://ana@db.bank/fraud"})
        DatabaseConfig(host='db.bank', database='fraud', username='ana')
        >>> DatabaseConfig.from_env({"DB_HOST": "db.bank", "DB_PORT": "many"})
        Traceback (most recent call last):
        ...
        synfin_analytics.exceptions.ConfigurationError: DB_PORT must be a whole number ...
        """
        texts = _read_variables(os.environ if environ is None else environ)
        del environ  # a traceback would show the passwords in it
        settings: dict[str, Any] = {}
        for name, variable in VARIABLES.items():
            text = texts[variable]
            if name == "password":  # spaces are part of it
                settings |= {name: text} if text else {}
            elif text.strip():
                settings[name] = _parse_setting(name, text.strip(), variable)
        url = Secret(texts[_URL].strip())
        if url:
            _raise_if_set(settings, _FIELDS_IN_URL, "DATABASE_URL, which holds the whole address, "
                          "is set too")  # fmt: skip
            settings_of_url = _parse_url(url)
            contradictions = [
                name
                for name, value in settings.items()
                if name in settings_of_url and settings_of_url[name] != value
            ]
            _raise_if_set(settings, contradictions, "DATABASE_URL has another value")
            settings |= settings_of_url
        elif "host" not in settings:
            _raise_if_set(settings, _FIELDS_OF_SERVER, "neither DB_HOST nor DATABASE_URL is, and "
                          "the embedded server does not use it")  # fmt: skip
        return cls(**settings)

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
        arguments = {libpq_name: getattr(self, name) for libpq_name, name in _LIBPQ_NAMES.items()}
        arguments |= self.options
        return {name: value for name, value in arguments.items() if value is not None}


def _hide_password(init: Callable[..., None]) -> Callable[..., None]:
    """Turn a password into a secret before any frame of ``__init__`` can fail with it."""
    # `self` is not counted.
    position_of_password = list(inspect.signature(init).parameters).index("password") - 1

    @functools.wraps(init)
    def __init__(self: DatabaseConfig, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        arguments = tuple(
            Secret(value) if position == position_of_password and isinstance(value, str) else value
            for position, value in enumerate(arguments)
        )
        if isinstance(keywords.get("password"), str):
            keywords["password"] = Secret(keywords["password"])
        init(self, *arguments, **keywords)

    return __init__


DatabaseConfig.__init__ = _hide_password(DatabaseConfig.__init__)  # type: ignore[method-assign]  # wrapped


def reveal_secrets(arguments: Mapping[str, str | int]) -> dict[str, str | int]:
    """Replace the secrets among the arguments of a call by their texts.

    Examples
    --------
    >>> reveal_secrets({"user": "ana", "password": Secret("s3cr3t")})
    {'user': 'ana', 'password': 's3cr3t'}
    """
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in arguments.items()
    }


def format_url(arguments: Mapping[str, str | int]) -> str:
    """Write libpq's connection arguments as a URL for SQLAlchemy.

    Examples
    --------
    >>> format_url({"host": "db.bank", "user": "ana", "password": "a/b", "dbname": "fraud"})
    'postgresql+psycopg2://ana:a%2Fb@db.bank:5432/fraud'
    """
    # SQLAlchemy's own `URL.render_as_string` writes a space in an option as "+", which libpq reads
    # as a plus sign: `options=-c statement_timeout=5` would not come back from the URL.
    options = {name: str(value) for name, value in arguments.items()}
    host, port = options.pop("host", ""), options.pop("port", "5432")
    user, password = options.pop("user", ""), options.pop("password", None)
    database = quote(options.pop("dbname", ""), safe="")
    login = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if host.startswith("/"):  # the directory of a socket
        address, options = "", {"host": host, "port": port, **options}
    query = f"?{urlencode(options, quote_via=quote, safe='/')}" if options else ""
    return f"postgresql+psycopg2://{login}{'@' if login else ''}{address}/{database}{query}"


# -- The environment and the URL ------------------------------------------------------------------


def _read_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Read all variables of the settings; secret ones as secrets, missing ones as empty."""
    secrets = (VARIABLES["password"], _URL)
    texts = {name: environ.get(name, "") for name in (*VARIABLES.values(), _URL)}
    return {name: Secret(text) if name in secrets else text for name, text in texts.items()}


def _raise_if_set(settings: Mapping[str, Any], names: Iterable[str], reason: str) -> None:
    """Raise an error about variables that contradict another one."""
    variables = [VARIABLES[name] for name in names if name in settings]
    if variables:
        raise ConfigurationError(
            f"{' and '.join(variables)} {'is' if len(variables) == 1 else 'are'} set, but {reason}."
            " Set one or the other.",
            variable=variables[0],
        )


def _parse_setting(name: str, text: str, label: str) -> Any:
    """Convert the text of a setting; ``label`` is its name in messages."""
    value: Any = text
    if name == "echo":
        value = _BOOLEANS.get(text.lower(), text)
    elif name in _INTEGERS and re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        value = int(text)
    _validate_setting(name, value, label)
    return value


def _parse_url(url: Secret) -> dict[str, Any]:
    """Return the settings that a database URL sets."""
    scheme = "".join(re.findall(r"^[a-z0-9+.-]*://", url.reveal()))
    if scheme not in _URL_SCHEMES:
        raise _url_error(
            f"must begin with one of {', '.join(_URL_SCHEMES)}; got {scheme or 'no scheme'}"
        )
    arguments = _split_url(url)
    if isinstance(arguments, str):
        raise _url_error(arguments)
    settings: dict[str, Any] = {}
    for libpq_name, name in _LIBPQ_NAMES.items():
        value = arguments.pop(libpq_name, "")
        if value:
            is_secret = name == "password"
            settings[name] = value if is_secret else _parse_setting(name, value, f"{_URL}'s {name}")
    if "host" not in settings:
        raise _url_error(f"must name a host, as in {URL_FORM}")
    _validate_options(arguments, prefix="DATABASE_URL has an invalid query: ")
    return settings | ({"options": arguments} if arguments else {})


def _split_url(url: Secret) -> dict[str, str] | str:
    """Split a URL as libpq does, or return what is wrong with it.

    libpq's errors quote the URL, which holds the password, and so would the frames of this function
    if it raised an error.
    """
    escapes = "in a user name or password, write %2F for '/', %40 for '@'"
    unreadable = f"must have a host and a port that can be read, as in {URL_FORM}; {escapes}"
    if re.search("://[^/]*(/[^?]*@|@[^/?]*@)", url.reveal()):
        # libpq would take a part of the user name or password for the host, and connect to it.
        return f"must not have '/' or '@' before the '@' of the host; {escapes}"
    try:
        # libpq does not know SQLAlchemy's scheme.
        arguments = parse_dsn("postgresql" + url.reveal()[url.reveal().index("://") :])
    except psycopg2.ProgrammingError as error:
        option = re.search(r'invalid URI query parameter: "([^"]*)"', str(error))
        if option and option[1] not in _LIBPQ_OPTIONS:
            return f"has an invalid query: {_unknown_option(option[1])}"
        if option:
            return f"must have options that the driver's libpq supports; got {option[1]!r}"
        return unreadable
    if not re.fullmatch("[0-9]{1,5}", arguments.get("port", "1")):
        # The text after a colon may be a password whose host was forgotten.
        return unreadable
    if "password" in arguments:
        arguments["password"] = Secret(arguments["password"])
    return dict(arguments)


def _url_error(reason: str) -> ConfigurationError:
    """Error about a database URL; it never repeats the URL, which holds the password."""
    return ConfigurationError(f"{_URL} {reason}.", variable=_URL)


# -- Validation -----------------------------------------------------------------------------------


def _validate_setting(name: str, value: object, label: str) -> None:
    """Raise an error if the setting ``name`` cannot have this value."""
    if name in {"host", "database"} and "://" in str(value):
        # A URL in the wrong place may hold a password.
        raise ConfigurationError(
            f"{label} must be a name; got a URL. Set DATABASE_URL instead.", variable=label
        )
    is_valid, description = _RULES.get(name, (None, ""))
    if is_valid is not None and not is_valid(value):
        raise ConfigurationError(f"{label} must be {description}; got {value!r}.", variable=label)
    if isinstance(value, str) and "\0" in value:
        raise ConfigurationError(f"{label} must not contain a NUL character.", variable=label)


def _validate_options(options: Iterable[str], prefix: str = "") -> None:
    for name in options:
        if name not in _LIBPQ_OPTIONS:
            raise ConfigurationError(
                f"{prefix}{_unknown_option(name, capital=not prefix)}.",
                variable=_URL if prefix else "options",
            )


def _unknown_option(name: str, *, capital: bool = False) -> str:
    near = nearest_names(name, [*_LIBPQ_OPTIONS, "sslmode", "sslrootcert"])
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
        lambda value: (
            value is None or (isinstance(value, str) and bool(value.strip()) and "," not in value)
        ),
        "the name or address of one server",
    ),
    "database": (
        lambda value: isinstance(value, str) and value != "",
        "the name of a database",
    ),
}


# -- libpq's own environment variables -------------------------------------------------------------
#
# The embedded server is the one that this package started: none of these variables (PGHOSTADDR,
# PGSERVICE, ...) may lead to another server or change the session. For a user's own server, those
# that the documentation lists apply.

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
