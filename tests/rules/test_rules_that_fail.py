"""What bad input gets: one sentence for each rule, and the other rules are evaluated."""

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import engines_for

from synfin_analytics import evaluate_rules
from synfin_analytics.exceptions import ArgumentError, NotFoundError

FRAME = pl.DataFrame(
    {
        "is_fraud": [True, True, False, False, None, False] * 4,
        "amount": [900.0, 40.0, 700.0, 20.0, 650.0, None] * 4,
        "abroad": [True, True, False, False, True, None] * 4,
        "customer_id": ["a", "b", "c", "d", "e", "f"] * 4,
        "code": [0, 1, 2, 0, 1, None] * 4,
    }
)
GOOD = {"good": "abroad"}


def reason(rules, df=FRAME) -> str:
    """Why the rule "bad" fails; the other is evaluated."""
    evaluation = evaluate_rules(df, rules)
    assert evaluation.names == ("good",)
    assert evaluation.caveats[0] == f"Rule 'bad' was not evaluated. {evaluation.failed['bad']}"
    return evaluation.failed["bad"]


def test_a_column_that_is_not_there_names_the_nearest():
    assert reason({"bad": "abroda", **GOOD}) == (
        "There is no column 'abroda' (did you mean 'abroad'?)."
    )


def test_an_expression_of_a_column_that_is_not_there():
    for native in engines_for(FRAME).values():
        message = reason({**GOOD, "bad": nw.col("amuont") > 5}, native)
        assert "'amuont'" in message or "uses a column that is not in the frame" in message
    assert "Did you mean 'amount'?" in reason({**GOOD, "bad": pl.col("amuont") > 5})


def test_an_expression_that_is_not_boolean():
    assert reason({**GOOD, "bad": nw.col("amount") + 1}) == (
        "The result of a rule must be boolean; this one is Float64."
    )


def test_a_column_with_other_values_than_0_and_1():
    for native in engines_for(FRAME).values():
        assert reason({"bad": "code", **GOOD}, native) == (
            "Its column 'code' must be true or false, 1 or 0, or missing; 4 rows hold another "
            "value."
        )


def test_a_column_of_texts():
    assert reason({"bad": "customer_id", **GOOD}) == (
        "Column 'customer_id' must be true or false, 1 or 0, to be a rule; it is String."
    )


def test_a_rule_that_is_nothing_of_the_kind():
    assert reason({"bad": 5, **GOOD}).startswith(
        "A rule must be a SQL condition, a boolean column, or an expression"
    )
    assert "expression" in reason({"bad": pl.col("amount") > 5, **GOOD}, FRAME.to_pandas())


def test_a_series_of_other_rows():
    assert reason({"bad": pl.Series([True]), **GOOD}) == (
        "A series must have one value for each of the 24 rows to be a rule; got 1."
    )
    assert reason({"bad": pl.Series([True]), **GOOD}, FRAME.lazy()).startswith(
        "A series can be a rule of a frame in memory only"
    )


def test_an_expression_that_raises_an_error_on_the_rows():
    rules = {"bad": pl.col("customer_id").str.to_integer() > 5, **GOOD}
    for df in (FRAME, FRAME.lazy()):
        message = reason(rules, df)
        assert "InvalidOperationError" in message or "ComputeError" in message
        assert "'a'" not in message  # no values of the rows


def test_two_rules_of_one_name():
    rules = [("bad", "abroad"), ("bad", nw.col("amount") > 5), ("good", "abroad")]
    assert reason(rules) == "2 rules have this name: rename all but one."


def test_a_column_that_is_missing_on_rows_is_said():
    caveats = evaluate_rules(FRAME, GOOD).caveats
    assert "The column of rule 'good' is missing in 4 rows; it does not fire there." in caveats


@pytest.mark.parametrize("rules", [{}, []])
def test_no_rules(rules):
    with pytest.raises(ArgumentError, match="must contain at least one rule; got none"):
        evaluate_rules(FRAME, rules)


@pytest.mark.parametrize("rules", ["abroad", 5, [5], {5: "abroad"}, {"": "abroad"}])
def test_rules_that_are_none(rules):
    with pytest.raises(ArgumentError, match="must be a dict of conditions by name"):
        evaluate_rules(FRAME, rules)


def test_if_no_rule_can_be_evaluated_all_reasons_are_given():
    with pytest.raises(ArgumentError, match=r"None of the rules .* 'a': .*abroda.* 'b': .*boolean"):
        evaluate_rules(FRAME, {"a": "abroda", "b": nw.col("amount")})


def test_labels_of_texts():
    df = FRAME.with_columns(is_fraud=pl.lit("yes"))
    with pytest.raises(ArgumentError, match="'is_fraud' must be a label: true or false, 1 or 0"):
        evaluate_rules(df, GOOD)


def test_labels_other_than_0_and_1():
    df = FRAME.with_columns(is_fraud=pl.lit(2))
    with pytest.raises(ArgumentError, match="24 rows hold another value"):
        evaluate_rules(df, GOOD)


def test_an_infinite_amount():
    df = FRAME.with_columns(amount=pl.lit(np.inf))
    with pytest.raises(ArgumentError, match="in 24 rows it is infinite"):
        evaluate_rules(df, GOOD)


def test_a_missing_column_of_the_frame():
    with pytest.raises(NotFoundError, match="Did you mean 'is_fraud'"):
        evaluate_rules(FRAME, GOOD, label="is_fruad")
    with pytest.raises(NotFoundError, match="time"):
        evaluate_rules(FRAME, GOOD, timestamp="time")


def test_without_times_there_are_no_periods():
    evaluation = evaluate_rules(FRAME, GOOD)
    assert evaluation.by_period.is_empty()
    assert np.isnan(evaluation.rules["alerts_per_day"][0])
    assert any("no column 'timestamp'" in caveat for caveat in evaluation.caveats)


def test_without_amounts_there_is_no_benefit():
    evaluation = evaluate_rules(FRAME.drop("amount"), GOOD)
    assert np.isnan(evaluation.rules["net_benefit"][0])
    assert evaluation.greedy["position"].to_list() == [None]
    assert any("no column 'amount'" in caveat for caveat in evaluation.caveats)
    assert "benefit" not in " ".join(evaluation.findings)


def test_without_any_fraud():
    evaluation = evaluate_rules(FRAME.with_columns(is_fraud=pl.lit(value=False)), GOOD)
    [row] = evaluation.rules.to_dicts()
    assert row["precision"] == 0
    assert np.isnan([row["recall"], row["recall_low"], row["false_positive_ratio"]]).all()
    assert "No transaction is a fraud: recall is undefined." in evaluation.caveats


def test_without_any_label():
    df = FRAME.with_columns(is_fraud=pl.lit(None, pl.Boolean))
    evaluation = evaluate_rules(df, GOOD)
    assert np.isnan(evaluation.rules["precision"][0])
    assert "No transaction has a label: precision and recall are undefined." in evaluation.caveats


def test_without_any_rows():
    evaluation = evaluate_rules(FRAME.clear(), GOOD)
    assert evaluation.rules["alerts"].to_list() == [0]
    assert evaluation.never_fired == ("good",)
    assert "There are no transactions." in evaluation.caveats


def test_alerts_without_a_label_are_said():
    [caveat] = [text for text in evaluate_rules(FRAME, GOOD).caveats if "without a label" in text]
    assert caveat.startswith("4 alerts without a label")


def test_a_comparison_of_rules_that_are_not_there():
    evaluation = evaluate_rules(FRAME, {**GOOD, "bad": "abroda"})
    with pytest.raises(NotFoundError, match="Did you mean 'good'"):
        evaluation.compare("good", "goood")
    with pytest.raises(ArgumentError, match=r"'bad' was not. There is no column"):
        evaluation.beside("bad")


def test_names_of_columns_may_have_dots():
    renamed = FRAME.rename({"abroad": "is.abroad", "is_fraud": "is.fraud"})
    for native in engines_for(renamed).values():
        evaluation = evaluate_rules(native, {"good": "is.abroad"}, label="is.fraud")
        assert pd.DataFrame(evaluation.to_dict()["rules"])["frauds"].tolist() == [8]
