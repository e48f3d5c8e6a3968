"""Read replicas: what goes there, what the reads show, and servers that fail."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import servers
from click.testing import CliRunner
from sqlalchemy import text

from synfin_analytics.cli import main
from synfin_analytics.database import _replicas, connection
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager, get_db_manager
from synfin_analytics.exceptions import (
    ConfigurationError,
    DatabaseConnectionError,
    DatabaseWarning,
    QueryError,
)
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_batches, read_df
from synfin_analytics.io.snapshot import write_snapshot
from synfin_analytics.reports._database import compute_in_session
from synfin_analytics.simulation import simulate

pytestmark = pytest.mark.skipif(not servers.DEBIAN, reason=servers.NO_STANDBY)

WHERE = "SELECT current_setting('port')::int AS port"
#: A query that ends on a primary at once, and runs for a minute on a standby.
LONG_ON_STANDBY = """
    SELECT current_setting('port')::int AS port, count(*) AS n,
        CASE WHEN pg_is_in_recovery() THEN pg_sleep(60)::text END AS pause
    FROM notes
"""
PROCESS = "SELECT pg_backend_pid()"
#: Number of such queries.
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%FROM notes%' "
    "AND wait_event = 'PgSleep'"
)


@pytest.fixture(scope="module")
def primary():
    with contextlib.closing(servers.TcpServer.create_primary()) as server:
        with server.connect("postgres") as admin:
            admin.execute("CREATE TABLE notes (n int)")
        yield server


@pytest.fixture(scope="module")
def standby(primary):
    with contextlib.closing(primary.create_standby(max_standby_streaming_delay="0")) as server:
        yield server


@pytest.fixture
def open_manager():
    """Open managers that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_manager(primary, *replicas, **changes):
            hosts = ",".join(f"127.0.0.1:{replica.port}" for replica in replicas)
            manager = DatabaseManager(primary.config(replica_hosts=hosts or None, **changes))
            stack.callback(manager.close)
            return manager

        yield open_manager


@pytest.fixture
def manager(open_manager, primary, standby):
    return open_manager(primary, standby)


@pytest.fixture
def paused(primary, standby):
    """The standby, which shows all transactions of the primary, but replays no later ones."""
    with primary.connect("postgres") as admin:
        admin.execute("INSERT INTO notes VALUES (1)")
        position = ask(admin, "SELECT pg_current_wal_flush_lsn()")
    with standby.connect("postgres") as admin:
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        servers.wait_until(lambda: ask(admin, replayed), "it has replayed everything")
        admin.execute("SELECT pg_wal_replay_pause()")
        servers.wait_until(
            lambda: ask(admin, "SELECT pg_get_wal_replay_pause_state()") == "paused", "it pauses"
        )
    yield standby
    with standby.connect("postgres") as admin:
        admin.execute("SELECT pg_wal_replay_resume()")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_replicas, "CATCH_UP_SECONDS", 0.1)


def ask(cursor, query):
    cursor.execute(query)
    return cursor.fetchone()[0]


def port(manager):
    """Port of the server that answers a read."""
    return int(read_df(WHERE, manager=manager)["port"][0])


def write(manager):
    with manager.session_scope() as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))


def count_notes(manager):
    return int(read_df("SELECT count(*) AS n FROM notes", manager=manager)["n"][0])


def messages(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# -- Which server answers ------------------------------------------------------------------------


def through_batches(manager):
    with read_batches(WHERE, manager=manager) as batches:
        return next(iter(batches)).column("port")[0].as_py()


def through_session(manager):
    with manager.session_scope(read_only=True) as session:
        return session.scalar(text(WHERE))


@pytest.mark.parametrize(
    "read",
    [
        port,
        through_batches,
        through_session,
        lambda manager: manager.execute_query(WHERE)["port"][0],
    ],
    ids=["read_df", "read_batches", "session_scope", "execute_query"],
)
def test_a_call_that_only_reads_goes_to_a_replica(manager, standby, read):
    assert read(manager) == standby.port


def test_a_session_that_may_write_stays_on_the_primary(manager, primary):
    with manager.session_scope() as session:
        assert session.scalar(text(WHERE)) == primary.port
        assert read_df(WHERE, session=session)["port"].tolist() == [primary.port]
    with manager.get_session() as session:
        assert session.scalar(text(WHERE)) == primary.port


def test_a_session_on_a_replica_can_have_another_isolation_level(manager, standby):
    with manager.session_scope(read_only=True) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})

        assert session.scalar(text("SHOW transaction_isolation")) == "repeatable read"
        assert session.scalar(text(WHERE)) == standby.port


def test_reports_and_exports_are_read_from_a_replica(primary, standby, open_manager, tmp_path):
    environment = {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(primary.port),
        "DB_NAME": "reports",
        "DB_USER": primary.username,
        "DB_PASSWORD": primary.password,
        "DB_REPLICA_HOSTS": f"127.0.0.1:{standby.port}",
    }
    primary.create_database("reports")
    manager = open_manager(primary, standby, database="reports")
    manager.create_all_tables()
    for table, frame in simulate(customers=20, merchants=5, days=20)._asdict().items():
        load_df(frame, table, manager=manager)
    assert len(read_df("transactions", manager=manager))  # the standby has replayed them
    with standby.connect("reports") as admin:

        def count_scans():
            admin.execute("SELECT pg_stat_clear_snapshot()")
            return ask(
                admin,
                "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables "
                "WHERE relname = 'transactions'",
            )

        for arguments in (
            ["report", "fraud", "--out", str(tmp_path / "report.html")],
            ["export", "transactions", str(tmp_path / "transactions.parquet")],
        ):
            before = count_scans()
            get_db_manager().close()
            result = CliRunner().invoke(main, arguments, env=environment)

            get_db_manager().close()
            assert result.exit_code == 0, result.output
            servers.wait_until(lambda before=before: count_scans() > before, "it was read there")


@pytest.mark.parametrize("query", ["SELECT pg_current_wal_lsn() AS x", "SELECT * FROM scratch"])
def test_what_only_a_primary_can_answer_is_read_there(manager, primary, query):
    with primary.connect("postgres") as admin:
        admin.execute("CREATE UNLOGGED TABLE IF NOT EXISTS scratch (x int)")

    assert list(read_df(query, manager=manager)) == ["x"]


def test_replicas_take_turns(open_manager, primary, standby):
    with contextlib.closing(primary.create_standby()) as second:
        manager = open_manager(primary, standby, second)

        assert {port(manager) for _ in range(4)} == {standby.port, second.port}


def test_a_pooler_can_be_in_front_of_a_replica(open_manager, primary, standby):
    if servers.PgBouncer.PROGRAM is None:
        pytest.skip("there is no pgbouncer")
    with servers.PgBouncer(standby, "transaction") as pooler:
        manager = open_manager(primary, pooler)

        assert [port(manager) for _ in range(3)] == [standby.port] * 3


# -- What a read shows ---------------------------------------------------------------------------


def in_a_session(manager):
    with manager.get_session() as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))
        session.commit()


def in_autocommit(manager):
    with manager.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("INSERT INTO notes VALUES (1)"))


def with_sql(manager):
    with manager.get_session() as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))
        session.execute(text("COMMIT"))


def without_flush(manager):
    with manager.session_scope() as session:
        session.execute(text("SET LOCAL synchronous_commit = off"))
        session.execute(text("INSERT INTO notes VALUES (1)"))


@pytest.mark.parametrize(
    "commit",
    [write, in_a_session, in_autocommit, with_sql, without_flush],
    ids=lambda f: f.__name__,
)
def test_a_read_shows_what_this_manager_has_committed(manager, paused, primary, impatient, commit):
    with primary.connect("postgres") as admin:
        before = ask(admin, "SELECT count(*) FROM notes")
    commit(manager)

    assert count_notes(manager) == before + 1
    assert port(manager) == primary.port


def test_a_read_shows_the_statements_of_a_session_that_commits_each(manager, paused, impatient):
    with manager.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(2):
            before = count_notes(manager)
            connection.execute(text("INSERT INTO notes VALUES (1)"))

            assert count_notes(manager) == before + 1


def test_a_load_is_shown(manager, paused, impatient):
    manager.create_all_tables()
    load_df(pd.DataFrame({"merchant_id": ["M1"]}), "merchants", manager=manager)

    assert len(read_df("merchants", manager=manager)) == 1
    manager.drop_all_tables()


@pytest.mark.parametrize("rows", [0, 1])
def test_a_read_waits_for_what_was_written_only(open_manager, primary, paused, rows):
    """A session that only read, or was rolled back, has nothing to wait for."""
    manager = open_manager(primary, paused)
    with manager.get_session() as session:
        session.execute(text("INSERT INTO notes SELECT 1 WHERE :rows > 0"), {"rows": rows})
    with manager.session_scope(read_only=True) as session:
        session.execute(text("SELECT count(*) FROM notes"))

    assert port(manager) == paused.port


def test_a_replica_that_has_caught_up_answers_again(manager, standby, paused, impatient):
    write(manager)
    assert port(manager) != standby.port

    with standby.connect("postgres") as admin:
        admin.execute("SELECT pg_wal_replay_resume()")
    servers.wait_until(lambda: port(manager) == standby.port, "the replica has caught up")


def test_an_idle_primary_at_the_end_of_a_segment_needs_no_wait(manager, primary, standby):
    """The next record would be behind the header of a page, which no replica can reach yet."""
    write(manager)
    with primary.connect("postgres") as admin:
        admin.execute("SELECT pg_switch_wal()")

    assert port(manager) == standby.port


def test_a_read_does_not_wait_for_the_open_transaction_of_another(manager, primary, standby):
    """What is not committed may stay in the primary's memory for seconds."""
    with primary.connect("postgres") as other:
        other.execute("BEGIN; INSERT INTO notes VALUES (1)")
        write(manager)
        other.execute("INSERT INTO notes VALUES (1)")

        assert port(manager) == standby.port
        other.execute("ROLLBACK")


def test_threads_see_their_own_commits(manager):
    with manager.session_scope() as session:
        session.execute(text("CREATE TABLE threads (thread int, n int)"))

    def write_and_read(thread):
        for n in range(10):
            with manager.session_scope() as session:
                session.execute(text(f"INSERT INTO threads VALUES ({thread}, {n})"))
            query = f"SELECT max(n) AS n FROM threads WHERE thread = {thread}"
            assert read_df(query, manager=manager)["n"].tolist() == [n]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_and_read, range(4)))


# -- Servers that fail ---------------------------------------------------------------------------


@pytest.fixture
def running(manager, standby):
    """A read that runs on the standby, in a thread; its result."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_df, LONG_ON_STANDBY, manager=manager)
        with standby.connect("postgres") as admin:
            servers.wait_until(lambda: ask(admin, RUNNING) == 1, "the query runs on the standby")
        yield reading


def end_reading(standby, reading):
    """Kill the standby, and wait for the result of a read on it."""
    standby.kill()
    return reading.result(timeout=60)


def test_a_read_on_a_replica_that_is_killed_is_repeated_on_the_primary(
    manager, primary, standby, running
):
    with pytest.warns(DatabaseWarning, match="the connection was lost") as warned:
        assert end_reading(standby, running)["port"].tolist() == [primary.port]
    assert len(warned) == 1
    assert [port(manager) for _ in range(3)] == [primary.port] * 3
    standby.start()


def test_a_replica_that_runs_again_is_used_again(manager, primary, standby, monkeypatch):
    monkeypatch.setattr(_replicas, "FIRST_RETRY_SECONDS", 0.0)
    assert port(manager) == standby.port
    standby.kill()
    with pytest.warns(DatabaseWarning):
        assert port(manager) == primary.port

    standby.start()

    assert port(manager) == standby.port


def test_each_loss_of_a_replica_is_one_warning_and_one_line_in_the_log(
    manager, primary, standby, monkeypatch, caplog
):
    monkeypatch.setattr(_replicas, "FIRST_RETRY_SECONDS", 0.0)
    for _ in range(2):
        assert port(manager) == standby.port
        standby.kill()
        with pytest.warns(DatabaseWarning) as warned:
            assert [port(manager) for _ in range(3)] == [primary.port] * 3
        standby.start()

        (warning,) = warned
        assert f"The replica 127.0.0.1:{standby.port} cannot be used: " in str(warning.message)
        assert warning.filename == __file__
        assert messages(caplog, logging.WARNING) == [str(warning.message)]
        caplog.clear()


def test_a_command_prints_the_loss_of_a_replica_in_one_line(primary, tmp_path):
    environment = {
        "DATABASE_URL": primary.config().get_connection_string(),
        "DB_REPLICA_HOSTS": f"127.0.0.1:{servers.free_port()}",
    }
    arguments = ["export", "--query", WHERE, str(tmp_path / "where.csv")]
    result = CliRunner().invoke(main, arguments, env=environment)

    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "replica" in line]
    assert line.startswith("Warning: The replica 127.0.0.1")


def test_a_replica_that_restarted_between_two_reads_is_used(manager, standby):
    assert port(manager) == standby.port
    standby.restart()

    assert port(manager) == standby.port


def test_a_query_that_conflicts_with_replay_is_repeated_on_the_primary(primary, running):
    with primary.connect("postgres") as admin:
        admin.execute("TRUNCATE notes")

    result = running.result(timeout=60)
    assert result["port"].tolist() == [primary.port]


def end_connection(session, server):
    """End the connection of a session, as its server does when it stops."""
    with server.connect("postgres") as admin:
        ask(admin, f"SELECT pg_terminate_backend({session.scalar(text(PROCESS))}, 10000)")


@pytest.mark.parametrize(
    "read",
    [
        lambda session: read_df(WHERE, session=session),
        lambda session: session.execute(text(WHERE)),
    ],
    ids=["read_df", "execute"],
)
def test_a_session_says_that_its_replica_was_lost(manager, standby, read):
    def read_after_loss():
        with manager.session_scope(read_only=True) as session:
            end_connection(session, standby)
            read(session)

    with (
        pytest.warns(DatabaseWarning, match="the connection was lost"),
        pytest.raises(DatabaseConnectionError, match=r"the replica .* was lost") as caught,
    ):
        read_after_loss()
    assert caught.value.on_replica


def test_a_session_says_that_its_replica_cancelled_the_query(manager, primary, standby):
    failures = []

    def execute(query):
        with manager.session_scope(read_only=True) as session:
            session.execute(text(query))

    def read():
        with pytest.raises(QueryError) as caught:
            execute(LONG_ON_STANDBY)
        failures.append(caught.value)

    thread = threading.Thread(target=read)
    thread.start()
    with standby.connect("postgres") as admin:
        servers.wait_until(
            lambda: ask(admin, RUNNING.replace("COPY%", "%SELECT%")) == 1, "the query runs"
        )
    with primary.connect("postgres") as admin:
        admin.execute("TRUNCATE notes")
    thread.join(60)

    (error,) = failures
    assert error.on_replica


def test_a_report_begins_again_on_the_primary(primary, standby, monkeypatch, open_manager):
    manager = open_manager(primary, standby)
    monkeypatch.setattr("synfin_analytics.reports._database.get_db_manager", lambda: manager)
    ports = []

    def compute(session):
        ports.append(session.scalar(text(WHERE)))
        if len(ports) == 1:
            end_connection(session, standby)
        return read_df(WHERE, session=session)["port"][0]

    with pytest.warns(DatabaseWarning, match="the connection was lost"):
        assert compute_in_session(None, compute) == primary.port
    assert ports == [standby.port, primary.port]


def test_batches_of_a_replica_that_fails_are_not_repeated(manager, primary, standby):
    failures = []

    def read():
        with (
            pytest.raises(QueryError) as caught,
            read_batches(LONG_ON_STANDBY, manager=manager) as batches,
        ):
            list(batches)
        failures.append(caught.value)

    thread = threading.Thread(target=read)
    thread.start()
    with standby.connect("postgres") as admin:
        servers.wait_until(lambda: ask(admin, RUNNING) == 1, "the query runs on the standby")
    with primary.connect("postgres") as admin:
        admin.execute("TRUNCATE notes")
    thread.join(60)

    (error,) = failures
    assert error.on_replica
    assert "conflicts with changes that the replica has to replay. Run it again" in str(error)


def test_a_replica_that_stalls_costs_one_wait(open_manager, primary, standby, monkeypatch):
    monkeypatch.setattr(_replicas, "ANSWER_SECONDS", 0.2)
    stalled = pytest.warns(DatabaseWarning, match="it does not answer")
    with servers.Link(standby.port) as link, stalled as warned:
        manager = open_manager(primary, link)
        assert port(manager) == standby.port
        link.stall()

        assert [port(manager) for _ in range(3)] == [primary.port] * 3
    assert len(warned) == 1


def test_one_of_two_replicas_is_dead(open_manager, primary, standby):
    manager = open_manager(primary, Nobody(), standby)

    with pytest.warns(DatabaseWarning) as warned:
        assert {port(manager) for _ in range(4)} == {standby.port}
    assert len(warned) == 1


def test_a_wrong_password_of_a_replica_is_named(open_manager, primary, standby):
    url = f"postgresql://{standby.username}:secret@127.0.0.1:{standby.port}/postgres"
    manager = open_manager(primary, replica_url=url)

    with pytest.warns(DatabaseWarning, match="password authentication failed") as warned:
        assert port(manager) == primary.port

    (warning,) = map(str, warned)
    assert "password and database in DB_REPLICA_URL" in warning
    assert "secret" not in warning
    assert "DB_REPLICA_URL" in manager.health_check().replicas[0].reason


class Nobody:
    """A port on which no server listens."""

    def __init__(self):
        self.port = servers.free_port()


def test_a_child_process_reads_from_the_replica_too(manager, standby):
    assert port(manager) == standby.port
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(port(manager)).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert int(os.read(reader, 16)) == port(manager) == standby.port
    os.close(reader)
    os.close(writer)


def test_closing_a_manager_closes_the_connections_to_replicas(manager, standby):
    assert port(manager) == standby.port
    manager.close()

    own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'synfin_analytics'"
    with standby.connect("postgres") as admin:
        servers.wait_until(lambda: ask(admin, own) == 0, "the connections are closed")


# -- Servers that are no replicas ----------------------------------------------------------------


def test_a_server_of_another_cluster_is_refused(open_manager, primary, tcp_server):
    config = tcp_server.config()
    replica_url = config.get_connection_string()
    manager = open_manager(primary, replica_url=replica_url)

    with pytest.raises(ConfigurationError) as caught:
        port(manager)

    message = str(caught.value)
    assert f"127.0.0.1:{tcp_server.port} is not a replica of database 'postgres' on" in message
    assert f"127.0.0.1:{primary.port}" in message
    assert "system identifiers" in message


def test_the_primary_is_not_its_own_replica(open_manager, primary):
    manager = open_manager(primary, primary)

    with pytest.raises(ConfigurationError, match="it is not a standby, but a primary"):
        port(manager)
    (replica,) = manager.health_check().replicas
    assert "it is not a standby" in replica.reason


def test_the_setting_of_a_file_is_named_by_its_place(primary, open_manager, tmp_path, monkeypatch):
    server = f'host = "127.0.0.1:{primary.port}"\nusername = "{primary.username}"'
    file = tmp_path / "synfin.toml"
    file.write_text(f'[x]\n{server}\nreplica_hosts = "127.0.0.1:{primary.port}"\n')
    monkeypatch.chdir(tmp_path)
    variables = {"DB_PASSWORD": primary.password, "DB_NAME": "postgres"}
    manager = DatabaseManager(DatabaseConfig.from_env("x", environ=variables))

    place = re.escape(f"Correct replica_hosts in [x] of {file}, line 4.")
    with pytest.raises(ConfigurationError, match=place):
        port(manager)
    manager.close()


def test_a_primary_that_is_a_standby_is_refused(open_manager, standby):
    manager = open_manager(standby, standby)

    with pytest.raises(ConfigurationError, match="must be a primary, since replicas"):
        port(manager)


def test_a_role_without_the_right_learns_which_grant_it_needs(open_manager, primary, standby):
    with primary.connect("postgres") as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        admin.execute("CREATE ROLE viewer LOGIN PASSWORD 'x'")
        # The standby must have replayed them.
        lsn = ask(admin, "SELECT pg_current_wal_flush_lsn()")
        with standby.connect("postgres") as other:
            servers.wait_until(
                lambda: ask(other, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"), "replayed"
            )
        manager = open_manager(primary, standby, username="viewer", password="x")

        grant = r'run GRANT EXECUTE ON FUNCTION pg_control_system\(\) TO "viewer"'
        with pytest.raises(ConfigurationError, match=grant):
            port(manager)
        admin.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


# -- Status --------------------------------------------------------------------------------------


def test_status_and_health_tell_how_far_a_replica_is_behind(manager, paused, impatient):
    write(manager)
    count_notes(manager)

    report = manager.health_check()
    assert report
    (replica,) = report.replicas
    assert replica.healthy
    assert replica.lag_bytes > 0
    (pool,) = manager.get_pool_status()["replicas"]
    assert pool["server"] == replica.server == f"127.0.0.1:{paused.port}"
    assert pool["lag_seconds"] > 0
    assert replica.lag_seconds > 0
    assert str(report).splitlines()[1].endswith("s behind")


def test_a_replica_that_shows_everything_has_no_lag(manager):
    write(manager)
    count_notes(manager)

    def measure():
        (replica,) = manager.health_check().replicas
        (pool,) = manager.get_pool_status()["replicas"]
        return replica.lag_bytes, replica.lag_seconds, pool["lag_seconds"]

    servers.wait_until(lambda: measure() == (0, 0.0, 0.0), "the replica has caught up")


def test_a_health_check_has_the_reason_of_a_failure(open_manager, primary):
    report = open_manager(primary, Nobody()).health_check()

    assert report
    (replica,) = report.replicas
    assert not replica.healthy
    assert "Connection refused" in replica.reason


def test_the_command_line_shows_replicas(primary, standby):
    nobody = Nobody()
    environment = {
        "DB_HOST": f"127.0.0.1:{primary.port}",
        "DB_NAME": "postgres",
        "DB_USER": primary.username,
        "DB_PASSWORD": primary.password,
        "DB_REPLICA_HOSTS": f"127.0.0.1:{standby.port},127.0.0.1:{nobody.port}",
    }

    output = CliRunner().invoke(main, ["db", "status"], env=environment).stdout

    assert f"Server     127.0.0.1:{primary.port}\n" in output
    assert f"Replica    127.0.0.1:{standby.port}, up to date" in output
    assert f"Replica    127.0.0.1:{nobody.port}, not used: " in output


def test_the_command_line_shows_replicas_of_a_primary_that_is_gone(primary, standby):
    gone = Nobody()
    environment = {
        "DB_HOST": f"127.0.0.1:{gone.port}",
        "DB_NAME": "postgres",
        "DB_USER": primary.username,
        "DB_PASSWORD": primary.password,
        "DB_REPLICA_HOSTS": f"127.0.0.1:{standby.port}",
    }

    result = CliRunner().invoke(main, ["db", "status"], env=environment)

    assert result.exit_code == 1
    assert f"Server     127.0.0.1:{gone.port}, does not answer\n" in result.stdout
    assert f"Replica    127.0.0.1:{standby.port}, healthy\n" in result.stdout
    assert "No server listens there" in result.stderr


def test_pools_that_are_not_open_are_not_asked(manager):
    assert manager.get_pool_status() == {"status": "not_initialized"}


# -- The primary fails ---------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch):
    """Do not wait for a primary that restarts."""
    monkeypatch.setattr(connection, "_RESTART_PATIENCE", 0.0)


def test_a_standby_answers_without_its_primary_and_takes_over(open_manager, hurried):
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(contextlib.closing(servers.TcpServer.create_primary()))
        new = stack.enter_context(contextlib.closing(old.create_standby()))
        with old.connect("postgres") as admin:
            admin.execute("CREATE TABLE notes (n int)")
        manager = open_manager(old, new, host=f"127.0.0.1:{old.port},127.0.0.1:{new.port}")
        writer = open_manager(old, new)
        assert (port(manager), port(writer)) == (new.port, new.port)
        write(manager)
        assert count_notes(manager) == 1
        write(writer)

        old.kill()

        # Nothing was written through this manager since its last read.
        assert count_notes(manager) >= 1
        report = manager.health_check()
        assert [server.healthy for server in report.servers] == [False, True]
        assert report.replicas[0].lag_seconds is None
        assert manager.get_pool_status()["replicas"][0]["lag_seconds"] is None
        # Which commit must be shown to this one is unknown.
        with pytest.raises(DatabaseConnectionError, match="Cannot connect to database"):
            count_notes(writer)
        # A new one cannot know whether this is a replica.
        other = open_manager(old, new)
        with pytest.warns(DatabaseWarning, match="without knowing whether it is a rep") as warned:
            assert [port(other) for _ in range(3)] == [new.port] * 3
        assert len(warned) == 1

        new.promote()

        before = count_notes(manager)
        write(manager)
        assert count_notes(manager) == before + 1


# -- Snapshots -----------------------------------------------------------------------------------


@pytest.fixture
def bank(manager):
    """A manager of both servers, which have the seven tables and a merchant."""
    manager.create_all_tables()
    load_df([{"merchant_id": "M1"}], "merchants", on_conflict="skip", manager=manager)
    # A read after a write waits until the standby has it.
    assert "M1" in read_df("SELECT merchant_id FROM merchants", manager=manager).to_numpy()
    return manager


@pytest.mark.parametrize("through", ["the standby", "the manager of both"])
def test_a_snapshot_of_a_standby_has_what_it_has_replayed(
    bank, open_manager, standby, tmp_path, through
):
    with standby.connect("postgres") as admin:
        before = ask(admin, "SELECT pg_last_wal_replay_lsn()")

        reader = open_manager(standby) if through == "the standby" else bank
        snapshot = write_snapshot(tmp_path / "march", manager=reader)

        after = ask(admin, "SELECT pg_last_wal_replay_lsn()")
        ordered = f"SELECT '{before}'::pg_lsn <= '{snapshot.position}' AND '{snapshot.position}' "
        assert ask(admin, f"{ordered} <= '{after}'::pg_lsn")
    assert "M1" in snapshot.merchants.collect()["merchant_id"]
    assert snapshot.verify() == []


def test_a_snapshot_of_a_paused_standby_is_older_than_the_primary(
    bank, open_manager, primary, paused, tmp_path
):
    load_df([{"merchant_id": "M2"}], "merchants", on_conflict="skip", manager=bank)

    snapshot = write_snapshot(tmp_path / "march", manager=open_manager(paused))

    assert "M2" not in snapshot.merchants.collect()["merchant_id"]
    with primary.connect("postgres") as admin:
        assert ask(admin, f"SELECT pg_current_wal_lsn() > '{snapshot.position}'::pg_lsn")
