"""What a threshold costs: alerts that somebody must look at, and fraud that gets through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from synfin_analytics.metrics.curve import Curve


def cost_curve(
    curve: Curve, cost_per_alert: float, recovery_rate: float = 1.0, points: int | None = None
) -> pd.DataFrame:
    """Cost of each threshold.

    cost = cost_per_alert · alerts + missed fraud value + (1 - recovery_rate) · caught fraud value,
    which without any alert is the value of all fraud.

    Parameters
    ----------
    curve
        Of counts with amounts (``evaluate(..., amount="amount")``).
    cost_per_alert
        What it costs to look at one, in the currency of the amounts.
    recovery_rate
        Share of the value of a caught fraud that is saved, from 0 to 1.
    points
        Thresholds at most, as for :meth:`Curve.frame`.

    Returns
    -------
    pandas.DataFrame
        ``threshold`` (descending, first infinite), ``alerts``, ``queue_rate``, ``caught_amount``,
        ``missed_amount``, ``alert_cost``, ``cost`` and ``saved`` (against no alert at all).
    """
    amount, fraud_amount = curve.counts.amount, curve.counts.fraud_amount
    if amount is None or fraud_amount is None:
        raise ArgumentError('Costs need the value of the transactions: evaluate(..., amount="…").')
    if not (math.isfinite(cost_per_alert) and cost_per_alert >= 0):
        raise ArgumentError(f"cost_per_alert is an amount of at least 0; got {cost_per_alert!r}.")
    if not 0 <= recovery_rate <= 1:
        raise ArgumentError(f"recovery_rate is a share from 0 to 1; got {recovery_rate!r}.")
    chosen = curve.chosen(points)
    alerts = np.append(0, curve.alerts[chosen])
    caught = np.append(0.0, np.cumsum(fraud_amount)[chosen])
    total = float(fraud_amount.sum())
    missed = total - caught
    if len(missed) > 1:
        missed[-1] = 0.0  # all are alerted: no remainder of rounding
    cost = cost_per_alert * alerts + missed + (1 - recovery_rate) * caught
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, curve.counts.score[chosen]),
            "alerts": alerts,
            "queue_rate": alerts / curve.n if curve.n else np.full(len(alerts), np.nan),
            "caught_amount": caught,
            "missed_amount": missed,
            "alert_cost": cost_per_alert * alerts,
            "cost": cost,
            "saved": total - cost,
        }
    )
