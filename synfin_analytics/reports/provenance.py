"""How to reproduce a report: its versions, its rows, and the call that creates it."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from synfin_analytics._core.formatting import pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound

#: Libraries that numbers and figures depend on.
_LIBRARIES = ("numpy", "pandas", "polars", "scipy", "statsmodels", "sqlalchemy", "matplotlib")


@dataclass(frozen=True)
class Provenance:
    """How to reproduce a report.

    Attributes
    ----------
    versions
        Versions of the package, Python, PostgreSQL and the libraries that numbers depend on.
    database
        Name of the database; empty for a report from a frame.
    query
        SELECT of the rows that the report is computed from; empty for a report from a frame.
    python, command
        What creates the same report, in Python and on the command line; there is no command for a
        frame that is not a file.
    data
        The file or frame that the report is computed from; empty for a database.
    """

    versions: Mapping[str, str]
    database: str
    query: str
    python: str
    command: str
    data: str = ""

    @classmethod
    def from_call(
        cls,
        session: Session,
        query: Select[Any],
        function: str,
        arguments: Sequence[str],
        options: Mapping[str, Any],
    ) -> Provenance:
        """Describe a report that a function has created.

        Parameters
        ----------
        session
            Where the rows are.
        query
            The rows.
        function
            Name of the function, as ``"model_report"``; the command is named after it.
        arguments
            Its positional arguments.
        options
            Its keyword arguments, without those that have their default.
        """
        return cls(
            _read_versions(session),
            str(session.execute(text("SELECT current_database()")).scalar_one()),
            _format_query(query),
            _format_call(function, [repr(value) for value in arguments], options),
            _format_command(function, arguments, options),
        )

    @classmethod
    def from_data(
        cls, data: Any, n_rows: int, function: str, options: Mapping[str, Any], call: str = "df"
    ) -> Provenance:
        """Describe a report that a function has created from a frame or file.

        Parameters
        ----------
        data
            The frame, or the path of the file.
        n_rows
            Rows of the report.
        function
            Name of the function, as ``"model_report"``.
        options
            Its keyword arguments, without those that have their default.
        call
            How the data are passed, in Python.
        """
        module = type(data).__module__.partition(".")[0]
        described = f"{module} {type(data).__name__} with {pluralize(n_rows, 'row')}"
        command = ""
        if isinstance(data, (str, Path)):
            described = f"{str(data)!r} with {pluralize(n_rows, 'row')}{_describe_digest(data)}"
            command, call = _format_command(function, [str(data)], options), repr(str(data))
        python = _format_call(function, [call], options)
        return cls(_read_versions(), "", "", python, command, described)


def _describe_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file as text; a folder has none."""
    if not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        return f", SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()}"


def _format_command(function: str, arguments: Sequence[str], options: Mapping[str, Any]) -> str:
    command = ["synfin", "report", function.removesuffix("_report"), *arguments]
    for name, value in options.items():
        command += _command_options(name, value)
    return shlex.join([*command, "--out", "report.html"])


def format_bound(bound: Bound) -> str | None:
    """Return the bound of a period as the command line takes it."""
    return bound.isoformat() if isinstance(bound, dt.date) else bound  # a datetime is a date


def _format_query(query: Select[Any]) -> str:
    # With named parameters: the driver's own style would double every percent sign.
    compiled = query.compile(
        dialect=postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    columns, _, rest = str(compiled).partition(" \nFROM ")
    # One column a line; the rest holds values, which must not change.
    return f"{columns.replace(', ', f',{chr(10)}    ')}\nFROM {rest}"


def _read_versions(session: Session | None = None) -> dict[str, str]:
    import synfin_analytics

    versions = {
        "synfin_analytics": synfin_analytics.__version__,
        "Python": platform.python_version(),
    }
    if session is not None:
        server = str(session.execute(text("SHOW server_version")).scalar_one())
        versions["PostgreSQL"] = server.partition(" ")[0]
    return versions | {name: str(importlib.import_module(name).__version__) for name in _LIBRARIES}


def _format_call(function: str, arguments: Sequence[str], options: Mapping[str, Any]) -> str:
    lines = [*arguments]
    lines += [f"{name}={value!r}" for name, value in options.items()]
    inside = "".join(f"    {line},\n" for line in lines)
    return (
        f"from synfin_analytics import {function.partition('.')[0]}\n\n"
        f"report = {function}({f'{chr(10)}{inside}' if inside else ''})\n"
        'report.save("report.html")\n'
    )


def _command_options(name: str, value: Any) -> list[str]:
    """Return a keyword argument as options of the command."""
    if name == "compare_with" and not isinstance(value, str):
        name = "compare"  # a name and a version
    option = f"--{name.replace('_', '-')}"
    if name == "by":
        groupings = [by if isinstance(by, str) else ",".join(by) for by in value]
        repeated = [word for grouping in groupings for word in (option, grouping)]
        return repeated or ["--no-groups"]
    if name == "bins":
        bins = [
            f"{column}={','.join(f'{edge:g}' for edge in edges)}" for column, edges in value.items()
        ]
        return [word for column in bins for word in (option, column)]
    if isinstance(value, Mapping):
        value = ",".join(f"{int(label)}={weight}" for label, weight in value.items())
    return [option, *map(str, value if isinstance(value, tuple) else [value])]
