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

#: Pictures of what a browser showed; git ignores the folder.
OUT = Path(__file__).parents[2] / "out" / "browser"

_HOW = (
    "there is no Chromium: apt-get install chromium (Debian, Ubuntu), "
    "brew install --cask chromium (macOS)"
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Open a browser without a window; skip the test where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip(_HOW)
    from playwright.sync_api import sync_playwright

    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Root may run it without its sandbox only; it shows nothing but pages of our own.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Serve a folder on a port of this machine, and give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Write nothing: what was asked for is no output of a test."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
