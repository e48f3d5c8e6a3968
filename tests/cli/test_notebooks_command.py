"""``synfin notebooks``: the training notebooks, for those who have no checkout."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from synfin_analytics.cli import main

SOURCE = Path(__file__).parents[2] / "notebooks"
FIRST = "01_first_steps.ipynb"


def synfin_notebooks(*arguments, code=0):
    command = ["notebooks", *map(str, arguments)]
    result = CliRunner().invoke(main, command, prog_name="synfin")
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def folder(tmp_path):
    """Notebooks that were laid out."""
    synfin_notebooks(tmp_path / "mine")
    return tmp_path / "mine"


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_all_notebooks_and_exercises_are_laid_out_and_nothing_else(folder):
    assert names(folder) == {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert f"exercises/{FIRST}" in names(folder)


def test_a_notebook_has_the_cells_of_the_one_in_the_checkout(folder):
    original, copied = (nbformat.read(source / FIRST, as_version=4) for source in (SOURCE, folder))
    assert copied.cells == original.cells


def test_saving_a_notebook_that_was_laid_out_writes_no_script_beside_it(folder):
    assert "jupytext" in nbformat.read(SOURCE / FIRST, as_version=4).metadata
    for path in folder.rglob("*.ipynb"):
        assert "jupytext" not in nbformat.read(path, as_version=4).metadata


def test_it_says_where_they_are_and_how_to_open_them(tmp_path):
    output = synfin_notebooks(tmp_path / "mine")
    assert f"notebooks in {tmp_path / 'mine'}" in output
    assert f"jupyter lab {tmp_path / 'mine'}" in output
    assert find_spec("jupyterlab")
    assert "pip install" not in output


def test_without_jupyterlab_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert 'pip install "synfin-analytics[notebooks]"' in synfin_notebooks(tmp_path / "mine")


def test_without_a_folder_they_go_into_one_beside_where_you_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synfin_notebooks()
    assert (tmp_path / "synfin-notebooks" / FIRST).is_file()


def test_a_notebook_that_was_changed_is_left_alone_and_named(folder):
    (folder / FIRST).write_text("my work")
    (folder / "exercises" / FIRST).unlink()
    output = synfin_notebooks(folder)
    assert (folder / FIRST).read_text() == "my work"
    assert (folder / "exercises" / FIRST).is_file()
    assert f"Kept because edited (use --overwrite to replace): {FIRST}" in output
    assert "1 of them new" in output


def test_a_notebook_is_replaced_on_demand_and_named(folder):
    (folder / FIRST).write_text("my work")
    output = synfin_notebooks(folder, "--overwrite")
    assert nbformat.read(folder / FIRST, as_version=4).cells
    assert f"Replaced: {FIRST}" in output
    assert "Kept" not in output


def test_notebooks_that_are_as_they_came_are_not_spoken_of(folder):
    output = synfin_notebooks(folder)
    assert "0 of them new" in output
    assert "Kept" not in output
    assert "Replaced" not in output


@pytest.mark.parametrize("folder", [SOURCE, SOURCE.parent])
def test_the_place_where_they_come_from_is_refused(folder):
    assert "must not be the source of the notebooks" in synfin_notebooks(folder, code=1)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "mine").write_text("")
    assert "is a file" in synfin_notebooks(tmp_path / "mine", code=2)
