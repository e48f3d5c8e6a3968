"""Foreign keys that the load vouches for, so that the server need not look up each row's again.

The parents of all rows are known to exist, and their keys are locked until the transaction ends, as
PostgreSQL's own check of a row would lock them. A superuser, as on the embedded server, may then
leave those checks out. That is done only where nothing else would be left out with them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.spec import TableSpec

_MAY = """
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


def may_vouch(cursor: Cursor, spec: TableSpec) -> bool:
    """Whether this user may leave triggers out, and a row of the table fires none but known ones.

    Those are the foreign keys of the model, and the trigger that derives columns, which the loader
    has done.
    """
    cursor.execute(
        _MAY,
        {
            "table": spec.qualified(),
            "name": spec.name,
            "columns": [one.column for one in spec.references],
            "parents": [spec.qualified(one.table) for one in spec.references],
        },
    )
    row = cursor.fetchone()
    return bool(row and row[0])


@contextlib.contextmanager
def unchecked(cursor: Cursor, *, vouched: bool) -> Iterator[None]:
    """Leave the triggers of rows out within the block, if they are vouched for.

    An error leaves the setting as it is: what the caller rolls back to has the former one.
    """
    if vouched:
        cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    if vouched:
        cursor.execute("SET LOCAL session_replication_role = origin")
