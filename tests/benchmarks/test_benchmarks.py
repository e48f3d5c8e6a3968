"""The benchmarks run, and every peer in them does what it is compared for."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from synfin_analytics.io.load import load_df

FOLDER = Path(__file__).parents[2] / "benchmarks"
ROWS = 300
SUMMARY = "SELECT count(*), sum(amount), min(timestamp), count(fraud_type) FROM transactions"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch):
    """The modules of the benchmarks, which lie beside the command that uses them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in ("_data", "_measure", "_peers")}
    for name in ("_data", "_measure", "_peers"):
        del sys.modules[name]


@pytest.fixture
def job(modules, manager, tmp_path):
    """Rows to load, in files; their customers and merchants are there already."""
    for table, frame in modules["_data"].parents().items():
        load_df(frame, table, manager=manager)
    folder = tmp_path / "files"
    modules["_data"].write_files(modules["_data"].Rows(ROWS), folder, binary=True)
    url = manager.get_connection_string().replace("+psycopg2", "")
    return modules["_measure"].Job(url, str(folder), ROWS, "SELECT * FROM transactions")


def peers(modules, group: str) -> list:
    groups = modules["_peers"].GROUPS
    return [peer for name in groups if name.startswith(group) for peer in groups[name]]


def test_every_installed_way_loads_the_same_rows(modules, manager, job):
    loaded = {}
    for peer in peers(modules, "load") + peers(modules, "upsert"):
        if peer.missing or peer.name in loaded:
            continue
        with manager.engine.begin() as connection:
            connection.execute(text("TRUNCATE transactions CASCADE"))
        assert peer.prepare(job)() == ROWS, peer.name
        with manager.engine.connect() as connection:
            loaded[peer.name] = connection.execute(text(SUMMARY)).one()
    assert len(loaded) > 5
    wrong = [name for name, rows in loaded.items() if rows != loaded["load_df(polars)"]]
    assert wrong == []


def test_every_installed_way_reads_all_rows(modules, manager, job):
    load_df(job.file("parquet"), "transactions", manager=manager)
    for peer in peers(modules, "read"):
        if not peer.missing:
            assert peer.prepare(job)() == ROWS, peer.name


def test_the_rows_fill_nearly_all_columns(modules):
    (frame,) = modules["_data"].Rows(3000).frames()
    filled = [name for name in frame.columns if frame[name].null_count() < frame.height]
    assert len(frame.columns) == 56
    assert len(filled) >= 50


def test_the_same_rows_are_made_again(modules):
    rows = modules["_data"].Rows(100, shuffled=True)
    assert next(rows.frames()).equals(next(rows.frames()))


def test_a_peer_that_is_not_installed_says_how_to_get_it(modules):
    peer = modules["_peers"].Peer("x", lambda _: lambda: 0, {"no_such_module": "no-such"})
    assert peer.missing == ["no-such"]


def test_the_command_prints_a_table_for_each_comparison(server):
    """On the server of this run, in databases of its own that are gone afterwards."""
    options = ["--rows", "2000", "--repeat", "1", "--one-process", "--only", "none"]
    result = subprocess.run(
        [sys.executable, FOLDER / "io.py", "all", *options],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    titles = re.findall(r"^### (.+):", result.stdout, re.MULTILINE)
    assert titles == [
        "load, empty table",
        "load, keys follow those of the table",
        "load, keys in between, in random order",
        "upsert, half of the keys exist",
        "read all columns",
        "read six columns",
        "export",
        "memory",
    ]
    tables = [block for block in result.stdout.split("\n\n") if block.startswith("|")]
    assert len(tables) == len(titles)
    for table in tables:
        head, *body = table.strip().splitlines()
        assert {line.count("|") for line in body} == {head.count("|")}
    factors = re.findall(
        r"^\| (load_df|read_df)\(.+?\) +\| +[0-9.]+ +\|", result.stdout, re.MULTILINE
    )
    assert len(factors) == 3 * 2 + 1 + 2 * 3


def test_metrics_are_equal_to_those_of_the_peers_and_a_table_says_how_fast_each_was(
    server, tmp_path
):
    """Without the handbook's file, whose place is taken by generated rows."""
    options = ["--rows", "3000", "--repeat", "1", "--one-process", "--data", tmp_path]
    result = subprocess.run(
        [sys.executable, FOLDER / "metrics.py", "all", *options],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "rows are generated" in result.stdout
    titles = re.findall(r"^### (.+): ([0-9,]+) rows.+equal to 1e-12$", result.stdout, re.MULTILINE)
    assert titles == [
        ("curve, distinct scores", "3,000"),
        ("curve, four decimals", "3,000"),
        ("bootstrap of the AUC", "300"),
        ("fraud rate by merchant, generated", "300"),
        ("fraud rate by day, generated", "300"),
        ("fraud rate by merchant and day, generated", "300"),
    ]
    measured = re.findall(
        r"^\| ([^|]+?) +\| +[0-9.]+ +\| +[0-9.]+ +\|", result.stdout, re.MULTILINE
    )
    curve = ["ScoreCounts and Curve", "evaluate(polars) and curve()", "scikit-learn"]
    assert measured[:8] == [*curve, *curve, "bootstrap", "scikit-learn in a loop"]
    assert measured[8:10] == ["fraud_rate in PostgreSQL", "fraud_rate, cluster=None"]
    assert len(measured) == 8 + 3 * 4
    assert "10 draws measured, and scaled to 1,000" in result.stdout


def test_a_peer_that_finds_something_else_ends_the_comparison(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    metrics = importlib.import_module("metrics")
    with monkeypatch.context() as patch:
        wrong = metrics.Peer("wrong", lambda _: lambda: {"areas": metrics.np.array([0.5, 0.5])})
        patch.setitem(metrics.GROUPS, "curve", [metrics.GROUPS["curve"][0], wrong])
        with pytest.raises(metrics.click.ClickException, match="has different values of areas"):
            metrics.compare("curve", "curve", metrics.Job(50), 1, apart=False)
    for name in ("metrics", "handbook", "_data", "_measure", "_place"):
        sys.modules.pop(name, None)


def test_the_coverage_of_intervals_is_a_table_by_group_and_kind_of_cluster(tmp_path):
    """Of two seeds; without the handbook's file there is no second table."""
    result = subprocess.run(
        [sys.executable, FOLDER / "coverage.py", "--seeds", "2", "--data", tmp_path],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    rows = re.findall(
        r"^\| (category|week|channel|all payments) +\| (.+?) +\| +([0-9]+) +\| +[0-9.]+% +\|",
        result.stdout,
        re.MULTILINE,
    )
    clusters = ["customer and merchant", "customer", "none"]
    groups = {"category": "28", "week": "18", "channel": "10", "all payments": "2"}
    assert rows == [(by, kind, number) for by, number in groups.items() for kind in clusters]
    assert "No handbook/transactions.parquet in" in result.stdout


def test_lazy_rows_prints_a_line_for_each_question_and_engine():
    command = [
        sys.executable,
        str(FOLDER / "lazy_rows.py"),
        "--rows",
        "20000",
        "--customers",
        "1000",
    ]
    options = ["--resamples", "5", "--engine", "polars", "--engine", "duckdb"]
    result = subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    lines = [line.split("|") for line in result.stdout.splitlines()[2:]]
    assert len(lines) == 2 * 7
    shares = {line[1].strip(): float(line[4].strip(" %")) for line in lines}
    assert shares["interval of recall"] < shares["the same without bins"] == 100
