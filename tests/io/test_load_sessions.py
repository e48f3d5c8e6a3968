"""A load in a session's transaction: seen by it alone, and kept or taken back with it."""

from __future__ import annotations

import os
import signal

import atomicity
import polars as pl
import pytest
from sqlalchemy import func, select, text

from synfin_analytics.database.models import TABLES, Customer, Merchant, Transaction
from synfin_analytics.exceptions import DatabaseConnectionError, InvalidDataError, LoadError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

NUMBER = select(func.count()).select_from(Transaction)
EARLIER = [pytest.param(0, id="empty"), pytest.param(50, id="filled")]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)


@pytest.mark.parametrize("earlier", EARLIER)
def test_rollback_by_the_owner_takes_the_load_back(manager, session, earlier):
    atomicity.fill(manager, earlier=earlier)
    before = atomicity.contents(manager)

    load_df(atomicity.transactions(), "transactions", session=session)
    assert session.scalar(NUMBER) == earlier + atomicity.ROWS
    session.rollback()

    assert atomicity.contents(manager) == before
    atomicity.assert_loads(manager)


@pytest.mark.parametrize("earlier", EARLIER)
def test_commit_by_the_owner_keeps_it(manager, session, earlier):
    atomicity.fill(manager, earlier=earlier)
    catalog = atomicity.contents(manager)["catalog"]

    load_df(atomicity.transactions(), "transactions", session=session)
    session.commit()

    assert atomicity.count(manager) == earlier + atomicity.ROWS
    assert atomicity.contents(manager)["catalog"] == catalog


def test_an_error_after_the_load_takes_it_back_with_the_scope(manager):
    atomicity.fill(manager)
    before = atomicity.contents(manager)

    def load_and_fail():
        with manager.session_scope() as session:
            load_df(atomicity.transactions(), "transactions", session=session)
            raise LookupError

    with pytest.raises(LookupError):
        load_and_fail()

    assert atomicity.contents(manager) == before


@pytest.mark.parametrize("rebuild_indexes", ["auto", "never"])
def test_only_the_session_sees_the_rows_before_it_commits(manager, session, rebuild_indexes):
    atomicity.fill(manager, earlier=50)

    load_df(
        atomicity.transactions(), "transactions", session=session, rebuild_indexes=rebuild_indexes
    )

    assert len(read_df("transactions", session=session)) == 50 + atomicity.ROWS
    assert len(read_df("transactions", manager=manager)) == 50
    session.commit()
    assert len(read_df("transactions", manager=manager)) == 50 + atomicity.ROWS


def test_rows_of_the_orm_that_are_not_flushed_yet_serve_as_parents(manager, session):
    session.add_all([Customer(customer_id="C1"), Merchant(merchant_id="M1")])

    report = load_df(atomicity.transactions(), "transactions", session=session)
    session.commit()

    assert report.inserted == atomicity.count(manager) == atomicity.ROWS


def test_rows_that_the_session_changed_and_did_not_commit_count(manager, session):
    atomicity.fill(manager, earlier=50)
    session.execute(text("DELETE FROM transactions"))

    report = load_df(atomicity.transactions(100), "transactions", session=session)
    session.commit()

    assert report.inserted == atomicity.count(manager) == 100


def test_several_loads_share_a_transaction(manager, session):
    load_df(pl.DataFrame({"customer_id": ["C1", "C2"]}), "customers", session=session)
    load_df(pl.DataFrame({"merchant_id": ["M1"]}), "merchants", session=session)
    load_df(atomicity.transactions(), "transactions", session=session)
    load_df(atomicity.transactions(), "transactions", session=session, on_conflict="update")
    report = load_df(atomicity.transactions(), "transactions", session=session, on_conflict="skip")

    assert report.skipped == session.scalar(NUMBER) == atomicity.ROWS
    session.rollback()
    assert not any(atomicity.contents(manager)[name] for name in TABLES)


@pytest.mark.parametrize("earlier", EARLIER)
def test_bad_data_leave_the_session_and_its_earlier_work_intact(manager, session, earlier):
    atomicity.fill(manager, earlier=earlier)
    catalog = atomicity.contents(manager)["catalog"]
    session.add(Customer(customer_id="C2", city="Zürich"))
    frame = atomicity.transactions(amount=pl.Series([*range(1, atomicity.ROWS), -1]))

    with pytest.raises(InvalidDataError, match="amount"):
        load_df(frame, "transactions", session=session)

    assert session.scalar(NUMBER) == earlier
    assert session.get(Customer, "C2").city == "Zürich"
    load_df(atomicity.transactions(), "transactions", session=session)
    session.commit()
    assert atomicity.count(manager) == earlier + atomicity.ROWS
    assert atomicity.count(manager, "customers") == 2
    assert atomicity.contents(manager)["catalog"] == catalog


def test_what_the_server_refuses_leaves_the_session_intact_too(manager, session):
    atomicity.fill(manager)
    session.add(Customer(customer_id="C2"))
    session.flush()
    session.execute(text("SET LOCAL statement_timeout = '50ms'"))

    with atomicity.watcher(manager) as cursor, atomicity.holding(cursor, atomicity.AT_INDEX):
        with pytest.raises(LoadError, match="exceeded a timeout of the server"):
            load_df(atomicity.transactions(), "transactions", session=session)
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.commit()

    assert atomicity.count(manager) == 0
    assert atomicity.count(manager, "customers") == 2


def test_an_interrupt_leaves_the_session_intact(manager, session):
    atomicity.fill(manager)
    session.add(Customer(customer_id="C2"))

    rows = atomicity.stream(atomicity.transactions(), lambda: os.kill(os.getpid(), signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        load_df(rows, "transactions", session=session)
    session.commit()

    assert atomicity.count(manager) == 0
    assert atomicity.count(manager, "customers") == 2


def test_an_update_refreshes_the_objects_of_the_session(manager, session):
    atomicity.fill(manager, earlier=50)
    transaction = session.get(Transaction, "TX900007")
    assert transaction.amount == 8
    changed = atomicity.transactions(50, start=900_000, amount=99)

    load_df(changed, "transactions", session=session, on_conflict="update")

    assert transaction.amount == 99


def test_a_change_of_an_object_that_is_not_flushed_yet_comes_before_the_load(manager, session):
    atomicity.fill(manager, earlier=50)
    transaction = session.get(Transaction, "TX900007")
    transaction.amount, transaction.city = 5, "Zürich"
    changed = atomicity.transactions(50, start=900_000, amount=99)

    load_df(changed, "transactions", session=session, on_conflict="update")
    session.commit()

    assert (transaction.amount, transaction.city) == (99, "Zürich")


def test_a_lost_connection_is_reported_and_the_session_works_again_after_a_rollback(
    manager, session
):
    atomicity.fill(manager, earlier=50)
    before = atomicity.contents(manager)
    session.add(Customer(customer_id="C2"))

    with atomicity.watcher(manager) as cursor:

        def terminate():
            cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({atomicity.WRITING}) w")

        rows = atomicity.stream(atomicity.transactions(), terminate)
        with pytest.raises(LoadError, match="the connection to the server was lost"):
            load_df(rows, "transactions", session=session)

    with pytest.raises(DatabaseConnectionError, match="was lost earlier"):
        session.scalar(NUMBER)  # what it did before is lost too: that must not pass unnoticed
    session.rollback()
    assert atomicity.contents(manager) == before
    load_df(atomicity.transactions(), "transactions", session=session)
    session.commit()
    assert atomicity.count(manager) == 50 + atomicity.ROWS


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(text("SELECT generate_series(1, 30)"), id="of anything"),
        pytest.param(
            text("SELECT customer_id FROM customers, generate_series(1, 30)"), id="of a parent"
        ),
    ],
)
def test_an_open_cursor_of_the_session_goes_on(manager, session, query):
    """Rows that are read one part after the other, and loaded meanwhile."""
    atomicity.fill(manager)
    parts = session.execute(query, execution_options={"yield_per": 10}).scalars()
    first = next(parts)

    load_df(atomicity.transactions(), "transactions", session=session)

    assert len([first, *parts]) == 30
    session.commit()
    assert atomicity.count(manager) == atomicity.ROWS


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_rows_that_an_older_snapshot_does_not_see_are_not_lost(manager, session, level):
    """The session takes the table for empty, and it is not."""
    atomicity.fill(manager)
    session.connection(execution_options={"isolation_level": level})
    assert session.scalar(NUMBER) == 0
    load_df(atomicity.transactions(50, start=900_000), "transactions", manager=manager)

    load_df(atomicity.transactions(), "transactions", session=session)
    session.commit()

    assert atomicity.count(manager) == 50 + atomicity.ROWS


def test_a_key_that_an_older_snapshot_does_not_see_is_reported(manager, session):
    atomicity.fill(manager)
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    assert session.scalar(NUMBER) == 0
    load_df(atomicity.transactions(50), "transactions", manager=manager)

    with pytest.raises(LoadError, match="pk_transactions"):
        load_df(atomicity.transactions(), "transactions", session=session)

    assert atomicity.count(manager) == 50
