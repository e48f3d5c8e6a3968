"""Rows of ``COPY … (FORMAT binary)`` into Arrow arrays, whole columns at a time.

A row is a 16-bit count of fields and, for each field, a 32-bit length (-1: NULL) and that many
bytes, all big-endian. Where the n-th field of a row begins depends on the fields before it, but not
on other rows: so one position per row moves from field to field, and each step is a handful of
NumPy operations on all rows of a chunk.

Rows lie far apart, and fetching a few bytes of each takes almost as long as fetching many. So a
window, the same stretch of every row, is copied side by side, and fields are read from there as
long as those before them are equally long in all rows.
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

LENGTH = 4  # bytes
_NULL = -1
#: Bytes of each row that are copied at once, at most.
_WIDEST = 192
#: Zeros behind the last row: decoders read beyond the end of a NULL one.
PADDING = bytes(_WIDEST)


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
    source
        The rows, or a wider window of them.
    position
        Where the stretch of each row begins.
    width
        How many bytes it has.
    """

    __slots__ = ("_bytes", "width")

    def __init__(self, source: Chunk | Window, position: Integers, width: int) -> None:
        self._bytes = source.gather(f"V{width}", position)
        self.width = width

    @property
    def starts(self) -> Integers:
        """Where the stretch of each row begins in this window."""
        return np.arange(0, self._bytes.nbytes, self.width)

    def gather(self, kind: str, position: Integers) -> npt.NDArray[Any]:
        """Elements of NumPy type ``kind`` that begin at these bytes of the window."""
        count = self._bytes.nbytes - np.dtype(kind).itemsize + 1
        return np.ndarray((count,), kind, self._bytes, 0, (1,))[position]

    def read(self, kind: str, offset: int) -> npt.NDArray[Any]:
        """Big-endian numbers that begin ``offset`` bytes into each stretch, in native order."""
        return self.slice(f">{kind}", offset).astype(kind)

    def slice(self, kind: str, offset: int) -> npt.NDArray[Any]:
        """Elements that begin ``offset`` bytes into each stretch, not copied."""
        return np.ndarray((len(self._bytes),), kind, self._bytes, offset, (self.width,))


@dataclass(frozen=True, slots=True)
class Fields:
    """One field of each row, or all elements of arrays; in the order in which they were sent."""

    chunk: Chunk
    #: The length of each field stands ``offset`` bytes behind ``start``; its bytes follow.
    start: Integers
    offset: int
    #: How long each field is, 0 where it is NULL.
    sizes: npt.NDArray[np.int32]
    #: How long the longest is, and all are, if they are equally long.
    longest: int
    size: int | None
    #: None where no field is NULL.
    null: Flags | None
    #: What begins at ``start``.
    window: Window | None = None

    def __len__(self) -> int:
        return len(self.start)

    def read(self, kind: str, offset: int = 0) -> npt.NDArray[Any]:
        """Numbers that begin ``offset`` bytes into each field, 0 where it is NULL."""
        at = self.offset + LENGTH + offset
        if self.window is not None and at + np.dtype(kind).itemsize <= self.window.width:
            values = self.window.read(kind, at)
        else:
            values = self.chunk.read(kind, self.start, at)
        if self.null is not None:
            values[self.null] = 0
        return values

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
    #: How many of its first bytes are wanted where they differ.
    ahead: int = 0

    @property
    def needs(self) -> int:
        """Bytes of a field, and of its length, that are read of all rows at once."""
        return LENGTH + (self.ahead if self.width is None else self.width)


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
    widths = _widths(list(columns.values()))
    # Rows are at ``start``, and at ``at`` in ``wide``, no more than ``used`` bytes into each of its
    # stretches; the next field is ``offset`` bytes further on, as in ``near``.
    start, at, used, offset = chunk.starts, chunk.starts, 0, 2
    wide: Window | None = None
    near: Window | None = None
    for (name, decoder), width in zip(columns.items(), widths, strict=True):
        if near is None or offset + decoder.needs > near.width:
            start, at, used, offset = start + offset, at + offset, used + offset, 0
            near = None  # first, so that the next one gets its memory, not new one
            if wide is None or used + decoder.needs > wide.width:
                wide = None
                left = int((chunk.ends - start).max())
                near = wide = Window(chunk, start, max(decoder.needs, min(left, _WIDEST)))
                at, used = wide.starts, 0
            else:
                near = Window(wide, at, min(width, wide.width - used))
        sizes = near.read("i4", offset)
        low, high = int(sizes.min()), int(sizes.max())
        null = None
        if low == _NULL:
            null = sizes == _NULL
            sizes[null] = 0
        if decoder.width is not None and not {low, high} <= {_NULL, decoder.width}:
            raise IndexError
        size = max(low, 0) if low == high else None
        try:
            fields = Fields(chunk, start, offset, sizes, max(high, 0), size, null, near)
            arrays.append(decoder.decode(fields))
        except UnreadableError as problem:
            raise QueryError(f"Column {name!r} {problem}") from None
        offset += LENGTH
        if size is None:
            start, at, used, near = start + sizes, at + sizes, used + high, None
        else:
            offset += size
    return arrays, start + offset


def _widths(decoders: list[Decoder]) -> list[int]:
    """How wide a window is that begins at each column: up to where the next one has to begin.

    Examples
    --------
    >>> text, number = (Decoder(pa.null(), pa.array, *sizes) for sizes in [(None, 12), (8,)])
    >>> _widths([text, number, number, text])
    [16, 40, 28, 16]
    """
    widths: list[int] = []
    for decoder in reversed(decoders):
        following = widths[-1] if widths and decoder.width is not None else 0
        widths.append(min(decoder.needs + following, _WIDEST))
    return widths[::-1]


class UnreadableError(Exception):
    """A value that no frame can hold; the text goes on after the column's name."""
