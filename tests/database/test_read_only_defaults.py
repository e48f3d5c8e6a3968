"""Roles and servers that are read-only remain so after a read."""

from __future__ import annotations

import contextlib

import pytest
import servers
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.read import read_df

WRITE = text("INSERT INTO merchants (merchant_id) VALUES ('M1')")


def single(server, **changes):
    """A manager of one connection, which all sessions get in turn."""
    return DatabaseManager(server.config(pool_size=1, max_overflow=0, **changes))


@pytest.mark.parametrize("reads", [0, 1])
def test_a_read_only_role_cannot_write_after_a_read(tcp_server, reads):
    tcp_server.create_database("guarded")
    manager = single(tcp_server, database="guarded")
    manager.create_all_tables()
    manager.close()
    with tcp_server.connect("guarded") as admin:
        admin.execute("CREATE ROLE viewer LOGIN PASSWORD 'x' IN ROLE pg_read_all_data")
        admin.execute("GRANT INSERT ON merchants TO viewer")
        admin.execute("ALTER ROLE viewer SET default_transaction_read_only = on")
    viewer = single(tcp_server, database="guarded", username="viewer", password="x")
    try:
        for _ in range(reads):
            assert read_df("SELECT 1 AS x", manager=viewer)["x"].tolist() == [1]

        with pytest.raises(InternalError, match="read-only"), viewer.session_scope() as session:
            session.execute(WRITE)
    finally:
        viewer.close()
        with tcp_server.connect("postgres") as admin:
            admin.execute("DROP DATABASE guarded WITH (FORCE)")
            admin.execute("DROP ROLE viewer")


@pytest.mark.skipif(not servers.DEBIAN, reason=servers.NO_STANDBY)
def test_a_standby_answers_one_session_after_the_other():
    with contextlib.ExitStack() as stack:
        primary = servers.TcpServer.create_primary()
        stack.callback(primary.remove)
        single(primary).create_all_tables()
        standby = primary.create_standby()
        stack.callback(standby.remove)
        manager = single(standby)
        for _ in range(2):
            is_standby = read_df("SELECT pg_is_in_recovery() AS x", manager=manager)
            assert is_standby["x"].tolist() == [True]
            with manager.session_scope() as session:
                assert session.scalar(text("SELECT count(*) FROM transactions")) == 0
        manager.close()
