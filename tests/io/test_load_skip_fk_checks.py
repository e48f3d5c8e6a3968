"""Foreign-key checks that the loader skips: as safe as the server's own check of each row."""

from __future__ import annotations

import polars as pl
import psycopg2
import pytest
from atomicity import transactions, watcher
from sqlalchemy import text

from synfin_analytics.exceptions import InvalidDataError
from synfin_analytics.io.load import _keys as keys
from synfin_analytics.io.load import _write as writer
from synfin_analytics.io.load import load_df


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch):
    monkeypatch.setattr(writer, "MIN_ROWS_TO_SKIP_CHECKS", 10)


@pytest.fixture
def filled(manager):
    load_df(transactions(5), "transactions", on_missing_parent="create", manager=manager)
    return manager


@pytest.fixture
def skipped(monkeypatch):
    """Whether the checks were skipped, for each batch that was sent."""
    calls = []
    original = keys.skipped_checks

    def recorded(cursor, *, enabled):
        calls.append(enabled)
        return original(cursor, enabled=enabled)

    monkeypatch.setattr(writer, "skipped_checks", recorded)
    return calls


def role_of(session):
    return session.scalar(text("SHOW session_replication_role"))


@pytest.mark.parametrize("create", ["raise", "create"])
def test_a_parent_cannot_go_before_the_load_is_committed(filled, skipped, create):
    with filled.get_session() as session:
        rows = transactions(50, start=100)
        load_df(rows, "transactions", session=session, on_missing_parent=create)
        with watcher(filled) as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute("DELETE FROM customers WHERE customer_id = 'C1'")
        session.commit()
    assert skipped == [True]


def test_the_session_checks_again_after_the_load(filled, skipped):
    with filled.get_session() as session:
        load_df(transactions(50, start=100), "transactions", session=session)
        assert role_of(session) == "origin"
        with pytest.raises(InvalidDataError):  # a key that exists: the batch is rolled back
            load_df(transactions(50, start=100), "transactions", session=session)
        assert role_of(session) == "origin"
    assert skipped[:2] == [True, True]


def test_a_row_without_a_parent_is_refused_as_ever(filled, skipped):
    customers = pl.Series(["C1"] * 20 + ["C9"] + ["C1"] * 29)
    rows = transactions(50, start=100, customer_id=customers)
    with pytest.raises(InvalidDataError, match=r"does not exist in 'customers'"):
        load_df(rows, "transactions", manager=filled)


def test_few_rows_are_left_to_the_server(filled, skipped):
    load_df(transactions(9, start=100), "transactions", manager=filled)
    assert skipped == [False]


def test_a_trigger_of_the_users_own_fires(filled, skipped):
    with watcher(filled) as cursor:
        cursor.execute(
            """
            CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN NEW.city := upper(NEW.city); RETURN NEW; END $$;
            CREATE TRIGGER shout BEFORE INSERT ON transactions
            FOR EACH ROW EXECUTE FUNCTION shout()
            """
        )
        load_df(transactions(50, start=100, city="lyon"), "transactions", manager=filled)
        cursor.execute("SELECT DISTINCT city FROM transactions WHERE city IS NOT NULL")
        assert cursor.fetchall() == [("LYON",)]
        cursor.execute("DROP FUNCTION shout CASCADE")
    assert skipped == [False]


def test_a_foreign_key_of_the_users_own_is_checked(filled, skipped):
    with watcher(filled) as cursor:
        cursor.execute(
            """
            CREATE TABLE cities (city text PRIMARY KEY);
            ALTER TABLE transactions ADD FOREIGN KEY (city) REFERENCES cities
            """
        )
        with pytest.raises(Exception, match="transactions_city_fkey"):
            load_df(transactions(50, start=100, city="lyon"), "transactions", manager=filled)
        cursor.execute("DROP TABLE cities CASCADE")
    assert skipped[0] is False


def test_a_user_who_is_no_superuser_leaves_the_checks_to_the_server(filled, skipped):
    with filled.get_session() as session:
        session.execute(text("CREATE ROLE granted_clerk"))
        session.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO granted_clerk"))
        session.execute(text("SET LOCAL ROLE granted_clerk"))
        report = load_df(transactions(50, start=100), "transactions", session=session)
        assert report.inserted == 50
        session.rollback()
    assert skipped == [False]


def test_a_parent_that_goes_before_it_is_locked_is_missed(filled, skipped, monkeypatch):
    plain = keys.ForeignKeyChecker._lock_staged

    def too_late(checker):
        with watcher(filled) as cursor:
            cursor.execute("DELETE FROM merchants WHERE merchant_id = 'M2'")
        return plain(checker)

    load_df(pl.DataFrame({"merchant_id": ["M2"]}), "merchants", manager=filled)
    monkeypatch.setattr(keys.ForeignKeyChecker, "_lock_staged", too_late)
    with pytest.raises(InvalidDataError, match=r"does not exist in 'merchants'"):
        load_df(transactions(50, start=100, merchant_id="M2"), "transactions", manager=filled)
    assert skipped[0] is False
