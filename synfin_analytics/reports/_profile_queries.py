"""What PostgreSQL's statistics say about the package's tables, as DataFrames.

A profile must not wait for the locks that it reports: statistics and catalogs are read without a
lock on a table, and what needs one (sizes, definitions of indexes) by a short timeout.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from synfin_analytics._core.sql import without_values
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema import schema_of_tables
from synfin_analytics.reports._page import iterate_rows

if TYPE_CHECKING:
    import datetime as dt

    from sqlalchemy.engine import Connection

#: In the statements of a profile, which would be the slowest ones of a small database; after the
#: first word, because the server leaves out a comment before it.
_MARK = "/* profile of synfin_analytics */"
_N_STATEMENTS = 10
_MAX_TEXT = 500  # characters of a statement
_COLUMN = r'(?:(?:\w+|"[^"]*")\.)*(?:\w+|"[^"]*")(?:::\w+)?(?: AS (?:\w+|"[^"]*"))?'
#: The columns of a table, which would hide what a statement does with them.
_COLUMNS = re.compile(rf"({_COLUMN}), (?:{_COLUMN}, ){{3,}}({_COLUMN})", re.IGNORECASE)
_LOCK_TIMEOUT = "100ms"
_APPROXIMATE_TIMEOUT = "5s"
_LOCKED, _NO_RIGHT = "55P03", "42501"
#: pgstattuple may not be run, waits for a lock, takes too long, or refuses a standby or a table.
_NO_TUPLES = {_LOCKED, _NO_RIGHT, "57014", "55000", "0A000"}
_UPDATE_EXTENSION = (
    "pg_stat_statements has the version of an older PostgreSQL: run ALTER EXTENSION "
    "pg_stat_statements UPDATE."
)
NOT_INSTALLED = "The extension pg_stat_statements is not installed in this database."
NOT_LOADED = "pg_stat_statements is not loaded."
#: Why there are no statements, by the server's error.
_NO_STATEMENTS = {
    "55000": NOT_LOADED,
    _NO_RIGHT: "This role may not read pg_stat_statements.",
    "42703": _UPDATE_EXTENSION,
    "42P01": _UPDATE_EXTENSION,
}

_SERVER = """
    SELECT current_database() AS database, current_setting('server_version') AS version,
        quote_ident(current_user) AS role, stats_reset, now() AS measured_at, blks_hit, blks_read,
        current_setting('max_connections')::int AS max_connections, activity.*,
        pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all_statistics,
        current_setting('pg_stat_statements.max', true) IS NOT NULL AS counts_statements
    FROM pg_stat_database, (
        SELECT count(*) AS connections, count(*) FILTER (WHERE state = 'active') AS active,
            count(*) FILTER (WHERE state = 'idle') AS idle,
            count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction
        FROM pg_stat_activity WHERE backend_type = 'client backend'
    ) AS activity WHERE datname = current_database()
"""
# Partitions have the rows, and with them the statistics.
_TABLES = """
    WITH RECURSIVE ours(oid) AS (
        SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = :schema AND c.relname = ANY(:tables) AND c.relkind IN ('r', 'p')
        UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN ours ON i.inhparent = ours.oid
    )
    SELECT c.oid, c.relname AS "table", c.relkind = 'p' AS partitioned, (
            SELECT sum(part.relpages)::bigint * current_setting('block_size')::bigint
            FROM pg_class AS part WHERE part.oid IN (c.oid, c.reltoastrelid) OR part.oid IN (
                SELECT indexrelid FROM pg_index WHERE indrelid IN (c.oid, c.reltoastrelid)
            )
        ) AS bytes,
        CASE WHEN c.reltuples < 0 THEN coalesce(s.n_live_tup, 0) ELSE c.reltuples END::bigint
            AS "rows",
        coalesce(s.seq_scan, 0) AS seq_scans, coalesce(s.seq_tup_read, 0) AS rows_read,
        coalesce(s.idx_scan, 0) AS index_scans, coalesce(s.n_live_tup, 0) AS live_rows,
        coalesce(s.n_dead_tup, 0) AS dead_rows,
        greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum,
        greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze
    FROM ours JOIN pg_class AS c USING (oid) LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
    ORDER BY c.relname
"""
_TOTAL_SIZE = "SELECT pg_total_relation_size(CAST(:oid AS oid)) AS bytes"
# Two indexes with the same keys, method and condition return the same rows in the same order.
# Whoever may not see the progress of an index still sees the lock of the session that builds it.
_INDEXES = """
    SELECT c.relname AS "index", t.relname AS "table", {bytes} AS bytes,
        coalesce(s.idx_scan, 0) AS scans, i.indisvalid AS valid, i.indisunique AS "unique",
        EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid)
            OR i.indisprimary OR i.indisexclusion OR i.indisreplident OR i.indisclustered
            AS required,
        t.relkind = 'p' OR t.relispartition AS partitioned,
        EXISTS (SELECT FROM pg_locks AS l WHERE l.relation = i.indrelid AND l.granted
            AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()) AS being_built,
        {keys} AS keys, i.indnatts > i.indnkeyatts AS includes_more,
        {condition} AS condition, am.amname AS method, {definition} AS definition
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS am ON am.oid = c.relam JOIN pg_class AS t ON t.oid = i.indrelid
    LEFT JOIN pg_stat_all_indexes AS s ON s.indexrelid = c.oid
    WHERE i.indrelid = CAST(:oid AS oid) ORDER BY c.relname
"""
_READABLE_INDEXES = _INDEXES.format(
    bytes="pg_relation_size(c.oid)",
    keys="""ARRAY(SELECT pg_get_indexdef(c.oid, k, false) || ' ' || i.indclass[k - 1]::text || ' '
            || i.indcollation[k - 1]::text || ' ' || i.indoption[k - 1]::text
            FROM generate_series(1, i.indnkeyatts) AS k ORDER BY k)""",
    condition="coalesce(pg_get_expr(i.indpred, i.indrelid), '')",
    definition="pg_get_indexdef(c.oid)",
)
_LOCKED_INDEXES = _INDEXES.format(
    bytes="c.relpages * current_setting('block_size')::bigint",
    keys="ARRAY[]::text[]",
    condition="''",
    definition="''",
)
_BLOCKED = """
    SELECT a.pid, nullif(blocker.pid, 0) AS blocked_by, relation.relname AS "table", l.mode,
        l.waitstart AS since, coalesce(greatest(0,
            extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, a.query_start))
        ), 0)::float8 AS seconds,
        a.usename AS "user", b.usename AS blocking_user, b.state AS blocking_state,
        a.query AS statement, b.query AS blocking_statement
    FROM pg_stat_activity AS a
    CROSS JOIN LATERAL (SELECT DISTINCT unnest(pg_blocking_pids(a.pid))) AS blocker(pid)
    LEFT JOIN pg_stat_activity AS b ON b.pid = blocker.pid
    LEFT JOIN LATERAL (
        SELECT * FROM pg_locks WHERE pid = a.pid AND NOT granted ORDER BY waitstart LIMIT 1
    ) AS l ON true
    LEFT JOIN pg_class AS relation ON relation.oid = l.relation
    WHERE a.datname = current_database() ORDER BY seconds DESC, a.pid, blocker.pid
"""
_TRANSACTIONS = """
    SELECT pid, usename AS "user", state, xact_start AS since,
        extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds, query AS statement
    FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    ORDER BY seconds DESC, pid
"""
_EXTENSION = """
    SELECT quote_ident(n.nspname) AS name FROM pg_extension AS e
    JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = :name
"""
_STATEMENTS = """
    SELECT queryid, query AS statement, sum(calls)::bigint AS calls,
        sum(total_exec_time) AS total_ms, sum(total_exec_time) / nullif(sum(calls), 0) AS mean_ms,
        max(max_exec_time) AS max_ms, sum(rows)::bigint AS "rows",
        sum(shared_blks_hit)::float8 / nullif(sum(shared_blks_hit + shared_blks_read), 0)
            AS cache_hit
    FROM {schema}.pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND query NOT LIKE '%' || :mark || '%' AND query !~* :commands
    GROUP BY queryid, query
"""
# They take no time, and are as frequent as all others together.
_COMMANDS = (
    r"^\s*(ABORT|BEGIN|CLOSE|COMMIT|DEALLOCATE|DISCARD|END|RELEASE|RESET|ROLLBACK|SAVEPOINT|SET|"
    r"SHOW|START|UNLISTEN)\M"
)
_STATEMENTS_SINCE = "SELECT stats_reset FROM {schema}.pg_stat_statements_info"
_APPROXIMATE = """
    SELECT dead_tuple_percent / 100 AS dead_share, approx_free_percent / 100 AS free_share
    FROM {schema}.pgstattuple_approx(CAST(:oid AS oid)::regclass)
"""


@dataclasses.dataclass(frozen=True)
class Measurements:
    """Statistics of one database."""

    schema: str
    server: dict[str, Any]
    statements: pd.DataFrame
    #: Why there are no statements; "" if there are.
    no_statements: str
    statements_since: dt.datetime | None
    tables: pd.DataFrame
    indexes: pd.DataFrame
    blocked: pd.DataFrame
    transactions: pd.DataFrame


def measure(connection: Connection) -> Measurements:
    """Read the statistics, locks first; each statement is a transaction, and a text has no values.

    Parameters
    ----------
    connection
        A connection without a transaction.
    """
    blocked = _read(connection, _BLOCKED)
    transactions = _read(connection, _TRANSACTIONS)
    (server,) = _read(connection, _SERVER).astype(object).to_dict("records")
    if pd.isna(server["stats_reset"]):
        server["stats_reset"] = None
    driver: Any = connection.connection
    with connection.begin(), driver.cursor() as cursor:
        schema = schema_of_tables(cursor)
    statements, reason, since = _read_statements(connection)
    tables = _read(connection, _TABLES, schema=schema, tables=list(TABLES))
    tables, indexes = _read_relations(connection, tables)
    return Measurements(
        schema=schema,
        server={str(name): value for name, value in server.items()},
        statements=statements,
        no_statements=reason,
        statements_since=since,
        tables=tables.sort_values(["bytes", "table"], ascending=[False, True], ignore_index=True),
        indexes=indexes,
        blocked=blocked,
        transactions=transactions,
    )


def code_of(error: DBAPIError) -> str:
    """Return the server's code of an error; "" for an error of the driver."""
    return getattr(error.orig, "pgcode", None) or ""


def _read(
    connection: Connection, query: str, *, seconds: str | None = None, **values: object
) -> pd.DataFrame:
    with connection.begin():
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        if seconds is not None:
            connection.execute(text(f"SET LOCAL statement_timeout = '{seconds}'"))
        first, rest = query.split(maxsplit=1)
        result = connection.execute(text(f"{first} {_MARK} {rest}"), values)
        frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
    for column in ("statement", "blocking_statement"):
        if column in frame:
            frame[column] = [
                _shorten(statement)
                for statement in frame[column].astype(object).where(frame[column].notna(), "")
            ]
    if "blocked_by" in frame:  # a prepared transaction has no session
        frame["blocked_by"] = frame["blocked_by"].astype("Int64")
    return frame


def _shorten(statement: str) -> str:
    """Return a statement without its values, and with the first and last of many columns."""
    masked = without_values(statement, max_length=2 * len(statement))  # "'…'" is longer than "''"
    shortened = _COLUMNS.sub(r"\1, …, \2", masked)
    return shortened if len(shortened) <= _MAX_TEXT else shortened[: _MAX_TEXT - 1] + "…"


def _read_statements(
    connection: Connection,
) -> tuple[pd.DataFrame, str, dt.datetime | None]:
    """Read the statements of the longest total, mean and most calls; or why there are none."""
    columns = ["queryid", "statement", "calls", "total_ms", "mean_ms", "max_ms", "rows"]
    nothing = pd.DataFrame(columns=[*columns, "cache_hit"])
    extension = _read(connection, _EXTENSION, name="pg_stat_statements")
    if extension.empty:
        return nothing, NOT_INSTALLED, None
    schema = extension["name"].iloc[0]
    try:
        query = _STATEMENTS.format(schema=schema)
        frame = _read(connection, query, mark=_MARK, commands=_COMMANDS)
        since = _read(connection, _STATEMENTS_SINCE.format(schema=schema))["stats_reset"].iloc[0]
    except DBAPIError as error:
        if code_of(error) not in _NO_STATEMENTS:
            raise
        return nothing, _NO_STATEMENTS[code_of(error)], None
    frame = frame[frame["queryid"].notna()].reset_index(drop=True)  # not those of other users
    chosen = {
        position
        for column in ("total_ms", "mean_ms", "calls")
        for position in frame.nlargest(_N_STATEMENTS, column).index
    }
    statements = frame.loc[sorted(chosen)].sort_values("total_ms", ascending=False)
    return statements.reset_index(drop=True), "", None if pd.isna(since) else since


def _read_relations(
    connection: Connection, tables: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add size and bloat to the tables, and read their indexes; of a locked table, estimates."""
    extension = _read(connection, _EXTENSION, name="pgstattuple")
    schema = None if extension.empty else str(extension["name"].iloc[0])
    measured, indexes = [], []
    for row in iterate_rows(tables):
        record = row._asdict()
        oid = int(record.pop("oid"))
        record["locked"] = False
        try:
            (size,) = _read(connection, _TOTAL_SIZE, oid=oid)["bytes"].tolist()
            record["bytes"] = size
            indexes.append(_read(connection, _READABLE_INDEXES, oid=oid))
        except DBAPIError as error:
            if code_of(error) != _LOCKED:
                raise
            record["locked"] = True
            indexes.append(_read(connection, _LOCKED_INDEXES, oid=oid))
        measured.append(record | _read_bloat(connection, schema, oid, record))
    columns = [*tables.columns.drop("oid"), "locked", "dead_share", "free_share", "bloat_from"]
    if not indexes:
        indexes.append(_read(connection, _LOCKED_INDEXES, oid=0))
    return pd.DataFrame(measured, columns=columns), pd.concat(indexes, ignore_index=True)


def _read_bloat(
    connection: Connection, schema: str | None, oid: int, record: dict[str, Any]
) -> dict[str, Any]:
    """Return the shares of a table that dead rows and free space take, and where they are from."""
    if schema is not None and not (record["partitioned"] or record["locked"]):
        query = _APPROXIMATE.format(schema=schema)
        try:
            shares = _read(connection, query, seconds=_APPROXIMATE_TIMEOUT, oid=oid)
        except DBAPIError as error:
            if code_of(error) not in _NO_TUPLES:
                raise
        else:
            (row,) = iterate_rows(shares)
            return {**row._asdict(), "bloat_from": "pgstattuple"}
    n_rows = record["live_rows"] + record["dead_rows"]
    share = record["dead_rows"] / n_rows if n_rows else 0.0
    return {"dead_share": share, "free_share": float("nan"), "bloat_from": "estimate"}
