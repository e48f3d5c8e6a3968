"""The commands around archives and snapshots."""

from __future__ import annotations

import pytest
from archives import MONTHS, content, fill
from click.testing import CliRunner
from sqlalchemy import text

from synfin_analytics import load_df, write_snapshot
from synfin_analytics.cli import main


def synfin(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)], prog_name="synfin")


def succeeds(*arguments):
    result = synfin(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def filled(manager):
    fill(manager)
    return manager


def test_months_are_archived_listed_verified_and_restored(filled, tmp_path):
    before = content(filled)
    folder = tmp_path / "archive"
    assert "Would archive 2 months" in succeeds(
        "db", "archive", folder, "--before", MONTHS[2], "--dry-run"
    )
    assert content(filled) == before
    assert "Archived 2 months" in succeeds("db", "archive", folder, "--before", MONTHS[2])
    assert "nothing to archive" in succeeds("db", "archive", folder, "--before", MONTHS[2])
    assert MONTHS[0] in succeeds("db", "archive", folder, "--list")
    assert "files are as they were written" in succeeds("db", "archive", folder, "--verify")
    succeeds("report", "fraud", "--archive", folder, "--out", tmp_path / "fraud.html")
    assert str(folder) in (tmp_path / "fraud.html").read_text(encoding="utf-8")
    succeeds("load", folder)
    assert content(filled) == before


def test_a_damaged_file_fails_the_command(filled, tmp_path):
    succeeds("db", "archive", tmp_path, "--before", MONTHS[1])
    next((tmp_path / "transactions").rglob("*.parquet")).write_bytes(b"")
    result = synfin("db", "archive", tmp_path, "--verify")
    assert result.exit_code == 1
    assert "1 problems" in result.output


def test_one_thing_at_a_time(tmp_path):
    for options in ([], ["--list", "--verify"], ["--list", "--adopt"]):
        result = synfin("db", "archive", tmp_path, *options)
        assert result.exit_code == 2
        assert "one of --before MONTH, --list, --verify and --adopt" in result.output


def test_a_protected_database_asks_for_its_name(filled, tmp_path, monkeypatch):
    before = content(filled)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synfin.toml").write_text("[production]\nprotected = true\n")
    command = ("--env", "production", "db", "archive", tmp_path / "archive", "--before", MONTHS[1])
    result = synfin(*command)
    assert result.exit_code != 0
    assert "--confirm" in result.output
    assert content(filled) == before
    assert not (tmp_path / "archive").exists()
    succeeds(*command, "--confirm", filled.config.database)
    assert content(filled) != before


@pytest.mark.parametrize("table", [None, "transactions"])
def test_a_snapshot_loads_as_an_archive_does(filled, tmp_path, table):
    before = content(filled)
    write_snapshot(tmp_path / "snapshot", manager=filled)
    with filled.session_scope() as session:
        session.execute(text("TRUNCATE transactions CASCADE"))
    load_df(tmp_path / "snapshot", table, manager=filled)
    assert content(filled)["transactions"] == before["transactions"]
    assert bool(content(filled)["ml_features"]) == (table is None)
