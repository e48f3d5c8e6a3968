"""Transactions with the attributes of their customers and merchants, as sorted arrays."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.grouped import (
    Amounts,
    GroupedRolling,
    factorize,
    order_by_time,
    stable_argsort,
)
from synfin_analytics.database.models import Customer, Merchant, Transaction
from synfin_analytics.io.coerce import (
    coerce_columns,
    collect_columns,
    make_null_columns,
    raise_invalid_rows,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import narwhals as nw
    from narwhals.typing import IntoFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats, Integers, Mask
    from synfin_analytics.database.models import Base


REQUIRED = ("transaction_id", "customer_id", "merchant_id", "amount", "timestamp")
OPTIONAL = (
    "is_fraud",
    "label_available_at",
    "latitude",
    "longitude",
    "is_online",
    "country",
    "device_id",
    "merchant_category",
    "is_holiday",
    "distance_from_home",
    "distance_from_last",
)
CUSTOMER_COLUMNS = ("latitude", "longitude", "account_created")
MERCHANT_COLUMNS = ("category",)
_NAT = np.iinfo(np.int64).min  # NumPy's missing timestamp


@dataclasses.dataclass(frozen=True, eq=False)
class Payments:
    """Transactions by customer, then time; those of one timestamp in the order of their ids.

    Missing values are -1 in integer arrays, NaN in floating-point ones, and NaT in timestamps.
    """

    #: Row number in the input.
    row: Integers
    #: Positions of the payments of all customers in the order of time.
    time_order: Integers
    #: Rows to compute features for; the others are history.
    selected: Mask
    #: Microseconds since 1970, UTC.
    timestamp: Integers
    customer: Integers
    merchant: Integers
    amount: Amounts
    #: 1 or 0, and the microsecond from which on that was known.
    is_fraud: Integers
    label_available_at: Integers
    #: Place of the card holder, which is unknown for online payments.
    latitude: Floats
    longitude: Floats
    country: Integers
    device: Integers
    category: Integers
    holiday: Integers
    #: As in the input, in km.
    distance_from_home: Floats
    distance_from_last: Floats
    #: Of the customer.
    home_latitude: Floats
    home_longitude: Floats
    account_created: NDArray[np.datetime64]

    @classmethod
    def from_frames(
        cls,
        transactions: nw.DataFrame[Any],
        customers: IntoFrame | None,
        merchants: IntoFrame | None,
        *,
        label_delay: int,
        start: dt.datetime | None,
        end: dt.datetime | None,
    ) -> Payments:
        """Sort transactions, and look up the attributes of their customers and merchants.

        Parameters
        ----------
        transactions
            Rows with ``REQUIRED`` and any of ``OPTIONAL`` columns.
        customers, merchants
            Frames, or None.
        label_delay
            Microseconds after which a label is known, if ``transactions`` has no column
            ``label_available_at``. With that column, a missing cell means: known immediately.
        start, end
            Features are computed from ``start`` on and before ``end``, both in UTC.
        """
        frame = coerce_columns(transactions, Transaction, (*REQUIRED, *OPTIONAL))
        _check_unique(frame["transaction_id"], "transactions")
        timestamp = frame["timestamp"].to_physical().to_numpy()
        order = order_by_time(timestamp, frame["transaction_id"])
        if end is not None:
            order = order[(frame["timestamp"] < end).to_numpy()[order]]
        customer = factorize(frame["customer_id"])
        by_customer = stable_argsort(customer[order])
        time_order = np.empty_like(order)
        order, time_order[by_customer] = order[by_customer], np.arange(len(order))
        customer_values = _look_up(frame, customers, Customer, CUSTOMER_COLUMNS)
        merchant_values = _look_up(frame, merchants, Merchant, MERCHANT_COLUMNS)

        def column(
            name: str, convert: Callable[[pl.Series], Any], source: pl.DataFrame = frame
        ) -> Any:
            return convert(source[name])[order]  # NumPy reorders numbers faster than strings

        times = timestamp[order]
        available = column("label_available_at", _timestamps).astype(np.int64)
        default = times
        if "label_available_at" not in transactions.columns:
            default = times + label_delay
        is_online = column("is_online", _booleans) == 1
        latitude, longitude = (
            np.where(is_online, np.nan, column(name, _floats)) for name in ("latitude", "longitude")
        )
        category = pl.coalesce(frame["merchant_category"], merchant_values["category"])
        return cls(
            row=order,
            time_order=time_order,
            selected=np.ones(len(order), np.bool_)
            if start is None
            else (frame["timestamp"] >= start).to_numpy()[order],
            timestamp=times,
            customer=customer[order],
            merchant=column("merchant_id", factorize),
            amount=Amounts.from_floats(frame["amount"].to_numpy())[order],
            is_fraud=column("is_fraud", _booleans),
            label_available_at=np.where(available == _NAT, default, np.maximum(available, times)),
            latitude=np.where(np.isnan(longitude), np.nan, latitude),
            longitude=np.where(np.isnan(latitude), np.nan, longitude),
            country=column("country", factorize),
            device=column("device_id", factorize),
            category=factorize(pl.select(category).to_series())[order],
            holiday=column("is_holiday", _booleans),
            distance_from_home=column("distance_from_home", _floats),
            distance_from_last=column("distance_from_last", _floats),
            home_latitude=column("latitude", _floats, customer_values),
            home_longitude=column("longitude", _floats, customer_values),
            account_created=column("account_created", _timestamps, customer_values),
        )

    def rolling(
        self, keys: Integers, counted: Mask | None = None, *, time_order: Integers | None = None
    ) -> GroupedRolling:
        """Group the payments by a key; windows count all of them, or those under a mask."""
        return GroupedRolling(
            keys, self.timestamp, counted=counted, selected=self.selected, time_order=time_order
        )

    def rolling_labels(
        self, keys: Integers, *, time_order: Integers | None = None
    ) -> GroupedRolling:
        """Group the labelled payments by a key; windows count each once its label is known."""
        return GroupedRolling(
            keys,
            self.timestamp,
            available_at=self.label_available_at,
            counted=self.is_fraud >= 0,
            selected=self.selected,
            time_order=time_order,
        )


def _look_up(
    frame: pl.DataFrame, parents: IntoFrame | None, model: type[Base], columns: tuple[str, ...]
) -> pl.DataFrame:
    """Return columns of each row's customer or merchant; all missing without their table."""
    if parents is None:
        return make_null_columns(model, columns, len(frame))
    table = model.__tablename__
    key = f"{table.removesuffix('s')}_id"
    rows = collect_columns(parents, [key], columns, table, "engineer_features")
    values = coerce_columns(rows, model, (key, *columns))
    _check_unique(values[key], table)
    values = values.with_columns(pl.lit(value=True).alias("exists"))
    joined = frame.select(key).join(values, on=key, how="left", maintain_order="left")
    missing = joined["exists"].is_null()
    if missing.any():
        n_missing = pluralize(joined[key].filter(missing).n_unique(), table.removesuffix("s"))
        reason = f"is not in the table of {table} (add {n_missing}, or omit `{table}`)"
        raise_invalid_rows("transactions", key, reason, missing)
    return joined


def _check_unique(keys: pl.Series, table: str) -> None:
    repeated = ~keys.is_first_distinct()
    if repeated.any():
        raise_invalid_rows(table, keys.name, "repeats the key of an earlier row", repeated)


def _booleans(values: pl.Series) -> Integers:
    return values.cast(pl.Int64).fill_null(-1).to_numpy()


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _timestamps(values: pl.Series) -> NDArray[np.datetime64]:
    timestamps: NDArray[np.datetime64] = values.dt.replace_time_zone(None).to_numpy()
    return timestamps.astype("M8[us]")
