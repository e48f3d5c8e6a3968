"""Rows that stand for several transactions: the numbers of scikit-learn with ``sample_weight``."""

from __future__ import annotations

import math
import pickle

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import Confusion, compare_models, evaluate

SCORES = st.one_of(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), st.floats(0, 1))
WEIGHTS = st.one_of(st.sampled_from([0.5, 1.0, 10.0]), st.floats(0.01, 100))
ROWS = st.lists(st.tuples(SCORES, st.booleans(), WEIGHTS), min_size=2, max_size=60)
BOTH_CLASSES = ROWS.filter(lambda rows: len({label for _, label, _ in rows}) == 2)


def arrays(rows: list[tuple[float, bool, float]]) -> list[np.ndarray]:
    return [np.array(column) for column in zip(*rows, strict=True)]


def sample(size: int = 300, seed: int = 0) -> pl.DataFrame:
    """Transactions of 40 customers, of which one in ten genuine ones was kept."""
    generator = np.random.default_rng(seed)
    fraud = generator.random(size) < 0.3
    return pl.DataFrame(
        {
            "customer_id": generator.integers(40, size=size),
            "timestamp": np.full(size, np.datetime64("2024-05-01T12:00", "us")),
            "channel": generator.choice(["pos", "online"], size),
            "is_fraud": fraud,
            "p": np.clip(generator.normal(0.3 + 0.2 * fraud, 0.2), 0, 1).round(2),
            "amount": generator.integers(1, 100, size=size).astype(float),
            "weight": np.where(fraud, 1, 10),
        }
    )


# -- Against scikit-learn -------------------------------------------------------------------------


@given(BOTH_CLASSES)
def test_metrics_of_the_ranking_are_those_of_scikit_learn(rows):
    score, label, weight = arrays(rows)
    model = evaluate(label, score, weight=weight)

    for metric, reference in {
        "roc_auc": sk.roc_auc_score,
        "average_precision": sk.average_precision_score,
        "brier": sk.brier_score_loss,
        "log_loss": sk.log_loss,
    }.items():
        expected = reference(label, score, sample_weight=weight)
        assert getattr(model, metric) == pytest.approx(expected, rel=1e-9, abs=1e-9), metric
    fpr, tpr, _ = sk.roc_curve(label, score, sample_weight=weight)
    assert model.ks == pytest.approx(np.abs(tpr - fpr).max(), abs=1e-9)


@given(BOTH_CLASSES, SCORES)
def test_metrics_of_a_threshold_are_those_of_scikit_learn(rows, threshold):
    score, label, weight = arrays(rows)
    model = evaluate(label, score, weight=weight, threshold=threshold)
    alert = score >= threshold

    tn, fp, fn, tp = sk.confusion_matrix(label, alert, sample_weight=weight).ravel()
    result = model.confusion
    assert [result.tn, result.fp, result.fn, result.tp] == pytest.approx([tn, fp, fn, tp], abs=1e-9)
    weights = {"sample_weight": weight, "zero_division": np.nan}
    for metric, expected in {
        "precision": sk.precision_score(label, alert, **weights),
        "recall": sk.recall_score(label, alert, **weights),
        "specificity": sk.recall_score(~label, ~alert, **weights),
        "accuracy": sk.accuracy_score(label, alert, sample_weight=weight),
        "balanced_accuracy": sk.balanced_accuracy_score(label, alert, sample_weight=weight),
        "alert_rate": weight[alert].sum() / weight.sum(),
    }.items():
        assert getattr(model, metric) == pytest.approx(expected, abs=1e-9, nan_ok=True), metric
    if 0 < alert.sum() < len(alert):
        expected = sk.matthews_corrcoef(label, alert, sample_weight=weight)
        assert model.mcc == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.tuples(SCORES, st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_a_weight_counts_as_that_many_rows(rows):
    score, label, weight = arrays(rows)
    amount = np.arange(1.0, len(rows) + 1)
    weighted = evaluate(label, score, amount=amount, weight=weight, threshold=0.25)
    repeated = evaluate(
        *(np.repeat(array, weight) for array in (label, score)),
        amount=np.repeat(amount, weight),
        threshold=0.25,
    )

    result, expected = (
        model.summary().set_index("metric")["value"] for model in (weighted, repeated)
    )
    assert np.allclose(result, expected, equal_nan=True)
    assert np.allclose(weighted.curve(), repeated.curve(), equal_nan=True)
    assert np.allclose(weighted.cost_curve(2.5), repeated.cost_curve(2.5), equal_nan=True)
    bands = ["transactions", "frauds", "lift", "ks", "cumulative_fraud_amount_share"]
    tables = [model.gains_table([0.2, 0.5]).bands[bands] for model in (weighted, repeated)]
    assert np.allclose(*tables, equal_nan=True)


# -- On every engine ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_has_the_same_numbers_overall_by_group_and_resampled(kind):
    frame, columns = sample(), {"score": "p", "amount": "amount", "weight": "weight"}
    result = evaluate(ENGINES[kind](frame), by="channel", **columns)
    expected = evaluate(frame, **columns)

    assert result.overall.n == expected.n == frame["weight"].sum()
    values = [model.summary()["value"] for model in (result.overall, expected)]
    assert np.allclose(*values)
    for (channel,), model in result.groups:
        alone = evaluate(frame.filter(channel=channel), **columns)
        assert np.allclose(model.summary()["value"], alone.summary()["value"])
    for metric in ("ks", "precision", "value_detection_rate"):
        resampled = [
            model.bootstrap(metric, n_resamples=20).distribution
            for model in (result.overall, expected)
        ]
        assert np.allclose(*resampled), metric


@pytest.mark.parametrize("kind", ENGINES)
def test_weights_of_labels_are_a_column_of_them_on_every_engine(kind):
    frame, weights = sample(), {False: 50.5, True: 1.25}
    column = frame.with_columns(
        weight=pl.when("is_fraud").then(weights[True]).otherwise(weights[False])
    )
    options = {"score": "p", "amount": "amount", "by": "channel"}
    result = evaluate(ENGINES[kind](frame), weight=weights, **options)
    expected = evaluate(column, weight="weight", **options)

    assert result.overall.counts.weighted
    close = {"rtol": 1e-12, "equal_nan": True}
    for (_, model), (_, reference) in zip(result.groups, expected.groups, strict=True):
        assert np.allclose(model.summary()["value"], reference.summary()["value"], **close)
    assert np.allclose(result.overall.curve(), expected.overall.curve(), **close)
    for metric in ("ks", "precision", "value_detection_rate"):
        resampled = [
            grouped.overall.bootstrap(metric, n_resamples=20).distribution
            for grouped in (result, expected)
        ]
        assert np.allclose(*resampled, rtol=1e-12), metric


@given(BOTH_CLASSES, st.floats(0, 100), st.floats(0.01, 100))
def test_weights_of_labels_are_those_of_scikit_learn(rows, genuine, fraud):
    score, label, _ = arrays(rows)
    model = evaluate(label, score, weight={0: genuine, 1: fraud})
    weight = np.where(label, fraud, genuine)
    expected = sk.average_precision_score(label, score, sample_weight=weight)
    assert model.average_precision == pytest.approx(expected, abs=1e-9)
    assert model.prevalence == pytest.approx(np.average(label, weights=weight))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ({True: 1}, r"`weight` must have a weight for both labels, such as \{False: 50\.0, True"),
        ({"genuine": 50, "fraud": 1}, "must have a weight for both labels"),
        ({False: -1, True: 1}, r"`weight\[False\]` must be a finite number of at least 0; got -1"),
        ({False: 1, True: math.nan}, r"`weight\[True\]` must be a finite number of at least 0"),
        (50, "`weight` must be a column name"),
    ],
)
def test_weights_of_labels_are_a_number_for_each(weight, message):
    with pytest.raises(ArgumentError, match=message):
        evaluate(sample(), score="p", weight=weight)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("weight", [None, -1.0, math.inf])
def test_a_weight_of_a_labelled_row_must_be_a_number_of_at_least_0(kind, weight):
    frame = sample(20).with_columns(
        weight=pl.when(pl.int_range(20) == 3).then(weight).otherwise(1.0)
    )
    message = "'weight' must be a finite number of at least 0; in 1 row with a label it is missing"
    with pytest.raises(ArgumentError, match=message):
        evaluate(ENGINES[kind](frame), score="p", weight="weight")
    unlabelled = frame.with_columns(
        is_fraud=pl.when(pl.int_range(20) == 3).then(None).otherwise("is_fraud")
    )
    assert evaluate(ENGINES[kind](unlabelled), score="p", weight="weight").n == 19


def test_a_resample_counts_the_weights_of_its_customers():
    frame = sample(60)
    result = evaluate(frame, score="p", weight="weight").bootstrap("alert_rate", n_resamples=200)
    weight = frame.group_by("customer_id", maintain_order=True).agg(
        total=pl.col("weight").sum(), alerts=pl.col("weight").filter(pl.col("p") >= 0.5).sum()
    ).sort("customer_id")  # fmt: skip
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(weight), size=len(weight))
    expected = weight["alerts"].to_numpy()[drawn].sum() / weight["total"].to_numpy()[drawn].sum()
    assert result.distribution[0] == pytest.approx(expected)


# -- Intervals ------------------------------------------------------------------------------------


def test_proportions_of_weighted_rows_have_no_interval_and_say_where_there_is_one():
    model = evaluate(sample(), score="p", weight="weight")
    summary = model.summary().set_index("metric")

    assert summary[["k", "n", "value_low", "value_high"]].isna().all().all()
    assert summary.loc["recall", "note"] == "weights leave no interval here: see bootstrap()"
    assert summary.loc["accuracy", "note"] == "weights leave no interval"
    assert all(math.isnan(end) for end in model.confidence_interval("recall"))
    assert model.gains_table(3).bands["fraud_rate_low"].isna().all()
    assert model.calibration()["fraud_rate_high"].isna().all()
    bootstrap = model.bootstrap("recall", n_resamples=100)
    assert bootstrap.low < model.recall < bootstrap.high


def test_groups_of_weighted_rows_are_compared_without_an_interval():
    difference = evaluate(sample(), score="p", weight="weight", by="channel").difference("recall")
    assert difference.value > 0
    assert math.isnan(difference.low)


def test_what_a_team_reviews_in_a_day_cannot_be_weighted():
    model = evaluate(sample(), score="p", weight="weight")
    for review in (
        lambda: model.precision_at_k(5),
        lambda: model.card_precision_at_k(5),
        lambda: model.bootstrap("card_precision_at_k", k=5),
    ):
        with pytest.raises(ArgumentError, match=r"count what a team reviews in a day.*`weight`"):
            review()


@pytest.mark.parametrize("weight", ["weight", {False: 10, True: 1}])
def test_models_are_compared_with_weights(weight):
    frame = sample().with_columns(other=1 - pl.col("p"))
    comparison = compare_models(frame, ["p", "other"], weight=weight, n_resamples=20)
    expected = evaluate(frame, score="other", weight="weight")
    assert comparison.evaluations["other"].average_precision == expected.average_precision
    assert comparison.bootstraps["recall"]["other"].value == pytest.approx(expected.recall)


# -- Presentation and errors ----------------------------------------------------------------------


def test_a_weighted_evaluation_says_so_and_survives_pickling():
    model = evaluate([1, 0], [0.9, 0.2], weight=[1, 9.5])
    assert repr(model).startswith(
        "Evaluation(weights of 10.5 for transactions, 1 for frauds; at 0.5"
    )
    assert "weights of 10.5 for transactions" in model._repr_html_()
    assert "weights of 10.5" in model.gains_table(2)._repr_html_()
    assert pickle.loads(pickle.dumps(model)).prevalence == model.prevalence == 1 / 10.5
    assert model.confusion == Confusion(1, 0, 0, 9.5, weighted=True)
    assert "9.5" in model.confusion._repr_html_()


def test_weights_must_be_as_many_as_labels():
    with pytest.raises(ArgumentError, match="`y_true` and `weight` must have the same length"):
        evaluate([1, 0], [0.9, 0.2], weight=[1])
    with pytest.raises(ArgumentError, match="`weight` must be a finite number of at least 0"):
        evaluate([1, 0], [0.9, 0.2], weight=[1, -1])


def test_a_column_of_weights_must_exist():
    with pytest.raises(NotFoundError, match=r"'wight'.*'weight'"):
        evaluate(sample(), score="p", weight="wight")


def test_counts_that_are_no_sums_of_weights_must_be_whole():
    with pytest.raises(ArgumentError, match="`tp` must be a count"):
        Confusion(1.5, 0, 0, 0)
    with pytest.raises(ArgumentError, match="`tp` must be a sum of weights"):
        Confusion(-1, 0, 0, 0, weighted=True)
