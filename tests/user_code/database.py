"""User code that reads from the database: what a type checker accepts, and what it rejects.

Each wrong call has a ``type: ignore``, which the checker reports where it would be unnecessary.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, assert_type

import pandas as pd
import polars as pl
from sqlalchemy import select

from synfin_analytics import (
    AnomalyPatternRepository,
    BaseRepository,
    Comparison,
    Confusion,
    Customer,
    CustomerRepository,
    DatabaseConfig,
    DatabaseManager,
    Evaluation,
    FraudPatternRepository,
    GroupedEvaluation,
    LoadReport,
    Merchant,
    MerchantRepository,
    MLFeatures,
    MLFeaturesRepository,
    ModelPredictionRepository,
    Transaction,
    TransactionRepository,
    detect_patterns,
    get_db_manager,
    get_db_session,
    read_batches,
    read_df,
    session_scope,
)
from synfin_analytics.database import HealthReport

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.orm import Session


def configure() -> None:
    config = DatabaseConfig(host="db.bank", port=5433, options={"connect_timeout": "3"})
    assert_type(DatabaseConfig.from_env(), DatabaseConfig)
    assert_type(config.get_connection_string(), str)
    DatabaseConfig(port="5432")  # type: ignore[arg-type]
    DatabaseConfig(hosts="db.bank")  # type: ignore[call-arg]
    config.host = "other"  # type: ignore[misc]


def manage(frame: pd.DataFrame) -> None:
    manager = get_db_manager()
    assert_type(manager, DatabaseManager)
    assert_type(manager.health_check(), HealthReport)
    assert_type(manager.get_pool_status()["size"], int)
    assert_type(manager.get_pool_status()["status"], Literal["not_initialized", "initialized"])
    assert_type(manager.execute_query("SELECT 1"), pd.DataFrame)
    assert_type(manager.execute_query(select(Customer), output="polars"), pl.DataFrame)
    assert_type(manager.bulk_insert(frame, table="merchants"), LoadReport)
    manager.bulk_insert([Merchant(merchant_id="M1")], 1000, on_conflict="skip")
    manager.bulk_insert([{"merchant_id": "M1"}], table=Merchant, on_invalid="reject")
    with (
        manager.session_scope() as session,
        session_scope() as other_session,
        get_db_session() as third,
    ):
        session.add_all([*other_session.new, *third.new])
    manager.get_pool_status()["sizes"]  # type: ignore[typeddict-item]
    manager.execute_query("SELECT 1", output="spark")  # type: ignore[call-overload]
    manager.execute_query(3)  # type: ignore[call-overload]
    manager.execute_query("SELECT 1", frame="polars")  # type: ignore[call-overload]
    manager.bulk_insert(frame, table="merchants", on_conflict="replace")  # type: ignore[arg-type]
    manager.bulk_insert(frame, table="merchants", lock="always")  # type: ignore[call-arg]
    manager.bulk_insert(5)  # type: ignore[arg-type]


def read(session: Session, engine: Engine) -> None:
    assert_type(read_df("transactions"), pd.DataFrame)
    assert_type(read_df(Transaction, session=session, output="pandas"), pd.DataFrame)
    assert_type(read_df("SELECT :n", {"n": 1}, output="polars", use_decimal=True), pl.DataFrame)
    assert_type(read_df(select(Transaction.amount), output="polars"), pl.DataFrame)
    with read_batches("transactions") as batches:
        for batch in batches:
            print(batch.num_rows)
    read_df("transactions", output="spark")  # type: ignore[call-overload]
    read_df("transactions", frame="polars")  # type: ignore[call-overload]
    read_df("transactions", exact=True)  # type: ignore[call-overload]
    read_df("SELECT :n", 1)  # type: ignore[call-overload]
    read_df(["transactions"])  # type: ignore[call-overload]
    read_df("transactions", session=engine)  # type: ignore[call-overload]
    read_batches("transactions", output="polars")  # type: ignore[call-arg]


def kinds_of_rows(session: Session, output: Literal["pandas", "polars"]) -> None:
    assert_type(TransactionRepository(session).list(), pd.DataFrame)
    assert_type(TransactionRepository(session, "polars").get_all(limit=10), pl.DataFrame)
    polars = TransactionRepository(session, output="polars")
    assert_type(polars, TransactionRepository[pl.DataFrame])
    assert_type(polars.list(Transaction.amount > 100, order_by="amount"), pl.DataFrame)
    assert_type(polars.get_by_date_range("2026-01-01", dt.date(2026, 1, 31)), pl.DataFrame)
    assert_type(polars.fraud_rate(by="channel", start="2026-01-01"), pl.DataFrame)
    assert_type(polars.fraud_rate(as_of=dt.date(2026, 3, 1)), pl.DataFrame)
    assert_type(CustomerRepository(session, output="polars").get_active_customers(), pl.DataFrame)
    assert_type(MerchantRepository(session).get_by_category("travel"), pd.DataFrame)
    assert_type(FraudPatternRepository(session).get_by_type("card_testing"), pd.DataFrame)
    assert_type(AnomalyPatternRepository(session, output="polars").list(), pl.DataFrame)
    TransactionRepository(session, output=output).list()
    TransactionRepository(session, output="spark")  # type: ignore[call-overload]
    TransactionRepository(session, frame="polars")  # type: ignore[call-overload]
    TransactionRepository()  # type: ignore[call-overload]


def helper(repository: TransactionRepository) -> pd.DataFrame:
    """Without a type argument, a repository returns pandas."""
    return repository.list(limit=5)


def any_table(repository: BaseRepository[Customer, pl.DataFrame]) -> pl.DataFrame:
    return repository.list(Customer.age > 18, order_by=[Customer.city, "age"], limit=3)


def entities(session: Session) -> None:
    customers = CustomerRepository(session)
    assert_type(customers.create(customer_id="C1", age=30), Customer)
    assert_type(customers.get_by_id("C1"), Customer | None)
    assert_type(customers.get_by_email("ana@example.org"), Customer | None)
    assert_type(customers.update("C1", age=31), Customer | None)
    assert_type(customers.delete("C1"), bool)
    assert_type(customers.count(), int)
    assert_type(customers.bulk_create([{"customer_id": "C1"}], batch_size=10), LoadReport)
    assert_type(MLFeaturesRepository(session).get_by_transaction_id("T1"), MLFeatures | None)
    customers.list(limit="ten")  # type: ignore[arg-type]
    customers.list("age > 18")  # type: ignore[arg-type]
    customers.list(order_by=3)  # type: ignore[arg-type]
    customers.get_by_id(1.5)  # type: ignore[arg-type]
    customers.get_high_risk_customers("high")  # type: ignore[arg-type]
    customers.bulk_create([1, 2])  # type: ignore[list-item]
    customers.get_by_category("travel")  # type: ignore[attr-defined]


def numbers(session: Session) -> None:
    statistics = TransactionRepository(session).get_statistics("2026-01-01")
    assert_type(statistics["total_count"], int)
    assert_type(statistics["fraud_rate"], float)
    assert_type(statistics["total_amount"], float | Decimal)
    predictions = ModelPredictionRepository(session)
    assert_type(predictions.evaluate("forest", "1.0", threshold=0.5), Evaluation)
    assert_type(predictions.evaluate("forest", "1.0", by="channel"), GroupedEvaluation)
    assert_type(predictions.evaluate("forest", "1.0", as_of="2026-03-01"), Evaluation)
    assert_type(predictions.compare_models([("forest", "1")], as_of="2026-03-01"), Comparison)
    assert_type(predictions.compare_models([("forest", "1.0"), ("logit", "1")]), Comparison)
    assert_type(predictions.confusion("forest", "1.0"), Confusion)
    assert_type(predictions.get_model_performance("forest", "1.0")["recall"], float)
    report = FraudPatternRepository(session).upsert(detect_patterns(pd.DataFrame()))
    assert_type(report.added, int)
    MLFeaturesRepository(session).engineer(label_delay="7d", start="2026-01-01")
    statistics["fraud_rates"]  # type: ignore[typeddict-item]
    predictions.evaluate("forest", "1.0", as_of=3)  # type: ignore[call-overload]
    predictions.evaluate("forest", "1.0", 0.5)  # type: ignore[call-overload]
    predictions.evaluate("forest", "1.0", level=0.9)  # type: ignore[call-overload]
    predictions.compare_models("forest")  # type: ignore[arg-type]
    predictions.evaluate("forest")  # type: ignore[call-overload]
    MLFeaturesRepository(session).engineer("2026-01-01")  # type: ignore[call-arg]
    TransactionRepository(session).fraud_rate(interval_method="wald")  # type: ignore[arg-type]
    TransactionRepository(session).fraud_rate(since="2026-01-01")  # type: ignore[call-arg]
    FraudPatternRepository(session).upsert(3)  # type: ignore[arg-type]


def as_dict(customer: Customer) -> None:
    assert_type(customer.to_dict(), dict[str, Any])
