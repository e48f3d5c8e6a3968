"""What an archive refuses: one sentence, and nothing is changed."""

from __future__ import annotations

import json

import pytest
from archives import MONTHS, content, fill
from sqlalchemy import text

from synfin_analytics import (
    ArchiveError,
    archive_transactions,
    load_df,
    read_df,
    verify_archive,
)


@pytest.fixture
def archived(manager, tmp_path):
    fill(manager)
    archive_transactions(tmp_path, MONTHS[1], manager=manager)
    return tmp_path


def refuse(manager, folder, match):
    before = content(manager)
    with pytest.raises(ArchiveError, match=match):
        archive_transactions(folder, MONTHS[2], manager=manager)
    assert content(manager) == before


def test_a_folder_with_other_files(manager, tmp_path):
    fill(manager)
    (tmp_path / "notes.txt").write_text("mine")
    refuse(manager, tmp_path, "must be empty or an archive")


def test_an_archive_of_another_database(manager, archived):
    path = archived / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["identity"]["system_identifier"] = "1"
    path.write_text(json.dumps(manifest))
    refuse(manager, archived, "must be of the database")
    with pytest.raises(ArchiveError, match="must be of the database"):
        read_df("transactions", manager=manager, archive=archived)


def test_a_missing_file(manager, archived):
    (archived / f"transactions/archive_month={MONTHS[0]}/part-0.parquet").unlink()
    refuse(manager, archived, "is missing")
    before = content(manager)
    for call in (
        lambda: read_df("transactions", manager=manager, archive=archived),
        lambda: load_df(archived, manager=manager),
    ):
        with pytest.raises(ArchiveError, match="missing"):
            call()
    assert content(manager) == before


def test_a_damaged_file_is_named(manager, archived):
    path = archived / f"transactions/archive_month={MONTHS[0]}/part-0.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    problems = verify_archive(archived)
    assert set(problems["month"]) == {MONTHS[0]}
    assert set(problems["table"]) == {"transactions"}
    with pytest.raises(ArchiveError, match="Nothing was loaded"):
        load_df(archived, manager=manager)


def test_a_damaged_manifest(manager, archived):
    (archived / "manifest.json").write_text("{")
    refuse(manager, archived, "is damaged")


def test_columns_and_tables_of_others(manager, tmp_path):
    fill(manager)
    for create, drop, match in (
        (
            "ALTER TABLE transactions ADD COLUMN mine integer",
            "ALTER TABLE transactions DROP COLUMN mine",
            "'mine'",
        ),
        (
            "CREATE TABLE mine (id text REFERENCES transactions)",
            "DROP TABLE mine",
            "Drop its foreign key",
        ),
    ):
        with manager.session_scope() as session:
            session.execute(text(create))
        try:
            refuse(manager, tmp_path / "archive", match)
        finally:
            with manager.session_scope() as session:
                session.execute(text(drop))
