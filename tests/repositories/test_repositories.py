"""What every repository does: one entity as an object, many as a frame, errors in words."""

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import text

from synfin_analytics.database.models import TABLES, Customer, Transaction
from synfin_analytics.exceptions import ArgumentError, InvalidDataError, NotFoundError, QueryError
from synfin_analytics.repositories import (
    AnomalyPatternRepository,
    CustomerRepository,
    FraudPatternRepository,
    MerchantRepository,
    MLFeaturesRepository,
    ModelPredictionRepository,
    TransactionRepository,
)

REPOSITORIES = {
    repository.model.__tablename__: repository
    for repository in (
        TransactionRepository,
        CustomerRepository,
        MerchantRepository,
        MLFeaturesRepository,
        ModelPredictionRepository,
        FraudPatternRepository,
        AnomalyPatternRepository,
    )
}
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)  # a Monday


@pytest.fixture
def parents(session):
    """One customer and one merchant, to refer to."""
    CustomerRepository(session).create(customer_id="C1", email="someone@example.org")
    MerchantRepository(session).create(merchant_id="M1")


def a_transaction(key="T1", **values):
    return {
        "transaction_id": key,
        "customer_id": "C1",
        "merchant_id": "M1",
        "amount": Decimal("12.50"),
        "timestamp": NOON,
    } | values


def minimal(table: str, key: int) -> dict:
    """Least that a row of ``table`` needs."""
    return {
        "transactions": a_transaction(f"N{key}"),
        "customers": {"customer_id": f"N{key}"},
        "merchants": {"merchant_id": f"N{key}"},
        "ml_features": {"transaction_id": f"T{key}", "hour_sin": 0.5},
        "model_predictions": {
            "transaction_id": f"T{key}",
            "model_name": "rf",
            "model_version": "1",
            "prediction": True,
        },
        "fraud_patterns": {"pattern_type": "card_testing", "characteristics": {"n": [1, "two"]}},
        "anomaly_patterns": {"pattern_type": "holiday_travel"},
    }[table]


@pytest.mark.parametrize("table", TABLES)
def test_entities_are_created_found_changed_counted_and_deleted(session, parents, table):
    for key in (1, 2, 3):
        TransactionRepository(session).create(**a_transaction(f"T{key}"))
    repository = REPOSITORIES[table](session)
    before = repository.count()
    entities = [repository.create(**minimal(table, key)) for key in (1, 2, 3)]
    keys = [next(iter(entity.__mapper__.primary_key_from_instance(entity))) for entity in entities]
    assert repository.count() == before + 3
    assert repository.get_by_id(keys[0]) is entities[0]

    frame = repository.get_all()
    key_name = repository.model.__table__.primary_key.columns[0].name
    assert frame.columns.tolist() == list(repository.model.__table__.columns.keys())
    assert frame[key_name].is_monotonic_increasing
    assert len(frame) == before + 3

    changed = repository.update(keys[1], **minimal(table, 2))
    assert changed is entities[1]
    assert repository.delete(keys[2]) is True
    assert repository.delete(keys[2]) is False
    assert repository.get_by_id(keys[2]) is None
    assert repository.update(keys[2]) is None
    assert repository.count() == before + 2


def test_an_object_of_the_session_is_returned_until_it_expires(manager):
    with manager.session_scope() as session:
        CustomerRepository(session).create(customer_id="C1")
    with manager.get_session() as session:
        customer = CustomerRepository(session).get_by_id("C1")
        session.commit()
        with manager.session_scope() as other:
            CustomerRepository(other).delete("C1")

        assert CustomerRepository(session).get_by_id("C1") is customer  # as the session keeps it
        session.expire_all()
        assert CustomerRepository(session).get_by_id("C1") is None


@pytest.mark.parametrize(
    "prepare",
    [
        lambda session: session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}),
        lambda session: session.connection().connection.driver_connection.set_client_encoding(
            "LATIN1"
        ),
    ],
    ids=["autocommit", "latin1"],
)
def test_a_lookup_works_in_every_kind_of_session(manager, prepare):
    with manager.session_scope() as session:
        CustomerRepository(session).create(customer_id="Zoë", email="zoë@example.org")
    with manager.get_session() as session:
        prepare(session)
        customers = CustomerRepository(session)

        assert customers.get_by_id("Zoë").email == "zoë@example.org"
        assert customers.get_by_email("zoë@example.org").customer_id == "Zoë"
        assert customers.get_by_email("zoe@example.org") is None


@pytest.mark.parametrize(
    ("kind", "frame_type"),
    [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("arrow", pa.Table)],
)
def test_an_empty_frame_has_the_types_of_a_full_one(session, parents, kind, frame_type):
    repository = TransactionRepository(session, output=kind)
    empty = repository.get_all()
    repository.create(**a_transaction())
    full = repository.get_all()
    assert isinstance(full, frame_type)
    assert len(empty) == 0
    assert len(full) == 1
    types = (lambda frame: list(frame.dtypes)) if kind != "arrow" else (lambda frame: frame.schema)
    assert types(empty) == types(full)


def test_money_comes_as_float_or_exactly(session, parents):
    TransactionRepository(session).create(**a_transaction(amount=Decimal("0.10")))
    assert TransactionRepository(session).get_all()["amount"].tolist() == [0.1]
    exact = TransactionRepository(session, use_decimal=True).get_all()["amount"].tolist()
    assert exact == [Decimal("0.10")]


def test_limit_none_means_all_and_pages_do_not_overlap(session, parents):
    repository = TransactionRepository(session, output="polars")
    for key in range(7):
        repository.create(**a_transaction(f"T{key}"))  # all at the same moment
    expected = repository.get_by_customer("C1")["transaction_id"].to_list()
    pages = [
        repository.get_by_customer("C1", limit=3, offset=offset)["transaction_id"].to_list()
        for offset in (0, 3, 6, 9)
    ]
    assert expected == [f"T{key}" for key in range(7)]
    assert pages == [expected[:3], expected[3:6], expected[6:], []]
    assert len(repository.get_all(limit=0)) == 0


def test_what_was_added_to_the_session_is_read_before_it_is_committed(session, parents):
    assert session.autoflush is False
    session.add(Transaction(**a_transaction("ADDED")))
    repository = TransactionRepository(session)
    assert repository.get_by_customer("C1")["transaction_id"].tolist() == ["ADDED"]
    repository.get_by_id("ADDED").amount = Decimal(99)
    assert repository.get_all()["amount"].tolist() == [99]
    assert repository.get_statistics()["total_amount"] == 99


def test_nothing_is_committed(manager, session, parents):
    with manager.get_session() as other_session:
        assert CustomerRepository(other_session).count() == 0
    session.rollback()
    assert CustomerRepository(session).count() == 0


def test_values_are_bound_never_formatted_in(session, parents):
    nasty = "C1'; DROP TABLE transactions; --"
    CustomerRepository(session).create(customer_id=nasty)
    assert len(TransactionRepository(session).get_by_customer(nasty)) == 0
    assert CustomerRepository(session).get_by_id(nasty).customer_id == nasty


# -- Values that come in ---------------------------------------------------------------------------


def test_a_naive_datetime_is_read_as_utc(session, parents):
    naive = dt.datetime.fromisoformat("2026-03-02T12:00")
    entity = TransactionRepository(session).create(**a_transaction(timestamp=naive))
    assert entity.timestamp == NOON
    assert entity.hour_of_day == 12
    assert entity.day_of_week == 0


def test_values_of_numpy_and_pandas_are_taken(session, parents):
    entity = TransactionRepository(session).create(
        **a_transaction(
            amount=np.float64(3.25),
            timestamp=pd.Timestamp("2026-03-02T13:00+01:00"),
            is_fraud=np.bool_(True),
            fraud_score=pd.NA,
            hour_of_day=np.int64(12),
        )
    )
    session.refresh(entity)
    assert (entity.amount, entity.timestamp, entity.is_fraud) == (Decimal("3.25"), NOON, True)
    assert entity.fraud_score is None


def test_a_key_may_be_given_as_the_number_that_it_is(session):
    CustomerRepository(session).create(customer_id=596)
    assert CustomerRepository(session).get_by_id(596).customer_id == "596"
    assert len(TransactionRepository(session).get_by_customer(596)) == 0


def test_json_comes_back_as_it_went_in(session):
    value = {"hours": [1, 2], "why": "ü"}
    entity = FraudPatternRepository(session).create(pattern_type="burst", characteristics=value)
    session.refresh(entity)
    assert entity.characteristics == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"amount": Decimal("12.345")}, "amount: has more than 2 decimals .* got 12.345"),
        ({"amount": -1}, "amount: must be above 0; got -1"),
        ({"amount": math.nan}, "amount: is required"),
        ({"amount": "much"}, "amount: is text, not a number"),
        ({"fraud_score": 1.5}, "fraud_score: must be from 0 to 1; got 1.5"),
        ({"status": "done"}, "status: must be one of pending, approved"),
        ({"currency": "eur"}, "currency: must be three capital letters"),
        ({"city": "x" * 101}, "city: is longer than 100 characters"),
        ({"city": "a\0b"}, "city: contains a NUL character"),
        ({"timestamp": "soon"}, "timestamp: is not a date and time"),
    ],
)
def test_values_that_the_table_does_not_accept_are_refused_in_words(
    session, parents, values, message
):
    repository = TransactionRepository(session)
    with pytest.raises(InvalidDataError, match=message):
        repository.create(**a_transaction(**values))
    repository.create(**a_transaction())
    with pytest.raises(InvalidDataError, match=message):
        repository.update("T1", **values)
    assert repository.get_statistics()["total_amount"] == 12.5


def test_all_errors_are_reported_at_once(session):
    with pytest.raises(InvalidDataError) as caught:
        TransactionRepository(session).create(transaction_id="T1", amount=0, is_fraud="maybe")
    assert set(caught.value.columns) == {
        "customer_id", "merchant_id", "timestamp", "amount", "is_fraud",
    }  # fmt: skip


def test_an_unknown_column_comes_with_the_nearest(session, parents):
    repository = TransactionRepository(session)
    with pytest.raises(NotFoundError, match=r"no column 'ammount' in 'transactions'.*'amount'"):
        repository.create(**a_transaction(ammount=1))
    with pytest.raises(NotFoundError, match="'is_fraud'"):
        repository.update("T1", isfraud=True)


# -- What the database refuses ---------------------------------------------------------------------


def test_a_key_that_exists_is_refused_and_the_session_stays_usable(session, parents):
    repository = TransactionRepository(session)
    repository.create(**a_transaction())
    with pytest.raises(
        InvalidDataError, match="transaction_id: another row already has this key"
    ) as caught:
        repository.create(**a_transaction())
    assert caught.value.columns == ("transaction_id",)
    repository.create(**a_transaction("T2"))
    session.commit()
    assert repository.count() == 2


def test_a_parent_that_does_not_exist_is_named(session, parents):
    with pytest.raises(InvalidDataError, match="merchant_id: names no row of 'merchants'"):
        TransactionRepository(session).create(**a_transaction(merchant_id="M9"))
    assert CustomerRepository(session).count() == 1


def test_a_key_of_several_columns_is_named_whole(session, parents):
    TransactionRepository(session).create(**a_transaction())
    predictions = ModelPredictionRepository(session)
    predictions.create(**minimal("model_predictions", 1))
    with pytest.raises(InvalidDataError, match="transaction_id, model_name, model_version: "):
        predictions.create(**minimal("model_predictions", 1))


def test_personal_data_are_in_no_message(session, parents):
    customers = CustomerRepository(session)
    with pytest.raises(InvalidDataError, match="email: another row") as duplicate:
        customers.create(customer_id="C2", email="someone@example.org")
    with pytest.raises(InvalidDataError, match="not shown") as long:
        customers.create(customer_id="C2", email="someone@example.org" * 20)
    with pytest.raises(ArgumentError, match="not shown") as sought:
        customers.get_by_email("someone\0@example.org")
    for caught in (duplicate, long, sought):
        assert "someone" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_row_that_others_refer_to_is_kept(session, parents):
    TransactionRepository(session).create(**a_transaction())
    with pytest.raises(ArgumentError, match="'transactions' refer to this row of 'customers'"):
        CustomerRepository(session).delete("C1")
    assert CustomerRepository(session).count() == 1


def test_an_update_that_fails_leaves_the_entity_as_it_was(session, parents):
    repository = TransactionRepository(session)
    entity = repository.create(**a_transaction())
    with pytest.raises(InvalidDataError, match="names no row"):
        repository.update("T1", customer_id="C9", amount=77)
    assert (entity.customer_id, entity.amount) == ("C1", Decimal("12.50"))


def test_a_session_that_was_broken_before_says_what_to_do(session, parents):
    session.commit()
    session.add(Customer(customer_id="C1"))
    repository = CustomerRepository(session)
    with pytest.raises((InvalidDataError, QueryError)):
        repository.count()
    session.rollback()
    assert repository.count() == 1


# -- Arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"limit": -1}, {"offset": -1}, {"limit": 1.5}, {"limit": True}])
def test_limit_and_offset_are_numbers_of_rows(session, wrong):
    with pytest.raises(ArgumentError, match="must be a number of rows of at least 0"):
        CustomerRepository(session).get_all(**wrong)


def test_a_frame_that_is_none_is_refused(session):
    with pytest.raises(ArgumentError, match='"pandas", "polars" or "arrow"'):
        CustomerRepository(session, output="excel")


@pytest.mark.parametrize("key", [None, 1.5, "x" * 51])
def test_a_key_that_can_be_none_is_refused(session, key):
    with pytest.raises(ArgumentError, match="customer_id"):
        CustomerRepository(session).get_by_id(key)


def test_reading_takes_part_in_the_sessions_transaction(session, parents):
    session.execute(text("UPDATE customers SET age = 41"))
    assert CustomerRepository(session).get_all()["age"].tolist() == [41]
