"""Let the embedded server count statements, with the extension pg_stat_statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from synfin_analytics.database.schema import translate_errors
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from synfin_analytics.database.manager import DatabaseManager

_LIBRARY = "pg_stat_statements"
_SETTING = "shared_preload_libraries"
# The value in the files, which the server has read at its start or reads at the next one.
_LIBRARIES = f"""
    SELECT setting FROM pg_file_settings WHERE name = '{_SETTING}' ORDER BY seqno DESC LIMIT 1
"""  # noqa: S608 - a constant


def track_statements(manager: DatabaseManager, enabled: bool) -> None:
    """Load pg_stat_statements at the next start of the embedded server, or no longer.

    Parameters
    ----------
    manager
        The embedded database, in which the extension is created or dropped.
    enabled
        Whether to count statements.

    Raises
    ------
    ArgumentError
        The server is not the embedded one.
    """
    if not manager.config.embedded:
        raise ArgumentError(
            "--track-statements is for the embedded server; the administrator of this one adds "
            f"{_LIBRARY} to {_SETTING}, restarts it and runs CREATE EXTENSION {_LIBRARY}. Nothing "
            "was changed."
        )
    with translate_errors(), manager.engine.connect() as connection:
        # ALTER SYSTEM does not run in a transaction.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        value = str(connection.execute(text(_LIBRARIES)).scalar() or "")
        names = [name for part in value.split(",") if (name := part.strip().strip('"'))]
        others = [name for name in names if name != _LIBRARY]
        # In this order, a failure leaves a library without its extension, which is harmless.
        if not enabled:
            connection.execute(text(f"DROP EXTENSION IF EXISTS {_LIBRARY}"))
        chosen = [*others, _LIBRARY] if enabled else others
        quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in chosen)
        connection.execute(
            text(
                f"ALTER SYSTEM SET {_SETTING} = {quoted}" if chosen
                else f"ALTER SYSTEM RESET {_SETTING}"
            )
        )  # fmt: skip
        if enabled:
            connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {_LIBRARY}"))
