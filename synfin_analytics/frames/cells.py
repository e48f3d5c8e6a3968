"""Single cells: the words for what is wrong with one, and the slow path for Python objects."""

from __future__ import annotations

import datetime as dt
import json
import math
import numbers
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from synfin_analytics.frames.json_text import HAS_NUL, NOT_UNICODE, fault_in_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics.frames.spec import ColumnSpec

NOT_FINITE = "is NaN or infinite"
NOT_WHOLE = "is not a whole number"
NOT_BOOLEAN = "is neither true nor false (nor 1 or 0)"
NOT_A_MOMENT = "is not a date and time of the years 1 to 9999, as 2024-03-01T12:30:00+01:00"
NOT_A_DAY = "is not a date as in 2024-03-01"
OUT_OF_YEARS = "is outside the years 1 to 9999"

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
    pl.Boolean: "true or false",
    pl.Float32: "a number with decimals",
    pl.Float64: "a number with decimals",
    pl.Decimal: "a number with decimals",
    pl.Date: "a date",
    pl.Datetime: "a date and time",
    pl.Binary: "a run of bytes",
    pl.List: "a list",
    pl.Struct: "a record",
}

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: First moment of year 1 and of year 10000, in nanoseconds since 1970.
FIRST_NS = (dt.datetime(1, 1, 1, tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1) * 1000
END_NS = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(
    microseconds=1
) * 1000 + 86_400_000_000_000


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


def within_years(days: pl.Series) -> pl.Series:
    """Which dates lie in the years that Python knows; NULL counts as inside."""
    first, last = dt.date(1, 1, 1).toordinal(), dt.date(9999, 12, 31).toordinal()
    ordinal = days.to_physical().cast(pl.Int64) + dt.date(1970, 1, 1).toordinal()
    return ((ordinal >= first) & (ordinal <= last)).fill_null(True)


def parse_moments(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read ISO 8601 texts; without an offset they are UTC. The second series marks failures."""
    moments = pd.to_datetime(
        pd.Series(texts.to_list(), dtype=object), format="ISO8601", utc=True, errors="coerce"
    )
    microseconds = pa.Array.from_pandas(moments.astype("datetime64[us, UTC]"))
    values = pl.Series(texts.name, microseconds, dtype=pl.Datetime("us", "UTC"))
    ticks = values.to_physical()
    values = values.set(~((ticks >= FIRST_NS // 1000) & (ticks < END_NS // 1000)), None)
    return values, texts.is_not_null() & values.is_null()


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
    return value is None or value is pd.NA or value is pd.NaT or _is_nan(value)


def _is_nan(value: object) -> bool:
    return isinstance(value, numbers.Real) and math.isnan(value)


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which neither Arrow nor PostgreSQL holds."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def is_whole(value: Any) -> bool:
    """Whether a Python or NumPy scalar is of an integer type; a bool is not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def _mistyped(value: object, spec: ColumnSpec) -> _Refused:
    names = {
        str: "a text", bytes: "a run of bytes", bool: "true or false", int: "a whole number",
        float: "a number with decimals", Decimal: "a number with decimals", list: "a list",
        dict: "a record", dt.datetime: "a date and time", dt.date: "a date",
    }  # fmt: skip
    found = names.get(type(value), f"of type {type(value).__name__}")
    return _Refused(f"is {found}, not {WANTED[spec.kind]}")


def _text_cell(value: Any, spec: ColumnSpec) -> str:
    if is_whole(value):
        value = str(int(value))
    if not isinstance(value, str):
        raise _mistyped(value, spec)
    if "\0" in value:
        raise _Refused(HAS_NUL)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused(NOT_UNICODE) from None
    if spec.length is not None and len(value) > spec.length:
        raise _Refused(too_long(spec))
    return value


def _exact(value: Any, spec: ColumnSpec) -> Decimal:
    """Any number as the decimal that it stands for."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise _mistyped(value, spec)
    if isinstance(value, numbers.Integral):
        return Decimal(int(value))
    number = value if isinstance(value, Decimal) else Decimal(f"{float(value):.15g}")
    if not number.is_finite():
        raise _Refused(NOT_FINITE)
    return number


def _integer_cell(value: Any, spec: ColumnSpec) -> int:
    number = _exact(value, spec)
    if number.adjusted() > 20:  # beyond any integer type, and cheap to see
        raise _Refused(out_of_range(spec))
    if number != int(number):
        raise _Refused(NOT_WHOLE)
    low, high = _BOUNDS[spec.dtype.base_type()]
    if not low <= number <= high:
        raise _Refused(out_of_range(spec))
    return int(number)


_BOUNDS: dict[object, tuple[int, int]] = {
    kind: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for kind, bits in ((pl.Int16, 16), (pl.Int32, 32), (pl.Int64, 64))
}


def _number_cell(value: Any, spec: ColumnSpec) -> float:
    number = _exact(value, spec)
    result = float(number) if number.adjusted() <= 400 else math.inf
    if not math.isfinite(result):
        raise _Refused(NOT_FINITE)
    if isinstance(value, numbers.Integral) and int(value) != int(result):
        raise _Refused("has more digits than a double can hold")
    return result


def _decimal_cell(value: Any, spec: ColumnSpec) -> Decimal:
    number = _exact(value, spec)
    if number.adjusted() >= spec.precision - spec.scale:
        raise _Refused(out_of_range(spec))
    with localcontext(prec=spec.precision + 2):
        rounded = round(number, spec.scale)
    if rounded != number:
        raise _Refused(too_precise(spec))
    return rounded


def _boolean_cell(value: Any, spec: ColumnSpec) -> bool:
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's
        return bool(value)
    if not isinstance(value, (numbers.Real, Decimal)):
        raise _mistyped(value, spec)
    if value not in (0, 1):
        raise _Refused(NOT_BOOLEAN)
    return bool(value)


def _moment_cell(value: Any, spec: ColumnSpec) -> dt.datetime:
    moment = _moment_from_text(value) if isinstance(value, str) else value
    if isinstance(moment, pd.Timestamp):
        if moment.nanosecond:
            raise _Refused("is finer than microseconds")
        if not 1 <= moment.year <= dt.MAXYEAR:
            raise _Refused(OUT_OF_YEARS)
        moment = moment.to_pydatetime()
    if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time())
    if not isinstance(moment, dt.datetime):
        raise _mistyped(value, spec)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        raise _Refused(OUT_OF_YEARS) from None


def _moment_from_text(text: str) -> dt.datetime:
    if not text.isascii():
        raise _Refused(NOT_A_MOMENT)
    values, faulty = parse_moments(pl.Series([text], dtype=pl.String))
    if faulty[0]:
        raise _Refused(NOT_A_MOMENT)
    moment: dt.datetime = values[0]
    return moment


def _day_cell(value: Any, spec: ColumnSpec) -> dt.date:
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            raise _Refused(NOT_A_DAY) from None
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None or value.time() != dt.time():
            raise _Refused("has a time of day, where a date is wanted")
        return value.date()
    if not isinstance(value, dt.date):
        raise _mistyped(value, spec)
    return value


def _json_cell(value: Any, spec: ColumnSpec) -> str:
    if not isinstance(value, (str, dict, list, tuple)):
        raise _mistyped(value, spec)
    if isinstance(value, str):
        text = value
        if not is_unicode(text):
            raise _Refused(NOT_UNICODE)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=_plain)
        except (TypeError, ValueError, RecursionError):
            raise _Refused("cannot be written as JSON") from None
    reason = fault_in_json(text)
    if reason is not None:
        raise _Refused(reason)
    return text


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays inside of JSON, as Python has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


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
