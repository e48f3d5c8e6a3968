"""Spark gives the numbers of every other engine. It needs Java, and some seconds to start."""

import datetime as dt
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import GROUPS, QUICK, ROWS, SCHEMA, as_polars, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import (
    evaluate,
    fraud_rate,
    label_maturity,
    measure_drift,
    nowcast_fraud_rate,
)


@settings(max_examples=8, phases=QUICK)
@given(st.lists(ROWS, max_size=25), GROUPS)
def test_fraud_rates_are_the_same(spark, rows, groups):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    result = fraud_rate(to_spark(spark, frame), **groups)
    assert isinstance(result, pd.DataFrame)
    expected = fraud_rate(frame, **groups)
    assert_frame_equal(as_polars(result), expected, check_dtypes=False, rel_tol=1e-9)


def test_names_of_columns_may_have_dots(spark):
    frame = pl.DataFrame(
        {"shop.city": ["Gent", "Lier"], "is.fraud": [True, False], "amount": [1.0, 2.0]}
    )
    native = to_spark(spark, frame)
    result = as_polars(fraud_rate(native, by="shop.city", label="is.fraud"))
    assert result.select("shop.city", "frauds").rows() == [("Gent", 1), ("Lier", 0)]


SCORED = {
    "p": pl.Float64,
    "is_fraud": pl.Boolean,
    "amount": pl.Float64,
    "channel": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "customer_id": pl.Int64,
}
scored = st.fixed_dictionaries(
    {
        "p": st.sampled_from([0.0, 0.2, 0.2, 0.7, 1.0]),
        "is_fraud": st.sampled_from([True, False, False, None]),
        "amount": st.sampled_from([1.0, 20.5, None]),
        "channel": st.sampled_from(["pos", "online", None]),
        "timestamp": st.sampled_from([dt.datetime(2026, 1, n, 12, tzinfo=dt.UTC) for n in (1, 2)]),
        "customer_id": st.integers(1, 4),
    }
)


@settings(max_examples=6, phases=QUICK)
@given(st.lists(scored, max_size=25))
def test_evaluations_are_the_same(spark, rows):
    frame = pl.DataFrame(rows, schema=SCORED)
    result, expected = (
        evaluate(native, score="p", amount="amount") for native in (to_spark(spark, frame), frame)
    )
    for array in ("score", "transactions", "frauds", "amount", "fraud_amount"):
        assert np.array_equal(getattr(result.counts, array), getattr(expected.counts, array)), array
    assert result.n_unlabelled == expected.n_unlabelled
    pd.testing.assert_frame_equal(
        result.card_precision_at_k(1).daily, expected.card_precision_at_k(1).daily
    )


@settings(max_examples=6, phases=QUICK)
@given(st.lists(scored, max_size=25))
def test_what_was_known_on_a_day_is_the_same(spark, rows):
    times = pl.col("timestamp") + pl.duration(hours=pl.int_range(pl.len()))
    frame = pl.DataFrame(rows, schema=SCORED).with_columns(label_available_at=times)
    as_of = dt.datetime(2026, 1, 1, 20, tzinfo=dt.UTC)
    result, expected = (
        fraud_rate(native, by="channel", as_of=as_of) for native in (to_spark(spark, frame), frame)
    )
    assert_frame_equal(as_polars(result), expected, check_dtypes=False, rel_tol=1e-9)
    result, expected = (
        evaluate(native, score="p", as_of=as_of) for native in (to_spark(spark, frame), frame)
    )
    assert result.summary().equals(expected.summary())
    assert result.n_unlabelled == expected.n_unlabelled


def test_the_day_does_not_depend_on_the_time_zone_of_python(spark, monkeypatch):
    moments = [dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC) for hour in (11, 12)]
    frame = pl.DataFrame({"timestamp": moments, "label_available_at": moments, "is_fraud": True})
    naive = frame.with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None))
    noon = "2026-01-01T12:00"
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        for native in (to_spark(spark, frame), to_spark(spark, naive)):
            rates = fraud_rate(native, amount=None, as_of=noon)
            assert rates["transactions"].tolist() == [1]
            maturity = label_maturity(native, amount=None, as_of=noon)
            assert maturity.cohorts["transactions"].tolist() == [1]
            periods = {"reference": (None, noon), "current": (noon, None)}
            drift = measure_drift(native, "is_fraud", **periods)
            assert drift.columns[["n_reference", "n_current"]].values.tolist() == [[1, 1]]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_groups_of_an_evaluation_are_the_same(spark):
    frame = pl.DataFrame(
        {
            "p": [0.9, 0.4, 0.4, 0.1, 0.8],
            "is_fraud": [True, False, True, False, None],
            "channel": ["pos", "pos", None, None, "atm"],
        }
    )
    result, expected = (
        evaluate(native, score="p", by="channel") for native in (to_spark(spark, frame), frame)
    )
    pd.testing.assert_frame_equal(result.by_group, expected.by_group, check_dtype=False)


def test_what_spark_holds_is_checked_as_elsewhere(spark):
    frame = to_spark(spark, pl.DataFrame({"p": [0.5, 1.5], "is_fraud": [2, 1], "amount": [1, 2]}))
    with pytest.raises(NotFoundError, match="no column 'chanel' in the frame"):
        fraud_rate(frame, by="chanel")
    with pytest.raises(ArgumentError, match=r"'is_fraud' must be a label .*; 1 row holds"):
        fraud_rate(frame)
    with pytest.raises(ArgumentError, match="'amount' must be a label"):
        evaluate(frame, label="amount", score="p")


def test_integers_beside_nulls_stay_exact(spark):
    frame = pl.DataFrame({"merchant": [2**60 + 1, None], "is_fraud": [True, False]})
    result = fraud_rate(to_spark(spark, frame), by="merchant", amount=None)
    assert result["merchant"].tolist() == [2**60 + 1, pd.NA]


@pytest.mark.parametrize("zone", [dt.UTC, None])
def test_the_session_must_be_in_utc_for_periods(spark, zone):
    moments = pl.DataFrame(
        {"timestamp": [dt.datetime(2026, 1, 1, tzinfo=zone)], "is_fraud": [True]}
    )
    frame = to_spark(spark, moments)
    spark.conf.set("spark.sql.session.timeZone", "Europe/Brussels")
    try:
        with pytest.raises(ArgumentError, match=r"got 'Europe/Brussels'\. Run spark\.conf\.set\("):
            fraud_rate(frame, every="1d", amount=None)
        assert fraud_rate(frame, amount=None)["transactions"].tolist() == [1]
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def numbers(seed: int = 0, size: int = 60) -> pl.DataFrame:
    """Weighted transactions of two months, with gaps."""
    generator = np.random.default_rng(seed)
    days = generator.integers(59, size=size)
    start = dt.datetime(2026, 1, 1, 23, 59, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "timestamp": [start + dt.timedelta(days=int(day)) for day in days],
            "p": pl.Series(generator.random(size).round(1)).set(pl.Series(days % 7 == 0), None),
            "score": generator.random(size).round(1),
            "is_fraud": generator.random(size) < 0.4,
            "channel": generator.choice(["pos", "online", "atm"], size),
            "customer_id": generator.integers(8, size=size),
            "weight": generator.choice([1.0, 9.5], size),
        }
    )


def test_drift_is_the_same(spark):
    periods = {"reference": (None, "2026-02-01"), "current": ("2026-02-01", "2026-03-01")}
    result, expected = (
        measure_drift(native, ["p", "channel"], **periods)
        for native in (to_spark(spark, numbers()), numbers())
    )
    pd.testing.assert_frame_equal(result.columns, expected.columns)
    pd.testing.assert_frame_equal(result.bins, expected.bins, check_dtype=False)


def test_label_maturity_is_the_same(spark):
    generator = np.random.default_rng(0)
    rows = numbers().with_columns(
        pl.when(pl.Series(generator.random(60) < 0.9))
        .then(pl.col("timestamp") + pl.duration(hours=pl.Series(generator.integers(900, size=60))))
        .alias("label_available_at")
    )
    for options in ({}, {"by": "channel", "every": "1mo", "as_of": "2026-03-01"}):
        result, expected = (
            label_maturity(native, amount="weight", **options)
            for native in (to_spark(spark, rows), rows)
        )
        assert repr(result) == repr(expected)
        for name in ("curve", "cohorts"):
            frames = getattr(result, name), getattr(expected, name)
            pd.testing.assert_frame_equal(*frames, check_dtype=False)


def test_nowcasts_are_the_same(spark):
    times = numbers()["timestamp"].dt.offset_by("8d")
    rows = numbers().with_columns(label_available_at=times)
    result, expected = (
        nowcast_fraud_rate(native, amount="weight", n_resamples=100)
        for native in (to_spark(spark, rows), rows)
    )
    assert repr(result) == repr(expected)
    pd.testing.assert_frame_equal(result.to_frame(), expected.to_frame(), check_dtype=False)


@pytest.mark.parametrize("weight", ["weight", {False: 9.5, True: 1.0}])
def test_weights_and_gaps_between_groups_are_the_same(spark, weight):
    result, expected = (
        evaluate(native, score="score", weight=weight, by="channel")
        for native in (to_spark(spark, numbers()), numbers())
    )
    assert np.allclose(result.by_group["value"], expected.by_group["value"], equal_nan=True)
    gaps = [
        model.bootstrap("alert_rate", include_small=True, n_resamples=20).distribution
        for model in (result, expected)
    ]
    assert np.allclose(*gaps)
