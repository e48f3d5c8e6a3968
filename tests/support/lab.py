"""JupyterLab for tests: a real server, and its page in a browser.

python tests/support/lab.py PROGRAM FOLDER NOTEBOOK runs a notebook in the JupyterLab of any
environment (PROGRAM is its `jupyter-lab`), and fails if a cell fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser, Locator, Page

#: Timeout for a busy machine.
PATIENCE = 240_000  # ms
#: An error in the output of a cell.
FAULT = '[data-mime-type="application/vnd.jupyter.error"]'
#: No news or updates, so that nothing is requested from the network. No buttons of jupysql:
#: `%sql` does not need them, and they report errors in notebooks without SQL cells.
_SETTINGS = {
    "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "labconfig/page_config.json": {"disabledExtensions": {"jupysql-plugin": True}},
}


def own_folders(folder: Path) -> dict[str, str]:
    """Return an environment in which Jupyter uses folders below ``folder``, not the user's."""
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    return {name: str(folder / below) for name, below in names.items()}


@contextlib.contextmanager
def jupyter_lab(
    notebooks: Path,
    own: Path,
    *,
    command: Sequence[str] = (sys.executable, "-m", "jupyterlab", "--allow-root"),
    env: dict[str, str] | None = None,
    **process: Any,
) -> Iterator[str]:
    """Start JupyterLab on a free port, yield its address with the token, and end it afterwards.

    Parameters
    ----------
    notebooks
        Folder with the notebooks.
    own
        Folder for its settings and its output.
    command
        Command that starts JupyterLab.
    env
        Additional environment variables.
    process
        Additional arguments of the process, such as another user.
    """
    for name, values in _SETTINGS.items():
        path = own / "config" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    output = own / "output.txt"
    with output.open("w") as log:
        lab = subprocess.Popen(
            [*command, "--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
             f"--ServerApp.root_dir={notebooks}", "--LabApp.extension_manager=readonly"],
            env={**os.environ, **own_folders(own), **(env or {})},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **process,
        )  # fmt: skip
    try:
        servers.wait_until(
            lambda: lab.poll() is not None or bool(_running(own)), "JupyterLab is there"
        )
        assert lab.poll() is None, output.read_text()
        (server,) = _running(own)
        yield f"{server['url']}lab?token={server['token']}"
    finally:
        lab.terminate()  # it ends its kernels first
        lab.wait(timeout=60)


def _running(own: Path) -> list[dict[str, Any]]:
    """Return the information that servers write as soon as they listen."""
    running = []
    for path in (own / "runtime").glob("jpserver-*.json"):
        with contextlib.suppress(ValueError):  # it is just being written
            running.append(json.loads(path.read_text()))
    return running


class LabPage:
    """A notebook, open in JupyterLab in a browser."""

    def __init__(self, browser: Browser, address: str, notebook: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 960})
        self.page.set_default_timeout(PATIENCE)
        self.requested: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(address.replace("/lab?", f"/lab/tree/{notebook}?reset&"))
        self.wait_until_idle()

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def wait_until_idle(self) -> None:
        """Wait until the kernel is connected and idle."""
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
        status = self.page.locator("#jp-main-statusbar")
        status.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    def run_all(self) -> None:
        """Run all cells from the menu, and wait until all have run or one has failed."""
        self.menu("Run", "Run All Cells")
        self.page.wait_for_function(
            """fault => document.querySelector(fault)
            || [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]
            .every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent.trim()))""",
            arg=FAULT,
        )
        self.wait_until_idle()

    def menu(self, *path: str) -> None:
        """Choose from the menu bar."""
        bar, *items = path
        self.page.locator(".lm-MenuBar-itemLabel").get_by_text(bar, exact=True).click()
        for item in items:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()

    def darken(self) -> None:
        """Select the dark theme."""
        self.menu("Settings", "Theme", "JupyterLab Dark")
        self.page.locator('body[data-jp-theme-light="false"]').wait_for(state="attached")
        self.page.wait_for_function(
            "() => getComputedStyle(document.querySelector('.jp-Notebook')).color.includes('255')"
        )

    def cell(self, text: str) -> Locator:
        """Return the code cell whose source contains this text."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(
            has=self.page.locator(".cm-content").filter(has_text=text)
        )

    def answer(self, cell: Locator, lines: str) -> None:
        """Replace the source of a cell, run it, and wait until it has run."""
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.text_content()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(lines)
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            """([prompt, before]) => prompt.textContent != before
            && /\\d/.test(prompt.textContent)""",
            arg=[prompt.element_handle(), before],
        )
        self.wait_until_idle()

    def saved(self, path: Path) -> list[dict[str, Any]]:
        """Save the notebook and return the outputs in its file."""
        with self.page.expect_response(
            lambda answer: answer.request.method == "PUT" and path.name in answer.url
        ):
            self.page.keyboard.press("ControlOrMeta+S")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [output for cell in cells for output in cell.get("outputs", [])]

    def picture(self, element: Locator, path: Path) -> None:
        """Scroll an element into view and save a screenshot."""
        element.scroll_into_view_if_needed()
        self.page.screenshot(path=path)

    @property
    def strangers(self) -> list[str]:
        """Addresses outside this machine that the page requested."""
        requested = [url for url in self.requested if re.match(r"(https?|wss?):", url)]
        return [url for url in requested if urlsplit(url).hostname != "127.0.0.1"]

    @property
    def failed(self) -> list[str]:
        """The errors of cells."""
        return self.page.locator(FAULT).all_inner_texts()


def main(program: str, folder: str, notebook: str) -> None:
    """Run a notebook in the JupyterLab of another environment."""
    from browser import chromium

    with (
        tempfile.TemporaryDirectory() as own,
        jupyter_lab(Path(folder), Path(own), command=[program, "--allow-root"]) as address,
        chromium() as browser,
    ):
        page = LabPage(browser, address, notebook)
        page.run_all()
        if page.failed:
            raise SystemExit("\n".join(page.failed))
    print(f"{notebook}: all cells have run in {program}")


if __name__ == "__main__":
    main(*sys.argv[1:])
