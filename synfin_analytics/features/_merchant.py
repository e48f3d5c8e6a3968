"""Features of the merchant's earlier payments, and of their labels that were known by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.grouped import DAY, GroupedRolling

if TYPE_CHECKING:
    from synfin_analytics.features._calendar import Features
    from synfin_analytics.features._payments import Payments

_WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}


def merchant_features(payments: Payments) -> Features:
    """Describe the merchant as known at the time of each payment."""
    amounts = payments.amount
    amount = amounts.to_money(amounts.units[payments.selected])
    rolling = GroupedRolling(
        payments.merchant,
        payments.timestamp,
        selected=payments.selected,
        time_order=payments.time_order,
    )
    labels = GroupedRolling(
        payments.merchant,
        payments.timestamp,
        time_order=payments.time_order,
        available_at=payments.label_available_at,
        counted=payments.is_fraud >= 0,
        selected=payments.selected,
    )
    earlier = rolling.window(include_current=False)
    known_labels = labels.window(include_current=False)
    mean = amounts.to_money(earlier.sum(amounts.units), earlier.count())
    features: Features = {
        "amount_to_merchant_avg_ratio": ratio(amount, mean),
        "merchant_avg_amount": mean,
        "merchant_transaction_count": earlier.count(),
        "merchant_fraud_rate": known_labels.mean(payments.is_fraud == 1),
    }
    for name, length in _WINDOWS.items():
        features[f"merchant_tx_count_{name}"] = rolling.window(length).count()
        known_labels = labels.window(length, include_current=False)
        features[f"merchant_fraud_rate_{name}"] = known_labels.mean(payments.is_fraud == 1)
    return features
