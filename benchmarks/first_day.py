"""Time of a newcomer's first steps: `make demo`, and the first notebook.

    python benchmarks/first_day.py [demo | notebook | all]

The demo runs in a fresh clone of this checkout and includes creating .venv. An untimed run comes
first, so that pip has the packages in its cache. Then the report is opened in Chromium. The
notebook is run from top to bottom in a fresh database.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from _place import own_folder

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def demo(folder: Path) -> dict[str, float]:
    """Seconds of `make demo` and of its report, with and without creating .venv."""
    clone = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    _make(clone)
    again = _seconds(lambda: _make(clone))
    shutil.rmtree(clone / ".venv")
    first = _seconds(lambda: _make(clone))
    display = _seconds(lambda: _show(clone / "out" / "demo" / "model_report.html"))
    return {
        "make demo, from a clone to the report on screen": first + display,
        "make demo, again": again + display,
    }


def notebook(folder: Path) -> dict[str, float]:
    """Seconds of the first notebook, including the start of its kernel."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(ROOT / "notebooks" / "01_first_steps.ipynb", as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(book, kernel_name="python3", resources=resources)
    return {"the first notebook, from top to bottom": _seconds(client.execute)}


def _make(clone: Path) -> None:
    subprocess.run(
        ["make", "demo", f"PYTHON={sys.executable}"], cwd=clone, check=True, stdout=sys.stderr
    )


def _show(page: Path) -> None:
    """Open a page in a browser, and wait until all of it has been drawn."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.as_uri(), wait_until="load")
        tab.screenshot(full_page=True)
        browser.close()


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@click.command()
@click.argument("selection", type=click.Choice(["demo", "notebook", "all"]), default="all")
def main(selection: str) -> None:
    """Measure in temporary folders, without changing the user's files."""
    rows: dict[str, float] = {}
    for part in (demo, notebook):
        if selection in (part.__name__, "all"):
            with own_folder(), tempfile.TemporaryDirectory() as folder:
                rows |= part(Path(folder))
    click.echo("| | seconds |\n| --- | ---: |")
    for label, seconds in rows.items():
        click.echo(f"| {label} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
