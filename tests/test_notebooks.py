"""The notebooks: ten lessons in order, in step with their scripts, and running to their end."""

from __future__ import annotations

import itertools
import json
import re
import runpy
from pathlib import Path

import jupytext
import nbformat
import pytest
from kernels import new_notebook, open_kernel, run
from lesson_figures import FIGURES, GIVEN, NUMBER, Figure, prose

FOLDER = Path(__file__).parents[1] / "notebooks"
LESSONS = [
    "01_first_steps",
    "02_fraud_patterns",
    "03_features_and_leakage",
    "04_train_and_evaluate",
    "05_thresholds_and_costs",
    "06_comparing_models_and_groups",
    "07_model_report",
    "08_more_than_one_machine",
    "09_label_maturity",
    "10_rules_and_alerts",
]
#: A cell that calls one of these shows a picture.
DRAWS = re.compile(r"^\s*(picture = plot_|plt\.show\(|draw_victims\(|plot_groups\()", re.MULTILINE)
#: Leaves the next lesson nothing of the one before but what it imported.
FORGET = """
import matplotlib.pyplot
from synfin_analytics import get_db_manager
matplotlib.pyplot.close("all")
get_db_manager().close()
get_ipython().run_line_magic("unload_ext", "synfin_analytics")
get_ipython().reset(new_session=False)
"""


@pytest.fixture(params=LESSONS)
def path(request: pytest.FixtureRequest) -> Path:
    return FOLDER / f"{request.param}.ipynb"


@pytest.fixture(scope="module")
def build_script() -> dict[str, object]:
    return runpy.run_path(str(FOLDER / "make.py"))


def source(path: Path) -> list[nbformat.NotebookNode]:
    cells: list[nbformat.NotebookNode] = jupytext.read(path.with_suffix(".py")).cells
    return cells


def test_each_lesson_has_a_script_a_notebook_and_exercises():
    for folder, ending in ((FOLDER, "py"), (FOLDER, "ipynb"), (FOLDER / "exercises", "ipynb")):
        assert sorted(file.stem for file in folder.glob(f"[0-9]*.{ending}")) == LESSONS


def test_the_readme_lists_the_lessons_in_order():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\d\d_\w+)\.ipynb\)", text) == LESSONS


def test_a_notebook_is_built_from_its_script(path, build_script):
    stored = path.read_text(encoding="utf-8")
    assert stored == build_script["build_lesson"](path.with_suffix(".py")), "run: make notebooks"


def test_a_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


def test_a_notebook_is_paired_with_its_script(path):
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.jupytext.formats == "ipynb,py:percent"
    assert metadata.kernelspec.name == "python3"


def test_a_notebook_introduces_its_subject_before_the_first_exercise(path):
    first, *cells = source(path)
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert re.search(r"(twenty\s+minutes|quarter\s+of\s+an\s+hour)", first.source)
    heads = [line for cell in cells for line in cell.source.split("\n") if line.startswith("## ")]
    assert heads[-2:] == ["## Your turn", "## Tidy up"]
    assert not [cell for cell in cells if not cell.source.strip()]


def test_an_explanation_follows_each_plot(path):
    cells = source(path)
    last = next(n for n, cell in enumerate(cells) if cell.source.startswith("## Your turn"))
    for cell, after in itertools.pairwise(cells[: last + 1]):
        if cell.cell_type == "code" and DRAWS.search(cell.source):
            assert after.source.startswith("**What to see.**"), cell.source


def test_each_notebook_has_its_own_database():
    names = [
        re.findall(r'database="(\w+)"', (FOLDER / f"{lesson}.py").read_text(encoding="utf-8"))
        for lesson in LESSONS
    ]
    flat = [name for group in names for name in group]
    assert all(names)
    assert len(set(flat)) == len(flat)


def stream_text(notebook: nbformat.NotebookNode, stream: str) -> str:
    """What the cells of a notebook wrote to a stream."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.get("name") == stream)


def values(figures: list[Figure]) -> str:
    """Source of a list of what the figures' expressions give."""
    return ", ".join(f"({figure.value})" for figure in figures)


def assert_figures(figures: list[Figure], cell: nbformat.NotebookNode) -> None:
    """Every figure of the text is that of the data."""
    printed = [output.text for output in cell.outputs if output.output_type == "stream"]
    computed = json.loads("".join(printed))
    wrong = [
        f"{figure.words!r}: {value:.5g} is not from {figure.low} to {figure.high}"
        for figure, value in zip(figures, computed, strict=True)
        if not figure.low <= value <= figure.high
    ]
    assert not wrong


@pytest.mark.parametrize("name", LESSONS)
def test_every_number_in_the_text_of_a_lesson_is_computed_or_defined(name):
    cells = [cell for cell in source(FOLDER / f"{name}.ipynb") if cell.cell_type == "markdown"]
    turn = next(n for n, cell in enumerate(cells) if cell.source.startswith("## Your turn"))
    text = prose([cell.source for cell in cells[1:turn]])
    phrases = [*(figure.words for figure in FIGURES[name]), *GIVEN[name]]
    assert [phrase for phrase in phrases if phrase not in text] == []
    for phrase in phrases:
        text = text.replace(phrase, " … ")
    unexplained = [text[max(0, n.start() - 60) : n.end() + 30] for n in NUMBER.finditer(text)]
    assert not unexplained


@pytest.fixture(scope="module")
def home(tmp_path_factory, server):
    """Where notebooks work; the embedded server is the worker's."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def run_lesson(home):
    """Run a lesson in the kernel of all lessons, which imports the packages only once.

    The first lesson was begun there and not finished, so its tables have rows already.
    """
    with open_kernel(home) as run_in_kernel:

        def run_lesson(notebook):
            run_in_kernel(new_notebook(FORGET))
            run_in_kernel(notebook)

        first = nbformat.read(FOLDER / f"{LESSONS[0]}.ipynb", as_version=4)
        run_lesson(nbformat.from_dict({**first, "cells": first.cells[:8]}))
        yield run_lesson


def test_a_notebook_runs_from_top_to_bottom_without_a_warning(path, run_lesson):
    notebook = nbformat.read(path, as_version=4)
    figures = FIGURES[path.stem]
    computed = f"import json\nprint(json.dumps([float(value) for value in [{values(figures)}]]))"
    tidy = next(n for n, cell in enumerate(notebook.cells) if cell.source.startswith("## Tidy up"))
    notebook.cells.insert(tidy, nbformat.v4.new_code_cell(computed))
    run_lesson(notebook)
    assert not stream_text(notebook, "stderr")
    assert_figures(figures, notebook.cells[tidy])
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        if cell.cell_type == "code" and DRAWS.search(cell.source):
            assert [output for output in outputs if "image/png" in output.get("data", {})], (
                cell.source
            )
    assert "DIFFERENT" not in stream_text(notebook, "stdout")


def test_the_lesson_on_machines_runs_without_java(home, tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    notebook = run(nbformat.read(FOLDER / "08_more_than_one_machine.ipynb", as_version=4), home)
    printed = stream_text(notebook, "stdout")
    assert "Spark or Java is not installed" in printed
    assert "Dask: equal" in printed
    assert "Spark: " not in printed
