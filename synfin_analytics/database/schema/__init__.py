"""The version of the tables in a database: create them, bring them up to date, take them away.

The steps between versions are Alembic's migrations. They travel with the package, so that
:func:`upgrade` works from a checkout and from an installed wheel, in any folder.
"""

from __future__ import annotations

from synfin_analytics.database.schema._errors import refusals_in_words
from synfin_analytics.database.schema._migrate import (
    Revision,
    downgrade,
    history,
    migrating,
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
    "migrating",
    "refusals_in_words",
    "require_current",
    "upgrade",
]
