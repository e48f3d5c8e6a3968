"""Whether a folder and a database belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._manifest import Identity

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session


def read_identity(connection: Connection | Session) -> Identity:
    """Read the identity of a database; its standbys have the same."""
    name, oid, may_ask = connection.execute(
        text(
            "SELECT datname, oid, has_function_privilege('pg_control_system()', 'EXECUTE') "
            "FROM pg_database WHERE datname = current_database()"
        )
    ).one()
    identifier = ""
    if may_ask:
        query = text("SELECT system_identifier::text FROM pg_control_system()")
        identifier = connection.execute(query).scalar_one()
    return Identity(identifier, name, oid)


def check_identity(folder: object, archived: Identity, current: Identity) -> None:
    """Raise unless a folder was written from this database.

    Raises
    ------
    ArchiveError
        It was written from another one.
    """
    if archived != current:
        raise ArchiveError(
            f"The folder {str(folder)!r} must be of the database {current}; it was written from "
            f"{archived}. If that is the same database, before pg_upgrade or a restored dump, run "
            "`synfin db archive --adopt` with this folder. Nothing was changed."
        )
