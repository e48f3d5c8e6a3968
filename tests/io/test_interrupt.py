"""An interrupt (Ctrl-C) never leaves a thread at a connection that somebody goes on to use."""

from __future__ import annotations

import _thread
import threading

import atomicity
import polars as pl
import pytest
import servers
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy import text

from synfin_analytics.database import _interrupt as interrupt
from synfin_analytics.database._interrupt import interruptible
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import SynfinError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.load._transaction import load_transaction
from synfin_analytics.io.read import read_df


@pytest.fixture
def driver(session):
    return session.connection().connection.driver_connection


def test_an_interrupt_while_the_thread_is_starting_ends_what_it_does(driver, manager, monkeypatch):
    start = threading.Thread.start
    sleeping = (
        "SELECT pid FROM pg_stat_activity "
        f"WHERE pid = {driver.info.backend_pid} AND wait_event = 'PgSleep'"
    )

    with atomicity.watcher(manager) as cursor:

        def interrupted(thread):
            start(thread)
            if thread.name == "synfin-wait":
                # Before its command arrives, the server has nothing to cancel.
                servers.wait_until(lambda: bool(atomicity.ask(cursor, sleeping)), "it sleeps")
                raise KeyboardInterrupt

        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            interruptible(driver, lambda: driver.cursor().execute("SELECT pg_sleep(200)"))
    assert driver.info.transaction_status == TRANSACTION_STATUS_INERROR  # cancelled, nobody waits


def test_an_interrupt_before_the_thread_is_there_keeps_it_from_the_connection(driver, monkeypatch):
    late = []

    def interrupted(thread):
        late.append(thread)
        raise KeyboardInterrupt

    begun = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            interruptible(driver, lambda: begun.append(True))
    late[0].start()
    late[0].join()
    assert not begun


@pytest.fixture
def link(tcp_server):
    with servers.Link(tcp_server.port) as link:
        yield link


@pytest.fixture
def remote(tcp_server, link):
    """A manager whose connection goes through the link."""
    tcp_server.create_database("remote")
    manager = DatabaseManager(tcp_server.config(database="remote", port=link.port))
    manager.create_all_tables()
    yield manager
    manager.close()
    with tcp_server.connect("postgres") as admin:
        admin.execute("DROP DATABASE remote WITH (FORCE)")


def stall_and_interrupt(link, after):
    """When so many more bytes were carried: stall the link, and press Ctrl-C."""
    goal = link.carried + after

    def wait():
        servers.wait_until(lambda: link.carried >= goal, "the rows are on their way")
        link.stall()
        _thread.interrupt_main()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


MERCHANTS = pl.DataFrame({"merchant_id": pl.int_range(0, 600_000, eager=True).cast(pl.String)})


def test_ctrl_c_between_two_commands_ends_a_load_on_a_stalled_link(remote, link, monkeypatch):
    """The interrupt meets no command that waits; what is rolled back then would."""
    monkeypatch.setattr(interrupt, "CANCEL_TIMEOUT", 0.2)

    def interrupted(session):
        with load_transaction(session, None, "merchants") as cursor:
            cursor.execute("SELECT 1")
            link.stall()
            raise KeyboardInterrupt

    with remote.get_session() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(KeyboardInterrupt):
            interrupted(session)
        with pytest.raises(SynfinError, match=r"session.rollback\(\)"):
            read_df("SELECT 1 AS a", session=session)
        session.rollback()


@pytest.mark.parametrize(
    "work",
    [
        lambda session: read_df(
            "SELECT repeat('x', 100) AS x FROM generate_series(1, 900000)", session=session
        ),
        lambda session: read_df("SELECT pg_sleep(3600)::text AS x", session=session),
        lambda session: load_df(MERCHANTS, "merchants", session=session, rebuild_indexes="never"),
    ],
    ids=["in the middle of a read", "before the first row", "in the middle of a load"],
)
def test_ctrl_c_ends_what_a_stalled_link_carries(remote, link, tcp_server, monkeypatch, work):
    monkeypatch.setattr(interrupt, "CANCEL_TIMEOUT", 0.2)
    with remote.get_session() as session:
        session.execute(text("SELECT 1"))
        pressing = stall_and_interrupt(link, 100)
        with pytest.raises(KeyboardInterrupt):
            work(session)
        pressing.join()
        with pytest.raises(SynfinError, match=r"session.rollback\(\)"):
            read_df("SELECT 1 AS a", session=session)
        session.rollback()
    direct = DatabaseManager(tcp_server.config(database="remote"))
    assert read_df("merchants", manager=direct).empty
    direct.close()
