"""Returned notebooks for tests: solved, wrong, empty, cheating and broken ones."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jupytext

from synfin_analytics.exercises.exercise import lesson

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions"


def solution(number: str) -> Path:
    """The script of a lesson's solutions."""
    return SOLUTIONS / f"{lesson(number).file}.py"


@functools.cache
def sources(number: str) -> dict[str, str]:
    """Cells that solve a lesson's exercises."""
    cells = jupytext.read(solution(number)).cells
    return {cell.metadata["exercise"]: cell.source for cell in cells if "exercise" in cell.metadata}


class Notebook:
    """A notebook of exercises in a student's hands; what is done to it is in the file at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def cell(self, exercise: str) -> dict[str, Any]:
        """The cell of an exercise."""
        cells = self.content["cells"]
        return next(one for one in cells if one["metadata"].get("exercise") == exercise)

    def solve(self) -> Notebook:
        """Put the solutions in."""
        for exercise, source in sources(self.path.stem[:2]).items():
            self.cell(exercise)["source"] = source
        return self.save()

    def answer(self, exercise: str, source: str) -> Notebook:
        """Put code into the cell of an exercise."""
        self.cell(exercise)["source"] = source
        return self.save()

    def begin_with(self, source: str) -> Notebook:
        """Put a cell before all others."""
        self.content["cells"].insert(0, {"cell_type": "code", "metadata": {}, "source": [source]})
        return self.save()

    def save(self) -> Notebook:
        self.path.write_text(json.dumps(self.content), encoding="utf-8")
        return self
