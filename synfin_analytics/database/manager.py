"""One database manager for the process, and its sessions."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from synfin_analytics.database._database import DatabaseManager
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    import contextlib

    from sqlalchemy.orm import Session

    from synfin_analytics.database.config import DatabaseConfig

__all__ = ["DatabaseManager", "get_db_manager", "get_db_session", "session_scope"]

_manager: DatabaseManager | None = None
_manager_lock = threading.RLock()


def get_db_manager(config: DatabaseConfig | None = None) -> DatabaseManager:
    """Give the process's manager; create it at the first call.

    Parameters
    ----------
    config
        Which database; by default what the environment says at the first call.

    Raises
    ------
    ConfigurationError
        If there is a manager for another configuration already: close that one first.
    """
    global _manager
    with _manager_lock:
        if _manager is None or _manager.closed:
            _manager = DatabaseManager(config)
        elif config is not None and config != _manager.config:
            raise ConfigurationError(
                f"This process already works with {_manager.config.place}. To change to "
                f"{config.place}, call get_db_manager().close() first; for both at once, make a "
                "DatabaseManager(config) of its own."
            )
        return _manager


def get_db_session() -> Session:
    """Open a new session of the process's manager.

    Examples
    --------
    >>> from sqlalchemy import text
    >>> with get_db_session() as session:
    ...     session.execute(text("SELECT 1")).scalar_one()
    1
    """
    return get_db_manager().get_session()


def session_scope() -> contextlib.AbstractContextManager[Session]:
    """Open a session of the process's manager that commits at the end, or rolls back."""
    return get_db_manager().session_scope()


def _after_fork() -> None:
    global _manager_lock
    _manager_lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
