"""A cursor whose work in the server can be interrupted (Ctrl-C)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg2.extensions

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE = 0.1  # seconds


class InterruptibleCursor(psycopg2.extensions.cursor):
    """A cursor that waits for the server in a thread; an interrupt cancels what the server does.

    psycopg2 alone would wait for the end of the command: for as long as an index takes to build,
    or as long as somebody else holds a lock.
    """

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Run a command."""
        self._interruptible(lambda: super(InterruptibleCursor, self).execute(query, vars))

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Run a COPY."""
        self._interruptible(lambda: super(InterruptibleCursor, self).copy_expert(sql, file, size))

    def _interruptible(self, call: Callable[[], None]) -> None:
        failures: list[BaseException] = []

        def run() -> None:
            try:
                call()
            except BaseException as failure:  # noqa: BLE001 - handed to the caller's thread
                failures.append(failure)

        worker = threading.Thread(target=run, name="synfin-load", daemon=True)
        worker.start()
        try:
            # Again and again: with the signal handler that polars installs, Python notices an
            # interrupt only when a wait has come to its end.
            while worker.is_alive():
                worker.join(_PAUSE)
        except BaseException:
            if not self.connection.closed:
                self.connection.cancel()
            worker.join()
            raise
        if failures:
            raise failures[0]
