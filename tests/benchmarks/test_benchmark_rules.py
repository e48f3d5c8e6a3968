"""benchmarks/rules.py: coverage of the intervals of differences; its conditions."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from handbook_data import generated

FOLDER = Path(__file__).parents[2] / "benchmarks"

#: 97.5% of runs with a true coverage of 95% have at least this share in 150 worlds.
LEAST = 0.913


@pytest.fixture
def rules(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("rules")


def test_intervals_of_differences_hold_the_truth_as_often_as_they_say(rules):
    table = rules.covered(list(rules.compared(rules.World(), 150)))
    assert table.filter(table["worlds"] < 140).is_empty()
    assert table.filter(table["coverage"] < LEAST).is_empty(), table
    # Not by being useless: the difference of two measures is known better than either alone.
    assert table.filter(measure="precision")["width"].max() < 0.2


def test_there_are_twenty_conditions(rules):
    assert len(rules.conditions()) == 20


def test_rules_are_timed_inside_postgresql_and_in_pandas(tmp_path):
    file = tmp_path / "handbook" / "transactions.parquet"
    file.parent.mkdir()
    generated(3000, cards=50).write_parquet(file)
    command = [sys.executable, FOLDER / "rules.py", "database", "--data", tmp_path]
    options = ["--rows", "2000", "--repeat", "1", "--whole"]
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = [line.split("|") for line in result.stdout.splitlines() if line.startswith("|")]
    assert [line[1].strip() for line in lines[1:]] == [
        "inside PostgreSQL",
        "polars frame in memory",
        "pandas, its columns read",
        "pandas, the table read",
    ]
    assert lines[1][3].strip() == "1.0 (1.0 to 1.0)"
