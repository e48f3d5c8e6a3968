"""What evaluate reads: scores in float32, gaps in groups and amounts, rows that change later."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
import re
from functools import partial

import dask
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dask import dataframe as dd
from dask.dataframe.dask_expr._expr import MapPartitions
from engines import ENGINES, to_spark, without_pandas_warning
from sklearn.linear_model import LogisticRegression

from synfin_analytics import (
    PrequentialSplit,
    detect_patterns,
    engineer_features,
    evaluate_rules,
    fit_baseline,
    fraud_rate,
    fraud_report,
    handbook_features,
    load_df,
    measure_drift,
    model_report,
    score,
    simulate,
    suggest_columns,
    window_features,
)
from synfin_analytics._core.engine_errors import translate_dask_errors
from synfin_analytics._core.partitions import select_from_partitions
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.coerce import collect_columns
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._score_counts import ScoreCounts
from synfin_analytics.metrics.comparison import compare_models
from synfin_analytics.metrics.splits import time_split

ROWS = pl.DataFrame(
    {
        "p": [0.9, 0.7, 0.3, 0.1, 0.7, 0.2],
        "is_fraud": [1, 0, 1, 0, 1, 0],
        "customer_id": [1, 2, 3, 4, 5, 6],
    }
)

# -- Scores in float32 --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if "objects" not in kind])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.9, 0.7000001, math.inf])
def test_scores_in_float32_are_compared_with_a_threshold_as_numpy_does(kind, threshold):
    frame = ROWS.with_columns(pl.col("p").cast(pl.Float32))
    evaluation = evaluate(ENGINES[kind](frame), score="p", threshold=threshold)
    alert = frame["p"].to_numpy() >= threshold

    assert evaluation.alerts == alert.sum()
    groups = evaluate(ENGINES[kind](frame), score="p", threshold=threshold, by="customer_id")
    assert sum(group.alerts for _, group in groups.groups) == groups.overall.alerts == alert.sum()


def test_draws_and_costs_have_the_alerts_of_float32():
    frame = ROWS.with_columns(pl.col("p").cast(pl.Float32), amount=10.0)
    evaluation = evaluate(frame, score="p", threshold=0.7, amount="amount")
    assert (
        evaluation.bootstrap("recall", n_resamples=5).value
        == evaluation.recall
        == pytest.approx(2 / 3)
    )
    assert evaluation.cost(cost_per_alert=1) == 3 + 10


def test_scores_of_half_precision_are_compared_in_half_precision():
    counts = ScoreCounts.from_arrays(np.array([0.1], np.float16), [True])
    assert counts.cast_threshold(0.1) == counts.score[0] < 0.1


def test_scores_in_double_precision_are_not_rounded():
    counts = ScoreCounts.from_arrays(np.array([np.float32(0.7)], np.float64), [True])
    assert counts.cast_threshold(0.7) == 0.7 > counts.score[0]


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
@pytest.mark.parametrize("bins", [3, 7, 10, 20])
def test_a_bin_of_a_calibration_holds_its_lower_edge(dtype, bins):
    edges = [n / bins for n in range(bins)]
    frame = pl.DataFrame(
        {"p": edges, "is_fraud": [True] * bins}, {"p": dtype, "is_fraud": pl.Boolean}
    )
    table = evaluate(frame, score="p").calibration(bins)

    assert table["transactions"].tolist() == [1] * bins
    assert table["score_from"].tolist() == edges


# -- Groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
def test_nan_and_null_are_one_group_in_which_ties_are_ties(kind):
    frame = pl.DataFrame(
        {"g": [math.nan, None, math.nan, None, 1.0], "p": [0.5] * 5, "is_fraud": [1, 0, 1, 0, 1]},
        strict=False,
    )
    (first, alone), (last, missing) = evaluate(ENGINES[kind](frame), score="p", by="g").groups

    assert (first, alone.n, last, missing.n) == ((1.0,), 1, (None,), 4)
    assert missing.roc_auc == 0.5
    assert missing.average_precision == 0.5


@pytest.mark.parametrize(
    "values",
    [pa.array(["b", None, "a"], pa.string_view()), pa.array(["b", None, "a"]).dictionary_encode()],
)
def test_views_and_dictionaries_of_arrow_are_groups_of_texts(values):
    table = pa.table({"g": values, "p": [0.1, 0.2, 0.3], "is_fraud": [0, 1, 1]})
    groups = evaluate(table, score="p", by="g").groups
    assert [key for key, _ in groups] == [("a",), ("b",), (None,)]


@pytest.mark.parametrize("name", ["value", "frauds", "n", "metric", "small", "__score"])
def test_groups_that_are_named_like_a_column_of_the_result_are_refused(name):
    frame = ROWS.with_columns(pl.lit("a").alias(name))
    with pytest.raises(ArgumentError, match=f"`by` must be columns .* got '{name}'. Rename"):
        evaluate(frame, score="p", by=name)


@pytest.mark.parametrize("by", [[], 0, ["customer_id", "customer_id"], "p", "is_fraud"])
def test_what_is_no_column_to_group_by_is_refused(by):
    with pytest.raises(ArgumentError, match="`by` must"):
        evaluate(ROWS, score="p", by=by)


@pytest.mark.parametrize("kind", ENGINES)
def test_columns_may_have_dots_in_their_names(kind):
    dots = {"p": "p.q", "is_fraud": "is.fraud", "customer_id": "customer.id", "a": "a.b"}
    frame = ROWS.with_columns(a=1.0).rename(dots)
    evaluation = evaluate(ENGINES[kind](frame), "is.fraud", "p.q", by="customer.id", amount="a.b")
    expected = evaluate(ROWS.with_columns(a=1.0), score="p", by="customer_id", amount="a")

    assert evaluation.by == ("customer.id",)
    assert [key for key, _ in evaluation.groups] == [key for key, _ in expected.groups]
    drawn = evaluation.overall.bootstrap("recall", "customer.id", n_resamples=20).distribution
    again = expected.overall.bootstrap("recall", "customer_id", n_resamples=20).distribution
    assert np.array_equal(drawn, again, equal_nan=True)


def test_every_group_has_the_summary_of_its_own_rows():
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "g": generator.integers(40, size=400),
            "p": generator.random(400).round(1),
            "is_fraud": generator.random(400) < 0.3,
        }
    )
    table = evaluate(frame, score="p", by="g").by_group
    for (group,), part in frame.group_by("g"):
        expected = evaluate(part, score="p").summary().drop(columns="baseline")
        summary = table[table["g"] == group].reset_index(drop=True)
        assert summary[expected.columns].equals(expected)
        assert summary["transactions"].tolist() == [len(part)] * len(expected)


# -- Amounts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("amounts", [[math.inf, 2, 3.0, 1, 1, 1], [1, 2, 3.0, -math.inf, 1, 1]])
def test_infinite_amounts_are_refused(kind, amounts):
    frame = ROWS.with_columns(amount=pl.Series(amounts, dtype=pl.Float64))
    with pytest.raises(
        ArgumentError, match=r"'amount' must be a finite number.*in 1 row it is infinite"
    ):
        evaluate(ENGINES[kind](frame), score="p", amount="amount")


@pytest.mark.parametrize("kind", ["polars", "polars lazy"])
def test_amounts_without_a_finite_sum_are_refused(kind):
    frame = ROWS.with_columns(amount=pl.lit(1e308))
    with pytest.raises(ArgumentError, match="'amount' must have a finite sum"):
        evaluate(ENGINES[kind](frame), score="p", amount="amount")


@pytest.mark.parametrize("kind", ENGINES)
def test_a_missing_amount_costs_nothing(kind):
    frame = ROWS.with_columns(amount=pl.Series([None, None, 30.0, None, 5.0, None]))
    evaluation = evaluate(ENGINES[kind](frame), score="p", threshold=0.5, amount="amount")
    assert evaluation.cost(cost_per_alert=1, recovery_rate=0.8) == pytest.approx(3 + 30 + 0.2 * 5)
    assert evaluation.cost_curve(1)["missed_amount"].iloc[0] == 35


# -- Rows that change ---------------------------------------------------------------------------


def changed_by_assignment(frame: pd.DataFrame) -> None:
    frame["p"] = 0.5


def changed_in_place(frame: pd.DataFrame) -> None:
    frame.loc[:, "p"] = 0.5
    frame.loc[0, "is_fraud"] = 0


def changed_customers(frame: pd.DataFrame) -> None:
    frame["customer_id"] = 1


def without_scores(frame: pd.DataFrame) -> None:
    del frame["p"]


@pytest.mark.parametrize(
    "change", [changed_by_assignment, changed_in_place, changed_customers, without_scores]
)
def test_what_is_written_to_a_frame_of_pandas_changes_no_earlier_evaluation(change):
    frame = ROWS.to_pandas()
    evaluation = evaluate(frame, score="p")
    expected = evaluation.bootstrap(n_resamples=50).distribution

    change(frame)

    assert np.array_equal(
        evaluation.bootstrap(n_resamples=50).distribution, expected, equal_nan=True
    )


def test_what_is_put_into_a_frame_of_polars_changes_no_earlier_evaluation():
    frame = ROWS.clone()
    evaluation = evaluate(frame, score="p")
    expected = evaluation.bootstrap(n_resamples=50).distribution

    frame.replace_column(0, pl.Series("p", [0.5] * 6))
    frame[0, "is_fraud"] = 0

    assert np.array_equal(
        evaluation.bootstrap(n_resamples=50).distribution, expected, equal_nan=True
    )


def test_what_is_assigned_to_dask_changes_no_earlier_evaluation():
    frame = ENGINES["dask with numpy"](ROWS)
    evaluation = evaluate(frame, score="p")
    frame["p"] = 0.5
    assert evaluation.bootstrap(n_resamples=5).value == evaluation.roc_auc


REFUSED = "must still hold the rows that were evaluated"


def test_memory_of_numpy_that_changed_below_a_frame_is_refused():
    scores = ROWS["p"].to_numpy().copy()
    frame = pd.DataFrame({"p": pd.Series(scores, copy=False)}, copy=False).assign(
        is_fraud=ROWS["is_fraud"].to_numpy(), customer_id=range(6)
    )
    evaluation = evaluate(frame, score="p")
    scores[:] = 0.5
    with pytest.raises(ArgumentError, match=REFUSED):
        evaluation.bootstrap()


def test_a_file_that_changed_below_a_lazy_frame_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    ROWS.write_csv(path)
    evaluation = evaluate(pl.scan_csv(path), score="p")
    assert evaluation.bootstrap(n_resamples=5).value == evaluation.roc_auc
    ROWS.with_columns(p=0.5).write_csv(path)
    with pytest.raises(ArgumentError, match=REFUSED):
        evaluation.bootstrap()
    path.unlink()
    with pytest.raises(ArgumentError, match=r"A file of this frame does not exist: '.*rows\.csv'"):
        evaluation.bootstrap()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE t SET p = 0.5 WHERE customer_id = 1",
        "UPDATE t SET is_fraud = 0 WHERE customer_id = 1",
        "UPDATE t SET amount = 99 WHERE customer_id = 1",
        "DELETE FROM t WHERE customer_id = 1",
    ],
)
def test_a_table_of_duckdb_that_changed_is_refused(change):
    rows = ROWS.with_columns(amount=1.0).to_arrow()  # noqa: F841 - DuckDB reads it by its name
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT * FROM rows")
    evaluation = evaluate(connection.table("t"), score="p", amount="amount")
    assert evaluation.bootstrap("cost", n_resamples=5, cost_per_alert=1).value == evaluation.cost(1)
    connection.execute(change)
    with pytest.raises(ArgumentError, match=REFUSED):
        evaluation.bootstrap("cost", n_resamples=5, cost_per_alert=1)


# -- Pickled ------------------------------------------------------------------------------------


def results() -> dict[str, object]:
    evaluation = evaluate(ROWS.to_pandas(), score="p")
    dated = evaluate(
        ROWS.with_columns(timestamp=pl.datetime(2024, 5, 1, time_zone="UTC")), score="p"
    )
    return {
        "Evaluation": evaluation,
        "GroupedEvaluation": evaluate(ROWS, score="p", by="customer_id"),
        "Bootstrap": evaluation.bootstrap(n_resamples=5),
        "Comparison": compare_models(ROWS, {"one": "p", "two": "p"}, n_resamples=5),
        "TopK": dated.card_precision_at_k(2),
        "Threshold": evaluation.threshold_for_alerts(2),
        "Confusion": evaluation.confusion,
    }


@pytest.mark.parametrize("name", results())
@pytest.mark.parametrize(
    "copied", [lambda result: pickle.loads(pickle.dumps(result)), copy.deepcopy]
)
def test_every_result_pickles_and_copies(name, copied):
    result = results()[name]
    assert repr(copied(result)) == repr(result)


@pytest.mark.parametrize("kind", ["pandas with numpy", "polars", "pyarrow"])
def test_rows_in_memory_are_pickled_with_an_evaluation(kind):
    evaluation = evaluate(ENGINES[kind](ROWS), score="p")
    again = pickle.loads(pickle.dumps(evaluation))
    assert np.array_equal(
        again.bootstrap(n_resamples=5).distribution,
        evaluation.bootstrap(n_resamples=5).distribution,
        equal_nan=True,
    )


@pytest.mark.parametrize("kind", ["duckdb", "polars lazy"])
def test_rows_of_a_lazy_engine_are_left_behind_and_its_counts_are_not(kind):
    evaluation = evaluate(ENGINES[kind](ROWS), score="p")
    again = pickle.loads(pickle.dumps(evaluation))

    assert again.summary().equals(evaluation.summary())
    with pytest.raises(
        ArgumentError, match="was pickled without its rows, which are a lazy frame or a data"
    ):
        again.bootstrap()
    assert copy.deepcopy(evaluation).bootstrap(n_resamples=5).value == evaluation.roc_auc


@pytest.mark.parametrize("name", ["label", "score", "amount"])
@pytest.mark.parametrize("value", [0, ROWS["p"]])
def test_a_column_is_given_by_its_name(name, value):
    with pytest.raises(ArgumentError, match=rf"`{name}` must be a column name \(a string\); got"):
        evaluate(ROWS, **{"score": "p", name: value})


@pytest.mark.parametrize("kind", ["pandas with numpy", "dask with numpy"])
def test_a_column_that_is_there_twice_is_refused(kind):
    frame = ENGINES[kind](ROWS).rename(columns={"customer_id": "p"})
    with pytest.raises(ArgumentError, match="more than one column named p"):
        evaluate(frame, score="p")


def test_a_column_that_is_there_twice_is_refused_by_a_split():
    frame = ROWS.to_pandas().rename(columns={"customer_id": "p"})
    with pytest.raises(ArgumentError, match="more than one column named p"):
        time_split(frame, timestamp="p")


def test_integers_beyond_64_bits_are_refused():
    amounts = pd.Series([2**70, *[1] * 5], dtype=object)
    with pytest.raises(ArgumentError, match="'amount' must hold numbers of at most 64 bits"):
        evaluate(ROWS.to_pandas().assign(amount=amounts), score="p", amount="amount")


def test_a_wrong_column_is_named_with_the_nearest():
    with pytest.raises(NotFoundError, match="customer_id"):
        evaluate(ROWS, score="p", by="customer")


def test_integers_and_floats_of_numpy_are_numbers():
    evaluation = evaluate(
        ROWS, score="p", threshold=np.float32(0.5), confidence_level=np.float64(0.9)
    )
    assert evaluation.threshold_for_alerts(np.int64(2)) == evaluation.threshold_for_alerts(2)
    assert evaluation.calibration(np.int64(5)).equals(evaluation.calibration(5))
    assert evaluation.curve(np.int64(8)).equals(evaluation.curve(8))
    assert evaluation.recall_at_fpr(np.float32(0.5)) == evaluation.recall_at_fpr(0.5)


def test_a_terminal_of_80_columns_shows_a_value_and_its_interval():
    evaluation = evaluate(
        ROWS, score="p", threshold=evaluate(ROWS, score="p").threshold_for_alerts(2)
    )
    assert evaluation.summary()["note"].str.len().max() > 30
    with pd.option_context("display.width", 80, "display.max_columns", 0):
        header = repr(evaluation.summary()).splitlines()[0]
    assert header.split()[-3:] == ["value", "value_low", "value_high"]


@pytest.mark.parametrize(
    "measure",
    [
        lambda df: evaluate(df, score="p"),
        lambda df: measure_drift(df, "p", reference="old", current="new"),
        lambda df: fraud_rate(df, by="old", amount=None),
        lambda df: suggest_columns(df),
        lambda df: model_report(df, label="is_fraud", score="p"),
    ],
)
def test_an_expression_of_a_lazy_frame_that_fails_is_reported_without_values(measure):
    df = pl.LazyFrame({"is_fraud": [1, 0], "text": ["Anna", "0.5"]}).with_columns(
        p=pl.col("text").cast(pl.Float64), old=pl.col("text").str.to_integer() > 0, new=True
    )
    with pytest.raises(ArgumentError) as caught:
        measure(df)
    message = str(caught.value)
    assert message.startswith("polars cannot compute this LazyFrame: ")
    assert message.endswith("Error). Correct the expressions of the frame.")
    assert "Anna" not in message
    assert caught.value.__suppress_context__


def test_a_column_that_an_expression_of_a_lazy_frame_lacks_is_named():
    df = pl.LazyFrame({"is_fraud": [1, 0]}).with_columns(p=pl.col("scroe"))
    with pytest.raises(ArgumentError, match='LazyFrame: unable to find column "scroe"'):
        evaluate(df, score="p")


READERS = {
    "evaluate": lambda df: evaluate(df, score="amount"),
    "fraud_rate": fraud_rate,
    "engineer_features": lambda df: engineer_features(df, customers=df),
    "handbook_features": handbook_features,
    "fit_baseline": fit_baseline,
    "load_df": lambda df: load_df(df, "transactions"),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_missing_file_of_a_lazy_frame_is_named(read, tmp_path):
    df = pl.scan_parquet(tmp_path / "missing.parquet")
    with pytest.raises(ArgumentError, match=r"A file of this frame .*/missing\.parquet'\. Correct"):
        read(df)


#: Payments with an amount that is no number.
PAYMENTS = pl.DataFrame(
    {
        "transaction_id": ["T1", "T2"],
        "customer_id": ["C1", "C2"],
        "merchant_id": ["M1", "M2"],
        "timestamp": pl.Series(["2026-01-01", "2026-01-02"]).str.to_datetime(time_zone="UTC"),
        "is_fraud": [True, False],
        "amount": ["0.5", "Anna O'Neill"],
    }
)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_expression_of_duckdb_that_fails_is_reported_without_values(read):
    df = ENGINES["duckdb"](PAYMENTS).project("* REPLACE (CAST(amount AS DOUBLE) AS amount)")
    with pytest.raises(ArgumentError, match="DuckDB cannot compute this relation: Conv") as caught:
        read(df)
    assert "Anna" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["evaluate", "fraud_rate", "fit_baseline"])
def test_an_expression_of_spark_that_fails_is_reported_without_values(spark, name):
    df = to_spark(spark, PAYMENTS)
    df = df.withColumn("amount", df.amount.cast("double"))
    with pytest.raises(ArgumentError, match=r"Spark cannot .* CAST_INVALID_INPUT") as caught:
        READERS[name](df)
    assert "Anna" not in str(caught.value)


@pytest.mark.parametrize("kind", ["polars lazy", "duckdb", "spark"])
def test_what_a_model_cannot_score_is_said_in_the_same_words_by_each_engine(kind, request):
    model = LogisticRegression().fit(pd.DataFrame({"x": [0.0, 1.0]}), [0, 1])
    rows = pl.DataFrame({"x": [0.5, None], "is_fraud": [True, False]})
    if kind == "spark":
        df = to_spark(request.getfixturevalue("spark"), rows)
    else:
        df = ENGINES[kind](rows)
    with pytest.raises(ArgumentError) as caught:
        evaluate(score(df, model), score="fraud_probability")
    assert re.fullmatch("The columns that `score` reads must be features .*", str(caught.value))


LACKS_AMOUNT = (
    r"A partition of the Dask DataFrame must have the columns of the frame; it lacks 'amount'\. "
    r"Give all its partitions the same columns\."
)
SCORER = LogisticRegression().fit(pd.DataFrame({"amount": [0.0, 1.0]}), [0, 1])


@pytest.mark.parametrize(
    "measure",
    [
        fraud_rate,
        partial(fraud_report, label="is_fraud", amount="amount"),
        detect_patterns,
        fit_baseline,
        partial(evaluate_rules, rules={"dear": "amount > 100"}),
        lambda df: engineer_features(df, n_buckets=2).compute(),
        lambda df: score(df, SCORER).compute(),
        lambda df: evaluate(score(df, SCORER), score="fraud_probability"),
        lambda df: time_split(df, "3d", "1d", "3d").train.compute(),
        partial(
            collect_columns, required=["amount"], optional=[], name="customers", caller="a test"
        ),
    ],
)
def test_a_partition_of_dask_that_lacks_a_column_is_reported(measure):
    world = simulate(customers=30, merchants=10, days=14, seed=1).transactions
    parts = [world, world.drop(columns="amount")]
    df = dd.from_map(lambda number: parts[number], [0, 1], meta=world.iloc[:0])
    with pytest.raises(ArgumentError, match=LACKS_AMOUNT):
        measure(df)


def test_a_partition_of_dask_without_rows_or_a_column_that_is_not_read_is_counted():
    whole = PAYMENTS.to_pandas()
    parts = [whole.assign(unread=1), whole, pd.DataFrame()]
    df = dd.from_map(lambda number: parts[number], range(3), meta=parts[0])
    assert fraud_rate(df, amount=None)["transactions"].item() == 2 * len(whole)


def test_a_partition_of_dask_with_a_column_more_is_reported_where_rows_are_returned():
    whole = pd.DataFrame({"amount": [1.0]})
    parts = [whole, whole.assign(extra=1)]
    df = dd.from_map(lambda number: parts[number], [0, 1], meta=whole)
    with pytest.raises(ArgumentError, match=r"A partition .*; it has 'extra' as well"):
        score(df, SCORER).compute()


def test_only_the_columns_that_are_read_are_taken_from_parquet_by_dask(tmp_path):
    PAYMENTS.with_columns(unread=1).write_parquet(tmp_path / "part.parquet")
    selected = select_from_partitions(dd.read_parquet(tmp_path), ["is_fraud"])
    assert list(selected.optimize(fuse=False).expr.columns) == ["is_fraud"]
    assert not list(selected.optimize(fuse=False).expr.find_operations(MapPartitions))


def test_only_the_missing_column_of_an_error_of_dask_is_named():
    message = "not found: ['amount']\n\nHint: Did you mean one of these columns: ['is_fraud']?"
    with (
        pytest.raises(ArgumentError, match=r"KeyError in a partition, about 'amount'\. Give"),
        translate_dask_errors(["is_fraud", "amount"]),
    ):
        raise KeyError(message)


CALLS = {
    "fraud_rate": fraud_rate,
    "time_split": lambda df: time_split(df, train="1d", label_delay="1d", test="1d"),
    "engineer_features": engineer_features,
    "window_features": window_features,
    "detect_patterns": detect_patterns,
    "fit_baseline": fit_baseline,
    "fraud_report": partial(fraud_report, label="is_fraud"),
    "score": lambda df: score(
        df, LogisticRegression().fit(pd.DataFrame({"x": [0.0, 1.0]}), [0, 1])
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_repeated_column_of_dask_is_named_at_once(call):
    payments = PAYMENTS.with_columns(amount=1.0, x=2.0).to_pandas()
    df = dd.from_pandas(pd.concat([payments, payments[["amount"]]], axis="columns"), npartitions=1)
    with pytest.raises(ArgumentError, match="must be unique; got more than one column named amou"):
        call(df)


@pytest.mark.parametrize("kind", ["polars", "pandas with arrow", "pyarrow", "duckdb"])
def test_labels_that_are_texts_name_the_remedy(kind):
    df = ENGINES[kind](pl.DataFrame({"is_fraud": ["yes", "no"], "p": [0.9, 0.1]}))
    with pytest.raises(ArgumentError, match=r"it is String\. Compare texts with .* y == 'yes'"):
        evaluate(df, score="p")


def test_labels_in_an_array_that_are_texts_name_the_remedy():
    with pytest.raises(ArgumentError, match="Compare texts with the one that means fraud"):
        evaluate(["yes", "no"], [0.9, 0.1])


@pytest.mark.parametrize("split", [time_split, handbook_features, engineer_features, fit_baseline])
def test_another_name_of_the_label_delay_is_corrected(split):
    message = "The parameter `delay` is called `label_delay` here: pass label_delay='3d'"
    with pytest.raises(ArgumentError, match=message):
        split(pl.DataFrame(), delay="3d")


def test_prequential_split_names_its_label_delay_delay():
    with pytest.raises(
        ArgumentError, match="`label_delay` is called `delay` here: pass delay='3d'"
    ):
        PrequentialSplit(label_delay="3d")


# -- Groups and times of partitions ----------------------------------------------------------------

COUNTED = {"amount": None, "cluster": None}
DAYS = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3, 4)]
OBJECTS = pd.DataFrame(
    {
        "timestamp": pd.Series(DAYS, dtype=object),
        "is_fraud": [True, False, True, False],
        "p": [0.1, 0.2, 0.3, 0.4],
    }
)


def partitioned(*parts):
    """A frame of Dask of partitions whose types and categories may differ."""
    return dd.from_map(lambda number: parts[number], range(len(parts)), meta=parts[0].iloc[:0])


def test_timestamps_of_python_in_partitions_of_dask_are_counted_as_in_pandas():
    with dask.config.set({"dataframe.convert-string": False}):
        df = dd.from_pandas(OBJECTS, npartitions=2)
        pd.testing.assert_frame_equal(
            fraud_rate(df, every="1d", **COUNTED), fraud_rate(OBJECTS, every="1d", **COUNTED)
        )
        values = [evaluate(rows, score="p").precision_at_k(1) for rows in (df, OBJECTS)]
        assert repr(values[0]) == repr(values[1])


def test_a_partition_of_dask_without_any_time_is_counted():
    with dask.config.set({"dataframe.convert-string": False}):
        df = partitioned(OBJECTS, OBJECTS.assign(timestamp=None))
        counts = fraud_rate(df, every="1d", **COUNTED)
    assert counts["transactions"].tolist() == [1, 1, 1, 1, 4]
    assert counts["timestamp"].isna().tolist() == [False] * 4 + [True]


def test_strings_that_dask_made_of_timestamps_are_explained():
    df = dd.from_pandas(OBJECTS, npartitions=2)
    message = r"Dask makes strings of Python's timestamps, too.* dask\.dataframe\.to_datetime"
    with pytest.raises(ArgumentError, match=message):
        fraud_rate(df, every="1d", **COUNTED)


@pytest.mark.parametrize("measure", [partial(fraud_rate, **COUNTED), partial(evaluate, score="p")])
def test_partitions_of_dask_whose_groups_have_other_types_are_reported(measure):
    naive = OBJECTS.assign(timestamp=pd.to_datetime(OBJECTS["timestamp"]).dt.tz_localize(None))
    aware = OBJECTS.assign(timestamp=pd.to_datetime(OBJECTS["timestamp"]))
    with pytest.raises(ArgumentError, match="values of different types in column 'timestamp'"):
        measure(partitioned(naive, aware), by="timestamp")


def test_categories_that_differ_between_partitions_of_dask_are_sorted():
    first, second = (
        pd.DataFrame({"kind": pd.Categorical(kinds), "is_fraud": [True, False], "p": [0.2, 0.1]})
        for kinds in (["K1", "K3"], ["K1", "K2"])
    )
    df = partitioned(first, second)
    assert fraud_rate(df, "kind", **COUNTED)["kind"].tolist() == ["K1", "K2", "K3"]
    by_group = evaluate(df, by="kind", score="p").by_group
    assert by_group["kind"].unique().tolist() == ["K1", "K2", "K3"]


def test_the_order_of_categories_that_the_frame_of_dask_knows_is_kept():
    kinds = pd.Categorical(["low", "high", "low", "high"], categories=["low", "high"])
    df = dd.from_pandas(OBJECTS.assign(kind=kinds), npartitions=2)
    assert fraud_rate(df, "kind", **COUNTED)["kind"].tolist() == ["low", "high"]


def test_scores_that_look_like_percentages_are_said_to_be_by_each_engine(to_lazy):
    rows = pl.DataFrame(
        {
            "p": [5.0, 80.0, math.inf, 900.0, 900.0],
            "is_fraud": [True, False, False, None, True],
            "timestamp": [*DAYS[:4], dt.datetime(2026, 2, 1, tzinfo=dt.UTC)],
            "label_available_at": [DAYS[0]] * 5,
            "group": ["a", "b", "a", "b", "a"],
        }
    )
    message = r"in 3 rows with a label .* percentages: divide them by 100\.$"
    for by in (None, "group"):
        with pytest.raises(ArgumentError, match=message):
            evaluate(to_lazy(rows), score="p", by=by, as_of="2026-01-31")


@pytest.mark.parametrize("measure", [partial(fraud_rate, **COUNTED), partial(evaluate, score="p")])
def test_an_interval_of_duckdb_is_no_group(measure):
    df = duckdb.sql("SELECT INTERVAL 1 MONTH AS span, true AS is_fraud, 0.5 AS p")
    message = r"^Column 'span' has DuckDB's type INTERVAL, .* Cast it to VARCHAR"
    with pytest.raises(ArgumentError, match=message):
        measure(df, by="span")


def test_columns_of_spark_whose_names_differ_only_in_case_are_counted(spark):
    rows = pa.table(
        {"Card": [1, 1], "card": [3, 4], "is_fraud": [True, False], "p": [0.9, 0.1], "x.y": [1, 2]}
    )
    with without_pandas_warning():
        df = spark.createDataFrame(rows)
    both = fraud_rate(df, ["card", "Card", "x.y"], **COUNTED)
    assert both[["card", "Card", "x.y", "frauds"]].to_numpy().tolist() == [
        [3, 1, 1, 1],
        [4, 1, 2, 0],
    ]
    assert (
        fraud_rate(df, amount=None, cluster="Card")["n_effective"].item()
        == fraud_rate(rows, amount=None, cluster="Card")["n_effective"].to_pylist()[0]
    )
    assert evaluate(df, by="card", score="p").by_group["card"].unique().tolist() == [3, 4]


def test_another_dask_counts_without_the_check_of_partitions(monkeypatch):
    """The check needs modules of Dask that may be named otherwise in a later version."""
    df = ENGINES["dask with arrow"](pl.DataFrame({"is_fraud": [True, False], "amount": [1.0, 2.0]}))
    monkeypatch.delattr("dask.dataframe.dask_expr.io.io.IO")
    assert fraud_rate(df)["fraud_rate"].item() == 0.5
