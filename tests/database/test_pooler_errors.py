"""A pooler's errors say what happened and what to do; a pool above its size gets a warning."""

from __future__ import annotations

import contextlib
import re
import time

import psycopg2
import pytest
import servers
from documentation import blocks, page
from sqlalchemy import text

from synfin_analytics.database._pooler import explain_pooler_error
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import ConfigurationError, DatabaseConnectionError, DatabaseWarning
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

needs_pgbouncer = pytest.mark.skipif(
    servers.PgBouncer.PROGRAM is None, reason="there is no pgbouncer: apt-get install pgbouncer"
)


@pytest.mark.parametrize(
    ("message", "explanation"),
    [
        ("server login has been failing, cached error: connect failed (server_login_retry)",
         "cannot log in to the server"),
        ("pgbouncer cannot connect to server", "cannot connect to the server"),
        ("client_login_timeout (server down)", "did not finish the login"),
        ("client connections exceeded (max_user_client_connections)", "no more clients of this"),
        ("unsupported startup parameter in options: work_mem", "the setting 'work_mem'"),
        ("unsupported options startup parameter: only '-c config=val' is allowed", "-c name=value"),
        ("no such user", "check DB_USER"),
        ("SSL required", "DB_SSLMODE=require"),
        ('database "fraud" is disabled', "has disabled this database"),
        ("query_timeout", "longer than its query_timeout"),
        ("transaction_timeout", "longer than its transaction_timeout"),
        ("cancel_wait_timeout", "could not cancel"),
        ("admin forced disconnect", "ended the session"),
        ("pooler is shutting down", "is being stopped"),
        ("terminating connection due to administrator command", "^$"),
    ],
)  # fmt: skip
def test_a_message_of_a_pooler_is_explained(message, explanation):
    assert re.search(explanation, explain_pooler_error(f"FATAL:  {message}\nserver closed"))


# -- Errors of a real pooler -----------------------------------------------------------------------

pytestmark = needs_pgbouncer


@pytest.fixture(scope="module")
def pooler(tcp_server):
    """A pgbouncer of one connection to the server, whose settings a test may change."""
    settings = {"server_login_retry": 1, "admin_users": tcp_server.username}
    with servers.PgBouncer(tcp_server, "transaction", **settings) as pooler:
        yield pooler


@pytest.fixture
def manager(pooler):
    manager = DatabaseManager(pooler.config(pool="none", pool_timeout=10))
    yield manager
    manager.close()


@contextlib.contextmanager
def console(pooler):
    """A cursor on pgbouncer's console."""
    connection = psycopg2.connect(**pooler.config(database="pgbouncer").connect_arguments())
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def settings(pooler):
    """Change settings of the pooler for one test."""
    defaults = {}

    def change(**values):
        with console(pooler) as cursor:
            cursor.execute("SHOW CONFIG")
            current = {name: value for name, value, *_ in cursor.fetchall()}
            for name, value in values.items():
                defaults.setdefault(name, current[name])
                cursor.execute(f"SET {name} = {value}")

    yield change
    change(**defaults)


@pytest.fixture
def occupied(pooler):
    """Let another client occupy the pooler's only connection to the server."""
    other = psycopg2.connect(**pooler.config().connect_arguments())
    other.cursor().execute("SELECT 1")
    yield other
    other.close()


def test_a_session_that_gets_no_connection_in_time(manager, settings, occupied):
    settings(query_wait_timeout=1)

    with pytest.raises(DatabaseConnectionError, match="all are in use, or the server is down"):
        read_df("SELECT 1 AS x", manager=manager)


def test_a_query_that_gets_no_connection_in_time(pooler, manager, settings):
    settings(query_wait_timeout=1)
    with manager.get_session() as session, contextlib.ExitStack() as stack:
        session.connection()
        other = psycopg2.connect(**pooler.config().connect_arguments())
        stack.enter_context(contextlib.closing(other))
        other.cursor().execute("SELECT 1")
        with pytest.raises(DatabaseConnectionError, match="within its query_wait_timeout"):
            session.execute(text("SELECT 1"))
        session.rollback()


def test_a_session_waits_no_longer_than_the_timeout_of_the_pool(pooler, occupied):
    manager = DatabaseManager(pooler.config(pool="none", pool_timeout=1))

    with pytest.raises(DatabaseConnectionError, match=r"no connection to the server within 1 s"):
        read_df("SELECT 1 AS x", manager=manager)

    assert manager.get_pool_status()["checked_out"] == 0
    occupied.close()
    assert manager.health_check()
    manager.close()


def sleep_in_a_session(session):
    session.execute(text("SELECT 1"))
    time.sleep(1.6)
    session.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    ("setting", "work", "explanation"),
    [
        ("query_timeout", lambda session: session.execute(text("SELECT pg_sleep(30)")),
         "longer than its query_timeout: select less"),
        ("query_timeout", lambda session: read_df("SELECT pg_sleep(30)::text", session=session),
         "longer than its query_timeout: select less"),
        ("idle_transaction_timeout", sleep_in_a_session,
         "longer than its idle_transaction_timeout: commit"),
    ],
    ids=["query_timeout", "query_timeout of a read", "idle_transaction_timeout"],
)  # fmt: skip
def test_a_timeout_of_the_pooler_is_named(manager, settings, setting, work, explanation):
    settings(**{setting: 1})

    with manager.get_session() as session:
        with pytest.raises(DatabaseConnectionError, match=explanation):
            work(session)
        session.rollback()
        assert session.scalar(text("SELECT 1")) == 1


def test_a_session_that_was_idle_for_too_long(manager, settings):
    settings(client_idle_timeout=1)
    with manager.get_session() as session:
        session.connection()
        time.sleep(1.6)
        with pytest.raises(DatabaseConnectionError, match="longer than its client_idle_timeout"):
            session.execute(text("SELECT 1"))
        session.rollback()


def test_options_that_the_pooler_does_not_accept(pooler):
    manager = DatabaseManager(pooler.config(options={"options": "-c statement_timeout=5s"}))

    explanation = r"connection option 'options': .* \(ALTER ROLE"
    with pytest.raises(DatabaseConnectionError, match=explanation):
        read_df("SELECT 1 AS x", manager=manager)


def test_too_many_clients(manager, settings, occupied):
    settings(max_client_conn=1)
    try:
        with pytest.raises(DatabaseConnectionError, match="have its max_client_conn raised"):
            read_df("SELECT 1 AS x", manager=manager)
    finally:
        occupied.close()


def test_a_mode_without_transactions(manager, settings):
    settings(pool_mode="statement")

    with pytest.raises(DatabaseConnectionError, match="pool_mode = statement"):
        read_df("SELECT 1 AS x", manager=manager)


# -- Outages ---------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_named_soon(tcp_server):
    """pgbouncer itself would let a query wait for two minutes."""
    with servers.PgBouncer(tcp_server, "transaction") as pooler:
        config = pooler.config(pool="none", pool_timeout=2, options={"connect_timeout": "2"})
        manager = DatabaseManager(config)
        assert manager.health_check()
        tcp_server.kill()
        try:
            with pytest.raises(DatabaseConnectionError, match="or its server is down or paused"):
                read_df("SELECT 1 AS x", manager=manager)
            pooler.restart()
            with pytest.raises(DatabaseConnectionError, match="but the login had no answer"):
                read_df("SELECT 1 AS x", manager=DatabaseManager(config))
        finally:
            tcp_server.start()
        manager.close()


# -- Users and sizes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documented(tcp_server):
    """A pgbouncer with the configuration of the documentation."""
    (configuration,) = blocks(page("guide/poolers"), "ini")
    tcp_server.create_database("synfinance")
    with tcp_server.connect("synfinance") as admin:
        admin.execute("SET password_encryption = 'scram-sha-256'")
        admin.execute("CREATE ROLE ana LOGIN PASSWORD 'secret'")
        admin.execute("CREATE ROLE ben LOGIN PASSWORD 'secret'")
        admin.execute("ALTER DATABASE synfinance OWNER TO ana")
        admin.execute("GRANT CREATE ON SCHEMA public TO ana")
    with servers.PgBouncer(tcp_server, "transaction") as pooler:
        pooler.stop()
        users = pooler.folder / "userlist.txt"
        users.write_text('"ana" "secret"\n"ben" "secret"\n', encoding="utf-8")
        tcp_server.user.take(users)
        for documented_value, value in (
            ("host=db.bank port=5432", f"host=127.0.0.1 port={tcp_server.port}"),
            ("listen_addr = *", "listen_addr = 127.0.0.1\nunix_socket_dir ="),
            ("listen_port = 6432", f"listen_port = {pooler.port}"),
            ("/etc/pgbouncer/userlist.txt", str(users)),
        ):
            assert documented_value in configuration
            configuration = configuration.replace(documented_value, value)
        (pooler.folder / "pgbouncer.ini").write_text(configuration, encoding="utf-8")
        pooler.start()
        yield pooler
    with tcp_server.connect("postgres") as admin:
        admin.execute("DROP DATABASE synfinance WITH (FORCE)")
        admin.execute("DROP ROLE ana")
        admin.execute("DROP ROLE ben")


def config(documented, **changes):
    settings = {"database": "synfinance", "username": "ana", "password": "secret", **changes}
    return documented.config(**settings)


def test_the_documented_configuration_works(documented):
    manager = DatabaseManager(config(documented, pool="none"))
    manager.create_all_tables()

    load_df([{"merchant_id": "M1"}], "merchants", manager=manager)

    assert read_df("merchants", manager=manager)["merchant_id"].tolist() == ["M1"]
    manager.close()


@pytest.mark.parametrize(
    ("changes", "explanation"),
    [
        ({"username": "eva"}, "check DB_USER and DB_PASSWORD, and that the user is in its auth_f"),
        ({"password": "wrong"}, "rejected the password or the user"),
        ({"database": "other"}, "has no such database: check DB_NAME"),
    ],
)
def test_a_login_that_the_pooler_refuses(documented, changes, explanation):
    with pytest.raises(DatabaseConnectionError, match=explanation) as caught:
        read_df("SELECT 1 AS x", manager=DatabaseManager(config(documented, **changes)))

    assert "wrong" not in str(caught.value)


def test_a_pool_above_the_size_of_the_pooler_gets_one_warning(documented):
    manager = DatabaseManager(config(documented, pool_size=11, max_overflow=10))

    with pytest.warns(DatabaseWarning, match=r"at most 20 connections .* \(11 \+ 10 = 21\)"):
        read_df("SELECT 1 AS x", manager=manager)

    read_df("SELECT 1 AS x", manager=manager)  # warnings are errors
    manager.close()


def test_a_pool_above_the_clients_of_the_pooler_gets_a_warning(documented):
    manager = DatabaseManager(config(documented, pool_size=201, max_overflow=0))

    with pytest.warns(DatabaseWarning, match="accepts at most 200 clients"):
        manager.health_check()
    manager.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"pool_size": 10, "max_overflow": 10},
        {"pool": "none"},
        {"username": "ben"},  # may not see the console
    ],
)
def test_other_pools_get_no_warning(documented, changes):
    manager = DatabaseManager(config(documented, **changes))

    assert manager.health_check()  # warnings are errors
    manager.close()


# -- Without a pool --------------------------------------------------------------------------------


def test_without_a_pool_each_session_has_a_connection_of_its_own(tcp_server):
    manager = DatabaseManager(tcp_server.config(pool="none"))
    with manager.session_scope() as first, manager.session_scope() as second:
        pids = {session.scalar(text("SELECT pg_backend_pid()")) for session in (first, second)}
        used = manager.get_pool_status()
    idle = manager.get_pool_status()

    assert len(pids) == 2
    assert (used["size"], used["checked_out"], used["overflow"]) == (0, 2, 2)
    assert (idle["size"], idle["checked_out"], idle["checked_in"]) == (0, 0, 0)
    with tcp_server.connect("postgres") as admin:

        def are_closed():
            admin.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [[*pids]])
            return admin.fetchone() == (0,)

        servers.wait_until(are_closed, "the connections are closed")
    manager.close()


def test_the_size_of_a_pool_contradicts_none():
    environ = {"DB_POOL": "none", "DB_POOL_SIZE": "5"}

    with pytest.raises(ConfigurationError, match="DB_POOL_SIZE is set, but DB_POOL=none keeps no"):
        DatabaseConfig.from_env(environ=environ)
    with pytest.raises(ConfigurationError, match="DB_POOL must be one of queue, none; got 'few'"):
        DatabaseConfig.from_env(environ={"DB_POOL": "few"})
