"""What a command shows while it works: its steps with their time, and tables."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Steps:
    """Steps of a longer command, told on stderr as they begin and end.

    Parameters
    ----------
    total
        How many there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell that a step begins, and how long it took."""
        self._number += 1
        head = click.style(f"[{self._number}/{self._total}]", dim=True)
        click.echo(f"{head} {what} …", err=True)
        started = time.perf_counter()
        yield
        click.secho(f"      {time.perf_counter() - started:.1f} s", err=True, dim=True)


def echo_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        texts = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return "  ".join(texts).rstrip()

    click.secho(f"  {line(head)}", bold=True)
    for row in rows:
        click.echo(f"  {line(row)}")


def pairs(values: Sequence[str], ignored: Sequence[str]) -> dict[str, str | None]:
    """Column mapping from ``--column A=b`` and ``--ignore C``."""
    mapping: dict[str, str | None] = dict.fromkeys(ignored)
    for value in values:
        source, equals, target = value.rpartition("=")
        if not (equals and source and target):
            raise click.BadParameter(
                f"{value!r} is not of the form COLUMN_OF_THE_FILE=column_of_the_table.",
                param_hint="--column",
            )
        if source in mapping:
            raise click.BadParameter(f"{source!r} is named twice.", param_hint="--column")
        mapping[source] = target
    return mapping
