"""User code that evaluates models: what a type checker accepts, and what it rejects.

Each wrong call has a ``type: ignore``, which the checker reports where it would be unnecessary.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics import (
    Bootstrap,
    Comparison,
    Confusion,
    Display,
    Drift,
    Evaluation,
    FraudRateNowcast,
    GainsTable,
    GroupedEvaluation,
    LabelMaturity,
    PrequentialSplit,
    Recalibration,
    Threshold,
    TimeSplit,
    TopK,
    compare_models,
    evaluate,
    fraud_rate,
    label_maturity,
    make_card_precision_scorer,
    make_cost_scorer,
    make_value_detection_scorer,
    measure_drift,
    nowcast_fraud_rate,
    plot_fraud_rate,
    plot_label_maturity,
    proportion_interval,
    recalibrate,
    time_split,
)
from synfin_analytics.metrics import Curve, GroupComparison, GroupValue, Scorer

if TYPE_CHECKING:
    import duckdb


def evaluate_frames(frame: pd.DataFrame, lazy: pl.LazyFrame, df: duckdb.DuckDBPyRelation) -> None:
    assert_type(evaluate(frame), Evaluation)
    assert_type(evaluate(pl.DataFrame(), "fraud", "p", threshold=0.3), Evaluation)
    assert_type(evaluate(lazy, threshold=Threshold(0.3)), Evaluation)
    assert_type(evaluate(df, amount="amount", interval_method="exact"), Evaluation)
    assert_type(evaluate(frame, by="channel", weight="weight"), GroupedEvaluation)
    assert_type(evaluate(frame, weight={False: 50, True: 1.0}), Evaluation)
    assert_type(evaluate(frame, weight={0: 50, 1: 1}), Evaluation)
    assert_type(evaluate(frame, by=["channel", "city"], confidence_level=0.9), GroupedEvaluation)
    assert_type(evaluate(lazy, as_of="2026-03-01", timestamp="time"), Evaluation)
    assert_type(evaluate(frame, by="city", as_of=dt.date(2026, 3, 1)), GroupedEvaluation)
    assert_type(compare_models(frame, ["p", "q"], as_of="2026-03-01"), Comparison)


def evaluate_frames_wrongly(frame: pd.DataFrame) -> None:
    evaluate("payments.csv")  # type: ignore[call-overload]
    evaluate(frame, "fraud", "p", 0.3)  # type: ignore[call-overload]
    evaluate(frame, interval_method="wilsen")  # type: ignore[call-overload]
    evaluate(frame, level=0.9)  # type: ignore[call-overload]
    evaluate(frame, as_of=3)  # type: ignore[call-overload]
    evaluate(frame, by=3)  # type: ignore[call-overload]


def evaluate_arrays(labels: pd.Series[bool], scores: pl.Series) -> None:
    assert_type(evaluate([0, 1], [0.2, 0.9]), Evaluation)
    assert_type(evaluate(np.array([0, 1]), np.array([0.2, 0.9]), threshold=0.3), Evaluation)
    assert_type(evaluate(labels, scores, amount=[1.0, 2.0], weight=[1, 10]), Evaluation)
    assert_type(evaluate(labels, scores, weight={False: 50.0, True: 1.0}), Evaluation)
    assert_type(evaluate(labels, scores).gains_table(bands=[0.2, 0.5]), GainsTable)
    assert_type(evaluate(y_true=labels, y_score=scores), Evaluation)
    assert_type(evaluate(labels, scores, by=["online", "atm"]), GroupedEvaluation)
    assert_type(evaluate(labels, scores, by={"channel": np.array(["a", "b"])}), GroupedEvaluation)
    assert_type(evaluate(y_true=labels, y_score=scores, by=scores), GroupedEvaluation)


def evaluate_arrays_wrongly(labels: pd.Series[bool], scores: pl.Series) -> None:
    evaluate([0, 1])  # type: ignore[call-overload]
    evaluate(labels, "p")  # type: ignore[arg-type]
    evaluate(labels, scores, as_of="2026-03-01")  # type: ignore[call-overload]
    evaluate(labels, scores, 0.3)  # type: ignore[call-overload]
    evaluate(labels, scores, by="channel")  # type: ignore[call-overload]
    evaluate(labels, scores, amount="amount")  # type: ignore[call-overload]
    evaluate(y_true=labels)  # type: ignore[call-overload]


def rates(frame: pd.DataFrame, lazy: pl.LazyFrame) -> None:
    assert_type(fraud_rate(frame), pd.DataFrame)
    assert_type(fraud_rate(pl.DataFrame(), by="channel", every="1d"), pl.DataFrame)
    assert_type(fraud_rate(lazy, bins={"amount": [20, 100]}), pl.DataFrame)
    assert_type(fraud_rate(frame, as_of=dt.date(2026, 3, 1)), pd.DataFrame)
    assert_type(fraud_rate(lazy, as_of="2026-03-01", label_available_at="known"), pl.DataFrame)
    fraud_rate(frame, as_of=20260301)  # type: ignore[call-overload]
    fraud_rate(frame, "channel", "1d")  # type: ignore[call-overload]
    fraud_rate(frame, interval="wilson")  # type: ignore[call-overload]
    fraud_rate([1, 2])  # type: ignore[call-overload]
    proportion_interval(3, 10, interval_method="jeffreys", confidence_level=0.9)
    proportion_interval(3, 10, "wilson")  # type: ignore[call-arg]


def results(model: Evaluation) -> None:
    assert_type(model.recall, float)
    assert_type(model.threshold_for_alerts(20), Threshold)
    assert_type(model.at_threshold(0.3), Evaluation)
    assert_type(model.confusion, Confusion)
    assert_type(model.confusion.tp, int)
    assert_type(model.confidence_interval("recall"), tuple[float, float])
    assert_type(model.precision_at_k(5), TopK)
    assert_type(model.card_precision_at_k(5, entity="card_id").daily, pd.DataFrame)
    assert_type(model.bootstrap("recall", n_resamples=100), Bootstrap)
    assert_type(model.bootstrap().low, float)
    assert_type(model.summary(), pd.DataFrame)
    assert_type(model.curve(), pd.DataFrame)
    assert_type(model.curve(100, output="polars"), pl.DataFrame)
    assert_type(model.cost_curve(5, output="polars"), pl.DataFrame)
    assert_type(model.calibration(5), pd.DataFrame)
    assert_type(Curve(model.counts).to_frame("polars", points=100), pl.DataFrame)
    assert_type(model.to_frame(), pd.DataFrame)
    assert_type(model.to_frame("polars"), pl.DataFrame)
    assert_type(model.to_dict(), dict[str, Any])
    assert_type(model.plot.roc(), Display)
    assert_type(model.confusion.plot(), Display)


def results_wrongly(model: Evaluation) -> None:
    model.reccall  # type: ignore[attr-defined]  # noqa: B018
    model.at(0.3)  # type: ignore[attr-defined]
    model.bootstrap("recall", draws=100)  # type: ignore[call-arg]
    model.precision_at_k(5, "day")  # type: ignore[call-arg]
    model.to_frame("numpy")  # type: ignore[call-overload]
    model.curve(output="numpy")  # type: ignore[call-overload]
    model.plot.rock()  # type: ignore[attr-defined]


def groups(by_channel: GroupedEvaluation) -> None:
    assert_type(by_channel.overall, Evaluation)
    assert_type(by_channel.group_min("recall"), GroupValue)
    assert_type(by_channel.group_max().value, float)
    assert_type(by_channel.difference("recall"), GroupComparison)
    assert_type(by_channel.ratio().low, float)
    assert_type(by_channel.to_frame("polars"), pl.DataFrame)
    assert_type(by_channel.plot.roc(), Display)
    by_channel.worst("recall")  # type: ignore[attr-defined]
    by_channel.group_min("recall", small=True)  # type: ignore[call-arg]


def comparisons(frame: pd.DataFrame) -> None:
    assert_type(compare_models(frame, ["p", "q"]), Comparison)
    assert_type(compare_models(frame, {"forest": "p"}, threshold={"forest": 0.3}), Comparison)
    assert_type(compare_models(frame, "p").to_frame(), pd.DataFrame)
    assert_type(compare_models(frame, "p").plot(), Display)
    compare_models(frame, ["p"], "is_fraud")  # type: ignore[call-arg]
    compare_models([0, 1], ["p"])  # type: ignore[arg-type]


def mature(frame: pd.DataFrame, lazy: pl.LazyFrame) -> None:
    maturity = label_maturity(lazy, "paid_at", every="1mo", by=["channel"], as_of="2026-03-01")
    assert_type(maturity, LabelMaturity)
    assert_type(maturity.curve, pd.DataFrame)
    assert_type(maturity.to_frame("polars"), pl.DataFrame)
    assert_type(maturity.overall.plot("heatmap"), Display)
    assert_type(plot_label_maturity(maturity), Display)
    label_maturity(frame, mature_age="13")  # type: ignore[arg-type]
    maturity.plot("lines")  # type: ignore[arg-type]
    nowcast = nowcast_fraud_rate(lazy, "paid_at", by=["channel"], as_of="2026-03-01")
    assert_type(nowcast, FraudRateNowcast)
    assert_type(nowcast.cohorts, pd.DataFrame)
    assert_type(nowcast.plot(), Display)
    assert_type(plot_fraud_rate(nowcast), Display)
    nowcast_fraud_rate(frame, seed=None)  # type: ignore[arg-type]


def validate(frame: pd.DataFrame, lazy: pl.LazyFrame) -> None:
    assert_type(evaluate(frame, by="channel").bootstrap("alert_rate", "ratio"), Bootstrap)
    evaluate(frame, by="channel").bootstrap("alert_rate", "gap")  # type: ignore[arg-type]
    periods = ("2026-01-01", "2026-02-01"), ("2026-02-01", None)
    drift = measure_drift(lazy, ["p", "amount"], reference=periods[0], current=periods[1])
    assert_type(drift, Drift)
    assert_type(drift.to_frame("polars"), pl.DataFrame)
    measure_drift(frame, "p", reference="old", current="new", bins={"p": [0.2, 0.5]})
    measure_drift(frame, "p", reference=1, current="new")  # type: ignore[arg-type]
    assert_type(recalibrate(frame, lazy, method="platt"), Recalibration)
    recalibrate(frame, frame, method="beta")  # type: ignore[arg-type]


def splits(frame: pd.DataFrame, lazy: pl.LazyFrame) -> None:
    assert_type(time_split(frame, train="7d", label_delay="7d", test="7d"), TimeSplit[pd.DataFrame])
    assert_type(time_split(pl.DataFrame()).train, pl.DataFrame)
    cv = PrequentialSplit(3, train="30d", delay="7d", test="7d", timestamps=frame["timestamp"])
    assert_type(next(cv.folds(frame)).test, pd.DataFrame)
    assert_type(next(cv.folds(pl.DataFrame(), label="fraud")).test, pl.DataFrame)
    for train, test in cv.split(frame, frame["is_fraud"], groups=frame["customer_id"]):
        assert_type(frame.iloc[train], pd.DataFrame)
        assert_type(frame.iloc[test], pd.DataFrame)
    assert_type(cv.get_n_splits(), int)
    PrequentialSplit(timestamps=3)  # type: ignore[arg-type]
    PrequentialSplit(label_delay="7d")  # type: ignore[call-arg]
    assert_type(next(cv.folds(lazy)).train, pl.LazyFrame)
    time_split(frame, "7d", "7d", "7d", "2026-01-01")  # type: ignore[call-arg]
    time_split(frame, delay="7d")  # type: ignore[call-arg]
    assert_type(time_split(lazy).test, pl.LazyFrame)
    time_split([1])  # type: ignore[type-var]


def scorers(model: object, frame: pd.DataFrame) -> None:
    assert_type(make_card_precision_scorer(k=50), Scorer)
    assert_type(make_value_detection_scorer(threshold=None, pos_label="fraud"), Scorer)
    scorer = make_cost_scorer(5, 0.8, threshold=0.1).set_score_request(amount="value")
    assert_type(scorer(model, frame, frame["is_fraud"], amount=frame["amount"]), float)
    make_cost_scorer()  # type: ignore[call-arg]
    make_value_detection_scorer(0.3)  # type: ignore[call-arg]
