"""Several writers and readers at once: each answer of the cache is that of the snapshot."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import io
import logging
import random
import threading
import time
import types

import pytest
import servers
from sqlalchemy import text

from synfin_analytics import load_df
from synfin_analytics._core.codec import Codec
from synfin_analytics.database import cache as caches
from synfin_analytics.database._data_version import read_data_version
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.repositories import TransactionRepository

ACTIONS = 25
COLUMNS = "(transaction_id, customer_id, merchant_id, amount, timestamp, is_fraud, channel)"
QUESTIONS = (
    lambda table, **options: str(table.get_statistics(**options)),  # NaN equals NaN
    lambda table, **options: table.fraud_rate("channel", **options).to_dicts(),
)


class Writer:
    """Changes rows of its own in all ways that there are, and takes some of it back."""

    def __init__(self, manager, number, seed):
        self.manager, self.number = manager, number
        self.random = random.Random(f"{seed} {number}")

    def run(self):
        changes = [self.load, self.insert, self.update, self.delete, self.copy, self.truncate]
        for action in range(ACTIONS):
            self.random.choice(changes)(f"W{self.number}-{action}")
            time.sleep(self.random.choice([0, 0, 0.01, 0.05]))

    def row(self, key):
        return {
            "transaction_id": key,
            "customer_id": "C1",
            "merchant_id": "M1",
            "amount": self.random.randint(1, 1000),
            "timestamp": "2026-01-01T10:00Z",
            "is_fraud": self.random.random() < 0.3,
            "channel": self.random.choice(["online", "pos"]),
        }

    def load(self, key):
        rows = [self.row(f"{key}-{number}") for number in range(self.random.randint(1, 5))]
        load_df(rows, "transactions", manager=self.manager)

    def insert(self, key):
        values = ", ".join(f":{name}" for name in self.row(key))
        self.run_sql(f"INSERT INTO transactions {COLUMNS} VALUES ({values})", self.row(key))

    def update(self, _key):
        change = "amount = amount + 1, is_fraud = NOT is_fraud"
        self.run_sql(f"UPDATE transactions SET {change} WHERE transaction_id LIKE '{self.own}'")

    def delete(self, _key):
        self.run_sql(f"DELETE FROM transactions WHERE transaction_id LIKE '{self.own}-1%'")

    @property
    def own(self):
        return f"W{self.number}-%"

    def run_sql(self, statement, values=None):
        with self.manager.engine.connect() as connection, connection.begin() as transaction:
            if self.random.random() < 0.3:
                with connection.begin_nested() as savepoint:
                    connection.execute(text(statement), values)
                    savepoint.rollback()
            connection.execute(text(statement), values)
            if self.random.random() < 0.3:
                transaction.rollback()

    def copy(self, key):
        lines = "".join(
            "\t".join(map(str, self.row(f"{key}-{number}").values())) + "\n" for number in range(3)
        )
        with self.cursor() as cursor:
            cursor.copy_expert(f"COPY transactions {COLUMNS} FROM STDIN", io.StringIO(lines))

    def truncate(self, _key):
        with self.cursor() as cursor:
            cursor.execute("TRUNCATE transactions CASCADE")

    @contextlib.contextmanager
    def cursor(self):
        """Use the driver alone, as another program would."""
        connection = self.manager.engine.raw_connection()
        try:
            with connection.cursor() as cursor:
                yield cursor
            if self.random.random() < 0.7:
                connection.commit()
        finally:
            connection.close()


class Reader:
    """Asks the cache and the database in the same snapshot."""

    def __init__(self, bank, number, seed, stop):
        self.bank, self.stop = bank, stop
        self.random = random.Random(f"{seed} reader {number}")
        self.differences, self.n_compared = [], 0

    def run(self):
        while not self.stop.is_set():
            ask = self.random.choice(QUESTIONS)
            check = self.random.choice([self.in_a_snapshot, self.between_commits])
            check(ask)

    def in_a_snapshot(self, ask):
        with self.bank.session_scope() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            # TRUNCATE empties the table of older snapshots, too.
            session.execute(text("LOCK TABLE transactions IN ACCESS SHARE MODE"))
            table = TransactionRepository(session, "polars")
            calls = [True, True, False]
            self.random.shuffle(calls)
            self.compare(*(ask(table, cache=cache) for cache in calls))

    def between_commits(self, ask):
        with self.bank.session_scope() as session:
            table = TransactionRepository(session, "polars")
            connection = session.connection()
            before = read_data_version(connection, ["transactions"])
            answers = ask(table), ask(table, cache=False)
            if read_data_version(connection, ["transactions"]) == before:
                self.compare(*answers)

    def compare(self, *answers):
        self.n_compared += 1
        if any(answer != answers[0] for answer in answers):
            self.differences.append(answers)


@pytest.mark.parametrize(("store", "seed"), [("memory", 1), ("redis", 2), ("memcached", 3)])
def test_each_answer_is_that_of_the_snapshot(manager, store, seed, request, caplog):
    caplog.set_level(logging.DEBUG, "synfin_analytics.database")
    caches.close_caches()
    url = "memory://" if store == "memory" else request.getfixturevalue(store).url
    bank = DatabaseManager(dataclasses.replace(manager.config, cache_url=url))
    load_df([{"customer_id": "C1"}], "customers", manager=manager)
    load_df([{"merchant_id": "M1"}], "merchants", manager=manager)
    stop = threading.Event()
    writers = [Writer(manager, number, seed) for number in range(2)]
    readers = [Reader(bank, number, seed, stop) for number in range(3)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        reading = [pool.submit(reader.run) for reader in readers]
        for writing in [pool.submit(writer.run) for writer in writers]:
            writing.result()
        stop.set()
        for result in reading:
            result.result()
    bank.close()

    assert [reader.differences for reader in readers] == [[]] * 3
    events = collections.Counter(record.message.partition(":")[0] for record in caplog.records)
    assert min(events["cache hit"], events["cache miss"]) > 9, events
    assert sum(reader.n_compared for reader in readers) > 9


def test_a_transaction_that_others_wait_for_does_not_wait_for_an_answer(manager, monkeypatch):
    """Otherwise it waits for a reader, who waits for a TRUNCATE, which waits for it."""
    caches.close_caches()
    bank = DatabaseManager(dataclasses.replace(manager.config, cache_url="memory://"))

    def ask():
        with bank.session_scope() as session:
            return TransactionRepository(session).get_statistics()["total_count"]

    def truncate():
        with manager.engine.begin() as connection:
            connection.execute(text("TRUNCATE transactions CASCADE"))

    def wait_for(n_waiting):
        query = "SELECT count(*) FROM pg_locks WHERE relation = 'transactions'::regclass"

        def waits():
            with manager.engine.connect() as connection:
                return connection.scalar(text(f"{query} AND NOT granted")) == n_waiting

        servers.wait_until(waits, f"{n_waiting} sessions wait")

    def sleep(_seconds):
        raise AssertionError("waits for the answer of another process")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with bank.session_scope() as session:
            table = TransactionRepository(session)
            table.count()
            writing = pool.submit(truncate)
            wait_for(1)
            asking = pool.submit(ask)
            wait_for(2)
            with monkeypatch.context() as patch:
                patch.setattr(
                    caches, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
                )
                assert table.get_statistics()["total_count"] == 0
        writing.result()
        assert asking.result() == 0
    bank.close()


def test_an_answer_that_a_commit_overtakes_is_not_stored(manager):
    caches.close_caches()
    bank = DatabaseManager(dataclasses.replace(manager.config, cache_url="memory://"))
    query = text("SELECT count(*) FROM customers")

    def count(connection, before=lambda: None):
        def compute():
            before()
            return connection.scalar(query)

        return caches.cached(connection, "count", "customers", ["customers"], compute, Codec())

    def commit():
        load_df([{"customer_id": "C1"}], "customers", manager=manager)

    with bank.engine.connect() as reader, bank.engine.connect() as old:
        old.execution_options(isolation_level="REPEATABLE READ")
        assert old.scalar(text("SELECT 1")) == 1  # takes its snapshot
        assert count(reader, commit) == 1
        assert count(old) == 0
    bank.close()
