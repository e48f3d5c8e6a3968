"""Indexes that a profile advises to drop or names as missing, and the statements that do so."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from synfin_analytics.database.models import TABLES
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
_OURS = {
    str(index.name) for model in TABLES.values() for index in model.metadata.tables[
        model.__tablename__
    ].indexes
}  # fmt: skip


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
        Whether the profile advises it. It does not advise to drop an unused index if it is not
        known since when scans are counted, nor to create an index of the package that does not
        exist, because its owner may have dropped it.

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
    for other in others:
        reason = _redundancy(index, other)
        if reason:
            return f"{reason} It had {index['scans']:,} scans {format_since(measured)}.", True
    age = statistics_age(measured)
    table = next(
        row for row in measured.tables.to_dict("records") if row["table"] == index["table"]
    )
    n_scans = table["seq_scans"] + table["index_scans"]
    if index["scans"] or n_scans < MIN_SCANS or (age is not None and age < MIN_AGE):
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
    plain = set(measured.tables.loc[~measured.tables["partitioned"].astype(bool), "table"])
    return [
        IndexChange(
            str(index.name), name, "create",
            "It belongs to the package's tables and does not exist here.",
            _create(index, measured.schema), advised=False,
        )
        for name, model in TABLES.items()
        if name in plain
        for index in sorted(model.metadata.tables[name].indexes, key=lambda index: str(index.name))
        if index.name not in existing
    ]  # fmt: skip


def _create(index: Any, schema: str) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statement = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
    table = index.table.name
    return statement.replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1).replace(
        f" ON {table} ", f" ON {_qualified(schema, table)} ", 1
    )


def _qualified(schema: str, name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
