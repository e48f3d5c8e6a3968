"""Decoders of PostgreSQL's types, by their binary form.

A type that has none here is cast by the server: see :mod:`synfin_analytics.io.read._plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synfin_analytics.io.read._decode import LENGTH, Decoder, Fields, UnreadableError, bits
from synfin_analytics.io.read._decode_texts import of_bytes, of_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from synfin_analytics.io.read._decode import Integers

_MICROSECONDS_TO_2000 = 946_684_800_000_000
_DAYS_TO_2000 = 10_957
_MICROSECONDS_OF_A_DAY = 86_400_000_000
_LARGEST = np.iinfo(np.int64).max

#: Decimal digits that a 64-bit integer holds whatever they are, and a double likewise.
DIGITS_OF_INT64 = 18
DIGITS_OF_DOUBLE = 15

_POWERS = 10 ** np.arange(DIGITS_OF_INT64 + 1, dtype=np.int64)


def _number(kind: str, arrow: pa.DataType) -> Decoder:
    def decode(fields: Fields) -> pa.Array:
        return fields.array(arrow, fields.read(kind))

    return Decoder(arrow, decode, np.dtype(kind).itemsize)


def _boolean(fields: Fields) -> pa.Array:
    return fields.array(pa.bool_(), bits(fields.read("u1")))


def _moment(zone: str | None) -> Decoder:
    arrow = pa.timestamp("us", tz=zone)

    def decode(fields: Fields) -> pa.Array:
        moments = fields.read("i8")
        _refuse_infinity(moments, highest=_LARGEST - _MICROSECONDS_TO_2000)
        moments += _MICROSECONDS_TO_2000
        return fields.array(arrow, moments)

    return Decoder(arrow, decode, 8)


def _day(fields: Fields) -> pa.Array:
    days = fields.read("i4")
    _refuse_infinity(days, highest=np.iinfo(np.int32).max - _DAYS_TO_2000)
    days += np.int32(_DAYS_TO_2000)
    return fields.array(pa.date32(), days)


def _refuse_infinity(values: npt.NDArray[Any], highest: int) -> None:
    if not values.size:
        return
    limits = np.iinfo(values.dtype)
    last = int(values.max())
    if highest < last < limits.max:
        raise UnreadableError(
            "has a year beyond the range of timestamps and dates in a frame. Leave those rows out, "
            "or read the column as text."
        )
    if last == limits.max or values.min() == int(limits.min):
        raise UnreadableError(
            "has 'infinity' or '-infinity', which no calendar holds. Leave those rows out with "
            "isfinite(…), or replace them with NULLIF(…, 'infinity')."
        )


def _time(fields: Fields) -> pa.Array:
    times = fields.read("i8")
    if times.size and times.max() >= _MICROSECONDS_OF_A_DAY:
        raise UnreadableError("has the time 24:00:00, which no clock shows. Cast it to text.")
    return fields.array(pa.time64("us"), times)


def _duration(fields: Fields) -> pa.Array:
    if fields.read("i4", 12).any():
        raise UnreadableError(
            "has an interval with months or years, which are of no fixed length (or an infinite "
            "one). Use EXTRACT(epoch FROM …) for seconds, or cast it to text."
        )
    durations = fields.read("i8")
    days = fields.read("i4", 8).astype(np.int64)
    if days.size and max(days.max(), -days.min()) > _LARGEST // _MICROSECONDS_OF_A_DAY // 2:
        raise UnreadableError("has an interval longer than a frame can hold. Cast it to text.")
    return fields.array(pa.duration("us"), durations + days * _MICROSECONDS_OF_A_DAY)


def decimal(precision: int, scale: int, *, use_decimal: bool) -> Decoder:
    """Make the decoder of ``numeric(precision, scale)``, to float64 or decimal128.

    A number is a count of base-10000 digits, the weight of the first, sign, scale, and the digits.
    They are summed up as a 64-bit integer of units of the last decimal place. Both results are then
    exact or correctly rounded: a double holds that integer, and dividing it rounds once.
    """
    arrow = pa.decimal128(precision, scale) if use_decimal else pa.float64()
    groups = -((scale - precision) // 4) - (-scale // 4)
    magnitude = _short_units if groups <= _FOUR else _long_units

    def decode(fields: Fields) -> pa.Array:
        head = fields.read("i8")
        sign = (head >> 16) & 0xFFFF
        largest = int(sign.max(initial=0))
        if largest >= _NAN and use_decimal:
            raise UnreadableError(
                "has NaN, which an exact Decimal column cannot hold. Read it with "
                "use_decimal=False, or replace it with NULLIF(…, 'NaN')."
            )
        units = magnitude(fields, head >> 48, (head << 16) >> 48, scale)
        if largest:
            np.negative(units, out=units, where=sign == _NEGATIVE)
        if use_decimal:
            return fields.array(arrow, np.stack((units, units >> 63), axis=1))
        values = units / 10.0**scale
        if largest >= _NAN:
            values[sign == _NAN] = np.nan
        return fields.array(arrow, values)

    return Decoder(arrow, decode, ahead=_HEAD + 2 * groups)


_NEGATIVE = 0x4000
_NAN = 0xC000
_HEAD = 8  # bytes before the digits
_FOUR = 4  # digits of 16 bits in 64
_KEPT = np.array([0, *(-1 << 48 >> 16 * n for n in range(_FOUR))], np.int64)
_ARRAY_HEAD = 20  # bytes before the elements of an array
_LOWER = 0x0000_FFFF_0000_FFFF


def _short_units(fields: Fields, digits: Integers, weight: Integers, scale: int) -> Integers:
    """Units of the last place of numbers of four digits at most: all four are worked on at once."""
    four = fields.read("i8", _HEAD)
    four &= _KEPT.take(digits, mode="clip")  # what follows the last digit is another field
    pairs = (four >> 16) & _LOWER
    pairs *= 10_000
    pairs += four & _LOWER
    units = (pairs >> 32) * 100_000_000
    units += pairs & 0xFFFF_FFFF
    # As if four digits always came: the ones below the scale are zeros.
    units //= _POWERS.take(4 * (_FOUR - 1 - weight) - scale, mode="clip")
    return units


def _long_units(fields: Fields, digits: Integers, weight: Integers, scale: int) -> Integers:
    """Units of the last place of numbers of any count of digits."""
    units = np.zeros(len(fields), np.int64)
    for index in range(int(digits.max(initial=0))):
        digit = fields.read("u2", _HEAD + 2 * index).astype(np.int64)
        digit *= digits > index
        place = 4 * (weight - index) + scale
        # The last digit may reach below the scale: it then ends in as many zeros.
        digit //= _POWERS.take(-place, mode="clip")
        units += digit * _POWERS.take(place, mode="clip")
    return units


def listed(element: Decoder) -> Decoder:
    """Make the decoder of a one-dimensional array of ``element``."""
    arrow = pa.list_(element.arrow)

    def decode(fields: Fields) -> pa.Array:
        chunk = fields.chunk
        dimensions = fields.read("i4")
        if dimensions.max(initial=0) > 1:
            raise UnreadableError("has arrays of several dimensions. Cast it to text.")
        counts = np.where(dimensions == 1, fields.read("i4", 12), 0).astype(np.int64)
        # Dimensions, a flag, the element type, count, lower bound: then the elements, as fields.
        at = fields.start + (fields.offset + LENGTH + _ARRAY_HEAD)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        position = np.empty(int(offsets[-1]), np.int64)
        lengths = np.empty(len(position), np.int32)
        null = np.zeros(len(position), np.bool_)
        for index in range(int(counts.max(initial=0))):
            rows = np.flatnonzero(counts > index)
            slots = offsets[rows] + index
            here = at[rows]
            sizes = chunk.read("i4", here)
            null[slots] = sizes < 0
            position[slots] = here
            lengths[slots] = np.maximum(sizes, 0)
            at[rows] = here + 4 + lengths[slots]
        items = element.decode(
            Fields(
                chunk,
                position,
                0,
                lengths,
                int(lengths.max(initial=0)),
                None,
                null if null.any() else None,
            )
        )
        validity = None if fields.null is None else pa.array(fields.null)
        return pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), items, type=arrow, mask=validity
        )

    return Decoder(arrow, decode, ahead=_ARRAY_HEAD)


_TEXT = of_text()

#: Decoder by the OID of the type; numeric depends on its precision and stands apart.
DECODERS: dict[int, Decoder] = {
    16: Decoder(pa.bool_(), _boolean, 1),
    17: of_bytes(),
    18: _TEXT,  # "char"
    19: _TEXT,  # name
    20: _number("i8", pa.int64()),
    21: _number("i2", pa.int16()),
    23: _number("i4", pa.int32()),
    25: _TEXT,
    26: _number("u4", pa.uint32()),  # oid
    114: _TEXT,  # json
    700: _number("f4", pa.float32()),
    701: _number("f8", pa.float64()),
    1042: _TEXT,  # char(n)
    1043: _TEXT,  # varchar
    1082: Decoder(pa.date32(), _day, 4),
    1083: Decoder(pa.time64("us"), _time, 8),
    1114: _moment(None),
    1184: _moment("UTC"),
    1186: Decoder(pa.duration("us"), _duration, 16),
    3802: of_text(skipped=1),  # jsonb: a version byte and its text
}

#: Arrays: OID of the array type, OID of its element.
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
DECODERS.update({array: listed(DECODERS[element]) for array, element in _ARRAYS.items()})
