"""Periods of time, as ``"1d"`` or ``"2w"``: which one a moment falls into.

Engines number the periods (:meth:`Period.number`) from the parts of a timestamp, which all of them
know; :meth:`Period.start` and :meth:`Period.starts` turn moments and numbers into the first moments
of periods.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import format_value
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
                f"`{name}` must be a whole number of at least {least} and a unit of time (m, h, d, "
                f"w, mo, q, y), such as '1d' or '3mo'; got {format_value(every)}."
            )
        numpy_unit, factor = _UNITS[match[2]]
        return cls(int(match[1]) * factor, numpy_unit, weeks=match[2] == "w")

    @classmethod
    def fixed(cls, every: str, name: str, *, least: int = 1) -> Period:
        """Read a period that always lasts as long: a number of m, h, d or w."""
        period = cls.parse(every, name, least=least)
        if period.numpy_unit == "M":
            raise ArgumentError(
                f"`{name}` must be in m, h, d or w, such as '90d', since months differ in length; "
                f"got {format_value(every)}."
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

    def number(self, moment: nw.Expr) -> nw.Expr:
        """Return the number of the period into which each moment of a column falls.

        It is a double, in which all engines keep whole numbers exactly; NULL stays NULL.
        """
        at = moment.dt
        year, month = at.year().cast(nw.Float64), at.month().cast(nw.Float64)
        if self.numpy_unit == "M":
            units = (year - 1970) * 12 + month - 1
        else:
            units = _days(year, month, at.day().cast(nw.Float64))
            if self.numpy_unit != "D":
                units = units * 24 + at.hour().cast(nw.Float64)
            if self.numpy_unit == "m":
                units = units * 60 + at.minute().cast(nw.Float64)
        return ((units - self._origin.astype(np.int64).item()) / self.length).floor()

    def starts(self, numbers: NDArray[np.float64]) -> NDArray[np.datetime64]:
        """First moments of periods by their numbers; of NaN it is NaT."""
        known = np.isfinite(numbers)
        steps = np.where(known, numbers, 0).astype(np.int64) * self.length
        starts = (self._origin + steps.astype(f"timedelta64[{self.numpy_unit}]")).astype("M8[us]")
        starts[~known] = np.datetime64("NaT")
        return starts

    def start(self, moments: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """First moment of the period into which each of ``moments`` falls; NaT stays NaT."""
        steps = moments.astype(f"datetime64[{self.numpy_unit}]") - self._origin
        length = np.array(self.length, dtype=f"timedelta64[{self.numpy_unit}]")
        starts: NDArray[np.datetime64] = (self._origin + (steps - steps % length)).astype(
            "datetime64[us]"
        )
        return starts

    @property
    def _origin(self) -> np.datetime64:
        origin = _MONDAY if self.weeks else np.datetime64("1970-01-01", "D")
        first: np.datetime64 = origin.astype(f"datetime64[{self.numpy_unit}]")
        return first


def read_delay(value: str | dt.timedelta, name: str) -> dt.timedelta:
    """Read a duration that may be 0: a number of m, h, d or w, or a timedelta.

    ``name`` is the name of the caller's argument.

    Raises
    ------
    ArgumentError
        It is not a duration, or negative.

    Examples
    --------
    >>> read_delay("7d", "label_delay")
    datetime.timedelta(days=7)
    """
    delay = value
    if isinstance(delay, str) and not delay.startswith("-"):
        delay = Period.fixed(delay, name, least=0).duration
    if not isinstance(delay, dt.timedelta) or delay < dt.timedelta():
        raise ArgumentError(
            f"`{name}` must be a duration of at least 0, such as '7d'; got {format_value(value)}."
        )
    return delay


def _days(year: nw.Expr, month: nw.Expr, day: nw.Expr) -> nw.Expr:
    """Days since 1970-01-01, in a calendar whose years begin in March and end with the leap day."""
    early = (month <= 2).cast(nw.Float64)
    year, month = year - early, month + 12 * early - 3
    leap_days = (year / 4).floor() - (year / 100).floor() + (year / 400).floor()
    return 365 * year + leap_days + ((153 * month + 2) / 5).floor() + day - 719_469
