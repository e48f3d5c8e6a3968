"""``synfin db``: create, upgrade and inspect the database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from synfin_analytics.cli._common import (
    ask_confirmation,
    confirm_option,
    echo_warning,
    open_database,
)
from synfin_analytics.cli._db_archive import archive
from synfin_analytics.cli._db_profile import profile
from synfin_analytics.cli._erasure import erase_customer, pseudonymise_customer
from synfin_analytics.exceptions import (
    ArgumentError,
    ConfigurationError,
    DatabaseConnectionError,
)

if TYPE_CHECKING:
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.schema import SchemaVersion


@click.group()
def db() -> None:
    """Create, upgrade and inspect the database."""


db.add_command(archive)
db.add_command(erase_customer)
db.add_command(pseudonymise_customer)
db.add_command(profile)


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Create the tables, or upgrade them.

    REVISION is a schema version, +1 for one step, or head for the newest (default). All steps run
    in one transaction: if one fails, nothing changes.
    """
    from synfin_analytics.database import schema

    with open_database() as manager:
        before = schema.check_version(manager)
        after = schema.upgrade(manager, revision)
        if after == before.version:
            click.echo(f"{_place(manager)}: already at version {after}.")
        else:
            click.echo(f"{_place(manager)}: upgraded from {_version(before.version)} to {after}.")


@db.command(context_settings={"ignore_unknown_options": True})  # "-1" is not an option
@click.argument("revision", default="-1")
@click.option(
    "--yes", is_flag=True, help="Do not ask for confirmation, unless the database is protected."
)
@confirm_option
@click.pass_context
def downgrade(ctx: click.Context, revision: str, yes: bool, confirm: str | None) -> None:
    """Downgrade the tables to an older version.

    REVISION is a schema version, -1 for one step (default), or base to drop all tables. Data that
    the older version cannot store is lost.
    """
    from synfin_analytics.database import schema

    with open_database() as manager:
        before = schema.check_version(manager)
        if not before.tables:
            click.echo(str(before))
            return
        confirm = ask_confirmation(manager.config, schema.DOWNGRADE, confirm)
        if not (yes or confirm) and not _confirm(manager, before, revision):
            click.echo("Nothing was changed.")
            ctx.exit(1)
        after = schema.downgrade(manager, revision, confirm=confirm)
        click.echo(
            f"{_place(manager)}: downgraded from version {before.version} to {_version(after)}."
        )


def _confirm(manager: DatabaseManager, before: SchemaVersion, revision: str) -> bool:
    click.echo(f"{_place(manager)} is at version {before.version} and contains:")
    _echo_rows(manager, before)
    return click.confirm(
        f"Downgrade to {revision} and lose the rows and columns that it does not have?", err=True
    )


@db.command()
def current() -> None:
    """Show the schema version of the database."""
    from synfin_analytics.database import schema

    with open_database() as manager:
        click.echo(str(schema.check_version(manager)))


@db.command()
def history() -> None:
    """List the schema versions of this package."""
    from synfin_analytics.database import schema

    for version in schema.history():
        click.echo(f"{version.revision}  {version.summary}")


@db.command()
def status() -> None:
    """Show the environment, location, schema version and size of the database."""
    from synfin_analytics.database import schema
    from synfin_analytics.database.config import DatabaseConfig

    config = DatabaseConfig.from_env()
    _echo_environment(config)
    if config.embedded and not _echo_embedded(config):
        return
    with open_database() as manager, schema.translate_errors():
        if not config.embedded:
            _echo_server(manager)
        version = schema.check_version(manager)
        click.echo(f"Schema     {version}")
        if version.tables:
            _echo_rows(manager, version)


def _echo_environment(config: DatabaseConfig) -> None:
    """Print the selected environment, its file, and what protects the database."""
    from synfin_analytics.database.config import find_environment_file, find_protection

    if config.environment is not None:
        file = find_environment_file(config.environment)
        click.echo(f"Settings   environment {config.environment!r} of {file}")
    protection = find_protection(config)
    if protection is not None:
        click.echo(f"Protected  yes, by {protection}")
    elif config.environment is not None:
        click.echo("Protected  no")


def _echo_embedded(config: DatabaseConfig) -> bool:
    """Print the status of the embedded server; return whether it has been created."""
    from synfin_analytics.database import embedded

    server = embedded.status(config.data_dir)
    click.echo(f"Database   {config.database!r}, embedded PostgreSQL {server.version}")
    click.echo(f"Data       {server.data_dir}")
    if not server.data_dir.exists():
        click.echo("Running    no; it is created on first use, for example by `synfin db upgrade`")
        return False
    users = "" if server.users is None else f", used by {_processes(server.users)}"
    running = f"yes, process {server.pid}{users}" if server.running else "no; it starts on use"
    click.echo(f"Running    {running}")
    if server.socket_dir is not None:
        click.echo(f"Socket     {server.socket_dir}")
    click.echo(f"Size       {_format_bytes(server.size)}")
    return True


def _echo_server(manager: DatabaseManager) -> None:
    from sqlalchemy import text

    query = text(
        "SELECT current_user, current_setting('server_version'), "
        "pg_database_size(current_database()), (SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid())"
    )
    report = manager.health_check()
    if report:
        with manager.engine.connect() as connection:
            user, version, size, n_other_sessions = connection.execute(query).one()
        click.echo(f"Database   {manager.config.database!r}, PostgreSQL {version.split()[0]}")
    click.echo(f"Server     {report.primary.server}{'' if report else ', does not answer'}")
    for replica in report.replicas:
        click.echo(f"Replica    {replica.server}, {replica.condition}")
    if not report:
        raise DatabaseConnectionError(report.primary.reason)
    click.echo(f"User       {user}")
    click.echo(f"Size       {_format_bytes(size)}, {n_other_sessions} other connections")


@db.command()
@click.option("--force", is_flag=True, help="Stop the server even if processes use it.")
def stop(force: bool) -> None:
    """Stop the embedded server.

    The server stops automatically when the last process that uses it ends. Use this command if it
    hangs, or before you copy its folder. A server in use is only stopped with --force.
    """
    from synfin_analytics.database import embedded
    from synfin_analytics.database.config import DatabaseConfig

    config = DatabaseConfig.from_env()
    if not config.embedded:
        raise ConfigurationError(
            f"`synfin db stop` stops only the embedded server; the environment selects "
            f"{config.place}. Unset DB_HOST and DATABASE_URL to select the embedded server."
        )
    stopped = embedded.stop(config.data_dir, force=force)
    click.echo("Stopped." if stopped else "The embedded server is not running.")


@db.command()
@click.argument("role")
@click.option("--login", is_flag=True, help="Allow the role to log in; prompts for its password.")
@click.option(
    "--password-env",
    metavar="VARIABLE",
    help="Environment variable that contains the password for --login.",
)
@click.option(
    "--with-personal-data",
    is_flag=True,
    help="Include names, addresses, card and device numbers.",
)
def grant(role: str, login: bool, password_env: str | None, with_personal_data: bool) -> None:
    """Grant ROLE read access to the tables, and nothing else.

    The role is created if it does not exist. Columns with personal data of card holders are
    excluded. Grants do not extend to tables of later versions: run this again after an upgrade.
    """
    from synfin_analytics.database.grants import grant_read

    password = _password(role, password_env) if login or password_env else None
    with open_database() as manager:
        result = grant_read(manager, role, personal_data=with_personal_data, password=password)
        subject = "New role" if result.created else "Role"
        click.echo(f"{subject} {role!r} can read the tables of {manager.config.place}.")
        for table, columns in result.hidden.items():
            click.echo(f"  Excluded from {table}: {', '.join(columns)}")
        for warning in result.warnings:
            echo_warning(warning)


def _password(role: str, variable: str | None) -> str:
    if variable is None:
        answer: str = click.prompt(
            f"Password of {role}", hide_input=True, confirmation_prompt=True, err=True
        )
        return answer
    password = os.environ.get(variable)
    if not password:
        raise ArgumentError(
            f"The environment variable of --password-env must be set; {variable} is not."
        )
    return password


# -- Formatting ------------------------------------------------------------------------------------

_MAX_COUNTED_BYTES = 64 * 2**20  # a table of this size is counted in an instant


def _echo_rows(manager: DatabaseManager, version: SchemaVersion) -> None:
    """Print the rows of each table: counted if that is fast, else the planner's estimate."""
    from sqlalchemy import text

    size = text(
        "SELECT pg_relation_size(oid), "
        "greatest(coalesce(nullif(pg_stat_get_live_tuples(oid), 0), reltuples), 0)::bigint "
        "FROM pg_class WHERE oid = to_regclass(:name)"
    )
    with manager.engine.connect() as connection:
        for table in version.tables:
            n_bytes, n_rows = connection.execute(size, {"name": table}).one()
            about = "about "
            if n_bytes <= _MAX_COUNTED_BYTES:
                query = text(f"SELECT count(*) FROM {table}")  # noqa: S608 - one of our names
                n_rows, about = connection.execute(query).scalar_one(), ""
            click.echo(f"  {table:<20}{f'{about}{n_rows:,}':>18} rows")


def _place(manager: DatabaseManager) -> str:
    place = manager.config.place
    return place[0].upper() + place[1:]


def _version(version: str | None) -> str:
    return "no tables" if version is None else f"version {version}"


def _processes(users: list[int]) -> str:
    if not users:
        return "no process"
    return f"process{'es' if len(users) > 1 else ''} {', '.join(map(str, users))}"


def _format_bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GB"
