"""The version of the data in tables: what an answer from a cache is compared with.

Triggers add a row to ``synfin_data_versions`` in each transaction that changes a table, under a
random token. The tokens that a statement sees identify the changes that it sees: those that were
committed before it began, whoever made them. Their XOR is therefore a version of the data, which is
never that of other data: not on a standby, not after a restore, and not in a copy of the database.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import text

from synfin_analytics.database.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

_EXISTS = text("""
    SELECT to_regclass('synfin_data_versions') IS NOT NULL,
        pg_current_xact_id_if_assigned() IS NOT NULL
""")
# The identity of a table changes when rows change without a trigger: by ALTER TABLE, TRUNCATE of a
# partition, ATTACH or DETACH of one, or a trigger that was disabled (each writes its row of
# pg_trigger again). Readable columns are part of it, since a role must not get an answer from
# columns that it cannot read.
_VERSION = text("""
    WITH named AS (
        SELECT name, CAST(to_regclass(quote_ident(name)) AS oid) AS oid
        FROM unnest(CAST(:names AS text[])) AS t(name)
    ), parts AS (
        SELECT name, oid AS root, oid FROM named
        UNION SELECT name, named.oid, tree.relid FROM named, pg_partition_tree(named.oid) AS tree
    ), relations AS (
        SELECT parts.name, parts.oid = parts.root AS is_root, c.oid, c.relfilenode,
            t.oid AS trigger, CAST(t.xmin AS text) AS altered,
            c.relkind IN ('r', 'p') AND (c.relkind = 'p' OR NOT c.relhassubclass)
                AND (c.relkind = 'p' OR pg_relation_filenode(c.oid) = c.relfilenode)
                AND t.tgenabled = 'A' AS tracked,
            row_security_active(c.oid) AS filtered,
            EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = c.oid) AS replicated
        FROM parts JOIN pg_class AS c ON c.oid = parts.oid
        LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid
            AND t.tgname = 'tr_' || parts.name || '_change'
            AND t.tgfoid = to_regprocedure('synfin_count_change()')
    )
    SELECT name,
        coalesce(bool_and(tracked), false) AS tracked, bool_or(filtered) AS filtered,
        bool_or(replicated) AS replicated,
        string_agg(concat_ws(' ', oid, relfilenode, trigger, altered), ',' ORDER BY oid)
            AS identity,
        (
            SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = max(r.oid) FILTER (WHERE is_root) AND attnum > 0 AND NOT attisdropped
                AND has_column_privilege(attrelid, attnum, 'SELECT')
        ) AS readable,
        (
            SELECT concat_ws(' ', sum(changes), bit_xor(token)) FROM synfin_data_versions AS v
            WHERE v.table_name = r.name
        ) AS version
    FROM relations AS r GROUP BY name ORDER BY name
""")


def read_data_version(connection: Connection, tables: Iterable[str]) -> str | None:
    """Return a version of the data that this transaction sees now; None where there is none.

    There is none in a transaction that has written something, and of tables whose changes or rows
    depend on more than the triggers see. Two equal versions are of equal rows.
    """
    exists, has_written = connection.execute(_EXISTS).one()
    if not exists or has_written:
        return None
    names = sorted(set(tables))
    rows = connection.execute(_VERSION, {"names": names}).all()
    if len(rows) != len(names):
        return None
    for row in rows:
        if not row.tracked or row.filtered or row.replicated:
            reason = (
                "row-level security"
                if row.filtered
                else "logical replication"
                if row.replicated
                else "a partition or child table without the trigger"
            )
            logger.debug("no cache for %s: %s", row.name, reason)
            return None
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()
