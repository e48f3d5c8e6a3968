"""User code that loads data: what a type checker accepts, and what it rejects.

Each wrong call has a ``type: ignore``, which the checker reports where it would be unnecessary.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import pandas as pd
import polars as pl

from synfin_analytics import (
    ColumnSuggestions,
    Layout,
    LoadReport,
    Merchant,
    load_df,
    read_layout,
    show,
    suggest_columns,
)
from synfin_analytics.io import FormattedTable, LabelCounts, Tables, detect_layout, list_layouts

if TYPE_CHECKING:
    import dask.dataframe as dd
    import duckdb
    import pyspark.sql
    from sqlalchemy.orm import Session

    from synfin_analytics import DatabaseManager


def load(
    frame: pd.DataFrame,
    lazy: pl.LazyFrame,
    relation: duckdb.DuckDBPyRelation,
    dask_frame: dd.DataFrame,
    spark_frame: pyspark.sql.DataFrame,
    session: Session,
) -> None:
    assert_type(load_df(frame, "transactions"), LoadReport)
    load_df(pl.DataFrame(), Merchant, columns={"TX_AMOUNT": "amount", "note": None})
    load_df(lazy, "transactions", session=session, on_conflict="update", progress=False)
    load_df("rows.csv", "transactions", separator=";", decimal=",", currency=True)
    load_df(Path("rows.parquet"), "transactions", rebuild_indexes="always", on_invalid="reject")
    load_df(relation, "merchants")
    load_df(dask_frame, "merchants")
    load_df(spark_frame, "merchants")
    load_df([{"merchant_id": "M1"}], "merchants", on_missing_parent="raise")
    load_df([Merchant(merchant_id="M1")], "merchants")
    load_df(({"merchant_id": f"M{n}"} for n in range(3)), "merchants")
    assert_type(load_df(Path("archive"), session=session), dict[str, LoadReport])


def load_wrongly(frame: pd.DataFrame, manager: DatabaseManager) -> None:
    load_df(5, "transactions")  # type: ignore[call-overload]
    load_df([1, 2], "transactions")  # type: ignore[list-item]
    load_df(frame)  # type: ignore[call-overload]
    load_df(frame, "transactions", "skip")  # type: ignore[call-overload]
    load_df(frame, "transactions", on_conflict="replace")  # type: ignore[call-overload]
    load_df(frame, "transactions", on_invalid="ignore")  # type: ignore[call-overload]
    load_df(frame, "transactions", rebuild_indexes=True)  # type: ignore[call-overload]
    load_df(frame, "transactions", lock="always")  # type: ignore[call-overload]
    load_df(frame, "transactions", session=manager)  # type: ignore[call-overload]
    load_df(frame, "transactions", columns={"TX_AMOUNT": 3})  # type: ignore[dict-item]
    load_df("archive", on_conflict="skip")  # type: ignore[call-overload]


def report(loaded: LoadReport) -> None:
    assert_type(loaded.inserted, int)
    assert_type(loaded.rejected, pd.DataFrame)
    assert_type(loaded.labels, LabelCounts | None)
    assert_type(loaded.to_dict(), dict[str, Any])
    assert_type(loaded.to_frame(), pd.DataFrame)
    assert_type(loaded.to_frame(output="polars"), pl.DataFrame)
    loaded.to_frame(output="numpy")  # type: ignore[call-overload]
    loaded.rows  # type: ignore[attr-defined]  # noqa: B018
    loaded.inserted = 3  # type: ignore[misc]


def layouts(frame: pl.DataFrame, manager: DatabaseManager) -> None:
    assert_type(read_layout("paysim.csv", "paysim", start="2026-01-01"), Tables)
    own_layout = Layout({"amount": pl.col("cents") / 100, "timestamp": "paid_at"}, name="ours")
    tables = read_layout(frame, own_layout, start=dt.date(2026, 1, 1))
    read_layout(["2025.csv", "2026.csv"], "handbook", timezone="Europe/Berlin")
    assert_type(tables.transactions, pl.LazyFrame)
    assert_type(tables.load(on_invalid="reject", manager=manager), dict[str, LoadReport])
    suggestions = suggest_columns("scores.csv", decimal=",")
    assert_type(suggestions, ColumnSuggestions)
    assert_type(suggestions.mapping, dict[str, str | None])
    assert_type(suggestions.to_frame("polars"), pl.DataFrame)
    suggest_columns(frame, separator=7)  # type: ignore[arg-type]
    assert_type(list_layouts(), list[str])
    assert_type(detect_layout(frame.columns), str | None)
    read_layout("paysim.csv", 7)  # type: ignore[arg-type]
    read_layout("paysim.csv")  # type: ignore[call-arg]
    read_layout("paysim.csv", "paysim", start=7)  # type: ignore[arg-type]
    Layout({"amount": 3})  # type: ignore[dict-item]
    tables.load(on_invalid="skip")  # type: ignore[arg-type]


def display(frame: pd.DataFrame, lazy: pl.LazyFrame) -> None:
    assert_type(show(frame), FormattedTable)
    assert_type(show(lazy, 5).df, pd.DataFrame)
    show(frame, rows="all")  # type: ignore[arg-type]
    show(7)  # type: ignore[arg-type]
