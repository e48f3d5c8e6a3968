"""Rules evaluated by hand: with plain Python, slow and evident."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest
from engines import ROWS, SCHEMA
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics import RuleEvaluation

#: Boolean columns of rules, NULL and false more often than true.
RULES = ["large", "foreign", "night", "retry"]
FIRES = st.fixed_dictionaries(
    dict.fromkeys(RULES, st.sampled_from([True, False, False, None])), optional={}
)
TYPES = SCHEMA | dict.fromkeys(RULES, pl.Boolean)
#: Transactions with the columns of the rules.
ROWS_WITH_RULES = st.lists(st.builds(lambda row, fires: row | fires, ROWS, FIRES), max_size=25)
#: Cost of an alert.
COST = 3.0


def measures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
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


def fired(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the rules that fire on a row."""
    return tuple(name for name in RULES if row[name])


def as_rows(frame: Any) -> list[dict[str, Any]]:
    """The rows of a result of any kind, NULL as None."""
    if isinstance(frame, pd.DataFrame):
        return frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = pl.DataFrame(frame).to_dicts()
    return [
        {name: None if value != value else value for name, value in row.items()} for row in rows
    ]


def same(actual: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether the measures of a row are the expected ones."""
    return bool({name: actual[name] for name in expected} == pytest.approx(expected))


def check(evaluation: RuleEvaluation, rows: Sequence[dict[str, Any]]) -> None:
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


def dominated_by_hand(by_rule: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the pairs of a rule and one that catches all its frauds."""

    def caught(name: str) -> set[int]:
        return {id(row) for row in by_rule[name] if row["is_fraud"]}

    def false(name: str) -> int:
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


def check_greedy(table: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> None:
    """Each step takes the rule that adds most; the first of those that add as much."""

    def gain(name: str, chosen: Sequence[str]) -> dict[str, Any]:
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


def check_periods(table: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> None:
    """Compare the rows by week and rule."""

    def week(row: dict[str, Any]) -> dt.date:
        day: dt.date = row["timestamp"].date()
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
