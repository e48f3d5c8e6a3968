"""The models as Python objects: names, counts, relationships, what a repr shows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError

from synfin_analytics.database.models import (
    TABLES,
    AnomalyPattern,
    Customer,
    FraudPattern,
    Merchant,
    MLFeatures,
    ModelPrediction,
    Transaction,
    model_of,
)
from synfin_analytics.exceptions import ArgumentError, NotFoundError


def names(listed):
    return listed.split()


NOON = dt.datetime(2026, 3, 14, 12, 30, tzinfo=dt.UTC)  # a Saturday

FEATURES = names("""
    amount_normalized amount_log amount_zscore amount_deviation_from_mean amount_percentile
    amount_to_max_ratio amount_to_merchant_avg_ratio amount_is_round
    hour_sin hour_cos day_sin day_cos month_sin month_cos is_weekend is_night is_holiday
    is_business_hours
    tx_velocity_1h tx_velocity_6h tx_velocity_24h tx_velocity_7d tx_velocity_30d
    amount_velocity_1h amount_velocity_6h amount_velocity_24h amount_velocity_7d
    amount_velocity_30d avg_amount_24h avg_amount_7d avg_amount_30d
    distinct_merchants_24h distinct_merchants_7d distinct_countries_24h
    unusual_time unusual_location unusual_amount unusual_merchant is_new_merchant is_new_country
    is_new_device is_burst
    customer_lifetime_value customer_avg_amount customer_std_amount customer_max_amount
    customer_transaction_count customer_transaction_frequency customer_active_days
    customer_merchant_diversity customer_prior_fraud_count
    merchant_avg_amount merchant_transaction_count merchant_fraud_rate
    merchant_tx_count_1d merchant_tx_count_7d merchant_tx_count_30d
    merchant_fraud_rate_1d merchant_fraud_rate_7d merchant_fraud_rate_30d
    distance_normalized distance_from_last_normalized travel_speed_kmh impossible_travel
    distance_from_usual
    time_since_last_normalized time_since_signup time_since_last_same_merchant
    time_since_first_transaction
""")

TRANSACTION = names("""
    transaction_id customer_id merchant_id card_id terminal_id amount currency exchange_rate
    latitude longitude city state country zip_code
    timestamp hour_of_day day_of_week day_of_month month is_weekend is_holiday
    transaction_type category payment_method card_type channel entry_mode is_online card_present
    is_international status device_id device_type ip_address merchant_category merchant_city
    is_fraud fraud_type fraud_score fraud_reason label_available_at
    is_anomaly anomaly_type anomaly_score
    transactions_last_hour transactions_last_day amount_last_hour amount_last_day
    distance_from_home distance_from_last time_since_last_transaction time_of_day_category
    merchant_risk_score customer_risk_score created_at updated_at
""")

INDEXES = {
    "customers": {"ix_customers_risk_score"},
    "merchants": {"ix_merchants_category", "ix_merchants_risk_score"},
    "transactions": {
        "ix_transactions_timestamp",
        "ix_transactions_is_fraud",
        "ix_transactions_fraud_type",
        "ix_transactions_fraud_reason",
        "ix_transactions_customer_id_timestamp",
        "ix_transactions_merchant_id_timestamp",
        "ix_transactions_timestamp_is_fraud",
        "ix_transactions_timestamp_anomaly",
    },
    "ml_features": set(),
    "model_predictions": {"ix_model_predictions_model_name_model_version_predicted_at"},
    "fraud_patterns": {"ix_fraud_patterns_pattern_type"},
    "anomaly_patterns": {"ix_anomaly_patterns_pattern_type"},
}


@pytest.fixture
def parties(session):
    session.add_all([Customer(customer_id="C1"), Merchant(merchant_id="M1")])
    session.flush()


@pytest.fixture
def transaction(session, parties):
    record = Transaction(
        transaction_id="TX1", customer_id="C1", merchant_id="M1", amount=100, timestamp=NOON
    )
    session.add(record)
    session.flush()
    return record


# -- Names and counts -------------------------------------------------------------------------


def test_transactions_have_these_56_columns_in_this_order():
    assert [column.name for column in Transaction.__table__.columns] == TRANSACTION
    assert len(TRANSACTION) == 56


def test_there_are_these_69_features_in_this_order():
    assert MLFeatures.feature_names() == FEATURES
    assert len(FEATURES) == 69


@pytest.mark.parametrize("table", TABLES)
def test_indexes_have_the_names_and_columns_of_the_specification(table):
    indexes = TABLES[table].__table__.indexes

    assert {index.name for index in indexes} == INDEXES[table]
    for index in indexes:
        columns = "_".join(column.name for column in index.columns)
        condition = index.dialect_options["postgresql"]["where"]
        if condition is not None:
            columns += "_" + str(condition).removeprefix("is_").removesuffix(" IS TRUE")
        assert index.name == f"ix_{table}_{columns}"


def test_only_identity_amount_and_timestamp_of_a_transaction_are_required():
    given_by_the_database = {"created_at", "updated_at"}
    required = {c.name for c in Transaction.__table__.columns if not c.nullable}

    assert required - given_by_the_database == {
        "transaction_id",
        "customer_id",
        "merchant_id",
        "amount",
        "timestamp",
    }


def test_both_pattern_tables_have_the_same_columns():
    def described(model):
        return [(c.name, str(c.type), c.nullable) for c in model.__table__.columns]

    assert described(FraudPattern) == described(AnomalyPattern)


# -- Models by name ---------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_model_of_a_table_is_found_by_name_and_by_model(table):
    assert model_of(table) is TABLES[table]
    assert model_of(TABLES[table]) is TABLES[table]


def test_unknown_table_comes_with_the_nearest():
    with pytest.raises(NotFoundError, match=r"'costumers'\. Did you mean 'customers'"):
        model_of("costumers")


def test_what_is_no_table_is_refused():
    with pytest.raises(ArgumentError, match="int"):
        model_of(7)


# -- Objects ----------------------------------------------------------------------------------


def test_to_dict_gives_every_column_in_order(transaction):
    values = transaction.to_dict()

    assert list(values) == TRANSACTION
    assert values["transaction_id"] == "TX1"
    assert values["timestamp"] == NOON
    assert values["currency"] is None


def test_repr_shows_the_key_and_no_personal_data():
    person = Customer(
        customer_id="C1", first_name="Ada", last_name="Byron", email="ada@example.org", phone="555"
    )

    assert repr(person) == "Customer(customer_id='C1')"
    assert repr(MLFeatures(transaction_id="TX1")) == "MLFeatures(id=None)"


def test_personal_data_are_marked():
    marked = {c.name for c in Customer.__table__.columns if c.info.get("pii")}

    assert {"first_name", "last_name", "email", "phone", "date_of_birth", "address"} <= marked
    assert "customer_id" not in marked
    assert "amount" not in marked


def test_relationships_lead_both_ways(session, transaction):
    session.add(MLFeatures(transaction_id="TX1", amount_log=4.6))
    for version in ("1.0", "1.1"):
        session.add(
            ModelPrediction(
                transaction_id="TX1", model_name="rf", model_version=version, prediction=True
            )
        )
    session.flush()
    session.expire_all()

    customer = session.get_one(Customer, "C1")
    merchant = session.get_one(Merchant, "M1")
    (record,) = customer.transactions
    assert merchant.transactions == [record]
    assert record.customer is customer
    assert record.merchant is merchant
    assert record.features.transaction is record
    assert {p.model_version for p in record.predictions} == {"1.0", "1.1"}
    assert all(p.transaction is record for p in record.predictions)


def test_every_relationship_names_its_other_end():
    for model in TABLES.values():
        for relationship in inspect(model).relationships:
            reverse = relationship.mapper.relationships[relationship.back_populates]
            assert reverse.mapper.class_ is model


def test_objects_can_be_joined_before_they_have_keys(session):
    record = Transaction(
        transaction_id="TX9",
        amount=Decimal("9.99"),
        timestamp=NOON,
        customer=Customer(customer_id="C9"),
        merchant=Merchant(merchant_id="M9"),
    )
    session.add(record)
    session.flush()

    assert (record.customer_id, record.merchant_id) == ("C9", "M9")


# -- What the database gives back ------------------------------------------------------------


def test_values_that_the_database_fills_in_are_there_after_the_flush(transaction):
    assert inspect(transaction).expired_attributes == set()
    assert transaction.hour_of_day == 12
    assert transaction.day_of_week == 5
    assert transaction.day_of_month == 14
    assert transaction.month == 3
    assert transaction.is_weekend is True
    assert transaction.time_of_day_category == "afternoon"
    assert transaction.created_at == transaction.updated_at


def test_changed_timestamp_brings_its_columns_after_the_flush(session, transaction):
    transaction.timestamp = dt.datetime(2026, 4, 1, 3, 0, tzinfo=dt.UTC)
    session.flush()

    assert inspect(transaction).expired_attributes == set()
    assert (transaction.hour_of_day, transaction.day_of_week) == (3, 2)
    assert (transaction.day_of_month, transaction.month) == (1, 4)
    assert transaction.is_weekend is False
    assert transaction.time_of_day_category == "night"


def test_updated_at_is_there_after_the_flush(session, transaction):
    updated_at = transaction.updated_at
    session.commit()

    transaction.city = "Lyon"
    session.flush()

    assert transaction.updated_at > updated_at
    assert transaction.created_at == updated_at


def test_is_correct_of_a_prediction_is_there_after_the_flush(session, transaction):
    record = ModelPrediction(
        transaction_id="TX1", model_name="rf", model_version="1", prediction=True, ground_truth=True
    )
    session.add(record)
    session.flush()
    assert record.is_correct is True

    record.ground_truth = False
    session.flush()
    assert record.is_correct is False


def test_json_keeps_its_structure(session, transaction):
    weights = {"amount_log": 0.5, "nested": {"list": [1, None, "x"]}}
    session.add(
        ModelPrediction(
            transaction_id="TX1",
            model_name="rf",
            model_version="1",
            prediction=False,
            feature_importance=weights,
        )
    )
    session.flush()

    assert session.scalars(select(ModelPrediction.feature_importance)).one() == weights


# -- Keys -------------------------------------------------------------------------------------


def refused_by(session, *rows):
    """Name of the constraint that refuses ``rows``."""
    savepoint = session.begin_nested()
    session.add_all(rows)
    with pytest.raises(IntegrityError) as refusal:
        session.flush()
    savepoint.rollback()
    return refusal.value.orig.diag.constraint_name


def test_email_is_unique_where_it_is_given(session):
    session.add_all([Customer(customer_id="C1"), Customer(customer_id="C2")])  # both without
    session.add(Customer(customer_id="C3", email="ada@example.org"))
    session.flush()

    again = Customer(customer_id="C4", email="ada@example.org")
    assert refused_by(session, again) == "uq_customers_email"


def test_one_row_of_features_for_a_transaction(session, transaction):
    session.add(MLFeatures(transaction_id="TX1"))
    session.flush()

    again = MLFeatures(transaction_id="TX1")
    assert refused_by(session, again) == "uq_ml_features_transaction_id"


def test_one_prediction_of_a_version_of_a_model_for_a_transaction(session, transaction):
    prediction_values = {"transaction_id": "TX1", "model_name": "rf", "prediction": True}
    session.add_all(
        ModelPrediction(**prediction_values, model_version=version) for version in ("1", "2")
    )
    session.flush()

    assert refused_by(session, ModelPrediction(**prediction_values, model_version="2")) == (
        "uq_model_predictions_transaction_id_model_name_model_version"
    )


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        (
            {"customer_id": "nobody", "merchant_id": "M1"},
            "fk_transactions_customer_id_customers",
        ),
        (
            {"customer_id": "C1", "merchant_id": "nowhere"},
            "fk_transactions_merchant_id_merchants",
        ),
    ],
)
def test_a_transaction_needs_its_parties(session, parties, row, constraint):
    orphan = Transaction(transaction_id="TX1", amount=1, timestamp=NOON, **row)

    assert refused_by(session, orphan) == constraint


def test_features_and_predictions_need_their_transaction(session):
    features = MLFeatures(transaction_id="none")
    prediction = ModelPrediction(
        transaction_id="none", model_name="rf", model_version="1", prediction=True
    )

    assert refused_by(session, features) == "fk_ml_features_transaction_id_transactions"
    assert refused_by(session, prediction) == "fk_model_predictions_transaction_id_transactions"
