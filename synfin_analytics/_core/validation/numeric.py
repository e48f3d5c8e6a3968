"""Numbers and booleans: Python objects, series and texts, each read by all of its digits.

No number passes through a type that holds fewer digits than it has. A float stands for the
decimal that it shows: see :func:`float_to_decimal`.
"""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.validation.outcome import (
    KIND_NAMES,
    InvalidCellError,
    ValidatedColumn,
    is_integer,
    reject_all,
    validate_objects,
    wrong_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics._core.validation.spec import ColumnSpec

NOT_FINITE = "is NaN or infinite"
NOT_WHOLE = "is not a whole number"
NOT_BOOLEAN = "is not a boolean (true, false, 1 or 0)"
TOO_MANY_DIGITS = "has more digits than a double can hold"
OUT_OF_DOUBLE = "is out of range for a double"

#: From 2 to the power of this many bits on, neighbouring whole numbers are the same float.
FLOAT_BITS: dict[type, int] = {np.float16: 11, np.float32: 24}
DOUBLE_BITS = 53
#: Every decimal of this many significant digits has a double of its own (C's DBL_DIG).
DOUBLE_DIGITS = 15
#: Significant digits that narrower floats hold for sure.
FLOAT_DIGITS: dict[type, int] = {np.float16: 3, np.float32: 6}
#: Digits of the shortest text that identifies a double.
_REPR_DIGITS = 17
#: Powers of ten up to here are doubles.
_LARGEST_EXACT_POWER = 10**22

_INTEGER_BOUNDS: dict[object, tuple[int, int]] = {
    dtype: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for dtype, bits in ((pl.Int16, 16), (pl.Int32, 32), (pl.Int64, 64))
}


def too_precise(spec: ColumnSpec) -> str:
    """Reason: more decimals than the column holds."""
    return f"has more than {spec.scale} decimals (round it before loading)"


def out_of_range(spec: ColumnSpec) -> str:
    """Reason: larger than the type of the column."""
    if spec.kind == "decimal":
        return f"has more than {spec.precision - spec.scale} digits before the decimal point"
    return f"is out of range for {spec.dtype.to_python().__name__} ({spec.dtype})"


def ambiguous_float(bits: int) -> str:
    """Reason: the float may have been another whole number before it became a float."""
    return f"is a float of 2**{bits} or more, which cannot represent every whole number"


# -- Python objects ----------------------------------------------------------------------------


def convert_integer(value: Any, spec: ColumnSpec) -> int:
    """Convert one object to an integer."""
    number = _to_decimal(value, spec)
    if number.adjusted() > 20:  # beyond any integer type, and cheap to see
        raise InvalidCellError(out_of_range(spec))
    if (number and number.adjusted() < 0) or number != int(number):
        raise InvalidCellError(NOT_WHOLE)
    low, high = _INTEGER_BOUNDS[spec.dtype.base_type()]
    if not low <= number <= high:
        raise InvalidCellError(out_of_range(spec))
    if isinstance(value, (float, np.floating)):
        bits = FLOAT_BITS.get(type(value), DOUBLE_BITS)
        if abs(number) >= 2**bits:
            raise InvalidCellError(ambiguous_float(bits))
    return int(number)


def convert_double(value: Any, spec: ColumnSpec) -> float:
    """Convert one object to a double."""
    number = _to_decimal(value, spec)
    double = float(number) if number.adjusted() <= 400 else math.inf
    if not math.isfinite(double) or (number and not double):
        raise InvalidCellError(OUT_OF_DOUBLE)
    exact = number == Decimal(double)
    if not exact and (is_integer(value) or not _is_notation_of(number, double)):
        raise InvalidCellError(TOO_MANY_DIGITS)
    return double


def convert_decimal(value: Any, spec: ColumnSpec) -> Decimal:
    """Convert one object to a decimal."""
    number = _to_decimal(value, spec)
    if isinstance(value, (float, np.floating)):
        number = float_to_decimal(value, spec)
    if number and number.adjusted() >= spec.precision - spec.scale:
        raise InvalidCellError(out_of_range(spec))
    with localcontext(prec=spec.precision + 2):
        rounded = round(number, spec.scale)
    if rounded != number:
        raise InvalidCellError(too_precise(spec))
    return rounded


def convert_boolean(value: Any, spec: ColumnSpec) -> bool:
    """Convert one object to a boolean."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = _to_decimal(value, spec)
    if number not in (0, 1):
        raise InvalidCellError(NOT_BOOLEAN)
    return bool(number)


def float_to_decimal(value: float | np.floating[Any], spec: ColumnSpec) -> Decimal:
    """Return the decimal that a float stands for.

    Of a double the 15 significant digits count that it holds for sure: sums and products of
    amounts are off by less, as 85.64999999999999 for 85.65. A narrower float is the decimal that
    it shows, where it can distinguish the decimals of the column.
    """
    if not isinstance(value, np.floating) or isinstance(value, np.float64):
        return Decimal(f"{value:.{DOUBLE_DIGITS}g}")
    exact = Decimal(float(value))
    resolution = Decimal(1).scaleb(-spec.scale)
    nearest = exact.quantize(resolution, context=Context(prec=400))
    if nearest == exact:
        return nearest
    digits = FLOAT_DIGITS[np.dtype(value).type]
    unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    distinguishes = Decimal(float(np.spacing(np.abs(value)))) < resolution
    shows = type(value)(float(nearest)) == value
    is_noise = unit * 10 <= resolution and abs(nearest - exact) * 2 <= unit
    return nearest if distinguishes and (shows or is_noise) else exact


def _to_decimal(value: Any, spec: ColumnSpec) -> Decimal:
    """Return a number of any type as exactly the decimal that it is; of a float, every digit."""
    if is_integer(value):
        return Decimal(int(value))
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, (float, np.floating)):
        number = Decimal(float(value))
        if math.isfinite(value) and float(value) != value:  # NumPy's long double
            raise InvalidCellError(TOO_MANY_DIGITS)
    else:
        raise wrong_type(value, spec)
    if not number.is_finite():
        raise InvalidCellError(NOT_FINITE)
    return number


def _is_notation_of(number: Decimal, double: float) -> bool:
    """Whether a decimal is how a double is written, so that it means no other number."""
    _, figures, exponent = number.as_tuple()
    text = "".join(map(str, figures)).lstrip("0")
    digits = len(text.rstrip("0"))
    is_whole = int(exponent) + len(text) - digits >= 0
    if digits <= DOUBLE_DIGITS or (digits <= _REPR_DIGITS and not is_whole):
        return True
    return Context(prec=digits).create_decimal(Decimal(double)) == number


# -- Series ------------------------------------------------------------------------------------


def validate_integers(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as integers."""
    if column.dtype.is_integer():
        integers, validated = column, ValidatedColumn(column.cast(spec.dtype, strict=False))
    elif column.dtype.is_decimal():
        units, unit = _decimal_units(column)
        fractional = (units % unit != 0).fill_null(False)
        integers = (units // unit).set(fractional, None)
        validated = ValidatedColumn(integers.cast(spec.dtype, strict=False))
        validated.reject(fractional, NOT_WHOLE)
    elif column.dtype.is_float():
        # pandas represents whole numbers with gaps as floats.
        doubles = column.cast(pl.Float64)
        not_finite = (~doubles.is_finite()).fill_null(False)
        fractional = (~not_finite & (doubles != doubles.floor())).fill_null(False)
        integers = doubles.set(not_finite | fractional, None)
        validated = ValidatedColumn(integers.cast(spec.dtype, strict=False))
        validated.reject(not_finite, NOT_FINITE).reject(fractional, NOT_WHOLE)
        bits = FLOAT_BITS.get(column.head(0).to_numpy().dtype.type, DOUBLE_BITS)
        ambiguous = validated.cells.is_not_null() & (integers.abs() >= 2**bits)
        integers = integers.set(ambiguous, None)
        validated.reject(ambiguous, ambiguous_float(bits))
    else:
        return reject_all(column, spec)
    return validated.reject(integers.is_not_null() & validated.cells.is_null(), out_of_range(spec))


def validate_doubles(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as doubles."""
    if not column.dtype.is_numeric():
        return reject_all(column, spec)
    if column.dtype.is_decimal():
        units, unit = _decimal_units(column)
        fits = (units.abs() <= 2**DOUBLE_BITS).all()
        if not fits or unit[0] > _LARGEST_EXACT_POWER:
            return validate_objects(column.to_list(), spec, convert_double)
        # One division, rounded once: polars' own multiplies by a reciprocal, which it rounds too.
        doubles = units.fill_null(0).cast(pl.Int64).to_numpy() / float(unit[0])
        return ValidatedColumn(pl.Series(column.name, doubles).set(column.is_null(), None))
    validated = ValidatedColumn(column.cast(pl.Float64))
    validated.reject(~validated.cells.is_finite(), NOT_FINITE)
    if column.dtype.is_integer():
        restored = validated.cells.cast(pl.Int128, strict=False)
        exact = column.cast(pl.Int128, strict=False) == restored
        validated.reject(column.is_not_null() & ~exact.fill_null(False), TOO_MANY_DIGITS)
    return validated


def validate_decimals(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as decimals."""
    limit = 10 ** (spec.precision - spec.scale)
    if column.dtype.is_float():
        return _floats_to_decimals(column, limit, spec)
    if column.dtype.is_integer():
        number = column.cast(pl.Int128, strict=False)
        inside = ((number < limit) & (number > -limit)).fill_null(False) | column.is_null()
        units = column.set(~inside, None).cast(pl.Int64).fill_null(0).to_numpy() * 10**spec.scale
        validated = ValidatedColumn(_decimals_of_units(units, column.is_not_null(), spec))
        return validated.reject(~inside, out_of_range(spec))
    if column.dtype.is_decimal():
        return _rescale_decimals(column, limit, spec)
    return reject_all(column, spec)


def validate_booleans(column: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    """Validate a series as booleans."""
    if column.dtype == pl.Boolean:
        return ValidatedColumn(column)
    if not column.dtype.is_numeric():
        return reject_all(column, spec)
    if column.dtype.is_decimal():
        units, unit = _decimal_units(column)
        is_one, is_valid = units == unit, (units == 0) | (units == unit)
    else:
        is_one, is_valid = column == 1, (column == 0) | (column == 1)
    return ValidatedColumn(is_one).reject(~is_valid, NOT_BOOLEAN)


def _decimal_units(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return decimals as whole numbers of their smallest unit, and how many of these are 1."""
    scale = column.dtype.scale  # type: ignore[attr-defined]  # a decimal has it
    return column.to_physical().cast(pl.Int128), pl.Series([10**scale], dtype=pl.Int128)


def _rescale_decimals(column: pl.Series, limit: int, spec: ColumnSpec) -> ValidatedColumn:
    units, unit = _decimal_units(column)
    target = 10**spec.scale
    if unit[0] <= target:  # as many decimals or fewer
        outside = units.abs() >= limit * unit[0]
        scaled, inexact = units * pl.Series([target // unit[0]], dtype=pl.Int128), outside.clear()
    else:
        factor = pl.Series([unit[0] // target], dtype=pl.Int128)
        inexact = (units % factor != 0).fill_null(False)
        scaled = units // factor
        outside = (scaled.abs() >= limit * target).fill_null(False)
    usable = scaled.set(outside.fill_null(False), None).cast(pl.Int64, strict=False)
    validated = ValidatedColumn(
        _decimals_of_units(usable.fill_null(0).to_numpy(), column.is_not_null(), spec)
    )
    validated.reject(outside, out_of_range(spec))
    if len(inexact):
        validated.reject(inexact & ~outside, too_precise(spec))
    return validated


def _floats_to_decimals(column: pl.Series, limit: int, spec: ColumnSpec) -> ValidatedColumn:
    native = column.fill_null(0.0).to_numpy()
    array = native.astype(np.float64)
    finite = np.isfinite(array)
    small = finite & (np.abs(array) < limit)
    usable = np.where(small, array, 0.0)
    units = np.rint(usable * 10**spec.scale)
    nearest = units / 10**spec.scale
    error = np.abs(nearest - usable)
    unit, near_power = _last_digit(usable, FLOAT_DIGITS.get(native.dtype.type, DOUBLE_DIGITS))
    exact = error <= unit / 2
    # Next to a tie or a power of ten, arithmetic on doubles cannot decide.
    undecided = near_power | (np.abs(error - unit / 2) <= unit / 1000)
    if native.dtype != np.float64:
        resolution = 10.0**-spec.scale
        spacing = np.spacing(np.abs(np.where(small, native, 0))).astype(np.float64)
        shows = nearest.astype(native.dtype) == native
        is_noise = exact & (unit * 10 <= resolution * (1 + 1e-9))
        exact = (spacing < resolution) & (shows | is_noise)
        undecided &= ~shows
    exact |= error == 0
    for position in np.flatnonzero(small & undecided & (error > 0)):
        number = float_to_decimal(native[position], spec)
        exact[position] = number == round(number, spec.scale)
    large = finite & (~small | (exact & (np.abs(units) >= limit * 10**spec.scale)))
    counts = np.where(large, 0.0, units).astype(np.int64)
    validated = ValidatedColumn(_decimals_of_units(counts, column.is_not_null(), spec))
    validated.reject(pl.Series(~finite), NOT_FINITE)
    validated.reject(pl.Series(large), out_of_range(spec))
    return validated.reject(pl.Series(finite & ~large & ~exact), too_precise(spec))


def _last_digit(numbers: np.ndarray, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit of the last decimal digit that a float of this size holds for sure.

    The second array marks numbers so close to a power of ten that their size is uncertain.
    """
    sizes = np.log10(np.where(numbers == 0, 1.0, np.abs(numbers)))
    unit = 10.0 ** (np.floor(sizes) - digits + 1)
    return unit, np.abs(sizes - np.rint(sizes)) < 1e-6


def _decimals_of_units(units: np.ndarray, valid: pl.Series, spec: ColumnSpec) -> pl.Series:
    """Return decimals from whole numbers of their smallest unit, without a detour through texts."""
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63  # two's complement: the sign fills the upper half
    validity = np.packbits(valid.to_numpy(), bitorder="little")
    array = pa.Array.from_buffers(
        pa.decimal128(spec.precision, spec.scale),
        len(units),
        [pa.py_buffer(validity), pa.py_buffer(words)],
    )
    return pl.Series(spec.name, array)


# -- Texts -------------------------------------------------------------------------------------

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,5})?$"
_SPACES = "[ \u00a0\u202f]"


def parse_booleans(texts: pl.Series, spec: ColumnSpec, options: ReadOptions) -> ValidatedColumn:
    """Parse booleans in any of the spellings that files have."""
    del spec, options
    folded = texts.str.strip_chars().str.to_lowercase()
    values = folded.is_in(["true", "t", "1", "1.0"])
    is_valid = values | folded.is_in(["false", "f", "0", "0.0"])
    return ValidatedColumn(values.set(texts.is_null(), None)).reject(~is_valid, NOT_BOOLEAN)


def parse_numbers(texts: pl.Series, spec: ColumnSpec, options: ReadOptions) -> ValidatedColumn:
    """Parse integers, decimals and doubles."""
    normalised = normalise_numbers(texts, options)
    not_a_number = texts.is_not_null() & normalised.is_null()
    validated = _NUMBER_PARSERS[spec.kind](normalised, spec)
    return validated.reject(not_a_number, f"is not {KIND_NAMES[spec.kind]}")


def has_decimal_points(texts: pl.Series) -> bool:
    """Whether texts of scores have decimal points, however other numbers are written.

    A score from 0 to 1 has no thousands, so that a point in it is a decimal mark.

    Examples
    --------
    >>> has_decimal_points(pl.Series(["0.125", "1", None])), has_decimal_points(pl.Series(["0,5"]))
    (True, False)
    """
    texts = texts.drop_nulls()
    return bool(texts.str.contains(".", literal=True).any()) and not bool(
        texts.str.contains(",", literal=True).any()
    )


def normalise_numbers(texts: pl.Series, options: ReadOptions) -> pl.Series:
    """Return numbers as Python writes them; NULL for what is no number by these options."""
    texts = texts.str.strip_chars()
    if options.currency:
        texts = _strip_currency(texts, options.currency)
    if options.thousands:
        texts = _strip_thousands(texts, options.thousands, options.decimal_mark)
    if options.decimal_mark == ",":
        texts = texts.set(texts.str.contains(".", literal=True).fill_null(False), None)
        texts = texts.str.replace(",", ".", literal=True)
    return texts.set((~texts.str.contains(_NUMBER)).fill_null(False), None)


def _strip_currency(texts: pl.Series, currency: bool | str) -> pl.Series:
    """Strip one currency sign, before or after the number; parentheses become a minus."""
    sign = re.escape(currency) if isinstance(currency, str) else r"(?:\p{Sc}|[A-Z]{3})"
    texts = texts.str.replace_all("\u2212", "-", literal=True)
    leading = texts.str.replace(rf"^([-+(]?)\s*{sign}\s*", "${1}")
    trailing = texts.str.replace(rf"\s*{sign}\s*([-)]?)$", "${1}")
    texts = leading.zip_with((leading != texts).fill_null(False), trailing)
    texts = texts.str.replace(r"^\(\s*([0-9.,'\u2019_\s]+?)\s*\)$", "-${1}")
    return texts.str.replace(r"^([0-9.][0-9.,'\u2019_\s]*)-$", "-${1}")


def _strip_thousands(texts: pl.Series, mark: str, decimal_mark: str) -> pl.Series:
    """Strip separators of thousands; NULL where they are not between groups of three."""
    separator = _SPACES if mark in " \u00a0\u202f" else re.escape(mark)
    fraction = f"(?:{re.escape(decimal_mark)}[0-9]*)?$"
    separated = texts.str.contains(separator).fill_null(False)
    grouped = texts.str.contains(f"^[+-]?[0-9]{{1,3}}(?:{separator}[0-9]{{3}})+{fraction}")
    texts = texts.set(separated & ~grouped.fill_null(False), None)
    return texts.str.replace_all(separator, "")


def _parse_integers(texts: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    short = texts.str.contains(r"^[+-]?[0-9]{1,18}$").fill_null(True)
    if not short.all():
        return _parse_one_by_one(texts, spec, convert_integer)
    numbers = texts.str.strip_prefix("+").cast(pl.Int64)
    validated = ValidatedColumn(numbers.cast(spec.dtype, strict=False))
    return validated.reject(numbers.is_not_null() & validated.cells.is_null(), out_of_range(spec))


def _parse_doubles(texts: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    del spec
    values = texts.cast(pl.Float64)
    validated = ValidatedColumn(values).reject(values.is_infinite(), NOT_FINITE)
    # An identifier or a count with more digits than a double has would become another number.
    long = texts.str.contains(rf"^[+-]?[0-9]{{{DOUBLE_DIGITS + 1},}}$").fill_null(False)
    if long.any():
        exact = [
            not is_long or Decimal(text) in (Decimal(value), Decimal(repr(value)))
            for is_long, text, value in zip(long, texts, values, strict=True)
        ]
        inexact = ~pl.Series(exact, dtype=pl.Boolean) & validated.cells.is_not_null()
        validated.reject(inexact, TOO_MANY_DIGITS)
    return validated


def _parse_decimals(texts: pl.Series, spec: ColumnSpec) -> ValidatedColumn:
    whole_digits = max(spec.precision - spec.scale, 1)
    fraction = rf"(?:\.[0-9]{{1,{spec.scale}}})?" if spec.scale else ""
    short = texts.str.contains(rf"^-?[0-9]{{1,{whole_digits}}}{fraction}$").fill_null(True)
    if not short.all():
        return _parse_one_by_one(texts, spec, convert_decimal)
    return ValidatedColumn(texts.cast(spec.dtype))


_NUMBER_PARSERS: dict[str, Callable[[pl.Series, ColumnSpec], ValidatedColumn]] = {
    "integer": _parse_integers,
    "number": _parse_doubles,
    "decimal": _parse_decimals,
}


def _parse_one_by_one(
    texts: pl.Series, spec: ColumnSpec, convert_cell: Callable[[Any, ColumnSpec], Any]
) -> ValidatedColumn:
    """Parse numbers that are long or written with an exponent."""
    numbers = [None if text is None else _parse_number(text, spec) for text in texts]
    return validate_objects(numbers, spec, convert_cell)


def _parse_number(text: str, spec: ColumnSpec) -> Decimal:
    """Parse a number; a double with all its digits, as 85.64999999999999, is the 85.65 it means."""
    number = Decimal(text)
    if spec.kind == "decimal" and len(number.as_tuple().digits) > DOUBLE_DIGITS:
        double = float(text)
        if Decimal(repr(double)) == number:
            return Decimal(f"{double:.{DOUBLE_DIGITS}g}")
    return number
