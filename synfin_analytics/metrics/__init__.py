"""Fraud rates and the evaluation of models, computed from counts.

Each engine aggregates counts; one implementation turns counts into metrics.
"""

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.metrics._evaluate import evaluate
from synfin_analytics.metrics.bootstrap import Bootstrap
from synfin_analytics.metrics.comparison import Comparison, compare_models
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.curve import Curve, cost_curve
from synfin_analytics.metrics.drift import Drift, measure_drift
from synfin_analytics.metrics.evaluation import Evaluation, Threshold
from synfin_analytics.metrics.fraud_rates import fraud_rate
from synfin_analytics.metrics.gains import GainsTable
from synfin_analytics.metrics.grouped import GroupComparison, GroupedEvaluation, GroupValue
from synfin_analytics.metrics.maturity import LabelMaturity, label_maturity
from synfin_analytics.metrics.nowcast import FraudRateNowcast, nowcast_fraud_rate
from synfin_analytics.metrics.prequential import PrequentialSplit
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval
from synfin_analytics.metrics.recalibration import Recalibration, recalibrate
from synfin_analytics.metrics.scorers import (
    Scorer,
    make_card_precision_scorer,
    make_cost_scorer,
    make_value_detection_scorer,
)
from synfin_analytics.metrics.splits import TimeSplit, time_split
from synfin_analytics.metrics.topk import TopK

__all__ = [
    "Bootstrap",
    "Comparison",
    "Confusion",
    "Curve",
    "Drift",
    "Evaluation",
    "FraudRateNowcast",
    "GainsTable",
    "GroupComparison",
    "GroupValue",
    "GroupedEvaluation",
    "IntervalMethod",
    "LabelMaturity",
    "PrequentialSplit",
    "Recalibration",
    "Scorer",
    "Threshold",
    "TimeSplit",
    "TopK",
    "compare_models",
    "cost_curve",
    "evaluate",
    "fraud_rate",
    "label_maturity",
    "make_card_precision_scorer",
    "make_cost_scorer",
    "make_value_detection_scorer",
    "measure_drift",
    "nowcast_fraud_rate",
    "proportion_interval",
    "ratio",
    "recalibrate",
    "time_split",
]
