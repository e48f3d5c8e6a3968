"""Transactions whose labels became known later, for tests of label maturity."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

MONDAY = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
SCHEMA = {
    "timestamp": pl.Datetime("us", "UTC"),
    "label_available_at": pl.Datetime("us", "UTC"),
    "is_fraud": pl.Boolean,
    "amount": pl.Decimal(12, 2),
    "channel": pl.String,
}
#: Times on the edges of weeks and months, and between them.
TIMES = st.builds(
    lambda days, edge: MONDAY + dt.timedelta(days=days, microseconds=edge),
    st.integers(0, 60),
    st.sampled_from([-1, 0, 0, 1, 40_000_000_000]),
)
ROWS = st.fixed_dictionaries(
    {
        "timestamp": TIMES,
        "delay": st.none() | st.sampled_from([0, 1, 6, 7, 20, 90]).map(dt.timedelta),
        "is_fraud": st.sampled_from([True, True, False, None]),
        "amount": st.sampled_from([None, Decimal(1), Decimal("2.5")]),
        "channel": st.sampled_from(["pos", "online", None]),
    }
)


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Transactions, of which at least one label has a time."""
    rows = [*rows, row(0, delay=0, is_fraud=False)]
    return pl.DataFrame(
        [
            {**row, "label_available_at": row["delay"] and row["timestamp"] + row["delay"]}
            if row["delay"] != dt.timedelta(0)
            else {**row, "label_available_at": row["timestamp"]}
            for row in rows
        ],
        schema=SCHEMA,
    )


def row(day: float, *, delay: float | None, is_fraud: bool | None = True) -> dict[str, Any]:
    return {
        "timestamp": MONDAY + dt.timedelta(days=day),
        "delay": None if delay is None else dt.timedelta(days=delay),
        "is_fraud": is_fraud,
        "amount": Decimal(10),
        "channel": "pos",
    }
