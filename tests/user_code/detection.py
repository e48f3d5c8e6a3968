"""User code that simulates, computes features, detects patterns and fits the baseline."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import pandas as pd
import polars as pl

from synfin_analytics import (
    BaselineModel,
    DetectedPatterns,
    Simulation,
    detect_anomalies,
    detect_patterns,
    engineer_features,
    fit_baseline,
    handbook_features,
    score,
    simulate,
    window_features,
)
from synfin_analytics.detection import (
    FRAUD_DETECTORS,
    CardTesting,
    Detector,
    RefundAbuse,
)
from synfin_analytics.features import DEFINITIONS, Definition
from synfin_analytics.simulation import NightSpree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def simulation() -> None:
    assert_type(simulate(), Simulation[pd.DataFrame])
    assert_type(simulate(output="polars"), Simulation[pl.DataFrame])
    assert_type(simulate(output="polars").transactions, pl.DataFrame)
    assert_type(simulate(100, 50, days=30).to_frame(), pd.DataFrame)
    assert_type(simulate(output="polars").to_dict(), dict[str, pl.DataFrame])
    customers, *_ = simulate(patterns=["card_testing", NightSpree(weight=2)])
    assert_type(customers, pd.DataFrame)
    simulate(patterns={"card_testing": {"amount": (1, 2)}}, anomalies=[])
    simulate(start=dt.date(2026, 1, 1))
    simulate(output="spark")  # type: ignore[call-overload]
    folder = simulate(output=Path("world"))
    assert_type(folder, Simulation[pl.LazyFrame])
    simulate(frame="polars")  # type: ignore[call-overload]
    simulate(customers="100")  # type: ignore[call-overload]
    simulate(100, 50, 30, 1, 0.01)  # type: ignore[call-overload]
    simulate(patterns=7)  # type: ignore[call-overload]
    NightSpree(2.0)  # type: ignore[call-arg]


def features(frame: pd.DataFrame, polars: pl.DataFrame, lazy: pl.LazyFrame) -> None:
    assert_type(engineer_features(frame), pd.DataFrame)
    assert_type(engineer_features(polars, frame, frame, label_delay="2d"), pl.DataFrame)
    assert_type(engineer_features(lazy, label_delay=dt.timedelta(days=7)), pl.DataFrame)
    engineer_features(frame, start="2026-03-01", end=dt.date(2026, 4, 1))
    assert_type(window_features(frame, "merchant_id", windows=["1h"]), pd.DataFrame)
    assert_type(window_features(lazy, lag="7d", include_current=False), pl.DataFrame)
    assert_type(handbook_features(polars, label_delay="7d"), pl.DataFrame)
    assert_type(DEFINITIONS[0], Definition)
    engineer_features([1, 2])  # type: ignore[call-overload]
    engineer_features(frame, since="2026-03-01")  # type: ignore[call-overload]
    engineer_features(frame, None, None, "7d")  # type: ignore[call-overload]
    window_features(frame, closed="up")  # type: ignore[call-overload]
    window_features(frame, itself=False)  # type: ignore[call-overload]
    handbook_features(frame, "7d")  # type: ignore[call-overload]


def detection(frame: pd.DataFrame, lazy: pl.LazyFrame) -> None:
    patterns = detect_patterns(frame, [CardTesting(min_count=6), "refund_abuse"])
    assert_type(patterns, DetectedPatterns)
    assert_type(detect_anomalies(lazy, "holiday_travel"), DetectedPatterns)
    assert_type(patterns.to_frame(), pd.DataFrame)
    assert_type(patterns.transactions("polars"), pl.DataFrame)
    assert_type(patterns.summary(output="pandas"), pd.DataFrame)
    assert_type(patterns.to_dict(), dict[str, Any])
    assert_type(patterns.detectors, tuple[str, ...])
    assert_type(FRAUD_DETECTORS["card_testing"], type[Detector])
    detect_patterns(5)  # type: ignore[arg-type]
    detect_patterns(frame, 5)  # type: ignore[arg-type]
    detect_patterns(frame, CardTesting)  # type: ignore[arg-type]
    CardTesting(least=6)  # type: ignore[call-arg]
    RefundAbuse(window=30)  # type: ignore[arg-type]
    patterns.summary("numpy")  # type: ignore[call-overload]
    patterns.frame()  # type: ignore[attr-defined]


def baseline(frame: pd.DataFrame, scores: NDArray[np.float64]) -> None:
    model = fit_baseline(frame, name="simple", train_fraction=0.5, label_delay="7d")
    assert_type(model, BaselineModel)
    assert_type(model.predictions, pl.DataFrame)
    assert_type(model.to_frame("polars"), pl.DataFrame)
    assert_type(model.coefficients, dict[str, float])
    fit_baseline(scores)  # type: ignore[call-overload]
    fit_baseline(frame, "simple")  # type: ignore[call-overload]
    fit_baseline(frame, learn_share=0.5)  # type: ignore[call-overload]
    model.learnt_rows  # type: ignore[attr-defined]  # noqa: B018


def scores(frame: pd.DataFrame, lazy: pl.LazyFrame, model: Any) -> None:
    assert_type(score(frame, model, features=["amount"], column="p"), pd.DataFrame)
    assert_type(score(lazy, model, pos_label="fraud"), pl.LazyFrame)
    score(frame)  # type: ignore[call-overload]
    score(frame, model, "p")  # type: ignore[call-overload]
