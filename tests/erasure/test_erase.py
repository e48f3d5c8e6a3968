"""Erase customers: their rows in all tables, and their identifiers in patterns."""

from __future__ import annotations

import datetime as dt
import json
import re

import polars as pl
import pytest
from sqlalchemy import text
from tracebacks import local_variables

from synfin_analytics import detect_patterns, load_df, read_df, simulate
from synfin_analytics.database._interrupt import Cursor
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArgumentError, ErasureError, ProtectedDatabaseError
from synfin_analytics.io.erasure import ErasureReport, erase_customer
from synfin_analytics.repositories import FraudPatternRepository

MORNING = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)


@pytest.fixture
def bank(manager):
    """Three customers; C1 and C2 share a card, and each transaction has features and scores."""
    load_df(
        pl.DataFrame({
            "customer_id": ["C1", "C2", "C3"],
            "email": ["c1@example.org", "c2@example.org", None],
            "phone": ["+47 1", "+47 2", "+47 2"],
        }),
        "customers",
    )  # fmt: skip
    load_df(pl.DataFrame({"merchant_id": ["M1", "C1"]}), "merchants")
    load_df(
        pl.DataFrame({
            "transaction_id": ["T1", "T2", "T3", "T4"],
            "customer_id": ["C1", "C1", "C2", "C3"],
            "merchant_id": ["M1", "C1", "M1", "C1"],
            "card_id": ["K-shared", "K1", "K-shared", "K3"],
            "device_id": ["D1", None, "D2", "D2"],
            "amount": [10.0, 20.0, 30.0, 40.0],
            "timestamp": [MORNING + dt.timedelta(hours=hour) for hour in range(4)],
            "is_fraud": [True, False, False, True],
        }),
        "transactions",
    )  # fmt: skip
    keys = ["T1", "T2", "T3", "T4"]
    load_df(pl.DataFrame({"transaction_id": keys, "amount_log": 1.0}), "ml_features")
    load_df(
        pl.DataFrame({
            "transaction_id": keys, "model_name": "rf", "model_version": "1",
            "prediction": True, "fraud_probability": [0.9, 0.1, 0.2, 0.8],
        }),
        "model_predictions",
    )  # fmt: skip
    return manager


def store_pattern(manager, characteristics, table="fraud_patterns", **columns):
    values = {"characteristics": json.dumps(characteristics), **columns}
    names = ", ".join(values)
    parameters = ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO {table} (pattern_type, {names}) VALUES ('card_testing', {parameters})"
    with manager.session_scope() as session:
        session.execute(text(statement), values)


def patterns(manager, table="fraud_patterns"):
    return [
        (json.loads(characteristics), description, count)
        for characteristics, description, count in read_df(
            f"SELECT characteristics, description, detection_count FROM {table} ORDER BY id",
            manager=manager,
            output="polars",
        ).iter_rows()
    ]


def rows_of(manager):
    """The rows of each table, as texts."""
    with manager.session_scope(read_only=True) as session:
        return {
            table: sorted(session.execute(text(f"SELECT t::text FROM {table} AS t")).scalars())
            for table in TABLES
        }


def count(manager, table):
    return len(rows_of(manager)[table])


def deleted(report: ErasureReport) -> dict[str, int]:
    return {item.table: item.deleted for item in report.changed if item.deleted}


# -- Rows -------------------------------------------------------------------------------------


def test_rows_of_all_tables_are_deleted_and_counted(bank):
    report = erase_customer("C1")

    assert deleted(report) == {
        "customers": 1, "transactions": 2, "ml_features": 2, "model_predictions": 2,
    }  # fmt: skip
    assert (report.customers, report.unknown, report.dry_run) == (1, 0, False)
    assert [len(rows) for rows in rows_of(bank).values()] == [2, 2, 2, 2, 2, 0, 0]


def test_rows_of_other_customers_stay_as_they_are(bank):
    before = rows_of(bank)

    erase_customer("C1")

    after = rows_of(bank)
    assert all(set(after[table]) <= set(before[table]) for table in before)
    assert after["merchants"] == before["merchants"]  # one of them is named like the customer


def test_several_customers_are_erased_in_one_transaction(bank):
    report = erase_customer(["C1", "C3", "C1", "nobody"])

    assert (report.customers, report.unknown) == (2, 1)
    assert read_df("SELECT customer_id FROM customers")["customer_id"].tolist() == ["C2"]


def test_a_dry_run_counts_the_same_and_changes_nothing(bank):
    store_pattern(bank, {"customers": ["C1", "C2"]})
    before = rows_of(bank)

    dry = erase_customer("C1", dry_run=True)

    assert rows_of(bank) == before
    assert dry.dry_run
    assert dry.changed == erase_customer("C1").changed


def test_an_id_of_nobody_is_an_error_without_the_id(bank):
    before = rows_of(bank)
    with pytest.raises(ArgumentError, match="No row belongs to this customer") as caught:
        erase_customer("C99")
    assert "C99" not in str(caught.value)
    assert rows_of(bank) == before


@pytest.mark.parametrize("value", [17, None, [], ["C1", 2], "C\0", "\ud800"])
def test_an_id_must_be_text(manager, value):
    with pytest.raises(ArgumentError, match="`customer_id` must be"):
        erase_customer(value)


def test_the_transaction_of_a_session_decides(bank):
    with bank.get_session() as session:
        assert erase_customer("C1", session=session).customers == 1
        assert erase_customer("C2", session=session).customers == 1
        session.rollback()
    assert count(bank, "customers") == 3


def test_a_protected_database_must_be_confirmed(bank, monkeypatch):
    protected = DatabaseManager(DatabaseConfig(database=bank.config.database, protected=True))
    with pytest.raises(ProtectedDatabaseError, match="to erase a customer"):
        erase_customer("C1", manager=protected)
    assert erase_customer("C1", manager=protected, dry_run=True).customers == 1
    assert erase_customer("C1", manager=protected, confirm=bank.config.database).customers == 1
    protected.close()


def test_rows_of_other_tables_that_refer_to_the_customer_keep_all_rows(bank):
    with bank.engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE loans (customer_id varchar(50) REFERENCES customers)")
        )
        connection.execute(text("INSERT INTO loans VALUES ('C1')"))
    before = rows_of(bank)
    try:
        with pytest.raises(ErasureError, match="rows of table 'loans' refer to") as caught:
            erase_customer("C1")
        shown = local_variables(caught.value)
        assert not [line for line in shown.splitlines() if re.search("C1|K1|T1|c1@", line)]
        assert rows_of(bank) == before
    finally:
        with bank.engine.begin() as connection:
            connection.execute(text("DROP TABLE loans"))


def test_vacuum_removes_the_dead_rows(bank):
    erase_customer("C1", vacuum=True)
    with bank.engine.connect() as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pgstattuple"))
        dead = connection.execute(
            text("SELECT dead_tuple_count FROM pgstattuple('transactions')")
        ).scalar_one()
    assert dead == 0


# -- Patterns ---------------------------------------------------------------------------------


def test_a_pattern_of_several_people_loses_the_customer_only(bank):
    store_pattern(
        bank,
        {
            "subject_type": "merchants",
            "subjects": ["C1"],  # a merchant
            "customers": ["C1", "C2"],
            "merchants": ["C1", "M1"],
            "transactions": ["T1", "T2", "T3"],
            "figures": {"payments": 3, "amount": 60.123456789012345678},
            "thresholds": {"window": "1h"},
        },
        detection_count=3,
        description="C1 and C2 paid C1x",
    )

    erase_customer("C1")

    ((characteristics, description, detections),) = patterns(bank)
    assert characteristics == {
        "subject_type": "merchants",
        "subjects": ["C1"],
        "customers": ["C2"],
        "merchants": ["C1", "M1"],
        "transactions": ["T3"],
        "figures": {"payments": 3, "amount": 60.123456789012345678},
        "thresholds": {"window": "1h"},
        "erased": {"customers": 1, "transactions": 2},
    }
    assert detections == 1
    assert description == "[erased] and C2 paid C1x"


def test_a_number_in_a_pattern_keeps_all_its_digits(bank):
    with bank.session_scope() as session:
        session.execute(text(
            "INSERT INTO fraud_patterns (pattern_type, characteristics) VALUES ('own', "
            "'{\"customers\": [\"C1\", \"C2\"], \"x\": 0.12345678901234567890}')"
        ))  # fmt: skip
    erase_customer("C1")
    stored = read_df("SELECT characteristics FROM fraud_patterns")["characteristics"][0]
    assert "0.12345678901234567890" in stored


def test_a_pattern_that_is_about_nobody_any_more_is_deleted(bank):
    store_pattern(bank, {"subjects": ["C1"], "customers": ["C1"], "transactions": ["T1"]})
    store_pattern(bank, {"customer_id": "C1"}, table="anomaly_patterns")

    report = erase_customer("C1")

    assert deleted(report)["fraud_patterns"] == deleted(report)["anomaly_patterns"] == 1
    assert patterns(bank) == patterns(bank, "anomaly_patterns") == []


def test_identifiers_are_found_at_any_depth_and_as_keys(bank):
    store_pattern(
        bank,
        {
            "ring": [{"who": "C1", "card": "K1"}, {"who": "C2", "card": "K-shared"}],
            "amounts": {"C1": 10, "C2": 20},
            "contacts": ["c1@example.org", "+47 1", "+47 2"],
            "devices": ["D1", "D2"],
            "is_new": True,
        },
    )

    erase_customer("C1")

    ((characteristics, *_),) = patterns(bank)
    assert characteristics == {
        "ring": [{"who": None, "card": None}, {"who": "C2", "card": "K-shared"}],
        "amounts": {"C2": 20},
        "contacts": ["+47 2"],
        "devices": ["D2"],
        "is_new": True,
        "erased": {"customers": 1, "transactions": 0},
    }


def test_numbers_are_ids_only_where_the_key_says_so(manager):
    load_df(pl.DataFrame({"customer_id": ["7", "8"]}), "customers")
    store_pattern(manager, {"customers": [7, 8], "figures": {"payments": 7}})
    erase_customer("7")
    ((characteristics, *_),) = patterns(manager)
    assert characteristics["customers"] == [8]
    assert characteristics["figures"] == {"payments": 7}


def test_detected_patterns_can_be_stored_again_after_an_erasure(manager):
    world = simulate(customers=150, merchants=30, days=40, seed=1)
    for table in ("customers", "merchants", "transactions"):
        load_df(getattr(world, table), table)
    with manager.session_scope() as session:
        repository = FraudPatternRepository(session)
        repository.upsert(detect_patterns(world.transactions))
        customer = json.loads(
            session.execute(text("SELECT characteristics::text FROM fraud_patterns ORDER BY "
                                 "jsonb_array_length(characteristics->'customers') DESC LIMIT 1")
            ).scalar_one()
        )["customers"][0]  # fmt: skip

    erase_customer(customer)

    for rows in rows_of(manager).values():
        assert not [row for row in rows if customer in row]
    left = read_df("transactions", output="polars")
    with manager.session_scope() as session:
        FraudPatternRepository(session).upsert(detect_patterns(left))
    assert customer not in str(patterns(manager))


# -- What is shown ----------------------------------------------------------------------------


def test_the_report_says_what_is_shared_and_what_is_not_reached(bank):
    report = erase_customer("C1")
    assert report.shared == 1
    assert "1 card, device or IP identifier" in str(report)
    assert "Backups" in str(report)
    assert "C1" not in str(report) + repr(report) + report._repr_html_()
    assert report.to_frame("polars")["place"].unique().to_list() == ["database"]


def test_no_statement_and_no_log_contains_an_identifier(bank, caplog, monkeypatch):
    store_pattern(bank, {"customers": ["C1", "C2"]})
    statements = []
    execute = Cursor.execute

    def record(cursor, query, values=None):
        statements.append(cursor.mogrify(query, values).decode())
        execute(cursor, query, values)

    monkeypatch.setattr(Cursor, "execute", record)
    with caplog.at_level("DEBUG"):
        erase_customer("C1")
    assert len(statements) > 10
    assert "C1" not in caplog.text
    assert not [statement for statement in statements if "C1" in statement or "T1" in statement]


def test_a_role_without_rights_is_told_the_grant(bank):
    with bank.engine.begin() as connection:
        connection.execute(text("CREATE ROLE erasure_clerk"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO erasure_clerk"))
    before = rows_of(bank)
    try:
        with bank.get_session() as session:
            session.execute(text("SET LOCAL ROLE erasure_clerk"))
            with pytest.raises(ErasureError) as caught:
                erase_customer("C1", session=session)
        assert (
            "GRANT UPDATE, DELETE ON customers, transactions, ml_features, model_predictions, "
            "fraud_patterns, anomaly_patterns TO erasure_clerk;"
        ) in str(caught.value)
        assert rows_of(bank) == before
    finally:
        with bank.engine.begin() as connection:
            connection.execute(text("DROP OWNED BY erasure_clerk; DROP ROLE erasure_clerk"))
