"""Commands that Ctrl-C can interrupt, and that end by a deadline: they run in a thread."""

from __future__ import annotations

import contextlib
import ctypes
import math
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
#: Seconds that the server has for cancelling. A stalled connection does not carry the request.
CANCEL_TIMEOUT = 5.0


class Cursor(psycopg2.extensions.cursor):
    """A cursor whose commands are cancelled by an interrupt."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Run a command."""
        interruptible(self.connection, lambda: super(Cursor, self).execute(query, vars))

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Run a COPY."""
        interruptible(self.connection, lambda: super(Cursor, self).copy_expert(sql, file, size))

    def fetch_value(self, query: Any, vars: Any = None) -> Any:  # noqa: A002 - psycopg2's name
        """Run a query and return the first column of its first row; None if it has no row."""
        self.execute(query, vars)
        row = self.fetchone()
        return None if row is None else row[0]


def interruptible(connection: PgConnection, call: Callable[[], object]) -> None:
    """Run a call in a thread and wait for it; an interrupt cancels the server's command.

    psycopg2 alone would wait for the end of the command, for as long as an index takes to build, or
    as another session holds a lock. When this function returns or raises, ``call`` has ended and
    the connection is ready for the next command.
    """
    with in_background(connection, call) as background:
        background.wait()


def finish_by(connection: PgConnection, call: Callable[[], object], deadline: float) -> None:
    """Run a call in a thread until a deadline; then, or on an interrupt, cut the connection.

    Parameters
    ----------
    connection
        The connection that the call uses.
    call
        The call.
    deadline
        A time of :func:`time.monotonic`.

    Raises
    ------
    TimeoutError
        The call had not ended at the deadline; the connection is closed.
    """
    background = BackgroundCall(call)
    try:
        background.start()  # an interrupt can come while the thread starts
        if not background.wait(deadline):
            raise TimeoutError
    except BaseException:
        background.abandon(connection)
        raise
    background.result()


class BackgroundCall:
    """A call that a thread makes on a connection."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        # Acquired first by the thread, which then calls, or by an interrupt, which prevents it.
        self._start_lock = threading.Lock()
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the thread: once, and only where an interrupt would end it."""
        threading.Thread(target=self._run, name="synfin-wait", daemon=True).start()

    def _run(self) -> None:
        if not self._start_lock.acquire(blocking=False):
            return
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._error = error
        finally:
            self._ended.set()

    def wait(self, deadline: float = math.inf) -> bool:
        """Wait until the call has ended, or ``time.monotonic()`` has reached the deadline.

        Returns whether it has ended.
        """
        # In short waits: with the signal handler that polars installs, Python only notices an
        # interrupt when a wait has ended.
        while not self._ended.wait(PAUSE) and time.monotonic() < deadline:
            pass
        return self._ended.is_set()

    def result(self) -> None:
        """Wait until the call has ended, and raise its error."""
        self.wait()
        if self._error is not None:
            raise self._error

    def cancel(self, connection: PgConnection) -> None:
        """Cancel the command, or prevent it if it has not started."""
        if not self._start_lock.acquire(blocking=False):
            self.wait_or_cut(connection, cancel=True)

    def abandon(self, connection: PgConnection) -> None:
        """Cut the connection at once, or prevent the call if it has not started."""
        if not self._start_lock.acquire(blocking=False):
            self.wait_or_cut(connection, cancel=False, is_patient=False)

    def wait_or_cut(
        self, connection: PgConnection, *, cancel: bool, is_patient: bool = True
    ) -> None:
        """Wait for the call; cut the connection after a timeout or another interrupt.

        Parameters
        ----------
        connection
            The connection that the call uses.
        cancel
            Ask the server to cancel the command.
        is_patient
            Wait for the call before the connection is cut.
        """
        is_cut = False
        while not self._ended.is_set():
            # An interrupt can come at any time, and must not leave the thread on the connection.
            with contextlib.suppress(KeyboardInterrupt):
                if is_patient:
                    is_patient = False
                    if cancel:
                        threading.Thread(
                            target=_request_cancel, args=(connection,), daemon=True
                        ).start()
                    self.wait(time.monotonic() + CANCEL_TIMEOUT)
                else:
                    is_cut = True
                    _cut(connection)
                    self.wait()
        if is_cut:
            connection.close()


def cut_if_silent(connection: PgConnection) -> None:
    """Cut a connection after an interrupt if the server does not answer in time.

    The rollback that follows would also wait for the server, and no interrupt would end that.
    """
    if not connection.closed:
        ping = BackgroundCall(lambda: _ping(connection))
        ping.start()
        ping.wait_or_cut(connection, cancel=False)


def _ping(connection: PgConnection) -> None:
    with connection.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
        cursor.execute("SELECT 1")


def _request_cancel(connection: PgConnection) -> None:
    """Send a cancel request, through a separate connection, which may take forever."""
    libpq = _libpq()
    if libpq is None:
        with contextlib.suppress(psycopg2.Error):  # closed meanwhile: there is nothing to cancel
            connection.cancel()
        return
    request = libpq.PQgetCancel(connection.pgconn_ptr)
    if request:
        libpq.PQcancel(request, ctypes.create_string_buffer(256), 256)
        libpq.PQfreeCancel(request)


@cache
def _libpq() -> ctypes.CDLL | None:
    """Return the driver's libpq: psycopg2's ``cancel`` holds the GIL while it waits."""
    libpq = ctypes.CDLL(_psycopg.__file__)
    try:
        libpq.PQgetCancel.argtypes = [ctypes.c_void_p]
        libpq.PQgetCancel.restype = ctypes.c_void_p
        libpq.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        libpq.PQfreeCancel.argtypes = [ctypes.c_void_p]
        libpq.PQfreeCancel.restype = None
    except AttributeError:  # Windows only searches this library
        return None
    return libpq


def _cut(connection: PgConnection) -> None:
    """Shut down the connection's socket, which ends every wait for it."""
    if not connection.closed:
        with (
            socket.socket(fileno=os.dup(connection.fileno())) as copy,
            contextlib.suppress(OSError),  # it is shut down already
        ):
            copy.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def in_background(connection: PgConnection, call: Callable[[], object]) -> Iterator[BackgroundCall]:
    """Make a call on a connection in a thread; it has ended when the block has.

    An error in the block cancels it; otherwise its own error is raised.
    """
    background = BackgroundCall(call)
    try:
        background.start()  # an interrupt can come while the thread starts
        yield background
    except BaseException:
        background.cancel(connection)
        raise
    background.result()
