"""libpq's own variables (``PGHOSTADDR``, ...): none of them leads away from the embedded server."""

from __future__ import annotations

import contextlib
import os
import threading

import psycopg2
import pytest
import servers
from sqlalchemy import text

from synfin_analytics.database._libpq_environment import libpq_environment
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.embedded import stop
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import DatabaseConnectionError

#: With each of these a connection fails, or is another one than was meant.
BY_PARAMETER = {
    "PGHOST": "db.bank.example",
    "PGHOSTADDR": "127.0.0.1",
    "PGPORT": "1",
    "PGDATABASE": "none",
    "PGUSER": "nobody-here",
    "PGPASSWORD": "wrong",
    "PGPASSFILE": "/nowhere",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGCHANNELBINDING": "require",
    "PGOPTIONS": "-c search_path=mart",
    "PGSSLMODE": "verify-full",
    "PGREQUIRESSL": "1",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLCERT": "/nowhere",
    "PGSSLKEY": "/nowhere",
    "PGSSLCERTMODE": "require",
    "PGSSLROOTCERT": "system",
    "PGSSLCRL": "/nowhere",
    "PGSSLCRLDIR": "/nowhere",
    "PGSSLSNI": "many",
    "PGSSLMINPROTOCOLVERSION": "TLSv9",
    "PGSSLMAXPROTOCOLVERSION": "TLSv9",
    "PGREQUIREPEER": "nobody-here",
    "PGGSSENCMODE": "require",
    "PGCONNECT_TIMEOUT": "soon",
    "PGCLIENTENCODING": "no-such-encoding",
    "PGTARGETSESSIONATTRS": "standby",
    "PGLOADBALANCEHOSTS": "perhaps",
    "PGMINPROTOCOLVERSION": "3.9",
    "PGMAXPROTOCOLVERSION": "3.9",
}
WITHOUT_PARAMETER = {
    "PGSERVICE": "bank",
    "PGDATESTYLE": "SQL, DMY",
    "PGTZ": "Nowhere/None",
    "PGGEQO": "perhaps",
}
SHOWN = text(
    "SELECT inet_server_addr() IS NULL, current_user::text, current_setting('search_path'),"
    " current_setting('datestyle'), current_setting('timezone'), current_setting('geqo')"
)
EXPECTED = (True, "synfin", '"$user", public', "ISO, MDY", "UTC", "on")


@pytest.mark.parametrize("name", [*BY_PARAMETER, *WITHOUT_PARAMETER])
def test_a_variable_of_libpq_does_not_reach_the_embedded_server(server, manager, monkeypatch, name):
    value = {**BY_PARAMETER, **WITHOUT_PARAMETER}[name]
    monkeypatch.setenv(name, value)

    with manager.engine.connect() as connection:
        assert connection.execute(SHOWN).one() == EXPECTED
    assert os.environ[name] == value


@pytest.mark.parametrize("name", BY_PARAMETER)
def test_the_arguments_of_the_embedded_server_override_libpqs_variables(server, monkeypatch, name):
    monkeypatch.setenv(name, BY_PARAMETER[name])

    connection = psycopg2.connect(**server.connect_arguments("postgres"))
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT inet_server_addr() IS NULL, current_setting('search_path')")
        assert cursor.fetchone() == (True, '"$user", public')


def test_the_url_of_the_embedded_server_overrides_libpqs_variables(server, manager, monkeypatch):
    for name, value in BY_PARAMETER.items():
        monkeypatch.setenv(name, value)
    url = manager.get_connection_string().replace("+psycopg2", "")

    connection = psycopg2.connect(url)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT inet_server_addr() IS NULL")
        assert cursor.fetchone() == (True,)


def test_none_of_them_reaches_the_creation_and_the_start(open_folder):
    home = open_folder / "databases"
    program = """
        from synfin_analytics.database.manager import get_db_manager

        get_db_manager().create_all_tables()
        print("created")
    """
    env = {**BY_PARAMETER, **WITHOUT_PARAMETER, "PGDATA": "/nowhere", "DB_DATA_DIR": str(home)}
    with servers.Program(program, env=env) as begun:
        assert begun.finish() == "created"
    stop(home, force=True)


def test_a_thread_that_opens_another_servers_connection_keeps_pgservice(monkeypatch):
    monkeypatch.setenv("PGSERVICE", "bank")
    seen = []

    def look():
        with libpq_environment(applies=True):
            seen.append(os.environ["PGSERVICE"])

    with libpq_environment(applies=False):
        assert "PGSERVICE" not in os.environ
        thread = threading.Thread(target=look)
        thread.start()
    thread.join()
    assert seen == ["bank"]


def test_only_our_variables_choose_the_server(tcp_server, monkeypatch):
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    for name in ("PGHOST", "PGPORT", "PGDATABASE"):
        monkeypatch.setenv(name, BY_PARAMETER[name])

    manager = DatabaseManager(tcp_server.config())
    assert manager.health_check()
    manager.close()


def test_a_servers_user_and_session_come_from_libpq_where_ours_are_silent(tcp_server, monkeypatch):
    monkeypatch.setenv("PGUSER", tcp_server.username)
    monkeypatch.setenv("PGPASSWORD", tcp_server.password)
    monkeypatch.setenv("PGOPTIONS", "-c search_path=mart")
    config = DatabaseConfig(host="127.0.0.1", port=tcp_server.port, database="postgres")

    manager = DatabaseManager(config)
    with manager.engine.connect() as connection:
        assert connection.execute(text("SHOW search_path")).scalar_one() == "mart"
    manager.close()


def test_a_service_that_does_not_exist_is_an_error_of_the_users_own_server(tcp_server, monkeypatch):
    monkeypatch.setenv("PGSERVICE", "no-such-service")

    with pytest.raises(DatabaseConnectionError, match="no-such-service"):
        DatabaseManager(tcp_server.config()).engine.connect()
