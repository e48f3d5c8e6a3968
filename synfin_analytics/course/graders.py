"""Graders compare an answer with the correct one and explain what is wrong.

A grader knows the correct answer and the results of typical mistakes. Its feedback reveals neither
the correct answer nor the direction of the error, so that an answer cannot be found by trial.
"""

from __future__ import annotations

import datetime as dt
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import join_words, pluralize
from synfin_analytics.course._answers import (
    VALUES,
    PlainAnswer,
    UnsupportedAnswer,
    single_value,
    to_plain,
)
from synfin_analytics.exceptions import nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: "share" is a number from 0 to 1, "score" a threshold from 0 to 1, "count" an integer.
NumberKind: TypeAlias = Literal["number", "share", "score", "count"]

#: Relative difference of floats that were summed in another order.
TOLERANCE = 1e-6
#: Relative difference of rounded numbers.
ROUNDING_TOLERANCE = 5e-3
_ABSOLUTE_TOLERANCE = 1e-9
#: A longer list of names does not help.
_MAX_LISTED = 12

NO_ANSWER = "There is no answer yet: replace the three dots."
EMPTY_TABLE = "The table is empty."
ROUNDED = "Close, but not exact: pass the computed value itself, not a rounded or typed number."


class Grader(ABC):
    """The correct answer to an exercise on one student's data.

    A subclass defines :meth:`grade_plain` and :meth:`expected_form`.

    Examples
    --------
    >>> grader = Number(0.25, "the share of online payments")
    >>> isinstance(grader, Grader), grader.grade(0.25) is None
    (True, True)
    """

    def grade(self, answer: object) -> str | None:
        """Return what is wrong with an answer of any type; None if it is correct.

        Examples
        --------
        >>> Number(0.25, "the share of online payments").grade("a quarter")
        'Expected a number but got a string. Remove the quotes.'
        """
        plain = to_plain(answer)
        if plain is None or (isinstance(plain, list | dict | str) and not plain):
            return NO_ANSWER
        if isinstance(plain, UnsupportedAnswer):
            return f"Expected {self.expected_form()} but got an object of type {plain.type_name}."
        if isinstance(plain, pl.DataFrame) and plain.is_empty():
            return EMPTY_TABLE
        return self.grade_plain(plain)

    @abstractmethod
    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer in plain form; None if it is correct."""

    @abstractmethod
    def expected_form(self) -> str:
        """Name the form of the expected answer, as part of a sentence."""


# -- Numbers ---------------------------------------------------------------------------------------


def is_close(value: float, truth: float, tolerance: float = TOLERANCE) -> bool:
    """Whether two numbers are equal up to rounding errors of sums; NaN equals NaN.

    Examples
    --------
    >>> is_close(0.1 + 0.2, 0.3), is_close(0.31, 0.3)
    (True, False)
    """
    if math.isnan(value) or math.isnan(truth):
        return math.isnan(value) and math.isnan(truth)
    return math.isclose(value, truth, rel_tol=tolerance, abs_tol=_ABSOLUTE_TOLERANCE)


def _to_number(answer: PlainAnswer) -> float | str:
    """Return an answer as a number, or what is wrong with it."""
    value = single_value(answer)
    if isinstance(value, bool):
        return "Expected a number but got a boolean."
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return "Expected a number but got a string. Remove the quotes."
    if value is None:
        return NO_ANSWER
    names = {"list": "a list", "dict": "a dict", "DataFrame": "a table"}
    name = names.get(type(value).__name__, "something else")
    return f"Expected one number but got {name}. Extract the number from it."


@dataclass(frozen=True)
class Number(Grader):
    """Grader of one number.

    Attributes
    ----------
    truth
        The correct number.
    task
        What the exercise asks for, as a noun phrase; repeated when there is no better feedback.
    mistakes
        The results of typical mistakes, by the feedback on each.
    kind
        ``"share"`` and ``"score"`` are between 0 and 1, ``"count"`` is an integer.
    normalize
        Maps equivalent answers to one number, such as two thresholds that raise the same alerts.
    tolerance
        Absolute difference that is due to chance, for an answer that is estimated by resampling.

    Examples
    --------
    >>> grader = Number(0.25, "the share of online payments", kind="share")
    >>> grader.grade(25)
    'This is in percent. Expected a share: a number between 0 and 1.'
    >>> grader.grade(0.3)
    'Not correct yet. The exercise asks for the share of online payments.'
    """

    truth: float
    task: str
    mistakes: Mapping[str, float] = field(default_factory=dict)
    kind: NumberKind = "number"
    normalize: Callable[[float], float] = float
    tolerance: float = 0.0

    def expected_form(self) -> str:
        """Name the form of the expected answer."""
        return "a number"

    def is_same(self, first: float, second: float) -> bool:
        """Whether two answers are equivalent."""
        first, second = self.normalize(first), self.normalize(second)
        return is_close(first, second) or abs(first - second) <= self.tolerance

    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer; None if it is correct."""
        value = _to_number(answer)
        return value if isinstance(value, str) else self.grade_number(value)

    def grade_number(self, value: float) -> str | None:
        """Return what is wrong with a number; None if it is correct."""
        if math.isnan(value):
            return "Expected a number but got NaN: a value is missing, or the divisor is 0."
        if self.kind == "score" and not 0 <= value <= 1:
            return f"The score must be between 0 and 1. {_asks_for(self.task)}"
        if self.is_same(value, self.truth):
            return None
        for feedback, mistake in self.mistakes.items():
            if self.is_same(value, mistake):
                return feedback
        return (
            self._unit_feedback(value)
            or self._range_feedback(value)
            or self._rounding_feedback(value)
            or f"Not correct yet. {_asks_for(self.task)}"
        )

    def _unit_feedback(self, value: float) -> str:
        if self.kind != "share":
            return ""
        for factor, unit in ((100, "percent"), (10_000, "basis points")):
            if is_close(value, factor * self.truth, ROUNDING_TOLERANCE):
                return f"This is in {unit}. Expected a share: a number between 0 and 1."
        return ""

    def _range_feedback(self, value: float) -> str:
        if self.kind == "share" and not 0 <= value <= 1:
            return f"The share must be between 0 and 1. {_asks_for(self.task)}"
        if self.kind == "count" and (value < 0 or not value.is_integer()):
            return f"The count must be an integer of at least 0. {_asks_for(self.task)}"
        return ""

    def _rounding_feedback(self, value: float) -> str:
        rounded = is_close(value, self.truth, ROUNDING_TOLERANCE) and self.kind != "count"
        return ROUNDED if rounded else ""


def share(truth: float, task: str, mistakes: Mapping[str, float] | None = None) -> Number:
    """Create the grader of a number between 0 and 1."""
    return Number(truth, task, mistakes or {}, kind="share")


def _asks_for(task: str) -> str:
    return f"The exercise asks for {task}."


@dataclass(frozen=True)
class Numbers(Grader):
    """Grader of several numbers in a fixed order, such as the ends of an interval.

    Attributes
    ----------
    parts
        A grader for each number, by its name.
    task
        What the exercise asks for.
    mistakes
        The results of typical mistakes for all numbers, by the feedback on each.

    Examples
    --------
    >>> parts = {"low": share(0.2, "the lower end"), "high": share(0.4, "the upper end")}
    >>> Numbers(parts, "an interval").grade((0.4, 0.2))
    'The numbers are in the wrong order. Expected (low, high).'
    """

    parts: Mapping[str, Number]
    task: str
    mistakes: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def expected_form(self) -> str:
        """Name the form of the expected answer."""
        return f"({', '.join(self.parts)})"

    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer; None if it is correct."""
        values = self._to_values(answer)
        if isinstance(values, str):
            return values
        feedback_by_name = {
            name: feedback
            for (name, part), value in zip(self.parts.items(), values, strict=True)
            if (feedback := part.grade_number(value))
        }
        if not feedback_by_name:
            return None
        return self._mistake_feedback(values) or self._join_feedback(feedback_by_name)

    def _to_values(self, answer: PlainAnswer) -> list[float] | str:
        """Return an answer as numbers in order, or what is wrong with it."""
        names = list(self.parts)
        if isinstance(answer, pl.DataFrame):
            if len(answer) != 1:
                return (
                    f"Expected {self.expected_form()}, one number each, but the table has "
                    f"{pluralize(len(answer), 'row')}."
                )
            by_name = set(names) <= set(answer.columns)
            answer = answer.row(0, named=True) if by_name else list(answer.row(0))
        if isinstance(answer, dict):
            if missing := [name for name in names if name not in answer]:
                return f"Missing: {join_words(missing)}. Expected {self.expected_form()}."
            answer = [answer[name] for name in names]
        if not isinstance(answer, list) or len(answer) != len(names):
            return f"Expected {len(names)} numbers: {self.expected_form()}."
        values = [_to_number(to_plain(value)) for value in answer]
        for name, value in zip(names, values, strict=True):
            if isinstance(value, str):
                return f"{name}: {value}"
        return [value for value in values if not isinstance(value, str)]

    def _mistake_feedback(self, values: list[float]) -> str:
        parts = list(self.parts.values())

        def are_same(other_values: Sequence[float]) -> bool:
            return all(
                part.is_same(value, other)
                for part, value, other in zip(parts, values, other_values, strict=True)
            )

        for feedback, mistake in self.mistakes.items():
            if are_same(mistake):
                return feedback
        truths = [part.truth for part in parts]
        if are_same(truths[::-1]):
            return f"The numbers are in the wrong order. Expected {self.expected_form()}."
        if all(part.kind == "share" for part in parts) and all(
            is_close(value, 100 * truth, ROUNDING_TOLERANCE)
            for value, truth in zip(values, truths, strict=True)
        ):
            return "These are in percent. Expected shares: numbers between 0 and 1."
        return ""

    def _join_feedback(self, feedback_by_name: dict[str, str]) -> str:
        correct = [name for name in self.parts if name not in feedback_by_name]
        feedback = " ".join(f"{name}: {text}" for name, text in feedback_by_name.items())
        if len(set(feedback_by_name.values())) == 1 and len(feedback_by_name) > 1:
            feedback = (
                f"{join_words(list(feedback_by_name))}: {next(iter(feedback_by_name.values()))}"
            )
        return f"Correct: {join_words(correct)}. {feedback}" if correct else feedback


# -- Tables ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table(Grader):
    """Grader of a table with one row per group; other columns and the order do not matter.

    Attributes
    ----------
    truth
        The correct rows.
    key
        Column that identifies the groups.
    values
        Columns of numbers that the exercise asks for.
    task
        What the exercise asks for.
    shares
        Columns of ``values`` that are between 0 and 1.
    mistakes
        The results of typical mistakes, by the feedback on each: a table with the key and the
        columns of ``values`` that the mistake changes.

    Examples
    --------
    >>> truth = pl.DataFrame({"channel": ["atm", "pos"], "rate": [0.1, 0.2]})
    >>> grader = Table(truth, "channel", ("rate",), "the fraud rate by channel")
    >>> grader.grade({"atm": 0.1, "pos": 0.3})
    'Not correct yet: rate, in the row of pos. The exercise asks for the fraud rate by channel.'
    """

    truth: pl.DataFrame
    key: str
    values: tuple[str, ...]
    task: str
    shares: tuple[str, ...] = ()
    mistakes: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def expected_form(self) -> str:
        """Name the form of the expected answer."""
        return f"a table with the columns {join_words([self.key, *self.values])}"

    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer; None if it is correct."""
        table = self._to_table(answer)
        if table is None:
            return f"Expected {self.expected_form()}, or a dict with one number per {self.key}."
        for name in (self.key, *self.values):
            if name not in table.columns:
                nearest = nearest_names(name, table.columns, max_names=1)
                hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
                return f"The column {name!r} is missing.{hint} Expected {self.expected_form()}."
        row_of = {key: row for row, key in enumerate(_to_keys(table[self.key]))}
        if len(row_of) < len(table):
            return f"Each {self.key} must occur in one row; at least one occurs in several."
        keys = _to_keys(self.truth[self.key])
        if missing := [key for key in keys if key not in row_of]:
            return (
                f"{pluralize(len(missing), 'row')} missing: each {self.key} needs one. "
                f"{_asks_for(self.task)}"
            )
        if len(row_of) > len(keys):
            return f"The table has extra rows. {_asks_for(self.task)}"
        return self._grade_values(table[[row_of[key] for key in keys]], keys)

    def _to_table(self, answer: PlainAnswer) -> pl.DataFrame | None:
        if isinstance(answer, dict) and len(self.values) == 1:
            if not all(isinstance(value, int | float) for value in answer.values()):
                return None
            numbers = [float(value) for value in answer.values()]
            return pl.DataFrame({self.key: [*answer], self.values[0]: numbers})
        if not isinstance(answer, pl.DataFrame):
            return None
        value_columns = [name for name in answer.columns if name != self.key]
        if len(self.values) == 1 and len(value_columns) == 1 and self.key in answer.columns:
            return answer.rename({value_columns[0]: self.values[0]})  # a series indexed by the key
        return answer

    def _grade_values(self, table: pl.DataFrame, keys: list[str]) -> str | None:
        columns = {}
        for name in self.values:
            numbers = _to_floats(table[name])
            if numbers is None:
                return f"The column {name!r} must contain numbers."
            columns[name] = numbers
        truth = {name: self._true_values(name) for name in self.values}
        wrong = {
            name: is_wrong
            for name in self.values
            if (is_wrong := ~are_close(columns[name], truth[name])).any()
        }
        if not wrong:
            return None
        for feedback, mistake in self.mistakes.items():
            if self._is_mistake(columns, mistake, keys):
                return feedback
        for name in wrong:
            if name in self.shares and are_close(columns[name], 100 * truth[name]).all():
                return f"{name} is in percent. Expected a share: between 0 and 1."
            if are_close(columns[name], truth[name], ROUNDING_TOLERANCE).all():
                return f"{name}: {ROUNDED}"
        rows = np.flatnonzero(np.any([*wrong.values()], axis=0))
        location = "in every row" if len(rows) == len(keys) else f"in the row of {keys[rows[0]]}"
        correct = [name for name in self.values if name not in wrong]
        praise = f"Correct: {join_words(correct)}. " if correct else ""
        return (
            f"{praise}Not correct yet: {join_words([*wrong])}, {location}. {_asks_for(self.task)}"
        )

    def _true_values(self, name: str) -> Floats:
        return self.truth[name].cast(pl.Float64).to_numpy()

    def _is_mistake(
        self, columns: dict[str, Floats], mistake: pl.DataFrame, keys: list[str]
    ) -> bool:
        row_of = {key: row for row, key in enumerate(_to_keys(mistake[self.key]))}
        if not set(keys) <= set(row_of):
            return False
        mistake = mistake[[row_of[key] for key in keys]]
        names = [name for name in self.values if name in mistake.columns]
        values = {name: mistake[name].cast(pl.Float64).to_numpy() for name in names}
        differs = any(not are_close(values[name], self._true_values(name)).all() for name in names)
        return differs and all(are_close(columns[name], values[name]).all() for name in names)


def _to_keys(column: pl.Series) -> list[str]:
    """Return keys as strings, a timestamp as its date."""
    return [
        key.date().isoformat() if isinstance(key, dt.datetime) else str(key)
        for key in column.to_list()
    ]


def _to_floats(column: pl.Series) -> Floats | None:
    """Return a column as floats, nulls as NaN; None if it is not numeric."""
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        return None
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def are_close(values: Floats, truth: Floats, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Whether numbers are equal up to rounding errors of sums; NaN equals NaN."""
    return np.isclose(values, truth, rtol=tolerance, atol=_ABSOLUTE_TOLERANCE, equal_nan=True)


@dataclass(frozen=True)
class PerPayment(Grader):
    """Grader of one number per payment, in the order of the payments or with their ids.

    Attributes
    ----------
    ids
        Ids of the payments, in their order.
    truth
        The correct numbers.
    task
        What the exercise asks for.
    mistakes
        The results of typical mistakes, by the feedback on each.

    Examples
    --------
    >>> grader = PerPayment(["T1", "T2", "T3"], np.array([1.0, 2.0, 3.0]), "a count")
    >>> grader.grade([1, 2, 4])
    'Most values are correct, but not all: look at payment T3. The exercise asks for a count.'
    """

    ids: Sequence[str]
    truth: Floats
    task: str
    mistakes: Mapping[str, Floats] = field(default_factory=dict)

    def expected_form(self) -> str:
        """Name the form of the expected answer."""
        return "one number per payment, in the order of the payments"

    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer; None if it is correct."""
        values = self._to_values(answer)
        if isinstance(values, str):
            return values
        correct = are_close(values, self.truth)
        if correct.all():
            return None
        for feedback, mistake in self.mistakes.items():
            if are_close(values, mistake).all():
                return feedback
        if np.isnan(values).any() and not np.isnan(self.truth).any():
            return f"Some values are NaN, but none should be. {_asks_for(self.task)}"
        if are_close(values, self.truth, ROUNDING_TOLERANCE).all():
            return ROUNDED
        first = self.ids[int(np.argmin(correct))]
        verdict = "not correct yet" if correct.mean() < 0.5 else "correct, but not all"
        return f"Most values are {verdict}: look at payment {first}. {_asks_for(self.task)}"

    def _to_values(self, answer: PlainAnswer) -> Floats | str:
        """Return an answer as numbers in order, or what is wrong with it."""
        if isinstance(answer, list):
            if not all(value is None or isinstance(value, int | float) for value in answer):
                return f"Expected {self.expected_form()}, but some values are not numbers."
            answer = pl.DataFrame({VALUES: pl.Series([*answer], dtype=pl.Float64, strict=False)})
        if not isinstance(answer, pl.DataFrame):
            return f"Expected {self.expected_form()}: a column of the payments, or a new column."
        name = answer.columns[-1]
        if answer.schema.get("transaction_id") == pl.String and (
            set(answer["transaction_id"]) == set(self.ids)
        ):
            value_columns = [name for name in answer.columns if name != "transaction_id"]
            if len(value_columns) != 1:
                return "Expected one column besides transaction_id: select it."
            name = value_columns[0]
            row_of = {payment: row for row, payment in enumerate(answer["transaction_id"])}
            answer = answer[[row_of[payment] for payment in self.ids]]
        elif answer.width > 1:
            return f"Expected {self.expected_form()}: select one column."
        values = _to_floats(answer[name])
        if values is None:
            return f"Expected {self.expected_form()}, but the column {name!r} is not numeric."
        if len(values) != len(self.ids):
            return (
                f"Expected {self.expected_form()}; got {pluralize(len(values), 'row')} for "
                f"{pluralize(len(self.ids), 'payment')}."
            )
        return values


# -- Names -----------------------------------------------------------------------------------------


def _unknown_name(name: object, options: Sequence[str]) -> str:
    """Report an unknown name without suggesting one: a suggestion could be the answer."""
    valid = f" Valid names: {join_words(sorted(options))}." if len(options) <= _MAX_LISTED else ""
    return f"Unknown name: {name!r}.{valid}"


@dataclass(frozen=True)
class Names(Grader):
    """Grader of a set of names, in any order.

    Attributes
    ----------
    truth
        The correct names.
    options
        All valid names.
    task
        What the exercise asks for.
    mistakes
        The results of typical mistakes, by the feedback on each.
    wrong_name_feedback
        Feedback on a name that does not belong, by the name; there is a default.
    any_of
        Whether any one of the correct names is the answer, for names that are equally good.

    Examples
    --------
    >>> grader = Names(frozenset("ab"), ("a", "b", "c"), "the features that leak")
    >>> grader.grade(["a", "c"])
    'At least one name does not belong. The exercise asks for the features that leak.'
    """

    truth: frozenset[str]
    options: tuple[str, ...]
    task: str
    mistakes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wrong_name_feedback: Mapping[str, str] = field(default_factory=dict)
    any_of: bool = False

    def expected_form(self) -> str:
        """Name the form of the expected answer."""
        return "a name" if self.any_of else "a list of names"

    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer; None if it is correct."""
        if isinstance(answer, pl.DataFrame):
            answer = answer.to_series(0).to_list()
        if isinstance(answer, str):
            answer = [answer]
        if isinstance(answer, dict):
            answer = [name for name, selected in answer.items() if selected]
        if not isinstance(answer, list) or not all(isinstance(name, str) for name in answer):
            return f"Expected {self.expected_form()}, in quotes."
        valid = {name.casefold(): name for name in self.options}
        for name in answer:
            if name.casefold() not in valid:
                return _unknown_name(name, self.options)
        names = frozenset(valid[name.casefold()] for name in answer)
        if names == self.truth or (self.any_of and len(names) == 1 and names <= self.truth):
            return None
        for feedback, mistake in self.mistakes.items():
            if names == mistake:
                return feedback
        return self._feedback(names)

    def _feedback(self, names: frozenset[str]) -> str:
        if self.any_of:
            return f"Not correct yet. {_asks_for(self.task)}"
        if wrong := sorted(names - self.truth):
            default = f"At least one name does not belong. {_asks_for(self.task)}"
            return self.wrong_name_feedback.get(wrong[0], default)
        return f"These are correct, but at least one name is missing. {_asks_for(self.task)}"


@dataclass(frozen=True)
class Matching(Grader):
    """Grader of one name for each of several items.

    Attributes
    ----------
    truth
        The correct name of each item.
    options
        All valid names.
    wrong_name_feedback
        Feedback on a name that does not match, by the name: what the data would show if it did.

    Examples
    --------
    >>> grader = Matching({"A": "x"}, ("x", "y"), {"x": "Is it large?", "y": "Is it small?"})
    >>> grader.grade({"A": "y"})
    'None is correct yet. A: Is it small?'
    """

    truth: Mapping[str, str]
    options: tuple[str, ...]
    wrong_name_feedback: Mapping[str, str]

    def expected_form(self) -> str:
        """Name the form of the expected answer."""
        return f"a dict with a name for each of {join_words(list(self.truth))}"

    def grade_plain(self, answer: PlainAnswer) -> str | None:
        """Return what is wrong with an answer; None if it is correct."""
        if not isinstance(answer, dict):
            return f"Expected {self.expected_form()}."
        if missing := [item for item in self.truth if answer.get(item) is None]:
            return f"Missing: {join_words(missing)}. Expected {self.expected_form()}."
        feedback = []
        for item, correct in self.truth.items():
            name = answer[item]
            if not isinstance(name, str):
                return f"The name of {item} must be a string."
            name = name.strip().casefold().replace(" ", "_")
            if name not in self.options:
                return _unknown_name(answer[item], self.options)
            if name != correct:
                feedback.append(f"{item}: {self.wrong_name_feedback[name]}")
        if not feedback:
            return None
        none_correct = len(feedback) == len(self.truth)
        summary = "None is correct yet." if none_correct else "Some are correct."
        return " ".join([summary, *feedback])
