"""Calls of the repository use the indexes that were made for them."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from sqlalchemy import text
from sqlalchemy.schema import CreateIndex

from synfin_analytics.database.models import Transaction
from synfin_analytics.io.load import load_df
from synfin_analytics.reports import _index_changes
from synfin_analytics.repositories import TransactionRepository

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
AMOUNT, FRAUD = str(_index_changes.AMOUNT.name), str(_index_changes.FRAUD.name)
ANOMALY = "ix_transactions_timestamp_anomaly"
MONTH = ("2026-03-01", "2026-03-31")
CALLS = {
    "largest": (lambda table: table.list(order_by=Transaction.amount.desc(), limit=10), 10, AMOUNT),
    "range of amounts": (lambda table: table.get_by_amount_range(10, 20), 11, AMOUNT),
    "high values": (lambda table: table.get_high_value_transactions(4990), 10, AMOUNT),
    "frauds": (lambda table: table.get_fraud_transactions(), 50, FRAUD),
    "frauds of a month": (lambda table: table.get_fraud_transactions(*MONTH), 8, FRAUD),
    "last frauds": (lambda table: table.get_fraud_transactions(limit=5), 5, FRAUD),
    "anomalies": (lambda table: table.get_anomaly_transactions(), 50, ANOMALY),
    "anomalies of a month": (lambda table: table.get_anomaly_transactions(*MONTH), 8, ANOMALY),
    "last anomalies": (lambda table: table.get_anomaly_transactions(limit=5), 5, ANOMALY),
}


@pytest.fixture
def table(session):
    """5,000 transactions of different amounts, an hour apart, of which 1% are frauds."""
    hour = pl.int_range(5000, dtype=pl.Int64)
    frame = pl.select(
        transaction_id=hour.cast(pl.String),
        customer_id=pl.lit("C"),
        merchant_id=pl.lit("M"),
        amount=(hour * 7 % 5000).cast(pl.Float64),
        timestamp=pl.lit(START) + pl.duration(hours=hour),
        is_fraud=hour % 100 == 0,
        is_anomaly=hour % 100 == 1,
    ).with_columns(amount=pl.max_horizontal("amount", 1))
    load_df(frame, "transactions", session=session, on_missing_parent="create")
    for index in (_index_changes.AMOUNT, _index_changes.FRAUD):
        session.execute(CreateIndex(index))
    session.execute(text("ANALYZE transactions"))
    return TransactionRepository(session)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_the_repository_uses_the_index_made_for_it(table, session, name):
    call, n_rows, index = CALLS[name]

    assert len(call(table)) == n_rows

    # The planner itself may read an entry at each end of an index.
    entries = text("SELECT pg_stat_get_xact_tuples_returned(CAST(:index AS regclass))")
    assert session.execute(entries, {"index": index}).scalar_one() >= n_rows
