"""How PostgreSQL counts by time: in slices that share no group, under settings that do not stay."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from sqlalchemy import func, select

from synfin_analytics._core.dates import Period
from synfin_analytics.database.models import Transaction
from synfin_analytics.io.load import load_df
from synfin_analytics.repositories import TransactionRepository
from synfin_analytics.repositories._counting import BY_SLICE, query_settings, time_slices

DAYS = [dt.datetime(2026, 3, day, tzinfo=dt.UTC) for day in range(1, 9)]


def put(session, moments) -> None:
    frame = pl.DataFrame({"timestamp": moments}).with_columns(
        transaction_id=pl.int_range(pl.len()).cast(pl.String),
        customer_id=pl.lit("C"),
        merchant_id=pl.lit("M"),
        amount=pl.lit(1.0),
    )
    load_df(frame, "transactions", session=session, on_missing_parent="create")


def sizes(session, every: str, *where) -> list[int]:
    parts = time_slices(session, Transaction.timestamp, Period.parse(every), where)
    counted = select(func.count()).select_from(Transaction)
    return [session.execute(counted.where(*where, *part)).scalar_one() for part in parts]


def test_slices_of_time_hold_each_transaction_once(session):
    put(session, DAYS)
    assert sizes(session, "1d") == [1, 2, 2, 3]


def test_slices_are_of_the_time_that_is_requested(session):
    put(session, DAYS)
    assert sizes(session, "1d", Transaction.timestamp >= DAYS[4]) == [1, 1, 2]


@pytest.mark.parametrize("every", ["1mo", "2q", "1y"])
def test_a_unit_of_time_is_not_cut(session, every):
    put(session, DAYS)
    assert sizes(session, every) == [8]


def test_without_transactions_one_slice_holds_all_none_of_them(session):
    assert sizes(session, "1d") == [0]


def test_what_happened_at_the_moment_of_a_cut_counts_once(session):
    put(session, DAYS)
    result = TransactionRepository(session).fraud_rate(every="1d")
    assert result["timestamp"].tolist() == DAYS
    assert result["transactions"].tolist() == [1] * 8


def test_settings_of_a_query_do_not_outlast_it(session):
    put(session, DAYS)

    def setting() -> str:
        name = "hash_mem_multiplier"
        return session.execute(select(func.current_setting(name))).scalar_one()

    before = setting()
    with query_settings(session, BY_SLICE):
        assert setting() == "8"
    assert setting() == before
    TransactionRepository(session).fraud_rate(every="1d")
    assert setting() == before
