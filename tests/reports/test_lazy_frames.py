"""Reports from lazy frames: the numbers of a frame in memory, from the columns that they need."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import polars as pl
import pytest
from engines import ENGINES, to_spark
from hypothesis import given
from hypothesis import strategies as st
from reported import predictions, transactions

from synfin_analytics import (
    ArgumentError,
    NotFoundError,
    fraud_report,
    model_report,
    rules_report,
)
from synfin_analytics.reports import _cells
from synfin_analytics.reports._codes import TextCodes

ROLES = {"timestamp": "timestamp", "customer": "customer_id", "amount": "amount"}
REPORTS = {
    "fraud": lambda df: fraud_report(df, label="is_fraud", merchant="merchant_id", **ROLES),
    "model": lambda df: model_report(df, label="is_fraud", score="p", n_resamples=2, **ROLES),
    "rules": lambda df: rules_report(df, {"large": "amount > 100", "online": "channel = 'online'"}),
}


@pytest.fixture(scope="module")
def rows():
    scores = predictions(transactions(), "m", 1, 0.3)["fraud_probability"]
    return transactions().with_columns(p=scores)


@pytest.fixture(scope="module")
def in_memory(rows):
    return {name: create(rows) for name, create in REPORTS.items()}


def unread(df):
    """Add a column that no report needs, and that cannot be computed."""
    if isinstance(df, pl.LazyFrame):
        return df.with_columns(pl.col("amount").cast(pl.String).str.to_date("%Y").alias("unread"))
    if hasattr(df, "toArrow"):
        # Spark computes all columns of rows that it was given, but not those of partitions.
        return df.repartition(2).selectExpr("*", "CAST(channel AS INT) AS unread")
    if hasattr(df, "project"):
        return df.project("*, error('read') AS unread")
    return df.assign(unread=df["amount"].map_partitions(refuse, meta=("unread", "float64")))


def refuse(_):
    raise AssertionError


@pytest.fixture(params=["polars lazy", "duckdb", "dask with arrow", "spark"])
def lazy(request, rows, monkeypatch):
    """A lazy frame of an engine, which is read in several parts."""
    monkeypatch.setattr(_cells, "_PART_ROWS", len(rows) // 3)
    if request.param == "spark":
        return to_spark(request.getfixturevalue("spark"), rows)
    return ENGINES[request.param](rows)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_a_lazy_frame_has_the_numbers_of_the_frame_in_memory(lazy, in_memory, name):
    df = lazy if name == "rules" else unread(lazy)  # rules are evaluated by the engine
    report, expected = REPORTS[name](df), in_memory[name]
    for attribute, value in vars(expected).items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(getattr(report, attribute), value, check_dtype=False)
    assert numbers(report) == pytest.approx(numbers(expected), rel=1e-12)


def numbers(report):
    """Every number of a report by its place, apart from when and how it was made."""
    found = {}

    def add(place, value):
        if isinstance(value, dict):
            for key, item in value.items():
                add(f"{place}.{key}", item)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                add(f"{place}[{position}]", item)
        elif isinstance(value, int | float):
            found[place] = value

    values = report.to_dict()
    add("", json.loads(json.dumps({key: values[key] for key in values.keys() - MADE}, default=str)))
    assert found
    return found


MADE = {"provenance", "created_at"}


@pytest.mark.parametrize("name", ["fraud", "model"])
def test_a_missing_column_is_named_before_anything_is_computed(lazy, name):
    df = (
        lazy.rename(columns={"amount": "amuont"}) if hasattr(lazy, "npartitions") else renamed(lazy)
    )
    with pytest.raises(NotFoundError, match=r"There is no column 'amount'.+'amuont'"):
        REPORTS[name](df)


def renamed(df):
    if isinstance(df, pl.LazyFrame):
        return df.rename({"amount": "amuont"})
    if hasattr(df, "withColumnRenamed"):
        return df.withColumnRenamed("amount", "amuont")
    return df.project("* EXCLUDE amount, amount AS amuont")


# -- Reading in parts ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
def test_a_message_about_a_later_part_has_the_row_of_the_frame(rows, engine, monkeypatch):
    monkeypatch.setattr(_cells, "_PART_ROWS", 100)
    amounts = rows["amount"].cast(pl.String).to_list()
    amounts[250] = "?"
    df = ENGINES[engine](rows.with_columns(amount=pl.Series(amounts)))
    with pytest.raises(ArgumentError, match=r"(?s)rows count from 0.+\b250\b"):
        REPORTS["fraud"](df)


def test_spark_with_workers_without_pyarrow_is_read_at_once(
    spark, rows, in_memory, without_pyarrow
):
    # Texts of amounts are read into memory.
    report = REPORTS["fraud"](to_spark(spark, rows.with_columns(pl.col("amount").cast(pl.String))))
    assert numbers(report) == pytest.approx(numbers(in_memory["fraud"]), rel=1e-12)


@pytest.mark.parametrize("name", ["fraud", "model"])
def test_an_error_of_spark_is_a_sentence_without_values(spark, rows, name):
    df = to_spark(spark, rows).selectExpr(
        "* EXCEPT (amount)", "CAST(concat('4111x', amount) AS DOUBLE) AS amount"
    )
    with pytest.raises(ArgumentError, match=r"^Spark cannot compute this DataFrame: CAST_INVALID"):
        REPORTS[name](df)


def test_spark_with_a_session_in_another_time_zone_has_the_same_numbers(spark, rows, in_memory):
    df = to_spark(spark, rows)
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    try:
        report = REPORTS["fraud"](df)
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert numbers(report) == pytest.approx(numbers(in_memory["fraud"]), rel=1e-12)


READ = """
import resource, sys
import duckdb
from synfin_analytics.reports import _reading, _rows
roles = _rows.Roles("fraud", customer="customer", merchant="merchant", amount="amount")
rows = duckdb.sql(
    "SELECT md5((i % 1000)::VARCHAR) AS customer, md5((i % 100)::VARCHAR) AS merchant, "
    f"i / 7 AS amount, i % 100 = 0 AS fraud FROM range({sys.argv[1]}) AS numbers(i)"
)
assert len(_reading.read_rows(rows, roles, by=[], caller="fraud_report").frame) == int(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_grows_by_few_bytes_for_each_row_whatever_the_length_of_identifiers():
    sizes = 500_000, 1_500_000
    peaks = [
        int(subprocess.run([sys.executable, "-c", READ, str(size)], check=True,
                           capture_output=True, text=True).stdout.split()[-1])
        for size in sizes
    ]  # fmt: skip
    assert (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]) < 100  # two identifiers alone have 64


texts = st.lists(st.lists(st.none() | st.text(max_size=3), max_size=8), max_size=4)


@given(texts)
def test_codes_stand_for_texts_in_their_order(parts):
    codes = TextCodes()
    series = [pl.Series("id", part, dtype=pl.String) for part in parts]
    encoded = codes.finish([codes.encode(part) for part in series])
    expected = pl.concat([pl.Series("id", [], dtype=pl.String), *series])
    assert codes.texts.gather(encoded).to_list() == expected.to_list()
    assert codes.texts.to_list() == sorted(expected.drop_nulls().unique())
