"""Versions of the tables in a database: create, upgrade and drop them.

The steps between versions are Alembic migrations. They are part of the package, so that
:func:`upgrade` works from a checkout and from an installed wheel, in any directory.
"""

from __future__ import annotations

from synfin_analytics.database.schema._errors import translate_errors
from synfin_analytics.database.schema._migrate import (
    Revision,
    downgrade,
    history,
    migration_transaction,
    upgrade,
)
from synfin_analytics.database.schema._version import (
    HasEngine,
    SchemaVersion,
    check_version,
    current,
    known_versions,
    require_current,
)

__all__ = [
    "HasEngine",
    "Revision",
    "SchemaVersion",
    "check_version",
    "current",
    "downgrade",
    "history",
    "known_versions",
    "migration_transaction",
    "require_current",
    "translate_errors",
    "upgrade",
]
