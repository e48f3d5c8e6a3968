"""docs/guide/distributed.md: PostgreSQL, Dask and Spark give the same numbers, as the page says."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from engines import SPARK
from polars.testing import assert_frame_equal

from synfin_analytics import (
    DatabaseConfig,
    DatabaseManager,
    fit_baseline,
    load_df,
    read_df,
    simulate,
)
from synfin_analytics.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "guide" / "distributed.md").read_text(encoding="utf-8")
SCRIPT = DOCS / "on_clusters.py"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stored(_module_database):
    """A database with transactions, and the predictions of a simple model for some of them."""
    config = dataclasses.replace(DatabaseConfig.from_env(), database=_module_database)
    with contextlib.closing(DatabaseManager(config)) as manager:
        world = simulate(customers=200, merchants=60, days=60, seed=3)
        for table in ("customers", "merchants", "transactions"):
            load_df(getattr(world, table), table, manager=manager)
        model = fit_baseline(read_df("transactions", manager=manager, output="polars"))
        load_df(model.predictions, "model_predictions", manager=manager)
    assert model.predictions["ground_truth"].any()
    return _module_database


@pytest.fixture
def predicted(stored, monkeypatch):
    """The stored transactions and predictions, for commands and programs."""
    monkeypatch.setenv("DB_NAME", stored)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | SPARK,
        timeout=600,
        check=False,
    )


def synfin(*arguments: str) -> None:
    main(list(arguments), standalone_mode=False)


def test_dask_and_spark_agree_with_postgresql(predicted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("export").mkdir()
    for line in "".join(blocks("sh")).splitlines():
        if line.startswith("synfin export "):
            synfin(*shlex.split(line)[1:])

    result = run("export")

    assert result.returncode == 0, result.stdout + result.stderr
    questions = {line.split(":")[0] for line in result.stdout.splitlines() if line[0] != " "}
    assert questions == {"dask", "spark"}
    answers = [line for line in result.stdout.splitlines() if line[0] == " "]
    assert len(answers) == 2 * 12
    assert all(line.endswith(": equal") for line in answers)
    documented = [line.strip().split(" (")[0] for line in blocks("text")[0].splitlines()]
    assert {line.strip().split(" (")[0] for line in answers} <= set(documented)


def test_a_result_that_differs_raises(predicted, tmp_path):
    query = "SELECT * FROM transactions WHERE amount < 50"
    by_month = ("--partition-by", "month")
    synfin("export", str(tmp_path / "transactions"), "--query", query, *by_month)

    result = run(tmp_path, "--engine", "dask")  # it exports the predictions itself

    assert result.returncode == 1
    assert "fraud rate (1 row): differs from PostgreSQL's" in result.stdout
    assert "  model (17 rows): differs" in result.stdout
    assert re.search(r"Error: \d+ answers differ\.", result.stderr)
    assert "Traceback" not in result.stderr


def test_an_unknown_model_is_reported_in_one_sentence(predicted, tmp_path):
    result = run(tmp_path, "--model", "basline")
    assert result.returncode == 1
    assert "no model 'basline 1.0'" in result.stderr
    assert "Traceback" not in result.stderr


LOADING = [block for block in blocks("python") if "load_df(" in block]


# Dask's own code, about pandas.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
def test_the_examples_load_a_frame_of_dask_and_one_of_spark(manager, spark, tmp_path):
    world = simulate(customers=30, merchants=10, days=30, seed=3, output="polars")
    for table, frame in world._asdict().items():
        load_df(frame, table, manager=manager)
    folder = str(tmp_path / "by_customer")
    synfin("export", "transactions", folder, "--buckets", "4")
    before = read_df("SELECT * FROM transactions ORDER BY transaction_id", output="polars")
    with manager.session_scope() as session:
        for table in ("transactions", "customers", "merchants"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
    names = {"spark": spark}
    with_dask, with_spark = (block.replace("by_customer", folder) for block in LOADING)

    exec(compile(with_dask, "distributed.md", "exec"), names)
    after = read_df("SELECT * FROM transactions ORDER BY transaction_id", output="polars")
    assert_frame_equal(after.drop("updated_at"), before.drop("updated_at"))

    exec(compile(with_spark, "distributed.md", "exec"), names)
    online = before.filter(channel="online")
    assert names["updated"].updated == len(online)
    query = "SELECT transaction_id FROM transactions WHERE is_anomaly AND channel = 'online'"
    flagged = set(read_df(query, output="polars")["transaction_id"])
    assert flagged == set(online.filter(pl.col("amount") > 100)["transaction_id"]) != set()


@pytest.mark.parametrize("block", [block for block in blocks("python") if block not in LOADING])
def test_the_page_shows_the_code_of_the_example(block):
    script = [line.strip() for line in SCRIPT.read_text(encoding="utf-8").splitlines()]
    for line in block.splitlines():
        assert line.strip() in script


def test_links_are_not_broken():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (DOCS / "guide" / target.partition("#")[0]).exists(), target
