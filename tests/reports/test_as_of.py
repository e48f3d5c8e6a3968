"""Reports as of a day: what was known then, from a frame and from the database."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl
import pytest
from engines import ENGINES
from pages import Page
from reported import predictions, transactions

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.reports import fraud_report, model_report
from synfin_analytics.repositories import TransactionRepository

AS_OF = "2026-03-25"
MOMENT = dt.datetime(2026, 3, 25, tzinfo=dt.UTC)
COLUMNS = {
    "timestamp": "timestamp",
    "customer": "customer_id",
    "merchant": "merchant_id",
    "amount": "amount",
    "currency": "EUR",
    "label_available_at": "label_available_at",
}
MODEL = {"label": "is_fraud", "score": "p", "compare_with": "q", **COLUMNS}
FRAUD = {"label": "is_fraud", "fraud_type": "fraud_type", **COLUMNS}
OPTIONS = {"by": ["channel"], "threshold": 0.37, "alerts_per_day": 3, "n_resamples": 20}


@pytest.fixture(scope="module")
def df() -> pl.DataFrame:
    rows = transactions()
    scores = {
        "p": predictions(rows, "forest", 1, 0.3)["fraud_probability"],
        "q": predictions(rows, "logit", 2, 0.2)["fraud_probability"],
    }
    return rows.drop("transaction_id", "currency").with_columns(**scores)


@pytest.fixture(scope="module")
def known(df) -> pl.DataFrame:
    """The rows with the labels that were known, made by hand."""
    late = (pl.col("label_available_at") > MOMENT).fill_null(value=False)
    return df.filter(pl.col("timestamp") < MOMENT).with_columns(
        is_fraud=pl.when(~late).then("is_fraud")
    )


@pytest.fixture(scope="module")
def n_later(df, known) -> tuple[int, int]:
    """Labels and frauds that became known later."""
    all_labels = df.filter(pl.col("timestamp") < MOMENT)["is_fraud"]
    n_labels = all_labels.count() - known["is_fraud"].count()
    n_frauds = all_labels.sum() - known["is_fraud"].sum()
    assert n_labels > n_frauds > 1
    return n_labels, n_frauds


def check_same_model(report, expected):
    pd.testing.assert_frame_equal(report.evaluation.summary(), expected.evaluation.summary())
    for name in ("thresholds", "weeks"):
        pd.testing.assert_frame_equal(
            getattr(report, name), getattr(expected, name), check_dtype=False,
            check_column_type=False, obj=name,
        )  # fmt: skip
    pd.testing.assert_frame_equal(report.cards.daily, expected.cards.daily, check_dtype=False)
    groups, expected_groups = (result.groups["channel"].to_frame() for result in (report, expected))
    pd.testing.assert_frame_equal(groups, expected_groups)
    for name in ("n_predictions", "n_labelled", "n_frauds", "n_days", "first", "last", "delays",
                 "n_clusters", "n_fraud_clusters"):  # fmt: skip
        assert getattr(report.data, name) == getattr(expected.data, name), name
    differences, expected_differences = (
        result.comparison.to_frame()["difference"].tolist() for result in (report, expected)
    )
    assert differences == pytest.approx(expected_differences, nan_ok=True)


def check_same_fraud(report, expected):
    for name in ("overall", "over_time", "amounts", "types", "maturity"):
        pd.testing.assert_frame_equal(
            getattr(report, name), getattr(expected, name), check_dtype=False, obj=name
        )
    assert report.delays == expected.delays
    assert (report.first, report.last) == (expected.first, expected.last)
    counts = ("total_count", "labelled_count", "fraud_count", "fraud_rate")
    assert [report.statistics[key] for key in counts] == [
        expected.statistics[key] for key in counts
    ]
    pd.testing.assert_frame_equal(
        report.merchants.drop(columns="name"), expected.merchants.drop(columns="name"),
        check_dtype=False,
    )  # fmt: skip


def test_a_model_report_is_that_of_the_rows_that_were_known(df, known):
    expected = model_report(known, **MODEL, **OPTIONS)
    check_same_model(model_report(df, **MODEL, **OPTIONS, as_of=AS_OF), expected)


def test_a_stored_model_report_is_that_of_a_frame(df, world):
    of_frame = model_report(df, **MODEL, **OPTIONS, as_of=AS_OF)
    with world.get_session() as session:
        stored = model_report(
            "forest", "1.0", compare_with=("logit", "1.0"), **OPTIONS, as_of=AS_OF, session=session
        )
    check_same_model(of_frame, stored)
    assert of_frame.knowledge == stored.knowledge
    assert stored.data.n_truth_outdated == 0


def test_a_fraud_report_is_that_of_the_rows_that_were_known(df, known):
    expected = fraud_report(known, **FRAUD, by=["channel"])
    check_same_fraud(fraud_report(df, **FRAUD, by=["channel"], as_of=AS_OF), expected)


def test_a_fraud_report_of_the_database_is_that_of_a_frame(df, world):
    of_frame = fraud_report(df, **FRAUD, by=["channel"], as_of=AS_OF)
    with world.get_session() as session:
        stored = fraud_report(by=["channel"], as_of=AS_OF, session=session)
    check_same_fraud(of_frame, stored)
    assert of_frame.knowledge == stored.knowledge


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_same_report(df, engine):
    names = [column for name, column in COLUMNS.items() if name != "currency"]
    frame = ENGINES[engine](df.select("p", "is_fraud", *names))
    report = model_report(frame, label="is_fraud", score="p", **COLUMNS, n_resamples=2, as_of=AS_OF)
    expected = model_report(
        df, label="is_fraud", score="p", **COLUMNS, by=[], n_resamples=2, as_of=AS_OF
    )
    assert report.evaluation.counts.same_as(expected.evaluation.counts)
    assert report.knowledge == expected.knowledge


def test_the_page_says_the_day_and_how_many_labels_were_not_known_yet(df, n_later):
    n_labels, n_frauds = n_later
    sentence = (
        f"As known on 2026-03-25: {n_labels:,} labels ({n_frauds} frauds) became known later and "
        "count as missing."
    )
    for report in (
        model_report(df, **MODEL, n_resamples=2, as_of=AS_OF),
        fraud_report(df, **FRAUD, as_of=AS_OF),
    ):
        assert (report.knowledge.n_labels, report.knowledge.n_frauds) == n_later
        assert sentence in Page(report.html()).text
        assert "as_of='2026-03-25'" in report.provenance.python


def test_if_every_label_was_known_the_page_says_so(df):
    page = fraud_report(df, **FRAUD, as_of="2027-01-01T12:30").html()
    assert "As known on 2027-01-01 12:30 UTC: every label that the data hold was known" in page


def test_without_a_day_the_page_says_nothing_of_it(df):
    report = fraud_report(df, **FRAUD)
    assert report.knowledge is None
    assert "As known on" not in report.html()


def test_the_query_on_the_page_returns_the_rows_that_were_known(df, known, world):
    with world.get_session() as session:
        report = fraud_report(as_of=AS_OF, session=session)
        rows = pd.read_sql(report.provenance.query, session.connection())
    assert len(rows) == len(known)
    assert rows["is_fraud"].sum() == known["is_fraud"].sum()
    assert rows["is_fraud"].count() == known["is_fraud"].count()


def test_statistics_are_of_what_was_known(known, world):
    with world.get_session() as session:
        statistics = TransactionRepository(session).get_statistics(as_of=AS_OF)
    assert statistics["total_count"] == len(known)
    assert statistics["labelled_count"] == known["is_fraud"].count()
    assert statistics["fraud_count"] == known["is_fraud"].sum()


def test_a_period_may_be_chosen_too(df, known):
    period = {"start": "2026-03-10", "end": "2026-03-20"}
    expected = fraud_report(known, **FRAUD, **period)
    check_same_fraud(fraud_report(df, **FRAUD, **period, as_of=AS_OF), expected)


@pytest.mark.parametrize("column", ["timestamp", "label_available_at"])
def test_a_frame_needs_the_times_of_rows_and_labels(df, column):
    message = "`as_of` needs the times .* as timestamp= and label_available_at="
    for function, columns in ((model_report, MODEL), (fraud_report, FRAUD)):
        columns = {name: value for name, value in columns.items() if name != column}
        with pytest.raises(ArgumentError, match=message):
            function(df, **columns, as_of=AS_OF)


def test_before_all_data_there_is_nothing_to_report_on(df, world):
    with pytest.raises(ArgumentError, match="no rows to report on before `as_of`, 2020-01-01"):
        fraud_report(df, **FRAUD, as_of="2020-01-01")
    with world.get_session() as session:
        with pytest.raises(ArgumentError, match="no transactions to report on in this period"):
            fraud_report(as_of="2020-01-01", session=session)
        with pytest.raises(ArgumentError, match=r"no prediction of forest 1\.0 within this range"):
            model_report("forest", "1.0", as_of="2020-01-01", session=session)


@pytest.mark.parametrize("as_of", ["March", 20260325])
def test_what_is_no_day_is_refused(df, as_of):
    for function, columns in ((model_report, MODEL), (fraud_report, FRAUD)):
        with pytest.raises(ArgumentError, match="`as_of` must be a date or a time"):
            function(df, **columns, as_of=as_of)
