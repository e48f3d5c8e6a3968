"""``synfin db archive``: move old months to Parquet files, list them, and verify them."""

from __future__ import annotations

from pathlib import Path

import click

from synfin_analytics.cli._common import (
    ask_confirmation,
    confirm_option,
    echo_table,
    open_database,
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--before",
    metavar="MONTH",
    help="Archive the transactions of all months before this one, such as 2025-01 (UTC).",
)
@click.option("--dry-run", is_flag=True, help="Show months, rows and size, and change nothing.")
@click.option("--list", "show_contents", is_flag=True, help="List the months of the archive.")
@click.option("--verify", is_flag=True, help="Check all files against the manifest.")
@click.option(
    "--adopt",
    is_flag=True,
    help="The database is the same one, but has another identity since pg_upgrade or a dump.",
)
@confirm_option
@click.pass_context
def archive(
    ctx: click.Context,
    folder: Path,
    before: str | None,
    dry_run: bool,
    show_contents: bool,
    verify: bool,
    adopt: bool,
    confirm: str | None,
) -> None:
    """Move old months of transactions to Parquet files in FOLDER.

    Features and predictions go along; customers and merchants are copied. The files are read back
    and compared before anything is deleted. If the command is interrupted, run it again: it goes
    on. `synfin load FOLDER` restores the rows.
    """
    if sum((before is not None, show_contents, verify, adopt)) != 1:
        raise click.UsageError("Pass one of --before MONTH, --list, --verify and --adopt.")
    if show_contents:
        _echo_contents(folder)
    elif verify:
        _verify(ctx, folder)
    elif adopt:
        _adopt(folder)
    else:
        _archive(folder, str(before), dry_run=dry_run, confirm=confirm)


def _archive(folder: Path, before: str, *, dry_run: bool, confirm: str | None) -> None:
    from synfin_analytics.io.archive import archive_transactions

    with open_database() as manager:
        expected = archive_transactions(folder, before, manager=manager, dry_run=True)
        if dry_run or not expected.months:
            click.echo(str(expected))
            if expected.months:
                rows = [(month, f"{count:,}") for month, count in expected.months.items()]
                echo_table(("month", "transactions"), rows)
            return
        confirm = ask_confirmation(manager.config, "archive and delete transactions", confirm)
        click.echo(str(archive_transactions(folder, before, manager=manager, confirm=confirm)))


def _echo_contents(folder: Path) -> None:
    from synfin_analytics.io.archive import archive_contents

    contents = archive_contents(folder)
    contents["size"] = [f"{size / 1e6:,.1f} MB" for size in contents["size"]]
    columns = ["month", "table", "files", "rows", "size", "state"]
    rows = [[str(cell) for cell in row] for row in contents[columns].to_numpy().tolist()]
    echo_table(columns, rows)


def _verify(ctx: click.Context, folder: Path) -> None:
    from synfin_analytics.io.archive import archive_contents, verify_archive

    problems = verify_archive(folder)
    if problems.empty:
        contents = archive_contents(folder)
        click.echo(f"All {contents['files'].sum():,} files are as they were written.")
        return
    for problem in problems["problem"]:
        click.echo(f"  {problem}")
    click.echo(f"{len(problems):,} problems: restore these files from a backup.")
    ctx.exit(1)


def _adopt(folder: Path) -> None:
    from synfin_analytics.io.archive import adopt_archive

    with open_database() as manager:
        adopt_archive(folder, manager=manager)
        click.echo(f"{str(folder)!r} goes with the database {manager.config.database!r} now.")
