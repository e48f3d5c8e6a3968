"""``synfin db erase-customer`` and ``synfin db pseudonymise-customer``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from synfin_analytics.cli._common import (
    Command,
    ask_confirmation,
    confirm_option,
    open_database,
)


def _options(command: Command) -> Command:
    """Add what both commands take."""
    command = confirm_option(command)
    command = click.option("--dry-run", is_flag=True, help="Count the rows; change nothing.")(
        command
    )
    command = click.option(
        "--archive",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Change the files of this archive or snapshot, too. Repeatable.",
    )(command)
    return click.argument("customer_ids", metavar="ID...", nargs=-1, required=True)(command)


@click.command("erase-customer")
@_options
@click.option(
    "--vacuum", is_flag=True, help="VACUUM the changed tables, so that others reuse the old rows."
)
def erase_customer(
    customer_ids: tuple[str, ...],
    archive: tuple[Path, ...],
    dry_run: bool,
    confirm: str | None,
    vacuum: bool,
) -> None:
    """Erase customers: their rows in all tables, and their ids in patterns.

    Prints what was removed, and what the command cannot reach, such as backups. With "-" as ID, the
    ids are read from standard input, one a line: they are then neither in the shell's history nor
    in the list of processes.
    """
    from synfin_analytics.io.erasure import erase_customer as erase

    with open_database() as manager:
        if not dry_run:
            confirm = ask_confirmation(manager.config, "erase a customer", confirm)
        report = erase(
            _read_ids(customer_ids),
            manager=manager,
            archive=archive,
            dry_run=dry_run,
            vacuum=vacuum,
            confirm=confirm,
        )
        click.echo(str(report))


@click.command("pseudonymise-customer")
@_options
def pseudonymise_customer(
    customer_ids: tuple[str, ...], archive: tuple[Path, ...], dry_run: bool, confirm: str | None
) -> None:
    """Replace the identifiers of customers by pseudonyms.

    Amounts, times and labels stay, and with them all fraud rates and evaluations. The pseudonyms
    are HMAC-SHA256 with the key of the environment variable SYNFIN_PSEUDONYM_KEY. With "-" as ID,
    the ids are read from standard input, one a line.
    """
    from synfin_analytics.io.erasure import pseudonymise_customer as pseudonymise

    with open_database() as manager:
        if not dry_run:
            confirm = ask_confirmation(manager.config, "pseudonymise a customer", confirm)
        report = pseudonymise(
            _read_ids(customer_ids),
            manager=manager,
            archive=archive,
            dry_run=dry_run,
            confirm=confirm,
        )
        click.echo(str(report))


def _read_ids(customer_ids: tuple[str, ...]) -> list[str]:
    if customer_ids != ("-",):
        return list(customer_ids)
    return [line for line in sys.stdin.read().splitlines() if line]
