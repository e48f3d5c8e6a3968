"""evaluate_rules: every count equal to a brute force in Python, on every engine."""

import datetime as dt
import itertools

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import QUICK, ROWS, SCHEMA, engines_for
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics import RuleEvaluation, evaluate_rules, fraud_rate

#: Boolean columns of rules, NULL and false more often than true.
RULES = ["large", "foreign", "night", "retry"]
FIRES = st.fixed_dictionaries(
    dict.fromkeys(RULES, st.sampled_from([True, False, False, None])), optional={}
)
TYPES = SCHEMA | dict.fromkeys(RULES, pl.Boolean)
rows_with_rules = st.lists(st.builds(lambda row, fires: row | fires, ROWS, FIRES), max_size=25)
COST = 3.0


def measures(rows) -> dict:
    """Count alerts, the rows given, with plain Python."""
    frauds = [row for row in rows if row["is_fraud"]]
    caught = sum(float(row["amount"] or 0) for row in frauds)
    return {
        "alerts": len(rows),
        "labelled": sum(row["is_fraud"] is not None for row in rows),
        "frauds": len(frauds),
        "amount": sum(float(row["amount"] or 0) for row in rows),
        "value_caught": caught,
        "net_benefit": caught - COST * len(rows),
    }


def fired(row) -> tuple:
    return tuple(name for name in RULES if row[name])


def as_rows(frame) -> list[dict]:
    """The rows of a result of any kind, NULL as None."""
    if isinstance(frame, pd.DataFrame):
        return frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = pl.DataFrame(frame).to_dicts()
    return [
        {name: None if value != value else value for name, value in row.items()} for row in rows
    ]


def same(actual: dict, expected: dict) -> bool:
    return {name: actual[name] for name in expected} == pytest.approx(expected)


def check(evaluation: RuleEvaluation, rows: list[dict]) -> None:
    """Compare all tables with what a brute force finds."""
    fraud_rows = [row for row in rows if row["is_fraud"]]
    by_rule = {name: [row for row in rows if row[name]] for name in RULES}
    for row in as_rows(evaluation.rules):
        name, own = row["rule"], by_rule[row["rule"]]
        assert same(row, measures(own))
        alone = measures([alert for alert in own if fired(alert) == (name,)])
        assert row["alerts_only_here"] == alone["alerts"]
        assert row["lost_frauds"] == alone["frauds"]
        assert row["lost_value"] == pytest.approx(alone["value_caught"])
        assert row["lost_net_benefit"] == pytest.approx(alone["net_benefit"])
        n, labelled, frauds = (measures(own)[key] for key in ("alerts", "labelled", "frauds"))
        assert row["precision"] == (pytest.approx(frauds / labelled) if labelled else None)
        assert row["recall"] == (pytest.approx(frauds / len(fraud_rows)) if fraud_rows else None)
        days = {alert["timestamp"].date() for alert in rows if alert["timestamp"]}
        assert row["alerts_per_day"] == (pytest.approx(n / len(days)) if days else None)
        if labelled:
            assert row["precision_low"] <= row["precision"] <= row["precision_high"]
    assert [row["rule"] for row in as_rows(evaluation.rules)] == RULES
    [overall] = as_rows(evaluation.overall)
    assert same(overall, measures([row for row in rows if fired(row)]))

    for row in as_rows(evaluation.overlap):
        first, second = by_rule[row["rule"]], by_rule[row["other"]]
        both = [alert for alert in first if alert[row["other"]]]
        either = len(first) + len(second) - len(both)
        assert row["alerts_both"] == len(both)
        assert row["frauds_both"] == measures(both)["frauds"]
        assert row["jaccard"] == (pytest.approx(len(both) / either) if either else None)
        assert row["share_of_rule"] == (pytest.approx(len(both) / len(first)) if first else None)
    pairs = [(row["rule"], row["other"]) for row in as_rows(evaluation.overlap)]
    assert pairs == list(itertools.permutations(RULES, 2))

    sets = {fired(row) for row in rows} - {()}
    table = {row["rules"]: row for row in as_rows(evaluation.combinations)}
    assert set(table) == {" & ".join(names) for names in sets}
    for names in sets:
        expected = measures([row for row in rows if fired(row) == names])
        columns = ("alerts", "frauds", "amount", "value_caught")
        assert same(table[" & ".join(names)], {name: expected[name] for name in columns})

    assert evaluation.never_fired == tuple(name for name in RULES if not by_rule[name])
    dominated = {(row["rule"], row["by"]) for row in as_rows(evaluation.dominated)}
    assert dominated == dominated_by_hand(by_rule)
    check_greedy(as_rows(evaluation.greedy), rows)
    check_periods(as_rows(evaluation.by_period), rows)


def dominated_by_hand(by_rule) -> set:
    def caught(name) -> set:
        return {id(row) for row in by_rule[name] if row["is_fraud"]}

    def false(name) -> int:
        return sum(row["is_fraud"] is False for row in by_rule[name])

    judged = [name for name in RULES if any(row["is_fraud"] is not None for row in by_rule[name])]
    pairs = [
        (rule, other)
        for rule, other in itertools.permutations(judged, 2)
        if caught(rule) <= caught(other) and false(other) <= false(rule)
    ]
    return {
        (rule, other)
        for rule, other in pairs
        if (other, rule) not in pairs or RULES.index(other) < RULES.index(rule)
    }


def check_greedy(table, rows) -> None:
    """Each step takes the rule that adds most; the first of those that add as much."""

    def gain(name, chosen) -> dict:
        return measures([row for row in rows if row[name] and not set(chosen) & set(fired(row))])

    chosen: list[str] = []
    for row in table:
        gains = {name: gain(name, chosen)["net_benefit"] for name in RULES if name not in chosen}
        best = max(gains.values())
        if row["position"] is None:
            assert best <= 1e-6
        else:
            assert best > 0
            ties = [name for name, value in gains.items() if value == pytest.approx(best, abs=1e-6)]
            assert row["rule"] == ties[0]
            assert row["position"] == len(chosen) + 1
        added = gain(row["rule"], chosen)
        assert row["gained_alerts"] == added["alerts"]
        assert row["gained_frauds"] == added["frauds"]
        assert row["gained_net_benefit"] == pytest.approx(added["net_benefit"])
        if row["position"] is not None:
            chosen.append(row["rule"])
            total = measures([alert for alert in rows if set(chosen) & set(fired(alert))])
            assert same(row, {name: total[name] for name in ("alerts", "frauds", "net_benefit")})


def check_periods(table, rows) -> None:
    def week(row) -> dt.date:
        day = row["timestamp"].date()
        return day - dt.timedelta(days=day.weekday())

    timed = [row for row in rows if row["timestamp"]]
    weeks = sorted({week(row) for row in timed})
    keys = [(row["period"].date(), row["rule"]) for row in table]
    assert keys == list(itertools.product(weeks, RULES))
    for row in table:
        inside = [other for other in timed if week(other) == row["period"].date()]
        expected = measures([other for other in inside if other[row["rule"]]])
        assert same(
            row, {name: expected[name] for name in ("alerts", "frauds", "labelled", "net_benefit")}
        )
        frauds = measures(inside)["frauds"]
        assert row["recall"] == (pytest.approx(expected["frauds"] / frauds) if frauds else None)


@settings(max_examples=8, phases=QUICK)
@given(rows_with_rules)
def test_every_engine_counts_what_a_brute_force_counts(rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    for native in engines_for(frame).values():
        check(evaluate_rules(native, RULES, cost_per_alert=COST), rows)


@settings(max_examples=6, phases=QUICK)
@given(rows_with_rules, st.sampled_from([None, "auto", "customer_id", ["card_id", "merchant_id"]]))
def test_every_engine_gives_the_same_intervals(rows, cluster):
    frame = pl.DataFrame(rows, schema=TYPES)
    expected = None
    for native in engines_for(frame).values():
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
@given(rows_with_rules)
def test_precision_has_the_interval_of_the_fraud_rate_of_alerts(rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    evaluation = evaluate_rules(frame, ["large"])
    alerts = fraud_rate(frame.filter(pl.col("large")))
    for end in ("low", "high"):
        assert evaluation.rules[f"precision_{end}"][0] == pytest.approx(
            alerts[f"fraud_rate_{end}"][0], nan_ok=True
        )


@settings(max_examples=25)
@given(rows_with_rules)
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
    for native in (df, df.to_pandas(), df.lazy()):
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
