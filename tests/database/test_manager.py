"""The manager: lazy, shared by threads, safe to fork, patient with a server that restarts."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import psycopg2.errors
import pytest
import servers
from sqlalchemy import event, inspect, text
from sqlalchemy.exc import InternalError, ProgrammingError
from tracebacks import frames_of, local_variables

from synfin_analytics.database import connection
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.connection import check_version, is_lost
from synfin_analytics.database.embedded import status
from synfin_analytics.database.manager import (
    DatabaseManager,
    get_db_manager,
    get_db_session,
    session_scope,
)
from synfin_analytics.database.models import Merchant
from synfin_analytics.exceptions import (
    ArgumentError,
    ConfigurationError,
    DatabaseConnectionError,
    QueryError,
    SchemaError,
    SynfinError,
)
from synfin_analytics.io import sources
from synfin_analytics.io.load import load_df
from synfin_analytics.repositories import MerchantRepository


@pytest.fixture
def bank(tcp_server):
    """A manager of a server on a TCP port that can be restarted."""
    manager = DatabaseManager(tcp_server.config())
    yield manager
    manager.close()


def ask(manager, query):
    with manager.session_scope() as session:
        return session.execute(text(query)).scalar_one()


# -- Lazy -------------------------------------------------------------------------------------


def test_pool_status_before_initialisation_says_so(empty_database):
    manager = DatabaseManager(empty_database)

    assert manager.get_pool_status() == {"status": "not_initialized"}
    assert repr(manager).endswith("not_initialized)")


def test_nothing_is_opened_before_it_is_needed(open_folder):
    manager = DatabaseManager(DatabaseConfig(data_dir=open_folder / "databases"))
    manager.initialize()

    assert manager.get_pool_status()["checked_in"] == 0
    assert not (open_folder / "databases").exists()
    manager.close()


def test_pool_status_counts_connections(bank):
    with bank.engine.connect():
        assert bank.get_pool_status() == {
            "status": "initialized",
            "size": 10,
            "checked_in": 0,
            "checked_out": 1,
            "overflow": 0,
        }
    assert bank.get_pool_status()["checked_in"] == 1


def test_pool_has_the_configured_size_and_overflow(tcp_server):
    manager = DatabaseManager(tcp_server.config(pool_size=1, max_overflow=1, pool_timeout=1))
    with manager.engine.connect(), manager.engine.connect():
        assert manager.get_pool_status()["overflow"] == 1
        with pytest.raises(DatabaseConnectionError, match="All 2 connections are in use"):
            manager.engine.connect()
    manager.close()


# -- One manager for the process --------------------------------------------------------------


def test_the_process_has_one_manager(manager):
    assert get_db_manager() is manager
    assert get_db_manager(manager.config) is manager


def test_threads_get_the_same_manager(manager):
    manager.close()
    barrier = threading.Barrier(8)

    def get(_):
        barrier.wait()
        shared_manager = get_db_manager()
        return id(shared_manager), ask(shared_manager, "SELECT 1")

    with ThreadPoolExecutor(8) as pool:
        managers = set(pool.map(get, range(8)))

    assert len(managers) == 1
    get_db_manager().close()


def test_another_configuration_is_refused_while_there_is_a_manager(manager, tcp_server):
    with pytest.raises(ConfigurationError, match=r"call get_db_manager\(\).close\(\) first"):
        get_db_manager(tcp_server.config())

    manager.close()
    other_manager = get_db_manager(tcp_server.config())
    assert ask(other_manager, "SELECT inet_server_port()") == tcp_server.port
    other_manager.close()


def test_a_closed_manager_opens_again_when_it_is_used(manager):
    manager.close()

    assert manager.get_pool_status() == {"status": "not_initialized"}
    assert ask(manager, "SELECT 1") == 1
    manager.close()


# -- Sessions ---------------------------------------------------------------------------------


@pytest.fixture
def notes(manager):
    with manager.session_scope() as session:
        session.execute(text("CREATE TABLE notes (n int)"))
    yield lambda: ask(manager, "SELECT count(*) FROM notes")
    with manager.session_scope() as session:
        session.execute(text("DROP TABLE notes"))


def test_a_scope_commits_at_its_end(notes):
    with session_scope() as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))

    assert notes() == 1


def test_a_scope_rolls_back_when_an_error_leaves_it(notes):
    def fail_after_a_row():
        with session_scope() as session:
            session.execute(text("INSERT INTO notes VALUES (1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_row()

    assert notes() == 0


def test_a_read_only_scope_reads_and_rejects_a_write(notes):
    with session_scope(read_only=True) as session:
        assert session.scalar(text("SELECT count(*) FROM notes")) == 0

    with (
        pytest.raises(InternalError, match="read-only transaction"),
        session_scope(read_only=True) as session,
    ):
        session.execute(text("INSERT INTO notes VALUES (1)"))

    assert notes() == 0


def test_a_session_commits_only_on_request(notes):
    with get_db_session() as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))
    assert notes() == 0

    with get_db_session() as session:
        session.execute(text("INSERT INTO notes VALUES (1)"))
        session.commit()
    assert notes() == 1


def test_sessions_neither_flush_nor_expire_by_themselves(session):
    assert session.autoflush is False
    assert session.expire_on_commit is False


def test_each_thread_has_its_scoped_session(manager):
    own_session = manager.get_scoped_session()
    with ThreadPoolExecutor(1) as pool:
        other_session = pool.submit(manager.get_scoped_session).result()

    assert manager.get_scoped_session() is own_session
    assert other_session is not own_session


def test_times_are_utc_and_the_application_has_a_name(bank):
    assert ask(bank, "SHOW timezone") == "UTC"
    assert ask(bank, "SHOW application_name") == "synfin_analytics"
    assert str(ask(bank, "SELECT now()").tzinfo) == "UTC"


# -- Tables -----------------------------------------------------------------------------------


def test_tables_are_created_and_dropped(empty_database):
    manager = DatabaseManager(empty_database)
    manager.create_all_tables()
    manager.create_all_tables()
    assert "transactions" in inspect(manager.engine).get_table_names()

    manager.drop_all_tables()
    assert "transactions" not in inspect(manager.engine).get_table_names()
    manager.close()


@pytest.mark.parametrize("name", ["course", 'we "quote" this', "Größe; DROP", "a%20b"])
def test_the_embedded_server_creates_its_database(server, name):
    manager = DatabaseManager(DatabaseConfig(database=name, data_dir=server.home))

    assert ask(manager, "SELECT current_database()") == name
    manager.close()


def test_connection_string_reaches_the_embedded_database(manager):
    from sqlalchemy import create_engine

    engine = create_engine(manager.get_connection_string())
    with engine.connect() as connection:
        result = connection.execute(text("SELECT current_database()")).scalar_one()
    engine.dispose()

    assert result == manager.config.database


def test_rows_go_in_and_come_out_as_frames(manager):
    from synfin_analytics.database.models import Merchant

    report = manager.bulk_insert([Merchant(merchant_id=f"M{n}") for n in range(3)])
    manager.bulk_insert([{"merchant_id": "M3"}], table="merchants", batch_size=1)

    assert report.inserted == 3
    result = manager.execute_query(
        "SELECT merchant_id FROM merchants WHERE merchant_id > :m ORDER BY 1", {"m": "M1"}
    )
    assert result["merchant_id"].tolist() == ["M2", "M3"]


@pytest.mark.parametrize("objects", [[], [{"merchant_id": "M1"}], None])
def test_rows_without_a_table_are_refused(manager, objects):
    with pytest.raises(ArgumentError, match=r"`table` must be the name of a table or a model"):
        manager.bulk_insert(objects)


@pytest.mark.parametrize(("batch_size", "rows"), [(2, 2), (None, 65_536)])
def test_rows_are_loaded_in_batches_of_the_given_size(manager, monkeypatch, batch_size, rows):
    from synfin_analytics.io.load import _load_df

    sizes = []

    def open_source(df, batch_rows, options):
        source = sources.open_source(df, batch_rows, options)
        sizes.append(batch_rows)
        return source

    monkeypatch.setattr(_load_df, "open_source", open_source)
    merchants = [{"merchant_id": f"M{number}"} for number in range(5)]
    assert manager.bulk_insert(merchants, batch_size, table="merchants").inserted == 5
    assert sizes == [rows]
    assert len(manager.execute_query("merchants")) == 5


def test_a_batch_has_rows(manager):
    with pytest.raises(ArgumentError, match="`batch_size` must be a whole number of at least 1"):
        manager.bulk_insert([], batch_size=0, table="merchants")


# -- A server that restarts, and a connection that is lost ------------------------------------


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restart_between_two_queries_is_not_noticed(bank, tcp_server, how):
    backend = ask(bank, "SELECT pg_backend_pid()")
    if how == "restart":
        tcp_server.restart()
    else:
        tcp_server.kill()
        tcp_server.start()

    assert ask(bank, "SELECT pg_backend_pid()") != backend


def test_a_server_that_is_still_starting_is_waited_for(bank, tcp_server, log):
    ask(bank, "SELECT 1")
    tcp_server.stop()
    starter = threading.Timer(1.0, tcp_server.start)
    starter.start()

    assert ask(bank, "SELECT 1") == 1
    starter.join()
    assert f"{bank.config.place} answers again" in log.messages


def test_an_error_of_which_the_server_knows_nothing_means_that_the_connection_is_lost(bank):
    with bank.engine.connect() as connection:
        driver = connection.connection.driver_connection
        refused = psycopg2.errors.lookup("42P01")("relation does not exist")
        lost = psycopg2.DatabaseError("server closed the connection unexpectedly")

        assert not is_lost(psycopg2.ProgrammingError("no results to fetch"), driver)
        assert not is_lost(refused, driver)
        assert not is_lost(None, driver)
        assert is_lost(lost, driver)
        assert driver.closed
        assert is_lost(refused, driver)


def test_a_terminated_connection_is_replaced(bank):
    with bank.session_scope() as session:
        own_pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other_manager = DatabaseManager(bank.config)
    assert ask(other_manager, f"SELECT pg_terminate_backend({own_pid}, 10000)")
    other_manager.close()

    assert ask(bank, "SELECT 1") == 1


def test_a_connection_lost_in_a_transaction_says_that_nothing_was_committed(bank, tcp_server):
    def restart_amid_a_transaction():
        with bank.session_scope() as session:
            session.execute(text("CREATE TABLE half (n int)"))
            tcp_server.restart()
            session.execute(text("INSERT INTO half VALUES (1)"))

    with pytest.raises(DatabaseConnectionError, match="lost in the middle of a transaction"):
        restart_amid_a_transaction()

    assert ask(bank, "SELECT to_regclass('half') IS NULL")


def lose_connection(session, tcp_server):
    """Lose the connection of a session, and ignore the error of the next statement."""
    pid = session.scalar(text("SELECT pg_backend_pid()"))
    with tcp_server.connect("postgres") as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
    with contextlib.suppress(DatabaseConnectionError):
        session.execute(text("SELECT 1"))


def write_object(session):
    session.add(Merchant(merchant_id="M1"))
    session.flush()


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.execute(text("SELECT 1")),
        lambda session: session.get(Merchant, "M1"),
        write_object,
        lambda session: session.commit(),
        lambda session: load_df([{"merchant_id": "M1"}], "merchants", session=session),
        lambda session: MerchantRepository(session).get_by_id("M1"),
    ],
    ids=["execute", "get", "flush", "commit", "load_df", "get_by_id"],
)
def test_a_session_whose_connection_was_lost_says_so_until_it_is_rolled_back(bank, tcp_server, use):
    with bank.get_session() as session:
        lose_connection(session, tcp_server)

        with pytest.raises(DatabaseConnectionError, match="was lost earlier in this transaction"):
            use(session)

        session.rollback()
        assert session.scalar(text("SELECT 1")) == 1


def test_a_scope_that_ignores_a_lost_connection_does_not_seem_to_commit(bank, tcp_server):
    def ignore_the_loss():
        with bank.session_scope() as session:
            lose_connection(session, tcp_server)

    with pytest.raises(DatabaseConnectionError, match="was lost earlier in this transaction"):
        ignore_the_loss()


def test_a_scope_that_ignores_an_error_of_writing_does_not_seem_to_commit(bank):
    def ignore_the_error():
        with bank.session_scope() as session, contextlib.suppress(ProgrammingError):
            write_object(session)  # there is no such table

    with pytest.raises(QueryError, match="nothing is committed"):
        ignore_the_error()


def test_a_connection_lost_while_sqlalchemy_first_looks_at_the_server_is_an_error_of_ours(
    bank, tcp_server, monkeypatch
):
    dialect = bank.engine.dialect
    initialize = dialect.initialize

    def lose_the_connection_and_initialize(connection):
        pid = connection.connection.dbapi_connection.info.backend_pid
        with tcp_server.connect("postgres") as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
        initialize(connection)

    monkeypatch.setattr(dialect, "initialize", lose_the_connection_and_initialize)
    with pytest.raises(DatabaseConnectionError, match="lost in the middle"):
        bank.engine.connect()


# -- What cannot be reached -------------------------------------------------------------------


def refused(config):
    """The error of a connection that cannot be made; no trace of the password anywhere."""
    manager = DatabaseManager(config)
    assert not manager.health_check()
    with pytest.raises(DatabaseConnectionError) as caught:
        manager.engine.connect()
    manager.close()
    chain, texts = caught.value, []
    while chain is not None:
        texts.append(f"{chain} {chain!r}")
        chain = chain.__cause__
    assert servers.PASSWORD not in "".join(texts)
    assert "wrong-s3cr3t" not in "".join(texts)
    return str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"username": "nobody"}, {"database": "nowhere"}, {"port": servers.free_port()}]
)
def test_no_local_variable_shows_the_password_when_a_connection_fails(tcp_server, changes):
    manager = DatabaseManager(tcp_server.config(**changes))
    with pytest.raises(DatabaseConnectionError) as caught:
        ask(manager, "SELECT 1")

    assert "_driver_connection" in {
        frame.f_code.co_name for frame in frames_of(caught.value.__cause__)
    }
    assert servers.PASSWORD not in local_variables(caught.value)


def test_a_wrong_password_is_named_as_such(tcp_server):
    message = refused(tcp_server.config(password="wrong-s3cr3t"))

    assert f"database 'postgres' on 127.0.0.1:{tcp_server.port} as user 'bank'" in message
    assert "check DB_USER and DB_PASSWORD" in message


def test_a_missing_password_is_named_as_such(tcp_server, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", "/dev/null")

    assert "set DB_PASSWORD" in refused(tcp_server.config(password=None))


def test_a_missing_database_is_named_as_such(tcp_server):
    message = refused(tcp_server.config(database="fruad"))

    assert "Cannot connect to database 'fruad'" in message
    assert "check DB_NAME" in message


def test_a_port_without_a_server_is_named(tcp_server):
    message = refused(tcp_server.config(port=servers.free_port()))

    assert "No server listens there: check DB_HOST and DB_PORT" in message


def test_a_host_that_does_not_exist_is_named_as_such(tcp_server):
    assert "check DB_HOST" in refused(tcp_server.config(host="no-such-host.invalid"))


def test_a_socket_that_does_not_exist_is_named_as_such(tcp_server, tmp_path):
    assert "There is no socket there" in refused(tcp_server.config(host=str(tmp_path)))


def test_a_server_without_tls_is_named_as_such(tcp_server):
    assert "The server does not support TLS" in refused(tcp_server.config(sslmode="require"))


def test_too_many_connections_are_named_as_such(tcp_server):
    config = tcp_server.config(username="visitor", password="visitor", pool_size=1)
    admin = DatabaseManager(tcp_server.config())
    with admin.session_scope() as session:
        session.execute(text("CREATE ROLE visitor LOGIN CONNECTION LIMIT 1 PASSWORD 'visitor'"))
    first = DatabaseManager(config)
    with first.engine.connect():
        assert "All connections of the server are in use" in refused(config)
    first.close()
    with admin.session_scope() as session:
        session.execute(text("DROP ROLE visitor"))
    admin.close()


def test_an_old_server_is_refused_in_words(tcp_server):
    with pytest.raises(DatabaseConnectionError, match=r"is PostgreSQL 13.11; .* 14 or newer"):
        check_version(130011, tcp_server.config())
    check_version(140000, tcp_server.config())


def test_a_healthy_database_is_healthy(bank):
    assert bank.health_check()


def test_a_health_check_that_fails_is_logged(tcp_server, caplog):
    refused(tcp_server.config(password="wrong-s3cr3t"))

    assert "health check failed: Cannot connect to" in caplog.text
    assert "wrong-s3cr3t" not in caplog.text


def test_a_health_check_does_not_wait_for_a_server_that_is_gone(bank, tcp_server, log):
    assert bank.health_check()
    tcp_server.kill()
    try:
        report = bank.health_check()
    finally:
        tcp_server.start()

    assert not report
    assert "No server listens there" in report.primary.reason
    assert "waiting for" not in log.text


def test_a_health_check_does_not_wait_for_a_server_that_stalls(tcp_server, monkeypatch):
    monkeypatch.setattr(connection, "_IMPATIENCE", 2)
    with servers.Link(tcp_server.port) as link:
        manager = DatabaseManager(tcp_server.config(port=link.port))
        assert manager.health_check()
        link.stall()

        report = manager.health_check()
    manager.close()

    assert not report
    assert "The host did not answer" in report.primary.reason


def test_a_health_check_needs_no_connection_of_the_pool(tcp_server):
    manager = DatabaseManager(tcp_server.config(pool_size=1, max_overflow=0))
    with manager.session_scope() as session:
        session.execute(text("SELECT 1"))

        assert manager.health_check()
    manager.close()


# -- What the log says ------------------------------------------------------------------------


@pytest.fixture
def log(caplog):
    caplog.set_level("DEBUG", logger="synfin_analytics.database")
    return caplog


def test_waiting_for_a_server_is_logged_once(bank, tcp_server, log, monkeypatch):
    monkeypatch.setattr(connection, "_RESTART_PATIENCE", 0.5)
    assert ask(bank, "SELECT 1") == 1
    tcp_server.kill()
    try:
        with pytest.raises(DatabaseConnectionError):
            ask(bank, "SELECT 1")
    finally:
        tcp_server.start()

    (waiting,) = [line for line in log.messages if "waiting for" in line]
    assert "Connection refused" in waiting


def test_the_life_of_a_connection_is_logged(bank, log):
    ask(bank, "SELECT 1")
    bank.close()

    events = [record.getMessage().split(":")[0] for record in log.records]
    assert events == ["connect", "checkout", "checkin"]
    assert {record.category for record in log.records} == {"DATABASE"}
    assert {record.levelname for record in log.records} == {"DEBUG"}
    assert servers.PASSWORD not in log.text


def test_slow_queries_are_logged_with_their_time_and_without_values(tcp_server, log):
    manager = DatabaseManager(tcp_server.config(slow_query_ms=40))
    with manager.session_scope() as session:
        session.execute(text("SELECT 'quick'"))
        session.execute(
            text("SELECT pg_sleep(0.05), :name, 'ana@example.org'"), {"name": "Ana Smith"}
        )
    manager.close()

    [warning] = [record for record in log.records if record.levelname == "WARNING"]
    message = warning.getMessage()
    assert message.startswith("slow query, ")
    assert "ms: SELECT pg_sleep(…), %(name)s, '…'" in message
    assert "Ana" not in log.text
    assert "ana@" not in log.text


def test_slow_reads_by_copy_are_logged_without_values(tcp_server, log):
    manager = DatabaseManager(tcp_server.config(slow_query_ms=40))
    query = "SELECT pg_sleep(0.05)::text, :name AS name, 'ana@example.org' AS email"
    manager.execute_query("SELECT 'quick'")
    manager.execute_query(query, {"name": "Ana Smith"})
    manager.close()

    [warning] = [record for record in log.records if record.levelname == "WARNING"]
    assert "ms: SELECT pg_sleep(…)::text, :name AS name, '…' AS email" in warning.getMessage()
    assert "Ana" not in log.text


def test_neither_echo_nor_errors_show_parameters(tcp_server, caplog):
    manager = DatabaseManager(tcp_server.config(echo=True))
    with (
        pytest.raises(Exception, match="division by zero") as caught,
        manager.session_scope() as session,
    ):
        session.execute(text("SELECT :name, 1 / 0"), {"name": "Ana Smith"})
    manager.close()

    assert "SELECT" in caplog.text
    assert "Ana Smith" not in caplog.text
    assert "Ana Smith" not in str(caught.value)


# -- Processes --------------------------------------------------------------------------------

FORK = """
    import multiprocessing, os
    from sqlalchemy import text
    from synfin_analytics.exceptions import DatabaseConnectionError
    from synfin_analytics.database.manager import get_db_manager, session_scope

    BACKEND = text("SELECT pg_backend_pid()")
    context = multiprocessing.get_context("fork")
    manager = get_db_manager()

    def in_child(work):
        process = context.Process(target=work)
        process.start()
        process.join()
        assert process.exitcode == 0
"""


def in_a_new_process(manager, lines):
    config = manager.config
    env = {"DB_NAME": config.database, "DB_DATA_DIR": str(config.data_dir)}
    with servers.Program(FORK + lines, env=env) as program:
        return program.finish().splitlines()


def test_a_forked_child_gets_connections_of_its_own(manager):
    lines = """
    def child():
        with session_scope() as session:
            print(session.execute(BACKEND).scalar_one(), flush=True)

    with session_scope() as session:
        print(session.execute(BACKEND).scalar_one(), flush=True)
    in_child(child)
    with session_scope() as session:
        print(session.execute(BACKEND).scalar_one(), flush=True)
    """
    before, child, after = in_a_new_process(manager, lines)

    assert before == after != child


def test_a_forked_child_does_not_touch_its_parents_transaction(manager):
    lines = """
    def child():
        try:
            session.execute(BACKEND)
        except DatabaseConnectionError as error:
            print(error, flush=True)
        session.close()
        manager.close()

    with session_scope() as session:
        session.execute(text("CREATE TEMP TABLE mine AS SELECT 42 AS n"))
        in_child(child)
        print(session.execute(text("SELECT n FROM mine")).scalar_one())
    """
    error, answer = in_a_new_process(manager, lines)

    assert "opened before the process forked" in error
    assert answer == "42"


def test_a_forked_childs_scoped_session_is_its_own(manager):
    lines = """
    def child():
        print(manager.get_scoped_session().execute(BACKEND).scalar_one(), flush=True)

    print(manager.get_scoped_session().execute(BACKEND).scalar_one(), flush=True)
    in_child(child)
    print(manager.get_scoped_session().execute(BACKEND).scalar_one(), flush=True)
    """
    before, child, after = in_a_new_process(manager, lines)

    assert before == after != child


def test_a_fork_while_another_thread_holds_the_managers_lock_does_not_hang(manager):
    lines = """
    import threading
    held, release = threading.Event(), threading.Event()

    def hold():
        with manager._lock:
            held.set()
            release.wait()

    threading.Thread(target=hold).start()
    held.wait()
    def child():
        with session_scope() as session:
            print(session.execute(text("SELECT 1")).scalar_one(), flush=True)
    in_child(child)
    release.set()
    """
    assert in_a_new_process(manager, lines) == ["1"]


def test_the_databases_of_a_manager_that_was_closed_are_no_longer_in_use(open_folder):
    manager = DatabaseManager(DatabaseConfig(data_dir=open_folder / "databases"))
    assert ask(manager, "SELECT 1") == 1
    manager.close()

    servers.wait_until(
        lambda: not status(open_folder / "databases").running, "the server has stopped"
    )


def test_every_error_is_one_of_ours():
    for error in (ConfigurationError, DatabaseConnectionError, SchemaError):
        assert issubclass(error, SynfinError)


def test_a_connection_lost_while_it_goes_back_to_the_pool_is_no_error(manager):
    def lose(driver_connection, _record, _state):
        with manager.engine.connect() as other:
            other.execute(
                text("SELECT pg_terminate_backend(:pid)"),
                {"pid": driver_connection.info.backend_pid},
            )

    with manager.get_session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        session.scalar(text("SELECT 1"))
        event.listen(manager.engine, "reset", lose, once=True)
        session.commit()
    with manager.get_session() as session:
        assert session.scalar(text("SELECT 1")) == 1
