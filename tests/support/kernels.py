"""Cells run in a real Jupyter kernel, as JupyterLab runs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a kernel of their own, whose folder is ``folder``; an error is raised."""
    names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")
    surroundings = {**os.environ, **dict.fromkeys(names, str(folder)), "PYTHONPATH": str(ROOT)}
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=250, kernel_name="python3", resources=resources)
    client.execute(env=surroundings)
    return notebook


def shown(*cells: str, folder: Path) -> list[dict[str, Any]]:
    """Run these cells, and give what the last one shows: by MIME type, or as a stream."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    outputs = run(notebook, folder).cells[-1].outputs
    return [output.get("data", output) for output in outputs]
