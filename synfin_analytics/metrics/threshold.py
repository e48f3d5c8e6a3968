"""A threshold that remembers on which rows it was chosen, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from synfin_analytics.exceptions import ArgumentError


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
    why: str = ""
    chosen_on: int | None = field(default=None, repr=False)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g}" + (f" ({self.why})" if self.why else "")


def as_threshold(given: float | Threshold) -> Threshold:
    """Accept a number too; refuse NaN."""
    if isinstance(given, Threshold):
        return given
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = float("nan")
    if value != value or isinstance(given, bool):
        raise ArgumentError(f"threshold is a score, as 0.5; got {given!r}.")
    return Threshold(value)
