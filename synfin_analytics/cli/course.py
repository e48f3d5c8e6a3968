"""``synfin class``: give a class its exercises, and mark what comes back."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from synfin_analytics._core.formatting import join_words, pluralize
from synfin_analytics.cli._output import echo_table
from synfin_analytics.course.session import PASSED
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from synfin_analytics.course._grading import Mark, Marks, Returned
    from synfin_analytics.course._roster import Place
    from synfin_analytics.course._runner import Limits

_LESSONS = click.option(
    "--lesson",
    "lessons",
    multiple=True,
    metavar="NUMBER",
    help="Only this lesson, as 05. Repeat as needed; without it, all of them.",
)


@click.group("class")
def classroom() -> None:
    """Give a class its exercises, and mark what comes back."""


@classroom.command()
def build() -> None:
    """Make notebooks/exercises from notebooks/solutions, in a checkout."""
    from synfin_analytics.course._notebooks import build_all

    for path, changed in build_all():
        click.echo(f"{path.name}: {'written' if changed else 'unchanged'}")


@classroom.command()
@click.argument("students", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder of the class. What it holds already is kept.",
)
@_LESSONS
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the class, from which the students' own follow [drawn].",
)
@click.option("--replace", is_flag=True, help="Write anew what is there, students' work included.")
def assign(
    students: Path, out: Path, lessons: tuple[str, ...], seed: int | None, replace: bool
) -> None:
    """Give each student in the CSV file STUDENTS notebooks of exercises on data of their own.

    STUDENTS has a column student, of short names or numbers. Each gets a folder; roster.csv beside
    them tells the seeds, and is needed to mark.
    """
    from synfin_analytics.course._assign import give as give_out
    from synfin_analytics.course._roster import ROSTER, read_students

    names = read_students(students)
    given = give_out(names, out, lessons=lessons, seed=seed, replace=replace)
    for one in given.kept:
        click.echo(f"unchanged: {out / one.path}")
    click.echo(
        f"{pluralize(len(given.written), 'notebook')} for {pluralize(len(names), 'student')}, "
        f"class seed {given.class_seed}; {out / ROSTER}"
    )


@classroom.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    default="grades.csv",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the table goes.",
)
@_LESSONS
@click.option(
    "--roster",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What `synfin class assign` wrote [roster.csv in FOLDER].",
)
@click.option(
    "--time-limit",
    default=180.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="After which a notebook is stopped.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Notebooks that run at a time [half as many as there are processors].",
)
@click.option("--overwrite", is_flag=True, help="Replace the table if it is there.")
def grade(
    folder: Path,
    out: Path,
    lessons: tuple[str, ...],
    roster: Path | None,
    time_limit: float,
    jobs: int | None,
    overwrite: bool,
) -> None:
    """Mark the notebooks in the students' folders in FOLDER, and write a table of the marks.

    Returned code runs on your computer: docs/teaching.md says what is contained and what is not.
    """
    from synfin_analytics.course._grading import Marks, collect
    from synfin_analytics.course._notebooks import optional
    from synfin_analytics.course._roster import ROSTER, lessons_of, read_roster
    from synfin_analytics.course._runner import Limits
    from synfin_analytics.course._submissions import unexpected

    optional("IPython", "Marking notebooks")
    if out.exists() and not overwrite:
        raise ArgumentError(f"{str(out)!r} exists; use --overwrite to replace it.")
    if not out.parent.is_dir():
        raise ArgumentError(f"The folder of --out must exist; got {str(out.parent)!r}.")
    everything = read_roster(roster or folder / ROSTER)
    wanted = lessons_of(lessons)
    places = [one for one in everything if one.lesson in wanted]
    if not places:
        raise ArgumentError(f"No student has lesson {join_words(wanted)} in the roster.")
    for name in unexpected(folder, everything):
        click.echo(f"not marked, since it is not in the roster: {folder / name}", err=True)
    # All are read before the first one runs: no notebook can change another.
    returned = [collect(folder, one) for one in places]
    marks = Marks(out)
    limits = Limits(time_limit)
    _mark_all(returned, everything, limits, jobs or max(1, (os.cpu_count() or 2) // 2), marks)
    _summarise(marks.marks)
    if marks.changed or marks.path != out:
        click.echo(
            f"changed by another program while notebooks ran, and rewritten: {out}", err=True
        )
    click.echo(f"{marks.path.resolve()}")


def _mark_all(
    returned: list[Returned], roster: list[Place], limits: Limits, jobs: int, marks: Marks
) -> None:
    """Mark several at a time; the table has them in the roster's order."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    from synfin_analytics.course import _grading as marking

    stop = Event()
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(marking.mark, one, limits, stop, roster) for one in returned]
        try:
            for one in tqdm(running, "notebooks", unit="", disable=None):
                marks.add(one.result())
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _summarise(marks: Sequence[Mark]) -> None:
    """Print a line for each student: what they passed of each lesson."""
    total = Counter((one.student, one.lesson) for one in marks)
    passed = Counter((one.student, one.lesson) for one in marks if one.passed)
    lessons = sorted({number for _, number in total})
    rows = [
        [
            student,
            *(
                f"{passed[student, number]}/{total[student, number]}"
                if total[student, number]
                else ""
                for number in lessons
            ),
            str(sum(passed[student, number] for number in lessons)),
        ]
        for student in dict.fromkeys(student for student, _ in total)
    ]
    echo_table(["student", *lessons, "passed"], rows)
    for line in _told(marks):
        click.echo(f"  {line}")


def _told(marks: Sequence[Mark]) -> Iterator[str]:
    """Say of each notebook why none of its answers could be judged."""
    from synfin_analytics.course._grading import NOT_RETURNED

    words: dict[str, dict[str, set[str]]] = {}
    for one in marks:
        words.setdefault(one.student, {}).setdefault(one.lesson, set()).add(one.words)
    for student, lessons in words.items():
        if all(said == {NOT_RETURNED} for said in lessons.values()):
            yield f"{student}: nothing returned"
            continue
        for number, said in lessons.items():
            if len(said) == 1 and said != {PASSED}:
                yield f"{student}, lesson {number}: {next(iter(said))}"
