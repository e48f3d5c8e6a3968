"""Positions in the write-ahead log (WAL), in bytes: reads of a manager must show its commits."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, cast

import psycopg2

from synfin_analytics.database.connection import ask
from synfin_analytics.exceptions import DatabaseConnectionError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from synfin_analytics.database.connection import Connection

# Between two pages, the insert position is behind the header of a page that does not exist yet.
_POSITION = """
    SELECT flushed::bigint, inserted <= flushed OR
        (flushed % current_setting('wal_block_size')::integer = 0 AND inserted - flushed <= 40)
    FROM (SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS inserted,
                 pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') AS flushed) AS positions
"""
# A commit flushes what was inserted before it, if it has something to write.
_FLUSH = """
    SELECT pg_logical_emit_message(true, 'synfin_analytics', '')
    FROM set_config('synchronous_commit', 'local', true)
"""
#: Seconds that the primary has to answer.
_ANSWER_SECONDS = 10.0


def ask_position(primary: Connection, *, of_all_commits: bool) -> int:
    """Return the position that a replica must reach to show what is committed now.

    Parameters
    ----------
    primary
        A connection to the primary, outside of a transaction.
    of_all_commits
        Include those of sessions with ``synchronous_commit = off``, which may not have been
        flushed; replicas only get what was. The server would flush after seconds, if nobody else
        commits.

    Raises
    ------
    DatabaseConnectionError
        The primary does not answer.
    """
    try:
        position, is_flushed = ask(primary, _POSITION, _ANSWER_SECONDS)
        if of_all_commits and not is_flushed:
            ask(primary, _FLUSH, _ANSWER_SECONDS)
            position, _ = ask(primary, _POSITION, _ANSWER_SECONDS)
    except (psycopg2.Error, TimeoutError):
        raise DatabaseConnectionError(
            "The primary does not answer: it is unknown which changes a replica must show."
        ) from None
    return int(position)


class WritePosition:
    """Where in the WAL the commits of a manager end.

    Writers only note that they committed. The position is asked for before the next read from a
    replica: a later one is safe.

    Parameters
    ----------
    engine
        The primary's.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        #: A new object for each commit.
        self._last_commit: object = None
        #: The last commit whose position is known.
        self._known_commit: object = None
        self._position: int | None = None
        self._writers: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._writers_lock = threading.Lock()

    def watch(self, connection: Connection) -> None:
        """Note the commits of a connection."""
        connection.on_commit = self.note_commit
        with self._writers_lock:
            self._writers.add(connection)

    def note_commit(self) -> None:
        """Note that something may have been written."""
        self._last_commit = object()

    def forget(self) -> None:
        """Ask for the position again."""
        with self._lock:
            self._known_commit = object()

    def get(self) -> int | None:
        """Return the position that reads must show; None if nothing was written.

        Raises
        ------
        DatabaseConnectionError
            The primary does not answer.
        """
        with self._writers_lock:
            writers = list(self._writers)
        if any(writer.may_have_committed for writer in writers if not writer.closed):
            self.note_commit()
        with self._lock:
            last_commit = self._last_commit
            if last_commit is not self._known_commit:
                self._position = self._ask()
                self._known_commit = last_commit
            return self._position

    def _ask(self) -> int:
        with self._engine.connect() as bound:
            primary = cast("Connection", bound.connection.driver_connection)
            try:
                return ask_position(primary, of_all_commits=True)
            except DatabaseConnectionError:
                bound.invalidate()
                raise

    def reset_after_fork(self) -> None:
        """Begin with no connections; the parent's commits remain to be shown."""
        self._lock, self._writers_lock = threading.Lock(), threading.Lock()
        self._writers = weakref.WeakSet()
