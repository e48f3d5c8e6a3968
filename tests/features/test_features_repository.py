"""Features of what is in the database: computed from the tables, stored in one transaction."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from engines import QUICK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sqlalchemy import text

from synfin_analytics import (
    ArgumentError,
    LoadError,
    MLFeatures,
    MLFeaturesRepository,
    NotFoundError,
    Transaction,
    engineer_features,
    load_df,
    measure_drift,
    read_df,
    simulate,
)
from synfin_analytics.features import buckets
from synfin_analytics.repositories import ml_features

DOCS = Path(__file__).parents[2] / "docs" / "guide" / "features.md"
DAYS = 21
NAMES = ["transaction_id", *MLFeatures.feature_names()]


@pytest.fixture
def world(manager):
    """Customers, merchants and transactions, as they are in the tables."""
    world = simulate(customers=30, merchants=12, days=DAYS, seed=5, output="polars")
    for name, frame in world._asdict().items():
        load_df(frame, name, manager=manager)
    return world


@pytest.fixture
def repository(manager):
    with manager.session_scope() as session:
        yield MLFeaturesRepository(session, output="polars")


def stored(repository):
    rows = read_df("SELECT * FROM ml_features", session=repository.session, output="polars")
    return rows.select(NAMES).sort("transaction_id")


def of_frames(world, **options):
    computed = engineer_features(world.transactions, world.customers, world.merchants, **options)
    return computed.sort("transaction_id")


def test_the_table_has_the_features_that_the_frames_give(world, repository):
    report = repository.engineer()
    assert (report.table, report.inserted, report.updated) == (
        "ml_features", len(world.transactions), 0,
    )  # fmt: skip
    assert_frame_equal(stored(repository), of_frames(world), check_exact=True)


def test_a_delay_replaces_missing_label_times(world, repository):
    repository.engineer(label_delay="2d")
    undated = world._replace(transactions=world.transactions.drop("label_available_at"))
    assert_frame_equal(stored(repository), of_frames(undated, label_delay="2d"), check_exact=True)


def test_dates_are_their_midnights_and_the_end_is_excluded(world, repository):
    day = world.transactions["timestamp"].min().date() + dt.timedelta(days=3)
    report = repository.engineer(start=day, end=day + dt.timedelta(days=1))
    assert report.inserted == (world.transactions["timestamp"].dt.date() == day).sum() > 1


def test_days_that_add_their_own_come_to_the_same(world, repository):
    first = world.transactions["timestamp"].min().date()
    midnight = dt.datetime.combine(first, dt.time(), dt.UTC)
    ends = [None, *(midnight + dt.timedelta(days=days) for days in range(4, DAYS, 4)), None]
    reports = [repository.engineer(start=start, end=end) for start, end in pairwise(ends)]
    assert sum(report.inserted for report in reports) == len(world.transactions)
    assert_frame_equal(stored(repository), of_frames(world), check_exact=True)


def test_parts_of_a_long_period_come_to_the_same(world, repository, monkeypatch):
    monkeypatch.setattr(buckets, "_CUSTOMER_BYTES", 10**7)
    assert repository.engineer().inserted == len(world.transactions)
    assert_frame_equal(stored(repository), of_frames(world), check_exact=True)


def test_of_the_past_only_the_rows_of_those_concerned_are_read(world, repository):
    last = world.transactions["timestamp"].max() - dt.timedelta(hours=3)
    query = ml_features._with_history(["transaction_id"], (last, None))
    read = read_df(query, session=repository.session, output="polars")
    new = world.transactions.filter(pl.col("timestamp") >= last)
    concerned = world.transactions.filter(
        pl.col("customer_id").is_in(new["customer_id"].implode())
        | pl.col("merchant_id").is_in(new["merchant_id"].implode())
    )
    assert len(new) < len(concerned) < len(world.transactions)
    assert set(read["transaction_id"]) == set(concerned["transaction_id"])


def test_running_it_again_replaces_what_has_changed(world, repository):
    repository.engineer()
    repository.session.execute(text("UPDATE transactions SET amount = amount + 1"))
    report = repository.engineer()
    assert (report.inserted, report.updated) == (0, len(world.transactions))
    richer = world._replace(transactions=world.transactions.with_columns(pl.col("amount") + 1))
    assert_frame_equal(stored(repository), of_frames(richer), check_exact=True)


def test_what_waits_in_the_session_is_there_too(world, repository):
    payer, shop = world.transactions.select("customer_id", "merchant_id").row(0)
    late = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    repository.session.add(
        Transaction(
            transaction_id="NEW", customer_id=payer, merchant_id=shop, amount=5, timestamp=late
        )
    )
    assert repository.engineer(start="2030-01-01").inserted == 1
    features = repository.get_by_transaction_id("NEW")
    payments = world.transactions.filter(pl.col("customer_id") == payer)
    assert features.customer_transaction_count == len(payments)


def test_a_part_that_fails_takes_the_others_back(world, repository, monkeypatch):
    monkeypatch.setattr(buckets, "_CUSTOMER_BYTES", 10**7)
    last = world.transactions.sort("timestamp")["transaction_id"][-1]
    repository.session.execute(
        text(f"ALTER TABLE ml_features ADD CONSTRAINT odd CHECK (transaction_id <> '{last}')")
    )
    with pytest.raises(LoadError, match="it would violate the constraint 'odd'"):
        repository.engineer()
    assert repository.count() == 0
    repository.session.rollback()


def test_a_period_without_rows_stores_nothing(world, repository):
    report = repository.engineer(start="2031-01-01")
    assert (report.inserted, report.updated) == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label_delay": "-1d"},
            "`label_delay` must be a duration of at least 0, such as '7d'; got '-1d'.",
        ),
        (
            {"start": "2026-03-02", "end": "2026-03-01"},
            "`end` must be later than `start`; got start=2026-03-02, end=2026-03-01.",
        ),
    ],
)
def test_what_is_no_period_or_delay_is_refused(repository, options, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        repository.engineer(**options)


@pytest.mark.parametrize(
    ("columns", "bins"),
    [(None, 10), ("amount_log", 4), (["is_night", "hour_sin"], {"hour_sin": [-0.5, 0.5]})],
)
def test_drift_of_features_is_that_of_the_frame(world, repository, columns, bins):
    repository.engineer()
    first = world.transactions["timestamp"].min().date()
    middle = first + dt.timedelta(days=9)
    periods = {"reference": (first, middle), "current": (middle, None)}
    result = repository.measure_drift(columns, bins=bins, **periods)

    rows = read_df(
        "SELECT f.*, t.timestamp FROM ml_features f JOIN transactions t USING (transaction_id)",
        session=repository.session,
        output="polars",
    )
    names = MLFeatures.feature_names() if columns is None else columns
    expected = measure_drift(rows, names, bins=bins, **periods)
    assert result.to_frame().equals(expected.to_frame())
    assert result.bins.equals(expected.bins)


FEATURES = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([None, 0.0, -0.0, 0.5, -3.25, 1e9]),
        st.sampled_from([None, True, False]),
    ),
    max_size=30,
)


@settings(
    max_examples=15, phases=QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(FEATURES)
def test_whatever_the_features_are_their_drift_is_that_of_the_frame(manager, cells):
    cells = [(True, 0.5, True), (False, 0.5, None), *cells]
    rows = pl.DataFrame(
        {
            "transaction_id": [f"D{number}" for number in range(len(cells))],
            "timestamp": [
                dt.datetime(2024, 5, 1 if old else 2, tzinfo=dt.UTC) for old, *_ in cells
            ],
            "amount_zscore": pl.Series([number for _, number, _ in cells], dtype=pl.Float64),
            "is_night": pl.Series([flag for *_, flag in cells], dtype=pl.Boolean),
        }
    )
    transactions = rows.select(
        "transaction_id", "timestamp", customer_id=pl.lit("C1"), merchant_id=pl.lit("M1"), amount=1
    )
    periods = {"reference": (None, "2024-05-02"), "current": ("2024-05-02", None)}
    names = ["amount_zscore", "is_night"]
    with manager.get_session() as session:
        load_df(transactions, "transactions", on_missing_parent="create", session=session)
        load_df(rows.drop("timestamp"), "ml_features", session=session)
        result = MLFeaturesRepository(session).measure_drift(names, bins=3, **periods)
        session.rollback()
    expected = measure_drift(rows, names, bins=3, **periods)
    assert result.to_frame().equals(expected.to_frame())
    assert result.bins.equals(expected.bins)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": "amount_lgo"}, NotFoundError, "no feature 'amount_lgo'.*'amount_log'"),
        ({"columns": "transaction_id"}, NotFoundError, "no feature 'transaction_id'"),
        ({"bins": {"hour_sin": [1]}, "columns": "hour_cos"}, ArgumentError, "not among `columns`"),
        ({"current": ("2023-01-01", None)}, ArgumentError, "periods that do not overlap"),
        ({}, ArgumentError, "must be a period with rows; there are none in it"),
    ],
)
def test_drift_that_cannot_be_measured_is_refused(repository, options, error, message):
    periods = {"reference": (None, "2024-01-01"), "current": ("2024-01-01", None)}
    with pytest.raises(error, match=message):
        repository.measure_drift(**periods | options)


def test_the_examples_of_the_docs_run(manager, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL):
        exec(block, space)
    assert len(space["yesterday"]) > 0
    assert len(space["fourteen"]) == len(space["features"])
