"""Features of the merchant's earlier payments, and of the frauds among them that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.rolling import DAY, Runs

if TYPE_CHECKING:
    from synfin_analytics.features._calendar import Features
    from synfin_analytics.features.payments import Payments

WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}


def merchant_features(payments: Payments) -> Features:
    """Describe the merchant as it was known at each payment."""
    amounts = payments.amount
    amount = amounts.money(amounts.units[payments.wanted])
    runs = Runs(payments.merchant, payments.at, rows=payments.wanted, by_time=payments.by_time)
    labels = Runs(
        payments.merchant,
        payments.at,
        by_time=payments.by_time,
        known_at=payments.known_at,
        counted=payments.fraud >= 0,
        rows=payments.wanted,
    )
    before, known = runs.window(include_current=False), labels.window(include_current=False)
    mean = amounts.money(before.sum(amounts.units), before.count())
    found: Features = {
        "amount_to_merchant_avg_ratio": ratio(amount, mean),
        "merchant_avg_amount": mean,
        "merchant_transaction_count": before.count(),
        "merchant_fraud_rate": known.mean(payments.fraud == 1),
    }
    for name, length in WINDOWS.items():
        found[f"merchant_tx_count_{name}"] = runs.window(length).count()
        known = labels.window(length, include_current=False)
        found[f"merchant_fraud_rate_{name}"] = known.mean(payments.fraud == 1)
    return found
