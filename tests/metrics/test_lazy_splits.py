"""Splits by time of lazy frames: the same rows and counts as in memory, and only counts travel."""

from __future__ import annotations

import datetime as dt
import random
import re
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pytest
from collected import count_collected
from engines import ENGINES, QUICK, in_order_of, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics import engineer_features, evaluate, fraud_rate
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import PrequentialSplit, TimeSplit, time_split

if TYPE_CHECKING:
    from collections.abc import Callable

COMPROMISED = "in the test period, of entities known to be compromised"
BEGIN = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
SCHEMA = {
    "id": pl.Int64,
    "timestamp": pl.Datetime("us", "UTC"),
    "customer_id": pl.String,
    "is_fraud": pl.Boolean,
    "label_available_at": pl.Datetime("us", "UTC"),
}
LAZY = ["polars lazy", "duckdb", "dask with arrow", "spark"]
#: How many examples an engine gets: one of polars takes milliseconds, the others a second.
EXAMPLES = {"polars lazy": 60, "duckdb": 12, "spark": 4}


#: Where types of columns matter, pandas has more than one in the partitions of Dask.
every_type = pytest.mark.parametrize(
    "engine", [*LAZY, "dask with numpy", "dask with objects"], indirect=True
)


@pytest.fixture(params=LAZY)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def lazy(engine: str, request: pytest.FixtureRequest) -> Callable[[pl.DataFrame], Any]:
    """Converter of a frame to the engine."""
    if engine != "spark":
        return ENGINES[engine]
    spark = request.getfixturevalue("spark")
    return lambda frame: to_spark(spark, frame)


def at(days: float) -> dt.datetime:
    return BEGIN + dt.timedelta(days=days)


def payments(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Rows as (day, card, label[, day on which the label was known])."""
    table = [
        (
            n,
            at(day),
            card,
            label,
            *(None if known is None else at(known) for known in known or [None]),
        )
        for n, (day, card, label, *known) in enumerate(rows)
    ]
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


#: Every part of a split has a row, and two cards are compromised.
PAYMENTS = payments(
    (-1, "a", True), (0, "b", False), (0.5, "a", True, 0.6), (1, "c", None),
    (1.2, "d", False, 9), (1.5, None, True), (2.5, "c", True, 3.25), (3, "a", False),
    (3.1, "c", False), (3.2, None, None), (4.1, "c", False), (4.2, "d", True), (4.9, "b", None),
    (6, "a", False),
)  # fmt: skip


def split(frame: Any, **options: Any) -> TimeSplit[Any]:
    """Training on two days from BEGIN, one of delay, two of test."""
    return time_split(frame, "2d", "1d", "2d", **({"start": BEGIN} | options))


def describe(result: TimeSplit[Any]) -> tuple[Any, ...]:
    """Everything that a split says, and the rows of its sets."""
    sets = (in_order_of(frame, "id").rows() for frame in (result.train, result.test))
    return result.start, result.test_end, result.n_compromised, result.parts, *sets


def schema_of(frame: Any) -> dict[str, Any]:
    """Names and types of the columns, in their order."""
    is_dask = isinstance(frame, dd.DataFrame)
    return dict(frame.dtypes if is_dask else nw.from_native(frame).collect_schema())


def outcome(compute: Callable[[], Any]) -> Any:
    """Return the result, or the message of the error."""
    try:
        return compute()
    except ArgumentError as error:
        return str(error)


# -- Which rows ------------------------------------------------------------------------------------

moments = st.integers(0, 9 * 8).map(lambda eighths: at(eighths / 8 - 1))
rows = st.lists(
    st.tuples(
        moments,
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([True, False, False, None]),
        st.none() | moments,
    ),
    max_size=25,
)


@every_type
def test_sets_and_counts_are_those_of_a_frame_in_memory(engine, lazy):
    @settings(max_examples=EXAMPLES.get(engine, 4), phases=QUICK)
    @given(rows, st.booleans(), st.booleans())
    def check(drawn, available, drop):
        # Two rows that no set can be without, for most of the splits.
        drawn = [*drawn, (at(0), "z", False, None), (at(4.9), "z", False, None)]
        frame = pl.DataFrame([(n, *row) for n, row in enumerate(drawn)], SCHEMA, orient="row")
        column = "label_available_at" if available else None
        options: dict[str, Any] = {"label_available_at": column, "drop_compromised": drop}
        splitter = PrequentialSplit(3, train="3d", delay="1d", test="12h", **options)
        results = [
            (
                outcome(lambda rows=rows: describe(split(rows, **options))),
                outcome(lambda rows=rows: [describe(fold) for fold in splitter.folds(rows)]),
            )
            for rows in (lazy(frame), frame)
        ]
        assert results[0] == results[1]

    check()


def world_of_ties() -> pl.DataFrame:
    """Transactions and labels that come at the same few moments, at which periods begin and end."""
    generator = random.Random(4)
    quarters = range(-4, 24)
    drawn = (
        (
            generator.choice(quarters) / 4,
            generator.choice([*map(str, range(60)), None, None, None]),
            generator.choice([True, False, False, None]),
            *generator.choice([[], [generator.choice(quarters) / 4]]),
        )
        for _ in range(300)
    )
    return payments(*drawn)


@every_type
def test_moments_at_which_periods_and_days_begin_belong_to_the_same_sets(lazy):
    frame = world_of_ties()
    native = lazy(frame)
    result, expected = (
        split(rows, start=at(0.25), label_available_at="label_available_at")
        for rows in (native, frame)
    )
    assert describe(result) == describe(expected)
    assert expected.n_compromised < expected.left_out[COMPROMISED]
    splitter = PrequentialSplit(2, train="1d", delay="6h", test="12h")
    folds, expected_folds = (list(map(describe, splitter.folds(rows))) for rows in (native, frame))
    assert folds == expected_folds


def test_nanoseconds_do_not_count(lazy):
    frame = payments(
        (0, "a", False, 3), (0, "b", True, 3), (0, "c", False, 1), (3, "b", False), (3, "c", False)
    )
    times = pl.col(pl.Datetime).dt.replace_time_zone(None).dt.cast_time_unit("ns")
    frame = frame.with_columns(times + pl.duration(nanoseconds=700))
    result = split(lazy(frame), label_available_at="label_available_at")
    assert in_order_of(result.train, "id")["id"].to_list() == [0, 1, 2]
    assert in_order_of(result.test, "id")["id"].to_list() == [4]


def test_the_sets_are_lazy_frames_of_the_engine_with_the_same_columns(lazy):
    frame = lazy(PAYMENTS)
    result = split(frame)
    for part in (result.train, result.test):
        assert type(part) is type(frame)
        assert schema_of(part) == schema_of(frame)
    (fold,) = PrequentialSplit(1, train="2d", delay="1d", test="2d", start=BEGIN).folds(frame)
    assert type(fold.train) is type(fold.test) is type(frame)
    assert repr(fold) == repr(split(PAYMENTS))


CARDS = {"a": 1, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param([pl.col(pl.Datetime).dt.replace_time_zone(None).dt.cast_time_unit("ns"),
                      pl.col("customer_id").replace_strict(CARDS, return_dtype=pl.Int64)],
                     id="nanoseconds without a zone, numbers of cards"),
        pytest.param([pl.col(pl.Datetime).dt.convert_time_zone("America/New_York"),
                      pl.col("customer_id").replace_strict(CARDS, return_dtype=pl.Float64)],
                     id="another zone, cards as doubles"),
        pytest.param([pl.col(pl.Datetime).dt.cast_time_unit("ms"),
                      pl.col("is_fraud").cast(pl.Int8)],
                     id="milliseconds, labels as numbers"),
        pytest.param([pl.lit(None, pl.Datetime("us")).alias("label_available_at"),
                      pl.lit(None, pl.String).alias("customer_id")],
                     id="labels known at once, no card at all"),
    ],
)  # fmt: skip
@every_type
def test_columns_may_have_other_types(lazy, columns):
    frame = PAYMENTS.with_columns(columns)
    expected = split(frame, label_available_at="label_available_at")
    result = split(lazy(frame), label_available_at="label_available_at")
    assert (repr(result), result.n_compromised) == (repr(expected), expected.n_compromised)
    assert in_order_of(result.test, "id")["id"].to_list() == expected.test["id"].to_list()


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb", "dask with arrow"])
@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", "b", "c", "d"])])
def test_cards_may_be_categories(engine, dtype):
    frame = PAYMENTS.with_columns(pl.col("customer_id").cast(dtype))
    assert repr(split(ENGINES[engine](frame))) == repr(split(PAYMENTS))


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb", "dask with arrow"])
def test_a_column_may_hold_nothing_but_nulls(engine):
    frame = PAYMENTS.with_columns(label_available_at=None)
    result = split(ENGINES[engine](frame), label_available_at="label_available_at")
    assert repr(result) == repr(split(frame, label_available_at="label_available_at"))


def test_times_may_be_dates(lazy):
    frame = PAYMENTS.with_columns(pl.col("timestamp").dt.date())
    assert repr(split(lazy(frame))) == repr(split(frame))


def test_names_of_columns_may_look_like_expressions(lazy):
    names = {"timestamp": "the.time", "customer_id": 'card "1"', "is_fraud": "a`b", "id": "i.d"}
    result = split(
        lazy(PAYMENTS.rename(names)), timestamp="the.time", entity='card "1"', label="a`b"
    )
    assert repr(result) == repr(split(PAYMENTS))
    test = in_order_of(result.test, "i.d")
    assert test.columns == [names.get(name, name) for name in PAYMENTS.columns]
    assert test["i.d"].to_list() == split(PAYMENTS).test["id"].to_list()


def test_without_known_cards_no_card_is_needed(lazy):
    frame = PAYMENTS.drop("customer_id")
    result = split(lazy(frame), drop_compromised=False)
    assert describe(result) == describe(split(frame, drop_compromised=False))


@pytest.mark.parametrize("drop", [True, False])
def test_partitions_of_dask_keep_their_index_and_types(drop):
    frame = (
        PAYMENTS.with_columns(pl.col("is_fraud").cast(pl.Float64))
        .to_pandas()
        .set_index(pd.Index([3, 3, *range(12)], name="row"))
    )
    partitions = dd.from_pandas(frame, npartitions=3, sort=False)
    result = split(partitions, drop_compromised=drop)
    expected = split(partitions.compute(), drop_compromised=drop)
    pd.testing.assert_frame_equal(result.train.compute(), expected.train)
    pd.testing.assert_frame_equal(result.test.compute(), expected.test)


# -- What travels ----------------------------------------------------------------------------------


def many(n_days: int) -> pl.DataFrame:
    """Thirty payments a day, of as many cards, one of them fraud."""
    return payments(
        *((day + n / 40, f"card {n}", n == day % 30) for day in range(n_days) for n in range(30))
    )


def test_only_counts_leave_the_engine(lazy, engine, tmp_path):
    # narwhals asks DuckDB for its zone whenever it looks at a time with one.
    frame = many(40).with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None))
    frame.write_parquet(tmp_path / "payments.parquet")
    native = pl.scan_parquet(tmp_path) if engine == "polars lazy" else lazy(frame)
    with count_collected() as collected:
        folds = list(PrequentialSplit(3, train="10d", delay="3d", test="5d").folds(native))
    assert folds[-1].n_compromised > 10
    # The statistics, at most eight parts of each fold, and a row of compromised cards for each.
    partials = 3 if engine.startswith("dask") else 1
    assert 0 < collected.rows <= (1 + 3 * 8 + 3) * partials
    assert in_order_of(folds[-1].test, "id").height == folds[-1].parts[1].n


def test_the_sets_go_into_other_functions(lazy):
    frame = many(12).with_columns(
        amount=pl.lit(20.0),
        p=pl.col("id") % 7 / 7,
        transaction_id=pl.format("T{}", "id"),
        merchant_id=pl.lit("M1"),
    )
    result, expected = (time_split(rows, "4d", "2d", "4d") for rows in (lazy(frame), frame))
    rates = fraud_rate(result.train)
    assert nw.from_native(rates, eager_only=True)["frauds"].to_list() == (
        fraud_rate(expected.train)["frauds"].to_list()
    )
    evaluation = evaluate(result.test, score="p")
    assert evaluation.to_dict() == evaluate(expected.test, score="p").to_dict()
    features = in_order_of(engineer_features(result.test), "transaction_id")
    assert features["transaction_id"].to_list() == sorted(expected.test["transaction_id"])


# -- What it refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(payments((3, "a", False)), id="no training"),
        pytest.param(payments((0, "a", False)), id="no test"),
        pytest.param(payments((0, "a", None), (3, "a", False)), id="no label"),
        pytest.param(payments((0, "a", True), (3, "a", False)), id="all compromised"),
        pytest.param(PAYMENTS.with_columns(
            timestamp=pl.when(pl.col("id") > 2).then("timestamp")), id="missing times"),
        pytest.param(PAYMENTS.with_columns(is_fraud=pl.lit(2)), id="invalid labels"),
    ],
)  # fmt: skip
def test_the_errors_are_those_of_a_frame_in_memory(lazy, frame):
    with pytest.raises(ArgumentError) as expected:
        split(frame)
    with pytest.raises(ArgumentError, match=re.escape(str(expected.value))):
        split(lazy(frame))


def test_a_frame_without_rows_is_refused(lazy):
    with pytest.raises(ArgumentError, match=r"`df` must have rows to split; got none\."):
        split(lazy(PAYMENTS.clear()))


@pytest.mark.parametrize(
    ("options", "nearest"),
    [
        ({"timestamp": "time_stamp"}, "timestamp"),
        ({"label": "fraud"}, "is_fraud"),
        ({"entity": "customer"}, "customer_id"),
        ({"label_available_at": "label_available"}, "label_available_at"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_nearest(lazy, options, nearest):
    with pytest.raises(NotFoundError, match=f"Did you mean '{nearest}'"):
        split(lazy(PAYMENTS), **options)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"timestamp": pl.lit("2026")}, "'timestamp' must hold timestamps to be split by time; it "
         "is String. Convert the text to timestamps first"),
        ({"is_fraud": pl.lit("no")}, "'is_fraud' must be a label: true or false, 1 or 0; it is"),
        ({"label_available_at": pl.lit(1)}, "'label_available_at' must hold timestamps"),
    ],
)  # fmt: skip
def test_a_column_of_another_type_is_described_in_one_sentence(lazy, column, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        split(lazy(PAYMENTS.with_columns(**column)), label_available_at="label_available_at")


def test_periods_beyond_the_calendar_are_refused_as_in_memory(lazy):
    for start in ("9999-12-30", "0001-01-01"):
        with pytest.raises(ArgumentError, match="There are no rows in the training period"):
            split(lazy(PAYMENTS), start=start)


def test_times_of_a_type_that_is_not_known_are_not_taken_for_missing():
    relation = ENGINES["duckdb"](PAYMENTS.drop("label_available_at"))
    times = relation.project("*, uuid() AS label_available_at")
    with pytest.raises(
        ArgumentError, match=r"'label_available_at' must hold timestamps .* unknown"
    ):
        split(times, label_available_at="label_available_at")


def test_a_name_that_the_split_adds_itself_is_refused():
    with pytest.raises(ArgumentError, match=r"begin with '__split_' are used by time_split; got"):
        split(PAYMENTS.lazy().with_columns(__split_time=1))


def test_polars_expressions_that_cannot_be_computed_are_described_in_one_sentence():
    frame = PAYMENTS.lazy().with_columns(is_fraud=pl.col("customer_id").cast(pl.Int8))
    with pytest.raises(ArgumentError, match="polars cannot compute this LazyFrame"):
        split(frame)


def test_the_time_zone_of_an_engine_is_utc(spark):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Europe/Brussels'")
    with pytest.raises(
        ArgumentError, match=r"to be split by time; got 'Europe/Brussels'\. Run SET"
    ):
        split(connection.from_arrow(PAYMENTS.to_arrow()))
    spark.conf.set("spark.sql.session.timeZone", "Europe/Brussels")
    try:
        with pytest.raises(ArgumentError, match=r"got 'Europe/Brussels'\. Run spark\.conf\.set\("):
            split(to_spark(spark, PAYMENTS))
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
