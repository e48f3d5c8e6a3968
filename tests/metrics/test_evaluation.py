"""Evaluations: the numbers of scikit-learn, exactly, on every engine; and what is not defined."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from engines import ENGINES, QUICK, a_third_of_engines, engines_for
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._score_counts import ScoreCounts
from synfin_analytics.metrics.curve import Curve
from synfin_analytics.metrics.evaluation import Evaluation, Threshold

#: Few different scores, so that there are ties, and neighbours that must not be taken for one.
scores = st.one_of(
    st.sampled_from([0.0, 5e-324, 0.1, 0.25, 0.5, 0.5 + 2**-53, 1 - 2**-53, 1.0]),
    st.floats(0, 1),
)
labelled = st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=60)
both_classes = labelled.filter(lambda rows: len({label for _, label in rows}) == 2)


def counts_of(rows) -> ScoreCounts:
    return ScoreCounts.from_arrays([score for score, _ in rows], [label for _, label in rows])


def same(first: float, second: float) -> bool:
    return (math.isnan(first) and math.isnan(second)) or first == pytest.approx(
        second, rel=1e-12, abs=1e-12
    )


# -- Against scikit-learn -----------------------------------------------------------------------


@given(both_classes)
def test_areas_are_those_of_scikit_learn(rows):
    score, label = zip(*rows, strict=True)
    curve = Curve(counts_of(rows))

    assert same(curve.roc_auc, sk.roc_auc_score(label, score))
    assert same(curve.average_precision, sk.average_precision_score(label, score))
    assert same(curve.brier, sk.brier_score_loss(label, score))


@given(both_classes)
def test_the_curve_is_that_of_scikit_learn(rows):
    score, label = zip(*rows, strict=True)
    frame = Curve(counts_of(rows)).to_frame()

    precision, recall, thresholds = sk.precision_recall_curve(label, score)
    assert np.allclose(frame["threshold"][1:], thresholds[::-1], rtol=0, atol=0)
    assert np.allclose(frame["precision"][1:], precision[:-1][::-1], rtol=1e-12)
    assert np.allclose(frame["recall"][1:], recall[:-1][::-1], rtol=1e-12)
    fpr, tpr, _ = sk.roc_curve(label, score, drop_intermediate=False)
    assert np.allclose(frame["false_positive_rate"], fpr, rtol=1e-12)
    assert np.allclose(frame["recall"], tpr, rtol=1e-12)


@given(both_classes, scores)
def test_metrics_of_a_threshold_are_those_of_scikit_learn(rows, threshold):
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    model = Evaluation(counts_of(rows), Threshold(threshold))
    alert = score >= threshold

    assert model.accuracy == pytest.approx(sk.accuracy_score(label, alert))
    assert model.recall == pytest.approx(sk.recall_score(label, alert))
    assert model.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(label, alert))
    if alert.any():
        assert model.precision == pytest.approx(sk.precision_score(label, alert))
        assert model.f1 == pytest.approx(sk.f1_score(label, alert))
    if alert.any() and not alert.all():
        assert model.mcc == pytest.approx(sk.matthews_corrcoef(label, alert), abs=1e-12)


@given(both_classes, st.integers(8, 30))
def test_fewer_points_keep_the_ends_and_the_areas(rows, points):
    model = Evaluation(counts_of(rows), Threshold(0.5))
    complete, thin = model.curve(), model.curve(points)

    assert len(thin) <= points + 1
    assert (
        thin.iloc[[0, -1]]
        .reset_index(drop=True)
        .equals(complete.iloc[[0, -1]].reset_index(drop=True))
    )
    assert set(thin["threshold"]) <= set(complete["threshold"])


def test_who_writes_to_the_frame_of_a_curve_leaves_the_curve_as_it_was():
    curve = Curve(ScoreCounts.from_arrays([0.9, 0.2, 0.1], [True, False, True]))

    written = curve.to_frame()
    written.loc[:, ["threshold", "alerts", "tp"]] = 0

    assert (curve.alerts.tolist(), curve.tp.tolist()) == ([1, 2, 3], [1, 1, 2])
    assert curve.to_frame()["alerts"].tolist() == [0, 1, 2, 3]
    assert curve.to_frame()["threshold"].tolist() == [math.inf, 0.9, 0.2, 0.1]


def test_a_curve_of_many_points_has_nearly_the_same_area_when_it_is_thinned():
    generator = np.random.default_rng(0)
    label = generator.random(50_000) < 0.05
    score = np.clip(generator.normal(0.3 + 0.2 * label, 0.1), 0, 1)
    model = Evaluation(ScoreCounts.from_arrays(score, label), Threshold(0.5))

    thin = model.curve(points=400)

    assert len(thin) < 402
    area = np.trapezoid(thin["recall"], thin["false_positive_rate"])
    assert area == pytest.approx(model.roc_auc, abs=2e-4)


# -- On every engine ----------------------------------------------------------------------------

rows_with_gaps = st.lists(
    st.fixed_dictionaries(
        {
            "p": st.sampled_from([0.0, 0.2, 0.2, 0.7, 1.0]),
            "is_fraud": st.sampled_from([True, False, False, None]),
            "amount": st.sampled_from([1.0, 20.5, None]),
            "channel": st.sampled_from(["pos", "online", None]),
        }
    ),
    max_size=20,
)
SCHEMA = {"p": pl.Float64, "is_fraud": pl.Boolean, "amount": pl.Float64, "channel": pl.String}


@a_third_of_engines
@settings(max_examples=9, phases=QUICK)
@given(rows=rows_with_gaps)
def test_every_engine_gives_the_same_evaluation(engines, rows):
    frame = pl.DataFrame(rows, SCHEMA)
    labelled = frame.drop_nulls("is_fraud")
    expected = ScoreCounts.from_arrays(
        labelled["p"], labelled["is_fraud"], labelled["amount"].fill_null(0)
    )
    for name, native in engines_for(frame, engines).items():
        counts = evaluate(native, score="p", amount="amount").counts
        for array in ("score", "transactions", "frauds", "amount", "fraud_amount"):
            same_array = np.array_equal(getattr(counts, array), getattr(expected, array))
            assert same_array, f"{name}: {array}"
        assert counts.n_unlabelled == frame["is_fraud"].null_count(), name


@a_third_of_engines
@settings(max_examples=6, phases=QUICK)
@given(rows=rows_with_gaps)
def test_every_engine_gives_the_same_groups(engines, rows):
    frame = pl.DataFrame(rows, SCHEMA)
    for name, native in engines_for(frame, engines).items():
        groups = evaluate(native, score="p", by="channel").groups
        assert len(groups) == frame["channel"].n_unique(), name
        for (channel,), model in groups:
            part = frame.filter(pl.col("channel").eq_missing(pl.lit(channel)))
            alone = evaluate(part, score="p")
            assert model.confusion == alone.confusion, (name, channel)
            assert same(model.roc_auc, alone.roc_auc), (name, channel)


# -- What is not defined ------------------------------------------------------------------------


def notes_of(model: Evaluation) -> dict[str, str]:
    summary = model.summary()
    return dict(zip(summary["metric"], summary["note"], strict=True))


def test_without_alerts_the_precision_is_not_defined_and_says_so():
    model = evaluate(pl.DataFrame({"p": [0.1, 0.2], "is_fraud": [0, 1]}), score="p", threshold=0.9)

    assert math.isnan(model.precision)
    assert model.recall == 0
    assert notes_of(model)["precision"] == "no alerts at this threshold"


@pytest.mark.parametrize(
    ("label", "words"), [(0, "no transaction was fraud"), (1, "every transaction was fraud")]
)
def test_one_class_alone_has_no_area(label, words):
    model = evaluate(pl.DataFrame({"p": [0.1, 0.9], "is_fraud": [label] * 2}), score="p")

    assert math.isnan(model.roc_auc)
    assert notes_of(model)["roc_auc"] == words


@pytest.mark.parametrize("labels", [[], [None, None]])
def test_nothing_to_evaluate_is_reported(labels):
    frame = pl.DataFrame(
        {"p": [0.5] * len(labels), "is_fraud": labels}, {"p": pl.Float64, "is_fraud": pl.Boolean}
    )
    model = evaluate(frame, score="p")

    assert model.n == 0
    assert model.n_unlabelled == len(labels)
    assert set(notes_of(model).values()) == {"there is no labelled transaction"}
    assert len(model.curve()) == 1
    assert model.calibration()["transactions"].sum() == 0


# -- Bad input ----------------------------------------------------------------------------------

GOOD = pl.DataFrame({"p": [0.5, 0.5, 0.25], "is_fraud": [0, 1, 0]})


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("is_fraud", [0, 2, 1], "'is_fraud' must be a label.*1 row holds another value"),
        ("p", [0.5, 1.5, 0.5], "'p' must be a score from 0 to 1; in 1 row with a label"),
        ("p", [0.5, None, -0.1], "in 2 rows with a label it is missing, NaN or out of this range"),
        (
            "p",
            [0.5, float("nan"), 0.1],
            "in 1 row with a label it is missing, NaN or out of this range",
        ),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(kind, column, values, words):
    frame = GOOD.with_columns(pl.Series(column, values))
    with pytest.raises(ArgumentError, match=words):
        evaluate(ENGINES[kind](frame), score="p")


def test_the_row_of_the_first_wrong_value_is_named():
    with pytest.raises(ArgumentError, match=r"the first is row 2"):
        evaluate(GOOD.with_columns(p=pl.Series([0.5, 0.5, 7.0])), score="p")


def test_a_score_that_is_missing_does_not_matter_without_a_label():
    frame = GOOD.with_columns(p=pl.Series([0.5, None, 0.25]), is_fraud=pl.Series([0, None, 1]))
    assert evaluate(frame, score="p").n == 2


def test_a_column_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(NotFoundError, match="is_fraud"):
        evaluate(GOOD, "is_frod", "p")


def test_scores_and_labels_of_different_lengths_are_refused():
    with pytest.raises(ArgumentError, match="of the same length"):
        ScoreCounts.from_arrays([0.5, 0.5], [True])


@pytest.mark.parametrize("threshold", [float("nan"), "high", True, None, 30, -0.1, -math.inf])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ArgumentError, match=r"`threshold` must be a score .* from 0 to 1; got"):
        evaluate(GOOD, score="p", threshold=threshold)


# -- Told ---------------------------------------------------------------------------------------


def test_a_summary_has_the_interval_and_the_baseline_beside_each_metric():
    frame = pl.DataFrame({"p": [0.9] * 10 + [0.1] * 90, "is_fraud": [1] * 5 + [0] * 90 + [1] * 5})
    summary = evaluate(frame, score="p").summary().set_index("metric")

    assert summary.loc["precision", ["value", "k", "n", "baseline"]].tolist() == [0.5, 5, 10, 0.1]
    assert summary.loc["precision", "value_low"] == pytest.approx(0.2366, abs=1e-4)
    assert summary.loc["average_precision", "baseline"] == 0.1
    assert summary.loc["roc_auc", "baseline"] == 0.5
    assert summary.loc["brier", "baseline"] == pytest.approx(0.09)


def test_calibration_puts_scores_beside_what_came_true():
    frame = pl.DataFrame({"p": [0.05, 0.05, 0.95, 1.0], "is_fraud": [0, 1, 1, 1]})
    bins = evaluate(frame, score="p").calibration(bins=10)

    assert bins["transactions"].tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins["mean_score"].iloc[[0, 9]].tolist() == pytest.approx([0.05, 0.975])
    assert bins["fraud_rate"].iloc[[0, 9]].tolist() == [0.5, 1.0]


def test_an_evaluation_shows_itself_in_a_notebook():
    model = evaluate(GOOD, score="p")

    assert "3 transactions, 1 fraud;" in repr(model)
    assert "average precision" in model._repr_html_()
