"""Delete exactly the rows that were exported: by key, as long as they have not changed since."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg2.errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.io.archive._database import DELETED, check_lock
from synfin_analytics.io.archive._export import ROW_VERSION
from synfin_analytics.io.archive._manifest import CHILDREN

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database.manager import DatabaseManager

#: How often a batch is tried whose transactions get new predictions meanwhile.
_MAX_ATTEMPTS = 10


class Deletion:
    """Deletes exported rows in batches, each a transaction of its own.

    Parameters
    ----------
    manager
        The database.
    lock
        Session that holds the lock of the archiving process.
    batch_size
        Maximum number of rows of a transaction.
    """

    def __init__(self, manager: DatabaseManager, lock: Session, batch_size: int) -> None:
        self._manager = manager
        self._lock = lock
        self._batch_size = batch_size
        #: Deleted rows by table.
        self.deleted = dict.fromkeys(DELETED, 0)
        #: Seconds of the longest transaction.
        self.longest = 0.0

    def delete(self, spec: TableSpec, versions: Path) -> None:
        """Delete the rows of a table whose keys and versions are in a file.

        A row that changed since it was exported stays, and so does a transaction that has features
        or predictions.
        """
        frame = pl.scan_parquet(versions)
        height = frame.select(pl.len()).collect().item()
        for start in range(0, height, self._batch_size):
            check_lock(self._lock)
            self._delete_batch(spec, frame.slice(start, self._batch_size).collect())

    def _delete_batch(self, spec: TableSpec, rows: pl.DataFrame) -> None:
        statement, values = _statement(spec, rows)
        for attempt in range(_MAX_ATTEMPTS):
            started = time.perf_counter()
            try:
                with self._manager.get_session() as session, session.begin():
                    session.connection(execution_options={"isolation_level": "READ COMMITTED"})
                    session.execute(text("SET LOCAL row_security = off"))
                    n_rows = session.execute(text(statement), values).rowcount  # type: ignore[attr-defined]
            except DBAPIError as error:
                # A prediction that another session has just inserted; the next attempt sees it.
                is_new_child = isinstance(error.orig, psycopg2.errors.ForeignKeyViolation)
                is_retryable = is_new_child or isinstance(
                    error.orig, psycopg2.errors.DeadlockDetected
                )
                if not is_retryable or attempt == _MAX_ATTEMPTS - 1:
                    raise
                continue
            self.deleted[spec.name] += n_rows
            self.longest = max(self.longest, time.perf_counter() - started)
            return


def _statement(spec: TableSpec, rows: pl.DataFrame) -> tuple[str, dict[str, Any]]:
    key = spec.primary_key
    key_type = "text" if spec.columns[key].kind == "text" else "bigint"
    values: dict[str, Any] = {
        "keys": rows[key].to_list(),
        "versions": rows[ROW_VERSION].to_list(),
    }
    conditions = [f"r.{key} = k.key", "r.xmin::text = k.version"]
    # The range of a batch lets the server use an index, whatever it thinks of the arrays.
    ranged = "timestamp" if spec.name == "transactions" else key
    conditions.append(f'r."{ranged}" BETWEEN :low AND :high')
    values |= {"low": rows[ranged].min(), "high": rows[ranged].max()}
    if spec.name == "transactions":
        conditions += [
            f"NOT EXISTS (SELECT FROM {spec.qualified(child)} AS c WHERE c.{key} = r.{key})"
            for child in CHILDREN
        ]
    arrays = f"unnest(CAST(:keys AS {key_type}[]), CAST(:versions AS text[])) AS k(key, version)"
    statement = (
        f"DELETE FROM {spec.qualified()} AS r USING {arrays} WHERE {' AND '.join(conditions)}"  # noqa: S608
    )
    return statement, values


def vacuum(manager: DatabaseManager, spec: TableSpec) -> bool:
    """Return the space of deleted rows to the table; return whether this user was allowed to."""
    with manager.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        notices: list[str] = connection.connection.driver_connection.notices  # type: ignore[union-attr]
        notices.clear()
        connection.execute(text(f"VACUUM (ANALYZE) {spec.qualified()}"))
        return not any(notice.startswith("WARNING") for notice in notices)
