"""Payments as arrays, before they become a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

HOUR, DAY = 3_600, 86_400  # seconds

#: What the numbers in the arrays mean.
KINDS = ("purchase", "withdrawal", "refund", "payment")
PURCHASE, WITHDRAWAL, REFUND, PAYMENT = range(len(KINDS))
CHANNELS = ("pos", "atm", "online", "mobile", "phone")
POS, ATM, ONLINE, MOBILE, PHONE = range(len(CHANNELS))
ENTRIES = ("chip", "contactless", "magstripe", "manual", "ecommerce", "stored")
CHIP, CONTACTLESS, MAGSTRIPE, MANUAL, ECOMMERCE, STORED = range(len(ENTRIES))
STATUSES = ("completed", "declined", "failed", "reversed")
COMPLETED, DECLINED, FAILED, REVERSED = range(len(STATUSES))
ANOMALIES = (None, "holiday_travel", "large_purchase")
#: A place that the bank does not know: nobody was there when a subscription was charged.
UNKNOWN = -1
#: The bank knows the label at once.
AT_ONCE = -1
LEAST, MOST = 50, 2_000_000  # cents


@dataclasses.dataclass(frozen=True)
class Payments:
    """One element for each payment, in no particular order."""

    #: Seconds from the first day's beginning.
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
    #: City where the payer was: of the merchant, or of the address on the internet.
    place: NDArray[np.int16]
    #: Bits that stand for the payer's device; 0 where there is none.
    device: NDArray[np.uint64]
    anomaly: NDArray[np.int8]
    #: Number of the pattern, 0 where it is no fraud, and of the reason among the pattern's.
    fraud: NDArray[np.int8]
    reason: NDArray[np.int8]
    #: Second in which the bank learnt that it is fraud.
    known: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def of(cls, n: int, **columns: ArrayLike) -> Payments:
        """Build ``n`` payments; what is not given is as in most payments."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            given = columns.pop(field.name, _USUAL.get(field.name, 0))
            values[field.name] = np.broadcast_to(
                np.asarray(given).astype(TYPES[field.name], copy=False), (n,)
            )
        if columns:
            raise TypeError(f"Payments have no {', '.join(columns)}.")
        return cls(**values)

    def take(self, rows: NDArray[Any]) -> Payments:
        """Those of these numbers, or under this mask."""
        return Payments(**{name: values[rows] for name, values in self.columns().items()})

    def changed(self, **columns: ArrayLike) -> Payments:
        """Give some columns other values."""
        return Payments.of(len(self), **(self.columns() | columns))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


#: Type of each column.
TYPES = {
    field.name: {
        "time": np.int64, "customer": np.int64, "merchant": np.int64, "cents": np.int64,
        "place": np.int16, "device": np.uint64, "known": np.int64,
    }.get(field.name, np.int8)
    for field in dataclasses.fields(Payments)
}  # fmt: skip
_USUAL = {"place": UNKNOWN, "known": AT_ONCE}


def together(parts: Sequence[Payments]) -> Payments:
    """All payments of all parts."""
    return Payments(
        **{
            name: np.concatenate([getattr(part, name) for part in parts]).astype(of, copy=False)
            for name, of in TYPES.items()
        }
    )


def in_order(payments: Payments, days: int) -> Payments:
    """Those within the period, in the order of time; at one moment in the order given."""
    within = (payments.time >= 0) & (payments.time < days * DAY)
    order = np.flatnonzero(within)
    return payments.take(order[np.argsort(payments.time[order], kind="stable")])


def money(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Amounts in whole cents, within what a card allows."""
    return np.clip(np.rint(amounts * 100), LEAST, MOST).astype(np.int64)
