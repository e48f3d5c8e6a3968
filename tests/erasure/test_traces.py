"""Traces of a customer in unusual places: patterns alone, sentences, archives of real months."""

from __future__ import annotations

import json

import archives
import polars as pl
import pytest
from sqlalchemy import text

from synfin_analytics import read_df
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.archive import archive_transactions, verify_archive
from synfin_analytics.io.erasure import erase_customer, pseudonymise_customer


def store_pattern(manager, characteristics, description=None, table="fraud_patterns"):
    with manager.engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {table} (pattern_type, characteristics, description) "
                "VALUES ('own', CAST(:json AS jsonb), :description)"
            ),
            {
                "json": None if characteristics is None else json.dumps(characteristics),
                "description": description,
            },
        )


def stored(manager, table="fraud_patterns"):
    with manager.engine.connect() as connection:
        return connection.execute(
            text(f"SELECT characteristics, description FROM {table} ORDER BY id")
        ).all()


@pytest.fixture
def bank(manager):
    archives.fill(manager)
    return manager


@pytest.fixture
def archive(bank, tmp_path):
    archive_transactions(tmp_path / "archive", before="2025-03", manager=bank)
    return tmp_path / "archive"


def test_a_customer_whom_only_a_pattern_names_is_erased(bank):
    store_pattern(bank, {"customers": ["C1-gone", "C2"]})
    assert erase_customer("C1-gone", dry_run=True).customers == 1
    assert erase_customer("C1-gone").customers == 1
    assert stored(bank)[0].characteristics["customers"] == ["C2"]
    with pytest.raises(ArgumentError, match="No row belongs"):
        erase_customer("C1-gone")


def test_a_customer_below_a_key_of_merchants_or_thresholds_is_found(bank):
    store_pattern(
        bank,
        {
            "merchants": {"M1": ["C1", "C2"]},
            "above_threshold": ["C1"],
            "merchant_customers": ["C1"],
        },
    )
    erase_customer("C1")
    assert "C1" not in json.dumps(stored(bank)[0].characteristics)
    assert stored(bank)[0].characteristics["merchants"] == {"M1": ["C2"]}


def test_a_merchant_with_the_same_id_stays(bank):
    store_pattern(bank, {"merchants": ["C1"], "customers": ["C1", "C2"]})
    erase_customer("C1")
    assert stored(bank)[0].characteristics["merchants"] == ["C1"]


def test_a_count_that_equals_an_id_stays(bank):
    store_pattern(bank, {"customers": ["3", "C2"], "figures": {"n_customers": 3}, "n_customers": 3})
    erase_customer("3")
    characteristics = stored(bank)[0].characteristics
    assert characteristics["figures"] == {"n_customers": 3}
    assert characteristics["n_customers"] == 3


@pytest.mark.parametrize("characteristics", [None, {"note": "paid by C1, twice"}])
def test_a_customer_whom_only_a_sentence_mentions_is_erased(bank, characteristics):
    store_pattern(bank, characteristics, "C1 is unusual, C12 is not", "anomaly_patterns")
    erase_customer("C1")
    (pattern,) = stored(bank, "anomaly_patterns")
    assert pattern.description == "[erased] is unusual, C12 is not"
    if characteristics:
        assert pattern.characteristics["note"] == "paid by [erased], twice"


def test_words_that_mean_something_else_stay_in_sentences(bank):
    store_pattern(bank, {"customers": ["10", "C2"]}, "figures of two")
    store_pattern(bank, {"customers": ["C2"]}, "10 payments in a row")
    erase_customer("10")
    assert [pattern.description for pattern in stored(bank)] == [
        "figures of two",
        "10 payments in a row",
    ]


def test_an_email_that_is_only_in_the_archive_is_removed_from_patterns(bank, tmp_path):
    with bank.engine.begin() as connection:
        connection.execute(text("UPDATE customers SET email = 'c1@x.org' WHERE customer_id = 'C1'"))
    archive_transactions(tmp_path / "archive", before="2025-03", manager=bank)
    with bank.engine.begin() as connection:
        connection.execute(text("UPDATE customers SET email = NULL"))
    store_pattern(bank, {"customers": ["C2"], "emails": ["c1@x.org"]})
    erase_customer("C1", archive=tmp_path / "archive")
    assert stored(bank)[0].characteristics["emails"] == []


@pytest.mark.parametrize("change", [erase_customer, pseudonymise_customer])
def test_an_archive_stays_sound_and_keeps_the_others(bank, archive, change, monkeypatch):
    monkeypatch.setenv("SYNFIN_PSEUDONYM_KEY", "k" * 32)
    before = read_df("transactions", archive=archive, output="polars")
    planned = change("C1", archive=archive, dry_run=True)
    assert change("C1", archive=archive).changed == planned.changed
    assert verify_archive(archive).empty
    after = read_df("transactions", archive=archive, output="polars")
    own = ~pl.col("customer_id").is_in(["C0", "C2", "C3", "C4", "C5", "C6"])
    assert "C1" not in after["customer_id"]
    keep = before.filter(~own).sort("transaction_id")
    assert after.filter(~own).sort("transaction_id").equals(keep)
