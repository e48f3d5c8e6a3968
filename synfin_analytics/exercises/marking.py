"""Mark the notebooks of a class: each on its student's own data, whatever it says of itself."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.exercises.desk import PASSED
from synfin_analytics.exercises.exercise import lesson
from synfin_analytics.exercises.returned import curious, read_cells
from synfin_analytics.exercises.running import MISSING, Limits, Played, play

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event
    from typing import Any

    from synfin_analytics.exercises.exercise import Exercise
    from synfin_analytics.exercises.roster import Place

NOT_RETURNED = "Not returned."
_LONGEST = 400


@dataclass(frozen=True)
class Mark:
    """What came of an exercise of a student.

    Attributes
    ----------
    student, lesson, exercise
        Whose, and which.
    passed
        Whether the answer is right.
    words
        What is wrong with it, or why there is none; and what a teacher should look at.
    """

    student: str
    lesson: str
    exercise: str
    passed: bool
    words: str


def mark(
    folder: Path, place: Place, limits: Limits | None = None, stop: Event | None = None
) -> list[Mark]:
    """Run the notebook of a lesson that a student returned, and judge its answers.

    The notebook runs in a process of its own and gives answers only; they are judged here, on the
    data of the seed that the roster has. A notebook that is missing or broken is marked as such.

    Parameters
    ----------
    folder
        Of the class.
    place
        Student, lesson and seed.
    limits
        What a notebook may take.
    stop
        Ends it early where it is set.
    """
    one = lesson(place.lesson)
    path = folder / place.path
    if not path.is_file() or path.is_symlink():
        return [_mark(place, each, NOT_RETURNED) for each in one.exercises]
    try:
        cells = read_cells(path, one)
    except ArgumentError as error:
        return [_mark(place, each, str(error)) for each in one.exercises]
    played = play(cells, one, place.seed, limits or Limits(), stop)
    more = " ".join(curious(cells))
    return [_mark(place, each, _fault(place, each, played), more) for each in one.exercises]


def _mark(place: Place, exercise: Exercise, fault: str | None, more: str = "") -> Mark:
    words = f"{fault or PASSED} {more}".strip()
    if len(words) > _LONGEST:  # it may repeat what the answer says
        words = f"{words[:_LONGEST]} …"
    return Mark(place.student, place.lesson, exercise.number, fault is None, words)


def _fault(place: Place, exercise: Exercise, played: Played) -> str | None:
    """Say what is wrong with an answer, in one line."""
    answer = played.answers.get(exercise.number, MISSING)
    if answer is MISSING:
        fault: str | None = f"There is no variable {exercise.answer!r}."
        if played.ending:
            fault = None
    elif isinstance(answer, ArgumentError):
        fault = str(answer)
    else:
        fault = _judged(place, exercise, answer)
        if fault is None:
            return None
    error = played.errors.get(exercise.number)
    told = [fault, error and f"Its cell stopped with {error}.", played.ending]
    return " ".join(" ".join(filter(None, told)).split())


def _judged(place: Place, exercise: Exercise, answer: Any) -> str | None:
    try:
        facts = lesson(place.lesson).facts(place.seed)
        return exercise.grader(facts).judge(answer)
    except Exception as error:  # noqa: BLE001  # an answer of hostile shape stops no other's mark
        return f"This answer cannot be judged ({type(error).__name__}): look at it yourself."


class Marks:
    """The table of a class: a CSV file that grows with each notebook.

    Parameters
    ----------
    path
        Where it goes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.marks: list[Mark] = []
        self._write("w", [tuple(one.name for one in fields(Mark))])

    def add(self, marks: list[Mark]) -> None:
        """Write the marks of a notebook."""
        self.marks += marks
        self._write("a", [astuple(one) for one in marks])

    def _write(self, mode: str, rows: list[tuple[Any, ...]]) -> None:
        # With a mark of UTF-8 at its head: spreadsheets take the file for what it is.
        encoding = "utf-8-sig" if mode == "w" else "utf-8"
        with self._path.open(mode, encoding=encoding, newline="") as file:
            csv.writer(file).writerows(rows)
