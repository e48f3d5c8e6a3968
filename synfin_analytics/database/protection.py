"""Protected databases: calls that destroy data must confirm the name of the database."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from synfin_analytics.exceptions import ArgumentError, ProtectedDatabaseError

if TYPE_CHECKING:
    from synfin_analytics.database.config import DatabaseConfig


def require_confirmation(config: DatabaseConfig, action: str, confirm: str | None) -> None:
    """Raise an error unless ``action`` may destroy data of this database.

    Call it before anything is changed.

    Parameters
    ----------
    config
        The database.
    action
        What the caller is about to do, as it follows "to": ``"drop all tables"``.
    confirm
        Name of the database, as the user has typed it to confirm the action.

    Raises
    ------
    ProtectedDatabaseError
        The database is protected, and ``confirm`` is not its name.
    ArgumentError
        The database is not protected, and ``confirm`` is the name of another one.

    Examples
    --------
    >>> from synfin_analytics.database.config import DatabaseConfig
    >>> config = DatabaseConfig(host="db.bank", database="fraud", protected=True)
    >>> require_confirmation(config, "drop all tables", "fraud")
    >>> require_confirmation(config, "drop all tables", None)
    Traceback (most recent call last):
    ...
    synfin_analytics.exceptions.ProtectedDatabaseError: Database 'fraud' on db.bank:5432 is \
protected: to drop all tables, pass confirm='fraud' (on the command line: --confirm fraud). ...
    """
    if confirm == config.database or (confirm is None and not config.protected):
        return
    if not config.protected:
        raise ArgumentError(
            f"`confirm` must be the name of the database, {config.database!r}; got {confirm!r}. "
            "Nothing was changed."
        )
    place = config.place
    got = "" if confirm is None else f"; got {confirm!r}"
    raise ProtectedDatabaseError(
        f"{place[0].upper()}{place[1:]} is protected: to {action}, pass "
        f"confirm={config.database!r} (on the command line: --confirm "
        f"{shlex.quote(config.database)}){got}. Nothing was changed.",
        database=config.database,
        environment=config.environment,
    )
