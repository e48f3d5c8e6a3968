"""Bootstraps of clusters: the values of scikit-learn, honest intervals, comparisons, groups."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._resampling import Clusters, draw_weights, resample, sample_counts
from synfin_analytics.metrics._score_counts import RowCounts
from synfin_analytics.metrics.bootstrap import ALL_METRICS, TOP, MetricOptions
from synfin_analytics.metrics.comparison import compare_models
from synfin_analytics.metrics.evaluation import prepare_samples
from synfin_analytics.metrics.grouped import prepare_gaps
from synfin_analytics.metrics.topk import RankedEntities


def customers(seed: int, rows: int = 600, clusters: int = 80) -> pl.DataFrame:
    """Transactions whose scores have much in common within a customer."""
    generator = np.random.default_rng(seed)
    customer = generator.integers(clusters, size=rows)
    habit = generator.normal(0, 0.15, clusters)[customer]
    fraud = generator.random(rows) < 0.2
    score = np.clip(generator.normal(0.4 + 0.15 * fraud + habit, 0.15), 0, 1).round(2)
    better = np.clip(score + 0.1 * fraud, 0, 1)
    return pl.DataFrame({"customer_id": customer, "is_fraud": fraud, "p": score, "better": better})


@pytest.mark.parametrize(
    ("metric", "sklearn_metric"),
    [("roc_auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)],
)
def test_every_draw_has_the_value_of_scikit_learn(metric, sklearn_metric):
    rows = customers(1)
    estimate = evaluate(rows, score="p").bootstrap(metric, n_resamples=20, seed=3)

    names, code = np.unique(rows["customer_id"], return_inverse=True)
    (block,) = draw_weights(len(names), 20, 3, 20)
    expected = [sklearn_metric(rows["is_fraud"], rows["p"], sample_weight=w[code]) for w in block.T]
    assert np.allclose(estimate.distribution, expected, rtol=1e-12)
    assert estimate.value == pytest.approx(sklearn_metric(rows["is_fraud"], rows["p"]), rel=1e-12)


@pytest.mark.parametrize("metric", ["precision", "recall", "specificity"])
def test_shares_are_drawn_too(metric):
    model = evaluate(customers(2), score="p")
    estimate = model.bootstrap(metric, n_resamples=50)

    assert estimate.value == pytest.approx(getattr(model, metric))
    assert estimate.low < estimate.value < estimate.high


def test_the_same_seed_draws_the_same_and_the_size_of_a_block_changes_nothing():
    (weights,) = draw_weights(10, 7, 5, 7)
    parts = np.concatenate(list(draw_weights(10, 7, 5, 3)), axis=1)
    assert np.array_equal(weights, parts)
    assert (weights.sum(axis=0) == 10).all()


def test_draws_in_which_nothing_is_defined_are_dropped_and_counted():
    rows = pl.DataFrame({"customer_id": [1, 2], "p": [0.9, 0.1], "is_fraud": [1, 0]})
    estimate = evaluate(rows, score="p").bootstrap("roc_auc", n_resamples=100)

    assert 30 < estimate.n_undefined < 70  # half of the draws have the same customer twice
    assert len(estimate.values) == 100 - estimate.n_undefined
    words = (
        f"{estimate.n_undefined} of 100 resamples, in which the metric is not defined, were dropped"
    )
    assert words in repr(estimate)


def test_without_rows_every_draw_is_dropped():
    empty = customers(1).clear()
    estimate = evaluate(empty, score="p").bootstrap(n_resamples=10)
    assert estimate.n_undefined == 10
    assert math.isnan(estimate.low)


def test_intervals_of_customers_cover_what_they_promise():
    """The true area under the curve is within the 95% interval in about 95% of the samples."""
    truth = evaluate(customers(0, rows=400_000, clusters=50_000), score="p").roc_auc
    samples = 300
    hits = 0
    for seed in range(1, samples + 1):
        rows = customers(seed, rows=2000, clusters=250)
        counts = RowCounts(
            rows["p"].to_numpy(),
            np.ones(len(rows), np.int64),
            rows["is_fraud"].cast(int).to_numpy(),
        )
        clusters = Clusters("customer_id", rows["customer_id"].to_numpy())
        prepared = sample_counts(["roc_auc"], clusters, counts, 0.5, MetricOptions())
        estimate = resample(prepared, n_resamples=300, seed=seed)["roc_auc"]
        hits += estimate.low <= truth <= estimate.high
    assert 0.93 <= hits / samples <= 0.97


def days(seed: int) -> pl.DataFrame:
    """Transactions of four days."""
    rows = customers(seed)
    start = np.datetime64("2024-05-01T00:00:00", "us")
    return rows.with_columns(timestamp=start + np.arange(len(rows)) * np.timedelta64(9, "m"))


@pytest.mark.parametrize("cluster", ["customer_id", "timestamp"])
def test_card_precision_is_drawn_by_card_or_by_day(cluster):
    model = evaluate(days(1), score="p")
    estimate = model.bootstrap("card_precision_at_k", cluster, k=5, n_resamples=200)

    assert estimate.value == pytest.approx(model.card_precision_at_k(5).value)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.low < estimate.high


def test_a_card_that_is_drawn_twice_takes_two_places_and_is_blocked_twice():
    ranked = RankedEntities.from_arrays(
        np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), np.array([0.9, 0.5, 0.9, 0.5]),
        np.array([True, False, True, False]),
    )  # fmt: skip
    hits, pool, bad = ranked.review(np.array([[2], [1]]), k=1)

    assert hits.ravel().tolist() == [1, 1]
    assert pool.ravel().tolist() == [3, 2]
    assert bad.ravel().tolist() == [2, 1]


@given(
    seed=st.integers(0, 10_000), entities=st.integers(1, 400), k=st.integers(1, 300),
    copies=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_the_hits_of_a_review_need_the_first_ranks_only(seed, entities, k, copies):
    """Beyond the cards that have a place, none is looked at, and none is blocked."""
    generator = np.random.default_rng(seed)
    rows = 3 * entities
    ranked = RankedEntities.from_arrays(
        np.repeat(np.arange(3), entities), np.tile(np.arange(entities), 3),
        generator.random(rows).round(1), generator.random(rows) < 0.3,
    )  # fmt: skip
    drawn = generator.integers(copies + 1, size=(entities, 5))

    expected = np.zeros((len(ranked.days), 5), np.int64)
    for resample_number in range(5):
        remaining = drawn[:, resample_number].copy()
        for day, (codes, fraud) in enumerate(ranked.ranks):
            cards = [
                (code, bad)
                for code, bad in zip(codes, fraud, strict=True)
                for _ in range(remaining[code])
            ]
            for code, bad in cards[:k]:
                expected[day, resample_number] += bad
                remaining[code] -= bad

    hits, complete = ranked.count_hits(drawn, k)
    assert complete
    assert np.array_equal(hits, expected)
    assert np.array_equal(ranked.review(drawn, k)[0], expected)


def test_what_is_resampled_together_has_the_values_of_each_alone():
    """Models, metrics and groups share the resamples; so does a metric of other clusters."""
    rows = days(3).with_columns(
        channel=pl.col("customer_id").mod(3), amount=pl.col("p").mul(90).add(1).round()
    )
    model = evaluate(rows, score="p", amount="amount")
    by_channel = evaluate(rows, score="p", amount="amount", by="channel")
    options = MetricOptions(k=3, cost_per_alert=2.0)
    samples = {
        metric: sample
        for metrics, cluster in ((ALL_METRICS, None), ([TOP], "timestamp"))
        for metric, sample in prepare_samples(model, metrics, cluster, options).items()
        if metric != TOP or cluster
    }
    gaps = prepare_gaps(by_channel, ["recall", "ks"], "customer_id", include_small=True)

    together = resample({**samples, **gaps}, n_resamples=40, seed=7)

    for metric in ALL_METRICS:
        cluster = "timestamp" if metric == TOP else None
        alone = model.bootstrap(metric, cluster, n_resamples=40, seed=7, k=3, cost_per_alert=2.0)
        assert together[metric].value == pytest.approx(alone.value, rel=1e-12)
        np.testing.assert_allclose(together[metric].distribution, alone.distribution, rtol=1e-12)
    for metric, comparison in gaps:
        alone = by_channel.bootstrap(metric, comparison, include_small=True, n_resamples=40, seed=7)
        gap = together[metric, comparison]
        np.testing.assert_allclose(gap.distribution, alone.distribution, rtol=1e-12)


def test_of_card_precision_nothing_else_is_drawn():
    with pytest.raises(
        ArgumentError, match=r"its entities \('customer_id'\) or its days \('timestamp'\)"
    ):
        evaluate(days(1), score="p").bootstrap("card_precision_at_k", "p")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"metric": "auc"}, NotFoundError, "roc_auc"),
        (
            {"n_resamples": 0},
            ArgumentError,
            "`n_resamples` must be a whole number of at least 1; got 0",
        ),
        ({"seed": -1}, ArgumentError, "`seed` must be a whole number of at least 0; got -1"),
        ({"cluster": "customer"}, NotFoundError, "customer_id"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        evaluate(customers(1), score="p").bootstrap(**arguments)


# -- Models side by side ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cluster", "day", "entity"])
def test_a_column_itself_is_refused_in_place_of_its_name(name):
    frame = customers(1)
    with pytest.raises(ArgumentError, match=f"`{name}` must be a column name"):
        evaluate(frame, score="p").bootstrap("recall", **{name: frame["customer_id"]})


@pytest.mark.parametrize("call", ["precision_at_k", "card_precision_at_k"])
def test_the_day_of_top_k_is_the_name_of_a_column(call):
    frame = customers(1)
    with pytest.raises(ArgumentError, match="`day` must be a column name"):
        getattr(evaluate(frame, score="p"), call)(5, day=frame["customer_id"])


@pytest.mark.parametrize("call", ["confidence_interval", "baseline"])
def test_a_list_of_metrics_is_refused_where_one_is_taken(call):
    with pytest.raises(
        ArgumentError, match=r"`metric` must be a string such as 'recall'; got \['pre"
    ):
        getattr(evaluate(customers(1), score="p"), call)(["precision"])


def test_metrics_that_are_not_names_get_a_message():
    with pytest.raises(ArgumentError, match="`metrics` must be a metric name"):
        compare_models(customers(1), {"a": "p"}, metrics=[])


def test_the_difference_is_paired():
    comparison = compare_models(
        customers(1), {"old": "p", "new": "better"}, n_resamples=200
    ).to_frame()
    auc = comparison[comparison["metric"] == "roc_auc"].set_index("model")
    new = auc.loc["new"]

    assert new["difference"] == pytest.approx(new["value"] - auc.loc["old", "value"])
    assert 0 < new["difference_low"] < new["difference"] < new["difference_high"]
    # Each draw changes both models alike: their difference varies less than either.
    assert new["difference_high"] - new["difference_low"] < new["value_high"] - new["value_low"]
    assert math.isnan(auc.loc["old", "difference"])
    assert auc["baseline"].tolist() == [0.5, 0.5]


def test_a_model_does_not_differ_from_itself():
    comparison = compare_models(customers(1), {"one": "p", "same": "p"}, n_resamples=20).to_frame()
    difference = comparison[comparison["model"] == "same"]
    assert difference["difference"].tolist() == difference["difference_high"].tolist() == [0] * 4


def test_models_can_have_thresholds_of_their_own():
    thresholds = {"old": 0.4, "new": 0.6}
    models = {"old": "p", "new": "better"}
    comparison = compare_models(
        customers(1), models, threshold=thresholds, metrics=["recall"], n_resamples=5
    )
    assert {
        name: evaluation.threshold.value for name, evaluation in comparison.evaluations.items()
    } == thresholds


def test_a_model_without_a_threshold_is_named():
    with pytest.raises(ArgumentError, match="got none for new"):
        compare_models(customers(1), {"old": "p", "new": "better"}, threshold={"old": 0.5})


# -- By group -----------------------------------------------------------------------------------

GROUPS = pl.DataFrame(
    {
        "channel": ["pos"] * 100 + ["online"] * 100 + ["atm"] * 4 + [None] * 40,
        "is_fraud": [True, False] * 122,
        "p": [0.9, 0.1] * 50 + [0.9, 0.1, 0.2, 0.8] * 25 + [0.1, 0.9] * 2 + [0.6, 0.1] * 20,
    }
)


def test_every_group_has_every_metric_and_null_is_a_group():
    groups = evaluate(GROUPS, score="p", by="channel")

    assert [key for key, _ in groups.groups] == [("atm",), ("online",), ("pos",), (None,)]
    frame = groups.by_group
    assert frame.groupby("channel", dropna=False)["metric"].count().tolist() == [17] * 4
    recall = frame[frame["metric"] == "recall"].set_index("channel")
    assert recall.loc["online", ["value", "k", "n"]].tolist() == [0.5, 25, 50]
    assert groups.overall.n == len(GROUPS)


def test_small_groups_are_flagged_and_not_dropped():
    groups = evaluate(GROUPS, score="p", by="channel")

    assert groups.by_group.groupby("channel")["small"].first().to_dict() == {
        "atm": True, "online": False, "pos": False
    }  # fmt: skip
    assert groups.group_min("recall").group == ("online",)
    assert groups.group_min("recall", include_small=True).group == ("atm",)


def test_the_largest_difference_has_an_interval():
    value, low, high = evaluate(GROUPS, score="p", by="channel").difference("recall")
    assert value == pytest.approx(0.5)
    assert 0.3 < low < value < high < 0.7
    assert math.isnan(evaluate(GROUPS, score="p", by="channel").difference("roc_auc")[1])


def test_a_single_group_differs_from_nothing():
    groups = evaluate(GROUPS.filter(channel="pos"), score="p", by="channel")
    assert math.isnan(groups.difference("recall")[0])
    assert "1 groups by channel, 0 of them small" in repr(groups)
    assert "ROC AUC" in groups._repr_html_()


def test_a_threshold_chosen_on_all_rows_was_chosen_on_those_of_each_group():
    chosen = evaluate(GROUPS, score="p").threshold_for_alerts(50)
    notes = evaluate(GROUPS, score="p", threshold=chosen, by="channel").by_group["note"]
    assert "the threshold was chosen on these rows" in set(notes)


def test_groups_without_rows_are_none():
    groups = evaluate(GROUPS.clear(), score="p", by=["channel"])
    assert groups.groups == ()
    assert groups.group_min("recall").group is None
    assert len(groups.by_group) == 0
