"""The transactions of the Fraud Detection Handbook, for tests on real data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl

FOLDER = Path(os.environ.get("SYNFIN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = FOLDER / "handbook" / "transactions.parquet"


def generated(rows: int, *, days: int = 46, cards: int = 400, seed: int = 0) -> pl.DataFrame:
    """Rows as in the file: sorted by time but not by id, with ties and amounts of 0.00."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows) < 0.05
    amount = np.where(fraud, rng.uniform(150, 400, rows), rng.uniform(1, 220, rows)).round(2)
    amount[::500] = 0.0
    minutes = np.sort(rng.integers(0, days * 1440, rows))
    return pl.DataFrame(
        {
            "TRANSACTION_ID": rng.permutation(rows).astype(np.int32),
            "TX_DATETIME": (np.datetime64("2018-07-01", "m") + minutes).astype("M8[us]"),
            "CUSTOMER_ID": rng.integers(0, cards, rows, dtype=np.int32),
            "TERMINAL_ID": rng.integers(0, 300, rows, dtype=np.int32),
            "TX_AMOUNT": amount,
            "TX_FRAUD": fraud.astype(np.int8),
            "TX_FRAUD_SCENARIO": fraud.astype(np.int8),
        },
    )


def as_loaded(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of the file with the columns of the table."""
    return raw.filter(pl.col("TX_AMOUNT") > 0).select(
        transaction_id=pl.col("TRANSACTION_ID").cast(pl.String),
        customer_id=pl.col("CUSTOMER_ID").cast(pl.String),
        merchant_id=pl.col("TERMINAL_ID").cast(pl.String),
        amount=pl.col("TX_AMOUNT").round(2),  # 1,214 of them are products such as 85.64999999999999
        timestamp=pl.col("TX_DATETIME").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        is_fraud=pl.col("TX_FRAUD") == 1,
    )


def _rolled(column: str, by: str, days: int) -> pl.Expr:
    """Sum over (t - days, t] with polars, which includes all rows at t."""
    return pl.col(column).rolling_sum_by("timestamp", f"{days}d", closed="right").over(by)


def by_rolling_sums(rows: pl.DataFrame) -> pl.DataFrame:
    """The 14 features computed in another way: rolling sums, and differences of two of them."""
    rows = rows.with_columns(one=pl.lit(1, pl.Int64), fraud=pl.col("is_fraud").cast(pl.Int64))
    rows = rows.with_columns(cents=(pl.col("amount").cast(pl.Float64) * 100).round().cast(pl.Int64))
    later = {
        name: (pl.col(name).cum_sum(reverse=True) - pl.col(name)).over("customer_id", "timestamp")
        for name in ("one", "cents")
    }
    sums = {
        "weekend": pl.col("timestamp").dt.weekday() >= 6,
        "night": pl.col("timestamp").dt.hour() <= 6,
    }
    for days in (1, 7, 30):
        count, cents = (_rolled(name, "customer_id", days) - later[name] for name in later)
        sums[f"customer_count_{days}d"] = count
        sums[f"customer_mean_amount_{days}d"] = cents / count / 100
        count, fraud = (
            _rolled(name, "merchant_id", 7 + days) - _rolled(name, "merchant_id", 7)
            for name in ("one", "fraud")
        )
        sums[f"terminal_count_{days}d"] = count
        sums[f"terminal_risk_{days}d"] = fraud / pl.max_horizontal(count, 1)
    return rows.select(**sums)
