"""A connection goes back to the pool as it was: nothing of one session reaches the next."""

from __future__ import annotations

import dataclasses

import atomicity
import pytest
from sqlalchemy import text

from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

SHOW = "SELECT current_setting('{}') AS x"


@pytest.fixture
def single(manager):
    """A manager of one connection, which all sessions get in turn."""
    single = DatabaseManager(dataclasses.replace(manager.config, pool_size=1, max_overflow=0))
    yield single
    single.close()


def scalar(manager, query):
    return read_df(query, manager=manager).iloc[0, 0]


@pytest.mark.parametrize(
    ("change", "query"),
    [
        ("SET TIME ZONE 'Asia/Tokyo'", SHOW.format("TimeZone")),
        ("SET statement_timeout = '20ms'", SHOW.format("statement_timeout")),
        ("SET search_path = pg_catalog", SHOW.format("search_path")),
        ("SET client_encoding = 'LATIN1'", SHOW.format("client_encoding")),
        ("SET my.setting = 'x'", "SELECT coalesce(current_setting('my.setting', true), '') AS x"),
        ("SET ROLE pg_monitor", "SELECT current_user::text AS x"),
        ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user::text AS x"),
        ("CREATE TEMP TABLE t (n integer)", "SELECT (to_regclass('pg_temp.t') IS NULL)::text AS x"),
        ("PREPARE p AS SELECT 1", "SELECT count(*) AS x FROM pg_prepared_statements"),
        (
            "SELECT pg_advisory_lock(7)",
            "SELECT count(*) AS x FROM pg_locks WHERE locktype = 'advisory' AND objid = 7",
        ),
        ("LISTEN news", "SELECT count(*) AS x FROM pg_listening_channels()"),
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SELECT count(*) AS x FROM pg_cursors",
        ),
    ],
)
def test_what_a_session_sets_ends_with_it(single, change, query):
    before = scalar(single, query)
    backend = scalar(single, "SELECT pg_backend_pid()")

    with single.session_scope() as session:
        session.execute(text(change))

    assert scalar(single, query) == before
    assert scalar(single, "SELECT pg_backend_pid()") == backend


def test_a_temporary_table_of_another_session_takes_no_load(single):
    with single.session_scope() as session:
        session.execute(text("CREATE TEMP TABLE merchants (LIKE merchants INCLUDING ALL)"))

    load_df([{"merchant_id": "kept"}], "merchants", manager=single)

    assert scalar(single, "SELECT merchant_id FROM public.merchants") == "kept"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "repeatable read"),
        ("default_transaction_deferrable", "on"),
    ],
)
def test_the_database_s_defaults_hold_after_a_read(single, setting, value):
    with atomicity.watcher(single) as admin:
        admin.execute(f"ALTER DATABASE {single.config.database} SET {setting} = '{value}'")
        single.close()
        try:
            assert scalar(single, "SELECT 1") == 1
            with single.engine.connect() as connection:
                connection.execution_options(isolation_level="SERIALIZABLE")
                connection.execution_options(postgresql_readonly=True)
                connection.execute(text("SELECT 1"))
            with single.get_session() as session:
                transaction = setting.removeprefix("default_")
                assert session.scalar(text(SHOW.format(transaction))) == value
        finally:
            admin.execute(f"ALTER DATABASE {single.config.database} RESET {setting}")


def test_an_autocommitting_session_leaves_nothing_either(single):
    engine = single.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET TIME ZONE 'Asia/Tokyo'"))

    assert scalar(single, SHOW.format("TimeZone")) == "UTC"
    with single.get_session() as session:
        session.execute(text("CREATE TABLE rolled_back (n integer)"))
        session.rollback()
        assert session.scalar(text("SELECT to_regclass('rolled_back')")) is None
