"""Numbers as people read them; the same on the terminal, on a page and in a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

#: What stands where nothing is known.
UNDEFINED = "not defined"
#: What is written for a metric that does not exist.
NO_VALUE = "\u2013"
_SPACE = "\u00a0"
_NOT_KNOWN, _EMPTY = "not known", "(empty)"
#: What is smaller comes from rounding; numbers with more decimals than these are written in powers
#: of ten.
_NOISE, _MOST_DECIMALS = 1e-13, 8


def percent(share: float) -> str:
    r"""Share in percent; a tiny share, and one just below 1, keep two significant digits.

    Examples
    --------
    >>> percent(0.00837), percent(0.5), percent(4 / 120_000), percent(0.999967)
    ('0.84\xa0%', '50.0\xa0%', '0.0033\xa0%', '99.9967\xa0%')
    >>> percent(0.0), percent(1.0), percent(float("nan"))
    ('0.00\xa0%', '100.0\xa0%', 'not defined')
    """
    if math.isnan(share):
        return UNDEFINED
    return f"{_percentage(share, 1 if abs(share) >= 0.1 else 2)}{_SPACE}%"


def compact_percent(share: float, digits: int = 2) -> str:
    """Share in percent without a space, for columns and axes; digits are kept as in `percent`.

    Examples
    --------
    >>> compact_percent(0.25), compact_percent(4 / 120_000), compact_percent(0.2, 0)
    ('25.00%', '0.0033%', '20%')
    """
    return UNDEFINED if math.isnan(share) else f"{_percentage(share, digits)}%"


def _percentage(share: float, digits: int) -> str:
    percentage = 100 * share
    # A share that is not 1 must not be rounded to 100 %, nor one that is not 0 to 0 %.
    rest = min(abs(percentage), abs(100 - percentage)) if share < 1 else abs(percentage)
    return _written(percentage, max(digits, _decimals(rest)) if rest < 1 else digits)


def _decimals(value: float) -> int:
    """Decimals that keep two significant digits; 0 for what is only noise of rounding."""
    return 1 - math.floor(math.log10(value)) if value >= _NOISE else 0


def _written(value: float, digits: int, sign: str = "-") -> str:
    """Write a number with that many decimals, or in powers of ten if these are too many."""
    kind = f".{digits}f" if digits <= _MOST_DECIMALS or abs(value) >= 1e-3 else ".1e"
    return f"{value:{sign},{kind}}".replace("-", "\u2212", int(value < 0))


def between(low: float, high: float) -> str:
    """Interval of a share, by its ends."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    return f"{percent(low)} to {percent(high)}"


def number(value: float, digits: int = 0) -> str:
    """Count or other number, with thousands separators and at least two significant digits.

    Examples
    --------
    >>> number(12345.6), number(0.042, 1), number(3.0, 1), number(4)
    ('12,346', '0.042', '3.0', '4')
    """
    if math.isnan(value):
        return UNDEFINED
    if math.isclose(value, round(value, digits), rel_tol=1e-9, abs_tol=_NOISE):
        return _written(value, digits)
    return _written(value, max(digits, _decimals(abs(value))))


def money(value: float, currency: str = "") -> str:
    """Amount with its currency; one below 1,000 keeps its cents.

    Examples
    --------
    >>> money(12345.6, "EUR"), money(12.5, "EUR"), money(250.0), money(float("nan"), "EUR")
    ('12,346 EUR', '12.50 EUR', '250', 'not defined')
    """
    if math.isnan(value):
        return UNDEFINED
    whole = abs(value) >= 1000 or math.isclose(value, round(value), rel_tol=0, abs_tol=1e-9)
    return f"{number(value, 0 if whole else 2)} {currency}".rstrip()


def decimal(value: float, digits: int = 3) -> str:
    """Metric that is no share, as an area or a correlation.

    What is not 0 or 1 is not rounded to it.

    Examples
    --------
    >>> decimal(0.91249), decimal(float("nan")), decimal(0.00004), decimal(0.99996)
    ('0.912', 'not defined', '0.000040', '0.999960')
    """
    return UNDEFINED if math.isnan(value) else _written(value, _kept(value, digits))


def _kept(value: float, digits: int) -> int:
    """Decimals with which a value that is neither 0 nor 1 can be told from both."""
    rest = min(abs(value), abs(1 - abs(value)))
    lost = _NOISE <= rest < 0.5 * 10.0**-digits
    return _decimals(rest) if lost else digits


def signed(value: float, digits: int = 3) -> str:
    r"""Difference, with its sign.

    Examples
    --------
    >>> signed(0.0512), signed(-0.2), signed(0.00004), signed(float("nan"))
    ('+0.051', '\u22120.200', '+0.000040', 'not defined')
    """
    if math.isnan(value):
        return UNDEFINED
    if abs(value) < _NOISE:
        return _written(0.0, digits)
    lost = abs(value) < 0.5 * 10.0**-digits
    return _written(value, _decimals(abs(value)) if lost else digits, "+")


def span(low: float, high: float, digits: int = 3, *, sign: bool = False) -> str:
    """Interval of a metric that is no share, or of a difference, by its ends."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    shown = signed if sign else decimal
    return f"{shown(low, digits)} to {shown(high, digits)}"


def score(value: float) -> str:
    """Threshold; infinite is no alert at all.

    Examples
    --------
    >>> score(0.123456), score(0.99999), score(float("inf"))
    ('0.1235', '0.99999', 'none')
    """
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "none"
    # Four digits would write 0.99999 as 1, which only a certain fraud reaches.
    return f"{value:.4g}" if f"{value:.4g}" != "1" or value == 1 else repr(float(value))


def duration(time: dt.timedelta) -> str:
    """Time in the largest unit that tells it.

    Examples
    --------
    >>> import datetime as dt
    >>> duration(dt.timedelta(days=7, hours=6)), duration(dt.timedelta(hours=1))
    ('7.2 days', '1.0 hour')
    """
    seconds = time.total_seconds()
    units = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}
    unit = next((name for name in units if abs(seconds) >= units[name]), "second")
    shown = f"{seconds / units[unit]:.1f}"
    return f"{shown} {unit}{'' if shown == '1.0' else 's'}"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def day(moment: dt.datetime) -> str:
    """Date of a moment."""
    return f"{moment:%Y-%m-%d}"


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA."""
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or value != value


def group_word(value: object) -> str:
    """Name a group by its value; a text that is the name of something else is in quotes.

    Examples
    --------
    >>> group_word("online"), group_word(None), group_word("not known"), group_word(12.0)
    ('online', 'not known', '“not known”', '12')
    """
    if is_missing(value):
        return _NOT_KNOWN
    if isinstance(value, float) and value.is_integer():  # whole numbers, of which some are missing
        return str(int(value))
    word = str(value)
    return f"“{word}”" if word in {_NOT_KNOWN, _EMPTY} else word or _EMPTY


def plural(count: int, noun: str) -> str:
    """Count with its noun.

    Examples
    --------
    >>> plural(1, "fraud"), plural(1200, "fraud")
    ('1 fraud', '1,200 frauds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
