"""SQL conditions as rules: the same alerts on every engine, and what bad conditions get."""

import datetime as dt

import polars as pl
import pytest
from engines import engines_for

from synfin_analytics import evaluate_rules

DAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
FRAME = pl.DataFrame(
    {
        "is_fraud": [True, True, False, False, None, False],
        "amount": [900.0, 40.0, 700.0, 20.0, 650.0, None],
        "score": [0.95, 0.2, 0.9, 0.1, 0.5, 0.3],
        "n_items": [1, 0, 2, 0, 1, None],
        "is_online": [True, True, False, False, True, None],
        "channel": ["web", "pos", "web", None, "app", "pos"],
        "timestamp": [DAY + dt.timedelta(hours=hours) for hours in (1, 3, 12, 26, 31, 60)],
        "label_available_at": [DAY + dt.timedelta(days=days) for days in (1, 9, 2, 2, 3, 4)],
    }
)
RULES = {
    "online": "amount > 500 AND is_online",
    "night": "EXTRACT(hour FROM timestamp) < 6",
    "channel": "channel IN ('web', 'app') OR channel IS NULL",
    "model": "score >= 0.9",
    "column": "is_online",
}
ALERTS = [2, 3, 4, 2, 3]


def test_every_engine_finds_the_same_alerts():
    for engine, native in engines_for(FRAME).items():
        evaluation = evaluate_rules(native, RULES)
        assert evaluation.failed == {}, engine
        assert list(evaluation._polars("rules")["alerts"]) == ALERTS, engine


def test_a_division_by_zero_is_counted_for_its_rule():
    for native in engines_for(FRAME).values():
        evaluation = evaluate_rules(native, {"per item": "amount / n_items > 300", **RULES})
        rules = evaluation._polars("rules")
        assert rules.row(0, named=True)["error_rows"] == 2
        assert list(rules["alerts"]) == [3, *ALERTS]
        assert any(
            "'per item' could not be computed on 2 rows" in text for text in evaluation.caveats
        )


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("amuont > 500", "There is no column 'amuont' (did you mean 'amount'?)."),
        ("amount > 500; DROP TABLE transactions", "The condition contains a semicolon"),
        ("amount + 1", "The condition must be true or false"),
        ("amount > (SELECT 1)", "The condition"),
        ("", "The condition is empty"),
        ("amount >", "The condition is not valid SQL"),
    ],
)
def test_a_condition_that_is_none_gets_a_sentence_and_the_others_are_evaluated(condition, reason):
    evaluation = evaluate_rules(FRAME, {"bad": condition, **RULES})
    assert evaluation.failed["bad"].startswith(reason)
    assert evaluation.rules["alerts"].to_list() == ALERTS


def test_a_column_with_a_dot_must_be_renamed_for_duckdb():
    df = FRAME.rename({"amount": "tx.amount"})
    rules = {"bad": '"tx.amount" > 500', "column": "is_online"}
    engines = engines_for(df)
    assert "must be renamed" in evaluate_rules(engines["duckdb"], rules).failed["bad"]
    assert evaluate_rules(engines["polars"], rules).rules["alerts"].to_list() == [3, 3]


def test_a_rule_that_uses_the_label_is_said():
    caveats = evaluate_rules(FRAME, {"leak": "is_fraud AND amount > 0"}).caveats
    assert any("uses the label 'is_fraud'" in caveat for caveat in caveats)


def test_a_day_in_the_past_knows_fewer_labels():
    for native in engines_for(FRAME).values():
        evaluation = evaluate_rules(native, RULES, as_of="2026-03-04")
        assert (evaluation.n_transactions, evaluation.n_labelled, evaluation.n_frauds) == (5, 3, 1)
        assert any("2026-03-04" in caveat for caveat in evaluation.caveats)
        [night] = evaluation._polars("rules").filter(rule="night").to_dicts()
        assert (night["alerts"], night["labelled"], night["frauds"]) == (3, 2, 1)
