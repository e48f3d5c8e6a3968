"""Grade the notebooks of a class, each on the data of its student."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import stat
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from synfin_analytics._core.formatting import join_words
from synfin_analytics._core.html import table_html
from synfin_analytics._core.lookup import import_optional
from synfin_analytics._core.results import Result
from synfin_analytics.course._runner import MISSING, Cell, Limits, Run, run_notebook
from synfin_analytics.course.graders import NO_ANSWER
from synfin_analytics.course.lessons import get_lesson
from synfin_analytics.course.roster import ROSTER, RosterEntry, parse_lessons, read_roster
from synfin_analytics.course.session import CORRECT
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from synfin_analytics.course.lessons import Exercise, Lesson

NOT_SUBMITTED = "Not submitted."
_MAX_FEEDBACK = 400
#: Maximum bytes of a notebook; one with a few plots has less than a hundredth of it.
_MAX_NOTEBOOK_BYTES = 50_000_000
_CHECK_CALL = re.compile(r"""\bcheck\(\s*["'](\d\d\.\d)["']""")
_USUAL_IMPORT = re.compile(
    r"^from synfin_analytics\.course import (?:check|hint|start_lesson|,| )+$", re.MULTILINE
)
#: Code that no answer needs, and the note for the teacher.
_SUSPICIOUS = {
    re.compile(r"\bdef\s+check\b|^\s*check\s*=|\bimport\s.*\bas\s+check\b", re.MULTILINE): (
        "Review: the notebook defines its own `check`."
    ),
    re.compile(
        r"synfin_analytics\s*\.\s*course|from\s+synfin_analytics\s+import\s.*\bcourse\b"
        r"|SYNFIN_EXERCISE_SEED|\.grader\b"
    ): ("Review: the notebook accesses the graders."),
}
_START_CALL = re.compile(r"""\bstart_lesson\(\s*["']\d+["']\s*,\s*(?:seed\s*=\s*)?(\d[\d_]*)""")
_INTEGER = re.compile(r"(?<![\w.])\d[\d_]*(?![\w.])")
_MAX_DIGITS = 19  # of a seed


@dataclass(frozen=True)
class Grade:
    """The result of one exercise of one student.

    Attributes
    ----------
    student, lesson, exercise
        Name of the student, number of the lesson, number of the exercise.
    passed
        Whether the answer is correct.
    feedback
        What is wrong with the answer, or why there is none, and what a teacher should review.

    Examples
    --------
    >>> Grade("ana", "05", "05.1", passed=False, feedback="Not returned.").to_dict()["feedback"]
    'Not returned.'
    """

    student: str
    lesson: str
    exercise: str
    passed: bool
    feedback: str

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict."""
        return asdict(self)


class Gradebook(Result):
    """The grades of a class, in a CSV file that is rewritten after each notebook.

    ``to_frame()`` has the columns of the file: one row per exercise of each student.

    The grades in this process are authoritative: if a notebook changes or replaces the file, the
    next write restores it.

    Attributes
    ----------
    path
        The CSV file. It differs from the requested one only if that could not be replaced.
    grades
        The grades.
    was_modified
        Whether another program changed the file while notebooks ran.
    not_in_roster
        Notebooks in the folder of the class that are not in the roster; they are not graded.

    Raises
    ------
    ArgumentError
        The file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     gradebook = Gradebook(Path(name) / "grades.csv")
    ...     gradebook.add([Grade("ana", "05", "05.1", True, "Correct.")])
    >>> gradebook
    student  05   passed
    ana      1/1  1
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.grades: list[Grade] = []
        self.was_modified = False
        self.not_in_roster: tuple[Path, ...] = ()
        self._written: bytes | None = None
        try:
            self._write()
        except OSError as error:
            raise ArgumentError(f"{path} cannot be written: {error.strerror}.") from None

    def add(self, grades: Sequence[Grade]) -> None:
        """Add the grades of a notebook and write the file."""
        self.grades += grades
        self._write()

    def _write(self) -> None:
        if self._written is not None and self._read() != self._written:
            self.was_modified = True
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(field.name for field in fields(Grade))
        writer.writerows(map(astuple, self.grades))
        # With a byte order mark, from which spreadsheets recognize UTF-8.
        content = text.getvalue().encode("utf-8-sig")
        descriptor, name = tempfile.mkstemp(".csv", "grades-", self.path.parent)
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        try:
            partial.replace(self.path)
        except OSError:  # a folder has taken its place
            if self._written is None:
                partial.unlink()
                raise
            self.path = partial
        self._written = content

    def _read(self) -> bytes | None:
        try:
            is_file = stat.S_ISREG(self.path.lstat().st_mode)
            return self.path.read_bytes() if is_file else None
        except OSError:
            return None

    def _table(self) -> pd.DataFrame:
        names = [field.name for field in fields(Grade)]
        return pd.DataFrame(map(astuple, self.grades), columns=names)

    def _record(self) -> dict[str, Any]:
        return {"path": str(self.path), "grades": [grade.to_dict() for grade in self.grades]}

    def summary(self) -> list[list[str]]:
        """Return the passed exercises by student and lesson, as rows of strings, headers first."""
        totals = Counter((grade.student, grade.lesson) for grade in self.grades)
        passed = Counter((grade.student, grade.lesson) for grade in self.grades if grade.passed)
        lessons = sorted({lesson for _, lesson in totals})
        rows = [["student", *lessons, "passed"]]
        for student in dict.fromkeys(student for student, _ in totals):
            cells = [
                f"{passed[student, lesson]}/{total}" if (total := totals[student, lesson]) else ""
                for lesson in lessons
            ]
            n_passed = sum(passed[student, lesson] for lesson in lessons)
            rows.append([student, *cells, str(n_passed)])
        return rows

    def problems(self) -> Iterator[str]:
        """Yield why no answer of a notebook could be graded, for each such notebook."""
        feedback: dict[str, dict[str, set[str]]] = {}
        for grade in self.grades:
            by_lesson = feedback.setdefault(grade.student, {})
            by_lesson.setdefault(grade.lesson, set()).add(grade.feedback)
        for student, by_lesson in feedback.items():
            if all(texts == {NOT_SUBMITTED} for texts in by_lesson.values()):
                yield f"{student}: nothing submitted"
                continue
            for lesson, texts in by_lesson.items():
                if len(texts) == 1 and texts != {CORRECT}:
                    yield f"{student}, lesson {lesson}: {next(iter(texts))}"

    def __repr__(self) -> str:
        rows = self.summary()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        head, *rows = self.summary()
        problems = "".join(f"<li>{html.escape(problem)}</li>" for problem in self.problems())
        table = table_html(head, rows, caption="Passed exercises")
        return f"{table}<ul>{problems}</ul>" if problems else table


def grade_submissions(
    folder: Path,
    path: Path,
    *,
    lessons: Sequence[str] = (),
    roster: Path | None = None,
    time_limit: float = 180.0,
    memory_limit: float = 4e9,
    jobs: int | None = None,
    overwrite: bool = False,
) -> Gradebook:
    """Run the submitted notebooks of a class and grade their answers.

    Each notebook runs in a separate process, on the data of the seed in the roster; the answers are
    graded in this process. The teaching guide describes what a notebook can access.

    Parameters
    ----------
    folder
        Folder of the class, with the notebooks where :func:`assign_notebooks` wrote them.
    path
        CSV file of the grades.
    lessons
        Numbers of the lessons; by default all in the roster.
    roster
        Roster of the class; by default ``roster.csv`` in the folder.
    time_limit
        Seconds after which a notebook is stopped.
    memory_limit
        Bytes of memory at which a notebook is stopped.
    jobs
        Number of notebooks that run in parallel; by default half the number of processors.
    overwrite
        Replace the CSV file if it exists.

    Returns
    -------
    Gradebook
        The grades, which are also in the CSV file.

    Raises
    ------
    ArgumentError
        The CSV file exists or cannot be written, the roster cannot be read, or no student has one
        of the lessons.
    NotFoundError
        There is no such lesson.
    MissingDependencyError
        IPython is not installed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from synfin_analytics.course import assign_notebooks
    >>> with TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     assignment = assign_notebooks(["ana"], folder, lessons=["05"], seed=2026)
    ...     (folder / assignment.written[0].path).unlink()  # nothing submitted
    ...     print(grade_submissions(folder, folder / "grades.csv"))
    student  05   passed
    ana      0/5  0
    """
    import_optional("IPython", extra="notebooks", purpose="Grading notebooks")
    if path.exists() and not overwrite:
        raise ArgumentError(f"{str(path)!r} exists; use --overwrite to replace it.")
    if not path.parent.is_dir():
        raise ArgumentError(f"The folder of the grades must exist; got {str(path.parent)!r}.")
    all_entries = read_roster(roster or folder / ROSTER)
    numbers = parse_lessons(lessons)
    entries = [entry for entry in all_entries if entry.lesson in numbers]
    if not entries:
        raise ArgumentError(f"No student in the roster has lesson {join_words(numbers)}.")
    # All notebooks are read before the first one runs: none can change another.
    submissions = [read_submission(folder, entry) for entry in entries]
    gradebook = Gradebook(path)
    gradebook.not_in_roster = tuple(
        folder / name for name in unexpected_notebooks(folder, all_entries)
    )
    limits = Limits(time_limit, memory_limit)
    stop = Event()
    with ThreadPoolExecutor(jobs or max(1, (os.cpu_count() or 2) // 2)) as pool:
        futures = [
            pool.submit(grade_submission, submission, limits, stop, all_entries)
            for submission in submissions
        ]
        try:
            for future in tqdm(futures, "notebooks", unit="", disable=None):
                gradebook.add(future.result())
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return gradebook


# -- Read submissions ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """A notebook as it was before any notebook of the class ran.

    Attributes
    ----------
    entry
        Student, lesson and seed.
    cells
        The code cells.
    fault
        Why there are none.
    """

    entry: RosterEntry
    cells: tuple[Cell, ...] = ()
    fault: str | None = None


def read_submission(folder: Path, entry: RosterEntry) -> Submission:
    """Read the notebook that a student submitted, if any."""
    path = folder / entry.path
    if not path.is_file() or path.is_symlink():
        return Submission(entry, fault=NOT_SUBMITTED)
    try:
        return Submission(entry, tuple(read_cells(path, get_lesson(entry.lesson))))
    except ArgumentError as error:
        return Submission(entry, fault=str(error))


def unexpected_notebooks(folder: Path, entries: Iterable[RosterEntry]) -> Iterator[str]:
    """Yield the paths of notebooks in the folder of a class that are not in the roster."""
    expected = {entry.path for entry in entries}
    for path in sorted(folder.rglob("*.ipynb")):
        name = path.relative_to(folder).as_posix()
        if name not in expected and ".ipynb_checkpoints" not in name:
            yield name


def read_cells(path: Path, lesson: Lesson[Any]) -> list[Cell]:
    """Read the code cells of a submitted notebook.

    A cell answers the exercise that its metadata name or that it checks. If several cells answer an
    exercise, the last one counts.

    Raises
    ------
    ArgumentError
        The file is not a notebook.
    """
    try:
        if path.stat().st_size > _MAX_NOTEBOOK_BYTES:
            raise ArgumentError(f"The file is larger than {_MAX_NOTEBOOK_BYTES // 1_000_000} MB.")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [
            (_join_source(cell["source"]), cell.get("metadata"))
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            "The file is not a notebook: it is damaged or from another program."
        ) from None
    numbers = {exercise.number for exercise in lesson.exercises}
    answered = [_answered_exercises(source, metadata) & numbers for source, metadata in cells]
    last_position = {
        number: position for position, group in enumerate(answered) for number in group
    }
    return [
        Cell(source, tuple(sorted(n for n, last in last_position.items() if last == position)))
        for position, (source, _) in enumerate(cells)
    ]


def suspicious_code(cells: Iterable[Cell]) -> list[str]:
    """Return what in a notebook a teacher should review."""
    text = "\n".join(cell.source for cell in cells)
    text = _USUAL_IMPORT.sub("", text)
    return [note for pattern, note in _SUSPICIOUS.items() if pattern.search(text)]


def foreign_seeds(
    cells: Iterable[Cell], entry: RosterEntry, roster: Iterable[RosterEntry]
) -> list[str]:
    """Return which seeds of other students, or unassigned seeds, a notebook contains."""
    text = "\n".join(cell.source for cell in cells)
    student_of = {owner.seed: owner.student for owner in roster if owner.student != entry.student}
    student_of.pop(entry.seed, None)
    seeds = {seed for digits in _INTEGER.findall(text) if (seed := _to_seed(digits)) in student_of}
    students = sorted({student_of[seed] for seed in seeds})
    started = {_to_seed(digits) for digits in _START_CALL.findall(text)} - {entry.seed}
    notes = [f"Review: the notebook contains the seed of {student}." for student in students]
    if started - student_of.keys():
        notes.append("Review: the notebook starts with a seed that was not assigned.")
    return notes


def _to_seed(digits: str) -> int:
    """Return digits as an integer; -1 for more digits than a seed has."""
    digits = digits.replace("_", "")
    return int(digits) if len(digits) <= _MAX_DIGITS else -1


def _join_source(source: object) -> str:
    text = "".join(source) if isinstance(source, list) else source
    if not isinstance(text, str):
        raise TypeError("the source of a cell must be a string or a list of strings")
    # Half of a surrogate pair cannot be encoded.
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _answered_exercises(source: str, metadata: object) -> set[str]:
    exercise = metadata.get("exercise") if isinstance(metadata, dict) else None
    return {*_CHECK_CALL.findall(source), *([exercise] if isinstance(exercise, str) else [])}


# -- Grade a notebook ------------------------------------------------------------------------------


def grade_submission(
    submission: Submission,
    limits: Limits | None = None,
    stop: Event | None = None,
    roster: Sequence[RosterEntry] = (),
) -> list[Grade]:
    """Run a submitted notebook and grade its answers.

    The notebook runs in a separate process and only provides answers; they are graded here, on the
    data of the seed in the roster. A missing or damaged notebook gets grades that say so.

    Parameters
    ----------
    submission
        The notebook.
    limits
        Limits of time and memory.
    stop
        Stops the notebook early when it is set.
    roster
        Roster of the class, to find seeds of other students in the notebook.
    """
    entry = submission.entry
    lesson = get_lesson(entry.lesson)
    if submission.fault:
        return [_to_grade(entry, exercise, submission.fault) for exercise in lesson.exercises]
    run = run_notebook(submission.cells, lesson, entry.seed, limits or Limits(), stop)
    notes = [
        *suspicious_code(submission.cells),
        *foreign_seeds(submission.cells, entry, roster),
        *filter(None, [run.suspicion]),
    ]
    return [
        _to_grade(entry, exercise, _find_fault(entry, exercise, run), " ".join(notes))
        for exercise in lesson.exercises
    ]


def _to_grade(
    entry: RosterEntry, exercise: Exercise[Any], fault: str | None, notes: str = ""
) -> Grade:
    feedback = fault or CORRECT
    if len(feedback) > _MAX_FEEDBACK:  # it may repeat the answer
        feedback = f"{feedback[:_MAX_FEEDBACK]} …"
    feedback = f"{feedback} {notes}".strip()
    # An answer may contain half of a surrogate pair, which cannot be encoded.
    feedback = feedback.encode("utf-8", errors="replace").decode("utf-8")
    return Grade(entry.student, entry.lesson, exercise.number, fault is None, feedback)


def _find_fault(entry: RosterEntry, exercise: Exercise[Any], run: Run) -> str | None:
    """Return what is wrong with an answer, in one line; None if it is correct.

    Both the variable and the last argument of ``check`` count: a student saw that it passed.
    """
    faults = []
    for answers in (run.answers, run.checked):
        answer = answers.get(exercise.number, MISSING)
        if answer is not MISSING:
            fault = _grade_answer(entry, exercise, answer)
            if fault is None:
                return None
            faults.append(fault)
    if not faults and not run.ending:
        faults = [f"The variable {exercise.answer!r} is not defined."]
    # What is wrong with one answer is more informative than that the other is missing.
    faults.sort(key=NO_ANSWER.__eq__)
    error = run.errors.get(exercise.number)
    parts = [*faults[:1], error and f"The cell failed with {error}.", run.ending]
    return " ".join(" ".join(filter(None, parts)).split())


def _grade_answer(entry: RosterEntry, exercise: Exercise[Any], answer: object) -> str | None:
    if isinstance(answer, ArgumentError):
        return str(answer)
    try:
        facts = get_lesson(entry.lesson).make_facts(entry.seed)
        return exercise.grader(facts).grade(answer)
    except Exception as error:  # noqa: BLE001  # a hostile answer must not affect other grades
        return f"This answer cannot be graded automatically ({type(error).__name__})."
