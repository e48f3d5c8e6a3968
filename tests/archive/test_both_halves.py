"""Counts of both halves equal those of all rows, before they were archived."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest

from synfin_analytics import (
    ArgumentError,
    DatabaseConfig,
    DatabaseManager,
    ModelPredictionRepository,
    NotFoundError,
    RuleEvaluation,
    TransactionRepository,
    archive_transactions,
    fraud_report,
    load_df,
    model_report,
    rules_report,
    simulate,
)

BEFORE = "2025-02"
PERIODS = [{}, {"start": "2025-01-20", "end": "2025-02-20", "as_of": "2025-02-15"}]
RULES = {
    "large": "amount > 99.99",
    "thirds": "amount / 3 > 40.005 OR amount * 2 = 25.5",
    "night online": "hour_of_day < 5 AND is_online",
    "recent": "timestamp >= '2025-02-01' AND category IN ('travel', 'fuel')",
    "column": "is_international",
    "unknown": "nothing > 1",
    "no text": 7,
}
REPORTS = {
    "fraud": lambda **options: fraud_report(
        by=["channel", ("channel", "category")], bins={"amount": [20, 100]}, every="1w", **options
    ),
    "model": lambda **options: model_report(
        "forest", "1", compare_with=("amount", "1"), n_resamples=20, **options
    ),
    "weighted model": lambda **options: model_report(
        "forest", "1", weight={False: 50.0, True: 1.0}, by=[], n_resamples=20, **options
    ),
    "rules": lambda **options: rules_report(
        rules={name: rule for name, rule in RULES.items() if name != "no text"},
        model="large",
        **options,
    ),
}
METHODS = {
    "rate": lambda rates, _, options: rates.fraud_rate(**options),
    "rate by channel and week": lambda rates, _, options: rates.fraud_rate(
        "channel", every="1w", cluster="customer_id", **options
    ),
    "rate by amount": lambda rates, _, options: rates.fraud_rate(
        bins={"amount": [10, 50]}, interval_method="exact", **options
    ),
    "statistics": lambda rates, _, options: rates.get_statistics(
        options.pop("start", None), options.pop("end", None), **options
    ),
    "maturity": lambda rates, _, options: rates.label_maturity(**options),
    "maturity by channel": lambda rates, _, options: rates.label_maturity(
        "channel", every="1d", mature_age=10, **options
    ),
    "nowcast": lambda rates, _, options: rates.nowcast_fraud_rate(n_resamples=200, **options),
    "nowcast by channel": lambda rates, _, options: rates.nowcast_fraud_rate(
        ["channel", "is_online"], n_resamples=200, **options
    ),
    "evaluated rules": lambda rates, _, options: rates.evaluate_rules(RULES, **options),
    "rules with scores": lambda rates, _, options: rates.evaluate_rules(
        {"high": "score >= 0.5", "known": "is_fraud", "both": "score >= 0.3 AND other > 0.1"},
        models={"score": ("forest", "1"), "other": ("amount", "1")},
        cluster="card_id",
        every="1mo",
        **options,
    ),
    "evaluation": lambda _, models, options: models.evaluate("forest", "1", amount=True, **options),
    "evaluation by channel": lambda _, models, options: models.evaluate(
        "forest", "1", by="channel", **options
    ),
    "evaluation in common": lambda _, models, options: models.evaluate(
        "forest", "1", common_with=[("amount", "1")], weight="amount", **options
    ),
}


def predictions(df, name, score):
    return df.select(
        "transaction_id",
        model_name=pl.lit(name),
        model_version=pl.lit("1"),
        fraud_probability=score,
        prediction=score >= 0.3,
        ground_truth=pl.col("is_fraud"),
        feature_importance=pl.concat_str(
            pl.lit('{"amount": '), score, pl.lit(', "hour": -0.5, "note": "x"}')
        ),
        predicted_at=pl.col("timestamp"),
    )


@pytest.fixture(scope="module")
def manager(_module_database):
    manager = DatabaseManager(
        dataclasses.replace(DatabaseConfig.from_env(), database=_module_database)
    )
    yield manager
    manager.close()


@pytest.fixture(scope="module")
def halves(manager, tmp_path_factory):
    """The archive, and all answers from before it was written."""
    world = simulate(25, 12, days=60, start=dt.date(2025, 1, 1), output="polars")
    number = pl.int_range(pl.len())
    hours = pl.when(number % 11 > 0).then(number * 7919 % 480)
    df = world.transactions.with_columns(
        label_available_at=pl.col("timestamp") + pl.duration(hours=hours)
    )
    for table, frame in (world.to_dict() | {"transactions": df}).items():
        load_df(frame, table, manager=manager)
    high = pl.col("is_fraud").fill_null(value=False).cast(pl.Float64) * 0.4
    forest = high + (number * 7919 % 1000) / 2000
    load_df(predictions(df, "forest", forest), "model_predictions", manager=manager)
    amounts = predictions(df, "amount", (pl.col("amount") / 500).clip(0, 1))
    load_df(amounts.filter(number % 3 > 0), "model_predictions", manager=manager)
    answers = {(name, number): ask(manager, name, number) for name, number in questions()}
    folder = tmp_path_factory.mktemp("archive")
    report = archive_transactions(folder, BEFORE, manager=manager)
    assert report.rows["transactions"] > len(df) / 4
    return folder, answers


def questions():
    return [(name, number) for name in (*REPORTS, *METHODS) for number in range(len(PERIODS))]


def ask(manager, name, number, **archive):
    options = PERIODS[number] | archive
    with manager.session_scope(read_only=True) as session:
        if name in REPORTS:
            return content(REPORTS[name](session=session, **options))
        repositories = TransactionRepository(session), ModelPredictionRepository(session)
        answer = METHODS[name](*repositories, dict(options))
        if name == "evaluation":
            bootstrap = answer.bootstrap("recall", cluster="customer_id", n_resamples=20)
            return content(answer), content(bootstrap), content(answer.card_precision_at_k(2))
        return content(answer)


def content(value):
    """The numbers of a result, as lists and dicts."""
    if isinstance(value, RuleEvaluation):
        return [content(value.to_dict()), value.findings, value.caveats]
    if isinstance(value, pd.DataFrame):
        return {name: content(value[name].tolist()) for name in value.columns}
    if dataclasses.is_dataclass(value):
        leave_out = {"provenance", "created_at", "rows"}
        return {
            field.name: content(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name not in leave_out
        }
    if isinstance(value, dict):
        return {str(key): content(cell) for key, cell in value.items()}
    if isinstance(value, list | tuple | np.ndarray | pd.Index):
        return [content(cell) for cell in value]
    if isinstance(value, str | int | float | bool | dt.date | dt.timedelta | np.generic):
        return value
    return None if value is None or value is pd.NA else str(value)


def assert_equal(actual, expected, where=""):
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for name, value in expected.items():
            assert_equal(actual[name], value, f"{where}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected), where
        for position, (left, right) in enumerate(zip(actual, expected, strict=True)):
            assert_equal(left, right, f"{where}[{position}]")
    elif isinstance(expected, float | np.floating) and not math.isnan(expected):
        assert actual == pytest.approx(expected, rel=1e-12, abs=1e-12), where
    elif expected is not None and pd.isna(expected):
        assert actual is not None, where
        assert pd.isna(actual), where
    else:
        assert actual == expected, where


@pytest.mark.parametrize(("name", "number"), questions())
def test_both_halves_are_counted_as_one_table(manager, halves, name, number):
    folder, answers = halves
    assert_equal(ask(manager, name, number, archive=folder), answers[name, number])


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_rates_have_the_types_that_the_database_gives(manager, halves, output):
    folder, _ = halves
    with manager.session_scope() as session:
        repository = TransactionRepository(session, output)
        stored = repository.fraud_rate("channel", every="1w")
        both = repository.fraud_rate("channel", every="1w", archive=folder)
    types = {"pandas": "dtypes", "polars": "schema"}[output]
    assert str(getattr(both, types)) == str(getattr(stored, types))


def test_a_model_in_neither_half_is_not_found(manager, halves):
    folder, _ = halves
    with manager.session_scope() as session:
        repository = ModelPredictionRepository(session)
        with pytest.raises(NotFoundError, match=r"Did you mean 'forest 1'"):
            repository.evaluate("forrest", "1", archive=folder)
        with pytest.raises(NotFoundError, match=r"Did you mean 'forest 1'"):
            TransactionRepository(session).evaluate_rules(
                {"high": "score > 0.5"}, models={"score": ("forrest", "1")}, archive=folder
            )
        with pytest.raises(ArgumentError, match="no prediction of forest 1"):
            repository.evaluate("forest", "1", end="1999-01-01", archive=folder)
        with pytest.raises(ArgumentError, match="database and the archive in this period"):
            fraud_report(end="1999-01-01", session=session, archive=folder)


def test_an_archive_goes_with_the_database_only(halves):
    folder, _ = halves
    df = pl.DataFrame({"is_fraud": [True], "p": [0.5]})
    with pytest.raises(ArgumentError, match="`archive` is for the database"):
        fraud_report(df, label="is_fraud", archive=folder)
    with pytest.raises(ArgumentError, match="`archive` is for the database"):
        rules_report(df, {"high": "p > 0.1"}, archive=folder)
    with pytest.raises(ArgumentError, match="`archive` is for a stored model"):
        model_report(df, label="is_fraud", score="p", archive=folder)
