"""Each detector finds its pattern, and leaves alone what only looks like it."""

from __future__ import annotations

import datetime as dt
import json
import re

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics.detection import (
    ANOMALY_DETECTORS,
    FRAUD_DETECTORS,
    AccountTakeover,
    AmountSpike,
    CardTesting,
    DormantCard,
    JustBelowLimit,
    LargePurchase,
    NightSpree,
    RefundAbuse,
    VelocityBurst,
    detect_anomalies,
    detect_patterns,
)
from synfin_analytics.detection.detector import find_bursts
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.simulation import simulate

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
HOME, FAR = (50.85, 4.35), (25.2, 55.3)
IN_PERSON = {"is_online": False, "entry_mode": "chip", "place": HOME}
STRIPE = IN_PERSON | {"entry_mode": "magstripe"}
#: From the customer's phone, and from somebody else's.
ONLINE = {"is_online": True, "entry_mode": "ecommerce", "place": None, "device_id": "D1"}
STRANGE = ONLINE | {"device_id": "D9"}
SCHEMA = {
    "transaction_id": pl.String,
    "customer_id": pl.String,
    "merchant_id": pl.String,
    "amount": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"),
    "card_id": pl.String,
    "device_id": pl.String,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "is_online": pl.Boolean,
    "entry_mode": pl.String,
    "transaction_type": pl.String,
    "status": pl.String,
}


def pay(day: float, amount: float, how: dict | None = None, **more: object) -> dict:
    """A payment so many days after the start: in person at home, unless told otherwise."""
    values = (how or IN_PERSON) | more
    place = values.pop("place") or (None, None)
    return {
        "customer_id": "C1",
        "merchant_id": "M1",
        "amount": amount,
        "timestamp": START + dt.timedelta(days=day),
        "latitude": place[0],
        "longitude": place[1],
        "transaction_type": "purchase",
        "status": "completed",
    } | values


def usual(customer: str = "C1", days: range = range(60), amount: float = 40.0) -> list[dict]:
    """A customer's everyday: at noon in person, each third day from the phone."""
    return [
        pay(day + 0.5, amount, ONLINE if day % 3 == 0 else None, customer_id=customer)
        for day in days
    ]


def table(*rows: dict) -> pl.DataFrame:
    frame = pl.DataFrame(list(rows), schema=SCHEMA, strict=False)
    ids = pl.format("T{}", pl.int_range(pl.len()))
    return frame.with_columns(transaction_id=ids)


def minutes(n: float) -> float:
    return n / 1440


def ring(customers: int = 3, merchants: int = 2, n_each: int = 4, amount: float = 300.0) -> list:
    """Customers who pay merchants in turn about the same amount."""
    return [
        pay(
            10 + customer + 3 * nth + 0.4,
            amount * (1 + 0.02 * (nth - 1)),
            customer_id=f"C{customer + 1}",
            merchant_id=f"S{(customer + nth) % merchants}",
        )
        for customer in range(customers)
        for nth in range(n_each)
    ]


def copied(cards: int = 6) -> list[dict]:
    """Cards that pay at one terminal, and are charged by hand there two days later."""
    return [
        row
        for n in range(cards)
        for row in (
            pay(20 + n / 3, 30, customer_id=f"V{n}", merchant_id="BAD"),
            pay(22 + n / 3, 90, STRIPE, customer_id=f"V{n}", merchant_id="BAD"),
        )
    ]


def crowd(customers: int = 60) -> list[dict]:
    """Customers who pay here and there, none of whom anything happens to."""
    return [
        pay(day + n / 100, 25, customer_id=f"G{n}", merchant_id=f"M{(n + day) % 20}")
        for n in range(customers)
        for day in range(0, 40, 4)
    ]


EVERYDAY = usual()
#: For each pattern: what is found, then what is not, and why.
CASES = {
    "card_testing": (
        [pay(30 + minutes(n), 1.2, STRANGE) for n in range(4)] + [pay(30.1, 400, STRANGE)],
        {
            "too few": [pay(30 + minutes(n), 1.2, STRANGE) for n in range(3)],
            "too slow": [pay(30 + minutes(25 * n), 1.2, STRANGE) for n in range(4)],
            "not tiny": [pay(30 + minutes(n), 6.0, STRANGE) for n in range(4)],
            "own device": [pay(30 + minutes(n), 1.2, ONLINE) for n in range(4)],
            "stored card": [
                pay(30 + minutes(n), 1.2, STRANGE, entry_mode="stored") for n in range(4)
            ],
            "in person": [pay(30 + minutes(n), 1.2) for n in range(4)],
        },
    ),
    "velocity_burst": (
        [pay(30 + minutes(6 * n), 50, merchant_id=f"S{n}") for n in range(6)],
        {
            "too few": [pay(30 + minutes(6 * n), 50) for n in range(5)],
            "too slow": [pay(30 + minutes(13 * n), 50) for n in range(6)],
            "two cards": [pay(30 + minutes(6 * n), 50, card_id=f"K{n % 2}") for n in range(6)],
            "own phone": [pay(30 + minutes(6 * n), 50, device_id="D1") for n in range(6)],
        },
    ),
    "impossible_travel": (
        [pay(31.5 + minutes(40), 90, STRIPE, place=FAR), pay(31.55, 80, STRIPE, place=FAR)],
        {
            "time to fly": [pay(31.9, 90, STRIPE, place=FAR)],
            "near": [pay(31.5 + minutes(1), 90, STRIPE, place=(51.2, 4.4))],
            "online": [pay(31.5 + minutes(40), 90, ONLINE, place=FAR)],
            "chips cannot be copied": [pay(31.5 + minutes(40), 90, place=FAR)],
        },
    ),
    "amount_spike": (
        [pay(30.1, 500, STRANGE)],
        {
            "not enough": [pay(30.1, 390, STRANGE)],
            "own device": [pay(30.1, 500, ONLINE)],
            "chip": [pay(30.1, 500)],
            "not alone": [pay(30.1, 500, STRANGE), pay(30.2, 20, STRANGE)],
        },
    ),
    "compromised_merchant": (
        crowd() + copied(),
        {"too few": crowd() + copied(4), "everywhere": [
            pay(day + hour, 25, STRIPE if hour else None, customer_id=f"G{n}",
                merchant_id=f"M{(n + day) % 20}")
            for n in range(60) for day in range(0, 40, 4) for hour in (0, 0.3)
        ]},
    ),
    "account_takeover": (
        [pay(30 + n, 90, STRANGE, merchant_id=f"S{n}") for n in range(3)],
        {
            "too few": [pay(30 + n, 90, STRANGE) for n in range(2)],
            "small": [pay(30 + n, 40, STRANGE) for n in range(3)],
            "a new phone": [pay(30 + 3 * n, 90, STRANGE) for n in range(4)],
        },
    ),
    "dormant_card": (
        [pay(100 + n / 4, 80) for n in range(3)],
        {
            "not long": [pay(80 + n / 4, 80) for n in range(3)],
            "too few": [pay(100 + n / 4, 80) for n in range(2)],
            "as usual": [pay(100 + n / 4, 40) for n in range(3)],
        },
    ),
    "just_below_limit": (
        [pay(30 + n / 4, 49.9 - n / 10) for n in range(4)],
        {
            "too few": [pay(30 + n / 4, 49.9) for n in range(3)],
            "not near": [pay(30 + n / 4, 47.9) for n in range(4)],
            "the limit itself": [pay(30 + n / 4, 50.0) for n in range(4)],
            "two limits": [pay(30 + n / 4, 49.9 if n % 2 else 99.9) for n in range(4)],
            "too slow": [pay(30 + n, 49.9) for n in range(4)],
        },
    ),
    "night_spree": (
        [pay(30 + n / 24, 90) for n in range(4)],
        {
            "too few": [pay(30 + n / 24, 90) for n in range(3)],
            "by day": [pay(30.4 + n / 24, 90) for n in range(4)],
            "a night out": [pay(30 + n / 24, 20) for n in range(4)],
            "a night worker": [pay(day + 0.1, 10) for day in range(40)]
            + [pay(30 + n / 24, 90) for n in range(4)],
            "noon where it is": [pay(30 + n / 24, 90, place=(35.7, 139.7)) for n in range(4)],
        },
    ),
    "collusion_ring": (
        usual("C1") + usual("C2") + usual("C3") + ring(),
        {
            "two customers": usual("C1") + usual("C2") + ring(customers=2, n_each=6),
            "one merchant": usual("C1") + usual("C2") + usual("C3") + ring(merchants=1),
            "usual amounts": [
                row for n in (1, 2, 3) for row in usual(f"C{n}", amount=250.0)
            ] + ring(),
        },
    ),
    "refund_abuse": (
        [pay(30 + 2 * n, 70, transaction_type="refund", merchant_id="S") for n in range(3)],
        {
            "too few": [
                pay(30 + 2 * n, 70, transaction_type="refund", merchant_id="S") for n in range(2)
            ],
            "bought before": [pay(29, 300, merchant_id="S")]
            + [pay(30 + 2 * n, 70, transaction_type="refund", merchant_id="S") for n in range(3)],
            "too slow": [
                pay(20 + 16 * n, 70, transaction_type="refund", merchant_id="S") for n in range(3)
            ],
        },
    ),
    "holiday_travel": (
        [pay(70 + n, 40, place=FAR) for n in range(3)],
        {
            "an hour": [pay(70 + minutes(20 * n), 40, place=FAR) for n in range(3)],
            "near": [pay(70 + n, 40, place=(51.2, 4.4)) for n in range(3)],
            "home between": [
                pay(70 + n, 40, place=FAR if n % 2 else HOME) for n in range(4)
            ],
        },
    ),
    "large_purchase": (
        [pay(30.1, 500)],
        {
            "not enough": [pay(30.1, 390)],
            "strange device": [pay(30.1, 500, STRANGE)],
            "declined": [pay(30.1, 500, status="declined")],
        },
    ),
}  # fmt: skip


def detected_ids(kind: str, rows: list[dict]) -> set[str]:
    """Transactions of all patterns of one kind."""
    detect = detect_patterns if kind in FRAUD_DETECTORS else detect_anomalies
    return set(detect(table(*EVERYDAY, *rows), kind).transactions("polars")["transaction_id"])


def test_every_pattern_is_tried_here():
    assert set(CASES) == {*FRAUD_DETECTORS, *ANOMALY_DETECTORS}
    assert len(FRAUD_DETECTORS) == 11


@pytest.mark.parametrize("kind", CASES)
def test_a_pattern_is_found(kind):
    rows = CASES[kind][0]
    n_everyday = len(EVERYDAY)
    if kind == "collusion_ring":
        expected = range(n_everyday + 3 * len(usual()), n_everyday + len(rows))
    elif kind == "compromised_merchant":
        expected = range(n_everyday + len(crowd()) + 1, n_everyday + len(rows), 2)
    else:
        expected = range(n_everyday, n_everyday + len(rows))
    assert detected_ids(kind, rows) == {f"T{n}" for n in expected}


@pytest.mark.parametrize(
    ("kind", "why"), [(kind, why) for kind, (_, exceptions) in CASES.items() for why in exceptions]
)
def test_what_only_looks_like_it_is_left_alone(kind, why):
    assert detected_ids(kind, CASES[kind][1][why]) == set()


# -- From the transactions alone -------------------------------------------------------------------

LABELS = (
    "is_fraud", "fraud_type", "fraud_reason", "fraud_score", "label_available_at", "is_anomaly",
    "anomaly_type", "anomaly_score", "merchant_risk_score", "customer_risk_score",
)  # fmt: skip


@pytest.fixture(scope="module")
def transactions():
    return simulate(300, 120, 90, 7, fraud_rate=0.02, output="polars").transactions


@pytest.fixture(scope="module")
def detected(transactions):
    return detect_patterns(transactions)


@pytest.mark.parametrize("detect", [detect_patterns, detect_anomalies])
def test_labels_change_nothing(transactions, detect):
    present = [name for name in LABELS if name in transactions.columns]
    assert "is_fraud" in present
    expected = detect(transactions)
    assert len(expected) > 20
    for changed in (
        transactions.drop(present),
        transactions.with_columns(pl.col(present).shuffle(seed=1)),
        transactions.with_columns(pl.lit(None).alias(name) for name in present),
    ):
        assert_frame_equal(detect(changed).to_frame("polars"), expected.to_frame("polars"))


def test_the_order_of_the_rows_changes_nothing(transactions, detected):
    shuffled = detect_patterns(transactions.sample(fraction=1, shuffle=True, seed=3))
    assert_frame_equal(shuffled.to_frame("polars"), detected.to_frame("polars"))


def test_most_of_a_simulations_fraud_is_found(transactions, detected):
    links = detected.transactions("polars")
    assert set(links["pattern_type"]) == set(transactions["fraud_type"].drop_nulls())
    fraud = transactions.filter("is_fraud")["transaction_id"]
    assert fraud.is_in(links["transaction_id"].implode()).mean() > 0.7
    assert links["transaction_id"].is_in(fraud.implode()).mean() > 0.7


@pytest.mark.parametrize(
    "engine",
    [
        lambda frame: frame.to_pandas(),
        lambda frame: frame.to_arrow(),
        lambda frame: frame.lazy(),
        lambda frame: duckdb.from_arrow(frame.to_arrow()),
    ],
    ids=["pandas", "arrow", "lazy", "duckdb"],
)
def test_any_engine_gives_the_same(transactions, detected, engine):
    expected = detect_patterns(transactions.head(5000))
    assert_frame_equal(
        detect_patterns(engine(transactions.head(5000))).to_frame("polars"),
        expected.to_frame("polars"),
    )


# -- The result ------------------------------------------------------------------------------------


def test_a_pattern_names_its_customers_and_transactions():
    patterns = detect_patterns(table(*EVERYDAY, *CASES["card_testing"][0]), "card_testing")
    row = patterns.to_frame("polars").row(0, named=True)
    characteristics = json.loads(row.pop("characteristics"))
    assert row == {
        "pattern_type": "card_testing",
        "name": "Card testing",
        "description": "4 tiny payments in quick succession, then 400.00; total 404.80.",
        "severity": "medium",
        "detection_count": 5,
        "first_detected": START + dt.timedelta(days=30),
        "last_detected": START + dt.timedelta(days=30.1),
        "confidence_score": 0.75,
    }
    assert characteristics["subject_type"] == "customers"
    assert characteristics["customers"] == ["C1"]
    assert characteristics["merchants"] == ["M1"]
    assert characteristics["transactions"] == ["T60", "T61", "T62", "T63", "T64"]
    assert characteristics["figures"] == {
        "payments": 5, "amount": 404.8, "tiny_payments": 4, "large_amount": 400.0,
    }  # fmt: skip
    assert characteristics["thresholds"]["window"] == "1.0 hour"


def test_links_count_up_to_the_patterns(detected):
    patterns, links = detected.to_frame(), detected.transactions()
    counts = links.groupby("pattern").size()
    assert counts.tolist() == patterns["detection_count"].tolist()
    kinds = links.groupby("pattern")["pattern_type"].first().tolist()
    assert kinds == patterns["pattern_type"].tolist()
    named = [json.loads(text)["transactions"] for text in patterns["characteristics"]]
    assert links.groupby("pattern")["transaction_id"].apply(list).tolist() == named


def test_scores_and_words_are_those_of_the_table(detected):
    patterns = detected.to_frame("polars")
    assert patterns["confidence_score"].is_between(0.4, 1).all()
    assert set(patterns["severity"]) <= {"low", "medium", "high", "critical"}
    assert (patterns["first_detected"] <= patterns["last_detected"]).all()
    assert patterns["description"].str.contains(r"; total [0-9,]+\.[0-9]{2}\.$").all()


def test_anomalies_are_never_severe(transactions):
    assert set(detect_anomalies(transactions).to_frame("polars")["severity"]) == {"low"}


def test_it_shows_itself(detected):
    assert repr(detected).startswith(f"DetectedPatterns({len(detected):,} patterns in ")
    assert "card_testing" in repr(detected)
    page = detected._repr_html_()
    assert "<table " in page
    assert "Card testing" in page
    assert "C0" not in page  # whom it is about stands in the characteristics only


def test_the_summary_has_a_row_for_each_that_looked(transactions):
    summary = detect_patterns(transactions.head(50)).summary("polars")
    assert summary["pattern_type"].to_list() == list(FRAUD_DETECTORS)
    assert summary["patterns"].to_list() == [0] * 11


# -- What is not there -----------------------------------------------------------------------------


def test_without_optional_columns_the_others_still_look(transactions):
    required_only = transactions.select(
        "transaction_id", "customer_id", "merchant_id", "amount", "timestamp"
    )
    patterns = detect_patterns(required_only)
    assert patterns.skipped == {
        "impossible_travel": "the transactions have no latitude and longitude",
        "compromised_merchant": "the transactions have no entry_mode",
        "account_takeover": "the transactions have no device_id",
        "refund_abuse": "the transactions have no transaction_type",
    }
    assert "skipped: impossible_travel" in repr(patterns)
    assert "Skipped: refund_abuse" in patterns._repr_html_()
    assert {"card_testing", "just_below_limit"} <= set(patterns.to_frame()["pattern_type"])
    assert set(detect_anomalies(required_only).skipped) == {"holiday_travel"}


def test_a_column_of_nothing_is_no_column(transactions):
    patterns = detect_patterns(transactions.with_columns(pl.lit(None).alias("device_id")))
    assert set(patterns.skipped) == {"account_takeover"}


@pytest.mark.parametrize("detect", [detect_patterns, detect_anomalies])
def test_after_amounts_of_0_alone_nothing_is_a_multiple_of_the_usual(detect):
    """A card that was only verified, with 0.00, and then used: no amount is infinitely unusual."""
    verified = [pay(day, 0.0) for day in range(11)]
    patterns = detect(table(*verified, pay(12, 5.0)))
    assert patterns.to_frame("polars")["pattern_type"].to_list() == []


def test_a_silence_is_one_only_for_a_customer_who_pays_more_often():
    """31 days without a payment are no news of a card that is used every 20 days."""
    rare = [pay(20.0 * n, 40) for n in range(10)]
    woken = [pay(180 + 31 + n / 4, 80) for n in range(3)]
    rows = table(*rare, *woken)
    assert len(detect_patterns(rows, "dormant_card")) == 0
    assert len(detect_patterns(rows, DormantCard(gap_factor=1.5))) == 1


#: Rows whose figures are exactly those of a threshold, which belong to the pattern.
ON_THE_THRESHOLD = {
    "tiny": (CardTesting(), [pay(30 + minutes(n), 5.0, STRANGE) for n in range(4)]),
    "silence": (DormantCard(), [pay(89.5 + n / 4, 80) for n in range(3)]),
    "usual of the silent": (
        DormantCard(amount_ratio=1.9), [pay(100 + n / 4, 80) for n in range(3)]
    ),
    "spike": (AmountSpike(), [pay(30.1, 400, STRANGE)]),
    "history of a spike": (AmountSpike(min_history=61), [pay(30.1, 500, STRANGE)]),
    "usual of the account": (
        AccountTakeover(amount_ratio=2.2), [pay(30 + n, 90, STRANGE) for n in range(3)]
    ),
    "usual of the night": (NightSpree(amount_ratio=2.1), [pay(30 + n / 24, 90) for n in range(4)]),
    "share of nights": (
        NightSpree(max_night_share=0.25),
        [pay(day + 0.1, 10) for day in range(20)] + [pay(30 + n / 24, 90) for n in range(4)],
    ),
    "below a limit": (JustBelowLimit(margin=0.5), [pay(30 + n / 4, 25.0) for n in range(4)]),
    "large purchase": (LargePurchase(), [pay(30.1, 400)]),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_THE_THRESHOLD)
def test_what_is_exactly_on_a_threshold_belongs_to_the_pattern(name):
    detector, rows = ON_THE_THRESHOLD[name]
    detect = detect_patterns if detector.name in FRAUD_DETECTORS else detect_anomalies
    assert len(detect(table(*EVERYDAY, *rows), detector)) == 1


#: Rows just beyond a threshold that does not belong to the pattern.
BEYOND = {
    "not tiny any more": (VelocityBurst(), [pay(30 + minutes(6 * n), 5.0) for n in range(6)]),
    "refunds are no payments": (
        VelocityBurst(),
        [pay(30 + minutes(6 * n), 50, transaction_type="refund") for n in range(6)],
    ),
    "the end of the night": (NightSpree(), [pay(30.25 + n / 24, 90) for n in range(4)]),
    "as much as was bought": (
        RefundAbuse(),
        [pay(29, 210, merchant_id="S")]
        + [pay(30 + n, 70, transaction_type="refund", merchant_id="S") for n in range(3)],
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_beyond_a_threshold_is_left_alone(name):
    detector, rows = BEYOND[name]
    assert len(detect_patterns(table(*EVERYDAY, *rows), detector)) == 0


def test_only_large_payments_made_in_the_same_way_soon_after_the_tests_go_with_them():
    tests = [pay(30 + minutes(n), 1.2, STRANGE) for n in range(4)]
    excluded = [
        pay(29.9, 400, STRANGE),  # before
        pay(30.1, 400),  # in person
        pay(30.1, 60, STRANGE),  # not large
        pay(30.4, 400, STRANGE),  # later than 6 hours
    ]
    large = pay(30.1, 120, STRANGE)  # more than twice the mean of all others
    rows = table(*usual(amount=30), *tests, *excluded, large)
    found_ids = set(detect_patterns(rows, "card_testing").transactions()["transaction_id"])
    places = [*range(60, 64), len(rows) - 1]
    assert found_ids == {f"T{place}" for place in places}


def test_a_terminal_is_judged_by_the_window_of_the_strongest_evidence():
    """It ends with a visit that no misuse follows, and leaves out a crowd of 14 days before."""
    crowd_before = [
        pay(10 + n / 1000, 25, customer_id=f"G{n}", merchant_id="BAD") for n in range(60)
    ]
    visit_after = pay(24.9, 25, customer_id="G1", merchant_id="BAD")
    rows = table(*EVERYDAY, *crowd(), *crowd_before, *copied(), visit_after)
    (pattern,) = detect_patterns(rows, "compromised_merchant").to_dict()["patterns"]
    figures = pattern["characteristics"]["figures"]
    assert (figures["cards"], figures["expected_cards"]) == (6, 0.06)


def test_a_place_that_is_not_known_is_no_jump():
    unknown = [pay(31.5 + minutes(40), 90, STRIPE, place=None)]
    assert detected_ids("impossible_travel", unknown) == set()
    assert detected_ids("holiday_travel", [pay(70 + n, 40, place=None) for n in range(3)]) == set()


def test_no_transactions_have_no_patterns():
    for detect in (detect_patterns, detect_anomalies):
        patterns = detect(table())
        assert (len(patterns), len(patterns.transactions())) == (0, 0)
        assert patterns.to_frame("polars").schema["first_detected"] == pl.Datetime("us", "UTC")


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([row for case in CASES.values() for row in case[0]]), max_size=9),
    st.sampled_from([None, 0.0, 0.001]),
    st.sampled_from(["completed", "declined"]),
)
def test_any_rows_are_looked_through(rows, amount, status):
    """Episodes of amounts of 0, or of declined payments alone, have finite figures too."""
    changed = {"status": status} | ({} if amount is None else {"amount": amount})
    given_rows = table(*(row | changed for row in rows))
    for detect in (detect_patterns, detect_anomalies):
        patterns = detect(given_rows)
        assert not re.search(
            "NaN|Infinity", "".join(patterns.to_frame("polars")["characteristics"])
        )
        assert set(patterns.transactions("polars")["transaction_id"]) <= set(
            given_rows["transaction_id"]
        )


# -- What is asked for -----------------------------------------------------------------------------


def test_thresholds_can_be_others():
    tests = CASES["card_testing"][1]["too few"]
    rows = table(*EVERYDAY, *tests)
    assert len(detect_patterns(rows, CardTesting(min_count=3))) == 1
    assert len(detect_patterns(rows, [CardTesting(min_count=3), "velocity_burst"])) == 1
    detected = detect_patterns(
        table(*[pay(n / 8, 29.5) for n in range(4)]), JustBelowLimit((30.0,))
    )
    assert json.loads(detected.to_frame()["characteristics"][0])["thresholds"]["limits"] == [30.0]


@pytest.mark.parametrize(
    ("patterns", "error", "words"),
    [
        ("card_test", NotFoundError, "pattern 'card_test'.*'card_testing'"),
        ("holiday_travel", NotFoundError, "no pattern 'holiday_travel'"),
        (
            ["refund_abuse"] * 2,
            ArgumentError,
            "each pattern once; got 'refund_abuse' twice",
        ),
        (5, ArgumentError, "must be names or detectors of card_testing, .* got 5"),
        (
            [CardTesting],
            ArgumentError,
            "must be names or detectors of card_testing, .* got an object of type",
        ),
    ],
)
def test_unknown_patterns_are_reported(patterns, error, words):
    with pytest.raises(error, match=words):
        detect_patterns(table(*EVERYDAY), patterns)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VelocityBurst(min_count=0),
        lambda: AmountSpike(amount_ratio=float("nan")),
        lambda: CardTesting(window=dt.timedelta(0)),
        lambda: JustBelowLimit(limits=(50.0, -1.0)),
    ],
)
def test_thresholds_are_above_nothing(wrong):
    with pytest.raises(
        ArgumentError, match=r"^\w+: `(min_count|amount_ratio|window|limits)` must be greater"
    ):
        wrong()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda rows: rows.drop("timestamp"), NotFoundError, "column 'timestamp'"),
        (
            lambda rows: rows.with_columns(timestamp=pl.lit(None, rows.schema["timestamp"])),
            ArgumentError,
            "timestamp: is required but missing",
        ),
        (lambda rows: pl.concat([rows, rows.head(2)]), ArgumentError, "repeats the key .* 2 rows"),
        (lambda _: 7, ArgumentError, "The data of detect_patterns must be a DataFrame"),
    ],
)
def test_transactions_that_cannot_be_used_are_reported(change, error, words):
    with pytest.raises(error, match=words):
        detect_patterns(change(table(*EVERYDAY)))


# -- Bursts ----------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.booleans()), max_size=25),
    st.integers(0, 8),
    st.integers(1, 4),
)
def test_a_burst_is_windows_that_share_a_row(rows, length, least):
    rows = sorted(rows, key=lambda row: row[1])
    keys, timestamps, among = (
        (pl.Series(values).to_numpy() for values in zip(*rows, strict=True))
        if (rows)
        else (pl.Series([], dtype=pl.Int64).to_numpy(),) * 2
        + (pl.Series([], dtype=pl.Boolean).to_numpy(),)
    )
    windows = []
    for end, (key, moment, counts) in enumerate(rows):
        window = {
            n
            for n in range(end + 1)
            if rows[n][2] and rows[n][0] == key and rows[n][1] >= moment - length
        }
        if counts and len(window) >= least:
            windows.append(window)
    groups: list[set[int]] = []
    for window in windows:
        joined = [group for group in groups if group & window]
        groups = [group for group in groups if not group & window] + [window.union(*joined)]
    numbers = find_bursts(keys, timestamps, among, length, least)
    numbered = {}
    for n, number in enumerate(numbers.tolist()):
        if number >= 0:
            numbered.setdefault(number, set()).add(n)
    assert sorted(map(sorted, numbered.values())) == sorted(map(sorted, groups))
