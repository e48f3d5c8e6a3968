"""Environments: named settings in ``synfin.toml``, and which databases they protect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfin_analytics.database._environment_files import (
    FILE_NAME,
    HOW_TO_REFER,
    OPTIONS,
    PROTECTED,
    URL,
    find_files,
    read_sections,
    searched_folders,
)
from synfin_analytics.database._hosts import parse_servers
from synfin_analytics.database._password_reference import check_reference
from synfin_analytics.database._secret import Secret
from synfin_analytics.database._settings import (
    FIELDS_IN_URL,
    VARIABLES,
    parse_setting,
    validate_options,
    validate_setting,
)
from synfin_analytics.database._url import parse_url
from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from synfin_analytics.database._environment_files import Section

#: Settings and options that are paths; relative ones begin at the folder of the file.
_PATHS = ("data_dir", "sslrootcert")
_LOOPBACK = {"127.0.0.1", "::1"}
_PATHS_IN_OPTIONS = ("passfile", "sslcert", "sslcrl", "sslcrldir", "sslkey")


def find_section(name: str) -> Section:
    """Find the environment of this name, in the project's file or else in the user's.

    It is protected if one of the files says so.

    Raises
    ------
    ConfigurationError
        No file has it, or a file is invalid.
    """
    if "://" in name:  # an address, which may have a password
        del name
        raise ConfigurationError(
            "environment must be the name of an environment; got a URL. Set DATABASE_URL to it, or "
            "DB_ENV to a section of synfin.toml.",
            variable="DB_ENV",
        )
    files = find_files()
    sections = [sections for file in files if name in (sections := read_sections(file))]
    if not sections:
        raise ConfigurationError(_missing(name, files), variable="DB_ENV")
    section = sections[0][name]
    protected = any(other[name].protected for other in sections)
    return replace(section, values=section.values | {PROTECTED: protected})


def _missing(name: str, files: list[Path]) -> str:
    if not files:
        folders = " and ".join(map(str, searched_folders()))
        return (
            f"There is no environment {name!r}, because there is no {FILE_NAME} in {folders}. "
            f"Create it with a section [{name}], or unset DB_ENV."
        )
    names = sorted({section for file in files for section in read_sections(file)})
    near = nearest_names(name, names)
    available = f"Available: {', '.join(names)}." if names else f"Add a section [{name}]."
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else available
    return f"There is no environment {name!r} in {' or '.join(map(str, files))}. {hint}"


def protecting_section(
    address: Mapping[str, Any], types: Mapping[str, str], defaults: Mapping[str, Any]
) -> Section | None:
    """Find a protected environment that has the same database as a configuration.

    A database is not reached by accident only because its environment was not selected.

    Parameters
    ----------
    address
        Host, port, database and folder of the configuration.
    types, defaults
        Type, as its annotation, and default of each field of DatabaseConfig.
    """
    for file in find_files():
        for section in read_sections(file).values():
            if section.protected:
                other = {**defaults, **_address_settings(section, types)}
                if _databases(address) & _databases(other):
                    return section
    return None


def _databases(address: Mapping[str, Any]) -> set[tuple[str, int | Path, str]]:
    """Server, port or folder, and database: the same for the same database."""
    host, port, database = (address[name] for name in ("host", "port", "database"))
    if host is None:
        # Here, as it takes a while to import and a server elsewhere does not need it.
        from synfin_analytics.database.embedded._owner import default_home

        return {("", Path(address["data_dir"] or default_home()).resolve(), database)}
    servers = parse_servers(host.casefold(), port)
    names = [(server.host.removesuffix("."), int(server.port)) for server in servers]
    return {("localhost" if name in _LOOPBACK else name, port, database) for name, port in names}


# -- Settings of a section ------------------------------------------------------------------------


def section_settings(section: Section, types: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a section as arguments of DatabaseConfig, without the password.

    Parameters
    ----------
    section
        The environment.
    types
        Type of each field of DatabaseConfig, as its annotation.

    Raises
    ------
    ConfigurationError
        A value is invalid or contradicts another one; the message names file and line.
    """
    settings = {
        name: _convert(section, name, value, types[name])
        for name, value in section.values.items()
        if name in VARIABLES
    }
    options = _options(section)
    if URL in section.values:
        settings_of_url = _url_settings(section)
        for name in settings:
            if name in FIELDS_IN_URL or settings_of_url.get(name, settings[name]) != settings[name]:
                raise ConfigurationError(
                    f"{section.label(name)} is set, but url sets it too. Keep one of them.",
                    variable=name,
                )
        options = settings_of_url.pop(OPTIONS, {}) | options
        settings |= settings_of_url
    check_reference(section)
    return settings | ({OPTIONS: options} if options else {})


def section_labels(section: Section, settings: Iterable[str]) -> dict[str, str]:
    """Return the label of each of these settings of a section, by its variable."""
    keys = {name: name if name in section.values else URL for name in settings}
    return {
        VARIABLES[name]: section.label(key)
        for name, key in keys.items()
        if name in VARIABLES and key in section.values
    }


def _address_settings(section: Section, types: Mapping[str, str]) -> dict[str, Any]:
    """Return those settings of a section that select the database."""
    names = ("host", "port", "database", "data_dir")
    values = {key: value for key, value in section.values.items() if key in (*names, URL)}
    settings = section_settings(replace(section, values=values), types)
    return {name: value for name, value in settings.items() if name in names}


def _convert(section: Section, name: str, value: Any, annotation: str) -> Any:
    label = section.label(name)
    if name.endswith(("host", "hosts")) and isinstance(value, list):
        if not value or not all(isinstance(item, Secret) for item in value):
            raise ConfigurationError(f"{label} must be a list of names.", variable=name)
        value = Secret(",".join(item.reveal() for item in value))
    if not isinstance(value, Secret):
        if annotation.startswith("str"):
            raise ConfigurationError(
                f"{label} must be a text in quotes; got {_shown(value)}.", variable=name
            )
        validate_setting(name, value, label)
        return value
    if "://" in value and not name.endswith("url"):
        raise ConfigurationError(f"{label} must be a name; got a URL.", variable=name)
    if not value.strip():
        raise ConfigurationError(f"{label} must not be empty. Remove the line.", variable=name)
    text = Secret(value.strip()) if name.endswith("url") else value.reveal().strip()
    if name in _PATHS and text != "system":
        text = _path(section, text)
    if not annotation.startswith("str"):
        validate_setting(name, text, label)  # a number in quotes is refused
    return parse_setting(name, text, label)


def _options(section: Section) -> dict[str, str]:
    """Return the connection options of libpq, as texts."""
    options = section.values.get(OPTIONS, {})
    label = section.label(OPTIONS)
    if not isinstance(options, dict):
        raise ConfigurationError(
            f"{label} must be a table, such as {{connect_timeout = 5}}.", variable=OPTIONS
        )
    validate_options(options, prefix=f"{label}: ")
    texts = {}
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (Secret, int)):
            raise ConfigurationError(
                f"{label}: {name} must be a text or a whole number; got {_shown(value)}.",
                variable=OPTIONS,
            )
        text = value.reveal() if isinstance(value, Secret) else str(value)
        texts[name] = _path(section, text) if name in _PATHS_IN_OPTIONS else text
    return texts


def _url_settings(section: Section) -> dict[str, Any]:
    url, label = section.values[URL], section.label(URL)
    if not isinstance(url, Secret):
        raise ConfigurationError(f"{label} must be a text in quotes.", variable=URL)
    settings = parse_url(url, label)
    if "password" in settings:
        raise ConfigurationError(
            f"{label} must not contain a password. {HOW_TO_REFER}.", variable=URL
        )
    return settings


def _path(section: Section, text: str) -> str:
    return str(section.file.parent / Path(text).expanduser())


def _shown(value: object) -> str:
    """Show a value, unless it may contain a text."""
    return repr(value) if isinstance(value, (int, float)) else f"a {type(value).__name__}"
