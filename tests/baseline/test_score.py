"""Scores of a model of scikit-learn on every engine: equal, and lazy where the engine is."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from collected import count_collected
from engines import ENGINES, QUICK, a_third_of_engines, engines_for, in_order_of, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.errors import PythonException
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from synfin_analytics import ArgumentError, NotFoundError, evaluate, score, simulate

LAZY = [name for name in ENGINES if name in ("polars lazy", "duckdb") or name.startswith("dask")]
SCORES = "fraud_probability"


@pytest.fixture(scope="module")
def payments():
    world = simulate(customers=100, merchants=30, days=40, fraud_rate=0.05, seed=5, output="polars")
    return world.transactions.select(
        pl.int_range(pl.len()).alias("id"),
        "transaction_id", "customer_id", "timestamp", "amount", "channel", "is_fraud",
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(payments):
    """A pipeline of a text and a decimal."""
    columns = make_column_transformer(
        (OneHotEncoder(), ["channel"]), (StandardScaler(), ["amount"])
    )
    features = payments.select("channel", pl.col("amount").cast(float)).to_pandas()
    return make_pipeline(columns, LogisticRegression()).fit(features, payments["is_fraud"])


@pytest.fixture
def expected(payments, model):
    features = payments.select("channel", pl.col("amount").cast(float)).to_pandas()
    return payments.select("id").with_columns(
        pl.Series(SCORES, model.predict_proba(features)[:, 1])
    )


def scores_of(frame) -> pl.DataFrame:
    collected = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    return in_order_of(collected, "id").select("id", SCORES)


# -- The scores of each engine --------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_the_scores_of_scikit_learn(payments, model, expected, engine):
    frame = ENGINES[engine](payments)
    scored = score(frame, model)
    assert type(scored) is type(frame)
    assert scores_of(scored)[SCORES].equals(expected[SCORES])


def test_spark_has_the_scores_of_scikit_learn(spark, payments, model, expected):
    frame = to_spark(spark, payments)
    scored = score(frame, model)
    assert scored.schema.fields[:-1] == frame.schema.fields
    assert scores_of(scored)[SCORES].equals(expected[SCORES])


NUMBERS = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.none() | st.decimals("0.01", "9999999.99", places=2),
            "count": st.none() | st.integers(-(2**40), 2**40),
            "flag": st.none() | st.booleans(),
        }
    ),
    max_size=20,
)
TREES = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1).fit(
    pd.DataFrame(
        {"amount": [1.0, 5e6, 3.5, 7e6], "count": [0.0, np.nan, -5, 9], "flag": [1.0, 0, np.nan, 1]}
    ),
    [False, True, False, True],
)


@a_third_of_engines
@settings(phases=QUICK, max_examples=15, deadline=None)
@given(rows=NUMBERS)
def test_missing_numbers_decimals_and_booleans_mean_the_same_to_a_model(engines, rows):
    schema = {"id": pl.Int64, "amount": pl.Decimal(12, 2), "count": pl.Int64, "flag": pl.Boolean}
    frame = pl.DataFrame([{"id": i} | row for i, row in enumerate(rows)], schema=schema)
    features = frame.select(pl.col("amount", "count", "flag").cast(float)).to_pandas()
    expected = TREES.predict_proba(features)[:, 1].tolist() if rows else []
    for name, native in engines_for(frame, engines).items():
        assert scores_of(score(native, TREES))[SCORES].to_list() == expected, name


def test_a_pandas_frame_keeps_its_index_and_its_columns(payments, model):
    frame = payments.to_pandas().set_index(pd.Index(np.arange(len(payments)) % 7, name="day"))
    scored = score(frame, model, column="p")
    pd.testing.assert_frame_equal(scored.drop(columns="p"), frame)
    assert "p" not in frame


def test_rows_without_any_have_no_scores(payments, model):
    for engine in ("polars", "polars lazy", "duckdb", "pandas with numpy", "pyarrow"):
        assert (
            scores_of(score(ENGINES[engine](payments.clear()), model)).schema[SCORES] == pl.Float64
        )


# -- Models ---------------------------------------------------------------------------------------


def test_a_model_without_names_gets_an_array_of_the_features_in_their_order(payments):
    rows = payments.select(pl.col("amount").cast(float), hour=pl.col("timestamp").dt.hour())
    array = rows.select("hour", "amount").to_numpy()
    model = LogisticRegression().fit(array, payments["is_fraud"])
    expected = model.predict_proba(array)[:, 1]
    for engine in ("polars", "polars lazy", "duckdb", "dask with numpy"):
        frame = ENGINES[engine](rows.with_row_index("id"))
        scores = scores_of(score(frame, model, features=["hour", "amount"]))
        assert scores[SCORES].to_list() == expected.tolist()


def test_columns_of_other_names_are_passed_under_those_of_the_model(payments, model, expected):
    renamed = payments.rename({"channel": "Kanal", "amount": "Betrag"})
    scores = score(renamed, model, features=["Kanal", "Betrag"])
    assert scores[SCORES].equals(expected[SCORES])


def test_a_decision_function_is_mapped_to_0_to_1(payments):
    features = payments.select(pl.col("amount").cast(float)).to_pandas()
    model = RidgeClassifier().fit(features, payments["is_fraud"])
    scores = score(payments, model)[SCORES].to_numpy()
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-model.decision_function(features))))


def test_the_class_that_means_fraud_may_be_a_text(payments):
    features = payments.select(pl.col("amount").cast(float)).to_pandas()
    labels = np.where(payments["is_fraud"], "fraud", "genuine")
    model = LogisticRegression().fit(features, labels)
    scores = score(payments.lazy(), model, pos_label="fraud").collect()[SCORES]
    assert scores.to_list() == model.predict_proba(features)[:, 0].tolist()
    with pytest.raises(ArgumentError, match="`pos_label` must be the class that means fraud"):
        score(payments, model)


# -- Nothing is collected -------------------------------------------------------------------------


class Unasked(LogisticRegression):
    """A model that must not be asked yet."""

    def predict_proba(self, X):  # noqa: ARG002, N803
        raise AssertionError


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb", "dask with arrow", "spark"])
def test_a_lazy_frame_stays_lazy(payments, request, tmp_path, engine):
    features = payments.select(pl.col("amount").cast(float)).to_pandas()
    model = Unasked().fit(features, payments["is_fraud"])
    if engine == "polars lazy":
        payments.write_parquet(tmp_path / "payments.parquet")
        frame = pl.scan_parquet(tmp_path / "payments.parquet")
    elif engine == "spark":
        frame = to_spark(request.getfixturevalue("spark"), payments)
    else:
        frame = ENGINES[engine](payments)
    with count_collected() as collected:
        scored = score(frame, model)
    assert type(scored) is type(frame)
    assert collected.rows <= (3 if engine == "duckdb" else 0)  # its time zone


def test_polars_reads_only_the_columns_that_are_needed(payments, model):
    plan = score(payments.lazy(), model).select("id", SCORES).explain()
    assert "3/7 COLUMNS" in plan


def test_a_relation_can_be_read_twice_and_evaluated(payments, model, expected):
    scored = score(ENGINES["duckdb"](payments), model)
    assert scores_of(scored).equals(scores_of(scored))
    evaluation = evaluate(scored, "is_fraud", SCORES)
    in_memory = evaluate(payments.with_columns(expected[SCORES]), "is_fraud", SCORES)
    pd.testing.assert_frame_equal(evaluation.summary(), in_memory.summary())


def test_a_relation_keeps_its_time_zone(payments, model):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    relation = connection.from_arrow(payments.to_arrow())
    assert score(relation, model).limit(1).fetchall()[0][3].tzinfo.key == "Asia/Tokyo"


# -- What is refused ------------------------------------------------------------------------------


def test_a_model_must_be_a_fitted_classifier_of_two_classes(payments):
    for model, message in (
        ("model", "must be a classifier of scikit-learn with predict_proba or decision_function"),
        (
            LogisticRegression(),
            r"`model` must be fitted: call LogisticRegression.fit\(X, y\) first",
        ),
        (make_pipeline(StandardScaler(), LogisticRegression()), "`model` must be fitted"),
        (LogisticRegression, "must be a fitted classifier; got the class LogisticRegression"),
        (LogisticRegression().fit([[1], [2], [3]], [0, 1, 2]), "must know two classes"),
    ):
        with pytest.raises(ArgumentError, match=message):
            score(payments, model)


@pytest.mark.parametrize("engine", ["pandas with numpy", *LAZY])
def test_a_missing_feature_is_named_at_once(payments, model, engine):
    frame = ENGINES[engine](payments.rename({"channel": "chanel"}))
    with pytest.raises(NotFoundError, match=r"There is no column 'channel' in the frame.+'chanel'"):
        score(frame, model)


@pytest.mark.parametrize("engine", ["pandas with numpy", "pyarrow", *LAZY])
def test_a_column_is_never_replaced(payments, model, engine):
    frame = ENGINES[engine](payments.with_columns(p=0.5))
    with pytest.raises(
        ArgumentError, match="`column` must be the name of a new column; the frame has a column 'p'"
    ):
        score(frame, model, column="p")


def test_engines_that_ignore_case_have_no_column_of_the_same_letters(payments, model):
    with pytest.raises(ArgumentError, match="the frame has a column 'amount'"):
        score(ENGINES["duckdb"](payments), model, column="Amount")
    assert score(payments, model, column="Amount").columns[-1] == "Amount"


def test_features_must_be_as_many_as_those_of_the_model(payments, model):
    unnamed = LogisticRegression().fit([[1.0], [2.0]], [0, 1])
    with pytest.raises(ArgumentError, match="fitted on an array, which has no names"):
        score(payments, unnamed)
    with pytest.raises(ArgumentError, match="must name the 1 feature of LogisticRegression; got 2"):
        score(payments, unnamed, features=["amount", "id"])
    with pytest.raises(
        ArgumentError, match="`features` must name the 2 features of Pipeline; got 1"
    ):
        score(payments, model, features=["amount"])


@pytest.mark.parametrize(
    "engine", ["pandas with numpy", "polars", "polars lazy", "dask with arrow"]
)
def test_missing_values_that_a_model_does_not_accept_are_reported(payments, model, engine):
    rows = payments.with_columns(amount=pl.when(pl.col("id") > 3).then("amount"))
    with pytest.raises(
        ArgumentError,
        match=r"features as Pipeline was fitted on; it raises ValueError: Input X contains NaN",
    ):
        scores_of(score(ENGINES[engine](rows), model))


def test_a_type_of_spark_that_arrow_lacks_is_named(model, payments, spark):
    frame = to_spark(spark, payments).selectExpr("*", "make_interval(1) AS age")
    with pytest.raises(ArgumentError, match=r"'age' of the Spark DataFrame is interval.*Cast it"):
        score(frame, model)


def test_duckdb_and_spark_report_them_when_they_compute(payments, model, spark):
    rows = payments.with_columns(amount=pl.lit(None, pl.Decimal(12, 2)))
    with pytest.raises(
        duckdb.Error, match="The columns that `score` reads must be features as Pipeline"
    ):
        score(ENGINES["duckdb"](rows), model).fetchall()
    with pytest.raises(
        PythonException, match="The columns that `score` reads must be features as Pipeline"
    ):
        score(to_spark(spark, rows), model).toArrow()


def test_no_cell_is_in_a_message(payments):
    features = payments.select(pl.col("amount").cast(float)).to_pandas()
    model = LogisticRegression().fit(features, payments["is_fraud"])
    rows = payments.with_columns(amount=pl.lit("Anna 12"))
    with pytest.raises(ArgumentError, match="could not convert string to float") as raised:
        score(rows, model)
    assert "Anna" not in str(raised.value)


class Undecided(RandomForestClassifier):
    """A model whose scores are sometimes missing."""

    def predict_proba(self, X):  # noqa: N803
        probabilities = super().predict_proba(X)
        probabilities[::2] = np.nan
        return probabilities


def test_a_score_that_is_no_number_is_reported(payments):
    features = payments.select(pl.col("amount").cast(float)).to_pandas()
    model = Undecided(n_estimators=2).fit(features, payments["is_fraud"])
    with pytest.raises(
        ArgumentError,
        match=r"Undecided gave no score \(NaN\) for 2 of 4 rows: correct their features",
    ):
        score(payments.head(4), model)


def test_what_is_no_frame_is_refused(model):
    with pytest.raises(ArgumentError, match="The data of score must be a DataFrame"):
        score([1, 2], model)
