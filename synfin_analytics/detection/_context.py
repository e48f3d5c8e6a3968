"""Transactions as detectors see them: what a bank knows before anything is labelled."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import great_circle_km, ratio
from synfin_analytics._core.grouped import factorize, order_by_time
from synfin_analytics.database.models import Transaction
from synfin_analytics.io.coerce import coerce_columns, collect_columns, raise_invalid_rows

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Floats, Integers, Mask


#: A device is the customer's own if its first and last payment are farther apart than this.
_OWN_DEVICE_AGE = dt.timedelta(days=7)
PLACE_COLUMNS = ("latitude", "longitude")
REQUIRED_COLUMNS = ("transaction_id", "customer_id", "merchant_id", "amount", "timestamp")
REPEATED_ID = "repeats the key of an earlier row"
#: Neither labels nor anything derived from labels: no detector can read them.
OPTIONAL_COLUMNS = (
    "card_id",
    "terminal_id",
    "device_id",
    *PLACE_COLUMNS,
    "is_online",
    "entry_mode",
    "transaction_type",
    "status",
)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionContext:
    """Transactions in the order of time, those with the same timestamp in the order of their ids.

    Its properties are arrays with one element for each transaction.

    Parameters
    ----------
    frame
        Sorted rows with the required and optional columns.
    available_columns
        Optional columns with a value in at least one row, if only in the contexts of other workers.
    """

    frame: pl.DataFrame
    available_columns: frozenset[str]

    @classmethod
    def from_frame(cls, df: IntoFrame | TransactionSource, caller: str) -> DetectionContext:
        """Sort the transactions of any DataFrame.

        Raises
        ------
        NotFoundError
            A required column is missing.
        ArgumentError
            ``df`` is not a DataFrame, a cell is missing or invalid, or a transaction is repeated.
        """
        rows = collect_columns(df, REQUIRED_COLUMNS, OPTIONAL_COLUMNS, "transactions", caller)
        frame = coerce_columns(rows, Transaction, (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS))
        repeated = ~frame["transaction_id"].is_first_distinct()
        if repeated.any():
            raise_invalid_rows("transactions", "transaction_id", REPEATED_ID, repeated)
        available = [name for name in OPTIONAL_COLUMNS if frame[name].null_count() < len(frame)]
        return cls.from_rows(frame, frozenset(available))

    @classmethod
    def from_rows(cls, frame: pl.DataFrame, available_columns: frozenset[str]) -> DetectionContext:
        """Sort transactions with the types of their table, whose ids are unique."""
        timestamps = frame["timestamp"].to_physical().to_numpy()
        order = order_by_time(timestamps, frame["transaction_id"])
        frame = frame.with_columns(pl.col("amount").cast(pl.Float64))
        return cls(frame[order], available_columns)

    def __len__(self) -> int:
        return len(self.frame)

    @functools.cached_property
    def timestamp(self) -> Integers:
        """Microseconds since 1970, UTC."""
        return self.frame["timestamp"].to_physical().to_numpy()

    @functools.cached_property
    def amount(self) -> Floats:
        """Amounts."""
        return self.frame["amount"].to_numpy()

    @functools.cached_property
    def customer(self) -> Integers:
        """Code of the customer."""
        return factorize(self.frame["customer_id"])

    @functools.cached_property
    def merchant(self) -> Integers:
        """Code of the merchant."""
        return factorize(self.frame["merchant_id"])

    @functools.cached_property
    def card(self) -> Integers:
        """Code of the card; of the customer where no card is known."""
        return self._combined_codes("customer_id", "card_id")

    @functools.cached_property
    def device(self) -> Integers:
        """Code of the customer's device."""
        return self._combined_codes("customer_id", "device_id")

    @functools.cached_property
    def terminal(self) -> Integers:
        """Code of the merchant's terminal; of the merchant where no terminal is known."""
        return self._combined_codes("merchant_id", "terminal_id")

    def _combined_codes(self, *columns: str) -> Integers:
        texts = (pl.col(name).fill_null("") for name in columns)
        return factorize(self.frame.select(pl.concat_str(*texts, separator="\x00")).to_series())

    @functools.cached_property
    def is_credit(self) -> Mask:
        """Whether the card holder received money."""
        return self.is_in("transaction_type", "refund", "deposit")

    @functools.cached_property
    def is_spent(self) -> Mask:
        """Whether the card holder spent money: not a credit, declined, failed or reversed."""
        return ~self.is_credit & ~self.is_in("status", "declined", "failed", "reversed")

    @functools.cached_property
    def is_online(self) -> Mask:
        """Whether the payment is known to be online."""
        return self.frame["is_online"].fill_null(value=False).to_numpy()

    @functools.cached_property
    def is_in_person(self) -> Mask:
        """Whether the card was present, as far as known: not online, and read by a terminal."""
        is_remote = self.is_in("entry_mode", "ecommerce", "stored", "manual")
        return ~self.is_online & ~is_remote & ~self.is_credit

    @functools.cached_property
    def customer_count(self) -> Floats:
        """Number of the customer's payments, declined ones included."""
        return self.per_customer(pl.len())

    @functools.cached_property
    def customer_days(self) -> Floats:
        """Days from the customer's first payment to the last."""
        period = pl.col("timestamp").max() - pl.col("timestamp").min()
        return self.per_customer(period.dt.total_seconds()) / 86_400

    @functools.cached_property
    def usual_amount(self) -> Floats:
        """Mean of what the customer spends in all other payments; NaN if there are none."""
        total = self.per_customer(pl.col("amount").filter(pl.col("is_spent")).sum())
        n_others = self.per_customer(pl.col("is_spent").sum()) - self.is_spent
        amount_of_others = total - self.amount * self.is_spent
        return amount_of_others / np.where(n_others > 0, n_others, np.nan)

    @functools.cached_property
    def amount_ratio(self) -> Floats:
        """Amount divided by the customer's usual amount; NaN where that is 0 or unknown."""
        return ratio(self.amount, self.usual_amount)

    @functools.cached_property
    def has_own_device(self) -> Mask:
        """Whether the device is the customer's own: used for longer than some days."""
        period = pl.col("timestamp").max() - pl.col("timestamp").min()
        is_own = period.over("customer_id", "device_id") > _OWN_DEVICE_AGE
        return self._mask(is_own & pl.col("device_id").is_not_null())

    @functools.cached_property
    def has_unfamiliar_device(self) -> Mask:
        """Whether the device is not the customer's own, and appears after the first days."""
        first = pl.col("timestamp").min()
        appears_after = first.over("customer_id", "device_id") - first.over("customer_id")
        is_new = (appears_after >= _OWN_DEVICE_AGE) & pl.col("device_id").is_not_null()
        return self._mask(is_new) & ~self.has_own_device

    @functools.cached_property
    def is_copyable(self) -> Mask:
        """Whether the card was read from the magnetic stripe, or its number typed in by hand."""
        return self.is_in("entry_mode", "magstripe", "manual")

    @property
    def can_tell_unfamiliar(self) -> bool:
        """Whether any device or entry mode is known."""
        return not self.available_columns.isdisjoint(("device_id", "entry_mode"))

    @functools.cached_property
    def is_unfamiliar(self) -> Mask:
        """Whether a payment is not made the customer's usual way, or there is no way to tell."""
        if not self.can_tell_unfamiliar:
            return np.ones(len(self), np.bool_)
        return self.has_unfamiliar_device | self.is_copyable

    @functools.cached_property
    def distance_from_home(self) -> Floats:
        """Distance in km from home, the median place of payments in person; NaN if unknown."""
        home = [
            self.per_customer(pl.col(axis).filter(pl.col("is_in_person")).median())
            for axis in PLACE_COLUMNS
        ]
        return great_circle_km(*(self.floats(axis) for axis in PLACE_COLUMNS), *home)

    def per_customer(self, statistic: pl.Expr) -> Floats:
        """Return a statistic of all rows of each row's customer; NaN where it is undefined."""
        values = self._rows.select(statistic.over("customer")).to_series()
        return values.cast(pl.Float64).fill_null(np.nan).to_numpy()

    @functools.cached_property
    def _rows(self) -> pl.DataFrame:
        """The frame with columns that statistics refer to."""
        names = ("customer", "is_spent", "is_online", "is_in_person")
        return self.frame.with_columns(pl.Series(name, getattr(self, name)) for name in names)

    def _mask(self, condition: pl.Expr) -> Mask:
        mask: Mask = self.frame.select(condition).to_series().to_numpy()
        return mask

    def is_in(self, column: str, *values: str) -> Mask:
        """Whether a column has one of these values; False where it is missing."""
        return self.frame[column].is_in(values).fill_null(value=False).to_numpy()

    def floats(self, column: str) -> Floats:
        """Return a numeric column, NaN where it is missing."""
        return self.frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
