"""Work in the server that can be interrupted (Ctrl-C)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions
from psycopg2 import _psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class

PAUSE = 0.1  # seconds
#: Seconds for the server to cancel. A link that is stalled carries the request no better than rows.
PATIENCE = 5.0


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
    with in_background(connection, call) as work:
        work.wait()


class Work:
    """What a thread does on a connection."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        # Whoever takes the turn first: the thread, which then calls, or an interrupt before that.
        self._turn = threading.Lock()
        self._done = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Let the thread begin: once, and not before somebody would end it at an interrupt."""
        threading.Thread(target=self._run, name="synfin-wait", daemon=True).start()

    def _run(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._call()
        except BaseException as failure:  # noqa: BLE001 - handed to the caller's thread
            self._failure = failure
        finally:
            self._done.set()

    def wait(self) -> None:
        """Wait until it is done."""
        # Again and again: with the signal handler that polars installs, Python notices an
        # interrupt only when a wait has come to its end.
        while not self._done.wait(PAUSE):
            pass

    def result(self) -> None:
        """Wait until it is done, and raise what it raised."""
        self.wait()
        if self._failure is not None:
            raise self._failure

    def end(self, connection: PgConnection) -> None:
        """Have the server cancel; cut the line if it does not in time, or at a second interrupt."""
        if self._turn.acquire(blocking=False):
            return
        asked = cut = False
        while not self._done.is_set():
            # An interrupt can come at any point, and must not leave the thread on the connection.
            with contextlib.suppress(KeyboardInterrupt):
                if not asked:
                    asked = True
                    threading.Thread(target=_cancel, args=(connection,), daemon=True).start()
                    self.wait_until(time.monotonic() + PATIENCE)
                else:
                    cut = True
                    _cut(connection)
                    self.wait()
        if cut:
            connection.close()

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._done.is_set()

    def wait_until(self, deadline: float) -> None:
        """Wait until it is done, but no longer than ``time.monotonic()`` is before the deadline."""
        while not self._done.wait(PAUSE) and time.monotonic() < deadline:
            pass


def cut_if_silent(connection: PgConnection) -> None:
    """Cut the connection after an interrupt if the server does not answer in time.

    What is to be rolled back then would wait for the server too, and no interrupt ends that.
    """
    if connection.closed:
        return
    question = Work(lambda: _ask(connection))
    question.start()
    cut, deadline = False, time.monotonic() + PATIENCE
    while not question.done:
        with contextlib.suppress(KeyboardInterrupt):  # at a second interrupt without patience
            wait_until, deadline = deadline, 0.0
            question.wait_until(wait_until)
            if not question.done:
                cut = True
                _cut(connection)
                question.wait()
    if cut:
        connection.close()


def _ask(connection: PgConnection) -> None:
    with connection.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
        cursor.execute("SELECT 1")


def _cancel(connection: PgConnection) -> None:
    """Ask the server to cancel, over a connection of its own, which may take forever."""
    libpq = _libpq()
    if libpq is None:
        with contextlib.suppress(psycopg2.Error):  # closed meanwhile: nothing is left to cancel
            connection.cancel()
        return
    request = libpq.PQgetCancel(connection.pgconn_ptr)
    if request:
        libpq.PQcancel(request, ctypes.create_string_buffer(256), 256)
        libpq.PQfreeCancel(request)


@cache
def _libpq() -> ctypes.CDLL | None:
    """Find the driver's libpq: psycopg2's ``cancel`` holds Python's lock while it waits."""
    libpq = ctypes.CDLL(_psycopg.__file__)
    try:
        libpq.PQgetCancel.argtypes = [ctypes.c_void_p]
        libpq.PQgetCancel.restype = ctypes.c_void_p
        libpq.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        libpq.PQfreeCancel.argtypes = [ctypes.c_void_p]
        libpq.PQfreeCancel.restype = None
    except AttributeError:  # Windows looks for them in this one library only
        return None
    return libpq


def _cut(connection: PgConnection) -> None:
    """Shut the connection's socket down, under whoever waits at it."""
    if not connection.closed:
        with (
            socket.socket(fileno=os.dup(connection.fileno())) as line,
            contextlib.suppress(OSError),  # it is cut already
        ):
            line.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def in_background(connection: PgConnection, call: Callable[[], object]) -> Iterator[Work]:
    """Let a thread work on a connection; the work is over when the block is.

    An error that leaves the block cancels it; else its own error is raised.
    """
    work = Work(call)
    try:
        work.start()  # takes a while, and an interrupt can come while the thread is on its way
        yield work
    except BaseException:
        work.end(connection)
        raise
    work.result()
