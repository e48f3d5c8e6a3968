"""Snapshots: all tables at one moment, which every function on DataFrames takes."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys

import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal
from sqlalchemy import text

from synfin_analytics import (
    load_df,
    read_df,
    read_snapshot,
    simulate,
    time_split,
    write_snapshot,
)
from synfin_analytics.cli import main
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArchiveError, ArgumentError, NotFoundError, SchemaError


@pytest.fixture(scope="module")
def world():
    return simulate(customers=60, merchants=20, days=40, seed=3)


@pytest.fixture
def bank(manager, world):
    for table in ("customers", "merchants", "transactions"):
        load_df(getattr(world, table), table, manager=manager)
    scores = pl.DataFrame(world.transactions).select(
        "transaction_id",
        model_name=pl.lit("logit"),
        model_version=pl.lit("1"),
        prediction=pl.col("amount") > 100,
        fraud_probability=(pl.col("amount") / (pl.col("amount") + 100)).clip(0, 1),
    )
    load_df(scores, "model_predictions", manager=manager)
    return manager


@pytest.fixture
def snapshot(bank, tmp_path):
    return write_snapshot(tmp_path / "march")


def test_a_snapshot_has_the_rows_and_types_of_all_tables(bank, snapshot):
    for table in TABLES:
        stored = read_df(f"SELECT * FROM {table} ORDER BY 1", output="polars", manager=bank)
        copied = snapshot.scan(table).collect().sort(stored.columns[0])
        assert_frame_equal(copied, stored.sort(stored.columns[0]))
    assert snapshot.verify() == []


def test_the_manifest_has_position_time_version_and_counts(bank, snapshot):
    values = json.loads((snapshot.folder / "manifest.json").read_text())
    assert values["kind"] == "snapshot"
    assert values["identity"]["database"] == bank.config.database == snapshot.database
    moment = dt.datetime.fromisoformat(snapshot.created_at)
    assert abs(dt.datetime.now(dt.UTC) - moment) < dt.timedelta(minutes=10)
    high, low = snapshot.position.split("/")
    assert int(high, 16) or int(low, 16)
    assert snapshot.to_dict()["rows"]["customers"] == 60


def test_a_snapshot_is_read_again(snapshot):
    again = read_snapshot(str(snapshot.folder), verify=True)
    assert again.to_dict() == snapshot.to_dict()


def test_money_is_exact_on_demand(snapshot):
    amounts = snapshot.scan("transactions", use_decimal=True).select("amount").collect()
    assert amounts.schema["amount"] == pl.Decimal(12, 2)


def test_what_others_commit_meanwhile_is_in_no_table(bank, tmp_path, monkeypatch):
    from synfin_analytics.io.snapshot import write

    copy_table = write._copy_table

    def copy_after_a_load(folder, manifest, table, schema, session):
        load_df(pl.DataFrame({"merchant_id": [f"M-{table}"]}), "merchants", manager=bank)
        return copy_table(folder, manifest, table, schema, session)

    monkeypatch.setattr(write, "_copy_table", copy_after_a_load)
    snapshot = write_snapshot(tmp_path / "march")
    merchants = snapshot.merchants.collect()["merchant_id"].to_list()
    assert len(merchants) == 20


def test_a_snapshot_loads_again(bank, snapshot):
    with bank.engine.begin() as connection:
        connection.execute(text("TRUNCATE transactions, ml_features, model_predictions"))
    load_df(snapshot, "transactions", manager=bank)
    stored = read_df("SELECT * FROM transactions ORDER BY transaction_id", output="polars")
    assert_frame_equal(stored, snapshot.transactions.collect().sort("transaction_id"))


def test_a_table_of_a_snapshot_loads_again(bank, snapshot):
    with bank.engine.begin() as connection:
        connection.execute(text("TRUNCATE transactions, ml_features, model_predictions"))
    load_df(snapshot.scan("transactions", use_decimal=True), "transactions", manager=bank)
    stored = read_df("SELECT * FROM transactions ORDER BY transaction_id", output="polars")
    copied = snapshot.transactions.collect().sort("transaction_id")
    assert_frame_equal(stored, copied)


# -- Bad input ----------------------------------------------------------------------------------


def test_a_folder_with_files_is_left_alone(manager, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveError, match="must be a new or empty folder"):
        write_snapshot(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(manager, tmp_path):
    (tmp_path / "march").mkdir()
    assert read_snapshot(write_snapshot(tmp_path / "march").folder).schema_version


def test_a_snapshot_is_not_overwritten(snapshot):
    with pytest.raises(ArchiveError, match="must be a new or empty folder"):
        write_snapshot(snapshot.folder)
    assert snapshot.verify() == []


def test_a_folder_without_a_parent_is_refused(manager, tmp_path):
    with pytest.raises(ArchiveError, match="must exist"):
        write_snapshot(tmp_path / "a" / "b")


def test_a_database_without_tables_writes_nothing(empty_database, tmp_path):
    from synfin_analytics.database.manager import DatabaseManager

    manager = DatabaseManager(empty_database)
    with pytest.raises(SchemaError, match="has no tables yet"):
        write_snapshot(tmp_path / "march", manager=manager)
    manager.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_snapshot_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match=r"has no manifest\.json"):
        read_snapshot(tmp_path)
    with pytest.raises(ArchiveError, match="There is no folder"):
        read_snapshot(tmp_path / "none")
    with pytest.raises(ArgumentError, match="`folder` must be the path"):
        read_snapshot(17)


def test_a_missing_file_is_named(snapshot):
    (snapshot.folder / "merchants" / "part-0.parquet").unlink()
    with pytest.raises(ArchiveError, match=r"merchants/part-0\.parquet"):
        read_snapshot(snapshot.folder)


def test_a_changed_file_is_found_by_its_checksum(snapshot):
    path = snapshot.folder / "merchants" / "part-0.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    read_snapshot(snapshot.folder)
    with pytest.raises(ArchiveError, match="is damaged"):
        read_snapshot(snapshot.folder, verify=True)


def test_a_truncated_file_is_found_by_its_size(snapshot):
    path = snapshot.folder / "customers" / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArchiveError, match="another size"):
        read_snapshot(snapshot.folder)


def test_a_snapshot_of_another_version_is_refused(snapshot):
    path = snapshot.folder / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"schema_version": "0000"}))
    with pytest.raises(ArchiveError, match="has version 0000 of the tables"):
        read_snapshot(snapshot.folder)


def test_an_unknown_table_is_not_found(snapshot):
    with pytest.raises(NotFoundError, match="transactions"):
        snapshot.scan("transaction")


# -- Killed in the middle -----------------------------------------------------------------------

WRITE = """
import sys
from synfin_analytics.io.snapshot import write
copy_table = write._copy_table
def copy(folder, manifest, table, *arguments):
    part = copy_table(folder, manifest, table, *arguments)
    if table == "transactions":
        print("half", flush=True)
        sys.stdin.read()
    return part
write._copy_table = copy
write.write_snapshot(sys.argv[1])
"""


def test_a_killed_call_leaves_no_snapshot_and_the_next_one_succeeds(bank, tmp_path):
    folder = tmp_path / "march"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "half\n"
    with pytest.raises(ArchiveError, match="Another process"):
        write_snapshot(folder)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not folder.exists()

    assert write_snapshot(folder).verify() == []
    assert [path.name for path in tmp_path.iterdir()] == ["march"]


# -- The command --------------------------------------------------------------------------------


def test_the_command_writes_a_snapshot(bank, tmp_path):
    folder = tmp_path / "march"
    result = CliRunner().invoke(main, ["snapshot", str(folder)])
    assert result.exit_code == 0, result.output
    assert "transactions" in result.stdout
    assert read_snapshot(folder, verify=True).position in result.stdout
    again = CliRunner().invoke(main, ["snapshot", str(folder)])
    assert again.exit_code == 1
    assert "must be a new or empty folder" in again.stderr
    assert CliRunner().invoke(main, ["snapshot", "--verify", str(folder)]).exit_code == 0


def test_a_snapshot_is_split_by_time(snapshot):
    split = time_split(snapshot, train="14d", test="7d", label_delay="7d")
    stored = read_df("SELECT * FROM transactions ORDER BY timestamp, transaction_id",
                     output="polars")  # fmt: skip
    expected = time_split(stored, train="14d", test="7d", label_delay="7d")
    assert_frame_equal(split.test, expected.test)
