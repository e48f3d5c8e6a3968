"""evaluate_rules: every count equal to a brute force in Python, on every engine."""

import json

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from engines import ENGINES, QUICK, a_third_of_engines, engines_for
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_by_hand import COST, ROWS_WITH_RULES, RULES, TYPES, as_rows, check

from synfin_analytics import evaluate_rules, fraud_rate


@a_third_of_engines
@settings(max_examples=4, phases=QUICK)
@given(rows=ROWS_WITH_RULES)
def test_every_engine_counts_what_a_brute_force_counts(engines, rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    for native in engines_for(frame, engines).values():
        check(evaluate_rules(native, RULES, cost_per_alert=COST), rows)


@a_third_of_engines
@settings(max_examples=4, phases=QUICK)
@given(
    rows=ROWS_WITH_RULES,
    cluster=st.sampled_from([None, "auto", "customer_id", ["card_id", "merchant_id"]]),
)
def test_every_engine_gives_the_same_intervals(engines, rows, cluster):
    frame = pl.DataFrame(rows, schema=TYPES)
    expected = None
    for native in [frame, *engines_for(frame, engines).values()]:
        evaluation = evaluate_rules(native, RULES, cluster=cluster, every="36h")
        record = evaluation.to_dict()
        comparison = as_rows(evaluation.compare("large", "night"))
        del record["combinations"]  # equally many alerts: in any order
        expected = expected or (record, comparison)
        assert record == approximately(expected[0])
        assert [approximately(row) for row in expected[1]] == comparison


def approximately(value):
    if isinstance(value, dict):
        return {name: approximately(item) for name, item in value.items()}
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value


@settings(max_examples=25)
@given(ROWS_WITH_RULES)
def test_precision_has_the_interval_of_the_fraud_rate_of_alerts(rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    evaluation = evaluate_rules(frame, ["large"])
    alerts = fraud_rate(frame.filter(pl.col("large")))
    for end in ("low", "high"):
        assert evaluation.rules[f"precision_{end}"][0] == pytest.approx(
            alerts[f"fraud_rate_{end}"][0], nan_ok=True
        )


@settings(max_examples=25)
@given(ROWS_WITH_RULES)
def test_recall_has_the_interval_of_the_rate_of_caught_frauds(rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    evaluation = evaluate_rules(frame, ["large"])
    frauds = frame.filter(pl.col("is_fraud")).with_columns(pl.col("large").fill_null(value=False))
    caught = fraud_rate(frauds, label="large")
    for end in ("low", "high"):
        assert evaluation.rules[f"recall_{end}"][0] == pytest.approx(
            caught[f"fraud_rate_{end}"][0], nan_ok=True
        )


# -- Rules -----------------------------------------------------------------------------------------

FRAME = pl.DataFrame(
    {
        "is_fraud": [True, True, False, False, None, False],
        "amount": [900.0, 40.0, 700.0, 20.0, 650.0, None],
        "score": [0.9, 0.2, 0.8, 0.1, 0.5, 0.3],
        "abroad": [True, True, False, False, True, None],
        "flag": [1, 0, 1, 0, 0, 1],
    }
)


def alerts(df, rule) -> int:
    [row] = as_rows(evaluate_rules(df, {"rule": rule}).rules)
    return row["alerts"]


def test_a_rule_is_a_boolean_column_or_one_of_0_and_1():
    assert alerts(FRAME, "abroad") == 3
    assert alerts(FRAME, "flag") == 3


@pytest.mark.parametrize("rule", [nw.col("amount") > 500, nw.col("score") >= 0.5])
def test_a_rule_is_an_expression_of_narwhals_on_every_engine(rule):
    for native in engines_for(FRAME).values():
        assert alerts(native, rule) == 3


def test_a_rule_is_an_expression_of_the_engine():
    import duckdb

    assert alerts(FRAME, pl.col("amount") > 500) == 3
    assert alerts(FRAME.lazy(), pl.col("amount") > 500) == 3
    arrow = FRAME.to_arrow()
    relation = duckdb.from_arrow(arrow)
    assert alerts(relation, duckdb.ColumnExpression("amount") > duckdb.ConstantExpression(500)) == 3


def test_a_rule_is_a_boolean_series_of_the_same_rows():
    df = FRAME.to_pandas()
    assert alerts(df, df["amount"] > 500) == 3
    assert alerts(FRAME, FRAME["amount"] > 500) == 3


def test_more_rules_than_a_word_has_bits():
    rng = np.random.default_rng(0)
    fires = rng.random((200, 130)) < 0.05
    labels = rng.random(200) < 0.3
    names = [f"r{number}" for number in range(130)]
    df = pl.DataFrame(dict(zip(names, fires.T, strict=True)) | {"is_fraud": labels})
    for native in (df, df.to_pandas(), ENGINES["duckdb"](df)):
        evaluation = evaluate_rules(native, names)
        rules = as_rows(evaluation.rules)
        assert [row["alerts"] for row in rules] == fires.sum(axis=0).tolist()
        assert [row["frauds"] for row in rules] == fires[labels].sum(axis=0).tolist()
        alone = fires & (fires.sum(axis=1, keepdims=True) == 1)
        assert [row["alerts_only_here"] for row in rules] == alone.sum(axis=0).tolist()


def test_ids_beyond_the_precision_of_doubles_stay_apart():
    ids = [2**60, 2**60 + 1] * 20
    df = pl.DataFrame({"customer_id": ids, "is_fraud": [True, False] * 20, "rule": [True] * 40})
    expected = evaluate_rules(df, ["rule"]).rules["precision_high"][0]
    assert evaluate_rules(df.to_pandas(), ["rule"]).rules["precision_high"][0] == expected


def test_results_are_of_the_kind_of_the_data():
    kinds = {
        name: type(evaluate_rules(native, ["abroad"]).rules).__module__.partition(".")[0]
        for name, native in engines_for(FRAME).items()
    }
    assert kinds["polars"] == kinds["polars lazy"] == "polars"
    assert kinds["pyarrow"] == kinds["duckdb"] == "pyarrow"
    assert {kind for name, kind in kinds.items() if "pandas" in name or "dask" in name} == {
        "pandas"
    }


def test_rules_beside_a_model():
    rules = {"abroad": "abroad", "model": pl.col("score") >= 0.5, "flag": "flag"}
    beside = evaluate_rules(FRAME, rules).beside("model")
    [abroad, flag] = beside.to_dicts()
    assert abroad == {
        "rule": "abroad",
        "alerts_both": 2,
        "frauds_both": 1,
        "value_both": 900.0,
        "alerts_only_rule": 1,
        "frauds_only_rule": 1,
        "value_only_rule": 40.0,
        "alerts_only_other": 1,
        "frauds_only_other": 0,
        "value_only_other": 0.0,
    }
    assert (flag["frauds_only_rule"], flag["frauds_only_other"]) == (0, 0)


def test_a_recovery_rate_reduces_the_benefit():
    evaluation = evaluate_rules(FRAME, ["abroad"], cost_per_alert=10, recovery_rate=0.5)
    assert evaluation.rules["net_benefit"][0] == 0.5 * 940 - 30


def test_only_alerts_and_frauds_are_counted_by_cluster():
    rows = 20_000
    rng = np.random.default_rng(1)
    df = pl.DataFrame(
        {
            "customer_id": np.arange(rows),
            "merchant_id": rng.integers(0, 5000, rows),
            "is_fraud": rng.random(rows) < 0.001,
            "rule": rng.random(rows) < 0.01,
            "timestamp": np.datetime64("2026-01-01") + rng.integers(0, 30, rows).astype("m8[D]"),
        }
    )
    counts = evaluate_rules(df, ["rule"])._counts
    assert len(counts.words) <= df["rule"].sum() + df["is_fraud"].sum() + 30


@pytest.mark.parametrize("every", ["1d", "1w", "1mo", "36h", "6h", "7m"])
def test_periods_of_every_length(every):
    hours = [0, 7, 24, 71]
    start = np.datetime64("2026-01-30T00", "us")
    df = pl.DataFrame(
        {"timestamp": start + np.array(hours, "m8[h]"), "is_fraud": True, "rule": True}
    )
    evaluation = evaluate_rules(df, ["rule"], every=every)
    expected = fraud_rate(df, every=every, amount=None)
    assert evaluation.by_period["period"].to_list() == expected["timestamp"].to_list()
    assert evaluation.by_period["alerts"].to_list() == expected["frauds"].to_list()
    assert evaluation.rules["alerts_per_day"][0] == pytest.approx(4 / 3)


# -- The result ------------------------------------------------------------------------------------

EVALUATED = {"abroad": "abroad", "over 500": "amount > 500", "never": "amount > 5000"}


def test_the_result_in_words():
    evaluation = evaluate_rules(FRAME, EVALUATED, cost_per_alert=10)
    assert evaluation.findings == (
        "3 rules fired on 4 of 6 transactions and caught 2 of 2 frauds: precision 66.7% (20.8% to "
        "93.9%), recall 100.0% (34.2% to 100.0%).",
        "The highest net benefit of the greedy order, 910, takes 1 of 3 rules: abroad.",
        "Without frauds of their own: over 500.",
        "Never fired: never.",
        "Another rule catches the same frauds with no more false alerts: over 500.",
    )
    assert repr(evaluation) == "RuleEvaluation(3 rules, 4 alerts, 2 of 2 frauds)"


def test_a_notebook_shows_the_rules_and_the_sentences():
    html = evaluate_rules(FRAME, {"<b>": "abroad", **EVALUATED})._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "any rule" in html
    assert "Never fired" in html


def test_the_result_as_plain_objects():
    record = evaluate_rules(FRAME, {**EVALUATED, "bad": "x"}).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert [row["rule"] for row in record["rules"]] == list(EVALUATED)
    assert record["never_fired"] == ["never"]
    assert list(record["failed"]) == ["bad"]
    assert evaluate_rules(FRAME, EVALUATED).to_frame("pandas")["alerts"].tolist() == [3, 3, 0]
