"""Protected databases: calls that destroy data must confirm the name of the database."""

from __future__ import annotations

import shlex
import weakref
from typing import TYPE_CHECKING

from synfin_analytics.database.config import DatabaseConfig, find_protection
from synfin_analytics.exceptions import ArgumentError, ProtectedDatabaseError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect, Engine

#: Configuration of each engine of ours, by what all its copies share.
_configs: weakref.WeakKeyDictionary[Dialect, DatabaseConfig] = weakref.WeakKeyDictionary()


def require_confirmation(config: DatabaseConfig, action: str, confirm: str | None) -> None:
    """Raise an error unless ``action`` may destroy data of this database.

    Call it before anything is changed. A database is protected if its environment is, or if a
    protected environment of ``synfin.toml`` names the same database.

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
    >>> config = DatabaseConfig(host="db.bank", database="fraud", protected=True)
    >>> require_confirmation(config, "drop all tables", "fraud")
    >>> require_confirmation(config, "drop all tables", None)
    Traceback (most recent call last):
    ...
    synfin_analytics.exceptions.ProtectedDatabaseError: Database 'fraud' on db.bank:5432 is \
protected by its configuration: to drop all tables, pass confirm='fraud' (on the command line: \
--confirm fraud). Nothing was changed.
    """
    if confirm == config.database:
        return
    protection = find_protection(config)
    got = "" if confirm is None else f"; got {confirm!r}"
    if protection is not None:
        place = config.place
        raise ProtectedDatabaseError(
            f"{place[0].upper()}{place[1:]} is protected by {protection}: to {action}, pass "
            f"confirm={config.database!r} (on the command line: --confirm "
            f"{shlex.quote(config.database)}){got}. Nothing was changed.",
            database=config.database,
            environment=config.environment,
        )
    if confirm is not None:
        raise ArgumentError(
            f"`confirm` must be the name of the database, {config.database!r}{got}. "
            "Nothing was changed."
        )


def register_engine(engine: Engine, config: DatabaseConfig) -> None:
    """Remember the configuration of an engine, for :func:`config_of`."""
    _configs[engine.dialect] = config


def config_of(connection: Connection) -> DatabaseConfig:
    """Return the configuration of a connection, also of one that another engine has opened.

    Parameters
    ----------
    connection
        A connection of SQLAlchemy; that of a session is ``session.connection()``.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> with get_db_manager().engine.connect() as connection:
    ...     config_of(connection) == get_db_manager().config
    True
    """
    config = _configs.get(connection.dialect)
    if config is not None:
        return config
    info = getattr(connection.connection.driver_connection, "info", None)
    url = connection.engine.url
    return DatabaseConfig(
        host=getattr(info, "host", url.host) or "localhost",
        port=getattr(info, "port", url.port) or 5432,
        database=getattr(info, "dbname", url.database) or DatabaseConfig.database,
    )
