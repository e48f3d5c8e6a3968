"""A real browser for tests: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

#: Folder of screenshots; git ignores it.
OUT = Path(__file__).parents[2] / "out" / "browser"

_HOW = (
    "there is no Chromium: apt-get install chromium (Debian, Ubuntu), "
    "brew install --cask chromium (macOS)"
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Open a headless browser; skip the test if none is installed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip(_HOW)
    from playwright.sync_api import sync_playwright

    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Root can run it only without its sandbox; the tests open only our own pages.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Serve a folder on a local port, and yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Do not log requests in the output of a test."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
