"""``synfin load`` and ``synfin export``: files into tables, and tables or queries into files."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synfin_analytics.cli._options import reading_options, take_reading
from synfin_analytics.cli._output import echo_table, pairs
from synfin_analytics.exceptions import ArgumentError, RejectedLabelsWarning

if TYPE_CHECKING:
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.load.report import LoadReport

_SHOWN = 12


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("table", required=False)
@click.option(
    "--layout",
    metavar="NAME",
    help="FILE has the columns of this public data set (as handbook): load customers, merchants "
    "and transactions from it, without TABLE.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="A=b",
    help="Column A of the file is b of the table, as TX_AMOUNT=amount. Repeat as needed.",
)
@click.option("--ignore", multiple=True, metavar="A", help="Leave column A of the file out.")
@click.option(
    "--on-invalid",
    type=click.Choice(["raise", "reject"]),
    default="raise",
    show_default=True,
    help="Refuse the whole file, or only the rows at fault.",
)
@click.option(
    "--on-missing-parent",
    type=click.Choice(["raise", "create"]),
    default="raise",
    show_default=True,
    help="Customers and merchants that do not exist yet.",
)
@click.option(
    "--on-conflict",
    type=click.Choice(["error", "skip", "update"]),
    default="error",
    show_default=True,
    help="Rows whose key the table has already.",
)
@click.option("--rejected", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the cells at fault to this CSV file.")  # fmt: skip
@reading_options
def load(
    file: Path,
    table: str | None,
    layout: str | None,
    columns: tuple[str, ...],
    ignore: tuple[str, ...],
    rejected: Path | None,
    **options: Any,
) -> None:
    """Load FILE into TABLE: every cell checked, all rows or none.

    FILE is Parquet, CSV (.csv, .tsv, .txt), JSON lines (.jsonl), Excel (.xlsx) or Arrow (.arrow,
    .feather), also compressed (.gz, .bz2, .zst, .xz) or alone in a .zip; or a folder of Parquet
    files. The exit status is 1 if rows were refused and none was loaded.
    """
    reading = take_reading(options)
    if (table is None) == (layout is None):
        raise click.UsageError("Give a TABLE, or the --layout of a known data set.")
    from synfin_analytics.cli._export import PERIOD
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.load import load_df

    mapping = pairs(columns, ignore)
    if any(file.glob(f"{PERIOD}=*")):  # an export by period: that is in the folders' names only
        mapping.setdefault(PERIOD, None)
    if rejected is not None and options["on_invalid"] != "reject":
        raise ArgumentError("--rejected goes with --on-invalid reject.")
    if rejected is not None and not rejected.parent.is_dir():
        raise ArgumentError(f"There is no folder {str(rejected.parent)!r} for --rejected.")
    with contextlib.closing(DatabaseManager()) as manager:
        if table is None:
            report = _load_layout(file, str(layout), mapping, options, reading, manager)
        else:
            report = load_df(
                file, table, columns=mapping, manager=manager, **options, **reading.given()
            )
            echo_report(report)
    if rejected is not None:
        report.rejected.to_csv(rejected, index=False)
        click.echo(f"Cells at fault: {rejected}")
    if report.rejected_rows and not report.inserted + report.updated + report.skipped:
        click.secho("Error: All rows were refused; nothing was loaded.", fg="red", err=True)
        raise click.exceptions.Exit(1)


def _load_layout(
    file: Path,
    layout: str,
    mapping: dict[str, str | None],
    options: dict[str, Any],
    reading: ReadOptions,
    manager: DatabaseManager,
) -> LoadReport:
    """Load the tables of a known layout, and return the report of its transactions."""
    from synfin_analytics.io.layouts import read_layout

    source_of = click.get_current_context().get_parameter_source
    fixed = ("on_missing_parent", "on_conflict")
    if mapping or any(source_of(name) != click.core.ParameterSource.DEFAULT for name in fixed):
        raise click.UsageError(
            "--layout maps the columns, and creates customers and merchants: it cannot be combined "
            "with --column, --ignore, --on-missing-parent or --on-conflict."
        )
    tables = read_layout(file, layout, **reading.given())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RejectedLabelsWarning)  # the report says it
        reports = tables.load(on_invalid=options["on_invalid"], manager=manager)
    for report in reports.values():
        echo_report(report)
    return reports["transactions"]


def echo_report(report: LoadReport) -> None:
    """Say what a load did, and what it refused."""
    click.echo(repr(report).removeprefix("LoadReport(").removesuffix(")"))
    if len(report.rejected):
        reasons = report.rejected.groupby(["column", "reason"], sort=False)["row"]
        told = reasons.agg(["size", "min"]).reset_index().head(_SHOWN)
        rows = [
            (f"{column}: {reason}", f"{cells:,}", f"{first:,}")
            for column, reason, cells, first in told.itertuples(index=False)
        ]
        echo_table(("rejected", "cells", "first row"), rows)
    if report.labels is not None and report.labels.fraud_rate_changed:
        click.secho(f"Warning: {report.labels}", fg="yellow", err=True)


@click.command()
@click.argument("tables", metavar="[TABLE]", nargs=-1)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--query", metavar="SQL", help="Export the rows of this SELECT instead of a table.")
@click.option(
    "--partition-by",
    type=click.Choice(["year", "month", "day"]),
    help="Write a folder of Parquet files, one folder for each period.",
)
@click.option(
    "--time-column",
    default="timestamp",
    show_default=True,
    help="Column whose period is meant by --partition-by.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Write money as decimals, not as doubles. A table in CSV always does.",
)
@click.option(
    "--escape-formulas",
    is_flag=True,
    help="For spreadsheets: write a ' before texts of a CSV file that they would run as formulas.",
)
@click.option("--overwrite", is_flag=True, help="Replace what TARGET holds.")  # fmt: skip
def export(
    tables: tuple[str, ...],
    target: Path,
    query: str | None,
    partition_by: str | None,
    time_column: str,
    exact: bool,
    escape_formulas: bool,
    overwrite: bool,
) -> None:
    """Write TABLE, or the rows of a query, to TARGET.

    TARGET ends in .parquet or .csv, or is a folder for a Parquet dataset. Any size: the rows pass
    through in batches, in little memory.
    """
    from synfin_analytics.cli._export import check_target, write_batches
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.models import model_of
    from synfin_analytics.io._progress import progress_bar
    from synfin_analytics.io.read import read_batches

    if len(tables) + (query is not None) != 1:
        raise click.UsageError("Give one TABLE, or --query.")
    is_csv = partition_by is None and target.suffix.lower() == ".csv"
    if escape_formulas and not is_csv:
        raise click.UsageError("--escape-formulas needs a TARGET that ends in .csv.")
    what: Any = model_of(tables[0]) if tables else query
    check_target(target, partition_by, overwrite=overwrite)
    with (
        contextlib.closing(DatabaseManager()) as manager,
        # A table in CSV has all digits of its numbers: a query may have numbers without a scale.
        read_batches(
            what, manager=manager, use_decimal=exact or (is_csv and bool(tables))
        ) as batches,
        progress_bar(target.name, None, show=None) as bar,
    ):
        rows = write_batches(
            batches,
            target,
            partition_by=partition_by,
            time_column=time_column,
            escape_formulas=escape_formulas,
            progress=bar.update,
        )
    click.echo(f"{rows:,} rows: {target}")
