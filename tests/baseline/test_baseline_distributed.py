"""The baseline model on Spark and Dask: fitted from sums, equal to that of one machine."""

from __future__ import annotations

import math

import polars as pl
import pytest
from collected import count_collected
from engines import ENGINES, QUICK, in_order_of, to_spark
from feature_rows import transactions
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from synfin_analytics import ArgumentError, NotFoundError, fit_baseline, score, simulate

#: Coefficients, scores and the threshold differ from those in memory by less.
BOUND = 1e-9
to_dask = ENGINES["dask with arrow"]


@pytest.fixture(scope="module")
def payments():
    """Payments, some of which lack a label, with many of one moment."""
    world = simulate(customers=100, merchants=30, days=60, fraud_rate=0.05, seed=3, output="polars")
    return world.transactions.with_columns(
        pl.col("timestamp").dt.truncate("6h"),
        is_fraud=pl.when(pl.int_range(pl.len()) % 7 > 0).then("is_fraud"),
    )


@pytest.fixture(scope="module")
def expected(payments):
    return fit_baseline(payments)


def assert_same_model(model, expected):
    assert model.coefficients == pytest.approx(expected.coefficients, rel=BOUND, abs=BOUND)
    assert model.threshold == pytest.approx(expected.threshold, abs=BOUND)
    exact = ("train_end", "test_start", "n_train", "n_train_frauds", "n_predictions")
    for name in exact:
        assert getattr(model, name) == getattr(expected, name), name
    assert_frame_equal(
        in_order_of(model.predictions, "transaction_id"),
        expected.predictions.sort("transaction_id"),
        rel_tol=BOUND,
        abs_tol=BOUND,
    )


def test_the_model_is_that_of_one_machine(distribute, payments, expected):
    frame = distribute(payments)
    model = fit_baseline(frame)
    assert type(model.predictions) is type(frame)
    assert_same_model(model, expected)
    assert repr(model) == repr(expected)


@settings(phases=QUICK, max_examples=8, deadline=None)
@given(frame=transactions().filter(len))
def test_dask_fits_any_rows_as_one_machine_does(frame):
    expected, model = fit_or_message(frame), fit_or_message(to_dask(frame))
    if isinstance(expected, str):
        assert model == expected
    else:
        assert_same_model(model, expected)


def fit_or_message(frame):
    try:
        return fit_baseline(frame)
    except ArgumentError as error:
        return str(error)


def test_sums_and_scores_of_frauds_are_all_that_is_collected(spark, payments, expected):
    frame = to_spark(spark, payments)
    with count_collected() as collected:
        fit_baseline(frame)
    # Bands between the scores of frauds have the counts of genuine payments.
    assert collected.largest <= expected.n_train_frauds + 1
    assert collected.rows < 3 * expected.n_train_frauds + 100 < expected.n_train


def test_without_a_known_fraud_there_is_never_an_alert(payments):
    model = fit_baseline(to_dask(payments.with_columns(is_fraud=pl.lit(value=False))))
    assert math.isinf(model.threshold)
    assert not model.predictions["prediction"].compute().any()


def test_ids_may_be_numbers(payments, expected):
    model = fit_baseline(to_dask(payments.with_columns(transaction_id=pl.int_range(pl.len()))))
    ids = model.predictions["transaction_id"].compute()
    assert len(ids) == expected.n_predictions
    assert ids.dtype.kind == "i"


# -- What is refused ------------------------------------------------------------------------------


def test_a_missing_column_is_named_at_once(distribute, payments):
    with pytest.raises(NotFoundError, match=r"There is no column 'amount'.+'amuont'"):
        fit_baseline(distribute(payments.rename({"amount": "amuont"})))


def test_rows_without_a_label_cannot_train(distribute, payments):
    frame = payments.with_columns(is_fraud=pl.lit(None, pl.Boolean))
    with pytest.raises(ArgumentError, match="must have labelled transactions in the first part"):
        fit_baseline(distribute(frame))


def test_the_baseline_is_no_model_of_rows(payments, expected):
    with pytest.raises(ArgumentError, match="must be a classifier of scikit-learn"):
        score(payments, expected)
