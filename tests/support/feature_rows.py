"""Varied transactions to compute features of, with their customers and merchants."""

from __future__ import annotations

import datetime as dt

import polars as pl
from hypothesis import strategies as st

from synfin_analytics import engineer_features, simulate

START = dt.datetime(2026, 2, 27, 22, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
#: Moments that lie just in windows, at their ends and just outside; some of them the same.
MOMENTS = [
    *(minutes * MINUTE for minutes in (0, 0, 1, 5, 10, 11, 30, 60, 61, 360, 361)),
    *(days * DAY for days in (1, 2, 3, 7, 8, 14, 30, 31, 37, 38)),
    DAY + MINUTE,
    7 * DAY + 3 * HOUR,
    30 * DAY + MINUTE,
]
PLACES = [(50.85, 4.35), (50.86, 4.36), (51.22, 4.40), (40.71, -74.01), (-17.7, 179.9)]
TYPES = {
    "transaction_id": pl.String,
    "customer_id": pl.String,
    "merchant_id": pl.String,
    "amount": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"),
    "is_fraud": pl.Boolean,
    "label_available_at": pl.Datetime("us", "UTC"),
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "is_online": pl.Boolean,
    "country": pl.String,
    "device_id": pl.String,
    "merchant_category": pl.String,
    "is_holiday": pl.Boolean,
    "distance_from_home": pl.Float64,
    "distance_from_last": pl.Float64,
}
CUSTOMERS = {
    "a": {"account_created": START - 100 * DAY, "latitude": 50.85, "longitude": 4.35},
    "b": {"account_created": None, "latitude": None, "longitude": 4.35},
}
MERCHANTS = {"m": {"category": "fuel"}, "n": {"category": None}, "o": {"category": "travel"}}


@st.composite
def transactions(draw):
    """Rows of few customers, many of them alike; sometimes enough of one to have habits."""
    size = draw(st.sampled_from([0, 1, 3, 6, 14, 26]))
    ids = draw(st.permutations([str(number) for number in range(95, 95 + size)]))
    cells = {
        "customer_id": st.sampled_from("aaaab"),
        "merchant_id": st.sampled_from("mmno"),
        "amount": st.sampled_from([0.0, 0.01, 10.0, 10.0, 20.0, 99.99, 1e9 + 0.01, 9.951, 0.1]),
        "timestamp": st.sampled_from(MOMENTS).map(START.__add__),
        "is_fraud": st.sampled_from([None, False, False, True]),
        "label_available_at": st.none() | st.sampled_from(MOMENTS).map(START.__add__),
        "place": st.sampled_from([(None, None), (None, 4.35), *PLACES]),
        "is_online": st.sampled_from([None, False, False, True]),
        "country": st.sampled_from([None, "BE", "BE", "US"]),
        "device_id": st.sampled_from([None, "d1", "d2"]),
        "merchant_category": st.sampled_from([None, "fuel", "fuel", "grocery"]),
        "is_holiday": st.sampled_from([None, False, True]),
        "distance_from_home": st.sampled_from([None, None, 0.0, 12.5]),
        "distance_from_last": st.sampled_from([None, None, 0.0, 7.25]),
    }
    columns = {
        name: draw(st.lists(row, min_size=size, max_size=size)) for name, row in cells.items()
    }
    latitude, longitude = zip(*columns.pop("place"), strict=True) if size else ((), ())
    columns |= {"transaction_id": ids, "latitude": latitude, "longitude": longitude}
    return pl.DataFrame({name: columns[name] for name in TYPES}, schema=TYPES)


def table(rows_of, key):
    return pl.DataFrame(
        [{key: name, **row} for name, row in rows_of.items()], infer_schema_length=None
    )


def engineered(frame, **options):
    customers, merchants = table(CUSTOMERS, "customer_id"), table(MERCHANTS, "merchant_id")
    return engineer_features(frame, customers, merchants, **options)


def world():
    return simulate(customers=25, merchants=10, days=25, seed=3, output="polars")
