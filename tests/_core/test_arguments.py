"""Validation of arguments: numbers of NumPy are numbers, booleans and texts are not."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from synfin_analytics._core import arguments
from synfin_analytics.exceptions import ArgumentError

NO_NUMBERS = ["3", None, True, np.True_, float("nan"), [3], np.array([3, 4]), pd.Series([3])]


@pytest.mark.parametrize("number", [3, np.int64(3), np.uint8(3), np.int64([3, 0]).sum()])
def test_integers_of_numpy_are_whole_numbers(number):
    result = arguments.check_integer(number, "draws")
    assert (result, type(result)) == (3, int)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 2.5, 3.0, np.float64(3), Decimal(3), 0, -1])
def test_everything_else_is_refused_with_the_rule_and_the_value(value):
    words = r"`draws` must be a whole number of at least 1; got .+\.$"
    with pytest.raises(ArgumentError, match=words):
        arguments.check_integer(value, "draws", minimum=1)


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), np.float64(0.5), Decimal("0.5")])
def test_real_numbers_of_every_type_become_floats(number):
    for result in (
        arguments.check_share(number, "rate"),
        arguments.check_confidence_level(number),
        arguments.check_number(number, "cost", "an amount"),
    ):
        assert (result, type(result)) == (0.5, float)


@pytest.mark.parametrize("value", [*NO_NUMBERS, float("inf"), -0.1, np.int64(-1), 10**400])
def test_no_number_and_numbers_out_of_range_are_refused(value):
    with pytest.raises(ArgumentError, match="`rate` must be a share from 0 to 1; got"):
        arguments.check_share(value, "rate")
    with pytest.raises(ArgumentError, match="`cost` must be an amount; got"):
        arguments.check_number(value, "cost", "an amount", minimum=0)


@pytest.mark.parametrize("value", [0, 1])
def test_a_share_includes_its_ends_and_a_confidence_does_not(value):
    assert arguments.check_share(value, "rate") == value
    with pytest.raises(ArgumentError, match=f"greater than 0 and less than 1.*; got {value}"):
        arguments.check_confidence_level(value)


@pytest.mark.parametrize("names", ["a", ["a"], ("a", "b"), pd.Index(["a", "b"])])
def test_columns_are_named_alone_or_in_a_list(names):
    expected = ("a",) if isinstance(names, str) else tuple(names)
    assert arguments.check_names(names, "by") == expected


@pytest.mark.parametrize(
    "names", [[], [1], 1, None, ["a", None], "", ["a", ""], pd.Series([0.1, 0.2])]
)
def test_what_names_no_columns_is_refused(names):
    with pytest.raises(ArgumentError, match="`by` must be a column name or a list"):
        arguments.check_names(names, "by")


def test_a_column_that_is_named_twice_is_refused():
    with pytest.raises(ArgumentError, match="each name once; got 'a' more than once"):
        arguments.check_names(["a", "b", "a"], "by")


def test_an_error_never_shows_the_data_themselves():
    secret = pd.Series(["Anna Peeters"] * 3)
    for value in (secret, {"name": "Anna Peeters" * 20}, ["Anna"] * 11):
        with pytest.raises(ArgumentError, match="got an object of type") as caught:
            arguments.check_column_name(value, "score")
        assert "Anna" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["Anna", "Anna"]),
        pd.Series(["Anna", "Bea"]),
        pl.Series(["Anna", "Bea"]),
        pa.chunked_array([["Anna", "Bea"]]),
        ["Anna"] * 11,
    ],
)
def test_a_column_in_place_of_its_name_is_refused_without_its_values(values):
    with pytest.raises(ArgumentError, match="`by` must be a column name") as caught:
        arguments.check_names(values, "by")
    assert "Anna" not in str(caught.value)


def test_names_of_something_else_get_their_own_message():
    words = r"`metrics` must be a metric name or a list of names, such as 'recall' or "
    with pytest.raises(ArgumentError, match=words):
        arguments.check_names(
            None, "metrics", must_be="a metric name", examples=("recall", "brier")
        )
