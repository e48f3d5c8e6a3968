"""Plots of results: functions of a result that take ``ax=`` and return a :class:`Display`.

Markers and line styles distinguish models and groups, not colours alone, so plots stay legible in
black and white. A figure of your own should be created with ``layout="constrained"``, which makes
room for annotations beside the Axes. No function calls ``plt.show()``, and matplotlib is imported
with the first plot, never with the package.
"""

from synfin_analytics._core.results import Display
from synfin_analytics.plots.comparison import plot_comparison
from synfin_analytics.plots.confusion import plot_confusion
from synfin_analytics.plots.curves import plot_calibration, plot_precision_recall, plot_roc
from synfin_analytics.plots.fraud_rate import plot_fraud_rate
from synfin_analytics.plots.importances import plot_importances
from synfin_analytics.plots.maturity import plot_label_maturity
from synfin_analytics.plots.over_time import plot_score_drift, plot_topk
from synfin_analytics.plots.rule_decay import plot_rule_decay
from synfin_analytics.plots.rule_overlap import plot_rule_overlap
from synfin_analytics.plots.rules import plot_rule_benefit, plot_rules
from synfin_analytics.plots.thresholds import plot_cost, plot_thresholds

__all__ = [
    "Display",
    "plot_calibration",
    "plot_comparison",
    "plot_confusion",
    "plot_cost",
    "plot_fraud_rate",
    "plot_importances",
    "plot_label_maturity",
    "plot_precision_recall",
    "plot_roc",
    "plot_rule_benefit",
    "plot_rule_decay",
    "plot_rule_overlap",
    "plot_rules",
    "plot_score_drift",
    "plot_thresholds",
    "plot_topk",
]
