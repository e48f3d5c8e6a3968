"""Move whole months of transactions from the database to a folder.

A month goes through these steps, and a process may end at any moment between two of them:

1. Its rows are exported from one snapshot to new files, which are synced, read back, and compared
   with checksums that PostgreSQL computes in the same snapshot.
2. The manifest lists them, with the month as ``deleting``. From now on the files are valid, and
   readers take a row that is in both halves from the database.
3. The exported rows are deleted in batches: only those that nobody has changed since.
4. If no row of the month is left, the manifest marks it as ``archived``.

The next call begins with step 1 for all rows that a month still has, whatever the reason: step 3
did not finish, rows were added or changed, or the month was restored. In step 2 the manifest then
lists the older files without these rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
from sqlalchemy import text

from synfin_analytics._core.arguments import argument_error, check_integer
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics.database.logging import logger
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.protection import require_confirmation
from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._database import (
    AGAIN,
    DELETED,
    UNCHANGED,
    archive_lock,
    check_database,
    schema_of,
    translate_database_errors,
)
from synfin_analytics.io.archive._delete import Deletion, vacuum
from synfin_analytics.io.archive._export import ROW_VERSION, Export
from synfin_analytics.io.archive._folder import (
    has_other_content,
    lock_folder,
    make_folders,
    partial_name,
    remove_unlisted,
    translate_os_errors,
)
from synfin_analytics.io.archive._identity import check_identity, read_identity
from synfin_analytics.io.archive._manifest import (
    ARCHIVED,
    PARENTS,
    Manifest,
    MonthState,
    Part,
    is_manifest_folder,
    read_manifest,
    write_manifest,
)
from synfin_analytics.io.archive._parts import check_part, write_part
from synfin_analytics.io.archive._report import ArchiveReport
from synfin_analytics.io.archive._rewrite import matching_parts, remove_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.archive._manifest import Identity

#: Rows that a transaction deletes: few enough that others wait only for moments.
BATCH_ROWS = 10_000
#: How often a month is exported in one call because its rows change meanwhile.
_MAX_ROUNDS = 5


def archive_transactions(
    folder: str | Path,
    before: str | dt.date,
    *,
    manager: DatabaseManager | None = None,
    batch_size: int = BATCH_ROWS,
    dry_run: bool = False,
    confirm: str | None = None,
) -> ArchiveReport:
    """Move whole months of transactions to Parquet files, with their features and predictions.

    The rows are exported exactly, read back and compared, and only then deleted from the database.
    If the call is interrupted at any moment, nothing is lost, and the next call goes on.

    Parameters
    ----------
    folder
        The archive; created if it does not exist. Each call adds to it.
    before
        Months (in UTC) before this one are archived: a string such as ``"2025-01"``, or the first
        day of a month. The current month is the latest.
    manager
        Database to archive; :func:`get_db_manager` by default.
    batch_size
        Number of rows that one transaction deletes.
    dry_run
        Change nothing, and return what would be archived.
    confirm
        Name of the database, which a protected database requires.

    Returns
    -------
    ArchiveReport
        Months, rows and durations.

    Raises
    ------
    ArchiveError
        The folder is not an archive of this database, a file differs from the database, the user
        lacks a privilege, or another process is archiving.
    ProtectedDatabaseError
        The database is protected, and ``confirm`` is not its name.
    ArgumentError
        ``before`` is not a month, or later than the current one.
    SchemaError
        The tables do not have the version of this package.

    Notes
    -----
    Customers and merchants stay in the database; the archive has a copy of those that the
    transactions refer to, so that it can be restored into another database.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from synfin_analytics import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> print(archive_transactions(mkdtemp(), before="1999-01"))
    There is nothing to archive.
    """
    require_thread_pool()
    end = parse_month(before)
    batch_size = check_integer(batch_size, "batch_size", minimum=1)
    folder = Path(folder)
    manager = manager or get_db_manager()
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(translate_database_errors(AGAIN))
        with translate_database_errors(UNCHANGED):
            lock = stack.enter_context(archive_lock(manager))
        # In a session of its own: the transaction of the lock must not lock tables.
        with translate_database_errors(UNCHANGED), manager.get_session() as session:
            schema = schema_of(session)
            version = check_database(session, schema)
            _check_end(session, end)
            identity = read_identity(session)
            manifest = _open_manifest(folder, identity, version)
            months = _months_to_archive(session, schema, manifest, end)
            if dry_run or not months:
                return _expected(session, schema, folder, months, dry_run=dry_run)
        require_confirmation(manager.config, "archive and delete transactions", confirm)
        with translate_os_errors(folder):
            stack.enter_context(lock_folder(folder))
            manifest = _open_manifest(folder, identity, version)  # nobody changes it any more
            if not is_manifest_folder(folder):  # from now on, our files are those of an archive
                manifest = write_manifest(folder, manifest)
            _remove_unlisted(folder)
            stack.callback(_remove_unlisted, folder)
        run = _Run(manager, lock, schema, folder, manifest, Deletion(manager, lock, batch_size))
        for month in months:
            run.archive(month)
        deletion = run.deletion
        specs = [Export(table, schema).spec for table in DELETED]
        vacuumed = all(vacuum(manager, spec) for spec in specs if deletion.deleted[spec.name])
        return ArchiveReport(
            folder,
            months,
            deletion.deleted,
            run.size,
            time.perf_counter() - started,
            deletion.longest,
            run.remaining,
            vacuumed=vacuumed,
        )


# -- Arguments ---------------------------------------------------------------------------------


def parse_month(before: object) -> dt.datetime:
    """Return the first moment of a month.

    Raises
    ------
    ArgumentError
        It is neither the name of a month nor its first day.

    Examples
    --------
    >>> parse_month("2025-02")
    datetime.datetime(2025, 2, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    must_be = 'a month such as "2025-01", or the first day of a month'
    moment: dt.date | None = None
    if isinstance(before, str):
        for layout in ("%Y-%m", "%Y-%m-%d"):
            with contextlib.suppress(ValueError):
                moment = dt.datetime.strptime(before.strip(), layout).replace(tzinfo=dt.UTC)
    elif isinstance(before, dt.datetime):
        moment = before.replace(tzinfo=before.tzinfo or dt.UTC).astimezone(dt.UTC)
    elif isinstance(before, dt.date):
        moment = dt.datetime(before.year, before.month, before.day, tzinfo=dt.UTC)
    if not isinstance(moment, dt.datetime) or moment != moment.replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    ):
        raise argument_error("before", must_be, before)
    return moment


def _check_end(session: Session, end: dt.datetime) -> None:
    now = session.execute(text("SELECT now()")).scalar_one().astimezone(dt.UTC)
    if end > now:
        raise argument_error(
            "before",
            f"at most the current month, {now:%Y-%m}, whose transactions are still coming in",
            f"{end:%Y-%m}",
        )


def _open_manifest(folder: Path, identity: Identity, version: str) -> Manifest:
    with translate_os_errors(folder):
        if not is_manifest_folder(folder):
            if folder.exists() and not folder.is_dir():
                raise ArchiveError(f"{str(folder)!r} must be a folder; it is a file.")
            if has_other_content(folder):
                raise ArchiveError(
                    f"The folder {str(folder)!r} must be empty or an archive; it has other files. "
                    "Nothing was changed."
                )
            return Manifest("archive", identity, version)
        manifest = read_manifest(folder)
    if manifest.kind != "archive":
        raise ArchiveError(
            f"The folder {str(folder)!r} must be an archive; it is a {manifest.kind}. "
            "Nothing was changed."
        )
    if manifest.schema_version > version:
        raise ArchiveError(
            f"The folder {str(folder)!r} has rows of version {manifest.schema_version} of the "
            f"tables, and the database has version {version}: run `synfin db upgrade`. "
            "Nothing was changed."
        )
    check_identity(folder, manifest.identity, identity)
    missing = [part.path for part in manifest.parts if not (folder / part.path).is_file()]
    if missing:
        raise ArchiveError(
            f"The file {missing[0]!r} of the archive {str(folder)!r} is missing. Restore it from a "
            "backup. Nothing was changed."
        )
    return dataclasses.replace(manifest, schema_version=version)


def _remove_unlisted(folder: Path) -> None:
    """Remove files of an interrupted call, as far as the file system allows it."""
    with contextlib.suppress(OSError):
        listed = read_manifest(folder).paths() if is_manifest_folder(folder) else set()
        remove_unlisted(folder, ARCHIVED, listed)


def _months_to_archive(
    session: Session, schema: str, manifest: Manifest, end: dt.datetime
) -> dict[str, int]:
    """Return the number of transactions of each month; 0 if only the manifest is behind."""
    table = Export("transactions", schema).spec.qualified()
    query = text(
        "SELECT to_char(\"timestamp\" AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) "  # noqa: S608
        f'FROM {table} WHERE "timestamp" < :end AND "timestamp" >= \'0001-01-01 00:00+00\' '
        "GROUP BY 1 ORDER BY 1"
    )
    months: dict[str, int] = dict(session.execute(query, {"end": end}).all())
    unfinished = [month for month, state in manifest.months.items() if state == "deleting"]
    return dict(sorted((dict.fromkeys(unfinished, 0) | months).items()))


def _expected(
    session: Session, schema: str, folder: Path, months: dict[str, int], *, dry_run: bool
) -> ArchiveReport:
    rows = dict.fromkeys(DELETED, 0)
    size = 0.0
    for table in DELETED if months else ():
        rows[table] = sum(Export(table, schema, month).count(session)[0] for month in months)
        query = text(
            "SELECT pg_table_size(c.oid), greatest(c.reltuples, :rows, 1) FROM pg_class c "
            "WHERE c.oid = to_regclass(:table)"
        )
        values = {"table": Export(table, schema).spec.qualified(), "rows": rows[table]}
        n_bytes, n_rows = session.execute(query, values).one()
        size += n_bytes * rows[table] / n_rows
    return ArchiveReport(folder, months, rows, round(size), dry_run=dry_run)


# -- Months ------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Run:
    """One call that archives months."""

    manager: DatabaseManager
    lock: Session
    schema: str
    folder: Path
    manifest: Manifest
    deletion: Deletion
    #: Bytes of new files.
    size: int = 0
    remaining: dict[str, int] = dataclasses.field(default_factory=dict)

    def archive(self, month: str) -> None:
        """Archive the rows that a month has."""
        for _ in range(_MAX_ROUNDS):
            with contextlib.ExitStack() as stack:
                versions = self._export(month, stack)
                if not versions:
                    self.remaining.pop(month, None)
                    if month in self.manifest.months:
                        self._write_manifest(self.manifest, month, "archived")
                    return
                for table in DELETED:
                    self.deletion.delete(Export(table, self.schema).spec, versions[table])
            self.remaining[month] = self._count(month)
            if not self.remaining[month]:
                del self.remaining[month]
                self._write_manifest(self.manifest, month, "archived")
                return
        logger.warning("archive: transactions of %s keep changing; archive again", month)

    def _count(self, month: str) -> int:
        with self.manager.get_session() as session:
            return Export("transactions", self.schema, month).count(session)[0]

    def _write_manifest(self, manifest: Manifest, month: str, state: MonthState) -> None:
        listed = self.manifest.paths()
        self.size += sum(part.size for part in manifest.parts if part.path not in listed)
        months = dict(sorted((manifest.months | {month: state}).items()))
        with translate_os_errors(self.folder):
            self.manifest = write_manifest(
                self.folder, dataclasses.replace(manifest, months=months)
            )
            for path in listed - manifest.paths():
                (self.folder / path).unlink(missing_ok=True)

    def _export(self, month: str, stack: contextlib.ExitStack) -> dict[str, Path]:
        """Export and check all rows of a month, and list the files in the manifest.

        Returns
        -------
        dict
            By table, a file with keys and versions of the rows; empty if the month has no rows.
        """
        manifest = self.manifest
        versions: dict[str, Path] = {}
        with self.manager.get_session() as session, session.begin():
            session.connection(
                execution_options={
                    "isolation_level": "REPEATABLE READ",
                    "postgresql_readonly": True,
                }
            )
            session.execute(text("SET LOCAL row_security = off"))
            if not Export("transactions", self.schema, month).count(session)[0]:
                return {}
            for table in ARCHIVED:
                export = Export(table, self.schema, month)
                if table in PARENTS:
                    part = self._write_parents(session, export, manifest)
                else:
                    path = manifest.next_path(table, month)
                    versions[table] = partial_name(self.folder / path, "-keys")
                    stack.callback(versions[table].unlink, missing_ok=True)
                    part = self._write_rows(session, export, path, versions[table])
                manifest = self._replace(manifest, part, versions.get(table))
        self._write_manifest(manifest, month, "deleting")
        return versions

    def _write_rows(self, session: Session, export: Export, path: str, versions: Path) -> Part:
        key = [export.spec.primary_key, *(("timestamp",) if export.table == "transactions" else ())]
        with export.read(session) as (schema, batches), contextlib.ExitStack() as stack:
            key_schema = schema.empty_table().select([*key, ROW_VERSION]).schema
            with translate_os_errors(self.folder):
                make_folders(versions.parent)
                writer = stack.enter_context(pq.ParquetWriter(versions, key_schema))

            def rows() -> Iterator[pa.RecordBatch]:
                for batch in batches:
                    writer.write_batch(batch.select([*key, ROW_VERSION]))
                    yield batch.drop_columns([ROW_VERSION])

            part = write_part(
                self.folder,
                path,
                table=export.table,
                month=export.month,
                schema=schema.remove(schema.get_field_index(ROW_VERSION)),
                batches=rows(),
                has_checksums=False,
            )
        n_rows, amount = export.count(session)
        if part.rows != n_rows or (part.rows and part.amount != amount):
            raise self._mismatch(part, [f"{n_rows:,} rows and amounts of {amount} were expected"])
        part = dataclasses.replace(part, columns=export.checksums(session))
        self._check(part)
        return part

    def _write_parents(self, session: Session, export: Export, manifest: Manifest) -> Part:
        """Write the customers or merchants of a month that the archive does not have yet."""
        key = export.spec.primary_key
        listed = [self.folder / part.path for part in manifest.parts_of(export.table)]
        known = pl.Series(key, [], pl.String)
        if listed:
            known = pl.read_parquet(listed, columns=[key], hive_partitioning=False)[key]

        with export.read(session) as (schema, batches):

            def rows() -> Iterator[pa.RecordBatch]:
                for batch in batches:
                    keys = pl.Series(key, batch.column(key).to_pylist(), pl.String)
                    is_new = ~keys.is_in(known.implode())
                    yield batch.drop_columns([ROW_VERSION]).filter(is_new.to_arrow())

            part = write_part(
                self.folder,
                manifest.next_path(export.table, export.month),
                table=export.table,
                month=export.month,
                schema=schema.remove(schema.get_field_index(ROW_VERSION)),
                batches=rows(),
            )
        self._check(part)
        return part

    def _check(self, part: Part) -> None:
        """Raise unless a file, read back, has the values that PostgreSQL has."""
        problems = check_part(self.folder, part)
        if problems:
            raise self._mismatch(part, problems)

    def _mismatch(self, part: Part, problems: list[str]) -> ArchiveError:
        with contextlib.suppress(OSError):
            (self.folder / part.path).unlink(missing_ok=True)
        return ArchiveError(
            f"{part.table} of {part.month}: the file differs from the database ({problems[0]}); "
            f"nothing of it was deleted. {AGAIN}"
        )

    def _replace(self, manifest: Manifest, part: Part, versions: Path | None) -> Manifest:
        """List a new file instead of the rows with the same keys in older ones."""
        if not part.rows:
            (self.folder / part.path).unlink()
            return manifest
        if versions is not None and manifest.parts_of(part.table):
            key = Export(part.table, self.schema).spec.primary_key
            keys = pl.read_parquet(versions, columns=[key])[key]
            older = matching_parts(self.folder, manifest, part.table, key, keys)
            listed = dataclasses.replace(manifest, parts=(*manifest.parts, part))
            return remove_rows(self.folder, listed, older, key, keys)
        return dataclasses.replace(manifest, parts=(*manifest.parts, part))
