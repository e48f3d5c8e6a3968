"""``synfin db profile``: what the server's statistics say, and changes of indexes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synfin_analytics.cli._common import ask_confirmation, confirm_option, open_database
from synfin_analytics.exceptions import NotFoundError

if TYPE_CHECKING:
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.reports.profile import DatabaseProfile, IndexChange


@click.command()
@click.argument("indexes", metavar="[INDEX]...", nargs=-1)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the profile to a page."
)
@click.option(
    "--apply", is_flag=True, help="Drop or create indexes; asks for each one on a terminal."
)
@click.option("--yes", is_flag=True, help="Do not ask; needs --apply and names of indexes.")
@click.option(
    "--track-statements",
    type=click.Choice(["on", "off"]),
    help="Load pg_stat_statements into the embedded server, or no longer, from its next start.",
)
@confirm_option
@click.pass_context
def profile(
    ctx: click.Context,
    indexes: tuple[str, ...],
    html: Path | None,
    apply: bool,
    yes: bool,
    track_statements: str | None,
    confirm: str | None,
) -> None:
    """Profile the database: statements, tables, indexes, locks and connections.

    With --apply, INDEX names the indexes to drop or create; on a terminal the default is all that
    the profile advises to change. Keys and unique indexes are never changed.
    """
    if (indexes or yes) and not apply:
        raise click.UsageError("INDEX and --yes need --apply.")
    if apply and not (yes and indexes) and (yes or not sys.stdin.isatty()):
        raise click.UsageError(
            "Without a terminal to ask, --apply needs --yes and the names of the indexes. Nothing "
            "was changed."
        )
    from synfin_analytics.reports.profile import profile_database

    with open_database() as manager:
        if track_statements is not None:
            _track_statements(manager, track_statements)
            return
        result = profile_database(manager)
        chosen = _choose(result, indexes) if apply else []
        if html is not None:
            click.echo(f"Wrote {result.save(html)}.")
        if not apply:
            _echo_profile(result)
        elif not chosen:
            click.echo("The profile advises to change no index.")
        else:
            _apply(ctx, manager, chosen, yes=yes, confirm=confirm)


def _echo_profile(result: DatabaseProfile) -> None:
    click.secho(result.title, bold=True)
    for sentence in (*result.summary_text(), *result.notes, *result.caveats):
        click.echo(f"- {sentence}")
    others = [change for change in result.changes if not change.advised]
    if others:
        click.secho("Not advised, but possible by name:", bold=True)
    for change in others:
        click.echo(f"- {change.action} {change.index} of {change.table}. {change.reason}")


def _choose(result: DatabaseProfile, names: tuple[str, ...]) -> list[IndexChange]:
    if not names:
        return [change for change in result.changes if change.advised]
    changes = {change.index: change for change in result.changes}
    for name in names:
        if name not in changes:
            raise NotFoundError("index to drop or create", name, changes)
    return [changes[name] for name in dict.fromkeys(names)]


def _apply(
    ctx: click.Context,
    manager: DatabaseManager,
    changes: list[IndexChange],
    *,
    yes: bool,
    confirm: str | None,
) -> None:
    from synfin_analytics.reports.profile import apply_index_change

    confirm = ask_confirmation(manager.config, "change indexes", confirm)
    n_changed = 0
    for change in changes:
        if yes or click.confirm(f"{change.reason}\n{change.statement}?", err=True):
            apply_index_change(manager, change, confirm=confirm)
            click.echo(f"Done: {change.statement}")
            n_changed += 1
    if not n_changed:
        click.echo("Nothing was changed.")
        ctx.exit(1)


def _track_statements(manager: DatabaseManager, choice: str) -> None:
    from synfin_analytics.reports._statement_tracking import track_statements

    track_statements(manager, choice == "on")
    click.echo("The embedded server does so from its next start: run `synfin db stop`.")
