"""Submitted notebooks for tests: solved, wrong or cheating; and answers of any type."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jupytext
import polars as pl
from hypothesis import strategies as st

from synfin_analytics.course import get_lesson

SOLUTIONS = Path(__file__).parents[2] / "notebooks" / "solutions"


def solution(number: str) -> Path:
    """Return the script of a lesson's solutions."""
    return SOLUTIONS / f"{get_lesson(number).file_name}.py"


@functools.cache
def sources(number: str) -> dict[str, str]:
    """Return the cells that solve a lesson's exercises."""
    cells = jupytext.read(solution(number)).cells
    return {cell.metadata["exercise"]: cell.source for cell in cells if "exercise" in cell.metadata}


class Notebook:
    """An exercise notebook of a student; every change is written to the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def cell(self, exercise: str) -> dict[str, Any]:
        """Return the cell of an exercise."""
        cells = self.content["cells"]
        return next(cell for cell in cells if cell["metadata"].get("exercise") == exercise)

    def solve(self) -> Notebook:
        """Insert the solutions."""
        for exercise, source in sources(self.path.stem[:2]).items():
            self.cell(exercise)["source"] = source
        return self.save()

    def answer(self, exercise: str, source: str) -> Notebook:
        """Set the source of the cell of an exercise."""
        self.cell(exercise)["source"] = source
        return self.save()

    def insert_first(self, source: str) -> Notebook:
        """Insert a cell before all others."""
        self.content["cells"].insert(0, {"cell_type": "code", "metadata": {}, "source": [source]})
        return self.save()

    def save(self) -> Notebook:
        self.path.write_text(json.dumps(self.content), encoding="utf-8")
        return self


_KINDS = (
    st.booleans() | st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.datetimes(),
    st.lists(st.integers(0, 9)),
    st.fixed_dictionaries({"a": st.integers(0, 9)}),
)
_COLUMNS = (
    "channel",
    "customer_id",
    "spent",
    "fraud_rate",
    "low",
    "high",
    "transaction_id",
    "week",
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.datetimes()
)
#: Answers in plain form, without tables.
ANSWERS = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner), max_leaves=12
)
#: Tables of two rows with the requested column names and any values.
TABLES = st.dictionaries(
    st.sampled_from(_COLUMNS),
    st.one_of([st.lists(kind, min_size=2, max_size=2) for kind in _KINDS]),
).map(pl.DataFrame)
