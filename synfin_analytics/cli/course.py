"""``synfin class`` and ``synfin notebooks``: the training material, for a class and for oneself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.cli._common import echo_table, echo_warning

_LESSONS = click.option(
    "--lesson",
    "lessons",
    multiple=True,
    metavar="NUMBER",
    help="Number of a lesson, such as 05. Repeatable. Default: all lessons.",
)


@click.group("class")
def course() -> None:
    """Assign exercises to a class and grade the submissions."""


@course.command()
def build() -> None:
    """Build notebooks/exercises from notebooks/solutions, in a checkout."""
    from synfin_analytics.course import build_notebooks

    for path, changed in build_notebooks():
        click.echo(f"{path.name}: {'written' if changed else 'unchanged'}")


@course.command()
@click.argument("students", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder of the class. Existing notebooks are kept.",
)
@_LESSONS
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the class, from which the students' seeds follow. Default: random.",
)
@click.option("--replace", is_flag=True, help="Replace existing notebooks, with students' work.")
def assign(
    students: Path, out: Path, lessons: tuple[str, ...], seed: int | None, replace: bool
) -> None:
    """Create exercise notebooks for each student in the CSV file STUDENTS.

    STUDENTS has a column "student" with short names or numbers. Each student gets a folder and
    different data. Keep the file roster.csv next to the folders: grading needs its seeds.
    """
    from synfin_analytics.course import assign_notebooks, read_students
    from synfin_analytics.course.roster import ROSTER

    names = read_students(students)
    assignment = assign_notebooks(names, out, lessons=lessons, seed=seed, replace=replace)
    for entry in assignment.kept:
        click.echo(f"unchanged: {out / entry.path}")
    n_notebooks = pluralize(len(assignment.written), "notebook")
    n_students = pluralize(len(names), "student")
    click.echo(
        f"{n_notebooks} for {n_students}, class seed {assignment.class_seed}; {out / ROSTER}"
    )


@course.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    default="grades.csv",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="CSV file of the grades.",
)
@_LESSONS
@click.option(
    "--roster",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Roster that `synfin class assign` wrote. Default: roster.csv in FOLDER.",
)
@click.option(
    "--time-limit",
    default=180.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Time after which a notebook is stopped.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of notebooks that run in parallel. Default: half the number of processors.",
)
@click.option("--overwrite", is_flag=True, help="Replace the CSV file if it exists.")
def grade(
    folder: Path,
    out: Path,
    lessons: tuple[str, ...],
    roster: Path | None,
    time_limit: float,
    jobs: int | None,
    overwrite: bool,
) -> None:
    """Grade the notebooks in the students' folders in FOLDER.

    Submitted code runs on your computer: docs/guide/teaching.md describes what it can access.
    """
    from synfin_analytics.course import grade_submissions

    gradebook = grade_submissions(
        folder,
        out,
        lessons=lessons,
        roster=roster,
        time_limit=time_limit,
        jobs=jobs,
        overwrite=overwrite,
    )
    headers, *rows = gradebook.summary()
    echo_table(headers, rows)
    for problem in gradebook.problems():
        click.echo(f"  {problem}")
    for path in gradebook.not_in_roster:
        echo_warning(f"not graded because it is not in the roster: {path}")
    if gradebook.was_modified or gradebook.path != out:
        echo_warning(f"modified by another program while notebooks ran, and rewritten: {out}")
    click.echo(f"{gradebook.path.resolve()}")


@click.command()
@click.argument(
    "folder",
    default="synfin-notebooks",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option("--overwrite", is_flag=True, help="Replace notebooks that have been edited.")
def notebooks(folder: Path, overwrite: bool) -> None:
    """Copy the training notebooks and exercises to FOLDER (default: synfin-notebooks).

    Existing notebooks that have been edited are kept and listed.
    """
    from synfin_analytics.course import copy_notebooks

    copied = copy_notebooks(folder, overwrite=overwrite)
    total = pluralize(len(copied), "notebook")
    click.echo(f"{total} in {folder.resolve()}, {len(copied.created)} of them new.")
    if copied.kept:
        click.echo(f"Kept because edited (use --overwrite to replace): {', '.join(copied.kept)}")
    if copied.replaced:
        click.echo(f"Replaced: {', '.join(copied.replaced)}")
    if find_spec("jupyterlab") is None:
        click.echo('JupyterLab is not installed: pip install "synfin-analytics[notebooks]"')
    click.echo(f"To open them: jupyter lab {click.format_filename(folder)}")
