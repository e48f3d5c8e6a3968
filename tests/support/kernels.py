"""Run cells in a real Jupyter kernel, as JupyterLab does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[nbformat.NotebookNode], nbformat.NotebookNode]

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def open_kernel(folder: Path) -> Iterator[Run]:
    """Start a kernel with this working folder; yield a function that runs all cells of a notebook.

    Errors are raised.
    """
    names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")
    environment = {**os.environ, **dict.fromkeys(names, str(folder)), "PYTHONPATH": str(ROOT)}
    resources = {"metadata": {"path": str(folder)}}

    def connect(notebook: nbformat.NotebookNode, **kernel: Any) -> NotebookClient:
        return NotebookClient(
            notebook, timeout=250, kernel_name="python3", resources=resources, **kernel
        )

    first = connect(new_notebook())

    def run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        client = connect(notebook, km=first.km)
        client.kc = first.kc
        client.execute()
        return notebook

    with first.setup_kernel(env=environment):
        yield run


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a separate kernel with this working folder; errors are raised."""
    with open_kernel(folder) as run_in_kernel:
        return run_in_kernel(notebook)


def new_notebook(*cells: str) -> nbformat.NotebookNode:
    """Return a notebook with these code cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def display_of(*cells: str, folder: Path) -> list[dict[str, Any]]:
    """Run cells and return what the last one displays: by MIME type, or as a stream."""
    outputs = run(new_notebook(*cells), folder).cells[-1].outputs
    return [output.get("data", output) for output in outputs]
