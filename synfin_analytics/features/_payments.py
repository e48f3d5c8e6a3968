"""Transactions with the attributes of their customers and merchants, as sorted arrays."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

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
from synfin_analytics.database.models import Customer, Merchant
from synfin_analytics.io.coerce import (
    coerce_columns,
    collect_columns,
    make_null_columns,
    raise_invalid_rows,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

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
#: What the features that depend on payments at the same merchant are computed from.
MERCHANT_HISTORY = (
    "transaction_id",
    "merchant_id",
    "timestamp",
    "amount",
    "is_fraud",
    "label_available_at",
)
CUSTOMER_COLUMNS = ("latitude", "longitude", "account_created")
MERCHANT_COLUMNS = ("category",)
#: Column of row numbers in the input, where rows come in another order.
ROW = "__row"
#: Column of customers and merchants that is missing in rows without them.
EXISTS = "__exists"
_NAT = np.iinfo(np.int64).min  # NumPy's missing timestamp


@dataclasses.dataclass(frozen=True)
class Scope:
    """Which features are computed, and when labels were known.

    Parameters
    ----------
    label_delay
        Microseconds after which a label is known; None if ``label_available_at`` says so, where a
        missing cell means: known immediately.
    start, end
        Features are computed from ``start`` on and before ``end``, both in UTC.
    """

    label_delay: int | None
    start: dt.datetime | None
    end: dt.datetime | None


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """What windows over the payments of a customer or of a merchant need."""

    #: Row number in the input.
    row: Integers
    #: Rows to compute features for; the others are history.
    selected: Mask
    #: Microseconds since 1970, UTC.
    timestamp: Integers
    amount: Amounts
    #: 1 or 0, and the microsecond from which on that was known; -1 where the label is missing.
    is_fraud: Integers
    label_available_at: Integers
    merchant: Integers

    @classmethod
    def from_columns(cls, frame: pl.DataFrame, scope: Scope) -> History:
        """Sort transactions by time; see :meth:`Payments.from_transactions`."""
        return cls(**_history(frame, _order(frame, scope.end), scope))

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


@dataclasses.dataclass(frozen=True, eq=False)
class Payments(History):
    """Transactions by customer, then time; those of one timestamp in the order of their ids.

    Missing values are -1 in integer arrays, NaN in floating-point ones, and NaT in timestamps.
    """

    #: Positions of the payments of all customers in the order of time.
    time_order: Integers
    customer: Integers
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
    def from_transactions(
        cls,
        frame: pl.DataFrame,
        parties: Parties,
        scope: Scope,
    ) -> Payments:
        """Sort transactions, and look up the attributes of their customers and merchants.

        Parameters
        ----------
        frame
            Rows with the columns ``REQUIRED`` and ``OPTIONAL``, as ``coerce_columns`` returns them.
        parties
            The tables of customers and merchants.
        scope
            The period of the features, and the time of labels.
        """
        order = _order(frame, scope.end)
        customer = factorize(frame["customer_id"])
        by_customer = stable_argsort(customer[order])
        time_order = np.empty_like(order)
        order, time_order[by_customer] = order[by_customer], np.arange(len(order))
        customer_values = parties.customers.look_up(frame)
        merchant_values = parties.merchants.look_up(frame)

        def column(
            name: str, convert: Callable[[pl.Series], Any], source: pl.DataFrame = frame
        ) -> Any:
            return convert(source[name])[order]  # NumPy reorders numbers faster than strings

        is_online = column("is_online", _booleans) == 1
        latitude, longitude = (
            np.where(is_online, np.nan, column(name, _floats)) for name in ("latitude", "longitude")
        )
        category = pl.coalesce(frame["merchant_category"], merchant_values["category"])
        return cls(
            **_history(frame, order, scope),
            time_order=time_order,
            customer=customer[order],
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


def _order(frame: pl.DataFrame, end: dt.datetime | None) -> Integers:
    """Return the order by time of the rows before ``end``; those of one timestamp by id."""
    order = order_by_time(frame["timestamp"].to_physical().to_numpy(), frame["transaction_id"])
    return order if end is None else order[(frame["timestamp"] < end).to_numpy()[order]]


def _history(frame: pl.DataFrame, order: Integers, scope: Scope) -> dict[str, Any]:
    """Return the fields of a history in an order of rows."""
    times = frame["timestamp"].to_physical().to_numpy()[order]
    available = times if scope.label_delay is None else times + scope.label_delay
    if scope.label_delay is None:
        dated = _timestamps(frame["label_available_at"])[order].astype(np.int64)
        available = np.where(dated == _NAT, times, np.maximum(dated, times))
    return {
        "row": order,
        "selected": np.ones(len(order), np.bool_)
        if scope.start is None
        else (frame["timestamp"] >= scope.start).to_numpy()[order],
        "timestamp": times,
        "amount": Amounts.from_floats(frame["amount"].to_numpy())[order],
        "is_fraud": _booleans(frame["is_fraud"])[order],
        "label_available_at": available,
        "merchant": factorize(frame["merchant_id"])[order],
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Parents:
    """The table of customers or of merchants, or that there is none.

    Parameters
    ----------
    model
        Its model.
    columns
        The attributes to look up.
    values
        Key, attributes and ``EXISTS``; None without a table.
    """

    #: As for ``coerce_columns``.
    numbered: ClassVar[bool] = True

    model: type[Base]
    columns: tuple[str, ...]
    values: pl.DataFrame | None

    @classmethod
    def from_frame(
        cls, parents: IntoFrame | None, model: type[Base], columns: tuple[str, ...]
    ) -> Parents:
        """Read the table; its keys must be unique."""
        if parents is None:
            return cls(model, columns, None)
        values = cls.read(parents, model, columns)
        return cls(model, columns, values.with_columns(pl.lit(value=True).alias(EXISTS)))

    @classmethod
    def read(cls, parents: IntoFrame, model: type[Base], columns: tuple[str, ...]) -> pl.DataFrame:
        """Read keys and attributes of a table, whose keys must be unique."""
        table, key = model.__tablename__, key_of(model)
        rows = collect_columns(parents, [key], columns, table, "engineer_features")
        values = coerce_columns(rows, model, (key, *columns))
        check_unique(values[key], table)
        return values

    def look_up(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the attributes for each transaction; all missing without a table."""
        if self.values is None:
            return make_null_columns(self.model, self.columns, len(frame))
        values = self.find(frame)
        missing = values[EXISTS].is_null()
        if missing.any():
            keys = frame[key_of(self.model)].filter(missing)
            self.raise_missing(keys.n_unique(), missing)
        return values

    def find(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the attributes and ``EXISTS`` for each transaction; there must be a table."""
        key = key_of(self.model)
        values = cast("pl.DataFrame", self.values)
        return frame.select(key).join(values, on=key, how="left", maintain_order="left")

    def raise_missing(
        self, n_keys: int, missing: pl.Series, row_numbers: pl.Series | None = None
    ) -> NoReturn:
        """Raise for the transactions under a mask, whose customer or merchant does not exist."""
        table = self.model.__tablename__
        n_missing = pluralize(n_keys, table.removesuffix("s"))
        reason = f"is not in the table of {table} (add {n_missing}, or omit `{table}`)"
        raise_invalid_rows(
            "transactions",
            key_of(self.model),
            reason,
            missing,
            row_numbers,
            numbered=self.numbered,
        )


class JoinedParents(Parents):
    """Attributes that have been joined to the transactions of a group, a row for each of them."""

    numbered = False

    def find(self, _: pl.DataFrame) -> pl.DataFrame:
        """Return the attributes that were joined."""
        return cast("pl.DataFrame", self.values)


class MissingParents:
    """Transactions of which the customer or merchant does not exist, from all batches.

    Parameters
    ----------
    parents
        The table.
    """

    def __init__(self, parents: Parents) -> None:
        self._parents, self._key = parents, key_of(parents.model)
        self._rows: list[pl.Series] = []
        self._keys: set[str] = set()

    def note(self, frame: pl.DataFrame) -> None:
        """Remember the rows of a batch without a row in the table."""
        if self._parents.values is None:
            return
        keys = frame.select(ROW, self._key)
        missing = keys.join(self._parents.values, on=self._key, how="anti", maintain_order="left")
        if len(missing):
            self._rows.append(missing[ROW])
            self._keys.update(missing[self._key].unique())

    def check(self) -> None:
        """Raise an ArgumentError that lists all of them."""
        if self._rows:
            rows = pl.concat(self._rows)
            every = pl.repeat(True, len(rows), dtype=pl.Boolean, eager=True)
            self._parents.raise_missing(len(self._keys), every, rows)


@dataclasses.dataclass(frozen=True, eq=False)
class Parties:
    """The tables of customers and merchants."""

    customers: Parents
    merchants: Parents

    @classmethod
    def from_frames(cls, customers: IntoFrame | None, merchants: IntoFrame | None) -> Parties:
        """Read both tables."""
        return cls(
            Parents.from_frame(customers, Customer, CUSTOMER_COLUMNS),
            Parents.from_frame(merchants, Merchant, MERCHANT_COLUMNS),
        )

    def without_merchants(self) -> Parties:
        """Return the same without merchants, for transactions that have their categories."""
        return dataclasses.replace(self, merchants=dataclasses.replace(self.merchants, values=None))


def key_of(model: type[Base]) -> str:
    """Return the column of a transaction that names its customer or merchant."""
    return f"{model.__tablename__.removesuffix('s')}_id"


def check_unique(keys: pl.Series, table: str, *, numbered: bool = True) -> None:
    """Raise an ArgumentError for repeated keys; ``numbered`` as for ``coerce_columns``."""
    repeated = ~keys.is_first_distinct()
    if repeated.any():
        raise_repeated(table, keys.name, repeated, numbered=numbered)


def raise_repeated(
    table: str,
    key: str,
    repeated: pl.Series,
    row_numbers: pl.Series | None = None,
    *,
    numbered: bool = True,
) -> NoReturn:
    """Raise an ArgumentError for the rows whose keys an earlier row has."""
    reason = "repeats the key of an earlier row"
    raise_invalid_rows(table, key, reason, repeated, row_numbers, numbered=numbered)


def _booleans(values: pl.Series) -> Integers:
    return values.cast(pl.Int64).fill_null(-1).to_numpy()


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _timestamps(values: pl.Series) -> NDArray[np.datetime64]:
    timestamps: NDArray[np.datetime64] = values.dt.replace_time_zone(None).to_numpy()
    return timestamps.astype("M8[us]")
