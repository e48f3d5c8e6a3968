"""Rows of ``COPY … (FORMAT binary)`` into Arrow arrays, whole columns at a time.

A row is a 16-bit count of fields and, for each field, a 32-bit length (-1: NULL) and that many
bytes, all big-endian. Where the n-th field of a row begins depends on the fields before it, but not
on other rows: so one position per row moves from field to field, and each step is a handful of
NumPy operations on all rows of a chunk. A chunk is small enough to stay in the processor's cache.
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

#: Zeros behind the last row: decoders read beyond the end of a NULL one.
PADDING = bytes(64)
_LENGTH = 4  # bytes
_SHORT = 0xFFFF
_NULL = 0xFF  # first byte of the length -1; other lengths are below 2**30


class Chunk:
    """Bytes of some rows, and where each row ends.

    Parameters
    ----------
    data
        The rows one after another, followed by :data:`PADDING`.
    lengths
        Number of bytes of each row.
    """

    __slots__ = ("_views", "buffer", "bytes", "ends", "rows", "short", "starts")

    def __init__(self, data: memoryview, lengths: list[int]) -> None:
        self.bytes = np.frombuffer(data, np.uint8)
        self.buffer = pa.py_buffer(data)
        self.ends = np.cumsum(np.array(lengths, np.int64))
        self.starts = self.ends - np.array(lengths, np.int64)
        self.rows = len(lengths)
        #: Rows so short that the lower half of a field's length says it all, -1 included.
        self.short = max(lengths) < _SHORT
        self._views: dict[tuple[str, int], npt.NDArray[Any]] = {}

    def read(self, kind: str, position: Integers, offset: int = 0) -> npt.NDArray[Any]:
        """Big-endian numbers of NumPy type ``kind`` at ``position + offset``, in native order.

        Examples
        --------
        >>> chunk = Chunk(memoryview(bytes([9, 0, 0, 1, 2]) + PADDING), [5])
        >>> chunk.read("i4", np.array([0]), offset=1)
        array([258], dtype=int32)
        """
        view = self._views.get((kind, offset))
        if view is None:
            dtype = np.dtype(">" + kind)
            count = len(self.bytes) - dtype.itemsize - offset + 1
            # One element begins at every byte: indexing then gathers and aligns in one pass.
            view = np.ndarray((count,), dtype, self.bytes, offset, (1,))
            self._views[kind, offset] = view
        return view[position].astype(kind)

    def nulls_at(self, position: Integers) -> Flags | None:
        """Tell which of the fields that begin there are NULL; None if none is."""
        first = self.bytes.take(position)
        return first == _NULL if first.max(initial=0) == _NULL else None

    def sizes_at(self, position: Integers) -> tuple[Integers, Flags | None]:
        """Lengths of the fields that begin there, and which of them are NULL."""
        if self.short:
            sizes = self.read("u2", position, 2).astype(np.int64)
            null = sizes == _SHORT if sizes.max(initial=0) == _SHORT else None
        else:
            sizes = self.read("i4", position).astype(np.int64)
            null = sizes < 0 if sizes.min(initial=0) < 0 else None
        if null is not None:
            sizes[null] = 0
        return sizes, null


@dataclass(frozen=True, slots=True)
class Fields:
    """One field of each row, or all elements of arrays; in the order in which they were sent."""

    chunk: Chunk
    #: Where the length of each field stands; its bytes follow.
    position: Integers
    #: Where each field ends; None where all have the width of their type.
    end: Integers | None
    #: None where no field is NULL.
    null: Flags | None

    def __len__(self) -> int:
        return len(self.position)

    def read(self, kind: str, offset: int = 0) -> npt.NDArray[Any]:
        """Numbers that begin ``offset`` bytes into each field, 0 where it is NULL."""
        values = self.chunk.read(kind, self.position, _LENGTH + offset)
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


def decode_chunk(chunk: Chunk, columns: dict[str, Decoder]) -> list[pa.Array]:
    """Arrow arrays of all columns of a chunk."""
    arrays = []
    position = chunk.starts + 2
    for name, decoder in columns.items():
        if decoder.width is None:
            end, null = chunk.sizes_at(position)
            end += position
            end += _LENGTH
            fields = Fields(chunk, position, end, null)
        else:
            null = chunk.nulls_at(position)
            end = position + (_LENGTH + decoder.width)
            if null is not None:
                end -= null * np.int64(decoder.width)
            fields = Fields(chunk, position, None, null)
        try:
            arrays.append(decoder.decode(fields))
        except UnreadableError as problem:
            raise QueryError(f"Column {name!r} {problem}") from None
        position = end
    if not np.array_equal(position, chunk.ends):
        raise QueryError(
            "The rows do not have the columns that the server announced: a table was probably "
            "altered while it was read. Run the query again."
        )
    return arrays


class UnreadableError(Exception):
    """A value that no frame can hold; the text goes on after the column's name."""
