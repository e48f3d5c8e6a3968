"""The simulated world: how customers live and pay, and what the bank knows."""

import datetime as dt
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from synfin_analytics._core.arithmetic import great_circle_km
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.coerce import derive_columns
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories import CustomerRepository, MerchantRepository
from synfin_analytics.simulation import ANOMALIES, PATTERNS, simulate

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
#: Digest of a small world with frauds of all patterns. The same seed gives the same rows on every
#: machine: if the digest changes, so do the rows of users, and CHANGELOG.md must say so.
DIGEST = "8ef17e61ac954dec7783426f83c76f1a"


@pytest.fixture(scope="module")
def world():
    return simulate(customers=600, merchants=200, days=120, seed=3, output="polars")


@pytest.fixture(scope="module")
def payments(world):
    return world.transactions


@pytest.fixture(scope="module")
def genuine(payments):
    return payments.filter(~pl.col("is_fraud"))


# -- Reproducibility -------------------------------------------------------------------------------


def digest_of(world) -> str:
    rows = hashlib.sha256()
    for frame in world:
        rows.update(repr(frame.columns).encode())
        for row in frame.rows():
            rows.update(repr(row).encode())
    return rows.hexdigest()[:32]


def test_the_same_seed_gives_the_same_rows_on_every_machine():
    small = {"customers": 120, "merchants": 60, "days": 45, "seed": 7, "output": "polars"}
    world = simulate(**small, fraud_rate=0.05, drift=0.5)
    assert world.transactions["fraud_type"].n_unique() == len(PATTERNS) + 1
    assert digest_of(world) == DIGEST
    second_world = simulate(**small | {"seed": 8}, fraud_rate=0.05, drift=0.5)
    assert not second_world.transactions.equals(world.transactions)


def test_numpy_numbers_are_accepted():
    plain = simulate(9, 5, 12, 3, fraud_rate=0.0625, drift=1.0, output="polars")
    sizes = np.int64(9), np.int16(5), np.uint8(12), np.int32(3)
    world = simulate(*sizes, fraud_rate=np.float32(0.0625), drift=np.int64(1), output="polars")
    assert digest_of(world) == digest_of(plain)


def test_fraud_patterns_do_not_change_genuine_payments(genuine):
    """Each purpose has its own stream: its draws do not change those for another."""
    second = simulate(600, 200, 120, 3, patterns=["card_testing"], output="polars").transactions
    keys = ["customer_id", "merchant_id", "timestamp", "amount"]
    honest = second.filter(~pl.col("is_fraud")).select(keys)
    # Without dormant cards, some customers make payments that these suppressed.
    assert len(genuine.select(keys).join(honest, on=keys, how="anti")) == 0


# -- Output and database ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_world_of_any_output_loads_unchanged(manager, kind):
    world = simulate(customers=20, merchants=10, days=20, seed=1, output=kind)
    assert type(world.customers) is {
        "pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table,
    }[kind]  # fmt: skip
    for table, frame in world._asdict().items():
        report = load_df(frame, table, manager=manager)
        assert report.inserted == len(frame)
        assert report.rejected.empty


def test_statistics_of_customers_and_merchants_equal_those_of_the_database(manager, world):
    for table, frame in world._asdict().items():
        load_df(frame, table, manager=manager)
    # The tables count only frauds that the bank knows; the database counts all.
    late = world.transactions.filter(pl.col("label_available_at") >= START + 120 * DAY)
    with manager.session_scope() as session:
        CustomerRepository(session).update_transaction_stats()
        MerchantRepository(session).update_transaction_stats()
    for table, frauds in (
        ("customers", "fraud_history_count"),
        ("merchants", "fraud_report_count"),
    ):
        simulated = getattr(world, table)
        counted = read_df(table, manager=manager, output="polars").select(simulated.columns)
        key = simulated.columns[0]
        assert_frame_equal(
            simulated.drop(frauds), counted.drop(frauds), abs_tol=1e-4, check_row_order=False
        )
        later = late.group_by(key).len()
        columns = simulated.join(later, on=key, how="left").select(
            key, pl.col(frauds) + pl.col("len").fill_null(0).cast(pl.Int32)
        )
        assert_frame_equal(columns, counted.select(columns.columns), check_row_order=False)


def test_the_tables_have_exactly_the_columns_that_a_bank_knows(world):
    kept_by_the_database = {"created_at", "updated_at"}
    given_by_a_model = {"fraud_score", "anomaly_score"}
    for table, frame in world._asdict().items():
        columns = {column.name for column in TABLES[table].__table__.columns}
        assert columns - set(frame.columns) <= kept_by_the_database | given_by_a_model
        assert set(frame.columns) <= columns
        assert [name for name in frame.columns if frame[name].null_count() == len(frame)] == []


def test_no_value_could_belong_to_a_real_person(world):
    customers = world.customers
    assert customers["email"].is_unique().all()
    assert customers["email"].str.ends_with("@example.com").all()
    assert customers["phone"].str.starts_with("+32 000 ").all()
    assert customers["address"].str.ends_with(" Example Street").all()
    # RFC 3849: addresses for documentation.
    assert world.transactions["ip_address"].drop_nulls().str.starts_with("2001:db8:").all()


# -- Worlds of any size ----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    customers=st.integers(1, 40),
    merchants=st.integers(1, 30),
    days=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    fraud_rate=st.sampled_from([0, 0.008, 0.1]),
    drift=st.sampled_from([0, 1]),
    start=st.dates(dt.date(1999, 1, 1), dt.date(2032, 12, 31)),
)
def test_a_world_of_any_size_is_consistent(start, **sizes):
    world = simulate(**sizes, start=start, output="polars")
    payments = world.transactions
    assert (len(world.customers), len(world.merchants)) == (sizes["customers"], sizes["merchants"])
    first = dt.datetime.combine(start, dt.time(), dt.UTC)
    moments = payments["timestamp"]
    assert moments.is_between(first, first + sizes["days"] * DAY, closed="left").all()
    assert moments.is_sorted()
    assert payments["transaction_id"].is_unique().all()
    assert payments["transaction_id"].is_sorted()
    for key, parents in (("customer_id", world.customers), ("merchant_id", world.merchants)):
        assert payments[key].is_in(parents[key].implode()).all()
    assert payments["amount"].is_between(0.5, 20_000).all()
    fraud = payments["is_fraud"]
    assert fraud.sum() <= sizes["fraud_rate"] * len(payments)
    assert (payments["fraud_type"].is_not_null() == fraud).all()
    assert (payments["fraud_reason"].is_not_null() == fraud).all()
    assert (payments["label_available_at"].is_not_null() == fraud).all()
    assert (payments["label_available_at"] > moments).all()
    assert not (payments["is_anomaly"] & fraud).any()
    assert (payments["anomaly_type"].is_not_null() == payments["is_anomaly"]).all()


@pytest.mark.parametrize("rate", [0.004, 0.008, 0.05])
def test_the_fraud_rate_is_met_and_every_pattern_occurs(rate):
    payments = simulate(800, 200, 90, 1, fraud_rate=rate, output="polars").transactions
    assert payments["is_fraud"].mean() == pytest.approx(rate, rel=0.02)
    assert set(payments["fraud_type"].drop_nulls()) == set(PATTERNS)


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_a_single_pattern_meets_the_fraud_rate(pattern):
    payments = simulate(400, 200, 90, 1, patterns=[pattern], output="polars").transactions
    assert set(payments["fraud_type"].drop_nulls()) == {pattern}
    assert payments["is_fraud"].mean() == pytest.approx(0.008, rel=0.06)


def test_frauds_are_spread_over_the_period(payments):
    share = (pl.col("timestamp") - START) / (120 * DAY)
    quarters = payments.filter("is_fraud").group_by((share * 4).floor().alias("quarter")).len()
    assert quarters["len"].min() > 0.7 * quarters["len"].mean()


# -- Genuine payments ------------------------------------------------------------------------------


def counts(frame, by) -> dict:
    return dict(frame.group_by(by).len().rows())


def test_payments_follow_the_rhythm_of_days_and_weeks(genuine):
    by_hour = counts(genuine, "hour_of_day")
    assert max(by_hour[hour] for hour in range(5)) < min(by_hour[hour] for hour in range(9, 19)) / 3
    by_weekday = counts(genuine.filter(~pl.col("is_holiday")), "day_of_week")
    assert by_weekday[6] < by_weekday[0] < by_weekday[4]  # Sundays are quiet, Fridays are not


def test_each_category_has_its_hours(genuine):
    def busiest(category):
        by_hour = counts(genuine.filter(merchant_category=category), "hour_of_day")
        return max(by_hour, key=by_hour.get)

    assert busiest("restaurant") == 12
    assert busiest("transport") in (7, 17)
    assert busiest("web shop") in (20, 21)
    asleep = genuine.filter(
        (pl.col("merchant_category") == "grocery") & (pl.col("country") == "BE")
    )
    assert asleep.filter(pl.col("hour_of_day") < 6).is_empty()


def test_the_year_has_seasons():
    year = simulate(300, 200, 365, 2, patterns=[], output="polars").transactions
    gifts = counts(year.filter(merchant_category="web shop"), "month")
    assert gifts[12] > 1.4 * gifts[2]
    travel = counts(year.filter(anomaly_type="holiday_travel"), "month")
    assert min(travel[7], travel[8]) > 1.5 * max(travel.get(1, 0), travel.get(11, 0))
    free = set(
        year.filter((pl.col("country") == "BE") & pl.col("is_holiday"))["timestamp"].dt.date()
    )
    assert {dt.date(2025, 4, 21), dt.date(2025, 7, 21), dt.date(2025, 12, 25)} <= free


def test_amounts_have_heavy_tails_and_prices(genuine):
    for _, group in genuine.filter(transaction_type="purchase").group_by("merchant_category"):
        if len(group) > 500:
            assert group["amount"].mean() > 1.1 * group["amount"].median()
            assert group["amount"].quantile(0.999) > 5 * group["amount"].median()
    ends = genuine.filter(merchant_category="web shop")["amount"] * 100
    assert 0.4 < (ends.round() % 100 == 99).mean() < 0.6
    notes = genuine.filter(transaction_type="withdrawal")["amount"]
    assert (notes % 10 == 0).all()


def test_customers_differ_and_have_favourites(genuine):
    by_customer = genuine.group_by("customer_id").agg(
        pl.len().alias("payments"), pl.col("amount").median().alias("usual")
    )
    assert by_customer["payments"].quantile(0.9) > 3 * by_customer["payments"].quantile(0.1)
    assert by_customer["usual"].quantile(0.9) > 1.8 * by_customer["usual"].quantile(0.1)
    groceries = genuine.filter(merchant_category="grocery", city="Brussels")
    shares = groceries.group_by("customer_id", "merchant_id").len().group_by("customer_id").agg(
        (pl.col("len").max() / pl.col("len").sum()).alias("favourite"), pl.col("len").sum()
    )  # fmt: skip
    assert shares.filter(pl.col("len") > 20)["favourite"].median() > 0.4


def test_customers_pay_where_they_live_and_rarely_in_two_places_at_once(world, genuine):
    at_home = genuine.filter("card_present").join(world.customers, on="customer_id")
    assert (at_home["city"] == at_home["city_right"]).mean() > 0.85
    in_person = genuine.filter("card_present").with_columns(
        before=pl.col("timestamp").shift().over("card_id"),
        km=great_circle(genuine.filter("card_present"), ("latitude", "longitude"), by="card_id"),
    )
    speed = in_person["km"] / ((in_person["timestamp"] - in_person["before"]) / HOUR)
    odd = ((speed > 900) & (in_person["km"] > 250)).mean()
    assert odd < 0.0005  # terminals that are registered elsewhere


def great_circle(frame, place, *, by) -> pl.Series:
    """Return the distance from the previous row of the same key."""
    before = frame.select(pl.col(place).shift().over(by))
    km = great_circle_km(*(degrees[name] for degrees in (frame, before) for name in place))
    return pl.Series(km, nan_to_null=True)


def test_cards_and_devices_belong_to_one_customer(genuine):
    for key in ("card_id", "device_id"):
        owners = genuine.filter(pl.col(key).is_not_null()).group_by(key)
        assert owners.agg(pl.col("customer_id").n_unique())["customer_id"].max() == 1
    new = genuine.filter(pl.col("device_id").is_not_null()).group_by("customer_id", "device_type")
    replaced = new.agg(pl.col("device_id").n_unique() > 1)["device_id"]
    assert 0.02 < replaced.mean() < 0.5  # some buy a new phone: new devices are not all fraud


def test_entry_mode_terminal_and_place_match_the_channel(payments):
    remote = payments.filter("is_online")
    assert remote["entry_mode"].is_in(["ecommerce", "stored"]).all()
    assert remote["latitude"].null_count() == len(remote)
    assert not remote["card_present"].any()
    in_person = payments.filter("card_present")
    assert in_person["channel"].is_in(["pos", "atm"]).all()
    assert in_person["terminal_id"].null_count() == in_person["latitude"].null_count() == 0
    starts = in_person.select((pl.col("terminal_id").str.head(7) == pl.col("merchant_id")).all())
    assert starts.item()
    machines = payments.filter((pl.col("channel") == "atm") & (pl.col("status") == "completed"))
    cash = payments.filter(merchant_category="cash machine")
    assert set(machines["merchant_category"]) == {"cash machine"}
    assert set(cash["channel"]) == {"atm"}
    assert set(cash["transaction_type"]) == {"withdrawal"}
    assert set(cash["entry_mode"]) == {"chip", "magstripe"}
    assert payments.filter(payment_method="digital_wallet")["device_id"].null_count() == 0


# -- Anomalies -------------------------------------------------------------------------------------


def test_trips_are_far_away_and_large_purchases_are_expensive(genuine):
    travel = genuine.filter(anomaly_type="holiday_travel")
    assert 0.005 < len(travel) / len(genuine) < 0.08
    assert travel["distance_from_home"].drop_nulls().min() > 200
    usual = genuine.group_by("customer_id").agg(pl.col("amount").mean().alias("usual"))
    large = genuine.filter(anomaly_type="large_purchase").join(usual, on="customer_id")
    assert len(large) > 100
    assert (large["amount"] / large["usual"]).median() > 8


def test_anomalies_can_be_selected_and_excluded():
    def kinds(**options):
        frame = simulate(200, 100, 90, 1, patterns=[], output="polars", **options).transactions
        return set(frame["anomaly_type"].drop_nulls())

    assert kinds() == set(ANOMALIES)
    assert kinds(anomalies=[]) == set()
    assert kinds(anomalies=["large_purchase"]) == {"large_purchase"}
    chosen_world = simulate(
        200, 100, 90, 1, anomalies={"holiday_travel": {"trips_per_year": 8.0}}, output="polars"
    ).transactions
    assert chosen_world["is_anomaly"].mean() > 0.08


def test_genuine_payments_include_bursts_nights_and_refunds(genuine):
    assert genuine.filter(pl.col("transactions_last_hour") >= 5).height > 10
    assert genuine.filter((pl.col("hour_of_day") < 5) & pl.col("card_present")).height > 100
    assert genuine.filter(transaction_type="refund").height > 100
    assert genuine.filter(entry_mode="magstripe").height > 50
    subscriptions = genuine.filter(transaction_type="payment")
    again = subscriptions.group_by("customer_id", "merchant_id", "amount").len()
    assert again["len"].median() >= 3


def test_some_customers_become_dormant_and_some_return(world, genuine):
    dormant = world.customers.filter(account_status="dormant")["customer_id"]
    assert 0.005 < len(dormant) / len(world.customers) < 0.1
    silence = genuine.filter(pl.col("time_since_last_transaction") > 35 * 86_400)
    assert silence["customer_id"].n_unique() >= 3


# -- What the bank knew at the time ----------------------------------------------------------------


def test_columns_derived_from_the_timestamp_agree_with_it(payments):
    derived = derive_columns(payments.select("timestamp"), "transactions")
    assert_frame_equal(payments.select(derived.columns), derived)


def test_running_counts_include_only_earlier_payments(payments):
    customer_rows = payments.filter(customer_id=payments.filter("is_fraud")["customer_id"][0])
    for row, time in enumerate(customer_rows["timestamp"]):
        before = customer_rows.head(row)
        for name, length in (("hour", HOUR), ("day", DAY)):
            recent = before.filter(pl.col("timestamp") > time - length)
            assert customer_rows[f"transactions_last_{name}"][row] == len(recent)
            assert customer_rows[f"amount_last_{name}"][row] == pytest.approx(
                recent["amount"].sum()
            )
        since = (time - before["timestamp"][-1]).total_seconds() if row else None
        assert customer_rows["time_since_last_transaction"][row] == since


def test_distances_follow_from_coordinates(world, payments):
    in_person = payments.filter("card_present").join(
        world.customers.select("customer_id", home="latitude", east="longitude"), on="customer_id",
        maintain_order="left",
    )  # fmt: skip
    places = ("latitude", "longitude", "home", "east")
    home = great_circle_km(*(in_person[name] for name in places))
    assert in_person["distance_from_home"].to_numpy() == pytest.approx(home, abs=0.006)
    last = great_circle(in_person, places[:2], by="customer_id")
    assert_series_equal(in_person["distance_from_last"], last, abs_tol=0.006, check_names=False)
    remote = payments.filter(~pl.col("card_present"))
    assert remote["distance_from_home"].null_count() == len(remote)
    assert remote["distance_from_last"].null_count() == len(remote)


@pytest.mark.parametrize("party", ["merchant", "customer"])
def test_risk_scores_use_only_labels_known_at_the_time(payments, party):
    key = f"{party}_id"
    largest = payments.filter("is_fraud").group_by(key).len().sort("len", key)[key][-1]
    merchant_rows = payments.filter(pl.col(key) == largest)
    for row, time in enumerate(merchant_rows["timestamp"]):
        known_frauds = merchant_rows.head(row).filter(pl.col("label_available_at") <= time)
        score = (len(known_frauds) + 0.1) / (row + 20)
        assert merchant_rows[f"{party}_risk_score"][row] == pytest.approx(score, abs=1e-4)
    assert merchant_rows[f"{party}_risk_score"].max() > merchant_rows[f"{party}_risk_score"][0]


# -- Drift -----------------------------------------------------------------------------------------


def test_with_drift_online_fraud_and_online_purchases_increase():
    def halves(drift):
        frame = simulate(600, 200, 120, 4, drift=drift, output="polars").transactions
        later = pl.col("timestamp") >= START + 60 * DAY
        return frame.filter(~later), frame.filter(later)

    def ratio(parts, count):
        return count(parts[1]) / count(parts[0])

    def number(*kinds):
        return lambda frame: frame["fraud_type"].is_in(kinds).sum()

    still, moving = halves(0.0), halves(1.0)
    afar, in_hand = (
        number("card_testing", "account_takeover"),
        number("velocity_burst", "night_spree"),
    )
    assert 0.7 < ratio(still, afar) < 1.4
    assert ratio(moving, afar) > 2
    assert ratio(moving, in_hand) < 0.6
    share = lambda frame: frame["is_online"].mean()  # noqa: E731
    assert ratio(moving, share) > 1.2 > ratio(still, share)


# -- Invalid arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"customers": 0}, "`customers` must be a whole number of at least 1; got 0."),
        ({"days": 1.5}, "`days` must be a whole number of at least 1; got 1.5."),
        ({"customers": float("nan")}, "`customers` must be a whole number of at least 1; got nan."),
        ({"fraud_rate": "0.01"}, "`fraud_rate` must be a number from 0 to 0.1; got '0.01'."),
        ({"merchants": True}, "`merchants` must be a whole number of at least 1; got True."),
        ({"seed": -1}, "`seed` must be a whole number of at least 0; got -1."),
        ({"fraud_rate": 0.5}, "`fraud_rate` must be a number from 0 to 0.1; got 0.5."),
        ({"fraud_rate": float("nan")}, "`fraud_rate` must be a number from 0 to 0.1; got nan."),
        ({"drift": -1}, "`drift` must be a number from 0 to 1; got -1."),
        ({"start": "2025-01-01"}, "`start` must be a date"),
        ({"start": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)}, "`start` must be a date"),
        ({"start": dt.date(3000, 1, 1)}, "`start` must be in the years 1900 to 2200"),
        ({"output": "spark"}, "`output` must be"),
        ({"patterns": None}, '`patterns` must be "all", a list of names'),
        ({"patterns": 5}, '`patterns` must be "all", a list of names'),
        ({"patterns": [["card_testing"]]}, "`patterns` must be"),
        ({"patterns": {"card_testing": 3}}, "parameters of the pattern 'card_testing'"),
        (
            {"patterns": {"card_testing": {"amount": (3, 1)}}},
            "The parameter 'amount' of the pattern 'card_testing' must be a pair of numbers of "
            "at least 0, the smaller one first, such as (0.5, 3.0); got (3, 1).",
        ),
        ({"patterns": {"card_testing": {"decline_rate": 1.5}}}, "must be a share from 0 to 1"),
        (
            {"patterns": {"collusion_ring": {"customers": (0, 2)}}},
            "a pair of integers of at least 1",
        ),
        ({"patterns": {"just_below_limit": {"limits": ()}}}, "one or more numbers of at least 0"),
        ({"anomalies": {"holiday_travel": {"days": 3}}}, "of the anomaly 'holiday_travel'"),
    ],
)
def test_an_invalid_argument_raises_a_clear_error(wrong, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        simulate(**wrong)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ({"patterns": ["card_testin"]}, "card_testing"),
        ({"patterns": "night_sprees"}, "night_spree"),
        ({"anomalies": ["holiday"]}, "holiday_travel"),
        ({"patterns": {"card_testing": {"amounts": (1, 2)}}}, "amount"),
    ],
)
def test_an_unknown_name_raises_with_the_nearest_name(wrong, nearest):
    with pytest.raises(NotFoundError, match=f"Did you mean '{nearest}'"):
        simulate(**wrong)


def test_the_benchmark_prints_a_line_for_each_size():
    script = Path(__file__).parents[2] / "benchmarks" / "simulation.py"
    sizes = ["--rows", "2000", "--rows", "8000", "--repeat", "1", "--one-process"]
    output = subprocess.run(
        [sys.executable, script, *sizes], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in output.splitlines() if re.match(r"\| [0-9]", line)]
    counts = [int(line.split("|")[1].replace(",", "")) for line in lines]
    assert counts == [pytest.approx(size, rel=0.25) for size in (2000, 8000)]
