"""Cost of a threshold: the review of its alerts, and fraud that is missed or not recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_number, check_share
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from synfin_analytics.metrics._score_counts import Floats
    from synfin_analytics.metrics.curve import Curve

NO_AMOUNTS = (
    "Costs need the amounts of the transactions, which were not counted. Pass the column, "
    'evaluate(..., amount="amount"), or amount=True to a repository.'
)


def check_costs(cost_per_alert: float, recovery_rate: float) -> tuple[float, float]:
    """Return both parameters of a cost as floats.

    Raises
    ------
    ArgumentError
        ``cost_per_alert`` is not an amount of at least 0, or ``recovery_rate`` not from 0 to 1.
    """
    return (
        check_number(cost_per_alert, "cost_per_alert", "an amount of at least 0", minimum=0),
        check_share(recovery_rate, "recovery_rate"),
    )


def cost_curve(
    curve: Curve, cost_per_alert: float, recovery_rate: float = 1.0, points: int | None = None
) -> pd.DataFrame:
    """Compute the cost of each threshold.

    cost = cost_per_alert · alerts + missed fraud value + (1 - recovery_rate) · caught fraud value,
    which without any alert is the value of all fraud (with full recovery, the cost matrix of Correa
    Bahnsen, Aouada, Stojanovic and Ottersten, 2016).

    Parameters
    ----------
    curve
        Of counts with amounts (``evaluate(..., amount="amount")``).
    cost_per_alert
        Cost of reviewing an alert, in the currency of the amounts.
    recovery_rate
        Share of the value of a caught fraud that is saved, from 0 to 1.
    points
        Maximum number of thresholds, as for :meth:`Curve.to_frame`.

    Returns
    -------
    pandas.DataFrame
        ``threshold`` (descending, first infinite), ``alerts``, ``queue_rate``, ``caught_amount``,
        ``missed_amount``, ``alert_cost``, ``cost`` and ``saved`` (relative to no alert at all).

    Raises
    ------
    ArgumentError
        The amounts were not counted, or a parameter is out of range.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import ScoreCounts
    >>> from synfin_analytics.metrics.curve import Curve
    >>> curve = Curve(ScoreCounts.from_arrays([0.9, 0.4], [True, False], [80.0, 20.0]))
    >>> cost_curve(curve, cost_per_alert=5)["cost"].tolist()
    [80.0, 5.0, 10.0]
    """
    fraud_amount = _fraud_amount(curve)
    cost_per_alert, recovery_rate = check_costs(cost_per_alert, recovery_rate)
    selected = curve.select_points(points)
    alerts = np.append(0, curve.alerts[selected])
    caught = np.append(0.0, np.cumsum(fraud_amount)[selected])
    total = float(fraud_amount.sum())
    missed = total - caught
    if len(missed) > 1:
        missed[-1] = 0.0  # all are alerts: no remainder of rounding
    cost = cost_per_alert * alerts + missed + (1 - recovery_rate) * caught
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, curve.counts.score[selected]),
            "alerts": alerts,
            "queue_rate": alerts / curve.n if curve.n else np.full(len(alerts), np.nan),
            "caught_amount": caught,
            "missed_amount": missed,
            "alert_cost": cost_per_alert * alerts,
            "cost": cost,
            "saved": total - cost,
        }
    )


def cost_at_threshold(
    curve: Curve, threshold: float, cost_per_alert: float, recovery_rate: float = 1.0
) -> float:
    """Compute the cost of one threshold, see :func:`cost_curve`.

    Raises
    ------
    ArgumentError
        The amounts were not counted, or a parameter is out of range.
    """
    fraud_amount = _fraud_amount(curve)
    cost_per_alert, recovery_rate = check_costs(cost_per_alert, recovery_rate)
    count = curve.count_scores(threshold)
    caught, missed = float(fraud_amount[:count].sum()), float(fraud_amount[count:].sum())
    alerts = int(curve.alerts[count - 1]) if count else 0
    return cost_per_alert * alerts + missed + (1 - recovery_rate) * caught


def _fraud_amount(curve: Curve) -> Floats:
    if curve.counts.fraud_amount is None:
        raise ArgumentError(NO_AMOUNTS)
    return curve.counts.fraud_amount
