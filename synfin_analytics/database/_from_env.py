"""Settings from environment variables, which override those of the selected environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics.database._environment_files import (
    OPTIONS,
    PASSWORD_COMMAND,
    PASSWORD_VARIABLE,
    PROTECTED,
)
from synfin_analytics.database._environments import (
    find_section,
    section_labels,
    section_settings,
)
from synfin_analytics.database._password_reference import read_password
from synfin_analytics.database._secret import Secret
from synfin_analytics.database._settings import (
    ENVIRONMENT_VARIABLE,
    FIELDS_IN_URL,
    SECRETS,
    URL_VARIABLE,
    VARIABLES,
    parse_setting,
    validate_setting,
)
from synfin_analytics.database._url import parse_url
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from synfin_analytics.database._environment_files import Section

_FIELDS_OF_QUEUE = ("pool_size", "max_overflow", "pool_recycle")
_FIELDS_OF_SERVER = ("port", "username", "password", "sslmode", "sslrootcert")


def hide_variables(environ: Mapping[str, str]) -> dict[str, Secret]:
    """Copy variables as secrets: a traceback shows the arguments of functions."""
    return {name: Secret(text) for name, text in environ.items()}


def configured_settings(
    environment: str | None, variables: Mapping[str, Secret], types: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments of DatabaseConfig that variables and the selected environment set.

    And the label of each variable whose setting is that of the environment's section.

    Parameters
    ----------
    environment
        Name of the environment; None for that of ``DB_ENV``.
    variables
        The environment variables.
    types
        Type of each field of DatabaseConfig, as its annotation.

    Raises
    ------
    ConfigurationError
        A setting is invalid or contradicts another one, or there is no such environment.
    """
    validate_setting("environment", environment, "environment")
    name = environment or _text(variables, ENVIRONMENT_VARIABLE).reveal() or None
    settings = _variable_settings(variables)
    if name is None:
        _require_host(settings)
        return settings, {}
    section = find_section(name)
    overrides = settings
    settings = _override(section, section_settings(section, types), overrides, variables)
    if "host" not in settings:
        _require_host_of_section(section, settings)
    labels = section_labels(section, [name for name in settings if name not in overrides])
    return settings | {"environment": name, PROTECTED: section.protected}, labels


def _text(variables: Mapping[str, Secret], variable: str) -> Secret:
    return Secret(variables.get(variable, Secret("")).strip())


def _variable_settings(variables: Mapping[str, Secret]) -> dict[str, Any]:
    """Return the settings of the variables alone, without defaults."""
    settings: dict[str, Any] = {}
    for name, variable in VARIABLES.items():
        text = _text(variables, variable)
        if name in SECRETS:  # spaces are part of a password
            settings |= {name: variables[variable]} if variables.get(variable) else {}
        elif text:
            settings[name] = parse_setting(name, text.reveal(), variable)
    if settings.get("pool") == "none":
        _raise_if_set(settings, _FIELDS_OF_QUEUE, "DB_POOL=none keeps no connections")
    if url := _text(variables, URL_VARIABLE):
        _raise_if_set(settings, FIELDS_IN_URL, "DATABASE_URL, which holds the whole address, is "
                      "set too")  # fmt: skip
        settings_of_url = parse_url(url)
        contradictions = [
            name
            for name, value in settings.items()
            if name in settings_of_url and settings_of_url[name] != value
        ]
        _raise_if_set(settings, contradictions, "DATABASE_URL has another value")
        settings |= settings_of_url
    return settings


def _override(
    section: Section,
    settings: dict[str, Any],
    overrides: dict[str, Any],
    variables: Mapping[str, Secret],
) -> dict[str, Any]:
    """Replace settings of a section by those of variables, and add the password."""
    options = settings.get(OPTIONS, {}) | overrides.get(OPTIONS, {})
    replaced = FIELDS_IN_URL if _text(variables, URL_VARIABLE) else ()  # it is a whole address
    if any(map(_is_about_replicas, overrides)):
        replaced = (*replaced, *filter(_is_about_replicas, settings))
    kept = {name: value for name, value in settings.items() if name not in replaced}
    merged: dict[str, Any] = kept | overrides | ({OPTIONS: options} if options else {})
    address = {"port": 5432} | {
        name: settings[name] for name in ("host", "port", "username") if name in settings
    }
    if any(merged.get(name, 5432) != value for name, value in address.items()):
        # Neither the section's password nor its replicas are those of another server.
        return {
            name: value
            for name, value in merged.items()
            if name in overrides or not _is_about_replicas(name)
        }
    if (
        "host" in merged
        and "password" not in merged
        and (password := read_password(section, variables))
    ):
        merged["password"] = password
    return merged


def _is_about_replicas(name: str) -> bool:
    return name.startswith("replica")


def _require_host(settings: Mapping[str, Any]) -> None:
    """Raise an error about settings of a server without the name of a server."""
    if "host" not in settings:
        _raise_if_set(settings, _FIELDS_OF_SERVER, "neither DB_HOST nor DATABASE_URL is, and the "
                      "embedded server does not use it")  # fmt: skip


def _require_host_of_section(section: Section, settings: Mapping[str, Any]) -> None:
    keys = [*_FIELDS_OF_SERVER, PASSWORD_VARIABLE, PASSWORD_COMMAND]
    for key in keys:
        if key in settings or key in section.values:
            label = section.label(key) if key in section.values else VARIABLES[key]
            raise ConfigurationError(
                f"{label} is set, but {section.place} has neither host nor url, and the embedded "
                "server does not use it. Set the host, or remove it.",
                variable=key,
            )


def _raise_if_set(settings: Mapping[str, Any], names: Iterable[str], reason: str) -> None:
    """Raise an error about variables that contradict another one."""
    variables = [VARIABLES[name] for name in names if name in settings]
    if variables:
        raise ConfigurationError(
            f"{' and '.join(variables)} {'is' if len(variables) == 1 else 'are'} set, but {reason}."
            " Set one or the other.",
            variable=variables[0],
        )
