"""Compare an answer with the truth, and say in words what is wrong with it.

A grader knows the truth, and what typical mistakes would give. What it says names neither the truth
nor which way it lies: an answer must not be found by asking.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synfin_analytics.exercises.answers import Unknown, only_value, plain
from synfin_analytics.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Relative difference of floats that were computed in another order.
CLOSE = 1e-6
#: Relative difference of what was rounded.
ROUNDED = 5e-3
_LEAST = 1e-9
NOTHING = "There is no answer yet: put it in place of the three dots."
EMPTY = "There is nothing in this table."
ROUNDED_WORDS = (
    "That is near, but not the number itself: hand in what was computed, without rounding it, and "
    "do not type it."
)


class Grader(ABC):
    """Truth of one exercise on one student's data."""

    @abstractmethod
    def fault(self, given: Any) -> str | None:
        """Say what is wrong with an answer in plain form; None if nothing is."""

    def judge(self, answer: Any) -> str | None:
        """Say what is wrong with an answer, of whatever type."""
        given = plain(answer)
        if given is None or (isinstance(given, list | dict | str) and not given):
            return NOTHING
        if isinstance(given, Unknown):
            return f"{self.wanted()} is asked for; this is of the type {given.kind}."
        if hasattr(given, "is_empty") and given.is_empty():
            return EMPTY
        return self.fault(given)

    @abstractmethod
    def wanted(self) -> str:
        """Say what kind of answer is asked for, as the beginning of a sentence."""


def close(given: float, truth: float, tolerance: float = CLOSE) -> bool:
    """Whether two numbers are the same, but for the order of adding up; NaN is NaN."""
    if math.isnan(given) or math.isnan(truth):
        return math.isnan(given) and math.isnan(truth)
    return math.isclose(given, truth, rel_tol=tolerance, abs_tol=_LEAST)


def number_of(given: Any) -> float | str:
    """Take an answer as a number, or say why it is none."""
    given = only_value(given)
    if isinstance(given, bool):
        return "A number is asked for; this is true or false."
    if isinstance(given, int | float):
        return float(given)
    if isinstance(given, str):
        return "A number is asked for; this is a text. Leave the quotes away."
    if given is None:
        return NOTHING
    kind = {"list": "a list", "dict": "a dict", "DataFrame": "a table"}
    name = kind.get(type(given).__name__, "something else")
    return f"One number is asked for; this is {name}. Take the one number out of it."


@dataclass(frozen=True)
class Number(Grader):
    """One number.

    Attributes
    ----------
    truth
        The right one.
    asks
        What it is, in words: said again where nothing better is known.
    mistakes
        What typical mistakes give, by what is said about them.
    kind
        ``"share"`` and ``"score"`` lie from 0 to 1, ``"count"`` is whole; ``"number"`` is any.
    snap
        Brings answers that mean the same, as two thresholds between the same scores, to one.
    within
        Difference that chance makes, where the answer is drawn.
    """

    truth: float
    asks: str
    mistakes: Mapping[str, float] = field(default_factory=dict)
    kind: str = "number"
    snap: Callable[[float], float] = float
    within: float = 0.0

    def wanted(self) -> str:
        """Say what kind of answer is asked for."""
        return "One number"

    def same(self, one: float, other: float) -> bool:
        """Whether two answers mean the same."""
        one, other = self.snap(one), self.snap(other)
        return close(one, other) or abs(one - other) <= self.within

    def fault(self, given: Any) -> str | None:
        """Say what is wrong with it."""
        number = number_of(given)
        return number if isinstance(number, str) else self.fault_of(number)

    def fault_of(self, number: float) -> str | None:
        """Say what is wrong with a number."""
        if math.isnan(number):
            return "This is NaN, no number: something was divided by nothing, or is missing."
        if self.kind == "score" and not 0 <= number <= 1:
            return f"Scores lie from 0 to 1; this does not. Asked for: {self.asks}."
        if self.same(number, self.truth):
            return None
        for words, value in self.mistakes.items():
            if self.same(number, value):
                return words
        return self._unit(number) or self._range(number) or self._near(number) or self._again()

    def _unit(self, number: float) -> str:
        if self.kind != "share":
            return ""
        for factor, unit in ((100, "in percent"), (10_000, "in 10,000ths (basis points)")):
            if close(number, factor * self.truth, ROUNDED):
                return f"That is {unit}. A share is asked for: a number from 0 to 1."
        return ""

    def _range(self, number: float) -> str:
        if self.kind == "share" and not 0 <= number <= 1:
            return f"A share lies from 0 to 1; this does not. Asked for: {self.asks}."
        if self.kind == "count" and (number < 0 or not number.is_integer()):
            return f"A count is a whole number; this is none. Asked for: {self.asks}."
        return ""

    def _near(self, number: float) -> str:
        near = close(number, self.truth, ROUNDED) and self.kind != "count"
        return ROUNDED_WORDS if near else ""

    def _again(self) -> str:
        return f"Not that number yet. Asked for: {self.asks}."


@dataclass(frozen=True)
class Numbers(Grader):
    """Several numbers in a fixed order, as the two ends of an interval.

    Attributes
    ----------
    parts
        A grader for each number, by its name.
    mistakes
        What typical mistakes give for all of them, by what is said about them.
    """

    parts: Mapping[str, Number]
    asks: str
    mistakes: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def wanted(self) -> str:
        """Say what kind of answer is asked for."""
        return f"({', '.join(self.parts)})"

    def fault(self, given: Any) -> str | None:
        """Say what is wrong with them."""
        values = self._values(given)
        if isinstance(values, str):
            return values
        faults = {
            name: part.fault_of(value)
            for (name, part), value in zip(self.parts.items(), values, strict=True)
        }
        wrong = {name: fault for name, fault in faults.items() if fault}
        if not wrong:
            return None
        return self._mixed_up(values) or self._told(wrong)

    def _values(self, given: Any) -> list[float] | str:
        names = list(self.parts)
        if hasattr(given, "columns"):
            if len(given) != 1:
                return f"{self.wanted()} is asked for: one number each. This table has not one row."
            given = given.row(0, named=True) if set(names) <= set(given.columns) else given.row(0)
        if isinstance(given, dict):
            if missing := [name for name in names if name not in given]:
                return f"{listed(missing)} is missing: {self.wanted()} is asked for."
            given = [given[name] for name in names]
        if not isinstance(given, list | tuple) or len(given) != len(names):
            return f"{len(names)} numbers are asked for, as {self.wanted()}."
        values = [number_of(plain(one)) for one in given]
        for name, value in zip(names, values, strict=True):
            if isinstance(value, str):
                return f"{name}: {value}"
        return [value for value in values if not isinstance(value, str)]

    def _mixed_up(self, values: list[float]) -> str:
        graders = list(self.parts.values())

        def same(others: Sequence[float]) -> bool:
            return all(
                part.same(value, other)
                for part, value, other in zip(graders, values, others, strict=True)
            )

        for words, wrong in self.mistakes.items():
            if same(wrong):
                return words
        truths = [part.truth for part in graders]
        if same(truths[::-1]):
            return f"The numbers are in another order: {self.wanted()} is asked for."
        if all(part.kind == "share" for part in graders) and all(
            close(value, 100 * truth, ROUNDED) for value, truth in zip(values, truths, strict=True)
        ):
            return "That is in percent. Shares are asked for: numbers from 0 to 1."
        return ""

    def _told(self, wrong: dict[str, str]) -> str:
        right = [name for name in self.parts if name not in wrong]
        told = " ".join(f"{name}: {fault}" for name, fault in wrong.items())
        if len(set(wrong.values())) == 1 and len(wrong) > 1:
            told = f"{listed(list(wrong))}: {next(iter(wrong.values()))}"
        return f"{listed(right)} is right. {told}" if right else told


def share(truth: float, asks: str, mistakes: Mapping[str, float] | None = None) -> Number:
    """Make the grader of a number from 0 to 1."""
    return Number(truth, asks, mistakes or {}, kind="share")
