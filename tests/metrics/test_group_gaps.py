"""Differences and ratios of metrics between groups, with the bootstrap of customers."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._resampling import draw_weights

METRICS = ["alert_rate", "false_positive_rate", "recall", "value_detection_rate", "roc_auc", "ks"]


def sample(size: int = 300, customers: int = 25, seed: int = 0) -> pl.DataFrame:
    """Customers with transactions in several channels, more alerts among those online."""
    generator = np.random.default_rng(seed)
    fraud = generator.random(size) < 0.3
    channel = generator.choice(["pos", "online", "atm"], size)
    score = generator.normal(0.35 + 0.2 * fraud + 0.1 * (channel == "online"), 0.2)
    return pl.DataFrame(
        {
            "customer_id": generator.integers(customers, size=size),
            "timestamp": np.datetime64("2024-05-01T12:00", "us")
            + generator.integers(6, size=size) * np.timedelta64(1, "D"),
            "channel": pl.Series(channel).set(pl.Series(generator.random(size) < 0.2), None),
            "is_fraud": fraud,
            "p": np.clip(score, 0, 1).round(2),
            "amount": generator.integers(1, 100, size=size).astype(float),
        }
    )


def grouped(frame, **options):
    return evaluate(frame, score="p", amount="amount", by="channel", **options)


@pytest.mark.parametrize("metric", METRICS)
def test_the_value_is_that_of_the_groups(metric):
    model = grouped(sample())
    difference, ratio = (
        model.bootstrap(metric, comparison, n_resamples=50)
        for comparison in ("difference", "ratio")
    )
    assert difference.value == pytest.approx(model.difference(metric).value)
    assert ratio.value == pytest.approx(model.ratio(metric).value)
    assert 0 <= difference.low <= difference.high
    assert 0 <= ratio.low <= ratio.high <= 1
    assert (difference.metric, difference.n_clusters) == (f"{metric}_difference", 25)


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from(METRICS), st.sampled_from(["difference", "ratio"]))
def test_a_resample_compares_the_groups_of_the_customers_drawn(seed, metric, comparison):
    frame = sample(90, customers=8, seed=seed)
    estimate = grouped(frame).bootstrap(
        metric, comparison, include_small=True, n_resamples=3, seed=seed
    )
    names = np.unique(frame["customer_id"])
    (block,) = draw_weights(len(names), 3, seed, 3)
    for copies, value in zip(block.T, estimate.distribution, strict=True):
        times = dict(zip(names.tolist(), copies.astype(int), strict=True))
        repeats = [times[customer] for customer in frame["customer_id"]]
        drawn = frame[np.repeat(np.arange(len(frame)), repeats)]
        model = grouped(drawn)
        expected = getattr(model, comparison)(metric, include_small=True).value
        assert value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("cluster", ["customer_id", "timestamp"])
def test_every_engine_draws_the_same(kind, cluster):
    frame = sample()
    options = {"cluster": cluster, "n_resamples": 20}
    estimate = grouped(ENGINES[kind](frame)).bootstrap("false_positive_rate", **options)
    expected = grouped(frame).bootstrap("false_positive_rate", **options)
    assert np.allclose(estimate.distribution, expected.distribution)
    assert estimate.by_day is (cluster == "timestamp")


def test_small_groups_are_left_out_unless_asked_for():
    few = sample(9).with_columns(channel=pl.lit("web"))
    model = grouped(pl.concat([sample(), few]))
    without, included = (
        model.bootstrap("alert_rate", include_small=small, n_resamples=20)
        for small in (False, True)
    )
    assert without.value == model.difference("alert_rate").value
    assert included.value == model.difference("alert_rate", include_small=True).value
    assert "in one group" in included.note


def test_a_cluster_may_be_the_group_itself():
    gap = grouped(sample().with_columns(pl.col("channel").fill_null("none"))).bootstrap(
        "alert_rate", cluster="channel", n_resamples=20
    )
    assert gap.n_clusters == 4


def test_weights_are_those_of_the_rows():
    frame = sample().with_columns(weight=pl.when("is_fraud").then(1.0).otherwise(10.0))
    model = grouped(frame, weight="weight")
    gap = model.bootstrap("alert_rate", n_resamples=50)
    assert gap.value == pytest.approx(model.difference("alert_rate").value)
    assert gap.low < gap.high


def test_groups_that_do_not_differ_have_an_interval_of_differences_above_0():
    frame = sample(2000).with_columns(channel=pl.col("customer_id") % 2)
    gap = grouped(frame).bootstrap("alert_rate", n_resamples=100)
    assert 0 < gap.low < gap.high < 0.2


# -- Refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metric": "mcc"}, NotFoundError, "no metric of groups with a bootstrap 'mcc'"),
        ({"comparison": "gap"}, NotFoundError, "no comparison 'gap'"),
        ({"cluster": "custumer_id"}, NotFoundError, "custumer_id"),
        ({"n_resamples": 0}, ArgumentError, "`n_resamples` must be"),
    ],
)
def test_wrong_arguments_are_refused_with_the_rule(arguments, error, message):
    with pytest.raises(error, match=message):
        grouped(sample()).bootstrap(**arguments)


def test_what_there_is_too_little_of_is_said():
    with pytest.raises(ArgumentError, match=r"Two groups are needed.*include_small=True"):
        grouped(sample(9)).bootstrap()
    with pytest.raises(ArgumentError, match="value detection rate need the amounts"):
        evaluate(sample(), score="p", by="channel").bootstrap("value_detection_rate")
    arrays = evaluate([1, 0] * 40, [0.9, 0.1] * 40, by=["a", "b"] * 40)
    with pytest.raises(ArgumentError, match="computed from arrays or counts"):
        arrays.bootstrap("alert_rate", include_small=True)


def test_a_group_without_the_metric_in_a_resample_is_left_out_of_it():
    frame = pl.DataFrame(
        {
            "customer_id": range(60),
            "channel": ["pos", "online", "atm"] * 20,
            "is_fraud": [number < 9 for number in range(60)],
            "p": [number % 10 / 10 for number in range(60)],
        }
    )
    gap = evaluate(frame, score="p", by="channel").bootstrap(
        "recall", include_small=True, n_resamples=200
    )
    assert gap.n_undefined < 200
    assert math.isfinite(gap.low)
