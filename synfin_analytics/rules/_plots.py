"""The plots of evaluated rules as methods of its ``.plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from synfin_analytics._core.results import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display


class RulePlots:
    """Plots of evaluated rules; ``evaluation.plot`` is one.

    All methods take ``ax``, where to draw (by default a new figure), and ``title`` (by default one
    that names what is drawn; "" for none). They return a :class:`synfin_analytics.Display`.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate_rules
    >>> df = pd.DataFrame({"is_fraud": [True, False], "night": [True, True]})
    >>> RulePlots(evaluate_rules(df, ["night"])).rules()
    Display('Rules by precision and recall', 1 row)
    """

    def __init__(self, evaluation: Any) -> None:
        self._evaluation = evaluation

    def rules(
        self, ax: Axes | None = None, *, max_rules: int = 20, title: str | None = None
    ) -> Display:
        """Draw rules by precision and recall; see :func:`synfin_analytics.plot_rules`."""
        return draw("plot_rules", self._evaluation, ax, max_rules=max_rules, title=title)

    def overlap(
        self, ax: Axes | None = None, *, max_combinations: int = 15, title: str | None = None
    ) -> Display:
        """Draw which rules fire together; see :func:`synfin_analytics.plot_rule_overlap`."""
        options: dict[str, Any] = {"max_combinations": max_combinations, "title": title}
        return draw("plot_rule_overlap", self._evaluation, ax, **options)

    def benefit(
        self, ax: Axes | None = None, *, max_rules: int = 30, title: str | None = None
    ) -> Display:
        """Draw what each rule adds; see :func:`synfin_analytics.plot_rule_benefit`."""
        return draw("plot_rule_benefit", self._evaluation, ax, max_rules=max_rules, title=title)

    def decay(
        self,
        kind: Literal["heatmap", "lines"] = "heatmap",
        ax: Axes | None = None,
        *,
        rules: Sequence[str] | None = None,
        max_rules: int = 20,
        title: str | None = None,
    ) -> Display:
        """Draw the precision by period; see :func:`synfin_analytics.plot_rule_decay`."""
        options: dict[str, Any] = {"rules": rules, "max_rules": max_rules, "title": title}
        return draw("plot_rule_decay", self._evaluation, ax, kind=kind, **options)
