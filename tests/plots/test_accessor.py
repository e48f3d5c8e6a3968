"""The plots of a result from the result itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from matplotlib import pyplot as plt
from pandas.testing import assert_frame_equal

from synfin_analytics import Display, evaluate, plots
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._plots import EvaluationPlots, GroupedPlots


@pytest.fixture
def df() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    score = rng.random(300).round(2)
    return pd.DataFrame(
        {
            "customer_id": rng.integers(0, 40, 300),
            "timestamp": pd.Timestamp("2026-03-02", tz="UTC")
            + pd.to_timedelta(rng.integers(0, 5, 300), unit="D"),
            "amount": 10.0,
            "is_fraud": rng.random(300) < score,
            "fraud_probability": score,
            "channel": rng.choice(["pos", "online", "atm"], 300, p=[0.6, 0.3, 0.1]),
        }
    )


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    "name", ["roc", "precision_recall", "thresholds", "calibration", "confusion"]
)
def test_a_method_draws_what_the_function_of_that_name_does(df, name):
    evaluation = evaluate(df)
    expected = getattr(plots, f"plot_{name}")(evaluation, title="Mine")
    display = getattr(EvaluationPlots(evaluation), name)(title="Mine")
    assert isinstance(display, Display)
    assert display.ax.get_title(loc="left") == "Mine"
    assert_frame_equal(display.to_frame(), expected.to_frame())


def test_costs_and_cards_are_computed_with_the_given_parameters(df):
    evaluation = evaluate(df, amount="amount")
    costs = EvaluationPlots(evaluation).cost(2.0, 0.5).to_frame()
    assert_frame_equal(costs, plots.plot_cost(evaluation.cost_curve(2.0, 0.5)).to_frame())
    topk = EvaluationPlots(evaluation).topk(3).to_frame()
    assert_frame_equal(topk, evaluation.card_precision_at_k(3).daily)


def test_a_method_draws_into_the_given_axes(df):
    _, ax = plt.subplots()
    assert EvaluationPlots(evaluate(df)).roc(ax).ax is ax
    assert EvaluationPlots(evaluate(df)).calibration(ax, bins=4).ax is ax


def test_groups_are_drawn_by_name(df):
    evaluations = {name: evaluate(part) for name, part in df.groupby("channel")}
    display = GroupedPlots(evaluations).roc(max_groups=2)
    assert display.to_frame()["model"].unique().tolist() == list(evaluations)[:2]
    with pytest.raises(ArgumentError, match="`max_groups` must be"):
        GroupedPlots(evaluations).precision_recall(max_groups=0)


def test_the_numbers_of_a_plot_come_as_any_kind_of_frame(df):
    display = plots.plot_calibration(evaluate(df.assign(fraud_probability=0.35)))
    frame = display.to_frame()
    polars, arrow = display.to_frame("polars"), display.to_frame(output="arrow")
    assert isinstance(polars, pl.DataFrame)
    assert isinstance(arrow, pa.Table)
    assert polars.columns == arrow.column_names == list(frame)
    assert polars["fraud_rate"].is_nan().sum() == frame["fraud_rate"].isna().sum() == 9
    assert arrow["fraud_rate"].null_count == 0
    with pytest.raises(ArgumentError, match='`output` must be "pandas"'):
        display.to_frame("excel")
