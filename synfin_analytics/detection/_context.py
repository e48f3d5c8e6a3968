"""Transactions as detectors look at them: what a bank knows when nobody has said "fraud" yet."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.geography import great_circle_km
from synfin_analytics._core.grouped import factorize
from synfin_analytics.database.models import Transaction
from synfin_analytics.io.coerce import coerce_columns, collect_columns, raise_invalid_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

#: A device that a customer was seen with for no longer is a stranger's.
STRANGE_FOR = dt.timedelta(days=7)
AXES = ("latitude", "longitude")
REQUIRED = ("transaction_id", "customer_id", "merchant_id", "amount", "timestamp")
#: No label, and nothing that follows from one, is among these: no detector can look at it.
OPTIONAL = (
    "card_id",
    "terminal_id",
    "device_id",
    "latitude",
    "longitude",
    "is_online",
    "entry_mode",
    "transaction_type",
    "status",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Ledger:
    """Transactions in the order of time, those of one moment in the order of their ids.

    Parameters
    ----------
    frame
        Rows with ``REQUIRED`` and ``OPTIONAL`` columns, in order.
    known
        Optional columns that say something of at least one row.
    """

    frame: pl.DataFrame
    known: frozenset[str]

    @classmethod
    def of(cls, transactions: Any, caller: str) -> Ledger:
        """Put transactions of any engine in order, without what was learnt later.

        Raises
        ------
        NotFoundError
            A required column is not there.
        ArgumentError
            It is no frame; a cell is missing or wrong; a transaction is there twice.
        """
        rows = collect_columns(transactions, REQUIRED, OPTIONAL, "transactions", caller)
        frame = coerce_columns(rows, Transaction, (*REQUIRED, *OPTIONAL))
        twice = ~frame["transaction_id"].is_first_distinct()
        if twice.any():
            raise_invalid_rows(
                "transactions", "transaction_id", "repeats the key of an earlier row", twice
            )
        known = [name for name in OPTIONAL if frame[name].null_count() < len(frame)]
        frame = frame.with_columns(
            pl.col("amount").cast(pl.Float64), pl.col("transaction_id").str.len_bytes().alias("len")
        )
        return cls(frame.sort("timestamp", "len", "transaction_id").drop("len"), frozenset(known))

    def __len__(self) -> int:
        return len(self.frame)

    @functools.cached_property
    def at(self) -> Integers:
        """Microseconds since 1970, UTC."""
        return self.frame["timestamp"].to_physical().to_numpy()

    @functools.cached_property
    def amount(self) -> Floats:
        """Amounts."""
        return self.frame["amount"].to_numpy()

    @functools.cached_property
    def customer(self) -> Integers:
        """Number of the customer, from 0 on."""
        return factorize(self.frame["customer_id"])

    @functools.cached_property
    def merchant(self) -> Integers:
        """Number of the merchant, from 0 on."""
        return factorize(self.frame["merchant_id"])

    @functools.cached_property
    def card(self) -> Integers:
        """Number of the card, from 0 on; of the customer where no card is told."""
        return self._together("customer_id", "card_id")

    @functools.cached_property
    def device(self) -> Integers:
        """Number of the customer's device, from 0 on."""
        return self._together("customer_id", "device_id")

    @functools.cached_property
    def terminal(self) -> Integers:
        """Number of the merchant's terminal, from 0 on; of the merchant where none is told."""
        return self._together("merchant_id", "terminal_id")

    def _together(self, *columns: str) -> Integers:
        texts = (pl.col(name).fill_null("") for name in columns)
        return factorize(self.frame.select(pl.concat_str(*texts, separator="\x00")).to_series())

    @functools.cached_property
    def paid_back(self) -> Mask:
        """Money that came to the card holder."""
        return self.is_one_of("transaction_type", "refund", "deposit")

    @functools.cached_property
    def spent(self) -> Mask:
        """Money that went from the card holder: neither paid back nor refused."""
        return ~self.paid_back & ~self.is_one_of("status", "declined", "failed", "reversed")

    @functools.cached_property
    def online(self) -> Mask:
        """Known to be paid online."""
        return self.truth("is_online")

    @functools.cached_property
    def payments(self) -> Floats:
        """Beside each row how many payments its customer made, refused ones too."""
        return self.of_customer(pl.len())

    @functools.cached_property
    def span_days(self) -> Floats:
        """Beside each row the days from its customer's first payment to the last."""
        lasts = pl.col("timestamp").max() - pl.col("timestamp").min()
        return self.of_customer(lasts.dt.total_seconds()) / 86_400

    @functools.cached_property
    def mean(self) -> Floats:
        """Beside each row the mean of what its customer spends otherwise; NaN without any."""
        total = self.of_customer(pl.col("amount").filter(pl.col("spent")).sum())
        others = self.of_customer(pl.col("spent").sum()) - self.spent
        return (total - self.amount * self.spent) / np.where(others > 0, others, np.nan)

    @functools.cached_property
    def times_usual(self) -> Floats:
        """Beside each row its amount by that mean; NaN where that is 0 or unknown."""
        return ratio(self.amount, self.mean)

    @functools.cached_property
    def in_person(self) -> Mask:
        """Paid where the card was, for all that is known: not online, and read by a terminal."""
        remote = self.is_one_of("entry_mode", "ecommerce", "stored", "manual")
        return ~self.online & ~remote & ~self.paid_back

    @functools.cached_property
    def own_device(self) -> Mask:
        """Paid from a device that this customer was seen with for longer than some days."""
        seen_for = pl.col("timestamp").max() - pl.col("timestamp").min()
        stays = seen_for.over("customer_id", "device_id") > STRANGE_FOR
        return self._mask(stays & pl.col("device_id").is_not_null())

    @functools.cached_property
    def strange_device(self) -> Mask:
        """Paid from a device that is not the customer's own, of whom others were known before."""
        first = pl.col("timestamp").min()
        known_for = first.over("customer_id", "device_id") - first.over("customer_id")
        known = (known_for >= STRANGE_FOR) & pl.col("device_id").is_not_null()
        return self._mask(known) & ~self.own_device

    @functools.cached_property
    def stripe(self) -> Mask:
        """Read from the magnetic stripe, which can be copied, or typed in by hand."""
        return self.is_one_of("entry_mode", "magstripe", "manual")

    @property
    def tells_strangers(self) -> bool:
        """Whether devices or entry modes are known at all."""
        return not self.known.isdisjoint(("device_id", "entry_mode"))

    @functools.cached_property
    def strange(self) -> Mask:
        """Not in the customer's way, or nothing is known that could tell."""
        if not self.tells_strangers:
            return np.ones(len(self), np.bool_)
        return self.strange_device | self.stripe

    @functools.cached_property
    def from_home(self) -> Floats:
        """Distance in km from where the customer mostly pays in person; NaN where unknown."""
        there = pl.col("in_person")
        home = [self.of_customer(pl.col(axis).filter(there).median()) for axis in AXES]
        return great_circle_km(*(self.numbers(axis) for axis in AXES), *home)

    def of_customer(self, what: pl.Expr) -> Floats:
        """Beside each row a figure of all rows of its customer; NaN where there is none."""
        figures = self._rows.select(what.over("customer")).to_series()
        return figures.cast(pl.Float64).fill_null(np.nan).to_numpy()

    @functools.cached_property
    def _rows(self) -> pl.DataFrame:
        masks = {name: getattr(self, name) for name in ("customer", "spent", "online", "in_person")}
        return self.frame.with_columns(pl.Series(name, values) for name, values in masks.items())

    def _mask(self, condition: pl.Expr) -> Mask:
        mask: Mask = self.frame.select(condition).to_series().to_numpy()
        return mask

    def is_one_of(self, column: str, *values: str) -> Mask:
        """Rows whose text is one of these; what is not known is none of them."""
        return self.frame[column].is_in(values).fill_null(value=False).to_numpy()

    def truth(self, column: str) -> Mask:
        """Rows for which a column is known to be true."""
        return self.frame[column].fill_null(value=False).to_numpy()

    def numbers(self, column: str) -> Floats:
        """Numbers of a column, NaN where they are missing."""
        return self.frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
