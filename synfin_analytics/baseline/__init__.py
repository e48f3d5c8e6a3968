"""A simple baseline model: what every better model should beat.

A logistic regression of six features that are known at the time of a payment. It is trained on the
first part of a period, its threshold is chosen there, and it predicts the last part only. The days
between are left out, since labels take days to arrive.
"""

from synfin_analytics.baseline._features import FEATURES
from synfin_analytics.baseline.model import BaselineModel, fit_baseline, prediction_rows

__all__ = ["FEATURES", "BaselineModel", "fit_baseline", "prediction_rows"]
