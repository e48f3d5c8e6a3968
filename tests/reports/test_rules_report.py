"""The report on rules: its verdict, its page, and the same numbers from every source."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from engines import ENGINES
from pages import Page
from polars.testing import assert_frame_equal
from reported import NASTY, transactions
from sqlalchemy import update

from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.reports import RulesReport, rules_report

QUOTED = NASTY.replace("'", "''")
RULES = {
    "large": "amount > 100",
    NASTY: f"amount > 60 AND channel <> '{QUOTED}'",
    "larger": "amount > 140",
    "ratio": "amount / (amount - amount) > 1",
    "never": "amount < 0",
    "wrong": "amuont > 3",
    "model": "amount > 200",
}


@pytest.fixture(scope="module")
def report() -> RulesReport:
    return rules_report(transactions(), RULES, model="model", cost_per_alert=1)


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(report.html())


def numbers(report: RulesReport) -> pl.DataFrame:
    return report.evaluation.to_frame("polars")


def test_the_verdict_names_each_rule_and_why(page, report):
    verdict = page.sections["verdict"]
    assert "never : never fired." in verdict
    assert "1 rule was not evaluated: wrong." in verdict
    assert "Rules that cannot be computed on some rows do not fire there: ratio." in verdict
    for name in report.evaluation.names:
        assert f"{name} : " in verdict


def test_rules_of_the_greedy_order_earn_their_alerts(report):
    chosen = report.evaluation.greedy.drop_nulls("position")["rule"].to_list()
    earning = next(found for found in report.findings if "earn their" in found.name)
    assert earning.value == len(chosen)
    assert all(name in earning.sentence for name in chosen)


def test_without_amounts_a_rule_earns_its_alerts_with_frauds_of_its_own():
    rows = pl.DataFrame({"is_fraud": [True, True, False], "a": [1, 0, 0], "b": [1, 1, 1]})
    report = rules_report(rows, ["a", "b"])
    assert "1 of 2 rules earns its alerts: b." in report.summary_text()
    assert report.omitted["benefit"] == "No column of amounts was given (amount)."
    page = Page(report.html())
    assert "a : other rules catch all its frauds." in page.sections["verdict"]
    assert "b : catches 1 fraud that no other rule does, in 2 alerts." in page.sections["verdict"]


def test_conditions_are_texts_of_the_page_and_never_its_code(page, report):
    assert report.conditions[NASTY] in page.code
    assert "<script>alert" not in report.html().replace("&lt;script&gt;alert", "")
    assert {tag for tag, _ in page.open} == set()


def test_the_table_has_the_numbers_of_the_evaluation(page, report):
    row = numbers(report).row(by_predicate=pl.col("rule") == "large", named=True)
    shown = page.rows("Rules")["large"]
    assert shown["alerts"] == f"{row['alerts']:,}"
    assert shown["frauds"] == f"{row['frauds']:,}"


def test_the_reason_of_a_failed_rule_is_on_the_page(page):
    assert "There is no column 'amuont'" in page.sections["failed"]


def test_the_rules_are_put_beside_the_model(page, report):
    beside = report.evaluation.beside("model").row(0, named=True)
    shown = page.rows("Frauds in alerts, beside model")["large"]
    assert shown["both"] == f"{beside['frauds_both']:,} in {beside['alerts_both']:,}"


def test_recent_weeks_that_are_not_mature_are_a_concern():
    report = rules_report(transactions(), {"large": "amount > 100"}, as_of="2026-03-30")
    page = Page(report.html())
    assert "are not mature" in page.sections["verdict"]
    assert "As known on 2026-03-30." in report.html()
    assert {row["mature"] for row in page.rows("Labels by period").values()} == {"yes", "no"}


def test_without_times_of_labels_the_report_says_so():
    report = rules_report(transactions().drop("label_available_at"), {"large": "amount > 100"})
    assert report.omitted["maturity"].startswith("The time at which labels arrived")
    assert any("How mature the labels are is not known" in caveat for caveat in report.caveats)


def test_labels_before_their_transaction_are_named_without_identifiers(world):
    early = pl.col("timestamp") - pl.duration(days=2)
    reports = [
        rules_report(transactions().with_columns(label_available_at=early), {"large": "amount > 1"})
    ]
    with world.get_session() as session:
        changed = Transaction.timestamp - dt.timedelta(days=2)
        session.execute(update(Transaction).values(label_available_at=changed))
        reports.append(rules_report(rules={"large": "amount > 1"}, session=session))
        session.rollback()
    for report in reports:
        assert "must not be earlier than" in report.maturity
        assert "the first is" not in report.maturity


# -- Every source ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(world):
    with world.get_session() as session:
        return rules_report(rules=RULES, model="model", cost_per_alert=1, session=session)


def same(first: RulesReport, second: RulesReport) -> None:
    assert_frame_equal(numbers(first), numbers(second), rel_tol=1e-9, check_row_order=True)
    assert first.summary_text() == second.summary_text()
    assert first.evaluation.failed.keys() == second.evaluation.failed.keys()


def test_a_frame_gives_the_report_of_the_database(report, stored):
    same(report, stored)
    assert stored.provenance.query.startswith("SELECT")


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "pyspark"])
def test_every_engine_gives_the_report_of_the_database(engine, stored):
    columns = ["customer_id", "merchant_id", "amount", "timestamp", "channel", "is_fraud",
               "label_available_at"]  # fmt: skip
    frame = ENGINES[engine](transactions().select(columns))
    same(rules_report(frame, RULES, model="model", cost_per_alert=1), stored)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_gives_the_report_of_the_database(kind, tmp_path, stored):
    file = tmp_path / f"payments.{kind}"
    getattr(transactions(), f"write_{kind}")(file)
    report = rules_report(file, RULES, model="model", cost_per_alert=1)
    same(report, stored)


def test_rules_of_a_file_bring_their_descriptions_and_cost(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(
        'cost_per_alert = 2\n[rules.high]\ncondition = "amount > 100"\ndescription = "High <b>"\n'
        'owner = "desk 1"\n'
    )
    report = rules_report(transactions(), file, path=tmp_path / "page.html")
    assert report.evaluation.cost_per_alert == 2
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "High &lt;b&gt;" in page
    assert "Owner: desk 1" in page
    assert str(file) in report.provenance.python


# -- Mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rules_report(transactions()), ArgumentError, "`rules` must be rules or the path"),
        (lambda: rules_report(transactions(), RULES, model="modle"), NotFoundError,
         "no rule 'modle'. Did you mean 'model'"),
        (lambda: rules_report(transactions(), RULES, start="2026-03-05"), ArgumentError,
         "`start` is for a file or the database"),
        (lambda: rules_report(transactions(), RULES, decimal=","), ArgumentError,
         "`decimal` is for a file"),
        (lambda: rules_report(rules={"a": pl.col("x") > 1}), ArgumentError,
         "Rules on stored transactions must be SQL conditions"),
        (lambda: rules_report(rules=RULES, label="fraud"), ArgumentError,
         "those of stored transactions are known"),
        (lambda: rules_report(transactions().head(0), RULES), ArgumentError, "no transactions"),
        (lambda: rules_report(transactions(), RULES, path="page.pdf"), ArgumentError, r"\.html"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
