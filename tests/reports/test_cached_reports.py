"""Reports from the cache: those of the database, and never older than its data."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from synfin_analytics._core.codec import Codec
from synfin_analytics.cli import main
from synfin_analytics.database import cache as caches
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager, get_db_manager
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import Threshold
from synfin_analytics.reports import fraud_report, model_report
from synfin_analytics.reports._cached import _CLASSES

MODEL = {"n_resamples": 20, "by": ["channel"]}
#: Calls that have nothing in common but the data.
QUESTIONS = {
    "fraud_report": lambda **options: fraud_report(bins={"amount": [20, 50]}, **options),
    "model_report": lambda **options: model_report(
        "forest", "1.0", compare_with=("logit", "1.0"), **{**MODEL, **options}
    ),
}
READER = """
import json, logging, sys
from synfin_analytics import fraud_report

class Events(logging.Handler):
    def emit(self, record):
        if "cache" in record.getMessage():
            messages.append(record.getMessage())

messages = []
logging.getLogger("synfin_analytics.database").addHandler(Events())
logging.getLogger("synfin_analytics.database").setLevel(logging.DEBUG)
for _ in sys.stdin:
    report = fraud_report(by=["channel"])
    amount = report.statistics["total_amount"]
    print(json.dumps([messages, amount, report.created_at.isoformat()]), flush=True)
    messages = []
"""


@pytest.fixture
def bank(world, caplog):
    """A manager with a cache in this process."""
    caches.close_caches()
    manager = DatabaseManager(dataclasses.replace(world.config, cache_url="memory://"))
    caplog.set_level(logging.DEBUG, "synfin_analytics.database")
    yield manager
    manager.close()


@pytest.fixture
def ask(bank):
    def ask(name, **options):
        with bank.session_scope() as session:
            return QUESTIONS[name](session=session, **options)

    return ask


@pytest.fixture
def events(caplog):
    def events():
        messages = [record.message for record in caplog.records if "cache" in record.message]
        caplog.clear()
        return messages

    return events


def assert_same(result, expected):
    """Compare results part by part, without their sessions."""
    assert type(result) is type(expected)
    if dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            if field.name != "session":
                assert_same(getattr(result, field.name), getattr(expected, field.name))
    elif isinstance(result, dict):
        assert list(result) == list(expected)
        for key, value in result.items():
            assert_same(value, expected[key])
    elif isinstance(result, (tuple, list)):
        for value, other in zip(result, expected, strict=True):
            assert_same(value, other)
    elif isinstance(result, pd.DataFrame):
        pd.testing.assert_frame_equal(result, expected, check_exact=True)
    else:
        np.testing.assert_array_equal(result, expected)


def words_of(result):
    """Yield all texts in a result."""
    if isinstance(result, str):
        yield result
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from words_of(getattr(result, field.name))
    elif isinstance(result, dict):
        yield from words_of([*result, *result.values()])
    elif isinstance(result, pd.DataFrame):
        yield from words_of(result.reset_index().astype(object).to_dict("list"))
    elif isinstance(result, (tuple, list)):
        for value in result:
            yield from words_of(value)


def without_time(page):
    return re.sub(r"on \d{4}-\d\d-\d\d \d\d:\d\d UTC", "", page)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_report_from_the_cache_is_the_one_that_was_stored(ask, events, name):
    stored, found = ask(name), ask(name)

    assert events() == [f"cache miss: {name}", f"cache hit: {name}"]
    assert_same(found, stored)  # the time, too: it is the one at which the numbers were computed


@pytest.mark.parametrize("name", QUESTIONS)
def test_its_page_is_that_of_a_new_report_but_for_the_time(ask, events, name):
    ask(name)
    found = ask(name)
    events()
    computed = ask(name, cache=False)

    assert events() == []
    assert computed.created_at > found.created_at
    assert without_time(computed.html()) == without_time(found.html())


def test_rows_of_an_evaluation_from_the_cache_are_read_in_the_session_that_asks(bank):
    for _ in range(2):
        with bank.session_scope() as session:
            report = model_report("forest", "1.0", compare_with=("logit", "1.0"), **MODEL,
                                  session=session)  # fmt: skip
            days = report.evaluation.precision_at_k(1).to_frame()
            of_other = report.comparison.evaluations["logit 1.0"].precision_at_k(1).to_frame()
    assert len(days) == 40
    assert days["hits"].sum() != of_other["hits"].sum()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fraud_report", {"by": ["channel"]}),
        ("fraud_report", {"start": "2026-03-05"}),
        ("fraud_report", {"as_of": "2026-04-01"}),
        ("fraud_report", {"every": "1w"}),
        ("fraud_report", {"merchants": 3}),
        ("fraud_report", {"confidence_level": 0.9}),
        ("model_report", {"seed": 1}),
        ("model_report", {"alerts_per_day": 3}),
        ("model_report", {"weight": {False: 10, True: 1}}),
        ("model_report", {"threshold": Threshold(0.4, "chosen", 1)}),
        ("model_report", {"threshold": Threshold(0.4, "chosen", 2)}),
        ("model_report", {"cluster": "merchant_id"}),
        ("model_report", {"end": "2026-04-01"}),
    ],
)
def test_each_argument_is_part_of_the_question(ask, monkeypatch, name, changes):
    keys = []

    class AskedError(Exception):
        pass

    def get(_self, key):
        keys.append(key)
        raise AskedError

    monkeypatch.setattr(caches.Cache, "get", get)
    for options in ({}, {}, changes):
        with pytest.raises(AskedError):
            ask(name, **options)

    assert keys[0] == keys[1] != keys[2]


def test_the_notes_of_a_caller_are_those_of_the_call(ask, events):
    ask("fraud_report", notes=["first"], source="one")
    report = ask("fraud_report", notes=["second"], source="other")

    assert events()[-1] == "cache hit: fraud_report"
    assert (report.notes, report.title) == (("second",), "Fraud report: other")


def test_a_session_reports_on_what_it_has_not_committed(bank, events):
    with bank.get_session() as session:
        session.execute(text("UPDATE transactions SET amount = amount + 1"))
        changed = fraud_report(by=[], session=session).statistics["total_amount"]
        session.rollback()
        before = fraud_report(by=[], session=session).statistics["total_amount"]

    assert changed == pytest.approx(before + 2000)
    assert events() == ["cache not used: fraud_report", "cache miss: fraud_report"]


def test_no_identifier_and_no_name_of_a_merchant_is_in_the_cache(ask, monkeypatch):
    stored = []
    monkeypatch.setattr(caches.Cache, "set", lambda _self, _key, value: stored.append(value))
    report = ask("fraud_report")
    ask("model_report")

    codec = Codec(_CLASSES, {"session": None, "loaded": None})
    words = {word for value in stored for word in words_of(codec.decode(value[32:]))}
    assert set(report.merchants["name"]) > {"Shop"}
    assert {"M03", "channel", "online"} <= words
    assert not [word for word in words if re.fullmatch(r"C\d\d|T\d{5}|Shop", word)]


def test_the_cache_is_for_stored_rows(world):
    frame = pd.DataFrame({"is_fraud": [True, False], "p": [0.9, 0.1]})
    with pytest.raises(ArgumentError, match="`cache` is for the database"):
        fraud_report(frame, label="is_fraud", cache=False)
    with pytest.raises(ArgumentError, match="`cache` is for a stored model"):
        model_report(frame, label="is_fraud", score="p", cache=False)


@pytest.mark.parametrize("store", ["redis", "memcached"])
def test_processes_share_a_report_until_a_commit(world, store, request, monkeypatch, events,
                                                 caplog):  # fmt: skip
    caplog.set_level(logging.DEBUG, "synfin_analytics.database")
    url = request.getfixturevalue(store).url
    config = dataclasses.replace(world.config, cache_url=url)
    manager = DatabaseManager(config)
    environment = {**os.environ, "DB_NAME": config.database, "DB_CACHE_URL": url}
    child = subprocess.Popen(
        [sys.executable, "-c", READER],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def ask_here():
        with manager.session_scope() as session:
            report = fraud_report(by=["channel"], session=session)
        return events(), report.statistics["total_amount"], report.created_at

    def ask_there():
        print(file=child.stdin, flush=True)
        messages, amount, created_at = json.loads(child.stdout.readline())
        return messages, amount, dt.datetime.fromisoformat(created_at)

    with child:
        here, there = ask_here(), ask_there()
        assert (here[0], there[0]) == (["cache miss: fraud_report"], ["cache hit: fraud_report"])
        assert here[1:] == there[1:]

        with world.engine.begin() as connection:  # without a cache
            connection.execute(text("UPDATE transactions SET amount = amount + 1"))
        there, here = ask_there(), ask_here()
        assert (there[0], here[0]) == (["cache miss: fraud_report"], ["cache hit: fraud_report"])
        assert here[1:] == there[1:]
        assert here[1] == pytest.approx(total(world))
    assert child.returncode == 0
    manager.close()


def total(world):
    with world.engine.connect() as connection:
        return float(connection.scalar(text("SELECT sum(amount) FROM transactions")))


def test_the_command_uses_the_cache_unless_told_not_to(world, monkeypatch, events, caplog,
                                                       tmp_path):  # fmt: skip
    caplog.set_level(logging.DEBUG, "synfin_analytics.database")
    caches.close_caches()
    monkeypatch.setenv("DB_NAME", world.config.database)
    monkeypatch.setenv("DB_CACHE_URL", "memory://")
    manager = get_db_manager(DatabaseConfig.from_env())
    command = ["report", "fraud", "--no-groups", "--out", str(tmp_path / "fraud.html")]
    said = []
    for option in ([], [], ["--no-cache"]):
        result = CliRunner().invoke(main, [*command, *option], prog_name="synfin")
        assert result.exit_code == 0, result.output
        said.append(events())
    manager.close()

    assert said == [["cache miss: fraud_report"], ["cache hit: fraud_report"], []]


def test_a_report_that_memcached_is_too_small_for_is_computed_after_one_warning(
    world, memcached, monkeypatch, caplog
):
    manager = DatabaseManager(dataclasses.replace(world.config, cache_url=memcached.url))
    monkeypatch.setattr(Codec, "encode", lambda _self, _result: bytes(2**21))
    totals = set()
    for _ in range(2):
        with manager.session_scope() as session:
            report = fraud_report(by=[], session=session)
            totals.add(report.statistics["total_count"])
    manager.close()

    assert totals == {2000}
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "refuses an entry of 2,097,184 bytes" in warning
