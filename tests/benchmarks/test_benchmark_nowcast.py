"""The benchmark of nowcasts: each world is predicted, and coverage is printed by age."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "nowcast.py"


def test_coverage_is_printed_by_age_and_by_scenario():
    command = [sys.executable, SCRIPT, "worlds", "--worlds", "2"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in result.stdout.splitlines()
        if line.startswith("|")
    ]
    ages = {row[0]: row for row in rows if row[0].isdigit()}
    assert ages["0"][1] == ages["5"][1] == "22"
    assert all(float(row[3].rstrip("%")) > 60 for row in ages.values())
    assert "level doubles six weeks ago" in [row[0] for row in rows]
