"""Graders: the tolerance of numbers, and the feedback on wrong answers."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from synfin_analytics.course.graders import (
    EMPTY_TABLE,
    NO_ANSWER,
    ROUNDED,
    Matching,
    Names,
    Number,
    Numbers,
    PerPayment,
    Table,
    is_close,
    share,
)

TRUTH = 0.123456789


def number(truth=TRUTH, **parameters):
    return Number(truth, "the share", **parameters)


# -- Tolerance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", [TRUTH, 1234.5, -7.25, 0.01])
def test_a_number_passes_within_a_relative_difference_of_one_millionth(truth):
    grader = number(truth)
    for sign in (1, -1):
        assert grader.grade(truth * (1 + sign * 0.9e-6)) is None
        assert grader.grade(truth * (1 + sign * 1.2e-6)) is not None


@pytest.mark.parametrize(("answer", "right"), [(0.9e-9, True), (1.2e-9, False), (-0.9e-9, True)])
def test_a_truth_of_zero_allows_a_difference_of_one_billionth(answer, right):
    assert (number(0.0).grade(answer) is None) is right


def test_a_number_within_half_a_percent_is_reported_as_rounded():
    for sign in (1, -1):
        assert number().grade(TRUTH * (1 + sign * 4.5e-3)) == ROUNDED
        assert (
            number().grade(TRUTH * (1 + sign * 5.5e-3))
            == "Not correct yet. The exercise asks for the share."
        )


def test_a_count_is_never_reported_as_rounded():
    assert (
        number(1000, kind="count").grade(1001)
        == "Not correct yet. The exercise asks for the share."
    )


@pytest.mark.parametrize(
    ("answer", "right"), [(10.4, True), (9.6, True), (10.6, False), (9.4, False)]
)
def test_an_estimated_answer_passes_within_its_tolerance(answer, right):
    assert (number(10.0, tolerance=0.5).grade(answer) is None) is right


def test_equivalent_answers_are_equal():
    assert number(0.5, normalize=lambda value: round(value, 1)).grade(0.52) is None


def test_nan_is_close_to_nan_only():
    assert is_close(math.nan, math.nan)
    assert not is_close(math.nan, 1.0)
    assert not is_close(1.0, math.nan)


def table(**columns):
    return pl.DataFrame({"channel": ["pos", "atm"], **columns})


TABLE = Table(table(rate=[0.25, 0.5]), "channel", ("rate",), "a rate of each channel", ("rate",))


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 + 0.9e-6, None),
        (1 + 1.2e-6, f"rate: {ROUNDED}"),
        (1 + 4.5e-3, f"rate: {ROUNDED}"),
        (
            1 + 5.5e-3,
            "Not correct yet: rate, in every row. The exercise asks for a rate of each channel.",
        ),
        (100, "rate is in percent. Expected a share: between 0 and 1."),
    ],
)
def test_a_table_has_the_tolerance_of_a_number(factor, words):
    assert TABLE.grade(table(rate=[0.25 * factor, 0.5 * factor])) == words


def test_feedback_on_a_table_names_the_first_wrong_row():
    words = TABLE.grade(table(rate=[0.25, 0.6]))
    assert (
        words
        == "Not correct yet: rate, in the row of atm. The exercise asks for a rate of each channel."
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([0.25 * (1 + 0.9e-6), 0.5, 0.75], None),
        ([0.25 * (1 + 1.2e-6), 0.5, 0.75], ROUNDED),
        (
            [0.26, 0.5, 0.75],
            "Most values are correct, but not all: look at payment T1. "
            "The exercise asks for a score.",
        ),
        (
            [0.25, 0.6, 0.8],
            "Most values are not correct yet: look at payment T2. The exercise asks for a score.",
        ),
        (
            [None, 0.5, 0.75],
            "Some values are NaN, but none should be. The exercise asks for a score.",
        ),
    ],
)
def test_numbers_per_payment_have_the_tolerance_of_a_number(answer, words):
    grader = PerPayment(["T1", "T2", "T3"], np.array([0.25, 0.5, 0.75]), "a score")
    assert grader.grade(answer) == words


# -- Feedback --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("0.5", "Expected a number but got a string. Remove the quotes."),
        (True, "Expected a number but got a boolean."),
        ([1, 2], "Expected one number but got a list. Extract the number from it."),
        ({"a": 1, "b": 2}, "Expected one number but got a dict. Extract the number from it."),
        (table(rate=[1, 2]), "Expected one number but got a table. Extract the number from it."),
        (print, "Expected a number but got an object of type builtin_function_or_method."),
        (math.nan, "Expected a number but got NaN: a value is missing, or the divisor is 0."),
        (..., NO_ANSWER),
        (pl.DataFrame(), EMPTY_TABLE),
        (12.3456789, "This is in percent. Expected a share: a number between 0 and 1."),
        (
            1234.56789,
            "This is in basis points. Expected a share: a number between 0 and 1.",
        ),
        (3, "The share must be between 0 and 1. The exercise asks for the share."),
    ],
)
def test_feedback_on_an_answer_that_is_not_a_share(answer, words):
    assert share(TRUTH, "the share").grade(answer) == words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((0.2, 0.4), None),
        ({"low": 0.2, "high": 0.4}, None),
        ((0.4, 0.2), "The numbers are in the wrong order. Expected (low, high)."),
        ((20, 40), "These are in percent. Expected shares: numbers between 0 and 1."),
        ((0.2,), "Expected 2 numbers: (low, high)."),
        ({"low": 0.2}, "Missing: high. Expected (low, high)."),
        ((0.2, 0.3), "Correct: low. high: Not correct yet. The exercise asks for the end."),
        ((0.2, "x"), "high: Expected a number but got a string. Remove the quotes."),
    ],
)
def test_feedback_on_the_ends_of_an_interval(answer, words):
    parts = {"low": share(0.2, "the beginning"), "high": share(0.4, "the end")}
    assert Numbers(parts, "an interval").grade(answer) == words


NAMES = Names(frozenset("ab"), ("a", "b", "c"), "those that leak")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (["b", "A"], None),
        ({"a": True, "b": True, "c": False}, None),
        (
            "a",
            "These are correct, but at least one name is missing. "
            "The exercise asks for those that leak.",
        ),
        (["a", "c"], "At least one name does not belong. The exercise asks for those that leak."),
        (["x"], "Unknown name: 'x'. Valid names: a, b and c."),
        (5, "Expected a list of names, in quotes."),
    ],
)
def test_feedback_on_names(answer, words):
    assert NAMES.grade(answer) == words


def test_any_of_several_correct_names_passes():
    grader = Names(frozenset("ab"), ("a", "b", "c"), "the best", any_of=True)
    assert grader.grade("b") is None
    assert grader.grade(["a"]) is None
    assert grader.grade("c") == "Not correct yet. The exercise asks for the best."
    assert grader.grade(["a", "c"]) == "Not correct yet. The exercise asks for the best."


def test_feedback_on_a_matching_counts_the_correct_pairs():
    wrong = {"x": "x would be large.", "y": "y would be small."}
    grader = Matching({"A": "x", "B": "y"}, ("x", "y"), wrong)
    assert grader.grade({"A": " X", "B": "y"}) is None
    assert grader.grade({"A": "x", "B": "x"}) == "Some are correct. B: x would be large."
    assert grader.grade({"A": "y", "B": "x"}).startswith("None is correct yet.")
    assert grader.grade({"A": "x"}) == (
        "Missing: B. Expected a dict with a name for each of A and B."
    )
    assert grader.grade({"A": "x", "B": 3}) == "The name of B must be a string."
