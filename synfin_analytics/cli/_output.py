"""Output that several commands share: progress in steps, tables, the report of a load."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from synfin_analytics.io import LoadReport

_MAX_REASONS = 12


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
        first, *others = zip(cells, widths, strict=True)
        texts = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
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
