"""Numbers as people read them; the same on the terminal, on a page and in a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

#: What stands where nothing is known.
UNDEFINED = "not defined"
_SPACE = "\u00a0"


def percent(share: float) -> str:
    r"""Share in percent, with the digits that matter.

    Examples
    --------
    >>> percent(0.00837), percent(0.5), percent(float("nan"))
    ('0.84\xa0%', '50.0\xa0%', 'not defined')
    """
    if math.isnan(share):
        return UNDEFINED
    digits = 1 if abs(share) >= 0.1 else 2
    return f"{share:.{digits}%}".replace("%", f"{_SPACE}%")


def between(low: float, high: float) -> str:
    """Interval of a share, by its ends."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    return f"{percent(low)} to {percent(high)}"


def number(value: float, digits: int = 0) -> str:
    """Count or amount, with separators."""
    return UNDEFINED if math.isnan(value) else f"{value:,.{digits}f}".replace("-", "\u2212")


def decimal(value: float, digits: int = 3) -> str:
    """Metric that is no share, as an area or a correlation.

    Examples
    --------
    >>> decimal(0.91249), decimal(float("nan")), decimal(0.00004)
    ('0.912', 'not defined', '0.00004')
    """
    if math.isnan(value):
        return UNDEFINED
    if 0 < abs(value) < 0.5 * 10**-digits:
        return f"{value:.5f}" if abs(value) >= 1e-5 else f"{value:.1e}"
    return f"{value:.{digits}f}".replace("-", "\u2212")


def signed(value: float, digits: int = 3) -> str:
    r"""Difference, with its sign.

    Examples
    --------
    >>> signed(0.0512), signed(-0.2), signed(float("nan"))
    ('+0.051', '\u22120.200', 'not defined')
    """
    if math.isnan(value):
        return UNDEFINED
    shown = f"{value:+.{digits}f}".replace("-", "\u2212")
    return shown if any(digit in shown for digit in "123456789") else shown[1:]


def span(low: float, high: float, digits: int = 3, *, sign: bool = False) -> str:
    """Interval of a metric that is no share, or of a difference, by its ends."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    shown = signed if sign else decimal
    return f"{shown(low, digits)} to {shown(high, digits)}"


def score(value: float) -> str:
    """Threshold; infinite is no alert at all."""
    return "none" if math.isinf(value) else UNDEFINED if math.isnan(value) else f"{value:.4g}"


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


def plural(count: int, noun: str) -> str:
    """Count with its noun.

    Examples
    --------
    >>> plural(1, "fraud"), plural(1200, "fraud")
    ('1 fraud', '1,200 frauds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
