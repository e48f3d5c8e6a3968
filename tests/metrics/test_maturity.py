"""Label maturity: the triangle and the curve by definition, on every engine and in PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labels import MONDAY, ROWS, frame_of, row
from pandas.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import LabelMaturity, label_maturity
from synfin_analytics.metrics.maturity import _interval
from synfin_analytics.repositories import TransactionRepository

if TYPE_CHECKING:
    import pandas as pd

NAN = math.nan


def weeks(*delays: list[float | None], channel: str = "pos") -> pl.DataFrame:
    """Frauds of consecutive weeks, on their Mondays, by the days until they were known."""
    rows = [
        row(7 * week, delay=delay) | {"channel": channel}
        for week, cohort in enumerate(delays)
        for delay in cohort
    ]
    return frame_of(rows)


def after(days: float) -> dt.datetime:
    return MONDAY + dt.timedelta(days=days)


def columns(frame: pd.DataFrame, *names: str) -> list[list[Any]]:
    return [list(values) for values in frame[list(names)].itertuples(index=False)]


# -- Definitions -----------------------------------------------------------------------------------


def test_the_triangle_has_the_frauds_known_by_the_end_of_each_age():
    maturity = label_maturity(weeks([0, 6, 7, 15], [0, 8]), as_of=after(21), mature_age=1)
    triangle = maturity.to_frame()

    assert columns(triangle, "age", "transactions", "frauds", "labelled", "fraud_amount") == [
        [0, 5, 2, 3, 20],
        [1, 5, 3, 4, 30],
        [2, 5, 4, 5, 40],
        [0, 2, 1, 1, 10],
        [1, 2, 2, 2, 20],
    ]
    assert triangle["cohort"].tolist() == [*[after(0)] * 3, *[after(7)] * 2]
    assert triangle["share"].tolist() == pytest.approx([2 / 3, 1, NAN, 1 / 2, 1], nan_ok=True)


def test_the_curve_divides_sums_over_the_mature_cohorts():
    maturity = label_maturity(weeks([0, 6, 7], [0, 8], [0, 0]), as_of=after(21), mature_age=1)
    curve = maturity.curve

    assert columns(curve, "age", "cohorts", "frauds", "final_frauds") == [
        [0, 2, 3, 5],
        [1, 2, 5, 5],
    ]
    assert curve["share"].tolist() == [0.6, 1]
    assert curve["amount_share"].tolist() == [0.6, 1]
    assert not curve["reliable"].any()
    assert maturity.cohorts["mature"].tolist() == [True, True, False]
    assert maturity.cohorts["observed_ages"].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("every", "ages"), [("1d", [0, 6, 7]), ("1w", [0, 0, 1]), ("1mo", [0, 0, 0]), ("1q", [0, 0, 0])]
)
def test_ages_are_differences_of_periods(every, ages):
    maturity = label_maturity(weeks([0, 6, 7]), every=every, as_of=after(120), mature_age=0)
    known = maturity.to_frame()["frauds"].diff().fillna(maturity.to_frame()["frauds"])
    assert np.repeat(maturity.to_frame()["age"], known.astype(int)).tolist() == ages


def test_a_cell_is_observed_from_the_moment_at_which_its_period_ends():
    frame = weeks([0, 6])
    assert label_maturity(frame, as_of=after(7)).to_frame()["age"].tolist() == [0]
    assert len(label_maturity(frame, as_of=after(7 - 1e-9)).to_frame()) == 0


def test_the_running_period_counts_in_the_cohort_and_in_no_cell():
    maturity = label_maturity(weeks([0, 8]), as_of=after(9))
    assert maturity.to_frame()["frauds"].tolist() == [1]
    assert maturity.cohorts["frauds"].tolist() == [2]


def test_a_label_known_at_as_of_is_known_and_a_transaction_at_it_is_left_out():
    maturity = label_maturity(weeks([14], [0], [0]), as_of=after(14), mature_age=0)
    assert maturity.cohorts["frauds"].tolist() == [1, 1]


def test_a_label_without_a_time_is_known_immediately():
    maturity = label_maturity(weeks([None, 8]), as_of=after(21), mature_age=1)
    assert maturity.curve["frauds"].tolist() == [1, 2]
    assert maturity.caveats == (
        "1 of 2 frauds has no time in the column of label times: it counts as known immediately.",
    )


def test_by_default_the_state_is_that_after_the_last_moment_of_the_data():
    frame = weeks([0, 16])
    assert label_maturity(frame).as_of == after(16) + dt.timedelta(microseconds=1)
    early = frame.with_columns(label_available_at=pl.lit(None, pl.Datetime("us", "UTC")))
    late = pl.concat([early.with_columns(timestamp=after(30)), frame])
    assert label_maturity(late).as_of == after(30) + dt.timedelta(microseconds=1)


def test_by_default_a_cohort_is_mature_when_95_percent_are_known():
    delays = [0.0] * 18 + [8.0] + [22.0]
    maturity = label_maturity(weeks(delays, delays, delays, [0.0]), as_of=after(42))
    assert maturity.mature_age == 1
    assert maturity.cohorts["mature"].all()
    few = label_maturity(weeks([*delays, 29.0]), as_of=after(42))
    assert few.mature_age == 3


def test_a_date_is_the_whole_day():
    frame = weeks([0, 8]).with_columns(pl.col("timestamp") + pl.duration(hours=10))
    dates = frame.with_columns(pl.col("label_available_at").dt.date())
    result = label_maturity(dates, every="1h", as_of=after(21), mature_age=300)
    assert result.curve["frauds"].iloc[[0, -1]].tolist() == [1, 2]


def test_time_zones_are_converted_and_naive_times_are_utc():
    frame = weeks([0, 6.99, 7], [0, 8])
    expected = label_maturity(frame, as_of=after(21)).to_frame()
    times = pl.col("timestamp", "label_available_at")
    for other in (
        frame.with_columns(times.dt.convert_time_zone("America/New_York")),
        frame.with_columns(times.dt.replace_time_zone(None)),
        frame.with_columns(pl.col("timestamp").dt.cast_time_unit("ns")),
    ):
        for kind in ("polars", "pyarrow", "pandas with arrow", "pandas with numpy"):
            result = label_maturity(ENGINES[kind](other), as_of="2026-01-26T01:00+01:00")
            assert_frame_equal(result.to_frame(), expected)


# -- Interval --------------------------------------------------------------------------------------


def test_the_interval_is_wider_if_cohorts_differ():
    alike = label_maturity(weeks(*[[0, 8]] * 12), as_of=after(100), mature_age=1).curve.iloc[0]
    differ = label_maturity(
        weeks(*[[0, 0], [8, 8]] * 6), as_of=after(100), mature_age=1
    ).curve.iloc[0]
    assert alike["share"] == pytest.approx(differ["share"], abs=0.03)
    assert alike["share_low"] > differ["share_low"]
    assert alike["share_high"] < differ["share_high"]
    assert alike["reliable"]


def test_one_cohort_has_no_interval():
    curve = label_maturity(weeks([0, 8]), as_of=after(30), mature_age=1).curve
    assert curve[["share_low", "share_high"]].isna().all(axis=None)


def test_intervals_cover_the_share_of_overdispersed_cohorts():
    generator = np.random.default_rng(0)
    probabilities = np.array([0.5, 0.3, 0.2])
    covered = []
    for _ in range(200):
        sizes = generator.negative_binomial(2, 0.1, 20)
        mixes = generator.dirichlet(20 * probabilities, 20)
        known = np.array([generator.multinomial(*pair) for pair in zip(sizes, mixes, strict=True)])
        low, high = _interval(known.cumsum(axis=1), 0.95)
        truth = probabilities.cumsum()[:-1]
        covered.append((low[:-1] <= truth) & (truth <= high[:-1]))
    assert (np.mean(covered, axis=0) > 0.9).all()


# -- Groups, engines and PostgreSQL ----------------------------------------------------------------


def test_groups_have_one_mature_age_and_add_up():
    frame = pl.concat([weeks([0, 8], [0]), weeks([0, 16], channel="online")])
    maturity = label_maturity(frame, by="channel", as_of=after(28))
    assert list(maturity.curve["channel"].unique()) == ["online", "pos"]
    assert maturity.overall.mature_age == maturity.mature_age
    expected = label_maturity(frame, as_of=after(28), mature_age=maturity.mature_age)
    assert_frame_equal(maturity.overall.to_frame(), expected.to_frame())
    assert_frame_equal(maturity.overall.curve, expected.curve)


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_gives_the_same_result(kind):
    frame = pl.concat([weeks([0, 8, None], [3, 20]), weeks([1], [2, 9], channel="online")])
    expected = label_maturity(frame, by="channel")
    result = label_maturity(ENGINES[kind](frame), by="channel")
    assert repr(result) == repr(expected)
    assert_frame_equal(result.curve, expected.curve)
    assert_frame_equal(result.to_frame(), expected.to_frame())


@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.lists(ROWS.filter(lambda line: line["amount"]), max_size=25),
    st.sampled_from(["1d", "1w", "1mo", "2mo", "1q"]),
    st.sampled_from([None, "country"]),
    st.sampled_from([None, after(7), after(31.5)]),
)
def test_postgresql_gives_the_same_result(session, rows, every, by, as_of):
    session.rollback()
    frame = frame_of(rows).rename({"channel": "country"})
    stored = frame.with_row_index("transaction_id").with_columns(
        pl.col("transaction_id").cast(pl.String), customer_id=pl.lit("C"), merchant_id=pl.lit("M")
    )
    load_df(stored, "transactions", session=session, on_missing_parent="create")
    for output in ("pandas", "polars"):
        repository = TransactionRepository(session, output=output)
        result = repository.label_maturity(by, every=every, as_of=as_of)
        expected = label_maturity(frame, every=every, by=by, as_of=as_of)
        assert (result.as_of, result.mature_age) == (expected.as_of, expected.mature_age)
        for name in ("curve", "cohorts"):
            assert_frame_equal(getattr(result, name), getattr(expected, name), check_dtype=False)
        assert_frame_equal(result.to_frame(), expected.to_frame(), check_dtype=False)


def test_postgresql_names_a_transaction_that_was_known_too_early(session):
    frame = weeks([0, 8]).with_columns(
        transaction_id=pl.Series(["T1", "T2", "T3"]), customer_id=pl.lit("C"),
        merchant_id=pl.lit("M"), label_available_at=pl.col("timestamp") - pl.duration(days=1),
    )  # fmt: skip
    load_df(frame.drop("channel"), "transactions", session=session, on_missing_parent="create")
    with pytest.raises(ArgumentError, match=r"in 3 rows it is \(the first is transaction 'T1'\)"):
        TransactionRepository(session).label_maturity()


# -- What cannot be measured -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if "objects" not in kind])
@pytest.mark.parametrize("by", [None, "channel"])
def test_without_rows_the_result_is_empty(kind, by):
    maturity = label_maturity(ENGINES[kind](weeks([0]).clear()), by=by)
    assert repr(maturity) == "LabelMaturity(no transactions)"
    assert [len(maturity.to_frame()), len(maturity.curve), len(maturity.cohorts)] == [0, 0, 0]
    assert maturity.caveats == ("There are no transactions to count.",)
    assert "share" in maturity.curve
    maturity._repr_html_()


def test_a_frame_without_label_times_is_told_what_to_add():
    frame = weeks([0]).rename({"label_available_at": "known_at"})
    with pytest.raises(ArgumentError, match="Pass its name as `label_available_at`, or add such"):
        label_maturity(frame)


@pytest.mark.parametrize("kind", ENGINES)
def test_labels_without_times_are_refused(kind):
    frame = weeks([None, None])[:2]
    with pytest.raises(ArgumentError, match="none of the 2 labels has a time"):
        label_maturity(ENGINES[kind](frame))


def test_a_column_of_nulls_only_holds_no_times():
    frame = weeks([0]).with_columns(label_available_at=None)
    for native in (frame, frame.to_arrow(), frame.to_pandas()):
        with pytest.raises(ArgumentError, match="none of the 2 labels has a time"):
            label_maturity(native)


@pytest.mark.parametrize("kind", ENGINES)
def test_a_label_known_before_its_transaction_is_refused_with_its_row(kind):
    frame = weeks([0, -1, -3])
    ordered = not kind.startswith(("dask", "duckdb")) and "lazy" not in kind
    row_number = r" \(the first is row 1\)" if ordered else ""
    message = (
        rf"'label_available_at' must not be earlier than 'timestamp'; in 2 rows it is{row_number}\."
    )
    with pytest.raises(ArgumentError, match=message):
        label_maturity(ENGINES[kind](frame))


@pytest.mark.parametrize("kind", ENGINES)
def test_a_missing_timestamp_is_refused(kind):
    missing = pl.Series([None, None, MONDAY], dtype=pl.Datetime("us", "UTC"))
    frame = weeks([0, 8]).with_columns(timestamp=missing)
    with pytest.raises(ArgumentError, match="must have a timestamp in each row; 2 rows"):
        label_maturity(ENGINES[kind](frame), as_of=after(30))


def test_cohorts_without_a_history_have_no_share_and_a_caveat():
    maturity = label_maturity(weeks([0, 8]), as_of=after(14), mature_age=5)
    assert maturity.to_frame()["share"].isna().all()
    assert maturity.curve["share"].isna().all()
    assert repr(maturity) == "LabelMaturity(1 cohort of 1w, none of them mature)"
    assert maturity.caveats == (
        "No cohort is mature: the oldest has 2 observed ages; a mature one has 6. The shares are "
        "not defined.",
    )


def test_a_history_in_which_frauds_still_arrive_has_a_caveat():
    maturity = label_maturity(weeks([0, 15]), as_of=after(21))
    assert "Frauds still became known at age 2" in maturity.caveats[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": "1 week"}, "`every` must be a whole number"),
        ({"as_of": "soon"}, "`as_of` must be a date or a time"),
        ({"mature_age": -1}, "`mature_age` must be a whole number of at least 0; got -1"),
        ({"confidence_level": 95}, "`confidence_level` must be greater than 0"),
        ({"by": "age"}, "must not have the name of a column of the result; got 'age'"),
        ({"timestamp": 0}, "`timestamp` must be a column name"),
        ({"label_available_at": "channel"}, "'channel' must hold timestamps"),
        ({"label": "amount"}, "'amount' must be a label"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    frame = weeks(*[[0.5, 1, 2]] * 10).rename({"channel": "age"} if "by" in options else {})
    with pytest.raises(ArgumentError, match=message):
        label_maturity(frame.with_columns(amount=pl.lit(2.5)), **options)


def test_periods_that_give_too_many_cells_are_refused():
    with pytest.raises(ArgumentError, match="`every` must be a longer period"):
        label_maturity(weeks(*[[1]] * 40), every="1m")


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(ArgumentError, match="no column 'labelled_at'"):
        label_maturity(weeks([0]), label_available_at="labelled_at")


def test_names_may_have_dots():
    frame = weeks([0, 8]).rename({"channel": "a.b", "timestamp": "t.s"})
    for kind in ENGINES:
        maturity = label_maturity(ENGINES[kind](frame), "t.s", by="a.b", as_of=after(21))
        assert maturity.curve["a.b"].tolist()[0] == "pos"


def test_a_result_is_plain_objects_too():
    maturity = label_maturity(weeks([0, 8]), by="channel", as_of=after(21))
    record = json.loads(json.dumps(maturity.to_dict()))
    assert record["as_of"] == "2026-01-26T00:00:00+00:00"
    assert record["curve"][0]["channel"] == "pos"
    assert isinstance(maturity, LabelMaturity)
    assert maturity.to_frame("polars").height == len(maturity.to_frame())
    assert "share known" in maturity._repr_html_()
