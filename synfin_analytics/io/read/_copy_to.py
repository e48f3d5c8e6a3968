"""Read ``COPY … TO STDOUT (FORMAT binary)`` from a session's own connection, in chunks."""

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

#: Maximum number of rows of a chunk: enough to make NumPy's calls cheap.
ROWS = 8_192
#: Approximate maximum size of a chunk, so that wide rows stay in the processor's cache until they
#: are decoded, and do not fill the memory.
BYTES = 2 * 2**20
#: Maximum number of rows between two checks of its size.
_STRIDE = 64
#: Maximum number of chunks that wait to be decoded; then the server waits.
_MAX_WAITING = 4

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


class _Sink:
    """The file-like object to which psycopg2 writes each row."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def copy_chunks(connection: Connection, sql: bytes) -> Generator[Chunk, None, None]:
    """Run a binary COPY and yield its rows while the server continues to send.

    One thread reads while the caller decodes, so that two processors of the client and one of the
    server are busy. The waiting caller can be interrupted (Ctrl-C). If it stops early for whatever
    reason, the server cancels the command, and the connection is ready for the next one.
    """
    chunks: queue.Queue[Chunk | None] = queue.Queue(_MAX_WAITING)
    is_stopped = threading.Event()

    def emit(chunk: Chunk | None) -> None:
        while not is_stopped.is_set():
            with contextlib.suppress(queue.Full):
                chunks.put(chunk, timeout=PAUSE)
                return

    def read() -> None:
        # For each row, `send` of a generator takes a tenth of the time of a method call.
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
            is_stopped.set()


def _next(chunks: queue.Queue[Chunk | None]) -> Chunk | None:
    while True:
        with contextlib.suppress(queue.Empty):
            return chunks.get(timeout=PAUSE)


def _collect(emit: Callable[[Chunk], object]) -> Generator[None, bytes, None]:
    """Receive one message at a time and emit chunks of rows; the last one on EOFError."""
    message = yield
    if not message.startswith(_HEADER):
        raise QueryError("The server's answer is not a binary COPY stream of a supported version.")
    buffers: list[BytesIO] = []
    first = message[len(_HEADER) :]  # it comes with the header
    while True:
        data = _free_buffer(buffers)
        lengths = [data.write(first)] if first else []
        first = b""
        # The inner loop runs for each row, so it only stores the row.
        write, append = data.write, lengths.append
        try:
            while len(lengths) < ROWS and (size := data.tell()) < BYTES:
                # If rows remain as wide as the previous ones, no more than this fit.
                fitting = 1 + (BYTES - size) * len(lengths) // max(size, 1)
                for _ in range(min(_STRIDE, ROWS - len(lengths), fitting)):
                    append(write((yield)))
        except EOFError:
            _emit(emit, data, lengths)
            return
        size = data.tell()
        _emit(emit, data, lengths)
        if size > 2 * BYTES:  # a few huge rows
            buffers.remove(data)


def _emit(emit: Callable[[Chunk], object], data: BytesIO, lengths: list[int]) -> None:
    # Only the trailer is two bytes long: a row has at least one field. It may come with the header.
    if lengths and lengths[-1] == len(_TRAILER):
        lengths.pop()
    if lengths:
        data.write(PADDING)
        emit(Chunk(data.getbuffer(), lengths))


def _free_buffer(buffers: list[BytesIO]) -> BytesIO:
    """Return a buffer whose chunk is decoded: reusing memory is faster than getting new memory."""
    for data in buffers:
        with contextlib.suppress(BufferError):
            data.seek(0)
            data.write(b"")  # raises as long as a chunk uses these bytes
            return data
    buffers.append(BytesIO())
    return buffers[-1]
