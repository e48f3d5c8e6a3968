"""How to compute a report again: with what it was made, from which rows, by which command."""

from __future__ import annotations

import datetime as dt
import importlib
import platform
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound

#: Libraries that numbers and pictures depend on.
_LIBRARIES = ("numpy", "pandas", "polars", "scipy", "statsmodels", "sqlalchemy", "matplotlib")


@dataclass(frozen=True)
class Provenance:
    """How a report came about.

    Attributes
    ----------
    versions
        Of the package, Python, PostgreSQL and the libraries that numbers depend on.
    database
        Its name.
    query
        SELECT of the rows that the report is computed from.
    python, command
        What makes the report again, in Python and on the command line.
    """

    versions: Mapping[str, str]
    database: str
    query: str
    python: str
    command: str

    @classmethod
    def of(
        cls, session: Session, query: Select[Any], call: str, given: Mapping[str, Any], words: str
    ) -> Provenance:
        """Tell it of a report that a call made.

        Parameters
        ----------
        session
            Where the rows are.
        query
            Which rows.
        call
            Name of the function.
        given
            Its arguments, but for those that are as they would be anyway.
        words
            The command that does the same, without its options.
        """
        return cls(
            _versions(session),
            str(session.execute(text("SELECT current_database()")).scalar_one()),
            _text(query),
            _python(call, given),
            f"synfin report {words}{''.join(_options(given))} --out report.html",
        )


def _text(query: Select[Any]) -> str:
    # By name: the driver's own style would double every percent sign.
    compiled = query.compile(
        dialect=postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    columns, _, rest = str(compiled).partition(" \nFROM ")
    # One column a line; what follows holds values, which stay as they are.
    return f"{columns.replace(', ', f',{chr(10)}    ')}\nFROM {rest}"


def _versions(session: Session) -> dict[str, str]:
    import synfin_analytics

    server = str(session.execute(text("SHOW server_version")).scalar_one())
    return {
        "synfin_analytics": synfin_analytics.__version__,
        "Python": platform.python_version(),
        "PostgreSQL": server.partition(" ")[0],
    } | {name: str(importlib.import_module(name).__version__) for name in _LIBRARIES}


def _python(call: str, given: Mapping[str, Any]) -> str:
    lines = "".join(
        f"    {value!r},\n" if name.startswith("_") else f"    {name}={value!r},\n"
        for name, value in given.items()
    )
    arguments = f"\n{lines}" if lines else ""
    return (
        f"from synfin_analytics import {call}\n\n"
        f"report = {call}({arguments})\n"
        'report.save("report.html")\n'
    )


def _options(given: Mapping[str, Any]) -> list[str]:
    """Write arguments as options of the command."""
    options: list[list[Any]] = []
    for name, value in given.items():
        option = f"--{name.removesuffix('_with').replace('_', '-')}"
        if name.startswith("_"):
            continue
        if name == "by":
            groups = [one if isinstance(one, str) else ",".join(one) for one in value]
            options += [[option, group] for group in groups] or [["--no-groups"]]
        elif name == "bins":
            bands = [
                f"{one}={','.join(f'{edge:g}' for edge in edges)}" for one, edges in value.items()
            ]
            options += [[option, band] for band in bands]
        else:
            options.append([option, *(value if isinstance(value, tuple) else [value])])
    return [" " + shlex.join(map(str, words)) for words in options]


def plain(moment: Bound) -> str | None:
    """Write a bound of a period as a command takes it."""
    if isinstance(moment, dt.date):  # a datetime is one, too
        return moment.isoformat()
    return moment
