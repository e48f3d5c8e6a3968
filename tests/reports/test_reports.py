"""The report of a period: its numbers, its words, and that it stands alone."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import math
import re
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pages import Page
from reported import DAYS, NASTY, ROWS, transactions

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import (
    format_amount,
    format_number,
    format_percent,
    format_percent_interval,
    pluralize,
)
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SchemaError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics import fraud_rate
from synfin_analytics.reports import fraud_report

NAN = math.nan


@pytest.fixture
def session(world):
    with world.get_session() as session:
        yield session


@pytest.fixture(scope="module")
def report(world):
    """The report that most tests read."""
    with world.get_session() as session:
        return fraud_report(session=session, source=NASTY, notes=[f"A note on {NASTY}."])


@pytest.fixture(scope="module")
def page(report):
    return Page(report.html())


@pytest.fixture(scope="module")
def frame(world, page):
    """The rows that the page says it is computed from, read by the query that stands on it."""
    return read_df(page.code[2], manager=world, output="polars")


# -- Numbers --------------------------------------------------------------------------------------


def test_all_transactions_are_counted(report, frame):
    row = fraud_rate(frame).row(0, named=True)
    assert len(frame) == report.statistics["total_count"] == ROWS
    assert report.overall.iloc[0]["fraud_rate"] == row["fraud_rate"]
    first, second, third, *_ = report.summary_text()
    assert first.startswith(
        f"{ROWS:,} transactions from 2026-03-02 to 2026-04-10, with a total value of "
    )
    sentence = f"{row['frauds']} of {row['labelled']:,} labelled transactions were fraud"
    ends = format_percent_interval(row["fraud_rate_low"], row["fraud_rate_high"])
    assert second == f"{sentence}: {format_percent(row['fraud_rate'])} (95% CI {ends})."
    assert f"{format_number(row['fraud_bps'], 1)} basis points (per 10,000)" in third


def test_rates_by_group_are_those_of_fraud_rate(page):
    rows = page.rows("Fraud rate by merchant category")
    expected = fraud_rate(transactions(), by="merchant_category")
    for rate in expected.iter_rows(named=True):
        row = rows[rate["merchant_category"]]
        assert row["labelled"] == format_number(rate["labelled"])
        assert row["frauds"] == format_number(rate["frauds"])
        assert row["fraud rate"] == format_percent(rate["fraud_rate"])
        unreliable = "" if rate["reliable"] else ", unreliable"
        assert (
            row["95% CI"]
            == format_percent_interval(rate["fraud_rate_low"], rate["fraud_rate_high"]) + unreliable
        )
        assert row["basis points"] == format_number(rate["fraud_bps"], 1)


def test_amounts_are_compared_in_bands(page):
    rows = page.rows("Fraud rate by amount")
    assert list(rows) == [
        "below 10",
        "10 to 25",
        "25 to 50",
        "50 to 100",
        "100 to 200",
        "200 or more",
    ]
    below = transactions().filter(pl.col("amount") < 10)
    assert rows["below 10"]["transactions"] == format_number(len(below))


def test_rates_over_time_are_those_of_fraud_rate(page):
    expected = fraud_rate(transactions(), every="1d")
    rows = page.rows("Fraud rate over time")
    assert len(rows) == DAYS
    assert [row["fraud rate"] for row in rows.values()] == [
        *map(format_percent, expected["fraud_rate"])
    ]


def test_frauds_are_listed_by_type(page):
    frauds = transactions().filter(pl.col("is_fraud").fill_null(value=False))
    counted = frauds.group_by("fraud_type").agg(pl.len(), pl.col("amount").sum())
    rows = page.rows("Frauds by type")
    assert rows.pop("all")["frauds"] == format_number(len(frauds))
    assert len(rows) == len(counted) == 2
    for name, count, amount in counted.iter_rows():
        row = rows[name.replace("_", " ")]
        assert (row["frauds"], row["fraud amount"]) == (format_number(count), format_amount(amount))
        assert row["share of all losses"] == format_percent(amount / frauds["amount"].sum())


def test_the_largest_losses_of_merchants_are_listed(page):
    frauds = transactions().filter(pl.col("is_fraud").fill_null(value=False))
    losses = frauds.group_by("merchant_id").agg(pl.col("amount").sum()).sort("amount")[::-1]
    rows = page.rows("Merchants with the largest losses")
    names = [
        f"{NASTY if merchant == 'M03' else 'Shop'} ({merchant})"
        for merchant in losses["merchant_id"][:10]
    ]
    assert list(rows) == [*names, "total of these"]
    assert rows[names[0]]["losses"] == format_amount(losses["amount"][0])


def test_the_labelled_share_is_listed_by_week(page):
    weeks = transactions().group_by(pl.col("timestamp").dt.truncate("1w")).agg(
        pl.len(), pl.col("is_fraud").count().alias("known")
    )  # fmt: skip
    rows = page.rows("Labels by week of the transaction")
    for start, count, n_labelled in weeks.iter_rows():
        row = rows[f"{start:%Y-%m-%d}"]
        assert row["unlabelled"] == format_number(count - n_labelled)
        assert row["share labelled"] == format_percent(n_labelled / count)


# -- Words ----------------------------------------------------------------------------------------


def test_every_number_of_a_sentence_is_in_its_section(report, page):
    for finding in report.findings:
        section = page.says(finding.section)
        for number in re.findall(r"\d[\d,]*(?:\.\d+)?(?:-\d\d)*", finding.sentence):
            assert number.rstrip(",") in section, finding.sentence


def test_missing_parts_are_named(report):
    unlabelled = transactions()["is_fraud"].null_count()
    assert f"{unlabelled:,} of {ROWS:,} transactions have no label" in " ".join(report.caveats)


def test_what_is_not_labelled_has_no_rate(session):
    session.connection().exec_driver_sql("UPDATE transactions SET is_fraud = NULL")
    report = fraud_report(session=session)
    assert (
        report.summary_text()[1] == "No transaction is labelled yet, so the fraud rate is unknown."
    )
    text = Page(report.html()).text
    assert "not defined" in text
    assert not re.search(r"\b[Nn]a[Nn]\b|\bNaT\b|<NA>", text)


def test_a_database_without_tables_is_reported_as_such(session):
    session.connection().exec_driver_sql("DROP TABLE transactions CASCADE")
    with pytest.raises(SchemaError, match="transactions"):
        fraud_report(session=session)


def test_one_transaction_is_enough(session):
    session.connection().exec_driver_sql("TRUNCATE transactions CASCADE")
    single = transactions().head(1).drop("currency", "channel", "merchant_category")
    load_df(single, "transactions", session=session)
    text = Page(fraud_report(session=session).html()).says()
    assert "1 transaction from 2026-03-02 to 2026-03-02" in text
    assert "The currency of the amounts is not recorded" in text


# -- The page -------------------------------------------------------------------------------------


def test_the_page_needs_no_network_and_runs_no_script_but_its_own(report, page):
    assert all(address.startswith("#") for address in page.addresses)
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    digest = base64.b64encode(hashlib.sha256(page.program.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page.policy
    assert len(page.program.encode()) < 20_000
    assert page.data  # it is valid JSON
    assert not re.search(r"url\((?!#)|@import", report.html())


def test_what_comes_from_the_database_or_the_caller_is_text_and_never_markup(report, page):
    assert report.html().count("<script") == len(page.scripts)
    assert f"A note on {NASTY}." in page.says("summary")
    assert any("<script>" in text for text in page.picture_texts)
    assert report.title == f"Fraud report: {NASTY}"


def test_every_picture_says_its_numbers(page):
    rates = fraud_rate(transactions(), by="channel")
    (alt,) = [alt for alt in page.alts if alt.startswith("Fraud rate by channel")]
    for rate in rates.iter_rows(named=True):
        text = f"{rate['channel']} {format_percent(rate['fraud_rate'])}"
        unreliable = "" if rate["reliable"] else ", unreliable"
        ends = format_percent_interval(rate["fraud_rate_low"], rate["fraud_rate_high"])
        assert f"{text} ({ends}{unreliable})" in alt


def test_a_model_is_summarized_beside_the_fraud(report):
    without = replace(report, model="No fraud is known.")
    assert "No fraud is known." in Page(without.html()).says("model")


def test_the_page_adapts_to_dark_to_small_and_to_paper(report):
    page = report.html()
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_the_same_numbers_give_the_same_page(report):
    assert replace(report).html() == report.html()


def test_it_shows_itself(report, tmp_path):
    assert report._repr_html_().startswith("<iframe srcdoc=")
    assert repr(report).splitlines()[1].startswith("- 2,000 transactions from")
    assert report.save(tmp_path / "page.html").read_text(encoding="utf-8") == report.html()


# -- What is asked for ----------------------------------------------------------------------------


def test_a_range_of_dates_and_groups_can_be_chosen(session):
    report = fraud_report(
        start="2026-03-05", end=dt.date(2026, 3, 7), session=session, merchants=2, every="1h",
        by=["channel", ("channel", "merchant_category")],
    )  # fmt: skip
    days = (
        transactions()["timestamp"].dt.date().is_between(dt.date(2026, 3, 5), dt.date(2026, 3, 6))
    )
    assert report.statistics["total_count"] == days.sum()
    assert list(report.rates) == ["channel", "channel and merchant category"]
    assert len(report.merchants) == 2
    assert report.provenance.command == (
        "synfin report fraud --by channel --by channel,merchant_category --start 2026-03-05 "
        "--end 2026-03-07 --every 1h --merchants 2 --out report.html"
    )


@pytest.mark.parametrize(
    ("start", "end", "source"),
    [
        ("2026-03-05", "2026-03-07", "Transactions from 2026-03-05 to before 2026-03-07"),
        ("2026-03-05", None, "Transactions from 2026-03-05 on"),
        (None, "2026-03-07T12:00", "Transactions before 2026-03-07T12:00"),
    ],
)
def test_the_period_is_named(session, start, end, source):
    report = fraud_report(start=start, end=end, by=[], session=session)
    moments = transactions()["timestamp"]
    expected = moments.filter(
        (moments >= dt.datetime(2026, 3, 5, tzinfo=dt.UTC)) if start else moments.is_not_null()
    )
    if end:
        last = dt.datetime.fromisoformat(str(end)).replace(tzinfo=dt.UTC)
        expected = expected.filter(expected < last)
    assert (report.source, report.statistics["total_count"]) == (source, len(expected))


@pytest.mark.parametrize(("days", "every"), [(40, "1d"), (60, "1d"), (61, "1w"), (731, "1mo")])
def test_periods_suit_the_range(session, days, every):
    last = transactions().tail(1).with_columns(
        transaction_id=pl.lit("LAST"),
        timestamp=transactions()["timestamp"][0] + dt.timedelta(days=days),
        label_available_at=None,
    )  # fmt: skip
    load_df(last, "transactions", session=session)
    assert fraud_report(session=session, by=[]).every == every


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": "2031-01-01"}, ArgumentError, "no transactions to report on in this period"),
        ({"by": ["ip_address"]}, ArgumentError, "single card holders"),
        ({"by": ["chanel"]}, NotFoundError, "channel"),
        ({"start": "2026-03-05", "end": "2026-03-05"}, ArgumentError, "`end` must be later than"),
        ({"merchants": -1}, ArgumentError, "at least 0"),
        ({"start": pl.DataFrame({"amount": [1.0]})}, ArgumentError, "`start` must be a date"),
    ],
)
def test_what_cannot_be_reported_is_refused(session, options, error, message):
    with pytest.raises(error, match=message):
        fraud_report(session=session, **options)


# -- Wording --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, "0.00%"),
        (4 / 120_000, "0.0033%"),
        (0.00837, "0.84%"),
        (0.1, "10.0%"),
        (0.9987, "99.87%"),
        (1 - 4 / 120_000, "99.9967%"),
        (1, "100.0%"),
        (1 - 1e-16, "100.0%"),  # only a rounding error below 1
        (3e-12, "3.0e-10%"),
        (NAN, "not defined"),
    ],
)
def test_shares_are_written_with_significant_digits(share, expected):
    assert format_percent(share) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9125, "0.912"),
        (0, "0.000"),
        (0.0004, "0.00040"),
        (3e-7, "0.00000030"),
        (3e-9, "3.0e-09"),
        (0.99996, "0.999960"),
        (NAN, "not defined"),
    ],
)
def test_metrics_are_written_with_three_digits(value, expected):
    assert wording.format_decimal(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.05, "+0.050"),
        (-0.2, "\u22120.200"),
        (-0.0001, "\u22120.00010"),
        (-1e-16, "0.000"),
        (NAN, "not defined"),
    ],
)
def test_differences_have_a_sign_where_there_is_one(value, expected):
    assert wording.format_signed(value) == expected


@given(st.floats(0, 1))
def test_only_none_is_0_percent_and_only_all_is_100(share):
    assume(share == 0 or share > 1e-9)
    assume(share == 1 or share < 1 - 1e-9)
    percent = float(format_percent(share).removesuffix("%"))
    assert (percent == 0) == (share == 0)
    assert (percent == 100) == (share == 1)
    assert percent == pytest.approx(100 * share, rel=0.05)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (1234.5, 2, "1,234.50"), (0.042, 1, "0.042"), (12345, 0, "12,345"), (0, 1, "0.0"),
        (4.56, 0, "4.6"), (3.0000000000001, 0, "3"),
    ],
)  # fmt: skip
def test_numbers_keep_two_significant_digits(value, digits, expected):
    assert format_number(value, digits) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.45, "0.45 EUR"), (250.0, "250 EUR"), (999.5, "999.50 EUR"), (12345.67, "12,346 EUR")],
)
def test_small_amounts_keep_their_cents(value, expected):
    assert wording.format_amount(value, "EUR") == expected


def test_numbers_intervals_thresholds_and_nouns():
    assert format_number(1234.5, 2) == "1,234.50"
    assert format_number(NAN) == "not defined"
    assert (
        format_percent_interval(NAN, NAN)
        == wording.format_decimal_interval(NAN, 1.0)
        == "not defined"
    )
    assert wording.format_decimal_interval(0.1, 0.25) == "0.100 to 0.250"
    assert wording.format_decimal_interval(-0.1, 0.25, sign=True) == "\u22120.100 to +0.250"
    assert [wording.format_threshold(threshold) for threshold in (0.12345, math.inf, NAN)] == [
        "0.1235", "none", "not defined",
    ]  # fmt: skip
    assert pluralize(1, "fraud") == "1 fraud"
    assert pluralize(0, "fraud") == "0 frauds"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (dt.timedelta(days=7, hours=6), "7.2 days"),
        (dt.timedelta(days=1), "1.0 day"),
        (dt.timedelta(minutes=90), "1.5 hours"),
        (dt.timedelta(seconds=90), "1.5 minutes"),
        (dt.timedelta(0), "0.0 seconds"),
    ],
)
def test_durations_are_written_in_a_suitable_unit(time, expected):
    assert wording.format_duration(time) == expected
