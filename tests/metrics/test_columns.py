"""Columns as engines have them: zones, NaN, dictionaries, odd names; all give the same numbers."""

import datetime as dt
import functools
import math
from decimal import Decimal

import dask.dataframe as dd
import dateutil.tz
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from engines import ENGINES, as_polars
from polars.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import PrequentialSplit, evaluate, fraud_rate, time_split

HOURS = 24 * 12
#: A payment every hour, and in New York the days end at other payments.
UTC = pd.DataFrame(
    {
        "timestamp": pd.date_range("2026-03-01", periods=HOURS, freq="h", tz="UTC", unit="us"),
        "is_fraud": [n % 7 == 0 for n in range(HOURS)],
        "fraud_probability": [n % 11 / 10 for n in range(HOURS)],
        "customer_id": [f"C{n % 13}" for n in range(HOURS)],
        "amount": [10.0 + n for n in range(HOURS)],
    }
)
ZONES = [
    "America/New_York",
    "America/Argentina/Buenos_Aires",
    "Etc/GMT+5",
    "+05:30",
    dateutil.tz.tzoffset(None, 3600),
    dt.timezone(dt.timedelta(hours=-3, minutes=-30)),
]


def as_numpy(zone) -> pd.DataFrame:
    return UTC.assign(timestamp=UTC["timestamp"].dt.tz_convert(zone))


def as_arrow(zone) -> pd.DataFrame:
    of_zone = pd.ArrowDtype(pa.timestamp("us", str(zone)))
    in_utc = UTC["timestamp"].astype(pd.ArrowDtype(pa.timestamp("us", "UTC")))
    return UTC.assign(timestamp=in_utc.astype(of_zone))


def as_objects(zone) -> pd.DataFrame:
    return UTC.assign(timestamp=as_numpy(zone)["timestamp"].astype(object))


def in_zones() -> list:
    frames = [pytest.param(as_numpy(zone), id=f"pandas, {zone!r}") for zone in ZONES]
    for zone in ("America/New_York", "+05:30"):
        frames.append(pytest.param(as_arrow(zone), id=f"pandas with arrow, {zone}"))
        frames.append(pytest.param(as_objects(zone), id=f"pandas with objects, {zone}"))
        frames.append(pytest.param(pa.Table.from_pandas(as_numpy(zone)), id=f"pyarrow, {zone}"))
    new_york = as_numpy("America/New_York")
    return [
        *frames,
        pytest.param(pl.from_pandas(new_york), id="polars, New York"),
        pytest.param(dd.from_pandas(new_york, npartitions=3), id="dask, New York"),
    ]


@pytest.mark.parametrize("frame", in_zones())
def test_periods_are_those_of_utc_in_every_zone(frame):
    for every in ("90m", "1w"):
        result = as_polars(fraud_rate(frame, every=every, amount=None))
        assert_frame_equal(result, in_utc(every))


@functools.cache
def in_utc(every: str) -> pl.DataFrame:
    return as_polars(fraud_rate(UTC, every=every, amount=None))


@pytest.mark.parametrize("frame", in_zones())
def test_days_that_are_drawn_or_ranked_are_those_of_utc_in_every_zone(frame):
    result, expected = evaluate(frame), evaluate(UTC)
    for metric, options in (("recall", {}), ("card_precision_at_k", {"k": 3})):
        drawn = result.bootstrap(metric, "timestamp", n_resamples=30, **options).distribution
        days = expected.bootstrap(metric, "timestamp", n_resamples=30, **options).distribution
        np.testing.assert_array_equal(drawn, days)
    assert repr(result.precision_at_k(3)) == repr(expected.precision_at_k(3))


@pytest.mark.parametrize("frame", [case for case in in_zones() if "dask" not in str(case.id)])
def test_splits_by_time_are_those_of_utc_in_every_zone(frame):
    periods = {"train": "3d", "label_delay": "1d", "test": "2d"}
    assert repr(time_split(frame, **periods)) == repr(time_split(UTC, **periods))
    splitter = PrequentialSplit(3, train="3d", delay="1d", test="2d")
    folds, expected = (splitter.folds(rows) for rows in (frame, UTC))
    assert [repr(fold) for fold in folds] == [repr(fold) for fold in expected]


def table(**columns) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({"amount": [10.0] * rows, "is_fraud": [False] * rows} | columns)


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_in_a_group_column_is_null(engine):
    if engine.endswith("with objects"):
        pytest.skip("a column of objects has no NaN beside None")
    frame = ENGINES[engine](table(hour=[1.0, math.nan, None, math.nan]))
    result = as_polars(fraud_rate(frame, by="hour"))
    assert result.select("hour", "transactions").rows() == [(1.0, 1), (None, 3)]


@pytest.mark.parametrize("engine", ["polars", "duckdb", "dask with numpy", "pandas with arrow"])
def test_names_of_columns_may_look_like_expressions(engine):
    frame = table(amount=[1.0, 2.0]).rename({"amount": "the.amount", "is_fraud": "is.fraud"})
    frame = frame.with_columns(
        pl.Series("at.time", [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 2),
        pl.Series("shop.city", ["Gent", "Lier"]),
        pl.Series("shop_city", ["no", "no"]),
        pl.Series('a "quoted" `name`', [1, 1]),
        pl.Series("score.of", [0.2, 0.7]),
    )
    native = ENGINES[engine](frame)

    result = as_polars(
        fraud_rate(
            native,
            ["shop.city", 'a "quoted" `name`'],
            every="1d",
            bins={"score.of": [0.5]},
            timestamp="at.time",
            amount="the.amount",
            label="is.fraud",
            cluster="shop_city",
        )
    )
    grouped = evaluate(native, "is.fraud", "score.of", by="shop.city", amount="the.amount")

    names = ["shop.city", 'a "quoted" `name`', "score.of_from", "score.of_to", "at.time"]
    assert result.columns[:5] == names
    assert result["shop.city"].to_list() == ["Gent", "Lier"]
    assert result["amount"].to_list() == [1.0, 2.0]
    assert [key for key, _ in grouped.groups] == [("Gent",), ("Lier",)]


TYPES = {
    "string view": pa.string_view(),
    "large string": pa.large_string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "dictionary of views": pa.dictionary(pa.int8(), pa.large_string()),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("library", ["pyarrow", "pandas"])
def test_texts_of_any_arrow_type_are_groups_and_clusters(kind, library):
    names = pa.chunked_array([["pos", None], ["atm", "pos"]], pa.string()).cast(pa.large_string())
    pieces = [
        chunk.cast(TYPES[kind])
        if "dict" not in kind
        else chunk.dictionary_encode().cast(TYPES[kind])
        for chunk in names.chunks
    ]
    native = pa.table(
        {
            "channel": pa.chunked_array(pieces),
            "customer_id": pa.chunked_array(pieces),
            "amount": [1.0] * 4,
            "is_fraud": [True, False, False, True],
        }
    )
    if library == "pandas":
        native = native.to_pandas(types_mapper=pd.ArrowDtype)

    result = as_polars(fraud_rate(native, by="channel"))
    counts = as_polars(fraud_rate(native))

    assert result.select("channel", "frauds").rows() == [("atm", 0), ("pos", 2), (None, 0)]
    assert counts["fraud_clusters"].to_list() == [1]


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["pos", "atm"])])
@pytest.mark.parametrize(
    "engine",
    [
        "polars",
        "polars lazy",
        "pyarrow",
        "pandas with numpy",
        "pandas with arrow",
        "duckdb",
        "dask with arrow",
    ],
)
def test_categories_are_groups(engine, dtype):
    frame = table(channel=["pos", "atm", "pos"]).with_columns(pl.col("channel").cast(dtype))
    result = as_polars(fraud_rate(ENGINES[engine](frame), by="channel"))
    counted = dict(result.select(pl.col("channel").cast(pl.String), "transactions").rows())
    assert counted == {"atm": 1, "pos": 2}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_infinite_amount_is_refused_and_a_missing_one_counts_as_nothing(engine):
    frame = table(amount=[1.0, None, -math.inf, 2.0], is_fraud=[True, True, None, False])
    if not engine.endswith("with objects"):
        with pytest.raises(ArgumentError, match=r"must be a finite number.*; in 1 row it is"):
            fraud_rate(ENGINES[engine](frame))
    result = as_polars(fraud_rate(ENGINES[engine](frame.filter(pl.col("is_fraud").is_not_null()))))
    assert result.select("labelled", "frauds", "amount", "fraud_amount").rows() == [(3, 2, 3, 1)]


def test_amounts_whose_sum_is_infinite_are_refused():
    with pytest.raises(ArgumentError, match="'amount' must have a finite sum"):
        fraud_rate(table(amount=[1.7e308, 1.7e308]))


def test_amounts_of_three_decimals_and_numbers_of_numpy_are_taken():
    frame = table(amount=[Decimal("1.234"), Decimal("20.001")])
    result = fraud_rate(frame, bins={"amount": [np.int64(2), np.float32(30)]})
    assert result.select("amount_to", "amount").rows() == [(2, 1.234), (30, 20.001)]


@pytest.mark.parametrize("engine", ENGINES)
def test_integers_that_no_double_equals_are_rounded(engine):
    """2**53 + 1 lies between two doubles; Arrow would refuse to cast it."""
    df = ENGINES[engine](table(amount=[2**53 + 1, 2], is_fraud=[1, 0], p=[0.9, 0.2]))
    assert as_polars(fraud_rate(df))["amount"].item() == 2**53 + 2
    assert evaluate(df, score="p", amount="amount").counts.amount.tolist() == [2**53, 2]
