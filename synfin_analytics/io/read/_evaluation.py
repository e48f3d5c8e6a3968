"""Let the planner see the values of a query, and evaluate each once.

In a database with the tables of this package, the function ``synfin_value`` does both: the planner
replaces a call by its value, as if the query contained a literal.

In another database, the planner estimates ``amount > current_setting(…)::numeric`` as precisely as
a comparison with a literal, and an index evaluates it once. But a scan of the whole table converts
the setting for each row. A subquery is evaluated once, but the planner does not know its value, and
may choose an index for a range of half of the table. So the plan of the first form decides: where
it converts settings for many rows and uses no index, the second form runs without indexes, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.io.read._sql import BoundSQL

#: Cost of a node of a plan from which its expressions may be evaluated for many rows: a sequential
#: scan of about 50,000 rows, in which converting one value takes about 10 ms.
MANY = 2000
_SETTING = re.compile(r"synfin\.p\d+")
#: Conditions that a node evaluates for each row, and those whose values the planner estimates.
_FILTERS = {"Filter", "Hash Cond", "Join Filter", "Merge Cond"}
_CONDITIONS = _FILTERS | {"Index Cond", "One-Time Filter", "Order By", "Recheck Cond", "TID Cond"}
_INDEX_SCANS = ("enable_bitmapscan", "enable_indexonlyscan", "enable_indexscan")
_SAVE = ", ".join(
    f"set_config('synfin.{name}', current_setting('{name}'), true), "
    f"set_config('{name}', 'off', true)"
    for name in _INDEX_SCANS
)
_RESTORE = ", ".join(
    f"set_config('{name}', current_setting('synfin.{name}'), true)" for name in _INDEX_SCANS
)
# The function must belong to the owner of the tables, so that nobody else can replace it. The plans
# that auto_explain writes to the log would contain the values.
_FIND_FUNCTION = """
    SELECT quote_ident(n.nspname) || '.' || p.proname
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'transactions'
    WHERE p.oid = to_regprocedure('synfin_value(text, anyelement)') AND p.proowner = c.relowner
        AND has_function_privilege(p.oid, 'EXECUTE')
        AND coalesce(current_setting('auto_explain.log_min_duration', true), '-1') IN ('', '-1')
"""


def find_function(cursor: Cursor) -> str:
    """Return the name of the function with which the planner sees values; "" if there is none."""
    cursor.execute(_FIND_FUNCTION)
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def choose_evaluation(cursor: Cursor, sql: BoundSQL) -> tuple[BoundSQL, str, str]:
    """Return the query to run, and statements to run before and after it."""
    if not sql.has_scalars:
        return sql, "", ""
    cursor.execute(sql.wrap("EXPLAIN (VERBOSE, FORMAT JSON)\n", ""))
    [([explained],)] = cursor.fetchall()
    nodes = list(_nodes(explained["Plan"]))
    costly = [node for node in nodes if _own_cost(node) > MANY]
    filtered = _settings(costly, _FILTERS)
    if filtered and not any("Index" in node["Node Type"] for node in nodes):
        return sql.evaluating_once(_settings(nodes)), f"SELECT {_SAVE};\n", f";\nSELECT {_RESTORE}"
    # Where the plan uses an index, its estimates are worth more than the time of the filters.
    return sql.evaluating_once(_settings(costly) - _settings(nodes, _CONDITIONS)), "", ""


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _own_cost(node: dict[str, Any]) -> float:
    """Cost of a node without its inputs."""
    inputs = sum(child["Total Cost"] for child in node.get("Plans", ()))
    return float(node["Total Cost"] - inputs)


def _settings(nodes: Iterable[dict[str, Any]], fields: Collection[str] = ()) -> set[str]:
    """Return the settings that these fields of nodes, by default all, refer to."""
    return {
        name
        for node in nodes
        for field, content in node.items()
        if field != "Plans" and (not fields or field in fields)
        for name in _SETTING.findall(str(content))
    }
