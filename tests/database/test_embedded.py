"""The embedded server, seen from one process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import threading

import psutil
import psycopg2
import pytest
import servers

from synfin_analytics.database.embedded import EmbeddedPostgres, cluster_settings, status, stop
from synfin_analytics.database.embedded import _cluster as server_settings
from synfin_analytics.database.embedded._cluster import server_environment
from synfin_analytics.exceptions import EmbeddedServerError

AWKWARD = "Eigene Dateien & 'Größen' \"дані\" $HOME %s \\n #1"
LONG = "a-long-folder-name-" * 8  # with this alone, a socket's path would be too long


@pytest.fixture
def new_home(open_folder):
    """A folder for databases; its server ends with the test."""
    yield open_folder / "databases"
    stop(open_folder / "databases", force=True)


@pytest.fixture
def new_server(new_home):
    with contextlib.closing(EmbeddedPostgres(new_home)) as server:
        yield server


@pytest.fixture
def home(new_home, created_home):
    """A folder with databases, whose server does not run."""
    return servers.copy_home(created_home, new_home)


@pytest.fixture
def server(home, new_server):
    return new_server


def ask(server, query, database="postgres"):
    """Run one statement, and give the first column of its first row."""
    connection = psycopg2.connect(**server.connect_arguments(database))
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


def test_first_use_creates_and_starts_the_server(new_server, new_home):
    assert not status(new_home).running

    assert ask(new_server, "SELECT current_user") == "synfin"
    assert status(new_home).running


def test_data_survive_a_stop(server, home):
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert stop(home, force=True)

    server.restart()
    assert ask(server, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("name", [AWKWARD, f"{LONG}/{LONG}", LONG + AWKWARD])
def test_any_folder_name_works(open_folder, name):
    home = open_folder / name
    with contextlib.closing(EmbeddedPostgres(home)) as server:
        assert ask(server, "SELECT current_setting('data_directory')") == str(status(home).data_dir)
    stop(home, force=True)


def test_the_version_is_part_of_the_path(server, home):
    major = ask(server, "SELECT current_setting('server_version_num')::int / 10000")

    assert status(home).data_dir == home.resolve() / f"postgresql-{major}" / "data"


def test_there_is_no_tcp_port(server, home):
    server.start()

    sockets = psutil.Process(status(home).pid).net_connections("inet")
    assert sockets == []


def test_folders_of_data_and_socket_are_closed_to_others(new_server, new_home):
    sockets = new_server.start()
    for folder in (sockets, new_home / new_server.cluster.folder.name, status(new_home).data_dir):
        info = folder.stat()
        assert stat.S_IMODE(info.st_mode) == 0o700
        assert info.st_uid == psutil.Process(status(new_home).pid).uids().effective


def test_permissions_of_folders_that_are_not_ours_stay(open_folder):
    parent = open_folder / "theirs"
    parent.mkdir(mode=0o751)
    home = parent / "databases"
    with contextlib.closing(EmbeddedPostgres(home)) as server:
        programs = server.start() and psutil.Process(status(home).pid).exe()
        above = [*home.parents, *servers.Path(programs).parents]
        before = [folder.stat() for folder in above]
        ask(server, "SELECT 1")
        stop(home, force=True)
        server.restart()
        after = [folder.stat() for folder in above]
    stop(home, force=True)

    assert [(s.st_mode, s.st_uid) for s in after] == [(s.st_mode, s.st_uid) for s in before]
    assert stat.S_IMODE(parent.stat().st_mode) == 0o751


def test_settings_are_durable_and_silent_about_data(server):
    current_settings = {name: ask(server, f"SHOW {name}") for name in cluster_settings()}

    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert current_settings[name] == "on"
    assert (
        current_settings["wal_level"],
        current_settings["jit"],
        current_settings["timezone"],
    ) == ("minimal", "off", "UTC")
    assert (current_settings["log_min_error_statement"], current_settings["log_min_messages"]) == (
        "panic",
        "log",
    )


def test_sort_order_and_case_are_the_same_everywhere(server):
    ordered = ask(server, "SELECT string_agg(w, '' ORDER BY w) FROM unnest('{ä,z,B,a}'::text[]) w")

    assert ordered == "Bazä"
    assert ask(server, "SELECT upper('straße é')") == "STRASSE É".replace("SS", "ß")


def test_alter_system_overrides_a_setting_for_good(server, home):
    ask(server, "ALTER SYSTEM SET work_mem = '7MB'")
    stop(home, force=True)
    server.restart()

    assert ask(server, "SHOW work_mem") == "7MB"


@pytest.mark.parametrize(
    ("memory", "buffers", "work"),
    [(2**29, "32MB", "8MB"), (2**33, "256MB", "32MB"), (2**38, "512MB", "64MB")],
)
def test_settings_follow_the_memory_modestly(memory, buffers, work):
    settings = cluster_settings(memory=memory, cores=8)

    assert (settings["shared_buffers"], settings["work_mem"]) == (buffers, work)
    assert settings["max_parallel_workers_per_gather"] == "4"


def test_a_containers_limit_counts_as_its_memory(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("536870912\n")
    monkeypatch.setattr(server_settings, "MEMORY_LIMITS", [str(tmp_path / "none"), str(limit)])

    assert server_settings.available_memory() == 2**29


def test_failed_statements_leave_no_data_in_the_log(server):
    ask(server, "CREATE TABLE people (email text PRIMARY KEY)")
    ask(server, "INSERT INTO people VALUES ('ana@example.org')")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        ask(server, "INSERT INTO people VALUES ('ana@example.org')")
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        ask(server, "SELECT 'ana@example.org'::int")

    assert "ana@" not in server.cluster.log_tail(lines=1000)


def test_large_parallel_queries_do_without_dev_shm(server):
    assert ask(server, "SHOW dynamic_shared_memory_type") != "mmap"
    ask(server, "CREATE TABLE many AS SELECT i, md5(i::text) t FROM generate_series(1, 300000) i")
    for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        ask(server, f"ALTER SYSTEM SET {setting} = 0")
    ask(server, "SELECT pg_reload_conf()")

    assert ask(server, "SELECT count(*) FROM many a JOIN many b USING (t)") == 300_000


def test_a_killed_server_starts_again_with_all_that_was_committed(server, home):
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(status(home).pid, signal.SIGKILL)

    server.restart()
    assert ask(server, "SELECT answer FROM kept") == 42


def kill_everything(home):
    """Kill server and watchdog at once, as a power cut does; give the server's pid file."""
    postmaster = psutil.Process(status(home).pid)
    victims = [postmaster.parent(), postmaster, *postmaster.children()]
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    servers.wait_until(
        lambda: not any(v.is_running() and v.status() != "zombie" for v in victims), "all are dead"
    )
    return status(home).data_dir / "postmaster.pid"


def test_a_stale_pid_file_and_socket_are_no_obstacle(server, home):
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert kill_everything(home).exists()

    server.restart()
    assert ask(server, "SELECT answer FROM kept") == 42


def test_a_stale_pid_of_another_process_is_no_obstacle(server, home):
    server.start()
    owner = psutil.Process(status(home).pid).uids().effective
    file = kill_everything(home)
    switch = {"user": owner} if owner != os.geteuid() else {}
    stranger = subprocess.Popen(["sleep", "600"], **switch)
    try:
        later_lines = file.read_bytes().split(b"\n", 1)[1]
        file.write_bytes(b"%d\n%s" % (stranger.pid, later_lines))

        server.restart()
        assert ask(server, "SELECT 42") == 42
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_unfinished_creation_is_begun_anew(new_server):
    new_server.start()
    stop(new_server.home, force=True)
    new_server.cluster.data.rename(new_server.cluster.folder / "data.partial")

    new_server.restart()
    assert ask(new_server, "SELECT 42") == 42


def test_a_server_without_its_socket_starts_again(server):
    shutil.rmtree(server.start())

    server.restart()
    assert ask(server, "SELECT 42") == 42


def test_a_removed_folder_is_created_again(server, home):
    server.start()
    old = psutil.Process(status(home).pid)
    shutil.rmtree(home)

    server.restart()
    assert ask(server, "SELECT 42") == 42
    servers.wait_until(
        lambda: not old.is_running() or old.status() == "zombie", "the old server has stopped"
    )


def test_no_folder_of_a_socket_is_left_behind(server, home):
    sockets = server.start()
    stop(home, force=True)

    assert not sockets.exists()


def test_many_threads_start_one_server(new_home):
    pids = []

    def use():
        with contextlib.closing(EmbeddedPostgres(new_home)) as own_server:
            ready.wait()
            ask(own_server, "SELECT 1")
            pids.append(status(new_home).pid)
            finished.wait()

    ready, finished = threading.Barrier(4), threading.Barrier(4)
    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_status_lists_the_users_of_the_server(server, home):
    server.start()
    server_status = status(home)

    assert server_status.users in ([os.getpid()], None)
    assert server_status.version.startswith(
        f"{server_status.data_dir.parent.name.removeprefix('postgresql-')}."
    )
    assert server_status.size > 10**7


def test_stop_asks_before_it_takes_the_server_from_others(server, home):
    server.start()

    with pytest.raises(EmbeddedServerError, match="in use by"):
        stop(home)
    assert status(home).running
    assert stop(home, force=True)
    assert not status(home).running
    assert not stop(home)


def test_stop_before_the_first_start_does_nothing(new_home):
    assert not stop(new_home)
    assert not new_home.exists()


def test_a_server_that_cannot_start_shows_its_last_words(server, home):
    ask(server, "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
    stop(home, force=True)

    with pytest.raises(EmbeddedServerError) as caught:
        server.restart()
    assert str(home) in str(caught.value)
    assert "Output of the server:" in str(caught.value)
    assert "FATAL" in str(caught.value)


def test_data_of_another_version_are_refused_in_words(server, home):
    server.start()
    major = int(server.cluster.folder.name.removeprefix("postgresql-"))
    stop(home, force=True)
    version = server.cluster.data / "PG_VERSION"
    version.write_text("16\n")

    with pytest.raises(EmbeddedServerError, match=f"PostgreSQL 16; .* version {major} and"):
        server.restart()


def test_a_cluster_of_another_version_is_not_hidden_by_an_empty_one(server, home):
    server.start()
    stop(home, force=True)
    server.cluster.folder.rename(home / "postgresql-17")

    with pytest.raises(EmbeddedServerError, match="was written by PostgreSQL 17"):
        server.restart()


def test_a_folder_that_is_not_a_database_is_left_alone(new_server):
    new_server.cluster.data.mkdir(parents=True)
    (new_server.cluster.data / "thesis.txt").write_text("mine")

    with pytest.raises(EmbeddedServerError, match="must be a PostgreSQL data directory"):
        new_server.start()
    assert (new_server.cluster.data / "thesis.txt").read_text() == "mine"


def test_a_home_that_is_a_file_is_refused_in_words(open_folder):
    (open_folder / "file").write_text("")

    with pytest.raises(EmbeddedServerError, match=r"cannot be created: .* DB_DATA_DIR"):
        EmbeddedPostgres(open_folder / "file").start()


def test_the_servers_programs_get_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cr3t")

    assert "s3cr3t" not in server_environment().values()
