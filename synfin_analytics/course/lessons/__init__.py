"""Lessons and their exercises: data, hints, correct answers and the results of typical mistakes.

Each module defines one ``LESSON``; ``LESSONS`` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from synfin_analytics.exceptions import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from synfin_analytics.course.graders import Grader

Facts = TypeVar("Facts")
GraderT = TypeVar("GraderT", bound="Grader")

#: Lessons by number. The name is that of the module here, and of the notebook.
LESSONS = {
    "01": "first_steps",
    "02": "fraud_patterns",
    "03": "features_and_leakage",
    "04": "train_and_evaluate",
    "05": "thresholds_and_costs",
    "06": "comparing_models_and_groups",
    "07": "model_report",
    "08": "more_than_one_machine",
    "09": "label_maturity",
    "10": "rules_and_alerts",
}


@dataclass(frozen=True)
class Exercise(Generic[Facts]):
    """One question of a lesson.

    Attributes
    ----------
    number
        Lesson and position in it, such as "05.2".
    answer
        Name of the variable that holds the answer.
    hints
        From a first nudge to the method; never the answer.
    grader
        Creates the grader from the lesson's facts.

    Examples
    --------
    >>> exercise = get_lesson("05").exercise("05.2")
    >>> exercise.answer, len(exercise.hints)
    ('cheapest_threshold', 3)
    """

    number: str
    answer: str
    hints: tuple[str, ...]
    grader: Callable[[Facts], Grader]


@dataclass
class Lesson(Generic[Facts]):
    """Exercises on the same data.

    Attributes
    ----------
    number, name
        For example "05" and "thresholds_and_costs".
    make_facts
        Generates the data of a student from a seed, and everything the graders need.
    student_data
        Returns the part of the facts that the student receives: each item with its description.
    database
        Name of the embedded database that the lesson uses, if any.
    tables
        Returns the DataFrames to load into that database, by table.
    exercises
        In order; :meth:`add_exercise` adds one.

    Examples
    --------
    >>> get_lesson("05").exercise("05.2").answer
    'cheapest_threshold'
    """

    number: str
    name: str
    make_facts: Callable[[int], Facts]
    student_data: Callable[[Facts], Mapping[str, tuple[Any, str]]]
    database: str | None = None
    tables: Callable[[Facts], Mapping[str, pl.DataFrame]] | None = None
    exercises: list[Exercise[Facts]] = field(default_factory=list)

    @property
    def file_name(self) -> str:
        """Name of the notebook, without suffix."""
        return f"{self.number}_{self.name}"

    def add_exercise(
        self, number: str, answer: str, *hints: str
    ) -> Callable[[Callable[[Facts], GraderT]], Callable[[Facts], GraderT]]:
        """Add an exercise; decorates the function that creates the grader from the facts.

        Parameters
        ----------
        number
            Lesson and position in it, such as "05.2".
        answer
            Name of the variable that holds the answer.
        *hints
            From a first nudge to the method; never the answer.

        Returns
        -------
        Callable
            The decorator; it returns the function unchanged.

        Examples
        --------
        >>> from synfin_analytics.course import Number
        >>> lesson = Lesson("11", "counting", make_facts=int, student_data=lambda facts: {})
        >>> @lesson.add_exercise("11.1", "total", "Add the numbers.")
        ... def grade_total(facts):
        ...     return Number(facts + 1, "the sum")
        >>> lesson.exercise("11.1").answer
        'total'
        """

        def add(grader: Callable[[Facts], GraderT]) -> Callable[[Facts], GraderT]:
            self.exercises.append(Exercise(number, answer, hints, grader))
            return grader

        return add

    def exercise(self, number: str) -> Exercise[Facts]:
        """Return an exercise by its number.

        Raises
        ------
        NotFoundError
            The lesson has no exercise of this number.
        """
        for exercise in self.exercises:
            if exercise.number == number:
                return exercise
        numbers = [exercise.number for exercise in self.exercises]
        raise NotFoundError("exercise", number, numbers)


def get_lesson(number: str) -> Lesson[Any]:
    """Return a lesson by its number, or by that of one of its exercises.

    Parameters
    ----------
    number
        For example "05" or "05.2".

    Returns
    -------
    Lesson
        The lesson with its exercises.

    Raises
    ------
    NotFoundError
        There is no lesson of this number.

    Examples
    --------
    >>> get_lesson("05").name, get_lesson("5").name, get_lesson("05.2").name
    ('thresholds_and_costs', 'thresholds_and_costs', 'thresholds_and_costs')
    """
    name = LESSONS.get(str(number).partition(".")[0].zfill(2))
    if name is None:
        raise NotFoundError("lesson", number, LESSONS)
    lesson: Lesson[Any] = import_module(f"{__name__}.{name}").LESSON
    return lesson
