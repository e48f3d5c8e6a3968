"""Display.from_predictions and from_estimator: the plot of the evaluation, in one call."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from pandas.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay
from sklearn.svm import LinearSVC

from synfin_analytics import (
    Display,
    evaluate,
    plot_calibration,
    plot_confusion,
    plot_precision_recall,
    plot_roc,
    plot_thresholds,
)
from synfin_analytics.exceptions import ArgumentError

PLOTS = {
    "roc": plot_roc,
    "precision_recall": plot_precision_recall,
    "thresholds": plot_thresholds,
    "calibration": plot_calibration,
    "confusion": plot_confusion,
}
RNG = np.random.default_rng(2)
X = RNG.normal(size=(300, 2))
Y = (X[:, 0] + RNG.normal(size=300) > 1).astype(int)
WORDS = np.where(Y == 1, "fraud", "genuine")
MODEL = LogisticRegression().fit(X, Y)
SCORES = MODEL.predict_proba(X)[:, 1]


@pytest.fixture(autouse=True)
def pictures_without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


def assert_same(display: Display, expected: Display) -> None:
    assert_frame_equal(display.to_frame(), expected.to_frame())
    assert texts(display) == texts(expected)


def texts(display: Display) -> list[str]:
    return [text.get_text() for text in display.ax.figure.findobj(mpl.text.Text)]


@pytest.mark.parametrize("plot", PLOTS)
def test_predictions_are_drawn_as_their_evaluation(plot):
    display = Display.from_predictions(Y, SCORES, plot=plot, threshold=0.3)
    assert_same(display, PLOTS[plot](evaluate(Y, SCORES, threshold=0.3)))


def test_the_roc_curve_is_the_default():
    assert_same(Display.from_predictions(Y, SCORES), plot_roc(evaluate(Y, SCORES)))


@pytest.mark.parametrize("plot", PLOTS)
def test_an_estimator_is_drawn_as_its_probabilities(plot):
    named = {"name": "LogisticRegression"} if plot in {"roc", "precision_recall"} else {}
    assert_same(
        Display.from_estimator(MODEL, X, Y, plot=plot, threshold=0.3),
        Display.from_predictions(Y, SCORES, plot=plot, threshold=0.3, **named),
    )


def test_a_name_is_in_the_legend_as_in_scikit_learn():
    display = Display.from_predictions(Y, SCORES, name="forest")
    theirs = RocCurveDisplay.from_predictions(Y, SCORES, name="forest")
    assert display.ax.get_legend().get_texts()[0].get_text() == (
        f"forest: AUC {theirs.roc_auc:.3f}"
    )
    assert Display.from_estimator(MODEL, X, Y, name="own").to_frame()["model"].unique() == ["own"]


def test_it_draws_into_the_given_axes_and_again():
    _, ax = plt.subplots()
    display = Display.from_predictions(Y, SCORES, ax=ax, title="My model")
    assert display.ax is ax
    assert repr(display.plot()) == repr(display)
    assert ax.get_title(loc="left") == "My model"


@pytest.mark.parametrize("convert", [list, pd.Series, pl.Series, np.asarray])
@pytest.mark.parametrize("labels", [Y, Y.astype(bool)], ids=["numbers", "booleans"])
def test_labels_and_scores_may_be_any_arrays(convert, labels):
    display = Display.from_predictions(convert(labels.tolist()), convert(SCORES.tolist()))
    assert_frame_equal(display.to_frame(), Display.from_predictions(Y, SCORES).to_frame())


@pytest.mark.parametrize("convert", [list, pd.Series, pl.Series, np.asarray])
def test_labels_may_be_words(convert):
    display = Display.from_predictions(convert(WORDS.tolist()), SCORES, pos_label="fraud")
    assert_frame_equal(display.to_frame(), Display.from_predictions(Y, SCORES).to_frame())
    model = LogisticRegression().fit(X, WORDS)
    fraud = Display.from_estimator(model, X, convert(WORDS.tolist()), pos_label="fraud")
    expected = plot_roc({"LogisticRegression": evaluate(Y, model.predict_proba(X)[:, 0])})
    assert_frame_equal(fraud.to_frame(), expected.to_frame())


def test_a_label_that_is_missing_is_left_out():
    words = pd.Series(WORDS, dtype="str").mask(np.arange(300) % 3 == 0)
    known = words.notna().to_numpy()
    display = Display.from_predictions(words, SCORES, pos_label="fraud")
    assert_same(display, Display.from_predictions(Y[known], SCORES[known]))


def test_weights_count():
    weight = np.where(Y == 1, 1, 10)
    display = Display.from_predictions(Y, SCORES, plot="precision_recall", sample_weight=weight)
    assert_same(display, plot_precision_recall(evaluate(Y, SCORES, weight=weight)))


def test_a_calibration_has_as_many_bins_as_asked_for():
    display = Display.from_predictions(Y, SCORES, plot="calibration", bins=4)
    assert_same(display, plot_calibration(evaluate(Y, SCORES), bins=4))


def test_a_decision_function_is_drawn_between_0_and_1():
    model = LinearSVC().fit(X, Y)
    display = Display.from_estimator(model, X, Y, plot="confusion")
    assert_frame_equal(
        display.to_frame(),
        plot_confusion(evaluate(Y, model.predict(X).astype(float))).to_frame(),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plot": "rock"}, "`plot` must be 'roc', 'precision_recall', 'thresholds', 'calibration' "
         "or 'confusion'; got 'rock'."),
        ({"bins": 5}, "`bins` must be None for plot='roc', which has none; got 5."),
        ({"plot": "confusion", "name": "forest"}, "`name` must be None for plot='confusion', which "
         "names no model; got 'forest'."),
        ({"threshold": 30}, "`threshold` must be a score"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_fit_is_refused(arguments, message):
    for draw in (
        lambda: Display.from_predictions(Y, SCORES, **arguments),
        lambda: Display.from_estimator(MODEL, X, Y, **arguments),
    ):
        with pytest.raises(ArgumentError, match=re.escape(message)):
            draw()


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (LogisticRegression(), {}, "`model` must be fitted: call LogisticRegression.fit(X, y)"),
        ("forest", {}, "`model` must be a classifier of scikit-learn"),
        (MODEL, {"pos_label": "fraud"}, "`pos_label` must be a class of LogisticRegression, 0 and"),
        (LinearSVC().fit(X, Y), {"plot": "calibration"}, "`model` must have predict_proba for "
         "plot='calibration'; LinearSVC has not."),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_drawn_is_refused(model, arguments, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        Display.from_estimator(model, X, Y, **arguments)


def test_scores_of_two_columns_are_refused_with_the_remedy():
    with pytest.raises(ArgumentError, match=re.escape("predict_proba(X)[:, 1]")):
        Display.from_predictions(Y, MODEL.predict_proba(X))
