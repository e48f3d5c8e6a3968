"""The 69 features written by hand with polars' expressions: cumulative and rolling, over groups.

The definitions are those of docs/guide/features.md. Unlike ours, rolling expressions let a row see
later ones of its own timestamp, and labels become known after the same delay for all rows.
"""

from __future__ import annotations

import math

import polars as pl

from synfin_analytics.features import FEATURES

CUSTOMER, MERCHANT, TIME = "customer_id", "merchant_id", "timestamp"
DELAY_DAYS = 7
SPANS = ("1h", "6h", "24h", "7d", "30d")
DAYS = (1, 7, 30)
_DAY_US = 86_400_000_000
_EARTH_KM = 6371.0088
_MIN_HISTORY = 10


def compute(rows: pl.DataFrame, customers: pl.DataFrame, merchants: pl.DataFrame) -> pl.DataFrame:
    """Compute ``transaction_id`` and the 69 features, in the order of the rows."""
    frame = (
        rows.lazy()
        .with_row_index("row")
        .join(
            customers.lazy().rename({"latitude": "home_lat", "longitude": "home_lon"}),
            on=CUSTOMER,
            how="left",
        )
        .join(merchants.lazy(), on=MERCHANT, how="left")
        .sort(TIME, pl.col("transaction_id").str.len_bytes(), "transaction_id")
    )
    frame = _add_inputs(frame)
    frame = frame.with_columns(**_customer_inputs())
    frame = frame.with_columns(**_first_places())
    frame = frame.with_columns(
        **_row(), **_amounts(), **_velocity(), **_habits(), **_merchant(), **_places()
    )
    frame = frame.with_columns(**_from_velocity(), **_usual_place())
    ordered = frame.sort(CUSTOMER, TIME, maintain_order=True)
    day = {"distinct_merchants_24h": MERCHANT, "distinct_countries_24h": "country"}
    distinct = [_distinct(frame, "24h", day)]
    distinct.append(_distinct(frame, "7d", {"distinct_merchants_7d": MERCHANT}))
    parts = pl.collect_all([ordered, *distinct])
    return pl.concat(parts, how="horizontal").sort("row").select("transaction_id", *FEATURES)


def _add_inputs(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add what features are computed from, row by row."""
    has_place = (
        ~pl.col("is_online").fill_null(value=False)
        & pl.col("latitude").is_not_null()
        & pl.col("longitude").is_not_null()
    )
    lat, lon = (
        pl.when(has_place).then(pl.col(name)).radians() for name in ("latitude", "longitude")
    )
    return frame.with_columns(
        one=pl.lit(1, pl.Int64),
        cents=(pl.col("amount") * 100).round().cast(pl.Int64),
        fraud=pl.col("is_fraud").cast(pl.Int64).fill_null(0),
        labelled=pl.col("is_fraud").is_not_null().cast(pl.Int64),
        slot=pl.col(TIME).dt.hour() // 3,
        day=pl.col(TIME).dt.date(),
        us=pl.col(TIME).dt.epoch("us"),
        category=pl.coalesce("merchant_category", "category"),
        lat=lat,
        lon=lon,
        home_lat=pl.col("home_lat").radians(),
        home_lon=pl.col("home_lon").radians(),
    )


def _before(column: str | pl.Expr, by: str = CUSTOMER) -> pl.Expr:
    """Sum of the earlier rows."""
    values = pl.col(column) if isinstance(column, str) else column
    return (values.cum_sum() - values).over(by)


def _number(*by: str) -> pl.Expr:
    """Number of earlier rows with the same values."""
    return pl.int_range(pl.len(), dtype=pl.Int64).over(*by)


def _rolling(column: str, span: str, by: str) -> pl.Expr:
    return pl.col(column).rolling_sum_by(TIME, span, closed="right").over(by)


def _kilometres(lat: pl.Expr, lon: pl.Expr, to_lat: pl.Expr, to_lon: pl.Expr) -> pl.Expr:
    haversine = ((to_lat - lat) / 2).sin() ** 2 + lat.cos() * to_lat.cos() * (
        (to_lon - lon) / 2
    ).sin() ** 2
    return 2 * _EARTH_KM * haversine.clip(0, 1).sqrt().arcsin()


def _customer_inputs() -> dict[str, pl.Expr]:
    """What several features of the customer need."""
    deviation = pl.col("cents") - pl.col("cents").first().over(CUSTOMER)
    return {
        "n": _number(CUSTOMER),
        "total": _before("cents"),
        "d1": _before(deviation),
        "d2": _before(deviation * deviation),
        "highest": pl.col("amount").cum_max().shift(1).over(CUSTOMER),
        "first_us": pl.col("us").first().over(CUSTOMER),
        "last_us": pl.col("us").shift(1).over(CUSTOMER),
        "new_merchant": (_number(CUSTOMER, MERCHANT) == 0).cast(pl.Int64),
        "new_day": (_number(CUSTOMER, "day") == 0).cast(pl.Int64),
        "last_lat": pl.col("lat").forward_fill().shift(1).over(CUSTOMER),
        "last_lon": pl.col("lon").forward_fill().shift(1).over(CUSTOMER),
        "last_place_us": pl.when(pl.col("lat").is_not_null())
        .then("us")
        .forward_fill()
        .shift(1)
        .over(CUSTOMER),
    }


def _first_places() -> dict[str, pl.Expr]:
    """Distances, and coordinates on the unit sphere."""
    lat, lon = pl.col("lat"), pl.col("lon")
    home = _kilometres(pl.col("home_lat"), pl.col("home_lon"), lat, lon)
    last = _kilometres(pl.col("last_lat"), pl.col("last_lon"), lat, lon)
    return {
        "from_home": pl.coalesce("distance_from_home", home),
        "moved": last,
        "from_last": pl.coalesce("distance_from_last", last),
        "x": lat.cos() * lon.cos(),
        "y": lat.cos() * lon.sin(),
        "z": lat.sin(),
    }


def _row() -> dict[str, pl.Expr]:
    """Features of the row alone."""
    hour, weekday = pl.col(TIME).dt.hour(), pl.col(TIME).dt.weekday() - 1
    of_day = 2 * math.pi * (pl.col("us") % _DAY_US) / _DAY_US
    of_week, of_year = (
        2 * math.pi * weekday / 7,
        2 * math.pi * (pl.col(TIME).dt.month() - 1) / 12,
    )
    return {
        "amount_log": pl.col("amount").log1p(),
        "amount_is_round": (pl.col("cents") % 1000 == 0) & (pl.col("cents") > 0),
        "hour_sin": of_day.sin(),
        "hour_cos": of_day.cos(),
        "day_sin": of_week.sin(),
        "day_cos": of_week.cos(),
        "month_sin": of_year.sin(),
        "month_cos": of_year.cos(),
        "is_weekend": weekday >= 5,
        "is_night": hour < 6,
        "is_business_hours": (weekday < 5) & (hour >= 9) & (hour < 17),
        "time_since_signup": (pl.col("us") - pl.col("account_created").dt.epoch("us")) / _DAY_US,
    }


def _divide(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    return pl.when(denominator != 0).then(numerator / denominator)


def _amounts() -> dict[str, pl.Expr]:
    """Compare the amount with the customer's earlier ones."""
    n, amount = pl.col("n"), pl.col("amount")
    mean = _divide(pl.col("total") / 100, n)
    variance = _divide(pl.col("d2") - _divide(pl.col("d1").cast(float) ** 2, n), n - 1)
    deviation = pl.when(n > 1).then(variance.clip(0, None).sqrt() / 100)
    lower = pl.col("amount").rolling_rank(2**31 - 1, method="min", min_samples=1).over(CUSTOMER) - 1
    return {
        "amount_normalized": _divide(amount, mean),
        "amount_zscore": _divide(amount - mean, deviation),
        "amount_deviation_from_mean": amount - mean,
        "amount_percentile": _divide(lower, n),
        "amount_to_max_ratio": _divide(amount, pl.col("highest")),
        "unusual_amount": pl.when(n >= _MIN_HISTORY).then(amount > mean + 3 * deviation),
        "customer_lifetime_value": pl.col("total") / 100,
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": pl.col("highest"),
        "customer_transaction_count": n,
    }


def _velocity() -> dict[str, pl.Expr]:
    """Counts and sums of the customer's windows."""
    counts = {f"tx_velocity_{span}": _rolling("one", span, CUSTOMER) for span in SPANS}
    sums = {f"amount_velocity_{span}": _rolling("cents", span, CUSTOMER) / 100 for span in SPANS}
    return counts | sums | {"is_burst": _rolling("one", "10m", CUSTOMER) >= 3}


def _from_velocity() -> dict[str, pl.Expr]:
    """What follows from them."""
    known = _before("labelled") + pl.col("labelled") - _rolling("labelled", "7d", CUSTOMER)
    frauds = _before("fraud") + pl.col("fraud") - _rolling("fraud", "7d", CUSTOMER)
    means = {
        f"avg_amount_{span}": pl.col(f"amount_velocity_{span}") / pl.col(f"tx_velocity_{span}")
        for span in SPANS[2:]
    }
    return means | {"customer_prior_fraud_count": pl.when(known > 0).then(frauds)}


def _habits() -> dict[str, pl.Expr]:
    """Compare the row with what the customer usually does."""
    n, us = pl.col("n"), pl.col("us")
    n_categories = _before(pl.col("category").is_not_null().cast(pl.Int64))
    since_first = (us - pl.col("first_us")) / _DAY_US
    mean_gap = pl.when(n > 1).then((pl.col("last_us") - pl.col("first_us")) / (n - 1))
    same = (us - us.shift(1).over(CUSTOMER, MERCHANT)) / _DAY_US
    return {
        "unusual_time": pl.when(n >= _MIN_HISTORY).then(20 * _number(CUSTOMER, "slot") < n),
        "unusual_merchant": pl.when(
            (n_categories >= _MIN_HISTORY) & pl.col("category").is_not_null()
        ).then(20 * _number(CUSTOMER, "category") < n_categories),
        "is_new_merchant": pl.col("new_merchant") == 1,
        "is_new_country": pl.when(pl.col("country").is_not_null()).then(
            _number(CUSTOMER, "country") == 0
        ),
        "is_new_device": pl.when(pl.col("device_id").is_not_null()).then(
            _number(CUSTOMER, "device_id") == 0
        ),
        "customer_transaction_frequency": pl.when(n > 0).then(n / since_first.clip(1, None)),
        "customer_active_days": _before("new_day"),
        "customer_merchant_diversity": _divide(_before("new_merchant"), n),
        "time_since_last_normalized": _divide(us - pl.col("last_us"), mean_gap),
        "time_since_first_transaction": pl.when(n > 0).then(since_first),
        "time_since_last_same_merchant": same,
    }


def _merchant() -> dict[str, pl.Expr]:
    """Describe the merchant as known at the time."""
    n = _number(MERCHANT)
    mean = _divide(_before("cents", MERCHANT) / 100, n)
    recent_labels, recent_frauds = (
        _rolling(name, f"{DELAY_DAYS}d", MERCHANT) for name in ("labelled", "fraud")
    )
    known, frauds = (
        _before(name, MERCHANT) + pl.col(name) - recent
        for name, recent in (("labelled", recent_labels), ("fraud", recent_frauds))
    )
    features = {
        "merchant_avg_amount": mean,
        "amount_to_merchant_avg_ratio": _divide(pl.col("amount"), mean),
        "merchant_transaction_count": n,
        "merchant_fraud_rate": _divide(frauds, known),
    }
    for days in DAYS:
        in_window, frauds = (
            _rolling(name, f"{days + DELAY_DAYS}d", MERCHANT) - recent
            for name, recent in (("labelled", recent_labels), ("fraud", recent_frauds))
        )
        features[f"merchant_tx_count_{days}d"] = _rolling("one", f"{days}d", MERCHANT)
        features[f"merchant_fraud_rate_{days}d"] = _divide(frauds, in_window)
    return features


def _places() -> dict[str, pl.Expr]:
    """Compare the place with the home and with the last one."""
    hours = (pl.col("us") - pl.col("last_place_us")).clip(60_000_000, None) / 3_600_000_000
    speed = pl.col("moved") / hours
    return {
        "distance_normalized": _relative(pl.col("from_home")),
        "distance_from_last_normalized": _relative(pl.col("from_last")),
        "travel_speed_kmh": speed,
        "impossible_travel": (speed > 900) & (pl.col("moved") > 50),
        "n_places": _before(pl.col("x").is_not_null().cast(pl.Int64)),
        **{f"sum_{axis}": _before(pl.col(axis).fill_null(0.0)) for axis in "xyz"},
    }


def _relative(km: pl.Expr) -> pl.Expr:
    millimetres = (km * 1e6).round().cast(pl.Int64).fill_null(0)
    total, count = _before(millimetres), _before(km.is_not_null().cast(pl.Int64))
    return pl.when(count > 0).then(km / (1 + total / count / 1e6))


def _usual_place() -> dict[str, pl.Expr]:
    """Compare the place with the centre of the earlier ones."""
    n = pl.col("n_places")
    x, y, z = (_divide(pl.col(f"sum_{axis}"), n) for axis in "xyz")
    lat = pl.arctan2(z, (x * x + y * y).sqrt())
    km = _kilometres(lat, pl.arctan2(y, x), pl.col("lat"), pl.col("lon"))
    spread = _EARTH_KM * (1 - (x * x + y * y + z * z)).clip(0, None).sqrt()
    far = km > pl.max_horizontal(pl.lit(50.0), 3 * spread)
    return {
        "distance_from_usual": km,
        "unusual_location": pl.when((n >= _MIN_HISTORY) & km.is_not_null()).then(far),
    }


def _distinct(frame: pl.LazyFrame, span: str, columns: dict[str, str]) -> pl.LazyFrame:
    """Count the distinct known values in a window, by customer and time."""
    counts = frame.rolling(TIME, period=span, group_by=CUSTOMER).agg(
        pl.col(column).drop_nulls().n_unique().cast(pl.Int64).alias(name)
        for name, column in columns.items()
    )
    known = [pl.when(pl.col(name) > 0).then(pl.col(name)).alias(name) for name in columns]
    return counts.sort(CUSTOMER, TIME).select(known)
