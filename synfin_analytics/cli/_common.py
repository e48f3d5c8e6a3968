"""What several commands share: options, the database of the environment, and output."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io import LoadReport

Command = TypeVar("Command", bound="Callable[..., Any]")

_READ_OPTIONS = (
    click.option(
        "--separator", metavar="CHAR",
        help="Separator of a CSV file, \\t for a tab. By default it is detected in the header: "
        ", ; tab or |.",
    ),
    click.option(
        "--encoding", metavar="NAME",
        help="Encoding of a CSV file, such as cp1252 or utf-16. Default: UTF-8.",
    ),
    click.option("--decimal", metavar="CHAR", help="Decimal separator of numbers: . or ,"),
    click.option(
        "--thousands", metavar="CHAR", help="Thousands separator of numbers, such as . or ,"
    ),
    click.option(
        "--date-format", metavar="FORMAT",
        help='Format of dates, such as "%d/%m/%Y %H:%M". Default: ISO 8601.',
    ),
    click.option(
        "--timezone", metavar="ZONE",
        help="Time zone of times without an offset, such as Europe/Berlin. Default: UTC.",
    ),
    click.option(
        "--currency", metavar="SIGN",
        help="Accept numbers with this currency sign, or with any sign: --currency any. Numbers in "
        "parentheses are negative.",
    ),
)  # fmt: skip
_MAX_REASONS = 12


# -- Options: how a file is read, and the mapping of its columns -----------------------------------


def read_options(command: Command) -> Command:
    """Add the options for reading a file to a command."""
    for option in reversed(_READ_OPTIONS):
        command = option(command)
    return command


def report_read_options(command: Command) -> Command:
    """Add the options for reading a file to a report, which accepts any currency sign."""
    for option in reversed(_READ_OPTIONS[:-1]):
        command = option(command)
    return command


def pop_read_options(options: dict[str, Any]) -> ReadOptions:
    """Remove the options for reading a file from those of a command, and return them.

    Raises
    ------
    ArgumentError
        An option has an invalid value.
    """
    from synfin_analytics._core.validation.options import ReadOptions

    values = {field.name: options.pop(field.name) for field in dataclasses.fields(ReadOptions)}
    values["separator"] = parse_separator(values["separator"])
    if values["currency"] in (None, "any"):
        values["currency"] = values["currency"] is not None
    return ReadOptions(**values)


def parse_separator(text: str | None) -> str | None:
    """Return the separator that an option names."""
    return "\t" if text in ("\\t", "tab") else text


def parse_column_mapping(columns: Sequence[str], ignored: Sequence[str]) -> dict[str, str | None]:
    """Return the column mapping from ``--column A=b`` and ``--ignore C``.

    Examples
    --------
    >>> parse_column_mapping(["TX_AMOUNT=amount"], ["SCENARIO"])
    {'SCENARIO': None, 'TX_AMOUNT': 'amount'}
    """
    mapping: dict[str, str | None] = dict.fromkeys(ignored)
    for text in columns:
        source, equals, target = text.rpartition("=")
        if not (equals and source and target):
            raise click.BadParameter(
                f"must be of the form COLUMN_OF_THE_FILE=column_of_the_table; got {text!r}.",
                param_hint="--column",
            )
        if source in mapping:
            raise click.BadParameter(
                f"each column must be named once; got {source!r} twice.", param_hint="--column"
            )
        mapping[source] = target
    return mapping


def confirm_option(command: Command) -> Command:
    """Add the option that confirms the name of a protected database."""
    return click.option(
        "--confirm",
        metavar="NAME",
        help="Name of the database, which a protected environment requires.",
    )(command)


def ask_confirmation(config: DatabaseConfig, action: str, confirm: str | None) -> str | None:
    """Prompt for the name of a protected database, on a terminal.

    Parameters
    ----------
    config
        The database.
    action
        What is about to be done, as it follows "to".
    confirm
        Value of ``--confirm``.

    Returns
    -------
    str or None
        The name to pass as ``confirm=``; None if the database is not protected.

    Raises
    ------
    ProtectedDatabaseError
        The name is not that of the database, or there is no terminal to ask for it.
    """
    from synfin_analytics.database.config import find_protection
    from synfin_analytics.database.protection import require_confirmation

    protection = find_protection(config)
    if protection is not None and confirm is None and sys.stdin.isatty():
        place = config.place
        click.echo(f"{place[0].upper()}{place[1:]} is protected by {protection}.", err=True)
        confirm = click.prompt(f"To {action}, type the name of the database", err=True)
    require_confirmation(config, action, confirm)
    return confirm


def open_database() -> contextlib.closing[DatabaseManager]:
    """Open the database of the environment for one command."""
    from synfin_analytics.database.manager import DatabaseManager

    return contextlib.closing(DatabaseManager())


# -- Output: progress in steps, tables, the report of a load ---------------------------------------


class Steps:
    """Print the start and duration of each step of a long command to stderr.

    Parameters
    ----------
    total
        Number of steps.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0

    @contextlib.contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Print the start of a step, and its duration at the end."""
        self._number += 1
        number = click.style(f"[{self._number}/{self._total}]", dim=True)
        click.echo(f"{number} {description} …", err=True)
        start = time.perf_counter()
        yield
        click.secho(f"      {time.perf_counter() - start:.1f} s", err=True, dim=True)


def echo_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with the first column aligned left and the others right."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]

    def format_row(cells: Sequence[str]) -> str:
        first, *following = zip(cells, widths, strict=True)
        texts = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in following)]
        return "  ".join(texts).rstrip()

    click.secho(f"  {format_row(headers)}", bold=True)
    for row in rows:
        click.echo(f"  {format_row(row)}")


def echo_load_report(report: LoadReport) -> None:
    """Print what a load inserted and what it rejected."""
    click.echo(repr(report).removeprefix("LoadReport(").removesuffix(")"))
    if len(report.rejected):
        groups = report.rejected.groupby(["column", "reason"], sort=False)["row"]
        reasons = groups.agg(["size", "min"]).reset_index().head(_MAX_REASONS)
        rows = [
            (f"{column}: {reason}", f"{n_cells:,}", f"{first_row:,}")
            for column, reason, n_cells, first_row in reasons.itertuples(index=False)
        ]
        echo_table(("rejected", "cells", "first row"), rows)
    if report.labels is not None and report.labels.fraud_rate_changed:
        echo_warning(str(report.labels))


def echo_warning(message: str) -> None:
    """Print a warning to stderr."""
    click.secho(f"Warning: {message}", fg="yellow", err=True)
