"""Numbers as people read them; the same on the terminal, on a page and in a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

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
    return UNDEFINED if math.isnan(value) else f"{value:,.{digits}f}"


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
