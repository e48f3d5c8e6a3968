"""fraud_rate: one number whatever the engine, and words for what cannot be counted."""

import datetime as dt
import math
from decimal import Decimal

import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pytest
from engines import (
    ENGINES,
    GROUPS,
    QUICK,
    ROWS,
    SCHEMA,
    a_third_of_engines,
    as_polars,
    engines_for,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.load import load_df
from synfin_analytics.metrics import fraud_rate
from synfin_analytics.repositories import TransactionRepository

naive = dt.datetime.fromisoformat


def test_the_index_of_pandas_counts_the_rows():
    frame = pd.DataFrame({"channel": ["pos", "atm", "online"], "is_fraud": [True, False, False]})

    result = fraud_rate(frame, by="channel", amount=None)

    assert list(result["channel"]) == ["atm", "online", "pos"]
    assert list(result.index) == [0, 1, 2]


def by_hand(rows, keys) -> dict:
    """Count with dictionaries: slow and evident."""
    groups = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        group = groups.setdefault(key, {"n": 0, "labelled": 0, "frauds": 0, "amount": Decimal(0)})
        group["n"] += 1
        group["labelled"] += row["is_fraud"] is not None
        group["frauds"] += row["is_fraud"] is True
        if row["is_fraud"] is not None:
            group["amount"] += row["amount"] or 0
    return groups


@a_third_of_engines
@settings(max_examples=5, phases=QUICK)
@given(rows=st.lists(ROWS, max_size=25), groups=GROUPS)
def test_every_engine_gives_the_same_result(engines, rows, groups):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    expected = fraud_rate(frame, **groups)
    for engine, native in engines_for(frame, engines).items():
        result = as_polars(fraud_rate(native, **groups))
        assert result.columns == expected.columns, engine
        assert_frame_equal(result, expected, check_dtypes=False, rel_tol=1e-9)


#: Columns of `transactions` that hold such values as those of SCHEMA.
STORED = {"channel": "country", "merchant": "transactions_last_day"}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS.filter(lambda row: row["amount"] and row["timestamp"]), max_size=25), GROUPS)
def test_postgresql_gives_the_same_result(session, rows, groups):
    session.rollback()
    frame = pl.DataFrame(rows, schema=SCHEMA).rename(STORED).with_row_index("transaction_id")
    groups = groups | {
        "by": [STORED[name] for name in groups["by"]],
        "bins": {STORED.get(name, name): edges for name, edges in (groups["bins"] or {}).items()},
    }
    stored = frame.with_columns(cs.by_name("transaction_id").cast(pl.String))
    load_df(stored, "transactions", session=session, on_missing_parent="create")
    result = TransactionRepository(session, output="polars").fraud_rate(**groups)
    expected = fraud_rate(frame, **groups)
    assert_frame_equal(result, expected, check_dtypes=False, rel_tol=1e-9)


@given(st.lists(ROWS, max_size=25), st.sampled_from([["channel"], ["channel", "merchant"]]))
def test_counts_are_those_made_by_hand(rows, by):
    result = fraud_rate(pl.DataFrame(rows, schema=SCHEMA), by=by)
    expected = by_hand(rows, by)
    assert len(result) == len(expected)
    for row in result.to_dicts():
        group = expected[tuple(row[name] for name in by)]
        assert (row["transactions"], row["labelled"], row["frauds"]) == (
            group["n"],
            group["labelled"],
            group["frauds"],
        )
        assert row["amount"] == pytest.approx(float(group["amount"]))


def table(**columns) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({"amount": [10.0] * rows, "is_fraud": [False] * rows} | columns)


def test_rate_interval_and_value_of_one_group():
    frame = table(amount=[100.0] * 37 + [200.0] * 3, is_fraud=[False] * 37 + [True] * 3)
    row = fraud_rate(frame).row(0, named=True)
    assert (row["transactions"], row["labelled"], row["frauds"]) == (40, 40, 3)
    assert row["fraud_rate"] == 0.075
    assert (round(row["fraud_rate_low"], 3), round(row["fraud_rate_high"], 3)) == (0.026, 0.199)
    assert (row["amount"], row["fraud_amount"]) == (4300, 600)
    assert row["fraud_bps"] == pytest.approx(10_000 * 600 / 4300)


def test_what_is_not_labelled_counts_neither_in_the_rate_nor_in_the_value():
    frame = table(amount=[10.0, 20.0, 70.0], is_fraud=[True, False, None])
    row = fraud_rate(frame).row(0, named=True)
    assert (row["transactions"], row["labelled"], row["fraud_rate"]) == (3, 2, 0.5)
    assert row["amount"] == 30


def test_a_group_of_which_nothing_is_labelled_has_a_rate_of_nan():
    row = fraud_rate(table(is_fraud=[None, None])).row(0, named=True)
    assert row["frauds"] == 0
    assert all(
        math.isnan(row[name])
        for name in ("fraud_rate", "fraud_rate_low", "fraud_rate_high", "fraud_bps")
    )


def test_no_transactions_give_one_row_overall_and_no_group():
    empty = table(channel=["pos"]).clear()
    assert fraud_rate(empty)["transactions"].to_list() == [0]
    assert len(fraud_rate(empty, by="channel")) == 0


def test_null_is_its_own_group_at_the_end():
    result = fraud_rate(table(channel=[None, "b", None, "a", ""]), by="channel")
    assert result["channel"].to_list() == ["", "a", "b", None]
    assert result["transactions"].to_list() == [1, 1, 1, 2]


def test_a_band_holds_its_lower_edge_and_not_its_upper():
    result = fraud_rate(table(amount=[19.99, 20.0, 99.99, 100.0]), bins={"amount": [20, 100]})
    assert result.select("amount_from", "amount_to", "transactions").rows() == [
        (-math.inf, 20, 1),
        (20, 100, 2),
        (100, math.inf, 1),
    ]


def test_null_and_nan_form_their_own_bin_at_the_end():
    result = fraud_rate(table(hour=[None, math.nan, 3.0]), bins={"hour": [12]})
    assert result.select("hour_from", "hour_to", "transactions").rows() == [
        (-math.inf, 12, 1),
        (None, None, 2),
    ]


def test_the_outer_bands_hold_what_is_infinite():
    result = fraud_rate(table(hour=[-math.inf, math.inf]), bins={"hour": [12]})
    assert result["transactions"].to_list() == [1, 1]


def test_columns_stand_before_bands_and_bands_before_time():
    frame = table(channel=["pos"], hour=[3], timestamp=[naive("2026-01-05")])
    result = fraud_rate(
        frame, "channel", every="1d", bins={"amount": [20], "hour": [12]}, timestamp="timestamp"
    )
    edges = ["amount_from", "amount_to", "hour_from", "hour_to"]
    assert result.columns[:6] == ["channel", *edges, "timestamp"]


@pytest.mark.parametrize(
    "edges", [[], [20, 20], [100, 20], [math.nan], [20, math.inf], ["20"], "20", [True], 20, None]
)
def test_edges_that_make_no_bands_are_refused(edges):
    with pytest.raises(ArgumentError, match="`bins` of 'amount' must be finite numbers, each"):
        fraud_rate(table(channel=["pos"]), bins={"amount": edges})


def test_bins_of_what_is_no_number_are_refused():
    frame = table(channel=["pos"])
    for name in ("channel", "is_fraud"):
        with pytest.raises(
            ArgumentError, match=f"'{name}' must be a number to be grouped into bins"
        ):
            fraud_rate(frame, bins={name: [1]})
    with pytest.raises(NotFoundError, match=r"no column 'amuont' .* 'amount'"):
        fraud_rate(frame, bins={"amuont": [1]})
    with pytest.raises(ArgumentError, match="`bins` must be a dict of columns and their edges"):
        fraud_rate(frame, bins=[20, 100])
    with pytest.raises(ArgumentError, match="got 'amount_from' more than once"):
        fraud_rate(frame, by="amount_from", bins={"amount": [1]})


def test_postgresql_refuses_the_same_bins(session):
    repository = TransactionRepository(session)
    for name in ("channel", "is_fraud", "timestamp"):
        with pytest.raises(
            ArgumentError, match=f"'{name}' must be a number to be grouped into bins"
        ):
            repository.fraud_rate(bins={name: [1]})
    with pytest.raises(NotFoundError, match=r"no column 'amuont' .* 'amount'"):
        repository.fraud_rate(bins={"amuont": [1]})
    with pytest.raises(ArgumentError, match="each greater than the one before"):
        repository.fraud_rate(bins={"amount": [2, 1]})


def test_the_counts_of_many_partitions_of_dask_are_put_together():
    frame = pl.DataFrame(
        {
            "channel": ["online", "pos", None] * 60,
            "amount": [float(n) for n in range(180)],
            "is_fraud": [n % 7 == 0 for n in range(180)],
        }
    )
    partitions = dd.from_pandas(frame.to_pandas(), npartitions=30)
    result = fraud_rate(partitions, by="channel", bins={"amount": [50, 100]})
    expected = fraud_rate(frame, by="channel", bins={"amount": [50, 100]})
    assert_frame_equal(as_polars(result), expected, check_dtypes=False)


def test_weeks_begin_on_monday_and_hours_at_the_hour_in_utc():
    moments = [naive("2026-01-04T23:59"), naive("2026-01-05")]  # Sunday, Monday
    weeks = fraud_rate(table(timestamp=moments), every="1w")["timestamp"].to_list()
    assert weeks == [
        dt.datetime(2025, 12, 29, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 5, tzinfo=dt.UTC),
    ]
    hours = fraud_rate(table(timestamp=moments[:1]), every="6h")["timestamp"].to_list()
    assert hours == [dt.datetime(2026, 1, 4, 18, tzinfo=dt.UTC)]


@pytest.mark.parametrize("engine", ["polars", "pyarrow", "pandas with numpy"])
def test_a_timestamp_of_another_zone_is_counted_in_utc(engine):
    frame = table(timestamp=[naive("2026-01-01T00:30")]).with_columns(
        pl.col("timestamp").dt.replace_time_zone("Europe/Brussels")
    )
    result = as_polars(fraud_rate(ENGINES[engine](frame), every="1d"))
    assert result["timestamp"].to_list() == [dt.datetime(2025, 12, 31, tzinfo=dt.UTC)]


def test_duckdb_returns_times_in_utc():
    frame = table(timestamp=[dt.datetime(2026, 1, 1, tzinfo=dt.UTC)])
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Europe/Brussels'")
    with pytest.raises(ArgumentError, match="SET TimeZone = 'UTC'"):
        fraud_rate(connection.from_arrow(frame.to_arrow()), every="1d")


def test_a_date_can_be_cut_into_months():
    result = fraud_rate(table(timestamp=[dt.date(2026, 1, 31), dt.date(2026, 2, 1)]), every="1mo")
    assert result["transactions"].to_list() == [1, 1]


def test_result_is_of_the_kind_that_came_in():
    frame = table(channel=["pos"])
    assert isinstance(fraud_rate(frame), pl.DataFrame)
    assert isinstance(fraud_rate(frame.lazy()), pl.DataFrame)
    assert isinstance(fraud_rate(frame.to_arrow()), pa.Table)
    assert isinstance(fraud_rate(frame.to_pandas()), pd.DataFrame)
    assert isinstance(fraud_rate(dd.from_pandas(frame.to_pandas(), npartitions=1)), pd.DataFrame)


def test_labels_may_be_0_and_1_and_columns_have_other_names():
    frame = pl.DataFrame({"TX_FRAUD": [0, 1, None], "TX_AMOUNT": [1, 2, 3]})
    row = fraud_rate(frame, label="TX_FRAUD", amount="TX_AMOUNT").row(0, named=True)
    assert (row["labelled"], row["frauds"], row["fraud_amount"]) == (2, 1, 2)


def test_values_can_be_left_out():
    result = fraud_rate(pl.DataFrame({"is_fraud": [True]}), amount=None)
    counts = ["labelled", "frauds", "reliable", "transactions"]
    about = ["fraud_clusters", "n_effective"]
    assert result.columns == [*counts, *about, "fraud_rate", "fraud_rate_low", "fraud_rate_high"]


def test_the_frame_that_came_in_is_left_as_it_was():
    frame = pd.DataFrame(
        {"amount": [Decimal("1.10"), None], "is_fraud": [True, None]}, dtype=object
    )
    before = frame.copy()
    fraud_rate(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    "engine", ["polars", "pyarrow", "pandas with numpy", "duckdb", "dask with numpy"]
)
def test_a_column_that_is_not_there_comes_with_the_nearest(engine):
    frame = ENGINES[engine](table(channel=["pos"]))
    with pytest.raises(NotFoundError, match=r"no column 'chanel' in the frame\. .* 'channel'"):
        fraud_rate(frame, by="chanel")


@pytest.mark.parametrize(
    "engine", ["polars", "pyarrow", "pandas with numpy", "duckdb", "dask with numpy"]
)
def test_a_label_that_is_neither_0_nor_1_is_refused(engine):
    frame = ENGINES[engine](table(is_fraud=[0, 1, 2, -1]))
    with pytest.raises(ArgumentError, match=r"'is_fraud' must be a label .*; 2 rows"):
        fraud_rate(frame)


def test_types_that_cannot_be_counted_are_refused():
    frame = table(channel=["pos"])
    with pytest.raises(ArgumentError, match="'channel' must be a label"):
        fraud_rate(frame, label="channel")
    with pytest.raises(ArgumentError, match="'channel' must be a number"):
        fraud_rate(frame, amount="channel")
    with pytest.raises(ArgumentError, match="'channel' must hold timestamps"):
        fraud_rate(frame, every="1d", timestamp="channel")
    with pytest.raises(ArgumentError, match="mixes several"):
        fraud_rate(pd.DataFrame({"amount": [1, "x"], "is_fraud": [True, False]}))
    with pytest.raises(ArgumentError, match="infinite"):
        fraud_rate(table(amount=[math.inf]))
    with pytest.raises(ArgumentError, match="got list"):
        fraud_rate([1, 2])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_day_of_a_long_period_belongs_to_it(engine):
    moments = [naive("1970-01-01") + dt.timedelta(days=103 * n) for n in range(150, 200)]
    periods = as_polars(fraud_rate(ENGINES[engine](table(timestamp=moments)), every="103d"))
    assert periods["timestamp"].to_list() == [moment.replace(tzinfo=dt.UTC) for moment in moments]


@pytest.mark.parametrize("every", ["", "d", "0d", "1 day", "-1d", "1.5d", "1x", 7])
def test_a_period_that_is_none_is_refused(every):
    with pytest.raises(ArgumentError, match="such as '1d' or '3mo'"):
        fraud_rate(table(timestamp=[naive("2026-01-01")]), every=every)


def test_groups_that_would_hide_a_measure_are_refused():
    with pytest.raises(ArgumentError, match="got 'amount': rename it"):
        fraud_rate(table(channel=["pos"]), by="amount")
    # DuckDB and Spark do not tell them apart.
    with pytest.raises(ArgumentError, match="got 'Frauds': rename it"):
        fraud_rate(table(Frauds=["pos"]), by="Frauds")
    with pytest.raises(ArgumentError, match="got 'channel' more than once"):
        fraud_rate(table(channel=["pos"]), by=["channel", "channel"])
    with pytest.raises(ArgumentError, match="`by` must be a column name or a list of names"):
        fraud_rate(table(channel=["pos"]), by=[1])


@pytest.mark.parametrize("name", ["timestamp", "label", "amount"])
def test_a_column_itself_is_refused_in_place_of_its_name(name):
    frame = pl.DataFrame({"is_fraud": [True], "amount": [1.0]})
    with pytest.raises(ArgumentError, match=f"`{name}` must be a column name"):
        fraud_rate(frame, **{name: frame["is_fraud"]})


def test_bins_of_a_column_without_a_name_are_refused():
    with pytest.raises(ArgumentError, match=r"`bins` must be a column name \(a string\); got 5"):
        fraud_rate(pl.DataFrame({"is_fraud": [True]}), bins={5: [1]}, amount=None)
