"""Alembic's connection to the database, and what it compares with the models."""

from __future__ import annotations

import functools
from logging.config import fileConfig
from typing import TYPE_CHECKING, Any

from alembic import context
from alembic.util import CommandError

from synfin_analytics.database import schema
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import Base
from synfin_analytics.database.protection import config_of, require_confirmation
from synfin_analytics.exceptions import ProtectedDatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.operations import MigrationScript
    from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
    from sqlalchemy.engine import Connection

config = context.config

Steps = list["RevisionStep | StampStep"]


def confirmed_steps(
    find_steps: Callable[..., Steps], versions: tuple[str, ...], migration: MigrationContext
) -> Steps:
    """Return the steps of a command; refuse those back to an older version if need be."""
    steps = list(find_steps(versions, migration))
    if not all(step.is_upgrade for step in steps) and migration.connection is not None:
        arguments = context.get_x_argument(as_dictionary=True)
        try:
            require_confirmation(
                config_of(migration.connection), schema.DOWNGRADE, arguments.get("confirm")
            )
        except ProtectedDatabaseError as error:
            raise CommandError(
                f"{error} With Alembic's command: alembic -x confirm={error.database} …"
            ) from None
    return steps


def number_revision(_context: object, _revision: object, directives: list[MigrationScript]) -> None:
    """Give a new revision the next number, unless ``--rev-id`` sets it."""
    if directives and getattr(config.cmd_opts, "rev_id", None) is None:
        latest = context.script.get_current_head() or "0"
        directives[0].rev_id = f"{int(latest) + 1:04d}"


def is_our_table(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether to compare an object of the database: of the tables, only the package's."""
    return kind != "table" or name in Base.metadata.tables


def is_ours(_item: object, _name: object, _kind: str, reflected: bool, model: object) -> bool:
    """Ignore what only the database has: an index or a column may belong to another program.

    What was removed from a model must therefore be dropped by hand; a test compares the catalogs.
    """
    return not reflected or model is not None


def run(connection: Connection, *, confirmed: bool) -> None:
    """Run Alembic's command on ``connection`` and in its transaction."""
    options: dict[str, Any] = {
        "connection": connection,
        "target_metadata": Base.metadata,
        "process_revision_directives": number_revision,
        "include_name": is_our_table,
        "include_object": is_ours,
    }
    context.configure(**options)
    if not confirmed:
        find_steps = context.get_context().opts["fn"]
        context.configure(**options, fn=functools.partial(confirmed_steps, find_steps))
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():  # alembic upgrade head --sql
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif "connection" in config.attributes:  # from synfin_analytics.database.schema
    run(config.attributes["connection"], confirmed=True)
else:
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    manager = DatabaseManager()
    try:
        with schema.migration_transaction(manager) as connection:
            run(connection, confirmed=False)
    finally:
        manager.close()
