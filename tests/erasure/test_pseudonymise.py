"""Pseudonyms in place of identifiers: analyses give the same results as before."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import text

from synfin_analytics import evaluate, fraud_rate, load_df, read_df, simulate
from synfin_analytics.database.grants import personal_columns
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArgumentError, ConfigurationError
from synfin_analytics.io.erasure import (
    customer_pseudonym,
    erase_customer,
    pseudonymise_customer,
)
from synfin_analytics.repositories import ModelPredictionRepository

KEY = "a key of a test, thirty-two bytes or more"
PSEUDONYM = re.compile("ps-[0-9a-f]{32}")


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("SYNFIN_PSEUDONYM_KEY", KEY)


@pytest.fixture
def world(manager):
    """A simulated bank with predictions; everything of a customer is personal."""
    world = simulate(customers=40, merchants=20, days=20, seed=2)
    for table in ("customers", "merchants", "transactions"):
        load_df(getattr(world, table), table)
    scores = pl.DataFrame(world.transactions).select(
        "transaction_id",
        model_name=pl.lit("logit"),
        model_version=pl.lit("1"),
        prediction=pl.col("amount") > 100,
        fraud_probability=(pl.col("amount") / (pl.col("amount") + 100)).clip(0, 1),
    )
    load_df(scores, "model_predictions")
    return manager


def identifiers(customer_id):
    """All that identifies a customer: the personal values of its rows."""
    values = {customer_id}
    for table, columns in personal_columns().items():
        rows = read_df(
            f"SELECT * FROM {table} WHERE customer_id = :id", {"id": customer_id}, output="polars"
        )
        for column in columns:
            values |= {value for value in rows[column].to_list() if isinstance(value, str)}
    return values


def texts(manager):
    with manager.session_scope(read_only=True) as session:
        return "\n".join(
            row
            for table in TABLES
            for row in session.execute(text(f"SELECT t::text FROM {table} AS t")).scalars()
        )


def test_no_identifier_is_left_anywhere(world):
    customers = read_df("SELECT customer_id FROM transactions LIMIT 3")["customer_id"].tolist()
    personal = set().union(*map(identifiers, customers))
    # A name or a postal code of one customer may be that of another one, too.
    own = {value for value in personal if len(value) > 6 and re.search("[0-9@]", value)}
    assert len(own) > 10

    pseudonymise_customer(customers)

    words = set(re.findall(r'[^,()" ]+', texts(world)))
    assert not own & words


def test_fraud_rates_and_evaluations_stay_the_same(world):
    customers = read_df("SELECT DISTINCT customer_id FROM transactions")["customer_id"].tolist()

    def measure():
        rows = read_df("transactions", output="polars").sort("transaction_id")
        scores = read_df("model_predictions", output="polars")
        joined = rows.join(scores, on="transaction_id", maintain_order="left")
        result = evaluate(joined["is_fraud"], joined["fraud_probability"])
        rates = fraud_rate(rows, by="channel").sort("channel")
        cards = rows.group_by("customer_id", "card_id", "device_id").len()["len"].sort().to_list()
        with world.session_scope() as session:
            stored = ModelPredictionRepository(session).evaluate("logit", "1").to_dict()
        return rates, (result.to_dict(), cards, stored)

    rates_before, before = measure()
    report = pseudonymise_customer(customers)
    rates, after = measure()
    assert report.customers == len(customers)
    assert after == before
    assert_frame_equal(rates, rates_before)  # sums of floats, in any order


def test_the_same_customer_keeps_the_pseudonym_in_a_later_load(world):
    (customer,) = read_df("SELECT customer_id FROM transactions LIMIT 1")["customer_id"]
    row = read_df(
        "SELECT * FROM transactions WHERE customer_id = :id", {"id": customer}, output="polars"
    )
    pseudonymise_customer(customer)
    later = row.head(1).with_columns(transaction_id=pl.lit("T-later"))
    load_df(pl.DataFrame({"customer_id": [customer], "age": [33]}), "customers")
    load_df(later, "transactions")

    pseudonymise_customer(customer)

    rows = read_df(
        "SELECT t.transaction_id, t.card_id, c.age FROM transactions AS t JOIN customers AS c "
        "USING (customer_id) WHERE customer_id = :id",
        {"id": customer_pseudonym(customer)},
        output="polars",
    )
    assert set(rows["transaction_id"]) == {*row["transaction_id"], "T-later"}
    assert set(rows["age"]) == {33}
    assert all(map(PSEUDONYM.fullmatch, rows["card_id"].drop_nulls()))
    assert rows["card_id"].n_unique() == row["card_id"].n_unique()


def test_a_shared_card_gets_the_same_pseudonym_in_rows_of_others(manager):
    load_df(pl.DataFrame({"customer_id": ["C1", "C2"]}), "customers")
    load_df(pl.DataFrame({"merchant_id": ["M1"]}), "merchants")
    load_df(
        pl.DataFrame({
            "transaction_id": ["T1", "T2"], "customer_id": ["C1", "C2"], "merchant_id": "M1",
            "card_id": "K", "latitude": 60.0, "amount": 1.0, "timestamp": "2026-03-01",
        }),
        "transactions",
    )  # fmt: skip

    assert pseudonymise_customer("C1").shared == 1

    rows = read_df("SELECT customer_id, card_id, latitude FROM transactions ORDER BY 1").to_dict(
        "list"
    )
    assert rows["customer_id"] == ["C2", customer_pseudonym("C1")]
    assert rows["card_id"][0] == rows["card_id"][1] != "K"
    assert rows["latitude"][0] == 60.0
    assert rows["latitude"][1] != rows["latitude"][1]  # NaN: NULL


def test_patterns_have_the_pseudonym(manager):
    load_df(pl.DataFrame({"customer_id": ["C1", "C2"]}), "customers")
    with manager.session_scope() as session:
        session.execute(
            text("INSERT INTO fraud_patterns (pattern_type, description, characteristics) "
                 "VALUES ('own', 'C1 pays C2', '{\"customers\": [\"C1\", \"C2\"]}')")
        )  # fmt: skip
    pseudonymise_customer("C1")
    description, characteristics = read_df(
        "SELECT description, characteristics FROM fraud_patterns"
    ).loc[0]
    assert json.loads(characteristics) == {"customers": [customer_pseudonym("C1"), "C2"]}
    assert description == f"{customer_pseudonym('C1')} pays C2"


def test_a_pseudonym_can_be_erased(world):
    (customer,) = read_df("SELECT customer_id FROM transactions LIMIT 1")["customer_id"]
    pseudonymise_customer(customer)
    assert erase_customer(customer_pseudonym(customer)).customers == 1


def test_another_key_gives_other_pseudonyms(monkeypatch):
    first = customer_pseudonym("C1")
    monkeypatch.setenv("SYNFIN_PSEUDONYM_KEY", KEY + "!")
    assert customer_pseudonym("C1") != first


@pytest.mark.parametrize("key", [None, "", "too short"])
def test_a_key_that_is_missing_or_short_changes_nothing(world, monkeypatch, key):
    monkeypatch.delenv("SYNFIN_PSEUDONYM_KEY")
    if key is not None:
        monkeypatch.setenv("SYNFIN_PSEUDONYM_KEY", key)
    before = texts(world)
    (customer,) = read_df("SELECT customer_id FROM customers LIMIT 1")["customer_id"]
    with pytest.raises(ConfigurationError, match="SYNFIN_PSEUDONYM_KEY must") as caught:
        pseudonymise_customer(customer)
    assert "too short" not in str(caught.value)
    assert texts(world) == before


def test_a_pseudonym_gets_no_pseudonym(world):
    with pytest.raises(ArgumentError, match="got a pseudonym"):
        pseudonymise_customer(customer_pseudonym("C1"))


def test_a_dry_run_counts_the_same_rows(world):
    (customer,) = read_df("SELECT customer_id FROM transactions LIMIT 1")["customer_id"]
    dry = pseudonymise_customer(customer, dry_run=True)
    assert dry.changed == pseudonymise_customer(customer).changed


def test_every_personal_column_can_be_null_or_hold_a_pseudonym():
    for table, columns in personal_columns().items():
        for name in columns:
            column = TABLES[table].__table__.c[name]
            assert column.nullable or column.type.length >= len(customer_pseudonym("C1"))
