"""The benchmarks of features: beside other libraries, for more and more rows, and in a model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from handbook_data import generated

from synfin_analytics.features import FEATURES

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def data(tmp_path):
    """A folder as that of the handbook's data, with generated rows."""
    file = tmp_path / "handbook" / "transactions.parquet"
    file.parent.mkdir()
    generated(6000, cards=100).write_parquet(file)
    return tmp_path


def run(script: str, *options: object) -> subprocess.CompletedProcess[str]:
    """Run a benchmark where the handbook's data are not found by themselves."""
    return subprocess.run(
        [sys.executable, FOLDER / script, *map(str, options)],
        capture_output=True,
        text=True,
        env=os.environ | {"SYNFIN_SHARED_DATA": "nowhere"},
    )


def test_pandas_comes_to_the_same_features_and_both_are_timed(data):
    sizes = ("--all-columns", 3000, "--rows", 1000)
    result = run("features.py", "--data", data, "--sample", 2, "--runs", 1, *sizes)
    assert result.returncode == 0, result.stderr
    lines = [[cell.strip() for cell in line.split("|")] for line in result.stdout.splitlines()]
    cells = {line[1]: line[2:4] for line in lines if len(line) > 3}
    assert cells["ours"] == ["69", "6,000"]
    assert cells["pandas"] == cells["pandas, with raw=True"] == ["57", "6,000"]
    assert cells["1,000"]
    handbook = [name for name in cells if name.startswith(("handbook", "polars", "DuckDB"))]
    assert len(handbook) == 5
    assert all(float(cells[name][0]) >= 0 for name in [*handbook, "all 69: ours"])
    assert "3,000 generated rows with the same 69 features" in result.stdout
    assert "6,000 rows with the same results" in result.stdout
    assert "pandas computed 2 customers and merchants, 2% of the customers' rows" in result.stdout


def test_a_feature_that_pandas_computes_differently_is_reported(data):
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import features\n"
        "right = features.merchant_features\n"
        "features.merchant_features = lambda rows: right(rows).assign(merchant_avg_amount=1.0)\n"
        f"features.measure_pandas({str(data / 'handbook' / 'transactions.parquet')!r}, 2, raw=True)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pandas differs in merchant_avg_amount\n" in result.stderr


def test_a_feature_of_the_handbook_that_is_computed_differently_is_reported(data):
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import features, polars as pl\n"
        "right = features.HANDBOOK['DuckDB, window functions']\n"
        "features.HANDBOOK['other'] = lambda rows: right(rows).with_columns(night=pl.lit(True))\n"
        f"features.measure_handbook('other', {str(data / 'handbook' / 'transactions.parquet')!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "other differs in night\n" in result.stderr


def test_features_on_disk_and_in_memory_are_compared_and_measured():
    result = run("features_on_disk.py", "--rows", 3000, "--memory", "100MB")
    assert result.returncode == 0, result.stderr
    lines = [[cell.strip() for cell in line.split("|")] for line in result.stdout.splitlines()]
    assert [line[1:3] for line in lines[2:]] == [["3,000", "on disk"], ["3,000", "in memory"]]
    assert lines[3][5] == "1.00"


def test_a_difference_between_features_on_disk_and_in_memory_is_reported(tmp_path):
    for way, amount in (("on disk", 1.0), ("in memory", 2.0)):
        (tmp_path / way).mkdir()
        pl.DataFrame({"customer_avg_amount": amount}).write_parquet(tmp_path / way / "1.parquet")
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import features_on_disk, pathlib\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "features_on_disk.compare({way: folder / way for way in ('on disk', 'in memory')})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "The features in memory and on disk differ." in result.stderr


def test_a_model_is_tried_with_15_inputs_and_with_69(data):
    result = run("features_model.py", "--data", data, "--folds", 1, "--draws", 20)
    assert result.returncode == 0, result.stderr
    interval = r"-?[01]\.\d{3} \(-?[01]\.\d{3} to -?[01]\.\d{3}\)"
    for metric in ("average precision", "card precision@100"):
        lines = re.findall(rf"^.+ {metric} +(.*)$", result.stdout, re.MULTILINE)
        assert lines
        for line in lines:
            assert len(re.findall(interval, line.replace("+", ""))) == 3
    assert "on the last 1 weeks" in result.stdout
    worth = result.stdout.partition("Average precision that ")[2]
    assert {name for name in FEATURES if not re.search(rf"\b{name}\b", worth)} == set()
    assert "No values in these data (12): is_holiday" in worth


def test_a_missing_file_is_reported_with_the_searched_paths():
    result = run("features_model.py")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: No handbook/transactions.parquet in nowhere.")
