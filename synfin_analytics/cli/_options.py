"""Options that several commands share: how a file is read, and the mapping of its columns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics._core.validation.options import ReadOptions

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


def read_options(command: Command) -> Command:
    """Add the options for reading a file to a command."""
    for option in reversed(_READ_OPTIONS):
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
    if values["separator"] in ("\\t", "tab"):
        values["separator"] = "\t"
    if values["currency"] in (None, "any"):
        values["currency"] = values["currency"] is not None
    return ReadOptions(**values)


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
