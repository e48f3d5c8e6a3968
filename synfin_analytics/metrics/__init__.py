"""Fraud rates and the evaluation of models: pure functions of frames and counts.

Each number has one definition, whatever the engine that counted.
"""

from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.fraud import fraud_rate
from synfin_analytics.metrics.proportions import Interval, proportion_interval, ratio

__all__ = ["Confusion", "Interval", "fraud_rate", "proportion_interval", "ratio"]
