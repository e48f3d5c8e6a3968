"""Aggregates from a cache: memory, Redis and memcached, and never older than the data."""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import socket
import threading
from urllib.parse import quote

import narwhals as nw
import pytest
from caches import PASSWORD, memcached_server, redis_server
from sqlalchemy import text

from synfin_analytics import load_df
from synfin_analytics._core.codec import Codec
from synfin_analytics.database import cache as caches
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import ConfigurationError
from synfin_analytics.repositories import ModelPredictionRepository, TransactionRepository

ROWS = [
    {
        "transaction_id": f"TX{number}",
        "customer_id": f"secret-{number % 5}",
        "merchant_id": f"M{number % 3}",
        "amount": 10 + number,
        "timestamp": f"2026-01-{1 + number % 28:02d}T10:00:00Z",
        "is_fraud": number % 10 == 0,
        "channel": "online" if number % 2 else "pos",
    }
    for number in range(60)
]


@pytest.fixture(params=["memory", "redis", "memcached"])
def url(request):
    caches.close_caches()
    return "memory://" if request.param == "memory" else request.getfixturevalue(request.param).url


@pytest.fixture
def bank(manager, url, caplog):
    """A manager with a cache, and payments in its database."""
    load_df(ROWS, "transactions", manager=manager, on_missing_parent="create")
    with_cache = DatabaseManager(dataclasses.replace(manager.config, cache_url=url))
    caplog.set_level(logging.DEBUG, "synfin_analytics.database")
    yield with_cache
    with_cache.close()


@pytest.fixture
def events(caplog):
    """What the log says of the cache since the last call."""

    def events():
        messages = [record.message for record in caplog.records if "cache" in record.message]
        caplog.clear()
        return messages

    return events


def count(manager, **options):
    with manager.session_scope() as session:
        return TransactionRepository(session).get_statistics(**options)["total_count"]


def rates(manager, **options):
    with manager.session_scope() as session:
        return TransactionRepository(session, "polars").fraud_rate(**options)


def test_the_second_call_is_answered_from_the_cache(bank, events):
    assert [count(bank), count(bank)] == [60, 60]

    assert events() == ["cache miss: get_statistics", "cache hit: get_statistics"]


@pytest.mark.parametrize("output", ["pandas", "polars", "arrow"])
def test_answers_of_the_cache_are_those_of_the_database(bank, events, output):
    def read(**options):
        with bank.session_scope() as session:
            transactions = TransactionRepository(session, output)
            return transactions.fraud_rate("channel", every="1w", **options)

    computed, stored, again = read(cache=False), read(), read()

    assert events() == ["cache miss: fraud_rate", "cache hit: fraud_rate"]
    assert nw.from_native(computed).schema == nw.from_native(again).schema
    for frame in (stored, again):
        assert nw.from_native(frame).to_polars().equals(nw.from_native(computed).to_polars())


def test_evaluations_are_cached_with_what_follows_from_their_rows(bank, events):
    predictions = [
        {
            "transaction_id": row["transaction_id"],
            "model_name": "forest",
            "model_version": "1.0",
            "fraud_probability": 0.9 if row["is_fraud"] else 0.1,
            "prediction": row["is_fraud"],
            "ground_truth": row["is_fraud"],
        }
        for row in ROWS
    ]
    load_df(predictions, "model_predictions", manager=bank)
    for _ in range(2):
        with bank.session_scope() as session:
            evaluation = ModelPredictionRepository(session).evaluate("forest", "1.0", amount=True)
            assert evaluation.confusion.tp == 6
            assert evaluation.precision_at_k(1).k == 1
    assert events() == ["cache miss: evaluate", "cache hit: evaluate"]


def test_other_arguments_are_other_questions(bank, events):
    assert count(bank, end_date="2026-01-10") != count(bank)
    rates(bank)
    rates(bank, by="channel")

    assert all("miss" in message for message in events())


def test_without_the_cache_nothing_is_read_or_stored(bank, events):
    count(bank, cache=False)

    assert events() == []


def test_groups_of_personal_data_are_not_stored(bank, events):
    rates(bank, by="customer_id")
    rates(bank, by=["channel", "customer_id"])

    assert events() == []


def test_no_identifier_is_in_the_cache(bank, url, monkeypatch):
    stored = {}
    original = caches.Cache.set

    def remember(self, key, value):
        stored[key] = value
        original(self, key, value)

    monkeypatch.setattr(caches.Cache, "set", remember)
    rates(bank)
    rates(bank, by="channel", cluster="customer_id")
    with bank.session_scope() as session:
        transactions = TransactionRepository(session)
        transactions.fraud_rate(bins={"amount": [20, 40]})

    assert len(stored) == 3
    for key, value in stored.items():
        assert "secret" not in key + repr(Codec().decode(value[32:]))


def test_a_session_sees_its_own_changes(bank, events):
    count(bank)
    with bank.session_scope() as session:
        session.execute(text("UPDATE transactions SET is_anomaly = true"))
        statistics = TransactionRepository(session).get_statistics()
        assert statistics["anomaly_count"] == 60
        session.rollback()

    assert events()[-1] == "cache not used: get_statistics"


def test_an_answer_is_never_older_than_the_last_commit(bank):
    """Readers that add up all the while that another thread updates and commits."""
    seed = random.Random(0)
    lock, committed, stop = threading.Lock(), [0], threading.Event()
    errors = []

    def write():
        while not stop.is_set():
            with lock, bank.engine.begin() as connection:  # so that the order of commits is known
                committed[0] += seed.choice([1, 2])
                statement = text("UPDATE transactions SET amount = :n WHERE transaction_id = 'TX0'")
                connection.execute(statement, {"n": committed[0]})

    def read_amounts():
        for _ in range(60):
            before = committed[0] - 2
            with bank.session_scope() as session:
                total = TransactionRepository(session).get_statistics()["total_amount"]
            if total - sum(10 + number for number in range(1, 60)) < before:
                errors.append((before, total))

    readers = [threading.Thread(target=target) for target in [read_amounts] * 3]
    writer = threading.Thread(target=write)
    for thread in (writer, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    writer.join()
    assert not errors
    assert committed[0] > 10


def test_changes_of_other_programs_are_seen_at_once(manager, bank):
    assert count(bank) == 60
    with manager.engine.begin() as connection:  # a manager without a cache
        connection.execute(text("DELETE FROM transactions WHERE transaction_id = 'TX1'"))

    assert count(bank) == 59


def test_processes_that_ask_at_once_compute_once(bank, events):
    barrier = threading.Barrier(4)

    def ask():
        barrier.wait()
        rates(bank, by="channel")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(events()) == ["cache hit: fraud_rate"] * 3 + ["cache miss: fraud_rate"]


@pytest.mark.parametrize("content", [b"", b"x" * 200, b"5|x", b"[" * 100_000])
def test_an_entry_that_was_changed_is_computed_again(bank, url, events, monkeypatch, content):
    keys = set()
    original = caches.Cache.get
    monkeypatch.setattr(caches.Cache, "get", lambda self, key: keys.add(key) or original(self, key))
    count(bank)
    (key,) = keys
    caches.open_cache(url)._region.backend.set_serialized(key, content)
    events()

    assert count(bank) == 60
    assert "cache entry not readable: get_statistics" in events()
    assert count(bank) == 60
    assert events() == ["cache hit: get_statistics"]


def test_an_answer_that_memcached_is_too_small_for_leaves_the_others_in_it(memcached, caplog):
    cache = caches.Cache(memcached.url)
    cache.set("small", b"answer")
    cache.set("large", bytes(2 * 2**20))
    cache.set("larger", bytes(3 * 2**20))

    assert cache.get("small") == b"answer"
    assert cache.get("large") is None
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "refuses an entry of 2,097,152 bytes (MemcacheServerError)" in warning
    cache.close()


@pytest.mark.parametrize("start", [redis_server, memcached_server])
def test_a_cache_that_is_down_is_done_without_after_one_warning(manager, start, caplog):
    load_df(ROWS, "transactions", manager=manager, on_missing_parent="create")
    with start() as server:
        bank = DatabaseManager(dataclasses.replace(manager.config, cache_url=server.url))
        assert count(bank) == 60
        server.stop()
    caplog.clear()

    assert [count(bank), count(bank)] == [60, 60]

    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.message.split(" (")[0] for record in warnings] == ["the cache"]
    bank.close()


def test_a_cache_that_does_not_answer_is_given_up(manager, monkeypatch):
    monkeypatch.setattr(caches, "_TIMEOUT", 0.2)
    load_df(ROWS, "transactions", manager=manager, on_missing_parent="create")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        bank = DatabaseManager(dataclasses.replace(manager.config, cache_url=url))
        assert count(bank) == 60
        bank.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://cache.bank",
        "cache.bank",
        "memory://here",
        "memory:///here",
        "redis://",
        "redis://:6379/0",
        "redis://cache.bank:0/0",
        "redis://cache.bank/zero",
        "redis://cache.bank/0?unknown=1",
        "rediss://cache.bank/0?socket_timeout=1",
        "redis://cache.bank/0#1",
        "memcached://",
        "memcached://:11211",
        "memcached://cache.bank:11211,",
        "memcached://ana:password@cache.bank:11211",
        "memcached://cache.bank:11211/0",
    ],
)
def test_another_url_is_refused_without_showing_it(url):
    with pytest.raises(ConfigurationError, match="cache_url must be memory://") as error:
        DatabaseConfig(cache_url=url)
    assert "cache.bank" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://cache.bank",
        "redis://ana:p%40ss@cache.bank:6379/15",
        "rediss://:p%40ss@[::1]:6380/0?ssl_ca_certs=/etc/ssl/bank.pem",
        "memcached://cache.bank",
        "memcached://cache1.bank:11211,cache2.bank:11212",
    ],
)
def test_a_url_is_accepted(url):
    assert DatabaseConfig(cache_url=url).cache_url == url


# -- Limits and faults -------------------------------------------------------------------------


def test_memory_keeps_the_entries_that_were_used_last():
    cache = caches.Cache("memory://")
    third = caches.MEMORY // 3
    for key in ("first", "second", "third"):
        cache.set(key, bytes(third))
    cache.get("first")
    cache.set("fourth", bytes(third))

    assert [cache.get(key) is not None for key in ("first", "second", "third", "fourth")] == [
        True, False, True, True,
    ]  # fmt: skip


def test_an_entry_that_memory_is_too_small_for_is_refused_in_one_line(caplog):
    cache = caches.Cache("memory://")
    for _ in range(2):
        cache.set("large", bytes(caches.MEMORY + 1))

    assert cache.get("large") is None
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "refuses an entry of 67,108,865 bytes (ValueError)" in warning


@pytest.mark.parametrize("name", ["redis", "memcached"])
def test_entries_expire_and_keys_are_short(name, request, manager, monkeypatch):
    keys = []
    server = request.getfixturevalue(name)
    cache = caches.open_cache(server.url)
    monkeypatch.setattr(caches.Cache, "set", lambda _self, key, _value: keys.append(key))
    bank = DatabaseManager(dataclasses.replace(manager.config, cache_url=server.url))
    rates(bank, bins={"amount": list(range(200))})
    bank.close()

    (key,) = keys
    assert len(key) < 250  # the limit of memcached
    if name == "redis":
        cache._region.backend.set_serialized(key, b"entry")
        assert 0 < cache._region.backend.writer_client.ttl(key) <= caches.EXPIRY


def test_a_server_that_is_down_at_the_start_is_tried_again(manager, monkeypatch, caplog, events):
    load_df(ROWS, "transactions", manager=manager, on_missing_parent="create")
    caplog.set_level(logging.DEBUG, "synfin_analytics.database")
    with redis_server() as server:
        server.stop()
        bank = DatabaseManager(dataclasses.replace(manager.config, cache_url=server.url))
        assert [count(bank), count(bank)] == [60, 60]
        warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == 1
        assert PASSWORD not in caplog.text
        assert "127.0.0.1" not in "".join(warnings)
        events()

        with redis_server(server.port):
            monkeypatch.setattr(caches.open_cache(server.url), "_down_until", 0.0)
            assert [count(bank), count(bank)] == [60, 60]
            assert events() == ["cache miss: get_statistics", "cache hit: get_statistics"]
    bank.close()


def test_a_wrong_password_is_in_no_message(manager, redis, caplog):
    caplog.set_level(logging.DEBUG)
    url = redis.url.replace(quote(PASSWORD), "wr0ng")
    bank = DatabaseManager(dataclasses.replace(manager.config, cache_url=url))
    assert count(bank) == 0
    bank.close()

    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "does not answer (AuthenticationError)" in warning
    assert "wr0ng" not in caplog.text
    assert "wr0ng" not in repr(bank.config)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
@pytest.mark.parametrize("name", ["redis", "memcached"])
def test_a_forked_process_opens_connections_of_its_own(name, request):
    url = request.getfixturevalue(name).url
    cache = caches.open_cache(url)
    cache.set("parent", b"parent")
    child = os.fork()
    if not child:
        own = caches.open_cache(url)
        os._exit(0 if own is not cache and own.get("parent") == b"parent" else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert cache.get("parent") == b"parent"
