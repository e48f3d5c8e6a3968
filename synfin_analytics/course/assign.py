"""Assign exercises to a class: a folder per student, with notebooks on the student's own data."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.course.notebooks import read_exercise_notebook, with_seed
from synfin_analytics.course.roster import (
    ROSTER,
    RosterEntry,
    folder_key,
    name_fault,
    parse_lessons,
    read_roster,
    student_seed,
    write_roster,
)
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Assignment:
    """The result of :func:`assign_notebooks`.

    Attributes
    ----------
    written, kept
        Notebooks that were written, and those that already existed and were kept.
    class_seed
        Seed from which the seeds of the written notebooks follow.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     assignment = assign_notebooks(["ana"], Path(name), lessons=["01", "05"], seed=2026)
    >>> assignment.class_seed, len(assignment.written), len(assignment.kept)
    (2026, 2, 0)
    """

    written: tuple[RosterEntry, ...]
    kept: tuple[RosterEntry, ...]
    class_seed: int


def assign_notebooks(
    students: Sequence[str],
    folder: Path,
    *,
    lessons: Sequence[str] = (),
    seed: int | None = None,
    replace: bool = False,
) -> Assignment:
    """Write the notebooks of each student, and the roster.

    Parameters
    ----------
    students
        Names of the students, as :func:`read_students` returns them.
    folder
        Folder of the class. Existing notebooks are kept: another call adds students and lessons.
    lessons
        Numbers of the lessons; by default all.
    seed
        Seed of the class, from which the students' seeds follow; by default a random one.
    replace
        Replace existing notebooks, with the data of the new seed.

    Returns
    -------
    Assignment
        The notebooks that were written, and those that were kept.

    Raises
    ------
    ArgumentError
        A name cannot be the name of a folder, two names would be the same folder, a file exists in
        place of a folder, or a notebook exists that is not in the roster. Nothing is written then.
    NotFoundError
        There is no such lesson.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     assignment = assign_notebooks(["ana", "ben"], Path(name), lessons=["05"], seed=2026)
    >>> [entry.path for entry in assignment.written]
    ['ana/05_thresholds_and_costs.ipynb', 'ben/05_thresholds_and_costs.ipynb']
    """
    class_seed = secrets.randbelow(2**31) if seed is None else seed
    roster: dict[tuple[str, str], RosterEntry] = {}
    if (folder / ROSTER).exists():
        roster = {(entry.student, entry.lesson): entry for entry in read_roster(folder / ROSTER)}
    _validate_names(students, folder, {entry.student for entry in roster.values()})
    written, kept = [], []
    for student in students:
        for lesson in parse_lessons(lessons):
            previous = roster.get((student, lesson))
            new = RosterEntry(student, lesson, student_seed(class_seed, student))
            if (folder / new.path).exists() and not replace:
                kept.append(previous or new)
            else:
                # A notebook that was lost is assigned again with the same data.
                written.append(new if replace or previous is None else previous)
    unknown = [entry for entry in kept if (entry.student, entry.lesson) not in roster]
    if unknown:
        raise ArgumentError(
            f"{folder / unknown[0].path} exists, but its seed is not in {ROSTER} "
            f"({pluralize(len(unknown), 'notebook')} in total). Move the notebook, restore the "
            "roster, or use --replace."
        )
    roster |= {(entry.student, entry.lesson): entry for entry in written}
    folder.mkdir(parents=True, exist_ok=True)
    write_roster(folder / ROSTER, roster.values())
    for entry in written:
        path = folder / entry.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            with_seed(read_exercise_notebook(entry.lesson), entry.seed), encoding="utf-8"
        )
    return Assignment(tuple(written), tuple(kept), class_seed)


def _validate_names(students: Sequence[str], folder: Path, existing: set[str]) -> None:
    """Raise unless each name can be the name of a folder of its own."""
    folders = {folder_key(name): name for name in existing}
    for name in students:
        if fault := name_fault(name):
            raise ArgumentError(f"A student's name {fault}.")
        other = folders.setdefault(folder_key(name), name)
        if other != name:
            raise ArgumentError(
                "Students' names must differ by more than case or Unicode form; got "
                f"{name!r} and {other!r}."
            )
        if (folder / name).exists() and not (folder / name).is_dir():
            raise ArgumentError(f"{folder / name} must be a folder or not exist; it is a file.")
