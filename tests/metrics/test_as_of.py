"""as_of: rates and evaluations as they were known on a day, the same in every engine."""

import datetime as dt
import pickle

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest
from engines import (
    ENGINES,
    GROUPS,
    QUICK,
    ROWS,
    SCHEMA,
    a_third_of_engines,
    as_polars,
    engines_for,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import compare_models, evaluate, fraud_rate
from synfin_analytics.metrics.bootstrap import ALL_METRICS
from synfin_analytics.repositories import ModelPredictionRepository, TransactionRepository

DAYS = [dt.datetime(2026, 3, day, tzinfo=dt.UTC) for day in range(1, 8)]
MOMENTS = [day + shift for day in DAYS for shift in (dt.timedelta(0), dt.timedelta(microseconds=1))]
#: When a label became known: at once, before its row, at or just after the day of knowledge.
KNOWN = st.sampled_from([None, *MOMENTS])
TIMED = ROWS.flatmap(
    lambda row: st.fixed_dictionaries(
        {name: st.just(value) for name, value in row.items() if name != "timestamp"}
        | {"timestamp": st.sampled_from([None, *MOMENTS]), "label_available_at": KNOWN}
    )
)
TIMED_SCHEMA = SCHEMA | {"label_available_at": pl.Datetime("us", "UTC")}
AS_OF = st.sampled_from([MOMENTS[0] - dt.timedelta(days=9), *MOMENTS, DAYS[-1] + dt.timedelta(9)])


def known_on(rows: list[dict], as_of: dt.datetime) -> list[dict]:
    """Keep, row by row, what was known: slow and evident."""
    kept = []
    for row in rows:
        if row["timestamp"] is None or row["timestamp"] >= as_of:
            continue
        available = row["label_available_at"]
        known_at = max(row["timestamp"], available) if available else row["timestamp"]
        kept.append(row if known_at <= as_of else row | {"is_fraud": None})
    return kept


@a_third_of_engines
@settings(max_examples=5, phases=QUICK)
@given(rows=st.lists(TIMED, max_size=25), groups=GROUPS, as_of=AS_OF)
def test_every_engine_gives_the_rate_of_the_rows_that_were_known(engines, rows, groups, as_of):
    expected = fraud_rate(pl.DataFrame(known_on(rows, as_of), TIMED_SCHEMA), **groups)
    for engine, native in engines_for(pl.DataFrame(rows, TIMED_SCHEMA), engines).items():
        result = as_polars(fraud_rate(native, **groups, as_of=as_of))
        assert result.columns == expected.columns, engine
        assert_frame_equal(result, expected, check_dtypes=False, rel_tol=1e-9)


#: Columns of `transactions` that hold such values as those of SCHEMA.
STORED = {"channel": "country", "merchant": "transactions_last_day"}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(TIMED.filter(lambda row: row["amount"] and row["timestamp"]), max_size=25),
    GROUPS,
    AS_OF,
)
def test_postgresql_gives_the_same_rate(session, rows, groups, as_of):
    session.rollback()
    frame = pl.DataFrame(rows, TIMED_SCHEMA).rename(STORED).with_row_index("transaction_id")
    groups = groups | {
        "by": [STORED[name] for name in groups["by"]],
        "bins": {STORED.get(name, name): edges for name, edges in (groups["bins"] or {}).items()},
    }
    stored = frame.with_columns(cs.by_name("transaction_id").cast(pl.String))
    load_df(stored, "transactions", session=session, on_missing_parent="create")
    result = TransactionRepository(session, output="polars").fraud_rate(**groups, as_of=as_of)
    expected = fraud_rate(frame, **groups, as_of=as_of)
    assert_frame_equal(result, expected, check_dtypes=False, rel_tol=1e-9)


# -- What counts as known --------------------------------------------------------------------------


def reported(*available: dt.datetime | None, **columns) -> pl.DataFrame:
    """Frauds of 1 March, with the times at which they were reported."""
    return pl.DataFrame(
        {
            "timestamp": [DAYS[0]] * len(available),
            "is_fraud": [True] * len(available),
            "label_available_at": pl.Series(available, dtype=pl.Datetime("us", "UTC")),
        }
        | columns
    )


def counts(df, **options) -> tuple[int, int, int]:
    rates = as_polars(fraud_rate(df, amount=None, **options))
    return rates.select("transactions", "labelled", "frauds").row(0)


def test_a_fraud_that_was_not_reported_yet_is_not_labelled():
    assert counts(reported(DAYS[1], DAYS[4]), as_of="2026-03-03") == (2, 1, 1)


def test_a_genuine_payment_that_was_not_confirmed_yet_is_not_labelled_either():
    confirmed = reported(DAYS[1], DAYS[4], is_fraud=[False, False])
    assert counts(confirmed, as_of="2026-03-03") == (2, 1, 0)


def test_a_label_that_arrives_at_that_moment_is_known_and_a_payment_of_that_moment_is_not():
    df = reported(DAYS[2], DAYS[2] + dt.timedelta(microseconds=1))
    assert counts(df, as_of=DAYS[2]) == (2, 1, 1)
    assert counts(df, as_of=DAYS[0]) == (0, 0, 0)


def test_without_a_time_or_with_one_before_the_payment_a_label_was_known_at_once():
    df = reported(None, DAYS[0] - dt.timedelta(days=30))
    assert counts(df, as_of=DAYS[0] + dt.timedelta(microseconds=1)) == (2, 2, 2)


def test_payments_without_a_timestamp_are_left_out():
    df = reported(None, None, timestamp=[DAYS[0], None])
    assert counts(df, as_of="2026-03-03") == (1, 1, 1)


def test_before_all_data_there_is_no_transaction_and_no_rate():
    rates = fraud_rate(reported(None), as_of="1970-01-01", amount=None)
    assert rates["transactions"].to_list() == [0]
    assert np.isnan(rates["fraud_rate"].item())
    assert fraud_rate(reported(None), every="1d", as_of="1970-01-01", amount=None).is_empty()
    evaluation = evaluate(reported(None, p=[0.5]), score="p", as_of="1970-01-01")
    assert (evaluation.n, evaluation.n_unlabelled) == (0, 0)


@pytest.mark.parametrize(
    "as_of",
    [
        "2026-03-03",
        dt.date(2026, 3, 3),
        dt.datetime.fromisoformat("2026-03-03"),
        "2026-03-03T01:00+01:00",
        pd.Timestamp("2026-03-02T19:00", tz="America/New_York"),
    ],
)
def test_the_day_is_a_date_or_a_time_in_utc_by_default(as_of):
    assert counts(reported(DAYS[2], DAYS[2] + dt.timedelta(seconds=1)), as_of=as_of) == (2, 1, 1)


@pytest.mark.parametrize("engine", ["polars", "pyarrow", "pandas with numpy", "pandas with arrow"])
def test_timestamps_may_have_another_zone_or_be_dates(engine):
    df = reported(DAYS[2], DAYS[3])
    times = cs.by_name("timestamp", "label_available_at")
    for converted in (
        df.with_columns(times.dt.convert_time_zone("America/New_York")),
        df.with_columns(times.dt.replace_time_zone(None)),
        df.with_columns(times.dt.date()),
    ):
        assert counts(ENGINES[engine](converted), as_of="2026-03-03") == (2, 1, 1)


# Dask takes a column of None for text.
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "dask with numpy"])
def test_where_no_label_has_a_time_all_were_known_at_once(engine):
    df = reported(None, None).with_columns(label_available_at=pl.lit(None))
    native = df.to_pandas() if engine == "pandas with objects" else ENGINES[engine](df)
    assert counts(native, as_of="2026-03-03") == (2, 2, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_may_have_other_names(engine):
    names = {"timestamp": "at.time", "is_fraud": "is.fraud", "label_available_at": "known.at"}
    df = ENGINES[engine](reported(DAYS[1], DAYS[4]).rename(names))
    columns = {"timestamp": "at.time", "label": "is.fraud", "label_available_at": "known.at"}
    assert counts(df, as_of="2026-03-03", **columns) == (2, 1, 1)


def test_postgresql_knows_a_label_of_that_very_moment(session):
    df = reported(
        DAYS[2], DAYS[2] + dt.timedelta(microseconds=1), transaction_id=["1", "2"],
        customer_id=["C", "C"], merchant_id=["M", "M"], amount=[10.0, 10.0],
    )  # fmt: skip
    load_df(df, "transactions", session=session, on_missing_parent="create")
    rates = TransactionRepository(session).fraud_rate(as_of=DAYS[2])
    assert rates[["transactions", "labelled", "frauds"]].values.tolist() == [[2, 1, 1]]
    assert TransactionRepository(session).fraud_rate(as_of=DAYS[0])["transactions"].item() == 0


def test_a_group_by_the_label_is_one_by_the_label_that_was_known(session):
    df = reported(DAYS[1], DAYS[4]).with_columns(
        transaction_id=pl.Series(["1", "2"]), customer_id=pl.lit("C"), merchant_id=pl.lit("M"),
        amount=10.0,
    )  # fmt: skip
    load_df(df, "transactions", session=session, on_missing_parent="create")
    in_frame = fraud_rate(df, by="is_fraud", as_of="2026-03-03")
    stored = TransactionRepository(session).fraud_rate(by="is_fraud", as_of="2026-03-03")
    assert in_frame["is_fraud"].to_list() == [1, None]
    assert stored["is_fraud"].fillna(False).tolist() == [True, False]
    assert stored["frauds"].tolist() == in_frame["frauds"].to_list() == [1, 0]


def test_the_frame_itself_stays_as_it_was():
    df = reported(DAYS[1], DAYS[4]).to_pandas()
    before = df.copy(deep=True)
    evaluate(df.assign(p=0.5), score="p", as_of="2026-03-03")
    fraud_rate(df, amount=None, as_of="2026-03-03")
    pd.testing.assert_frame_equal(df, before)


# -- Evaluations -----------------------------------------------------------------------------------


def scored(seed: int, size: int = 300) -> pl.DataFrame:
    """Scored transactions of a week, whose labels arrive within days."""
    generator = np.random.default_rng(seed)
    fraud = generator.random(size) < 0.2
    hours = generator.integers(24 * 7, size=size)
    delays = generator.integers(24 * 6, size=size)
    times = [DAYS[0] + dt.timedelta(hours=int(hour)) for hour in hours]
    available = [
        time + dt.timedelta(hours=int(delay)) for time, delay in zip(times, delays, strict=True)
    ]
    return pl.DataFrame(
        {
            "transaction_id": [f"TX{number:04}" for number in range(size)],
            "timestamp": times,
            "is_fraud": pl.Series(fraud).set(pl.Series(generator.random(size) < 0.1), None),
            "label_available_at": pl.Series(available).set(
                pl.Series(generator.random(size) < 0.3), None
            ),
            "customer_id": [f"C{number:02}" for number in generator.integers(40, size=size)],
            "merchant_id": "M1",
            "amount": generator.integers(1, 500, size=size).astype(float),
            "channel": generator.choice(["pos", "online", "atm"], size),
            "p": (generator.random(size) * 0.6 + 0.4 * fraud).round(2),
            "q": generator.random(size).round(2),
        }
    )


def known_frame(df: pl.DataFrame, as_of: str) -> pl.DataFrame:
    day = dt.datetime.fromisoformat(as_of).replace(tzinfo=dt.UTC)
    return pl.DataFrame(known_on(df.to_dicts(), day), df.schema)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_evaluation_is_that_of_the_rows_that_were_known(engine):
    df = scored(1)
    expected = evaluate(known_frame(df, "2026-03-05"), score="p", amount="amount")
    result = evaluate(ENGINES[engine](df), score="p", amount="amount", as_of="2026-03-05")

    assert result.n_unlabelled == expected.n_unlabelled > 0
    assert result.summary().equals(expected.summary())
    assert result.precision_at_k(3).daily.equals(expected.precision_at_k(3).daily)
    assert result.card_precision_at_k(3).daily.equals(expected.card_precision_at_k(3).daily)
    for cluster in ("customer_id", "timestamp"):
        result_interval, expected_interval = (
            evaluation.bootstrap("roc_auc", cluster=cluster, n_resamples=50)
            for evaluation in (result, expected)
        )
        assert result_interval.low == pytest.approx(expected_interval.low)
        assert result_interval.high == pytest.approx(expected_interval.high)


@pytest.mark.parametrize("engine", ENGINES)
def test_groups_of_an_evaluation_are_those_of_the_rows_that_were_known(engine):
    df = scored(2)
    expected = evaluate(known_frame(df, "2026-03-05"), score="p", by="channel")
    result = evaluate(ENGINES[engine](df), score="p", by="channel", as_of="2026-03-05")

    pd.testing.assert_frame_equal(result.by_group, expected.by_group, check_dtype=False)
    assert result.overall.precision_at_k(3).daily.equals(expected.overall.precision_at_k(3).daily)


@pytest.mark.parametrize("engine", ["polars", "pandas with objects", "duckdb", "dask with arrow"])
def test_weights_are_of_the_rows_and_labels_that_were_known(engine):
    df, weight = scored(6), {False: 10.0, True: 1.0}
    expected = evaluate(known_frame(df, "2026-03-05"), score="p", weight=weight)
    result = evaluate(ENGINES[engine](df), score="p", weight=weight, as_of="2026-03-05")
    assert result.summary().equals(expected.summary())


def test_models_are_compared_on_the_rows_that_were_known():
    df, options = scored(3), {"n_resamples": 50, "amount": "amount", "cost_per_alert": 2.0}
    metrics = [metric for metric in ALL_METRICS if metric != "cost"]
    expected = compare_models(known_frame(df, "2026-03-05"), ["p", "q"], metrics=metrics, **options)
    result = compare_models(df, ["p", "q"], metrics=metrics, as_of="2026-03-05", **options)
    pd.testing.assert_frame_equal(result.to_frame(), expected.to_frame())


def test_an_evaluation_pickles_with_its_rows():
    result = evaluate(scored(4), score="p", as_of="2026-03-05")
    restored = pickle.loads(pickle.dumps(result))
    assert restored.precision_at_k(3).daily.equals(result.precision_at_k(3).daily)


@pytest.fixture
def stored(session):
    df = scored(5)
    load_df(df.drop("p", "q"), "transactions", session=session, on_missing_parent="create")
    for model in ("p", "q"):
        predictions = df.select(
            "transaction_id",
            model_name=pl.lit(model),
            model_version=pl.lit("1"),
            prediction=pl.col(model) >= 0.5,
            fraud_probability=model,
            ground_truth="is_fraud",
        )
        load_df(predictions, "model_predictions", session=session)
    return df


def test_postgresql_evaluates_the_rows_that_were_known(session, stored):
    repository = ModelPredictionRepository(session)
    expected = evaluate(stored, score="p", amount="amount", as_of="2026-03-05")
    result = repository.evaluate("p", "1", amount=True, as_of="2026-03-05")

    assert result.n_unlabelled == expected.n_unlabelled > 0
    assert result.summary().equals(expected.summary())
    assert result.precision_at_k(3).daily.equals(expected.precision_at_k(3).daily)
    assert result.card_precision_at_k(3).daily.equals(expected.card_precision_at_k(3).daily)
    intervals = [
        evaluation.bootstrap("roc_auc", n_resamples=50) for evaluation in (result, expected)
    ]
    assert intervals[0].to_frame().equals(intervals[1].to_frame())
    groups = repository.evaluate("p", "1", by="channel", as_of="2026-03-05").by_group
    assert groups.equals(evaluate(stored, score="p", by="channel", as_of="2026-03-05").by_group)


def test_postgresql_compares_models_on_the_rows_that_were_known(session, stored):
    options = {"metrics": ["roc_auc", "precision_at_k"], "n_resamples": 50, "k": 5}
    result = ModelPredictionRepository(session).compare_models(
        [("p", "1"), ("q", "1")], as_of="2026-03-05", **options
    )
    expected = compare_models(stored, {"p 1": "p", "q 1": "q"}, as_of="2026-03-05", **options)
    pd.testing.assert_frame_equal(result.to_frame(), expected.to_frame())


def test_a_period_ends_with_the_day_of_knowledge(session, stored):
    repository = ModelPredictionRepository(session)
    first = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    for end in (None, "2026-03-04", "2026-03-09"):
        period = {"start": first, "end": end, "as_of": "2026-03-05"}
        last = dt.datetime.fromisoformat(end or "2026-03-05").replace(tzinfo=dt.UTC)
        rows = stored.filter(pl.col("timestamp").is_between(first, last, closed="left"))
        expected = evaluate(rows, score="p", as_of="2026-03-05")
        assert repository.evaluate("p", "1", **period).summary().equals(expected.summary())
        common = repository.evaluate("p", "1", **period, common_with=[("q", "1")])
        assert common.counts.same_as(expected.counts)
        assert common.n_unlabelled == 0
        rates = TransactionRepository(session, output="polars").fraud_rate(**period)
        assert_frame_equal(
            rates, fraud_rate(rows, as_of="2026-03-05"), check_dtypes=False, rel_tol=1e-9
        )


# -- What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_frame_without_the_times_of_its_labels_is_refused_with_the_remedy(engine):
    df = ENGINES[engine](scored(1).rename({"label_available_at": "label_time"}))
    message = (
        r"^`as_of` needs the time at which each label became known; the frame has no column "
        r"'label_available_at'.* Pass its name as `label_available_at`, or add such a column"
    )
    for call in (
        lambda: fraud_rate(df, as_of="2026-03-05"),
        lambda: evaluate(df, score="p", as_of="2026-03-05"),
        lambda: compare_models(df, ["p", "q"], as_of="2026-03-05"),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()
    assert counts(df, as_of="2026-03-05", label_available_at="label_time")[0] > 0


def test_the_nearest_name_is_suggested():
    df = reported(None).rename({"label_available_at": "label_available"})
    with pytest.raises(ArgumentError, match=r"\(did you mean 'label_available'\?\)"):
        fraud_rate(df, amount=None, as_of="2026-03-05")


@pytest.mark.parametrize("column", ["timestamp", "label_available_at"])
@pytest.mark.parametrize("engine", ENGINES)
def test_text_in_place_of_timestamps_is_refused_with_the_remedy(engine, column):
    df = ENGINES[engine](reported(DAYS[1]).with_columns(pl.col(column).cast(pl.String)))
    message = (
        rf"Column '{column}' must hold timestamps to be compared with `as_of`; it is String\. "
        r"Convert the text to timestamps first"
    )
    with pytest.raises(ArgumentError, match=message):
        fraud_rate(df, amount=None, as_of="2026-03-05")


@pytest.mark.parametrize("as_of", ["March 2026", 20260301, pd.NaT, ["2026-03-01"], True])
def test_what_is_no_day_is_refused(session, as_of):
    message = "`as_of` must be a date or a time, such as '2026-01-31'"
    with pytest.raises(ArgumentError, match=message):
        fraud_rate(reported(None), amount=None, as_of=as_of)
    with pytest.raises(ArgumentError, match=message):
        evaluate(reported(None, p=[0.5]), score="p", as_of=as_of)
    with pytest.raises(ArgumentError, match=message):
        TransactionRepository(session).fraud_rate(as_of=as_of)


def test_arrays_have_no_times():
    with pytest.raises(ArgumentError, match="`as_of` needs a frame with the times"):
        evaluate([1, 0], [0.9, 0.2], as_of="2026-03-05")


def test_a_start_at_or_after_the_day_is_refused(session, stored):
    period = {"start": "2026-03-05", "as_of": "2026-03-05"}
    message = "`as_of` must be later than `start`; got as_of=2026-03-05, start=2026-03-05"
    with pytest.raises(ArgumentError, match=message):
        TransactionRepository(session).fraud_rate(**period)
    with pytest.raises(ArgumentError, match=message):
        ModelPredictionRepository(session).evaluate("p", "1", **period)


@pytest.mark.parametrize("column", ["timestamp", "label_available_at"])
def test_a_type_of_time_that_cannot_be_read_is_named(column):
    connection = duckdb.connect()
    times = dict.fromkeys(("timestamp", "label_available_at"), "TIMESTAMP '2026-01-09'")
    times[column] += "::TIMESTAMPTZ_NS"
    columns = ", ".join(f"{time} AS {name}" for name, time in times.items())
    df = connection.sql(f"SELECT {columns}, true AS is_fraud, 1.5 AS amount")
    with pytest.raises(ArgumentError, match=rf"'{column}' must hold .*; it is TIMESTAMPTZ_NS"):
        fraud_rate(df, as_of="2026-01-03")
