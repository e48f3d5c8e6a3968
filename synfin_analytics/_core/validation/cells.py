"""Single cells: the words for what is wrong with one, and the slow path for Python objects."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import uuid
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics._core.validation import moments
from synfin_analytics._core.validation.columns import Foreign
from synfin_analytics._core.validation.json_text import (
    UnstorableError,
    fault_in_json,
    fault_in_text,
    json_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics._core.validation.spec import ColumnSpec

NOT_FINITE = "is NaN or infinite"
NOT_WHOLE = "is not a whole number"
NOT_BOOLEAN = "is neither true nor false (nor 1 or 0)"
TOO_MANY_DIGITS = "has more digits than a double can hold"
OUT_OF_DOUBLE = "is out of the range of a double"

#: From 2 to the power of so many bits on, neighbouring whole numbers are the same float.
BITS_OF_FLOATS: dict[type, int] = {np.float16: 11, np.float32: 24}
BITS_OF_DOUBLE = 53
#: Every decimal of so many significant digits has a double of its own.
MOST_DIGITS = 15
#: A double is written with no more.
MOST_DIGITS_OF_REPR = 17

WANTED = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "decimal": "a number",
    "boolean": "true or false",
    "moment": "a date and time",
    "day": "a date",
    "json": "JSON",
}

NAMES_OF_TYPES = {
    pl.String: "a text",
    pl.Categorical: "a text",
    pl.Enum: "a text",
    pl.Boolean: "true or false",
    pl.Float16: "a number with decimals",
    pl.Float32: "a number with decimals",
    pl.Float64: "a number with decimals",
    pl.Decimal: "a number with decimals",
    pl.Date: "a date",
    pl.Datetime: "a date and time",
    pl.Time: "a time of day",
    pl.Duration: "a duration",
    pl.Binary: "a run of bytes",
    pl.List: "a list",
    pl.Array: "a list",
    pl.Struct: "a record",
    pl.Map: "a record",
}


def too_long(spec: ColumnSpec) -> str:
    """Reason: more characters than the column holds."""
    return f"is longer than {spec.length} characters"


def too_precise(spec: ColumnSpec) -> str:
    """Reason: more decimals than the column holds."""
    return f"has more than {spec.scale} decimals (round it first, so that the choice is yours)"


def out_of_range(spec: ColumnSpec) -> str:
    """Reason: larger than the type of the column."""
    if spec.kind == "decimal":
        return f"has more than {spec.precision - spec.scale} digits before the point"
    return f"is out of the range of {spec.dtype.to_python().__name__} ({spec.dtype})"


def convert(values: Sequence[Any], spec: ColumnSpec) -> tuple[pl.Series, dict[str, list[bool]]]:
    """Check Python objects one by one: the way for columns whose cells have no common type.

    Returns
    -------
    tuple
        The cells in the type of the table (NULL where at fault), and for each reason which cells.
    """
    single = _CELLS[spec.kind]
    good: list[Any] = []
    reasons: dict[str, list[bool]] = {}
    for position, value in enumerate(values):
        try:
            good.append(None if is_missing(value) else single(value, spec))
        except _Refused as refusal:
            good.append(None)
            reasons.setdefault(str(refusal), [False] * len(values))[position] = True
    return pl.Series(spec.name, good, dtype=spec.dtype, strict=True), reasons


class _Refused(Exception):  # noqa: N818 - a signal between two functions of this module
    """The cell is refused; the text says why."""


def is_missing(value: object) -> bool:
    """Whether a Python object stands for NULL: None, pandas' NA and NaT, a NaN among objects."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))


def is_whole(value: Any) -> bool:
    """Whether a Python or NumPy scalar is of an integer type; a bool is not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def _mistyped(value: object, spec: ColumnSpec) -> _Refused:
    if isinstance(value, Foreign):
        found = value.reason or f"is of type {value.kind}"
        return _Refused(found if value.reason else f"{found}, not {WANTED[spec.kind]}")
    names = {
        str: "a text", bytes: "a run of bytes", bool: "true or false", int: "a whole number",
        float: "a number with decimals", Decimal: "a number with decimals", list: "a list",
        dict: "a record", dt.datetime: "a date and time", dt.date: "a date",
        dt.time: "a time of day", dt.timedelta: "a duration",
    }  # fmt: skip
    found = names.get(type(value), f"of type {type(value).__name__}")
    return _Refused(f"is {found}, not {WANTED[spec.kind]}")


def _text_cell(value: Any, spec: ColumnSpec) -> str:
    if is_whole(value):
        value = _digits(int(value), spec)
    elif isinstance(value, uuid.UUID):
        value = str(value)
    if not isinstance(value, str):
        raise _mistyped(value, spec)
    text: str = str.__str__(
        value
    )  # NumPy's texts and members of enumerations are texts of their own
    fault = fault_in_text(text)
    if fault is not None:
        raise _Refused(fault)
    if spec.length is not None and len(text) > spec.length:
        raise _Refused(too_long(spec))
    return text


def _digits(number: int, spec: ColumnSpec) -> str:
    try:
        return str(number)
    except ValueError:  # Python writes no more than some thousand digits
        reason = "has too many digits" if spec.length is None else too_long(spec)
        raise _Refused(reason) from None


def _exact(value: Any, spec: ColumnSpec) -> Decimal:
    """Any number as the decimal that it is; of a float, every digit."""
    if is_whole(value):
        return Decimal(int(value))
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, (float, np.floating)):
        number = Decimal(float(value))
        if math.isfinite(value) and float(value) != value:  # NumPy's long double
            raise _Refused(TOO_MANY_DIGITS)
    else:
        raise _mistyped(value, spec)
    if not number.is_finite():
        raise _Refused(NOT_FINITE)
    return number


def _integer_cell(value: Any, spec: ColumnSpec) -> int:
    number = _exact(value, spec)
    if number.adjusted() > 20:  # beyond any integer type, and cheap to see
        raise _Refused(out_of_range(spec))
    if number and number.adjusted() < 0:
        raise _Refused(NOT_WHOLE)
    if number != int(number):
        raise _Refused(NOT_WHOLE)
    low, high = _BOUNDS[spec.dtype.base_type()]
    if not low <= number <= high:
        raise _Refused(out_of_range(spec))
    if isinstance(value, (float, np.floating)):
        bits = BITS_OF_FLOATS.get(type(value), BITS_OF_DOUBLE)
        if abs(number) >= 2**bits:
            raise _Refused(too_large_a_float(bits))
    return int(number)


def too_large_a_float(bits: int) -> str:
    """Say that a float may have been another whole number before it became a float."""
    return f"is a float of 2**{bits} or more, which no longer tells whole numbers apart"


_BOUNDS: dict[object, tuple[int, int]] = {
    kind: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for kind, bits in ((pl.Int16, 16), (pl.Int32, 32), (pl.Int64, 64))
}


def _number_cell(value: Any, spec: ColumnSpec) -> float:
    number = _exact(value, spec)
    result = float(number) if number.adjusted() <= 400 else math.inf
    if not math.isfinite(result) or (number and not result):
        raise _Refused(OUT_OF_DOUBLE)
    exact = number == Decimal(result)
    if not exact and (is_whole(value) or not _is_written(number, result)):
        raise _Refused(TOO_MANY_DIGITS)
    return result


def _is_written(number: Decimal, double: float) -> bool:
    """Whether a decimal is how a double is written: with so many digits, it is no other one."""
    _, figures, exponent = number.as_tuple()
    text = "".join(map(str, figures)).lstrip("0")
    digits = len(text.rstrip("0"))
    whole = int(exponent) + len(text) - digits >= 0
    if digits <= MOST_DIGITS or (digits <= MOST_DIGITS_OF_REPR and not whole):
        return True
    return Context(prec=digits).create_decimal(Decimal(double)) == number


def decimal_of(value: float | np.floating[Any], spec: ColumnSpec) -> Decimal:
    """Decimal that a float stands for.

    A double counts with the 15 significant digits that it holds for sure (C's DBL_DIG): sums and
    products of amounts are off by less, as 85.64999999999999 for 85.65. A narrower float is the
    decimal that it shows, where it tells the decimals of the column apart.
    """
    if not isinstance(value, np.floating) or isinstance(value, np.float64):
        return Decimal(f"{value:.15g}")
    exact = Decimal(float(value))
    places = Decimal(1).scaleb(-spec.scale)
    nearest = exact.quantize(places, context=Context(prec=400))
    if nearest == exact:
        return nearest
    digits = NARROW[np.dtype(value).type]
    unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    tells_apart = Decimal(float(np.spacing(np.abs(value)))) < places
    shows = type(value)(float(nearest)) == value
    noise = unit * 10 <= places and abs(nearest - exact) * 2 <= unit
    return nearest if tells_apart and (shows or noise) else exact


#: Significant digits that narrow floats hold for sure.
NARROW: dict[type, int] = {np.float16: 3, np.float32: 6}


def _decimal_cell(value: Any, spec: ColumnSpec) -> Decimal:
    number = _exact(value, spec)
    if isinstance(value, (float, np.floating)):
        number = decimal_of(value, spec)
    if number and number.adjusted() >= spec.precision - spec.scale:
        raise _Refused(out_of_range(spec))
    with localcontext(prec=spec.precision + 2):
        rounded = round(number, spec.scale)
    if rounded != number:
        raise _Refused(too_precise(spec))
    return rounded


def _boolean_cell(value: Any, spec: ColumnSpec) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = _exact(value, spec)
    if number not in (0, 1):
        raise _Refused(NOT_BOOLEAN)
    return bool(number)


def _moment_cell(value: Any, spec: ColumnSpec) -> dt.datetime:
    moment = _datetime(value)
    if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time())
    if not isinstance(moment, dt.datetime):
        raise _mistyped(value, spec)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        raise _Refused(moments.OUT_OF_YEARS) from None


def _datetime(value: Any) -> Any:
    """Python's own datetime of what stands for one, anything else as it is."""
    if isinstance(value, str):
        found = moments.moment_of(str.__str__(value))
        if isinstance(found, str):
            raise _Refused(found)
        return found
    if isinstance(value, np.datetime64):
        try:
            value = pd.Timestamp(value)
        except ValueError:  # pandas' OutOfBoundsDatetime
            raise _Refused(moments.OUT_OF_YEARS) from None
    if isinstance(value, pd.Timestamp):
        if value.nanosecond:
            raise _Refused(moments.TOO_FINE)
        if not 1 <= value.year <= dt.MAXYEAR:
            raise _Refused(moments.OUT_OF_YEARS)
        return value.to_pydatetime()
    return value


def _day_cell(value: Any, spec: ColumnSpec) -> dt.date:
    if isinstance(value, str):
        day = moments.day_of(str.__str__(value))
        if day is None:
            raise _Refused(moments.NOT_A_DAY)
        return day
    if isinstance(value, pd.Timestamp) and value.nanosecond:
        raise _Refused(moments.HAS_TIME)
    value = _datetime(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None or value.time() != dt.time():
            raise _Refused(moments.HAS_TIME)
        return value.date()
    if not isinstance(value, dt.date):
        raise _mistyped(value, spec)
    return value


def _json_cell(value: Any, spec: ColumnSpec) -> str:
    if isinstance(value, str):
        text = str.__str__(value)
        reason = fault_in_text(text) or fault_in_json(text)
    elif isinstance(value, (dict, list, tuple, np.ndarray)):
        try:
            text, reason = json_text(value), None
        except UnstorableError as error:
            reason = str(error)
    else:
        raise _mistyped(value, spec)
    if reason is not None:
        raise _Refused(reason)
    return text


_CELLS: dict[str, Callable[[Any, ColumnSpec], Any]] = {
    "text": _text_cell,
    "integer": _integer_cell,
    "number": _number_cell,
    "decimal": _decimal_cell,
    "boolean": _boolean_cell,
    "moment": _moment_cell,
    "day": _day_cell,
    "json": _json_cell,
}
