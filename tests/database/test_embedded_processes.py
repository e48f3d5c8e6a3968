"""The embedded server, shared by several processes that come, go and get killed."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil
import pytest
import servers

from synfin_analytics.database.embedded import status, stop

USE = """
    import os, sys
    from sqlalchemy import text
    from synfin_analytics.database import embedded
    from synfin_analytics.database.manager import get_db_manager, session_scope

    with session_scope() as session:
        session.execute(text("SELECT 1"))
    print(embedded.status(os.environ["DB_DATA_DIR"]).pid, flush=True)
    sys.stdin.readline()
    with session_scope() as session:
        print(session.execute(text("SELECT 'still here'")).scalar_one(), flush=True)
"""


@pytest.fixture
def new_home(open_folder):
    """A folder for databases; its server ends with the test."""
    yield open_folder / "databases"
    stop(open_folder / "databases", force=True)


@pytest.fixture
def home(new_home, created_home):
    """A folder with databases, whose server does not run."""
    return servers.copy_home(created_home, new_home)


def start(home, lines=USE, **options):
    return servers.Program(lines, env={"DB_DATA_DIR": str(home)}, **options)


def gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for_end(process):
    servers.wait_until(lambda: gone(process), f"process {process.pid} has ended")


def test_processes_that_start_at_the_same_moment_share_one_server(new_home):
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(start(new_home)) for _ in range(4)]
        pids = {program.line() for program in programs}

        assert len(pids) == 1
        assert [program.finish() for program in programs] == ["still here"] * 4


def test_the_server_stops_after_its_last_user_and_not_before(home):
    with start(home) as first, start(home) as second:
        server = psutil.Process(int(first.line()))
        watchdog = server.parent()
        second.line()

        first.finish()
        assert second.finish() == "still here"
        wait_for_end(server)
        wait_for_end(watchdog)


def test_the_server_stops_when_its_last_user_is_killed(home):
    with start(home) as user:
        server = psutil.Process(int(user.line()))
        watchdog = server.parent()
        user.kill()

        wait_for_end(server)
        wait_for_end(watchdog)
    assert (status(home).running, status(home).users) == (False, [])


def test_a_killed_user_does_not_disturb_the_others(home):
    with start(home) as victim, start(home) as survivor:
        assert victim.line() == survivor.line()
        victim.kill()

        assert survivor.finish() == "still here"


def test_a_killed_server_is_not_noticed_by_its_users(home):
    with start(home) as first, start(home) as second:
        server = psutil.Process(int(first.line()))
        second.line()
        server.kill()
        wait_for_end(server)

        assert first.finish() == "still here"
        assert second.finish() == "still here"


def test_a_server_that_lost_its_watchdog_gets_another(home):
    with start(home) as first:
        server = psutil.Process(int(first.line()))
        server.parent().kill()
        servers.wait_until(lambda: server.ppid() != 0 and orphaned(server), "it is an orphan")
        with start(home) as second:
            assert int(second.line()) == server.pid
            first.finish()
            assert second.finish() == "still here"
        wait_for_end(server)


def orphaned(server):
    with contextlib.suppress(psutil.NoSuchProcess):
        return "watchdog.py" not in " ".join(server.parent().cmdline())
    return True


def test_an_interrupt_of_the_notebook_does_not_reach_the_server(new_home):
    print_pid = 'print(embedded.status(os.environ["DB_DATA_DIR"]).pid, flush=True)'
    interrupted = USE.replace(
        f"    {print_pid}\n    sys.stdin.readline()",
        f"""
    try:
        {print_pid}
        sys.stdin.readline()
    except KeyboardInterrupt:
        print("interrupted", flush=True)""",
    )
    with start(new_home, interrupted) as user:
        user.line()
        os.killpg(user.process.pid, signal.SIGINT)

        assert user.line() == "interrupted"
        assert user.finish() == "still here"
        assert restarts(new_home) == 1


def restarts(home):
    """How often the server has started, by its log."""
    log = status(home).data_dir.parent / "server.log"
    return log.read_text().count("ready to accept connections")


def test_a_terminated_watchdog_stops_the_server_in_good_order(home):
    with start(home) as user:
        server = psutil.Process(int(user.line()))
        server.parent().terminate()

        wait_for_end(server)
        assert not (status(home).data_dir / "postmaster.pid").exists()
        assert user.finish() == "still here"


FORK = """
    import multiprocessing, os, sys
    from sqlalchemy import text
    from synfin_analytics.database import embedded
    from synfin_analytics.database.manager import get_db_manager, session_scope

    def ask(query):
        with session_scope() as session:
            return session.execute(text(query)).scalar_one()

    def child(close):
        print(ask("SELECT 'child'"), flush=True)
        if close:
            get_db_manager().close()

    home = os.environ["DB_DATA_DIR"]
    ask("SELECT 1")
    server = embedded.status(home).pid
    context = multiprocessing.get_context("fork")
"""


@pytest.mark.parametrize("close", [True, False])
def test_a_forked_child_does_not_stop_the_server_of_its_parent(home, close):
    program = (
        FORK
        + f"""
    for _ in range(2):
        process = context.Process(target=child, args=({close},))
        process.start()
        process.join()
    print(ask("SELECT 'parent'"), embedded.status(home).pid == server)
    """
    )
    with start(home, program) as user:
        assert user.finish().splitlines() == ["child", "child", "parent True"]


def test_a_forked_child_keeps_the_server_of_a_parent_that_died(home):
    program = (
        FORK
        + """
    go, gone = context.Pipe()
    def orphan():
        gone.close()
        try:
            go.recv()
        except EOFError:
            print(ask("SELECT 'orphan'"), embedded.status(home).pid == server, flush=True)

    context.Process(target=orphan).start()
    os.kill(os.getpid(), 9)
    """
    )
    user = start(home, program)
    try:
        assert user.line() == "orphan True"
    finally:
        user.process.communicate()
    servers.wait_until(lambda: not status(home).running, "the server has stopped")


def test_a_server_process_inherits_neither_locks_nor_pipes(home):
    with start(home) as user:
        server = psutil.Process(int(user.line()))
        opened = {
            file.path for process in (server, server.parent()) for file in process.open_files()
        }

        locks = {str(path) for path in (home / server_folder(home)).glob("*.lock")}
        assert len(locks) == 3
        assert opened & locks == locks  # the watchdog's
        assert not {file.path for file in server.open_files()} & locks
        user.finish()


def server_folder(home):
    return status(home).data_dir.parent.name
