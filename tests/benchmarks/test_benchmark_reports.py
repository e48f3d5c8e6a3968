"""The benchmark of reports: our page of a scored file, as a table beside those of others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reports.py"


@pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="there is no Chromium, which opens the page",
)
def test_a_table_says_what_our_page_shows_and_that_it_sends_no_request():
    command = [sys.executable, SCRIPT, "--rows", "2000", "--repeat", "1", "--only", "synfin"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    cells = [[cell.strip() for cell in line.split("|")] for line in result.stdout.splitlines()]
    table = {row[1]: row[2] for row in cells if len(row) == 4}
    assert table.pop("").startswith("synfin-analytics ")
    assert float(table.pop("seconds (median)")) > 0
    assert 0 < float(table.pop("megabytes")) < 1
    assert table.pop("requests") == "0"
    assert set(table.values()) == {"yes"}
