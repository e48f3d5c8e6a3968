"""Options about how a file is written, shared by the commands that read one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.validation.options import ReadOptions

_OPTIONS = (
    click.option(
        "--separator", metavar="CHAR",
        help="Character between the fields of a CSV file; \\t is a tab. By default the one of "
        ", ; tab | that the header has.",
    ),
    click.option(
        "--encoding", metavar="NAME",
        help="Encoding of a CSV file, as cp1252 or utf-16; UTF-8 by default.",
    ),
    click.option("--decimal", metavar="CHAR", help="Decimal mark of numbers: . or ,"),
    click.option("--thousands", metavar="CHAR", help="Mark between thousands, as . or ,"),
    click.option(
        "--date-format", metavar="FORMAT",
        help='How dates are written, as "%d/%m/%Y %H:%M"; ISO 8601 by default.',
    ),
    click.option(
        "--timezone", metavar="ZONE",
        help="Time zone of times without an offset, as Europe/Berlin; UTC by default.",
    ),
    click.option(
        "--currency", metavar="SIGN",
        help="Read numbers with this currency sign, or with any: --currency any. Parentheses mean "
        "negative numbers.",
    ),
)  # fmt: skip


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_reading(options: dict[str, Any]) -> ReadOptions:
    """Take the options out of those of a command.

    Raises
    ------
    ArgumentError
        One of them has a value that it cannot have.
    """
    from synfin_analytics._core.validation.options import ReadOptions

    values = {field.name: options.pop(field.name) for field in dataclasses.fields(ReadOptions)}
    if values["separator"] in ("\\t", "tab"):
        values["separator"] = "\t"
    if values["currency"] in (None, "any"):
        values["currency"] = values["currency"] is not None
    return ReadOptions(**values)
