"""A part of the transactions of the Fraud Detection Handbook: real input, by the main way in.

tests/benchmarks/test_handbook_file.py loads all of them.
"""

from __future__ import annotations

import polars as pl
import pytest
from handbook_data import FILE, as_loaded
from polars.testing import assert_frame_equal

from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

COLUMNS = {
    "TRANSACTION_ID": "transaction_id",
    "TX_DATETIME": "timestamp",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "merchant_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
    "TX_FRAUD_SCENARIO": None,
}


@pytest.mark.skipif(
    not FILE.exists(),
    reason=f"the handbook's data are not at {FILE} (set SYNFIN_SHARED_DATA to their folder)",
)
def test_every_value_of_a_lazy_frame_comes_back_and_the_zero_amounts_are_rejected(manager):
    raw = pl.read_parquet(FILE, n_rows=40_000)
    zero = raw.with_row_index("row").filter(pl.col("TX_AMOUNT") == 0)["row"].to_list()
    report = load_df(
        raw.lazy(),
        "transactions",
        columns=COLUMNS,
        on_missing_parent="create",
        on_invalid="reject",
    )
    assert report.rejected["row"].to_list() == zero
    assert set(report.rejected["reason"]) <= {"must be above 0"}
    stored = read_df(
        "SELECT transaction_id, customer_id, merchant_id, amount, timestamp, is_fraud "
        "FROM transactions",
        output="polars",
    ).sort("transaction_id")
    assert_frame_equal(stored, as_loaded(raw).sort("transaction_id"))
