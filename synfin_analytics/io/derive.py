"""Columns that are derived from others where the data do not have them.

The triggers of the database do the same row by row, for the ORM and for plain SQL; a test compares
the two. The loader computes whole columns, because triggers would halve the speed of a load.
"""

from __future__ import annotations

import polars as pl

from synfin_analytics.database.models import TIME_OF_DAY

_TIMESTAMP = pl.col("timestamp")
_SATURDAY = 6

#: For each table: the columns to derive from, and the derived columns.
RULES: dict[str, tuple[tuple[str, ...], dict[str, pl.Expr]]] = {
    "transactions": (
        ("timestamp",),
        {
            "hour_of_day": _TIMESTAMP.dt.hour().cast(pl.Int16),
            "day_of_week": (_TIMESTAMP.dt.weekday() - 1).cast(pl.Int16),
            "day_of_month": _TIMESTAMP.dt.day().cast(pl.Int16),
            "month": _TIMESTAMP.dt.month().cast(pl.Int16),
            "is_weekend": _TIMESTAMP.dt.weekday() >= _SATURDAY,
            "time_of_day_category": (_TIMESTAMP.dt.hour() // 6).replace_strict(
                dict(enumerate(TIME_OF_DAY)), return_dtype=pl.String
            ),
        },
    ),
    "model_predictions": (
        ("prediction", "ground_truth"),
        {"is_correct": pl.col("prediction") == pl.col("ground_truth")},
    ),
}


def derive_columns(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """Add or fill the derived columns of ``table``, if ``frame`` has their sources.

    Examples
    --------
    >>> import datetime as dt
    >>> moment = dt.datetime(2024, 3, 2, 13, tzinfo=dt.UTC)
    >>> derive_columns(pl.DataFrame({"timestamp": [moment]}), "transactions").row(0)[1:]
    (13, 5, 2, 3, True, 'afternoon')
    """
    sources, rules = RULES.get(table, ((), {}))
    if not rules or not set(sources) <= set(frame.columns):
        return frame
    return frame.with_columns(
        (pl.coalesce(name, rule) if name in frame.columns else rule).alias(name)
        for name, rule in rules.items()
    )
