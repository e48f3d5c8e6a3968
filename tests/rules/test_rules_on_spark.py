"""Spark evaluates rules as every other engine does. It needs Java, and some seconds to start."""

import narwhals as nw
import polars as pl
from engines import QUICK, to_spark
from hypothesis import given, settings
from rules_by_hand import COST, ROWS_WITH_RULES, RULES, TYPES, check

from synfin_analytics import evaluate_rules


@settings(max_examples=4, phases=QUICK)
@given(ROWS_WITH_RULES)
def test_spark_counts_what_a_brute_force_counts(spark, rows):
    native = to_spark(spark, pl.DataFrame(rows, schema=TYPES))
    check(evaluate_rules(native, RULES, cost_per_alert=COST), rows)


def test_rules_are_conditions_and_expressions(spark):
    from pyspark.sql import functions

    df = pl.DataFrame(
        {"amount": [900.0, 40.0, 700.0], "n": [3, 0, 7], "is_fraud": [True, False, None]}
    )
    native = to_spark(spark, df)
    rules = {
        "sql": "amount > 500",
        "narwhals": nw.col("amount") > 500,
        "spark": functions.col("amount") > 500,
        "division": "amount / n > 200",
        "bad": functions.col("amuont") > 500,
    }
    evaluation = evaluate_rules(native, rules)
    assert list(evaluation.rules["alerts"]) == [2, 2, 2, 1]
    assert list(evaluation.rules["error_rows"]) == [0, 0, 0, 1]
    assert "amuont" in evaluation.failed["bad"]
