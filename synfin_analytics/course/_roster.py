"""Who got which exercises, on the data of which seed: what marking needs to know."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from synfin_analytics.course._exercise import LESSONS, lesson
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: File of the roster, in the folder of the class; no student needs it.
ROSTER = "roster.csv"
#: What a student is called: the name of a folder, on any machine, and a cell of a table.
_STUDENT = re.compile(r"\w[\w.@+-]*")
#: Characters of a name, and bytes: file systems allow 255 of these.
_LONGEST, _MOST_BYTES = 64, 200
#: Names of devices, which Windows gives to no folder, with or without a suffix.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))}
)
#: Suffixes of our own files in the folder of a class.
_OURS = (".csv", ".ipynb")
_SEED = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Place:
    """One lesson of one student.

    Attributes
    ----------
    student
        As the class list says.
    lesson
        Its number, as "05".
    seed
        Of the student's data.
    """

    student: str
    lesson: str
    seed: int

    @property
    def path(self) -> str:
        """Where the notebook lies in the folder of the class."""
        return f"{self.student}/{lesson(self.lesson).file}.ipynb"


def seed_of(class_seed: int, student: str) -> int:
    """Seed of a student: the same each time, and no neighbour's plus one.

    Examples
    --------
    >>> seed_of(2026, "ana"), seed_of(2026, "ben")
    (648916131, 932599147)
    """
    digest = hashlib.sha256(f"{class_seed}/{student}".encode()).digest()
    return 100_000_000 + int.from_bytes(digest[:8]) % 900_000_000


def name_fault(name: str) -> str | None:
    """Say why a student's name cannot be that of a folder; None if it can.

    Examples
    --------
    >>> name_fault("ana.lopez"), name_fault("roster.csv")
    (None, "must not end in .csv; got 'roster.csv'")
    """
    if not name:
        return "must not be empty"
    if not _STUDENT.fullmatch(name):
        return (
            "must consist of letters, digits and . @ + - _, and begin with a letter, a digit or _; "
            f"got {name[:_LONGEST]!r}"
        )
    if len(name) > _LONGEST or len(name.encode()) > _MOST_BYTES:
        return f"must have at most {_LONGEST} characters; got {len(name)}"
    folded = name.casefold()
    if folded.partition(".")[0] in _DEVICES:
        return f"must not be that of a device of Windows; got {name!r}"
    for ending in (".", *_OURS):
        if folded.endswith(ending):
            return f"must not end in {ending}; got {name!r}"
    return None


def folder_key(name: str) -> str:
    """Form of a name that is the same for names which some file system takes for one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def read_students(path: Path) -> list[str]:
    """Read the students of a class from the column ``student`` of a CSV file.

    Raises
    ------
    ArgumentError
        The file cannot be read; a name cannot be that of a folder, or two would be the same one.
    """
    students: dict[str, tuple[str, int]] = {}
    for line, row in _rows(path, ("student",)):
        name = unicodedata.normalize("NFC", row["student"].strip())
        if fault := name_fault(name):
            raise ArgumentError(f"{path}, line {line}: the student's name {fault}.")
        key = folder_key(name)
        if key in students:
            other, first = students[key]
            raise ArgumentError(
                f"{path}, line {line}: students' names must differ in more than case or the form "
                f"of their letters; got {name!r}, and {other!r} in line {first}."
            )
        students[key] = name, line
    if not students:
        raise ArgumentError(f"{path} must name at least one student; got none.")
    return [name for name, _ in students.values()]


def read_roster(path: Path) -> list[Place]:
    """Read a roster that :func:`write_roster` wrote.

    Raises
    ------
    ArgumentError
        It cannot be read, or a line of it is wrong.
    """
    places = []
    for line, row in _rows(path, [one.name for one in fields(Place)]):
        number = row["lesson"].strip().zfill(2)  # a spreadsheet takes 05 for 5
        student, seed = row["student"].strip(), row["seed"].strip()
        if number not in LESSONS or not _SEED.fullmatch(seed) or name_fault(student):
            raise ArgumentError(f"{path}, line {line}: must be as `synfin class assign` wrote it.")
        places.append(Place(student, number, int(seed)))
    return places


def write_roster(path: Path, places: Iterable[Place]) -> None:
    """Write a roster, in one step."""
    part = path.with_name(f".{path.name}.unfinished")
    with part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([one.name for one in fields(Place)])
        table.writerows(sorted(map(astuple, places)))
    part.replace(path)


def lessons_of(numbers: Iterable[str]) -> list[str]:
    """Numbers of lessons as the roster writes them, each once; all of them if none is given.

    Raises
    ------
    NotFoundError
        There is no such lesson.
    """
    chosen = [one.strip().zfill(2) for one in numbers]
    for one in chosen:
        if one not in LESSONS:
            raise NotFoundError("lesson", one, LESSONS)
    return sorted(set(chosen or LESSONS))


def _rows(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their line; a semicolon parts columns as well as a comma."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ArgumentError(f"{path} must be encoded in UTF-8; save it as UTF-8.") from None
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}.") from None
    head = text.partition("\n")[0]
    lines = io.StringIO(text, newline="")
    table = csv.DictReader(lines, delimiter=";" if ";" in head and "," not in head else ",")
    names = [name.strip() for name in table.fieldnames or ()]
    for column in columns:
        if column not in names:
            found = f"it has {', '.join(names)}" if names else "it is empty"
            raise ArgumentError(
                f"{path} must have the column {column!r} in its first line; {found}."
            )
    table.fieldnames = names
    try:
        for row in table:
            if any(row.values()):  # a spreadsheet leaves rows of separators
                yield table.line_num, {name: row.get(name) or "" for name in names}
    except csv.Error as error:
        raise ArgumentError(f"{path}, line {table.line_num}: {error}.") from None
