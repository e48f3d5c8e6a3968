"""Rows of ``COPY … (FORMAT binary)`` into Arrow arrays, whole columns at a time.

A row is a 16-bit count of fields and, for each field, a 32-bit length (-1: NULL) and that many
bytes, all big-endian. Where the n-th field of a row begins depends on the fields before it, but not
on other rows: so one position per row moves from field to field, and each step is a handful of
NumPy operations on all rows of a chunk.

Rows lie far apart, and fetching a few bytes of each takes as long as fetching many. So a window,
the same stretch of every row, is copied side by side, and fields are read from there as long as
those before them are equally long in all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synfin_analytics.exceptions import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_LENGTH = 4  # bytes
_NULL = -1
#: Bytes of each row that are copied at once.
WINDOW = 64
#: How many of them should be left for a field whose length differs: a number begins with 16.
_AHEAD = 16
#: Zeros behind the last row: decoders read beyond the end of a NULL one.
PADDING = bytes(WINDOW)


class Chunk:
    """Bytes of some rows, and where each row ends.

    Parameters
    ----------
    data
        The rows one after another, followed by :data:`PADDING`.
    lengths
        Number of bytes of each row.
    """

    __slots__ = ("_views", "buffer", "bytes", "ends", "rows", "starts")

    def __init__(self, data: memoryview, lengths: list[int]) -> None:
        self.bytes = np.frombuffer(data, np.uint8)
        self.buffer = pa.py_buffer(data)
        self.ends = np.cumsum(np.array(lengths, np.int64))
        self.starts = self.ends - np.array(lengths, np.int64)
        self.rows = len(lengths)
        self._views: dict[tuple[str, int], npt.NDArray[Any]] = {}

    def gather(self, kind: str, position: Integers, offset: int = 0) -> npt.NDArray[Any]:
        """Elements of NumPy type ``kind`` at ``position + offset``, as they were sent."""
        view = self._views.get((kind, offset))
        if view is None:
            dtype = np.dtype(kind)
            count = len(self.bytes) - dtype.itemsize - offset + 1
            # One element begins at every byte: indexing then gathers and aligns in one pass.
            view = np.ndarray((count,), dtype, self.bytes, offset, (1,))
            self._views[kind, offset] = view
        return view[position]

    def read(self, kind: str, position: Integers, offset: int = 0) -> npt.NDArray[Any]:
        """Big-endian numbers of NumPy type ``kind`` at ``position + offset``, in native order.

        Examples
        --------
        >>> chunk = Chunk(memoryview(bytes([9, 0, 0, 1, 2]) + PADDING), [5])
        >>> chunk.read("i4", np.array([0]), offset=1)
        array([258], dtype=int32)
        """
        return self.gather(f">{kind}", position, offset).astype(kind)


class Window:
    """The same stretch of every row, side by side.

    Parameters
    ----------
    chunk
        The rows.
    position
        Where the stretch of each row begins.
    """

    __slots__ = ("_bytes",)

    def __init__(self, chunk: Chunk, position: Integers) -> None:
        self._bytes = chunk.gather(f"V{WINDOW}", position)

    def read(self, kind: str, offset: int) -> npt.NDArray[Any]:
        """Big-endian numbers that begin ``offset`` bytes into each stretch, in native order."""
        return self.slice(f">{kind}", offset).astype(kind)

    def slice(self, kind: str, offset: int) -> npt.NDArray[Any]:
        """Elements that begin ``offset`` bytes into each stretch, not copied."""
        return np.ndarray((len(self._bytes),), kind, self._bytes, offset, (WINDOW,))


@dataclass(frozen=True, slots=True)
class Fields:
    """One field of each row, or all elements of arrays; in the order in which they were sent."""

    chunk: Chunk
    #: The length of each field stands ``offset`` bytes behind ``start``; its bytes follow.
    start: Integers
    offset: int
    #: How long each field is, 0 where it is NULL.
    sizes: npt.NDArray[np.int32]
    #: How long they all are, if they are equally long.
    size: int | None
    #: None where no field is NULL.
    null: Flags | None
    #: What begins at ``start``.
    window: Window | None = None

    def __len__(self) -> int:
        return len(self.start)

    def read(self, kind: str, offset: int = 0) -> npt.NDArray[Any]:
        """Numbers that begin ``offset`` bytes into each field, 0 where it is NULL."""
        at = self.offset + _LENGTH + offset
        if self.window is not None and at + np.dtype(kind).itemsize <= WINDOW:
            values = self.window.read(kind, at)
        else:
            values = self.chunk.read(kind, self.start, at)
        if self.null is not None:
            values[self.null] = 0
        return values

    def texts(self, skipped: int) -> tuple[pa.Buffer, pa.Buffer]:
        """Offsets and bytes of the fields in Arrow's form, without the first ``skipped`` bytes."""
        rows = len(self)
        if not rows:
            return pa.py_buffer(bytes(_LENGTH)), pa.py_buffer(b"")
        at = self.offset + _LENGTH
        if self.window is not None and self.size is not None and at + self.size <= WINDOW:
            size = max(self.size - skipped, 0)
            offsets = np.arange(rows + 1, dtype=np.int32)
            offsets *= size
            data = self.window.slice(f"V{size}", at + skipped).copy() if size else b""
            return pa.py_buffer(offsets), pa.py_buffer(data)
        # Read as one array, the buffer is fields and the gaps between them in turn; taking every
        # other element makes one compact copy, in compiled code.
        edges = np.empty((rows, 2), np.int32)
        np.add(self.start, at, out=edges[:, 0], casting="unsafe")
        np.add(edges[:, 0], self.sizes, out=edges[:, 1])
        if skipped:  # a NULL has not even these
            edges[:, 0] += skipped
            np.minimum(edges[:, 0], edges[:, 1], out=edges[:, 0])
        whole = pa.Array.from_buffers(
            pa.binary(), 2 * rows - 1, [None, pa.py_buffer(edges), self.chunk.buffer]
        )
        taken = whole.take(pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32)))
        _, offsets, data = taken.buffers()
        return offsets, data

    def array(self, kind: pa.DataType, *values: npt.NDArray[Any] | pa.Buffer) -> pa.Array:
        """Arrow array of these values, NULL where the field is."""
        buffers = [v if isinstance(v, pa.Buffer) else pa.py_buffer(v) for v in values]
        validity = None if self.null is None else pa.py_buffer(bits(~self.null))
        return pa.Array.from_buffers(kind, len(self), [validity, *buffers])


def bits(flags: Flags) -> npt.NDArray[np.uint8]:
    """Pack flags as Arrow stores them: eight in a byte, the first one lowest."""
    return np.packbits(flags, bitorder="little")


@dataclass(frozen=True, slots=True)
class Decoder:
    """How the fields of one PostgreSQL type become an Arrow array."""

    arrow: pa.DataType
    decode: Callable[[Fields], pa.Array]
    #: Bytes of every field that is not NULL; None where they differ.
    width: int | None = None


def decode_chunk(chunk: Chunk, columns: dict[str, Decoder]) -> list[pa.Array]:
    """Arrow arrays of all columns of a chunk."""
    try:
        arrays, ends = _decode(chunk, columns)
    except IndexError:  # also of a position beyond the last row
        ends = None
    if ends is None or not np.array_equal(ends, chunk.ends):
        raise QueryError(
            "The rows do not have the columns that the server announced: a table was probably "
            "altered while it was read. Run the query again."
        )
    return arrays


def _decode(chunk: Chunk, columns: dict[str, Decoder]) -> tuple[list[pa.Array], Integers]:
    arrays = []
    start, offset, window = chunk.starts, 2, None
    for name, decoder in columns.items():
        if window is None or offset + _LENGTH + (decoder.width or _AHEAD) > WINDOW:
            start, offset = start + offset, 0
            window = None  # first, so that the next one gets its memory, not new one
            window = Window(chunk, start)
        sizes = window.read("i4", offset)
        low, high = int(sizes.min()), int(sizes.max())
        null = None
        if low == _NULL:
            null = sizes == _NULL
            sizes[null] = 0
        if decoder.width is not None and not {low, high} <= {_NULL, decoder.width}:
            raise IndexError
        size = max(low, 0) if low == high else None
        try:
            arrays.append(decoder.decode(Fields(chunk, start, offset, sizes, size, null, window)))
        except UnreadableError as problem:
            raise QueryError(f"Column {name!r} {problem}") from None
        offset += _LENGTH
        if size is None:
            start, window = start + sizes, None
        else:
            offset += size
    return arrays, start + offset


class UnreadableError(Exception):
    """A value that no frame can hold; the text goes on after the column's name."""
