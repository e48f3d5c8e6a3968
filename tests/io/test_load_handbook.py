"""The card transactions of the Fraud Detection Handbook: real input, by the main way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from handbook_data import FILE
from polars.testing import assert_frame_equal

from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

if TYPE_CHECKING:
    from synfin_analytics.database.manager import DatabaseManager

pytestmark = pytest.mark.skipif(
    not FILE.exists(),
    reason=f"the handbook's data are not at {FILE} (set SYNFIN_SHARED_DATA to their folder)",
)

COLUMNS = {
    "TRANSACTION_ID": "transaction_id",
    "TX_DATETIME": "timestamp",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "merchant_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
    "TX_FRAUD_SCENARIO": None,
}


def _as_loaded(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.filter(pl.col("TX_AMOUNT") > 0).select(
        transaction_id=pl.col("TRANSACTION_ID").cast(pl.String),
        customer_id=pl.col("CUSTOMER_ID").cast(pl.String),
        merchant_id=pl.col("TERMINAL_ID").cast(pl.String),
        amount=pl.col("TX_AMOUNT").round(2),  # 1,214 of them are products such as 85.64999999999999
        timestamp=pl.col("TX_DATETIME").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        is_fraud=pl.col("TX_FRAUD") == 1,
    )


def _count(table: str) -> int:
    return int(read_df(f"SELECT count(*) AS n FROM {table}")["n"][0])


@pytest.mark.parametrize("rows", [40_000, None], ids=["slice", "whole"])
@pytest.mark.timeout(600)
def test_every_value_comes_back_and_the_zero_amounts_are_rejected(
    rows: int | None, manager: DatabaseManager
) -> None:
    raw = pl.read_parquet(FILE, n_rows=rows)
    zero = raw.with_row_index("row").filter(pl.col("TX_AMOUNT") == 0)["row"].to_list()
    report = load_df(
        raw.lazy() if rows else FILE,
        "transactions",
        columns=COLUMNS,
        on_missing_parent="create",
        on_invalid="reject",
    )
    assert report.rejected["row"].to_list() == zero
    assert set(report.rejected["reason"]) <= {"must be above 0"}
    if rows is None:
        assert (report.inserted, report.rejected_rows) == (1_754_113, 42)
        assert (_count("customers"), _count("merchants")) == (4_990, 10_000)
        assert _count("transactions WHERE is_fraud") == 14_681
    want = _as_loaded(raw).sort("transaction_id")
    got = read_df(
        "SELECT transaction_id, customer_id, merchant_id, amount, timestamp, is_fraud "
        "FROM transactions",
        output="polars",
    ).sort("transaction_id")
    assert_frame_equal(got, want)
