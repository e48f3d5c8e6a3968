"""A small, seeded world of card payments: customers, merchants, transactions, and some fraud.

Nobody in it exists. It has a daily and a weekly rhythm, categories with prices of their own, and
three kinds of fraud that one can look for:

- ``card_testing``: a burst of tiny online payments, then a large one;
- ``account_takeover``: for some days, payments online of several times the usual amount;
- ``compromised_merchant``: for two weeks, cards that were used at a merchant are copied.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.frames.convert import Frame, check_frame, to_frame

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

#: Category: merchant category code, share of the merchants, median price, whether it sells online.
_CATEGORIES = {
    "grocery": ("5411", 0.28, 24.0, False),
    "restaurant": ("5812", 0.24, 18.0, False),
    "fuel": ("5541", 0.10, 45.0, False),
    "clothing": ("5651", 0.10, 40.0, False),
    "web shop": ("5969", 0.14, 35.0, True),
    "electronics": ("5732", 0.05, 120.0, True),
    "travel": ("4722", 0.04, 180.0, True),
    "cash machine": ("6011", 0.05, 60.0, False),
}
_CITIES = [
    ("Brussels", "BE", 50.85, 4.35), ("Antwerp", "BE", 51.22, 4.40), ("Ghent", "BE", 51.05, 3.72),
    ("Liège", "BE", 50.63, 5.57), ("Lille", "FR", 50.63, 3.06), ("Cologne", "DE", 50.94, 6.96),
]  # fmt: skip
#: Weight of each hour (UTC) and of each weekday from Monday.
_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 11, 13, 12, 9, 9, 10, 12, 12, 10, 7, 5, 3, 2.0])
_WEEKDAYS = np.array([0.95, 0.95, 1.0, 1.05, 1.2, 1.15, 0.7])
#: Each kind of fraud is at most this share of the transactions.
_MOST_OF_A_KIND = 0.0025
_DAY = 86_400_000_000  # microseconds


class Simulation(NamedTuple):
    """Three frames that :func:`synfin_analytics.load_df` takes as they are, in this order."""

    customers: Any
    merchants: Any
    transactions: Any


def simulate(
    customers: int = 500,
    merchants: int = 200,
    days: int = 90,
    seed: int = 0,
    *,
    start: dt.date = dt.date(2025, 1, 1),
    frame: Frame = "pandas",
) -> Simulation:
    """Simulate card payments; the same seed gives the same payments.

    Parameters
    ----------
    customers, merchants
        How many there are.
    days
        How long they are watched; a customer pays about once a day.
    seed
        Of the random numbers.
    start
        The first day (UTC).
    frame
        ``"pandas"``, ``"polars"`` or ``"arrow"``.

    Returns
    -------
    Simulation
        ``customers``, ``merchants`` and ``transactions``; of the latter less than 1 % are fraud.

    Examples
    --------
    >>> world = simulate(customers=50, merchants=20, days=30, seed=1, frame="polars")
    >>> len(world.customers), len(world.merchants)
    (50, 20)
    >>> world.transactions["is_fraud"].mean() < 0.01
    True
    """
    check_frame(frame)
    for name, value in (("customers", customers), ("merchants", merchants), ("days", days)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name} is a whole number, at least 1; got {value!r}.")
    rng = np.random.default_rng(seed)
    first = int(dt.datetime.combine(start, dt.time(), dt.UTC).timestamp()) * 1_000_000
    payers = _customers(rng, customers, start)
    shops = _merchants(rng, merchants)
    payments = _genuine(rng, payers, shops, first, days)
    payments = _with_fraud(rng, payments, shops, first, days)
    return Simulation(
        _as(payers.drop("per_day", "level"), frame),
        _as(shops.drop("price", "online", "popularity"), frame),
        _as(_described(rng, payments, payers, shops), frame),
    )


def _customers(rng: Generator, n: int, start: dt.date) -> pl.DataFrame:
    place = rng.choice(len(_CITIES), n, p=[0.3, 0.25, 0.2, 0.15, 0.05, 0.05])
    cities = [_CITIES[one] for one in place]
    born = rng.integers(18, 90, n)
    opened = np.datetime64(start, "us") - rng.integers(30, 5000, n) * np.timedelta64(1, "D")
    return pl.DataFrame(
        {
            "customer_id": [f"C{number:06d}" for number in range(1, n + 1)],
            "age": born.astype(np.int16),
            "gender": rng.choice(["female", "male"], n),
            "income_level": rng.choice(["low", "medium", "high"], n, p=[0.3, 0.5, 0.2]),
            "city": [city[0] for city in cities],
            "country": [city[1] for city in cities],
            "latitude": np.round([city[2] for city in cities] + rng.normal(0, 0.05, n), 4),
            "longitude": np.round([city[3] for city in cities] + rng.normal(0, 0.05, n), 4),
            "account_created": pl.Series(opened).dt.replace_time_zone("UTC"),
            "account_status": ["active"] * n,
            "credit_score": np.clip(rng.normal(650, 90, n), 300, 850).astype(np.int16),
            "per_day": rng.lognormal(-0.25, 0.6, n),
            "level": rng.lognormal(0, 0.35, n),
        }
    )


def _merchants(rng: Generator, n: int) -> pl.DataFrame:
    names = np.array(list(_CATEGORIES))
    kind = rng.choice(len(names), n, p=[share for _, share, _, _ in _CATEGORIES.values()])
    codes, _, prices, online = (np.array(one) for one in zip(*_CATEGORIES.values(), strict=True))
    cities = [_CITIES[one] for one in rng.integers(0, len(_CITIES), n)]
    return pl.DataFrame(
        {
            "merchant_id": [f"M{number:06d}" for number in range(1, n + 1)],
            "name": [f"{names[k].capitalize()} {number}" for number, k in enumerate(kind, 1)],
            "category": names[kind],
            "mcc_code": codes[kind],
            "city": [city[0] for city in cities],
            "country": [city[1] for city in cities],
            "price": prices[kind],
            "online": online[kind],
            "popularity": rng.pareto(1.5, n) + 0.1,
        }
    )


def _genuine(
    rng: Generator, payers: pl.DataFrame, shops: pl.DataFrame, first: int, days: int
) -> pl.DataFrame:
    """Payments without fraud: who, where, when, how much."""
    per_customer = rng.poisson(payers["per_day"].to_numpy() * days)
    customer = np.repeat(np.arange(len(payers)), per_customer)
    n = len(customer)
    weekday = (first // _DAY + 3 + np.arange(days)) % 7  # 1970 began on a Thursday
    day = rng.choice(days, n, p=_shares(_WEEKDAYS[weekday]))
    hour = rng.choice(24, n, p=_shares(_HOURS))
    merchant = rng.choice(len(shops), n, p=_shares(shops["popularity"].to_numpy()))
    price = shops["price"].to_numpy()[merchant] * payers["level"].to_numpy()[customer]
    return _payments(
        customer,
        merchant,
        first + day * _DAY + hour * (_DAY // 24) + rng.integers(0, _DAY // 24, n),
        price * rng.lognormal(0, 0.55, n),
    )


def _payments(
    customer: NDArray[Any], merchant: NDArray[Any], time: NDArray[Any], amount: NDArray[Any]
) -> pl.DataFrame:
    return pl.DataFrame(
        {"customer": customer, "merchant": merchant, "time": time, "amount": amount},
        schema={
            "customer": pl.Int64, "merchant": pl.Int64, "time": pl.Int64, "amount": pl.Float64,
        },
    ).with_columns(pl.lit(None, pl.String).alias("fraud_type"))  # fmt: skip


def _shares(weights: NDArray[Any]) -> NDArray[Any]:
    shares: NDArray[Any] = weights / weights.sum()
    return shares


def _with_fraud(
    rng: Generator, payments: pl.DataFrame, shops: pl.DataFrame, first: int, days: int
) -> pl.DataFrame:
    """Turn some payments into fraud, and add bursts; each kind stays below its share."""
    most = int(len(payments) * _MOST_OF_A_KIND)
    online = np.flatnonzero(shops["online"].to_numpy())
    payments = _mark(
        rng, payments, "customer", most, days, first, "account_takeover", long=6, share=0.5
    )
    payments = _mark(
        rng, payments, "merchant", most, days, first, "compromised_merchant", long=14, share=0.4
    )
    taken = pl.col("fraud_type") == "account_takeover"
    payments = payments.with_columns(
        pl.when(taken).then(pl.col("amount") * 5).otherwise("amount").alias("amount")
    )
    if len(online):
        elsewhere = pl.Series(rng.choice(online, len(payments)))
        payments = payments.with_columns(
            pl.when(taken).then(elsewhere).otherwise("merchant").alias("merchant")
        )
    size = 7
    bursts = most // size
    if not bursts or not len(online):
        return payments
    begin = first + rng.integers(0, days * _DAY - _DAY // 24, bursts)
    tested = _payments(
        np.repeat(rng.choice(payments["customer"].to_numpy(), bursts), size),
        np.repeat(rng.choice(online, bursts), size),
        (begin[:, None] + np.arange(size) * 90_000_000 + rng.integers(0, 60_000_000, size)).ravel(),
        np.column_stack(
            [rng.uniform(0.5, 2.5, (bursts, size - 1)), rng.uniform(150, 600, bursts)]
        ).ravel(),
    )
    return pl.concat([payments, tested.with_columns(fraud_type=pl.lit("card_testing"))])


def _mark(
    rng: Generator,
    payments: pl.DataFrame,
    whose: str,
    most: int,
    days: int,
    first: int,
    kind: str,
    *,
    long: int,
    share: float,
) -> pl.DataFrame:
    """Call a share of the payments of some customers or merchants fraud, for ``long`` days."""
    of = payments[whose].unique().sort().to_numpy()
    begin = first + rng.integers(0, max(days - long, 1), len(of)) * _DAY
    when = dict(zip(of.tolist(), begin.tolist(), strict=True))
    since = payments["time"] - payments[whose].replace_strict(when, return_dtype=pl.Int64)
    hit = (
        (since >= 0)
        & (since < long * _DAY)
        & pl.Series(rng.random(len(payments)) < share)
        & payments["fraud_type"].is_null()
    )
    # Whole episodes in random order, until there are enough.
    turn = dict(zip(of.tolist(), rng.permutation(len(of)).tolist(), strict=True))
    order = payments[whose].replace_strict(turn, return_dtype=pl.Int64)
    rank = (
        payments.select(hit.alias("hit"), order.alias("order"))
        .with_row_index("row")
        .filter("hit")
        .sort("order", "row")["row"]
        .head(most)
    )
    marked = pl.int_range(len(payments), eager=True).is_in(rank.cast(pl.Int64).implode())
    return payments.with_columns(
        pl.when(marked).then(pl.lit(kind)).otherwise("fraud_type").alias("fraud_type")
    )


def _described(
    rng: Generator, payments: pl.DataFrame, payers: pl.DataFrame, shops: pl.DataFrame
) -> pl.DataFrame:
    """Give the payments their keys and circumstances, in the order of time."""
    payments = payments.sort("time", "customer", "merchant")
    n = len(payments)
    payer = payers[payments["customer"]]
    shop = shops[payments["merchant"]]
    frame = payments.select(
        pl.int_range(1, n + 1, dtype=pl.Int64).cast(pl.String).str.zfill(8).alias("number"),
        pl.col("amount").clip(0.5, 20_000).round(2).alias("amount"),
        pl.from_epoch("time", time_unit="us").dt.replace_time_zone("UTC").alias("timestamp"),
        pl.col("fraud_type"),
        shop["category"].alias("merchant_category"),
        shop["online"].alias("is_online"),
        shop["city"].alias("merchant_city"),
        payer["customer_id"],
        shop["merchant_id"],
        (shop["country"] != payer["country"]).alias("is_international"),
        pl.Series("card_type", rng.choice(["debit", "credit"], n, p=[0.7, 0.3]), pl.String),
        pl.Series("declined", rng.random(n) < 0.02, pl.Boolean),
        pl.Series("late", rng.exponential(3 * _DAY, n).astype(np.int64) + _DAY // 4, pl.Int64),
        pl.Series("tap", rng.random(n) < 0.6, pl.Boolean),
    )
    cash = pl.col("merchant_category") == "cash machine"
    online = pl.col("is_online")
    fraud = pl.col("fraud_type").is_not_null()
    return frame.select(
        pl.concat_str(pl.lit("T"), "number").alias("transaction_id"),
        "customer_id",
        "merchant_id",
        "amount",
        pl.lit("EUR").alias("currency"),
        "timestamp",
        pl.when(cash)
        .then(pl.lit("withdrawal"))
        .otherwise(pl.lit("purchase"))
        .alias("transaction_type"),
        pl.concat_str("card_type", pl.lit("_card")).alias("payment_method"),
        "card_type",
        pl.when(online)
        .then(pl.lit("online"))
        .when(cash)
        .then(pl.lit("atm"))
        .otherwise(pl.lit("pos"))
        .alias("channel"),
        pl.when(online)
        .then(pl.lit("ecommerce"))
        .when(cash | ~pl.col("tap"))
        .then(pl.lit("chip"))
        .otherwise(pl.lit("contactless"))
        .alias("entry_mode"),
        "is_online",
        (~online).alias("card_present"),
        "is_international",
        pl.when("declined").then(pl.lit("declined")).otherwise(pl.lit("completed")).alias("status"),
        "merchant_category",
        "merchant_city",
        fraud.alias("is_fraud"),
        "fraud_type",
        pl.when(fraud)
        .then(pl.col("timestamp") + pl.duration(microseconds="late"))
        .alias("label_available_at"),
    )


def _as(frame: pl.DataFrame, kind: Frame) -> Any:
    if kind == "polars":
        return frame
    table = frame.to_arrow()
    return to_frame({name: (table[name].type, table[name].chunks) for name in frame.columns}, kind)
