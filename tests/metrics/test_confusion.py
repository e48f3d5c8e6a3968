"""Rates of a confusion, their intervals, and what is said where they are not defined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import Confusion, proportion_interval

counts = st.integers(0, 10**7)


def test_rates_of_a_worked_example():
    confusion = Confusion(tp=30, fp=10, fn=20, tn=940)
    assert confusion.n == 1000
    assert confusion.precision == 0.75
    assert confusion.recall == 0.6
    assert confusion.specificity == pytest.approx(940 / 950)
    assert confusion.false_positive_rate == pytest.approx(10 / 950)
    assert confusion.accuracy == 0.97
    assert confusion.prevalence == 0.05
    assert confusion.f1 == pytest.approx(2 / 3)
    assert confusion.balanced_accuracy == pytest.approx((0.6 + 940 / 950) / 2)
    assert confusion.mcc == pytest.approx(28_000 / math.sqrt(40 * 50 * 950 * 960))


@settings(deadline=None)
@given(counts, counts, counts, counts)
def test_identities_between_the_rates(tp, fp, fn, tn):
    confusion = Confusion(tp, fp, fn, tn)
    if tp:
        assert confusion.f1 == pytest.approx(2 / (1 / confusion.precision + 1 / confusion.recall))
    if fp + tn:
        assert confusion.specificity + confusion.false_positive_rate == pytest.approx(1)
    if not math.isnan(confusion.mcc):
        assert -1 - 1e-12 <= confusion.mcc <= 1 + 1e-12
        # The correlation of the inverted predictions is the opposite.
        assert Confusion(fn, tn, tp, fp).mcc == pytest.approx(-confusion.mcc)


def test_a_rate_without_denominator_is_nan_and_says_why():
    quiet = Confusion(tp=0, fp=0, fn=0, tn=50)
    assert math.isnan(quiet.precision)
    assert math.isnan(quiet.recall)
    assert math.isnan(quiet.f1)
    assert math.isnan(quiet.mcc)
    assert math.isnan(quiet.balanced_accuracy)
    assert quiet.accuracy == 1
    assert (
        quiet.undefined_reason("precision")
        == "precision is not defined: no transaction was predicted to be fraud"
    )
    assert quiet.undefined_reason("accuracy") is None
    assert all(math.isnan(end) for end in quiet.confidence_interval("recall"))


def test_interval_is_that_of_its_two_counts():
    confusion = Confusion(tp=30, fp=10, fn=20, tn=940)
    assert confusion.confidence_interval(
        "precision", interval_method="exact", confidence_level=0.9
    ) == tuple(
        float(end)
        for end in proportion_interval(30, 40, interval_method="exact", confidence_level=0.9)
    )


def test_a_rate_that_is_no_share_of_transactions_has_no_interval():
    with pytest.raises(NotFoundError, match="no rate with an interval 'f1'"):
        Confusion(1, 1, 1, 1).confidence_interval("f1")


@pytest.mark.parametrize("wrong", [-1, 1.5, None, "3"])
def test_a_count_that_is_none_is_refused(wrong):
    with pytest.raises(ArgumentError, match="`fp` must be a count"):
        Confusion(tp=1, fp=wrong, fn=1, tn=1)


def test_counts_may_be_numpy_integers():
    assert Confusion(*np.array([3_000_000_000] * 4)).mcc == 0
