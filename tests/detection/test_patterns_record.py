"""Detected patterns are stored once, however often and from wherever they are recorded."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading

import polars as pl
import pytest

from synfin_analytics.detection import detect_anomalies, detect_patterns
from synfin_analytics.exceptions import ArgumentError, InvalidDataError
from synfin_analytics.io.load import load_df
from synfin_analytics.repositories import AnomalyPatternRepository, FraudPatternRepository
from synfin_analytics.repositories.patterns import COLUMNS, UpsertReport
from synfin_analytics.simulation import simulate


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 3, number, 12, tzinfo=dt.UTC)


def pattern(
    transactions: str,
    first: int,
    last: int,
    *,
    customers: str = "C1",
    merchants: str = "M1",
    kind: str = "card_testing",
    subject_type: str = "customers",
    name: str = "Card testing",
) -> dict:
    characteristics = {
        "subject_type": subject_type,
        "subjects": (customers if subject_type == "customers" else merchants).split(),
        "customers": customers.split(),
        "merchants": merchants.split(),
        "transactions": transactions.split(),
        "figures": {"amount": 1.5},
    }
    return {
        "pattern_type": kind,
        "name": name,
        "description": "Words.",
        "characteristics": json.dumps(characteristics),
        "severity": "low",
        "detection_count": len(transactions.split()),
        "first_detected": day(first),
        "last_detected": day(last),
        "confidence_score": 0.75,
    }


def frame(*patterns: dict) -> pl.DataFrame:
    return pl.DataFrame(list(patterns))


@pytest.fixture
def repository(session):
    return FraudPatternRepository(session, output="polars")


def stored(repository) -> list[tuple]:
    """Each stored pattern by its days, its count and its transactions."""
    return [
        (
            row["first_detected"].day,
            row["last_detected"].day,
            row["detection_count"],
            " ".join(json.loads(row["characteristics"])["transactions"]),
        )
        for row in repository.get_all().iter_rows(named=True)
    ]


# -- What is the same ------------------------------------------------------------------------------


def test_recording_the_same_again_changes_nothing(repository):
    patterns = frame(pattern("T1 T2", 1, 2), pattern("T8 T9", 5, 6, customers="C2"))
    assert repository.upsert(patterns) == UpsertReport(added=2, updated=0, unchanged=0)
    before = repository.get_all()
    assert repository.upsert(patterns) == UpsertReport(added=0, updated=0, unchanged=2)
    assert repository.get_all().equals(before)


def test_a_pattern_that_goes_on_is_brought_up_to_date(repository):
    repository.upsert(frame(pattern("T1 T2", 1, 2)))
    later = pattern("T2 T3 T4", 2, 4, merchants="M2", name="Renamed")
    assert repository.upsert(frame(later)) == UpsertReport(added=0, updated=1, unchanged=0)
    assert stored(repository) == [(1, 4, 4, "T1 T2 T3 T4")]
    row = repository.get_all().row(0, named=True)
    assert row["name"] == "Renamed"
    assert json.loads(row["characteristics"])["merchants"] == ["M1", "M2"]


def test_an_earlier_part_leaves_the_end_as_it_was(repository):
    repository.upsert(frame(pattern("T3 T4", 3, 4)))
    repository.upsert(frame(pattern("T1 T3", 1, 3)))
    assert stored(repository) == [(1, 4, 3, "T3 T4 T1")]


@pytest.mark.parametrize(
    "different",
    [
        pattern("T3", 3, 4),  # later
        pattern("T3", 1, 2, customers="C2"),  # somebody else
        pattern("T3", 1, 2, kind="velocity_burst"),  # something else
    ],
    ids=["later", "another customer", "another type"],
)
def test_what_is_not_the_same_is_added(repository, different):
    repository.upsert(frame(pattern("T1", 1, 2)))
    assert repository.upsert(frame(different)).added == 1
    assert len(stored(repository)) == 2


def test_periods_that_share_one_moment_overlap(repository):
    repository.upsert(frame(pattern("T1", 1, 2)))
    assert repository.upsert(frame(pattern("T2", 2, 3))).updated == 1


def test_one_that_connects_two_makes_them_one(repository):
    repository.upsert(frame(pattern("T1", 1, 2), pattern("T4", 4, 5)))
    assert repository.upsert(frame(pattern("T2 T4", 2, 4))) == UpsertReport(0, 1, 0, merged=1)
    assert stored(repository) == [(1, 5, 3, "T1 T4 T2")]


def test_a_ring_is_the_same_if_it_shares_a_merchant(repository):
    ring = {"kind": "collusion_ring", "subject_type": "merchants"}
    repository.upsert(frame(pattern("T1", 1, 2, merchants="M1 M2", **ring)))
    more = pattern("T2", 2, 3, merchants="M2 M3", customers="C9", **ring)
    assert repository.upsert(frame(more)).updated == 1
    separate = pattern("T5", 2, 3, merchants="M7", **ring)  # the customer is the same
    assert repository.upsert(frame(separate)).added == 1


def test_two_of_one_run_that_are_the_same_become_one(repository):
    duplicates = frame(pattern("T1 T2", 1, 3), pattern("T3", 2, 2, name="Last"))
    assert repository.upsert(duplicates) == UpsertReport(added=1, updated=0, unchanged=0)
    assert repository.upsert(duplicates) == UpsertReport(added=0, updated=0, unchanged=1)
    assert stored(repository) == [(1, 3, 3, "T1 T2 T3")]


def test_patterns_of_other_users_are_left_alone(repository):
    repository.create(pattern_type="card_testing", first_detected=day(1), last_detected=day(9))
    repository.create(
        pattern_type="card_testing",
        first_detected=day(1),
        last_detected=day(9),
        characteristics={"customers": "C1"},
    )
    assert repository.upsert(frame(pattern("T1", 1, 2))).added == 1
    assert repository.count() == 3


def test_what_was_done_is_reported_in_words():
    assert str(UpsertReport(1, 0, 2, 3)) == (
        "1 pattern added, 0 updated, 2 unchanged, 3 merged into others"
    )


# -- With detectors --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transactions():
    return simulate(200, 80, 60, 5, fraud_rate=0.02, output="polars").transactions


def test_what_detectors_find_is_stored_as_it_is(session, transactions):
    for pattern_rows, detect in (
        (FraudPatternRepository, detect_patterns),
        (AnomalyPatternRepository, detect_anomalies),
    ):
        repository, patterns = pattern_rows(session, output="polars"), detect(transactions)
        assert len(patterns)
        first = repository.upsert(patterns)
        assert first.added == repository.count()
        again = repository.upsert(detect(transactions.sample(fraction=1, shuffle=True, seed=1)))
        assert (again.added, again.updated, again.merged) == (0, 0, 0)
    count = repository.get_all()["detection_count"]
    assert count.sum() == patterns.to_frame("polars")["detection_count"].sum()


def test_the_frame_loads_as_it_is(manager, transactions):
    for kind in ("pandas", "polars", "arrow"):
        patterns = detect_patterns(transactions)
        assert load_df(patterns.to_frame(kind), "fraud_patterns").inserted == len(patterns)


def test_new_days_bring_stored_patterns_up_to_date(session, transactions):
    repository = FraudPatternRepository(session, output="polars")
    end = transactions["timestamp"].max()
    until = transactions.filter(pl.col("timestamp") < end - dt.timedelta(days=20))
    repository.upsert(detect_patterns(until))
    before = {row["id"]: row["detection_count"] for row in repository.get_all().to_dicts()}
    repository.upsert(detect_patterns(transactions))
    after = {row["id"]: row["detection_count"] for row in repository.get_all().to_dicts()}
    assert all(after[id_] >= count for id_, count in before.items() if id_ in after)
    assert len(after) > len(before)


def test_no_detection_stores_nothing(repository, transactions):
    assert repository.upsert(detect_patterns(transactions.head(20))) == UpsertReport(0, 0, 0)


# -- All or nothing, and together with others ------------------------------------------------------


def test_a_wrong_pattern_stores_none_and_the_session_goes_on(repository, session):
    repository.upsert(frame(pattern("T1", 1, 2)))
    wrong = pattern("T2", 2, 3) | {"confidence_score": 7.0}
    with pytest.raises(InvalidDataError, match="confidence_score"):
        repository.upsert(frame(pattern("T1 T5", 1, 5), wrong, pattern("T9", 9, 9)))
    assert stored(repository) == [(1, 2, 1, "T1")]
    session.commit()


def test_the_owner_of_the_session_commits(repository, session):
    repository.upsert(frame(pattern("T1", 1, 2)))
    session.rollback()
    assert repository.count() == 0


def test_the_wrong_table_is_reported(session, transactions):
    anomalies = detect_anomalies(transactions)
    with pytest.raises(
        ArgumentError, match="patterns of 'fraud_patterns'; got patterns of 'anomaly"
    ):
        FraudPatternRepository(session).upsert(anomalies)


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (pl.DataFrame({"pattern_type": ["a"]}), "`detected` must be a result of detect_patterns"),
        (7, "`detected` must be a result of detect_patterns"),
        (
            frame(pattern("T1", 1, 2) | {"characteristics": "{}"}),
            "Pattern 0 must have subjects and a period",
        ),
        (
            frame(pattern("T1", 1, 2) | {"characteristics": "no JSON"}),
            "Pattern 0 must have subjects and a period",
        ),
        (
            frame(pattern("T1", 1, 2) | {"last_detected": None}),
            "Pattern 0 must have subjects and a period",
        ),
        (frame(pattern("T1", 1, 2, customers="")), "Pattern 0 must have subjects and a period"),
    ],
)
def test_an_invalid_detection_is_reported(repository, patterns, words):
    with pytest.raises(ArgumentError, match=words):
        repository.upsert(patterns)


def test_a_transaction_that_sees_nothing_new_is_refused(repository, session):
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    with pytest.raises(ArgumentError, match=r"must be 'read committed', .* got 'repeatable read'"):
        repository.upsert(frame(pattern("T1", 1, 2)))


def test_a_second_one_waits_for_the_first_to_commit(manager):
    finished = threading.Event()
    results = []

    def second() -> None:
        with manager.session_scope() as session:
            results.append(FraudPatternRepository(session).upsert(frame(pattern("T1 T2", 1, 2))))
        finished.set()

    with manager.session_scope() as session:
        FraudPatternRepository(session).upsert(frame(pattern("T1", 1, 2)))
        second = threading.Thread(target=second)
        second.start()
        assert not finished.wait(0.3)
    second.join()
    assert results == [UpsertReport(added=0, updated=1, unchanged=0)]


RECORD = """
import sys
import polars as pl
from synfin_analytics import FraudPatternRepository, session_scope
found = pl.read_parquet(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with session_scope() as session:
    done = FraudPatternRepository(session).upsert(found)
print(done.added)
"""


def test_processes_at_once_store_nothing_twice(manager, tmp_path):
    path = tmp_path / "found.parquet"
    frame(*(pattern(f"T{n}", 1, 2, customers=f"C{n}") for n in range(200))).write_parquet(path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RECORD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    added = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(added) == [0, 200]
    with manager.session_scope() as session:
        assert FraudPatternRepository(session).count() == 200


def test_the_columns_are_those_of_the_table(repository):
    assert set(COLUMNS) < set(repository.get_all().columns)
