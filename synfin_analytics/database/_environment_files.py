"""The files ``synfin.toml``, whose sections are environments: where they are and what they contain.

Such a file may belong to a repository, and be read by others: it must not contain a password. A
password that it contains nevertheless is replaced before any error can be raised.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from synfin_analytics.database._secret import Secret
from synfin_analytics.database._settings import VARIABLES
from synfin_analytics.exceptions import ConfigurationError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_NAME = "synfin.toml"
#: Keys of a section besides the fields of DatabaseConfig.
URL, OPTIONS, PROTECTED = "url", "options", "protected"
PASSWORD_VARIABLE, PASSWORD_COMMAND = "password_variable", "password_command"
KEYS = (
    *(name for name in VARIABLES if name != "password"),
    URL, OPTIONS, PROTECTED, PASSWORD_VARIABLE, PASSWORD_COMMAND,
)  # fmt: skip
HOW_TO_REFER = "Store it in ~/.pgpass, or refer to it with password_variable or password_command"

_PASSWORD_KEY = re.compile(r"(db_?|pg_?)?(pass(word|wd|phrase)?|pwd|passwort)", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^@]*:[^@]*@|[?&](ssl)?password=", re.IGNORECASE)
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
#: What tomllib says of a section that is there twice.
_REPEATED = re.compile(r"Cannot declare \('(.+)',\) twice \(at line ([0-9]+)")
_KEY = re.compile(r"\s*([\w\"'. -]+?)\s*=")


@dataclass(frozen=True)
class Section:
    """One environment of a file.

    Attributes
    ----------
    name
        Name of the environment.
    file
        File that it is in.
    values
        What it sets, by key; texts that may hold a password are secrets.
    lines
        Line of each key, and of the header (key "").
    """

    name: str
    file: Path
    values: dict[str, Any] = field(repr=False)
    lines: dict[str, int] = field(repr=False, default_factory=dict)

    @property
    def protected(self) -> bool:
        """Whether the environment is marked as protected."""
        return bool(self.values.get(PROTECTED, False))

    @property
    def place(self) -> str:
        """Section and file, as messages name them."""
        return f"[{self.name}] of {self.file}"

    def label(self, key: str) -> str:
        """Name a key with its section, file and line."""
        line = self.lines.get(key)
        return f"{key} in {self.place}" + (f", line {line}" if line else "")


# -- Where the files are --------------------------------------------------------------------------


def find_files() -> list[Path]:
    """Return the files that apply, the one of the project first.

    The project's file is in the current folder, or in the nearest parent folder that has one: up
    to the root of the repository, or else up to the home folder. Outside of both, parent folders
    may belong to others and are not searched.
    """
    project = next(filter(_is_file, (folder / FILE_NAME for folder in _project_folders())), None)
    user = platformdirs.user_config_path("synfin_analytics", appauthor=False) / FILE_NAME
    files = [project] if project is not None else []
    return [*files, user] if user != project and _is_file(user) else files


def searched_folders() -> list[Path]:
    """Folders in which a file would be found."""
    user = platformdirs.user_config_path("synfin_analytics", appauthor=False)
    return [*_project_folders()[:1], user]


def _project_folders() -> list[Path]:
    try:
        folder = Path.cwd()
    except OSError:  # it has been deleted
        return []
    folders = [folder, *folder.parents]
    for number, parent in enumerate(folders):
        if (parent / ".git").exists():
            return folders[: number + 1]
    try:
        home = Path.home()
    except RuntimeError:  # this user has none
        return folders[:1]
    return folders[: folders.index(home) + 1] if home in folders else folders[:1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that this user must not enter
        return False


# -- What they contain ----------------------------------------------------------------------------


def read_sections(file: Path) -> dict[str, Section]:
    """Read the environments of a file, by name.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not TOML, contains a password, or an unknown key.
    """
    tables = _read(file)
    if isinstance(tables, str):
        raise ConfigurationError(tables, variable=FILE_NAME)
    sections = {}
    for name, (values, refused, lines) in tables.items():
        section = Section(name, file, values, lines)
        for key in refused:
            raise ConfigurationError(_refusal(section, key), variable=key)
        if not isinstance(values.get(PROTECTED, False), bool):
            raise ConfigurationError(
                f"{section.label(PROTECTED)} must be true or false, without quotes.",
                variable=PROTECTED,
            )
        sections[name] = section
    return sections


_Table = tuple[dict[str, Any], list[str], dict[str, int]]


def _read(file: Path) -> dict[str, _Table] | str:
    """Return values, refused keys and lines of each section, or what is wrong with the file.

    No error is raised here, because a traceback would show the text of the file.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(text)
    except UnicodeDecodeError:
        return f"{file} must be a text file in UTF-8."
    except OSError as error:
        return f"Cannot read {file}: {error.strerror}."
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number that is too long
        if repeated := _REPEATED.match(str(error)):
            return f"{file}, line {repeated[2]}, has a second section [{repeated[1]}]. Keep one."
        return f"{file} is not valid TOML: {error}."
    lines: dict[tuple[str, str], int] = {}
    for key, number in _lines(text):
        lines.setdefault(key, number)
    for name, table in tables.items():
        if not isinstance(table, dict):
            line = lines.get(("", name))
            return (
                f"{name} in {file}{f', line {line}' if line else ''} must be in the section of an "
                "environment, such as [production]."
            )
    return {name: _table(name, table, lines) for name, table in tables.items()}


def _table(name: str, table: dict[str, Any], lines: dict[tuple[str, str], int]) -> _Table:
    values = {key: _hide(value) for key, value in table.items() if key in KEYS}
    refused = [key for key in table if key not in KEYS]
    refused += [key for key, value in values.items() if _has_password(value)]
    values = {key: value for key, value in values.items() if key not in refused}
    return values, refused, {key: line for (section, key), line in lines.items() if section == name}


def _hide(value: Any) -> Any:
    """Turn texts into secrets: any may hold a password, in the wrong place or in a URL."""
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, list):
        return [_hide(item) for item in value]
    if isinstance(value, dict):
        return {key: _hide(item) for key, item in value.items()}
    return value


def _has_password(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_PASSWORD_KEY.fullmatch(key) or _has_password(value[key]) for key in value)
    if isinstance(value, list):
        return any(map(_has_password, value))
    return isinstance(value, Secret) and _PASSWORD_IN_URL.search(value.reveal()) is not None


def _refusal(section: Section, key: str) -> str:
    if key in KEYS:
        return f"{section.label(key)} must not contain a password. {HOW_TO_REFER}."
    if _PASSWORD_KEY.fullmatch(key):
        return f"{section.label(key)}: the file must not contain a password. {HOW_TO_REFER}."
    near = nearest_names(key, KEYS)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Available: {', '.join(KEYS)}."
    line = f", line {section.lines[key]}" if key in section.lines else ""
    return f"There is no setting {key!r} in {section.place}{line}. {hint}"


def _lines(text: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Find the line of each section and key; tomllib does not say where it has read them."""
    section, prefix = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section, _, table = _unquote(header[1]).partition(".")
            prefix = f"{table}." if table else ""
            yield (section, table), number
        elif key := _KEY.match(line):
            yield (section, prefix + _unquote(key[1])), number


def _unquote(key: str) -> str:
    return key.strip("\"'")
