"""Rates and their intervals, against published values and against their own definitions."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import confint_proportions_2indep

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import proportion_interval, ratio
from synfin_analytics.metrics.proportions import ratio_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(385, 58_264, 0.00598, 0.00730), (3, 40, 0.026, 0.199), (0, 50, 0.0, 0.071)],
)
def test_wilson_interval_has_the_reference_values(successes, trials, low, high):
    digits = 5 if trials > 1000 else 3
    ends = proportion_interval(successes, trials)
    assert [round(float(end), digits) for end in ends] == [low, high]


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson_and_exact_agree_with_scipy(successes, failures):
    trials = successes + failures
    if trials == 0:
        return
    for method, statsmodels_method in (("wilson", "wilson"), ("exact", "exact")):
        expected = binomtest(successes, trials).proportion_ci(method=statsmodels_method)
        assert proportion_interval(successes, trials, interval_method=method) == pytest.approx(
            (expected.low, expected.high), abs=1e-9
        )


@settings(deadline=None)
@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.sampled_from(["wilson", "jeffreys", "exact"]),
    st.floats(0.5, 0.99),  # below, Jeffreys' interval lies around the posterior's median alone
)
def test_every_interval_holds_the_rate_and_stays_between_0_and_1(k, failures, interval, level):
    n = k + failures
    low, high = proportion_interval(k, n, interval_method=interval, confidence_level=level)
    if n == 0:
        assert math.isnan(low)
        assert math.isnan(high)
    else:
        assert 0 <= low <= k / n <= high <= 1
        assert (low == 0) == (k == 0) or low < 1e-6
        assert high == 1 or k < n


def test_a_higher_level_gives_a_wider_interval():
    low_80, high_80 = proportion_interval(30, 400, confidence_level=0.8)
    low_99, high_99 = proportion_interval(30, 400, confidence_level=0.99)
    assert low_99 < low_80 < high_80 < high_99


def test_jeffreys_interval_is_between_wilson_and_nothing_at_zero():
    low, high = proportion_interval(0, 50, interval_method="jeffreys")
    assert low == 0
    assert round(float(high), 4) == 0.0488  # upper 97.5% point of Beta(0.5, 50.5)


def test_nothing_of_nothing_is_nan_and_not_zero():
    assert math.isnan(ratio(0, 0))
    assert np.isnan(proportion_interval(0, 0)).all()
    assert ratio([1, 0], [4, 0])[0] == 0.25


def test_an_unknown_interval_comes_with_the_nearest():
    with pytest.raises(NotFoundError, match="'wilson'"):
        proportion_interval(1, 2, interval_method="wilsen")


@pytest.mark.parametrize("level", [0, 1, 95, -0.1, math.nan, True])
def test_a_level_outside_0_to_1_is_refused(level):
    with pytest.raises(
        ArgumentError, match="`confidence_level` must be greater than 0 and less than 1"
    ):
        proportion_interval(1, 2, confidence_level=level)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (math.nan, 2)])
def test_counts_that_are_none_are_refused(successes, trials):
    with pytest.raises(ArgumentError, match="0 <= successes <= trials"):
        proportion_interval(successes, trials)


@pytest.mark.parametrize("text", ["3", ["3"], np.array(["x"]), np.array(["3"], dtype=object)])
def test_texts_are_no_counts(text):
    with pytest.raises(ArgumentError, match="`successes` must be a number"):
        proportion_interval(text, 10)


# -- Ratios ----------------------------------------------------------------------------------------

COUNTS = st.integers(1, 60).flatmap(
    lambda trials: st.tuples(st.integers(0, trials), st.just(trials))
)


@given(COUNTS, COUNTS.filter(lambda counts: counts[0] > 0), st.sampled_from([0.8, 0.95, 0.999]))
def test_the_interval_of_a_ratio_contains_it(counts, other_counts, level):
    low, high = ratio_interval(*counts, *other_counts, level)
    estimate = counts[0] / counts[1] * other_counts[1] / other_counts[0]
    assert low <= estimate <= high


@given(COUNTS, COUNTS)
def test_the_interval_of_a_ratio_is_that_of_statsmodels_where_its_formula_holds(
    counts, other_counts
):
    assume(all(0 < successes < trials for successes, trials in (counts, other_counts)))
    expected = confint_proportions_2indep(*counts, *other_counts, compare="ratio", method="score")
    assert ratio_interval(*counts, *other_counts, 0.95) == pytest.approx(expected, rel=1e-6)


def test_a_group_without_a_miss_has_an_interval_around_the_ratio():
    """The formula of statsmodels gives 0.538 to 0.538 for 0 of 6 and 7 of 7."""
    assert ratio_interval(0, 6, 7, 7, 0.95) == (0, pytest.approx(0.4095, abs=1e-4))


def test_a_ratio_to_nothing_has_no_interval():
    assert np.isnan(ratio_interval(1, 2, 0, 3, 0.95)).all()
