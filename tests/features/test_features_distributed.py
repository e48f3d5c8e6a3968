"""Features on Spark and Dask: lazy frames of the engine, equal to those of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import cloudpickle
import dask.dataframe as dd
import polars as pl
import pytest
from engines import ENGINES, QUICK, a_third_of_engines, in_order_of, to_spark
from feature_rows import engineered, transactions, world
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pyspark.errors import PythonException

from synfin_analytics import (
    ArgumentError,
    NotFoundError,
    engineer_features,
    handbook_features,
    window_features,
)
from synfin_analytics._core.worker_functions import ship_to_spark


@pytest.fixture
def payments():
    """Payments, some of which lack a label or a place, with many of one moment."""
    rows = world().transactions
    return rows.with_columns(
        pl.col("timestamp").dt.truncate("6h"),
        is_fraud=pl.when(pl.int_range(pl.len()) % 7 > 0).then("is_fraud"),
        transaction_id="T" + pl.int_range(pl.len()).cast(pl.String),
    )


in_order_of_ids = partial(in_order_of, key="transaction_id")
to_dask = ENGINES["dask with arrow"]


def assert_same_features(frame, convert):
    expected = engineered(frame).sort("transaction_id")
    assert_frame_equal(in_order_of_ids(engineered(convert(frame))), expected, check_exact=True)


@a_third_of_engines
@settings(phases=QUICK, max_examples=8, deadline=None)
@given(frame=transactions().filter(len), dated=st.booleans())
def test_engines_agree_on_any_payments(engines, frame, dated):
    for name in engines:
        assert_same_features(frame if dated else frame.drop("label_available_at"), ENGINES[name])


def test_spark_agrees_on_any_payments(spark):
    @settings(phases=QUICK, max_examples=2, deadline=None)
    @given(frame=transactions().filter(lambda frame: len(frame) > 3))
    def check(frame):
        assert_same_features(frame, lambda frame: to_spark(spark, frame))

    check()


def test_all_features_are_those_of_one_machine(distribute, payments):
    people, shops, _ = world()
    features = engineer_features(distribute(payments), people, shops, n_buckets=3)
    expected = engineer_features(payments, people, shops).sort("transaction_id")
    assert_frame_equal(in_order_of_ids(features), expected, check_exact=True)


def test_customers_and_merchants_may_be_of_the_engine(distribute, payments):
    people, shops, _ = world()
    day = payments["timestamp"].max().date()
    features = engineer_features(
        distribute(payments), distribute(people), distribute(shops), start=day
    )
    expected = engineer_features(payments, people, shops, start=day).sort("transaction_id")
    assert 0 < len(expected) < len(payments)
    assert_frame_equal(in_order_of_ids(features), expected, check_exact=True)


def test_numbers_stay_numbers_as_ids(distribute, payments):
    payments = payments.with_columns(transaction_id=pl.int_range(pl.len()))
    features = engineer_features(distribute(payments), n_buckets=2)
    expected = engineer_features(payments).sort("transaction_id")
    assert_frame_equal(in_order_of_ids(features), expected, check_exact=True)


@pytest.mark.parametrize("dtype", ["object", "str", "int64[pyarrow]"])
@pytest.mark.parametrize(
    "call", [engineer_features, partial(window_features, windows="7d")], ids=["all", "windows"]
)
def test_a_key_is_the_same_in_partitions_of_dask_that_have_other_types(payments, dtype, call):
    people = payments["customer_id"].rank("dense").cast(pl.Int64)
    payments = payments.with_columns(pl.col("is_fraud").fill_null(value=False), customer_id=people)
    half = len(payments) // 2
    parts = [
        payments[:half].to_pandas().astype({"customer_id": dtype}),
        payments[half:].to_pandas(),
    ]
    features = call(dd.from_map(lambda number: parts[number], range(2)), n_buckets=3)
    expected = call(payments)
    if "transaction_id" not in expected:
        expected = payments.select("transaction_id").with_columns(expected)
    result = in_order_of_ids(features[expected.columns])
    assert_frame_equal(result, expected.sort("transaction_id"), check_exact=True)


@pytest.mark.parametrize("by", ["customer_id", "merchant_id", "card_id"])
def test_windows_are_appended_to_the_frame(distribute, payments, by):
    options = {"by": by, "value": "is_fraud", "windows": ["1d", "7d"], "lag": "1d"}
    windows = window_features(distribute(payments), **options, n_buckets=3)
    ordered = payments.sort("transaction_id")
    in_id_order = payments.sort(pl.col("transaction_id").str.slice(1).cast(int))
    expected = in_id_order.with_columns(window_features(in_id_order, **options))
    columns = ["transaction_id", *expected.columns[len(payments.columns) :]]
    result = in_order_of_ids(windows)
    assert result.columns[: len(payments.columns)] == payments.columns
    assert_frame_equal(
        result.select(columns), expected.select(columns).sort("transaction_id"), check_exact=True
    )
    assert result["amount"].cast(float).equals(ordered["amount"].cast(float))


def test_the_handbooks_features_are_appended_to_the_frame(distribute, payments):
    payments = payments.with_columns(pl.col("is_fraud").fill_null(value=False))
    features = in_order_of_ids(handbook_features(distribute(payments), n_buckets=3))
    in_id_order = payments.sort(pl.col("transaction_id").str.slice(1).cast(int))
    expected = in_id_order.with_columns(handbook_features(in_id_order)).sort("transaction_id")
    columns = expected.columns[len(payments.columns) :]
    assert_frame_equal(features.select(columns), expected.select(columns), check_column_order=False)


@pytest.mark.parametrize("call", [window_features, handbook_features])
def test_the_features_of_new_rows_are_those_of_all_rows(distribute, payments, call):
    payments = payments.with_columns(pl.col("is_fraud").fill_null(value=False))
    day = payments["timestamp"].max().date()
    new = in_order_of_ids(call(distribute(payments), start=day, n_buckets=3))
    in_id_order = payments.sort(pl.col("transaction_id").str.slice(1).cast(int))
    expected = in_id_order.filter(pl.col("timestamp") >= day)
    expected = expected.hstack(call(in_id_order, start=day)).sort("transaction_id")
    columns = ["transaction_id", *expected.columns[len(payments.columns) :]]
    assert 0 < len(expected) < len(payments)
    assert set(new.columns) == set(expected.columns)
    assert_frame_equal(new.select(columns), expected.select(columns), check_exact=True)


def test_columns_may_have_names_with_dots_and_backticks(distribute, payments):
    renamed = payments.rename({"card_id": "card.id", "device_id": "a`b"})
    windows = window_features(distribute(renamed), by="card.id", windows="7d", n_buckets=2)
    expected = window_features(distribute(payments), by="card_id", windows="7d", n_buckets=2)
    result, expected = in_order_of_ids(windows), in_order_of_ids(expected)
    assert result.columns[: len(renamed.columns)] == renamed.columns
    assert_frame_equal(result.rename({"card.id": "card_id", "a`b": "device_id"}), expected)


# -- What is refused ------------------------------------------------------------------------------


def test_a_type_that_arrow_lacks_is_named(spark):
    frame = spark.sql("SELECT 'C1' AS customer_id, now() AS timestamp, 1.5 AS amount")
    frame = frame.selectExpr("*", "make_interval(1) AS age")
    with pytest.raises(ArgumentError, match=r"'age' of the Spark DataFrame is interval.*Cast it"):
        window_features(frame)


@pytest.mark.parametrize("call", [engineer_features, window_features, handbook_features])
def test_a_missing_column_is_named_at_once(distribute, payments, call):
    frame = distribute(payments.rename({"timestamp": "timestmap"}))
    with pytest.raises(NotFoundError, match=r"There is no column 'timestamp'.*timestmap"):
        call(frame)


@pytest.mark.parametrize("table", ["customers", "merchants"])
def test_a_repeated_customer_or_merchant_is_named(distribute, payments, table):
    people, shops, _ = world()
    tables = {"customers": people, "merchants": shops}
    tables[table] = pl.concat([tables[table], tables[table]])
    key = f"{table.removesuffix('s')}_id"
    with pytest.raises(
        (ArgumentError, PythonException), match=rf"`{table}` must have one row for each {key}; "
    ):
        in_order_of_ids(
            engineer_features(
                distribute(payments), *(distribute(frame) for frame in tables.values())
            )
        )


@pytest.mark.parametrize("n_known", [0, 3])
def test_dask_reports_customers_that_do_not_exist(payments, n_known):
    customers = world().customers.head(n_known)
    with pytest.raises(ArgumentError, match="customer_id: is not in the table of customers"):
        engineer_features(to_dask(payments), customers).compute()


def test_windows_are_checked_at_once(distribute, payments):
    with pytest.raises(ArgumentError, match="`closed` must be one of"):
        window_features(distribute(payments), closed="open")
    with pytest.raises(ArgumentError, match="`n_buckets` must be a whole number of at least 1"):
        engineer_features(distribute(payments), n_buckets=0)


def test_an_output_folder_is_for_one_machine(distribute, payments, tmp_path):
    message = (
        "`output` is for transactions on one machine.*"
        r"`to_parquet\(folder, write_index=False\)` with Dask"
    )
    with pytest.raises(ArgumentError, match=message):
        engineer_features(distribute(payments), output=tmp_path / "features")


@pytest.mark.parametrize("call", [engineer_features, window_features, handbook_features])
def test_dask_reports_rows_that_cannot_be_used_when_it_computes(payments, call):
    features = call(to_dask(payments.with_columns(amount=pl.lit(-1.0))))
    reason = r"amount: must be from 0 to 1e\+10: [\d,]+ rows? of one group"
    with pytest.raises(ArgumentError, match=rf"^These transactions cannot be used:\n  {reason}$"):
        features.compute()


def test_spark_reports_rows_that_cannot_be_used_when_it_computes(spark, payments):
    features = engineer_features(to_spark(spark, payments.with_columns(amount=pl.lit(-1.0))))
    with pytest.raises(PythonException, match="These transactions cannot be used"):
        features.toArrow()


def test_the_time_zone_of_spark_is_utc(spark, payments):
    spark.conf.set("spark.sql.session.timeZone", "Europe/Brussels")
    try:
        with pytest.raises(ArgumentError, match="The engine's time zone must be UTC"):
            engineer_features(to_spark(spark, payments))
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_a_worker_without_the_package_says_what_to_do(tmp_path):
    function = tmp_path / "function"
    function.write_bytes(cloudpickle.dumps(ship_to_spark(engineer_features)))
    code = (
        f"import pickle, sys; sys.path.append({str(Path(cloudpickle.__file__).parents[1])!r})\n"
        "sys.modules['synfin_analytics'] = None\n"
        f"pickle.load(open({str(function)!r}, 'rb'))(None)"
    )
    result = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True)
    assert re.search(
        r"RuntimeError: The Python of a worker \(.+\) cannot import synfin_analytics: .+\. Install "
        "the package for it, or let the environment variable PYSPARK_PYTHON name",
        result.stderr,
    )
