"""``synfin rules``: evaluate, check and compare the rules of a file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from reported import transactions

from synfin_analytics.cli import main
from synfin_analytics.rules import evaluate_rules

RULES = {"large": "amount > 100", "online": "channel = 'online' AND amount > 60"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    transactions().write_csv("payments.csv")
    return tmp_path


def write(rules: dict[str, str], name: str = "rules.toml") -> None:
    text = "".join(f'[rules."{rule}"]\ncondition = "{sql}"\n' for rule, sql in rules.items())
    Path(name).write_text(text, encoding="utf-8")


def synfin(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["rules", *arguments], prog_name="synfin")
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_evaluate_prints_the_table_and_writes_the_page_and_the_numbers(folder):
    write(RULES)
    output = synfin(
        "evaluate", "rules.toml", "--data", "payments.csv", "--cost-per-alert", "2",
        "--out", "rules.html", "--csv", "rules.csv",
    )  # fmt: skip
    rules = evaluate_rules(transactions(), RULES, cost_per_alert=2).rules
    assert f"large {rules['alerts'][0]:,} {rules['frauds'][0]:,}" in output
    assert pl.read_csv("rules.csv")["alerts"].to_list() == rules["alerts"].to_list()
    page = (folder / "rules.html").read_text(encoding="utf-8")
    assert "synfin rules evaluate rules.toml --data payments.csv --cost-per-alert 2.0" in page


def test_a_rule_that_cannot_be_evaluated_ends_with_1_and_its_sentence(folder):
    write(RULES | {"wrong": "amuont > 3"})
    output = synfin("evaluate", "rules.toml", "--data", "payments.csv", code=1)
    assert "Warning: rule 'wrong': There is no column 'amuont' (did you mean 'amount'?)." in output
    assert "large" in output


def test_options_leave_out_amounts_and_times(folder):
    write(RULES)
    options = ["--no-amount", "--no-timestamp", "--no-cluster"]
    output = synfin("evaluate", "rules.toml", "--data", "payments.csv", *options)
    assert "net benefit" not in output
    clash = synfin("evaluate", "rules.toml", "--amount", "x", "--no-amount", code=2)
    assert "--amount and --no-amount exclude each other." in clash


def test_check_parses_the_texts(folder):
    write(RULES | {"statement": "amount > 3; DELETE FROM x", "cut": "amount >"})
    output = synfin("check", "rules.toml", code=1)
    assert "large: valid" in output
    assert "rule 'statement': The condition contains a semicolon" in output
    assert "rule 'cut': " in output


def test_check_with_data_parses_columns_and_types(folder):
    write(RULES | {"typo": "amuont > 3", "text": "channel > 3"})
    output = synfin("check", "rules.toml", "--data", "payments.csv", code=1)
    assert "online: valid" in output
    assert "rule 'typo': There is no column 'amuont'" in output
    assert "rule 'text': " in output
    write(RULES)
    synfin("check", "rules.toml", "--data", "payments.csv")


def test_compare_says_what_changed_and_by_how_much(folder):
    write({**RULES, "gone": "amount < 1"}, "old.toml")
    write({**RULES, "large": "amount > 90", "added": "amount < 2"}, "new.toml")
    output = synfin("compare", "old.toml", "new.toml", "--data", "payments.csv")
    assert "Added: added Removed: gone Unchanged: online" in output
    both = {"old": "amount > 100", "new": "amount > 90"}
    alerts = evaluate_rules(transactions(), both).compare("old", "new").row(2, named=True)
    assert alerts["measure"] == "alerts"
    assert f"alerts {alerts['old']:.0f} {alerts['new']:.0f} {alerts['difference']:.0f}" in output


def test_compare_of_equal_files_needs_no_transactions(folder):
    write(RULES, "old.toml")
    write(RULES, "new.toml")
    assert "No rule has changed." in synfin("compare", "old.toml", "new.toml", "--data", "none.csv")


def test_a_file_of_rules_that_is_none_is_one_sentence(folder):
    assert "Error: There is no file 'none.toml'." in synfin("evaluate", "none.toml", code=1)
