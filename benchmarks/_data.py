"""Seeded rows of the table ``transactions``, in the files that the peers read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pgpq
import polars as pl
import pyarrow.parquet as pq

from synfin_analytics.database.models import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

COLUMNS = [column.name for column in Transaction.__table__.columns]
#: Columns of a card network's file: the required ones and a label.
FEW_COLUMNS = [
    "transaction_id", "customer_id", "merchant_id", "terminal_id", "amount", "currency",
    "timestamp", "merchant_category", "channel", "is_fraud",
]  # fmt: skip
CUSTOMERS, MERCHANTS = 5_000, 1_000

_CHUNK = 131_072
_START = 1_704_067_200_000_000  # 2024-01-01 in microseconds
_SPAN = 180 * 86_400_000_000
_CATEGORIES = ("grocery", "travel", "electronics", "restaurant", "fuel", "health")
_PLACES = {
    "city": ("Berlin", "Paris", "Madrid", "New York", "São Paulo"),
    "state": ("BE", "IDF", "MD", "NY", "SP"),
    "country": ("DE", "FR", "ES", "US", "BR"),
    "zip_code": ("10115", "75001", "28001", "10001", "01000"),
}
_WORDS = {
    "currency": ("EUR", "USD", "GBP"),
    "transaction_type": ("purchase", "withdrawal", "payment"),
    "category": _CATEGORIES,
    "payment_method": ("credit_card", "debit_card", "digital_wallet"),
    "card_type": ("credit", "debit"),
    "channel": ("online", "pos", "atm"),
    "entry_mode": ("chip", "contactless", "ecommerce"),
    "status": ("completed", "approved"),
    "device_type": ("mobile", "desktop", "terminal"),
    "merchant_category": _CATEGORIES,
    "merchant_city": _PLACES["city"],
}
_SHARES = {
    "is_holiday": 0.03,
    "is_online": 0.4,
    "card_present": 0.6,
    "is_international": 0.1,
    "is_anomaly": 0.02,
}
_NUMBERS = {
    "latitude": (-60, 60),
    "longitude": (-170, 170),
    "fraud_score": (0, 1),
    "anomaly_score": (0, 1),
    "distance_from_home": (0, 500),
    "distance_from_last": (0, 500),
    "time_since_last_transaction": (0, 86_400),
    "merchant_risk_score": (0, 1),
    "customer_risk_score": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows to generate: their number, their keys and their order.

    Keys count ``first``, ``first + step`` ...; in order of time as a bank's nightly file, or
    shuffled.
    """

    count: int
    first: int = 0
    step: int = 1
    shuffled: bool = False
    few_columns: bool = False

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in batches, so that any number of them takes little memory."""
        rng = np.random.default_rng([self.first, self.count])
        places = np.arange(self.count)
        if self.shuffled:
            rng.shuffle(places)
        names = FEW_COLUMNS if self.few_columns else COLUMNS
        for start in range(0, self.count, _CHUNK):
            part = places[start : start + _CHUNK]
            moments = _START + (_SPAN * (part / self.count)).astype(np.int64)
            yield _frame(self.first + self.step * part, moments, rng).select(names)


def _frame(keys: np.ndarray, moments: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    count = len(keys)

    def words(values: tuple[str, ...]) -> pl.Series:
        return pl.Series(values).gather(rng.integers(0, len(values), count))

    def label(text: str) -> pl.Series:
        return pl.select(pl.when(pl.lit(fraud)).then(pl.lit(text))).to_series()

    def money(digits: int) -> pl.Series:
        return pl.Series(np.rint(np.exp(rng.normal(3, 1.2, count)) * 100 + 1) / 100).cast(
            pl.Decimal(digits, 2)
        )

    fraud = pl.Series(rng.random(count) < 0.008)
    customer, merchant = rng.integers(0, CUSTOMERS, count), rng.integers(0, MERCHANTS, count)
    place = rng.integers(0, len(_PLACES["city"]), count)
    moment = pl.Series(moments).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(
        {
            "key": keys,
            "customer": customer,
            "merchant": merchant,
            "timestamp": moment,
            "amount": money(12),
            "amount_last_hour": money(15),
            "amount_last_day": money(15),
            "exchange_rate": pl.Series(np.round(rng.random(count) + 0.5, 6)).cast(
                pl.Decimal(14, 6)
            ),
            "transactions_last_hour": rng.integers(0, 5, count, dtype=np.int32),
            "transactions_last_day": rng.integers(0, 20, count, dtype=np.int32),
            "is_fraud": fraud,
            "fraud_type": label("card_testing"),
            "fraud_reason": label("many small amounts"),
            "anomaly_type": label("spike"),
            **{name: pl.Series(values).gather(place) for name, values in _PLACES.items()},
            **{name: words(values) for name, values in _WORDS.items()},
            **{name: rng.random(count) < share for name, share in _SHARES.items()},
            **{name: rng.uniform(low, high, count) for name, (low, high) in _NUMBERS.items()},
        }
    )
    timestamp, hour = pl.col("timestamp"), pl.col("timestamp").dt.hour().cast(pl.Int16)
    return frame.with_columns(
        transaction_id=pl.format("TX{}", pl.col("key") + 10**11),
        customer_id=pl.format("C{}", "customer"),
        merchant_id=pl.format("M{}", "merchant"),
        card_id=pl.format("card-{}", "customer"),
        terminal_id=pl.format("T{}", "merchant"),
        device_id=pl.format("device-{}", "customer"),
        ip_address=pl.format("10.0.{}.1", pl.col("customer") % 256),
        hour_of_day=hour,
        day_of_week=(timestamp.dt.weekday() - 1).cast(pl.Int16),
        day_of_month=timestamp.dt.day().cast(pl.Int16),
        month=timestamp.dt.month().cast(pl.Int16),
        is_weekend=timestamp.dt.weekday() >= 6,
        time_of_day_category=pl.Series(["night", "morning", "afternoon", "evening"]).gather(
            moment.dt.hour() // 6
        ),
        label_available_at=timestamp + pl.duration(days=7),
        created_at=timestamp,
        updated_at=timestamp,
    )


def parents() -> dict[str, pl.DataFrame]:
    """Customers and merchants that the transactions refer to."""
    return {
        "customers": pl.DataFrame({"customer_id": [f"C{n}" for n in range(CUSTOMERS)]}),
        "merchants": pl.DataFrame({"merchant_id": [f"M{n}" for n in range(MERCHANTS)]}),
    }


def encoded(tables: Iterator[pa.Table]) -> Iterator[bytes]:
    """Encode tables of one schema as PostgreSQL's binary COPY, with pgpq."""
    encoder = None
    for table in tables:
        if encoder is None:
            encoder = pgpq.ArrowToPostgresBinaryEncoder(table.schema)
            yield encoder.write_header()
        for batch in table.to_batches(max_chunksize=16_384):
            yield encoder.write_batch(batch)
    if encoder is not None:
        yield encoder.finish()


def arrow(frame: pl.DataFrame) -> pa.Table:
    """Convert a frame to types that every peer supports."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def write_files(rows: Rows, folder: Path, *, csv: bool = True, binary: bool = False) -> None:
    """Write ``rows.parquet`` and, for ``psql \\copy``, ``rows.csv`` and ``rows.binary``."""
    folder.mkdir(parents=True)
    writer = None
    for frame in rows.frames():
        table = arrow(frame)
        writer = writer or pq.ParquetWriter(folder / "rows.parquet", table.schema)
        writer.write_table(table)
        if csv:
            with (folder / "rows.csv").open("ab") as file:
                write_csv(frame, file)
    if writer is not None:
        writer.close()
    if binary:
        with (folder / "rows.binary").open("wb") as file:
            file.writelines(encoded(arrow(frame) for frame in rows.frames()))


def write_csv(frame: pl.DataFrame, file: object) -> None:
    """Write CSV for COPY: NULL is an empty field, and an empty text is quoted."""
    frame.write_csv(file, include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00")  # type: ignore[call-overload]  # a binary file
