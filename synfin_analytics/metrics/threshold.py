"""A threshold, with the rows on which it was chosen, and the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from synfin_analytics._core.arguments import check_share


@dataclass(frozen=True)
class Threshold:
    """Score from which on a transaction is an alert.

    Attributes
    ----------
    value
        The score; infinite for no alert at all.
    why
        What it was chosen for, in words; empty where it was given.
    chosen_on
        Fingerprint of the counts it was chosen on: on the same rows its figures flatter.
    """

    value: float
    reason: str = ""
    fitted_on: int | None = field(default=None, repr=False)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g}" + (f" ({self.reason})" if self.reason else "")


def as_threshold(given: float | Threshold) -> Threshold:
    """Return a threshold; a number becomes one.

    Raises
    ------
    ArgumentError
        It is neither a score from 0 to 1 nor infinite.
    """
    if isinstance(given, Threshold):
        return given
    if _is_infinite(given):
        return Threshold(math.inf)
    return Threshold(check_share(given, "threshold", "a score (or infinite, for no alert)"))


def _is_infinite(given: Any) -> bool:
    return isinstance(given, Real) and float(given) == math.inf
