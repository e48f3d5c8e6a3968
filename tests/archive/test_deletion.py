"""Deletion of exported rows: all checks of foreign keys hold, whoever deletes."""

from __future__ import annotations

import threading

import pytest
import servers
from archives import MONTHS, content, fill, read_all
from polars.testing import assert_frame_equal
from sqlalchemy import event, text

from synfin_analytics import DatabaseManager, archive_transactions, load_df, read_df

NEW_PREDICTION = """
    INSERT INTO model_predictions (transaction_id, model_name, model_version, prediction)
    VALUES ('T1', 'late', '1', true)
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def filled(manager):
    fill(manager)
    return manager


@pytest.fixture
def archivist(filled):
    """A user who may only do what the guide demands."""
    with filled.session_scope() as session:
        session.execute(text("CREATE ROLE archivist"))
        session.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO archivist"))
        session.execute(
            text("GRANT DELETE ON transactions, ml_features, model_predictions TO archivist")
        )
    manager = DatabaseManager(filled.config)
    event.listen(manager.engine, "begin", lambda link: link.exec_driver_sql("SET ROLE archivist"))
    yield manager
    manager.close()
    with filled.session_scope() as session:
        session.execute(text("DROP OWNED BY archivist; DROP ROLE archivist"))


def wait_for_a_waiting_session(manager):
    def waits():
        with manager.engine.connect() as connection:
            return bool(connection.scalar(text(WAITING)))

    servers.wait_until(waits, "a session waits")


@pytest.mark.parametrize("user", ["filled", "archivist"])
def test_a_prediction_of_an_open_transaction_keeps_its_transaction(filled, tmp_path, user, request):
    """The deletion waits for the other session, and then sees its prediction."""
    manager = request.getfixturevalue(user)
    call = threading.Thread(
        target=archive_transactions, args=(tmp_path, MONTHS[1]), kwargs={"manager": manager}
    )
    with filled.session_scope() as session:
        session.execute(text(NEW_PREDICTION))
        call.start()
        wait_for_a_waiting_session(filled)
    call.join()
    with filled.session_scope() as session:
        orphans = text(
            "SELECT count(*) FROM model_predictions LEFT JOIN transactions USING (transaction_id) "
            "WHERE amount IS NULL"
        )
        assert session.scalar(orphans) == 0
    predictions = read_df("model_predictions", archive=tmp_path, manager=filled)
    assert (predictions["model_name"] == "late").sum() == 1
    assert read_df("transactions", manager=filled)["timestamp"].dt.month.min() == 2


def test_a_user_who_is_no_superuser_archives_as_well(filled, archivist, tmp_path):
    before, rows = content(filled), read_all(filled)
    archive_transactions(tmp_path, MONTHS[2], manager=archivist)
    for table, frame in read_all(filled, tmp_path).items():
        assert_frame_equal(frame, rows[table])
    load_df(tmp_path, manager=filled)
    assert content(filled) == before


def test_a_trigger_of_a_user_sees_each_row(filled, tmp_path):
    with filled.session_scope() as session:
        session.execute(
            text("""
            CREATE TABLE seen (id text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO seen VALUES (OLD.transaction_id); RETURN OLD; END$$;
            CREATE TRIGGER note BEFORE DELETE ON transactions FOR EACH ROW EXECUTE FUNCTION note()
            """)
        )
    try:
        report = archive_transactions(tmp_path, MONTHS[1], manager=filled)
        with filled.session_scope() as session:
            count = session.scalar(text("SELECT count(DISTINCT id) FROM seen"))
        assert count == report.rows["transactions"]
    finally:
        with filled.session_scope() as session:
            session.execute(text("DROP TABLE seen; DROP FUNCTION note CASCADE"))


@pytest.mark.parametrize("key", ['a"b', "back\\slash", "{comma,}", "NULL", "", "é 'q'"])
def test_any_key_is_deleted(filled, tmp_path, key):
    with filled.session_scope() as session:
        session.execute(
            text(
                "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, "
                "timestamp) VALUES (:key, 'C1', 'M1', 1, '2025-01-05')"
            ),
            {"key": key},
        )
    archive_transactions(tmp_path, MONTHS[1], manager=filled)
    assert read_df("transactions", manager=filled)["timestamp"].dt.month.min() == 2
    stored = read_df("transactions", manager=filled, archive=tmp_path)
    assert (stored["transaction_id"] == key).sum() == 1
