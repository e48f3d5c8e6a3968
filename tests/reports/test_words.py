"""Sentences of reports, read again and compared with what all rows say."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Page
from reported import transactions
from sqlalchemy import text

from synfin_analytics._core.formatting import format_amount, format_percent
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import evaluate, fraud_rate
from synfin_analytics.reports import _model_findings as model_text
from synfin_analytics.reports import fraud_report, model_report

#: A count of frauds, and of all payments, by group; rates are often equal.
GROUPS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 60)).map(lambda pair: (pair[0], sum(pair)))
    | st.sampled_from([(0, 10), (1, 10), (2, 20), (10, 100), (20, 200), (9, 90), (12, 60)]),
    min_size=2, max_size=6,
)  # fmt: skip
NAMES = re.compile(r"\bg\d\b|2026-\d\d-\d\d")


@pytest.fixture
def session(world):
    with world.get_session() as session:
        yield session


@pytest.fixture(scope="module")
def fraud(world):
    with world.get_session() as session:
        return fraud_report(session=session, by=["channel"])


@pytest.fixture(scope="module")
def model(world):
    with world.get_session() as session:
        return model_report("forest", "1.0", by=["channel"], session=session, n_resamples=20)


def payments(counts: list[tuple[int, int]]) -> pl.DataFrame:
    """Make so many frauds of so many payments, by channel and by week; the frauds score 1."""
    rows = [
        (f"g{place}", pd.Timestamp("2026-03-02", tz="UTC") + pd.Timedelta(weeks=place), n < frauds)
        for place, (frauds, n_payments) in enumerate(counts)
        for n in range(n_payments)
    ]
    columns = {"channel": pl.String, "timestamp": pl.Datetime("us", "UTC"), "is_fraud": pl.Boolean}
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        amount=pl.lit(1.0), score=pl.col("is_fraud").cast(pl.Float64)
    )


def of_section(findings, section: str) -> list[str]:
    return [finding.sentence for finding in findings if finding.section == section]


def check(sentence: str, rates: dict[str, tuple[int, int]], choose, *, based_on: int = 0) -> None:
    """Compare a sentence on the first groups with the counts of all groups.

    ``based_on`` is the index of the count with the number of frauds behind a rate.
    """
    exact = {name: Fraction(*counts) for name, counts in rates.items() if counts[1]}
    best = choose(exact.values())
    first = {name for name in exact if exact[name] == best}
    if len(first) == len(exact):
        assert f"all {len(exact)} " in sentence
        assert format_percent(float(best)) in sentence
        return
    claim, _, caveat = sentence.partition("With fewer than 10 frauds")
    named = set(NAMES.findall(claim))
    assert named <= first
    assert len(named) == min(len(first), 3)
    assert bool(re.search(r"\d more \(tied\)", claim)) == (len(first) > 3)
    assert ("(tied)" in claim) == (len(first) > 1)
    for name in named:
        assert f"{rates[name][0]:,} of {rates[name][1]:,}" in claim
    assert bool(caveat) == all(rates[name][based_on] < 10 for name in first)
    large = {name: exact[name] for name in exact if rates[name][based_on] >= 10}
    if caveat and large:
        best_of_large = choose(large.values())
        after = set(NAMES.findall(caveat))
        assert after <= {name for name in large if large[name] == best_of_large}
        assert after


# -- Where and when -------------------------------------------------------------------------------


@given(counts=GROUPS)
@settings(max_examples=60)
def test_the_group_with_the_highest_rate_is_named(fraud, counts):
    rates = {f"g{place}": pair for place, pair in enumerate(counts) if pair[1]}
    table = fraud_rate(payments(counts), by="channel", amount=None).to_pandas()
    sentences = of_section(replace(fraud, rates={"channel": table}).findings, "groups")
    assert len(sentences) == (len(rates) > 1)
    for sentence in sentences:
        check(sentence, rates, max)


@given(counts=GROUPS)
@settings(max_examples=60)
def test_the_week_with_the_highest_rate_is_named(fraud, counts):
    weeks = pd.Timestamp("2026-03-02") + pd.to_timedelta(range(len(counts)), unit="W")
    rates = {f"{week:%Y-%m-%d}": pair for week, pair in zip(weeks, counts, strict=True) if pair[1]}
    table = fraud_rate(payments(counts), every="1w", amount=None).to_pandas()
    sentences = of_section(
        replace(fraud, over_time=table, every="1w", nowcast=None).findings, "time"
    )
    assert len(sentences) == (len(rates) > 1)
    for sentence in sentences:
        check(sentence, rates, max)


@given(counts=GROUPS)
@settings(max_examples=60)
def test_the_group_with_the_lowest_recall_is_named(model, counts):
    # The first of each two counts is how many of the frauds are found.
    frauds = payments(counts).with_columns(is_fraud=pl.lit(value=True))
    grouped = evaluate(
        pl.concat([frauds, payments([(0, 20)] * len(counts))]), score="score", by="channel"
    )
    recalls = {f"g{place}": pair for place, pair in enumerate(counts) if pair[1]}
    report = replace(model, evaluation=grouped.overall, groups={"channel": grouped})
    sentences = of_section(model_text.findings(report), "groups")
    assert len(sentences) == (len(recalls) > 1)
    for sentence in sentences:
        check(sentence, recalls, min, based_on=1)
        (weakest,) = model_text.describe_recall_by_group(report).values()
        check(
            weakest.partition(" Among groups with at least 10 frauds and")[0],
            recalls,
            min,
            based_on=1,
        )
        if "is lowest" in sentence:  # what is least is less than all
            least = re.search(r"(\d+) of (\d+)", sentence)
            assert Fraction(*map(int, least.groups())) < Fraction(
                sum(part for part, _ in counts), sum(n_payments for _, n_payments in counts)
            )


@given(counts=GROUPS)
@settings(max_examples=60)
def test_the_lowest_and_the_highest_week_of_a_model_are_those_of_all(model, counts):
    weekly = fraud_rate(payments(counts), every="1w", amount=None).to_pandas()
    weeks = weekly.assign(scored=1, mean_score=[0.1 * place for place in range(len(weekly))])
    sentences = of_section(
        model_text.findings(replace(model, weeks=weeks, nowcast=None, drift=None)), "stability"
    )
    rates = [Fraction(*pair) for pair in counts if pair[1]]
    assert len(sentences) == (len(rates) > 1)
    for sentence in sentences:
        ends = re.findall(r"rate ranged from (.*?\)) to (.*?\))", sentence)
        assert bool(ends) == (min(rates) != max(rates))
        for rate, claim in zip((min(rates), max(rates)), ends[0], strict=True) if ends else ():
            assert claim.startswith(format_percent(float(rate)))
            n_others = rates.count(rate) - 1
            assert ("other week" in claim) == (n_others > 0)
        assert f"mean score ranged from 0.0000 to {0.1 * (len(weekly) - 1):.4f}" in sentence


# -- Types, merchants, amounts --------------------------------------------------------------------


def test_types_with_as_many_frauds_are_called_alike(session):
    session.execute(text("UPDATE transactions SET fraud_type = NULL"))
    session.execute(
        text(
            "UPDATE transactions SET amount = 10, fraud_type = CASE WHEN n <= 4 THEN 'phishing' "
            "WHEN n <= 8 THEN 'stolen_card' WHEN n <= 9 THEN 'other' END FROM (SELECT "
            "transaction_id, row_number() OVER (ORDER BY transaction_id) AS n FROM transactions "
            "WHERE is_fraud) AS f WHERE f.transaction_id = transactions.transaction_id"
        )
    )
    (sentence,) = of_section(fraud_report(session=session).findings, "types")
    assert sentence == (
        "The most frequent known fraud types are phishing and stolen card (tied), with 4 of 90 "
        "frauds each; 81 have no known type; the largest losses are from phishing and stolen card, "
        "40 EUR each."
    )


def test_a_declined_payment_is_no_loss(session):
    declined = "UPDATE transactions SET status = 'declined' WHERE is_fraud AND merchant_id = 'M01'"
    before = fraud_report(session=session)
    count = session.execute(text(declined)).rowcount
    report = fraud_report(session=session)
    frauds = transactions().filter(pl.col("is_fraud").fill_null(value=False))
    lost = frauds.filter(pl.col("merchant_id") != "M01")["amount"].sum()
    sentence = report.summary_text()[2]
    assert sentence.endswith(
        f"{count} frauds were declined or failed, so the losses are {format_amount(lost, 'EUR')}."
    )
    assert "M01" in before.merchants["merchant_id"].tolist()
    assert "M01" not in report.merchants["merchant_id"].tolist()
    assert report.types["lost_amount"].sum() == pytest.approx(lost)
    assert report.types["fraud_amount"].sum() == pytest.approx(frauds["amount"].sum())


def test_amounts_of_several_currencies_are_not_added_up(session):
    session.execute(text("UPDATE transactions SET currency = 'JPY' WHERE merchant_id < 'M04'"))
    report = fraud_report(session=session)
    rows = transactions()
    japanese = rows.filter(pl.col("merchant_id") < "M04")["amount"].sum()
    euros = rows["amount"].sum() - japanese
    first, _, third, *_ = report.summary_text()
    assert first.endswith(
        f"with a total value of {format_amount(euros, 'EUR')} and {format_amount(japanese, 'JPY')}."
    )
    assert "EUR and" in third
    page = Page(report.html())
    assert "Amounts are in EUR and JPY and are not added" in page.says("limitations")
    assert "The 10 merchants with the most frauds account for" in page.says("summary")
    assert "fraud amount" not in page.tables["Fraud rate by channel"][0]
    assert list(page.rows("Amounts by currency")) == ["EUR", "JPY"]


def test_an_unknown_currency_beside_another_is_not_added_up(session):
    session.execute(text("UPDATE transactions SET currency = NULL WHERE merchant_id < 'M04'"))
    first = fraud_report(session=session).summary_text()[0]
    assert re.search(r"value of [\d,]+ EUR and [\d,]+ in an unknown currency\.", first)


def test_a_model_of_several_currencies_has_no_costs(session):
    session.execute(text("UPDATE transactions SET currency = 'JPY' WHERE merchant_id < 'M04'"))
    report = model_report("forest", "1.0", by=[], session=session, n_resamples=2)
    assert report.thresholds["cost"].isna().all()
    page_text = Page(report.html()).text
    assert "Amounts are in EUR and JPY and cannot be added" in page_text
    assert "per alert" not in " ".join(report.summary_text())


def test_merchants_with_all_losses_are_described_as_such(session):
    session.execute(text("UPDATE transactions SET is_fraud = FALSE WHERE merchant_id > 'M02'"))
    report = fraud_report(session=session)
    assert "All losses occurred at 3 merchants." in report.summary_text()


# -- Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("recovered", [1.0, 0.5])
def test_costs_name_what_they_hold(session, recovered):
    report = model_report(
        "forest", "1.0", by=[], session=session, n_resamples=2, recovery_rate=recovered
    )  # fmt: skip
    (claim,) = [sentence for sentence in report.summary_text() if "per alert" in sentence]
    amounts = [float(amount.replace(",", "")) for amount in re.findall(r"([\d,.]+) EUR", claim)]
    cost_per_alert, cost, *parts, without = amounts
    assert cost_per_alert == 5
    assert cost == pytest.approx(sum(parts), abs=2)  # each is rounded
    assert ("detected fraud that was not recovered" in claim) == (recovered < 1)
    assert without == round(report.thresholds["cost"][0] + report.thresholds["saved"][0])


def test_declined_fraud_within_costs_is_named(session):
    declined = "UPDATE transactions SET status = 'failed' WHERE is_fraud AND merchant_id = 'M01'"
    count = session.execute(text(declined)).rowcount
    report = model_report("forest", "1.0", by=[], session=session, n_resamples=2)
    (claim,) = [sentence for sentence in report.caveats if "declined or failed" in sentence]
    assert claim.startswith(f"{count} frauds worth ")


def report_few(session, fraud: list[bool], customers: list[str]):
    """Return the report of a model with a few payments of the given customers."""
    rows = transactions().head(len(fraud)).with_columns(
        transaction_id=pl.format("X{}", pl.int_range(len(fraud))),
        customer_id=pl.Series(customers), is_fraud=pl.Series(fraud), fraud_type=None,
    )  # fmt: skip
    load_df(rows, "transactions", session=session, on_missing_parent="create")
    predictions = rows.select(
        "transaction_id", model_name=pl.lit("few"), model_version=pl.lit("1"),
        prediction=pl.lit(value=False), ground_truth="is_fraud",
        fraud_probability=pl.Series([0.1 + 0.003 * (number % 7) for number in range(len(fraud))]),
    )  # fmt: skip
    load_df(predictions, "model_predictions", session=session)
    return model_report("few", "1", by=[], session=session, n_resamples=50)


def test_frauds_of_one_customer_give_no_interval_and_the_reason(session):
    customers = ["C1"] * 3 + [f"C{number}" for number in range(10, 57)]
    report = report_few(session, [True] * 3 + [False] * 47, customers)
    (claim,) = [sentence for sentence in report.summary_text() if "Average precision" in sentence]
    assert "(no CI, as the frauds belong to 1 customer)" in claim
    limits = " ".join(report.caveats)
    assert "The frauds belong to 1 customer: with so few, intervals" in limits
    assert "The labelled transactions belong to 48 customers" in limits


def test_the_interval_of_cards_says_that_it_covers_the_same_days(session):
    report = report_few(session, [True] * 3 + [False] * 47, [f"C{number}" for number in range(50)])
    days = len(report.cards.daily)
    assert f"it covers other cards on the same {days} day" in " ".join(report.caveats)


def test_without_a_compromised_card_there_is_no_interval_and_the_reason(session):
    report = report_few(session, [False] * 50, [f"C{number}" for number in range(50)])
    assert "(no CI, as no card was compromised)" in " ".join(report.summary_text())
