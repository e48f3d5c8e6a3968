"""The handbook's 14 features written by hand with the window functions of polars and of DuckDB.

Each function returns the columns of :func:`synfin_analytics.features.handbook_features` for rows in
the order of time. Unlike ours, both libraries let a row see later ones of its own timestamp.
"""

from __future__ import annotations

import polars as pl

WINDOWS = (1, 7, 30)
DELAY = 7
_WEEKEND_AND_NIGHT = (
    (pl.col("timestamp").dt.weekday() >= 6).alias("weekend"),
    (pl.col("timestamp").dt.hour() <= 6).alias("night"),
)
NAMES = (
    "weekend",
    "night",
    *(
        f"{name}_{days}d"
        for days in WINDOWS
        for name in ("customer_count", "customer_mean_amount", "terminal_count", "terminal_risk")
    ),
)


def with_rolling_groups(rows: pl.DataFrame) -> pl.DataFrame:
    """With ``rolling(group_by=…)``, of which each call computes one window."""
    numbered = rows.lazy().with_row_index("row")
    parts = []
    for key, prefix, lag in (("customer_id", "customer", 0), ("merchant_id", "terminal", DELAY)):
        ordered = numbered.sort(key, "timestamp", maintain_order=True)
        second = (
            pl.col("amount").mean().alias("mean_amount")
            if prefix == "customer"
            else pl.col("is_fraud").mean().fill_null(0.0).alias("risk")
        )
        windows = [ordered.select("row")]
        for days in WINDOWS:
            window = ordered.rolling(
                "timestamp", period=f"{days}d", offset=f"-{days + lag}d", group_by=key
            ).agg(pl.len().cast(pl.Int64).alias("count"), second)
            windows.append(
                window.select(pl.exclude(key, "timestamp").name.map(_name(prefix, days)))
            )
        parts.append(pl.concat(windows, how="horizontal").sort("row").drop("row"))
    return _collect([rows.lazy().select(_WEEKEND_AND_NIGHT), *parts])


def with_rolling_expressions(rows: pl.DataFrame) -> pl.DataFrame:
    """With ``rolling_sum_by(…).over(…)``; a window with a lag is a difference of two."""
    columns = {}
    for days in WINDOWS:
        count, mean = (
            expression.over("customer_id")
            for expression in (_sum("one", days), _mean("amount", days))
        )
        n_labels, frauds = (
            (_sum(name, days + DELAY) - _sum(name, DELAY)).over("merchant_id")
            for name in ("one", "fraud")
        )
        columns |= {
            f"customer_count_{days}d": count,
            f"customer_mean_amount_{days}d": mean,
            f"terminal_count_{days}d": n_labels,
            f"terminal_risk_{days}d": frauds / pl.max_horizontal(n_labels, 1),
        }
    counted = rows.lazy().with_columns(
        one=pl.lit(1, pl.Int64), fraud=pl.col("is_fraud").cast(pl.Int64)
    )
    return _collect([counted.select(*_WEEKEND_AND_NIGHT, **columns)])


def with_duckdb(rows: pl.DataFrame) -> pl.DataFrame:
    """With SQL's window functions."""
    import duckdb

    numbered = rows.with_row_index("row")  # noqa: F841  # the query names it
    selected, windows = [], []
    for days in WINDOWS:
        selected += [
            f"count(*) OVER customer_{days} AS customer_count_{days}d",
            f"avg(amount) OVER customer_{days} AS customer_mean_amount_{days}d",
            f"count(*) OVER terminal_{days} AS terminal_count_{days}d",
            f"coalesce(avg(is_fraud::INT) OVER terminal_{days}, 0) AS terminal_risk_{days}d",
        ]
        # (t - days, t], of timestamps in seconds
        windows += [
            f"customer_{days} AS (PARTITION BY customer_id ORDER BY timestamp RANGE BETWEEN "
            f"INTERVAL '{days * 86_400 - 1} seconds' PRECEDING AND CURRENT ROW)",
            f"terminal_{days} AS (PARTITION BY merchant_id ORDER BY timestamp RANGE BETWEEN "
            f"INTERVAL '{(days + DELAY) * 86_400 - 1} seconds' PRECEDING AND "
            f"INTERVAL '{DELAY} days' PRECEDING)",
        ]
    return duckdb.sql(
        "SELECT dayofweek(timestamp) IN (0, 6) AS weekend, hour(timestamp) <= 6 AS night, "
        f"{', '.join(selected)} FROM numbered WINDOW {', '.join(windows)} ORDER BY row"
    ).pl()


def _sum(column: str, days: int) -> pl.Expr:
    return pl.col(column).rolling_sum_by("timestamp", f"{days}d", closed="right")


def _mean(column: str, days: int) -> pl.Expr:
    return pl.col(column).rolling_mean_by("timestamp", f"{days}d", closed="right")


def _name(prefix: str, days: int):
    return lambda name: f"{prefix}_{name}_{days}d"


def _collect(frames: list[pl.LazyFrame]) -> pl.DataFrame:
    return pl.concat(pl.collect_all(frames), how="horizontal").select(NAMES)
