"""Reports from lazy frames: the numbers of a frame in memory, from the columns that they need."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest
from engines import ENGINES, to_spark
from reported import predictions, transactions

from synfin_analytics import NotFoundError, fraud_report, model_report, rules_report

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
def lazy(request, rows):
    """A lazy frame of an engine."""
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
