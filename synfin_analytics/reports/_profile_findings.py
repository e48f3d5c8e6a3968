"""Sentences of a profile: what was measured, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from synfin_analytics._core import formatting
from synfin_analytics._core.formatting import format_percent, pluralize
from synfin_analytics.reports._index_changes import MIN_ROWS, format_since
from synfin_analytics.reports._page import Finding, iterate_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from synfin_analytics.reports._index_changes import IndexChange
    from synfin_analytics.reports._profile_queries import Measurements

_LOW_CACHE = 0.95
_MIN_BLOCKS = 10_000
_BLOAT = 0.2
_FREE = 0.5
_LONG = 300.0  # seconds
_MANY_CONNECTIONS = 0.8
_MUCH_TIME = 1000.0  # milliseconds
_MANY_CALLS = 1000
_PLANNED = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_MAX_STATEMENT = 200  # characters


def database_findings(measured: Measurements, changes: Iterable[IndexChange]) -> list[Finding]:
    """Return the findings, the most urgent first."""
    return [
        *_locks(measured.blocked),
        *_locked_tables(measured.tables),
        *_transactions(measured.transactions),
        *_invalid(measured.indexes),
        *_connections(measured),
        *_cache(measured),
        *_statements(measured.statements),
        *_scans(measured),
        *_bloat(measured.tables),
        *_changes(changes),
    ]


def format_size(n_bytes: float) -> str:
    """Format a number of bytes.

    Examples
    --------
    >>> format_size(8192), format_size(3 * 2**20), format_size(5 * 2**30)
    ('8.0 kB', '3.0 MB', '5.0 GB')
    """
    power = 1 if n_bytes < 2**20 else 2 if n_bytes < 2**30 else 3
    return f"{n_bytes / 2 ** (10 * power):,.1f} {'kMG'[power - 1]}B"


def _locks(blocked: pd.DataFrame) -> list[Finding]:
    findings = []
    for row in iterate_rows(blocked):
        target = "" if formatting.is_missing(row.table) else f" for a lock on {row.table}"
        since = "" if formatting.is_missing(row.since) else f" (since {row.since:%H:%M:%S %Z})"
        waiting = f"Session {row.pid} has waited {row.seconds:.0f} s{since}{target}"
        if formatting.is_missing(row.blocked_by):
            sentence = f"{waiting}, held by a prepared transaction: see pg_prepared_xacts."
        else:
            state = "" if formatting.is_missing(row.blocking_state) else f" ({row.blocking_state})"
            sentence = (
                f"{waiting}, because of session {row.blocked_by}{state}: end its transaction, or "
                f"the session with SELECT pg_terminate_backend({row.blocked_by})."
            )
        findings.append(
            Finding("Waiting", row.seconds, f"{row.seconds:.0f} s", sentence, "sessions")
        )
    return findings


def _locked_tables(tables: pd.DataFrame) -> list[Finding]:
    return [
        Finding(
            "Locked table", 1.0, str(row.table),
            f"{row.table} is locked exclusively: its size is an estimate, and its indexes were not "
            "compared. Run the profile again when the lock is released.",
            "tables",
        )
        for row in iterate_rows(tables) if row.locked
    ]  # fmt: skip


def _transactions(transactions: pd.DataFrame) -> list[Finding]:
    return [
        Finding(
            "Long transaction", row.seconds, f"{row.seconds:,.0f} s",
            f"The transaction of session {row.pid} ({row.state}) has been open for "
            f"{row.seconds:,.0f} s: until it ends, VACUUM may not remove rows that were deleted "
            "since it began.",
            "sessions",
        )
        for row in iterate_rows(transactions) if row.seconds > _LONG
    ]  # fmt: skip


def _invalid(indexes: pd.DataFrame) -> list[Finding]:
    """Invalid keys, which no change of the profile drops."""
    return [
        Finding(
            "Invalid index", float(row.bytes), str(row.index_name),
            f"{row.index_name} of {row.table} is an invalid key: find out which command left it "
            "(REINDEX or CREATE INDEX CONCURRENTLY), then drop or rebuild it yourself.",
            "indexes",
        )
        # A row's own method has the name "index".
        for row in iterate_rows(indexes.rename(columns={"index": "index_name"}))
        if not row.valid and not row.being_built and (row.required or row.unique)
    ]  # fmt: skip


def _connections(measured: Measurements) -> list[Finding]:
    server = measured.server
    n_used, limit = server["connections"], server["max_connections"]
    sentence = f"{n_used} of at most {limit} connections are open"
    if server["reads_all_statistics"]:
        sentence += (
            f" ({server['active']} active, {server['idle_in_transaction']} idle in a transaction)"
        )
    if n_used > _MANY_CONNECTIONS * limit:
        sentence += "; use a pooler, or smaller pools"
    return [Finding("Connections", float(n_used), str(n_used), f"{sentence}.", "sessions")]


def _cache(measured: Measurements) -> list[Finding]:
    hits, reads = measured.server["blks_hit"], measured.server["blks_read"]
    if not hits + reads:
        return []
    ratio = hits / (hits + reads)
    sentence = (
        f"{format_percent(ratio)} of {pluralize(int(hits + reads), 'block')} came from "
        f"shared_buffers {format_since(measured)}"
    )
    if hits + reads < _MIN_BLOCKS:
        sentence += ", too few to judge"
    elif ratio < _LOW_CACHE:
        sentence += "; if the machine has memory to spare, compare with larger shared_buffers"
    return [Finding("Cache hits", ratio, format_percent(ratio), f"{sentence}.", "statements")]


def _statements(statements: pd.DataFrame) -> list[Finding]:
    if statements.empty:
        return []
    (slowest,) = iterate_rows(statements.nlargest(1, "total_ms"))
    (frequent,) = iterate_rows(statements.nlargest(1, "calls"))
    time, calls = float(slowest.total_ms), int(frequent.calls)
    has_plan = time >= _MUCH_TIME and _PLANNED.search(slowest.statement)
    plan = " See its plan with EXPLAIN." if has_plan else ""
    batch = (
        " If one task runs it for every row, ask for all rows at once."
        if calls >= _MANY_CALLS
        else ""
    )
    return [
        Finding(
            "Most time", time, f"{time:,.0f} ms",
            f"Most time, {time:,.0f} ms in {pluralize(int(slowest.calls), 'call')}: "
            f"{_shorten(slowest.statement)}{plan}",
            "statements",
        ),
        Finding(
            "Most calls", float(calls), f"{calls:,}",
            f"Most calls, {calls:,} of {frequent.mean_ms:,.2f} ms: "
            f"{_shorten(frequent.statement)}{batch}",
            "statements",
        ),
    ]  # fmt: skip


def _shorten(statement: str) -> str:
    cut = statement if len(statement) <= _MAX_STATEMENT else statement[: _MAX_STATEMENT - 1] + "…"
    return f"“{cut}”."


def _scans(measured: Measurements) -> list[Finding]:
    since = format_since(measured)
    return [
        Finding(
            "Sequential scans", float(row.seq_scans), f"{row.seq_scans:,}",
            f"{row.table} (about {row.rows:,} rows) had "
            f"{pluralize(int(row.seq_scans), 'sequential scan')} {since}, which read "
            f"{row.rows_read:,} rows; those of a load that builds indexes count, too. An index "
            "helps queries that select few rows, and not aggregates of most rows.",
            "tables",
        )
        for row in iterate_rows(measured.tables) if row.rows_read >= row.rows >= MIN_ROWS
    ]  # fmt: skip


def _bloat(tables: pd.DataFrame) -> list[Finding]:
    findings = []
    for row in iterate_rows(tables):
        if row.rows < MIN_ROWS or row.partitioned:
            continue
        share = format_percent(row.dead_share)
        if row.dead_share > _BLOAT:
            what = (
                f"{share} of {row.table} are dead rows (measured by pgstattuple)"
                if row.bloat_from == "pgstattuple"
                else f"{share} of the rows of {row.table} are dead (the server's estimate)"
            )
            vacuumed = (
                "it was never vacuumed"
                if formatting.is_missing(row.last_vacuum)
                else f"the last VACUUM was at {row.last_vacuum:%Y-%m-%d %H:%M %Z}"
            )
            sentence = f"{what}, and {vacuumed}: run VACUUM {row.table}."
            findings.append(Finding("Dead rows", row.dead_share, share, sentence, "tables"))
        if row.free_share > _FREE:
            share = format_percent(row.free_share)
            sentence = (
                f"{share} of {row.table} is free space (measured by pgstattuple), which new rows "
                "will fill; VACUUM FULL returns it to the system, and locks the table meanwhile."
            )
            findings.append(Finding("Free space", row.free_share, share, sentence, "tables"))
        if formatting.is_missing(row.last_analyze):
            sentence = (
                f"No ANALYZE of {row.table} is recorded, without which plans rest on guesses: run "
                f"ANALYZE {row.table}."
            )
            findings.append(
                Finding("Not analyzed", float(row.rows), f"{row.rows:,}", sentence, "tables")
            )
    return findings


def _changes(changes: Iterable[IndexChange]) -> list[Finding]:
    findings = []
    for change in changes:
        if not change.advised:
            continue
        if change.action == "drop":
            name, value, text = "Index to drop", float(change.bytes), format_size(change.bytes)
            question = f"Drop {change.index} of {change.table} ({text})?"
        else:
            name, value, text = "Index to create", 1.0, change.index
            question = f"Create {change.index} of {change.table}?"
        findings.append(Finding(name, value, text, f"{question} {change.reason}", "indexes"))
    return findings
