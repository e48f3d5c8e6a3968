"""Periods of time, as ``"1d"`` or ``"2w"``: which one a moment falls into.

Engines only cut a timestamp to one whole unit (:attr:`Period.unit`), which all of them can; the
counts of these units are additive, so longer periods are put together afterwards, here.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Letter of a period: numpy's unit in which it is counted, and how many of these it is.
_UNITS = {
    "m": ("m", 1),
    "h": ("h", 1),
    "d": ("D", 1),
    "w": ("D", 7),
    "mo": ("M", 1),
    "q": ("M", 3),
    "y": ("M", 12),
}
#: The first Monday of Unix time: weeks are counted from it, every other period from 1970 on.
_MONDAY = np.datetime64("1970-01-05", "D")


@dataclass(frozen=True, slots=True)
class Period:
    """A whole number of minutes, hours, days or months, in UTC.

    Examples
    --------
    >>> Period.parse("1w").start(np.array(["2026-01-01T10:00"], "datetime64[us]"))
    array(['2025-12-29T00:00:00.000000'], dtype='datetime64[us]')
    """

    length: int
    numpy_unit: str
    weeks: bool = False

    @classmethod
    def parse(cls, every: str, name: str = "every", *, least: int = 1) -> Period:
        """Read ``every``: a whole number from ``least`` and one of m, h, d, w, mo, q, y.

        ``name`` is what the caller's argument is called.
        """
        match = re.fullmatch(r"(0|[1-9][0-9]{0,5})(m|h|d|w|mo|q|y)", str(every))
        if match is None or int(match[1]) < least:
            raise ArgumentError(
                f"{name} is a whole number and a unit of time (m, h, d, w, mo, q, y), "
                f"as '1d' or '3mo'; got {every!r}."
            )
        numpy_unit, factor = _UNITS[match[2]]
        return cls(int(match[1]) * factor, numpy_unit, weeks=match[2] == "w")

    @classmethod
    def fixed(cls, every: str, name: str, *, least: int = 1) -> Period:
        """Read a period that always lasts as long: a number of m, h, d or w."""
        period = cls.parse(every, name, least=least)
        if period.numpy_unit == "M":
            raise ArgumentError(
                f"{name} must always last as long, and months do not: "
                f"name it in m, h, d or w, as '90d'; got {every!r}."
            )
        return period

    @property
    def duration(self) -> dt.timedelta:
        """How long it lasts, if that is :meth:`fixed`."""
        return self.length * dt.timedelta(**{f"{self.unit}s": 1})

    @property
    def unit(self) -> str:
        """The unit to which an engine cuts timestamps: minute, hour, day or month."""
        return {"m": "minute", "h": "hour", "D": "day", "M": "month"}[self.numpy_unit]

    def start(self, moments: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """First moment of the period into which each of ``moments`` falls; NaT stays NaT."""
        unit = f"datetime64[{self.numpy_unit}]"
        origin = (_MONDAY if self.weeks else np.datetime64("1970-01-01", "D")).astype(unit)
        steps = moments.astype(unit) - origin
        length = np.array(self.length, dtype=f"timedelta64[{self.numpy_unit}]")
        starts: NDArray[np.datetime64] = (origin + (steps - steps % length)).astype(
            "datetime64[us]"
        )
        return starts
