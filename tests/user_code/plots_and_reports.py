"""User code that draws results and creates reports."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, assert_type

import pandas as pd
import polars as pl
import pyarrow as pa
from matplotlib.axes import Axes

from synfin_analytics import (
    Comparison,
    Confusion,
    Display,
    Evaluation,
    FraudReport,
    GroupedEvaluation,
    ModelReport,
    TopK,
    fraud_report,
    model_report,
    plot_calibration,
    plot_cost,
    plot_fraud_rate,
    plot_roc,
)


def plots_of_results(
    evaluation: Evaluation, grouped: GroupedEvaluation, comparison: Comparison, ax: Axes
) -> None:
    assert_type(evaluation.plot.roc(), Display)
    assert_type(evaluation.plot.precision_recall(ax, title=""), Display)
    assert_type(evaluation.plot.thresholds(), Display)
    assert_type(evaluation.plot.calibration(bins=5), Display)
    assert_type(evaluation.plot.confusion(), Display)
    assert_type(evaluation.explore(cost_per_alert=5, day="timestamp").threshold, float)
    assert_type(evaluation.plot.cost(5, 0.8), Display)
    assert_type(evaluation.plot.topk(20, entity="card_id"), Display)
    assert_type(grouped.plot.roc(max_groups=3), Display)
    assert_type(grouped.plot.precision_recall(ax), Display)
    assert_type(comparison.plot(), Display)
    evaluation.plot.rocc()  # type: ignore[attr-defined]
    evaluation.plot.roc("ax")  # type: ignore[arg-type]
    evaluation.plot.roc(ax, "title")  # type: ignore[call-arg]
    evaluation.plot.cost()  # type: ignore[call-arg]
    grouped.plot.calibration()  # type: ignore[attr-defined]


def plot_functions(
    rates: pd.DataFrame, evaluation: Evaluation, confusion: Confusion, topk: TopK, ax: Axes
) -> None:
    assert_type(plot_roc({"forest": evaluation, "logit": evaluation}), Display)
    assert_type(plot_fraud_rate(rates, max_groups=5), Display)
    assert_type(plot_fraud_rate(pl.DataFrame(), ax), Display)
    assert_type(plot_cost(evaluation.cost_curve(5)), Display)
    assert_type(confusion.plot(), Display)
    assert_type(topk.plot(ax), Display)
    plot_calibration(rates)  # type: ignore[arg-type]
    plot_fraud_rate(rates, most=5)  # type: ignore[call-arg]
    plot_cost(evaluation)  # type: ignore[arg-type]


def displays(frame: pd.DataFrame, model: object, ax: Axes) -> None:
    labels, scores = frame["is_fraud"], frame["p"]
    assert_type(Display.from_predictions(labels, scores), Display)
    assert_type(Display.from_predictions([0, 1], [0.1, 0.9], plot="roc", name="a", ax=ax), Display)
    assert_type(Display.from_estimator(model, frame, labels, plot="calibration", bins=5), Display)
    Display.from_predictions(labels)  # type: ignore[call-arg]
    Display.from_predictions(labels, scores, plot="rock")  # type: ignore[arg-type]
    Display.from_estimator(model, frame, labels, ax)  # type: ignore[arg-type, call-arg]


def display(picture: Display) -> None:
    assert_type(picture.ax, Axes)
    assert_type(picture.to_frame(), pd.DataFrame)
    assert_type(picture.to_frame("polars"), pl.DataFrame)
    assert_type(picture.to_frame(output="arrow"), pa.Table)
    assert_type(picture.to_dict(), dict[str, Any])
    assert_type(picture.plot(), Display)
    picture.to_frame("excel")  # type: ignore[call-overload]


def reports() -> None:
    report = model_report("rf", "1.0", compare_with=("logit", "1.0"), by=["channel"])
    assert_type(report, ModelReport)
    assert_type(report.evaluation, Evaluation)
    assert_type(report.groups["channel"], GroupedEvaluation)
    assert_type(report.summary_text(), list[str])
    assert_type(report.caveats, list[str])
    assert_type(report.findings[0].value, float)
    assert_type(report.created_at, dt.datetime)
    assert_type(report.to_frame(), pd.DataFrame)
    assert_type(report.to_frame("polars"), pl.DataFrame)
    assert_type(report.save("report.html"), Path)
    fraud = fraud_report(start="2026-01-01", end=dt.date(2026, 2, 1), by=[("channel", "country")])
    assert_type(fraud, FraudReport)
    assert_type(fraud.rates["channel and country"], pd.DataFrame)
    assert_type(fraud.provenance.command, str)
    assert_type(model_report("rf", "1.0", as_of="2026-03-01"), ModelReport)
    assert_type(fraud_report(as_of=dt.date(2026, 3, 1)), FraudReport)
    fraud_report(as_of=3)  # type: ignore[call-overload]
    model_report("rf")  # type: ignore[call-overload]
    model_report("rf", 1.0)  # type: ignore[call-overload]
    model_report("rf", "1.0", ("logit", "1.0"))  # type: ignore[call-overload]
    model_report("rf", "1.0", compare_with="logit")  # type: ignore[call-overload]
    fraud_report(since="2026-01-01")  # type: ignore[call-overload]
    report.findings()  # type: ignore[operator]


def reports_of_frames(df: pd.DataFrame, frame: pl.LazyFrame, table: pa.Table) -> None:
    report = model_report(
        df, label="y", score="p", timestamp="when", amount="value", compare_with="q", by="channel"
    )
    assert_type(report, ModelReport)
    assert_type(report.cards, TopK | None)
    assert_type(report.weeks, pd.DataFrame)
    assert_type(report.omitted["cost"], str)
    assert_type(model_report("scores.csv", label="y", score="p", decimal=","), ModelReport)
    assert_type(model_report(Path("scores.csv"), label="y", score="p"), ModelReport)
    assert_type(model_report(frame, label="y", score="p", pos_label="yes"), ModelReport)
    assert_type(fraud_report(table, label="y", timestamp="when", by=["channel"]), FraudReport)
    assert_type(fraud_report("scores.csv", label="y", separator=";"), FraudReport)
    assert_type(model_report(frame, label="y", score="p", as_of="2026-03-01"), ModelReport)
    assert_type(fraud_report(table, label="y", as_of="2026-03-01"), FraudReport)
    estimated = model_report.from_estimator(object(), df, df["y"], amount="value", by="channel")
    assert_type(estimated, ModelReport)
    model_report(df)  # type: ignore[call-overload]
    model_report(df, label="y")  # type: ignore[call-overload]
    model_report(df, label="y", score="p", compare_with=("q", "1"))  # type: ignore[call-overload]
    model_report("rf", "1.0", amount="value")  # type: ignore[call-overload]
    fraud_report(df)  # type: ignore[call-overload]
    fraud_report(df, label="y", session=None)  # type: ignore[call-overload]
    model_report.from_estimator(object(), df)  # type: ignore[call-arg]
