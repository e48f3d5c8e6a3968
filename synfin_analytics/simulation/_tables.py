"""From arrays to the tables of customers, merchants and transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import great_circle_km
from synfin_analytics._core.grouped import DAY as DAY_US
from synfin_analytics._core.grouped import HOUR as HOUR_US
from synfin_analytics._core.grouped import GroupedRolling
from synfin_analytics.database.models import RISK_CATEGORIES
from synfin_analytics.io.coerce import derive_columns
from synfin_analytics.simulation._config import (
    CATEGORIES,
    CATEGORY,
    CITIES,
    COUNTRY_OF,
    INCOMES,
    PERSONAS,
)
from synfin_analytics.simulation._payments import (
    ANOMALY_TYPES,
    DAY,
    Channel,
    Entry,
    Kind,
    Status,
)
from synfin_analytics.simulation._population import CARD_TYPES
from synfin_analytics.simulation._world import DEVICES
from synfin_analytics.simulation.patterns import PATTERNS

if TYPE_CHECKING:
    from enum import IntEnum

    from numpy.typing import NDArray

    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation._random import Floats, Integers, Mask, RandomStream
    from synfin_analytics.simulation._world import World

#: Most cards of a customer, and terminals of a merchant.
_MAX_CARDS, _MAX_TERMINALS = 3, 8
_CITY_COLUMNS = ("city", "state", "country", "zip_code")
_PAYMENT_METHODS = ("debit_card", "credit_card", "prepaid_card", "digital_wallet")
_FEMALE_NAMES = (
    "Ada", "Beatrix", "Clara", "Dora", "Edith", "Flora", "Greta", "Hedda", "Ida", "Julia",
)  # fmt: skip
_MALE_NAMES = (
    "Adam", "Bruno", "Cyril", "Daniel", "Emil", "Felix", "Georg", "Hugo", "Ivan", "Jonas",
)  # fmt: skip
_SECOND_US = 1_000_000
#: A risk score is the fraud rate with a prior of these numbers of payments and frauds.
_PRIOR_PAYMENTS, _PRIOR_FRAUDS = 20, 0.1
#: Scores from which a risk is medium, high and critical.
_RISK_LEVELS = (0.02, 0.05, 0.2)
#: Days without a payment after which an account is dormant, or half of the period.
_DORMANT_DAYS = 60


@dataclass(frozen=True)
class Taken:
    """How many numbers of ids other parts of the same world have used."""

    customers: int = 0
    merchants: int = 0
    transactions: int = 0
    devices: int = 0


# -- Customers and merchants -----------------------------------------------------------------------


def customer_table(
    rng: RandomStream, world: World, payments: Payments, taken: Taken
) -> pl.DataFrame:
    """Return the table of customers; no name or address belongs to a real person."""
    customers = world.customers
    n = len(customers)
    numbers = np.arange(1, n + 1) + taken.customers
    youngest, oldest = np.array([kind.ages for kind in PERSONAS])[customers.persona].T
    age = rng.integers(n, youngest, oldest)
    first_day = np.datetime64(world.calendar.start, "D")
    born = first_day - (age * 365.25).astype(np.int64) - rng.integers(n, 1, 364)
    max_account_days = np.minimum((age - 17) * 365, 9000)
    opened = first_day - rng.integers(n, 30, np.maximum(max_account_days, 31))
    opened_at = rng.integers(n, 8 * 3600, 17 * 3600)
    is_female = rng.bernoulli(n, 0.51)
    first_names = pl.Series(_FEMALE_NAMES + _MALE_NAMES)
    name = rng.integers(n, 0, len(_FEMALE_NAMES) - 1)
    name = name + np.where(is_female, 0, len(_FEMALE_NAMES))
    n_occupations = np.array([len(kind.occupations) for kind in PERSONAS])
    offset = np.append(0, np.cumsum(n_occupations))[customers.persona]
    occupations = pl.Series([job for kind in PERSONAS for job in kind.occupations])
    income, home = customers.income, customers.home
    credit_score = 640 + 45 * (income - 1) + 0.8 * (age - 45) + 70 * rng.normal(n)
    occupation = rng.integers(n, 0, n_occupations[customers.persona] - 1)
    created = pl.Series(opened.astype("M8[us]") + opened_at.astype("m8[s]"))
    return pl.DataFrame(
        {
            "customer_id": _customer_ids(n, taken),
            "first_name": first_names.gather(name),
            "last_name": [f"Example {number}" for number in numbers],
            "email": [f"c{number:06d}@example.com" for number in numbers],
            "phone": [f"+32 000 {number:06d}" for number in numbers],
            "date_of_birth": born,
            "age": age.astype(np.int16),
            "gender": pl.Series(["female", "male"]).gather((~is_female).astype(np.int64)),
            "occupation": occupations.gather(offset + occupation),
            "income_level": pl.Series(INCOMES).gather(income),
            "address": [f"{number} Example Street" for number in rng.integers(n, 1, 250)],
            **{name: _city_values(name).gather(home) for name in _CITY_COLUMNS},
            "latitude": customers.latitude,
            "longitude": customers.longitude,
            "account_created": created.dt.replace_time_zone("UTC"),
            "credit_score": np.clip(np.rint(credit_score), 300, 850).astype(np.int16),
            **_customer_statistics(payments, world),
        }
    )


def _customer_statistics(payments: Payments, world: World) -> dict[str, pl.Series]:
    """Return the statistics of customers at the end of the period."""
    n = len(world.customers)
    count, total, mean, n_frauds, risk, category = _statistics(
        payments.customer, n, payments, world.end
    )
    last = np.full(n, -1)
    np.maximum.at(last, payments.customer, payments.time)
    is_dormant = last < world.end - min(_DORMANT_DAYS * DAY, world.end // 2)
    return {
        "account_status": pl.Series(["active", "dormant"]).gather(is_dormant.astype(np.int64)),
        "avg_transaction_amount": mean,
        "transaction_count": count,
        "total_spent": total,
        "fraud_history_count": n_frauds,
        "risk_score": risk,
        "risk_category": category,
    }


def merchant_table(world: World, payments: Payments, taken: Taken) -> pl.DataFrame:
    """Return the table of merchants."""
    merchants = world.merchants
    n, category = len(merchants), merchants.category
    titles = pl.Series([name.capitalize() for name in CATEGORY]).gather(category)
    count, total, mean, n_frauds, risk, risk_category = _statistics(
        payments.merchant, n, payments, world.end
    )
    return pl.DataFrame(
        {
            "merchant_id": _merchant_ids(n, taken),
            "name": [
                f"{title} {number}" for number, title in enumerate(titles, taken.merchants + 1)
            ],
            "category": pl.Series([*CATEGORY]).gather(category),
            "mcc_code": pl.Series([kind.mcc for kind in CATEGORIES]).gather(category),
            **{
                name: _city_values(name).gather(merchants.registered_in)
                for name in ("city", "state", "country")
            },
            "risk_score": risk,
            "risk_category": risk_category,
            "fraud_report_count": n_frauds,
            "total_transactions": count,
            "total_revenue": total,
            "avg_transaction_amount": mean,
        }
    )


def _statistics(key: Integers, n: int, payments: Payments, end: int) -> list[pl.Series]:
    """Count and sum what was spent, as the repositories do, and the frauds known at the end."""

    def count_rows(rows: Mask) -> Integers:
        return np.bincount(key[rows], minlength=n)

    is_spent = (payments.status == Status.COMPLETED) & (payments.kind != Kind.REFUND)
    count = count_rows(is_spent)
    # Sums of whole cents are exact.
    cents = np.bincount(key[is_spent], weights=payments.cents[is_spent], minlength=n)
    mean = np.where(count > 0, np.round(cents / np.maximum(count, 1) / 100, 4), np.nan)
    n_frauds = count_rows((payments.fraud > 0) & (payments.label_time < end))
    risk = _risk_score(n_frauds, np.bincount(key, minlength=n))
    level = np.searchsorted(_RISK_LEVELS, risk, side="right")
    return [
        pl.Series(count.astype(np.int32)),
        pl.Series(cents / 100),
        pl.Series(mean, nan_to_null=True),
        pl.Series(n_frauds.astype(np.int32)),
        pl.Series(risk),
        pl.Series(RISK_CATEGORIES).gather(level),
    ]


def _risk_score(n_frauds: Integers, n_payments: Integers) -> Floats:
    risk: Floats = np.round((n_frauds + _PRIOR_FRAUDS) / (n_payments + _PRIOR_PAYMENTS), 4)
    return risk


# -- Transactions ----------------------------------------------------------------------------------


def transaction_table(payments: Payments, world: World, taken: Taken) -> pl.DataFrame:
    """Return the table of transactions; the payments are in the order of time."""
    n = len(payments)
    customers, merchants = world.customers, world.merchants
    is_remote = payments.channel > Channel.ATM
    category = merchants.category[payments.merchant]
    merchant_city = merchants.registered_in[payments.merchant]
    # In a shop, the place is that of its terminal.
    place = np.where(is_remote, payments.place, merchant_city)
    home = customers.home[payments.customer]
    card_type = customers.card_type(payments.customer, payments.card)
    with_wallet = (payments.entry == Entry.CONTACTLESS) & (payments.device > 0)
    is_fraud = payments.fraud > 0
    midnight = np.datetime64(world.calendar.start, "us")
    timestamp = midnight + payments.time * np.timedelta64(_SECOND_US, "us")
    label_time = midnight + payments.label_time * np.timedelta64(_SECOND_US, "us")
    terminal = payments.merchant * _MAX_TERMINALS + payments.terminal
    country = _city_values("country")
    frame = pl.DataFrame(
        {
            "transaction_id": _numbered_ids("T", n, 9, taken.transactions),
            "customer_id": _customer_ids(len(customers), taken).gather(payments.customer),
            "merchant_id": _merchant_ids(len(merchants), taken).gather(payments.merchant),
            "card_id": _card_ids(len(customers), taken).gather(
                payments.customer * _MAX_CARDS + payments.card
            ),
            "terminal_id": _null_where(
                is_remote, _terminal_ids(len(merchants), taken).gather(terminal)
            ),
            "amount": payments.cents / 100,
            "currency": pl.repeat("EUR", n, eager=True),
            "exchange_rate": pl.repeat(1.0, n, eager=True),
            "latitude": _null_where(is_remote, pl.Series(merchants.latitude[payments.merchant])),
            "longitude": _null_where(is_remote, pl.Series(merchants.longitude[payments.merchant])),
            **{name: _place_values(name, place) for name in _CITY_COLUMNS},
            "timestamp": pl.Series(timestamp).dt.replace_time_zone("UTC"),
            "is_holiday": world.calendar.holiday[COUNTRY_OF[home], payments.time // DAY],
            "transaction_type": _names(Kind, payments.kind),
            "category": _words([kind.budget for kind in CATEGORIES], category),
            "payment_method": _words(_PAYMENT_METHODS, np.where(with_wallet, 3, card_type)),
            "card_type": _words(CARD_TYPES, card_type),
            "channel": _names(Channel, payments.channel),
            "entry_mode": _names(Entry, payments.entry),
            "is_online": is_remote & (payments.channel != Channel.PHONE),
            "card_present": ~is_remote,
            "is_international": country.gather(merchant_city) != country.gather(home),
            "status": _names(Status, payments.status),
            "device_id": _device_ids(payments.device, taken),
            "device_type": _device_types(payments),
            "ip_address": _ip_addresses(payments, has_place=place >= 0),
            "merchant_category": _words(CATEGORY, category),
            "merchant_city": _city_values("city").gather(merchant_city),
            "is_fraud": is_fraud,
            "fraud_type": _words([None, *PATTERNS], payments.fraud),
            "fraud_reason": _fraud_reasons(payments),
            "label_available_at": _null_where(
                ~is_fraud, pl.Series(label_time).dt.replace_time_zone("UTC")
            ),
            "is_anomaly": payments.anomaly > 0,
            "anomaly_type": _words(ANOMALY_TYPES, payments.anomaly),
            **_history_columns(payments, world),
        }
    )
    return derive_columns(frame, "transactions")


def _words(words: Any, numbers: NDArray[Any]) -> pl.Series:
    return pl.Series(list(words), dtype=pl.String).gather(numbers)


def _names(members: type[IntEnum], numbers: NDArray[Any]) -> pl.Series:
    return _words([member.name.lower() for member in members], numbers)


def _null_where(mask: Mask, values: pl.Series) -> pl.Series:
    return pl.select(pl.when(~pl.Series(mask)).then(values)).to_series()


def _city_values(name: str) -> pl.Series:
    """Return a column of all cities."""
    field = "name" if name == "city" else name
    return pl.Series([getattr(city, field) for city in CITIES])


def _place_values(name: str, place: NDArray[Any]) -> pl.Series:
    """Return a column of the city of each payment, NULL where it is unknown."""
    return _words([*_city_values(name), None], np.where(place < 0, len(CITIES), place))


def _numbered_ids(letter: str, n: int, digits: int, taken: int) -> pl.Series:
    number = pl.int_range(taken + 1, taken + n + 1).cast(pl.String).str.zfill(digits)
    return pl.select(pl.concat_str(pl.lit(letter), number)).to_series()


def _customer_ids(n: int, taken: Taken) -> pl.Series:
    return _numbered_ids("C", n, 6, taken.customers)


def _card_ids(n_customers: int, taken: Taken) -> pl.Series:
    return _numbered_ids("K", n_customers * _MAX_CARDS, 7, taken.customers * _MAX_CARDS)


def _merchant_ids(n: int, taken: Taken) -> pl.Series:
    return _numbered_ids("M", n, 6, taken.merchants)


def _terminal_ids(n_merchants: int, taken: Taken) -> pl.Series:
    terminals = range(1, _MAX_TERMINALS + 1)
    return pl.Series(
        [f"{merchant}-{n}" for merchant in _merchant_ids(n_merchants, taken) for n in terminals]
    )


def _device_ids(bits: NDArray[np.uint64], taken: Taken) -> pl.Series:
    """Return the ids of devices, numbered by the rank of their bits; NULL without a device."""
    rank = pl.Series(bits).rank("dense").cast(pl.Int64) - (1 if (bits == 0).any() else 0)
    n_devices = int(rank.max() or 0)  # type: ignore[arg-type]  # an integer
    numbered = _numbered_ids("D", n_devices, 7, taken.devices)
    return pl.concat([pl.Series([None], dtype=pl.String), numbered]).gather(rank)


def _device_types(payments: Payments) -> pl.Series:
    own = (payments.device & np.uint64(3)).astype(np.int64)
    words = (*DEVICES, "terminal", "atm", None)
    terminal, atm, unknown = range(len(DEVICES), len(words))
    in_person = np.where(payments.channel == Channel.POS, terminal, unknown)
    in_person = np.where(payments.channel == Channel.ATM, atm, in_person)
    return _words(words, np.where(payments.device > 0, own, in_person))


def _ip_addresses(payments: Payments, *, has_place: Mask) -> pl.Series:
    """Return addresses of the range for documentation (RFC 3849): a city, and a line in it."""
    has_address = (payments.channel > Channel.ATM) & (payments.device > 0) & has_place
    rows = np.flatnonzero(has_address)
    line = (payments.device[rows] >> np.uint64(40)).astype(np.int64)
    keys = (payments.place[rows].astype(np.int64) << 24) | line
    unique, position = np.unique(keys, return_inverse=True)
    addresses = [
        f"2001:db8:{key >> 24:x}:{key >> 12 & 0xFFF:x}::{key & 0xFFF:x}" for key in unique.tolist()
    ]
    address = np.full(len(payments), len(addresses))
    address[rows] = position
    return pl.Series([*addresses, None], dtype=pl.String).gather(address)


def _fraud_reasons(payments: Payments) -> pl.Series:
    width = max(len(pattern.reasons) for pattern in PATTERNS.values())
    reasons: list[str | None] = [None] * (width * (len(PATTERNS) + 1))
    for number, pattern in enumerate(PATTERNS.values(), 1):
        reasons[number * width : number * width + len(pattern.reasons)] = pattern.reasons
    position: Integers = payments.fraud.astype(np.int64) * width + payments.reason
    return pl.Series(reasons, dtype=pl.String).gather(position)


# -- What the bank knew at each payment of the earlier ones ----------------------------------------


def _history_columns(payments: Payments, world: World) -> dict[str, pl.Series]:
    """Return the columns that are computed from earlier payments."""
    times = payments.time * _SECOND_US
    rolling = GroupedRolling(payments.customer, times)
    columns: dict[str, NDArray[np.generic]] = {}
    for name, length in (("hour", HOUR_US), ("day", DAY_US)):
        window = rolling.window(length, include_current=False)
        columns[f"transactions_last_{name}"] = window.count().astype(np.int32)
        columns[f"amount_last_{name}"] = window.sum(payments.cents) / 100
    last = rolling.window(include_current=False).last_row()
    elapsed = (payments.time - payments.time[last]).astype(np.float64)
    columns |= _distances(payments, world, times)
    columns |= {
        "time_since_last_transaction": np.where(last < 0, np.nan, elapsed),
        "merchant_risk_score": _risk_so_far(payments.merchant, payments),
        "customer_risk_score": _risk_so_far(payments.customer, payments),
    }
    return {name: pl.Series(values, nan_to_null=True) for name, values in columns.items()}


def _distances(payments: Payments, world: World, times: Integers) -> dict[str, Floats]:
    """Return the distances of payments in person from home and the last place, in km, to 10 m."""
    customers, merchants = world.customers, world.merchants
    rows = np.flatnonzero(payments.channel <= Channel.ATM)
    merchant, customer = payments.merchant[rows], payments.customer[rows]
    place = merchants.latitude[merchant], merchants.longitude[merchant]
    home = customers.latitude[customer], customers.longitude[customer]
    last = GroupedRolling(customer, times[rows]).window(include_current=False).last_row()
    last_place = tuple(np.where(last < 0, np.nan, axis[last]) for axis in place)
    columns = {}
    for name, origin in (("home", home), ("last", last_place)):
        distance = np.full(len(payments), np.nan)
        distance[rows] = np.round(great_circle_km(*place, *origin), 2)
        columns[f"distance_from_{name}"] = distance
    return columns


def _risk_so_far(key: Integers, payments: Payments) -> Floats:
    """Return the fraud rate of the earlier payments of each key, from labels known at the time."""
    times = payments.time * _SECOND_US
    available_at = np.maximum(payments.label_time, payments.time) * _SECOND_US
    n_payments = GroupedRolling(key, times).window(include_current=False).count()
    frauds = GroupedRolling(key, times, available_at=available_at, counted=payments.fraud > 0)
    return _risk_score(frauds.window(include_current=False).count(), n_payments)
