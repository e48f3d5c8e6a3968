"""Top-k and intervals of lazy frames: as exact as in memory, or within a bound, with few rows sent.

A lazy engine leaves out what a metric does not depend on before its counts travel.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import dask
import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from collected import count_collected
from dask import dataframe as dd
from engines import ENGINES, QUICK, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import _row_metrics, evaluate
from synfin_analytics.metrics._score_bins import ScoreBins
from synfin_analytics.metrics._score_counts import ScoreCounts
from synfin_analytics.metrics._statistics import OF_CURVE
from synfin_analytics.metrics.bootstrap import ALL_METRICS
from synfin_analytics.metrics.comparison import compare_models

if TYPE_CHECKING:
    from synfin_analytics.metrics.evaluation import Evaluation

LAZY = ["polars lazy", "duckdb", "dask with numpy", "dask with arrow", "dask with objects"]
OPTIONS = {"k": 3, "max_fpr": 0.1, "cost_per_alert": 2.5, "recovery_rate": 0.6}
SCHEMA = {
    "p": pl.Float64,
    "is_fraud": pl.Boolean,
    "timestamp": pl.Datetime("us", "UTC"),
    "customer_id": pl.String,
    "amount": pl.Float64,
}
#: Ties, labels that are missing, cards with fraud on one day that return on others.
scored = st.fixed_dictionaries(
    {
        "p": st.sampled_from([0.0, 0.2, 0.2, 0.5, 0.7, 1.0]),
        "is_fraud": st.sampled_from([True, False, False, False, None]),
        "timestamp": st.sampled_from(
            [dt.datetime(2026, 1, n, 12, tzinfo=dt.UTC) for n in (1, 2, 3)]
        ),
        "customer_id": st.sampled_from([f"C{n}" for n in (1, 2, 3, 10, 20, 30, 4, 5)]),
        "amount": st.sampled_from([1.0, 20.5, None]),
    }
)


def transactions(n: int, seed: int = 0, *, customers: int | None = None) -> pl.DataFrame:
    """Scores of two models in double precision; one customer in fifty is defrauded."""
    generator = np.random.default_rng(seed)
    customer = generator.integers(customers or n // 20, size=n)
    fraud = (generator.random(n) < 0.5) & (customer % 50 == 0)
    shift = 0.25 * fraud + 0.05 * (customer % 5)
    scores = np.clip(generator.normal(0.3, 0.15, (2, n)) + shift, 0, 1)
    days = generator.integers(10, size=n) * np.timedelta64(1, "D")
    return pl.DataFrame(
        {
            "p": scores[0],
            "other": scores[1],
            "is_fraud": fraud,
            "timestamp": np.datetime64("2026-01-01T12:00", "us") + days,
            "customer_id": customer,
            "amount": generator.integers(1, 100, n).astype(float),
        }
    )


def scored_by(df: Any, score: str = "p") -> Evaluation:
    return evaluate(df, score=score, amount="amount", threshold=0.5)


def reviewed_by_hand(rows: list[dict[str, Any]], k: int) -> list[tuple[int, int, int]]:
    """Hits, candidates and compromised ones of each day, card by card."""
    blocked: set[str] = set()
    daily = []
    labelled = [row for row in rows if row["is_fraud"] is not None]
    for day in sorted({row["timestamp"] for row in labelled}):
        cards: dict[str, tuple[float, bool]] = {}
        for row in labelled:
            if row["timestamp"] == day and row["customer_id"] not in blocked:
                score, fraud = cards.get(row["customer_id"], (0.0, False))
                cards[row["customer_id"]] = (max(score, row["p"]), fraud or row["is_fraud"])
        ranked = sorted(cards, key=lambda card: (-cards[card][0], card))
        hits = {card for card in ranked[:k] if cards[card][1]}
        daily.append((len(hits), len(cards), sum(bad for _, bad in cards.values())))
        blocked |= hits
    return daily


# -- Precision@k -----------------------------------------------------------------------------------


@settings(max_examples=12, phases=QUICK)
@given(rows=st.lists(scored, max_size=40), k=st.integers(1, 4), kind=st.sampled_from(LAZY))
def test_cards_are_reviewed_as_by_hand_and_transactions_as_in_memory(rows, k, kind):
    frame = pl.DataFrame(rows, SCHEMA)
    if not rows and kind.endswith("with objects"):
        return  # columns without a type
    result, expected = (evaluate(df, score="p") for df in (ENGINES[kind](frame), frame))

    daily = result.card_precision_at_k(k).daily
    by_hand = [tuple(day) for day in daily[["hits", "candidates", "compromised"]].values.tolist()]
    assert by_hand == reviewed_by_hand(rows, k)
    assert expected.card_precision_at_k(k).daily.equals(daily)
    assert expected.precision_at_k(k).daily.equals(result.precision_at_k(k).daily)


@settings(max_examples=4, phases=QUICK)
@given(rows=st.lists(scored, min_size=1, max_size=40), k=st.integers(1, 4))
def test_cards_are_reviewed_as_by_hand_on_spark(spark, rows, k):
    frame = pl.DataFrame(rows, SCHEMA)
    result, expected = (evaluate(df, score="p") for df in (to_spark(spark, frame), frame))

    daily = result.card_precision_at_k(k).daily
    by_hand = [tuple(day) for day in daily[["hits", "candidates", "compromised"]].values.tolist()]
    assert by_hand == reviewed_by_hand(rows, k)
    assert expected.precision_at_k(k).daily.equals(result.precision_at_k(k).daily)


@pytest.mark.parametrize("kind", LAZY)
@pytest.mark.parametrize("name", ["customer_id", "timestamp"])
def test_a_missing_card_or_day_is_reported_however_low_its_score(kind, name):
    frame = transactions(400).with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col(name)).alias(name),
        pl.when(pl.int_range(pl.len()) == 7).then(0.0).otherwise("p").alias("p"),
    )
    model = evaluate(ENGINES[kind](frame), score="p")
    with pytest.raises(ArgumentError, match="in each labelled row; got missing ones"):
        model.card_precision_at_k(1)
    with pytest.raises(ArgumentError, match="in each labelled row; got missing ones"):
        model.bootstrap("precision_at_k", k=1, n_resamples=2)


@pytest.mark.parametrize("kind", LAZY)
def test_a_card_moves_up_where_a_higher_one_was_blocked_before(kind):
    """On the second day more compromised cards are ranked than reviewed."""
    days = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2)]
    frame = pl.DataFrame(
        {
            "timestamp": [days[0], days[1], days[1], days[1]],
            "customer_id": ["A", "A", "B", "C"],
            "p": [0.9, 0.9, 0.8, 0.7],
            "is_fraud": [True, True, True, False],
        }
    )
    daily = evaluate(ENGINES[kind](frame), score="p").card_precision_at_k(1).daily
    assert daily["hits"].tolist() == [1, 1]
    assert daily["compromised"].tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["polars lazy", "duckdb", "dask with arrow"])
def test_cards_of_a_category_rank_by_name(kind):
    frame = pl.DataFrame(
        {
            "timestamp": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 3,
            "customer_id": pl.Series(["b", "c", "a"]).cast(pl.Enum(["c", "b", "a"])),
            "p": [0.5] * 3,
            "is_fraud": [True, False, False],
        }
    )
    assert evaluate(ENGINES[kind](frame), score="p").card_precision_at_k(1).value == 0
    assert evaluate(ENGINES[kind](frame), score="p").card_precision_at_k(2).value == 0.5


# -- Intervals -------------------------------------------------------------------------------------


@settings(max_examples=12, phases=QUICK)
@given(
    rows=st.lists(scored, min_size=1, max_size=40),
    metric=st.sampled_from(ALL_METRICS),
    cluster=st.sampled_from([None, "timestamp"]),
    kind=st.sampled_from(LAZY),
)
def test_resamples_are_those_of_the_frame_in_memory(rows, metric, cluster, kind):
    frame = pl.DataFrame(rows, SCHEMA)
    assert_same_resamples(ENGINES[kind](frame), frame, metric, cluster)


@pytest.mark.parametrize(
    "metric", ["roc_auc", "brier", "log_loss", "cost", "precision_at_k", "card_precision_at_k"]
)
def test_resamples_are_those_of_the_frame_in_memory_on_spark(spark, metric):
    frame = transactions(300)
    assert_same_resamples(to_spark(spark, frame), frame, metric, None)


def assert_same_resamples(df: Any, frame: pl.DataFrame, metric: str, cluster: str | None) -> None:
    result, expected = (
        scored_by(native).bootstrap(metric, cluster, n_resamples=10, **OPTIONS)
        for native in (df, frame)
    )
    assert result.distribution == pytest.approx(expected.distribution, rel=1e-9, nan_ok=True)
    assert result.value == pytest.approx(expected.value, rel=1e-9, nan_ok=True)
    assert (result.binning_error, result.note) == (0, expected.note)
    for name in ("n_clusters", "n_fraud_clusters", "n_informative", "condition", "by_day"):
        assert getattr(result, name) == getattr(expected, name)


@pytest.mark.parametrize("weight", ["amount", {False: 9.5, True: 1.0}])
@pytest.mark.parametrize("kind", ["polars lazy", "duckdb", "dask with arrow"])
def test_weights_are_those_of_the_frame_in_memory(kind, weight):
    frame = transactions(400)
    for metric in ("roc_auc", "recall", "brier", "log_loss"):
        drawn, expected = (
            evaluate(df, score="p", weight=weight).bootstrap(metric, n_resamples=10).distribution
            for df in (ENGINES[kind](frame), frame)
        )
        assert np.allclose(drawn, expected, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("kind", ["polars lazy", "duckdb", "dask with arrow"])
@pytest.mark.parametrize("metric", ["alert_rate", "brier", "value_detection_rate", "roc_auc"])
def test_gaps_between_groups_are_those_of_the_frame_in_memory(kind, metric):
    channel = pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("atm")).otherwise(None)
    frame = transactions(3000, customers=150).with_columns(channel=channel)
    drawn, expected = (
        evaluate(df, score="p", amount="amount", threshold=0.5, by="channel")
        .bootstrap(metric, n_resamples=10)
        .distribution
        for df in (ENGINES[kind](frame), frame)
    )
    assert np.allclose(drawn, expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    metric=st.sampled_from(sorted(OF_CURVE)),
    n_bins=st.sampled_from([4, 6, 10, 30]),
    digits=st.sampled_from([1, 2, 9]),
)
def test_a_resample_in_bins_is_within_the_error_that_the_result_states(
    seed, metric, n_bins, digits
):
    frame = transactions(400, seed, customers=60).with_columns(pl.col("p").round(digits))
    exact = scored_by(frame).bootstrap(metric, n_resamples=30, seed=seed, **OPTIONS)
    binned = scored_by(frame.lazy()).bootstrap(
        metric, n_resamples=30, seed=seed, score_bins=n_bins, **OPTIONS
    )

    assert binned.value == pytest.approx(exact.value, rel=1e-9, nan_ok=True)
    off = np.abs(binned.distribution - exact.distribution)
    assert np.nanmax(off, initial=0) <= binned.binning_error + 1e-9
    assert np.array_equal(np.isnan(binned.distribution), np.isnan(exact.distribution))
    if not np.isnan([exact.low, binned.low]).any():
        ends = [abs(binned.low - exact.low), abs(binned.high - exact.high)]
        assert max(ends) <= binned.binning_error + 1e-9


@pytest.mark.parametrize("metric", sorted(OF_CURVE))
def test_the_error_covers_a_customer_who_differs_from_all_together(metric):
    """All frauds are in one bin: of one customer they rank above, of the other one below."""
    frame = pl.DataFrame(
        {
            "customer_id": ["A"] * 5 + ["B"] * 3,
            "is_fraud": [True, True, True, False, False, True, False, False],
            "p": [0.9, 0.9, 0.9, 0.5, 0.5, 0.1, 0.5, 0.5],
        }
    )
    exact, binned = (
        evaluate(df, score="p", threshold=math.inf).bootstrap(
            metric, n_resamples=20, max_fpr=0.3, score_bins=4
        )
        for df in (frame, frame.lazy())
    )
    off = np.abs(binned.distribution - exact.distribution).max()
    assert 0.1 < off <= binned.binning_error + 1e-9


def test_the_error_shrinks_with_the_number_of_bins_and_is_told():
    frame = transactions(20_000).lazy()
    errors = []
    for n_bins in (10, 100, 1000, None):
        bootstrap = scored_by(frame).bootstrap(n_resamples=20, score_bins=n_bins)
        errors.append(bootstrap.binning_error)
        told = f"the resamples are off by at most {bootstrap.binning_error:.2g}" in bootstrap.note
        assert told is bool(bootstrap.binning_error)
    assert errors[0] > 5 * errors[1] > 0
    assert errors[1] > errors[2] == errors[3] == 0  # fewer frauds than bins


def test_of_a_mean_or_a_sum_nothing_is_in_bins():
    frame = transactions(20_000).lazy()
    for metric in set(ALL_METRICS) - OF_CURVE:
        bootstrap = scored_by(frame).bootstrap(metric, n_resamples=2, score_bins=4, **OPTIONS)
        assert bootstrap.binning_error == 0


def test_the_difference_of_two_models_in_bins_is_paired_and_as_wrong_as_both_at_most():
    frame = transactions(4000, 3)
    models = {"one": "p", "two": "other"}
    exact, binned = (
        compare_models(df, models, metrics=["roc_auc"], n_resamples=30, score_bins=10)
        for df in (frame, frame.lazy())
    )
    first, second = binned.bootstraps["roc_auc"].values()
    difference = second.difference(first)
    assert difference.binning_error == first.binning_error + second.binning_error > 0
    one, two = exact.bootstraps["roc_auc"].values()
    off = np.abs(difference.distribution - two.difference(one).distribution)
    assert off.max() <= difference.binning_error
    assert "off by at most" in binned.to_frame()["note"].iloc[1]


@pytest.mark.parametrize("score_bins", [3, 2.5, "all"])
def test_score_bins_are_a_number(score_bins):
    with pytest.raises(ArgumentError, match="`score_bins` must be a whole number of at least 4"):
        scored_by(transactions(100).lazy()).bootstrap(score_bins=score_bins)


@pytest.mark.parametrize("kind", LAZY)
def test_every_engine_finds_the_bin_that_numpy_finds(kind):
    frame = transactions(500).select("p")
    edges = np.sort(np.random.default_rng(1).choice(frame["p"].to_numpy(), 40, replace=False))
    bins = ScoreBins((*edges, float(np.nextafter(edges[-1], 2))))
    df = ENGINES[kind](frame)
    native = df.compute() if kind.startswith("dask") else df
    rows = nw.from_native(native)
    numbered = bins.number(rows, "p", "bin")
    if isinstance(numbered, nw.LazyFrame):
        numbered = numbered.collect()
    scores = numbered["p"].to_numpy().astype(float)
    assert numbered["bin"].to_list() == bins.numbers(scores).tolist()


def test_bins_have_about_the_same_number_of_frauds():
    scores = np.random.default_rng(0).random(1000)
    counts = ScoreCounts.from_arrays(scores, np.arange(1000) % 2 == 0)
    bins = ScoreBins.of_frauds(counts, 21, 0.5)
    frauds = np.bincount(bins.numbers(scores[::2]), minlength=len(bins.edges) + 1)
    assert len(frauds) <= 21
    assert frauds.max() <= 500 / 9 + 1


# -- Resamples that need more than was read --------------------------------------------------------


@pytest.mark.parametrize("metric", ["precision_at_k", "card_precision_at_k"])
def test_a_resample_without_the_first_cards_reads_deeper(metric, monkeypatch):
    monkeypatch.setattr(_row_metrics, "_first_depth", lambda k: k)
    frame = transactions(3000, customers=300)
    read = spied_rows(monkeypatch)
    assert_same_resamples(frame.lazy(), frame, metric, None)
    assert len(read) > 1


# -- How much travels, and whether it is still the same --------------------------------------------


def spied_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of how many rows each later count of a frame sends to the client."""
    sent: list[int] = []
    count = _row_metrics.aggregate_scores

    def spied(*arguments: Any, **options: Any) -> Any:
        counts = count(*arguments, **options)
        sent.append(len(counts))
        return counts

    monkeypatch.setattr(_row_metrics, "aggregate_scores", spied)
    return sent


def test_of_groups_two_rows_travel_for_each_cluster(monkeypatch):
    frame = transactions(20_000, customers=1000).with_columns(channel=pl.int_range(pl.len()) % 2)
    groups = evaluate(frame.lazy(), score="p", threshold=0.5, by="channel")
    sent = spied_rows(monkeypatch)
    groups.bootstrap("alert_rate", n_resamples=2, include_small=True)
    assert sent.pop() <= 2 * 2 * 1000


@pytest.mark.parametrize("kind", ["polars lazy", "duckdb", "dask with numpy"])
def test_what_travels_depends_on_days_and_clusters_not_on_rows(kind, monkeypatch):
    n, customers, days = 20_000, 1000, 10
    frame = transactions(n, customers=customers)
    of_compromised = (
        frame.with_columns(pl.col("timestamp").dt.date().alias("day"))
        .filter(pl.col("is_fraud").any().over("customer_id"))
        .select("customer_id", "day")
        .n_unique()
    )
    model = scored_by(ENGINES[kind](frame))
    sent = spied_rows(monkeypatch)

    model.precision_at_k(20)
    assert sent.pop() <= days * 21
    model.card_precision_at_k(20)
    assert sent.pop() <= days * 21 + of_compromised < 0.03 * n
    for metric in ("recall", "cost", "brier", "log_loss"):
        model.bootstrap(metric, n_resamples=2, **OPTIONS)
        assert sent.pop() <= 2 * customers
    model.bootstrap("card_precision_at_k", n_resamples=2, k=20)
    assert sent.pop() <= days * 140 + of_compromised + customers
    model.bootstrap("precision_at_k", n_resamples=2, k=20)
    assert sent.pop() <= days * 140 + customers
    model.bootstrap("roc_auc", n_resamples=2, score_bins=10)
    assert sent.pop() <= 10 * customers
    model.bootstrap("roc_auc", n_resamples=2, score_bins=None)
    assert 0.99 * n < sent.pop() <= n
    assert not sent


def test_what_spark_collects_depends_on_days_and_clusters(spark):
    frame = transactions(20_000, customers=1000)
    with count_collected() as collected:
        scores = scored_by(to_spark(spark, frame))
    of_scores = collected.rows
    with count_collected() as collected:
        scores.card_precision_at_k(20)
    assert 0 < collected.rows < 0.03 * of_scores
    with count_collected() as collected:
        scores.bootstrap("recall", n_resamples=2)
    assert 1000 <= collected.rows <= 2000
    with count_collected() as collected:
        scores.bootstrap("roc_auc", n_resamples=2, score_bins=10)
    assert 1000 <= collected.rows <= 10_000


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE t SET p = 0.123 WHERE customer_id = 1",
        "UPDATE t SET is_fraud = NOT is_fraud WHERE customer_id = 1",
        "DELETE FROM t WHERE customer_id = 1",
        # The sums of scores stay the same: the lowest and the highest move together.
        "UPDATE t SET p = p + pow(2, -26) * if(p = (SELECT min(p) FROM t), 1, -1) "
        "WHERE p = (SELECT min(p) FROM t) OR p = (SELECT max(p) FROM t)",
    ],
)
def test_rows_that_changed_are_refused_although_few_travel(change):
    rows = transactions(1000).with_columns(pl.col("p") * 0.5 + 0.25).to_arrow()  # noqa: F841
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT * FROM rows")
    model = scored_by(connection.table("t"))
    calls = [
        lambda: model.precision_at_k(2),
        lambda: model.card_precision_at_k(2),
        lambda: model.bootstrap("recall", n_resamples=2),
        lambda: model.bootstrap("roc_auc", n_resamples=2),
        lambda: model.bootstrap("precision_at_k", k=2, n_resamples=2),
    ]
    for call in calls:
        call()
    connection.execute(change)
    for call in calls:
        with pytest.raises(ArgumentError, match="must still hold the rows that were evaluated"):
            call()


def test_amounts_that_changed_are_refused():
    rows = transactions(1000).to_arrow()  # noqa: F841 - DuckDB reads it by its name
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT * FROM rows")
    model = scored_by(connection.table("t"))
    connection.execute("UPDATE t SET amount = 99 WHERE customer_id = 1")
    with pytest.raises(ArgumentError, match="got other scores, labels or amounts"):
        model.bootstrap("cost", n_resamples=2, **OPTIONS)


def test_days_are_resampled_if_dask_holds_timestamps_as_objects():
    moments = pd.date_range("2026-03-01", periods=12, freq="h", tz="UTC").astype(object)
    rows = pd.DataFrame({"timestamp": moments, "p": np.arange(12) / 12, "is_fraud": [0, 1] * 6})
    with dask.config.set({"dataframe.convert-string": False}):
        evaluation = evaluate(dd.from_pandas(rows, npartitions=2), score="p")
        estimate = evaluation.bootstrap("recall", n_resamples=20, cluster="timestamp")
    assert (estimate.n_clusters, estimate.by_day) == (1, True)
