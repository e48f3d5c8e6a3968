"""Nowcast of fraud rates: the chain ladder, what the prediction does, every engine, bad input."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st
from labels import MONDAY, frame_of, row
from pandas.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import FraudRateNowcast, fraud_rate, nowcast_fraud_rate
from synfin_analytics.metrics._chain_ladder import Development, interval, predict
from synfin_analytics.repositories import TransactionRepository

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Frauds by cohort and age; and the final frauds that the package chainladder 0.10.1 estimates:
#: python benchmarks/nowcast.py reference
TRIANGLE = [
    [12, 9, 4, 1, 0, 0],
    [10, 11, 5, 2, 1, 0],
    [15, 8, 6, 1, 0, 0],
    [9, 12, 3, 0, 0, 0],
    [14, 10, 0, 0, 0, 0],
    [11, 0, 0, 0, 0, 0],
]
CHAINLADDER = [26.0, 29.0, 30.5555556, 25.6666667, 31.0387597, 26.0811800]
#: Days until a label is known, for frauds of a week: none in the same week, all after three.
DELAYS = [8, 8, 9, 15, 15, 22]
ESTIMATES = [f"estimated_fraud_rate{end}" for end in ("", "_low", "_high")]


def after(days: float) -> dt.datetime:
    return MONDAY + dt.timedelta(days=days)


def weeks(n: int, delays: list[int] = DELAYS, *, genuine: int = 60, **columns: Any) -> pl.DataFrame:
    """Weeks of equal frauds, all on Monday, and of genuine transactions."""
    rows = [row(7 * week, delay=delay) | columns for week in range(n) for delay in delays] + [
        row(7 * week, delay=None, is_fraud=False) | columns
        for week in range(n)
        for _ in range(genuine)
    ]
    return frame_of(rows)


def fitted(known: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A square triangle, and how many ages of each cohort are complete."""
    return np.array(known), np.arange(len(known), 0, -1)


# -- The chain ladder ------------------------------------------------------------------------------


def test_estimates_are_those_of_the_package_chainladder():
    known, n_observed = fitted(TRIANGLE)
    prediction = predict(
        known, None, np.full(6, 100), n_observed, n_draws=100,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_allclose(prediction.chain_ladder, CHAINLADDER, rtol=1e-6)


triangles = st.integers(2, 7).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 30), min_size=n, max_size=n), min_size=n, max_size=n)
)


@given(triangles)
def test_shares_are_products_of_development_factors(known):
    counts, n_observed = fitted(known)
    development = Development.fit(counts, n_observed)
    n = len(counts)
    cumulative = counts.cumsum(axis=1)
    share = 1.0
    for age in range(n - 2, -1, -1):
        earlier = cumulative[: n - age - 1, age].sum()
        later = cumulative[: n - age - 1, age + 1].sum()
        share *= earlier / later if later else 1
        assert development.shares[age] == pytest.approx(share)
    assert development.shares[-1] == 1


@given(triangles, st.integers(0, 3))
def test_cells_that_are_not_complete_do_not_count(known, garbage):
    counts, n_observed = fitted(known)
    other = counts.copy()
    other[np.arange(len(counts)) >= n_observed[:, None]] = garbage
    first, second = (Development.fit(values, n_observed) for values in (counts, other))
    for name in ("shares", "hazards", "by_age", "new", "before"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.dispersion == second.dispersion


@given(triangles, st.integers(0, 10))
@settings(max_examples=30)
def test_what_is_to_come_is_finite_and_not_negative(known, seed):
    counts, n_observed = fitted(known)
    if not counts[np.arange(len(counts)) < n_observed[:, None]].sum():
        return
    prediction = predict(
        counts, 10.0 * counts, np.full(len(counts), 1000), n_observed, n_draws=100,
        generator=np.random.default_rng(seed),
    )  # fmt: skip
    assert prediction.amounts is not None
    for draws in (prediction.counts, prediction.amounts):
        assert np.isfinite(draws).all()
        assert (draws >= 0).all()


def test_frauds_that_come_in_threes_are_over_dispersed():
    generator = np.random.default_rng(0)
    single = generator.poisson(20 * 0.5 ** np.arange(12), (12, 12))
    known = single, 3 * generator.poisson(20 / 3 * 0.5 ** np.arange(12), (12, 12))
    alone, together = (Development.fit(counts, np.arange(12, 0, -1)).dispersion for counts in known)
    assert 0.6 < alone < 1.5
    assert 2 < together < 4


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60), st.sampled_from([0.5, 0.8, 0.9, 0.95])
)
def test_an_interval_has_a_probability_near_its_level(values, level):
    draws = np.array(values, dtype=np.float64)[:, None]
    low, high = (end[0] for end in interval(draws, level))
    assert low <= high
    inside = ((low <= draws) & (draws <= high)).mean()
    # One value more or less on each side would be farther from the level.
    smaller = ((low < draws) & (draws < high)).mean()
    assert smaller <= level + 1e-9 or low == high
    larger_low = draws[draws < low].max(initial=-1)
    larger_high = draws[draws > high].min(initial=math.inf)
    larger = ((larger_low <= draws) & (draws <= larger_high)).mean()
    assert larger >= level - 1e-9
    assert inside <= larger


def test_intervals_hold_the_final_number_of_simulated_worlds():
    """benchmarks/nowcast.py has 200 worlds of each scenario; these are 40 of the simplest."""
    covered = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        final = generator.poisson(40 * generator.gamma(40, 1 / 40, 20))
        ages = [np.floor(generator.exponential(1.7, n)).astype(int) for n in final]
        known = np.array([np.bincount(np.minimum(age, 19), minlength=20) for age in ages])
        n_observed = np.arange(20, 0, -1)
        counts = np.where(np.arange(20) < n_observed[:, None], known, 0)
        prediction = predict(
            counts, None, np.full(20, 5000), n_observed, n_draws=500, generator=generator
        )
        low, high = interval(prediction.counts, 0.9)
        to_come = final - counts.sum(axis=1)
        covered.append(((low <= to_come) & (to_come <= high))[-5:])
    assert 0.85 <= np.mean(covered) <= 0.96


# -- The nowcast -----------------------------------------------------------------------------------


def test_recent_weeks_are_estimated_at_the_level_of_mature_ones():
    frame = nowcast_fraud_rate(weeks(12), as_of=after(84)).to_frame()
    assert frame["mature"].tolist() == [True] * 9 + [False] * 3
    assert frame["known_frauds"].tolist() == [6] * 9 + [5, 3, 0]
    final = 6 / 66
    known, estimate, low, high = (
        frame[name].to_numpy() for name in ("known_fraud_rate", *ESTIMATES)
    )
    # A genuine transaction more in the first week: `frame_of` adds it.
    assert estimate[1:9] == pytest.approx(final)
    np.testing.assert_array_equal(estimate[:9], known[:9])
    assert (low[9:] <= final).all()
    assert (high[9:] >= final).all()
    assert abs(estimate[9:] - final).max() < 0.03
    assert (known[9:] <= low[9:]).all()


def test_known_rates_are_those_of_fraud_rate_on_that_day():
    frame = weeks(12)
    nowcast = nowcast_fraud_rate(frame, as_of=after(84)).to_frame()
    labelled = frame.with_columns(
        is_fraud=pl.col("is_fraud") & (pl.col("label_available_at") <= after(84)).fill_null(True)
    )
    rates = fraud_rate(labelled, every="1w", cluster=None)
    assert nowcast["known_fraud_rate"].to_list() == pytest.approx(rates["fraud_rate"].to_list())
    assert nowcast["known_fraud_bps"].to_list() == pytest.approx(rates["fraud_bps"].to_list())


def test_the_value_is_estimated_from_the_amounts_of_known_frauds():
    frame = nowcast_fraud_rate(weeks(12), as_of=after(84)).to_frame()
    # All amounts are 10: the value is ten times the number.
    for end in ("", "_low", "_high"):
        count, value = frame[f"estimated_frauds{end}"], frame[f"estimated_fraud_amount{end}"]
        assert value.to_list() == pytest.approx((10 * count).to_list())
    assert frame["estimated_fraud_bps"].to_list() == pytest.approx(
        (10_000 * frame["estimated_fraud_rate"]).to_list()
    )
    without = nowcast_fraud_rate(weeks(12), as_of=after(84), amount=None).to_frame()
    assert not [name for name in without if "amount" in name or "bps" in name]


def test_a_week_that_has_not_ended_is_estimated_for_its_transactions_so_far():
    late = weeks(12).filter(pl.col("timestamp") < after(77))
    days = [row(77 + day, delay=None, is_fraud=False) for day in (0, 1, 2) for _ in range(11)]
    frame = pl.concat([late, frame_of(days).filter(pl.col("timestamp") >= after(77))])
    result = nowcast_fraud_rate(frame, as_of=after(80)).to_frame().iloc[-1]
    assert (result["observed_ages"], result["transactions"], result["known_frauds"]) == (0, 33, 0)
    assert math.isnan(result["chain_ladder_frauds"])
    assert result["estimated_frauds_low"] <= 33 * 6 / 66 <= result["estimated_frauds_high"]


def test_frauds_known_in_a_week_that_has_not_ended_are_a_lower_bound():
    frame = weeks(12)
    for day in (84, 86, 90):
        rows = nowcast_fraud_rate(frame, as_of=after(day)).to_frame()
        assert (rows["estimated_frauds_low"] >= rows["known_frauds"]).all()
        assert (rows["estimated_frauds"] >= rows["known_frauds"]).all()


def test_a_group_does_not_depend_on_others():
    frame = pl.concat([weeks(12), weeks(12, [1, 2, 3, 9], channel="online")])
    both = nowcast_fraud_rate(frame, by="channel", as_of=after(84), mature_age=3).to_frame()
    for channel in ("pos", "online"):
        rows = frame.filter(pl.col("channel") == channel)
        alone = nowcast_fraud_rate(rows, by="channel", as_of=after(84), mature_age=3).to_frame()
        assert_frame_equal(both[both["channel"] == channel].reset_index(drop=True), alone)


def test_a_seed_gives_the_same_result_again():
    frame = weeks(12, [3, *DELAYS])
    first, again, *others = (
        nowcast_fraud_rate(frame, as_of=after(84), n_resamples=100, seed=seed).to_frame()
        for seed in (1, 1, 2, 3, 4)
    )
    assert_frame_equal(first, again)
    assert not all(first.equals(other) for other in others)


def test_a_higher_level_gives_wider_intervals():
    widths = []
    for level in (0.5, 0.9, 0.99):
        frame = nowcast_fraud_rate(weeks(12), as_of=after(84), confidence_level=level).to_frame()
        widths.append((frame["estimated_frauds_high"] - frame["estimated_frauds_low"]).iloc[-1])
    assert widths[0] < widths[1] < widths[2]


def test_a_result_is_plain_objects_too():
    nowcast = nowcast_fraud_rate(weeks(12), by="channel", as_of=after(84))
    assert isinstance(nowcast, FraudRateNowcast)
    record = json.loads(json.dumps(nowcast.to_dict()))
    assert record["as_of"] == "2026-03-30T00:00:00+00:00"
    assert record["cohorts"][0]["channel"] == "pos"
    assert nowcast.to_frame("polars").height == 12
    page = nowcast._repr_html_()
    assert "90% prediction interval" in page
    assert "mature" in page
    assert repr(nowcast) == (
        "FraudRateNowcast(1 group by channel, 12 cohorts of 1w, 9 of them mature)"
    )


# -- Engines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_gives_the_same_result(kind):
    frame = pl.concat([weeks(8), weeks(8, [1, 9], channel="online")])
    expected = nowcast_fraud_rate(frame, by="channel", n_resamples=100)
    result = nowcast_fraud_rate(ENGINES[kind](frame), by="channel", n_resamples=100)
    assert repr(result) == repr(expected)
    assert result.caveats == expected.caveats
    assert_frame_equal(result.to_frame(), expected.to_frame())


@pytest.mark.parametrize("by", [None, "country"])
def test_postgresql_gives_the_same_result(session, by):
    frame = pl.concat([weeks(8), weeks(8, [1, 9], channel="GB")]).with_columns(
        country=pl.col("channel").replace("pos", "DE")
    )
    stored = (
        frame.drop("channel")
        .with_row_index("transaction_id")
        .with_columns(
            pl.col("transaction_id").cast(pl.String),
            customer_id=pl.lit("C"),
            merchant_id=pl.lit("M"),
        )
    )
    load_df(stored, "transactions", session=session, on_missing_parent="create")
    result = TransactionRepository(session).nowcast_fraud_rate(by, as_of=after(56))
    expected = nowcast_fraud_rate(frame, by=by, as_of=after(56))
    assert (result.as_of, result.mature_age, result.caveats) == (
        expected.as_of, expected.mature_age, expected.caveats
    )  # fmt: skip
    assert_frame_equal(result.to_frame(), expected.to_frame(), check_dtype=False)


# -- What cannot be estimated ----------------------------------------------------------------------


def test_without_transactions_the_result_is_empty():
    nowcast = nowcast_fraud_rate(weeks(1).clear(), by="channel")
    assert repr(nowcast) == "FraudRateNowcast(no transactions)"
    assert nowcast.caveats == ("There are no transactions to count.",)
    assert len(nowcast.to_frame()) == 0
    nowcast._repr_html_()


def test_few_cohorts_have_their_known_rate_and_no_estimate():
    nowcast = nowcast_fraud_rate(weeks(5), as_of=after(35))
    frame = nowcast.to_frame()
    assert frame["known_frauds"].tolist() == [6, 6, 5, 3, 0]
    assert frame[ESTIMATES].isna().all(axis=None)
    assert not frame["mature"].any()
    assert nowcast.caveats == (
        "A final rate can be estimated from 6 complete cohorts or more; there are 5.",
    )
    assert repr(nowcast).endswith("known, no estimate)")


def test_few_frauds_give_no_estimate():
    nowcast = nowcast_fraud_rate(weeks(9, [8]), as_of=after(63))
    assert nowcast.caveats == (
        "A final rate can be estimated from 10 known frauds or more; there are 8.",
    )
    assert nowcast.to_frame()[ESTIMATES].isna().all(axis=None)


def test_a_group_without_frauds_is_named_and_the_others_are_estimated():
    frame = pl.concat([weeks(12), weeks(12, [], channel="atm")])
    nowcast = nowcast_fraud_rate(frame, by="channel", as_of=after(84))
    assert nowcast.caveats[-1] == (
        "atm: A final rate can be estimated from 10 known frauds or more; there are 0."
    )
    rows = nowcast.to_frame()
    assert rows.loc[rows["channel"] == "pos", ESTIMATES].notna().all(axis=None)
    recent = rows[(rows["channel"] == "atm") & ~rows["mature"]]
    assert len(recent) == 3
    assert recent[ESTIMATES].isna().all(axis=None)


def test_a_history_shorter_than_the_delays_has_no_mature_cohort_and_says_so():
    nowcast = nowcast_fraud_rate(weeks(8, [1, 15, 29, 43, 57, 71]), as_of=after(56))
    assert not nowcast.to_frame()["mature"].any()
    assert nowcast.mature_age is None
    assert nowcast.caveats == (
        "No cohort is mature: how many frauds become known after age 7, the last one observed, "
        "is a guess.",
    )
    assert nowcast.to_frame()[ESTIMATES].notna().all(axis=None)


def test_few_mature_cohorts_are_said():
    nowcast = nowcast_fraud_rate(weeks(12), as_of=after(84), mature_age=10)
    assert nowcast.caveats[0].startswith("Only 2 cohorts are mature: ")


def test_an_age_at_which_nothing_is_ever_known_is_said():
    nowcast = nowcast_fraud_rate(weeks(12), as_of=after(84))
    assert nowcast.caveats == (
        "No fraud became known before age 1: cohorts of a lower age are estimated from the level "
        "of other cohorts only.",
    )


def test_frauds_without_a_label_time_are_said():
    frame = pl.concat([weeks(12), frame_of([row(3, delay=None)])])
    assert "1 of 63 frauds has no time" in nowcast_fraud_rate(frame, as_of=after(84)).caveats[0]


def test_labels_without_times_are_refused():
    frame = weeks(8).with_columns(label_available_at=pl.lit(None, pl.Datetime("us", "UTC")))
    with pytest.raises(ArgumentError, match="none of the 529 labels has a time"):
        nowcast_fraud_rate(frame)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": "1 week"}, "`every` must be a whole number"),
        ({"as_of": "soon"}, "`as_of` must be a date or a time"),
        ({"mature_age": -1}, "`mature_age` must be a whole number of at least 0; got -1"),
        ({"confidence_level": 90}, "`confidence_level` must be greater than 0"),
        ({"n_resamples": 10}, "`n_resamples` must be a whole number of at least 100; got 10"),
        ({"seed": "1"}, "`seed` must be a whole number"),
        ({"by": "mature"}, "must not have the name of a column of the result; got 'mature'"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    frame = weeks(8).rename({"channel": "mature"} if "by" in options else {})
    with pytest.raises(ArgumentError, match=message):
        nowcast_fraud_rate(frame, **options)


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(ArgumentError, match="no column 'labelled_at'"):
        nowcast_fraud_rate(weeks(8), label_available_at="labelled_at")


def test_months_are_cohorts_too():
    days = pd.date_range("2025-01-01", "2025-12-31", freq="6h", tz="UTC")
    df = pd.DataFrame({"timestamp": days, "is_fraud": np.arange(len(days)) % 5 == 0})
    df["label_available_at"] = df["timestamp"] + pd.to_timedelta(20, unit="D")
    frame = nowcast_fraud_rate(df, every="1mo", as_of="2026-01-01", amount=None).to_frame()
    assert frame["mature"].tolist() == [True] * 11 + [False]
    assert frame.iloc[-1][ESTIMATES].tolist() == pytest.approx([0.2, 0.2, 0.2], abs=0.06)
