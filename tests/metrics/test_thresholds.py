"""Thresholds: their cost, how they are chosen, and what is said of one chosen on the same rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._score_counts import ScoreCounts
from synfin_analytics.metrics.curve import Costs, Curve, cheapest_threshold, cost_curve

ROWS = pl.DataFrame(
    {
        "p": [0.9, 0.8, 0.6, 0.6, 0.2],
        "is_fraud": [True, False, True, False, True],
        "amount": [100.0, 10.0, 50.0, 20.0, 30.0],
    }
)
MODEL = evaluate(ROWS, score="p", amount="amount")


def test_a_threshold_costs_its_alerts_and_the_fraud_that_gets_through():
    costs = MODEL.cost_curve(cost_per_alert=5, recovery_rate=0.8)

    assert costs["threshold"].tolist() == [math.inf, 0.9, 0.8, 0.6, 0.2]
    assert costs["alerts"].tolist() == [0, 1, 2, 4, 5]
    assert costs["caught_amount"].tolist() == [0, 100, 100, 150, 180]
    assert costs["missed_amount"].tolist() == [180, 80, 80, 30, 0]
    expected = [180, 5 + 80 + 20, 10 + 80 + 20, 20 + 30 + 30, 25 + 0 + 36]
    assert costs["cost"].tolist() == pytest.approx(expected)
    assert costs["saved"].tolist() == pytest.approx([180 - cost for cost in expected])


@pytest.mark.parametrize(("cost_per_alert", "threshold"), [(0, 0.2), (25, 0.9), (1000, math.inf)])
def test_the_best_threshold_costs_least(cost_per_alert, threshold):
    assert float(MODEL.best_threshold(cost_per_alert)) == threshold


rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.3, 0.3, 0.8, 1.0]), st.booleans(), st.floats(0, 1000)),
    min_size=1,
    max_size=30,
)


@given(rows, st.floats(0, 100), st.floats(0, 1), st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
def test_costs_are_those_that_one_would_add_up(rows, cost_per_alert, recovery, threshold):
    score, fraud, amount = (np.array(column) for column in zip(*rows, strict=True))
    frame = pl.DataFrame({"p": score, "is_fraud": fraud, "amount": amount})
    costs = evaluate(frame, score="p", amount="amount").cost_curve(cost_per_alert, recovery)
    alert = score >= threshold
    expected = (
        cost_per_alert * alert.sum()
        + amount[fraud & ~alert].sum()
        + (1 - recovery) * amount[fraud & alert].sum()
    )
    reached = costs[costs["threshold"] >= threshold].iloc[-1]
    assert reached["alerts"] == alert.sum()
    assert reached["cost"] == pytest.approx(expected, abs=1e-6)


def test_a_budget_of_alerts_is_kept_and_used_as_far_as_ties_allow():
    assert float(MODEL.threshold_for_alerts(3)) == 0.8  # at 0.6 there are four
    assert float(MODEL.threshold_for_alerts(4)) == 0.6
    assert MODEL.at_threshold(MODEL.threshold_for_alerts(0)).alerts == 0


@pytest.mark.parametrize("alerts", [-1, 2.5, "x", True])
def test_a_budget_is_a_number_of_alerts(alerts):
    with pytest.raises(ArgumentError, match="`alerts` must be a whole number of at least 0; got"):
        MODEL.threshold_for_alerts(alerts)


def test_recall_at_a_false_positive_rate_is_the_highest_that_it_allows():
    assert MODEL.recall_at_fpr(0) == pytest.approx(1 / 3)
    assert MODEL.recall_at_fpr(0.5) == pytest.approx(1 / 3)
    assert MODEL.recall_at_fpr(1) == 1


def test_precision_at_another_prevalence_is_that_of_bayes():
    at = MODEL.at_threshold(0.6)  # recall 2/3, false-positive rate 1
    assert at.precision_at_prevalence(at.prevalence) == pytest.approx(at.precision)
    assert at.precision_at_prevalence(0.01) == pytest.approx(
        0.01 * 2 / 3 / (0.01 * 2 / 3 + 0.99 * 1)
    )


def test_a_threshold_chosen_on_the_same_rows_is_described_as_such():
    chosen = MODEL.best_threshold(cost_per_alert=25)
    notes = MODEL.at_threshold(chosen).summary().set_index("metric")["note"]

    assert notes["precision"] == "the threshold was chosen on these rows"
    assert notes["roc_auc"] == ""
    assert str(chosen) == "0.9 (lowest cost at 25 per alert and 100% recovered)"


def test_on_other_rows_it_is_not():
    chosen = MODEL.best_threshold(cost_per_alert=20)
    on_other_rows = evaluate(ROWS.head(4), score="p", threshold=chosen)

    assert on_other_rows.threshold is chosen
    assert set(on_other_rows.summary()["note"]) == {""}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cost_per_alert": -1}, "`cost_per_alert` must be an amount of at least 0; got"),
        ({"cost_per_alert": math.nan}, "`cost_per_alert` must be an amount of at least 0; got"),
        (
            {"cost_per_alert": 1, "recovery_rate": 1.5},
            "`recovery_rate` must be a share from 0 to 1; got 1.5",
        ),
    ],
)
def test_costs_that_are_none_are_refused(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        MODEL.cost_curve(**arguments)


def test_costs_without_amounts_say_what_to_give():
    with pytest.raises(ArgumentError, match=r'evaluate\(\.\.\., amount="amount"\)'):
        evaluate(ROWS, score="p").best_threshold(5)


def test_costs_at_a_threshold_have_the_alerts_of_scores_with_fewer_digits():
    counts = ScoreCounts.from_arrays(np.array([0.7], np.float32), [True], [80.0])
    costs = Costs(Curve(counts), cost_per_alert=5)
    assert costs.at([0.7])["alerts"].tolist() == [1]


scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.booleans(), st.integers(-5, 50)),
    max_size=12,
)


@given(scored, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 3.0]))
def test_the_cheapest_threshold_and_costs_at_thresholds_are_rows_of_the_cost_curve(
    rows, recovery_rate, cost_per_alert
):
    scores, labels, amounts = (
        (list(part) for part in zip(*rows, strict=True)) if rows else ([],) * 3
    )
    curve = Curve(ScoreCounts.from_arrays(np.array(scores, float), labels, amounts))
    costs = cost_curve(curve, cost_per_alert, recovery_rate)
    cheapest = costs["threshold"].iloc[int(costs["cost"].argmin())]
    assert cheapest_threshold(curve, cost_per_alert, recovery_rate) == cheapest

    thresholds = [np.inf, 1.0, 0.7, 0.5, 0.0]
    expected = pd.concat([costs[costs["threshold"] >= value].tail(1) for value in thresholds])
    result = Costs(curve, cost_per_alert, recovery_rate).at(thresholds)
    pd.testing.assert_frame_equal(result, expected.reset_index(drop=True), check_exact=True)
