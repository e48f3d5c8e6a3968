"""The features of the baseline model, of a frame or of all rows of some customers or merchants."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.grouped import DAY, Amounts, GroupedRolling, factorize
from synfin_analytics.database.models import Transaction
from synfin_analytics.io.coerce import coerce_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics._core.types import Floats

#: Features of the model, in words.
FEATURES = {
    "log_amount": "amount",
    "amount_ratio": "amount relative to the customer's mean so far",
    "amount_deviation": "distance from that mean, up or down",
    "payments_24h": "the customer's payments in the last 24 hours",
    "night": "time of day (0 to 6 h UTC)",
    "merchant_risk": "fraud rate of the merchant in the four weeks before the label delay",
}
REQUIRED = ("transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "is_fraud")
#: Time in microseconds since 1970, and the label as a number, NaN where it is missing.
EPOCH, LABEL = "epoch", "label"
_OF_MERCHANTS = "merchant_risk"
_RISK_WINDOW = dt.timedelta(days=28)
#: Weight of the prior fraud rate, in payments, and the prior itself.
_PRIOR_WEIGHT, _PRIOR_RATE = 20, 0.01
#: Smaller amounts, as of a card verification, count as this.
_MIN_AMOUNT = 0.01


def compute_features(transactions: pl.DataFrame, label_delay: dt.timedelta) -> pl.DataFrame:
    """Sort transactions by time, and add the features of the model.

    Each feature depends only on what is known at the time of the payment; on a label, once
    ``label_delay`` has passed.
    """
    frame = _sort(transactions)
    columns = _customer_features(frame) | {_OF_MERCHANTS: _merchant_risk(frame, label_delay)}
    return frame.with_columns(
        pl.col("amount").cast(pl.Float64),
        **{name: pl.Series(columns[name]) for name in FEATURES},
    )


def _sort(transactions: pl.DataFrame) -> pl.DataFrame:
    return transactions.sort("timestamp", "transaction_id")


def _customer_features(frame: pl.DataFrame) -> dict[str, Floats]:
    """Compute the features that depend on the payments of the customer, in the order of time."""
    amount = frame["amount"].cast(pl.Float64).to_numpy()
    customers = GroupedRolling(factorize(frame["customer_id"]), _epoch(frame))
    amounts = Amounts.from_floats(amount)
    positive = np.maximum(amount, _MIN_AMOUNT)
    mean_units = customers.window(include_current=False).mean(amounts.units)
    amount_ratio = ratio(positive * amounts.units_per_one, mean_units)
    log_ratio = np.log(np.where(np.isnan(amount_ratio), 1.0, amount_ratio))
    return {
        "log_amount": np.log(positive),
        "amount_ratio": log_ratio,
        "amount_deviation": np.abs(log_ratio),
        "payments_24h": np.log(customers.window(DAY).count()),
        "night": (frame["timestamp"].dt.hour() < 6).cast(pl.Float64).to_numpy(),
    }


def _merchant_risk(frame: pl.DataFrame, label_delay: dt.timedelta) -> Floats:
    """Compute the feature that depends on the payments at the merchant, in the order of time."""
    is_fraud = frame["is_fraud"].cast(pl.Boolean)
    merchants = GroupedRolling(
        factorize(frame["merchant_id"]), _epoch(frame), counted=is_fraud.is_not_null().to_numpy()
    )
    labels = merchants.window(_RISK_WINDOW, lag=label_delay, include_current=False)
    n_labels, n_frauds = labels.count(), labels.sum(is_fraud.fill_null(value=False).to_numpy())
    risk: Floats = (n_frauds + _PRIOR_RATE * _PRIOR_WEIGHT) / (n_labels + _PRIOR_WEIGHT)
    return np.log(risk)


def _epoch(frame: pl.DataFrame) -> Any:
    return frame["timestamp"].dt.epoch("us").to_numpy()


# -- On the workers of an engine ---------------------------------------------------------------


class CustomerFeatures:
    """Computes features of the customers, the time and the label, of all rows of some customers."""

    types = {  # noqa: RUF012
        EPOCH: pa.int64(),
        LABEL: pa.float64(),
        **{name: pa.float64() for name in FEATURES if name != _OF_MERCHANTS},
    }

    def __call__(self, rows: Any) -> dict[str, pa.Array]:
        """Compute the columns for rows in no order."""

        def compute(frame: pl.DataFrame) -> dict[str, Any]:
            label = frame["is_fraud"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            return {EPOCH: _epoch(frame), LABEL: label, **_customer_features(frame)}

        return _in_order(rows, REQUIRED, compute)


@dataclass(frozen=True)
class MerchantFeatures:
    """Computes the feature of the merchants, of all rows of some merchants."""

    label_delay: dt.timedelta

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Name and type of the column."""
        return {_OF_MERCHANTS: pa.float64()}

    def __call__(self, rows: Any) -> dict[str, pa.Array]:
        """Compute the column for rows in no order."""
        names = tuple(name for name in REQUIRED if name not in ("customer_id", "amount"))
        return _in_order(
            rows, names, lambda frame: {_OF_MERCHANTS: _merchant_risk(frame, self.label_delay)}
        )


def _in_order(
    rows: Any, names: tuple[str, ...], compute: Callable[[pl.DataFrame], dict[str, Any]]
) -> dict[str, pa.Array]:
    """Compute columns from rows in the order of time, and return them in the order of the rows."""
    frame = coerce_columns(
        nw.from_native(rows, eager_only=True), Transaction, names, numbered=False
    )
    frame = _sort(frame.with_row_index("row"))
    position = np.argsort(frame["row"].to_numpy())
    return {name: pa.array(values[position]) for name, values in compute(frame).items()}
