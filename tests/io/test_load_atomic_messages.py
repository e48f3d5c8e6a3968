"""What the server refuses is told in one sentence, without the data; and nothing is loaded."""

from __future__ import annotations

import contextlib
import traceback

import atomicity
import polars as pl
import pytest
from sqlalchemy import text

from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import LoadError, SchemaError
from synfin_analytics.io.load import load_df

EARLIER = [pytest.param(0, id="empty"), pytest.param(50, id="filled")]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)


@contextlib.contextmanager
def arranged(manager, do, undo):
    """Statements before, and those that take them back."""
    with atomicity.watcher(manager) as cursor:
        cursor.execute(do)
        try:
            yield
        finally:
            cursor.execute(undo)


def load_message(frame, table="transactions", error=LoadError, **options):
    """Return the message of a failed load, whose traceback must not contain data."""
    with pytest.raises(error) as caught:
        load_df(frame, table, **options)
    traceback_text = "".join(traceback.format_exception(caught.value))
    assert "TX0000" not in traceback_text
    assert "someone@example.org" not in traceback_text
    return str(caught.value)


@pytest.fixture
def clerk(manager):
    """A role without any right, as which a session may work."""
    with arranged(manager, "CREATE ROLE clerk", "DROP OWNED BY clerk; DROP ROLE clerk"):
        yield "clerk"


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_missing_right_is_named(manager, clerk, earlier):
    atomicity.fill(manager, earlier=earlier)

    with manager.session_scope() as session:
        session.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk"))
        session.execute(text("SET LOCAL ROLE clerk"))
        message = load_message(atomicity.transactions(), session=session)

    assert message == (
        "Nothing was loaded into 'transactions': the role clerk lacks a privilege (permission "
        "denied for table transactions). Ask the owner of the tables to run GRANT SELECT, INSERT, "
        "UPDATE ON transactions TO clerk."
    )
    assert atomicity.count(manager) == earlier


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_user_who_may_insert_but_does_not_own_the_tables_can_load(manager, clerk, earlier):
    atomicity.fill(manager, earlier=earlier)
    catalog = atomicity.contents(manager)["catalog"]

    with manager.session_scope() as session:
        session.execute(text("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO clerk"))
        session.execute(text("SET LOCAL ROLE clerk"))
        load_df(atomicity.transactions(), "transactions", session=session)

    assert atomicity.count(manager) == earlier + atomicity.ROWS
    assert atomicity.contents(manager)["catalog"] == catalog


def test_only_an_owner_can_rebuild_indexes(manager, clerk):
    atomicity.fill(manager)

    with manager.session_scope() as session:
        session.execute(text("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO clerk"))
        session.execute(text("SET LOCAL ROLE clerk"))
        message = load_message(atomicity.transactions(), session=session, rebuild_indexes="always")

    assert "rebuild_indexes=\"always\" requires that you own 'transactions'" in message


def test_a_read_only_transaction_is_reported(manager, session):
    atomicity.fill(manager)
    session.execute(text("SET TRANSACTION READ ONLY"))

    assert "the session or the server is read-only" in load_message(
        atomicity.transactions(), session=session
    )


def test_a_statement_timeout_is_reported(manager):
    atomicity.fill(manager, earlier=50)
    name = manager.config.database
    limit = f'ALTER DATABASE "{name}" SET statement_timeout = 50'

    with atomicity.watcher(manager) as cursor, atomicity.holding(cursor, atomicity.AT_INDEX):
        cursor.execute(limit)
        other_manager = DatabaseManager(manager.config)
        message = load_message(atomicity.transactions(), manager=other_manager)
        other_manager.close()
        cursor.execute(f'ALTER DATABASE "{name}" RESET statement_timeout')

    assert "the load was cancelled, or exceeded a timeout of the server" in message
    assert atomicity.count(manager) == 50


@pytest.mark.parametrize("rows", [10, atomicity.ROWS])
def test_missing_tables_are_reported_with_what_makes_them(empty_database, rows):
    manager = DatabaseManager(empty_database)

    message = load_message(atomicity.transactions(rows), error=SchemaError, manager=manager)

    assert "the table does not exist yet. Create the tables with `synfin db upgrade`" in message
    manager.close()


def test_a_column_that_the_table_lacks_is_reported(manager):
    atomicity.fill(manager)

    with arranged(
        manager,
        "ALTER TABLE transactions RENAME COLUMN city TO town",
        "ALTER TABLE transactions RENAME COLUMN town TO city",
    ):
        message = load_message(atomicity.transactions(10, city="Bern"), error=SchemaError)

    assert "the database schema does not match this package version" in message


# -- Tables to which a bank has added something -----------------------------------------------

PERSON = pl.DataFrame({"customer_id": ["C2"], "email": ["someone@example.org"]})


def test_a_check_of_the_banks_own_is_named_without_the_row(manager):
    check = "ALTER TABLE customers ADD CONSTRAINT ours CHECK (email NOT LIKE '%@example.org')"

    with arranged(manager, check, "ALTER TABLE customers DROP CONSTRAINT ours"):
        message = load_message(PERSON, "customers")

    assert message == "Nothing was loaded into 'customers': it would violate the constraint 'ours'."


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_unique_index_of_the_banks_own_is_named(manager, earlier):
    atomicity.fill(manager, earlier=earlier)
    index = "CREATE UNIQUE INDEX ours ON transactions (terminal_id)"

    with arranged(manager, index, "DROP INDEX ours"):
        message = load_message(atomicity.transactions(terminal_id="T1"))

    assert "it would violate the constraint 'ours'" in message
    assert atomicity.count(manager) == earlier


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_deferred_check_is_reported_at_the_commit(manager, earlier):
    atomicity.fill(manager, earlier=earlier)
    check = """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE check_violation USING CONSTRAINT = 'four_eyes', MESSAGE = 'no second signature';
        END $$;
        CREATE CONSTRAINT TRIGGER four_eyes AFTER INSERT ON transactions
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
    """

    with arranged(manager, check, "DROP FUNCTION refuse CASCADE"):
        message = load_message(atomicity.transactions())

    assert "it would violate the constraint 'four_eyes'" in message
    assert atomicity.count(manager) == earlier


def test_a_trigger_of_the_banks_own_that_keeps_rows_as_they_are_is_no_error(manager):
    atomicity.fill(manager, earlier=50)
    trigger = """
        CREATE TRIGGER a_same BEFORE UPDATE ON transactions FOR EACH ROW
        EXECUTE FUNCTION suppress_redundant_updates_trigger()
    """
    again = atomicity.transactions(50, start=900_000)

    with arranged(manager, trigger, "DROP TRIGGER a_same ON transactions"):
        assert load_df(again, "transactions", on_conflict="update").updated == 50


@pytest.mark.parametrize(
    ("do", "undo"),
    [
        pytest.param(
            'CREATE SCHEMA "the bank"; CREATE TABLE "the bank"."odd ""notes" '
            "(of varchar(50) REFERENCES transactions)",
            'DROP SCHEMA "the bank" CASCADE',
            id="a table elsewhere refers to ours",
        ),
        pytest.param(
            "CREATE VIEW firsts AS SELECT * FROM transactions GROUP BY transaction_id",
            "DROP VIEW firsts",
            id="a view needs the key",
        ),
        pytest.param(
            "COMMENT ON INDEX ix_transactions_fraud_type IS 'asked for by audit'",
            "COMMENT ON INDEX ix_transactions_fraud_type IS NULL",
            id="a comment on an index",
        ),
        pytest.param(
            "COMMENT ON CONSTRAINT pk_transactions ON transactions IS 'number of the switch'",
            "COMMENT ON CONSTRAINT pk_transactions ON transactions IS NULL",
            id="a comment on a key",
        ),
        pytest.param(
            'CREATE INDEX "the ""odd" ON transactions (lower(city)) '
            "WITH (fillfactor = 70) WHERE amount > 5",
            'DROP INDEX "the ""odd"',
            id="an index on an expression",
        ),
        pytest.param(
            "ALTER TABLE transactions CLUSTER ON pk_transactions",
            "ALTER TABLE transactions SET WITHOUT CLUSTER",
            id="an order for CLUSTER",
        ),
    ],
)
def test_a_load_into_an_empty_table_leaves_what_a_bank_added_as_it_was(manager, do, undo):
    atomicity.fill(manager)

    with arranged(manager, do, undo):
        before = added(manager)
        load_df(atomicity.transactions(), "transactions")
        assert added(manager) == before
        assert atomicity.count(manager) == atomicity.ROWS


def added(manager):
    """The catalog, and what else the name of a constraint or an index does not tell."""
    query = """
        SELECT c.oid::regclass::text, obj_description(c.oid, 'pg_class'), reloptions, indisclustered
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        UNION ALL
        SELECT conname, obj_description(oid, 'pg_constraint'), NULL, convalidated
        FROM pg_constraint
    """
    with manager.engine.connect() as connection:
        rows = sorted(str(row) for row in connection.execute(text(query)))
    return rows, atomicity.contents(manager)["catalog"]
