"""A client that is killed or interrupted in the middle of a load leaves nothing of it behind."""

from __future__ import annotations

import signal

import atomicity
import pytest
import servers

EARLIER = [pytest.param(0, id="empty"), pytest.param(50, id="filled")]

BETWEEN_BATCHES = (
    atomicity.PREAMBLE
    + """
    load_df(atomicity.stream(atomicity.transactions(), wait), "transactions")
    """
)
AT_ONCE = (
    atomicity.PREAMBLE
    + """
    print("here", flush=True)
    load_df(atomicity.transactions(), "transactions", rebuild_indexes="{rebuild}")
    """
)
#: On any server: rebuild the indexes of an empty table, and merge the rows into another one.
REBUILD = {0: "always", 50: "never"}


@pytest.mark.parametrize("earlier", EARLIER)
def test_nothing_of_a_load_remains_when_its_process_is_killed_between_batches(manager, earlier):
    atomicity.fill(manager, earlier=earlier)
    before = atomicity.contents(manager)

    with atomicity.watcher(manager) as cursor, servers.Program(BETWEEN_BATCHES) as program:
        assert program.line() == "here"
        atomicity.wait_for_writer(cursor)
        program.kill()
        atomicity.wait_for_silence(cursor)

    assert atomicity.contents(manager) == before
    atomicity.assert_loads(manager)


@pytest.mark.parametrize(
    ("earlier", "statement"),
    [
        pytest.param(0, "CREATE INDEX", id="empty, indexes being built"),
        pytest.param(50, "COPY", id="filled, rows being written"),
    ],
)
def test_nothing_remains_when_the_process_is_killed_while_the_server_works(
    manager, earlier, statement
):
    atomicity.fill(manager, earlier=earlier)

    with (
        atomicity.watcher(manager) as cursor,
        atomicity.holding(cursor, atomicity.AT_INDEX),
        servers.Program(AT_ONCE.format(rebuild=REBUILD[earlier])) as program,
    ):
        before = atomicity.contents(manager)
        assert program.line() == "here"
        atomicity.wait_for_blocked(cursor, statement)
        program.kill()
        atomicity.release(cursor)
        atomicity.wait_for_silence(cursor)

        assert atomicity.contents(manager) == before
        atomicity.assert_loads(manager)


def test_all_of_a_load_is_there_when_its_process_is_killed_after_it_asked_to_commit(manager):
    atomicity.fill(manager, earlier=50)

    with (
        atomicity.watcher(manager) as cursor,
        atomicity.holding(cursor, atomicity.AT_COMMIT),
        servers.Program(AT_ONCE.format(rebuild="auto")) as program,
    ):
        before = atomicity.contents(manager)
        assert program.line() == "here"
        atomicity.wait_for_blocked(cursor, "COMMIT")
        program.kill()
        atomicity.release(cursor)
        atomicity.wait_for_silence(cursor)

        after = atomicity.contents(manager)
        assert len(after["transactions"]) == 50 + atomicity.ROWS
        assert atomicity.without_rows(after) == atomicity.without_rows(before)


INTERRUPTED = (
    atomicity.PREAMBLE
    + """
    manager = get_db_manager()
    rows = {rows}
    try:
        load_df(rows, "transactions", manager=manager, rebuild_indexes="{rebuild}")
    except KeyboardInterrupt:
        wait("interrupted")
    print(manager.get_pool_status()["checked_out"], atomicity.count(manager))
    print(load_df(atomicity.transactions(), "transactions", manager=manager).inserted)
    """
)


def test_an_interrupt_between_batches_leaves_nothing_and_the_manager_works_on(manager):
    atomicity.fill(manager)
    before = atomicity.contents(manager)
    rows = "atomicity.stream(atomicity.transactions(), wait)"
    lines = INTERRUPTED.format(rows=rows, rebuild=REBUILD[0])

    with servers.Program(lines) as program:
        assert program.line() == "here"
        program.process.send_signal(signal.SIGINT)
        program.process.stdin.write("\n")
        program.process.stdin.flush()
        assert program.line() == "interrupted"
        assert atomicity.contents(manager) == before
        program.process.stdin.write("\n")
        assert program.finish().split() == ["0", "0", str(atomicity.ROWS)]


@pytest.mark.parametrize(
    ("earlier", "statement"),
    [
        pytest.param(0, "CREATE INDEX", id="empty, indexes being built"),
        pytest.param(50, "COPY", id="filled, rows being written"),
    ],
)
def test_an_interrupt_reaches_a_server_that_is_at_work(manager, earlier, statement):
    atomicity.fill(manager, earlier=earlier)
    lines = INTERRUPTED.format(rows="atomicity.transactions()", rebuild=REBUILD[earlier])

    with (
        atomicity.watcher(manager) as cursor,
        atomicity.holding(cursor, atomicity.AT_INDEX),
        servers.Program(lines) as program,
    ):
        before = atomicity.contents(manager)
        atomicity.wait_for_blocked(cursor, statement)
        program.process.send_signal(signal.SIGINT)
        assert program.line() == "interrupted"
        assert atomicity.contents(manager) == before
        atomicity.release(cursor)
        program.process.stdin.write("\n")
        assert program.finish().split() == ["0", str(earlier), str(atomicity.ROWS)]
