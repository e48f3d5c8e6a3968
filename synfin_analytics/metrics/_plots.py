"""The plots of a result as methods of its ``.plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.results import draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display


class EvaluationPlots:
    """Plots of an evaluation; ``evaluation.plot`` is one.

    All methods take ``ax``, where to draw (by default a new figure), and ``title`` (by default one
    that names what is drawn; "" for none). They return a :class:`synfin_analytics.Display`.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> EvaluationPlots(evaluate(df, "fraud", "p")).roc()
    Display('ROC curve', 5 rows)
    """

    def __init__(self, evaluation: Any) -> None:
        self._evaluation = evaluation

    def roc(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw the ROC curve; see :func:`synfin_analytics.plot_roc`."""
        return draw("plot_roc", self._evaluation, ax, title=title)

    def precision_recall(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw the precision-recall curve; see :func:`synfin_analytics.plot_precision_recall`."""
        return draw("plot_precision_recall", self._evaluation, ax, title=title)

    def thresholds(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw precision and recall by threshold; see :func:`synfin_analytics.plot_thresholds`."""
        return draw("plot_thresholds", self._evaluation, ax, title=title)

    def calibration(
        self, ax: Axes | None = None, *, bins: int = 10, title: str | None = None
    ) -> Display:
        """Draw the fraud rate by score; see :func:`synfin_analytics.plot_calibration`."""
        return draw("plot_calibration", self._evaluation, ax, bins=bins, title=title)

    def confusion(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw the confusion matrix; see :func:`synfin_analytics.plot_confusion`."""
        return draw("plot_confusion", self._evaluation, ax, title=title)

    def cost(
        self,
        cost_per_alert: float,
        recovery_rate: float = 1.0,
        ax: Axes | None = None,
        *,
        title: str | None = None,
    ) -> Display:
        """Draw the cost of each threshold; see :func:`synfin_analytics.plot_cost`.

        Parameters
        ----------
        cost_per_alert, recovery_rate
            As for :meth:`synfin_analytics.Evaluation.cost_curve`.
        ax, title
            See the class.
        """
        costs = self._evaluation.cost_curve(cost_per_alert, recovery_rate)
        return draw("plot_cost", costs, ax, title=title)

    def topk(
        self,
        k: int,
        ax: Axes | None = None,
        *,
        day: str = "timestamp",
        entity: str = "customer_id",
        title: str | None = None,
    ) -> Display:
        """Draw the card precision@k of each day; see :func:`synfin_analytics.plot_topk`.

        Parameters
        ----------
        k, day, entity
            As for :meth:`synfin_analytics.Evaluation.card_precision_at_k`.
        ax, title
            See the class.
        """
        topk = self._evaluation.card_precision_at_k(k, day=day, entity=entity)
        return draw("plot_topk", topk, ax, title=title)


class GroupedPlots:
    """Plots of the largest groups of a grouped evaluation; its ``.plot`` is one.

    All methods take ``ax``, where to draw (by default a new figure), ``max_groups``, how many of
    the groups with the most transactions are drawn (at most 5), and ``title``.
    """

    def __init__(self, evaluations: Any) -> None:
        #: By name of the group, the group with the most transactions first.
        self._evaluations = evaluations

    def roc(
        self, ax: Axes | None = None, *, max_groups: int = 5, title: str | None = None
    ) -> Display:
        """Draw the ROC curve of each group; see :func:`synfin_analytics.plot_roc`."""
        return draw("plot_roc", self._largest(max_groups), ax, title=title)

    def precision_recall(
        self, ax: Axes | None = None, *, max_groups: int = 5, title: str | None = None
    ) -> Display:
        """Draw the precision-recall curve of each group.

        See :func:`synfin_analytics.plot_precision_recall`.
        """
        return draw("plot_precision_recall", self._largest(max_groups), ax, title=title)

    def _largest(self, max_groups: int) -> dict[str, Any]:
        count = check_integer(max_groups, "max_groups", minimum=1)
        return dict(list(self._evaluations.items())[:count])
