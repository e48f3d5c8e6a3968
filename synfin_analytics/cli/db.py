"""``synfin db``: create, upgrade and look after the database."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from synfin_analytics.exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.schema import SchemaVersion


@click.group()
def db() -> None:
    """Create, upgrade and look after the database."""


@contextlib.contextmanager
def _open() -> Iterator[DatabaseManager]:
    """Open the database of the environment for one command."""
    from synfin_analytics.database.manager import DatabaseManager

    manager = DatabaseManager()
    try:
        yield manager
    finally:
        manager.close()


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Create the tables, or bring them up to date.

    REVISION is a version of the tables, +1 for one step, or head (the newest; the default). All
    steps are one transaction: if one fails, nothing is changed.
    """
    from synfin_analytics.database import schema

    with _open() as manager:
        before = schema.check_version(manager)
        after = schema.upgrade(manager, revision)
        if after == before.found:
            click.echo(f"{_place(manager)}: already at version {after}.")
        else:
            click.echo(f"{_place(manager)}: upgraded from {_version(before.found)} to {after}.")


@db.command(context_settings={"ignore_unknown_options": True})  # "-1" is no option
@click.argument("revision", default="-1")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def downgrade(ctx: click.Context, revision: str, yes: bool) -> None:
    """Go back to an older version of the tables.

    REVISION is a version of the tables, -1 for one step (the default), or base for no tables at
    all. Data that the older version has no place for are lost.
    """
    from synfin_analytics.database import schema

    with _open() as manager:
        before = schema.check_version(manager)
        if not before.tables:
            click.echo(str(before))
            return
        if not yes and not _agreed(manager, before, revision):
            click.echo("Nothing was changed.")
            ctx.exit(1)
        after = schema.downgrade(manager, revision)
        click.echo(f"{_place(manager)}: went from {before.found} back to {_version(after)}.")


def _agreed(manager: DatabaseManager, before: SchemaVersion, revision: str) -> bool:
    click.echo(f"{_place(manager)} is at version {before.found} and holds:")
    _echo_rows(manager, before)
    return click.confirm(
        f"Go back to {revision}, and lose the rows and columns that are not in it?", err=True
    )


@db.command()
def current() -> None:
    """Show the version of the tables."""
    from synfin_analytics.database import schema

    with _open() as manager:
        click.echo(str(schema.check_version(manager)))


@db.command()
def history() -> None:
    """List the versions of the tables that this package knows."""
    from synfin_analytics.database import schema

    for one in schema.history():
        click.echo(f"{one.revision}  {one.summary}")


@db.command()
def status() -> None:
    """Show where the database is, its version and how full it is."""
    from synfin_analytics.database import schema
    from synfin_analytics.database.config import DatabaseConfig

    config = DatabaseConfig.from_env()
    if config.embedded and not _echo_embedded(config):
        return
    with _open() as manager, schema.refusals_in_words():
        if not config.embedded:
            _echo_server(manager)
        version = schema.check_version(manager)
        click.echo(f"Schema     {version}")
        if version.tables:
            _echo_rows(manager, version)


def _echo_embedded(config: DatabaseConfig) -> bool:
    """Describe the embedded server as it is now; False if there is nothing in it yet."""
    from synfin_analytics.database import embedded

    found = embedded.status(config.data_dir)
    click.echo(f"Database   {config.database!r}, embedded PostgreSQL {found.version}")
    click.echo(f"Data       {found.data_dir}")
    if not found.data_dir.exists():
        click.echo("Running    no: it is created at first use, as by `synfin db upgrade`")
        return False
    users = "" if found.users is None else f", used by {_processes(found.users)}"
    running = f"yes, process {found.pid}{users}" if found.running else "no: it starts when used"
    click.echo(f"Running    {running}")
    if found.socket_dir is not None:
        click.echo(f"Socket     {found.socket_dir}")
    click.echo(f"Size       {_bytes(found.size)}")
    return True


def _echo_server(manager: DatabaseManager) -> None:
    from sqlalchemy import text

    query = text(
        "SELECT current_user, current_setting('server_version'), "
        "pg_database_size(current_database()), (SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid())"
    )
    with manager.engine.connect() as connection:
        user, version, size, others = connection.execute(query).one()
    click.echo(f"Database   {manager.config.database!r}, PostgreSQL {version.split()[0]}")
    click.echo(f"Server     {manager.config.host}:{manager.config.port}")
    click.echo(f"User       {user}")
    click.echo(f"Size       {_bytes(size)}, {others} other connections")


@db.command()
@click.option("--force", is_flag=True, help="Stop it under the feet of those who use it.")
def stop(force: bool) -> None:
    """Stop the embedded server.

    It stops by itself when the last process that uses it ends; this is for one that hangs, or
    before its folder is copied. In use, it is stopped with --force only.
    """
    from synfin_analytics.database import embedded
    from synfin_analytics.database.config import DatabaseConfig

    config = DatabaseConfig.from_env()
    if not config.embedded:
        raise ConfigurationError(
            f"The environment names {config.place}: only the embedded server is ours to stop. "
            "Unset DB_HOST and DATABASE_URL to mean that one."
        )
    stopped = embedded.stop(config.data_dir, force=force)
    click.echo("Stopped." if stopped else "The embedded server does not run.")


@db.command()
@click.argument("role")
@click.option("--login", is_flag=True, help="Let the role log in; asks for its password.")
@click.option(
    "--password-env", metavar="VARIABLE", help="Environment variable with the password for --login."
)
@click.option(
    "--with-personal-data",
    is_flag=True,
    help="Let it read names, addresses, card and device numbers too.",
)
def grant(role: str, login: bool, password_env: str | None, with_personal_data: bool) -> None:
    """Let ROLE read the tables, and nothing else.

    The role is created if there is none. Columns with card holders' personal data are left out,
    and so are tables that a later version may bring: grant again after an upgrade.
    """
    from synfin_analytics.database.grants import grant_read

    password = _password(role, password_env) if login or password_env else None
    with _open() as manager:
        done = grant_read(manager, role, personal_data=with_personal_data, password=password)
        who = "New role" if done.created else "Role"
        click.echo(f"{who} {role!r} may read the tables of {_place(manager, capital=False)}.")
        for table, columns in done.hidden.items():
            click.echo(f"  Not in {table}: {', '.join(columns)}")
        for warning in done.warnings:
            click.secho(f"Warning: {warning}", fg="yellow", err=True)


def _password(role: str, variable: str | None) -> str:
    if variable is None:
        typed: str = click.prompt(
            f"Password of {role}", hide_input=True, confirmation_prompt=True, err=True
        )
        return typed
    password = os.environ.get(variable)
    if not password:
        raise ArgumentError(f"The variable {variable} that --password-env names is not set.")
    return password


# -- Words ------------------------------------------------------------------------------------

_COUNT_UP_TO = 64 * 2**20  # bytes of a table that is counted in a blink


def _echo_rows(manager: DatabaseManager, version: SchemaVersion) -> None:
    """Print the rows of each table: counted where that is quick, else the planner's estimate."""
    from sqlalchemy import text

    size = text(
        "SELECT pg_relation_size(oid), "
        "greatest(coalesce(nullif(pg_stat_get_live_tuples(oid), 0), reltuples), 0)::bigint "
        "FROM pg_class WHERE oid = to_regclass(:name)"
    )
    with manager.engine.connect() as connection:
        for table in version.tables:
            taken, rows = connection.execute(size, {"name": table}).one()
            about = "about "
            if taken <= _COUNT_UP_TO:
                query = text(f"SELECT count(*) FROM {table}")  # noqa: S608 - one of our names
                rows, about = connection.execute(query).scalar_one(), ""
            click.echo(f"  {table:<20}{f'{about}{rows:,}':>18} rows")


def _place(manager: DatabaseManager, *, capital: bool = True) -> str:
    place = manager.config.place
    return place[0].upper() + place[1:] if capital else place


def _version(found: str | None) -> str:
    return "no tables" if found is None else f"version {found}"


def _processes(users: list[int]) -> str:
    if not users:
        return "no process"
    return f"process{'es' if len(users) > 1 else ''} {', '.join(map(str, users))}"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GB"
