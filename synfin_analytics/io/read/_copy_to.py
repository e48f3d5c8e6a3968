"""The bytes of ``COPY … TO STDOUT (FORMAT binary)`` of a session's own connection, in chunks."""

from __future__ import annotations

import contextlib
import queue
import threading
from io import BytesIO
from typing import TYPE_CHECKING

from synfin_analytics.exceptions import QueryError
from synfin_analytics.io._interrupt import PAUSE, in_background
from synfin_analytics.io.read._decode import PADDING, Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from psycopg2.extensions import connection as Connection  # noqa: N812

#: Rows of a chunk: enough to make NumPy's calls cheap.
ROWS = 8_192
#: A chunk also ends about here, so that wide rows stay in the processor's cache until they are
#: decoded, and do not fill the memory.
BYTES = 2 * 2**20
#: Rows at most between two looks at its size.
_STRIDE = 64
#: Chunks that may wait to be decoded; then the server waits.
_WAITING = 4

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


class _Sink:
    """What psycopg2 writes each row to."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def copy_chunks(connection: Connection, sql: bytes) -> Generator[Chunk, None, None]:
    """Run a binary COPY and yield its rows while the server goes on sending.

    A thread reads and the caller decodes: so the two processors of a laptop, and the server's, all
    have work. The waiting caller can be interrupted (Ctrl-C); when it stops early for whatever
    reason, the server is told to cancel, and the connection is ready for the next command.
    """
    chunks: queue.Queue[Chunk | None] = queue.Queue(_WAITING)
    stopped = threading.Event()

    def emit(chunk: Chunk | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                chunks.put(chunk, timeout=PAUSE)
                return

    def read() -> None:
        # A generator's send costs a tenth of a Python method's call, which counts for each row.
        sink = _collect(emit)
        next(sink)
        try:
            with connection.cursor() as cursor:
                cursor.copy_expert(sql, _Sink(sink.send))
            with contextlib.suppress(StopIteration):
                sink.throw(EOFError)
        finally:
            emit(None)

    with in_background(connection, read):
        try:
            while (chunk := _next(chunks)) is not None:
                yield chunk
        finally:
            stopped.set()


def _next(chunks: queue.Queue[Chunk | None]) -> Chunk | None:
    while True:
        with contextlib.suppress(queue.Empty):
            return chunks.get(timeout=PAUSE)


def _collect(emit: Callable[[Chunk], object]) -> Generator[None, bytes, None]:
    """Take a message at a time and emit chunks of rows; the last one on EOFError."""
    message = yield
    if not message.startswith(_HEADER):
        raise QueryError("The server sent no binary COPY stream of the known version.")
    buffers: list[BytesIO] = []
    first = message[len(_HEADER) :]  # comes with the header
    while True:
        data = _unused(buffers)
        lengths = [data.write(first)] if first else []
        first = b""
        # This runs for each row: so it does nothing but keep it.
        write, append = data.write, lengths.append
        try:
            while len(lengths) < ROWS and (size := data.tell()) < BYTES:
                # Of rows as wide as those so far no more than fit.
                fitting = 1 + (BYTES - size) * len(lengths) // max(size, 1)
                for _ in range(min(_STRIDE, ROWS - len(lengths), fitting)):
                    append(write((yield)))
        except EOFError:
            _emit(emit, data, lengths)
            return
        size = data.tell()
        _emit(emit, data, lengths)
        if size > 2 * BYTES:  # of a few huge rows
            buffers.remove(data)


def _emit(emit: Callable[[Chunk], object], data: BytesIO, lengths: list[int]) -> None:
    # Only the trailer is two bytes long: a row has at least one field. It may come with the header.
    if lengths and lengths[-1] == len(_TRAILER):
        lengths.pop()
    if lengths:
        data.write(PADDING)
        emit(Chunk(data.getbuffer(), lengths))


def _unused(buffers: list[BytesIO]) -> BytesIO:
    """Give a buffer whose chunk is decoded, for memory in use is faster than new memory."""
    for data in buffers:
        with contextlib.suppress(BufferError):
            data.seek(0)
            data.write(b"")  # refused as long as there is a chunk of these bytes
            return data
    buffers.append(BytesIO())
    return buffers[-1]
