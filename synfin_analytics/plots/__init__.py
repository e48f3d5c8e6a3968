"""Pictures of results: functions of a result that take ``ax=`` and return a :class:`Display`.

Marks and line styles tell things apart, not colours alone: the pictures read well when printed in
black and white. A figure of your own should be made with ``layout="constrained"``, which keeps
room for the words beside the Axes. Nothing here calls ``plt.show()``, and matplotlib is imported
by the first picture, never with the package.
"""

from synfin_analytics.plots.rates import plot_fraud_rate
from synfin_analytics.plots.style import Display

__all__ = ["Display", "plot_fraud_rate"]
