"""Delete exactly the rows that were exported: by key, as long as they have not changed since."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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
        batch = _Batch(spec, rows)
        for attempt in range(_MAX_ATTEMPTS):
            started = time.perf_counter()
            try:
                with self._manager.get_session() as session, session.begin():
                    session.connection(execution_options={"isolation_level": "READ COMMITTED"})
                    session.execute(text("SET LOCAL row_security = off"))
                    session.execute(text(_SPARE_COMPRESSION))
                    n_rows = batch.delete(session)
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


class _Batch:
    """Rows of one transaction that deletes.

    Parameters
    ----------
    spec
        Specification of the table.
    rows
        Keys and versions of the rows.
    """

    def __init__(self, spec: TableSpec, rows: pl.DataFrame) -> None:
        self._spec = spec
        key = spec.primary_key
        key_type = "text" if spec.columns[key].kind == "text" else "bigint"
        # The range of a batch lets the server use an index, whatever it thinks of the arrays.
        ranged = "timestamp" if spec.name == "transactions" else key
        self._values = {
            "keys": array_literal(rows[key]),
            "versions": array_literal(rows[ROW_VERSION]),
            "low": rows[ranged].min(),
            "high": rows[ranged].max(),
        }
        self._arrays = (
            f"unnest(CAST(:keys AS {key_type}[]), CAST(:versions AS xid[])) AS k(key, version)"
        )
        self._condition = (
            f'r.{key} = k.key AND r.xmin = k.version AND r."{ranged}" BETWEEN :low AND :high'
        )

    def delete(self, session: Session) -> int:
        """Delete the rows that have not changed, and return their number."""
        table, condition = self._spec.qualified(), self._condition
        if self._spec.name == "transactions":
            self._lock_unchecked(session)
            # After the lock, in a statement and a snapshot of its own: it sees all children.
            condition += "".join(
                f" AND NOT EXISTS (SELECT FROM {self._spec.qualified(child)} AS c "
                "WHERE c.transaction_id = r.transaction_id)"
                for child in CHILDREN
            )
        statement = f"DELETE FROM {table} AS r USING {self._arrays} WHERE {condition}"  # noqa: S608
        result = session.execute(text(statement), self._values)
        return int(result.rowcount)  # type: ignore[attr-defined]

    def _lock_unchecked(self, session: Session) -> None:
        """Do for all rows at once what the foreign keys of the children do for each row.

        Another session that inserts a child has locked its transaction until it commits: after this
        lock, the child is visible or cannot be inserted any more. A superuser can therefore turn
        the checks off, unless other triggers would be skipped with them.
        """
        table = self._spec.qualified()
        # Nobody adds a trigger or a foreign key meanwhile.
        session.execute(text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"))
        values = {"table": table, "children": [self._spec.qualified(child) for child in CHILDREN]}
        if session.execute(text(_CAN_SKIP_CHECKS), values).scalar_one():
            rows = f"SELECT FROM {table} AS r, {self._arrays} WHERE {self._condition}"
            session.execute(
                text(f"SELECT count(*) FROM ({rows} FOR UPDATE OF r) AS locked"),  # noqa: S608
                self._values,
            )
            session.execute(text("SET LOCAL session_replication_role = replica"))


#: Each page that changes for the first time after a checkpoint goes to the log. To compress it with
#: pglz, as the embedded server does, takes much longer than the deletion of its rows.
_SPARE_COMPRESSION = """
    SELECT set_config('wal_compression', 'off', true)
    WHERE current_setting('is_superuser') = 'on'
        AND current_setting('wal_compression') IN ('on', 'pglz')
"""
#: Whether this user can turn triggers off, and a deletion fires only those of the children's keys.
_CAN_SKIP_CHECKS = """
    SELECT current_setting('is_superuser') = 'on'
        AND current_setting('session_replication_role') = 'origin'
        AND NOT EXISTS (
            SELECT FROM (
                SELECT CAST(:table AS regclass) AS oid
                UNION SELECT relid FROM pg_partition_tree(CAST(:table AS regclass))
            ) AS r JOIN pg_class AS p ON p.oid = r.oid LEFT JOIN pg_trigger AS t
                ON t.tgrelid = r.oid AND t.tgtype & 8 <> 0 AND t.tgenabled IN ('O', 'R')
            LEFT JOIN pg_constraint AS c ON c.oid = t.tgconstraint
            WHERE p.relhasrules OR t.oid IS NOT NULL AND NOT coalesce(
                c.contype = 'f' AND cardinality(c.conkey) = 1
                AND coalesce(pg_partition_root(c.conrelid), c.conrelid)
                    = ANY(CAST(:children AS regclass[]))
                AND EXISTS (
                    SELECT FROM pg_attribute AS a WHERE a.attrelid = c.conrelid
                    AND a.attnum = c.conkey[1] AND a.attname = 'transaction_id'
                ), false)
        )
"""


def array_literal(values: pl.Series) -> str:
    r"""Write values as one text, which the server reads faster than as many constants.

    Examples
    --------
    >>> print(array_literal(pl.Series(['a "b"', "c,d"])))
    {"a \"b\"","c,d"}
    """
    texts, separator = values.cast(pl.String), '","'
    for character in ("\\", '"'):
        texts = texts.str.replace_all(character, f"\\{character}", literal=True)
    return f'{{"{texts.str.join(separator).item()}"}}'


def vacuum(manager: DatabaseManager, spec: TableSpec) -> bool:
    """Return the space of deleted rows to the table; return whether this user was allowed to."""
    with manager.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        notices: list[str] = connection.connection.driver_connection.notices  # type: ignore[union-attr]
        notices.clear()
        connection.execute(text(f"VACUUM (ANALYZE) {spec.qualified()}"))
        return not any(notice.startswith("WARNING") for notice in notices)
