"""URLs of databases, read as libpq reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import parse_dsn

from synfin_analytics.database._hosts import Server
from synfin_analytics.database._secret import Secret
from synfin_analytics.database._settings import (
    LIBPQ_OPTIONS,
    URL_VARIABLE,
    parse_setting,
    unknown_option,
    validate_options,
)
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

URL_FORM = "postgresql://user:password@host:5432/database"

_URL_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg2://")
#: libpq's names of the fields that a URL may set.
LIBPQ_NAMES = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "username",
    "password": "password",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
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
    address = str(Server(host, port))
    if host.startswith("/") or "," in host:  # the directory of a socket, or several servers
        address, options = "", {"host": host, "port": port, **options}
    query = f"?{urlencode(options, quote_via=quote, safe='/')}" if options else ""
    return f"postgresql+psycopg2://{login}{'@' if login else ''}{address}/{database}{query}"


def parse_url(url: Secret, label: str = URL_VARIABLE) -> dict[str, Any]:
    """Return the settings that a database URL sets."""
    scheme = "".join(re.findall(r"^[a-z0-9+.-]*://", url.reveal()))
    if scheme not in _URL_SCHEMES:
        raise _url_error(
            label,
            f"must begin with one of {', '.join(_URL_SCHEMES)}; got {scheme or 'no scheme'}",
        )
    arguments = _split_url(url)
    if isinstance(arguments, str):
        raise _url_error(label, arguments)
    settings: dict[str, Any] = {}
    for libpq_name, name in LIBPQ_NAMES.items():
        value = arguments.pop(libpq_name, "")
        if value:
            is_secret = name == "password"
            part = f"{label}: {name}" if " " in label else f"{label}'s {name}"
            settings[name] = value if is_secret else parse_setting(name, value, part)
    if "host" not in settings:
        raise _url_error(label, f"must name a host, as in {URL_FORM}")
    validate_options(arguments, prefix=f"{label} has an invalid query: ")
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
        if option and option[1] not in LIBPQ_OPTIONS:
            return f"has an invalid query: {unknown_option(option[1])}"
        if option:
            return f"must have options that the driver's libpq supports; got {option[1]!r}"
        return unreadable
    hosts, ports = arguments.get("host", "").split(","), arguments.get("port", "1").split(",")
    if not all(re.fullmatch("[0-9]{1,5}", port or "1") for port in ports):
        # The text after a colon may be a password whose host was forgotten.
        return unreadable
    if len(hosts) > 1:
        if len(ports) not in {1, len(hosts)}:
            return "must have as many ports as hosts, or one"
        ports = ports * len(hosts) if len(ports) == 1 else ports
        servers = [Server(*pair) for pair in zip(hosts, ports, strict=True)]
        arguments = {**arguments, "host": ",".join(map(str, servers)), "port": ""}
    if "password" in arguments:
        arguments["password"] = Secret(arguments["password"])
    return dict(arguments)


def _url_error(label: str, reason: str) -> ConfigurationError:
    """Error about a database URL; it never repeats the URL, which holds the password."""
    return ConfigurationError(f"{label} {reason}.", variable=label)
