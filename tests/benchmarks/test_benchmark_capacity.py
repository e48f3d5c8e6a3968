"""The benchmark of capacity: measurements in processes of their own, lines, and what they imply."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from engines import SPARK

from synfin_analytics import ArgumentError

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(script, *options):
    command = [sys.executable, FOLDER / script, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True)


def cells_of(output):
    """The cells of all lines of tables, in lists."""
    lines = [line for line in output.splitlines() if line.startswith("| `") or "| `" in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def capacity_run(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("_capacity_run")
    del sys.modules["_capacity_run"]


def measurement(engine, call, rows, seconds, cpu, peak, others=0):
    return {
        "engine": engine,
        "call": call,
        "rows": rows,
        "seconds": seconds,
        "cpu": cpu,
        "peak": peak,
        "peak of others": others,
    }


# -- Lines and needs -------------------------------------------------------------------------------


def test_lines_and_needs_follow_from_the_measurements(tmp_path):
    measurements = []
    for engine, call in (
        ("", "simulate"),
        ("polars", "evaluate"),
        ("dask", "engineer_features"),
        ("spark", "engineer_features"),
        ("polars lazy", "engineer_features"),
    ):
        for million in (1, 2, 3):
            # 5 s + 10 s, 3 s + 36 s of the processor, 200 MB + 1,024 MB for each million.
            values = (5 + 10 * million, 3 + 36 * million, 200 + 1024 * million, 700)
            measurements.append(measurement(engine, call, million * 10**6, *values))
    refused = {"engine": "duckdb", "call": "time_split", "rows": 10**6, "refused": "Error: collect"}
    report = tmp_path / "report.json"
    single = measurement("dask", "evaluate", 10**6, 15, 39, 1224)
    report.write_text(json.dumps({"measurements": [*measurements, refused, single]}))

    result = run("capacity.py", "table", report, "--cores", 10, "--gigabytes", 40, "--hours", 5)
    assert result.returncode == 0, result.stderr
    assert "No line for `time_split` on duckdb: Error: collect\n" in result.stdout
    assert "No line for `evaluate` on dask: measured for one size only\n" in result.stdout
    slopes, needs = result.stdout.split("### Extrapolated")
    line = ["5.0 + 10.0", "3.00 + 36.00", "200 + 1,024"]
    assert cells_of(slopes)[:5] == [
        ["`simulate`", "to a folder", *line[:2], "bounded", ""],
        ["`evaluate`", "polars", *line, ""],
        ["`engineer_features`", "dask", *line, ""],
        ["`engineer_features`", "spark", *line, "700 + 0"],
        ["`engineer_features`", "polars lazy", *line[:2], "bounded", ""],
    ]
    # 100 million rows: an hour of the processor and 100 GB; 10 billion: 100 hours, 10,000 GB.
    too_large = "does not fit"
    assert cells_of(needs) == [
        ["`simulate`", "to a folder", "1.00", "bounded", "1", "100.00", "bounded", "1"],
        ["`evaluate`", "polars", "1.00", "100.2", too_large, "100.00", "10,000.2", too_large],
        ["`engineer_features`", "dask", "1.00", "100.2", "3", "100.00", "10,000.2", "251"],
        [
            "`engineer_features`",
            "spark",
            "1.00",
            "100.2",
            too_large,
            "100.00",
            "10,000.2",
            too_large,
        ],
        ["`engineer_features`", "polars lazy", "1.00", "bounded", "1", "100.00", "bounded", "1"],
    ]


def test_a_slope_too_small_to_be_measured_is_not_extrapolated(tmp_path):
    measurements = [measurement("duckdb", "evaluate", n * 10**6, 2, 3 - n, 250) for n in (1, 2)]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"measurements": measurements}))
    slopes, needs = run("capacity.py", "table", report).stdout.split("### Extrapolated")
    assert cells_of(slopes) == [["`evaluate`", "duckdb", "2.0 + 0.0", "3.00 - 1.00", "250 + 0", ""]]
    assert cells_of(needs) == []


def test_a_cluster_needs_machines_for_its_time(tmp_path):
    measurements = [
        measurement("spark", "fraud_rate", rows, 9, rows * 36 / 10**6, 200.0, 900.0)
        for rows in (10**6, 2 * 10**6)
    ]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"measurements": measurements}))
    result = run("capacity.py", "table", report, "--cores", 4, "--hours", 2)
    needs = result.stdout.split("### Extrapolated")[1]
    assert cells_of(needs) == [
        ["`fraud_rate`", "spark", "1.00", "0.2", "1", "100.00", "0.2", "13"],
    ]


# -- Measurements ----------------------------------------------------------------------------------


def test_a_call_is_measured_for_each_size(tmp_path):
    report = tmp_path / "report.json"
    result = run(
        "capacity.py", "slopes", "--rows", 2000, "--rows", 4000, "--engine", "polars lazy",
        "--call", "fraud_rate", "--folder", tmp_path, "--json", report,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    measured = json.loads(report.read_text())["measurements"]
    engines_and_calls = [("", "simulate"), ("polars lazy", "fraud_rate")]
    assert [(run["engine"], run["call"]) for run in measured[::2]] == engines_and_calls
    for first, second in zip(measured[::2], measured[1::2], strict=True):
        assert first["rows"] == pytest.approx(2000, rel=0.3)
        assert second["rows"] == pytest.approx(4000, rel=0.3)
    assert all(run["seconds"] > 0 and run["cpu"] > 0 and run["peak"] > 50 for run in measured)
    assert len(cells_of(result.stdout.split("### Extrapolated")[0])) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.fixture
def world(capacity_run, tmp_path):
    capacity_run.run_simulation(tmp_path / "world", 3000, 90, 0)
    return tmp_path / "world"


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask, which reads Parquet
@pytest.mark.parametrize("engine", ["polars", "polars lazy", "duckdb", "dask"])
def test_each_call_runs_or_is_refused_by_this_package(capacity_run, world, engine):
    for call in capacity_run.CALLS:
        measured = capacity_run.run_call(engine, call, world, 3000, "100MB")
        if "refused" in measured:
            assert measured["refused"].startswith("ArgumentError: ")
            assert engine != "polars"
        else:
            assert measured["seconds"] > 0
    assert [path.name for path in world.parent.iterdir()] == ["world"]


def test_the_client_of_spark_and_its_processes_are_measured_apart(world, monkeypatch):
    for name, value in SPARK.items():
        monkeypatch.setenv(name, value)
    result = run("_capacity_run.py", "spark", "fraud_rate", world, 3000, "100MB")
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout.splitlines()[-1])
    assert measured["peak"] > 50
    assert measured["peak of others"] > 100  # a JVM


def test_one_size_is_no_line():
    result = run("capacity.py", "slopes", "--rows", 2000)
    assert result.returncode == 2
    assert "A line needs two different numbers of --rows." in result.stderr


def test_large_worlds_are_kept_and_not_simulated_again(tmp_path):
    calls = ["fraud_rate", "engineer_features"]
    options = ["large", "--rows", 2000, "--keep", "--folder", tmp_path, "--memory", "100MB"]
    options += [word for call in calls for word in ("--call", call)]
    result = run("capacity.py", *options)
    assert result.returncode == 0, result.stderr
    measured = [line[1] for line in cells_of(result.stdout)]
    assert measured == ["`simulate`", "`fraud_rate`", "`engineer_features`"]
    assert [path.name for path in tmp_path.iterdir()] == ["world-2000"]
    again = run("capacity.py", *options)
    assert [line[1] for line in cells_of(again.stdout)] == measured[1:]


def test_a_refusal_is_reported_with_its_message(capacity_run):
    def refuse():
        raise ArgumentError("`df` must be in memory.")

    assert capacity_run.measured(refuse, ArgumentError) == {
        "refused": "ArgumentError: `df` must be in memory."
    }
    with pytest.raises(ZeroDivisionError):
        capacity_run.measured(lambda: 1 / 0, ArgumentError)


def test_processes_below_this_one_are_measured_apart(capacity_run):
    burn = "import time; x = bytearray(80_000_000)\nwhile time.process_time() < 0.3: pass\n"
    burn += "print(flush=True); input()"
    command = [sys.executable, "-c", burn]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:

        def wait():
            child.stdout.readline()

        measured = capacity_run.measured(wait, ArgumentError)
        child.communicate(b"\n")
    assert measured["peak of others"] > 76
    assert measured["cpu"] >= 0.2
