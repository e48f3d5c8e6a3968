"""Alembic's connection to the database, and what it compares with the models."""

from __future__ import annotations

from logging.config import fileConfig
from typing import TYPE_CHECKING

from alembic import context

from synfin_analytics.database import schema
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import Base

if TYPE_CHECKING:
    from alembic.operations import MigrationScript
    from sqlalchemy.engine import Connection

config = context.config


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


def run(connection: Connection) -> None:
    """Run Alembic's command on ``connection`` and in its transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        process_revision_directives=number_revision,
        include_name=is_our_table,
        include_object=is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():  # alembic upgrade head --sql
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif "connection" in config.attributes:  # from synfin_analytics.database.schema
    run(config.attributes["connection"])
else:
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    manager = DatabaseManager()
    try:
        with schema.migration_transaction(manager) as connection:
            run(connection)
    finally:
        manager.close()
