"""Detectors on Spark and Dask: the patterns of one machine, found on the workers."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
import types

import polars as pl
import pytest
from collected import count_collected
from engines import ENGINES, QUICK, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics import (
    ArgumentError,
    ConfigurationError,
    NotFoundError,
    detect_anomalies,
    detect_patterns,
    simulate,
)
from synfin_analytics.detection import (
    ANOMALY_DETECTORS,
    FRAUD_DETECTORS,
    AccountTakeover,
    AmountSpike,
    CardTesting,
    CollusionRing,
    CompromisedMerchant,
    DormantCard,
    HolidayTravel,
    ImpossibleTravel,
    JustBelowLimit,
    LargePurchase,
    NightSpree,
    RefundAbuse,
    VelocityBurst,
    _distributed,
)

OPTIONAL = (
    "card_id", "terminal_id", "device_id", "latitude", "longitude", "is_online", "entry_mode",
    "transaction_type", "status",
)  # fmt: skip
REQUIRED = ("transaction_id", "customer_id", "merchant_id", "amount", "timestamp")
to_dask = ENGINES["dask with arrow"]


@pytest.fixture(scope="module")
def transactions():
    """A world with every pattern, in which cells are missing and many payments share a moment."""
    rows = simulate(300, 120, 90, 7, fraud_rate=0.02, output="polars").transactions
    number = pl.int_range(pl.len())
    return rows.select(
        *REQUIRED, *(pl.when((number + n) % 29 > 0).then(name) for n, name in enumerate(OPTIONAL))
    ).with_columns(
        pl.when(number % 3 > 0).then("timestamp").otherwise(pl.col("timestamp").dt.truncate("1h"))
    )


def assert_same(detected, expected):
    """Patterns, their order, their transactions, and what was skipped are the same."""
    for frame in ("to_frame", "transactions", "summary"):
        assert_frame_equal(
            getattr(detected, frame)("polars"), getattr(expected, frame)("polars"), check_exact=True
        )
    assert detected.detectors == expected.detectors
    assert detected.skipped == expected.skipped


# -- The same patterns ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detect", "detectors"),
    [(detect_patterns, FRAUD_DETECTORS), (detect_anomalies, ANOMALY_DETECTORS)],
    ids=["fraud", "anomalies"],
)
def test_every_pattern_is_found_as_on_one_machine(distribute, transactions, detect, detectors):
    expected = detect(transactions)
    assert set(expected.to_frame()["pattern_type"]) == set(detectors)
    assert_same(detect(distribute(transactions), n_buckets=3), expected)


#: Detectors with thresholds that a few payments reach.
EASY = [
    CardTesting(min_count=2, window=dt.timedelta(days=1), tiny_amount=20.0),
    VelocityBurst(min_count=2, window=dt.timedelta(days=1), tiny_amount=5.0),
    ImpossibleTravel(),
    AmountSpike(amount_ratio=1.5, min_history=2),
    CompromisedMerchant(min_cards=1, max_p_value=0.95),
    AccountTakeover(min_count=1, amount_ratio=0.5),
    DormantCard(inactivity=dt.timedelta(days=2), gap_factor=0.5, min_count=1, amount_ratio=0.5),
    JustBelowLimit(min_count=1),
    NightSpree(min_count=1, amount_ratio=0.5, max_night_share=1.0),
    CollusionRing(
        min_amount=5.0, amount_ratio=0.2, amount_spread=3.0, min_customers=2, min_merchants=2,
        min_count_per_customer=2, min_count=4,
    ),
    RefundAbuse(min_count=1),
]  # fmt: skip
EASY_ANOMALIES = [
    HolidayTravel(min_count=1, min_duration=dt.timedelta(minutes=1)),
    LargePurchase(amount_ratio=1.5, min_history=2),
]
START = dt.datetime(2026, 2, 27, 22, tzinfo=dt.UTC)
CELLS = {
    "customer_id": st.sampled_from("aaabcd"),
    "merchant_id": st.sampled_from("mmn"),
    "amount": st.sampled_from([0.0, 0.1, 0.7, 10.0, 10.0, 24.5, 49.9, 120.37, 1000.125]),
    "timestamp": st.sampled_from([0, 0, 1, 2, 7, 30, 31, 170, 190, 700, 720]).map(
        lambda hours: START + dt.timedelta(hours=hours)
    ),
    "card_id": st.sampled_from(["k", "k", "l", None]),
    "terminal_id": st.sampled_from(["t", "u", None]),
    "device_id": st.sampled_from(["d", "e", None]),
    "latitude": st.sampled_from([50.8, 50.8, 25.2, None]),
    "longitude": st.sampled_from([4.3, 4.3, 55.3, None]),
    "is_online": st.sampled_from([False, False, True, None]),
    "entry_mode": st.sampled_from(["chip", "chip", "magstripe", "ecommerce", None]),
    "transaction_type": st.sampled_from(["purchase", "purchase", "refund", "withdrawal", None]),
    "status": st.sampled_from(["completed", "declined", None]),
}
#: What payments of some patterns have in common, which hardly occurs by chance.
KINDS = [
    {},
    # a visit of a terminal, and what a copy of the card does then
    {"merchant_id": "m", "terminal_id": "t", "card_id": "k", "entry_mode": "chip",
     "is_online": False, "device_id": None},
    {"card_id": "k", "entry_mode": "magstripe", "is_online": False, "device_id": None},
    # a ring
    {"amount": 120.37, "is_online": False, "transaction_type": "purchase", "status": "completed"},
    # tests of a card, from a strange device
    {"amount": 0.7, "is_online": True, "device_id": "x", "entry_mode": "ecommerce",
     "timestamp": START + dt.timedelta(hours=190)},
    # far away
    {"latitude": 25.2, "longitude": 55.3, "entry_mode": "magstripe", "is_online": False,
     "card_id": "k"},
]  # fmt: skip
TYPES = {
    "amount": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"),
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "is_online": pl.Boolean,
}


@st.composite
def worlds(draw):
    """Payments of few customers at few moments, any optional cell of which may be missing."""
    size = draw(st.sampled_from([1, 4, 30, 60]))
    payment = st.builds(dict.__or__, st.fixed_dictionaries(CELLS), st.sampled_from(KINDS))
    rows = draw(st.lists(payment, min_size=size, max_size=size))
    schema = {name: TYPES.get(name, pl.String) for name in CELLS}
    dropped = draw(st.sampled_from([(), (), ("device_id",), ("entry_mode", "status")]))
    ids = pl.Series("transaction_id", draw(st.permutations(range(95, 95 + size))))
    frame = pl.DataFrame(rows, schema, orient="row").drop(dropped)
    return frame.with_columns(ids.cast(pl.String))


def assert_same_everywhere(frame, convert):
    for detect, detectors in ((detect_patterns, EASY), (detect_anomalies, EASY_ANOMALIES)):
        assert_same(detect(convert(frame), detectors), detect(frame, detectors))


@pytest.mark.parametrize("engine", [name for name in ENGINES if not name.startswith("dask")])
@settings(phases=QUICK, max_examples=8, deadline=None)
@given(frame=worlds())
def test_engines_that_collect_agree_on_any_payments(engine, frame):
    assert_same_everywhere(frame, ENGINES[engine])


@pytest.mark.parametrize("engine", [name for name in ENGINES if name.startswith("dask")])
@settings(phases=QUICK, max_examples=5, deadline=None)
@given(frame=worlds())
def test_dask_agrees_on_any_payments(engine, frame):
    assert_same_everywhere(frame, ENGINES[engine])


def test_spark_agrees_on_any_payments(spark):
    @settings(phases=QUICK, max_examples=1, deadline=None)
    @given(frame=worlds().filter(lambda frame: len(frame) > 30))
    def check(frame):
        assert_same_everywhere(frame, lambda frame: to_spark(spark, frame))

    check()


def test_patterns_of_one_moment_are_in_the_order_of_their_transactions(distribute):
    """As on one machine, where a customer has a burst with each of many cards at once."""
    number = pl.int_range(240)
    frame = pl.select(
        transaction_id=number.cast(pl.String),
        customer_id=pl.lit("C1"),
        merchant_id=pl.lit("M1"),
        amount=pl.lit(49.9),
        timestamp=pl.lit(START) + pl.duration(minutes=number // 60),
        card_id=number % 60,
    )
    detected = detect_patterns(distribute(frame), "just_below_limit", n_buckets=2)
    assert detected.transactions()["transaction_id"][::4].tolist() == [str(n) for n in range(60)]
    assert_same(detected, detect_patterns(frame, "just_below_limit"))


# -- What comes to this process ----------------------------------------------------------------


def test_only_what_is_found_leaves_the_workers(distribute, transactions, monkeypatch):
    collected = []
    collect_frames = _distributed._collect_frames

    def spy(df):
        frames = collect_frames(df)
        collected.append(sum(len(frame) for parts in frames.values() for frame in parts))
        return frames

    monkeypatch.setattr(_distributed, "_collect_frames", spy)
    frame = distribute(transactions)
    with count_collected() as counted:
        patterns = detect_patterns(frame, n_buckets=3)
    n_found, (by_customer, by_merchant) = len(patterns.transactions()), collected
    assert by_customer <= n_found + 3  # one row of totals for each group
    assert by_merchant <= 0.02 * len(transactions)
    # All else are counts of cells, and a row with such a frame for each detector and group.
    n_others = len(OPTIONAL) + 3 * (len(FRAUD_DETECTORS) + 2)
    assert counted.rows <= by_customer + by_merchant + n_others


# -- Columns ---------------------------------------------------------------------------------------


def some_payments(**changes):
    """Payments of two customers, and other columns."""
    rows = [
        {
            "transaction_id": f"T{number}",
            "customer_id": f"C{number % 2}",
            "merchant_id": "M1",
            "amount": 20.0,
            "timestamp": START + dt.timedelta(hours=number),
        }
        for number in range(12)
    ]
    return pl.DataFrame(rows).with_columns(**changes)


def test_without_a_column_a_detector_is_skipped_for_the_same_reason(distribute):
    for frame in (
        some_payments(),
        some_payments(device_id=pl.lit(None, pl.String), entry_mode=pl.lit("chip")),
        some_payments(latitude=pl.lit(None, pl.Float64), longitude=pl.lit(4.3)),
    ):
        detected = detect_patterns(distribute(frame), ["account_takeover", "impossible_travel"])
        expected = detect_patterns(frame, ["account_takeover", "impossible_travel"])
        assert len(expected.skipped) == 2
        assert_same(detected, expected)


def test_one_value_among_all_payments_makes_a_column(distribute):
    """Otherwise payments of customers without devices would count as made by strangers."""
    is_last = pl.int_range(pl.len()) == pl.len() - 1
    frame = some_payments(
        device_id=pl.when(is_last).then(pl.lit("D1")),
        amount=pl.when(pl.int_range(pl.len()) == 6).then(900.0).otherwise(20.0),
    )
    spike = AmountSpike(min_history=3)
    expected = detect_patterns(frame, spike)
    assert len(detect_patterns(frame.drop("device_id"), spike)) > len(expected)
    assert_same(detect_patterns(distribute(frame), spike, n_buckets=3), expected)


def test_no_payments_have_no_patterns():
    frame = some_payments().clear()
    assert_same(detect_patterns(to_dask(frame)), detect_patterns(frame))


# -- Detectors of the user -------------------------------------------------------------------------


def test_a_detector_of_a_notebook_runs_on_the_workers(distribute):
    @dataclasses.dataclass(frozen=True)
    class Everything(VelocityBurst):
        def describe(self, figures):
            return f"Everything: {figures['payments']} payments"

    frame = some_payments()
    detector = Everything(min_count=2, window=dt.timedelta(hours=2))
    expected = detect_patterns(frame, detector)
    assert expected.to_frame()["description"][0].startswith("Everything: 6 payments")
    assert_same(detect_patterns(distribute(frame), detector), expected)


def test_a_module_that_workers_lack_is_named(spark, monkeypatch):
    module = types.ModuleType("only_here")
    monkeypatch.setitem(sys.modules, "only_here", module)
    module.Mine = type("Mine", (VelocityBurst,), {"__module__": "only_here"})
    with pytest.raises(
        ConfigurationError,
        match=r"^The Python of a worker \(.*\) cannot import only_here: .*\. Install the package",
    ):
        detect_patterns(to_spark(spark, some_payments()), module.Mine())


# -- What is refused -------------------------------------------------------------------------------


def test_a_missing_column_is_named(distribute):
    frame = distribute(some_payments().rename({"timestamp": "timestmap"}))
    with pytest.raises(NotFoundError, match=r"no column 'timestamp' in the transactions.*timestm"):
        detect_patterns(frame)


def test_cells_of_all_partitions_are_reported_together(distribute):
    number = pl.int_range(pl.len())
    frame = some_payments(
        amount=pl.when(number % 4 == 0).then(-1.0).otherwise(20.0),
        merchant_id=pl.when(number != 7).then(pl.lit("M1")),
    )
    with pytest.raises(ArgumentError) as error:
        detect_patterns(distribute(frame))
    assert str(error.value) == (
        "These transactions cannot be used:\n"
        "  merchant_id: is required but missing: 1 row\n"
        "  amount: must be from 0 to 1e+10: 3 rows"
    )
    with pytest.raises(ArgumentError) as error:
        detect_patterns(frame)
    assert "amount: must be from 0 to 1e+10: 3 rows: 0, 4, 8" in str(error.value)


def test_a_repeated_transaction_is_found_among_all_customers(distribute):
    repeated = some_payments().head(2).with_columns(customer_id=pl.lit("C9"))
    frame = distribute(pl.concat([some_payments(), repeated]))
    with pytest.raises(ArgumentError) as error:
        detect_patterns(frame, n_buckets=3)
    assert str(error.value) == (
        "These transactions cannot be used:\n"
        "  transaction_id: repeats the key of an earlier row: 2 rows"
    )


def test_groups_are_a_positive_number(distribute):
    with pytest.raises(ArgumentError, match="`n_buckets` must be a whole number of at least 1"):
        detect_anomalies(distribute(some_payments()), n_buckets=0)


def test_the_time_zone_of_spark_is_utc(spark):
    spark.conf.set("spark.sql.session.timeZone", "Europe/Brussels")
    try:
        with pytest.raises(ArgumentError, match="time zone must be UTC for timestamps in which"):
            detect_patterns(to_spark(spark, some_payments()))
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
