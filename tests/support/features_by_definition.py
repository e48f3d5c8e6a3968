"""The 69 features as defined in docs/guide/features.md, row by row in plain Python."""

from __future__ import annotations

import datetime as dt
import math
from statistics import fmean, stdev
from typing import Any

from synfin_analytics._core.arithmetic import great_circle_km

MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
RADIUS = 6371.0088
SPANS = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}

Row = dict[str, Any]


def features_of(
    rows: list[Row], customers: dict[str, Row], merchants: dict[str, Row], delay: dt.timedelta
) -> list[Row]:
    """Features of each row, in the order of the rows; None where unknown."""
    rows = [dict(row) for row in rows]
    order = sorted(
        rows, key=lambda row: (row["timestamp"], len(row["transaction_id"]), row["transaction_id"])
    )
    for place, row in enumerate(order):
        before = [
            earlier for earlier in order[:place] if earlier["customer_id"] == row["customer_id"]
        ]
        _prepare(row, before, customers, merchants, delay)
    return [_compute(row, order[: order.index(row)]) for row in rows]


def _prepare(row: Row, before: list[Row], customers: Any, merchants: Any, delay: Any) -> None:
    timestamp = row["timestamp"]
    available = (
        row["label_available_at"] or timestamp if "label_available_at" in row else timestamp + delay
    )
    row["known_at"] = max(timestamp, available)
    row["kind"] = row["merchant_category"] or merchants.get(row["merchant_id"], {}).get("category")
    row["place"] = _place(row) if row["is_online"] is not True else None
    holder = customers.get(row["customer_id"], {})
    row["signup"] = holder.get("account_created")
    home = _place(holder) if holder else None
    row["from_home"] = row["distance_from_home"]
    if row["from_home"] is None and home and row["place"]:
        row["from_home"] = _km(home, row["place"])
    placed = [earlier for earlier in before if earlier["place"]]
    row["moved"], row["hours"] = None, None
    if row["place"] and placed:
        row["moved"] = _km(placed[-1]["place"], row["place"])
        row["hours"] = max(timestamp - placed[-1]["timestamp"], MINUTE) / HOUR
    row["from_last"] = row["distance_from_last"]
    if row["from_last"] is None:
        row["from_last"] = row["moved"]


def _place(row: Row) -> tuple[float, float] | None:
    place = row["latitude"], row["longitude"]
    return None if None in place else place


def _km(origin: tuple[float, float], target: tuple[float, float]) -> float:
    return float(great_circle_km(*origin, *target))


def _compute(row: Row, seen: list[Row]) -> Row:
    timestamp, amount = row["timestamp"], row["amount"]
    before = [earlier for earlier in seen if earlier["customer_id"] == row["customer_id"]]
    shop = [earlier for earlier in seen if earlier["merchant_id"] == row["merchant_id"]]
    features = {**_calendar(row), **_amounts(row, before, shop), **_velocity(row, before)}
    features |= _patterns(row, before)
    same = [earlier for earlier in before if earlier["merchant_id"] == row["merchant_id"]]
    since_first = (timestamp - before[0]["timestamp"]) / DAY if before else None
    gaps = (before[-1]["timestamp"] - before[0]["timestamp"]) if before else None
    labels = [earlier for earlier in before if _is_known(earlier, timestamp)]
    features |= {
        "customer_lifetime_value": sum(earlier["amount"] for earlier in before),
        "customer_transaction_count": len(before),
        "customer_transaction_frequency": len(before) / max(since_first, 1) if before else None,
        "customer_active_days": len({earlier["timestamp"].date() for earlier in before}),
        "customer_merchant_diversity": _divide(
            len({earlier["merchant_id"] for earlier in before}), len(before)
        ),
        "customer_prior_fraud_count": sum(earlier["is_fraud"] for earlier in labels)
        if labels
        else None,
        "time_since_last_normalized": _divide(
            (timestamp - before[-1]["timestamp"]) / DAY, gaps / DAY / (len(before) - 1)
        )
        if len(before) > 1
        else None,
        "time_since_signup": (timestamp - row["signup"]) / DAY if row["signup"] else None,
        "time_since_last_same_merchant": (timestamp - same[-1]["timestamp"]) / DAY
        if same
        else None,
        "time_since_first_transaction": since_first,
    }
    features |= {
        "merchant_avg_amount": _mean([earlier["amount"] for earlier in shop]),
        "merchant_transaction_count": len(shop),
        "merchant_fraud_rate": _mean(
            [earlier["is_fraud"] for earlier in shop if _is_known(earlier, timestamp)]
        ),
    }
    for name in ("1d", "7d", "30d"):
        oldest = timestamp - SPANS[name]
        recent = [earlier for earlier in shop if earlier["timestamp"] > oldest]
        known_recently = [
            earlier
            for earlier in shop
            if _is_known(earlier, timestamp) and earlier["known_at"] > oldest
        ]
        features[f"merchant_tx_count_{name}"] = len(recent) + 1
        features[f"merchant_fraud_rate_{name}"] = _mean(
            [earlier["is_fraud"] for earlier in known_recently]
        )
    return features | _distances(row, before) | {"amount_log": math.log(1 + amount)}


def _is_known(row: Row, timestamp: dt.datetime) -> bool:
    return row["is_fraud"] is not None and row["known_at"] <= timestamp


def _calendar(row: Row) -> Row:
    timestamp = row["timestamp"]
    midnight = dt.datetime.combine(timestamp.date(), dt.time(), dt.UTC)
    turns = {
        "hour": (timestamp - midnight) / DAY,
        "day": timestamp.weekday() / 7,
        "month": (timestamp.month - 1) / 12,
    }
    angles = {
        f"{name}_{function.__name__}": function(2 * math.pi * turn)
        for name, turn in turns.items()
        for function in (math.sin, math.cos)
    }
    return angles | {
        "is_weekend": timestamp.weekday() >= 5,
        "is_night": timestamp.hour < 6,
        "is_holiday": row["is_holiday"],
        "is_business_hours": timestamp.weekday() < 5 and 9 <= timestamp.hour < 17,
    }


def _amounts(row: Row, before: list[Row], shop: list[Row]) -> Row:
    amount, earlier = row["amount"], [earlier_row["amount"] for earlier_row in before]
    mean, highest = _mean(earlier), max(earlier, default=None)
    deviation = stdev(earlier) if len(earlier) > 1 else None
    lower = sum(earlier_row < amount for earlier_row in earlier)
    return {
        "amount_normalized": _divide(amount, mean),
        "amount_zscore": None if mean is None else _divide(amount - mean, deviation),
        "amount_deviation_from_mean": None if mean is None else amount - mean,
        "amount_percentile": _divide(lower, len(earlier)),
        "amount_to_max_ratio": _divide(amount, highest),
        "amount_to_merchant_avg_ratio": _divide(
            amount, _mean([earlier_row["amount"] for earlier_row in shop])
        ),
        "amount_is_round": amount > 0 and amount % 10 == 0,
        "unusual_amount": amount > mean + 3 * deviation if len(earlier) >= 10 else None,
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": highest,
    }


def _velocity(row: Row, before: list[Row]) -> Row:
    features: Row = {}
    for name, span in SPANS.items():
        window = [
            earlier for earlier in before if earlier["timestamp"] > row["timestamp"] - span
        ] + [row]
        amounts = [earlier["amount"] for earlier in window]
        if name != "1d":
            features[f"tx_velocity_{name}"] = len(window)
            features[f"amount_velocity_{name}"] = sum(amounts)
        if name in ("24h", "7d", "30d"):
            features[f"avg_amount_{name}"] = fmean(amounts)
        if name in ("24h", "7d"):
            features[f"distinct_merchants_{name}"] = len(
                {earlier["merchant_id"] for earlier in window}
            )
        if name == "24h":
            features["distinct_countries_24h"] = (
                len({earlier["country"] for earlier in window} - {None}) or None
            )
    burst = [earlier for earlier in before if earlier["timestamp"] > row["timestamp"] - 10 * MINUTE]
    return features | {"is_burst": len(burst) + 1 >= 3}


def _patterns(row: Row, before: list[Row]) -> Row:
    def new(column: str) -> bool | None:
        return (
            None
            if row[column] is None
            else row[column] not in [earlier_row[column] for earlier_row in before]
        )

    def rare(kind: Any, kinds: list[Any]) -> bool | None:
        kinds = [earlier_row for earlier_row in kinds if earlier_row is not None]
        if kind is None or len(kinds) < 10:
            return None
        return kinds.count(kind) / len(kinds) < 1 / 20

    slots = [earlier_row["timestamp"].hour // 3 for earlier_row in before]
    return {
        "unusual_time": rare(row["timestamp"].hour // 3, slots),
        "unusual_merchant": rare(row["kind"], [earlier_row["kind"] for earlier_row in before]),
        "is_new_merchant": new("merchant_id"),
        "is_new_country": new("country"),
        "is_new_device": new("device_id"),
    }


def _distances(row: Row, before: list[Row]) -> Row:
    def against(column: str) -> float | None:
        earlier = [earlier_row[column] for earlier_row in before if earlier_row[column] is not None]
        if row[column] is None or not earlier:
            return None
        return row[column] / (1 + fmean(earlier))

    speed = None if row["moved"] is None else row["moved"] / row["hours"]
    places = [earlier_row["place"] for earlier_row in before if earlier_row["place"]]
    usual = unusual = None
    if row["place"] and places:
        x, y, z = (fmean(axis) for axis in zip(*map(_point, places), strict=True))
        middle = math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
        usual = _km(middle, row["place"])
        if len(places) >= 10:
            spread = RADIUS * math.sqrt(
                fmean(math.dist(_point(place), (x, y, z)) ** 2 for place in places)
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


def _divide(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
