"""Every function of DataFrames takes a snapshot, and returns what it returns for the table."""

from __future__ import annotations

import inspect

import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression
from sqlalchemy import text

import synfin_analytics
from synfin_analytics import (
    ModelPredictionRepository,
    compare_models,
    detect_anomalies,
    detect_patterns,
    engineer_features,
    evaluate,
    evaluate_rules,
    fit_baseline,
    fraud_rate,
    fraud_report,
    handbook_features,
    label_maturity,
    measure_drift,
    model_report,
    nowcast_fraud_rate,
    read_df,
    recalibrate,
    rules_report,
    score,
    show,
    suggest_columns,
    time_split,
    window_features,
    write_snapshot,
)
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import NotFoundError

ROLES = {"timestamp": "timestamp", "customer": "customer_id", "amount": "amount"}
PERIODS = {"reference": ("2026-03-01", "2026-03-20"), "current": ("2026-03-20", "2026-04-20")}
MODEL = {**ROLES, "n_resamples": 20}
RULES = {"large": "amount > 100", "online": "is_online"}
LATER = pl.DataFrame({"is_fraud": [True, False] * 20, "fraud_score": [0.7, 0.2, 0.4, 0.5] * 10})
ON_AMOUNTS = LogisticRegression().fit([[5.0], [9.0], [300.0], [450.0]], [0, 0, 1, 1])
#: Payments that detectors find.
UNUSUAL = """
    INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp, channel)
    SELECT 'U' || n, 'C01', 'M01', CASE n WHEN 1 THEN 100000 ELSE 1 END,
        timestamptz '2026-04-11T03:00Z' + n * interval '5 seconds', 'online'
    FROM generate_series(1, 40) AS n
"""
#: A call of each function whose first parameter is ``df``.
CALLS = {
    "compare_models": lambda df: compare_models(
        df, ["fraud_score", "merchant_risk_score"], n_resamples=20
    ),
    "detect_anomalies": detect_anomalies,
    "detect_patterns": detect_patterns,
    "engineer_features": engineer_features,
    "evaluate": lambda df: evaluate(df, score="fraud_score", by="channel", amount="amount"),
    "evaluate_rules": lambda df: evaluate_rules(df, RULES),
    "fit_baseline": lambda df: fit_baseline(df).predictions,
    "fraud_rate": lambda df: fraud_rate(df, by="channel").sort("channel"),
    "fraud_report": lambda df: fraud_report(df, label="is_fraud", **ROLES),
    "handbook_features": handbook_features,
    "label_maturity": label_maturity,
    "measure_drift": lambda df: measure_drift(df, ["amount", "channel"], **PERIODS),
    "model_report": lambda df: model_report(df, label="is_fraud", score="fraud_score", **MODEL),
    "nowcast_fraud_rate": nowcast_fraud_rate,
    "recalibrate": lambda df: recalibrate(df, LATER, score="fraud_score"),
    "rules_report": lambda df: rules_report(df, RULES),
    "score": lambda df: score(df, ON_AMOUNTS, features=["amount"], column="p").lazy().collect(),
    "show": lambda df: show(df)._repr_html_(),
    "suggest_columns": lambda df: str(suggest_columns(df)),
    "time_split": lambda df: time_split(df, "7d", "7d", "7d").test,
    "window_features": window_features,
}
#: Functions that fill tables: `test_snapshot.py` loads one, and a layout is of another file.
OTHERS = {"load_df", "read_layout"}


@pytest.fixture(scope="module")
def snapshot(world, tmp_path_factory):
    scores = "fraud_score = amount / (amount + 100), merchant_risk_score = 100 / (amount + 100)"
    with world.engine.begin() as connection:
        connection.execute(text(UNUSUAL))
        connection.execute(text(f"UPDATE transactions SET {scores}"))
    return write_snapshot(tmp_path_factory.mktemp("snapshots") / "march", manager=world)


@pytest.fixture(scope="module")
def transactions(snapshot, world):
    query = "SELECT * FROM transactions ORDER BY timestamp, transaction_id"
    return read_df(query, output="polars", manager=world)


def comparable(result):
    """Return the numbers of a result; a report has other provenance and another time."""
    if isinstance(result, Result):
        result = result.to_frame()
    return result.to_pandas() if isinstance(result, pl.DataFrame) else result


@pytest.mark.parametrize("name", CALLS)
def test_the_result_is_that_of_the_table(snapshot, transactions, name):
    result, expected = comparable(CALLS[name](snapshot)), comparable(CALLS[name](transactions))

    if isinstance(expected, pd.DataFrame):
        assert len(expected)
        assert_frame_equal(result, expected)
    else:
        assert result == expected


def test_no_function_of_a_frame_is_left_out():
    functions = {
        name
        for name in synfin_analytics.__all__
        if inspect.isfunction(function := getattr(synfin_analytics, name))
        and next(iter(inspect.signature(function).parameters), None) == "df"
    }
    assert functions == CALLS.keys() | OTHERS


def test_the_predictions_of_a_model_are_rows_of_every_function_of_scores(snapshot, world):
    rows = snapshot.predictions("forest", "1.0")
    evaluation = evaluate(rows, "ground_truth", amount="amount")
    report = model_report(rows, label="ground_truth", score="fraud_probability", **MODEL)

    with world.session_scope() as session:
        stored = ModelPredictionRepository(session).evaluate("forest", "1.0", amount=True)
        stored_report = model_report("forest", "1.0", session=session, n_resamples=20)
    assert_frame_equal(evaluation.to_frame(), stored.to_frame())
    assert report.data.n_predictions == stored_report.data.n_predictions
    assert report.evaluation.roc_auc == stored_report.evaluation.roc_auc


def test_predictions_of_an_unknown_model_name_those_of_the_snapshot(snapshot):
    with pytest.raises(NotFoundError, match=r"'forest 2.0'.*Did you mean 'forest 1.0'"):
        snapshot.predictions("forest", "2.0")
