"""Intervals of rates whose transactions cluster: by customer, by merchant, or by both."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import ENGINES, ROWS, SCHEMA, as_polars
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import fraud_rate, proportion_interval

LEVEL = 0.9


class Definition:
    """The variance of a rate as it is defined: residuals are added up cluster by cluster."""

    def __init__(self, rows: list[dict], clusters: list[str]) -> None:
        self.fraud = np.array([float(row["is_fraud"]) for row in rows])
        self.amount = np.array([float(row["amount"] or 0) for row in rows])
        # A row whose cluster is not known is a cluster of its own.
        self.names = [
            [at if row[name] is None else row[name] for at, row in enumerate(rows)]
            for name in clusters
        ]
        pairs = [list(zip(*self.names, strict=True))] if len(clusters) > 1 else []
        self.ways = [*self.names, *pairs]

    def n_fewest(self) -> int:
        """Number of clusters with a fraud, or with a genuine transaction, whichever is lower."""
        return min(
            len({name for name, fraud in zip(way, self.fraud, strict=True) if fraud == is_fraud})
            for way in self.names
            for is_fraud in (0, 1)
        )

    def n_effective(self, weight: np.ndarray) -> float:
        """Effective number of rows for the rate of fraud in which each row weighs so much."""
        n, rate = len(weight), (weight * self.fraud).sum() / weight.sum()
        residuals = weight * (self.fraud - rate) * n / weight.sum()
        sums = [
            np.array(
                [
                    sum(
                        residual
                        for residual, name in zip(residuals, way, strict=True)
                        if name == cluster
                    )
                    for cluster in dict.fromkeys(way)
                ]
            )
            for way in self.ways
        ]
        squares = [float((cluster_sums**2).sum()) for cluster_sums in sums]
        variance = max((residuals**2).sum(), *squares[: len(self.names)])
        if len(squares) == 3:
            variance = max(variance, squares[0] + squares[1] - squares[2])
        spread = sum(
            square**2 / (len(cluster_sums) - 1)
            for square, cluster_sums in zip(squares[: len(self.names)], sums, strict=False)
            if len(cluster_sums) > 1
        )
        freedom = min(max(variance**2 / spread, 1), n - 1) if spread else n - 1
        wider = t.ppf((1 + LEVEL) / 2, freedom) / t.ppf((1 + LEVEL) / 2, n - 1)
        n_fewest = self.n_fewest()
        return n * (n * rate * (1 - rate)) / variance * (n_fewest - 1) / n_fewest / wider**2


@given(
    st.lists(ROWS.filter(lambda row: row["is_fraud"] is not None), min_size=6, max_size=25),
    st.sampled_from([["customer_id"], ["card_id"], ["card_id", "merchant_id"]]),
)
def test_the_effective_number_of_transactions_is_that_of_the_definition(rows, clusters):
    defined = Definition(rows, clusters)
    assume(defined.n_fewest() > 1)

    row = fraud_rate(pl.DataFrame(rows, SCHEMA), cluster=clusters, confidence_level=LEVEL).row(
        0, named=True
    )

    size = defined.n_effective(np.ones(len(rows)))
    assert row["n_effective"] == pytest.approx(size)
    low, high = proportion_interval(row["fraud_rate"] * size, size, confidence_level=LEVEL)
    assert (row["fraud_rate_low"], row["fraud_rate_high"]) == pytest.approx(
        (float(low), float(high))
    )
    share = row["fraud_bps"] / 10_000
    if 0 < share < 1:
        size = defined.n_effective(defined.amount)
        ends = proportion_interval(share * size, size, confidence_level=LEVEL)
        assert row["fraud_bps_low"] == pytest.approx(10_000 * float(ends[0]))
        assert row["fraud_bps_high"] == pytest.approx(10_000 * float(ends[1]))


def table(**columns) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({"amount": [10.0] * rows, "is_fraud": [False] * rows} | columns)


#: 40 customers of 10 payments; all payments of 4 customers are fraud.
STOLEN = table(
    customer_id=[f"C{n // 10}" for n in range(400)],
    merchant_id=[f"M{n % 7}" for n in range(400)],
    is_fraud=[n < 40 for n in range(400)],
)


def row_of(frame: pl.DataFrame, **options) -> dict:
    return fraud_rate(frame, **options).row(0, named=True)


def test_payments_of_a_customer_that_are_all_alike_count_like_one():
    row = row_of(STOLEN, cluster="customer_id")

    assert row["fraud_clusters"] == 4
    # 40 customers; 4 of them with fraud (factor 4 / 3), and Student's quantile instead of 1.96.
    wider = (t.ppf(0.975, 39) / t.ppf(0.975, 399)) ** 2
    assert row["n_effective"] == pytest.approx(40 * 3 / 4 / wider)
    independent = row_of(STOLEN, cluster=None)
    assert independent["n_effective"] == 400
    assert independent["fraud_clusters"] == 40
    assert row["fraud_rate_high"] - row["fraud_rate_low"] > 3 * (
        independent["fraud_rate_high"] - independent["fraud_rate_low"]
    )


def test_without_clusters_the_interval_is_that_of_independent_transactions():
    low, high = proportion_interval(40, 400, interval_method="jeffreys")
    row = row_of(STOLEN, interval_method="jeffreys", cluster=None)
    assert (row["fraud_rate_low"], row["fraud_rate_high"]) == (float(low), float(high))


def test_customers_and_merchants_are_the_usual_clusters():
    usual = fraud_rate(STOLEN)
    assert usual.equals(fraud_rate(STOLEN, cluster=["customer_id", "merchant_id"]))
    without = fraud_rate(STOLEN.drop("merchant_id"))
    assert without.equals(fraud_rate(STOLEN, cluster="customer_id"))


def test_a_column_that_is_a_group_is_no_usual_cluster():
    by_merchant = fraud_rate(STOLEN, by="merchant_id")
    assert by_merchant.equals(fraud_rate(STOLEN, by="merchant_id", cluster="customer_id"))
    keys = ["customer_id", "merchant_id"]
    assert fraud_rate(STOLEN, by=keys).equals(fraud_rate(STOLEN, by=keys, cluster=None))


def test_clusters_in_weeks_are_those_of_the_week():
    """A customer who is robbed in two weeks is a cluster in each."""
    days = [dt.datetime(2026, 3, 2 + 7 * (n % 2), tzinfo=dt.UTC) for n in range(400)]
    weeks = fraud_rate(STOLEN.with_columns(timestamp=pl.Series(days)), every="1w")
    assert weeks["fraud_clusters"].to_list() == [4, 4]
    first = row_of(STOLEN[::2])
    assert weeks["n_effective"][0] == pytest.approx(first["n_effective"])


def test_fewer_than_ten_clusters_with_fraud_make_an_interval_that_is_not_reliable():
    frame = table(customer_id=range(40), is_fraud=[n < 10 for n in range(40)])
    assert row_of(frame)["reliable"] is True
    assert row_of(frame[1:])["reliable"] is False


def test_a_group_without_fraud_has_the_design_effect_of_all_groups():
    frame = pl.concat([STOLEN, STOLEN.with_columns(is_fraud=False)])
    frame = frame.with_columns(channel=pl.Series(["atm"] * 400 + ["pos"] * 400))

    atm, pos = fraud_rate(frame, by="channel", cluster="customer_id").to_dicts()

    assert (pos["frauds"], pos["fraud_rate"], pos["fraud_rate_low"]) == (0, 0, 0)
    assert pos["n_effective"] == pytest.approx(40)  # the frauds of "atm" are 10 of a customer
    assert pos["fraud_rate_high"] == pytest.approx(float(proportion_interval(0, 40)[1]))
    assert pos["fraud_rate_high"] > row_of(frame, cluster=None, by="channel")["fraud_rate_low"]
    assert atm["n_effective"] < 40


@pytest.mark.parametrize("frauds", [0, 1, 399, 400])
def test_where_no_two_clusters_have_a_fraud_a_cluster_counts_like_one_transaction(frauds):
    frame = STOLEN.with_columns(is_fraud=pl.Series([n < frauds for n in range(400)]))
    row = row_of(frame, cluster="customer_id")
    assert row["n_effective"] == pytest.approx(40)
    assert 0 <= row["fraud_rate_low"] <= row["fraud_rate"] <= row["fraud_rate_high"] <= 1
    assert row["fraud_rate_low"] == 0 or frauds > 0
    assert row["fraud_bps_low"] <= row["fraud_bps"] <= row["fraud_bps_high"]


def test_transactions_of_no_known_customer_are_clusters_of_their_own():
    identified = table(customer_id=range(60), is_fraud=[n < 12 for n in range(60)])
    unknown = identified.with_columns(customer_id=pl.lit(None, pl.Int64))
    assert fraud_rate(identified).equals(fraud_rate(unknown))
    assert row_of(unknown)["fraud_clusters"] == 12


@pytest.mark.parametrize("engine", ["polars", "polars lazy", "pandas with numpy", "duckdb"])
def test_a_customer_of_nan_is_not_known(engine):
    frame = table(customer_id=[1.0, 2.0, *[math.nan] * 8], is_fraud=[n < 4 for n in range(10)])
    expected = fraud_rate(frame.with_columns(customer_id=pl.Series(range(10))))
    result = as_polars(fraud_rate(ENGINES[engine](frame)))
    assert result["n_effective"].to_list() == pytest.approx(expected["n_effective"].to_list())


def test_the_interval_by_value_is_wider_where_few_amounts_make_most_of_it():
    equal = STOLEN.with_columns(amount=pl.lit(10.0))
    one_large = equal.with_columns(amount=pl.Series([2_000.0, *[10.0] * 399]))

    even, uneven = row_of(equal), row_of(one_large)

    assert even["fraud_bps_low"] == pytest.approx(10_000 * even["fraud_rate_low"])
    assert even["fraud_bps_high"] == pytest.approx(10_000 * even["fraud_rate_high"])
    assert uneven["fraud_bps_high"] - uneven["fraud_bps_low"] > (
        2 * (even["fraud_bps_high"] - even["fraud_bps_low"])
    )


def test_a_rate_by_value_outside_of_0_to_1_has_no_interval():
    """Amounts below zero, refunds, may make it one."""
    row = row_of(table(customer_id=[1, 2], amount=[10.0, -5.0], is_fraud=[True, False]))
    assert row["fraud_bps"] == 20_000
    assert math.isnan(row["fraud_bps_low"])
    assert math.isnan(row["fraud_bps_high"])


def test_amounts_whose_squares_no_double_holds_have_no_interval():
    for cluster in ("auto", None):
        row = row_of(STOLEN.with_columns(amount=pl.lit(1e200)), cluster=cluster)
        assert row["fraud_bps"] == pytest.approx(1000)
        assert math.isnan(row["fraud_bps_low"])
        assert row["fraud_rate_low"] > 0


def test_clusters_that_cannot_be_are_refused():
    with pytest.raises(ArgumentError, match="`cluster` must be at most 2 columns"):
        fraud_rate(STOLEN, cluster=["customer_id", "merchant_id", "amount"])
    with pytest.raises(ArgumentError, match="`cluster` must not be a group"):
        fraud_rate(STOLEN, by="merchant_id", cluster="merchant_id")
    with pytest.raises(ArgumentError, match="`cluster` must be a column name"):
        fraud_rate(STOLEN, cluster=1)
    with pytest.raises(NotFoundError, match=r"no column 'card_id' in the frame"):
        fraud_rate(STOLEN, cluster="card_id")


def test_95_percent_intervals_of_robbed_customers_hold_the_rate():
    """Wilson's, of independent payments, hold it half of the time in the same samples."""
    generator = np.random.default_rng(0)
    held, naive = [], []
    for _ in range(150):
        robbed = generator.random(400) < 0.05
        customers = np.repeat(np.arange(400), 20)
        fraud = robbed[customers] & (generator.random(8000) < 0.3)
        frame = pl.DataFrame({"customer_id": customers, "is_fraud": fraud})
        for cluster, list_ in (("customer_id", held), (None, naive)):
            row = row_of(frame, amount=None, cluster=cluster)
            list_.append(row["fraud_rate_low"] <= 0.015 <= row["fraud_rate_high"])
    assert np.mean(held) >= 0.93
    assert np.mean(naive) < 0.7


def test_the_rate_and_its_interval_are_seen_at_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    frame = STOLEN.with_columns(channel=pl.lit("online"), country=pl.lit("Belgium"))
    for by in (None, "channel", ["channel", "country"]):
        result = fraud_rate(frame.to_pandas(), by=by)
        with pd.option_context("display.width", 80, "display.max_columns", 0):
            heads = repr(result).splitlines()[0].split()
        assert heads[-3:] == ["fraud_rate", "fraud_rate_low", "fraud_rate_high"]
        with pl.Config(tbl_cols=8):
            assert "fraud_rate" in repr(pl.from_pandas(result))
