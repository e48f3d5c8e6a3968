"""Run cells in a real Jupyter kernel, as JupyterLab does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a separate kernel with this working folder; errors are raised."""
    names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")
    environment = {**os.environ, **dict.fromkeys(names, str(folder)), "PYTHONPATH": str(ROOT)}
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=250, kernel_name="python3", resources=resources)
    client.execute(env=environment)
    return notebook


def display_of(*cells: str, folder: Path) -> list[dict[str, Any]]:
    """Run cells and return what the last one displays: by MIME type, or as a stream."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells]
    )
    outputs = run(notebook, folder).cells[-1].outputs
    return [output.get("data", output) for output in outputs]
