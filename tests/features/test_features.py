"""The 69 features: what each is, that none looks ahead, and what is refused."""

from __future__ import annotations

import datetime as dt
import math
import re
from itertools import pairwise
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from engines import QUICK, engines_for, in_order_of
from feature_rows import (
    CUSTOMERS,
    DAY,
    HOUR,
    MERCHANTS,
    MOMENTS,
    START,
    TYPES,
    engineered,
    transactions,
    world,
)
from features_by_definition import features_of
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics import ArgumentError, MLFeatures, NotFoundError, engineer_features
from synfin_analytics.features import DEFINITIONS, definitions_markdown

DOCS = Path(__file__).parents[2] / "docs" / "guide" / "features.md"
# -- What they are --------------------------------------------------------------------------------


@settings(phases=QUICK, max_examples=80, deadline=None)
@given(frame=transactions(), delay=st.sampled_from(["0d", "1d", "7d"]), dated=st.booleans())
def test_each_feature_follows_its_definition(frame, delay, dated):
    if not dated:  # without the moments of labels, all take as long
        frame = frame.drop("label_available_at")
    computed = engineered(frame, label_delay=delay)
    days = dt.timedelta(days=int(delay[0]))
    expected = features_of(frame.rows(named=True), CUSTOMERS, MERCHANTS, days)
    schema = {name: kind for name, kind in computed.schema.items() if name != "transaction_id"}
    assert computed["transaction_id"].to_list() == frame["transaction_id"].to_list()
    assert_frame_equal(
        computed.drop("transaction_id"),
        pl.DataFrame(expected, schema=schema, orient="row"),
        rel_tol=1e-6,  # distances are added up in millimetres
        abs_tol=1e-6,
    )


def test_the_definitions_are_those_of_the_table_and_of_the_docs():
    assert [definition.name for definition in DEFINITIONS] == MLFeatures.feature_names()
    assert definitions_markdown() in DOCS.read_text(encoding="utf-8"), "run python docs/features.py"


def test_ids_count_up_as_numbers_do():
    """Of one moment "9" comes before "10", whatever the order of the rows."""
    rows = pl.DataFrame(
        {
            "transaction_id": ["10", "9"],
            "customer_id": "a",
            "merchant_id": "m",
            "amount": [1, 2],
            "timestamp": START,
        }
    )
    assert engineer_features(rows)["customer_transaction_count"].to_list() == [1, 0]
    numbers = rows.cast({"transaction_id": pl.Int64})
    assert engineer_features(numbers)["customer_transaction_count"].to_list() == [1, 0]


def test_of_a_column_that_is_not_there_nothing_is_known():
    frame = world().transactions
    thin = frame.select(list(TYPES)[:5])
    blank = thin.with_columns(
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in TYPES.items()
        if name not in thin.columns
    )
    computed = engineer_features(thin)
    assert_frame_equal(computed, engineer_features(blank), check_exact=True)
    unknown = {name for name in computed.columns if computed[name].is_null().all()}
    assert unknown == {
        "is_holiday",
        "distinct_countries_24h",
        "unusual_location",
        "unusual_merchant",
        "is_new_country",
        "is_new_device",
        "customer_prior_fraud_count",
        "merchant_fraud_rate",
        "merchant_fraud_rate_1d",
        "merchant_fraud_rate_7d",
        "merchant_fraud_rate_30d",
        "distance_normalized",
        "distance_from_last_normalized",
        "travel_speed_kmh",
        "impossible_travel",
        "distance_from_usual",
        "time_since_signup",
    }


# -- No feature looks ahead -----------------------------------------------------------------------


@settings(phases=QUICK, max_examples=50, deadline=None)
@given(
    frame=transactions(),
    other_rows=transactions(),
    share=st.floats(0, 1),
    delay=st.sampled_from([0, 7]),
    dated=st.booleans(),
)
def test_nothing_later_changes_a_feature(frame, other_rows, share, delay, dated):
    """Later rows go, others come in their place, and labels not yet known change."""
    if not dated:
        frame, other_rows = (rows.drop("label_available_at") for rows in (frame, other_rows))
    order = frame.sort("timestamp", pl.col("transaction_id").cast(pl.Int64))
    past = order.head(1 + round(share * len(frame)))
    timestamp = past["timestamp"].max() or START
    if dated:
        is_known = pl.coalesce("label_available_at", "timestamp") <= timestamp
    else:
        is_known = pl.col("timestamp") + delay * DAY <= timestamp
    # Of what is not known yet, NULL too becomes a label, and frauds become NULL.
    another = pl.when(pl.col("is_fraud").is_null()).then(True).when(~pl.col("is_fraud")).then(True)
    changed = past.with_columns(is_fraud=pl.when(is_known).then("is_fraud").otherwise(another))
    if dated:
        later_known = pl.when(is_known).then("label_available_at").otherwise(START + 200 * DAY)
        changed = changed.with_columns(label_available_at=later_known)
    # Ids that begin with 9 come after all others: of the last moment too, these rows are later.
    later = pl.concat_str(pl.lit("9"), "transaction_id").alias("transaction_id")
    future = other_rows.filter(pl.col("timestamp") >= timestamp).with_columns(later)
    before = engineered(past, label_delay=f"{delay}d")
    after = engineered(pl.concat([future, changed]), label_delay=f"{delay}d")[len(future) :]
    assert_frame_equal(after, before, check_exact=True)


@settings(phases=QUICK, max_examples=25, deadline=None)
@given(frame=transactions(), cuts=st.sets(st.sampled_from(MOMENTS), max_size=3))
def test_periods_added_one_by_one_are_the_same_as_all_at_once(frame, cuts):
    ends = [None, *(START + cut for cut in sorted(cuts)), None]
    parts = [
        engineered(frame.filter(pl.col("timestamp") < end) if end else frame, start=start)
        for start, end in pairwise(ends)
    ]
    expected = engineered(frame)
    added = pl.concat(parts)
    assert_frame_equal(
        added.sort("transaction_id"), expected.sort("transaction_id"), check_exact=True
    )
    begun = [engineered(frame, start=start, end=end) for start, end in pairwise(ends)]
    assert_frame_equal(pl.concat(begun), added, check_exact=True)


def labelled(**columns):
    """Two payments of one customer at one merchant, a day apart; the first was fraud."""
    return pl.DataFrame(
        {
            "transaction_id": ["T1", "T2"],
            "customer_id": "a",
            "merchant_id": "m",
            "amount": 1,
            "timestamp": [START, START + DAY],
            "is_fraud": [True, False],
            **columns,
        }
    )


@pytest.mark.parametrize(
    ("columns", "available"),
    [
        pytest.param({}, None, id="no column: label_delay holds"),
        pytest.param(
            {"label_available_at": pl.Series([None, None], dtype=pl.Datetime("us", "UTC"))},
            1,
            id="a missing moment: at once",
        ),
        pytest.param({"label_available_at": [START + DAY, None]}, 1, id="known just then"),
        pytest.param({"label_available_at": [START + 2 * DAY, None]}, None, id="not known yet"),
    ],
)
def test_a_label_without_a_moment_was_known_at_once(columns, available):
    computed = engineer_features(labelled(**columns), label_delay="7d").row(1, named=True)
    assert (computed["customer_prior_fraud_count"], computed["merchant_fraud_rate"]) == (
        available,
        available,
    )


def test_genuine_payments_do_not_become_known_later_than_frauds():
    """`simulate` dates the labels of frauds only: a merchant's rate must not begin at 1."""
    frame = world().transactions
    dates = pl.coalesce("label_available_at", "timestamp")
    assert_frame_equal(
        engineer_features(frame),
        engineer_features(frame.with_columns(label_available_at=dates)),
        check_exact=True,
    )


@pytest.mark.parametrize("cast", [pl.Float64, pl.Float32, pl.Decimal(12, 3)], ids=str)
def test_amounts_may_have_three_decimals(cast):
    """IEEE-CIS, fuel and converted currencies have them, though the table refuses them."""
    amounts = pl.Series(["49.951", "0.049"]).cast(pl.Decimal(12, 3)).cast(cast)
    computed = engineer_features(labelled(amount=amounts))
    assert computed["amount_velocity_24h"].to_list() == [49.951, 0.049]
    assert computed["customer_avg_amount"].to_list() == [None, 49.951]
    assert computed["amount_to_max_ratio"][1] == 0.049 / 49.951
    assert computed["amount_log"][0] == pytest.approx(math.log1p(49.951), rel=1e-15)


def test_decimals_of_one_amount_show_in_no_other_customers_features():
    frame = world().transactions
    fine = frame.head(1).with_columns(
        pl.lit("T-fine").alias("transaction_id"), pl.lit("other").alias("customer_id"),
        pl.lit("elsewhere").alias("merchant_id"), pl.lit(0.123457).alias("amount"),
    )  # fmt: skip
    amounts = pl.col("amount").cast(pl.Float64)
    mixed = pl.concat([frame.with_columns(amounts), fine.with_columns(amounts)])
    assert_frame_equal(
        engineer_features(mixed)[: len(frame)], engineer_features(frame), check_exact=True
    )


def test_amounts_of_zero_give_no_infinite_ratio():
    rows = pl.DataFrame(
        {
            "transaction_id": [f"T{number:02d}" for number in range(12)],
            "customer_id": "a",
            "merchant_id": "m",
            "amount": [0.0] * 11 + [5.0],
            "timestamp": [START + number * HOUR for number in range(12)],
        }
    )
    computed = engineer_features(rows).drop("transaction_id").cast(pl.Float64)
    numbers = computed.select(pl.all().drop_nulls().is_finite().all())
    assert all(numbers.row(0))
    last = engineer_features(rows).row(-1, named=True)
    assert last["amount_normalized"] is None
    assert last["amount_to_max_ratio"] is None


def test_a_date_is_its_midnight_so_that_the_end_excludes_that_day():
    frame = world().transactions
    day = frame["timestamp"].min().date() + dt.timedelta(days=3)
    computed = engineer_features(frame, start=day, end=(day + DAY).isoformat())
    expected = frame.filter(pl.col("timestamp").dt.date() == day)["transaction_id"]
    assert len(expected) > 1
    assert computed["transaction_id"].to_list() == expected.to_list()
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
    before = engineer_features(frame, start=midnight - DAY, end=day)
    assert not before["transaction_id"].is_in(expected.implode()).any()


def test_a_payments_own_label_is_never_known_to_it():
    rows = pl.DataFrame(
        {
            "transaction_id": ["T1", "T2"],
            "customer_id": "a",
            "merchant_id": "m",
            "amount": 1,
            "timestamp": START,
            "is_fraud": True,
        }
    )
    computed = engineer_features(rows, label_delay="0d")
    assert computed["merchant_fraud_rate"].to_list() == [None, 1.0]


# -- Frames ---------------------------------------------------------------------------------------


def test_every_kind_of_frame_gives_the_same():
    people, shops, payments = world()
    expected = engineer_features(payments, people, shops).sort("transaction_id")
    for name, frame in engines_for(payments).items():
        computed = engineer_features(frame, people.to_pandas(), shops.to_arrow())
        features = in_order_of(computed, "transaction_id")
        assert_frame_equal(features, expected, check_exact=True), name


def test_a_pandas_frame_keeps_its_index_and_the_type_of_its_ids():
    frame = world().transactions.to_pandas().set_index("transaction_id", drop=False)
    frame["transaction_id"] = range(len(frame))
    day = frame["timestamp"].max().normalize()
    computed = engineer_features(frame, start=day.isoformat())
    assert 0 < len(computed) < len(frame)
    assert computed.index.equals(frame.index[frame["timestamp"] >= day])
    assert computed["transaction_id"].equals(frame.loc[computed.index, "transaction_id"])
    assert {*map(str, computed.dtypes)} == {"int64", "float64", "Int32", "boolean"}


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_any_order_keep_it(seed):
    frame = world().transactions
    mixed = frame.sample(fraction=1, shuffle=True, seed=seed)
    expected = mixed.select("transaction_id").join(
        engineer_features(frame), on="transaction_id", maintain_order="left"
    )
    assert_frame_equal(engineer_features(mixed), expected, check_exact=True)


def test_without_rows_there_are_the_columns():
    computed = engineer_features(world().transactions.clear())
    assert computed.columns == ["transaction_id", *MLFeatures.feature_names()]
    assert computed.schema["tx_velocity_1h"] == pl.Int32
    assert computed.schema["is_burst"] == pl.Boolean


# -- What is refused ------------------------------------------------------------------------------


def faulty(**columns):
    return world().transactions.head(6).with_columns(**columns)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            lambda: faulty(timestamp=pl.when(pl.int_range(6) % 4 > 1).then("timestamp")),
            "These transactions cannot be used (rows count from 0):\n"
            "  timestamp: is required but missing: 4 rows: 0, 1, 4, 5",
        ),
        (
            lambda: faulty(transaction_id=pl.Series(list("abcbad"))),
            "transaction_id: repeats the key of an earlier row: 2 rows: 3, 4",
        ),
        (
            lambda: faulty(amount=pl.Series([1.0, 2.5, 1.0, 0.0, -1.0, 1.005])),
            "amount: must be from 0 to 1e+10: 1 row: 4",
        ),
        (lambda: faulty(is_fraud=pl.Series([0, 1, 2, 0, 1, 1])), "is_fraud: is not a boolean"),
        (
            lambda: [{"transaction_id": 1}],
            "The data of engineer_features must be a DataFrame of pandas, polars",
        ),
    ],
)
def test_rows_that_cannot_be_used_are_reported(frame, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        engineer_features(frame())


def test_no_value_of_a_row_is_in_a_message():
    frame = faulty(latitude=pl.Series([91.25, 0.0, 0.0, 0.0, 0.0, 0.0]))
    with pytest.raises(ArgumentError) as caught:
        engineer_features(frame)
    assert "latitude: must be from -90 to 90: 1 row: 0" in str(caught.value)
    assert "91.25" not in str(caught.value)


def test_a_column_that_is_missing_is_named_with_the_nearest():
    frame = world().transactions.rename({"timestamp": "time_stamp"})
    with pytest.raises(NotFoundError, match=r"'timestamp' in the transactions.*'time_stamp'"):
        engineer_features(frame)
    with pytest.raises(NotFoundError, match=r"'customer_id' in the customers.*'customer'"):
        engineer_features(world().transactions, pl.DataFrame({"customer": ["C1"]}))


@pytest.mark.parametrize(
    "twice",
    [
        lambda rows: pd.concat([rows.to_pandas(), rows["amount"].to_pandas()], axis=1),
        lambda rows: rows.to_arrow().append_column("amount", rows["amount"].to_arrow()),
    ],
    ids=["pandas", "pyarrow"],
)
def test_two_columns_of_one_name_are_reported_without_what_is_in_them(twice):
    with pytest.raises(ArgumentError, match=r"got more than one column named amount\.$"):
        engineer_features(twice(world().transactions))


def test_customers_and_merchants_that_are_not_in_their_tables_are_reported():
    people, shops, payments = world()
    known_customers = payments["customer_id"].unique(maintain_order=True)[:-2]
    with pytest.raises(
        ArgumentError,
        match=r"customer_id: is not in the table of customers \(add 2 customers, or omit `custo",
    ):
        engineer_features(
            payments, people.filter(pl.col("customer_id").is_in(known_customers.implode()))
        )
    with pytest.raises(ArgumentError, match=r"merchant_id: is not in the table of merchants"):
        engineer_features(payments, people, shops.head(1))


def test_a_duplicate_customer_is_reported():
    people = world().customers
    with pytest.raises(
        ArgumentError, match=r"These customers cannot .*\s+customer_id: repeats .* 25 rows: 25, 26"
    ):
        engineer_features(world().transactions, pl.concat([people, people]))


@pytest.mark.parametrize("delay", ["-7d", dt.timedelta(days=-7), 7])
def test_a_delay_that_is_none_is_refused(delay):
    with pytest.raises(
        ArgumentError, match=r"`label_delay` must be a duration of at least 0, such as '7d'; got"
    ):
        engineer_features(world().transactions, label_delay=delay)


def test_a_period_that_is_none_is_refused():
    with pytest.raises(
        ArgumentError, match="`end` must be later than `start`; got start=2026-03-02"
    ):
        engineer_features(world().transactions, start="2026-03-02", end="2026-03-02T00:00")
    with pytest.raises(ArgumentError, match="`start` must be a date or a time"):
        engineer_features(world().transactions, start="yesterday")
