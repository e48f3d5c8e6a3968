"""The roster of a class: which student received which lesson with which seed.

:func:`assign_notebooks` writes it, and notebooks on their own data in a folder per student.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import secrets
import unicodedata
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.course.lessons import LESSONS, get_lesson
from synfin_analytics.course.notebooks import read_exercise_notebook, with_seed
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: File name of the roster in the folder of the class. Students do not need it.
ROSTER = "roster.csv"
#: A student's name is the name of a folder on any system, and a cell of a CSV file.
_NAME = re.compile(r"\w[\w.@+-]*")
#: Maximum characters and bytes of a name: file systems allow 255 bytes.
_MAX_CHARACTERS, _MAX_BYTES = 64, 200
#: Names of devices, which Windows does not allow for folders, with or without suffix.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))}
)
#: Suffixes of our own files in the folder of a class.
_RESERVED_SUFFIXES = (".csv", ".ipynb")
_SEED = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class RosterEntry:
    """One lesson of one student.

    Attributes
    ----------
    student
        Name in the class list.
    lesson
        Number of the lesson, such as "05".
    seed
        Seed of the student's data.

    Examples
    --------
    >>> RosterEntry("ana", "05", 648916131).path
    'ana/05_thresholds_and_costs.ipynb'
    """

    student: str
    lesson: str
    seed: int

    @property
    def path(self) -> str:
        """Path of the notebook, relative to the folder of the class."""
        return f"{self.student}/{get_lesson(self.lesson).file_name}.ipynb"


def student_seed(class_seed: int, student: str) -> int:
    """Return the seed of a student; seeds of different students are unrelated.

    Examples
    --------
    >>> student_seed(2026, "ana"), student_seed(2026, "ben")
    (648916131, 932599147)
    """
    digest = hashlib.sha256(f"{class_seed}/{student}".encode()).digest()
    return 100_000_000 + int.from_bytes(digest[:8]) % 900_000_000


def name_fault(name: str) -> str | None:
    """Return why a student's name cannot be the name of a folder; None if it can.

    Examples
    --------
    >>> name_fault("ana.lopez"), name_fault("roster.csv")
    (None, "must not end with .csv; got 'roster.csv'")
    """
    if not name:
        return "must not be empty"
    if not _NAME.fullmatch(name):
        return (
            "must consist of letters, digits and . @ + - _, and start with a letter, a digit or _; "
            f"got {name[:_MAX_CHARACTERS]!r}"
        )
    if len(name) > _MAX_CHARACTERS or len(name.encode()) > _MAX_BYTES:
        return f"must have at most {_MAX_CHARACTERS} characters; got {len(name)}"
    folded = name.casefold()
    if folded.partition(".")[0] in _DEVICES:
        return f"must not be the name of a Windows device; got {name!r}"
    for suffix in (".", *_RESERVED_SUFFIXES):
        if folded.endswith(suffix):
            return f"must not end with {suffix}; got {name!r}"
    return None


def folder_key(name: str) -> str:
    """Return a key that is equal for names that some file system does not distinguish."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def read_students(path: Path) -> list[str]:
    r"""Read a class list: the column ``student`` of a CSV file.

    Parameters
    ----------
    path
        The CSV file. Other columns are ignored.

    Returns
    -------
    list of str
        Names of the students, in the order of the file.

    Raises
    ------
    ArgumentError
        The file cannot be read, a name cannot be the name of a folder, or two names would be the
        same folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = Path(name) / "students.csv"
    ...     _ = path.write_text("student,email\nana,ana@example.org\nben,ben@example.org")
    ...     read_students(path)
    ['ana', 'ben']
    """
    names: dict[str, tuple[str, int]] = {}
    for line, row in _read_rows(path, ("student",)):
        name = unicodedata.normalize("NFC", row["student"].strip())
        if fault := name_fault(name):
            raise ArgumentError(f"{path}, line {line}: the student's name {fault}.")
        key = folder_key(name)
        if key in names:
            first_name, first_line = names[key]
            raise ArgumentError(
                f"{path}, line {line}: students' names must differ by more than case or Unicode "
                f"form; got {name!r}, and {first_name!r} in line {first_line}."
            )
        names[key] = name, line
    if not names:
        raise ArgumentError(f"{path} must name at least one student; got none.")
    return [name for name, _ in names.values()]


def read_roster(path: Path) -> list[RosterEntry]:
    """Read the roster that :func:`assign_notebooks` wrote.

    Parameters
    ----------
    path
        ``roster.csv`` in the folder of the class.

    Returns
    -------
    list of RosterEntry
        One entry for each notebook, in the order of the file.

    Raises
    ------
    ArgumentError
        It cannot be read, or a line is invalid.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from synfin_analytics.course import assign_notebooks
    >>> with TemporaryDirectory() as name:
    ...     _ = assign_notebooks(["ana"], Path(name), lessons=["05"], seed=2026)
    ...     read_roster(Path(name) / "roster.csv")
    [RosterEntry(student='ana', lesson='05', seed=648916131)]
    """
    entries = []
    for line, row in _read_rows(path, [field.name for field in fields(RosterEntry)]):
        lesson = row["lesson"].strip().zfill(2)  # a spreadsheet turns 05 into 5
        student, seed = row["student"].strip(), row["seed"].strip()
        if lesson not in LESSONS or not _SEED.fullmatch(seed) or name_fault(student):
            raise ArgumentError(f"{path}, line {line}: must be as `synfin class assign` wrote it.")
        entries.append(RosterEntry(student, lesson, int(seed)))
    return entries


def write_roster(path: Path, entries: Iterable[RosterEntry]) -> None:
    """Write a roster atomically."""
    partial = path.with_name(f".{path.name}.unfinished")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(RosterEntry)])
        writer.writerows(sorted(map(astuple, entries)))
    partial.replace(path)


def parse_lessons(numbers: Iterable[str]) -> list[str]:
    """Return numbers of lessons in the form of the roster, without duplicates; by default all.

    Raises
    ------
    NotFoundError
        There is no such lesson.

    Examples
    --------
    >>> parse_lessons(["5", "01"])
    ['01', '05']
    """
    lessons = [number.strip().zfill(2) for number in numbers]
    for number in lessons:
        if number not in LESSONS:
            raise NotFoundError("lesson", number, LESSONS)
    return sorted(set(lessons or LESSONS))


def _read_rows(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file with their line; the separator may be a semicolon."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ArgumentError(f"{path} must be encoded in UTF-8; save it as UTF-8.") from None
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}.") from None
    header = text.partition("\n")[0]
    separator = ";" if ";" in header and "," not in header else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    names = [name.strip() for name in reader.fieldnames or ()]
    for column in columns:
        if column not in names:
            actual = ", ".join(names) if names else "an empty file"
            raise ArgumentError(
                f"{path} must have the column {column!r} in its first line; got {actual}."
            )
    reader.fieldnames = names
    try:
        for row in reader:
            if any(row.values()):  # a spreadsheet may write rows of separators
                yield reader.line_num, {name: row.get(name) or "" for name in names}
    except csv.Error as error:
        raise ArgumentError(f"{path}, line {reader.line_num}: {error}.") from None


# -- Assign ----------------------------------------------------------------------------------------


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
    """Raise unless each name can be the name of a separate folder."""
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
