"""What a lesson's exercises consist of, and where to find them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from synfin_analytics.exceptions import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics.course.graders import Grader

#: Lessons by number: the module of their exercises, which is the name of their notebook too.
LESSONS = {
    "01": "first_steps",
    "02": "fraud_patterns",
    "03": "features_and_leakage",
    "04": "train_and_evaluate",
    "05": "thresholds_and_costs",
    "06": "comparing_models_and_groups",
    "07": "model_report",
    "08": "more_than_one_machine",
}


@dataclass(frozen=True)
class Exercise:
    """One thing to find out.

    Attributes
    ----------
    number
        Lesson and place in it, as "05.2".
    answer
        Name of the variable that holds the answer.
    hints
        In steps, from a nudge to the way; never the answer.
    grader
        Makes the truth from the lesson's facts.
    """

    number: str
    answer: str
    hints: tuple[str, ...]
    grader: Callable[[Any], Grader]


@dataclass(frozen=True)
class Lesson:
    """Exercises on the same data.

    Attributes
    ----------
    number, name
        As "05" and "thresholds_and_costs".
    facts
        What is true of one student's data, from the seed; what :attr:`Exercise.grader` takes.
    handed_out
        What the student gets of it, each with words that say what it is.
    exercises
        In their order.
    database
        Name of the embedded database that the lesson works in, if it does.
    prepare
        Fills that database.
    """

    number: str
    name: str
    facts: Callable[[int], Any]
    handed_out: Callable[[Any], dict[str, tuple[Any, str]]]
    exercises: tuple[Exercise, ...]
    database: str | None = None
    prepare: Callable[[Any], None] | None = None

    @property
    def file(self) -> str:
        """Name of its notebook, without the suffix."""
        return f"{self.number}_{self.name}"

    def exercise(self, number: str) -> Exercise:
        """Find an exercise by its number."""
        for one in self.exercises:
            if one.number == number:
                return one
        raise NotFoundError("exercise", number, [one.number for one in self.exercises])


def lesson(number: str) -> Lesson:
    """Find a lesson by its number, as "05" or 5.

    Raises
    ------
    NotFoundError
        There is none of that number.
    """
    found = LESSONS.get(str(number).partition(".")[0].zfill(2))
    if found is None:
        raise NotFoundError("lesson", number, LESSONS)
    one: Lesson = import_module(f"synfin_analytics.course.lessons.{found}").LESSON
    return one
