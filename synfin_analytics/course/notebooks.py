"""The notebooks of the course: build the exercises from the solutions, copy all to a folder.

A solution is a percent script (jupytext). A cell whose metadata name an exercise, such as
``# %% exercise="05.2"``, contains its solution; the exercise notebook has a cell to fill in
instead, with the comments at the top of the solution. All other cells are copied unchanged.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.lookup import import_optional, resource_folder
from synfin_analytics.course.lessons import LESSONS, get_lesson
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.course.lessons import Lesson

_CHECKOUT = Path(__file__).parents[2] / "notebooks"
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
#: The call that creates the data; the seed of each student is written into it.
_START = re.compile(r'start_lesson\("(?P<lesson>\d\d)", seed=\d+\)')


# -- Build the exercises ---------------------------------------------------------------------------


def build_notebooks() -> Iterator[tuple[Path, bool]]:
    """Build all exercise notebooks of this checkout from their solutions.

    Yields
    ------
    tuple of Path and bool
        Each notebook, and whether it changed.

    Raises
    ------
    ArgumentError
        This is not a checkout: the installed package has no solutions.

    Examples
    --------
    >>> changed = [path.name for path, has_changed in build_notebooks() if has_changed]
    >>> changed  # nothing, while the notebooks correspond to the solutions
    []
    """
    solutions, target = _CHECKOUT / "solutions", _CHECKOUT / "exercises"
    if not solutions.is_dir():
        raise ArgumentError(
            "`synfin class build` must run in a checkout of the project, which has "
            "notebooks/solutions; the installed package has only the finished notebooks."
        )
    target.mkdir(exist_ok=True)
    for number in LESSONS:
        name = get_lesson(number).file_name
        content, path = build_notebook(solutions / f"{name}.py"), target / f"{name}.ipynb"
        changed = not path.is_file() or path.read_text(encoding="utf-8") != content
        if changed:
            path.write_text(content, encoding="utf-8")
        yield path, changed


def build_notebook(solution: Path) -> str:
    """Build an exercise notebook from the script of its solutions.

    Parameters
    ----------
    solution
        Script with the name of the lesson, such as ``05_thresholds_and_costs.py``.

    Returns
    -------
    str
        The notebook as JSON, without outputs; the same on every call.

    Raises
    ------
    ArgumentError
        The script does not contain every exercise of the lesson once, in order, or does not start
        the lesson exactly once.
    MissingDependencyError
        jupytext is not installed.
    """
    jupytext = import_optional("jupytext", extra="notebooks", purpose="Building exercise notebooks")
    lesson = get_lesson(solution.stem[:2])
    script = jupytext.read(solution)
    numbers = [cell.metadata["exercise"] for cell in script.cells if "exercise" in cell.metadata]
    expected = [exercise.number for exercise in lesson.exercises]
    if numbers != expected:
        raise ArgumentError(
            f"{solution.name} must contain the exercises {expected}; got {numbers}."
        )
    if sum(len(_START.findall(cell.source)) for cell in script.cells) != 1:
        raise ArgumentError(
            f'{solution.name} must call start_lesson("{lesson.number}", seed=…) exactly once.'
        )
    cells = [
        exercise_cell
        for position, cell in enumerate(script.cells)
        for exercise_cell in _exercise_cells(lesson, position, cell)
    ]
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": _KERNEL, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return _to_json(notebook)


def _exercise_cells(lesson: Lesson[Any], position: int, cell: Any) -> Iterator[dict[str, Any]]:
    """Copy a cell; a solution becomes a cell to fill in, followed by a cell for hints.

    Jupyter displays the value of a cell's last line, so a check and a hint need a cell each.
    """
    cell_id = f"{lesson.number}-{position:02d}"
    if number := cell.metadata.get("exercise"):
        answer = lesson.exercise(number).answer
        source = f'{_leading_comments(cell.source)}{answer} = ...\n\ncheck("{number}", {answer})'
        yield _cell("code", cell_id, source, {"exercise": number})
        hint = f'# hint("{number}")  # remove the first "#" for a hint; run again for the next'
        yield _cell("code", f"{cell_id}-hint", hint)
    else:
        yield _cell(cell.cell_type, cell_id, cell.source)


def _cell(
    cell_type: str, cell_id: str, source: str, metadata: dict[str, str] | None = None
) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": cell_type,
        "id": cell_id,
        "metadata": metadata or {},
        "source": source,
    }
    return cell | {"execution_count": None, "outputs": []} if cell_type == "code" else cell


def _leading_comments(source: str) -> str:
    lines = source.split("\n")
    n_comments = next(
        (row for row, line in enumerate(lines) if not line.startswith("#")), len(lines)
    )
    return "".join(f"{line}\n" for line in lines[:n_comments])


def _to_json(notebook: dict[str, Any]) -> str:
    """Write a notebook as Jupyter does."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


# -- Read the exercises of the package -------------------------------------------------------------


def read_exercise_notebook(number: str) -> str:
    """Read the exercise notebook of a lesson, as JSON.

    Raises
    ------
    NotFoundError
        It is missing: the installation is incomplete.
    """
    name = get_lesson(number).file_name
    path = resource_folder("notebooks") / "exercises" / f"{name}.ipynb"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    raise NotFoundError("notebook", name, LESSONS.values(), location="the installed package")


def with_seed(notebook: str, seed: int) -> str:
    r"""Return an exercise notebook with the seed of a student.

    Examples
    --------
    >>> print(with_seed(r'data = start_lesson(\"05\", seed=1)', 77))
    data = start_lesson(\"05\", seed=77)
    """
    return re.sub(r'(start_lesson\(\\"\d\d\\", seed=)\d+\)', rf"\g<1>{seed})", notebook)


# -- Copy all notebooks ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CopiedNotebooks:
    """The result of :func:`copy_notebooks`: names of notebooks, relative to the folder.

    Attributes
    ----------
    created, unchanged, kept, replaced
        New notebooks; those that already existed unchanged; those that had been edited and were
        kept, or replaced.

    Examples
    --------
    >>> copied = CopiedNotebooks(("01_first_steps.ipynb",), (), ("02_fraud_patterns.ipynb",), ())
    >>> len(copied), copied.kept
    (2, ('02_fraud_patterns.ipynb',))
    """

    created: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]
    replaced: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.created + self.unchanged + self.kept + self.replaced)


def copy_notebooks(folder: Path, *, overwrite: bool = False) -> CopiedNotebooks:
    """Copy the lessons and exercises of the package to a folder.

    Parameters
    ----------
    folder
        Target; it is created.
    overwrite
        Replace notebooks that have been edited. By default they are kept.

    Returns
    -------
    CopiedNotebooks
        The names of the notebooks, by what happened to them.

    Raises
    ------
    ArgumentError
        The folder is, or contains, the one that the notebooks are copied from.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     copied = copy_notebooks(Path(name))
    >>> copied.created[:2]
    ('01_first_steps.ipynb', '02_fraud_patterns.ipynb')
    """
    source = resource_folder("notebooks")
    if folder.resolve() in (source.resolve(), *source.resolve().parents):
        raise ArgumentError(
            f"The target must not be the source of the notebooks; got {str(folder)!r}."
        )
    names: dict[str, list[str]] = {"created": [], "unchanged": [], "kept": [], "replaced": []}
    for path in sorted([*source.glob("*.ipynb"), *source.glob("exercises/*.ipynb")]):
        name = path.relative_to(source)
        names[_copy(path, folder / name, overwrite=overwrite)].append(str(name))
    return CopiedNotebooks(**{status: tuple(group) for status, group in names.items()})


def _copy(source: Path, target: Path, *, overwrite: bool) -> str:
    """Copy a notebook unless that would lose edits; return the name of the outcome."""
    content = _without_pairing(source.read_text(encoding="utf-8"))
    outcome = "created"
    if target.exists():
        if target.read_text(encoding="utf-8") == content:
            return "unchanged"
        if not overwrite:
            return "kept"
        outcome = "replaced"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    return outcome


def _without_pairing(content: str) -> str:
    """Remove the metadata that make JupyterLab write a script next to the notebook."""
    notebook = json.loads(content)
    notebook["metadata"].pop("jupytext", None)
    return _to_json(notebook)
