"""The 69 features as docs/guide/features.md defines them: row by row, in plain Python."""

from __future__ import annotations

import datetime as dt
import math
from statistics import fmean, stdev
from typing import Any

from synfin_analytics._core.geography import great_circle_km

MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
RADIUS = 6371.0088
SPANS = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}

Row = dict[str, Any]


def features_of(
    rows: list[Row], customers: dict[str, Row], merchants: dict[str, Row], delay: dt.timedelta
) -> list[Row]:
    """Features of each row, in the order given; None where nothing is known."""
    rows = [dict(row) for row in rows]
    order = sorted(
        rows, key=lambda row: (row["timestamp"], len(row["transaction_id"]), row["transaction_id"])
    )
    for place, row in enumerate(order):
        before = [each for each in order[:place] if each["customer_id"] == row["customer_id"]]
        _prepare(row, before, customers, merchants, delay)
    return [_one(row, order[: order.index(row)]) for row in rows]


def _prepare(row: Row, before: list[Row], customers: Any, merchants: Any, delay: Any) -> None:
    at = row["timestamp"]
    known = row["label_available_at"] or at if "label_available_at" in row else at + delay
    row["known_at"] = max(at, known)
    row["kind"] = row["merchant_category"] or merchants.get(row["merchant_id"], {}).get("category")
    row["place"] = _place(row) if row["is_online"] is not True else None
    holder = customers.get(row["customer_id"], {})
    row["signup"] = holder.get("account_created")
    home = _place(holder) if holder else None
    row["from_home"] = row["distance_from_home"]
    if row["from_home"] is None and home and row["place"]:
        row["from_home"] = _km(home, row["place"])
    placed = [each for each in before if each["place"]]
    row["moved"], row["hours"] = None, None
    if row["place"] and placed:
        row["moved"] = _km(placed[-1]["place"], row["place"])
        row["hours"] = max(at - placed[-1]["timestamp"], MINUTE) / HOUR
    row["from_last"] = row["distance_from_last"]
    if row["from_last"] is None:
        row["from_last"] = row["moved"]


def _place(row: Row) -> tuple[float, float] | None:
    place = row["latitude"], row["longitude"]
    return None if None in place else place


def _km(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(great_circle_km(*one, *other))


def _one(row: Row, seen: list[Row]) -> Row:
    at, amount = row["timestamp"], row["amount"]
    before = [each for each in seen if each["customer_id"] == row["customer_id"]]
    shop = [each for each in seen if each["merchant_id"] == row["merchant_id"]]
    found = {**_moment(row), **_amounts(row, before, shop), **_velocity(row, before)}
    found |= _patterns(row, before)
    same = [each for each in before if each["merchant_id"] == row["merchant_id"]]
    since_first = (at - before[0]["timestamp"]) / DAY if before else None
    gaps = (before[-1]["timestamp"] - before[0]["timestamp"]) if before else None
    labels = [each for each in before if _known(each, at)]
    found |= {
        "customer_lifetime_value": sum(each["amount"] for each in before),
        "customer_transaction_count": len(before),
        "customer_transaction_frequency": len(before) / max(since_first, 1) if before else None,
        "customer_active_days": len({each["timestamp"].date() for each in before}),
        "customer_merchant_diversity": _over(
            len({each["merchant_id"] for each in before}), len(before)
        ),
        "customer_prior_fraud_count": sum(each["is_fraud"] for each in labels) if labels else None,
        "time_since_last_normalized": _over(
            (at - before[-1]["timestamp"]) / DAY, gaps / DAY / (len(before) - 1)
        )
        if len(before) > 1
        else None,
        "time_since_signup": (at - row["signup"]) / DAY if row["signup"] else None,
        "time_since_last_same_merchant": (at - same[-1]["timestamp"]) / DAY if same else None,
        "time_since_first_transaction": since_first,
    }
    found |= {
        "merchant_avg_amount": _mean([each["amount"] for each in shop]),
        "merchant_transaction_count": len(shop),
        "merchant_fraud_rate": _mean([each["is_fraud"] for each in shop if _known(each, at)]),
    }
    for name in ("1d", "7d", "30d"):
        oldest = at - SPANS[name]
        recent = [each for each in shop if each["timestamp"] > oldest]
        told = [each for each in shop if _known(each, at) and each["known_at"] > oldest]
        found[f"merchant_tx_count_{name}"] = len(recent) + 1
        found[f"merchant_fraud_rate_{name}"] = _mean([each["is_fraud"] for each in told])
    return found | _distances(row, before) | {"amount_log": math.log(1 + amount)}


def _known(row: Row, at: dt.datetime) -> bool:
    return row["is_fraud"] is not None and row["known_at"] <= at


def _moment(row: Row) -> Row:
    at = row["timestamp"]
    midnight = dt.datetime.combine(at.date(), dt.time(), dt.UTC)
    turns = {
        "hour": (at - midnight) / DAY,
        "day": at.weekday() / 7,
        "month": (at.month - 1) / 12,
    }
    found = {
        f"{name}_{which.__name__}": which(2 * math.pi * turn)
        for name, turn in turns.items()
        for which in (math.sin, math.cos)
    }
    return found | {
        "is_weekend": at.weekday() >= 5,
        "is_night": at.hour < 6,
        "is_holiday": row["is_holiday"],
        "is_business_hours": at.weekday() < 5 and 9 <= at.hour < 17,
    }


def _amounts(row: Row, before: list[Row], shop: list[Row]) -> Row:
    amount, earlier = row["amount"], [each["amount"] for each in before]
    mean, highest = _mean(earlier), max(earlier, default=None)
    deviation = stdev(earlier) if len(earlier) > 1 else None
    lower = sum(each < amount for each in earlier)
    return {
        "amount_normalized": _over(amount, mean),
        "amount_zscore": None if mean is None else _over(amount - mean, deviation),
        "amount_deviation_from_mean": None if mean is None else amount - mean,
        "amount_percentile": _over(lower, len(earlier)),
        "amount_to_max_ratio": _over(amount, highest),
        "amount_to_merchant_avg_ratio": _over(amount, _mean([each["amount"] for each in shop])),
        "amount_is_round": amount > 0 and amount % 10 == 0,
        "unusual_amount": amount > mean + 3 * deviation if len(earlier) >= 10 else None,
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": highest,
    }


def _velocity(row: Row, before: list[Row]) -> Row:
    found: Row = {}
    for name, span in SPANS.items():
        window = [each for each in before if each["timestamp"] > row["timestamp"] - span] + [row]
        amounts = [each["amount"] for each in window]
        if name != "1d":
            found[f"tx_velocity_{name}"] = len(window)
            found[f"amount_velocity_{name}"] = sum(amounts)
        if name in ("24h", "7d", "30d"):
            found[f"avg_amount_{name}"] = fmean(amounts)
        if name in ("24h", "7d"):
            found[f"distinct_merchants_{name}"] = len({each["merchant_id"] for each in window})
        if name == "24h":
            found["distinct_countries_24h"] = (
                len({each["country"] for each in window} - {None}) or None
            )
    burst = [each for each in before if each["timestamp"] > row["timestamp"] - 10 * MINUTE]
    return found | {"is_burst": len(burst) + 1 >= 3}


def _patterns(row: Row, before: list[Row]) -> Row:
    def new(column: str) -> bool | None:
        return None if row[column] is None else row[column] not in [one[column] for one in before]

    def rare(kind: Any, kinds: list[Any]) -> bool | None:
        kinds = [each for each in kinds if each is not None]
        if kind is None or len(kinds) < 10:
            return None
        return kinds.count(kind) / len(kinds) < 1 / 20

    slots = [each["timestamp"].hour // 3 for each in before]
    return {
        "unusual_time": rare(row["timestamp"].hour // 3, slots),
        "unusual_merchant": rare(row["kind"], [each["kind"] for each in before]),
        "is_new_merchant": new("merchant_id"),
        "is_new_country": new("country"),
        "is_new_device": new("device_id"),
    }


def _distances(row: Row, before: list[Row]) -> Row:
    def against(column: str) -> float | None:
        earlier = [each[column] for each in before if each[column] is not None]
        if row[column] is None or not earlier:
            return None
        return row[column] / (1 + fmean(earlier))

    speed = None if row["moved"] is None else row["moved"] / row["hours"]
    places = [each["place"] for each in before if each["place"]]
    usual = unusual = None
    if row["place"] and places:
        x, y, z = (fmean(axis) for axis in zip(*map(_point, places), strict=True))
        middle = math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
        usual = _km(middle, row["place"])
        if len(places) >= 10:
            spread = RADIUS * math.sqrt(
                fmean(math.dist(_point(one), (x, y, z)) ** 2 for one in places)
            )
            unusual = usual > 50 and usual > 3 * spread
    return {
        "distance_normalized": against("from_home"),
        "distance_from_last_normalized": against("from_last"),
        "travel_speed_kmh": speed,
        "impossible_travel": None if speed is None else speed > 900 and row["moved"] > 50,
        "distance_from_usual": usual,
        "unusual_location": unusual,
    }


def _point(place: tuple[float, float]) -> tuple[float, float, float]:
    north, east = map(math.radians, place)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
