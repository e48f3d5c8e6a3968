"""Skip the server's foreign-key checks where the load has done them already.

The load has looked all keys up and locked them until the transaction ends, as PostgreSQL's own
check of each row would. A superuser, as on the embedded server, can then turn the triggers of the
rows off, which are these checks. It is done only where no other trigger would be skipped with them.
CONTRIBUTING has the measurement.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.spec import TableSpec

_QUERY = """
    SELECT current_setting('is_superuser') = 'on'
        AND current_setting('session_replication_role') = 'origin'
        AND NOT EXISTS (
            SELECT FROM pg_trigger AS t LEFT JOIN pg_constraint AS c ON c.oid = t.tgconstraint
            WHERE t.tgrelid = %(table)s::regclass AND t.tgtype & 4 <> 0 AND t.tgenabled = 'O'
            AND NOT coalesce(c.contype = 'f' AND cardinality(c.conkey) = 1 AND EXISTS (
                SELECT FROM pg_attribute AS a
                JOIN unnest(%(columns)s::text[], %(parents)s::text[]) AS r(name, parent)
                    ON r.name = a.attname AND r.parent::regclass = c.confrelid
                WHERE a.attrelid = t.tgrelid AND a.attnum = c.conkey[1]
            ), false)
            AND t.tgname <> 'tr_' || %(name)s || '_derive_insert'
        )
"""


def can_skip_checks(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether this user can turn triggers off, and a row of the table fires known ones only.

    Those are the foreign keys of the model, and the trigger that derives columns, which the load
    has derived already.
    """
    cursor.execute(
        _QUERY,
        {
            "table": spec.qualified(),
            "name": spec.name,
            "columns": [key.column for key in spec.foreign_keys],
            "parents": [spec.qualified(key.table) for key in spec.foreign_keys],
        },
    )
    row = cursor.fetchone()
    return bool(row and row[0])


@contextlib.contextmanager
def skipped_checks(cursor: Cursor, *, enabled: bool) -> Iterator[None]:
    """Turn the triggers of rows off within the block, if ``enabled``.

    An error leaves the setting as it is: the caller rolls back to a savepoint before it.
    """
    if enabled:
        cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    if enabled:
        cursor.execute("SET LOCAL session_replication_role = origin")
