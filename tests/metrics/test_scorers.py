"""Scorers for scikit-learn: the numbers of ``evaluate`` for the rows of each fold."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_validate
from sklearn.svm import LinearSVC

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import (
    PrequentialSplit,
    evaluate,
    make_card_precision_scorer,
    make_cost_scorer,
    make_value_detection_scorer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

RNG = np.random.default_rng(5)
N = 1_200
X = RNG.normal(size=(N, 2))
Y = (X[:, 0] + RNG.normal(size=N) > 2).astype(int)
METADATA = {
    "timestamp": pd.Series(pd.Timestamp("2026-03-01", tz="UTC")
                           + pd.to_timedelta(np.sort(RNG.uniform(0, 40, N)), "D")),
    "customer": RNG.choice([f"C{number}" for number in range(90)], N),
    "amount": RNG.gamma(2, 40, N).round(2),
}  # fmt: skip
CV = PrequentialSplit(3, train="14d", delay="5d", test="7d", timestamps=METADATA["timestamp"])
MODEL = LogisticRegression()


@pytest.fixture(autouse=True)
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def rows(test: Any, model: Any, **columns: Any) -> pd.DataFrame:
    """Test rows of a fold, with the probabilities of the model that was fitted for it."""
    frame = pd.DataFrame({name: np.asarray(values)[test] for name, values in METADATA.items()})
    frame["timestamp"] = METADATA["timestamp"].to_numpy()[test]
    return frame.assign(y=Y[test], p=model.predict_proba(X[test])[:, 1], **columns)


def cross_validated(scoring: Any, *names: str) -> tuple[list[float], list[pd.DataFrame]]:
    result = cross_validate(
        MODEL, X, Y, cv=CV, scoring=scoring, return_estimator=True, return_indices=True,
        params={name: METADATA[name] for name in names}, error_score="raise",
    )  # fmt: skip
    folds = zip(result["indices"]["test"], result["estimator"], strict=True)
    return result["test_score"].tolist(), [rows(test, model) for test, model in folds]


# -- The numbers ----------------------------------------------------------------------------------


def test_card_precision_is_that_of_evaluate():
    scores, folds = cross_validated(make_card_precision_scorer(k=3), "timestamp", "customer")
    assert scores == [
        evaluate(fold, "y", "p").card_precision_at_k(3, entity="customer").value for fold in folds
    ]
    assert min(scores) > 0


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_value_detection_is_that_of_evaluate(threshold):
    scores, folds = cross_validated(make_value_detection_scorer(threshold=threshold), "amount")
    assert scores == [
        evaluate(fold, "y", "p", amount="amount", threshold=threshold).value_detection_rate
        for fold in folds
    ]
    assert min(scores) > 0


def test_cost_is_that_of_evaluate_and_negative():
    scores, folds = cross_validated(make_cost_scorer(5, 0.8, threshold=0.3), "amount")
    assert scores == [
        -evaluate(fold, "y", "p", amount="amount", threshold=0.3).cost(5, 0.8) for fold in folds
    ]


def test_without_a_threshold_the_model_decides():
    class Cautious(LogisticRegression):
        def predict(self, X: Any) -> Any:  # noqa: N803
            return (self.predict_proba(X)[:, 1] > 0.1).astype(int)

    model = Cautious().fit(X, Y)
    metadata = {"amount": METADATA["amount"]}
    decided = make_cost_scorer(5, threshold=None)(model, X, Y, **metadata)
    assert decided == make_cost_scorer(5, threshold=0.1)(model, X, Y, **metadata)
    assert decided != make_cost_scorer(5)(model, X, Y, **metadata)


def test_weights_count():
    model, weight = MODEL.fit(X, Y), np.where(Y == 1, 1, 10)
    expected = evaluate(
        Y, model.predict_proba(X)[:, 1], amount=METADATA["amount"], weight=weight
    )  # fmt: skip
    metadata = {"amount": METADATA["amount"], "sample_weight": weight}
    assert make_cost_scorer(5)(model, X, Y, **metadata) == -expected.cost(5)
    detected = make_value_detection_scorer()(model, X, Y, **metadata)
    assert detected == expected.value_detection_rate


def test_a_decision_function_ranks_cards():
    model = LinearSVC().fit(X, Y)
    decision = model.decision_function(X)
    assert decision.min() < -1  # no probabilities
    metadata = {name: METADATA[name] for name in ("timestamp", "customer")}
    score = make_card_precision_scorer(k=3)(model, X, Y, **metadata)
    frame = pd.DataFrame(metadata).assign(y=Y, p=1 / (1 + np.exp(-decision)))
    assert score == evaluate(frame, "y", "p").card_precision_at_k(3, entity="customer").value


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: make_card_precision_scorer(3, **options),
        make_value_detection_scorer,
        lambda **options: make_cost_scorer(5, **options),
        lambda **options: make_cost_scorer(5, threshold=None, **options),
    ],
    ids=["cards", "value", "cost", "cost of decisions"],
)
@pytest.mark.parametrize("fraud", ["fraud", "a fraud"], ids=["second class", "first class"])
def test_labels_may_be_words(make, fraud):
    words = np.where(Y == 1, fraud, "genuine")
    model, other = LogisticRegression().fit(X, words), LogisticRegression().fit(X, Y)
    scorer = make(pos_label=fraud)
    metadata = {
        name: METADATA[name]
        for name in METADATA
        if scorer._get_metadata_request().consumes("score", [name])
    }
    assert scorer(model, X, words, **metadata) == pytest.approx(make()(other, X, Y, **metadata))


def test_rows_without_a_label_are_left_out():
    y = Y.astype(float)
    y[::3] = np.nan
    model, known = MODEL.fit(X, Y), ~np.isnan(y)
    scorer = make_value_detection_scorer()
    amount = METADATA["amount"]
    assert scorer(model, X, y, amount=amount) == scorer(
        model, X[known], y[known], amount=amount[known]
    )


# -- In scikit-learn ------------------------------------------------------------------------------


def test_a_grid_search_chooses_by_several_scorers():
    scoring = {
        "cards": make_card_precision_scorer(3),
        "value": make_value_detection_scorer(threshold=0.2),
        "cost": make_cost_scorer(5, threshold=0.2),
    }
    search = GridSearchCV(
        MODEL, {"C": [1e-4, 1]}, cv=CV, scoring=scoring, refit="cost", error_score="raise"
    ).fit(X, Y, **METADATA)
    assert search.best_params_ == {"C": 1}
    assert search.best_score_ == max(search.cv_results_["mean_test_cost"])


def test_a_threshold_is_tuned_for_the_lowest_cost():
    amount = METADATA["amount"]
    model = TunedThresholdClassifierCV(
        MODEL, scoring=make_cost_scorer(5), cv="prefit", refit=False, thresholds=200
    )
    model.estimator = MODEL.fit(X, Y)
    model.fit(X, Y, amount=amount)
    evaluation = evaluate(Y, MODEL.predict_proba(X)[:, 1], amount=amount)
    tuned = evaluation.at_threshold(model.best_threshold_).cost(5)
    assert tuned == pytest.approx(-model.best_score_)
    assert tuned < evaluation.cost(5)


def test_metadata_may_have_other_names():
    scorer = make_card_precision_scorer(3).set_score_request(timestamp="when", customer="card")
    params = {"when": METADATA["timestamp"], "card": METADATA["customer"]}
    result = cross_validate(MODEL, X, Y, cv=CV, scoring=scorer, params=params)
    assert (
        result["test_score"].tolist()
        == cross_validated(make_card_precision_scorer(3), "timestamp", "customer")[0]
    )


def test_a_scorer_made_before_routing_was_enabled_must_request_its_metadata():
    with sklearn.config_context(enable_metadata_routing=False):
        scorer = make_value_detection_scorer()
    with pytest.raises((UnsetMetadataPassedError, TypeError), match="amount"):  # 1.6: the latter
        cross_validated(scorer, "amount")
    requested = cross_validated(scorer.set_score_request(amount=True), "amount")
    assert requested[0] == cross_validated(make_value_detection_scorer(), "amount")[0]


def test_scorers_can_be_pickled_for_parallel_jobs():
    scorer = pickle.loads(pickle.dumps(make_cost_scorer(5)))
    assert scorer(MODEL.fit(X, Y), X, Y, amount=METADATA["amount"]) < 0


# -- What they refuse -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_card_precision_scorer(0), "`k` must be a whole number of at least 1; got 0."),
        (lambda: make_value_detection_scorer(threshold=30), "`threshold` must be a score"),
        (lambda: make_cost_scorer(-1), "`cost_per_alert` must be an amount of at least 0"),
        (lambda: make_cost_scorer(1, 80), "`recovery_rate` must be a share from 0 to 1"),
    ],
)
def test_an_invalid_argument_is_refused_at_once(make, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("scorer", "missing"),
    [
        (lambda: make_card_precision_scorer(), "timestamp"),
        (lambda: make_value_detection_scorer(), "amount"),
        (lambda: make_cost_scorer(5), "amount"),
    ],
    ids=["cards", "value", "cost"],
)
def test_missing_metadata_are_named_with_the_way_to_pass_them(scorer, missing):
    with pytest.raises(ArgumentError) as error:
        cross_validate(MODEL, X, Y, cv=CV, scoring=scorer(), params={}, error_score="raise")
    assert str(error.value) == (
        f"`{missing}` must be passed to the scorer as metadata: "
        "sklearn.set_config(enable_metadata_routing=True), "
        f"scorer.set_score_request({missing}=True) and params={{{missing!r}: values}}."
    )


def test_metadata_have_one_value_for_each_row():
    metadata = {"timestamp": METADATA["timestamp"], "customer": METADATA["customer"][:5]}
    with pytest.raises(ArgumentError, match="`customer` must have one value for each of the 1,200"):
        make_card_precision_scorer()(MODEL.fit(X, Y), X, Y, **metadata)


def test_without_scikit_learn_the_error_names_the_command_that_installs_it():
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from synfin_analytics import make_cost_scorer\n"
        "try: make_cost_scorer(5)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == (
        "MissingDependencyError A scorer for scikit-learn requires the package 'sklearn', which is "
        'not installed. Install it with: pip install "synfin-analytics[models]"'
    )
