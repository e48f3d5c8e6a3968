"""Recalibrated scores: the functions of scikit-learn, and what they change on other rows."""

from __future__ import annotations

import json
import pickle
import sys

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from synfin_analytics.exceptions import ArgumentError, MissingDependencyError, NotFoundError
from synfin_analytics.metrics import evaluate, recalibrate


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose decision is the score itself."""

    classes_ = np.array([0, 1])

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):  # noqa: ARG002, N803 - the names of scikit-learn
        return self

    def decision_function(self, X):  # noqa: N803
        return X[:, 0]

    def predict(self, X):  # noqa: N803
        return X[:, 0] >= 0.5


def sample(size: int = 600, seed: int = 0) -> pl.DataFrame:
    """Scores that are too high, with ties."""
    generator = np.random.default_rng(seed)
    score = generator.random(size).round(2)
    return pl.DataFrame({"is_fraud": generator.random(size) < score**2, "p": score})


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["isotonic", "platt"]))
def test_the_functions_are_those_of_scikit_learn_on_the_rows(seed, method):
    frame = sample(200, seed)
    result = recalibrate(frame, frame[1:], score="p", method=method)

    model = CalibratedClassifierCV(
        FrozenEstimator(Scores()), method="sigmoid" if method == "platt" else method
    ).fit(frame[["p"]].to_numpy(), frame["is_fraud"].to_numpy())
    scores = np.linspace(0, 1, 23)
    expected = model.predict_proba(scores[:, None])[:, 1]
    assert np.allclose(result.transform(scores), expected, atol=2e-4)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_weight_counts_as_that_many_rows(method):
    weight = np.random.default_rng(0).integers(1, 5, size=600)
    frame = sample().with_columns(weight=weight)
    weighted = recalibrate(frame, frame[1:], score="p", method=method, weight="weight")
    repeated = frame[np.repeat(np.arange(600), weight)]
    expected = recalibrate(repeated, repeated[weight[0] :], score="p", method=method)

    scores = np.linspace(0, 1, 23)
    assert np.allclose(weighted.transform(scores), expected.transform(scores), atol=1e-6)
    assert np.allclose(weighted.to_frame()["after"], expected.to_frame()["after"], atol=1e-6)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_after_recalibration_the_metrics_are_those_of_the_new_scores(method):
    first, second = sample(2000, seed=1), sample(2000, seed=2)
    result = recalibrate(first, second, score="p", method=method)
    table = result.to_frame().set_index("metric")

    new = second.with_columns(p=pl.Series(result.transform(second["p"].to_numpy())))
    for stage, frame in (("before", second), ("after", new)):
        model = evaluate(frame, score="p")
        for metric in ("brier", "log_loss", "roc_auc", "average_precision"):
            assert table.loc[metric, stage] == pytest.approx(getattr(model, metric))
        assert table.loc["calibration_error", stage] == pytest.approx(model.calibration_error())
        assert table.loc["mean_score", stage] == pytest.approx(frame["p"].mean())
    for metric in ("brier", "log_loss", "calibration_error"):
        assert table.loc[metric, "change"] < 0
    assert abs(table.loc["mean_score", "after"] - second["is_fraud"].mean()) < 0.03


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    model = evaluate([1, 0, 0, 0], [0.9, 0.6, 0.2, 0.2])
    assert model.calibration_error(2) == pytest.approx((0.75 - 0.5) / 2 + 0.2 / 2)
    assert np.isnan(evaluate([None], [0.5]).calibration_error())


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_has_the_same_function_and_metrics(kind):
    first, second = sample(seed=1), sample(seed=2)
    result = recalibrate(ENGINES[kind](first), ENGINES[kind](second), score="p")
    expected = recalibrate(first, second, score="p")
    scores = np.linspace(0, 1, 23)
    assert np.allclose(result.transform(scores), expected.transform(scores))
    assert np.allclose(result.to_frame()["after"], expected.to_frame()["after"])


@pytest.mark.parametrize("kind", ENGINES)
def test_rows_on_which_it_was_fitted_are_an_optimistic_test(kind):
    frame = ENGINES[kind](sample())
    with pytest.warns(UserWarning, match="have the same scores and labels.* pass later"):
        recalibrate(frame, frame, score="p")


def test_amounts_and_thresholds_are_no_part_of_it_and_missing_scores_stay_missing():
    result = recalibrate(sample(), sample(seed=1), score="p")
    transformed = result.transform([[0.2, np.nan]])
    assert transformed.shape == (1, 2)
    assert np.isnan(transformed[0, 1])


def test_a_recalibration_can_be_shown_written_and_pickled():
    result = recalibrate(sample(), sample(seed=2), score="p", method="platt")
    assert repr(result).startswith("Recalibration(platt, 600 transactions, ")
    assert "log loss" in result._repr_html_()
    assert json.loads(json.dumps(result.to_dict()))["method"] == "platt"
    again = pickle.loads(pickle.dumps(result))
    assert np.array_equal(again.transform([0.3]), result.transform([0.3]))


# -- Refused --------------------------------------------------------------------------------------


def test_without_scikit_learn_the_command_that_installs_it_is_named(monkeypatch):
    for module in ("sklearn.isotonic", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, module, None)
    for method in ("isotonic", "platt"):
        with pytest.raises(
            MissingDependencyError, match=r'pip install "synfin-analytics\[models\]"'
        ):
            recalibrate(sample(), sample(seed=1), score="p", method=method)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 0], "got no fraud"), ([1, 1], "got no genuine"), ([None, None], "got no labelled")],
)
def test_both_classes_are_needed_to_fit(labels, message):
    frame = pl.DataFrame({"is_fraud": labels, "p": [0.1, 0.2]}, {"is_fraud": pl.Int64, "p": float})
    with pytest.raises(ArgumentError, match=f"`df` must have frauds and genuine.*{message}"):
        recalibrate(frame, sample(), score="p")


def test_wrong_arguments_are_refused_with_the_rule():
    with pytest.raises(NotFoundError, match="no calibration method 'beta'"):
        recalibrate(sample(), sample(), score="p", method="beta")
    with pytest.raises(ArgumentError, match="`bins` must be"):
        recalibrate(sample(), sample(), score="p", bins=0)
    with pytest.raises(NotFoundError, match="'q'"):
        recalibrate(sample(), sample(), score="q")


def test_scores_that_a_recalibration_cannot_take_are_reported():
    df = pl.DataFrame({"fraud": [0, 0, 1, 0, 1, 1], "p": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]})
    recalibration = recalibrate(df, df[1:], "fraud", "p")
    with pytest.raises(ArgumentError, match=r"from 0 to 1; got 10 to 50\. They look like percent"):
        recalibration.transform([10.0, 50.0])
    with pytest.raises(ArgumentError, match="`scores` must be numbers from 0 to 1; got \\['a'\\]"):
        recalibration.transform(["a"])
