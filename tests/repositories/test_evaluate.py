"""Models evaluated inside PostgreSQL: the numbers of a frame of the same rows."""

from __future__ import annotations

import copy
import datetime as dt
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import QUICK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from synfin_analytics.database.models import ModelPrediction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import evaluate, measure_drift
from synfin_analytics.metrics.bootstrap import ALL_METRICS
from synfin_analytics.metrics.comparison import compare_models
from synfin_analytics.repositories import ModelPredictionRepository

ROWS = 400
DAY_4 = dt.date(2024, 5, 4)


def scored(seed: int) -> pl.DataFrame:
    """Transactions of some days, two models' scores with ties, and gaps in the labels."""
    generator = np.random.default_rng(seed)
    fraud = generator.random(ROWS) < 0.15
    noise = generator.normal(0.3 + 0.3 * fraud[:, None], [0.15, 0.3], (ROWS, 2))
    minutes = generator.integers(7200, size=ROWS)
    start = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "transaction_id": [f"TX{number:04}" for number in range(ROWS)],
            "customer_id": [f"C{number:02}" for number in generator.integers(60, size=ROWS)],
            "merchant_id": "M1",
            "amount": generator.integers(1, 500, size=ROWS),
            "channel": generator.choice(["pos", "online", "atm"], ROWS),
            "timestamp": [start + dt.timedelta(minutes=int(minute)) for minute in minutes],
            "is_fraud": pl.Series(fraud).set(pl.Series(generator.random(ROWS) < 0.1), None),
            "forest": np.clip(noise[:, 0].round(2), 0, 1),
            "logit": np.clip(noise[:, 1].round(1), 0, 1),
        }
    )


@pytest.fixture(params=[1, 2])
def frame(request, manager):
    rows = scored(request.param)
    load_df(
        rows.drop("forest", "logit"), "transactions", on_missing_parent="create", manager=manager
    )
    for model in ("forest", "logit"):
        predictions = rows.select(
            "transaction_id",
            model_name=pl.lit(model),
            model_version=pl.lit("1.0"),
            prediction=pl.col(model) >= 0.5,
            fraud_probability=model,
            ground_truth="is_fraud",
        )
        load_df(predictions, "model_predictions", manager=manager)
    return rows


@pytest.fixture
def repository(frame, session):
    return ModelPredictionRepository(session)


def assert_close(result: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Sums of weights differ in their last digits, by the order of the rows."""
    pd.testing.assert_frame_equal(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", ["forest", "logit"])
def test_the_counts_are_those_of_the_frame(repository, frame, model):
    result = repository.evaluate(model, "1.0", amount=True)
    expected = evaluate(frame, score=model, amount="amount")

    for array in ("score", "transactions", "frauds", "amount", "fraud_amount"):
        assert np.array_equal(getattr(result.counts, array), getattr(expected.counts, array)), array
    assert result.n_unlabelled == expected.n_unlabelled > 0
    assert result.summary().equals(expected.summary())


@pytest.mark.parametrize("bands", [10, [0.3, 0.5]])
def test_gains_are_those_of_the_frame(repository, frame, bands):
    result = repository.evaluate("forest", "1.0", amount=True).gains_table(bands)
    expected = evaluate(frame, score="forest", amount="amount").gains_table(bands)
    assert result.to_frame().equals(expected.to_frame())


@pytest.mark.parametrize("metric", ["ks", "value_detection_rate", "false_positive_ratio"])
def test_bootstraps_of_validators_numbers_are_those_of_the_frame(repository, frame, metric):
    result = repository.evaluate("forest", "1.0", amount=True)
    expected = evaluate(frame, score="forest", amount="amount")
    draws, expected_draws = (
        evaluation.bootstrap(metric, n_resamples=50).distribution
        for evaluation in (result, expected)
    )
    assert np.allclose(draws, expected_draws, rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize("by", ["channel", ["channel", "customer_id"]])
def test_the_groups_are_those_of_the_frame(repository, frame, by):
    result = repository.evaluate("forest", "1.0", by=by)
    expected = evaluate(frame, score="forest", by=by)

    assert result.by_group.equals(expected.by_group)
    assert result.overall.summary().equals(expected.overall.summary())
    assert result.group_min("recall", include_small=True) == expected.group_min(
        "recall", include_small=True
    )


@pytest.mark.parametrize("metric", ["false_positive_rate", "value_detection_rate", "ks"])
def test_gaps_between_groups_are_those_of_the_frame(repository, frame, metric):
    result = repository.evaluate("forest", "1.0", by="channel", amount=True)
    expected = evaluate(frame, score="forest", by="channel", amount="amount")
    draws, expected_draws = (
        evaluation.bootstrap(metric, n_resamples=50).distribution
        for evaluation in (result, expected)
    )
    assert np.allclose(draws, expected_draws, rtol=1e-12)


@pytest.mark.parametrize("weight", ["amount", {False: 50.5, True: 1.25}])
def test_weighted_metrics_and_bootstraps_are_those_of_the_frame(repository, frame, weight):
    result = repository.evaluate("forest", "1.0", by="channel", amount=True, weight=weight)
    expected = evaluate(frame, score="forest", by="channel", amount="amount", weight=weight)

    assert_close(result.by_group, expected.by_group)
    result, expected = result.overall, expected.overall
    assert_close(result.summary(), expected.summary())
    assert_close(result.curve(), expected.curve())
    for metric in ("ks", "recall", "value_detection_rate"):
        draws, expected_draws = (
            model.bootstrap(metric, n_resamples=20).distribution for model in (result, expected)
        )
        assert np.allclose(draws, expected_draws, rtol=1e-12, equal_nan=True), metric
    with pytest.raises(ArgumentError, match="count what a team reviews in a day"):
        result.precision_at_k(5)


@pytest.mark.parametrize("weight", ["amount", {False: 50.0, True: 1.0}])
def test_models_are_compared_with_the_weights_of_a_frame(repository, frame, weight):
    options = {"metrics": ["recall", "roc_auc"], "n_resamples": 20, "weight": weight}
    result = repository.compare_models([("forest", "1.0"), ("logit", "1.0")], **options)
    expected = compare_models(frame, {"forest 1.0": "forest", "logit 1.0": "logit"}, **options)
    assert_close(result.to_frame(), expected.to_frame())


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        ("amont", NotFoundError, "'amont'.*'amount'"),
        ("channel", ArgumentError, "'channel' of 'transactions' must be a number to be a weight"),
        ("exchange_rate", ArgumentError, "finite number of at least 0; in 3.. rows with a label"),
        ({True: 1}, ArgumentError, "weight for both labels"),
    ],
)
def test_what_is_no_weight_of_stored_predictions_is_refused(repository, weight, error, message):
    with pytest.raises(error, match=message):
        repository.evaluate("forest", "1.0", weight=weight)


def test_weights_that_changed_are_refused(repository, session):
    model = repository.evaluate("forest", "1.0", weight="amount")
    session.execute(text("UPDATE transactions SET amount = amount + 1 WHERE customer_id = 'C01'"))
    with pytest.raises(ArgumentError, match="must still be those that were evaluated"):
        model.bootstrap("recall", n_resamples=20)


@pytest.mark.parametrize("k", [1, 3, 1000])
@pytest.mark.parametrize("model", ["forest", "logit"])
def test_the_first_of_each_day_are_those_of_the_frame(repository, frame, k, model):
    result, expected = repository.evaluate(model, "1.0"), evaluate(frame, score=model)

    for metric in ("precision_at_k", "card_precision_at_k"):
        top, expected_top = getattr(result, metric)(k), getattr(expected, metric)(k)
        assert top.daily.equals(expected_top.daily), metric
        assert top.value == expected_top.value


@pytest.mark.parametrize("cluster", ["customer_id", "timestamp"])
def test_a_bootstrap_is_that_of_the_frame(repository, frame, cluster):
    result = repository.evaluate("forest", "1.0").bootstrap(
        "average_precision", cluster, n_resamples=50
    )
    expected = evaluate(frame, score="forest").bootstrap(
        "average_precision", cluster, n_resamples=50
    )

    assert np.allclose(result.distribution, expected.distribution, rtol=1e-12)


def test_a_range_of_dates_is_that_of_the_transactions(repository, frame):
    days = frame.filter(pl.col("timestamp").dt.date().is_between(dt.date(2024, 5, 2), DAY_4))
    result = repository.evaluate(
        "forest", "1.0", start="2024-05-02", end=DAY_4 + dt.timedelta(days=1)
    )
    expected = evaluate(days, score="forest")

    assert 0 < result.n < frame["is_fraud"].count()
    assert result.summary().equals(expected.summary())
    assert result.n_unlabelled == expected.n_unlabelled
    assert result.precision_at_k(3).daily.equals(expected.precision_at_k(3).daily)
    assert result.card_precision_at_k(3).daily.equals(expected.card_precision_at_k(3).daily)
    cluster = result.bootstrap("recall", n_resamples=20)
    assert np.allclose(
        cluster.distribution, expected.bootstrap("recall", n_resamples=20).distribution
    )


@pytest.mark.parametrize("bins", [10, [0.2, 0.5]])
def test_the_drift_of_scores_is_that_of_the_frame(repository, frame, bins):
    periods = {"reference": (None, "2024-05-03"), "current": ("2024-05-03", "2024-05-05")}
    result = repository.measure_drift("forest", "1.0", bins=bins, **periods)
    scores = frame.rename({"forest": "fraud_probability"})
    edges = bins if isinstance(bins, int) else {"fraud_probability": bins}
    expected = measure_drift(scores, "fraud_probability", bins=edges, **periods)

    assert result.columns.equals(expected.columns)
    assert result.bins.equals(expected.bins)
    assert result.columns["n_reference"].item() > 0


def test_drift_of_what_was_not_predicted_says_so(repository):
    periods = {"reference": (None, "2024-05-03"), "current": ("2024-05-03", None)}
    with pytest.raises(NotFoundError, match=r"no model 'tree 1\.0'"):
        repository.measure_drift("tree", "1.0", **periods)
    with pytest.raises(ArgumentError, match="`current` must be a period with rows"):
        repository.measure_drift(
            "forest", "1.0", reference=(None, "2024-05-03"), current=("2030-01-01", None)
        )


def test_models_can_be_evaluated_on_what_both_know(repository, frame, session):
    labelled = frame.filter(
        pl.col("timestamp").dt.date() <= DAY_4, pl.col("is_fraud").is_not_null()
    )
    for prediction in session.scalars(
        select(ModelPrediction).where(
            ModelPrediction.model_name == "logit",
            ModelPrediction.transaction_id.not_in(labelled["transaction_id"].to_list()),
        )
    ):
        session.delete(prediction)
    shared = {"common_with": [("logit", "1.0")]}
    result = repository.evaluate("forest", "1.0", **shared)
    assert result.summary().equals(evaluate(labelled, score="forest").summary())
    with pytest.raises(ArgumentError, match=r"no prediction of forest 1\.0 within this range"):
        repository.evaluate("forest", "1.0", start="2024-05-05", **shared)


def test_models_are_compared_as_in_a_frame(repository, frame):
    comparison = repository.compare_models([("forest", "1.0"), ("logit", "1.0")], n_resamples=50)
    expected = compare_models(frame, {"forest": "forest", "logit": "logit"}, n_resamples=50)

    numbers = [
        "value",
        "value_low",
        "value_high",
        "difference",
        "difference_low",
        "difference_high",
    ]
    assert np.allclose(comparison.to_frame()[numbers], expected.to_frame()[numbers], equal_nan=True)
    assert comparison.to_frame()["model"].unique().tolist() == ["forest 1.0", "logit 1.0"]


PAIRED = {
    "k": 3, "max_fpr": 0.2, "cost_per_alert": 2.5, "recovery_rate": 0.6,
    "metrics": ALL_METRICS,
}  # fmt: skip


@pytest.mark.parametrize("cluster", [None, "timestamp"])
def test_every_metric_of_a_comparison_is_that_of_a_frame(repository, frame, cluster):
    comparison = repository.compare_models(
        [("forest", "1.0"), ("logit", "1.0")], cluster=cluster, n_resamples=30, **PAIRED
    )
    expected = compare_models(
        frame,
        {"forest 1.0": "forest", "logit 1.0": "logit"},
        cluster=cluster,
        amount="amount",
        n_resamples=30,
        **PAIRED,
    )
    pd.testing.assert_frame_equal(comparison.to_frame(), expected.to_frame())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE model_predictions SET fraud_probability = 1 - fraud_probability",
        "UPDATE model_predictions SET ground_truth = NOT ground_truth",
        "DELETE FROM model_predictions WHERE transaction_id = 'TX0001'",
        # The same counts by score, but of other customers.
        "UPDATE model_predictions AS one SET ground_truth = other.ground_truth, "
        "fraud_probability = other.fraud_probability FROM model_predictions AS other "
        "WHERE other.model_name = one.model_name AND (one.transaction_id, other.transaction_id) "
        "IN (('TX0002', 'TX0003'), ('TX0003', 'TX0002'))",
    ],
)
def test_stored_predictions_that_changed_are_refused(repository, session, change):
    evaluation = repository.evaluate("forest", "1.0")
    assert evaluation.bootstrap(n_resamples=5).value == pytest.approx(evaluation.roc_auc)

    session.execute(text(change))

    words = r"predictions of forest 1\.0 must still be those that were evaluated"
    for reads_again in (
        lambda: evaluation.bootstrap(n_resamples=5),
        lambda: evaluation.precision_at_k(3),
        lambda: evaluation.card_precision_at_k(3),
    ):
        with pytest.raises(ArgumentError, match=words):
            reads_again()
    assert repository.evaluate("forest", "1.0").bootstrap(n_resamples=5).n_resamples == 5


def test_amounts_that_changed_are_refused_where_they_were_counted(repository, session):
    priced = repository.evaluate("forest", "1.0", amount=True)
    plain = repository.evaluate("forest", "1.0")
    session.execute(text("UPDATE transactions SET amount = 1 WHERE transaction_id = 'TX0001'"))

    with pytest.raises(ArgumentError, match="must still be those that were evaluated"):
        priced.bootstrap("cost", cost_per_alert=1, n_resamples=5)
    assert plain.bootstrap(n_resamples=5).n_resamples == 5


def test_predictions_of_another_model_change_no_evaluation(repository, session):
    evaluation = repository.evaluate("forest", "1.0")
    session.execute(text("DELETE FROM model_predictions WHERE model_name = 'logit'"))
    assert evaluation.bootstrap(n_resamples=5).n_resamples == 5


def test_models_of_different_transactions_are_not_compared(repository, session):
    session.execute(
        text(
            "DELETE FROM model_predictions WHERE model_name = 'logit' AND transaction_id = "
            "(SELECT min(transaction_id) FROM model_predictions WHERE ground_truth)"
        )
    )
    with pytest.raises(ArgumentError, match=r"evaluated on the same rows; got forest 1\.0 with"):
        repository.compare_models([("forest", "1.0"), ("logit", "1.0")], n_resamples=5)


def test_an_evaluation_pickles_without_its_session(repository):
    evaluation = repository.evaluate("forest", "1.0", by="channel")
    again = pickle.loads(pickle.dumps(evaluation))

    assert again.by_group.equals(evaluation.by_group)
    with pytest.raises(ArgumentError, match="was pickled without its rows"):
        again.overall.precision_at_k(3)
    assert (
        copy.deepcopy(evaluation)
        .overall.precision_at_k(3)
        .daily.equals(evaluation.overall.precision_at_k(3).daily)
    )


@pytest.mark.parametrize("model", [("forest", 1), (1, "1.0"), ("forest", None)])
def test_a_name_and_a_version_are_texts(repository, model):
    for method in (repository.evaluate, repository.confusion):
        with pytest.raises(ArgumentError, match="` must be a string"):
            method(*model)
    with pytest.raises(ArgumentError, match="`models` must be names and versions"):
        repository.compare_models([model])


few_rows = st.lists(
    st.fixed_dictionaries(
        {
            "p": st.sampled_from([0.0, 0.2, 0.2, 0.7, 1.0]),
            "is_fraud": st.sampled_from([True, False, False, None]),
            "amount": st.sampled_from([1.0, 20.5]),
            "channel": st.sampled_from(["pos", "online", None]),
            "day": st.integers(1, 3),
        }
    ),
    min_size=1,
    max_size=12,
)


WEIGHTS = {"of amounts": "amount", "of labels": {False: 50.5, True: 1.25}}


@settings(
    max_examples=15,
    phases=QUICK,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(few_rows)
def test_whatever_the_rows_are_the_numbers_are_those_of_a_frame(manager, records):
    schema = {"p": pl.Float64, "is_fraud": pl.Boolean, "amount": pl.Float64, "channel": pl.String}
    rows = pl.DataFrame(records, schema | {"day": pl.Int64}).with_columns(
        transaction_id=pl.format("TX{}", pl.int_range(len(records))),
        customer_id=pl.format("C{}", pl.int_range(len(records)) % 3),
        merchant_id=pl.lit("M1"),
        timestamp=pl.datetime(2024, 5, "day", 23, time_zone="UTC"),
    )
    predictions = rows.select(
        "transaction_id",
        model_name=pl.lit("m"),
        model_version=pl.lit("1"),
        prediction=pl.lit(value=True),
        fraud_probability="p",
        ground_truth="is_fraud",
    )
    with manager.get_session() as session:
        payments = rows.drop("p", "day")
        load_df(payments, "transactions", on_missing_parent="create", session=session)
        load_df(predictions, "model_predictions", session=session)
        result = ModelPredictionRepository(session).evaluate("m", "1", amount=True)
        groups = ModelPredictionRepository(session).evaluate("m", "1", by="channel")
        cards = result.card_precision_at_k(2)
        first = result.precision_at_k(2)
        weighted = {
            weight: ModelPredictionRepository(session).evaluate("m", "1", amount=True, weight=value)
            for weight, value in WEIGHTS.items()
        }
        session.rollback()

    expected = evaluate(rows, score="p", amount="amount")
    assert result.summary().equals(expected.summary())
    assert result.cost_curve(1, 0.5).equals(expected.cost_curve(1, 0.5))
    assert groups.by_group.equals(evaluate(rows, score="p", by="channel").by_group)
    assert cards.daily.equals(expected.card_precision_at_k(2).daily)
    assert first.daily.equals(expected.precision_at_k(2).daily)
    for weight, value in WEIGHTS.items():
        expected = evaluate(rows, score="p", amount="amount", weight=value)
        assert_close(weighted[weight].summary(), expected.summary())
        assert_close(weighted[weight].curve(), expected.curve())


def test_predictions_without_a_score_are_counted_and_refused(repository, frame, manager):
    blind = frame.drop_nulls("is_fraud").select(
        "transaction_id",
        model_name=pl.lit("rules"),
        model_version=pl.lit("1"),
        prediction=True,
        ground_truth="is_fraud",
    )
    load_df(blind, "model_predictions", manager=manager)

    with pytest.raises(ArgumentError, match=rf"{len(blind)} labelled predictions .* no fraud_pro"):
        repository.evaluate("rules", "1")


def test_a_model_without_predictions_is_named_with_the_nearest(repository):
    with pytest.raises(NotFoundError, match=r"forest 1\.0"):
        repository.evaluate("forrest", "1.0")


def test_a_column_that_transactions_lack_is_named_with_the_nearest(repository):
    with pytest.raises(NotFoundError, match="channel"):
        repository.evaluate("forest", "1.0", by="chanel")
    with pytest.raises(ArgumentError, match="must contain timestamps"):
        repository.evaluate("forest", "1.0").precision_at_k(3, day="channel")
