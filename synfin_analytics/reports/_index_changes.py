"""Indexes that a profile advises to drop or names as missing, and the statements that do so."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Index, MetaData, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.database.models import NAMING_CONVENTION, TABLES
from synfin_analytics.database.protection import require_confirmation
from synfin_analytics.database.schema import translate_errors
from synfin_analytics.exceptions import ArgumentError, QueryError
from synfin_analytics.reports._profile_queries import Measurements, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from synfin_analytics.database.manager import DatabaseManager

#: With less, an index without a scan says nothing.
MIN_AGE = dt.timedelta(days=1)
MIN_SCANS = 100
#: A table with fewer rows is often read without an index, and an index of it costs little.
MIN_ROWS = 10_000
_TABLES = {name: model.metadata.tables[name] for name, model in TABLES.items()}
#: On a copy of the table: no migration creates them, because each makes loads slower.
_COLUMNS = _TABLES["transactions"].to_metadata(MetaData(naming_convention=NAMING_CONVENTION)).c
AMOUNT = Index(None, _COLUMNS.amount)
FRAUD = Index(
    "ix_transactions_timestamp_fraud",
    _COLUMNS.timestamp,
    postgresql_where=text("is_fraud IS TRUE"),
)
_OURS = {str(index.name) for table in _TABLES.values() for index in table.indexes}
_OURS |= {str(AMOUNT.name), str(FRAUD.name)}
# Statements that an index on the amount may serve: the first rows in its order, or a range of it.
_BY_AMOUNT = re.compile(
    r"\btransactions\b.*(?:\bORDER BY \S*\bamount\b(?! [-+*/|:])"
    r"|\b(?:WHERE|AND) \S*\bamount (?:[<>=]|BETWEEN))",
    re.IGNORECASE,
)
_AGGREGATES = re.compile(r"\bGROUP BY\b|\b(?:count|sum|avg|min|max)\(", re.IGNORECASE)
_FOR_FRAUDS = (
    "It lists frauds by time 1.1 to 1.3 times as fast as the other indexes do; a load into an "
    "empty table takes about 1.04 times the processor time."
)
_FEW = 0.01  # of the rows of the table
_SLOW = 20.0  # milliseconds


@dataclasses.dataclass(frozen=True)
class IndexChange:
    """An index to drop or to create.

    Attributes
    ----------
    index, table
        Its name, and that of its table.
    action
        ``drop`` or ``create``.
    reason
        What was measured, as a sentence.
    statement
        The SQL statement.
    bytes
        Size of the index; 0 for one that does not exist.
    advised
        Whether the profile advises it. It does not advise to drop an index of a small table, nor an
        unused one if it is not known since when scans are counted, nor to create an index that its
        owner may have dropped. It advises to create the optional ``ix_transactions_amount`` if
        counted statements are slow without it; ``ix_transactions_timestamp_fraud`` is optional too.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, profile_database
    >>> get_db_manager().create_all_tables()
    >>> changes = {change.index: change for change in profile_database().changes}
    >>> changes["ix_transactions_timestamp"].action
    'drop'
    """

    index: str
    table: str
    action: Literal["drop", "create"]
    reason: str
    statement: str
    bytes: int = 0
    advised: bool = True


def index_changes(measured: Measurements) -> list[IndexChange]:
    """Find indexes that are invalid, redundant, unused or missing."""
    indexes: list[Any] = measured.indexes.to_dict("records")
    locked = set(measured.tables.loc[measured.tables["locked"].astype(bool), "table"])
    changes = []
    for index in indexes:
        if index["table"] in locked or index["being_built"] or index["partitioned"]:
            continue
        if index["required"] or index["unique"]:
            continue
        others = [other for other in indexes if other["table"] == index["table"]]
        reason, advised = _reason_to_drop(index, others, measured)
        if reason:
            if index["index"] in _OURS:
                reason += " It is one of the package's own indexes; the package works without it."
            changes.append(
                IndexChange(
                    str(index["index"]), str(index["table"]), "drop", reason,
                    f"DROP INDEX CONCURRENTLY {_qualified(measured.schema, index['index'])}",
                    int(index["bytes"]), advised,
                )
            )  # fmt: skip
    return changes + _missing(measured)


def apply_index_change(
    manager: DatabaseManager, change: IndexChange, *, confirm: str | None = None
) -> None:
    """Drop or create an index without blocking readers or writers of the table.

    The profile is computed again first: a change for which there is no reason anymore is refused.

    Parameters
    ----------
    manager
        The database.
    change
        One of the ``changes`` of a :class:`DatabaseProfile`.
    confirm
        Name of the database, which a protected one requires.

    Raises
    ------
    ArgumentError
        The index has changed since the profile.
    ProtectedDatabaseError
        The database is protected, and ``confirm`` is not its name.
    QueryError
        The server refuses, for example because the role does not own the table. The invalid index
        that a failed creation leaves is dropped.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, profile_database
    >>> manager = get_db_manager()
    >>> manager.create_all_tables()
    >>> profile = profile_database(manager)
    >>> (change,) = [c for c in profile.changes if c.index == "ix_transactions_timestamp"]
    >>> apply_index_change(manager, change)
    >>> profile = profile_database(manager)
    >>> (change,) = [c for c in profile.changes if c.index == "ix_transactions_timestamp"]
    >>> change.action
    'create'
    >>> apply_index_change(manager, change)
    """
    require_confirmation(manager.config, f"{change.action} an index", confirm)
    with translate_errors(), manager.engine.connect() as connection:
        measured = measure(connection)
        current = {(c.index, c.action): c for c in index_changes(measured)}.get(
            (change.index, change.action)
        )
        if current is None:
            raise ArgumentError(
                f"The profile must still name index {change.index!r} to {change.action}; the "
                "database has changed. Run the profile again. Nothing was changed."
            )
        # CONCURRENTLY does not run in a transaction.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text(current.statement))
        except DBAPIError as error:
            remains = _clean_up(connection, measured.schema, current)
            cause: Any = error.orig
            diagnosis = getattr(getattr(cause, "diag", None), "message_primary", None) or cause
            raise QueryError(
                f"Cannot {current.action} index {current.index!r} of {current.table}: {diagnosis}. "
                f"{remains or 'Nothing was changed.'} The owner of the table can {current.action} "
                "it, when no long transaction uses the table."
            ) from None
        except KeyboardInterrupt:
            _clean_up(connection, measured.schema, current)
            raise


def _clean_up(connection: Connection, schema: str, change: IndexChange) -> str:
    """Drop what a failed creation leaves; say so if that fails, or a drop stopped halfway."""
    name = _qualified(schema, change.index)
    invalid = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
    remains = f"An invalid index {change.index!r} remains, which the profile names to drop."
    try:
        if not connection.execute(text(invalid), {"name": name}).scalar():
            return ""
        if change.action == "create":
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
            return ""
    except DBAPIError:
        return remains
    return remains


def statistics_age(measured: Measurements) -> dt.timedelta | None:
    """How long statistics have been collected; None if that is not known."""
    reset = measured.server["stats_reset"]
    return None if reset is None else measured.server["measured_at"] - reset


def format_since(measured: Measurements) -> str:
    """Return since when statistics are collected, as it follows a count."""
    reset = measured.server["stats_reset"]
    return "since an unknown time" if reset is None else f"since {reset:%Y-%m-%d %H:%M %Z}"


def _reason_to_drop(
    index: dict[str, Any], others: Sequence[dict[str, Any]], measured: Measurements
) -> tuple[str, bool]:
    if not index["valid"]:
        return (
            "It is invalid, left by a CREATE or DROP INDEX CONCURRENTLY that did not finish: no "
            "query uses it."
        ), True
    table = next(
        row for row in measured.tables.to_dict("records") if row["table"] == index["table"]
    )
    age = statistics_age(measured)
    for other in others:
        reason = _redundancy(index, other)
        if reason and table["rows"] < MIN_ROWS:
            return f"{reason} While the table is small, that saves little.", False
        if reason and age is not None and age >= MIN_AGE:
            reason += f" It had {pluralize(index['scans'], 'scan')} {format_since(measured)}."
        if reason:
            return reason, True
    # A load looks up keys, and a join one key for each row: such scans are not queries.
    n_scans = table["seq_scans"] + sum(other["scans"] for other in others if not other["unique"])
    if index["scans"] or n_scans < MIN_SCANS or (age is not None and age < MIN_AGE):
        return "", False
    if table["rows"] < MIN_ROWS:
        return "", False
    reason = (
        f"It had no scan on this server {format_since(measured)}, while its table had {n_scans:,} "
        "(an index that was created later was counted for less long)."
    )
    if age is None:
        return f"{reason} So the profile does not know whether it is unused.", False
    return (
        f"{reason} Check that no rare query, such as one of a yearly report, and no replica needs "
        "it."
    ), True


def _redundancy(index: dict[str, Any], other: dict[str, Any]) -> str:
    if other is index or not other["valid"] or index["includes_more"]:
        return ""
    if (other["method"], other["condition"]) != (index["method"], index["condition"]):
        return ""
    keys, longer = list(index["keys"]), list(other["keys"])
    if keys == longer and _precedence(other) < _precedence(index):
        return f"It has the same columns as {other['index']}."
    if index["method"] == "btree" and len(keys) < len(longer) and longer[: len(keys)] == keys:
        return (
            f"Its columns are the first ones of {other['index']}, which can answer the same "
            "queries from a larger index."
        )
    return ""


def _precedence(index: dict[str, Any]) -> tuple[bool, bool, bool, str]:
    """Return what sorts the index to keep first: a key, one of the package, the first name."""
    name = str(index["index"])
    return (not index["required"], not index["unique"], name not in _OURS, name)


def _missing(measured: Measurements) -> list[IndexChange]:
    existing = set(measured.indexes["index"])
    plain = measured.tables[~measured.tables["partitioned"].astype(bool)]
    n_rows = dict(zip(plain["table"], plain["rows"], strict=True))
    changes = [
        _creation(index, measured, "It belongs to the package's tables and does not exist here.")
        for name, table in _TABLES.items()
        if name in n_rows
        for index in sorted(table.indexes, key=lambda index: str(index.name))
        if index.name not in existing
    ]
    table = measured.tables[measured.tables["table"] == "transactions"]
    if "transactions" not in n_rows or table["locked"].any():
        return changes
    if not _has_amount(measured):
        reason, advised = _reason_for_amount(measured, n_rows["transactions"])
        changes.append(_creation(AMOUNT, measured, reason, advised=advised))
    if FRAUD.name not in existing:
        changes.append(_creation(FRAUD, measured, _FOR_FRAUDS))
    return changes


def _creation(
    index: Any, measured: Measurements, reason: str, *, advised: bool = False
) -> IndexChange:
    return IndexChange(
        str(index.name), str(index.table.name), "create", reason,
        _create(index, measured.schema), advised=advised,
    )  # fmt: skip


def _has_amount(measured: Measurements) -> bool:
    """Whether an index begins with the amount of transactions, under any name."""
    return any(
        index["index"] == AMOUNT.name
        or (index["method"] == "btree" and not index["condition"]
            and index["keys"][0].startswith("amount "))
        for index in measured.indexes.to_dict("records") if index["table"] == "transactions"
    )  # fmt: skip


def _reason_for_amount(measured: Measurements, n_rows: int) -> tuple[str, bool]:
    """Return which counted statements may read the table because the index does not exist."""
    reason = (
        "It finds the largest amounts, and the rows in a small range of amounts, without reading "
        "the whole table; loads into a table with rows take about 1.2 times the processor time."
    )
    if measured.no_statements:
        return f"{reason} Statements are not counted, so the profile does not know of any.", False
    statements = [
        row for row in measured.statements.to_dict("records")
        if row["mean_ms"] >= _SLOW and row["rows"] <= _FEW * n_rows * row["calls"]
        and _BY_AMOUNT.search(row["statement"]) and not _AGGREGATES.search(row["statement"])
    ]  # fmt: skip
    n_calls = sum(row["calls"] for row in statements)
    if n_rows < MIN_ROWS or not n_calls:
        return f"{reason} No slow statement that was counted would use it.", False
    mean = sum(row["total_ms"] for row in statements) / n_calls
    return (
        f"{reason} {pluralize(n_calls, 'call')} of statements that sort or filter transactions by "
        f"amount and return few took {mean:,.0f} ms on average; see their plans with EXPLAIN."
    ), True


def _create(index: Any, schema: str) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statement = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
    table = index.table.name
    return statement.replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1).replace(
        f" ON {table} ", f" ON {_qualified(schema, table)} ", 1
    )


def _qualified(schema: str, name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
