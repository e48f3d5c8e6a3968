"""Read submitted notebooks: their cells, and what a teacher should review in them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from synfin_analytics.course.exercise import Lesson
    from synfin_analytics.course.roster import RosterEntry

#: Maximum bytes of a notebook; one with a few plots has less than a hundredth of it.
_MAX_BYTES = 50_000_000
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
class Cell:
    """A code cell, and the exercises that it answers."""

    source: str
    exercises: tuple[str, ...] = ()


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
        if path.stat().st_size > _MAX_BYTES:
            raise ArgumentError(f"The file is larger than {_MAX_BYTES // 1_000_000} MB.")
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
    student_of = {other.seed: other.student for other in roster if other.student != entry.student}
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
