"""Write a snapshot: :func:`write_snapshot`.

All tables are read in one transaction of the isolation level REPEATABLE READ, so that they fit
together whatever others write meanwhile. The files are written to a folder next to the target,
which gets its name when it is complete and on the disk.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.database.logging import logger
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema import read_version, schema_of_tables
from synfin_analytics.exceptions import ArchiveError, ArgumentError, SchemaError
from synfin_analytics.io.archive._export import ROW_VERSION, Export
from synfin_analytics.io.archive._folder import (
    has_other_content,
    lock_folder,
    sync,
    translate_os_errors,
)
from synfin_analytics.io.archive._identity import read_identity
from synfin_analytics.io.archive._manifest import Manifest, Part, write_manifest
from synfin_analytics.io.archive._parts import write_part
from synfin_analytics.io.snapshot.snapshot import Snapshot, open_manifest

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

_MOMENT = text(
    "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), CASE WHEN "
    "pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
)


def write_snapshot(folder: str | Path, *, manager: DatabaseManager | None = None) -> Snapshot:
    """Copy all tables, as they are at one moment, to Parquet files in a folder.

    Others may write meanwhile: what they commit is not in the snapshot. The folder gets its name
    when all files are complete, so that a crash leaves no half of a snapshot.

    Parameters
    ----------
    folder
        New or empty folder.
    manager
        Database; the default manager's if there is none.

    Returns
    -------
    Snapshot
        Its tables as LazyFrames of polars.

    Raises
    ------
    ArchiveError
        The folder is not empty or cannot be written, or another process writes it at the moment.
    SchemaError
        The tables do not have the version of this package.

    Examples
    --------
    >>> import tempfile
    >>> from synfin_analytics import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     snapshot = write_snapshot(f"{folder}/march")
    ...     snapshot.to_frame("polars")["table"].to_list()[:3]
    ['customers', 'merchants', 'transactions']
    """
    if not isinstance(folder, str | Path):
        raise ArgumentError(
            f"`folder` must be the path of a folder; got an object of type {type(folder).__name__}."
        )
    folder = Path(folder).absolute()
    _check_target(folder)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with translate_os_errors(folder), lock_folder(unfinished):
        _empty(unfinished)  # a call that was killed
        is_complete = False
        try:
            manifest = _copy_tables(unfinished, manager or get_db_manager())
            _check_target(folder)  # another call may have been faster
            for path in {*unfinished.rglob("*"), unfinished}:
                if path.is_dir():
                    sync(path)
            unfinished.rename(folder)
            sync(folder.parent)
            is_complete = True
        finally:
            if not is_complete:
                shutil.rmtree(unfinished, ignore_errors=True)
    logger.info("snapshot: %d rows", sum(part.rows for part in manifest.parts))
    return open_manifest(folder, manifest)


def _check_target(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise ArchiveError(f"The folder {str(folder.parent)!r} must exist; create it first.")
    if (folder.exists() and not folder.is_dir()) or has_other_content(folder):
        raise ArchiveError(
            f"{str(folder)!r} must be a new or empty folder. A snapshot is never overwritten: "
            "choose another name. Nothing was changed."
        )


def _empty(folder: Path) -> None:
    for table in TABLES:
        shutil.rmtree(folder / table, ignore_errors=True)


def _copy_tables(folder: Path, manager: DatabaseManager) -> Manifest:
    with _translate_errors(), manager.session_scope(read_only=True) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        time, position = session.execute(_MOMENT).one()
        version = read_version(session.connection())
        if version.state != "current" or version.version is None:
            raise SchemaError(str(version))
        manifest = Manifest(
            "snapshot",
            read_identity(session),
            version.version,
            details={"time": time, "position": position},
        )
        driver: Any = session.connection().connection.driver_connection
        with driver.cursor() as cursor:
            schema = schema_of_tables(cursor)
        parts = tuple(_copy_table(folder, manifest, table, schema, session) for table in TABLES)
    return write_manifest(folder, Manifest(**{**vars(manifest), "parts": parts}))


def _copy_table(
    folder: Path, manifest: Manifest, table: str, schema: str, session: Session
) -> Part:
    export = Export(table, schema)
    with export.read(session) as (columns, batches):
        part = write_part(
            folder,
            manifest.next_path(table, None),
            table=table,
            month=None,
            schema=columns.remove(columns.get_field_index(ROW_VERSION)),
            batches=(batch.drop_columns([ROW_VERSION]) for batch in batches),
        )
    n_rows, _ = export.count(session)
    if n_rows != part.rows:
        raise ArchiveError(
            f"Row-level security or a fault hides rows of {table!r}: {n_rows:,} were counted and "
            f"{part.rows:,} read. Nothing was written."
        )
    return part


@contextlib.contextmanager
def _translate_errors() -> Any:
    try:
        yield
    except DBAPIError as error:
        cause = str(getattr(getattr(error.orig, "diag", None), "message_primary", None) or error)
        raise ArchiveError(f"PostgreSQL refuses: {cause}. Nothing was written.") from None
