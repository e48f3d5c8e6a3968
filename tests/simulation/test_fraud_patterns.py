"""Each fraud pattern does what its name says, within its parameters."""

import dataclasses
import datetime as dt
import inspect
import re
from pathlib import Path

import polars as pl
import pytest

from synfin_analytics._core.arithmetic import great_circle_km
from synfin_analytics.simulation import ANOMALIES, PATTERNS, CardTesting, simulate

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
PARAMETERS = {name: pattern() for name, pattern in PATTERNS.items()}
DOCS = Path(__file__).parents[2] / "docs" / "guide" / "simulation.md"
MOMENT = pl.col("timestamp")


@pytest.fixture(scope="module")
def world():
    return simulate(
        customers=900, merchants=300, days=150, seed=5, fraud_rate=0.02, output="polars"
    )


@pytest.fixture(scope="module")
def payments(world):
    genuine = pl.col("amount").filter(~pl.col("is_fraud"))
    return world.transactions.with_columns(usual=genuine.mean().over("customer_id"))


@pytest.fixture
def frauds_of(payments):
    """The frauds of a pattern; frauds that the bank learns of at the same time are an episode."""

    def frauds(name):
        selected = payments.filter(fraud_type=name).with_columns(episode="label_available_at")
        assert selected["episode"].n_unique() > 5
        return selected

    return frauds


def episodes(frauds, **columns):
    return frauds.group_by("episode", maintain_order=True).agg(
        pl.len(),
        pl.col("customer_id", "card_id", "device_id", "merchant_id").n_unique(),
        (MOMENT.max() - MOMENT.min()).alias("lasts"),
        **columns,
    )


# -- All patterns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - {"compromised_merchant"}))
def test_the_size_of_an_episode_is_within_its_range(frauds_of, name):
    least, largest = PARAMETERS[name].payments
    sizes = episodes(frauds_of(name))["len"]
    assert sizes.max() <= largest
    assert (sizes < least).sum() == 0
    assert (sizes == least).any() or sizes.min() <= least + 2


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_labels_become_available_after_the_label_delay(frauds_of, name):
    least, mean = PARAMETERS[name].label_delay_min, PARAMETERS[name].label_delay_mean
    frauds = frauds_of(name)
    if name != "compromised_merchant":
        frauds = frauds.with_columns(timestamp=MOMENT.max().over("episode"))
    days = frauds.group_by("episode").agg(MOMENT.last(), pl.len()).select(
        (pl.col("episode") - MOMENT) / DAY
    )["episode"]  # fmt: skip
    assert days.min() >= least
    assert days.mean() - least == pytest.approx(mean - least, rel=0.5)


def test_each_fraud_has_a_reason_of_its_pattern(payments):
    for name, reasons in payments.filter("is_fraud").group_by("fraud_type").agg(
        pl.col("fraud_reason").unique()
    ).iter_rows():  # fmt: skip
        assert set(reasons) == set(PARAMETERS[name].reasons)


def test_the_decline_rate_is_that_of_the_pattern(frauds_of):
    for name in ("card_testing", "amount_spike"):
        declined = (frauds_of(name)["status"] == "declined").mean()
        assert declined == pytest.approx(PARAMETERS[name].decline_rate, abs=0.08)


def test_weights_determine_the_share_of_each_pattern(payments):
    frauds = payments.filter("is_fraud")
    total = sum(pattern.weight for pattern in PARAMETERS.values())
    for name, count in frauds.group_by("fraud_type").len().iter_rows():
        assert count / len(frauds) == pytest.approx(PARAMETERS[name].weight / total, abs=0.015)


# -- Each pattern ----------------------------------------------------------------------------------


def test_card_testing_makes_tiny_payments_then_a_large_payment(frauds_of):
    frauds = frauds_of("card_testing")
    tiny, large = frauds.filter(pl.col("amount") <= 3), frauds.filter(pl.col("amount") > 3)
    assert tiny["amount"].min() >= 0.5
    assert large["amount"].is_between(120, 900).all()
    assert len(large) == frauds["episode"].n_unique()
    after = large.join(episodes(tiny, last=MOMENT.max()), on="episode")
    gap = (after["timestamp"] - after["last"]) / HOUR
    assert gap.is_between(5 / 60, 3.1).all()
    by_episode = episodes(tiny)
    assert (by_episode["merchant_id"] == 1).all()
    assert (by_episode["device_id"] == 1).all()
    assert (by_episode["lasts"] <= by_episode["len"] * dt.timedelta(seconds=150)).all()
    assert frauds["is_online"].all()


def test_velocity_bursts_are_fast_and_near_home(frauds_of):
    frauds = frauds_of("velocity_burst")
    by_episode = episodes(frauds)
    assert (by_episode["lasts"] <= dt.timedelta(minutes=100)).all()
    assert (by_episode["card_id"] == 1).all()
    assert (by_episode["merchant_id"] >= 3).mean() > 0.9
    assert (frauds["distance_from_home"] < 30).all()
    assert frauds["hour_of_day"].is_between(9, 21).all()


def test_impossible_travel_is_faster_than_any_plane(payments, frauds_of):
    frauds = frauds_of("impossible_travel")
    assert frauds["card_present"].all()
    first = frauds.group_by("episode").agg(pl.all().sort_by("timestamp").first())
    in_person = payments.filter("card_present", ~pl.col("is_fraud"))
    places = ("latitude", "longitude")
    before = first.sort("timestamp").join_asof(
        in_person.sort("timestamp").select("card_id", "timestamp", *places, at="timestamp"),
        on="timestamp", by="card_id", suffix="_before", allow_exact_matches=False,
        check_sortedness=False,
    )  # fmt: skip
    km = great_circle_km(*(before[name] for name in (*places, *(f"{p}_before" for p in places))))
    hours = ((before["timestamp"] - before["at"]) / HOUR).to_numpy()
    assert km.min() > 450
    assert (km / hours).min() > 1000


def test_an_amount_spike_is_a_single_payment_of_many_times_the_usual_amount(frauds_of):
    frauds = frauds_of("amount_spike")
    times = frauds["amount"] / frauds["usual"]
    assert times.is_between(8, 40).mean() > 0.95
    assert (episodes(frauds)["len"] == 1).all()
    assert frauds["is_online"].mean() == pytest.approx(0.65, abs=0.12)


def test_cards_used_at_a_compromised_terminal_are_used_again(payments, frauds_of):
    frauds = frauds_of("compromised_merchant")
    at_terminal = frauds.filter(pl.col("fraud_reason").str.contains("charged there"))
    assert len(at_terminal) / len(frauds) == pytest.approx(0.6, abs=0.08)
    terminal = ("card_id", "terminal_id")
    copied = at_terminal.join(payments.filter(~pl.col("is_fraud")), on=terminal, suffix="_copied")
    after = (copied["timestamp"] - copied["timestamp_copied"]) / HOUR
    seen = copied.filter(after.is_between(1, 106))["transaction_id"].n_unique()
    assert seen == len(at_terminal)
    hit = at_terminal.group_by("terminal_id").agg(pl.len(), pl.col("customer_id").n_unique())
    assert hit.filter(pl.col("len") >= 5)["customer_id"].min() >= 3


def test_an_account_takeover_uses_a_new_device(payments, frauds_of):
    frauds = frauds_of("account_takeover")
    known_devices = payments.filter(pl.col("fraud_type").is_null())["device_id"].drop_nulls()
    assert not frauds["device_id"].is_in(known_devices.unique().implode()).any()
    by_episode = episodes(frauds)
    assert (by_episode["device_id"] == 1).all()
    assert (by_episode["lasts"] <= dt.timedelta(hours=72)).all()
    assert frauds["channel"].is_in(["online", "mobile"]).all()
    online = payments.filter(~pl.col("is_fraud")).group_by("customer_id").agg(
        pl.col("is_online").mean().alias("online")
    )  # fmt: skip
    victims = online.join(frauds, on="customer_id", how="semi")
    assert victims["online"].mean() < 0.8 * online["online"].mean()


def test_a_dormant_card_is_unused_before_the_fraud(frauds_of):
    first = frauds_of("dormant_card").group_by("episode").agg(pl.all().sort_by("timestamp").first())
    silent = first["time_since_last_transaction"] / 86_400
    assert silent.min() >= 40  # a third of the period is longer
    assert silent.max() > 50


def test_amounts_stay_just_below_a_limit(frauds_of):
    frauds = frauds_of("just_below_limit").with_columns(
        limit=pl.col("amount").map_elements(
            lambda amount: min(limit for limit in (50, 100, 250, 500) if limit > amount), pl.Int64
        )
    )
    below = 1 - frauds["amount"] / frauds["limit"]
    assert below.is_between(0.0009, 0.031).all()
    assert (episodes(frauds, limits=pl.col("limit").n_unique())["limits"] == 1).all()


def test_a_night_spree_is_at_night(frauds_of):
    frauds = frauds_of("night_spree")
    assert (frauds["hour_of_day"] < 5).all()
    assert (episodes(frauds)["lasts"] <= 5 * HOUR).all()
    assert (frauds.filter(channel="atm")["amount"] % 20 == 0).all()


def test_a_collusion_ring_passes_money_on_for_weeks(frauds_of):
    frauds = frauds_of("collusion_ring")
    spread = pl.col("amount").max() / pl.col("amount").min()
    by_episode = episodes(frauds, spread=spread)
    assert by_episode["customer_id"].is_between(3, 6).all()
    assert by_episode["merchant_id"].is_between(1, 3).all()
    assert (by_episode["lasts"] > 5 * DAY).all()
    assert (by_episode["lasts"] < 37 * DAY).all()
    assert (by_episode["spread"] < 1.12 / 0.88 + 0.01).all()


def test_refund_abuse_refunds_purchases_that_do_not_exist(payments, frauds_of):
    frauds = frauds_of("refund_abuse")
    assert set(frauds["transaction_type"]) == {"refund"}
    by_episode = episodes(frauds)
    assert (by_episode["merchant_id"] == 1).all()
    assert (by_episode["customer_id"] == 1).all()
    bought = payments.filter(transaction_type="purchase")
    refunds = frauds.join(bought, on=["card_id", "merchant_id", "amount"], how="semi")
    assert len(refunds) <= 1


# -- Parameters ------------------------------------------------------------------------------------


def test_parameters_change_the_payments_of_a_pattern():
    tests = {"amount": (1.0, 1.5), "payments": (4, 4), "gap_seconds": (5.0, 6.0)}
    by_mapping, by_object = (
        simulate(200, 100, 60, 1, patterns=patterns, output="polars").transactions
        for patterns in ({"card_testing": tests}, [CardTesting(**tests)])
    )
    assert by_mapping.equals(by_object)
    frauds = by_mapping.filter("is_fraud")
    assert len(frauds) % 4 == 0
    assert frauds.filter(pl.col("amount") < 100)["amount"].is_between(1, 1.5).all()


def test_a_weight_of_zero_excludes_a_pattern():
    patterns = {"night_spree": {"weight": 0.0}, "amount_spike": {}}
    frauds = simulate(200, 100, 60, 1, patterns=patterns, output="polars").transactions
    assert set(frauds["fraud_type"].drop_nulls()) == {"amount_spike"}


def test_a_world_without_distant_merchants_has_no_impossible_travel():
    payments = simulate(30, 3, 60, 1, patterns=["impossible_travel"], output="polars").transactions
    assert not payments["is_fraud"].any()


@pytest.mark.parametrize(
    "pattern", [*PATTERNS.values(), *ANOMALIES.values()], ids=lambda pattern: pattern.name
)
def test_the_page_lists_each_parameter_with_its_default(pattern):
    page = DOCS.read_text(encoding="utf-8")
    section = re.search(rf"^### {pattern.name}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    assert section
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section[1], re.MULTILINE))
    fields = dataclasses.fields(pattern)
    assert {name: value.strip() for name, value in documented.items()} == {
        field.name: str(field.default).strip("()").replace(", ", " to ")
        if isinstance(field.default, tuple) and len(field.default) == 2
        else str(field.default).strip("()")
        for field in fields
    }
    for reason in getattr(pattern, "reasons", ()):
        assert reason in " ".join(section[1].split())
    assert inspect.getdoc(pattern)
