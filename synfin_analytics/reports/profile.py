"""Profile of a database: what its statistics say, and what to do about it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics._core import formatting
from synfin_analytics._core.formatting import format_percent
from synfin_analytics._core.html import Table
from synfin_analytics.database.manager import DatabaseManager, get_db_manager
from synfin_analytics.database.schema import translate_errors
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.reports._index_changes import (
    MIN_AGE,
    IndexChange,
    apply_index_change,
    format_since,
    index_changes,
    statistics_age,
)
from synfin_analytics.reports._page import Finding, Report, iterate_rows, versions_table
from synfin_analytics.reports._profile_findings import database_findings, format_size
from synfin_analytics.reports._profile_queries import (
    NOT_INSTALLED,
    NOT_LOADED,
    Measurements,
    measure,
)
from synfin_analytics.reports.provenance import Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd


_NOT_SHOWN = ["live_rows", "dead_rows", "partitioned", "locked"]


@dataclass(frozen=True, repr=False)
class DatabaseProfile(Report):
    """Result of :func:`profile_database`: it displays and saves itself as one HTML page.

    Attributes
    ----------
    statements
        The slowest and most frequent statements, without values. Times are in milliseconds.
    tables
        Size, scans, dead rows, and last vacuum and analyze of each table and partition.
        ``bloat_from`` is ``pgstattuple`` if ``dead_share`` and ``free_share`` of the bytes were
        measured, and ``estimate`` if ``dead_share`` is the share of the rows that the server
        estimates. If ``locked``, the size is an estimate, too.
    indexes
        Size, scans and definition of each index.
    blocked
        Sessions that wait for a lock, and the session that each waits for.
    transactions
        Open transactions of others, the longest first.
    changes
        Indexes to drop, and indexes of the package that do not exist.
    server
        Version, counters and time of the last reset of the statistics.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> print(profile_database())
    Profile of database ...
    - ...
    """

    _template: ClassVar[str] = "profile.html.j2"

    measured: Measurements
    changes: tuple[IndexChange, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime
    omitted: Mapping[str, str]

    @property
    def statements(self) -> pd.DataFrame:
        """The slowest and most frequent statements."""
        return self.measured.statements

    @property
    def tables(self) -> pd.DataFrame:
        """Statistics of each table."""
        return self.measured.tables

    @property
    def indexes(self) -> pd.DataFrame:
        """Statistics of each index."""
        return self.measured.indexes

    @property
    def blocked(self) -> pd.DataFrame:
        """Sessions that wait for a lock."""
        return self.measured.blocked

    @property
    def transactions(self) -> pd.DataFrame:
        """Open transactions of others."""
        return self.measured.transactions

    @property
    def server(self) -> dict[str, Any]:
        """Version and counters of the server."""
        return dict(self.measured.server)

    @property
    def title(self) -> str:
        """Title of the profile."""
        return f"Profile of database {self.server['database']}"

    @property
    def findings(self) -> list[Finding]:
        """Sentences with advice, each with the number that supports it."""
        return database_findings(self.measured, self.changes)

    @property
    def caveats(self) -> list[str]:
        """What the statistics cannot show."""
        age = statistics_age(self.measured)
        if age is None:
            caveats = [
                "Since when the statistics are counted is not known: no reset is recorded, and a "
                "crash loses them. To begin anew, run SELECT pg_stat_reset(), then ANALYZE."
            ]
        else:
            caveats = [f"The statistics have been counted {format_since(self.measured)}."]
            if age < MIN_AGE:
                caveats.append("That is less than a day: too early to call an index unused.")
        if self.measured.statements_since is not None:
            since = f"{self.measured.statements_since:%Y-%m-%d %H:%M %Z}"
            caveats.append(f"Statements have been counted since {since}.")
        caveats.append(
            "The statistics are those of this server; each replica counts its own scans and "
            "statements. Each worker of a parallel scan counts as a scan."
        )
        return caveats

    def _context(self) -> Mapping[str, object]:
        return {
            "tables": {
                "statements": _table(self.statements.drop(columns="queryid"), "Statements"),
                "tables": _table(self.tables.drop(columns=_NOT_SHOWN), "Tables"),
                "indexes": _table(
                    self.indexes[["index", "table", "bytes", "scans", "valid", "definition"]],
                    "Indexes",
                ),
                "blocked": _table(self.blocked, "Sessions that wait"),
                "transactions": _table(self.transactions, "Open transactions"),
                "changes": Table(
                    "Changes of indexes",
                    ("index", "action", "advised", "reason", "statement"),
                    [
                        (c.index, c.action, "yes" if c.advised else "no", c.reason, c.statement)
                        for c in self.changes
                    ],
                    text_columns=range(5),
                ),
                "versions": versions_table(self.provenance),
            }
        }


def profile_database(manager: DatabaseManager | None = None) -> DatabaseProfile:
    """Profile a database: slow statements, caches, scans, indexes, bloat, locks and connections.

    It reads the server's statistics only, and never contains the values of a statement. With a role
    that may not see other users' statements, it has what the role may see, and a note with the
    GRANT for the rest.

    Parameters
    ----------
    manager
        The database; by default, that of the environment.

    Returns
    -------
    DatabaseProfile
        DataFrames, sentences with advice, and an HTML page.

    Raises
    ------
    ArgumentError
        ``manager`` is not a DatabaseManager.
    SchemaError
        The server refuses to show its statistics.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager
    >>> get_db_manager().create_all_tables()
    >>> profile = profile_database()
    >>> "transactions" in set(profile.tables["table"])
    True
    """
    if manager is None:
        manager = get_db_manager()
    if not isinstance(manager, DatabaseManager):
        raise ArgumentError(f"`manager` must be a DatabaseManager; got {type(manager).__name__}.")
    with translate_errors(), manager.engine.connect() as connection:
        measured = measure(connection)
    notes = []
    if measured.tables.empty:
        notes.append("The package's tables do not exist here: `synfin db upgrade` creates them.")
    if measured.no_statements:
        notes.append(measured.no_statements + _how_to_count(measured, manager))
    if not measured.server["reads_all_statistics"]:
        notes.append(
            "This role does not see the statements and transactions of other users; an "
            f"administrator can allow it: GRANT pg_monitor TO {measured.server['role']}."
        )
    return DatabaseProfile(
        measured=measured,
        changes=tuple(index_changes(measured)),
        notes=tuple(notes),
        provenance=Provenance(
            {"PostgreSQL": str(measured.server["version"])},
            str(measured.server["database"]),
            "",
            "from synfin_analytics import profile_database\n\nprofile_database()\n",
            "synfin db profile --html profile.html",
            f"statistics of database {measured.server['database']!r}",
        ),
        created_at=dt.datetime.now(dt.UTC),
        omitted={"statements": measured.no_statements} if measured.no_statements else {},
    )


def _how_to_count(measured: Measurements, manager: DatabaseManager) -> str:
    """Return what to do so that statements are counted, if that is why there are none."""
    if measured.no_statements not in {NOT_INSTALLED, NOT_LOADED}:
        return ""
    if manager.config.embedded:
        how = "run `synfin db profile --track-statements on`, then `synfin db stop`"
    elif measured.server["counts_statements"]:
        how = "an administrator runs CREATE EXTENSION pg_stat_statements in it"
    else:
        how = (
            "an administrator adds pg_stat_statements to shared_preload_libraries, restarts the "
            "server and runs CREATE EXTENSION pg_stat_statements in this database"
        )
    return f" To count statements, {how}."


_FORMATS: dict[str, Callable[[float], str]] = {
    "bytes": format_size,
    "dead_share": format_percent,
    "free_share": format_percent,
    "cache_hit": format_percent,
}


def _format_cell(column: str, value: Any) -> str:
    if formatting.is_missing(value):
        return formatting.NO_VALUE
    if column in _FORMATS:
        return _FORMATS[column](value)
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value) if column in {"pid", "blocked_by"} else f"{value:,}"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def _table(frame: pd.DataFrame, caption: str) -> Table:
    columns = [str(column) for column in frame.columns]
    rows = [
        [_format_cell(column, value) for column, value in zip(columns, row, strict=True)]
        for row in iterate_rows(frame)
    ]
    text_columns = [
        position for position, dtype in enumerate(frame.dtypes) if dtype.kind not in "iufb"
    ]
    return Table(caption, columns, rows, text_columns=text_columns, row_headers=False)


__all__ = ["DatabaseProfile", "IndexChange", "apply_index_change", "profile_database"]
