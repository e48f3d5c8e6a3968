"""`list` of the repositories: conditions, order and limit, and clear errors."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import and_, func, or_, select, text

from synfin_analytics.database.models import TABLES, Customer, Merchant, Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError, QueryError
from synfin_analytics.repositories import (
    AnomalyPatternRepository,
    CustomerRepository,
    FraudPatternRepository,
    MerchantRepository,
    MLFeaturesRepository,
    ModelPredictionRepository,
    TransactionRepository,
)

REPOSITORIES = (
    CustomerRepository,
    MerchantRepository,
    TransactionRepository,
    MLFeaturesRepository,
    ModelPredictionRepository,
    FraudPatternRepository,
    AnomalyPatternRepository,
)


@pytest.fixture
def transactions(session):
    """Five transactions of two customers, T0 to T4, stored in another order."""
    CustomerRepository(session).create(customer_id="C1", city="Rome")
    CustomerRepository(session).create(customer_id="C2")
    MerchantRepository(session).create(merchant_id="M1")
    repository = TransactionRepository(session)
    for number, amount, customer in (
        (3, 20, "C1"), (0, 10, "C1"), (4, 50, "C2"), (1, 20, "C2"), (2, 30, "C1"),
    ):  # fmt: skip
        repository.create(
            transaction_id=f"T{number}",
            customer_id=customer,
            merchant_id="M1",
            amount=amount,
            timestamp=dt.datetime(2026, 3, 2, 12, number, tzinfo=dt.UTC),
            is_fraud={0: True, 1: None}.get(number, False),
        )
    return repository


def keys(rows: pd.DataFrame) -> list[str]:
    return rows["transaction_id"].tolist()


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_every_repository_lists_every_column_of_its_table(session, repository):
    rows = repository(session).list()
    assert rows.columns.tolist() == list(TABLES[repository.model.__tablename__].__table__.c.keys())


def test_all_conditions_must_hold(transactions):
    assert keys(transactions.list()) == ["T0", "T1", "T2", "T3", "T4"]
    assert keys(transactions.list(Transaction.amount >= 20)) == ["T1", "T2", "T3", "T4"]
    assert keys(transactions.list(Transaction.amount >= 20, Transaction.customer_id == "C1")) == [
        "T2",
        "T3",
    ]
    assert keys(
        transactions.list(or_(Transaction.is_fraud.is_(True), Transaction.is_fraud.is_(None)))
    ) == ["T0", "T1"]
    assert keys(transactions.list(Transaction.amount.between(15, 25))) == ["T1", "T3"]
    assert keys(transactions.list(Transaction.__table__.c.amount > 30)) == ["T4"]
    assert keys(transactions.list(Transaction.is_fraud)) == ["T0"]
    assert keys(transactions.list(text("amount > 30"))) == ["T4"]
    assert keys(transactions.list(and_(True))) == keys(transactions.list())


def test_a_condition_on_another_table_goes_into_a_subquery(transactions):
    in_rome = select(Customer.customer_id).where(Customer.city == "Rome")
    expected = ["T0", "T2", "T3"]
    assert keys(transactions.list(Transaction.customer_id.in_(in_rome))) == expected
    assert keys(transactions.list(Transaction.customer.has(Customer.city == "Rome"))) == expected
    assert (
        keys(
            transactions.list(
                select(Customer)
                .where(Customer.customer_id == Transaction.customer_id, Customer.city == "Rome")
                .exists()
            )
        )
        == expected
    )


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (None, "T0 T1 T2 T3 T4"),
        ("amount", "T0 T1 T3 T2 T4"),
        (Transaction.amount, "T0 T1 T3 T2 T4"),
        (Transaction.amount.desc(), "T4 T2 T1 T3 T0"),
        (Transaction.timestamp.desc(), "T4 T3 T2 T1 T0"),
        (Transaction.__table__.c.amount, "T0 T1 T3 T2 T4"),
        (["customer_id", Transaction.amount.desc()], "T2 T3 T0 T4 T1"),
        (("customer_id", "amount"), "T0 T3 T2 T1 T4"),
        ([], "T0 T1 T2 T3 T4"),
        (func.abs(Transaction.amount - 20), "T1 T3 T0 T2 T4"),
        ("is_fraud", "T2 T3 T4 T0 T1"),
    ],
)
def test_rows_are_sorted_and_ties_by_primary_key(transactions, order_by, expected):
    assert keys(transactions.list(order_by=order_by)) == expected.split()


def test_the_limit_is_the_maximum_number_of_rows(transactions):
    assert keys(transactions.list(order_by="amount", limit=2)) == ["T0", "T1"]
    assert keys(transactions.list(limit=0)) == []
    assert len(transactions.list(limit=None)) == len(transactions.list(limit=99)) == 5


@pytest.mark.parametrize(
    ("output", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("arrow", pa.Table)]
)
def test_rows_come_in_the_repositorys_output(transactions, session, output, kind):
    repository = TransactionRepository(session, output=output)
    assert isinstance(repository.list(Transaction.amount > 30), kind)
    assert isinstance(repository.list(Transaction.amount > 99), kind)
    exact = TransactionRepository(session, output="arrow", use_decimal=True).list(limit=1)
    assert str(exact["amount"][0].as_py()) == "10.00"


def test_pending_objects_are_listed_too(session):
    session.add(Merchant(merchant_id="M1"))
    assert MerchantRepository(session).list()["merchant_id"].tolist() == ["M1"]


@pytest.mark.parametrize(
    "condition",
    ["amount > 20", True, False, {"amount": 20}, None, 3, "amount" == "20"],
)
def test_a_condition_must_be_one_of_sqlalchemy(transactions, condition):
    with pytest.raises(
        ArgumentError, match=r"`where` must be conditions of SQLAlchemy, such as Transaction\."
    ):
        transactions.list(condition)


def test_a_condition_on_another_table_is_refused(transactions):
    with pytest.raises(
        ArgumentError, match=r"on the table 'transactions'; got one on 'customers'.*subquery"
    ):
        transactions.list(Customer.city == "Rome")
    with pytest.raises(ArgumentError, match="got one on 'customers'"):
        transactions.list(Transaction.customer_id == Customer.customer_id, Customer.age > 3)


def test_an_order_must_be_columns(transactions):
    with pytest.raises(NotFoundError, match=r"no column 'amonut' in 'transactions'.*'amount'"):
        transactions.list(order_by="amonut")
    for wrong in (3, [3], {"amount"}):
        with pytest.raises(ArgumentError, match="`order_by` must be columns, names of columns"):
            transactions.list(order_by=wrong)
    with pytest.raises(ArgumentError, match=r"`order_by` must be columns of .*'customers'"):
        transactions.list(order_by=Customer.city)


@pytest.mark.parametrize("limit", [-1, 1.5, True, "3"])
def test_a_limit_must_be_a_number_of_rows(transactions, limit):
    with pytest.raises(ArgumentError, match="`limit` must be a number of rows of at least 0"):
        transactions.list(limit=limit)


def test_a_condition_that_postgresql_rejects_leaves_the_session_usable(transactions):
    with pytest.raises(QueryError, match="aggregate functions are not allowed in WHERE"):
        transactions.list(func.count(Transaction.amount) > 1)
    with pytest.raises(QueryError, match="argument of WHERE must be type boolean"):
        transactions.list(Transaction.currency)
    assert len(transactions.list()) == 5
