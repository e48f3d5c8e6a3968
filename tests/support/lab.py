"""JupyterLab for tests: a real server, and its page in a browser as an analyst sees it.

python tests/support/lab.py PROGRAM FOLDER NOTEBOOK runs a notebook in the JupyterLab of any
environment (PROGRAM is its `jupyter-lab`), and fails if one of them fails.
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

#: Longer than anything here takes, on the busiest machine.
PATIENCE = 240_000  # ms
#: What went wrong in a cell.
FAULT = '[data-mime-type="application/vnd.jupyter.error"]'
#: No question about news, and no look for updates: nothing is asked of the network.
#: Nor jupysql's buttons: `%sql` does without, and they complain where a notebook has no SQL cells.
_SETTINGS = {
    "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "labconfig/page_config.json": {"disabledExtensions": {"jupysql-plugin": True}},
}


def own_folders(folder: Path) -> dict[str, str]:
    """Environment in which Jupyter keeps to folders below ``folder``, away from the user's."""
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
    """Start JupyterLab on a free port; give its address with the token, and end it afterwards.

    Parameters
    ----------
    notebooks
        Folder that it shows.
    own
        Folder for its settings and for what it says.
    command
        That starts it.
    env
        More of the environment.
    process
        More for the process: another user, say.
    """
    for name, values in _SETTINGS.items():
        path = own / "config" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    said = own / "said.txt"
    with said.open("w") as log:
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
        assert lab.poll() is None, said.read_text()
        (one,) = _running(own)
        yield f"{one['url']}lab?token={one['token']}"
    finally:
        lab.terminate()  # it ends its kernels first
        lab.wait(timeout=60)


def _running(own: Path) -> list[dict[str, Any]]:
    """What servers say of themselves as soon as they listen."""
    found = []
    for path in (own / "runtime").glob("jpserver-*.json"):
        with contextlib.suppress(ValueError):  # it is just being written
            found.append(json.loads(path.read_text()))
    return found


class LabPage:
    """A notebook, open in JupyterLab in a browser."""

    def __init__(self, browser: Browser, address: str, notebook: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 960})
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(address.replace("/lab?", f"/lab/tree/{notebook}?reset&"))
        self.wait_until_idle()

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def wait_until_idle(self) -> None:
        """Wait until the kernel is connected, and has nothing to do."""
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
        status = self.page.locator("#jp-main-statusbar")
        status.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    def run_all(self) -> None:
        """Run all cells by the menu, and wait until each has been run, or one has failed."""
        self.menu("Run", "Run All Cells")
        self.page.wait_for_function(
            """fault => document.querySelector(fault)
            || [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]
            .every(one => /^\\[\\d+\\]:$/.test(one.textContent.trim()))""",
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
        """Choose the colours of the night."""
        self.menu("Settings", "Theme", "JupyterLab Dark")
        self.page.locator('body[data-jp-theme-light="false"]').wait_for(state="attached")
        self.page.wait_for_function(
            "() => getComputedStyle(document.querySelector('.jp-Notebook')).color.includes('255')"
        )

    def cell(self, text: str) -> Locator:
        """The one code cell whose source has this text."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(
            has=self.page.locator(".cm-content").filter(has_text=text)
        )

    def answer(self, cell: Locator, lines: str) -> None:
        """Type lines in place of what stands in a cell, run it, and wait until it has run."""
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
        """Save the notebook, and give the outputs that its file then holds."""
        with self.page.expect_response(
            lambda answer: answer.request.method == "PUT" and path.name in answer.url
        ):
            self.page.keyboard.press("ControlOrMeta+S")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [output for cell in cells for output in cell.get("outputs", [])]

    def picture(self, shown: Locator, path: Path) -> None:
        """Bring something into view, and make a picture of the window."""
        shown.scroll_into_view_if_needed()
        self.page.screenshot(path=path)

    @property
    def strangers(self) -> list[str]:
        """Addresses outside of this machine that the page asked for."""
        asked = [url for url in self.asked if re.match(r"(https?|wss?):", url)]
        return [url for url in asked if urlsplit(url).hostname != "127.0.0.1"]

    @property
    def failed(self) -> list[str]:
        """What cells that failed have said."""
        return self.page.locator(FAULT).all_inner_texts()


def main(program: str, folder: str, notebook: str) -> None:
    """Run a notebook in another environment's JupyterLab."""
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
