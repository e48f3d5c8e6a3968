"""The whole file of the Fraud Detection Handbook, loaded once: values, features, figures."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from pathlib import Path

import polars as pl
import pytest
from handbook_data import FILE, as_loaded, by_rolling_sums
from polars.testing import assert_frame_equal

from synfin_analytics import handbook_features
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.read import read_df

pytestmark = [
    pytest.mark.skipif(
        not FILE.exists(),
        reason=f"the handbook's data are not at {FILE} (set SYNFIN_SHARED_DATA to their folder)",
    ),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def handbook():
    """The benchmark's script, which lies beside the modules that it uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield importlib.import_module("handbook")
    for name in ("handbook", "_place"):
        del sys.modules[name]


@pytest.fixture(scope="module")
def raw():
    return pl.read_parquet(FILE)


@pytest.fixture(scope="module")
def database(_module_database):
    manager = DatabaseManager(
        dataclasses.replace(DatabaseConfig.from_env(), database=_module_database)
    )
    yield manager
    manager.close()


@pytest.fixture(scope="module")
def report(handbook, database):
    """What the load of the file reported; the rows are in ``database``."""
    return handbook.store(FILE, database)


def count(database, table):
    return int(read_df(f"SELECT count(*) AS n FROM {table}", manager=database)["n"][0])


def test_every_value_comes_back_and_the_zero_amounts_are_rejected(raw, database, report):
    zero = raw.with_row_index("row").filter(pl.col("TX_AMOUNT") == 0)["row"].to_list()
    assert report.rejected["row"].to_list() == zero
    assert set(report.rejected["reason"]) <= {"must be above 0"}
    assert (report.inserted, report.rejected_rows) == (1_754_113, 42)
    assert (count(database, "customers"), count(database, "merchants")) == (4_990, 10_000)
    assert count(database, "transactions WHERE is_fraud") == 14_681
    stored = read_df(
        "SELECT transaction_id, customer_id, merchant_id, amount, timestamp, is_fraud "
        "FROM transactions",
        output="polars",
        manager=database,
    ).sort("transaction_id")
    assert_frame_equal(stored, as_loaded(raw).sort("transaction_id"))


def test_the_features_are_those_of_rolling_sums(raw):
    rows = raw.select(
        customer_id="CUSTOMER_ID",
        merchant_id="TERMINAL_ID",
        timestamp="TX_DATETIME",
        amount="TX_AMOUNT",
        is_fraud=pl.col("TX_FRAUD") == 1,
    )
    features = handbook_features(rows)
    assert len(features) == 1_754_155
    # The sums take six times as long: of an eighth of the customers, and of the terminals.
    for key, of_terminals in (("customer_id", False), ("merchant_id", True)):
        drawn = rows[key] % 8 == 0
        columns = [name for name in features.columns if name.startswith("terminal") == of_terminals]
        expected = by_rolling_sums(rows.filter(drawn)).select(columns)
        assert_frame_equal(features.filter(drawn).select(columns), expected, abs_tol=1e-12)


def test_the_published_sizes_and_figures(handbook, database, report):
    rows = handbook.add_features(handbook.read_back(FILE, report, database))
    sets = handbook.split(rows)
    assert handbook.sizes(sets) == ((67_240, 598), (58_264, 385))
    table = handbook.compare(sets)
    xgboost = importlib.util.find_spec("xgboost") is not None
    models = [name for name in handbook.PUBLISHED if name != "XGBoost" or xgboost]
    assert table["model"].unique(maintain_order=True).to_list() == models
    assert table.filter(~pl.col("within")).rows() == []
