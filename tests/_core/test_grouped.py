"""Codes, orders and running statistics by group, compared with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from engines import QUICK
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics._core.grouped import (
    count_lower_before,
    cumulative_max,
    first_rows,
    pair_codes,
    stable_argsort,
)

#: Long enough for pieces that are cut in halves several times, of few keys that are mixed.
SIZES = st.sampled_from([0, 1, 2, 31, 32, 33, 64, 65, 100, 300])


@st.composite
def rows(draw):
    """Keys and values of so many rows: values of which many are equal, or hardly any."""
    size, keys, kinds = draw(SIZES), draw(st.integers(1, 4)), draw(st.sampled_from([2, 9, 10**12]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(0, keys, size), rng.integers(-kinds, kinds, size)


def earlier(keys, values, row):
    return [values[row_before] for row_before in range(row) if keys[row_before] == keys[row]]


@settings(phases=QUICK, max_examples=80, deadline=None)
@given(rows=rows())
def test_earlier_rows_of_the_key_with_a_lower_value_are_counted(rows):
    keys, values = rows
    expected = [
        sum(value_before < value for value_before in earlier(keys, values, row))
        for row, value in enumerate(values)
    ]
    assert count_lower_before(keys, values).tolist() == expected


@settings(phases=QUICK, max_examples=40, deadline=None)
@given(rows=rows())
def test_the_cumulative_max_is_of_the_key(rows):
    keys, values = rows
    expected = [max([*earlier(keys, values, row), value]) for row, value in enumerate(values)]
    assert cumulative_max(keys, values).tolist() == expected


@settings(phases=QUICK, max_examples=40, deadline=None)
@given(rows=rows())
def test_the_first_row_of_each_value_is_found(rows):
    _, values = rows
    assert first_rows(values).tolist() == [values.tolist().index(value) for value in values]


@pytest.mark.parametrize("numbers", [[], [0], [3, -1, 3, 2], [2**40, 5, 2**16, 5, 2**40 + 1, -7]])
def test_equal_numbers_stay_in_their_order(numbers):
    integers = np.array(numbers, np.int64)
    assert stable_argsort(integers).tolist() == np.argsort(integers, kind="stable").tolist()


def test_a_pair_has_a_number_of_its_own_unless_half_of_it_is_unknown():
    left, right = np.divmod(np.arange(20), 5)
    assert len(set(pair_codes(left, right).tolist())) == 20
    assert pair_codes(np.array([-1, 2, 1]), np.array([3, -1, 3])).tolist()[:2] == [-1, -1]
