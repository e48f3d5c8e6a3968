"""Labels and scores as arrays, as scikit-learn users pass them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import GroupedEvaluation, compare_models, evaluate

GENERATOR = np.random.default_rng(0)
Y_TRUE = GENERATOR.random(500) < 0.2
Y_SCORE = np.clip(GENERATOR.random(500) * 0.8 + 0.2 * Y_TRUE, 0, 1).round(2)
AMOUNT = GENERATOR.random(500).round(2)
CHANNEL = GENERATOR.choice(["online", "atm", "pos"], 500)
FRAME = pl.DataFrame(
    {"is_fraud": Y_TRUE, "p": Y_SCORE, "amount": AMOUNT, "channel": CHANNEL, "customer_id": 0}
)
KINDS = {
    "numpy": np.asarray,
    "list": lambda values: values.tolist(),
    "tuple": lambda values: tuple(values.tolist()),
    "pandas": lambda values: pd.Series(values, index=np.arange(len(values))[::-1]),
    "pandas with arrow": lambda values: pd.Series(pa.array(values), dtype=None),
    "polars": pl.Series,
    "arrow": pa.array,
    "arrow in chunks": lambda values: pa.chunked_array(
        [pa.array(values[:9]), pa.array(values[9:])]
    ),
    "one column": lambda values: np.asarray(values).reshape(-1, 1),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [bool, int, float])
def test_arrays_are_evaluated_like_columns_whatever_holds_them(kind, labels):
    convert = KINDS[kind]
    result = evaluate(
        convert(Y_TRUE.astype(labels)), convert(Y_SCORE), threshold=0.6, amount=convert(AMOUNT)
    )
    expected = evaluate(FRAME, score="p", threshold=0.6, amount="amount")

    assert result.summary().equals(expected.summary())
    assert result.cost_curve(0.1).equals(expected.cost_curve(0.1))
    assert result.roc_auc == pytest.approx(roc_auc_score(Y_TRUE, Y_SCORE))
    assert result.average_precision == pytest.approx(average_precision_score(Y_TRUE, Y_SCORE))


def test_arrays_can_be_passed_by_name():
    assert evaluate(y_true=Y_TRUE, y_score=Y_SCORE).roc_auc == evaluate(Y_TRUE, Y_SCORE).roc_auc


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_labels_are_left_out_and_counted(missing):
    result = evaluate([1, missing, 0], [0.9, 0.8, 0.1])
    assert (result.n, result.n_frauds, result.n_unlabelled) == (2, 1, 1)


def test_scores_in_single_precision_are_compared_in_single_precision():
    assert evaluate([1], np.array([0.7], np.float32), threshold=0.7).alerts == 1


@pytest.mark.parametrize(
    ("by", "name"),
    [
        (CHANNEL, "group"),
        (CHANNEL.tolist(), "group"),
        (pd.Series(CHANNEL, name="channel"), "channel"),
        (pl.Series("channel", CHANNEL), "channel"),
        ({"channel": CHANNEL}, "channel"),
    ],
    ids=["array", "list", "pandas", "polars", "dict"],
)
def test_arrays_are_grouped_by_an_array(by, name):
    result = evaluate(Y_TRUE, Y_SCORE, by=by)
    expected = evaluate(FRAME, score="p", by="channel")

    assert isinstance(result, GroupedEvaluation)
    assert result.by == (name,)
    assert result.to_frame().rename(columns={name: "channel"}).equals(expected.to_frame())


def test_arrays_are_grouped_by_several_arrays():
    result = evaluate(Y_TRUE, Y_SCORE, by={"channel": CHANNEL, "large": AMOUNT > 0.5})
    assert result.by == ("channel", "large")
    assert len(result.groups) == 6


TWO_ARRAYS = (
    "or an array of labels that is followed by an array of scores: evaluate(df, label='is_fraud', "
    "score='p') or evaluate(y_true, y_score); got "
)
NO_ARRAY = "must be an array, a list or a Series; got"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluate(Y_TRUE, Y_SCORE[1:]),
            "`y_true` and `y_score` must have the same length; got 500 and 499.",
        ),
        (
            lambda: evaluate(Y_TRUE, Y_SCORE, amount=[1.0]),
            "`y_true` and `amount` must have the same length; got 500 and 1.",
        ),
        (
            lambda: evaluate(Y_TRUE, Y_SCORE, by=["atm"]),
            "`y_true` and `by` must have the same length; got 500 and 1.",
        ),
        (
            lambda: evaluate(Y_SCORE, Y_TRUE),
            "`y_true` must be labels (0 or 1) and come before `y_score`; got scores first.",
        ),
        (lambda: evaluate(Y_TRUE), f"{TWO_ARRAYS}an object of type ndarray."),
        (lambda: evaluate("payments.csv"), f"{TWO_ARRAYS}'payments.csv'."),
        (lambda: evaluate(Y_TRUE, "p"), TWO_ARRAYS),
        (
            lambda: evaluate(Y_TRUE, Y_SCORE, 0.3),
            "pass others by name, such as threshold=0.5; got a third, 0.3.",
        ),
        (
            lambda: evaluate(Y_TRUE, np.column_stack([1 - Y_SCORE, Y_SCORE])),
            "got an array of shape (500, 2). Pass the column of the frauds, predict_proba(X)[:, 1]",
        ),
        (
            lambda: evaluate(Y_TRUE, np.zeros((2, 2, 2))),
            "`y_score` must be one-dimensional; got an array of shape (2, 2, 2).",
        ),
        (lambda: evaluate(Y_TRUE, [[0.1], [0.2, 0.3]]), "`y_score` must be one-dimensional"),
        (lambda: evaluate(Y_TRUE, 0.5), f"`y_score` {NO_ARRAY} 0.5."),
        (lambda: evaluate(Y_TRUE, None), f"`y_score` {NO_ARRAY} None."),
        (lambda: evaluate(), f"`y_true` {NO_ARRAY} None."),
        (lambda: evaluate(y_true=Y_TRUE), f"`y_score` {NO_ARRAY} None."),
        (
            lambda: evaluate(FRAME, y_true=Y_TRUE, y_score=Y_SCORE),
            "`df` must not be passed together with `y_true` and `y_score`.",
        ),
        (lambda: evaluate(FRAME, Y_TRUE, Y_SCORE), "`label` must be a column name (a string); got"),
        (lambda: evaluate(Y_TRUE, Y_SCORE, by="channel"), f"`by` {NO_ARRAY} 'channel'."),
        (lambda: evaluate(Y_TRUE, Y_SCORE, amount="amount"), f"`amount` {NO_ARRAY} 'amount'."),
        (
            lambda: evaluate(Y_TRUE, Y_SCORE, by={"y_true": CHANNEL}),
            "`by` must have other names than 'y_true'.",
        ),
        (
            lambda: evaluate(Y_TRUE, Y_SCORE, by={"value": CHANNEL}),
            "`by` must be columns with other names than those of the result; got 'value'.",
        ),
        (lambda: evaluate(["yes", "no"], [0.1, 0.2]), "must be a label: true or false, 1 or 0"),
        (
            lambda: evaluate([0, 2], [0.1, 0.2]),
            "`y_true` must be a label (true or false, 1 or 0, or missing); 1 row holds another "
            "value (the first is row 1).",
        ),
        (
            lambda: evaluate([0, 1], [-3.0, 12.5]),
            "`y_score` must be a score from 0 to 1; in 2 rows with a label it is missing, NaN or",
        ),
    ],
)
def test_calls_that_are_mixed_up_are_explained(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda result: result.bootstrap(),
        lambda result: result.precision_at_k(3),
        lambda result: result.card_precision_at_k(3),
    ],
)
def test_arrays_have_neither_days_nor_customers(call):
    with pytest.raises(ArgumentError, match="was computed from arrays or counts, so days"):
        call(evaluate(Y_TRUE, Y_SCORE))


# -- compare_models --------------------------------------------------------------------------------

MODELS = FRAME.with_columns(customer_id=pl.int_range(pl.len()) % 50, q=1 - pl.col("p"))


def test_models_are_compared_by_the_names_of_their_columns():
    result = compare_models(MODELS, ["p", "q"], metrics=["roc_auc"], n_resamples=20)
    expected = compare_models(MODELS, {"p": "p", "q": "q"}, metrics=["roc_auc"], n_resamples=20)
    assert result.to_frame().equals(expected.to_frame())
    assert list(result.evaluations) == ["p", "q"]


def test_a_single_column_is_a_comparison_of_one():
    result = compare_models(MODELS, "p", metrics=["roc_auc"], n_resamples=5)
    assert list(result.evaluations) == ["p"]


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (
            [],
            ArgumentError,
            "`scores` must be a column name or a list of names, such as 'p_forest'",
        ),
        ({}, ArgumentError, "`scores` must have the column of each model"),
        (["p", "p"], ArgumentError, "`scores` must contain each name once; got 'p' more than once"),
        ([MODELS["p"]], ArgumentError, "`scores` must be a column name or a list of names"),
        (["p", "r"], NotFoundError, "no column 'r' in the frame"),
    ],
)
def test_scores_that_are_no_columns_are_refused(scores, error, message):
    with pytest.raises(error) as caught:
        compare_models(MODELS, scores, metrics=["roc_auc"], n_resamples=5)
    assert message in str(caught.value)


def test_models_are_compared_in_a_frame_only():
    with pytest.raises(ArgumentError, match="`df` must be a DataFrame of pandas"):
        compare_models(Y_TRUE, ["p"])


@pytest.mark.parametrize(
    ("scores", "remedy"),
    [
        ([12.5, 80.0], "They look like percentages: divide them by 100."),
        ([-2.0, 3.5], "They look like log-odds or a decision function: map them to 0 to 1 with"),
        ([0.2, 1.0000001], "The rest is a rounding error: clip them to 0 to 1."),
        ([0.2, 850.0], "dividing them by their largest possible value (850)"),
    ],
)
def test_scores_on_another_scale_name_the_remedy(scores, remedy):
    with pytest.raises(ArgumentError, match=re.escape(remedy)):
        evaluate([0, 1], scores)
    with pytest.raises(ArgumentError, match=re.escape(remedy)):
        evaluate(pd.DataFrame({"is_fraud": [0, 1], "fraud_probability": scores}))
