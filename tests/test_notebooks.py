"""The notebooks run from top to bottom, and are stored as they should be."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from synfin_analytics import embedded

FOLDER = Path(__file__).parents[1] / "notebooks"


@pytest.fixture(params=sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str, list[str]]]:
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def test_there_are_notebooks():
    assert list(FOLDER.glob("*.ipynb"))


def test_a_notebook_is_stored_without_what_it_showed(path):
    notebook = nbformat.read(path, as_version=4)
    shown = [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
    assert not shown, f"clear the outputs: jupyter nbconvert --clear-output --inplace {path.name}"


def test_a_notebook_is_in_step_with_its_script(path):
    script = jupytext.read(path.with_suffix(".py"))
    assert cells(nbformat.read(path, as_version=4)) == cells(script), (
        f"run: jupytext --sync notebooks/{path.name}"
    )


def test_every_script_has_its_notebook():
    scripts = {one.stem for one in FOLDER.glob("*.py")}
    assert scripts == {one.stem for one in FOLDER.glob("*.ipynb")}


def test_a_notebook_runs_from_top_to_bottom(path, open_folder, tmp_path, monkeypatch):
    data = open_folder / "pg"
    monkeypatch.setenv("DB_DATA_DIR", str(data))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=250, kernel_name="python3", resources=resources).execute()
    embedded.stop(data, force=True)

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    warnings = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not warnings
    assert any("image/png" in output.get("data", {}) for output in outputs)
