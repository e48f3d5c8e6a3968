"""What others have done to the database, the folder or the process of an archive."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap

import pyarrow.parquet as pq
import pytest
import servers
from archives import MONTHS, content, fill, read_all
from click.testing import CliRunner
from polars.testing import assert_frame_equal
from sqlalchemy import event, text

from synfin_analytics import (
    ArchiveError,
    DatabaseManager,
    LoadError,
    adopt_archive,
    archive_transactions,
    fraud_report,
    load_df,
    read_df,
)
from synfin_analytics.cli import main


@pytest.fixture
def filled(manager):
    fill(manager)
    return manager


DERIVED = ("hour_of_day", "day_of_week", "day_of_month", "month", "is_weekend")


def test_a_null_that_a_trigger_would_derive_is_restored_as_null(filled, tmp_path):
    with filled.session_scope() as session:
        session.execute(text("ALTER TABLE transactions DISABLE TRIGGER USER"))
        session.execute(
            text(
                "UPDATE transactions SET time_of_day_category = NULL, "
                + ", ".join(f"{name} = NULL" for name in DERIVED)
                + " WHERE transaction_id IN ('T1', 'T5')"
            )
        )
        session.execute(text("ALTER TABLE transactions ENABLE TRIGGER USER"))
        session.execute(text("ALTER TABLE model_predictions DISABLE TRIGGER USER"))
        session.execute(text("UPDATE model_predictions SET is_correct = NULL WHERE id % 2 = 0"))
        session.execute(text("ALTER TABLE model_predictions ENABLE TRIGGER USER"))
    before = content(filled)
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    load_df(tmp_path, manager=filled)
    assert content(filled) == before


def test_a_user_who_does_not_own_the_table_cannot_restore_such_rows(filled, tmp_path):
    archive_transactions(tmp_path, MONTHS[2], manager=filled)  # some have no ground truth
    with filled.session_scope() as session:
        session.execute(text("CREATE ROLE restorer"))
        session.execute(text("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO restorer"))
    limited = DatabaseManager(filled.config)
    event.listen(limited.engine, "begin", lambda link: link.exec_driver_sql("SET ROLE restorer"))
    before = content(filled)
    try:
        with pytest.raises(LoadError, match="Restore them as the owner"):
            load_df(tmp_path, "model_predictions", manager=limited)
    finally:
        limited.close()
        with filled.session_scope() as session:
            session.execute(text("DROP OWNED BY restorer; DROP ROLE restorer"))
    assert content(filled) == before


def test_a_report_names_a_merchant_who_is_only_in_the_archive(filled, tmp_path):
    with filled.session_scope() as session:
        session.execute(text("UPDATE merchants SET name = 'Closed' WHERE merchant_id = 'M1'"))
        session.execute(
            text("UPDATE transactions SET merchant_id = 'M0' WHERE timestamp >= '2025-03-01Z'")
        )
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    with filled.session_scope() as session:
        session.execute(text("DELETE FROM merchants WHERE merchant_id = 'M1'"))
    with filled.session_scope(read_only=True) as session:
        merchants = fraud_report(session=session, archive=tmp_path).merchants
    assert merchants.set_index("merchant_id")["name"].to_dict() == {
        "M0": "",
        "M1": "Closed",
        "M2": "",
    }


#: Runs the command of its arguments, and interrupts it at a statement to the server.
INTERRUPTED = textwrap.dedent("""
    import os, signal, sys
    from sqlalchemy import Engine, event
    from synfin_analytics.cli import main

    steps = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def count(*_):
        global steps
        steps += 1
        if steps == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGINT)

    main(sys.argv[2:], prog_name="synfin")
""")


@pytest.mark.parametrize("step", [30, 60, 90])
def test_ctrl_c_ends_the_command_and_the_next_one_goes_on(filled, tmp_path, step):
    before, rows = content(filled), read_all(filled)
    command = ["db", "archive", str(tmp_path), "--before", MONTHS[2]]
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(step), *command],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 130
    assert result.stderr.split() == ["Interrupted."]
    for table, frame in read_all(filled, _archive(tmp_path)).items():
        assert_frame_equal(frame, rows[table])
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    assert read_df("transactions", manager=filled)["timestamp"].dt.month.min() == 3
    load_df(tmp_path, manager=filled)
    assert content(filled) == before


def _archive(folder):
    return folder if (folder / "manifest.json").exists() else None


def test_a_folder_that_cannot_be_written_changes_nothing(filled, tmp_path):
    """Root may write everywhere: a file system that is mounted read-only takes its place."""
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    before, rows = content(filled), read_all(filled, tmp_path)
    with _read_only(tmp_path):
        with pytest.raises(ArchiveError, match="its file system is read-only"):
            archive_transactions(tmp_path, MONTHS[2], manager=filled)
        for table, frame in read_all(filled, tmp_path).items():
            assert_frame_equal(frame, rows[table])
    assert content(filled) == before


@contextlib.contextmanager
def _read_only(folder):
    try:
        for options in (["--bind", folder], ["-o", "remount,ro,bind"]):
            subprocess.run(["mount", *options, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount file systems")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not servers.DEBIAN, reason=servers.NO_STANDBY)
def test_a_standby_and_the_archive_are_one_table(tmp_path):
    with contextlib.ExitStack() as stack:
        primary = servers.TcpServer.create_primary()
        stack.callback(primary.remove)
        standby = primary.create_standby()
        stack.callback(standby.remove)
        writer, reader = (
            stack.enter_context(contextlib.closing(DatabaseManager(server.config())))
            for server in (primary, standby)
        )
        writer.create_all_tables()
        fill(writer)
        rows = read_all(writer)
        archive_transactions(tmp_path, MONTHS[2], manager=writer)
        servers.wait_until(
            lambda: len(read_df("transactions", manager=reader)) == 20, "the standby has caught up"
        )
        for table, frame in read_all(reader, tmp_path).items():
            assert_frame_equal(frame, rows[table])
        with pytest.raises(ArchiveError, match="connect to the primary"):
            archive_transactions(tmp_path, "2025-04", manager=reader)


def test_a_manifest_of_newer_tables_asks_for_an_upgrade(filled, tmp_path):
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    _change_manifest(tmp_path, schema_version="9999")
    with pytest.raises(ArchiveError, match="run `synfin db upgrade`"):
        archive_transactions(tmp_path, MONTHS[2], manager=filled)


def test_files_of_older_tables_go_on_and_are_read_and_restored(filled, tmp_path):
    """A column that the table got later is NULL in their rows."""
    with filled.session_scope() as session:
        session.execute(text("UPDATE ml_features SET tx_velocity_1h = NULL"))
    before, rows = content(filled), read_all(filled)
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for part in manifest["parts"]:
        if part["table"] == "ml_features":
            path = tmp_path / part["path"]
            pq.write_table(pq.read_table(path, partitioning=None).drop(["tx_velocity_1h"]), path)
            del part["columns"]["tx_velocity_1h"]
    _change_manifest(tmp_path, parts=manifest["parts"], schema_version="0001")
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    for table, frame in read_all(filled, tmp_path).items():
        assert_frame_equal(frame, rows[table])
    load_df(tmp_path, manager=filled)
    assert content(filled) == before


def _change_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_archive_is_adopted_after_the_database_got_another_identity(filled, tmp_path):
    rows = read_all(filled)
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    identity = {"system_identifier": "1", "database": "before", "oid": 7}
    _change_manifest(tmp_path, identity=identity)
    with pytest.raises(ArchiveError, match="synfin db archive --adopt"):
        archive_transactions(tmp_path, MONTHS[2], manager=filled)
    result = CliRunner().invoke(main, ["db", "archive", str(tmp_path), "--adopt"])
    assert result.exit_code == 0
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    for table, frame in read_all(filled, tmp_path).items():
        assert_frame_equal(frame, rows[table])


def test_an_archive_whose_rows_are_in_the_database_is_not_adopted(filled, tmp_path):
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    load_df(tmp_path, manager=filled)
    _change_manifest(tmp_path, identity={"system_identifier": "1", "database": "b", "oid": 7})
    manifest = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(ArchiveError, match="21 are"):
        adopt_archive(tmp_path, manager=filled)
    assert (tmp_path / "manifest.json").read_bytes() == manifest


def test_an_archive_is_not_adopted_by_a_user_from_whom_rows_are_hidden(filled, tmp_path):
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    load_df(tmp_path, manager=filled)
    _change_manifest(tmp_path, identity={"system_identifier": "1", "database": "b", "oid": 7})
    with filled.session_scope() as session:
        session.execute(text("CREATE ROLE auditor"))
        session.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor"))
        session.execute(text("ALTER TABLE transactions ENABLE ROW LEVEL SECURITY"))
    limited = DatabaseManager(filled.config)
    event.listen(limited.engine, "begin", lambda link: link.exec_driver_sql("SET ROLE auditor"))
    try:
        with pytest.raises(ArchiveError, match="row-level security"):
            adopt_archive(tmp_path, manager=limited)
    finally:
        limited.close()
        with filled.session_scope() as session:
            session.execute(text("ALTER TABLE transactions DISABLE ROW LEVEL SECURITY"))
            session.execute(text("DROP OWNED BY auditor; DROP ROLE auditor"))


@pytest.mark.parametrize("by", ["RANGE (timestamp)", "HASH (transaction_id)"])
def test_partitioned_transactions_are_archived_and_restored(filled, tmp_path, by):
    key = "transaction_id, timestamp" if by.startswith("RANGE") else "transaction_id"
    parts = {
        "RANGE (timestamp)": ["FOR VALUES FROM ('2025-01-01') TO ('2025-02-01')", "DEFAULT"],
        "HASH (transaction_id)": [
            f"FOR VALUES WITH (MODULUS 2, REMAINDER {number})" for number in range(2)
        ],
    }[by]
    rows = read_all(filled)
    with filled.session_scope() as session:
        for table in ("ml_features", "model_predictions"):
            session.execute(
                text(f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_transaction_id_transactions"
                     f" TO whole; ALTER TABLE {table} DROP CONSTRAINT whole")
            )  # fmt: skip
        session.execute(text("ALTER TABLE transactions RENAME TO whole"))
        session.execute(
            text(
                "CREATE TABLE transactions (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
                f"PARTITION BY {by}"
            )
        )
        session.execute(text(f"ALTER TABLE transactions ADD PRIMARY KEY ({key})"))
        for number, part in enumerate(parts):
            session.execute(text(f"CREATE TABLE part_{number} PARTITION OF transactions {part}"))
        session.execute(text("INSERT INTO transactions SELECT * FROM whole"))
    before = content(filled)
    try:
        archive_transactions(tmp_path, MONTHS[2], manager=filled)
        assert len(read_df("transactions", manager=filled)) == 20
        for table, frame in read_all(filled, tmp_path).items():
            assert_frame_equal(frame, rows[table])
        load_df(tmp_path, manager=filled)
        assert content(filled) == before
    finally:
        with filled.session_scope() as session:
            session.execute(text("DROP TABLE transactions"))
            session.execute(text("ALTER TABLE whole RENAME TO transactions"))
            for table in ("ml_features", "model_predictions"):
                session.execute(
                    text(f"ALTER TABLE {table} ADD CONSTRAINT "
                         f"fk_{table}_transaction_id_transactions FOREIGN KEY (transaction_id) "
                         "REFERENCES transactions")
                )  # fmt: skip
