"""benchmarks/rules.py: coverage of the intervals of differences; its conditions."""

import importlib
from pathlib import Path

import pytest

#: 97.5% of runs with a true coverage of 95% have at least this share in 150 worlds.
LEAST = 0.913


@pytest.fixture
def rules(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("rules")


def test_intervals_of_differences_hold_the_truth_as_often_as_they_say(rules):
    table = rules.covered(list(rules.compared(rules.World(), 150)))
    assert table.filter(table["worlds"] < 140).is_empty()
    assert table.filter(table["coverage"] < LEAST).is_empty(), table
    # Not by being useless: the difference of two measures is known better than either alone.
    assert table.filter(measure="precision")["width"].max() < 0.2


def test_there_are_twenty_conditions(rules):
    assert len(rules.conditions()) == 20
