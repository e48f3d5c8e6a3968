"""Customers in archives and snapshots: the files are written again without them."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from synfin_analytics import load_df, read_snapshot, write_snapshot
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArchiveError, ArgumentError
from synfin_analytics.io.archive._manifest import read_manifest, write_manifest
from synfin_analytics.io.archive._parts import check_part
from synfin_analytics.io.erasure import (
    customer_pseudonym,
    erase_customer,
    pseudonymise_customer,
)

#: Values of the columns of one payment: customer, card, device.
Payment = tuple[str, str, str]
CUSTOMERS = ["Ada", "Bo", 'C"1', "Ådne, Jr"]


def store(manager, payments):
    """Store payments with features, and a pattern of everybody and one of each."""
    with manager.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(TABLES)}"))
    keys = [f"tx-{number}" for number in range(len(payments))]
    customers, cards, devices = zip(*payments, strict=True)
    load_df(pl.DataFrame({"customer_id": CUSTOMERS, "phone": "+47"}), "customers")
    load_df(pl.DataFrame({"merchant_id": ["M"]}), "merchants")
    load_df(
        pl.DataFrame({
            "transaction_id": keys, "customer_id": customers, "card_id": cards,
            "device_id": devices, "merchant_id": "M", "amount": 12.34, "latitude": 59.9,
            "timestamp": "2026-03-01T12:00", "is_fraud": False,
        }),
        "transactions",
    )  # fmt: skip
    load_df(pl.DataFrame({"transaction_id": keys, "amount_log": 1.0}), "ml_features")
    with manager.engine.begin() as connection:
        connection.execute(text(
            "INSERT INTO fraud_patterns (pattern_type, detection_count, characteristics) SELECT "
            "'own', count(*), jsonb_build_object('customers', jsonb_agg(DISTINCT customer_id), "
            "'transactions', jsonb_agg(transaction_id), 'cards', jsonb_agg(card_id)) "
            "FROM transactions GROUP BY GROUPING SETS ((), (customer_id))"
        ))  # fmt: skip


@pytest.fixture
def bank(manager):
    store(manager, [("Ada", "K-1", "D-1"), ("Ada", "K-2", "D-1"), ("Bo", "K-2", "D-2")])
    return manager


@pytest.fixture
def folder(bank, tmp_path):
    return write_snapshot(tmp_path / "folder").folder


def as_archive(folder, state="archived"):
    """Make the files those of an archive of one month."""
    manifest = read_manifest(folder)
    parts = [
        dataclasses.replace(part, month="2026-03")
        for part in manifest.parts
        if "patterns" not in part.table
    ]
    write_manifest(
        folder,
        dataclasses.replace(
            manifest, kind="archive", parts=tuple(parts), months={"2026-03": state}
        ),
    )
    return folder


def rows_of_files(folder):
    """All rows of all files, whether the manifest lists them or not, as texts by table."""
    return {
        path.relative_to(folder).as_posix(): [str(row) for row in pq.read_table(path).to_pylist()]
        for path in folder.rglob("*.parquet")
    }


def rows_of_database(manager):
    with manager.engine.connect() as connection:
        return {
            table: list(connection.execute(text(f"SELECT t::text FROM {table} AS t")).scalars())
            for table in TABLES
        }


def cells_of_database(manager):
    with manager.engine.connect() as connection:
        return [
            str(value)
            for table in TABLES
            for (row,) in connection.execute(text(f"SELECT to_jsonb(t) FROM {table} AS t"))
            for value in (
                json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
                for value in row.values()
            )
        ]


def test_files_lose_the_customer_and_keep_the_others(bank, folder):
    before = rows_of_files(folder)

    report = erase_customer("Ada", archive=folder)

    after = rows_of_files(folder)
    assert "Ada" not in str(after)
    assert "Ada" not in str(rows_of_database(bank))
    lost = {item.table: item.deleted for item in report.changed if item.place != "database"}
    assert lost == {"customers": 1, "transactions": 2, "ml_features": 2, "fraud_patterns": 1}
    bo = [row for rows in before.values() for row in rows if "Bo" in row and "Ada" not in row]
    assert set(bo) <= {row for rows in after.values() for row in rows}
    assert read_snapshot(folder, verify=True).transactions.collect().height == 1


def test_an_archive_is_changed_where_the_database_has_nothing_left(bank, folder):
    as_archive(folder)
    erase_customer("Ada")
    report = erase_customer("Ada", archive=[folder])
    assert report.customers == 1
    assert {item.place for item in report.changed} != {"database"}
    assert "Ada" not in str(rows_of_files(folder))
    manifest = read_manifest(folder)
    assert not [problem for part in manifest.parts for problem in check_part(folder, part)]
    with pytest.raises(ArgumentError, match="No row belongs to this customer"):
        erase_customer("Ada", archive=folder)


def test_a_dry_run_changes_no_file(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    dry = erase_customer("Ada", archive=folder, dry_run=True)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    assert dry.changed == erase_customer("Ada", archive=folder).changed


def test_pseudonyms_are_the_same_in_files_and_database(bank, folder, monkeypatch):
    monkeypatch.setenv("SYNFIN_PSEUDONYM_KEY", "k" * 32)
    pseudonymise_customer("Ada", archive=folder)
    assert "Ada" not in str(rows_of_files(folder))
    snapshot = read_snapshot(folder, verify=True)
    rows = snapshot.transactions.collect().sort("transaction_id")
    with bank.engine.connect() as connection:
        stored = connection.execute(
            text("SELECT customer_id, card_id, device_id, latitude FROM transactions ORDER BY "
                 "transaction_id")
        ).all()  # fmt: skip
    assert rows.select("customer_id", "card_id", "device_id", "latitude").rows() == stored
    assert rows["customer_id"].to_list() == [customer_pseudonym("Ada")] * 2 + ["Bo"]
    assert rows["latitude"].to_list() == [None, None, 59.9]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payments=st.lists(
        st.tuples(
            st.sampled_from(CUSTOMERS),
            st.sampled_from(["card-a", "card-b", "card-c"]),
            st.sampled_from(["device-a", "device-b"]),
        ),
        min_size=1,
        max_size=8,
    ),
    erased=st.sets(st.sampled_from(CUSTOMERS), min_size=1),
)
def test_no_trace_is_left_in_any_world(manager, tmp_path_factory, payments, erased):
    store(manager, payments)
    folder = write_snapshot(tmp_path_factory.mktemp("world") / "folder").folder
    before = rows_of_database(manager)

    erase_customer(sorted(erased), archive=folder)

    own = {f"tx-{number}" for number, payment in enumerate(payments) if payment[0] in erased}
    others = [payment for payment in payments if payment[0] not in erased]
    own |= {value for payment in payments for value in payment[1:]} - {
        value for payment in others for value in payment[1:]
    }
    after = rows_of_database(manager)
    frames = [pl.read_parquet(path) for path in folder.rglob("*.parquet")]
    cells = [str(value) for frame in frames for row in frame.rows() for value in row]
    stored = cells_of_database(manager)
    for value in erased | own:
        # As a cell, or as a text of JSON, whose quotes are escaped.
        quoted = json.dumps(value, ensure_ascii=False)
        assert not [cell for cell in cells if cell == value or quoted in cell]
        assert value not in stored
        assert not [cell for cell in stored if quoted in cell]
    for table in ("customers", "merchants", "transactions", "ml_features"):
        assert set(after[table]) <= set(before[table])
    assert len(after["transactions"]) == len(others)
    assert read_snapshot(folder).verify() == []


# -- Bad folders --------------------------------------------------------------------------------


def test_a_folder_of_another_database_changes_nothing(bank, folder):
    manifest = read_manifest(folder)
    other = dataclasses.replace(manifest.identity, database="other")
    write_manifest(folder, dataclasses.replace(manifest, identity=other))
    before = rows_of_database(bank)
    with pytest.raises(ArchiveError, match="must be of the database"):
        erase_customer("Ada", archive=folder)
    assert rows_of_database(bank) == before


def test_an_archiving_that_has_not_ended_comes_first(folder):
    as_archive(folder, state="deleting")
    with pytest.raises(ArchiveError, match="must be completed first"):
        erase_customer("Ada", archive=folder)


def test_a_damaged_file_changes_nothing(bank, folder):
    path = folder / "ml_features" / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:-8])
    before = rows_of_database(bank)
    with pytest.raises(ArchiveError, match="ml_features"):
        erase_customer("Ada", archive=folder)
    assert rows_of_database(bank) == before
    assert not list(folder.rglob("part-1.parquet"))


@pytest.mark.parametrize("archive", [17, [None]])
def test_a_folder_must_be_a_path(manager, archive):
    with pytest.raises(ArgumentError, match="`archive` must be"):
        erase_customer("Ada", archive=archive)


def test_a_folder_that_does_not_exist_is_not_created(bank, tmp_path):
    with pytest.raises(ArchiveError, match="There is no folder"):
        erase_customer("Ada", archive=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


# -- Killed in the middle -----------------------------------------------------------------------

ERASE = """
import os, signal, sys
from synfin_analytics.io.erasure import _folders, erase_customer
stop, folder = sys.argv[1:]
def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
if stop == "before the commit":
    original, calls = _folders.write_part, []
    def write_part(*arguments, **options):
        calls.append(1)
        return kill() if len(calls) == 2 else original(*arguments, **options)
    _folders.write_part = write_part
elif stop == "before the manifest":
    _folders.write_manifest = kill
else:
    original = _folders.remove_unlisted
    def remove_unlisted(folder, tables, listed):
        return kill() if any("part-1" in path for path in listed) else original(
            folder, tables, listed)
    _folders.remove_unlisted = remove_unlisted
erase_customer("Ada", archive=folder)
"""


@pytest.mark.parametrize(
    "stop", ["before the commit", "before the manifest", "before the old files are removed"]
)
def test_a_call_that_was_killed_is_completed_by_the_next_one(bank, folder, stop):
    others = sorted(row for row in rows_of_files(folder)["transactions/part-0.parquet"]
                    if "Ada" not in row)  # fmt: skip
    process = subprocess.run([sys.executable, "-c", ERASE, stop, str(folder)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert read_snapshot(folder).verify() == []  # complete at each moment

    erase_customer("Ada", archive=folder)

    assert "Ada" not in str(rows_of_files(folder))
    assert "Ada" not in str(rows_of_database(bank))
    snapshot = read_snapshot(folder, verify=True)
    (path,) = (folder / "transactions").glob("*.parquet")
    assert sorted(str(row) for row in pq.read_table(path).to_pylist()) == others
    assert snapshot.transactions.collect().height == 1
