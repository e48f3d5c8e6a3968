"""Fraud rates and the evaluation of models: pure functions of frames and counts.

Each number has one definition, whatever the engine that counted.
"""

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.metrics.bootstrap import Bootstrap
from synfin_analytics.metrics.by_group import GroupedEvaluation
from synfin_analytics.metrics.comparison import Comparison, compare_models
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.evaluation import Evaluation, evaluate
from synfin_analytics.metrics.fraud_rates import fraud_rate
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval
from synfin_analytics.metrics.splits import TimeSplit, prequential_folds, time_split
from synfin_analytics.metrics.threshold import Threshold
from synfin_analytics.metrics.topk import TopK

__all__ = [
    "Bootstrap",
    "Comparison",
    "Confusion",
    "Evaluation",
    "GroupedEvaluation",
    "IntervalMethod",
    "Threshold",
    "TimeSplit",
    "TopK",
    "compare_models",
    "evaluate",
    "fraud_rate",
    "prequential_folds",
    "proportion_interval",
    "ratio",
    "time_split",
]
