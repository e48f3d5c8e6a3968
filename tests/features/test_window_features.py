"""Windows of one's own, and the handbook's: equal to another computation."""

from __future__ import annotations

import datetime as dt
import re

import pandas as pd
import polars as pl
import pytest
from engines import engines_for
from handbook_data import by_rolling_sums
from polars.testing import assert_frame_equal

from synfin_analytics import (
    ArgumentError,
    NotFoundError,
    engineer_features,
    handbook_features,
    simulate,
    window_features,
)

START = dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)


def payments():
    return simulate(customers=20, merchants=8, days=40, seed=7, output="polars").transactions


def test_the_handbooks_features_are_those_of_rolling_sums():
    rows = payments().sort("timestamp")
    assert_frame_equal(handbook_features(rows), by_rolling_sums(rows), abs_tol=1e-12)


def test_where_definitions_agree_the_69_are_equal_to_the_handbooks():
    rows = payments().sort("timestamp", "transaction_id").drop("label_available_at")
    features, of_handbook = engineer_features(rows), handbook_features(rows)
    equal_columns = {
        "tx_velocity_24h": "customer_count_1d",
        "tx_velocity_7d": "customer_count_7d",
        "tx_velocity_30d": "customer_count_30d",
        "avg_amount_24h": "customer_mean_amount_1d",
        "avg_amount_7d": "customer_mean_amount_7d",
        "avg_amount_30d": "customer_mean_amount_30d",
        "merchant_fraud_rate_1d": "terminal_risk_1d",
        "merchant_fraud_rate_7d": "terminal_risk_7d",
        "merchant_fraud_rate_30d": "terminal_risk_30d",
        "is_weekend": "weekend",
    }
    computed = features.select(
        pl.col(name).alias(handbook) for name, handbook in equal_columns.items()
    )
    expected = of_handbook.select(equal_columns.values())
    assert_frame_equal(computed.fill_null(0), expected, check_dtypes=False)


@pytest.mark.parametrize("call", [window_features, handbook_features])
def test_every_kind_of_frame_gives_the_same(call):
    rows = payments().sample(fraction=1, shuffle=True, seed=1)
    expected = call(rows)
    for name, frame in engines_for(rows).items():
        computed = call(frame)
        if name.startswith("dask"):  # rows in no order, with the columns of the frame
            continue
        if isinstance(computed, pd.DataFrame):
            computed = pl.from_pandas(computed).fill_nan(None)
        assert_frame_equal(pl.DataFrame(computed), expected, check_exact=True), name


@pytest.mark.parametrize("call", [window_features, handbook_features, engineer_features])
def test_integers_are_the_same_keys_as_their_texts(call):
    keys = ("transaction_id", "customer_id", "merchant_id")
    rows = payments().with_columns(pl.col(keys).cast(pl.Categorical).to_physical().cast(pl.Int32))
    rows = rows.with_columns(pl.col("transaction_id") - 100, pl.col("timestamp").dt.truncate("1d"))
    texts = rows.with_columns(pl.col(keys).cast(pl.String))
    computed = call(rows).with_columns(pl.col("^transaction_id$").cast(pl.String))
    assert_frame_equal(computed, call(texts), check_exact=True)


@pytest.mark.parametrize("call", [window_features, handbook_features, engineer_features])
def test_a_missing_integer_is_a_missing_key(call):
    rows = payments().with_columns(customer_id=pl.int_range(pl.len()))
    rows = rows.with_columns(pl.when(pl.int_range(pl.len()) != 5).then("customer_id"))
    with pytest.raises(ArgumentError, match="customer_id: is required but missing: 1 row: 5"):
        call(rows)


def four(**columns):
    """Payments of one customer: two of one moment, one an hour later, one of no card."""
    rows = {
        "customer_id": ["a", "a", "a", "b"],
        "card_id": ["x", "x", "x", None],
        "timestamp": [START, START, START + dt.timedelta(hours=1), START],
        "amount": [1.25, 2.5, 5.0, 9.0],
        "is_fraud": [True, None, False, True],
    }
    return pl.DataFrame(rows | columns)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, [1, 2, 1, 1]),
        ({"include_current": False}, [0, 1, 0, 0]),
        ({"closed": "both"}, [1, 2, 3, 1]),
        ({"closed": "left"}, [0, 0, 2, 0]),
        ({"closed": "neither"}, [0, 0, 0, 0]),
        ({"lag": "1h"}, [0, 0, 2, 0]),
    ],
)
def test_a_window_has_the_ends_that_are_requested(options, counts):
    assert window_features(four(), windows=["1h"], **options)["count_1h"].to_list() == counts


def test_one_window_needs_no_list():
    assert window_features(four(), windows="1h").equals(window_features(four(), windows=["1h"]))


def test_a_share_is_of_the_labelled_rows():
    computed = window_features(four(), value="is_fraud", windows=["1d"])
    assert computed.rows() == [(1, 1.0), (2, 1.0), (3, 0.5), (1, 1.0)]


def test_where_there_is_no_key_nothing_is_known():
    computed = window_features(four(), by="card_id", windows=["1d"])
    assert computed.rows() == [(1, 1.25), (2, 1.875), (3, 8.75 / 3), (None, None)]


def test_without_a_terminal_its_features_are_missing():
    computed = handbook_features(four(is_fraud=False), terminal="card_id")
    assert computed["terminal_count_7d"].to_list() == [0, 0, 0, None]
    assert computed["terminal_risk_7d"].to_list() == [0, 0, 0, None]


def test_any_column_may_group_the_rows():
    rows = four(shop=["x", "y", "x", None])
    assert window_features(rows, by="shop", windows="1d")["count_1d"].to_list() == [1, 1, 2, None]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"windows": ["-1d"]}, ArgumentError, "`windows` must be a whole number"),
        ({"windows": 7}, ArgumentError, "`windows` must be a whole number"),
        ({"by": ["1d"]}, ArgumentError, "`by` must be a column name (a string); got ['1d']"),
        ({"value": 1}, ArgumentError, "`value` must be a column name (a string); got 1"),
        (
            {"lag": "-1d"},
            ArgumentError,
            "`lag` must be a duration of at least 0, such as '7d'; got '-1d'.",
        ),
        ({"by": "card"}, NotFoundError, "no column 'card' in the transactions. Did you mean 'car"),
        (
            {"value": "latitude"},
            ArgumentError,
            "which add up exactly; got 'latitude'",
        ),
    ],
)
def test_what_is_no_window_is_refused(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        window_features(four(latitude=0.5), **options)


def test_a_row_without_a_moment_is_reported():
    with pytest.raises(ArgumentError, match="timestamp: is required but missing: 1 row: 3"):
        window_features(four(timestamp=[START, START, START, None]))
