"""Notebooks of exercises: made from the solutions, which they do not contain.

A solution is a percent script (jupytext). A cell whose metadata name an exercise, as
``# %% exercise="05.2"``, holds its solution; the notebook has a cell to fill instead. Comments at
the head of such a cell stay. All other cells are taken over as they are.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.resources import shipped
from synfin_analytics.course._exercise import LESSONS, Lesson, lesson
from synfin_analytics.exceptions import ArgumentError, MissingDependencyError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_CHECKOUT = Path(__file__).parents[2] / "notebooks"
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
#: The call that lays out the data; a class writes each student's seed into it.
_START = re.compile(r'start_lesson\("(?P<lesson>\d\d)", seed=\d+\)')


def optional(name: str, purpose: str) -> ModuleType:
    """Import what comes with the extra ``notebooks``, or say how to install it.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise MissingDependencyError(name.partition(".")[0], "notebooks", purpose) from None


def build(solution: Path) -> str:
    """Make the notebook of exercises from a script of solutions.

    Parameters
    ----------
    solution
        Named as its lesson, as ``05_thresholds_and_costs.py``.

    Returns
    -------
    str
        The notebook's JSON, without outputs; the same at each call.

    Raises
    ------
    ArgumentError
        The script must hold each exercise of the lesson once, in order, and start the lesson once.
    MissingDependencyError
        jupytext is not installed.
    """
    jupytext = optional("jupytext", "Making notebooks of exercises")
    one = lesson(solution.stem[:2])
    script = jupytext.read(solution)
    found = [cell.metadata["exercise"] for cell in script.cells if "exercise" in cell.metadata]
    wanted = [each.number for each in one.exercises]
    if found != wanted:
        raise ArgumentError(f"{solution.name} must contain the exercises {wanted}; got {found}.")
    if sum(len(_START.findall(cell.source)) for cell in script.cells) != 1:
        raise ArgumentError(f'{solution.name} must call start_lesson("{one.number}", seed=…) once.')
    cells = [made for place, cell in enumerate(script.cells) for made in _cells(one, place, cell)]
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": _KERNEL, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return told(notebook)


def build_all() -> Iterator[tuple[Path, bool]]:
    """Make every notebook of exercises of this checkout; yield each, and whether it changed.

    Raises
    ------
    ArgumentError
        This is no checkout: what is installed has no solutions.
    """
    solutions, out = _CHECKOUT / "solutions", _CHECKOUT / "exercises"
    if not solutions.is_dir():
        raise ArgumentError(
            "`synfin class build` must run in a checkout of the project, which has "
            "notebooks/solutions; the installed package has only the finished notebooks."
        )
    out.mkdir(exist_ok=True)
    for number in LESSONS:
        file = lesson(number).file
        made, path = build(solutions / f"{file}.py"), out / f"{file}.ipynb"
        changed = not path.is_file() or path.read_text(encoding="utf-8") != made
        if changed:
            path.write_text(made, encoding="utf-8")
        yield path, changed


def _cells(one: Lesson, place: int, cell: Any) -> Iterator[dict[str, Any]]:
    """Take a cell over; an exercise becomes a cell to fill, and one for its hints.

    Jupyter shows what the last line of a cell gives, so that a check and a hint need a cell each.
    """
    name = f"{one.number}-{place:02d}"
    if number := cell.metadata.get("exercise"):
        answer = one.exercise(number).answer
        fill = f'{_head(cell.source)}{answer} = ...\n\ncheck("{number}", {answer})'
        yield _cell("code", name, fill, {"exercise": number})
        hint = (
            f'# hint("{number}")  # take the first "#" away for a hint; run it again for the next'
        )
        yield _cell("code", f"{name}-hint", hint)
    else:
        yield _cell(cell.cell_type, name, cell.source)


def _cell(
    kind: str, name: str, source: str, metadata: dict[str, str] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "cell_type": kind,
        "id": name,
        "metadata": metadata or {},
        "source": source,
    }
    return made | {"execution_count": None, "outputs": []} if kind == "code" else made


def _head(source: str) -> str:
    lines = source.split("\n")
    comments = next(
        (count for count, line in enumerate(lines) if not line.startswith("#")), len(lines)
    )
    return "".join(f"{line}\n" for line in lines[:comments])


def told(notebook: dict[str, Any]) -> str:
    """Write a notebook as Jupyter does."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def stored(number: str) -> str:
    """Read the notebook of a lesson's exercises that comes with the package.

    Raises
    ------
    NotFoundError
        It is missing: the installation is incomplete.
    """
    one = lesson(number)
    path = shipped("notebooks") / "exercises" / f"{one.file}.ipynb"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    raise NotFoundError("notebook", one.file, LESSONS.values(), where="the installed package")


def with_seed(notebook: str, seed: int) -> str:
    r"""Write a student's seed into a notebook of exercises.

    Examples
    --------
    >>> print(with_seed(r'data = start_lesson(\"05\", seed=1)', 77))
    data = start_lesson(\"05\", seed=77)
    """
    return re.sub(r'(start_lesson\(\\"\d\d\\", seed=)\d+\)', rf"\g<1>{seed})", notebook)
