"""Decode rows of ``COPY … (FORMAT binary)`` into Arrow arrays, whole columns at a time.

A row is a 16-bit number of fields and, for each field, a 32-bit length (-1 for NULL) and that many
bytes, all big-endian. Where the n-th field of a row begins depends on the fields before it, but not
on other rows. So the decoder keeps one position per row, moves all of them from field to field, and
each step is a few NumPy operations on all rows of a chunk.

Rows are far apart in memory, and fetching a few bytes of each takes almost as long as fetching
many. So a window, the same range of bytes of every row, is copied side by side, and fields are read
from there as long as the fields before them have the same length in all rows.

CONTRIBUTING explains it with an example, in "How the COPY decoder works".
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

_LENGTH = 4  # bytes of the length of a field
_NULL = -1  # the length of NULL
#: Maximum number of bytes of each row that are copied at once.
_MAX_WINDOW = 192
#: Zeros after the last row, since decoders read beyond the end of a NULL there.
PADDING = bytes(_MAX_WINDOW)


class Chunk:
    """Bytes of some rows.

    Parameters
    ----------
    data
        The rows, one after the other, followed by :data:`PADDING`.
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

    def gather(self, dtype: str, position: Integers, offset: int = 0) -> npt.NDArray[Any]:
        """Elements of NumPy type ``dtype`` at ``position + offset``, in the order of bytes sent."""
        view = self._views.get((dtype, offset))
        if view is None:
            count = len(self.bytes) - np.dtype(dtype).itemsize - offset + 1
            # An element begins at every byte: indexing then gathers and aligns in one pass.
            view = np.ndarray((count,), dtype, self.bytes, offset, (1,))
            self._views[dtype, offset] = view
        return view[position]

    def read(self, dtype: str, position: Integers, offset: int = 0) -> npt.NDArray[Any]:
        """Big-endian numbers of NumPy type ``dtype`` at ``position + offset``, in native order.

        Examples
        --------
        >>> chunk = Chunk(memoryview(bytes([9, 0, 0, 1, 2]) + PADDING), [5])
        >>> chunk.read("i4", np.array([0]), offset=1)
        array([258], dtype=int32)
        """
        return self.gather(f">{dtype}", position, offset).astype(dtype)


class Window:
    """The same range of bytes of every row, side by side.

    Parameters
    ----------
    source
        The rows, or a wider window of them.
    position
        Start of the range in each row.
    width
        Number of bytes of the range.
    """

    __slots__ = ("_bytes", "width")

    def __init__(self, source: Chunk | Window, position: Integers, width: int) -> None:
        self._bytes = source.gather(f"V{width}", position)
        self.width = width

    @property
    def starts(self) -> Integers:
        """Start of the range of each row in this window."""
        return np.arange(0, self._bytes.nbytes, self.width)

    def gather(self, dtype: str, position: Integers) -> npt.NDArray[Any]:
        """Elements of NumPy type ``dtype`` that begin at these bytes of the window."""
        count = self._bytes.nbytes - np.dtype(dtype).itemsize + 1
        return np.ndarray((count,), dtype, self._bytes, 0, (1,))[position]

    def read(self, dtype: str, offset: int) -> npt.NDArray[Any]:
        """Big-endian numbers at ``offset`` in each range, in native order."""
        return self.slice(f">{dtype}", offset).astype(dtype)

    def slice(self, dtype: str, offset: int) -> npt.NDArray[Any]:
        """Elements at ``offset`` in each range, as a view."""
        return np.ndarray((len(self._bytes),), dtype, self._bytes, offset, (self.width,))


@dataclass(frozen=True, slots=True)
class Fields:
    """One field of each row, or all elements of arrays, in the order sent."""

    chunk: Chunk
    #: The length of each field is ``offset`` bytes after ``start``; its bytes follow.
    start: Integers
    offset: int
    #: Number of bytes of each field, 0 where it is NULL.
    sizes: npt.NDArray[np.int32]
    #: Number of bytes of the longest field.
    max_size: int
    #: Number of bytes of every field, if it is the same.
    size: int | None
    #: Which fields are NULL; None if none is.
    null: Flags | None
    #: Window that begins at ``start``.
    window: Window | None = None

    def __len__(self) -> int:
        return len(self.start)

    def read(self, dtype: str, offset: int = 0) -> npt.NDArray[Any]:
        """Numbers at ``offset`` in each field, 0 where it is NULL."""
        offset += self.offset + _LENGTH
        if self.window is not None and offset + np.dtype(dtype).itemsize <= self.window.width:
            values = self.window.read(dtype, offset)
        else:
            values = self.chunk.read(dtype, self.start, offset)
        if self.null is not None:
            values[self.null] = 0
        return values

    def to_arrow(self, arrow_type: pa.DataType, *values: npt.NDArray[Any] | pa.Buffer) -> pa.Array:
        """Arrow array of these values, NULL where the field is."""
        buffers = [v if isinstance(v, pa.Buffer) else pa.py_buffer(v) for v in values]
        validity = None if self.null is None else pa.py_buffer(_pack_bits(~self.null))
        return pa.Array.from_buffers(arrow_type, len(self), [validity, *buffers])


def _pack_bits(flags: Flags) -> npt.NDArray[np.uint8]:
    """Pack flags as Arrow does: eight per byte, the first one in the lowest bit."""
    return np.packbits(flags, bitorder="little")


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes the fields of one PostgreSQL type into an Arrow array."""

    arrow_type: pa.DataType
    decode: Callable[[Fields], pa.Array]
    #: Number of bytes of every field that is not NULL; None if it varies.
    width: int | None = None
    #: If it varies, number of leading bytes that the decoder reads from the window.
    prefix: int = 0

    @property
    def window_size(self) -> int:
        """Number of bytes of a field, including its length, that are read from the window."""
        return _LENGTH + (self.prefix if self.width is None else self.width)


def decode_chunk(chunk: Chunk, columns: dict[str, Decoder]) -> list[pa.Array]:
    """Decode all columns of a chunk.

    Raises
    ------
    QueryError
        A value has no place in a DataFrame, or the rows have other columns than announced.
    """
    try:
        arrays, ends = _decode(chunk, columns)
    except IndexError:  # raised for a position beyond the last row too
        ends = None
    if ends is None or not np.array_equal(ends, chunk.ends):
        raise QueryError(
            "The rows do not have the columns that the server announced, probably because a table "
            "was altered while it was read. Run the query again."
        )
    return arrays


def _decode(chunk: Chunk, columns: dict[str, Decoder]) -> tuple[list[pa.Array], Integers]:
    arrays = []
    widths = _widths(list(columns.values()))
    # The current position of each row is `start` in the chunk and `position` in the window `wide`,
    # at most `used` bytes after the start of its range. The next field is `offset` bytes after it;
    # the window `near` begins at the position.
    start, position, used, offset = chunk.starts, chunk.starts, 0, 2
    wide: Window | None = None
    near: Window | None = None
    for (name, decoder), width in zip(columns.items(), widths, strict=True):
        if near is None or offset + decoder.window_size > near.width:
            start, position, used, offset = start + offset, position + offset, used + offset, 0
            near = None  # first, so that the next window reuses its memory
            if wide is None or used + decoder.window_size > wide.width:
                wide = None
                remaining = int((chunk.ends - start).max())
                near = wide = Window(
                    chunk, start, max(decoder.window_size, min(remaining, _MAX_WINDOW))
                )
                position, used = wide.starts, 0
            else:
                near = Window(wide, position, min(width, wide.width - used))
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
        except _UnsupportedValueError as error:
            raise QueryError(f"Column {name!r} {error}") from None
        offset += _LENGTH
        if size is None:
            start, position, used, near = start + sizes, position + sizes, used + high, None
        else:
            offset += size
    return arrays, start + offset


def _widths(decoders: list[Decoder]) -> list[int]:
    """Width of a window that begins at each column: up to where the next one must begin.

    Examples
    --------
    >>> text, number = (Decoder(pa.null(), pa.array, *sizes) for sizes in [(None, 12), (8,)])
    >>> _widths([text, number, number, text])
    [16, 40, 28, 16]
    """
    widths: list[int] = []
    for decoder in reversed(decoders):
        following = widths[-1] if widths and decoder.width is not None else 0
        widths.append(min(decoder.window_size + following, _MAX_WINDOW))
    return widths[::-1]


class _UnsupportedValueError(Exception):
    """A value that no DataFrame can hold; the message continues after the column's name."""


# -- Strings and bytes ----------------------------------------------------------------------------

# Most strings of a table are short: codes, categories, names of cities. Arrow's views store a
# string of up to twelve bytes next to its length, as PostgreSQL sends it, so these are copied from
# the window of all rows at once. Longer ones are gathered one by one.
_VIEW = 16  # bytes of a view: a length and a string
_SHORT = _VIEW - _LENGTH
#: By length: the bytes of a view that belong to the string.
_MASKS = np.array(
    [list(bytes(_LENGTH) + b"\xff" * size + bytes(_SHORT - size)) for size in range(_SHORT + 1)],
    np.uint8,
).view(np.uint64)


def _text_decoder(skipped: int = 0) -> Decoder:
    """Return the decoder of strings; ``skipped`` leading bytes are not part of the value."""

    def decode(fields: Fields) -> pa.Array:
        if skipped or fields.max_size > _SHORT or fields.window is None:
            return fields.to_arrow(pa.string(), *_gather(fields, skipped))
        return fields.to_arrow(pa.string_view(), _views(fields, fields.window))

    return Decoder(pa.string(), decode, prefix=_SHORT)


def _decode_bytes(fields: Fields) -> pa.Array:
    return fields.to_arrow(pa.binary(), *_gather(fields, 0))


def _views(fields: Fields, window: Window) -> npt.NDArray[np.uint64]:
    """Arrow's views of strings that fit in them."""
    views = window.slice(f"V{_VIEW}", fields.offset).copy().view(np.uint64).reshape(-1, 2)
    views &= _MASKS.take(fields.sizes if fields.size is None else fields.size, axis=0)
    views.view(np.int32)[:, 0] = fields.sizes
    return views


def _gather(fields: Fields, skipped: int) -> tuple[pa.Buffer, pa.Buffer]:
    """Offsets and bytes of the fields as Arrow stores them, without the first ``skipped`` bytes."""
    rows = len(fields)
    if not rows:
        return pa.py_buffer(bytes(_LENGTH)), pa.py_buffer(b"")
    if fields.size is not None:
        size = max(fields.size - skipped, 0)
        offsets = np.arange(rows + 1, dtype=np.int32)
        offsets *= size
        offset = fields.offset + _LENGTH + skipped
        data = fields.chunk.gather(f"V{size}", fields.start, offset) if size else b""
        return pa.py_buffer(offsets), pa.py_buffer(data)
    # As one Arrow array, the buffer alternates between fields and the gaps between them; taking
    # every other element makes one compact copy in compiled code.
    edges = np.empty((rows, 2), np.int32)
    np.add(fields.start, fields.offset + _LENGTH, out=edges[:, 0], casting="unsafe")
    np.add(edges[:, 0], fields.sizes, out=edges[:, 1])
    if skipped:  # a NULL does not have these bytes
        edges[:, 0] += skipped
        np.minimum(edges[:, 0], edges[:, 1], out=edges[:, 0])
    fields_and_gaps = pa.Array.from_buffers(
        pa.binary(), 2 * rows - 1, [None, pa.py_buffer(edges), fields.chunk.buffer]
    )
    gathered = fields_and_gaps.take(pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32)))
    _, offsets, data = gathered.buffers()
    return offsets, data


# -- Numbers, times and arrays --------------------------------------------------------------------

# PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.
_EPOCH_MICROSECONDS = 946_684_800_000_000
_EPOCH_DAYS = 10_957
_MICROSECONDS_PER_DAY = 86_400_000_000
_MAX_INT64 = np.iinfo(np.int64).max

#: Number of decimal digits that a 64-bit integer, and a double, represent exactly.
INT64_DIGITS = 18
DOUBLE_DIGITS = 15

_POWERS = 10 ** np.arange(INT64_DIGITS + 1, dtype=np.int64)


def _number_decoder(dtype: str, arrow_type: pa.DataType) -> Decoder:
    def decode(fields: Fields) -> pa.Array:
        return fields.to_arrow(arrow_type, fields.read(dtype))

    return Decoder(arrow_type, decode, np.dtype(dtype).itemsize)


def _decode_booleans(fields: Fields) -> pa.Array:
    return fields.to_arrow(pa.bool_(), _pack_bits(fields.read("u1")))


def _timestamp_decoder(timezone: str | None) -> Decoder:
    arrow_type = pa.timestamp("us", tz=timezone)

    def decode(fields: Fields) -> pa.Array:
        timestamps = fields.read("i8")
        _check_finite(timestamps, maximum=_MAX_INT64 - _EPOCH_MICROSECONDS)
        timestamps += _EPOCH_MICROSECONDS
        return fields.to_arrow(arrow_type, timestamps)

    return Decoder(arrow_type, decode, 8)


def _decode_dates(fields: Fields) -> pa.Array:
    days = fields.read("i4")
    _check_finite(days, maximum=np.iinfo(np.int32).max - _EPOCH_DAYS)
    days += np.int32(_EPOCH_DAYS)
    return fields.to_arrow(pa.date32(), days)


def _check_finite(values: npt.NDArray[Any], maximum: int) -> None:
    if not values.size:
        return
    limits = np.iinfo(values.dtype)
    latest = int(values.max())
    if maximum < latest < limits.max:
        raise _UnsupportedValueError(
            "has a year beyond the range of timestamps and dates in a DataFrame. Exclude those "
            "rows, or cast the column to text."
        )
    if latest == limits.max or values.min() == int(limits.min):
        raise _UnsupportedValueError(
            "has 'infinity' or '-infinity', which a DataFrame cannot represent. Exclude those rows "
            "with isfinite(…), or replace the values with NULLIF(…, 'infinity')."
        )


def _decode_times(fields: Fields) -> pa.Array:
    times = fields.read("i8")
    if times.size and times.max() >= _MICROSECONDS_PER_DAY:
        raise _UnsupportedValueError(
            "has the time 24:00:00, which a DataFrame cannot represent. Cast it to text."
        )
    return fields.to_arrow(pa.time64("us"), times)


def _decode_intervals(fields: Fields) -> pa.Array:
    if fields.read("i4", 12).any():
        raise _UnsupportedValueError(
            "has an interval with months or years, which have no fixed length, or an infinite one. "
            "Use EXTRACT(epoch FROM …) for seconds, or cast it to text."
        )
    durations = fields.read("i8")
    days = fields.read("i4", 8).astype(np.int64)
    if days.size and max(days.max(), -days.min()) > _MAX_INT64 // _MICROSECONDS_PER_DAY // 2:
        raise _UnsupportedValueError(
            "has an interval longer than a DataFrame can represent. Cast it to text."
        )
    return fields.to_arrow(pa.duration("us"), durations + days * _MICROSECONDS_PER_DAY)


def numeric_decoder(precision: int, scale: int, *, use_decimal: bool) -> Decoder:
    """Return the decoder of ``numeric(precision, scale)``, into float64 or decimal128.

    PostgreSQL sends the number of base-10000 digits, the weight of the first, the sign, the scale,
    and the digits. These are summed as a 64-bit integer in units of the last decimal place. A
    decimal is then exact, and a float is correctly rounded: a double represents that integer
    exactly, and the division rounds once.
    """
    arrow_type = pa.decimal128(precision, scale) if use_decimal else pa.float64()
    n_digits = -((scale - precision) // 4) - (-scale // 4)
    sum_digits = _sum_four_digits if n_digits <= _FOUR else _sum_digits

    def decode(fields: Fields) -> pa.Array:
        head = fields.read("i8")
        sign = (head >> 16) & 0xFFFF
        max_sign = int(sign.max(initial=0))
        if max_sign >= _NAN and use_decimal:
            raise _UnsupportedValueError(
                "has NaN, which a decimal cannot represent. Read it with use_decimal=False, or "
                "replace it with NULLIF(…, 'NaN')."
            )
        units = sum_digits(fields, head >> 48, (head << 16) >> 48, scale)
        if max_sign:
            np.negative(units, out=units, where=sign == _NEGATIVE)
        if use_decimal:
            return fields.to_arrow(arrow_type, np.stack((units, units >> 63), axis=1))
        values = units / 10.0**scale
        if max_sign >= _NAN:
            values[sign == _NAN] = np.nan
        return fields.to_arrow(arrow_type, values)

    return Decoder(arrow_type, decode, prefix=_HEAD + 2 * n_digits)


# Signs of numeric.
_NEGATIVE = 0x4000
_NAN = 0xC000
_HEAD = 8  # bytes before the digits of a numeric
_FOUR = 4  # digits of 16 bits in 64 bits
#: By number of digits: the bits of four digits that belong to the number.
_DIGIT_MASKS = np.array([0, *(-1 << 48 >> 16 * n for n in range(_FOUR))], np.int64)
_ARRAY_HEAD = 20  # bytes before the elements of an array
_LOWER = 0x0000_FFFF_0000_FFFF


def _sum_four_digits(fields: Fields, digits: Integers, weight: Integers, scale: int) -> Integers:
    """Units of the last place of numbers with at most four digits, all four at once."""
    four = fields.read("i8", _HEAD)
    four &= _DIGIT_MASKS.take(digits, mode="clip")  # the next field follows the last digit
    pairs = (four >> 16) & _LOWER
    pairs *= 10_000
    pairs += four & _LOWER
    units = (pairs >> 32) * 100_000_000
    units += pairs & 0xFFFF_FFFF
    # The sum assumes four digits: those below the scale are zeros.
    units //= _POWERS.take(4 * (_FOUR - 1 - weight) - scale, mode="clip")
    return units


def _sum_digits(fields: Fields, digits: Integers, weight: Integers, scale: int) -> Integers:
    """Units of the last place of numbers with any number of digits."""
    units = np.zeros(len(fields), np.int64)
    for index in range(int(digits.max(initial=0))):
        digit = fields.read("u2", _HEAD + 2 * index).astype(np.int64)
        digit *= digits > index
        place = 4 * (weight - index) + scale
        # The last digit may extend below the scale: it then ends in that many zeros.
        digit //= _POWERS.take(-place, mode="clip")
        units += digit * _POWERS.take(place, mode="clip")
    return units


def _array_decoder(element: Decoder) -> Decoder:
    """Return the decoder of one-dimensional arrays of ``element``."""
    arrow_type = pa.list_(element.arrow_type)

    def decode(fields: Fields) -> pa.Array:
        chunk = fields.chunk
        dimensions = fields.read("i4")
        if dimensions.max(initial=0) > 1:
            raise _UnsupportedValueError("has arrays of several dimensions. Cast it to text.")
        counts = np.where(dimensions == 1, fields.read("i4", 12), 0).astype(np.int64)
        # Number of dimensions, flag, type of elements, count, lower bound; then the elements, each
        # like a field.
        position = fields.start + (fields.offset + _LENGTH + _ARRAY_HEAD)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        starts = np.empty(int(offsets[-1]), np.int64)
        lengths = np.empty(len(starts), np.int32)
        null = np.zeros(len(starts), np.bool_)
        for index in range(int(counts.max(initial=0))):
            rows = np.flatnonzero(counts > index)
            slots = offsets[rows] + index
            starts[slots] = start = position[rows]
            sizes = chunk.read("i4", start)
            null[slots] = sizes < 0
            lengths[slots] = np.maximum(sizes, 0)
            position[rows] = start + _LENGTH + lengths[slots]
        nulls = null if null.any() else None
        elements = Fields(chunk, starts, 0, lengths, int(lengths.max(initial=0)), None, nulls)
        items = element.decode(elements)
        validity = None if fields.null is None else pa.array(fields.null)
        return pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), items, type=arrow_type, mask=validity
        )

    return Decoder(arrow_type, decode, prefix=_ARRAY_HEAD)


_TEXT = _text_decoder()

#: Decoder by the OID of the type. Those of numeric depend on its precision: `numeric_decoder`. The
#: server casts types without a decoder to text: see `_plan`.
DECODERS: dict[int, Decoder] = {
    16: Decoder(pa.bool_(), _decode_booleans, 1),
    17: Decoder(pa.binary(), _decode_bytes),
    18: _TEXT,  # "char"
    19: _TEXT,  # name
    20: _number_decoder("i8", pa.int64()),
    21: _number_decoder("i2", pa.int16()),
    23: _number_decoder("i4", pa.int32()),
    25: _TEXT,
    26: _number_decoder("u4", pa.uint32()),  # oid
    114: _TEXT,  # json
    700: _number_decoder("f4", pa.float32()),
    701: _number_decoder("f8", pa.float64()),
    1042: _TEXT,  # char(n)
    1043: _TEXT,  # varchar
    1082: Decoder(pa.date32(), _decode_dates, 4),
    1083: Decoder(pa.time64("us"), _decode_times, 8),
    1114: _timestamp_decoder(None),
    1184: _timestamp_decoder("UTC"),
    1186: Decoder(pa.duration("us"), _decode_intervals, 16),
    3802: _text_decoder(skipped=1),  # jsonb: a version byte and its text
}

#: OIDs of array types, and of their elements.
_ARRAYS = {
    1000: 16,
    1001: 17,
    1005: 21,
    1007: 23,
    1009: 25,
    1014: 1042,
    1015: 1043,
    1016: 20,
    1021: 700,
    1022: 701,
    1115: 1114,
    1182: 1082,
    1185: 1184,
}
DECODERS.update({array: _array_decoder(DECODERS[element]) for array, element in _ARRAYS.items()})
