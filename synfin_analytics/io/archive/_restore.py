"""Rows of a folder back into the database, exactly as they were."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from psycopg2 import sql

from synfin_analytics._core.validation.outcome import rejected_cells
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import TABLES, model_of
from synfin_analytics.database.schema import schema_of_tables
from synfin_analytics.exceptions import ArchiveError, LoadError
from synfin_analytics.io.archive._manifest import PARENTS, read_manifest
from synfin_analytics.io.archive._parts import check_part, read_part
from synfin_analytics.io.load._copy import (
    advance_sequence,
    copy_rows,
    create_stage,
    drop_table,
    join_names,
)
from synfin_analytics.io.load._transaction import load_transaction
from synfin_analytics.io.load.types import LoadReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.models import Base


def restore(
    folder: str | Path,
    table: str | type[Base] | None,
    *,
    session: Session | None,
    manager: DatabaseManager | None,
) -> dict[str, LoadReport]:
    """Load all tables of an archive or a snapshot, or one, in one transaction.

    Rows that the database has are skipped. Customers and merchants may have changed since; other
    rows must be the same.

    Raises
    ------
    ArchiveError
        A file is missing or damaged, or has columns that the table does not have.
    LoadError
        The database has a row with the same key and other values; or as in ``load_df``.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    names = list(TABLES) if table is None else [model_of(table).__tablename__]
    parts = [part for name in names for part in manifest.parts_of(name)]
    for part in parts:
        known = TABLES[part.table].__table__.columns.keys()
        unknown = [name for name in part.columns if name not in known]
        if unknown:
            raise ArchiveError(
                f"The folder {str(folder)!r} has the column {unknown[0]!r} of {part.table!r}, "
                f"from version {manifest.schema_version} of the tables. Upgrade this package. "
                "Nothing was loaded."
            )
        problems = check_part(folder, part)
        if problems:
            raise ArchiveError(f"The folder {str(folder)!r}: {problems[0]}. Nothing was loaded.")
    reports: dict[str, LoadReport] = {}
    with load_transaction(session, manager, names[0] if table else "transactions") as cursor:
        schema = schema_of_tables(cursor)
        for name in names:
            started = time.perf_counter()
            spec = dataclasses.replace(spec_of(TABLES[name]), schema=schema)
            inserted = total = 0
            for part in manifest.parts_of(name):
                for batch in read_part(folder, part):
                    frame = pl.DataFrame(batch)
                    inserted += _insert(cursor, spec, frame)
                    total += frame.height
            if inserted and spec.serial:
                advance_sequence(cursor, spec)
            if total or table:
                reports[name] = LoadReport(
                    name,
                    inserted,
                    0,
                    total - inserted,
                    rejected_cells([]).to_pandas(),
                    time.perf_counter() - started,
                )
    return reports


def _insert(cursor: Cursor, spec: TableSpec, frame: pl.DataFrame) -> int:
    """Insert the rows whose key the table does not have; return their number."""
    names = frame.columns
    stage = create_stage(cursor, spec, f"synfin_restore_{spec.name}", join_names(names))
    copy_rows(cursor, stage, frame, spec)
    parts = {
        "table": spec.identifier(),
        "stage": stage,
        "key": sql.Identifier(spec.primary_key),
        "names": join_names(names),
        "stored": sql.SQL(", ").join(sql.Identifier("t", name) for name in names),
        "archived": sql.SQL(", ").join(sql.Identifier("s", name) for name in names),
    }
    if spec.name not in PARENTS:
        conflicts = cursor.fetch_value(
            sql.SQL(
                "SELECT count(*) FROM {stage} AS s JOIN {table} AS t ON t.{key} = s.{key} "
                "WHERE ROW({stored}) IS DISTINCT FROM ROW({archived})"
            ).format(**parts)
        )
        if conflicts:
            raise LoadError(
                f"Nothing was loaded: {conflicts:,} rows of {spec.name!r} in the database have the "
                "same key as archived rows, and other values. Delete them first, or read both "
                "halves with `archive=`."
            )
    with _without_derivation(cursor, spec, frame):
        cursor.execute(
            sql.SQL(
                "INSERT INTO {table} ({names}) SELECT {names} FROM {stage} AS s "
                "WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE t.{key} = s.{key})"
            ).format(**parts)
        )
        inserted = cursor.rowcount
    drop_table(cursor, stage)
    return inserted


@contextlib.contextmanager
def _without_derivation(cursor: Cursor, spec: TableSpec, frame: pl.DataFrame) -> Iterator[None]:
    """Keep a trigger from filling in values that archived rows do not have.

    Raises
    ------
    LoadError
        There are such rows, and this user does not own the table.
    """
    columns = [name for name, column in spec.columns.items() if column.derived]
    has_gaps = any(frame[name].null_count() for name in columns if name in frame.columns)
    trigger = f"tr_{spec.name}_derive_insert"
    owns = cursor.fetch_value(_OWNS_TRIGGER, (spec.qualified(), trigger)) if has_gaps else None
    if owns is None:
        yield
        return
    if not owns:
        raise LoadError(
            f"Nothing was loaded: archived rows of {spec.name!r} have no value in a column that a "
            f"trigger fills in ({', '.join(columns)}). Restore them as the owner of the table, who "
            "may keep the trigger from changing them."
        )
    names = {"table": spec.identifier(), "trigger": sql.Identifier(trigger)}
    cursor.execute(sql.SQL("ALTER TABLE {table} DISABLE TRIGGER {trigger}").format(**names))
    yield
    cursor.execute(sql.SQL("ALTER TABLE {table} ENABLE TRIGGER {trigger}").format(**names))


#: Whether this user owns a table; no row if a trigger of it is not enabled.
_OWNS_TRIGGER = """
    SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_trigger AS t JOIN pg_class AS c
        ON c.oid = t.tgrelid
    WHERE c.oid = CAST(%s AS regclass) AND t.tgname = %s AND t.tgenabled = 'O'
"""
