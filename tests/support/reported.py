"""A small world for reports: two models with scores, late and missing labels, awkward names."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.load import load_df

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS, DAYS = 2000, 40
START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)  # a Monday
NASTY = "<script>alert('x')</script> & $\\frac{1}$"
FEATURES = ("amount", "night", NASTY)


def transactions() -> pl.DataFrame:
    """Payments of 90 customers at 12 merchants; some of the last days are not labelled yet."""
    generator = np.random.default_rng(7)
    fraud = generator.random(ROWS) < 0.05
    minutes = np.sort(generator.integers(DAYS * 1440, size=ROWS))
    merchant = generator.integers(12, size=ROWS)
    labels = pl.Series(fraud).set(
        pl.Series((minutes > 36 * 1440) & (generator.random(ROWS) < 0.5)), None
    )
    late = generator.integers(1, 9 * 24, size=ROWS)
    moments = [START + dt.timedelta(minutes=int(minute)) for minute in minutes]
    return pl.DataFrame(
        {
            "transaction_id": [f"T{number:05}" for number in range(ROWS)],
            "customer_id": [f"C{number:02}" for number in generator.integers(90, size=ROWS)],
            "merchant_id": [f"M{number:02}" for number in merchant],
            "amount": (generator.gamma(2, 30, ROWS) + 1).round(2),
            "currency": "EUR",
            "timestamp": moments,
            "channel": generator.choice(["pos", "online", "atm"], ROWS, p=[0.6, 0.37, 0.03]),
            "merchant_category": [
                NASTY if number == 3 else f"kind {number % 3}" for number in merchant
            ],
            "is_fraud": labels,
            "fraud_type": [
                (NASTY[:20] if number % 2 else "card_testing") if is_fraud else None
                for is_fraud, number in zip(labels.to_list(), merchant, strict=True)
            ],
            "label_available_at": [
                None if unlabelled else moment + dt.timedelta(hours=int(hours))
                for unlabelled, moment, hours in zip(labels.is_null(), moments, late, strict=True)
            ],
        }
    )


def predictions(rows: pl.DataFrame, name: str, seed: int, skill: float) -> pl.DataFrame:
    """Scores of a model with a threshold of 0.37."""
    generator = np.random.default_rng(seed)
    fraud = rows["is_fraud"].fill_null(value=False).to_numpy()
    score = np.clip(generator.normal(0.1 + skill * fraud, 0.12), 0, 1).round(3)
    return rows.select(
        "transaction_id",
        model_name=pl.lit(name),
        model_version=pl.lit("1.0"),
        prediction=pl.Series(score >= 0.37),
        fraud_probability=pl.Series(score),
        ground_truth="is_fraud",
        feature_importance=pl.Series(
            [json.dumps(dict(zip(FEATURES, row, strict=True))) for row in _signed(score)]
        ),
    )


def _signed(score: np.ndarray) -> Iterator[tuple[float, float, float]]:
    for value in score.tolist():
        yield round(value, 3), round(value - 0.5, 3), 0.01


def open_world(database: str) -> DatabaseManager:
    """Load the world into a database with empty tables."""
    config = dataclasses.replace(DatabaseConfig.from_env(), database=database)
    manager = DatabaseManager(config)
    rows = transactions()
    merchants = pl.DataFrame({"merchant_id": [f"M{number:02}" for number in range(12)]})
    named = merchants.with_columns(
        name=pl.when(pl.col("merchant_id") == "M03").then(pl.lit(NASTY)).otherwise(pl.lit("Shop"))
    )
    load_df(named, "merchants", manager=manager)
    load_df(rows, "transactions", on_missing_parent="create", manager=manager)
    for name, seed, skill in (("forest", 1, 0.3), ("logit", 2, 0.2)):
        load_df(predictions(rows, name, seed, skill), "model_predictions", manager=manager)
    return manager
