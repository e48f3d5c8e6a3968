"""The profile of a database, and indexes that are dropped or created because of it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import pty
import re
import subprocess
import sys
import threading

import pandas as pd
import polars as pl
import pytest
import servers
from click.testing import CliRunner
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from synfin_analytics.cli import main
from synfin_analytics.database import embedded, schema
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import ArgumentError, ProtectedDatabaseError, QueryError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.reports import (
    IndexChange,
    _index_changes,
    _profile_findings,
    _profile_queries,
    apply_index_change,
    profile_database,
)
from synfin_analytics.reports._statement_tracking import track_statements

#: An index of the seed's schema, whose column begins another index.
PREFIX = "ix_transactions_timestamp"
UNUSED = "ix_transactions_fraud_reason"
AMOUNT = "ix_transactions_amount"
LARGEST = "SELECT transaction_id FROM transactions ORDER BY amount DESC LIMIT 10"


@pytest.fixture
def own(empty_database):
    """A manager of a database with tables that a test may change."""
    manager = DatabaseManager(empty_database)
    manager.create_all_tables()
    yield manager
    manager.close()


def execute(manager, statement):
    with manager.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))


def indexes_of(manager, table="transactions"):
    return {index["name"] for index in inspect(manager.engine).get_indexes(table)}


def change_of(manager, name):
    changes = [change for change in profile_database(manager).changes if change.index == name]
    return changes[0] if changes else None


def fill(manager, n_rows=10_000):
    """Insert transactions, and count them as ANALYZE does."""
    execute(manager, "INSERT INTO customers (customer_id) VALUES ('C')")
    execute(manager, "INSERT INTO merchants (merchant_id) VALUES ('M')")
    execute(
        manager,
        "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp) "
        f"SELECT n, 'C', 'M', n, now() FROM generate_series(1, {n_rows}) AS n",
    )
    execute(manager, "ANALYZE transactions")


def sentences(profile):
    return " ".join([*profile.summary_text(), *profile.notes, *profile.caveats])


@contextlib.contextmanager
def waiting(manager, lock, statement):
    """A session holds a lock, and another one waits for it; yields the id of the first one."""
    with manager.engine.connect() as holder, manager.engine.connect() as waiter:
        holder.execute(text(lock))
        pid = holder.execute(text("SELECT pg_backend_pid()")).scalar_one()
        thread = threading.Thread(target=lambda: waiter.execute(text(statement)))
        thread.start()
        try:
            servers.wait_until(lambda: len(profile_database(manager).blocked) == 1, "one waits")
            yield pid
        finally:
            holder.rollback()
            thread.join()


# -- Redundant, unused and invalid indexes ----------------------------------------------------


def test_an_index_whose_columns_begin_another_one_is_redundant(own):
    fill(own)
    change = change_of(own, PREFIX)
    assert (change.action, change.advised) == ("drop", True)
    assert "first ones of ix_transactions_timestamp_is_fraud" in change.reason
    assert "one of the package's own indexes" in change.reason
    assert f"Drop {PREFIX} of transactions" in sentences(profile_database(own))


def test_of_a_small_table_no_index_is_advised_to_be_dropped(own):
    fill(own, 9_999)
    change = change_of(own, PREFIX)
    assert (change.action, change.advised) == ("drop", False)
    assert "While the table is small" in change.reason
    assert PREFIX not in sentences(profile_database(own))


def test_scans_of_a_redundant_index_are_told_when_they_were_counted_for_a_day(own, monkeypatch):
    execute(own, "SELECT pg_stat_reset()")
    fill(own)
    assert "scan" not in change_of(own, PREFIX).reason
    monkeypatch.setattr(_index_changes, "MIN_AGE", dt.timedelta(0))
    assert f"It had 0 scans since {dt.datetime.now(dt.UTC):%Y}" in change_of(own, PREFIX).reason


@pytest.mark.parametrize("name", ["zz_copy", "aa_copy"])
def test_a_second_index_of_the_same_columns_is_redundant_and_not_the_first(own, name):
    execute(own, f"CREATE INDEX {name} ON customers (risk_score)")
    assert "same columns as ix_customers_risk_score" in change_of(own, name).reason
    assert change_of(own, "ix_customers_risk_score") is None


@pytest.mark.parametrize(
    "definition",
    [
        "UNIQUE INDEX i ON transactions (timestamp, transaction_id)",
        "INDEX i ON transactions (timestamp DESC)",
        "INDEX i ON transactions (timestamp) WHERE amount > 5",
        "INDEX i ON transactions (timestamp) INCLUDE (amount)",
        "INDEX i ON transactions USING hash (timestamp)",
        "INDEX i ON transactions (date_trunc('day', timestamp AT TIME ZONE 'UTC'))",
    ],
)
def test_an_index_that_answers_other_queries_is_not_redundant(own, definition):
    execute(own, f"CREATE {definition}")
    assert change_of(own, "i") is None


def test_keys_are_never_to_be_dropped(own):
    execute(own, "CREATE INDEX longer ON customers (customer_id, age)")
    keys = profile_database(own).indexes.query("required or unique")["index"]
    assert len(keys) >= 7
    assert not {change.index for change in profile_database(own).changes} & set(keys)


def scan(manager, table, times):
    """Scan a table; a session publishes its counts at its end."""
    with manager.engine.connect() as connection:
        for _ in range(times):
            connection.execute(text(f"SELECT count(*) FROM {table}"))
    manager.engine.dispose()

    def counted():
        tables = profile_database(manager).tables.set_index("table")
        return tables.loc[table, ["seq_scans", "index_scans"]].sum() >= times

    servers.wait_until(counted, "the scans are counted")


def test_an_index_without_a_scan_is_unused_if_it_is_known_since_when(own, monkeypatch):
    execute(own, "SELECT pg_stat_reset()")
    scan(own, "transactions", 100)
    assert change_of(own, UNUSED) is None  # too early
    assert "less than a day" in sentences(profile_database(own))

    monkeypatch.setattr(_index_changes, "MIN_AGE", dt.timedelta(0))
    assert change_of(own, UNUSED) is None  # a small table is read without an index
    monkeypatch.setattr(_index_changes, "MIN_ROWS", 0)
    change = change_of(own, UNUSED)
    assert change.advised
    assert f"since {dt.datetime.now(dt.UTC):%Y-%m-%d}" in change.reason
    assert "one of the package's own indexes" in change.reason
    assert change_of(own, "ix_customers_risk_score") is None  # its table had no scans


def test_lookups_of_keys_do_not_show_that_other_indexes_are_unused(own, monkeypatch):
    execute(own, "SELECT pg_stat_reset()")
    monkeypatch.setattr(_index_changes, "MIN_AGE", dt.timedelta(0))
    fill(own)
    join = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off"
    with own.engine.connect() as connection:
        connection.execute(text(join))
        connection.execute(
            text(
                "SELECT count(t.amount) FROM generate_series(1, 500) AS n "
                "JOIN transactions AS t ON t.transaction_id = n::text"
            )
        )
    own.engine.dispose()

    def counted():
        tables = profile_database(own).tables.set_index("table")
        return tables.loc["transactions", "index_scans"] >= 500

    servers.wait_until(counted, "the lookups are counted")
    assert change_of(own, UNUSED) is None


def test_without_a_reset_nobody_knows_whether_an_index_is_unused(own, monkeypatch):
    monkeypatch.setattr(_index_changes, "MIN_ROWS", 0)
    if profile_database(own).server["stats_reset"] is not None:
        pytest.skip("this server records a time when it creates a database")
    scan(own, "transactions", 100)
    change = change_of(own, UNUSED)
    assert not change.advised
    assert "since an unknown time" in change.reason
    assert "no reset is recorded" in sentences(profile_database(own))


def test_an_invalid_index_is_named_and_dropped(own):
    with own.engine.connect() as other:
        other.execute(text("INSERT INTO customers (customer_id) VALUES ('C')"))
        execute(own, f"ALTER DATABASE {own.config.database} SET statement_timeout = '200ms'")
        with contextlib.closing(DatabaseManager(own.config)) as hasty, pytest.raises(DBAPIError):
            execute(hasty, "CREATE INDEX CONCURRENTLY broken ON customers (age)")
        execute(own, f"ALTER DATABASE {own.config.database} RESET statement_timeout")
        assert "invalid" in change_of(own, "broken").reason
    apply_index_change(own, change_of(own, "broken"))
    assert "broken" not in indexes_of(own, "customers")


# -- Changes of indexes -----------------------------------------------------------------------


def test_a_dropped_index_stays_dropped_and_loads_and_versions_work(own):
    apply_index_change(own, change_of(own, PREFIX))

    frame = pl.DataFrame({"transaction_id": ["T"], "customer_id": ["C"], "merchant_id": ["M"]})
    frame = frame.with_columns(amount=pl.lit(1.0), timestamp=pl.lit("2026-01-01"))
    load_df(
        frame, "transactions", manager=own, on_missing_parent="create", rebuild_indexes="always"
    )
    schema.require_current(own)
    schema.upgrade(own)
    assert PREFIX not in indexes_of(own)

    schema.downgrade(own, "0001")
    schema.upgrade(own)
    assert PREFIX not in indexes_of(own)
    schema.downgrade(own, "base")
    schema.upgrade(own)
    assert PREFIX in indexes_of(own)


def test_versions_work_without_any_index_of_the_package(own):
    for table in ("transactions", "customers", "model_predictions"):
        for name in indexes_of(own, table) - {"uq_model_predictions_transaction_id"}:
            if not name.startswith("uq_"):
                execute(own, f"DROP INDEX {name}")
    schema.downgrade(own, "base")
    assert schema.upgrade(own) == schema.known_versions()[-1]


def test_a_dropped_index_is_created_again_only_by_name(own):
    before = indexes_of(own)
    definition = profile_database(own).indexes.set_index("index").loc[PREFIX, "definition"]
    apply_index_change(own, change_of(own, PREFIX))

    change = change_of(own, PREFIX)
    assert (change.action, change.advised) == ("create", False)
    apply_index_change(own, change)
    assert indexes_of(own) == before
    indexes = profile_database(own).indexes.set_index("index")
    assert indexes.loc[PREFIX, "definition"] == definition


def test_a_partial_index_is_created_again_as_it_was(own):
    name = "ix_transactions_timestamp_anomaly"
    definition = profile_database(own).indexes.set_index("index").loc[name, "definition"]
    execute(own, f"DROP INDEX {name}")
    apply_index_change(own, change_of(own, name))
    indexes = profile_database(own).indexes.set_index("index")
    assert indexes.loc[name, "definition"] == definition


# -- Optional indexes -------------------------------------------------------------------------


def test_without_statements_the_profile_does_not_advise_the_index_on_the_amount(own):
    change = change_of(own, AMOUNT)
    assert (change.action, change.advised) == ("create", False)
    assert "Statements are not counted" in change.reason


@pytest.mark.parametrize("name", [AMOUNT, "ix_transactions_timestamp_fraud"])
def test_an_optional_index_is_created_by_name_and_stays(own, name):
    assert name not in indexes_of(own)

    apply_index_change(own, change_of(own, name))

    assert change_of(own, name) is None
    frame = pl.DataFrame({"transaction_id": ["T"], "customer_id": ["C"], "merchant_id": ["M"]})
    frame = frame.with_columns(amount=pl.lit(1.0), timestamp=pl.lit("2026-01-01"))
    load_df(
        frame, "transactions", manager=own, on_missing_parent="create", rebuild_indexes="always"
    )
    schema.downgrade(own, "0001")
    schema.upgrade(own)
    schema.require_current(own)
    assert name in indexes_of(own)


@pytest.mark.parametrize(
    ("definition", "has_amount"),
    [
        ("INDEX i ON transactions (amount DESC, timestamp)", True),
        ("INDEX i ON transactions (timestamp, amount)", False),
        ("INDEX i ON transactions (amount) WHERE is_fraud", False),
        ("INDEX i ON transactions USING hash (amount)", False),
        ("INDEX i ON transactions (amount_last_day)", False),
    ],
)
def test_the_amount_is_not_offered_where_another_index_begins_with_the_amount(
    own, definition, has_amount
):
    execute(own, f"CREATE {definition}")
    assert (change_of(own, AMOUNT) is None) == has_amount


@pytest.mark.parametrize(
    ("statement", "n_rows", "advised"),
    [
        (LARGEST, 10, True),
        ("SELECT * FROM public.transactions WHERE public.transactions.amount >= $1", 10, True),
        ("COPY ( SELECT * FROM transactions WHERE city = $1 AND amount < $2 )", 10, True),
        (LARGEST, 1_000, False),
        ("SELECT * FROM transactions ORDER BY timestamp, amount LIMIT $1", 10, False),
        ("SELECT * FROM transactions ORDER BY amount * exchange_rate LIMIT $1", 10, False),
        ("SELECT * FROM transactions WHERE amount_last_day > $1", 10, False),
        ("SELECT * FROM refunds ORDER BY amount LIMIT $1", 10, False),
        ("SELECT count(*) FROM transactions WHERE amount > $1", 1, False),
    ],
)
def test_the_amount_is_advised_if_slow_statements_read_few_rows_by_it(
    own, statement, n_rows, advised
):
    fill(own)
    counts = {"statement": [statement], "calls": [3], "rows": [3 * n_rows]}
    times = {"mean_ms": [40.0], "total_ms": [120.0]}
    profile = profile_database(own)

    def change(**values):
        statements = pd.DataFrame(counts | times | values)
        measured = dataclasses.replace(profile.measured, statements=statements, no_statements="")
        changes = _index_changes.index_changes(measured)
        return next(change for change in changes if change.index == AMOUNT)

    assert change().advised == advised
    assert ("3 calls of statements" in change().reason) == advised
    assert not change(mean_ms=19.0).advised


def test_a_change_that_the_profile_does_not_name_is_refused(own):
    change = IndexChange("pk_transactions", "transactions", "drop", "", "DROP TABLE transactions")
    with pytest.raises(ArgumentError, match=r"Run the profile again\. Nothing was changed"):
        apply_index_change(own, change)


def test_a_protected_database_must_be_confirmed(own):
    change = change_of(own, PREFIX)
    protected = DatabaseManager(dataclasses.replace(own.config, protected=True))
    with contextlib.closing(protected):
        with pytest.raises(ProtectedDatabaseError, match="to drop an index"):
            apply_index_change(protected, change)
        assert PREFIX in indexes_of(own)
        apply_index_change(protected, change, confirm=own.config.database)
    assert PREFIX not in indexes_of(own)


def test_a_creation_that_fails_says_what_it_left(own):
    apply_index_change(own, change_of(own, PREFIX))
    change = change_of(own, PREFIX)
    execute(own, f"ALTER DATABASE {own.config.database} SET statement_timeout = '1500ms'")
    with contextlib.closing(DatabaseManager(own.config)) as hasty, own.engine.connect() as writer:
        writer.execute(text("LOCK TABLE transactions IN ROW EXCLUSIVE MODE"))
        with pytest.raises(QueryError, match=f"An invalid index '{PREFIX}' remains"):
            apply_index_change(hasty, change)
    execute(own, f"ALTER DATABASE {own.config.database} RESET statement_timeout")
    assert change_of(own, PREFIX).action == "drop"


# -- Locks and transactions -------------------------------------------------------------------


def test_the_profile_says_who_blocks_whom_without_values(own):
    with waiting(own, "LOCK TABLE merchants", "SELECT 'ana@example.org' FROM merchants") as pid:
        profile = profile_database(own)
    (row,) = profile.blocked.to_dict("records")
    assert (row["blocked_by"], row["table"]) == (pid, "merchants")
    assert "'…'" in row["statement"]
    assert "ana@" not in profile.html()
    assert f"because of session {pid}" in sentences(profile)


def test_a_table_that_is_locked_does_not_stop_the_profile(own):
    with own.engine.connect() as holder:
        holder.execute(text("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE"))
        profile = profile_database(own)
    tables = profile.tables.set_index("table")
    assert tables["locked"].to_dict() == {name: name == "transactions" for name in tables.index}
    assert "transactions is locked exclusively" in sentences(profile)
    assert PREFIX not in {change.index for change in profile.changes}  # neither drop nor create
    assert "Indexes" in profile.html()


def test_a_long_transaction_is_named(own, monkeypatch):
    monkeypatch.setattr(_profile_findings, "_LONG", 0.0)
    with own.engine.connect() as other:
        other.execute(text("SELECT 'C-1'"))
        pid = other.execute(text("SELECT pg_backend_pid()")).scalar_one()
        profile = profile_database(own)
    assert pid in set(profile.transactions["pid"])
    assert f"session {pid} (idle in transaction) has been open" in sentences(profile)


# -- Tables -----------------------------------------------------------------------------------


def test_dead_rows_and_free_space_are_measured_with_pgstattuple(own):
    execute(own, "CREATE EXTENSION pgstattuple")
    rows = "SELECT 'C' || n FROM generate_series(1, 10000) AS n"
    execute(own, f"INSERT INTO customers (customer_id) {rows}")
    execute(own, "ALTER TABLE customers SET (autovacuum_enabled = off)")
    execute(own, "DELETE FROM customers WHERE right(customer_id, 1) < '8'")
    tables = profile_database(own).tables.set_index("table")
    assert tables.loc["customers", "bloat_from"] == "pgstattuple"
    assert tables.loc["customers", "dead_share"] > 0.5

    execute(own, "VACUUM customers")
    tables = profile_database(own).tables.set_index("table")
    assert tables.loc["customers", "dead_share"] == 0
    assert tables.loc["customers", "free_share"] > 0.5


def test_a_large_table_says_what_was_read_and_what_was_not_done(own):
    execute(own, "ALTER TABLE customers SET (autovacuum_enabled = off)")
    rows = "SELECT 'C' || n FROM generate_series(1, 20000) AS n"
    execute(own, f"INSERT INTO customers (customer_id) {rows}")
    execute(own, "DELETE FROM customers WHERE right(customer_id, 1) < '4'")
    scan(own, "customers", 3)
    text = sentences(profile_database(own))
    assert re.search(r"customers \(about 12,000 rows\) had \d sequential scans", text), text
    assert "40.0% of the rows of customers are dead (the server's estimate)" in text
    assert "run ANALYZE customers" in text


def test_scans_that_read_fewer_rows_than_the_table_has_are_no_finding(own):
    fill(own)  # the migrations have scanned the empty table

    def scanned():
        return profile_database(own).tables.set_index("table").loc["transactions", "seq_scans"] > 0

    servers.wait_until(scanned, "the scans are counted")
    assert "sequential scan" not in sentences(profile_database(own))


def test_a_database_without_tables_has_a_profile(empty_database):
    with contextlib.closing(DatabaseManager(empty_database)) as manager:
        profile = profile_database(manager)
        assert "synfin db upgrade" in sentences(profile)
        assert (len(profile.tables), len(profile.indexes), profile.changes) == (0, 0, ())
        assert "Tables" in profile.html()


def test_partitions_are_profiled_and_their_indexes_left_alone(own):
    execute(own, "ALTER TABLE anomaly_patterns RENAME TO plain")
    execute(
        own,
        "CREATE TABLE anomaly_patterns (LIKE plain) PARTITION BY RANGE (pattern_type);"
        "CREATE TABLE part PARTITION OF anomaly_patterns DEFAULT;"
        "CREATE INDEX one ON anomaly_patterns (pattern_type);"
        "CREATE INDEX two ON anomaly_patterns (pattern_type)",
    )
    profile = profile_database(own)
    assert {"part", "anomaly_patterns"} <= set(profile.tables["table"])
    assert not {change.table for change in profile.changes} & {"part", "anomaly_patterns"}


# -- Statements, roles and servers ------------------------------------------------------------


def test_without_its_extension_the_profile_says_how_to_count_statements(own):
    profile = profile_database(own)
    assert profile.statements.empty
    how = "--track-statements on" if own.config.embedded else "shared_preload_libraries"
    assert how in " ".join(profile.notes)


def test_of_many_columns_a_statement_shows_the_first_and_the_last():
    columns = ", ".join(f't."c {n}"' for n in range(56))
    statement = f"SELECT {columns} FROM public.t WHERE t.city IN ('Bonn', 'Berlin')"
    shortened = """SELECT t."c 0", …, t."c 55" FROM public.t WHERE t.city IN ('…', '…')"""
    assert _profile_queries._shorten(statement) == shortened


@pytest.mark.parametrize(
    ("statement", "calls", "advice"),
    [
        (
            "SELECT … FROM merchants",
            1000,
            ["See its plan with EXPLAIN", "ask for all rows at once"],
        ),
        ("SELECT … FROM merchants", 999, ["See its plan with EXPLAIN"]),
        ("VACUUM merchants", 999, []),
    ],
)
def test_only_what_costs_much_has_advice(own, statement, calls, advice):
    row = {"statement": statement, "calls": calls, "total_ms": 1000.0, "mean_ms": 1.0}
    measured = dataclasses.replace(
        profile_database(own).measured, statements=pd.DataFrame([row]), no_statements=""
    )
    text = " ".join(
        finding.sentence for finding in _profile_findings.database_findings(measured, [])
    )
    assert "Most time, 1,000 ms" in text
    for sentence in ("See its plan with EXPLAIN", "ask for all rows at once"):
        assert (sentence in text) == (sentence in advice)


@pytest.mark.skipif(not servers.DEBIAN, reason="there is no Debian PostgreSQL")
def test_a_role_without_rights_sees_the_rest_and_the_grant(monkeypatch):
    server = servers.TcpServer.create(
        servers.DEBIAN[-1].parent, shared_preload_libraries="pg_stat_statements"
    ).start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.remove)
        owner = stack.enter_context(contextlib.closing(DatabaseManager(server.config())))
        owner.create_all_tables()
        notes = " ".join(profile_database(owner).notes)
        assert "an administrator runs CREATE EXTENSION pg_stat_statements" in notes
        execute(owner, "CREATE EXTENSION pg_stat_statements")
        execute(owner, "SELECT pg_stat_statements_reset()")
        for _ in range(100):
            execute(owner, "SELECT count(*) FROM customers WHERE email = 'ana@example.org'")
        password = server.password.replace("'", "''")
        # The colon of the password would be a parameter.
        with server.connect("postgres") as cursor:
            cursor.execute(f"""CREATE ROLE "An analyst" LOGIN PASSWORD '{password}'""")

        fill(owner)
        monkeypatch.setattr(_index_changes, "_SLOW", 0.0)
        read_df(LARGEST, manager=owner)
        assert change_of(owner, AMOUNT).advised
        profile = profile_database(owner)
        assert profile.statements["statement"].str.contains("WHERE email = ").any()
        assert "ana@" not in profile.html()
        assert "p@ss" not in profile.html()
        assert "Statements have been counted since" in sentences(profile)
        assert "Most time" in sentences(profile)
        assert not profile.statements["statement"].str.contains("pg_stat_activity").any()  # its own
        assert not profile.statements["statement"].str.contains("^(?:BEGIN|COMMIT|SET)").any()

        config = server.config(username="An analyst")
        analyst = stack.enter_context(contextlib.closing(DatabaseManager(config)))
        profile = profile_database(analyst)
        assert 'GRANT pg_monitor TO "An analyst"' in sentences(profile)
        assert not profile.statements["statement"].str.contains("WHERE email = ").any()
        assert PREFIX in set(profile.indexes["index"])
        with pytest.raises(QueryError, match=r"must be owner.*Nothing was changed"):
            apply_index_change(analyst, change_of(analyst, PREFIX))

        execute(owner, 'GRANT pg_monitor TO "An analyst"')
        profile = profile_database(analyst)
        assert "GRANT" not in sentences(profile)
        assert profile.statements["statement"].str.contains("WHERE email = ").any()


def test_the_embedded_server_counts_statements_from_its_next_start(monkeypatch):
    folder = servers.open_folder("profile")
    monkeypatch.setenv("DB_DATA_DIR", str(folder))

    def run(*arguments):
        result = CliRunner().invoke(main, ["db", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    run("upgrade")
    assert "run `synfin db profile --track-statements on`" in run("profile")
    for choice, has_statements in (("on", True), ("off", False)):
        assert "next start" in run("profile", "--track-statements", choice)
        embedded.stop(folder, force=True)
        run("profile")
        output = run("profile")
        assert ("Most calls" in output) == has_statements
        assert not re.search("“(?:BEGIN|SELECT .*pg_stat)", output)  # nor those of the profile
    embedded.stop(folder, force=True)


def test_statements_of_another_server_are_not_switched_on():
    manager = DatabaseManager(DatabaseConfig(host="db.bank"))
    message = r"CREATE EXTENSION pg_stat_statements\. Nothing was changed"
    with pytest.raises(ArgumentError, match=message):
        track_statements(manager, True)


# -- The command ------------------------------------------------------------------------------


def test_the_command_prints_the_profile_and_writes_a_page(own, tmp_path):
    fill(own)
    page = tmp_path / "profile.html"
    result = CliRunner().invoke(main, ["db", "profile", "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert f"Drop {PREFIX} of transactions" in result.output
    assert f"create {AMOUNT} of transactions" in result.output
    assert AMOUNT in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [[], ["--yes"], [PREFIX]])
def test_without_a_terminal_a_change_needs_names_and_yes(own, options):
    result = CliRunner().invoke(main, ["db", "profile", "--apply", *options])
    assert result.exit_code == 2
    assert "needs --yes and the names" in result.output
    assert PREFIX in indexes_of(own)


def test_the_command_applies_what_its_owner_names(own):
    result = CliRunner().invoke(main, ["db", "profile", "--apply", "--yes", PREFIX])
    assert result.exit_code == 0, result.output
    assert PREFIX not in indexes_of(own)


def test_an_index_that_is_not_to_be_changed_is_refused(own):
    options = ["--apply", "--yes", PREFIX, "pk_transactions"]
    result = CliRunner().invoke(main, ["db", "profile", *options])
    assert result.exit_code == 1
    assert PREFIX in result.output
    assert PREFIX in indexes_of(own)


def test_a_protected_database_is_not_changed_without_its_name(own, tmp_path, monkeypatch):
    (tmp_path / "synfin.toml").write_text("[production]\nprotected = true\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    options = ["--env", "production", "db", "profile", "--apply", "--yes", PREFIX]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 1
    assert "--confirm" in result.output
    assert PREFIX in indexes_of(own)
    result = CliRunner().invoke(main, [*options, "--confirm", own.config.database])
    assert result.exit_code == 0, result.output
    assert PREFIX not in indexes_of(own)


def test_the_profile_takes_a_manager():
    with pytest.raises(ArgumentError, match="`manager` must be a DatabaseManager; got str"):
        profile_database("fraud")


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_terminal_asks_for_each_index(own, answer):
    fill(own)
    controller, terminal = pty.openpty()
    os.write(controller, f"{answer}\n".encode())
    command = [sys.executable, "-c", "from synfin_analytics.cli import main; main()"]
    result = subprocess.run(
        [*command, "db", "profile", "--apply"],
        stdin=terminal, capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(controller)
    os.close(terminal)
    assert "DROP INDEX CONCURRENTLY" in result.stderr
    assert (PREFIX in indexes_of(own)) == (answer == "n")
