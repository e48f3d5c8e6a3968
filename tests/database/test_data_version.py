"""Versions of the data of tables: what changes them, and who need not wait."""

from __future__ import annotations

import concurrent.futures

import pytest
from sqlalchemy import text

from synfin_analytics import load_df
from synfin_analytics.database._data_version import read_data_version
from synfin_analytics.database.models import TABLES


@pytest.fixture
def version(manager):
    def read(*tables):
        with manager.engine.connect() as connection:
            return read_data_version(connection, tables or ("merchants",))

    return read


@pytest.fixture
def run(manager):
    def run(*statements):
        with manager.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    return run


def add_merchant(number):
    return f"INSERT INTO merchants (merchant_id) VALUES ('M{number}')"


@pytest.mark.parametrize(
    "statement",
    [
        add_merchant(2),
        "UPDATE merchants SET name = 'Corner shop'",
        "DELETE FROM merchants",
        "TRUNCATE merchants CASCADE",
        "SET LOCAL session_replication_role = replica; DELETE FROM merchants",
        "ALTER TABLE merchants ALTER name TYPE varchar(300) USING upper(name)",
        "ALTER TABLE merchants DISABLE TRIGGER tr_merchants_change; DELETE FROM merchants;"
        "ALTER TABLE merchants ENABLE ALWAYS TRIGGER tr_merchants_change",
    ],
)
def test_every_committed_change_makes_another_version(manager, run, version, statement):
    run(add_merchant(1))
    before, of_customers = version(), version("customers")
    with manager.engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(text(statement))
        transaction.rollback()
        assert version() == before

    run(statement)

    assert version() not in {before, None}
    assert version("customers") == of_customers
    run("ALTER TABLE merchants ALTER name TYPE varchar(255)")


def test_a_load_makes_another_version(manager, version):
    before = version()

    load_df([{"merchant_id": "M1"}], "merchants", manager=manager)

    assert version() not in {before, None}


def test_all_seven_tables_have_versions(manager, version):
    assert all(version(table) for table in TABLES)


def test_one_transaction_counts_once_and_a_savepoint_takes_its_count_back(manager, run, version):
    count = "SELECT sum(changes) FROM synfin_data_versions WHERE table_name = 'merchants'"
    with manager.engine.begin() as connection:
        before = connection.scalar(text(count))
        with connection.begin_nested() as savepoint:
            connection.execute(text(add_merchant(1)))
            savepoint.rollback()
        connection.execute(text(add_merchant(1)))
        connection.execute(text(add_merchant(2)))

    with manager.engine.connect() as connection:
        assert connection.scalar(text(count)) == before + 1


def test_a_transaction_that_has_written_has_no_version(manager, version):
    with manager.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text(add_merchant(1)))
        assert read_data_version(connection, ["customers"]) is None
        transaction.rollback()


def test_a_snapshot_keeps_its_version(manager, run, version):
    with manager.engine.connect().execution_options(
        isolation_level="REPEATABLE READ"
    ) as connection:
        before = read_data_version(connection, ["merchants"])
        run(add_merchant(1))
        assert read_data_version(connection, ["merchants"]) == before
    assert version() != before


def test_writers_do_not_wait_for_each_other(manager, version):
    with manager.engine.connect() as first, first.begin():
        first.execute(text(add_merchant(1)))
        with manager.engine.connect() as second, second.begin():
            second.execute(text("SET LOCAL lock_timeout = '5s'"))
            second.execute(text(add_merchant(2)))


def test_folding_keeps_versions_and_few_rows(manager, version):
    def write(number):
        with manager.engine.begin() as connection:
            connection.execute(text(add_merchant(number)))

    count = "SELECT count(*), sum(changes) FROM synfin_data_versions WHERE table_name = 'merchants'"
    with manager.engine.connect() as connection:
        before = connection.execute(text(count)).one()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(400)))
    with manager.engine.begin() as connection:
        folded = version()
        fold = (
            "WITH folded AS (DELETE FROM synfin_data_versions WHERE table_name = 'merchants' "
            "RETURNING token, changes) INSERT INTO synfin_data_versions "
            "SELECT bit_xor(token), 'merchants', sum(changes) FROM folded"
        )
        connection.execute(text(fold))

    assert version() == folded
    with manager.engine.connect() as connection:
        rows, changes = connection.execute(text(count)).one()
    assert (rows, changes) == (1, before.sum + 400)


def test_writers_fold_the_rows_of_others_now_and_then(manager, version):
    """Each transaction adds a row; one of 256 folds all of its table that it sees."""
    insert = "INSERT INTO merchants (merchant_id) VALUES ('N' || n); COMMIT;"
    loop = f"DO $$ BEGIN FOR n IN 1..4000 LOOP {insert} END LOOP; END $$"
    count = "SELECT count(*), sum(changes) FROM synfin_data_versions WHERE table_name = 'merchants'"
    with manager.engine.connect() as connection:
        before = connection.execute(text(count)).one()
    with manager.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(loop))
        rows, changes = connection.execute(text(count)).one()

    assert changes == before.sum + 4000
    assert rows < 3000  # more than 3,000 in a row without one are one in 100,000 runs


def test_a_role_that_may_only_write_rows_needs_no_other_right(manager, run, version):
    before = version()
    run(
        "DROP ROLE IF EXISTS cache_writer",
        "CREATE ROLE cache_writer",
        "GRANT INSERT ON merchants TO cache_writer",
        "SET LOCAL ROLE cache_writer",
        add_merchant(1),
    )

    assert version() != before
    run("DROP OWNED BY cache_writer", "DROP ROLE cache_writer")


def test_roles_that_read_other_columns_have_other_versions(manager, run, version):
    run("DROP ROLE IF EXISTS cache_reader", "CREATE ROLE cache_reader")
    run("GRANT SELECT (merchant_id) ON merchants TO cache_reader")
    with manager.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL ROLE cache_reader"))
        of_role = read_data_version(connection, ["merchants"])

    assert of_role not in {None, version()}
    run("DROP OWNED BY cache_reader", "DROP ROLE cache_reader")


def test_tables_with_row_level_security_have_no_version(manager, run):
    run("DROP ROLE IF EXISTS cache_branch", "CREATE ROLE cache_branch")
    run(
        "GRANT SELECT ON merchants TO cache_branch",
        "ALTER TABLE merchants ENABLE ROW LEVEL SECURITY",
    )
    with manager.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL ROLE cache_branch"))
        assert read_data_version(connection, ["merchants"]) is None
    run("ALTER TABLE merchants DISABLE ROW LEVEL SECURITY")
    run("DROP OWNED BY cache_branch", "DROP ROLE cache_branch")


def test_a_child_table_without_the_trigger_has_no_version(run, version):
    run("CREATE TABLE more_merchants () INHERITS (merchants)")
    assert version() is None
    run("DROP TABLE more_merchants")


def test_tables_of_an_older_version_have_none(manager, run, version):
    run("ALTER TABLE synfin_data_versions RENAME TO elsewhere")
    assert version() is None
    run("ALTER TABLE elsewhere RENAME TO synfin_data_versions")
