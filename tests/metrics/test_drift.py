"""Drift between two periods: PSI by definition, KS as in scipy, the same on every engine."""

from __future__ import annotations

import datetime as dt
import json
import math

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import measure_drift

JANUARY, FEBRUARY = ("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NUMBERS = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, -3.0, 1e9]), min_size=1, max_size=60)


def periods(before: list, after: list, dtype: pl.DataType | None = None) -> pl.DataFrame:
    """Values of January and February, by the minute."""
    minutes = [START + dt.timedelta(minutes=minute) for minute in range(len(before))]
    minutes += [START + dt.timedelta(days=31, minutes=minute) for minute in range(len(after))]
    return pl.DataFrame({"x": pl.Series([*before, *after], dtype=dtype), "timestamp": minutes})


def drift_of(before: list, after: list, **options):
    return measure_drift(
        periods(before, after), "x", reference=JANUARY, current=FEBRUARY, **options
    )


def sample(size: int = 400) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    minutes = generator.integers(59 * 24 * 60, size=size)
    score = generator.random(size).round(2)
    frame = pl.DataFrame(
        {
            "timestamp": [START + dt.timedelta(minutes=int(minute)) for minute in minutes],
            "p": score + (minutes > 31 * 24 * 60) * 0.3,
            "amount": generator.integers(1, 30, size=size),
            "channel": generator.choice(["pos", "online", "atm"], size),
            "chip": generator.random(size) < 0.5,
        }
    )
    gaps = pl.Series(generator.random(size) < 0.1)
    return frame.with_columns(
        pl.when(gaps).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("p", "channel", "timestamp")
    )


# -- By definition --------------------------------------------------------------------------------


@settings(max_examples=40)
@given(NUMBERS, NUMBERS)
def test_ks_and_its_p_value_are_those_of_scipy(before, after):
    row = drift_of(before, after).to_frame().iloc[0]
    with np.errstate(divide="ignore"):  # in the p-value of two rows
        expected = stats.ks_2samp(before, after, method="asymp")
    assert row["ks"] == pytest.approx(expected.statistic)
    if len(before) * len(after) / (len(before) + len(after)) >= 1:
        assert row["ks_p_value"] == pytest.approx(expected.pvalue)


@settings(max_examples=40)
@given(NUMBERS, NUMBERS, st.integers(2, 12))
def test_bins_hold_every_row_and_psi_is_their_sum(before, after, bins):
    drift = drift_of(before, after, bins=bins)
    parts = drift.bins

    psi = 0.0
    for part in parts.itertuples():
        counts = [
            sum(part.value_from <= value < part.value_to for value in values)
            for values in (before, after)
        ]
        assert [part.reference, part.current] == counts
        expected, observed = (
            max(count, 0.5) / len(values)
            for count, values in zip(counts, (before, after), strict=True)
        )
        psi += (observed - expected) * math.log(observed / expected)
    assert parts["reference"].sum() == len(before)
    assert parts["current"].sum() == len(after)
    assert drift.to_frame()["psi"].iloc[0] == pytest.approx(psi)
    assert len(parts) <= bins


def test_without_ties_bins_are_deciles_of_the_reference():
    generator = np.random.default_rng(0)
    drift = drift_of(list(generator.permutation(1000)), list(generator.permutation(500)))
    assert drift.bins["reference"].tolist() == [100] * 10
    assert drift.bins["value_from"].tolist() == [-math.inf, *range(100, 1000, 100)]


def test_the_same_values_have_no_drift():
    row = drift_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).to_frame().iloc[0]
    assert (row["psi"], row["ks"], row["ks_p_value"]) == (0, 0, 1)


def test_psi_exceeds_its_critical_value_by_chance_as_often_as_stated():
    generator = np.random.default_rng(1)
    exceeded = 0
    for _ in range(200):
        row = drift_of(list(generator.random(400)), list(generator.random(300))).to_frame().iloc[0]
        exceeded += row["psi"] > row["psi_critical"]
    assert 0.01 <= exceeded / 200 <= 0.11


def test_edges_may_be_given_and_a_bin_includes_its_lower_one():
    drift = drift_of([5, 20, 99, 100], [20, 20, 100, 500], bins={"x": [20, 100]})
    assert drift.bins["bin"].tolist() == ["below 20", "20 to 100", "100 or more"]
    assert drift.bins["reference"].tolist() == [1, 2, 1]
    assert drift.bins["current"].tolist() == [0, 2, 2]


def test_missing_values_are_a_bin_of_their_own_and_no_part_of_ks():
    drift = drift_of([1.0, 2.0, None, math.nan], [1.0, 2.0, 2.0, None])
    row, last = drift.to_frame().iloc[0], drift.bins.iloc[-1]
    assert (last["bin"], last["reference"], last["current"]) == ("missing", 2, 1)
    assert (row["missing_reference"], row["missing_current"]) == (0.5, 0.25)
    assert row["ks"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("before", "after", "labels"),
    [
        (["pos", "atm", "pos"], ["pos", "online", None], ["atm", "online", "pos", "missing"]),
        ([True, False], [True, True], ["False", "True"]),
    ],
)
def test_texts_and_booleans_are_counted_by_value(before, after, labels):
    drift = drift_of(before, after)
    row = drift.to_frame().iloc[0]
    assert drift.bins["bin"].tolist() == labels
    assert row["kind"] == "category"
    assert math.isnan(row["ks"])
    assert row["psi"] > 0


def test_a_column_without_any_value_is_one_bin():
    drift = measure_drift(
        periods([None, None], [None], pl.Float64), "x", reference=JANUARY, current=FEBRUARY
    )
    row = drift.to_frame().iloc[0]
    assert (row["n_bins"], row["psi"]) == (1, 0)
    assert math.isnan(row["ks"])
    assert math.isnan(row["psi_critical"])


# -- Periods and engines --------------------------------------------------------------------------


def test_a_period_includes_its_start_and_excludes_its_end():
    frame = periods([1.0] * 3, [2.0] * 2)
    drift = measure_drift(
        frame, "x", reference=(None, "2026-01-01T00:02"), current=("2026-01-01T00:02", None)
    )
    row = drift.to_frame().iloc[0]
    assert (row["n_reference"], row["n_current"]) == (2, 3)


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_measures_the_same(kind):
    frame, columns = sample(), ["p", "amount", "channel"]
    options = {"reference": JANUARY, "current": FEBRUARY}
    drift = measure_drift(ENGINES[kind](frame), columns, **options)
    expected = measure_drift(frame, columns, **options)

    assert drift.columns["kind"].tolist() == ["number", "number", "category"]
    for result, reference in ((drift.columns, expected.columns), (drift.bins, expected.bins)):
        for name in result:
            if result[name].dtype.kind in "fi":
                assert np.allclose(result[name], reference[name], equal_nan=True), name
            else:
                assert result[name].tolist() == reference[name].tolist(), name
    assert drift.columns["psi"].iloc[0] > drift.columns["psi_critical"].iloc[0]


@pytest.mark.parametrize("kind", ENGINES)
def test_boolean_columns_may_name_the_rows(kind):
    frame = periods([1.0, 2.0, 3.0], [2.0, 3.0]).with_columns(
        old=pl.col("timestamp").dt.month() == 1, new=pl.col("timestamp").dt.month() == 2
    )
    by_mask = measure_drift(
        ENGINES[kind](frame.drop("timestamp")), "x", reference="old", current="new"
    )
    assert by_mask.columns.equals(drift_of([1.0, 2.0, 3.0], [2.0, 3.0]).columns)


def test_a_drift_can_be_shown_and_written():
    drift = measure_drift(sample(), ["p", "channel"], reference=JANUARY, current=FEBRUARY)
    assert repr(drift).startswith("Drift(2 columns; largest PSI ")
    assert "by chance up to" in drift._repr_html_()
    record = json.loads(json.dumps(drift.to_dict()))
    assert [row["column"] for row in record["columns"]] == ["p", "channel"]
    assert drift.to_frame("polars")["column"].to_list() == ["p", "channel"]


# -- Refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": "y"}, NotFoundError, "'y'"),
        ({"columns": "timestamp"}, ArgumentError, "must be of numbers, texts or booleans"),
        ({"reference": ("2025-01-01", "2025-02-01")}, ArgumentError, "`reference` must be a per"),
        ({"current": ("2027-01-01", None)}, ArgumentError, "`current` must be a period with rows"),
        ({"reference": "2026-01"}, NotFoundError, "'2026-01'"),
        ({"reference": 3}, ArgumentError, "`reference` must be the start and end of a period"),
        ({"current": "timestamp"}, ArgumentError, "Column 'timestamp' must be boolean"),
        ({"bins": 1}, ArgumentError, "`bins` must be"),
        ({"bins": {"x": [2, 1]}}, ArgumentError, "`bins` of 'x' must be finite numbers"),
        ({"bins": {"y": [1, 2]}}, ArgumentError, "`bins` must be .* got 'y'"),
        ({"confidence_level": 2}, ArgumentError, "`confidence_level` must be"),
    ],
)
def test_wrong_arguments_are_refused_with_the_rule(options, error, message):
    arguments = {"columns": "x", "reference": JANUARY, "current": FEBRUARY, **options}
    with pytest.raises(error, match=message):
        measure_drift(periods([1.0], [2.0]), **arguments)


@pytest.mark.parametrize(
    "current", [("2026-01-31", "2026-03-01"), (None, "2026-01-02"), (None, None)]
)
def test_periods_that_overlap_are_refused(current):
    df = pl.DataFrame({"p": [0.1], "timestamp": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]})
    message = r"must be periods that do not overlap; got 2026-01-01 00:00 to 2026-02-01 00:00 and "
    with pytest.raises(ArgumentError, match=message):
        measure_drift(df, "p", reference=("2026-01-01", "2026-02-01"), current=current)


def test_times_that_are_texts_name_the_remedy():
    df = sample().with_columns(timestamp=pl.col("timestamp").dt.to_string())
    message = r"timestamps to measure drift between periods; it is String\. Convert .*to_datetime"
    with pytest.raises(ArgumentError, match=message):
        measure_drift(df, "p", reference=JANUARY, current=FEBRUARY)
