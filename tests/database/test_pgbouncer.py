"""Behind pgbouncer: loads and reads work, and no session's state reaches the next."""

from __future__ import annotations

import pytest
import servers
from sqlalchemy import text

from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

pytestmark = pytest.mark.skipif(
    servers.PgBouncer.PROGRAM is None, reason="there is no pgbouncer: apt-get install pgbouncer"
)


@pytest.fixture(params=["session", "transaction"])
def pooled(tcp_server, request):
    """A manager of one connection at most to a pgbouncer of one connection to the server."""
    tcp_server.create_database("pooled")
    with servers.PgBouncer(tcp_server, request.param) as pooler:
        manager = DatabaseManager(pooler.config(database="pooled", pool_size=1, max_overflow=0))
        manager.create_all_tables()
        yield manager
        manager.close()
    with tcp_server.connect("postgres") as admin:
        admin.execute("DROP DATABASE pooled WITH (FORCE)")


def test_loads_and_reads_go_through(pooled):
    for number in range(3):
        load_df([{"merchant_id": f"M{number}"}], "merchants", manager=pooled)

    assert read_df("merchants", manager=pooled)["merchant_id"].tolist() == ["M0", "M1", "M2"]
    assert pooled.get_pool_status()["checked_out"] == 0


@pytest.mark.parametrize("setting", ["TimeZone", "client_encoding", "datestyle"])
def test_a_setting_ends_with_its_session(pooled, setting):
    value = {"TimeZone": "Asia/Tokyo", "client_encoding": "LATIN1", "datestyle": "SQL, DMY"}
    query = f"SELECT current_setting('{setting}') AS x"
    before = read_df(query, manager=pooled)["x"][0]
    with pooled.session_scope() as session:
        session.execute(text(f"SET {setting} = '{value[setting]}'"))

    assert read_df(query, manager=pooled)["x"][0] == before


def test_a_temporary_table_takes_no_load(pooled):
    with pooled.session_scope() as session:
        session.execute(text("CREATE TEMP TABLE merchants (LIKE merchants INCLUDING ALL)"))

    load_df([{"merchant_id": "M1"}], "merchants", manager=pooled)

    assert read_df("SELECT * FROM public.merchants", manager=pooled).shape[0] == 1
    assert read_df("merchants", manager=pooled).shape[0] == 1
