"""Pictures of results: functions of a result that take ``ax=`` and return a :class:`Display`.

Marks and line styles tell things apart, not colours alone: the pictures read well when printed in
black and white. A figure of your own should be made with ``layout="constrained"``, which keeps
room for the words beside the Axes. Nothing here calls ``plt.show()``, and matplotlib is imported
by the first picture, never with the package.
"""

from synfin_analytics._core.display import Display
from synfin_analytics.plots.calibration import plot_calibration
from synfin_analytics.plots.comparison import plot_comparison
from synfin_analytics.plots.confusion import plot_confusion
from synfin_analytics.plots.cost import plot_cost
from synfin_analytics.plots.curves import plot_precision_recall, plot_roc
from synfin_analytics.plots.drift import plot_score_drift
from synfin_analytics.plots.importances import plot_importances
from synfin_analytics.plots.rates import plot_fraud_rate
from synfin_analytics.plots.thresholds import plot_thresholds
from synfin_analytics.plots.topk import plot_topk

__all__ = [
    "Display",
    "plot_calibration",
    "plot_comparison",
    "plot_confusion",
    "plot_cost",
    "plot_fraud_rate",
    "plot_importances",
    "plot_precision_recall",
    "plot_roc",
    "plot_score_drift",
    "plot_thresholds",
    "plot_topk",
]
