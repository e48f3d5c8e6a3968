"""The benchmark of archives measures each phase, next to the plain way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

COMMAND = Path(__file__).parents[2] / "benchmarks" / "archive.py"


def test_each_phase_of_both_ways_is_measured(server):
    """On the server of this run, in databases of its own that are gone afterwards."""
    result = subprocess.run(
        [sys.executable, COMMAND, "--rows", "1200", "--repeat", "1"],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert re.match(
        r"### ([0-9,]+) transactions of 3 months, with \1 features and \1 predictions",
        result.stdout,
    )
    phases = re.findall(r"^\| ([a-z A-Z]+?) +\| +[0-9.]+ +\|", result.stdout, re.MULTILINE)
    assert phases == [
        "other", "export", "read back and compare", "delete", "vacuum", "verify", "restore",
        "plain export", "plain DELETE", "plain VACUUM",
    ]  # fmt: skip
    assert re.search(r"delete : plain DELETE: [0-9.]+ \(.+ of the processor seconds", result.stdout)
