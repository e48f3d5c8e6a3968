"""A server that dies, a network that is cut and a disk that is full: all of a load, or nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import traceback

import atomicity
import psutil
import psycopg2
import pytest
import servers
import small_disks
import sqlalchemy
from sqlalchemy import text

from synfin_analytics.database import connection as connect
from synfin_analytics.database import embedded
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import ArgumentError, DatabaseConnectionError, LoadError
from synfin_analytics.io.load import load_df

EARLIER = [pytest.param(0, id="empty"), pytest.param(50, id="filled")]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)


@contextlib.contextmanager
def managed(config):
    manager = DatabaseManager(config)
    manager.create_all_tables()
    yield manager
    manager.close()


@pytest.fixture
def bank(tcp_server):
    with managed(tcp_server.config()) as manager:
        yield manager


def strategy(earlier):
    """Options for each way to write: rebuild the indexes of an empty table, or merge the rows."""
    return {"rebuild_indexes": "never" if earlier else "always"}


def load_error(rows, manager, **options):
    """The error of a load that breaks; what a notebook would show of it has no secrets."""
    with pytest.raises(LoadError) as caught:
        load_df(rows, "transactions", manager=manager, **options)
    traceback_text = "".join(traceback.format_exception(caught.value))
    assert servers.PASSWORD not in traceback_text
    assert "TX000" not in traceback_text
    return str(caught.value)


# -- Others use the server --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "locked"),
    [({}, False), ({"rebuild_indexes": "never"}, False), ({"rebuild_indexes": "always"}, True)],
)
def test_others_can_read_an_empty_table_during_a_load_unless_its_indexes_are_rebuilt(
    bank, options, locked
):
    atomicity.fill(bank)
    catalog = atomicity.contents(bank)["catalog"]
    reads = []

    def read():
        with atomicity.watcher(bank) as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
            try:
                reads.append(atomicity.ask(cursor, "SELECT count(*) FROM transactions"))
            except psycopg2.errors.LockNotAvailable:
                reads.append("locked")

    rows = atomicity.stream(atomicity.transactions(), read)
    report = load_df(rows, "transactions", manager=bank, **options)

    assert reads == (["locked"] if locked else [[0]])
    assert report.inserted == atomicity.count(bank) == atomicity.ROWS
    assert atomicity.contents(bank)["catalog"] == catalog


def test_an_empty_table_of_the_embedded_server_is_locked_for_a_large_load(manager):
    atomicity.fill(manager)
    locked = []

    def look():
        with atomicity.watcher(manager) as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE relation = 'transactions'::regclass "
                "AND mode = 'AccessExclusiveLock' AND granted"
            )
            locked.append(cursor.fetchone()[0])

    rows = atomicity.stream(atomicity.transactions(), look)
    load_df(rows, "transactions", manager=manager)

    assert locked == [manager.config.embedded]


# -- The server dies --------------------------------------------------------------------------


@pytest.mark.parametrize("earlier", EARLIER)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGQUIT, id="immediate shutdown"),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
def test_nothing_of_a_load_remains_when_the_server_ends(tcp_server, bank, earlier, how):
    atomicity.fill(bank, earlier=earlier)
    before = atomicity.contents(bank)
    postmaster = psutil.Process(tcp_server.process.pid)
    ended = threading.Event()

    def end():
        family = postmaster.children()
        postmaster.send_signal(how)
        tcp_server.process.wait()
        psutil.wait_procs(family, timeout=60)  # they notice by themselves
        ended.set()

    rows = atomicity.stream(atomicity.transactions(), end)

    message = load_error(rows, bank, **strategy(earlier))

    assert message == (
        "Nothing was loaded into 'transactions': the connection to the server was lost; the "
        "server rolls back what was not committed. Load again once it answers. If that happens "
        "again, see its log: the disk may be full."
    )
    assert ended.wait(timeout=60)
    tcp_server.start()
    assert atomicity.contents(bank) == before
    atomicity.assert_loads(bank)


def test_a_server_of_which_one_process_is_killed_recovers_by_itself(bank):
    atomicity.fill(bank, earlier=50)
    before = atomicity.contents(bank)

    with atomicity.watcher(bank) as cursor:

        def crash():
            os.kill(atomicity.wait_for_writer(cursor), signal.SIGKILL)

        message = load_error(atomicity.stream(atomicity.transactions(), crash), bank)
        with pytest.raises(psycopg2.OperationalError):  # the server ends all others before that
            cursor.execute("SELECT pg_sleep(60)")

    assert "the connection to the server was lost" in message
    assert atomicity.contents(bank) == before
    atomicity.assert_loads(bank)


def test_an_embedded_server_that_is_killed_is_started_again_for_the_next_load(open_folder):
    home = open_folder / "databases"
    with managed(DatabaseConfig(data_dir=home)) as manager:
        atomicity.fill(manager, earlier=50)
        before = atomicity.contents(manager)
        kill = psutil.Process(embedded.status(home).pid).kill

        message = load_error(atomicity.stream(atomicity.transactions(), kill), manager)

        assert "the connection to the server was lost" in message
        assert atomicity.contents(manager) == before
        atomicity.assert_loads(manager)
    embedded.stop(home, force=True)


# -- The connection is cut --------------------------------------------------------------------


@pytest.mark.parametrize("earlier", EARLIER)
def test_nothing_remains_when_an_administrator_ends_the_connection(bank, earlier):
    atomicity.fill(bank, earlier=earlier)
    before = atomicity.contents(bank)

    with atomicity.watcher(bank) as cursor:

        def terminate():
            cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({atomicity.WRITING}) w")

        message = load_error(
            atomicity.stream(atomicity.transactions(), terminate), bank, **strategy(earlier)
        )
        atomicity.wait_for_silence(cursor)

    assert "Nothing was loaded into 'transactions': the connection to the server was" in message
    assert atomicity.contents(bank) == before
    atomicity.assert_loads(bank)


@pytest.fixture
def network(tcp_server, bank):
    """A network to the server that can be cut, and a manager that works across it."""
    with (
        atomicity.Proxy(tcp_server.port) as proxy,
        managed(tcp_server.config(port=proxy.port)) as manager,
    ):
        yield proxy, manager


@contextlib.contextmanager
def lines_of(manager):
    """The sockets of the connections that the manager hands out."""
    lines = []

    def note(driver_connection, *_):
        lines.append(socket.socket(fileno=os.dup(driver_connection.fileno())))

    sqlalchemy.event.listen(manager.engine, "checkout", note)
    yield lines
    sqlalchemy.event.remove(manager.engine, "checkout", note)
    for line in lines:
        line.close()


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_line_that_takes_nothing_more_counts_as_lost(bank, earlier):
    atomicity.fill(bank, earlier=earlier)
    before = atomicity.contents(bank)

    with lines_of(bank) as lines:

        def hang_up():
            lines[-1].shutdown(socket.SHUT_WR)  # the driver cannot send, and does not see why

        message = load_error(
            atomicity.stream(atomicity.transactions(), hang_up), bank, **strategy(earlier)
        )

    assert "the connection to the server was lost" in message
    with atomicity.watcher(bank) as cursor:
        atomicity.wait_for_silence(cursor)
    assert atomicity.contents(bank) == before
    atomicity.assert_loads(bank)


def test_the_cause_of_a_failed_load_is_reported_even_if_the_connection_is_lost(bank):
    atomicity.fill(bank)
    before = atomicity.contents(bank)

    with lines_of(bank) as lines:

        def fail():
            lines[-1].shutdown(socket.SHUT_RDWR)
            raise ValueError("the till is empty")

        rows = atomicity.stream(atomicity.transactions(), fail, at=1)
        with pytest.raises(ArgumentError, match="failed after 0 rows"):
            load_df(rows, "transactions", manager=bank, rebuild_indexes="always")

    assert atomicity.contents(bank) == before


@pytest.mark.parametrize("earlier", EARLIER)
def test_nothing_remains_when_the_network_is_cut(bank, network, earlier):
    proxy, manager = network
    atomicity.fill(bank, earlier=earlier)
    before = atomicity.contents(bank)

    message = load_error(
        atomicity.stream(atomicity.transactions(), proxy.cut), manager, **strategy(earlier)
    )

    assert "the connection to the server was lost" in message
    with atomicity.watcher(bank) as cursor:
        atomicity.wait_for_silence(cursor)
    assert atomicity.contents(bank) == before
    atomicity.assert_loads(manager)


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_commit_that_did_not_reach_the_server_is_reported(bank, network, earlier):
    proxy, manager = network
    atomicity.fill(bank, earlier=earlier)
    before = atomicity.contents(bank)
    proxy.at_commit = lambda _: proxy.cut()

    message = load_error(atomicity.transactions(), manager, **strategy(earlier))

    assert message == (
        "The connection was lost during the commit. Nothing was loaded into 'transactions'; load "
        "again."
    )
    assert atomicity.contents(bank) == before
    atomicity.assert_loads(manager)


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_commit_whose_answer_was_lost_is_a_load_like_any_other(bank, network, earlier):
    proxy, manager = network
    atomicity.fill(bank, earlier=earlier)

    def cut_at_answer(pass_on):
        proxy.cut_at_answer = True
        pass_on()

    proxy.at_commit = cut_at_answer
    report = load_df(atomicity.transactions(), "transactions", manager=manager, **strategy(earlier))

    assert report.inserted == atomicity.ROWS
    assert atomicity.count(bank) == earlier + atomicity.ROWS


@pytest.mark.parametrize("reaches_the_server", [False, True])
def test_a_commit_of_a_session_that_was_lost_is_reported_as_unknown(
    bank, network, reaches_the_server
):
    proxy, manager = network
    atomicity.fill(bank)

    def lose(pass_on):
        if reaches_the_server:
            proxy.cut_at_answer = True
            pass_on()
        else:
            proxy.cut()

    proxy.at_commit = lose
    with pytest.raises(DatabaseConnectionError, match="during a commit: it is unknown whether"):
        update_merchant(manager)
    assert update_merchant(manager) == ("new" if reaches_the_server else None)


def update_merchant(manager):
    """Change the name of the merchant, and return the name that it had."""
    with manager.session_scope() as session:
        name = session.scalar(text("SELECT name FROM merchants"))
        session.execute(text("UPDATE merchants SET name = 'new'"))
    return name


def test_a_running_commit_is_ended_before_it_is_reported_as_failed(bank, network):
    proxy, manager = network
    atomicity.fill(bank, earlier=50)

    with atomicity.watcher(bank) as cursor, atomicity.holding(cursor, atomicity.AT_COMMIT):
        before = atomicity.contents(bank)

        def cut_when_the_server_is_at_it(pass_on):
            pass_on()
            atomicity.wait_for_blocked(cursor, "COMMIT")
            proxy.cut()

        proxy.at_commit = cut_when_the_server_is_at_it
        message = load_error(atomicity.transactions(), manager)
        atomicity.release(cursor)
        atomicity.wait_for_silence(cursor)

        assert "Nothing was loaded into 'transactions'" in message
        assert atomicity.contents(bank) == before


def test_a_commit_with_an_unknown_outcome_is_reported_as_unknown(bank, network, monkeypatch):
    proxy, manager = network
    monkeypatch.setattr(connect, "_RESTART_PATIENCE", 0)
    atomicity.fill(bank)
    proxy.at_commit = lambda _: proxy.close()

    assert "it is unknown whether the rows are in 'transactions'" in load_error(
        atomicity.transactions(), manager, rebuild_indexes="always"
    )


def test_nothing_remains_when_the_process_is_killed_just_before_it_commits(tcp_server, bank):
    atomicity.fill(bank)
    before = atomicity.contents(bank)
    lines = (
        atomicity.PREAMBLE
        + """
    load_df(atomicity.transactions(), "transactions", rebuild_indexes="always")
    """
    )
    with atomicity.Proxy(tcp_server.port) as proxy:
        config = tcp_server.config(port=proxy.port)
        env = {"DATABASE_URL": config.get_connection_string()}
        with servers.Program(lines, env=env) as program:
            killed = []

            def kill(_):
                program.process.kill()
                program.process.wait()
                killed.append(True)
                proxy.cut()

            proxy.at_commit = kill
            servers.wait_until(lambda: bool(killed), "the program commits")
    with atomicity.watcher(bank) as cursor:
        atomicity.wait_for_silence(cursor)

    assert atomicity.contents(bank) == before
    atomicity.assert_loads(bank)


def test_a_second_interrupt_ends_a_load_that_the_server_does_not_cancel(tcp_server, bank):
    atomicity.fill(bank, earlier=50)
    lines = (
        atomicity.PREAMBLE
        + """
    try:
        load_df(atomicity.transactions(), "transactions")
    except KeyboardInterrupt:
        print("interrupted", get_db_manager().get_pool_status()["checked_out"])
    """
    )
    with (
        atomicity.watcher(bank) as cursor,
        atomicity.holding(cursor, atomicity.AT_INDEX),
        atomicity.Proxy(tcp_server.port) as proxy,
    ):
        before = atomicity.contents(bank)
        config = tcp_server.config(port=proxy.port)
        env = {"DATABASE_URL": config.get_connection_string()}
        with servers.Program(lines, env=env) as program:
            atomicity.wait_for_blocked(cursor, "COPY")
            proxy.deaf = threading.Event()
            program.process.send_signal(signal.SIGINT)
            assert proxy.deaf.wait(timeout=60)
            program.process.send_signal(signal.SIGINT)
            assert program.finish() == "interrupted 0"
        atomicity.release(cursor)
        atomicity.wait_for_silence(cursor)

        assert atomicity.contents(bank) == before


# -- The disk is full -------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[small_disks.small_disk_or_files, small_disks.SmallFiles])
def cramped(request):
    """A server with little room, and what widens it."""
    server = servers.TcpServer.create(wal_level="minimal", max_wal_senders="0")
    room = request.param(server)
    server.start()
    yield server, room
    server.stop()
    room.remove()
    server.remove()


def wide():
    """20 MB of transactions."""
    names = dict.fromkeys(["city", "state", "merchant_city", "merchant_category"], "n" * 100)
    return atomicity.transactions(25_000, fraud_reason="r" * 255, **names)


def wait_for_recovery(server):
    """Wait until the server answers again; start it if it gave up."""

    def answers():
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(**server.config().connect_arguments()).close()
            return True
        return server.process.poll() is not None

    servers.wait_until(answers, "the server has recovered")
    if server.process.poll() is not None:
        server.start()


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_full_disk_is_reported_and_nothing_is_loaded(cramped, earlier):
    server, room = cramped
    with managed(server.config()) as manager:
        atomicity.fill(manager, earlier=earlier)
        before = atomicity.contents(manager)

        room.shrink(megabytes=2)
        message = load_error(wide(), manager, **strategy(earlier))
        assert message == (
            "Nothing was loaded into 'transactions': the disk of the server is full, or its quota "
            "is exhausted. Free some space, then load again."
        )
        assert atomicity.contents(manager) == before

        room.widen()
        assert atomicity.contents(manager) == before
        atomicity.assert_loads(manager)


def test_a_server_whose_log_finds_no_room_has_lost_nothing_when_there_is_room_again(cramped):
    server, room = cramped
    with managed(server.config()) as manager:
        atomicity.fill(manager, earlier=50)
        before = atomicity.contents(manager)
        room.shrink(room.less_than_a_log)

        assert "the disk" in load_error(wide(), manager)

        room.widen()
        wait_for_recovery(server)
        assert atomicity.contents(manager) == before
        atomicity.assert_loads(manager)
