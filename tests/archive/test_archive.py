"""Archived months: moved exactly, read together with the database, and restored."""

from __future__ import annotations

import datetime as dt

import pytest
from archives import MONTHS, content, fill, read_all, run_twice
from polars.testing import assert_frame_equal
from sqlalchemy import text

from synfin_analytics import (
    ArchiveError,
    ArgumentError,
    LoadError,
    archive_transactions,
    load_df,
    read_df,
)


def assert_same(before, after):
    for table, frame in before.items():
        assert_frame_equal(frame, after[table])


@pytest.fixture
def filled(manager):
    fill(manager)
    return manager


def test_whole_months_move_to_the_archive(filled, tmp_path):
    before = content(filled)
    report = archive_transactions(tmp_path, MONTHS[2], manager=filled)
    assert list(report.months) == MONTHS[:2]
    stored = read_df("transactions", manager=filled, output="polars")
    assert stored["timestamp"].min() >= dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
    assert report.rows["transactions"] == sum(report.months.values())
    assert report.rows["transactions"] + stored.height == len(before["transactions"])
    assert report.vacuumed
    assert report.size > 0


@pytest.mark.parametrize("use_decimal", [False, True])
def test_both_halves_are_one_table(filled, tmp_path, use_decimal):
    before = read_all(filled, use_decimal=use_decimal)
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    assert_same(before, read_all(filled, tmp_path, use_decimal=use_decimal))


@pytest.mark.parametrize("output", ["pandas", "polars", "arrow"])
def test_both_halves_have_the_types_of_the_table(filled, tmp_path, output):
    before = read_df("transactions", manager=filled, output=output)
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    after = read_df("transactions", manager=filled, output=output, archive=tmp_path)
    types = {"pandas": "dtypes", "polars": "schema", "arrow": "schema"}[output]
    assert str(getattr(before, types)) == str(getattr(after, types))
    assert len(after) == len(before)


def test_a_table_without_rows_is_read_from_the_archive_alone(filled, tmp_path):
    before = read_all(filled)
    archive_transactions(tmp_path, "2026-01", manager=filled)
    assert read_df("transactions", manager=filled).empty
    assert_same(before, read_all(filled, tmp_path))


def test_an_archive_restores_exactly(filled, tmp_path):
    before = content(filled)
    archive_transactions(tmp_path, "2026-01", manager=filled)
    reports = load_df(tmp_path, manager=filled)
    assert content(filled) == before
    assert reports["transactions"].inserted == len(before["transactions"])
    assert reports["customers"].inserted == 0
    again = load_df(tmp_path, manager=filled)
    assert again["transactions"].inserted == 0
    assert content(filled) == before


def test_an_archive_restores_into_another_database(filled, tmp_path):
    before = content(filled)
    archive_transactions(tmp_path, "2026-01", manager=filled)
    with filled.session_scope() as session:
        session.execute(text("TRUNCATE customers, merchants CASCADE"))
    load_df(tmp_path, manager=filled)
    restored = content(filled)
    for table in ("transactions", "ml_features", "model_predictions"):
        assert restored[table] == before[table]
    # New rows get numbers that are free.
    with filled.session_scope() as session:
        key = session.scalar(text("SELECT nextval(pg_get_serial_sequence('ml_features', 'id'))"))
        assert key > session.scalar(text("SELECT max(id) FROM ml_features"))


def test_a_restored_row_that_was_changed_is_refused(filled, tmp_path):
    archive_transactions(tmp_path, "2026-01", manager=filled)
    load_df(tmp_path, manager=filled)
    with filled.session_scope() as session:
        session.execute(text("UPDATE transactions SET amount = amount + 1 WHERE month = 1"))
    before = content(filled)
    with pytest.raises(LoadError, match="other values"):
        load_df(tmp_path, manager=filled)
    assert content(filled) == before


def test_files_of_one_table_load_as_any_folder_does(filled, tmp_path):
    before = content(filled)
    archive_transactions(tmp_path, "2026-01", manager=filled)
    report = load_df(tmp_path / "transactions", "transactions", manager=filled)
    assert report.inserted == len(before["transactions"])
    assert content(filled)["transactions"] == before["transactions"]


def test_late_and_changed_rows_of_an_archived_month_replace_older_ones(filled, tmp_path):
    archive_transactions(tmp_path, "2026-01", manager=filled)
    load_df(tmp_path, manager=filled)
    with filled.session_scope() as session:
        session.execute(
            text("UPDATE transactions SET is_fraud = true, amount = 7 WHERE transaction_id = 'T1'")
        )
        session.execute(text("DELETE FROM model_predictions WHERE transaction_id = 'T2'"))
        session.execute(
            text(
                "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, "
                "timestamp) VALUES ('late', 'C1', 'M1', 1, '2025-01-31 23:59:59.999999+00')"
            )
        )
    before = read_all(filled, tmp_path)
    archive_transactions(tmp_path, "2026-01", manager=filled)
    assert read_df("transactions", manager=filled).empty
    assert_same(before, read_all(filled, tmp_path))


def test_nothing_to_archive_changes_nothing(filled, tmp_path):
    archive_transactions(tmp_path, MONTHS[2], manager=filled)
    manifest = (tmp_path / "manifest.json").read_bytes()
    report = archive_transactions(tmp_path, MONTHS[2], manager=filled)
    assert str(report) == "There is nothing to archive."
    assert (tmp_path / "manifest.json").read_bytes() == manifest


def test_a_dry_run_changes_nothing(filled, tmp_path):
    before = content(filled)
    report = archive_transactions(tmp_path / "new", MONTHS[2], manager=filled, dry_run=True)
    assert list(report.months) == MONTHS[:2]
    assert report.size > 0
    assert str(report).startswith("Would archive 2 months")
    assert content(filled) == before
    assert not (tmp_path / "new").exists()


def test_rows_added_or_changed_meanwhile_are_not_lost(filled, tmp_path, monkeypatch):
    """Another session writes between export and deletion, each time that is possible."""
    from synfin_analytics.io.archive._delete import Deletion

    delete = Deletion.delete
    statements = [
        "UPDATE transactions SET amount = 99 WHERE transaction_id = 'T1'",
        "UPDATE model_predictions SET fraud_probability = 0.5 WHERE transaction_id = 'T2'",
        "INSERT INTO model_predictions (transaction_id, model_name, model_version, prediction) "
        "VALUES ('T3', 'new', '1', true)",
        "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp) "
        "VALUES ('late', 'C1', 'M1', 1, '2025-01-05')",
    ]
    expected = {}

    def interfere(self, spec, versions):
        if statements:
            with filled.session_scope() as session:
                for statement in statements:
                    session.execute(text(statement))
            statements.clear()
            expected.update(read_all(filled, tmp_path))
        delete(self, spec, versions)

    monkeypatch.setattr(Deletion, "delete", interfere)
    report = archive_transactions(tmp_path, MONTHS[1], manager=filled)
    assert not report.remaining
    assert_same(expected, read_all(filled, tmp_path))
    stored = read_df("transactions", manager=filled, output="polars")
    assert stored["timestamp"].min() >= dt.datetime(2025, 2, 1, tzinfo=dt.UTC)


def test_a_second_call_at_the_same_time_is_refused(filled, tmp_path):
    error = run_twice(lambda: archive_transactions(tmp_path, MONTHS[1], manager=filled))
    assert "Another process is archiving" in str(error)


@pytest.mark.parametrize("before", ["2025", "2025-01-15", "soon", 2025, None, dt.date(2025, 1, 2)])
def test_before_is_a_month(manager, tmp_path, before):
    with pytest.raises(ArgumentError, match="`before` must be a month"):
        archive_transactions(tmp_path, before, manager=manager)


def test_the_current_month_stays_open(manager, tmp_path):
    with pytest.raises(ArgumentError, match="at most the current month"):
        archive_transactions(tmp_path, "2999-01", manager=manager)


def test_a_query_with_an_archive_is_refused(filled, tmp_path):
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    with pytest.raises(ArgumentError, match="name of a table"):
        read_df("SELECT 1 AS n", manager=filled, archive=tmp_path)


def test_a_folder_without_a_manifest_is_refused(filled, tmp_path):
    with pytest.raises(ArchiveError, match=r"it has no manifest\.json"):
        read_df("transactions", manager=filled, archive=tmp_path)
