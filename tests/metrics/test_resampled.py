"""Every metric with a bootstrap: its draws by brute force, its clusters, and what is too few."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._resampling import draw_weights
from synfin_analytics.metrics.bootstrap import ALL_METRICS, Bootstrap
from synfin_analytics.metrics.comparison import compare_models

if TYPE_CHECKING:
    from synfin_analytics.metrics.evaluation import Evaluation

K, MAX_FPR, COST = 3, 0.25, {"cost_per_alert": 2.5, "recovery_rate": 0.6}
OPTIONS = {"k": K, "max_fpr": MAX_FPR, **COST}
START = np.datetime64("2024-05-01T12:00", "us")


def rows(seed: int, customers: int = 12, size: int = 80) -> pl.DataFrame:
    """Transactions of three days, with ties among the scores of two models."""
    generator = np.random.default_rng(seed)
    fraud = generator.random(size) < 0.3
    scores = np.clip(generator.normal(0.4 + 0.2 * fraud[:, None], 0.2, (size, 2)), 0, 1)
    return pl.DataFrame(
        {
            "customer_id": generator.integers(customers, size=size),
            "timestamp": START + generator.integers(3, size=size) * np.timedelta64(1, "D"),
            "is_fraud": fraud,
            "amount": generator.integers(1, 100, size=size).astype(float),
            "p": scores[:, 0].round(1),
            "other": scores[:, 1].round(1),
        }
    )


def value_of(model: Evaluation, metric: str) -> float:
    """The metric of an evaluation, computed without any cluster."""
    match metric:
        case "recall_at_fpr":
            return model.recall_at_fpr(MAX_FPR)
        case "cost":
            return model.cost(**COST)
        case "precision_at_k":
            return model.precision_at_k(K).value
        case "card_precision_at_k":
            return model.card_precision_at_k(K).value
    return float(getattr(model, metric))


def repeated(frame: pl.DataFrame, copies: np.ndarray) -> pl.DataFrame:
    """The rows of each customer as often as it was drawn, each time as a customer of its own."""
    names = np.unique(frame["customer_id"])
    parts = [
        frame.filter(customer_id=int(name)).with_columns(
            customer_id=pl.lit(float(name) + copy / 100)
        )
        for name, count in zip(names, copies, strict=True)
        for copy in range(int(count))
    ]
    return pl.concat(parts)


def scored(frame: pl.DataFrame, score: str = "p") -> Evaluation:
    return evaluate(frame, score=score, threshold=0.5, amount="amount")


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(ALL_METRICS))
def test_a_draw_has_the_value_of_the_rows_that_were_drawn(seed, metric):
    frame = rows(seed)
    estimate = scored(frame).bootstrap(metric, n_resamples=3, seed=seed, **OPTIONS)
    assert estimate.value == pytest.approx(value_of(scored(frame), metric), nan_ok=True)

    (block,) = draw_weights(frame["customer_id"].n_unique(), 3, seed, 3)
    for copies, drawn in zip(block.T, estimate.distribution, strict=True):
        again = repeated(frame, copies)
        expected = value_of(scored(again), metric)
        # A day without rows in a draw still has its places.
        if metric.endswith("at_k"):
            days = again["timestamp"].n_unique()
            expected *= days / frame["timestamp"].n_unique()
        assert drawn == pytest.approx(expected, nan_ok=True), metric


@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_differences_are_those_of_single_bootstraps_with_the_same_draws(seed):
    frame = rows(seed)
    models = {"one": "p", "two": "other"}
    comparison = compare_models(
        frame, models, metrics=ALL_METRICS, amount="amount", n_resamples=20, seed=seed, **OPTIONS
    )

    table = comparison.to_frame().set_index(["metric", "model"])
    for metric in ALL_METRICS:
        first, second = (
            scored(frame, score).bootstrap(metric, n_resamples=20, seed=seed, **OPTIONS)
            for score in models.values()
        )
        line = table.loc[(metric, "two")]
        assert line["difference"] == pytest.approx(second.value - first.value, nan_ok=True)
        apart = second.difference(first)
        assert np.array_equal(
            apart.distribution, second.distribution - first.distribution, equal_nan=True
        )
        for end in ("low", "high"):
            ends = line[f"difference_{end}"], getattr(apart, end)
            assert ends[0] == pytest.approx(ends[1], nan_ok=True), metric


def test_a_comparison_names_each_metric_with_its_parameter():
    comparison = compare_models(
        rows(1), {"one": "p", "two": "other"}, metrics=ALL_METRICS, amount="amount", n_resamples=20,
        **OPTIONS,
    )  # fmt: skip
    page = comparison._repr_html_()
    for name in (
        "KS",
        "log loss",
        "card precision@3",
        "precision@3",
        "recall at 25% FPR",
        "cost",
        "Brier",
    ):
        assert name in page
    baselines = comparison.to_frame().set_index("metric")["baseline"]
    assert baselines["recall_at_fpr"].tolist() == [MAX_FPR, MAX_FPR]
    assert baselines["cost"].isna().all()


# -- Which clusters -----------------------------------------------------------------------------


def test_cards_are_drawn_of_card_precision_and_customers_of_all_else():
    frame = rows(1).with_columns(card_id=pl.col("customer_id") * 2 + pl.int_range(80) % 2)
    model = scored(frame)

    cards = model.bootstrap("card_precision_at_k", entity="card_id", k=K, n_resamples=20)
    assert (cards.cluster, cards.n_clusters) == ("card_id", frame["card_id"].n_unique())
    for metric in ALL_METRICS[:-1]:
        estimate = model.bootstrap(metric, n_resamples=20, **OPTIONS)
        assert (estimate.cluster, estimate.n_clusters) == (
            "customer_id",
            frame["customer_id"].n_unique(),
        )


@pytest.mark.parametrize("metric", ["precision_at_k", "card_precision_at_k", "recall"])
def test_days_can_be_drawn_and_are_counted_as_days(metric):
    estimate = scored(rows(1)).bootstrap(metric, "timestamp", k=K, n_resamples=50)

    assert (estimate.n_clusters, estimate.by_day, estimate.reliable) == (3, True, False)
    assert estimate.value == pytest.approx(value_of(scored(rows(1)), metric))
    assert estimate.note.startswith("only 3 of 3 days have fraud, so the interval is rough")


@pytest.mark.parametrize("metric", ["precision_at_k", "card_precision_at_k"])
def test_a_draw_of_days_is_the_mean_of_the_days_drawn(metric):
    model = scored(rows(2))
    daily = getattr(model, metric)(K).daily["precision"].to_numpy()
    estimate = model.bootstrap(metric, "timestamp", k=K, n_resamples=30, seed=4)

    (block,) = draw_weights(3, 30, 4, 30)
    assert np.allclose(estimate.distribution, block.T @ daily / 3)


def test_more_scores_than_are_ranked_at_a_time_change_nothing():
    size = 3000
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "customer_id": generator.integers(40, size=size),
            "timestamp": np.full(size, START),
            "is_fraud": generator.random(size) < 0.2,
            "p": generator.permutation(size) / size,
        }
    )
    model = evaluate(frame, score="p")
    estimate = model.bootstrap("precision_at_k", k=1500, n_resamples=2)
    (block,) = draw_weights(40, 2, 0, 2)
    for copies, drawn in zip(block.T, estimate.distribution, strict=True):
        again = evaluate(repeated(frame, copies), score="p")
        assert drawn == pytest.approx(again.precision_at_k(1500).value)


# -- Too few clusters ---------------------------------------------------------------------------


def defrauded(customers: int, n_genuine: int = 200) -> pl.DataFrame:
    """Some defrauded customers with two frauds each, of which half are found, among others."""
    frauds = [(f"F{n}", True, score) for n in range(customers) for score in (0.9, 0.1)]
    genuine = [(f"G{n}", False, 0.6 if n % 10 == 0 else 0.2) for n in range(n_genuine)]
    names = {"customer_id": pl.String, "is_fraud": pl.Boolean, "p": pl.Float64}
    return pl.DataFrame(frauds + genuine, names, orient="row")


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "precision", "brier"])
def test_of_one_defrauded_customer_there_is_no_interval(metric):
    estimate = evaluate(defrauded(1), score="p").bootstrap(metric, n_resamples=100)

    assert math.isfinite(estimate.value)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert (estimate.n_clusters, estimate.n_fraud_clusters) == (201, 1)
    assert (
        "only 1 of 201 values of customer_id have fraud, but an interval needs 2" in estimate.note
    )
    assert estimate.note in repr(estimate)


@pytest.mark.parametrize(("customers", "rough"), [(2, True), (9, True), (10, False)])
def test_fewer_than_ten_defrauded_customers_make_an_interval_rough(customers, rough):
    estimate = evaluate(defrauded(customers), score="p").bootstrap("precision", n_resamples=100)

    assert estimate.low < estimate.value < estimate.high
    assert estimate.reliable is not rough
    assert (f"only {customers} of {customers + 200} values" in estimate.note) is rough


def test_one_cluster_has_no_interval():
    frame = rows(1).with_columns(customer_id=pl.lit("C1"))
    estimate = scored(frame).bootstrap("recall", n_resamples=20)
    assert math.isnan(estimate.low)
    assert "only 1 of 1 values of customer_id have fraud" in estimate.note


def test_identical_resamples_give_no_interval_and_a_reason():
    perfect = defrauded(20).with_columns(p=pl.col("is_fraud").cast(pl.Float64))
    estimate = evaluate(perfect, score="p").bootstrap("recall", n_resamples=50)
    assert estimate.value == 1
    assert math.isnan(estimate.high)
    assert estimate.note == "all resamples have the same value, which gives no interval"


def test_two_models_that_agree_in_all_draws_do_not_differ_but_two_without_interval_may():
    frame = defrauded(20)
    perfect = frame.with_columns(best=pl.col("is_fraud").cast(pl.Float64))
    comparison = compare_models(
        frame, {"one": "p", "two": "p"}, metrics=["precision"], n_resamples=50
    ).to_frame()
    assert comparison["difference_low"].iloc[1] == comparison["difference_high"].iloc[1] == 0
    unknown = compare_models(
        perfect, {"one": "best", "two": "best"}, metrics=["recall"], n_resamples=50
    ).to_frame()
    assert math.isnan(unknown["difference_low"].iloc[1])
    assert "all resamples have the same value" in unknown["note"].iloc[1]


def test_specificity_depends_on_customers_with_genuine_transactions_and_precision_on_alerts():
    frame = defrauded(3, n_genuine=50)
    specificity = evaluate(frame, score="p").bootstrap("specificity", n_resamples=20)
    assert (specificity.n_informative, specificity.condition) == (50, "have genuine transactions")
    quiet = defrauded(12, n_genuine=50).with_columns(
        p=pl.when(pl.col("customer_id") == "F1").then("p").otherwise(0.1)
    )
    precision = evaluate(quiet, score="p").bootstrap("precision", n_resamples=20)
    assert (precision.n_informative, precision.condition) == (1, "have alerts")


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_the_ends_are_quantiles_expanded_as_students_t_is(level):
    carriers = 8
    drawn = np.linspace(0, 1, 1001)
    estimate = Bootstrap("recall", "customer_id", 0.5, drawn, level, 100, carriers, carriers)

    far = special.stdtrit(carriers - 1, (1 + level) / 2) * math.sqrt(carriers / (carriers - 1))
    assert estimate.high == pytest.approx(special.ndtr(far))
    assert estimate.low == pytest.approx(1 - estimate.high)
    assert estimate.high > (1 + level) / 2


def test_with_many_carriers_the_ends_are_the_plain_quantiles():
    drawn = np.linspace(0, 1, 1001)
    estimate = Bootstrap("recall", "customer_id", 0.5, drawn, 0.9, 10**6, 10**6, 10**6)
    assert (estimate.low, estimate.high) == pytest.approx((0.05, 0.95), abs=1e-5)


def test_intervals_of_few_defrauded_customers_cover_nearly_what_they_promise():
    """With 6 or 7 of 1,000 customers defrauded, plain percentiles cover 89 of 100 here."""

    def sample(seed: int, customers: int) -> pl.DataFrame:
        generator = np.random.default_rng(seed)
        customer = np.repeat(np.arange(customers), generator.geometric(0.2, customers))
        hit = (generator.random(customers) < 0.01)[customer]
        fraud = generator.random(len(customer)) < np.where(hit, 0.3, 0)
        habit = 0.8 * generator.normal(0, 1, customers)[customer]
        score = special.expit(1.2 * fraud + habit + generator.normal(0, 1, len(customer)) - 2)
        return pl.DataFrame({"customer_id": customer, "is_fraud": fraud, "p": score})

    truth = evaluate(sample(0, 200_000), score="p").roc_auc
    samples = 150
    hits = 0
    for seed in range(1, samples + 1):
        estimate = evaluate(sample(seed, 1000), score="p").bootstrap(n_resamples=200, seed=seed)
        hits += estimate.low <= truth <= estimate.high
    assert hits / samples >= 0.92


# -- Refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"metric": "card_precision"}, NotFoundError, "card_precision_at_k"),
        ({"metric": "cost"}, ArgumentError, r"`cost_per_alert` must be set for the metric"),
        (
            {"metric": "cost", "cost_per_alert": -1},
            ArgumentError,
            "must be an amount of at least 0",
        ),
        ({"metric": "recall_at_fpr", "max_fpr": 2}, ArgumentError, "`max_fpr` must be a false-pos"),
        ({"metric": "precision_at_k", "k": 0}, ArgumentError, "`k` must be a whole number"),
        ({"metric": "precision_at_k", "day": "amount"}, ArgumentError, "must hold timestamps"),
        (
            {"metric": "recall", "n_resamples": 1.5},
            ArgumentError,
            "`n_resamples` must be a whole number",
        ),
    ],
)
def test_wrong_options_are_refused_with_the_rule(arguments, error, words):
    with pytest.raises(error, match=words):
        scored(rows(1)).bootstrap(**arguments)


def test_numbers_of_numpy_are_taken_everywhere():
    estimate = scored(rows(1)).bootstrap(
        "precision_at_k", n_resamples=np.int64(5), seed=np.uint8(1), k=np.int32(2)
    )
    assert estimate.n_resamples == 5


def test_costs_without_amounts_are_refused():
    with pytest.raises(ArgumentError, match="Costs and the value detection rate need the amounts"):
        evaluate(rows(1), score="p").bootstrap("cost", cost_per_alert=1)


@pytest.mark.parametrize("scores", [[], [1], {}, None])
def test_models_are_named_with_their_columns(scores):
    with pytest.raises(ArgumentError, match=r"`scores` must (be a column name or|have the column)"):
        compare_models(rows(1), scores)


def test_metrics_are_checked_before_anything_is_drawn():
    with pytest.raises(NotFoundError, match="no metric with a bootstrap 'mcc'"):
        compare_models(rows(1), {"one": "p"}, metrics=["recall", "mcc"])
    with pytest.raises(ArgumentError, match="`metrics` must be a metric name"):
        compare_models(rows(1), {"one": "p"}, metrics=[])
