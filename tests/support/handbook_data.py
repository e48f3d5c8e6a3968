"""Where the transactions of the Fraud Detection Handbook are, for tests on real input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl

FOLDER = Path(os.environ.get("SYNFIN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = FOLDER / "handbook" / "transactions.parquet"


def generated(rows: int, *, days: int = 46, cards: int = 400, seed: int = 0) -> pl.DataFrame:
    """Rows as the file has them: in order of time, ids in another, ties, amounts of 0.00."""
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
