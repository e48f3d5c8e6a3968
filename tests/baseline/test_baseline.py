"""The simple model that looks for fraud in the simulated world."""

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression

from synfin_analytics.baseline import FEATURES, fit_baseline
from synfin_analytics.baseline._features import compute_features
from synfin_analytics.baseline._regression import (
    Moments,
    Part,
    RowsInMemory,
    Split,
    Weights,
    find_threshold,
    fit_weights,
)
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import Confusion
from synfin_analytics.simulation import simulate


@pytest.fixture(scope="module")
def world():
    return simulate(customers=300, merchants=100, days=90, seed=3, output="polars")


@pytest.fixture(scope="module")
def model(world):
    return fit_baseline(world.transactions)


def confusion_of(predictions: pl.DataFrame) -> Confusion:
    counts = {
        (prediction, truth): n
        for prediction, truth, n in predictions.group_by("prediction", "ground_truth").len().rows()
    }
    cells = [(True, True), (True, False), (False, True), (False, False)]
    return Confusion(*(counts.get(cell, 0) for cell in cells))


def test_the_model_finds_fraud_far_better_than_chance(model):
    confusion = confusion_of(model.predictions)
    assert confusion.recall > 5 * confusion.prevalence
    assert confusion.precision > 5 * confusion.prevalence


def test_only_the_last_part_is_predicted_and_labels_had_time_to_arrive(world, model):
    moments = world.transactions.join(model.predictions, on="transaction_id")["timestamp"]
    assert moments.min() >= model.test_start
    assert model.test_start - model.train_end >= dt.timedelta(days=7)
    learnt = world.transactions.filter(pl.col("timestamp") < model.train_end)
    assert (model.n_train, model.n_train_frauds) == (len(learnt), learnt["is_fraud"].sum())


def test_later_payments_and_labels_change_no_earlier_feature(world, model):
    """Neither features nor threshold may know the future."""
    last = world.transactions["timestamp"].max()
    cut = model.test_start + (last - model.test_start) / 2
    changed = world.transactions.with_columns(
        pl.when(pl.col("timestamp") > cut).then(9_999.0).otherwise("amount").alias("amount"),
        # Labels younger than the delay are not known yet at the cut.
        (pl.col("is_fraud") ^ (pl.col("timestamp") > cut - dt.timedelta(days=6))).alias("is_fraud"),
    )
    again = fit_baseline(changed)
    assert again.threshold == model.threshold
    before = world.transactions.filter(
        pl.col("timestamp").is_between(model.test_start, cut, closed="left")
    )["transaction_id"]
    scores = [
        fitted.predictions.filter(pl.col("transaction_id").is_in(before.implode())).select(
            "transaction_id", "prediction", "fraud_probability"
        )
        for fitted in (model, again)
    ]
    assert len(scores[0]) > 100
    assert_frame_equal(*scores)


def test_features_are_of_what_is_known_at_the_moment():
    start = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    days = [0, 0.5, 1, 8, 40]
    frame = pl.DataFrame(
        {
            "transaction_id": ["T0", "T1", "T2", "T3", "T4"],
            "customer_id": ["C1", "C1", "C2", "C1", "C1"],
            "merchant_id": ["M1"] * 5,
            "timestamp": [start + dt.timedelta(days=day) for day in days],
            "amount": [10.0, 30.0, 7.0, 80.0, 40.0],
            "is_fraud": [True, None, False, True, False],
        }
    )
    features = compute_features(frame, dt.timedelta(days=7))
    # C1 paid 10, then 10 and 30, then 10, 30 and 80 before; C2 nothing.
    ratios = [0, math.log(30 / 10), 0, math.log(80 / 20), math.log(40 / 40)]
    assert features["amount_ratio"].to_list() == pytest.approx(ratios)
    assert features["amount_deviation"].to_list() == pytest.approx([abs(ratio) for ratio in ratios])
    assert features["payments_24h"].to_list() == pytest.approx([0, math.log(2), 0, 0, 0])
    assert features["night"].to_list() == [0, 1, 0, 0, 0]
    # At day 8 the labels of days 0 and 1 are known: one fraud of two. At day 40 those before day 5
    # are too old, and that of day 8 is known.
    prior = 20
    risks = [0.2 / prior] * 3 + [(1 + 0.2) / (2 + prior), (1 + 0.2) / (1 + prior)]
    assert features["merchant_risk"].exp().to_list() == pytest.approx(risks)


def test_an_alarm_is_a_score_of_at_least_the_threshold(model):
    assert 0 < model.threshold < 1
    alarms = model.predictions.filter("prediction")["fraud_probability"]
    quiet = model.predictions.filter(~pl.col("prediction"))["fraud_probability"]
    assert alarms.min() >= model.threshold > quiet.max()
    assert set(model.coefficients) == set(FEATURES)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=30
    ).filter(lambda rows: any(truth for _, truth in rows))
)
def test_no_other_threshold_has_a_better_f1(rows):
    logits, truth = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    features = np.column_stack([logits, *[np.zeros(len(rows))] * (len(FEATURES) - 1)])
    zeros, ones = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
    weights = Weights(mean=zeros, scale=ones, values=np.append(0, ones))
    scores = weights.score(features)

    def f1(threshold: float) -> float:
        predicted = scores >= threshold
        return Confusion(
            *(int(n) for n in (
                (predicted & (truth == 1)).sum(), (predicted & (truth == 0)).sum(),
                (~predicted & (truth == 1)).sum(), (~predicted & (truth == 0)).sum(),
            ))
        ).f1  # fmt: skip

    part = Part(np.zeros(len(rows), int), truth, features)
    threshold = find_threshold(RowsInMemory(part), Split(train_end=1, test_start=1), weights)
    assert f1(threshold) == max(f1(score) for score in scores)


def test_the_weights_have_no_gradient(world):
    """At the minimum of the mean loss and the penalty, as of scikit-learn's regression."""
    frame = compute_features(world.transactions, dt.timedelta(days=7))
    features, is_fraud = frame.select(list(FEATURES)).to_numpy(), frame["is_fraud"].to_numpy()
    part = Part(np.zeros(len(frame), int), is_fraud.astype(float), features)
    rows, split = RowsInMemory(part), Split(train_end=1, test_start=1)
    weights = fit_weights(rows, split, rows.sum(Moments(split)))
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    # With scikit-learn, the intercept has a penalty if it is a column of ones.
    design = np.column_stack([np.ones(len(frame)), standardised])
    penalty = 1 / (1e-4 * len(frame))
    expected = LogisticRegression(
        C=penalty, fit_intercept=False, solver="newton-cholesky", tol=1e-12
    ).fit(design, is_fraud)
    np.testing.assert_allclose(weights.values, expected.coef_[0], rtol=1e-8)


@pytest.mark.parametrize(
    "kind", ["pandas in pieces", "pandas with objects", "pyarrow", "polars lazy", "duckdb"]
)
def test_every_kind_of_frame_gives_the_same_model(world, model, kind):
    again = fit_baseline(ENGINES[kind](world.transactions))

    assert_frame_equal(again.predictions, model.predictions)


def test_what_is_no_frame_is_refused_in_words():
    with pytest.raises(ArgumentError, match="The data of fit_baseline must be a DataFrame"):
        fit_baseline([1, 2])


def test_predictions_load_as_they_are(manager, world, model):
    for table, frame in world._asdict().items():
        load_df(frame, table, manager=manager)
    report = load_df(model.predictions, "model_predictions", manager=manager)
    assert report.inserted == len(model.predictions)


def test_without_a_known_fraud_there_is_never_an_alarm(world):
    model = fit_baseline(world.transactions.with_columns(is_fraud=pl.lit(False)))
    assert math.isinf(model.threshold)
    assert not model.predictions["prediction"].any()


def test_what_is_not_labelled_is_predicted_but_not_learnt_from(world):
    half_labelled = world.transactions.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then("is_fraud").alias("is_fraud")
    )
    model = fit_baseline(half_labelled)
    assert model.predictions["ground_truth"].null_count() > 0
    learnt = half_labelled.filter(
        (pl.col("timestamp") < model.train_end) & pl.col("is_fraud").is_not_null()
    )
    assert model.n_train == len(learnt)


def test_amounts_of_zero_and_of_three_decimals_are_scored(world):
    amounts = pl.when(pl.int_range(pl.len()) % 3 == 0).then(0.0).otherwise(pl.col("amount") * 1.001)
    model = fit_baseline(world.transactions.with_columns(amounts.alias("amount")))
    assert model.predictions["fraud_probability"].is_between(0, 1).all()
    model_of_zeros = fit_baseline(world.transactions.with_columns(amount=pl.lit(0.0)))
    assert model_of_zeros.predictions["fraud_probability"].is_between(0, 1).all()


def test_an_amount_that_is_missing_is_refused(world):
    amounts = pl.when(pl.int_range(pl.len()) != 3).then("amount")
    with pytest.raises(ArgumentError, match="amount: is required but missing: 1 row: 3"):
        fit_baseline(world.transactions.with_columns(amounts))


def test_too_little_training_data_is_reported(world):
    with pytest.raises(ArgumentError, match="too few to train on"):
        fit_baseline(world.transactions.head(1))
    with pytest.raises(ArgumentError, match="too few to train on"):
        fit_baseline(world.transactions.with_columns(is_fraud=pl.lit(None, pl.Boolean)))
    with pytest.raises(NotFoundError, match="no column 'amount'"):
        fit_baseline(world.transactions.drop("amount"))
    with pytest.raises(ArgumentError, match="`train_fraction` must be between 0 and 1; got 1"):
        fit_baseline(world.transactions, train_fraction=1)
