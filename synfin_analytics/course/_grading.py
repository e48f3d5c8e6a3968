"""Mark the notebooks of a class: each on its student's own data, whatever it says of itself."""

from __future__ import annotations

import csv
import io
import os
import stat
import tempfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from synfin_analytics.course._exercise import lesson
from synfin_analytics.course._runner import MISSING, Limits, Played, play
from synfin_analytics.course._submissions import Cell, curious, foreign_seeds, read_cells
from synfin_analytics.course.graders import NOTHING
from synfin_analytics.course.session import PASSED
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event
    from typing import Any

    from synfin_analytics.course._exercise import Exercise
    from synfin_analytics.course._roster import Place

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


@dataclass(frozen=True)
class Returned:
    """A notebook as it was before any notebook of the class ran.

    Attributes
    ----------
    place
        Student, lesson and seed.
    cells
        Its cells of code.
    fault
        Why there are none, in words.
    """

    place: Place
    cells: tuple[Cell, ...] = ()
    fault: str | None = None


def collect(folder: Path, place: Place) -> Returned:
    """Read a notebook that a student returned, if there is one.

    Parameters
    ----------
    folder
        Of the class.
    place
        Student, lesson and seed.
    """
    path = folder / place.path
    if not path.is_file() or path.is_symlink():
        return Returned(place, fault=NOT_RETURNED)
    try:
        return Returned(place, tuple(read_cells(path, lesson(place.lesson))))
    except ArgumentError as error:
        return Returned(place, fault=str(error))


def mark(
    returned: Returned,
    limits: Limits | None = None,
    stop: Event | None = None,
    roster: Sequence[Place] = (),
) -> list[Mark]:
    """Run the notebook of a lesson that a student returned, and judge its answers.

    The notebook runs in a process of its own and gives answers only; they are judged here, on the
    data of the seed that the roster has. A notebook that is missing or broken is marked as such.

    Parameters
    ----------
    returned
        What :func:`collect` read.
    limits
        What a notebook may take.
    stop
        Ends it early where it is set.
    roster
        Of the class, to find seeds of other students in the notebook.
    """
    place = returned.place
    one = lesson(place.lesson)
    if returned.fault:
        return [_mark(place, each, returned.fault) for each in one.exercises]
    played = play(returned.cells, one, place.seed, limits or Limits(), stop)
    remarks = [
        *curious(returned.cells),
        *foreign_seeds(returned.cells, place, roster),
        *filter(None, [played.suspicion]),
    ]
    more = " ".join(remarks)
    return [_mark(place, each, _fault(place, each, played), more) for each in one.exercises]


def _mark(place: Place, exercise: Exercise, fault: str | None, more: str = "") -> Mark:
    words = fault or PASSED
    if len(words) > _LONGEST:  # it may repeat what the answer says
        words = f"{words[:_LONGEST]} …"
    words = f"{words} {more}".strip()
    words = words.encode("utf-8", errors="replace").decode("utf-8")  # half a surrogate of an answer
    return Mark(place.student, place.lesson, exercise.number, fault is None, words)


def _fault(place: Place, exercise: Exercise, played: Played) -> str | None:
    """Say what is wrong with an answer, in one line.

    The variable counts, and so does what ``check`` got last: a student saw that it passed.
    """
    answers = (played.answers, played.checked)
    given = [one.get(exercise.number, MISSING) for one in answers]
    faults = []
    for answer in given:
        if answer is not MISSING:
            fault = _judged(place, exercise, answer)
            if fault is None:
                return None
            faults.append(fault)
    if not faults and not played.ending:
        faults = [f"The variable {exercise.answer!r} is not defined."]
    faults.sort(
        key=NOTHING.__eq__
    )  # what is wrong with an answer says more than that one is missing
    error = played.errors.get(exercise.number)
    words = [*faults[:1], error and f"Its cell stopped with {error}.", played.ending]
    return " ".join(" ".join(filter(None, words)).split())


def _judged(place: Place, exercise: Exercise, answer: Any) -> str | None:
    if isinstance(answer, ArgumentError):
        return str(answer)
    try:
        facts = lesson(place.lesson).facts(place.seed)
        return exercise.grader(facts).judge(answer)
    except Exception as error:  # noqa: BLE001  # an answer of hostile shape stops no other's mark
        return f"This answer cannot be judged ({type(error).__name__}); judge it by hand."


class Marks:
    """The table of a class: a CSV file that is written anew after each notebook.

    What counts is in this process. Should a notebook change the file, or put something else in its
    place, the next writing puts it right.

    Attributes
    ----------
    path
        Where the table is. Another than the one that was asked for if that cannot be replaced.
    marks
        What it holds.
    changed
        Whether something else has written to the file meanwhile.

    Raises
    ------
    ArgumentError
        The folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marks: list[Mark] = []
        self.changed = False
        self._written: bytes | None = None
        try:
            self._write()
        except OSError as error:
            raise ArgumentError(f"{path} cannot be written: {error.strerror}.") from None

    def add(self, marks: list[Mark]) -> None:
        """Write the marks of a notebook."""
        self.marks += marks
        self._write()

    def _write(self) -> None:
        if self._written is not None and self._content() != self._written:
            self.changed = True
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(one.name for one in fields(Mark))
        table.writerows(map(astuple, self.marks))
        # With a mark of UTF-8 at its head: spreadsheets take the file for what it is.
        content = text.getvalue().encode("utf-8-sig")
        handle, name = tempfile.mkstemp(".csv", "grades-", self.path.parent)
        part = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        try:
            part.replace(self.path)
        except OSError:  # a folder has taken its place
            if self._written is None:
                part.unlink()
                raise
            self.path = part
        self._written = content

    def _content(self) -> bytes | None:
        try:
            regular = stat.S_ISREG(self.path.lstat().st_mode)
            return self.path.read_bytes() if regular else None
        except OSError:
            return None
