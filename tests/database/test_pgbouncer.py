"""Behind pgbouncer: everything works in session and in transaction mode."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import threading

import atomicity
import click.testing
import polars as pl
import psycopg2
import pytest
import servers
from sqlalchemy import text

from synfin_analytics.cli import main
from synfin_analytics.database import schema
from synfin_analytics.database.manager import DatabaseManager, get_db_manager
from synfin_analytics.exceptions import InvalidDataError, LoadError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_batches, read_df
from synfin_analytics.repositories import TransactionRepository

pytestmark = pytest.mark.skipif(
    servers.PgBouncer.PROGRAM is None, reason="there is no pgbouncer: apt-get install pgbouncer"
)
MODES = {
    "session": ("session", {}),
    "transaction": ("transaction", {}),
    # Each transaction runs on another connection to the server than the one before.
    "transactions in turn": (
        "transaction",
        {"default_pool_size": 3, "min_pool_size": 3, "server_round_robin": 1},
    ),
}
transactions = atomicity.transactions


@pytest.fixture(scope="module", params=MODES)
def pooler(tcp_server, request):
    """A pgbouncer in front of a database with empty tables."""
    tcp_server.create_database("pooled")
    direct = DatabaseManager(tcp_server.config(database="pooled"))
    direct.create_all_tables()
    direct.close()
    mode, settings = MODES[request.param]
    with servers.PgBouncer(tcp_server, mode, server_login_retry=1, **settings) as pooler:
        yield pooler
    with tcp_server.connect("postgres") as admin:
        admin.execute("DROP DATABASE pooled WITH (FORCE)")


@pytest.fixture
def pooled(pooler):
    """A manager through the pooler, with empty tables but for C1 and M1."""
    manager = DatabaseManager(pooler.config(database="pooled", pool="none"))
    atomicity.fill(manager)
    yield manager
    assert manager.get_pool_status()["checked_out"] == 0
    manager.close()


@pytest.fixture
def admin(tcp_server):
    """A cursor on the server itself."""
    with tcp_server.connect("pooled") as cursor:
        yield cursor


# -- Loads -----------------------------------------------------------------------------------------


def test_a_load_into_an_empty_table_rebuilds_its_indexes(pooled, monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)
    before = atomicity.contents(pooled)["catalog"]

    load_df(transactions(), "transactions", manager=pooled, rebuild_indexes="always")

    assert atomicity.count(pooled) == atomicity.ROWS
    assert atomicity.contents(pooled)["catalog"] == before


@pytest.mark.parametrize(
    ("on_conflict", "counts"), [("update", (300, 300, 0)), ("skip", (300, 0, 300))]
)
def test_rows_with_known_keys_are_updated_or_skipped(pooled, on_conflict, counts):
    load_df(transactions(), "transactions", manager=pooled)
    rows = transactions(start=300)

    report = load_df(rows, "transactions", manager=pooled, on_conflict=on_conflict)

    assert (report.inserted, report.updated, report.skipped) == counts


def test_rows_go_into_their_partitions(pooled, admin):
    admin.execute("ALTER TABLE transactions RENAME TO whole")
    admin.execute(
        "CREATE TABLE transactions (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
        "PARTITION BY RANGE (timestamp)"
    )
    try:
        admin.execute("ALTER TABLE transactions ADD PRIMARY KEY (transaction_id, timestamp)")
        admin.execute(
            "CREATE TABLE may PARTITION OF transactions "
            "FOR VALUES FROM ('2024-05-01') TO ('2024-06-01')"
        )
        load_df(transactions(), "transactions", manager=pooled)
        load_df(transactions(start=300), "transactions", manager=pooled, on_conflict="update")

        assert atomicity.count(pooled, "may") == 900
    finally:
        admin.execute("DROP TABLE transactions")
        admin.execute("ALTER TABLE whole RENAME TO transactions")


def test_a_load_joins_a_session_which_outlives_a_load_that_fails(pooled):
    with pooled.session_scope() as session:
        load_df(transactions(), "transactions", session=session)
        with pytest.raises(InvalidDataError, match="the table has this key"):
            load_df(transactions(1), "transactions", session=session)
        load_df(transactions(), "transactions", session=session, on_conflict="update")
        assert len(read_df("transactions", session=session)) == atomicity.ROWS
        session.rollback()

    assert atomicity.count(pooled) == 0


def test_missing_parents_are_created_and_rejected_rows_reported(pooled):
    rows = transactions(10).with_columns(
        customer_id=pl.lit("C2"), amount=pl.int_range(-5, 5, eager=True)
    )

    report = load_df(
        rows, "transactions", manager=pooled, on_missing_parent="create", on_invalid="reject"
    )

    assert (report.inserted, report.rejected["row"].nunique()) == (4, 6)


@pytest.mark.parametrize("step", [0, atomicity.ROWS], ids=["overlapping", "distinct"])
def test_several_loads_at_once_wait_for_each_other(pooled, step):
    errors = []

    def load(number):
        rows = transactions(start=number * step)
        try:
            load_df(rows, "transactions", manager=pooled, on_conflict="update")
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert atomicity.count(pooled) == atomicity.ROWS * (5 if step else 1)


# -- Reads -----------------------------------------------------------------------------------------


def test_values_of_a_query_arrive_with_it(pooled):
    load_df(transactions(), "transactions", manager=pooled)
    query = "SELECT transaction_id FROM transactions WHERE customer_id = :id AND amount IN :amounts"

    rows = read_df(query, {"id": "C1", "amounts": [2, 3]}, manager=pooled)

    assert rows["transaction_id"].tolist() == ["TX000001", "TX000002"]
    assert read_df(query, {"id": "C1' OR true --", "amounts": [2]}, manager=pooled).empty


def test_the_rest_of_a_read_that_stops_early_does_not_occupy_the_pooler(pooled):
    load_df(transactions(), "transactions", manager=pooled)
    with read_batches("transactions", manager=pooled) as batches:
        next(iter(batches))

    assert atomicity.count(pooled) == atomicity.ROWS


def test_a_read_in_autocommit_mode_changes_no_setting_of_others(pooled, admin):
    engine = pooled.engine.execution_options(isolation_level="AUTOCOMMIT")
    with pooled.get_session() as session:
        session.bind = engine
        plan = read_df("EXPLAIN SELECT 1", session=session)

    assert plan.shape == (1, 1)
    query = "SELECT source FROM pg_settings WHERE name = 'IntervalStyle'"
    assert [read_df(query, manager=pooled)["source"][0] for _ in range(3)] == ["default"] * 3


def test_repositories_and_commands_read_through_the_pooler(pooled, tmp_path, monkeypatch):
    rows = transactions(is_fraud=pl.Series([True, False] * (atomicity.ROWS // 2)))
    load_df(rows, "transactions", manager=pooled)
    with pooled.session_scope(read_only=True) as session:
        assert TransactionRepository(session).fraud_rate()["fraud_rate"].tolist() == [0.5]

    for name in ("host", "port", "database", "username", "pool"):
        variable = {"database": "DB_NAME", "username": "DB_USER"}.get(name, f"DB_{name.upper()}")
        monkeypatch.setenv(variable, str(getattr(pooled.config, name)))
    for command in (
        ["db", "status"],
        ["export", "transactions", str(tmp_path / "rows.parquet")],
        ["report", "fraud", "--out", str(tmp_path / "fraud.html")],
    ):
        result = click.testing.CliRunner().invoke(main, command, catch_exceptions=False)
        get_db_manager().close()
        assert result.exit_code == 0, result.output
    assert len(pl.read_parquet(tmp_path / "rows.parquet")) == atomicity.ROWS


# -- Sessions --------------------------------------------------------------------------------------


def test_a_pooler_is_recognised(pooled, tcp_server):
    direct = DatabaseManager(tcp_server.config(database="pooled"))
    through = []
    for manager in (pooled, direct):
        with manager.engine.connect() as connection:
            through.append(connection.connection.driver_connection.through_pooler)
    direct.close()

    assert through == [True, False]


@pytest.mark.parametrize("setting", ["TimeZone", "client_encoding", "datestyle"])
def test_a_setting_ends_with_its_session(pooled, setting):
    value = {"TimeZone": "Asia/Tokyo", "client_encoding": "LATIN1", "datestyle": "SQL, DMY"}
    query = f"SELECT current_setting('{setting}') AS x"
    before = read_df(query, manager=pooled)["x"][0]
    with pooled.session_scope() as session:
        session.execute(text(f"SET {setting} = '{value[setting]}'"))

    assert [read_df(query, manager=pooled)["x"][0] for _ in range(3)] == [before] * 3


def test_a_temporary_table_takes_no_load(pooled, admin):
    with pooled.session_scope() as session:
        session.execute(text("CREATE TEMP TABLE merchants (LIKE merchants INCLUDING ALL)"))
    load_df([{"merchant_id": "M2"}], "merchants", manager=pooled)

    assert read_df("SELECT * FROM public.merchants", manager=pooled).shape[0] == 2
    # In transaction mode the table is still there, on the pooler's connection.
    admin.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = 'pooled' AND pid <> pg_backend_pid()"
    )


def test_loads_leave_nothing_on_the_connections_of_the_pooler(pooled):
    load_df(transactions(), "transactions", manager=pooled)
    load_df(transactions(), "transactions", manager=pooled, on_conflict="update")

    left = (
        "SELECT (SELECT count(*) FROM pg_prepared_statements) "
        "+ (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') "
        "+ (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) "
        "+ (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name NOT IN "
        "('client_encoding', 'DateStyle', 'TimeZone', 'application_name', "
        "'standard_conforming_strings') AND name NOT LIKE 'transaction%') AS n"
    )
    assert [read_df(left, manager=pooled)["n"][0] for _ in range(3)] == [0] * 3


def test_the_tables_can_be_downgraded_and_upgraded(pooled):
    assert schema.downgrade(pooled, "base") is None
    assert schema.upgrade(pooled) == schema.known_versions()[-1]


# -- Interrupts and outages ------------------------------------------------------------------------


@contextlib.contextmanager
def interrupt_when(cursor, query):
    """Press Ctrl-C as soon as a query finds a row."""

    def press():
        def occurs():
            cursor.execute(query)
            return cursor.fetchone() is not None

        servers.wait_until(occurs, "the statement runs")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    thread.join()


SLEEPING = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
WAITING = "SELECT FROM pg_locks WHERE NOT granted"


def test_ctrl_c_ends_a_read_and_its_session_goes_on(pooled, admin):
    with pooled.session_scope() as session:
        session.execute(text("INSERT INTO merchants (merchant_id) VALUES ('M2')"))
        with interrupt_when(admin, SLEEPING):
            read_df("SELECT pg_sleep(600)::text AS x", session=session)
        admin.execute(SLEEPING)
        assert admin.fetchone() is None
        assert len(read_df("merchants", session=session)) == 2


def test_ctrl_c_ends_a_load(pooled, admin, tcp_server):
    with contextlib.closing(
        psycopg2.connect(**tcp_server.config(database="pooled").connect_arguments())
    ) as other:
        other.cursor().execute("LOCK TABLE transactions")
        with interrupt_when(admin, WAITING):
            load_df(transactions(), "transactions", manager=pooled)
        admin.execute(WAITING)
        assert admin.fetchone() is None
    assert atomicity.count(pooled) == 0


def test_a_load_whose_server_process_is_ended_loads_nothing(pooled, admin, monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)

    def end():
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = 'pooled' AND pid <> pg_backend_pid()"
        )

    with pytest.raises(LoadError, match=r"is rolled back\. The connection pooler lost"):
        load_df(atomicity.stream(transactions(), end), "transactions", manager=pooled)
    assert atomicity.count(pooled) == 0


def test_sessions_wait_for_a_server_and_a_pooler_that_restart(pooled, pooler, tcp_server):
    before = read_df("merchants", manager=pooled)
    tcp_server.restart()
    assert read_df("merchants", manager=pooled).equals(before)

    pooler.restart()
    assert read_df("merchants", manager=pooled).equals(before)


def test_times_are_utc_whatever_the_database_says(pooled, admin):
    admin.execute("ALTER DATABASE pooled SET TimeZone = 'Asia/Tokyo'")
    admin.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = 'pooled' AND pid <> pg_backend_pid()"
    )
    try:
        with pooled.session_scope() as session:
            query = text("SELECT TIMESTAMPTZ '2024-05-01 12:00Z' :: timestamp")
            assert session.scalar(query) == dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - naive
    finally:
        admin.execute("ALTER DATABASE pooled RESET TimeZone")
