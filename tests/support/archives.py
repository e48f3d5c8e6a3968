"""Transactions of three months with features and predictions, for the tests of archives."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
from sqlalchemy import text

from synfin_analytics.exceptions import SynfinError
from synfin_analytics.io import load_df, read_df

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from synfin_analytics.database.manager import DatabaseManager

MONTHS = ["2025-01", "2025-02", "2025-03"]
TABLES = ("customers", "merchants", "transactions", "ml_features", "model_predictions")


def fill(manager: DatabaseManager, rows: int = 60) -> None:
    """Replace all rows by ``rows`` transactions, spread evenly over three months."""
    with manager.session_scope() as session:
        session.execute(text("TRUNCATE customers, merchants CASCADE"))
    load_df(
        pl.DataFrame(
            {
                "customer_id": [f"C{number}" for number in range(7)],
                "first_name": ["Ana", "", None, "Zoë", "x\ny", "\\N", '"'],
                "date_of_birth": [dt.date(1980, 1, 1 + number) for number in range(7)],
            }
        ),
        "customers",
        manager=manager,
    )
    load_df(
        pl.DataFrame({"merchant_id": ["M0", "M1", "M2"], "category": ["grocery", None, "fuel"]}),
        "merchants",
        manager=manager,
    )
    numbers = pl.int_range(rows, eager=True)
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    step = dt.timedelta(days=90) / rows
    transactions = pl.DataFrame(
        {
            "transaction_id": [f"T{number}" for number in range(rows)],
            "customer_id": [f"C{number % 7}" for number in range(rows)],
            "merchant_id": [f"M{number % 3}" for number in range(rows)],
            "amount": [Decimal(number * 7_919 % 99_991 + 1) / 100 for number in range(rows)],
            "timestamp": [start + number * step for number in range(rows)],
            "latitude": (numbers * 0.1).rename("latitude"),
            "city": [(None, "", "Köln", "a\tb")[number % 4] for number in range(rows)],
            "channel": [("online", "pos", None)[number % 3] for number in range(rows)],
            "is_fraud": [(None, True, False, False)[number % 4] for number in range(rows)],
        }
    )
    load_df(transactions, "transactions", manager=manager)
    keys = transactions.select("transaction_id")
    load_df(
        keys.with_columns(
            amount_log=numbers.cast(pl.Float64).sqrt(),
            additional_features=pl.lit('{"a": [1.50, null], "é": "x"}'),
        ),
        "ml_features",
        manager=manager,
    )
    for version in ("1", "2"):
        load_df(
            keys.with_columns(
                model_name=pl.lit("forest"),
                model_version=pl.lit(version),
                prediction=numbers % 2 == 0,
                fraud_probability=numbers / rows,
                ground_truth=transactions["is_fraud"],
            ),
            "model_predictions",
            manager=manager,
        )


def content(manager: DatabaseManager) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    with manager.engine.connect() as connection:
        return {
            table: list(connection.scalars(text(f"SELECT t::text FROM {table} t ORDER BY 1")))
            for table in TABLES
        }


def read_all(
    manager: DatabaseManager, archive: Path | None = None, **options: Any
) -> dict[str, pl.DataFrame]:
    """All tables, in the order of their keys."""
    return {
        table: read_df(table, manager=manager, archive=archive, output="polars", **options).sort(
            pl.first()
        )
        for table in TABLES
    }


def run_twice(call: Callable[[], Any]) -> SynfinError | None:
    """Make a call while another one is running; return the error of one of them."""
    errors: list[SynfinError] = []

    def run() -> None:
        try:
            call()
        except SynfinError as error:
            errors.append(error)

    with contextlib.ExitStack() as stack:
        for _ in range(2):
            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
    return errors[0] if errors else None
