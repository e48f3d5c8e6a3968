"""Loads beside other sessions: every row once, whoever comes first; and waits that end."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import atomicity
import polars as pl
import pytest
import servers
from sqlalchemy import text

from synfin_analytics.exceptions import InvalidDataError, LoadError
from synfin_analytics.io.load import load_df

KEYS = "SELECT transaction_id FROM transactions ORDER BY 1"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)


@contextlib.contextmanager
def other_session(manager):
    """A cursor with a transaction that is open until ``connection.commit()`` or ``rollback()``."""
    with manager.engine.connect() as connection:
        yield connection.connection.dbapi_connection.cursor()


@contextlib.contextmanager
def loading(manager, frame, table="transactions", **options):
    """A load in another thread, to be waited for with ``result()``."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(load_df, frame, table, manager=manager, **options)


def amounts(manager):
    with manager.engine.connect() as connection:
        query = text("SELECT transaction_id, amount FROM transactions ORDER BY 1")
        return dict(tuple(row) for row in connection.execute(query))


# -- Two processes ----------------------------------------------------------------------------

TOGETHER = (
    atomicity.PREAMBLE
    + """
    from synfin_analytics.exceptions import InvalidDataError, LoadError

    frame = atomicity.transactions(amount={amount})
    get_db_manager().health_check()
    wait()
    try:
        report = load_df({frame}, "transactions", on_conflict={how!r}, on_missing_parent={parent!r})
        print("loaded", report.inserted, report.updated, report.skipped)
    except (InvalidDataError, LoadError) as error:
        print(type(error).__name__, "Nothing was loaded" in str(error))
    """
)


def run_together(how, frames=("frame", "frame"), *, parent="raise"):
    """What two processes print that load the same keys at the same moment."""
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(
                servers.Program(TOGETHER.format(amount=amount, frame=frame, how=how, parent=parent))
            )
            for amount, frame in zip((1, 2), frames, strict=True)
        ]
        for program in programs:
            assert program.line() == "here"
        for program in programs:
            program.process.stdin.write("\n")
            program.process.stdin.flush()
        return [program.finish() for program in programs]


def test_of_two_processes_with_the_same_keys_one_loads_and_one_gets_an_error(manager):
    atomicity.fill(manager)
    catalog = atomicity.contents(manager)["catalog"]

    outcomes = run_together("error")

    assert sorted(outcomes) == ["InvalidDataError True", f"loaded {atomicity.ROWS} 0 0"]
    winner = 1 + [outcome.startswith("loaded") for outcome in outcomes].index(True)
    assert atomicity.contents(manager)["catalog"] == catalog
    rows = amounts(manager)
    assert len(rows) == atomicity.ROWS
    assert set(rows.values()) == {winner}


def test_of_two_processes_that_skip_what_exists_each_row_is_loaded_once(manager):
    atomicity.fill(manager)

    outcomes = run_together("skip")

    loaded = [[int(number) for number in outcome.split()[1:]] for outcome in outcomes]
    assert sum(inserted for inserted, _, _ in loaded) == atomicity.ROWS
    assert sum(skipped for _, _, skipped in loaded) == atomicity.ROWS
    assert len(amounts(manager)) == atomicity.ROWS


def test_two_processes_that_update_in_opposite_orders_lose_no_row(manager):
    atomicity.fill(manager, earlier=50)

    outcomes = run_together("update", ("frame", "frame.reverse()"), parent="create")

    messages = [outcome for outcome in outcomes if not outcome.startswith("loaded")]
    assert messages in ([], ["LoadError True"])
    assert set(atomicity.transactions()["transaction_id"]) <= set(amounts(manager))
    assert len(amounts(manager)) == 50 + atomicity.ROWS


# -- One after the other, step by step --------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "counts"), [("skip", (99, 0, 1)), ("update", (99, 1, 0)), ("error", None)]
)
def test_a_key_that_another_session_commits_meanwhile_counts_as_existing(manager, how, counts):
    atomicity.fill(manager, earlier=50)

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute(
            "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)"
            " VALUES ('TX000007', 'C1', 'M1', 0.5, now())"
        )
        with loading(manager, atomicity.transactions(100), on_conflict=how) as load:
            atomicity.wait_for_blocked(watch, "COPY")
            rival.connection.commit()
            if counts is None:
                with pytest.raises(
                    InvalidDataError, match=r"already: 1 row: 7 \(such as 'TX000007'\)"
                ):
                    load.result()
            else:
                report = load.result()
                assert (report.inserted, report.updated, report.skipped) == counts
    assert amounts(manager)["TX000007"] == (8 if how == "update" else 0.5)


def test_a_key_that_another_session_takes_back_is_loaded(manager):
    atomicity.fill(manager, earlier=50)

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute(
            "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)"
            " VALUES ('TX000007', 'C1', 'M1', 0.5, now())"
        )
        with loading(manager, atomicity.transactions(100), on_conflict="skip") as load:
            atomicity.wait_for_blocked(watch, "COPY")
            rival.connection.rollback()
            assert load.result().inserted == 100


def test_a_row_that_another_session_deletes_before_its_update_is_inserted(manager):
    atomicity.fill(manager)
    load_df(atomicity.transactions(100), "transactions", manager=manager)

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute("DELETE FROM transactions WHERE transaction_id = 'TX000007'")
        changed = atomicity.transactions(100, amount=5)
        with loading(manager, changed, on_conflict="update") as load:
            atomicity.wait_for_blocked(watch, "SELECT count(*) FROM (SELECT FROM")
            rival.connection.commit()
            report = load.result()

    assert (report.inserted, report.updated) == (1, 99)
    assert set(amounts(manager).values()) == {5}


def test_a_parent_that_another_session_deletes_meanwhile_is_missed(manager):
    atomicity.fill(manager, earlier=50)
    load_df(pl.DataFrame({"merchant_id": ["M2"]}), "merchants", manager=manager)

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute("DELETE FROM merchants WHERE merchant_id = 'M2'")
        frame = atomicity.transactions(100, merchant_id="M2")
        with loading(manager, frame) as load:
            atomicity.wait_for_blocked(watch, "COPY")
            rival.connection.commit()
            with pytest.raises(
                InvalidDataError, match=r"merchant_id: does not exist in 'merchants'"
            ):
                load.result()

    assert len(amounts(manager)) == 50


def test_a_parent_that_another_session_deletes_is_created_on_request(manager):
    atomicity.fill(manager, earlier=50)
    load_df(pl.DataFrame({"merchant_id": ["M2"]}), "merchants", manager=manager)

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute("DELETE FROM merchants WHERE merchant_id = 'M2'")
        frame = atomicity.transactions(100, merchant_id="M2")
        with loading(manager, frame, on_missing_parent="create") as load:
            atomicity.wait_for_blocked(watch, "COPY")
            rival.connection.commit()
            assert load.result().inserted == 100

    assert atomicity.count(manager, "merchants") == 2


def test_a_deadlock_is_reported_in_words(manager):
    """Each waits for a row that the other has written: PostgreSQL ends one of the two."""
    atomicity.fill(manager, earlier=50)
    columns = "transaction_id, customer_id, merchant_id, amount, timestamp"
    other_row = f"INSERT INTO transactions ({columns}) VALUES (%s, 'C1', 'M1', 1, now())"

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute("SET deadlock_timeout = '1h'")  # so that it is the load that is ended
        rival.execute(other_row, ("TX000150",))
        rows = iter(atomicity.transactions(200).to_dicts())  # which cannot be read again
        with loading(manager, rows) as load, ThreadPoolExecutor(1) as pool:
            atomicity.wait_for_blocked(watch, "COPY")
            waiting = pool.submit(rival.execute, other_row, ("TX000007",))
            with pytest.raises(LoadError, match="deadlock with another session"):
                load.result()
            waiting.result()
            rival.connection.commit()

    assert len(amounts(manager)) == 52


def test_a_load_that_a_deadlock_ended_begins_again(manager):
    atomicity.fill(manager, earlier=50)
    columns = "transaction_id, customer_id, merchant_id, amount, timestamp"
    other_row = f"INSERT INTO transactions ({columns}) VALUES (%s, 'C1', 'M1', 1, now())"

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute("SET deadlock_timeout = '1h'")  # so that it is the load that is ended
        rival.execute(other_row, ("TX000150",))
        frame = atomicity.transactions(200)
        with (
            loading(manager, frame, on_conflict="skip") as load,
            ThreadPoolExecutor(1) as pool,
        ):
            atomicity.wait_for_blocked(watch, "COPY")
            waiting = pool.submit(rival.execute, other_row, ("TX000007",))
            atomicity.wait_for_blocked(watch, "LOCK TABLE")  # it waits before it writes anything
            waiting.result()
            rival.connection.commit()
            assert (load.result().inserted, load.result().skipped) == (198, 2)


@pytest.mark.parametrize("how", ["skip", "update"])
def test_loads_of_the_same_keys_in_opposite_orders_all_arrive(manager, how):
    """Each creates customers, and inserts or changes rows, that the others do too."""
    atomicity.fill(manager, earlier=50)
    transactions = atomicity.transactions(150, start=899_950).with_columns(
        customer_id=pl.format("C{}", pl.int_range(150) % 7)
    )
    frames = [
        transactions,
        transactions.reverse(),
        transactions.sample(fraction=1, shuffle=True, seed=1),
        transactions.reverse(),
    ]

    with ThreadPoolExecutor(len(frames)) as pool:
        reports = pool.map(
            lambda frame: load_df(
                frame, "transactions", manager=manager, on_conflict=how, on_missing_parent="create"
            ),
            frames,
        )

    assert sum(report.inserted for report in reports) == 100
    assert len(amounts(manager)) == 150
    assert atomicity.count(manager, "customers") == 7


# -- Locks ------------------------------------------------------------------------------------


def test_two_loads_into_an_empty_table_of_the_embedded_server_both_arrive(manager, server):
    """The second cannot have the table to itself, and waits for the first."""
    atomicity.fill(manager)
    catalog = atomicity.contents(manager)["catalog"]

    with atomicity.watcher(manager) as watch:

        def start_second():
            nonlocal second
            second = stack.enter_context(loading(manager, atomicity.transactions(start=10_000)))
            atomicity.wait_for_blocked(watch, "SELECT NOT EXISTS")

        second = None
        with contextlib.ExitStack() as stack:
            rows = atomicity.stream(atomicity.transactions(), start_second)
            assert load_df(rows, "transactions", manager=manager).inserted == atomicity.ROWS
            assert second.result().inserted == atomicity.ROWS

    assert len(amounts(manager)) == 2 * atomicity.ROWS
    assert atomicity.contents(manager)["catalog"] == catalog


def test_a_reader_of_the_empty_table_is_not_waited_for(manager):
    atomicity.fill(manager)
    catalog = atomicity.contents(manager)["catalog"]

    with other_session(manager) as reader:
        reader.execute(KEYS)  # and stays in its transaction
        report = load_df(atomicity.transactions(), "transactions", manager=manager)
        reader.execute(KEYS)
        assert len(reader.fetchall()) == report.inserted == atomicity.ROWS

    assert atomicity.contents(manager)["catalog"] == catalog


@pytest.mark.parametrize("earlier", [0, 50])
def test_rebuild_indexes_always_waits_for_readers(manager, earlier):
    atomicity.fill(manager, earlier=earlier)
    catalog = atomicity.contents(manager)["catalog"]

    with atomicity.watcher(manager) as watch, other_session(manager) as reader:
        reader.execute(KEYS)
        with loading(manager, atomicity.transactions(), rebuild_indexes="always") as load:
            atomicity.wait_for_blocked(watch, "LOCK TABLE")
            reader.connection.rollback()
            assert load.result().inserted == atomicity.ROWS

    assert atomicity.contents(manager)["catalog"] == catalog
    assert len(amounts(manager)) == earlier + atomicity.ROWS


def test_rebuild_indexes_always_goes_on_when_the_table_was_filled_while_it_waited(manager):
    atomicity.fill(manager)
    catalog = atomicity.contents(manager)["catalog"]

    with atomicity.watcher(manager) as watch, other_session(manager) as rival:
        rival.execute(
            "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)"
            " VALUES ('TX999999', 'C1', 'M1', 1, now())"
        )
        with loading(manager, atomicity.transactions(), rebuild_indexes="always") as load:
            atomicity.wait_for_blocked(watch, "LOCK TABLE")
            rival.connection.commit()
            assert load.result().inserted == atomicity.ROWS

    assert atomicity.contents(manager)["catalog"] == catalog
    assert len(amounts(manager)) == atomicity.ROWS + 1


def test_two_loads_that_always_rebuild_indexes_take_turns(manager):
    """Neither holds on to what the other needs while it waits."""
    atomicity.fill(manager)

    with atomicity.watcher(manager) as watch, other_session(manager) as reader:
        reader.execute(KEYS)
        frames = [atomicity.transactions(start=start) for start in (0, 10_000)]
        with (
            loading(manager, frames[0], rebuild_indexes="always") as first,
            loading(manager, frames[1], rebuild_indexes="always") as second,
        ):
            servers.wait_until(
                lambda: len(atomicity.ask(watch, atomicity.WAITING)) == 2, "both wait"
            )
            reader.connection.rollback()
            assert first.result().inserted == second.result().inserted == atomicity.ROWS

    assert len(amounts(manager)) == 2 * atomicity.ROWS


def test_a_wait_for_the_table_longer_than_lock_timeout_is_an_error(manager):
    atomicity.fill(manager)

    with other_session(manager) as reader, manager.session_scope() as session:
        reader.execute(KEYS)
        session.execute(text("SET LOCAL lock_timeout = '10ms'"))
        with pytest.raises(LoadError, match="locked for longer than lock_timeout"):
            load_df(
                atomicity.transactions(), "transactions", session=session, rebuild_indexes="always"
            )

    assert amounts(manager) == {}
