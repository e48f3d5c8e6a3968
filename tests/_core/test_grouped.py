"""Codes, orders, running statistics and windows by group, compared with their definitions."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pytest
from engines import QUICK
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics._core import grouped
from synfin_analytics._core.grouped import (
    DAY,
    HOUR,
    Amounts,
    GroupedRolling,
    pair_codes,
    stable_argsort,
)
from synfin_analytics._core.running import count_lower_before, cumulative_max, first_rows
from synfin_analytics.exceptions import ArgumentError

# -- Codes, orders and running statistics ----------------------------------------------------------

#: Sizes for which the recursion halves the rows several times.
SIZES = st.sampled_from([0, 1, 2, 31, 32, 33, 64, 65, 100, 300])


@st.composite
def keys_and_values(draw):
    """Keys and values of rows, with many equal values or hardly any."""
    size, keys, kinds = draw(SIZES), draw(st.integers(1, 4)), draw(st.sampled_from([2, 9, 10**12]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(0, keys, size), rng.integers(-kinds, kinds, size)


def earlier(keys, values, row):
    return [values[row_before] for row_before in range(row) if keys[row_before] == keys[row]]


@settings(phases=QUICK, max_examples=80, deadline=None)
@given(rows=keys_and_values())
def test_earlier_rows_of_the_key_with_a_lower_value_are_counted(rows):
    keys, values = rows
    expected = [
        sum(value_before < value for value_before in earlier(keys, values, row))
        for row, value in enumerate(values)
    ]
    assert count_lower_before(keys, values).tolist() == expected


@settings(phases=QUICK, max_examples=40, deadline=None)
@given(rows=keys_and_values())
def test_the_cumulative_max_is_of_the_key(rows):
    keys, values = rows
    expected = [max([*earlier(keys, values, row), value]) for row, value in enumerate(values)]
    assert cumulative_max(keys, values).tolist() == expected


@settings(phases=QUICK, max_examples=40, deadline=None)
@given(rows=keys_and_values())
def test_the_first_row_of_each_value_is_found(rows):
    _, values = rows
    assert first_rows(values).tolist() == [values.tolist().index(value) for value in values]


@pytest.mark.parametrize("numbers", [[], [0], [3, -1, 3, 2], [2**40, 5, 2**16, 5, 2**40 + 1, -7]])
def test_equal_numbers_stay_in_their_order(numbers):
    integers = np.array(numbers, np.int64)
    assert stable_argsort(integers).tolist() == np.argsort(integers, kind="stable").tolist()


def test_a_pair_has_a_number_of_its_own_unless_half_of_it_is_unknown():
    first, second = np.divmod(np.arange(20), 5)
    assert len(set(pair_codes(first, second).tolist())) == 20
    assert pair_codes(np.array([-1, 2, 1]), np.array([3, -1, 3])).tolist()[:2] == [-1, -1]


# -- Windows of time -------------------------------------------------------------------------------

#: Few moments and keys, so that there are ties, and rows at the very ends of windows.
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.integers(0, 2),
            "at": st.integers(0, 12),
            "late": st.integers(0, 6),
            "counted": st.booleans(),
            "value": st.integers(-1, 3),
            "wanted": st.booleans(),
        }
    ),
    max_size=12,
)
WINDOWS = st.fixed_dictionaries(
    {
        "length": st.none() | st.integers(0, 6),
        "lag": st.integers(0, 4),
        "closed": st.sampled_from(["right", "left", "both", "neither"]),
        "include_current": st.booleans(),
    }
)


ROW = ("key", "at", "late", "counted", "value", "wanted", "known")


def rows_in_window(rows, place, *, length, lag, closed, include_current):
    """Numbers of the rows in the window of a row, by definition."""
    row = rows[place]
    newest = row["at"] - lag
    oldest = None if length is None else newest - length
    order = sorted(range(len(rows)), key=lambda number: (rows[number]["at"], number))
    seen = order[: order.index(place) + include_current]
    inside_rows = []
    for number in order:
        candidate = rows[number]
        available = max(candidate["known"], candidate["at"])
        if candidate["key"] != row["key"] or not candidate["counted"]:
            continue
        inside = available < newest or (available == newest and closed in ("right", "both"))
        if lag == 0:
            # At the row's own time, only the rows before it.
            inside = inside and (available < row["at"] or number in seen)
        if oldest is not None:
            inside = inside and (
                available > oldest or (available == oldest and closed in ("left", "both"))
            )
        if inside:
            inside_rows.append((available, order.index(number), number))
    return [number for _, _, number in sorted(inside_rows)]


@settings(phases=QUICK, max_examples=300, deadline=None)
@given(rows=ROWS, window=WINDOWS, late=st.booleans(), room=st.sampled_from([2**62, 30, 1]))
def test_every_window_holds_the_rows_of_its_definition(rows, window, late, room):
    """Also where the keys are too many for a single search."""
    rows = [row | {"known": row["at"] + row["late"] * late} for row in rows]
    column = {name: np.array([row[name] for row in rows]) for name in ROW}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped, "_LARGEST", room)
        patch.setattr(grouped, "_SEARCH_BLOCK", 4)
        runs = GroupedRolling(
            column["key"],
            column["at"].astype(np.int64),
            available_at=column["known"].astype(np.int64) if late else None,
            counted=column["counted"].astype(bool),
            selected=column["wanted"].astype(bool),
        )
    computed = runs.window(**window)
    expected = [
        rows_in_window(rows, place, **window) for place, row in enumerate(rows) if row["wanted"]
    ]
    values = column["value"].astype(np.int64)
    assert computed.count().tolist() == [len(numbers) for numbers in expected]
    assert computed.sum(values).tolist() == [int(values[numbers].sum()) for numbers in expected]
    assert computed.first_row().tolist() == [numbers[0] if numbers else -1 for numbers in expected]
    assert computed.last_row().tolist() == [numbers[-1] if numbers else -1 for numbers in expected]
    distinct = [len({rows[number]["value"] for number in numbers} - {-1}) for numbers in expected]
    assert computed.n_unique(values).tolist() == distinct


def test_sums_of_money_are_exact_however_large_the_others_are():
    amounts = Amounts.from_floats([1e9 + 0.01, 0.1, 0.2, 1e9 + 0.02])
    sums = GroupedRolling(["a", "b", "b", "a"], [0, 1, 2, 3]).window(HOUR).sum(amounts.units)
    assert sums.tolist() == [100000000001, 10, 30, 200000000003]
    assert amounts.to_money(sums).tolist() == [1e9 + 0.01, 0.1, 0.3, 2e9 + 0.03]


@pytest.mark.parametrize(
    ("amounts", "per"),
    [
        ([19.99, 0.1 + 0.2, 1e9 + 0.01], 100),  # noise in the last digits needs no finer unit
        ([19.99, 49.951], 1000),
        ([19.9999], 10_000),
        ([0.123456789], 1_000_000),  # rounded
        ([], 100),
    ],
)
def test_the_unit_of_amounts_is_the_largest_that_holds_them_all(amounts, per):
    exact = Amounts.from_floats(amounts)
    assert exact.units_per_one == per
    np.testing.assert_allclose(exact.to_money(exact.units), amounts, atol=5e-7, rtol=0)


def test_a_mean_of_amounts_does_not_depend_on_the_unit():
    units, count = np.array([1001, 7, 0]), np.array([3, 7, 0])
    means = [
        Amounts(units, per).to_money(units * (per // 100), count) for per in (100, 1000, 10**6)
    ]
    np.testing.assert_array_equal(means[0], np.array([1001 / 3 / 100, 0.01, np.nan]))
    np.testing.assert_array_equal(means[1], means[0])
    np.testing.assert_array_equal(means[2], means[0])


def test_a_total_that_runs_over_leaves_the_windows_right():
    large = np.array([2**62, 2**62, 2**62, 5])
    assert GroupedRolling(["a", "b", "c", "d"], [0, 1, 2, 3]).window().sum(large)[-1] == 5


def test_a_mean_of_no_rows_is_not_a_number():
    means = GroupedRolling(["a", "a"], [0, 1]).window(HOUR, include_current=False).mean([4, 4])
    np.testing.assert_array_equal(means, [np.nan, 4])


def test_keys_of_any_kind_over_a_century_fit():
    timestamps = np.array(["1950-01-01", "2050-01-01"], "M8[us]").repeat(70_000)
    keys = np.tile([f"key {number}" for number in range(70_000)], 2)
    assert GroupedRolling(keys, timestamps).window(100 * 366 * DAY).count()[-1] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda runs: runs.window(-HOUR), "`length` must not be negative"),
        (
            lambda runs: runs.window(HOUR, lag=dt.timedelta(days=-1)),
            "`lag` must not be",
        ),
        (
            lambda runs: runs.window(HOUR, closed="up"),
            "`closed` must be one of right, left",
        ),
        (lambda runs: runs.window(HOUR).sum([0.5]), "amounts in cents"),
        (lambda _: GroupedRolling(["a", "b"], [1]), "got 2 keys and 1 timestamps"),
        (lambda _: GroupedRolling(["a"], [0.5]), "datetime64 or whole microseconds"),
        (
            lambda _: GroupedRolling(["a"], np.array(["NaT"], "M8[us]")),
            "must not have missing values",
        ),
    ],
)
def test_what_is_no_window_is_refused(call, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        call(GroupedRolling(["a"], [1]))
