"""Payments as arrays, before they become a table."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

HOUR, DAY = 3_600, 86_400  # seconds

# The numbers in the arrays, and their meanings.
Kind = IntEnum("Kind", "PURCHASE WITHDRAWAL REFUND PAYMENT", start=0)
Channel = IntEnum("Channel", "POS ATM ONLINE MOBILE PHONE", start=0)
Entry = IntEnum("Entry", "CHIP CONTACTLESS MAGSTRIPE MANUAL ECOMMERCE STORED", start=0)
Status = IntEnum("Status", "COMPLETED DECLINED FAILED REVERSED", start=0)
ANOMALY_TYPES = (None, "holiday_travel", "large_purchase")
HOLIDAY_TRAVEL, LARGE_PURCHASE = 1, 2
#: Place of a payment for which the bank knows none, as of subscriptions.
UNKNOWN_PLACE = -1
#: The bank knows the label immediately.
IMMEDIATELY = -1
MIN_CENTS, MAX_CENTS = 50, 2_000_000


@dataclasses.dataclass(frozen=True)
class Payments:
    """Payments, one element each, in no particular order."""

    #: Seconds since the first midnight.
    time: NDArray[np.int64]
    customer: NDArray[np.int64]
    merchant: NDArray[np.int64]
    cents: NDArray[np.int64]
    #: Number of the customer's card.
    card: NDArray[np.int8]
    #: Number of the merchant's terminal.
    terminal: NDArray[np.int8]
    kind: NDArray[np.int8]
    channel: NDArray[np.int8]
    entry: NDArray[np.int8]
    status: NDArray[np.int8]
    #: City of the payer: that of the merchant, or of the IP address.
    place: NDArray[np.int16]
    #: Bits that identify the payer's device; 0 where there is none.
    device: NDArray[np.uint64]
    anomaly: NDArray[np.int8]
    #: Number of the pattern, 0 if genuine; and number of the reason among those of the pattern.
    fraud: NDArray[np.int8]
    reason: NDArray[np.int8]
    #: Time at which the bank learns that it is fraud.
    label_time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def build(cls, n: int, **columns: ArrayLike) -> Payments:
        """Build ``n`` payments; columns that are not given have their default."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            column = columns.pop(field.name, _DEFAULTS.get(field.name, 0))
            values[field.name] = np.broadcast_to(
                np.asarray(column).astype(_DTYPES[field.name], copy=False), (n,)
            )
        if columns:
            raise TypeError(f"Payments have no {', '.join(columns)}.")
        return cls(**values)

    def take(self, rows: NDArray[Any]) -> Payments:
        """Return the payments with these numbers, or under this mask."""
        return Payments(**{name: values[rows] for name, values in self.columns().items()})

    def replace(self, **columns: ArrayLike) -> Payments:
        """Return the payments with other values in some columns."""
        return Payments.build(len(self), **(self.columns() | columns))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


_DTYPES: dict[str, Any] = {
    field.name: {
        "time": np.int64, "customer": np.int64, "merchant": np.int64, "cents": np.int64,
        "place": np.int16, "device": np.uint64, "label_time": np.int64,
    }.get(field.name, np.int8)
    for field in dataclasses.fields(Payments)
}  # fmt: skip
_DEFAULTS = {"place": UNKNOWN_PLACE, "label_time": IMMEDIATELY}


def concatenate(parts: Sequence[Payments]) -> Payments:
    """Return the payments of all parts."""
    return Payments(
        **{
            name: np.concatenate([getattr(part, name) for part in parts]).astype(dtype, copy=False)
            for name, dtype in _DTYPES.items()
        }
    )


def sort_by_time(payments: Payments, days: int) -> Payments:
    """Return the payments within the period by time, those of one second in their given order."""
    in_period = (payments.time >= 0) & (payments.time < days * DAY)
    rows = np.flatnonzero(in_period)
    return payments.take(rows[np.argsort(payments.time[rows], kind="stable")])


def to_cents(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round amounts to cents, within the limits of a card."""
    return np.clip(np.rint(amounts * 100), MIN_CENTS, MAX_CENTS).astype(np.int64)
