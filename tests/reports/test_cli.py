"""``synfin report``: the pages of Python, by command."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import shlex
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from pages import Page
from reported import predictions, transactions

from synfin_analytics.cli import main
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.reports import FraudReport, ModelReport, fraud_report, model_report

DOCS = (Path(__file__).parents[2] / "docs" / "guide" / "reports.md").read_text(encoding="utf-8")


@pytest.fixture
def synfin(world, _module_database, monkeypatch):
    """Run the command in that database."""
    monkeypatch.setenv("DB_NAME", _module_database)
    manager = get_db_manager(DatabaseConfig.from_env())

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, ["report", *map(str, arguments)], prog_name="synfin")
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return " ".join(result.output.replace("\u00a0", " ").split())

    yield run
    manager.close()


def told_again(synfin, report, path):
    """Run the command that stands on a page, and return what it wrote."""
    command = Page(report.html()).code[0]
    assert command == report.provenance.command
    words = shlex.split(command)
    assert words[:2] == ["synfin", "report"]
    synfin(*words[2:-1], path)
    return path.read_text(encoding="utf-8")


def without_time(page):
    return re.sub(r"on \d{4}-\d\d-\d\d \d\d:\d\d UTC", "", page)


def test_the_command_on_the_page_of_a_model_makes_it_again(synfin, tmp_path):
    report = model_report(
        "forest", "1.0", compare_with=("logit", "1.0"), by=["channel", ("channel", "currency")],
        start="2026-03-05", end="2026-04-01", threshold=0.4, alerts_per_day=3,
        cost_per_alert=2.5, recovery_rate=0.5, entity="merchant_id", cluster="merchant_id",
        n_resamples=20, seed=4, confidence_level=0.9, as_of="2026-03-28T12:00",
    )  # fmt: skip
    again = told_again(synfin, report, tmp_path / "again.html")
    assert without_time(again) == without_time(report.html())


@pytest.mark.parametrize("weight", ["amount", {False: 50.0, True: 1.5}])
def test_the_command_on_the_page_of_weighted_predictions_makes_it_again(synfin, tmp_path, weight):
    report = model_report("forest", "1.0", by=[], weight=weight, n_resamples=5)
    again = told_again(synfin, report, tmp_path / "again.html")
    assert without_time(again) == without_time(report.html())


def test_the_command_on_the_page_of_a_period_makes_it_again(synfin, tmp_path):
    report = fraud_report(
        start="2026-03-05", end="2026-04-01", by=[], every="1w", bins={"amount": [20, 100.5]},
        merchants=3, confidence_level=0.9, as_of="2026-03-28",
    )  # fmt: skip
    again = told_again(synfin, report, tmp_path / "again.html")
    assert without_time(again) == without_time(report.html())


@pytest.fixture
def scores(tmp_path):
    """A file of scores, as some bank exports it."""
    rows = transactions()
    path = tmp_path / "scores.csv"
    amount = pl.col("amount").cast(pl.String).str.replace(".", ",", literal=True)
    label = pl.when("is_fraud").then(pl.lit("yes")).when(~pl.col("is_fraud")).then(pl.lit("no"))
    rows.select(
        isFraud=label,
        p=predictions(rows, "forest", 1, 0.3)["fraud_probability"].cast(pl.String),
        q=predictions(rows, "logit", 2, 0.2)["fraud_probability"].cast(pl.String),
        when=pl.col("timestamp").dt.strftime("%d/%m/%Y %H:%M"),
        amount=pl.format("EUR {}", amount),
        customer="customer_id",
        channel="channel",
    ).with_columns(pl.col("p", "q").str.replace(".", ",", literal=True)).write_csv(
        path, separator="|"
    )
    return path


OPTIONS = {"label": "isFraud", "pos_label": "yes", "timestamp": "when", "amount": "amount",
           "decimal": ",", "date_format": "%d/%m/%Y %H:%M", "separator": "|"}  # fmt: skip
ARGUMENTS = [
    word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", value)
]


def test_the_command_on_the_page_of_a_file_makes_it_again(synfin, scores, tmp_path):
    model = model_report(
        str(scores), score="p", customer="customer", compare_with="q", by=["channel"],
        name="forest", n_resamples=5, threshold=0.4, weight={False: 50.5, True: 1.0}, **OPTIONS,
    )  # fmt: skip
    again = told_again(synfin, model, tmp_path / "again.html")
    assert without_time(again) == without_time(model.html())
    fraud = fraud_report(scores, every="1w", bins={"amount": [20]}, **OPTIONS)
    again = told_again(synfin, fraud, tmp_path / "again.html")
    assert without_time(again) == without_time(fraud.html())


def test_a_file_needs_no_database(scores, tmp_path):
    environment = {**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    run = functools.partial(CliRunner().invoke, main, prog_name="synfin", env=environment)
    out = str(tmp_path / "page.html")
    for command in (["model", str(scores), "--score", "p", "--n-resamples", "2"],
                    ["fraud", str(scores)]):  # fmt: skip
        result = run(["report", *command, *ARGUMENTS, "--out", out])
        assert result.exit_code == 0, result.output
        assert result.output.endswith("page.html\n")


def test_a_file_without_its_columns_is_an_error(synfin, scores, tmp_path):
    out = tmp_path / "model.html"
    assert "--label COLUMN --score COLUMN" in synfin("model", scores, "--out", out, code=2)
    assert "--label COLUMN" in synfin("fraud", scores, "--out", out, code=2)
    wrong = ("--label", "isfraud", "--score", "p")
    assert "'isFraud'" in synfin("model", scores, *wrong, "--out", out, code=1)


def test_the_summary_and_the_path_of_the_page_are_printed(synfin, tmp_path):
    out = tmp_path / "model.html"
    result = synfin("model", "forest", "1.0", "--n-resamples", 5, "--no-groups", "--out", out)
    assert result.startswith("The model detected ")
    assert result.endswith(str(out))
    assert synfin("fraud", "--out", out).startswith("2,000 transactions from 2026-03-02")


def test_mistakes_are_reported_in_one_line(synfin, tmp_path):
    out = tmp_path / "model.html"
    assert "forest 1.0" in synfin("model", "forrest", "1.0", "--out", out, code=1)
    nowhere = tmp_path / "no" / "x.html"
    assert "does not exist. Create it" in synfin("fraud", "--out", nowhere, code=1)
    arguments = ("--by", "channel", "--no-groups", "--out", out)
    assert "exclude each other" in synfin("fraud", *arguments, code=2)
    assert "must have the form COLUMN=EDGE,EDGE" in synfin(
        "fraud", "--bins", "amount=a", "--out", out, code=2
    )
    assert not out.exists()


def test_the_examples_of_the_documentation_work(synfin, scores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = scores.read_text(encoding="utf-8").replace("yes", "1").replace("no|", "0|")
    scores.write_text(text, encoding="utf-8")
    space: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL):
        exec(compile(block, "reports.md", "exec"), space)
    commands = re.findall(r"^synfin report (.*)$", DOCS, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        synfin(*shlex.split(command))
    assert {"report.html", "fraud.html", "scores.csv"} == {path.name for path in tmp_path.iterdir()}


def attributes(report):
    return {field.name for field in dataclasses.fields(report)}


def test_the_documentation_names_what_reports_have():
    for table in re.findall(r"^\| [A-Z].* \| (`.*`) \|$", DOCS, re.MULTILINE):
        for name in re.findall(r"`(\w+)", table):
            assert name in attributes(ModelReport) or hasattr(ModelReport, name)
    for name in re.findall(r"Its numbers: (.*?)\.", DOCS, re.DOTALL)[0].split(","):
        assert name.strip(" `\n") in attributes(FraudReport)
