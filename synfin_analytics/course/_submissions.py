"""Notebooks that came back: which are there, which are not, and their cells."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from synfin_analytics.course._exercise import Lesson
    from synfin_analytics.course._roster import Place

#: Bytes of a notebook; one with a few pictures has less than a hundredth.
_LARGEST = 50_000_000
_CHECKED = re.compile(r"""\bcheck\(\s*["'](\d\d\.\d)["']""")
_USUAL = re.compile(
    r"^from synfin_analytics\.course import (?:check|hint|start_lesson|,| )+$", re.MULTILINE
)
#: What an answer needs nothing of, and what is said where it is there.
_CURIOUS = {
    re.compile(r"\bdef\s+check\b|^\s*check\s*=|\bimport\s.*\bas\s+check\b", re.MULTILINE): (
        "The notebook defines its own `check`: look at it."
    ),
    re.compile(
        r"synfin_analytics\s*\.\s*course|from\s+synfin_analytics\s+import\s.*\bcourse\b"
        r"|SYNFIN_EXERCISE_SEED|\.grader\b"
    ): ("The notebook reaches into the checks themselves: look at it."),
}


_STARTED = re.compile(r"""\bstart_lesson\(\s*["']\d+["']\s*,\s*(?:seed\s*=\s*)?(\d[\d_]*)""")
_WHOLE = re.compile(r"(?<![\w.])\d[\d_]*(?![\w.])")


@dataclass(frozen=True)
class Cell:
    """A cell of code, and the exercises that it answers."""

    source: str
    exercises: tuple[str, ...] = ()


def unexpected(folder: Path, places: Iterable[Place]) -> Iterator[str]:
    """Name notebooks in the folder of a class that nobody waits for, by their path."""
    expected = {one.path for one in places}
    for path in sorted(folder.rglob("*.ipynb")):
        name = path.relative_to(folder).as_posix()
        if name not in expected and ".ipynb_checkpoints" not in name:
            yield name


def read_cells(path: Path, lesson: Lesson) -> list[Cell]:
    """Read the cells of code of a returned notebook.

    A cell answers the exercise that its metadata name, or that it checks; if several do, the last.

    Raises
    ------
    ArgumentError
        It is no notebook; the message is a sentence about it.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ArgumentError(f"The file is larger than {_LARGEST // 1_000_000} MB.")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [
            (_source(cell["source"]), cell.get("metadata"))
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            "The file is not a notebook: it may be broken, or from another program."
        ) from None
    wanted = {one.number for one in lesson.exercises}
    answers = [_answered(source, metadata) & wanted for source, metadata in cells]
    last = {number: place for place, numbers in enumerate(answers) for number in numbers}
    return [
        Cell(source, tuple(sorted(number for number in last if last[number] == place)))
        for place, (source, _) in enumerate(cells)
    ]


def curious(cells: Iterable[Cell]) -> list[str]:
    """Say what in a notebook a teacher should look at."""
    text = "\n".join(one.source for one in cells)
    text = _USUAL.sub("", text)
    return [words for pattern, words in _CURIOUS.items() if pattern.search(text)]


def foreign_seeds(cells: Iterable[Cell], place: Place, roster: Iterable[Place]) -> list[str]:
    """Say which seeds of others are in a notebook, and whether it begins with one of no student."""
    text = "\n".join(one.source for one in cells)
    of_others = {one.seed: one.student for one in roster if one.student != place.student}
    of_others.pop(place.seed, None)
    named = {number for word in _WHOLE.findall(text) if (number := _number(word)) in of_others}
    students = sorted({of_others[seed] for seed in named})
    begun = {_number(word) for word in _STARTED.findall(text)} - {place.seed}
    found = [f"The notebook has the seed of {student}: look at it." for student in students]
    if begun - of_others.keys():
        found.append("The notebook begins with a seed that this student was not given: look at it.")
    return found


def _number(digits: str) -> int:
    """Read digits as a number; no seed has as many as twenty."""
    plain = digits.replace("_", "")
    return int(plain) if len(plain) < 20 else -1


def _source(given: Any) -> str:
    text = "".join(given) if isinstance(given, list) else given
    if not isinstance(text, str):
        raise TypeError("source of a cell")
    # Half of a surrogate pair cannot be written down.
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _answered(source: str, metadata: Any) -> set[str]:
    named = metadata.get("exercise") if isinstance(metadata, dict) else None
    return {*_CHECKED.findall(source), *([named] if isinstance(named, str) else [])}
