"""From arrays to the table of transactions: keys, words and circumstances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.io.derive import derive_columns
from synfin_analytics.simulation._aggregates import history
from synfin_analytics.simulation._config import CATEGORIES
from synfin_analytics.simulation._patterns import PATTERNS
from synfin_analytics.simulation._payments import (
    ANOMALIES,
    ATM,
    CHANNELS,
    CONTACTLESS,
    DAY,
    ENTRIES,
    KINDS,
    PHONE,
    POS,
    STATUSES,
)
from synfin_analytics.simulation._people import CARD_TYPES, PARTNER, SECOND, customer_ids, of_city
from synfin_analytics.simulation._places import CITIES, COUNTRY_OF
from synfin_analytics.simulation._shops import merchant_ids
from synfin_analytics.simulation._world import DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation._random import Integers, Mask
    from synfin_analytics.simulation._world import World

_CARDS = 3  # a customer has at most
_TERMINALS = 8  # a merchant has at most
_METHODS = ("debit_card", "credit_card", "prepaid_card", "digital_wallet")


def described(paid: Payments, world: World) -> pl.DataFrame:
    """Rows of the table ``transactions``, in the order of time."""
    n = len(paid)
    people, shops = world.people, world.shops
    remote = paid.channel > ATM
    category = shops.category[paid.merchant]
    seat = shops.seat[paid.merchant]
    # Who is in a shop is where its terminal is said to be.
    place = np.where(remote, paid.place, seat)
    cities = {name: of_city(name) for name in ("name", "state", "country", "zip_code")}
    known_place = place >= 0

    def city(name: str, at: NDArray[Any]) -> pl.Series:
        return cities[name].gather(at)

    def somewhere(name: str) -> pl.Series:
        found = np.append(np.arange(len(CITIES)), len(CITIES))[place]
        return pl.concat([cities[name], pl.Series([None], dtype=pl.String)]).gather(found)

    present = ~remote
    home_country = city("country", people.home[paid.customer])
    type_of_card = people.card_type(paid.customer, paid.card)
    wallet = (paid.entry == CONTACTLESS) & (paid.device > 0)
    fraud = paid.fraud > 0
    midnight = np.datetime64(world.calendar.start, "us")
    moment = midnight + paid.time * np.timedelta64(1_000_000, "us")
    known = midnight + paid.known * np.timedelta64(1_000_000, "us")
    frame = pl.DataFrame(
        {
            "transaction_id": transaction_ids(n),
            "customer_id": customer_ids(len(people)).gather(paid.customer),
            "merchant_id": merchant_ids(len(shops)).gather(paid.merchant),
            "card_id": _cards(len(people)).gather(
                paid.customer * _CARDS + np.where(paid.card == PARTNER, 2, paid.card == SECOND)
            ),
            "terminal_id": _null_where(
                _terminals(len(shops)).gather(paid.merchant * _TERMINALS + paid.terminal), remote
            ),
            "amount": paid.cents / 100,
            "currency": pl.repeat("EUR", n, eager=True),
            "exchange_rate": pl.repeat(1.0, n, eager=True),
            "latitude": _null_where(pl.Series(shops.latitude[paid.merchant]), remote),
            "longitude": _null_where(pl.Series(shops.longitude[paid.merchant]), remote),
            "city": somewhere("name"),
            "state": somewhere("state"),
            "country": somewhere("country"),
            "zip_code": somewhere("zip_code"),
            "timestamp": pl.Series(moment).dt.replace_time_zone("UTC"),
            "is_holiday": world.calendar.holiday[
                COUNTRY_OF[people.home[paid.customer]], paid.time // DAY
            ],
            "transaction_type": _words(KINDS, paid.kind),
            "category": _words([one.budget for one in CATEGORIES], category),
            "payment_method": _words(_METHODS, np.where(wallet, 3, type_of_card)),
            "card_type": _words(CARD_TYPES, type_of_card),
            "channel": _words(CHANNELS, paid.channel),
            "entry_mode": _words(ENTRIES, paid.entry),
            "is_online": remote & (paid.channel != PHONE),
            "card_present": present,
            "is_international": city("country", seat) != home_country,
            "status": _words(STATUSES, paid.status),
            "device_id": _devices(paid.device),
            "device_type": _device_types(paid),
            "ip_address": _addresses(paid, known_place),
            "merchant_category": _words([one.name for one in CATEGORIES], category),
            "merchant_city": city("name", seat),
            "is_fraud": fraud,
            "fraud_type": _words([None, *(one.name for one in PATTERNS)], paid.fraud),
            "fraud_reason": _reasons(paid),
            "label_available_at": _null_where(pl.Series(known).dt.replace_time_zone("UTC"), ~fraud),
            "is_anomaly": paid.anomaly > 0,
            "anomaly_type": _words(ANOMALIES, paid.anomaly),
            **history(paid, world),
        }
    )
    return derive_columns(frame, "transactions")


def transaction_ids(n: int) -> pl.Series:
    """Keys of transactions, in the order of time."""
    return pl.select(
        pl.concat_str(pl.lit("T"), pl.int_range(1, n + 1).cast(pl.String).str.zfill(9))
    ).to_series()


def _words(words: Any, numbers: NDArray[Any]) -> pl.Series:
    return pl.Series(list(words), dtype=pl.String).gather(numbers)


def _null_where(values: pl.Series, unknown: Mask) -> pl.Series:
    return pl.select(pl.when(~pl.Series(unknown)).then(values)).to_series()


def _cards(customers: int) -> pl.Series:
    number = pl.int_range(1, customers * _CARDS + 1).cast(pl.String).str.zfill(7)
    return pl.select(pl.concat_str(pl.lit("K"), number)).to_series()


def _terminals(merchants: int) -> pl.Series:
    number = pl.int_range(0, merchants * _TERMINALS)
    return pl.select(
        pl.concat_str(
            pl.lit("M"),
            (number // _TERMINALS + 1).cast(pl.String).str.zfill(6),
            pl.lit("-"),
            (number % _TERMINALS + 1).cast(pl.String),
        )
    ).to_series()


def _devices(bits: NDArray[np.uint64]) -> pl.Series:
    """Name each device by the place of its bits among all of them."""
    found = pl.Series(bits).rank("dense").cast(pl.Int64) - (1 if (bits == 0).any() else 0)
    most = int(found.max() or 0)  # type: ignore[arg-type]  # a whole number
    names = pl.concat([pl.Series([None], dtype=pl.String), _numbered_devices(most)])
    return names.gather(found)


def _numbered_devices(n: int) -> pl.Series:
    return pl.select(
        pl.concat_str(pl.lit("D"), pl.int_range(1, n + 1).cast(pl.String).str.zfill(7))
    ).to_series()


def _device_types(paid: Payments) -> pl.Series:
    own = (paid.device & np.uint64(3)).astype(np.int64)
    words = (*DEVICES, "terminal", "atm", None)
    in_shop = np.where(paid.channel == ATM, 5, np.where(paid.channel == POS, 4, 6))
    return _words(words, np.where(paid.device > 0, own, in_shop))


def _addresses(paid: Payments, known_place: Mask) -> pl.Series:
    """Addresses of the range for documentation (RFC 3849): the city, and one of its lines."""
    shown = (paid.channel > ATM) & (paid.device > 0) & known_place
    rows = np.flatnonzero(shown)
    line = (paid.device[rows] >> np.uint64(40)).astype(np.int64)
    key = (paid.place[rows].astype(np.int64) << 24) | line
    unique, at = np.unique(key, return_inverse=True)
    texts = [
        f"2001:db8:{one >> 24:x}:{one >> 12 & 0xFFF:x}::{one & 0xFFF:x}" for one in unique.tolist()
    ]
    found = np.full(len(paid), len(texts))
    found[rows] = at
    return pl.Series([*texts, None], dtype=pl.String).gather(found)


def _reasons(paid: Payments) -> pl.Series:
    """Say in words what was done."""
    most = max(len(one.reasons) for one in PATTERNS)
    texts: list[str | None] = [None] * (most * (len(PATTERNS) + 1))
    for number, one in enumerate(PATTERNS, 1):
        texts[number * most : number * most + len(one.reasons)] = one.reasons
    at: Integers = paid.fraud.astype(np.int64) * most + paid.reason
    return pl.Series(texts, dtype=pl.String).gather(at)
