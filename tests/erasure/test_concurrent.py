"""Other sessions add rows of a customer while the customer is erased."""

from __future__ import annotations

import threading

import polars as pl
import pytest
import servers
from sqlalchemy import text

from synfin_analytics import InvalidDataError, erase_customer, load_df, read_df

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
INSERT = """
    INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)
    VALUES ('T1', 'C1', 'M1', 1, '2026-01-01Z')
"""


@pytest.fixture
def bank(manager):
    load_df(pl.DataFrame({"customer_id": ["C1", "C2"]}), "customers")
    load_df(pl.DataFrame({"merchant_id": ["M1"]}), "merchants")
    return manager


def wait_for_a_waiting_session(manager):
    def waits():
        with manager.engine.connect() as connection:
            return bool(connection.scalar(text(WAITING)))

    servers.wait_until(waits, "a session waits")


def test_rows_that_another_session_commits_first_are_erased_too(bank):
    erasure = threading.Thread(target=erase_customer, args=("C1",))
    with bank.session_scope() as session:
        session.execute(text(INSERT))
        erasure.start()
        wait_for_a_waiting_session(bank)
    erasure.join()
    assert read_df("transactions").empty
    assert read_df("customers")["customer_id"].tolist() == ["C2"]


def test_rows_that_come_after_wait_and_are_refused(bank):
    errors = []

    def load():
        row = {"transaction_id": ["T1"], "customer_id": ["C1"], "merchant_id": ["M1"],
               "amount": [1.0], "timestamp": ["2026-01-01T00:00:00Z"]}  # fmt: skip
        try:
            load_df(pl.DataFrame(row), "transactions")
        except InvalidDataError as error:
            errors.append(error)

    late = threading.Thread(target=load)
    with bank.session_scope() as session:
        erase_customer("C1", session=session)
        late.start()
        wait_for_a_waiting_session(bank)
    late.join()
    assert len(errors) == 1
    assert read_df("transactions").empty
