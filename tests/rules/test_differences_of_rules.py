"""RuleEvaluation.compare: paired differences whose intervals account for clusters."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from synfin_analytics import evaluate_rules

MEASURES = ["precision", "recall", "alerts", "net_benefit"]


def world(seed=0, rows=400) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    customer = rng.integers(0, 60, rows)
    fraud = rng.random(rows) < 0.1 + 0.5 * (customer < 10)
    score = rng.normal(0, 1, rows) + 1.5 * fraud + 0.5 * (customer % 3 == 0)
    return pl.DataFrame(
        {
            "customer_id": customer,
            "merchant_id": rng.integers(0, 25, rows),
            "is_fraud": pl.Series(fraud.tolist()).set(pl.Series(rng.random(rows) < 0.1), None),
            "amount": rng.gamma(2, 40, rows),
            "old": score > 1,
            "new": score > 0.7,
        }
    )


def compared(df, **options) -> dict[str, dict]:
    table = evaluate_rules(df, ["old", "new"], **options).compare("old", "new")
    return {row["measure"]: row for row in table.iter_rows(named=True)}


def variance_by_pairs(z, *codes) -> float:
    """Sum of the products of all pairs of rows that share a cluster (Cameron et al., 2011)."""
    shared = np.eye(len(z), dtype=bool)
    for code in codes:
        shared |= code[:, None] == code[None, :]
    return float(z @ shared @ z)


def test_the_values_are_those_of_the_rules():
    df = world()
    rules = evaluate_rules(df, ["old", "new"]).rules
    rows = compared(df)
    assert list(rows) == MEASURES
    for name, row in rows.items():
        assert [row["old"], row["new"]] == pytest.approx(rules[name].to_list())
        assert row["difference"] == pytest.approx(row["new"] - row["old"])
        assert row["difference_low"] < row["difference"] < row["difference_high"]


@pytest.mark.parametrize("cluster", [None, "customer_id", ["customer_id", "merchant_id"]])
def test_the_variance_of_precision_is_that_of_all_pairs_of_rows(cluster):
    df = world()
    label = df["is_fraud"].cast(pl.Float64).to_numpy()
    known = ~np.isnan(label)
    z = np.zeros(len(df))
    for rule, sign in (("new", 1), ("old", -1)):
        fires = df[rule].to_numpy() & known
        z[fires] += sign * (label[fires] - label[fires].mean()) / fires.sum()
    names = [] if cluster is None else [cluster] if isinstance(cluster, str) else cluster
    codes = [df[name].to_numpy() for name in names]
    one_way = [variance_by_pairs(z, code) for code in codes]
    variance = max(variance_by_pairs(z, *codes), *one_way, float(z @ z))
    used = z != 0
    adding = [len(np.unique(code[used])) for code in codes] or [int(used.sum())]
    freedom = adding[0] - 1
    if codes:
        parts = sum(v**2 / (n - 1) for v, n in zip(one_way, adding, strict=True))
        freedom = min(max(variance**2 / parts, 1), used.sum() - 1)
    corrected = variance * min(adding) / (min(adding) - 1)
    width = t.ppf(0.975, freedom) * np.sqrt(corrected)
    row = compared(df, cluster=cluster)["precision"]
    assert row["difference_high"] - row["difference_low"] == pytest.approx(2 * width)


def test_clusters_make_the_interval_wider():
    df = world().filter(pl.col("customer_id") < 15)
    widths = [
        row["difference_high"] - row["difference_low"]
        for cluster in (None, "customer_id")
        for row in [compared(df, cluster=cluster)["precision"]]
    ]
    assert widths[0] < widths[1]


def test_a_rule_compared_with_itself_has_no_interval_of_precision():
    df = world().with_columns(new=pl.col("old"))
    rows = compared(df)
    assert {row["difference"] for row in rows.values()} == {0}
    for name in ("precision", "alerts", "net_benefit"):
        assert np.isnan(rows[name]["difference_low"])
        assert "there is no interval" in rows[name]["note"]
    assert rows["recall"]["difference_low"] < 0 < rows["recall"]["difference_high"]


def test_few_clusters_are_said_to_be_rough():
    df = world().with_columns(new=pl.when(pl.col("customer_id") < 6).then("new").otherwise("old"))
    rows = compared(df)
    assert all("is rough" in rows[name]["note"] for name in ("recall", "alerts", "net_benefit"))
    assert not rows["precision"]["note"]  # all alerts of both rules are compared


def test_without_amounts_the_difference_of_net_benefit_is_not_defined():
    row = compared(world().drop("amount"))["net_benefit"]
    assert np.isnan(row["difference"])
    assert row["note"] == "The difference is not defined."


def test_without_frauds_recall_is_not_defined():
    rows = compared(world().with_columns(is_fraud=pl.lit(value=False)))
    assert np.isnan(rows["recall"]["difference_low"])


def test_amounts_whose_squares_are_too_large_have_no_interval_of_the_benefit():
    rows = compared(world().with_columns(amount=pl.lit(1e200)))
    assert np.isnan(rows["net_benefit"]["difference_low"])
    assert "too large" in rows["net_benefit"]["note"]
    assert np.isfinite(rows["precision"]["difference_low"])
