"""``synfin load``: load a file into a table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synfin_analytics.cli._common import (
    echo_load_report,
    open_database,
    parse_column_mapping,
    pop_read_options,
    read_options,
)
from synfin_analytics.exceptions import ArgumentError, RejectedLabelsWarning

if TYPE_CHECKING:
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io import LoadReport


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("table", required=False)
@click.option(
    "--layout",
    metavar="NAME",
    help="FILE has the columns of this public data set, such as handbook: load customers, "
    "merchants and transactions from it. Omit TABLE.",
)
@click.option(
    "--join",
    "others",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another file of the layout, such as train_identity.csv of ieee_cis. Repeatable.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="A=b",
    help="Load column A of the file into column b of the table, such as TX_AMOUNT=amount. "
    "Repeatable.",
)
@click.option("--ignore", multiple=True, metavar="A", help="Ignore column A of the file.")
@click.option(
    "--on-invalid",
    type=click.Choice(["raise", "reject"]),
    default="raise",
    show_default=True,
    help="Reject the whole file, or only the invalid rows.",
)
@click.option(
    "--on-missing-parent",
    type=click.Choice(["raise", "create"]),
    default="raise",
    show_default=True,
    help="What to do with customers and merchants that do not exist.",
)
@click.option(
    "--on-conflict",
    type=click.Choice(["error", "skip", "update"]),
    default="error",
    show_default=True,
    help="What to do with rows whose key already exists.",
)
@click.option("--rejected", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the invalid cells to this CSV file.")  # fmt: skip
@read_options
def load(
    file: Path,
    table: str | None,
    layout: str | None,
    others: tuple[Path, ...],
    columns: tuple[str, ...],
    ignore: tuple[str, ...],
    rejected: Path | None,
    **options: Any,
) -> None:
    """Load FILE into TABLE: validate every cell, load all rows or none.

    FILE is Parquet, CSV (.csv, .tsv, .txt), JSON lines (.jsonl), Excel (.xlsx) or Arrow (.arrow,
    .feather), optionally compressed (.gz, .bz2, .zst, .xz) or the only file in a .zip; or a folder
    of Parquet files. A folder of `synfin db archive` or `synfin snapshot` needs no TABLE: its
    rows are restored. The exit status is 1 if rows were rejected and none was loaded.
    """
    read_options = pop_read_options(options)
    if table is None and layout is None and (file / "manifest.json").is_file():
        _restore(file)
        return
    if (table is None) == (layout is None):
        raise click.UsageError("Specify either TABLE or --layout.")
    if others and layout is None:
        raise click.UsageError("--join requires --layout.")
    from synfin_analytics.io import load_df

    mapping = parse_column_mapping(columns, ignore)
    if rejected is not None and options["on_invalid"] != "reject":
        raise ArgumentError("--rejected requires --on-invalid reject.")
    if rejected is not None and not rejected.parent.is_dir():
        raise ArgumentError(f"The folder of --rejected must exist; got {str(rejected.parent)!r}.")
    with open_database() as manager:
        if table is None:
            report = _load_layout(
                [file, *others], str(layout), mapping, options, read_options, manager
            )
        else:
            report = load_df(
                file,
                table,
                columns=mapping,
                manager=manager,
                **options,
                **read_options.to_arguments(),
            )
            echo_load_report(report)
    if rejected is not None:
        report.rejected.to_csv(rejected, index=False)
        click.echo(f"Invalid cells: {rejected}")
    if report.rejected_rows and not report.inserted + report.updated + report.skipped:
        click.secho("Error: All rows were rejected; nothing was loaded.", fg="red", err=True)
        raise click.exceptions.Exit(1)


def _restore(folder: Path) -> None:
    """Restore an archive or a snapshot."""
    from synfin_analytics.io import load_df

    with open_database() as manager:
        for report in load_df(folder, manager=manager).values():
            echo_load_report(report)


def _load_layout(
    files: list[Path],
    layout: str,
    mapping: dict[str, str | None],
    options: dict[str, Any],
    read_options: ReadOptions,
    manager: DatabaseManager,
) -> LoadReport:
    """Load the tables of a known layout, and return the report of its transactions."""
    from synfin_analytics.io import read_layout

    source_of = click.get_current_context().get_parameter_source
    fixed = ("on_missing_parent", "on_conflict")
    if mapping or any(source_of(name) != click.core.ParameterSource.DEFAULT for name in fixed):
        raise click.UsageError(
            "--layout maps the columns and creates customers and merchants. It cannot be combined "
            "with --column, --ignore, --on-missing-parent or --on-conflict."
        )
    source = files if len(files) > 1 else files[0]
    tables = read_layout(source, layout, **read_options.to_arguments())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RejectedLabelsWarning)  # printed with the report
        reports = tables.load(on_invalid=options["on_invalid"], manager=manager)
    for report in reports.values():
        echo_load_report(report)
    return reports["transactions"]
