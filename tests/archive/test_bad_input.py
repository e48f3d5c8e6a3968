"""What an archive refuses: one sentence, and nothing is changed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap

import pytest
from archives import MONTHS, content, fill
from sqlalchemy import event, text

from synfin_analytics import (
    ArchiveError,
    DatabaseManager,
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


def test_a_user_without_privileges_learns_the_grants(manager, tmp_path):
    fill(manager)
    before = content(manager)
    with manager.session_scope() as session:
        session.execute(text("CREATE ROLE archivist"))
        session.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO archivist"))
    limited = DatabaseManager(dataclasses.replace(manager.config))
    event.listen(limited.engine, "begin", lambda link: link.exec_driver_sql("SET ROLE archivist"))
    try:
        with pytest.raises(ArchiveError, match=r"GRANT DELETE ON transactions, .* TO archivist"):
            archive_transactions(tmp_path / "new", MONTHS[1], manager=limited)
    finally:
        limited.close()
        with manager.session_scope() as session:
            session.execute(text("DROP OWNED BY archivist; DROP ROLE archivist"))
    assert content(manager) == before
    assert not (tmp_path / "new").exists()


def test_a_read_only_database(manager, tmp_path):
    fill(manager)
    before = content(manager)
    limited = DatabaseManager(manager.config)
    event.listen(
        limited.engine, "begin", lambda link: link.exec_driver_sql("SET TRANSACTION READ ONLY")
    )
    with pytest.raises(ArchiveError, match="connect to the primary"):
        archive_transactions(tmp_path / "new", MONTHS[1], manager=limited)
    limited.close()
    assert content(manager) == before


def test_a_first_call_without_space_leaves_a_folder_that_the_next_one_fills(manager, tmp_path):
    fill(manager)
    before = content(manager)
    program = textwrap.dedent("""
        import resource, sys
        from synfin_analytics import ArchiveError, archive_transactions

        for limit in (0, 600, 4_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                archive_transactions(*sys.argv[1:])
            except ArchiveError as error:
                print(error)
    """)
    run = subprocess.run(
        [sys.executable, "-B", "-c", program, str(tmp_path), MONTHS[1]],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert run.stdout.count("Cannot use the folder") == 3
    assert content(manager) == before
    archive_transactions(tmp_path, MONTHS[1], manager=manager)
    assert verify_archive(tmp_path).empty
    load_df(tmp_path, manager=manager)
    assert content(manager) == before
