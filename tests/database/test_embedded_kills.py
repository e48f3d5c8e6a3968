"""The embedded server after a kill: whatever was killed, and when, the next use works."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg2
import psycopg2.errorcodes
import pytest
import servers

from synfin_analytics.database.embedded import EmbeddedPostgres, status, stop
from synfin_analytics.database.embedded import _locks as locks
from synfin_analytics.database.embedded import _watchdog as watchdog

START = """
    import os, sys
    from synfin_analytics.database.embedded import EmbeddedPostgres

    print("begins", flush=True)
    EmbeddedPostgres(os.environ["DB_DATA_DIR"]).start()
    print("started", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(open_folder):
    yield open_folder / "databases"
    stop(open_folder / "databases", force=True)


@pytest.fixture(scope="module")
def used_home():
    """A folder whose database exists already; tests that only start and stop it may share it."""
    folder = servers.open_folder()
    use(folder / "databases")
    yield folder / "databases"
    stop(folder / "databases", force=True)
    shutil.rmtree(folder)


def ask(home):
    """Run one statement as a user that comes and goes."""
    with contextlib.closing(EmbeddedPostgres(home)) as server:
        connection = psycopg2.connect(**server.connect_arguments("postgres"))
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 42")
            assert cursor.fetchone() == (42,)


def use(home):
    """Ask, and see the server stop afterwards."""
    ask(home)
    wait_for_stop(EmbeddedPostgres(home).cluster)


def wait_for_stop(cluster):
    servers.wait_until(lambda: not locks.is_locked(cluster.watch_lock), "the watchdog has ended")
    assert cluster.server_processes() == {}


def start(home):
    return servers.Program(START, env={"DB_DATA_DIR": str(home)})


def participants(home, user):
    """Processes that take part in a start, by what they are: those that exist at this moment."""
    processes = {"user": user.process.pid}
    for process in psutil.process_iter(["name", "cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(home) in words and "_watchdog.py" in words:
            processes["watchdog"] = process.pid
        elif str(home) in words and process.info["name"] in {"postgres", "initdb"}:
            processes[process.info["name"]] = process.pid
    return processes


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_at_any_moment_of_a_start_is_no_obstacle(used_home, seed):
    moments = random.Random(seed)
    with start(used_home) as user:
        user.line()
        time.sleep(moments.uniform(0, 0.3))
        processes = participants(used_home, user)
        victims = moments.sample(sorted(processes), moments.randint(1, len(processes)))
        for victim in victims:
            kill(processes[victim])
            time.sleep(moments.choice([0, 0.05]))
        if "user" not in victims and moments.random() < 0.5:
            user.kill()

        ask(used_home)
    wait_for_stop(EmbeddedPostgres(used_home).cluster)


@pytest.mark.parametrize("share", [0.2, 0.8])
@pytest.mark.parametrize("victim", ["user", "initdb"])
def test_a_kill_during_the_creation_is_no_obstacle(home, share, victim):
    with start(home) as user:
        servers.wait_until(lambda: "initdb" in participants(home, user), "initdb runs")
        time.sleep(share * 0.5)
        kill(participants(home, user).get(victim, user.process.pid))
        ask(home)

    cluster = EmbeddedPostgres(home).cluster
    servers.wait_until(lambda: not cluster.server_processes(), "no initdb runs")
    use(home)
    assert not cluster.attempts.exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"4x\n", b"-17\n", b"17", b"17\n/data\n1\n5432\n"])
def test_a_broken_pid_file_is_no_obstacle(used_home, content):
    (status(used_home).data_dir / "postmaster.pid").write_bytes(content)

    use(used_home)


def test_a_server_that_lost_its_pid_file_is_replaced(used_home):
    with contextlib.closing(EmbeddedPostgres(used_home)) as first:
        first.start()
        (first.cluster.data / "postmaster.pid").write_bytes(b"")
        with contextlib.closing(EmbeddedPostgres(used_home)) as second:
            second.start()
            assert status(used_home).running
    wait_for_stop(second.cluster)


def test_a_server_that_lost_its_socket_alone_is_replaced(used_home):
    with contextlib.closing(EmbeddedPostgres(used_home)) as server:
        (server.start() / ".s.PGSQL.5432").unlink()

        server.restart()
        assert status(used_home).running
    wait_for_stop(server.cluster)


def test_stop_ends_a_server_that_lost_its_pid_file(used_home):
    with contextlib.closing(EmbeddedPostgres(used_home)) as server:
        server.start()
        (server.cluster.data / "postmaster.pid").unlink()

        assert stop(used_home, force=True)
        assert server.cluster.server_processes() == {}


def one_worker(home):
    """Some process of the server that is not its head."""
    return psutil.Process(status(home).pid).children()[0]


#: A query that, unlike one that sleeps, does not notice that its server was killed.
BUSY = "SELECT count(*) FROM generate_series(1, 1000000000)"


def test_a_query_of_a_killed_server_is_lost_and_not_cancelled(used_home):
    with contextlib.closing(EmbeddedPostgres(used_home)) as server:
        connection = psycopg2.connect(**server.connect_arguments("postgres"))
        with contextlib.closing(connection), ThreadPoolExecutor(1) as pool:
            query = pool.submit(connection.cursor().execute, BUSY)
            servers.wait_until(lambda: n_active_queries(server) == 1, "the server runs the query")
            os.kill(status(used_home).pid, signal.SIGKILL)
            server.cluster.end_server()
            with pytest.raises(psycopg2.OperationalError) as lost:
                query.result()
    assert lost.value.pgcode != psycopg2.errorcodes.QUERY_CANCELED
    wait_for_stop(server.cluster)


def n_active_queries(server):
    connection = psycopg2.connect(**server.connect_arguments("postgres"))
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query = %s", (BUSY,))
        return cursor.fetchone()[0]


def test_a_use_waits_for_a_server_that_recovers_from_a_killed_process(used_home):
    with contextlib.closing(EmbeddedPostgres(used_home)) as server:
        server.start()
        one_worker(used_home).kill()

        ask(used_home)
    wait_for_stop(server.cluster)


@pytest.mark.parametrize("delay", [0, 0.05])
def test_a_server_that_recovers_stops_after_its_last_user(used_home, delay):
    with contextlib.closing(EmbeddedPostgres(used_home)) as server:
        server.start()
        one_worker(used_home).kill()
        time.sleep(delay)
    wait_for_stop(server.cluster)


@pytest.mark.skipif(sys.platform != "linux", reason="signals are read from /proc")
def test_the_server_inherits_no_signal_as_ignored_or_blocked():
    """What begins in the background or under nohup ignores some; a stop signal would be lost."""
    program = """
        import signal, subprocess
        from synfin_analytics.database.embedded import _watchdog as watchdog

        for one in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(one, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
        watchdog.reset_signals()
        print(subprocess.check_output(["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"]).decode())
    """
    with servers.Program(program) as begun:
        lines = dict(line.split(":") for line in begun.finish().splitlines())

    stops = sum(1 << number - 1 for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT))
    assert int(lines["SigIgn"], 16) & stops == 0
    assert int(lines["SigBlk"], 16) == 0


@pytest.mark.parametrize("ignored", [[], ["SIGINT"], ["SIGINT", "SIGQUIT"]])
def test_a_server_that_ignores_a_signal_gets_a_firmer_one(monkeypatch, ignored):
    """A process that sleeps stands for a server that hangs."""
    short = [(number, 2.0, 20.0) for number, _, _ in watchdog.STOP_SIGNALS]
    monkeypatch.setattr(watchdog, "STOP_SIGNALS", short)
    monkeypatch.setattr(watchdog, "is_active", lambda _: False)
    lines = "import resource, signal, time\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    lines += "signal.signal(signal.SIGQUIT, signal.SIG_DFL)\n"  # a run in the background ignores it
    lines += "".join(f"signal.signal(signal.{name}, signal.SIG_IGN)\n" for name in ignored)
    lines += "print('ready', flush=True)\ntime.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        watchdog.stop_server(process.pid, ended=lambda: process.poll() is not None)

        firmest = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL][len(ignored)]
        assert process.wait() in {-firmest, 1 if firmest == signal.SIGINT else -firmest}


def test_a_half_written_configuration_is_written_anew(used_home):
    (EmbeddedPostgres(used_home).cluster.folder / "postgresql.conf").write_text("shared_buff")

    use(used_home)


def test_an_empty_data_folder_is_filled(home):
    cluster = EmbeddedPostgres(home).cluster
    cluster.data.mkdir(parents=True)

    use(home)
    assert Path(cluster.data / "PG_VERSION").exists()
