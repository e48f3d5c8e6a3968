"""Work in the server that can be interrupted (Ctrl-C)."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class

_PAUSE = 0.1  # seconds


class InterruptibleCursor(psycopg2.extensions.cursor):
    """A cursor whose commands an interrupt cancels."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Run a command."""
        interruptible(
            self.connection, lambda: super(InterruptibleCursor, self).execute(query, vars)
        )

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Run a COPY."""
        interruptible(
            self.connection, lambda: super(InterruptibleCursor, self).copy_expert(sql, file, size)
        )


def interruptible(connection: PgConnection, call: Callable[[], object]) -> None:
    """Wait for the server in a thread; an interrupt cancels what the server does.

    psycopg2 alone would wait for the end of the command: for as long as an index takes to build,
    or as long as somebody else holds a lock. When this returns or raises, ``call`` is over, and
    the connection is ready for the next command.
    """
    # Whoever takes the turn first: the thread, which then calls, or an interrupt before that.
    turn = threading.Lock()
    done = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        if not turn.acquire(blocking=False):
            return
        try:
            call()
        except BaseException as failure:  # noqa: BLE001 - handed to the caller's thread
            failures.append(failure)
        finally:
            done.set()

    try:
        threading.Thread(target=run, name="synfin-wait", daemon=True).start()
        # Again and again: with the signal handler that polars installs, Python notices an
        # interrupt only when a wait has come to its end.
        while not done.wait(_PAUSE):
            pass
    except BaseException:
        if not turn.acquire(blocking=False):
            _end(connection, done)
        raise
    if failures:
        raise failures[0]


def _end(connection: PgConnection, done: threading.Event) -> None:
    """Have the server cancel; cut the line if it cannot be told, or at a second interrupt."""
    try:
        if not done.is_set():
            connection.cancel()
        while not done.wait(_PAUSE):
            pass
    except (KeyboardInterrupt, psycopg2.Error):
        if not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        done.wait()
