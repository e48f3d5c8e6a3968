"""Give a class its exercises: a folder for each student, with notebooks on data of their own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.course._notebooks import stored, with_seed
from synfin_analytics.course._roster import (
    ROSTER,
    Place,
    folder_key,
    lessons_of,
    name_fault,
    read_roster,
    seed_of,
    write_roster,
)
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Given:
    """What :func:`give` did.

    Attributes
    ----------
    written, kept
        Notebooks that were written, and those that were there already and were left as they are.
    class_seed
        What the seeds of the new ones follow from.
    """

    written: tuple[Place, ...]
    kept: tuple[Place, ...]
    class_seed: int


def give(
    students: Sequence[str],
    folder: Path,
    *,
    lessons: Sequence[str] = (),
    seed: int | None = None,
    replace: bool = False,
) -> Given:
    """Write each student's notebooks, and the roster.

    Parameters
    ----------
    students
        Their names, as :func:`~synfin_analytics.course._roster.read_students` gives them.
    folder
        Of the class. What it holds is kept: a second call adds students and lessons.
    lessons
        Numbers; all by default.
    seed
        Of the class: each student's own follows from it and from their name. Drawn by default.
    replace
        Write anew what is there already, on the data of the seed.

    Raises
    ------
    ArgumentError
        A name cannot be that of a folder, two would be the same folder, a file has the name of a
        folder, or a notebook is there whose seed the roster does not know. Nothing is written then.
    NotFoundError
        There is no such lesson.
    """
    class_seed = secrets.randbelow(2**31) if seed is None else seed
    known: dict[tuple[str, str], Place] = {}
    if (folder / ROSTER).exists():
        known = {(one.student, one.lesson): one for one in read_roster(folder / ROSTER)}
    _check_names(students, folder, {one.student for one in known.values()})
    written, kept = [], []
    for student in students:
        for number in lessons_of(lessons):
            before = known.get((student, number))
            new = Place(student, number, seed_of(class_seed, student))
            there = (folder / new.path).exists()
            if there and not replace:
                kept.append(before or new)
            else:
                # A notebook that was lost is given again on the same data.
                written.append(new if replace or before is None else before)
    if strangers := [one for one in kept if (one.student, one.lesson) not in known]:
        raise ArgumentError(
            f"{folder / strangers[0].path} exists, and {ROSTER} does not have its seed "
            f"({pluralize(len(strangers), 'notebook')} in total). Move the notebook away, restore "
            "the roster, or use --replace."
        )
    known |= {(one.student, one.lesson): one for one in written}
    folder.mkdir(parents=True, exist_ok=True)
    write_roster(folder / ROSTER, known.values())
    for one in written:
        path = folder / one.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(with_seed(stored(one.lesson), one.seed), encoding="utf-8")
    return Given(tuple(written), tuple(kept), class_seed)


def _check_names(students: Sequence[str], folder: Path, known: set[str]) -> None:
    """Refuse names that make no folder of their own."""
    folders = {folder_key(name): name for name in known}
    for name in students:
        if fault := name_fault(name):
            raise ArgumentError(f"A student's name {fault}.")
        other = folders.setdefault(folder_key(name), name)
        if other != name:
            raise ArgumentError(
                "Students' names must differ in more than case or the form of their letters; got "
                f"{name!r} and {other!r}."
            )
        if (folder / name).exists() and not (folder / name).is_dir():
            raise ArgumentError(f"{folder / name} must be a folder or not exist; it is a file.")
