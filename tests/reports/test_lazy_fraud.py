"""A fraud report whose engine counts: the report of the same rows in memory, without the rows."""

from __future__ import annotations

import dataclasses
import datetime as dt

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import ENGINES, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st
from reported import transactions

from synfin_analytics import ArgumentError, fraud_report
from synfin_analytics.metrics.nowcast import FraudRateNowcast
from synfin_analytics.reports import _cells, _lazy_quantiles, fraud
from synfin_analytics.reports._lazy_quantiles import GROUP, VALUE, read_quantiles
from synfin_analytics.reports._lazy_rows import aggregate
from synfin_analytics.reports._results import FraudResults

ROLES = {
    "label": "is_fraud", "timestamp": "timestamp", "amount": "amount", "customer": "customer_id",
    "merchant": "merchant_id", "currency": "currency", "status": "status",
    "fraud_type": "fraud_type", "label_available_at": "label_available_at",
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Rows with NULLs, three currencies, statuses, a negative amount, and an early label."""
    frame = transactions()
    generator = np.random.default_rng(5)
    status = generator.choice(["completed", "declined", "refunded"], len(frame), p=[0.7, 0.2, 0.1])
    number = pl.int_range(pl.len())
    return frame.with_columns(
        pl.when(number % 17 == 0).then(None).otherwise(pl.Series(status)).alias("status"),
        pl.when(number % 5 == 0)
        .then(pl.lit("USD"))
        .when(number % 7 > 0)
        .then("currency")
        .alias("currency"),
        pl.when(number % 19 == 0).then(None).otherwise("amount").alias("amount"),
        pl.when(number % 23 == 0).then(None).otherwise("channel").alias("channel"),
        pl.when(number % 29 == 0).then(None).otherwise("merchant_id").alias("merchant_id"),
    ).with_columns(
        pl.when(number == 50).then(-3.5).otherwise("amount").alias("amount"),
        pl.when(number == 60)
        .then(pl.col("timestamp") - pl.duration(seconds=1))
        .otherwise("label_available_at")
        .alias("label_available_at"),
    )


@pytest.fixture
def counted(monkeypatch):
    """Fail if the columns of a frame are read into memory."""

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(fraud, "read_rows", refuse)
    return monkeypatch


def assert_same(report, expected):
    """Compare all numbers, sentences and their order."""
    for field in dataclasses.fields(FraudResults):
        assert_equal(getattr(report, field.name), getattr(expected, field.name))
    assert report.caveats == expected.caveats
    assert_equal(report.to_frame(), expected.to_frame())


def assert_equal(value, expected):
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(value, expected, rtol=1e-9)
    elif isinstance(expected, FraudRateNowcast):
        assert_equal(value.cohorts, expected.cohorts)
        assert (value.as_of, value.caveats) == (expected.as_of, expected.caveats)
    elif isinstance(expected, dict) and any(
        isinstance(item, pd.DataFrame) for item in expected.values()
    ):
        assert list(value) == list(expected)
        for name, item in expected.items():
            assert_equal(value[name], item)
    elif isinstance(expected, dict) and any(isinstance(item, float) for item in expected.values()):
        assert value == pytest.approx(expected, rel=1e-9, nan_ok=True)
    else:
        assert value == expected


def test_an_engine_counts_what_is_counted_in_memory(rows, to_lazy):
    expected = fraud_report(rows, **ROLES)
    assert len(expected.amounts) == 3
    assert len(expected.remarks) == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fraud, "read_rows", None)
        assert_same(fraud_report(to_lazy(rows), **ROLES), expected)


def test_an_engine_counts_what_was_known_in_a_period(rows, to_lazy):
    options = ROLES | {
        "start": "2026-03-05", "end": "2026-04-08", "as_of": "2026-04-01", "every": "3d",
        "by": ["merchant_category", ("channel", "status")], "bins": {"amount": [20, 50]},
    }  # fmt: skip
    expected = fraud_report(rows, **options)
    assert expected.knowledge.n_labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fraud, "read_rows", None)
        assert_same(fraud_report(to_lazy(rows), **options), expected)


def test_labels_of_other_words_are_counted(rows, to_lazy):
    words = pl.col("is_fraud").replace_strict({True: "yes", False: "no"}, default=None)
    frame = rows.with_columns(words.alias("is_fraud"))
    options = {"label": "is_fraud", "pos_label": "yes", "amount": "amount", "by": []}
    expected = fraud_report(frame, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fraud, "read_rows", None)
        assert_same(fraud_report(to_lazy(frame), **options), expected)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"is_fraud": 2}, {}, "These rows of the frame cannot be used"),
        ({"is_fraud": pl.int_range(pl.len()) % 2 + 1}, {}, "Say which one means fraud"),
        ({"is_fraud": "no"}, {"pos_label": "yes"}, "`pos_label` must be one of two labels"),
        ({"__x": "a"}, {"by": ["__x"]}, "must not begin with two underscores"),
        ({"amount": float("inf")}, {}, "must be a finite number"),
        ({}, {"start": "2030-01-01"}, "no rows to report on in this period"),
        ({}, {"as_of": "2020-01-01"}, "no rows to report on before `as_of`"),
        (
            {"who": pl.format("4111 1111 1111 {}", pl.int_range(pl.len()) % 50 + 1111)},
            {"by": ["who"]},
            "which would put single card holders into a report",
        ),
    ],
)
@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
def test_rows_are_refused_with_the_sentence_of_rows_in_memory(
    rows, engine, change, options, message
):
    constants = {
        name: value if isinstance(value, pl.Expr) else pl.lit(value)
        for name, value in change.items()
    }
    frame = rows.with_columns(**constants)
    with pytest.raises(ArgumentError, match=message) as expected:
        fraud_report(frame, **ROLES | options)
    with pytest.raises(ArgumentError) as raised:
        fraud_report(ENGINES[engine](frame), **ROLES | options)
    assert str(raised.value) == str(expected.value)


def test_a_frame_without_rows_is_refused(rows, to_lazy):
    with pytest.raises(ArgumentError, match="There are no rows to report on in the frame"):
        fraud_report(to_lazy(rows.head(0)), **ROLES)


@pytest.mark.parametrize("year", [1700, 9999])
def test_times_of_placeholders_are_left_out(rows, year):
    times = pl.when(pl.int_range(pl.len()) == 5).then(dt.datetime(year, 1, 1, tzinfo=dt.UTC))
    frame = rows.with_columns(timestamp=times.otherwise("timestamp"))
    assert_same(fraud_report(frame.lazy(), **ROLES), fraud_report(frame, **ROLES))


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
def test_labels_that_are_nan_are_missing(rows, engine):
    labels = pl.col("is_fraud").cast(pl.Float64).fill_null(float("nan"))
    frame = rows.with_columns(labels.alias("is_fraud"))
    expected = fraud_report(rows, **ROLES)
    assert expected.overall["labelled"].item() < len(rows)
    assert_same(fraud_report(frame, **ROLES), expected)
    assert_same(fraud_report(ENGINES[engine](frame), **ROLES), expected)


@pytest.mark.parametrize("name", [" channel", "channel\t", "channel\u3000"])
def test_names_may_begin_or_end_with_white_space(rows, to_lazy, name):
    frame = rows.rename({"channel": name})
    options = {"label": "is_fraud", "by": [name]}
    assert_same(fraud_report(to_lazy(frame), **options), fraud_report(frame, **options))


@pytest.mark.parametrize("engine", ["polars", "polars lazy", "duckdb"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_times_that_a_zone_moves_to_the_year_10000_are_refused(engine, zone):
    last = pl.Series(["9999-12-31 23:59"]).str.to_datetime().dt.replace_time_zone(zone)
    df = ENGINES[engine](pl.DataFrame({"is_fraud": [True], "timestamp": last}))
    timezone = None if zone else "America/New_York"
    with pytest.raises(ArgumentError, match="timestamp: is outside the years 1 to 9999"):
        fraud_report(df, label="is_fraud", timestamp="timestamp", timezone=timezone)


@pytest.mark.parametrize("cell", ["'infinity'::timestamp", "'20000-01-01'::timestamp"])
def test_times_that_python_lacks_are_refused(cell):
    relation = duckdb.connect().sql(f"SELECT true AS is_fraud, {cell} AS moment")
    with pytest.raises(ArgumentError, match="moment: is outside the years 1 to 9999") as raised:
        fraud_report(relation, label="is_fraud", timestamp="moment")
    with pytest.raises(ArgumentError) as expected:
        fraud_report(relation.to_arrow_table(), label="is_fraud", timestamp="moment")
    assert str(raised.value) == str(expected.value)
    assert "date_format" not in str(expected.value)


@pytest.mark.parametrize("engine", ["polars", "polars lazy"])
def test_a_column_may_be_named_count(rows, engine):
    frame = ENGINES[engine](rows.rename({"currency": "count"}))
    report = fraud_report(frame, label="is_fraud", amount="amount", currency="count", by=[])
    assert len(report.amounts) == 3
    labels = ENGINES[engine](pl.DataFrame({"count": [3, 3, 4]}))
    with pytest.raises(ArgumentError, match="such as pos_label=4"):
        fraud_report(labels, label="count")


@pytest.mark.parametrize("engine", ["polars", "polars lazy"])
def test_labels_are_no_groups_that_the_report_chooses(engine):
    frame = pl.DataFrame({"channel": [1, 0, None], "merchant_category": ["a", "b", "b"]})
    report = fraud_report(ENGINES[engine](frame), label="channel")
    assert list(report.rates) == ["merchant category"]


@pytest.mark.parametrize("engine", ["polars", "polars lazy"])
def test_names_of_ours_are_refused_before_cells_are_read(rows, engine):
    frame = ENGINES[engine](rows.with_columns(__x=pl.lit("a"), is_fraud=pl.lit(2)))
    with pytest.raises(ArgumentError, match="must not begin with two underscores; got '__x'"):
        fraud_report(frame, label="is_fraud", by=["__x"])


def test_texts_that_must_be_parsed_are_read_into_memory(rows, counted):
    frame = rows.with_columns(pl.format("{} EUR", "amount").alias("amount")).lazy()
    with pytest.raises(AssertionError):
        fraud_report(frame, **ROLES)


def test_an_error_describes_cells_of_one_column_only(rows, monkeypatch):
    names = []
    read = _cells._read_parts
    monkeypatch.setattr(
        _cells,
        "_read_parts",
        lambda df, columns, caller: names.append(columns) or read(df, columns, caller),
    )
    with pytest.raises(ArgumentError):
        fraud_report(rows.with_columns(is_fraud=2).lazy(), **ROLES)
    assert names == [["is_fraud"]]


@pytest.mark.parametrize("problem", [False, True])
def test_spark_keeps_no_rows_after_the_report(spark, rows, problem):
    spark.catalog.clearCache()
    frame = to_spark(spark, rows.with_columns(amount=float("inf")) if problem else rows)
    options = {"label": "is_fraud", "amount": "amount", "by": []}
    if problem:
        with pytest.raises(ArgumentError):
            fraud_report(frame, **options)
    else:
        fraud_report(frame, **options)
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == 0


# -- Small worlds ----------------------------------------------------------------------------------

TIMES = st.datetimes(*map(dt.datetime.fromisoformat, ("2026-01-01", "2026-03-01")))
WORLDS = st.lists(
    st.fixed_dictionaries(
        {
            "is_fraud": st.sampled_from([True, False, None]),
            "timestamp": TIMES,
            "amount": st.sampled_from([None, 1.0, 2.5, -1.0, 0.1]),
            "customer_id": st.sampled_from(["a", "b", "ü", None]),
            "merchant_id": st.sampled_from(["m", "n", None]),
            "currency": st.sampled_from(["EUR", "EUR", "USD", None]),
            "status": st.sampled_from(["completed", "declined", "refunded", None]),
            "fraud_type": st.sampled_from(["x", "y", None]),
            "label_available_at": st.none() | TIMES,
            "channel": st.sampled_from(["pos", "online", None]),
        }
    ),
    min_size=1,
    max_size=12,
)
SCHEMA = {
    name: pl.Datetime("us") if name in ("timestamp", "label_available_at") else dtype
    for name, dtype in {
        "is_fraud": pl.Boolean, "timestamp": None, "amount": pl.Float64, "customer_id": pl.String,
        "merchant_id": pl.String, "currency": pl.String, "status": pl.String,
        "fraud_type": pl.String, "label_available_at": None, "channel": pl.String,
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
@settings(max_examples=15)
@given(WORLDS, st.sampled_from([None, "2026-02-01"]))
def test_small_worlds_have_the_numbers_of_rows_in_memory(engine, world, as_of):
    frame = pl.DataFrame(world, schema=SCHEMA)
    options = ROLES | {"as_of": as_of}
    if as_of is not None and not (frame["timestamp"] < dt.datetime.fromisoformat(as_of)).any():
        with pytest.raises(ArgumentError, match="no rows to report on before"):
            fraud_report(ENGINES[engine](frame), **options)
    else:
        report = fraud_report(ENGINES[engine](frame), **options)
        assert_same(report, fraud_report(frame, **options))


# -- Quantiles -------------------------------------------------------------------------------------


def unchanged(frame):
    return frame


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb", "dask with arrow"])
@settings(max_examples=15)
@given(
    values=st.lists(
        st.tuples(st.integers(-2, 2), st.none() | st.integers(-(10**12), 10**12)), max_size=30
    ),
    shift=st.sampled_from([0, 10**15]),
)
def test_quantiles_are_those_of_numpy(engine, values, shift):
    frame = pl.DataFrame(values, schema={GROUP: pl.Int64, VALUE: pl.Int64}, orient="row")
    frame = frame.with_columns(pl.col(VALUE) + shift)
    shares = [0, 0.25, 0.5, 0.9, 1]
    df = ENGINES[engine](frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_lazy_quantiles, "_MAX_VALUES", 2)  # bins are divided
        quantiles = read_quantiles(
            lambda keys, select, **options: aggregate(df, keys, select, "test", **options),
            unchanged,
            shares,
        )
    expected = {
        group: np.quantile(part[VALUE].to_numpy(), shares).tolist()
        for (group,), part in frame.drop_nulls().group_by(GROUP)
    }
    assert {
        group: [quantile.interpolate() for quantile in found] for group, found in quantiles.items()
    } == expected
