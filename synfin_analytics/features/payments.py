"""Transactions with what is known of their customers and merchants, as arrays in order."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.ranks import stable_order
from synfin_analytics._core.rolling import Amounts
from synfin_analytics.database.models import Customer, Merchant, Transaction
from synfin_analytics.io.coerce import (
    coerce_columns,
    collect_columns,
    make_null_columns,
    raise_invalid_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import narwhals as nw
    from numpy.typing import NDArray

    from synfin_analytics.database.models import Base

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

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
OF_CUSTOMERS = ("latitude", "longitude", "account_created")
OF_MERCHANTS = ("category",)
_UNKNOWN_AT = np.iinfo(np.int64).min  # as NumPy writes NaT


@dataclasses.dataclass(frozen=True, eq=False)
class Payments:
    """Transactions by customer, then time; those of one moment in the order of their ids.

    Whole numbers are -1 where nothing is known, other numbers NaN, moments NaT.
    """

    #: Number of each row in the frame.
    row: Integers
    #: The payments of all customers in the order of time, by their places here.
    by_time: Integers
    #: Rows that features are wanted for; the others are history.
    wanted: Mask
    #: Microseconds since 1970, UTC.
    at: Integers
    customer: Integers
    merchant: Integers
    amount: Amounts
    #: 1 or 0, and the microsecond from which that was known.
    fraud: Integers
    known_at: Integers
    #: Where the card holder was: nothing is known of that when a payment is made online.
    latitude: Floats
    longitude: Floats
    country: Integers
    device: Integers
    category: Integers
    holiday: Integers
    #: As the table has them, in km.
    from_home: Floats
    from_last: Floats
    #: Of the customer.
    home_latitude: Floats
    home_longitude: Floats
    signup: NDArray[np.datetime64]

    @classmethod
    def of(
        cls,
        transactions: nw.DataFrame[Any],
        customers: Any,
        merchants: Any,
        delay: int,
        since: np.datetime64 | None,
        until: np.datetime64 | None,
    ) -> Payments:
        """Put the rows in order, and beside each what is known of its customer and merchant.

        Parameters
        ----------
        transactions
            Rows with ``REQUIRED`` and as many of ``OPTIONAL`` as there are.
        customers, merchants
            Frames, or None.
        delay
            Microseconds after which a label is known, in transactions without the column
            ``label_available_at``. With that column, a missing cell means: known at once.
        since, until
            Features are wanted from ``since`` on and before ``until``.
        """
        frame = coerce_columns(transactions, Transaction, (*REQUIRED, *OPTIONAL))
        _refuse_repeated(frame["transaction_id"], "transactions")
        at = frame["timestamp"].to_physical().to_numpy()
        order = _in_order(at, frame["transaction_id"])
        if until is not None:
            order = order[at[order] < until.astype(np.int64)]
        customer = codes_of(frame["customer_id"])
        together = stable_order(customer[order])
        by_time = np.empty_like(order)
        order, by_time[together] = order[together], np.arange(len(order))
        holder = _looked_up(frame, customers, Customer, OF_CUSTOMERS)
        seller = _looked_up(frame, merchants, Merchant, OF_MERCHANTS)

        def of(name: str, read: Callable[[pl.Series], Any], source: pl.DataFrame = frame) -> Any:
            return read(source[name])[order]  # NumPy puts numbers in order faster than texts

        moments = at[order]
        known_at = of("label_available_at", _moments).astype(np.int64)
        at_once = moments + (0 if "label_available_at" in transactions.columns else delay)
        online = of("is_online", _truth) == 1
        latitude, longitude = (
            np.where(online, np.nan, of(name, _floats)) for name in ("latitude", "longitude")
        )
        category = pl.coalesce(frame["merchant_category"], seller["category"])
        return cls(
            row=order,
            by_time=by_time,
            wanted=np.ones(len(order), np.bool_)
            if since is None
            else moments >= since.astype(np.int64),
            at=moments,
            customer=customer[order],
            merchant=of("merchant_id", codes_of),
            amount=Amounts.of(frame["amount"].to_numpy())[order],
            fraud=of("is_fraud", _truth),
            known_at=np.where(known_at == _UNKNOWN_AT, at_once, np.maximum(known_at, moments)),
            latitude=np.where(np.isnan(longitude), np.nan, latitude),
            longitude=np.where(np.isnan(latitude), np.nan, longitude),
            country=of("country", codes_of),
            device=of("device_id", codes_of),
            category=codes_of(pl.select(category).to_series())[order],
            holiday=of("is_holiday", _truth),
            from_home=of("distance_from_home", _floats),
            from_last=of("distance_from_last", _floats),
            home_latitude=of("latitude", _floats, holder),
            home_longitude=of("longitude", _floats, holder),
            signup=of("account_created", _moments, holder),
        )


def _in_order(at: Integers, ids: pl.Series) -> Integers:
    """Order by time; of one moment by id: shorter ones first, as numbers and counters have them."""
    order = np.argsort(at, kind="stable")
    same = at[order[1:]] == at[order[:-1]]
    tied = np.append(False, same) | np.append(same, False)
    if tied.any():
        rows = order[tied]
        names = pl.DataFrame({"at": at[rows], "id": ids.gather(rows)})
        order[tied] = rows[
            names.select(pl.arg_sort_by("at", pl.col("id").str.len_bytes(), "id")).to_series()
        ]
    return order


def _looked_up(
    frame: pl.DataFrame, parents: Any, model: type[Base], names: tuple[str, ...]
) -> pl.DataFrame:
    """Columns of each row's customer or merchant; nothing is known of them without a table."""
    if parents is None:
        return make_null_columns(model, names, len(frame))
    table = model.__tablename__
    key = f"{table.removesuffix('s')}_id"
    known = coerce_columns(
        collect_columns(parents, [key], names, table, "engineer_features"), model, (key, *names)
    )
    _refuse_repeated(known[key], table)
    known = known.with_columns(pl.lit(value=True).alias("known"))
    found = frame.select(key).join(known, on=key, how="left", maintain_order="left")
    lacking = found["known"].is_null()
    if lacking.any():
        who = pluralize(found[key].filter(lacking).n_unique(), table.removesuffix("s"))
        reason = f"is not in the table of {table} (add {who}, or give no {table})"
        raise_invalid_rows("transactions", key, reason, lacking)
    return found


def _refuse_repeated(keys: pl.Series, table: str) -> None:
    repeated = ~keys.is_first_distinct()
    if repeated.any():
        raise_invalid_rows(table, keys.name, "repeats the key of an earlier row", repeated)


def codes_of(values: pl.Series) -> Integers:
    """Turn values into numbers from 0 on, equal ones into the same; -1 where there is none."""
    if values.null_count() == len(values):
        return np.full(len(values), -1)
    codes = values.to_arrow().dictionary_encode().indices.fill_null(-1).cast(pa.int64())
    numbers: Integers = codes.to_numpy(zero_copy_only=False)
    return numbers


def _truth(values: pl.Series) -> Integers:
    return values.cast(pl.Int64).fill_null(-1).to_numpy()


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _moments(values: pl.Series) -> NDArray[np.datetime64]:
    moments: NDArray[np.datetime64] = values.dt.replace_time_zone(None).to_numpy()
    return moments.astype("M8[us]")
