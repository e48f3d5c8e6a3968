"""The notebooks in a real JupyterLab, in a real browser: what an analyst sees on the first day."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from browser import OUT, chromium
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_kernel
from lab import LabPage, jupyter_lab, own_folders
from servers import wait_until

from synfin_analytics.database import embedded

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
EXERCISES = "exercises/05_thresholds_and_costs.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The notebooks of an analyst, to write in."""
    folder = tmp_path_factory.mktemp("analyst")
    for path in [*NOTEBOOKS.glob("*.ipynb"), NOTEBOOKS / EXERCISES]:
        target = folder / path.relative_to(NOTEBOOKS)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return folder


@pytest.fixture(scope="module")
def lab(folder, tmp_path_factory):
    """JupyterLab on the notebooks, and the server of this run."""
    own = tmp_path_factory.mktemp("jupyter")
    path = {"PYTHONPATH": str(NOTEBOOKS.parent)}
    with jupyter_lab(folder, own, env=path) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, lab, server):
    """Open a notebook; the browser must have nothing to complain of in the end."""
    pages = []

    def opened(name):
        pages.append(LabPage(browser, lab, name))
        return pages[-1]

    yield opened
    for page in pages:
        close(page)


def close(page):
    """Close a page; the browser must have had nothing to complain of."""
    page.page.close()
    assert page.faults == []
    assert page.strangers == []


@pytest.fixture(scope="module")
def exercises(browser, lab, server):
    """The exercises of a lesson, run once without any answer."""
    notebook = LabPage(browser, lab, EXERCISES)
    notebook.run_all()
    yield notebook
    close(notebook)


def test_the_first_notebook_runs_to_its_end_and_shows_tables_and_pictures(opened, folder):
    notebook = opened("01_first_steps.ipynb")
    notebook.run_all()
    assert notebook.failed == []

    outputs = notebook.saved(folder / "01_first_steps.ipynb")
    faults = [out for out in outputs if out["output_type"] == "error"]
    warnings = [out for out in outputs if out.get("name") == "stderr"]
    assert (faults, warnings) == ([], [])
    tables = notebook.page.locator(".jp-OutputArea table")
    assert tables.count() >= 5
    notebook.picture(tables.first, OUT / "lab_table.png")
    assert tables.first.locator("tbody tr").count() == 5
    pictures = notebook.page.locator(".jp-OutputArea img")
    assert pictures.count() >= 3
    notebook.picture(pictures.first, OUT / "lab_plot.png")
    for picture in pictures.all():
        width, height = picture.evaluate("one => [one.naturalWidth, one.naturalHeight]")
        assert min(width, height) > 300


def test_an_exercise_explains_what_is_wrong_and_then_confirms_the_answer(exercises):
    notebook = exercises
    cell = notebook.cell('check("05.1"')
    result = cell.get_by_role("status")
    assert "There is no answer yet" in result.inner_text()

    notebook.answer(cell, "budget_threshold = 0.5\n" + 'check("05.1", budget_threshold)')
    notebook.picture(result, OUT / "lab_wrong.png")
    head, words, progress = result.locator("strong, p").all_inner_texts()
    assert "05.1 not passed yet" in head
    assert words.endswith(".")
    assert "0 of 5" in progress

    notebook.answer(cell, solution("05.1"))
    notebook.picture(result, OUT / "lab_right.png")
    head, _, progress = result.locator("strong, p").all_inner_texts()
    assert "05.1 passed" in head
    assert "1 of 5" in progress


def solution(exercise):
    """What a student types who knows it."""
    script = jupytext.read(NOTEBOOKS / "solutions" / f"{Path(EXERCISES).stem}.py")
    (source,) = [cell.source for cell in script.cells if cell.metadata.get("exercise") == exercise]
    return source


def test_a_verdict_can_be_read_by_day_and_by_night(exercises):
    """WCAG asks for a contrast of 4.5 of texts, and of 3 of the stripe beside them."""
    results = exercises.page.get_by_role("status")
    days = [results.nth(number).evaluate(CONTRASTS) for number in (0, 1)]
    exercises.darken()
    exercises.picture(results.last, OUT / "lab_dark.png")
    nights = [results.nth(number).evaluate(CONTRASTS) for number in (0, 1)]
    for _, text, stripe in (*days, *nights):
        assert text >= 4.5
        assert stripe >= 3
    assert all(day[0] > 0.9 for day in days)
    assert all(night[0] < 0.1 for night in nights)


#: How light the paper below an element is, and the contrast of its text and of its left border.
CONTRASTS = """one => {
  const channel = c => c <= 10 ? c / 3294.6 : ((c / 255 + .055) / 1.055) ** 2.4;
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
    return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  };
  let under = one;
  while (/, 0\\)$/.test(getComputedStyle(under).backgroundColor)) under = under.parentElement;
  const paper = light(getComputedStyle(under).backgroundColor);
  const contrast = colour => {
    const ink = light(colour);
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
  };
  const style = getComputedStyle(one);
  return [paper, contrast(style.color), contrast(style.borderLeftColor)];
}"""


EXPLORE = """
import numpy as np
from synfin_analytics import evaluate
generator = np.random.default_rng(0)
fraud = generator.random(3_000) < 0.05
score = np.clip(generator.normal(0.1 + 0.3 * fraud, 0.12), 0, 1).round(3)
model = evaluate(fraud, score, amount=generator.gamma(2, 30, 3_000), threshold=0.4)
explorer = model.explore(cost_per_alert=5, currency="EUR")
explorer
"""


def test_an_evaluation_is_explored_in_a_notebook_and_the_kernel_knows_what_is_selected(
    opened, folder
):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (EXPLORE.strip(), "# read", "# move")]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, folder / "explore.ipynb")
    notebook = opened("explore.ipynb")
    first = notebook.cell("evaluate(fraud")
    first.locator(".cm-content").click()
    notebook.page.keyboard.press("Shift+Enter")
    slider = notebook.page.get_by_label("Threshold: drag")
    slider.wait_for()
    notebook.wait_until_idle()
    assert slider.get_attribute("aria-valuetext").startswith("threshold 0.4")

    slider.press("PageDown")
    notebook.picture(notebook.page.locator(".explorer"), OUT / "lab_explorer.png")
    selected = notebook.page.locator(".explorer").get_attribute("data-threshold")
    assert float(selected) < 0.4
    show = "read = explorer.threshold; print(read, model.at_threshold(read).alerts)"
    notebook.answer(notebook.page.locator(".jp-CodeCell").nth(1), show)
    output = notebook.cell("print(").locator(".jp-OutputArea-output")
    said, alerts = output.inner_text().split()
    assert float(said) == float(selected)
    shown = notebook.page.locator("[data-result=daily] b").inner_text()
    assert int(shown.replace(",", "")) == int(alerts)

    notebook.answer(notebook.page.locator(".jp-CodeCell").nth(2), "explorer.threshold = 0.25")
    # The results are those of the lowest score that is an alert.
    notebook.page.wait_for_function(
        "() => document.querySelector('.explorer').dataset.threshold.startsWith('0.25')"
    )
    notebook.darken()
    notebook.picture(notebook.page.locator(".explorer .charts"), OUT / "lab_explorer_dark.png")


def test_when_jupyterlab_ends_so_do_its_kernels_and_their_database(tmp_path, browser, open_folder):
    data = open_folder / "pg"
    shutil.copy(NOTEBOOKS / "01_first_steps.ipynb", tmp_path)
    env = {"PYTHONPATH": str(NOTEBOOKS.parent), "DB_DATA_DIR": str(data)}
    with jupyter_lab(tmp_path, tmp_path / "own", env=env) as address:
        notebook = LabPage(browser, address, "01_first_steps.ipynb")
        cell = notebook.cell("manager = get_db_manager(config)")
        for part in (notebook.cell("import os"), cell):
            part.locator(".cm-content").click()
            notebook.page.keyboard.press("Control+Enter")
        notebook.wait_until_idle()
        wait_until(lambda: embedded.status(data).running, "the notebook's server runs")
        notebook.page.close()
    wait_until(lambda: not embedded.status(data).running, "the server has stopped")


def kernel_command(file):
    """What is said, or done, to make the environment a kernel of any JupyterLab."""
    text = (NOTEBOOKS.parent / file).read_text(encoding="utf-8")
    (command,) = re.findall(r"^\s*\S+ (-m ipykernel install .*)$", text, re.MULTILINE)
    return shlex.split(command)


def test_the_kernel_that_is_registered_is_this_environment(tmp_path, monkeypatch):
    """It imports the package wherever JupyterLab was started, and whatever Python that runs on."""
    for name, folder in own_folders(tmp_path).items():
        monkeypatch.setenv(name, folder)
    monkeypatch.chdir(tmp_path)
    subprocess.run(
        [sys.executable, *kernel_command("docs/guide/jupyter.md")], check=True, capture_output=True
    )

    spec = KernelSpecManager().get_kernel_spec("synfin")
    assert spec.display_name == "Python (synfin)"
    assert spec.argv[0] == sys.executable  # and not "python", which is whatever comes first
    manager, client = start_new_kernel(kernel_name="synfin", cwd=str(tmp_path))
    try:
        reply = client.execute_interactive("import synfin_analytics", timeout=120)
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_make_registers_the_kernel_as_it_is_documented():
    assert kernel_command("Makefile") == kernel_command("docs/guide/jupyter.md")
