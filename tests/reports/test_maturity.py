"""Weeks whose frauds are not all known yet, in both reports."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl
import pytest
from engines import ENGINES
from pages import Page
from reported import predictions, transactions

from synfin_analytics import FraudRateNowcast, nowcast_fraud_rate, simulate
from synfin_analytics.reports import fraud_report, model_report
from synfin_analytics.repositories import TransactionRepository

AS_OF = "2025-06-02"
COLUMNS = {
    "label": "is_fraud",
    "timestamp": "timestamp",
    "customer": "customer_id",
    "merchant": "merchant_id",
    "amount": "amount",
    "label_available_at": "label_available_at",
}


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    return simulate(150, 60, days=180, seed=1).transactions


@pytest.fixture(scope="module")
def report(payments):
    return fraud_report(payments, **COLUMNS, by=[], as_of=AS_OF)


def check_same_nowcast(nowcast, expected):
    assert nowcast.mature_age == expected.mature_age
    assert nowcast.caveats == expected.caveats
    pd.testing.assert_frame_equal(nowcast.to_frame(), expected.to_frame(), check_dtype=False)


def texts(report) -> str:
    return " ".join([finding.sentence for finding in report.findings] + report.caveats)


def test_the_numbers_are_those_of_nowcast_fraud_rate(report, payments):
    expected = nowcast_fraud_rate(payments, as_of=AS_OF, confidence_level=0.95)
    check_same_nowcast(report.nowcast, expected)
    assert 0 < (~expected.to_frame()["mature"]).sum() < len(expected.to_frame())


def test_the_database_gives_the_weeks_of_a_frame(world):
    rows = transactions()
    scored = rows.with_columns(predictions(rows, "forest", 1, 0.3)["fraud_probability"].alias("p"))
    columns = COLUMNS | {"currency": "EUR"}
    scored, options = scored.drop("currency"), {"by": [], "as_of": "2026-04-13"}
    with world.get_session() as session:
        expected = TransactionRepository(session).nowcast_fraud_rate(
            as_of="2026-04-13", confidence_level=0.95
        )
        stored = fraud_report(**options, session=session)
        model = model_report("forest", "1.0", **options, n_resamples=2, session=session)
    check_same_nowcast(stored.nowcast, expected)
    check_same_nowcast(fraud_report(scored, **columns, **options).nowcast, expected)
    of_frame = model_report(scored, **columns, **options, score="p", n_resamples=2)
    check_same_nowcast(model.nowcast, of_frame.nowcast)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_same_weeks(report, payments, engine):
    names = sorted(set(COLUMNS.values()))
    frame = ENGINES[engine](pl.from_pandas(payments[names]))
    of_engine = fraud_report(frame, **COLUMNS, by=[], as_of=AS_OF)
    check_same_nowcast(of_engine.nowcast, report.nowcast)


def test_the_summary_says_what_the_known_rate_would_make_of_the_weeks(report):
    weeks = report.nowcast.to_frame()
    recent = weeks[~weeks["mature"]]
    finding = next(entry for entry in report.findings if entry.name == "weeks that are not mature")
    assert finding.value == len(recent)
    assert f"The last {len(recent)} weeks (from {recent['cohort'].iloc[0]:%Y-%m-%d})" in (
        finding.sentence
    )
    rate = recent["known_frauds"].sum() / recent["transactions"].sum()
    assert f"Frauds known so far give {rate:.2%} of their transactions" in finding.sentence
    assert "a lower known rate does not show that fraud fell" in finding.sentence


def test_the_page_draws_and_lists_the_weeks(report):
    page = Page(report.html())
    n_weeks = (~report.nowcast.to_frame()["mature"]).sum()
    assert "Weeks that are not mature, by number of frauds" in page.text
    assert "Weeks that are not mature, by value" in page.text
    assert "estimated final rate with its 95% prediction interval" in page.text
    assert len(report._context()["tables"]["immature"][0].rows) == n_weeks + 2  # the sums


def test_weeks_that_are_not_mature_are_not_compared(report):
    weeks = report.nowcast.to_frame()
    first = weeks.loc[~weeks["mature"], "cohort"].iloc[0]
    finding = next(
        entry for entry in report.findings if entry.section == "time" and "highest" in entry.name
    )
    starts = report.over_time["timestamp"]
    mature = report.over_time[starts < first]
    assert finding.value == mature["fraud_rate"].max()
    assert "may not be known yet are not compared" in finding.sentence


def test_without_label_times_nothing_is_said(payments):
    columns = {key: name for key, name in COLUMNS.items() if key != "label_available_at"}
    report = fraud_report(payments, **columns, by=[])
    assert report.nowcast is None
    assert "mature" not in texts(report)


def test_a_short_history_is_one_sentence(payments):
    report = fraud_report(payments, **COLUMNS, by=[], as_of="2025-01-27")
    assert report.nowcast.startswith("A final rate can be estimated from 6 complete cohorts")
    assert any(report.nowcast in sentence for sentence in report.caveats)
    assert not any(entry.name == "weeks that are not mature" for entry in report.findings)


def test_labels_before_their_transaction_are_one_sentence(payments):
    wrong = payments.assign(
        label_available_at=payments["timestamp"] - dt.timedelta(days=2), is_fraud=True
    )
    report = fraud_report(wrong, **COLUMNS, by=[])
    assert "must not be earlier than 'timestamp'" in report.nowcast
    assert "the first is" not in report.nowcast


def test_label_dates_are_whole_days(payments):
    dates = payments.assign(label_available_at=payments["label_available_at"].dt.date)
    report = fraud_report(dates, **COLUMNS, by=[], as_of=AS_OF)
    assert isinstance(report.nowcast, FraudRateNowcast)


def test_a_model_report_says_that_recall_will_change(payments):
    scored = payments.assign(p=(payments["amount"] > 200) * 0.5 + 0.1)
    report = model_report(scored, **COLUMNS, score="p", by=[], n_resamples=2, as_of=AS_OF)
    expected = nowcast_fraud_rate(payments, as_of=AS_OF, confidence_level=0.95)
    check_same_nowcast(report.nowcast, expected)
    assert "fraud rates, recall and precision there are based on the labels known so far" in texts(
        report
    )
    assert "may not be known yet are not compared" in texts(report)
