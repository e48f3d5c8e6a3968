"""Compare an answer with the truth, and say in words what is wrong with it.

A grader knows the truth, and what typical mistakes would give. What it says names neither the truth
nor which way it lies: an answer must not be found by asking.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.formatting import join_words
from synfin_analytics.course._answers import Unknown, only_value, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Relative difference of floats that were computed in another order.
CLOSE = 1e-6
#: Relative difference of what was rounded.
ROUNDED = 5e-3
_LEAST = 1e-9
NOTHING = "There is no answer yet: replace the three dots with it."
EMPTY = "This table is empty."
ROUNDED_WORDS = (
    "That is close, but not exact: pass the computed value itself, neither rounded nor typed."
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
            return f"Expected {self.wanted()}, but got an object of type {given.kind}."
        if hasattr(given, "is_empty") and given.is_empty():
            return EMPTY
        return self.fault(given)

    @abstractmethod
    def wanted(self) -> str:
        """Name the kind of answer that is expected, as part of a sentence."""


def close(given: float, truth: float, tolerance: float = CLOSE) -> bool:
    """Whether two numbers are the same, but for the order of adding up; NaN is NaN."""
    if math.isnan(given) or math.isnan(truth):
        return math.isnan(given) and math.isnan(truth)
    return math.isclose(given, truth, rel_tol=tolerance, abs_tol=_LEAST)


def number_of(given: Any) -> float | str:
    """Take an answer as a number, or say why it is none."""
    given = only_value(given)
    if isinstance(given, bool):
        return "Expected a number but got a boolean."
    if isinstance(given, int | float):
        return float(given)
    if isinstance(given, str):
        return "Expected a number but got a string. Remove the quotes."
    if given is None:
        return NOTHING
    kind = {"list": "a list", "dict": "a dict", "DataFrame": "a table"}
    name = kind.get(type(given).__name__, "something else")
    return f"Expected one number but got {name}. Extract the number from it."


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
        """Name the kind of answer that is expected."""
        return "one number"

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
            return "Expected a number but got NaN: a value is missing, or the divisor is 0."
        if self.kind == "score" and not 0 <= number <= 1:
            return f"The score must be between 0 and 1. Asked for: {self.asks}."
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
                return f"That is {unit}. Expected a share: a number between 0 and 1."
        return ""

    def _range(self, number: float) -> str:
        if self.kind == "share" and not 0 <= number <= 1:
            return f"The share must be between 0 and 1. Asked for: {self.asks}."
        if self.kind == "count" and (number < 0 or not number.is_integer()):
            return f"The count must be a whole number of at least 0. Asked for: {self.asks}."
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
        """Name the kind of answer that is expected."""
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
                return f"Expected {self.wanted()}, one number each: the table must have one row."
            given = given.row(0, named=True) if set(names) <= set(given.columns) else given.row(0)
        if isinstance(given, dict):
            if missing := [name for name in names if name not in given]:
                return f"{join_words(missing)} is missing. Expected {self.wanted()}."
            given = [given[name] for name in names]
        if not isinstance(given, list | tuple) or len(given) != len(names):
            return f"Expected {len(names)} numbers, as {self.wanted()}."
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
            return f"The numbers are in the wrong order. Expected {self.wanted()}."
        if all(part.kind == "share" for part in graders) and all(
            close(value, 100 * truth, ROUNDED) for value, truth in zip(values, truths, strict=True)
        ):
            return "That is in percent. Expected shares: numbers between 0 and 1."
        return ""

    def _told(self, wrong: dict[str, str]) -> str:
        right = [name for name in self.parts if name not in wrong]
        told = " ".join(f"{name}: {fault}" for name, fault in wrong.items())
        if len(set(wrong.values())) == 1 and len(wrong) > 1:
            told = f"{join_words(list(wrong))}: {next(iter(wrong.values()))}"
        return f"{join_words(right)} is right. {told}" if right else told


def share(truth: float, asks: str, mistakes: Mapping[str, float] | None = None) -> Number:
    """Make the grader of a number from 0 to 1."""
    return Number(truth, asks, mistakes or {}, kind="share")
