"""Let an archive go with a database whose identity has changed: :func:`adopt_archive`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from sqlalchemy import text

from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._database import (
    UNCHANGED,
    archive_lock,
    schema_of,
    translate_database_errors,
)
from synfin_analytics.io.archive._delete import array_literal
from synfin_analytics.io.archive._export import Export
from synfin_analytics.io.archive._folder import lock_folder, translate_os_errors
from synfin_analytics.io.archive._identity import read_identity
from synfin_analytics.io.archive._manifest import read_manifest, write_manifest
from synfin_analytics.io.archive._parts import read_part

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.archive._manifest import Manifest


def adopt_archive(folder: str | Path, *, manager: DatabaseManager | None = None) -> None:
    """Let an archive or a snapshot go with a database that has another identity now.

    After ``pg_upgrade``, or after a dump that was restored elsewhere, the server has another
    identity, and the folder is refused. Only you know that the database is the same one: the call
    checks that none of the archived transactions is in it.

    Parameters
    ----------
    folder
        The archive or snapshot, whose manifest is changed.
    manager
        The database; :func:`get_db_manager` by default.

    Raises
    ------
    ArchiveError
        An archived transaction is in the database, too, or the folder cannot be used.

    Examples
    --------
    >>> adopt_archive("no_such_folder")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArchiveError: There is no folder 'no_such_folder'.
    """
    folder = Path(folder)
    read_manifest(folder)
    manager = manager or get_db_manager()
    with (
        translate_database_errors(UNCHANGED),
        archive_lock(manager) as session,
        translate_os_errors(folder),
        lock_folder(folder),
    ):
        manifest = read_manifest(folder)  # nobody changes it any more
        if manifest.kind == "archive":
            _require_apart(session, folder, manifest)
        write_manifest(folder, dataclasses.replace(manifest, identity=read_identity(session)))


def _require_apart(session: Session, folder: Path, manifest: Manifest) -> None:
    """Raise if the database has a transaction of the archive."""
    session.execute(text("SET LOCAL row_security = off"))  # hidden rows would seem to be absent
    table = Export("transactions", schema_of(session)).spec.qualified()
    query = text(
        f"SELECT count(*) FROM {table} WHERE transaction_id = ANY(CAST(:keys AS text[]))"  # noqa: S608
    )
    count = 0
    for part in manifest.parts_of("transactions"):
        for batch in read_part(folder, part, ["transaction_id"]):
            keys = pl.Series(batch.column("transaction_id").to_pylist(), dtype=pl.String)
            count += session.execute(query, {"keys": array_literal(keys)}).scalar_one()
    if count:
        raise ArchiveError(
            f"None of the transactions of the archive {str(folder)!r} may be in the database; "
            f"{count:,} are. If it is their database, run `synfin load {folder}`, which compares "
            "them and restores all others, and archive them to a new folder. Nothing was changed."
        )
